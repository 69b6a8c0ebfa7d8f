"""Permutations of the group level from the command line, against all arrangements by hand."""

from __future__ import annotations

import json
from itertools import combinations, permutations, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from scipy import stats
from scipy.sparse.csgraph import connected_components

from bids_spheres.group.formula import read_formula
from bids_spheres.group.inference import Contrast, MaxT
from bids_spheres.group.model import Design, Model, design_for
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.stream import ParticipantEdges
from bids_spheres.group.testing import (
    Hypotheses,
    Rows,
    Sample,
    design_of,
    permuted,
    sample_of_model,
)
from bids_spheres.group.workflow import run_group
from tests.group.conftest import PEARSON, correlations, read_tsv, upper, without

S = 5
ENDS = np.column_stack(np.triu_indices(S, 1))
ALL = ("--inference", "fdr", "maxt", "nbs", "tfnbs", "cnbs")
PAIRS = (("default", "default"), ("default", "visual"), ("visual", "visual"))


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level without a page."""

    def run(outputs, *words):
        return run_app(tmp_path / "no", outputs.root, "group", "--report-level", "none", *words)

    return run


def fill(outputs, rng, n, *, lacking=(), **columns):
    """Participants with columns; Fisher z of their edges."""
    labels = [f"{i:02d}" for i in range(1, n + 1)]
    matrices = [correlations(rng, S, shared=rng.uniform(0, 0.9)) for _ in labels]
    for i in lacking:
        matrices[i] = without(matrices[i], 4)
    for label, matrix in zip(labels, matrices, strict=True):
        outputs.add(label, matrix)
    outputs.participants(participant_id=labels, **columns)
    return np.arctanh([upper(matrix) for matrix in matrices])


def table_of(outputs, contrast, what):
    path = outputs.path(f"stat-{PEARSON}_desc-simple_contrast-{contrast}_{what}.tsv")
    return read_tsv(path), json.loads(path.with_suffix(".json").read_text())


def test_variances_are_those_of_the_participants_in_the_model(rng, tmp_path):
    """One lacks a variable, and comes before others who have it."""
    labels = [f"sub-{i}" for i in range(1, 7)]
    z, variances = rng.standard_normal((6, 3)), rng.uniform(0.01, 0.2, (6, 3))
    rows = Rows(3)
    for own in zip(labels, z, variances, strict=True):
        rows.add(own[0], ParticipantEdges(*own[1:], {}))
    table = pd.DataFrame({"age": [20, 31, np.nan, 25, 36, 47]}, index=labels)
    model = Model(read_formula("age"), table, tmp_path / "participants.tsv")
    design = design_for(model, dict.fromkeys(labels, 0.1))
    sample = sample_of_model(rows, design, GroupOptions(model="age", weights="precision"))
    kept = [0, 1, 3, 4, 5]
    assert sample.design.participants == tuple(labels[i] for i in kept)
    np.testing.assert_array_equal(sample.rows, z[kept])
    np.testing.assert_array_equal(sample.variances, variances[kept])


def mean_t(z):
    return z.mean(axis=0) / (z.std(axis=0, ddof=1) / np.sqrt(len(z)))


def extents_and_intensities(t, threshold):
    """Of the component of every edge, positive and negative ones apart."""
    numbers = np.zeros((2, len(t)))
    for sign in (1, -1):
        chosen = np.flatnonzero(sign * t > threshold)
        graph = np.zeros((S, S))
        graph[tuple(ENDS[chosen].T)] = 1
        labels = connected_components(graph, directed=False)[1]
        for edge in chosen:
            own = [e for e in chosen if labels[ENDS[e, 0]] == labels[ENDS[edge, 0]]]
            numbers[:, edge] = len(own), np.sum(sign * t[own] - threshold)
    return numbers


def tfnbs(t, extent=0.4, height=3.0, step=0.1):
    scores = np.zeros(len(t))
    for h in np.arange(1, int(np.abs(t).max() / step) + 2) * step:
        numbers = extents_and_intensities(t, h - 1e-9)[0]
        scores += np.where(numbers > 0, numbers**extent * h**height * step, 0)
    return np.sign(t) * scores


def network_means(t):
    of_node = ["default", "default", "visual", "visual", None]
    of_edge = [tuple(sorted((of_node[i] or "", of_node[j] or ""))) for i, j in ENDS]
    return np.array([t[[pair == own for own in of_edge]].mean() for pair in PAIRS])


def share(values, observed):
    """Of arrangements whose value is not below the observed, ties included."""
    return np.mean(np.asarray(values)[:, np.newaxis] >= np.abs(observed) - 1e-9, axis=0)


def test_all_flips_of_a_mean(outputs, rng, call):
    z = fill(outputs, rng, 7)
    powers = ("--tfnbs-extent", "0.7", "--tfnbs-height", "2", "--tfnbs-step", "0.2")
    done = call(outputs, *ALL, "--nbs-threshold", "2", *powers)
    assert done.status == 0, done.err
    maps = [mean_t(z * np.array(signs)[:, np.newaxis]) for signs in product((1, -1), repeat=7)]
    t, maxima = maps[0], [np.abs(m).max() for m in maps]
    edges, about = table_of(outputs, "mean", "edges")
    np.testing.assert_allclose(edges["t"], t, rtol=1e-7)
    np.testing.assert_allclose(edges["p_maxt"], share(maxima, t))
    own = [np.mean([abs(m[e]) >= abs(t[e]) - 1e-9 for m in maps]) for e in range(len(t))]
    np.testing.assert_allclose(edges["p_permutation"], own)
    numbers = [extents_and_intensities(m, 2) for m in maps]
    for k, name in enumerate(("p_nbs_extent", "p_nbs_intensity")):
        expected = share([n[k].max() for n in numbers], numbers[0][k])
        np.testing.assert_allclose(edges[name], np.where(numbers[0][k] > 0, expected, 1))
    scores = [tfnbs(m, extent=0.7, height=2.0, step=0.2) for m in maps]
    np.testing.assert_allclose(edges["tfnbs"], scores[0], rtol=1e-7)
    np.testing.assert_allclose(
        edges["p_tfnbs"], share([np.abs(s).max() for s in scores], scores[0])
    )
    assert about["Exchangeability"] == "sign flips"
    assert about["Weights"] == [{"Intercept": 1}]
    assert (about["Permutations"], about["AllPermutations"]) == (128, True)
    assert about["SmallestP"] == 2 / 128
    assert about["Inference"] == list(ALL[1:])
    assert about["TFNBS"] == {"ExtentPower": 0.7, "HeightPower": 2, "Step": 0.2}
    networks, _ = table_of(outputs, "mean", "cnbs")
    means = [network_means(m) for m in maps]
    assert list(zip(networks["network_1"], networks["network_2"], strict=True)) == list(PAIRS)
    np.testing.assert_allclose(networks["mean_statistic"], means[0], rtol=1e-7)
    np.testing.assert_allclose(networks["p_fwe"], share([np.abs(m).max() for m in means], means[0]))
    own = [np.mean([abs(m[i]) >= abs(means[0][i]) - 1e-9 for m in means]) for i in range(3)]
    np.testing.assert_allclose(networks["p"], own)


@pytest.mark.parametrize(("tail", "sign"), [("positive", 1), ("negative", -1)])
def test_all_flips_of_one_tail(outputs, rng, call, tail, sign):
    z = fill(outputs, rng, 6)
    words = ("--inference", "maxt", "nbs", "tfnbs", "cnbs", "--nbs-threshold", "1.5")
    assert call(outputs, *words, "--tail", tail).status == 0
    maps = [sign * mean_t(z * np.array(own)[:, np.newaxis]) for own in product((1, -1), repeat=6)]
    t = maps[0]

    def p_of(maxima, observed):
        return np.mean(np.array(maxima)[:, np.newaxis] >= observed - 1e-9, axis=0)

    edges, about = table_of(outputs, "mean", "edges")
    np.testing.assert_allclose(edges["t"], sign * t, rtol=1e-7)
    np.testing.assert_allclose(edges["p"], stats.t.sf(t, 5), rtol=1e-6)
    np.testing.assert_allclose(edges["p_maxt"], p_of([m.max() for m in maps], t))
    own = np.mean(np.array(maps) >= t - 1e-9, axis=0)
    np.testing.assert_allclose(edges["p_permutation"], own)
    scores = [tfnbs(np.maximum(m, 0)) for m in maps]
    np.testing.assert_allclose(sign * edges["tfnbs"], scores[0], rtol=1e-7)
    np.testing.assert_allclose(edges["p_tfnbs"], p_of([s.max() for s in scores], scores[0]))
    numbers = [extents_and_intensities(np.maximum(m, 0), 1.5) for m in maps]
    for k, name in enumerate(("p_nbs_extent", "p_nbs_intensity")):
        np.testing.assert_allclose(edges[name], p_of([n[k].max() for n in numbers], numbers[0][k]))
    networks, _ = table_of(outputs, "mean", "cnbs")
    means = [network_means(m) for m in maps]
    np.testing.assert_allclose(networks["p_fwe"], p_of([m.max() for m in means], means[0]))
    assert (about["Tail"], about["SmallestP"]) == (tail, 1 / 64)
    assert about["TFNBS"] == {"ExtentPower": 0.4, "HeightPower": 3, "Step": 0.1}


@pytest.mark.slow
def test_the_smallest_p_of_three_people(outputs, rng, run_as_typed, tmp_path):
    """8 flips, of which the observed one and its opposite have the same |t|."""
    fill(outputs, rng, 3)
    words = ("group", "--inference", "maxt", "--min-participants", "3")
    done = run_as_typed(tmp_path / "no", outputs.root, *words)
    assert done.status == 0, done.err
    said = "all 8 arrangements of 3 participants were used; no p is below 0.25."
    assert said in done.err + done.out
    edges, about = table_of(outputs, "mean", "edges")
    assert (about["Permutations"], about["AllPermutations"], about["SmallestP"]) == (8, True, 0.25)
    assert edges["p_maxt"].min() == 0.25
    assert "the smallest possible p is 0.25" in (outputs.root / "group.html").read_text()


def test_components_and_their_nodes(outputs, rng, call):
    z = fill(outputs, rng, 7)
    call(outputs, "--inference", "nbs", "--nbs-threshold", "2.5")
    t = mean_t(z)
    numbers = extents_and_intensities(t, 2.5)
    table, about = table_of(outputs, "mean", "nbs")
    edges, about_edges = table_of(outputs, "mean", "edges")
    assert len(table) > 0
    assert about["Threshold"] == about_edges["Threshold"] == 2.5
    for row in table.itertuples():
        own = [int(number) - 1 for number in str(row.edge_numbers).split(";")]
        np.testing.assert_allclose(
            numbers[:, own], [[row.edges] * len(own), [row.intensity] * len(own)]
        )
        assert row.nodes.split(";") == [f"s{i}" for i in sorted({*ENDS[own].ravel()})]
        assert row.n_nodes == len(row.nodes.split(";"))
        assert set(np.sign(t[own])) == {row.sign}
        np.testing.assert_allclose(edges["p_nbs_extent"][own], row.p_extent)
        np.testing.assert_allclose(edges["p_nbs_intensity"][own], row.p_intensity)
    call(outputs, "--inference", "nbs", "--nbs-threshold", "500")
    table, about = table_of(outputs, "mean", "nbs")
    assert len(table) == 0
    assert list(table.columns) == [
        *("component", "sign", "edges", "intensity", "p_extent", "p_intensity"),
        *("n_nodes", "nodes", "edge_numbers"),
    ]
    assert (about["Threshold"], about["Permutations"], about["Contrast"]) == (500, 128, "mean")
    assert set(table.columns) < set(about)
    edges, _ = table_of(outputs, "mean", "edges")
    assert (edges[["p_nbs_extent", "p_nbs_intensity"]] == 1).all(axis=None)


def test_each_component_has_a_p_of_its_own(outputs, call):
    """Of two edges that are the same in all, and of one just above the threshold."""
    weak = np.array([0.3, 0.1, 0.4, -0.05, 0.2, 0.35, -0.1])
    z = np.zeros((7, S * (S - 1) // 2))
    z[:] = np.random.default_rng(2).normal(0, 0.02, z.shape)
    z[:, [0, 3]] += 0.8  # s0 with s1 and s4
    z[:, 7] = weak  # s2 with s3
    for i, values in enumerate(z):
        matrix = np.eye(S)
        matrix[tuple(ENDS.T)] = matrix[tuple(ENDS.T[::-1])] = np.tanh(values)
        outputs.add(f"{i:02d}", matrix)
    assert call(outputs, "--inference", "nbs", "--nbs-threshold", "2.2").status == 0
    table, _ = table_of(outputs, "mean", "nbs")
    assert table["nodes"].tolist() == ["s0;s1;s4", "s2;s3"]
    numbers = [
        extents_and_intensities(mean_t(z * np.array(signs)[:, np.newaxis]), 2.2)
        for signs in product((1, -1), repeat=7)
    ]
    for k, name in enumerate(("p_extent", "p_intensity")):
        expected = share([n[k].max() for n in numbers], numbers[0][k])[[0, 7]]
        assert expected[0] < expected[1]
        np.testing.assert_allclose(table[name], expected)


def test_components_of_an_f_test_have_the_p_of_the_threshold(outputs, rng, call):
    """Root of F of 2 and 12 - 3 degrees of freedom that has the p of t of 9."""
    site = list("abc") * 4
    z = fill(outputs, rng, 12, site=site)
    words = ("--model", "site", "--contrast", "b=site[T.b]", "F:site=site", "--inference", "nbs")
    done = call(outputs, *words, "--nbs-threshold", "0.5", "--permutations", "20")
    assert done.status == 0, done.err
    threshold = np.sqrt(stats.f.isf(2 * stats.t.sf(0.5, 9), 2, 9))
    f = stats.f_oneway(*(z[np.array(site) == own] for own in "abc")).statistic
    table, about = table_of(outputs, "site", "nbs")
    assert about["Threshold"] == pytest.approx(threshold)
    edges, about = table_of(outputs, "site", "edges")
    assert about["Threshold"] == pytest.approx(threshold)
    p = edges["p_nbs_extent"]
    assert (p[np.sqrt(f) <= threshold] == 1).all()
    # That of t beside it stays as it is.
    edges, about = table_of(outputs, "b", "edges")
    assert about["Threshold"] == table_of(outputs, "b", "nbs")[1]["Threshold"] == 0.5
    assert (edges["p_nbs_extent"][edges["t"].abs() <= 0.5] == 1).all()
    assert table_of(outputs, "b", "nbs")[0]["edges"].sum() == (edges["t"].abs() > 0.5).sum()
    numbers = extents_and_intensities(np.sqrt(f), threshold)
    assert len(table) > 0
    for row in table.itertuples():
        own = [int(number) - 1 for number in str(row.edge_numbers).split(";")]
        np.testing.assert_allclose(
            numbers[:, own], [[row.edges] * len(own), [row.intensity] * len(own)], rtol=1e-6
        )


@pytest.mark.parametrize("tail", ["positive", "negative"])
def test_coefficients_have_p_of_both_tails_whatever_that_of_contrasts(outputs, rng, call, tail):
    fill(outputs, rng, 7, age=rng.uniform(20, 60, 7))
    words = ("--model", "age", "--contrast", "age=age", "--tail", tail)
    assert call(outputs, *words).status == 0
    model, contrast = outputs.result("model"), table_of(outputs, "age", "edges")[0]
    t, of_age = model["t"], model[model["term"] == "age"]
    np.testing.assert_allclose(model["p"], 2 * stats.t.sf(np.abs(t), 5), rtol=1e-6)
    np.testing.assert_allclose(of_age["t"], contrast["t"], rtol=1e-6)
    sign = 1 if tail == "positive" else -1
    np.testing.assert_allclose(contrast["p"], stats.t.sf(sign * contrast["t"], 5), rtol=1e-6)


def test_components_of_the_negative_tail(outputs, rng, call):
    z = fill(outputs, rng, 12, group=[0, 1] * 6)
    words = ("--model", "group", "--contrast", "d=group", "--inference", "nbs", "--tail")
    found = {}
    for tail in ("two", "positive", "negative"):
        call(outputs, *words, tail, "--nbs-threshold", "0.2", "--permutations", "50")
        found[tail] = table_of(outputs, "d", "nbs")[0]
    assert {*found["positive"]["sign"]} <= {1}
    assert {*found["negative"]["sign"]} <= {-1}
    both = found["two"].groupby("sign")["edges"].sum()
    for tail, sign in (("positive", 1), ("negative", -1)):
        assert found[tail]["edges"].sum() == both.get(sign, 0)
    assert both.sum() > 0
    assert len(z) == 12


def test_all_ways_to_divide_two_groups(outputs, rng, call):
    group = np.array([0, 1, 1, 0, 1, 0])
    z = fill(outputs, rng, 6, group=group)
    words = ("--model", "group", "--contrast", "d=group", "--inference", "maxt")
    assert call(outputs, *words).status == 0
    maps = []
    for chosen in combinations(range(6), 3):
        column = np.isin(np.arange(6), chosen).astype(float)
        maps.append([sm.OLS(y, sm.add_constant(column)).fit().tvalues[1] for y in z.T])
    maps = np.array(maps)
    t = np.array([sm.OLS(y, sm.add_constant(group)).fit().tvalues[1] for y in z.T])
    edges, about = table_of(outputs, "d", "edges")
    np.testing.assert_allclose(edges["p_maxt"], share(np.abs(maps).max(axis=1), t))
    assert (about["Permutations"], about["AllPermutations"]) == (20, True)
    assert about["Exchangeability"] == "permutations"


def test_all_ways_to_divide_three_groups(outputs, rng, call):
    site = np.array(list("abcacb"))
    z = fill(outputs, rng, 6, site=site)
    words = ("--model", "site", "--contrast", "F:any=site", "--inference", "maxt", "cnbs", "nbs")
    words += ("--nbs-threshold", "0.5")
    done = call(outputs, *words, "--tail", "negative")  # F has no tails
    assert done.status == 0, done.err
    ways = sorted(set(permutations(site)))
    maps = np.array(
        [stats.f_oneway(*(z[np.array(way) == own] for own in "abc")).statistic for way in ways]
    )
    f = maps[ways.index(tuple(site))]
    edges, about = table_of(outputs, "any", "edges")
    np.testing.assert_allclose(edges["f"], f, rtol=1e-6)
    np.testing.assert_allclose(edges["p"], stats.f.sf(f, 2, 3), rtol=1e-6)
    eta_squared = 2 * f / (2 * f + 3)
    np.testing.assert_allclose(edges["partial_r"], np.sqrt(eta_squared), rtol=1e-6)
    assert not {"effect", "standard_error", "ci_low", "ci_high", "d", "t"} & set(edges.columns)
    assert set(table_of(outputs, "any", "nbs")[0]["sign"]) == {1}
    np.testing.assert_allclose(
        edges["p_maxt"], (maps.max(axis=1)[:, None] >= f - 1e-6).mean(axis=0)
    )
    np.testing.assert_allclose(edges["p_permutation"], (maps >= f - 1e-6).mean(axis=0))
    networks, _ = table_of(outputs, "any", "cnbs")
    means = np.array([network_means(np.sqrt(own)) for own in maps])
    observed = means[ways.index(tuple(site))]
    np.testing.assert_allclose(networks["mean_statistic"], observed, rtol=1e-6)
    np.testing.assert_allclose(networks["p"], (means >= observed - 1e-6).mean(axis=0))
    # Names of the groups may change places: 3! of 90 ways have the same F.
    assert (about["Tail"], about["Permutations"]) == ("n/a", 90)
    assert about["SmallestP"] == pytest.approx(6 / 90)


def test_blocks_of_pairs_change_places_within_pairs(outputs, rng, call):
    group, family = [0, 1] * 5, [f"f{i // 2}" for i in range(10)]
    z = fill(outputs, rng, 10, group=group, family=family)
    words = ("--model", "group", "--contrast", "d=group", "--inference", "maxt")
    assert call(outputs, *words, "--blocks", "family").status == 0
    maps = []
    for signs in product((0, 1), repeat=5):
        column = np.array([(g + signs[i // 2]) % 2 for i, g in enumerate(group)])
        maps.append([sm.OLS(y, sm.add_constant(column)).fit().tvalues[1] for y in z.T])
    edges, about = table_of(outputs, "d", "edges")
    np.testing.assert_allclose(
        edges["p_maxt"], share(np.abs(maps).max(axis=1), np.array(maps[0])), rtol=1e-9
    )
    assert about["Exchangeability"] == "permutations within blocks of family"
    assert about["Permutations"] == 32
    done = call(outputs, *words, "--blocks", "family", "--whole-blocks")
    assert done.status == 1
    assert "nothing is permuted" in done.err
    mean = ("--inference", "maxt", "--blocks", "family", "--whole-blocks")
    assert call(outputs, *mean).status == 0
    edges, about = table_of(outputs, "mean", "edges")
    flips = [np.repeat(signs, 2)[:, np.newaxis] for signs in product((1, -1), repeat=5)]
    maxima = [np.abs(mean_t(z * signs)).max() for signs in flips]
    np.testing.assert_allclose(edges["p_maxt"], share(maxima, mean_t(z)))
    assert about["Exchangeability"] == "sign flips of whole blocks of family"


def test_random_permutations_agree_with_nilearn(outputs, rng, call):
    age, sex = rng.uniform(20, 60, 30), rng.integers(0, 2, 30)
    z = fill(outputs, rng, 30, age=age, sex=sex)
    words = ("--model", "age + sex", "--contrast", "age=age", "--inference", "maxt")
    assert call(outputs, *words, "--permutations", "2000", "--seed", "3").status == 0
    edges, about = table_of(outputs, "age", "edges")
    theirs = permuted_ols(
        age[:, np.newaxis], z, confounding_vars=sex[:, np.newaxis].astype(float),
        model_intercept=True, n_perm=2000, random_state=1, two_sided_test=True,
    )  # fmt: skip
    t, logp = (theirs["t"], theirs["logp_max_t"]) if isinstance(theirs, dict) else theirs[1::-1]
    np.testing.assert_allclose(np.abs(edges["t"]), np.abs(np.ravel(t)), rtol=1e-6)
    p = 10.0 ** -np.ravel(logp)
    error = 4 * np.sqrt(2 * p * (1 - p) / 2000) + 2 / 2000
    assert (np.abs(edges["p_maxt"] - p) < error).all()
    assert (about["Permutations"], about["AllPermutations"], about["Seed"]) == (2000, False, 3)
    assert about["SmallestP"] == 1 / 2001
    again = edges["p_maxt"].tolist()
    call(outputs, *words, "--permutations", "2000", "--seed", "3")
    assert table_of(outputs, "age", "edges")[0]["p_maxt"].tolist() == again


def test_edges_that_some_lack_are_tested_without_permutations(outputs, rng, call):
    z = fill(outputs, rng, 8, lacking=(1,))
    done = call(outputs, "--inference", "maxt", "nbs")
    assert "4 edges not in permutations, as participants lack them: s0 - s4" in done.err
    edges, about = table_of(outputs, "mean", "edges")
    out = np.isnan(z).any(axis=0)
    assert about["EdgesNotPermuted"] == out.sum() == 4
    assert np.isfinite(edges["p"]).all()
    for name in ("p_maxt", "p_permutation", "p_nbs_extent"):
        np.testing.assert_array_equal(np.isnan(edges[name]), out)


def test_groups_of_different_variance(outputs, rng, call):
    """Welch's t, by scipy, where variance groups are the two groups."""
    group = np.array([0, 1, 1, 0, 0, 0, 1, 0, 0])
    z = fill(outputs, rng, 9, group=group, site=group)
    words = ("--model", "group", "--contrast", "d=group", "--variance-groups", "site")
    assert call(outputs, *words).status == 0
    edges, about = table_of(outputs, "d", "edges")
    expected = stats.ttest_ind(z[group == 1], z[group == 0], equal_var=False)
    np.testing.assert_allclose(edges["t"], expected.statistic, rtol=1e-7)
    np.testing.assert_allclose(edges["degrees_of_freedom"], expected.df, rtol=1e-7)
    np.testing.assert_allclose(edges["p"], expected.pvalue, rtol=1e-6)
    assert about["VarianceGroups"] == "site"
    # Residuals of the mean, which the contrast does not test, change signs.
    assert call(outputs, *words, "--inference", "maxt").status == 0
    edges, about = table_of(outputs, "d", "edges")
    maxima, mean = [], z.mean(axis=0)
    for signs in product((1, -1), repeat=9):
        new = mean + np.array(signs)[:, np.newaxis] * (z - mean)
        t = stats.ttest_ind(new[group == 1], new[group == 0], equal_var=False).statistic
        maxima.append(np.abs(t).max())
    np.testing.assert_allclose(edges["p_maxt"], share(maxima, edges["t"].to_numpy()))
    assert (about["Exchangeability"], about["Permutations"]) == ("sign flips", 512)


