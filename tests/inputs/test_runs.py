"""Files of datasets to runs."""

from __future__ import annotations

import json

import pytest

from bids_spheres.errors import DataError, InvalidDatasetError, NothingSelectedError
from bids_spheres.inputs.dataset import Dataset, Inputs, find_inputs, index_files
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.inputs.runs import find_runs as find
from tests.inputs.conftest import select

PREPROC = ("preproc",)
MNI = "MNI152NLin2009cAsym"


def find_runs(inputs, selection, kinds):
    return find(inputs, selection, kinds).runs


def bold_of(run):
    return run.image(PREPROC)


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
    return Inputs(Dataset(root, "fMRIPrep"))


@pytest.mark.parametrize(
    "listing", ["ds000001-fmriprep-20.2.0rc0.txt", "ds000001-fmriprep-21.0.1.txt"]
)
def test_real_trees(tmp_path, test_data, listing):
    dataset = tree(tmp_path, test_data, listing)
    runs = find_runs(dataset, select(space=("MNI152NLin2009cAsym",)), PREPROC)
    subjects = {path.name for path in tmp_path.glob("sub-*") if path.is_dir()}
    assert len(runs) == 3 * len(subjects)
    for run in runs:
        stem = bold_of(run).name.split("_space-")[0]
        assert run.name.get("space") == "MNI152NLin2009cAsym"
        assert run.mask.name == bold_of(run).name.replace("preproc_bold", "brain_mask")
        assert run.tables.confounds.name == f"{stem}_desc-confounds_timeseries.tsv"
    assert len({run.name for run in runs}) == len(runs)


def test_one_participant_of_a_real_tree(tmp_path, test_data):
    dataset = tree(tmp_path, test_data, "ds000001-fmriprep-21.0.1.txt")
    runs = find_runs(dataset, select(sub=("03",), run=("2",)), PREPROC)
    (run,) = runs
    assert dict(run.name.entities) == {
        "sub": "03",
        "task": "balloonanalogrisktask",
        "run": "2",
        "space": "MNI152NLin2009cAsym",
        "res": "2",
    }


def test_a_participants_label_is_not_a_prefix(tiny):
    for label in ("1", "10", "11"):
        tiny.add_run(f"sub-{label}_task-rest")
    runs = find_runs(find_inputs(tiny.root), select(sub=("1",)), PREPROC)
    assert [run.name.get("sub") for run in runs] == ["1"]


def test_natural_order_of_runs(tiny):
    for run in (10, 2, 1):
        tiny.add_run(f"sub-01_task-rest_run-{run}")
    runs = find_runs(find_inputs(tiny.root), select(), PREPROC)
    assert [run.name.get("run") for run in runs] == ["1", "2", "10"]


def test_the_default_is_the_mni_space_that_is_there(tiny):
    tiny.add_run(space="T1w")
    dataset = find_inputs(tiny.root)
    with pytest.raises(NothingSelectedError, match="space-T1w"):
        find_runs(dataset, select(), PREPROC)
    tiny.add_run(space="MNI152NLin6Asym")
    assert [r.name.get("space") for r in find_runs(dataset, select(), PREPROC)] == [
        "MNI152NLin6Asym"
    ]
    tiny.add_run(space="MNI152NLin2009cAsym")
    assert [r.name.get("space") for r in find_runs(dataset, select(), PREPROC)] == [
        "MNI152NLin2009cAsym"
    ]
    assert len(find_runs(dataset, select(space=("T1w", "MNI152NLin6Asym")), PREPROC)) == 2


def test_a_participant_without_an_mni_space_is_left_out_on_the_grid_of_acquisition_too(tiny):
    tiny.add_run()
    bold = tiny.add_run("sub-02_task-rest", space="T1w")
    bold.rename(bold.with_name("sub-02_task-rest_desc-preproc_bold.nii.gz"))
    selected = find(find_inputs(tiny.root), select(), PREPROC)
    assert [str(run) for run in selected.runs] == ["sub-01 task-rest space-MNI152NLin2009cAsym"]
    assert [path.name for path, _ in selected.skipped] == [
        "sub-02_task-rest_desc-preproc_bold.nii.gz"
    ]


