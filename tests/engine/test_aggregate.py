"""One series of cleaned voxels, against nilearn's cleaning of each voxel and numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nilearn.signal import clean as nilearn_clean

from bids_spheres.engine.aggregate import VoxelSeries, aggregate_cleaned, eigenvariate

KEPT = {0: np.arange(2, 17), 1: np.r_[0:9, 11:32]}
"""Volumes of each of two runs."""


@pytest.fixture
def runs():
    """The later run comes first, and has a level of its own."""
    return np.repeat([1, 0], [32, 18])


@pytest.fixture
def values(runs):
    """Voxels of two spheres, three and two, of which the last but one has no signal."""
    rng = np.random.default_rng(3)
    trend = np.outer(np.arange(50), rng.normal(size=5))
    return 100 + 60.0 * runs[:, None] + 0.2 * trend + rng.normal(size=(50, 5))


@pytest.fixture
def voxels(values):
    usable = np.array([True, True, True, False, True])
    return VoxelSeries(values, (1.0, 0.0), np.array([0, 3]), np.array([3, 5]), usable)


def medians(values):
    return np.column_stack([np.median(values[:, :3], axis=1), values[:, 4]])


def test_defaults_are_those_of_cleaning(voxels, values):
    """A trend is removed, and the series has unit variance."""
    expected = medians(nilearn_clean(values, standardize=None))
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0, ddof=1)
    np.testing.assert_allclose(aggregate_cleaned(voxels, "median", {}), expected, atol=1e-9)


@pytest.mark.parametrize("how", [None, False, True, "zscore"])
def test_what_else_cleaning_is_told_holds_for_voxels(voxels, values, how):
    confounds = np.random.default_rng(4).normal(size=(50, 2))
    cleaned = nilearn_clean(values, standardize=None, confounds=confounds)
    expected = medians(cleaned)
    if how:
        expected = expected - expected.mean(axis=0)
        expected /= expected.std(axis=0, ddof=0 if how == "zscore" else 1)
    found = aggregate_cleaned(voxels, "median", {"standardize": how, "confounds": confounds})
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("how", ["zscore_sample", "psc", None])
def test_no_sphere_has_no_series(voxels, how):
    options = {"standardize": how, "sample_mask": np.arange(7)}
    assert aggregate_cleaned(voxels.of([]), "median", options).shape == (7, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_eigenvariate_has_the_sign_of_the_sum_of_its_weights(sign):
    """As in SPM; one weight of a voxel outweighs two of others."""
    course = sign * np.sin(np.arange(40.0))
    found = eigenvariate(course[:, None] * [3.0, -1, -1])
    assert np.corrcoef(found, course)[0, 1] == pytest.approx(1)
    np.testing.assert_allclose(found.std(), np.sqrt(11 / 3) * course.std())


@pytest.mark.parametrize("aggregation", ["mean", "median", "eigenvariate"])
def test_stored_values_of_single_precision_are_computed_in_double(voxels, values, aggregation):
    """Of a level that leaves them few digits, and scaled by the header."""
    stored = (values + 1e5).astype(np.float32)
    series = replace(voxels, values=stored, scaling=(0.3, 2.7)).aggregated(aggregation)
    wide = replace(voxels, values=0.3 * stored.astype(np.float64) + 2.7)
    np.testing.assert_allclose(series, wide.aggregated(aggregation), rtol=1e-13)


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize("censored", [True, False])
def test_per_cent_of_each_run_are_of_its_own_mean(voxels, values, runs, censored, detrend):
    options = {"runs": runs, "standardize": "psc", "detrend": detrend}
    masks = {run: KEPT[run] if censored else np.arange((runs == run).sum()) for run in (0, 1)}
    if censored:
        options["sample_mask"] = list(masks.values())
    parts = []
    for run, kept in masks.items():
        own = values[runs == run]
        cleaned = medians(
            nilearn_clean(own, detrend=detrend, standardize=None, sample_mask=kept.copy())
        )
        level = medians(own)[kept].mean(axis=0)
        parts.append(100 * (cleaned - cleaned.mean(axis=0)) / level)
    np.testing.assert_allclose(
        aggregate_cleaned(voxels, "median", options), np.vstack(parts), atol=1e-9
    )