def test_a_column_of_blocks_that_is_not_in_the_table(outputs, rng, call):
    fill(outputs, rng, 4, site=list("abab"))
    done = call(outputs, "--blocks", "sites")
    assert done.status == 2
    assert "Did you mean site" in done.err


def test_whether_all_arrangements_were_used_is_told(outputs, rng, caplog):
    fill(outputs, rng, 3)
    with caplog.at_level("INFO", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions(inference=("maxt",))) == []
    said = "all 8 arrangements of 3 participants were used; no p is below 0.25."
    assert said in caplog.text
    edges, about = table_of(outputs, "mean", "edges")
    assert (about["Permutations"], about["AllPermutations"], about["SmallestP"]) == (8, True, 0.25)
    assert edges["p_maxt"].min() == 0.25
    assert (about["Seed"], about["EdgesNotPermuted"], about["Inference"]) == (0, 0, ["fdr", "maxt"])
    assert not {"p_nbs_extent", "tfnbs"} & set(edges)
    assert not {"Threshold", "TFNBS"} & set(about)
    caplog.clear()
    with caplog.at_level("INFO", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions(inference=("maxt",), permutations=5)) == []
    assert "arrangements" not in caplog.text
    _, about = table_of(outputs, "mean", "edges")
    assert (about["Permutations"], about["AllPermutations"]) == (5, False)


