"""How much participants moved, and what is left of it in connectivity."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.errors import BidsSpheresError, UsageError
from bids_spheres.group.edges import known_network
from bids_spheres.group.facts import REGRESSORS, as_json, read_facts
from bids_spheres.group.formula import read_formula
from bids_spheres.group.inference import Contrast, estimate
from bids_spheres.group.model import MEAN_FD, Design, Model, check_names, read_participants
from bids_spheres.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from bids_spheres.files.names import Name
    from bids_spheres.group.facts import RunFacts
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import EdgeValues
    from bids_spheres.outputs.find import OutputFile

    FloatArray = NDArray[np.float64]
    from collections.abc import Iterator

    from bids_spheres.group.stream import Group

_NOT_OF_THE_SCAN = frozenset({"atlas", "seg", "scale", "stat", "echo", "part"})
"""Entities of which all labels share one measurement of head motion."""


class HeadMotion:
    """Mean framewise displacement over all volumes of all runs of a task, before censoring.

    Parameters
    ----------
    files : iterable of OutputFile
        Matrices of all selected runs, after any strategy; of each run sidecars are read until one
        knows its motion.
    by_session, within_task : bool
        Whether sessions are groups by themselves, and have a mean of their own; whether all tasks
        are one group.
    """

    def __init__(
        self, files: Iterable[OutputFile], *, by_session: bool, within_task: bool = False
    ) -> None:
        self._by_session, self._within_task = by_session, within_task
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        by_run: dict[tuple[tuple[str, str], ...], list[OutputFile]] = defaultdict(list)
        for file in files:
            entities = (e for e in file.name.source if e[0] not in _NOT_OF_THE_SCAN)
            by_run[tuple(entities)].append(file)
        for own in by_run.values():
            facts = None
            for facts in filter(None, map(_readable_facts, own)):
                if not isnan(facts.mean_fd):
                    break
            if facts is not None:
                key = self._key(own[0].participant, own[0].name)
                total, volumes = self._sums.get(key, (0.0, 0))
                self._sums[key] = total + facts.n_fd * facts.mean_fd, volumes + facts.n_fd

    def of(self, participant: str, group: Name) -> float:
        """Mean of a participant in the task of a group, mm; NaN where a run's is not known."""
        total, volumes = self._sums.get(self._key(participant, group), (nan, 0))
        return total / volumes if volumes else nan

    def _key(self, participant: str, name: Name) -> tuple[str, ...]:
        session = name.get("ses") if self._by_session else None
        task = None if self._within_task else name.get("task")
        return participant, task or "", session or ""


def _readable_facts(file: OutputFile) -> RunFacts | None:
    """Facts of a run; None for several runs together, and where its own use reports the error."""
    with suppress(BidsSpheresError):
        return read_facts(file.path)
    return None


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


SIGNIFICANT = 0.05
"""p below which an edge counts as related to motion, not corrected for the number of edges."""


@dataclass(frozen=True)
class Benchmark:
    """How much of motion a strategy left in connectivity; NaN for what is not known.

    Parameters
    ----------
    edges : int
        Edges whose correlation with motion is known.
    median : float
        Median of the absolute correlations.
    share : float
        Share of edges with p < `SIGNIFICANT`; that is also what chance alone gives.
    spearman, pearson : float
        Correlation over edges of their correlation with motion and the distance of their nodes.
    """

    edges: int
    median: float
    share: float
    spearman: float
    pearson: float


UNKNOWN = Benchmark(0, nan, nan, nan, nan)
"""Of a group without participants whose motion is known."""


def benchmark(qc_fc: FloatArray, p: FloatArray, distance: FloatArray) -> Benchmark:
    """Summarize correlations of edges with motion.

    Parameters
    ----------
    qc_fc : (E,) array
        Correlations over participants.
    p : (E,) array
        Of each of them.
    distance : (E,) array
        Of the nodes of each edge, mm.
    """
    known = np.isfinite(qc_fc)
    r = qc_fc[known]
    if not r.size:
        return UNKNOWN
    return Benchmark(
        edges=int(r.size),
        median=float(np.median(np.abs(r))),
        share=float(np.mean(p[known] < SIGNIFICANT)),
        spearman=_pearson(stats.rankdata(r), stats.rankdata(distance[known])),
        pearson=_pearson(r, distance[known]),
    )


def modularity(matrix: FloatArray, networks: tuple[str, ...]) -> float:
    """How much more of the positive weight lies within networks than expected by chance.

    Q = 1 / (2 m) sum_ij (A_ij - k_i k_j / (2 m)) [i, j in one network], with the positive weights
    A, the strengths k of the nodes and their sum 2 m (Newman 2004,
    doi:10.1103/PhysRevE.70.056131). Negative and missing weights count as 0. Nodes without a
    network are left out. Between -0.5 and 1.

    Parameters
    ----------
    matrix : (S, S) array
        Symmetric; its diagonal does not count.
    networks : tuple of str
        Network of every node, ``"n/a"`` for none.

    Returns
    -------
    float
        NaN without networks or positive weights.
    """
    has = known_network(networks)
    weights = np.nan_to_num(np.clip(matrix[np.ix_(has, has)], 0, None))
    np.fill_diagonal(weights, 0)
    total = weights.sum()
    if not total > 0:
        return nan
    _, numbers = np.unique(np.array(networks)[has], return_inverse=True)
    members = np.eye(numbers.max() + 1)[numbers]
    within = np.sum(weights * (members @ members.T)) / total
    expected = np.sum((weights.sum(axis=0) @ members / total) ** 2)
    return float(within - expected)


def _pearson(first: FloatArray, second: FloatArray) -> float:
    """NaN for fewer than three pairs, and for a constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return nan
    return float(np.corrcoef(first, second)[0, 1])


MOST_WITH_MOTION = 0.1
"""Share of edges that may go with motion; 0.05 do by chance."""

ENOUGH_PARTICIPANTS = 20
"""With fewer, that share is mostly chance."""

MURPHY = "(Murphy et al. 2009, doi:10.1016/j.neuroimage.2008.09.036)"

GLOBAL_SIGNAL = (
    "the global signal was regressed out, which shifts correlations until about as many are "
    f"negative as positive, so that unrelated series are not at 0 {MURPHY}"
)


def global_signal_removed(group: Group) -> bool:
    """Whether the global signal is among the regressors of a group."""
    kinds = as_json(group.runs[0].facts.settings)[REGRESSORS]
    return any(kind.startswith("global_signal") for kind in kinds)


def reasons_against_zero(group: Group, left: Benchmark, qc_fc: QcFc | None) -> Iterator[str]:
    """Why tests of means against 0 do not hold, a phrase each; none where nothing is known.

    Parameters
    ----------
    group : Group
    left : Benchmark
        What motion explains.
    qc_fc : QcFc or None
    """
    if global_signal_removed(group):
        yield GLOBAL_SIGNAL
    enough = qc_fc is not None and qc_fc.participants >= ENOUGH_PARTICIPANTS
    if enough and left.share > MOST_WITH_MOTION:
        yield (
            f"{percent(left.share)} of edges go with head motion (5 % would by chance), which "
            "shifts means away from 0 in itself"
        )
