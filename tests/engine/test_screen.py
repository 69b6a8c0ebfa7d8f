"""Voxels that are not finite, constant, or begin to vary late, and how often an image is read."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.image import smooth_img

from bids_spheres.engine import stream
from bids_spheres.engine.extract import extract, extract_spheres
from bids_spheres.engine.spheres import sphere_weights
from bids_spheres.engine.stream import open_volumes
from tests.engine.conftest import AFFINE, SEEDS, SHAPE, image, in_ball, means, usable_means

UNUSABLE = {
    "not finite in the first volume": lambda d, w: d.__setitem__((w, 0), np.nan),
    "not finite in the last volume": lambda d, w: d.__setitem__((w, -1), np.inf),
    "finite in one volume": lambda d, w: d.__setitem__((w, slice(1, None)), -np.inf),
    "never finite": lambda d, w: d.__setitem__((w,), np.nan),
    "zero": lambda d, w: d.__setitem__((w,), 0),
    "constant": lambda d, w: d.__setitem__((w,), 1e6),
    "constant or not finite": lambda d, w: d.__setitem__((w,), np.resize([7.5, np.nan], 40)),
    "huge or not finite": lambda d, w: d.__setitem__((w,), np.resize([1e30, 3, np.nan], 40)),
}


STORED = [
    *((np.float32, 1, 0), (np.float64, 1, 0), (np.float32, -0.5, 3000), (np.int16, 0.25, 70)),
    # No stored value stands for 0.
    *((np.int16, 3, 10), (np.uint8, 8, -7)),
]


def is_stored(data, dtype):
    """Whether a type has the values: whole numbers are finite, and of few bits."""
    return np.dtype(dtype).kind == "f" or (np.isfinite(data).all() and data.max() < 5000)


@pytest.mark.parametrize("fwhm", [None, 6])
@pytest.mark.parametrize("how", UNUSABLE)
def test_a_voxel_that_is_not_finite_or_constant_is_none(tmp_path, how, fwhm):
    rng = np.random.default_rng(11)
    data = rng.normal(1000, 50, (*SHAPE, 40))
    where = (rng.random(SHAPE) < 0.15) & (np.indices(SHAPE)[0] > 3)
    UNUSABLE[how](data, where)
    balls = [in_ball(seed, 6) for seed in SEEDS]
    for dtype, slope, inter in [kind for kind in STORED if is_stored(data, kind[0])]:
        stored = ((data - inter) / slope).astype(dtype)
        img = nib.Nifti1Image(stored, AFFINE, dtype=dtype)
        # An array in memory is not scaled.
        sources = [] if (slope, inter) != (1, 0) else [nib.Nifti1Image(stored, AFFINE, dtype=dtype)]
        img.header.set_slope_inter(slope, inter)
        for name in ("run.nii.gz", "run.nii"):
            img.to_filename(tmp_path / name)
            sources.append(tmp_path / name)
        expected, usable = usable_means(stored * np.float64(slope) + inter, balls, fwhm)
        concerned = [bool((ball & ~usable).any()) for ball in balls]
        assert any(concerned)
        said = f"of {sum(concerned)} spheres are constant, or not fin"
        for source in sources:
            with pytest.warns(UserWarning, match=said):
                extraction = extract_spheres(source, SEEDS, 6, smoothing_fwhm=fwhm)
            np.testing.assert_allclose(extraction.timeseries, expected, rtol=2e-7)
            assert extraction.reduced.tolist() == concerned
            unusable = ~usable.reshape(-1, order="F")[extraction.weights.voxels]
            np.testing.assert_array_equal(extraction.unusable, unusable)


@pytest.mark.parametrize("fwhm", [None, 6])
def test_a_sphere_of_which_all_voxels_are_none_has_no_series(data, fwhm):
    data[in_ball(SEEDS[0], 3.6)] = 17
    with pytest.warns(UserWarning, match="voxels of 1 sphere are"):
        series = extract_spheres(image(data), SEEDS[:2], 3.6, smoothing_fwhm=fwhm).timeseries
    assert np.isnan(series).all(axis=0).tolist() == [True, False]
    assert np.isfinite(series[:, 1]).all()


@pytest.mark.parametrize("fwhm", [None, 9])
@pytest.mark.parametrize("how", ["not finite in the last volume", "constant", "zero"])
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (-0.5, 3000)])
def test_a_bad_voxel_outside_of_all_spheres_matters_to_smoothing_alone(
    tmp_path, how, fwhm, slope, inter
):
    data = np.random.default_rng(2).normal(1000, 50, (*SHAPE, 40))
    balls = [in_ball(seed, 4.2) for seed in SEEDS]
    beside = np.zeros(SHAPE, bool)
    beside[tuple(np.argwhere(in_ball(SEEDS[0], 6) & ~np.any(balls, axis=0))[0])] = True
    UNUSABLE[how](data, beside)
    stored = (data - inter) / slope
    img = nib.Nifti1Image(stored, AFFINE)
    img.header.set_slope_inter(slope, inter)
    img.to_filename(tmp_path / "run.nii.gz")
    found = extract_spheres(tmp_path / "run.nii.gz", SEEDS, 4.2, smoothing_fwhm=fwhm)  # no warning
    expected, _ = usable_means(stored * slope + inter, balls, fwhm)
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-7)


def test_the_spheres_that_are_computed_again_are_those_near_to_a_bad_voxel():
    """Also when the order of the seeds is not that of their places in the image."""
    data = np.random.default_rng(2).normal(1000, 50, (*SHAPE, 40))
    seeds = apply_affine(AFFINE, [(8, 9, 7), (1, 1, 1), (1, 9, 7)])
    balls = [in_ball(seed, 1) for seed in seeds]
    data[8, 9, 6, 25] = np.nan
    expected, _ = usable_means(data, balls, 3)
    found = extract_spheres(image(data), seeds, 1, smoothing_fwhm=3)
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-10)


ONCE = ("zero", "constant", "never finite")


@pytest.mark.parametrize("how", UNUSABLE)
@pytest.mark.parametrize("aggregation", ["mean", "median"])
@pytest.mark.parametrize("fwhm", [None, 5])
def test_an_image_is_inflated_twice_only_if_voxels_are_bad_in_some_volumes_alone(
    tmp_path, monkeypatch, how, aggregation, fwhm
):
    opened = []
    inflate = stream.open_gzip
    monkeypatch.setattr(stream, "open_gzip", lambda path: opened.append(path) or inflate(path))
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, 40))
    UNUSABLE[how](data, in_ball(SEEDS[0], 2.6))
    image(data).to_filename(tmp_path / "run.nii.gz")
    with pytest.warns(UserWarning, match="not finite"):
        extraction = extract_spheres(
            tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=fwhm, aggregation=aggregation
        )
    # A median needs the values of voxels themselves, of which the bad ones are simply left out.
    once = how in ONCE or (aggregation == "median" and not fwhm)
    assert len(opened) == (1 if once else 2)
    assert extraction.read_twice == (not once)


@pytest.mark.parametrize("fwhm", [None, 5])
def test_an_image_without_bad_voxels_is_inflated_once(tmp_path, data, monkeypatch, fwhm):
    opened = []
    inflate = stream.open_gzip
    monkeypatch.setattr(stream, "open_gzip", lambda path: opened.append(path) or inflate(path))
    image(data).to_filename(tmp_path / "run.nii.gz")
    assert not extract_spheres(tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=fwhm).read_twice
    assert len(opened) == 1


@pytest.mark.parametrize("fwhm", [None, 6])
@pytest.mark.parametrize("start", [3, 20])
@pytest.mark.parametrize(("dtype", "slope", "inter"), [(np.float64, 1, 0), (np.int16, 3, 10)])
def test_a_voxel_may_begin_to_vary_late(tmp_path, fwhm, start, dtype, slope, inter):
    """As at the edge of the field of view when a head moves; some of the sphere never vary."""
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, 40))
    ball = np.argwhere(in_ball(SEEDS[0], 2.9))
    assert len(ball) > 3
    data[tuple(ball[:2].T)] = 12
    data[tuple(ball[2])][:start] = 0
    stored = ((data - inter) / slope).astype(dtype)
    img = nib.Nifti1Image(stored, AFFINE)
    img.header.set_slope_inter(slope, inter)
    img.to_filename(tmp_path / "run.nii.gz")
    real = stored * np.float64(slope) + inter
    expected, _ = usable_means(real, [in_ball(seed, 6) for seed in SEEDS], fwhm)
    with pytest.warns(UserWarning, match="are constant, or not fin"):
        extraction = extract_spheres(tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=fwhm)
    rtol = 1e-10 if dtype is np.float64 else 2e-7
    np.testing.assert_allclose(extraction.timeseries, expected, rtol=rtol)
    assert extraction.read_twice == (fwhm is not None and start == 20)


@pytest.mark.parametrize("fwhm", [None, 6])
def test_constant_voxels_beside_one_that_is_bad_in_some_volumes(fwhm):
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, 40))
    ball = np.argwhere(in_ball(SEEDS[0], 2.9))
    data[tuple(ball[:2].T)] = 12
    data[(*ball[2], 25)] = np.nan
    expected, _ = usable_means(data, [in_ball(seed, 6) for seed in SEEDS], fwhm)
    with pytest.warns(UserWarning, match="are constant, or not fin"):
        found = extract_spheres(image(data), SEEDS, 6, smoothing_fwhm=fwhm)
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-10)


@pytest.mark.parametrize("fwhm", [None, 6])
def test_a_voxel_that_begins_to_vary_late_is_in_its_sphere_after_one_reading(tmp_path, fwhm):
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, 40))
    data[tuple(np.argwhere(in_ball(SEEDS[0], 2.9))[2])][:20] = 0
    image(data).to_filename(tmp_path / "run.nii.gz")
    expected, _ = usable_means(data, [in_ball(seed, 6) for seed in SEEDS], fwhm)
    extraction = extract_spheres(tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=fwhm)
    np.testing.assert_allclose(extraction.timeseries, expected, rtol=1e-10)
    assert not extraction.read_twice


@pytest.mark.parametrize("fwhm", [None, 6])
@pytest.mark.parametrize("aggregation", ["median", "eigenvariate"])
def test_medians_and_eigenvariates_leave_bad_voxels_out(tmp_path, data, aggregation, fwhm):
    data = np.concatenate([data] * 3, axis=3) + np.random.default_rng(0).normal(size=(*SHAPE, 21))
    data[5, 5, 4, 3], data[4, 5, 4] = np.nan, 12
    image(data).to_filename(tmp_path / "run.nii.gz")
    usable = np.isfinite(data).all(axis=3) & (np.ptp(np.nan_to_num(data), axis=3) > 0)
    clean = np.where(usable[..., None], data, 0)
    if fwhm:
        clean = smooth_img(nib.Nifti1Image(clean, AFFINE), fwhm).get_fdata()
    with pytest.warns(UserWarning, match="not finite"):
        found = extract_spheres(
            tmp_path / "run.nii.gz", SEEDS, 6, smoothing_fwhm=fwhm, aggregation=aggregation
        ).timeseries
    for series, seed in zip(found.T, SEEDS, strict=True):
        voxels = clean[in_ball(seed, 6) & usable].T
        if aggregation == "median":
            expected = np.median(voxels, axis=1)
        else:
            vectors = np.linalg.eigh(np.cov(voxels.T))[1]
            direction = vectors[:, -1] * np.sign(vectors[:, -1].sum())
            scores = (voxels - voxels.mean(axis=0)) @ direction
            expected = scores / np.sqrt(len(direction)) + voxels.mean()
        np.testing.assert_allclose(series, expected, rtol=1e-9)


def test_voxels_that_vary_little_have_a_signal():
    """A standard deviation of a ten-thousandth, beside voxels that do not vary."""
    rng = np.random.default_rng(0)
    values = np.full((3, 3, 3, 40), 7.0)
    values[1, 1] += 1e-4 * rng.standard_normal((3, 40))
    volumes = open_volumes(nib.Nifti1Image(values, np.eye(4)))
    weights = sphere_weights([[1, 1, 1], [0, 0, 0]], 1, volumes.grid)
    moments = extract(volumes, weights, moments=True).moments
    expected = (weights.voxels % 9) == 4
    assert moments.alive.tolist() == expected.tolist()
    np.testing.assert_allclose(moments.coverage(weights), [3 / 7, 0])
    ratio = values[1, 1].mean(axis=1) / values[1, 1].std(axis=1, ddof=1)
    np.testing.assert_allclose(moments.tsnr(weights), [ratio.mean(), np.nan], rtol=1e-6)


@pytest.mark.parametrize("fwhm", [None, 6])
@pytest.mark.parametrize("step", [8, 16, 24, 32])
def test_a_voxel_that_varies_once_in_a_run_has_a_signal(fwhm, step):
    """Also where that is between blocks, within which it stays the same."""
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, 40))
    ball = np.argwhere(in_ball(SEEDS[0], 2.9))
    data[(*ball[0], slice(step))], data[(*ball[0], slice(step, None))] = 700, 900
    expected, usable = usable_means(data, [in_ball(seed, 6) for seed in SEEDS], fwhm)
    assert usable.all()
    found = extract_spheres(image(data), SEEDS, 6, smoothing_fwhm=fwhm)
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-10)
    assert not found.unusable.any()


@pytest.mark.parametrize("fwhm", [None, 6])
@pytest.mark.parametrize("n_volumes", [1, 2])
def test_of_two_volumes_alike_no_voxel_has_a_signal_and_of_one_all(fwhm, n_volumes):
    data = np.random.default_rng(11).normal(1000, 50, (*SHAPE, n_volumes))
    same = np.argwhere(in_ball(SEEDS[0], 2.9))[:2]
    data[tuple(same.T)] = 700
    usable = np.ones(SHAPE, bool)
    usable[tuple(same.T)] = n_volumes == 1
    seen = np.where(usable[..., None], data, 0)
    seen = smooth_img(image(seen), fwhm).get_fdata() if fwhm else seen
    volumes = open_volumes(image(data))
    found = extract(volumes, sphere_weights(SEEDS, 6, volumes.grid), fwhm)
    expected = means(seen, [in_ball(seed, 6) & usable for seed in SEEDS])
    np.testing.assert_allclose(found.timeseries, expected, rtol=1e-10)
    assert found.unusable.sum() == (0 if n_volumes == 1 else 2)