def test_pairs_of_networks_need_networks(outputs, rng, caplog):
    outputs.networks = ("n/a",) * S
    fill(outputs, rng, 4)
    options = {"inference": ("cnbs", "nbs"), "nbs_threshold": 1.0}
    assert run_group(outputs.root, GroupOptions(**options)) == []
    assert "cnbs needs seeds with networks, and is left out" in caplog.text
    group = outputs.root / "group"
    assert not list(group.glob("*_cnbs.tsv"))
    assert len(list(group.glob("*_contrast-mean_nbs.tsv"))) == 1
    caplog.clear()
    outputs.networks = ("a", "a", "b", "b", "n/a")
    for label in ("01", "02", "03", "04"):
        outputs.add(label, correlations(rng, S))
    assert run_group(outputs.root, GroupOptions(**options)) == []
    assert "cnbs needs" not in caplog.text
    table, about = table_of(outputs, "mean", "cnbs")
    assert table["edges"].tolist() == [1, 4, 1]
    assert about["Inference"] == ["fdr", "cnbs", "nbs"]


def test_some_of_the_edges_that_are_not_permuted_are_named(outputs, rng, caplog):
    fill(outputs, rng, 6, lacking=(1, 3))
    assert run_group(outputs.root, GroupOptions(inference=("maxt",))) == []
    assert "4 edges not in permutations, as participants lack them: " in caplog.text
    assert ": s0 - s4, s1 - s4, s2 - s4 and 1 more" in caplog.text


