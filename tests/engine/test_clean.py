"""The oracle is `nilearn.signal.clean`; what goes beyond it is checked against its formula."""

import inspect
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from nilearn.signal import clean as nilearn_clean
from scipy import signal as scipy_signal
from scipy.interpolate import CubicSpline

from bids_spheres.engine import clean
from bids_spheres.engine.regressors import read_table
from bids_spheres.errors import DataError, UsageError
from tests.engine.cleaning import PLAIN, SERIES, assert_same, error_of, noise, quietly, rng

# ---------------------------------------------------------------- every combination, by chance


@st.composite
def masks(draw, n_volumes):
    """Kept volumes: by index or boolean, ends censored or not, now and then symmetric."""
    keep = rng(draw(st.integers(0, 999))).random(n_volumes) < draw(st.sampled_from([0.5, 0.9, 1]))
    keep[: draw(st.integers(0, 4))] = False
    keep[n_volumes - draw(st.integers(0, min(4, n_volumes))) :] = False
    if draw(st.booleans()):
        keep &= keep[::-1]
    keep[n_volumes // 2] = True
    kept = np.flatnonzero(keep)
    kinds = {
        "bool": keep,
        "int": kept,
        "uint": kept.astype(np.uint16),
        "list": [keep.tolist()],
        "listed": [kept],
        "shuffled": rng(n_volumes).permutation(kept),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]


@st.composite
def confound_tables(draw, n_volumes):
    """Regressors in every shape that users hand over."""
    n_columns = draw(st.sampled_from([1, 2, 2, 3, 3, 6, 6, n_volumes + 2]))
    random = rng(draw(st.integers(0, 999)))
    table = random.normal(size=(n_volumes, n_columns)) * 10.0 ** random.integers(-3, 4, n_columns)
    table += draw(st.sampled_from([0, 5]))
    if draw(st.booleans()):
        table[:, -1] = 1
    if draw(st.booleans()):
        table = np.hstack([table, table[:, :1]])
    kind = draw(st.sampled_from(["array", "column", "list", "frame", "float32", "int"]))
    return {
        "array": table,
        "column": table[:, 0],
        "list": [table, random.normal(size=n_volumes)],
        "frame": pd.DataFrame(table),
        "float32": table.astype(np.float32).astype(np.float64),
        "int": np.round(table * 100).astype(np.int64),
    }[kind]


def rounded(smallest, largest, digits):
    return st.floats(smallest, largest).map(partial(round, ndigits=digits))


odd_frequencies = st.sampled_from([0.0, 0.25, 5.0, 6.0])

filters = st.fixed_dictionaries(
    {
        "filter": st.sampled_from(["butterworth", "butterworth", "cosine", False]),
        "low_pass": st.none() | rounded(0.05, 0.4, 3) | rounded(0.05, 0.4, 3) | odd_frequencies,
        "high_pass": st.none() | rounded(0.004, 0.06, 4) | rounded(0.004, 0.1, 4) | odd_frequencies,
        "t_r": rounded(0.5, 3, 2) | st.sampled_from([1, 2, 2.0, np.float32(2.1)]),
    },
    optional={
        "butterworth__order": st.integers(1, 6),
        "butterworth__padtype": st.sampled_from(["odd", "even", "constant", None]),
        "butterworth__padlen": st.integers(0, 40),
    },
)

switches = st.fixed_dictionaries(
    {
        "detrend": st.booleans(),
        "standardize": st.sampled_from(["zscore_sample", "psc", True, False, None]),
        "standardize_confounds": st.booleans(),
        "ensure_finite": st.booleans(),
        "extrapolate": st.booleans(),
    }
)


@st.composite
def signals(draw, n_volumes, *, finite):
    random = rng(draw(st.integers(0, 999)))
    n_signals = draw(st.integers(1, 4))
    series = random.normal(size=(n_volumes, n_signals)) * 10.0 ** random.integers(-2, 4)
    series += draw(st.sampled_from([0, 100, -1000]))
    series += draw(st.sampled_from([0, 0.5])) * np.arange(n_volumes)[:, np.newaxis]
    if draw(st.integers(0, 9)) == 0:
        series[:, 0] = draw(st.sampled_from([0, 4]))
    if finite and draw(st.booleans()):
        series[random.random(series.shape) < 0.05] = draw(st.sampled_from([np.nan, np.inf]))
        return series
    dtype = draw(st.sampled_from(["f8", "f8", "f8", "f4", "i2", "i4", "i8", "u1"]))
    return series.astype(dtype) if dtype[0] == "f" else np.abs(series).astype(dtype)


@st.composite
def cases(draw):
    n_volumes = draw(st.one_of(st.integers(40, 120), st.integers(1, 50)))
    options = draw(switches) | draw(filters)
    if draw(st.booleans()):
        options["sample_mask"] = draw(masks(n_volumes))
    if draw(st.integers(0, 3)):
        options["confounds"] = draw(confound_tables(n_volumes))
    return draw(signals(n_volumes, finite=options["ensure_finite"])), options


def outcome(function, *args, **options):
    """A result, or the built-in kind of the error."""
    try:
        return quietly(function, *args, **options)
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        return error


def oracle(series, options, jitter=0.0, seed=0):
    """Nilearn in double precision; its inputs changed by `jitter`, relatively."""
    random, series = rng(seed), np.asarray(series, dtype=np.float64)

    def shaken(part):
        values = np.asarray(part, dtype=np.float64)
        return values * (1 + jitter * random.normal(size=values.shape))

    options = dict(options)
    if "sample_mask" in options:  # nilearn writes into it
        mask = options["sample_mask"]
        options["sample_mask"] = (
            [np.array(m) for m in mask] if isinstance(mask, list) else mask.copy()
        )
    if options.get("confounds") is not None:
        given_ = options["confounds"]
        parts = given_ if isinstance(given_, list) else [given_]
        options["confounds"] = [shaken(part) for part in parts]
    return outcome(nilearn_clean, shaken(series), **options)


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_same_numbers_as_nilearn(case):
    series, options = case
    before = series.copy()
    theirs = oracle(series, options)
    ours = outcome(clean, series, **options)
    np.testing.assert_array_equal(series, before)
    if isinstance(theirs, Exception):
        event(f"nilearn raises {type(theirs).__name__}")
        if len(series) == 1 and options["filter"] == "cosine":
            return  # nilearn divides by T - 1
        assert isinstance(ours, Exception), theirs
        return
    assert not isinstance(ours, Exception), (ours, theirs)
    small = series.dtype.itemsize <= 4
    assert ours.dtype == (np.float32 if small else np.float64)
    assert ours.shape == theirs.shape
    if options["filter"] == "cosine" and len(theirs) <= 3:
        return  # a cosine of so few volumes is a line, and nothing of it is left by detrending
    # A result in single precision has its own rounding.
    error = error_of(ours, theirs.astype("f4") if small else theirs)
    different = (error > 1e-6) | (np.isfinite(ours) != np.isfinite(theirs)).any(axis=0)
    event("equal" if not different.any() else "different")
    assert not (different & ~ill_conditioned(series, options, theirs)).any(), error


def ill_conditioned(series, options, theirs):
    """Columns that are rounding errors, blown up.

    Either hardly anything is left of the signal, or nilearn's numbers change a hundred million
    times as much as its input does (it takes what is left of a constant or duplicated
    regressor for a regressor).
    """
    left = oracle(series, options | {"standardize": None})
    if options["standardize"] in ("zscore_sample", True):
        left = left - left.mean(axis=0)
    vanished = largest(left) < 1e-9 * largest(series)
    amplified = [
        error_of(oracle(series, options, jitter, seed), theirs) > 1e8 * jitter
        for jitter in (1e-15, 1e-13)
        for seed in range(3)
    ]
    return vanished | np.any(amplified, axis=0)


def largest(columns):
    columns = columns.astype("f8")
    return np.abs(np.where(np.isfinite(columns), columns, 0)).max(axis=0)


def test_the_signature_is_nilearns():
    """Same names in the same order, positional as there, with the same defaults."""
    *theirs, _ = inspect.signature(nilearn_clean).parameters.values()
    ours = list(inspect.signature(clean).parameters.values())
    assert [(p.name, p.kind, p.default) for p in theirs] == [
        (p.name, p.kind, p.default) for p in ours[: len(theirs)]
    ]
    assert [p.name for p in ours[len(theirs) :]] == ["interpolate", "trend", "butterworth"]
    assert {p.kind for p in ours[len(theirs) : -1]} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_argument_can_be_positional():
    kept = np.r_[0:50, 51:117]
    arguments = (None, False, "psc", kept, noise(120, 3, seed=1), False, "butterworth", 0.1)
    arguments += (0.02, 2.0, True, True)
    series = noise(120, 2)
    series[7, 1] = np.nan
    ours = quietly(clean, series, *arguments)
    assert_same(ours, quietly(nilearn_clean, series.copy(), *arguments))


DEFAULTS = {"sample_mask": np.r_[0:50, 51:117], "high_pass": 0.02, "low_pass": 0.1}
"""Volumes censored within and at the end, a filter: no censored one mirrors another."""


@pytest.mark.parametrize("given", [(), *DEFAULTS.items()], ids=str)
def test_defaults_left_unset_are_nilearns(given):
    """Nothing but the arguments named is passed to either."""
    options = dict([given] if given else [])
    series, confounds = noise(120, 3), noise(120, 2, seed=1)
    assert_same(clean(series, **options), nilearn_clean(series.copy(), **options))
    options |= {"confounds": confounds}
    assert_same(clean(series, **options), nilearn_clean(series.copy(), **options))


@pytest.mark.parametrize("left_out", ["none", *DEFAULTS])
def test_censoring_and_filters_with_every_other_default(left_out):
    options = {name: value for name, value in DEFAULTS.items() if name != left_out}
    series = noise(120, 3)
    options = {n: v.copy() if n == "sample_mask" else v for n, v in options.items()}
    ours = clean(series, **options)
    assert_same(ours, nilearn_clean(series.copy(), **options))


@pytest.mark.parametrize("share", [0.05, 0.09, 0.11, 0.3, 0.8])
def test_per_cent_of_the_mean_that_confounds_leave(share):
    """Below a tenth of it the mean before cleaning is taken; confounds have one, and stay so.

    Of signals of either sign, whose means would cancel.
    """
    series = np.array([100, -100]) + rng(0).normal(size=(400, 2))
    confounds = rng(1).normal(size=(400, 1))
    confounds = 1 + (confounds - confounds.mean()) * np.sqrt(share / (1 - share)) / confounds.std()
    options = {"standardize": "psc", "detrend": False, "standardize_confounds": False}
    ours = quietly(clean, series, confounds=confounds, **options)
    left = quietly(clean, series, confounds=confounds, **(options | {"standardize": None}))
    np.testing.assert_allclose(left.mean(axis=0) / series.mean(axis=0), share, atol=0.01)
    assert_same(ours, quietly(nilearn_clean, series.copy(), confounds=confounds, **options))


@pytest.mark.parametrize("options", [{}, {"low_pass": 0.1}])
def test_what_a_censored_volume_holds_does_not_decide_what_is_large(options):
    series, confounds = noise(60, 2), noise(60, 2, seed=1)
    options = options | {"sample_mask": censored(60, [20]), "confounds": confounds}
    expected = clean(series, **options)
    series[20] = confounds[20] = 1e16
    np.testing.assert_allclose(clean(series, **options), expected, atol=1e-9)
    assert np.abs(expected).min(axis=0).max() < 1 < np.abs(expected).max()


# ------------------------------------------------------------------------- trends along time


@pytest.mark.parametrize("options", [{}, {"filter": "cosine", "high_pass": 0.02}])
def test_a_trend_along_time_is_that_of_the_kept_volumes_at_their_times(options):
    """Least squares on the mean and the time of acquisition; a gap leaves no step."""
    kept = np.r_[3:20, 60:100]
    series = noise(110, 3) + 5 * np.arange(110)[:, None]
    series[20:60] = 1e6  # censored, and so of no influence
    ours = clean(series, sample_mask=kept, trend="time", standardize=None, **options)
    lines = [np.ones(len(kept)), kept.astype(float)]
    if options:
        phase = np.pi / 110 * (np.arange(110) + 0.5)[kept]
        lines += [np.cos(k * phase) for k in range(1, int(2 * 110 * 2.5 * 0.02) + 1)]
    basis = np.linalg.qr(np.column_stack(lines))[0]
    expected = series[kept] - basis @ (basis.T @ series[kept])
    np.testing.assert_allclose(ours, expected, atol=1e-8)
    as_nilearn = clean(series, sample_mask=kept, standardize=None, **options)
    assert np.abs(as_nilearn - expected).max() > 0.05


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"high_pass": 0.02},
        {"sample_mask": np.arange(5, 50)},
        {"sample_mask": np.r_[1:30, 33:50], "high_pass": 0.02},
    ],
)
def test_both_trends_agree_without_gaps_or_with_interpolation(options):
    series, confounds = noise(50, 3), noise(50, 2, seed=1)
    along_time = clean(series, confounds=confounds, trend="time", **options)
    np.testing.assert_allclose(along_time, clean(series, confounds=confounds, **options), rtol=1e-9)


