"""Seed-to-voxel maps from the command line."""

from __future__ import annotations

import json
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiMasker, NiftiSpheresMasker
from scipy import signal

from bids_spheres.engine import stream


def call(run_app, tiny, seeds_file, tmp_path, *arguments):
    out = tmp_path / "out"
    done = run_app(tiny.root, out, "participant", "--seeds", seeds_file, *arguments)
    assert done.status == 0, done.err
    return done, out / "sub-01" / "func"


@pytest.mark.parametrize("fwhm", [None, 6])
def test_maps_are_those_of_nilearns_example(run_app, tiny, seeds_file, tmp_path, fwhm):
    """Maskers for seeds and brain, and their dot product, as in nilearn's seed-to-voxel example."""
    bold = tiny.add_run()
    smoothing = ["--smoothing-fwhm", fwhm] if fwhm else []
    _, func = call(
        run_app, tiny, seeds_file, tmp_path, "--strategy", "24P", "--seed-maps", *smoothing
    )
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    confounds = pd.read_csv(table, sep="\t").filter(regex="^(trans|rot)_|^cosine").bfill()
    # In double precision: nilearn smooths in that of the image
    img = nib.Nifti1Image(nib.load(bold).get_fdata(), nib.load(bold).affine)
    common = {
        "detrend": True,
        "standardize": "zscore_sample",
        "t_r": 2.0,
        "smoothing_fwhm": fwhm,
        "mask_img": str(mask),
    }
    seeds = [(-10, 0, 0), (10, 0, 0), (0, 10, 4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spheres = NiftiSpheresMasker(seeds, radius=5, allow_overlap=True, **common)
        of_seeds = spheres.fit_transform(img, confounds=confounds)
        brain = NiftiMasker(**common)
        of_voxels = brain.fit_transform(img, confounds=confounds)
    expected = np.arctanh(of_seeds.T @ of_voxels / (len(of_voxels) - 1))
    for name, values in zip(("left", "right", "front"), expected, strict=True):
        (path,) = func.glob(f"*_seg-mine_label-{name}_stat-fisherz_desc-24P_boldmap.nii.gz")
        ours = nib.load(path)
        np.testing.assert_allclose(ours.affine, img.affine)
        inside = nib.load(mask).get_fdata() > 0
        found = ours.get_fdata()[inside]
        truth = brain.inverse_transform(values).get_fdata()[inside]
        np.testing.assert_allclose(found, truth, atol=1e-5)
        assert (ours.get_fdata()[~inside] == 0).all()
        facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert facts["Seed"] == name


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_maps_of_the_second_of_two_sets_are_of_its_own_seeds(
    run_app, tiny, seeds_file, tmp_path, aggregation
):
    """In one fresh call; correlations of the series that were written with the voxels cleaned."""
    bold = tiny.add_run()
    second = tmp_path / "second.tsv"
    second.write_text("name\tx\ty\tz\nlow\t0\t-10\t-6\nback\t4\t-12\t2\n")
    chosen = ("--seed-maps", "--aggregation", aggregation, "--strategy", "none")
    _, func = call(run_app, tiny, seeds_file, tmp_path, second, *chosen)
    img = nib.load(bold)
    inside = (
        nib.load(bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))).get_fdata() > 0
    )
    voxels = signal.detrend(img.get_fdata()[inside], axis=1)
    for label, names in (("mine", ("left", "right", "front")), ("second", ("low", "back"))):
        (table,) = func.glob(f"*_seg-{label}_stat-{aggregation}_desc-none_timeseries.tsv")
        series = pd.read_csv(table, sep="\t")
        for name in names:
            (path,) = func.glob(f"*_seg-{label}_label-{name}_stat-fisherz_desc-none_boldmap.nii.gz")
            r = [np.corrcoef(series[name], voxel)[0, 1] for voxel in voxels[::7]]
            found = nib.load(path).get_fdata()[inside][::7]
            np.testing.assert_allclose(found, np.arctanh(r), atol=1e-4)


def test_a_seed_without_a_series_has_no_map(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    _, func = call(run_app, tiny, seeds_file, tmp_path, "--seed-maps")
    assert mapped(func) == {"left", "right", "front"}


def mapped(func):
    return {path.name.split("_label-")[1].split("_")[0] for path in func.glob("*_boldmap.nii.gz")}


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_names_choose_seeds(run_app, tiny, seeds_file, tmp_path, aggregation):
    tiny.add_run()
    words = ("--aggregation", aggregation, "--strategy", "24P")
    done, func = call(run_app, tiny, seeds_file, tmp_path, "--seed-maps", "front", *words)
    assert mapped(func) == {"front"}
    (path,) = func.glob("*_label-front_*_boldmap.nii.gz")
    chosen = nib.load(path).get_fdata()
    again = (*words, "--dry-run")
    done, _ = call(run_app, tiny, seeds_file, tmp_path, "--seed-maps", "front", *again)
    assert "0 of 1 run to do" in done.out
    _, func = call(run_app, tiny, seeds_file, tmp_path, "--seed-maps", *words)
    assert mapped(func) == {"left", "right", "front"}
    np.testing.assert_array_equal(nib.load(path).get_fdata(), chosen)


def test_a_name_that_no_seed_has_is_refused(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    words = ("--seeds", seeds_file, "--seed-maps", "fornt")
    done = run_app(tiny.root, tmp_path / "out", "participant", *words)
    assert done.status == 2
    assert "no seed is named fornt" in done.err
    assert "Did you mean front?" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "labels"), [("true", {"left", "right", "front"}), ("[left]", {"left"}), ("no", set())]
)
def test_seed_maps_of_a_file_of_options(run_app, tiny, seeds_file, tmp_path, value, labels):
    tiny.add_run()
    config = tmp_path / "options.yaml"
    config.write_text(f"seed_maps: {value}\n".replace("no", "false"))
    _, func = call(run_app, tiny, seeds_file, tmp_path, "--config", config)
    assert mapped(func) == labels


