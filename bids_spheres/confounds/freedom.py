"""What a strategy leaves of a run, and whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.components import COSINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.confounds.design import Design
    from bids_spheres.confounds.strategy import Strategy, TemporalFilter


@dataclass(frozen=True)
class Freedom:
    """Degrees of freedom of one run after one strategy.

    Parameters
    ----------
    volumes : int
        Of the run.
    kept : int
        That are not censored.
    rank : int
        Dimensions of regressors, mean and, if asked, trend.
    filtered : int
        Dimensions that the filter removes, see `lost_to_filter`.
    seconds : float
        Kept volumes x repetition time.
    """

    volumes: int
    kept: int
    rank: int
    filtered: int
    seconds: float

    @property
    def residual(self) -> int:
        """What is left: kept - rank - filtered."""
        return self.kept - self.rank - self.filtered


@dataclass(frozen=True)
class Exclusion:
    """Why one run has no result for one strategy.

    Parameters
    ----------
    reason : str
        What is wrong, joined by ``; `` when it is more than one thing.
    freedom : Freedom
        The numbers.
    """

    reason: str
    freedom: Freedom


def degrees_of_freedom(design: Design, strategy: Strategy, t_r: float, detrend: bool) -> Freedom:
    """Count degrees of freedom.

    Parameters
    ----------
    design : Design
    strategy : Strategy
    t_r : float
        Repetition time, s.
    detrend : bool
        Whether a linear trend is removed besides the mean.
    """
    return Freedom(
        volumes=len(design.kept),
        kept=design.n_kept,
        rank=design.rank(detrend=detrend),
        filtered=_lost(design, strategy.filter, t_r),
        seconds=design.n_kept * t_r,
    )


def exclusion(
    design: Design, strategy: Strategy, t_r: float, detrend: bool, floor: int = 1
) -> Exclusion | None:
    """Say why too little is left of a run, if so.

    Parameters
    ----------
    design, strategy, t_r, detrend
        As for `degrees_of_freedom`.
    floor : int
        Residual degrees of freedom that a run must have.

    Returns
    -------
    Exclusion or None
        None when enough is left.
    """
    left = degrees_of_freedom(design, strategy, t_r, detrend)
    reasons = list(_reasons(left, strategy, floor))
    return Exclusion("; ".join(reasons), left) if reasons else None


def lost_to_filter(
    chosen: TemporalFilter, n_kept: int, t_r: float, n_volumes: int | None = None
) -> int:
    """Dimensions that a temporal filter removes, the mean apart, which `Design.rank` counts.

    A run of T volumes has the frequencies k / (T t_r), k = 1 .. T // 2, with a cosine and a sine
    each, but for the last one of an even T. Those outside the band are lost: for large T the
    fraction 1 - (low_pass - high_pass) 2 t_r. So does AFNI count (``1dBport``, which makes the
    regressors of ``afni_proc.py -regress_bandpass``). See also Davey et al. 2013,
    doi:10.1016/j.neuroimage.2012.08.022, on correlations of filtered series. Filters come before
    censoring: of the dimensions that pass, n kept volumes can tell n apart, and no more are
    lost than that.
    A cosine filter removes as many dimensions as it has regressors, floor(2 T t_r high_pass).

    Where regressors and stop band overlap, what both remove is counted twice. What a Butterworth
    filter lets through beyond its edges and what interpolation makes up in gaps of many volumes
    are not counted; `bids_spheres.cleaning.white_noise_freedom` counts both.

    Parameters
    ----------
    chosen : TemporalFilter
    n_kept : int
        Volumes kept, n.
    t_r : float
        Repetition time, s.
    n_volumes : int, optional
        Of the run, T; the same as `n_kept` by default.

    Examples
    --------
    0.01 to 0.1 Hz leave 37 of the 100 frequencies of 200 volumes every 2 s:

    >>> from bids_spheres.confounds import TemporalFilter
    >>> lost_to_filter(TemporalFilter(0.01, 0.1), 200, 2.0)
    125
    """
    high_pass, low_pass = chosen.high_pass or 0.0, chosen.low_pass or np.inf
    n_volumes = n_kept if n_volumes is None else n_volumes
    if chosen.type == "cosine":
        return min(n_volumes - 1, int(2 * n_volumes * t_r * high_pass))
    k = np.arange(1, n_volumes // 2 + 1)
    frequencies = k / (n_volumes * t_r) if n_volumes else k
    # The margin is for edges that are one of the frequencies, but for rounding.
    outside = (frequencies < high_pass * (1 - 1e-9)) | (frequencies > low_pass * (1 + 1e-9))
    stopped = int(np.where(2 * k == n_volumes, 1, 2)[outside].sum())
    return max(0, n_kept - (n_volumes - stopped))


def filter_problem(chosen: TemporalFilter, t_r: float, n_volumes: int) -> str | None:
    """Say why a run can't carry a filter, if so.

    Parameters
    ----------
    chosen : TemporalFilter
    t_r : float
        Repetition time, s.
    n_volumes : int
        Of the run, censored ones included: they are interpolated before filtering.
    """
    nyquist, duration = 0.5 / t_r, n_volumes * t_r
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
    if chosen.type == "butterworth" and n_volumes <= (padding := _padding(chosen)):
        return (
            f"a Butterworth filter of order {chosen.order} needs more than {padding} volumes, and "
            f"the run has {n_volumes} (Nyquist frequency {nyquist:g} Hz)"
        )
    return None


def _padding(chosen: TemporalFilter) -> int:
    """Volumes by which scipy.signal.sosfiltfilt extends a run: 3 (poles + 1)."""
    is_band = chosen.high_pass is not None and chosen.low_pass is not None
    return 3 * (chosen.order * (2 if is_band else 1) + 1)


def _lost(design: Design, chosen: TemporalFilter | None, t_r: float) -> int:
    if chosen is None or not design.n_kept:
        return 0
    if chosen.type == "cosine" and any(COSINE.match(name) for name in design.columns):
        return 0  # fMRIPrep's cosines stand in for the filter's, and count among the regressors
    # Volumes censored at either end are not interpolated: the run ends where kept volumes do.
    kept = np.flatnonzero(design.kept)
    n_volumes = len(design.kept) if chosen.type == "cosine" else int(np.ptp(kept)) + 1
    return lost_to_filter(chosen, design.n_kept, t_r, n_volumes)


def _reasons(left: Freedom, strategy: Strategy, floor: int) -> Iterator[str]:
    if not left.kept:
        yield f"no volume is left of {left.volumes}"
        return
    if left.kept < (strategy.min_volumes or 0):
        yield f"{left.kept} of {left.volumes} volumes are left, fewer than {strategy.min_volumes}"
    if left.seconds < (strategy.min_seconds or 0):
        yield f"{left.seconds:g} s are left, fewer than {strategy.min_seconds:g}"
    if left.residual < floor:
        yield (
            f"{left.residual} residual degrees of freedom, fewer than {floor} "
            f"({left.kept} volumes kept - {left.rank} rank of regressors, mean and trend "
            f"- {left.filtered} lost to filtering)"
        )
