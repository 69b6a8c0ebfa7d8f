"""Which options make which outputs stale, and which may differ within a group."""

from __future__ import annotations

import re

import pytest

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import (
    Processing,
    Settings,
    settings_that_affect,
    sidecar_keys,
    sidecar_of,
)

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


def test_paths_of_settings_are_absolute_for_other_processes_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (
        *("in", "out", "participant", "--seeds", "a.tsv", "1,2,3", "b.tsv", "--strategy", "24P"),
        *("own.json", "two.yaml", "--mask", "mask.nii", "--exclude-mask", "lesions", "-d", "x=y"),
        *("z", "--roi", "r.nii", "s.nii", "--work-dir", "w", "--outliers", "o"),
    )
    settings = settings_of(main_parser().parse_args(words)).absolute()
    assert (settings.bids_dir, settings.output_dir) == (tmp_path / "in", tmp_path / "out")
    assert settings.seeds == (tmp_path / "a.tsv", "1,2,3", tmp_path / "b.tsv")
    names = ("24P", str(tmp_path / "own.json"), str(tmp_path / "two.yaml"))
    assert settings.strategy == names
    rules = settings.processing
    assert (rules.mask, rules.exclude_mask) == (
        str(tmp_path / "mask.nii"),
        str(tmp_path / "lesions"),
    )
    assert settings.derivatives == (("x", tmp_path / "y"), ("", tmp_path / "z"))
    assert settings.roi == (tmp_path / "r.nii", tmp_path / "s.nii")
    assert (settings.work_dir, settings.outliers) == (tmp_path / "w", tmp_path / "o")
    assert settings.absolute() == settings
    record = settings.to_json()
    assert record["seeds"] == [str(tmp_path / "a.tsv"), "1,2,3", str(tmp_path / "b.tsv")]
    assert record["derivatives"] == [f"x={tmp_path / 'y'}", str(tmp_path / "z")]
    assert (record["mask"], record["strategy"]) == (rules.mask, list(names))
    plain = settings_of(main_parser().parse_args(["in", "out", "participant"])).absolute()
    assert (plain.processing.mask, plain.strategy, plain.seeds) == ("run", ("simple",), ())


OPTIONS = {declared.name: declared for declared in declared_options(Settings)}


def test_defaults_are_those_that_the_help_names():
    told = {}
    for name, declared in OPTIONS.items():
        if match := re.search(r"\(default:? ([0-9.]+)[,)]", declared.option.help):
            told[name] = float(match[1])
    # None stands for what the executor takes; the number of placements is part of a word.
    del told["omp_nthreads"], told["placement_jitter"]
    assert {name: OPTIONS[name].default for name in told} == told
    assert len(told) == 17
