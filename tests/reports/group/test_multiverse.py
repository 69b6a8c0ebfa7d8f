"""Specification curves of the page, against the tables of which they are."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from bids_spheres.errors import DataError
from bids_spheres.reports.group import write_group_report
from bids_spheres.reports.group.multiverse import motion_rule
from bids_spheres.wording import NO_BREAK
from tests.group.conftest import NETWORKS, correlations, new_outputs
from tests.reports.group.conftest import page_of, read
from tests.reports.group.test_page import by_id, table_of, words
from tests.reports.toolkit.browser import CHROMIUM, Browser

STATS = ("pearsoncorrelation", "spearmancorrelation")
NAMES = {"pearsoncorrelation": "r", "spearmancorrelation": "rank correlation"}
EDGE = "s0 \N{EN DASH} s2"


@pytest.fixture(scope="module")
def multiverse(tmp_path_factory):
    """Outputs of two strategies and two measures, the page, and both tables."""
    rng = np.random.default_rng(20201)
    outputs = new_outputs(tmp_path_factory.mktemp("multiverse") / "out")
    for i in range(14):
        for strategy, shared in (("24P", 0.9), ("simple", 0.15)):
            matrix = correlations(rng, len(NETWORKS), shared=shared)
            for stat in STATS:
                noise = 0.02 * rng.standard_normal()
                own = np.where(np.eye(len(matrix)), 1, matrix * (0.9 + noise))
                facts = {"MeanFramewiseDisplacement": 0.05 + 0.01 * ((7 * i) % 14)}
                outputs.add(f"{i:02d}", own, strategy=strategy, stat=stat, **facts)
    path, problems = page_of(outputs, multiverse=True, multiverse_edges=("s0,s2",))
    assert problems == []
    (robustness,) = (outputs.root / "group").glob("*_robustness.tsv")
    (specifications,) = (outputs.root / "group").glob("*_specifications.tsv")
    return path, read(robustness), read(specifications), robustness.with_suffix(".json")


@pytest.fixture
def document(multiverse, parse):
    return parse(multiverse[0].read_text(encoding="utf-8"))


def name_of(effect):
    first, second = effect["network_1"], effect["network_2"]
    if first == "n/a":
        return EDGE
    return f"Within {first}" if first == second else f"{first} \N{EN DASH} {second}"


def curves(multiverse, document):
    """Charts of effects, and rows of their specifications."""
    _, robustness, specifications, _ = multiverse
    for effect in robustness.to_dict("records"):
        (step,) = [
            step
            for step in by_id(document, "multiverse").all("section", **{"class": "step"})
            + by_id(document, "multiverse").all("section", **{"class": "step current"})
            if words(step.children[0]) == name_of(effect)
        ]
        rows = specifications[specifications["effect"] == effect["effect"]]
        yield effect, step, rows.sort_values("rank", key=lambda rank: rank.astype(int))


def circles(chart, style):
    """Centres and strategies of dots with a style, (x, y, strategy) from the left."""
    found = []
    for path in chart.all("path"):
        if path.attrs["class"].startswith("dot") and style(path.attrs["class"]):
            for x, y, r in re.findall(r"M([\d.]+),([\d.]+)a([\d.]+)", path.attrs["d"]):
                found.append((float(x) + float(r), float(y), path.attrs["data-of"]))
    return sorted(found)


def scale(chart, above):
    """From pixels to values of the axis whose tick labels are between two heights."""
    ticks = [
        (float(t.attrs["y"]) - 4, float(words(t).replace("\N{MINUS SIGN}", "-")))
        for t in chart.all("text")
        if re.fullmatch("\N{MINUS SIGN}?[\\d.]+", words(t))
        and above[0] < float(t.attrs["y"]) < above[1]
    ]
    (y0, v0), *_, (y1, v1) = sorted(ticks)
    return lambda y: v0 + (y - y0) * (v1 - v0) / (y1 - y0)


def test_dots_and_lines_are_estimates_and_intervals(multiverse, document):
    n_curves = 0
    for _, step, rows in curves(multiverse, document):
        (chart,) = step.all("svg", **{"class": "chart"})
        value = scale(chart, (0, 195))
        dots = [dot for dot in circles(chart, bool) if dot[1] < 190]
        estimates = rows["estimate"].astype(float).to_numpy()
        assert [dot[2] for dot in dots] == rows["strategy"].tolist()
        span = float(np.ptp(rows[["ci_low", "ci_high"]].astype(float).to_numpy()))
        np.testing.assert_allclose([value(y) for _, y, _ in dots], estimates, atol=0.005 * span)
        assert sorted(estimates) == estimates.tolist()
        ends = {}
        paths = (path.attrs for path in chart.all("path"))
        whiskers = (own["d"] for own in paths if own["class"].startswith("whisker"))
        for x, low, high in re.findall(r"M([\d.]+),([\d.]+)V([\d.]+)", "".join(whiskers)):
            ends[float(x)] = value(float(low)), value(float(high))
        intervals = rows[["ci_low", "ci_high"]].astype(float).to_numpy()
        np.testing.assert_allclose([ends[x] for x in sorted(ends)], intervals, atol=0.005 * span)
        hollow = circles(chart, lambda style: "hollow" in style)
        assert len(hollow) == (rows["q"].astype(float) >= 0.05).sum()
        assert f"{len(rows)} estimates" in chart.attrs["aria-label"]
        n_curves += 1
    assert n_curves == len(multiverse[1]) >= 4


def test_dots_below_mark_the_choices_and_qc_fc(multiverse, document):
    for _, step, rows in curves(multiverse, document):
        (chart,) = step.all("svg", **{"class": "chart"})
        columns = sorted({x for x, *_ in circles(chart, bool)})
        assert len(columns) == len(rows)
        text = {words(t): float(t.attrs["y"]) - 4 for t in chart.all("text")}
        lower = circles(chart, lambda style: "hollow" not in style)
        for column, labels in (("strategy", {}), ("measure", NAMES)):
            for option in set(rows[column]):
                own = [x for x, y, _ in lower if abs(y - text[labels.get(option, option)]) < 0.2]
                chosen = [columns.index(x) for x in own]
                assert chosen == np.flatnonzero(rows[column] == option).tolist()
        value = scale(chart, (205, 285))
        shares = [value(y) for _, y, _ in lower if 210 < y < 276]
        np.testing.assert_allclose(shares, 100 * rows["qc_fc_significant"].astype(float), atol=1)


def test_bars_are_the_shares_of_choices(multiverse, document):
    for effect, step, _ in curves(multiverse, document):
        bars = {
            bar.all("title")[0].text.partition(":")[0]: float(
                re.search(r"h([\d.]+)v", bar.attrs["d"])[1]
            )
            for bar in step.all("path", **{"class": "stripe"})
        }
        assert set(bars) == {"Strategy", "Measure"}
        for choice, length in bars.items():
            share = float(effect[f"share_{choice.lower()}"])
            assert length == pytest.approx(max(50 * share, 0.5), abs=0.06)


def test_a_strategy_has_its_colour_everywhere(document):
    styles = {}
    for path in document.all("path"):
        for style in re.findall(r"series-\d+", path.attrs["class"]):
            if "data-of" in path.attrs:
                styles.setdefault(path.attrs["data-of"], set()).add(style)
    assert {strategy: len(own) for strategy, own in styles.items()} == {"24P": 1, "simple": 1}


def test_the_table_of_effects_is_that_of_the_file(multiverse, document):
    rows = {row["Effect"]: row for row in table_of(document, "robustness-table")}
    assert len(rows) == len(multiverse[1])
    for effect in multiverse[1].to_dict("records"):
        row = rows[name_of(effect)]
        assert row["Verdict"] == effect["verdict"]
        for head, column, factor in (
            ("Median", "median", 1),
            ("From", "minimum", 1),
            ("Positive %", "positive", 100),
            ("Significant %", "significant", 100),
            ("Within chance by QC-FC", "within_chance", 1),
            ("Strategy % of variance", "share_strategy", 100),
        ):
            assert float(row[head]) == pytest.approx(factor * float(effect[column]), abs=0.06)


def test_the_rule_about_motion_is_that_of_permutations_where_there_are_any():
    rule = {"Q": 0.05, "Share": 0.8, "QCFCSignificant": 0.2}
    assert motion_rule(rule) == f"at most 20{NO_BREAK}% of pairs go with motion (p < .05)"
    permuted = "QC-FC has p of at least 0.05 by permutations of head motion"
    assert motion_rule({**rule, "QCFCPermutationP": 0.05}) == permuted


def test_sentences_say_what_is_robust_by_which_rule(multiverse, document):
    rule = json.loads(multiverse[3].read_text())["Robust"]
    assert rule == {"Q": 0.05, "Share": 0.8, "QCFCSignificant": 0.1}
    text = words(by_id(document, "multiverse").all("p")[0])
    robust = [name_of(e) for e in multiverse[1].to_dict("records") if e["verdict"] == "robust"]
    n = len(multiverse[1])
    assert f"{len(robust) or 'none'} of {n} effects" in text
    assert "over 4 specifications" in text
    assert all(name in text for name in robust)
    assert "q < 0.05 in at least 80 % of those in which QC-FC is within chance" in text
    assert "at most 10 % of pairs go with motion" in text
    for effect, step, rows in curves(multiverse, document):
        own, estimates = words(step.all("p")[0]), rows["estimate"].astype(float)
        assert own.startswith(("Robust:", "Fragile:", "No verdict:"))
        assert own.startswith("Robust:") == (effect["verdict"] == "robust")
        sign = "all 4 estimates are positive"
        if (estimates < 0).any():
            sign = f"{(estimates > 0).sum()} of 4 estimates are positive"
            sign = sign if (estimates > 0).any() else "all 4 estimates are negative"
        assert sign in own
        within = rows["qc_fc_within_chance"].astype(float) == 1
        significant = within & (rows["q"].astype(float) < 0.05)
        tests = f"in {significant.sum()} of {within.sum()} whose QC-FC is within chance"
        assert (tests if within.any() else "no specification has QC-FC within chance") in own


def test_methods_and_files_have_their_words(document):
    assert "4 specifications" in words(by_id(document, "methods"))
    contents = {row["Content"] for row in table_of(document, "files-table")}
    assert "effects under every choice of analysis" in contents
    assert not [content for content in contents if "not by" in content]


def test_a_table_without_its_rule_is_one_message(multiverse, tmp_path):
    shutil.copytree(multiverse[0].parent, tmp_path / "out")
    path = tmp_path / "out" / "group" / multiverse[3].name
    path.write_text("{}")
    with pytest.raises(DataError, match=re.escape(f"{path} does not say what is robust.")):
        write_group_report(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_curves_in_a_browser(multiverse, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(multiverse[0], width=420)
        assert browser.ask("document.documentElement.scrollWidth") <= 420
        browser.media("", "dark")
        paper = browser.ask("getComputedStyle(document.body).backgroundColor")
        hollow = "getComputedStyle(document.querySelector('#multiverse .hollow')).{}"
        assert browser.ask(hollow.format("fill")) == paper
        browser.focus("#multiverse [data-pick='simple']")
        browser.press("Enter")
        assert set(browser.shown("#multiverse [data-of]:not(button)")) == {"simple"}
        assert browser.complaints() == []
