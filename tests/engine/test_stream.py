"""Streaming against bytes written by hand, numpy, zlib and nibabel."""

from __future__ import annotations

import builtins
import bz2
import gzip
import io
import itertools
import json
import re
import subprocess
import sys
import tracemalloc
import warnings
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_spheres.engine import stream
from bids_spheres.engine.extract import extract_spheres
from bids_spheres.engine.spheres import Grid
from bids_spheres.engine.stream import load_mask, open_volumes, read_ahead, read_mask, stack_volumes
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError, ReadWriteError

AFFINE = np.array([[-3.0, 0, 0, 20], [0, 2.5, 0.5, -15], [0, -0.5, 4, 7], [0, 0, 0, 1]])
SHAPE = (5, 6, 7, 4)
HEADER_BYTES = 352

# Volumes of 32 kB, larger than what readers fetch ahead.
# Volumes are larger than what Python fetches ahead: 8 kB, and 128 kB from 3.14 on.
LONG_SHAPE = (32, 32, 32, 6)
VOLUME_BYTES = 32**3 * 8


def header_of(raw, kind=nib.Nifti1Header, slope=np.nan, inter=np.nan):
    header = kind(endianness="<" if raw.dtype.newbyteorder("=").str == raw.dtype.str else ">")
    header.set_data_dtype(raw.dtype)
    header.set_data_shape(raw.shape)
    header.set_sform(AFFINE, 1)
    header["vox_offset"] = header.structarr.nbytes + 4
    header["scl_slope"], header["scl_inter"] = slope, inter
    return header


def nifti_bytes(raw, **how):
    """A NIfTI file of exactly these voxels, written without nibabel's scaling."""
    return header_of(raw, **how).binaryblock + bytes(4) + raw.tobytes(order="F")


def write(path, content):
    """`content` as a file, compressed if its name says so."""
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def read(image, voxels=None):
    """All volumes of an image, (T, V)."""
    volumes = open_volumes(image)
    voxels = np.arange(np.prod(volumes.grid.shape)) if voxels is None else voxels
    return np.concatenate(list(volumes.blocks(voxels)))


def rows(data):
    """A (X, Y, Z, T) array as (T, V), voxels as in a file."""
    return data.reshape(-1, data.shape[3], order="F").T


def noise(shape=SHAPE, dtype=np.float64):
    return np.random.default_rng(3).normal(1000, 50, shape).astype(dtype)


def raw_of_type(dtype):
    """Values over the whole range of a type."""
    rng = np.random.default_rng(2)
    if np.dtype(dtype).kind == "f":
        return (rng.standard_normal(SHAPE) * 10.0 ** rng.integers(-8, 8, SHAPE)).astype(dtype)
    info = np.iinfo(dtype)
    raw = rng.integers(info.min, info.max, SHAPE, dtype=dtype, endpoint=True)
    raw.flat[:2] = info.min, info.max
    return raw


@pytest.fixture
def long_run():
    return noise(LONG_SHAPE)


# What is stored is what comes out

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
SCALINGS = {
    "none": (1, 0),
    "scaled": (0.375, -1200),
    "intercept": (1, 10.5),
    "slope": (-2, 0),
    "slope 0 means none": (0, 12),
    "NaN means none": (np.nan, np.nan),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_type_and_scaling(tmp_path, kind, scaling):
    slope, inter = SCALINGS[scaling]
    for order, suffix in itertools.product("<>", (".nii", ".nii.gz")):
        raw = raw_of_type(kind).astype(order + kind)
        expected = rows(raw).astype(np.float64)
        if "means none" not in scaling:
            expected = expected * slope + inter
        path = write(tmp_path / f"run{suffix}", nifti_bytes(raw, slope=slope, inter=inter))
        values = read(path)
        assert values.dtype == np.float64
        (stored,) = open_volumes(path).stored_blocks(np.arange(raw[..., 0].size))
        np.testing.assert_array_equal(stored, rows(raw))
        assert stored.dtype == open_volumes(path).stored_dtype == raw.dtype.newbyteorder("=")
        np.testing.assert_allclose(values, expected, rtol=1e-15)
        np.testing.assert_allclose(values, rows(np.asarray(nib.load(path).dataobj)), rtol=1e-15)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_2(tmp_path, suffix):
    raw = raw_of_type("i2")
    content = nifti_bytes(raw, kind=nib.Nifti2Header, slope=2, inter=1)
    path = write(tmp_path / f"run{suffix}", content)
    assert isinstance(nib.load(path), nib.Nifti2Image)
    np.testing.assert_array_equal(read(path), rows(raw) * 2.0 + 1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_header_extensions_are_stepped_over(tmp_path, suffix):
    img = nib.Nifti1Image(noise(), AFFINE)
    img.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 5000))
    path = tmp_path / f"run{suffix}"
    img.to_filename(path)
    assert nib.load(path).dataobj.offset > HEADER_BYTES
    np.testing.assert_array_equal(read(path), rows(noise()))


