"""What the page says of numbers that can't be taken at their face value."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from bids_spheres.reports.group import write_group_report
from tests.group.conftest import POINTS, correlations, without
from tests.reports.group.test_page import by_id, table_of, words

S = len(POINTS)
ASYM, NLIN6 = "MNI152NLin2009cAsym", "MNI152NLin6Asym"


@pytest.fixture
def rng():
    return np.random.default_rng(20260117)


@pytest.fixture
def page(parse, outputs):
    def read(**options):
        assert run_group(outputs.root, GroupOptions(**options)) == []
        return parse(write_group_report(outputs.root).read_text(encoding="utf-8"))

    return read


def text_of(document, section):
    return words(by_id(document, section))


def test_tests_after_global_signal_regression(outputs, rng, page):
    for i in range(1, 7):
        for strategy, regressors in (("simple", ["csf"]), ("simpleGSR", ["csf", "global_signal"])):
            facts = {"NuisanceParameters": regressors, "MeanFramewiseDisplacement": 0.01 * i}
            outputs.add(f"{i:02d}", correlations(rng, S), strategy=strategy, **facts)
    document = page()
    said = "tests of means against 0 (t, p and q) do not hold: the global signal"
    assert f"simpleGSR: {said}" in text_of(document, "warnings")
    assert f" simple: {said}" not in text_of(document, "warnings")
    assert "simpleGSR: tests against 0 (q) do not hold" in text_of(document, "connectivity")
    methods = text_of(document, "methods")
    assert "After simpleGSR these tests do not hold: the global signal was regressed" in methods
    assert "Murphy" in methods
    assert "Pairs of fewer than 3 participants were not tested." in methods


def test_tests_where_edges_go_with_motion(outputs, rng, page):
    for i in range(1, 31):
        fd = 0.02 * i
        matrix = correlations(rng, S, 400, shared=0.2 + 3 * fd)
        outputs.add(f"{i:02d}", matrix, MeanFramewiseDisplacement=fd)
    document = page()
    assert "100 % of edges go with head motion" in text_of(document, "warnings")
    assert "After simple these tests do not hold: 100 % of edges" in text_of(document, "methods")


def test_participants_with_few_degrees_of_freedom(outputs, rng, page):
    for i, freedom in enumerate((90, 24.9, 25, 2.4), start=1):
        outputs.add(f"{i:02d}", correlations(rng, S), DegreesOfFreedom=freedom)
    # Two runs count together.
    for run in (1, 2):
        source = f"task-rest_run-{run}"
        outputs.add("05", correlations(rng, S), source=source, DegreesOfFreedom=13)
    text = text_of(page(), "warnings")
    assert "2 participants with fewer than 25 degrees of freedom" in text
    assert "sub-02 with 24.9 and sub-04 with 2.4" in text


@pytest.mark.slow
def test_strategies_that_are_smoothed_differently_are_not_ranked(outputs, rng, page, caplog):
    for i in range(1, 6):
        for strategy, width in (("aroma", 6), ("simple", 0), ("24P", 0)):
            facts = {"SmoothingFWHM": width, "MeanFramewiseDisplacement": 0.01 * i}
            outputs.add(f"{i:02d}", correlations(rng, S), strategy=strategy, **facts)
    with caplog.at_level("WARNING", "bids_spheres"):
        document = page()
    said = "images were smoothed differently"
    assert caplog.text.count(said) == 1
    warnings = text_of(document, "warnings")
    assert said in warnings
    assert "6 mm for aroma" in warnings
    assert not document.all("text", **{"class": "name value best"})
    assert "None is marked as best" in text_of(document, "strategies")
    rows = {row["Strategy"]: row for row in table_of(document, "strategies-table")}
    assert [float(rows[name]["Smoothing mm"]) for name in ("aroma", "simple")] == [6, 0]
    # Two that are smoothed alike are ranked.
    document = page(select=(("desc", ("simple", "24P")),))
    assert said not in text_of(document, "warnings")
    assert document.all("text", **{"class": "name value best"})


def test_spaces_that_are_pooled_and_those_that_are_not(outputs, rng, page):
    for label, space in (("01", ASYM), ("02", NLIN6), ("03", NLIN6)):
        outputs.space = space
        outputs.add(label, correlations(rng, S))
    document = page()
    rows = table_of(document, "absent-table")
    reasons = {(row["Participant"], row["Why"]) for row in rows}
    assert ("sub-01", f"images in space {ASYM}") in reasons
    assert ("sub-02", f"images in space {NLIN6}") in reasons
    document = page(pool_spaces=True)
    assert f"pooled (1 in {ASYM} and 2 in {NLIN6})" in text_of(document, "warnings")
    assert f"in different spaces ({ASYM} and {NLIN6}) were pooled" in text_of(document, "methods")
    assert 'id="absent-table"' not in str(document)


def test_covariates_of_qc_fc(outputs, rng, page):
    for i in range(1, 13):
        outputs.add(f"{i:02d}", correlations(rng, S), MeanFramewiseDisplacement=0.01 * i**2)
    age = rng.uniform(20, 70, 12).round()
    labels = [f"{i:02d}" for i in range(1, 13)]
    table = outputs.participants(participant_id=labels, age=age)
    document = page(qcfc_covariates=("age",), participants_table=table)
    assert "a partial correlation, adjusted for age" in text_of(document, "strategies")
    assert "before censoring), adjusted for age" in text_of(document, "methods")


def test_pairs_that_are_not_tested_are_counted(outputs, rng, page):
    for i in range(1, 7):
        matrix = correlations(rng, S)
        outputs.add(f"{i:02d}", without(matrix, 0) if i > 2 else matrix)
    assert "4 pairs not tested: fewer than 3 participants have them" in text_of(page(), "warnings")


def test_everybody_without_a_result_is_in_a_table(outputs, rng, page):
    for i in range(1, 4):
        outputs.add(f"{i:02d}", correlations(rng, S))
    gone = [(f"sub-{i}", "in participants.tsv, not in the input") for i in range(10, 40)]
    document = page(expected=tuple(gone))
    rows = [
        (row["Participant"], row["Why"], row["In"]) for row in table_of(document, "absent-table")
    ]
    assert rows == [(label, reason, "all groups") for label, reason in gone]
    assert "30 participants without a result after simple" in text_of(document, "warnings")
