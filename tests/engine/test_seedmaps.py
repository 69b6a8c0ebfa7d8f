"""Seed-to-voxel maps against nilearn's maskers and numpy's correlation."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.maskers import NiftiMasker, NiftiSpheresMasker
from scipy import ndimage

from bids_spheres.engine import seedmaps, stream
from bids_spheres.engine.clean import clean
from bids_spheres.engine.extract import extract
from bids_spheres.engine.seedmaps import map_blocks, mask_voxels, seed_maps, spooled
from bids_spheres.engine.spheres import Grid, sphere_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.errors import DataError, ReadWriteError

SHAPE = (9, 10, 8)
T = 90
T_R = 2.0
AFFINE = np.array([[-3.0, 0, 0, 12], [0, 3, 0.4, -15], [0, -0.4, 3, -10], [0, 0, 0, 1]])
SEEDS = [(0.3, 1.2, 2.1), (-6.2, 4.1, 3.4), (4.1, -4.2, 5.1)]
RADIUS = 5.1
PLAIN = {"detrend": False}


@pytest.fixture
def series():
    """Series of voxels that share a few sources, so that correlations of all sizes occur."""
    rng = np.random.default_rng(8)
    sources = rng.standard_normal((4, T))
    loadings = ndimage.gaussian_filter(rng.standard_normal((*SHAPE, 4)), (2, 2, 2, 0)) * 60
    drift = np.linspace(0, 20, T)
    return 1000 + loadings @ sources + drift + 4 * rng.standard_normal((*SHAPE, T))


@pytest.fixture
def mask():
    inside = np.random.default_rng(3).random(SHAPE) < 0.8
    inside[0], inside[:, :, -1] = False, False
    return inside


@pytest.fixture
def confounds():
    rng = np.random.default_rng(5)
    return np.column_stack([rng.standard_normal((T, 2)), rng.standard_normal(T).cumsum()])


def write(path, data, dtype=np.float32, scaling=None):
    img = nib.Nifti1Image(data.astype(dtype), AFFINE, dtype=dtype)
    img.header.set_zooms((3, 3, 3, T_R)[: data.ndim])
    if scaling:
        img.header.set_slope_inter(*scaling)
    img.to_filename(path)
    return path


def mask_image(mask, affine=AFFINE):
    return nib.Nifti1Image(mask.astype(np.uint8), affine)


def in_memory(data):
    return open_volumes(nib.Nifti1Image(data, AFFINE))


def ours(image, mask, folder, cleaning, *, seeds=SEEDS, radius=RADIUS, fwhm=None, **options):
    """Maps of all seeds, (S, X, Y, Z)."""
    volumes = open_volumes(image)
    weights = sphere_weights(seeds, radius, volumes.grid, mask)
    with spooled(volumes, mask_voxels(volumes.grid, mask), folder, fwhm) as tapped:
        extraction = extract(tapped, weights, fwhm)
        return np.stack(list(seed_maps(tapped, extraction.timeseries, cleaning, **options)))


def nilearns(
    image, mask, *, confounds=None, sample_mask=None, seeds=SEEDS, affine=AFFINE, **options
):
    """The route of nilearn's example on seed-to-voxel maps, with N - 1 for sample z-scores."""
    options = {"mask_img": mask_image(mask, affine), "t_r": T_R} | options
    options |= {"standardize": "zscore_sample", "dtype": "float64", "reports": False}
    if options.get("smoothing_fwhm"):  # nilearn would smooth in single precision
        image = nib.Nifti1Image(nib.load(image).get_fdata(), AFFINE)
    given = {"confounds": confounds, "sample_mask": sample_mask}
    points = [tuple(map(float, seed)) for seed in seeds]
    spheres = NiftiSpheresMasker(points, radius=RADIUS, allow_overlap=True, **options)
    brain = NiftiMasker(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = spheres.fit_transform(image, **given)
        voxels = brain.fit_transform(image, **given)
        z = np.arctanh(series.T @ voxels / (len(series) - 1))
        return np.moveaxis(brain.inverse_transform(z).get_fdata(), -1, 0)


# nilearn's route

KEPT = np.setdiff1d(np.arange(T), [4, 10, 11, 40, 41, 42, 70])  # mirror images in time are kept
BAND = {"low_pass": 0.1, "high_pass": 0.01}
CLEANINGS = {
    "standardized alone": {"detrend": False},
    "detrended": {"detrend": True},
    "confounds": {"detrend": True, "confounds": True},
    "censored": {"detrend": True, "confounds": True, "sample_mask": KEPT},
    "Butterworth": {"detrend": True, "confounds": True, **BAND},
    "Butterworth, censored": {"detrend": True, "confounds": True, "sample_mask": KEPT, **BAND},
    "cosine, censored": {
        "detrend": True,
        "confounds": True,
        "sample_mask": KEPT,
        "high_pass": 0.02,
        "clean_args": {"filter": "cosine"},
    },
}


@pytest.mark.parametrize("which", CLEANINGS)
@pytest.mark.parametrize("fwhm", [None, 6.0])
def test_as_nilearn(tmp_path, series, mask, confounds, which, fwhm):
    image = write(tmp_path / "run.nii.gz", series)
    options = dict(CLEANINGS[which])
    if "confounds" in options:
        options["confounds"] = confounds
    expected = nilearns(image, mask, smoothing_fwhm=fwhm, **options)
    cleaning = {"t_r": T_R} | options.pop("clean_args", {}) | options
    found = ours(image, mask, tmp_path, cleaning, fwhm=fwhm, block_bytes=8 * T * 100)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert (np.abs(expected[:, mask]) > 0.3).sum() > 100


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [None, (0.25, 0), (-0.5, 3000)])
@pytest.mark.parametrize("dtype", [np.int16, ">i2", np.float32, np.float64])
def test_every_way_to_store_an_image(tmp_path, series, mask, dtype, scaling):
    images = [write(tmp_path / name, series, dtype, scaling) for name in ("run.nii.gz", "run.nii")]
    expected = nilearns(images[0], mask, detrend=True)
    for image, block_bytes in product(images, (1, 8 * T * 37, 2**23)):  # of a voxel, some, all
        found = ours(image, mask, tmp_path, {"t_r": T_R}, block_bytes=block_bytes)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fwhm", [None, 6.0])
