"""Worker processes on this machine.

Every worker gets its items one by one. So when it dies, the item it died on is known; that is tried
again when all others are done, alone, since workers mostly die out of memory.

Workers of `multiprocessing` would run the caller's main script once more, and joblib's pool goes
down with the first that dies. Ours end when the process that started them does, however it ends.
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
from bids_spheres.execute import Item, Lost, Result
from bids_spheres.process.signals import ended_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

GRACE = 5.0
"""Time in which a worker may clean up after SIGTERM, s."""

_BOOT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from bids_spheres.execute.local import serve
serve({pipe})
"""
"""Code of a worker. It ignores interrupts from the keyboard, which its parent answers."""

_BUG = "That is a fault of this program or of a library; please report it with the run's files."


@dataclass(frozen=True)
class LocalExecutor:
    """Up to `processes` processes at the same time; 1 does everything in this process."""

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
    """A process that does one item after the other, and our end of the pipe to it."""

    def __init__(self) -> None:
        self.channel, theirs = Pipe()
        with theirs:
            boot = [sys.executable, "-P", "-c", _BOOT.format(path=sys.path, pipe=theirs.fileno())]
            # Its standard input stays empty, and is closed when this process ends.
            self.process = subprocess.Popen(  # noqa: S603 - our own code
                boot, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]
            )

    def ask(self, do: Callable[[Item], Any], item: Item) -> Item:
        """Send an item, and return it; `answer` reports a worker that has died."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send((do, item))
        return item

    def answer(self) -> Any:
        """Result of its item, or how it died, worded as for the second worker that dies on it."""
        try:
            return self.channel.recv()
        except (EOFError, ConnectionResetError):
            status = self.process.wait()
        how = f"ended with status {status}"
        if -status in set(signal.Signals):
            how = f"ended by {signal.Signals(-status).name}"
        if killed := status == -signal.SIGKILL:
            how = "killed, most likely out of memory"
        return Lost(
            f"A worker process was {how}, and so was a second one that had this run alone.",
            hint=MORE_MEMORY if killed or address_space() else _BUG,
        )


def _shared_out(
    do: Callable[[Item], Result], items: Sequence[Item], number: int
) -> Generator[tuple[Item, Result | Lost]]:
    """Items with their results, or with how their worker died."""
    waiting = deque(items)
    workers = {_Worker() for _ in range(number)}
    try:
        at_work = {worker: worker.ask(do, waiting.popleft()) for worker in workers}
        while at_work:
            ready, *_ = wait([worker.channel for worker in at_work])
            worker = next(worker for worker in at_work if worker.channel is ready)
            item, end = at_work.pop(worker), worker.answer()
            if waiting:
                able = _Worker() if isinstance(end, Lost) else worker
                workers.add(able)
                at_work[able] = able.ask(do, waiting.popleft())
            yield item, end
    finally:
        # All at once, as each has some time to remove what it had begun to write.
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
    """Do what comes through a pipe with this descriptor until the process at its other end ends."""

    def end_with_parent() -> None:
        # Else this process would go on to write what nobody asks for.
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    channel = Connection(descriptor)
    with ended_by_sigterm(), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        threading.Thread(target=end_with_parent, daemon=True).start()
        while True:
            do, item = channel.recv()
            channel.send(do(item))
