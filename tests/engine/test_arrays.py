"""Geometry is built once per grid, seeds and mask."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from bids_spheres import NiftiSpheresMasker
from bids_spheres.engine import spheres
from bids_spheres.engine.arrays import memoized
from bids_spheres.engine.smoothing import applied_weights

AFFINE = np.diag([3.0, 3, 3, 1])
SEEDS = [(9, 9, 9), (21, 18, 15)]


@pytest.fixture
def builds(monkeypatch):
    """Number of times that voxels were looked for."""
    calls = []
    original = spheres._balls

    def spy(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(spheres, "_balls", spy)
    return calls


def image(seed, affine=AFFINE):
    data = np.random.default_rng(seed).random((10, 11, 9, 6), dtype=np.float32)
    return nib.Nifti1Image(data, affine)


def test_a_second_run_on_the_same_grid_builds_no_geometry(builds):
    seeds = [*SEEDS, (21.34, 5, 3)]  # of this test alone, so that nothing is kept of others
    mask = nib.Nifti1Image(np.ones((10, 11, 9), np.uint8), AFFINE)
    masker = NiftiSpheresMasker(seeds, radius=5, mask_img=mask, smoothing_fwhm=6).fit()
    masker.transform(image(0))
    first, smoothed = len(builds), applied_weights.cache_info().misses
    masker.transform(image(1))
    assert len(builds) == first
    assert applied_weights.cache_info().misses == smoothed


@pytest.mark.parametrize("change", ["affine", "mask", "seeds", "radius"])
def test_anything_else_builds_it_anew(builds, change):
    mask = np.ones((10, 11, 9), np.uint8)
    masker = NiftiSpheresMasker(SEEDS, radius=5, mask_img=nib.Nifti1Image(mask, AFFINE))
    before = masker.fit_transform(image(0))
    count = len(builds)
    img = image(0, AFFINE @ np.diag([1.1, 1, 1, 1])) if change == "affine" else image(0)
    if change == "mask":
        mask[3, 3, 3] = 0
        masker.mask_img = nib.Nifti1Image(mask, AFFINE)
    if change == "seeds":
        masker.seeds = [SEEDS[0], (21, 18, 18)]
    if change == "radius":
        masker.radius = [5, 4]
    after = masker.fit_transform(img)
    assert len(builds) > count
    assert not np.allclose(before, after)


def test_results_are_kept_by_value_up_to_a_number():
    calls = []

    @memoized(maxsize=2)
    def double(array, *, factor=2):
        calls.append(factor)
        return array * factor

    for array in (np.arange(3), np.arange(3), np.arange(3.0), np.arange(3).reshape(1, 3)):
        np.testing.assert_array_equal(double(array), 2 * array)
    assert len(calls) == 3
    double(np.arange(3), factor=3)
    double(np.arange(3).reshape(1, 3))
    assert len(calls) == 4
    double(np.arange(3))
    assert len(calls) == 5


def test_arguments_in_lists_and_tuples_are_told_apart_by_value():
    """Also where arrays are too long to be written out."""
    calls = []

    @memoized(maxsize=9)
    def total(parts):
        calls.append(parts)
        return sum(part.sum() for part in parts)

    first, other = np.zeros(5000), np.zeros(5000)
    other[-1] = 1
    for kind in (list, tuple):
        assert [total(kind([first, first])), total(kind([first, other]))] == [0, 1]
    assert len(calls) == 2
    assert total([other, first]) == 1
    assert len(calls) == 3
    assert total([other]) == 1
    assert len(calls) == 4


def test_the_result_that_was_asked_for_last_is_kept_longest():
    calls = []

    @memoized(maxsize=2)
    def name(number, *, first="a", second="b"):
        calls.append(number)
        return f"{number}{first}{second}"

    for number in (1, 2, 1, 3, 1):
        assert name(number) == f"{number}ab"
    assert calls == [1, 2, 3]
    assert name(1, first="x", second="y") == name(1, second="y", first="x") == "1xy"
    assert name(1, first="y", second="x") == "1yx"
    assert calls == [1, 2, 3, 1, 1]


def test_arrays_of_the_same_bytes_and_another_type_are_not_the_same():
    @memoized(maxsize=3)
    def kind(array):
        return array.dtype

    for dtype in (np.int64, np.float64, np.float32, np.int64):
        assert kind(np.zeros(8 // np.dtype(dtype).itemsize, dtype)) == dtype
