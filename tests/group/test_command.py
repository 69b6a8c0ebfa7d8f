"""The group level from the command line: what it takes, answers and leaves alone."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from bids_spheres.app.main import main
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.group.options import GroupOptions
from tests.group.conftest import PEARSON, correlations, read_tsv, upper

LABELS = ("01", "02", "03", "04")


@pytest.fixture
def filled(outputs, rng):
    """Four participants, two strategies and two measures; matrices by strategy and participant."""
    matrices = {}
    for strategy in ("simple", "24P"):
        for label in LABELS:
            matrices[strategy, label] = correlations(rng, len(outputs.names))
            outputs.add(label, matrices[strategy, label], strategy=strategy)
    for label in LABELS:
        outputs.add(label, correlations(rng, len(outputs.names)), stat="partialcorrelation")
    return outputs, matrices


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level on a folder, without an input."""
    return lambda outputs, *words: run_app(tmp_path / "gone", outputs.root, "group", *words)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def results(outputs):
    return {path.name for path in (outputs.root / "group").glob("*_mean.tsv")}


def expected_mean(matrices, strategy, labels=LABELS):
    z = [np.arctanh(upper(matrices[strategy, label])) for label in labels]
    return np.tanh(np.mean(z, axis=0))


@pytest.mark.parametrize("source", ["command line", "Python"])
def test_defaults_of_inference(source):
    choices = GroupOptions()
    if source == "command line":
        choices = settings_of(main_parser().parse_args(["in", "out", "group"])).group
    assert (choices.inference, choices.tail) == (("fdr",), "two")
    assert (choices.permutations, choices.seed) == (5000, 0)
    assert choices.nbs_threshold == 3.1
    assert (choices.tfnbs_extent, choices.tfnbs_height, choices.tfnbs_step) == (0.4, 3, 0.1)
    assert (choices.tfce_extent, choices.tfce_height, choices.tfce_step) == (0.5, 2, 0.1)
    assert choices.cluster_threshold == 0.001
    assert (choices.model, choices.contrast, choices.min_participants) == (None, (), 3)
    names = ("within", "clusters", "weights", "harmonize", "harmonize_from", "blocks")
    assert {getattr(choices, name) for name in (*names, "variance_groups")} == {None}
    switches = ("whole_blocks", "harmonize_within", "by_session")
    assert {getattr(choices, name) for name in switches} == {False}


def test_a_selection_holds_for_contrasts(filled, call, rng):
    outputs, matrices = filled
    ages = rng.uniform(20, 60, len(LABELS))
    outputs.participants(participant_id=LABELS, age=ages)
    words = ("--strategy", "24P", "--connectivity", "pearson", "--model", "age")
    words += ("--contrast", "old=age", "mid=Intercept", "--report-level", "none")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    names = {path.name for path in (outputs.root / "group").glob("*_contrast-*.tsv")}
    stem = outputs.path(f"stat-{PEARSON}_desc-24P").name
    assert names == {f"{stem}_contrast-{name}_edges.tsv" for name in ("old", "mid")}
    z = np.arctanh([upper(matrices["24P", label]) for label in LABELS])
    found = outputs.result("contrast-old_edges", strategy="24P")
    np.testing.assert_allclose(found["effect"], np.polyfit(ages, z, 1)[0], rtol=1e-6)
    found = outputs.result("contrast-mid_edges", strategy="24P")
    np.testing.assert_allclose(found["effect"], np.polyfit(ages, z, 1)[1], rtol=1e-6)


def test_everything_there_is_without_a_selection(filled, call):
    outputs, matrices = filled
    assert call(outputs).status == 0
    assert len(results(outputs)) == 3
    for strategy in ("simple", "24P"):
        mean = upper(outputs.matrix("mean", strategy=strategy))
        np.testing.assert_allclose(mean, expected_mean(matrices, strategy), rtol=1e-7)


def test_options_of_the_participant_level_select(filled, call):
    outputs, matrices = filled
    words = ("--strategy", "24P", "--participant-label", "sub-01", "03", "--atlas", "Tiny")
    assert call(outputs, *words, "--connectivity", "pearson").status == 0
    (name,) = results(outputs)
    assert f"_stat-{PEARSON}_desc-24P_" in name
    mean = upper(outputs.matrix("mean", strategy="24P"))
    np.testing.assert_allclose(mean, expected_mean(matrices, "24P", ("01", "03")), rtol=1e-7)


