"""Talairach to MNI152 against published numbers."""

from __future__ import annotations

import numpy as np

from bids_spheres.engine.seeds import load_seeds
from bids_spheres.spaces.talairach import MNI_TO_TALAIRACH, talairach_to_mni

POOLED = np.array(
    [
        (0.9357, 0.0029, -0.0072, -1.0423),
        (-0.0065, 0.9396, -0.0726, -1.3940),
        (0.0103, 0.0752, 0.8967, 3.6475),
    ]
)
SPM = np.array(
    [
        (0.9254, 0.0024, -0.0118, -1.0207),
        (-0.0048, 0.9316, -0.0871, -1.7667),
        (0.0152, 0.0883, 0.8924, 4.0926),
    ]
)
"""Of Lancaster et al. (2007): for other software, and for SPM2."""


def test_pooled_transform_lies_between_the_two_it_was_pooled_from():
    # Fitted to both halves of the data at once: a digit wrong in any of the three would show.
    between = (MNI_TO_TALAIRACH[:3] + SPM) / 2
    np.testing.assert_allclose(POOLED[:, :3], between[:, :3], atol=3e-4)
    np.testing.assert_allclose(POOLED, between, atol=0.01)


def test_points_near_to_those_that_nimare_gives_for_the_pooled_transform():
    # NiMARE's own tests of tal2mni, its implementation of Lancaster et al. (2007)
    talairach = [(-44, 31, 27), (20, -32, 14), (28, -76, 28)]
    mni = [
        (-45.83997568, 35.97904559, 23.55194326),
        (22.69248975, -31.34145016, 13.91284087),
        (31.53113226, -76.61685748, 33.22105166),
    ]
    np.testing.assert_allclose(talairach_to_mni(talairach), mni, atol=2)


def test_forward_matrix_brings_points_back():
    talairach = load_seeds("Raichle2011").coordinates
    mni = talairach_to_mni(talairach)
    back = [
        [sum(row[i] * p[i] for i in range(3)) + row[3] for row in MNI_TO_TALAIRACH[:3]] for p in mni
    ]
    np.testing.assert_allclose(back, talairach, atol=1e-10)


def test_brains_become_larger_and_seeds_stay_near():
    # Lancaster et al. (2007): MNI brains are larger; disparities of up to a little over 1 cm
    talairach = load_seeds("Raichle2011").coordinates
    moved = np.linalg.norm(talairach_to_mni(talairach) - talairach, axis=1)
    assert 1 < moved.mean() < 10
    assert moved.max() < 15
    assert np.linalg.det(MNI_TO_TALAIRACH) < 1


def test_differences_between_the_fits_are_as_documented():
    seeds = load_seeds("Raichle2011").coordinates
    for matrix, most in ((POOLED, 2), (SPM, 4)):
        other = np.linalg.solve(matrix[:, :3], (seeds - matrix[:, 3]).T).T
        apart = np.linalg.norm(other - talairach_to_mni(seeds), axis=1)
        assert apart.max() < most
