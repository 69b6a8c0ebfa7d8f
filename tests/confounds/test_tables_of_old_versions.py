"""Tables of every fMRIPrep: names, and columns that old versions lack."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.strategy import Censor, CompCor, Strategy
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.confounds.tables import BASES, read_confounds, todays_name
from bids_spheres.errors import DataError

PATH = Path("sub-01_bold_confounds.tsv")

# Header of the example in the documentation of fMRIPrep 1.1.8 (docs/outputs.rst).
DOCUMENTED = [
    "WhiteMatter",
    "GlobalSignal",
    "stdDVARS",
    "non-stdDVARS",
    "vx-wisestdDVARS",
    "FramewiseDisplacement",
    "tCompCor00",
    "tCompCor05",
    "aCompCor00",
    "aCompCor05",
    "NonSteadyStateOutlier00",
    "X",
    "Y",
    "Z",
    "RotX",
    "RotY",
    "RotZ",
    "AROMAAggrComp01",
    "AROMAAggrComp05",
]
TODAY = [
    "white_matter",
    "global_signal",
    "std_dvars",
    "dvars",
    "vx_wise_std_dvars",
    "framewise_displacement",
    "t_comp_cor_00",
    "t_comp_cor_05",
    "a_comp_cor_00",
    "a_comp_cor_05",
    "non_steady_state_outlier00",
    "trans_x",
    "trans_y",
    "trans_z",
    "rot_x",
    "rot_y",
    "rot_z",
    "aroma_motion_01",
    "aroma_motion_05",
]
OLD_NAMES = {
    "csf": "CSF",
    "white_matter": "WhiteMatter",
    "global_signal": "GlobalSignal",
    "std_dvars": "stdDVARS",
    "dvars": "non-stdDVARS",
    "framewise_displacement": "FramewiseDisplacement",
    **dict(zip(["trans_x", "trans_y", "trans_z"], "XYZ", strict=True)),
    **{f"rot_{axis}": f"Rot{axis.upper()}" for axis in "xyz"},
}


SPLICED = {"1.4-aroma": [0, 1], "20.2.1-run-02": [160, 220]}
"""Rows where someone joined two parts of a table, so that its differences are not those there."""


def old_name(name):
    for prefix, old in {
        "a_comp_cor_": "aCompCor",
        "t_comp_cor_": "tCompCor",
        "cosine": "Cosine",
        "non_steady_state_outlier": "NonSteadyStateOutlier",
        "aroma_motion_": "AROMAAggrComp",
    }.items():
        name = re.sub(rf"^{prefix}(\d+)$", rf"{old}\1", name)
    return OLD_NAMES.get(name, name)


def without_expansions(table):
    """The columns that fMRIPrep 1.2 wrote: six CompCor components, no derivatives, no squares."""
    later = re.compile(
        r"_(derivative|power)\d|^[wc]_comp_cor|^(csf_wm|tcompcor|rmsd)$|^motion_outlier"
        r"|^[at]_comp_cor_(0[6-9]|[1-9]\d)"
    )
    return table[[name for name in table.columns if not later.search(name)]]


def as_of_1_0(table):
    return without_expansions(table).rename(columns=old_name)


def test_names_of_the_old_documentation():
    assert [todays_name(name) for name in DOCUMENTED] == TODAY
    assert [todays_name(name) for name in ("CSF", "Cosine12")] == ["csf", "cosine12"]
    assert [todays_name(name) for name in TODAY] == TODAY


@pytest.mark.parametrize("name", ["1.4-aroma", "20.2.1-run-02", "21-90-rows", "mini-run-1"])
@pytest.mark.parametrize("age", [as_of_1_0, without_expansions])
@pytest.mark.parametrize("strategy", ["36P", "scrubbingGSR", "compcor6"])
def test_an_old_table_gives_what_todays_gives(real_table, name, age, strategy):
    """Computed expansions against those that fMRIPrep itself wrote."""
    table = real_table(name).table
    old = age(table)
    chosen = load_strategy(strategy)
    metadata = {name: {"Mask": "combined"} for name in table if name.startswith("a_comp_cor")}
    expected = make_design(table, chosen, PATH, len(table), metadata=metadata)
    found = make_design(old, chosen, PATH, len(old))
    assert found.columns == expected.columns
    scale = np.abs(expected.values).max(axis=0)
    error = np.delete(np.abs(found.values - expected.values) / scale, SPLICED.get(name, []), axis=0)
    assert error.max() < 1e-12
    np.testing.assert_array_equal(found.kept, expected.kept)
    np.testing.assert_array_equal(found.framewise_displacement, expected.framewise_displacement)
    lacking = [name for name in expected.columns if name not in without_expansions(table).columns]
    assert found.computed == tuple(lacking)
    assert len(lacking) >= 18
    assert any("were computed" in note for note in found.notes)
    renamed = any("fMRIPrep 1.0 and 1.1" in note for note in found.notes)
    assert renamed == (age is as_of_1_0)
    assert expected.computed == ()


def test_aroma_of_old_tables(real_table):
    table = real_table("1.4-aroma")
    design = make_design(as_of_1_0(table.table), load_strategy("aroma"), PATH, 30)
    assert design.columns == table.design(load_strategy("aroma")).columns
    assert sum(name.startswith("aroma_motion_") for name in design.columns) == 13


def test_patterns_and_names_find_computed_columns(real_table):
    table = as_of_1_0(real_table("21").table)
    strategy = Strategy("a", "", ("^rot_[xyz](_derivative1)?$", "csf_power2"))
    design = make_design(table, strategy, PATH, 30)
    axes = ("rot_x", "rot_y", "rot_z")
    derivatives = tuple(f"{axis}_derivative1" for axis in axes)
    assert design.columns == (*axes, *derivatives, "csf_power2")
    assert design.computed == (*(f"rot_{axis}_derivative1" for axis in "xyz"), "csf_power2")


def test_a_column_taken_out_of_a_new_table_is_not_computed(real_table):
    table = real_table("21").table.drop(columns="rot_x_derivative1")
    with pytest.raises(DataError, match="no column rot_x_derivative1"):
        make_design(table, load_strategy("24P"), PATH, 30)


def test_every_base_is_needed_for_what_is_computed(real_table):
    table = as_of_1_0(real_table("21").table).drop(columns="CSF")
    with pytest.raises(DataError, match="no columns csf, csf_derivative1, csf_power2"):
        make_design(table, load_strategy("36P"), PATH, 30)
    assert make_design(table, load_strategy("24P"), PATH, 30).columns


def test_old_and_new_name_of_one_column():
    table = pd.DataFrame({"CSF": [1.0, 2], "csf": [3.0, 4]})
    design = make_design(table, Strategy("a", "", wm_csf=None, confounds=("csf",)), PATH, 2)
    np.testing.assert_array_equal(design.values[:, 0], [3, 4])


def test_an_old_name_in_a_strategy_is_told_its_new_one():
    table = pd.DataFrame({"FramewiseDisplacement": [1.0, 2]})
    strategy = Strategy("a", "", ("FramewiseDisplacement",))
    with pytest.raises(DataError, match="Similar columns in the table: framewise_displacement"):
        make_design(table, strategy, PATH, 2)


# CompCor: which mask a component comes from


def compcor_columns(names, metadata, mask, n="all", extra=()):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.standard_normal(20) for name in (*names, *extra)})
    strategy = Strategy("a", "", compcor=CompCor(mask, n))
    design = make_design(table, strategy, PATH, 20, metadata=metadata)
    return [name for name in design.columns if "comp_cor" in name]


NAMES = [f"a_comp_cor_{number:02d}" for number in range(6)]
MIXED = {
    "a_comp_cor_00": {"Mask": "combined", "Retained": True},
    "a_comp_cor_01": {"Mask": "CSF"},
    "a_comp_cor_02": {"Mask": "WM"},
    "a_comp_cor_03": {"Mask": "WM"},
    "a_comp_cor_04": {"Mask": "combined"},
    "a_comp_cor_05": {"Mask": "combined", "Retained": False},
    "dropped_0": {"Mask": "combined", "Retained": False},
    "csf": {"Method": "Mean"},
}


@pytest.mark.parametrize(
    ("mask", "n", "numbers"),
    [
        ("anat_combined", "all", [0, 4]),
        ("anat_combined", 1, [0]),
        ("anat_separated", "all", [2, 3, 1]),
        ("anat_separated", 1, [2, 1]),
        ("WM", "all", [2, 3]),
        ("CSF", 5, [1]),
    ],
)
def test_masks_of_the_json_file(mask, n, numbers):
    assert compcor_columns(NAMES, MIXED, mask, n) == [NAMES[number] for number in numbers]


SINCE_21 = [f"{p}_comp_cor_{i:02d}" for p in "awct" for i in range(2)]


@pytest.mark.parametrize(
    ("mask", "prefixes"),
    [
        ("anat_combined", "a"),
        ("anat_separated", "wc"),
        ("temporal", "t"),
        ("temporal_anat_combined", "ta"),
        ("temporal_anat_separated", "twc"),
        ("CSF", "c"),
    ],
)
def test_masks_of_the_names_without_a_json_file(mask, prefixes):
    expected = [f"{p}_comp_cor_{i:02d}" for p in prefixes for i in range(2)]
    assert compcor_columns(SINCE_21, {}, mask) == expected
    described = {
        name: {"Mask": {"a": "combined", "w": "WM", "c": "CSF"}.get(name[0])} for name in SINCE_21
    }
    assert compcor_columns(SINCE_21, described, mask) == expected


@pytest.mark.parametrize("mask", ["anat_combined", "anat_separated", "temporal_anat_combined"])
def test_components_that_cant_be_told_apart_are_refused(mask):
    with pytest.raises(DataError, match="can't be told from others without the JSON file"):
        compcor_columns([*NAMES, "t_comp_cor_00"], {}, mask)


def test_before_1_4_there_was_one_mask():
    assert compcor_columns(NAMES, {}, "anat_combined", extra=BASES) == NAMES
    with pytest.raises(DataError, match=r"no aCompCor \(WM mask\) or aCompCor \(CSF mask\)"):
        compcor_columns(NAMES, {}, "anat_separated", extra=BASES)


@pytest.mark.parametrize(
    ("names", "metadata", "phrase"),
    [
        ([], {}, r"has no aCompCor \(combined mask\) components, which"),
        (NAMES, {"a_comp_cor_00": {"Mask": "WM"}}, r"no .*combined mask.* in its JSON file"),
        (NAMES, {"a_comp_cor_00": "odd"}, r"no .*combined mask.* in its JSON file"),
        (NAMES[:1], MIXED, "no column a_comp_cor_04"),
    ],
)
def test_missing_components(names, metadata, phrase):
    with pytest.raises(DataError, match=phrase):
        compcor_columns([*names, "x"], metadata, "anat_combined")


def test_numbers_beyond_99_come_last():
    names = [f"a_comp_cor_{number:02d}" for number in (100, 9, 10)]
    metadata = {name: {"Mask": "combined"} for name in names}
    found = compcor_columns(names, metadata, "anat_combined")
    assert found == ["a_comp_cor_09", "a_comp_cor_10", "a_comp_cor_100"]


def test_fewer_components_than_asked_for_are_noted():
    table = pd.DataFrame({"a_comp_cor_00": [1.0, 2, 4], "w_comp_cor_00": [1.0, 3, 1]})
    strategy = Strategy("a", "", compcor=CompCor("anat_combined", 5))
    notes = make_design(table, strategy, PATH, 3, metadata={}).notes
    assert notes[0] == "5 aCompCor (combined mask) components are asked for; there are 1."


def test_the_json_file_beside_the_table_is_read_by_default(tmp_path):
    path = tmp_path / "confounds.tsv"
    table = pd.DataFrame({name: np.arange(3.0) for name in NAMES})
    strategy = Strategy("a", "", compcor=CompCor("WM"))
    with pytest.raises(DataError, match="without the JSON file"):
        make_design(table, strategy, path, 3)
    path.with_suffix(".json").write_text(json.dumps(MIXED))
    assert make_design(table, strategy, path, 3).columns == ("a_comp_cor_02", "a_comp_cor_03")


# ICA-AROMA after fMRIPrep 23


def test_fmripost_aroma_is_merged(real_table):
    table = real_table("1.4-aroma")
    rng = np.random.default_rng(0)
    extra = pd.DataFrame(rng.standard_normal((30, 4)))
    extra.columns = [f"aroma{kind}_motion_{i}" for kind in ("", "_orth") for i in ("03", "07")]
    design = table.design(load_strategy("aroma"), extra=[extra])
    *slow, csf, white, first, second = design.columns
    assert all(name.startswith("cosine") for name in slow)
    assert (csf, white) == ("csf", "white_matter")
    assert (first, second) == ("aroma_orth_motion_03", "aroma_orth_motion_07")
    np.testing.assert_array_equal(design.values[:, -2:], extra.iloc[:, 2:])
    assert design.notes == ()
    basic = table.design(Strategy("a", "", ica_aroma="basic"), extra=[extra])
    # Not those of fMRIPrep's own decomposition.
    assert basic.columns == ("aroma_motion_03", "aroma_motion_07")


def test_aroma_motion_stands_in_for_orthogonal(real_table):
    (note,) = real_table("1.4-aroma").design(load_strategy("aroma")).notes
    assert "stand in for them" in note
    assert "Aggressive regression" in note


def test_no_noise_component(real_table):
    extra = pd.DataFrame({"intercept": np.ones(30)})
    design = real_table("21").design(load_strategy("aroma"), extra=[extra])
    assert design.columns[-2:] == ("csf", "white_matter")
    assert all(name.startswith("cosine") for name in design.columns[:-2])
    assert design.notes == ("ICA-AROMA found no noise component in this run.",)
    with pytest.raises(DataError, match="no ICA-AROMA columns"):
        real_table("21").design(load_strategy("aroma"))


def test_tables_of_one_run_have_the_same_rows(real_table):
    with pytest.raises(DataError, match=r"30 rows, but one that goes with it has 29 \(intercept"):
        real_table("21").design(
            load_strategy("aroma"), extra=[pd.DataFrame({"intercept": [1.0] * 29})]
        )


def test_tables_of_one_run_have_different_columns(real_table):
    extra = pd.DataFrame({"csf": np.ones(30)})
    with pytest.raises(DataError, match="together: column csf occurs twice"):
        real_table("21").design(load_strategy("24P"), extra=[extra])


def test_a_real_file_of_1_0(tmp_path, real_table):
    path = tmp_path / "sub-01_task-rest_bold_confounds.tsv"
    as_of_1_0(real_table("20.2.1-run-02").table).to_csv(path, sep="\t", na_rep="n/a", index=False)
    table = read_confounds(path)
    censored = Strategy("a", "", motion="full", censor=Censor(0.2, 1.3, min_segment=5))
    design = make_design(table, censored, path, 240)
    expected = real_table("20.2.1-run-02").design(censored)
    np.testing.assert_array_equal(design.kept, expected.kept)
    assert not design.kept.all()


@pytest.mark.parametrize("other", ["w_comp_cor_00", "c_comp_cor_03"])
def test_either_separate_mask_says_that_the_others_are_combined(other):
    assert compcor_columns([*NAMES[:2], other], {}, "anat_combined") == NAMES[:2]