def test_files_belong_together_by_their_entities(tiny):
    for stem in (
        "sub-01_ses-a_task-rest_acq-fast_run-1",
        "sub-01_ses-a_task-rest_run-1",
        "sub-01_ses-b_task-rest_acq-fast_run-1",
    ):
        tiny.add_run(stem)
    for run in find_runs(find_inputs(tiny.root), select(), PREPROC):
        stem = bold_of(run).name.split("_space-")[0]
        assert run.tables.confounds.name.split("_desc-")[0] == stem
        assert run.mask.name.split("_space-")[0] == stem
        assert run.mask.parent == run.tables.confounds.parent == bold_of(run).parent


def test_metadata_comes_from_the_file_beside_the_image(tiny):
    bold = tiny.add_run()
    (run,) = find_runs(find_inputs(tiny.root), select(), PREPROC)
    assert run.metadata(bold)["RepetitionTime"] == 2.0
    sidecar = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    sidecar.write_text("{broken")
    with pytest.raises(DataError, match="not valid JSON"):
        run.metadata(bold)
    sidecar.unlink()
    assert run.metadata(bold) == {}


def test_every_image_of_a_run_is_one_job(tiny):
    bold = tiny.add_run()
    aroma = bold.with_name(bold.name.replace("preproc", "smoothAROMAnonaggr"))
    aroma.write_bytes(bold.read_bytes())
    (run,) = find_runs(find_inputs(tiny.root), select(), ("preproc", "smoothAROMAnonaggr"))
    assert run.image(("nonaggrDenoised", "smoothAROMAnonaggr")) == aroma
    assert run.image(("preproc",)) == bold
    assert run.image(("optcom",)) is None
    for kinds in (("preproc", "smoothAROMAnonaggr"), ("smoothAROMAnonaggr", "preproc")):
        assert f"_desc-{kinds[0]}_" in run.image(("optcom", *kinds)).name
    (run,) = find_runs(find_inputs(tiny.root), select(), ("smoothAROMAnonaggr",))
    assert run.images == (("smoothAROMAnonaggr", aroma),)


def test_other_derivatives_add_images_and_tables(tiny, tmp_path):
    bold = tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    root = tmp_path / "post"
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "x", "GeneratedBy": [{"Name": "fMRIPost-AROMA"}]})
    )
    image = func / bold.name.replace("preproc", "nonaggrDenoised")
    image.write_bytes(bold.read_bytes())
    table = func / "sub-01_task-rest_desc-aroma_timeseries.tsv"
    table.write_text("aroma_motion_01\n1\n")
    first, second = find_runs(
        find_inputs(tiny.root, [("", root)]), select(), ("preproc", "nonaggrDenoised")
    )
    assert first.image(("nonaggrDenoised",)) == image
    assert first.image(PREPROC) == bold
    assert first.tables.aroma == table
    assert first.tables.paths == (first.tables.confounds, table)
    assert second.tables.aroma is None
    assert second.image(("nonaggrDenoised",)) is None


def test_names_of_the_first_versions(tiny):
    func = tiny.root / "sub-01" / "func"
    func.mkdir(parents=True)
    names = {
        "bold": "sub-01_task-rest_bold_space-MNI152NLin2009cAsym_preproc.nii.gz",
        "aroma": "sub-01_task-rest_bold_space-MNI152NLin2009cAsym_variant-smoothAROMAnonaggr"
        "_preproc.nii.gz",
        "mask": "sub-01_task-rest_bold_space-MNI152NLin2009cAsym_brainmask.nii.gz",
        "confounds": "sub-01_task-rest_bold_confounds.tsv",
    }
    for name in names.values():
        (func / name).touch()
    (run,) = find_runs(find_inputs(tiny.root), select(), ("preproc", "smoothAROMAnonaggr"))
    assert run.image(PREPROC).name == names["bold"]
    assert run.image(("smoothAROMAnonaggr",)).name == names["aroma"]
    assert run.mask.name == names["mask"]
    assert run.tables.confounds.name == names["confounds"]
    assert str(run) == "sub-01 task-rest space-MNI152NLin2009cAsym"


def test_labels_of_which_some_are_not_there_are_told(tiny, caplog):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_task-nback")
    wanted = select(task=("rest", "flanker"))
    assert len(find_runs(find_inputs(tiny.root), wanted, PREPROC)) == 1
    assert "flanker: no run has it. Available: task-nback and task-rest." in caplog.text


