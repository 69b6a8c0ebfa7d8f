"""Items done by the workers of a Dask scheduler.

Dask chooses the worker of each item and tries it again on another when a worker dies. What it does
not do is done here:

- a worker is used when it has proven that it sees our files (`proof`). `WorkerPlugin` would be
  Dask's way, but registering one waits for every worker, also for one that never answers, and goes
  on with workers for which it failed; so do `Client.run` and `Client.get_versions`;
- no more items are handed out than there are workers. Dask sends all to workers at once and leaves
  those there that wait on a worker that is paused or does not answer;
- `submit(retries=)` tries again what raised, and our functions raise nothing. An item on a worker
  that is paused or silent for long is given to another;
- one item at a time in a process, whatever its number of threads: memory is planned so, and the
  number of BLAS threads is one for all threads of a process.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import Counter, deque
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import TemporaryError
from bids_spheres.execute.executor import Item, Lost, Result
from bids_spheres.execute.proof import pickled, prove, shared_objects, tokens, unpickled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from distributed import Client, Future

    from bids_spheres.execute.proof import Folders, Token

logger = logging.getLogger(__name__)

_POLL = 1.0
"""How often to ask which workers there are, s."""

_ANSWER = 30.0
"""How long a scheduler may take to answer, or a worker to send a result of a few sentences, s."""

_SILENCE = 15.0
"""Workers send a heartbeat every few seconds; one without is not used after this time, s."""

_GIVE_UP = 120.0
"""How long a worker may be paused or silent before its item is given to another, s."""

_ASK_AGAIN = 30.0
"""When to ask a worker again that could not be used, s: NFS shows new files after as long."""

_REMIND = 600.0
"""How often to say that there is no worker, s."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class WorkerSource:
    """Where workers come from.

    Parameters
    ----------
    name : str
        Name of the scheduler, for messages.
    timeout : float
        How long to wait while there is no worker that can be used, s.
    more_expected : callable
        Whether to wait longer than that.
    """

    name: str
    timeout: float = 60.0
    more_expected: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class DaskExecutor:
    """Workers of a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    source : WorkerSource
    folders : Folders
    shared : sequence
        Objects to which many items refer.
    """

    client: Client
    source: WorkerSource
    folders: Folders
    shared: Sequence[Any] = ()

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """See `Executor`. What a worker has begun on a foreign scheduler, it brings to its end.

        Raises
        ------
        TemporaryError
            When no worker can be used for too long, or the scheduler is gone.
        OutputError
            When the files by which workers prove themselves can't be written.
        """
        if not items:
            return
        with tokens(self.folders, self.shared) as token:
            run = _Run(_Workers(self.client, self.source, token), self.shared)
            with closing(run.results(do, items)) as ends:
                yield from ends


