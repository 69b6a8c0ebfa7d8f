"""The executor that settings ask for, however they were made."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from bids_spheres.app import participant_level
from bids_spheres.app.opening import open_executor, slurm_settings
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.settings.table import Execution, Settings


@pytest.mark.parametrize("executor", [None, "local"])
def test_runs_are_done_on_this_machine_unless_dask_is_asked_for(tmp_path, executor):
    settings = Settings(tmp_path, tmp_path / "out", execution=Execution(executor=executor))
    with open_executor(settings, ["a task"]) as opened:
        assert isinstance(opened, LocalExecutor)


def test_a_missing_file_of_a_scheduler_has_a_hint(tmp_path, monkeypatch):
    clusters = pytest.importorskip("bids_spheres.execute.clusters")
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "_CONNECT", 0)
    place = tmp_path / "scheduler.json"
    execution = Execution(executor="dask", dask_scheduler_file=place)
    settings = Settings(tmp_path, tmp_path / "out", execution=execution)
    with pytest.raises(MissingInputError) as caught, open_executor(settings, ["a task"]):
        pass
    assert caught.value.message == f"--dask-scheduler-file: {place} is missing."
    assert "dask scheduler --scheduler-file PATH writes it" in str(caught.value.hint)


def test_slurm_settings():
    words = ["queue=short", "time=04:00:00", "mem=4GB", "cores=2", "jobs=10", "job-name=x=y"]
    assert slurm_settings(words) == {
        "queue": "short",
        "walltime": "04:00:00",
        "memory": "4GB",
        "cores": 2,
        "jobs": 10,
        "job_name": "x=y",
    }


def test_lists_of_slurm_grow_word_by_word():
    words = ["job_extra_directives=--qos=low", "job_extra_directives=--gres=tmp:1"]
    assert slurm_settings(words) == {"job_extra_directives": ["--qos=low", "--gres=tmp:1"]}


@pytest.mark.parametrize("word", ["cores=0", "jobs=many", "processes=-1", "cores="])
def test_numbers_of_slurm_that_make_no_sense(word):
    with pytest.raises(UsageError, match="must be a number from 1"):
        slurm_settings([word])


def test_pages_are_written_again_by_absolute_paths_for_workers(tmp_path, monkeypatch):
    """Workers of Dask may have another working directory."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    folders = []

    def write_reports(_executor, output_dir, *_, **__):
        folders.append(output_dir)
        return []

    pages = participant_level.write_pages
    monkeypatch.setattr(pages, "participants_to_report", lambda *_: ["01"])
    monkeypatch.setattr(pages, "write_reports", write_reports)
    monkeypatch.setattr(participant_level, "open_executor", lambda *_: nullcontext())
    execution = Execution(executor="dask")
    settings = Settings(bids_dir=Path("in"), output_dir=Path("out"), execution=execution)
    assert participant_level.rewrite_reports(settings) == []
    assert folders == [tmp_path / "out"]
