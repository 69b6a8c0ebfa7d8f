"""One task, and how it ended; whatever goes wrong becomes a record."""

from __future__ import annotations

import errno
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bids_spheres.errors import MORE_MEMORY, BidsSpheresError, is_out_of_memory
from bids_spheres.execute.executor import Lost
from bids_spheres.execute.versions import versions
from bids_spheres.files.library_warnings import collected
from bids_spheres.participant.plan import JobReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_spheres.participant.up_to_date import Task

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of the whole output folder: the next run would meet them as well."""

_VISIBLE = 60.0
"""How long what a worker wrote may take to be seen here, s: NFS keeps folders for as long."""


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
        Why nothing was, or which strategies failed; None when all went well.
    trace : str
        Where the error came from, for debugging.
    fatal : bool
        Whether other runs would fail of the same cause, as when the disk is full.
    written : tuple of str
        Names of the files that the process wrote, from the output folder.
    versions : mapping of str to str
        What the process that failed has installed.
    """

    job: str
    report: JobReport = field(default_factory=lambda: JobReport((), ()))
    error: str | None = None
    trace: str = ""
    fatal: bool = False
    written: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed_strategies(self) -> tuple[str, ...]:
        """Those that failed when others did not; empty when the whole run did, or nothing."""
        return tuple(failed.name for failed in self.report.failed)

    @classmethod
    def of(cls, task: Task, end: Outcome | Lost) -> Outcome:
        """Outcome of a task: as the worker says, if it is not lost and its files are here."""
        if isinstance(end, Lost):
            return cls(str(task), error=str(end))
        deadline = time.monotonic() + _VISIBLE
        while unseen := _unseen(task.job.work.output_dir, end.written):
            if time.monotonic() > deadline:
                error = f"A worker says that it is written, but {unseen} is not there."
                hint = "Do all machines see the output folder as one?"
                return cls(str(task), error=f"{error}\n  hint: {hint}")
            time.sleep(0.5)
        return end


def _unseen(output_dir: Path, names: Sequence[str]) -> str | None:
    """One of some files that is not there as this process sees it."""
    # NFS answers for a while from memory whether there is a file; a listing asks the server.
    paths = [output_dir / name for name in names]
    folders = {path.parent for path in paths if path.parent.is_dir()}
    seen = {path for folder in folders for path in folder.iterdir()}
    return next((path.name for path in paths if path not in seen), None)


def attempt(task: Task) -> Outcome:
    """Do one task; whatever goes wrong goes into the outcome."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    from bids_spheres.participant.job import run_job  # noqa: PLC0415 - loaded by the worker

    try:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1), collected("bids_spheres") as messages:
            task.begin()
            report = run_job(task.job)
            written = task.finish(report.excluded, report.unwritten)
    except Exception as error:  # noqa: BLE001 - one broken run must not stop the others
        trace, fatal = traceback.format_exc(), _errno(error) in _NO_ROOM
        return Outcome(
            str(task),
            error=_message(error),
            trace=trace,
            fatal=fatal,
            versions=versions(),
        )
    report = replace(report, warnings=(*messages, *report.warnings))
    failed = [f"{strategy.name}: {strategy.error}" for strategy in report.failed]
    return Outcome(
        str(task),
        report,
        error="\n".join(failed) or None,
        trace="\n".join(strategy.trace for strategy in report.failed),
        written=written,
        versions=versions() if failed else {},
    )


def _message(error: Exception) -> str:
    if isinstance(error, BidsSpheresError):
        return str(error)
    if is_out_of_memory(error):
        return f"Out of memory.\n  hint: {MORE_MEMORY}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    return f"Unexpected {type(error).__name__}: {error}"


def _errno(error: BaseException | None) -> int | None:
    """Number of the system's error, of an error or of what it was raised from."""
    while error is not None:
        # Of our own errors, which are made of other arguments, it is no number.
        if isinstance(error, OSError) and isinstance(error.errno, int):
            return error.errno
        error = error.__cause__
    return None
