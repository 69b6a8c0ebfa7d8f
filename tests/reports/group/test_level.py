"""What the group level wrote, from tables by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.reports.group import load_level
from tests.group.conftest import write_tsv
from tests.reports.group.values import condition_of, image_of, people_of, result_of, square

IMAGE = "task-rest_space-MNI_seg-Mine"
COVERAGE = {
    "name": ["p", "q"],
    "network": ["v", None],
    "x": [1, 2],
    "y": [3, 4],
    "z": [5, 6],
    "radius": [5, 5],
    "participants": [2, 3],
    "share": [0.4, 0.6],
    "coverage": [1, 0.5],
}
PEOPLE = {
    "participant_id": ["sub-1", "sub-2"],
    "runs": [1, 0],
    "runs_excluded": [0, 1],
    "mean_fd": [0.1, 0.2],
    "degrees_of_freedom": [60, None],
    "used": [1, 0],
    "reason": [None, "every run is excluded"],
}
RUNS = {"participant_id": ["sub-1", "sub-2"], "source": ["a", "b"], "strategy": ["y", "x"]}


@pytest.fixture
def root(tmp_path):
    """Two tasks; of the first two measures, of which one has two strategies."""
    folder = tmp_path / "group"
    folder.mkdir()
    groups = [
        f"{IMAGE}_stat-fisherz_desc-x",
        f"{IMAGE}_stat-pearsoncorrelation_desc-x",
        f"{IMAGE}_stat-pearsoncorrelation_desc-y",
        f"{IMAGE.replace('rest', 'tap')}_stat-pearsoncorrelation_desc-x",
    ]
    for name in groups:
        write_tsv(folder / f"{name}_participants.tsv", pd.DataFrame(PEOPLE))
        about = {"Radius": 5, "RelationshipMeasure": name.split("stat-")[1].split("_")[0].upper()}
        (folder / f"{name}_participants.json").write_text(json.dumps(about))
    for name in (IMAGE, IMAGE.replace("rest", "tap")):
        write_tsv(folder / f"{name}_coverage.tsv", pd.DataFrame(COVERAGE))
    write_tsv(folder / "runs.tsv", pd.DataFrame({**RUNS, "excluded": [0, 1]}))
    rows = {"group": groups[1:], "strategy": ["x", "y", "x"], "modularity": [0.1, 0.2, 0.3]}
    write_tsv(folder / "strategies.tsv", pd.DataFrame(rows))
    return tmp_path


def test_pearsons_correlation_comes_first(root):
    level = load_level(root)
    titles = [condition.title for condition in level.conditions]
    assert titles == [
        "task-rest, Mine in MNI: PEARSONCORRELATION",
        "task-tap, Mine in MNI: PEARSONCORRELATION",
        "task-rest, Mine in MNI: FISHERZ",
    ]
    assert [condition.symbol for condition in level.conditions] == ["r", "r", "Fisher's z"]
    assert [[r.strategy for r in condition.results] for condition in level.conditions] == [
        *(["x", "y"], ["x"], ["x"]),
    ]
    assert [condition.parts for condition in level.conditions] == [
        {"Runs": "task-rest", "Measure": "PEARSONCORRELATION"},
        {"Runs": "task-tap", "Measure": "PEARSONCORRELATION"},
        {"Runs": "task-rest", "Measure": "FISHERZ"},
    ]
    rows = [None if r.row is None else r.row["modularity"] for r in level.results]
    assert rows == [0.1, 0.2, 0.3, None]
    assert level.run_strategies == ("y", "x")
    assert level.excluded["source"].tolist() == ["b"]
    assert [*level.styles] == ["x", "y"]


def test_images_and_their_seeds(root):
    first, second = load_level(root).images
    assert (first.noun, first.networks, first.names) == ("seed", ("v", "n/a"), ("p", "q"))
    assert first.points.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert first.n_participants == 5
    assert first.parts == {"Runs": "task-rest", "Set": "Mine", "Space": "MNI"}
    assert (first.anchor, second.anchor) == ("image-1", "image-2")
    assert image_of(["n/a"] * 2, share=[0.0, 0.0], participants=0).n_participants == 0
    # Shares are written with a few digits.
    assert image_of(["n/a"] * 2, share=[0.714286, 0.0], participants=[5, 0]).n_participants == 7
    for path in (root / "group").glob("*task-tap*_participants.json"):
        path.write_text("{}")
    level = load_level(root)
    assert [image.noun for image in level.images] == ["seed", "region"]
    assert level.things == "seeds and regions"


def test_groups_of_the_last_call_alone(root):
    names = [f"{IMAGE}_stat-pearsoncorrelation_desc-y"]
    summary = root / "group" / "summary.json"
    summary.write_text(json.dumps({"Groups": names, "Problems": ["one"]}))
    level = load_level(root)
    assert [result.entities for result in level.results] == names
    assert [image.entities for image in level.images] == [IMAGE]
    assert level.problems == ["one"]
    assert level.conditions[0].parts == {}


def test_what_is_missing_is_said(root):
    folder = root / "group"
    (folder / f"{IMAGE}_coverage.tsv").unlink()
    with pytest.raises(DataError, match="table of coverage of task-rest"):
        load_level(root)
    (folder / "runs.tsv").unlink()
    with pytest.raises(MissingInputError, match="no results of the group level"):
        load_level(root)


def test_maps_are_those_with_a_corrected_p(root):
    stem = f"{IMAGE}_label-s1_desc-x_contrast-"
    for name in (
        "age_stat-t",
        "age_stat-q",
        "it_stat-q",
        "it_stat-f",
        "it_stat-pmaxt",
        "no_stat-t",
    ):
        (root / "group" / f"{stem}{name}_statmap.nii.gz").touch()
    (root / "group" / f"{stem}only_stat-q_statmap.nii.gz").touch()
    first, second = load_level(root).maps
    assert (first.contrast, first.statistic, first.stats) == ("age", "t", {"t", "q"})
    assert (second.contrast, second.statistic, second.stats) == ("it", "f", {"q", "f", "pmaxt"})
    assert first.image_path("t").name == f"{stem}age_stat-t_statmap.nii.gz"
    assert first.clusters is None


# Results


def test_participants_with_and_without_a_result():
    people = people_of(4, used=[1, 0, np.nan, 1])
    result = result_of(image_of(["n/a"]), people=people)
    assert result.used["participant_id"].tolist() == ["sub-1", "sub-4"]
    assert result.absent["participant_id"].tolist() == ["sub-2", "sub-3"]


def test_squares_of_pairs_with_and_without_the_diagonal():
    result = result_of(image_of(["n/a"] * 3))
    upper = np.array([0.1, 0.2, 0.3])
    expected = square(3, upper)
    found = result.square(upper)
    rows, columns = np.triu_indices(3, 1)
    np.testing.assert_array_equal(found[rows, columns], upper)
    np.testing.assert_array_equal(found, found.T)
    whole = result.square(expected[np.triu_indices(3)])
    np.testing.assert_array_equal(whole, expected)


def test_what_sidecars_say_of_a_result():
    about = {"PooledSpaces": {"A": 1}, "TestsAgainstZeroDoNotHold": ["one reason"]}
    model = {"LeftOut": {"sub-1": "without age", "sub-2": "without sex"}}
    result = result_of(image_of(["n/a"]), about=about, model_about=model)
    assert (result.pooled, result.against_zero) == ({}, ["one reason"])
    assert result.left_out == ["sub-1 (without age)", "sub-2 (without sex)"]
    assert result.measure == "pearsoncorrelation"
    assert result_of(image_of(["n/a"])).left_out == []


def test_titles_of_sections():
    result = result_of(image_of(["n/a"]), about={"RelationshipMeasure": "correlation"})
    about = {"blocks": (), "sentences": ["a", "b"]}
    section = condition_of(result, parts={"Runs": "x", "Set": "y"}).section("m-", "aba", **about)
    assert (section.anchor, section.short) == ("m-condition-1", "x, y")
    assert section.strategies == ("a", "b")
    assert section.title == "task-rest, Mine in MNI: correlation"
    assert condition_of(result).section("", (), **about).short == "correlation"
