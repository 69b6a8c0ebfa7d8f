"""Against simulated series, integration of the formula, known ranks, processes with formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import lstsq
from scipy.signal import lfilter
from scipy.stats import norm

from bids_spheres.engine.connectivity import pearson_correlation
from bids_spheres.engine.degrees_of_freedom import (
    degrees_of_freedom_left,
    effective_degrees_of_freedom,
    variance_of_correlation,
)
from bids_spheres.errors import DataError, UsageError


def by_integration(eigenvalues):
    """sum l^2 q^2, each q by adaptive quadrature over t = exp(u)."""
    shares = eigenvalues / eigenvalues.sum()

    def integrand(u, share):
        t = np.exp(u)
        return t / (1 + 2 * share * t) * np.exp(-np.log1p(2 * shares * t).sum() / 2)

    q = [
        quad(integrand, -40, 90, (share,), points=[0], limit=500, epsabs=1e-13)[0]
        for share in shares
    ]
    return np.sum((shares * q) ** 2)


SPECTRA = {
    "one": np.ones(1),
    "two": np.array([1.0, 1e-3]),
    "a few": np.array([3.0, 2.0, 2.0, 0.1]),
    "band": 1 / (1 + np.linspace(0, 3, 80) ** 10),
    "heavy": np.r_[1e6, np.ones(50)],
    "wide": np.geomspace(1e-6, 1, 60),
}


@pytest.mark.parametrize("eigenvalues", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("unit", [1e-9, 1, 1e12])
def test_the_integral(eigenvalues, unit):
    expected = by_integration(eigenvalues)
    assert variance_of_correlation(unit * eigenvalues) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 200, 1500])
def test_equal_eigenvalues_are_that_many_values(n):
    values = np.r_[np.zeros(5), np.full(n, 0.3), -1e-17]
    assert 1 / variance_of_correlation(values) == pytest.approx(n, rel=1e-10)


@pytest.mark.parametrize("n_regressors", [0, 1, 12])
def test_a_projection_has_its_rank(n_regressors):
    rng = np.random.default_rng(0)
    regressors = rng.standard_normal((60, n_regressors))
    basis = np.linalg.qr(regressors - regressors.mean(axis=0))[0]
    operator = np.eye(60) - basis @ basis.T
    assert degrees_of_freedom_left(operator) == pytest.approx(59 - n_regressors, rel=1e-9)


def test_the_mean_of_the_kept_volumes_goes_too():
    assert degrees_of_freedom_left(np.eye(60)[:30]) == pytest.approx(29, rel=1e-9)


def test_nothing_left():
    assert degrees_of_freedom_left(np.zeros((20, 30))) == 0
    assert degrees_of_freedom_left(np.ones((20, 30))) == 0
    assert degrees_of_freedom_left(np.empty((0, 30))) == 0


def test_values_whose_squares_overflow():
    operator = np.diag(np.r_[1e200, 1e200, np.ones(20)])
    assert degrees_of_freedom_left(operator) == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("spectrum", ["a few", "band", "heavy", "wide"])
def test_the_scatter_of_simulated_series(spectrum):
    """Independent pairs, so that the standard error of the mean of r^2 is known from them."""
    eigenvalues = SPECTRA[spectrum]
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 20_000, len(eigenvalues))) * np.sqrt(eigenvalues)
    squares = np.sum(x * y, axis=1) ** 2 / np.sum(x**2, axis=1) / np.sum(y**2, axis=1)
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - variance_of_correlation(eigenvalues)) < 4 * error


def z_scores(correlation, effective):
    """Correlations over their standard error, 1 / sqrt(N - 3) after Fisher's transform."""
    return np.arctanh(np.clip(correlation, -0.999999, 0.999999)) * np.sqrt(effective - 3)


def autoregressive(phi, n_volumes, n_series, seed):
    """First-order autoregressive series, past their start."""
    noise = np.random.default_rng(seed).standard_normal((n_volumes + 300, n_series))
    return lfilter([1], [1, -phi], noise, axis=0)[300:]


def without(regressors, series):
    """Residuals, the mean taken out as well."""
    columns = np.column_stack([np.ones(len(series)), regressors])
    return series - columns @ lstsq(columns, series)[0]


