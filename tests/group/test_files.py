"""Whom a group lacks, and why; spaces that are pooled or not; outputs of other versions."""

from __future__ import annotations

import json
import os
from itertools import product

import numpy as np
import pytest
from scipy.special import polygamma

from bids_spheres.errors import DataError, OutputError
from bids_spheres.files.names import parse_name
from bids_spheres.group.files import describe_absent, describe_failed
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.find import OutputFile, selected
from tests.group.conftest import PEARSON, POINTS, correlations, read_tsv, upper

S = len(POINTS)
ASYM, NLIN6 = "MNI152NLin2009cAsym", "MNI152NLin6Asym"
OLD = [{"Name": "bids_spheres", "Version": "0.1.0"}]


def reasons(outputs, pattern="*_participants.tsv"):
    (path,) = (outputs.root / "group").glob(pattern)
    table = read_tsv(path)
    return dict(
        zip(table["participant_id"], table["reason"].astype(object).fillna(""), strict=True)
    )


def add(outputs, rng, label, space=ASYM, **options):
    outputs.space = space
    matrix = correlations(rng, S)
    outputs.add(label, matrix, **options)
    return np.arctanh(upper(matrix))


@pytest.fixture
def fmriprep(tmp_path):
    """An input in which participants 01 to 06 have folders, in a study with a raw dataset."""
    root = tmp_path / "study" / "derivatives" / "fmriprep"
    for i in range(1, 7):
        (root / f"sub-0{i}" / "func").mkdir(parents=True)
    raw = tmp_path / "study" / "sourcedata" / "raw"
    raw.mkdir(parents=True)
    rows = [f"sub-0{i}\t{20 + i}" for i in range(1, 9)]
    (raw / "participants.tsv").write_text("\n".join(["participant_id\tage", *rows]) + "\n")
    return root


@pytest.fixture
def incomplete(outputs, rng):
    """Results of two participants, and all other ways to have none."""
    for label in ("01", "02"):
        add(outputs, rng, label)
    add(outputs, rng, "03", source="task-nback")
    columns = ["participant_id", "session_id", "source", "strategy", "reason"]
    source = "sub-04/func/sub-04_task-rest_space-x_desc-preproc_bold.nii.gz"
    rows = [["sub-04", "n/a", source, "simple", "3 volumes are left"]]
    rows += [["sub-05", "n/a", source.replace("rest", "nback"), "simple", "of another task"]]
    text = "\n".join("\t".join(row) for row in [columns, *rows]) + "\n"
    (outputs.root / "exclusions.tsv").write_text(text)
    (outputs.root / "logs").mkdir()
    (outputs.root / "logs" / "crash-sub-05_task-rest.txt").write_text("damaged")
    return outputs


