"""Dask schedulers: found or started, and stopped with all that was started for them."""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import signal
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, MissingInputError, TemporaryError, UsageError
from bids_spheres.execute.dask import DaskExecutor, Staff
from bids_spheres.execute.slurm import read_slurm_settings
from bids_spheres.textfiles import parse_json, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.execute.slurm import SlurmSettings

logger = logging.getLogger(__name__)

_CONNECT = 5.0
"""How long to wait for a scheduler to answer, s."""

_PATIENCE = 300.0
"""How long to wait for workers of a scheduler that is not ours, s."""

_REVIVE = 10.0
"""How often to look after Slurm's jobs, s."""

_NOBODY = 60.0
"""How long to do without a worker before it is asked whether jobs still wait, s."""

_ROOM = 1.5
"""Memory of a worker, over that of a job: Dask is in there, and kills a worker at 0.95 of it."""

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
def scheduler_at(place: str | Path, must_see: Sequence[Path]) -> Iterator[DaskExecutor]:
    """Workers of a scheduler that is there already.

    Parameters
    ----------
    place : str or Path
        Its address, or the file in which it has left it.
    must_see : sequence of Path
        Folders that workers need.

    Raises
    ------
    UsageError
        When it is no address, or Dask is not installed.
    MissingInputError, DataError
        When there is no such file, or it holds no address.
    TemporaryError
        When no scheduler answers there.
    """
    address = _address_in(place) if isinstance(place, Path) else place
    _check_address(address)
    staff = Staff(f"The Dask scheduler at {address}", tuple(must_see), patience=_PATIENCE)
    with _client(address) as client:
        threads = client.nthreads()
        logger.info("%d workers at %s", len(threads), address)
        if spare := sum(count > 1 for count in threads.values()):
            logger.info(
                "%d of them have several threads. Each does one run at a time: start them with "
                "--nworkers N --nthreads 1 for N runs on a machine.",
                spare,
            )
        yield DaskExecutor(client, staff)


@contextmanager
def local_cluster(workers: int, memory: int | None) -> Iterator[DaskExecutor]:
    """Workers of a scheduler of our own on this machine.

    Parameters
    ----------
    workers : int
    memory : int or None
        Of all of them, bytes; None sets no limit.

    Raises
    ------
    UsageError
        When Dask is not installed.
    """
    make = _library("distributed").LocalCluster
    cluster = make(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=memory // workers if memory else 0,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )
    with closing(cluster), _client(cluster) as client:
        yield DaskExecutor(client, Staff("Dask on this machine"))


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
    settings, library = read_slurm_settings(asked), _library("dask_jobqueue")
    options = _with_defaults(settings, need)
    own = {name: options.pop(name, {}) for name in ("scheduler_options", "shared_temp_directory")}
    _check_job(library, {key: value for key, value in options.items() if key != "log_directory"})
    options = {"log_directory": str(logs), **options, "silence_logs": logging.CRITICAL}
    scheduler = {"dashboard_address": ":0", **own["scheduler_options"]}
    shared = own["shared_temp_directory"] or None
    try:
        cluster = library.SLURMCluster(
            **options, scheduler_options=scheduler, shared_temp_directory=shared
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"--dask-slurm: no scheduler can be started: {error}.") from error
    processes = options["processes"]
    workers = min(need.items, settings.jobs * processes if settings.jobs else need.workers)
    slurm = _SlurmJobs(cluster, math.ceil(workers / processes), options["log_directory"])
    with closing(cluster), _client(cluster) as client:
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


def _check_job(library: Any, options: dict[str, Any]) -> None:
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
        job = library.slurm.SLURMJob("tcp://127.0.0.1:8786", name="check", **options)
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


@contextmanager
def _client(scheduler: Any) -> Iterator[Any]:
    """A client of a cluster or of the scheduler at an address."""
    client = _library("distributed").Client(scheduler, timeout=_CONNECT, set_as_default=False)
    try:
        yield client
    finally:
        with suppress(Exception):  # the scheduler may be gone
            client.close(timeout=_CONNECT)


def _check_address(address: str) -> None:
    """Knock at a scheduler's door; a client that finds nobody there is not got rid of so soon.

    Raises
    ------
    UsageError
        When it is no address.
    TemporaryError
        When no scheduler answers there.
    """
    _library("distributed")
    try:
        asyncio.run(_knock(address))
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


async def _knock(address: str) -> None:
    from distributed.comm import (  # noqa: PLC0415 - loads Dask
        connect,
        get_address_host_port,
        normalize_address,
    )
    from distributed.security import Security  # noqa: PLC0415

    place = normalize_address(address)
    get_address_host_port(place)
    security = Security().get_connection_args("client")
    comm = await connect(place, timeout=_CONNECT, **security)
    await comm.close()


def _address_in(path: Path) -> str:
    """What a scheduler has written; one that starts at the same time may take a moment."""
    deadline = time.monotonic() + _CONNECT
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if not path.exists():
        raise MissingInputError(
            f"--dask-scheduler-file: there is no file {path}.",
            hint="dask scheduler --scheduler-file PATH writes it when it starts.",
        )
    content = parse_json(read_text(path, "scheduler file"), path)
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str):
        raise DataError(
            f"{path} holds no address.", hint="dask scheduler --scheduler-file writes such a file."
        )
    return address


def _library(name: str) -> Any:
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
        if signal.getsignal(signal.SIGINT) is not interrupted:
            signal.signal(signal.SIGINT, interrupted)
