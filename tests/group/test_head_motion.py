"""Mean framewise displacement of participants, against numpy on the volumes themselves."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bids_spheres.group.files import all_matrices, group_of
from bids_spheres.group.head_motion import (
    Benchmark,
    HeadMotion,
    QcFc,
    benchmark,
    load_covariates,
    motion_design,
    permuted_qc_fc,
    qc_fc,
    reasons_against_zero,
)
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


def test_runs_that_another_strategy_alone_could_clean_count_when_it_is_not_selected(outputs, rng):
    runs = [displacement(rng, n) for n in (200, 80)]
    for run, values in enumerate(runs, start=1):
        add(outputs, rng, "01", values, source=f"task-rest_run-{run}", strategy="36P")
    add(outputs, rng, "01", runs[0], source="task-rest_run-1")
    assert run_group(outputs.root, GroupOptions(select=(("desc", ("simple",)),))) == []
    expected = np.nanmean(np.concatenate(runs))
    assert mean_fd(outputs)["sub-01"] == pytest.approx(expected, rel=1e-9)


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
    of_task["film"] = displacement(rng, 40)
    for task, values in of_task.items():
        add(outputs, rng, "01", values, source=f"task-{task}")
    for tasks in (tuple(of_task), ("rest", "film")):
        options = GroupOptions(within="task", select=(("task", tasks),))
        assert run_group(outputs.root, options) == []
        (path,) = (outputs.root / "group").glob("space-*_participants.tsv")
        expected = np.nanmean(np.concatenate([of_task[task] for task in tasks]))
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
    # Edges that too few have do not count, whatever their distance.
    holes = np.array([np.nan, 0.1, -0.3, np.nan, 0.2])
    of_known = benchmark(holes, np.insert(p, [0, 2], np.nan), np.array([90.0, 10, 20, 5, 40]))
    assert of_known == left
    ties, distances = np.array([0.1, 0.1, -0.3, 0.2, 0.2]), np.array([10.0, 20, 20, 5, 40])
    expected = stats.spearmanr(ties, distances).statistic
    assert benchmark(ties, np.ones(5), distances).spearman == pytest.approx(expected)
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
    still = motion_design(dict(zip(labels, [0.0, 0.1, 0.2, 0.0, 0.4], strict=True)))
    assert qc_fc(values, still, 3, 1).participants == 5
    nobody = qc_fc(values, motion_design(dict.fromkeys(labels, np.nan)), 3, 1)
    assert (nobody.participants, nobody.degrees_of_freedom) == (0, 0)


def test_a_run_counts_once_whatever_was_made_of_it(outputs, rng):
    first, second = displacement(rng, 100), displacement(rng, 40)
    for seeds in ("atlas-A", "seg-B", "atlas-A_scale-6mm", "atlas-A_scale-8mm"):
        add(outputs, rng, "01", first, source="task-rest_run-1", seeds=seeds)
    for part in ("mag", "phase"):
        add(outputs, rng, "01", first, source=f"task-rest_run-1_part-{part}", seeds="atlas-A")
    for stat in ("covariance", "fisherz"):
        add(outputs, rng, "01", first, source="task-rest_run-1", seeds="atlas-A", stat=stat)
    add(outputs, rng, "01", second, source="task-rest_run-2", seeds="atlas-A")
    add(outputs, rng, "01", displacement(rng, 70), source="task-rest_acq-b_run-2", seeds="atlas-A")
    files = all_matrices(outputs.root)
    name = group_of(files[0], by_session=False)
    runs = [file for file in files if file.name.get("acq") is None]
    expected = np.nanmean(np.concatenate([first, second]))
    assert HeadMotion(runs, GroupOptions()).of("sub-01", name) == pytest.approx(expected, rel=1e-9)
    # Another acquisition is another run.
    assert HeadMotion(files, GroupOptions()).of("sub-01", name) != pytest.approx(expected)
    assert np.isnan(HeadMotion(files, GroupOptions()).of("sub-02", name))


@pytest.mark.parametrize(
    ("share", "participants", "told"),
    [
        (0.1, 20, False),
        (0.105, 20, True),
        (0.4, 19, False),
        (0.4, None, False),
        (np.nan, 30, False),
    ],
)
@pytest.mark.parametrize("kinds", ['["global_signal_power2", "trans_x"]', '["my_global_signal"]'])
def test_why_tests_against_0_do_not_hold(share, participants, told, kinds):
    facts = SimpleNamespace(settings=(("Mask", '"run"'), ("NuisanceParameters", kinds)))
    group = SimpleNamespace(runs=[SimpleNamespace(facts=facts)])
    nothing = np.zeros(0)
    known = participants and QcFc(nothing, nothing, participants, participants - 2)
    reasons = [*reasons_against_zero(group, Benchmark(share=share), known)]
    assert any(reason.startswith("the global signal was") for reason in reasons) is (
        "power2" in kinds
    )
    of_motion = [reason for reason in reasons if "head motion" in reason]
    assert len(of_motion) == told
    assert all(
        reason.startswith("10.5\N{NO-BREAK SPACE}% of edges go with") for reason in of_motion
    )


@pytest.fixture
def moved(rng):
    """Edges of 25 participants, the first 60 of which follow motion closely, and motion."""
    values, motion = EdgeValues(90), rng.gamma(2, 0.1, 25)
    rows = rng.standard_normal((25, 90)) + 40 * motion[:, np.newaxis] * (np.arange(90) < 60)
    for i, row in enumerate(rows):
        values.add(f"sub-{i:02d}", row)
    return values, motion_design(dict(zip(values.participants, motion, strict=True)))


def test_no_permutation_of_a_thousand_reaches_what_follows_motion(moved):
    values, design = moved
    cells = permuted_qc_fc(values, design, np.ones(90, dtype=bool), 3)
    assert cells["qc_fc_p"] == 1 / 1001
    assert cells["qc_fc_excess"] > 4
    # Of edges without motion half of the permutations do.
    others = permuted_qc_fc(values, design, np.arange(90) >= 60, 3)
    assert others["qc_fc_p"] > 0.02
    assert others["qc_fc_excess"] < 3
    few = permuted_qc_fc(values, design.only(values.participants[:8]), np.arange(90) < 60, 3)
    assert few["qc_fc_null"] > 1.5 * cells["qc_fc_null"]


def test_of_many_edges_some_are_permuted_in_even_steps(moved, monkeypatch):
    values, design = moved
    third = permuted_qc_fc(values, design, np.arange(90) % 3 == 0, 3)
    monkeypatch.setattr("bids_spheres.group.head_motion._MOST_EDGES", 30)
    assert permuted_qc_fc(values, design, np.ones(90, dtype=bool), 3) == third
    monkeypatch.setattr("bids_spheres.group.head_motion._MOST_EDGES", 89)
    second = permuted_qc_fc(values, design, np.ones(90, dtype=bool), 3)
    monkeypatch.setattr("bids_spheres.group.head_motion._MOST_EDGES", 90)
    assert permuted_qc_fc(values, design, np.arange(90) % 2 == 0, 3) == second
    assert permuted_qc_fc(values, design, np.ones(90, dtype=bool), 3) != second


def test_edges_that_nobody_or_everybody_has_alike_are_not_permuted(moved):
    values, design = moved
    none = EdgeValues(3)
    for label in values.participants:
        none.add(label, np.array([np.nan, 0.5, np.nan if label == "sub-03" else 1.0]))
    assert permuted_qc_fc(none, design, np.ones(3, dtype=bool), 0) == {}
    assert (
        permuted_qc_fc(values, design.only(["sub-01", "sub-02"]), np.ones(90, dtype=bool), 0) == {}
    )
    assert permuted_qc_fc(values, design.only(["sub-01", "sub-02", "sub-05"]), np.ones(90, bool), 0)


def test_covariates_are_read_once_and_only_when_they_are_named(tmp_path):
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tsex\tmy site\n01\t30\tF\ta\n02\t40\tM\tb\n")
    assert load_covariates(GroupOptions(participants_table=table)) is None
    assert load_covariates(GroupOptions(qcfc_covariates=("age",))) is None
    names = ("my site", "age", "my site")
    model = load_covariates(GroupOptions(qcfc_covariates=names, participants_table=table))
    assert list(model.table.columns) == ["my site", "age"]
    assert model.formula.columns == {"my site", "age", "mean_fd"}
    assert model.source == table


def test_qc_fc_is_adjusted_by_all_columns_of_a_design(rng):
    values, fd, age = EdgeValues(2), rng.gamma(2, 0.1, 9), rng.standard_normal(9)
    rows = rng.standard_normal((9, 2)) + age[:, np.newaxis]
    for i, row in enumerate(rows):
        values.add(f"sub-{i}", row)
    plain = motion_design(dict(zip(values.participants, fd, strict=True)))
    columns = np.column_stack([fd, age, np.ones(9)])
    design = replace(plain, terms=("mean_fd", "age", "Intercept"), values=columns)
    found = qc_fc(values, design, 3, 1)
    assert (found.participants, found.degrees_of_freedom) == (9, 6)
    inverse = np.linalg.inv(np.corrcoef(np.column_stack([rows[:, 1], fd, age]).T))
    partial = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert found.r[1] == pytest.approx(partial)


def test_runs_of_a_session_by_itself_count_by_their_volumes(outputs, rng):
    lengths = {"ses-a_task-rest_dir-AP_run-1": 90, "ses-a_task-rest_dir-PA_run-2": 33}
    lengths["ses-b_task-rest_dir-AP_run-1"] = 50
    values = {source: displacement(rng, n) for source, n in lengths.items()}
    for source, own in values.items():
        add(outputs, rng, "01", own, source=source)
    assert run_group(outputs.root, GroupOptions(by_session=True)) == []
    for session, runs in (("a", 2), ("b", 1)):
        (path,) = (outputs.root / "group").glob(f"ses-{session}_task-rest_space-*_participants.tsv")
        (row,) = read_tsv(path).to_dict("records")
        own = [each for source, each in values.items() if source.startswith(f"ses-{session}")]
        assert row["mean_fd"] == pytest.approx(np.nanmean(np.concatenate(own)), rel=1e-9)
        assert row["runs"] == runs


@pytest.mark.parametrize(
    ("key", "label", "source"),
    [
        ("run", "2", "task-rest_run-2"),
        ("acq", "b", "task-rest_acq-b"),
        ("task", "film", "task-film"),
    ],
)
def test_of_runs_that_are_selected_those_of_every_strategy_count(outputs, rng, key, label, source):
    values = displacement(rng, 90)
    add(outputs, rng, "01", values, source=source, strategy="36P")
    add(outputs, rng, "01", np.full(90, np.nan), source=source)
    for other in ("task-rest_run-1", "task-rest_acq-a"):
        add(outputs, rng, "01", displacement(rng, 50), source=other)
    select = (("desc", ("simple",)), (key, (label,)))
    assert run_group(outputs.root, GroupOptions(select=select)) == []
    (path,) = (outputs.root / "group").glob("*_participants.tsv")
    assert read_tsv(path)["mean_fd"][0] == pytest.approx(np.nanmean(values), rel=1e-9)