def test_images_on_the_grid_of_acquisition(tiny):
    tiny.add_run()
    func = tiny.root / "sub-01" / "func"
    for name in ("desc-preproc_bold", "desc-brain_mask"):
        (func / f"sub-01_task-rest_{name}.nii.gz").touch()
    for label in ("func", "boldref"):
        (run,) = find_runs(find_inputs(tiny.root), select(space=(label,)), PREPROC)
        assert run.space == "func"
        assert run.mask.name == "sub-01_task-rest_desc-brain_mask.nii.gz"
    both = select(space=("func", "MNI152NLin2009cAsym"))
    assert len(find_runs(find_inputs(tiny.root), both, PREPROC)) == 2


def test_a_mask_of_another_resolution_or_echo_will_do(tiny):
    bold = tiny.add_run()
    finer = bold.with_name(bold.name.replace("_desc", "_res-2_desc"))
    echo = bold.with_name(bold.name.replace("_space", "_echo-1_space"))
    bold.rename(finer)
    echo.touch()
    runs = find_runs(find_inputs(tiny.root), select(), PREPROC)
    assert {run.mask.name for run in runs} == {bold.name.replace("preproc_bold", "brain_mask")}
    assert len(runs) == 2


def test_files_that_are_none_of_a_run(tiny):
    """Each is like one that would be used, but for one part of its name or its folder."""
    bold = tiny.add_run()
    func = bold.parent
    for path in func.iterdir():
        if path != bold:
            path.unlink()
    stem = "sub-01_task-rest"
    for name in (
        f"{stem}_space-{MNI}_desc-brain_mask.json",
        f"{stem}_space-{MNI}_desc-lesion_mask.nii.gz",
        f"{stem}_space-{MNI}_mask.nii.gz",
        f"{stem}_desc-confounds_timeseries.json",
        f"{stem}_desc-confounds_mixing.tsv",
        f"{stem}_desc-other_timeseries.tsv",
        f"{stem}_desc-other_timeseries.json",
        f"{stem}_desc-ICA_metrics.tsv",
        f"{stem}_desc-tedana_mixing.tsv",
        f"{stem}_space-{MNI}_desc-preproc_bold.dtseries.nii",
        f"{stem}_space-{MNI}_desc-preproc_bold.tsv",
        f"deeper/{stem}_space-{MNI}_desc-brain_mask.nii.gz",
    ):
        (func / name).parent.mkdir(exist_ok=True)
        (func / name).touch()
    (run,) = find_runs(find_inputs(tiny.root), select(), PREPROC)
    assert run == Run(run.name, (("preproc", bold),), None, Tables())
    assert run.sidecar(bold) == func / f"{stem}_space-{MNI}_desc-preproc_bold.json"
    assert (run.participant, run.space, run.tables.paths) == ("01", MNI, ())


def test_tables_of_tedana_are_two_or_none(tiny):
    bold = tiny.add_run()
    mixing, metrics = (
        bold.with_name(f"sub-01_task-rest_desc-{end}.tsv")
        for end in ("ICA_mixing", "tedana_metrics")
    )
    confounds = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    for path, other in ((mixing, metrics), (metrics, mixing)):
        path.touch()
        (run,) = find_runs(find_inputs(tiny.root), select(), PREPROC)
        assert run.tables.tedana == ((mixing, metrics) if other.exists() else None)
        assert run.tables.paths == (confounds, *((mixing, metrics) if other.exists() else ()))


def test_what_is_not_used_and_why(tiny):
    bold = tiny.add_run()
    others = [bold.with_name(bold.name.replace("preproc", kind)) for kind in ("optcom", "x")]
    for path in others:
        path.touch()
    bold.with_name("sub-01_odd_bold.nii.gz").touch()
    second = tiny.add_run("sub-01_task-rest_run-2", space="T1w")
    found = find(find_inputs(tiny.root), select(), ("preproc", "denoised", "preproc"))
    assert [run.images for run in found.runs] == [(("preproc", bold),)]
    assert found.skipped == (
        (
            bold.with_name("sub-01_odd_bold.nii.gz"),
            "sub-01_odd_bold.nii.gz is not the name of a BIDS file.",
        ),
        *((path, "no strategy starts from it") for path in others),
        (second, "in another space than the one that is taken"),
    )
    with pytest.raises(InvalidDatasetError) as error:
        find(find_inputs(tiny.root), select(), ("denoised", "y", "denoised"))
    assert error.value.message == (
        f"{tiny.root} holds no preprocessed BOLD image "
        "(*_desc-denoised_bold.nii.gz, *_desc-y_bold.nii.gz)."
    )
    assert error.value.hint is not None
    assert error.value.hint.startswith(
        "Its images are *_desc-optcom_bold, *_desc-preproc_bold and *_desc-x_bold: choose a "
        "strategy that starts from them"
    )


