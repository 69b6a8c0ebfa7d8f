"""Which runs to look at first, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group import data_quality
from bids_spheres.reports.group.data_quality import (
    absent_table,
    distributions,
    find_group_background,
    quality_of_runs,
    runs_table,
    seeds_sections,
    verdicts,
)
from bids_spheres.reports.participant.sphere_section import Background
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, PARTIAL
from bids_spheres.wording import NO_BREAK
from tests.reports.group.values import (
    condition_of,
    image_of,
    people_of,
    result_of,
)
from tests.reports.group.values import level_of as level_of_results

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
    runs = runs.assign(
        participant_id=runs["source"].str.split("_").str[0],
        session_id=pd.Series(np.nan, runs.index, object),
    )
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


def shown(rows=ROWS, excluded=(("sub-3_task-x_run-2", "a", "few volumes"),), *, root, **columns):
    """The table of runs and the links below it."""
    own = level_of(rows, excluded)
    own.runs = own.runs.assign(**{"space": "MNI", "seeds": "Mine", "scale": "", **columns})
    own.output_dir, own.things = root, "seeds"
    own.run_strategies = tuple(dict.fromkeys(own.runs["strategy"]))
    return runs_table(own, quality_of_runs(own))


def column(table, label, unit=""):
    (place,) = (i for i, c in enumerate(table.columns) if (c.label, c.unit) == (label, unit))
    return [(row[place].text, row[place].tone) for row in table.rows]


def test_the_table_of_runs_has_a_colour_beyond_each_limit(tmp_path):
    table, links = shown(root=tmp_path)
    assert links == []
    assert column(table, "D.o.f. left", "a") == [("-2", "bad"), ("60", ""), ("70", "")]
    assert column(table, "D.o.f. left", "b") == [("40", ""), ("20", "warn"), ("65", "")]
    assert column(table, "Censored", "a") == [("70", "warn"), ("10", ""), ("0", "")]
    assert column(table, "Censored", "b") == [("10", ""), ("30", "warn"), ("5", "")]
    assert column(table, "Mean FD", "mm") == [("0.6", "bad"), ("0.3", "warn"), ("0.1", "")]
    assert column(table, "Coverage", "%") == [("50", ""), ("80", ""), ("100", "")]
    assert column(table, "Missing", "seeds") == [("4", ""), ("2", ""), ("0", "")]
    assert column(table, "tSNR") == [("30", ""), ("50", ""), ("40", "")]
    assert [text for text, _ in column(table, "Why excluded")] == ["few volumes", "", ""]
    assert table.caption == "Runs and their quality, those to look at first."
    table, _ = shown(excluded=(), root=tmp_path, seeds=["Mine", "Other"] * 3)
    assert "Why excluded" not in [head.label for head in table.columns]
    assert table.caption.endswith(
        " Coverage and tSNR are the lowest, missing seeds the most, of all sets and spaces."
    )


@pytest.mark.parametrize(("n", "units"), [(4, [*"abcd"]), (5, ["worst"])])
def test_of_many_strategies_the_worst_is_shown(tmp_path, n, units):
    rows = [
        ("sub-1_task-x", "abcde"[i], 0.1, 100, 1.0, 50, 0, 60 - i, 10 + i, 90 - i, 0)
        for i in range(n)
    ]
    table, _ = shown(rows, (), root=tmp_path)
    assert [head.unit for head in table.columns if head.label == "Censored"] == units
    if n == 5:
        assert column(table, "D.o.f. left", "worst") == [("56", "")]
        assert column(table, "Censored", "worst") == [("14", "")]


def test_of_many_runs_those_to_look_at_and_those_that_move_are_shown(tmp_path, monkeypatch):
    for name in ("sub-1", "sub-2_ses-a", "sub-2", "sub-4", "sub-5"):
        (tmp_path / f"{name}.html").touch()
    fine = ROWS[2][2:]
    rows = [
        (f"sub-{i}_run-{j}", "a", 0.01 * i + j / 50, *fine[1:]) for i in (1, 4, 2) for j in (1, 2)
    ]
    rows += [("sub-5_run-1", "a", 0.2, *fine[1:]), ROWS[4]]
    monkeypatch.setattr(data_quality, "MOST_ROWS", 3)
    sessions = [np.nan] * 4 + ["ses-a", np.nan, np.nan, np.nan]
    table, links = shown(rows, (), root=tmp_path, session_id=sessions)
    assert [row[0].text for row in table.rows] == ["sub-3", "sub-5", "sub-4"]
    assert [row[1].text for row in table.rows] == ["task-x run-2", "run-1", "run-2"]
    assert [(link.text, link.href) for link in links] == [
        ("sub-1", "sub-1.html"),
        ("sub-2", "sub-2.html"),
    ]
    assert " Of 8 runs these are the 3 to look at first" in table.caption
    monkeypatch.setattr(data_quality, "MOST_ROWS", 8)
    table, links = shown(rows, (), root=tmp_path, session_id=sessions)
    assert (len(table.rows), links) == (8, [])
    assert [(row[0].text, row[0].href) for row in table.rows][:5] == [
        *(("sub-3", None), ("sub-1", "sub-1.html"), ("sub-1", "sub-1.html")),
        *(("sub-4", "sub-4.html"),) * 2,
    ]
    assert table.rows[5][0].href == "sub-2_ses-a.html"


def test_distributions_of_what_differs_between_runs():
    level = SimpleNamespace(run_strategies=("a", "b"), styles={"a": "series-4", "b": "series-7"})
    level.things = "seeds"
    block = distributions(level, quality_of_runs(level_of()))
    assert [graphic.heading for graphic in block.graphics] == [
        *("Head motion", "Degrees of freedom left", "Coverage", "Temporal signal-to-noise"),
    ]
    assert [graphic.caption for graphic in block.graphics] == [
        "Median 0.3, from 0.1 to 0.6.",
        "a: median 60, from -2 to 70. b: median 40, from 20 to 65.",
        "Median 80, from 50 to 100.",
        "Median 40, from 30 to 50.",
    ]
    assert [[key.style for key in graphic.legend] for graphic in block.graphics] == [
        *([], ["line series-4", "line series-7"], [], []),
    ]
    assert (block.heading, block.notes) == ("Distributions over runs", ())
    same = [(f"sub-{i}_task-x", *ROWS[2][1:-2], 90 - i, 0) for i in range(2)]
    unknown = [(*row[:5], np.nan, *row[6:]) for row in same]
    level.run_strategies = ("a",)
    block = distributions(level, quality_of_runs(level_of(unknown, ())))
    assert (block.graphics, block.notes) == (
        (),
        (
            "Mean FD (mm): 0.1 in all runs.",
            "Degrees of freedom: 70 in all runs.",
            "Mean coverage of seeds (%): 100 in all runs.",
        ),
    )
    block = distributions(level, quality_of_runs(level_of(same[:1], ())))
    assert (block.heading, block.notes[-1]) == ("Quality of the run", "tSNR: 40.")


@pytest.fixture
def section(monkeypatch):
    """The section of seeds that participants have in these shares, without pictures."""
    stage = SimpleNamespace(of=lambda scene, _: SimpleNamespace(scene=scene))
    monkeypatch.setattr(data_quality, "Stage", stage)
    monkeypatch.setattr(data_quality, "overview", lambda *_: np.zeros((2, 2, 3), np.uint8))
    monkeypatch.setattr(data_quality, "find_group_background", lambda _: Background())

    def of(share, n=8, **columns):
        share = np.array(share)
        image = image_of(["n/a"] * len(share), share=share, participants=n * share, **columns)
        (own,) = seeds_sections([image])
        return own

    return of


@pytest.mark.parametrize(
    ("share", "n", "words", "names"),
    [
        (
            *([1, 0.5, 0.25, 0, 0.75, 1], 8),
            "All participants have 2 of 6 seeds; some lack 4, and fewer than half have 2",
            ": s3, s2, s1 and s4",
        ),
        ([1, 0.5, 0.5], 8, "All participants have 1 of 3 seeds; some lack 2", ": s1 and s2"),
        (
            *([0, 1, 0], 8),
            "All participants have 1 of 3 seeds; 2 are missing in every participant",
            ": s0 and s2",
        ),
        (
            *([0, 1, 0.5], 2),
            "Both participants have 1 of 3 seeds; some lack 2, and none has 1",
            ": s0 and s2",
        ),
        ([0.5, 1, 0.5], 2, "Both participants have 1 of 3 seeds; one lacks 2", ": s0 and s2"),
        ([1, 1], 8, "All participants have each of 2 seeds", ""),
        ([1, 1], 1, "The participant has each of 2 seeds", ""),
        ([0, 1], 1, "The participant has 1 of 2 seeds; missing", ": s0"),
    ],
)
def test_who_has_the_seeds(section, share, n, words, names):
    own = section(share, n)
    assert own.sentences == (
        f"{words}{names}.",
        f"Mean coverage of a seed: 100{NO_BREAK}% of its voxels have a signal.",
    )


@pytest.mark.parametrize(
    ("network", "most", "legend"),
    [
        (["x", "n/a", "n/a"], 2, ", in colours of their networks. Outlined in amber, dashed: some"),
        (["x", "n/a", "n/a"], 3, ", to scale and transparent. Blue: all participants have the"),
        (["n/a"] * 3, 2, ", to scale and transparent. Blue: all participants have the"),
    ],
)
def test_many_seeds_have_the_colours_of_their_networks(section, monkeypatch, network, most, legend):
    monkeypatch.setattr(data_quality, "MANY", most)
    own = section([1.0, 1, 0.5], network=network)
    assert own.figures[0].caption.startswith(f"All seeds{legend}")


def test_seeds_that_most_lack_are_red_and_first(section):
    share, coverage = [0.5, 0.49, 1, 0.5, 0], [0.9, 1, 0.2, 0.8, np.nan]
    own = section(share, 100, coverage=coverage, network=["x", "n/a", "x", "n/a", "y"])
    expected = [PARTIAL, EMPTY, FULL, PARTIAL, EMPTY]
    assert own.stage.scene.colours().tolist() == expected
    (table,) = own.tables
    assert [row[0].text for row in table.rows] == ["s4", "s1", "s3", "s0", "s2"]
    assert column(table, "Share", "%") == [
        *(("0", "bad"), ("49", "bad"), ("50", "warn"), ("50", "warn"), ("100", "")),
    ]
    assert column(table, "Coverage", "%") == [
        (text, "") for text in ("n/a", "100", "80", "90", "20")
    ]
    assert column(table, "Participants") == [(text, "") for text in ("0", "49", "50", "50", "100")]
    assert column(table, "Network") == [(text, "") for text in ("y", "n/a", "n/a", "x", "x")]
    assert [text for text, _ in column(table, "y", "mm")] == ["80", "20", "60", "0", "40"]
    assert own.sentences[1].startswith(f"Mean coverage of a seed: 72.5{NO_BREAK}% of")
    assert "amber, dashed: some lack it; red, dotted: fewer than half have it." in (
        own.figures[0].caption
    )
    (plain,) = section([1.0, 0.5]).tables
    assert "Network" not in [head.label for head in plain.columns]


def test_participants_without_a_result_by_reason_and_group():
    image = image_of(["n/a"] * 2)
    lacking = {"used": [0, 0, 1, 0], "reason": ["late", "failed", None, "failed"]}
    people = people_of(4, **lacking).assign(participant_id=["sub-10", "sub-9", "sub-1", "sub-2"])
    more = people.assign(used=[0, 1, 1, np.nan], reason=["early", None, None, "failed"])
    last = people.assign(used=[1, 0, 1, 0])
    results = [result_of(image, *own) for own in (("a", people), ("b", more), ("c", last))]
    level = level_of_results(condition_of(*results))
    (table,) = absent_table(level)
    own = "task-rest_space-MNI_seg-Mine_stat-pearsoncorrelation_desc-"
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["sub-2", "failed", "all groups"],
        ["sub-9", "failed", f"{own}a and {own}c"],
        ["sub-10", "late", f"{own}a"],
        ["sub-10", "early", f"{own}b"],
    ]
    assert [*absent_table(level_of_results(condition_of(result_of(image))))] == []


@pytest.mark.parametrize(
    ("most", "more"),
    [
        (3, ""),
        (2, " 1 more is in the tables of participants."),
        (1, " 2 more are in the tables of participants."),
    ],
)
def test_of_many_participants_without_a_result_the_first_are_shown(monkeypatch, most, more):
    monkeypatch.setattr(data_quality, "MOST_ROWS", most)
    people = people_of(3, used=0, reason="late")
    level = level_of_results(condition_of(result_of(image_of(["n/a"] * 2), people=people)))
    (table,) = absent_table(level)
    assert [row[0].text for row in table.rows] == ["sub-1", "sub-2", "sub-3"][:most]
    assert table.caption == f"Participants without a result.{more}"


@pytest.fixture
def behind(monkeypatch):
    """The image behind seeds in a space, of spheres in other spaces too; and what was asked."""
    spaces, asked = [None, "T1w", "Own", "Own"], []
    tables = [
        None if space is None else SimpleNamespace(sidecar={"SpatialReference": space, "i": i})
        for i, space in enumerate(spaces)
    ]

    def find_background(facts, _):
        asked.append((facts["SpatialReference"], facts.get("i")))
        return Background(None, "an image" if "i" in facts else "")

    def runs(_, label):
        sets = [SimpleNamespace(spheres=table) for table in tables]
        return [SimpleNamespace(seed_sets=sets)] if label == "2" else []

    monkeypatch.setattr(data_quality, "labels_with_folders", lambda *_: ["2", "10"])
    monkeypatch.setattr(data_quality, "read_links", lambda _: None)
    monkeypatch.setattr(data_quality, "find_runs", runs)
    monkeypatch.setattr(data_quality, "find_background", find_background)
    return lambda space: find_group_background(SimpleNamespace(space=space, root=None)), asked


@pytest.mark.parametrize(
    ("space", "words", "expected"),
    [
        ("Own", "the brain of sub-2", [("Own", None), ("Own", 2)]),
        ("Other", "", [("Other", None)]),
        ("MNI152Lin", "an ellipsoid of the size of a brain", [("MNI152Lin", None)]),
        ("T1w", "", []),
    ],
)
def test_the_brain_behind_is_one_in_the_same_space(behind, space, words, expected):
    of, asked = behind
    assert (of(space).words, asked) == (words, expected)
