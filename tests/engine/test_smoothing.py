"""Smoothed weights against smoothed volumes, at edges and on grids of every kind."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.eulerangles import euler2mat
from scipy.ndimage import gaussian_filter

from bids_spheres.engine.extract import extract, extract_spheres
from bids_spheres.engine.smoothing import applied_weights, box_reached, check_fwhm, smoother
from bids_spheres.engine.spheres import sphere_weights
from bids_spheres.engine.stream import open_volumes
from bids_spheres.errors import UsageError

N_VOLUMES = 3


@st.composite
def affines(draw):
    """Oblique, with voxels of unequal edges, either handedness."""
    zooms = np.array(draw(st.tuples(*[st.floats(1.5, 4.5)] * 3)))
    signs = draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    angles = draw(st.tuples(*[st.floats(-1, 1)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = euler2mat(*angles) @ np.diag(zooms * signs)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-50, 50)] * 3))
    return affine


@st.composite
def scenes(draw):
    """An image, seeds from outside of it through its edges to its middle, radii and a mask."""
    shape = draw(st.tuples(*[st.integers(1, 12)] * 3))
    affine = draw(affines())
    share = st.floats(-0.2, 1.2)
    places = draw(st.lists(st.tuples(share, share, share), min_size=1, max_size=8))
    seeds = apply_affine(affine, np.array(places) * (np.array(shape) - 1))
    radii = draw(st.lists(st.sampled_from([0, 3.0, 7.3]), min_size=len(seeds), max_size=len(seeds)))
    share_in_mask = draw(st.sampled_from([0.2, 0.6, 1.0]))
    return shape, affine, seeds, np.array(radii), share_in_mask, draw(st.floats(0.5, 14))


def whole_volumes_smoothed(data, affine, fwhm):
    """Every volume through scipy's filter; sigma in voxels of each axis."""
    sigma = fwhm / np.sqrt(8 * np.log(2)) / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return np.stack([gaussian_filter(volume, sigma) for volume in np.moveaxis(data, 3, 0)], -1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes())
def test_series_are_those_of_whole_volumes_smoothed(scene):
    shape, affine, seeds, radii, share_in_mask, fwhm = scene
    rng = np.random.default_rng(7)
    data = 100 + 10 * rng.standard_normal((*shape, N_VOLUMES))
    mask = rng.random(shape) < share_in_mask
    smooth = whole_volumes_smoothed(data, affine, fwhm).reshape(-1, N_VOLUMES, order="F")
    volumes = open_volumes(nib.Nifti1Image(data, affine))
    weights = sphere_weights(seeds, radii, volumes.grid, mask)
    found = extract(volumes, weights, fwhm).timeseries
    for sphere, row in enumerate(weights.membership.toarray()):
        if row.any():
            expected = smooth[weights.voxels[row]].mean(axis=0)
            np.testing.assert_allclose(found[:, sphere], expected, rtol=1e-10)
        else:
            assert np.isnan(found[:, sphere]).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes())
def test_every_weight_is_that_of_a_voxel_which_is_read(scene):
    shape, affine, seeds, radii, share_in_mask, fwhm = scene
    volumes = open_volumes(nib.Nifti1Image(np.zeros(shape, np.float32), affine))
    mask = np.random.default_rng(7).random(shape) < share_in_mask
    weights = sphere_weights(seeds, radii, volumes.grid, mask)
    applied = applied_weights(weights, fwhm)
    columns = applied.matrix.indices
    assert ((columns >= 0) & (columns < len(applied.voxels))).all()
    sums = np.asarray(applied.matrix.sum(axis=1))[applied.row_of]
    np.testing.assert_allclose(sums, ~weights.empty, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "rtol"),
    [
        (np.int32, 1, 0, 1e-12),
        (np.int32, 0.001, -40, 1e-12),
        (np.float32, 1, 0, 1e-7),
        (np.int16, -0.5, 3000, 1e-7),
        (np.float64, 1, 0, 1e-12),
    ],
)
def test_an_oblique_grid_of_unequal_voxels_in_every_precision(tmp_path, dtype, slope, inter, rtol):
    rng = np.random.default_rng(3)
    affine = np.eye(4)
    affine[:3, :3] = euler2mat(0.4, -0.3, 0.6) @ np.diag([2.0, 3.1, 4.4])
    # Whole numbers of 31 bits, of which single precision would lose the last 7
    scale = 2_000_000 if dtype is np.int32 else 20
    stored = np.rint(1000 * scale + scale * rng.standard_normal((11, 9, 8, 12))).astype(dtype)
    img = nib.Nifti1Image(stored, affine, dtype=dtype)
    img.header.set_slope_inter(slope, inter)
    img.to_filename(tmp_path / "run.nii.gz")
    affine = nib.load(tmp_path / "run.nii.gz").affine  # in single precision
    real = stored * np.float64(np.float32(slope)) + inter
    smooth = whole_volumes_smoothed(real, affine, 6.5)
    seeds = apply_affine(affine, [[5.2, 4.1, 3.3], [0.4, 7.7, 6.6]])
    found = extract_spheres(tmp_path / "run.nii.gz", seeds, 5.0, smoothing_fwhm=6.5)
    centres = apply_affine(affine, np.moveaxis(np.indices((11, 9, 8)), 0, -1))
    for sphere, seed in enumerate(seeds):
        ball = np.linalg.norm(centres - seed, axis=-1) <= 5
        np.testing.assert_allclose(
            found.timeseries[:, sphere], smooth[ball].mean(axis=0), rtol=rtol
        )


