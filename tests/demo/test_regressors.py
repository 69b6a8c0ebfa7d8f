"""Simulated confounds against formulas, nibabel and nilearn."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from bids_spheres.demo.regressors import confounds_of, cosine_basis, dvars
from tests.demo.conftest import MOTION, VOLUMES, every_run


@every_run
def test_one_row_per_volume(table, stem):
    assert {len(column) for column in table(stem).values()} == {VOLUMES[stem]}


@every_run
def test_what_is_missing_is_in_the_first_row(table, stem):
    for name, column in table(stem).items():
        misses = name.endswith(("_derivative1", "_derivative1_power2")) or name in {
            "framewise_displacement",
            "dvars",
            "std_dvars",
            "rmsd",
        }
        assert [row for row, cell in enumerate(column) if cell == "n/a"] == [0] * misses, name


@every_run
@pytest.mark.parametrize("name", [*MOTION, "global_signal", "csf", "white_matter"])
def test_derivatives_and_powers(numbers, stem, name):
    columns = numbers(stem)
    plain, derivative = columns[name], columns[f"{name}_derivative1"]
    close = {"rtol": 1e-8, "atol": 1e-12}
    np.testing.assert_allclose(derivative[1:], plain[1:] - plain[:-1], **close)
    np.testing.assert_allclose(columns[f"{name}_power2"], plain**2, **close)
    np.testing.assert_allclose(columns[f"{name}_derivative1_power2"], derivative**2, **close)


@every_run
def test_signals_come_from_the_image(numbers, bold, mask, stem):
    columns = numbers(stem)
    inside = bold(stem).get_fdata()[np.asanyarray(mask(stem).dataobj) > 0]
    np.testing.assert_allclose(columns["global_signal"], inside.mean(axis=0), atol=1e-6)
    scaled = inside / np.median(inside) * 1000
    expected = np.sqrt((np.diff(scaled, axis=1) ** 2).mean(axis=0))
    np.testing.assert_allclose(columns["dvars"][1:], expected, rtol=1e-8)
    assert np.nanmedian(columns["std_dvars"]) == pytest.approx(1, abs=0.2)
    for region in ("csf", "white_matter"):
        assert abs(np.corrcoef(columns[region], columns["csf_wm"])[0, 1]) > 0.2


@every_run
def test_cosines_are_those_of_nilearn(numbers, stem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.glm.first_level.design_matrix import create_cosine_drift  # noqa: PLC0415
    columns = numbers(stem)
    skipped = sum(name.startswith("non_steady_state_outlier") for name in columns)
    cosines = np.column_stack([columns[name] for name in columns if name.startswith("cosine")])
    expected = create_cosine_drift(1 / 128, 2.0 * np.arange(VOLUMES[stem] - skipped))[:, :-1]
    np.testing.assert_allclose(cosines[skipped:], expected, atol=1e-8)
    assert not cosines[:skipped].any()


@every_run
def test_outliers_are_one_column_per_bad_volume(numbers, stem):
    columns = numbers(stem)
    bad = (columns["framewise_displacement"] > 0.5) | (columns["std_dvars"] > 1.5)
    found = [columns[name] for name in columns if name.startswith("motion_outlier")]
    np.testing.assert_array_equal(np.flatnonzero(bad), [np.argmax(column) for column in found])
    assert all(sorted(column)[-2:] == [0, 1] for column in found)


@every_run
def test_components(numbers, func, stem):
    columns = numbers(stem)
    metadata = json.loads(func(stem, "desc-confounds_timeseries.json").read_text())
    for letter, mask_name in (("t", None), ("c", "CSF"), ("w", "WM"), ("a", "combined")):
        names = [name for name in columns if name.startswith(f"{letter}_comp_cor_")]
        assert names == [f"{letter}_comp_cor_0{index}" for index in range(5)]
        assert [metadata[name].get("Mask") for name in names] == [mask_name] * 5
        courses = np.column_stack([columns[name] for name in names])
        np.testing.assert_allclose(courses.T @ courses, np.eye(5), atol=1e-4)
        shares = [metadata[name]["VarianceExplained"] for name in names]
        assert sorted(shares, reverse=True) == shares
        assert metadata[names[-1]]["CumulativeVarianceExplained"] == pytest.approx(sum(shares))


def test_standardized_dvars_is_relative_to_autoregressive_noise(rng):
    """By Nichols' formula; robust standard deviations are of lower quartiles, as in nipype."""
    voxels = 500 + 10 * rng.standard_normal((7, 10)).cumsum(axis=1)
    scaled = voxels * 1000 / np.median(voxels)
    expected = []
    for series in scaled:
        rest, ordered = series - series.mean(), sorted(series)
        robust = (ordered[6] - ordered[2]) / 1.349  # 9 * 0.75 = 6.75 and 9 * 0.25 = 2.25
        lag_one = rest[1:] @ rest[:-1] / (rest @ rest)
        expected.append(robust * np.sqrt(2 * (1 - lag_one)))
    change, standardized = dvars(voxels)
    found = np.sqrt([(step**2).mean() for step in np.diff(scaled).T])
    np.testing.assert_allclose(change[1:], found)
    np.testing.assert_allclose(standardized[1:], found / np.mean(expected))
    assert np.isnan([change[0], standardized[0]]).all()