def pairs(matrix, n_first):
    """Of the first series with the others."""
    return matrix[:n_first, n_first:].ravel()


def equivalent(effective):
    """N of the mean variance, which is what the variance of many correlations shows."""
    return 1 + 1 / np.mean(1 / (effective - 1))


def by_definition(timeseries, kept=None, regressors=None, max_lag=0):
    """N with every matrix written out and a loop over pairs, not bounded."""
    n_volumes = len(timeseries)
    where = np.arange(n_volumes) if kept is None else np.flatnonzero(kept)
    columns = np.ones((n_volumes, 1))
    if regressors is not None:
        columns = np.column_stack([columns, regressors])
    p = np.eye(n_volumes) - columns @ np.linalg.pinv(columns)
    apart = np.abs(np.subtract.outer(where, where))
    patterns = [p @ (apart == lag) @ p for lag in range(max_lag + 1) if (apart == lag).any()]
    design = np.stack([pattern.ravel() for pattern in patterns], axis=1)
    nearest = np.linalg.pinv(design, rcond=1e-10)

    def covariance(x):
        x = p @ x
        return (design @ (nearest @ np.outer(x, x).ravel())).reshape(p.shape)

    covariances = [covariance(x) for x in timeseries.T]
    return np.array(
        [
            [1 + np.trace(x) * np.trace(y) / np.trace(x @ y) for x in covariances]
            for y in covariances
        ]
    )


@pytest.mark.parametrize("phi", [0, 0.6])
@pytest.mark.parametrize("censored", [(), (3, 4, 5, 17, 30, 31, 39)], ids=["all", "censored"])
@pytest.mark.parametrize("n_regressors", [0, 1, 6])
@pytest.mark.parametrize("max_lag", [0, 1, 5, 12])
def test_numbers_are_those_of_the_definition(phi, censored, n_regressors, max_lag):
    kept = np.ones(40, dtype=bool)
    kept[list(censored)] = False
    series = autoregressive(phi, 40, 6, seed=1)[kept]
    regressors = autoregressive(0.9, 40, n_regressors, seed=2)[kept] if n_regressors else None
    expected = by_definition(series, kept, regressors, max_lag)
    bound = len(series) - n_regressors
    expected = np.where((expected < 1) | (expected > bound), bound, expected)
    found = effective_degrees_of_freedom(series, kept=kept, regressors=regressors, max_lag=max_lag)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_lags_without_a_pair_of_kept_volumes_play_no_part():
    kept = np.arange(60) % 2 == 0
    series = autoregressive(0.5, 60, 4, seed=3)[kept]
    found = effective_degrees_of_freedom(series, kept=kept, max_lag=5)
    np.testing.assert_allclose(
        found, np.minimum(by_definition(series, kept, None, 5), 30), rtol=1e-8
    )


def test_more_lags_than_the_run_has_are_those_of_the_run():
    """Of all lags, regression of the mean takes a combination: that of equal covariances."""
    series = autoregressive(0, 12, 3, seed=3)
    expected = by_definition(series, max_lag=11)
    expected = np.where((expected < 1) | (expected > 12), 12, expected)
    assert (expected < 12).sum() > 3
    for max_lag in (11, 500):
        found = effective_degrees_of_freedom(series, max_lag=max_lag)
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("n_volumes", [100, 400])
def test_independent_volumes_count_in_full(n_volumes):
    effective = effective_degrees_of_freedom(autoregressive(0, n_volumes, 200, seed=4))
    off_diagonal = effective[~np.eye(200, dtype=bool)]
    assert off_diagonal.max() == n_volumes
    assert np.median(off_diagonal) > 0.97 * n_volumes


@pytest.mark.parametrize(
    ("first", "second"), [(0.3, 0.3), (0.8, 0.3), (0.6, 0.6), (0.8, 0.8), (0.9, 0.9)]
)
def test_autoregressive_series_by_their_formula(first, second):
    n_volumes = 4000
    series = np.hstack(
        [autoregressive(phi, n_volumes, 40, seed) for seed, phi in enumerate((first, second))]
    )
    expected = n_volumes * (1 - first * second) / (1 + first * second)
    effective = pairs(effective_degrees_of_freedom(series), 40)
    assert effective.mean() == pytest.approx(expected, rel=0.03)


