"""Weights applied to a stream of volumes: one value per volume and sphere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import matmul
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.aggregate import aggregate, check_aggregation
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.smoothing import applied_weights, check_fwhm, smoothed
from bids_spheres.engine.spheres import SphereWeights, as_points, sphere_weights
from bids_spheres.engine.stream import load_mask, open_volumes, read_ahead
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage
    from numpy.typing import NDArray
    from scipy import sparse

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.stream import Volumes, Voxels

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VoxelMoments:
    """Mean and spread over time of the voxels in any sphere.

    Parameters
    ----------
    mean, sd : (V,) arrays
        Of `SphereWeights.voxels`; the standard deviation is that of a sample (N - 1).
    missing : (V,) bool array
        Whether a value was not finite in any volume.
    """

    mean: FloatArray
    sd: FloatArray
    missing: NDArray[np.bool_]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Voxels with a signal: finite throughout, and not constant, (V,)."""
        return (self.sd > 0) & ~self.missing

    def coverage(self, weights: SphereWeights) -> FloatArray:
        """Share of each sphere's voxels that is used and has a signal, (S,), 0 to 1."""
        return (weights.membership @ self.alive.astype(np.float64)) / weights.asked

    def tsnr(self, weights: SphereWeights) -> FloatArray:
        """Temporal signal-to-noise ratio of each sphere, (S,): mean over its voxels of mean / SD.

        Voxels without a signal have none and are left out; NaN where none is left.
        """
        ratio = np.divide(self.mean, self.sd, out=np.zeros_like(self.mean), where=self.alive)
        count = weights.membership @ self.alive.astype(np.float64)
        total = weights.membership @ ratio
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


@dataclass(frozen=True, eq=False)
class Extraction:
    """What one pass over an image gives.

    Parameters
    ----------
    timeseries : (T, S) array
        One series per sphere, in the units of the image; NaN for spheres without a voxel.
    weights : SphereWeights
        Which voxels went into them.
    moments : VoxelMoments, optional
        Of these voxels, if they were asked for.
    t_r : float
        Repetition time that the image's header gives, s; 0 when it gives none.
    """

    timeseries: FloatArray
    weights: SphereWeights
    moments: VoxelMoments | None
    t_r: float


def extract(
    volumes: Volumes,
    weights: SphereWeights,
    fwhm: float | None = None,
    *,
    aggregation: Aggregation = "mean",
    moments: bool = False,
    threads: int = 2,
) -> Extraction:
    """One time series per sphere, reading the image once.

    Values that are not finite count as 0, as in nilearn's maskers.

    Parameters
    ----------
    volumes : Volumes
    weights : SphereWeights
    fwhm : float, optional
        Width of the Gaussian by which the image is smoothed first, mm.
    aggregation : {"mean", "median", "eigenvariate"}
        "mean" holds a few volumes in memory, the others every voxel of the spheres over time.
    moments : bool
        Also get mean and standard deviation of every voxel of a sphere.
    threads : int
        1 reads and computes by turns; 2 at the same time. The numbers are the same.

    Raises
    ------
    DataError
        When the weights were made for another grid, or the file is damaged.
    UsageError
        For an unknown aggregation.
    """
    if not weights.grid.matches(volumes.grid):
        raise DataError(f"{volumes.name}: the sphere weights belong to another image grid.")
    check_aggregation(aggregation)
    spread = _Spread() if moments else None
    source = _Source(volumes, spread, threads)
    if aggregation != "mean":
        timeseries = aggregate(_voxel_series(source, weights, fwhm), weights, aggregation)
    elif fwhm is None:
        timeseries = _means(source, weights)
    else:
        timeseries = _smoothed_means(source, weights, fwhm)
    timeseries[:, weights.empty] = np.nan
    seen = None if spread is None else spread.moments(volumes)
    return Extraction(timeseries, weights, seen, volumes.t_r)


