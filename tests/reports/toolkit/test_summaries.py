"""Spectra, shares and trends against scipy and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import scipy.stats

from bids_spheres.reports.toolkit.summaries import (
    FEWEST,
    mean_spectrum,
    pairs,
    periodogram,
    shares,
    spearman,
    trend_along,
)

T_R = 2.0


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_the_periodogram_is_scipys_with_gaps(rng):
    times = np.sort(rng.choice(np.arange(200), 130, replace=False)) * T_R
    series = rng.standard_normal((130, 3))
    series -= series.mean(axis=0)
    frequencies = np.arange(1, 80) / (200 * T_R)
    ours = periodogram(times, series, frequencies)
    for s in range(3):
        theirs = scipy.signal.lombscargle(times, series[:, s], 2 * np.pi * frequencies)
        np.testing.assert_allclose(ours[:, s], theirs, rtol=1e-7)


@pytest.mark.parametrize("n", [100, 101])
def test_the_periodogram_of_regular_times_is_the_classic_one(rng, n):
    series = rng.standard_normal((n, 4))
    series -= series.mean(axis=0)
    frequencies = np.arange(1, n // 2 + 1) / (n * T_R)
    ours = periodogram(np.arange(n) * T_R, series, frequencies)
    _, theirs = scipy.signal.periodogram(series, fs=1 / T_R, axis=0, detrend=False)
    # A density of one side, in units of 1 / Hz.
    np.testing.assert_allclose(ours, theirs[1:] / (2 * T_R), rtol=1e-8)


@pytest.mark.parametrize("censored", [0, 40])
def test_a_spectrum_has_its_peak_where_the_sine_is(rng, censored):
    n, frequency = 240, 0.05
    kept = np.ones(n, dtype=bool)
    kept[rng.choice(n, censored, replace=False)] = False
    sine = np.sin(2 * np.pi * frequency * np.arange(n) * T_R)
    series = 100 * sine[:, None] + rng.standard_normal((n, 5))
    series[~kept] = np.nan
    series = np.column_stack([series, np.full(n, np.nan)])
    spectrum = mean_spectrum(series, kept, T_R)
    assert spectrum.frequencies[spectrum.density.argmax()] == pytest.approx(frequency, abs=0.002)
    step = spectrum.frequencies[1] - spectrum.frequencies[0]
    assert spectrum.density.sum() * step == pytest.approx(1)
    assert spectrum.frequencies[-1] <= 1 / (2 * T_R)


def test_long_runs_have_no_more_points_than_a_chart_shows(rng):
    spectrum = mean_spectrum(rng.standard_normal((1200, 3)), np.ones(1200, dtype=bool), 0.8)
    assert len(spectrum.frequencies) <= 160
    # White noise: the same power everywhere.
    assert spectrum.density[:80].mean() == pytest.approx(spectrum.density[80:].mean(), rel=0.15)


def test_nothing_to_see_has_no_spectrum():
    assert mean_spectrum(np.empty((0, 3)), np.empty(0, dtype=bool), 2) is None
    assert mean_spectrum(np.full((50, 3), np.nan), np.ones(50, dtype=bool), 2) is None
    assert mean_spectrum(np.ones((50, 3)), np.ones(50, dtype=bool), 2) is None


def test_pairs_are_the_upper_triangle():
    assert pairs(np.arange(9).reshape(3, 3)).tolist() == [1, 2, 5]


def test_shares_add_up_and_outliers_count_to_the_outer_bins():
    made = shares(np.array([-5, 0.1, 0.2, 0.9, 99, np.nan]), [0, 0.5, 1])
    assert made.tolist() == [0.6, 0.4]
    assert shares(np.full(3, np.nan), [0, 1]).tolist() == [0]


def test_a_trend_has_the_quartiles_of_pandas(rng):
    along = rng.uniform(0, 120, 800)
    values = rng.standard_normal(800) - along / 50
    values[::50] = np.nan
    made = trend_along(along, values, 10)
    table = pd.DataFrame({"bin": along // 10, "value": values}).dropna()
    values_of = table.groupby("bin")["value"]
    for ours, share in ((made.lower, 0.25), (made.median, 0.5), (made.upper, 0.75)):
        np.testing.assert_allclose(ours, values_of.quantile(share).to_numpy())
    assert made.middles[0] == 5
    known = np.isfinite(values)
    expected = scipy.stats.spearmanr(along[known], values[known]).statistic
    assert made.correlation == pytest.approx(expected)


def test_bins_with_few_values_tell_nothing(rng):
    along = np.concatenate([np.full(FEWEST, 5.0), np.full(FEWEST - 1, 15.0)])
    made = trend_along(along, rng.standard_normal(len(along)), 10)
    assert np.isfinite(made.median).tolist() == [True, False]
    assert trend_along(np.empty(0), np.empty(0), 10).middles.size == 0


def test_rank_correlation_is_scipys_with_ties(rng):
    x, y = rng.integers(0, 5, 100).astype(float), rng.integers(0, 5, 100).astype(float)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert np.isnan(spearman(x[:2], y[:2]))
    assert np.isnan(spearman(x, np.ones(100)))
