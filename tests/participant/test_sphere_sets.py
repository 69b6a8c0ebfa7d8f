"""Tissues and lesions: which voxels of spheres and regions count, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.signal import detrend

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.app.planning import plan_jobs
from bids_spheres.engine import Grid, sphere_weights
from bids_spheres.engine.despike import despike
from bids_spheres.engine.regions import load_parcellation, row_weights
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.stream import open_volumes, read_mask
from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.participant import controls
from bids_spheres.participant.controls import placement_spread, shifts
from bids_spheres.participant.series import clean_columns, recording_voxels
from bids_spheres.participant.sphere_sets import (
    SphereSet,
    UsableVoxels,
    coverage_note,
    extract_spheres,
    open_spheres,
    sphere_warnings,
    usable_voxels,
)
from bids_spheres.settings.table import Processing
from tests.conftest import AFFINE
from tests.participant.test_series import run_design

PREFIX = "sub-01_task-rest_space-MNI152NLin2009cAsym_seg-"
MNI = "MNI152NLin2009cAsym"


@pytest.fixture
def study(tiny, tmp_path):
    """A run with tissues in its space, a mask of two regions, and what a call gives."""
    bold = nib.load(tiny.add_run())
    data, mask = bold.get_fdata(), nib.load(next(tiny.root.rglob("*mask.nii.gz"))).get_fdata() > 0
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([2, 1, 1], bold.shape[:3])
    shares[3, 3, 3] = 0.5, 0.25, 0.25  # just enough
    anat = tiny.root / "sub-01" / "anat"
    anat.mkdir()
    for i, tissue in enumerate(("GM", "WM", "CSF")):
        img = nib.Nifti1Image(shares[..., i].astype(np.float32), bold.affine)
        img.to_filename(anat / f"sub-01_space-{MNI}_res-2_label-{tissue}_probseg.nii.gz")
        other = nib.Nifti1Image(np.zeros(bold.shape[:3], np.float32), bold.affine)
        other.to_filename(anat / f"sub-01_label-{tissue}_probseg.nii.gz")
    labels = np.zeros(bold.shape[:3], np.int16)
    half = labels.shape[0] // 2
    labels[:half], labels[half:] = 1, 2
    atlas = tmp_path / f"space-{MNI}_atlas-Halves_dseg.nii.gz"
    nib.Nifti1Image(labels, bold.affine).to_filename(atlas)
    return tiny, data, mask, shares.astype(np.float32), labels, atlas


def series(folder, label="Halves"):
    path = folder / "sub-01" / "func" / f"{PREFIX}{label}_stat-mean_desc-raw_timeseries.tsv.gz"
    return pd.read_csv(path, sep="\t", header=None).to_numpy().T


def regions(folder):
    path = folder / "sub-01" / "func" / f"{PREFIX}Halves_desc-regions_dseg.tsv"
    return pd.read_csv(path, sep="\t"), json.loads(path.with_suffix(".json").read_text())


@pytest.fixture
def run(run_app, study, tmp_path):
    def call(*options, status=0):
        output = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        fixed = ("--parcellation", study[5], "--report-level", "none", "--min-coverage", "0")
        done = run_app(study[0].root, output, "participant", *fixed, *options)
        assert done.status == status, done.err
        return output if not status else done.err

    return call


@pytest.mark.parametrize(("rule", "least"), [("GM", 0.5), ("GM:0.3", 0.3), ("WM:0.4", 0.4)])
def test_voxels_of_a_tissue(run, study, rule, least):
    _, data, mask, shares, labels, _ = study
    tissue = shares[..., ("GM", "WM", "CSF").index(rule[:2])] >= least
    output = run("--tissue", rule)
    kept = [mask & tissue & (labels == i) for i in (1, 2)]
    np.testing.assert_allclose(series(output), [data[k].mean(axis=0) for k in kept], rtol=1e-6)
    table, sidecar = regions(output)
    assert table["voxels_used"].tolist() == [k.sum() for k in kept]
    asked = [np.sum(tissue & (labels == i)) for i in (1, 2)]
    assert table["voxels_asked"].tolist() == asked
    np.testing.assert_allclose(table["coverage"], np.divide([k.sum() for k in kept], asked))
    np.testing.assert_allclose(
        table["grey_matter"], [shares[..., 0][k].mean() for k in kept], rtol=1e-6
    )
    np.testing.assert_allclose(table["csf"], [shares[..., 2][k].mean() for k in kept], rtol=1e-6)
    assert sidecar["Tissue"] == rule
    assert "white_matter" in sidecar


def test_voxels_weighted_by_a_tissue(run, study):
    _, data, mask, shares, labels, _ = study
    output = run("--tissue", "GM:weight")
    for i, ours in enumerate(series(output), start=1):
        kept = mask & (labels == i)
        expected = np.average(data[kept], axis=0, weights=shares[..., 0][kept])
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    table, _ = regions(output)
    plain, _ = regions(run())
    np.testing.assert_allclose(table["coverage"], plain["coverage"])


@pytest.mark.parametrize("rule", ["GM:0.3", "GM:weight"])
def test_voxels_of_a_tissue_in_spheres(run, study, seeds_file, rule):
    _, data, mask, shares, _, atlas = study
    output = run("--seeds", seeds_file, "--radius", "10", "--tissue", rule)
    affine = nib.load(atlas).affine
    mm = np.indices(mask.shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    path = output / "sub-01" / "func" / f"{PREFIX}mine_desc-spheres_dseg.tsv"
    spheres = pd.read_csv(path, sep="\t")
    for i, seed in enumerate([(-10, 0, 0), (10, 0, 0), (0, 10, 4)]):
        ball = (np.linalg.norm(mm - np.array(seed), axis=1) <= 10).reshape(mask.shape)
        tissue = shares[..., 0] >= 0.3 if rule == "GM:0.3" else np.ones(mask.shape, bool)
        kept = ball & mask & tissue
        weights = shares[..., 0][kept] if rule == "GM:weight" else None
        expected = np.average(data[kept], axis=0, weights=weights)
        np.testing.assert_allclose(series(output, "mine")[i], expected, rtol=1e-6)
        assert spheres["voxels_used"][i] == kept.sum()
        assert spheres["coverage"][i] == pytest.approx(kept.sum() / (ball & tissue).sum())


@pytest.fixture
def maps(study, tmp_path):
    """Two overlapping maps of probabilities, and their image."""
    grid = np.stack(np.indices(study[4].shape), axis=-1)
    centres = np.array([[4, 5, 4], [7, 6, 5]])
    distance = ((grid[..., None, :] - centres) ** 2).sum(axis=-1)
    values = (np.exp(-distance / 8) * (distance < 40)).astype(np.float32)
    path = tmp_path / f"space-{MNI}_atlas-Maps_probseg.nii.gz"
    nib.Nifti1Image(values, nib.load(study[5]).affine).to_filename(path)
    return values, path


@pytest.mark.parametrize("weighting", ["least-squares", "mean"])
def test_voxels_of_a_tissue_in_maps(run, study, maps, weighting):
    _, data, mask, shares, *_ = study
    values, path = maps
    output = run(
        *("--parcellation", study[5], path, "--parcellation-weights", weighting),
        *("--tissue", "GM:0.3"),
    )
    tissue = shares[..., 0] >= 0.3
    kept = mask & tissue
    expected = np.linalg.lstsq(values[kept].astype(float), data[kept], rcond=None)[0]
    if weighting == "mean":
        expected = [np.average(data[kept], axis=0, weights=w) for w in values[kept].T]
    np.testing.assert_allclose(series(output, "Maps"), expected, rtol=1e-5)
    table = pd.read_csv(
        output / "sub-01" / "func" / f"{PREFIX}Maps_desc-regions_dseg.tsv", sep="\t"
    )
    of_tissue = values[tissue].sum(axis=0)
    np.testing.assert_allclose(table["coverage"], values[kept].sum(axis=0) / of_tissue, rtol=1e-5)


def test_maps_are_weighted_by_a_tissue_in_means_alone(run, study, maps):
    _, data, mask, shares, *_ = study
    values, path = maps
    fixed = ("--parcellation", path, "--tissue", "GM:weight", "--parcellation-weights")
    output = run(*fixed, "mean")
    weights = values[mask] * shares[..., 0][mask][:, None]
    expected = [np.average(data[mask], axis=0, weights=w) for w in weights.T]
    np.testing.assert_allclose(series(output, "Maps"), expected, rtol=1e-6)
    table = pd.read_csv(
        output / "sub-01" / "func" / f"{PREFIX}Maps_desc-regions_dseg.tsv", sep="\t"
    )
    whole = values[mask].sum(axis=0) / values.sum(axis=(0, 1, 2))
    np.testing.assert_allclose(table["coverage"], whole, rtol=1e-5)
    said = run(*fixed, "least-squares", status=1)
    assert "voxels of maps can't be weighted twice" in said


def test_a_lesion_mask_on_a_finer_grid(run, study, tmp_path):
    """A voxel is left out where the voxel of the lesion's image nearest to its centre is in it."""
    _, data, mask, _, labels, atlas = study
    affine = nib.load(atlas).affine
    fine = np.diag([1.5, 1.6, 1.7, 1])
    fine[:3, 3] = affine[:3, 3] - 0.3
    lesion = np.zeros((30, 30, 26), np.uint8)
    lesion[7:16, 9:17, 8:15] = 1
    path = tmp_path / f"space-{MNI}_label-lesion_mask.nii.gz"
    nib.Nifti1Image(lesion, fine).to_filename(path)
    output = run("--exclude-mask", path)
    mm = np.indices(mask.shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    near = np.rint((mm - fine[:3, 3]) / np.diag(fine)[:3]).astype(int)
    there = ((near >= 0) & (near < lesion.shape)).all(axis=1)
    hit = np.zeros(len(mm), bool)
    hit[there] = lesion[tuple(near[there].T)] > 0
    hit = hit.reshape(mask.shape)
    assert 10 < (hit & mask).sum() < mask.sum() / 2
    kept = [mask & ~hit & (labels == i) for i in (1, 2)]
    np.testing.assert_allclose(series(output), [data[k].mean(axis=0) for k in kept], rtol=1e-6)


def test_shares_of_tissues_are_there_without_the_option_and_for_spheres(run, study, seeds_file):
    _, _, mask, shares, labels, _ = study
    output = run("--seeds", seeds_file)
    table, _ = regions(output)
    kept = [mask & (labels == i) for i in (1, 2)]
    np.testing.assert_allclose(
        table["white_matter"], [shares[..., 1][k].mean() for k in kept], rtol=1e-6
    )
    path = output / "sub-01" / "func" / f"{PREFIX}mine_desc-spheres_dseg.tsv"
    spheres = pd.read_csv(path, sep="\t")
    total = spheres[["grey_matter", "white_matter", "csf"]].sum(axis=1)
    np.testing.assert_allclose(total[:3], 1, rtol=1e-5)
    assert spheres["grey_matter"].isna().tolist() == [False, False, False, True]


def test_a_segmentation_takes_the_place_of_probabilities(run, study):
    tiny, data, mask, shares, labels, atlas = study
    for path in (tiny.root / "sub-01" / "anat").glob("*"):
        path.unlink()
    most = shares.argmax(axis=-1) + 1
    img = nib.Nifti1Image(most.astype(np.uint8), nib.load(atlas).affine)
    img.to_filename(tiny.root / "sub-01" / "anat" / f"sub-01_space-{MNI}_dseg.nii.gz")
    kept = [mask & (most == 1) & (labels == i) for i in (1, 2)]
    expected = [data[k].mean(axis=0) for k in kept]
    output = run("--tissue", "GM")
    np.testing.assert_allclose(series(output), expected, rtol=1e-6)
    table, _ = regions(run())
    for number, column in enumerate(("grey_matter", "white_matter", "csf"), start=1):
        parts = [(most == number)[mask & (labels == i)].mean() for i in (1, 2)]
        np.testing.assert_allclose(table[column], parts, rtol=1e-6)


def test_a_tissue_without_an_image_is_an_error(run, study):
    for path in (study[0].root / "sub-01" / "anat").glob(f"*{MNI}*"):
        path.unlink()
    assert f"no image of GM in {MNI}" in run("--tissue", "GM", status=1)
    assert "grey_matter" not in regions(run())[0]


@pytest.mark.parametrize("folder", [False, True])
def test_voxels_of_lesions_are_left_out(run, study, tmp_path, folder):
    _, data, mask, _, labels, atlas = study
    lesion = np.zeros(labels.shape, np.uint8)
    lesion[2, 3:6, 2:5] = 1
    place = tmp_path / "lesions" / "sub-01" / "anat"
    place.mkdir(parents=True)
    path = place / f"sub-01_space-{MNI}_label-lesion_mask.nii.gz"
    nib.Nifti1Image(lesion, nib.load(atlas).affine).to_filename(path)
    for other in (f"sub-02_space-{MNI}_mask.nii.gz", "sub-01_space-T1w_mask.nii.gz"):
        whole = nib.Nifti1Image(np.ones(labels.shape, np.uint8), nib.load(atlas).affine)
        whole.to_filename(place / other)
    output = run("--exclude-mask", tmp_path / "lesions" if folder else path)
    kept = [mask & (lesion == 0) & (labels == i) for i in (1, 2)]
    np.testing.assert_allclose(series(output), [data[k].mean(axis=0) for k in kept], rtol=1e-6)
    table, sidecar = regions(output)
    asked = [np.sum(labels == i) for i in (1, 2)]
    np.testing.assert_allclose(table["coverage"], np.divide([k.sum() for k in kept], asked))
    assert sidecar["ExcludeMask"].endswith("lesions" if folder else path.name)


def test_lesions_that_change_are_seen(run_app, study, tmp_path):
    tiny, *_, atlas = study
    fixed = (tiny.root, tmp_path / "o", "participant", "--parcellation", atlas)
    fixed = (*fixed, "--report-level", "none", "--exclude-mask", tmp_path / "lesions")
    (tmp_path / "lesions").mkdir()
    assert "No mask of --exclude-mask belongs to this run" in run_app(*fixed).err
    assert "0 of 1 run to do" in run_app(*fixed, "--dry-run").out
    values = np.zeros(nib.load(atlas).shape, np.uint8)
    values[2, 3, 3] = 1
    img = nib.Nifti1Image(values, nib.load(atlas).affine)
    img.to_filename(tmp_path / "lesions" / f"sub-01_space-{MNI}_mask.nii.gz")
    assert "1 of 1 run to do" in run_app(*fixed, "--dry-run").out


def test_what_can_not_be_asked_for(run, study, tmp_path):
    for rule in ("bone", "GM:2", "GM:x"):
        assert "is no tissue" in run("--tissue", rule, status=2)
    assert "gone is missing" in run("--exclude-mask", "gone", status=66)
    other = tmp_path / "space-T1w_mask.nii.gz"
    nib.Nifti1Image(np.ones(study[4].shape, np.uint8), np.eye(4)).to_filename(other)
    assert "is in T1w space" in run("--exclude-mask", other, status=2)


# What is told of spheres


def sphere_set(**changes):
    """Spheres of 5 mm on a grid of 4 mm: whole, at the mask's edge, in part outside, outside."""
    grid = Grid((12, 12, 10), AFFINE)
    inside = np.zeros(grid.shape, dtype=bool)
    inside[1:-1, 1:-1, 1:-1] = True
    centres = np.array([[-2.0, -2, -2], [-18, 0, 0], [-22, 0, 0], [90, 0, 0]])
    radii = np.array([5.0, 5, 5, 5])
    seeds = SeedTable("mine", ("a", "b", "c", "d"), centres, radii)
    weights = sphere_weights(centres, radii, grid, inside)
    fields = {"seeds": seeds, "weights": weights, "columns": slice(0, 4), "min_coverage": 0.5}
    return SphereSet(**fields | {"sidecar": {"SpatialReference": "T1w"}} | changes)


def test_spheres_that_lack_voxels_are_counted():
    spheres = sphere_set()
    weights = spheres.weights
    outside, partial, empty = (
        (~weights.seed_used).sum(),
        weights.partial.sum(),
        weights.empty.sum(),
    )
    assert (weights.used > 0).sum() == 4 - empty
    assert coverage_note(spheres) == (
        f"mine: 4 spheres, {outside} with their seed outside the mask, "
        f"{partial} partly outside the mask, {empty} without a voxel in the mask (n/a)"
        + ", 1 with a coverage below 0.5 (n/a)"
        * int((spheres.missing & ~weights.empty).sum())
    )
    covered = replace(spheres, extra={"coverage": np.array([1, 0.4999, 0.3, 0])})
    assert ", 2 with a coverage below 0.5 (n/a)" in coverage_note(covered)
    assert covered.missing.tolist() == [False, True, True, True]
    enough = replace(spheres, extra={"coverage": np.array([1, 0.5, 0.5, 0])})
    assert enough.missing.tolist() == [False, False, False, True]
    none = replace(enough, min_coverage=0.0, extra={"coverage": np.array([1, 0, 0.01, 0])})
    assert none.missing.tolist() == [False, True, False, True]
    free = {"Mask": "none", "Tissue": None, "ExcludeMask": None}
    assert f", {partial} partly outside the image, " in coverage_note(
        replace(spheres, sidecar=free)
    )
    for limited in ({"Tissue": "GM:0.5"}, {"ExcludeMask": "a/b"}, {"Mask": "run"}):
        note = coverage_note(replace(spheres, sidecar=free | limited))
        assert f", {partial} partly outside the mask, " in note
    nearest = replace(spheres, sidecar={"Overlap": "nearest"})
    assert f", {outside} with their seed outside the mask or in a nearer sphere, " in (
        coverage_note(nearest)
    )
    despiked = replace(spheres, sidecar={"DespikedShare": 0.01234})
    assert coverage_note(despiked).endswith(", 1.23% of their voxels' values despiked")
    region = replace(spheres, seeds=replace(spheres.seeds, regions=object()))
    assert coverage_note(region).startswith("mine: 4 regions, ")


def test_warnings_of_spheres_without_a_signal():
    bold, spheres = Path("a/b.nii"), sphere_set()
    assert list(sphere_warnings(spheres, bold)) == []
    (told,) = sphere_warnings(replace(spheres, extra={"coverage": np.zeros(4)}), bold)
    assert told.startswith("mine: no sphere has a signal, and all outputs are n/a. Is a/b.nii")
    low = {"coverage": np.array([0.4, 0.1, 0, 0.2])}
    (told,) = sphere_warnings(replace(spheres, extra=low), bold)
    assert told.startswith("mine: the largest coverage of a sphere is 0.4, below the 0.5 of ")
    assert "--min-coverage, and all outputs are n/a" in told
    far = sphere_weights(np.full((4, 3), 90.0), spheres.seeds.radii, spheres.weights.grid)
    (told,) = sphere_warnings(replace(spheres, weights=far), bold)
    assert told.startswith("mine: no sphere has a voxel in image and mask, and all outputs are n/a")
    assert "in the space T1w" in told
    for number, verb in ((1, "holds"), (3, "hold")):
        (told,) = sphere_warnings(replace(spheres, reduced=number), bold)
        assert told.startswith(f"mine: {number} of 4 spheres {verb} voxels that are constant or")
        assert "not finite in b.nii; " in told


def test_spikes_are_told_of_spheres_that_have_voxels():
    spheres, zero = sphere_set(columns=slice(1, 5)), np.zeros(6)
    extraction = SimpleNamespace(
        moments=SimpleNamespace(coverage=lambda _: zero, tsnr=lambda _: zero),
        weights=None,
        timeseries=np.zeros((2, 6)),
        spikes=np.array([9, 0.25, np.nan, 0.5, 0, 9]),
        reduced=np.array([9, 1, 0, 2, 0, 9]),
    )
    found = spheres.with_signal_of(extraction)
    assert found.sidecar["DespikedShare"] == 0.25
    assert found.reduced == 3
    assert "DespikedShare" not in spheres.sidecar
    extraction.spikes[:] = np.nan
    assert spheres.with_signal_of(extraction).sidecar["DespikedShare"] is None


def test_weights_of_a_tissue_leave_the_coverage_where_there_is_some():
    spheres = sphere_set()
    weights, seeds = spheres.weights, spheres.seeds
    share = np.random.default_rng(2).uniform(0.1, 1, (12, 12, 10))
    first = weights.core[[0]].indices
    share[tuple(weights.grid.unflat(weights.voxels[first]).T)] = 0
    found = UsableVoxels(None, None, weight=share).of_tissue(weights, seeds)
    expected = weights.coverage.copy()
    assert expected[0] == 1
    expected[0] = 0
    np.testing.assert_allclose(found.coverage, expected)


@pytest.mark.parametrize("weighting", ["mean", "least-squares"])
def test_maps_whose_weights_cancel_are_named_and_have_no_mean(tmp_path, weighting):
    """Over the voxels with a signal: the first has none."""
    data = np.random.default_rng(0).normal(100, 5, (3, 2, 2, 20))
    data[0, 0, 0] = 100
    nib.Nifti1Image(data, AFFINE).to_filename(tmp_path / "bold.nii")
    maps = np.random.default_rng(1).uniform(0.1, 0.2, (3, 2, 2, 5))
    maps[0, 0, 0] = 0.1
    maps[..., 1], maps[1, 0, 0, 1], maps[2, 1, 1, 1] = 0, 2, -2
    maps[..., 2] *= -1
    maps[1, 1, 1, 2] = 0.3
    maps[1, 1, 1, 3] *= -1
    maps[..., 4] = -0.1
    maps[0, 0, 0, 4] = 1.5
    nib.Nifti1Image(maps, AFFINE).to_filename(tmp_path / "a.nii")
    (tmp_path / "a.tsv").write_text("index\tname\n0\tA\n1\tB\n2\tC\n3\tD\n4\tE\n")
    table, _ = load_parcellation(tmp_path / "a.nii", "mine", MNI, weighting)
    volumes = open_volumes(tmp_path / "bold.nii")
    spheres = SphereSet(table, row_weights(table, volumes.grid), slice(0, 5), 0.4, {})
    extraction, (found,) = extract_spheres(volumes, [spheres], Processing(), 1)
    first = next(sphere_warnings(found, Path("x/bold.nii")))
    if weighting == "least-squares":
        assert (np.isfinite(extraction.timeseries).all(), found.missing.any()) == (True, False)
        assert "sum to" not in first
        return
    assert first.startswith("mine: the weights of B, C and E sum to 0 or less over the voxels used")
    assert first.endswith("For maps of both signs use --parcellation-weights least-squares.")
    assert found.missing.tolist() == [False, True, True, False, True]
    assert "coverage below" not in coverage_note(found)
    usable = np.arange(1, 12)
    for map_number in (0, 3):
        weights = maps.reshape(12, 5)[usable, map_number]
        expected = np.average(data.reshape(12, 20)[usable], axis=0, weights=weights)
        np.testing.assert_allclose(extraction.timeseries[:, map_number], expected, rtol=1e-9)
    # Where no map has a mean, that alone is said.
    none = replace(found, cancelled=table.names)
    assert len([text for text in sphere_warnings(none, Path("b.nii")) if "n/a" in text]) == 1


@pytest.fixture
def image(tmp_path):
    """A preprocessed image, and one of grey matter in its space, in a dataset."""
    anat, func = tmp_path / "sub-01" / "anat", tmp_path / "sub-01" / "func"
    for folder in (anat, func):
        folder.mkdir(parents=True)
    share = np.linspace(0, 1, 24).reshape(2, 3, 4).astype(np.float32)
    share[0, 0, 1] = 0.5
    nib.Nifti1Image(share, np.eye(4)).to_filename(
        anat / "sub-01_space-MNI305_label-GM_probseg.nii.gz"
    )
    bold = func / "sub-01_task-x_space-MNI305_desc-preproc_bold.nii.gz"
    run = Run(
        parse_name("sub-01_task-x_space-MNI305_bold.nii.gz"), (("preproc", bold),), None, Tables()
    )
    return run, bold, share


def usable(image, mask=None, **rules):
    run, bold, share = image
    return usable_voxels(run, bold, Grid(share.shape, np.eye(4)), mask, Processing(**rules))


def test_voxels_of_at_least_half_or_a_given_share_of_a_tissue(image):
    share = image[2]
    for rule, least in (("GM", 0.5), ("GM:0.25", 0.25)):
        found = usable(image, tissue=rule)
        np.testing.assert_array_equal(found.tissue, share >= np.float32(least))
        np.testing.assert_array_equal(found.inside, share >= np.float32(least))
        assert found.weight is None
    weighted = usable(image, tissue="GM:weight")
    np.testing.assert_allclose(weighted.weight, share, atol=1e-7)
    assert (weighted.tissue, weighted.inside) == (None, None)
    plain = usable(image)
    assert (plain.inside, plain.tissue, plain.weight, plain.notes) == (None, None, None, ())
    assert set(plain.tissues) == {"GM"}
    with pytest.raises(MissingInputError, match="no image of CSF in MNI305 belongs to sub-01_task"):
        usable(image, tissue="CSF")


def test_voxels_of_lesions_are_counted_among_those_that_are_left(image, tmp_path):
    lesion, share = np.zeros((2, 3, 4), np.uint8), image[2]
    lesion[0], lesion[1, 2, 3] = 1, 1
    path = tmp_path / "lesion.nii.gz"
    nib.Nifti1Image(lesion, np.eye(4)).to_filename(path)
    found = usable(image, tissue="GM", exclude_mask=str(path))
    np.testing.assert_array_equal(found.inside, (share >= 0.5) & (lesion == 0))
    number = int(((share >= 0.5) & (lesion > 0)).sum())
    assert found.notes == (f"{number} voxels of lesion.nii.gz excluded.",)
    (tmp_path / "folder").mkdir()
    none = usable(image, exclude_mask=str(tmp_path / "folder"))
    assert none.notes == ("No mask of --exclude-mask belongs to this run.",)
    nib.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.eye(4)).to_filename(path)
    with pytest.raises(
        DataError, match="--tissue and --exclude-mask leave no voxel of sub-01_task"
    ):
        usable(image, exclude_mask=str(path))
    with pytest.raises(MissingInputError, match=r"--exclude-mask: .*none.nii is missing"):
        usable(image, exclude_mask=str(tmp_path / "none.nii"))
    other = path.rename(tmp_path / "sub-01_space-T1w_mask.nii.gz")
    with pytest.raises(UsageError, match="is in T1w space, and the images are in MNI305"):
        usable(image, exclude_mask=str(other))