def same_parts(numbers, labels):
    """Whether rows have one number where they have one label, and only there."""
    pairs = set(zip(numbers.tolist(), labels, strict=True))
    return len(pairs) == len(set(labels)) == len(set(numbers.tolist()))


def test_columns_that_options_name_are_those_of_the_rows(rng, tmp_path):
    """Blocks, variance groups and clusters of one call are of different columns."""
    labels = [f"sub-{i}" for i in range(1, 8)]
    family, site = (
        dict(zip(labels, "aabbccc", strict=True)),
        dict(zip(labels, "xyxyxyy", strict=True)),
    )
    rows = Rows(2)
    readable = labels[:2] + labels[3:]
    for label in readable:
        rows.add(label, ParticipantEdges(rng.standard_normal(2), None, {}))
    order = rng.permutation(labels)
    columns = {"age": rng.uniform(20, 60, 7)}
    columns |= {"family": [family[x] for x in order], "site": [site[x] for x in order]}
    table, source = pd.DataFrame(columns, index=order), tmp_path / "participants.tsv"
    design = design_for(
        Model(read_formula("age"), table, source, ("family", "site")), dict.fromkeys(labels, 0.1)
    )
    options = GroupOptions(model="age", blocks="family", whole_blocks=True, variance_groups="site")
    sample = sample_of_model(rows, design, options)
    assert sample.design.participants == tuple(readable)
    np.testing.assert_array_equal(sample.design.values[:, 1], table.loc[readable, "age"])
    assert same_parts(sample.exchangeability.blocks, [family[x] for x in readable])
    assert sample.exchangeability.whole is True
    assert same_parts(sample.variance_groups, [site[x] for x in readable])
    assert sample.clusters is None
    sample = sample_of_model(
        rows, design, GroupOptions(model="age", blocks="site", clusters="family")
    )
    assert same_parts(sample.exchangeability.blocks, [site[x] for x in readable])
    assert sample.exchangeability.whole is False
    assert same_parts(sample.clusters, [family[x] for x in readable])
    assert sample.variance_groups is None


