"""Smoothing of weights instead of images.

Design
------
Smoothing is linear. With x a volume, G the smoothing and W the weights of the spheres,
``W @ (G @ x) == (W @ G) @ x``; so G is applied once to a few small boxes of weights, never to a
volume. A Gaussian spreads each weight over a box, axis by axis; what falls outside the
image is folded back at its edge, as scipy's default boundary ("reflect") does. The kernel
ends at 4 standard deviations, and sigma = fwhm / sqrt(8 ln 2), as in
`nilearn.image.smooth_img` and `scipy.ndimage.gaussian_filter1d`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bids_spheres.engine.stream import Volumes
from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine.spheres import Grid, SphereWeights

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]

_TRUNCATE = 4.0
"""Standard deviations at which the kernel ends (scipy's default)."""

_CHUNK = 256
"""Spheres smoothed together: some 10 MB."""

_TILE = 6
"""Edge of the tiles in which spheres are ordered, voxels: some spheres' width."""


@dataclass(frozen=True, eq=False)
class AppliedWeights:
    """What is multiplied with the voxels of a volume.

    Parameters
    ----------
    voxels : (U,) int array
        Flat Fortran-order positions to read.
    matrix : (S, U) sparse array
        Its rows lie in the order of `row_of`.
    row_of : (S,) int array
        Row of each sphere. Neighbours in the image are neighbours in the matrix, so that the
        voxels that they share are still in the processor's cache.
    """

    voxels: IntArray
    matrix: sparse.csr_array
    row_of: IntArray


def check_fwhm(fwhm: float | None) -> float | None:
    """`fwhm` as a width in mm; None, which does not smooth, for 0.

    Raises
    ------
    UsageError
        When it is not a length.
    """
    if fwhm is None:
        return None
    number = isinstance(fwhm, int | float | np.number) and not isinstance(fwhm, bool)
    if not number or not 0 <= fwhm < np.inf:
        raise UsageError(f"smoothing_fwhm must be a width in mm, not {fwhm!r}.")
    return float(fwhm) or None


@lru_cache(maxsize=4)
def applied_weights(weights: SphereWeights, fwhm: float, *, single: bool = False) -> AppliedWeights:
    """Weights of the mean over each sphere of a smoothed image.

    Parameters
    ----------
    weights : SphereWeights
    fwhm : float
        mm.
    single : bool
        In single precision.
    """
    return _gaussian(weights, fwhm, np.float32 if single else np.float64)


@dataclass(frozen=True)
class SmoothedVolumes(Volumes):
    """Volumes smoothed one by one, for what is not linear in the voxels of a sphere."""

    raw: Volumes
    fwhm: float

    @classmethod
    def of(cls, raw: Volumes, fwhm: float) -> SmoothedVolumes:
        """`raw`, smoothed by a Gaussian of width `fwhm` (mm)."""
        return cls(raw.name, raw.grid, raw.n_volumes, raw.t_r, is_3d=raw.is_3d, raw=raw, fwhm=fwhm)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Double precision, whatever the image is stored in."""
        return np.dtype(np.float64)

    def _stored_blocks(self, voxels: IntArray, size: int) -> Iterator[FloatArray]:
        del size  # a smoothed volume is as large as an image; one at a time is enough
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import, seldom needed

        shape = self.grid.shape
        for block in self.raw.blocks(np.arange(int(np.prod(shape)))):
            block[~np.isfinite(block)] = 0
            for volume in block:
                image = volume.reshape(shape, order="F")
                smooth = gaussian_filter(image, _sigmas(self.grid, self.fwhm), truncate=_TRUNCATE)
                yield smooth.reshape(-1, order="F")[voxels][np.newaxis]


def _sigmas(grid: Grid, fwhm: float) -> FloatArray:
    """Standard deviations in voxels of a Gaussian of width `fwhm` (mm), per axis."""
    return fwhm / (np.sqrt(8 * np.log(2)) * np.linalg.norm(grid.affine[:3, :3], axis=0))


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of one size around some spheres: where they start and what they hold."""

    spheres: IntArray
    lowest: IntArray
    ijk: IntArray
    counts: IntArray
    extent: tuple[int, int, int]

    def filled(self) -> FloatArray:
        """(n, *extent) array of 1 / count at each sphere's voxels."""
        row = np.repeat(np.arange(len(self.spheres)), self.counts)
        boxes = np.zeros((len(self.spheres), *self.extent))
        boxes[(row, *(self.ijk - self.lowest[row]).T)] = 1 / self.counts[row]
        return boxes


def _gaussian(weights: SphereWeights, fwhm: float, dtype: type[np.floating[Any]]) -> AppliedWeights:
    """Weights spread by a Gaussian; the large arrays are filled piece by piece and never copied."""
    grid = weights.grid
    kernels = [_kernel(sigma) for sigma in _sigmas(grid, fwhm)]
    order = _spatial_order(weights)
    parts = [_boxes(weights, order[i : i + _CHUNK]) for i in range(0, len(order), _CHUNK)]
    pointers = np.concatenate([[0], np.cumsum(_row_lengths(parts, kernels, len(weights.asked)))])
    column, value = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], dtype)
    wanted = np.zeros(int(np.prod(grid.shape)), dtype=bool)
    pieces = [
        slice(pointers[i * _CHUNK], pointers[i * _CHUNK + len(part.spheres)])
        for i, part in enumerate(parts)
    ]
    for piece, part in zip(pieces, parts, strict=True):
        column[piece] = _folded_positions(part, grid, kernels).reshape(-1)
        value[piece] = _convolved(part.filled(), kernels).reshape(-1)
        wanted[column[piece]] = True
    number = np.cumsum(wanted, dtype=np.int32) - 1
    for piece in pieces:
        column[piece] = number[column[piece]]
    voxels = np.flatnonzero(wanted)
    shape = (len(weights.asked), len(voxels))
    matrix = sparse.csr_array((value, column, pointers.astype(np.int32)), shape=shape)
    row_of = np.argsort(np.concatenate([order, np.flatnonzero(weights.empty)]))
    return AppliedWeights(voxels, matrix, row_of)


