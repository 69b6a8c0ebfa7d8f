"""Cosines and limits of filters, against nilearn and scipy."""

import warnings

import numpy as np
import pytest
from nilearn.signal import clean as nilearn_clean
from scipy import signal as scipy_signal
from scipy.fft import dct

from bids_spheres.engine import clean
from bids_spheres.engine.filters import cosine_basis
from tests.engine.cleaning import PLAIN, SERIES, assert_same, noise, quietly, rng


def test_a_cosine_of_the_other_sign_is_not_taken_for_ours():
    """As in nilearn: all are added, and there is no warning."""
    series, phase = noise(100, 2), np.pi / 100 * (np.arange(100) + 0.5)
    options = {"filter": "cosine", "high_pass": 0.01, "t_r": 2.0}
    confound = 0.1 * rng(1).normal(size=(100, 1)) - np.cos(phase)[:, None]
    ours = clean(series, confounds=confound, **options)
    assert_same(ours, nilearn_clean(series.copy(), confounds=confound, **options))
    for order in range(1, 5):
        assert np.abs(np.cos(order * phase) @ ours).max() < 1e-9


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"high_pass": -0.1},
        {"high_pass": -0.1, "low_pass": 0.1},
        {"high_pass": -0.2, "low_pass": -0.1},
        {"low_pass": -0.1},
    ],
)
def test_negative_frequencies(options, detrend):
    """Hardly any frequency passes that low, so that next to nothing is left to regress."""
    series = noise(90, 2)
    confounds = None if options.get("low_pass") == -0.1 else noise(90, 3, seed=1)
    options |= {"confounds": confounds, "detrend": detrend, "standardize": None}
    assert_same(quietly(clean, series, **options), quietly(nilearn_clean, series, **options))


@pytest.mark.parametrize("t_r", [0.5, 2])
def test_hardly_anything_passes_above_nyquist(t_r):
    options = PLAIN | {"high_pass": 5.0, "t_r": t_r, "butterworth__order": 1}
    theirs = quietly(nilearn_clean, noise(60, 2), **options)
    assert_same(quietly(clean, noise(60, 2), **options), theirs)
    assert 0 < np.abs(theirs).max() < 1e-7


def test_a_cosine_that_a_user_supplies_is_the_only_one():
    cosine = np.cos(np.pi / 60 * (np.arange(60) + 0.5))
    options = {"confounds": cosine, "filter": "cosine", "high_pass": 0.01, "t_r": 2}
    series = noise(60, 2)
    with pytest.warns(UserWarning, match="user supplied confounds"):
        ours = clean(series, **options)
    assert_same(ours, quietly(nilearn_clean, series, **options))
    assert_same(ours, clean(series, confounds=cosine))


@pytest.mark.parametrize(("r", "is_ours"), [(0.88, False), (0.92, True)])
def test_a_confound_that_correlates_by_nine_tenths_is_a_cosine(r, is_ours):
    found = cosine_basis(100, 2.0, 0.01)[:, 1]
    other = dct(np.eye(100), norm="ortho")[:, 30]
    options = {"filter": "cosine", "high_pass": 0.01, "t_r": 2.0}
    options["confounds"] = (r * found + np.sqrt(1 - r**2) * other)[:, None]
    series = noise(100, 2)
    assert_same(quietly(clean, series, **options), quietly(nilearn_clean, series, **options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clean(series, **options)
    assert bool(caught) == is_ours


@pytest.mark.parametrize("order", [1, 3, 4])
def test_any_cosine_that_a_user_supplies_is_found_among_other_confounds(order):
    series, phase = noise(100, 2), np.pi / 100 * (np.arange(100) + 0.5)
    options = {"filter": "cosine", "high_pass": 0.01, "t_r": 2.0}
    options["confounds"] = np.column_stack([noise(100, 1, seed=1), 7 * np.cos(order * phase)])
    with pytest.warns(UserWarning, match="user supplied confounds"):
        ours = clean(series, **options)
    assert_same(ours, quietly(nilearn_clean, series, **options))
    assert_same(ours, clean(series, confounds=options["confounds"]))


@pytest.mark.parametrize("n_volumes", range(20, 200, 9))
@pytest.mark.parametrize("t_r", [0.72, 1.4, 2.1])
def test_as_many_cosines_as_nilearn_where_rounding_decides(n_volumes, t_r):
    series = noise(n_volumes, 1)
    options = {"filter": "cosine", "t_r": t_r, "high_pass": 3 / (2 * n_volumes * t_r)}
    assert_same(clean(series, **options), nilearn_clean(series, **options))


@pytest.mark.parametrize(
    ("n_volumes", "t_r", "high_pass", "order"),
    [(100, 2, 0.01, 4), (70, 0.7, 0.09, 8), (9, 2, 0.2, 7)],
)
def test_cosines_are_those_of_a_discrete_transform(n_volumes, t_r, high_pass, order):
    """Column k of the orthonormal second kind goes through k / 2 periods of the run."""
    every = dct(np.eye(n_volumes), norm="ortho")
    found = cosine_basis(n_volumes, t_r, high_pass)
    np.testing.assert_allclose(found, every[:, 1 : order + 1], atol=1e-12)


def test_there_are_fewer_cosines_than_volumes():
    with pytest.warns(UserWarning, match="will span all accessible frequencies"):
        found = cosine_basis(9, 2, 0.3)
    np.testing.assert_allclose(found, dct(np.eye(9), norm="ortho")[:, 1:], atol=1e-12)


def test_frequencies_that_meet_at_nyquist():
    with (
        pytest.warns(UserWarning, match="band-pass critical frequencies are equal"),
        pytest.warns(UserWarning, match="is too high"),
    ):
        ours = clean(SERIES, low_pass=0.4, high_pass=0.3, t_r=2)
    np.testing.assert_array_equal(ours, clean(SERIES))


@pytest.mark.parametrize("correlation", [0.88, 0.92])
def test_how_much_a_confound_is_like_a_cosine_that_is_one(correlation):
    cosine = np.cos(np.pi / 60 * (np.arange(60) + 0.5))
    other = scipy_signal.detrend(rng(1).normal(size=60))
    other -= cosine * (cosine @ other) / (cosine @ cosine)
    other *= np.sqrt(correlation**-2 - 1) * np.linalg.norm(cosine) / np.linalg.norm(other)
    options = {"confounds": cosine + other, "filter": "cosine", "high_pass": 0.01, "t_r": 2}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = clean(noise(60, 2), **options)
    assert bool(caught) == (correlation > 0.9)
    assert_same(ours, quietly(nilearn_clean, noise(60, 2), **options))