@pytest.mark.parametrize("scaling", [None, (-0.5, 3000)])
@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_voxel_that_is_not_finite_in_any_volume_has_no_value(
    tmp_path, series, mask, scaling, fwhm, name
):
    """Nor is it in the mean of a sphere, and in a smoothed image it is 0 in all volumes."""
    bad = [(5, 5, 4), (4, 4, 4), (3, 5, 4)]
    series[bad[0]][3], series[bad[1]][7:9], series[bad[2]][-1] = np.nan, np.inf, -np.inf
    mask[tuple(np.transpose(bad))] = True
    image = write(tmp_path / name, series, scaling=scaling)
    found = ours(image, mask, tmp_path, PLAIN, fwhm=fwhm)
    without, zeros = mask.copy(), series.copy()
    without[tuple(np.transpose(bad))] = False
    zeros[tuple(np.transpose(bad))] = 0
    clean = write(tmp_path / "clean.nii", zeros, np.float64)
    expected = nilearns(clean, without, smoothing_fwhm=fwhm)
    np.testing.assert_allclose(found[:, without], expected[:, without], rtol=0, atol=1e-4)
    assert np.isnan(found[:, mask & ~without]).all()


@pytest.mark.parametrize("standardize", [False, True, "psc", "zscore"])
def test_no_correlation_hangs_on_standardization(tmp_path, series, mask, standardize):
    image = write(tmp_path / "run.nii", series)
    found = ours(image, mask, tmp_path, {"standardize": standardize, "t_r": T_R})
    np.testing.assert_allclose(found, nilearns(image, mask, detrend=True), rtol=0, atol=1e-5)


