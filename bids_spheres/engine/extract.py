"""Weights applied to a stream of volumes: one value per volume and sphere."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from operator import matmul
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.aggregate import VoxelSeries, check_aggregation
from bids_spheres.engine.screen import ScreenedVolumes
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.smoothing import applied_weights, check_fwhm, smoothed
from bids_spheres.engine.spheres import SphereWeights, as_points, sphere_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage
    from numpy.typing import NDArray
    from scipy import sparse

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.smoothing import AppliedWeights
    from bids_spheres.engine.stream import Volumes

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
        One series per sphere, in the units of the image; NaN for spheres without a usable voxel.
    weights : SphereWeights
        Which voxels lie in them.
    moments : VoxelMoments, optional
        Of these voxels, if they were asked for.
    t_r : float
        Repetition time that the image's header gives, s; 0 when it gives none.
    unusable : (V,) bool array
        Voxels of `weights` that were left out; none if all were to be used.
    voxels : VoxelSeries, optional
        Those of which `timeseries` are medians or eigenvariates, which are to be taken of cleaned
        voxels in the end (`bids_spheres.engine.aggregate.aggregate_cleaned`).
    """

    timeseries: FloatArray
    weights: SphereWeights
    moments: VoxelMoments | None
    t_r: float
    unusable: NDArray[np.bool_]
    voxels: VoxelSeries | None = None

    @property
    def reduced(self) -> NDArray[np.bool_]:
        """Spheres of which voxels were left out, (S,)."""
        return np.asarray(self.weights.membership @ self.unusable.astype(np.intp) > 0)


def extract(
    volumes: Volumes,
    weights: SphereWeights,
    fwhm: float | None = None,
    *,
    aggregation: Aggregation = "mean",
    moments: bool = False,
    threads: int = 2,
    usable_only: bool = True,
    folder: Path | None = None,
) -> Extraction:
    """One time series per sphere, reading the image once.

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
    usable_only : bool
        A voxel that is not finite in any volume, or constant over all (of more than one), is no
        voxel: it belongs to no sphere, and smoothing sees 0 there. Otherwise values that are not
        finite count as 0, which is the rule of nilearn's maskers, and their warning is given.
    folder : Path, optional
        Where values of voxels can be kept until it is known which are usable, volumes x voxels
        x bytes of a stored value, if `volumes` would have to be inflated again. Nothing is left
        there. Default: the system's folder for temporary files.

    Raises
    ------
    DataError
        When the weights were made for another grid, or the file is damaged.
    ReadWriteError
        When the image can't be read, or `folder` not be written to.
    UsageError
        For an unknown aggregation.
    """
    if not weights.grid.matches(volumes.grid):
        raise DataError(f"{volumes.name}: the sphere weights belong to another image grid.")
    check_aggregation(aggregation)
    applied = None
    if fwhm is not None:
        applied = applied_weights(weights, fwhm, single=_fits_single(volumes.stored_dtype))
    read = weights.voxels if applied is None else applied.voxels
    own = np.searchsorted(read, weights.voxels)
    with closing(
        ScreenedVolumes(volumes, read, own, usable_only=usable_only, folder=folder)
    ) as screened:
        job = _Extracting(screened, weights, fwhm, threads, _Spread() if moments else None)
        voxels = None
        if aggregation != "mean":
            voxels = _voxel_series(job)
            timeseries = voxels.aggregated(aggregation)
        elif applied is None:
            timeseries = _means(job)
        else:
            timeseries = _smoothed_means(job, applied)
    if screened.missing.any() and not usable_only:
        warn("Non-finite values detected. These values will be replaced with zeros.")
    timeseries[:, weights.empty] = np.nan
    seen = None if job.spread is None else job.spread.moments(volumes, screened.missing[own])
    unusable = screened.unusable[own]
    return Extraction(timeseries, weights, seen, volumes.t_r, unusable, voxels)


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

    A voxel that is not finite in any volume, or constant over all, is left out, with a warning.

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
    extraction = extract(volumes, weights, check_fwhm(smoothing_fwhm), aggregation=aggregation)
    if reduced := int(extraction.reduced.sum()):
        warn(
            f"{volumes.name}: voxels of {count(reduced, 'sphere')} are constant, or not finite in "
            "a volume; they are left out."
        )
    return extraction


