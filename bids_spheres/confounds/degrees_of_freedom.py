"""Degrees of freedom that a strategy leaves of a run, and whether they are enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.design import rank_of, removed_regressors, temporal_steps

if TYPE_CHECKING:
    from bids_spheres.confounds.design import Design
    from bids_spheres.confounds.strategy import Strategy, TemporalFilter
    from bids_spheres.engine.arrays import BoolArray

FEW_DEGREES_OF_FREEDOM = 25
"""Fewer are reported with a warning: of them, one unrelated pair in 20 is beyond r = +-0.39."""


@dataclass(frozen=True)
class DegreesOfFreedom:
    """Degrees of freedom of one run after one strategy, whole numbers without a Butterworth filter.

    residual = kept - rank - filtered - censored - undrawn: `rank` counts dimensions of regressors,
    mean and, if asked, trend; `filtered` is the share of kept - rank that the filter takes of the
    complete run; `censored` what censoring takes beyond the volumes themselves, because a
    Butterworth filter sees interpolated ones in their place; `undrawn` is lost with volumes that
    are left out after cleaning. `residual` is 1 / var(r) of two independent white series after the
    whole of cleaning. `seconds` are kept volumes x repetition time; `problem` says why the filter
    can't be applied to what is left.
    """

    volumes: int
    kept: int
    rank: int
    filtered: float
    censored: float
    residual: float
    seconds: float
    problem: str = ""
    undrawn: float = 0


@dataclass(frozen=True)
class Exclusion:
    """Reasons, joined by ``; ``, why a run has no result for a strategy, and the counts behind."""

    reason: str
    degrees_of_freedom: DegreesOfFreedom


def count_degrees_of_freedom(
    design: Design, strategy: Strategy, t_r: float, detrend: bool
) -> DegreesOfFreedom:
    """Count the degrees of freedom that a strategy leaves of a run, and what takes the others.

    Censoring, regression and a cosine filter are projections, and take whole dimensions. What a
    Butterworth filter leaves is computed from all of cleaning as one linear operator, see
    `bids_spheres.engine.degrees_of_freedom`. `t_r` is in s; `detrend` removes a linear trend
    besides the mean.
    """
    rank, problem = design.rank(detrend=detrend), ""
    filtered: float = 0  # a whole number without a Butterworth filter, in sidecars too
    censored: float = 0
    if strategy.filter and strategy.filter.type == "cosine":
        regressors = removed_regressors(design, strategy, t_r)
        values = design.values if regressors is None else regressors
        filtered = rank_of(values, design.kept, detrend=detrend) - rank
    elif strategy.filter and design.n_kept > rank:
        kept = np.flatnonzero(design.kept)
        # The filter sees the run from the first kept volume to the last.
        span = int(np.ptp(kept)) + 1
        problem = filter_problem(strategy.filter, t_r, len(design.kept), span) or ""
        # A run that can't be filtered keeps nothing.
        filtered = float(design.n_kept - rank)
        if not problem:
            filtered, censored = _lost_to_butterworth(design, strategy, t_r, detrend)
    return DegreesOfFreedom(
        volumes=len(design.kept),
        kept=design.n_kept,
        rank=rank,
        filtered=filtered,
        censored=censored,
        residual=design.n_kept - rank - filtered - censored,
        seconds=design.n_kept * t_r,
        problem=problem,
    )


def exclusion(dof: DegreesOfFreedom, strategy: Strategy, floor: int = 1) -> Exclusion | None:
    """Why too little is left of a run, if so; `floor` is the least number of degrees of freedom."""
    reasons = []
    if not dof.kept:
        return Exclusion(f"no volume is left of {dof.volumes}", dof)
    if dof.kept < (strategy.min_volumes or 0):
        reasons.append(
            f"{dof.kept} of {dof.volumes} volumes are left, fewer than {strategy.min_volumes}"
        )
    if dof.seconds < (strategy.min_seconds or 0):
        reasons.append(f"{dof.seconds:g} s are left, fewer than {strategy.min_seconds:g}")
    if dof.problem:
        reasons.append(dof.problem)
    elif dof.residual < floor:
        reasons.append(
            f"{rounded(dof.residual)} degrees of freedom, fewer than {floor} ({parts(dof)})"
        )
    return Exclusion("; ".join(reasons), dof) if reasons else None


def _lost_to_butterworth(
    design: Design, strategy: Strategy, t_r: float, detrend: bool
) -> tuple[float, float]:
    """Degrees of freedom that the filter takes, and that censoring takes beyond its volumes."""
    unfiltered = design.n_kept - design.rank(detrend=detrend)
    lost = unfiltered - min(unfiltered, _operator_dof(design, strategy, t_r, detrend))
    if design.kept.all():
        return lost, 0.0
    complete = replace(design, kept=np.ones_like(design.kept))
    whole = len(design.kept) - complete.rank(detrend=detrend)
    # The filter's share is that of the complete run; what is lost beyond it is due to gaps.
    share = 1 - _operator_dof(complete, strategy, t_r, detrend) / max(whole, 1)
    filtered = min(lost, max(0.0, share) * unfiltered)
    return filtered, lost - filtered


def without_undrawn(
    left: DegreesOfFreedom,
    design: Design,
    strategy: Strategy,
    used: BoolArray,
    *,
    t_r: float,
    detrend: bool,
) -> DegreesOfFreedom:
    """Degrees of freedom of some of the kept volumes alone, (T,) bool, drawn after cleaning."""
    rows = used[design.kept]
    residual = min(left.residual, _operator_dof(design, strategy, t_r, detrend, rows))
    return replace(left, residual=residual, undrawn=left.residual - residual)


def _operator_dof(
    design: Design,
    strategy: Strategy,
    t_r: float,
    detrend: bool,
    rows: BoolArray | slice = slice(None),
) -> float:
    """`degrees_of_freedom_left` after all cleaning, of all kept volumes of a run or of some."""
    # scipy is slow to import, and not needed to look a strategy up.
    from bids_spheres.engine.clean import clean  # noqa: PLC0415
    from bids_spheres.engine.degrees_of_freedom import degrees_of_freedom_left  # noqa: PLC0415

    # What censored volumes hold plays no part.
    impulses = np.eye(len(design.kept))[:, design.kept]
    operator = clean(
        impulses,
        confounds=removed_regressors(design, strategy, t_r),
        detrend=detrend,
        standardize=False,
        **temporal_steps(design, strategy, t_r),
    )
    return degrees_of_freedom_left(operator[rows])


def filter_problem(
    chosen: TemporalFilter, t_r: float, n_volumes: int, span: int | None = None
) -> str | None:
    """Why a run can't carry a filter, if so; `span`: volumes from the first kept to the last."""
    nyquist, duration = 0.5 / t_r, n_volumes * t_r
    # scipy.signal.sosfiltfilt extends a run by 3 (poles + 1) volumes; a band has twice the poles.
    is_band = chosen.high_pass is not None and chosen.low_pass is not None
    padding = 3 * (chosen.order * (2 if is_band else 1) + 1) if chosen.type == "butterworth" else 0
    needed = f"a Butterworth filter of order {chosen.order} needs more than {padding} volumes, and"
    if span is not None and span <= padding:
        return f"{needed} there are {span} from the first kept one to the last"
    for name, edge in (("high_pass", chosen.high_pass), ("low_pass", chosen.low_pass)):
        if edge is not None and edge >= nyquist:
            return (
                f"{name} of {edge:g} Hz is not below the Nyquist frequency, {nyquist:g} Hz for "
                f"a repetition time of {t_r:g} s"
            )
    if chosen.high_pass is not None and chosen.high_pass * duration < 0.5:
        return (
            f"high_pass of {chosen.high_pass:g} Hz has no half period in a run of {duration:g} s; "
            f"a run can carry frequencies from {0.5 / duration:g} Hz to the Nyquist frequency, "
            f"{nyquist:g} Hz"
        )
    if n_volumes <= padding:
        return f"{needed} the run has {n_volumes} (Nyquist frequency {nyquist:g} Hz)"
    return None


def parts(dof: DegreesOfFreedom) -> str:
    """Show degrees of freedom as the sum of their parts."""
    text = (
        f"{dof.kept} volumes kept - {dof.rank} rank removed "
        f"- {rounded(dof.filtered)} lost to filtering"
    )
    gaps = f" - {rounded(dof.censored)} to filtering across censored volumes"
    undrawn = f" - {rounded(dof.undrawn)} with volumes that are not drawn"
    return text + gaps * (dof.censored > 0) + undrawn * (dof.undrawn > 0)


def rounded(value: float) -> str:
    """Round to one decimal, and whole numbers to none.

    >>> rounded(11.91), rounded(86)
    ('11.9', '86')
    """
    return f"{round(value, 1):g}"
