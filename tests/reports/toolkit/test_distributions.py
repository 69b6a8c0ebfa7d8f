"""Histograms and medians along distance, against numpy on the paths that are drawn."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from bids_spheres.reports.toolkit.distributions import (
    FEWEST,
    STEP,
    Along,
    Sample,
    bins,
    distribution_block,
    histogram,
    number_of_bins,
    shares,
    spearman,
    spread_words,
    trend_along,
)

WORDS = {"label": "value", "share": "share", "alt": "what the data say"}


@pytest.fixture
def sample():
    rng = np.random.default_rng(11)
    values = np.append(rng.normal(0.2, 0.3, 3000), np.nan)
    return Sample("simple", values, "series-0", "simple")


def points(path):
    return np.array([pair.split(",") for pair in re.findall(r"[\d.-]+,[\d.-]+", path)], float)


def test_heights_are_shares_of_values(sample):
    edges = bins([sample])
    chart = histogram([sample], edges, **WORDS)
    (mark,) = [mark for mark in chart.marks if mark.style.startswith("line")]
    across, down = points(mark.path).T
    counts, _ = np.histogram(np.clip(sample.known, edges[0], edges[-1]), edges)
    floor = down[0]
    heights = floor - down[1:-1:2]
    np.testing.assert_allclose(heights / heights.sum(), counts / counts.sum(), atol=2e-3)
    np.testing.assert_allclose(np.diff(across[::2]), np.diff(across[::2])[0], rtol=1e-2)
    assert (mark.of, chart.alt) == ("simple", WORDS["alt"])


def test_what_is_expected_is_drawn_to_the_same_scale(sample):
    edges = bins([sample])
    counts, _ = np.histogram(np.clip(sample.known, edges[0], edges[-1]), edges)
    chart = histogram([sample], edges, **WORDS, expected=counts / counts.sum())
    line, dashed = (
        next(m for m in chart.marks if m.style.startswith(s)) for s in ("line", "chance")
    )
    np.testing.assert_allclose(points(line.path), points(dashed.path), atol=1)


def test_few_values_are_dots():
    sample = Sample("few", np.array([1.0, 1.0, 5, np.nan]), "series-1")
    chart = histogram([sample], bins([sample]), **WORDS)
    (dots,) = (mark.path for mark in chart.marks if mark.style.startswith("dot"))
    assert dots.count("M") == 3
    assert not any(mark.style.startswith("line") for mark in chart.marks)


@pytest.mark.parametrize(("n", "expected"), [(1, 6), (27, 6), (1000, 20), (100_000, 50)])
def test_the_number_of_bins_is_twice_the_cube_root(n, expected):
    assert number_of_bins([Sample("", np.arange(float(n)), "")]) == expected


def test_nothing_known_is_said(sample):
    empty = Sample("none", np.full(3, np.nan), "series-1")
    assert spread_words(empty) == "none: no value."
    assert np.isfinite(bins([empty])).all()
    # The deviation of one value is unknown, not 0.
    assert spread_words(Sample("one", np.array([0.43, np.nan]), "series-1")) == "one: mean 0.43."
    known = sample.known
    assert spread_words(sample) == (
        f"simple: mean {round(known.mean(), 2):g}, standard deviation {round(known.std(), 2):g}."
    )


def test_medians_along_distance_are_those_of_bins():
    rng = np.random.default_rng(5)
    distances = rng.uniform(0, 100, 4000)
    sample = Sample("24P", rng.normal(1 - distances / 100, 0.1), "series-2", "24P")
    along = Along([sample], distances)
    assert along.known
    (one,) = along.trends
    for middle, median in zip(one.middles, one.median, strict=True):
        inside = np.abs(distances - middle) < STEP / 2
        assert median == pytest.approx(np.median(sample.values[inside]))
    assert along.words == f"24P: rank correlation with distance {one.correlation:.2f}."
    styles = [mark.style for mark in along.chart("r").marks]
    assert {"band series-2", "line series-2"} <= set(styles)


def test_a_few_pairs_have_no_medians():
    along = Along([Sample("a", np.arange(3.0), "series-0")], np.array([5.0, 50, 90]))
    assert not along.known
    assert Along([Sample("a", np.ones(3), "")], np.ones(3)).words == (
        "a: too few pairs for a correlation with distance."
    )


def test_one_sample_with_a_median_is_enough():
    known = Sample("a", np.arange(400.0), "series-0")
    nothing = Sample("b", np.full(400, np.nan), "series-1")
    along = Along([nothing, known], np.repeat([5.0, 15.0], 200))
    assert along.known
    assert not Along([nothing], along.distances).known
    styles = {mark.style for mark in along.chart("r").marks}
    assert styles == {"grid", "lead", "band series-0", "line series-0"}
    assert along.drawn == "Median and quartiles of pairs in steps of 10 mm."


def test_shares_add_up_and_outliers_count_to_the_outer_bins():
    made = shares(np.array([-5, 0.1, 0.2, 0.9, 99, np.nan]), [0, 0.5, 1])
    assert made.tolist() == [0.6, 0.4]
    assert shares(np.full(3, np.nan), [0, 1]).tolist() == [0]


def test_a_trend_has_the_quartiles_of_pandas():
    rng = np.random.default_rng(7)
    along = rng.uniform(0, 120, 800)
    values = rng.standard_normal(800) - along / 50
    values[::50] = np.nan
    made = trend_along(along, values, 10)
    table = pd.DataFrame({"bin": along // 10, "value": values}).dropna()
    values_of = table.groupby("bin")["value"]
    for ours, share in ((made.lower, 0.25), (made.median, 0.5), (made.upper, 0.75)):
        np.testing.assert_allclose(ours, values_of.quantile(share).to_numpy())
    assert made.middles[0] == 5
    known = np.isfinite(values)
    expected = scipy.stats.spearmanr(along[known], values[known]).statistic
    assert made.correlation == pytest.approx(expected)


def test_bins_with_few_values_tell_nothing():
    rng = np.random.default_rng(7)
    along = np.concatenate([np.full(FEWEST, 5.0), np.full(FEWEST - 1, 15.0)])
    made = trend_along(along, rng.standard_normal(len(along)), 10)
    assert np.isfinite(made.median).tolist() == [True, False]
    assert trend_along(np.empty(0), np.empty(0), 10).middles.size == 0


def test_rank_correlation_is_scipys_with_ties():
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 5, 100).astype(float), rng.integers(0, 5, 100).astype(float)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert np.isnan(spearman(x[:2], y[:2]))
    assert np.isnan(spearman(x, np.ones(100)))


def test_bins_are_for_nearly_all_values_of_all_samples():
    """Of 0 to 1000, 99.9 % lie between 0.5 and 999.5; two per cent of that on each side."""
    low, high = Sample("", np.arange(500.0), ""), Sample("", np.arange(500.0, 1001), "")
    edges = bins([low, high])
    np.testing.assert_allclose(edges, np.linspace(0.5 - 19.98, 999.5 + 19.98, 17))
    np.testing.assert_allclose(bins([Sample("", np.full(30, 3.0), "")]), np.linspace(2.5, 3.5, 7))
    nothing = Sample("", np.full(3, np.nan), "")
    np.testing.assert_allclose(bins([nothing]), np.linspace(-0.02, 1.02, 7))
    assert number_of_bins([low, Sample("", np.arange(27.0), ""), nothing]) == 16


def test_a_histogram_is_to_scale():
    """Shares of 60 and 40 % of values, the axis 5 % higher than the highest column."""
    sample = Sample("a", np.repeat([0.5, 1.5], [12, 8]), "series-3", "mine")
    chart = histogram([sample], np.array([0.0, 1, 2]), label="r", share="Pairs (%)", alt="x")
    assert (chart.width, chart.height) == (384, 240)
    (mark,) = [mark for mark in chart.marks if mark.style == "line series-3"]
    high = 190 / 63
    expected = [
        *((56, 198), (56, 198 - 60 * high), (216, 198 - 60 * high), (216, 198 - 40 * high)),
        *((376, 198 - 40 * high), (376, 198)),
    ]
    np.testing.assert_allclose(points(mark.path), expected, atol=0.06)
    assert mark.of == "mine"
    words = {label.text: label for label in chart.labels}
    assert words["20"].down == pytest.approx(198 - 20 * high + 4)
    assert words["0.5"].across == pytest.approx(56 + 80)
    assert {"r", "Pairs (%)"} <= set(words)
    # As an expectation has shares, it is drawn whatever the number of values.
    few = Sample("few", np.array([0.5]), "series-1")
    chart = histogram([few], np.array([0.0, 1, 2]), **WORDS, expected=np.array([0.3, 0.7]))
    assert [m.style for m in chart.marks if m.style != "grid"] == ["chance", "line series-1"]
    np.testing.assert_allclose(
        points(chart.marks[-2].path)[1, 1], 198 - 190 * 0.3 / 1.05, atol=0.06
    )


def test_nineteen_values_are_dots_and_twenty_are_not():
    for n, style in ((19, "dot faint series-0"), (20, "line series-0")):
        two = [
            Sample("a", np.arange(float(n)), "series-0"),
            Sample("b", np.arange(3.0), "series-1"),
        ]
        styles = {mark.style for mark in histogram(two, bins(two), **WORDS).marks}
        assert style in styles
        assert len(styles) == 3


def test_dots_stand_on_each_other_where_they_would_hide():
    first = Sample("a", np.array([5.0, 1, 1, np.nan, 1, 1, 1, 1]), "series-1", "x")
    second = Sample("b", np.array([3.0]), "series-2", "y")
    chart = histogram([first, second], bins([first]), **WORDS)
    assert (chart.width, chart.height, chart.alt) == (384, 8 + 2 * 56 + 42, WORDS["alt"])
    dots = [mark for mark in chart.marks if mark.style.startswith("dot")]
    assert [(m.style, m.of) for m in dots] == [
        ("dot faint series-1", "x"),
        ("dot faint series-2", "y"),
    ]
    # From 0.8 to 5.2 on 352 pixels; six of a value are no higher than five.
    places = [points(f"{part}")[0].tolist() for part in dots[0].path.split("M")[1:]]
    downs = [56, 47, 38, 29, 20, 20]
    assert places == [*([28, down] for down in downs), [348, 56]]
    assert points(dots[1].path)[0].tolist() == [188, 112]
    assert any(label.text == "value" for label in chart.labels)


def test_values_along_distance_are_to_scale():
    """Eleven pairs near 5 mm and twelve near 25 mm; one pair is missing."""
    distances = np.repeat([4.0, 26.0], [11, 13])
    values = np.concatenate([np.arange(11.0), 20 + np.arange(12.0), [np.nan]])
    other = Sample("b", -values, "series-1")
    along = Along([Sample("a", values, "series-0", "mine"), other], distances)
    assert along.few
    assert along.known
    assert along.drawn == "A dot for each pair; median and quartiles of pairs in steps of 10 mm."
    chart = along.chart("r")
    assert (chart.width, chart.height, chart.alt) == (384, 240, along.words)
    low, high = -31 - 0.04 * 62, 31 + 0.04 * 62

    def place(x, y):
        return [56 + 320 * x / 26, 8 + 190 * (high - y) / (high - low)]

    marks = {(mark.style, mark.of): mark.path for mark in chart.marks}
    line = points(marks["line series-0", "mine"])
    np.testing.assert_allclose(line, [place(5, 5), place(25, 25.5)], atol=0.06)
    band = points(marks["band series-0", "mine"])
    corners = [place(5, 2.5), place(25, 22.75), place(25, 28.25), place(5, 7.5)]
    np.testing.assert_allclose(band, corners, atol=0.06)
    dots = marks["dot faint series-0", "mine"].split("M")[1:]
    assert len(dots) == 23
    np.testing.assert_allclose(
        [points(dot)[0] + [2.2, 0] for dot in dots[::22]], [place(4, 0), place(26, 31)], atol=0.11
    )
    zero = place(0, 0)[1]
    assert marks["lead", ""] == f"M56.0,{zero:.1f}H376.0"
    (words,) = {label.text for label in chart.labels if label.text.startswith("Dist")}
    assert words == "Distance between centres (mm)"
    assert along.words.startswith("a: rank correlation with distance 0.8")
    assert ". b: rank correlation with distance -0.8" in along.words


def test_many_pairs_are_no_dots_and_one_median_no_line():
    distances = np.full(301, 5.0)
    many = Along([Sample("a", np.arange(301.0), "series-0")], distances)
    assert (many.few, many.known) == (False, True)
    assert many.drawn == "Median and quartiles of pairs in steps of 10 mm."
    assert {mark.style for mark in many.chart("r").marks} == {"grid", "lead"}
    few = Along([Sample("a", np.arange(300.0), "series-0")], distances[:300])
    assert few.drawn == "A dot for each pair."
    assert {mark.style for mark in few.chart("r").marks} == {"grid", "lead", "dot faint series-0"}


def test_a_distance_at_a_border_is_in_the_bin_above():
    made = trend_along(np.repeat([10.0, 9.99], FEWEST), np.repeat([1.0, 2.0], FEWEST), 10)
    assert made.median.tolist() == [2, 1]
    assert made.middles.tolist() == [5, 15]
    assert spearman(np.arange(3.0), np.array([1.0, 3, 2])) == pytest.approx(0.5)


def test_distances_are_those_as_the_crow_flies():
    """50, 100 and 111.8 mm."""
    nodes = np.array([[0.0, 0, 0], [30, 40, 0], [0, 0, 100]])
    sample = Sample("a", np.array([0.1, 0.2, 0.3]), "series-0")
    chart = distribution_block("Head", "r", [sample], nodes).graphics[1].chart
    (dots,) = (mark.path for mark in chart.marks if mark.style.startswith("dot"))
    across = [points(dot)[0][0] + 2.2 for dot in dots.split("M")[1:]]
    expected = 56 + 320 * np.array([50, 100, np.hypot(50, 100)]) / np.hypot(50, 100)
    np.testing.assert_allclose(across, expected, atol=0.11)


def test_nodes_without_a_place_do_not_count_along_distance():
    along = np.append(np.repeat([5.0, 15.0], FEWEST), np.nan)
    values = np.append(np.repeat([1.0, 2.0], FEWEST), 1e6)
    made = trend_along(along, values, 10)
    assert made.median.tolist() == [1, 2]
    assert made.correlation == pytest.approx(1)


@pytest.mark.parametrize(("n", "n_graphics"), [(4, 2), (26, 1)])
def test_a_block_of_all_pairs_and_of_pairs_along_distance(n, n_graphics):
    """26 spheres have 325 pairs: too many for dots; if all are missing, there is no median."""
    points_of = np.random.default_rng(0).uniform(-50, 50, (n, 3))
    n_pairs = n * (n - 1) // 2
    values = np.full(n_pairs, np.nan) if n > 4 else np.linspace(-1, 1, n_pairs)
    samples = [Sample("a", values, "series-0", "x")]
    block = distribution_block("Head", "r", samples, points_of, ["note"])
    assert (block.heading, block.notes, block.columns) == ("Head", ("note",), 2)
    assert [graphic.heading for graphic in block.graphics] == ["All pairs", "Along distance"][
        :n_graphics
    ]
    assert block.graphics[0].caption == spread_words(samples[0])
    assert block.graphics[0].legend == (samples[0].key,)
    if n_graphics == 2:
        second = block.graphics[1]
        assert second.caption.startswith("A dot for each pair. a: rank correlation")
        (dots,) = (m for m in second.chart.marks if m.style.startswith("dot"))
        assert max(points(part)[0][0] for part in dots.path.split("M")[1:]) == pytest.approx(
            376 - 2.2, abs=0.1
        )
    chance = distribution_block(
        "Head", "r", samples, points_of, by_chance=lambda edges: np.ones(len(edges) - 1) / 9
    )
    assert chance.graphics[0].caption.startswith("Grey: distribution by chance. a: ")
    assert any(mark.style == "chance" for mark in chance.graphics[0].chart.marks)