def test_confounds_lose_their_trend_along_time_too():
    kept = np.r_[0:20, 60:100]
    series, confounds = noise(100, 2), noise(100, 3, seed=1)
    ours = clean(series, sample_mask=kept, confounds=confounds, trend="time", standardize=None)
    basis = np.linalg.qr(np.column_stack([np.ones(60), kept, confounds[kept]]))[0]
    expected = series[kept] - basis @ (basis.T @ series[kept])
    np.testing.assert_allclose(ours, expected, atol=1e-8)


# ------------------------------------------------------------------------------ single steps


def test_detrending_is_that_of_scipy():
    series = noise(50, 3)
    ours = clean(series, standardize=None)
    np.testing.assert_allclose(ours, scipy_signal.detrend(series, axis=0), atol=1e-11)


@pytest.mark.parametrize(("how", "ddof"), [("zscore_sample", 1), ("zscore", 0), (True, 1)])
def test_zscores_have_mean_0_and_variance_1(how, ddof):
    series = noise(50, 3)
    ours = clean(series, detrend=False, standardize=how)
    np.testing.assert_allclose(ours, (series - series.mean(0)) / series.std(0, ddof=ddof))
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(ours.std(axis=0, ddof=ddof), 1)


@pytest.mark.parametrize("detrend", [True, False])
def test_per_cent_signal_change_refers_to_the_mean_before_cleaning(detrend):
    series = noise(50, 2) * [1, -1]  # a rise is one below zero as well
    left = scipy_signal.detrend(series, axis=0) if detrend else series - series.mean(axis=0)
    ours = clean(series, detrend=detrend, standardize="psc")
    np.testing.assert_allclose(ours, 100 * left / np.abs(series.mean(axis=0)), atol=1e-9)


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize("standardize_confounds", [True, False])
def test_residuals_are_orthogonal_to_the_regressors(detrend, standardize_confounds):
    series, confounds = noise(80, 3), noise(80, 5, seed=1)
    ours = quietly(
        clean,
        series,
        detrend=detrend,
        standardize=None,
        confounds=confounds,
        standardize_confounds=standardize_confounds,
    )
    used = scipy_signal.detrend(confounds, axis=0) if detrend else confounds
    if standardize_confounds:
        used = (used - used.mean(axis=0)) / used.std(axis=0)
    used /= np.abs(used).max(axis=0)
    np.testing.assert_allclose(used.T @ ours / np.abs(series).max(), 0, atol=1e-10)


