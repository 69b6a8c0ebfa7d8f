"""Limits of motion, censoring and degrees of freedom, as the page writes them."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.reports.toolkit.limits import (
    LIMITS_IN_WORDS,
    Judgement,
    Verdict,
    judge_censoring,
    judge_degrees_of_freedom,
    judge_motion,
)


@pytest.mark.parametrize(
    ("judge", "numbers", "text", "tone"),
    [
        (judge_motion, (0.25,), "mean FD 0.25 mm", ""),
        (judge_motion, (0.251,), "mean FD 0.25 mm: high", "warn"),
        (judge_motion, (0.55,), "mean FD 0.55 mm: high", "warn"),
        (judge_motion, (0.56,), "mean FD 0.56 mm: very high", "bad"),
        (judge_motion, (np.nan,), "mean FD not known", ""),
        (
            judge_censoring,
            (
                80,
                100,
            ),
            "80 of 100 volumes kept",
            "",
        ),
        (
            judge_censoring,
            (
                79,
                100,
            ),
            "79 of 100 volumes kept: many censored",
            "warn",
        ),
        (judge_degrees_of_freedom, (25,), "25 degrees of freedom", ""),
        (judge_degrees_of_freedom, (24.4,), "24 degrees of freedom: few", "warn"),
        (judge_degrees_of_freedom, (2,), "2 degrees of freedom: too few", "bad"),
    ],
)
def test_beyond_a_limit_there_is_a_word_and_a_colour(judge, numbers, text, tone):
    assert judge(*numbers) == Judgement(text, tone)


def test_the_limits_are_written():
    for limit in (
        "0.25 mm",
        "0.55 mm",
        "20\N{NO-BREAK SPACE}%",
        "25 degrees",
        "Parkes et al. 2018",
    ):
        assert limit in LIMITS_IN_WORDS


def test_the_worst_gives_the_colour():
    fine, high = judge_motion(0.1), judge_motion(0.4)
    assert Verdict.of("a", "run", [fine, judge_degrees_of_freedom(1), high]).tone == "bad"
    assert Verdict.of("a", "run", [fine, high]).text == "mean FD 0.1 mm; mean FD 0.4 mm: high"
    assert Verdict.of("a", "run", [fine]).tone == ""
