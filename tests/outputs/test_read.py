"""Tables, series and matrices as they are read."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from bids_spheres.errors import DataError, ReadWriteError
from bids_spheres.outputs.find import find_groups, read_group_table
from bids_spheres.outputs.read import (
    read_kept,
    read_matrix,
    read_series,
    read_spheres,
    read_uncleaned,
)


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
    assert repr(spheres) == "<Spheres: 2, 1 with a series>"
    first, second = spheres.to_frame().to_dict("records")
    assert first == {
        "x": -1.5,
        "y": 2,
        "z": 3,
        "radius": pytest.approx(2),
        "network": "n/a",
        "voxels_asked": 8,
        "voxels_used": 7,
        "coverage": 0.875,
        "used": True,
        "overlap": 2,
        "tsnr": 30.5,
    }
    assert (second["network"], second["z"], second["used"]) == ("default", 6, False)


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
    assert repr(full) == "<Series of 2 spheres: 3 of 5 volumes>"
    assert (full.t_r, full.exclusion) == (1, None)
    outliers.write_text("censored\n0\n1\n0\n")
    assert read_series(path, outliers).kept.tolist() == [True, False, True]
    outliers.write_text("censored\n0\n1\n0\n1\n1\n")
    with pytest.raises(DataError, match=r"has 3 rows, and .* keeps 2 of 5"):
        read_series(path, outliers)


def test_series_before_cleaning_without_names_and_a_file_that_was_cut_off(tmp_path):
    path = tmp_path / "sub-01_task-x_seg-mine_stat-mean_desc-raw_timeseries.tsv.gz"
    content = gzip.compress(b"1\t2.5\t3\nn/a\t5\t6\n")
    path.write_bytes(content)
    series = read_uncleaned(path)
    assert series.names == ("1", "2", "3")
    np.testing.assert_array_equal(series.values, [[1, 2.5, 3], [np.nan, 5, 6]])
    assert series.kept.tolist() == [True, True]
    sidecar = path.with_name(path.name.replace(".tsv.gz", ".json"))
    sidecar.write_text(
        json.dumps({"Columns": ["a", "b", "c"], "RepetitionTime": 2.5, "Excluded": "x"})
    )
    assert read_uncleaned(path).names == ("a", "b", "c")
    assert (read_uncleaned(path).t_r, read_uncleaned(path).exclusion) == (2.5, "x")
    path.write_bytes(content[:-12])
    with pytest.raises(ReadWriteError, match="can't be read"):
        read_uncleaned(path)


def test_a_matrix_without_a_sidecar_and_one_that_is_not_square(tmp_path):
    path = tmp_path / "sub-01_task-x_seg-mine_stat-covariance_desc-x_relmat.tsv"
    path.write_text("Node\t01\tb\n01\t4\tn/a\nb\tn/a\t9\n")
    matrix = read_matrix(path)
    assert repr(matrix) == "<Matrix of 2 spheres: relation>"
    frame = matrix.to_frame()
    assert frame.index.tolist() == frame.columns.tolist() == ["01", "b"]
    np.testing.assert_array_equal(frame, [[4, np.nan], [np.nan, 9]])
    path.write_text("Node\t01\tb\tc\n01\t4\t1\t2\nb\t1\t9\t3\n")
    with pytest.raises(DataError, match="is not square: 2 rows, 3 columns"):
        read_matrix(path)


def test_a_sphere_can_be_used_without_the_voxel_of_its_seed(tmp_path):
    path = tmp_path / "sub-01_task-rest_seg-mine_desc-spheres_dseg.tsv"
    columns = "index\tname\tx\ty\tz\tradius\tnetwork\tvoxels_asked\tvoxels_used\tcoverage"
    rows = [
        "1\ta\t-1.5\t2\t3\tn/a\tn/a\t1\t1\t1\t1\t0\t0\tn/a",
        "2\tb\t4\t5\t6\t6.5\tA\t9\t2\t0.25\t0\t1\t2\t7",
        "3\tc\t7\t8\t9\t4\tB\t7\t5\t0.75\t1\t1\t3\t8.5",
    ]
    path.write_text("\n".join([f"{columns}\tused\tseed_in_mask\toverlap\ttsnr", *rows]) + "\n")
    spheres = read_spheres(path)
    np.testing.assert_array_equal(spheres.radii, [np.nan, 6.5, 4])
    assert spheres.used.tolist() == [True, False, True]
    assert spheres.seed_in_mask.tolist() == [False, True, True]
    assert (spheres.voxels_asked.tolist(), spheres.voxels_used.tolist()) == ([1, 9, 7], [1, 2, 5])
    assert (spheres.overlap.tolist(), spheres.noun) == ([0, 2, 3], "sphere")
    np.testing.assert_array_equal(spheres.tsnr, [np.nan, 7, 8.5])


def test_matrices_with_more_rows_than_columns_and_rows_that_are_too_short(tmp_path):
    path = tmp_path / "sub-01_task-x_seg-mine_stat-covariance_desc-x_relmat.tsv"
    path.write_text("Node\ta\tb\na\t1\t2\nb\t2\t1\nc\t3\t3\n")
    with pytest.raises(DataError, match="is not square: 3 rows, 2 columns"):
        read_matrix(path)
    path = tmp_path / "sub-01_task-x_seg-mine_desc-spheres_dseg.tsv"
    names = "index name x y z radius network voxels_asked voxels_used coverage used seed_in_mask"
    whole = "1 a 1 2 3 4 A 7 7 1 1 1 0 50"
    for row in ("2 b 1 2 3 4 A 7 7 1 1 1 0", "2 b 1 2 3 4 A 7 7 1 1 1 0 50 9", "2 b 1 2 n/a 4 A 7"):
        lines = [f"{names} overlap tsnr", whole, row]
        path.write_text("".join("\t".join(line.split()) + "\n" for line in lines))
        with pytest.raises(DataError, match=path.name):
            read_spheres(path)


@pytest.mark.parametrize(
    "word",
    [
        *("participant_id", "session_id", "task", "run", "source", "space", "seeds", "scale"),
        *("strategy", "reason", "group", "measure", "name", "network", "term", "nearest_seed"),
    ],
)
def test_words_of_tables_of_groups_keep_their_zeros(tmp_path, word):
    path = tmp_path / "x.tsv"
    path.write_text(f"n\t{word}\n1\t01\n2\tNA\n3\tn/a\n")
    table = read_group_table(path)
    assert table[word].tolist()[:2] == ["01", "NA"]
    assert table[word].isna().tolist() == [False, False, True]
    assert table["n"].tolist() == [1, 2, 3]


def test_tables_that_a_spreadsheet_has_saved(tmp_path):
    """With a byte order mark, which is no part of the name of the first column."""
    outliers = tmp_path / "outliers.tsv"
    outliers.write_text("\ufeffcensored\tfd\n1\t2\n0\t1\n")
    assert read_kept(outliers).tolist() == [False, True]
    spheres = tmp_path / "sub-01_seg-s_desc-spheres_dseg.tsv"
    names = "name x y z radius network voxels_asked voxels_used coverage used seed_in_mask"
    text = f"\ufeff{names} overlap tsnr\na 1 2 3 4 A 7 7 1 1 1 0 50\n".replace(" ", "\t")
    spheres.write_text(text)
    assert read_spheres(spheres).names == ("a",)
    spheres.write_text(text + "b 1 n/a 3 4 A 7 7 1 1 1 0 50\n".replace(" ", "\t"))
    with pytest.raises(DataError, match="a coordinate is missing"):
        read_spheres(spheres)
