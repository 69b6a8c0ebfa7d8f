"""Correlation of every edge with head motion over participants, with or without covariates.

With covariates it is the partial correlation: that of what a regression on the covariates leaves of
the edge and of the motion. From the t of motion in the regression of the edge on both it is
t / sqrt(t^2 + v), with the v degrees of freedom of that regression; without covariates that is
Pearson's correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import UsageError
from bids_spheres.group.formula import read_formula
from bids_spheres.group.inference import Contrast, estimate
from bids_spheres.group.model import MEAN_FD, Design, Model, check_names, read_participants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.values import EdgeValues

    FloatArray = NDArray[np.float64]


def load_covariates(options: GroupOptions) -> Model | None:
    """The regression of an edge on covariates and motion; None where no covariates are named.

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
    return Model(read_formula(formula), table[list(names)], path)


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


def qc_fc(values: EdgeValues, design: Design, min_participants: int, sign: int) -> QcFc:
    """Correlate edges with motion.

    Parameters
    ----------
    values : EdgeValues
    design : Design
        A constant, covariates and `MEAN_FD`.
    min_participants : int
        It takes one more than the design has terms in any case.
    sign : {1, -1}
        -1 for a measure that is the more negative the more alike series are.
    """
    known = design.only(values.participants)
    n, k = known.values.shape
    least = max(min_participants, k + 1)
    r, p = np.full((2, values.array.shape[1]), np.nan)
    # Without a motion that differs between participants nothing correlates with it.
    column = known.terms.index(MEAN_FD)
    if n > k and np.ptp(known.values[:, column]) > 0:
        motion = Contrast(MEAN_FD, np.eye(k)[[column]])
        rows = values.rows_of(known.participants).array
        estimates = estimate(rows, known.values, motion)
        enough = estimates.n >= least
        r = np.where(enough, sign * estimates.partial_r, np.nan)
        p = np.where(enough, estimates.p, np.nan)
    return QcFc(r, p, participants=n, degrees_of_freedom=max(n - k, 0), min_participants=least)


def motion_design(mean_fd: Mapping[str, float]) -> Design:
    """A constant and mean framewise displacement, of the participants of whom it is known."""
    known = {label: value for label, value in mean_fd.items() if np.isfinite(value)}
    columns = np.column_stack([np.ones(len(known)), list(known.values())])
    return Design(tuple(known), ("Intercept", MEAN_FD), columns)
