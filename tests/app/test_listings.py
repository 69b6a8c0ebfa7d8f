"""``bids-spheres seeds``: lists, and tables that ``--seeds`` takes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.engine.seeds import load_seeds


def test_every_set_is_listed(run_app):
    shown = run_app("seeds").out
    for name, number in (("Power2011", 264), ("Dosenbach2010", 160), ("Seitzman2018", 300)):
        assert f"{name}\n" in shown
        assert f"{number} seeds with a radius of" in shown
    assert "https://doi.org/10.1016/j.neuron.2011.09.006" in shown
    raichle = run_app("seeds", "Raichle2011").out
    assert "networks:  DMN, DAN, ECN" in raichle
    assert "space:     Talairach" in raichle
    assert "Power2011" not in raichle


def test_an_unknown_set_is_an_error(run_app):
    assert run_app("seeds", "Powr2011").status == 2


@pytest.mark.filterwarnings("ignore")
def test_centres_of_regions_are_a_table_of_seeds(run_app, tmp_path):
    labels = np.zeros((6, 6, 6), np.int16)
    labels[0:2, 0:3, 1] = 4
    labels[3, 4, 5] = 2
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -30, 10, 5
    name = "space-T1w_atlas-A_dseg.nii.gz"
    nib.Nifti1Image(labels, affine).to_filename(tmp_path / name)
    (tmp_path / name.replace("nii.gz", "tsv")).write_text(
        "index\tname\tnetwork\n2\tone voxel\tA\n4\tblock\tB\n"
    )
    shown = run_app("seeds", "--centroids-of", tmp_path / name)
    assert shown.status == 0
    path = tmp_path / "centres.tsv"
    path.write_text(shown.out)
    seeds = load_seeds(path)
    assert seeds.names == ("one voxel", "block")
    assert (seeds.networks, seeds.space) == (("A", "B"), "T1w")
    expected = [affine[:3, :3] @ [3, 4, 5], affine[:3, :3] @ [0.5, 1, 1]] + affine[:3, 3]
    np.testing.assert_allclose(seeds.coordinates, expected)
    nib.Nifti1Image(labels, affine).to_filename(tmp_path / "plain.nii")
    failed = run_app("seeds", "--centroids-of", tmp_path / "plain.nii")
    assert failed.status == 2
    assert "--parcellation-space" in failed.err
