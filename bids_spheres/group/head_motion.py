"""How much participants moved, and what is left of it in connectivity.

Ciric et al. 2017 (doi:10.1016/j.neuroimage.2017.03.020) and Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073) compare strategies by the correlation, over participants, of
the strength of every edge with mean framewise displacement (QC-FC): how large it is, in how many
edges it is significant, and whether it falls with the distance of the two nodes, as motion
artefacts do.

With covariates it is the partial correlation: that of what a regression on the covariates leaves of
the edge and of the motion. From the t of motion in the regression of the edge on both it is
t / sqrt(t^2 + v), with the v degrees of freedom of that regression; without covariates that is
Pearson's correlation.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.errors import BidsSpheresError, UsageError
from bids_spheres.group.facts import REGRESSORS, as_json, read_facts
from bids_spheres.group.formula import read_formula
from bids_spheres.group.inference import Contrast, estimate
from bids_spheres.group.model import MEAN_FD, Design, Model, check_names, read_participants
from bids_spheres.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.files.names import Name
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import EdgeValues, Group
    from bids_spheres.outputs.find import OutputFile

SIGNIFICANT = 0.05
"""p below which an edge counts as related to motion, not corrected for the number of edges."""

MOST_WITH_MOTION = 0.1
"""Share of edges that may go with motion; 0.05 do by chance."""

ENOUGH_PARTICIPANTS = 20
"""With fewer, that share is mostly chance."""

MOTION_PERMUTATIONS = 1000
"""Orders of participants; the standard deviation over them is known to some 5 %."""

_MOST_EDGES = 5000
"""Edges, evenly spaced, whose QC-FC is permuted: a median of more says the same."""

MURPHY = "(Murphy et al. 2009, doi:10.1016/j.neuroimage.2008.09.036)"

_NOT_OF_THE_SCAN = frozenset({"atlas", "seg", "scale", "stat", "echo", "part"})
"""Entities of which all labels share one measurement of head motion."""


class HeadMotion:
    """Mean framewise displacement over all volumes of all runs of a task, before censoring.

    Neither censoring nor the exclusion of runs changes it: it is the same number for all
    strategies, and QC-FC can't improve by leaving out those volumes that moved. `files` are the
    matrices of all selected runs, after any strategy; of each run sidecars are read until one knows
    its motion. Sessions can have a mean of their own, and tasks one for all.
    """

    def __init__(self, files: Iterable[OutputFile], options: GroupOptions) -> None:
        self._by_session = options.by_session
        self._within_task = options.within == "task"
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        by_run: dict[tuple[tuple[str, str], ...], list[OutputFile]] = defaultdict(list)
        for file in files:
            entities = (e for e in file.name.source if e[0] not in _NOT_OF_THE_SCAN)
            by_run[tuple(entities)].append(file)
        for own in by_run.values():
            key = self._key(own[0].participant, own[0].name)
            facts = None
            for file in own:
                # Where its matrix is used, an error is reported.
                with suppress(BidsSpheresError):
                    facts = read_facts(file.path) or facts
                if facts and not isnan(facts.mean_fd):
                    break
            if facts:
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


def permuted_qc_fc(
    values: EdgeValues, design: Design, between: BoolArray, seed: int
) -> dict[str, float | str | None]:
    """Median absolute QC-FC against that of permuted head motion, as cells of a table.

    Motion and edges, of those `between` nodes that all participants have, are residuals of the
    other terms of the design; empty where nothing can be permuted.
    """
    known = design.only(values.participants)
    column, (n, k) = known.terms.index(MEAN_FD), known.values.shape
    if n <= k or np.ptp(known.values[:, column]) == 0:
        return {}
    edges = np.flatnonzero(between)
    rows = values.rows_of(known.participants).array[:, edges[:: -(-len(edges) // _MOST_EDGES)]]
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    both = np.column_stack([known.values[:, column], rows])
    others = np.delete(known.values, column, axis=1)
    both -= others @ np.linalg.lstsq(others, both, rcond=None)[0]
    norms = np.linalg.norm(both, axis=0)
    both = both[:, norms > 0] / norms[norms > 0]
    if both.shape[1] < 2:
        return {}
    rng = np.random.default_rng(seed)
    orders = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(MOTION_PERMUTATIONS))])
    blocks = (np.abs(both[block, 0] @ both[:, 1:]) for block in np.array_split(orders, 20))
    observed, *permuted = np.concatenate([np.median(r, axis=1) for r in blocks])
    mean, spread = float(np.mean(permuted)), float(np.std(permuted))
    return {
        "qc_fc_null": mean,
        "qc_fc_excess": float(observed - mean) / spread if spread else nan,
        "qc_fc_p": float((1 + np.sum(permuted >= observed)) / (1 + MOTION_PERMUTATIONS)),
    }


def motion_design(mean_fd: Mapping[str, float]) -> Design:
    """A constant and mean framewise displacement, of the participants of whom it is known."""
    known = {label: value for label, value in mean_fd.items() if np.isfinite(value)}
    columns = np.column_stack([np.ones(len(known)), list(known.values())])
    return Design(tuple(known), ("Intercept", MEAN_FD), columns)


def load_covariates(options: GroupOptions) -> Model | None:
    """The regression of an edge on covariates and motion; None where no covariates are named.

    UsageError when a column is not there, or is that of head motion itself; MissingInputError or
    DataError when there is no table, or it can't be used.
    """
    names = tuple(dict.fromkeys(options.qcfc_covariates))
    path = options.participants_table
    if not names or path is None:
        return None
    if MEAN_FD in names:
        raise UsageError(
            f"--qcfc-covariates {MEAN_FD} would take away the very thing that QC-FC is about.",
            hint="Name columns of participants.tsv, such as age and sex.",
        )
    table = read_participants(path)
    check_names(names, list(table.columns), path, "--qcfc-covariates")
    formula = " + ".join([*(f"`{name}`" for name in names), MEAN_FD])
    return Model(read_formula(formula), table[list(names)], path)


@dataclass(frozen=True, eq=False)
class QcFc:
    """Correlations of E edges with motion, and two-sided p, (E,); NaN for too few participants."""

    r: FloatArray
    p: FloatArray
    participants: int
    degrees_of_freedom: int


def qc_fc(values: EdgeValues, design: Design, min_participants: int, sign: int) -> QcFc:
    """Correlate edges with motion.

    `design` has a constant, covariates and `MEAN_FD`; it takes one participant more than terms in
    any case. `sign` is -1 for a measure that is the more negative the more alike series are.
    """
    known = design.only(values.participants)
    n, k = known.values.shape
    r, p = np.full((2, values.array.shape[1]), np.nan)
    # Without a motion that differs between participants nothing correlates with it.
    column = known.terms.index(MEAN_FD)
    if n > k and np.ptp(known.values[:, column]) > 0:
        motion = Contrast(MEAN_FD, np.eye(k)[[column]])
        estimates = estimate(values.rows_of(known.participants).array, known.values, motion)
        enough = estimates.n >= min_participants
        r = np.where(enough, sign * estimates.partial_r, np.nan)
        p = np.where(enough, estimates.p, np.nan)
    return QcFc(r, p, participants=n, degrees_of_freedom=max(n - k, 0))


@dataclass(frozen=True)
class Benchmark:
    """How much of motion a strategy left in connectivity; NaN for what is not known.

    Of the `edges` whose correlation with motion is known: the median of the absolute correlations,
    the share with p < `SIGNIFICANT`, which chance alone gives as well, and the correlation of their
    correlations with the distance of their nodes.
    """

    edges: int = 0
    median: float = nan
    share: float = nan
    spearman: float = nan
    pearson: float = nan


def benchmark(qc_fc: FloatArray, p: FloatArray, distance: FloatArray) -> Benchmark:
    """Summarize correlations of edges with motion, their p, and distances in mm, (E,) each."""
    known = np.isfinite(qc_fc)
    r = qc_fc[known]
    if not r.size:
        return Benchmark()
    return Benchmark(
        edges=int(r.size),
        median=float(np.median(np.abs(r))),
        share=float(np.mean(p[known] < SIGNIFICANT)),
        spearman=_pearson(stats.rankdata(r), stats.rankdata(distance[known])),
        pearson=_pearson(r, distance[known]),
    )


def _pearson(first: FloatArray, second: FloatArray) -> float:
    """NaN for fewer than three pairs, and for a constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return nan
    return float(np.corrcoef(first, second)[0, 1])


def reasons_against_zero(group: Group, motion: Benchmark, qc_fc: QcFc | None) -> Iterator[str]:
    """Why tests of means against 0 do not hold, a phrase each; none where nothing is known."""
    kinds = as_json(group.runs[0].facts.settings)[REGRESSORS]
    if any(kind.startswith("global_signal") for kind in kinds):
        yield (
            "the global signal was regressed out, which shifts correlations until about as many "
            f"are negative as positive, so that unrelated series are not at 0 {MURPHY}"
        )
    enough = qc_fc is not None and qc_fc.participants >= ENOUGH_PARTICIPANTS
    if enough and motion.share > MOST_WITH_MOTION:
        yield (
            f"{percent(motion.share)} of edges go with head motion (5 % would by chance), which "
            "shifts means away from 0 in itself"
        )