def test_what_is_small_but_no_rounding_error_counts():
    """A ten thousand millionth of the mean of a signal, or of what confounds share."""
    small, other = rng(0).normal(size=(2, 60, 1))
    np.testing.assert_allclose(clean(1000 + 1e-7 * small), clean(small), atol=1e-4)
    series = noise(60, 2)
    ours = clean(series, confounds=np.hstack([other, other + 1e-10 * small]))
    expected = clean(series, confounds=np.hstack([other, small]))
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_two_volumes_lose_all_that_varies_with_a_confound():
    series, confounds = np.array([[1.0, 5], [4, 9]]), np.array([[2.0], [3.0]])
    for options in ({}, {"sample_mask": [0, 1]}):
        ours = clean(series, confounds=confounds, **PLAIN, **options)
        np.testing.assert_allclose(ours, [[2.5, 7]] * 2)


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize("filtered", [True, False])
def test_regressors_without_a_part_of_their_own_change_nothing(detrend, filtered):
    """Nilearn takes their rounding errors for regressors, at worst."""
    series, confounds = noise(90, 3), noise(90, 4, seed=1)
    again = np.hstack(
        [
            confounds,
            confounds[:, :1],
            confounds @ rng(2).normal(size=(4, 2)),
            np.full((90, 1), 1000.1),
            *([np.arange(90)[:, np.newaxis] / 3] if detrend else []),
        ]
    )
    options = {"detrend": detrend} | ({"low_pass": 0.12, "high_pass": 0.01} if filtered else {})
    ours = clean(series, confounds=again, **options)
    assert_same(ours, nilearn_clean(series, confounds=confounds, **options))


