"""One job: extract once, clean per strategy, relate, write."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.extract import extract
from bids_spheres.engine.regions import row_weights
from bids_spheres.engine.seedmaps import SpooledVolumes
from bids_spheres.engine.spheres import nearest_only, stack_weights
from bids_spheres.engine.stream import open_volumes, read_mask
from bids_spheres.errors import DataError, InvalidDatasetError, MissingInputError
from bids_spheres.inputs.matching import KEEP_ONE
from bids_spheres.outputs import write
from bids_spheres.outputs.exclusions import record_exclusions
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.sidecars import input_uri
from bids_spheres.participant.cleaned import clean_series, effective_dof
from bids_spheres.participant.designs import (
    StrategyFailures,
    missing_image,
    run_designs,
    run_timing,
)
from bids_spheres.participant.messages import coverage_note, design_warnings, sphere_warnings
from bids_spheres.participant.placements import PlacedSeries, placement_spread, shifts
from bids_spheres.participant.plan import JobReport
from bids_spheres.participant.results import SphereSet, write_series, write_spheres
from bids_spheres.participant.seed_maps import recording_voxels, write_seed_maps
from bids_spheres.participant.seeds_in_space import place_in_run
from bids_spheres.participant.sidecars import (
    cleaning_sidecar,
    design_sidecar,
    image_sidecar,
    smoothed_before,
)
from bids_spheres.participant.usable_voxels import usable_voxels
from bids_spheres.settings import OFF
from bids_spheres.spaces.fmriprep import is_native

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.engine.stream import Volumes
    from bids_spheres.outputs.paths import OutputPaths
    from bids_spheres.participant.designs import RunDesign, Timing
    from bids_spheres.participant.plan import Job, JobImage
    from bids_spheres.participant.usable_voxels import UsableVoxels
    from bids_spheres.settings import Processing

    FloatArray = NDArray[np.float64]


_LARGEST = 1e100
"""Of values of an image: the square of a larger one, or the sum of such squares, can't be held."""


def run_job(job: Job) -> JobReport:
    """Do one job; every image is read once, whatever the number of seed sets and strategies.

    What is up to date is left as it is, and an image whose outputs all are is not read. A strategy
    that can't be applied keeps no other back.

    Raises
    ------
    BidsSpheresError
        When an input can't be used so that no strategy can be applied, and then nothing is
        written; or when an output can't be written.
    """
    if job.run.problem:
        raise InvalidDatasetError(job.run.problem, hint=KEEP_ONE)
    notes: dict[str, None] = {}
    if not job.placements:
        # Seeds in the participant's own space need transforms, which are read here.
        roots, warp = [root for _, root in job.work.links], job.work.processing.warp_seeds
        placements = place_in_run(job.work.seed_sets, job.run, roots, warp=warp)
        job = replace(job, placements=placements)
        notes = {placement.note: None for placement in job.placements if placement.note}
    failures = StrategyFailures()
    failures.errors |= {strategy: missing_image(strategy) for strategy in job.without_image}
    todo = list(_to_do(job, failures))
    if failures.of_all(job.work.strategies):
        raise failures.as_error()
    warnings: list[str] = []
    unwritten: set[Path] = set()
    for part in todo:
        bold = part.image.bold
        sphere_sets: list[SphereSet] | None = None
        with failures.of(*part.image.strategies):
            sphere_sets, mask_notes = _write_image(job, part, failures)
        if sphere_sets is None:
            unwritten |= {job.paths.spheres(seeds) for seeds in part.spheres}
            continue
        before, ours = smoothed_before(job.run, bold), job.work.processing.smoothing_fwhm
        if before and ours:
            warnings.append(
                f"--smoothing-fwhm {ours:g} smooths {bold.name} once more: fMRIPrep smoothed it by "
                f"{before:g} mm (SUSAN) before ICA-AROMA, {np.hypot(before, ours):.3g} mm "
                "together. Leave the option out for strategies that start from it."
            )
        warnings += [text for design in part.designs for text in design_warnings(design)]
        warnings += [text for spheres in sphere_sets for text in sphere_warnings(spheres, bold)]
        notes |= dict.fromkeys([*mask_notes, *map(coverage_note, sphere_sets)])
    if failures.of_all(job.work.strategies):
        raise failures.as_error()
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
    """Outputs of one image that are missing or out of date.

    `image` has the strategies concerned, `seed_sets` are the seed sets, and `spheres` those whose
    spheres are. `timing` is None when the image can't be opened, and `designs` are of
    the strategies that can be applied.
    """

    image: JobImage
    seed_sets: tuple[SeedTable, ...]
    spheres: tuple[SeedTable, ...]
    timing: Timing | None = None
    designs: tuple[RunDesign, ...] = ()


