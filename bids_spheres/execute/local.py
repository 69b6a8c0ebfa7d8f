"""Workers on this machine.

Every worker process gets its items one by one. So when it dies, the item it died on is known: it is
tried again when all others are done, alone, since workers mostly die because memory runs out.

Workers are not those of `multiprocessing`, which run the caller's main script once more in each of
them, nor joblib's, whose pool goes down with the first that dies. They end when the process that
started them does, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import MORE_MEMORY, address_space
from bids_spheres.execute.executor import Item, Lost, Result
from bids_spheres.process.signals import ended_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

GRACE = 5.0
"""How long a worker may take to clean up after SIGTERM, s."""

_BOOT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from bids_spheres.execute.local import serve
serve({pipe})
"""
"""What a worker runs. An interrupt from the keyboard reaches it too; its parent answers that."""

_BUG = "That is a fault of this program or of a library; please report it with the run's files."


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine.

    Parameters
    ----------
    processes : int
        At work at the same time; 1 does everything in this one. What is written does not depend
        on it.
    """

    processes: int = 1

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """See `Executor`; an item whose worker died is tried again alone."""
        workers = min(self.processes, len(items))
        if workers <= 1:
            yield from ((item, do(item)) for item in items)
            return
        died = []
        with closing(_shared_out(do, items, workers)) as ends:
            for item, end in ends:
                if isinstance(end, Lost):
                    died.append(item)
                else:
                    yield item, end
        for item in died:
            yield from _shared_out(do, [item], 1)


class _Worker:
    """A process that does one task after the other, and our end of the pipe to it."""

    def __init__(self) -> None:
        self.channel, theirs = Pipe()
        with theirs:
            boot = [sys.executable, "-P", "-c", _BOOT.format(path=sys.path, pipe=theirs.fileno())]
            # Nothing is written to its standard input, which is closed when this process is gone.
            self.process = subprocess.Popen(  # noqa: S603 - our own code
                boot, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]
            )

    def ask(self, do: Callable[[Item], Any], item: Item) -> Item:
        """Send an item, and return it; `answer` reports a worker that has died."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send((do, item))
        return item

    def answer(self) -> Any:
        """The result of its item; or how it died, as when it was the second to die on it."""
        try:
            return self.channel.recv()
        except (EOFError, ConnectionResetError):
            status = self.process.wait()
        how = f"ended with status {status}"
        if -status in set(signal.Signals):
            how = f"ended by {signal.Signals(-status).name}"
        killed = status == -signal.SIGKILL
        return Lost(
            f"A worker process was {'killed, most likely out of memory' if killed else how}, and "
            "so was a second one that had this run alone.",
            hint=MORE_MEMORY if killed or address_space() else _BUG,
        )


def _shared_out(
    do: Callable[[Item], Result], items: Sequence[Item], number: int
) -> Generator[tuple[Item, Result | Lost]]:
    """Items with their results, or with how the worker died that had them."""
    waiting = deque(items)
    workers = {_Worker() for _ in range(number)}
    try:
        at_work = {worker: worker.ask(do, waiting.popleft()) for worker in workers}
        while at_work:
            ready = wait([worker.channel for worker in at_work])
            for worker in [worker for worker in workers if worker.channel in ready]:
                item, end = at_work.pop(worker), worker.answer()
                if waiting:
                    able = _Worker() if isinstance(end, Lost) else worker
                    workers.add(able)
                    at_work[able] = able.ask(do, waiting.popleft())
                yield item, end
    finally:
        # All at once: each has some time to remove what it had begun to write.
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.communicate()
            worker.channel.close()


def serve(descriptor: int) -> None:
    """Do what comes through a pipe, until the process at its other end is gone.

    Parameters
    ----------
    descriptor : int
        Of the open pipe.
    """
    channel = Connection(descriptor)
    with ended_by_sigterm(), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        threading.Thread(target=_end_with_parent, daemon=True).start()
        while True:
            do, item = channel.recv()
            channel.send(do(item))


def _end_with_parent() -> None:
    """End this process when its parent is gone; else it goes on to write what nobody asks for."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
