"""Specification curves by arithmetic, and their words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group.multiverse import Effect, curve_sections, robustness_section
from bids_spheres.wording import NO_BREAK

ABOUT = {
    "Robust": {"Q": 0.01, "Share": 0.75, "QCFCSignificant": 0.1},
    "NamedEdges": [["p", "q"], ["r", "s"]],
    "Specifications": [1, 2, 3, 4],
}
ROWS = pd.DataFrame(
    {
        "strategy": ["a", "b", "b", "a"],
        "scale": ["r10", "r5", "r10", "r5"],
        "measure": ["pearsoncorrelation"] * 4,
        "seeds": ["Mine"] * 4,
        "ci_low": [-0.3, -0.1, np.nan, 0.2],
        "estimate": [-0.2, 0.0, 0.1, 0.4],
        "ci_high": [-0.1, 0.1, np.nan, 0.6],
        "q": [0.001, 0.5, np.nan, 0.01],
        "qc_fc_significant": [0.05, 0.2, np.nan, 0.1],
    }
)


def effect(anchor="effect-1", family="F", **row):
    shares = {f"share_{choice}": np.nan for choice in ("strategy", "scale", "measure", "seeds")}
    row = {
        "network_1": "visual",
        "network_2": "visual",
        "contrast": "mean",
        "minimum": -0.2,
        "maximum": 0.4,
        "median": 0.05,
        "specifications": 4,
        "positive": 0.75,
        "significant": 0.25,
        "within_chance": 3,
        "significant_within_chance": 2 / 3,
        "verdict": "fragile",
        **shares,
        "share_strategy": 0.25,
        "share_scale": 0.004,
        **row,
    }
    return Effect(anchor, family, pd.Series(row), ROWS, ABOUT)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({}, "Within visual"),
        ({"network_2": "motor"}, "visual \N{EN DASH} motor"),
        ({"contrast": "age"}, "age: Within visual"),
        ({"network_1": np.nan}, "p \N{EN DASH} q and r \N{EN DASH} s"),
    ],
)
def test_names_of_effects(row, name):
    assert effect(**row).name == name


def test_estimates_and_verdicts_in_words():
    assert effect().estimates == (
        f"Within visual: 4 estimates from -0.2 to 0.4, median 0.05. Variance explained: strategy "
        f"25{NO_BREAK}% and radius 0.4{NO_BREAK}%."
    )
    assert effect().verdict == (
        "Fragile: 3 of 4 estimates are positive; q < 0.01 in 2 of 3 whose QC-FC is within chance."
    )
    assert effect(share_measure=0.0).estimates.endswith(
        f"radius 0.4{NO_BREAK}% and measure 0{NO_BREAK}%."
    )
    for share, sign in ((0, "negative"), (1, "positive")):
        own = effect(positive=share, within_chance=0, verdict="robust")
        assert own.verdict == (
            f"Robust: all 4 estimates are {sign}; no specification has QC-FC within chance."
        )
    assert effect(verdict=np.nan).verdict.startswith("No verdict: ")


def test_which_effects_have_a_curve_and_in_which_order():
    found = [
        effect("small", median=0.1),
        effect("large", median=-0.4),
        effect("contrast", contrast="age", median=0.01),
        effect("named", network_1=np.nan, median=0.02),
    ]
    level = SimpleNamespace(styles={"a": "series-0", "b": "series-1"})
    sections = [*curve_sections(level, found, 3)]
    assert [section.anchor for section in sections] == ["named", "contrast", "large"]
    assert sections[2].title == "Within visual"
    assert sections[2].strategies == ("a", "b")
    others = [*curve_sections(level, [*found, effect("other", "G")], 9)]
    assert others[2].title == "F: Within visual"
    (words,) = robustness_section(found).sentences
    assert words == (
        "F: none of 4 effects is robust over 4 specifications. Robust means one sign in all of "
        f"them, and q < 0.01 in at least 75{NO_BREAK}% of those in which QC-FC is within chance: "
        f"at most 10{NO_BREAK}% of pairs go with motion (p < .05)."
    )
    some = [effect(verdict="robust"), effect(verdict="robust", contrast="age"), *found]
    (words,) = robustness_section(some).sentences
    assert words.startswith(
        "F: 2 of 6 effects are robust over 4 specifications: Within visual and age: Within visual."
    )


def test_a_curve_is_to_scale():
    """530 pixels for four specifications, 180 for estimates, 60 for QC-FC."""
    level = SimpleNamespace(styles={"a": "series-0", "b": "series-1"})
    (section,) = curve_sections(level, [effect()], 1)
    chart = section.blocks[0].graphics[0].chart
    marks = {}
    for mark in chart.marks:
        marks.setdefault(mark.style, []).append(mark.path)
    middles = 150 + 530 * (np.arange(4) + 0.5) / 4

    def down(value):
        low, high = -0.3 - 0.04 * 0.9, 0.6 + 0.04 * 0.9
        return 8 + 180 * (high - value) / (high - low)

    def dot(x, y):
        return f"M{x - 3.2:.1f},{y:.1f}a"

    assert marks["lead"] == [f"M150.0,{down(0):.1f}H680.0"]
    (whisker,) = marks["whisker series-0"]
    assert whisker == (
        f"M{middles[0]:.1f},{down(-0.3):.1f}V{down(-0.1):.1f}"
        f"M{middles[3]:.1f},{down(0.2):.1f}V{down(0.6):.1f}"
    )
    assert marks["whisker series-1"] == [f"M{middles[1]:.1f},{down(-0.1):.1f}V{down(0.1):.1f}"]
    first, qc_fc, *choices = marks["dot series-0"]
    assert first.startswith(dot(middles[0], down(-0.2)))
    assert first.count("M") == 1  # q of 0.01 is not below 0.01
    assert marks["dot hollow series-0"][0].startswith(dot(middles[3], down(0.4)))
    assert marks["dot hollow series-1"][0].count("M") == 2
    # QC-FC from 0 to 20 %, with the limit at 10 %.
    top, high = 8 + 180 + 26, 20 * 1.06
    assert marks["threshold"] == [f"M150.0,{top + 60 * (1 - 10 / high):.1f}H680.0"]
    assert qc_fc.startswith(dot(middles[0], top + 60 * (1 - 5 / high)))
    assert dot(middles[3], top + 60 * (1 - 10 / high)) in qc_fc
    # A row for each choice of what differs.
    rows = top + 60 + 26 + np.array([15, 30, 30 + 26 + 15, 60 + 26])
    assert choices[0].startswith(dot(middles[0], rows[0]))
    assert choices[1] == ""
    assert choices[2].startswith(dot(middles[3], rows[2]))
    assert choices[3].startswith(dot(middles[0], rows[3]))
    bars = [(mark.path, mark.title) for mark in chart.marks if mark.style == "stripe"]
    above = top + 60 + 26
    assert bars == [
        (f"M688,{above - 5:.1f}h12.5v10H688Z", f"Strategy: 25{NO_BREAK}%"),
        (f"M688,{above + 56 - 5:.1f}h0.5v10H688Z", f"Radius: 0.4{NO_BREAK}%"),
    ]
    texts = [(label.text, label.across, label.down) for label in chart.labels[-8:]]
    assert texts == [
        ("Strategy", 142, above + 4),
        (f"25{NO_BREAK}%", 778, above + 4),
        ("a", 142, rows[0] + 4),
        ("b", 142, rows[1] + 4),
        ("Radius", 142, above + 56 + 4),
        (f"0.4{NO_BREAK}%", 778, above + 56 + 4),
        ("r5", 142, rows[2] + 4),
        ("r10", 142, rows[3] + 4),
    ]
    assert chart.height == int(rows[3] + 26 - 13)