def test_moving_average_by_its_formula():
    weights = np.array([1, 0.8, -0.5, 0.3])
    noise = np.random.default_rng(5).standard_normal((4003, 80))
    series = lfilter(weights, [1], noise, axis=0)[3:]
    rho = np.correlate(weights, weights, "full")[3:] / (weights @ weights)
    expected = 4000 / (1 + 2 * (rho[1:] ** 2).sum())
    effective = pairs(effective_degrees_of_freedom(series), 40)
    assert effective.mean() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("n_volumes", [150, 400])
@pytest.mark.parametrize(
    ("first", "second"), [(0, 0), (0.4, 0.4), (0.8, 0.3), (0.6, 0.6), (0.8, 0.8)]
)
def test_correlations_vary_as_those_of_as_many_independent_volumes(n_volumes, first, second):
    series = np.hstack(
        [autoregressive(phi, n_volumes, 150, seed) for seed, phi in ((6, first), (7, second))]
    )
    variance = pairs(pearson_correlation(series), 150).var()
    effective = equivalent(pairs(effective_degrees_of_freedom(series), 150))
    assert 1 / (effective - 1) == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize(
    ("phi", "of_regressors"), [(0, 0), (0.7, 0), (0.7, 0.95), (0.8, 0.9)], ids=str
)
def test_regressors_cost_what_they_take(phi, of_regressors):
    n_volumes, variances, effective = 200, [], []
    for seed in range(8):
        regressors = autoregressive(of_regressors, n_volumes, 30, seed + 100)
        series = without(regressors, autoregressive(phi, n_volumes, 60, seed))
        found = effective_degrees_of_freedom(series, regressors=regressors)
        variances.append(pairs(pearson_correlation(series), 30).var())
        effective.append(pairs(found, 30))
    assert 1 / (equivalent(np.concatenate(effective)) - 1) == pytest.approx(
        np.mean(variances), rel=0.06
    )


def test_censored_volumes_are_gaps():
    """Kept volumes taken for neighbours would look less alike than they are."""
    kept = np.random.default_rng(8).random(500) > 0.4
    series = autoregressive(0.8, 500, 300, seed=9)[kept]
    variance = pairs(pearson_correlation(series), 150).var()
    effective = pairs(effective_degrees_of_freedom(series, kept=kept), 150)
    assert 1 / (equivalent(effective) - 1) == pytest.approx(variance, rel=0.06)


def test_runs_apart_by_volumes_not_kept():
    n_volumes, lags = 30, 15
    run = np.r_[np.ones(n_volumes, dtype=bool), np.zeros(lags, dtype=bool)]
    kept = np.tile(run, 10)
    series = np.vstack([autoregressive(0.7, n_volumes, 200, seed) for seed in range(10)])
    which = np.repeat(np.eye(10), n_volumes, axis=0)
    variance = pairs(np.corrcoef(without(which, series).T), 100).var()
    found = effective_degrees_of_freedom(series, kept=kept, regressors=which, max_lag=lags)
    assert 1 / (equivalent(pairs(found, 100)) - 1) == pytest.approx(variance, rel=0.06)


def test_z_scores_of_independent_series_are_standard_normal():
    """And those that take every volume for independent are not."""
    series = autoregressive(0.7, 300, 300, seed=10)
    correlation = pearson_correlation(series)
    scores = pairs(z_scores(correlation, effective_degrees_of_freedom(series)), 150)
    assert scores.std() == pytest.approx(1, abs=0.04)
    assert np.mean(np.abs(scores) > norm.ppf(0.975)) == pytest.approx(0.05, abs=0.012)
    assert pairs(z_scores(correlation, 300.0), 150).std() > 1.5


