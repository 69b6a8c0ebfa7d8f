"""Images of the simulated dataset."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.demo import bold as demo_bold
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


def test_motion_and_spikes_are_percent_of_signal_change(head, rng):
    """A line of each of 24 parameters, and one of every volume that moved by more than 0.3 mm."""
    parameters = np.zeros((6, 6))
    parameters[1] = [0.1, 0, 0, 0, 0, 0]
    parameters[2] = [0.1, -0.2, 0, 0, 0.004, 0]  # by 0.2 + 50 * 0.004
    parameters[3:] = parameters[2] + [0, 0, 0.3, 0, 0, 0]
    parameters[5] += [0, 0, 0, 0.02, 0, 0]
    weights = rng.standard_normal((len(head.baseline), 24))
    artefacts = demo_bold.motion_artefacts(head, weights, parameters, rng)
    np.testing.assert_array_equal(artefacts.fields[:, :24], weights)
    arcs = parameters * [1, 1, 1, 50, 50, 50]
    change = np.vstack([np.zeros(6), arcs[1:] - arcs[:-1]])
    expected = np.hstack([arcs, change, arcs**2, change**2])
    np.testing.assert_allclose(artefacts.courses[:24], expected.T)
    moved = np.abs(change).sum(axis=1)
    np.testing.assert_allclose(moved, [0, 0.1, 0.4, 0.3, 0, 1])
    spikes = artefacts.courses[24:]
    volumes = [t for t in range(6) if moved[t] > 0.3]
    assert np.nonzero(spikes)[1].tolist() == volumes
    np.testing.assert_allclose(spikes.sum(axis=0)[volumes], 1.5 * moved[volumes])


def test_the_head_responds_less_to_squares_of_motion(head, rng):
    """With a standard deviation of 0.9 for parameters and differences, and 0.6 for squares."""
    squares = (demo_bold.motion_fields(head, rng) ** 2).mean(axis=0).reshape(2, 12).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(squares), [0.9, 0.6], rtol=0.15)


def test_drift_is_a_line_and_half_a_wave(head, rng):
    artefacts = demo_bold.drift_artefacts(head, 5, rng)
    np.testing.assert_allclose(
        artefacts.courses, [[-0.5, -0.25, 0, 0.25, 0.5], [-0.5, 0, 0.5, 0, -0.5]], atol=1e-12
    )
    np.testing.assert_allclose((artefacts.fields**2).mean(axis=0), [1, 1])


def test_heart_and_breath_are_strongest_in_fluid_and_white_matter(head, rng):
    artefacts = demo_bold.physiological_artefacts(head, 4000, rng)
    csf, white = head.csf[head.voxels], head.white_matter[head.voxels]
    assert set(artefacts.fields[csf, 0]) == {3.0}
    assert set(artefacts.fields[white, 1]) == {1.5}
    for column, part in ((0, ~csf), (1, ~white)):
        assert (artefacts.fields[part, column] ** 2).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(artefacts.courses.std(axis=1), 0.5, atol=0.02)
    assert abs(np.corrcoef(artefacts.courses)[0, 1]) < 0.06


def test_images_are_baseline_times_signal_noise_and_artefacts(head, rng):
    volumes = 120
    signals = rng.standard_normal((4, volumes))
    course = np.sign(np.sin(np.arange(volumes)))
    artefacts = demo_bold.Artefacts(np.full((len(head.baseline), 1), 2.0), course[None])
    image = demo_bold.image_of(head, signals, artefacts, 1, rng)
    assert (image.dtype, image.shape) == (np.int16, (39, 46, 38, volumes))
    assert not image[~head.voxels].any()
    percent = 100 * (8 * image[head.voxels] / head.baseline[:, None] - 1)
    # Only the first volume is brighter, by 16 %.
    np.testing.assert_allclose(percent.mean(axis=0)[:2] - 2 * course[:2], [16, 0], atol=0.2)
    brain = head.brain[head.voxels]
    for seed in (0, 1, 2, -1):
        own = percent[brain & (head.seed_of == seed)].mean(axis=0)[1:]
        design = np.column_stack([signals.T, course])[1:]
        weights = np.linalg.lstsq(design, own)[0]
        expected = [float(seed == each) for each in range(4)] + [2]
        np.testing.assert_allclose(weights, expected, atol=0.15)
    rest = percent[brain & (head.seed_of < 0), 1:] - 2 * course[1:]
    assert rest.std() == pytest.approx(0.8, abs=0.06)  # with the rounding to steps of 1 %