def test_several_cleanings_of_one_reading(tmp_path, series, mask, confounds):
    image = write(tmp_path / "run.nii.gz", series)
    volumes = open_volumes(image)
    weights = sphere_weights(SEEDS, RADIUS, volumes.grid, mask)
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path) as tapped:
        means = extract(tapped, weights).timeseries
        for options in ({"detrend": True}, {"detrend": True, "confounds": confounds}, PLAIN):
            found = np.stack(list(seed_maps(tapped, means, options)))
            expected = nilearns(image, mask, **options)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_real_scan_as_nilearn(tmp_path, real_scan):
    stem = "sub-03_task-functionallocalizer_run-1_space-MNI152NLin2009cAsym_desc"
    bold, mask = (
        real_scan / "sub-03" / "func" / f"{stem}-{kind}.nii.gz"
        for kind in ("preproc_bold", "brain_mask")
    )
    inside, grid = load_mask(mask)
    inside = inside & (np.arange(grid.shape[0]) % 3 == 1)[:, None, None]  # less to do for nilearn
    seeds = apply_affine(grid.affine, np.argwhere(inside)[2000::3000] + 0.2)
    options = {"detrend": True, "t_r": 2.2, "high_pass": 0.02, "low_pass": 0.15}
    found = ours(bold, inside, tmp_path, options, seeds=seeds)
    expected = nilearns(bold, inside, seeds=seeds, affine=grid.affine, **options)
    assert found.shape == (len(seeds), *grid.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert (expected > 0.5).sum() > 500


# numpy's correlation


def test_blocks_of_maps_are_arctanh_of_numpys_correlation(tmp_path, series, mask):
    volumes = in_memory(series)
    voxels = mask_voxels(volumes.grid, mask)
    timeseries = np.random.default_rng(0).standard_normal((T, 5)) + series[2, 2, 2][:, None] / 10
    with spooled(volumes, voxels, tmp_path) as tapped:
        list(tapped.stored_blocks())
        parts, maps = zip(
            *map_blocks(tapped, timeseries, PLAIN, block_bytes=8 * T * 50), strict=True
        )
    assert [part.start for part in parts] == list(range(0, len(voxels), 50))
    inside = series.reshape(-1, T, order="F")[voxels]
    expected = np.arctanh(np.corrcoef(timeseries.T, inside)[:5, 5:])
    np.testing.assert_allclose(np.hstack(maps), expected, rtol=1e-9, atol=1e-12)


def test_many_seeds_make_blocks_smaller(tmp_path, series):
    volumes = in_memory(series)
    timeseries = np.random.default_rng(0).standard_normal((T, 10 * T))
    with spooled(volumes, np.arange(100), tmp_path) as tapped:
        list(tapped.stored_blocks())
        blocks = [z for _, z in map_blocks(tapped, timeseries, PLAIN, block_bytes=8 * T * 50)]
    assert {z.shape for z in blocks} == {(10 * T, 5)}


def test_maps_lie_where_the_voxels_are(tmp_path, series):
    mask = np.zeros(SHAPE, bool)
    places = [(7, 2, 1), (1, 8, 5), (4, 4, 4)]
    mask[tuple(np.transpose(places))] = True
    (z,) = ours(nib.Nifti1Image(series, AFFINE), np.ones(SHAPE, bool), tmp_path, PLAIN)[:1]
    with spooled(in_memory(series), mask_voxels(Grid(SHAPE, AFFINE), mask), tmp_path) as tapped:
        seed = extract(tapped, sphere_weights(SEEDS[:1], RADIUS, tapped.grid)).timeseries
        (found,) = seed_maps(tapped, seed, PLAIN)
    assert found.shape == SHAPE
    assert found.dtype == np.float32
    for place in places:
        expected = np.arctanh(np.corrcoef(seed[:, 0], series[place])[0, 1])
        assert found[place] == pytest.approx(expected, abs=1e-6)
        assert z[place] == pytest.approx(expected, abs=1e-6)
    assert not found[~mask].any()


# What has no correlation


def test_voxels_without_signal_are_missing(tmp_path, series, mask, confounds):
    mask[2:7, 3, 3] = True
    series[2, 3, 3], series[3, 3, 3], series[4, 3, 3] = 0, 0.1, np.nan
    series[5, 3, 3] = 1000 + 7 * confounds[:, 0]
    data = nib.Nifti1Image(series, AFFINE)
    cleaning = {"confounds": confounds, "t_r": T_R, **BAND}
    found = ours(data, mask, tmp_path, cleaning, seeds=SEEDS[1:2], radius=3.5)
    missing = np.zeros(SHAPE, bool)
    missing[2:6, 3, 3] = True
    np.testing.assert_array_equal(np.isnan(found[0]), missing)


@pytest.mark.parametrize("gain", [1, -0.3])
def test_a_correlation_of_one_is_missing_not_infinite(tmp_path, series, gain):
    mask = np.ones(SHAPE, bool)
    seed = apply_affine(AFFINE, (4, 4, 4))
    series[6, 2, 2] = 500 + gain * series[4, 4, 4]
    data = nib.Nifti1Image(series, AFFINE)
    cleaning = {"t_r": T_R, **BAND}
    (found,) = ours(data, mask, tmp_path, cleaning, seeds=[seed], radius=0, block_bytes=8 * T * 7)
    assert np.argwhere(np.isnan(found)).tolist() == [[4, 4, 4], [6, 2, 2]]
    assert not np.isinf(found).any()


def test_two_volumes_correlate_with_nothing(tmp_path, series, mask):
    cleaning = {"detrend": False, "sample_mask": np.array([3, 50])}
    found = ours(nib.Nifti1Image(series, AFFINE), mask, tmp_path, cleaning)
    assert np.isnan(found[:, mask]).all()


def test_seeds_without_a_voxel_have_a_map_of_missing_values(tmp_path, series, mask):
    image = write(tmp_path / "run.nii", series)
    seeds = [SEEDS[0], (300, 0, 0), *SEEDS[1:]]
    options = {"t_r": T_R, "detrend": True, "sample_mask": KEPT, **BAND}
    found = ours(image, mask, tmp_path, options, seeds=seeds)
    assert np.isnan(found[1][mask]).all()
    assert (found[1][~mask] == 0).all()
    expected = nilearns(image, mask, **options)
    np.testing.assert_allclose(found[[0, 2, 3]], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("seeds", "count"), [([], 0), ([(300, 0, 0)], 1)])
def test_no_seed_with_a_series(tmp_path, series, mask, seeds, count):
    volumes = in_memory(series)
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path) as tapped:
        means = extract(tapped, sphere_weights(seeds, 3, volumes.grid)).timeseries
        maps = list(seed_maps(tapped, means, {"t_r": T_R}))
    assert len(maps) == count
    assert all(np.isnan(z[mask]).all() for z in maps)


