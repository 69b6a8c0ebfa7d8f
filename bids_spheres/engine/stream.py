"""Volumes out of image files one after the other, in bounded memory.

Nobody downstream wants a volume: they want the values of some voxels over time. So a `Volumes`
hands out blocks, (B, V), of voxels named once. How a volume is reached is all its subclasses differ
in:

- ``.gz``: inflated as a stream, one volume in memory, every byte once;
- uncompressed: memory mapped in blocks, so that only pages with wanted voxels are read, and
  pages read are given back;
- anything else nibabel can open: its own array access.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage

from bids_spheres.engine.spheres import Grid
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.library_warnings import naming
from bids_spheres.files.regular import check_regular, not_fetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.engine.arrays import BoolArray, DType, FloatArray, IntArray, RealArray

# Measured on runs of 97x115x97x200 (``benchmarks/gzip_libraries.py``): float32 0.62 s by zlib-ng,
# 0.74 s by isal, 2.1 s by zlib; int16 0.30, 0.34 and 1.1 s.
try:
    _GZIP: Any = import_module("zlib_ng.gzip_ng")
    _ERROR: Any = import_module("zlib_ng.zlib_ng").error
except ImportError:
    _GZIP, _ERROR = gzip, zlib.error

_BROKEN_GZIP: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error, _ERROR)
"""What reading a damaged file may raise; EOFError when it ends early."""

Voxels: TypeAlias = "IntArray | None"
"""Flat Fortran-order positions in a volume; None for all of them."""

_BLOCK_BYTES = 20 * 2**20  # largest size of the blocks handed out, if their voxels have four bytes
_DEFLATE_RATIO = 1032  # bytes that one compressed byte can stand for at the most (deflate's limit)

_UNREADABLE: tuple[type[Exception], ...] = (
    ImageFileError,
    HeaderDataError,
    MemoryError,
    OSError,
    OverflowError,  # a header's infinite offset
    ValueError,
    *_BROKEN_GZIP,
)

_DAMAGED = "The file is incomplete or damaged; copy or compute it again."

_PIECE = 2**20  # bytes that are inflated at a time where they are not wanted
_MAX_BLOCK = 16  # volumes per block at most, so that short runs of few voxels also show progress
_LANES = 8  # blocks of a multiple of this are computed on a third faster by the processor's vectors


@dataclass(frozen=True)
class Volumes(ABC):
    """A 3-D or 4-D image as a sequence of volumes.

    Parameters
    ----------
    name : str
        For messages.
    grid : Grid
    n_volumes : int
    t_r : float
        Repetition time as the header has it, s; 0 when it has none.
    is_3d : bool
        True for a single volume without a time axis.
    stored_dtype : numpy.dtype
        Data type of `stored_blocks`.
    slope, inter : float
        Real value of a voxel: slope x stored value + inter.
    """

    name: str
    grid: Grid
    n_volumes: int
    t_r: float
    is_3d: bool
    stored_dtype: DType
    slope: float
    inter: float

    @property
    def real_dtype(self) -> DType:
        """Data type that holds the real values: the stored one, or double when scaled."""
        scaled = self.slope != 1 or self.inter != 0
        return np.dtype(np.float64) if scaled else self.stored_dtype

    @property
    def again(self) -> Volumes:
        """What to read a second time: the same image, without what else a first reading does."""
        return self

    def blocks(self, voxels: Voxels = None) -> Iterator[FloatArray]:
        """Real values of `voxels` over time, in double precision.

        Parameters
        ----------
        voxels : (V,) int array, optional
            Flat Fortran-order positions in a volume; default: all of them.

        Yields
        ------
        (B, V) array
            Consecutive volumes, scaled as the header says. The array is the caller's.

        Raises
        ------
        DataError
            When the file ends early or is damaged; the message names the volume reached.
        ReadWriteError
            When the operating system can't read it.
        """
        for stored in self.stored_blocks(voxels):
            block = stored.astype(np.float64)
            if self.slope != 1:
                block *= self.slope
            if self.inter != 0:
                block += self.inter
            yield block

    def stored_blocks(self, voxels: Voxels = None) -> Iterator[RealArray]:
        """As `blocks`, but with the values and the data type in which they are stored."""
        size = int(np.clip(_BLOCK_BYTES // max(1, 4 * self._count(voxels)), 1, _MAX_BLOCK))
        yield from self.blocks_of(voxels, size - size % _LANES or size)

    @abstractmethod
    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        """As `stored_blocks`, `size` volumes each unless another size suits better."""

    def _count(self, voxels: Voxels) -> int:
        return self._voxels_per_volume if voxels is None else len(voxels)

    @property
    def _voxels_per_volume(self) -> int:
        return math.prod(self.grid.shape)

    def _starts(self, size: int) -> Iterator[tuple[int, int]]:
        for start in range(0, self.n_volumes, size):
            yield start, min(start + size, self.n_volumes)


@dataclass(frozen=True)
class _StoredVolumes(Volumes):
    """Raw voxels at a known place of one file."""

    path: Path
    dtype: DType
    offset: int
    has_footer: bool = False

    @property
    def _bytes_per_volume(self) -> int:
        return self._voxels_per_volume * self.dtype.itemsize

    @abstractmethod
    def check_size(self) -> None:
        """Refuse a file that can't hold as much as its header promises, or holds more."""

    def _file_size(self) -> int:
        with _reading(self.name):
            return self.path.stat().st_size

    def _ended_early(self, volume: int, why: str = "the file ends early") -> DataError:
        where = f"at volume {volume + 1} of {self.n_volumes}"
        return DataError(f"{self.name}: {why}, {where}.", hint=_DAMAGED)

    def _goes_on(self) -> DataError:
        nx, ny, nz = self.grid.shape
        return DataError(
            f"{self.name}: the file holds more data than its header says, which is "
            f"{nx} x {ny} x {nz} x {self.n_volumes} values of type {self.dtype.name}.",
            hint="Numbers read by such a header would be wrong; compute the image again.",
        )