def test_other_datasets_need_not_have_every_participant(tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    func = tmp_path / "post" / "sub-02" / "func"
    func.mkdir(parents=True)
    (tmp_path / "post" / "dataset_description.json").write_text(json.dumps({"Name": "x"}))
    table = func / "sub-02_task-rest_desc-aroma_timeseries.tsv"
    table.touch()
    inputs = find_inputs(tiny.root, [("aroma", tmp_path / "post")])
    for wanted, tables in ((("01",), [None]), (("01", "02"), [None, table]), ((), [None, table])):
        runs = find_runs(inputs, select(sub=wanted), PREPROC)
        assert [run.tables.aroma for run in runs] == tables
    with pytest.raises(NothingSelectedError, match="has no sub-03"):
        find_runs(inputs, select(sub=("01", "03")), PREPROC)


def test_a_table_of_the_users_own_that_stands_in_for_fmripreps_is_no_other_as_well(tiny, tmp_path):
    bold = tiny.add_run()
    own = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    own.unlink()
    func = tmp_path / "mine" / "sub-01" / "func"
    func.mkdir(parents=True)
    (func / own.name).touch()
    (func / "sub-01_task-rest_timeseries.tsv").touch()
    (run,) = find_runs(find_inputs(tiny.root, [("mine", tmp_path / "mine")]), select(), PREPROC)
    assert run.tables.confounds == func / own.name
    assert run.tables.own == (("mine", func / "sub-01_task-rest_timeseries.tsv"),)
    assert str(run) == f"sub-01 task-rest space-{MNI}"


def test_every_image_of_a_run_has_its_own_json_file(tiny):
    first = tiny.add_run()
    second = first.with_name(first.name.replace("preproc", "denoised"))
    second.touch()
    for path, t_r in ((first, 1.5), (second, 0.8)):
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(json.dumps({"RepetitionTime": t_r}))
    (run,) = find_runs(find_inputs(tiny.root), select(), ("preproc", "denoised"))
    assert [run.metadata(path)["RepetitionTime"] for path in (first, second)] == [1.5, 0.8]


def test_every_dataset_is_indexed_in_a_folder_of_its_own(tiny, tmp_path, monkeypatch):
    asked = []

    def index(dataset, wanted, database):
        asked.append((dataset.root.name, wanted, database))
        return index_files(dataset, wanted)

    monkeypatch.setattr("bids_spheres.inputs.runs.index_files", index)
    tiny.add_run()
    (tmp_path / "post").mkdir()
    inputs = find_inputs(tiny.root, [("aroma", tmp_path / "post")])
    find(inputs, select(sub=("01",)), PREPROC, tmp_path / "kept")
    find(inputs, select(sub=("01",)), PREPROC)
    assert asked == [
        ("fmriprep", ("01",), tmp_path / "kept" / "preprocessed"),
        ("post", (), tmp_path / "kept" / "aroma"),
        ("fmriprep", ("01",), None),
        ("post", (), None),
    ]


def test_of_a_table_beside_a_folder_named_as_its_json_file_the_folder_is_an_error(tiny):
    bold = tiny.add_run()
    folder = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.json")
    folder.mkdir()
    (run,) = find_runs(find_inputs(tiny.root), select(), PREPROC)
    assert run.tables.metadata == folder


def test_other_programs_have_neither_tables_of_the_users_own_nor_better_masks(tiny, tmp_path):
    bold = tiny.add_run()
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    func = tmp_path / "post" / "sub-01" / "func"
    func.mkdir(parents=True)
    for name in (mask.name, "sub-01_task-rest_desc-melodic_timeseries.tsv"):
        (func / name).touch()
    for word, n_tables in (("aroma", 0), ("tedana", 0), ("physio", 1)):
        (run,) = find_runs(find_inputs(tiny.root, [(word, tmp_path / "post")]), select(), PREPROC)
        assert (run.mask, len(run.tables.own), run.problem) == (mask, n_tables, "")
