"""Tissues and lesions: which voxels of spheres and regions count, by hand."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

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