def extract_spheres(
    image: str | Path | SpatialImage,
    seeds: SeedTable | FloatArray | list[tuple[float, float, float]],
    radius: float | None = None,
    mask: str | Path | SpatialImage | None = None,
    *,
    smoothing_fwhm: float | None = None,
    aggregation: Aggregation = "mean",
) -> Extraction:
    """Time series of spheres around seeds, from an image file.

    Parameters
    ----------
    image : path or nibabel image
        3-D or 4-D. A compressed file is read once, as a stream.
    seeds : SeedTable or (S, 3) array-like, mm
        In the space of the image.
    radius : float, optional
        mm. Default: the table's radii; for an array, the one voxel that holds each seed.
    mask : path or nibabel image, optional
        Only voxels in which it is not zero are used; its nearest voxel counts when it is
        on another grid.
    smoothing_fwhm : float, optional
        Width of a Gaussian, mm; the numbers are those of the smoothed image.
    aggregation : {"mean", "median", "eigenvariate"}
        What makes one series of the voxels of a sphere.

    Returns
    -------
    Extraction

    Raises
    ------
    MissingInputError, DataError, ReadWriteError
        When a file is not there, is not an image, ends early or can't be read.
    """
    coordinates, radii = _points(seeds, radius)
    volumes = open_volumes(image)
    region = load_mask(mask) if mask is not None else (None, None)
    weights = sphere_weights(coordinates, radii, volumes.grid, *region)
    return extract(volumes, weights, check_fwhm(smoothing_fwhm), aggregation=aggregation)


def _points(
    seeds: SeedTable | FloatArray | list[tuple[float, float, float]], radius: float | None
) -> tuple[FloatArray, FloatArray | float]:
    if isinstance(seeds, SeedTable):
        table = seeds if radius is None else seeds.with_radius(radius)
        return table.coordinates, table.radii
    return as_points(seeds), radius or 0.0


@dataclass(frozen=True, eq=False)
class _Source:
    """An image, what is to be known of its voxels, and by how many threads it is read."""

    volumes: Volumes
    spread: _Spread | None
    threads: int


def _means(source: _Source, weights: SphereWeights) -> FloatArray:
    """Mean over each sphere, summed voxel by voxel in double precision."""
    sums = []
    for block in _finite_blocks(source, weights.voxels):
        sums.append(_along_volumes(weights.sums, block.astype(np.float64)))
        if source.spread is not None:
            source.spread.add(block)
    return _real(np.vstack(sums) / np.maximum(weights.used, 1), source.volumes)


def _smoothed_means(source: _Source, weights: SphereWeights, fwhm: float) -> FloatArray:
    """Mean over each sphere of the smoothed image, as that of the first volume and changes.

    Weights of smoothed images are many, and single precision halves the memory through which
    they travel. Voxels differ little from one volume to the next, so that it holds these
    changes to a billionth of the signal.
    """
    volumes, spread = source.volumes, source.spread
    applied = applied_weights(weights, fwhm, single=_fits_single(volumes.stored_dtype))
    own = np.searchsorted(applied.voxels, weights.voxels)
    origin: NDArray[Any] = np.zeros(len(applied.voxels), applied.dtype)
    changes: list[NDArray[Any]] = []
    for block in _finite_blocks(source, applied.voxels, own):
        if not changes:
            # The next block is being read while the weights are made.
            product = _Products(applied.matrix, source.threads)
            origin = block[0].astype(origin.dtype)
            memory = np.empty((len(block), len(origin)), origin.dtype)
        if spread is not None:
            spread.add(block[:, own])
        change = block if block.dtype == origin.dtype else memory[: len(block)]
        changes.append(product(np.subtract(block, origin, out=change)))
    stored = np.vstack(changes, dtype=np.float64) + _product_in_double(applied.matrix, origin)
    return _real(stored, volumes)[:, applied.row_of]


def _along_volumes(matrix: sparse.csr_array, block: NDArray[Any]) -> NDArray[Any]:
    """(B, S) products of (S, U) weights and a (B, U) block."""
    # The product runs along the volumes, so those must lie side by side in memory.
    product: NDArray[Any] = matrix @ np.ascontiguousarray(block.T)
    return product.T


class _Products:
    """Products of (S, U) weights with (B, U) blocks; scipy computes without Python's lock."""

    def __init__(self, matrix: sparse.csr_array, threads: int) -> None:
        half = matrix.shape[0] // 2 if threads > 1 else 0
        self._upper, self._lower = _rows(matrix, 0, half), _rows(matrix, half, matrix.shape[0])
        # Large arrays are used again: getting fresh memory from the system takes its time.
        self._memory = np.empty(0, matrix.dtype)

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:
        """(B, S) products, where `block` has the data type of the weights."""
        if self._memory.size < block.size:
            self._memory = np.empty(block.size, self._memory.dtype)
        by_voxel = self._memory[: block.size].reshape(block.shape[::-1])
        by_voxel[:] = block.T
        if not self._upper.shape[0]:
            return np.asarray(self._lower @ by_voxel).T
        with ThreadPoolExecutor(1) as other:
            upper = other.submit(matmul, self._upper, by_voxel)
            lower = self._lower @ by_voxel
            return np.vstack([upper.result(), lower]).T


