"""Run the participant level: find runs, plan, execute, concatenate and report."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bids_spheres.app.opening import open_executor
from bids_spheres.app.planning import freshness, plan_jobs, roots_of, tasks_of, warn_of_problems
from bids_spheres.app.run_messages import RunMessages
from bids_spheres.engine.connectivity import measure
from bids_spheres.errors import OutputError
from bids_spheres.files import atomic
from bids_spheres.files.library_warnings import collected
from bids_spheres.outputs import logs
from bids_spheres.outputs.paths import UNCLEANED
from bids_spheres.outputs.shared import write_shared_files
from bids_spheres.participant.concatenation import concatenate_runs, group_runs
from bids_spheres.participant.designs import check_runs
from bids_spheres.participant.job import Outcome, attempt
from bids_spheres.participant.seeds_in_space import transformed_labels
from bids_spheres.participant.up_to_date import Task, last_finished
from bids_spheres.process.versions import versions
from bids_spheres.reports.methods import citation, references
from bids_spheres.reports.participant import write_pages
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from bids_spheres.execute import Executor
    from bids_spheres.inputs.dataset import Inputs
    from bids_spheres.participant.plan import Work
    from bids_spheres.settings.table import Settings

logger = logging.getLogger(__name__)


def rewrite_reports(settings: Settings, *, debug: bool = False) -> list[Outcome]:
    """Write pages again from existing results; return participants whose page failed."""
    if settings.execution.executor == "dask":
        settings = settings.absolute()
    labels = write_pages.participants_to_report(
        settings.output_dir, settings.labels.participant_label
    )
    with open_executor(settings, []) as executor, atomic.temporary_files_in(settings.temporary_dir):
        return _write_reports(executor, settings, labels, debug=debug)


def run_participants(settings: Settings, *, debug: bool = False) -> list[Outcome]:
    """Run the participant level; return runs that failed and participants whose page did."""
    if settings.execution.executor == "dask":
        settings = settings.absolute()
    inputs, jobs, _ = plan_jobs(settings)
    tasks = tasks_of(settings, jobs)
    stale = [task for task in tasks if task.reason]
    logger.info("%s", freshness(tasks))
    known: set[tuple[str, str]] = set()
    if stale:
        # What is wrong with a file, and what nibabel says of it, is logged with its run.
        with collected("bids_spheres"):
            problems = check_runs(jobs, strict=settings.strict)
        known = warn_of_problems(jobs, (each for each in problems if not each.of_file))
    with open_executor(settings, stale, roots_of(inputs)) as executor:
        try:
            record = _prepare_output(settings, inputs, tasks)
        except OutputError as error:
            if stale or settings.concatenate:
                raise
            logger.warning("Nothing to do; no record of this call is kept: %s", error.message)
            return []
        with atomic.temporary_files_in(settings.temporary_dir):
            listed = record.with_name(record.name.replace("settings.json", "messages.tsv"))
            messages = RunMessages(listed, known)
            failures, unfinished = _execute(executor, stale, settings, messages, debug=debug)
            level = None if any(end.fatal for end in failures) else settings.concatenate
            groups = group_runs(jobs, level)
            for warning in concatenate_runs(groups, unfinished):
                logger.warning("%s", warning)
            if level:
                several = count(sum(len(group.jobs) > 1 for group in groups), "group")
                logger.info("%s of several runs concatenated", several)
            failures += _report(executor, settings, tasks, debug=debug)
    return failures


def _prepare_output(settings: Settings, inputs: Inputs, tasks: Sequence[Task]) -> Path:
    """Write what all runs share and the record of this call; return its path.

    Remove what killed processes left, and crash files of runs that are done.
    """
    work, out = tasks[0].job.work, settings.output_dir
    labels = {
        "spheres": "Spheres around seeds on the grid of an image",
        UNCLEANED: "Signals of spheres before cleaning",
    }
    labels |= {strategy.name: strategy.description for strategy in work.strategies}
    for replaced in write_shared_files(out, inputs.all, work.seed_sets, labels):
        logger.warning("%s", replaced)
    record = logs.write_record(out, settings.to_json(), settings.labels.participant_label)
    spaces: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        spaces[task.job.run.participant].add(task.job.run.space)
    facts = _methods_facts(settings, inputs, work, set().union(*spaces.values()))
    atomic.write_if_changed(out / logs.CITATION_FILE, citation.citation_file(facts))
    atomic.write_if_changed(
        out / logs.LOGS / "CITATION.bib", references.bibliography(citation.methods_paragraph(facts))
    )
    text = cache(lambda own: citation.citation_file(_methods_facts(settings, inputs, work, own)))
    for label, own in spaces.items():
        atomic.write_if_changed(out / logs.methods_file(label), text(frozenset(own)))
    folders = {folder for task in tasks for folder in task.folders}
    folders |= {settings.work_dir} if settings.work_dir else set()
    if not settings.labels.participant_label:
        # Not in every task of an array: these folders have files of every participant.
        folders |= {out, out / logs.LOGS}
    for folder in folders:
        atomic.discard_stale(folder)
    done = {logs.crash_file(out, str(task)) for task in tasks if not task.reason}
    for crash in logs.find_crashes(out):
        if crash.path in done:
            atomic.remove(crash.path)
    return record


def _methods_facts(
    settings: Settings, inputs: Inputs, work: Work, spaces: Collection[str]
) -> citation.MethodsFacts:
    rules, names = settings.processing, tuple(sorted(spaces))
    return citation.MethodsFacts(
        **vars(rules),
        pipeline=inputs.main.program,
        pipeline_version=inputs.main.version,
        spaces=names,
        seed_sets=work.seed_sets,
        transformed=transformed_labels(work.seed_sets, names, warp=rules.warp_seeds),
        strategies=work.strategies,
        external_outliers=settings.outliers is not None,
        measures=tuple(measure(name).stat for name in rules.connectivity),
    )


def _execute(
    executor: Executor,
    tasks: Sequence[Task],
    settings: Settings,
    messages: RunMessages,
    *,
    debug: bool,
) -> tuple[list[Outcome], set[tuple[str, str]]]:
    """Do all tasks, and log how they end; return failures, and unfinished runs x strategies."""
    failures: list[Outcome] = []
    strategies = [each.name for each in tasks[0].job.work.strategies] if tasks else []
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
            messages.add(outcome, strategies)
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
            if outcome.fatal or (outcome.error and settings.stop_on_first_error):
                break
    messages.log()
    done, runs = len(tasks) - len(failures) - len(untried), count(len(tasks), "run")
    if tasks:
        logger.info("%d of %s written to %s", done, runs, settings.output_dir)
    if failures:
        names = listing([outcome.job for outcome in failures])
        logger.error("%d of %s failed:\n  %s", len(failures), runs, names)
        logger.error("More on each is in %s", settings.output_dir / logs.LOGS / "crash-*.txt")
    if untried:
        logger.error("%d of %s were not tried after that", len(untried), runs)
    lost = {outcome.job: outcome.failed_strategies or strategies for outcome in failures}
    lost |= dict.fromkeys(untried, strategies)
    return failures, {(job, name) for job, names in lost.items() for name in names}


def _report(
    executor: Executor, settings: Settings, tasks: Sequence[Task], *, debug: bool
) -> list[Outcome]:
    """Write the pages of participants whose runs changed, in this or in an interrupted call."""
    out, level = settings.output_dir, settings.report_level
    labels = dict.fromkeys(task.job.run.participant for task in tasks)
    changed = {task.job.run.participant for task in tasks if task.groups}
    for label in labels:
        written = [page.stat().st_mtime_ns for page in write_pages.pages_of(out, label)]
        if written and min(written) < last_finished(out, label):
            changed.add(label)
    outdated = write_pages.outdated_participants(out, level, labels, changed)
    return _write_reports(executor, settings, outdated, debug=debug)


def _write_reports(
    executor: Executor, settings: Settings, labels: Sequence[str], *, debug: bool
) -> list[Outcome]:
    out, level = settings.output_dir, settings.report_level
    broken = write_pages.write_reports(executor, out, level, labels, debug=debug)
    return [Outcome(f"sub-{end.label}", error=end.problem) for end in broken]


def keep_crash(outcome: Outcome, settings: Settings) -> None:
    """Write a file about a failure, without the environment and its secrets; else remove it."""
    path = logs.crash_file(settings.output_dir, outcome.job)
    if outcome.error is None:
        atomic.remove(path)
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    software = outcome.versions or versions()
    parts = (
        f"{outcome.job}, {when}",
        outcome.error,
        outcome.trace.rstrip() or "No traceback: the process is gone.",
        "\n".join(f"{name} {version}" for name, version in software.items()),
        atomic.json_text(settings.to_json()).rstrip(),
    )
    atomic.write_text(path, "\n\n".join(parts) + "\n")
