"""Mean framewise displacement of participants, against numpy on the volumes themselves."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import correlations, read_tsv


def add(outputs, rng, label, displacement, **options):
    """A run whose sidecar tells the mean of the volumes that have a displacement."""
    known = displacement[~np.isnan(displacement)]
    facts = {
        "MeanFramewiseDisplacement": float(known.mean()) if known.size else None,
        "VolumesWithFramewiseDisplacement": known.size,
        "NumberOfVolumes": len(displacement),
        "NumberOfVolumesKept": min(options.pop("kept", 10), len(displacement)),
    }
    outputs.add(label, correlations(rng, 5), **facts, **options)


def displacement(rng, n_volumes):
    return np.append(np.nan, rng.gamma(2, 0.1, n_volumes - 1))


def mean_fd(outputs, strategy="simple"):
    people = outputs.result("participants", strategy=strategy).set_index("participant_id")
    return people["mean_fd"].to_dict()


def test_it_is_over_all_volumes_of_all_runs_excluded_ones_too_for_every_strategy(outputs, rng):
    runs = [displacement(rng, n) for n in (200, 80, 33)]
    for run, values in enumerate(runs, start=1):
        source = f"task-rest_run-{run}"
        gone = {"Excluded": "too short", "DegreesOfFreedom": 0} if run == 2 else {}
        add(outputs, rng, "01", values, source=source, kept=30, **gone)
    # Another strategy keeps other volumes and other runs.
    add(outputs, rng, "01", runs[0], source="task-rest_run-1", strategy="36P", kept=200)
    add(outputs, rng, "01", displacement(rng, 50), source="task-nback", strategy="36P")
    assert run_group(outputs.root, GroupOptions()) == []
    expected = np.nanmean(np.concatenate(runs))
    assert mean_fd(outputs)["sub-01"] == pytest.approx(expected, rel=1e-9)
    assert mean_fd(outputs, "36P")["sub-01"] == pytest.approx(expected, rel=1e-9)


def test_echoes_of_a_run_and_runs_concatenated_do_not_count_again(outputs, rng):
    first, second = displacement(rng, 100), displacement(rng, 60)
    for echo in (1, 2, 3):
        add(outputs, rng, "01", first, source=f"task-rest_run-1_echo-{echo}")
    add(outputs, rng, "01", second, source="task-rest_run-2")
    add(outputs, rng, "01", displacement(rng, 9), source="task-rest", Concatenation="z")
    assert run_group(outputs.root, GroupOptions()) == []
    expected = np.nanmean(np.concatenate([first, second]))
    assert mean_fd(outputs)["sub-01"] == pytest.approx(expected, rel=1e-9)


def test_sessions_by_themselves_have_their_own_and_runs_not_selected_do_not_count(outputs, rng):
    of_session = {session: displacement(rng, 90) for session in "ab"}
    for session, values in of_session.items():
        add(outputs, rng, "01", values, source=f"ses-{session}_task-rest")
    assert run_group(outputs.root, GroupOptions(by_session=True)) == []
    for session, values in of_session.items():
        (path,) = (outputs.root / "group").glob(f"ses-{session}_*_participants.tsv")
        assert read_tsv(path)["mean_fd"][0] == pytest.approx(np.nanmean(values), rel=1e-9)
    assert run_group(outputs.root, GroupOptions(select=(("ses", ("b",)),))) == []
    assert mean_fd(outputs)["sub-01"] == pytest.approx(np.nanmean(of_session["b"]), rel=1e-9)


def test_tasks_together_have_the_mean_of_all(outputs, rng):
    of_task = {"rest": displacement(rng, 200), "nback": displacement(rng, 70)}
    for task, values in of_task.items():
        add(outputs, rng, "01", values, source=f"task-{task}")
    assert run_group(outputs.root, GroupOptions(within="task")) == []
    (path,) = (outputs.root / "group").glob("space-*_participants.tsv")
    expected = np.nanmean(np.concatenate([*of_task.values()]))
    assert read_tsv(path)["mean_fd"][0] == pytest.approx(expected, rel=1e-9)


def test_it_is_not_known_when_that_of_a_run_is_not(outputs, rng):
    add(outputs, rng, "01", displacement(rng, 90), source="task-rest_run-1")
    add(outputs, rng, "01", np.full(90, np.nan), source="task-rest_run-2")
    # One strategy needs no table of confounds; what another knows of the run is about it too.
    add(outputs, rng, "02", np.full(90, np.nan), strategy="none")
    values = displacement(rng, 90)
    add(outputs, rng, "02", values)
    assert run_group(outputs.root, GroupOptions()) == []
    assert np.isnan(mean_fd(outputs)["sub-01"])
    assert mean_fd(outputs, "none")["sub-02"] == pytest.approx(np.nanmean(values), rel=1e-9)
