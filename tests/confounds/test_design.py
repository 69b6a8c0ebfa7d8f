"""Tables and strategies to designs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_spheres.confounds.columns import column_names
from bids_spheres.confounds.design import REASONS, make_design
from bids_spheres.confounds.strategy import (
    Censor,
    CompCor,
    HeadMotion,
    Strategy,
    Task,
    TemporalFilter,
)
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.confounds.tables import read_confounds
from bids_spheres.data.published import published_strategies
from bids_spheres.errors import DataError, UsageError

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FORMS = ("", "_derivative1", "_power2", "_derivative1_power2")
TISSUES = ("global_signal", "csf", "white_matter")
THRESHOLDS = ("fd", "std_dvars", "rmsd")
PATH = Path("sub-01_desc-confounds_timeseries.tsv")


def four(names):
    return {name + form for name in names for form in FORMS}


def two(names):
    return {name + form for name in names for form in ("", "_derivative1")}


def numbered(prefix, count):
    return {f"{prefix}{number:02d}" for number in range(count)}


def table_of(**columns):
    return pd.DataFrame({name: np.asarray(values, float) for name, values in columns.items()})


def strategy_of(*confounds, **parts):
    return Strategy("mine", "For a test.", confounds, **parts)


@pytest.fixture
def fmriprep_25(tiny):
    """A table with columns of every kind that fMRIPrep 25 writes."""
    path = tiny.add_run().with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    table = read_confounds(path)
    rng = np.random.default_rng(1)
    for prefix, count in {"a": 9, "w": 7, "c": 4, "t": 5}.items():
        for name in sorted(numbered(f"{prefix}_comp_cor_", count)):
            table[name] = rng.standard_normal(len(table))
    table["edge_comp_00"] = rng.standard_normal(len(table))
    table["aroma_motion_02"] = rng.standard_normal(len(table))
    table["std_dvars"] = [np.nan, *rng.uniform(0.9, 1.1, len(table) - 1)]
    return table


COLUMNS = {
    "simple": four(MOTION) | {"csf", "white_matter", "cosine00"},
    "simpleGSR": four(MOTION) | {"csf", "white_matter", "cosine00", "global_signal"},
    "scrubbing": four([*MOTION, "csf", "white_matter"]) | {"cosine00"},
    "scrubbingGSR": four([*MOTION, "csf", "white_matter"]) | {"cosine00", "global_signal"},
    "compcor": four(MOTION) | {"cosine00"} | numbered("a_comp_cor_", 9),
    "compcor6": four(MOTION) | {"cosine00"} | numbered("a_comp_cor_", 6),
    "icaAROMA": {"cosine00", "csf", "white_matter"},
    "24P": four(MOTION) | {"cosine00"},
    "27P": four(MOTION) | set(TISSUES) | {"cosine00"},
    "36P": four(MOTION) | four(TISSUES) | {"cosine00"},
    "acompcor": two(MOTION)
    | {"cosine00"}
    | numbered("w_comp_cor_", 5)
    | numbered("c_comp_cor_", 4),
    "acompcorGSR": two(MOTION)
    | {"cosine00", "global_signal"}
    | numbered("w_comp_cor_", 5)
    | numbered("c_comp_cor_", 4),
    "aroma": {"cosine00", "csf", "white_matter", "aroma_motion_02"},
    "aromaGSR": {"cosine00", "csf", "white_matter", "aroma_motion_02", "global_signal"},
    "gsrOnly": {"cosine00", "global_signal"},
    "none": set(),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_the_published_strategies(fmriprep_25, name):
    design = make_design(fmriprep_25, load_strategy(name), PATH, 40)
    assert set(design.columns) == COLUMNS[name]
    assert design.values.shape == (40, len(COLUMNS[name]))
    assert design.computed == ()


@pytest.mark.parametrize("name", sorted(set(COLUMNS) - {"none"}))
def test_every_preset_but_none_has_drift_terms(fmriprep_25, name):
    assert "cosine00" in make_design(fmriprep_25, load_strategy(name), PATH, 40).columns


OURS = ["24P", "27P", "36P", "aroma", "aromaGSR", "gsrOnly"]


@pytest.mark.parametrize("name", sorted(COLUMNS))
@pytest.mark.parametrize("kind", ["butterworth", "cosine"])
def test_a_high_pass_filter_of_ours_takes_the_place_of_the_cosines(fmriprep_25, name, kind):
    """nilearn's presets keep them, and CompCor can't do without; those say so."""
    strategy = replace(load_strategy(name), filter=TemporalFilter(0.02, type=kind))
    design = make_design(fmriprep_25, strategy, PATH, 40)
    expected = COLUMNS[name] - ({"cosine00"} if name in OURS else set())
    assert set(design.columns) == expected
    double = any("Double filtering" in note for note in design.notes)
    assert double == ("cosine00" in expected)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_low_pass_filter_alone_keeps_the_cosines(fmriprep_25, name):
    strategy = replace(load_strategy(name), filter=TemporalFilter(low_pass=0.1))
    assert set(make_design(fmriprep_25, strategy, PATH, 40).columns) == COLUMNS[name]


def test_every_published_strategy_is_tested_above():
    assert published_strategies() == tuple(sorted(COLUMNS))


def test_first_row_takes_the_second_rows_value():
    table = table_of(a=[np.nan, 2, 3], b=[1, 5, 7])
    design = make_design(table, strategy_of("a", "b"), PATH, 3)
    np.testing.assert_array_equal(design.values, [[2, 1], [2, 5], [3, 7]])


def test_patterns_and_names():
    table = table_of(cosine00=[1, 2], cosine01=[1, 3], cosine=[0, 1], rot_x=[3, 4])
    strategy = strategy_of(r"^cosine\d+$", "rot_x", "^rot", "^nothing")
    assert make_design(table, strategy, PATH, 2).columns == ("cosine00", "cosine01", "rot_x")


@pytest.mark.parametrize(
    ("table", "phrase"),
    [
        (table_of(a=[1, 2, 3]), "has 3 rows, but the BOLD image has 4 volumes"),
        (table_of(b=[1, 2, 3, 4]), "has no column a, which the strategy mine needs"),
        (table_of(a=[1, np.nan, 3, 4]), "value in column a, row 2, is missing"),
        (table_of(a=[1, 2, 3, np.inf]), "value in column a, row 4, is too large: inf"),
        (table_of(a=[np.nan] * 4), "column a is n/a throughout"),
        (pd.DataFrame({"a": [1, 2, "x", 4]}), "'x' in column a, row 3, is not a number"),
        (pd.DataFrame([[1, 2]] * 4, columns=["a", "a"]), "column a occurs twice"),
    ],
)
def test_unusable_tables(table, phrase):
    with pytest.raises(DataError, match=phrase) as error:
        make_design(table, strategy_of("a"), PATH, 4)
    assert str(PATH) in str(error.value)


def test_a_missing_column_names_a_similar_one():
    with pytest.raises(DataError, match="Similar columns in the table: white_matter"):
        make_design(table_of(white_matter=[1, 2]), strategy_of("whitematter"), PATH, 2)


def test_a_pattern_that_matches_nothing_takes_nothing_and_says_so():
    design = make_design(table_of(a=[1.0, 2.0, 4.0]), strategy_of("a", r"^spike\d+$"), PATH, 3)
    assert design.columns == ("a",)
    assert design.notes == (r"The pattern '^spike\\d+$' matches no column of this run.",)


def test_everything_that_is_missing_is_named_at_once():
    strategy = strategy_of("a", "b", motion="basic", ica_aroma="basic", compcor=CompCor("temporal"))
    with pytest.raises(DataError) as error:
        make_design(table_of(b=[1, 2]), strategy, PATH, 2)
    message = str(error.value)
    assert "no columns trans_x, trans_y, trans_z, rot_x, rot_y, rot_z, a " in message
    assert "no tCompCor components" in message
    assert "no ICA-AROMA columns" in message
    assert "needs for motion, compcor, ica_aroma, confounds" in message


def test_what_several_keys_lack_is_named_once():
    strategy = strategy_of("x", "rvt", motion="basic", head_motion=HeadMotion())
    own = pd.DataFrame({"physio.rvt": [1.0, 2], "other.rvt": [1.0, 3]})
    with pytest.raises(DataError) as error:
        make_design(table_of(csf=[1, 2]), strategy, PATH, 2, extra=[own])
    assert error.value.message == (
        f"{PATH} has no columns {', '.join(MOTION)}, x and rvt in several tables (write physio.rvt "
        "or write other.rvt), which the strategy mine needs for motion, confounds, head_motion."
    )


# CompCor, cosines and filters

COMPCOR = {"a_comp_cor_00": [1, 2, 3], "w_comp_cor_00": [3, 1, 2]}
COSINES = {"cosine00": [1, 0, -1], "cosine01": [1, -1, 1]}


@pytest.mark.parametrize(
    "strategy",
    [
        strategy_of(compcor=CompCor("anat_combined")),
        strategy_of("a_comp_cor_00"),
        strategy_of("^w_comp", "cosine00"),
    ],
)
def test_compcor_brings_its_cosines(strategy):
    design = make_design(table_of(**COMPCOR, **COSINES), strategy, PATH, 3)
    assert {"cosine00", "cosine01"} < set(design.columns)
    assert any("Cosine columns were added" in note for note in design.notes)


def test_compcor_with_its_cosines_needs_no_note():
    strategy = strategy_of(compcor=CompCor("anat_combined", 1), high_pass=True)
    assert make_design(table_of(**COMPCOR, **COSINES), strategy, PATH, 3).notes == ()


def test_compcor_of_a_table_without_cosines_says_so():
    strategy = strategy_of(compcor=CompCor("anat_combined", 1))
    (note,) = make_design(table_of(**COMPCOR), strategy, PATH, 3).notes
    assert "no cosine columns to go with them" in note


def test_no_cosines_without_compcor():
    design = make_design(table_of(a=[1, 2, 3], **COSINES), strategy_of("a"), PATH, 3)
    assert design.columns == ("a",)


@pytest.mark.parametrize(
    ("parts", "double"),
    [
        ({"high_pass": True, "filter": TemporalFilter(high_pass=0.01)}, True),
        ({"high_pass": True, "filter": TemporalFilter(0.01, type="cosine")}, True),
        ({"compcor": CompCor("WM"), "filter": TemporalFilter(0.01, 0.1)}, True),
        ({"high_pass": True, "filter": TemporalFilter(low_pass=0.1)}, False),
        ({"high_pass": True}, False),
        ({"filter": TemporalFilter(high_pass=0.01)}, False),
    ],
)
def test_double_filtering_is_noted(parts, double):
    design = make_design(table_of(**COMPCOR, **COSINES), strategy_of(**parts), PATH, 3)
    assert any("Double filtering" in note for note in design.notes) == double


# Volumes to leave out

MOVED = table_of(
    a=np.arange(12.0) ** 2,
    framewise_displacement=[np.nan, 0, 0, 0.6, 0, 0, 0, 0, 0, 0.2, 0, 0],
    std_dvars=[np.nan, 1, 1, 1, 1, 1, 9, 1, 1, 1, 1, 1],
)


def left_out(censor, table=MOVED, **options):
    design = make_design(table, strategy_of("a", censor=censor), PATH, len(table), **options)
    return np.flatnonzero(~design.kept).tolist(), design.reasons


@pytest.mark.parametrize(
    ("censor", "volumes"),
    [
        (Censor(), []),
        (Censor(before=2, after=2, min_segment=9), []),
        (Censor(fd_threshold=0.5), [3]),
        (Censor(fd_threshold=0.1), [3, 9]),
        (Censor(fd_threshold=0.2), [3]),  # above it, not at it
        (Censor(std_dvars_threshold=1.5), [6]),
        (Censor(fd_threshold=0.5, std_dvars_threshold=1.5), [3, 6]),
        (Censor(0.5, before=1), [2, 3]),
        (Censor(0.5, after=2), [3, 4, 5]),
        (Censor(0.1, before=4, after=3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (Censor(0.5, 1.5, min_segment=3), [3, 4, 5, 6]),
        (Censor(0.5, min_segment=4), [0, 1, 2, 3]),
        (Censor(0.1, min_segment=3), [3, 9, 10, 11]),
        (Censor(0.5, 1.5, before=1, min_segment=3), [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_censoring(censor, volumes):
    assert left_out(censor)[0] == volumes


def test_a_threshold_of_null_is_off(real_table):
    """A peer replaced null by its default, so that "FD only" cut on DVARS too."""
    table = real_table("21-90-rows")
    moved = (table.table["framewise_displacement"] > 0.5).to_numpy()
    changed = (table.table["std_dvars"] > 1.5).to_numpy()
    assert (moved & ~changed).any()
    assert (changed & ~moved).any()
    by_motion = table.design(strategy_of(censor=Censor(fd_threshold=0.5)))
    by_dvars = table.design(strategy_of(censor=Censor(std_dvars_threshold=1.5)))
    np.testing.assert_array_equal(by_motion.reasons["framewise_displacement"], moved)
    np.testing.assert_array_equal(by_dvars.reasons["dvars"], changed)
    unsteady = by_motion.reasons["non_steady_state"]
    np.testing.assert_array_equal(by_motion.kept, ~(moved | unsteady))
    np.testing.assert_array_equal(by_dvars.kept, ~(changed | unsteady))
    np.testing.assert_array_equal(table.design(strategy_of(censor=Censor())).kept, ~unsteady)


def test_a_threshold_of_null_needs_no_column():
    table = MOVED.drop(columns="std_dvars")
    assert left_out(Censor(0.5), table)[0] == [3]
    with pytest.raises(DataError, match=r"no column std_dvars, .* needs for censor.std_dvars_thr"):
        left_out(Censor(0.5, 1.5), table)


def test_reasons_are_told_apart():
    table = MOVED.assign(non_steady_state_outlier00=np.arange(12.0) == 0)
    outliers = np.arange(12) == 10
    censor = Censor(0.5, 1.5, before=1, min_segment=2)
    kept, reasons = left_out(censor, table, dummy_scans=1, outliers=outliers)
    assert tuple(reasons) == REASONS
    assert {name: np.flatnonzero(flags).tolist() for name, flags in reasons.items()} == {
        "non_steady_state": [0],
        "dummy": [0],
        "framewise_displacement": [3],
        "dvars": [6],
        "rmsd": [],
        "neighbour": [2, 5],
        "external": [10],
        "segment": [1, 4, 11],
    }
    assert kept == [0, 1, 2, 3, 4, 5, 6, 10, 11]


def test_non_steady_state_volumes_are_not_kept():
    table = table_of(a=[1, 2, 3, 4], non_steady_state_outlier00=[1, 0, 0, 0])
    table["non_steady_state_outlier01"] = [0.0, 1, 0, 0]
    design = make_design(table, strategy_of("a"), PATH, 4)
    assert design.kept.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("dummy_scans", "volumes"),
    [
        (None, [0, 1, 6]),
        ("auto", [0, 1, 2, 3, 4, 5, 6]),  # 2 to 5 are four
        (0, [0, 1, 6]),
        (3, [0, 1, 2, 3, 4, 5, 6]),
        (40, list(range(12))),
    ],
)
def test_dummy_scans_move_the_edge_of_the_run(dummy_scans, volumes):
    table = MOVED.assign(non_steady_state_outlier00=np.arange(12) == 0)
    table["non_steady_state_outlier01"] = np.arange(12) == 1
    censor = Censor(std_dvars_threshold=1.5, min_segment=5)
    assert left_out(censor, table, dummy_scans=dummy_scans)[0] == volumes


@pytest.mark.parametrize("dummy_scans", [-1, True, 1.5, "some"])
def test_dummy_scans_are_a_number(dummy_scans):
    with pytest.raises(UsageError, match="dummy_scans must be"):
        left_out(Censor(), dummy_scans=dummy_scans)


def test_outliers_have_a_row_per_volume():
    with pytest.raises(DataError, match="has 3 rows, but the BOLD image has 12 volumes"):
        left_out(Censor(), outliers=[True, False, False])


def test_a_gap_in_what_is_censored_on_is_an_error():
    table = MOVED.copy()
    table.loc[4, "framewise_displacement"] = np.nan
    assert left_out(Censor(std_dvars_threshold=1.5), table)[0] == [6]
    with pytest.raises(DataError, match="column framewise_displacement, row 5, is missing"):
        left_out(Censor(0.5), table)


# Dimensions


def test_rank_counts_dimensions_not_columns():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    table = table_of(a=a, b=1e6 + 1e-3 * b, c=a, d=2 * a - 3, e=np.full(50, 7), f=np.arange(50))
    design = make_design(table, strategy_of("^[a-f]$"), PATH, 50)
    assert design.rank(detrend=False) == 4  # mean, a, b, f
    assert design.rank(detrend=True) == 4  # f is the trend
    assert design.n_kept - design.rank(detrend=True) == 46


def test_rank_is_that_of_the_kept_volumes():
    table = table_of(a=[0, 0, 0, 0, 1], non_steady_state_outlier00=[0, 0, 0, 0, 1])
    design = make_design(table, strategy_of("a"), PATH, 5)
    assert (design.n_kept, design.rank(detrend=False)) == (4, 1)


def test_mean_framewise_displacement():
    table = table_of(a=[1, 2, 3], framewise_displacement=[np.nan, 0.2, 0.4])
    design = make_design(table, strategy_of("a"), PATH, 3)
    assert design.mean_framewise_displacement == pytest.approx(0.3)
    without = make_design(table[["a"]], strategy_of("a"), PATH, 3)
    assert np.isnan(without.mean_framewise_displacement)


@pytest.mark.parametrize(("first", "kept"), [(np.nan, True), (0.1, True), (0.9, False)])
def test_a_displacement_of_the_first_volume_counts_where_there_is_one(first, kept):
    table = table_of(framewise_displacement=[first, 0.1, 0.9, 0.1])
    design = make_design(table, strategy_of(censor=Censor(fd_threshold=0.5)), PATH, 4)
    assert design.kept.tolist() == [kept, True, False, True]


def test_dummy_scans_end_with_the_first_steady_volume():
    """fMRIPrep can flag a later volume, which is left out alone."""
    table = MOVED.assign(
        non_steady_state_outlier00=np.arange(12.0) == 0,
        non_steady_state_outlier01=np.arange(12.0) == 8,
    )
    design = make_design(table, strategy_of(), PATH, 12, dummy_scans="auto")
    assert np.flatnonzero(design.reasons["dummy"]).tolist() == [0]
    assert np.flatnonzero(~design.kept).tolist() == [0, 8]


@pytest.mark.parametrize(("n_kept", "accepted"), [(0, False), (9, False), (10, True), (11, True)])
def test_as_many_volumes_as_a_strategy_asks_for_are_enough(n_kept, accepted):
    assert strategy_of(min_volumes=10).accepts(n_kept, 2.0) is accepted
    assert strategy_of(min_seconds=20).accepts(n_kept, 2.0) is accepted
    assert strategy_of().accepts(n_kept, 2.0) is (n_kept > 0)


def test_displacement_in_numbers():
    table = table_of(a=[1, 2, 3, 4], framewise_displacement=[np.nan, 0.2, 0.4, 0.9])
    design = make_design(table, strategy_of("a"), PATH, 4)
    assert design.n_framewise_displacement == 3
    assert design.mean_framewise_displacement == pytest.approx(0.5)
    # Of all volumes, whatever is censored.
    censored = make_design(table, strategy_of("a", censor=Censor(0.3)), PATH, 4)
    assert (censored.n_kept, censored.n_framewise_displacement) == (2, 3)
    assert censored.mean_framewise_displacement == pytest.approx(0.5)
    assert design.displacements == {}
    motion = {name: np.arange(4.0) * (name == "trans_x") for name in MOTION}
    measured = make_design(
        table.assign(**motion), strategy_of("a", head_motion=HeadMotion()), PATH, 4
    )
    both = measured.displacements
    assert list(both) == ["fd", "fd_recomputed"]
    np.testing.assert_array_equal(both["fd"], table["framewise_displacement"])
    np.testing.assert_array_equal(both["fd_recomputed"], [np.nan, 1, 1, 1])
    assert make_design(table[["a"]], strategy_of("a"), PATH, 4).n_framewise_displacement == 0
    # What is measured anew needs no column of fMRIPrep's.
    own = strategy_of(head_motion=HeadMotion(), censor=Censor(0.5))
    censored = make_design(pd.DataFrame(motion), own, PATH, 4)
    assert censored.kept.tolist() == [True, False, False, False]


def test_ranks_of_a_design_with_and_without_a_trend():
    """A square is no trend; of no volume nothing is left."""
    time = np.arange(30.0)
    table = table_of(a=time**2, b=5 - 2 * time, non_steady_state_outlier00=time < 25)
    design = make_design(table, strategy_of("a", "b"), PATH, 30)
    assert [design.rank(detrend=detrend) for detrend in (False, True, False)] == [3, 3, 3]
    alone = make_design(table, strategy_of("a"), PATH, 30)
    assert [alone.rank(detrend=detrend) for detrend in (False, True)] == [2, 3]
    nothing = make_design(table.assign(non_steady_state_outlier00=1.0), strategy_of("a"), PATH, 30)
    assert (nothing.n_kept, nothing.rank(detrend=True)) == (0, 0)


@pytest.mark.parametrize(
    ("parts", "needed"),
    [
        ({}, False),
        ({"confounds": ("a",)}, True),
        *(({key: "basic"}, True) for key in ("motion", "wm_csf", "global_signal", "ica_aroma")),
        ({"ica_aroma": "orthogonal"}, True),
        ({"ica_aroma": "full"}, False),
        ({"compcor": CompCor("WM")}, True),
        ({"tedana": "aggressive"}, True),
        ({"head_motion": HeadMotion()}, True),
        ({"high_pass": True}, True),
        ({"high_pass": "unless_filtered"}, True),
        ({"high_pass": "unless_filtered", "filter": TemporalFilter(low_pass=0.1)}, True),
        ({"high_pass": "unless_filtered", "filter": TemporalFilter(0.01)}, False),
        ({"filter": TemporalFilter(0.01)}, False),
        ({"task": Task("hrf")}, False),
        *(({"censor": Censor(**{f"{name}_threshold": 0.0})}, True) for name in THRESHOLDS),
        ({"censor": Censor(before=1, after=2, min_segment=5)}, False),
        ({"min_volumes": 5, "bold": ("optcom",)}, False),
    ],
)
def test_which_strategies_need_a_table(parts, needed):
    assert Strategy("a", "", **parts).needs_table is needed


def test_which_strategies_need_a_mask_and_how_they_are_called():
    assert Strategy("a", "", head_motion=HeadMotion(head_radius="auto")).needs_brain_mask
    for radius in (50.0, 61.5):
        assert not Strategy("a", "", head_motion=HeadMotion(head_radius=radius)).needs_brain_mask
    assert not Strategy("a", "").needs_brain_mask
    assert str(Strategy("a", "")) == "strategy a"
    assert str(Strategy("a", "", source="x.json")) == "strategy a (x.json)"
    assert HeadMotion("gratton2020").stop_band == (pytest.approx(0.1), np.inf)
    assert HeadMotion("notch:12:18").stop_band == (pytest.approx(0.2), pytest.approx(0.3))
    assert Strategy("a", "", tedana="orthogonal", bold=("x", "y")).bold_kinds == ("x", "y")


def test_columns_of_a_list_by_every_kind():
    strategy = strategy_of(
        "mine",
        compcor=CompCor("temporal_anat_separated", 3),
        ica_aroma="orthogonal",
        tedana="aggressive",
        task=Task("fir"),
        motion="power2",
    )
    assert column_names(strategy) == (
        "cosine*",
        *(f"{name}{form}" for name in MOTION for form in ("", "_power2")),
        "t_comp_cor_* (first 3)",
        "a_comp_cor_* (WM, first 3)",
        "a_comp_cor_* (CSF, first 3)",
        "task.* (fir)",
        "aroma_orth_motion_*",
        "rejected_ICA_*",
        "mine",
    )
    assert column_names(strategy_of(ica_aroma="full", compcor=CompCor("temporal"))) == (
        "cosine*",
        "t_comp_cor_* (all)",
    )


def test_two_columns_of_one_name_of_the_users_own():
    table = table_of(csf=[1, 2, 4], rvt=[3, 1, 2])
    own = pd.DataFrame({"physio.rvt": [1.0, 2, 5], "other:a.rvt": [1.0, 3, 5]})
    for entry, ways in (
        ("rvt", "write physio.rvt or write other:a.rvt or rename the column of your own"),
        ("other.rvt", None),
        ("^rvt", None),
    ):
        if ways:
            with pytest.raises(DataError, match=rf"{entry} in several tables \({ways}\), which"):
                make_design(table, strategy_of(entry), PATH, 3, extra=[own])
        else:
            columns = make_design(table, strategy_of(entry), PATH, 3, extra=[own]).columns
            assert columns == (
                ("other:a.rvt",) if entry[0] == "o" else ("rvt", "physio.rvt", "other:a.rvt")
            )


def test_components_by_their_names_alone():
    """Of the JSON file only those that it describes count, in the order of their numbers."""
    names = ["a_comp_cor_00", "t_comp_cor_00", "w_comp_cor_00", "a_comp_cor_01", "a_comp_cor_2"]
    table = table_of(**{name: np.random.default_rng(i).random(5) for i, name in enumerate(names)})

    def columns(mask, metadata, n="all"):
        strategy = strategy_of(compcor=CompCor(mask, n))
        design = make_design(table, strategy, PATH, 5, metadata=metadata)
        return design.columns, design.notes[:-1]

    assert columns("anat_combined", {}) == (("a_comp_cor_00", "a_comp_cor_01", "a_comp_cor_2"), ())
    assert columns("temporal_anat_combined", {}, 1) == (("t_comp_cor_00", "a_comp_cor_00"), ())
    described = {
        "a_comp_cor_2": {"Mask": "WM"},
        "a_comp_cor_01": {"Mask": "WM", "Retained": True},
        "a_comp_cor_00": {"Mask": "WM", "Retained": False},
        "t_comp_cor_00": {"Mask": "x"},
    }
    assert columns("WM", described) == (("a_comp_cor_01", "a_comp_cor_2"), ())
    assert columns("WM", described, 5)[1] == (
        "5 aCompCor (WM mask) components are asked for; there are 2.",
    )
    assert columns("anat_separated", described, 2) == (
        ("a_comp_cor_01", "a_comp_cor_2"),
        ("The JSON file has no aCompCor (CSF mask) components.",),
    )
    assert columns("temporal", described)[0] == ("t_comp_cor_00",)
    only_white_matter = {"a_comp_cor_01": {"Mask": "WM"}}
    assert columns("temporal_anat_separated", only_white_matter) == (
        ("a_comp_cor_01",),
        tuple(f"The JSON file has no {x} components." for x in ("tCompCor", "aCompCor (CSF mask)")),
    )
    with pytest.raises(DataError, match=r"no tCompCor components in its JSON file, which"):
        columns("temporal", {"a_comp_cor_00": {"Mask": "WM"}})
    with pytest.raises(DataError, match=r"has no tCompCor components, which the"):
        make_design(
            table[["a_comp_cor_00"]], strategy_of(compcor=CompCor("temporal")), PATH, 5, metadata={}
        )


def test_hints_name_the_nearest_column_alone_and_ways_that_there_are():
    table = table_of(white_matter=[1, 2], white_mattr=[1, 3], whitematte=[2, 1])
    with pytest.raises(DataError) as error:
        make_design(table, strategy_of("whitematter"), PATH, 2)
    assert error.value.hint == "Similar columns in the table: white_matter."
    own = pd.DataFrame({"physio.rvt": [1.0, 2], "other.rvt": [1.0, 3]})
    with pytest.raises(DataError) as error:
        make_design(table, strategy_of("rvt"), PATH, 2, extra=[own])
    assert (
        "in several tables (write physio.rvt or write other.rvt), which the" in error.value.message
    )


def test_components_are_in_the_order_of_their_numbers():
    """As text, 10 would come before 2; so they stand in the table and in the JSON file."""
    names = ["a_comp_cor_10", "a_comp_cor_2", "a_comp_cor_100", "a_comp_cor_9"]
    table = table_of(**{name: np.random.default_rng(i).random(5) for i, name in enumerate(names)})
    described = {name: {"Mask": "WM"} for name in names}
    for mask, metadata in (("anat_combined", {}), ("WM", described)):
        strategy = strategy_of(compcor=CompCor(mask, 3))
        plain = table.assign(w_comp_cor_0=[3.0, 1, 4, 1, 5])  # so that masks are told by names
        design = make_design(plain, strategy, PATH, 5, metadata=metadata)
        assert design.columns == ("a_comp_cor_2", "a_comp_cor_9", "a_comp_cor_10")


def test_what_a_design_is_made_of_stays_as_it_is():
    motion = {name: np.arange(6.0) ** 2 * (i + 1) for i, name in enumerate(MOTION)}
    table = table_of(**motion, framewise_displacement=[np.nan, 0.1, 0.9, 0.1, 0.2, 0.1])
    own, outliers = pd.DataFrame({"physio.x": [np.nan, 1.0, 3, 2, 5, 4]}), np.arange(6) == 4
    before = table.copy(), own.copy(), outliers.copy()
    rules = HeadMotion("lowpass:6", filter_regressors=True)
    for head_motion in (None, rules):
        strategy = strategy_of(
            "x", motion="full", head_motion=head_motion, censor=Censor(0.5, before=1)
        )
        options = {"extra": [own], "outliers": outliers, "t_r": 0.8, "dummy_scans": 1}
        make_design(table, strategy, PATH, 6, **options)
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(own, before[1])
    np.testing.assert_array_equal(outliers, before[2])


def test_columns_of_a_hint_are_in_the_order_of_their_names():
    table = table_of(**{name: [1, 2] for name in ("white_matter", "csf", *MOTION[::-1])})
    with pytest.raises(DataError) as error:
        make_design(table, strategy_of("whitematter", "cssf", "rotz", "rotx", "transy"), PATH, 2)
    similar = "csf, rot_x, rot_z, trans_y, white_matter"
    assert error.value.hint == f"Similar columns in the table: {similar}."


def test_a_hint_for_an_old_name_is_todays():
    table = table_of(rot_x=[1, 2], trans_x=[2, 1], ROTX=[1, 3])
    with pytest.raises(DataError) as error:
        make_design(table, strategy_of("RotX"), PATH, 2)
    assert error.value.hint == "Similar columns in the table: rot_x."


def test_metadata_that_is_given_is_not_read_anew(tmp_path):
    """Also when it is empty: without the file all components of a name count."""
    path = tmp_path / "confounds.tsv"
    path.with_suffix(".json").write_text('{"a_comp_cor_01": {"Mask": "combined"}}')
    strategy = strategy_of(compcor=CompCor("anat_combined"))
    table = table_of(a_comp_cor_00=[1, 2, 4], a_comp_cor_01=[3, 1, 2], w_comp_cor_00=[1, 3, 1])
    assert make_design(table, strategy, path, 3).columns == ("a_comp_cor_01",)
    given = make_design(table, strategy, path, 3, metadata={})
    assert given.columns == ("a_comp_cor_00", "a_comp_cor_01")


@pytest.mark.parametrize("name", ["edge_comp_00", "t_comp_cor_3", "w_comp_cor_10", "c_comp_cor_0"])
def test_components_after_the_high_pass_filter_bring_it(name):
    table = table_of(**{name: [1, 2, 4]}, **COSINES)
    assert make_design(table, strategy_of(name), PATH, 3).columns == (name, *COSINES)
    assert make_design(table, strategy_of(), PATH, 3).columns == ()


def test_what_is_left_out_before_the_dummy_scans_end_bounds_nothing():
    """A run without a flag after them stays whole, however short."""
    for outlier, n_kept in ((1, 9), (2, 9), (5, 0)):
        outliers = np.arange(12) == outlier
        censor = Censor(min_segment=10)
        out, _ = left_out(censor, dummy_scans=3, outliers=outliers)
        assert 12 - len(out) == n_kept


def test_a_volume_that_moved_bounds_a_stretch_also_where_it_is_not_steady():
    flags = np.arange(12.0) == 4
    table = table_of(framewise_displacement=flags, non_steady_state_outlier00=flags)
    design = make_design(table, strategy_of(censor=Censor(0.5, min_segment=5)), PATH, 12)
    assert np.flatnonzero(~design.kept).tolist() == [0, 1, 2, 3, 4]


def test_only_numbered_columns_are_noise_components():
    names = ["aroma_motion_2", "aroma_motion_10", "aroma_motion_2_power2", "my_aroma_motion_3"]
    names += ["rejected_ICA_0", "rejected_ICA_11b", "rejected_orth_ICA_0", "accepted_ICA_1"]
    table = table_of(**{name: np.random.default_rng(i).random(4) for i, name in enumerate(names)})
    for parts, columns in (
        ({"ica_aroma": "basic"}, ("aroma_motion_2", "aroma_motion_10")),
        ({"tedana": "aggressive"}, ("rejected_ICA_0",)),
        ({"tedana": "orthogonal"}, ("rejected_orth_ICA_0",)),
    ):
        design = make_design(table, strategy_of(**parts), PATH, 4)
        assert (design.columns, design.notes) == (columns, ())


@pytest.mark.parametrize("form", ["basic", "orthogonal"])
def test_an_intercept_beside_noise_components_is_nothing_to_note(form):
    table = table_of(csf=[1, 2, 4])
    extra = table_of(intercept=[1, 1, 1], aroma_motion_1=[1, 3, 2], aroma_orth_motion_1=[2, 3, 1])
    design = make_design(table, strategy_of(ica_aroma=form), PATH, 3, extra=[extra])
    assert (len(design.columns), design.notes) == (1, ())


def test_numbers_of_columns_with_and_without_an_underscore():
    table = table_of(cosine_00=[1, 0, -1], cosine1=[1, -1, 1], cosine_x=[1, 2, 4])
    table = table.assign(non_steady_state_outlier_0=[1, 0, 0], non_steady_state_outlier=[0, 0, 1])
    table = table.assign(cosine1_power2=[1, 1, 1], non_steady_state_outlier1_mine=[0, 1, 1])
    design = make_design(table, strategy_of(high_pass=True), PATH, 3)
    assert design.columns == ("cosine_00", "cosine1")
    assert design.kept.tolist() == [False, True, True]


def test_rank_does_not_depend_on_units():
    values = np.random.default_rng(3).standard_normal((3, 20)) * [[1e-18], [1.0], [1e9]]
    table = table_of(**dict(zip("abc", values, strict=True)))
    assert make_design(table, strategy_of("^[abc]$"), PATH, 20).rank(detrend=True) == 5


def test_components_bring_their_cosines_wherever_they_stand_among_columns():
    table = table_of(csf=[1, 2, 4], white_matter=[2, 1, 3], **COMPCOR, **COSINES)
    strategy = strategy_of("w_comp_cor_00", wm_csf="basic")
    design = make_design(table, strategy, PATH, 3)
    assert design.columns == ("csf", "white_matter", "w_comp_cor_00", *COSINES)
