"""Tasks in this process or on several; a failure becomes a record, and the others go on.

Every worker process does one task after the other, and is told them one by one. So when one dies,
it is known which run it died of: that run is tried again when all others are done, alone, since
what kills workers is mostly want of memory.

Workers are not those of `multiprocessing`, which run the caller's main script once more in each of
them, nor joblib's, whose pool goes down with the first that dies. They end when the process that
started them does, however that ends.
"""

from __future__ import annotations

import errno
import os
import pickle
import platform
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.bids.files import json_text, remove, write_text
from bids_spheres.errors import BidsSpheresError
from bids_spheres.plan import JobReport

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from bids_spheres.freshness import Task
    from bids_spheres.settings import Settings

GRACE = 5.0
"""How long a worker may take to clean up when it is told to end, s."""

_BOOT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from bids_spheres.execute import serve
serve({descriptor})
"""
"""What a worker runs. An interrupt from the keyboard reaches it too; its parent answers that."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of the whole output folder: the next run would meet them as well."""

_MORE_MEMORY = "Call again with a smaller --nprocs, or on a machine with more memory."
_BUG = "That is a fault of this program or of a library; please report it with the run's files."


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Parameters
    ----------
    job : str
        Its name.
    report : JobReport
        What the user should know about what was written.
    error : str or None
        Why nothing was; None when all went well.
    trace : str
        Where the error came from, for debugging.
    hopeless : bool
        Whether other runs would fail of the same cause, as when the disk is full.
    """

    job: str
    report: JobReport = field(default_factory=lambda: JobReport((), ()))
    error: str | None = None
    trace: str = ""
    hopeless: bool = False


def run_tasks(tasks: Sequence[Task], nprocs: int) -> Generator[Outcome]:
    """Do all tasks and yield how each ended, as they end.

    No worker is left when the iterator is closed or comes to its end.

    Parameters
    ----------
    tasks : sequence of Task
    nprocs : int
        Processes at work at the same time; 1 does everything in this one. What is written
        does not depend on it: every job computes on one thread.
    """
    workers = min(nprocs, len(tasks))
    if workers <= 1:
        yield from map(attempt, tasks)
        return
    lost = []
    with closing(_shared_out(tasks, workers)) as ends:
        for task, end in ends:
            if isinstance(end, Outcome):
                yield end
            else:
                lost.append(task)
    for task in lost:
        with closing(_shared_out([task], 1)) as ends:
            for _, end in ends:
                yield end if isinstance(end, Outcome) else _died_twice(task, end)


def attempt(task: Task) -> Outcome:
    """Do one task; whatever goes wrong goes into the outcome."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    from bids_spheres.participant import run_job  # noqa: PLC0415 - loaded by the worker

    try:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1):
            task.begin()
            report = run_job(task.job)
            task.finish(report.excluded)
    except Exception as error:  # noqa: BLE001 - one broken run must not stop the others
        trace, hopeless = traceback.format_exc(), _errno(error) in _NO_ROOM
        return Outcome(str(task), error=_message(error), trace=trace, hopeless=hopeless)
    return Outcome(str(task), report)


def crash_file(output_dir: Path, job: str) -> Path:
    """File about the failure of a job, by the job's name."""
    return output_dir / "logs" / f"crash-{job.replace(' ', '_')}.txt"


def keep_crash(outcome: Outcome, settings: Settings) -> None:
    """Write what is known of a failure; after a success remove what an earlier call wrote.

    Message, traceback, versions and settings; nothing of the environment, which holds secrets.

    Raises
    ------
    OutputError
        When the file can't be written or removed.
    """
    path = crash_file(settings.output_dir, outcome.job)
    if outcome.error is None:
        remove(path)
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    parts = (
        f"{outcome.job}, {when}",
        outcome.error,
        outcome.trace.rstrip() or "No traceback: the process is gone.",
        "\n".join(f"{name} {version}" for name, version in _versions()),
        json_text(settings.to_json()).rstrip(),
    )
    write_text(path, "\n\n".join(parts) + "\n")


def _versions() -> Iterator[tuple[str, str]]:
    """Names and versions of what a result may depend on."""
    yield "bids-spheres", __version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in ("h5py", "nibabel", "numpy", "pandas", "pybids", "scipy", "zlib-ng"):
        with suppress(PackageNotFoundError):
            yield name, version(name)


