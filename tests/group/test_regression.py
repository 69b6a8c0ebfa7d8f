"""Regressions of many edges, exact against statsmodels, also where edges lack participants."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests

from bids_spheres.group.regression import Design, EdgeRegression


def fitted(design, edges):
    people = tuple(f"sub-{i:02d}" for i in range(len(design)))
    terms = tuple(f"x{k}" for k in range(design.shape[1]))
    regression = EdgeRegression(Design(people, terms, design), edges.shape[1])
    for participant, values in zip(people, edges, strict=True):
        regression.add(participant, values)
    return regression.result()


def assert_as_statsmodels(result, design, edges):
    for edge, values in enumerate(edges.T):
        there = ~np.isnan(values)
        expected = sm.OLS(values[there], design[there]).fit()
        assert result.n[edge] == there.sum()
        assert result.freedom[edge] == expected.df_resid
        np.testing.assert_allclose(result.coefficients[edge], expected.params, rtol=1e-8)
        np.testing.assert_allclose(result.errors[edge], expected.bse, rtol=1e-8)
        t, p = np.transpose([(test.t[edge], test.p[edge]) for test in result.tests])
        np.testing.assert_allclose(t, expected.tvalues, rtol=1e-8)
        np.testing.assert_allclose(p, expected.pvalues, rtol=1e-6)


@pytest.fixture
def design(rng):
    """Intercept, a year of birth, a rare group, and an interaction."""
    year = rng.integers(1940, 2005, 40).astype(float)
    rare = (np.arange(40) % 8 == 0).astype(float)
    return np.column_stack([np.ones(40), year, rare, year * rare])


@pytest.fixture
def edges(rng, design):
    return 0.3 + 0.001 * design[:, [1]] + rng.standard_normal((40, 12))


def test_complete_edges(design, edges):
    assert_as_statsmodels(fitted(design, edges), design, edges)


def test_edges_that_lack_different_participants(rng, design, edges):
    edges[rng.random(edges.shape) < 0.3] = np.nan
    edges[:, 0] = np.where(np.arange(40) < 24, edges[:, 0], np.nan)
    assert np.isnan(edges).any(axis=0).all()
    assert_as_statsmodels(fitted(design, edges), design, edges)


def test_correction_for_the_number_of_edges(design, edges):
    result = fitted(design, edges)
    for test in result.tests:
        expected = multipletests(test.p, method="fdr_bh")[1]
        np.testing.assert_allclose(test.q, expected, rtol=1e-10)


def test_a_mean_a_million_times_its_spread(rng, design):
    # Sums of squares keep 16 - 2 x 6 digits of the spread.
    edges = 1e6 + rng.standard_normal((40, 3))
    result = fitted(design, edges)
    for edge, values in enumerate(edges.T):
        expected = sm.OLS(values - 1e6, design).fit()
        np.testing.assert_allclose(result.errors[edge], expected.bse, rtol=1e-2)


def test_an_edge_of_which_a_term_is_lost_has_no_coefficients(design, edges):
    edges[design[:, 2] == 1, 0] = np.nan  # nobody of the rare group has it
    edges[4:, 1] = np.nan  # as many participants as terms
    edges[:, 2] = np.nan
    result = fitted(design, edges)
    assert np.isnan(result.coefficients[:3]).all()
    assert np.isnan([test.p[:3] for test in result.tests]).all()
    assert result.unsolved == 3
    assert_as_statsmodels_from(result, design, edges, first=3)


def assert_as_statsmodels_from(result, design, edges, first):
    for edge in range(first, edges.shape[1]):
        expected = sm.OLS(edges[:, edge], design).fit()
        np.testing.assert_allclose(result.coefficients[edge], expected.params, rtol=1e-8)


def test_a_perfect_fit_is_not_tested(design):
    result = fitted(design, design[:, [1]] / 100)
    np.testing.assert_allclose(result.coefficients[0], [0, 0.01, 0, 0], atol=1e-9)
    assert np.isnan(result.errors).all()


def test_those_who_are_not_in_the_design_do_not_count():
    regression = EdgeRegression(Design(("a", "b", "c"), ("x",), np.ones((3, 1))), 2)
    for participant, values in (("a", 1.0), ("z", 100.0), ("b", 2.0), ("c", 6.0)):
        regression.add(participant, np.full(2, values))
    result = regression.result()
    np.testing.assert_allclose(result.coefficients, 3.0)
    np.testing.assert_allclose(result.errors, np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    assert result.participants == 3


def test_a_participant_of_the_design_who_never_comes(rng):
    design = np.column_stack([np.ones(9), rng.standard_normal(9)])
    edges = rng.standard_normal((9, 2))
    edges[3, 1] = np.nan
    people = tuple("abcdefghi")
    regression = EdgeRegression(Design(people, ("one", "x"), design), 2)
    for participant, values in list(zip(people, edges, strict=True))[:8]:
        regression.add(participant, values)
    assert_as_statsmodels(regression.result(), design[:8], edges[:8])


def test_no_participant_at_all():
    result = EdgeRegression(Design(("a", "b"), ("x",), np.ones((2, 1))), 2).result()
    assert np.isnan(result.coefficients).all()
