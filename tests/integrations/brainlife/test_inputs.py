"""What a config.json says, without doing the task: files, entities of names, and options."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.integrations.brainlife.task import link_inputs, read_task


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a config.json whose files exist."""
    monkeypatch.chdir(tmp_path)

    def call(inputs=(), **content):
        for key in ("bold", "regressors", "mask"):
            given = content.get(key, [])
            for path in given if isinstance(given, list) else [given]:
                if "/" in str(path):
                    (tmp_path / path).parent.mkdir(exist_ok=True)
                    (tmp_path / path).touch()
        content = {"space": "T1w", "_inputs": list(inputs)} | content
        Path("config.json").write_text(json.dumps(content))
        return read_task(Path("config.json"))

    return call


def of(key, tags=(), datatype_tags=(), **meta):
    """What the platform says of an input."""
    return {"keys": [key], "meta": meta, "tags": [*tags], "datatype_tags": [*datatype_tags]}


BOLDS = [f"in/{name}.nii.gz" for name in "abc"]


def entities(task):
    return [dict(run.entities) for run in task.runs]


def test_labels_are_those_of_metadata_and_else_of_tags(read):
    tags = (["x", "task_nback", "run-7"], ["space-MNI152Lin", "run-9"])
    facts = {"subject": "S-01:x", "session": True, "task": "", "TaskName": "n back", "acq": "LR"}
    about = of("bold", *tags, **facts)
    task = read([about], bold=BOLDS[0], space=None)
    expected = {"sub": "S01", "task": "nback", "acq": "LR", "run": "7", "space": "MNI152Lin"}
    assert entities(task) == [expected]
    about["meta"] |= {"task": "rest_2", "run": 3, "acquisition": "RL", "session": "a"}
    task = read([about], bold=BOLDS[0], space="MNI152NLin6Asym:res-2")
    expected = {"sub": "S01", "ses": "a", "task": "rest2", "acq": "RL", "run": "3"}
    assert entities(task) == [expected | {"space": "MNI152NLin6Asym"}]


def test_a_label_that_is_missing_is_that_of_the_first_image(read):
    both = [of("bold", subject="7", run="1"), of("bold", run="2"), of("bold", subject="8")]
    runs = entities(read(both, bold=BOLDS))
    assert [run["sub"] for run in runs] == ["7", "7", "8"]
    assert [run.get("run") for run in runs] == ["1", "2", None]
    assert {run["task"] for run in runs} == {"rest"}
    assert entities(read([of("bold")], bold=BOLDS[0])) == [
        {"sub": "01", "task": "rest", "space": "T1w"}
    ]


def test_runs_with_equal_names_are_numbered_and_others_are_not(read):
    same = [of("bold", run="4", session=ses) for ses in ("a", "a", "b")]
    assert [run["run"] for run in entities(read(same, bold=BOLDS))] == ["1", "2", "3"]
    different = [of("bold", run="4", session=ses) for ses in "abc"]
    assert [run["run"] for run in entities(read(different, bold=BOLDS))] == ["4"] * 3


def paths(task, key):
    return [str(getattr(run, key)) for run in task.runs]


def test_files_belong_to_runs_by_metadata_or_else_by_their_order(read):
    tables = [f"in/{name}.tsv" for name in "abc"]
    bolds = [of("bold", run=run, session="x") for run in "123"]
    others = [of("regressors", run=run, session="x") for run in "312"]
    task = read([*bolds, *others], bold=BOLDS, regressors=tables)
    assert paths(task, "regressors") == [tables[1], tables[2], tables[0]]
    bolds = [of("bold", session=session, TaskName=task) for session, task in ("ax", "ay", "bx")]
    others = [of("regressors", session=session, task=task) for session, task in ("bx", "ax", "ay")]
    task = read([*bolds, *others], bold=BOLDS, regressors=tables)
    assert paths(task, "regressors") == [tables[1], tables[2], tables[0]]
    # Not where runs are the same, nor where tables are of other runs.
    for runs, of_tables in (("113", "311"), ("123", "314"), ("123", "113")):
        bolds = [of("bold", run=run) for run in runs]
        others = [of("regressors", run=run) for run in of_tables]
        task = read([*bolds, *others], bold=BOLDS, regressors=tables)
        assert paths(task, "regressors") == tables
    # Nor where the platform says something of two of three.
    task = read([*bolds[:2], *others[:2]], bold=BOLDS, regressors=tables)
    assert paths(task, "regressors") == tables


def test_one_mask_is_for_all_runs_and_one_table_is_not(read):
    task = read(bold=BOLDS[:2], mask="in/m.nii.gz")
    assert paths(task, "mask") == ["in/m.nii.gz"] * 2
    assert "mask" not in task.options
    for key, files in (("mask", ["in/m.nii", "in/n.nii"]), ("regressors", ["in/r.tsv"])):
        with pytest.raises(DataError, match=f"names 3 BOLD images and {len(files)} files of {key}"):
            read(bold=BOLDS, **{key: files})


