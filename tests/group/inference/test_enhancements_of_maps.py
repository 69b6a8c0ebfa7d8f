"""Statistics of connected voxels against nilearn and by hand."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
from nilearn.maskers import NiftiMasker
from nilearn.mass_univariate import permuted_ols
from nilearn.mass_univariate._utils import calculate_tfce
from scipy import ndimage, stats

from bids_spheres.group.inference import (
    ClusterExtent,
    Contrast,
    MaxT,
    Tfce,
    clusters,
    permutation_test,
)

AGE = Contrast("age", np.array([[0, 1.0]]))


def study(n=24, effect=1.2, seed=0):
    """Noise in an irregular mask, and a block of 3 x 3 x 3 voxels that follows age."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((9, 8, 7), dtype=bool)
    mask[1:8, 1:7, 1:6] = True
    mask[3, 1:4, 2] = False
    age = rng.standard_normal(n)
    volumes = rng.standard_normal((n, *mask.shape))
    volumes[:, 4:7, 2:5, 2:5] += effect * age[:, np.newaxis, np.newaxis, np.newaxis]
    return volumes[:, mask], mask, np.column_stack([np.ones(n), age])


class NilearnTfce:
    """nilearn leaves the step out of the sum, although each arrangement has another."""

    unitwise = False

    def __init__(self, mask):
        self.tfce = Tfce(mask, step=None)

    def __call__(self, t, *, two_sided):
        return self.tfce(t, two_sided=two_sided) / (np.abs(t).max() / 100)


@pytest.fixture(scope="module")
def nilearns():
    z, mask, design = study()
    masker = NiftiMasker(nib.Nifti1Image(mask.astype(np.uint8), np.eye(4))).fit()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Data array used to create a new image contains 64-bit")
        return permuted_ols(
            design[:, [1]],
            z,
            n_perm=300,
            random_state=0,
            masker=masker,
            tfce=True,
            threshold=0.001,
            output_type="dict",
            verbose=0,
        )


@pytest.mark.slow
def test_tfce_and_clusters_are_those_of_nilearn(nilearns):
    z, mask, design = study()
    threshold = stats.t.isf(0.0005, len(z) - 2)
    enhancements = {
        "maxt": MaxT(),
        "tfce": NilearnTfce(mask),
        "cluster": ClusterExtent(mask, threshold),
    }
    [test] = permutation_test(z, design, [AGE], enhancements, n_permutations=300)
    np.testing.assert_allclose(test.statistic, nilearns["t"][0])
    tfce, cluster = test.corrections["tfce"], test.corrections["cluster"]
    np.testing.assert_allclose(tfce.statistic, nilearns["tfce"])
    error = 4 * np.sqrt(2 * 0.25 / 300)
    for name, found in (
        ("logp_max_t", test.corrections["maxt"].p_fwe[0]),
        ("logp_max_tfce", tfce.p_fwe[0]),
        ("logp_max_size", cluster.p_fwe[0]),
        ("logp_max_mass", cluster.p_fwe[1]),
    ):
        assert abs(found - 10 ** -nilearns[name][0]).max() < error
    inside = np.zeros(mask.shape, dtype=bool)
    inside[4:7, 2:5, 2:5] = True
    assert (tfce.p_fwe[0][inside[mask]] < 0.05).mean() > 0.9
    for name, row in (("size", cluster.statistic[0]), ("mass", cluster.statistic[1])):
        np.testing.assert_allclose(np.abs(row), nilearns[name][0])


@pytest.mark.parametrize("two_sided", [True, False])
def test_automatic_steps_are_those_of_nilearn(two_sided):
    """Of one tail, whose largest t is not that of |t|; nilearn does not multiply by the step."""
    mask = np.ones((5, 5, 5), dtype=bool)
    t = np.random.default_rng(4).standard_normal(125)
    t[60] = -9
    faces = ndimage.generate_binary_structure(3, 1)
    theirs = calculate_tfce(
        t.reshape(5, 5, 5, 1), faces, dh="auto", two_sided_test=two_sided
    ).reshape(-1)
    largest = np.abs(t).max() if two_sided else t.max()
    found = Tfce(mask, step=None)(t, two_sided=two_sided)[0]
    np.testing.assert_allclose(found, theirs * largest / 100, rtol=1e-9)
    assert not Tfce(mask, step=None)(-np.abs(t), two_sided=False).any()