@dataclass(eq=False)
class _Run:
    """Some items, from the first to the last result."""

    workers: _Workers
    shared: Sequence[Any]
    pending: dict[Future, tuple[int, set[str]]] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)

    def results(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        waiting, workers = deque(range(len(items))), self.workers
        try:
            while waiting or self.pending:
                workers.look(idle=not self.pending)
                while waiting and workers.usable and len(self.pending) < len(workers.proven):
                    call = zlib.compress(pickled((do, items[waiting[0]]), self.shared))
                    # A list of hundreds of addresses goes along only where some are left out.
                    only = set() if workers.usable == workers.present else workers.usable
                    future = workers.submit(perform, workers.token, call, only=only)
                    self.pending[future] = waiting.popleft(), only
                for number, end in (*self._stuck(), *self._done()):
                    if isinstance(end, Lost) and self.lost[number] < 2:
                        logger.info("%s %s is tried again.", end.message, items[number])
                        waiting.append(number)
                    else:
                        yield items[number], end
        finally:
            workers.cancel(self.pending)

    def _done(self) -> Iterator[tuple[int, Any]]:
        """Items that are done; waits a moment for the first."""
        wait = _POLL
        with suppress(Empty):
            while True:
                future = self.workers.ended.get(timeout=wait)
                wait = 0.0
                if future in self.pending:
                    number, _ = self.pending.pop(future)
                    try:
                        end = future.result(timeout=_ANSWER)
                    except Exception as error:  # noqa: BLE001 - of Dask or a worker: ours raise nothing
                        self.lost[number] += getattr(error, "allowed_failures", 0)  # KilledWorker
                        end = self._lose(number, f"{type(error).__name__}: {error}".rstrip(": "))
                    yield number, end

    def _stuck(self) -> list[tuple[int, Lost]]:
        """Items whose workers are gone, or have been paused or silent for too long."""
        workers, held = self.workers, set[str]()
        if late := workers.late():
            held = {key for address in late for key in workers.ask("processing").get(address, ())}
        gone = {
            future: number
            for future, (number, only) in self.pending.items()
            if future.key in held or (only and not only & workers.present)
        }
        workers.cancel(gone)
        self.pending = {key: value for key, value in self.pending.items() if key not in gone}
        return [(number, self._lose(number, "it does not go on")) for number in gone.values()]

    def _lose(self, number: int, why: str) -> Lost:
        self.workers.looked = float("-inf")  # so that what is tried again waits for a worker
        self.lost[number] += 1
        times = self.lost[number]
        who = "A Dask worker was" if times == 1 else f"{times} Dask workers were"
        return Lost(
            f"{who} lost with this run: {why}",
            hint="Most likely they had too little memory or time; see their logs. Give them more.",
        )


def perform(token: Token, call: bytes) -> Any:
    """Apply a function to an item; runs in a worker.

    Parameters
    ----------
    token : Token
        Of the call, by which this process must have proven itself.
    call : bytes
        Function and item, pickled and compressed.
    """
    with _one_at_a_time:
        do, item = unpickled(zlib.decompress(call), shared_objects(token))
        return do(item)


@dataclass(eq=False)
class _Workers:
    """Workers of a scheduler, and which of them can be used."""

    client: Client
    source: WorkerSource
    token: Token
    present: set[str] = field(default_factory=set)
    proven: set[str] = field(default_factory=set)
    usable: set[str] = field(default_factory=set)
    ended: SimpleQueue[Future] = field(default_factory=SimpleQueue)
    proofs: dict[str, tuple[float, Future]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    looked: float = float("-inf")
    had_some: float = field(default_factory=time.monotonic)
    reminded: float = float("-inf")

    def look(self, *, idle: bool) -> None:
        """Find out which workers there are; once in a while.

        Raises
        ------
        TemporaryError
            When the scheduler does not answer, or no worker can be used for too long.
        """
        now = time.monotonic()
        if now - self.looked >= _POLL:
            self.looked = now
            self._find(now)
        self._read_proofs(now)
        if self.usable or not idle:
            self.had_some = now
        elif now - self.had_some > self.source.timeout:
            if not self.source.more_expected():
                raise self._no_worker(now - self.had_some)
            self.had_some = now
        elif now - self.had_some > _POLL and now - self.reminded > _REMIND:
            self.reminded = now
            logger.info("Waiting for workers of %s", self.source.name)

    def late(self) -> set[str]:
        """Workers that have been paused or silent for too long."""
        limit = time.monotonic() - _GIVE_UP
        return {address for address, last in self.running.items() if last < limit}

    def ask(self, question: str) -> Any:
        """Answer of the scheduler."""
        with _watched(self.source):
            remote = getattr(self.client.scheduler, question)
            return self.client.sync(remote, callback_timeout=_ANSWER)

    def submit(self, function: Callable[..., Any], *words: Any, only: Iterable[str]) -> Future:
        """Have a worker call a function; its future goes to `ended`."""
        with _watched(self.source):
            future = self.client.submit(function, *words, workers=sorted(only) or None, pure=False)
        future.add_done_callback(self.ended.put)
        return future

    def cancel(self, futures: Iterable[Future]) -> None:
        """Take back what was submitted."""
        with suppress(Exception):  # the scheduler may be gone as well
            self.client.cancel(list(futures), force=True)

    def _find(self, now: float) -> None:
        found = self.ask("identity")["workers"]
        for address in self.present - set(found):
            logger.info("The worker %s is gone; what it had is tried again.", address)
            self.running.pop(address, None)
            self.cancel(future for _, future in [self.proofs.pop(address, (0, None))] if future)
        self.present = set(found)
        # By the scheduler's clock, which may differ from ours.
        newest = max((worker["last_seen"] for worker in found.values()), default=0.0)
        for address, worker in found.items():
            if worker["status"] == "running" and newest - worker["last_seen"] < _SILENCE:
                self.running[address] = now
                if address not in self.proofs:
                    self.proofs[address] = now, self.submit(prove, self.token, only=[address])

    def _read_proofs(self, now: float) -> None:
        for address, (asked, proof) in list(self.proofs.items()):
            if proof.status == "error":
                problem = str(proof.exception(timeout=_ANSWER))
                if self.problems.get(address) != problem:
                    logger.warning("The worker %s can't be used: %s.", address, problem)
                self.problems[address] = problem
            if proof.status not in ("pending", "finished") and now - asked > _ASK_AGAIN:
                del self.proofs[address]
        proven = {worker for worker, (_, p) in self.proofs.items() if p.status == "finished"}
        self.proven = proven & self.present
        self.usable = {worker for worker in self.proven if self.running.get(worker) == self.looked}

    def _no_worker(self, waited: float) -> TemporaryError:
        problems = "; ".join({self.problems[w] for w in self.present if w in self.problems})
        return TemporaryError(
            f"No worker of {self.source.name} can be used: {problems}."
            if problems
            else f"{self.source.name} has had no worker for {waited:.0f} s.",
            hint="Start some with this version of bids-spheres and the same folders; the next "
            "call does what is missing.",
        )


@contextmanager
def _watched(source: WorkerSource) -> Iterator[None]:
    """Turn what Dask raises when a scheduler is gone into an error of ours."""
    try:
        yield
    except Exception as error:
        raise TemporaryError(
            f"{source.name} does not answer any more: {type(error).__name__}: {error}.",
            hint="What was finished is written; the next call does what is missing.",
        ) from error
