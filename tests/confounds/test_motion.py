"""Head motion measured anew, against scipy, fMRIPrep's own column and a head of known size."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.motion import folded, framewise_displacement
from bids_spheres.confounds.strategy import Censor, HeadMotion, Strategy, TemporalFilter
from bids_spheres.confounds.strategy_file import strategy_from_json, strategy_to_json
from bids_spheres.errors import DataError
from tests.confounds.conftest import TABLES

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
PATH = Path("sub-01_desc-confounds_timeseries.tsv")
# Their displacement is not of their parameters: rows were cut off or put in.
CHANGED = {"1.4-aroma", "20.2.1-run-01", "20.2.1-run-02", "missing-columns"}


def displacement(table, radius=50):
    """Power's formula, volume by volume."""
    rows = table[MOTION].to_numpy()
    moved = [np.abs(now - before) for before, now in pairwise(rows)]
    return np.array([each[:3].sum() + radius * each[3:].sum() for each in moved])


@pytest.fixture
def table(rng):
    """Slow motion with breathing at 0.35 Hz on top, every 0.8 s; fMRIPrep's displacement is 9."""
    times = 0.8 * np.arange(300)
    slow = np.cumsum(rng.standard_normal((300, 6)), axis=0) * 0.002
    breath = 0.1 * np.sin(2 * np.pi * 0.35 * times)[:, None] * [0, 1, 0.2, 0.01, 0, 0]
    columns = dict(zip(MOTION, (slow * [1, 1, 1, 0.01, 0.01, 0.01] + breath).T, strict=True))
    return pd.DataFrame({**columns, "framewise_displacement": [np.nan] + [9.0] * 299})


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def design_of(table, t_r=0.8, censor=None, brain_radius=None, **rules):
    strategy = Strategy("a", "", head_motion=HeadMotion(**rules), censor=censor or Censor())
    return make_design(table, strategy, PATH, len(table), t_r=t_r, brain_radius=brain_radius)


@pytest.mark.parametrize("name", sorted(set(TABLES) - CHANGED))
def test_at_50_mm_it_is_fmripreps_own_column(real_table, name):
    real = real_table(name)
    design = real.design(Strategy("a", "", head_motion=HeadMotion()))
    ours, theirs = design.motion.displacement, real.table["framewise_displacement"].to_numpy()
    assert np.isnan(ours[0])
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(design.framewise_displacement, theirs)


@pytest.mark.parametrize("name", ["gratton2020", "lowpass:6", "lowpass:12.5"])
def test_low_pass_filter_of_scipy(table, name):
    edge = 12.5 if name.endswith("12.5") else 6
    b, a = signal.butter(2, edge / 60, btype="low", fs=1 / 0.8)
    left = signal.filtfilt(b, a, table[MOTION], axis=0, padtype="constant", padlen=299)
    expected = displacement(pd.DataFrame(left, columns=MOTION))
    motion = design_of(table, filter=name).motion
    np.testing.assert_allclose(motion.displacement[1:], expected, rtol=1e-10)
    assert motion.stop_band == pytest.approx((edge / 60, 0.625))


@pytest.mark.parametrize("name", ["fair2020", "notch:18.6:25.8", "notch:15:20"])
def test_notch_filter_of_scipy(table, name):
    low, high = (15 / 60, 20 / 60) if name.endswith("20") and name[0] == "n" else (0.31, 0.43)
    b, a = signal.iirnotch((low + high) / 2, (low + high) / 2 / (high - low), fs=1 / 0.8)
    left = signal.filtfilt(b, a, table[MOTION], axis=0, padtype="constant", padlen=299)
    expected = displacement(pd.DataFrame(left, columns=MOTION))
    motion = design_of(table, filter=name).motion
    np.testing.assert_allclose(motion.displacement[1:], expected, rtol=1e-8)


def test_breathing_is_gone_and_other_motion_is_not(table):
    still = table[MOTION].copy()
    times = 0.8 * np.arange(300)
    breath = 0.1 * np.sin(2 * np.pi * 0.35 * times)
    still["trans_y"] -= breath
    still["trans_z"] -= 0.2 * breath
    still["rot_x"] -= 0.01 * breath
    truth, raw = displacement(still).mean(), displacement(table).mean()
    left = np.nanmean(design_of(table, filter="fair2020").motion.displacement)
    assert raw > 2 * truth
    assert abs(left - truth) < 0.1 * (raw - truth)


