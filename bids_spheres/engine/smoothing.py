"""Smoothing of weights instead of images.

Smoothing is linear. With x a volume, G the smoothing and W the weights of the spheres, ``W @ (G @
x) == (W @ G) @ x``; so G is applied once to a few small boxes of weights, axis by axis. What falls
outside the image is folded back at its edge, as scipy's default boundary ("reflect") does. The
kernel ends at 4 standard deviations, and sigma = fwhm / sqrt(8 ln 2), as in
`nilearn.image.smooth_img` and `scipy.ndimage.gaussian_filter1d`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from bids_spheres.engine.spheres import numbers_of
from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine.arrays import DType, FloatArray, IntArray, RealArray
    from bids_spheres.engine.spheres import Grid, SphereWeights


_TRUNCATE = 4.0  # standard deviations at which the kernel ends (scipy's default)
_CHUNK = 256  # spheres smoothed together: some 10 MB
_TILE = 6  # edge of the tiles in which spheres are ordered, voxels: some spheres' width


def check_fwhm(fwhm: float | None) -> float | None:
    """`fwhm` as a width in mm, None for 0, which does not smooth; UsageError if it is no length."""
    if fwhm is None:
        return None
    number = isinstance(fwhm, int | float | np.number) and not isinstance(fwhm, bool)
    if not number or not 0 <= fwhm < np.inf:
        raise UsageError(f"smoothing_fwhm must be a width in mm, not {fwhm!r}.")
    return float(fwhm) or None


@lru_cache(maxsize=4)
def applied_weights(weights: SphereWeights, fwhm: float, *, single: bool = False) -> AppliedWeights:
    """Weights of the mean over each sphere of an image smoothed by `fwhm` (mm)."""
    kernels = []
    for sigma in _sigmas(weights.grid, fwhm):
        reach = int(_TRUNCATE * sigma + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernels.append(kernel / kernel.sum())
    # Spheres with a voxel, tile by tile of the image
    membership, filled = weights.membership, np.flatnonzero(~weights.empty)
    first = weights.voxels[membership.indices[membership.indptr[filled]]]
    x, y, z = weights.grid.unflat(first).T
    order = filled[np.lexsort((x, y // _TILE, z // _TILE))]
    parts = [_Boxes.around(weights, order[i : i + _CHUNK]) for i in range(0, len(order), _CHUNK)]
    row_of = np.argsort(np.concatenate([order, np.flatnonzero(weights.empty)]))
    dtype = np.dtype(np.float32 if single else np.float64)
    return AppliedWeights(weights.grid, tuple(parts), tuple(kernels), row_of, dtype)


def smoother(grid: Grid, fwhm: float, voxels: IntArray) -> Callable[[RealArray], FloatArray]:
    """Return a function that smooths a volume by a Gaussian (mm), at some `voxels`, (V,), alone.

    It takes a volume, (X Y Z,), which is finite within their `box_reached`, and smooths that box.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import, seldom needed

    box, sigmas = box_reached(grid, fwhm, voxels), _sigmas(grid, fwhm)
    inside = tuple((grid.unflat(voxels) - [side.start for side in box]).T)

    def smoothed(volume: RealArray) -> FloatArray:
        image = volume.reshape(grid.shape, order="F")[box].astype(np.float64)
        smooth: FloatArray = gaussian_filter(image, sigmas, truncate=_TRUNCATE)[inside]
        return smooth

    return smoothed


def box_reached(grid: Grid, fwhm: float, voxels: IntArray) -> tuple[slice, ...]:
    """Box of what a Gaussian of width `fwhm` (mm) brings into some voxels, within the image."""
    if not len(voxels):
        return (slice(0, 0),) * 3
    ijk, reach = grid.unflat(voxels), (_TRUNCATE * _sigmas(grid, fwhm) + 0.5).astype(np.intp)
    first = np.maximum(ijk.min(axis=0) - reach, 0)
    last = np.minimum(ijk.max(axis=0) + reach, np.array(grid.shape) - 1)
    return tuple(slice(a, b + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True))


