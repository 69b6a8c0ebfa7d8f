"""Series of a run through the steps of a strategy, and what these leave of the volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds.components import COSINE
from bids_spheres.engine.autocorrelation import effective_degrees_of_freedom
from bids_spheres.engine.clean import clean
from bids_spheres.engine.filters import cosine_basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.designs import RunDesign

    FloatArray = NDArray[np.float64]


def clean_series(timeseries: FloatArray, made: RunDesign) -> FloatArray:
    """Cleaned series of the kept volumes.

    Parameters
    ----------
    timeseries : (T, S) array
        NaN for spheres without a signal.
    made : RunDesign

    Returns
    -------
    (T', S) array
        NaN for spheres without a signal, and for all when the run is excluded.
    """
    cleaned = np.full((made.design.n_kept, timeseries.shape[1]), np.nan)
    there = ~np.isnan(timeseries).any(axis=0)
    # Without degrees of freedom the residuals are rounding errors, scaled up to look like data.
    if there.any() and made.exclusion is None:
        cleaned[:, there] = clean(timeseries[:, there], **clean_arguments(made))
    return cleaned


def clean_arguments(made: RunDesign) -> dict[str, Any]:
    """Arguments of `bids_spheres.engine.clean.clean` for a strategy in its run."""
    rules = made.processing
    return {
        "detrend": rules.detrend,
        "standardize": rules.standardize,
        "confounds": _removed(made),
        **_steps(made),
    }


def effective_dof(cleaned: FloatArray, made: RunDesign) -> FloatArray:
    """Effective degrees of freedom of the correlation of every two cleaned series, (S, S)."""
    n_spheres = cleaned.shape[1]
    if made.exclusion is not None:
        return np.full((n_spheres, n_spheres), np.nan)
    left = made.freedom
    return effective_degrees_of_freedom(
        cleaned,
        kept=made.design.kept,
        regressors=_filtered_regressors(made),
        degrees_lost=left.kept - left.residual,
    )


def white_noise_freedom(made: RunDesign) -> float:
    """Degrees of freedom that white noise would have after cleaning.

    Cleaning is linear: x -> M x, so that the covariance of cleaned white noise over time is
    C = M M', and a sum of its squares has tr(C)^2 / tr(C^2) degrees of freedom (Satterthwaite
    1946, doi:10.2307/3002019). Without a filter that is kept volumes - rank. With one it counts
    what dimensions can't: that a Butterworth filter has no sharp edge and amplifies the ends of a
    run, and that interpolated volumes tell the filter nothing new.

    Parameters
    ----------
    made : RunDesign

    Returns
    -------
    float
        NaN for an excluded run.
    """
    if made.exclusion is not None:
        return float("nan")
    if made.strategy.filter is None or made.strategy.filter.type == "cosine":
        return float(made.freedom.residual)
    impulses = np.eye(made.timing.n_volumes)
    cleaned = clean(impulses, **{**clean_arguments(made), "standardize": False})
    cleaned -= cleaned.mean(axis=0)
    covariance = cleaned @ cleaned.T
    return float(np.trace(covariance) ** 2 / np.sum(covariance**2))


def _removed(made: RunDesign) -> FloatArray | None:
    """Regressors, with the cosines of a cosine filter unless fMRIPrep's are among them."""
    design, chosen = made.design, made.strategy.filter
    parts = [design.values] if design.columns else []
    # By name: head motion often looks like a cosine, and then `clean` would take it for one.
    if chosen and chosen.type == "cosine" and not any(map(COSINE.match, design.columns)):
        timing = made.timing
        parts.append(cosine_basis(timing.n_volumes, timing.t_r, chosen.high_pass or 0.0))
    return np.hstack(parts) if parts else None


def _steps(made: RunDesign) -> dict[str, Any]:
    """Arguments of `clean` for the censoring and the filter of a strategy."""
    kept, chosen = made.design.kept, made.strategy.filter
    steps: dict[str, Any] = {
        "sample_mask": None if kept.all() else kept,
        "interpolate": "censored",
        # A spline beyond the kept volumes leaves all bounds; the run ends where they do.
        "extrapolate": False,
        "t_r": made.timing.t_r,
    }
    if chosen and chosen.type == "butterworth":  # cosines are regressors
        band = {"high_pass": chosen.high_pass, "low_pass": chosen.low_pass}
        steps |= {"filter": chosen.type, "order": chosen.order, **band}
    return steps


def _filtered_regressors(made: RunDesign) -> FloatArray:
    """What was regressed out at the kept volumes, filtered as the series were, (T', K)."""
    kept, removed = made.design.kept, _removed(made)
    trend = np.linspace(-1, 1, len(kept))[:, np.newaxis]
    parts = [*([removed] if removed is not None else []), *([trend] * made.processing.detrend)]
    if not parts:
        return np.empty((made.design.n_kept, 0))
    # Detrended alike, so that a filter does not see the jump from the end to the beginning.
    filtered: FloatArray = clean(np.hstack(parts), detrend=True, standardize=False, **_steps(made))
    return np.hstack([filtered, trend[kept]]) if made.processing.detrend else filtered