def _message(error: Exception) -> str:
    if isinstance(error, BidsSpheresError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    if isinstance(error, MemoryError):
        return f"Out of memory.\n  hint: {_MORE_MEMORY}"
    return f"Unexpected {type(error).__name__}: {error}"


def _errno(error: BaseException | None) -> int | None:
    """Number of the system's error, of an error or of what it was raised from."""
    while error is not None:
        # Of our own errors, which are made of other arguments, it is no number.
        if isinstance(error, OSError) and isinstance(error.errno, int):
            return error.errno
        error = error.__cause__
    return None


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which clusters announce the end of time, end the block like an error.

    Workers are stopped and temporary files removed by that. The exit status is a shell's for the
    signal, 143. Where signals can't be handled, outside the main thread, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    # Whoever sends it to a whole process group and to its leader must not disturb the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process that does one task after the other, and our end of the pipe to it."""

    process: subprocess.Popen[bytes]
    channel: Connection

    @classmethod
    def start(cls) -> _Worker:
        ours, theirs = Pipe()
        with theirs:
            code = _BOOT.format(path=sys.path, descriptor=theirs.fileno())
            process = subprocess.Popen(  # noqa: S603 - our own code
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return cls(process, ours)

    def ask(self, task: Task) -> Task:
        """Send a task, and return it; that the worker has died is told by its answer."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(task)
        return task

    def answer(self) -> Outcome | int:
        """How its task ended, or how the worker did: its exit status, as of `subprocess`."""
        try:
            outcome: Outcome = self.channel.recv()
        except (EOFError, ConnectionResetError):
            return self.process.wait()
        return outcome


def _shared_out(tasks: Sequence[Task], number: int) -> Generator[tuple[Task, Outcome | int]]:
    """How tasks ended on some workers, or how the worker did that had it."""
    waiting = deque(tasks)
    workers = [_Worker.start() for _ in range(number)]
    try:
        at_work = {worker.channel: (worker, worker.ask(waiting.popleft())) for worker in workers}
        while at_work:
            for channel in _ready(at_work):
                worker, task = at_work.pop(channel)
                end = worker.answer()
                if waiting:
                    if not isinstance(end, Outcome):
                        worker = _Worker.start()
                        workers.append(worker)
                    at_work[worker.channel] = worker, worker.ask(waiting.popleft())
                yield task, end
    finally:
        _stop(workers)


def _ready(channels: Iterable[Connection]) -> list[Connection]:
    """Those from which there is something to read, if only their end; waits for the first."""
    return [channel for channel in wait(list(channels)) if isinstance(channel, Connection)]


def _stop(workers: Sequence[_Worker]) -> None:
    """End processes; they have some time to remove what they had begun to write."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.wait()
        worker.channel.close()


def _died_twice(task: Task, status: int) -> Outcome:
    """Failure of a run of which two workers died."""
    names = {-number: number.name for number in signal.Signals}
    how = f"ended by {names[status]}" if status in names else f"ended with status {status}"
    killed = status == -signal.SIGKILL
    message = (
        f"A worker process was {'killed, most likely for want of memory' if killed else how}, and "
        "so was a second one that had this run alone."
    )
    return Outcome(str(task), error=f"{message}\n  hint: {_MORE_MEMORY if killed else _BUG}")


def serve(descriptor: int) -> None:
    """Do the tasks that come through a pipe, until the process at its other end is gone.

    Parameters
    ----------
    descriptor : int
        Of the open pipe.
    """
    channel, tasks = Connection(descriptor), SimpleQueue[bytes]()
    with ended_by_sigterm(), suppress(BrokenPipeError):
        threading.Thread(target=_receive, args=(channel, tasks), daemon=True).start()
        while True:
            channel.send(attempt(pickle.loads(tasks.get())))  # noqa: S301 - from our parent


def _receive(channel: Connection, tasks: SimpleQueue[bytes]) -> None:
    """Pass on what comes through a pipe; end this process when it is closed at the other end.

    A worker without a parent would go on to write what nobody asks for any more.
    """
    try:
        while True:
            tasks.put(channel.recv_bytes())
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)
