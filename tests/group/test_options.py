"""Options of the group level that go together, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_spheres.errors import UsageError
from bids_spheres.group.options import GroupOptions

GIVEN = {
    "clusters": "site",
    "weights": "precision",
    "variance_groups": "site",
    "within": "session",
    "harmonize": "site",
    "blocks": "family",
    "seed_maps": ("all",),
    "harmonize_from": Path("estimates.tsv"),
    "harmonize_within": True,
    "multiverse": True,
}
APART = [
    *(("clusters", other) for other in ("weights", "variance_groups", "within")),
    *(("weights", other) for other in ("variance_groups", "within", "harmonize")),
    *(("within", other) for other in ("blocks", "variance_groups", "harmonize")),
    ("seed_maps", "harmonize_from"),
    ("multiverse", "weights"),
    ("harmonize_within", "harmonize_from"),
]


def flag(name):
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize(("first", "second"), APART)
def test_options_that_exclude_one_another(first, second):
    with pytest.raises(UsageError) as error:
        GroupOptions(**{name: GIVEN[name] for name in (first, second)})
    subject, verb, others = error.value.message.partition(" does not go with ")
    assert (subject, verb) == (flag(first), " does not go with ")
    assert flag(second) in others.rstrip(".").replace(" or ", ", ").split(", ")


def test_options_that_exclude_one_another_are_listed():
    with pytest.raises(UsageError) as error:
        GroupOptions(clusters="site", weights="precision")
    expected = "--clusters does not go with --weights, --variance-groups or --within."
    assert error.value.message == expected
    with pytest.raises(UsageError) as error:
        GroupOptions(multiverse=True, weights="precision")
    assert error.value.message == "--multiverse does not go with --weights."


@pytest.mark.parametrize(
    "given",
    [
        *(
            {name: GIVEN[name]}
            for name in GIVEN
            if name not in ("harmonize_within", "harmonize_from")
        ),
        {"harmonize": "site", "harmonize_within": True},
        {"harmonize": "site", "harmonize_from": Path("estimates.tsv")},
        {"harmonize": "site", "blocks": "family", "variance_groups": "sex"},
        {"within": "task", "by_session": True},
        {"within": "session", "inference": ("fdr", "maxt"), "contrast": ("a=post-pre",)},
        {"model": "age", "inference": ("nbs",), "contrast": ("a=age",)},
        {"within": "session", "inference": ("fdr",)},
        {"inference": ("maxt",)},
        {"within": "session", "model": "age", "inference": ("fdr",)},
        {"clusters": "site", "inference": ("fdr",)},
        {"blocks": "family", "whole_blocks": True, "inference": ("nbs",)},
        {"contrast": ("a=b",), "within": "run"},
        {"contrast": ("a=b",), "model": "b"},
        {"seed_maps": ("PCC",), "inference": ("cluster", "tfce")},
        {"multiverse": True, "multiverse_edges": ("a,b", "c,d")},
        {"stacked_format": "tsv"},
    ],
    ids=" ".join,
)
def test_options_that_go_together(given):
    options = GroupOptions(**given)
    assert {name: getattr(options, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contrast": ("a=b",)}, "--contrast is about the terms of a model"),
        ({"within": "session", "by_session": True}, "sessions that --by-session keeps apart"),
        ({"inference": ("maxt",), "clusters": "site"}, "Permutations don't go with --clusters"),
        ({"inference": ("fdr", "nbs"), "weights": "precision"}, "Permutations don't go with"),
        ({"inference": ("tfnbs",), "within": "run", "model": "age"}, "Permutations don't go with"),
        (
            {"within": "session", "inference": ("fdr", "maxt")},
            "--inference maxt corrects contrasts",
        ),
        ({"model": "age", "inference": ("nbs", "cnbs")}, "--inference nbs cnbs corrects contrasts"),
        ({"inference": ("cluster",)}, "are about maps of seeds"),
        ({"inference": ("fdr", "tfce")}, "are about maps of seeds"),
        ({"multiverse": True, "multiverse_edges": ("a,b", "c")}, "--multiverse-edges c is not"),
        ({"multiverse_edges": ("a,b",)}, "--multiverse-edges needs --multiverse."),
        ({"whole_blocks": True}, "--whole-blocks needs --blocks COLUMN."),
        ({"harmonize_within": True}, "--harmonize-within needs --harmonize COLUMN."),
        ({"harmonize_from": Path("x")}, "--harmonize-from needs --harmonize COLUMN."),
    ],
)
def test_options_that_need_others(given, message):
    with pytest.raises(UsageError) as error:
        GroupOptions(**given)
    assert message in error.value.message
    assert error.value.hint


def test_sites_that_are_harmonized_in_permutations_are_blocks_unless_others_are_named():
    assert GroupOptions(harmonize="site", harmonize_within=True).blocks == "site"
    own = GroupOptions(harmonize="site", harmonize_within=True, blocks="family")
    assert own.blocks == "family"
    assert GroupOptions(harmonize="site").blocks is None


@pytest.mark.parametrize(
    ("given", "grouping"),
    [
        ({}, (False, False, False)),
        ({"by_session": True}, (True, False, False)),
        ({"pool_spaces": True}, (False, True, False)),
        ({"within": "task"}, (False, False, True)),
        ({"within": "session"}, (False, False, False)),
    ],
)
def test_how_matrices_become_groups(given, grouping):
    names = ("by_session", "pool_spaces", "within_task")
    assert GroupOptions(**given).grouping == dict(zip(names, grouping, strict=True))
