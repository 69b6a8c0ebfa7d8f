"""Degrees of freedom and exclusions, against simulated white series, scipy and counts by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from bids_spheres.confounds.degrees_of_freedom import (
    DegreesOfFreedom,
    count_degrees_of_freedom,
    exclusion,
    filter_problem,
    parts,
    without_undrawn,
)
from bids_spheres.confounds.design import make_design, removed_regressors, temporal_steps
from bids_spheres.confounds.strategy import Censor, Strategy, TemporalFilter
from bids_spheres.engine.clean import clean

PATH = Path("confounds.tsv")


def design_of(strategy, n_volumes=100, **columns):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((n_volumes, 3)), columns=["a", "b", "c"])
    return make_design(table.assign(**columns), strategy, PATH, n_volumes)


def expected_dof(design, strategy, t_r, detrend, n_pairs=4000, seed=0):
    """1 / mean of r^2 over independent pairs of simulated white series, and its standard error."""
    rng = np.random.default_rng(seed)
    cleaned = clean(
        rng.standard_normal((len(design.kept), 2 * n_pairs)),
        confounds=removed_regressors(design, strategy, t_r),
        detrend=detrend,
        **temporal_steps(design, strategy, t_r),
    )
    x, y = cleaned[:, :n_pairs], cleaned[:, n_pairs:]
    squares = (np.einsum("tp,tp->p", x, y) / (len(cleaned) - 1)) ** 2
    mean = squares.mean()
    return 1 / mean, squares.std() / np.sqrt(n_pairs) / mean**2


FILTERS = (
    None,
    TemporalFilter(0.01, 0.08),
    TemporalFilter(0.01),
    TemporalFilter(None, 0.1),
    TemporalFilter(0.02, 0.1, order=2),
    TemporalFilter(0.01, type="cosine"),
)


def censored_volumes(pattern, n_volumes, rng):
    """Volumes to leave out: none, ends, single ones, stretches, or most."""
    flags = np.zeros(n_volumes, bool)
    if pattern == "ends":
        flags[:4] = flags[-7:] = True
    elif pattern == "single":
        flags[rng.choice(n_volumes, n_volumes // 8, replace=False)] = True
    elif pattern != "none":
        length, share = {"stretches": (8, 0.2), "most": (4, 0.6)}[pattern]
        for start in rng.integers(0, n_volumes - length, int(share * n_volumes / length)):
            flags[start : start + length] = True
    return flags


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50))
def test_white_series_have_the_scatter_that_the_degrees_of_freedom_say(number):
    """Repetition time, length, filter, censoring and regressors are drawn anew each time."""
    rng = np.random.default_rng(number)
    n_volumes, t_r = int(rng.integers(80, 320)), float(rng.choice([0.72, 1.5, 2, 3]))
    pattern = ["none", "ends", "single", "stretches", "most"][number % 5]
    n_regressors = int(rng.choice([0, 1, 6, 24]))
    drifts = rng.standard_normal((n_volumes, n_regressors)).cumsum(axis=0)
    table = pd.DataFrame(drifts, columns=[f"x{i}" for i in range(n_regressors)])
    moved = censored_volumes(pattern, n_volumes, rng).astype(float)
    chosen, detrend = FILTERS[number % len(FILTERS)], bool(rng.random() < 0.8)
    strategy = Strategy(
        "a", "", tuple(table.columns), censor=Censor(fd_threshold=0.5), filter=chosen
    )
    table = table.assign(framewise_displacement=moved)
    design = make_design(table, strategy, PATH, n_volumes)
    left = count_degrees_of_freedom(design, strategy, t_r, detrend)
    expected, error = expected_dof(design, strategy, t_r, detrend)
    assert abs(left.residual - expected) < 4.5 * error
    lost = left.rank + left.filtered + left.censored
    assert left.residual == pytest.approx(left.kept - lost, rel=1e-9)
    assert min(left.rank, left.filtered, left.censored) >= 0
    if pattern == "none" or chosen is None or chosen.type == "cosine":
        assert left.censored == 0


@pytest.mark.parametrize("detrend", [True, False])
def test_a_long_gap_before_a_high_pass_filter_costs_more_than_its_volumes(detrend):
    """A spline across 40 volumes leaves all bounds, and the filter spreads that over the run."""
    names = tuple(f"x{i}" for i in range(12))
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((200, 12)).cumsum(axis=0), columns=names)
    moved = (np.abs(np.arange(200) - 100) < 20).astype(float)
    spike = np.arange(200) == 100  # a regressor of which censoring leaves nothing
    table = table.assign(framewise_displacement=moved, spike=spike.astype(float))
    columns, band = (*names, "spike"), TemporalFilter(high_pass=0.01)
    high = Strategy("a", "", columns, censor=Censor(fd_threshold=0.5), filter=band)
    left = count_degrees_of_freedom(make_design(table, high, PATH, 200), high, 2.0, detrend)
    complete = make_design(table, replace(high, censor=Censor()), PATH, 200)
    whole = count_degrees_of_freedom(complete, high, 2.0, detrend)
    assert (left.kept, whole.censored) == (161, 0)
    assert (left.rank, whole.rank) == (13 + detrend, 14 + detrend)  # with the mean
    assert left.censored > 10
    # The filter takes its share, that of the complete run.
    share = whole.filtered / (whole.kept - whole.rank)
    assert left.filtered / (left.kept - left.rank) == pytest.approx(share)


def test_a_low_pass_filter_takes_little_of_volumes_far_apart():
    """Every second volume holds all that is left below half of the Nyquist frequency."""
    moved = (np.arange(101) % 2).astype(float)
    low = Strategy("a", "", censor=Censor(fd_threshold=0.5), filter=TemporalFilter(low_pass=0.125))
    design = design_of(low, 101, framewise_displacement=moved)
    left = count_degrees_of_freedom(design, low, 2.0, detrend=True)
    complete = design_of(replace(low, censor=Censor()), 101, framewise_displacement=moved)
    whole = count_degrees_of_freedom(complete, low, 2.0, detrend=True)
    assert whole.filtered == pytest.approx(99 / 2, rel=0.02)
    assert (left.kept, left.censored) == (51, 0)
    assert 0 < left.filtered < 0.1 * 49
    assert left.residual == 49 - left.filtered


def test_a_trend_takes_one_degree_of_freedom_of_a_low_pass_filter():
    """It is slow, so that the filter lets it pass."""
    strategy = Strategy("a", "", censor=Censor(fd_threshold=0.5), filter=TemporalFilter(None, 0.1))
    for moved in (np.zeros(100), FD):
        design = design_of(strategy, framewise_displacement=moved)
        plain, detrended = (
            count_degrees_of_freedom(design, strategy, 2.0, detrend) for detrend in (False, True)
        )
        assert (plain.rank, detrended.rank) == (1, 2)
        assert plain.residual - detrended.residual == pytest.approx(1, abs=0.1)


def test_every_minute_more_has_the_degrees_of_freedom_of_the_spectrum():
    """(sum S)^2 / sum S^2 over frequencies; the filter passes twice, ends cost the same."""
    strategy = Strategy("a", "", filter=TemporalFilter(0.01, 0.1))
    long, short = (
        count_degrees_of_freedom(design_of(strategy, n), strategy, 2.0, detrend=True)
        for n in (1000, 500)
    )
    assert (long.volumes, long.kept, long.rank, long.seconds) == (1000, 1000, 2, 2000)
    sections = signal.butter(5, (0.01, 0.1), "band", output="sos", fs=0.5)
    response = signal.sosfreqz(sections, np.arange(1, 250) / 1000, fs=0.5)[1]
    power = np.repeat(np.abs(response) ** 4, 2)
    gained = power.sum() ** 2 / np.sum(power**2)
    assert long.residual - short.residual == pytest.approx(gained, rel=0.03)


@pytest.mark.parametrize("censored", [(), (3, 4, 50, 51, 52, 97)])
def test_a_cosine_filter_takes_its_regressors_whatever_is_censored(censored):
    """floor(2 * 200 s * 0.01 Hz) = 4 of the run, not of the kept volumes."""
    strategy = Strategy(
        "a", "", censor=Censor(fd_threshold=0.5), filter=TemporalFilter(0.01, type="cosine")
    )
    moved = np.isin(np.arange(100), censored).astype(float)
    design = design_of(strategy, framewise_displacement=moved)
    left = count_degrees_of_freedom(design, strategy, 2.0, detrend=True)
    kept = 100 - len(censored)
    assert (left.kept, left.rank, left.filtered, left.censored) == (kept, 2, 4, 0)
    assert left.residual == kept - 6


def test_a_cosine_filter_takes_nothing_for_the_spike_of_a_censored_volume():
    strategy = Strategy(
        *("a", "", ("motion_outlier00",)),
        censor=Censor(fd_threshold=0.5),
        filter=TemporalFilter(0.01, type="cosine"),
    )
    spike = (np.arange(100) == 40).astype(float)
    design = design_of(strategy, framewise_displacement=spike, motion_outlier00=spike)
    left = count_degrees_of_freedom(design, strategy, 2.0, detrend=True)
    assert (left.kept, left.rank, left.filtered, left.residual) == (99, 2, 4, 93)


def test_fmripreps_cosines_stand_in_for_those_of_a_filter():
    strategy = Strategy("a", "", high_pass=True, filter=TemporalFilter(0.01, type="cosine"))
    cosine = np.cos(np.pi * (np.arange(100) + 0.5) / 100)
    design = design_of(strategy, cosine00=cosine)
    left = count_degrees_of_freedom(design, strategy, 2.0, detrend=False)
    assert (left.rank, left.filtered) == (2, 0)
    np.testing.assert_array_equal(removed_regressors(design, strategy, 2.0), cosine[:, None])
    # A column of the user's own is none of fMRIPrep's, whatever it is called.
    own = Strategy("a", "", ("physio.cosine00",), filter=strategy.filter)
    design = design_of(own, **{"physio.cosine00": cosine})
    assert removed_regressors(design, own, 2.0).shape == (100, 1 + 4)


def test_a_regressor_that_looks_like_a_cosine_does_not_stand_in_for_them():
    strategy = Strategy("a", "", ("a",), filter=TemporalFilter(0.01, type="cosine"))
    cosine = np.cos(np.pi * (np.arange(100) + 0.5) / 100)
    design = design_of(strategy, a=cosine)
    regressors = removed_regressors(design, strategy, 2.0)
    phases = np.outer(np.arange(100) + 0.5, np.arange(1, 5)) * np.pi / 100
    np.testing.assert_allclose(regressors[:, 1:], np.sqrt(2 / 100) * np.cos(phases), atol=1e-12)
    left = count_degrees_of_freedom(design, strategy, 2.0, detrend=True)
    assert (left.rank, left.filtered) == (3, 3)  # one of the four is there already
    # floor(2 * 200 s * 0.033 Hz) = 13
    faster = replace(strategy, filter=TemporalFilter(0.033, type="cosine"))
    assert removed_regressors(design, faster, 2.0).shape == (100, 1 + 13)


def test_a_run_too_short_for_its_filter_between_the_first_and_the_last_kept_volume():
    strategy = Strategy("a", "", censor=Censor(fd_threshold=0.5), filter=TemporalFilter(0.05, 0.1))
    for last, problem in ((33, True), (34, False)):
        moved = (np.arange(100) >= last).astype(float)
        design = design_of(strategy, framewise_displacement=moved)
        left = count_degrees_of_freedom(design, strategy, 2.0, detrend=True)
        assert (left.residual == 0) == problem
        found = exclusion(left, strategy, floor=1)
        assert bool(found and "needs more than 33 volumes" in found.reason) == problem


FD = np.where(np.arange(100) % 10 == 0, 1.0, 0.0)
CENSORED = Strategy("a", "", ("a", "b"), censor=Censor(fd_threshold=0.5))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"min_volumes": 90}, None),
        ({"min_volumes": 91}, "90 of 100 volumes are left, fewer than 91"),
        ({"min_seconds": 180}, None),
        ({"min_seconds": 180.5}, "180 s are left, fewer than 180.5"),
        ({"censor": Censor(fd_threshold=0.5, min_segment=10)}, "no volume is left of 100"),
        (
            {"min_volumes": 100, "min_seconds": 200},
            "90 of 100 volumes are left, fewer than 100; 180 s are left, fewer than 200",
        ),
    ],
)
def test_exclusions(changes, reason):
    strategy = replace(CENSORED, **changes)
    design = design_of(strategy, framewise_displacement=FD)
    found = exclusion(count_degrees_of_freedom(design, strategy, 2.0, detrend=True), strategy)
    assert (found.reason if found else None) == reason
    if found:
        assert found.degrees_of_freedom.kept == design.n_kept


def test_numbers_are_whole_without_a_butterworth_filter():
    # floor(2 x 200 s x 0.01 Hz) = 4 cosines.
    for chosen, n_cosines in ((None, 0), (TemporalFilter(0.01, type="cosine"), 4)):
        strategy = Strategy("a", "", filter=chosen)
        left = count_degrees_of_freedom(design_of(strategy), strategy, 2.0, detrend=True)
        assert repr((left.filtered, left.censored)) == f"({n_cosines}, 0)"
        assert repr(left.residual) == str(100 - 2 - n_cosines)


def test_a_floor_of_degrees_of_freedom():
    design = design_of(CENSORED, framewise_displacement=FD)
    left = count_degrees_of_freedom(design, CENSORED, 2.0, detrend=True)
    assert exclusion(left, CENSORED, floor=86) is None
    assert exclusion(left, CENSORED, floor=87).reason == (
        "86 degrees of freedom, fewer than 87 "
        "(90 volumes kept - 4 rank removed - 0 lost to filtering)"
    )


def test_where_regressors_take_all_there_is_nothing_to_filter():
    strategy = Strategy("a", "", ("a", "b", "c"), filter=TemporalFilter(0.1, 0.2))
    left = count_degrees_of_freedom(design_of(strategy, 4), strategy, 2.0, detrend=False)
    assert left == DegreesOfFreedom(4, 4, 4, 0, 0, 0, 8)


def test_too_many_regressors_for_the_run():
    strategy = Strategy("a", "", ("a", "b", "c"))
    left = count_degrees_of_freedom(design_of(strategy, n_volumes=4), strategy, 2.0, detrend=False)
    found = exclusion(left, strategy)
    assert found.degrees_of_freedom.residual == 0
    assert "0 degrees of freedom, fewer than 1" in found.reason


# Filters that a run can carry


@pytest.mark.parametrize(
    ("band", "t_r", "n_volumes", "phrase"),
    [
        (TemporalFilter(0.01, 0.25), 2.0, 200, "low_pass of 0.25 Hz is not below the Nyquist"),
        (TemporalFilter(0.3), 2.0, 200, "high_pass of 0.3 Hz is not below the Nyquist frequency"),
        (TemporalFilter(0.01), 2.0, 20, "high_pass of 0.01 Hz has no half period in a run of 40 s"),
        (TemporalFilter(0.01, type="cosine"), 2.0, 24, "has no half period"),
        (TemporalFilter(0.05, 0.1), 2.0, 33, "order 5 needs more than 33 volumes"),
        (TemporalFilter(0.05, 0.1), 2.0, 34, None),
        (TemporalFilter(0.01, 0.1), 2.0, 200, None),
        (TemporalFilter(0.01, type="cosine"), 2.0, 26, None),
    ],
)
def test_filters_that_a_run_cant_carry(band, t_r, n_volumes, phrase):
    problem = filter_problem(band, t_r, n_volumes)
    if phrase is None:
        assert problem is None
    else:
        assert phrase in problem
        assert "0.25 Hz" in problem  # Nyquist


@pytest.mark.parametrize("order", range(1, 8))
@pytest.mark.parametrize("edges", [(0.05, 0.1), (0.05, None), (None, 0.1)])
def test_the_shortest_run_is_scipys(order, edges):
    band = TemporalFilter(*edges, order=order)
    cutoffs = [edge for edge in edges if edge]
    kind = "band" if len(cutoffs) == 2 else ("high" if edges[0] else "low")
    sections = signal.butter(order, np.squeeze(cutoffs), kind, output="sos", fs=0.5)
    for n_volumes in range(10, 60):
        try:
            signal.sosfiltfilt(sections, np.zeros(n_volumes))
            fits = True
        except ValueError:
            fits = False
        assert (filter_problem(band, 2.0, n_volumes) is None) == fits


def test_the_shortest_run_for_a_high_pass_filter_has_half_a_period():
    for n_volumes, problem in ((24, True), (25, False)):
        for kind in ("cosine", "butterworth"):
            band = TemporalFilter(0.01, type=kind, order=1)
            assert bool(filter_problem(band, 2.0, n_volumes)) == problem
    said = filter_problem(TemporalFilter(0.01, order=1), 2.0, 20)
    assert said == (
        "high_pass of 0.01 Hz has no half period in a run of 40 s; a run can carry frequencies "
        "from 0.0125 Hz to the Nyquist frequency, 0.25 Hz"
    )
    # A cosine filter needs no volumes beyond the ends.
    assert filter_problem(TemporalFilter(0.2, type="cosine"), 2.0, 3, 1) is None
    assert "needs more than 12 volumes, and the run has 12 " in filter_problem(
        TemporalFilter(0.2, order=3), 2.0, 12
    )


def test_volumes_that_are_not_drawn_take_their_degrees_of_freedom():
    """Of white series, each volume that is left but one, as the mean is taken from those left."""
    strategy = Strategy("a", "", censor=Censor(fd_threshold=0.5))
    design = design_of(strategy, framewise_displacement=FD)
    left = count_degrees_of_freedom(design, strategy, 2.0, detrend=False)
    assert (left.residual, left.undrawn) == (89, 0)
    used = np.arange(100) < 40
    drawn = without_undrawn(left, design, strategy, used, t_r=2.0, detrend=False)
    assert (drawn.residual, drawn.undrawn) == (pytest.approx(35), pytest.approx(54))
    assert replace(drawn, residual=89, undrawn=0) == left
    all_of_them = without_undrawn(left, design, strategy, used | True, t_r=2.0, detrend=False)
    assert (all_of_them.residual, all_of_them.undrawn) == (pytest.approx(89), pytest.approx(0))


def test_parts_in_words():
    dof = DegreesOfFreedom(100, 90, 4, 3.27, 2.5, 70.23, 180, undrawn=10)
    assert parts(dof) == (
        "90 volumes kept - 4 rank removed - 3.3 lost to filtering - 2.5 to filtering across "
        "censored volumes - 10 with volumes that are not drawn"
    )
    assert parts(replace(dof, censored=0, undrawn=0)).endswith("- 3.3 lost to filtering")
    assert parts(replace(dof, undrawn=0)).endswith("censored volumes")


def test_an_exclusion_gives_every_reason():
    dof = DegreesOfFreedom(100, 50, 4, 0, 0, 46, 100, problem="no filter fits")
    strategy = Strategy("a", "", min_volumes=51, min_seconds=100.5)
    assert exclusion(dof, strategy).reason == (
        "50 of 100 volumes are left, fewer than 51; 100 s are left, fewer than 100.5; "
        "no filter fits"
    )
    assert exclusion(replace(dof, problem="", residual=0.99), Strategy("a", "")).reason == (
        "1 degrees of freedom, fewer than 1 "
        "(50 volumes kept - 4 rank removed - 0 lost to filtering)"
    )
    assert exclusion(replace(dof, problem="", residual=1), Strategy("a", "")) is None
    single = DegreesOfFreedom(100, 1, 1, 0, 0, 0, 2)
    assert exclusion(single, Strategy("a", "")).reason.startswith("0 degrees of freedom, fewer")


def test_arguments_of_cleaning_for_censoring_and_filter():
    strategy = Strategy("a", "", ("a",), filter=TemporalFilter(0.01, 0.1, order=3))
    design = design_of(strategy)
    always = {"interpolate": "censored", "extrapolate": False, "trend": "time", "t_r": 2.5}
    assert temporal_steps(design, strategy, 2.5) == {
        **always,
        "sample_mask": None,
        "filter": "butterworth",
        "order": 3,
        "high_pass": 0.01,
        "low_pass": 0.1,
    }
    # Cosines are regressors.
    cosine = replace(strategy, filter=TemporalFilter(0.01, type="cosine"))
    assert temporal_steps(design, cosine, 2.5) == {**always, "sample_mask": None}
    censored = design_of(
        replace(strategy, censor=Censor(fd_threshold=0.5)), framewise_displacement=FD
    )
    steps = temporal_steps(censored, replace(strategy, filter=None), 2.5)
    np.testing.assert_array_equal(steps.pop("sample_mask"), FD < 0.5)
    assert steps == always
    assert removed_regressors(design_of(Strategy("a", "")), Strategy("a", ""), 2.0) is None


def test_a_run_is_as_long_as_it_was_acquired_whatever_is_kept_of_it():
    """Half a period of 0.01 Hz takes 50 s: 25 volumes of the run, and 20 of them may be kept."""
    strategy = Strategy(
        "a", "", censor=Censor(fd_threshold=0.5), filter=TemporalFilter(0.01, order=1)
    )
    for n_volumes, problem in ((30, False), (25, False), (24, True)):
        moved = (np.arange(n_volumes) >= 20).astype(float)
        design = design_of(strategy, n_volumes, framewise_displacement=moved)
        left = count_degrees_of_freedom(design, strategy, 2.0, detrend=True)
        assert (left.volumes, left.kept, left.seconds) == (n_volumes, 20, 40)
        assert (left.problem != "") == problem
        assert (left.residual > 5) != problem
    assert "no half period in a run of 48 s" in left.problem