class _GzipVolumes(_StoredVolumes):
    """Volumes of a gzip-compressed file, in one pass."""

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        self.check_size()
        volumes = self._inflated()
        for start, stop in self._starts(size):
            block = np.empty((stop - start, self._count(voxels)), dtype=self.stored_dtype)
            for row, volume in zip(block, volumes, strict=False):
                if voxels is None:
                    row[:] = volume
                else:
                    # Positions lie in the volume; "clip" keeps numpy from copying to be sure.
                    np.take(volume, voxels, out=row, mode="clip")
            yield block
        next(volumes, None)  # to the end of the file

    def _inflated(self) -> Iterator[RealArray]:
        """Volumes in the data type of the file; each overwrites the one before."""
        with _reading(self.name):
            opened = open_gzip(self.path)
        with opened as stream:
            piece = memoryview(bytearray(min(self.offset, _PIECE)))
            for start in range(0, self.offset, _PIECE):
                self._inflate(stream, piece[: self.offset - start], 0)
            buffer = memoryview(bytearray(self._bytes_per_volume))
            volume = np.frombuffer(buffer, dtype=self.dtype)
            for number in range(self.n_volumes):
                self._inflate(stream, buffer, number)
                yield volume
            # The checksum follows the last volume, with nothing in between.
            more = self._read_into(stream, memoryview(bytearray(1)), self.n_volumes - 1)
            if more and not self.has_footer:
                raise self._goes_on()

    def check_size(self) -> None:
        possible = (_DEFLATE_RATIO * self._file_size() - self.offset) // self._bytes_per_volume
        if possible < self.n_volumes:
            why = "the file is too small for what its header promises"
            raise self._ended_early(max(0, possible), why)

    def _inflate(self, stream: IO[bytes], buffer: memoryview, volume: int) -> None:
        filled = 0
        while filled < len(buffer):
            count = self._read_into(stream, buffer[filled:], volume)
            if not count:
                raise self._ended_early(volume)
            filled += count

    def _read_into(self, stream: IO[bytes], buffer: memoryview, volume: int) -> int:
        try:
            return int(stream.readinto(buffer))  # type: ignore[attr-defined]
        except EOFError as error:
            # What follows the compressed data and is not compressed looks as if it were cut off.
            last = volume + 1 == self.n_volumes
            why = "the file ends early" + ", or something else follows its end" * last
            raise self._ended_early(volume, why) from error
        except _BROKEN_GZIP as error:
            raise self._ended_early(volume, f"the compressed data are damaged ({error})") from error
        except OSError as error:
            raise ReadWriteError(f"{self.name}: {error.strerror or error}.") from error