def _to_do(job: Job, failures: StrategyFailures) -> Iterator[_ToDo]:
    """Images with outputs that are missing or out of date, which outputs, and the designs."""
    tables = [placement.table for placement in job.placements]
    for number, image in enumerate(job.images):
        spheres = [t for t in tables if not number and job.paths.spheres(t) not in job.current]
        pairs = [
            (seeds, strategy)
            for strategy in image.strategies
            for seeds in tables
            if job.paths.series(seeds, strategy.name) not in job.current
        ]
        strategies = tuple(
            strategy
            for strategy in image.strategies
            if job.paths.design(strategy.name) not in job.current
            or any(strategy is stale for _, stale in pairs)
        )
        stale_sets = [*spheres, *(seeds for seeds, _ in pairs)]
        seed_sets = tuple(seeds for seeds in tables if seeds in stale_sets)
        if not strategies and not seed_sets:
            continue
        part = _ToDo(replace(image, strategies=strategies), seed_sets, tuple(spheres))
        with failures.of(*strategies):
            timing = run_timing(job.run, image.bold)
            designs = run_designs(job, part.image, timing, failures)
            part = replace(part, timing=timing, designs=tuple(designs))
        yield part


def _write_image(
    job: Job, todo: _ToDo, failures: StrategyFailures
) -> tuple[list[SphereSet], list[str]]:
    """Write the outputs of one image; return the sphere sets, and notes about the mask."""
    if not todo.designs and not todo.spheres:
        return [], []
    written: tuple[list[SphereSet], list[str]] = ([], [])
    if todo.seed_sets:
        written = _write_spheres_and_series(job, todo, failures)
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
    rows = [
        run_design.exclusion_row(job.run.name, source, run_design.exclusion)
        for run_design in todo.designs
        if run_design.exclusion
    ]
    names = [strategy.name for strategy in todo.image.strategies]
    record_exclusions(job.work.output_dir, source, names, rows)
    return written


def _sources(job: Job, run_design: RunDesign) -> list[str]:
    """URIs of the tables of a design."""
    tables, columns = job.run.tables, run_design.design.columns
    own = [path for link, path in tables.own if any(x.startswith(f"{link}.") for x in columns)]
    events = tables.events if run_design.strategy.task else None
    used = (path for path in (*tables.paths, *own, events, job.outliers) if path)
    return [input_uri(path, job.work.links) for path in used]


def _write_spheres_and_series(
    job: Job, todo: _ToDo, failures: StrategyFailures
) -> tuple[list[SphereSet], list[str]]:
    """Extract and clean the series of one image, and write what needs its voxels."""
    bold, paths, rules = todo.image.bold, job.paths, job.work.processing
    timing = todo.timing or run_timing(job.run, bold)
    volumes = open_volumes(bold)
    if job.mask is None and rules.mask != OFF:
        raise MissingInputError(
            f"No brain mask belongs to {bold}.",
            hint="fMRIPrep writes it beside the image as *_desc-brain_mask.nii.gz; --mask "
            "template, none or PATH does without.",
        )
    mask = read_mask(job.mask) if job.mask else None
    usable = usable_voxels(job.run, bold, volumes.grid, mask, rules)
    sphere_sets = _draw_spheres(job, todo, volumes.grid, usable)
    folder = job.work.work_dir or job.work.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    placements = [weights for spheres in sphere_sets for weights in spheres.placements]
    reading: AbstractContextManager[Volumes] = nullcontext(volumes)
    if rules.seed_maps or placements:
        reading = recording_voxels(volumes, mask, folder, rules, placements)
    with reading as source:
        extraction = _extract(source, sphere_sets, rules, job.work.threads)
        sphere_sets = [spheres.with_signal_of(extraction) for spheres in sphere_sets]
        for i, spheres in enumerate(sphere_sets):
            if spheres.placements and isinstance(source, SpooledVolumes):
                sphere_sets[i] = replace(spheres, placed=PlacedSeries(source, spheres, rules))
        for spheres in sphere_sets:
            values = extraction.timeseries[:, spheres.columns]
            values[:, spheres.missing] = np.nan
            if spheres.seeds in todo.spheres:
                write_spheres(paths, spheres, bold)
                write.write_uncleaned(paths, spheres.seeds, values, timing.t_r, spheres.sidecar)
        for run_design in todo.designs:
            name = run_design.strategy.name
            stale = [s for s in sphere_sets if paths.series(s.seeds, name) not in job.current]
            if stale:
                with failures.of(run_design.strategy):
                    sources = _sources(job, run_design)
                    _write_strategy(paths, (source, extraction, stale), run_design, sources)
    notes = [*(() if mask is None else mask.notes(volumes.grid)), *usable.notes]
    if extraction.read_twice:
        notes.append(f"{bold.name} was read twice: it holds values that are not finite.")
    return sphere_sets, notes


