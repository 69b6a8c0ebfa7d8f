"""Workers that Slurm starts: what is asked of it, and what becomes of its jobs."""

from __future__ import annotations

import importlib
import logging
import math
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import TemporaryError, UsageError
from bids_spheres.execute.clusters import client_of, library
from bids_spheres.execute.dask import DaskExecutor, Staff
from bids_spheres.execute.slurm import read_slurm_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.execute.slurm import SlurmSettings

logger = logging.getLogger(__name__)

_REVIVE = 10.0
"""How often to look after Slurm's jobs, s."""

_NOBODY = 60.0
"""How long to do without a worker before it is asked whether jobs still wait, s."""

_ROOM = 1.5
"""Memory of a worker, over that of a job: Dask is in there, and kills a worker at 0.95 of it."""

_SCRATCH = "${SLURM_TMPDIR:-/tmp}"
"""Where a worker of Dask has its own small files, as its shell finds it.

Jobs inherit TMPDIR, and that is where our own temporary files are to be: mostly the output folder.
"""

_LEAST = 1024
"""Memory of a worker in any case, MiB."""


@dataclass(frozen=True)
class Need:
    """What there is to do.

    Parameters
    ----------
    items : int
        How many.
    workers : int
        How many workers the user wants.
    cores : int
        For each item.
    memory : int
        For each item, bytes.
    """

    items: int
    workers: int
    cores: int
    memory: int


@contextmanager
def slurm_cluster(
    asked: Sequence[str | Path], need: Need, must_see: Sequence[Path], logs: Path
) -> Iterator[DaskExecutor]:
    """Workers that Slurm starts; their jobs are cancelled in the end.

    Parameters
    ----------
    asked : sequence of str or Path
        See `read_slurm_settings`.
    need : Need
        What to ask for where the user says nothing.
    must_see : sequence of Path
        Folders that workers need.
    logs : Path
        Folder of what jobs print, where the user names no other.

    Raises
    ------
    UsageError
        When a setting can't be used, Slurm refuses it, or Dask is not installed.
    TemporaryError
        When Slurm does not answer.
    """
    settings, jobqueue = read_slurm_settings(asked), library("dask_jobqueue")
    options = _with_defaults(settings, need)
    own = {name: options.pop(name, {}) for name in ("scheduler_options", "shared_temp_directory")}
    _check_job(jobqueue, {key: value for key, value in options.items() if key != "log_directory"})
    options = {"log_directory": str(logs), **options, "silence_logs": logging.CRITICAL}
    scheduler = {"dashboard_address": ":0", **own["scheduler_options"]}
    shared = own["shared_temp_directory"] or None
    try:
        cluster = jobqueue.SLURMCluster(
            **options, scheduler_options=scheduler, shared_temp_directory=shared
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"--dask-slurm: no scheduler can be started: {error}.") from error
    processes = options["processes"]
    workers = min(need.items, settings.jobs * processes if settings.jobs else need.workers)
    slurm = _SlurmJobs(cluster, math.ceil(workers / processes), options["log_directory"])
    with closing(cluster), client_of(cluster) as client:
        logger.info("%d jobs for Slurm; their logs are in %s", slurm.wanted, slurm.logs)
        staff = Staff("Slurm", tuple(must_see), patience=math.inf, replace=slurm.replace)
        yield DaskExecutor(client, staff)


def _with_defaults(settings: SlurmSettings, need: Need) -> dict[str, Any]:
    """What the user typed, what jobqueue.yaml says, and else what the jobs need."""
    configured = importlib.import_module("dask").config.get("jobqueue.slurm", {})
    configured = {key.replace("-", "_"): value for key, value in configured.items()}
    known = {key: value for key, value in configured.items() if value is not None}
    processes = settings.options.get("processes") or known.get("processes") or 1
    memory = max(_LEAST, math.ceil(_ROOM * need.memory / 2**20)) * processes
    options = {
        "processes": processes,
        "cores": known.get("cores", processes * need.cores),
        "memory": known.get("memory", f"{memory}MiB"),
        "local_directory": known.get("local_directory", _SCRATCH),
        **({"log_directory": known["log_directory"]} if "log_directory" in known else {}),
        **settings.options,
    }
    each = importlib.import_module("dask.utils").parse_bytes(options["memory"]) / processes
    if each < need.memory:
        logger.warning(
            "--dask-slurm: %s are %.1f GB for each worker, and the largest run is expected to "
            "need %.1f GB.",
            *(options["memory"], each / 1e9, need.memory / 1e9),
        )
    return options


def _check_job(jobqueue: Any, options: dict[str, Any]) -> None:
    """Have Slurm look at the script of a job before anything is started.

    Raises
    ------
    UsageError
        When it would refuse it.
    TemporaryError
        When it does not answer.
    """
    try:
        if "interface" in options:
            importlib.import_module("distributed.utils").get_ip_interface(options["interface"])
        job = jobqueue.slurm.SLURMJob("tcp://127.0.0.1:8786", name="check", **options)
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
            script.write(job.job_script())
            script.flush()
            done = _call("sbatch", "--test-only", script.name)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--dask-slurm: {error}.") from error
    said = " ".join(done.stderr.split()).removeprefix("sbatch: error: ")
    if done.returncode and any(phrase in said.lower() for phrase in _NO_ANSWER):
        raise TemporaryError(f"Slurm does not answer: {said}.", hint="Call again later.")
    if done.returncode:
        raise UsageError(
            f"--dask-slurm: Slurm refuses these jobs: {said}.",
            hint="sinfo tells its queues; queue, account, walltime, memory and cores can be given.",
        )


_NO_ANSWER = ("unable to contact", "timed out", "connection refused", "communication")


def _call(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise UsageError(
            f"--dask-slurm: there is no command {words[0]} here.",
            hint="Call from a machine of a Slurm cluster from which jobs can be submitted.",
        ) from error


@dataclass(eq=False)
class _SlurmJobs:
    """Jobs of a cluster, of which there should always be as many."""

    cluster: Any
    wanted: int
    logs: str
    looked: float = float("-inf")
    nobody_since: float = field(default_factory=time.monotonic)

    def replace(self) -> None:
        """Submit jobs that are not there yet, or not any more.

        Raises
        ------
        TemporaryError
            When all have ended and no worker has come of them.
        """
        now = time.monotonic()
        if self.cluster.scheduler.workers:
            self.nobody_since = now
        if now - self.looked < _REVIVE:
            return
        self.looked = now
        self.cluster.scale(jobs=self.wanted)
        submitted = [job.job_id for job in self.cluster.workers.values() if job.job_id]
        if now - self.nobody_since > _NOBODY and submitted and not _in_queue(submitted):
            raise TemporaryError(
                "All of Slurm's jobs have ended, and no worker has come of them.",
                hint=f"Their logs in {self.logs} tell why.",
            )


def _in_queue(jobs: Sequence[str]) -> bool:
    """Whether one of the jobs waits or runs."""
    return bool(_call("squeue", "--noheader", "--jobs", ",".join(jobs)).stdout.strip())