@pytest.mark.parametrize("value", [0.0, 7.0, 1000.1])
@pytest.mark.parametrize("standardize", ["zscore_sample", "zscore", None])
@pytest.mark.parametrize("high_pass", [0.01, None])
def test_a_constant_signal_becomes_0(value, standardize, high_pass):
    """Nilearn scales its rounding errors to unit variance."""
    series = noise(60, 2)
    series[:, 0] = value
    ours = clean(series, standardize=standardize, high_pass=high_pass)
    np.testing.assert_allclose(ours[:, 0], 0, atol=1e-9)
    assert ours[:, 1].std() > 0.1


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("standardize", ["zscore_sample", "zscore", "psc"])
def test_a_signal_that_confounds_explain_becomes_0(standardize, sign):
    series = sign * noise(60, 2)
    ours = clean(series, confounds=series[:, :1] * 3 + 2, standardize=standardize)
    np.testing.assert_allclose(ours[:, 0], 0, atol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_signal_that_confounds_explain_becomes_0_beside_one_that_is_not_finite(sign):
    series = sign * noise(60, 2)
    series[7, 1] = np.nan
    ours = clean(series, confounds=series[:, :1] * 3 + 2)
    np.testing.assert_array_equal(ours[:, 0], 0)


def test_signals_without_any_column():
    assert clean(np.empty((20, 0)), confounds=noise(20, 2), standardize="psc").shape == (20, 0)


def test_confounds_without_any_column():
    series = noise(20, 2)
    np.testing.assert_array_equal(clean(series, confounds=np.empty((20, 0))), clean(series))
    np.testing.assert_array_equal(clean(series, confounds=[]), clean(series))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i4", "i8", "?"])
def test_type_of_the_result(dtype):
    series = rng().integers(0, 2, size=(40, 3)).astype(dtype)
    ours, theirs = clean(series), nilearn_clean(series)
    assert ours.dtype == theirs.dtype
    assert_same(ours, theirs, 1e-4)


def test_the_result_is_a_copy():
    series = noise(10, 1)
    clean(series, **PLAIN)[:] = 0
    assert series.all()


def test_values_that_are_not_finite_count_as_0_if_asked():
    series, zeros = noise(40, 3), noise(40, 3)
    series[[3, 8, 20], [0, 1, 2]], zeros[[3, 8, 20], [0, 1, 2]] = [np.nan, np.inf, -np.inf], 0
    ours = clean(series, ensure_finite=True, **PLAIN)
    np.testing.assert_array_equal(ours, zeros)


def test_signals_that_are_not_finite_stay_so_alone():
    series = noise(60, 3)
    series[7, 1] = np.nan
    options = {"confounds": noise(60, 2, seed=1), "high_pass": 0.02}
    assert_same(clean(series, **options), nilearn_clean(series, **options))


# -------------------------------------------------------------------------------- confounds


# ---------------------------------------------------------------------- censoring and filters


def censored(n_volumes, volumes):
    return np.setdiff1d(np.arange(n_volumes), volumes)


def by_formula(series, kept, *, extrapolate, t_r=2.0, low_pass=0.1):
    """Every censored volume replaced, then filtered, then left out."""
    filled = CubicSpline(kept, series[kept])(np.arange(len(series)))
    filled[kept] = series[kept]
    if not extrapolate:
        filled, kept = filled[kept[0] : kept[-1] + 1], kept - kept[0]
    sections = scipy_signal.butter(5, low_pass, output="sos", fs=1 / t_r)
    return scipy_signal.sosfiltfilt(sections, filled, axis=0)[kept]


MIRRORED = {"within": [10, 12, 49], "ends": [0, 1, 2, 57, 58, 59], "uneven": [0, 1, 7, 59]}
NOT_MIRRORED = {"within": [10, 12, 48], "start": [0, 1, 2], "end": [7, 58, 59]}


@pytest.mark.parametrize("extrapolate", [True, False])
@pytest.mark.parametrize("volumes", [*MIRRORED.values(), *NOT_MIRRORED.values()])
def test_every_censored_volume_is_interpolated_if_asked(volumes, extrapolate):
    series, kept = noise(60, 2), censored(60, volumes)
    series[volumes] += 1e4
    ours = clean(
        series,
        **PLAIN,
        low_pass=0.1,
        t_r=2,
        sample_mask=kept,
        extrapolate=extrapolate,
        interpolate="censored",
    )
    np.testing.assert_allclose(ours, by_formula(series, kept, extrapolate=extrapolate))


@pytest.mark.parametrize("extrapolate", [True, False])
@pytest.mark.parametrize("volumes", NOT_MIRRORED.values())
def test_both_interpolations_agree_where_no_mirror_image_is_censored(volumes, extrapolate):
    series, kept = noise(60, 2), censored(60, volumes)
    run = partial(clean, series, sample_mask=kept, extrapolate=extrapolate, high_pass=0.01)
    np.testing.assert_allclose(run(), run(interpolate="censored"))


@pytest.mark.parametrize("extrapolate", [True, False])
@pytest.mark.parametrize("volumes", MIRRORED.values())
def test_nilearn_leaves_volumes_censored_with_their_mirror_image(volumes, extrapolate):
    """It indexes with the complement of a list of integers: -1 - kept, rows from the end."""
    series, kept = noise(60, 2), censored(60, volumes)
    series[volumes] += 1e4
    options = {**PLAIN, "low_pass": 0.1, "t_r": 2, "extrapolate": extrapolate}
    with pytest.warns(UserWarning, match="mirror images in time are censored"):
        ours = clean(series, sample_mask=kept, **options)
    assert_same(ours, nilearn_clean(series, sample_mask=kept.copy(), **options))
    right = by_formula(series, kept, extrapolate=extrapolate)
    assert np.abs(ours - right).max() > 100


def test_nilearn_returns_censored_volumes_when_both_ends_are_censored():
    series, kept = noise(60, 1), np.arange(3, 57)
    series[:3] = 1e6
    options = {**PLAIN, "low_pass": 0.2, "t_r": 2}
    for run in (clean, nilearn_clean):
        assert quietly(run, series, sample_mask=kept.copy(), **options)[:3].min() > 1e5
    ours = clean(series, sample_mask=kept, **options, interpolate="censored")
    assert np.abs(ours).max() < 1e3


@pytest.mark.parametrize("mask", [np.arange(3, 50), np.arange(60) >= 7, [*range(50)]])
@pytest.mark.parametrize("filter_", [{"filter": "cosine", "high_pass": 0.01}, {"filter": False}])
def test_censoring_without_interpolation(mask, filter_):
    series, confounds = noise(60, 2), noise(60, 2, seed=1)
    ours = clean(series, confounds=confounds, sample_mask=mask, **filter_)
    theirs = nilearn_clean(series, confounds=confounds, sample_mask=np.array(mask), **filter_)
    assert_same(ours, theirs)


def test_the_mask_is_not_changed():
    """Nilearn subtracts its first volume from it."""
    kept = np.arange(3, 60, dtype=np.int32)
    clean(noise(60, 2), sample_mask=kept, high_pass=0.01)
    assert kept[0] == 3


def test_options_with_and_without_prefix():
    series = noise(60, 2)
    options = {"order": 2, "padtype": "even", "padlen": 20}
    prefixed = {f"butterworth__{name}": value for name, value in options.items()}
    ours = clean(series, low_pass=0.1, **options)
    np.testing.assert_array_equal(ours, clean(series, low_pass=0.1, **prefixed))
    assert_same(ours, nilearn_clean(series, low_pass=0.1, **prefixed))
    with pytest.raises(TypeError, match="with and without its prefix"):
        clean(series, low_pass=0.1, order=2, butterworth__order=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'ordre'"):
        clean(series, low_pass=0.1, ordre=2)


# ------------------------------------------------------------------------------------- runs


@settings(max_examples=30, deadline=None, derandomize=True)
@given(switches, st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 99))
def test_runs_are_cleaned_one_by_one(options, n_runs, masked, interleaved, seed):
    """As nilearn, which forgets some options on the way into a run; there, run by run."""
    options |= {"high_pass": 0.02, "t_r": 2, "butterworth__order": 3}
    labels = np.repeat(np.arange(n_runs), 60)
    labels = rng(seed).permutation(labels) if interleaved else labels
    series, confounds = noise(60 * n_runs, 2, seed), noise(60 * n_runs, 2, seed + 1)
    kept = [np.flatnonzero(rng(seed + i).random(60) < 0.9) for i in range(n_runs)]
    ours = quietly(
        clean,
        series,
        runs=labels,
        confounds=confounds,
        sample_mask=kept if masked else None,
        **options,
    )
    theirs = [
        quietly(
            nilearn_clean,
            series[labels == run],
            confounds=confounds[labels == run],
            sample_mask=kept[run].copy() if masked else None,
            **options,
        )
        for run in range(n_runs)
    ]
    assert_same(ours, np.vstack(theirs))


@pytest.mark.parametrize("filter_", ["butterworth", "cosine", False])
def test_runs_as_nilearn_where_it_keeps_all_options(filter_):
    labels = np.repeat([0, 1], [50, 70])
    series, confounds = noise(120, 2), noise(120, 2, seed=1)
    options = {"runs": labels, "confounds": confounds, "filter": filter_, "t_r": 2}
    options |= {"high_pass": 0.01} if filter_ else {}
    options["sample_mask"] = [np.arange(3, 50), np.arange(70) != 30]
    assert_same(clean(series, **options), nilearn_clean(series, **options))


def test_runs_may_have_any_labels():
    """Nilearn takes the labels of runs for their numbers when there are masks."""
    series, masks = noise(60, 2), [np.arange(20), np.arange(2, 30)]
    numbered = clean(series, runs=np.repeat([0, 1], 30), sample_mask=masks)
    named = clean(series, runs=np.repeat(["a", "b"], 30).tolist(), sample_mask=masks)
    np.testing.assert_array_equal(named, numbered)
    one = clean(series, runs=np.zeros(60), sample_mask=[np.arange(20)])
    np.testing.assert_array_equal(one, clean(series, sample_mask=np.arange(20)))


# ---------------------------------------------------------------------- errors and warnings


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"filter": "elliptic"}, UsageError, "Filter method elliptic not implemented"),
        ({"standardize": "foo"}, UsageError, "'standardize' must be one of"),
        ({"ensure_finite": None}, UsageError, "'ensure_finite' must be one of"),
        (
            {"low_pass": 0.1, "high_pass": 0.1},
            UsageError,
            r"High pass cutoff frequency \(0.1\) is greater than or equal to low pass filter freq",
        ),
        (
            {"low_pass": 0.1, "t_r": None},
            UsageError,
            r"Repetition time \(t_r\) must be specified for butterworth filtering",
        ),
        (
            {"filter": "cosine", "t_r": None, "high_pass": 0.01},
            UsageError,
            r"Repetition time \(t_r\) and low cutoff frequency \(high_pass\) must be specified",
        ),
        ({"high_pass": 0.0}, UsageError, "filter critical frequencies must be greater than 0"),
        (
            {"high_pass": 0.01, "butterworth__padlen": 60},
            DataError,
            "length of the input vector x must be greater than padlen",
        ),
        ({"confounds": np.zeros(2)}, DataError, "Confound signal has an incorrect length"),
        ({"confounds": np.zeros((2, 2))}, DataError, "Confound signal has an incorrect length"),
        (
            {"confounds": np.zeros((2, 3, 4))},
            DataError,
            "confound array has an incorrect number of dimensions: 3",
        ),
        ({"confounds": 1}, TypeError, "'confounds' must be of type"),
        ({"confounds": [None]}, TypeError, "confound has an unhandled type"),
        ({"confounds": [[1.0] * 50]}, TypeError, "confound has an unhandled type"),
        ({"low_pass": "0.1"}, TypeError, "'low_pass' must be of type"),
        ({"t_r": True}, TypeError, "'t_r' must be of type"),
        ({"detrend": "yes"}, TypeError, "'detrend' must be of type"),
        (
            {"runs": np.zeros(49)},
            ValueError,
            r"The length of the run vector \(49\) does not match the length of the signals \(50\)",
        ),
        ({"sample_mask": "all"}, TypeError, "must be of type"),
        ({"sample_mask": np.arange(60)}, IndexError, "more timepoints than the current run"),
        (
            {"sample_mask": np.array([1, 70])},
            IndexError,
            r"sample_mask 1 of 1 contains invalid index \[70\]",
        ),
        (
            {"sample_mask": np.array([-1, 2])},
            ValueError,
            "sample_mask should not contain negative values",
        ),
        (
            {"sample_mask": [np.arange(9)], "runs": np.arange(50) // 25},
            ValueError,
            r"Number of sample_mask \(1\) not matching number of runs \(2\)",
        ),
    ],
)
def test_errors_as_nilearn(options, error, match):
    with pytest.raises(error, match=match):
        quietly(clean, SERIES, **options)
    kind = next(k for k in (ValueError, TypeError, IndexError) if issubclass(error, k))
    with pytest.raises(kind, match=match):
        quietly(nilearn_clean, SERIES, **options)


