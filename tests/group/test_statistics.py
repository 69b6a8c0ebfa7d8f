"""Sums over participants against numpy and scipy on all participants at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bids_spheres.engine.connectivity import Moments
from bids_spheres.group.statistics import (
    Scale,
    confidence_limits,
    false_discovery_rate,
    fisher_z_variance,
)

VALUES = st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))


@pytest.mark.parametrize(
    ("stat", "transformed", "tested", "connectivity", "sign"),
    [
        *((f"{name}correlation", True, True, True, 1) for name in ("pearson", "partial")),
        *((f"{name}correlation", True, True, True, 1) for name in ("ledoitwolf", "spearman")),
        ("fisherz", False, True, True, 1),
        ("covariance", False, False, True, 1),
        ("precision", False, False, True, -1),
        ("effectivedof", False, False, False, 1),
    ],
)
def test_scales_of_measures(stat, transformed, tested, connectivity, sign):
    scale = Scale(stat)
    assert (scale.transformed, scale.tested) == (transformed, tested)
    assert (scale.connectivity, scale.sign) == (connectivity, sign)
    assert scale.name == ("Fisher z" if tested else "as the measure")
    forth = np.arctanh(0.5) if transformed else 0.5
    assert scale.forth(np.array([0.5])) == pytest.approx(forth)
    assert scale.back(np.array([forth])) == pytest.approx(0.5)
    # Rounding may take a correlation beyond 1, by a little.
    assert scale.possible(np.array([np.nan, -1 - 5e-7, 1 + 5e-7]))
    assert scale.possible(np.array([0, 1 + 5e-6])) is not transformed


def moments_of(rows):
    moments = Moments(rows.shape[1])
    for row in rows:
        moments.add(row)
    return moments


@pytest.fixture
def rows(rng):
    """30 participants, 6 edges; of three, some participants lack them."""
    rows = rng.standard_normal((30, 6)) + 0.3
    rows[3:9, 1] = np.nan
    rows[2:, 2] = np.nan
    rows[:, 3] = np.nan
    return rows


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=VALUES))
def test_moments_are_those_of_numpy(rows):
    moments = moments_of(rows)
    for column, n, mean, sd in zip(rows.T, moments.n, moments.known_mean, moments.sd, strict=True):
        known = column[~np.isnan(column)]
        assert n == len(known)
        expected = known.mean() if n else np.nan
        np.testing.assert_allclose(mean, expected, rtol=1e-10, atol=1e-10)
        expected = known.std(ddof=1) if n > 1 else np.nan
        np.testing.assert_allclose(sd, expected, rtol=1e-7, atol=1e-7)


def test_spread_survives_a_mean_a_billion_times_as_large(rng):
    rows = rng.standard_normal((200, 3))
    np.testing.assert_allclose(moments_of(rows + 1e9).sd, rows.std(axis=0, ddof=1), rtol=1e-6)


def test_confidence_limits_are_those_of_scipy(rows):
    limits = np.transpose(confidence_limits(moments_of(rows)))
    for edge in (0, 1, 2):
        known = rows[~np.isnan(rows[:, edge]), edge]
        expected = stats.ttest_1samp(known, 0).confidence_interval(0.95)
        np.testing.assert_allclose(limits[edge], expected, rtol=1e-10)
    assert np.isnan(limits[3]).all()


def test_false_discovery_rate_by_its_definition(rng):
    p = rng.uniform(size=40) ** 3
    p[[4, 17]] = np.nan
    known = np.flatnonzero(~np.isnan(p))
    q = false_discovery_rate(p)
    for edge in known:
        # The smallest level at which the step-up procedure rejects this one.
        levels = [
            p[other] * len(known) / np.sum(p[known] <= p[other])
            for other in known
            if p[other] >= p[edge]
        ]
        np.testing.assert_allclose(q[edge], min(1, *levels, 1), rtol=1e-12)
    assert np.isnan(q[[4, 17]]).all()


def test_false_discovery_rate_of_nothing():
    assert np.isnan(false_discovery_rate(np.array([np.nan]))).all()
    assert false_discovery_rate(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("degrees_of_freedom", [2, 3, 5, 10, 40])
def test_the_variance_of_fishers_z_is_that_of_white_series(rng, degrees_of_freedom):
    n_pairs = 40_000
    # Series of v + 1 volumes have v degrees of freedom without their mean.
    first, second = rng.standard_normal((2, degrees_of_freedom + 1, n_pairs))
    first, second = (stats.zscore(series) for series in (first, second))
    z = np.arctanh((first * second).mean(axis=0))
    assert fisher_z_variance(degrees_of_freedom) == pytest.approx(z.var(), rel=0.06)


def test_runs_that_count_by_that_variance_have_the_best_mean(rng):
    """A short run with a long one: no other weights make a mean of less variance."""
    short, long = (
        np.arctanh(stats.pearsonr(*rng.standard_normal((2, v + 1, 40_000))).statistic)
        for v in (3, 20)
    )

    def variance(weights):
        return np.average([short, long], axis=0, weights=weights).var()

    best = variance([1 / fisher_z_variance(3), 1 / fisher_z_variance(20)])
    assert best < variance([3, 20])
    assert best < variance([1, 1])
    assert best == pytest.approx(1 / sum(1 / fisher_z_variance(v) for v in (3, 20)), rel=0.03)
