"""Paired contrasts, and robust errors against closed forms and their definition."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from bids_spheres.group.inference import (
    Contrast,
    MaxT,
    estimate,
    paired_contrast,
    permutation_test,
    robust_estimate,
)
from bids_spheres.group.inference.linear_model import column_blocks

MEAN = Contrast("mean", np.array([[1.0]]))


def test_paired_contrast_is_a_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 9, 4))
    z = np.concatenate([first, second])
    order = rng.permutation(18)
    participants, conditions = np.tile(np.arange(9), 2), np.repeat([0, 1], 9)
    found = paired_contrast(z[order], participants[order], conditions[order], np.array([-1.0, 1.0]))
    np.testing.assert_allclose(found, second - first)
    t = estimate(found, np.ones((9, 1)), MEAN).statistic
    np.testing.assert_allclose(t, stats.ttest_rel(second, first).statistic)
    [test] = permutation_test(found, np.ones((9, 1)), [MEAN], {"maxt": MaxT()})
    assert (test.scheme, test.exhaustive, test.n_permutations) == ("flip", True, 512)


def test_conditions_are_averaged_or_missing():
    z = np.array([[1.0, 1], [3, np.nan], [10, 2], [4, 4], [5, 5]])
    found = paired_contrast(
        z, np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 0, 2]), np.array([-1.0, 1, 0])
    )
    np.testing.assert_array_equal(found, [[8, 1], [np.nan, np.nan], [np.nan, np.nan]])


CONTRAST = Contrast("age", np.array([[0, 0, 1.0]]))


def unbalanced(n=26, edges=4):
    rng = np.random.default_rng(3)
    clusters = np.sort(rng.integers(0, 8, n))
    design = np.column_stack([np.ones(n), clusters % 2, rng.standard_normal(n)])
    return rng.standard_normal((n, edges)) + clusters[:, np.newaxis] / 4, design, clusters


def test_rows_of_their_own_are_clusters_of_hc2():
    z, design, _ = unbalanced()
    z[:, 1] = np.nan  # one that nobody has, before others
    found = robust_estimate(z, design, CONTRAST, np.arange(len(z)))
    assert np.isnan([found.standard_error[1], found.degrees_of_freedom[1], found.p[1]]).all()
    for edge in (0, 2, 3):
        expected = sm.OLS(z[:, edge], design).fit(cov_type="HC2")
        assert found.effect[edge] == pytest.approx(expected.params[2])
        assert found.standard_error[edge] == pytest.approx(expected.bse[2])


def test_two_groups_have_the_degrees_of_freedom_of_equal_variances():
    rng = np.random.default_rng(1)
    z, group = rng.standard_normal((20, 2)), np.repeat([0, 1], [6, 14])
    found = robust_estimate(
        z, np.eye(2)[group], Contrast("d", np.array([[-1.0, 1]])), np.arange(20)
    )
    a, b = z[:6].var(axis=0, ddof=1) / 6, z[6:].var(axis=0, ddof=1) / 14
    np.testing.assert_allclose(found.standard_error, np.sqrt(a + b))
    expected = (1 / 6 + 1 / 14) ** 2 / (1 / (36 * 5) + 1 / (196 * 13))
    np.testing.assert_allclose(found.degrees_of_freedom, expected)


def test_clusters_of_one_size_are_their_means():
    rng = np.random.default_rng(2)
    z = rng.standard_normal((24, 3)) + np.repeat(rng.standard_normal((8, 3)), 3, axis=0)
    found = robust_estimate(z, np.ones((24, 1)), MEAN, np.repeat(np.arange(8), 3))
    means = z.reshape(8, 3, 3).mean(axis=1)
    expected = stats.ttest_1samp(means, 0)
    np.testing.assert_allclose(found.statistic, expected.statistic)
    np.testing.assert_allclose(found.p, expected.pvalue)
    np.testing.assert_allclose(found.degrees_of_freedom, 7)
    low, high = expected.confidence_interval()
    np.testing.assert_allclose([found.ci_low, found.ci_high], [low, high])
    for tail, alternative in (("positive", "greater"), ("negative", "less")):
        one = robust_estimate(
            z, np.ones((24, 1)), MEAN, np.repeat(np.arange(8), 3), tail=tail, confidence=0.8
        )
        expected = stats.ttest_1samp(means, 0, alternative=alternative)
        np.testing.assert_allclose(one.p, expected.pvalue)
        np.testing.assert_allclose(
            one.ci_high, means.mean(axis=0) + stats.t.isf(0.1, 7) * stats.sem(means)
        )


def test_error_is_unbiased_and_has_satterthwaites_degrees_of_freedom():
    """The squared error is a quadratic form of the data, whose matrix sums of unit vectors give."""
    _, design, clusters = unbalanced()
    n = len(design)
    contrast = Contrast("odd", np.array([[0, 1.0, 0]]))
    i, j = np.triu_indices(n)
    units = np.eye(n)
    squares = robust_estimate((units[i] + units[j]).T, design, contrast, clusters)
    matrix = np.zeros((n, n))
    matrix[i, j] = matrix[j, i] = squares.standard_error**2
    own = np.diag(matrix) / 4
    matrix = (matrix - own[:, np.newaxis] - own) / 2
    np.fill_diagonal(matrix, own)
    variance = np.linalg.inv(design.T @ design)[1, 1]
    assert np.trace(matrix) == pytest.approx(variance)
    # The form acts on residuals, so that its eigenvalues are those of its distribution.
    expected = np.trace(matrix) ** 2 / np.trace(matrix @ matrix)
    np.testing.assert_allclose(squares.degrees_of_freedom, expected)


def test_rows_with_terms_of_their_own_say_nothing():
    z, design, clusters = unbalanced()
    own = clusters == clusters[0]
    larger = np.column_stack([design, np.eye(len(z))[:, own]])
    weights = np.zeros((1, larger.shape[1]))
    weights[0, 2] = 1
    found = robust_estimate(z, larger, Contrast("age", weights), clusters)
    others = robust_estimate(z[~own], design[~own], CONTRAST, clusters[~own])
    for name in ("effect", "standard_error", "degrees_of_freedom"):
        np.testing.assert_allclose(getattr(found, name), getattr(others, name))


@pytest.mark.parametrize("width", [4, 3])
def test_missing_rows_are_as_if_they_had_not_been_measured(monkeypatch, width):
    monkeypatch.setattr(column_blocks, "__defaults__", (8 * 26 * width,))
    z, design, clusters = unbalanced()
    z[[2, 3, 11], 1] = np.nan
    z[0, 2] = np.nan
    assert np.isnan(robust_estimate(z * np.nan, design, CONTRAST, clusters).p).all()
    found = robust_estimate(z, design, CONTRAST, clusters)
    for edge in range(4):
        rows = np.isfinite(z[:, edge])
        alone = robust_estimate(z[rows][:, [edge]], design[rows], CONTRAST, clusters[rows])
        for name in ("statistic", "degrees_of_freedom", "p", "n"):
            assert getattr(found, name)[edge] == pytest.approx(getattr(alone, name)[0])


def test_what_robust_errors_cannot_do():
    z, design, clusters = unbalanced()
    with pytest.raises(ValueError, match="several weights at once"):
        robust_estimate(z, design, Contrast("f", np.eye(3)[:2]), clusters)
    with pytest.raises(ValueError, match="two clusters"):
        robust_estimate(z, design, Contrast("t", np.eye(3)[:1]), np.zeros(len(z), int))


def test_two_clusters_are_enough():
    """Of two rows each: the paired test of their means, with one degree of freedom."""
    z = np.array([[1.0, -2], [2, 0.5], [4, 3], [0.5, 1]])
    found = robust_estimate(z, np.ones((4, 1)), MEAN, np.array([7, 7, 3, 3]))
    expected = stats.ttest_1samp(z.reshape(2, 2, 2).mean(axis=1), 0)
    np.testing.assert_allclose(found.statistic, expected.statistic)
    np.testing.assert_allclose(found.degrees_of_freedom, 1)
    np.testing.assert_allclose(found.p, expected.pvalue)
    np.testing.assert_allclose(found.partial_r, found.statistic / np.hypot(found.statistic, 1))
    np.testing.assert_allclose(found.d, z.mean(axis=0) / z.std(axis=0, ddof=1))


def test_weights_of_conditions_and_repeated_conditions():
    z = np.array([[2.0], [5], [1], [7], [3], [np.nan]])
    people, conditions = np.array([2, 2, 2, 0, 0, 0]), np.array([2, 0, 1, 1, 2, 2])
    found = paired_contrast(z, people, conditions, np.array([0, 0.5, -2]))
    np.testing.assert_array_equal(found, [[0.5 * 7 - 2 * 3], [np.nan], [0.5 * 1 - 2 * 2]])
