"""Process items on the workers of a Dask scheduler.

Dask chooses the worker of each item. This module replaces parts of Dask that do not serve here:

- A worker is used once it has proven that it sees our files (`proof`). `WorkerPlugin`, Dask's way,
  `Client.run` and `Client.get_versions` wait for every worker, even one that never answers.
- No more items are handed out than workers can be used. Dask sends all at once, and leaves them
  with a worker that is paused or silent; here they are given to another after some time.
- `as_completed` has one time limit for all futures, where each wait needs its own.
- A process does one item at a time, whatever its number of threads: memory is planned for that,
  and all threads of a process share one number of BLAS threads.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections import Counter, deque
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import BidsSpheresError, TemporaryError
from bids_spheres.execute import Item, Lost, Result
from bids_spheres.execute.proof import Token, pickled, shared_objects, tokens, unpickled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from distributed import Client, Future

logger = logging.getLogger(__name__)

_POLL = 1.0
"""Time between questions which workers exist, s."""

_ANSWER = 30.0
"""Time in which a scheduler must answer, and a worker send a result of a few sentences, s."""

_SILENCE = 15.0
"""Time without a heartbeat, due every few seconds, after which a worker is not used, s."""

_GIVE_UP = 120.0
"""Time that a worker may be paused or silent before its item is given to another, s."""

_ASK_AGAIN = 30.0
"""Time after which a rejected worker is asked again, s; NFS shows new files by then."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class WorkerSource:
    """Where workers come from: the scheduler's name, for messages, and how long to wait for one.

    While no worker can be used, the call waits `timeout` seconds, and on while more are expected.
    """

    name: str
    timeout: float = 300.0
    more_expected: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class DaskExecutor:
    """Workers of a Dask scheduler.

    All machines must see the folders `inputs`, which are read, and `outputs`, which are written,
    under the same names. `shared` are objects to which many items refer.
    """

    client: Client
    source: WorkerSource
    inputs: Sequence[Path]
    outputs: Sequence[Path]
    shared: Sequence[object] = ()

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """See `Executor`; workers of a foreign scheduler finish what they have begun.

        TemporaryError when no worker can be used for too long, or the scheduler is gone.
        """
        try:
            with (
                tokens(self.inputs, self.outputs, self.shared) as token,
                closing(_Run(self, token)) as run,
            ):
                yield from run.results(do, items)
        except BidsSpheresError:
            raise
        except Exception as error:  # of Dask, when its scheduler is gone
            raise TemporaryError(
                f"{self.source.name} does not answer any more: {type(error).__name__}: {error}.",
                hint="What was finished is written; the next call does what is missing.",
            ) from error


def perform(token: Token, call: bytes) -> object:
    """Apply a function to an item, both pickled and compressed in `call`; runs in a worker."""
    with _one_at_a_time:
        do, item = unpickled(zlib.decompress(call), shared_objects(token))
        return do(item)


