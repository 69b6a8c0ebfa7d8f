"""Simulated head motion against formulas written down again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

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
