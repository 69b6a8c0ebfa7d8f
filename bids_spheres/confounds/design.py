"""Regressors and kept volumes of a run, from its table and a strategy, as arguments of `clean`.

`check_strategies` says what is wrong over all runs before the first is used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bids_spheres.confounds.columns import (
    COSINE,
    FRAMEWISE_DISPLACEMENT,
    NON_STEADY_STATE,
    RMSD,
    STD_DVARS,
    missing_columns,
    select,
    similar_columns,
)
from bids_spheres.confounds.motion import measure_again
from bids_spheres.confounds.strategy import HeadMotion
from bids_spheres.confounds.tables import (
    check_rows,
    check_unique,
    merge_tables,
    read_metadata,
    run_columns,
    without_gaps,
)
from bids_spheres.confounds.task import task_regressors
from bids_spheres.errors import DataError, UsageError
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike

    from bids_spheres.confounds.columns import Selection
    from bids_spheres.confounds.motion import MeasuredMotion
    from bids_spheres.confounds.strategy import Censor, Strategy
    from bids_spheres.confounds.tables import RunColumns
    from bids_spheres.confounds.task import RunEvents
    from bids_spheres.engine.arrays import BoolArray, FloatArray

    RunTable = tuple[pd.DataFrame, Mapping[str, object] | None]

DummyScans = int | Literal["auto"] | None  # volumes to leave out first; "auto": as fMRIPrep flags

REASONS = (
    *("non_steady_state", "dummy"),
    *("framewise_displacement", "dvars", "rmsd", "neighbour"),
    *("external", "segment"),
)
"""Why a volume can be left out; more than one can hold for a volume."""

_RENAMED = (
    "The table has the column names of fMRIPrep 1.0 and 1.1; those of 1.2 and later are used for "
    "them."
)
_COMPUTED = (
    "fMRIPrep before 1.4 wrote no derivatives and squares; {} columns were computed as later "
    "versions do."
)


@dataclass(frozen=True, eq=False)
class Design:
    """A strategy applied to the confounds table of one run: K regressors (T, K) and volumes kept.

    `framewise_displacement` (T,) in mm is fMRIPrep's, NaN where it gives none; `motion` is what the
    strategy measured anew. `reasons` has the volumes left out for each of `REASONS`; `computed` are
    columns that fMRIPrep < 1.4 did not write; `notes` what a reader should know, a sentence each.
    """

    columns: tuple[str, ...]
    values: FloatArray
    kept: BoolArray
    framewise_displacement: FloatArray
    reasons: Mapping[str, BoolArray] = field(default_factory=dict)
    motion: MeasuredMotion | None = None
    computed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _ranks: dict[bool, int] = field(default_factory=dict, init=False, repr=False)

    @property
    def mean_framewise_displacement(self) -> float:
        """Mean without missing values, mm; NaN if all are missing."""
        known = self.framewise_displacement[np.isfinite(self.framewise_displacement)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def n_framewise_displacement(self) -> int:
        """Number of volumes that are not missing in that mean."""
        return int(np.isfinite(self.framewise_displacement).sum())

    @property
    def displacements(self) -> dict[str, FloatArray]:
        """Framewise displacement, mm, of both kinds where motion was measured anew."""
        if self.motion is None:
            return {}
        return {"fd": self.framewise_displacement, "fd_recomputed": self.motion.displacement}

    @property
    def n_kept(self) -> int:
        """Number of volumes kept."""
        return int(self.kept.sum())

    def rank(self, *, detrend: bool) -> int:
        """Dimensions that regressors, mean and, if asked, a trend take of the kept volumes."""
        # A singular value decomposition, which every output of a run asks for.
        if detrend not in self._ranks:
            self._ranks[detrend] = rank_of(self.values, self.kept, detrend=detrend)
        return self._ranks[detrend]


def make_design(
    table: pd.DataFrame,
    strategy: Strategy,
    path: Path,
    n_volumes: int,
    *,
    metadata: Mapping[str, object] | None = None,
    extra: Sequence[pd.DataFrame] = (),
    dummy_scans: DummyScans = None,
    outliers: ArrayLike | None = None,
    t_r: float | None = None,
    brain_radius: float | None = None,
    events: RunEvents | None = None,
) -> Design:
    """Regressors and kept volumes of one run; DataError when the table can't be used.

    `path` is the table's, for messages and the JSON file that is read where `metadata` is None;
    `extra` are other tables of the run: fMRIPost-AROMA's, or `tedana_regressors`. The run begins
    after its `dummy_scans`; without them, volumes that fMRIPrep flags as non-steady leave all the
    same, but count in the length of the first stretch, as in nilearn. `t_r` in s is needed for
    events and to filter motion, the `brain_radius` in mm where the head's is "auto".
    """
    check_rows(table, path, n_volumes)
    columns = run_columns(merge_tables(table, extra), path)
    metadata = read_metadata(path) if metadata is None else metadata
    chosen = select_columns(columns, strategy, metadata)
    if chosen.missing:
        raise missing_columns(chosen.missing, columns.names, strategy, path)
    regressors = tuple(chosen.columns)
    computed = tuple(name for name in regressors if name in columns.computable)
    chosen.notes += [_RENAMED] if columns.renamed else []
    chosen.notes += [_COMPUTED.format(len(computed))] if computed else []
    displacement, motion = np.full(n_volumes, np.nan), None
    if FRAMEWISE_DISPLACEMENT in columns.names:
        displacement = columns.numbers(FRAMEWISE_DISPLACEMENT)
    if strategy.head_motion:
        columns, motion, notes = measure_again(columns, strategy, t_r, brain_radius)
        chosen.notes += notes
    reasons = censoring_reasons(columns, strategy.censor, dummy_scans, outliers)
    responses = {}
    if strategy.task:
        if events is None or t_r is None:
            raise DataError(f"The {strategy} needs the events and the repetition time of a run.")
        responses = task_regressors(events, strategy.task, t_r, n_volumes)
        chosen.notes += events.notes
        check_unique([*regressors, *responses], path)
    return Design(
        columns=(*regressors, *responses),
        values=np.column_stack([columns.complete(regressors), *responses.values()]),
        kept=~np.any(list(reasons.values()), axis=0),
        framewise_displacement=displacement,
        reasons=reasons,
        motion=motion,
        computed=computed,
        notes=tuple(chosen.notes),
    )


def select_columns(
    columns: RunColumns, strategy: Strategy, metadata: Mapping[str, object] | None
) -> Selection:
    """Columns of one run that a strategy regresses out; reads only their names."""
    # Before 1.4 fMRIPrep wrote no expansions, and its only CompCor mask was the combined one.
    before_1_4 = bool(columns.computable)
    return select(strategy, columns.names, metadata or {}, one_mask=before_1_4)


def censoring_reasons(
    columns: RunColumns,
    rules: Censor,
    dummy_scans: DummyScans = None,
    outliers: ArrayLike | None = None,
) -> dict[str, BoolArray]:
    """Volumes to leave out, for each of `REASONS`."""
    n_volumes = len(columns.table)
    unsteady = np.zeros(n_volumes, bool)
    for name in filter(NON_STEADY_STATE.match, columns.names):
        unsteady |= columns.numbers(name) != 0
    n_unsteady = int(np.cumprod(unsteady).sum())  # before the first that is steady
    n_dummies = n_unsteady if dummy_scans == "auto" else dummy_scans or 0
    if isinstance(dummy_scans, bool) or not isinstance(n_dummies, int) or n_dummies < 0:
        raise UsageError(f"dummy_scans must be a number of volumes or 'auto', not {dummy_scans!r}.")
    external = np.zeros(n_volumes, bool) if outliers is None else np.asarray(outliers, bool)
    check_rows(external, "The outlier table", n_volumes, None)
    above, given = {}, []
    for reason, name, limit in (
        ("framewise_displacement", FRAMEWISE_DISPLACEMENT, rules.fd_threshold),
        ("dvars", STD_DVARS, rules.std_dvars_threshold),
        ("rmsd", RMSD, rules.rmsd_threshold),
    ):
        above[reason] = np.zeros(n_volumes, bool)
        if limit is not None:
            values = columns.numbers(name)
            # There is no volume before the first to compare it with.
            values[:1] = np.where(np.isnan(values[:1]), 0, values[:1])
            above[reason] = np.asarray(without_gaps(values, name, columns.where) > limit)
            given.append(above[reason])
    if rules.combine == "all" and given:
        every = np.all(given, axis=0)
        above = {reason: flags & every for reason, flags in above.items()}
    moved = np.any(list(above.values()), axis=0)
    near = neighbours(moved, rules.before, rules.after)
    # Non-steady volumes don't bound a stretch: as in nilearn they count in its length.
    cuts = moved | near | external
    return {
        "non_steady_state": unsteady,
        "dummy": np.arange(n_volumes) < n_dummies,
        **above,
        "neighbour": near,
        "external": external,
        "segment": short_segments(cuts, rules.min_segment, n_dummies),
    }


def neighbours(flags: BoolArray, before: int, after: int) -> BoolArray:
    """Volumes up to `before` before or `after` after a flagged one, that one not included.

    >>> neighbours(np.array([0, 0, 0, 1, 0, 0, 0], bool), 1, 2).astype(int).tolist()
    [0, 0, 1, 0, 1, 1, 0]
    """
    near = np.zeros_like(flags)
    for at in np.flatnonzero(flags):
        near[max(0, at - before) : at + after + 1] = True
    return near & ~flags


def short_segments(flags: BoolArray, min_segment: int, start: int = 0) -> BoolArray:
    """Volumes in stretches without a flag, from `start` on, that are shorter than `min_segment`.

    The edges of the run bound a stretch as flags do (Power et al. 2012,
    doi:10.1016/j.neuroimage.2011.10.018; Power et al. 2014, doi:10.1016/j.neuroimage.2013.08.048).
    A run without any flag stays whole, as in nilearn.

    >>> flags = np.array([0, 0, 1, 0, 0, 0, 1, 0], bool)
    >>> short_segments(flags, 4, start=1).astype(int).tolist()
    [0, 1, 0, 1, 1, 1, 0, 1]
    """
    short = np.zeros_like(flags)
    inside = flags[start:]
    if not inside.any():
        return short
    bounds = np.flatnonzero(np.concatenate([[True], inside, [True]]))
    for left, right in pairwise(bounds):
        if right - left - 1 < min_segment:
            short[start + left : start + right - 1] = True
    return short


def removed_regressors(design: Design, strategy: Strategy, t_r: float) -> FloatArray | None:
    """(T, K) regressors, with cosines of a filter if fMRIPrep's are not among them, or None."""
    # scipy is slow to import, and not needed to look a strategy up.
    from bids_spheres.engine.filters import cosine_basis  # noqa: PLC0415

    chosen = strategy.filter
    parts = [design.values] if design.columns else []
    # By name: head motion often looks like a cosine, and then `clean` would take it for one.
    if chosen and chosen.type == "cosine" and not any(map(COSINE.match, design.columns)):
        parts.append(cosine_basis(len(design.kept), t_r, chosen.high_pass or 0.0))
    return np.hstack(parts) if parts else None


