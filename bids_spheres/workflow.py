"""Settings to finished outputs: find, plan, write what the dataset shares, execute, report."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bids_spheres.bids.dataset import find_inputs
from bids_spheres.bids.files import write_json, write_text
from bids_spheres.bids.filters import read_filters
from bids_spheres.bids.runs import Selection, find_runs
from bids_spheres.bids.shared import check_output_dir, write_shared_files
from bids_spheres.designs import check_runs
from bids_spheres.engine.connectivity import measure
from bids_spheres.execute import run_jobs
from bids_spheres.explain import dry_run as dry_run_lines
from bids_spheres.explain import explain_jobs
from bids_spheres.methods import MethodsFacts, bibliography, citation_file, methods_paragraph
from bids_spheres.placing import transformed_labels
from bids_spheres.plan import make_jobs, plan_work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bids_spheres.bids.dataset import Inputs
    from bids_spheres.bids.runs import Found
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
    inputs, jobs, _ = plan_jobs(settings)
    check_runs(jobs)
    _prepare(settings, inputs, jobs)
    failures = list(_execute(jobs, settings.nprocs, debug=debug))
    _summarize(jobs, failures, settings)
    return failures


def explain(settings: Settings) -> None:
    """Print what every strategy comes to in every run found; nothing is written.

    Raises
    ------
    BidsSpheresError
        As `run_participants`.
    """
    _, jobs, _ = plan_jobs(settings)
    for line in explain_jobs(jobs):
        print(line)  # noqa: T201 - what was asked for
    check_runs(jobs)


def dry_run(settings: Settings) -> None:
    """Print which runs were found, and what would be written; nothing is.

    Raises
    ------
    BidsSpheresError
        As `run_participants`.
    """
    _, jobs, found = plan_jobs(settings)
    for line in dry_run_lines(jobs, found.rejected):
        print(line)  # noqa: T201 - what was asked for
    check_runs(jobs)


def plan_jobs(settings: Settings) -> tuple[Inputs, list[Job], Found]:
    """Datasets, the work on every run found in them, and what was found.

    Raises
    ------
    BidsSpheresError
        When there is no input, it can't be used, or nothing is left of it.
    """
    inputs = find_inputs(settings.bids_dir, settings.derivatives)
    check_output_dir(settings.output_dir, [dataset.root for dataset in inputs.all.values()])
    work = plan_work(settings, inputs)
    kinds = [kind for strategy in work.strategies for kind in strategy.bold_kinds]
    found = find_runs(inputs, _selection(settings), kinds, settings.bids_database_dir)
    jobs = make_jobs(settings, work, found.runs)
    logger.info("%d runs found", len(jobs))
    return inputs, jobs, found


def _selection(settings: Settings) -> Selection:
    labels = settings.labels
    return Selection(
        participants=labels.participant_label,
        sessions=labels.session_label,
        tasks=labels.task_label,
        acquisitions=labels.acquisition,
        runs=labels.run,
        echoes=labels.echo,
        spaces=labels.space,
        resolutions=labels.res,
        others=read_filters(labels.bids_filter_file),
    )


def _prepare(settings: Settings, inputs: Inputs, jobs: Sequence[Job]) -> None:
    """Write what the whole output dataset shares, and the record of this call."""
    work, out = jobs[0].work, settings.output_dir
    labels = {"spheres": "Spheres around seeds on the grid of an image"}
    labels |= {strategy.name: strategy.description for strategy in work.strategies}
    for replaced in write_shared_files(out, inputs.all, work.seed_sets, labels):
        logger.warning("%s", replaced)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    write_json(out / "logs" / f"{stamp}_settings.json", settings.to_json())
    facts = _methods_facts(settings, inputs, jobs)
    write_text(out / "logs" / "CITATION.md", citation_file(facts))
    write_text(out / "logs" / "CITATION.bib", bibliography(methods_paragraph(facts)))


def _methods_facts(settings: Settings, inputs: Inputs, jobs: Sequence[Job]) -> MethodsFacts:
    work, rules = jobs[0].work, settings.processing
    spaces = tuple(sorted({job.run.space for job in jobs}))
    return MethodsFacts(
        pipeline=inputs.main.program,
        pipeline_version=inputs.main.version,
        spaces=spaces,
        seed_sets=work.seed_sets,
        transformed=transformed_labels(work.seed_sets, spaces, warp=rules.warp_seeds),
        aggregation=rules.aggregation,
        smoothing_fwhm=rules.smoothing_fwhm,
        strategies=work.strategies,
        dummy_scans=rules.dummy_scans,
        external_outliers=settings.outliers is not None,
        detrend=rules.detrend,
        standardize=rules.standardize,
        min_degrees_of_freedom=rules.min_dof,
        full_length=rules.full_length,
        measures=tuple(measure(name).stat for name in rules.connectivity),
    )


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
