"""Points through the transform files of ITK, which ANTs and fMRIPrep write.

A file named ``from-A_to-B_mode-image_xfm`` resamples images of A onto B: to fill a voxel of B, ITK
asks where its centre lies in A. So the same file takes *points* of B to A. ITK counts millimetres
to the left, posterior and superior (LPS); coordinates here, as in NIfTI, go to the right, anterior
and superior (RAS).

Linear transforms are read by nitransforms, which takes gigabytes for displacement fields, and knows
no displacement outside, where ITK's is zero. Of these, the eight voxels around each point are read
here, and interpolated as ITK does.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine, from_matvec

from bids_spheres.engine.spheres import as_points
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.regular import check_regular, not_fetched, read_limited
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import h5py
    from nitransforms.io.itk import ITKLinearTransform
    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])  # signs that turn axes of either frame into the other's
_BLOCK = 2**20  # numbers of a displacement field read at once, at least
_CORNERS = np.array(list(product((0, 1), repeat=3)))  # the (8, 3) voxels around a point

_LINEAR = ("AffineTransform", "MatrixOffsetTransformBase")
_FIELD = "DisplacementFieldTransform"

_LINEAR_BYTES = 64 * 2**10  # largest file with one affine transform, of twelve numbers and a centre

_CHUNK_BYTES = 2**30  # largest chunk inflated; ITK writes a field as one: 204 MB at 1 mm
_MOST_VOXELS = 2**15  # voxels of a field along one axis, at most; NIfTI-1 can't have more either
_LONGEST_TYPE = 1000  # bytes of the name of a kind of transform, at most

_UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError, OSError),
    *(RuntimeError, TypeError, ValueError, np.linalg.LinAlgError),
)
"""What reading a file that is damaged, or of another kind, may raise."""


class _NotATransformError(ValueError):
    """Problem of a transform, for the message that names its file."""


@dataclass(frozen=True, eq=False)
class MovedPoints:
    """Points (S, 3), mm, RAS, after transforms; `outside`, (S,): those beyond a field."""

    coordinates: FloatArray
    outside: BoolArray


def move_points(points: ArrayLike, paths: Iterable[Path]) -> MovedPoints:
    """Take points, mm, RAS, through transform files, as ``antsApplyTransformsToPoints`` does.

    Points, (S, 3), start in the space that the name of the first file gives as ``to-``, pass the
    files in order, and end in that which the name of the last gives as ``from-``. ``.h5`` files
    hold any number of affine transforms and displacement fields, of which the last is applied first
    (as ITK's ``CompositeTransform`` says), ``.txt`` and ``.mat`` files one affine transform. Points
    outside a field are not displaced by it. DataError when a file is not an ITK transform or of a
    kind that can't be read here, has impossible numbers, or a field reaches none of the points.
    """
    coordinates = as_points(points)
    moved = MovedPoints(coordinates, np.zeros(len(coordinates), bool))
    for path in paths:
        through = _through_file(moved.coordinates, path)
        moved = MovedPoints(through.coordinates, moved.outside | through.outside)
    return moved


def map_points(points: ArrayLike, path: str | Path) -> FloatArray:
    """Take points through one transform file.

    Parameters
    ----------
    points : (S, 3) array-like, mm, RAS
        In the space that the file's name gives as ``to-``.
    path : path

    Returns
    -------
    (S, 3) array, mm, RAS
        In the space that the file's name gives as ``from-``. Points outside a displacement field
        are not displaced by it.

    Raises
    ------
    MissingInputError, DataError, ReadWriteError
        When the file is missing, is not such a transform, or can't be read.
    """
    return move_points(points, [Path(path)]).coordinates


def _through_file(points: FloatArray, path: Path) -> MovedPoints:
    try:
        check_regular(path, "transform")
    except FileNotFoundError as error:
        missing = MissingInputError(f"The transform {path} is not there.")
        raise not_fetched(path) or missing from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    through = _through_h5 if path.suffix == ".h5" else _through_matrix
    try:
        # numpy warns of numbers that are refused below, and of text lines without numbers.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moved = through(points, path)
    except DataError:
        raise
    except _NotATransformError as error:
        raise _not_a_transform(path, f": {error}") from error
    except _UNREADABLE as error:
        raise _not_a_transform(path) from error
    if not np.isfinite(moved.coordinates).all():
        raise _not_a_transform(path, ": it takes points to places that are not finite")
    return moved


def _not_a_transform(path: Path, why: str = "") -> DataError:
    return DataError(
        f"{path} can't be read as a transform of ITK{why}.",
        hint="Is it complete? If it was being copied or downloaded, remove it and get it again.",
    )


def _through_matrix(points: FloatArray, path: Path) -> MovedPoints:
    content = read_limited(path, "linear transform", _LINEAR_BYTES)
    linear = import_module("nitransforms.io.itk").ITKLinearTransform
    if path.suffix == ".mat":
        return _by_affine(points, linear.from_binary(BytesIO(content)))
    return _by_affine(points, linear.from_string(content.decode()))


def _by_affine(points: FloatArray, transform: ITKLinearTransform) -> MovedPoints:
    affine = transform.to_ras()
    if not _is_invertible(affine):
        raise _NotATransformError("its matrix can't be inverted")
    return MovedPoints(apply_affine(affine, points), np.zeros(len(points), bool))


def _is_invertible(matrix: FloatArray) -> bool:
    # matrix_rank raises for what is not finite.
    finite = bool(np.isfinite(matrix).all())
    return finite and np.linalg.matrix_rank(matrix) == len(matrix)


def _through_h5(points: FloatArray, path: Path) -> MovedPoints:
    h5py = import_module("h5py")
    outside = np.zeros(len(points), bool)
    with h5py.File(path, "r") as file:
        for kind, member in reversed(_members(_child(file, "TransformGroup", h5py.Group))):
            moved = _by_member(points, kind, member, path)
            points, outside = moved.coordinates, outside | moved.outside
    return MovedPoints(points, outside)


def _by_member(points: FloatArray, kind: str, member: h5py.Group, path: Path) -> MovedPoints:
    """Points through one transform of a file."""
    if kind.startswith(_LINEAR):
        # nitransforms is slow to import, and not needed for fields.
        linear = import_module("nitransforms.io.itk").ITKLinearTransform
        numbers = _numbers(member, "Parameters", 12)
        affine = from_matvec(numbers[:9].reshape(3, 3), numbers[9:])
        offset = _numbers(member, "FixedParameters", 3)
        return _by_affine(points, linear(parameters=affine, offset=offset))
    if _FIELD not in kind:
        raise DataError(
            f"{path} holds a {kind}, which can't be read here.",
            hint="Affine transforms and displacement fields can; ANTs' antsApplyTransforms turns "
            "any other into a displacement field.",
        )
    displacements, inside = _Field.read(member).at(_RAS_TO_LPS * points)
    if len(points) and not inside.any():
        raise DataError(
            f"The displacement field of {path} reaches none of the {count(len(points), 'point')}.",
            hint='Are the coordinates in mm, and in the space that its name gives as "to-"?',
        )
    return MovedPoints(points + _RAS_TO_LPS * displacements, ~inside)


def _members(group: h5py.Group) -> list[tuple[str, h5py.Group]]:
    """Type and group of every transform of a file, in its order."""
    h5py = import_module("h5py")
    members = []
    # The names are numbers, which HDF5 sorts as text: 10 before 2.
    for name in sorted(group, key=int):
        member = _child(group, name, h5py.Group)
        stored = _child(member, "TransformType", h5py.Dataset)
        is_word = h5py.check_string_dtype(stored.dtype) and stored.dtype.itemsize <= _LONGEST_TYPE
        if not is_word or stored.shape != (1,):
            raise _NotATransformError("the type of a transform must be a word")
        kind = stored[0].decode()
        if not kind.startswith("Composite"):
            members.append((kind, member))
    if not members:
        raise _NotATransformError("it holds no transform")
    return members


def _child(group: Any, name: str, kind: Any) -> Any:
    """A group or dataset of this file; a link, or storage elsewhere, could lead anywhere."""
    h5py = import_module("h5py")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _NotATransformError(f"{name} is not there, or is a link")
    child = group[name]
    if not isinstance(child, kind):
        raise _NotATransformError(f"{name} is of another kind")
    if kind is h5py.Group:
        return child
    if child.external or child.is_virtual:
        raise _NotATransformError(f"{name} is stored in other files")
    if math.prod(child.chunks or (1,)) * child.dtype.itemsize > _CHUNK_BYTES:
        raise _NotATransformError(f"{name} has chunks that are too large")
    return child


def _dataset(member: h5py.Group, name: str) -> h5py.Dataset:
    """Parameters of a transform; older versions of ITK misspell their name."""
    full = f"Transform{name}"
    stored = full if full in member else f"Tranform{name}"
    numbers = _child(member, stored, import_module("h5py").Dataset)
    if numbers.dtype.kind not in "fiu" or len(numbers.shape) != 1:
        raise _NotATransformError(f"{full} must be a row of numbers")
    return numbers


def _numbers(member: h5py.Group, name: str, length: int) -> FloatArray:
    """A few parameters of a transform."""
    stored = _dataset(member, name)
    if stored.shape != (length,):
        raise _NotATransformError(f"Transform{name} must have {length} numbers")
    return np.asarray(stored[()], dtype=np.float64)


@dataclass(frozen=True)
class _Field:
    """A displacement field in a file, of which only what is needed is read.

    `numbers`, mm, are one after the other x, y, z of the first voxel, of the next along x, and so
    on; `shape`, (3,), the voxels along each axis; `affine` takes voxel indices to mm, LPS.
    """

    numbers: h5py.Dataset
    shape: IntArray
    affine: FloatArray

    @classmethod
    def read(cls, member: h5py.Group) -> _Field:
        """Geometry of the field: size, origin, spacing and direction, as ITK stores them."""
        fixed = _numbers(member, "FixedParameters", 18)
        shape, origin, spacing = fixed[:9].reshape(3, 3)
        direction = fixed[9:].reshape(3, 3)
        if not (np.isfinite(fixed).all() and (spacing > 0).all() and _is_invertible(direction)):
            raise _NotATransformError("the grid of its displacement field has no place in space")
        if not ((shape % 1 == 0) & (shape >= 1) & (shape <= _MOST_VOXELS)).all():
            raise _NotATransformError(
                "the dimensions of its displacement field must be positive whole numbers"
            )
        affine = from_matvec(direction * spacing, origin)
        field = cls(_dataset(member, "Parameters"), shape.astype(np.intp), affine)
        if field.numbers.shape != (3 * field.shape.prod(),):
            raise _NotATransformError("the displacements are not as many as the grid asks for")
        return field

    def at(self, points: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Linearly interpolated displacements of (S, 3) points in LPS, (S, 3); which are inside."""
        index = apply_affine(np.linalg.inv(self.affine), points)
        # As in ITK, the grid reaches to the outer borders of its voxels.
        inside = np.all((index >= -0.5) & (index < self.shape - 0.5), axis=1)
        lowest = np.floor(index[inside])
        part = (index[inside] - lowest)[:, np.newaxis]
        weights = np.where(_CORNERS, part, 1 - part).prod(axis=2)
        corners = np.clip(lowest[:, np.newaxis].astype(np.intp) + _CORNERS, 0, self.shape - 1)
        strides = 3 * np.array([1, self.shape[0], self.shape[0] * self.shape[1]])
        first = (corners @ strides)[..., np.newaxis]
        displacements, around = np.zeros_like(points), self.numbers_at(first + np.arange(3))
        displacements[inside] = np.einsum("sc,scd->sd", weights, around)
        return displacements, inside

    def numbers_at(self, positions: IntArray) -> FloatArray:
        """Numbers at positions in the file, read in blocks of bounded size."""
        numbers = self.numbers
        wanted, place = np.unique(positions, return_inverse=True)
        # A compressed chunk is inflated as a whole, so blocks are of whole chunks, each read once.
        chunk = numbers.chunks[0] if numbers.chunks else 1
        step = chunk * -(-_BLOCK // chunk)
        taken = np.empty(len(wanted))
        for block in np.unique(wanted // step):
            low, high = np.searchsorted(wanted, (block * step, (block + 1) * step))
            values = numbers[block * step : (block + 1) * step]
            taken[low:high] = values[wanted[low:high] - block * step]
        return taken[place].reshape(positions.shape)
