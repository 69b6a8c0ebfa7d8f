"""Random effects against statsmodels, their definition, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.meta_analysis import combine_effects

from bids_spheres.group.inference import Contrast, estimate, random_effects
from bids_spheres.group.inference.linear_model import column_blocks

MEAN = Contrast("mean", np.array([[1.0]]))


def simulated(n=20, edges=6, tau=0.3, seed=0):
    rng = np.random.default_rng(seed)
    variances = rng.uniform(0.01, 0.3, n)
    noise = rng.standard_normal((2, n, edges))
    return 0.2 + tau * noise[0] + np.sqrt(variances)[:, np.newaxis] * noise[1], variances


def test_means_are_those_of_statsmodels():
    z, variances = simulated()
    z[:, 5] = 0.2 + 0.01 * (z[:, 5] - 0.2)  # less than their errors: tau^2 is 0
    found = random_effects(z, variances, np.ones((20, 1)), MEAN)
    for edge in range(6):
        expected = combine_effects(z[:, edge], variances, method_re="pm", use_t=True)
        assert found.tau2[edge] == pytest.approx(max(expected.tau2, 0), rel=1e-6)
        assert found.estimates.effect[edge] == pytest.approx(expected.mean_effect_re)
        assert found.estimates.standard_error[edge] == pytest.approx(expected.sd_eff_w_re_hksj)
        low, high = expected.conf_int()[3]
        assert found.estimates.ci_low[edge] == pytest.approx(low)
        assert found.estimates.ci_high[edge] == pytest.approx(high)
        assert found.q[edge] == pytest.approx(expected.q)
        assert found.i2[edge] == pytest.approx(max(expected.i2, 0))
    assert found.tau2[5] == 0
    np.testing.assert_allclose(found.q_p, stats.chi2.sf(found.q, 19))
    d = found.estimates.effect[:5] / np.sqrt(found.tau2[:5])
    np.testing.assert_allclose(found.estimates.d, [*d, np.nan])


@pytest.mark.parametrize("width", [6, 4])
def test_regressions_solve_the_moment_equation_of_their_rows(monkeypatch, width):
    """Also when a part of the edges is in memory at a time."""
    monkeypatch.setattr(column_blocks, "__defaults__", (8 * 20 * width,))
    z, variances = simulated()
    z[[0, 4], 2] = np.nan
    design = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
    by_edge = np.linspace(0.8, 1.2, 6) * variances[:, np.newaxis]
    found = random_effects(z, by_edge, design, Contrast("age", np.array([[0, 1.0]])))

    def excess(tau2, y, v, x):
        w = 1 / (v + tau2)
        beta = np.linalg.solve(x.T * w @ x, x.T @ (w * y))
        return np.sum(w * (y - x @ beta) ** 2) - (len(y) - 2)

    for edge in range(6):
        rows = np.isfinite(z[:, edge])
        data = z[rows, edge], by_edge[rows, edge], design[rows]
        assert found.tau2[edge] == pytest.approx(brentq(excess, 0, 10, args=data, xtol=1e-14))
        weights = np.diag(1 / (data[1] + found.tau2[edge]))
        beta = np.linalg.solve(data[2].T @ weights @ data[2], data[2].T @ weights @ data[0])
        assert found.estimates.effect[edge] == pytest.approx(beta[1])
        assert found.estimates.degrees_of_freedom[edge] == rows.sum() - 2
        q = excess(0, *data) + rows.sum() - 2
        assert found.q[edge] == pytest.approx(q)
        assert found.q_p[edge] == pytest.approx(stats.chi2.sf(q, rows.sum() - 2))
        assert found.i2[edge] == pytest.approx(1 - (rows.sum() - 2) / q)


def test_equal_variances_give_the_ordinary_test():
    z, _ = simulated()
    found = random_effects(z, np.full(20, 0.01), np.ones((20, 1)), MEAN, tail="positive")
    plain = estimate(z, np.ones((20, 1)), MEAN, tail="positive")
    for name in ("effect", "standard_error", "statistic", "p", "ci_low", "n"):
        np.testing.assert_allclose(getattr(found.estimates, name), getattr(plain, name))
    np.testing.assert_allclose(found.tau2, z.var(axis=0, ddof=1) - 0.01)


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_values_without_a_variance_are_missing(unknown):
    z, variances = simulated()
    lacking = np.tile(variances[:, np.newaxis], 6)
    lacking[3, 1], z[:, 4] = unknown, np.nan
    found = random_effects(z, lacking, np.ones((20, 1)), MEAN)
    z[3, 1] = np.nan
    expected = random_effects(z, variances, np.ones((20, 1)), MEAN)
    np.testing.assert_array_equal(found.estimates.p, expected.estimates.p)
    assert found.estimates.n.tolist() == [20, 19, 20, 20, 0, 20]
    assert (
        np.isnan(found.tau2).tolist() == np.isnan(found.q).tolist() == [False] * 4 + [True, False]
    )


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_intervals_cover(tau):
    z, variances = simulated(n=30, edges=4000, tau=tau, seed=7)
    found = random_effects(z, variances, np.ones((30, 1)), MEAN).estimates
    covered = np.sum((found.ci_low < 0.2) & (found.ci_high > 0.2))
    low, high = stats.binom.interval(0.999, 4000, 0.95)
    assert low <= covered <= high


def test_what_random_effects_cannot_do():
    z, variances = simulated()
    with pytest.raises(ValueError, match="several weights at once"):
        random_effects(z, variances, np.eye(20)[:, :3], Contrast("f", np.eye(3)[:2]))
    for wrong in (variances - 0.05, np.where(np.arange(20) == 3, 0, variances)):
        with pytest.raises(ValueError, match="positive"):
            random_effects(z, wrong, np.ones((20, 1)), MEAN)


def test_one_tail_and_another_confidence():
    z, variances = simulated()
    two = random_effects(z, variances, np.ones((20, 1)), MEAN).estimates
    up, down = (
        random_effects(z, variances, np.ones((20, 1)), MEAN, tail=tail, confidence=0.5).estimates
        for tail in ("positive", "negative")
    )
    np.testing.assert_allclose(up.p, stats.t.sf(two.statistic, 19))
    np.testing.assert_allclose(down.p, stats.t.cdf(two.statistic, 19))
    np.testing.assert_allclose(two.p, 2 * np.minimum(up.p, down.p))
    reach = stats.t.isf(0.25, 19) * two.standard_error
    np.testing.assert_allclose([up.ci_low, up.ci_high], [two.effect - reach, two.effect + reach])