# What is handed on

KEPT_VOXELS = np.array([3, 50, 51, 400, 719])
ASKED = {
    "all": None,
    "none": [],
    "the same": KEPT_VOXELS,
    "the same, out of order": KEPT_VOXELS[::-1],
    "some of them": [50, 400],
    "others": [0, 60, 718],
    "both": [3, 4, 400, 401],
    "out of order and twice": [719, 3, 3, 100],
}


@pytest.mark.parametrize("fwhm", [None, 6.0])
@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_for_is_handed_on_unchanged(tmp_path, series, asked, fwhm):
    image = write(tmp_path / "run.nii.gz", series, np.int16, (0.5, 100))
    stored = np.asarray(nib.load(image).dataobj.get_unscaled()).reshape(-1, T, order="F")
    voxels = None if ASKED[asked] is None else np.array(ASKED[asked], dtype=np.intp)
    with spooled(open_volumes(image), KEPT_VOXELS, tmp_path, fwhm) as tapped:
        for _ in range(2):  # reading again is allowed
            blocks = []
            for block in tapped.stored_blocks(voxels):
                blocks.append(block.copy())
                block[:] = 0  # the caller's own; what is kept must not change
        assert (tapped.slope, tapped.inter, tapped.stored_dtype) == (0.5, 100, np.int16)
        kept = tapped.over_time(slice(1, 4)) if fwhm is None else None
    expected = stored if voxels is None else stored[voxels]
    np.testing.assert_array_equal(np.vstack(blocks), expected.T)
    if kept is not None:
        np.testing.assert_array_equal(kept, 0.5 * stored[KEPT_VOXELS[1:4]].T + 100)


