"""One task, and how it ended; whatever goes wrong becomes a record."""

from __future__ import annotations

import errno
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bids_spheres.errors import describe_error
from bids_spheres.execute import Lost
from bids_spheres.files.library_warnings import collected
from bids_spheres.process.versions import versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bids_spheres.participant.up_to_date import Task

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of the whole output folder, for all runs
_VISIBLE = 60.0  # s until what a worker wrote is seen here: NFS keeps folders for as long


@dataclass(frozen=True)
class FailedStrategy:
    """Name of a strategy that could not be applied to a run, while others could, and why."""

    name: str
    error: str
    trace: str = ""


@dataclass(frozen=True)
class JobReport:
    """What a user should know about the outputs of a job, a sentence each.

    `excluded` are names of strategies that exclude the run. Nothing was written of those that
    failed, and `unwritten` are the tables, as in `Job.current`, that lack because of them.
    """

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    failed: tuple[FailedStrategy, ...] = ()
    unwritten: frozenset[Path] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    `error` says why nothing was written or which strategies failed, and `trace` where. It is
    `fatal` when other runs would fail of the same cause, as when the disk is full. `written` names
    files from the output folder, and `versions` is what the process that failed has installed.
    """

    job: str
    report: JobReport = JobReport()
    error: str | None = None
    trace: str = ""
    fatal: bool = False
    written: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed_strategies(self) -> tuple[str, ...]:
        """Strategies that failed when others did not; empty when the whole run did, or nothing."""
        return tuple(failed.name for failed in self.report.failed)

    @classmethod
    def of(cls, task: Task, end: Outcome | Lost) -> Outcome:
        """Outcome of a task: as the worker says, if it is not lost and its files are here."""
        if isinstance(end, Lost):
            return cls(str(task), error=str(end))
        deadline = time.monotonic() + _VISIBLE
        paths = {task.job.work.output_dir / name for name in end.written}
        while True:
            # NFS remembers for a while whether a file exists; a listing asks the server.
            folders = {path.parent for path in paths if path.parent.is_dir()}
            unseen = paths.difference(*(folder.iterdir() for folder in folders))
            if not unseen:
                return end
            if time.monotonic() > deadline:
                error = f"A worker says that it wrote {min(unseen).name}, which is missing here."
                hint = "Do all machines see the output folder as one?"
                return cls(str(task), error=f"{error}\n  hint: {hint}")
            time.sleep(0.5)


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
        message, _ = describe_error(error)
        # Our own errors take other arguments, and have no number as `errno`.
        codes = {getattr(e, "errno", None) for e in (error, error.__cause__) if e is not None}
        trace, fatal = traceback.format_exc(), not codes.isdisjoint(_NO_ROOM)
        return Outcome(str(task), error=message, trace=trace, fatal=fatal, versions=versions())
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
