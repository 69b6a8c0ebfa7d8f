"""Points through the transform files of ITK, which ANTs and fMRIPrep write.

A file named ``from-A_to-B_mode-image_xfm`` resamples images of A onto B. To fill a voxel of B, ITK
asks where its centre lies in A. So the same file takes *points* of B to A. ITK counts millimetres
to the left, posterior and superior (LPS); coordinates here, as in NIfTI, go to the right, anterior
and superior (RAS).

Linear transforms are read by nitransforms. Displacement fields are not: it holds several copies of
a field in double precision (1.3 GB and 5 s for the one between two MNI templates, at 1 mm),
interpolates with cubic splines and knows no displacement outside, where ITK's is zero. Points need
eight voxels each, so only these are read here, and interpolated as ITK does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine, from_matvec

from bids_spheres.engine.spheres import as_points
from bids_spheres.errors import DataError, MissingInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IndexArray = NDArray[np.intp]

_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
"""Signs that turn the axes of either frame into those of the other."""

_BLOCK = 2**20
"""Numbers of a displacement field read at once, at least."""

_CORNERS = np.array(list(product((0, 1), repeat=3)))
"""The (8, 3) voxels around a point, from the lowest of them."""

_LINEAR = ("AffineTransform", "MatrixOffsetTransformBase")
_FIELD = "DisplacementFieldTransform"

_UNREADABLE = (OSError, ValueError, LookupError, NotImplementedError, np.linalg.LinAlgError)
"""What reading a file that is damaged, or of another kind, may raise."""


def chain_points(points: ArrayLike, paths: Iterable[Path]) -> FloatArray:
    """Points through one transform file after the other.

    Parameters
    ----------
    points : (S, 3) array-like, mm, RAS
    paths : paths
        In the order in which *points* pass. With ``from-T1w_to-MNI..._xfm.h5`` and then
        ``from-boldref_to-T1w..._xfm.txt``, points of MNI space come to the BOLD reference.

    Returns
    -------
    (S, 3) array, mm, RAS

    Raises
    ------
    MissingInputError
        When a file is not there.
    DataError
        When it is not an ITK transform or of a kind that can't be read here.
    """
    moved = as_points(points)
    for path in paths:
        moved = map_points(moved, path)
    return moved


def map_points(points: ArrayLike, path: str | Path) -> FloatArray:
    """Points through a transform file, as ``antsApplyTransformsToPoints`` takes them.

    Parameters
    ----------
    points : (S, 3) array-like, mm, RAS
        In the space that the file's name gives as ``to-``.
    path : path
        ``.h5``, with any number of affine transforms and displacement fields, of which the last
        in the file is applied first (as ITK's ``CompositeTransform`` says); ``.txt`` or ``.mat``
        with one affine transform.

    Returns
    -------
    (S, 3) array, mm, RAS
        In the space that the file's name gives as ``from-``. Points outside a displacement field
        are not displaced by it.

    Raises
    ------
    MissingInputError
        When the file is not there.
    DataError
        When it is not an ITK transform or of a kind that can't be read here.
    UsageError
        When the points have another shape.
    """
    path, moved = Path(path), as_points(points)
    if not path.is_file():
        raise MissingInputError(f"The transform {path} is not there.")
    through = _through_h5 if path.suffix == ".h5" else _through_linear
    try:
        moved = through(moved, path)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise _not_a_transform(path) from error
    if not np.isfinite(moved).all():
        raise _not_a_transform(path)
    return moved


def _not_a_transform(path: Path) -> DataError:
    return DataError(
        f"{path} can't be read as a transform of ITK.",
        hint="Is it complete? If it was being copied or downloaded, remove it and get it again.",
    )


def _through_linear(points: FloatArray, path: Path) -> FloatArray:
    transform = import_module("nitransforms.io.itk").ITKLinearTransform.from_filename(path)
    moved: FloatArray = apply_affine(transform.to_ras(), points)
    return moved


def _through_h5(points: FloatArray, path: Path) -> FloatArray:
    with import_module("h5py").File(path, "r") as file:
        for kind, member in reversed(_members(file["TransformGroup"])):
            if kind.startswith(_LINEAR):
                points = _through_affine(points, member)
            elif _FIELD in kind:
                points = points + _RAS_TO_LPS * _Field.read(member).at(_RAS_TO_LPS * points)
            else:
                raise DataError(
                    f"{path} holds a {kind}, which can't be read here.",
                    hint="Affine transforms and displacement fields can; ANTs' "
                    "antsApplyTransforms turns any other into a displacement field.",
                )
    return points


def _members(group: Any) -> list[tuple[str, Any]]:
    """Type and group of every transform of a file, in its order."""
    # The names are numbers, which HDF5 sorts as text: 10 before 2.
    groups = [group[name] for name in sorted(group, key=int)]
    members = [(member["TransformType"][0].decode(), member) for member in groups]
    return [(kind, member) for kind, member in members if not kind.startswith("Composite")]


def _dataset(member: Any, name: str) -> Any:
    """Parameters of a transform; older versions of ITK misspell their name."""
    full = f"Transform{name}"
    return member[full if full in member else f"Tranform{name}"]


def _through_affine(points: FloatArray, member: Any) -> FloatArray:
    numbers = _dataset(member, "Parameters")[()]
    transform = import_module("nitransforms.io.itk").ITKLinearTransform(
        parameters=from_matvec(numbers[:9].reshape(3, 3), numbers[9:]),
        offset=_dataset(member, "FixedParameters")[()],
    )
    moved: FloatArray = apply_affine(transform.to_ras(), points)
    return moved


@dataclass(frozen=True)
class _Field:
    """A displacement field in a file, of which only what is needed is read.

    Parameters
    ----------
    numbers : HDF5 dataset, mm
        One after the other x, y, z of the first voxel, of the next along x, and so on.
    shape : (3,) array
        Voxels along x, y and z.
    affine : (4, 4) array
        Voxel indices to millimetres, LPS.
    """

    numbers: Any
    shape: IndexArray
    affine: FloatArray

    @classmethod
    def read(cls, member: Any) -> _Field:
        """Geometry of the field: size, origin, spacing and direction, as ITK stores them."""
        fixed = _dataset(member, "FixedParameters")[()]
        shape, origin, spacing = fixed[:9].reshape(3, 3)
        affine = from_matvec(fixed[9:].reshape(3, 3) * spacing, origin)
        field = cls(_dataset(member, "Parameters"), shape.astype(np.intp), affine)
        if field.numbers.shape != (3 * field.shape.prod(),):
            raise ValueError("The displacements are not as many as the grid asks for.")
        return field

    def at(self, points: FloatArray) -> FloatArray:
        """Displacements of (S, 3) points in LPS, linearly interpolated, (S, 3)."""
        index = apply_affine(np.linalg.inv(self.affine), points)
        # As in ITK, the grid reaches to the outer borders of its voxels.
        inside = ((index >= -0.5) & (index < self.shape - 0.5)).all(axis=1)
        displacements = np.zeros_like(points)
        displacements[inside] = self._interpolate(index[inside])
        return displacements

    def _interpolate(self, index: FloatArray) -> FloatArray:
        lowest = np.floor(index)
        part = (index - lowest)[:, np.newaxis]
        weights = np.where(_CORNERS, part, 1 - part).prod(axis=2)
        corners = np.clip(lowest[:, np.newaxis].astype(np.intp) + _CORNERS, 0, self.shape - 1)
        mean: FloatArray = np.einsum("sc,scd->sd", weights, self._displacements(corners))
        return mean

    def _displacements(self, voxels: IndexArray) -> FloatArray:
        """Displacements of (..., 3) voxels, of the same shape."""
        strides = 3 * np.array([1, self.shape[0], self.shape[0] * self.shape[1]])
        first = (voxels @ strides)[..., np.newaxis]
        return _take(self.numbers, first + np.arange(3))


def _take(numbers: Any, positions: IndexArray) -> FloatArray:
    """Numbers at positions in a one-dimensional HDF5 dataset, in blocks of bounded size.

    A compressed chunk has to be inflated as a whole, so blocks are made of whole chunks, and each
    is read once.
    """
    wanted, place = np.unique(positions, return_inverse=True)
    step = _block_length(numbers.chunks)
    found = np.empty(len(wanted))
    for block in np.unique(wanted // step):
        low, high = np.searchsorted(wanted, (block * step, (block + 1) * step))
        values = numbers[block * step : (block + 1) * step]
        found[low:high] = values[wanted[low:high] - block * step]
    return found[place].reshape(positions.shape)


def _block_length(chunks: tuple[int] | None) -> int:
    """Length of a block: whole chunks, and not much less than `_BLOCK`."""
    chunk = chunks[0] if chunks else 1
    return chunk * -(-_BLOCK // chunk)