def test_everybody_without_a_result_is_named_with_the_reason(incomplete, run_app, fmriprep):
    done = run_app(fmriprep, incomplete.root, "group", "--task-label", "rest")
    assert done.status == 0, done.err
    told = {
        "sub-01": "",
        "sub-02": "",
        "sub-03": "outputs of other tasks, sessions, strategies or measures alone",
        "sub-04": "excluded: 3 volumes are left",
        "sub-05": "failed at the participant level, see logs/crash-sub-05_task-rest.txt",
        "sub-06": "in the input, without outputs",
        "sub-07": "in participants.tsv, not in the input",
        "sub-08": "in participants.tsv, not in the input",
    }
    assert reasons(incomplete) == told
    for label, reason in told.items():
        assert not reason or f"({reason})" in done.err
        assert not reason or label in done.err
    assert f"2 participants without a result in any group ({told['sub-07']})" in done.err
    table = incomplete.result("participants").set_index("participant_id")
    assert table["used"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert incomplete.about("mean")["NumberOfParticipants"] == 2


def test_who_is_excluded_in_every_run_is_named_too(outputs, rng, run_app, tmp_path):
    for label in ("01", "02"):
        add(outputs, rng, label)
    outputs.add("03", np.full((S, S), np.nan), Excluded="6 volumes are left", DegreesOfFreedom=0)
    done = run_app(tmp_path, outputs.root, "group")
    assert done.status == 0, done.err
    told = "1 participant without a result in any group (every run is excluded: 6 volumes are left)"
    assert f"{told}: sub-03." in done.err


def test_who_is_not_selected_is_not_missed(incomplete, run_app, fmriprep):
    words = ("--task-label", "rest", "--participant-label", "01", "sub-02", "sub-06")
    done = run_app(fmriprep, incomplete.root, "group", *words)
    assert done.status == 0, done.err
    assert list(reasons(incomplete)) == ["sub-01", "sub-02", "sub-06"]


@pytest.mark.parametrize("place", ["derivatives/fmriprep", "."])
def test_variables_of_a_study_are_found_in_its_raw_dataset(
    incomplete, rng, run_app, fmriprep, place
):
    add(incomplete, rng, "06")
    study = fmriprep.parents[1]
    words = ("--task-label", "rest", "--model", "age", "-v")
    done = run_app(study / place, incomplete.root, "group", *words)
    assert done.status == 0, done.err
    assert "raw/participants.tsv" in done.err
    assert incomplete.about("model")["NumberOfParticipantsInModel"] == 3


def test_a_damaged_table_of_participants_only_costs_the_names(incomplete, run_app, fmriprep):
    table = fmriprep.parents[1] / "sourcedata" / "raw" / "participants.tsv"
    table.write_text("id\n01\n")
    done = run_app(fmriprep, incomplete.root, "group", "--task-label", "rest")
    assert done.status == 0
    assert "no column participant_id" in done.err
    assert "sub-07" not in reasons(incomplete)


def test_a_damaged_table_of_exclusions_only_costs_the_reasons(incomplete, run_app, fmriprep):
    table = incomplete.root / "exclusions.tsv"
    table.write_text(table.read_text()[:-9])
    done = run_app(fmriprep, incomplete.root, "group", "--task-label", "rest")
    assert done.status == 0
    assert "Reasons of exclusions are not all known" in done.err
    assert reasons(incomplete)["sub-04"] == "in the input, without outputs"


def test_who_is_in_a_group_without_a_run_that_failed_is_named(outputs, rng, run_app, tmp_path):
    for label in ("01", "02", "03"):
        add(outputs, rng, label, source="task-rest_run-1")
    add(outputs, rng, "03", source="task-rest_run-2")
    gone = {"Excluded": "too short", "DegreesOfFreedom": 0}  # by one strategy; another failed
    outputs.add("01", np.full((S, S), np.nan), source="task-rest_run-4", **gone)
    logs = outputs.root / "logs"
    logs.mkdir()
    failed = f"crash-sub-02_task-rest_run-2_space-{ASYM}.txt"
    others = (
        f"crash-sub-01_task-rest_run-1_space-{ASYM}.txt",  # another strategy of a run that is used
        f"crash-sub-01_task-rest_run-4_space-{ASYM}.txt",  # or of one that is excluded
        f"crash-sub-01_task-rest_run-1_space-{ASYM}_cohort-1_res-2_den-10k.txt",
        f"crash-sub-01_task-nback_run-2_space-{ASYM}.txt",  # of another task
        f"crash-sub-03_task-rest_run-3_space-{NLIN6}.txt",  # in another space
    )
    for name in (failed, *others):
        (logs / name).write_text("damaged")
    done = run_app(tmp_path, outputs.root, "group", "--task-label", "rest")
    assert done.status == 0, done.err
    (line,) = [line for line in done.err.splitlines() if "that failed" in line]
    assert "sub-02 is in " in line
    assert line.endswith(f" without 1 run that failed, see logs/{failed}.")
    notes = outputs.result("participants").set_index("participant_id")["note"]
    assert notes.dropna().to_dict() == {"sub-02": f"logs/{failed}"}


def write_exclusions(outputs, *rows):
    """Rows of participant, source, strategy and reason."""
    columns = ("participant_id", "session_id", "source", "strategy", "reason")
    lines = [columns, *((label, "n/a", *rest) for label, *rest in rows)]
    text = "\n".join("\t".join(line) for line in lines) + "\n"
    (outputs.root / "exclusions.tsv").write_text(text)


def test_reasons_are_those_of_the_task_the_strategy_and_the_run(outputs, rng, caplog):
    for label in ("01", "02"):
        for strategy in ("simple", "36P"):
            add(outputs, rng, label, strategy=strategy)
    of = "sub-0{}/func/sub-0{}_task-{}_run-1_desc-preproc_bold.nii.gz"
    write_exclusions(
        outputs,
        ("sub-03", of.format(3, 3, "rest"), "36P", "short"),
        ("sub-04", of.format(4, 4, "restless"), "simple", "of another task"),
        ("sub-04", of.format(4, 4, "rest"), "simple", "moved"),
        ("sub-04", of.format(4, 4, "rest"), "simple", "told later"),
        ("sub-06", of.format(6, 6, "rest"), "36P", "short"),  # by another strategy it failed
        ("sub-05", "task-rest/" + of.format(5, 5, "nback"), "simple", "of another task"),
    )
    (outputs.root / "logs").mkdir()
    failed = ("sub-06_task-nback", "sub-06_task-rest_run-2", "sub-06_task-rest_run-3")
    for name in (*failed, "sub-07_task-nback"):
        (outputs.root / "logs" / f"crash-{name}.txt").touch()
    (outputs.root / "sub-08").mkdir()
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions()) == []
    simple, other = (reasons(outputs, f"*_desc-{s}_participants.tsv") for s in ("simple", "36P"))
    assert simple == {
        **dict.fromkeys(["sub-01", "sub-02"], ""),
        "sub-03": "no outputs",
        "sub-04": "excluded: moved",
        "sub-05": "no outputs",
        "sub-06": "failed at the participant level, see logs/crash-sub-06_task-rest_run-2.txt",
        "sub-07": "no outputs",
        "sub-08": "no matrix among the outputs",
    }
    assert other["sub-03"] == "excluded: short"
    assert other["sub-04"] == "no outputs"
    assert other["sub-06"] == "excluded: short"
    text, one = caplog.text, "1 participant without a result in"
    assert f"{one} any group (no matrix among the outputs): sub-08" in text
    image = f"task-rest_space-{ASYM}_atlas-Tiny_stat-{PEARSON}"
    titles = [f"{image}_desc-{strategy}" for strategy in ("simple", "36P")]
    assert f"{one} {titles[0]} (excluded: moved): sub-04" in text
    two = one.replace("1 participant", "2 participants")
    assert f"{two} {titles[1]} (excluded: short): sub-03 and sub-06" in text
    assert f"in {titles[0]} (no outputs): sub-03, sub-05 and sub-07" in text
    assert f"in {titles[1]} (no outputs): sub-04, sub-05 and sub-07" in text


