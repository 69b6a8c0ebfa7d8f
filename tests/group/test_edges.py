from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.edges import Edges, NetworkMeans, Scale

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