def test_the_image_is_inflated_once_and_nothing_is_left(
    run_app, tiny, seeds_file, tmp_path, monkeypatch
):
    bold = tiny.add_run()
    opened = []
    original = stream.open_gzip

    def spy(path):
        opened.append(path)
        return original(path)

    monkeypatch.setattr(stream, "open_gzip", spy)
    work = tmp_path / "work"
    strategies = ("--strategy", "24P", "none", "--work-dir", work)
    call(run_app, tiny, seeds_file, tmp_path, "--seed-maps", *strategies)
    assert opened.count(bold) == 1
    assert list(work.iterdir()) == []


def test_an_excluded_run_has_no_maps(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    _, func = call(run_app, tiny, seeds_file, tmp_path, "--seed-maps", "--min-volumes", "50")
    assert not list(func.glob("*_boldmap*"))


@pytest.mark.parametrize(
    ("drawn", "aggregation"), [((), "mean"), (("--equal-seconds-seed", 3), "median")]
)
def test_maps_are_of_the_volumes_in_use_and_tell_their_seed(
    run_app, tiny, seeds_file, tmp_path, drawn, aggregation
):
    """Of two sets, so that the second's columns come after those of the first."""
    bold = tiny.add_run()
    second = tmp_path / "second.tsv"
    second.write_text("name\tx\ty\tz\nlow\t0\t-10\t-6\nback\t4\t-12\t2\n")
    words = ("--strategy", "none", "--seed-maps", "right", "front", "back", "--equal-seconds", 40)
    words = (second, *words, *drawn, "--full-length", "--aggregation", aggregation)
    _, func = call(run_app, tiny, seeds_file, tmp_path, *words)
    tables = func.glob(f"*_stat-{aggregation}_desc-none_timeseries.tsv")
    series = pd.concat([pd.read_csv(table, sep="\t") for table in tables], axis=1)
    used = series["right"].notna().to_numpy()
    assert used.sum() == 20
    assert used[:20].all() == (not drawn)
    inside = nib.load(next(bold.parent.glob("*brain_mask.nii.gz"))).get_fdata() > 0
    voxels = signal.detrend(nib.load(bold).get_fdata()[inside], axis=1)[::9, used]
    places = {"right": [10, 0, 0], "front": [0, 10, 4], "back": [4, -12, 2]}
    assert mapped(func) == set(places)
    files = (bold, next(bold.parent.glob("*brain_mask.nii.gz")))
    for name, place in places.items():
        (path,) = func.glob(f"*_label-{name}_stat-fisherz_desc-none_boldmap.nii.gz")
        r = [np.corrcoef(series[name][used], voxel)[0, 1] for voxel in voxels]
        found = nib.load(path).get_fdata()[inside][::9]
        np.testing.assert_allclose(found, np.arctanh(r), atol=1e-4)
        facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert (facts["Seed"], facts["SeedCoordinates"]) == (name, place)
        sources = [source.rpartition("/")[2] for source in facts["Sources"]]
        assert sources[:2] == [file.name for file in files]
        assert sources[2:] == ["sub-01_task-rest_desc-confounds_timeseries.tsv"]
        header = nib.load(path).header
        assert header.get_xyzt_units() == ("mm", "sec")
        assert header.get_zooms() == (4, 4, 4)


def test_maps_are_of_the_whole_image_without_a_mask(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    for mask in bold.parent.glob("*brain_mask.nii.gz"):
        mask.unlink()
    words = ("--strategy", "none", "--seed-maps", "front", "--mask", "none")
    _, func = call(run_app, tiny, seeds_file, tmp_path, *words)
    (table,) = func.glob("*_desc-none_timeseries.tsv")
    front = pd.read_csv(table, sep="\t")["front"]
    voxels = signal.detrend(nib.load(bold).get_fdata().reshape(-1, 40), axis=1)
    (path,) = func.glob("*_boldmap.nii.gz")
    found = nib.load(path).get_fdata().ravel()
    r = [np.corrcoef(front, voxel)[0, 1] for voxel in voxels[::13]]
    np.testing.assert_allclose(found[::13], np.arctanh(r), atol=1e-4)
    assert (found != 0).all()