@pytest.mark.parametrize(
    ("band", "t_r", "expected"),
    [
        ((0.31, 0.43), 0.8, (0.31, 0.43)),
        ((0.31, 0.43), 2.0, (0.07, 0.19)),
        ((0.31, 0.43), 1.4, (1 / 1.4 - 0.43, 0.5 / 1.4)),  # turns back at the Nyquist frequency
        ((0.31, 0.43), 3.0, (0.0, 0.43 - 1 / 3)),  # turns back at zero
        ((0.31, 0.43), 2.5, (0.0, 0.4 - 0.31)),
        ((0.7, 0.75), 2.0, (0.2, 0.25)),
    ],
)
def test_frequencies_fold_as_those_of_sampled_sines(band, t_r, expected):
    assert folded(band, t_r) == pytest.approx(expected)
    times = t_r * np.arange(20000)
    for frequency in np.linspace(*band, 7)[1:-1]:
        power = np.abs(np.fft.rfft(np.cos(2 * np.pi * frequency * times))[1:-1])
        seen = np.fft.rfftfreq(20000, t_r)[1:-1][power.argmax()]
        assert expected[0] - 1e-3 <= seen <= expected[1] + 1e-3


def test_a_stop_band_that_folds_is_noted_and_filtered_where_it_is_seen(table):
    design = design_of(table, t_r=2.0, filter="fair2020")
    assert "0.31 to 0.43 Hz" in design.notes[0]
    assert "folds to 0.07 to 0.19 Hz" in design.notes[0]
    b, a = signal.iirnotch(0.13, 0.13 / 0.12, fs=0.5)
    left = signal.filtfilt(b, a, table[MOTION], axis=0, padtype="constant", padlen=299)
    expected = displacement(pd.DataFrame(left, columns=MOTION))
    np.testing.assert_allclose(design.motion.displacement[1:], expected, rtol=1e-8)
    assert design_of(table, filter="fair2020").notes == ()


@pytest.mark.parametrize(
    ("t_r", "name", "band", "refused"),
    [
        (2.5, "fair2020", None, True),
        (3.0, "fair2020", None, True),
        (2.0, "fair2020", None, False),
        (2.0, "fair2020", TemporalFilter(0.08, 0.12), True),
        (2.5, "fair2020", TemporalFilter(0.1, None), False),
        (2.0, "fair2020", TemporalFilter(0.15, None), True),
        (2.0, "fair2020", TemporalFilter(0.2, None), False),
        # Exactly half of the band, in numbers that are exact: 0.0625 to 0.125 Hz are covered.
        (2.0, "notch:22.5:26.25", TemporalFilter(0.0625, 0.1875), True),
        (2.0, "notch:22.5:26.25", TemporalFilter(0.0625, 0.1876), False),
        # 0.49 Hz is seen at 0.01, and the other edge just below or above 0.055: half of the band.
        (2.0, "notch:26.8:29.4", None, False),
        (2.0, "notch:26.6:29.4", None, True),
        (2.0, "lowpass:15", None, True),  # at the Nyquist frequency
        (2.0, "lowpass:14.9", None, False),
    ],
)
def test_a_filter_of_the_band_of_the_signal_is_refused(table, t_r, name, band, refused):
    strategy = Strategy("a", "", head_motion=HeadMotion(name), filter=band)
    if not refused:
        make_design(table, strategy, PATH, 300, t_r=t_r)
        return
    bottom, top = (band.high_pass, band.low_pass or band.high_pass) if band else (0.01, 0.1)
    covers = rf"covers the band of the signal \({bottom:g} to {top:g} Hz"
    with pytest.raises(DataError, match=f"{covers}|is not below the Nyquist"):
        make_design(table, strategy, PATH, 300, t_r=t_r)


def test_head_radius(table):
    at_80 = design_of(table, head_radius=80.0, brain_radius=61.5).motion
    np.testing.assert_allclose(at_80.displacement[1:], displacement(table, 80), rtol=1e-12)
    own = design_of(table, head_radius="auto", brain_radius=61.5).motion
    np.testing.assert_allclose(own.displacement[1:], displacement(table, 61.5), rtol=1e-12)
    assert own.head_radius == 61.5
    with pytest.raises(DataError, match="brain mask is missing"):
        design_of(table, head_radius="auto")


def test_what_is_censored_is_by_the_new_measure(table):
    expected = displacement(table)
    limit = float(np.median(expected))
    design = design_of(table, censor=Censor(limit))
    np.testing.assert_array_equal(design.kept[1:], expected <= limit)
    assert design.kept[0]
    # fMRIPrep's column is not needed, but the parameters are.
    without = table.drop(columns="framewise_displacement")
    np.testing.assert_array_equal(design_of(without, censor=Censor(limit)).kept, design.kept)
    with pytest.raises(DataError, match="no column rot_z, which the strategy a needs for head_mo"):
        design_of(table.drop(columns="rot_z"))