def _row_lengths(parts: list[_Boxes], kernels: Sequence[FloatArray], n_spheres: int) -> IntArray:
    """Voxels in the convolved box of each sphere, in the order of rows; empty spheres last."""
    lengths = np.zeros(n_spheres, dtype=np.intp)
    for i, part in enumerate(parts):
        box = [n + len(kernel) - 1 for n, kernel in zip(part.extent, kernels, strict=True)]
        lengths[i * _CHUNK : i * _CHUNK + len(part.spheres)] = np.prod(box)
    return lengths


def _spatial_order(weights: SphereWeights) -> IntArray:
    """Spheres with a voxel, tile by tile of the image."""
    membership = weights.membership
    there = np.flatnonzero(~weights.empty)
    first = weights.voxels[membership.indices[membership.indptr[there]]]
    x, y, z = weights.grid.unflat(first).T
    return there[np.lexsort((x, y // _TILE, z // _TILE))]


def _boxes(weights: SphereWeights, spheres: IntArray) -> _Boxes:
    """Voxels of some spheres, and the largest of their bounding boxes."""
    membership = weights.membership[spheres]
    ijk = weights.grid.unflat(weights.voxels[membership.indices])
    starts = membership.indptr[:-1]
    lowest = np.minimum.reduceat(ijk, starts)
    nx, ny, nz = (np.maximum.reduceat(ijk, starts) - lowest).max(axis=0) + 1
    return _Boxes(spheres, lowest, ijk, np.diff(membership.indptr), (int(nx), int(ny), int(nz)))


def _convolved(boxes: FloatArray, kernels: Sequence[FloatArray]) -> FloatArray:
    """Full convolution of (n, a, b, c) boxes along the last three axes."""
    n, a = boxes.shape[:2]
    along_x, along_y, along_z = (
        _convolution(kernel, length)
        for kernel, length in zip(kernels, boxes.shape[1:], strict=True)
    )
    spread = np.matmul(along_y, boxes @ along_z.T)
    return np.matmul(along_x, spread.reshape(n, a, -1)).reshape(n, len(along_x), len(along_y), -1)


def _folded_positions(part: _Boxes, grid: Grid, kernels: Sequence[FloatArray]) -> NDArray[np.int32]:
    """Flat positions of convolved boxes, (n, a, b, c), folded back at the image's edges."""
    axes = []
    for axis, (kernel, length) in enumerate(zip(kernels, part.extent, strict=True)):
        reach = len(kernel) // 2
        index = part.lowest[:, axis, None] + np.arange(-reach, length + reach)
        axes.append(_reflected(index, grid.shape[axis]).astype(np.int32))
    x, y, z = axes
    nx, ny, _ = grid.shape
    return x[:, :, None, None] + nx * (y[:, None, :, None] + ny * z[:, None, None, :])


def _kernel(sigma: float) -> FloatArray:
    """Normalised Gaussian on whole voxels, odd in length."""
    reach = int(_TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _convolution(kernel: FloatArray, length: int) -> FloatArray:
    """Matrix of the full convolution of `length` values, (length + len(kernel) - 1, length)."""
    matrix = np.zeros((length + len(kernel) - 1, length))
    for i in range(length):
        matrix[i : i + len(kernel), i] = kernel
    return matrix


def _reflected(index: IntArray, length: int) -> IntArray:
    """Fold indices at the edges of an axis: d c b a | a b c d | d c b a."""
    folded = index % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
