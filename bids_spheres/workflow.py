"""Settings to finished outputs: find, plan, write what the dataset shares, execute, report."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bids_spheres.bids.dataset import Selection, find_dataset, find_runs
from bids_spheres.bids.files import write_json
from bids_spheres.bids.shared import check_output_dir, write_shared_files
from bids_spheres.execute import run_jobs
from bids_spheres.plan import make_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bids_spheres.bids.dataset import Dataset
    from bids_spheres.execute import Outcome
    from bids_spheres.plan import Job
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


def run_participants(settings: Settings, *, debug: bool = False) -> list[Outcome]:
    """Do the participant level.

    Parameters
    ----------
    settings : Settings
    debug : bool
        Log where errors of single runs come from.

    Returns
    -------
    list of Outcome
        The runs that failed.

    Raises
    ------
    BidsSpheresError
        When nothing can be done at all; then nothing has been written.
    """
    dataset = find_dataset(settings.bids_dir, settings.derivatives)
    check_output_dir(settings.output_dir, [dataset.root])
    jobs = make_jobs(settings, dataset, find_runs(dataset, _selection(settings)))
    logger.info("%d runs found", len(jobs))
    _prepare(settings, dataset, jobs)
    failures = list(_execute(jobs, settings.nprocs, debug=debug))
    _summarize(jobs, failures, settings)
    return failures


def _selection(settings: Settings) -> Selection:
    return Selection(
        participants=settings.participant_label,
        sessions=settings.session_label,
        tasks=settings.task_label,
        runs=settings.run,
        spaces=settings.space,
    )


def _prepare(settings: Settings, dataset: Dataset, jobs: Sequence[Job]) -> None:
    """Write what the whole output dataset shares, and the record of this call."""
    labels = {"spheres": "Spheres around seeds on the grid of an image"}
    labels |= {strategy.name: strategy.description for strategy in jobs[0].strategies}
    write_shared_files(settings.output_dir, dataset, jobs[0].seed_sets, labels)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    write_json(settings.output_dir / "logs" / f"{stamp}_settings.json", settings.to_json())


def _execute(jobs: Sequence[Job], nprocs: int, *, debug: bool) -> Iterator[Outcome]:
    """Run all jobs; yield those that failed."""
    with logging_redirect_tqdm(loggers=[logging.getLogger("bids_spheres")]):
        for outcome in _with_progress(run_jobs(jobs, nprocs), len(jobs)):
            for note in outcome.report.notes:
                logger.info("%s: %s", outcome.job, note)
            for warning in outcome.report.warnings:
                logger.warning("%s: %s", outcome.job, warning)
            if outcome.error:
                logger.error("%s: %s", outcome.job, outcome.trace if debug else outcome.error)
                yield outcome


def _with_progress(outcomes: Iterable[Outcome], total: int) -> Iterable[Outcome]:
    """Show a bar on a terminal; elsewhere the log lines tell."""
    quiet = not logger.isEnabledFor(logging.INFO) or not sys.stderr.isatty()
    columns = get_terminal_size().columns
    return tqdm(outcomes, total=total, unit="run", disable=quiet, ncols=columns)


def _summarize(jobs: Sequence[Job], failures: Sequence[Outcome], settings: Settings) -> None:
    done = len(jobs) - len(failures)
    logger.info("%d of %d runs written to %s", done, len(jobs), settings.output_dir)
    if failures:
        names = "".join(f"\n  {outcome.job}" for outcome in failures)
        logger.error("%d of %d runs failed:%s", len(failures), len(jobs), names)
