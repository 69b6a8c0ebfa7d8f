"""Workers that Slurm starts, by dask-jobqueue.

Settings are those of its ``SLURMCluster``, checked by it and by ``sbatch --test-only``; what is not
given comes from ``jobqueue.yaml``, and else from what there is to do.
"""

from __future__ import annotations

import logging
import math
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import BidsSpheresError, DataError, TemporaryError, UsageError
from bids_spheres.execute.clusters import NO_OWN_TRIES, client_of, library
from bids_spheres.execute.dask import WorkerSource
from bids_spheres.files.text import parse_yaml, read_text
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

logger = logging.getLogger(__name__)

_ROOM = 1.5
"""Memory of a worker, over that of a job: Dask is in there, and kills a worker at 0.95 of it."""

_LEAST = 1024
"""Memory of a worker in any case, MiB."""

_ANSWER = 60.0
"""How long a command of Slurm may take, s."""

_NO_ANSWER = ("unable to contact", "timed out", "connection refused", "communication")

_ALIASES = {"partition": "queue", "time": "walltime", "mem": "memory", "name": "job_name"}
"""What Slurm calls them."""

_NUMBERS = ("jobs", "cores", "processes", "job_cpu")
_LISTS = ("job_extra_directives", "job_directives_skip", "job_script_prologue", "worker_extra_args")
_OF_THE_SCHEDULER = ("log_directory", "scheduler_options", "shared_temp_directory")


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


def read_slurm_settings(words: Sequence[str | Path]) -> dict[str, Any]:
    """Arguments of ``SLURMCluster``, and `jobs`; of one that is given twice, the last counts.

    Parameters
    ----------
    words : sequence of str or Path
        ``key=value``, keys with ``_`` or ``-``; or YAML or JSON files, in the form of
        ``SLURMCluster``'s arguments or of ``jobqueue.yaml``.

    Raises
    ------
    MissingInputError
        When a file is not there.
    DataError
        When a file holds no settings.
    UsageError
        When a number is none.
    """
    options: dict[str, Any] = {}
    for word in words:
        given = _read(word) if isinstance(word, Path) else dict([word.split("=", 1)])
        for key, value in given.items():
            name = key.replace("-", "_")
            name = _ALIASES.get(name, name)
            if name in _NUMBERS and not (str(value).isdecimal() and int(value)):
                raise UsageError(f"--dask-slurm: {key} must be a number from 1, not {value!r}.")
            if name in _LISTS and isinstance(value, str):
                options.setdefault(name, []).append(value)
            else:
                options[name] = int(value) if name in _NUMBERS else value
    return options


def _read(path: Path) -> Mapping[str, Any]:
    content = parse_yaml(read_text(path, "file of Slurm settings"), path)  # JSON is YAML
    for outer in ("jobqueue", "slurm"):
        content = content.get(outer, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise DataError(f"{path} must hold settings by their names, as in queue: short.")
    return {key: value for key, value in content.items() if value is not None}


@contextmanager
def slurm_cluster(
    asked: Sequence[str | Path], need: Need, logs: Path
) -> Iterator[tuple[Any, WorkerSource]]:
    """Start a scheduler, and workers as jobs of Slurm; these are cancelled in the end.

    Parameters
    ----------
    asked : sequence of str or Path
        See `read_slurm_settings`.
    need : Need
        What to ask for where neither the user nor ``jobqueue.yaml`` says anything.
    logs : Path
        Folder of what jobs print, where the user names no other.

    Raises
    ------
    UsageError
        When a setting can't be used, Slurm refuses it, or Dask is not installed.
    TemporaryError
        When Slurm does not answer.
    """
    jobqueue, settings = library("dask_jobqueue"), read_slurm_settings(asked)
    jobs = settings.pop("jobs", 0)
    try:
        options = _with_defaults(settings, need, logs)
        job = {key: value for key, value in options.items() if key not in _OF_THE_SCHEDULER}
        own = {"dashboard_address": ":0", **NO_OWN_TRIES, **options.pop("scheduler_options", {})}
        _check(jobqueue.SLURMCluster.job_cls("tcp://127.0.0.1:8786", name="test", **job))
        cluster = jobqueue.SLURMCluster(
            **options, scheduler_options=own, silence_logs=logging.CRITICAL
        )
    except BidsSpheresError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"--dask-slurm, as dask-jobqueue's SLURMCluster: {error}.") from error
    workers = min(need.items, jobs * options["processes"] if jobs else need.workers)
    jobs = math.ceil(workers / options["processes"])
    with closing(cluster), client_of(cluster) as client:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # starts again what has ended
        logger.info("%s for Slurm; logs are in %s", count(jobs, "job"), options["log_directory"])
        name = f"Slurm (logs in {options['log_directory']})"
        yield client, WorkerSource(name, more_expected=lambda: _in_queue(cluster))


def _with_defaults(settings: Mapping[str, Any], need: Need, logs: Path) -> dict[str, Any]:
    configured = library("dask").config.get("jobqueue.slurm", {}).items()
    known = {key.replace("-", "_"): value for key, value in configured if value is not None}
    processes = settings.get("processes") or known.get("processes", 1)
    defaults = {
        "processes": processes,
        "cores": processes * need.cores,
        "memory": f"{max(_LEAST, math.ceil(_ROOM * need.memory / 2**20)) * processes}MiB",
        # Not TMPDIR, which jobs inherit and which is mostly the output folder.
        "local_directory": "${SLURM_TMPDIR:-/tmp}",
        "log_directory": str(logs),
    }
    options = {key: known.get(key, value) for key, value in defaults.items()} | dict(settings)
    each = library("dask.utils").parse_bytes(options["memory"]) / processes
    if each < need.memory:
        logger.warning(
            "--dask-slurm: %s are %.1f GB for each worker, and the largest run is expected to "
            "need %.1f GB.",
            *(options["memory"], each / 1e9, need.memory / 1e9),
        )
    return options


def _check(job: Any) -> None:
    """Have Slurm look at the script of a job: what it refuses later, dask-jobqueue only logs."""
    try:
        done = _call("sbatch", "--test-only", script=job.job_script())
    except FileNotFoundError as error:
        raise UsageError(
            "--dask-slurm: there is no command sbatch here.",
            hint="Call from a machine of a Slurm cluster from which jobs can be submitted.",
        ) from error
    answer = " ".join(done.stderr.split()).removeprefix("sbatch: error: ")
    if done.returncode and any(phrase in answer.lower() for phrase in _NO_ANSWER):
        raise TemporaryError(f"Slurm does not answer: {answer}.", hint="Call again later.")
    if done.returncode:
        raise UsageError(
            f"--dask-slurm: Slurm refuses these jobs: {answer}.",
            hint="sinfo lists its queues; queue, account, walltime, memory and cores can be given.",
        )


def _in_queue(cluster: Any) -> bool:
    """Whether a job waits or runs; dask-jobqueue does not ask what became of its jobs."""
    jobs = ",".join(job.job_id for job in cluster.workers.values() if job.job_id)
    done = _call("squeue", "--noheader", "--jobs", jobs) if jobs else None
    return done is not None and bool(done.returncode or done.stdout.strip())


def _call(*words: str, script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - commands of Slurm
            words, input=script, capture_output=True, text=True, check=False, timeout=_ANSWER
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"{words[0]} timed out")
