"""What is asked of Slurm and of Dask's clusters, with stand-ins for both."""

from __future__ import annotations

import logging
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bids_spheres.errors import TemporaryError, UsageError
from bids_spheres.execute import clusters

MIB = 2**20


class Config(dict):
    """Dask's configuration."""

    defaults = None

    def update_defaults(self, new):
        self.defaults = new["jobqueue"]["slurm"]


@pytest.fixture
def fake(monkeypatch):
    """Libraries that note what they are asked, and how Slurm answers."""
    seen = SimpleNamespace(adapted={}, given={}, local={}, closed=0, memory=None, answers={})
    config = Config()

    class Cluster:
        @staticmethod
        def job_cls(address, name, **given):
            assert address.startswith("tcp://")
            seen.job = given
            memory = seen.memory or float("inf")
            return SimpleNamespace(worker_memory=memory, job_script=lambda: f"script of {name}")

        def __init__(self, **given):
            (seen.local if "n_workers" in given else seen.given).update(given)
            self.workers = seen.workers = {}

        def adapt(self, **given):
            seen.adapted = given

        def close(self):
            seen.closed += 1

    def client(_, timeout, set_as_default):
        assert timeout
        assert not set_as_default
        return SimpleNamespace(close=lambda **_: None)

    def command(words, input, timeout, **_):  # noqa: A002 - as of subprocess
        assert timeout
        seen.asked = words, input
        status, out, err = seen.answers.get(words[0], (0, "", ""))
        return subprocess.CompletedProcess(words, status, out, err)

    libraries = {
        "dask": SimpleNamespace(config=config),
        "dask_jobqueue": SimpleNamespace(SLURMCluster=Cluster),
        "distributed": SimpleNamespace(Client=client, LocalCluster=Cluster),
    }
    monkeypatch.setattr(clusters, "library", libraries.__getitem__)
    monkeypatch.setattr(clusters.subprocess, "run", command)
    seen.config = config
    return seen


@contextmanager
def slurm(tmp_path, settings=None, **changes):
    numbers = {"items": 10, "workers": 4, "cores": 3, "memory": 2000 * MIB} | changes
    with clusters.slurm_cluster(settings or {}, logs=tmp_path / "logs", **numbers) as (_, source):
        yield source


@pytest.mark.parametrize(
    ("settings", "changes", "jobs"),
    [
        ({}, {}, 4),
        ({}, {"items": 3}, 3),
        ({"processes": 2}, {}, 2),
        ({"processes": 3}, {}, 2),  # four workers are a job and a third
        ({"processes": 2}, {"items": 3, "workers": 9}, 2),
        ({"jobs": 7}, {}, 7),
        ({"jobs": 7, "processes": 2}, {}, 5),  # ten items are for five jobs
        ({"jobs": 1}, {}, 1),
    ],
)
def test_as_many_jobs_as_there_is_work_for(fake, tmp_path, settings, changes, jobs):
    with slurm(tmp_path, settings, **changes):
        assert fake.adapted == {"minimum_jobs": jobs, "maximum_jobs": jobs}
        assert fake.closed == 0
    assert fake.closed == 1
    assert "jobs" not in fake.given
    assert fake.given["processes"] == settings.get("processes", 1)


@pytest.mark.parametrize(
    ("memory", "processes", "mebibytes"),
    [
        (2000 * MIB, 1, 3000),
        (2000 * MIB, 4, 12000),
        (100 * MIB, 1, 1024),
        (683 * MIB, 2, 2050),  # 1024.5 is rounded up
        (682 * MIB, 1, 1024),
    ],
)
def test_room_for_what_dask_itself_takes(fake, tmp_path, memory, processes, mebibytes):
    with slurm(tmp_path, {"processes": processes}, memory=memory):
        defaults = fake.config.defaults
    assert (defaults["memory"], defaults["cores"]) == (f"{mebibytes}MiB", 3 * processes)
    assert defaults["scheduler-options"]["allowed_failures"] == 0


def test_processes_and_logs_of_a_site_are_taken_unless_the_user_names_others(fake, tmp_path):
    fake.config.update(
        {"jobqueue.slurm.processes": 5, "jobqueue.slurm.log-directory": "/site/logs"}
    )
    with slurm(tmp_path, {"queue": "short"}) as source:
        assert fake.given["processes"] == 5
        assert fake.given["log_directory"] == "/site/logs"
        assert fake.given["queue"] == "short"
        assert "/site/logs" in source.name
    with slurm(tmp_path, {"processes": 2, "log_directory": "mine"}):
        assert (fake.given["processes"], fake.given["log_directory"]) == (2, "mine")
    fake.config.clear()
    with slurm(tmp_path):
        assert fake.given["log_directory"] == str(tmp_path / "logs")
    assert "log_directory" not in fake.job  # no folder before Slurm has agreed


