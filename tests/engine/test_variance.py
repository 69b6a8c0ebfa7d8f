"""The oracle is `nilearn.image.high_variance_confounds`, up to the sign of a component."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import high_variance_confounds as nilearn_confounds

from bids_spheres.engine.clean import clean
from bids_spheres.engine.variance import high_variance_confounds
from bids_spheres.errors import DataError, UsageError

AFFINE = np.diag([3.0, 3, 3, 1])


def image(shape=(9, 8, 7, 40), seed=0, offset=1000.0, dtype=np.float64):
    """Voxels of different variance that share some courses over time."""
    rng = np.random.default_rng(seed)
    n_volumes = shape[3]
    courses = rng.normal(size=(6, n_volumes))
    data = np.tensordot(rng.normal(size=(*shape[:3], 6)) * np.arange(6, 0, -1), courses, axes=1)
    data += rng.normal(size=shape) * rng.random((*shape[:3], 1)) * 5
    data += np.linspace(-1, 1, n_volumes) * rng.normal(size=(*shape[:3], 1)) * 20
    img = nib.Nifti1Image((data + offset).astype(dtype), AFFINE)
    img.header.set_xyzt_units("mm", "sec")
    return img


def mask(img, seed=0):
    inside = np.random.default_rng(seed).random(img.shape[:3]) < 0.6
    return nib.Nifti1Image(inside.astype(np.uint8), img.affine)


def assert_same(ours, theirs, tolerance):
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float64
    signs = np.sign((ours * theirs).sum(axis=0))
    np.testing.assert_allclose(ours, theirs * signs, atol=tolerance)


@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize(
    ("n_confounds", "percentile"), [(5, 2.0), (5, 5), (1, 1.5), (3, 50), (8, 100)]
)
def test_same_as_nilearn(n_confounds, percentile, detrend):
    img = image(seed=n_confounds)
    options = {"n_confounds": n_confounds, "percentile": percentile, "detrend": detrend}
    assert_same(high_variance_confounds(img, **options), nilearn_confounds(img, **options), 1e-8)


def test_two_volumes_are_as_nilearns():
    img, options = image(shape=(5, 5, 5, 2)), {"n_confounds": 2, "percentile": 20, "detrend": False}
    assert_same(high_variance_confounds(img, **options), nilearn_confounds(img, **options), 1e-8)


@pytest.mark.parametrize("detrend", [True, False])
def test_same_as_nilearn_in_a_mask(detrend):
    img = image(offset=50)
    options = {"percentile": 10, "detrend": detrend, "mask_img": mask(img)}
    # nilearn computes in single precision then
    assert_same(high_variance_confounds(img, **options), nilearn_confounds(img, **options), 1e-4)


@pytest.mark.parametrize(
    ("masked", "bad"), [(True, np.nan), (True, np.inf), (True, -np.inf), (False, np.nan)]
)
def test_values_that_are_not_finite(masked, bad):
    img = image(offset=50)
    img.dataobj[2, 3, 4, 7] = bad
    img.dataobj[5, 5, 5, :] = bad
    img.dataobj[1:3, 1, 1, 0] = bad
    options = {"percentile": 10, "mask_img": mask(img) if masked else None}
    ours, theirs = high_variance_confounds(img, **options), nilearn_confounds(img, **options)
    assert_same(ours, theirs, 1e-4 if masked else 1e-8)


def test_a_voxel_with_an_infinite_value_is_left_out():
    img, without = image(), image()
    img.dataobj[2, 3, 4, 7] = np.inf
    without.dataobj[2, 3, 4] = np.nan
    for detrend in (True, False):
        ours = high_variance_confounds(img, percentile=20, detrend=detrend)
        np.testing.assert_allclose(
            ours, high_variance_confounds(without, percentile=20, detrend=detrend)
        )


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_files(tmp_path, dtype, suffix):
    path = tmp_path / f"bold{suffix}"
    img = image(dtype=dtype, shape=(9, 8, 7, 90))
    img.to_filename(path)
    ours = high_variance_confounds(path, percentile=10)
    assert_same(ours, nilearn_confounds(str(path), percentile=10), 2e-4)
    np.testing.assert_allclose(ours, high_variance_confounds(img, percentile=10), atol=1e-9)


def test_small_changes_of_large_values():
    """Sums of squares from 0 on would lose them."""
    img = image(offset=0)
    far = nib.Nifti1Image(np.asarray(img.dataobj) + 1e7, AFFINE)
    near = high_variance_confounds(img, percentile=10)
    np.testing.assert_allclose(high_variance_confounds(far, percentile=10), near, atol=1e-6)


def test_components_are_orthonormal_and_detrended():
    components = high_variance_confounds(image(), percentile=20)
    np.testing.assert_allclose(components.T @ components, np.eye(5), atol=1e-12)
    line = np.column_stack([np.ones(40), np.arange(40)])
    np.testing.assert_allclose(line.T @ components, 0, atol=1e-10)


def test_sign_is_that_of_the_largest_value():
    components = high_variance_confounds(image(), percentile=20)
    assert (components.max(axis=0) == np.abs(components).max(axis=0)).all()


def test_no_more_components_than_there_are():
    """Where nilearn fills up with arbitrary vectors."""
    img = image(shape=(5, 5, 5, 30))
    with pytest.warns(UserWarning, match="3 voxels and 30 volumes have 3 components"):
        ours = high_variance_confounds(img)
    assert_same(ours, nilearn_confounds(img)[:, :3], 1e-8)


def test_no_more_components_than_volumes():
    """Of four volumes two are left by mean and trend."""
    img = image(shape=(5, 5, 5, 4))
    with pytest.warns(UserWarning, match="4 volumes have 2 components of high variance, not 5"):
        ours = high_variance_confounds(img, percentile=50)
    assert_same(ours, nilearn_confounds(img, percentile=50)[:, :2], 1e-8)


def test_two_volumes_have_one_component():
    """Their difference, when the mean is taken out."""
    img = image(shape=(5, 5, 5, 2))
    ours = high_variance_confounds(img, n_confounds=1, detrend=False, percentile=50)
    assert_same(ours, nilearn_confounds(img, 1, percentile=50, detrend=False), 1e-8)


def test_voxels_without_variance_count_among_those_of_which_a_share_is_taken():
    img = image()
    img.dataobj[:, :4] = 7
    options = {"percentile": 20, "n_confounds": 3}
    assert_same(high_variance_confounds(img, **options), nilearn_confounds(img, **options), 1e-8)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_an_image_plays_no_part(unit):
    img = image(shape=(5, 5, 5, 30))
    scaled = nib.Nifti1Image(unit * np.asarray(img.dataobj), AFFINE)
    expected = nilearn_confounds(img, percentile=20)
    assert_same(high_variance_confounds(scaled, percentile=20), expected, 1e-8)


def test_a_percentile_of_0_takes_no_voxel():
    with pytest.warns(UserWarning, match="no voxels and 40 volumes have no components"):
        assert high_variance_confounds(image(), percentile=0).shape == (40, 0)


def test_an_image_that_never_changes_has_none():
    img = nib.Nifti1Image(np.full((4, 4, 4, 10), 7.0), AFFINE)
    with pytest.warns(UserWarning, match="have no components"):
        none = high_variance_confounds(img)
    assert none.shape == (10, 0)
    signals = np.random.default_rng(0).normal(size=(10, 2))
    np.testing.assert_array_equal(clean(signals, confounds=none), clean(signals))


def test_memory_does_not_hold_the_image(tmp_path):
    path = tmp_path / "bold.nii.gz"
    img = image(shape=(20, 20, 20, 300), dtype=np.float32)
    img.to_filename(path)
    tracemalloc.start()
    high_variance_confounds(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 8 * np.prod(img.shape)


def test_errors():
    img = image()
    for percentile in (-0.1, 100.1, np.nan):
        with pytest.raises(UsageError, match="percentile of 0 to 100"):
            high_variance_confounds(img, percentile=percentile)
    with pytest.raises(UsageError, match="one component or more"):
        high_variance_confounds(img, n_confounds=0)
    with pytest.raises(DataError, match="one volume"):
        high_variance_confounds(img.slicer[..., 0])
    with pytest.raises(DataError, match="finite"):
        high_variance_confounds(nib.Nifti1Image(np.full((3, 3, 3, 9), np.nan), AFFINE))
    with pytest.raises(DataError, match="not on the grid"):
        high_variance_confounds(img, mask_img=nib.Nifti1Image(np.ones((9, 8, 7)), np.eye(4)))


def test_fewer_volumes_than_components_are_said():
    img, options = image(shape=(5, 5, 5, 4)), {"percentile": 50, "detrend": False}
    with pytest.warns(UserWarning, match="4 volumes have 4 components of high variance, not 5"):
        ours = high_variance_confounds(img, **options)
    assert_same(ours, nilearn_confounds(img, n_confounds=4, **options), 1e-8)