def test_runs_that_failed_in_sessions_that_are_groups_by_themselves(outputs, rng):
    for label in ("01", "02"):
        for session in "ab":
            add(outputs, rng, label, source=f"ses-{session}_task-rest_run-1")
    (outputs.root / "logs").mkdir()
    runs = (2, 3)
    failed = [f"crash-sub-02_ses-b_task-rest_run-{run}_space-{ASYM}.txt" for run in runs]
    for name in failed:
        (outputs.root / "logs" / name).touch()
    assert run_group(outputs.root, GroupOptions(by_session=True)) == []
    both = " ".join(f"logs/{name}" for name in failed)
    for session, note in (("a", {}), ("b", {"sub-02": both})):
        (path,) = (outputs.root / "group").glob(f"ses-{session}_*_participants.tsv")
        table = read_tsv(path).set_index("participant_id")
        assert table["note"].dropna().to_dict() == note
    assert run_group(outputs.root, GroupOptions()) == []
    assert outputs.result("participants").set_index("participant_id")["note"].notna().tolist() == [
        *(False, True),
    ]


def test_what_is_gone_is_removed_and_what_was_not_asked_for_is_named(outputs, rng, caplog):
    for label in ("01", "02", "03"):
        for task in ("rest", "nback", "film"):
            add(outputs, rng, label, source=f"task-{task}")
    assert run_group(outputs.root, GroupOptions()) == []
    for path in outputs.root.rglob("*_task-film_*_relmat.*"):
        path.unlink()
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions(select=(("task", ("rest",)),))) == []
    folder = outputs.root / "group"
    assert not list(folder.glob("task-film_*"))
    assert list(folder.glob("task-nback_*_mean.tsv"))
    (line,) = (line for line in caplog.messages if "results of earlier calls" in line)
    assert "task-nback" in line
    assert "task-rest" not in line


