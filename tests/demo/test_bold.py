"""Images of the simulated dataset."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np

from tests.demo.conftest import SPACE, STILL, VOLUMES, every_run


@every_run
def test_bold_header(bold, func, stem):
    img = bold(stem)
    assert img.shape[3] == VOLUMES[stem]
    assert img.get_data_dtype() == np.int16
    assert img.header.get_zooms() == (5.0, 5.0, 5.0, 2.0)
    assert img.header.get_xyzt_units() == ("mm", "sec")
    sidecar = json.loads(func(stem, f"{SPACE}_desc-preproc_bold.json").read_text())
    assert sidecar == {"RepetitionTime": 2.0, "SkullStripped": False, "TaskName": "rest"}


@every_run
def test_images_of_a_run_share_an_mni_grid(bold, mask, func, stem):
    reference = nib.load(func(stem, f"{SPACE}_boldref.nii.gz"))
    for img in (bold(stem), mask(stem), reference):
        assert img.shape[:3] == (39, 46, 38)
        assert (int(img.header["sform_code"]), int(img.header["qform_code"])) == (4, 4)
        for affine in (img.get_sform(), img.get_qform()):
            np.testing.assert_allclose(affine[:3, :3], 5 * np.eye(3), atol=1e-6)
            np.testing.assert_allclose(affine[:3, 3], [-95, -130, -75], atol=1e-6)


def test_boldref_is_the_mean_of_the_steady_volumes(bold, func):
    reference = nib.load(func(STILL, f"{SPACE}_boldref.nii.gz")).get_fdata()
    step = bold(STILL).dataobj.slope
    expected = bold(STILL).get_fdata()[..., 2:].mean(axis=-1)
    assert np.abs(reference - expected).max() <= step / 2 + 1e-6


def test_only_the_first_participant_starts_before_the_steady_state(numbers, bold):
    for stem in VOLUMES:
        columns = numbers(stem)
        early = [name for name in columns if name.startswith("non_steady_state_outlier")]
        assert len(early) == (2 if stem == STILL else 0)
    np.testing.assert_array_equal(
        [np.argmax(numbers(STILL)[f"non_steady_state_outlier0{index}"]) for index in (0, 1)], [0, 1]
    )
    course = bold(STILL).get_fdata().mean(axis=(0, 1, 2))
    assert course[0] > course[1] > 1.03 * course[2:].max()
