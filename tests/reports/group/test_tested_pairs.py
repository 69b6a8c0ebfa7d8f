"""Contrasts on the group's page against the tables that were written, read by other means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_spheres.reports.group import load_level
from bids_spheres.reports.group.methods_text import group_methods
from tests.group.conftest import POINTS, correlations, new_outputs, upper
from tests.reports.group.conftest import page_of, read
from tests.reports.group.test_page import by_id, matrices_of, table_of, told, words

S, N = len(POINTS), 16
INFERENCE = ("maxt", "nbs", "cnbs")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A group in which three pairs of seeds follow age, and its page."""
    outputs = new_outputs(tmp_path_factory.mktemp("contrasts") / "out")
    rng = np.random.default_rng(20100901)
    ages = rng.integers(20, 70, N)
    for i, age in enumerate(ages):
        matrix = correlations(rng, S, shared=0.1)
        for a, b in ((0, 1), (1, 2), (0, 2)):
            matrix[a, b] = matrix[b, a] = np.tanh(age / 60 + rng.normal() / 20)
        outputs.add(f"{i + 1:02d}", matrix)
    outputs.participants(participant_id=[f"{i + 1:02d}" for i in range(N)], age=ages)
    options = {"contrast": ("age=age",), "inference": INFERENCE, "permutations": 200}
    path, problems = page_of(outputs, model="age", **options)
    assert problems == []
    return outputs, path


@pytest.fixture
def document(tested, parse):
    return parse(tested[1].read_text(encoding="utf-8"))


def test_pairs_are_counted_as_in_the_table(tested, document):
    edges = read(tested[0].path("stat-pearsoncorrelation_desc-simple_contrast-age_edges.tsv"))
    (row,) = table_of(document, "contrasts-condition-1-1")
    for column, head in (("q", "q < .05 pairs"), ("p_maxt", "max-T p < .05 pairs")):
        assert int(row[head]) == (edges[column].astype(float) < 0.05).sum() >= 3


def test_components_are_a_table_a_matrix_and_lines_in_the_brain(tested, document):
    components = read(tested[0].path("stat-pearsoncorrelation_desc-simple_contrast-age_nbs.tsv"))
    rows = table_of(document, "contrasts-condition-1-2")
    assert [row["Pairs"] for row in rows] == components["edges"].tolist()
    assert rows[0]["Which"] == "s0, s1 and s2"
    assert float(rows[0]["p extent"]) < 0.05
    matrix = matrices_of(document, "contrasts", "Components of age")["simple"]
    p = told(matrix)
    assert set(p) == {"", "p of the component", "q", "max-T p", "effect"}
    order = by_id(document, "names-of-rows").text.split("[")[1].split("]")[0]
    names = [name.strip(' "') for name in order.split(",")]
    low = np.argwhere(np.triu(p["p of the component"] < 0.05, 1))
    assert {frozenset(names[i] for i in pair) for pair in low} == {
        frozenset(pair) for pair in (("s0", "s1"), ("s1", "s2"), ("s0", "s2"))
    }
    assert "3 pairs in components with p < 0.05 by extent" in words(by_id(document, "contrasts"))


def test_it_is_said_what_a_component_is_not(document):
    text = words(by_id(document, "contrasts"))
    assert "No single pair of it is tested" in text
    assert "Contrast age: age of the model age, tested by 200 permutations" in text


def test_pairs_of_networks_have_the_least_p_first(tested, document):
    networks = read(tested[0].path("stat-pearsoncorrelation_desc-simple_contrast-age_cnbs.tsv"))
    rows = table_of(document, "contrasts-condition-1-3")
    assert len(rows) == len(networks)
    p = [float(row["p family-wise"]) for row in rows]
    assert p == sorted(p)


def test_methods_name_and_cite_what_was_used_and_nothing_else(tested):
    methods = group_methods(load_level(tested[0].root))
    (text,) = methods.paragraphs
    assert "The contrast age was tested by two-sided t tests, corrected over all pairs" in text
    assert "The contrast age was tested by 200 permutations (Freedman and Lane, 1983;" in text
    assert "Winkler et al., 2014), drawn with the seed 0." in text
    assert "for single pairs by the largest statistic of all pairs (max-T)" in text
    assert "components of pairs beyond t of 3.1 by the network-based statistic" in text
    keys = {reference.key for reference in methods.references}
    assert {"freedman1983", "winkler2014", "zalesky2010", "noble2020"} <= keys
    assert "baggio2018" not in keys


