"""Points through ITK's files, against ITK."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.interpolate import RegularGridInterpolator

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.spaces.itk import chain_points, map_points

LPS = np.array([-1, -1, 1])
HEADER = "#Insight Transform File V1.0\n"


def affine_text(numbers, fixed="0 0 0", kind="AffineTransform_double_3_3", index=0):
    """One transform as ITK writes it in text."""
    return (
        f"#Transform {index}\nTransform: {kind}\nParameters: {numbers}\nFixedParameters: {fixed}\n"
    )


def write_h5(path, *members, spelling="Transform", **storage):
    """Write a composite transform of (type, parameters, fixed parameters)."""
    with h5py.File(path, "w") as file:
        group = file.create_group("TransformGroup")
        group["0/TransformType"] = [b"CompositeTransform_double_3_3"]
        for i, (kind, parameters, fixed) in enumerate(members, start=1):
            member = group.create_group(str(i))
            member["TransformType"] = [kind.encode()]
            member.create_dataset(f"{spelling}Parameters", data=parameters, **storage)
            member[f"{spelling}FixedParameters"] = np.asarray(fixed, dtype=float)
    return path


def translation(x, y, z):
    """Member of a composite: a shift, mm, LPS."""
    return (
        "AffineTransform_double_3_3",
        np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 1, x, y, z]),
        [0] * 3,
    )


def field(values, spacing, origin):
    """Member of a composite: displacements (X, Y, Z, 3), mm, LPS."""
    fixed = [*values.shape[:3], *origin, *spacing, *np.eye(3).ravel()]
    # x fastest, and the three numbers of a voxel together
    return "DisplacementFieldTransform_float_3_3", values.transpose(2, 1, 0, 3).ravel(), fixed


def test_composite_as_itk_does(itk_data, itk_truth):
    moved = map_points(itk_truth.points, itk_data / "composite.h5")
    np.testing.assert_allclose(moved, itk_truth.composite, atol=1e-4)


def test_points_reach_inside_and_outside_of_the_field(itk_truth):
    # Else the test above would not test what happens at its border.
    by_field = np.linalg.norm(np.subtract(itk_truth.composite, itk_truth.affine), axis=1)
    assert (by_field == 0).sum() >= 5
    assert (by_field > 1).sum() >= 5


@pytest.mark.parametrize("ending", ["txt", "mat", "h5"])
def test_affine_with_a_centre_as_itk_does(itk_data, itk_truth, ending):
    moved = map_points(itk_truth.points, itk_data / f"affine.{ending}")
    np.testing.assert_allclose(moved, itk_truth.affine, atol=1e-4)


def test_points_go_against_the_way_of_images(itk_data, itk_truth):
    """ITK resampled an image with a blob: the blob's new place is taken to its old one."""
    blob = itk_truth.blob
    back = map_points([blob["after"]], itk_data / "composite.h5")[0]
    wrong_way = map_points([blob["before"]], itk_data / "composite.h5")[0]
    # Half a voxel of that image: the field also bends the blob.
    np.testing.assert_allclose(back, blob["before"], atol=1)
    assert np.linalg.norm(wrong_way - blob["after"]) > 5


def test_last_of_a_composite_comes_first(tmp_path):
    double = "AffineTransform_double_3_3", np.array([2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0.0]), [0] * 3
    path = write_h5(tmp_path / "x.h5", double, translation(1, 2, 3))
    # in LPS: shift, then double
    np.testing.assert_allclose(map_points([(10, 10, 10)], path), [(18, 16, 26)])


def test_more_than_nine_members_keep_their_order(tmp_path):
    halve = "AffineTransform_double_3_3", np.diag([0.5] * 3).ravel().tolist() + [0] * 3, [0] * 3
    steps = [translation(0, 0, 1)] * 10
    path = write_h5(tmp_path / "x.h5", *steps[:1], halve, *steps[1:])
    # nine shifts, then half, then one more
    np.testing.assert_allclose(map_points([(0, 0, 0)], path), [(0, 0, 5.5)])


