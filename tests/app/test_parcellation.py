"""Regions through the whole way: options, files, pages, group level, and nilearn's numbers."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nilearn.maskers import NiftiLabelsMasker

from bids_spheres import open_results

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


@pytest.mark.filterwarnings("ignore")
def test_a_parcellation_beside_spheres(run_app, tiny, atlas, seeds_file, tmp_path):
    output = tmp_path / "out"
    roi = ("--roi", atlas, "--seeds", seeds_file)
    done = run_app(
        *(tiny.root, output, "participant", "--parcellation", atlas, *roi, "--seed-maps"),
        *("--connectivity", "pearson"),
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
    (run,) = open_results(output).runs
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nothing_calls_regions_spheres(run_app, tiny, atlas, tmp_path):
    output = tmp_path / "out"
    measures = ("--connectivity", "pearson", "partial", "--seed-maps")
    done = run_app(tiny.root, output, "participant", "--parcellation", atlas, *measures)
    assert done.status == 0, done.err
    assert run_app(tiny.root, output, "group", "--parcellation", atlas).status == 0
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
