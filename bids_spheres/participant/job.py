"""One job - extract once, clean per strategy, relate, write - and how it ended."""

from __future__ import annotations

import errno
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from bids_spheres.engine.seedmaps import SpooledVolumes
from bids_spheres.errors import InvalidDatasetError, describe_error
from bids_spheres.execute import Lost
from bids_spheres.files.library_warnings import collected
from bids_spheres.inputs.matching import KEEP_ONE
from bids_spheres.outputs import write
from bids_spheres.outputs.paths import EFFECTIVE_DOF, OutputPaths
from bids_spheres.outputs.shared import record_exclusions
from bids_spheres.outputs.sidecars import bids_uri
from bids_spheres.participant.controls import placement_spread, write_controls
from bids_spheres.participant.designs import (
    FailedStrategy,
    RunDesign,
    StrategyFailures,
    own_tables_of,
    run_designs,
    run_timing,
)
from bids_spheres.participant.series import (
    clean_columns,
    cleaning_sidecar,
    design_sidecar,
    effective_dof,
    recording_voxels,
    write_seed_maps,
    write_series,
)
from bids_spheres.participant.sphere_sets import (
    SphereSet,
    coverage_note,
    extract_spheres,
    open_spheres,
    smoothed_before,
    sphere_warnings,
)
from bids_spheres.process.versions import versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.stream import Volumes
    from bids_spheres.participant.plan import Job, JobImage
    from bids_spheres.participant.up_to_date import Task
    from bids_spheres.spaces.placement import SeedsInSpace


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of the whole output folder, for all runs
_VISIBLE = 60.0  # s until what a worker wrote is seen here: NFS keeps folders for as long


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


def run_job(job: Job) -> JobReport:
    """Do one job; every image is read once, and not when all of its outputs are up to date.

    A strategy that can't be applied keeps no other back; an error when none can be.
    """
    if job.run.problem:
        raise InvalidDatasetError(job.run.problem, hint=KEEP_ONE)
    notes: dict[str, None] = {}
    if not job.placements:
        job = job.placed()
        notes = {placement.note: None for placement in job.placements if placement.note}
    failures = StrategyFailures(job.without_image)
    todo = list(_to_do(job, failures))
    failures.raise_if_all(job.work.strategies)
    warnings: list[str] = []
    unwritten: set[Path] = set()
    for part in todo:
        spheres = {job.paths.spheres(seeds) for seeds in part.spheres}
        unwritten |= spheres
        with failures.of(*part.image.strategies):
            image_notes, image_warnings = _write_image(job, part, failures)
            notes |= dict.fromkeys(image_notes)
            warnings += image_warnings
            unwritten -= spheres
    failures.raise_if_all(job.work.strategies)
    for strategy in failures.errors:
        unwritten.add(job.paths.design(strategy.name))
        unwritten |= {job.paths.series(seeds, strategy.name) for seeds in job.work.seed_sets}
    designs = [design for part in todo for design in part.designs]
    excluded = tuple(design.strategy.name for design in designs if design.exclusion)
    return JobReport(
        tuple(notes), tuple(warnings), excluded, failures.report(), frozenset(unwritten)
    )


@dataclass(frozen=True)
class _ToDo:
    """Outputs of one image that are out of date: strategies, seed sets, spheres, new designs."""

    image: JobImage
    placements: tuple[SeedsInSpace, ...]
    spheres: Sequence[SeedTable]
    designs: Sequence[RunDesign]


def _to_do(job: Job, failures: StrategyFailures) -> Iterator[_ToDo]:
    """Images with outputs that are missing or out of date, which outputs, and the designs."""
    tables, paths = [placement.table for placement in job.placements], job.paths
    for number, image in enumerate(job.images):
        spheres = [t for t in tables if not number and paths.spheres(t) not in job.current]
        strategies, stale = [], list(spheres)
        for strategy in image.strategies:
            series = [t for t in tables if paths.series(t, strategy.name) not in job.current]
            if series or paths.design(strategy.name) not in job.current:
                strategies.append(strategy)
            stale += series
        placements = tuple(each for each in job.placements if each.table in stale)
        if not strategies and not placements:
            continue
        part, designs = replace(image, strategies=tuple(strategies)), list[RunDesign]()
        with failures.of(*strategies):
            designs = run_designs(job, part, failures)
        yield _ToDo(part, placements, spheres, designs)


