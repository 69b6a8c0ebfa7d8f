"""Seeds on an image grid: which voxels belong to which sphere.

Work is proportional to the voxels in the spheres, never to seeds x image: around the voxel that
holds a seed lies a box of candidates that is the same for every seed of one radius, and a mask is
looked up at the voxels found, so that it is never resampled as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from nibabel.affines import apply_affine
from scipy import sparse

from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray, memoized
from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray


Value = TypeVar("Value", bound=np.generic)

DISTANCE_TOLERANCE = 1e-9  # relative: rounding must not drop a voxel at the rim
CORE = 0.01  # share of the largest weight of a map from which a voxel counts as its own

_CHUNK = 50_000  # candidate voxels looked at together: a megabyte, which stays in the cache
_MAX_BOX = 4_000_000  # candidate voxels of a seed: more are no region of interest


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel grid of an image.

    Parameters
    ----------
    shape : tuple of three int
    affine : (4, 4) array
        Voxel indices to mm.
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    def __post_init__(self) -> None:
        linear = self.affine[:3, :3]
        if not np.isfinite(self.affine).all() or abs(np.linalg.det(linear)) < 1e-12:
            raise DataError("The affine of the image can't be inverted, so mm have no voxels.")

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel, mm^3."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    def to_mm(self, ijk: ArrayLike) -> FloatArray:
        """Centres of voxels `ijk` ((N, 3)), mm."""
        return apply_affine(self.affine, ijk)

    def matches(self, other: Grid) -> bool:
        """True when both have the same voxels."""
        return self.shape == other.shape and np.allclose(self.affine, other.affine, atol=1e-4)

    def voxel_of(self, points: ArrayLike) -> IntArray:
        """Index of the voxel nearest to each of `points` ((N, 3), mm), maybe outside the image."""
        return np.rint(apply_affine(np.linalg.inv(self.affine), points)).astype(np.intp)

    def contains(self, ijk: IntArray) -> BoolArray:
        """Which of the voxel indices `ijk` ((..., 3)) lie in the image."""
        return np.asarray(((ijk >= 0) & (ijk < self.shape)).all(axis=-1))

    def flat(self, ijk: IntArray) -> IntArray:
        """Position of voxels in a volume as NIfTI stores it, first axis fastest."""
        nx, ny, _ = self.shape
        return ijk[..., 0] + nx * (ijk[..., 1] + ny * ijk[..., 2])

    def unflat(self, positions: IntArray) -> IntArray:
        """Inverse of `flat`."""
        return np.stack(np.unravel_index(positions, self.shape, order="F"), axis=-1)


def ball_volume(radii: FloatArray) -> FloatArray:
    """Volumes of balls."""
    return 4 / 3 * np.pi * radii**3


def ball_radius(volumes: FloatArray) -> FloatArray:
    """Radii of balls of these volumes."""
    return np.cbrt(3 * volumes / (4 * np.pi))


@dataclass(frozen=True, eq=False)
class SphereWeights:
    """Sparse weights that turn a volume into one value per sphere.

    Parameters
    ----------
    grid : Grid
    voxels : (V,) int array
        Flat Fortran-order positions of the voxels in any sphere, ascending: as they lie in a file.
    membership : (S, V) sparse bool array
        Which of `voxels` belong to which sphere. Those of one sphere come with their last axis
        fastest: the order in which numpy, and so nilearn, sums the voxels of a mask.
    asked : (S,) int array
        Voxel centres in each sphere, whether or not they lie in image and mask.
    seed_used : (S,) bool array
        Whether the voxel that holds the seed is one of the voxels used.
    values : (N,) array, optional
        Weight of every voxel of every row of `membership`, in its order; 1 by default.
    whole : (S,) array, optional
        Sum of the weights of each row, without their signs, whether or not their voxels lie in
        image and mask; `asked` by default.
    largest : (S,) array, optional
        Largest weight of each row, without its sign, whether or not its voxel lies in image and
        mask; of the voxels used by default.
    joint : tuple of slice
        Rows of maps whose signals are found together, by least squares; the others are means.
    compact : bool
        Whether the voxels of each row lie in a small box, as those of spheres do.
    """

    grid: Grid
    voxels: IntArray
    membership: sparse.csr_array
    asked: IntArray
    seed_used: BoolArray
    values: FloatArray | None = None
    whole: FloatArray | None = None
    largest: FloatArray | None = None
    joint: tuple[slice, ...] = ()
    compact: bool = True

    @cached_property
    def core(self) -> sparse.csr_array:
        """Voxels that count, (S, V): those of `CORE` of the largest weight of a row, or more."""
        if self.values is None:
            return self.membership
        rows = np.repeat(np.arange(len(self.asked)), np.diff(self.membership.indptr))
        kept = np.abs(self.values) >= CORE * self.peaks[rows]
        pairs = rows[kept], self.membership.indices[kept]
        return sparse.csr_array((np.ones(kept.sum(), bool), pairs), shape=self.membership.shape)

    @cached_property
    def peaks(self) -> FloatArray:
        """Largest weight of each row, without its sign, (S,)."""
        if self.largest is not None:
            return self.largest
        return np.asarray(self.magnitudes.max(axis=1).toarray().ravel())

    @cached_property
    def used(self) -> IntArray:
        """Voxels that contribute to each sphere, (S,)."""
        return np.diff(self.core.indptr).astype(np.intp)

    @property
    def coverage(self) -> FloatArray:
        """Share of each sphere's voxels, or weights, that is used, (S,), 0 to 1."""
        return self.coverage_of(np.ones(len(self.voxels)))

    def coverage_of(self, alive: FloatArray) -> FloatArray:
        """Share of each sphere's voxels, or weights, that is used and `alive`, (S,), 0 to 1."""
        share = self.magnitudes @ alive / (self.asked if self.whole is None else self.whole)
        return share if self.values is None else np.clip(share, 0, 1)

    @property
    def empty(self) -> BoolArray:
        """Spheres without a voxel, (S,)."""
        return self.used == 0

    @property
    def partial(self) -> BoolArray:
        """Whether each sphere has both used and unused voxels, (S,)."""
        return (self.used > 0) & (self.used < self.asked)

    @property
    def overlaps(self) -> IntArray:
        """Voxels of each sphere that are in another one as well, (S,)."""
        shared = np.bincount(self.core.indices, minlength=len(self.voxels)) > 1
        return np.asarray(self.core @ shared.astype(np.intp), dtype=np.intp)

    @cached_property
    def sums(self) -> sparse.csr_array:
        """Weights of the sum over each sphere, (S, V), in double precision."""
        # Not `astype`: it sorts the voxels of a sphere, and sums depend on their order.
        values = np.ones(self.membership.nnz) if self.values is None else self.values
        parts = values, self.membership.indices, self.membership.indptr
        return sparse.csr_array(parts, shape=self.membership.shape)

    @cached_property
    def magnitudes(self) -> sparse.csr_array:
        """Weights without their signs, (S, V): maps of components may have both."""
        # Copies, as scipy sorts a matrix in place to find its largest values.
        parts = np.abs(self.sums.data), self.sums.indices.copy(), self.sums.indptr
        return sparse.csr_array(parts, shape=self.sums.shape)

    def restricted(self, spheres: BoolArray, voxels: BoolArray) -> SphereWeights:
        """Some spheres, (S,), with some voxels, (V,); the others are empty."""
        pairs = self.membership.tocoo()
        kept = spheres[pairs.row] & voxels[pairs.col]
        owner, position = pairs.row[kept].astype(np.intp), self.voxels[pairs.col[kept]]
        return assemble(self.grid, owner, position, self.asked, self.seed_used)


