"""Dask schedulers: found or started, and stopped with all that was started for them."""

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
from bids_spheres.execute.dask import DaskExecutor, Staff
from bids_spheres.textfiles import parse_json, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


logger = logging.getLogger(__name__)

_CONNECT = 5.0
"""How long to wait for a scheduler to answer, s."""

_PATIENCE = 300.0
"""How long to wait for workers of a scheduler that is not ours, s."""


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
    with client_of(address) as client:
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
    make = library("distributed").LocalCluster
    cluster = make(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=memory // workers if memory else 0,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )
    with closing(cluster), client_of(cluster) as client:
        yield DaskExecutor(client, Staff("Dask on this machine"))


@contextmanager
def client_of(scheduler: Any) -> Iterator[Any]:
    """A client of a cluster or of the scheduler at an address."""
    client = library("distributed").Client(scheduler, timeout=_CONNECT, set_as_default=False)
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
    library("distributed")
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


def library(name: str) -> Any:
    """A module of Dask's.

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
