"""Which files belong to which image, over trees of names."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.errors import (
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    UsageError,
)
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.dataset import Dataset, Inputs, find_inputs
from bids_spheres.inputs.matching import (
    anatomical_mask,
    find_events,
    find_outliers,
    lesion_masks,
    tissue_images,
)
from bids_spheres.inputs.runs import find_runs
from tests.inputs.conftest import select

PREPROC = ("preproc",)
EVERY_PART = select(space=("MNI152NLin2009cAsym", "T1w", "func"), others=(("part", ("*", "")),))


def write(root, names, sub="sub-01"):
    func = root / sub / "func"
    func.mkdir(parents=True, exist_ok=True)
    for name in names:
        (func / name).touch()
    return Inputs(Dataset(root, "x"))


def runs_of(root, names, selection=EVERY_PART):
    return find_runs(write(root, names), selection, PREPROC).runs


def bold(stem, space="_space-MNI152NLin2009cAsym"):
    return f"sub-01_task-rest{stem}{space}_desc-preproc_bold.nii.gz"


def table(stem):
    return f"sub-01_task-rest{stem}_desc-confounds_timeseries.tsv"


def mask(stem):
    return f"sub-01_task-rest{stem}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz"


@pytest.mark.parametrize(
    ("image", "order"),
    [
        ("_echo-1_part-mag", ("_echo-1_part-mag", "_echo-1", "_part-mag", "")),
        ("_echo-1", ("_echo-1", "")),
        ("_part-mag", ("_part-mag", "")),
        ("", ("",)),
    ],
)
def test_tables_and_masks_in_the_order_of_what_they_share(tmp_path, image, order):
    others = ("_echo-2", "_part-phase", "_echo-2_part-mag", "_acq-x", "_run-1", "_echo-1_part-mag")
    write(tmp_path, [make(stem) for stem in {*others, *order} for make in (table, mask)])
    for stem in order:
        (run,) = runs_of(tmp_path, [bold(image)])
        assert run.tables.confounds.name == table(stem)
        assert run.mask.name == mask(stem)
        assert run.problem == ""
        run.tables.confounds.unlink()
        run.mask.unlink()
    (run,) = runs_of(tmp_path, [bold(image)])
    assert (run.tables.confounds, run.mask) == (None, None)


@pytest.mark.parametrize(
    ("suffix", "what"),
    [
        ("desc-confounds_timeseries.tsv", "confounds table"),
        ("desc-aroma_timeseries.tsv", "table of AROMA's components"),
        ("desc-ICA_mixing.tsv", "tedana mixing matrix"),
        ("desc-tedana_metrics.tsv", "tedana table of metrics"),
        ("space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz", "brain mask"),
        ("space-MNI152NLin2009cAsym_desc-preproc_bold.json", "JSON file"),
    ],
)
def test_two_that_fit_as_well_are_the_problem_of_their_run(tmp_path, suffix, what):
    two = [f"sub-01_task-rest_run-{run}_{suffix}" for run in ("1", "01")]
    names = [bold("_run-1"), bold("_run-2"), table("_run-2"), *two]
    first, second = runs_of(tmp_path, names)
    paths = sorted(str(tmp_path / "sub-01" / "func" / name) for name in two)
    assert first.problem == f"{paths[0]} and {paths[1]} are both the {what} of one run."
    assert second.problem == ""
    assert second.tables.confounds.name == table("_run-2")
    (tmp_path / "sub-01" / "func" / bold("_run-2")).unlink()
    with pytest.raises(InvalidDatasetError, match=f"No run can be used.*both the {what}"):
        runs_of(tmp_path, [])


def test_tables_of_old_and_new_names_are_two(tmp_path):
    names = [bold(""), bold("_run-1"), table(""), "sub-01_task-rest_desc-confounds_regressors.tsv"]
    _, run = runs_of(tmp_path, names)
    assert "confounds_regressors.tsv and " in run.problem


def test_images_that_are_the_same_by_value_are_one_run_with_a_problem(tmp_path):
    names = [bold("_run-1"), bold("_run-01"), bold("_run-2")]
    first, second = runs_of(tmp_path, names)
    assert first.problem.endswith("are both the same image of one run.")
    assert all(str(tmp_path / "sub-01" / "func" / name) in first.problem for name in names[:2])
    assert second.problem == ""


@pytest.mark.parametrize("index", ["run", "echo", "flip", "inv", "split", "chunk"])
def test_indices_are_matched_by_value(tmp_path, index):
    names = [bold(f"_{index}-1"), table(f"_{index}-01"), mask(f"_{index}-001")]
    sidecar = bold(f"_{index}-01").replace(".nii.gz", ".json")
    (run,) = runs_of(tmp_path, names)
    (tmp_path / "sub-01" / "func" / sidecar).write_text(json.dumps({"RepetitionTime": 1.5}))
    (run,) = runs_of(tmp_path, names)
    assert run.tables.confounds.name == names[1]
    assert run.mask.name == names[2]
    assert run.metadata(run.images[0][1]) == {"RepetitionTime": 1.5}


def test_labels_that_are_no_indices_are_matched_as_written(tmp_path):
    (run,) = runs_of(tmp_path, [bold("_acq-1"), table("_acq-01")])
    assert run.tables.confounds is None


@pytest.mark.parametrize(
    ("stem", "space", "value"),
    [("", "_space-MNI152NLin2009cAsym", 2), ("_echo-1", "", 3), ("_echo-2_part-mag", "", 4)],
)
def test_json_of_an_image_that_has_none_beside_it(tmp_path, stem, space, value):
    contents = {"_space-MNI152NLin2009cAsym_desc-preproc": 2, "": 3, "_echo-2": 4, "_acq-x": 5}
    write(tmp_path, [])
    for middle, number in contents.items():
        sidecar = tmp_path / "sub-01" / "func" / f"sub-01_task-rest{middle}_bold.json"
        sidecar.write_text(json.dumps({"RepetitionTime": number}))
    (run,) = runs_of(tmp_path, [bold(stem, space)])
    assert run.metadata(run.images[0][1]) == {"RepetitionTime": value}


@pytest.mark.parametrize(
    ("stem", "others", "expected"),
    [
        ("", [""], ""),
        ("_echo-1", ["", "_echo-2"], ""),
        ("_run-1", ["_run-01", "_run-2"], "_run-01"),
        ("_run-1", ["_run-2", "_acq-x_run-1"], None),
    ],
)
def test_json_of_a_confounds_table_is_matched_as_tables_are(tmp_path, stem, others, expected):
    jsons = [table(middle).replace(".tsv", ".json") for middle in others]
    (run,) = runs_of(tmp_path, [bold(stem), table(stem), *jsons])
    name = None if expected is None else table(expected).replace(".tsv", ".json")
    assert (run.tables.metadata.name if run.tables.metadata else None) == name


def test_json_of_a_confounds_table_has_the_name_of_the_table_and_not_of_the_image(tmp_path):
    jsons = [table(stem).replace(".tsv", ".json") for stem in ("_echo-1", "")]
    (run,) = runs_of(tmp_path, [bold("_echo-1"), table(""), *jsons])
    assert run.tables.metadata.name == jsons[1]


def test_json_of_another_dataset_does_not_describe_a_table(tmp_path):
    main, other = tmp_path / "main", tmp_path / "other"
    write(main, [bold(""), table("").replace(".tsv", ".json")])
    write(other, [table("")])
    inputs = Inputs(Dataset(main, "x"), {"more": Dataset(other, "y")})
    (run,) = find_runs(inputs, EVERY_PART, PREPROC).runs
    assert run.tables.confounds.is_relative_to(other)
    assert run.tables.metadata is None


def test_a_mask_of_another_resolution_or_space_is_not_used(tmp_path):
    stem = "sub-01_task-rest_space-MNI152NLin2009cAsym"
    image, native = f"{stem}_res-2_desc-preproc_bold.nii.gz", bold("", "")
    finer = f"{stem}_res-1_desc-brain_mask.nii.gz"
    for run in runs_of(tmp_path, [image, native, finer]):
        assert run.mask is None
    anatomical = "sub-01_task-rest_space-T1w_desc-brain_mask.nii.gz"
    for run in runs_of(tmp_path, [anatomical]):
        assert run.mask is None
    found = runs_of(tmp_path, ["sub-01_task-rest_desc-brain_mask.nii.gz", mask("")])
    assert {run.space: run.mask.name for run in found} == {
        "func": "sub-01_task-rest_desc-brain_mask.nii.gz",
        "MNI152NLin2009cAsym": mask(""),
    }


def test_of_two_masks_that_say_as_much_of_an_image_the_shorter_name_counts(tmp_path):
    finer = mask("").replace("_desc", "_res-1_desc")
    (run,) = runs_of(tmp_path, [bold(""), finer, mask("")])
    assert run.mask.name == mask("")


def test_fmripreps_own_table_counts_more_than_one_of_other_derivatives(tmp_path):
    main, other = tmp_path / "main", tmp_path / "other"
    write(main, [bold("_echo-1"), table("")])
    write(other, [table("_echo-1"), table("_run-1")])
    inputs = Inputs(Dataset(main, "x"), {"more": Dataset(other, "y")})
    (run,) = find_runs(inputs, EVERY_PART, PREPROC).runs
    assert run.tables.confounds.is_relative_to(main)


@pytest.mark.parametrize("part", ["phase", "real", "imag"])
def test_images_without_magnitude_are_no_runs_unless_they_are_asked_for(tmp_path, part):
    names = [bold("_part-mag"), bold(f"_part-{part}"), table("")]
    plain = select()
    found = find_runs(write(tmp_path, names), plain, PREPROC)
    assert [run.name.get("part") for run in found.runs] == ["mag"]
    assert [path.name for path, _ in found.skipped] == [bold(f"_part-{part}")]
    asked = select(others=(("part", (part,)),))
    (run,) = runs_of(tmp_path, [], asked)
    assert run.name.get("part") == part
    (tmp_path / "sub-01" / "func" / bold("_part-mag")).unlink()
    with pytest.raises(NothingSelectedError, match="No image of magnitude"):
        runs_of(tmp_path, [], plain)


# Any tree

ENTITIES = {
    "acq": ("a", "b"),
    "run": ("1", "01", "2"),
    "echo": ("1", "01", "2"),
    "part": ("mag", "phase"),
    "space": ("MNI152NLin2009cAsym", "T1w"),
    "res": ("1", "2"),
}
"""In the order in which names have them."""

KINDS = {
    "desc-preproc_bold.nii.gz": "image",
    "desc-preproc_bold.json": "json",
    "desc-brain_mask.nii.gz": "mask",
    "desc-confounds_timeseries.tsv": "confounds",
    "desc-aroma_timeseries.tsv": "aroma",
}


@st.composite
def file_names(draw):
    labels = {key: draw(st.sampled_from((None, *some))) for key, some in ENTITIES.items()}
    kind = draw(st.sampled_from(list(KINDS)))
    pairs = [f"{key}-{label}" for key, label in labels.items() if label]
    return "_".join(["sub-01_task-rest", *pairs, kind])


def values(path):
    """Entities in a name, indices as numbers."""
    pairs = dict(part.split("-") for part in path.name.split("_")[:-1])
    return {k: int(v) if k in ("run", "echo") else v for k, v in pairs.items() if k != "desc"}


def of_the_run(entities):
    return {key: value for key, value in entities.items() if key not in ("space", "res")}


@pytest.mark.slow
@given(st.lists(file_names(), min_size=3, max_size=25, unique=True))
def test_no_file_with_another_value_is_used_and_none_of_a_better_level_is_passed_over(names):
    with tempfile.TemporaryDirectory() as folder:
        # One run without a problem, or the call would end.
        most = bold("_acq-a_run-3_echo-1_part-mag", "_space-T1w_res-1")
        runs = runs_of(Path(folder), [*names, most])
        for run in runs:
            check(run, [path for path in Path(folder).rglob("*") if path.is_file()])


def check(run, files):
    own = values(run.images[0][1])
    found = {"mask": run.mask, "confounds": run.tables.confounds, "aroma": run.tables.aroma}
    found["json"] = dict(run.sidecars).get(run.images[0][1])
    for kind, path in found.items():
        fitting = [p for p in files if kind_of(p) == kind and fits(values(p), own, kind)]
        best = min((level(values(p), own) for p in fitting), default=None)
        if path is None:
            assert best is None or run.problem
        else:
            assert path in fitting
            assert level(values(path), own) == best


def kind_of(path):
    return KINDS.get("_".join(path.name.split("_")[-2:]))


def fits(entities, own, kind):
    """Whether nothing conflicts, and only part and echo are left out."""
    if any(own.get(key, value) != value for key, value in entities.items()):
        return False
    if kind == "mask" and entities.get("space") != own.get("space"):
        return False
    if "space" in entities and "space" not in own:
        return False
    lacking = of_the_run(own).keys() - of_the_run(entities).keys()
    return lacking <= {"part", "echo"} and not of_the_run(entities).keys() - own.keys()


def level(entities, own):
    lacking = own.keys() - entities.keys()
    return ("part" in lacking) + 2 * ("echo" in lacking)


def test_links_that_lead_back_are_not_followed(tmp_path):
    write(tmp_path, [bold(""), table("")])
    (tmp_path / "sub-01" / "func" / "again").symlink_to(tmp_path, target_is_directory=True)
    moved = tmp_path.parent / "moved"
    write(moved, [bold("").replace("sub-01", "sub-02")], sub="sub-02")
    (tmp_path / "sub-02").symlink_to(moved / "sub-02", target_is_directory=True)
    runs = find_runs(Inputs(Dataset(tmp_path, "x")), select(), PREPROC).runs
    assert [(run.name.get("sub"), run.problem) for run in runs] == [("01", ""), ("02", "")]


def test_tables_of_tedana_with_a_prefix_and_no_folders(tiny, tmp_path):
    tiny.add_run()
    flat = tmp_path / "tedana"
    flat.mkdir()
    for name in ("desc-ICA_mixing.tsv", "desc-tedana_metrics.tsv", "dataset_description.json"):
        (flat / f"sub-01_task-rest_{name}").touch()
    inputs = find_inputs(tiny.root, [("tedana", flat)])
    for wanted in ((), ("01",)):
        (run,) = find_runs(inputs, select(sub=wanted), PREPROC).runs
        assert [path.parent for path in run.tables.tedana] == [flat, flat]


def test_outlier_tables_of_the_users_own_are_matched_by_value(tmp_path):
    runs = runs_of(tmp_path / "x", [bold("_run-1_echo-02"), bold("_run-2_echo-02")])
    for run in ("01", "02"):
        (tmp_path / f"sub-01_task-rest_run-{run}_outliers.tsv").touch()
    found = [path.name for path in find_outliers(tmp_path, [run.name for run in runs])]
    assert found == [f"sub-01_task-rest_run-0{run}_outliers.tsv" for run in "12"]


def test_outlier_tables_and_how_many_runs_they_are_for(tmp_path):
    names = [bold("_run-1"), bold("_run-1", "_space-T1w"), bold("_run-2")]
    one, same, other = (run.name for run in runs_of(tmp_path / "x", names))
    assert find_outliers(None, [one, other]) == [None, None]
    table = tmp_path / "mine.tsv"
    with pytest.raises(MissingInputError, match=r"mine\.tsv is missing"):
        find_outliers(table, [one])
    table.touch()
    # Two images of one run share it.
    assert find_outliers(table, [one, same]) == [table, table]
    with pytest.raises(UsageError, match="is given for 3 runs"):
        find_outliers(table, [one, same, other])
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    (folder / "outliers_outliers.tsv").touch()
    (folder / "sub-01_task-rest_run-2_desc-x_outliers.tsv").touch()
    assert find_outliers(tmp_path / "folder", [other])[0].parent == folder
    with pytest.raises(MissingInputError, match="no outlier table for sub-01_task-rest_run-1"):
        find_outliers(tmp_path / "folder", [one])
    (folder / "sub-01_task-rest_outliers.tsv").touch()
    assert find_outliers(tmp_path / "folder", [one])[0].name == "sub-01_task-rest_outliers.tsv"
    with pytest.raises(UsageError, match="are both outlier tables of sub-01_task-rest_run-2"):
        find_outliers(tmp_path / "folder", [other])


def test_tables_of_the_users_own_are_of_whatever_desc_and_of_the_participants_asked_for(tmp_path):
    main, other = tmp_path / "main", tmp_path / "physio"
    write(main, [bold("_run-1"), table("_run-1")])
    write(main, [bold("_run-1").replace("sub-01", "sub-02")], sub="sub-02")
    stem = "sub-01_task-rest_run-1_desc"
    write(other, [f"{stem}-physio_timeseries.tsv", f"{stem}-physio_timeseries.json"])
    write(other, [f"{stem}-resp_timeseries.tsv", f"{stem}-other_events.tsv"])
    write(other, ["sub-01_task-rest_run-2_desc-more_timeseries.tsv"])
    inputs = Inputs(Dataset(main, "x"), {"mine": Dataset(other, "y")})
    first, second = find_runs(inputs, EVERY_PART, PREPROC).runs
    assert sorted((link, path.name) for link, path in first.tables.own) == [
        ("mine", f"{stem}-physio_timeseries.tsv"),
        ("mine", f"{stem}-resp_timeseries.tsv"),
    ]
    assert (second.tables.own, second.tables.confounds) == ((), None)
    assert first.tables.confounds.name == table("_run-1")
    (alone,) = find_runs(inputs, select(sub=("02",)), PREPROC).runs
    assert alone.name.get("sub") == "02"


def test_a_table_without_entities_belongs_to_no_run(tmp_path):
    (run,) = runs_of(tmp_path / "x", [bold("_run-1")])
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "desc-x_outliers.tsv").touch()
    with pytest.raises(MissingInputError) as error:
        find_outliers(folder, [run.name])
    assert error.value.hint == "It would be sub-01_task-rest_run-1_outliers.tsv."
    own = folder / "task-rest_outliers.tsv"
    own.touch()
    (folder / "task-rest_echo-1_outliers.tsv").touch()
    assert find_outliers(folder, [run.name]) == [own]


def test_which_of_several_files_is_named_first(tmp_path):
    """The paths of a message are in the order of their names, whatever the file system's."""
    labels = ["3", "03", "003", "0003", "00003"]
    names = [mask(f"_run-{label}") for label in labels]
    for order in (names, names[::-1]):
        folder = tmp_path / order[0]
        with pytest.raises(InvalidDatasetError) as error:
            runs_of(folder, [bold("_run-3"), *order])
        first, second = sorted(str(folder / "sub-01" / "func" / name) for name in names)[:2]
        assert error.value.message == (
            f"No run can be used. {first} and {second} are both the brain mask of one run."
        )


