"""The group level from files to files, against numpy, scipy and statsmodels on what was written."""

from __future__ import annotations

import json
import logging
import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy import stats

from bids_spheres.errors import DataError, MissingInputError, NothingSelectedError, OutputError
from bids_spheres.group.files import Unusable, all_matrices, group_of
from bids_spheres.group.gather import gather_group, gather_image
from bids_spheres.group.head_motion import HeadMotion
from bids_spheres.group.inference.linear_model import column_blocks
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.summary import Analysis, summarize
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.paths import image_name
from tests.group.conftest import LABELS, E, S, correlations, group, read_tsv, upper


def test_sessions_by_themselves(outputs, rng):
    matrices = {}
    for label in ("01", "02"):
        for session in ("a", "b"):
            matrices[label, session] = correlations(rng, S)
            outputs.add(label, matrices[label, session], source=f"ses-{session}_task-rest")
    assert group(outputs, by_session=True) == []
    for session in ("a", "b"):
        (path,) = (outputs.root / "group").glob(f"ses-{session}_task-rest_*_mean.tsv")
        z = np.arctanh([upper(matrices[label, session]) for label in ("01", "02")])
        mean = read_tsv(path).drop(columns="Node").to_numpy(float)
        np.testing.assert_allclose(upper(mean), np.tanh(z.mean(axis=0)), rtol=1e-8)


def test_measures_that_are_no_correlations_are_averaged_as_they_are(outputs, rng):
    matrices = []
    for label in LABELS:
        series = rng.standard_normal((50, S)) * 3
        matrices.append(np.round(np.cov(series.T), 6))
        outputs.add(label, matrices[-1], stat="covariance", ValidDiagonal=True)
    assert group(outputs) == []
    mean, sd = (outputs.matrix(what, stat="covariance") for what in ("mean", "sd"))
    np.testing.assert_allclose(mean, np.mean(matrices, axis=0), rtol=1e-8)
    np.testing.assert_allclose(sd, np.std(matrices, axis=0, ddof=1), rtol=1e-8)
    for what in "tpq":
        assert not outputs.path(f"stat-covariance_desc-simple_{what}.tsv").exists()
    for what, scale in (
        *dict.fromkeys(("mean", "sd", "stacked"), "as the measure").items(),
        ("n", "n/a"),
    ):
        about = json.loads(outputs.path(f"stat-covariance_desc-simple_{what}.json").read_text())
        assert about["Scale"] == scale
    edges = outputs.result("edges", stat="covariance")
    assert len(edges) == E + S
    assert (edges["distance"][edges["node_1"] == edges["node_2"]] == 0).all()


def test_matrices_that_are_no_connectivity_are_no_strategy(outputs, rng):
    for label, session in product(LABELS[:4], "ab"):
        source = f"ses-{session}_task-rest"
        outputs.add(label, 50 + correlations(rng, S), stat="effectivedof", source=source)
        outputs.add(label, correlations(rng, S), source=source)
    outputs.participants(participant_id=LABELS[:4], age=[20, 31, 25, 44])
    for options in ({"model": "age"}, {"within": "session"}):
        assert group(outputs, **options) == []
        strategies = read_tsv(outputs.root / "group" / "strategies.tsv")
        assert strategies["measure"].tolist() == ["pearsoncorrelation"]
        written = {path.name for path in (outputs.root / "group").glob("*_stat-effectivedof_*")}
        whats = {name.rpartition("_")[2].partition(".")[0] for name in written}
        assert whats == {"mean", "sd", "n", "edges", "stacked", "participants"}
        about = outputs.path("stat-effectivedof_desc-simple_mean.json").read_text()
        assert "QCFCCovariates" not in about


def test_a_model_that_can_not_be_estimated_keeps_nothing_else_back(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=[30] * 9)
    (problem,) = group(outputs, model="age")
    assert "no model is estimated" in problem
    assert outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").exists()
    assert not outputs.path("stat-pearsoncorrelation_desc-simple_model.tsv").exists()


def test_when_every_run_is_excluded(outputs):
    outputs.add("01", np.full((S, S), np.nan), Excluded="too short", DegreesOfFreedom=0)
    assert group(outputs) == []
    assert outputs.result("participants")["used"].tolist() == [0]
    assert not outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").exists()