@memoized(maxsize=4)
def sphere_weights(
    coordinates: ArrayLike,
    radii: ArrayLike,
    grid: Grid,
    mask: BoolArray | None = None,
    mask_grid: Grid | None = None,
) -> SphereWeights:
    """Voxels and weights of spheres around seeds on an image grid.

    A voxel belongs to a sphere when its centre is not further from the seed than the
    radius, or when it is the voxel that holds the seed (nilearn's rule, see
    `nilearn.maskers.NiftiSpheresMasker`). Only voxels in the image and in the mask are used.

    Parameters
    ----------
    coordinates : (S, 3) array-like, mm
    radii : (S,) array-like or float, mm
        0: the voxel that holds the seed.
    grid : Grid
        The image's.
    mask : (X, Y, Z) bool array, optional
    mask_grid : Grid, optional
        The mask's, if it is not `grid`; the nearest voxel of the mask counts.

    Returns
    -------
    SphereWeights

    Raises
    ------
    UsageError
        When a coordinate or a radius is not a number, or a sphere is larger than any use.

    Examples
    --------
    A ball of radius 1 around a voxel's centre is that voxel and its six neighbours:

    >>> grid = Grid((5, 5, 5), np.eye(4))
    >>> weights = sphere_weights([[2, 2, 2], [0, 0, 0]], 1, grid)
    >>> weights.used, weights.asked
    (array([7, 4]), array([7, 7]))
    """
    points = as_points(coordinates)
    radius_per_seed = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(points))
    if not np.isfinite(points).all():
        raise UsageError("A coordinate of a seed is not a finite number.")
    if not (radius_per_seed >= 0).all():
        raise UsageError("The radius of a seed is not a length in mm.")
    asked, balls = np.zeros(len(points), np.intp), list(_balls(points, radius_per_seed, grid))
    for seeds, voxels, _, _ in balls:
        asked[seeds] = voxels
    nothing = np.empty(0, dtype=np.intp)
    owner = np.concatenate([nothing, *(ball[2] for ball in balls)])
    position = np.concatenate([nothing, *(ball[3] for ball in balls)])
    seed_voxel = grid.voxel_of(points)
    seed_used = grid.contains(seed_voxel)
    if mask is not None:
        kept = in_mask(position, grid, mask, mask_grid or grid)
        owner, position = owner[kept], position[kept]
        held = grid.flat(seed_voxel[seed_used])
        seed_used[seed_used] = in_mask(held, grid, mask, mask_grid or grid)
    return assemble(grid, owner, position, asked, seed_used)