# nibabel leaves the file handle of an .mgh to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (nib.Nifti1Pair, "run.img"),
        (nib.Nifti1Pair, "run.hdr"),
        (nib.Nifti1Pair, "run.img.gz"),
        (nib.Nifti2Pair, "run.img"),
        (nib.AnalyzeImage, "run.img"),
        (nib.Spm99AnalyzeImage, "run.img"),
        (nib.Spm2AnalyzeImage, "run.img.gz"),
        (nib.MGHImage, "run.mgh"),
        (nib.MGHImage, "run.mgz"),
        (nib.Nifti1Image, "RUN.NII.GZ"),
        (nib.Nifti1Image, "run.nii.bz2"),
    ],
)
def test_formats_that_nibabel_reads(tmp_path, kind, name):
    data = noise(dtype=np.float32)
    img = kind(data, AFFINE)
    img.to_filename(tmp_path / name)
    volumes = open_volumes(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), rows(data))
    np.testing.assert_allclose(volumes.grid.affine, nib.load(tmp_path / name).affine)


def test_a_file_that_nibabel_reads_is_scaled_by_it(tmp_path):
    counts = raw_of_type("i2")
    content = nifti_bytes(counts, slope=0.375, inter=-1200)
    (tmp_path / "run.nii.bz2").write_bytes(bz2.compress(content))
    np.testing.assert_array_equal(read(tmp_path / "run.nii.bz2"), rows(counts) * 0.375 - 1200)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.dtype(">f8")])
def test_arrays_in_memory(order, dtype):
    data = np.array(noise(), dtype=dtype, order=order)
    volumes = open_volumes(nib.Nifti1Image(data, AFFINE))
    assert volumes.name == "image in memory"
    assert volumes.stored_dtype == data.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read(nib.Nifti1Image(data, AFFINE)), rows(data))


def test_an_image_in_memory_can_come_from_bytes():
    raw = raw_of_type("i2")
    img = nib.Nifti1Image.from_bytes(nifti_bytes(raw, slope=0.5, inter=3))
    assert nib.is_proxy(img.dataobj)
    np.testing.assert_array_equal(read(img), rows(raw) * 0.5 + 3)


@pytest.mark.parametrize("shape", [SHAPE[:3], (*SHAPE[:3], 1)])
@pytest.mark.parametrize("where", ["run.nii", "run.nii.gz", None])
def test_one_volume(tmp_path, shape, where):
    data = noise(shape, np.float32)
    image = nib.Nifti1Image(data, AFFINE)
    if where is not None:
        image = write(tmp_path / where, nifti_bytes(data))
    assert open_volumes(image).n_volumes == 1
    assert open_volumes(image).is_3d is (len(shape) == 3)
    np.testing.assert_array_equal(read(image), [data.ravel(order="F")])


@pytest.mark.parametrize(
    ("shape", "zooms"),
    [
        ((*SHAPE, 1), (3, 3, 4, 2.5, 1)),
        ((*SHAPE[:3], 1, SHAPE[3]), (3, 3, 4, 1, 2.5)),
        ((*SHAPE[:3], 1, 1, SHAPE[3]), (3, 3, 4, 1, 1, 2.5)),
    ],
    ids=["an axis too many", "time on the fifth axis", "time on the sixth axis"],
)
@pytest.mark.parametrize("where", ["run.nii", "run.nii.gz", None])
def test_axes_of_length_one_do_not_count(tmp_path, shape, zooms, where):
    # Unlike nilearn, which raises DimensionError
    data = noise().reshape(shape)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", "sec")
    if where is not None:
        image.to_filename(tmp_path / where)
        image = tmp_path / where
    volumes = open_volumes(image)
    assert (volumes.n_volumes, volumes.is_3d) == (SHAPE[3], False)
    np.testing.assert_array_equal(read(image), rows(noise()))
    assert volumes.t_r == pytest.approx(2.5)


def test_path_string_and_loaded_image_are_the_same(tmp_path):
    path = write(tmp_path / "run.nii.gz", nifti_bytes(noise()))
    for image in (path, str(path), nib.load(path)):
        np.testing.assert_array_equal(read(image), rows(noise()))


@pytest.mark.parametrize("where", ["run.nii", "run.nii.gz", None])
@pytest.mark.parametrize("largest", [1, 3, 4, 64])
def test_blocks_of_any_size_are_the_image(tmp_path, monkeypatch, where, largest):
    monkeypatch.setattr(stream, "_MAX_BLOCK", largest)
    data = noise((4, 5, 3, 11), np.float32)
    image = nib.Nifti1Image(data, AFFINE)
    if where is not None:
        image = write(tmp_path / where, nifti_bytes(data))
    voxels = np.array([7, 0, 59, 7, 31])  # in any order, and twice
    blocks = list(open_volumes(image).blocks(voxels))
    assert [len(block) for block in blocks[:-1]] == [largest] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), rows(data)[:, voxels])


@pytest.mark.parametrize("where", ["run.nii", "run.nii.gz", None])
@pytest.mark.parametrize("voxels", [np.arange(9), None], ids=["some", "all"])
def test_a_block_is_the_callers(tmp_path, monkeypatch, where, voxels):
    monkeypatch.setattr(stream, "_MAX_BLOCK", 2)
    data = noise(dtype=np.float64)
    image = nib.Nifti1Image(data.copy(order="F"), AFFINE)
    if where is not None:
        image = write(tmp_path / where, nifti_bytes(data))
    chosen = slice(None) if voxels is None else voxels
    for read_blocks in (open_volumes(image).stored_blocks, open_volumes(image).blocks) * 2:
        for i, block in enumerate(read_blocks(voxels)):
            np.testing.assert_array_equal(block, rows(data)[2 * i : 2 * i + 2, chosen])
            block[:] = np.nan


