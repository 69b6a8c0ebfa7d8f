"""Responses to events, against nilearn's design matrix and responses of known shapes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.strategy import HRF_MODELS, Strategy, Task
from bids_spheres.confounds.strategy_file import strategy_from_json, strategy_to_json
from bids_spheres.confounds.task import RunEvents, read_events, task_regressors
from bids_spheres.errors import DataError

EVENTS = pd.DataFrame(
    {
        "onset": [-10.0, 0.0, 7.3, 20.01, 33.3, 33.3, 61.7, 95.0, 118.9],
        "duration": [4.0, 0.0, 2.5, 10.0, 1.0, 1.0, 0.0, 3.0, 20.0],
        "trial_type": ["go", "go", "stop", "go", "stop", "stop", "a b", "stop", "a b"],
    }
)


def events_file(folder, table, name="sub-01_task-x_events.tsv"):
    path = folder / name
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


def by_nilearn(table, times, hrf_model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of odd events, which are meant here
        return make_first_level_design_matrix(
            times, table, hrf_model=hrf_model, drift_model=None, **options
        ).drop(columns="constant")


def same(ours, theirs):
    assert sorted(ours) == sorted(f"task.{name}" for name in theirs.columns)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[f"task.{name}"], values, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("t_r", [0.72, 1.5, 2.0])  # 32 s are 1066.67 samples of 1.5 s / 50
@pytest.mark.parametrize("start", [0.0, 0.36, 1.237])
@pytest.mark.parametrize("hrf", HRF_MODELS)
def test_haemodynamic_responses_are_nilearns(tmp_path, hrf, start, t_r):
    events = read_events(events_file(tmp_path, EVENTS), start)
    n_volumes = round(124 / t_r)
    ours = task_regressors(events, Task("hrf", hrf), t_r, n_volumes)
    same(ours, by_nilearn(EVENTS, start + t_r * np.arange(n_volumes), hrf))


@pytest.mark.parametrize("hrf", ["glover", "spm + derivative"])
def test_an_event_after_the_run_plays_no_part(tmp_path, hrf):
    """As in nilearn, whose last sample it then begins and ends at."""
    table = EVENTS.assign(onset=[*EVENTS["onset"][:-2], 119.0, 300.0])
    events = read_events(events_file(tmp_path, table), 0.5)
    ours = task_regressors(events, Task("hrf", hrf), 2.0, 60)
    same(ours, by_nilearn(table, 0.5 + 2.0 * np.arange(60), hrf))


def test_of_a_block_that_began_long_before_the_run_the_rest_counts(tmp_path):
    block = pd.DataFrame({"onset": [-30.0], "duration": [36.0], "trial_type": ["go"]})
    over = pd.DataFrame({"onset": [-60.0], "duration": [20.0], "trial_type": ["go"]})
    ours = task_regressors(read_events(events_file(tmp_path, block), 0.0), Task("hrf"), 2.0, 60)
    same(ours, by_nilearn(block, 2.0 * np.arange(60), "glover"))
    assert ours["task.go"][0] == pytest.approx(1, abs=0.01)  # the whole response
    gone = task_regressors(read_events(events_file(tmp_path, over), 0.0), Task("hrf"), 2.0, 60)
    np.testing.assert_array_equal(gone["task.go"], 0)


def test_an_event_24_s_before_the_first_volume_counts_and_one_before_it_does_not(tmp_path):
    table = pd.DataFrame({"onset": [-24.0, 3.0], "duration": [0.0, 1.0], "trial_type": ["a", "b"]})
    ours = task_regressors(read_events(events_file(tmp_path, table), 0.0), Task("hrf"), 2.0, 60)
    same(ours, by_nilearn(table, 2.0 * np.arange(60), "glover"))
    assert ours["task.a"][0] != 0
    table.loc[0, "onset"] = -24.01
    ours = task_regressors(read_events(events_file(tmp_path, table), 0.0), Task("hrf"), 2.0, 60)
    np.testing.assert_array_equal(ours["task.a"], 0)


# 16.8 / 2.4 is a little more than 7 in double precision, and so is 12.96 / 0.72 than 18.
WINDOWS = [(2.0, 18.0, 9), (2.5, 6.0, 3), (0.72, 0.5, 1), (2.4, 16.8, 7), (0.72, 12.96, 18)]


@pytest.mark.parametrize(("t_r", "window", "n"), WINDOWS)
@pytest.mark.parametrize("start", [0.0, 0.9])
def test_finite_impulse_responses_are_nilearns(tmp_path, start, t_r, window, n):
    events = read_events(events_file(tmp_path, EVENTS), start)
    n_volumes = round(124 / t_r)
    ours = task_regressors(events, Task("fir", window=window), t_r, n_volumes)
    times = start + t_r * np.arange(n_volumes)
    same(ours, by_nilearn(EVENTS, times, "fir", fir_delays=list(range(n))))


def test_modulation_and_events_of_one_kind(tmp_path):
    table = EVENTS.drop(columns="trial_type").assign(modulation=np.linspace(0.5, 2, len(EVENTS)))
    events = read_events(events_file(tmp_path, table), 0.5)
    ours = task_regressors(events, Task("hrf"), 2.0, 60)
    theirs = by_nilearn(table.assign(trial_type="event"), 0.5 + 2.0 * np.arange(60), "glover")
    same(ours, theirs)


def test_responses_are_columns_of_the_design_beside_others(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"csf": rng.standard_normal(60)})
    events = read_events(events_file(tmp_path, EVENTS), 0.0)
    strategy = Strategy("a", "", ("csf",), task=Task("hrf", "spm + derivative"))
    design = make_design(table, strategy, Path("x.tsv"), 60, t_r=2.0, events=events)
    assert design.columns == (
        *("csf", "task.a b", "task.a b_derivative", "task.go", "task.go_derivative"),
        *("task.stop", "task.stop_derivative"),
    )
    assert design.rank(detrend=True) == 7 + 2
    with pytest.raises(DataError, match="needs the events and the repetition time"):
        make_design(table, strategy, Path("x.tsv"), 60)
    noted = events._replace(notes=("One event was left out.",))
    design = make_design(table, strategy, Path("x.tsv"), 60, t_r=2.0, events=noted)
    assert design.notes == noted.notes
    own = pd.DataFrame({"task.stop": np.arange(60.0)})
    both = Strategy("a", "", ("task.stop",), task=Task("hrf"))
    with pytest.raises(DataError, match=r"x\.tsv: column task\.stop occurs twice"):
        make_design(table, both, Path("x.tsv"), 60, extra=[own], t_r=2.0, events=events)


def test_a_finite_impulse_response_removes_responses_of_any_shape():
    """Cole et al. 2019: two regions that share nothing but the task are unrelated afterwards."""
    rng = np.random.default_rng(3)
    n_volumes, t_r = 600, 2.0
    onsets = np.sort(rng.choice(np.arange(5, 560), 60, replace=False)) * t_r
    impulses = np.zeros(n_volumes)
    impulses[np.round(onsets / t_r).astype(int)] = 1
    shapes = rng.standard_normal((2, 7))  # 14 s, nothing like a haemodynamic response
    evoked = np.column_stack([np.convolve(impulses, shape)[:n_volumes] for shape in shapes])
    rest = rng.standard_normal((n_volumes, 2))
    events = RunEvents({"x": _events(onsets)}, 0.0)
    left = {}
    for name, task in {"fir": Task("fir", window=16.0), "hrf": Task("hrf")}.items():
        columns = task_regressors(events, task, t_r, n_volumes)
        basis = np.column_stack([np.ones(n_volumes), *columns.values()])
        series = 3 * evoked + rest
        left[name] = series - basis @ np.linalg.lstsq(basis, series, rcond=None)[0]
        truth = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
        if name == "fir":
            np.testing.assert_allclose(left[name], truth, atol=1e-8)
    assert np.abs(left["hrf"] - truth).max() > 1


def _events(onsets):
    from bids_spheres.confounds.task import Events  # noqa: PLC0415

    return Events(onsets, np.zeros(len(onsets)), np.ones(len(onsets)))


def test_events_without_a_type_are_left_out_with_a_note(tmp_path):
    table = EVENTS.assign(trial_type=[None, *EVENTS["trial_type"][1:]])
    events = read_events(events_file(tmp_path, table), 0.0)
    assert events.notes == ("1 event of sub-01_task-x_events.tsv without trial_type left out.",)
    assert len(events.conditions["go"].onsets) == 2


def test_words_for_nothing_are_conditions_and_only_missing_values_are_left_out(tmp_path):
    kinds = ["null", "None", "n/a", "NULL", "NaN", "null", "<NA>", "", "NA"]
    table = EVENTS.assign(onset=np.arange(9.0), trial_type=kinds)
    events = read_events(events_file(tmp_path, table), 0.0)
    onsets = [(kind, own.onsets.tolist()) for kind, own in events.conditions.items()]
    assert onsets == [("<NA>", [6]), ("NULL", [3]), ("None", [1]), ("null", [0, 5])]
    assert events.notes == ("4 events of sub-01_task-x_events.tsv without trial_type left out.",)


@pytest.mark.parametrize("kinds", [["1", "02", "1"], ["1", "n/a", "1"], ["TRUE", "FALSE", "TRUE"]])
def test_types_stay_as_they_are_written_where_they_look_like_numbers(tmp_path, kinds):
    lines = [f"{onset}\t1\t{kind}\n" for onset, kind in enumerate(kinds)]
    path = tmp_path / "events.tsv"
    path.write_text("".join(["onset\tduration\ttrial_type \n", *lines]))
    conditions = read_events(path, 0.0).conditions
    assert list(conditions) == sorted({*kinds} - {"n/a"})
    assert conditions[kinds[0]].onsets.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="onset"), "has no column onset"),
        (lambda t: t.drop(columns="duration"), "has no column duration"),
        (lambda t: t.assign(duration=np.nan), r"the duration of event 1 \(go\) is n/a"),
        (lambda t: t.assign(onset=[*t["onset"][:-1], np.inf]), r"the onset of event 9 \(a b\)"),
        (lambda t: t.assign(onset="now"), "'now' in column onset, row 1, is not a number"),
        (lambda t: t.assign(duration=-1.0), "negative duration"),
        (lambda t: t.assign(duration=[*t["duration"][:-1], -0.5]), "negative duration"),
        (lambda t: t.iloc[:0], "has no events"),
    ],
)
def test_tables_that_are_no_events_are_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_events(events_file(tmp_path, change(EVENTS)), 0.0)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"model": "boxcar"},
        {"model": "hrf", "hrf": "glover+derivative"},
        {"model": "hrf", "window": 18},
        {"model": "fir", "hrf": "spm"},
        {"model": "fir", "window": 0},
        {"model": "fir", "window": 500},
        "hrf",
    ],
)
def test_rules_that_make_no_sense_are_refused(rules):
    with pytest.raises(DataError, match=r"mine.json: task.* must be"):
        strategy_from_json({"name": "a", "task": rules}, "mine.json")


@pytest.mark.parametrize("task", [Task("fir", window=20.0), Task("hrf", "spm"), Task("hrf")])
def test_rules_survive_a_file(task):
    strategy = Strategy("a", "", task=task)
    assert strategy_from_json(strategy_to_json(strategy), "") == strategy


def test_what_is_read_of_events(tmp_path):
    table = EVENTS.iloc[:4].assign(
        trial_type=["b", None, " a ", "b"], modulation=[1.0, 2, 3, 4], onset=[3.0, 1, 2, 0]
    )
    events = read_events(events_file(tmp_path, table), 1.5)
    assert (events.start_time, list(events.conditions)) == (1.5, ["a", "b"])
    own = events.conditions["b"]
    assert [column.tolist() for column in own] == [[3, 0], [4, 10], [1, 4]]
    plain = read_events(events_file(tmp_path, EVENTS.drop(columns="trial_type")), 0.0)
    assert list(plain.conditions) == ["event"]
    assert plain.conditions["event"].values.tolist() == [1] * 9
    assert plain.notes == ()
    gone = table.assign(trial_type=None)
    with pytest.raises(DataError, match="has no events"):
        read_events(events_file(tmp_path, gone), 0.0)
    # Events are counted among those that have a type.
    odd = table.assign(modulation=[1, np.nan, 2, np.nan])
    with pytest.raises(DataError, match=r"the modulation of event 3 \(b\) is n/a"):
        read_events(events_file(tmp_path, odd), 0.0)
    zero = EVENTS.assign(duration=0.0)
    assert read_events(events_file(tmp_path, zero), 0.0).conditions["go"].durations.tolist() == (
        [0.0] * 3
    )
