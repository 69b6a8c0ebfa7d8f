"""Benchmarks of motion: formulas, and a simulated dataset in which motion does what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from bids_spheres.group.edges import modularity
from bids_spheres.group.head_motion import benchmark
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import correlations, new_outputs, read_tsv, upper


def test_benchmark_by_scipy(rng):
    distance = rng.uniform(10, 150, 300)
    fd = rng.gamma(2, 0.1, 25)
    edges = rng.standard_normal((25, 300)) + 8 * fd[:, None] * (1 - distance / 150)
    each = [stats.pearsonr(fd, edge) for edge in edges.T]
    r = np.array([one.statistic for one in each])
    r[7] = np.nan
    left = benchmark(r, np.array([one.pvalue for one in each]), distance)
    known = np.arange(300) != 7
    assert left.edges == 299
    assert left.median == np.median(np.abs(r[known]))
    assert left.share == np.mean([one.pvalue < 0.05 for one in each[:7] + each[8:]])
    spearman = stats.spearmanr(r[known], distance[known]).statistic
    np.testing.assert_allclose(left.spearman, spearman, rtol=1e-12)
    pearson = stats.pearsonr(r[known], distance[known]).statistic
    np.testing.assert_allclose(left.pearson, pearson, rtol=1e-12)


def test_benchmark_of_nothing():
    left = benchmark(np.array([np.nan]), np.array([np.nan]), np.ones(1))
    assert left.edges == 0
    assert np.isnan([left.median, left.share, left.spearman, left.pearson]).all()


@pytest.mark.parametrize("k", [2, 3, 7])
def test_modularity_of_cliques_without_links(k):
    # Newman & Girvan 2004: k equal parts without links between them have 1 - 1 / k.
    networks = tuple(np.repeat([f"n{i}" for i in range(k)], 4))
    matrix = np.equal.outer(np.array(networks), np.array(networks)).astype(float)
    assert modularity(matrix, networks) == pytest.approx(1 - 1 / k)


def test_modularity_of_one_network_is_zero(rng):
    matrix = np.abs(rng.standard_normal((6, 6)))
    assert modularity(matrix + matrix.T, ("a",) * 6) == pytest.approx(0)


def test_modularity_by_its_sum(rng):
    matrix = rng.standard_normal((9, 9))
    matrix += matrix.T
    matrix[2, 5] = matrix[5, 2] = np.nan
    networks = ("a", "b", "a", "n/a", "c", "Uncertain", "c", "a", "b")
    left = [i for i, network in enumerate(networks) if network in "abc"]
    weights = {
        (i, j): max(matrix[i, j], 0) if i != j and not np.isnan(matrix[i, j]) else 0.0
        for i in left
        for j in left
    }
    strength = {i: sum(weights[i, j] for j in left) for i in left}
    total = sum(strength.values())
    expected = sum(
        weights[i, j] - strength[i] * strength[j] / total
        for i in left
        for j in left
        if networks[i] == networks[j]
    )
    assert modularity(matrix, networks) == pytest.approx(expected / total)


def test_modularity_without_networks_or_weights():
    assert np.isnan(modularity(np.ones((3, 3)), ("n/a",) * 3))
    assert np.isnan(modularity(-np.ones((3, 3)), ("a", "a", "b")))


# A simulated dataset

N_PARTICIPANTS, N_VOLUMES, N_NODES, REACH = 60, 200, 30, 40.0


@pytest.fixture(scope="module")
def simulated():
    """Series of participants who move more or less, and where the spheres are.

    Each moved volume adds an artefact that spheres share the more the closer they are:
    correlated exp(-(d / 40 mm)^2). Spheres of one network correlate 0.3 otherwise.
    """
    rng = np.random.default_rng(2017)
    points = rng.uniform(-60, 60, (N_NODES, 3))
    networks = np.arange(N_NODES) % 3
    truth = np.where(np.equal.outer(networks, networks), 0.3, 0.0)
    np.fill_diagonal(truth, 1)
    alike = np.exp(-((squareform(pdist(points)) / REACH) ** 2)) + 1e-9 * np.eye(N_NODES)
    signal, artefact = np.linalg.cholesky(truth), np.linalg.cholesky(alike)
    series, moved = [], rng.integers(1, 40, N_PARTICIPANTS)
    for n_moved in moved:
        clean = rng.standard_normal((N_VOLUMES, N_NODES)) @ signal.T
        dirt = np.zeros_like(clean)
        dirt[:n_moved] = 2 * rng.standard_normal((n_moved, N_NODES)) @ artefact.T
        series.append((clean, dirt))
    return points, [f"n{i}" for i in networks], series, moved


@pytest.fixture(scope="module")
def compared(simulated, tmp_path_factory):
    """The table of three strategies: nothing done, moved volumes censored, and no motion at all."""
    points, networks, series, moved = simulated
    outputs = new_outputs(tmp_path_factory.mktemp("simulated") / "out")
    outputs.points, outputs.networks = points, networks
    for i, ((clean, dirt), n_moved) in enumerate(zip(series, moved, strict=True)):
        label, fd = f"{i:02d}", {"MeanFramewiseDisplacement": 0.05 + n_moved / N_VOLUMES}
        volumes = {"NumberOfVolumes": N_VOLUMES, **fd}
        left = int(N_VOLUMES - n_moved)
        kept = {"NumberOfVolumesKept": left, "DegreesOfFreedom": left - 2}
        whole = {"NumberOfVolumesKept": N_VOLUMES, "DegreesOfFreedom": N_VOLUMES - 2}
        for strategy, values, rest in (
            ("none", clean + dirt, whole),
            ("censored", clean[n_moved:], kept),
            ("ideal", clean, whole),
        ):
            matrix = np.corrcoef(values.T)
            facts = {**volumes, **rest}
            outputs.add(label, matrix, strategy=strategy, **facts)
    assert run_group(outputs.root, GroupOptions()) == []
    return outputs, read_tsv(outputs.root / "group" / "strategies.tsv").set_index("strategy")


@pytest.mark.slow
def test_motion_is_seen_where_it_is_and_nowhere_else(compared, simulated):
    outputs, table = compared
    points, _, _, moved = simulated
    n_edges = N_NODES * (N_NODES - 1) // 2
    # Chance: the median of |r| is 0.6745 / sqrt(n - 1), 5 % of edges are significant. Edges share
    # nodes and participants, so that the share scatters more than a binomial one.
    chance = 0.6745 / np.sqrt(N_PARTICIPANTS - 1)
    for clean in ("censored", "ideal"):
        assert table.loc[clean, "qc_fc_median"] == pytest.approx(chance, rel=0.2)
        assert table.loc[clean, "qc_fc_significant"] == pytest.approx(0.05, abs=0.03)
        assert abs(table.loc[clean, "qc_fc_distance_spearman"]) < 4 / np.sqrt(n_edges)
    assert table.loc["none", "qc_fc_median"] > 2 * chance
    assert table.loc["none", "qc_fc_significant"] > 0.3
    assert table.loc["none", "qc_fc_distance_spearman"] < -0.5
    # Every edge's correlation with motion is that of what was written.
    fd = 0.05 + moved / N_VOLUMES
    files = [outputs.root / f"sub-{i:02d}" / "func" for i in range(N_PARTICIPANTS)]
    paths = [next(f.glob("*pearson*_desc-none_relmat.tsv")) for f in files]
    z = [np.arctanh(upper(read_tsv(path).drop(columns="Node"))) for path in paths]
    expected = [stats.pearsonr(fd, edge).statistic for edge in np.transpose(z)]
    edges = outputs.result("edges", strategy="none")
    np.testing.assert_allclose(edges["qc_fc"], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(edges["distance"], pdist(points), rtol=1e-9)


def test_networks_are_seen_the_better_the_less_motion(compared):
    _, table = compared
    # Without noise: within 0.3, between 0, and three equal networks: 1 - 1 / 3. Positive
    # parts of noise around 0 lower it.
    assert 0.25 < table.loc["ideal", "modularity"] < 2 / 3
    assert table.loc["none", "modularity"] < table.loc["censored", "modularity"]


def test_the_price_of_a_strategy(compared, simulated):
    _, table = compared
    moved = simulated[3]
    assert table.loc["none", "degrees_of_freedom_lost"] == pytest.approx(2)
    assert table.loc["censored", "degrees_of_freedom_lost"] == pytest.approx(2 + moved.mean())
    assert table.loc["censored", "censored"] == pytest.approx(moved.mean() / N_VOLUMES)
    assert table.loc["none", "censored"] == 0
    assert (table["participants"] == N_PARTICIPANTS).all()
    assert (table["qc_fc_edges"] == N_NODES * (N_NODES - 1) // 2).all()
    np.testing.assert_allclose(table["mean_fd"].loc["none"], np.mean(0.05 + moved / N_VOLUMES))


def test_modularity_of_precision_is_that_of_partial_correlations(outputs, rng):
    """Which are positive where precision is negative; means are over participants."""
    matrices = []
    for label in ("01", "02", "03"):
        matrix = -correlations(rng, 5, shared=0.8)
        matrices.append(matrix)
        outputs.add(label, matrix, stat="precision", ValidDiagonal=True)
    assert run_group(outputs.root, GroupOptions()) == []
    [row] = read_tsv(outputs.root / "group" / "strategies.tsv").to_dict("records")
    expected = modularity(-np.mean(matrices, axis=0), outputs.networks)
    assert row["modularity"] == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(modularity(np.mean(matrices, axis=0), outputs.networks))


def test_modularity_of_correlations_is_not_that_of_fishers_z(outputs, rng):
    matrices = [correlations(rng, 5, shared=2.0) for _ in range(3)]
    for i, matrix in enumerate(matrices):
        outputs.add(f"{i:02d}", matrix)
    assert run_group(outputs.root, GroupOptions()) == []
    [row] = read_tsv(outputs.root / "group" / "strategies.tsv").to_dict("records")
    z = np.mean([np.arctanh(matrix - np.eye(5)) for matrix in matrices], axis=0)
    expected = modularity(np.tanh(z), outputs.networks)
    assert row["modularity"] == pytest.approx(expected, rel=1e-6)
    assert modularity(z, outputs.networks) != pytest.approx(expected, rel=1e-3)