def _rows(matrix: sparse.csr_array, start: int, stop: int) -> sparse.csr_array:
    """Some rows as a view; slicing would copy them."""
    pointers = matrix.indptr[start : stop + 1]
    own = slice(pointers[0], pointers[-1])
    parts = matrix.data[own], matrix.indices[own], pointers - pointers[0]
    return type(matrix)(parts, shape=(stop - start, matrix.shape[1]))


def _real(stored: NDArray[Any], volumes: Volumes) -> FloatArray:
    """Real values of stored ones, as the header scales them."""
    if volumes.slope == 1 and volumes.inter == 0:
        return np.asarray(stored, dtype=np.float64)
    return volumes.slope * stored + volumes.inter


def _voxel_series(source: _Source, weights: SphereWeights, fwhm: float | None) -> FloatArray:
    """Every voxel of the spheres over time, (T, V); of the smoothed image, if asked.

    Moments are those of the image as it is: neighbours bleed into a voxel without a signal.
    """
    volumes, spread = source.volumes, source.spread
    voxels, series = weights.voxels, []
    read, own = (None, voxels) if fwhm else (voxels, slice(None))
    for block in _finite_blocks(source, read, own):
        if spread is not None:
            spread.add(block[:, own])
        if fwhm:
            series += [smoothed(volume, volumes.grid, fwhm)[voxels] for volume in block]
        else:
            series.append(block)
    return _real(np.vstack(series, dtype=np.float64), volumes)


def _finite_blocks(
    source: _Source, voxels: Voxels, own: NDArray[np.intp] | slice = slice(None)
) -> Iterator[NDArray[Any]]:
    """Stored values with those whose real value is 0 in place of NaN and infinity.

    Of the voxels `own`, `spread` is told which were not finite.
    """
    volumes, spread = source.volumes, source.spread
    blocks = volumes.stored_blocks(voxels)
    for block in read_ahead(blocks) if source.threads > 1 else blocks:
        if block.dtype.kind == "f":
            missing = ~np.isfinite(block)
            block[missing] = -volumes.inter / volumes.slope
            if spread is not None:
                spread.miss(missing[:, own])
        yield block


def _fits_single(dtype: np.dtype[Any]) -> bool:
    """Whether values of a type have no more than the 24 bits of single precision."""
    return dtype.itemsize < 4 or dtype == np.float32


def _product_in_double(matrix: sparse.csr_array, vector: NDArray[Any]) -> FloatArray:
    """Matrix x vector with sums in double precision, without a second matrix in memory."""
    count = matrix.shape[0]
    wide = vector.astype(np.float64)
    pieces = (_rows(matrix, i, min(i + 256, count)) @ wide for i in range(0, count, 256))
    return np.concatenate([np.empty(0), *pieces])


class _Spread:
    """Temporal mean and variance, block by block.

    Taken of differences from the first volume, so that a large mean does not drown a small
    variance (Chan, Golub & LeVeque 1983).
    """

    def __init__(self) -> None:
        self._count = 0
        self._missing: Any = False
        self._origin: Any = 0.0
        self._sum: Any = 0.0
        self._sum_of_squares: Any = 0.0

    def miss(self, missing: NDArray[np.bool_]) -> None:
        self._missing = self._missing | missing.any(axis=0)

    def add(self, block: NDArray[Any]) -> None:
        if not self._count:
            self._origin = block[0].astype(np.float64)
        change = block - self._origin
        self._count += len(change)
        self._sum += change.sum(axis=0)
        self._sum_of_squares += np.einsum("tv,tv->v", change, change)

    def moments(self, volumes: Volumes) -> VoxelMoments:
        mean = self._sum / self._count
        scatter = np.maximum(self._sum_of_squares - self._count * mean**2, 0)
        sd = np.sqrt(scatter / max(1, self._count - 1))
        missing = np.broadcast_to(self._missing, sd.shape)
        return VoxelMoments(_real(self._origin + mean, volumes), abs(volumes.slope) * sd, missing)
