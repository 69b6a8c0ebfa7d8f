"""Simulated head motion against formulas written down again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_spheres.demo.motion import Restlessness, realignment
from tests.demo.conftest import MOTION, MOVING, STILL, VOLUMES, every_run


@every_run
def test_framewise_displacement(numbers, truth, stem):
    columns = numbers(stem)
    expected = [
        sum(
            abs(columns[f"trans_{axis}"][row] - columns[f"trans_{axis}"][row - 1]) for axis in "xyz"
        )
        + 50
        * sum(abs(columns[f"rot_{axis}"][row] - columns[f"rot_{axis}"][row - 1]) for axis in "xyz")
        for row in range(1, VOLUMES[stem])
    ]
    np.testing.assert_allclose(columns["framewise_displacement"][1:], expected, rtol=1e-8)
    assert truth.mean_fd[stem] == pytest.approx(np.mean(expected))


def rigid(parameters):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", parameters[3:]).as_matrix()
    matrix[:3, 3] = parameters[:3]
    return matrix


def test_rmsd_is_that_of_the_relative_transform(numbers):
    columns = numbers(MOVING)
    transforms = [rigid(row) for row in np.column_stack([columns[name] for name in MOTION])]
    for row in range(1, len(transforms)):
        change = transforms[row] @ np.linalg.inv(transforms[row - 1]) - np.eye(4)
        turn, shift = change[:3, :3], change[:3, 3]
        expected = np.sqrt(80**2 / 5 * np.trace(turn.T @ turn) + shift @ shift)
        assert columns["rmsd"][row] == pytest.approx(expected, rel=1e-6)


def test_participants_move_more_and_more(truth, numbers):
    levels = truth.mean_fd
    assert levels[STILL] < 0.1 < levels["sub-02_task-rest_run-1"] < 0.3 < levels[MOVING]
    outliers = [sum(name.startswith("motion_out") for name in numbers(stem)) for stem in VOLUMES]
    assert outliers[0] < outliers[1] < outliers[3] < 30


def test_people_move_most_of_the_way_back_after_a_jump(rng):
    still = Restlessness(drift=0, tremor=0, jumps=1, jump=2.0)
    parameters = realignment(still, 41, rng) * [1, 1, 1, 50, 50, 50]
    change = np.diff(parameters, axis=0)
    first, second = np.flatnonzero(np.abs(change).max(axis=1) > 1e-4)
    assert 1 <= second - first <= 3
    assert 5 <= first <= 36
    np.testing.assert_allclose(change[second], -0.7 * change[first], atol=2e-4)
    assert not parameters[20].any()  # realigned to the volume in the middle


def test_sizes_of_movements_are_those_that_are_stated():
    """Rotations as arcs at 50 mm move as much as translations."""
    several = [np.random.default_rng(seed) for seed in range(30)]
    arcs = [1, 1, 1, 50, 50, 50]
    tremor = Restlessness(drift=0, tremor=0.1, jumps=0, jump=0)
    steps = np.diff([realignment(tremor, 60, each) * arcs for each in several], axis=1)
    np.testing.assert_allclose(steps.std(axis=(0, 1)), np.sqrt(2) * 0.1, rtol=0.1)
    jumps = Restlessness(drift=0, tremor=0, jumps=3, jump=0.5)
    steps = np.diff([realignment(jumps, 60, each) * arcs for each in several], axis=1)
    expected = 30 * 3 * 0.25 * (1 + 0.7**2)  # there and back
    np.testing.assert_allclose((steps**2).sum(axis=(0, 1)), expected, rtol=0.6)
    # In a run the head sinks by up to `drift`, and sways by 0.3 of it to both sides.
    drift = Restlessness(drift=2, tremor=0, jumps=0, jump=0)
    found = np.array([realignment(drift, 61, each) * arcs for each in several])
    first, last = found[:, :1], found[:, -1:]
    np.testing.assert_allclose((last - first).std(axis=0), [[2 / np.sqrt(3)] * 6], rtol=0.25)
    # A sway a sin(2 pi (t + b)) differs from its beginning by a^2 in the mean square.
    sway = found - first - np.linspace(0, 1, 61)[:, None] * (last - first)
    np.testing.assert_allclose(np.sqrt((sway**2).mean()), 0.3 * 2 / np.sqrt(3), rtol=0.15)
