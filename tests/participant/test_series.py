"""Series through a strategy, against each step written out with scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from scipy.interpolate import CubicSpline

from bids_spheres.confounds.design import Design
from bids_spheres.confounds.strategy import Censor, Strategy, TemporalFilter
from bids_spheres.participant.designs import RunDesign, Timing
from bids_spheres.participant.series import clean_series, effective_dof
from bids_spheres.settings.table import Processing

T_R = 2.0
BAND = TemporalFilter(0.01, 0.1, order=3)


def run_design(kept, regressors=None, chosen=None, names=None, **rules):
    """A strategy in a run with given regressors and kept volumes."""
    values = np.empty((len(kept), 0)) if regressors is None else regressors
    names = tuple(f"x{i}" for i in range(values.shape[1])) if names is None else names
    design = Design(names, values, kept, np.full(len(kept), np.nan))
    strategy = Strategy("a", "", names, filter=chosen, censor=Censor(fd_threshold=0.5))
    return RunDesign(strategy, design, Timing(len(kept), T_R), Processing(**rules))


def without(columns, series):
    """Residuals of least squares."""
    return series - columns @ np.linalg.lstsq(columns, series, rcond=None)[0]


def band_passed(values, kept, chosen=BAND):
    """Interpolated between the first and the last kept volume, detrended, filtered, censored."""
    where = np.flatnonzero(kept)
    inside = np.arange(where[0], where[-1] + 1)
    filled = np.where(kept[inside, None], values[inside], CubicSpline(where, values[where])(inside))
    filled = without(np.column_stack([np.ones(len(inside)), inside]), filled)
    edges = [edge for edge in (chosen.high_pass, chosen.low_pass) if edge]
    kind = "band" if len(edges) == 2 else ("high" if chosen.high_pass else "low")
    edges = edges if len(edges) == 2 else edges[0]
    sections = signal.butter(chosen.order, edges, kind, output="sos", fs=1 / T_R)
    return signal.sosfiltfilt(sections, filled, axis=0)[kept[inside]]


def standardized(values):
    values = values - values.mean(axis=0)
    return values / values.std(axis=0, ddof=1)


@pytest.fixture
def series():
    """Independent noise, with one drift, and artefacts where volumes are censored."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((200, 8)) + np.linspace(-3, 3, 200)[:, None]