def test_masks_of_several_lesions_and_of_the_brain_on_grids_of_their_own(image, tmp_path):
    share = image[2]
    brain, lesion = np.ones((3, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)
    brain[0], brain[1, 2, 3], brain[2, 0, 0] = 0, 0, 0
    lesion[:, 1] = 1
    second = np.zeros((3, 3, 4), np.uint8)
    second[2, :, 2:], second[0] = 1, 1
    moved = np.eye(4)
    moved[0, 3] = -1  # its second voxel is the image's first
    folder = tmp_path / "lesions"
    folder.mkdir()
    paths = [folder / f"sub-01_space-MNI305_label-{x}_mask.nii.gz" for x in "ab"]
    for values, affine, path in (
        (brain, moved, tmp_path / "brain.nii"),
        (lesion, np.eye(4), paths[0]),
        (second, moved, paths[1]),
    ):
        nib.Nifti1Image(values, affine).to_filename(path)
    mask = read_mask(tmp_path / "brain.nii")
    plain = usable(image, mask)
    assert plain.inside is mask.inside
    np.testing.assert_array_equal(plain.grid.affine, moved)
    found = usable(image, mask, tissue="GM:0.3", exclude_mask=str(folder))
    first, last = lesion > 0, second[1:] > 0
    left = (brain[1:] > 0) & (share >= np.float32(0.3))
    assert found.notes == (
        f"{(left & first).sum()} voxels of {paths[0].name} excluded.",
        f"{(left & ~first & last).sum()} voxels of {paths[1].name} excluded.",
    )
    assert (left & first & last).any()
    np.testing.assert_array_equal(found.inside, left & ~first & ~last)
    np.testing.assert_array_equal(found.grid.affine, np.eye(4))
    np.testing.assert_array_equal(mask.inside, brain > 0)


# Two sets of unequal sizes

SETS = {
    "mine": [(-10.0, 0, 0, 5), (-2, 10, 4, 4), (2, -12, -6, 6)],
    "other": [(10.0, -2, -2, 6.5), (-6, 6, 6, 4.5)],
}
CONSTANT = (8, 5, 4)  # a voxel of the first sphere of the second set


def of_set(name):
    rows = np.array(SETS[name], dtype=float)
    return rows[:, :3], rows[:, 3]


@pytest.fixture
def opened(tiny, tmp_path):
    """Spheres of both sets on the image of a run by options, and data and mask of the image."""
    bold = tiny.add_run()
    img = nib.load(bold)
    data = img.get_fdata(dtype=np.float32)
    data[:, 4:7, :, 20] += 150
    data[CONSTANT] = 7
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    fluid = np.zeros(data.shape[:3], np.float32)
    fluid[2:5, 2:5, 7:9], fluid[7:10, 8:10, 6:9] = 1, 0.95
    anat = tiny.root / "sub-01" / "anat"
    anat.mkdir()
    share = nib.Nifti1Image(fluid, img.affine)
    share.to_filename(anat / f"sub-01_space-{MNI}_label-CSF_probseg.nii.gz")
    inside = nib.load(next(tiny.root.rglob("*brain_mask.nii.gz"))).get_fdata() > 0
    for name, rows in SETS.items():
        lines = "".join(f"s{i}\t{x}\t{y}\t{z}\t{r}\n" for i, (x, y, z, r) in enumerate(rows))
        (tmp_path / f"{name}.tsv").write_text("name\tx\ty\tz\tradius\n" + lines)

    def call(*options):
        words = [tiny.root, tmp_path / "out", "participant", "--strategy", "none"]
        words += ["--seeds", *(tmp_path / f"{name}.tsv" for name in SETS), *options]
        settings = settings_of(main_parser().parse_args([str(word) for word in words]))
        (job,) = plan_jobs(settings)[1]
        return open_spheres(job, bold, job.placements), job.work.processing

    return call, data.astype(float), inside


def balls(points, radii, shape):
    """Voxels of spheres, (S, X, Y, Z), and how far they are from the centres, mm."""
    mm = np.moveaxis(np.indices(shape), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    far = np.linalg.norm(mm - np.asarray(points)[:, None, None, None], axis=-1)
    return far <= np.asarray(radii)[:, None, None, None] + 1e-6, far


def test_series_and_controls_of_each_of_two_sets(opened):
    call, data, inside = opened
    found, rules = call("--controls", "--min-coverage", "0")
    columns = [(len(spheres.seeds), spheres.columns) for spheres in found.sphere_sets]
    for spheres in found.sphere_sets:
        assert [own.seeds.label for own in spheres.controls] == ["mirrored", "fluid"]
        columns += [(len(own.seeds), own.columns) for own in spheres.controls]
    stops = np.cumsum([number for number, _ in columns]).tolist()
    starts = [0, *stops[:-1]]
    assert [own for _, own in columns] == list(map(slice, starts, stops))
    extraction, sets = extract_spheres(found.volumes, found.sphere_sets, rules, 1)
    assert extraction.timeseries.shape == (40, stops[-1])
    alive = inside.copy()
    alive[CONSTANT] = False
    tsnr = data.mean(axis=-1) / np.maximum(data.std(axis=-1, ddof=1), 1e-9)
    for spheres, name, reduced in zip(sets, SETS, (0, 1), strict=True):
        points, radii = of_set(name)
        whole, _ = balls(points, radii, inside.shape)
        used = whole & alive
        expected = np.array([data[own].mean(axis=0) for own in used]).T
        np.testing.assert_allclose(extraction.timeseries[:, spheres.columns], expected, rtol=1e-6)
        shares = used.sum(axis=(1, 2, 3)) / whole.sum(axis=(1, 2, 3))
        np.testing.assert_allclose(spheres.extra["coverage"], shares)
        np.testing.assert_allclose(
            spheres.extra["tsnr"], [tsnr[own].mean() for own in used], rtol=1e-5
        )
        assert spheres.reduced == reduced
        mirrored = next(own for own in spheres.controls if own.seeds.label == "mirrored")
        used = balls(points * [-1, 1, 1], radii, inside.shape)[0] & alive
        expected = np.array([data[own].mean(axis=0) for own in used]).T
        np.testing.assert_allclose(extraction.timeseries[:, mirrored.columns], expected, rtol=1e-6)


def test_medians_of_each_of_two_sets_are_of_its_cleaned_voxels(opened):
    call, data, inside = opened
    found, rules = call("--aggregation", "median", "--min-coverage", "0")
    extraction, sets = extract_spheres(found.volumes, found.sphere_sets, rules, 1)
    design = run_design(np.ones(40, bool), aggregation="median", standardize=False)
    alive = inside.copy()
    alive[CONSTANT] = False
    for spheres, name in zip(sets, SETS, strict=True):
        used = balls(*of_set(name), inside.shape)[0] & alive
        expected = np.array([np.median(detrend(data[own]), axis=0) for own in used]).T
        cleaned = clean_columns(extraction, spheres.columns, design)
        np.testing.assert_allclose(cleaned, expected, rtol=1e-4, atol=1e-3)


def test_spikes_are_counted_in_each_of_two_sets(opened):
    call, data, inside = opened
    found, rules = call("--despike", "--controls", "--min-coverage", "0")
    _, sets = extract_spheres(found.volumes, found.sphere_sets, rules, 1)
    alive = inside.copy()
    alive[CONSTANT] = False
    shares = []
    for spheres, name in zip(sets, SETS, strict=True):
        used = balls(*of_set(name), inside.shape)[0] & alive
        own = [despike(data[voxels].T)[1].mean() for voxels in used]
        np.testing.assert_allclose(spheres.extra["despiked"], own)
        assert spheres.sidecar["DespikedShare"] == pytest.approx(np.mean(own))
        shares.append(np.mean(own))
    assert shares[0] != pytest.approx(shares[1])


@pytest.mark.parametrize("overlap", ["nearest", "allow"])
def test_shifted_spheres_share_voxels_by_the_rule_of_the_call(opened, overlap):
    call, _, inside = opened
    found, _ = call("--placement-jitter", "4:5", "--overlap", overlap, "--radius", "9")
    for spheres, name in zip(found.sphere_sets, SETS, strict=True):
        points, _ = of_set(name)
        assert len(spheres.shifted) == 5
        for moved, weights in zip(shifts(4, 5, len(points)), spheres.shifted, strict=True):
            own, far = balls(points + moved, np.full(len(points), 9), inside.shape)
            nearest = np.where(own, far, np.inf).argmin(axis=0)
            if overlap == "nearest":
                own &= nearest == np.arange(len(points))[:, None, None, None]
            assert weights.used.tolist() == (own & inside).sum(axis=(1, 2, 3)).tolist()
    shared = sum(w.overlaps.sum() for s in found.sphere_sets for w in s.shifted)
    assert (shared > 0) == (overlap == "allow")


@pytest.mark.parametrize("held", [0, 2**27], ids=["anew", "held"])
@pytest.mark.parametrize(
    "options", [(), ("--despike",), ("--seed-maps",)], ids=["mean", "despiked", "with maps"]
)
def test_series_of_placements_stay_what_they_are_for_the_next_strategy(
    opened, tmp_path, monkeypatch, options, held
):
    """Two placements at a time, of five, so that the last block has one."""
    call, data, inside = opened
    found, rules = call("--placement-jitter", "3:5", *options, "--min-coverage", "0")
    (tmp_path / "work").mkdir()
    shifted = [weights for spheres in found.sphere_sets for weights in spheres.shifted]
    recording = recording_voxels(found.volumes, found.mask, tmp_path / "work", rules, shifted)
    monkeypatch.setattr(controls, "MOST_HELD", held)
    alive = inside.copy()
    alive[CONSTANT] = False

    def mean(voxels):
        values = data[voxels].T
        return (despike(values)[0] if "--despike" in options else values).mean(axis=1)

    with recording as source:
        _, sets = extract_spheres(source, found.sphere_sets, rules, 1)
        for spheres in sets:
            spheres.placed._step = 2
            placement_spread(spheres.placed, run_design(np.ones(40, bool)))
        again = [[series for series, _ in spheres.placed] for spheres in sets]
    for found_series, name in zip(again, SETS, strict=True):
        points, radii = of_set(name)
        assert len(found_series) == 5
        for moved, series in zip(shifts(3, 5, len(points)), found_series, strict=True):
            used = balls(points + moved, radii, inside.shape)[0] & alive
            expected = np.array([mean(voxels) for voxels in used]).T
            np.testing.assert_allclose(series, expected, rtol=1e-6)


@pytest.mark.parametrize("overlap", ["nearest", "error"])
def test_maps_that_overlap_keep_their_voxels_whatever_the_rule_for_spheres(
    run, study, maps, overlap
):
    _, data, mask, *_ = study
    values, path = maps
    assert (values[mask] > 0.1).all(axis=1).sum() > 10
    output = run("--parcellation", study[5], path, "--overlap", overlap, "--strategy", "none")
    expected = np.linalg.lstsq(values[mask].astype(float), data[mask], rcond=None)[0]
    np.testing.assert_allclose(series(output, "Maps"), expected, rtol=1e-5)