def test_stacked_images_are_one_series(tmp_path):
    counts = raw_of_type("i2")
    plain = write(tmp_path / "one.nii.gz", nifti_bytes(counts))
    scaled = write(tmp_path / "two.nii", nifti_bytes(counts, slope=0.5, inter=-7))
    single = nib.Nifti1Image(noise(SHAPE[:3]), AFFINE)
    volumes = stack_volumes([open_volumes(image) for image in (plain, scaled, single)])
    assert volumes.n_volumes == 9
    values = np.concatenate(list(volumes.blocks(np.arange(100))))
    parts = [rows(counts), rows(counts) * 0.5 - 7, noise(SHAPE[:3]).ravel(order="F")[None]]
    np.testing.assert_array_equal(values, np.concatenate(parts)[:, :100])


def test_stacked_integers_are_real_numbers_where_an_image_is_scaled(tmp_path):
    counts = raw_of_type("i2")
    plain = write(tmp_path / "plain.nii", nifti_bytes(counts))
    half = write(tmp_path / "half.nii", nifti_bytes(counts, slope=0.5, inter=-7))
    quarter = write(tmp_path / "quarter.nii.gz", nifti_bytes(counts, slope=0.25, inter=3))
    higher = write(tmp_path / "higher.nii", nifti_bytes(counts, slope=1, inter=70000.5))
    whole = rows(counts)
    for images, dtype, parts in (
        ((plain, plain), np.int16, (whole, whole)),
        ((half, quarter), np.float64, (0.5 * whole - 7, 0.25 * whole + 3)),
        ((higher, higher), np.float64, (whole + 70000.5, whole + 70000.5)),
    ):
        volumes = stack_volumes([open_volumes(image) for image in images])
        assert (volumes.stored_dtype, volumes.real_dtype) == (dtype, dtype)
        assert (volumes.slope, volumes.inter) == (1, 0)
        np.testing.assert_array_equal(np.concatenate(list(volumes.blocks())), np.vstack(parts))


@pytest.mark.parametrize("number", [1, 3])
def test_stacked_volumes_have_a_time_axis(number):
    volumes = stack_volumes([open_volumes(nib.Nifti1Image(noise(SHAPE[:3]), AFFINE))] * number)
    assert (volumes.is_3d, volumes.n_volumes) == (False, number)
    assert volumes.name == "image in memory" + " and 2 more" * (number == 3)


def test_images_on_different_grids_are_no_series():
    moved = AFFINE.copy()
    moved[0, 3] += 1
    one, two = nib.Nifti1Image(noise(), AFFINE), nib.Nifti1Image(noise(), moved)
    with pytest.raises(DataError, match=r"image #1 .* is different from that of the first"):
        stack_volumes([open_volumes(one), open_volumes(two)])


def test_reading_ahead_changes_nothing():
    def blocks():
        yield from (np.full(3, i) for i in range(5))
        raise DataError("at the end")

    seen = []
    with pytest.raises(DataError, match="at the end"):
        seen.extend(int(block[0]) for block in read_ahead(blocks()))
    assert seen == [0, 1, 2, 3, 4]


def test_grid_is_that_of_the_image(tmp_path):
    path = write(tmp_path / "run.nii.gz", nifti_bytes(noise()))
    assert open_volumes(path).grid.matches(Grid(SHAPE[:3], AFFINE))


@pytest.mark.parametrize(
    ("zoom", "unit", "seconds"),
    [(2.5, "sec", 2.5), (2500, "msec", 2.5), (2.5e6, "usec", 2.5), (2.5, "unknown", 2.5)],
)
def test_repetition_time_of_nifti_is_in_its_own_unit(zoom, unit, seconds):
    img = nib.Nifti1Image(noise(), AFFINE)
    img.header.set_zooms((3, 3, 4, zoom))
    img.header.set_xyzt_units("mm", unit)
    assert open_volumes(img).t_r == pytest.approx(seconds)


def test_one_volume_has_no_repetition_time():
    assert open_volumes(nib.Nifti1Image(noise(SHAPE[:3]), AFFINE)).t_r == 0


def test_the_fourth_axis_is_time_where_no_other_is_longer():
    img = nib.Nifti1Image(noise().reshape(*SHAPE, 1, 1)[:, :, :, :1], AFFINE)
    img.header.set_zooms((3, 3, 4, 2.5, 7, 9))
    img.header.set_xyzt_units("mm", "sec")
    assert open_volumes(img).t_r == pytest.approx(2.5)


def test_repetition_time_of_mgh_is_in_milliseconds():
    img = nib.MGHImage(noise(dtype=np.float32), AFFINE)
    img.header.set_zooms((3, 3, 4, 2500))  # as the format and nibabel say
    assert open_volumes(img).t_r == pytest.approx(2.5)


@pytest.mark.parametrize("code", [4, 7, 136])
def test_unknown_units_do_not_keep_an_image_from_being_read(tmp_path, code):
    content = bytearray(nifti_bytes(noise()))
    content[123] = code  # xyzt_units
    path = write(tmp_path / "run.nii.gz", bytes(content))
    np.testing.assert_array_equal(read(path), rows(noise()))


# Masks


def test_mask_is_where_an_image_is_not_zero(tmp_path):
    values = np.zeros(SHAPE[:3], np.float32)
    values[1:3, 2, 4], values[0, 0, 0], values[4, 5, 6], values[2, 2, 2] = 1, -0.5, np.nan, 3
    mask, grid = load_mask(write(tmp_path / "mask.nii.gz", nifti_bytes(values)))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.nan_to_num(values) != 0)
    assert grid.matches(Grid(SHAPE[:3], AFFINE))