def test_participants_of_whom_little_is_left_are_told_once(outputs, rng, caplog):
    for strategy in ("simple", "36P"):
        for label, freedom in (("01", 24.9), ("02", 25.0), ("03", 80.0)):
            outputs.add(label, correlations(rng, S), strategy=strategy, DegreesOfFreedom=freedom)
        for run in (1, 2):  # which together have enough
            facts = {"source": f"task-rest_run-{run}", "DegreesOfFreedom": 15}
            outputs.add("04", correlations(rng, S), strategy=strategy, **facts)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    (line,) = (line for line in caplog.messages if "fewer than 25 degrees of freedom" in line)
    assert line.endswith(
        "1 participant with fewer than 25 degrees of freedom, whose edges are mostly noise: sub-01"
    )
    assert "desc-simple" in line
    assert "desc-36P" in line


def test_quality_of_runs(outputs, rng):
    facts = {"NumberOfVolumes": 200, "NumberOfVolumesKept": 150, "DegreesOfFreedom": 99}
    coverage = [1, 0.8, 0.6, 0.2, 0]
    source = "ses-x_task-rest_acq-fast_run-2"
    outputs.add("01", correlations(rng, S), source=source, coverage=coverage, tsnr=40, **facts)
    outputs.add("01", correlations(rng, S), source=source, strategy="36P", coverage=coverage)
    assert group(outputs) == []
    table = read_tsv(outputs.root / "group" / "runs.tsv")
    assert table["strategy"].tolist() == ["36P", "simple"]
    row = table.iloc[1]
    assert row["source"] == "sub-01_ses-x_task-rest_acq-fast_run-2"
    assert row[["session_id", "task", "run", "seeds"]].tolist() == ["ses-x", "rest", 2, "Tiny"]
    assert row[["n_volumes", "n_kept", "n_censored"]].tolist() == [200, 150, 50]
    assert row[["degrees_of_freedom", "spheres_missing"]].tolist() == [99, 2]
    assert row["coverage"] == pytest.approx(np.mean(coverage))


def test_the_variance_of_a_node_is_no_edge_of_the_benchmark(outputs, rng):
    for label in LABELS:
        fd = 0.02 * int(label)
        matrix = np.cov(rng.standard_normal((50, S)).T) + np.diag(np.full(S, 10 * fd))
        facts = {"MeanFramewiseDisplacement": fd, "ValidDiagonal": True}
        outputs.add(label, matrix, stat="covariance", **facts)
    assert group(outputs) == []
    edges = outputs.result("edges", stat="covariance")
    between = edges["node_1"] != edges["node_2"]
    assert edges["qc_fc"][~between].min() > 0.5
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert row.qc_fc_edges == E
    assert row.qc_fc_median == pytest.approx(edges["qc_fc"][between].abs().median())
    expected = stats.spearmanr(edges["qc_fc"][between], edges["distance"][between]).statistic
    assert row.qc_fc_distance_spearman == pytest.approx(expected)


# What must not be mixed


def test_entities_tell_groups_apart(outputs, rng):
    matrices = {}
    for source in ("task-rest_acq-a", "task-rest_acq-b", "task-rest_echo-2", "task-nback"):
        matrices[source] = correlations(rng, S)
        outputs.add("01", matrices[source], source=source)
    assert group(outputs) == []
    assert len(read_tsv(outputs.root / "group" / "strategies.tsv")) == 4
    for source, matrix in matrices.items():
        (path,) = (outputs.root / "group").glob(f"{source}_space*_mean.tsv")
        mean = read_tsv(path).drop(columns="Node").to_numpy(float)
        np.testing.assert_allclose(upper(mean), upper(matrix), rtol=1e-8)


# What is missing or broken


