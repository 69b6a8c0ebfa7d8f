"""The mask of the simulated head."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from bids_spheres.demo.networks import read_seeds
from tests.demo.conftest import STILL, VOLUMES, seeds_inside


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
