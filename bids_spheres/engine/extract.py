"""Weights applied to a stream of volumes: one value per volume and sphere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import matmul
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from bids_spheres.engine.aggregate import VoxelSeries, check_aggregation
from bids_spheres.engine.screen import ScreenedVolumes
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.smoothing import applied_weights, box_reached, check_fwhm, smoother
from bids_spheres.engine.spheres import SphereWeights, as_points, sphere_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, UsageError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage
    from scipy import sparse

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.arrays import BoolArray, DType, FloatArray, IntArray, RealArray
    from bids_spheres.engine.smoothing import AppliedWeights
    from bids_spheres.engine.stream import Volumes


_ENOUGH_VOLUMES = 8  # in which a voxel with a signal varies; else its spheres are read twice


@dataclass(frozen=True, eq=False)
class VoxelMoments:
    """Mean and sample standard deviation over time of the voxels in any sphere, (V,) each.

    `missing` are those that were not finite in some volume.
    """

    mean: FloatArray
    sd: FloatArray
    missing: BoolArray

    @property
    def alive(self) -> BoolArray:
        """Voxels with a signal: finite throughout, and not constant, (V,)."""
        return (self.sd > 0) & ~self.missing

    def coverage(self, weights: SphereWeights) -> FloatArray:
        """Share of each sphere's voxels that is used and has a signal, (S,), 0 to 1."""
        return weights.coverage_of(self.alive.astype(np.float64))

    def tsnr(self, weights: SphereWeights) -> FloatArray:
        """Mean over each sphere of mean / SD of voxels with a signal, (S,); else NaN."""
        ratio = np.divide(self.mean, self.sd, out=np.zeros_like(self.mean), where=self.alive)
        count = weights.magnitudes @ self.alive.astype(np.float64)
        return weights.magnitudes @ ratio / np.where(count > 0, count, np.nan)


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
        Of these voxels, if requested.
    t_r : float
        Repetition time that the image's header gives, s; 0 when it gives none.
    unusable : (V,) bool array
        Voxels of `weights` that were left out; none if all were to be used.
    voxels : VoxelSeries, optional
        Those that `timeseries` are medians or eigenvariates of; the final ones are computed from
        cleaned voxels (``engine.aggregate.aggregate_cleaned``).
    read_twice : bool
        Whether the image was read a second time, for voxels that are bad in some volumes alone.
    spikes : (S,) array, optional
        Share of the values of each sphere's voxels that despiking changed; NaN without a voxel.
    """

    timeseries: FloatArray
    weights: SphereWeights
    moments: VoxelMoments | None
    t_r: float
    unusable: BoolArray
    voxels: VoxelSeries | None = None
    read_twice: bool = False
    spikes: FloatArray | None = None

    @property
    def reduced(self) -> BoolArray:
        """Whether voxels were left out of each sphere, (S,)."""
        return np.asarray(self.weights.core @ self.unusable.astype(np.intp) > 0)


def extract(
    volumes: Volumes,
    weights: SphereWeights,
    fwhm: float | None = None,
    *,
    aggregation: Aggregation = "mean",
    despike: bool = False,
    moments: bool = False,
    threads: int = 2,
    usable_only: bool = True,
) -> Extraction:
    """One time series per sphere, reading the image once.

    It is read a second time for spheres with voxels that are bad in some volumes and not in
    others; in smoothed images also for voxels of spheres that vary, but not within the first
    eight volumes.

    Parameters
    ----------
    volumes : Volumes
    weights : SphereWeights
    fwhm : float, optional
        Width of the Gaussian by which the image is smoothed first, mm.
    aggregation : {"mean", "median", "eigenvariate"}
        "mean" holds a few volumes in memory, the others every voxel of the spheres over time.
    despike : bool
        Squeeze spikes of every voxel first (``engine.despike``); of smoothed voxels with `fwhm`.
        Holds every voxel over time.
    moments : bool
        Also get mean and standard deviation of every voxel of a sphere.
    threads : int
        1 reads and computes by turns; 2 at the same time. The numbers are the same.
    usable_only : bool
        A voxel that is not finite in any volume, or constant over all (of more than one), is no
        voxel: it belongs to no sphere, and smoothing sees 0 there. Otherwise values that are not
        finite count as 0, which is the rule of nilearn's maskers, and their warning is given.

    Raises
    ------
    DataError
        When the weights were made for another grid, or the file is damaged.
    ReadWriteError
        When the image can't be read.
    UsageError
        For an unknown aggregation.
    """
    if not weights.grid.matches(volumes.grid):
        raise DataError(f"{volumes.name}: the sphere weights belong to another image grid.")
    check_aggregation(aggregation)
    if weights.values is not None and (aggregation != "mean" or despike):
        what = "spikes of single voxels to squeeze" if despike else aggregation
        raise UsageError(f"Maps have weighted means, and no {what}.")
    applied = None
    if fwhm is not None and not weights.compact:
        # Boxes around regions would be as large as the image.
        inside = np.zeros(weights.grid.shape, dtype=bool, order="F")
        inside[box_reached(weights.grid, fwhm, weights.voxels)] = True
        read = np.flatnonzero(inside.reshape(-1, order="F"))
    elif fwhm is not None:
        # Single precision for values of no more than its 24 bits.
        single = volumes.stored_dtype.itemsize < 4 or volumes.stored_dtype == np.float32
        applied = applied_weights(weights, fwhm, single=single)
        read = applied.voxels
    else:
        read = weights.voxels
    own = np.searchsorted(read, weights.voxels)
    screened = ScreenedVolumes(volumes, read, own, usable_only=usable_only)
    voxels, spikes, spread = None, None, _Spread() if moments else None
    reading = _Reading(screened, weights, fwhm, threads, spread)
    if aggregation != "mean" or despike:
        voxels = reading.voxel_series()
        if despike:
            voxels, spikes = voxels.despiked()
        timeseries = voxels.aggregated(aggregation)
        # Cleaning is linear, and so are means.
        voxels = None if aggregation == "mean" else voxels
    elif fwhm is None:
        timeseries = reading.means()
    elif applied is None:
        timeseries = reading.means_of_smoothed()
    else:
        timeseries = reading.means_by_smoothed_weights(applied)
    if screened.missing.any() and not usable_only:
        warn("Non-finite values detected. These values will be replaced with zeros.")
    return Extraction(
        timeseries,
        weights,
        moments=spread.moments(volumes, screened.missing[own]) if spread else None,
        t_r=volumes.t_r,
        unusable=screened.unusable[own],
        voxels=voxels,
        read_twice=screened.read_twice,
        spikes=spikes,
    )


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
    if isinstance(seeds, SeedTable):
        table = seeds if radius is None else seeds.with_radius(radius)
        coordinates, radii = table.coordinates, table.radii
    else:
        coordinates = as_points(seeds)
        radii = np.full(len(coordinates), radius or 0.0)
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


@dataclass(frozen=True, eq=False)
class _Reading:
    """Spheres, the image that they are read from, and what is learned on the way."""

    screened: ScreenedVolumes
    weights: SphereWeights
    fwhm: float | None
    threads: int
    spread: _Spread | None

    def blocks(self) -> Iterator[RealArray]:
        """Blocks of the first reading; the spread is that of the image as it is."""
        for block in self.screened.blocks(self.threads):
            if self.spread is not None:
                self.spread.add(block[:, self.screened.own] if self.fwhm else block)
            yield block

    def smoothed(self, values: RealArray) -> FloatArray:
        """Smoothed voxels of the spheres, (V,), of those read, which are all within reach."""
        volume = np.zeros(int(np.prod(self.weights.grid.shape)))
        volume[self.screened.voxels] = values
        return self._smooth(volume)

    @cached_property
    def _smooth(self) -> Callable[[RealArray], FloatArray]:
        return smoother(self.weights.grid, self.fwhm or 0.0, self.weights.voxels)

    def usable(self) -> BoolArray:
        """Voxels of the spheres that have a signal, (V,); known after the first reading."""
        return ~self.screened.unusable[self.screened.own]

    def means(self) -> FloatArray:
        """Means of spheres; voxels constant at first are added if they vary later on."""
        screened, sums = self.screened, self.weights.sums
        suspects = np.empty(0, dtype=np.intp)
        parts: list[FloatArray] = []
        set_aside: list[FloatArray] = []
        for block in self.blocks():
            # The product runs along the volumes, so those must lie side by side in memory.
            by_voxel = block.T.astype(np.float64, order="C")
            if not parts:
                suspects = np.flatnonzero(screened.unusable)
            if suspects.size:
                set_aside.append(by_voxel[suspects].T)
                by_voxel[suspects] = 0
            parts.append(np.asarray(sums @ by_voxel).T)
        total, usable = np.vstack(parts), self.usable()
        if set_aside and usable[suspects].any():
            late = usable[suspects]
            total += _along_volumes(sums[:, suspects[late]], np.vstack(set_aside)[:, late])
        affected = self.weights.magnitudes @ screened.flickering.astype(np.float64) > 0
        if affected.any():
            numbers = np.unique(sums[affected].indices).astype(np.intp)
            part = sums[affected][:, numbers]
            again = (_along_volumes(part, block) for block in screened.again(numbers))
            total[:, affected] = np.vstack(list(again))
        return self.averaged(total, usable)

    def averaged(self, total: FloatArray, usable: BoolArray) -> FloatArray:
        """Real means, and signals of maps by least squares, from sums of stored values."""
        weights, volumes, alive = self.weights, self.screened.volumes, usable.astype(np.float64)
        count = weights.sums @ alive
        series = _real(total / np.where(count > 0, count, np.nan), volumes)
        for rows in weights.joint:
            # Signals s of maps M of which M s is nearest to the voxels: (M'M) s = M' voxels
            maps = weights.sums[rows] * alive
            known = (weights.magnitudes[rows] @ alive) > 0
            gram = (maps @ maps.T).toarray()[np.ix_(known, known)]
            sums = _real(total[:, rows][:, known], volumes)
            sums += volumes.inter * (count[rows][known] - 1)
            series[:, np.arange(rows.start, rows.stop)[known]] = linalg.lstsq(gram, sums.T)[0].T
        return series

    def means_of_smoothed(self) -> FloatArray:
        """Means over regions of the smoothed image, volume by volume.

        Voxels that do not vary in the first block are left out. The image is read again if they do
        later on, or others are bad in some volumes alone.
        """
        screened, weights = self.screened, self.weights

        def totals(blocks: Iterator[RealArray]) -> tuple[FloatArray, BoolArray]:
            changes = chain.from_iterable(_changes(blocks, np.dtype(np.float64)))
            first = next(changes)
            usable = self.usable()
            means = (self.smoothed(change) * usable for change in chain([first], changes))
            return np.array([weights.sums @ values for values in means]), usable

        total, usable = totals(self.blocks())
        if screened.flickering.any() or (usable != self.usable()).any():
            total, usable = totals(screened.again())
        origin = self.smoothed(screened.origin)
        return self.averaged(total + weights.sums @ (origin * usable), usable)

    def means_by_smoothed_weights(self, applied: AppliedWeights) -> FloatArray:
        """Mean over each sphere of the smoothed image.

        Spheres with voxels that do not vary at first are computed with and without these, and which
        counts is known at the end; neither where a voxel varies later on, or one near is bad in
        some volumes alone.
        """
        screened, weights, own = self.screened, self.weights, self.screened.own
        blocks = self.blocks()
        head: list[RealArray] = []
        while sum(map(len, head)) < _ENOUGH_VOLUMES and (block := next(blocks, None)) is not None:
            head.append(block)
        # The weights are made when it is known which voxels vary: the next block is on its way.
        with_all = _SmoothedSums(applied, screened.voxels, self.threads)
        suspects = screened.unusable[own]
        concerned = weights.membership @ suspects.astype(np.intp) > 0
        computed = [with_all]
        if concerned.any():
            without = self.restricted(applied, concerned, ~suspects)
            computed.append(_SmoothedSums(without, screened.voxels, self.threads))
        for change in _changes(chain(head, blocks), applied.dtype):
            for sums in computed:
                sums.add(change)
        usable, origin = self.usable(), screened.origin
        stored = with_all.values(origin)
        left = weights.membership @ usable.astype(np.intp)
        reduced = left < weights.used
        if concerned.any():
            stored[:, concerned & reduced] = computed[1].values(origin)[:, concerned & reduced]
        otherwise = reduced & (weights.membership @ (usable == suspects).astype(np.intp) > 0)
        near = with_all.touched(screened.flickering)
        affected = (left > 0) & (near | otherwise)
        if affected.any():
            by_usable = self.restricted(applied, affected, usable)
            numbers = np.flatnonzero(np.isin(screened.voxels, by_usable.voxels))
            again = _SmoothedSums(by_usable, screened.voxels[numbers], self.threads)
            for change in _changes(screened.again(numbers), applied.dtype):
                again.add(change)
            stored[:, affected] = again.values(origin[numbers])[:, affected]
        stored[:, left == 0] = np.nan
        return _real(stored, screened.volumes)

    def restricted(
        self, applied: AppliedWeights, spheres: BoolArray, voxels: BoolArray
    ) -> AppliedWeights:
        """Smoothed weights of some spheres, (S,), with some of their voxels, (V,)."""
        part, single = self.weights.restricted(spheres, voxels), applied.dtype == np.float32
        # Not to be kept by its memory of past calls: no other has these weights.
        return applied_weights.__wrapped__(part, self.fwhm or 0.0, single=single)

    def voxel_series(self) -> VoxelSeries:
        """Voxels of the spheres over time, maybe smoothed; moments are as before that."""
        screened, members = self.screened, self.weights.membership.indices
        volumes, row = screened.volumes, 0
        smooths = self.fwhm is not None
        dtype = np.dtype(np.float64) if smooths else volumes.stored_dtype
        values = np.empty((volumes.n_volumes, len(members)), dtype)

        def fill(blocks: Iterator[RealArray]) -> None:
            for row, change in enumerate(chain.from_iterable(_changes(blocks, dtype))):
                values[row] = self.smoothed(change)[members]

        if smooths:
            fill(self.blocks())
            if screened.flickering.any():
                fill(screened.again())
            values += self.smoothed(screened.origin)[members]
        else:
            for block in self.blocks():
                np.take(block, members, axis=1, out=values[row : row + len(block)])
                row += len(block)
        starts = self.weights.membership.indptr.astype(np.intp)
        scaling = volumes.slope, volumes.inter
        return VoxelSeries(values, scaling, starts[:-1], starts[1:], self.usable()[members])


def _changes(blocks: Iterator[RealArray], dtype: DType) -> Iterator[RealArray]:
    """Changes from the first volume; each array is overwritten by the next.

    Single precision halves the memory through which weights of smoothed images travel, and holds
    changes from one volume to the next to a billionth of the signal.
    """
    origin: RealArray | None = None
    for block in blocks:
        if origin is None:
            origin = block[0].astype(dtype)
            memory = np.empty((0, len(origin)), dtype)
        if len(memory) < len(block):
            memory = np.empty(block.shape, dtype)
        change = block if block.dtype == dtype else memory[: len(block)]
        yield np.subtract(block, origin, out=change)


def _along_volumes(matrix: sparse.csr_array, block: RealArray) -> RealArray:
    """(B, S) products of (S, U) weights and a (B, U) block."""
    # The product runs along the volumes, so those must lie side by side in memory.
    product: RealArray = matrix @ np.ascontiguousarray(block.T)
    return product.T


class _SmoothedSums:
    """Weighted sums over the `voxels` of volumes, (U,), taken of their changes from the first one.

    Weights beyond these are 0: a box in other company may be larger. Two `threads` compute at once,
    as scipy does so without Python's lock.
    """

    def __init__(self, applied: AppliedWeights, voxels: IntArray, threads: int) -> None:
        matrix = applied.matrix
        if applied.voxels is not voxels:
            columns = np.searchsorted(voxels, applied.voxels).clip(max=len(voxels) - 1)
            parts = matrix.data, columns[matrix.indices], matrix.indptr
            matrix = type(matrix)(parts, shape=(matrix.shape[0], len(voxels)))
        self._matrix, self._row_of = matrix, applied.row_of
        half = matrix.shape[0] // 2 if threads > 1 else 0
        self._upper, self._lower = _rows(matrix, 0, half), _rows(matrix, half, matrix.shape[0])
        # Large arrays are used again: getting fresh memory from the system takes its time.
        self._memory = np.empty(0, matrix.dtype)
        self._changes: list[RealArray] = []

    def add(self, change: RealArray) -> None:
        """Take (B, U) changes in, which have the data type of the weights."""
        if self._memory.size < change.size:
            self._memory = np.empty(change.size, self._memory.dtype)
        # The product runs along the volumes, so those must lie side by side in memory.
        by_voxel = self._memory[: change.size].reshape(change.shape[::-1])
        by_voxel[:] = change.T
        if not self._upper.shape[0]:
            self._changes.append(np.asarray(self._lower @ by_voxel).T)
            return
        with ThreadPoolExecutor(1) as other:
            upper = other.submit(matmul, self._upper, by_voxel)
            lower = self._lower @ by_voxel
            self._changes.append(np.vstack([upper.result(), lower]).T)

    def values(self, origin: RealArray) -> FloatArray:
        """Stored values of every sphere, (T, S), for a first volume, (U,)."""
        # Sums in double precision, some rows at a time: no second matrix in memory.
        wide, count = origin.astype(np.float64), self._matrix.shape[0]
        pieces = (_rows(self._matrix, i, min(i + 256, count)) @ wide for i in range(0, count, 256))
        stored = np.vstack(self._changes).astype(np.float64)
        stored += np.concatenate([np.empty(0), *pieces])
        return stored[:, self._row_of]

    def touched(self, voxels: BoolArray) -> BoolArray:
        """Spheres in which some voxels, (U,), have a weight, (S,)."""
        if not voxels.any():
            return np.zeros(len(self._row_of), dtype=bool)
        return np.asarray(self._matrix @ voxels.astype(self._matrix.dtype) > 0)[self._row_of]


def _rows(matrix: sparse.csr_array, start: int, stop: int) -> sparse.csr_array:
    """Some rows as a view; slicing would copy them."""
    pointers = matrix.indptr[start : stop + 1]
    own = slice(pointers[0], pointers[-1])
    parts = matrix.data[own], matrix.indices[own], pointers - pointers[0]
    return type(matrix)(parts, shape=(stop - start, matrix.shape[1]))


def _real(stored: RealArray, volumes: Volumes) -> FloatArray:
    """Real values of stored ones, as the header scales them."""
    if volumes.slope == 1 and volumes.inter == 0:
        return np.asarray(stored, dtype=np.float64)
    return volumes.slope * stored + volumes.inter


class _Spread:
    """Temporal moments of differences from the first volume (Chan, Golub & LeVeque 1983)."""

    def __init__(self) -> None:
        self._count = 0
        nothing: FloatArray = np.zeros(())
        self._origin = self._sum = self._sum_of_squares = nothing

    def add(self, block: RealArray) -> None:
        if not self._count:
            self._origin = block[0].astype(np.float64)
        change = block - self._origin
        self._count += len(change)
        self._sum = self._sum + change.sum(axis=0)
        self._sum_of_squares = self._sum_of_squares + np.einsum("tv,tv->v", change, change)

    def moments(self, volumes: Volumes, missing: BoolArray) -> VoxelMoments:
        mean = self._sum / self._count
        # Never below 0 by rounding: the first difference is 0, and others count in full.
        scatter = self._sum_of_squares - self._count * mean**2
        sd = np.sqrt(scatter / max(1, self._count - 1))
        return VoxelMoments(_real(self._origin + mean, volumes), abs(volumes.slope) * sd, missing)
