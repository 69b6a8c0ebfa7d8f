"""Workers of a Dask scheduler.

Dask is told which worker does what: each gets one item at a time, whatever its number of threads,
and the next one when it is done. So it is known what a worker was at when it was lost, on any
scheduler, whatever that is set to do about it; and jobs do not get in each other's way, since the
number of BLAS threads is one thing for all threads of a process. A worker that comes later, as
Slurm starts them one by one, is put to work when it is there.

Items that workers were lost of are tried again when all others are done, and given up after that.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from bids_spheres import __version__
from bids_spheres.errors import TemporaryError
from bids_spheres.execute.executor import Item, Lost, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from distributed import Client, Future

logger = logging.getLogger(__name__)

_POLL = 1.0
"""How often to look which workers there are, s."""

_FETCH = 30.0
"""How long to wait for a result, which is a few sentences, once a worker says that it has it, s."""

_REMIND = 600.0
"""How often to say that there is no worker, s."""


@dataclass(frozen=True)
class Staff:
    """Where workers come from.

    Parameters
    ----------
    called : str
        Name of the scheduler, for messages.
    must_see : tuple of Path
        Folders that a worker must see to be of use.
    patience : float
        How long to wait where there is no worker, s.
    replace : callable
        See to it that lost workers are replaced; called now and then.

    Raises
    ------
    TemporaryError
        By `replace`, when there will be no worker.
    """

    called: str
    must_see: tuple[Path, ...] = ()
    patience: float = 60.0
    replace: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _Gone:
    """What is known of the loss of a worker."""

    why: str


@dataclass(frozen=True, eq=False)
class DaskExecutor:
    """Workers of a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    staff : Staff
    """

    client: Client
    staff: Staff

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """See `Executor`. What a worker has begun on a foreign scheduler, it brings to its end.

        Raises
        ------
        TemporaryError
            When there is no worker for too long, or the scheduler is gone.
        """
        gone = []
        with closing(_Round(self.client, self.staff).run(do, items)) as ends:
            for item, end in ends:
                if isinstance(end, _Gone):
                    gone.append(item)
                    logger.info("A worker was lost: %s. %s is tried again.", end.why, item)
                else:
                    yield item, end
        with closing(_Round(self.client, self.staff).run(do, gone)) as ends:
            for item, end in ends:
                yield item, _lost_twice(end) if isinstance(end, _Gone) else end


def _lost_twice(end: _Gone) -> Lost:
    return Lost(
        f"A Dask worker was lost with this run, and so was a second one: {end.why}.",
        hint="Most likely they had too little memory or time; their logs tell. Give them more.",
    )


@dataclass(eq=False)
class _Round:
    """Every item once, each on the worker that is free first."""

    client: Client
    staff: Staff
    at_work: dict[str, tuple[Any, Future]] = field(default_factory=dict)
    ended: SimpleQueue[tuple[str, Future]] = field(default_factory=SimpleQueue)

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | _Gone]]:
        waiting, workers = deque(items), _Workers(self.client, self.staff)
        try:
            while waiting or self.at_work:
                there = workers.now()
                yield from self._lost(there)
                for address in sorted(there - set(self.at_work)):
                    if waiting:
                        self._start(address, do, waiting.popleft())
                yield from self._done()
        finally:
            self._cancel([future for _, future in self.at_work.values()])

    def _start(self, address: str, do: Callable[[Item], Result], item: Item) -> None:
        with _watched(self.staff):
            future = self.client.submit(
                perform, pickle.dumps((do, item)), workers=[address], pure=False
            )
        self.at_work[address] = item, future
        future.add_done_callback(lambda end: self.ended.put((address, end)))

    def _lost(self, there: set[str]) -> Iterator[tuple[Any, _Gone]]:
        """Items whose workers are not there any more."""
        for address in set(self.at_work) - there:
            item, future = self.at_work.pop(address)
            self._cancel([future])
            yield item, _Gone(f"{address} is gone")

    def _done(self) -> Iterator[tuple[Any, Any]]:
        """Items that are done; waits a moment for the first."""
        wait = _POLL
        with suppress(Empty):
            while True:
                address, future = self.ended.get(timeout=wait) if wait else self.ended.get_nowait()
                wait = 0.0
                item, current = self.at_work.get(address, (None, None))
                if current is future:
                    del self.at_work[address]
                    yield item, _end(future)

    def _cancel(self, futures: list[Future]) -> None:
        with suppress(Exception):  # the scheduler may be gone as well
            self.client.cancel(futures, force=True)


def _end(future: Future) -> Any:
    """What a worker made of its item, or why there is nothing."""
    try:
        return future.result(timeout=_FETCH)
    except Exception as error:  # noqa: BLE001 - ours raises nothing; it is of Dask, or of the worker
        name = type(error).__name__
        return _Gone("it died" if name == "KilledWorker" else f"{name}: {error}".rstrip(": "))


def perform(call: bytes) -> Any:
    """Do what has been asked for; runs in a worker.

    Parameters
    ----------
    call : bytes
        A pickled function and its argument.
    """
    do, item = pickle.loads(call)  # noqa: S301 - from the client, which Dask trusts as well
    return do(item)


def fault_here(wanted: str, must_see: Sequence[str]) -> str | None:
    """Why this process can't do jobs; None when it can. Runs in a worker.

    Parameters
    ----------
    wanted : str
        Version of this package.
    must_see : sequence of str
        Folders.
    """
    if wanted != __version__:
        return f"it has bids-spheres {__version__} and this call is of {wanted}"
    unseen = [folder for folder in must_see if not Path(folder).is_dir()]
    return f"it does not see the folder {unseen[0]}" if unseen else None


@dataclass(eq=False)
class _Workers:
    """Workers of a scheduler that can be used."""

    client: Client
    staff: Staff
    faults: dict[str, str | None] = field(default_factory=dict)
    last: float = field(default_factory=time.monotonic)
    told: float = float("-inf")

    def now(self) -> set[str]:
        """Addresses of those there are.

        Raises
        ------
        TemporaryError
            When none has been there for too long.
        """
        with _watched(self.staff):
            there = set(self.client.nthreads())
            self._look_at(there - set(self.faults))
        fit = {address for address in there if self.faults.get(address, "") is None}
        self.staff.replace()
        if fit:
            self.last, self.told = time.monotonic(), float("-inf")
        else:
            self._wait(there)
        return fit

    def _look_at(self, new: set[str]) -> None:
        if not new:
            return
        must_see = [str(folder) for folder in self.staff.must_see]
        found: Mapping[str, Any] = self.client.run(
            fault_here, __version__, must_see, workers=list(new), on_error="return"
        )
        for address, fault in found.items():
            known = set(self.faults.values())
            self.faults[address] = _said(fault)
            if self.faults[address] not in known | {None}:
                logger.warning("The worker %s can't be used: %s.", address, self.faults[address])

    def _wait(self, there: Iterable[str]) -> None:
        waited, why = time.monotonic() - self.last, {self.faults.get(one) for one in there} - {None}
        if why:
            raise TemporaryError(
                f"No worker of {self.staff.called} can be used: {', '.join(map(str, why))}.",
                hint="Every worker needs this version of bids-spheres and the same folders.",
            )
        if waited > self.staff.patience:
            raise TemporaryError(
                f"{self.staff.called} has had no worker for {waited:.0f} s.",
                hint="Start some; the next call does what is missing.",
            )
        if waited > _POLL and time.monotonic() - self.told > _REMIND:
            logger.info("Waiting for workers of %s", self.staff.called)
            self.told = time.monotonic()


def _said(fault: Any) -> str | None:
    if isinstance(fault, BaseException):
        return f"{type(fault).__name__}: {fault}"
    return None if fault is None else str(fault)


@contextmanager
def _watched(staff: Staff) -> Iterator[None]:
    """Turn what Dask raises when a scheduler is gone into an error of ours."""
    try:
        yield
    except Exception as error:
        raise TemporaryError(
            f"{staff.called} does not answer any more: {type(error).__name__}: {error}.",
            hint="What was finished is written; the next call does what is missing.",
        ) from error
