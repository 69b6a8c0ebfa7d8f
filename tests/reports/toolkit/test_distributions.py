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
