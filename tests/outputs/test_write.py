"""Spheres, designs and their sidecars as they are written, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres.engine.regions import RegionImage
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.spheres import Grid, sphere_weights
from bids_spheres.files.names import parse_name
from bids_spheres.outputs.paths import OutputPaths
from bids_spheres.outputs.write import (
    write_controls,
    write_design,
    write_matrix,
    write_series,
    write_spheres,
    write_uncleaned,
)
from bids_spheres.participant.sphere_sets import SphereSet, coverage_note

AFFINE = np.diag([2.0, 2, 2, 1])
SHAPE = (12, 12, 12)
NAMES = ("cut", "whole", "outside", "rim")
CENTRES = np.array([[4, 4, 4], [8, 8, 8], [1, 1, 1], [8, 3, 8]])


@pytest.fixture
def seeds():
    """Spheres of seven voxels each: the nearest, and one in each direction."""
    return SeedTable("mine", NAMES, 2.0 * CENTRES, np.full(4, 2.0), ("A", "n/a", "B", "A"))


@pytest.fixture
def weights(seeds):
    """The mask lacks three voxels of the first, all of the third, and the middle of the fourth."""
    mask = np.ones(SHAPE, bool)
    mask[3, 4, 4] = mask[4, 3, 4] = mask[4, 4, 5] = False
    mask[:3, :3, :3] = False
    mask[8, 3, 8] = False
    return sphere_weights(seeds.coordinates, seeds.radii, Grid(SHAPE, AFFINE), mask)


@pytest.fixture
def paths(tmp_path):
    name = parse_name("sub-01_task-x_space-T1w_desc-preproc_bold.nii.gz")
    return OutputPaths(tmp_path / "out", name, "mean")


def sphere_set(seeds, weights, least, **signal):
    return SphereSet(seeds, weights, slice(0, 4), least, {}, signal)


@pytest.mark.parametrize(
    ("least", "missing"),
    [
        (0.0, [0, 0, 1, 0]),
        (4 / 7, [0, 0, 1, 0]),  # just enough
        (0.6, [1, 0, 1, 0]),
        (6 / 7 + 1e-9, [1, 0, 1, 1]),
        (1.0, [1, 0, 1, 1]),
    ],
)
def test_spheres_with_too_few_of_their_voxels(seeds, weights, least, missing):
    np.testing.assert_allclose(weights.coverage, [4 / 7, 1, 0, 6 / 7])
    spheres = sphere_set(seeds, weights, least)
    np.testing.assert_array_equal(spheres.missing, np.array(missing, bool))
    # Once the image was read it is the share with a signal that counts.
    signal = sphere_set(seeds, weights, 0.5, coverage=np.array([0.5, 0.49, 0.0, 1.0]))
    np.testing.assert_array_equal(signal.missing, [False, True, True, False])
    none = sphere_set(seeds, weights, 0.0, coverage=np.array([0.1, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(none.missing, [False, True, True, False])


def test_what_is_said_of_the_coverage(seeds, weights):
    assert coverage_note(sphere_set(seeds, weights, 0.6)) == (
        "mine: 4 spheres, 2 with their seed outside the mask, 2 partly outside the mask, 1 without "
        "a voxel in the mask (n/a), 1 with a coverage below 0.6 (n/a)"
    )
    whole = sphere_weights(seeds.coordinates, seeds.radii, Grid(SHAPE, AFFINE))
    assert coverage_note(sphere_set(seeds, whole, 1.0)) == "mine: 4 spheres"


def image(tmp_path, sform):
    """A run that says by its sform alone, or also by a qform, where its voxels are."""
    img = nib.Nifti1Image(np.zeros((*SHAPE, 2), np.float32), AFFINE)
    img.header.set_zooms((2, 2, 2, 1.5))
    img.set_qform(AFFINE, 1)
    img.set_sform(AFFINE, sform)
    path = tmp_path / "bold.nii.gz"
    img.to_filename(path)
    return path


def test_table_and_image_of_spheres(seeds, weights, paths, tmp_path):
    measured = {
        "coverage": weights.coverage,
        "used": np.array([True, True, False, True]),
        "tsnr": np.array([10.5, 20, np.nan, 40]),
    }
    bold = image(tmp_path, 4)
    about = {"Mask": "run"}
    write_spheres(paths, seeds, bold, weights, measured=measured, sidecar=about)
    table = pd.read_csv(paths.spheres(seeds), sep="\t", keep_default_na=False, na_values=["n/a"])
    assert table["index"].tolist() == [1, 2, 3, 4]
    assert table["name"].tolist() == list(NAMES)
    np.testing.assert_array_equal(table[["x", "y", "z"]], 2 * CENTRES)
    assert table["radius"].tolist() == [2] * 4
    assert table["network"].fillna("").tolist() == ["A", "", "B", "A"]
    assert table["voxels_asked"].tolist() == [7] * 4
    assert table["voxels_used"].tolist() == [4, 7, 0, 6]
    np.testing.assert_allclose(table["coverage"], [4 / 7, 1, 0, 6 / 7], rtol=1e-6)
    assert table["used"].tolist() == [1, 1, 0, 1]
    assert table["seed_in_mask"].tolist() == [1, 1, 0, 0]
    assert table["overlap"].tolist() == [0] * 4
    np.testing.assert_array_equal(table["tsnr"], measured["tsnr"])
    facts = json.loads(paths.spheres(seeds, ".json").read_text())
    keys = ("WithoutVoxels", "PartlyOutsideMask", "OfTooLittleCoverage")
    assert [facts[f"Spheres{key}"] for key in keys] == [1, 2, 1]
    assert (facts["SeedsOutsideMask"], facts["Mask"]) == (2, "run")
    labels = nib.load(paths.spheres(seeds, ".nii.gz"))
    values = np.asarray(labels.dataobj)
    assert values.dtype == np.uint8
    assert np.bincount(values.ravel()).tolist() == [12**3 - 17, 4, 7, 0, 6]
    assert (values[4, 4, 4], values[8, 8, 9], values[8, 3, 8], values[7, 3, 8]) == (1, 2, 0, 4)
    for field in ("qform_code", "sform_code"):
        assert labels.header[field] == nib.load(bold).header[field]
    assert labels.header.get_zooms() == (2, 2, 2)
    assert labels.header.get_intent() == ("label", (), "mine")
    assert labels.header["descrip"].item().decode() == "Spheres around seeds, by bids_spheres"
    assert "volume" not in table
    assert not {"Parcellation", "RegionSignals", "grey_matter"} & set(facts)


@pytest.mark.parametrize(("number", "dtype"), [(255, np.uint8), (256, np.int16)])
def test_labels_of_many_spheres(paths, tmp_path, number, dtype):
    centres = np.argwhere(np.ones(SHAPE))[:number]
    many = SeedTable("many", tuple(map(str, range(number))), 2.0 * centres, np.zeros(number))
    weights = sphere_weights(many.coordinates, many.radii, Grid(SHAPE, AFFINE))
    measured = {name: np.ones(number) for name in ("coverage", "used", "tsnr")}
    bold = image(tmp_path, 1)
    write_spheres(paths, many, bold, weights, measured=measured, sidecar={})
    values = np.asarray(nib.load(paths.spheres(many, ".nii.gz")).dataobj)
    assert values.dtype == dtype
    assert values[tuple(centres.T)].tolist() == [*range(1, number + 1)]


@pytest.mark.parametrize("regressors", [{}, {"csf": np.array([0.5, -1, 2.25, 1e-9])}])
def test_tables_of_regressors_and_of_volumes_left_out(paths, regressors):
    kept = np.array([False, True, True, False])
    write_design(
        paths,
        "simple",
        regressors,
        kept=kept,
        reasons={"dummy": np.arange(4) < 1, "fd": np.arange(4) > 2, "dvars": np.zeros(4, bool)},
        displacements={"fd": np.array([np.nan, 0.1, 0.2, 0.9])},
        sidecar={"Strategy": "simple"},
    )
    design = pd.read_csv(paths.design("simple"), sep="\t")
    expected = regressors or {"intercept": np.ones(4)}
    assert list(design) == list(expected)
    np.testing.assert_allclose(design, np.column_stack([*expected.values()]), rtol=1e-9)
    assert json.loads(paths.design("simple", ".json").read_text()) == {"Strategy": "simple"}
    outliers = pd.read_csv(paths.outliers("simple"), sep="\t")
    assert outliers["censored"].tolist() == [1, 0, 0, 1]
    assert list(outliers) == ["censored", "dummy", "fd"]
    assert paths.outliers("simple").parent == paths.root / "sub-01" / "func"
    assert paths.design("simple").name == "sub-01_task-x_desc-simple_design.tsv"
    facts = json.loads(paths.outliers("simple", ".json").read_text())
    assert facts["censored"]["Levels"] == {"0": "kept", "1": "left out"}
    assert facts["fd"]["Units"] == "mm"
    assert isinstance(paths.design("simple"), Path)


@pytest.mark.parametrize(
    ("kind", "weighting", "signal"),
    [
        ("labels", "mean", "Mean of the voxels"),
        ("masks", "least-squares", "Mean of the voxels"),
        ("maps", "mean", "Mean weighted by the map"),
        ("maps", "least-squares", "Least squares: signals by which maps"),
    ],
)
def test_table_and_image_of_regions(seeds, weights, paths, tmp_path, kind, weighting, signal):
    files = (Path("a/one.nii.gz"), Path("b/two.nii"))
    regions = replace(
        seeds, regions=RegionImage(files, kind, (0, 1, 2, 3), weighting), networks=None
    )
    measured = {
        "coverage": weights.coverage,
        "used": np.array([True, True, False, False]),
        "tsnr": np.array([1.0, 2, 3, 4]),
        "csf": np.array([0.25, 0.5, 0.75, np.nan]),
    }
    write_spheres(
        paths, regions, image(tmp_path, 4), weights, measured=measured, sidecar={"Mask": "run"}
    )
    path = paths.root / "sub-01" / "func" / "sub-01_task-x_space-T1w_seg-mine_desc-regions_dseg.tsv"
    table = pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["n/a"])
    assert list(table)[5:] == [
        *("volume", "network", "voxels_asked", "voxels_used", "coverage", "used", "overlap"),
        *("tsnr", "csf"),
    ]
    assert table["volume"].tolist() == [33.5] * 4  # of a ball of 2 mm: 33.51
    assert table["network"].isna().all()
    assert table["csf"].tolist()[:3] == [0.25, 0.5, 0.75]
    facts = json.loads(path.with_suffix(".json").read_text())
    keys = ("WithoutVoxels", "PartlyOutsideMask", "OfTooLittleCoverage")
    assert [facts[f"Regions{key}"] for key in keys] == [1, 2, 2]
    assert facts["Parcellation"] == ["one.nii.gz", "two.nii"]
    assert facts["RegionSignals"].startswith(signal)
    assert facts["volume"]["Units"] == "mm3"
    assert facts["csf"]["Description"].startswith("Mean probability of cerebrospinal fluid")
    assert not {"SeedsOutsideMask", "white_matter", "seed_in_mask"} & set(facts)
    assert facts["Description"].startswith("Regions; a voxel in several")
    labels = nib.load(path.with_suffix(".nii.gz"))
    assert labels.header["descrip"].item().decode() == "Regions, by bids_spheres"


def test_series_before_and_after_cleaning_and_what_their_sidecars_say(seeds, paths):
    values = np.arange(12.0).reshape(3, 4)
    values[:, 2] = np.nan
    write_uncleaned(paths, seeds, values, 0.8, {"Strategy": "n/a", "whole": "not a column"})
    path = paths.uncleaned(seeds)
    assert path.name == "sub-01_task-x_space-T1w_seg-mine_stat-mean_desc-raw_timeseries.tsv.gz"
    np.testing.assert_array_equal(pd.read_csv(path, sep="\t", header=None), values)
    facts = json.loads(path.with_name(path.name.replace(".tsv.gz", ".json")).read_text())
    assert facts["Columns"] == list(NAMES)
    assert (facts["NumberOfVolumes"], facts["DegreesOfFreedom"]) == (3, 3)
    assert (facts["SamplingFrequency"], facts["RepetitionTime"]) == (1.25, 0.8)
    assert (facts["Detrend"], facts["Standardize"], facts["SoftwareFilters"]) == (
        False,
        False,
        "n/a",
    )
    assert (facts["NuisanceParameters"], facts["Strategy"]) == ([], "n/a")
    assert facts["cut"] == facts["rim"] == {"Description": "Seed of the network A"}
    odd = replace(seeds, names=("Strategy", "whole", "outside", "rim"))
    write_series(paths, odd, "simple", values, {"Strategy": "simple"})
    path = paths.series(odd, "simple")
    assert path.name == "sub-01_task-x_space-T1w_seg-mine_stat-mean_desc-simple_timeseries.tsv"
    table = pd.read_csv(path, sep="\t")
    assert list(table) == ["Strategy", "whole", "outside", "rim"]
    np.testing.assert_array_equal(table, values)
    facts = json.loads(path.with_suffix(".json").read_text())
    # A seed may have the name of a key, and one has no network.
    assert facts == {
        "Strategy": "simple",
        "outside": {"Description": "Seed of the network B"},
        "rim": {"Description": "Seed of the network A"},
    }


def test_a_matrix_and_controls_beside_their_sidecars(seeds, paths):
    path = paths.matrix(seeds, "simple", "covariance")
    values = np.arange(16.0).reshape(4, 4)
    write_matrix(path, NAMES, values, {"Weighted": True})
    table = pd.read_csv(path, sep="\t", index_col="Node")
    assert table.index.tolist() == table.columns.tolist() == list(NAMES)
    np.testing.assert_array_equal(table, values)
    assert json.loads(path.with_suffix(".json").read_text()) == {"Weighted": True}
    path = paths.controls(seeds, "simple")
    assert path.name == "sub-01_task-x_space-T1w_seg-mine_desc-simple_controls.tsv"
    write_controls(path, pd.DataFrame({"control": ["seeds"], "pairs": [3]}), {"SurrogateSeed": 7})
    assert path.read_text() == "control\tpairs\nseeds\t3\n"
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["SurrogateSeed"] == 7
    assert list(about["control"]["Levels"]) == ["seeds", "surrogate", "fluid", "mirrored"]


def test_spheres_of_different_sizes_that_share_voxels(paths, tmp_path):
    """The largest takes two voxels of seven of one, and one of the other; also a single voxel."""
    points = 2.0 * np.array([[4, 5, 5], [6, 5, 5], [9, 5, 5], [2, 2, 2]])
    seeds = SeedTable("mine", tuple("abcd"), points, np.array([2.0, 4, 2, 0]))
    weights = sphere_weights(points, seeds.radii, Grid(SHAPE, AFFINE))
    measured = {"coverage": np.array([1, 0.75, 0.5, 1]), "used": np.array([1, 1, 0, 1])}
    measured |= {"tsnr": np.arange(4.0), "moved": np.array([0, 1.5, 2, 3])}
    measured |= {"white_matter": np.array([0.5, 0.25, 0, 1])}
    write_spheres(paths, seeds, image(tmp_path, 4), weights, measured=measured, sidecar={})
    table = pd.read_csv(paths.spheres(seeds), sep="\t", keep_default_na=False, na_values=["n/a"])
    assert table["radius"].tolist() == [2, 4, 2, 0]
    assert table["voxels_asked"].tolist() == table["voxels_used"].tolist() == [7, 33, 7, 1]
    assert table["overlap"].tolist() == [2, 3, 1, 0]
    assert table["network"].isna().all()
    assert (table["used"].tolist(), table["tsnr"].tolist()) == ([1, 1, 0, 1], [0, 1, 2, 3])
    assert table["moved"].tolist() == [0, 1.5, 2, 3]
    assert table["white_matter"].tolist() == [0.5, 0.25, 0, 1]
    facts = json.loads(paths.spheres(seeds, ".json").read_text())
    assert facts["moved"]["Units"] == "mm"
    assert facts["white_matter"]["Description"].startswith("Mean probability of white matter")
    keys = ("WithoutVoxels", "PartlyOutsideMask", "OfTooLittleCoverage")
    assert [facts[f"Spheres{key}"] for key in keys] == [0, 0, 1]


def test_images_have_the_qform_of_the_run_also_where_it_is_mirrored(
    seeds, weights, paths, tmp_path
):
    mirrored = np.array([[-2.0, 0, 0, 20], [0, 0, 2, 1], [0, 2, 0, 3], [0, 0, 0, 1]])
    img = nib.Nifti1Image(np.zeros((*SHAPE, 2), np.float32), AFFINE)
    img.header.set_zooms((2, 2, 2, 1.5))
    img.set_sform(AFFINE, 4)
    for qform in (mirrored, mirrored * [[-1], [1], [1], [1]]):
        img.set_qform(qform, 1)
        img.to_filename(tmp_path / "bold.nii.gz")
        ones = {name: np.ones(4) for name in ("coverage", "used", "tsnr")}
        bold = tmp_path / "bold.nii.gz"
        write_spheres(paths, seeds, bold, weights, measured=ones, sidecar={})
        labels = nib.load(paths.spheres(seeds, ".nii.gz"))
        np.testing.assert_allclose(labels.get_qform(), qform, atol=1e-5)
        np.testing.assert_array_equal(labels.get_sform(), AFFINE)


def test_keys_count_more_than_seeds_with_their_names(seeds, paths):
    odd = replace(seeds, names=("Strategy", "Detrend", "Columns", "RepetitionTime"))
    odd = replace(odd, networks=("A",) * 4)
    write_uncleaned(paths, odd, np.zeros((3, 4)), 0.8, {"Strategy": "n/a"})
    path = paths.uncleaned(odd, ".json")
    facts = json.loads(path.read_text())
    assert (facts["Strategy"], facts["Detrend"], facts["RepetitionTime"]) == ("n/a", False, 0.8)
    assert facts["Columns"] == list(odd.names)


def test_headers_hold_the_beginning_of_long_labels(seeds, weights, paths, tmp_path):
    long = replace(seeds, label="abcdefghijklmnopqrst")
    ones = {name: np.ones(4) for name in ("coverage", "used", "tsnr")}
    write_spheres(paths, long, image(tmp_path, 4), weights, measured=ones, sidecar={})
    intent = nib.load(paths.spheres(long, ".nii.gz")).header.get_intent()
    assert intent == ("label", (), "abcdefghijklmno")