def temporal_steps(design: Design, strategy: Strategy, t_r: float) -> dict[str, Any]:
    """Arguments of `clean` for the censoring and the filter of a strategy."""
    kept, chosen = design.kept, strategy.filter
    steps: dict[str, Any] = {
        "sample_mask": None if kept.all() else kept,
        "interpolate": "censored",
        # A spline beyond the kept volumes leaves all bounds; the run ends where they do.
        "extrapolate": False,
        # A drift of the scanner goes on while volumes are censored.
        "trend": "time",
        "t_r": t_r,
    }
    if chosen and chosen.type == "butterworth":  # cosines are regressors
        band = {"high_pass": chosen.high_pass, "low_pass": chosen.low_pass}
        steps |= {"filter": chosen.type, "order": chosen.order, **band}
    return steps


def rank_of(values: FloatArray, kept: BoolArray, *, detrend: bool) -> int:
    """Dimensions of (T, K) regressors at the kept volumes, with the mean and, if asked, a trend."""
    basis = [np.ones(len(kept))] + ([np.linspace(-1, 1, len(kept))] if detrend else [])
    design = np.column_stack([*basis, values])[kept]
    if not len(design):
        return 0
    # Columns differ by orders of magnitude (radians, squares); rank must not depend on units.
    # Centring all but the constant keeps a large mean from hiding a small variation.
    design[:, 1:] -= design[:, 1:].mean(axis=0)
    norms = np.linalg.norm(design, axis=0)
    return int(np.linalg.matrix_rank(design / np.where(norms == 0, 1, norms)))