def test_a_strategy_and_seeds_of_the_users_own_select_by_their_names(outputs, rng, call, tmp_path):
    outputs.add("01", correlations(rng, 5), strategy="mine")
    outputs.add("01", correlations(rng, 5))
    strategy = tmp_path / "file.json"
    strategy.write_text(json.dumps({"name": "mine", "description": "x", "motion": "basic"}))
    assert call(outputs, "--strategy", strategy).status == 0
    (name,) = results(outputs)
    assert "_desc-mine_" in name
    done = call(outputs, "--seeds", tmp_path / "my tiny.v2.tsv")
    assert done.status == 18
    assert "seeds-mytiny" in done.err


def test_the_record_of_a_call_of_the_participant_level_serves_the_group(
    run_app, tiny, seeds_file, tmp_path
):
    for label in ("01", "02"):
        tiny.add_run(f"sub-{label}_task-rest", n_volumes=60)
    out = tmp_path / "out"
    words = ("--seeds", seeds_file, "--strategy", "24P", "--radius", 6, "--fd-threshold", 9)
    assert run_app(tiny.root, out, "participant", *words).status == 0
    again = ("--seeds", seeds_file, "--radius", 6)
    assert run_app(tiny.root, out, "participant", *again).status == 0
    first, _ = sorted((out / "logs").glob("*_settings.json"))
    done = run_app(tiny.root, out, "group", "--config", first)
    assert done.status == 0, done.err
    assert "no effect" not in done.err
    (mean,) = (out / "group").glob("*_mean.tsv")
    assert "_desc-24P_" in mean.name
    *_, last = sorted((out / "logs").glob("*_settings.json"))
    record = json.loads(last.read_text())
    assert (record["analysis_level"], record["strategy"]) == ("group", ["24P"])
    # The participant's page goes on telling how the participant's results are made.
    page = ("--reports-only", "--report-level", "participant")
    assert run_app(tiny.root, out, "participant", *page).status == 0
    page = (out / "sub-01.html").read_text()
    assert "out participant --config" in page
    assert "out group --config" not in page


def test_the_page_is_made_with_the_results_or_alone_or_not_at_all(filled, run_as_typed, tmp_path):
    outputs, _ = filled

    def call(*words):
        return run_as_typed(tmp_path / "gone", outputs.root, "group", *words)

    page = outputs.root / "group.html"
    assert call("--reports-only").status == 66
    assert call("--report-level", "none").status == 0
    assert not page.exists()
    before = everything(outputs.root)
    done = call("--reports-only")
    assert done.status == 0
    assert str(page) in done.err
    made = everything(outputs.root)
    assert made.pop(page)
    assert made == before
    page.unlink()
    assert call().status == 0
    assert page.exists()


def test_options_without_effect_are_named(filled, call, run_app, tiny, seeds_file, tmp_path):
    outputs, _ = filled
    done = call(outputs, "--smoothing-fwhm", 5, "--strategy", "simple", "--full-length")
    assert done.status == 0
    assert "no effect at the group level: --full-length, --smoothing-fwhm" in done.err
    # Platforms type out defaults
    done = call(outputs, "--mask=run", "--min-coverage=0.5", "--standardize=zscore_sample")
    assert (done.status, "no effect" in done.err) == (0, False)
    tiny.add_run()
    words = ("participant", "--seeds", seeds_file, "--model", "age")
    done = run_app(tiny.root, tmp_path / "new", *words)
    assert done.status == 0
    assert "no effect at the participant level: --model" in done.err