@pytest.mark.parametrize("scaling", [None, (1 / 255, 0)])
def test_a_mask_of_probabilities_holds_from_one_half_on(tmp_path, scaling):
    values = np.random.default_rng(1).random(SHAPE[:3]).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1], values[2, 2, 2], values[3, 3, 3] = 0, 1, 0.5, np.nan
    img = nib.Nifti1Image(values, AFFINE)
    if scaling:
        stored = np.rint(np.nan_to_num(values) * 255).astype(np.uint8)
        values, img = stored / 255, nib.Nifti1Image(stored, AFFINE)
        img.header.set_slope_inter(*scaling)
    img.to_filename(tmp_path / "prob.nii.gz")
    with pytest.warns(UserWarning, match=r"prob.nii.gz holds probabilities.*at least \.5"):
        mask, _ = load_mask(tmp_path / "prob.nii.gz")
    np.testing.assert_array_equal(mask, np.nan_to_num(values) >= 0.5)


@pytest.mark.parametrize("values", [(0, 2), (0, 0.3, 1.001), (-0.5, 0, 0.7), (0, 1), (1, 1)])
def test_other_numbers_are_no_probabilities(values):
    data = np.resize(np.array(values, np.float32), SHAPE[:3])
    mask, _ = load_mask(nib.Nifti1Image(data, AFFINE))
    np.testing.assert_array_equal(mask, data != 0)


def test_a_mask_on_another_grid_is_told():
    mask = read_mask(nib.Nifti1Image(np.ones(SHAPE[:3], np.uint8), AFFINE))
    moved, finer = AFFINE.copy(), np.diag([1, 1, 1, 1.0])
    moved[0, 3] += 3
    assert list(mask.notes(Grid(SHAPE[:3], AFFINE))) == []
    (note,) = mask.notes(Grid(SHAPE[:3], moved))
    assert "has another affine, although the same shape," in note
    (note,) = mask.notes(Grid((5, 6, 8), AFFINE))
    assert "has another grid" in note
    (note,) = mask.notes(Grid((20, 20, 20), finer))
    assert "has another grid than the image: the nearest voxel of the mask counts" in note


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        (np.zeros(SHAPE[:3]), "it is empty"),
        (np.full(SHAPE[:3], np.nan), "it is empty"),
        (np.ones(SHAPE), "a mask has one volume, not 4"),
    ],
)
def test_what_is_no_mask(values, phrase):
    with pytest.raises(DataError, match=phrase):
        load_mask(nib.Nifti1Image(values, AFFINE))


# What can't be read


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (np.zeros(SHAPE, np.complex64), "complex64, not real numbers"),
        (
            np.zeros(SHAPE, np.dtype([(c, "u1") for c in "RGB"])),
            "of type colours, not real numbers",
        ),
        (np.zeros((5, 6), np.float32), "3-D or 4-D"),
        (np.zeros((*SHAPE, 2), np.float32), "3-D or 4-D"),
    ],
    ids=["complex", "RGB", "2-D", "5-D"],
)
@pytest.mark.parametrize("name", [None, "run.nii", "run.nii.gz"])
def test_images_that_are_no_series_of_volumes(tmp_path, data, phrase, name):
    image = nib.Nifti1Image(data, AFFINE)
    if name is not None:
        image.to_filename(tmp_path / name)
        image = tmp_path / name
    with pytest.raises(DataError, match=phrase) as caught:
        open_volumes(image)
    assert (name or "image in memory") in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 0, 4), (3, 2, 4, 0), (3, 2, 4, 1, 0)])
def test_an_image_without_a_voxel_or_a_volume_is_none(shape):
    with pytest.raises(DataError, match="a 3-D or 4-D image is needed"):
        open_volumes(nib.Nifti1Image(np.zeros(shape, np.float32), AFFINE))


