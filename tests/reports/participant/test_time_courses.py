"""Spectra of series against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from bids_spheres.reports.participant.time_courses import mean_spectrum, periodogram

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
