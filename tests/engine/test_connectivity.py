"""Correlation against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.engine import clean, pearson_correlation


@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (40, 5), (30, 264)])
@pytest.mark.parametrize(("mean", "sd"), [(0, 1), (1e4, 20), (-3, 1e-6), (1e7, 0.01)])
def test_correlation_is_that_of_numpy(shape, mean, sd):
    rng = np.random.default_rng(1)
    series = rng.normal(mean, sd, shape) + sd * rng.standard_normal((shape[0], 1))
    matrix = pearson_correlation(series)
    rounding = 1e-15 * abs(mean) / sd
    expected = np.atleast_2d(np.corrcoef(series.T))
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12 + rounding)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert np.abs(matrix).max() <= 1


def test_opposite_and_scaled_series():
    x = np.random.default_rng(0).standard_normal(25)
    matrix = pearson_correlation(np.column_stack([x, 7 - 3 * x, 0.1 * x + 1e3]))
    np.testing.assert_allclose(matrix, [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], rtol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [0, 0.1, 1e9 / 3, np.nan, [1, np.nan] + [2] * 18],
    ids=["zero", "constant", "large constant", "missing", "one missing"],
)
def test_series_without_correlation_are_nan_and_others_are_not(bad):
    series = np.random.default_rng(2).normal(100, 3, (20, 4))
    others = [0, 1, 3]
    expected = np.full((4, 4), np.nan)
    expected[np.ix_(others, others)] = np.corrcoef(series[:, others].T)
    series[:, 2] = bad
    np.testing.assert_allclose(pearson_correlation(series), expected, atol=1e-12)


@pytest.mark.parametrize(
    "series", [np.ones((1, 3)), np.full((5, 3), np.nan), np.zeros((5, 3))], ids=str
)
def test_nothing_to_correlate(series):
    matrix = pearson_correlation(series)
    assert matrix.shape == (3, 3)
    assert np.isnan(matrix).all()


def test_no_series():
    assert pearson_correlation(np.empty((5, 0))).shape == (0, 0)


def test_the_argument_is_left_alone():
    series = np.random.default_rng(3).standard_normal((6, 2))
    before = series.copy()
    pearson_correlation(series)
    np.testing.assert_array_equal(series, before)


def test_a_constant_series_stays_undefined_after_cleaning():
    rng = np.random.default_rng(0)
    series = 100 + rng.standard_normal((100, 3))
    series[:, 1] = 1234.567
    cleaned = clean(series, confounds=rng.standard_normal((100, 20)), detrend=True)
    assert (cleaned[:, 1] == 0).all()
    matrix = pearson_correlation(cleaned)
    assert np.isnan(matrix[1]).all()
    assert np.isfinite(matrix[[0, 2]][:, [0, 2]]).all()