def as_points(coordinates: ArrayLike) -> FloatArray:
    """Coordinates as an (S, 3) array, mm; UsageError when they have another shape."""
    points = np.asarray(coordinates, dtype=np.float64)
    if points.size == 0:
        return points.reshape(0, 3)
    if points.ndim != 2 or points.shape[1] != 3:
        raise UsageError(f"Seeds must have the shape (S, 3), not {points.shape}.")
    return points


def stack_weights(parts: list[SphereWeights]) -> SphereWeights:
    """Spheres of several sets on one grid as one set, in the order given.

    Raises
    ------
    DataError
        When their grids differ.
    """
    if len(parts) == 1:
        return parts[0]
    if not all(part.grid.matches(parts[0].grid) for part in parts):
        raise DataError("Spheres on different image grids can't be extracted together.")
    counts = [len(part.asked) for part in parts]
    offsets = [sum(counts[:number]) for number in range(len(parts))]
    pairs = [part.membership.tocoo() for part in parts]
    stacked = assemble(
        parts[0].grid,
        np.concatenate([pair.row + start for pair, start in zip(pairs, offsets, strict=True)]),
        np.concatenate([part.voxels[pair.col] for part, pair in zip(parts, pairs, strict=True)]),
        np.concatenate([part.asked for part in parts]),
        np.concatenate([part.seed_used for part in parts]),
    )
    if not any(part.values is not None for part in parts):
        return replace(stacked, compact=all(part.compact for part in parts))
    return replace(
        stacked,
        values=np.concatenate([part.sums.data for part in parts]),
        whole=np.concatenate([p.asked if p.whole is None else p.whole for p in parts]),
        largest=np.concatenate([part.peaks for part in parts]),
        joint=tuple(
            slice(rows.start + start, rows.stop + start)
            for part, start in zip(parts, offsets, strict=True)
            for rows in part.joint
        ),
        compact=False,
    )