@pytest.mark.parametrize("threads", [1, 2])
def test_hundreds_of_spheres_are_smoothed_in_parts_of_any_order(threads):
    """More than are spread, found or summed at a time; some of them without a voxel."""
    rng = np.random.default_rng(5)
    affine = np.array([[-2.0, 0, 0, 9], [0, 1.8, 0.3, -8], [0, -0.3, 2.2, -7], [0, 0, 0, 1]])
    shape = (11, 12, 9)
    data = 100 + 10 * rng.standard_normal((*shape, N_VOLUMES))
    seeds = apply_affine(affine, rng.uniform(-1, 12, (601, 3)))
    radii = np.where(np.arange(601) % 5 == 0, 3.1, 6.3)
    seeds[100], seeds[400] = (500, 0, 0), (0, -500, 0)
    volumes = open_volumes(nib.Nifti1Image(data, affine))
    weights = sphere_weights(seeds, radii, volumes.grid)
    found = extract(volumes, weights, 4.5, threads=threads).timeseries
    smooth = whole_volumes_smoothed(data, affine, 4.5)
    centres = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1)).reshape(-1, 3)
    for sphere, (seed, radius) in enumerate(zip(seeds, radii, strict=True)):
        ball = np.linalg.norm(centres - seed, axis=1) <= radius
        ball = ball.reshape(shape)
        held = np.rint(apply_affine(np.linalg.inv(affine), seed)).astype(int)
        if ((held >= 0) & (held < shape)).all():
            ball[tuple(held)] = True
        if ball.any():
            expected = smooth[ball].mean(axis=0)
            np.testing.assert_allclose(found[:, sphere], expected, rtol=1e-10)
        else:
            assert np.isnan(found[:, sphere]).all()
    assert np.isnan(found[0]).sum() >= 2


@pytest.mark.parametrize("ijk", [[(12, 10, 11)], [(9, 12, 10), (14, 8, 12)], [(0, 19, 3)]])
def test_some_voxels_of_a_smoothed_volume_need_a_box_of_it(ijk):
    """It ends where a kernel of 4 standard deviations does; beyond, values may be anything."""
    affine = np.diag([1.5, -2.0, 3.1, 1])
    affine[:3, :3] = euler2mat(0.3, 0.2, -0.5) @ affine[:3, :3]
    volume = np.random.default_rng(4).normal(100, 10, (24, 20, 22))
    grid, where = open_volumes(nib.Nifti1Image(volume, affine)).grid, tuple(np.transpose(ijk))
    voxels, fwhm = grid.flat(np.array(ijk)), 4.0
    expected = whole_volumes_smoothed(volume[..., None], affine, fwhm)[..., 0][where]
    box = box_reached(grid, fwhm, voxels)
    only = np.full(volume.shape, 1e9)
    only[box] = volume[box]
    found = smoother(grid, fwhm, voxels)(only.reshape(-1, order="F"))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    reach = np.rint(4 * fwhm / np.sqrt(8 * np.log(2)) / [1.5, 2, 3.1])
    widest = np.ptp(ijk, axis=0) + 1 + 2 * reach
    assert (np.array([side.stop - side.start for side in box]) <= widest).all()


def test_which_widths_are_lengths():
    for width in (6, 0.5, np.float32(2.5), np.int16(4)):
        assert check_fwhm(width) == width
        assert type(check_fwhm(width)) is float
    assert check_fwhm(None) is check_fwhm(0) is check_fwhm(0.0) is None
    for width in (-0.1, np.inf, np.nan, True, "6", [6.0], 6j):
        with pytest.raises(UsageError, match="must be a width in mm"):
            check_fwhm(width)