def test_clusters_are_connected_by_faces_and_have_one_sign():
    mask = np.ones((4, 3, 1), dtype=bool)
    mask[0, 2] = False
    volume = np.array([[5, 4, 9], [0, 4.5, 0], [-4, -6, 3.5], [np.nan, 0, 3.2]])[..., np.newaxis]
    t = volume[mask]
    found = clusters(t, mask, 3.1)
    # 3.5 and 4.5 touch by an edge alone; 9 is outside the mask.
    assert [(c.sign, c.size) for c in found] == [(1, 3), (-1, 2), (1, 2)]
    assert [c.mass for c in found] == pytest.approx([4.2, 3.8, 0.5])
    assert [t[c.peak] for c in found] == [5, -6, 3.5]
    assert t[found[0].voxels].tolist() == [5, 4, 4.5]
    sizes, masses = ClusterExtent(mask, 3.1)(t, two_sided=True)
    np.testing.assert_array_equal(sizes, [3, 3, 0, 3, 0, -2, -2, 2, np.nan, 0, 2])
    np.testing.assert_allclose(masses[[0, 5, 7]], [4.2, -3.8, 0.5])
    assert [c.sign for c in clusters(t, mask, 3.1, two_sided=False)] == [1, 1]
    assert not ClusterExtent(mask, 9.0)(t, two_sided=True)[:, :3].any()


def test_tfce_by_hand():
    mask = np.ones((5, 1, 1), dtype=bool)
    t = np.array([1.0, 2.0, 0.0, np.nan, -1.0])
    # Thresholds 0.5, 1 with two voxels, 1.5 and 2 with one; E 1, H 2.
    expected = 0.5 * np.array([2 * (0.25 + 1), 2 * (0.25 + 1) + 2.25 + 4, 0, np.nan, -(0.25 + 1)])
    found = Tfce(mask, extent_power=1, step=0.5)(t, two_sided=True)
    np.testing.assert_allclose(found, [expected])
    one_side = Tfce(mask, extent_power=1, step=0.5)(t, two_sided=False)
    np.testing.assert_allclose(one_side, [np.maximum(expected, 0)])
    assert not Tfce(mask)(np.zeros(5), two_sided=True).any()


@pytest.mark.parametrize("step", [0.1, None])
def test_a_huge_t_takes_a_bounded_number_of_thresholds(step):
    """A single voxel has the sum over thresholds of h^H step; t beyond 1,000 count as 1,000."""
    mask = np.array([1, 0, 1, 0, 1], dtype=bool).reshape(5, 1, 1)
    spacing = 1.0 if step else 10.0
    heights = spacing * np.arange(1, 1001)
    found = Tfce(mask, step=step)(np.array([1e7, 25.0, -0.5]), two_sided=True)
    expected = [np.sum(heights[heights <= t] ** 2 * spacing) for t in (1000, 25)]
    np.testing.assert_allclose(found, [[*expected, 0]])


def test_incomplete_voxels_stay_out():
    z, mask, design = study()
    z[0, 5] = np.nan
    enhancements = {"tfce": Tfce(mask), "cluster": ClusterExtent(mask, 3.0)}
    [test] = permutation_test(z, design, [AGE], enhancements, n_permutations=20)
    for correction in test.corrections.values():
        assert np.argwhere(np.isnan(correction.p_fwe))[:, 1].tolist() == [5] * len(
            correction.statistic
        )


def test_thresholds_are_a_tenth_apart_unless_another_step_is_given():
    """Of single voxels, with E of 0.5 and H of 2: 0.35 reaches three thresholds."""
    mask = np.array([1, 0, 1], dtype=bool).reshape(3, 1, 1)
    found = Tfce(mask)(np.array([0.35, -0.1]), two_sided=True)
    np.testing.assert_allclose(found, [[0.1 * (0.01 + 0.04 + 0.09), -0.1 * 0.01]])
    # 0.3 / 0.1 and 0.7 / 0.1 are less than 3 and 7.
    rounded = Tfce(mask)(np.array([0.3, -0.7]), two_sided=True)
    np.testing.assert_allclose(rounded, [[0.1 * 0.14, -0.1 * 1.4]])
    pair = Tfce(np.ones((2, 1, 1), dtype=bool))(np.array([0.15, 0.1]), two_sided=False)
    np.testing.assert_allclose(pair, [[np.sqrt(2) * 0.001] * 2])