def _sigmas(grid: Grid, fwhm: float) -> FloatArray:
    """Standard deviations in voxels of a Gaussian of width `fwhm` (mm), per axis."""
    return fwhm / (np.sqrt(8 * np.log(2)) * np.linalg.norm(grid.affine[:3, :3], axis=0))


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of one size around some spheres, within the image: where they start, what they hold."""

    spheres: IntArray
    lowest: IntArray
    ijk: IntArray
    counts: IntArray
    extent: tuple[int, int, int]

    @classmethod
    def around(cls, weights: SphereWeights, spheres: IntArray) -> _Boxes:
        """Voxels of some spheres, and the largest of their bounding boxes."""
        membership = weights.membership[spheres]
        ijk = weights.grid.unflat(weights.voxels[membership.indices])
        starts = membership.indptr[:-1]
        lowest = np.minimum.reduceat(ijk, starts)
        extent = (np.maximum.reduceat(ijk, starts) - lowest).max(axis=0) + 1
        # A box larger than its sphere moves inwards rather than over the upper edge.
        lowest = np.minimum(lowest, weights.grid.shape - extent)
        nx, ny, nz = extent.tolist()
        return cls(spheres, lowest, ijk, np.diff(membership.indptr), (nx, ny, nz))

    def spread_extent(self, kernels: Sequence[FloatArray]) -> IntArray:
        """Extent of the boxes after convolution, (3,)."""
        return np.array(self.extent) + [len(kernel) - 1 for kernel in kernels]

    def spread(self, kernels: Sequence[FloatArray]) -> tuple[IntArray, IntArray]:
        """Where boxes begin, in the image, and end, maybe beyond, when convolved: (n, 3)."""
        begins = self.lowest - np.array([len(kernel) // 2 for kernel in kernels])
        return np.maximum(begins, 0), begins + self.spread_extent(kernels)

    def weights(self, kernels: Sequence[FloatArray]) -> FloatArray:
        """Convolution of 1 / count at each sphere's voxels along the three axes, (n, a, b, c)."""
        n = len(self.spheres)
        row = np.repeat(np.arange(n), self.counts)
        boxes = np.zeros((n, *self.extent))
        boxes[(row, *(self.ijk - self.lowest[row]).T)] = 1 / self.counts[row]
        along_x, along_y, along_z = map(linalg.convolution_matrix, kernels, self.extent)
        spread = np.matmul(along_y, boxes @ along_z.T).reshape(n, self.extent[0], -1)
        return np.matmul(along_x, spread).reshape(n, len(along_x), len(along_y), -1)

    def positions(self, grid: Grid, kernels: Sequence[FloatArray]) -> NDArray[np.int32]:
        """Flat positions of `weights`, (n, a, b, c), folded back at the image's edges."""
        axes = []
        for axis, (kernel, length) in enumerate(zip(kernels, self.extent, strict=True)):
            reach = len(kernel) // 2
            index = self.lowest[:, axis, None] + np.arange(-reach, length + reach)
            # d c b a | a b c d | d c b a
            folded = index % (2 * grid.shape[axis])
            folded = np.minimum(folded, 2 * grid.shape[axis] - 1 - folded)
            axes.append(folded.astype(np.int32))
        x, y, z = axes
        nx, ny, _ = grid.shape
        return x[:, :, None, None] + nx * (y[:, None, :, None] + ny * z[:, None, None, :])


@dataclass(frozen=True, eq=False)
class AppliedWeights:
    """Weights spread by a Gaussian: what is multiplied with the voxels of a volume.

    `parts` are boxes around the spheres that have a voxel; `row_of`, (S,), is the row of each
    sphere in `matrix`, where neighbours lie together, as they share voxels in the cache.
    """

    grid: Grid
    parts: tuple[_Boxes, ...]
    kernels: tuple[FloatArray, ...]
    row_of: IntArray
    dtype: DType

    @cached_property
    def voxels(self) -> IntArray:
        """Flat positions to read, (U,), ascending; known long before the weights are."""
        wanted = np.zeros(self.grid.shape, dtype=bool, order="F")
        for part in self.parts:
            first, last = part.spread(self.kernels)
            for (x, y, z), (to_x, to_y, to_z) in zip(first.tolist(), last.tolist(), strict=True):
                wanted[x:to_x, y:to_y, z:to_z] = True
        return np.flatnonzero(wanted.reshape(-1, order="F"))

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """Weights of `voxels`, (S, U); filled piece by piece and never copied."""
        # Rows are as long as the spread boxes; those of empty spheres come last.
        n_rows, n_filled = len(self.row_of), [len(part.spheres) for part in self.parts]
        sizes = [np.prod(part.spread_extent(self.kernels)) for part in self.parts]
        lengths = np.repeat([*sizes, 0], [*n_filled, n_rows - sum(n_filled)]).astype(np.intp)
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        column, value = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], self.dtype)
        number = numbers_of(self.voxels, self.grid)
        row = 0
        for part in self.parts:
            piece = slice(pointers[row], pointers[row + len(part.spheres)])
            positions = part.positions(self.grid, self.kernels).reshape(-1)
            np.take(number, positions, out=column[piece], mode="clip")
            # scipy looks columns up without a check, wherever in memory they may lead.
            assert column[piece].min(initial=0) >= 0, "weights beyond the voxels that are read"  # noqa: S101
            value[piece] = part.weights(self.kernels).reshape(-1)
            row += len(part.spheres)
        parts = value, column, pointers.astype(np.int32)
        return sparse.csr_array(parts, shape=(n_rows, len(self.voxels)))