def test_events_that_clash_are_named_in_the_order_of_their_names(tmp_path):
    (run,) = runs_of(tmp_path, [bold("_run-1")])
    names = [f"sub-01_task-rest_run-{label}_events.tsv" for label in ("1", "001", "01")]
    for name in names:
        (tmp_path / "sub-01" / "func" / name).touch()
    with pytest.raises(InvalidDatasetError) as error:
        find_events(run.name, tmp_path)
    first, second = sorted(tmp_path / "sub-01" / "func" / name for name in names)[:2]
    assert error.value.message == f"{first} and {second} are both the events of one run."


def test_outlier_tables_that_clash_are_named_in_the_order_of_their_names(tmp_path):
    (run,) = runs_of(tmp_path / "x", [bold("_run-1")])
    folder = tmp_path / "folder"
    folder.mkdir()
    for desc in "mxckbz":
        (folder / f"sub-01_task-rest_desc-{desc}_outliers.tsv").touch()
    stem = folder / "sub-01_task-rest_desc"
    with pytest.raises(UsageError, match=f"{stem}-b_outliers.tsv and {stem}-c_outliers.tsv are"):
        find_outliers(folder, [run.name])


def test_an_outlier_table_may_have_every_entity_of_its_run(tmp_path):
    (run,) = runs_of(tmp_path / "x", [bold("_run-1", "")])
    own = tmp_path / "folder" / "sub-01_task-rest_run-1_outliers.tsv"
    own.parent.mkdir()
    own.touch()
    assert find_outliers(own.parent, [run.name]) == [own]