def assemble(
    grid: Grid, owner: IntArray, position: IntArray, asked: IntArray, seed_used: BoolArray
) -> SphereWeights:
    """Weights of pairs of a sphere, (N,), and a voxel, by its flat position, (N,)."""
    wanted = np.zeros(int(np.prod(grid.shape)), dtype=bool)
    wanted[position] = True
    voxels = np.flatnonzero(wanted)
    # Built by hand: scipy would sort the voxels of a sphere, and sums depend on their order.
    column = numbers_of(voxels, grid)[position[np.argsort(owner, kind="stable")]]
    starts = np.concatenate([[0], np.bincount(owner, minlength=len(asked)).cumsum()])
    membership = sparse.csr_array(
        (np.ones(len(owner), dtype=bool), column, starts.astype(np.int32)),
        shape=(len(asked), len(voxels)),
    )
    return SphereWeights(grid, voxels, membership, asked, seed_used)


def _balls(
    points: FloatArray, radii: FloatArray, grid: Grid
) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
    """Spheres of some seeds at a time: numbers of the seeds, (n,), and voxels of each, (n,).

    And of the voxels in the image the number of the seed and the flat position, (N,) each.
    """
    linear, origin = grid.affine[:3, :3], grid.affine[:3, 3]
    for radius in np.unique(radii):
        offsets, limit = _box(radius, linear), (radius * (1 + DISTANCE_TOLERANCE)) ** 2
        offsets_mm, reach = offsets @ linear.T, offsets.max(axis=0)
        of_radius, step = np.flatnonzero(radii == radius), max(1, _CHUNK // len(offsets))
        for start in range(0, len(of_radius), step):
            seeds = of_radius[start : start + step]
            centre = grid.voxel_of(points[seeds])
            from_seed = centre @ linear.T + origin - points[seeds]
            squared = np.zeros((len(seeds), len(offsets)))
            for axis in range(3):
                along = np.add.outer(from_seed[:, axis], offsets_mm[:, axis])
                squared += np.square(along, out=along)
            used = squared <= limit
            used[:, (offsets == 0).all(axis=1)] = True
            asked = np.count_nonzero(used, axis=1)
            at_edge = ~(grid.contains(centre - reach) & grid.contains(centre + reach))
            used[at_edge] &= grid.contains(centre[at_edge, np.newaxis] + offsets)
            seed, voxel = np.nonzero(used)
            yield seeds, asked, seeds[seed], grid.flat(centre)[seed] + grid.flat(offsets)[voxel]


def numbers_of(voxels: IntArray, grid: Grid) -> NDArray[np.int32]:
    """Place of each voxel of a volume among `voxels`, (X Y Z,); -1 for all others."""
    numbers = np.full(int(np.prod(grid.shape)), -1, dtype=np.int32)
    numbers[voxels] = np.arange(len(voxels), dtype=np.int32)
    return numbers


def _box(radius: float, linear: FloatArray) -> IntArray:
    """Offsets from the seed's voxel that may lie within `radius`, (K, 3), last axis fastest."""
    # A plane at distance r from the seed is r * |row of the inverse| voxels away along that
    # axis; the seed itself is up to half a voxel off the centre of its voxel.
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(linear), axis=1) + 0.5 + 1e-6)
    if np.prod(2 * reach + 1) > _MAX_BOX:
        raise UsageError(
            f"A radius of {radius:g} mm is too large for voxels of this size.",
            hint="Radii are in millimetres; spheres of seeds are usually 3 to 10 mm.",
        )
    ranges = [np.arange(-n, n + 1) for n in reach.astype(np.intp)]
    offsets = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    half_diagonal = np.abs(linear).sum(axis=1) / 2
    furthest = radius + np.linalg.norm(half_diagonal)
    near = np.linalg.norm(offsets @ linear.T, axis=1) <= furthest * (1 + 1e-6)
    return np.asarray(offsets[near])


def in_mask(position: IntArray, grid: Grid, mask: BoolArray, mask_grid: Grid) -> BoolArray:
    """Whether the nearest voxel of a mask holds at flat positions of an image's grid, (N,)."""
    if grid.matches(mask_grid):
        return np.asarray(mask.reshape(-1, order="F")[position])
    return nearest_values(grid.unflat(position), grid, mask, mask_grid)