def test_a_table_of_participants_that_is_missing_is_told_once(outputs, rng, run_app, tmp_path):
    for label in ("01", "02", "03"):
        add(outputs, rng, label)
    for words in (("--model", "age"), ()):
        done = run_app(
            tmp_path, outputs.root, "group", "--participants-table", tmp_path / "no.tsv", *words
        )
        assert done.status == 66, done.err
        assert done.err.count("no.tsv") == 1


# Spaces


@pytest.fixture
def two_spaces(outputs, rng):
    z = {"01": add(outputs, rng, "01")}
    for label in ("02", "03"):
        z[label] = add(outputs, rng, label, NLIN6)
    return outputs, z


def test_a_group_for_every_space_names_who_is_in_the_other(two_spaces, caplog):
    outputs, z = two_spaces
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions()) == []
    first = reasons(outputs, f"*_space-{ASYM}_*_participants.tsv")
    assert first["sub-02"] == first["sub-03"] == f"images in space {NLIN6}"
    other = reasons(outputs, f"*_space-{NLIN6}_*_participants.tsv")
    assert other == {"sub-02": "", "sub-03": "", "sub-01": f"images in space {ASYM}"}
    assert f"(images in space {NLIN6}): sub-02 and sub-03" in caplog.text
    assert "--pool-spaces" in caplog.text
    (mean,) = (outputs.root / "group").glob(f"*_space-{NLIN6}_*_mean.tsv")
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(written, np.tanh((z["02"] + z["03"]) / 2), rtol=1e-7)


def test_spaces_are_pooled_when_that_is_asked_for(two_spaces, caplog):
    outputs, z = two_spaces
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    assert "--pool-spaces" not in caplog.text
    (mean,) = (outputs.root / "group").glob("*_space-MNI_*_mean.tsv")
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(written, np.tanh(np.mean(list(z.values()), axis=0)), rtol=1e-7)
    about = json.loads(mean.with_suffix(".json").read_text())
    assert about["PooledSpaces"] == {ASYM: 1, NLIN6: 2}
    (people,) = (outputs.root / "group").glob("*_space-MNI_*_participants.tsv")
    assert read_tsv(people)["image_space"].tolist() == [ASYM, NLIN6, NLIN6]


def test_a_run_with_images_in_two_spaces_counts_once_in_the_preferred_one(outputs, rng):
    z = [add(outputs, rng, "01"), add(outputs, rng, "02", NLIN6)]
    add(outputs, rng, "01", NLIN6)
    outputs.space = "T1w"
    outputs.points = POINTS + 3
    add(outputs, rng, "01", "T1w")
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    (mean,) = (outputs.root / "group").glob("*_space-MNI_*_mean.tsv")
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(written, np.tanh(np.mean(z, axis=0)), rtol=1e-7)
    # What is no MNI space is not pooled, and nobody is missing from the pool.
    assert len(list((outputs.root / "group").glob("*_space-T1w_*_mean.tsv"))) == 1
    assert reasons(outputs, "*_space-MNI_*_participants.tsv") == {"sub-01": "", "sub-02": ""}


