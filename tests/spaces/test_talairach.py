"""Talairach to MNI152 against published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.engine.seeds import load_seeds
from bids_spheres.errors import UsageError
from bids_spheres.spaces.talairach import MNI_TO_TALAIRACH, talairach_to_mni

FITS = ("fsl", "spm", "pooled")


def test_points_that_nimare_gives_for_the_pooled_transform():
    # NiMARE's own tests of tal2mni, its implementation of Lancaster et al. (2007)
    talairach = [(-44, 31, 27), (20, -32, 14), (28, -76, 28)]
    mni = [
        (-45.83997568, 35.97904559, 23.55194326),
        (22.69248975, -31.34145016, 13.91284087),
        (31.53113226, -76.61685748, 33.22105166),
    ]
    np.testing.assert_allclose(talairach_to_mni(talairach, "pooled"), mni, atol=1e-7)


def test_pooled_transform_lies_between_the_two_it_was_pooled_from():
    # Fitted to both halves of the data at once: a digit wrong in any of the three would show.
    between = (MNI_TO_TALAIRACH["fsl"] + MNI_TO_TALAIRACH["spm"]) / 2
    np.testing.assert_allclose(MNI_TO_TALAIRACH["pooled"][:, :3], between[:, :3], atol=3e-4)
    np.testing.assert_allclose(MNI_TO_TALAIRACH["pooled"], between, atol=0.01)


@pytest.mark.parametrize("fit", FITS)
def test_forward_matrix_brings_points_back(fit):
    talairach = load_seeds("Raichle2011").coordinates
    mni = talairach_to_mni(talairach, fit)
    matrix = MNI_TO_TALAIRACH[fit]
    back = [[sum(row[i] * p[i] for i in range(3)) + row[3] for row in matrix[:3]] for p in mni]
    np.testing.assert_allclose(back, talairach, atol=1e-10)


@pytest.mark.parametrize("fit", FITS)
def test_brains_become_larger_and_seeds_stay_near(fit):
    # Lancaster et al. (2007): MNI brains are larger; disparities of up to a little over 1 cm
    talairach = load_seeds("Raichle2011").coordinates
    moved = np.linalg.norm(talairach_to_mni(talairach, fit) - talairach, axis=1)
    assert 1 < moved.mean() < 10
    assert moved.max() < 15
    assert np.linalg.det(MNI_TO_TALAIRACH[fit]) < 1


def test_differences_between_the_fits_are_as_documented():
    seeds = load_seeds("Raichle2011").coordinates
    apart = {
        f: np.linalg.norm(talairach_to_mni(seeds, f) - talairach_to_mni(seeds), axis=1).max()
        for f in FITS
    }
    assert apart["fsl"] == 0
    assert apart["pooled"] < 2
    assert apart["spm"] < 4


def test_unknown_fit_is_refused():
    with pytest.raises(UsageError, match="afni"):
        talairach_to_mni([(0, 0, 0)], "afni")


def test_matrices_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        MNI_TO_TALAIRACH["fsl"][0, 0] = 1
