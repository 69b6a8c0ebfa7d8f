"""Parcellations by path, dataset and name, and their spaces."""

from __future__ import annotations

import json
import logging

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.spaces.parcellations import load_regions

MNI = "MNI152NLin2009cAsym"


def image(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.arange(27, dtype=np.int16).reshape(3, 3, 3) % 3 if values is None else values
    nib.Nifti1Image(values, np.eye(4)).to_filename(path)
    return path


def load(*words, **options):
    (table,) = load_regions([str(word) for word in words], (), **options)
    return table


def test_the_space_of_a_name_counts_first(tmp_path):
    path = image(tmp_path / "tpl-MNIInfant_cohort-2_atlas-Mine_desc-2_dseg.nii.gz")
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text('{"Space": "other"}')
    table = load(path, space="third")
    assert (table.space, table.label) == ("MNIInfant+2", "Mine2")
    assert table.metadata["Space"] == "MNIInfant+2"


def test_then_that_of_the_json_file_then_the_option(tmp_path, caplog):
    path = image(tmp_path / "my-atlas.nii")
    with pytest.raises(UsageError, match=r"The space of .*my-atlas\.nii is not known"):
        load(path)
    assert load(path, space="T1w").space == "T1w"
    path.with_suffix(".json").write_text(json.dumps({"Space": MNI}))
    with caplog.at_level(logging.WARNING):
        table = load(path, space="T1w")
    assert (table.space, table.label) == (MNI, "myatlas")
    assert "No table of names" in caplog.text


def test_a_dataset_with_one_parcellation_in_several_spaces_and_grids(tmp_path):
    for space in (MNI, "MNI152NLin6Asym"):
        for res in ("01", "02"):
            image(
                tmp_path / "atlas" / f"tpl-{space}" / f"tpl-{space}_res-{res}_atlas-A_dseg.nii.gz"
            )
    (table,) = load_regions([str(tmp_path / "atlas")], ())
    assert (table.space, table.label) == (MNI, "A")
    assert "_res-01_" in table.regions.paths[0].name
    assert load(tmp_path / "atlas", space="MNI152NLin6Asym").space == "MNI152NLin6Asym"
    image(tmp_path / "atlas" / f"tpl-{MNI}_atlas-B_dseg.nii.gz")
    with pytest.raises(UsageError, match="no single parcellation"):
        load(tmp_path / "atlas")


@pytest.mark.parametrize("beside", [True, False])
def test_a_dataset_with_a_table_of_names(tmp_path, beside):
    """As BIDS has atlases: the table beside the image, or in the folder above for all of them."""
    root = tmp_path / "atlas"
    path = image(root / f"tpl-{MNI}" / "anat" / f"tpl-{MNI}_res-02_atlas-A_dseg.nii.gz")
    rows = "index\tname\tnetwork\n2\ttwo\tDMN\n1\tone\tVis\n"
    tables = path.parent if beside else path.parent.parent
    (tables / f"tpl-{MNI}_atlas-A_dseg.tsv").write_text(rows)
    (tables / f"tpl-{MNI}_atlas-B_dseg.tsv").write_text("index\tname\n1\tx\n2\ty\n")
    (root / "dataset_description.json").write_text('{"Name": "A", "DatasetType": "atlas"}')
    table = load(root)
    assert (table.names, table.networks) == (("one", "two"), ("Vis", "DMN"))
    assert (table.space, table.label) == (MNI, "A")


def test_an_atlas_of_templateflow_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    folder = tmp_path / f"tpl-{MNI}"
    image(folder / f"tpl-{MNI}_res-02_atlas-Schaefer2018_desc-2Parcels_dseg.nii.gz")
    names = folder / f"tpl-{MNI}_atlas-Schaefer2018_desc-2Parcels_dseg.tsv"
    names.write_text("index\tname\n1\tone\n2\ttwo\n")
    table = load("Schaefer2018:2Parcels")
    assert (table.names, table.label, table.space) == (("one", "two"), "Schaefer20182Parcels", MNI)


@pytest.mark.parametrize("word", ["gone.nii.gz", "folder/gone", "a b"])
def test_what_does_not_exist(word):
    with pytest.raises(MissingInputError, match=r"--parcellation: .* does not exist"):
        load(word)


def test_masks_are_one_set_in_one_space(tmp_path):
    inside = np.zeros((3, 3, 3), np.uint8)
    inside[1] = 1
    paths = [image(tmp_path / f"{name}.nii.gz", inside) for name in ("left", "right")]
    (table,) = load_regions((), paths, space=MNI)
    assert (table.names, table.label, table.space) == (("left", "right"), "roi", MNI)
    other = image(tmp_path / "space-T1w_mask.nii.gz", inside)
    with pytest.raises(UsageError, match="several spaces"):
        load_regions((), [*paths, other], space=MNI)


def test_the_default_template_and_weighting_of_an_atlas_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    for space in (MNI, "MNIOther"):
        folder = tmp_path / f"tpl-{space}"
        maps = np.random.default_rng(1).uniform(0, 1, (3, 3, 3, 2)).astype(np.float32)
        image(folder / f"tpl-{space}_res-02_atlas-Maps_probseg.nii.gz", maps)
    table = load("Maps")
    assert (table.space, table.label) == (MNI, "Maps")
    assert table.regions.weighting == "least-squares"
    assert load("Maps", weighting="mean").regions.weighting == "mean"
    assert load("Maps", space="MNIOther").space == "MNIOther"


@pytest.mark.parametrize(
    "word", ["Atlas.nii", "Atlas:a-b", "At-las:b", "Atlas:b.mgz", ":b", "Atlas.hdr", "A_b"]
)
def test_words_that_no_atlas_has_for_its_name(word, tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    with pytest.raises(MissingInputError, match=f"--parcellation: {word} does not exist"):
        load(word)


@pytest.mark.parametrize(
    ("names", "space", "expected"),
    [
        (["tpl-A_atlas-X_dseg.nii.gz"], None, "A"),
        (["tpl-A_space-B_atlas-X_dseg.nii.gz"], None, "B"),
        (["tpl-A_cohort-3_atlas-X_dseg.nii"], None, "A+3"),
        (["cohort-3_atlas-X_space-A_dseg.nii"], None, "A+3"),
        (["tpl-A_atlas-X_dseg.nii.gz", "tpl-B_atlas-X_dseg.nii.gz"], "B", "B"),
        (["tpl-A_atlas-X_dseg.nii.gz", f"tpl-{MNI}_atlas-X_dseg.nii.gz"], None, MNI),
        (["tpl-A_atlas-X_dseg.nii.gz", "tpl-B_atlas-X_dseg.nii.gz"], None, None),
        (["tpl-A_atlas-X_dseg.nii.gz", "tpl-A_atlas-X_probseg.nii.gz"], None, None),
        (["tpl-A_atlas-X_dseg.nii.gz", "tpl-A_atlas-Y_dseg.nii.gz"], None, None),
        (["tpl-A_atlas-X_dseg.nii.gz"], "B", None),
        (["atlas-X_dseg.nii.gz"], "B", "B"),
        (["atlas-X_dseg.nii.gz", "tpl-A_atlas-Y_dseg.nii.gz"], "A", "A"),
        (["atlas-X_dseg.nii.gz", "atlas-Y_dseg.nii.gz"], "B", None),
        (["tpl-A_atlas-X_mask.nii.gz"], None, None),
        ([], None, None),
    ],
)
def test_the_one_parcellation_of_a_dataset(tmp_path, names, space, expected):
    for name in names:
        image(tmp_path / "deep" / "er" / name)
    (tmp_path / "deep" / "tpl-A_atlas-X_dseg.nii.txt").parent.mkdir(exist_ok=True)
    (tmp_path / "deep" / "tpl-A_atlas-Z_dseg.nii.txt").touch()
    if expected:
        assert load(tmp_path, space=space).space == expected
    else:
        with pytest.raises(UsageError, match="no single parcellation"):
            load(tmp_path, space=space)


def test_masks_are_in_the_space_of_their_names_or_json_files(tmp_path):
    inside = np.zeros((3, 3, 3), np.uint8)
    inside[1, :, 2] = 1
    named = image(tmp_path / "space-T1w_mask.nii.gz", inside)
    described = image(tmp_path / "mine.nii.gz", inside)
    described.with_name("mine.json").write_text(json.dumps({"Space": "T1w"}))
    (table,) = load_regions((), [named, described], space=MNI)
    assert table.space == "T1w"
    described.with_name("mine.json").write_text(json.dumps({"Space": ["T1w"]}))
    with pytest.raises(UsageError, match=r"The space of .*mine\.nii\.gz is not known"):
        load_regions((), [described], space=MNI)
    both = load_regions([str(named)], [named])
    assert [table.label for table in both] == ["spaceT1wmask", "roi"]


def test_several_parcellations_and_masks_each_in_its_space_with_its_notes(tmp_path, caplog):
    first = image(tmp_path / "space-T1w_atlas-A_dseg.nii.gz")
    second = image(tmp_path / "second.nii.gz", np.arange(27, dtype=np.int16).reshape(3, 3, 3) % 4)
    inside = np.zeros((3, 3, 3), np.float32)
    inside[1] = 0.3, 0.6, 0.9
    chances = image(tmp_path / "chances.nii.gz", inside)
    first.with_name("space-T1w_atlas-A_dseg.tsv").write_text("index\tname\n1\tone\n9\tx\n")
    with caplog.at_level(logging.WARNING):
        tables = load_regions([str(first), str(second)], [chances], space=MNI)
    assert [table.space for table in tables] == ["T1w", MNI, MNI]
    assert [table.label for table in tables] == ["A", "second", "roi"]
    assert [table.names for table in tables] == [
        *(("one", "region_2"), ("region_1", "region_2", "region_3"), ("chances",)),
    ]
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[0] for line in said] == [
        *[str(first)] * 2,
        str(second),
        "--roi",
    ]
    assert "1 region of space-T1w_atlas-A_dseg.tsv has no voxel" in said[1]
    assert f"{chances} holds probabilities" in said[3]


def test_a_parcellation_whose_name_says_no_space_stands_for_none_that_does(tmp_path):
    for name in ("atlas-X_dseg.nii.gz", "tpl-A_atlas-Y_dseg.nii.gz"):
        image(tmp_path / "atlas" / name)
    with pytest.raises(UsageError, match=r"The space of .*/atlas-X_dseg\.nii\.gz is not known"):
        load(tmp_path / "atlas")
