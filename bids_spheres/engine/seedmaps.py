"""Seed-to-voxel maps: how the series of every voxel correlates with that of a seed.

Design
------
Cleaning needs a voxel over all time; a compressed file gives one volume after the other, and is
to be inflated once. So `SpooledVolumes` hands on what is asked for while an image is read, and
keeps the voxels of the mask, as they are stored, in an uncompressed temporary file. They are read
from it afterwards in blocks of some voxels over all time, cleaned by the call that cleans the
seeds, and multiplied with them. The maps come block by block for all seeds at a time, and wait in
a second file to be read seed by seed. Neither file has a name, so that the system removes both
whatever happens to the process.
"""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.clean import clean
from bids_spheres.engine.connectivity import fisher_transform
from bids_spheres.engine.screen import ScreenedVolumes
from bids_spheres.engine.smoothing import smoother
from bids_spheres.engine.spheres import in_mask
from bids_spheres.engine.stream import Volumes, Voxels, facts_of
from bids_spheres.errors import ReadWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from bids_spheres.engine.arrays import (
        BoolArray,
        CleanArguments,
        DType,
        FloatArray,
        IntArray,
        RealArray,
    )
    from bids_spheres.engine.spheres import Grid


BLOCK_BYTES = 8 * 2**20
"""Of a block of voxels; cleaning takes sixteen times that for a moment. Larger are not faster; in
much smaller ones the confounds, filtered and made orthogonal for each, would take over."""