def test_regressors_are_filtered_where_the_strategy_says_so(table):
    forms = pd.DataFrame(index=table.index)
    for name in MOTION:
        change = table[name].diff()
        forms[f"{name}_derivative1"], forms[f"{name}_power2"] = change, table[name] ** 2
        forms[f"{name}_derivative1_power2"] = change**2
    b, a = signal.butter(2, 0.1, fs=1 / 0.8)
    left = signal.filtfilt(b, a, table[MOTION], axis=0, padtype="constant", padlen=299)
    filtered = pd.DataFrame(left, columns=MOTION)
    for whole in (table.join(forms), table):  # as by fMRIPrep since 1.4, and before
        plain = Strategy("a", "", motion="full", head_motion=HeadMotion("gratton2020"))
        design = make_design(whole, plain, PATH, 300, t_r=0.8)
        at = design.columns.index("rot_x")
        np.testing.assert_allclose(design.values[:, at], table["rot_x"])
        rules = HeadMotion("gratton2020", filter_regressors=True)
        design = make_design(whole, replace(plain, head_motion=rules), PATH, 300, t_r=0.8)
        expected = {
            "rot_x": filtered["rot_x"],
            "trans_y_power2": filtered["trans_y"] ** 2,
            "trans_y_derivative1": filtered["trans_y"].diff(),
            "rot_z_derivative1_power2": filtered["rot_z"].diff() ** 2,
        }
        for name, values in expected.items():
            at = design.columns.index(name)
            np.testing.assert_allclose(design.values[1:, at], values[1:], rtol=1e-9, atol=1e-15)
        assert "filtered as well" in design.notes[-1]
        assert any("were computed" in note for note in design.notes) == (whole is table)


def test_both_measures_must_be_high_where_all_thresholds_count():
    table = pd.DataFrame(
        {
            "framewise_displacement": [np.nan, 0.9, 0.1, 0.9, 0.1, 0.1],
            "std_dvars": [np.nan, 1.0, 2.0, 2.0, 1.0, 1.0],
            "rmsd": [np.nan, 0.0, 0.0, 0.3, 0.3, 0.1],
        }
    )

    def censored(**rules):
        strategy = Strategy("a", "", censor=Censor(**rules))
        design = make_design(table, strategy, PATH, 6)
        return np.flatnonzero(~design.kept).tolist(), {
            name: np.flatnonzero(flags).tolist()
            for name, flags in design.reasons.items()
            if flags.any()
        }

    both = {"fd_threshold": 0.5, "std_dvars_threshold": 1.5}
    assert censored(**both)[0] == [1, 2, 3]
    assert censored(**both, combine="all") == (
        [3],
        {"framewise_displacement": [3], "dvars": [3]},
    )
    assert censored(fd_threshold=0.5, combine="all")[0] == [1, 3]
    assert censored(combine="all")[0] == []
    assert censored(rmsd_threshold=0.25) == ([3, 4], {"rmsd": [3, 4]})
    assert censored(**both, rmsd_threshold=0.25)[0] == [1, 2, 3, 4]
    assert censored(rmsd_threshold=0.25, before=2, after=1)[0] == [1, 2, 3, 4, 5]
    assert censored(std_dvars_threshold=1.5, min_segment=3)[0] == [0, 1, 2, 3, 4, 5]
    assert censored(**both, combine="all", after=1) == (
        [3, 4],
        {"framewise_displacement": [3], "dvars": [3], "neighbour": [4]},
    )
    with pytest.raises(DataError, match="no column rmsd"):
        make_design(
            table.drop(columns="rmsd"), Strategy("a", "", censor=Censor(rmsd_threshold=1)), PATH, 6
        )


@pytest.mark.parametrize(
    "rules",
    [
        {"filter": "fair"},
        {"filter": "lowpass:"},
        {"filter": "lowpass:-6"},
        {"filter": "lowpass:0"},
        {"filter": "lowpass:inf"},
        {"filter": "notch:20"},
        {"filter": "notch:20:10"},
        {"filter": "notch:1:2:3"},
        {"filter": 6},
        {"head_radius": 0},
        {"head_radius": "big"},
        {"head_radius": 5000},
        {"filter_regressors": True},
    ],
)
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(DataError, match=r"mine.json: head_motion.* must be"):
        strategy_from_json({"name": "a", "head_motion": rules}, "mine.json")


def test_rules_survive_a_file():
    strategy = Strategy("a", "", head_motion=HeadMotion("notch:12:18", "auto", True))
    assert strategy_from_json(strategy_to_json(strategy), "") == strategy
    empty = strategy_from_json({"name": "a", "head_motion": {"filter": None}}, "")
    assert empty.head_motion is None


def test_the_formula_of_one_step():
    still = np.zeros((2, 6))
    still[1] = [1, -2, 3, 0.01, -0.02, 0.03]
    assert framewise_displacement(still, 50)[1] == pytest.approx(6 + 50 * 0.06)


def test_a_filter_needs_the_repetition_time_and_a_measure_the_parameters(table):
    with pytest.raises(DataError, match="needs the repetition time"):
        design_of(table, t_r=None, filter="fair2020")
    plain = design_of(table, t_r=None)
    assert (plain.motion.stop_band, plain.motion.head_radius) == (None, 50)
    np.testing.assert_array_equal(plain.framewise_displacement, table["framewise_displacement"])
    # With a stop band up to the Nyquist frequency nothing folds.
    assert design_of(table, t_r=60 / 40, filter="notch:10:20").notes == ()
    assert len(design_of(table, t_r=60 / 40, filter="notch:18:20.1").notes) == 1