def test_surfaces_are_no_volume_images(tmp_path):
    array = nib.gifti.GiftiDataArray(np.zeros(10, np.float32))
    nib.GiftiImage(darrays=[array]).to_filename(tmp_path / "run.gii")
    with pytest.raises(DataError, match=r"run\.gii is a GiftiImage, not a volume image"):
        open_volumes(tmp_path / "run.gii")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.nii", b""),
        ("run.nii.gz", b""),
        ("run.nii.gz", gzip.compress(b"")),
        ("run.nii", b"this is text"),
        ("run.nii.gz", b"this is text"),
        ("run.nii.gz", nifti_bytes(noise())),
        ("run.nii", gzip.compress(nifti_bytes(noise()))),
        ("run.txt", b"this is text"),
        ("run.nii", nifti_bytes(noise())[:200]),
        ("run.nii.gz", gzip.compress(nifti_bytes(noise()))[:40]),
    ],
    ids=[
        "empty",
        "empty, .gz",
        "nothing, compressed",
        "text",
        "text, .gz",
        "not compressed",
        "compressed without saying so",
        "another ending",
        "half a header",
        "half a header, .gz",
    ],
)
def test_files_that_are_no_images(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="can't be read as an image") as caught:
        open_volumes(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("code", [0, 1, 9999], ids=["none", "bits", "not in the standard"])
def test_a_type_that_nobody_reads(tmp_path, code):
    content = bytearray(nifti_bytes(noise()))
    content[70:72] = code.to_bytes(2, "little")  # datatype
    with pytest.raises(DataError, match=r"run\.nii"):
        open_volumes(write(tmp_path / "run.nii", content))


@pytest.mark.parametrize("name", ["folder", "folder.nii", "folder.nii.gz"])
def test_a_folder_is_no_image(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="is a folder; an image is needed"):
        open_volumes(tmp_path / name)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz", "folder/run.nii.gz"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(MissingInputError, match=r"run\.nii(\.gz)? is not there") as caught:
        open_volumes(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_file_that_goes_away(tmp_path, name):
    path = write(tmp_path / name, nifti_bytes(noise()))
    volumes = open_volumes(path)
    path.unlink()
    with pytest.raises(MissingInputError, match=name):
        next(volumes.blocks(np.arange(3)))


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
@pytest.mark.parametrize("kind", ["link", "pointer"])
def test_what_git_annex_has_not_fetched(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "link":
        path.symlink_to("../../.git/annex/objects/1f/2g/MD5E-s9--0a.nii.gz/MD5E-s9--0a.nii.gz")
    else:
        path.write_text("/annex/objects/MD5E-s9--0a.nii.gz\n")
    with pytest.raises(MissingInputError, match=r"git-annex has its name only") as caught:
        open_volumes(path)
    assert caught.value.hint == f"Get it with: datalad get {path}"


def test_a_link_to_nowhere_is_not_git_annexs(tmp_path):
    (tmp_path / "run.nii").symlink_to("elsewhere.nii")
    with pytest.raises(MissingInputError, match=r"run\.nii is not there"):
        open_volumes(tmp_path / "run.nii")


@pytest.mark.parametrize(
    "affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([2.0, 2, 0, 1])]
)
def test_an_image_without_a_place_in_space(tmp_path, affine):
    header = header_of(noise())
    header["srow_x"], header["srow_y"], header["srow_z"], _ = affine
    path = write(tmp_path / "run.nii", header.binaryblock + bytes(4) + noise().tobytes())
    with pytest.raises(DataError, match=r"run\.nii: The affine of the image") as caught:
        open_volumes(path)
    assert "no usable sform or qform" in caught.value.hint


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_without_its_image(tmp_path, suffix):
    nib.Nifti1Pair(noise(), AFFINE).to_filename(tmp_path / f"run.img{suffix}")
    (tmp_path / f"run.img{suffix}").unlink()
    with pytest.raises(MissingInputError, match="run"):
        read(tmp_path / f"run.hdr{suffix}")


class _Failing:
    """A stream over a disk that fails."""

    def __init__(self, error):
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def readinto(self, _):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "phrase"),
    [
        (OSError(5, "Input/output error"), ReadWriteError, r"run\.nii\.gz: Input/output error"),
        (EOFError("end"), DataError, r"run\.nii\.gz: the file ends early, at volume 1 of 4"),
        (zlib.error("bad"), DataError, r"run\.nii\.gz: the compressed data are damaged \(bad\)"),
    ],
)
def test_failures_of_the_stream(tmp_path, monkeypatch, error, kind, phrase):
    path = write(tmp_path / "run.nii.gz", nifti_bytes(noise()))
    monkeypatch.setattr(stream, "open_gzip", lambda _: _Failing(error))
    with pytest.raises(kind, match=phrase):
        read(path)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    path = write(tmp_path / name, nifti_bytes(noise()))

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(nib, "load", refuse)
    with pytest.raises(ReadWriteError, match=f"{name}: Permission denied"):
        open_volumes(path)


# Files that end early or are damaged


def early_end(path, n_volumes=LONG_SHAPE[3]):
    """The volume at which reading fails, counted from 1; the message also names the file."""
    with pytest.raises(DataError) as caught:
        read(path)
    found = re.search(rf"{path.name}: .*at volume (\d+) of {n_volumes}", str(caught.value))
    assert found, str(caught.value)
    assert "incomplete or damaged" in caught.value.hint
    return int(found[1])


@pytest.mark.parametrize(
    ("kept", "volume"),
    [
        (HEADER_BYTES - 4, 1),
        (HEADER_BYTES, 1),
        (HEADER_BYTES + VOLUME_BYTES - 1, 1),
        (HEADER_BYTES + VOLUME_BYTES, 2),
        (HEADER_BYTES + 3 * VOLUME_BYTES + 5, 4),
        (HEADER_BYTES + 6 * VOLUME_BYTES - 1, 6),
    ],
)
def test_an_uncompressed_file_that_ends_early(tmp_path, long_run, kept, volume):
    assert early_end(write(tmp_path / "run.nii", nifti_bytes(long_run)[:kept])) == volume


@pytest.mark.parametrize("share", [0.11, 0.15, 0.3, 0.45, 0.8, 0.99])
def test_a_compressed_file_that_ends_early(tmp_path, long_run, share):
    whole = gzip.compress(nifti_bytes(long_run), 1)
    content = whole[: int(share * len(whole))]
    inflated = len(zlib.decompressobj(31).decompress(content))
    (tmp_path / "run.nii.gz").write_bytes(content)
    volume, beyond = divmod(inflated - HEADER_BYTES, VOLUME_BYTES)
    assert beyond > io.DEFAULT_BUFFER_SIZE  # else what was fetched ahead would blur the count
    assert early_end(tmp_path / "run.nii.gz") == volume + 1


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_an_inflated_file_that_ends_early(tmp_path, long_run, name):
    content = nifti_bytes(long_run)[: HEADER_BYTES + 3 * VOLUME_BYTES + 200_000]
    assert early_end(write(tmp_path / name, content)) == 4


@pytest.mark.parametrize("missing", [1, 4, 8])
def test_a_checksum_that_ends_early(tmp_path, long_run, missing):
    content = gzip.compress(nifti_bytes(long_run), 1)[:-missing]
    (tmp_path / "run.nii.gz").write_bytes(content)
    assert early_end(tmp_path / "run.nii.gz") == 6


@pytest.mark.parametrize("place", [-8, -4], ids=["checksum", "length"])
def test_a_wrong_checksum(tmp_path, long_run, place):
    content = bytearray(gzip.compress(nifti_bytes(long_run), 1))
    content[place] ^= 1
    (tmp_path / "run.nii.gz").write_bytes(content)
    assert early_end(tmp_path / "run.nii.gz") == 6


def test_what_is_wrong_at_the_end_is_told(tmp_path, long_run):
    whole = gzip.compress(nifti_bytes(long_run), 1)
    for content in (whole[:-4], whole + b"garbage"):
        (tmp_path / "run.nii.gz").write_bytes(content)
        with pytest.raises(DataError, match="or something else follows its end"):
            read(tmp_path / "run.nii.gz")


def test_one_flipped_bit_in_the_middle(tmp_path, long_run):
    content = bytearray(gzip.compress(nifti_bytes(long_run), 0))  # stored, so that it inflates
    content[len(content) // 2] ^= 1
    (tmp_path / "run.nii.gz").write_bytes(content)
    assert early_end(tmp_path / "run.nii.gz") == 6
    assert np.asarray(nib.load(tmp_path / "run.nii.gz").dataobj).shape == LONG_SHAPE


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_damaged_bytes_in_the_middle(tmp_path, long_run, share):
    content = bytearray(gzip.compress(nifti_bytes(long_run), 6))
    start = int(share * len(content))
    content[start : start + 100] = bytes(range(255, 155, -1))
    (tmp_path / "run.nii.gz").write_bytes(content)
    assert int(share * 6) <= early_end(tmp_path / "run.nii.gz") <= 6


def test_several_gzip_members_are_one_file(tmp_path, long_run):
    content = nifti_bytes(long_run)
    members = [gzip.compress(content[i : i + 500_001], 1) for i in range(0, len(content), 500_001)]
    (tmp_path / "run.nii.gz").write_bytes(b"".join(members))
    np.testing.assert_array_equal(read(tmp_path / "run.nii.gz"), rows(long_run))
    (tmp_path / "cut.nii.gz").write_bytes(b"".join(members[:3]))
    assert early_end(tmp_path / "cut.nii.gz") == 1_500_003 // VOLUME_BYTES + 1


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
@pytest.mark.parametrize("more", [b"\0", b"more" * 10, b"more" * VOLUME_BYTES])
def test_data_after_the_last_volume_are_an_error(tmp_path, long_run, name, more):
    path = write(tmp_path / name, nifti_bytes(long_run) + more)
    with pytest.raises(DataError, match=rf"{name}: the file holds more data than its header says"):
        read(path)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
@pytest.mark.parametrize("axis", [1, 2, 3, 4])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_dimension_that_is_not_that_of_the_data_is_an_error(
    tmp_path, long_run, name, axis, change
):
    header = header_of(long_run)
    header["dim"][axis] += change
    path = write(tmp_path / name, header.binaryblock + bytes(4) + long_run.tobytes(order="F"))
    with pytest.raises(DataError, match="ends early" if change > 0 else "holds more data"):
        read(path)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
@pytest.mark.parametrize(
    ("said", "stored"), [("i2", "f4"), ("f4", "i2"), ("f8", "f4"), ("u1", "i2")]
)
def test_data_of_another_type_than_the_headers_are_an_error(tmp_path, name, said, stored):
    data = noise().astype(stored)
    header = header_of(data.astype(said))
    path = write(tmp_path / name, header.binaryblock + bytes(4) + data.tobytes(order="F"))
    wider = np.dtype(said).itemsize > np.dtype(stored).itemsize
    with pytest.raises(DataError, match="ends early" if wider else "holds more data"):
        read(path)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz", "run.img", "run.hdr"])
@pytest.mark.parametrize("bits", [0, 8, 64])
def test_bits_of_a_voxel_that_are_not_those_of_its_type_are_an_error(tmp_path, name, bits):
    data = noise().astype(np.float32)
    path = tmp_path / name
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    header = path.with_suffix(".hdr") if path.suffix in {".img", ".hdr"} else path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(header, "rb") as file:
        content = bytearray(file.read())
    content[72:74] = bits.to_bytes(2, "little")
    with opened(header, "wb") as file:
        file.write(content)
    assert np.array_equal(nib.load(path).get_fdata(), data)  # what nibabel does
    with pytest.raises(
        DataError, match=rf"a voxel has {bits} bits .bitpix., but is of type float32"
    ):
        open_volumes(path)


def test_a_second_gzip_member_with_more_data_is_an_error(tmp_path, long_run):
    content = gzip.compress(nifti_bytes(long_run), 1) + gzip.compress(long_run.tobytes(), 1)
    (tmp_path / "run.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match="holds more data"):
        read(tmp_path / "run.nii.gz")


@pytest.mark.parametrize("offset", [np.inf, -np.inf, np.nan, 1e30, -1e30, -352, 0])
@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_an_offset_that_leads_nowhere(tmp_path, name, offset):
    header = header_of(noise())
    header["vox_offset"] = offset
    path = write(tmp_path / name, header.binaryblock + bytes(4) + noise().tobytes(order="F"))
    with pytest.raises(DataError, match=name):
        read(path)


def test_zeros_after_the_compressed_data_are_padding(tmp_path, long_run):
    content = gzip.compress(nifti_bytes(long_run), 1) + bytes(1000)
    (tmp_path / "run.nii.gz").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "run.nii.gz"), rows(long_run))


def test_anything_else_after_the_compressed_data_is_damage(tmp_path, long_run):
    # Unlike nibabel and nilearn, which stop reading before they could see it.
    content = gzip.compress(nifti_bytes(long_run), 1) + b"garbage" * 10
    (tmp_path / "run.nii.gz").write_bytes(content)
    assert early_end(tmp_path / "run.nii.gz") == 6
    assert np.asarray(nib.load(tmp_path / "run.nii.gz").dataobj).shape == LONG_SHAPE


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_damage_to_a_file_that_only_nibabel_reads(tmp_path, damage):
    content = bz2.compress(nifti_bytes(noise((40, 40, 40, 4))))
    half = len(content) * 2 // 3
    rest = b"" if damage == "cut" else bytes(50) + content[half + 50 :]
    (tmp_path / "run.nii.bz2").write_bytes(content[:half] + rest)
    volumes = open_volumes(tmp_path / "run.nii.bz2")
    with pytest.raises(DataError, match=r"run\.nii\.bz2"):
        next(volumes.blocks(np.arange(3)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", [4, 32767, 32767, 32767, 5, 1, 1, 1]), ("vox_offset", 1e30)],
)
@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_header_that_promises_more_than_memory_holds(tmp_path, name, field, value):
    header = header_of(noise())
    header[field] = value
    path = write(tmp_path / name, header.binaryblock + bytes(4 + noise().nbytes))
    with pytest.raises(DataError, match=name):
        next(open_volumes(path).blocks(np.arange(3)))


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_header_that_promises_too_much_is_refused_before_it_is_gone_by(tmp_path, name, kind):
    header = header_of(noise(), kind=kind)
    header["dim"][1:5] = np.iinfo(header["dim"].dtype).max  # their product overflows 64 bits
    content = header.binaryblock + bytes(4 + noise().nbytes)
    for path in (write(tmp_path / name, content), write(tmp_path / f"b{name}", content)):
        with pytest.raises(
            DataError, match=rf"{name}: the file .* at volume 1 of {header['dim'][4]}"
        ):
            open_volumes(path)


def test_a_bomb_does_not_go_off(tmp_path):
    # 60 MB of zeros in 60 kB, behind a header that promises all that can be, and behind an image
    large = header_of(noise())
    large["dim"][:5] = 4, 2000, 2000, 4, 1000
    for header, image in ((large, b""), (header_of(noise()), noise().tobytes(order="F"))):
        content = gzip.compress(header.binaryblock + bytes(4) + image + bytes(60_000_000), 9)
        (tmp_path / "run.nii.gz").write_bytes(content)
        tracemalloc.start()
        try:
            why = "holds more data" if image else "too small for what its header promises"
            with pytest.raises(DataError, match=why):
                read(tmp_path / "run.nii.gz")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3_000_000


def test_voxels_far_behind_the_header(tmp_path):
    header = header_of(noise())
    header["vox_offset"] = 3_000_000
    content = header.binaryblock.ljust(3_000_000, b"\0") + noise().tobytes(order="F")
    np.testing.assert_array_equal(read(write(tmp_path / "run.nii.gz", content)), rows(noise()))


PLACES = [place for place in range(HEADER_BYTES) if place != 123]  # units have their own test


@pytest.mark.slow
@settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(st.sampled_from(PLACES), st.integers(0, 255), min_size=1, max_size=3))
def test_a_damaged_header_is_read_or_is_an_error_of_ours(tmp_path, changes):
    content = bytearray(nifti_bytes(noise((2, 3, 4, 2), np.float32), slope=2, inter=1))
    for place, value in changes.items():
        content[place] = value
    (tmp_path / "run.nii").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, where scaled values overflow
        try:
            volumes = open_volumes(tmp_path / "run.nii")
            (block,) = volumes.blocks(np.arange(1))
        except BidsSpheresError as error:
            assert "run.nii" in str(error)  # noqa: PT017
        else:
            assert block.shape == (volumes.n_volumes, 1)


# What it costs


@pytest.fixture(scope="module")
def large_run(tmp_path_factory):
    """A compressible run of 50 MB, and the values of some of its voxels."""
    shape = (64, 64, 32, 200)
    volumes = np.arange(200, dtype=np.int16)
    raw = np.broadcast_to(volumes, shape)
    path = tmp_path_factory.mktemp("large") / "run.nii.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(header_of(raw).binaryblock + bytes(4))
        for value in volumes:
            file.write(np.full(shape[:3], value).tobytes())
    return path, np.repeat(volumes[:, None], 1000, axis=1), raw.nbytes


@pytest.mark.parametrize("name", ["run.nii.gz", "run.nii"])
def test_memory_is_that_of_a_volume_not_of_the_run(large_run, name):
    path, expected, size = large_run
    if name == "run.nii":
        (path.parent / name).write_bytes(gzip.decompress(path.read_bytes()))
    tracemalloc.start()
    try:
        done = 0
        for block in open_volumes(path.with_name(name)).blocks(np.arange(0, 100_000, 100)):
            np.testing.assert_array_equal(block, expected[done : done + len(block)])
            done += len(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done == 200
    assert peak < size / 15


class _Counting:
    """A file that keeps count of what is read and of where it is moved to."""

    def __init__(self, file):
        self.file, self.bytes_read, self.moves = file, 0, []

    def read(self, size=-1):
        data = self.file.read(size)
        self.bytes_read += len(data)
        return data

    def readinto(self, buffer):
        count = self.file.readinto(buffer)
        self.bytes_read += count
        return count

    def seek(self, *where):
        self.moves.append(where)
        return self.file.seek(*where)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_each_byte_of_a_compressed_file_is_read_once(large_run, monkeypatch):
    path, *_ = large_run
    opened = []

    def spy(name):
        opened.append(_Counting(builtins.open(name, "rb")))  # noqa: PTH123, SIM115
        return stream._GZIP.open(opened[-1])

    monkeypatch.setattr(stream, "open_gzip", spy)
    extraction = extract_spheres(path, [[-3.0, 2, 10], [-60, 40, 20]], radius=6)
    assert extraction.timeseries.shape == (200, 2)
    (file,) = opened
    file.close()
    assert file.bytes_read == path.stat().st_size
    assert file.moves == []


WITHOUT_ZLIB_NG = """
import json, sys
sys.modules["zlib_ng"] = None
import numpy as np
from bids_spheres.engine import open_volumes, stream
from bids_spheres.errors import DataError

def read(path):
    try:
        return np.concatenate(list(open_volumes(path).blocks(np.arange(50)))).tolist()
    except DataError as error:
        return str(error)

print(json.dumps([stream._GZIP.__name__, *map(read, sys.argv[1:])]))
"""


def test_without_zlib_ng_results_and_errors_are_the_same(tmp_path, long_run):
    content = gzip.compress(nifti_bytes(long_run), 6)
    middle = len(content) // 2
    files = {
        "good": content,
        "cut": content[:middle],
        "damaged": content[:middle] + bytes(range(255, 155, -1)) + content[middle + 100 :],
        "checksum": content[:-8] + bytes([content[-8] ^ 1]) + content[-7:],
    }
    paths = [tmp_path / f"{name}.nii.gz" for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-W", "error", "-c", WITHOUT_ZLIB_NG, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    module, good, cut, damaged, checksum = json.loads(done.stdout)
    assert module == "gzip"
    np.testing.assert_array_equal(good, rows(long_run)[:, :50])
    available = len(zlib.decompressobj(31).decompress(files["cut"]))
    volume = (available - HEADER_BYTES) // VOLUME_BYTES + 1
    assert f"cut.nii.gz: the file ends early, at volume {volume} of 6" in cut
    assert re.search(r"damaged\.nii\.gz: .*at volume \d of 6", damaged)
    assert re.search(r"checksum\.nii\.gz: .*damaged.*at volume 6 of 6", checksum)


def test_stacked_images_are_called_by_the_first_and_have_its_repetition_time(tmp_path):
    opened = []
    kinds = {"one": (2.5, np.int16), "two": (3, np.float32), "three": (4, np.uint8)}
    for name, (t_r, dtype) in kinds.items():
        img = nib.Nifti1Image((noise() % 200).astype(dtype), AFFINE, dtype=dtype)
        img.header.set_zooms((3, 3, 4, t_r))
        img.to_filename(tmp_path / f"{name}.nii")
        opened.append(open_volumes(tmp_path / f"{name}.nii"))
    volumes = stack_volumes(opened)
    assert (volumes.t_r, volumes.n_volumes) == (2.5, 12)
    assert volumes.name == f"{tmp_path / 'one.nii'} and 2 more"
    assert volumes.stored_dtype == np.float32
    moved = AFFINE.copy()
    moved[0, 3] += 1
    apart = open_volumes(nib.Nifti1Image(noise(), moved))
    with pytest.raises(DataError, match=r"image #2 \(image in memory\) .* the first .*one\.nii"):
        stack_volumes([*opened[:2], apart])


def test_a_mask_is_where_its_real_values_are_not_zero(tmp_path):
    """As its header scales what is stored; infinite ones are not zero."""
    stored = np.resize(np.array([0, 1, 2, 3, np.inf], np.float32), SHAPE[:3])
    img = nib.Nifti1Image(stored, AFFINE)
    img.header.set_slope_inter(-2, 4)
    img.to_filename(tmp_path / "mask.nii")
    np.testing.assert_array_equal(load_mask(tmp_path / "mask.nii")[0], stored != 2)


def test_an_image_of_no_volume_is_none():
    with pytest.raises(DataError, match="3-D or 4-D"):
        open_volumes(nib.Nifti1Image(noise((5, 6, 7, 0)), AFFINE))


def test_an_image_of_zeros_is_read_however_small_its_file(tmp_path):
    raw = np.zeros((32, 32, 32, 9), np.int16)
    path, content = tmp_path / "run.nii.gz", nifti_bytes(raw)
    path.write_bytes(gzip.compress(content, 9))
    assert path.stat().st_size < len(content) / 700
    values = read(path, np.arange(5))
    np.testing.assert_array_equal(values, np.zeros((9, 5)))