@pytest.mark.parametrize(
    ("series", "options", "error", "match"),
    [
        (np.ones(5), {}, DataError, r"shape \(volumes, signals\)"),
        (np.ones((0, 5)), {}, DataError, r"shape \(volumes, signals\)"),
        (np.ones((5, 1), dtype=complex), {}, DataError, "real numbers"),
        (SERIES, {"interpolate": "linear"}, UsageError, "'interpolate' must be one of"),
        (SERIES, {"trend": "line"}, UsageError, "'trend' must be one of"),
        (SERIES, {"extrapolate": "periodic"}, TypeError, "'extrapolate' must be of type"),
        (SERIES, {"standardize_confounds": "no"}, TypeError, "'standardize_confounds' must be of"),
        (SERIES, {"high_pass": "0.1"}, TypeError, "'high_pass' must be of type"),
        (SERIES, {"low_pass": 0.1, "t_r": -2.0}, UsageError, "must be a positive number"),
        (SERIES, {"low_pass": 0.1, "t_r": 0}, UsageError, "must be a positive number"),
        (SERIES, {"low_pass": 0.1, "t_r": np.nan}, UsageError, "must be a positive number"),
        (SERIES, {"low_pass": 0.1, "t_r": np.inf}, UsageError, "must be a positive number"),
        (SERIES, {"filter": "cosine", "high_pass": -1}, UsageError, "no frequencies below 0"),
        (SERIES, {"sample_mask": []}, DataError, "The size of the sample mask is 0"),
        (SERIES, {"sample_mask": np.zeros(50, bool)}, DataError, "All volumes were marked as mot"),
        (SERIES, {"sample_mask": np.ones(49, bool)}, IndexError, "fewer timepoints than the curr"),
        (SERIES, {"sample_mask": np.array([1, 50])}, IndexError, r"invalid index \[50\]"),
        (SERIES, {"sample_mask": np.ones((2, 2))}, DataError, "one dimension"),
        (SERIES, {"sample_mask": np.array([0.5, 2])}, DataError, "whole numbers"),
        (SERIES, {"sample_mask": np.array([1, 2.5, 3])}, DataError, "whole numbers"),
        (SERIES, {"sample_mask": np.array([5, -1, 7])}, DataError, "negative values"),
        (SERIES, {"sample_mask": np.array(["a", "b"])}, TypeError, "must be of type"),
        (SERIES, {"sample_mask": [5], "low_pass": 0.1}, DataError, "two volumes or more"),
        (SERIES, {"sample_mask": [3, 2], "low_pass": 0.1}, DataError, "ascending"),
        (SERIES, {"sample_mask": [2, 3, 3], "low_pass": 0.1}, DataError, "ascending"),
        (
            np.where(np.arange(50)[:, None] == 3, np.nan, SERIES),
            {"sample_mask": np.arange(40), "low_pass": 0.1},
            DataError,
            "can't be interpolated",
        ),
    ],
)
def test_errors_of_ours(series, options, error, match):
    with pytest.raises(error, match=match):
        quietly(clean, series, **options)


