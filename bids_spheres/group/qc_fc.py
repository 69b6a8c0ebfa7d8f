"""Correlation of every edge with head motion over participants, with or without covariates.

With covariates it is the partial correlation: that of what a regression on the covariates leaves of
the edge and of the motion. From the t of motion in the regression of the edge on both it is
t / sqrt(t^2 + v), with the v degrees of freedom of that regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import UsageError
from bids_spheres.group.formula import read_formula
from bids_spheres.group.model import MEAN_FD, Model, check_names, design_for, read_participants
from bids_spheres.group.moments import Comoments
from bids_spheres.group.regression import EdgeRegression
from bids_spheres.group.statistics import correlation_p

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bids_spheres.group.model import GroupDesign
    from bids_spheres.group.options import GroupOptions

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Covariates:
    """Variables of participants that QC-FC is adjusted for.

    Parameters
    ----------
    names : tuple of str
        Columns of the table.
    model : Model
        The regression of an edge on them and on mean framewise displacement.
    """

    names: tuple[str, ...]
    model: Model

    def design(self, mean_fd: Mapping[str, float]) -> GroupDesign:
        """Covariates and motion of the participants of whom both are known.

        Raises
        ------
        DataError
            When they are too few, or covariates determine one another or the motion.
        """
        return design_for(self.model, mean_fd)


def load_covariates(options: GroupOptions) -> Covariates | None:
    """Covariates from the table of participants; None where none are named.

    Raises
    ------
    MissingInputError, DataError
        When there is no table, or it can't be used.
    UsageError
        When a column is not there, or is that of head motion itself.
    """
    names = tuple(dict.fromkeys(options.qcfc_covariates))
    if not names or options.participants_table is None:
        return None
    if MEAN_FD in names:
        raise UsageError(
            f"--qcfc-covariates {MEAN_FD} would take away the very thing that QC-FC is about.",
            hint="Name columns of participants.tsv, such as age and sex.",
        )
    path = options.participants_table
    table = read_participants(path)
    check_names(names, list(table.columns), path, "--qcfc-covariates")
    formula = " + ".join([*(f"`{name}`" for name in names), MEAN_FD])
    return Covariates(names, Model(read_formula(formula), table[list(names)], path))


@dataclass(frozen=True, eq=False)
class QcFc:
    """Correlations with motion of E edges; NaN where too few participants have an edge.

    Parameters
    ----------
    r, p : (E,) arrays
        Correlation, and its two-sided p, not corrected.
    participants : int
        Whose motion, and covariates, are known.
    degrees_of_freedom : int
        participants - 2 - number of terms of the covariates.
    min_participants : int
        Participants without whom an edge has none.
    """

    r: FloatArray
    p: FloatArray
    participants: int
    degrees_of_freedom: int
    min_participants: int


class QcFcSums:
    """Sums over participants for the correlation of E edges with motion.

    Parameters
    ----------
    n_edges : int
    min_participants : int
        It takes one more than there are terms in any case.
    design : GroupDesign, optional
        Of the covariates.
    """

    def __init__(
        self, n_edges: int, min_participants: int, design: GroupDesign | None = None
    ) -> None:
        self._participants = 0
        self._motion = Comoments(n_edges)
        self._regression = None if design is None else EdgeRegression(design.design, n_edges)
        self._terms = 2 if design is None else len(design.design.terms)
        self._adjusted = set() if design is None else set(design.design.participants)
        self._min_participants = max(min_participants, self._terms + 1)

    def add(self, participant: str, mean_fd: float, values: FloatArray) -> None:
        """Take the edges (E,) of one participant in."""
        if self._regression is None:
            self._motion.add(mean_fd, values)
            self._participants += bool(np.isfinite(mean_fd))
        else:
            self._regression.add(participant, values)
            self._participants += participant in self._adjusted

    def result(self) -> QcFc:
        """Correlations and their p."""
        if self._regression is None:
            r, n = self._motion.correlation, self._motion.n
            p = correlation_p(r, n)
        else:
            fitted = self._regression.result()
            tested, n = fitted.tests[fitted.terms.index(MEAN_FD)], fitted.n
            r, p = tested.t / np.sqrt(tested.t**2 + fitted.freedom), tested.p
        known = n >= self._min_participants
        return QcFc(
            r=np.where(known, r, np.nan),
            p=np.where(known, p, np.nan),
            participants=self._participants,
            degrees_of_freedom=max(self._participants - self._terms, 0),
            min_participants=self._min_participants,
        )