class _MappedVolumes(_StoredVolumes):
    """Volumes of an uncompressed file."""

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        self.check_size()
        count = self._voxels_per_volume
        for start, stop in self._starts(size):
            offset, shape = self.offset + start * self._bytes_per_volume, (stop - start, count)
            with _reading(self.name):  # the memory of those mapped before is free again
                mapped = np.memmap(self.path, self.dtype, "r", offset=offset, shape=shape)
            wanted = mapped if voxels is None else mapped[:, voxels]
            # A copy, since the map is read-only and a block is the caller's
            yield np.array(wanted, dtype=self.stored_dtype, copy=True if voxels is None else None)

    def check_size(self) -> None:
        held, rest = divmod(self._file_size() - self.offset, self._bytes_per_volume)
        if held < self.n_volumes:
            raise self._ended_early(max(0, held))
        if (held > self.n_volumes or rest) and not self.has_footer:
            raise self._goes_on()


@dataclass(frozen=True)
class _ArrayVolumes(Volumes):
    """Volumes of an image in memory, or of a format that only nibabel can read."""

    data: Any

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        try:
            array = np.asanyarray(self.data)
        except FileNotFoundError as error:
            raise MissingInputError(f"The image {self.name} is not there any more.") from error
        except _UNREADABLE as error:
            raise DataError(
                f"{self.name} can't be read: {error or 'it is too large'}.", hint=_DAMAGED
            ) from error
        series = array.reshape((*self.grid.shape, self.n_volumes), order="F")
        where = ... if voxels is None else np.unravel_index(voxels, self.grid.shape, order="F")
        for start, stop in self._starts(size):
            wanted = series[..., start:stop][where]
            yield wanted.reshape((-1, stop - start), order="F").T.astype(self.stored_dtype)


@dataclass(frozen=True)
class _StackedVolumes(Volumes):
    """Images one after the other, as one series."""

    parts: tuple[Volumes, ...]

    def blocks_of(self, voxels: Voxels, size: int) -> Iterator[RealArray]:
        del size  # the parts decide
        for part in self.parts:
            for block in part.blocks(voxels):
                yield block.astype(self.stored_dtype)


def facts_of(volumes: Volumes) -> dict[str, Any]:
    """Parameters of an image, for one that is made from it."""
    return {field.name: getattr(volumes, field.name) for field in fields(Volumes)}


def stack_volumes(parts: Sequence[Volumes]) -> Volumes:
    """Images on one grid as one series, in the order given; DataError when their grids differ."""
    first = parts[0]
    for number, part in enumerate(parts):
        if not part.grid.matches(first.grid):
            raise DataError(
                f"Field of view of image #{number} ({part.name}) is different from that of "
                f"the first ({first.name})."
            )
    total = sum(part.n_volumes for part in parts)
    name = f"{first.name} and {len(parts) - 1} more" if len(parts) > 1 else first.name
    dtype = np.result_type(*(part.real_dtype for part in parts))
    own = {"name": name, "n_volumes": total, "is_3d": False, "stored_dtype": dtype}
    facts = facts_of(first) | own | {"slope": 1.0, "inter": 0.0}
    return _StackedVolumes(**facts, parts=tuple(parts))