@pytest.mark.parametrize(
    ("n_volumes", "options", "match"),
    [
        (50, {"low_pass": 3.0}, "The frequency specified for the low pass filter is too high"),
        (50, {"low_pass": 0.2}, "The frequency specified for the low pass filter is too high"),
        (50, {"high_pass": -0.1}, "The frequency specified for the high pass filter is too low"),
        (50, {"filter": False, "low_pass": 0.1}, "ot perform filtering"),
        (
            50,
            {"filter": "cosine", "low_pass": 0.1, "high_pass": 0.02},
            "low_pass is not implemented for filter='cosine'",
        ),
        (50, {"filter": "cosine", "high_pass": 0.001}, "Cosine filter was not created"),
        (50, {"filter": "cosine", "high_pass": 0.0}, "Cosine filter was not created"),
        (50, {"filter": "cosine", "high_pass": 0.3}, "will span all accessible frequencies"),
        (50, {"filter": "cosine", "high_pass": 0.2}, "will span all accessible frequencies"),
        (
            50,
            {"confounds": noise(50, 1), "detrend": False, "standardize_confounds": False},
            "When confounds are provided, one must perform detrend and/or standardize confounds",
        ),
        (50, {"standardize": "psc", "detrend": False}, "psc standardization strategy is meaning"),
        (1, {"standardize": None}, "Detrending of 3D signal has been requested"),
        (1, {"detrend": False}, "Standardization of 3D signal has been requested"),
    ],
)
def test_warnings_as_nilearn(n_volumes, options, match):
    series = np.zeros((n_volumes, 1)) if options.get("standardize") == "psc" else SERIES[:n_volumes]
    for run in (clean, nilearn_clean):
        with pytest.warns(UserWarning, match=match):
            quietly_about_division(run, series, **options)


