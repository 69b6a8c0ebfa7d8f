"""Regressors from the voxels that vary most (tCompCor), without a mask of noise tissue.

Two passes over the image, so that it never is in memory: the first gives each voxel's mean
square, the second takes the series of those above a percentile of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, UsageError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage

    from bids_spheres.engine.arrays import FloatArray, IntArray
    from bids_spheres.engine.stream import Volumes

    Image = str | Path | SpatialImage | Volumes


def high_variance_confounds(
    img: Image,
    n_confounds: int = 5,
    percentile: float = 2.0,
    detrend: bool = True,
    mask_img: Image | None = None,
) -> FloatArray:
    """First principal components of the voxels that vary most.

    After Behzadi et al. 2007 (doi:10.1016/j.neuroimage.2007.04.042). The numbers are those of
    `nilearn.image.high_variance_confounds`, up to sign, computed in double precision.

    Parameters
    ----------
    img : path or nibabel image
        4-D, (X, Y, Z, T).
    n_confounds : int
        Components wanted.
    percentile : float
        Share of voxels to take, per cent; those of the highest mean square.
    detrend : bool
        Remove mean and linear trend of every voxel first. Without, the mean counts as well.
    mask_img : path or nibabel image, optional
        On the grid of `img`; where it isn't 0, voxels are looked at, and their values that
        aren't finite count as 0. Without a mask, voxels with such values are left out.

    Returns
    -------
    (T, n_confounds) array
        Orthonormal, that of the largest variance first, the largest value of each positive.
        Fewer columns, and a warning, when the voxels have not so many components: nilearn
        returns arbitrary vectors then.

    Raises
    ------
    UsageError
        For a percentile beyond 0 to 100 or fewer than one component.
    DataError
        For an image of one volume, one without finite voxels, or a mask on another grid.
    """
    if not 0 <= percentile <= 100 or n_confounds < 1:
        raise UsageError(
            "High variance confounds need a percentile of 0 to 100 and one component or more, "
            f"not {percentile=}, {n_confounds=}."
        )
    volumes = open_volumes(img)
    if volumes.n_volumes < 2:
        raise DataError(f"{volumes.name} has one volume; variance over time needs more.")
    voxels, fill = np.arange(int(np.prod(volumes.grid.shape))), mask_img is not None
    if mask_img is not None:
        mask, grid = load_mask(mask_img)
        if not grid.matches(volumes.grid):
            raise DataError(f"The mask is not on the grid of {volumes.name}.")
        voxels = np.flatnonzero(mask.ravel(order="F"))
    with np.errstate(invalid="ignore", over="ignore"):
        power = _mean_squares(_blocks(volumes, voxels, fill=fill), volumes.n_volumes, detrend)
    if np.isnan(power).all():
        raise DataError(f"{volumes.name} has no voxel that is finite in every volume.")
    most = voxels[power > np.nanpercentile(power, 100 - percentile)]
    series = np.vstack(list(_blocks(volumes, most, fill=fill)))
    if detrend:
        times = _times(len(series))
        slope = times @ series / (times @ times)
        series -= series.mean(axis=0) + np.outer(times, slope)
    return _components(series, n_confounds)


def _blocks(volumes: Volumes, voxels: IntArray, *, fill: bool) -> Iterator[FloatArray]:
    for block in volumes.blocks(voxels):
        yield np.nan_to_num(block, copy=False, posinf=0, neginf=0) if fill else block


def _mean_squares(blocks: Iterator[FloatArray], n_volumes: int, detrend: bool) -> FloatArray:
    """Mean square of each voxel, less mean and trend, (V,); NaN where a value wasn't finite."""
    times, first = _times(n_volumes), 0
    origin = total = along = square = np.zeros(())
    for block in blocks:
        if detrend:
            # Sums of squares of large values lose small changes.
            origin = origin if first else block[0].copy()
            np.subtract(block, origin, out=block)
            total = total + block.sum(axis=0)
            along = along + times[first : first + len(block)] @ block
        square = square + np.einsum("bv,bv->v", block, block)
        first += len(block)
    explained = total**2 / n_volumes + along**2 / (times @ times)
    mean = np.maximum(0, square - explained) / n_volumes
    return np.where(np.isfinite(mean), mean, np.nan)


def _times(n_volumes: int) -> FloatArray:
    """Volume numbers, centred."""
    return np.arange(n_volumes, dtype=np.float64) - (n_volumes - 1) / 2


def _components(series: FloatArray, n_wanted: int) -> FloatArray:
    """Leading left singular vectors, from the smaller of the two Gram matrices."""
    n_volumes = len(series)
    first = max(0, n_volumes - n_wanted)
    gram = series @ series.T / n_volumes
    power, vectors = linalg.eigh(gram, subset_by_index=(first, n_volumes - 1))
    power, vectors = power[::-1], vectors[:, ::-1]
    independent = power > max(power[0], 0) * n_volumes * np.finfo(np.float64).eps
    if independent.sum() < n_wanted:
        warn(
            f"{count(series.shape[1], 'voxel')} and {count(n_volumes, 'volume')} have "
            f"{count(int(independent.sum()), 'component')} of "
            f"high variance, not {n_wanted}: take a higher percentile."
        )
    vectors = vectors[:, independent]
    peak = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[peak, np.arange(vectors.shape[1])])
