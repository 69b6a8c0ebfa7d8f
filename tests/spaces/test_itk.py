"""Points through ITK's files, against ITK."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.transform import Rotation

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.spaces.itk import map_points, move_points


def chain_points(points, paths):
    """Coordinates of points that went through all files."""
    return move_points(points, paths).coordinates


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


@pytest.mark.parametrize("block", [50, 100, 150, 4000])
def test_blocks_of_a_large_field_are_put_together(tmp_path, monkeypatch, block):
    """Smaller than a chunk, of whole chunks and not, and larger than the field."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 3, (11, 12, 13, 3))
    path = write_h5(tmp_path / "x.h5", field(values, [5] * 3, [-20] * 3), chunks=(100,))
    points = rng.uniform(-25, 45, (30, 3))
    whole = map_points(points, path)
    monkeypatch.setattr("bids_spheres.spaces.itk._BLOCK", block)
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


GRID = [10, 10, 10, -90, -126, -72, 20, 20, 20, 1, 0, 0, 0, 1, 0, 0, 0, 1]
FIELD = "DisplacementFieldTransform_float_3_3"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[(place, value) for place in (0, 3, 6, 9) for value in (np.nan, np.inf, -np.inf)],
        *[(0, 10.5), (0, 0), (6, 0), (6, -20), (9, 0), (2, 1e18)],
    ],
)
def test_field_without_a_possible_grid_is_refused(tmp_path, place, value):
    fixed = np.array(GRID, dtype=float)
    fixed[place] = value
    path = write_h5(tmp_path / "x.h5", (FIELD, np.full(3000, 5, "f4"), fixed))
    with pytest.raises(DataError, match=r"x\.h5 can't be read as a transform"):
        map_points([(-10, 0, 0)], path)


def test_field_of_two_negative_sizes_is_refused(tmp_path):
    path = write_h5(tmp_path / "x.h5", (FIELD, np.full(3000, 5, "f4"), [-10, -10, *GRID[2:]]))
    with pytest.raises(DataError, match="positive whole numbers"):
        map_points([(-10, 0, 0)], path)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_displacements_that_are_not_finite(tmp_path, number):
    path = write_h5(tmp_path / "x.h5", (FIELD, np.full(3000, number), GRID))
    with pytest.raises(DataError, match="not finite"):
        map_points([(-10, 0, 0)], path)