def quietly_about_division(function, *args, **options):
    with np.errstate(all="ignore"):
        return function(*args, **options)


def test_a_constant_signal_beside_one_that_is_not_finite_becomes_0():
    series = noise(60, 3)
    series[:, 0] = 1000.1
    series[7, 1] = np.nan
    ours = clean(series)
    np.testing.assert_array_equal(ours[:, 0], 0)
    np.testing.assert_allclose(ours[:, 2], clean(series[:, 2:])[:, 0])


def test_the_unit_of_confounds_plays_no_part_where_they_are_not_standardized():
    series, confounds = noise(60, 2), noise(60, 3, seed=1)
    options = {"standardize_confounds": False, "standardize": None}
    for detrend in (True, False):
        expected = quietly(clean, series, confounds=confounds, detrend=detrend, **options)
        for unit in (1e-18, 1e-7, 1e5, -3):
            ours = quietly(clean, series, confounds=unit * confounds, detrend=detrend, **options)
            np.testing.assert_allclose(ours, expected, atol=1e-8)


@pytest.mark.parametrize("standardize_confounds", [True, False])
def test_units_of_columns_side_by_side_play_no_part(standardize_confounds):
    """Each column has its own rounding errors."""
    series, confounds = noise(60, 2), noise(60, 2, seed=1)
    options = {"standardize_confounds": standardize_confounds}
    expected = clean(series, confounds=confounds, **options)
    ours = clean(series * [1e-6, 1e9], confounds=confounds * [1e9, 1e-6], **options)
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_one_volume_is_cleaned_of_confounds_as_they_are():
    """Of one value no spread is known."""
    options = {"sample_mask": [4], "detrend": False, "standardize": None}
    ours = clean(noise(9, 2), confounds=noise(9, 1, seed=1), **options)
    np.testing.assert_allclose(ours, 0, atol=1e-9)


