"""Extraction against nilearn on a real scan, and against numpy."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.image import smooth_img
from nilearn.maskers import NiftiSpheresMasker

from bids_spheres.engine.despike import despike
from bids_spheres.engine.extract import extract, extract_spheres
from bids_spheres.engine.seeds import SeedTable, load_seeds
from bids_spheres.engine.spheres import Grid, sphere_weights
from bids_spheres.engine.stream import open_volumes
from bids_spheres.errors import DataError, UsageError
from tests.engine.conftest import (
    AFFINE,
    N_VOLUMES,
    SEEDS,
    SHAPE,
    image,
    in_ball,
    means,
    usable_means,
)


def with_moments(data, radius, seeds=SEEDS):
    volumes = open_volumes(image(data))
    return extract(volumes, sphere_weights(seeds, radius, volumes.grid), moments=True)


def tsnr(data, radius, seeds=SEEDS):
    extraction = with_moments(data, radius, seeds)
    return extraction.moments.tsnr(extraction.weights)


def nilearns(img, seeds, radius, mask=None):
    # Without a dtype nilearn cuts the means of unscaled whole numbers to whole numbers.
    masker = NiftiSpheresMasker(
        [tuple(map(float, seed)) for seed in seeds],
        radius=radius,
        mask_img=mask,
        allow_overlap=True,
        dtype="float64",
        standardize=None,
        reports=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return masker.fit_transform(img)


# nilearn on a real scan


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("space", ["MNI152NLin2009cAsym", "T1w"])
def test_real_scan_as_nilearn(real_scan, space, run):
    stem = f"sub-03_task-functionallocalizer_run-{run}_space-{space}_desc"
    bold, mask = (
        real_scan / "sub-03" / "func" / f"{stem}-{kind}.nii.gz"
        for kind in ("preproc_bold", "brain_mask")
    )
    if space == "T1w":
        inside = np.argwhere(np.asarray(nib.load(mask).dataobj))[::2500]
        seeds = apply_affine(nib.load(mask).affine, inside + 0.3)
    else:
        seeds = load_seeds("Power2011").coordinates
    extraction = extract_spheres(bold, seeds, 5, mask)
    full = ~extraction.weights.empty
    assert full.sum() > (240 if space != "T1w" else 5)
    assert extraction.timeseries.shape == ({1: 52, 2: 30}[run], len(seeds))
    assert extraction.t_r == pytest.approx(2.2)
    assert np.isnan(extraction.timeseries[:, ~full]).all()
    theirs = nilearns(nib.load(bold), seeds[full], 5, nib.load(mask))
    np.testing.assert_allclose(extraction.timeseries[:, full], theirs, rtol=1e-6)


# What is asked for


def table(radii=(4.2, 0, 6.3)):
    return SeedTable("Mine", ("a", "b", "c"), np.array(SEEDS), np.array(radii, dtype=float))


@pytest.mark.parametrize(
    ("seeds", "radius", "radii"),
    [
        (table(), None, (4.2, 0, 6.3)),
        (table(), 5.1, (5.1, 5.1, 5.1)),
        (table(), 0, (0, 0, 0)),
        (np.array(SEEDS), 5.1, (5.1, 5.1, 5.1)),
        (SEEDS, 5.1, (5.1, 5.1, 5.1)),
        (SEEDS, None, (0, 0, 0)),
        (np.array(SEEDS), 0, (0, 0, 0)),
    ],
    ids=[
        "table",
        "table, one radius",
        "table, no radius",
        "array",
        "list",
        "list, voxels",
        "array, voxels",
    ],
)
def test_series_are_means_over_spheres(data, seeds, radius, radii):
    balls = [in_ball(*pair) for pair in zip(SEEDS, radii, strict=True)]
    extraction = extract_spheres(image(data), seeds, radius)
    np.testing.assert_allclose(extraction.timeseries, means(data, balls), rtol=1e-12)


def test_a_mask_limits_the_spheres(data):
    mask = np.random.default_rng(0).random(SHAPE) < 0.5
    balls = [in_ball(seed, 5.1) & mask for seed in SEEDS]
    mask_img = nib.Nifti1Image(mask.astype(np.uint8), AFFINE)
    extraction = extract_spheres(image(data), SEEDS, 5.1, mask_img)
    np.testing.assert_allclose(extraction.timeseries, means(data, balls), rtol=1e-12)


def test_one_volume_gives_one_row_and_no_variance(data):
    extraction = extract_spheres(image(data[..., 0]), SEEDS, 5.1)
    balls = [in_ball(seed, 5.1) for seed in SEEDS]
    np.testing.assert_allclose(extraction.timeseries, means(data[..., :1], balls), rtol=1e-12)
    assert extraction.t_r == 0
    assert (with_moments(data[..., 0], 5.1).moments.sd == 0).all()
    assert np.isnan(tsnr(data[..., 0], 5.1)).all()


def test_spheres_without_a_voxel_are_nan(data):
    seeds = [(300, 0, 0), SEEDS[0]]
    extraction = extract_spheres(image(data), seeds, 5.1)
    assert np.isnan(extraction.timeseries[:, 0]).all()
    assert np.isnan(tsnr(data, 5.1, seeds)).tolist() == [True, False]
    np.testing.assert_allclose(
        extraction.timeseries[:, 1:], means(data, [in_ball(SEEDS[0], 5.1)]), rtol=1e-12
    )


def test_no_sphere_with_a_voxel_and_no_seed_at_all(data):
    outside = extract_spheres(image(data), [(300, 0, 0)], 5)
    assert np.isnan(outside.timeseries).all()
    assert outside.timeseries.shape == (N_VOLUMES, 1)
    assert extract_spheres(image(data), [], 5).timeseries.shape == (N_VOLUMES, 0)


# Values


def nilearns_rule(image, radius, **options):
    volumes = open_volumes(image)
    weights = sphere_weights(SEEDS, radius, volumes.grid)
    with pytest.warns(UserWarning, match="Non-finite values detected"):
        return extract(volumes, weights, usable_only=False, **options).timeseries


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_can_count_as_zero(tmp_path, data, bad, dtype):
    data = data.astype(dtype)
    data[in_ball(SEEDS[0], 2.6), 2] = bad
    data[5, 5, 4] = bad
    zeros = np.where(np.isfinite(data), data, 0).astype(np.float64)
    expected = means(zeros, [in_ball(seed, 5.1) for seed in SEEDS])
    assert not np.allclose(expected, means(data.astype(np.float64), np.ones((3, *SHAPE), bool)))
    image(data).to_filename(tmp_path / "run.nii.gz")
    series = nilearns_rule(tmp_path / "run.nii.gz", 5.1)
    rtol = 1e-12 if dtype is np.float64 else 1e-7
    np.testing.assert_allclose(series, expected, rtol=rtol)
    # nilearn leaves infinite values alone unless there is a mask, or NaN as well
    everywhere = nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE)
    theirs = nilearns(image(data), SEEDS, 5.1, everywhere)
    np.testing.assert_allclose(series, theirs, rtol=1e-6)


@pytest.mark.parametrize("scaling", [(2, 0), (-0.5, 3000)])
@pytest.mark.parametrize("fwhm", [None, 6])
def test_what_is_not_finite_can_count_as_zero_after_scaling(tmp_path, data, scaling, fwhm):
    data[in_ball(SEEDS[0], 2.6), 2], data[5, 5, 4] = np.nan, np.inf
    img = nib.Nifti1Image(data.astype(np.float32), AFFINE)
    img.header.set_slope_inter(*scaling)
    img.to_filename(tmp_path / "run.nii")
    stored = nib.load(tmp_path / "run.nii").dataobj.get_unscaled()
    real = np.where(np.isfinite(stored), stored * np.float64(scaling[0]) + scaling[1], 0)
    if fwhm:
        real = smooth_img(nib.Nifti1Image(real, AFFINE), fwhm).get_fdata()
    expected = means(real, [in_ball(seed, 5.1) for seed in SEEDS])
    series = nilearns_rule(tmp_path / "run.nii", 5.1, fwhm=fwhm)
    np.testing.assert_allclose(series, expected, rtol=1e-6)


# Voxels that are none


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i4", "f4", ">f4", "f8", "i8"])
@pytest.mark.parametrize("scaling", [(1, 0), (0.25, 0), (-0.5, 3000)])
@pytest.mark.parametrize("first", ["as the others", "brighter", "empty"])
def test_series_of_every_type_are_exact_to_a_millionth(tmp_path, dtype, scaling, first):
    raw = np.random.default_rng(6).normal(100, 10, (*SHAPE, 50))
    raw[..., 0] *= {"as the others": 1, "brighter": 2.5, "empty": 0}[first]
    raw = raw.astype(dtype)
    img = nib.Nifti1Image(raw, AFFINE, dtype=raw.dtype)
    img.header.set_slope_inter(*scaling)
    img.to_filename(tmp_path / "run.nii")
    slope, inter = scaling
    stored = np.asarray(nib.load(tmp_path / "run.nii").dataobj.get_unscaled())
    expected = means(stored * np.float64(slope) + inter, [in_ball(seed, 5.1) for seed in SEEDS])
    extraction = extract_spheres(tmp_path / "run.nii", SEEDS, 5.1)
    np.testing.assert_allclose(extraction.timeseries, expected, rtol=1e-6)
    if first == "as the others":  # less is lost where volumes are alike
        np.testing.assert_allclose(extraction.timeseries, expected, rtol=1e-8)


def test_large_whole_numbers_are_smoothed_in_double_precision():
    """Of 30 bits, where single precision has 24."""
    data = np.random.default_rng(5).normal(2**30, 100, (*SHAPE, 12)).astype(np.int32)
    found = extract_spheres(image(data), SEEDS, 5.1, smoothing_fwhm=6)
    expected, _ = usable_means(data.astype(float), [in_ball(seed, 5.1) for seed in SEEDS], 6)
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-13)


def test_moments_know_missing_voxels_that_count_as_0(data):
    data[in_ball(SEEDS[0], 2.6), 3] = np.nan
    data[5, 5, 4] = 700
    volumes = open_volumes(image(data))
    weights = sphere_weights(SEEDS, 5.1, volumes.grid)
    with pytest.warns(UserWarning, match="Non-finite values"):
        extraction = extract(volumes, weights, usable_only=False, moments=True)
    missing = ~np.isfinite(data[tuple(volumes.grid.unflat(weights.voxels).T)]).all(axis=1)
    assert 0 < missing.sum() < len(missing)
    np.testing.assert_array_equal(extraction.moments.missing, missing)
    assert not extraction.unusable.any()


@pytest.mark.parametrize("offset", [0, 1e3, 1e8])
@pytest.mark.parametrize("n_volumes", [2, N_VOLUMES, 150])
def test_moments_are_those_of_numpy(offset, n_volumes):
    data = np.random.default_rng(1).standard_normal((*SHAPE, n_volumes)) + offset
    data[..., 0] += 30  # a volume before the steady state
    data[4, 4, 4] = 17
    extraction = with_moments(data, 6)
    series = data[tuple(extraction.weights.grid.unflat(extraction.weights.voxels).T)]
    # Rounding of the values themselves, which is all that may be lost
    lost = 1e-12 + 1e-15 * offset
    mean, sd = extraction.moments.mean, extraction.moments.sd
    np.testing.assert_allclose(mean, series.mean(axis=1), rtol=1e-14, atol=lost)
    np.testing.assert_allclose(sd, series.std(axis=1, ddof=1), rtol=1e-10 + lost)


@pytest.mark.parametrize("scaling", [(0.25, 70), (-0.5, 3000), (1, 70)])
def test_moments_are_in_the_units_of_the_image(tmp_path, data, scaling):
    """A spread has no sign, whatever that of the header's slope."""
    slope, inter = scaling
    img = nib.Nifti1Image(np.rint((data - inter) / slope).astype(np.int16), AFFINE)
    img.header.set_slope_inter(slope, inter)
    img.to_filename(tmp_path / "run.nii")
    volumes = open_volumes(tmp_path / "run.nii")
    extraction = extract(volumes, sphere_weights(SEEDS, 6, volumes.grid), moments=True)
    real = nib.load(tmp_path / "run.nii").get_fdata()
    series = real[tuple(volumes.grid.unflat(extraction.weights.voxels).T)]
    moments = extraction.moments
    np.testing.assert_allclose(moments.mean, series.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(moments.sd, series.std(axis=1, ddof=1), rtol=1e-10)
    assert moments.alive.all()


def test_tsnr_is_the_mean_ratio_over_voxels_that_vary(data):
    data[4, 5, 5] = 800  # does not vary
    balls = [in_ball(seed, 6) for seed in SEEDS]
    assert any(ball[4, 5, 5] for ball in balls)
    with np.errstate(divide="ignore"):
        ratio = data.mean(axis=3) / data.std(axis=3, ddof=1)
    expected = [ratio[ball & np.isfinite(ratio)].mean() for ball in balls]
    np.testing.assert_allclose(tsnr(data, 6), expected, rtol=1e-10)


def test_a_sphere_that_does_not_vary_has_no_tsnr(data):
    data[in_ball(SEEDS[1], 4.2)] = 0.1
    assert np.isnan(tsnr(data, 4.2)).tolist() == [False, True, False]


SILENT = {
    "nan": np.nan,
    "nan in one volume": np.nan,
    "infinite in one volume": np.inf,
    "zero": 0,
    "constant": 1234.5,
}


@pytest.mark.parametrize("aggregation", ["mean", "median", "eigenvariate"])
@pytest.mark.parametrize("fwhm", [None, 5])
@pytest.mark.parametrize("how", SILENT)
def test_coverage_is_the_share_of_voxels_with_a_signal(data, how, fwhm, aggregation):
    silent = np.random.default_rng(2).random(SHAPE) < 0.3
    data[silent, slice(3, 4) if "one" in how else slice(None)] = SILENT[how]
    seeds = [*SEEDS, (-14, 14, 14)]
    balls = [in_ball(seed, 6) for seed in seeds]
    # The last sphere reaches out of the image: there are as many voxels as around its centre.
    far = np.indices((30, 30, 30)).reshape(3, -1).T - 10
    asked = [(np.linalg.norm(apply_affine(AFFINE, far) - seed, axis=1) < 6).sum() for seed in seeds]
    assert balls[-1].sum() < asked[-1]
    volumes = open_volumes(image(data))
    weights = sphere_weights(seeds, 6, volumes.grid)
    extraction = extract(volumes, weights, fwhm, aggregation=aggregation, moments=True)
    expected = [(ball & ~silent).sum() / n for ball, n in zip(balls, asked, strict=True)]
    np.testing.assert_allclose(extraction.moments.coverage(weights), expected, rtol=1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = data.mean(axis=3) / data.std(axis=3, ddof=1)
    expected = [ratio[ball & ~silent].mean() for ball in balls]
    np.testing.assert_allclose(extraction.moments.tsnr(weights), expected, rtol=1e-10)


@pytest.mark.parametrize("scaling", [(1, 0), (0.5, 100)])
def test_medians_of_a_smoothed_image(tmp_path, data, scaling):
    img = nib.Nifti1Image(data.astype(np.int16), AFFINE, dtype=np.int16)
    img.header.set_slope_inter(*scaling)
    img.to_filename(tmp_path / "run.nii.gz")
    smooth = smooth_img(nib.Nifti1Image(nib.load(tmp_path / "run.nii.gz").get_fdata(), AFFINE), 5)
    expected = [np.median(smooth.get_fdata()[in_ball(seed, 6)], axis=0) for seed in SEEDS]
    extraction = extract_spheres(
        tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=5, aggregation="median"
    )
    np.testing.assert_allclose(extraction.timeseries.T, expected, rtol=1e-10)


def test_blocks_follow_each_other(data, monkeypatch):
    monkeypatch.setattr("bids_spheres.engine.stream._MAX_BLOCK", 3)
    extraction = with_moments(data, 5.1)
    expected = means(data, [in_ball(seed, 5.1) for seed in SEEDS])
    np.testing.assert_allclose(extraction.timeseries, expected, rtol=1e-12)
    series = data[tuple(extraction.weights.grid.unflat(extraction.weights.voxels).T)]
    np.testing.assert_allclose(extraction.moments.sd, series.std(axis=1, ddof=1), rtol=1e-10)


# Errors


@pytest.mark.parametrize(
    "grid",
    [
        Grid(SHAPE, AFFINE + np.diag([0.1, 0, 0, 0])),
        Grid((10, 11, 8), AFFINE),
        Grid((11, 10, 9), AFFINE),
    ],
)
def test_weights_of_another_grid_are_an_error(data, grid):
    weights = sphere_weights(SEEDS, 5, grid)
    with pytest.raises(DataError, match="another image grid"):
        extract(open_volumes(image(data)), weights)


@pytest.mark.parametrize(
    "seeds",
    [np.zeros((3, 2)), np.zeros((3, 4)), np.zeros(6), np.zeros((1, 2, 3))],
    ids=["two columns", "four columns", "flat", "nested"],
)
def test_seeds_that_are_no_table_of_three_columns_are_an_error(data, seeds):
    with pytest.raises(UsageError, match=r"\(S, 3\)|three coordinates"):
        extract_spheres(image(data), seeds, 5)


@pytest.mark.parametrize("aggregation", ["mean", "median"])
@pytest.mark.parametrize("fwhm", [None, 5])
def test_spikes_are_squeezed_before_voxels_become_one_series(fwhm, aggregation):
    """Of spheres of unequal size; moments are those of the image as it is."""
    rng = np.random.default_rng(9)
    data = rng.normal(1000, 20, (*SHAPE, 40))
    data[in_ball(SEEDS[1], 5.3), 13] += 900  # of most of its voxels, which a median shows
    radii = [3.2, 6, 0]
    balls = [in_ball(*pair) for pair in zip(SEEDS, radii, strict=True)]
    volumes = open_volumes(image(data))
    weights = sphere_weights(SEEDS, radii, volumes.grid)
    options = {"aggregation": aggregation, "moments": True}
    extraction = extract(volumes, weights, fwhm, despike=True, **options)
    seen = smooth_img(image(data), fwhm).get_fdata() if fwhm else data
    function = {"mean": np.mean, "median": np.median}[aggregation]
    for sphere, ball in enumerate(balls):
        voxels, spikes = despike(seen[ball].T)
        series = extraction.timeseries[:, sphere]
        np.testing.assert_allclose(series, function(voxels, axis=1), rtol=1e-9)
        assert extraction.spikes[sphere] == pytest.approx(spikes.mean(), abs=1e-12)
    assert len(set(extraction.spikes.tolist())) == 3
    assert (extraction.voxels is None) == (aggregation == "mean")
    inside = tuple(volumes.grid.unflat(weights.voxels).T)
    sd = data[inside].std(axis=1, ddof=1)
    np.testing.assert_allclose(extraction.moments.sd, sd, rtol=1e-10)
    plain = extract(volumes, weights, fwhm, **options)
    assert plain.spikes is None
    assert np.abs(plain.timeseries - extraction.timeseries)[13, 1] > 50


def test_a_value_that_is_not_finite_within_reach_of_smoothing_is_said(data):
    """And not one that plays no part."""
    beside = np.argwhere(in_ball(SEEDS[0], 6) & ~in_ball(SEEDS[0], 3.2))[0]
    data[(*beside, 3)] = np.nan
    volumes = open_volumes(image(data))
    weights = sphere_weights(SEEDS[:1], 3.2, volumes.grid)
    extract(volumes, weights, usable_only=False)
    with pytest.warns(UserWarning, match="Non-finite values detected"):
        found = extract(volumes, weights, 5, usable_only=False).timeseries
    smooth = smooth_img(image(np.nan_to_num(data)), 5).get_fdata()
    expected = means(smooth, [in_ball(SEEDS[0], 3.2)])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