def open_volumes(image: str | Path | SpatialImage | Volumes) -> Volumes:
    """An image as a sequence of volumes; reads no more than its header and asks for its size.

    Parameters
    ----------
    image : path, nibabel image or Volumes
        3-D (one volume) or 4-D; NIfTI-1, NIfTI-2, Analyze and what else nibabel reads.

    Raises
    ------
    MissingInputError
        When there is no such file, or git-annex has not fetched its content.
    DataError
        When it is not an image, has another number of dimensions, complex values, no place in
        space, or a header that contradicts itself or promises more than the file can hold.
    ReadWriteError
        When the operating system can't read it.
    """
    if isinstance(image, Volumes):
        return image
    img = image if isinstance(image, SpatialImage) else _load(Path(image))
    name = _name(img)
    longer = [int(n) for n in img.shape[3:] if n != 1]
    if len(img.shape) < 3 or len(longer) > 1 or min(img.shape) < 1:
        raise DataError(f"{name}: a 3-D or 4-D image is needed; this one has shape {img.shape}.")
    n_volumes = longer[0] if longer else 1
    proxy: Any = img.dataobj
    dtype = np.dtype(proxy.dtype)
    if dtype.kind not in "iufb":
        shown = "colours" if dtype.names else dtype
        raise DataError(f"{name}: voxels are of type {shown}, not real numbers.")
    common = name, image_grid(img), n_volumes, _header_t_r(img), len(img.shape) == 3
    plain = type(proxy) is ArrayProxy and proxy.order == "F" and isinstance(proxy.file_like, str)
    suffix = Path(proxy.file_like).suffix.lower() if plain else ""
    native = dtype.newbyteorder("=")
    if not plain or suffix in {".bz2", ".zst"}:
        # nibabel scales what it reads from files.
        native = native if isinstance(proxy, np.ndarray) else np.dtype(np.float64)
        return _ArrayVolumes(*common, native, 1.0, 0.0, data=proxy)
    _check_bits(img, name)
    stored = (_GzipVolumes if suffix in {".gz", ".mgz"} else _MappedVolumes)(
        *(*common, native, float(proxy.slope), float(proxy.inter)),
        path=Path(proxy.file_like),
        dtype=dtype,
        offset=int(proxy.offset),
        has_footer=isinstance(img, nib.MGHImage),
    )
    stored.check_size()
    return stored


def open_gzip(path: Path) -> IO[bytes]:
    """`path` as a stream of inflated bytes."""
    stream: IO[bytes] = _GZIP.open(path)
    return stream


