"""Series of a run through the steps of a strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds.design import removed_regressors, temporal_steps
from bids_spheres.engine.aggregate import aggregate_cleaned
from bids_spheres.engine.clean import clean
from bids_spheres.engine.degrees_of_freedom import effective_degrees_of_freedom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.engine.aggregate import VoxelSeries
    from bids_spheres.participant.designs import RunDesign

    FloatArray = NDArray[np.float64]


def clean_series(
    timeseries: FloatArray, run_design: RunDesign, voxels: VoxelSeries | None = None
) -> FloatArray:
    """Cleaned series of the volumes in use, (T', S).

    NaN for spheres without a signal, and for all when the run is excluded.

    Parameters
    ----------
    timeseries : (T, S) array
        NaN for spheres without a signal.
    run_design : RunDesign
    voxels : VoxelSeries, optional
        Series of the voxels of the spheres, which are cleaned instead and put together afterwards.
    """
    rows = rows_in_use(run_design)
    cleaned = np.full((int(rows.sum()), timeseries.shape[1]), np.nan)
    complete = ~np.isnan(timeseries).any(axis=0)
    # Without degrees of freedom the residuals are rounding errors, scaled up to look like data.
    if not complete.any() or run_design.exclusion is not None:
        return cleaned
    arguments = clean_arguments(run_design)
    if voxels is None:
        cleaned[:, complete] = clean(timeseries[:, complete], **arguments)[rows]
    else:
        used, rule = voxels.of(np.flatnonzero(complete)), run_design.processing.aggregation
        cleaned[:, complete] = aggregate_cleaned(used, rule, arguments)[rows]
    return cleaned


def rows_in_use(run_design: RunDesign) -> NDArray[np.bool_]:
    """Those of the kept volumes that are drawn after cleaning."""
    return np.asarray(run_design.used[run_design.design.kept])


def clean_arguments(run_design: RunDesign) -> dict[str, Any]:
    """Arguments of `bids_spheres.engine.clean.clean` for a strategy in its run."""
    rules = run_design.processing
    return {
        "detrend": rules.detrend,
        "standardize": rules.standardize,
        "confounds": removed_regressors(
            run_design.design, run_design.strategy, run_design.timing.t_r
        ),
        **temporal_steps(run_design.design, run_design.strategy, run_design.timing.t_r),
    }


def effective_dof(cleaned: FloatArray, run_design: RunDesign) -> FloatArray:
    """Effective degrees of freedom of the correlation of every two cleaned series, (S, S).

    At most one more than the degrees of freedom of white series, because the variance of a
    correlation of N independent values is 1 / (N - 1).
    """
    n_spheres = cleaned.shape[1]
    if run_design.exclusion is not None:
        return np.full((n_spheres, n_spheres), np.nan)
    # What was regressed out at the kept volumes, filtered as the series were.
    kept, t_r = run_design.design.kept, run_design.timing.t_r
    removed = removed_regressors(run_design.design, run_design.strategy, t_r)
    regressors = [np.empty((int(kept.sum()), 0))]
    if run_design.processing.detrend:
        regressors.append(np.linspace(-1, 1, len(kept))[kept, np.newaxis])
    if removed is not None:
        steps = temporal_steps(run_design.design, run_design.strategy, t_r)
        # Detrended, so that a filter does not see the jump from the end to the beginning.
        regressors.append(clean(removed, detrend=True, standardize=False, **steps))
    left = run_design.degrees_of_freedom
    return effective_degrees_of_freedom(
        cleaned,
        kept=run_design.used,
        regressors=np.hstack(regressors)[rows_in_use(run_design)],
        degrees_lost=int(run_design.used.sum()) - left.residual,
    )
