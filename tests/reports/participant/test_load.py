"""What is read of a participant, and in which order it is shown."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from bids_spheres.reports.participant import load
from bids_spheres.reports.participant.load import load_participant


def seed_set(series, strategies):
    """Results of a seed set: `series` are strategies with series, the others have matrices."""
    return SimpleNamespace(
        strategies=strategies,
        series_paths=dict.fromkeys(series, ""),
        series=lambda strategy: SimpleNamespace(sidecar={"series": strategy}),
        sidecar=lambda strategy: {"matrix": strategy},
        spheres=None,
        uncleaned=None,
        label="Mine",
        space="MNI",
    )


@pytest.fixture
def found(monkeypatch):
    """Two runs, of which the second has a strategy more; what was asked for."""
    asked = []
    first = SimpleNamespace(
        strategies=("24P", "mine", "simple"),
        seed_sets=[seed_set(["simple"], ("simple", "24P")), seed_set([], ("mine",))],
        title="run-1",
        together=False,
    )
    second = SimpleNamespace(strategies=("36P", "24P"), seed_sets=[], title="both", together=True)

    def runs(*about):
        asked.append(about)
        return [first, second]

    monkeypatch.setattr(load, "find_runs", runs)
    return asked


def record(root, time, **settings):
    (root / "logs").mkdir(exist_ok=True)
    content = {"analysis_level": "participant", **settings}
    (root / "logs" / f"2026010{time}_settings.json").write_text(json.dumps(content))


def test_strategies_come_in_the_order_of_the_call(found, tmp_path):
    record(tmp_path, 1, strategy=["simple", "24P"])
    participant = load_participant(tmp_path, "01", "a")
    first, second = participant.runs
    assert first.strategies == ("simple", "24P", "mine")
    assert second.strategies == ("24P", "36P")
    # A strategy looks the same in all runs.
    assert first.styles["24P"] == second.styles["24P"]
    assert len({*first.styles.values(), *second.styles.values()}) == 4
    assert (participant.title, first.title, second.title) == (
        *("sub-01 ses-a", "run-1", "both, runs together"),
    )
    assert found == [(tmp_path, "01", "a")]
    assert load_participant(tmp_path / "none", "01").runs[0].strategies == ("24P", "mine", "simple")


@pytest.mark.usefixtures("found")
def test_facts_are_those_of_series_and_else_of_matrices(tmp_path):
    one, other = load_participant(tmp_path, "01").runs[0].sets
    assert one.facts == {"simple": {"series": "simple"}, "24P": {"matrix": "24P"}}
    assert (one.anchor, other.anchor) == ("run-1-set-1", "run-1-set-2")
    assert other.facts == {"mine": {"matrix": "mine"}}
    assert (one.title, one.noun, one.order.indices.tolist()) == ("Mine in MNI", "sphere", [])


@pytest.mark.usefixtures("found")
def test_settings_are_those_of_the_last_call_about_the_participant(tmp_path):
    record(tmp_path, 1, participant_label=["02"], min_dof=1)
    record(tmp_path, 2, participant_label=[], min_dof=2)
    record(tmp_path, 3, participant_label=["01", "02"], min_dof=3)
    record(tmp_path, 4, participant_label=["02"], min_dof=4)
    record(tmp_path, 5, analysis_level="group", min_dof=5)
    of = {
        label: load_participant(tmp_path, label).settings["min_dof"] for label in ("01", "02", "03")
    }
    assert of == {"01": 3, "02": 4, "03": 2}


@pytest.mark.usefixtures("found")
def test_failures_are_those_of_the_participant_and_session(tmp_path):
    (tmp_path / "logs").mkdir()
    for name in ("sub-01_ses-a", "sub-01_ses-b", "sub-02_ses-a"):
        text = f"{name}, of x\n\nthe image is broken\n\ntrace"
        (tmp_path / "logs" / f"crash-{name}.txt").write_text(text)
    assert load_participant(tmp_path, "01", "b").failures == (
        "sub-01_ses-b has failed: the image is broken",
    )
    assert len(load_participant(tmp_path, "01").failures) == 2