KEPT = {
    "all": np.ones(200, bool),
    "gap": ~np.isin(np.arange(200), np.arange(50, 120)),
    "ends": np.isin(np.arange(200), np.arange(6, 190)),
    "mirrored": ~np.isin(np.arange(200), [0, 1, 2, 60, 61, 139, 198, 199]),
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("n_regressors", [0, 6])
def test_without_a_filter_the_trend_is_linear_in_time(series, kept, n_regressors):
    regressors = np.random.default_rng(1).standard_normal((200, n_regressors)).cumsum(axis=0)
    series[~kept] += 1e3
    cleaned = clean_series(series, run_design(kept, regressors))
    lines = np.column_stack([np.ones(200), np.arange(200), regressors])[kept]
    np.testing.assert_allclose(
        cleaned, standardized(without(lines, series[kept])), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_a_filter_sees_no_censored_volume_and_ends_with_the_kept_ones(series, kept):
    regressors = np.random.default_rng(1).standard_normal((200, 6)).cumsum(axis=0)
    series[~kept] += 1e3
    cleaned = clean_series(series, run_design(kept, regressors, BAND, min_dof=1))
    filtered, removed = band_passed(series, kept), band_passed(regressors, kept)
    removed = np.column_stack([np.ones(len(removed)), removed])
    filtered -= filtered.mean(axis=0)  # what the mean of the regressors has in common with it
    expected = standardized(without(removed - [0, *removed[:, 1:].mean(axis=0)], filtered))
    np.testing.assert_allclose(cleaned, expected, rtol=1e-6, atol=1e-8)


def test_independent_series_with_one_drift_do_not_correlate(series):
    cleaned = clean_series(series, run_design(KEPT["gap"]))
    assert abs(np.corrcoef(cleaned.T)[np.triu_indices(8, 1)].mean()) < 0.05


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("named", [False, True])
def test_a_cosine_filter_beside_regressors(series, kept, named):
    """Of floor(2 * 400 s * 0.01 Hz) = 8 cosines; fMRIPrep's stand in for them."""
    phase = np.pi / 200 * (np.arange(200) + 0.5)
    ours = np.cos(np.outer(phase, np.arange(1, 9)))
    theirs = np.cos(np.outer(phase, np.arange(1, 4)))
    names = ("cosine00", "cosine01", "cosine02") if named else ("x", "y", "z")
    chosen = TemporalFilter(0.01, type="cosine")
    cleaned = clean_series(series, run_design(kept, theirs, chosen, names))
    lines = np.column_stack([np.ones(200), np.arange(200), theirs if named else ours])[kept]
    np.testing.assert_allclose(
        cleaned, standardized(without(lines, series[kept])), rtol=1e-6, atol=1e-8
    )


def test_rules_of_the_call(series):
    kept = KEPT["all"]
    plain = clean_series(series, run_design(kept, detrend=False, standardize=False))
    np.testing.assert_allclose(plain, series)
    scaled = clean_series(series, run_design(kept, detrend=False, standardize="zscore"))
    np.testing.assert_allclose(scaled, (series - series.mean(axis=0)) / series.std(axis=0))


def test_spheres_without_a_signal_and_excluded_runs(series):
    series[:, 2] = np.nan
    cleaned = clean_series(series, run_design(KEPT["gap"]))
    assert np.isnan(cleaned[:, 2]).all()
    assert not np.isnan(np.delete(cleaned, 2, axis=1)).any()
    series[3, 4] = np.nan
    as_they_are = run_design(KEPT["all"], detrend=False, standardize=False)
    assert np.isnan(clean_series(series, as_they_are)[:, 4]).all()
    excluded = run_design(KEPT["gap"], min_dof=129)
    assert excluded.exclusion is not None
    assert np.isnan(clean_series(series, excluded)).all()
    assert clean_series(series, excluded).shape == (130, 8)
    assert np.isnan(effective_dof(cleaned, excluded)).all()
    assert run_design(KEPT["gap"], min_dof=128).exclusion is None


def by_definition(cleaned, kept, removed, max_lag):
    """N of every two series, with every matrix written out (Dutilleul 1993), not bounded."""
    where = np.flatnonzero(kept)
    p = np.eye(len(where)) - removed @ np.linalg.pinv(removed)
    apart = np.abs(np.subtract.outer(where, where))
    patterns = [p @ (apart == lag) @ p for lag in range(max_lag + 1)]
    design = np.stack([pattern.ravel() for pattern in patterns], axis=1)
    nearest = np.linalg.pinv(design)
    covariances = [
        (design @ (nearest @ np.outer(x, x).ravel())).reshape(p.shape) for x in (p @ cleaned).T
    ]
    return np.array(
        [
            [1 + np.trace(x) * np.trace(y) / np.trace(x @ y) for x in covariances]
            for y in covariances
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kept", [KEPT["gap"], KEPT["mirrored"]], ids=["gap", "mirrored"])
@pytest.mark.parametrize("chosen", [None, BAND, TemporalFilter(low_pass=0.1)], ids=str)
def test_effective_degrees_of_freedom_with_24_regressors(series, kept, chosen):
    """Regressors filtered as the series were, lags up to the root of the kept volumes, a bound."""
    smooth = signal.lfilter([1], [1, -0.5], series, axis=0)
    regressors = np.random.default_rng(1).standard_normal((200, 24)).cumsum(axis=0)
    design = run_design(kept, regressors, chosen)
    cleaned = clean_series(smooth, design)
    removed = band_passed(regressors, kept, chosen) if chosen else regressors[kept]
    removed = np.column_stack([np.ones(kept.sum()), np.flatnonzero(kept), removed])
    found = effective_dof(cleaned, design)
    expected = by_definition(cleaned, kept, removed, int(np.sqrt(kept.sum())))
    bound = design.degrees_of_freedom.residual + 1
    assert found.max() <= bound + 1e-9
    inside = (expected > 1) & (expected < bound)
    assert inside.any()
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)
    np.testing.assert_allclose(found[~inside], bound)


def test_regressors_with_a_drift_are_filtered_without_it():
    """Else the filter sees a jump from the end to the beginning, in the regressors alone."""
    rng = np.random.default_rng(2)
    kept = ~np.isin(np.arange(80), [0, 30, 31, 60])
    smooth = signal.lfilter([1], [1, -0.95], rng.standard_normal((80, 6)), axis=0)
    regressors = rng.standard_normal((80, 3)).cumsum(axis=0) + np.linspace(0, 30, 80)[:, None]
    slow = TemporalFilter(high_pass=0.008, order=2)
    design = run_design(kept, regressors, slow)
    cleaned = clean_series(smooth, design)
    removed = np.column_stack(
        [np.ones(kept.sum()), np.flatnonzero(kept), band_passed(regressors, kept, slow)]
    )
    found = effective_dof(cleaned, design)
    expected = by_definition(cleaned, kept, removed, int(np.sqrt(kept.sum())))
    bound = design.degrees_of_freedom.residual + 1
    inside = (expected > 1) & (expected < bound)
    assert inside.sum() > 4
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)


def test_white_series_have_all_degrees_of_freedom_that_cleaning_leaves():
    """The bound: N independent values have a variance of 1 / (N - 1)."""
    rng = np.random.default_rng(0)
    design = run_design(KEPT["gap"], rng.standard_normal((200, 24)))
    found = effective_dof(clean_series(rng.standard_normal((200, 60)), design), design)
    assert design.degrees_of_freedom.residual == 130 - 26
    assert found.max() == 130 - 26 + 1


def test_white_series_have_all_degrees_of_freedom_of_the_volumes_that_are_drawn():
    rng = np.random.default_rng(0)
    design = run_design(KEPT["gap"], equal_seconds=100)
    found = effective_dof(clean_series(rng.standard_normal((200, 60)), design), design)
    n_drawn, left = 50, design.degrees_of_freedom.residual
    assert design.used.sum() == n_drawn
    assert n_drawn - 3 < left < n_drawn
    assert found.max() == pytest.approx(min(left, n_drawn - 2) + 1)  # without mean and trend
