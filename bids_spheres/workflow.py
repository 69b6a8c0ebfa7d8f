"""Settings to finished outputs: find, plan, write what the dataset shares, execute, report."""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from contextlib import closing
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bids_spheres.bids.dataset import find_inputs
from bids_spheres.bids.files import (
    discard_stale,
    remove,
    temporary_files_in,
    write_if_changed,
)
from bids_spheres.bids.filters import read_filters
from bids_spheres.bids.runs import Selection, find_runs
from bids_spheres.bids.shared import check_output_dir, write_record, write_shared_files
from bids_spheres.concatenation import concatenate_runs, group_runs
from bids_spheres.designs import check_runs
from bids_spheres.engine.connectivity import measure
from bids_spheres.errors import OutputError
from bids_spheres.execute import (
    Outcome,
    attempt,
    crash_file,
    ended_by_sigterm,
    keep_crash,
    open_executor,
)
from bids_spheres.explain import dry_run as dry_run_lines
from bids_spheres.explain import explain_jobs
from bids_spheres.freshness import find_tasks, last_finished
from bids_spheres.methods import MethodsFacts, bibliography, citation_file, methods_paragraph
from bids_spheres.participant_report import pages_of
from bids_spheres.participant_report.command import report, reports_only
from bids_spheres.placing import transformed_labels
from bids_spheres.plan import UNCLEANED, make_jobs, plan_work

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from bids_spheres.bids.dataset import Inputs
    from bids_spheres.bids.runs import Found
    from bids_spheres.execute import Executor
    from bids_spheres.freshness import Task
    from bids_spheres.participant_report import Written
    from bids_spheres.plan import Job
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)