def read_ahead(blocks: Iterator[RealArray]) -> Iterator[RealArray]:
    """Yield `blocks`; a thread inflates the next two, without the lock, meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = deque(reader.submit(next, blocks, None) for _ in range(2))
        while (block := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, blocks, None))
            yield block


def image_grid(img: SpatialImage) -> Grid:
    """Voxel grid of a nibabel image; DataError when its affine can't be inverted."""
    nx, ny, nz = img.shape[:3]
    try:
        return Grid((int(nx), int(ny), int(nz)), np.asarray(img.affine, dtype=np.float64))
    except DataError as error:
        raise DataError(
            f"{_name(img)}: {error.message}",
            hint="The header has no usable sform or qform; copy or compute the image again.",
        ) from error


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask image; one of probabilities counts from one half on."""

    name: str
    inside: BoolArray
    grid: Grid
    is_probability: bool

    def notes(self, grid: Grid) -> Iterator[str]:
        """What to know when the mask is used for an image with this grid."""
        if self.is_probability:
            yield f"{self.name} holds probabilities; its mask is where they are at least .5."
        if grid.matches(self.grid):
            return
        moved = self.grid.shape == grid.shape
        differs = "another affine, although the same shape," if moved else "another grid"
        yield f"{self.name} has {differs} than the image: the nearest voxel of the mask counts."


def read_mask(image: str | Path | SpatialImage | Volumes) -> Mask:
    """A mask image: where it is not zero, or at least one half if it holds probabilities.

    Probabilities are values from 0 to 1, some of them strictly between. One half is where a voxel
    is more likely in than out. DataError for a mask with more than one volume or no voxel set.
    """
    volumes = open_volumes(image)
    if volumes.n_volumes != 1:
        raise DataError(f"{volumes.name}: a mask has one volume, not {volumes.n_volumes}.")
    (stored,) = volumes.stored_blocks()
    values = np.where(np.isnan(stored[0]), 0, stored[0] * volumes.slope + volumes.inter)
    between = (values > 0) & (values < 1)
    rounding = 1e-6  # of a slope in single precision
    is_probability = bool(between.any() and values.min() >= 0 and values.max() <= 1 + rounding)
    inside = values >= 0.5 if is_probability else values != 0
    if not inside.any():
        raise DataError(f"{volumes.name}: The mask is invalid as it is empty: it masks all data.")
    shaped = inside.reshape(volumes.grid.shape, order="F")
    return Mask(volumes.name, shaped, volumes.grid, is_probability)


def load_mask(image: str | Path | SpatialImage | Volumes) -> tuple[BoolArray, Grid]:
    """Where a mask image holds, and its grid; as `read_mask`, with a warning of probabilities."""
    mask = read_mask(image)
    if mask.is_probability:
        warn(next(mask.notes(mask.grid)))
    return mask.inside, mask.grid


def _load(path: Path) -> SpatialImage:
    if not path.exists():
        raise not_fetched(path) or MissingInputError(f"The image {path} is not there.")
    try:
        check_regular(path, "image")
        with naming(path):
            img = nib.load(path)
    except DataError:
        raise
    except PermissionError as error:
        raise ReadWriteError(f"{path}: {error.strerror}.") from error
    except _UNREADABLE as error:
        if pointer := not_fetched(path):
            raise pointer from error
        if not os.access(path, os.R_OK):
            raise ReadWriteError(f"{path}: Permission denied.") from error
        # nibabel's messages name the file as well, and end with or without a full stop.
        why = str(error).rstrip(".")
        raise DataError(f"{path} can't be read as an image: {why}.", hint=_DAMAGED) from error
    if not isinstance(img, SpatialImage):
        raise DataError(f"{path} is a {type(img).__name__}, not a volume image.")
    return img


def _check_bits(img: SpatialImage, name: str) -> None:
    """Compare the size of a voxel by the file's header with its type; nibabel goes by the type."""
    holder = img.file_map.get("header", img.file_map["image"])
    if "bitpix" not in getattr(img.header, "keys", tuple)():
        return
    header_class: Any = type(img.header)
    with _reading(name), holder.get_prepare_fileobj("rb") as file:
        header = header_class.from_fileobj(file, check=False)  # a check would mend it
    bits, dtype = int(header["bitpix"]), img.get_data_dtype()
    if bits != 8 * dtype.itemsize:
        raise DataError(
            f"{name}: by its header a voxel has {bits} bits (bitpix), but is of type {dtype.name} "
            "(datatype).",
            hint=_DAMAGED,
        )


def _name(img: SpatialImage) -> str:
    return str(img.get_filename() or "image in memory")


def _header_t_r(img: SpatialImage) -> float:
    """Repetition time in s from the header's zoom of the time axis and its unit."""
    zooms = img.header.get_zooms()
    if len(zooms) < 4:
        return 0.0
    axis = next((i for i, n in enumerate(img.shape) if i > 2 and n != 1), 3)
    header: Any = img.header
    try:
        unit = "msec" if isinstance(img, nib.MGHImage) else header.get_xyzt_units()[1]
    except (AttributeError, KeyError):  # formats without units, codes without a meaning
        unit = "sec"
    return float(zooms[axis]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Errors of the operating system as ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingInputError(f"The image {name} is not there any more.") from error
    except OSError as error:
        raise ReadWriteError(f"{name}: {error.strerror or error}.") from error