class DiskArray:
    """A 2-D array in a temporary file without a name.

    No memory map: on a full disk writing to one kills the process.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, int], dtype: DType) -> None:
        self._shape, self._dtype = shape, dtype
        self.folder = folder or Path(tempfile.gettempdir())
        with self._access():
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - open until `close`

    def write(self, row: int, column: int, block: RealArray) -> None:
        """Put a block where its first value belongs to (row, column)."""
        whole = block.shape[1] == self._shape[1]
        values = np.ascontiguousarray(block, dtype=self._dtype)
        with self._access():
            for number, piece in enumerate([values] if whole else values):
                self._seek(row + number, column)
                self._file.write(piece.data)

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> RealArray:
        """A block of some rows and columns."""
        numbers, places = range(self._shape[0])[rows], range(self._shape[1])[columns]
        block = np.empty((len(numbers), len(places)), dtype=self._dtype)
        for number, row in zip(numbers, block, strict=True):
            with self._access():
                self._seek(number, places.start)
                count = self._file.readinto(row.data)
            if count < row.nbytes:
                raise ReadWriteError(
                    f"A temporary file in {self.folder} holds less than is needed."
                )
        return block

    def close(self) -> None:
        """Give the room back."""
        with self._access():  # what is left in the buffer may find no room
            self._file.close()

    def _seek(self, row: int, column: int) -> None:
        self._file.seek((row * self._shape[1] + column) * self._dtype.itemsize)

    @contextmanager
    def _access(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            room = self._shape[0] * self._shape[1] * self._dtype.itemsize / 1e6
            raise ReadWriteError(
                f"A temporary file in {self.folder}: {error.strerror or error}.",
                hint=f"Voxels over time need {room:.0f} MB there; choose another folder.",
            ) from error


def mask_voxels(grid: Grid, mask: BoolArray, mask_grid: Grid | None = None) -> IntArray:
    """Voxels of an image that lie in a mask, (V,), as flat Fortran-order positions, ascending."""
    positions = np.arange(int(np.prod(grid.shape)))
    return positions[in_mask(positions, grid, mask, mask_grid or grid)]


@contextmanager
def spooled(
    volumes: Volumes, voxels: IntArray, folder: Path, fwhm: float | None = None
) -> Iterator[SpooledVolumes]:
    """An image that keeps some of its voxels for maps while it is read for something else.

    `folder` needs room for volumes x voxels x bytes of a stored value (8 for smoothed ones), and 4
    bytes for every seed and voxel; nothing is left there when the block ends. What is kept is
    smoothed by `fwhm` (mm); what is handed on is not, so that `extract` smooths it as ever.

    >>> with spooled(volumes, voxels, folder) as recording:  # doctest: +SKIP
    ...     series = extract(recording, weights).timeseries
    ...     maps = list(seed_maps(recording, series, {"t_r": 2.0, "low_pass": 0.1}))
    """
    # Single precision is not enough for smoothed values: they vary by as little as a thousandth.
    dtype = volumes.stored_dtype if fwhm is None else np.dtype(np.float64)
    everything = np.arange(int(np.prod(volumes.grid.shape)))
    screened = ScreenedVolumes(volumes, everything, voxels, usable_only=True)
    with closing(DiskArray(folder, (volumes.n_volumes, len(voxels)), dtype)) as kept:
        yield SpooledVolumes(
            **facts_of(volumes), raw=volumes, voxels=voxels, fwhm=fwhm, kept=kept, screened=screened
        )


@dataclass(frozen=True)
class SpooledVolumes(Volumes):
    """Volumes that keep some voxels on disk while they are read, each time; see `spooled`.

    `kept` holds (T, V) values: stored, or real and smoothed ones. `screened` is what is smoothed.
    """

    raw: Volumes
    voxels: IntArray
    fwhm: float | None
    kept: DiskArray
    screened: ScreenedVolumes

    @property
    def again(self) -> Volumes:
        """The image itself: what is kept is kept already."""
        return self.raw.again

    def kept_volumes(self) -> Volumes:
        """What is kept as an image of its own, once the volumes were read to their end."""
        smoothed = {"stored_dtype": np.dtype(np.float64), "slope": 1.0, "inter": 0.0}
        return _KeptVolumes(**(facts_of(self) | (smoothed if self.fwhm else {})), source=self)

    def over_time(self, part: slice) -> FloatArray:
        """Real values of some voxels, (T, n), as they are kept; 0 for those without a signal."""
        values = self.kept.read(columns=part).astype(np.float64)
        if self.fwhm is None:
            values *= self.slope
            values += self.inter
            values[:, ~np.isfinite(values).all(axis=0)] = 0
        else:
            values[:, self.screened.unusable[self.voxels[part]]] = 0
        return values

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        """Yield blocks of the image and keep some voxels on the way."""
        del size  # more voxels are read than requested, so the image decides
        smooths, first = self.fwhm is not None, 0
        union = None if smooths or voxels is None else np.union1d(self.voxels, voxels)
        own, asked = _places(self.voxels, union), _places(voxels, union)
        for block in self.raw.stored_blocks(union):
            requested = _taken(block, asked)
            if smooths:
                requested = block.copy() if requested is block else requested
                self.screened.screen(block, first)
            self.kept.write(first, 0, self._smoothed(block) if smooths else _taken(block, own))
            first += len(block)
            yield requested
        first = 0
        for block in self.screened.again() if self.screened.flickering.any() else ():
            self.kept.write(first, 0, self._smoothed(block))
            first += len(block)

    def _smoothed(self, block: RealArray) -> FloatArray:
        """Real values of `voxels` in smoothed volumes, (B, V), from stored ones, (B, X Y Z)."""
        return np.vstack([*map(self._smooth, block)]) * self.slope + self.inter

    @cached_property
    def _smooth(self) -> Callable[[RealArray], FloatArray]:
        return smoother(self.grid, self.fwhm or 0.0, self.voxels)


@dataclass(frozen=True)
class _KeptVolumes(Volumes):
    """The voxels that an image kept; in a smoothed one those without a signal are 0."""

    source: SpooledVolumes

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        """Yield blocks of voxels, which have to be among those kept."""
        kept, own = self.source.kept, self.source.voxels
        places = _places(voxels, own)
        silent = self.source.screened.unusable[own] if self.source.fwhm else None
        for start, stop in self._starts(size):
            block = kept.read(slice(start, stop))
            if silent is not None:
                block[:, silent] = 0
            yield _taken(block, places)


def _places(wanted: Voxels, among: Voxels) -> Voxels:
    """Where voxels are among others; None stands for all of a volume, or of the others."""
    if wanted is None or among is None:
        return wanted
    return None if np.array_equal(wanted, among) else np.searchsorted(among, wanted)


def _taken(block: RealArray, places: Voxels) -> RealArray:
    return block if places is None else np.take(block, places, axis=1)


def map_blocks(
    volumes: SpooledVolumes,
    timeseries: ArrayLike,
    cleaning: CleanArguments,
    *,
    cleaned: FloatArray | None = None,
    rows: BoolArray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[tuple[slice, FloatArray]]:
    """Fisher z of the correlation of seeds with voxels, (S, n), for some voxels at a time.

    `volumes` were read to their end. The seeds are (T, S) `timeseries`, cleaned as voxels are; or
    (T', S) `cleaned`, of `rows`, where that is more than to clean them. `rows`, (T',), are the
    volumes over which to correlate, of those that cleaning leaves. Yields which of `volumes.voxels`
    these are, and z.
    """
    series = np.asarray(timeseries, dtype=np.float64)
    # So that what cleaning leaves nothing of is exactly 0, and not rounding errors.
    arguments = {**cleaning, "standardize": "zscore_sample"}
    drawn = slice(None) if rows is None else rows
    if cleaned is None:
        known = np.flatnonzero(np.isfinite(series).all(axis=0))
        vectors = _unit_vectors(clean(series[:, known], **arguments)[drawn])
        # NaN for spheres without a voxel.
        seeds = np.full((series.shape[1], len(vectors)), np.nan)
        seeds[known] = vectors.T
        del vectors
    else:
        seeds = _unit_vectors(cleaned.copy()).T
    # Both the voxels over time and their correlations are to fit.
    step = max(1, block_bytes // (8 * max(series.shape)))
    for start in range(0, len(volumes.voxels), step):
        part = slice(start, min(start + step, len(volumes.voxels)))
        voxels = _unit_vectors(clean(volumes.over_time(part), **arguments)[drawn])
        yield part, fisher_transform(seeds @ voxels)


def seed_maps(
    volumes: SpooledVolumes,
    timeseries: ArrayLike,
    cleaning: CleanArguments,
    *,
    cleaned: FloatArray | None = None,
    rows: BoolArray | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[NDArray[np.float32]]:
    """Map of the correlation of each seed with every voxel, Fisher z-transformed, (X, Y, Z).

    Pearson's of the cleaned series, as of nilearn's maskers. Arguments are those of `map_blocks`. 0
    outside of the voxels that were kept; missing (NaN) for a seed without a series, and in voxels
    that have no signal left, or are the seed's own (`fisher_transform`).
    """
    n_seeds = np.shape(timeseries)[1]
    maps = DiskArray(volumes.kept.folder, (n_seeds, len(volumes.voxels)), np.dtype(np.float32))
    with closing(maps):
        blocks = map_blocks(
            *(volumes, timeseries, cleaning), cleaned=cleaned, rows=rows, block_bytes=block_bytes
        )
        for part, z in blocks:
            maps.write(0, part.start, z)
        for seed in range(n_seeds):
            flat = np.zeros(int(np.prod(volumes.grid.shape)), dtype=np.float32)
            flat[volumes.voxels] = maps.read(slice(seed, seed + 1))
            yield flat.reshape(volumes.grid.shape, order="F")


def _unit_vectors(series: FloatArray) -> FloatArray:
    """Columns with mean 0 and length 1, in place; NaN for those that do not vary."""
    series -= series.mean(axis=0)
    length = np.sqrt(np.einsum("tv,tv->v", series, series))
    series /= np.where(length > 0, length, np.nan)
    return series