@pytest.mark.parametrize("r", [0.4, 0.8])
def test_fisher_z_of_correlated_series_varies_by_the_same_number(r):
    n_series, n_volumes = 3000, 300
    shared = autoregressive(0.6, n_volumes, n_series, seed=11)
    other = r * shared + np.sqrt(1 - r**2) * autoregressive(0.6, n_volumes, n_series, seed=12)
    both = [
        (x - x.mean(axis=0)) / np.linalg.norm(x - x.mean(axis=0), axis=0) for x in (shared, other)
    ]
    variance = np.arctanh((both[0] * both[1]).sum(axis=0)).var()
    few = np.hstack([shared[:, :100], other[:, :100]])
    effective = effective_degrees_of_freedom(few)[np.arange(100), np.arange(100, 200)]
    # Low for high correlations, as documented: at most by 2 r^2 / sqrt(300).
    assert 0.95 < np.mean(1 / (effective - 3)) / variance < 1.1 + 2 * r**2 / 300**0.5


def test_a_low_pass_filter_shows_as_autocorrelation():
    """Of a share b of all frequencies, ideal filters leave b K degrees of freedom."""
    n_volumes, share = 1000, 0.4
    noise = np.random.default_rng(13).standard_normal((n_volumes, 200))
    spectrum = np.fft.rfft(noise, axis=0)
    spectrum[int(share * len(spectrum)) :] = 0
    series = np.fft.irfft(spectrum, n_volumes, axis=0)
    effective = pairs(effective_degrees_of_freedom(series), 100)
    assert effective.mean() == pytest.approx(share * n_volumes, rel=0.03)


def test_no_more_than_what_cleaning_left():
    series = autoregressive(0, 100, 5, seed=14)
    assert effective_degrees_of_freedom(series, degrees_lost=1).max() == 100
    assert (effective_degrees_of_freedom(series, degrees_lost=81) == 20).all()
    regressors = autoregressive(0, 100, 10, seed=15)
    for lost, most in ((0, 90), (5, 90), (21, 80)):
        found = effective_degrees_of_freedom(series, regressors=regressors, degrees_lost=lost)
        assert found.max() == most
    repeated = np.hstack([regressors, regressors[:, :4], np.ones((100, 2))])
    assert effective_degrees_of_freedom(series, regressors=repeated).max() == 90
    assert effective_degrees_of_freedom(series, degrees_lost=40.75).max() == 60.25
    assert (effective_degrees_of_freedom(series, degrees_lost=100) == 1).all()
    assert (effective_degrees_of_freedom(series, degrees_lost=300) == 1).all()


def test_autocorrelations_of_opposite_sign_are_no_gain():
    series = np.column_stack([autoregressive(phi, 500, 1, seed=16)[:, 0] for phi in (0.8, -0.8)])
    effective = effective_degrees_of_freedom(series)
    assert effective[0, 1] == 500
    assert effective[0, 0] < 250


def test_dependent_and_constant_regressors_count_once():
    series = autoregressive(0.5, 80, 4, seed=17)
    independent = autoregressive(0.5, 80, 3, seed=18)
    repeated = np.column_stack(
        [independent, 1e6 * independent @ [1, -2, 3] + 5, np.full(80, 7.0), np.zeros(80)]
    )
    np.testing.assert_allclose(
        effective_degrees_of_freedom(series, regressors=repeated),
        effective_degrees_of_freedom(series, regressors=independent),
        rtol=1e-7,
    )


def test_units_of_regressors_do_not_matter():
    series = autoregressive(0.5, 80, 4, seed=17)
    regressors = autoregressive(0.9, 80, 3, seed=18)
    np.testing.assert_allclose(
        effective_degrees_of_freedom(series, regressors=regressors * [1e-12, 1, 1e12]),
        effective_degrees_of_freedom(series, regressors=regressors),
        rtol=1e-8,
    )


def test_one_regressor_may_be_a_vector_and_none_an_empty_table():
    series = autoregressive(0.5, 80, 4, seed=17)
    regressor = autoregressive(0.5, 80, 1, seed=18)
    np.testing.assert_array_equal(
        effective_degrees_of_freedom(series, regressors=regressor[:, 0]),
        effective_degrees_of_freedom(series, regressors=regressor),
    )
    np.testing.assert_allclose(
        effective_degrees_of_freedom(series, regressors=np.empty((80, 0))),
        effective_degrees_of_freedom(series),
    )


@pytest.mark.parametrize(("scale", "level"), [(1e-6, 0), (20, 1e4), (1, -1e6)])
def test_units_do_not_matter(scale, level):
    series = autoregressive(0.5, 200, 5, seed=19)
    np.testing.assert_allclose(
        effective_degrees_of_freedom(scale * series + level),
        effective_degrees_of_freedom(series),
        rtol=1e-6,
    )


