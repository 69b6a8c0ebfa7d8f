"""Voxels of a sphere to one time series, where that is not their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.engine.spheres import SphereWeights

    FloatArray = NDArray[np.float64]

Aggregation = Literal["mean", "median", "eigenvariate"]


def check_aggregation(aggregation: str) -> Aggregation:
    """`aggregation`, if there is one of that name.

    Raises
    ------
    UsageError
        When there is not.
    """
    if aggregation not in ("mean", "median", "eigenvariate"):
        raise UsageError(
            f"aggregation must be 'mean', 'median' or 'eigenvariate', not {aggregation!r}."
        )
    return aggregation  # type: ignore[return-value]


def aggregate(
    voxel_series: FloatArray, weights: SphereWeights, aggregation: Aggregation
) -> FloatArray:
    """One series per sphere.

    Parameters
    ----------
    voxel_series : (T, V) array
        Of `weights.voxels`.
    weights : SphereWeights
    aggregation : {"mean", "median", "eigenvariate"}

    Returns
    -------
    (T, S) array
        NaN for spheres without a voxel.
    """
    reduce = {"mean": _mean, "median": _median, "eigenvariate": eigenvariate}
    function = reduce[check_aggregation(aggregation)]
    membership = weights.membership
    series = np.full((len(voxel_series), len(weights.asked)), np.nan)
    for sphere in np.flatnonzero(~weights.empty):
        own = membership.indices[membership.indptr[sphere] : membership.indptr[sphere + 1]]
        series[:, sphere] = function(voxel_series[:, own])
    return series


def eigenvariate(voxel_series: FloatArray) -> FloatArray:
    """First eigenvariate of voxels, as in a volume of interest of SPM.

    The first left singular vector of the series about their means, scaled to their root mean
    square (u sqrt(s / n) with the first eigenvalue s of the voxels' scatter), with the sign by
    which most of the weights are positive (``spm_regions``). The mean of all voxels is added, so
    that the level, by which per cent signal change is counted, is kept.

    Parameters
    ----------
    voxel_series : (T, n) array

    Returns
    -------
    (T,) array
    """
    centred = voxel_series - voxel_series.mean(axis=0)
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    sign = 1.0 if right[0].sum() >= 0 else -1.0
    scale = size[0] / np.sqrt(voxel_series.shape[1])
    return sign * scale * left[:, 0] + voxel_series.mean()


def _mean(voxel_series: FloatArray) -> FloatArray:
    return np.asarray(voxel_series.mean(axis=1))


def _median(voxel_series: FloatArray) -> FloatArray:
    return np.asarray(np.median(voxel_series, axis=1))