def test_a_participant_with_a_broken_matrix_is_left_out_as_a_whole(filled, rng):
    outputs, z = filled
    broken = outputs.add("04", correlations(rng, S), source="task-rest_run-2")
    broken.write_text(broken.read_text()[:-30])
    (problem,) = group(outputs)
    assert problem.startswith("sub-04 is left out")
    assert broken.name in problem
    others = np.delete(z, 3, axis=0)
    expected = np.tanh(np.nanmean(others, axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["used"].sum() == 8
    assert people.loc["sub-04", "reason"] == "a matrix can't be read"
    about = outputs.about("mean")
    assert (about["NumberOfParticipants"], about["NumberOfRuns"]) == (8, 8)
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.qc_fc_participants, row.runs) == (8, 8, 10)
    assert row.mean_fd == pytest.approx(np.mean([0.01 * i**2 for i in range(1, 10) if i != 4]))
    # Nor is it in a model whose variables it has.
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    people = outputs.result("participants").set_index("participant_id")
    assert people["in_model"].tolist() == [1] * 3 + [0] + [1] * 5
    assert outputs.about("model")["NumberOfParticipantsInModel"] == 8
    assert outputs.result("model")["n"].max() == 8


@pytest.mark.parametrize("lost", ["*_relmat.json", "*_dseg.tsv", "*_dseg.json"])
def test_a_run_without_one_of_its_files_is_left_out(filled, lost):
    outputs, z = filled
    next((outputs.root / "sub-04" / "func").glob(lost)).unlink()
    (problem,) = group(outputs)
    assert "sub-04" in problem
    expected = np.tanh(np.nanmean(np.delete(z, 3, axis=0), axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["reason"].dropna().to_dict() == {"sub-04": "outputs can't be used"}


def test_participants_whose_motion_is_not_known_are_not_in_the_benchmark(filled, rng):
    outputs, _ = filled
    outputs.add("10", correlations(rng, S), MeanFramewiseDisplacement=None)
    assert group(outputs) == []
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.qc_fc_participants) == (10, 9)


def test_motion_that_is_not_known_leaves_the_benchmark_open(outputs, rng):
    for label in LABELS:
        outputs.add(label, correlations(rng, S), MeanFramewiseDisplacement=None)
    assert group(outputs) == []
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.qc_fc_participants, row.qc_fc_edges) == (0, 0)
    assert np.isnan([row.qc_fc_median, row.mean_fd]).all()


def test_selection(filled, rng, caplog):
    outputs, _ = filled
    outputs.add("01", correlations(rng, S), strategy="36P", source="task-nback")
    select = (("sub", ("sub-01", "02", "99")), ("desc", ("simple",)), ("seeds", ("Tiny",)))
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs, select=select) == []
    assert "sub-99" in caplog.text
    assert outputs.result("participants")["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert read_tsv(outputs.root / "group" / "strategies.tsv")["strategy"].tolist() == ["simple"]


def test_a_selection_that_leaves_nothing_says_what_there_was(filled):
    outputs, _ = filled
    with pytest.raises(NothingSelectedError, match="Available: task-rest"):
        group(outputs, select=(("task", ("nback",)),))
    with pytest.raises(NothingSelectedError, match="Available: seeds-Tiny"):
        group(outputs, select=(("seeds", ("Power2011",)),))


def test_folders_that_are_no_output(outputs, tmp_path):
    with pytest.raises(MissingInputError, match="no matrix"):
        group(outputs)
    with pytest.raises(MissingInputError, match=r"no dataset_description\.json"):
        run_group(tmp_path / "nowhere", GroupOptions())
    (outputs.root / "dataset_description.json").write_text("{}")
    with pytest.raises(OutputError, match="another dataset"):
        group(outputs)


@pytest.mark.slow
def test_memory_does_not_grow_with_participants(outputs, rng, monkeypatch):
    # Columns are held in parts of 16 MB, which would be all of so few participants.
    monkeypatch.setattr(column_blocks, "__defaults__", (2**14,))
    outputs.points = rng.uniform(-60, 60, (60, 3))
    outputs.networks = ["n/a"] * 60
    peaks = []
    for count in (40, 70):  # more than are held back to be written together
        for i in range(count):
            outputs.add(f"{i:03d}", correlations(rng, 60))
        files = all_matrices(outputs.root)
        name = group_of(files[0], by_session=False)
        motion = HeadMotion(files, GroupOptions())
        gathered = gather_group(
            name, files, gather_image(image_name(name), files, Unusable()), motion, Unusable()
        )
        summarize(gathered, outputs.root, Analysis(GroupOptions()))  # loads what it needs
        tracemalloc.start()
        summarize(gathered, outputs.root, Analysis(GroupOptions()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    edges_of_all = 30 * 8 * 60 * 59 / 2
    assert peaks[1] - peaks[0] < edges_of_all / 3


def test_runs_put_together_do_not_count_twice(filled, rng):
    outputs, z = filled
    for label in ("02", "04"):
        source = "task-rest_dir-AP"
        path = outputs.add(label, correlations(rng, S), source=source, Concatenation="Runs")
        if label == "02":  # in the place of the other is what is left of a run of that name
            for extension in ("json", "tsv"):
                next(path.parent.glob(f"*_dir-AP_*_dseg.{extension}")).unlink()
    assert group(outputs) == []
    expected = np.tanh(np.nanmean(z, axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    assert outputs.result("participants")["runs"].tolist() == [1] * 9
    # By another strategy it is a run still, of the same spheres.
    outputs.add("04", correlations(rng, S), source="task-rest_dir-AP", strategy="36P")
    assert group(outputs) == []
    assert outputs.result("participants", strategy="36P")["used"].sum() == 1


@pytest.mark.slow
def test_what_the_participant_level_writes(tiny, seeds_file, run_app, tmp_path):
    out = tmp_path / "out"
    for stem in ("sub-01_task-rest", "sub-02_task-rest_run-1", "sub-02_task-rest_run-2"):
        tiny.add_run(stem)
    tiny.add_run("sub-03_task-rest", n_volumes=28)  # too few for the strategy's 31 dimensions
    call = ["participant", "--seeds", seeds_file, "--connectivity", "pearson", "covariance"]
    call += ["--concatenate", "participant"]
    assert run_app(tiny.root, out, *call, "--radius", "6").status == 0
    assert len(list(out.glob("sub-02/func/sub-02_task-rest_space-*_relmat.tsv"))) == 2
    assert run_group(out, GroupOptions()) == []
    runs = read_tsv(out / "group" / "runs.tsv")
    assert runs["excluded"].tolist() == [0, 0, 0, 1]
    z, weights = [], []
    for stem in ("sub-01_task-rest", "sub-02_task-rest_run-1", "sub-02_task-rest_run-2"):
        (path,) = out.glob(f"sub-*/func/{stem}_*_stat-pearsoncorrelation_*_relmat.tsv")
        z.append(np.arctanh(upper(read_tsv(path).drop(columns="Node").to_numpy(float))))
        weights.append(json.loads(path.with_suffix(".json").read_text())["DegreesOfFreedom"])
    second = np.average(z[1:], axis=0, weights=weights[1:])
    (path,) = (out / "group").glob("*_stat-pearsoncorrelation_desc-simple_mean.tsv")
    mean = upper(read_tsv(path).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(mean, np.tanh((z[0] + second) / 2), rtol=1e-7)
    (path,) = (out / "group").glob("*_coverage.tsv")
    assert read_tsv(path).set_index("name")["share"].to_dict() == {
        "left": 1,
        "right": 1,
        "front": 1,
        "far": 0,
    }


def test_the_last_call_is_told(outputs, rng):
    for strategy in ("simple", "36P"):
        outputs.add("01", correlations(rng, S), strategy=strategy)
        outputs.add("02", correlations(rng, S), strategy=strategy)
    broken = outputs.add("03", correlations(rng, S))
    broken.with_suffix(".json").write_text("{")
    problems = group(outputs, select=(("desc", ("simple",)),))
    summary = json.loads((outputs.root / "group" / "summary.json").read_text())
    assert summary["Problems"] == problems
    assert len(problems) == 1
    (name,) = summary["Groups"]
    assert outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").name == f"{name}_mean.tsv"
    group(outputs)
    summary = json.loads((outputs.root / "group" / "summary.json").read_text())
    assert summary["Groups"] == [name.replace("simple", "36P"), name]


def test_when_nothing_could_be_done_no_call_is_told(outputs, rng):
    path = outputs.add("01", correlations(rng, S))
    assert group(outputs) == []
    path.with_suffix(".json").write_text("{")
    with pytest.raises(DataError):
        group(outputs)
    names = ("summary.json", "runs.tsv", "strategies.tsv")
    assert not [name for name in names if (outputs.root / "group" / name).exists()]