def _write_image(job: Job, todo: _ToDo, failures: StrategyFailures) -> tuple[list[str], list[str]]:
    """Write the outputs of one image; return notes and warnings."""
    if not todo.designs and not todo.spheres:
        return [], []
    sphere_sets: list[SphereSet] = []
    notes: list[str] = []
    if todo.placements:
        sphere_sets, notes = _write_spheres_and_series(job, todo, failures)
    for run_design in todo.designs:
        strategy, design = run_design.strategy, run_design.design
        if job.paths.design(strategy.name) in job.current or strategy in failures.errors:
            continue
        write.write_design(
            job.paths,
            strategy.name,
            dict(zip(design.columns, design.values.T, strict=True)),
            kept=run_design.used,
            reasons=run_design.reasons,
            displacements=design.displacements,
            sidecar=design_sidecar(run_design, _sources(job, run_design)),
        )
    bold = todo.image.bold
    # The path from the root of the dataset that the image is in.
    roots = (root for _, root in job.work.links if bold.is_relative_to(root))
    source = next((bold.relative_to(root).as_posix() for root in roots), bold.name)
    excluded = ((design, design.exclusion) for design in todo.designs)
    rows = [design.exclusion_row(job.run.name, source, why) for design, why in excluded if why]
    names = [strategy.name for strategy in todo.image.strategies]
    record_exclusions(job.work.output_dir, source, names, rows)
    warnings = []
    before, ours = smoothed_before(job.run, bold), job.work.processing.smoothing_fwhm
    if before and ours:
        warnings.append(
            f"--smoothing-fwhm {ours:g} smooths {bold.name} once more: fMRIPrep smoothed it by "
            f"{before:g} mm (SUSAN) before ICA-AROMA, {np.hypot(before, ours):.3g} mm "
            "together. Leave the option out for strategies that start from it."
        )
    warnings += [text for design in todo.designs for text in design.warnings()]
    warnings += [text for spheres in sphere_sets for text in sphere_warnings(spheres, bold)]
    return [*notes, *map(coverage_note, sphere_sets)], warnings


def _sources(job: Job, run_design: RunDesign) -> list[str]:
    """URIs of the tables of a design."""
    tables, columns = job.run.tables, run_design.design.columns
    own = own_tables_of(tables, columns)
    events = tables.events if run_design.strategy.task else None
    used = (path for path in (*tables.paths, *own, events, job.outliers) if path)
    return [bids_uri(path, job.work.links) for path in used]


def _write_spheres_and_series(
    job: Job, todo: _ToDo, failures: StrategyFailures
) -> tuple[list[SphereSet], list[str]]:
    """Extract and clean the series of one image, and write what needs its voxels."""
    bold, paths, rules = todo.image.bold, job.paths, job.work.processing
    timing = todo.designs[0].timing if todo.designs else run_timing(job.run, bold)
    volumes, mask, usable, sphere_sets = open_spheres(job, bold, todo.placements)
    notes = [*(() if mask is None else mask.notes(volumes.grid)), *usable.notes]
    folder = job.work.work_dir or job.work.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    shifted = [weights for spheres in sphere_sets for weights in spheres.shifted]
    reading: AbstractContextManager[Volumes] = nullcontext(volumes)
    if rules.seed_maps or shifted:
        reading = recording_voxels(volumes, mask, folder, rules, shifted)
    with reading as source:
        extraction, sphere_sets = extract_spheres(source, sphere_sets, rules, job.work.threads)
        for spheres in sphere_sets:
            if spheres.seeds in todo.spheres:
                write.write_spheres(
                    *(paths, spheres.seeds, bold, spheres.weights),
                    measured={**spheres.extra, "used": ~spheres.missing},
                    sidecar=spheres.sidecar,
                )
                values = extraction.timeseries[:, spheres.columns]
                write.write_uncleaned(paths, spheres.seeds, values, timing.t_r, spheres.sidecar)
        for run_design in todo.designs:
            name = run_design.strategy.name
            stale = [s for s in sphere_sets if paths.series(s.seeds, name) not in job.current]
            with failures.of(run_design.strategy):
                sources = _sources(job, run_design)
                _write_strategy(paths, (source, extraction, stale), run_design, sources)
    if extraction.read_twice:
        notes.append(f"{bold.name} was read twice: it holds values that are not finite.")
    return sphere_sets, notes


def _write_strategy(
    paths: OutputPaths,
    extracted: tuple[Volumes, Extraction, Sequence[SphereSet]],
    run_design: RunDesign,
    sources: Sequence[str],
) -> None:
    """Clean, relate and write the series of some of the extracted seed sets, and their maps."""
    volumes, extraction, sphere_sets = extracted
    sidecar = cleaning_sidecar(run_design, sources)
    cleaned = []
    for spheres in sphere_sets:
        series = clean_columns(extraction, spheres.columns, run_design)
        beside = placement_spread(spheres.placed, run_design) if spheres.placed else {}
        if run_design.processing.effective_dof:
            beside[EFFECTIVE_DOF] = effective_dof(series, run_design)
        write_series(paths, spheres, run_design, series, sidecar=sidecar, beside=beside)
        if run_design.processing.controls:
            write_controls(paths, spheres, run_design, extraction, series)
        cleaned.append((spheres, series))
    if isinstance(volumes, SpooledVolumes):
        write_seed_maps(paths, volumes, extraction, cleaned, run_design=run_design, sidecar=sidecar)