def _points(
    seeds: SeedTable | FloatArray | list[tuple[float, float, float]], radius: float | None
) -> tuple[FloatArray, FloatArray | float]:
    if isinstance(seeds, SeedTable):
        table = seeds if radius is None else seeds.with_radius(radius)
        return table.coordinates, table.radii
    return as_points(seeds), radius or 0.0


@dataclass(frozen=True, eq=False)
class _Extracting:
    """Spheres, the image that they are read from, and what is learned on the way."""

    screened: ScreenedVolumes
    weights: SphereWeights
    fwhm: float | None
    threads: int
    spread: _Spread | None

    def blocks(self, keep: Callable[[], bool]) -> Iterator[NDArray[Any]]:
        """Blocks of the first reading; the spread is that of the image as it is."""
        for block in self.screened.blocks(self.threads, keep):
            if self.spread is not None:
                self.spread.add(block[:, self.screened.own] if self.fwhm else block)
            yield block

    def usable(self) -> NDArray[np.bool_]:
        """Which voxels of the spheres are voxels, (V,); known after the first reading."""
        return ~self.screened.unusable[self.screened.own]


def _means(job: _Extracting) -> FloatArray:
    """Mean over each sphere, summed voxel by voxel in double precision.

    Constant voxels are subtracted where that is exact: whole numbers, and 0.
    """
    screened, sums = job.screened, job.weights.sums
    total = np.vstack(
        [
            _along_volumes(sums, block.astype(np.float64))
            for block in job.blocks(screened.may_flicker)
        ]
    )
    usable, first = job.usable(), screened.first.astype(np.float64)
    if not usable.all():
        total -= sums @ np.where(usable, 0, first)
        inexact = screened.flickering | (screened.may_flicker() & (first != screened.zero))
        affected = sums @ (~usable & inexact).astype(np.float64) > 0
        if affected.any():
            some = sums[affected]
            again = [_along_volumes(some, block) for block in _again_without(screened)]
            total[:, affected] = np.vstack(again)
    count = sums @ usable.astype(np.float64)
    return _real(total / np.where(count > 0, count, np.nan), screened.volumes)


def _again_without(screened: ScreenedVolumes) -> Iterator[FloatArray]:
    """Stored values once more in double precision, 0 for voxels that are none."""
    for block in screened.again():
        values = block.astype(np.float64)
        values[:, screened.unusable] = 0
        yield values


def _smoothed_means(job: _Extracting, applied: AppliedWeights) -> FloatArray:
    """Mean over each sphere of the smoothed image.

    Spheres that lose a voxel, or near to one that has a part in changes, are computed again.
    """
    screened, weights = job.screened, job.weights
    changes, origin = _smoothed_changes(job.blocks(screened.may_leave), applied, job.threads)
    origin[screened.unusable] = screened.zero
    stored = _by_sphere(applied, changes, origin)
    usable = job.usable()
    left = weights.membership @ usable.astype(np.intp)
    flickering = screened.flickering.astype(applied.dtype)
    near = (applied.matrix @ flickering)[applied.row_of] > 0 if flickering.any() else False
    affected = (left > 0) & (near | (left < weights.used))
    if affected.any():
        part = weights.restricted(affected, usable)
        # Not to be kept by its memory of past calls: no other has these weights.
        new = applied_weights.__wrapped__(part, job.fwhm or 0.0, single=applied.is_single)
        # A box in other company may be larger; its weights beyond what was read are 0.
        columns = np.searchsorted(screened.voxels, new.voxels).clip(max=len(screened.voxels) - 1)
        blocks = (np.take(block, columns, axis=1) for block in screened.again())
        stored[:, affected] = _by_sphere(new, *_smoothed_changes(blocks, new, job.threads))[
            :, affected
        ]
    stored[:, left == 0] = np.nan
    return _real(stored, screened.volumes)


