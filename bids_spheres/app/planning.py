"""Plan a call, and show the plan (--dry-run, --explain) without reading an image."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.app.run_messages import kind_of
from bids_spheres.confounds.degrees_of_freedom import parts, rounded
from bids_spheres.errors import printable
from bids_spheres.inputs.dataset import Dataset, Inputs, find_inputs
from bids_spheres.inputs.matching import find_events
from bids_spheres.inputs.runs import SelectedRuns, find_runs
from bids_spheres.inputs.selection import Filter, Selection, read_filters
from bids_spheres.outputs.shared import check_output_dir
from bids_spheres.participant.concatenation import group_runs
from bids_spheres.participant.designs import StrategyFailures, check_runs, failing, run_designs
from bids_spheres.participant.plan import Job, Work, load_seed_sets, load_strategies, make_jobs
from bids_spheres.participant.seeds_in_space import can_use
from bids_spheres.participant.series import check_chosen
from bids_spheres.participant.up_to_date import Task, find_tasks
from bids_spheres.settings.values import OFF
from bids_spheres.spaces.parcellations import load_regions
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bids_spheres.confounds.design import Problem
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.settings.table import Settings

logger = logging.getLogger(__name__)


def plan_jobs(settings: Settings) -> tuple[Inputs, list[Job], SelectedRuns]:
    """Find the runs, and plan the work on each; an error when no input is left or usable."""
    inputs = find_inputs(settings.bids_dir, settings.derivatives)
    check_output_dir(settings.output_dir, roots_of(inputs))
    regions = load_regions(
        *(settings.parcellation, settings.roi),
        space=settings.parcellation_space,
        weighting=settings.parcellation_weights,
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
    from bids_spheres.app.group_level import raw_datasets  # noqa: PLC0415 - loads the group level

    roots = [*roots_of(inputs), *map(Path.resolve, raw_datasets(settings.bids_dir))]
    runs, raw = [], None
    for run in selected.runs:
        everywhere = ((root, find_events(run.name, root)) for root in dict.fromkeys(roots))
        root, events = next(((r, path) for r, path in everywhere if path), (None, None))
        runs.append(replace(run, tables=replace(run.tables, events=events)))
        if root not in roots_of(inputs):
            raw = raw or root
    if raw and "raw" not in inputs.others:
        inputs = replace(inputs, others={**inputs.others, "raw": Dataset(raw, raw.name)})
    return replace(selected, runs=tuple(runs)), inputs


def _links(inputs: Inputs) -> tuple[tuple[str, Path], ...]:
    return tuple((name, dataset.root) for name, dataset in inputs.all.items())


def roots_of(inputs: Inputs) -> list[Path]:
    """Folders of all datasets."""
    return [dataset.root for dataset in inputs.all.values()]


def tasks_of(settings: Settings, jobs: Sequence[Job]) -> list[Task]:
    """Tasks of jobs, by what settings say of outputs that are there."""
    return find_tasks(
        jobs,
        overwrite=settings.overwrite,
        hash_inputs=settings.hash_inputs,
        nprocs=settings.execution.nprocs,
    )


def freshness(tasks: Sequence[Task]) -> str:
    """A sentence: how many runs are to be done, and why."""
    why = Counter(task.reason for task in tasks if task.reason)
    reasons = ", ".join(f"{number} {reason}" for reason, number in why.most_common())
    runs, stale, shown = count(len(tasks), "run"), why.total(), f" ({reasons})" if reasons else ""
    return f"{stale} of {runs} to do{shown}, {len(tasks) - stale} up to date"


_FEW = 3  # problems of one kind that are shown one by one


def warn_of_problems(jobs: Sequence[Job], problems: Iterable[Problem]) -> set[tuple[str, str]]:
    """Warn of problems, of many of a kind once; return jobs and strategies that will fail."""
    problems = list(problems)
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        kinds[kind_of(problem.message)].append(str(problem))
    for messages in kinds.values():
        shown, others = messages, len(messages) - 1
        if others >= _FEW:
            with suppress(OSError):  # without room for the list all are shown
                handle, path = mkstemp(prefix="bids-spheres-problems-", suffix=".txt")
                os.close(handle)
                Path(path).write_text("".join(f"{printable(text)}\n" for text in messages), "utf-8")
                more = f"{others} more of this kind are listed with it in {path}"
                shown = [f"{messages[0]}\n  {more}"]
        for text in shown:
            logger.warning("%s", text)
    return failing(jobs, problems)


def explain(settings: Settings) -> None:
    """Print columns, volumes kept and degrees of freedom of every strategy in every run."""
    _, jobs, _ = plan_jobs(settings)
    for job in jobs:
        for line in _describe_job(job):
            print(line)
    warn_of_problems(jobs, check_runs(jobs, strict=settings.strict))


def _describe_job(job: Job) -> Iterator[str]:
    yield str(job)
    if job.run.problem:
        yield f"  FAILED: {job.run.problem}\n"
        return
    failures = StrategyFailures(job.without_image)
    for image in job.images:
        with failures.of(*image.strategies):
            for run_design in run_designs(job, image, failures):
                yield from describe_design(run_design)
                yield f"    image: {image.bold}"
    for strategy, error in failures.errors.items():
        yield f"  {strategy.name}\n    FAILED: {error.message}"
    yield ""


def describe_design(run_design: RunDesign) -> Iterator[str]:
    """Describe columns, volumes and degrees of freedom of a strategy in a run."""
    left, design = run_design.degrees_of_freedom, run_design.design
    why = ", ".join(f"{name} {flags.sum()}" for name, flags in design.reasons.items() if any(flags))
    if overlap := int((np.sum([*design.reasons.values()], axis=0) > 1).sum()):
        why += f"; {overlap} of these for more than one reason"
    left_out = f" (left out: {why})" if why else ""
    yield f"  {run_design.strategy.name}"
    yield f"    columns: {' '.join([f'{len(design.columns)}:', *design.columns])}"
    yield f"    volumes: {left.kept} of {left.volumes} kept{left_out}"
    yield f"    degrees of freedom: {rounded(left.residual)} = {parts(left)}"
    yield from (f"    note: {note}" for note in design.notes)
    if run_design.exclusion:
        yield f"    EXCLUDED: {run_design.exclusion.reason}"


def dry_run(settings: Settings) -> None:
    """Print the runs with their files, what would be written, and images that are not used."""
    _, jobs, selected = plan_jobs(settings)
    tasks = tasks_of(settings, jobs)
    outputs = [job.outputs() for job in jobs]
    rows: list[tuple[str, ...]] = [("run", "images", "mask", "confounds", "files", "state")]
    for job, task, paths in zip(jobs, tasks, outputs, strict=True):
        kinds = {path: kind for kind, path in job.run.images}
        images = ", ".join(kinds[image.bold] for image in job.images)
        if lacking := len(job.without_image):
            images += f" ({count(lacking, 'strategy', 'strategies')} without an image)"
        has_mask = job.work.processing.mask == OFF or job.mask is not None
        needs_table = any(strategy.needs_table for strategy in job.strategies)
        has_table = job.run.tables.confounds is not None or not needs_table
        presence = [("MISSING", "yes")[has] for has in (has_mask, has_table)]
        rows.append((str(job), images, *presence, str(len(paths)), task.reason or "up to date"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    for job, paths in zip(jobs, outputs, strict=True):
        print("", job, *(f"  {path}" for path in paths), sep="\n")
    if problems := dict.fromkeys(job.run.problem for job in jobs if job.run.problem):
        print("", "Runs that would fail:", *(f"  {problem}" for problem in problems), sep="\n")
    if selected.skipped:
        print("", "Not used:", *(f"  {path}: {why}" for path, why in selected.skipped), sep="\n")
    print("", freshness(tasks), sep="\n")
    warn_of_problems(jobs, check_runs(jobs, strict=settings.strict, values=settings.strict))