@pytest.mark.parametrize("ending", ["txt", "h5"])
@pytest.mark.parametrize(
    "numbers",
    [
        [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        [np.nan, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 1, 0, 0, 0, 1, np.inf, 0, 0],
        [1, 2, 3, 2, 4, 6, 0, 0, 1, 0, 0, 0],
    ],
)
def test_affine_that_can_not_be_inverted(tmp_path, ending, numbers):
    path = tmp_path / f"x.{ending}"
    if ending == "h5":
        write_h5(path, ("AffineTransform_double_3_3", np.array(numbers, float), [0] * 3))
    else:
        path.write_text(HEADER + affine_text(" ".join(map(str, numbers))))
    with pytest.raises(DataError, match="can't be inverted"):
        map_points([(1, 2, 3)], path)


def test_points_outside_of_a_field_are_known(tmp_path):
    """The grid goes from -100 to 100 mm along x, in LPS; what is outside stays."""
    path = write_h5(tmp_path / "x.h5", (FIELD, np.full(3000, 5, "f4"), GRID))
    through = move_points([(-10, 0, 0), (-200, 0, 0), (10, 0, 0)], [path])
    assert through.outside.tolist() == [False, True, False]
    np.testing.assert_allclose(
        through.coordinates, [(-15, -5, 5), (-200, 0, 0), (5, -5, 5)], atol=1e-6
    )


def test_field_that_reaches_no_point_is_an_error(tmp_path):
    path = write_h5(tmp_path / "x.h5", (FIELD, np.full(3000, 5, "f4"), GRID))
    with pytest.raises(DataError, match="reaches none of the 2 points"):
        map_points([(1e4, 0, 0), (0, 1e4, 0)], path)


def edit_h5(path, change):
    """A usable transform with one part changed by hand."""
    write_h5(path, (FIELD, np.full(3000, 5, "f4"), GRID))
    with h5py.File(path, "a") as file:
        change(file["TransformGroup/1"])
    return path


def replace_numbers(make):
    def change(member):
        del member["TransformParameters"]
        make(member)

    return change


def link_elsewhere(member):
    other = Path(member.file.filename).with_name("other.h5")
    with h5py.File(other, "w") as target:
        target["numbers"] = np.full(3000, 5, "f4")
    member["TransformParameters"] = h5py.ExternalLink(str(other), "numbers")


def store_elsewhere(member):
    raw = Path(member.file.filename).with_name("numbers.raw")
    raw.write_bytes(np.full(3000, 5, "f4").tobytes())
    where = [(str(raw), 0, h5py.h5f.UNLIMITED)]
    member.create_dataset("TransformParameters", (3000,), "f4", external=where)


def virtual(member):
    layout = h5py.VirtualLayout((3000,), "f4")
    layout[:] = h5py.VirtualSource(
        str(Path(member.file.filename).with_name("other.h5")), "x", (3000,)
    )
    member.create_virtual_dataset("TransformParameters", layout)


def huge_chunk(member):
    member.create_dataset(
        "TransformParameters", (650_000_000,), "f4", chunks=(650_000_000,), compression="gzip"
    )
    member["TransformFixedParameters"][:3] = [650_000_000 // 3, 1, 1]


def soft_link_to_itself(member):
    member["TransformParameters"] = h5py.SoftLink("/TransformGroup/1/TransformParameters")


def group_for_numbers(member):
    member.create_group("TransformParameters")


def stored_as(data):
    def make(member):
        member.create_dataset("TransformParameters", data=data)

    return make


@pytest.mark.parametrize(
    "make",
    [
        *[link_elsewhere, store_elsewhere, virtual, huge_chunk, soft_link_to_itself],
        group_for_numbers,
        stored_as(np.zeros(3000, [("x", "f4")])),
        stored_as(np.full(3000, b"1")),
        stored_as(np.zeros((3, 1000))),
        stored_as(np.zeros(3000, complex)),
        stored_as(1.0),
        stored_as(h5py.Empty("f4")),
    ],
)
def test_numbers_that_are_none_or_elsewhere_are_refused(tmp_path, make):
    path = edit_h5(tmp_path / "x.h5", replace_numbers(make))
    start = time.process_time()
    with pytest.raises(DataError, match=r"x\.h5 can't be read as a transform"):
        map_points([(0, 0, 0)], path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "kind", [np.array([1]), np.array([b"\xff"]), np.array([], "S3"), [1.5, 2], h5py.Empty("S3")]
)
def test_types_that_are_no_word_are_refused(tmp_path, kind):
    def change(member):
        del member["TransformType"]
        member["TransformType"] = kind

    with pytest.raises(DataError, match=r"x\.h5"):
        map_points([(0, 0, 0)], edit_h5(tmp_path / "x.h5", change))


def test_file_without_a_transform_is_refused(tmp_path):
    with pytest.raises(DataError, match="no transform"):
        map_points([(0, 0, 0)], write_h5(tmp_path / "x.h5"))


@pytest.mark.parametrize("ending", ["h5", "txt", "mat"])
def test_pipe_is_not_waited_for(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    os.mkfifo(path)
    with pytest.raises(DataError, match="named pipe"):
        map_points([(0, 0, 0)], path)


def test_endless_text_is_not_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(HEADER + "# \n" * 100_000)
    with pytest.raises(DataError, match="64 kB"):
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


def ramp(shift):
    """A field of 4 voxels of 20 mm from LPS x = -40 to 40, wide along y and z."""
    values = np.zeros((4, 3, 5, 3))
    values[..., 0] = np.array([1.0, 2, 4, 8])[:, None, None]
    values[..., 1] = np.array([10.0, 20, 40])[:, None]
    values[..., 2] = shift
    return field(values, (20, 50, 40), (-30, -50, -80))


@pytest.mark.parametrize(
    ("lps", "displacement"),
    [
        # The outer half of border voxels has their value; the lower border is inside.
        ((-40, 0, 0), (1, 20, 7)),
        ((-30, 0, 0), (1, 20, 7)),
        ((-15, 0, 0), (1.75, 20, 7)),
        ((29, 0, 0), (7.8, 20, 7)),
        ((39.99, 0, 0), (8, 20, 7)),
        ((40, 0, 0), None),
        ((-40.01, 0, 0), None),
        ((0, -75, 0), (3, 10, 7)),
        ((0, 25, 0), (3, 30, 7)),
        ((0, 74.9, 99.9), (3, 40, 7)),
        ((0, 75, 0), None),
        ((0, 0, -100.1), None),
        ((0, 0, 100), None),
    ],
)
def test_a_field_reaches_to_the_borders_of_its_voxels(tmp_path, lps, displacement):
    path = write_h5(tmp_path / "x.h5", ramp(7.0))
    inner = (0, 0, 10)
    moved = move_points(LPS * np.array([lps, inner], float), [path])
    assert moved.outside.tolist() == [displacement is None, False]
    expected = LPS * np.add([lps, inner], [displacement or (0, 0, 0), (3, 20, 7)])
    np.testing.assert_allclose(moved.coordinates, expected, atol=1e-9)


def test_points_outside_of_one_field_of_several_are_outside(tmp_path):
    """Also of the first of two files, and of the field that is applied first within a file."""
    wide = FIELD, np.full(3000, 0.5, "f4"), GRID
    narrow = ramp(0.5)
    points = LPS * np.array([(0, 0, 0), (60, 0, 0), (500, 0, 0)], float)
    both = write_h5(tmp_path / "both.h5", wide, narrow)
    other = write_h5(tmp_path / "other.h5", narrow, wide)
    files = [write_h5(tmp_path / f"{i}.h5", member) for i, member in enumerate((narrow, wide))]
    for paths in ([both], [other], files, files[::-1]):
        assert move_points(points, paths).outside.tolist() == [False, True, True]
    moved = move_points(points, files).coordinates[1:]
    np.testing.assert_allclose(LPS * moved, [(60.5, 0.5, 0.5), (500, 0, 0)], atol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "size", "told"),
    [
        # A chunk of 0.6 GB may be inflated, one of 1.2 GB not; grids as NIfTI-1 can have them.
        (150_000_000, (10, 10, 10), "not as many as the grid"),
        (300_000_000, (10, 10, 10), "chunks that are too large"),
        (3000, (2**15, 1, 1), "not as many as the grid"),
        (3000, (2**15 + 1, 1, 1), "positive whole numbers"),
    ],
)
def test_how_large_a_field_may_be(tmp_path, numbers, size, told):
    def make(member):
        member.create_dataset(
            "TransformParameters", (numbers,), "f4", chunks=(numbers,), compression="gzip"
        )
        member["TransformFixedParameters"][:3] = size

    with pytest.raises(DataError, match=told):
        map_points([(0, 0, 0)], edit_h5(tmp_path / "x.h5", replace_numbers(make)))


@pytest.mark.parametrize(("length", "told"), [(1000, "holds a xxx"), (1001, "must be a word")])
def test_how_long_the_name_of_a_kind_may_be(tmp_path, length, told):
    def change(member):
        del member["TransformType"]
        member["TransformType"] = np.array([b"x" * length])

    with pytest.raises(DataError, match=told):
        map_points([(0, 0, 0)], edit_h5(tmp_path / "x.h5", change))


@pytest.mark.parametrize(("numbers", "fixed"), [(11, 3), (13, 3), (12, 2), (12, 4)])
def test_affine_of_another_number_of_parameters(tmp_path, numbers, fixed):
    values = np.resize(np.eye(3).ravel(), numbers)
    path = write_h5(tmp_path / "x.h5", ("AffineTransform_double_3_3", values, np.zeros(fixed)))
    with pytest.raises(DataError, match=r"arameters must have (12|3) numbers"):
        map_points([(0, 0, 0)], path)


def test_size_of_a_linear_transform_in_text(tmp_path):
    path = tmp_path / "x.txt"
    text = HEADER + affine_text("1 0 0 0 1 0 0 0 1 1 2 3")
    for size, fits in ((64 * 1024, True), (64 * 1024 + 1, False)):
        path.write_text(text + "\n" * (size - len(text)))
        if fits:
            np.testing.assert_allclose(map_points([(0, 0, 0)], path), [(-1, -2, 3)], atol=1e-6)
        else:
            with pytest.raises(DataError, match="64 kB"):
                map_points([(0, 0, 0)], path)


@pytest.mark.parametrize("name", ["composite.h5", "affine.h5", "affine.txt"])
def test_points_that_are_given_stay_where_they_are(itk_data, itk_truth, name):
    points = np.array(itk_truth.points, dtype=float)
    moved = map_points(points, itk_data / name)
    np.testing.assert_array_equal(points, itk_truth.points)
    assert np.abs(moved - points).max() > 1


def test_a_field_on_an_oblique_grid_of_unequal_voxels(tmp_path):
    """ITK: point = origin + direction @ (spacing * index)."""
    rng = np.random.default_rng(8)
    shape, spacing, origin = (6, 5, 7), np.array([4.0, 9, 2.5]), np.array([-20.0, 15, -30])
    direction = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    values = rng.normal(0, 3, (*shape, 3))
    kind, numbers, fixed = field(values, spacing, origin)
    path = write_h5(tmp_path / "x.h5", (kind, numbers, [*fixed[:9], *direction.ravel()]))
    index = rng.uniform(0, np.array(shape) - 1, (40, 3))
    lps = origin + (spacing * index) @ direction.T
    expected = lps + RegularGridInterpolator([*map(np.arange, shape)], values)(index)
    np.testing.assert_allclose(map_points(LPS * lps, path), LPS * expected, atol=1e-9)


def test_a_field_may_be_one_voxel_thick(tmp_path):
    values = np.arange(2 * 1 * 3 * 3.0).reshape(2, 1, 3, 3)
    path = write_h5(tmp_path / "x.h5", field(values, (10, 50, 20), (0, 0, 0)))
    moved = move_points(LPS * np.array([(10, 20, 40), (5, -24, 0), (10, 26, 40)], float), [path])
    assert moved.outside.tolist() == [False, False, True]
    shift = values[1, 0, 2], values[:, 0, 0].mean(axis=0), (0, 0, 0)
    lps = np.array([(10, 20, 40), (5, -24, 0), (10, 26, 40)]) + shift
    np.testing.assert_allclose(moved.coordinates, LPS * lps, atol=1e-9)


def test_one_point_that_is_taken_to_no_place_is_an_error_of_all(tmp_path):
    values = np.ones((3, 3, 3, 3))
    values[2, 2, 2, 1] = np.nan
    path = write_h5(tmp_path / "x.h5", field(values, (10, 10, 10), (0, 0, 0)))
    np.testing.assert_allclose(map_points([(0, 0, 0)], path), [(-1, -1, 1)])
    with pytest.raises(DataError, match="not finite"):
        map_points([(0, 0, 0), (-20, -20, 20)], path)


def test_both_names_of_a_linear_transform_in_a_composite(tmp_path):
    """With a centre, which is not the origin: y = A (x - c) + c + t, in LPS."""
    matrix = np.array([[0, -2.0, 0], [1, 0, 0.5], [0, 0, 3]])
    centre, shift = np.array([1.0, 2, 3]), np.array([4.0, -5, 6])
    expected = LPS * (matrix @ (LPS * (10, 20, 30) - centre) + centre + shift)
    for kind in ("AffineTransform_double_3_3", "MatrixOffsetTransformBase_float_3_3"):
        path = write_h5(tmp_path / "x.h5", (kind, [*matrix.ravel(), *shift], centre))
        np.testing.assert_allclose(map_points([(10, 20, 30)], path), [expected], atol=1e-9)
