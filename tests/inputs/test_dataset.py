"""Folders to datasets."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from bids_spheres.errors import (
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    UsageError,
)
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
def test_what_is_found_is_what_pybids_would_index(tiny, tmp_path, caplog):
    caplog.set_level("ERROR")  # such names in warnings can't be sent between processes of pytest
    # Python has a byte that is no text as a lone surrogate.
    odd = [name.replace(part, "f\udc80") for name in NAMES[:2] for part in ("func", "rest")]
    for name in (*NAMES, *odd, "sub-01/f\udc80/README", "sub-01/func/note\udc80.txt"):
        path = tiny.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    dataset = Dataset(tiny.root, "x")
    found, indexed = (
        {path for path, _ in files} | {path for path, _ in rejected}
        for files, rejected in (index_files(dataset), index_files(dataset, (), tmp_path / "kept"))
    )
    assert found == indexed
    assert len(found) == 12 + len(odd)


def test_files_of_runs_by_their_names_and_folders(tiny, caplog):
    for name in NAMES:
        path = tiny.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files, skipped = index_files(Dataset(tiny.root, "x"))
    stem = "sub-01/func/sub-01_task-rest"
    # In every folder in the order of names, its own files before those of folders below.
    assert [path.relative_to(tiny.root).as_posix() for path, _ in files] == [
        "sub-02_task-rest_desc-tedana_metrics.tsv",
        "group/sub-03_task-rest_desc-aroma_timeseries.tsv",
        f"{stem}_bold_confounds.tsv",
        f"{stem}_bold_space-MNI152NLin2009cAsym_preproc.nii.gz",
        f"{stem}_desc-confounds_timeseries.json",
        f"{stem}_desc-confounds_timeseries.tsv",
        f"{stem}_space-T1w_desc-brain_mask.nii.gz",
        f"{stem}_space-T1w_desc-preproc_bold.json",
        f"{stem}_space-T1w_desc-preproc_bold.nii",
        f"{stem}_space-T1w_desc-preproc_bold.nii.gz",
        "sub-01/logbook/sub-01_task-rest_desc-tedana_metrics.tsv",
        "sub-01/ses-a+b/func/sub-01_ses-a+b_task-rest_desc-ICA_mixing.tsv",
    ]
    assert skipped == []
    odd = tiny.root / "sub-01" / "func" / "sub-01_rest_bold.nii.gz"
    odd.touch()
    ((path, reason),) = index_files(Dataset(tiny.root, "x"), ("01", "01"))[1]
    assert (path, reason) == (odd, "sub-01_rest_bold.nii.gz is not the name of a BIDS file.")
    assert f"{reason} Left out." in caplog.text
    own = index_files(Dataset(tiny.root, "x"), ("01", "01"))[0]
    assert [item for item in files if "sub-01" in item[0].parts] == own


@pytest.mark.parametrize(
    "folder", ["figures", "log", "logs", "anat", "fmap", "dwi", "perf", "sourcedata", "code", ".x"]
)
def test_folders_that_hold_no_run(tiny, folder):
    for name in (folder, f"{folder}2"):
        path = tiny.root / "sub-01" / name / "sub-01_task-x_desc-preproc_bold.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    found = [path.parent.name for path, _ in index_files(Dataset(tiny.root, "x"))[0]]
    assert found == ([] if folder == ".x" else [f"{folder}2"])


@pytest.mark.parametrize(
    ("end", "used"),
    [
        *((f"{suffix}.tsv", True) for suffix in ("timeseries", "regressors", "mixing", "metrics")),
        *((f"{suffix}.json", True) for suffix in ("bold", "timeseries", "regressors")),
        *((f"{suffix}.nii", True) for suffix in ("bold", "mask")),
        *((f"bold_{suffix}.nii.gz", True) for suffix in ("preproc", "brainmask")),
        *(("bold_confounds.tsv", True), ("bold_preproc.json", True)),
        *((f"{suffix}.json", False) for suffix in ("mask", "mixing", "metrics")),
        *(("bold.nii.gz.part", False), ("events.tsv", False), ("boldref.nii.gz", False)),
    ],
)
def test_files_of_runs_by_the_ends_of_their_names(tiny, end, used):
    path = tiny.root / "sub-01" / "func" / f"sub-01_task-x_{end}"
    path.parent.mkdir(parents=True)
    path.touch()
    files, skipped = index_files(Dataset(tiny.root, "x"))
    assert [name for name, _ in (*files, *skipped)] == [path] * used


def test_participants_that_are_not_there(tiny):
    for label in (f"{i:02d}" for i in range(1, 23)):
        (tiny.root / f"sub-{label}").mkdir()
    (tiny.root / "sub-30").touch()
    wanted = ["03", "30", "x", *(f"y{i}" for i in range(21))]
    with pytest.raises(NothingSelectedError) as error:
        index_files(Dataset(tiny.root, "x"), wanted)
    assert error.value.message.startswith(
        f"--participant-label: {tiny.root} has no sub-30, sub-x, sub-y0,"
    )
    assert "sub-y17 and 3 more." in error.value.message
    assert error.value.hint.startswith("It has sub-01, sub-02, sub-03,")
    assert error.value.hint.endswith("sub-20 and 2 more.")
    for folder in tiny.root.glob("sub-*"):
        folder.rename(folder.with_name(folder.name.replace("sub-", "old")))
    with pytest.raises(NothingSelectedError) as error:
        index_files(Dataset(tiny.root, "x"), ("01",))
    assert error.value.hint == "It has no participant at all."


def test_a_folder_that_can_not_be_searched(tmp_path):
    with pytest.raises(InvalidDatasetError, match=r"gone can't be searched: No such file"):
        index_files(Dataset(tmp_path / "gone", "x"))


def described(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "content",
    [
        {"Name": "raw"},
        {"Name": "raw", "DatasetType": "raw", "GeneratedBy": [{"Name": "HeuDiConv"}]},
        {"Name": "raw", "DatasetType": "raw", "PipelineDescription": {"Name": "x"}},
    ],
)
def test_a_raw_dataset_holds_its_derivatives(tmp_path, content, caplog):
    raw = described(tmp_path / "raw", **content)
    (raw / "derivatives" / "fmriprep-old").mkdir(parents=True)
    described(raw / "derivatives" / "mriqc", Name="MRIQC", DatasetType="derivative")
    with pytest.raises(InvalidDatasetError, match=r"raw dataset without .* derivatives/fmriprep"):
        find_inputs(raw)
    own = described(raw / "derivatives" / "fmriprep-24", Name="mine", DatasetType="derivative")
    with caplog.at_level(logging.INFO):
        inputs = find_inputs(raw)
    assert inputs.main == Dataset(own, "mine")
    assert f"Taken as fMRIPrep's output: {own} (mine)" in caplog.text
    # Other derivatives leave fMRIPrep's where they are.
    assert find_inputs(raw, [("aroma", raw / "derivatives" / "mriqc")]).main.root == own
    # What does not say what it is, is fMRIPrep's where the dataset is a raw one.
    other = described(tmp_path / "other", Name="x", DatasetType="derivative")
    inputs = find_inputs(raw, [("", other), ("physio", own)])
    assert (inputs.main.root, inputs.others) == (other, {"physio": Dataset(own, "mine")})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, ("here", None, None)),
        ({"Name": ""}, ("here", None, None)),
        ({"GeneratedBy": [{"Name": "xcp", "Version": "2"}, {"Name": "y"}]}, ("here", "xcp", "2")),
        (
            {"GeneratedBy": [{"Name": "xcp", "Version": "2"}, {"Name": "TEDANA", "Version": 3}]},
            ("here", "TEDANA", "3"),
        ),
        ({"GeneratedBy": [{"Version": "2"}, {"Name": "x"}]}, ("here", "x", None)),
        ({"GeneratedBy": [], "PipelineDescription": {"Name": "x"}}, ("here", "x", None)),
        (
            {"Name": "N", "PipelineDescription": ["?", {"Name": "x", "Version": "1.1"}]},
            ("N", "x", "1.1"),
        ),
        (
            {"GeneratedBy": [{"Name": "x"}], "PipelineDescription": {"Name": "fMRIPrep"}},
            ("here", "x", None),
        ),
    ],
)
def test_what_made_a_dataset(tiny, tmp_path, content, expected):
    folder = described(tmp_path / "here", **content)
    dataset = find_inputs(tiny.root, [("mine", folder)]).others["mine"]
    assert dataset == Dataset(folder, *expected)


@pytest.mark.parametrize("made_by", ["fMRIPrep", {"Name": "fMRIPrep"}, ["fMRIPrep"], [{}, 1]])
def test_generated_by_that_is_no_list_of_objects(tmp_path, made_by):
    with pytest.raises(InvalidDatasetError, match="GeneratedBy is no list of objects"):
        find_inputs(described(tmp_path / "x", Name="x", GeneratedBy=made_by))


def test_words_and_programs_in_any_case(tiny, tmp_path):
    folders = {
        "aroma": derivatives(tmp_path / "a", "fmripost-aroma"),
        "tedana": derivatives(tmp_path / "t", None),
        "Mine": derivatives(tmp_path / "m", "fMRIPrep"),
    }
    words = [("", folders["aroma"]), ("TEDANA", folders["tedana"]), ("Mine", folders["Mine"])]
    inputs = find_inputs(tiny.root, words)
    assert {name: dataset.root for name, dataset in inputs.others.items()} == folders
    assert list(inputs.all) == ["preprocessed", "aroma", "tedana", "Mine"]
    # The word counts more than what the folder says.
    assert set(find_inputs(tiny.root, [("tedana", folders["aroma"])]).others) == {"tedana"}
    with pytest.raises(UsageError, match="are both Mine") as error:
        find_inputs(tiny.root, [("Mine", folders["Mine"]), ("Mine", folders["aroma"])])
    assert f"{folders['Mine']} and {folders['aroma']}" in error.value.message


def test_paths_that_are_text_and_those_that_are_none(tmp_path):
    for name in ("\N{FULLWIDTH LATIN CAPITAL LETTER A}", "\U0001d538", "\ud7ff", "é"):
        folder = described(tmp_path / name, Name="x", DatasetType="derivative")
        assert find_inputs(folder).main.root == folder
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\x80"))
    odd.mkdir()
    with pytest.raises(InvalidDatasetError, match="has bytes that are no text"):
        find_inputs(odd)


def test_a_link_to_a_dataset_and_a_relative_path_are_the_dataset(tiny, tmp_path, monkeypatch):
    own = described(tmp_path / "own", Name="x")
    (tmp_path / "link").symlink_to(tiny.root)
    monkeypatch.chdir(tmp_path)
    inputs = find_inputs(Path("link"), [("mine", Path("own"))])
    assert {name: dataset.root for name, dataset in inputs.all.items()} == {
        "preprocessed": tiny.root,
        "mine": own,
    }


def test_several_derivatives_are_named_in_order(tmp_path):
    raw = described(tmp_path / "raw", Name="raw")
    names = [f"fmriprep-{label}" for label in ("x", "b", "q", "a", "m", "z")]
    for name in names:
        described(raw / "derivatives" / name, Name="x")
    with pytest.raises(InvalidDatasetError, match=f"derivatives: {', '.join(sorted(names))}\\."):
        find_inputs(raw)


def test_derivatives_without_a_type_and_those_that_are_not_fetched(tmp_path):
    own = described(tmp_path / "a", Name="x", GeneratedBy=[{"Name": "xcp"}])
    assert find_inputs(own).main.root == own
    raw = described(tmp_path / "raw", Name="raw")
    nested = raw / "derivatives" / "fmriprep"
    nested.mkdir(parents=True)
    (nested / "dataset_description.json").symlink_to("../../.git/annex/objects/a/b/key")
    with pytest.raises(MissingInputError, match="git-annex has its name only"):
        find_inputs(raw)
