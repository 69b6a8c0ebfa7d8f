"""Run the participant level: find runs, plan, execute, concatenate and report."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bids_spheres.app.crashes import keep_crash
from bids_spheres.app.opening import open_executor
from bids_spheres.app.preview import dry_run as dry_run_lines
from bids_spheres.app.preview import explain_jobs
from bids_spheres.app.run_messages import RunMessages
from bids_spheres.app.shared_outputs import write_what_runs_share
from bids_spheres.errors import OutputError
from bids_spheres.files.atomic import discard_stale, remove, temporary_files_in
from bids_spheres.files.library_warnings import collected
from bids_spheres.inputs.dataset import Dataset, find_inputs
from bids_spheres.inputs.matching import find_events
from bids_spheres.inputs.runs import find_runs
from bids_spheres.inputs.selection import Filter, Selection, read_filters
from bids_spheres.outputs.logs import LOGS, crash_file, find_crashes
from bids_spheres.outputs.shared import check_output_dir
from bids_spheres.participant.concatenation import concatenate_runs, group_runs
from bids_spheres.participant.designs import check_runs, failing
from bids_spheres.participant.outcomes import Outcome, attempt
from bids_spheres.participant.plan import Work, load_seed_sets, load_strategies, make_jobs
from bids_spheres.participant.seed_maps import check_chosen
from bids_spheres.participant.seeds_in_space import can_use
from bids_spheres.participant.up_to_date import find_tasks, last_finished
from bids_spheres.reports.participant import pages_of
from bids_spheres.reports.participant.write_pages import (
    outdated_participants,
    participants_to_report,
    write_reports,
)
from bids_spheres.spaces.parcellations import load_regions
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bids_spheres.confounds.preflight import Problem
    from bids_spheres.engine.regions import MapWeighting
    from bids_spheres.execute.executor import Executor
    from bids_spheres.inputs.dataset import Inputs
    from bids_spheres.inputs.runs import SelectedRuns
    from bids_spheres.participant.plan import Job
    from bids_spheres.participant.up_to_date import Task
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


def run_participants(settings: Settings, *, debug: bool = False) -> list[Outcome]:
    """Run the participant level; return runs that failed and participants whose page did.

    With `debug` tracebacks of runs are logged. An error when nothing can be done at all; then
    nothing has been written.
    """
    if settings.execution.executor == "dask":
        settings = settings.absolute()
    if settings.reports_only:
        labels = participants_to_report(settings.output_dir, settings.labels.participant_label)
        with open_executor(settings, []) as executor, temporary_files_in(settings.temporary_dir):
            return _write_reports(executor, settings, labels, debug=debug)
    inputs, jobs, _ = plan_jobs(settings)
    tasks = _find_tasks(settings, jobs)
    stale = [task for task in tasks if task.reason]
    logger.info("%s", _freshness(tasks))
    known: set[tuple[str, str]] = set()
    if stale:
        # What is wrong with a file, and what nibabel says of it, is logged with its run.
        with collected("bids_spheres"):
            problems = _check(settings, jobs)
        known = _warn(jobs, problems, of_files=False)
    with open_executor(settings, stale, _roots(inputs)) as executor:
        try:
            record = write_what_runs_share(settings, inputs, jobs)
            _tidy(settings, tasks)
        except OutputError as error:
            if stale or settings.concatenate:
                raise
            logger.warning("Nothing to do; no record of this call is kept: %s", error.message)
            return []
        with temporary_files_in(settings.temporary_dir):
            listed = record.with_name(record.name.replace("settings.json", "messages.tsv"))
            messages = RunMessages(listed, known)
            failures, untried = _execute(executor, stale, settings, messages, debug=debug)
            _summarize(stale, failures, untried, settings, messages)
            if not any(outcome.fatal for outcome in failures):
                _concatenate(settings, jobs, failures, untried)
            failures += _report(executor, settings, tasks, debug=debug)
    return failures


def explain(settings: Settings) -> None:
    """Print the design of every strategy in every run; nothing is written."""
    _, jobs, _ = plan_jobs(settings)
    for line in explain_jobs(jobs):
        print(line)  # noqa: T201 - what was asked for
    _warn(jobs, _check(settings, jobs))


def dry_run(settings: Settings) -> None:
    """Print the runs, and what would be written; nothing is written."""
    _, jobs, selected = plan_jobs(settings)
    tasks = _find_tasks(settings, jobs)
    states = [task.reason or "up to date" for task in tasks]
    for line in (*dry_run_lines(jobs, states, selected.skipped), "", _freshness(tasks)):
        print(line)  # noqa: T201 - what was asked for
    _warn(jobs, _check(settings, jobs, values=False))


def _check(settings: Settings, jobs: Sequence[Job], *, values: bool = True) -> list[Problem]:
    return check_runs(jobs, strict=settings.strict, values=values or settings.strict)


def _warn(
    jobs: Sequence[Job], problems: Sequence[Problem], *, of_files: bool = True
) -> set[tuple[str, str]]:
    """Warn of problems before an image is read; return names of jobs and strategies that fail."""
    shown = [problem for problem in problems if of_files or not problem.of_file]
    for problem in shown:
        logger.warning("%s", problem)
    return failing(jobs, shown)


def plan_jobs(settings: Settings) -> tuple[Inputs, list[Job], SelectedRuns]:
    """Find the runs, and plan the work on each; an error when no input is left or usable."""
    inputs = find_inputs(settings.bids_dir, settings.derivatives)
    check_output_dir(settings.output_dir, _roots(inputs))
    weighting: MapWeighting = "mean" if settings.parcellation_weights == "mean" else "least-squares"
    regions = load_regions(
        *(settings.parcellation, settings.roi),
        space=settings.parcellation_space,
        weighting=weighting,
    )
    work = Work(
        seed_sets=load_seed_sets(settings.atlas, settings.seeds, settings.radius, regions),
        strategies=load_strategies(settings.strategy, settings.changes.as_keys()),
        processing=settings.processing,
        output_dir=settings.output_dir,
        links=_links(inputs),
        work_dir=settings.work_dir,
        threads=settings.execution.omp_nthreads or 2,
    )
    check_chosen(settings.processing.seed_maps, work.seed_sets)
    others = read_filters(settings.labels.bids_filter_file)
    selection = Selection(
        tuple(Filter(*named) for named in settings.labels.named()),
        tuple(Filter("--bids-filter-file", key, labels) for key, labels in others),
    )
    kinds = [kind for strategy in work.strategies for kind in strategy.bold_kinds]
    warp = settings.processing.warp_seeds
    selected = find_runs(
        *(inputs, selection, kinds, settings.bids_database_dir),
        usable=lambda space: can_use(work.seed_sets, space, warp=warp),
    )
    if any(strategy.task for strategy in work.strategies):
        selected, inputs = _with_events(settings, selected, inputs)
        work = replace(work, links=_links(inputs))
    jobs = make_jobs(work, selected.runs, settings.outliers)
    group_runs(jobs, settings.concatenate)  # an error now, and not when the runs are done
    logger.info("%s found", count(len(jobs), "run"))
    return inputs, jobs, selected


def _with_events(
    settings: Settings, selected: SelectedRuns, inputs: Inputs
) -> tuple[SelectedRuns, Inputs]:
    """Runs with their events, and the datasets with that in which events are, as "raw"."""
    from bids_spheres.app.group_options import raw_datasets  # noqa: PLC0415 - loads the group level

    roots = [*_roots(inputs), *map(Path.resolve, raw_datasets(settings.bids_dir))]
    runs, raw = [], None
    for run in selected.runs:
        everywhere = ((root, find_events(run.name, root)) for root in dict.fromkeys(roots))
        root, events = next(((r, path) for r, path in everywhere if path), (None, None))
        runs.append(replace(run, tables=replace(run.tables, events=events)))
        if root not in _roots(inputs):
            raw = raw or root
    if raw and "raw" not in inputs.others:
        inputs = replace(inputs, others={**inputs.others, "raw": Dataset(raw, raw.name)})
    return replace(selected, runs=tuple(runs)), inputs


def _links(inputs: Inputs) -> tuple[tuple[str, Path], ...]:
    return tuple((name, dataset.root) for name, dataset in inputs.all.items())


def _roots(inputs: Inputs) -> list[Path]:
    return [dataset.root for dataset in inputs.all.values()]


def _find_tasks(settings: Settings, jobs: Sequence[Job]) -> list[Task]:
    return find_tasks(
        jobs,
        overwrite=settings.overwrite,
        hash_inputs=settings.hash_inputs,
        nprocs=settings.execution.nprocs,
    )


def _freshness(tasks: Sequence[Task]) -> str:
    """A sentence: how many runs are to be done, and why."""
    why = Counter(task.reason for task in tasks if task.reason)
    stale = sum(why.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
    why_stale = f" ({reasons})" if reasons else ""
    return (
        f"{stale} of {count(len(tasks), 'run')} to do{why_stale}, {len(tasks) - stale} up to date"
    )


def _tidy(settings: Settings, tasks: Sequence[Task]) -> None:
    """Remove what killed processes left, and crash files of runs that are done."""
    out = settings.output_dir
    folders = {folder for task in tasks for folder in task.folders}
    folders |= {settings.work_dir} if settings.work_dir else set()
    if not settings.labels.participant_label:
        # Not in every task of an array: these folders have files of every participant.
        folders |= {out, out / LOGS}
    for folder in folders:
        discard_stale(folder)
    done = {crash_file(out, str(task)) for task in tasks if not task.reason}
    for crash in find_crashes(out):
        if crash.path in done:
            remove(crash.path)


def _execute(
    executor: Executor,
    tasks: Sequence[Task],
    settings: Settings,
    messages: RunMessages,
    *,
    debug: bool,
) -> tuple[list[Outcome], set[str]]:
    """Do all tasks; return failures, and the names of the tasks that were not tried."""
    failures: list[Outcome] = []
    untried = {str(task) for task in tasks}
    with (
        logging_redirect_tqdm(loggers=[logging.getLogger("bids_spheres")]),
        closing(executor.run(attempt, tasks)) as ends,
    ):
        outcomes = (Outcome.of(task, end) for task, end in ends)
        # A bar on a terminal; elsewhere the log lines show the progress.
        quiet = not logger.isEnabledFor(logging.INFO) or not sys.stderr.isatty()
        width = get_terminal_size().columns
        for outcome in tqdm(outcomes, total=len(tasks), unit="run", disable=quiet, ncols=width):
            untried.discard(outcome.job)
            messages.add(outcome, [strategy.name for strategy in tasks[0].job.work.strategies])
            for note in outcome.report.notes:
                logger.info("%s: %s", outcome.job, note)
            if outcome.error and debug:
                logger.error("%s: %s", outcome.job, outcome.trace)
            try:
                keep_crash(outcome, settings)
            except OutputError as error:  # a full disk must not hide why the run failed
                logger.warning("%s", error.message)
            if outcome.error:
                failures.append(outcome)
                if outcome.fatal or settings.stop_on_first_error:
                    break
    return failures, untried


def _concatenate(
    settings: Settings, jobs: Sequence[Job], failures: Sequence[Outcome], untried: Collection[str]
) -> None:
    """Write concatenated series and their matrices."""
    every = tuple(strategy.name for strategy in jobs[0].work.strategies)
    names = {outcome.job: outcome.failed_strategies or every for outcome in failures}
    names |= dict.fromkeys(untried, every)
    unfinished = {(job, name) for job, failed in names.items() for name in failed}
    groups = group_runs(jobs, settings.concatenate)
    for warning in concatenate_runs(groups, unfinished):
        logger.warning("%s", warning)
    if settings.concatenate:
        several = sum(len(group.jobs) > 1 for group in groups)
        logger.info("%s of several runs concatenated", count(several, "group"))


def _report(
    executor: Executor, settings: Settings, tasks: Sequence[Task], *, debug: bool
) -> list[Outcome]:
    """Write the pages of participants whose runs changed, in this or in an interrupted call."""
    out, level = settings.output_dir, settings.report_level
    labels = dict.fromkeys(task.job.run.name.get("sub") or "" for task in tasks)
    changed = {task.job.run.name.get("sub") or "" for task in tasks if task.groups}
    for label in labels:
        written = [page.stat().st_mtime_ns for page in pages_of(out, label)]
        if written and min(written) < last_finished(out, label):
            changed.add(label)
    outdated = outdated_participants(out, level, labels, changed)
    return _write_reports(executor, settings, outdated, debug=debug)


def _write_reports(
    executor: Executor, settings: Settings, labels: Sequence[str], *, debug: bool
) -> list[Outcome]:
    out, level = settings.output_dir, settings.report_level
    broken = write_reports(executor, out, level, labels, debug=debug)
    return [Outcome(f"sub-{end.label}", error=end.problem) for end in broken]


def _summarize(
    tasks: Sequence[Task],
    failures: Sequence[Outcome],
    untried: Collection[str],
    settings: Settings,
    messages: RunMessages,
) -> None:
    done, logs = len(tasks) - len(failures) - len(untried), settings.output_dir / LOGS
    runs = count(len(tasks), "run")
    messages.write()
    messages.log()
    if tasks:
        logger.info("%d of %s written to %s", done, runs, settings.output_dir)
    if failures:
        names = listing([outcome.job for outcome in failures])
        logger.error("%d of %s failed:\n  %s", len(failures), runs, names)
        logger.error("More on each is in %s", logs / "crash-*.txt")
    if untried:
        logger.error("%d of %s were not tried after that", len(untried), runs)
