"""The mask of the simulated head."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from bids_spheres.demo.head import smooth_fields
from bids_spheres.demo.networks import read_seeds
from tests.demo.conftest import SEEDS, STILL, VOLUMES, seeds_inside


def test_mask_has_the_shape_of_a_brain(mask):
    img = mask(STILL)
    inside = np.asanyarray(img.dataobj)
    assert set(np.unique(inside)) == {0, 1}
    assert 1.5e6 < inside.sum() * 125 < 2.1e6  # mm^3; the template's brain has 1.89e6
    np.testing.assert_array_equal(inside, inside[::-1])
    where = nib.affines.apply_affine(img.affine, np.argwhere(inside))
    assert np.all(np.abs(where.min(axis=0) - [-72, -108, -60]) <= 6)
    assert np.all(np.abs(where.max(axis=0) - [72, 72, 81]) <= 6)


def test_all_runs_have_the_same_mask(mask):
    first, *others = [np.asanyarray(mask(stem).dataobj) for stem in VOLUMES]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_few_seeds_lie_outside_of_the_mask(mask):
    inside = seeds_inside(mask(STILL))
    assert 0.85 <= inside.mean() <= 0.98
    lost = read_seeds().points[~inside]
    assert np.mean(lost[:, 2] < 0) > 0.5  # most of them low, where real images lose signal


def test_voxels_carry_the_signal_of_the_nearest_seed_within_eight_millimetres(head):
    points = nib.affines.apply_affine(head.affine, np.argwhere(head.voxels))
    distance = np.linalg.norm(points[:, None] - SEEDS, axis=-1)
    brain = head.brain[head.voxels]
    expected = np.where(brain & (distance.min(axis=1) <= 8), distance.argmin(axis=1), -1)
    np.testing.assert_array_equal(head.seed_of, expected)
    assert set(expected) == {-1, 0, 1, 2}


def test_tissues_lie_in_the_brain_apart_from_each_other_and_from_spheres(head):
    csf, white, brain = (part[head.voxels] for part in (head.csf, head.white_matter, head.brain))
    assert (csf & ~brain).sum() == (white & ~brain).sum() == (csf & white).sum() == 0
    assert not ((csf | white) & (head.seed_of >= 0)).any()
    # Both are left and right; the fluid is in the middle, and white matter at the sides.
    points = nib.affines.apply_affine(head.affine, np.argwhere(head.voxels))
    for part in (csf, white):
        assert 0.4 < (points[part, 0] > 0).sum() / (points[part, 0] != 0).sum() < 0.6
    assert np.median(np.abs(points[csf, 0])) < np.median(np.abs(points[white, 0]))
    tissue = np.select([csf, white, brain], [1000, 700, 800], 80)
    coil = 1 - 0.0004 * (points[:, 1] + 18)
    np.testing.assert_allclose(head.baseline, tissue * coil)
    # Nothing lies below the lowest slice, nor in the fissure between the hemispheres.
    x, y, z = points[brain].T
    assert z.min() == -60
    between = (x == 0) & (z > 0)
    inside = (15 / 48) ** 2 + ((y + 20) / 80) ** 2 + ((z - 14) / 54) ** 2 <= 1
    assert between.any()
    assert inside[between].all()
    # A layer of scalp, two voxels from the brain
    scalp = points[~brain]
    inside = points[brain]
    nearest = np.array([np.abs(inside - point).sum(axis=1).min() for point in scalp[::40]])
    np.testing.assert_array_equal(nearest, 15)


def test_fields_are_smooth_over_their_length(head, rng):
    """White noise smoothed with a Gaussian of SD s correlates exp(-d^2 / 4 s^2) at distance d."""
    fields = smooth_fields(head, 12, 10.0, rng)
    np.testing.assert_allclose((fields**2).mean(axis=0), 1)
    grid = np.full((*head.voxels.shape, 12), np.nan)
    grid[head.voxels] = fields
    for voxels, expected in ((1, np.exp(-25 / 400)), (3, np.exp(-225 / 400))):
        found = np.nanmean(grid[voxels:] * grid[:-voxels])
        np.testing.assert_allclose(found, expected, atol=0.08)
