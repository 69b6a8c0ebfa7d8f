"""``bids-spheres seeds``: lists, and tables that ``--seeds`` takes."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.data.published import published_strategies
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
    affine[:3, 3] = -30.125, 10, 5
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


def test_centres_need_their_seed_sets_radii_and_networks(run_app, tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("name\tx\ty\tz\tradius\nA\t1\t2\t3\t5\nB\t-1\t2\t3\t6.5\nC\t0\t2\t3\t4\n")
    assert run_app("seeds", table).out.splitlines() == [
        *("mine", "  seeds:     3 seeds with a radius of 4 to 6.5 mm"),
        *("  space:     that of the images", ""),
    ]


def test_networks_of_seeds_are_listed_once_without_those_that_are_none(run_app, tmp_path):
    table = tmp_path / "mine.tsv"
    rows = ("1\t2\t3\tV", "-1\t2\t3\tn/a", "0\t2\t3\tA", "0\t9\t3\tUncertain", "5\t9\t3\tV")
    table.write_text("\n".join(["x\ty\tz\tnetwork", *rows]) + "\n")
    lines = run_app("seeds", table).out.splitlines()
    assert lines[2] == "  networks:  V, A"


STRATEGY = {
    "name": "mine",
    "description": "Of my own.",
    "motion": "basic",
    "min_volumes": 100,
    "min_seconds": 240,
    "head_motion": {"filter": "fair2020", "head_radius": "auto"},
    "censor": {"fd_threshold": 0.25, "std_dvars_threshold": 1.5, "combine": "all"},
    "filter": {"high_pass": 0.01, "low_pass": 0.08, "order": 2},
}


def listed(run_app, tmp_path, **content):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "description": "x", **content}))
    done = run_app("strategies", path)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines.pop() == ""
    return lines


def test_a_strategy_with_everything(run_app, tmp_path):
    strategy = json.loads(json.dumps(STRATEGY))
    strategy["censor"] |= {"before": 1, "after": 2, "min_segment": 5}
    strategy["head_motion"]["filter_regressors"] = True
    assert listed(run_app, tmp_path, **strategy) == [
        "mine",
        "  Of my own.",
        "  columns:   trans_x, trans_y, trans_z, rot_x, rot_y, rot_z",
        "  motion:    filtered by fair2020, head radius of the participant's brain, regressors too",
        (
            "  censoring: framewise displacement > 0.25 mm and standardized DVARS > 1.5; "
            "1 volumes before and 2 after each; stretches shorter than 5 volumes"
        ),
        "  filter:    butterworth of order 2, 0.01 to 0.08 Hz passes",
        "  image:     desc-preproc",
        "  at least:  100 volumes and 240 s",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({}, "  columns:   none"),
        ({}, "  censoring: only volumes before the steady state"),
        ({}, "  filter:    none"),
        ({"min_seconds": 90.5}, "  at least:  90.5 s"),
        ({"min_volumes": 1}, "  at least:  1 volume"),
        ({"head_motion": {"head_radius": 40}}, "  motion:    head radius 40 mm"),
        ({"censor": {"rmsd_threshold": 0.3}}, "root mean square displacement > 0.3 mm"),
        (
            {"censor": {"fd_threshold": 0.5, "std_dvars_threshold": 2, "rmsd_threshold": 0.3}},
            (
                "  censoring: framewise displacement > 0.5 mm; standardized DVARS > 2; "
                "root mean square displacement > 0.3 mm"
            ),
        ),
        ({"censor": {"fd_threshold": 0.5, "combine": "all"}}, "ing: framewise displacement > 0.5"),
        ({"censor": {"fd_threshold": 1, "after": 3}}, "; 0 volumes before and 3 after each"),
        ({"filter": {"low_pass": 0.1}}, "  filter:    butterworth of order 5, 0 to 0.1 Hz passes"),
        (
            {"filter": {"high_pass": 0.008, "type": "cosine"}},
            "  filter:    cosine, 0.008 to Nyquist passes",
        ),
    ],
)
def test_one_rule_of_a_strategy(run_app, tmp_path, content, line):
    assert any(line in shown for shown in listed(run_app, tmp_path, **content))


def test_strategies_that_are_not_named_are_those_of_the_package(run_app):
    lines = run_app("strategies").out.splitlines()
    names = [line for line in lines if line and line[0] != " "]
    assert names == list(published_strategies())
    assert run_app("strategies", "24P", "none").out.count("  image:") == 2