def test_options_without_masks_and_regressors(read):
    task = read(bold=BOLDS[0], radius="4")
    assert (task.options["mask"], task.options["strategy"]) == ("none", ["none"])
    assert len(task.notes) == 2
    task = read(bold=BOLDS[0], mask="template", strategy="24P", regressors="in/r.tsv")
    assert (task.options["mask"], task.options["strategy"]) == ("template", ["24P"])
    assert task.notes == ()
    task = read(bold=BOLDS[0], mask="run", strategy="24P")
    assert (task.options["mask"], task.options["strategy"]) == ("run", ["24P"])
    assert task.notes == ("No regressors are given, so that none are removed.",)


def test_words_of_options_become_lists(read):
    given = {"connectivity": " pearson,fisher-z\n spearman ", "min-coverage": 0, "detrend": False}
    given["work-dir"] = "my folder"
    options = read(bold=BOLDS[0], nothing=None, **given).options
    assert options["connectivity"] == ["pearson", "fisher-z", "spearman"]
    assert options["min_coverage"] == 0
    assert options["detrend"] is False
    assert options["work_dir"] == "my folder"
    assert options["space"] == ["T1w"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"strategy": "simple 36P"}, "strategy has 2 values, and takes one"),
        ({"atlas": ["Power2011", "Schaefer"]}, "atlas has 2 values, and takes one"),
        ({"seeds": ["x.tsv", "y.tsv"]}, "seeds has 2 values, and takes one"),
        ({"atlas": "Power2011", "seeds": "x.tsv"}, "names an atlas and seeds"),
        ({"reports_only": True}, "'reports_only' is no parameter here"),
        ({"output_dir": "x"}, "'output_dir' is no parameter here"),
        ({"task_label": "rest"}, "'task_label' is no parameter here"),
        ({"permutations": 10}, "'permutations' is no parameter here"),
        ({"conectivity": "pearson"}, "'conectivity' is no parameter here"),
    ],
)
def test_options_that_are_refused(read, content, said):
    with pytest.raises(UsageError, match=said):
        read(bold=BOLDS[0], **content)


def test_files_that_are_not_there(read):
    with pytest.raises(MissingInputError, match="names no BOLD image"):
        read(bold=["", None])
    with pytest.raises(MissingInputError, match=r"regressors is r\.tsv, and there is no such file"):
        read(bold=BOLDS[0], regressors="r.tsv")
    with pytest.raises(DataError, match="in which space in/b"):
        read([of("bold", tags=["space-T1w"]), of("bold")], bold=BOLDS[:2], space=None)


def test_links_and_sidecars_of_the_dataset(read, tmp_path):
    about = of("bold", subject="1", FlipAngle=80, RepetitionTime=3, EchoTime=0.03)
    task = read([about], bold="in/a.nii.gz", regressors="in/r.tsv", mask="in/m.nii")
    (tmp_path / "in" / "a.json").write_text('{"RepetitionTime": 2.5}')
    (tmp_path / "in" / "r.json").write_text("{}")
    root = tmp_path / "deep" / "fmriprep"
    (root / "sub-1" / "func").mkdir(parents=True)
    (root / "sub-1" / "func" / "old_bold.nii.gz").symlink_to("nowhere")
    (root / "notes.txt").touch()
    link_inputs(task, root)
    func, stem = root / "sub-1" / "func", "sub-1_task-rest"
    targets = {
        f"{stem}_space-T1w_desc-preproc_bold.nii.gz": "../../../../in/a.nii.gz",
        f"{stem}_space-T1w_desc-brain_mask.nii": "../../../../in/m.nii",
        f"{stem}_desc-confounds_timeseries.tsv": "../../../../in/r.tsv",
        f"{stem}_desc-confounds_timeseries.json": "../../../../in/r.json",
    }
    links = [path for path in func.iterdir() if path.is_symlink()]
    assert {path.name: str(path.readlink()) for path in links} == targets
    sidecar = func / f"{stem}_space-T1w_desc-preproc_bold.json"
    # The image's own sidecar counts, and what the platform alone knows is no key of BIDS.
    known = {"RepetitionTime": 2.5, "FlipAngle": 80, "EchoTime": 0.03}
    assert json.loads(sidecar.read_text()) == known
    assert {path.name for path in func.iterdir()} == {*targets, sidecar.name}
    assert not (root / "notes.txt").exists()
    before = {path: path.lstat().st_ino for path in root.rglob("*")}
    link_inputs(task, root)
    assert {path: path.lstat().st_ino for path in root.rglob("*")} == before


def test_a_table_without_regressors_has_the_numbers_of_volumes(read, tmp_path):
    task = read(bold="in/a.nii.gz")
    nib.Nifti1Image(np.zeros((2, 2, 2, 3), np.int16), np.eye(4)).to_filename("in/a.nii.gz")
    link_inputs(task, tmp_path / "fmriprep")
    (table,) = (tmp_path / "fmriprep").rglob("*_timeseries.tsv")
    assert table.read_text() == "volume\n0\n1\n2\n"
