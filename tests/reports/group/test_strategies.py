"""What chance gives, and which strategy is best."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_spheres.reports.group.strategies import (
    MEASURES,
    chance_median,
    comparison_sections,
)
from bids_spheres.reports.toolkit.distributions import Sample, bins
from tests.reports.group.values import condition_of, image_of, level_of, result_of

COLUMNS = [
    "qc_fc_median",
    "qc_fc_significant",
    "qc_fc_distance_spearman",
    "modularity",
    "degrees_of_freedom_lost",
]


@pytest.mark.parametrize("v", [1, 2, 5.5, 38, 200])
def test_the_median_correlation_by_chance_is_that_of_students_t(v):
    t = stats.t.ppf(0.75, v)
    assert chance_median(v) == pytest.approx(t / np.sqrt(v + t**2))


def test_without_degrees_of_freedom_there_is_no_chance():
    assert np.isnan(chance_median(0.99))
    assert np.isnan(chance_median(-3))


def test_what_columns_show_and_what_chance_gives_in_them():
    assert [measure.column for measure in MEASURES] == COLUMNS
    rows = pd.DataFrame({column: [0.125, np.nan] for column in COLUMNS})
    rows["qc_fc_degrees_of_freedom"] = [38, 0]
    factors = [measure.values(rows)[0] / 0.125 for measure in MEASURES]
    assert factors == [1, 100, 1, 1, 1]
    chance = [measure.by_chance(rows) for measure in MEASURES]
    np.testing.assert_allclose(chance[0], [chance_median(38), np.nan])
    assert chance[1:] == [[5, 5], [0, 0], [], []]
    assert [measure.span for measure in MEASURES] == [
        *((0, 0.1), (0, 10), (-0.1, 0.1), (0, 0.1), (0, 10)),
    ]


@pytest.mark.parametrize(
    ("column", "values", "best"),
    [
        ("qc_fc_median", [0.2, 0.1, 0.3], [1]),
        ("qc_fc_median", [0.104, 0.1, 0.3], [0, 1]),  # alike to the digits shown
        ("qc_fc_median", [0.104, 0.1, 0.096], []),
        ("qc_fc_significant", [7.04, 7.0, 9], [0, 1]),
        ("qc_fc_distance_spearman", [-0.3, 0.1, -0.05], [2]),
        ("qc_fc_distance_spearman", [-0.1, 0.1, np.nan], []),
        ("modularity", [0.3, np.nan, 0.4], [2]),
        ("degrees_of_freedom_lost", [30.4, 30, 50], [0, 1]),
    ],
)
def test_which_values_are_best(column, values, best):
    (measure,) = (measure for measure in MEASURES if measure.column == column)
    assert np.flatnonzero(measure.best_of(np.array(values))).tolist() == best


ROWS = pd.DataFrame(
    {
        "strategy": ["s1", "s2"],
        "qc_fc_median": [0.2, 0.1],
        "qc_fc_significant": [0.25, 0.05],
        "qc_fc_distance_spearman": [-0.3, 0.1],
        "modularity": [0.4, 0.3],
        "degrees_of_freedom_lost": [30.0, 50],
        "smoothing_fwhm": [0.0, 0],
        "qc_fc_participants": [30, 20],
        "qc_fc_degrees_of_freedom": [28, 28],
    }
)


def figure(rows):
    """The figure of strategies side by side."""
    condition = SimpleNamespace(
        results=[SimpleNamespace(row=row, anchor="x") for _, row in rows.iterrows()],
        section=lambda *_, blocks: blocks,
    )
    level = SimpleNamespace(conditions=[condition], styles={"s1": "series-1", "s2": "series-2"})
    sections = [*comparison_sections(level, ())]
    return sections[0][0].graphics[0] if sections else None


def test_strategies_side_by_side_are_to_scale():
    """Five columns of 117.2 pixels; axes have 6 % of room and 35 % more for a number."""
    graphic = figure(ROWS)
    chart = graphic.chart
    assert (chart.width, chart.height) == (780, 60 + 48 + 24)
    assert chart.alt == (
        "QC-FC, median |r|: s1 0.2 and s2 0.1, 0.13 by chance. Pairs with p < .05 (%): s1 25 and "
        "s2 5, 5 by chance. Distance dependence: s1 -0.3 and s2 0.1. Modularity: s1 0.4 and s2 "
        "0.3. D.o.f. lost: s1 30 and s2 50."
    )
    assert graphic.caption == (
        "The best of each column is in bold. Grey bars: by chance, a median |r| of 0.13, p < .05 "
        "in 5 % of pairs, and no dependence on distance."
    )
    ends = [(0, 0.212 * 1.35), (0, 26.5 * 1.35), (-0.324, 0.124 + 0.35 * 0.448)]
    ends += [(0, 0.424 * 1.35), (0, 53 * 1.35)]
    values = [ROWS[m.column] * m.factor for m in MEASURES]
    best = [[1], [1], [1], [0], [0]]
    numbers = [label for label in chart.labels if label.style.startswith(("value", "name value"))]
    for i, (low, high) in enumerate(ends):
        left = 124 + i * (117.2 + 16)
        across = left + 117.2 * (values[i].to_numpy() - low) / (high - low)
        own = numbers[2 * i : 2 * i + 2]
        np.testing.assert_allclose([label.across for label in own], across + 8.5)
        assert [label.down for label in own] == [76, 100]
        assert [row for row in range(2) if own[row].style == "name value best"] == best[i]
        dots = [m.path for m in chart.marks if m.style == "dot series-2"]
        assert dots[i].startswith(f"M{across[1] - 4.5:.1f},96.0a4.5,4.5")
    chance = [m.path for m in chart.marks if m.style == "chance"]
    at = 124 + 117.2 * chance_median(28) / (0.212 * 1.35)
    assert chance[0] == f"M{at:.1f},60.0v24M{at:.1f},84.0v24"
    at = 257.2 + 117.2 * 5 / (26.5 * 1.35)
    assert chance[1] == f"M{at:.1f},60.0v24M{at:.1f},84.0v24"
    assert chance[3:] == ["", ""]
    names = [(label.across, label.down) for label in chart.labels if label.text in ("s1", "s2")]
    assert names == [(114, 76), (114, 100)]


def test_when_no_strategy_is_marked_as_best():
    few = figure(ROWS.assign(qc_fc_participants=[30, 19]))
    assert "None is marked in the columns of head motion: with fewer than 20" in few.caption
    marked = [label.text for label in few.chart.labels if label.style.endswith("best")]
    assert marked == ["0.4", "30"]
    smoothed = figure(ROWS.assign(smoothing_fwhm=[0.0, 6]))
    assert smoothed.caption.startswith("None is marked as best, as images were smoothed")
    unknown = figure(ROWS.assign(smoothing_fwhm=[0.0, np.nan]))
    assert unknown.caption == smoothed.caption
    others = figure(ROWS.assign(qc_fc_degrees_of_freedom=[28, 100]))
    assert "s1 0.2 and s2 0.1, 0.07 by chance." in others.chart.alt
    assert "by chance, a median |r| of 0.07, p < .05" in others.caption
    both = figure(ROWS.assign(smoothing_fwhm=[0.0, 6], qc_fc_participants=[30, 19]))
    assert both.caption == smoothed.caption
    assert not any(label.style.endswith("best") for label in smoothed.chart.labels)
    unknown = ROWS.assign(qc_fc_median=np.nan, qc_fc_degrees_of_freedom=0)
    assert "Grey bars" not in figure(unknown).caption
    assert figure(unknown).chart.alt.startswith("Pairs with p")
    assert figure(unknown[:1]) is None
    assert figure(ROWS[:1]) is not None


def test_a_value_that_is_missing_has_no_dot():
    chart = figure(ROWS.assign(modularity=[0.4, np.nan])).chart
    dots = [sum(mark.style == f"dot series-{i}" for mark in chart.marks) for i in (1, 2)]
    assert dots == [5, 4]
    assert not any("nan" in label.text for label in chart.labels)
    assert "Modularity: s1 0.4. " in chart.alt


def test_motion_in_pairs_without_those_of_a_seed_with_itself():
    """Chance is that of the strategy with the most degrees of freedom."""
    image = image_of(["n/a"] * 3)
    pairs = {"node_1": ["s0", "s0", "s0", "s1", "s1"], "node_2": ["s0", "s1", "s2", "s1", "s2"]}
    results = [
        result_of(
            image,
            name,
            row=row.assign(strategy=name).iloc[0],
            tables={"edges": pd.DataFrame({**pairs, "qc_fc": values})},
        )
        for name, row, values in (
            ("a", ROWS[:1].assign(qc_fc_degrees_of_freedom=39), [0.9, 0.1, -0.2, 0.9, 0.4]),
            ("b", ROWS[1:].assign(qc_fc_degrees_of_freedom=20), [0.9, 0.2, np.nan, 0.9, np.nan]),
            ("c", ROWS[1:].assign(qc_fc_degrees_of_freedom=90), [0.9, *[np.nan] * 4]),
        )
    ]
    level = level_of(condition_of(*results))
    (section,) = comparison_sections(level, {"group-a", "group-b", "group-c"})
    assert section.strategies == ("a", "b", "c")
    _, block = section.blocks
    assert block.heading == "Motion in pairs of seeds (QC-FC)"
    graphic = block.graphics[0]
    assert graphic.caption == (
        "Grey: distribution by chance. a: mean 0.1, standard deviation 0.24. b: mean 0.2."
    )
    edges = bins([Sample("", np.array([0.1, -0.2, 0.4, 0.2]), "")] * 2)
    chance = np.diff(stats.beta.cdf((edges + 1) / 2, 39 / 2, 39 / 2))
    (mark,) = [mark for mark in graphic.chart.marks if mark.style == "chance"]
    down = np.array(re.findall(r",([\d.]+)", mark.path), float)
    heights = down[0] - down[1:-1:2]
    np.testing.assert_allclose(heights / heights.sum(), chance / chance.sum(), atol=0.01)
    (alone,) = comparison_sections(level, {"group-c"})
    assert [own.heading for own in alone.blocks] == ["Strategies side by side"]
