"""Contrasts of linear models against statsmodels and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from bids_spheres.group.inference import Contrast, estimate, estimates

FIELDS = ("effect", "standard_error", "ci_low", "ci_high", "statistic", "p")


@pytest.fixture
def study():
    """40 participants in three groups, with an age; 12 edges, some of them incomplete."""
    rng = np.random.default_rng(1)
    group = np.arange(40) % 3
    design = np.column_stack([np.ones(40), group == 1, group == 2, rng.standard_normal(40)])
    z = rng.standard_normal((40, 12)) + 3 + design[:, [3]] * np.linspace(-1, 1, 12)
    z[0, 0] = z[3:9, 1] = z[5, 2:4] = np.nan
    return z, design.astype(float), group


@pytest.mark.parametrize("weights", [[0, 0, 0, 1], [0, 1, -1, 0], [1, 0, 0, 0]])
def test_t_contrasts_are_those_of_statsmodels(study, weights):
    z, design, _ = study
    found = estimate(z, design, Contrast("c", np.array([weights], float)), confidence=0.9)
    for edge in range(12):
        fitted = sm.OLS(z[:, edge], design, missing="drop").fit()
        test = fitted.t_test(weights)
        low, high = test.conf_int(alpha=0.1)[0]
        expected = (test.effect[0], test.sd[0, 0], low, high, test.tvalue[0, 0], test.pvalue)
        np.testing.assert_allclose([getattr(found, name)[edge] for name in FIELDS], expected)
        assert found.n[edge] == fitted.nobs
        assert found.degrees_of_freedom[edge] == fitted.df_resid
        assert found.d[edge] == pytest.approx(test.effect[0] / np.sqrt(fitted.scale))


def test_f_contrast_is_that_of_statsmodels(study):
    z, design, _ = study
    weights = np.array([[0, 1, 0, 0], [0, 0, 1, 0.0]])
    found = estimate(z, design, Contrast("group", weights))
    for edge in range(12):
        model = sm.OLS(z[:, edge], design, missing="drop")
        test = model.fit().f_test(weights)
        assert found.statistic[edge] == pytest.approx(test.fvalue)
        assert found.p[edge] == pytest.approx(float(test.pvalue))
        reduced = sm.OLS(z[:, edge], design[:, [0, 3]], missing="drop").fit().ssr
        assert found.partial_r[edge] ** 2 == pytest.approx(1 - model.fit().ssr / reduced)
    assert np.isnan(found.effect).all()


@pytest.mark.parametrize("complete", [True, False])
def test_several_contrasts_of_one_fit_are_those_of_statsmodels(study, complete):
    z, design, _ = study
    z = np.nan_to_num(z) if complete else z
    t, f = np.array([[0, 1, -1, 0.0]]), np.array([[0, 1, 0, 0], [0, 0, 1, 0.0]])
    contrasts = [Contrast("f", f), Contrast("t", t)]
    of_f, of_t = estimates(z, design, contrasts, tail="positive")
    for edge in range(12):
        fitted = sm.OLS(z[:, edge], design, missing="drop").fit()
        assert of_f.statistic[edge] == pytest.approx(fitted.f_test(f).fvalue)
        test = fitted.t_test(t)
        assert of_t.effect[edge] == pytest.approx(test.effect[0])
        assert of_t.statistic[edge] == pytest.approx(test.tvalue[0, 0])
        assert of_t.p[edge] == pytest.approx(stats.t.sf(test.tvalue[0, 0], fitted.df_resid))
    assert estimates(z, design, []) == []


def test_partial_correlation_is_the_correlation_of_residuals(study):
    z, design, _ = study
    found = estimate(z, design, Contrast("age", np.array([[0, 0, 0, 1.0]])))
    nuisance = design[:, :3]
    residuals = [
        column - nuisance @ np.linalg.lstsq(nuisance, column)[0]
        for column in (z[:, 9], design[:, 3])
    ]
    assert found.partial_r[9] == pytest.approx(np.corrcoef(residuals)[0, 1])


def test_tails_share_the_two_sided_p(study):
    z, design, _ = study
    contrast = Contrast("age", np.array([[0, 0, 0, 1.0]]))
    two, up, down = (estimate(z, design, contrast, tail=t) for t in ("two", "positive", "negative"))
    np.testing.assert_allclose(up.p + down.p, 1)
    np.testing.assert_allclose(two.p, 2 * np.minimum(up.p, down.p))
    assert (up.p < 0.5).tolist() == (up.statistic > 0).tolist()


def test_cohens_d_of_two_groups():
    rng = np.random.default_rng(2)
    z = rng.standard_normal((30, 1))
    group = np.repeat([0.0, 1.0], [12, 18])
    design = np.column_stack([np.ones(30), group])
    found = estimate(z, design, Contrast("g", np.array([[0.0, 1.0]])))
    a, b = z[group == 0, 0], z[group == 1, 0]
    low, high = stats.ttest_ind(b, a).confidence_interval(0.95)
    assert (found.ci_low[0], found.ci_high[0]) == (pytest.approx(low), pytest.approx(high))
    pooled = (11 * a.var(ddof=1) + 17 * b.var(ddof=1)) / 28
    assert found.d[0] == pytest.approx((b.mean() - a.mean()) / np.sqrt(pooled))


def test_variance_groups_give_welchs_tests(study):
    z, _, group = study
    cells = (group[:, np.newaxis] == np.arange(3)).astype(float)
    chosen = group < 2
    difference = Contrast("1 - 0", np.array([[-1.0, 1.0]]))
    found = estimate(z[chosen], cells[chosen, :2], difference, variance_groups=group[chosen])
    a, b = z[group == 0], z[group == 1]
    welch = stats.ttest_ind(b, a, equal_var=False, nan_policy="omit")
    np.testing.assert_allclose(found.statistic, welch.statistic)
    np.testing.assert_allclose(found.degrees_of_freedom, welch.df)
    np.testing.assert_allclose(found.p, welch.pvalue)

    anova = Contrast("any", np.array([[-1.0, 1, 0], [-1, 0, 1]]))
    found = estimate(z[:, 4:], cells, anova, variance_groups=group)
    for edge in range(8):
        from statsmodels.stats.oneway import anova_oneway  # noqa: PLC0415

        expected = anova_oneway(z[:, 4 + edge], group, use_var="unequal", welch_correction=True)
        assert found.statistic[edge] == pytest.approx(expected.statistic)
        assert found.p[edge] == pytest.approx(expected.pvalue)


def test_columns_that_cannot_be_estimated_are_missing():
    rng = np.random.default_rng(3)
    group = np.repeat([0.0, 1.0], 5)
    design = np.column_stack([np.ones(10), group])
    z = rng.standard_normal((10, 4))
    z[5:, 0] = np.nan  # no participant of one group
    z[1:9, 1] = np.nan  # no degrees of freedom
    z[:, 2] = 0.3 + 0.1 * group  # no residuals
    found = estimate(z, design, Contrast("g", np.array([[0.0, 1.0]])))
    assert np.isnan(found.statistic).tolist() == [True, True, True, False]
    for name in ("p", "effect", "standard_error", "ci_low", "d", "partial_r", "degrees_of_freedom"):
        assert np.isnan(getattr(found, name)).tolist() == [True, True, True, False]
    assert found.n.tolist() == [5, 2, 10, 10]


@pytest.mark.parametrize("fewer", [np.s_[:], np.s_[5:], np.s_[4:], np.s_[1:]])
def test_edges_that_a_variance_group_lacks(fewer):
    z = np.random.default_rng(3).standard_normal((10, 2))
    groups = np.repeat([0, 1], 5)
    z[fewer, 0] = np.nan
    contrast = Contrast("g", np.array([[-1.0, 1.0]]))
    found = estimate(z, np.eye(2)[groups], contrast, variance_groups=groups)
    assert np.isnan(found.p).tolist() == [True, False]


def test_no_edges():
    found = estimate(np.zeros((5, 0)), np.ones((5, 1)), Contrast("m", np.ones((1, 1))))
    assert found.p.shape == (0,)


def test_blocks_of_columns_change_nothing(study, tmp_path):
    z, design, _ = study
    wide = np.tile(z, 5000).astype(np.float32)
    np.save(tmp_path / "z.npy", wide)
    mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
    contrast = Contrast("age", np.array([[0, 0, 0, 1.0]]))
    found = estimate(mapped, design, contrast).statistic.reshape(5000, 12)
    expected = estimate(z.astype(np.float32), design, contrast).statistic
    np.testing.assert_allclose(found, np.tile(expected, (5000, 1)))


@pytest.mark.parametrize(
    ("design", "weights", "message"),
    [
        (np.ones((5, 2)), [[1.0, 0]], "full rank"),
        (np.eye(2), [[1.0, 0]], "full rank"),
        (np.eye(5)[:, :2] * [1, 0], [[1.0, 0]], "full rank"),
        (np.eye(5)[:, :2], [1.0, 0], r"shape \(q, 2\)"),
        (np.eye(5)[:, :2], [[1.0, 0, 0]], r"shape \(q, 2\)"),
        (np.eye(5)[:, :2], [[1.0, 0], [2, 0]], "not independent"),
    ],
)
def test_models_that_cannot_be_fitted(design, weights, message):
    with pytest.raises(ValueError, match=message):
        estimate(np.zeros((len(design), 3)), design, Contrast("c", np.array(weights)))


@pytest.mark.parametrize("unit", [1e-20, 1e12])
def test_units_of_columns_do_not_matter(study, unit):
    z, design, group = study
    contrasts = [Contrast("age", np.array([[0, 0, 0, 1.0]])), Contrast("any", np.eye(4)[1:])]
    for groups in (None, group):
        expected = estimates(z, design, contrasts, variance_groups=groups)
        scaled = estimates(z, design * [1, 1, 1, unit], contrasts, variance_groups=groups)
        for name in ("statistic", "p", "partial_r", "degrees_of_freedom"):
            for own, plain in zip(scaled, expected, strict=True):
                np.testing.assert_allclose(getattr(own, name), getattr(plain, name), rtol=1e-6)
        np.testing.assert_allclose(scaled[0].effect * unit, expected[0].effect, rtol=1e-6)


def test_a_row_more_than_terms_is_enough():
    z = np.array([[1.0, 2], [2, 2.5], [5, 9]])
    design = np.column_stack([np.ones(3), [0.0, 1, 3]])
    found = estimate(z, design, Contrast("x", np.array([[0.0, 1]])))
    assert found.degrees_of_freedom.tolist() == [1, 1]
    expected = stats.linregress(design[:, 1], z[:, 1])
    assert found.p[1] == pytest.approx(expected.pvalue)


def test_one_tail_with_variance_groups(study):
    z, _, group = study
    chosen = group < 2
    cells = np.eye(2)[group[chosen]]
    difference = Contrast("1 - 0", np.array([[-1.0, 1.0]]))
    for tail, alternative in (("positive", "greater"), ("negative", "less")):
        found = estimate(
            z[chosen, 4:],
            cells,
            difference,
            variance_groups=group[chosen],
            tail=tail,
            confidence=0.8,
        )
        welch = stats.ttest_ind(
            z[group == 1, 4:], z[group == 0, 4:], equal_var=False, alternative=alternative
        )
        np.testing.assert_allclose(found.p, welch.pvalue)
        both = stats.ttest_ind(z[group == 1, 4:], z[group == 0, 4:], equal_var=False)
        low, high = both.confidence_interval(0.8)
        np.testing.assert_allclose([found.ci_low, found.ci_high], [low, high])
