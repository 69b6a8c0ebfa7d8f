"""Matrices, networks and their words, from values by hand."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group.mean_connectivity import condition_sections, network_names
from bids_spheres.wording import NO_BREAK
from tests.reports.group.values import condition_of, image_of, level_of, result_of, square

NETWORKS = ("v", "m", "v", "n/a")
IMAGE = image_of(NETWORKS)
MEAN = square(4, [0.2, -0.6, np.nan, 0.1, 0.3, np.nan])
Q = square(4, [0.05, 0.001, np.nan, 0.2, np.nan, np.nan], np.nan)
COUNTS = [5, 5, 0, 4, 5, 0]


def networks_of(strategy, rows):
    columns = ("network_1", "network_2", "edges", "n", "mean", "ci_low", "ci_high")
    return pd.DataFrame(rows, columns=columns).assign(strategy=strategy)


FIRST = [
    ("v", "v", 1, 6, -0.6, -0.7, -0.4),
    ("m", "v", 2, 5, 0.15, 0.05, 0.25),  # the later network comes first
    ("m", "m", 3, 4, 0.25, 0.1, 0.35),
]


@pytest.fixture
def results():
    first = result_of(IMAGE, mean=MEAN, q=Q, counts=COUNTS, networks=networks_of("a", FIRST))
    second = result_of(
        IMAGE,
        strategy="b",
        people=3,
        mean=square(4, [0.1, 0.2, -0.9, 0.3, 0.4, 0.5]),
        counts=[3] * 6,
    )
    return first, second


def section_of(results, shown=("group-a", "group-b"), stages=()):
    condition = condition_of(*results)
    (section,) = condition_sections(level_of(condition), shown, dict(stages))
    return section


def blocks_of(section):
    return {block.heading: block for block in section.blocks}


def unpacked(values, step, n, **_):
    """Values above and on the diagonal, row by row."""
    whole = np.frombuffer(base64.b64decode(values), "<i2").astype(float)
    matrix = np.full((n, n), np.nan)
    matrix[np.triu_indices(n)] = np.where(whole == -32768, np.nan, whole * step)
    return matrix


def layers_of(graphic):
    own = json.loads(graphic.matrix.more or "[]")
    layers = {
        layer["label"]: unpacked(layer["values"], layer["step"], graphic.matrix.n) for layer in own
    }
    packed = graphic.matrix.packed
    return {"": unpacked(packed.values, packed.step, graphic.matrix.n), **layers}


def test_words_of_means(results):
    block = blocks_of(section_of(results))["Mean"]
    first, second = block.graphics
    assert first.caption == (
        "Mean r of 6 participants after a: median 0.15, strongest -0.6 between s0 and s2. "
        f"33.3{NO_BREAK}% of pairs have q < 0.05. 2 pairs are missing in every participant. "
        "Others rest on 4 to 5 participants."
    )
    assert second.caption == (
        "Mean r of 3 participants after b: median 0.25, strongest -0.9 between s0 and s3."
    )
    assert block.notes == (
        "Above the diagonal are all pairs, below it those with q < 0.05. Grey is missing.",
    )
    assert set(layers_of(first)) == {"", "q", "N"}
    assert set(layers_of(second)) == {""}
    (alone,) = blocks_of(section_of(results[1:]))["Mean"].notes
    assert alone == "Grey is missing."


def test_colours_are_the_same_after_all_strategies(results):
    graphics = blocks_of(section_of(results))["Mean"].graphics
    assert [graphic.chart.labels[-1].text for graphic in graphics] == ["0.9", "0.9"]


def test_rows_are_those_of_networks(results):
    layers = layers_of(blocks_of(section_of(results))["Mean"].graphics[0])
    order = [0, 2, 1, 3]
    expected = np.triu(square(4, COUNTS)[np.ix_(order, order)], 1)
    np.testing.assert_allclose(np.triu(layers["N"], 1), expected, atol=1e-3)
    np.testing.assert_allclose(
        layers[""][np.triu_indices(4, 1)],
        MEAN[np.ix_(order, order)][np.triu_indices(4, 1)],
        atol=1e-4,
    )


def test_a_group_without_any_pair_says_so():
    nothing = result_of(IMAGE, mean=square(4, np.nan), counts=[0] * 6)
    (graphic,) = blocks_of(section_of((nothing,)))["Mean"].graphics
    assert graphic.caption == "Mean of pearsoncorrelation after a: no pair has a value."


@pytest.mark.parametrize(
    ("q", "note"),
    [
        (Q, " 1 of them has q < 0.05."),
        (square(4, [0.01, 0.001, 0.01, 0.2, 0.04, 0.01]), " 3 of them have q < 0.05."),
        (square(4, [0.9] * 6), " None of them has q < 0.05."),
        (None, ""),
    ],
)
def test_how_many_of_the_strongest_pairs_are_significant(q, note):
    """Pairs without a mean are none of them, whatever their q."""
    result = result_of(IMAGE, mean=MEAN, q=q, counts=COUNTS)
    stage = SimpleNamespace(strongest_pairs=lambda *about: about)
    block = blocks_of(section_of((result,), stages={"image-1": stage}))["Strongest pairs"]
    ((mean, strategy, said),) = block.graphics
    assert (mean is result.mean, strategy, said) == (True, "a", note)


def test_means_of_networks(results):
    section = section_of(results)
    (graphic,) = blocks_of(section)["Networks"].graphics
    assert graphic.caption == (
        "Mean r within and between networks after a: within -0.17 on average, between networks "
        "0.15; most within m (0.25)."
    )
    layers = layers_of(graphic)
    np.testing.assert_allclose(layers[""], [[-0.6, 0.15], [np.nan, 0.25]], atol=1e-4)
    np.testing.assert_allclose(
        layers["95 % interval from"], [[-0.7, 0.05], [np.nan, 0.1]], atol=1e-4
    )
    np.testing.assert_allclose(layers["to"], [[-0.4, 0.25], [np.nan, 0.35]], atol=1e-4)
    np.testing.assert_allclose(layers["N"], [[6, 5], [np.nan, 4]], atol=1e-3)
    assert graphic.chart.labels[-1].text == "0.6"
    (table,) = section.tables
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "v", "v", "1", "6", "-0.6", "-0.7", "-0.4"],
        ["a", "m", "v", "2", "5", "0.15", "0.05", "0.25"],
        ["a", "m", "m", "3", "4", "0.25", "0.1", "0.35"],
    ]
    assert network_names(results) == ("v", "m")
    assert network_names(results[1:]) == network_names(()) == ()


def test_networks_of_which_only_some_have_a_mean():
    rows = [("v", "v", 1, 6, np.nan, np.nan, np.nan), ("v", "m", 2, 5, 0.15, 0.05, 0.25)]
    result = result_of(IMAGE, mean=MEAN, counts=COUNTS, networks=networks_of("a", rows))
    blocks = blocks_of(section_of((result,)))
    assert blocks["Networks"].graphics[0].caption.endswith("networks after a.")
    assert "Within networks" not in blocks
    rows = [("m", "m", 1, 6, 0.5, np.nan, np.nan), ("v", "m", 2, 5, np.nan, np.nan, np.nan)]
    result = result_of(IMAGE, mean=MEAN, counts=COUNTS, networks=networks_of("a", rows))
    blocks = blocks_of(section_of((result,)))
    assert (
        blocks["Networks"]
        .graphics[0]
        .caption.endswith("after a: within 0.5 on average; most within m (0.5).")
    )
    (graphic,) = blocks["Within networks"].graphics
    assert (
        graphic.caption == "Dots are means over participants. a: from 0.5 within m to 0.5 within m."
    )
    assert not any(mark.style.startswith("whisker") for mark in graphic.chart.marks)


def test_means_within_networks_are_to_scale(results):
    """620 pixels from -0.7 to 0.5, with 4 % of room; a line of 9 pixels for each strategy."""
    rows = [("v", "v", 1, 3, 0.3, 0.1, 0.5), ("m", "m", 1, 3, 0.2, np.nan, np.nan)]
    vars(results[1])["networks"] = networks_of("b", rows)
    (graphic,) = blocks_of(section_of(results))["Within networks"].graphics
    assert graphic.caption == (
        "Dots are means over participants, lines their 95 % confidence intervals. "
        "a: from -0.6 within v to 0.25 within m. b: from 0.2 within m to 0.3 within v."
    )
    low, high = -0.7 - 0.04 * 1.2, 0.5 + 0.04 * 1.2

    def across(value):
        return 150 + 620 * (value - low) / (high - low)

    marks = {}
    for mark in graphic.chart.marks:
        marks.setdefault((mark.style, mark.of), []).append(mark.path)
    downs = [8 + 4 + 4.5, 8 + 26 + 4 + 4.5]
    assert marks["whisker series-0", "a"] == [
        f"M{across(-0.7):.1f},{downs[0]:.1f}H{across(-0.4):.1f}",
        f"M{across(0.1):.1f},{downs[1]:.1f}H{across(0.35):.1f}",
    ]
    assert marks["whisker series-1", "b"] == [
        f"M{across(0.1):.1f},{downs[0] + 9:.1f}H{across(0.5):.1f}"
    ]
    assert [path.split("a")[0] for path in marks["dot series-1", "b"]] == [
        f"M{across(value) - 3.2:.1f},{down + 9:.1f}"
        for value, down in zip((0.3, 0.2), downs, strict=True)
    ]
    names = [(label.text, label.down) for label in graphic.chart.labels if label.style == "name"]
    assert names == [("v", 8 + 13 + 4), ("m", 8 + 26 + 13 + 4)]
    assert graphic.chart.height == 8 + 52 + 40


def test_what_is_said_of_groups_that_are_not_shown(results):
    gone = result_of(IMAGE, strategy="c", people=0, suffixes=())
    about = {"TestsAgainstZeroDoNotHold": ["the global signal was regressed out"]}
    late = result_of(IMAGE, strategy="d", about=about, mean=MEAN)
    section = section_of((*results, gone, late), shown=("group-a",))
    assert section.sentences == (
        "b: not shown, to keep this page small; see the tables of group.",
        "c: no participant has a result.",
        "d: tests against 0 (q) do not hold: the global signal was regressed out.",
        "d: not shown, to keep this page small; see the tables of group.",
    )
    assert section.strategies == ("a",)
    level = level_of(condition_of(gone), condition_of(*results))
    (only,) = condition_sections(level, (), {})
    assert (only.sentences, only.blocks) == (("c: no participant has a result.",), ())
