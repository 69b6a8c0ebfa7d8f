"""Folders to datasets."""

from __future__ import annotations

import json

import pytest

from bids_spheres.errors import DataError, InvalidDatasetError, MissingInputError, UsageError
from bids_spheres.inputs.dataset import Dataset, find_inputs, index_files


def test_old_fmriprep_without_a_dataset_type(tiny):
    old = {"Name": "fMRIPrep", "PipelineDescription": {"Name": "fMRIPrep", "Version": "1.5.0"}}
    (tiny.root / "dataset_description.json").write_text(json.dumps(old))
    assert find_inputs(tiny.root).main.root == tiny.root


def test_several_derivatives_need_a_choice(tmp_path):
    raw = tmp_path / "raw"
    for name in ("fmriprep", "fmriprep-23.2.0"):
        (raw / "derivatives" / name).mkdir(parents=True)
        (raw / "derivatives" / name / "dataset_description.json").write_text(
            '{"Name": "x", "DatasetType": "derivative"}'
        )
    (raw / "dataset_description.json").write_text('{"Name": "raw"}')
    with pytest.raises(InvalidDatasetError, match=r"several .*fmriprep, fmriprep-23\.2\.0"):
        find_inputs(raw)
    chosen = raw / "derivatives" / "fmriprep"
    assert find_inputs(raw, [("", chosen)]).main.root == chosen


@pytest.mark.parametrize(
    ("content", "phrase"), [("{", "not valid JSON"), ("[1]", "must hold a JSON object")]
)
def test_broken_descriptions(tmp_path, content, phrase):
    (tmp_path / "dataset_description.json").write_text(content)
    with pytest.raises(DataError, match=phrase):
        find_inputs(tmp_path)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(MissingInputError, match="is not there"):
        find_inputs(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidDatasetError, match="is a file"):
        find_inputs(tmp_path / "file")


def derivatives(folder, program, version="1.0"):
    folder.mkdir(parents=True)
    made_by = [{"Name": program, "Version": version}] if program else []
    content = {"Name": folder.name, "DatasetType": "derivative", "GeneratedBy": made_by}
    (folder / "dataset_description.json").write_text(json.dumps(content))
    return folder


def test_derivatives_are_recognised_by_what_made_them(tiny, tmp_path):
    aroma = derivatives(tmp_path / "a", "fMRIPost-AROMA", "0.0.12")
    tedana = derivatives(tmp_path / "t", "tedana")
    inputs = find_inputs(tiny.root, [("", aroma), ("", tedana)])
    assert inputs.main.root == tiny.root
    assert (inputs.main.program, inputs.main.version) == ("fMRIPrep", "24.1.1")
    assert {name: dataset.root for name, dataset in inputs.all.items()} == {
        "preprocessed": tiny.root,
        "aroma": aroma,
        "tedana": tedana,
    }
    assert inputs.others["aroma"].version == "0.0.12"


def test_a_word_says_what_derivatives_are(tiny, tmp_path):
    nameless = derivatives(tmp_path / "x", None)
    assert find_inputs(tiny.root, [("aroma", nameless)]).others["aroma"].root == nameless
    assert find_inputs(tiny.root, [("fmriprep", nameless)]).main.root == nameless
    with pytest.raises(InvalidDatasetError, match="does not say"):
        find_inputs(tiny.root, [("", nameless)])


def test_two_folders_of_one_kind(tiny, tmp_path):
    one, two = (derivatives(tmp_path / name, "tedana") for name in "ab")
    with pytest.raises(UsageError, match=r"are both tedana's output"):
        find_inputs(tiny.root, [("", one), ("", two)])


def test_a_word_makes_up_for_a_description(tiny, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    inputs = find_inputs(tiny.root, [("tedana", bare)])
    assert inputs.others["tedana"] == Dataset(bare, "bare")
    assert find_inputs(tiny.root, [("fmriprep", bare)]).main == Dataset(bare, "bare")
    for words in ([("", bare)], []):
        with pytest.raises(InvalidDatasetError, match=r"no dataset_description\.json") as caught:
            find_inputs(tiny.root if words else bare, words)
        assert "--derivatives tedana=PATH" in caught.value.hint


NAMES = (
    "sub-01/func/sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz",
    "sub-01/func/sub-01_task-rest_space-T1w_desc-preproc_bold.nii",
    "sub-01/func/sub-01_task-rest_space-T1w_desc-preproc_bold.json",
    "sub-01/func/sub-01_task-rest_space-T1w_desc-preproc_bold.dtseries.nii",
    "sub-01/func/sub-01_task-rest_space-T1w_boldref.nii.gz",
    "sub-01/func/sub-01_task-rest_space-T1w_desc-brain_mask.nii.gz",
    "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv",
    "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.json",
    "sub-01/func/sub-01_task-rest_bold_space-MNI152NLin2009cAsym_preproc.nii.gz",
    "sub-01/func/sub-01_task-rest_bold_confounds.tsv",
    "sub-01/func/sub-01_task-rest_bold_confounds.tsv.swp",
    "sub-01/func/.sub-01_task-rest_bold_confounds.tsv",
    "sub-01/func/bold.nii.gz",
    "sub-01/ses-a+b/func/sub-01_ses-a+b_task-rest_desc-ICA_mixing.tsv",
    "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
    "sub-01/figures/sub-01_task-rest_bold.nii.gz",
    "sub-01/log/x/sub-01_task-rest_bold.nii.gz",
    "sub-01/logbook/sub-01_task-rest_desc-tedana_metrics.tsv",
    ".git/annex/sub-01_task-rest_bold.nii.gz",
    "sourcedata/sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-02_task-rest_desc-tedana_metrics.tsv",
    "group/sub-03_task-rest_desc-aroma_timeseries.tsv",
)


@pytest.mark.slow
def test_what_is_found_is_what_pybids_would_index(tiny, tmp_path):
    for name in NAMES:
        path = tiny.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    dataset = Dataset(tiny.root, "x")
    found, indexed = (
        {path for path, _ in files} | {path for path, _ in rejected}
        for files, rejected in (index_files(dataset), index_files(dataset, (), tmp_path / "kept"))
    )
    assert found == indexed
    assert len(found) == 12
