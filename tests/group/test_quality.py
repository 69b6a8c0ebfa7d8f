"""Tables of runs and of strategies, every cell by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.options import GroupOptions
from bids_spheres.group.quality import RUN_COLUMNS, RUN_ENTITIES, STRATEGY_COLUMNS
from bids_spheres.group.results import PARTICIPANT_COLUMNS
from bids_spheres.group.workflow import run_group
from tests.group.conftest import SPACE, correlations, read_tsv


@pytest.fixture
def three(outputs, rng):
    """A run of which five volumes in ten are lost, a whole one, and one that is excluded."""
    common = {"NumberOfVolumes": 100, "SmoothingFWHM": 6.5}
    outputs.add(
        "01",
        correlations(rng, 5),
        source="ses-x_task-rest_acq-fast_run-2",
        coverage=[1, 0.9, 0.5, 0.5, 0.1],
        tsnr=np.array([10.0, 20, 30, 40, 90]),
        **common,
        NumberOfVolumesKept=80,
        DegreesOfFreedom=60.5,
        RankRemoved=12,
        DimensionsLostToFilter=5.25,
        DimensionsLostToCensoring=2.25,
        MeanFramewiseDisplacement=0.2,
        MeanFramewiseDisplacementRecomputed=0.15,
        VolumesWithFramewiseDisplacement=99,
    )
    acq = "task-rest_acq-fast"
    whole = {"NumberOfVolumesKept": 100, "DegreesOfFreedom": 90.0, "RankRemoved": 10}
    gone = {"NumberOfVolumesKept": 30, "DegreesOfFreedom": -3.0, "Excluded": "too short"}
    gone["NumberOfVolumes"] = 150
    motion = {"VolumesWithFramewiseDisplacement": 99}
    outputs.add("02", correlations(rng, 5), source=acq, **common, **whole, **motion)
    matrix = np.full((5, 5), np.nan)
    moved = {"MeanFramewiseDisplacement": 0.9, **motion}
    outputs.add("03", matrix, source=acq, **{**common, **gone, **moved})
    assert run_group(outputs.root, GroupOptions()) == []
    return outputs.root / "group"


@pytest.mark.parametrize("columns", [RUN_COLUMNS, STRATEGY_COLUMNS, PARTICIPANT_COLUMNS])
def test_every_table_says_which_displacement_its_mean_is(columns):
    about = columns["mean_fd"]
    assert about.startswith(
        "Mean framewise displacement in fMRIPrep's table: not filtered, at 50 mm"
    )


def test_every_cell_of_the_table_of_runs(three):
    first, second, third = read_tsv(three / "runs.tsv").to_dict("records")
    assert first | {"reason": ""} == {
        "participant_id": "sub-01",
        "session_id": "ses-x",
        "task": "rest",
        "run": 2,
        "source": "sub-01_ses-x_task-rest_acq-fast_run-2",
        "space": SPACE,
        "seeds": "Tiny",
        "scale": pytest.approx(np.nan, nan_ok=True),
        "strategy": "simple",
        "mean_fd": 0.2,
        "mean_fd_recomputed": 0.15,
        "n_volumes": 100,
        "n_kept": 80,
        "n_censored": 20,
        "rank": 12,
        "lost_to_filter": 5.25,
        "lost_to_censoring": 2.25,
        "degrees_of_freedom": 60.5,
        "coverage": pytest.approx(0.6),  # of all five spheres
        "spheres_missing": 1,
        "tsnr": 25,  # of the four with a series
        "excluded": 0,
        "reason": "",
    }
    assert np.isnan([second["session_id"], second["run"], second["mean_fd_recomputed"]]).all()
    assert (second["rank"], second["mean_fd"], second["n_censored"]) == (10, 0.1, 0)
    assert (third["excluded"], third["reason"], third["degrees_of_freedom"]) == (1, "too short", -3)


def test_every_cell_of_the_table_of_strategies(three):
    (first,) = read_tsv(three / "strategies.tsv").to_dict("records")
    expected = {
        "group": f"task-rest_acq-fast_space-{SPACE}_atlas-Tiny_stat-pearsoncorrelation_desc-simple",
        "task": "rest",
        "space": SPACE,
        "seeds": "Tiny",
        "measure": "pearsoncorrelation",
        "strategy": "simple",
        "smoothing_fwhm": 6.5,
        "participants": 2,
        "runs": 3,
        "runs_excluded": 1,
        "mean_fd": pytest.approx((0.2 + 0.1) / 2),  # of those with a result
        "censored": pytest.approx((0.2 + 0 + 0.8) / 3),  # of runs, long or short
        "degrees_of_freedom": pytest.approx((60.5 + 90 - 3) / 3),
        "degrees_of_freedom_lost": pytest.approx((39.5 + 10 + 153) / 3),
        "qc_fc_participants": 2,
        "qc_fc_degrees_of_freedom": 0,
        "qc_fc_edges": 0,
    }
    assert {name: first[name] for name in expected} == expected


def test_strategies_that_differ_in_smoothing_are_not_compared(rng, outputs, caplog):
    for label in ("01", "02"):
        for strategy, width in (("simple", 6), ("36P", 6), ("24P", 0)):
            outputs.add(label, correlations(rng, 5), strategy=strategy, SmoothingFWHM=width)
        outputs.add(label, correlations(rng, 5), source="task-nback", SmoothingFWHM=4)
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions()) == []
    (line,) = (line for line in caplog.messages if "smoothed differently" in line)
    assert line.startswith(f"task-rest_space-{SPACE}_atlas-Tiny_stat-pearsoncorrelation: images")
    assert "6 mm for 36P and simple" in line.replace("simple and 36P", "36P and simple")
    assert "0 mm for 24P" in line


def test_columns_that_say_which_run_a_row_is_about():
    assert (
        *("participant_id", "session_id", "task", "run", "source", "space", "seeds", "scale"),
        "strategy",
    ) == RUN_ENTITIES


def test_runs_are_sorted_as_people_count(rng, outputs):
    for label, source, strategy in (
        *(("10", "task-rest", name) for name in ("36P", "9P")),
        *(("2", f"task-rest_run-{run}", "9P") for run in (10, 9)),
    ):
        outputs.add(label, correlations(rng, 5), source=source, strategy=strategy)
    for strategy in ("9P", "36P"):
        of_other = {"strategy": strategy, "seeds": "atlas-B_scale-6mm"}
        outputs.add("2", correlations(rng, 5), source="task-rest_run-9", **of_other)
    assert run_group(outputs.root, GroupOptions()) == []
    table = read_tsv(outputs.root / "group" / "runs.tsv")
    order = [f"{row.source} {row.seeds} {row.strategy}" for row in table.itertuples()]
    assert order == [
        *("sub-2_task-rest_run-9 B 9P", "sub-2_task-rest_run-9 B 36P"),
        "sub-2_task-rest_run-9 Tiny 9P",
        *("sub-2_task-rest_run-10 Tiny 9P", "sub-10_task-rest Tiny 9P"),
        "sub-10_task-rest Tiny 36P",
    ]
    assert table["task"].tolist() == ["rest"] * 6
    assert table["scale"].fillna("").tolist() == ["6mm"] * 2 + [""] * 4
