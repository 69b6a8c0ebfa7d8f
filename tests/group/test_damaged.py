"""Outputs that are damaged, misplaced or left over: a message, or a smaller result."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest

from bids_spheres.errors import DataError
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import NETWORKS, POINTS, correlations, read_tsv, upper, without, write_tsv

S = len(POINTS)
LABELS = [f"{i:02d}" for i in range(1, 7)]


def group(outputs, **options):
    return run_group(outputs.root, GroupOptions(**options))


def tables(outputs):
    """Names of results in the folder of the group, without what is about all of them."""
    names = {path.name for path in (outputs.root / "group").iterdir()}
    return names - {"runs.tsv", "runs.json", "strategies.tsv", "strategies.json", "summary.json"}


@pytest.fixture
def filled(outputs, rng):
    """Six participants, and their matrices."""
    matrices = [correlations(rng, S) for _ in LABELS]
    for label, matrix in zip(LABELS, matrices, strict=True):
        outputs.add(label, matrix)
    return outputs, matrices


def assert_mean_of(outputs, matrices):
    expected = np.tanh(np.mean([np.arctanh(upper(m)) for m in matrices], axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)


@pytest.mark.parametrize("value", [1.5, -1.01, np.inf])
def test_correlations_that_can_not_be_leave_a_participant_out(filled, value):
    outputs, matrices = filled
    wrong = matrices[2].copy()
    wrong[0, 3] = wrong[3, 0] = value
    outputs.add("03", wrong)
    (problem,) = group(outputs)
    assert "sub-03" in problem
    assert "relmat.tsv" in problem
    assert_mean_of(outputs, np.delete(matrices, 2, axis=0))
    people = outputs.result("participants").set_index("participant_id")
    assert people.loc["sub-03", "used"] == 0


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_spheres_of_the_same_voxels_have_no_edge(filled, value):
    outputs, matrices = filled
    same = matrices[2].copy()
    same[0, 3] = same[3, 0] = value
    outputs.add("03", same)
    assert group(outputs) == []
    assert outputs.matrix("n")[0, 3] == 5
    assert outputs.matrix("n")[0, 1] == 6


@pytest.mark.parametrize("place", ["sub-05/func", "sub-03/ses-1/func"])
def test_a_copy_in_the_wrong_place_does_not_count(filled, place, caplog):
    outputs, matrices = filled
    target = outputs.root / place
    target.mkdir(parents=True, exist_ok=True)
    for path in (outputs.root / "sub-03" / "func").iterdir():
        shutil.copy(path, target)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert place in caplog.text
    assert outputs.result("participants")["runs"].tolist() == [1] * 6
    assert_mean_of(outputs, matrices)


def test_when_no_matrix_can_be_read_there_is_no_table_of_them(filled):
    outputs, _ = filled
    for path in outputs.root.glob("sub-*/func/*_relmat.tsv"):
        path.write_text("nothing\n")
    assert len(group(outputs)) == len(LABELS)
    assert outputs.result("participants")["used"].tolist() == [0] * 6
    assert {name.rpartition("_")[2] for name in tables(outputs)} == {
        *("participants.tsv", "participants.json", "coverage.tsv", "coverage.json"),
    }


def test_of_one_seed_nothing_is_left_of_an_earlier_call(filled):
    outputs, _ = filled
    group(outputs)
    shutil.rmtree(outputs.root / "sub-01")
    outputs.points, outputs.networks = POINTS[:1], NETWORKS[:1]
    for label in LABELS:
        outputs.add(label, np.ones((1, 1)))
    assert group(outputs) == []
    whats = {name.rpartition("_")[2] for name in tables(outputs)}
    assert whats == {"coverage.tsv", "coverage.json"}


def test_what_is_wrong_with_the_spheres_of_many_groups_is_told_once(filled, rng):
    outputs, _ = filled
    for strategy in ("36P", "24P"):
        outputs.add("01", correlations(rng, S), strategy=strategy)
    for stat in ("covariance", "partialcorrelation"):
        outputs.add("02", correlations(rng, S), stat=stat)
    outputs.add("07", correlations(rng, S), source="task-nback")
    for label in ("01", "02"):
        sidecar = next((outputs.root / f"sub-{label}" / "func").glob("*_dseg.json"))
        sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "Mask": "none"}))
    problems = group(outputs)
    # Five groups; those of sub-01, those of sub-02, and the one of both.
    assert len(problems) == 3
    assert sum("stat-covariance" in p and "stat-partialcorrelation" in p for p in problems) == 1
    assert sum("desc-36P" in p and "desc-24P" in p for p in problems) == 1


def test_why_there_is_no_model_is_told_once(filled, rng):
    outputs, _ = filled
    for label in LABELS:
        outputs.add(label, correlations(rng, S), strategy="36P")
    outputs.participants(participant_id=LABELS, age=[30] * 6)
    (problem,) = group(outputs, model="age")
    assert "desc-36P" in problem
    assert "desc-simple" in problem
    assert problem.count("no model is estimated") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"NumberOfVolumes": 0},
        {"NumberOfVolumes": -3},
        {"NumberOfVolumesKept": 400},
        {"NumberOfVolumes": 1e400},
        {"MeanFramewiseDisplacement": "much"},
        {"MeanFramewiseDisplacement": -0.2},
        {"VolumesWithFramewiseDisplacement": 0},
        {"VolumesWithFramewiseDisplacement": 121},
        {"DegreesOfFreedom": 1e400},
        {"DegreesOfFreedom": -4},
        {"DegreesOfFreedom": 1},
        {"Excluded": 3},
        {"NuisanceParameters": "csf"},
        {"NuisanceParameters": [3]},
    ],
)
def test_a_sidecar_that_can_not_be_leaves_the_run_out(filled, rng, change):
    outputs, matrices = filled
    outputs.add("03", correlations(rng, S), **change)
    (problem,) = group(outputs)
    assert "sub-03" in problem
    assert ".json" in problem
    assert_mean_of(outputs, np.delete(matrices, 2, axis=0))


@pytest.mark.parametrize("keep", [0, 1, 40, -40, -4])
def test_a_table_of_spheres_that_was_cut_off_leaves_the_run_out(filled, keep):
    outputs, matrices = filled
    path = next((outputs.root / "sub-03" / "func").glob("*_dseg.tsv"))
    path.write_bytes(path.read_bytes()[:keep])
    (problem,) = group(outputs)
    assert path.name in problem
    assert_mean_of(outputs, np.delete(matrices, 2, axis=0))


@pytest.mark.parametrize("column", ["x", "coverage", "used"])
@pytest.mark.parametrize("value", ["?", "1,5"])
def test_a_table_of_spheres_with_words_for_numbers_leaves_the_run_out(filled, column, value):
    outputs, matrices = filled
    path = next((outputs.root / "sub-03" / "func").glob("*_dseg.tsv"))
    write_tsv(path, read_tsv(path).assign(**{column: value}))
    (problem,) = group(outputs)
    assert path.name in problem
    assert_mean_of(outputs, np.delete(matrices, 2, axis=0))


def test_nothing_but_missing_values(outputs):
    for label in LABELS:
        nothing = np.full((S, S), np.nan)
        outputs.add(label, nothing, coverage=np.zeros(S), MeanFramewiseDisplacement=None)
    outputs.participants(participant_id=LABELS, age=range(20, 26))
    assert group(outputs, model="age") == []
    for what in ("mean", "sd", "t", "p", "q"):
        if outputs.path(f"stat-pearsoncorrelation_desc-simple_{what}.tsv").exists():
            assert np.isnan(outputs.matrix(what)).all()
    assert (upper(outputs.matrix("n")) == 0).all()
    assert np.isnan(outputs.result("model")["coefficient"]).all()
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert np.isnan([row.qc_fc_median, row.modularity, row.mean_fd]).all()
    assert (read_tsv(outputs.path("coverage.tsv"))["participants"] == 0).all()


def test_seeds_that_most_lack_are_told(outputs, rng, caplog):
    for i, label in enumerate(LABELS):
        coverage = [1, 0.6 if i < 3 else 0, 0.6 if i < 2 else 0, 0, 1]
        lacking = np.flatnonzero(np.array(coverage) < 0.5)
        outputs.add(label, without(correlations(rng, S), *lacking), coverage=coverage)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    (said,) = (r.getMessage() for r in caplog.records if "more than half" in r.getMessage())
    assert "2 of 5 seeds" in said
    assert "s2 and s3" in said


def test_results_that_this_call_did_not_make_are_told(filled, rng, caplog):
    outputs, _ = filled
    outputs.add("01", correlations(rng, S), source="task-nback")
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        group(outputs)
        assert "earlier call" not in caplog.text
        group(outputs, select=(("task", ("rest",)),))
    (said,) = (r.getMessage() for r in caplog.records if "earlier call" in r.getMessage())
    assert "task-nback" in said
    assert "task-rest" not in said


def test_results_of_outputs_that_are_gone_go(filled, rng):
    outputs, _ = filled
    path = outputs.add("01", correlations(rng, S), source="task-nback")
    group(outputs)
    mine = outputs.root / "group" / "task-nback_notes.txt"
    mine.write_text("a user's own")
    for own in path.parent.glob("*_task-nback_*"):
        own.unlink()
    group(outputs)
    assert [path.name for path in (outputs.root / "group").glob("*nback*")] == [mine.name]


def test_settings_that_differ_name_no_more_people_than_fit(outputs, rng):
    for i in range(60):
        outputs.add(f"{i:03d}", correlations(rng, S), SmoothingFWHM=float(i % 2))
    with pytest.raises(DataError) as caught:
        group(outputs)
    assert "SmoothingFWHM is 0 in 30 participants" in str(caught.value)
    assert len(str(caught.value)) < 800


def test_the_folder_is_hidden_from_the_validator(filled):
    outputs, _ = filled
    group(outputs)
    assert "group" in (outputs.root / ".bidsignore").read_text().split("\n")
