"""Series before cleaning: the means of the spheres' voxels, and nothing else done to them."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def written(tiny, tmp_path, seeds_file, run_app):
    bold = tiny.add_run("sub-01_task-rest", n_volumes=60)
    out = tmp_path / "out"
    options = ("--seeds", seeds_file, "--strategy", "24P", "--radius", "6")
    assert run_app(tiny.root, out, "participant", *options).status == 0
    (table,) = out.rglob("*_stat-mean_desc-raw_timeseries.tsv.gz")
    return bold, table


def spheres(table):
    (path,) = table.parent.glob("*_desc-spheres_dseg.tsv")
    return pd.read_csv(path, sep="\t")


def test_they_are_means_of_voxels(written):
    bold, table = written
    series = pd.read_csv(table, sep="\t", header=None, na_values="n/a").to_numpy()
    img = nib.load(bold)
    data = np.asarray(img.dataobj, dtype=float)
    mask = np.zeros(data.shape[:3], dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    places = nib.affines.apply_affine(img.affine, np.argwhere(mask))
    for number, seed in spheres(table).iterrows():
        apart = np.linalg.norm(places - seed[["x", "y", "z"]].to_numpy(dtype=float), axis=1)
        inside = apart <= 6
        if not seed["used"]:
            assert np.isnan(series[:, number]).all()
            continue
        expected = data[mask][inside].mean(axis=0)
        np.testing.assert_allclose(series[:, number], expected, rtol=6e-8)


def test_the_sidecar_names_columns_and_time(written):
    _, table = written
    facts = json.loads(table.with_name(table.name.replace(".tsv.gz", ".json")).read_text())
    assert facts["Columns"] == list(spheres(table)["name"].astype(str))
    assert facts["SamplingFrequency"] * facts["RepetitionTime"] == pytest.approx(1)
    assert facts["Sources"]


def test_they_are_made_again_when_they_are_gone(written, tiny, tmp_path, seeds_file, run_app):
    _, table = written
    content = table.read_bytes()
    table.unlink()
    options = ("--seeds", seeds_file, "--strategy", "24P", "--radius", "6")
    assert run_app(tiny.root, tmp_path / "out", "participant", *options).status == 0
    assert table.read_bytes() == content


def test_no_strategy_has_their_name(tiny, tmp_path, seeds_file, run_app):
    tiny.add_run("sub-01_task-rest")
    mine = tmp_path / "raw.json"
    mine.write_text(json.dumps({"name": "raw", "confounds": ["csf"]}))
    options = ("--seeds", seeds_file, "--strategy", mine)
    end = run_app(tiny.root, tmp_path / "out", "participant", *options)
    assert end.status == 2
    assert "named raw" in end.err
