"""Edges, means of networks, and sums over participants against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bids_spheres.engine.connectivity import Moments
from bids_spheres.group.edges import (
    Edges,
    NetworkMeans,
    Scale,
    confidence_limits,
    edge_ends,
    false_discovery_rate,
    fisher_z_variance,
    mean_along,
    mean_of_known,
)

NAMES = tuple("abcde")
NETWORKS = ("x", "y", "x", "n/a", "y")


@pytest.mark.parametrize("diagonal", [False, True])
def test_edges_of_a_matrix_and_back(rng, diagonal):
    matrix = rng.standard_normal((5, 5))
    matrix += matrix.T
    edges = Edges(NAMES, NETWORKS, diagonal)
    assert len(edges) == (15 if diagonal else 10)
    np.testing.assert_array_equal(edges.matrix(edges.of(matrix), np.diag(matrix)), matrix)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_table_of_edges_says_where_each_is(rng, diagonal):
    matrix = rng.standard_normal((5, 5))
    edges = Edges(NAMES, NETWORKS, diagonal)
    values = edges.of(matrix)
    for row in edges.table().itertuples():
        i, j = NAMES.index(row.node_1), NAMES.index(row.node_2)
        assert values[row.edge - 1] == matrix[i, j]
        assert (row.network_1, row.network_2) == (NETWORKS[i], NETWORKS[j])


@pytest.mark.parametrize("diagonal", [False, True])
def test_network_means_by_hand(diagonal):
    edges = Edges(NAMES, NETWORKS, diagonal)
    first, second = np.full((2, 5, 5), 9.0)  # d has no network, and must not count
    for matrix, shift in ((first, 0.0), (second, 1.0)):
        matrix[0, 2] = 0.1 + shift  # x with x
        matrix[1, 4] = 0.2 + shift  # y with y
        matrix[0, 1], matrix[0, 4], matrix[1, 2], matrix[2, 4] = np.arange(4) / 10 + shift
    second[0, 1] = np.nan
    means = NetworkMeans(edges)
    for matrix in (first, second):
        means.add(edges.of(matrix))
    table = means.table(Scale("covariance")).set_index(["network_1", "network_2"])
    assert table.index.tolist() == [("x", "x"), ("x", "y"), ("y", "y")]
    assert table["edges"].tolist() == [1, 4, 1]
    assert table["n"].tolist() == [2, 2, 2]
    # Between: 0.15 of four edges in the first, (0.1 + 0.2 + 0.3) / 3 + 1 of three in the second.
    np.testing.assert_allclose(table["mean"], [0.6, (0.15 + 1.2) / 2, 0.7], rtol=1e-12)
    np.testing.assert_allclose(table["sd"], np.array([1, 1.05, 1]) / np.sqrt(2), rtol=1e-12)
    # Student's t with one degree of freedom: its 97.5 % quantile is tan(0.475 pi).
    reach = np.tan(0.475 * np.pi) * np.array([0.5, 0.525, 0.5])
    np.testing.assert_allclose(table["ci_high"] - table["mean"], reach, rtol=1e-9)


def test_network_means_of_correlations_are_transformed_back(rng):
    edges = Edges(tuple("abc"), ("x", "x", "x"), diagonal=False)
    z = rng.normal(0.4, 0.2, (12, 3))
    means = NetworkMeans(edges)
    for row in z:
        means.add(row)
    (row,) = means.table(Scale("pearsoncorrelation")).itertuples()
    person = z.mean(axis=1)
    reach = 2.2009851600829 * person.std(ddof=1) / np.sqrt(12)  # t of 11 degrees, tables
    np.testing.assert_allclose(row.mean, np.tanh(person.mean()), rtol=1e-12)
    np.testing.assert_allclose(row.ci_low, np.tanh(person.mean() - reach), rtol=1e-9)
    np.testing.assert_allclose(row.ci_high, np.tanh(person.mean() + reach), rtol=1e-9)


@pytest.mark.parametrize("word", ["n/a", "Uncertain", "unassigned"])
def test_seeds_without_networks(word):
    edges = Edges(("a", "b"), (word, word), diagonal=False)
    means = NetworkMeans(edges)
    means.add(np.array([0.3]))
    assert means.names == []
    assert means.table(Scale("fisherz")).empty


def test_a_network_of_one_node_has_no_edge_within():
    means = NetworkMeans(Edges(("a", "b"), ("x", "y"), diagonal=False))
    means.add(np.array([0.3]))
    table = means.table(Scale("fisherz"))
    assert table[["network_1", "network_2", "mean"]].values.tolist() == [["x", "y", 0.3]]


VALUES = st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))


@pytest.mark.parametrize(
    ("stat", "transformed", "tested", "connectivity", "sign"),
    [
        *((f"{name}correlation", True, True, True, 1) for name in ("pearson", "partial")),
        *((f"{name}correlation", True, True, True, 1) for name in ("ledoitwolf", "spearman")),
        ("fisherz", False, True, True, 1),
        ("covariance", False, False, True, 1),
        ("precision", False, False, True, -1),
        ("effectivedof", False, False, False, 1),
    ],
)
def test_scales_of_measures(stat, transformed, tested, connectivity, sign):
    scale = Scale(stat)
    assert (scale.transformed, scale.tested) == (transformed, tested)
    assert (scale.connectivity, scale.sign) == (connectivity, sign)
    assert scale.name == ("Fisher z" if tested else "as the measure")
    forth = np.arctanh(0.5) if transformed else 0.5
    assert scale.forth(np.array([0.5])) == pytest.approx(forth)
    assert scale.back(np.array([forth])) == pytest.approx(0.5)
    # Rounding may take a correlation beyond 1, by a little.
    assert scale.possible(np.array([np.nan, -1 - 5e-7, 1 + 5e-7]))
    for beyond in (1 + 5e-6, -1 - 5e-6):
        assert scale.possible(np.array([0, beyond])) is not transformed


def moments_of(rows):
    moments = Moments(rows.shape[1])
    for row in rows:
        moments.add(row)
    return moments


@pytest.fixture
def rows(rng):
    """30 participants, 6 edges; of three, some participants lack them."""
    rows = rng.standard_normal((30, 6)) + 0.3
    rows[3:9, 1] = np.nan
    rows[2:, 2] = np.nan
    rows[:, 3] = np.nan
    return rows


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=VALUES))
def test_moments_are_those_of_numpy(rows):
    moments = moments_of(rows)
    for column, n, mean, sd in zip(rows.T, moments.n, moments.known_mean, moments.sd, strict=True):
        known = column[~np.isnan(column)]
        assert n == len(known)
        expected = known.mean() if n else np.nan
        np.testing.assert_allclose(mean, expected, rtol=1e-10, atol=1e-10)
        expected = known.std(ddof=1) if n > 1 else np.nan
        np.testing.assert_allclose(sd, expected, rtol=1e-7, atol=1e-7)


def test_spread_survives_a_mean_a_billion_times_as_large(rng):
    rows = rng.standard_normal((200, 3))
    np.testing.assert_allclose(moments_of(rows + 1e9).sd, rows.std(axis=0, ddof=1), rtol=1e-6)


def test_confidence_limits_are_those_of_scipy(rows):
    limits = np.transpose(confidence_limits(moments_of(rows)))
    for edge in (0, 1, 2):
        known = rows[~np.isnan(rows[:, edge]), edge]
        expected = stats.ttest_1samp(known, 0).confidence_interval(0.95)
        np.testing.assert_allclose(limits[edge], expected, rtol=1e-10)
    assert np.isnan(limits[3]).all()


def test_false_discovery_rate_by_its_definition(rng):
    p = rng.uniform(size=40) ** 3
    p[[4, 17]] = np.nan
    known = np.flatnonzero(~np.isnan(p))
    q = false_discovery_rate(p)
    for edge in known:
        # The smallest level at which the step-up procedure rejects this one.
        levels = [
            p[other] * len(known) / np.sum(p[known] <= p[other])
            for other in known
            if p[other] >= p[edge]
        ]
        np.testing.assert_allclose(q[edge], min(1, *levels, 1), rtol=1e-12)
    assert np.isnan(q[[4, 17]]).all()


def test_false_discovery_rate_of_nothing():
    assert np.isnan(false_discovery_rate(np.array([np.nan]))).all()
    assert false_discovery_rate(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("degrees_of_freedom", [2, 3, 5, 10, 40])
def test_the_variance_of_fishers_z_is_that_of_white_series(rng, degrees_of_freedom):
    n_pairs = 40_000
    # Series of v + 1 volumes have v degrees of freedom without their mean.
    first, second = rng.standard_normal((2, degrees_of_freedom + 1, n_pairs))
    first, second = (stats.zscore(series) for series in (first, second))
    z = np.arctanh((first * second).mean(axis=0))
    assert fisher_z_variance(degrees_of_freedom) == pytest.approx(z.var(), rel=0.06)


def test_runs_that_count_by_that_variance_have_the_best_mean(rng):
    """A short run with a long one: no other weights make a mean of less variance."""
    short, long = (
        np.arctanh(stats.pearsonr(*rng.standard_normal((2, v + 1, 40_000))).statistic)
        for v in (3, 20)
    )

    def variance(weights):
        return np.average([short, long], axis=0, weights=weights).var()

    best = variance([1 / fisher_z_variance(3), 1 / fisher_z_variance(20)])
    assert best < variance([3, 20])
    assert best < variance([1, 1])
    assert best == pytest.approx(1 / sum(1 / fisher_z_variance(v) for v in (3, 20)), rel=0.03)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("a,b", (0, 1)),
        (" c , a ", (2, 0)),
        ("a,a", None),
        ("a,d", None),
        ("a", None),
        ("b, left,c", (3, 2)),
        ("c,b, left", (2, 3)),
        ("b, left, b", (3, 1)),
        (",a", None),
    ],
)
def test_places_of_named_nodes(text, ends):
    assert edge_ends(text, ("a", "b", "c", "b, left")) == ends


def test_means_without_missing_values():
    values = np.array([[1.0, np.nan, 3], [np.nan, np.nan, 5]])
    np.testing.assert_array_equal(mean_along(values, 0), [1, np.nan, 4])
    np.testing.assert_array_equal(mean_along(values, 1), [2, 5])
    assert mean_of_known(iter([2.0, np.nan, np.inf, 7.0])) == 4.5
    assert np.isnan(mean_of_known([np.nan]))
    assert np.isnan(mean_of_known([]))


def test_pairs_of_networks_of_edges_and_columns_beside_them():
    means = NetworkMeans(Edges(tuple("abcd"), ("y", "x", "n/a", "y"), diagonal=False))
    assert means.names == ["y", "x"]
    # Edges ab, ac, ad, bc, bd, cd; pairs yy, yx, xx.
    assert means.pair_of_edge.tolist() == [1, -1, 0, -1, 1, -1]
    np.testing.assert_array_equal(means.means(np.array([2.0, 9, 5, 9, np.nan, 9])), [5, 2, np.nan])
    table = means.pairs(value=[10, 20, 30])
    assert table.to_dict("records") == [
        {"network_1": "y", "network_2": "y", "edges": 1, "value": 10},
        {"network_1": "y", "network_2": "x", "edges": 2, "value": 20},
    ]
