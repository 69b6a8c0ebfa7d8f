"""Which runs to look at first, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group.data_quality import quality_of_runs, verdicts

COLUMNS = (
    *("source", "strategy", "mean_fd", "n_volumes", "coverage", "tsnr", "spheres_missing"),
    *("degrees_of_freedom", "n_censored", "n_kept", "excluded"),
)
ROWS = [
    ("sub-1_task-x", "a", 0.3, 100, 0.9, 50, 1, 60, 10, 90, 0),
    ("sub-1_task-x", "b", 0.3, 100, 0.8, 55, 2, 20, 30, 70, 0),
    ("sub-2_task-x", "a", 0.1, 100, 1.0, 40, 0, 70, 0, 100, 0),
    ("sub-2_task-x", "b", 0.1, 100, 1.0, 45, 0, 65, 5, 95, 0),
    ("sub-3_task-x_run-2", "a", 0.6, 80, 0.5, 30, 3, -2, 70, 10, 1),
    ("sub-3_task-x_run-2", "b", 0.6, 80, 0.6, 35, 4, 40, 10, 70, 0),
]


def level_of(rows=ROWS, excluded=(("sub-3_task-x_run-2", "a", "few volumes"),)):
    runs = pd.DataFrame(rows, columns=COLUMNS)
    runs = runs.assign(participant_id=runs["source"].str.split("_").str[0], session_id=np.nan)
    return SimpleNamespace(
        runs=runs, excluded=pd.DataFrame(excluded, columns=["source", "strategy", "reason"])
    )


@pytest.fixture
def runs():
    return quality_of_runs(level_of())


def test_runs_with_a_verdict_come_first(runs):
    assert runs["source"].tolist() == ["sub-3_task-x_run-2", "sub-1_task-x", "sub-2_task-x"]
    assert runs["run"].tolist() == ["task-x run-2", "task-x", "task-x"]
    assert runs["rank"].tolist() == [0, 1, 2]
    looks = [(cell.text, cell.key, cell.tone) for cell in runs["look_at"]]
    assert looks == [
        ("excluded, head motion", "0 excluded, head motion", "bad"),
        ("head motion, censoring, d.o.f.", "1 head motion, censoring, d.o.f.", "warn"),
        ("", "", ""),
    ]


def test_a_run_has_the_worst_of_its_strategies(runs):
    expected = {
        "mean_fd": [0.6, 0.3, 0.1],
        "n_volumes": [80, 100, 100],
        "coverage": [0.5, 0.8, 1],
        "tsnr": [30, 50, 40],
        "spheres_missing": [4, 2, 0],
        "degrees_of_freedom": [-2, 20, 65],
        "n_censored": [70, 30, 5],
        "degrees_of_freedom a": [-2, 60, 70],
        "n_censored b": [10, 30, 5],
        # Of strategies that do not exclude the run.
        "kept": [70, 70, 95],
        "left": [40, 20, 65],
        "excluded_by": ["a", "", ""],
        "why": ["few volumes", "", ""],
    }
    assert {name: runs[name].tolist() for name in expected} == expected


def test_verdicts_of_the_worst_runs(runs):
    first, second, third = verdicts(runs)
    assert (first.name, first.text, first.tone) == ("3 participants", "2 to look at", "bad")
    assert (second.name, second.text, second.tone) == (
        "sub-3, task-x run-2",
        "excluded by a; mean FD 0.6 mm: very high",
        "bad",
    )
    assert third.text == (
        "mean FD 0.3 mm: high; 70 of 100 volumes kept: many censored; 20 degrees of freedom: few"
    )
    fine = [(f"sub-{i}", *ROWS[2][1:]) for i in range(4)]
    (only,) = verdicts(quality_of_runs(level_of(fine, ())))
    assert (only.name, only.text, only.tone) == ("4 participants", "none to look at", "")
    moved = [(f"sub-{i % 5}_run-{i}", *ROWS[0][1:]) for i in range(8)]
    *shown, last = verdicts(quality_of_runs(level_of(moved, ())))
    assert (len(shown), shown[0].name, shown[0].text) == (7, "5 participants", "5 to look at")
    assert (last.name, last.text, last.tone) == ("2 more runs", "see the table of runs", "warn")
    assert len([*verdicts(quality_of_runs(level_of(moved[:6], ())))]) == 7


def test_reasons_of_several_strategies_are_told_once():
    excluded = [
        ("sub-1_task-x", "a", "few volumes"),
        ("sub-1_task-x", "b", "few volumes"),
        ("sub-1_task-x", "b", "few volumes"),
        ("sub-1_task-x", "c", "no filter fits"),
    ]
    rows = [(*row[:-1], 1) for row in ROWS[:2]]
    (run,) = quality_of_runs(level_of(rows, excluded)).to_dict("records")
    assert (run["excluded_by"], run["why"]) == ("a, b, c", "few volumes; no filter fits")
    assert np.isnan([run["kept"], run["left"]]).all()
    assert run["look_at"].text == "excluded, head motion"