_CAUSE = 160
"""Characters of an error in the table at the end."""


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
        The runs that failed, and the participants whose page did.

    Raises
    ------
    BidsSpheresError
        When nothing can be done at all; then nothing has been written.
    """
    if settings.execution.executor == "dask":
        settings = settings.absolute()
    if settings.reports_only:
        with open_executor(settings, []) as executor:
            broken = reports_only(executor, settings, debug=debug)
        return [Outcome(f"sub-{end.label}", error=end.problem) for end in broken]
    inputs, jobs, _ = plan_jobs(settings)
    tasks = _find_tasks(settings, jobs)
    stale = [task for task in tasks if task.groups]
    logger.info("%s", _freshness(tasks))
    if stale or any(len(job.strategies) < len(job.work.strategies) for job in jobs):
        # Of all runs: a pattern may match columns in those alone that are done already.
        check_runs(jobs)
    try:
        with ended_by_sigterm(), open_executor(settings, stale, _roots(inputs)) as executor:
            _prepare(settings, inputs, jobs)
            _tidy(settings, tasks)
            with temporary_files_in(settings.temporary_dir):
                failures, untried = _execute(executor, stale, settings, debug=debug)
                _summarize(stale, failures, untried, settings)
                if not any(outcome.hopeless for outcome in failures):
                    _concatenate(settings, jobs, untried | {outcome.job for outcome in failures})
                broken = _report(executor, settings, tasks, debug=debug)
                failures += [Outcome(f"sub-{end.label}", error=end.problem) for end in broken]
    except SystemExit:
        # A signal has no traceback worth showing.
        logger.error("Ended by SIGTERM. What was finished is written; the next call goes on.")  # noqa: TRY400
        raise
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
    tasks = _find_tasks(settings, jobs)
    states = [task.reason or "up to date" for task in tasks]
    for line in (*dry_run_lines(jobs, states, found.rejected), "", _freshness(tasks)):
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
    check_output_dir(settings.output_dir, _roots(inputs))
    work = plan_work(settings, inputs)
    kinds = [kind for strategy in work.strategies for kind in strategy.bold_kinds]
    found = find_runs(inputs, _selection(settings), kinds, settings.bids_database_dir)
    jobs = make_jobs(settings, work, found.runs)
    group_runs(jobs, settings.concatenate)  # an error now, and not when the runs are done
    logger.info("%d runs found", len(jobs))
    return inputs, jobs, found


def _roots(inputs: Inputs) -> list[Path]:
    return [dataset.root for dataset in inputs.all.values()]


def _find_tasks(settings: Settings, jobs: Sequence[Job]) -> list[Task]:
    return find_tasks(
        jobs,
        overwrite=settings.overwrite,
        hash_inputs=settings.hash_inputs,
        nprocs=settings.nprocs,
    )


def _freshness(tasks: Sequence[Task]) -> str:
    """A sentence: how many runs there are to do, and why."""
    why = Counter(task.reason for task in tasks if task.reason)
    stale = sum(why.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
    told = f" ({reasons})" if reasons else ""
    return f"{stale} of {len(tasks)} runs to do{told}, {len(tasks) - stale} up to date"


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
    labels = {
        "spheres": "Spheres around seeds on the grid of an image",
        UNCLEANED: "Signals of spheres before cleaning",
    }
    labels |= {strategy.name: strategy.description for strategy in work.strategies}
    for replaced in write_shared_files(out, inputs.all, work.seed_sets, labels):
        logger.warning("%s", replaced)
    write_record(out, settings.to_json(), settings.labels.participant_label)
    facts = _methods_facts(settings, inputs, jobs)
    write_if_changed(out / "logs" / "CITATION.md", citation_file(facts))
    write_if_changed(out / "logs" / "CITATION.bib", bibliography(methods_paragraph(facts)))


def _methods_facts(settings: Settings, inputs: Inputs, jobs: Sequence[Job]) -> MethodsFacts:
    work, rules = jobs[0].work, settings.processing
    spaces = tuple(sorted({job.run.space for job in jobs}))
    return MethodsFacts(
        pipeline=inputs.main.program,
        pipeline_version=inputs.main.version,
        spaces=spaces,
        seed_sets=work.seed_sets,
        transformed=transformed_labels(work.seed_sets, spaces, warp=rules.warp_seeds),
        mask=rules.mask,
        overlap=rules.overlap,
        min_coverage=rules.min_coverage,
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


def _tidy(settings: Settings, tasks: Sequence[Task]) -> None:
    """Remove what killed processes left, and crash files of runs that are done."""
    out = settings.output_dir
    folders = {folder for task in tasks for folder in task.folders}
    folders |= {settings.work_dir} if settings.work_dir else set()
    if not settings.labels.participant_label:
        # Not by every task of an array: there is a page and a folder for every participant.
        folders |= {out, out / "logs"}
    for folder in folders:
        discard_stale(folder)
    crashes = set((out / "logs").glob("crash-*.txt"))
    for path in crashes & {crash_file(out, str(task)) for task in tasks if not task.groups}:
        remove(path)


def _execute(
    executor: Executor, tasks: Sequence[Task], settings: Settings, *, debug: bool
) -> tuple[list[Outcome], set[str]]:
    """Do all tasks; return those that failed, and the names of those that were not tried."""
    failures: list[Outcome] = []
    untried = {str(task) for task in tasks}
    with (
        logging_redirect_tqdm(loggers=[logging.getLogger("bids_spheres")]),
        closing(executor.run(attempt, tasks)) as ends,
    ):
        outcomes = (Outcome.of(task, end) for task, end in ends)
        for outcome in _with_progress(outcomes, len(tasks)):
            untried.discard(outcome.job)
            _tell(outcome, debug=debug)
            _keep(outcome, settings)
            if outcome.error:
                failures.append(outcome)
                if outcome.hopeless or settings.stop_on_first_error:
                    break
    return failures, untried


def _tell(outcome: Outcome, *, debug: bool) -> None:
    for note in outcome.report.notes:
        logger.info("%s: %s", outcome.job, note)
    for warning in outcome.report.warnings:
        logger.warning("%s: %s", outcome.job, warning)
    if outcome.error:
        logger.error("%s: %s", outcome.job, outcome.trace if debug else outcome.error)


def _keep(outcome: Outcome, settings: Settings) -> None:
    """Keep a file about a failure; that there is no room for it stops nothing."""
    try:
        keep_crash(outcome, settings)
    except OutputError as error:
        logger.warning("%s", error.message)


def _with_progress(outcomes: Iterable[Outcome], total: int) -> Iterable[Outcome]:
    """Show a bar on a terminal; elsewhere the log lines tell."""
    quiet = not logger.isEnabledFor(logging.INFO) or not sys.stderr.isatty()
    columns = get_terminal_size().columns
    return tqdm(outcomes, total=total, unit="run", disable=quiet, ncols=columns)


def _concatenate(settings: Settings, jobs: Sequence[Job], unfinished: set[str]) -> None:
    """Write what is made of several runs."""
    groups = group_runs(jobs, settings.concatenate)
    for warning in concatenate_runs(groups, unfinished):
        logger.warning("%s", warning)
    if settings.concatenate:
        several = sum(len(group.jobs) > 1 for group in groups)
        logger.info("%d groups of several runs concatenated", several)


def _report(
    executor: Executor, settings: Settings, tasks: Sequence[Task], *, debug: bool
) -> list[Written]:
    """Write the pages of participants whose runs changed, in this call or in one cut short."""
    labels = dict.fromkeys(task.job.run.name.get("sub") or "" for task in tasks)
    changed = {task.job.run.name.get("sub") or "" for task in tasks if task.groups}
    changed |= {label for label in labels if _is_behind(settings.output_dir, label)}
    return report(executor, settings, labels, changed, debug=debug)


def _is_behind(output_dir: Path, participant: str) -> bool:
    """Whether a page is older than a run that it is about."""
    made = [page.stat().st_mtime_ns for page in pages_of(output_dir, participant)]
    return bool(made) and min(made) < last_finished(output_dir, participant)


def _summarize(
    tasks: Sequence[Task],
    failures: Sequence[Outcome],
    untried: Collection[str],
    settings: Settings,
) -> None:
    done, logs = len(tasks) - len(failures) - len(untried), settings.output_dir / "logs"
    if tasks:
        logger.info("%d of %d runs written to %s", done, len(tasks), settings.output_dir)
    if failures:
        width = max(len(outcome.job) for outcome in failures)
        rows = "".join(f"\n  {end.job:{width}}  {_cause(end)}" for end in failures)
        logger.error("%d of %d runs failed:%s", len(failures), len(tasks), rows)
        logger.error("More on each is in %s", logs / "crash-*.txt")
    if untried:
        logger.error("%d of %d runs were not tried after that", len(untried), len(tasks))


def _cause(outcome: Outcome) -> str:
    """Beginning of an error, for a table: files by their names, without hints."""
    line = re.sub(r"/(?:[^\s/:,]+/)+", "", (outcome.error or "").partition("\n")[0])
    return line if len(line) <= _CAUSE else line[: _CAUSE - 3] + "..."
