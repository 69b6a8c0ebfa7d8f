"""Jobs on local processes; a failure becomes a record, and the others go on."""

from __future__ import annotations

import traceback
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bids_spheres.errors import BidsSpheresError
from bids_spheres.plan import JobReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.plan import Job


_LOST = (
    "A worker process was killed, most likely for want of memory, and took this run with it.\n"
    "  hint: Call again for the runs that are missing, with a smaller --nprocs."
)


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
    """

    job: str
    report: JobReport = field(default_factory=lambda: JobReport((), ()))
    error: str | None = None
    trace: str = ""


def run_jobs(jobs: Sequence[Job], nprocs: int) -> Iterator[Outcome]:
    """Run all jobs and yield how each ended, as they end.

    Parameters
    ----------
    jobs : sequence of Job
    nprocs : int
        Processes at work at the same time; 1 does everything in this one. What is written
        does not depend on it: every job computes on one thread.
    """
    workers = min(nprocs, len(jobs))
    if workers <= 1:
        yield from map(attempt, jobs)
        return
    from joblib import Parallel, delayed  # noqa: PLC0415 - only where it is needed

    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    left = {str(job) for job in jobs}
    try:
        for outcome in parallel(delayed(attempt)(job) for job in jobs):
            left.discard(outcome.job)
            yield outcome
    except BrokenExecutor:
        # The pool goes down with the worker; what it had not finished is not written.
        for job in sorted(left):
            yield Outcome(job, error=_LOST)


def attempt(job: Job) -> Outcome:
    """Run one job; whatever goes wrong goes into the outcome."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    from bids_spheres.participant import run_job  # noqa: PLC0415 - loaded by the worker

    try:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1):
            return Outcome(str(job), run_job(job))
    except BidsSpheresError as error:
        return Outcome(str(job), error=str(error), trace=traceback.format_exc())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}."
        return Outcome(str(job), error=message, trace=traceback.format_exc())
    except MemoryError:
        return Outcome(str(job), error="Out of memory.", trace=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - one broken run must not stop the others
        message = f"Unexpected {type(error).__name__}: {error}"
        return Outcome(str(job), error=message, trace=traceback.format_exc())
