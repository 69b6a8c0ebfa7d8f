"""Patterns of strategy files: those that may search for ever are refused."""

from __future__ import annotations

import re
import time

import pytest

from bids_spheres.confounds.columns import MAX_NAME, matching_names, pattern_problem

NAMES = ("csf", "trans_x", "trans_x_derivative1_power2", "a_comp_cor_00", "motion_outlier12")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^motion_outlier\d+$", NAMES[4:]),
        (r"^(trans|rot)_[xyz](_derivative1)?(_power2)?$", NAMES[1:3]),
        (r"^csf.*|^trans.*|^a_.*|^motion.*", NAMES),
        (r"^(csf.*|trans.*|a_comp_cor_.*|motion.*)$", NAMES),
        (r"^[atwc]_comp_cor_0[0-4]$", NAMES[3:4]),
        (r"^(?!csf)[a-z_]+$", NAMES[1:2]),
        (r"^[ac(*+]\w{2}$", NAMES[:1]),
        (r"^[^])_]+$", NAMES[:1]),
        (r"^[])c]+s+f$|^\(+|^a\)*$", NAMES[:1]),
        (r"^(?:csf)(?=$)", NAMES[:1]),
        (r"^csf$|_power\d$", (NAMES[0], NAMES[2])),
        ("^(" + "|".join(f"a_comp_cor_{i:02d}" for i in range(60)) + ")$", NAMES[3:4]),
    ],
)
def test_what_strategies_need_is_taken(pattern, expected):
    assert pattern_problem(pattern) is None
    assert matching_names(pattern, NAMES) == list(expected)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(\w+_?)*$",
        r"^(a+)+$",
        r"^((a|a))*$",
        r"^(a*){20}$",
        r"^(a|aa)+$",
        r"^(?:a?){30}a{30}$",
        r"^(?:a|b|ab)*+c",
        "^" + "(a|a)" * 40 + "$",
        "^" + "a?" * 40 + "a" * 40,
        "^" + "a*" * 30 + "$",
        "^" + "[a]{0,90}" * 8 + "$",
        r"^(a)\1*$",
        r"^(?P<x>a)(?P=x)+$",
        r"^(?>a+)+$",
        r"^(?i)csf$",
        r"^c(?<=c)sf$",
        "^" + "a" * 2000,
    ],
)
def test_what_may_search_for_ever_is_refused(pattern):
    assert pattern_problem(pattern)


@pytest.mark.parametrize(
    "pattern", ["^a*a*a*b", "^x|a*a*a*b", "^" + "a?" * 21 + "b", "^" + "(a|a)" * 21 + "b"]
)
def test_the_worst_that_is_taken_ends_soon(pattern):
    assert pattern_problem(pattern) is None
    start = time.process_time()
    assert matching_names(pattern, ["a" * MAX_NAME]) == []
    assert time.process_time() - start < 2


def test_just_as_long_and_in_just_as_many_ways_as_are_taken():
    assert pattern_problem("^" + 999 * "a") is None
    assert "has 1001 characters, more than 1000" in pattern_problem("^" + 1000 * "a")
    # 100 to the third for the three stars of each.
    four = "|".join(4 * ["a*a*a*"])
    assert pattern_problem(four) is None
    assert "too many ways" in pattern_problem(f"{four}|x")
    assert "too many ways" in pattern_problem(f"(b?)({four})")


def test_longer_names_match_nothing():
    assert matching_names("^a", ["a" * MAX_NAME, "a" * (MAX_NAME + 1)]) == ["a" * MAX_NAME]


@pytest.mark.parametrize("pattern", ["^(", "^[", "^*", "^a{2,1}", "^(?<=a*)b"])
def test_what_is_no_regular_expression(pattern):
    with pytest.raises(re.error):
        re.compile(pattern)
    assert "not a regular expression" in pattern_problem(pattern)