def test_rows_of_conditions_have_the_variables_of_their_participant(tmp_path):
    """In the order of the group, where participants have different conditions."""
    sessions = {"sub-1": "ac", "sub-2": "b", "sub-3": "ab", "sub-9": "a", "sub-7": "abc"}
    fd = dict(zip(sessions, (0.1, 0.4, 0.2, 0.3, 0.7), strict=True))
    people = [
        SimpleNamespace(label=label, mean_fd=fd[label], conditions=lambda _, own=own: list(own))
        for label, own in sessions.items()
    ]
    ages = {"sub-7": 58.5, "sub-3": 20.0, "sub-4": 99.0, "sub-1": 31.0, "sub-2": 44.0}
    table = pd.DataFrame({"age": ages})
    model = Model(read_formula("age + session + mean_fd"), table, tmp_path / "participants.tsv")
    options = GroupOptions(model="age + session + mean_fd", within="session")
    found = design_of(model, people, options, "a group")
    rows = [(who, own) for who in sessions if who != "sub-9" for own in sessions[who]]
    design = found.design
    assert design.participants == tuple(f"{who} {own}" for who, own in rows)
    assert design.people == [who for who, _ in rows]
    columns = dict(zip(design.terms, design.values.T, strict=True))
    assert columns["age"].tolist() == [ages[who] for who, _ in rows]
    assert columns["mean_fd"].tolist() == [fd[who] for who, _ in rows]
    for session in "bc":
        expected = [own == session for _, own in rows]
        assert columns[f"session[T.{session}]"].tolist() == expected
    assert found.left_out == {"sub-9 a": "not in participants.tsv"}


def test_permutations_are_those_of_the_seed(rng):
    design = np.column_stack([np.ones(20), rng.standard_normal(20)])
    labels = tuple(f"sub-{i}" for i in range(20))
    sample = Sample(rng.standard_normal((20, 5)), Design(labels, ("Intercept", "age"), design))
    hypotheses = Hypotheses(sample, [Contrast("age", np.array([[0.0, 1.0]]))])

    def p_of(seed):
        options = GroupOptions(inference=("maxt",), permutations=200, seed=seed)
        tests = permuted(hypotheses, lambda _: {"maxt": MaxT()}, options)
        assert [*tests] == ["age"]
        return tests["age"].corrections["maxt"].p[0]

    np.testing.assert_array_equal(p_of(3), p_of(3))
    assert (p_of(3) != p_of(0)).any()
    np.testing.assert_allclose(p_of(3), p_of(0), atol=0.2)