def test_a_run_in_a_space_without_a_preference_counts_in_one_that_has_one(outputs, rng):
    add(outputs, rng, "01", "MNI152Lin")
    z = [add(outputs, rng, "01", NLIN6), add(outputs, rng, "02", "MNI152Lin")]
    add(outputs, rng, "02", "MNIPediatricAsym")  # the first by its name
    z.append(add(outputs, rng, "03", "MNIPediatricAsym"))
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    (mean,) = (outputs.root / "group").glob("*_space-MNI_*_mean.tsv")
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(written, np.tanh(np.mean(z, axis=0)), rtol=1e-7)


def test_seeds_mapped_to_another_template_are_pooled_and_others_are_not(outputs, rng):
    add(outputs, rng, "01")
    outputs.points = POINTS + 2
    mapped = {"SeedSpace": ASYM, "SeedTransforms": ["bids:templateflow:x.h5"]}
    add(outputs, rng, "02", NLIN6, **mapped)
    outputs.points = POINTS - 2
    add(outputs, rng, "03", "MNI152NLin2009bAsym", **mapped)
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    assert len(reasons(outputs)) == 3
    outputs.points = POINTS + 2
    add(outputs, rng, "02", NLIN6)
    with pytest.raises(DataError, match=r"coordinates is .* in 1 participant \(sub-02\)"):
        run_group(outputs.root, GroupOptions(pool_spaces=True))


# Versions


def test_outputs_of_another_minor_version_are_left_out(outputs, rng):
    z = [add(outputs, rng, label) for label in ("01", "02")]
    for label in ("03", "05"):
        add(outputs, rng, label, GeneratedBy=OLD)
    path = outputs.add("04", correlations(rng, S))
    for name in (path.with_suffix(".json"), *path.parent.glob("*_dseg.json")):
        content = json.loads(name.read_text())
        name.write_text(json.dumps({k: v for k, v in content.items() if k != "GeneratedBy"}))
    problems = run_group(outputs.root, GroupOptions())
    assert len(problems) == 2
    assert all("Run the participant level again" in problem for problem in problems)
    assert "outputs of 2 participants (sub-03 and sub-05) are left out" in problems[0]
    assert "made by bids_spheres 0.1.0" in problems[0]
    assert "sub-04" in problems[1]
    np.testing.assert_allclose(
        upper(outputs.matrix("mean")), np.tanh(np.mean(z, axis=0)), rtol=1e-7
    )
    assert reasons(outputs)["sub-03"] == "made by bids_spheres 0.1.0"
    assert read_tsv(outputs.path("coverage.tsv"))["participants"].tolist() == [2] * S


def test_a_matrix_of_another_version_beside_spheres_of_this_one(outputs, rng):
    add(outputs, rng, "01")
    add(outputs, rng, "02")
    path = outputs.add("02", correlations(rng, S))
    content = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(content | {"GeneratedBy": OLD}))
    (problem,) = run_group(outputs.root, GroupOptions())
    assert "0.1.0" in problem
    assert outputs.about("mean")["NumberOfParticipants"] == 1


def test_nothing_but_outputs_of_another_version(outputs, rng):
    add(outputs, rng, "01", GeneratedBy=OLD)
    with pytest.raises(DataError, match="Run the participant level again"):
        run_group(outputs.root, GroupOptions())


def test_run_0_is_not_a_name_without_run(tmp_path):
    names = [f"sub-01_task-rest{run}_seg-mine_relmat.tsv" for run in ("", "_run-00", "_run-1")]
    files = [OutputFile(tmp_path / name, parse_name(name)) for name in names]
    chosen = selected(files, [("run", ("0",))])
    assert [file.path.name for file in chosen] == [names[1]]