@pytest.mark.parametrize("fwhm", [None, 6.0])
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_series_of_spheres_are_those_without_maps(tmp_path, series, mask, aggregation, fwhm):
    volumes = in_memory(series)
    weights = sphere_weights(SEEDS, RADIUS, volumes.grid)  # spheres reach out of the mask
    sigma = 0 if fwhm is None else fwhm / np.sqrt(8 * np.log(2))
    zooms = np.linalg.norm(AFFINE[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(series, (*(sigma / zooms), 0)).reshape(-1, T, order="F")
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path, fwhm) as tapped:
        found = extract(tapped, weights, fwhm, aggregation=aggregation).timeseries
    rows = weights.membership.toarray()
    assert not mask.reshape(-1, order="F")[weights.voxels].all()
    expected = [getattr(np, aggregation)(smooth[weights.voxels[row]], axis=0) for row in rows]
    np.testing.assert_allclose(found.T, expected, rtol=1e-9)


def test_mask_voxels_on_the_image_grid(mask):
    expected = np.flatnonzero(mask.reshape(-1, order="F"))
    np.testing.assert_array_equal(mask_voxels(Grid(SHAPE, AFFINE), mask), expected)
    everywhere = mask_voxels(Grid(SHAPE, AFFINE), np.ones(SHAPE, bool))
    np.testing.assert_array_equal(everywhere, np.arange(mask.size))


def test_mask_voxels_on_another_grid():
    coarse = np.random.default_rng(2).random((4, 5, 4)) < 0.5
    grid = Grid((8, 10, 8), np.diag([2.0, 2, 2, 1]))
    mask_grid = Grid(coarse.shape, np.diag([4.0, 4, 4, 1]) + np.eye(4)[:, [3]] * [0, 0, 0, 1])
    mask_grid.affine[:3, 3] = 1.2
    offset = -1.2 / 4
    nearest = ndimage.affine_transform(
        coarse.astype(np.uint8), [0.5] * 3, [offset] * 3, grid.shape, order=0, cval=0
    )
    expected = np.flatnonzero(nearest.reshape(-1, order="F"))
    assert len(expected) > 50
    np.testing.assert_array_equal(mask_voxels(grid, coarse, mask_grid), expected)


# The cost


def test_a_compressed_image_is_inflated_once(tmp_path, series, mask, monkeypatch):
    image = write(tmp_path / "run.nii.gz", series)
    mask_image(mask).to_filename(tmp_path / "mask.nii")
    opened = []
    inflate = stream.open_gzip

    def spy(path):
        opened.append(path)
        return inflate(path)

    monkeypatch.setattr(stream, "open_gzip", spy)
    volumes = open_volumes(image)
    weights = sphere_weights(SEEDS, RADIUS, volumes.grid)
    voxels = mask_voxels(volumes.grid, *load_mask(tmp_path / "mask.nii"))
    with spooled(volumes, voxels, tmp_path) as tapped:
        extraction = extract(tapped, weights, moments=True)
        for cleaning in (PLAIN, {"t_r": T_R}, {"t_r": T_R, **BAND}):
            assert len(list(seed_maps(tapped, extraction.timeseries, cleaning))) == len(SEEDS)
    assert opened == [image]


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_numbers_of_voxels_and_seeds(tmp_path):
    n_voxels, n_volumes, n_seeds, block = 60_000, 200, 150, 2**20
    values = np.random.default_rng(1).integers(900, 1100, (n_volumes, 30, 40, 50), dtype=np.int16)
    img = nib.Nifti1Image(values.T, np.diag([2.0, 2, 2, 1]))
    img.to_filename(tmp_path / "run.nii")
    volumes = open_volumes(tmp_path / "run.nii")
    seeds = np.random.default_rng(0).uniform((0, 0, 0), (98, 78, 58), (n_seeds, 3))
    weights = sphere_weights(seeds, 4, volumes.grid)
    kept = np.ones(n_volumes, bool)
    kept[50:60] = False
    # The cleaning that takes most memory
    cleaning = {"sample_mask": kept, "interpolate": "censored", "t_r": T_R, **BAND}
    one_volume, image, maps = 8 * n_voxels, values.nbytes, 4 * n_seeds * n_voxels
    with spooled(volumes, np.arange(n_voxels), tmp_path) as tapped:
        tracemalloc.start()
        series = extract(tapped, weights).timeseries
        reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        count = sum(1 for _ in seed_maps(tapped, series, cleaning, block_bytes=block))
        mapping = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == n_seeds
    assert reading < image / 2
    assert mapping < min(17 * block + 2 * one_volume, image, maps)


# Files


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def open_files():
    """Deleted or not, what this process holds open."""
    links = Path("/proc/self/fd")
    if not links.exists():
        pytest.skip("needs /proc")
    found = []
    for number in os.listdir(links):  # noqa: PTH208 - names vanish while they are looked at
        try:
            found.append(os.readlink(links / number))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work folder"
    folder.mkdir()
    return folder


def is_clean(folder):
    return not leftovers(folder) and not any(str(folder) in name for name in open_files())


def test_nothing_is_left_after_success(work, series, mask):
    maps = ours(nib.Nifti1Image(series, AFFINE), mask, work, PLAIN)
    assert maps.shape == (3, *SHAPE)
    assert is_clean(work)


def test_nothing_is_left_after_an_error_in_the_image(tmp_path, work, series, mask):
    image = write(tmp_path / "run.nii.gz", series)
    image.write_bytes(image.read_bytes()[:-5000])
    with pytest.raises(DataError, match="at volume"):
        ours(image, mask, work, PLAIN)
    assert is_clean(work)


def test_nothing_is_left_after_an_error_in_cleaning(work, series, mask):
    confounds = np.full((T, 1), np.nan)
    with pytest.raises(DataError, match="no finite value"):
        ours(nib.Nifti1Image(series, AFFINE), mask, work, {"confounds": confounds})
    assert is_clean(work)


def test_nothing_is_left_when_maps_are_given_up(work, series, mask):
    volumes = in_memory(series)

    def give_up():
        with spooled(volumes, mask_voxels(volumes.grid, mask), work) as tapped:
            maps = seed_maps(tapped, extract(tapped, weights).timeseries, PLAIN)
            next(maps)
            assert not is_clean(work)
            raise KeyboardInterrupt

    weights = sphere_weights(SEEDS, RADIUS, volumes.grid)
    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert is_clean(work)


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_is_none_is_an_error(tmp_path, series, folder):
    (tmp_path / "file").touch()
    voxels = np.arange(500)
    with (
        pytest.raises(ReadWriteError, match=f"in .*{folder}: ") as caught,
        spooled(in_memory(series.astype(np.float32)), voxels, tmp_path / folder),
    ):
        pass
    room = T * 500 * 4 / 1e6
    assert f"{room:.0f} MB" in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("n_voxels", [1, 500], ids=["in the buffer", "beyond the buffer"])
def test_a_full_disk_is_an_error(tmp_path, series, monkeypatch, n_voxels):
    full = open("/dev/full", "r+b", buffering=2**20 if n_voxels == 1 else 512)  # noqa: PTH123, SIM115
    monkeypatch.setattr(seedmaps.tempfile, "TemporaryFile", lambda **_: full)
    with (
        pytest.raises(ReadWriteError, match="No space left") as caught,
        spooled(in_memory(series), np.arange(n_voxels), tmp_path) as tapped,
    ):
        extract(tapped, sphere_weights(SEEDS, RADIUS, tapped.grid))
    assert "another folder" in caught.value.hint


def test_maps_of_cleaned_seeds_that_are_given(tmp_path, series, mask, confounds):
    """Of any level and scale: a correlation hangs on neither."""
    cleaning = {"confounds": confounds, "detrend": True}
    volumes = in_memory(series)
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path) as tapped:
        raw = extract(tapped, sphere_weights(SEEDS, RADIUS, volumes.grid)).timeseries
        given = 7 + 3 * clean(raw, **cleaning)
        before = given.copy(), raw.copy()
        found = np.stack(list(seed_maps(tapped, np.zeros_like(raw), cleaning, cleaned=given)))
        expected = np.stack(list(seed_maps(tapped, raw, cleaning)))
    np.testing.assert_allclose(found[:, mask], expected[:, mask], rtol=0, atol=1e-5)
    for series_given, as_given in zip((given, raw), before, strict=True):
        np.testing.assert_array_equal(series_given, as_given)