@dataclass(frozen=True)
class Problem:
    """A problem in the runs of these labels; without any it concerns none in particular.

    `strategy` is "" for a problem with any; `of_file`: a file of the run can't be used.
    """

    message: str
    runs: tuple[str, ...] = ()
    strategy: str = ""
    hint: str | None = None
    of_file: bool = False

    def __str__(self) -> str:
        runs = self.runs
        where = f" In {count(len(runs), 'run')}: {listing(runs, 3)}." if runs else ""
        return f"{self.message}{where}" + (f"\n  hint: {self.hint}" if self.hint else "")


def check_strategies(
    tables: Iterable[tuple[str, RunTable]], strategies: Sequence[Strategy], *, values: bool = True
) -> list[Problem]:
    """Look up the columns of every strategy in every run; the same problem in several runs once.

    `tables` are labels of runs with the merged table and its metadata; nothing is kept of runs
    without a problem, of which ten thousand would fill gigabytes. `values` of columns are checked
    where tables have rows.
    """
    names = Counter(strategy.name for strategy in strategies)
    same_names = [
        Problem(
            f"{number} strategies have the name {name}, so their outputs would collide.",
            strategy=name,
            hint="Give each strategy its own name.",
        )
        for name, number in names.items()
        if number > 1
    ]
    # By message, since strategies share columns and so what is wrong with them.
    problems: dict[str, tuple[int, Problem, dict[str, None]]] = {}
    for label, run in tables:
        for position, problem in _problems_of_run(run, strategies, problems, values=values):
            _, _, labels = problems.setdefault(problem.message, (position, problem, {}))
            labels[label] = None
    in_order = sorted(problems.values(), key=lambda entry: entry[0])
    return same_names + [replace(problem, runs=tuple(labels)) for _, problem, labels in in_order]


def _problems_of_run(
    run: RunTable, strategies: Sequence[Strategy], known: Container[str], *, values: bool
) -> Iterator[tuple[int, Problem]]:
    """Problems of one run, each with the position of its strategy; -1 stands for any strategy."""
    table, metadata = run
    try:
        columns = run_columns(table, "The confounds table")
    except DataError as error:
        yield -1, Problem(error.message, hint=error.hint)
        return
    for position, strategy in enumerate(strategies):
        chosen, measured = select_columns(columns, strategy, metadata), columns
        for item in chosen.missing:
            text = f"The {strategy} asks for {item.key}, but the confounds table has {item.what}."
            # To compare a name with a thousand others, for every run, would take minutes.
            hint = None if text in known else similar_columns(item.columns, columns.names)
            yield position, Problem(text, strategy=strategy.name, hint=hint)
        if chosen.missing or not values or not len(table):
            continue
        try:
            if strategy.head_motion:
                unfiltered = replace(strategy, head_motion=HeadMotion())
                measured, _, _ = measure_again(columns, unfiltered, None, None)
            measured.complete(tuple(chosen.columns))
            censoring_reasons(measured, strategy.censor)
        except DataError as error:
            yield position, Problem(error.message, hint=error.hint, of_file=True)
