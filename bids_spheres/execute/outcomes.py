"""One task, and how it ended; whatever goes wrong becomes a record."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bids_spheres.errors import BidsSpheresError
from bids_spheres.execute.executor import MORE_MEMORY, Lost
from bids_spheres.library_warnings import collected
from bids_spheres.plan import JobReport

if TYPE_CHECKING:
    from bids_spheres.freshness import Task

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of the whole output folder: the next run would meet them as well."""


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
    hopeless : bool
        Whether other runs would fail of the same cause, as when the disk is full.
    """

    job: str
    report: JobReport = field(default_factory=lambda: JobReport((), ()))
    error: str | None = None
    trace: str = ""
    hopeless: bool = False

    @property
    def failed_strategies(self) -> tuple[str, ...]:
        """Those that failed when others did not; empty when the whole run did, or nothing."""
        return tuple(failed.name for failed in self.report.failed)

    @classmethod
    def of(cls, task: Task, end: Outcome | Lost) -> Outcome:
        """The outcome itself, or that of a task of which workers were lost."""
        return cls(str(task), error=str(end)) if isinstance(end, Lost) else end


def attempt(task: Task) -> Outcome:
    """Do one task; whatever goes wrong goes into the outcome."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    from bids_spheres.participant import run_job  # noqa: PLC0415 - loaded by the worker

    try:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1), collected("bids_spheres") as messages:
            task.begin()
            report = run_job(task.job)
            task.finish(report.excluded, report.unwritten)
    except Exception as error:  # noqa: BLE001 - one broken run must not stop the others
        trace, hopeless = traceback.format_exc(), _errno(error) in _NO_ROOM
        return Outcome(str(task), error=_message(error), trace=trace, hopeless=hopeless)
    report = replace(report, warnings=(*messages, *report.warnings))
    failed = [f"{strategy.name}: {strategy.error}" for strategy in report.failed]
    trace = "\n".join(strategy.trace for strategy in report.failed)
    return Outcome(str(task), report, error="\n".join(failed) or None, trace=trace)


def _message(error: Exception) -> str:
    if isinstance(error, BidsSpheresError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    if isinstance(error, MemoryError):
        return f"Out of memory.\n  hint: {MORE_MEMORY}"
    return f"Unexpected {type(error).__name__}: {error}"


def _errno(error: BaseException | None) -> int | None:
    """Number of the system's error, of an error or of what it was raised from."""
    while error is not None:
        # Of our own errors, which are made of other arguments, it is no number.
        if isinstance(error, OSError) and isinstance(error.errno, int):
            return error.errno
        error = error.__cause__
    return None