@pytest.mark.parametrize("kind", [int, np.int64, np.float32, np.float64])
def test_numbers_of_any_type(kind):
    ours = clean(SERIES, low_pass=0.1, t_r=kind(2))
    np.testing.assert_allclose(ours, clean(SERIES, low_pass=0.1, t_r=2.0), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"high_pass": 0.02}, {"detrend": False}])
def test_confounds_of_hardly_any_spread_are_left_out(options):
    """As in nilearn, where less than the rounding error of 1 is not scaled up."""
    series, confounds = noise(60, 2), 1e-18 * noise(60, 2, seed=1)
    ours = clean(series, confounds=confounds, **options)
    assert_same(ours, nilearn_clean(series, confounds=confounds, **options))
    assert_same(ours, clean(series, **options))


@pytest.mark.parametrize("how", ["zscore_sample", "zscore"])
def test_signals_of_hardly_any_spread_are_not_scaled_up(how):
    ours = clean(noise(60, 2) * [1, 1e-18], detrend=False, standardize=how)
    assert np.abs(ours[:, 0]).max() > 1
    np.testing.assert_array_equal(ours[:, 1], 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_where_a_confound_is_not_finite(bad):
    """Of several places the first in time; volumes are counted among those that are kept."""
    confounds = noise(50, 3, seed=1)
    confounds[7, 1] = confounds[9, 0] = bad
    for kept, volume in ((None, 7), (np.arange(2, 50), 5)):
        with pytest.raises(DataError, match=f"Column 1 of .* finite value at volume {volume} of"):
            clean(noise(50, 2), confounds=confounds, sample_mask=kept)


def test_per_cent_of_signals_of_mean_0_are_0_alone():
    series = noise(60, 3)
    series[:, 1] = np.resize([-4, 4], 60)
    with pytest.warns(UserWarning, match="mean 0"):
        ours = clean(series, detrend=False, standardize="psc")
    others = series[:, [0, 2]]
    expected = 100 * (others / others.mean(axis=0) - 1)
    np.testing.assert_allclose(ours[:, [0, 2]], expected, atol=1e-9)
    np.testing.assert_array_equal(ours[:, 1], 0)


@pytest.mark.parametrize(("how", "size"), [("zscore_sample", np.sqrt(0.5)), ("zscore", 1)])
def test_two_volumes_have_unit_variance_or_are_a_line(how, size):
    series = np.array([[1.0, 9], [4, 5]])
    ours = clean(series, detrend=False, standardize=how)
    np.testing.assert_allclose(ours, [[-size, size], [size, -size]])
    np.testing.assert_allclose(clean(series, standardize=how), 0, atol=1e-12)


def test_masks_of_runs_may_be_in_a_tuple():
    series, labels = noise(60, 2), np.repeat([0, 1], 30)
    masks = [np.arange(20), np.arange(2, 30)]
    ours = clean(series, runs=labels, sample_mask=tuple(masks))
    np.testing.assert_array_equal(ours, clean(series, runs=labels, sample_mask=masks))


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.float64])
def test_volumes_are_kept_in_the_order_given(kind):
    series = noise(12, 2)
    ours = clean(series, sample_mask=kind([7, 3, 9]), **PLAIN)
    np.testing.assert_array_equal(ours, series[[7, 3, 9]])


@pytest.mark.parametrize("t_r", [None, 0, -2.0, np.nan])
def test_a_repetition_time_is_not_needed_without_a_filter(t_r):
    for options in ({}, {"filter": False}):
        np.testing.assert_array_equal(clean(SERIES, t_r=t_r, **options), clean(SERIES))


@pytest.mark.parametrize("name", ["csf, mean", "csf; mean", "csf mean"])
def test_tabs_part_fields_before_all_other_marks(tmp_path, name):
    path = tmp_path / "table.tsv"
    path.write_text(f"{name}\twm\n1\t2\nn/a\t4\n")
    np.testing.assert_array_equal(read_table(path), [[1, 2], [np.nan, 4]])
