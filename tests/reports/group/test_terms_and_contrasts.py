"""Terms of models and contrasts in sentences, matrices and tables, from values by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group.tested_pairs import (
    contrast_in_words,
    contrast_sections,
    model_sections,
)
from tests.reports.group.values import condition_of, image_of, level_of, result_of

IMAGE = image_of(["v", "m", "v"])
PAIRS = {"node_1": ["s0", "s0", "s1"], "node_2": ["s1", "s2", "s2"]}
N = np.nan


def table_of(term=None, **columns):
    return pd.DataFrame({**PAIRS, **({} if term is None else {"term": term}), **columns})


def column(table, label, unit=""):
    (place,) = (i for i, c in enumerate(table.columns) if (c.label, c.unit) == (label, unit))
    return [row[place].text for row in table.rows]


def blocks_of(section):
    return {block.heading: block for block in section.blocks}


# Models

AGE = table_of(
    "age",
    coefficient=[0.5, -0.2, 0.1],
    standard_error=[0.1, 0.1, 0.1],
    t=[5.0, -6.0, N],
    p=[0.02, 0.04, N],
    q=[0.03, 0.05, N],
    n=[6, 3, 2],
)
CONSTANT = table_of(
    "Intercept",
    coefficient=[0.5, 0.2, -0.1],
    standard_error=[0.1, 0.1, 0.1],
    t=[5.0, 2.0, -3.0],
    p=[0.01, 0.06, 0.001],
    q=[0.02, 0.06, 0.02],
    n=[6, 6, 6],
)


def model_result(*tables, strategy="a", **about):
    return result_of(
        IMAGE,
        strategy,
        suffixes=("mean", "model"),
        model_about={"Model": "age", "NumberOfParticipantsInModel": 5, **about},
        tables={"model": pd.concat(tables)},
    )


def model_section(*results, shown=("group-a", "group-b")):
    sections = [*model_sections(level_of(condition_of(*results)), shown)]
    return sections[0] if sections else None


def test_terms_and_how_many_pairs_are_related_to_each():
    terms, strongest = model_section(model_result(CONSTANT, AGE)).tables
    assert column(terms, "Term") == ["Intercept", "age"]
    assert column(terms, "Tested", "pairs") == ["3", "2"]
    assert column(terms, "q < .05", "pairs") == ["2", "1"]
    assert column(terms, "Positive", "of these") == ["1", "1"]
    assert column(terms, "Negative", "of these") == ["1", "0"]
    assert column(terms, "p < .05", "% of pairs") == ["66.7", "100"]
    assert column(terms, "Least q") == ["0.02", "0.03"]
    # The constant is not what the model is for.
    assert column(strongest, "Term") == ["age", "age"]
    assert column(strongest, "Pair") == ["s0 \N{EN DASH} s1", "s0 \N{EN DASH} s2"]
    assert column(strongest, "Networks") == ["v \N{EN DASH} m", "v"]
    assert column(strongest, "p") == ["0.02", "0.04"]
    assert column(strongest, "Participants") == ["6", "3"]
    alone = model_section(model_result(CONSTANT))
    assert [*blocks_of(alone)] == ["t of Intercept"]
    assert column(alone.tables[1], "p") == ["0.001", "0.01", "0.06"]


def test_terms_without_any_test():
    untested = AGE.assign(t=N, p=N, q=N)
    terms, strongest = model_section(model_result(untested)).tables
    assert column(terms, "p < .05", "% of pairs") == column(terms, "Least q") == ["n/a"]
    assert strongest.rows == ()


def test_matrices_of_the_first_terms_alone():
    terms = [AGE.assign(term=f"x{i}") for i in range(6)]
    section = model_section(model_result(CONSTANT, *terms))
    assert [*blocks_of(section)] == [f"t of x{i}" for i in range(4)]
    assert len(section.tables[0].rows) == 7


def test_who_is_in_the_model():
    first = model_result(AGE, LeftOut={"sub-6": "without age"})
    section = model_section(first, model_result(AGE, strategy="b"))
    assert section.sentences == (
        "Model: age",
        "a: 5 participants; left out: sub-6 (without age).",
        "b: 5 participants.",
    )
    assert section.strategies == ("a", "b")
    assert model_section(first, shown=()) is None
    assert model_section(result_of(IMAGE)) is None


def test_words_of_the_matrix_of_a_term():
    """The least p is that of another pair than the largest t."""
    (block,) = model_section(model_result(AGE)).blocks
    assert block.heading == "t of age"
    (graphic,) = block.graphics
    assert graphic.caption == (
        "t of age after a: 1 pair with q < 0.05; least p: s0 \N{EN DASH} s1, t = 5."
    )
    (note,) = block.notes
    assert note == (
        "Above the diagonal are all pairs, below it those with q < 0.05: q, by the false "
        "discovery rate."
    )
    assert '"label": "coefficient"' in graphic.matrix.more


# Contrasts

TESTED = table_of(
    effect=[0.5, 0.1, -0.4],
    t=[4.0, 1.0, -5.0],
    p=[0.001, 0.4, 0.002],
    p_maxt=[0.06, 0.9, 0.04],
    q=[0.003, 0.4, 0.003],
    p_nbs_extent=[0.01, 1.0, 0.2],
    p_nbs_intensity=[0.3, 1.0, 0.01],
)


def contrast_result(contrasts, tables, strategy="a", **more):
    suffixes = ("mean", *(f"contrast-{name}" for name in tables))
    own = {f"contrast-{name}": table for name, table in tables.items()}
    return result_of(
        IMAGE, strategy, suffixes=suffixes, contrast_sidecars=contrasts, tables=own, **more
    )


def contrast_section(*results, stages=()):
    level = level_of(condition_of(*results))
    sections = [*contrast_sections(level, ("group-a", "group-b"), dict(stages))]
    return sections[0] if sections else None


def test_contrasts_and_how_many_pairs_are_significant():
    plain = table_of(effect=[0.1, 0.2, 0.3], t=[1.0, N, 2.0], p=[0.3, N, 0.02], q=[0.5, N, 0.049])
    result = contrast_result(
        {"age": {"Tail": "two"}, "mean": {}, "sex": {}},
        {"age_edges": TESTED, "mean_edges": plain, "sex_edges": plain},
    )
    table, *_ = contrast_section(result).tables
    assert column(table, "Contrast") == ["age", "sex"]
    assert column(table, "Tail") == ["two", "n/a"]
    assert column(table, "Tested", "pairs") == ["3", "2"]
    assert column(table, "q < .05", "pairs") == ["2", "1"]
    assert column(table, "max-T p < .05", "pairs") == ["1", "n/a"]
    assert "TFNBS p < .05" not in [head.label for head in table.columns]
    mean = contrast_result({"mean": {"Permutations": 9}}, {"mean_edges": plain})
    assert column(contrast_section(mean).tables[0], "Contrast") == ["mean"]
    assert contrast_section(contrast_result({"mean": {}}, {"mean_edges": plain})) is None


def test_what_matrices_of_contrasts_show():
    drawn = []

    def connectome(edges, words):
        drawn.append((edges.pairs.tolist(), edges.values.tolist(), words))
        return SimpleNamespace()

    stages = {"image-1": SimpleNamespace(connectome=connectome)}
    blocks = blocks_of(
        contrast_section(contrast_result({"age": {}}, {"age_edges": TESTED}), stages=stages)
    )
    assert [*blocks] == ["t of age", "Components of age", "Components of age in the brain"]
    (graphic,) = blocks["t of age"].graphics
    assert graphic.caption == (
        "t of age after a: 1 pair with max-T p < 0.05; least p: s0 \N{EN DASH} s1, t = 4."
    )
    (graphic,) = blocks["Components of age"].graphics
    assert graphic.caption.startswith(
        "t of age after a: 1 pair in components with p < 0.05 by extent; least p"
    )
    assert drawn == [([[0, 1]], [4.0], "1 pair in components with p < 0.05 by extent after a.")]
    both = {"sex": {}, "age": {}}
    tables = dict.fromkeys(("sex_edges", "age_edges"), TESTED.drop(columns="p_nbs_extent"))
    section = contrast_section(contrast_result(both, tables))
    assert [*blocks_of(section)] == ["t of sex", "t of age"]
    none = TESTED.assign(p_nbs_extent=0.05)
    section = contrast_section(contrast_result({"age": {}}, {"age_edges": none}), stages=stages)
    assert [*blocks_of(section)] == ["t of age", "Components of age"]


def test_an_f_test_has_its_own_symbol_and_colours_of_all_strategies():
    f = table_of(f=[9.0, 2.0, 1.0], p=[0.01, 0.2, 0.4], q=[0.03, 0.3, 0.4])
    other = f.assign(f=[1.0, 38.0, N], p=[0.5, 0.001, N])
    results = [
        contrast_result({"any": {}}, {"any_edges": own}, strategy)
        for strategy, own in (("a", f), ("b", other))
    ]
    (block,) = contrast_section(*results).blocks
    assert block.heading == "F of any"
    assert [graphic.caption.rpartition(", ")[2] for graphic in block.graphics] == [
        "F = 9.",
        "F = 38.",
    ]
    assert {graphic.chart.labels[-1].text for graphic in block.graphics} == {"40"}


def test_components_and_pairs_of_networks():
    components = pd.DataFrame(
        {
            "component": [1, 2],
            "sign": [1, -1],
            "edges": [3, 1],
            "intensity": [2.5, 1.0],
            "p_extent": [0.01, 0.5],
            "p_intensity": [0.02, 0.4],
            "n_nodes": [3, 2],
            "nodes": ["s0;s1;s2", "s0;s2"],
        }
    )
    networks = pd.DataFrame(
        {
            "network_1": ["v", "v"],
            "network_2": ["v", "m"],
            "edges": [1, 2],
            "mean_statistic": [1.0, 3.0],
            "p": [0.01, 0.02],
            "p_fwe": [0.5, 0.04],
        }
    )
    result = contrast_result(
        {"age": {}},
        {"age_edges": TESTED, "age_nbs": components, "age_cnbs": networks},
        sidecars={"contrast-age_nbs": {"Threshold": 3.1}},
    )
    _, nbs, cnbs = contrast_section(result).tables
    assert column(nbs, "Threshold") == ["3.1", "3.1"]
    assert column(nbs, "Which") == ["s0, s1 and s2", "s0 and s2"]
    assert column(nbs, "p", "extent") == ["0.01", "0.5"]
    assert column(nbs, "p", "intensity") == ["0.02", "0.4"]
    assert nbs.caption.endswith("the root of F, the largest first.")
    assert column(cnbs, "p", "family-wise") == ["0.04", "0.5"]
    assert column(cnbs, "p", "not corrected") == ["0.02", "0.01"]
    assert column(cnbs, "Other network") == ["m", "v"]
    nothing = contrast_result(
        {"age": {}},
        {"age_edges": TESTED, "age_nbs": components[:0], "age_cnbs": networks[:0]},
    )
    _, nbs = contrast_section(nothing).tables
    assert nbs.caption.endswith("the root of F: none.")


SMALLEST = "; the smallest possible p is"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"Model": "1", "Weights": [{"Intercept": 1.0}]}, "the mean over participants."),
        ({"Model": "age", "Weights": [{"age": 1.0, "sex": 0.0}]}, "age of the model age."),
        (
            {"Model": "a + b", "Weights": [{"a": -1.0, "b": 0.5}, {"b": -2.0}]},
            f"{MINUS} a + 0.5 {TIMES} b and {MINUS} 2 {TIMES} b of the model a + b.",
        ),
        (
            {"Model": "1", "Within": "session", "Weights": [{"post": 1.0, "pre": -1.0}]},
            f"post {MINUS} pre within participants, by session.",
        ),
        (
            {
                "Model": "1",
                "Permutations": 1024,
                "Exchangeability": "sign flips",
                "AllPermutations": True,
                "SmallestP": 2 / 1024,
            },
            f"the mean over participants, tested by all 1,024 sign flips{SMALLEST} 0.002.",
        ),
        (
            {
                "Model": "1",
                "Permutations": 500,
                "Exchangeability": "sign flips",
                "AllPermutations": False,
                "SmallestP": None,
            },
            "the mean over participants, tested by 500 sign flips.",
        ),
    ],
)
def test_contrasts_in_words(about, words):
    assert contrast_in_words("c", about) == f"Contrast c: {words}"
