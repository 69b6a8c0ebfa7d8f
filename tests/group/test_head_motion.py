"""Mean framewise displacement of participants, against numpy on the volumes themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_spheres.group.head_motion import benchmark, motion_design, qc_fc
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.stream import EdgeValues
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


def test_benchmarks_of_too_few_edges_or_equal_distances():
    r, p = np.array([0.1, -0.3, 0.2]), np.array([0.04, 0.05, 0.2])
    left = benchmark(r, p, np.array([10.0, 20, 40]))
    # 0.05 itself is not significant; ranks 2 1 3 beside 1 2 3.
    assert (left.edges, left.median, left.share) == (3, 0.2, pytest.approx(1 / 3))
    assert left.spearman == pytest.approx(0.5)
    assert np.isnan(benchmark(r, p, np.full(3, 10.0)).pearson)
    assert np.isnan(benchmark(np.full(3, 0.1), p, np.arange(3.0)).spearman)
    two = benchmark(r[:2], p[:2], np.array([10.0, 20]))
    assert (two.edges, two.share) == (2, 0.5)
    assert np.isnan([two.spearman, two.pearson]).all()


@pytest.mark.parametrize(("least", "known"), [(1, 5), (3, 5), (4, 4), (5, 3), (6, 2), (7, 0)])
def test_edges_of_as_many_participants_as_are_needed_go_with_motion(rng, least, known):
    labels = [f"sub-0{i}" for i in range(1, 7)]
    values = EdgeValues(5)
    rows = rng.standard_normal((6, 5))
    for edge, n in enumerate((6, 6, 5, 4, 3)):
        rows[n:, edge] = np.nan
    for label, row in zip(labels, rows, strict=True):
        values.add(label, row)
    fd = dict(zip(labels, rng.gamma(2, 0.1, 6), strict=True))
    for sign in (1, -1):
        found = qc_fc(values, motion_design(fd), least, sign)
        assert (found.participants, found.degrees_of_freedom) == (6, 4)
        # Three participants and two terms leave one degree of freedom.
        n_known = [6, 6, 5, 4, 3][:known]
        assert np.isfinite(found.r).tolist() == np.isfinite(found.p).tolist()
        assert np.isfinite(found.r).tolist() == [True] * len(n_known) + [False] * (5 - len(n_known))
        for edge, n in enumerate(n_known):
            expected = stats.pearsonr(list(fd.values())[:n], rows[:n, edge])
            assert found.r[edge] == pytest.approx(sign * expected.statistic)
            assert found.p[edge] == pytest.approx(expected.pvalue)


def test_motion_that_is_the_same_in_all_or_unknown_goes_with_nothing(rng):
    values, labels = EdgeValues(3), [f"sub-0{i}" for i in range(1, 6)]
    for label in labels:
        values.add(label, rng.standard_normal(3))
    found = qc_fc(values, motion_design(dict.fromkeys(labels, 0.2)), 3, 1)
    assert np.isnan([found.r, found.p]).all()
    assert (found.participants, found.degrees_of_freedom) == (5, 3)
    unknown = dict(zip(labels, [np.nan, 0.1, 0.2, np.nan, 0.4], strict=True))
    assert qc_fc(values, motion_design(unknown), 3, 1).participants == 3
    nobody = qc_fc(values, motion_design(dict.fromkeys(labels, np.nan)), 3, 1)
    assert (nobody.participants, nobody.degrees_of_freedom) == (0, 0)
