"""Find a Dask scheduler, or start one with its workers and stop it in the end.

Workers in Slurm are those of dask-jobqueue, whose `adapt` replaces workers that end early, and
whose ``SLURMCluster`` checks settings and ``jobqueue.yaml``. It only logs what ``sbatch`` refuses
and never asks what became of its jobs, so both are asked here.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import signal
import subprocess
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import (
    BidsSpheresError,
    DataError,
    MissingInputError,
    TemporaryError,
    UsageError,
)
from bids_spheres.execute.dask import WorkerSource
from bids_spheres.files.text import read_json_object
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

_CONNECT = 5.0
"""Time in which a scheduler must answer, s."""

_NO_OWN_TRIES = {"allowed_failures": 0}
"""Otherwise Dask tries all items of a dead worker three times again, also waiting ones."""

_ROOM = 1.5
"""Memory of a worker / need of a job: Dask takes some itself, and kills at 0.95 of it."""

_LEAST = 1024
"""Smallest memory of a worker, MiB."""

_ANSWER = 60.0
"""Time that a command of Slurm may take, s."""

_NO_ANSWER = ("unable to contact", "timed out", "connection refused", "communication")


@contextmanager
def scheduler_at(place: str | Path) -> Iterator[tuple[Any, WorkerSource]]:
    """Connect to a running scheduler, by its address or the file that it wrote its address to.

    UsageError when it is no address, MissingInputError or DataError when the file is missing or
    holds no address, TemporaryError when no scheduler answers there.
    """
    library("distributed")
    address: object = place
    if isinstance(place, Path):
        how = "dask scheduler --scheduler-file PATH writes it when it starts."
        # A scheduler started at the same time may take a moment.
        deadline = time.monotonic() + _CONNECT
        while not place.exists():
            if time.monotonic() > deadline:
                raise MissingInputError(f"--dask-scheduler-file: {place} is missing.", hint=how)
            time.sleep(0.1)
        address = read_json_object(place).get("address")
        if not isinstance(address, str):
            raise DataError(f"{place} holds no address.", hint=how)
    try:
        asyncio.run(_ping(str(address)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--dask-scheduler: {address} is no address: {error}.",
            hint="Give it as tcp://10.0.0.1:8786; dask scheduler prints it when it starts.",
        ) from error
    except Exception as error:
        raise TemporaryError(
            f"No Dask scheduler answers at {address}.",
            hint="Is it running, and can it be reached from this machine?",
        ) from error
    with _client_of(address) as client:
        yield client, WorkerSource(f"The Dask scheduler at {address}")


async def _ping(address: str) -> None:
    """Connect to a scheduler once: a `Client` would go on trying, and complain at exit."""
    from distributed import comm, security  # noqa: PLC0415 - load Dask

    place = comm.normalize_address(address)
    comm.get_address_host_port(place)
    certificates = security.Security().get_connection_args("client")
    # Dask's own timeout does not cover the handshake, which a stopped scheduler never answers.
    async with asyncio.timeout(_CONNECT):
        connection = await comm.connect(place, timeout=_CONNECT, **certificates)
    connection.abort()


@contextmanager
def local_cluster(workers: int, memory: int | None) -> Iterator[tuple[Any, WorkerSource]]:
    """Start a scheduler and workers on this machine; `memory` (bytes) limits all of them."""
    cluster = library("distributed").LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=memory // workers if memory else 0,
        silence_logs=logging.CRITICAL,
        dashboard_address=":0",
        scheduler_kwargs=_NO_OWN_TRIES,
    )
    with closing(cluster), _client_of(cluster) as client:
        yield client, WorkerSource("Dask on this machine")


@contextmanager
def slurm_cluster(
    settings: Mapping[str, Any], *, items: int, workers: int, cores: int, memory: int, logs: Path
) -> Iterator[tuple[Any, WorkerSource]]:
    """Start a scheduler, and workers as jobs of Slurm that are cancelled in the end.

    `settings` are arguments of ``SLURMCluster`` and `jobs`. Where neither they nor
    ``jobqueue.yaml`` say otherwise, there are `workers` with `cores` and `memory` (bytes) each, and
    what jobs print goes to the folder `logs`. UsageError for settings that can't be used or that
    Slurm refuses, TemporaryError when Slurm does not answer.
    """
    config, jobqueue = library("dask").config, library("dask_jobqueue")
    given = {"processes": config.get("jobqueue.slurm.processes") or 1, **settings}
    jobs, processes = given.pop("jobs", None), given["processes"]
    folder = given.pop("log_directory", config.get("jobqueue.slurm.log-directory")) or str(logs)
    defaults = {
        "cores": processes * cores,
        "memory": f"{max(_LEAST, math.ceil(_ROOM * memory / 2**20)) * processes}MiB",
        # Not TMPDIR, which jobs inherit and which is mostly the output folder.
        "local-directory": "${SLURM_TMPDIR:-/tmp}",
        "scheduler-options": {"dashboard_address": ":0"} | _NO_OWN_TRIES,
    }
    config.update_defaults({"jobqueue": {"slurm": defaults}})
    try:
        # Asked first, since a cluster creates the folder of its logs.
        job = jobqueue.SLURMCluster.job_cls("tcp://127.0.0.1:8786", name="test", **given)
        each = job.worker_memory / processes
        if each < memory:
            text = "--dask-slurm: a worker has %.1f GB, and the largest run may need %.1f GB."
            logger.warning(text, each / 1e9, memory / 1e9)
        _check_accepted(job.job_script())
        given["log_directory"] = folder
        cluster = jobqueue.SLURMCluster(**given, silence_logs=logging.CRITICAL)
    except BidsSpheresError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"--dask-slurm, as dask-jobqueue's SLURMCluster: {error}.") from error

    def some_in_queue() -> bool:
        numbers = ",".join(job.job_id for job in cluster.workers.values() if job.job_id)
        if not numbers:
            return False
        answered, lines = _call("squeue", "--noheader", "--jobs", numbers)
        return bool(lines) or not answered

    jobs = math.ceil(min(items / processes, jobs or workers / processes))
    with closing(cluster), _client_of(cluster) as client:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        logger.info("%s for Slurm; logs are in %s", count(jobs, "job"), folder)
        name = f"Slurm (logs in {folder})"
        yield client, WorkerSource(name, more_expected=some_in_queue)


def _check_accepted(script: str) -> None:
    """Raise UsageError when Slurm refuses the script of a job, TemporaryError without an answer."""
    accepted, answer = _call("sbatch", "--test-only", script=script)
    if not accepted:
        later = any(phrase in answer.lower() for phrase in _NO_ANSWER)
        raise (TemporaryError if later else UsageError)(
            f"--dask-slurm: Slurm refuses these jobs: {answer.removeprefix('sbatch: error: ')}.",
            hint="sinfo lists its queues; queue, account, walltime, memory and cores can be given.",
        )


def _call(*words: str, script: str = "") -> tuple[bool, str]:
    """Whether a command of Slurm succeeds, and its answer."""
    try:
        done = subprocess.run(  # noqa: S603 - commands of Slurm
            words, input=script, capture_output=True, text=True, check=False, timeout=_ANSWER
        )
    except FileNotFoundError:
        return False, f"there is no command {words[0]} here"
    except subprocess.TimeoutExpired:
        return False, "timed out"
    return not done.returncode, " ".join((done.stderr if done.returncode else done.stdout).split())


@contextmanager
def _client_of(scheduler: Any) -> Iterator[Any]:
    client = library("distributed").Client(scheduler, timeout=_CONNECT, set_as_default=False)
    try:
        yield client
    finally:
        with suppress(Exception):  # the scheduler may be gone
            client.close(timeout=_CONNECT)


def library(name: str) -> Any:
    """Import a package of Dask; UsageError when it is not installed."""
    interrupted = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"--executor dask needs {name.replace('_', '-')}, which can't be loaded: {error}.",
            hint='Install it: pip install "bids-spheres[dask]"',
        ) from error
    finally:
        # dask-jobqueue 0.9, when imported, lets an interrupt end the program with status 0.
        signal.signal(signal.SIGINT, interrupted)
