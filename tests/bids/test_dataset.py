"""Folders to datasets."""

from __future__ import annotations

import json

import pytest

from bids_spheres.bids.dataset import find_inputs
from bids_spheres.errors import DataError, InvalidDatasetError, MissingInputError, UsageError


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