@pytest.fixture
def brain(rng):
    """An image of 500 voxels, of which some drift, some vary, and some begin brightly."""
    image = 1000 + rng.standard_normal((10, 10, 5, 70))
    slow = np.cos(np.pi * (np.arange(68) + 0.5) / 68)
    image[:2, :, 0, 2:] += 50 * slow
    image[4, 3:8, 1:3] += 20 * rng.standard_normal((5, 2, 70))
    image[6, :, :, :2] += 400
    csf, white = np.zeros((2, 10, 10, 5), bool)
    csf[9, :, 2:4] = white[8, :4, :] = True
    head = SimpleNamespace(brain=np.ones((10, 10, 5), bool), csf=csf, white_matter=white)
    columns, about = confounds_of(image, rng.standard_normal((70, 6)) / 100, head, 2.0, 2)
    return image, columns, about


def test_signals_of_tissues_and_of_the_most_variable_voxels(brain):
    image, columns, about = brain
    tissues = {"csf": image[9, :, 2:4], "white_matter": image[8, :4]}
    tissues["tcompcor"] = image[4, 3:8, 1:3]  # 2 % of the brain, without what drifts or begins
    tissues = {name: voxels.reshape(-1, 70) for name, voxels in tissues.items()}
    tissues["csf_wm"] = np.vstack([tissues["csf"], tissues["white_matter"]])
    for name, voxels in tissues.items():
        np.testing.assert_allclose(columns[name], voxels.mean(axis=0), atol=1e-6)
        assert about[name] == {"Method": "Mean"}
    assert about["global_signal"] == {"Method": "Mean"}
    methods = {name[0]: about[name]["Method"] for name in about if "comp_cor" in name}
    assert methods == {"t": "tCompCor", "c": "aCompCor", "w": "aCompCor", "a": "aCompCor"}


@pytest.mark.parametrize(
    ("letter", "part"),
    [
        ("t", np.s_[4, 3:8, 1:3]),
        ("c", np.s_[9, :, 2:4]),
        ("w", np.s_[8, :4]),
    ],
)
def test_components_are_singular_vectors_of_what_cosines_leave(brain, letter, part):
    """Of voxels of unit variance in the steady state, without their mean."""
    image, columns, about = brain
    voxels = image[part].reshape(-1, 70)[:, 2:].T
    time = (np.arange(68) + 0.5) / 68
    slow = np.column_stack([np.ones(68), *(np.cos(np.pi * k * time) for k in (1, 2))])
    rest = voxels - slow @ np.linalg.lstsq(slow, voxels)[0]
    courses, values, _ = np.linalg.svd(rest / rest.std(axis=0), full_matrices=False)
    share = values**2 / (values**2).sum()
    for number in range(5):
        name = f"{letter}_comp_cor_{number:02d}"
        found = columns[name]
        assert not found[:2].any()
        assert abs(found[2:] @ courses[:, number]) == pytest.approx(1, abs=1e-4)
        assert found[np.abs(found).argmax()] > 0
        assert about[name]["SingularValue"] == pytest.approx(values[number], rel=1e-5)
        assert about[name]["VarianceExplained"] == pytest.approx(share[number], abs=1e-6)
        expected = pytest.approx(share[: number + 1].sum(), abs=1e-6)
        assert about[name]["CumulativeVarianceExplained"] == expected


@pytest.mark.parametrize(("volumes", "skipped", "number"), [(64, 0, 2), (65, 2, 1), (66, 2, 2)])
def test_cosines_are_as_many_as_steady_volumes_allow(volumes, skipped, number):
    """Of 128 s and longer: 2 T t_r / 128 of T volumes in the steady state."""
    assert cosine_basis(volumes, 2.0, skipped).shape == (volumes, number)
