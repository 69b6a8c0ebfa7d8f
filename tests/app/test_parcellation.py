"""Regions through the whole way: options, files, pages, group level, and nilearn's numbers."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker

from bids_spheres import open_results
from bids_spheres.engine import stream

NAME = "space-MNI152NLin2009cAsym_atlas-Mine_dseg.nii.gz"
PREFIX = "sub-01_task-rest_space-MNI152NLin2009cAsym_seg-"


@pytest.fixture
def atlas(tiny, tmp_path):
    bold = nib.load(tiny.add_run())
    labels = np.zeros(bold.shape[:3], np.int16)
    half = labels.shape[0] // 2
    labels[1:half, 2:-2, 2:-2], labels[half:-1, 2:-2, 2:-2] = 4, 9
    labels[0] = 12
    nib.Nifti1Image(labels, bold.affine).to_filename(tmp_path / NAME)
    names = "index\tname\tnetwork\n4\tleft\tA\n9\tright\tB\n12\tedge\tA\n"
    (tmp_path / NAME.replace(".nii.gz", ".tsv")).write_text(names)
    return tmp_path / NAME


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_parcellation_beside_spheres(run_app, tiny, atlas, seeds_file, tmp_path):
    output = tmp_path / "out"
    roi = ("--roi", atlas, "--seeds", seeds_file)
    done = run_app(
        *(tiny.root, output, "participant", "--parcellation", atlas, *roi, "--seed-maps"),
        *("--connectivity", "pearson", "--report-level", "participant"),
    )
    assert done.status == 0, done.err
    assert "Mine: 3 regions, 1 without a voxel in the mask (n/a)" in done.err
    folder = output / "sub-01" / "func"
    path = folder / f"{PREFIX}Mine_stat-mean_desc-raw_timeseries.tsv.gz"
    raw = pd.read_csv(path, sep="\t", header=None)
    bold = next(tiny.root.rglob("*bold.nii.gz"))
    mask = next(tiny.root.rglob("*mask.nii.gz"))
    masker = NiftiLabelsMasker(atlas, mask_img=mask, standardize=None, strategy="mean")
    np.testing.assert_allclose(raw.to_numpy()[:, :2], masker.fit_transform(bold)[:, :2], rtol=1e-6)
    table = pd.read_csv(folder / f"{PREFIX}Mine_desc-regions_dseg.tsv", sep="\t")
    labels = nib.load(atlas).get_fdata()
    assert table["name"].tolist() == ["left", "right", "edge"]
    assert table["voxels_asked"].tolist() == [np.sum(labels == value) for value in (4, 9, 12)]
    assert table["coverage"].tolist() == [1, 1, 0]
    assert {"radius", "seed_in_mask"}.isdisjoint(table.columns)
    size = abs(np.linalg.det(nib.load(atlas).affine[:3, :3]))
    np.testing.assert_allclose(table["volume"], table["voxels_asked"] * size, rtol=1e-3)
    sidecar = json.loads((folder / f"{PREFIX}Mine_desc-regions_dseg.json").read_text())
    assert sidecar["Parcellation"] == [NAME]
    assert "Radius" not in sidecar
    drawn = nib.load(folder / f"{PREFIX}Mine_desc-regions_dseg.nii.gz").get_fdata()
    np.testing.assert_array_equal(drawn, (labels == 4) + 2 * (labels == 9))
    assert (folder / f"{PREFIX}roi_desc-regions_dseg.tsv").exists()
    assert (folder / f"{PREFIX}mine_desc-spheres_dseg.tsv").exists()
    assert len(list(folder.glob("*seg-Mine_label-*boldmap.nii.gz"))) == 2
    page = (output / "sub-01.html").read_text()
    assert "3 regions of" in page
    assert "All regions" in page
    assert "All spheres" in page
    methods = next((output / "logs" / "methods").glob("*.md")).read_text()
    assert "The 3 regions of `" in methods
    (run,) = open_results(output)
    found = {seeds.label: seeds for seeds in run.seed_sets}
    spheres = found["Mine"].spheres
    assert spheres.names == ("left", "right", "edge")
    balls = 4 / 3 * np.pi * spheres.radii**3  # of the volumes of the regions
    np.testing.assert_allclose(balls, table["voxels_asked"] * size, rtol=1e-3)
    # Nothing to do in a second call, all of it when names change
    call = (tiny.root, output, "participant", "--parcellation", atlas, "--dry-run")
    assert "0 of 1 run to do" in run_app(*call).out
    done = run_app(tiny.root, output, "group", "--parcellation", atlas)
    assert done.status == 0, done.err
    coverage = pd.read_csv(
        output / "group" / "task-rest_space-MNI152NLin2009cAsym_seg-Mine_coverage.tsv", sep="\t"
    )
    assert coverage["name"].tolist() == ["left", "right", "edge"]


@pytest.fixture
def call(run_app, tiny, tmp_path):
    """Call the participant level without pages; the folder of the first participant."""

    def participant(*options):
        fixed = ("--report-level", "none", "--strategy", "none", "--connectivity", "pearson")
        done = run_app(tiny.root, tmp_path / "out", "participant", *fixed, *options)
        assert done.status == 0, done.err
        return tmp_path / "out" / "sub-01" / "func"

    return participant


def uncleaned(folder, label):
    path = folder / f"{PREFIX}{label}_stat-mean_desc-raw_timeseries.tsv.gz"
    return pd.read_csv(path, sep="\t", header=None).to_numpy()


@pytest.fixture
def maps(atlas, tmp_path):
    """Three maps that overlap, on a grid of their own."""
    affine = np.diag([3.1, 3.3, 3.5, 1])
    affine[:3, 3] = nib.load(atlas).affine[:3, 3] + 0.7
    ijk = np.stack(np.indices((14, 14, 11)), axis=-1)
    distance = ((ijk[..., None, :] - np.array([[4, 6, 5], [8, 6, 5], [6, 9, 6]])) ** 2).sum(axis=-1)
    values = (np.exp(-distance / 6) * (distance < 25)).astype(np.float32)
    path = tmp_path / "space-MNI152NLin2009cAsym_atlas-Maps_probseg.nii.gz"
    nib.Nifti1Image(values, affine).to_filename(path)
    return path


@pytest.mark.filterwarnings("ignore")
def test_two_parcellations_in_one_reading_of_the_image(call, tiny, atlas, maps, monkeypatch):
    (bold,), opened, original = tiny.root.rglob("*bold.nii.gz"), [], stream.open_gzip

    def spy(path):
        opened.append(path)
        return original(path)

    monkeypatch.setattr(stream, "open_gzip", spy)
    folder = call("--parcellation", atlas, maps)
    assert opened.count(bold) == 1
    (mask,) = tiny.root.rglob("*mask.nii.gz")
    for kind, path, label in (
        (NiftiLabelsMasker, atlas, "Mine"),
        (NiftiMapsMasker, maps, "Maps"),
    ):
        masker = kind(path, mask_img=mask, resampling_target="data", standardize=None)
        expected = masker.fit_transform(bold)
        kept = slice(2) if label == "Mine" else slice(3)  # one label is outside of the mask
        series = uncleaned(folder, label)
        np.testing.assert_allclose(series[:, kept], expected[:, kept], rtol=1e-6)


@pytest.mark.usefixtures("atlas")
def test_means_with_maps_as_weights(call, tiny, tmp_path):
    (bold,), (mask,) = tiny.root.rglob("*bold.nii.gz"), tiny.root.rglob("*mask.nii.gz")
    image, inside = nib.load(bold), nib.load(mask).get_fdata() > 0
    values = np.random.default_rng(3).random((*image.shape[:3], 4)).astype(np.float32)
    values[values < 0.6] = 0
    path = tmp_path / "space-MNI152NLin2009cAsym_atlas-Random_probseg.nii.gz"
    nib.Nifti1Image(values, image.affine).to_filename(path)
    folder = call("--parcellation", path, "--parcellation-weights", "mean")
    data = image.get_fdata()[inside]
    expected = [np.average(data, axis=0, weights=w) for w in values[inside].T]
    np.testing.assert_allclose(uncleaned(folder, "Random").T, expected, rtol=1e-6)


@pytest.mark.usefixtures("atlas")
def test_masks_on_grids_of_their_own(call, tiny, tmp_path):
    """A voxel is in a region where the nearest voxel of the mask is."""
    (bold,), (mask,) = tiny.root.rglob("*bold.nii.gz"), tiny.root.rglob("*mask.nii.gz")
    image, inside = nib.load(bold), nib.load(mask).get_fdata() > 0
    mm = np.indices(inside.shape).reshape(3, -1).T @ image.affine[:3, :3].T + image.affine[:3, 3]
    paths, expected = [], []
    for name, size in (("fine", [1.5, 1.6, 1.7]), ("coarse", [4.6, 4.7, 4.4])):
        affine = np.diag([*size, 1])
        affine[:3, 3] = image.affine[:3, 3] - 0.35
        shape = tuple((48 / np.array(size)).astype(int))
        ijk = np.stack(np.indices(shape), axis=-1) * size
        ball = np.linalg.norm(ijk - np.array([22, 20, 18]), axis=-1) <= 11
        paths.append(tmp_path / f"space-MNI152NLin2009cAsym_label-{name}_mask.nii.gz")
        nib.Nifti1Image(ball.astype(np.uint8), affine).to_filename(paths[-1])
        near = np.rint((mm - affine[:3, 3]) / size).astype(int)
        there = ((near >= 0) & (near < shape)).all(axis=1)
        own = np.zeros(len(mm), bool)
        own[there] = ball[tuple(near[there].T)]
        expected.append(image.get_fdata()[own.reshape(inside.shape) & inside].mean(axis=0))
    folder = call("--roi", *paths)
    np.testing.assert_allclose(uncleaned(folder, "roi").T, expected, rtol=1e-6)
    table = pd.read_csv(folder / f"{PREFIX}roi_desc-regions_dseg.tsv", sep="\t")
    assert [name.split("label-")[1] for name in table["name"]] == ["fine_mask", "coarse_mask"]


def without_trend(series):
    columns = np.column_stack([np.ones(len(series)), np.arange(len(series))])
    return series - columns @ np.linalg.lstsq(columns, series, rcond=None)[0]


def test_the_map_of_a_region_by_name(call, tiny, atlas):
    (bold,), (mask,) = tiny.root.rglob("*bold.nii.gz"), tiny.root.rglob("*mask.nii.gz")
    folder = call("--parcellation", atlas, "--seed-maps", "right")
    (path,) = folder.glob("*boldmap.nii.gz")
    assert "seg-Mine_label-right_stat-fisherz" in path.name
    inside, labels = nib.load(mask).get_fdata() > 0, nib.load(atlas).get_fdata()
    data = nib.load(bold).get_fdata()
    region = data[inside & (labels == 9)].mean(axis=0)
    voxels = without_trend(np.column_stack([region, data[inside].T]))
    expected = np.arctanh(np.corrcoef(voxels.T)[0, 1:])
    np.testing.assert_allclose(nib.load(path).get_fdata()[inside], expected, atol=1e-5)


def test_an_edge_of_the_group_matrix_of_regions(call, run_app, tiny, atlas, tmp_path):
    tiny.add_run("sub-02_task-rest", n_volumes=50)
    tiny.add_run("sub-03_task-rest", n_volumes=60)
    call("--parcellation", atlas)
    fixed = ("--report-level", "none", "--connectivity", "pearson")
    done = run_app(tiny.root, tmp_path / "out", "group", "--parcellation", atlas, *fixed)
    assert done.status == 0, done.err
    labels, z = nib.load(atlas).get_fdata(), []
    for bold in sorted(tiny.root.rglob("*bold.nii.gz")):
        mask = next(bold.parent.glob("*mask.nii.gz"))
        data, inside = nib.load(bold).get_fdata(), nib.load(mask).get_fdata() > 0
        pair = np.column_stack([data[inside & (labels == n)].mean(axis=0) for n in (4, 9)])
        z.append(np.arctanh(np.corrcoef(without_trend(pair).T)[0, 1]))
    (path,) = (tmp_path / "out" / "group").glob("*_seg-Mine_*_mean.tsv")
    matrix = pd.read_csv(path, sep="\t")
    assert list(matrix)[-3:] == ["left", "right", "edge"]
    assert matrix["right"][0] == pytest.approx(np.tanh(np.mean(z)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nothing_calls_regions_spheres(run_as_typed, tiny, atlas, tmp_path):
    output = tmp_path / "out"
    measures = ("--connectivity", "pearson", "partial", "--seed-maps")
    done = run_as_typed(tiny.root, output, "participant", "--parcellation", atlas, *measures)
    assert done.status == 0, done.err
    assert run_as_typed(tiny.root, output, "group", "--parcellation", atlas).status == 0
    for page in (output / "sub-01.html", output / "group.html"):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        for code in soup.find_all(["style", "script", "code", "pre"]):
            code.decompose()
        words = soup.get_text(" ")
        words += " ".join(str(tag["alt"]) for tag in soup.find_all(alt=True))
        ours = " ".join(re.sub("bids[-_]spheres", "", words).split())
        assert re.findall(r".{40}[Ss]phere.{40}", ours) == []
    # Options and files have the names that they have for seeds.
    soup.find(id="provenance").decompose()
    assert re.findall(r".{0,40}[Ss]eed.{0,40}", soup.get_text(" ")) == []
    assert "1 set of regions (Mine: 3 regions)" in soup.get_text(" ")


def test_regions_of_another_kind_of_space_are_refused(run_app, tiny, atlas, tmp_path):
    other = tmp_path / atlas.name.replace("MNI152NLin2009cAsym", "T1w")
    other.write_bytes(atlas.read_bytes())
    done = run_app(tiny.root, tmp_path / "out", "participant", "--parcellation", other)
    assert done.status != 0
    assert "The regions of Mine are in T1w space" in done.err + done.out


def test_a_missing_parcellation_is_one_message(run_app, tiny, tmp_path):
    tiny.add_run()
    done = run_app(tiny.root, tmp_path / "out", "participant", "--parcellation", "gone.nii.gz")
    assert done.status == 66
    assert "--parcellation: gone.nii.gz does not exist" in done.err
    done = run_app(tiny.root, tmp_path / "out", "participant", "--roi", "gone.nii.gz")
    assert "--roi: the image gone.nii.gz is missing" in done.err