@pytest.mark.parametrize("bad", [0, 1e9 / 3, np.nan, np.inf])
def test_a_series_without_relations_leaves_those_of_others(bad):
    series = autoregressive(0.5, 60, 4, seed=20)
    expected = effective_degrees_of_freedom(series)
    expected[2] = expected[:, 2] = np.nan
    series[:, 2] = bad
    np.testing.assert_allclose(effective_degrees_of_freedom(series), expected)


def test_a_series_that_is_all_regressor_is_missing():
    series = autoregressive(0.5, 60, 3, seed=21)
    effective = effective_degrees_of_freedom(series, regressors=5 * series[:, [1]] + 100)
    assert np.isnan(effective[1]).all()
    assert np.isfinite(effective[[0, 2]][:, [0, 2]]).all()


def test_as_many_regressors_as_volumes_leave_nothing():
    series = autoregressive(0, 10, 3, seed=22)
    effective = effective_degrees_of_freedom(series, regressors=autoregressive(0, 10, 12, seed=23))
    assert np.isnan(effective).all()


def test_the_matrix_is_exactly_symmetric_and_in_bounds():
    effective = effective_degrees_of_freedom(autoregressive(0.9, 50, 300, seed=24))
    np.testing.assert_array_equal(effective, effective.T)
    assert effective.min() >= 1
    assert effective.max() <= 50


@pytest.mark.parametrize("n_volumes", [1, 2, 3])
def test_runs_of_hardly_any_volume(n_volumes):
    effective = effective_degrees_of_freedom(np.arange(n_volumes * 2.0).reshape(-1, 2) ** 2)
    assert effective.shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kept": np.ones(21, dtype=bool)}, DataError, "these 20"),
        ({"kept": np.ones(20)}, DataError, "type float64"),
        ({"kept": np.ones((20, 1), dtype=bool)}, DataError, "shape"),
        ({"regressors": np.ones((21, 2))}, DataError, "20 finite values"),
        ({"regressors": np.full((20, 2), np.nan)}, DataError, "40 missing"),
        ({"degrees_lost": -1}, UsageError, "degrees_lost"),
        ({"max_lag": -1}, UsageError, "max_lag"),
    ],
)
def test_arguments_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        effective_degrees_of_freedom(autoregressive(0, 20, 2, seed=0), **options)


@pytest.mark.parametrize("shape", [(20,), (0, 3)])
def test_series_that_are_none(shape):
    with pytest.raises(DataError):
        effective_degrees_of_freedom(np.ones(shape))


def test_lags_go_by_default_up_to_the_root_of_the_number_of_kept_volumes():
    kept = np.ones(50, dtype=bool)
    kept[[2, 5, 6, 17, 30, 41, *range(42, 50)]] = False
    series = autoregressive(0.5, 50, 4, seed=25)
    for own, volumes, lag in ((series, None, 7), (series[kept], kept, 6), (series[:35], None, 5)):
        default = effective_degrees_of_freedom(own, kept=volumes)
        found = [effective_degrees_of_freedom(own, kept=volumes, max_lag=x) for x in (lag, lag + 1)]
        np.testing.assert_array_equal(default, found[0])
        assert not np.allclose(default, found[1])


def test_the_level_of_regressors_does_not_matter():
    """Also where it is a hundred thousand million times what varies."""
    series = autoregressive(0.5, 80, 4, seed=17)
    regressors = autoregressive(0.9, 80, 3, seed=18)
    np.testing.assert_allclose(
        effective_degrees_of_freedom(series, regressors=regressors + 1e11),
        effective_degrees_of_freedom(series, regressors=regressors),
        rtol=1e-3,
    )


def test_regressors_that_are_almost_alike_count_both():
    series = autoregressive(0.5, 80, 4, seed=17)
    regressors = autoregressive(0.9, 80, 2, seed=18)
    alike = np.column_stack([regressors[:, 0], regressors @ [1, 1e-8]])
    np.testing.assert_allclose(
        effective_degrees_of_freedom(series, regressors=alike),
        effective_degrees_of_freedom(series, regressors=regressors),
        rtol=1e-6,
    )