def nearest_values(
    ijk: IntArray, grid: Grid, values: NDArray[Value], values_grid: Grid
) -> NDArray[Value]:
    """Values of the voxels of another image nearest to voxels (N, 3) of a grid, (N,); 0 outside."""
    # As scipy.ndimage, and so nilearn, takes the nearest voxel: halves go up, and points beyond
    # the centres of the outermost voxels are outside.
    where = apply_affine(np.linalg.inv(values_grid.affine) @ grid.affine, ijk)
    rounding = 1e-9
    last = np.array(values_grid.shape) - 1
    inside = np.asarray(((where >= -rounding) & (where <= last + rounding)).all(axis=1))
    nearest = np.floor(where[inside] + 0.5 + rounding).astype(np.intp)
    taken = np.zeros(len(ijk), dtype=values.dtype)
    taken[inside] = values[tuple(nearest.T)]
    return taken


def nearest_only(weights: SphereWeights, coordinates: ArrayLike, radii: ArrayLike) -> SphereWeights:
    """Spheres without overlap: a voxel in several belongs to the one whose seed is nearest.

    `radii` are those of `weights`. A sphere does not ask for voxels, wherever, that another has.
    """
    winners = _without_losers(weights, coordinates)
    # With room for the spheres that share a voxel with a sphere that reaches into the image.
    affine = weights.grid.affine.copy()
    pad = 3 * (_box(np.max(radii, initial=0), affine[:3, :3]).max(axis=0) + 1)
    affine[:3, 3] -= affine[:3, :3] @ pad
    nx, ny, nz = (weights.grid.shape + 2 * pad).tolist()
    whole = sphere_weights(coordinates, radii, Grid((nx, ny, nz), affine))
    # A sphere that reaches out of the padded image is too far away to share a voxel of this one.
    near = whole.used == whole.asked
    asked = np.where(near, _without_losers(whole, coordinates).used, weights.asked)
    return replace(winners, asked=np.maximum(asked, 1))


def _without_losers(weights: SphereWeights, coordinates: ArrayLike) -> SphereWeights:
    """Each voxel left to the sphere whose seed is nearest; what spheres ask for stays."""
    owner, column = _far_to_near(weights, coordinates)
    winner = np.empty(len(weights.voxels), dtype=np.intp)
    winner[column] = owner  # what is written last stays
    pairs = weights.membership.tocoo()
    kept = winner[pairs.col] == pairs.row
    position, seed_used = weights.voxels[pairs.col[kept]], weights.seed_used.copy()
    seeds = np.flatnonzero(seed_used)
    held = weights.grid.flat(weights.grid.voxel_of(coordinates)[seeds])
    seed_used[seeds] = winner[np.searchsorted(weights.voxels, held)] == seeds
    return assemble(weights.grid, pairs.row[kept], position, weights.asked, seed_used)


def _far_to_near(weights: SphereWeights, coordinates: ArrayLike) -> tuple[IntArray, IntArray]:
    """Spheres and columns of voxels; of each voxel the nearest, and first, seed comes last.

    Near by less than a nanometre is equally near: rounding must not decide.
    """
    grid, pairs = weights.grid, weights.core.tocoo()
    voxel_mm = grid.to_mm(grid.unflat(weights.voxels))
    distance = np.linalg.norm(voxel_mm[pairs.col] - np.asarray(coordinates)[pairs.row], axis=1)
    if weights.values is not None:
        # Of maps, a voxel is of that of the largest weight.
        distance = -np.asarray(weights.magnitudes[pairs.row, pairs.col]).ravel()
    order = np.lexsort((-pairs.row, -np.round(distance, 6)))
    return pairs.row[order].astype(np.intp), pairs.col[order].astype(np.intp)


def label_volume(weights: SphereWeights, coordinates: ArrayLike) -> NDArray[np.int32]:
    """Spheres as labels, (X, Y, Z): 1 to S, of the nearest seed, the first of equals; else 0."""
    grid = weights.grid
    owner, column = _far_to_near(weights, coordinates)
    labels = np.zeros(int(np.prod(grid.shape)), dtype=np.int32)
    # What is written last stays.
    labels[weights.voxels[column]] = owner + 1
    return labels.reshape(grid.shape, order="F")