# Sentences and what is left


def test_sentences_about_the_same_people_of_several_groups_are_one():
    absent = {f"g{i}": {"sub-1": "short", "sub-3": "short"} for i in range(5)}
    absent["g5"] = {"sub-1": "short", "sub-2": "moved"}
    assert [*describe_absent(absent)] == [
        "2 participants without a result in g0, g1, g2 and 2 more (short): sub-1 and sub-3",
        "1 participant without a result in g5 (short): sub-1",
        "1 participant without a result in g5 (moved): sub-2",
    ]
    del absent["g5"]
    everywhere = "2 participants without a result in any group (short): sub-1 and sub-3"
    assert [*describe_absent(absent)] == [everywhere]
    many = {"g": {f"sub-{i}": "short" for i in range(9)}}
    assert next(describe_absent(many)).endswith("sub-6, sub-7 and sub-8")
    failed = {f"g{i}": {"sub-1": ["a.txt", "b.txt"]} for i in range(4)}
    failed["g0"] = {"sub-1": ["a.txt"]}
    assert [*describe_failed(failed)] == [
        "sub-1 is in g0 without 1 run that failed, see logs/a.txt",
        "sub-1 is in g1, g2 and g3 without 2 runs that failed, see logs/a.txt and b.txt",
    ]
    failed["g4"] = failed["g5"] = failed["g1"]
    assert " in g1, g2, g3 and 2 more without " in [*describe_failed(failed)][1]


def test_results_of_groups_that_were_made_otherwise_stay(outputs, rng, caplog):
    for label in ("01", "02"):
        for session in "ab":
            for task in ("rest", "nback"):
                add(outputs, rng, label, source=f"ses-{session}_task-{task}")
    options = [{"by_session": True}, {"pool_spaces": True}, {"within": "task"}, {}]
    for given in options:
        caplog.clear()
        with caplog.at_level("WARNING", "bids_spheres"):
            assert run_group(outputs.root, GroupOptions(**given)) == []
    folder, end = outputs.root / "group", f"_atlas-Tiny_stat-{PEARSON}_desc-simple_mean.tsv"
    tasks = [f"task-{task}_space-" for task in ("nback", "rest")]
    expected = {
        *(f"ses-{session}_{task}{ASYM}{end}" for session in "ab" for task in tasks),
        *(f"{task}{space}{end}" for task in tasks for space in ("MNI", ASYM)),
        f"space-{ASYM}{end}",
    }
    assert {path.name for path in folder.glob("*_mean.tsv")} == expected
    of_images = {
        name.replace(f"_stat-{PEARSON}_desc-simple_mean", "_coverage") for name in expected
    }
    assert {path.name for path in folder.glob("*_coverage.tsv")} == of_images
    (line,) = (line for line in caplog.messages if "results of earlier calls" in line)
    assert "which this one did not update: ses-a_task-nback_" in line
    for path in outputs.root.rglob("*_task-nback_*_relmat.*"):
        path.unlink()
    assert run_group(outputs.root, GroupOptions()) == []
    left = {name for name in expected if "nback" not in name}
    assert {path.name for path in folder.glob("*_mean.tsv")} == left


def test_pooled_spaces_have_one_resolution(outputs, rng):
    z = [add(outputs, rng, "01", seeds="atlas-Tiny_res-2"), add(outputs, rng, "02", NLIN6)]
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    (mean,) = (outputs.root / "group").glob("*_mean.tsv")
    assert mean.name == f"task-rest_space-MNI_atlas-Tiny_stat-{PEARSON}_desc-simple_mean.tsv"
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(written, np.tanh(np.mean(z, axis=0)), rtol=1e-7)
    assert run_group(outputs.root, GroupOptions()) == []
    assert reasons(outputs, f"*_space-{NLIN6}_*_participants.tsv")["sub-01"] == (
        f"images in space {ASYM}"
    )