class _Run:
    """State of a call from the first to the last result.

    `pending` has the number of each item that was handed out, `seen` the time at which each worker
    was last running, and `proofs` the time at which it was asked for its proof.
    """

    def __init__(self, executor: DaskExecutor, token: Token) -> None:
        self.executor, self.token = executor, token
        self.pending: dict[Future, int] = {}
        self.ended: SimpleQueue[Future] = SimpleQueue()
        self.losses: Counter[int] = Counter()
        self.seen: dict[str, float] = {}
        self.proofs: dict[str, tuple[float, Future]] = {}
        self.problems: dict[str, str] = {}
        self.looked = float("-inf")

    def results(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """Hand out items to workers as these become free."""
        waiting, could_go_on = deque(range(len(items))), time.monotonic()
        source, shared = self.executor.source, self.executor.shared
        logger.info("Waiting for workers of %s", source.name)
        while waiting or self.pending:
            now = time.monotonic()
            ends = self._look(now) if now - self.looked >= _POLL else []
            proven = {a for a, (_, proof) in self.proofs.items() if proof.status == "finished"}
            usable = {address for address in proven if self.seen.get(address) == self.looked}
            late = now - could_go_on > source.timeout
            if usable or self.pending or (late and source.more_expected()):
                could_go_on = now
            elif late:
                why = "; ".join({self.problems[a] for a in self.seen if a in self.problems})
                raise TemporaryError(
                    f"{source.name} has had no worker for {now - could_go_on:.0f} s that can be "
                    f"used: {why or 'none has come'}.",
                    hint="Start some with this version of bids-spheres and the same folders; the "
                    "next call does what is missing.",
                )
            while waiting and usable and len(self.pending) < len(proven):
                call = zlib.compress(pickled((do, items[waiting[0]]), shared))
                # Hundreds of addresses are sent only where some workers are left out. If all of
                # these are gone, any other may do it; one that is unfit refuses.
                all_fit = usable == self.seen.keys()
                where = {} if all_fit else {"workers": usable, "allow_other_workers": True}
                future = self._submit(perform, self.token, call, **where)
                self.pending[future] = waiting.popleft()
            for number, end in (*ends, *self._completed()):
                if isinstance(end, Lost) and self.losses[number] < 2:
                    logger.info("%s %s is tried again.", end.message, items[number])
                    waiting.append(number)
                else:
                    yield items[number], end

    def close(self) -> None:
        """Cancel all that was begun."""
        self._cancel([*self.pending, *(proof for _, proof in self.proofs.values())])

    def _look(self, now: float) -> list[tuple[int, Lost]]:
        """Ask which workers run, and take items from those silent for too long."""
        workers, self.looked = self._ask("identity")["workers"], now
        for address in self.seen.keys() - workers.keys():
            logger.info("The worker %s is gone; what it had is tried again.", address)
            _, proof = self.proofs.pop(address, (0.0, None))
            self._cancel([proof] if proof else [])
        # By the scheduler's clock, which may differ from ours.
        newest = max((worker["last_seen"] for worker in workers.values()), default=0.0)
        running = {
            address
            for address, worker in workers.items()
            if worker["status"] == "running" and newest - worker["last_seen"] < _SILENCE
        }
        self.seen = {a: now if a in running else self.seen.get(a, 0.0) for a in workers}
        for who in running:
            asked, proof = self.proofs.get(who, (float("-inf"), None))
            failed = not proof or proof.status not in ("pending", "finished")
            if failed and now - asked > _ASK_AGAIN:
                self.proofs[who] = now, self._submit(shared_objects, self.token, workers=[who])

        late = {address for address, last in self.seen.items() if now - last > _GIVE_UP}
        tasks = self._ask("processing") if late and self.pending else {}
        held = {key for address in late for key in tasks.get(address, ())}
        stuck = [future for future in self.pending if future.key in held]
        self._cancel(stuck)
        return [self._lose(self.pending.pop(future), "it does not go on") for future in stuck]

    def _completed(self) -> Iterator[tuple[int, Any]]:
        """Yield an item that has finished, if one finishes before the next poll."""
        try:
            future = self.ended.get(timeout=_POLL)
        except Empty:
            return
        if future in self.pending:
            number = self.pending.pop(future)
            try:
                yield number, future.result(timeout=_ANSWER)
            except Exception as error:  # noqa: BLE001 - of Dask or a worker: ours raise nothing
                self.losses[number] += getattr(error, "allowed_failures", 0)  # KilledWorker
                yield self._lose(number, f"{type(error).__name__}: {error}".rstrip(": "))
        elif future.status == "error":
            problem = str(future.exception(timeout=_ANSWER))
            unfit = (address for address, (_, p) in self.proofs.items() if p.key == future.key)
            for address in unfit:
                if self.problems.get(address) != problem:
                    logger.warning("The worker %s can't be used: %s.", address, problem)
                self.problems[address] = problem

    def _lose(self, number: int, why: str) -> tuple[int, Lost]:
        self.looked = float("-inf")  # so that what is tried again waits for a worker
        self.losses[number] += 1
        times = self.losses[number]
        who = "A Dask worker was" if times == 1 else f"{times} Dask workers were"
        hint = "Most likely they had too little memory or time; see their logs. Give them more."
        return number, Lost(f"{who} lost with this run: {why}", hint)

    def _submit(self, *call: object, **where: object) -> Future:
        """Have a worker call a function, whose future then goes to `ended`."""
        future = self.executor.client.submit(*call, pure=False, **where)
        future.add_done_callback(self.ended.put)
        return future

    def _ask(self, question: str) -> Any:
        """Ask the scheduler."""
        client = self.executor.client
        return client.sync(getattr(client.scheduler, question), callback_timeout=_ANSWER)

    def _cancel(self, futures: Sequence[Future]) -> None:
        if futures:
            with suppress(Exception):  # the scheduler may be gone as well
                self.executor.client.cancel(futures, force=True)
