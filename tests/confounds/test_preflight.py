"""Everything that is wrong, over all runs and strategies, at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_spheres.confounds.design import Problem, check_strategies
from bids_spheres.confounds.strategy import Censor, HeadMotion, Strategy
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_strategies as published


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    names = ["csf", "white_matter", "rot_x", "cosine00"]
    return {
        f"run-{number}": (pd.DataFrame(rng.standard_normal((9, 4)), columns=names), {})
        for number in range(1, 6)
    }


def messages(tables, *strategies, **options):
    return [str(problem) for problem in check_strategies(tables.items(), strategies, **options)]


def test_nothing_is_wrong(tables):
    strategy = Strategy("a", "", ("^rot", "csf"), wm_csf="basic", high_pass=True)
    assert messages(tables, strategy, load_strategy("none")) == []
    assert messages({}, strategy) == []


@pytest.mark.parametrize("name", ["21", "1.4-aroma"])
def test_presets_on_real_tables(real_table, name):
    table = real_table(name)
    problems = check_strategies(
        [("run", (table.table, table.metadata))], [load_strategy(name) for name in published()]
    )
    expected = {"aroma", "aromaGSR"} if name == "21" else set()
    assert {problem.strategy for problem in problems} == expected


def test_everything_is_reported_at_once(tables):
    tables["run-2"] = (tables["run-2"][0].drop(columns="csf"), {})
    tables["run-3"][0].loc[4, "csf"] = np.nan
    tables["run-4"] = (pd.DataFrame([["x", 1, 2, 3]] * 9, columns=[*"abc", "csf"]), None)
    mine = Strategy("mine", "", ("csf", "^cosin$", "^rot"), source="mine.json")
    other = Strategy("other", "", ("whitematter",), censor=Censor(0.5))
    found = messages(tables, mine, other)
    expected = """\
The strategy mine (mine.json) asks for confounds, but the confounds table has no column csf. \
In 1 run: run-2.
The confounds table: the value in column csf, row 5, is missing. In 1 run: run-3.
  hint: Only the first row of a derivative may be n/a.
The strategy other asks for confounds, but the confounds table has no column whitematter. \
In 5 runs: run-1, run-2, run-3 and 2 more.
  hint: Similar columns in the table: white_matter.
The strategy other asks for censor.fd_threshold, but the confounds table has no column \
framewise_displacement. In 5 runs: run-1, run-2, run-3 and 2 more."""
    assert "\n".join(found) == expected


def test_a_pattern_that_matches_nothing_is_fine(tables):
    """A participant without outliers has no column of them, alone and beside others."""
    strategy = Strategy("a", "", ("^motion_outlier",))
    assert messages(tables, strategy) == []
    tables["run-5"][0]["motion_outlier00"] = 0.0
    assert messages(tables, strategy) == []


def test_columns_missing_for_one_reason_are_one_line(tables):
    for table, _ in tables.values():
        table[["csf_derivative1", "global_signal"]] = 0.0
    (line,) = messages(tables, Strategy("a", "", wm_csf="derivatives", global_signal="full"))[1:]
    missing = "global_signal_derivative1, global_signal_power2, global_signal_derivative1_power2"
    assert f"asks for global_signal, but the confounds table has no columns {missing}." in line
    (line,) = messages(tables, Strategy("a", "", ("whitematter", "csf", "rotx")))
    assert "has no columns whitematter, rotx. In 5 runs" in line
    assert "Similar columns in the table: rot_x, white_matter." in line


def test_a_bad_value_is_told_once_whatever_the_number_of_strategies(tables):
    tables["run-1"][0].loc[3, "csf"] = np.nan
    strategies = [Strategy(name, "", ("csf",)) for name in "abc"]
    assert len(messages(tables, *strategies)) == 1
    assert messages(tables, *strategies, values=False) == []


def test_headers_are_enough_without_values(tables):
    headers = {label: (table.iloc[:0], metadata) for label, (table, metadata) in tables.items()}
    assert messages(headers, Strategy("a", "", ("csf",)), values=False) == []
    assert len(messages(headers, Strategy("a", "", ("cs",)), values=False)) == 1
    # pandas does not know what kind of values a table without rows has.
    without_rows = {"a": (pd.DataFrame(columns=["csf", "framewise_displacement"]), {})}
    assert messages(without_rows, Strategy("a", "", ("csf",), censor=Censor(0.5))) == []


def test_a_name_twice(tables):
    first, second = messages(
        tables | {"run-6": (pd.DataFrame([[1, 2]], columns=["a", "a"]), {})},
        Strategy("a", "", ("csf",)),
        Strategy("a", "", ("rot_x",)),
    )
    assert "2 strategies have the name a, so their outputs would collide" in first
    assert second == "The confounds table: column a occurs twice. In 1 run: run-6."


def test_motion_that_can_not_be_measured_is_a_problem_of_the_file(tables):
    motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    rng = np.random.default_rng(1)
    whole = pd.DataFrame(rng.standard_normal((9, 6)), columns=motion)
    gap = whole.copy()
    gap.loc[4, "rot_y"] = np.nan
    runs = {"a": (whole, {}), "b": (gap, {})}
    # Neither repetition time nor head radius are known yet, nor is fMRIPrep's measure needed.
    rules = HeadMotion("fair2020", "auto")
    strategy = Strategy("m", "", head_motion=rules, censor=Censor(fd_threshold=0.5))
    (problem,) = check_strategies(runs.items(), [strategy])
    assert (problem.runs, problem.strategy, problem.of_file) == (("b",), "", True)
    assert problem.message.endswith("the value in column rot_y, row 5, is missing.")
    (problem,) = check_strategies(tables.items(), [strategy])
    assert (problem.strategy, problem.of_file) == ("m", False)
    assert "asks for head_motion, but the confounds table has no columns trans_x" in str(problem)


def test_problems_are_in_the_order_of_the_strategies(tables):
    tables["run-3"] = (pd.DataFrame([[1, 2]], columns=["a", "a"]), {})
    second = Strategy("b", "", ("y",))
    first, then = Strategy("a", "", ("^cosine", "x")), Strategy("b", "", wm_csf="full")
    found = check_strategies(tables.items(), [first, second, then])
    assert [problem.strategy for problem in found] == ["b", "", "a", "b", "b"]
    assert found[0].message.startswith("2 strategies have the name b")
    assert found[1].runs == ("run-3",)
    assert not any(problem.of_file for problem in found)
    assert str(Problem("What.", ("a",), hint="So.")) == "What. In 1 run: a.\n  hint: So."
    assert str(Problem("What.")) == "What."


@pytest.mark.parametrize("name", ["rot_x", "white_matter", "framewise_displacement"])
def test_a_gap_in_any_column_is_found_also_in_one_that_is_censored_by(tables, name):
    for table, _ in tables.values():
        table["framewise_displacement"] = 0.1
    tables["run-4"][0].loc[6, name] = np.nan
    strategy = Strategy("a", "", ("csf", "rot_x", "white_matter"), censor=Censor(0.5))
    (problem,) = check_strategies(tables.items(), [strategy])
    assert (problem.runs, problem.of_file) == (("run-4",), True)
    assert problem.message.endswith(f"the value in column {name}, row 7, is missing.")
