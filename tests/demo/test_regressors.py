"""Simulated confounds against formulas, nibabel and nilearn."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

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