def test_who_is_absent_has_no_run_and_is_in_no_model(incomplete, run_app, fmriprep):
    for label in ("01", "02", "06", "07"):
        add(incomplete, np.random.default_rng(int(label)), label)
    gone = {"Excluded": "too short", "DegreesOfFreedom": 0}
    for run, reason in ((1, "b"), (2, "a"), (3, "b")):
        outputs_of = {"source": f"task-rest_run-{run}", **gone, "Excluded": reason}
        incomplete.add("08", np.full((S, S), np.nan), **outputs_of)
    words = ("--task-label", "rest", "--model", "age", "--report-level", "none")
    assert run_app(fmriprep, incomplete.root, "group", *words).status == 0
    table = incomplete.result("participants").set_index("participant_id")
    absent = table.loc["sub-04"]
    assert absent[["runs", "runs_excluded", "used", "in_model"]].tolist() == [0, 0, 0, 0]
    assert np.isnan([float(absent[name]) for name in ("mean_fd", "degrees_of_freedom")]).all()
    assert table["image_space"].isna().to_dict()["sub-04"]
    assert table.loc["sub-01", ["runs", "used", "in_model"]].tolist() == [1, 1, 1]
    assert table.loc["sub-01", "image_space"] == ASYM
    excluded = table.loc["sub-08"]
    assert excluded[["runs", "runs_excluded", "used", "in_model"]].tolist() == [0, 3, 0, 0]
    assert (excluded["reason"], excluded["image_space"]) == ("every run is excluded: b; a", ASYM)
    words = ("--task-label", "rest", "--report-level", "none")
    assert run_app(fmriprep, incomplete.root, "group", *words).status == 0
    assert incomplete.result("participants")["in_model"].isna().all()


def test_each_run_of_a_participant_is_pooled_in_the_space_preferred_for_it(outputs, rng):
    """One run has images in both spaces, the other in the less preferred one alone."""
    freedom = {"DegreesOfFreedom": 30}
    z = [add(outputs, rng, "01", source="task-rest_run-1", **freedom)]
    add(outputs, rng, "01", NLIN6, source="task-rest_run-1", **freedom)
    z.append(add(outputs, rng, "01", NLIN6, source="task-rest_run-2", DegreesOfFreedom=70))
    others = [add(outputs, rng, "02", NLIN6, source=f"task-rest_run-{run}") for run in (1, 3, 4)]
    (outputs.root / "logs").mkdir()
    failed = f"crash-sub-02_task-rest_run-2_space-{NLIN6}.txt"
    (outputs.root / "logs" / failed).touch()
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    (mean,) = (outputs.root / "group").glob("*_space-MNI_*_mean.tsv")
    written = upper(read_tsv(mean).drop(columns="Node").to_numpy(float))
    weights = 2 / polygamma(1, (np.array([30, 70]) - 1) / 2)
    expected = (np.average(z, axis=0, weights=weights) + np.mean(others, axis=0)) / 2
    np.testing.assert_allclose(written, np.tanh(expected), rtol=1e-7)
    about = json.loads(mean.with_suffix(".json").read_text())
    # The first participant has a result in both.
    assert about["PooledSpaces"] == {ASYM: 1, NLIN6: 2}
    (people,) = (outputs.root / "group").glob("*_space-MNI_*_participants.tsv")
    table = read_tsv(people)
    assert table["image_space"].tolist() == [f"{ASYM} {NLIN6}", NLIN6]
    assert table["runs"].tolist() == [2, 3]
    assert table["degrees_of_freedom"].tolist() == [100, 270]
    assert table["note"].fillna("").tolist() == ["", f"logs/{failed}"]