def test_of_images_that_do_the_same_the_first_by_name_is_taken(tmp_path):
    anat = tmp_path / "sub-01" / "anat"
    anat.mkdir(parents=True)
    labels = ["m", "x", "c", "k", "b", "z"]
    for label in labels:
        (anat / f"sub-01_acq-{label}_label-GM_probseg.nii.gz").touch()
        (anat / f"sub-01_acq-{label}_desc-brain_mask.nii.gz").touch()
    image = tmp_path / "sub-01" / "func" / bold("")
    assert (
        tissue_images(image.parent, "T1w")["GM"][0].name == "sub-01_acq-b_label-GM_probseg.nii.gz"
    )
    assert anatomical_mask(image).name == "sub-01_acq-b_desc-brain_mask.nii.gz"
    found = lesion_masks(tmp_path, parse_name("sub-01_task-x_bold.nii.gz"), "T1w")
    assert [path.name[11] for path in found] == sorted(labels)


def test_images_of_two_datasets_are_those_of_the_participants_asked_for(tmp_path):
    main, other = tmp_path / "main", tmp_path / "another"
    write(main, [bold("")])
    write(other, [bold("")])
    write(other, [bold("").replace("sub-01", "sub-02")], sub="sub-02")
    inputs = Inputs(Dataset(main, "x"), {"mine": Dataset(other, "y")})
    with pytest.raises(InvalidDatasetError) as error:
        find_runs(inputs, select(sub=("01",)), PREPROC)
    paths = [root / "sub-01" / "func" / bold("") for root in (other, main)]
    assert error.value.message == (
        f"No run can be used. {paths[0]} and {paths[1]} are both the same image of one run."
    )
    first, second = find_runs(inputs, select(), PREPROC).runs
    assert [path for _, path in first.images] == paths[::-1]
    assert (str(second), second.problem) == (
        "sub-02 task-rest space-MNI152NLin2009cAsym",
        "",
    )
