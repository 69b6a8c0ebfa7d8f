"""Degrees of freedom and exclusions, against explicit bases, scipy and the formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from bids_spheres.confounds import (
    Censor,
    Strategy,
    TemporalFilter,
    degrees_of_freedom,
    exclusion,
    filter_problem,
    lost_to_filter,
    make_design,
)

PATH = Path("confounds.tsv")


def design_of(strategy, n_volumes=100, **columns):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((n_volumes, 3)), columns=["a", "b", "c"])
    return make_design(table.assign(**columns), strategy, PATH, n_volumes)


@given(st.integers(4, 80), st.floats(0.5, 3), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_filtered_dimensions_are_those_of_the_fourier_basis(n_volumes, t_r, edge, other):
    """Rank of what an ideal filter takes from every series, the mean apart."""
    band = TemporalFilter(min(edge, other), max(edge, other))
    frequencies = np.fft.rfftfreq(n_volumes, t_r)
    outside = (frequencies < band.high_pass) | (frequencies > band.low_pass)
    outside[0] = False
    spectra = np.fft.rfft(np.eye(n_volumes), axis=0)
    removed = np.fft.irfft(np.where(outside[:, None], spectra, 0), n_volumes, axis=0)
    assert lost_to_filter(band, n_volumes, t_r) == np.linalg.matrix_rank(removed)


@pytest.mark.parametrize(
    ("band", "lost"),
    [
        (TemporalFilter(low_pass=1.0), 0),
        (TemporalFilter(high_pass=1e-6), 0),
        (TemporalFilter(low_pass=0.125), 49),  # 25 of 50 frequencies, the last without a sine
        (TemporalFilter(high_pass=0.0125), 4),  # 0.005 and 0.01 Hz
        (TemporalFilter(high_pass=0.01), 2),  # 0.01 Hz itself passes
        (TemporalFilter(0.0125, 0.125), 53),
        (TemporalFilter(high_pass=0.01, type="cosine"), 4),  # floor(2 * 200 s * 0.01 Hz)
    ],
)
def test_numbers_by_hand(band, lost):
    assert lost_to_filter(band, 100, 2.0) == lost


def test_the_fraction_of_the_band():
    """1 - (low_pass - high_pass) / Nyquist of the kept volumes, for many of them."""
    lost = lost_to_filter(TemporalFilter(0.01, 0.1), 10_000, 2.0)
    assert lost / 10_000 == pytest.approx(1 - (0.1 - 0.01) / 0.25, abs=5e-4)


def test_the_sum():
    strategy = Strategy("a", "", ("a", "b", "c"), filter=TemporalFilter(0.0125, 0.125))
    left = degrees_of_freedom(design_of(strategy), strategy, 2.0, detrend=True)
    assert (left.volumes, left.kept, left.rank, left.filtered) == (100, 100, 5, 53)
    assert (left.residual, left.seconds) == (42, 200)


def test_fmripreps_cosines_stand_in_for_those_of_a_filter():
    strategy = Strategy("a", "", high_pass=True, filter=TemporalFilter(0.01, type="cosine"))
    cosine = np.cos(np.pi * (np.arange(100) + 0.5) / 100)
    left = degrees_of_freedom(design_of(strategy, cosine00=cosine), strategy, 2.0, detrend=False)
    assert (left.rank, left.filtered) == (2, 0)


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
    found = exclusion(design, strategy, 2.0, detrend=True)
    assert (found.reason if found else None) == reason
    if found:
        assert found.freedom.kept == design.n_kept


def test_a_floor_of_residual_degrees_of_freedom():
    design = design_of(CENSORED, framewise_displacement=FD)
    assert exclusion(design, CENSORED, 2.0, detrend=True, floor=86) is None
    found = exclusion(design, CENSORED, 2.0, detrend=True, floor=87)
    assert found.reason == (
        "86 residual degrees of freedom, fewer than 87 "
        "(90 volumes kept - 4 rank of regressors, mean and trend - 0 lost to filtering)"
    )


def test_too_many_regressors_for_the_run():
    strategy = Strategy("a", "", ("a", "b", "c"))
    found = exclusion(design_of(strategy, n_volumes=4), strategy, 2.0, detrend=False)
    assert found.freedom.residual == 0
    assert "0 residual degrees of freedom, fewer than 1" in found.reason


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