def test_sessions_by_themselves_name_who_has_them_in_other_spaces(outputs, rng):
    for label, session, space in (
        *(("01", session, ASYM) for session in "ab"),
        *(("02", "a", ASYM), ("02", "b", NLIN6)),
        *(("03", "b", "T1w"), ("03", "b", NLIN6), ("03", "a", ASYM)),
    ):
        add(outputs, rng, label, space, source=f"ses-{session}_task-rest")
    assert run_group(outputs.root, GroupOptions(by_session=True)) == []
    told = reasons(outputs, f"ses-b_*_space-{ASYM}_*_participants.tsv")
    assert told == {
        "sub-01": "",
        "sub-02": f"images in space {NLIN6}",
        "sub-03": f"images in space {NLIN6} and T1w",
    }
    first = reasons(outputs, f"ses-a_*_space-{ASYM}_*_participants.tsv")
    assert first == dict.fromkeys(told, "")


def test_who_is_in_several_spaces_that_are_pooled_is_named_with_each(outputs, rng):
    outputs.points = POINTS + 3
    add(outputs, rng, "01", "T1w")
    outputs.points = POINTS
    for label in ("01", "02"):
        add(outputs, rng, label)
    add(outputs, rng, "02", NLIN6)
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    told = reasons(outputs, "*_space-T1w_*_participants.tsv")
    assert told == {"sub-01": "", "sub-02": f"images in space {ASYM} and {NLIN6}"}


def test_reasons_of_any_task_count_where_tasks_are_one_group(outputs, rng):
    for label, task in product(("01", "02"), ("rest", "nback")):
        add(outputs, rng, label, source=f"task-{task}")
    source = "sub-03/func/sub-03_task-nback_desc-preproc_bold.nii.gz"
    write_exclusions(outputs, ("sub-03", source, "simple", "short"))
    (outputs.root / "logs").mkdir()
    (outputs.root / "logs" / "crash-sub-04_task-nback.txt").touch()
    assert run_group(outputs.root, GroupOptions(within="task")) == []
    assert reasons(outputs) == {
        **dict.fromkeys(["sub-01", "sub-02"], ""),
        "sub-03": "excluded: short",
        "sub-04": "failed at the participant level, see logs/crash-sub-04_task-nback.txt",
    }


def test_participants_are_in_the_order_in_which_people_count(outputs, rng, caplog):
    for label in ("10", "2", "1"):
        add(outputs, rng, label)
    for label in ("11", "3"):
        (outputs.root / f"sub-{label}").mkdir()
    assert run_group(outputs.root, GroupOptions()) == []
    assert list(reasons(outputs)) == ["sub-1", "sub-2", "sub-10", "sub-3", "sub-11"]
    assert "--pool-spaces" not in caplog.text


def test_spheres_of_another_version_beside_a_matrix_of_this_one(outputs, rng):
    for label in ("01", "02"):
        add(outputs, rng, label)
    (path,) = (outputs.root / "sub-02" / "func").glob("*_dseg.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"GeneratedBy": OLD}))
    (problem,) = run_group(outputs.root, GroupOptions())
    assert "outputs of 1 participant (sub-02) are left out" in problem
    assert reasons(outputs) == {"sub-01": "", "sub-02": "made by bids_spheres 0.1.0"}


@pytest.mark.parametrize("name", ["group", "logs"])
def test_folders_that_lead_elsewhere_are_not_written_to(outputs, rng, tmp_path, name):
    add(outputs, rng, "01")
    (tmp_path / "elsewhere").mkdir()
    (outputs.root / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link to"):
        run_group(outputs.root, GroupOptions())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_killed_calls_left_in_the_folders_of_the_group_is_removed(outputs, rng):
    add(outputs, rng, "01")
    left = [outputs.root / name / f".tmp-bids_spheres-{'0' * 32}" for name in ("", "group", "logs")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    assert run_group(outputs.root, GroupOptions()) == []
    assert not [path for path in left if path.exists()]
