"""Which options make which outputs stale, and which may differ within a group."""

from __future__ import annotations

import pytest

from bids_spheres.settings.table import Processing, settings_that_affect, sidecar_keys, sidecar_of

SPHERES = {
    *("warp_seeds", "mask", "tissue", "exclude_mask", "min_coverage", "overlap"),
    *("aggregation", "despike", "smoothing_fwhm"),
}
DESIGN = {"dummy_scans", "equal_seconds", "equal_seconds_seed"}
SERIES = SPHERES | DESIGN | {"detrend", "standardize", "min_dof", "full_length"}


@pytest.mark.parametrize(
    ("output", "names"), [("spheres", SPHERES), ("design", DESIGN), ("series", SERIES)]
)
def test_settings_on_which_the_content_of_an_output_depends(output, names):
    assert set(settings_that_affect(output)) == names


def test_settings_that_may_differ_between_runs_of_a_group_and_those_that_may_not():
    assert set(sidecar_keys(mixing="refuse")) == {
        *("Mask", "Tissue", "MinimumCoverage", "Overlap", "Aggregation", "Despike"),
        *("SmoothingFWHM", "Detrend", "Standardize", "DummyScans", "EqualSeconds"),
        "EqualSecondsSeed",
    }
    assert set(sidecar_keys(mixing="note")) == {"ExcludeMask", "MinimumDegreesOfFreedom"}
    voxels = {"Mask", "Tissue", "ExcludeMask", "MinimumCoverage", "Overlap"}
    assert set(sidecar_keys(voxels=True)) == voxels


def test_every_setting_is_recorded_once_where_it_acts_first():
    rules = Processing(min_coverage=0.25, smoothing_fwhm=6.0, dummy_scans=4, min_dof=15)
    spheres, design, series = (sidecar_of(rules, o) for o in ("spheres", "design", "series"))
    assert spheres == {
        "Mask": "run",
        "Tissue": None,
        "ExcludeMask": None,
        "MinimumCoverage": 0.25,
        "Overlap": "allow",
        "Aggregation": "mean",
        "Despike": False,
        "SmoothingFWHM": 6.0,
    }
    assert design == {"DummyScans": 4, "EqualSeconds": None, "EqualSecondsSeed": None}
    assert series == {
        "Detrend": True,
        "Standardize": "zscore_sample",
        "MinimumDegreesOfFreedom": 15,
    }