@pytest.mark.parametrize(("each", "told"), [(2000, False), (1999, True)])
def test_workers_with_less_memory_than_a_run_needs(fake, tmp_path, caplog, each, told):
    fake.memory = 2 * each * MIB  # of a job
    with slurm(tmp_path, {"processes": 2}):
        assert ("and the largest run may need 2.1 GB" in caplog.text) is told


@pytest.mark.parametrize(
    ("err", "kind"),
    [
        ("sbatch: error: invalid partition", UsageError),
        ("sbatch: error: Unable to contact slurm controller", TemporaryError),
        ("sbatch: error: Batch job submission failed: Connection refused", TemporaryError),
        ("Socket timed out on send/recv operation", TemporaryError),
        ("sbatch: error: Communication connection failure", TemporaryError),
    ],
)
def test_what_slurm_says_to_a_script(fake, tmp_path, err, kind):
    fake.answers["sbatch"] = 1, "out", f"{err}\n"
    with pytest.raises(kind, match="Slurm refuses these jobs") as told, slurm(tmp_path):
        pass
    assert type(told.value) is kind
    assert told.value.message.endswith(f": {err.removeprefix('sbatch: error: ')}.")
    assert fake.asked == (("sbatch", "--test-only"), "script of test")
    assert fake.given == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, "12 short R\n", ""), True),
        ((0, "\n", ""), False),
        ((1, "", "down"), True),
        ((1, "", ""), True),
    ],
)
def test_more_workers_are_expected_while_jobs_are_in_the_queue(fake, tmp_path, answer, expected):
    fake.answers["squeue"] = answer
    with slurm(tmp_path) as source:
        assert source.more_expected() is False
        assert fake.asked[0][0] == "sbatch"  # without a job there is nothing to ask
        fake.workers |= {i: SimpleNamespace(job_id=job) for i, job in enumerate(("7", None, "9"))}
        assert source.more_expected() is expected
        assert fake.asked[0] == ("squeue", "--noheader", "--jobs", "7,9")


@pytest.mark.parametrize(("memory", "each"), [(8000, 2000), (8003, 2000), (None, 0)])
def test_workers_of_this_machine_share_its_memory(fake, memory, each):
    with clusters.local_cluster(4, memory) as (_, source):
        assert (fake.local["n_workers"], fake.local["threads_per_worker"]) == (4, 1)
        assert fake.local["memory_limit"] == each
        assert fake.local["scheduler_kwargs"] == {"allowed_failures": 0}
        assert source.more_expected() is False
    assert fake.closed == 1


def test_numbers_of_logs_pages_and_folders_of_workers(fake, tmp_path):
    with slurm(tmp_path) as source:
        assert fake.given["silence_logs"] == logging.CRITICAL
        assert source.name == f"Slurm (logs in {tmp_path / 'logs'})"
    defaults = fake.config.defaults
    assert defaults["local-directory"] == "${SLURM_TMPDIR:-/tmp}"
    assert defaults["scheduler-options"] == {"dashboard_address": ":0", "allowed_failures": 0}
    with clusters.local_cluster(3, None):
        assert fake.local["dashboard_address"] == ":0"
        assert fake.local["silence_logs"] == logging.CRITICAL


def test_settings_that_the_library_refuses(fake, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no interface x")

    monkeypatch.setattr(clusters.library("dask_jobqueue").SLURMCluster, "job_cls", refuse)
    expected = "--dask-slurm, as dask-jobqueue's SLURMCluster: no interface x."
    with pytest.raises(UsageError) as told, slurm(tmp_path):
        pass
    assert told.value.message == expected
    assert fake.given == {}


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (FileNotFoundError(), UsageError, "there is no command sbatch here"),
        (subprocess.TimeoutExpired("sbatch", 60), TemporaryError, "timed out"),
    ],
)
def test_slurm_that_is_not_there_or_does_not_answer(fake, tmp_path, monkeypatch, error, kind, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(clusters.subprocess, "run", fail)
    with pytest.raises(kind) as told, slurm(tmp_path):
        pass
    assert type(told.value) is kind
    assert told.value.message == f"--dask-slurm: Slurm refuses these jobs: {said}."
    assert fake.given == {}


def test_memory_of_workers_is_told_in_gigabytes(fake, tmp_path, caplog):
    fake.memory = 3 * 10**9
    with slurm(tmp_path, {"processes": 2}, memory=1_900_000_000):
        pass
    expected = "--dask-slurm: a worker has 1.5 GB, and the largest run may need 1.9 GB."
    assert caplog.messages == [expected]


def test_several_jobs_are_counted(fake, tmp_path, caplog):
    with caplog.at_level("INFO", "bids_spheres"), slurm(tmp_path, {"log_directory": "x"}):
        assert fake.adapted["maximum_jobs"] == 4
    assert caplog.messages == ["4 jobs for Slurm; logs are in x"]