@pytest.mark.parametrize("place", ["input", "nested", "linked", "output", "named"])
def test_where_participants_are_looked_for(filled, run_app, tmp_path, place):
    outputs, _ = filled
    raw = tmp_path / "raw"
    bids_dir = raw / "derivatives" / "fmriprep" if place == "nested" else tmp_path / "fmriprep"
    bids_dir.mkdir(parents=True)
    raw.mkdir(exist_ok=True)
    links = {"DatasetLinks": {"raw": raw.as_uri()}} if place == "linked" else {}
    (bids_dir / "dataset_description.json").write_text(json.dumps(links))
    folders = {"input": bids_dir, "nested": raw, "linked": raw, "output": outputs.root}
    table = folders.get(place, tmp_path) / "participants.tsv"
    rows = [f"sub-{label}\t{20 + i}" for i, label in enumerate(LABELS)]
    table.write_text("\n".join(["participant_id\tage", *rows]) + "\n")
    named = ("--participants-table", table) if place == "named" else ()
    done = run_app(bids_dir, outputs.root, "group", "--model", "age", *named)
    assert done.status == 0, done.err
    model = read_tsv(outputs.path(f"stat-{PEARSON}_desc-simple_model.tsv"))
    assert set(model["n"]) == {4}
    assert place == "named" or f"Variables of participants: {table}" in done.err


def test_a_model_without_a_table_says_where_it_was_looked_for(filled, call):
    outputs, _ = filled
    before = everything(outputs.root)
    done = call(outputs, "--model", "age")
    assert done.status == 66
    assert str(outputs.root) in done.err
    assert "--participants-table" in done.err
    assert everything(outputs.root) == before


def test_what_fails_does_not_keep_the_others_back(filled, call):
    outputs, _ = filled
    outputs.add("05", correlations(np.random.default_rng(1), 5), strategy="24P", Radius=9.0)
    done = call(outputs)
    assert done.status == 1
    assert done.err.count("are not mixed") == 1
    assert not any("_desc-24P_" in name for name in results(outputs))
    assert len(results(outputs)) == 2


def test_a_dry_run_tells_and_writes_nothing(filled, call):
    outputs, _ = filled
    before = everything(outputs.root)
    done = call(outputs, "--dry-run", "--strategy", "24P")
    assert done.status == 0
    (line,) = done.out.splitlines()
    assert line.endswith(f"_stat-{PEARSON}_desc-24P: 4 participants, 4 matrices")
    assert everything(outputs.root) == before


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--explain",), 2, "--dry-run"),
        (("--strategy", "nix"), 18, "desc-24P and desc-simple"),
        (("--task-label", "nix"), 18, "task-rest"),
        (("--connectivity", "nix"), 2, "no measure of connectivity"),
        (("--model", "age +"), 66, "participants.tsv"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(filled, call, words, status, said):
    outputs, _ = filled
    assert call(outputs).status == 0
    before = everything(outputs.root)
    done = call(outputs, *words)
    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err
    assert everything(outputs.root) == before


def test_without_results_there_is_no_group(run_app, tmp_path, tiny):
    done = run_app(tiny.root, tmp_path / "nothing", "group")
    assert done.status == 66
    assert "participant level" in done.err
    assert not (tmp_path / "nothing").exists()


def test_levels_are_named_when_there_is_no_such(run_app, tmp_path):
    done = run_app(tmp_path, tmp_path / "out", "grup")
    assert done.status == 17
    assert "participant and, when that is done, group" in done.err


def test_foreign_folders_are_left_alone(tmp_path, capsys):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x"}')
    assert main(["x", str(tmp_path), "group"]) == 73
    assert "another dataset" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_description.json"]


@pytest.mark.parametrize(
    "words", [("--executor", "dask"), ("--dask-scheduler", "tcp://127.0.0.1:1"), ("config",)]
)
def test_dask_does_nothing_here_and_that_is_told_once(filled, call, tmp_path, words):
    outputs, _ = filled
    if words == ("config",):
        (tmp_path / "settings.json").write_text('{"executor": "dask"}')
        words = ("--config", tmp_path / "settings.json")
    done = call(outputs, "--report-level", "none", *words)
    assert done.status == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("WARNING ")]
    assert warnings == [
        "WARNING --executor dask does nothing at the group level, which is one process."
    ]


def test_a_table_of_participants_that_is_a_pipe_is_told_as_that(filled, run_app, tmp_path):
    outputs, _ = filled
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "participants.tsv")
    done = run_app(tmp_path / "in", outputs.root, "group", "--model", "age")
    assert done.status == 65
    assert "participants.tsv is a named pipe; a table of participants is needed" in done.err
