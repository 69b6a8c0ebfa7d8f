"""Datasets to runs."""

from __future__ import annotations

import json

import pytest

from bids_spheres.bids.dataset import Dataset, Selection, find_dataset, find_runs
from bids_spheres.errors import (
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
)


def tree(root, test_data, listing):
    """Empty files with the names of a real dataset."""
    lines = (test_data / "trees" / listing).read_text().splitlines()
    paths = [line.split(maxsplit=1)[-1].removeprefix("ds000001-fmriprep/") for line in lines]
    for path in paths:
        if path.startswith("code/") and "." not in path:
            continue  # submodules
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "DatasetType": "derivative"})
    )
    return Dataset(root, "fMRIPrep")


@pytest.mark.parametrize(
    "listing", ["ds000001-fmriprep-20.2.0rc0.txt", "ds000001-fmriprep-21.0.1.txt"]
)
def test_real_trees(tmp_path, test_data, listing):
    dataset = tree(tmp_path, test_data, listing)
    runs = find_runs(dataset, Selection(spaces=("MNI152NLin2009cAsym",)))
    subjects = {path.name for path in tmp_path.glob("sub-*") if path.is_dir()}
    assert len(runs) == 3 * len(subjects)
    for run in runs:
        stem = run.bold.name.split("_space-")[0]
        assert run.name.get("space") == "MNI152NLin2009cAsym"
        assert run.mask.name == run.bold.name.replace("preproc_bold", "brain_mask")
        assert run.confounds.name == f"{stem}_desc-confounds_timeseries.tsv"
    assert len({run.name for run in runs}) == len(runs)


def test_one_participant_of_a_real_tree(tmp_path, test_data):
    dataset = tree(tmp_path, test_data, "ds000001-fmriprep-21.0.1.txt")
    runs = find_runs(dataset, Selection(participants=("03",), runs=("2",)))
    (run,) = runs
    assert dict(run.name.entities) == {
        "sub": "03",
        "task": "balloonanalogrisktask",
        "run": "2",
        "space": "MNI152NLin2009cAsym",
        "res": "2",
        "desc": "preproc",
    }


def test_a_participants_label_is_not_a_prefix(tiny):
    for label in ("1", "10", "11"):
        tiny.add_run(f"sub-{label}_task-rest")
    runs = find_runs(find_dataset(tiny.root), Selection(participants=("1",)))
    assert [run.name.get("sub") for run in runs] == ["1"]


def test_natural_order_of_runs(tiny):
    for run in (10, 2, 1):
        tiny.add_run(f"sub-01_task-rest_run-{run}")
    runs = find_runs(find_dataset(tiny.root), Selection())
    assert [run.name.get("run") for run in runs] == ["1", "2", "10"]


def test_the_default_is_the_mni_space_that_is_there(tiny):
    tiny.add_run(space="T1w")
    dataset = find_dataset(tiny.root)
    with pytest.raises(NothingSelectedError, match="space-T1w"):
        find_runs(dataset, Selection())
    tiny.add_run(space="MNI152NLin6Asym")
    assert [r.name.get("space") for r in find_runs(dataset, Selection())] == ["MNI152NLin6Asym"]
    tiny.add_run(space="MNI152NLin2009cAsym")
    assert [r.name.get("space") for r in find_runs(dataset, Selection())] == ["MNI152NLin2009cAsym"]
    assert len(find_runs(dataset, Selection(spaces=("T1w", "MNI152NLin6Asym")))) == 2


def test_files_belong_together_by_their_entities(tiny):
    for stem in (
        "sub-01_ses-a_task-rest_acq-fast_run-1",
        "sub-01_ses-a_task-rest_run-1",
        "sub-01_ses-b_task-rest_acq-fast_run-1",
    ):
        tiny.add_run(stem)
    for run in find_runs(find_dataset(tiny.root), Selection()):
        stem = run.bold.name.split("_space-")[0]
        assert run.confounds.name.split("_desc-")[0] == stem
        assert run.mask.name.split("_space-")[0] == stem
        assert run.mask.parent == run.confounds.parent == run.bold.parent


def test_metadata_comes_from_the_file_beside_the_image(tiny):
    bold = tiny.add_run()
    (run,) = find_runs(find_dataset(tiny.root), Selection())
    assert run.metadata()["RepetitionTime"] == 2.0
    sidecar = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    sidecar.write_text("{broken")
    with pytest.raises(DataError, match="not valid JSON"):
        run.metadata()
    sidecar.unlink()
    assert run.metadata() == {}


def test_old_fmriprep_without_a_dataset_type(tiny):
    old = {"Name": "fMRIPrep", "PipelineDescription": {"Name": "fMRIPrep", "Version": "1.5.0"}}
    (tiny.root / "dataset_description.json").write_text(json.dumps(old))
    assert find_dataset(tiny.root).root == tiny.root


def test_several_derivatives_need_a_choice(tmp_path):
    raw = tmp_path / "raw"
    for name in ("fmriprep", "fmriprep-23.2.0"):
        (raw / "derivatives" / name).mkdir(parents=True)
        (raw / "derivatives" / name / "dataset_description.json").write_text(
            '{"Name": "x", "DatasetType": "derivative"}'
        )
    (raw / "dataset_description.json").write_text('{"Name": "raw"}')
    with pytest.raises(InvalidDatasetError, match=r"several .*fmriprep, fmriprep-23\.2\.0"):
        find_dataset(raw)
    chosen = raw / "derivatives" / "fmriprep"
    assert find_dataset(raw, chosen).root == chosen


@pytest.mark.parametrize(
    ("content", "phrase"), [("{", "not valid JSON"), ("[1]", "must hold a JSON object")]
)
def test_broken_descriptions(tmp_path, content, phrase):
    (tmp_path / "dataset_description.json").write_text(content)
    with pytest.raises(DataError, match=phrase):
        find_dataset(tmp_path)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(MissingInputError, match="is not there"):
        find_dataset(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidDatasetError, match="is a file"):
        find_dataset(tmp_path / "file")
