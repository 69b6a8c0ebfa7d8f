"""What is found of an output dataset by the names of its files alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bids_spheres import open_results
from bids_spheres.errors import DataError
from bids_spheres.files.names import parse_name
from bids_spheres.outputs.find import (
    find_groups,
    find_runs,
    labels_with_folders,
    matrix_files,
    pages_of_participants,
    seed_map_files,
)
from bids_spheres.outputs.paths import image_name, title
from bids_spheres.outputs.read import read_series, read_spheres

MNI = "space-MNI152NLin2009cAsym"


def touch(root, *names):
    """Empty files, each in the folder that its name says."""
    for name in names:
        words = name.split("_")
        folder = root / words[0]
        if words[1].startswith("ses-"):
            folder /= words[1]
        (folder / "func").mkdir(parents=True, exist_ok=True)
        (folder / "func" / name).touch()


def of_run(stem, strategies=("simple",)):
    """The two tables of a run for each strategy."""
    return [f"{stem}_desc-{s}_{what}.tsv" for s in strategies for what in ("design", "outliers")]


@pytest.fixture
def named(tmp_path):
    """Runs with two seed sets, two spaces, and some of what others may put beside."""
    root = tmp_path / "out"
    for stem in ("sub-2_task-rest_run-10", "sub-2_task-rest_run-2", "sub-10_task-rest"):
        touch(root, *of_run(stem, ("simple", "36P", "9P")))
    mine = f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    touch(
        root,
        f"{mine}_desc-spheres_dseg.tsv",
        f"{mine}_desc-spheres_dseg.nii.gz",
        f"{mine}_stat-mean_desc-raw_timeseries.tsv.gz",
        *(f"{mine}_stat-mean_desc-{s}_timeseries.tsv" for s in ("simple", "36P")),
        f"{mine}_stat-mean_desc-simple_timeseries.json",
        *(f"{mine}_stat-{m}_desc-9P_relmat.tsv" for m in ("covariance", "pearsoncorrelation")),
        f"{mine}_stat-effectivedof_desc-9P_relmat.tsv",
        f"{mine}_label-b10_stat-fisherz_desc-36P_boldmap.nii.gz",
        f"{mine}_label-b9_stat-fisherz_desc-36P_boldmap.nii.gz",
        f"{mine}_label-b9_stat-fisherz_desc-9P_boldmap.nii.gz",
        f"{mine.replace('6mm', '8mm')}_label-b9_stat-fisherz_desc-36P_boldmap.nii.gz",
        "sub-2_task-rest_run-2_atlas-Power2011_stat-covariance_desc-simple_relmat.tsv",
        "sub-2_task-rest_run-2_atlas-Power2011_relmat.tsv",  # of no strategy
        "sub-2_notes on rest_design.tsv",
        f"sub-2_task-rest_{MNI}_seg-mine_scale-6mm_stat-partialcorrelation_desc-9P_relmat.tsv",
        "sub-2_ses-b_task-rest_seg-mine_stat-covariance_desc-simple_relmat.tsv",
        *of_run("sub-2_ses-b_task-rest"),
        *of_run("sub-2_ses-a_task-rest"),
    )
    (root / "sub-10.html").touch()
    (root / "sub-2_ses-b.html").touch()
    (root / "sub-3.html.txt").touch()
    (root / "sub-7").touch()
    return root


def test_runs_by_their_names(named):
    runs = find_runs(named)
    assert [(run.name.get("sub"), run.title, run.together) for run in runs] == [
        ("2", "ses-a task-rest", False),
        ("2", "ses-b task-rest", False),
        ("2", "task-rest run-2", False),
        ("2", "task-rest run-10", False),
        ("10", "task-rest", False),
        ("2", "task-rest", True),
    ]
    assert runs[2].strategies == ("9P", "36P", "simple")
    assert runs[5].strategies == ("9P",)
    assert repr(runs[3]) == "<sub-2 task-rest run-10: no seed set>"
    assert repr(runs[2]).startswith("<sub-2 task-rest run-2: Power2011 in func, mine, 6mm in MNI")
    func = named / "sub-2" / "func"
    assert runs[3].designs["36P"] == func / "sub-2_task-rest_run-10_desc-36P_design.tsv"
    assert runs[3].outliers["9P"] == func / "sub-2_task-rest_run-10_desc-9P_outliers.tsv"


def test_seed_sets_of_a_run(named):
    run = find_runs(named)[2]
    power, mine = run.seed_sets
    assert (power.label, power.space) == ("Power2011", "func")
    assert (power.strategies, power.measures) == (("simple",), ("covariance",))
    assert power.spheres_path is power.uncleaned is None
    assert power.seed_maps("36P") == []
    assert (mine.label, mine.space) == ("mine, 6mm", "MNI152NLin2009cAsym")
    assert mine.strategies == ("9P", "36P", "simple")
    # The usual measure first; effective degrees of freedom are no relation.
    assert mine.measures == ("pearsoncorrelation", "covariance")
    assert list(mine.series_paths) == ["36P", "simple"]
    assert mine.uncleaned_path.name.endswith(
        "_seg-mine_scale-6mm_stat-mean_desc-raw_timeseries.tsv.gz"
    )
    assert mine.spheres_path.name.endswith("_scale-6mm_desc-spheres_dseg.tsv")
    labels = [path.name.partition("_label-")[2][:3] for path in mine.seed_maps("36P")]
    assert labels == ["b9_", "b10"]
    assert len(mine.seed_maps("9P")) == 1
    assert mine.seed_maps("simple") == []
    assert repr(mine) == (
        "<mine, 6mm in MNI152NLin2009cAsym: pearsoncorrelation and covariance after 9P, 36P and "
        "simple>"
    )


def test_measures_of_all_runs_begin_with_the_usual_one(named):
    results = open_results(named)
    assert results.measures == ("pearsoncorrelation", "covariance", "partialcorrelation")
    assert results.strategies == ("9P", "36P", "simple")
    assert results.participants == ("2",)  # of the other there are designs alone


def test_runs_of_a_participant_or_session(named):
    assert [run.title for run in find_runs(named, "10")] == ["task-rest"]
    assert [run.title for run in find_runs(named, "2", "b")] == ["ses-b task-rest"]
    assert find_runs(named, "3") == find_runs(named, "10", "b") == []


def test_folders_and_pages(named):
    assert labels_with_folders(named, "sub") == ["2", "10"]
    assert labels_with_folders(named / "sub-2", "ses") == ["a", "b"]
    pages = [page.name for page in pages_of_participants(named)]
    assert pages == ["sub-10.html", "sub-2_ses-b.html"]


def test_files_of_matrices_and_maps(named):
    files = matrix_files(named)
    assert len(files) == 7
    (of_session,) = (file for file in files if file.name.get("ses"))
    assert (of_session.participant, of_session.source) == ("sub-2", "sub-2_ses-b_task-rest")
    assert of_session.space == "func"
    maps = seed_map_files(named)
    assert [file.path for file in maps] == sorted(named.glob("sub-2/func/*_boldmap.nii.gz"))
    func = named / "sub-2" / "func"
    mine = f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    assert maps[0].spheres == func / f"{mine}_desc-spheres_dseg.tsv"


def test_a_matrix_is_about_spheres_or_else_regions(named):
    func, stem = named / "sub-2" / "func", f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    (file,) = (f for f in matrix_files(named) if "stat-pearson" in f.path.name)
    spheres, regions = (func / f"{stem}_desc-{kind}_dseg.tsv" for kind in ("spheres", "regions"))
    assert file.spheres == spheres
    regions.touch()
    assert file.spheres == spheres
    spheres.unlink()
    assert file.spheres == regions
    regions.unlink()
    assert file.spheres == spheres  # that is what is missing


def test_groups_by_their_names(tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    image = "task-rest_run-1_space-func_seg-mine_scale-6mm"
    strategy = f"{image}_stat-covariance_desc-simple"
    for name in (
        *("runs.tsv", "notes_on rest_mean.tsv", f"{strategy}_other.tsv"),
        f"{image}_coverage.tsv",
        *(f"{strategy}_{what}" for what in ("mean.tsv", "mean.json", "stacked.tsv.gz", "n.tsv")),
        f"{strategy}_contrast-sex_edges.tsv",
        f"{strategy}_contrast-age_edges.tsv",
        f"{strategy}_contrast-age_nbs.tsv",
        "space-MNI_atlas-Power2011_coverage.tsv",
    ):
        (folder / name).touch()
    other, shared, group = find_groups(tmp_path)
    assert (other.measured, other.seeds, other.space) == ("all runs", "Power2011", "MNI")
    assert (shared.suffixes, shared.contrasts) == ({"coverage"}, ())
    assert group.suffixes == {
        *("mean", "n", "contrast-sex_edges", "contrast-age_edges", "contrast-age_nbs"),
    }
    assert group.contrasts == ("age", "sex")
    assert (group.entities, group.stat, group.strategy) == (strategy, "covariance", "simple")
    assert group.image_title == "task-rest run-1, mine 6mm in func"
    assert group.path("contrast-age_nbs", ".json").name == f"{strategy}_contrast-age_nbs.json"


def test_columns_of_words_are_not_read_as_numbers(tmp_path):
    (tmp_path / "group").mkdir()
    path = tmp_path / "group" / "task-rest_seg-1_stat-fisherz_desc-2_edges.tsv"
    path.write_text("edge\tnode_1\tnode_2\tnetwork_1\tnetwork_2\tn\n1\t01\t1e3\tn/a\t007\t3\n")
    (group,) = find_groups(tmp_path)
    (row,) = group.table("edges").to_dict("records")
    assert [row[name] for name in ("node_1", "node_2", "network_2", "n")] == ["01", "1e3", "007", 3]
    assert np.isnan(row["network_1"])
    with pytest.raises(DataError, match="no column qc_fc"):
        group.table("edges", ("n", "qc_fc"))


def test_regions_have_the_radius_of_a_ball_of_their_volume(tmp_path):
    path = tmp_path / "sub-01_task-rest_seg-mine_desc-regions_dseg.tsv"
    columns = "index\tname\tx\ty\tz\tvolume\tnetwork\tvoxels_asked\tvoxels_used\tcoverage"
    rows = [
        "1\t01\t-1.5\t2\t3\t33.510321638\tn/a\t8\t7\t0.875\t1\t2\t30.5",
        "2\t02\t4\t5\t6\t904.778684234\tdefault\t9\t0\t0\t0\t0\tn/a",
    ]
    path.write_text("\n".join([f"{columns}\tused\toverlap\ttsnr", *rows]) + "\n")
    spheres = read_spheres(path)
    np.testing.assert_allclose(spheres.radii, [2, 6], rtol=1e-9)
    np.testing.assert_array_equal(spheres.coordinates, [[-1.5, 2, 3], [4, 5, 6]])
    assert (spheres.names, spheres.networks) == (("01", "02"), ("n/a", "default"))
    assert (spheres.voxels_asked.tolist(), spheres.voxels_used.tolist()) == ([8, 9], [7, 0])
    assert (spheres.overlap.tolist(), spheres.coverage.tolist()) == ([2, 0], [0.875, 0])
    assert spheres.used.tolist() == spheres.seed_in_mask.tolist() == [True, False]
    np.testing.assert_array_equal(spheres.tsnr, [30.5, np.nan])
    assert (spheres.noun, spheres.image.name) == ("region", path.name.replace(".tsv", ".nii.gz"))
    path.with_suffix(".json").write_text(json.dumps({"Radius": None}))
    assert spheres.sidecar == {"Radius": None}


def test_a_row_without_values_is_a_volume_all_the_same(tmp_path):
    path = tmp_path / "sub-01_task-x_seg-mine_stat-mean_desc-simple_timeseries.tsv"
    path.write_text("a\tb\n1\tn/a\nn/a\tn/a\n2.5\tn/a\n")
    series = read_series(path)
    assert series.kept.tolist() == [True] * 3
    np.testing.assert_array_equal(series.values[:, 0], [1, np.nan, 2.5])
    outliers = tmp_path / "outliers.tsv"
    outliers.write_text("censored\n0\n1\n0\n0\n1\n")
    full = read_series(path, outliers)
    assert full.kept.tolist() == [True, False, True, True, False]
    np.testing.assert_array_equal(full.values[:, 0], [1, np.nan, np.nan, 2.5, np.nan])
    outliers.write_text("censored\n0\n1\n0\n")
    assert read_series(path, outliers).kept.tolist() == [True, False, True]
    outliers.write_text("censored\n0\n1\n0\n1\n1\n")
    with pytest.raises(DataError, match=r"has 3 rows, and .* keeps 2 of 5"):
        read_series(path, outliers)


def test_what_strategies_and_measures_of_a_group_share():
    name = parse_name("ses-a_task-x_space-T1w_seg-mine_scale-6mm_res-2_stat-y_desc-z_mean.tsv")
    assert title(image_name(name)) == "ses-a_task-x_space-T1w_seg-mine_scale-6mm_res-2"