def _smoothed_changes(
    blocks: Iterator[NDArray[Any]], applied: AppliedWeights, threads: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weighted sums of changes from the first volume, (T, rows of the matrix), and that volume.

    Weights of smoothed images are many, and single precision halves the memory through which
    they travel. Voxels differ little from one volume to the next, so that it holds these
    changes to a billionth of the signal.
    """
    origin: NDArray[Any] = np.zeros(len(applied.voxels), applied.dtype)
    changes: list[NDArray[Any]] = []
    for block in blocks:
        if not changes:
            # The next block is being read while the weights are made.
            product = _Products(applied.matrix, threads)
            origin = block[0].astype(origin.dtype)
            memory = np.empty((len(block), len(origin)), origin.dtype)
        change = block if block.dtype == origin.dtype else memory[: len(block)]
        changes.append(product(np.subtract(block, origin, out=change)))
    return np.vstack(changes), origin


def _by_sphere(applied: AppliedWeights, changes: NDArray[Any], origin: NDArray[Any]) -> FloatArray:
    """Stored values of every sphere, (T, S), in double precision."""
    stored = changes.astype(np.float64) + _product_in_double(applied.matrix, origin)
    return stored[:, applied.row_of]


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


def _voxel_series(job: _Extracting) -> VoxelSeries:
    """Every voxel of the spheres over time; of the smoothed image, if asked.

    Moments are those of the image as it is: neighbours bleed into a voxel without a signal.
    """
    screened, weights = job.screened, job.weights
    volumes, members = screened.volumes, weights.membership.indices
    smoothing = job.fwhm is not None
    dtype = np.dtype(np.float64) if smoothing else volumes.stored_dtype
    values = np.empty((volumes.n_volumes, len(members)), dtype=dtype)
    blocks, row = job.blocks(lambda: smoothing), 0
    if smoothing and screened.usable_only:
        deque(blocks, maxlen=0)  # which voxels are to be seen as 0 is known at the end
        blocks = screened.again()
    for block in blocks:
        for volume in block if job.fwhm is None else _smoothed_volumes(job, block):
            values[row] = volume[members]
            row += 1
    starts = weights.membership.indptr
    return VoxelSeries(
        values, (volumes.slope, volumes.inter), starts[:-1], starts[1:], job.usable()[members]
    )


def _smoothed_volumes(job: _Extracting, block: NDArray[Any]) -> Iterator[FloatArray]:
    """Stored values of the spheres' voxels, (V,), in smoothed volumes."""
    grid = job.weights.grid
    volume = np.full(int(np.prod(grid.shape)), job.screened.zero)
    for values in block:
        volume[job.screened.voxels] = values
        yield smoothed(volume, grid, job.fwhm or 0.0)[job.weights.voxels]


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
        self._origin: Any = 0.0
        self._sum: Any = 0.0
        self._sum_of_squares: Any = 0.0

    def add(self, block: NDArray[Any]) -> None:
        if not self._count:
            self._origin = block[0].astype(np.float64)
        change = block - self._origin
        self._count += len(change)
        self._sum += change.sum(axis=0)
        self._sum_of_squares += np.einsum("tv,tv->v", change, change)

    def moments(self, volumes: Volumes, missing: NDArray[np.bool_]) -> VoxelMoments:
        mean = self._sum / self._count
        scatter = np.maximum(self._sum_of_squares - self._count * mean**2, 0)
        sd = np.sqrt(scatter / max(1, self._count - 1))
        return VoxelMoments(_real(self._origin + mean, volumes), abs(volumes.slope) * sd, missing)
