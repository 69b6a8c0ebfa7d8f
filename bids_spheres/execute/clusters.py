"""Dask schedulers: found, or started with their workers and stopped in the end."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, MissingInputError, TemporaryError, UsageError
from bids_spheres.execute.dask import WorkerSource
from bids_spheres.files.text import parse_json, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_CONNECT = 5.0
"""How long to wait for a scheduler to answer, s."""

_PATIENCE = 300.0
"""How long to wait for workers, s: a new one takes a minute to start on a busy machine."""

NO_OWN_TRIES = {"allowed_failures": 0}
"""Of our schedulers. Dask tries again, three times, all that was waiting on a worker that died."""


@contextmanager
def scheduler_at(place: str | Path) -> Iterator[tuple[Any, WorkerSource]]:
    """Connect to a scheduler that runs already.

    Parameters
    ----------
    place : str or Path
        Its address, or the file in which it has left it.

    Raises
    ------
    UsageError
        When it is no address, or Dask is not installed.
    MissingInputError, DataError
        When there is no such file, or it holds no address.
    TemporaryError
        When no scheduler answers there.
    """
    library("distributed")
    address = _address_in(place) if isinstance(place, Path) else place
    try:
        asyncio.run(_ping(address))
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
    with client_of(address) as client:
        yield client, WorkerSource(f"The Dask scheduler at {address}", timeout=_PATIENCE)


@contextmanager
def local_cluster(workers: int, memory: int | None) -> Iterator[tuple[Any, WorkerSource]]:
    """Start a scheduler and workers on this machine.

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
    cluster = library("distributed").LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=memory // workers if memory else 0,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        scheduler_kwargs=NO_OWN_TRIES,
    )
    with closing(cluster), client_of(cluster) as client:
        yield client, WorkerSource("Dask on this machine", timeout=_PATIENCE)


@contextmanager
def client_of(scheduler: Any) -> Iterator[Any]:
    """Client of a cluster or of the scheduler at an address."""
    client = library("distributed").Client(scheduler, timeout=_CONNECT, set_as_default=False)
    try:
        yield client
    finally:
        with suppress(Exception):  # the scheduler may be gone
            client.close(timeout=_CONNECT)


async def _ping(address: str) -> None:
    """Connect to a scheduler: a `Client` that finds none goes on trying, and complains at exit."""
    from distributed import comm, security  # noqa: PLC0415 - load Dask

    place = comm.normalize_address(address)
    comm.get_address_host_port(place)
    certificates = security.Security().get_connection_args("client")
    await (await comm.connect(place, timeout=_CONNECT, **certificates)).close()


def _address_in(path: Path) -> str:
    """Read what a scheduler has written; one that starts at the same time may take a moment."""
    deadline = time.monotonic() + _CONNECT
    while not path.exists():
        if time.monotonic() > deadline:
            raise MissingInputError(
                f"--dask-scheduler-file: there is no file {path}.",
                hint="dask scheduler --scheduler-file PATH writes it when it starts.",
            )
        time.sleep(0.1)
    content = parse_json(read_text(path, "scheduler file"), path)
    address = content.get("address") if isinstance(content, dict) else None
    if isinstance(address, str):
        return address
    raise DataError(
        f"{path} holds no address.", hint="dask scheduler --scheduler-file writes such a file."
    )


def library(name: str) -> Any:
    """Import a package of Dask.

    Raises
    ------
    UsageError
        When it is not installed.
    """
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