def _draw_spheres(job: Job, todo: _ToDo, grid: Grid, usable: UsableVoxels) -> list[SphereSet]:
    """Spheres of every seed set on the image's grid, of the voxels that may be used."""
    sphere_sets: list[SphereSet] = []
    rules, start = job.work.processing, 0

    def draw(seeds: SeedTable) -> SphereWeights:
        weights = row_weights(seeds, grid, usable.inside, usable.grid)
        nearest = rules.overlap == "nearest" and seeds.regions is None and weights.overlaps.any()
        return nearest_only(weights, seeds.coordinates, seeds.radii) if nearest else weights

    for placement, given in zip(job.placements, job.work.seed_sets, strict=True):
        seeds = placement.table
        if seeds not in todo.seed_sets:
            continue
        weights = draw(seeds)
        if rules.overlap == "error" and seeds.regions is None and weights.overlaps.any():
            shared = np.flatnonzero(weights.overlaps)
            names = ", ".join(seeds.names[i] for i in shared[:5]) + ", ..." * (len(shared) > 5)
            raise DataError(
                f"{len(shared)} spheres of {seeds.label} share voxels with others: {names}",
                hint="Choose a smaller --radius, or --overlap nearest or allow.",
            )
        columns = slice(start, start + len(seeds))
        weights = usable.of_tissue(weights, seeds)
        sidecar = image_sidecar(job.run, todo.image.bold, job.mask, placement, job.work)
        sphere_set = SphereSet(seeds, weights, columns, rules.min_coverage, sidecar)
        placed = []
        if rules.placements and seeds.regions is None and todo.designs:
            for shift in shifts(*rules.placements, len(seeds)):
                shifted = replace(seeds, coordinates=seeds.coordinates + shift)
                placed.append(usable.of_tissue(draw(shifted), shifted))
        columns_beside = usable.shares(weights)
        moved = np.linalg.norm(seeds.coordinates - given.coordinates, axis=1)
        # Distances between the frames of two scans say nothing.
        if moved.any() and not is_native(job.run.space):
            columns_beside["moved"] = moved
        sphere_set = replace(sphere_set, extra=columns_beside, placements=tuple(placed))
        sphere_sets.append(sphere_set)
        start += len(seeds)
    return sphere_sets


def _extract(
    volumes: Volumes, sphere_sets: Sequence[SphereSet], rules: Processing, threads: int
) -> Extraction:
    """Series of all seed sets, in one pass over the image."""
    weights = stack_weights([spheres.weights for spheres in sphere_sets])
    with np.errstate(over="ignore", invalid="ignore"):
        extraction = extract(
            *(volumes, weights, rules.smoothing_fwhm),
            aggregation=rules.aggregation,
            despike=rules.despike,
            moments=True,
            threads=threads,
        )
    if (np.abs(extraction.timeseries) >= _LARGEST).any():
        raise DataError(
            f"{volumes.name} has values above {_LARGEST:g}, which are no signal.",
            hint="Its header is damaged, or something went wrong before; compute it again.",
        )
    return extraction


def _write_strategy(
    paths: OutputPaths,
    extracted: tuple[Volumes, Extraction, Sequence[SphereSet]],
    run_design: RunDesign,
    sources: Sequence[str],
) -> None:
    """Clean, relate and write the series of some of the extracted seed sets, and their maps."""
    volumes, extraction, sphere_sets = extracted
    sidecar = cleaning_sidecar(run_design, sources)
    # An extraction of these sets alone, since all its series would get a map.
    columns = np.concatenate(
        [np.arange(s.columns.start, s.columns.stop) for s in sphere_sets], dtype=np.intp
    )
    voxels = None if extraction.voxels is None else extraction.voxels.of(columns)
    extraction = replace(extraction, timeseries=extraction.timeseries[:, columns], voxels=voxels)
    start, cleaned = 0, []
    for spheres in sphere_sets:
        own = slice(start, start + len(spheres.seeds))
        # Set by set, so that its numbers are the same to the last bit whichever others there are.
        series = clean_series(
            np.ascontiguousarray(extraction.timeseries[:, own]),
            run_design,
            None if voxels is None else voxels.of(np.arange(own.start, own.stop)),
        )
        beside = {}
        if run_design.processing.effective_dof:
            beside[EFFECTIVE_DOF] = effective_dof(series, run_design)
        if spheres.placed:
            beside |= placement_spread(spheres.placed, run_design)
        write_series(paths, spheres, run_design, series, sidecar=sidecar, beside=beside)
        cleaned.append((replace(spheres, columns=own), series))
        start = own.stop
    if isinstance(volumes, SpooledVolumes) and run_design.processing.seed_maps:
        write_seed_maps(paths, volumes, extraction, cleaned, run_design=run_design, sidecar=sidecar)