def test_methods_say_powers_blocks_clusters_and_reliability(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(5)
    labels = [f"{i + 1:02d}" for i in range(6)]
    for label in labels:
        for session in ("a", "b"):
            matrix = correlations(rng, S)
            outputs.add(label, matrix, source=f"ses-{session}_task-rest")
    outputs.participants(participant_id=labels, family=list("xxyyzz"))
    options = {"inference": ("tfnbs",), "permutations": 5, "seed": 7, "blocks": "family"}
    options |= {"tfnbs_step": 0.2, "whole_blocks": True}
    page_of(outputs, **options)
    methods = group_methods(load_level(outputs.root))
    (text,) = methods.paragraphs
    powers = "extent to the power of 0.4, height of 3.0, steps of 0.2"
    assert f"threshold-free network-based statistic ({powers}) (Baggio et al., 2018)" in text
    assert "5 sign flips of whole blocks of family (Winkler et al., 2014; Winkler et al., " in text
    assert "drawn with the seed 7." in text
    assert "winkler2015" in {reference.key for reference in methods.references}
    assert "ICC" not in text
    page_of(outputs, within="session", model="session", contrast=("change=session[T.b]",))
    (text,) = group_methods(load_level(outputs.root)).paragraphs
    assert "robust to participant_id (Bell and McCaffrey, 2002; Puste" in text
    assert "each pair, with 95 % confidence intervals (Shrout and Fleiss, 1979)" in text
    assert "largest correlation, that of their own measurements (Finn et al., 2015)" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tail", "words_of_it"),
    [("two", "two-sided"), ("positive", "one-sided (positive)"), ("negative", "one-sided (neg")],
)
def test_methods_and_sidecars_of_means_say_the_tail(tmp_path, tail, words_of_it):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(1)
    z = []
    for i in range(5):
        matrix = correlations(rng, S)
        z.append(np.arctanh(upper(matrix)))
        outputs.add(f"{i + 1:02d}", matrix)
    page_of(outputs, tail=tail)
    (text,) = group_methods(load_level(outputs.root)).paragraphs
    assert f"compared with zero by {words_of_it}" in text
    about = outputs.about("p")
    assert (about["Tail"], outputs.about("q")["Tail"]) == (tail, tail)
    assert about["Description"] == "p of t, of the tails that Tail names"
    sides = {"two": "two-sided", "positive": "greater", "negative": "less"}
    expected = stats.ttest_1samp(z, 0, alternative=sides[tail]).pvalue
    np.testing.assert_allclose(upper(outputs.matrix("p")), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said", "cited"),
    [
        ({}, "in an ordinary least squares model (age); coeff", set()),
        (
            {"clusters": "site"},
            "robust to site (Bell and McCaffrey, 2002; Pustejovsky and Tipton, 2018) (age);",
            {"bell2002", "pustejovsky2018"},
        ),
        ({"variance_groups": "site"}, "with a variance for each site (Winkler", {"winkler2014"}),
        ({"weights": "precision"}, "in a random-effects model", {"paule1982", "knapp2003"}),
        ({"harmonize": "site"}, "after ComBat over site (", {"johnson2007", "yu2018"}),
    ],
)
def test_methods_say_what_was_assumed_of_errors(tmp_path, options, said, cited):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(1)
    labels = [f"{i + 1:02d}" for i in range(12)]
    for label in labels:
        outputs.add(label, correlations(rng, S))
    outputs.participants(
        participant_id=labels, age=rng.integers(20, 70, 12), site=["a", "b", "c"] * 4
    )
    page_of(outputs, model="age", contrast=("age=age",), tail="negative", **options)
    methods = group_methods(load_level(outputs.root))
    (text,) = methods.paragraphs
    assert said in text
    assert "The contrast age was tested by one-sided (negative) t tests" in text
    of_errors = {
        "paule1982",
        "knapp2003",
        "bell2002",
        "pustejovsky2018",
        "winkler2014",
        "johnson2007",
        "yu2018",
    }
    assert {reference.key for reference in methods.references} & of_errors == cited


def test_differences_of_sessions_are_written_as_such(tmp_path, parse):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(1)
    for i in range(4):
        for session in ("pre", "post"):
            outputs.add(f"{i + 1:02d}", correlations(rng, S), source=f"ses-{session}_task-rest")
    page, _ = page_of(
        outputs, within="session", contrast=("change=post - 0.5*pre",), inference=("maxt",)
    )
    document = parse(page.read_text(encoding="utf-8"))
    text, methods = (words(by_id(document, section)) for section in ("contrasts", "methods"))
    difference = "post \N{MINUS SIGN} 0.5 \N{MULTIPLICATION SIGN} pre"
    assert f"Contrast change: {difference} within participants, by session, tested by all" in text
    assert (
        "The contrast change was tested by two-sided t tests of the weighted sum of sessions in "
        "each participant, corrected over all pairs"
    ) in methods
    assert "The contrast change was tested by all 16 sign flips" in methods


def test_methods_of_a_mean_that_is_weighted(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(1)
    for i in range(5):
        outputs.add(f"{i + 1:02d}", correlations(rng, S))
    page_of(outputs, weights="precision")
    (text,) = group_methods(load_level(outputs.root)).paragraphs
    expected = (
        "The contrast mean was tested by two-sided t tests in a random-effects model weighted"
    )
    assert expected in text


def test_without_permutations_the_mean_has_no_section_of_its_own(tmp_path, parse):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(1)
    for i in range(4):
        outputs.add(f"{i + 1:02d}", correlations(rng, S))
    path, _ = page_of(outputs)
    document = parse(path.read_text(encoding="utf-8"))
    assert not document.all("section", id="contrasts")
    assert "permutations" not in words(by_id(document, "methods"))