@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_volumes_are_handed_on_as_they_are_while_some_are_kept(tmp_path, series, fwhm):
    raw = series.astype(np.float32)
    raw[2, 3, 1, 5:9], raw[0, 0, 0, 2] = np.nan, np.inf
    with spooled(in_memory(raw.copy()), np.arange(7, 90), tmp_path, fwhm) as tapped:
        handed_on = np.vstack(list(tapped.blocks()))
    np.testing.assert_array_equal(handed_on, raw.reshape(-1, T, order="F").T)


def test_maps_of_an_image_that_was_not_read_are_an_error(tmp_path, series):
    with (
        spooled(in_memory(series), np.arange(50), tmp_path) as tapped,
        pytest.raises(ReadWriteError, match="less than is needed"),
    ):
        next(seed_maps(tapped, np.ones((T, 1)), PLAIN))


def test_memory_factor_that_is_documented(series):
    """Cleaning takes up to sixteen times the size of a block."""
    block = np.tile(series.reshape(-1, T).T, (1, 5))
    kept = np.ones(T, bool)
    kept[30:36] = False
    options = {"sample_mask": kept, "interpolate": "censored", "t_r": T_R, **BAND}
    clean(block, **options)
    tracemalloc.start()
    clean(block, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * block.nbytes


@pytest.mark.parametrize("fwhm", [None, 7.0])
def test_what_is_kept_is_an_image_of_its_own_in_real_units(tmp_path, series, mask, fwhm):
    """Of scaled whole numbers; a constant voxel has no signal in a smoothed image."""
    series = series.copy()
    series[3, 3, 3] = 980
    path = write(tmp_path / "run.nii.gz", series, np.int16, (0.5, 70))
    real = nib.load(path).get_fdata()
    mask[3, 3, 3] = True
    volumes = open_volumes(path)
    voxels = mask_voxels(volumes.grid, mask)
    with spooled(volumes, voxels, tmp_path, fwhm) as recording:
        weights = sphere_weights(SEEDS, RADIUS, volumes.grid, mask)
        extract(recording, weights, fwhm)
        kept = recording.kept_volumes()
        found = np.vstack(list(kept.blocks(voxels[5:50])))
        everything = np.vstack(list(kept.blocks(voxels)))
        parts = [recording.over_time(slice(i, i + 45)) for i in range(0, len(voxels), 45)]
    expected = real
    if fwhm:
        sigma = fwhm / np.sqrt(8 * np.log(2)) / np.linalg.norm(AFFINE[:3, :3], axis=0)
        expected = ndimage.gaussian_filter(real, (*sigma, 0))
        expected[3, 3, 3] = 0
    expected = expected.reshape(-1, real.shape[3], order="F")[voxels].T
    np.testing.assert_allclose(everything, expected, rtol=1e-9)
    np.testing.assert_array_equal(found, everything[:, 5:50])
    np.testing.assert_allclose(np.hstack(parts), everything, rtol=1e-12)
    assert (kept.n_volumes, kept.t_r) == (volumes.n_volumes, volumes.t_r)


def test_an_array_on_disk_is_written_in_any_pieces(tmp_path):
    """Also in blocks as wide as the array is high."""
    array = np.arange(24.0).reshape(4, 6)
    disk = seedmaps.DiskArray(tmp_path, (4, 6), np.dtype(np.float64))
    for column, width in ((0, 1), (1, 4), (5, 1)):
        disk.write(0, column, array[:, column : column + width])
    np.testing.assert_array_equal(disk.read(), array)
    disk.write(1, 0, -array[1:3])
    array[1:3] *= -1
    np.testing.assert_array_equal(disk.read(), array)
    np.testing.assert_array_equal(disk.read(columns=slice(2, 5)), array[:, 2:5])
    disk.close()
    with pytest.raises(ReadWriteError) as error:
        seedmaps.DiskArray(tmp_path / "gone", (1000, 3000), np.dtype(np.float32))
    assert "need 12 MB there" in error.value.hint
    assert error.value.message.startswith(f"A temporary file in {tmp_path / 'gone'}: ")


@pytest.mark.parametrize("given", [False, True], ids=["raw seeds", "cleaned seeds"])
def test_maps_over_some_of_the_volumes_that_are_kept(tmp_path, series, mask, confounds, given):
    """Cleaning is of all that are kept, correlations of some of these."""
    cleaning = {"confounds": confounds, "detrend": True, "sample_mask": KEPT}
    rows = np.arange(len(KEPT)) % 3 > 0
    volumes = in_memory(series)
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path) as recording:
        raw = extract(recording, sphere_weights(SEEDS, RADIUS, volumes.grid)).timeseries
        seeds = clean(raw, **cleaning)[rows]
        options = {"rows": rows, "cleaned": seeds if given else None, "block_bytes": 8 * T * 100}
        found = np.stack(list(seed_maps(recording, raw, cleaning, **options)))
    voxels = clean(series.reshape(-1, T, order="F").T, **cleaning)[rows]
    z = np.arctanh(np.corrcoef(seeds.T, voxels.T)[:3, 3:]).reshape(3, *SHAPE, order="F")
    np.testing.assert_allclose(found[:, mask], z[:, mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_the_array_of_a_user_stays_as_it_is(tmp_path, series, order, fwhm):
    data = np.array(series, order=order)
    data[2, 3, 1, 5:9], data[4, 4, 4, 30] = np.nan, -np.inf
    before = data.copy()
    volumes = in_memory(data)
    with spooled(volumes, np.arange(7, 500), tmp_path, fwhm) as recording:
        means = extract(recording, sphere_weights(SEEDS, RADIUS, volumes.grid), fwhm).timeseries
        assert len(list(seed_maps(recording, means, {"detrend": True}))) == len(SEEDS)
    np.testing.assert_array_equal(data, before)


def test_a_seed_that_is_missing_in_a_volume_has_no_map(tmp_path, series, mask, confounds):
    timeseries = series[[2, 3], [2, 4], [2, 5]].T + confounds[:, :2] * 9
    timeseries[7, 0] = np.nan
    volumes = in_memory(series)
    with spooled(volumes, mask_voxels(volumes.grid, mask), tmp_path) as recording:
        list(recording.stored_blocks())
        first, second = seed_maps(recording, timeseries, PLAIN)
    assert np.isnan(first[mask]).all()
    expected = np.arctanh(np.corrcoef(timeseries[:, 1], series[mask])[0, 1:])
    np.testing.assert_allclose(second[mask], expected, atol=1e-5)


@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_a_voxel_that_stands_still_late_has_a_map(tmp_path, series, mask, fwhm):
    mask[3, 3, 3] = True
    series[3, 3, 3, -40:] = 980
    path = write(tmp_path / "run.nii", series)
    found = ours(path, mask, tmp_path, PLAIN, fwhm=fwhm)
    expected = nilearns(path, mask, smoothing_fwhm=fwhm)
    np.testing.assert_allclose(found[:, 3, 3, 3], expected[:, 3, 3, 3], rtol=0, atol=1e-5)


@pytest.mark.parametrize("standardize", [False, None, "psc"])
def test_what_confounds_explain_is_missing_whatever_the_standardization(
    tmp_path, series, mask, confounds, standardize
):
    mask[2:4, 3, 3] = True
    series[2, 3, 3], series[3, 3, 3] = 1000 + 7 * confounds[:, 0], 500
    cleaning = {"confounds": confounds, "standardize": standardize, "detrend": True}
    found = ours(nib.Nifti1Image(series, AFFINE), mask, tmp_path, cleaning, seeds=SEEDS[1:2])
    missing = np.zeros(SHAPE, bool)
    missing[2:4, 3, 3] = True
    np.testing.assert_array_equal(np.isnan(found[0]), missing)