@pytest.mark.parametrize("spelling", ["Transform", "Tranform"])
@pytest.mark.parametrize("storage", [{}, {"chunks": (64,), "compression": "gzip"}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_field_is_interpolated_linearly(tmp_path, spelling, storage, dtype):
    rng = np.random.default_rng(3)
    shape, spacing, origin = (6, 5, 7), np.array([8.0, 9, 10]), np.array([-20.0, -15, -30])
    values = rng.normal(0, 3, (*shape, 3)).astype(dtype)
    path = write_h5(tmp_path / "x.h5", field(values, spacing, origin), spelling=spelling, **storage)
    axes = [o + s * np.arange(n) for o, s, n in zip(origin, spacing, shape, strict=True)]
    lps = rng.uniform(origin, origin + spacing * (np.array(shape) - 1), (50, 3))
    expected = lps + RegularGridInterpolator(axes, values.astype(float))(lps)
    np.testing.assert_allclose(map_points(LPS * lps, path), LPS * expected, atol=1e-5)


def test_blocks_of_a_large_field_are_put_together(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    values = rng.normal(0, 3, (11, 12, 13, 3))
    path = write_h5(tmp_path / "x.h5", field(values, [5] * 3, [-20] * 3), chunks=(100,))
    points = rng.uniform(-25, 45, (30, 3))
    whole = map_points(points, path)
    monkeypatch.setattr("bids_spheres.spaces.itk._BLOCK", 150)
    assert np.array_equal(map_points(points, path), whole)


def test_chain_goes_through_files_in_the_order_given(tmp_path, itk_data, itk_truth):
    shift = write_h5(tmp_path / "shift.h5", translation(1, 2, 3))
    moved = chain_points(itk_truth.points, [itk_data / "composite.h5", shift])
    expected = np.array(itk_truth.composite) + LPS * (1, 2, 3)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_no_file_leaves_points_where_they_are():
    assert chain_points([(1, 2, 3)], []).tolist() == [[1, 2, 3]]


def test_no_points(itk_data):
    assert map_points([], itk_data / "composite.h5").shape == (0, 3)


def test_rigid_text_file_by_its_formula(tmp_path):
    """What fMRIPrep writes of a BOLD reference: y = A (x - c) + c + t, in LPS."""
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    numbers = " ".join(map(str, [*turn.ravel(), 4, 5, 6]))
    path = tmp_path / "from-boldref_to-T1w_mode-image_xfm.txt"
    kind = "MatrixOffsetTransformBase_double_3_3"
    path.write_text(HEADER + affine_text(numbers, "1 2 3", kind))
    x, centre = LPS * (10, 20, 30), np.array([1, 2, 3])
    expected = LPS * (turn @ (x - centre) + centre + (4, 5, 6))
    np.testing.assert_allclose(map_points([(10, 20, 30)], path), [expected], atol=1e-5)


def test_points_of_another_shape(itk_data):
    with pytest.raises(UsageError, match="shape"):
        map_points([1, 2, 3], itk_data / "composite.h5")


def test_missing_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"nowhere_xfm\.h5"):
        map_points([(0, 0, 0)], tmp_path / "nowhere_xfm.h5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n",
        HEADER,
        HEADER + affine_text("1 0 0 0 one 0 0 0 1 0 0 0"),
        HEADER + affine_text("0 0 0 1 2 3", kind="Euler3DTransform_double_3_3"),
    ],
    ids=["empty", "FSL", "header", "word", "Euler"],
)
def test_text_that_is_no_affine_transform(tmp_path, text):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"x\.txt can't be read"):
        map_points([(0, 0, 0)], path)


def test_one_transform_per_volume_is_refused(tmp_path):
    path = tmp_path / "hmc.txt"
    path.write_text(
        HEADER + "".join(affine_text(f"1 0 0 0 1 0 0 0 1 0 0 {i}", index=i) for i in range(3))
    )
    with pytest.raises(DataError, match=r"hmc\.txt"):
        map_points([(0, 0, 0)], path)


def test_download_cut_short(tmp_path, itk_data):
    path = tmp_path / "x.h5"
    path.write_bytes((itk_data / "composite.h5").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"x\.h5.*\n.*get it again"):
        map_points([(0, 0, 0)], path)


def test_field_of_another_size_than_its_grid(tmp_path):
    kind, numbers, fixed = field(np.zeros((3, 4, 5, 3)), [5] * 3, [0] * 3)
    path = write_h5(tmp_path / "x.h5", (kind, numbers[:-3], fixed))
    with pytest.raises(DataError, match=r"x\.h5"):
        map_points([(0, 0, 0)], path)


def test_other_kind_in_a_composite_is_named(tmp_path):
    path = write_h5(tmp_path / "x.h5", ("Euler3DTransform_double_3_3", np.zeros(6), [0] * 3))
    with pytest.raises(DataError, match="Euler3DTransform"):
        map_points([(0, 0, 0)], path)


def test_file_is_left_as_it_was(tmp_path, itk_data):
    path = Path(shutil.copy(itk_data / "composite.h5", tmp_path))
    path.chmod(0o444)
    before = path.read_bytes()
    map_points([(0, 0, 0)], path)
    assert path.read_bytes() == before


def test_affine_scan_transforms_are_each_others_inverse(real_scan):
    """Two files written apart, by their own numbers."""
    anat = real_scan / "sub-03" / "anat"
    there = anat / "sub-03_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5"
    back = anat / "sub-03_from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.h5"
    points = np.random.default_rng(1).uniform(-60, 60, (20, 3))
    with h5py.File(there) as file:
        numbers = file["TransformGroup/1/TransformParameters"][()]
    by_hand = LPS * apply_affine(from_matvec(numbers[:9].reshape(3, 3), numbers[9:]), LPS * points)
    np.testing.assert_allclose(map_points(points, there), by_hand, atol=1e-6)
    np.testing.assert_allclose(chain_points(points, [there, back]), points, atol=1e-3)
