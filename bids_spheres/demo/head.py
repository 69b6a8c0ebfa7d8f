"""A head by formula: grid, brain mask, tissues and spatially smooth fields.

The shapes are unions of ellipsoids in MNI millimetres, mirrored in the plane x = 0. The brain's
were fitted to the brain mask of MNI152NLin2009cAsym (Dice overlap 0.93) and rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.demo.motion import Floats

VOXEL = 5.0
ORIGIN = (-95.0, -130.0, -75.0)
SHAPE = (39, 46, 38)
SPHERE_RADIUS = 8.0

# Each row: centre (x, y, z), then half axes, mm. The mirror image in x = 0 is meant too.
BRAIN = (
    (15, -18, 9, 54, 90, 54),  # hemisphere
    (14, -25, 27, 52, 70, 53),  # its dorsal half
    (40, -21, -10, 31, 56, 37),  # temporal lobe
    (20, -61, -33, 36, 32, 32),  # cerebellum
    (0, -28, -42, 14, 16, 34),  # brain stem
)
# Echo-planar images lose their signal above the nasal sinuses and the ear canals.
DROPOUT = ((0, 38, -30, 26, 24, 16), (60, -30, -36, 26, 34, 16))
LOWEST_SLICE = -60.0
FISSURE = ((15, -20, 14, 48, 80, 54),)
VENTRICLES = (
    (9, -8, 18, 9, 32, 12),
    (26, -42, 8, 8, 18, 12),
    (0, -15, 2, 5, 16, 12),
    (0, -50, -34, 8, 10, 10),
)
WHITE_MATTER = ((25, -18, 24, 20, 58, 24), (20, -60, -36, 12, 10, 10))

# Arbitrary scanner units, as a T2*-weighted image has them.
GREY_BASELINE, WHITE_BASELINE, CSF_BASELINE, SCALP_BASELINE = 800.0, 700.0, 1000.0, 80.0


@dataclass(frozen=True, eq=False)
class Head:
    """Where the simulated tissues are.

    `brain`, `csf` and `white_matter` are (I, J, K): the brain mask, and parts of it that no seed's
    sphere touches. `voxels`, (I, J, K), have any signal: brain, spheres and scalp. Of these V
    voxels `baseline` is the mean intensity, arbitrary units, and `seed_of` the seed whose signal a
    voxel carries: the nearest within 8 mm, or -1.
    """

    affine: Floats
    brain: NDArray[np.bool_]
    csf: NDArray[np.bool_]
    white_matter: NDArray[np.bool_]
    voxels: NDArray[np.bool_]
    baseline: Floats
    seed_of: NDArray[np.intp]

    def volumes(self, values: NDArray[np.int16]) -> NDArray[np.int16]:
        """Put values per voxel and volume, (V, T), on the grid: (I, J, K, T)."""
        grid = np.zeros((*SHAPE, values.shape[1]), values.dtype)
        grid[self.voxels] = values
        return grid


def draw_head(seeds: Floats) -> Head:
    """Draw the head, and place the spheres of seeds, (S, 3) in MNI mm, in it."""
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = ORIGIN
    points = apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1))
    x, y, z = np.moveaxis(points, -1, 0)
    fissure = (np.abs(x) < VOXEL / 2) & (z > 0) & ~_in_ellipsoids(points, FISSURE)
    brain = _in_ellipsoids(points, BRAIN) & ~_in_ellipsoids(points, DROPOUT)
    brain &= ~fissure & (z >= LOWEST_SLICE)
    # Power's seeds are more than 10 mm apart, so a sphere of 5 mm or less holds one seed's signal
    # alone; where larger ones overlap, a voxel goes to the nearer seed.
    distance, nearest = cKDTree(seeds).query(points, distance_upper_bound=SPHERE_RADIUS + 1e-6)
    seed_of = np.where(np.isfinite(distance), nearest, -1)
    free = brain & (seed_of < 0)
    csf = free & _in_ellipsoids(points, VENTRICLES)
    white = free & _in_ellipsoids(points, WHITE_MATTER) & ~csf
    skull = binary_dilation(brain, iterations=2)
    voxels = brain | (binary_dilation(skull, iterations=1) & ~skull)  # with the scalp
    tissue = np.select(
        [csf, white, brain], [CSF_BASELINE, WHITE_BASELINE, GREY_BASELINE], SCALP_BASELINE
    )
    # A receive coil is more sensitive to what is near it: brighter at the back.
    baseline = tissue * (1 - 0.0004 * (y + 18.0))
    seed_of = np.where(brain, seed_of, -1)
    return Head(affine, brain, csf, white, voxels, baseline[voxels], seed_of[voxels])


def smooth_fields(head: Head, count: int, length: float, rng: np.random.Generator) -> Floats:
    """White noise, (V, count), smoothed by a Gaussian (SD `length`, mm), mean square of 1."""
    fields = np.empty((np.count_nonzero(head.voxels), count))
    for column in range(count):
        noise = rng.standard_normal(SHAPE)
        fields[:, column] = gaussian_filter(noise, length / VOXEL, truncate=3.0)[head.voxels]
    return np.asarray(fields / np.sqrt((fields**2).mean(axis=0)))


def _in_ellipsoids(points: Floats, ellipsoids: tuple[tuple[float, ...], ...]) -> NDArray[np.bool_]:
    folded = points.copy()
    folded[..., 0] = np.abs(folded[..., 0])
    rows = np.array(ellipsoids, float)
    within = [(((folded - row[:3]) / row[3:]) ** 2).sum(axis=-1) <= 1 for row in rows]
    return np.asarray(np.any(within, axis=0))
