"""Warnings and the sentences at the top, from values by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bids_spheres.reports.group import page
from bids_spheres.reports.group.group_warnings import cautions
from tests.reports.group.values import condition_of, image_of, level_of, people_of, result_of

IMAGE = image_of(["n/a"] * 3)
ABOVE_LIMIT = people_of(20)
OF_SPACES = "; the same coordinates are up to some mm apart in brains of different templates"


def said(*results, **level):
    return cautions(level_of(condition_of(*results), **level))


@pytest.mark.parametrize(("left", "n"), [([24.94, 25, 26], 1), ([25, 25.1, 90], 0)])
def test_fewer_than_25_degrees_of_freedom_are_few(left, n):
    people = people_of(20, degrees_of_freedom=[*left, *[90] * 17])
    texts = said(result_of(IMAGE, people=people))
    assert len(texts) == n
    if n:
        assert texts[0].startswith("1 participant with fewer than 25 degrees of freedom, whose")
        assert "all tests: sub-1 with 24.9; --min-dof" in texts[0]


def test_participants_without_a_result_do_not_count():
    people = people_of(
        22, degrees_of_freedom=[3, 4, *[60] * 20], mean_fd=[np.nan, 0.1, np.nan, *[0.2] * 19]
    ).assign(used=[0, np.nan, *[1] * 20], reason=["few volumes", "few volumes", *[None] * 20])
    first, second = said(result_of(IMAGE, people=people))
    assert first == "2 participants without a result after a (few volumes): sub-1 and sub-2."
    assert second.startswith("The motion of 1 participant is not known")
    assert second.endswith("leaves them out: sub-3.")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 30], "With one participant, neither spread nor tests can be estimated."),
        ([2, 30], "2 participants, too few to compare strategies"),
        ([19, 30], "19 participants, too few to compare strategies"),
        ([20, 30], ""),
    ],
)
def test_the_strategy_with_the_fewest_participants_counts(numbers, words):
    people = [people_of(n).assign(participant_id=[f"sub-{i}" for i in range(n)]) for n in numbers]
    gone = result_of(IMAGE, "c", people=people_of(0), suffixes=())
    own = [result_of(IMAGE, name, own) for name, own in zip("ab", people, strict=True)]
    texts = said(*own, gone)
    few = [text for text in texts if "too few" in text or "With one" in text]
    assert len(few) == bool(words)
    assert all(text.startswith(words) for text in few)
    assert texts[-1] == (
        f"Strategies rest on different participants ({numbers[0]} after a, 30 after b and 0 after "
        "c), which alone can make one look better than another."
    )


def test_as_many_but_other_participants():
    others = ABOVE_LIMIT.assign(participant_id=[f"sub-{i}" for i in range(2, 22)])
    (text,) = said(result_of(IMAGE, people=ABOVE_LIMIT), result_of(IMAGE, "b", others))
    assert text.startswith("Strategies rest on different participants (20 after a and 20 after b)")
    assert said(result_of(IMAGE, people=ABOVE_LIMIT), result_of(IMAGE, "b", ABOVE_LIMIT)) == []


def test_what_sidecars_say():
    about = {
        "EdgesWithoutTest": 1,
        "MinimumParticipants": 3,
        "Differences": ["x is 1 in 4"],
        "PooledSpaces": {"A": 3, "B": 1200},
        "TestsAgainstZeroDoNotHold": ["of motion"],
    }
    model = {
        "Model": "age",
        "LeftOut": {"sub-3": "without age"},
        "Notes": ["site is a number"],
        "EdgesWithoutCoefficients": 2,
    }
    result = result_of(IMAGE, people=ABOVE_LIMIT, about=about, model_about=model)
    assert said(result) == [
        f"Participants in different spaces are pooled (3 in A and 1,200 in B){OF_SPACES}.",
        "1 participant not in the model 'age': sub-3 (without age).",
        "Tests of means against 0 (t, p and q) do not hold: of motion.",
        "1 pair not tested: fewer than 3 participants have them, or they do not vary.",
        "Runs differ in x is 1 in 4.",
        "In the model, site is a number.",
        "The model has no coefficients for 2 pairs that too few participants have.",
    ]
    about = {"EdgesWithoutTest": 0, "PooledSpaces": {"A": 20}}
    model = {"EdgesWithoutCoefficients": 0}
    assert said(result_of(IMAGE, people=ABOVE_LIMIT, about=about, model_about=model)) == []


def test_a_warning_of_some_strategies_names_them():
    few = people_of(20, degrees_of_freedom=24)
    texts = said(result_of(IMAGE, "a", few), result_of(IMAGE, "b", few), result_of(IMAGE, "c", 20))
    assert len(texts) == 1
    assert texts[0].startswith("a and b: 20 participants with fewer than 25")


def test_runs_that_a_strategy_excludes():
    runs = {
        "source": ["r1", "r2", "r3", "r1", "r1", "r4"],
        "strategy": ["a", "a", "a", "b", "b", "b"],
        "excluded": [1, 0, 0, 1, 1, 0],
        "reason": ["few volumes", None, None, "no filter", "few volumes", None],
        "participant_id": ["sub-1"] * 6,
    }
    assert said(result_of(IMAGE, people=ABOVE_LIMIT), runs=runs) == [
        "1 of 3 runs excluded by a: r1. few volumes.",
        "1 of 2 runs excluded by b: r1. no filter and few volumes.",
    ]


def test_seeds_that_participants_lack():
    share = [0.5, 1.0, 0.0, 0.25, 0.0]
    image = image_of(["n/a"] * 5, noun="region", share=share, participants=[10, 20, 0, 5, 0])
    first, second = said(result_of(image, people=ABOVE_LIMIT))
    assert first == (
        "task-rest, Mine in MNI: 2 of 5 regions are missing in every participant: s2 and s4."
    )
    assert second == (
        "task-rest, Mine in MNI: 2 of 5 regions are missing in some participants, so that pairs "
        "rest on different participants; most often s3 and s0."
    )
    alone = image_of(["n/a"] * 2, share=[1.0, 0.0], participants=[1, 0])
    texts = said(result_of(alone, people=ABOVE_LIMIT))
    assert texts == ["task-rest, Mine in MNI: 1 of 2 seeds is missing in the participant: s1."]


def test_problems_come_first_and_each_sentence_once():
    few = people_of(20, degrees_of_freedom=24)
    conditions = [condition_of(result_of(IMAGE, "a", few)) for _ in range(2)]
    texts = cautions(level_of(*conditions, problems=["Broken.", "Broken."]))
    assert texts[0] == "Broken."
    assert len(texts) == 2


# How many groups a page can hold


def group(n, anchor, terms=(), contrasts=(), has_matrices=True):
    return SimpleNamespace(
        anchor=anchor,
        has_matrices=has_matrices,
        image=SimpleNamespace(names=("s",) * n),
        model_about={"Terms": [*terms]},
        contrast_sidecars={str(i): about for i, about in enumerate(contrasts)},
    )


@pytest.mark.parametrize(
    ("n", "more", "shown"),
    [
        # n (n - 1) / 2 pairs, of which a picture and two values take 3 x 2.7 bytes: 8 MB in all
        (811, {}, "abc"),
        (812, {}, "ab"),
        (994, {}, "ab"),
        (995, {}, "a"),
        (574, {"terms": "xy"}, "ab"),
        (573, {"terms": "xy", "contrasts": [{}]}, "ab"),
        (477, {"contrasts": [{"Permutations": 10}, {}]}, "ab"),
        (478, {"contrasts": [{"Permutations": 10}, {}]}, "a"),
        (4000, {}, "a"),
    ],
)
def test_groups_that_a_page_can_hold(n, more, shown):
    own = [group(n, anchor, **more) for anchor in "abc"]
    gone = group(n, "gone", has_matrices=False)
    assert page.affordable([gone, *own]) == set(shown)


# Sentences at the top


def test_what_is_counted_at_the_top():
    runs = {
        "participant_id": ["sub-1", "sub-1", "sub-1", "sub-1", "sub-2"],
        "source": ["a", "a", "a", "b", "c"],
        "task": ["rest", "rest", "rest", "rest", None],
        "strategy": ["x", "y", "w", "x", "x"],
        "mean_fd": [0.4, 0.4, 0.4, 0.1, 0.2],
        "excluded": [1, 1, 0, 0, 0],
    }
    region = image_of(["n/a"], noun="region")
    vars(region)["anchor"] = "image-2"
    results = result_of(IMAGE, "x"), result_of(IMAGE, "z"), result_of(region, "x")
    level = level_of(condition_of(*results[:2]), condition_of(results[2]), runs=runs)
    first, second, third = page.summary(level)
    assert first == "2 participants, 3 runs, 1 of them excluded by a strategy."
    assert second == (
        "1 task (rest); 1 space (MNI); 1 seed set (Mine: 3 seeds); 1 set of regions (Mine: 1 "
        "region); 4 strategies (x, y, w and z); 1 measure (pearsoncorrelation)."
    )
    assert third == ("Mean framewise displacement of runs: median 0.2 mm, from 0.1 to 0.4 mm.")
    alone = {name: values[4:] for name, values in runs.items()}
    first, *_, last = page.summary(level_of(condition_of(results[0]), runs=alone))
    assert first == "1 participant, 1 run, none excluded."
    assert last == "Mean framewise displacement of the run: 0.2 mm."
    unknown = {**alone, "mean_fd": [np.nan]}
    assert len([*page.summary(level_of(condition_of(results[0]), runs=unknown))]) == 2
