"""One job: extract once, clean per strategy, relate, write."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds import FEW_DEGREES_OF_FREEDOM, parts, rounded
from bids_spheres.engine.aggregate import aggregate_cleaned
from bids_spheres.engine.extract import extract
from bids_spheres.engine.spheres import nearest_only, sphere_weights, stack_weights
from bids_spheres.engine.stream import open_volumes, read_mask
from bids_spheres.errors import DataError, InvalidDatasetError, MissingInputError
from bids_spheres.inputs.matching import KEEP_ONE
from bids_spheres.outputs.exclusions import ExclusionRow, record_exclusions
from bids_spheres.participant.cleaned import clean_arguments, clean_series, effective_dof
from bids_spheres.participant.designs import (
    StrategyFailures,
    missing_image,
    run_designs,
    run_timing,
)
from bids_spheres.participant.plan import JobReport
from bids_spheres.participant.results import (
    CleanedSeries,
    PlacedSeeds,
    write_design,
    write_series,
    write_spheres,
    write_uncleaned,
)
from bids_spheres.participant.seed_maps import recording_voxels, write_seed_maps
from bids_spheres.participant.seeds_in_space import place_in_run
from bids_spheres.participant.sidecars import smoothed_before
from bids_spheres.settings import OFF
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.confounds import Exclusion, Strategy
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.engine.stream import Mask, Volumes
    from bids_spheres.files.names import Name
    from bids_spheres.participant.designs import RunDesign, Timing
    from bids_spheres.participant.plan import Job, JobImage
    from bids_spheres.settings import Processing

    FloatArray = NDArray[np.float64]


_LARGEST = 1e100
"""Of values of an image: the square of a larger one, or the sum of such squares, can't be held."""


def run_job(job: Job) -> JobReport:
    """Do one job; every image is read once, whatever the number of seed sets and strategies.

    What is up to date is left as it is, and an image of which all is up to date is not read. A
    strategy that can't be applied keeps no other back.

    Parameters
    ----------
    job : Job

    Returns
    -------
    JobReport

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
    for strategy in job.without_image:
        with failures.of(strategy):
            raise missing_image(strategy)
    todo = [_with_designs(job, part, failures) for part in _to_do(job)]
    if failures.of_all(job.work.strategies):
        raise failures.as_error()
    warnings: list[str] = []
    unwritten: set[Path] = set()
    for part in todo:
        written = _write_image(job, part, failures)
        if written is None:
            unwritten |= {job.paths.spheres(seeds) for seeds in part.spheres}
            continue
        placed, mask_notes = written
        least = job.work.processing.min_coverage
        warnings += _smoothing_warnings(job, part.image.bold)
        warnings += _strategy_warnings(part.designs)
        notes |= dict.fromkeys(mask_notes)
        notes |= dict.fromkeys(_coverage_note(seeds, least) for seeds in placed)
        space = job.run.space
        warnings += [text for seeds in placed if (text := _without_signal(seeds, least, space))]
        warnings += [text for seeds in placed if (text := _reduced(seeds))]
    if failures.of_all(job.work.strategies):
        raise failures.as_error()
    for strategy in failures.errors:
        unwritten.add(job.paths.design(strategy.name))
        unwritten |= {job.paths.series(seeds, strategy.name) for seeds in job.work.seed_sets}
    excluded = [
        run_design.strategy.name
        for part in todo
        for run_design in part.designs
        if run_design.exclusion
    ]
    return JobReport(
        tuple(notes), tuple(warnings), tuple(excluded), failures.report(), frozenset(unwritten)
    )


@dataclass(frozen=True)
class _ToDo:
    """Outputs of one image that are missing or out of date.

    Parameters
    ----------
    image : JobImage
        With the strategies whose design or series is missing or out of date.
    seed_sets : tuple of SeedTable
        Those whose spheres or series are.
    spheres : tuple of SeedTable
        Those whose spheres are.
    timing : Timing or None
        None when the image can't be opened, or was not yet.
    designs : tuple of RunDesign
        Of the strategies that can be applied.
    """

    image: JobImage
    seed_sets: tuple[SeedTable, ...]
    spheres: tuple[SeedTable, ...]
    timing: Timing | None = None
    designs: tuple[RunDesign, ...] = ()


def _to_do(job: Job) -> Iterator[_ToDo]:
    """Images with outputs that are missing or out of date, and which outputs."""
    tables = [placement.table for placement in job.placements]
    for number, image in enumerate(job.images):
        spheres = [t for t in tables if not number and job.paths.spheres(t) not in job.current]
        pairs = [(t, s) for s in image.strategies for t in tables if _is_stale(job, t, s)]
        strategies = tuple(
            strategy
            for strategy in image.strategies
            if job.paths.design(strategy.name) not in job.current
            or any(strategy is stale for _, stale in pairs)
        )
        stale_sets = [*spheres, *(seeds for seeds, _ in pairs)]
        seed_sets = tuple(seeds for seeds in tables if seeds in stale_sets)
        if strategies or seed_sets:
            yield _ToDo(replace(image, strategies=strategies), seed_sets, tuple(spheres))


def _with_designs(job: Job, todo: _ToDo, failures: StrategyFailures) -> _ToDo:
    with failures.of(*todo.image.strategies):
        timing = run_timing(job.run, todo.image.bold)
        designs = run_designs(job, todo.image, timing, failures)
        return replace(todo, timing=timing, designs=tuple(designs))
    return todo


def _is_stale(job: Job, seeds: SeedTable, strategy: Strategy) -> bool:
    """Whether series and their matrices are missing or out of date."""
    return job.paths.series(seeds, strategy.name) not in job.current


Written = tuple[list[PlacedSeeds], list[str]]
"""Spheres of the seed sets on the grid of an image, and notes about its mask."""


def _write_image(job: Job, todo: _ToDo, failures: StrategyFailures) -> Written | None:
    """Write the outputs of one image; None when it can't be read."""
    if not todo.designs and not todo.spheres:
        return [], []
    with failures.of(*todo.image.strategies):
        written = _run_image(job, todo, failures) if todo.seed_sets else ([], [])
        for run_design in todo.designs:
            is_current = job.paths.design(run_design.strategy.name) in job.current
            if not is_current and run_design.strategy not in failures.errors:
                write_design(job, run_design)
        _record_exclusions(job, todo)
        return written
    return None


def _run_image(job: Job, todo: _ToDo, failures: StrategyFailures) -> Written:
    """Extract and clean the series of one image, and write what needs its voxels."""
    timing = todo.timing or run_timing(job.run, todo.image.bold)
    bold = todo.image.bold
    volumes, rules = open_volumes(bold), job.work.processing
    mask = _load_mask(job.mask, rules.mask, bold)
    region = (None, None) if mask is None else (mask.inside, mask.grid)
    placed = _place(todo, volumes, region, rules.overlap)
    folder = job.work.work_dir or job.work.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    recording = recording_voxels(volumes, region, folder, rules.smoothing_fwhm)
    with recording if rules.seed_maps else nullcontext(volumes) as source:
        extraction = _extract(source, placed, rules, job.work.threads)
        placed = [part.seen(extraction) for part in placed]
        for part in placed:
            low = part.missing(rules.min_coverage)
            extraction.timeseries[:, part.columns][:, low] = np.nan
            if part.seeds in todo.spheres:
                write_spheres(job, part)
                write_uncleaned(job, part, extraction.timeseries[:, part.columns], timing)
        for run_design in todo.designs:
            stale = [part for part in placed if _is_stale(job, part.seeds, run_design.strategy)]
            if stale:
                own, parts = _columns_of(extraction, stale)
                with failures.of(run_design.strategy):
                    cleaned = _write_strategy(job, own, parts, run_design)
                    write_seed_maps(job, source, own, (parts, cleaned), run_design)
    notes = [] if mask is None else list(mask.notes(volumes.grid))
    if extraction.read_twice:
        notes.append(f"{bold.name} was read twice: it holds values that are not finite.")
    return placed, notes


def _columns_of(
    extraction: Extraction, parts: Sequence[PlacedSeeds]
) -> tuple[Extraction, list[PlacedSeeds]]:
    """An extraction of some of its seed sets alone, and these with their columns in it."""
    series = [extraction.timeseries[:, part.columns] for part in parts]
    ends = np.cumsum([values.shape[1] for values in series]).tolist()
    starts = [0, *ends]
    moved = [
        replace(part, columns=slice(start, end))
        for part, start, end in zip(parts, starts, ends, strict=False)
    ]
    timeseries = np.hstack([np.empty((len(extraction.timeseries), 0)), *series])
    voxels = extraction.voxels
    if voxels is not None:
        everything = np.arange(len(voxels.starts))
        voxels = voxels.of(np.concatenate([everything[part.columns] for part in parts]))
    return replace(extraction, timeseries=timeseries, voxels=voxels), moved


def _extract(
    volumes: Volumes,
    placed: Sequence[PlacedSeeds],
    rules: Processing,
    threads: int,
) -> Extraction:
    """Series of all seed sets, in one pass over the image."""
    weights = stack_weights([part.weights for part in placed])
    with np.errstate(over="ignore", invalid="ignore"):
        extraction = extract(
            *(volumes, weights, rules.smoothing_fwhm),
            aggregation=rules.aggregation,
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
    job: Job, extraction: Extraction, placed: Sequence[PlacedSeeds], run_design: RunDesign
) -> FloatArray:
    """Clean, relate and write the series of some seed sets; return them cleaned, (T', S)."""
    written = []
    for part in placed:
        # Set by set, so that its numbers are the same to the last bit whichever others there are.
        cleaned = _cleaned(extraction, part, run_design)
        pairs = effective_dof(cleaned, run_design) if run_design.processing.effective_dof else None
        write_series(job, CleanedSeries(part, run_design, cleaned, pairs))
        written.append(cleaned)
    return np.hstack(written)


def _cleaned(extraction: Extraction, part: PlacedSeeds, run_design: RunDesign) -> FloatArray:
    """Cleaned series of one seed set, (T', S): means are cleaned, else voxels are."""
    series = np.ascontiguousarray(extraction.timeseries[:, part.columns])
    if extraction.voxels is None:
        return clean_series(series, run_design)
    cleaned = np.full((run_design.design.n_kept, series.shape[1]), np.nan)
    complete = ~np.isnan(series).any(axis=0)
    if complete.any() and run_design.exclusion is None:
        voxels = extraction.voxels.of(part.columns.start + np.flatnonzero(complete))
        aggregation, arguments = run_design.processing.aggregation, clean_arguments(run_design)
        cleaned[:, complete] = aggregate_cleaned(voxels, aggregation, arguments)
    return cleaned


def _place(
    todo: _ToDo,
    volumes: Volumes,
    mask: tuple[NDArray[np.bool_] | None, Grid | None],
    overlap: str,
) -> list[PlacedSeeds]:
    """Spheres of every seed set on the image's grid, within the mask."""
    placed, start = [], 0
    for seeds in todo.seed_sets:
        weights = sphere_weights(seeds.coordinates, seeds.radii, volumes.grid, *mask)
        weights = _without_overlap(overlap, seeds, weights)
        columns = slice(start, start + len(seeds))
        placed.append(PlacedSeeds(todo.image.bold, seeds, weights, columns))
        start += len(seeds)
    return placed


def _load_mask(path: Path | None, choice: str, bold: Path) -> Mask | None:
    if path is not None:
        return read_mask(path)
    if choice == OFF:
        return None
    raise MissingInputError(
        f"No brain mask belongs to {bold}.",
        hint="fMRIPrep writes it beside the image as *_desc-brain_mask.nii.gz; --mask template, "
        "none or PATH does without.",
    )


def _without_overlap(rule: str, seeds: SeedTable, weights: SphereWeights) -> SphereWeights:
    if rule == "allow" or not weights.overlaps.any():
        return weights
    if rule == "nearest":
        return nearest_only(weights, seeds.coordinates, seeds.radii)
    shared = np.flatnonzero(weights.overlaps)
    names = ", ".join(seeds.names[i] for i in shared[:5]) + ", ..." * (len(shared) > 5)
    raise DataError(
        f"{len(shared)} spheres of {seeds.label} share voxels with others: {names}",
        hint="Choose a smaller --radius, or --overlap nearest or allow.",
    )


def _record_exclusions(job: Job, todo: _ToDo) -> None:
    bold = todo.image.bold
    # The path from the root of the dataset that the image is in.
    roots = (root for _, root in job.work.links if bold.is_relative_to(root))
    source = next((bold.relative_to(root).as_posix() for root in roots), bold.name)
    rows = [
        _exclusion_row(job.run.name, source, run_design, run_design.exclusion)
        for run_design in todo.designs
        if run_design.exclusion
    ]
    names = [strategy.name for strategy in todo.image.strategies]
    record_exclusions(job.work.output_dir, source, names, rows)


def _exclusion_row(
    name: Name, source: str, run_design: RunDesign, excluded: Exclusion
) -> ExclusionRow:
    left = excluded.degrees_of_freedom
    return ExclusionRow(
        participant_id=f"sub-{name.get('sub')}",
        session_id=f"ses-{name.get('ses')}" if name.get("ses") else None,
        source=source,
        strategy=run_design.strategy.name,
        reason=excluded.reason,
        n_volumes=left.volumes,
        n_kept=left.kept,
        rank=left.rank,
        lost_to_filter=left.filtered,
        lost_to_censoring=left.censored,
        degrees_of_freedom=left.residual,
        seconds=left.seconds,
        min_degrees_of_freedom=run_design.processing.min_dof,
        min_volumes=run_design.strategy.min_volumes,
        min_seconds=run_design.strategy.min_seconds,
    )


def _strategy_warnings(designs: Sequence[RunDesign]) -> Iterator[str]:
    """What a user should know about the strategies in this run."""
    for run_design in designs:
        name, left = run_design.strategy.name, run_design.freedom
        yield from (f"{name}: {note}" for note in run_design.design.notes)
        if run_design.exclusion:
            yield (
                f"{name} leaves too little of this run, and its outputs are n/a: "
                f"{run_design.exclusion.reason}. Choose a strategy with fewer regressors or no "
                "filter for this run, or leave it out; exclusions.tsv lists it."
            )
        elif left.residual < FEW_DEGREES_OF_FREEDOM:
            yield (
                f"{name} leaves {rounded(left.residual)} degrees of freedom of this run, "
                f"fewer than {FEW_DEGREES_OF_FREEDOM} ({parts(left)}): its correlations "
                "vary much by chance. --min-dof excludes such runs."
            )


def _smoothing_warnings(job: Job, bold: Path) -> Iterator[str]:
    before, ours = smoothed_before(job, bold), job.work.processing.smoothing_fwhm
    if before and ours:
        yield (
            f"--smoothing-fwhm {ours:g} smooths {bold.name} once more: fMRIPrep smoothed it by "
            f"{before:g} mm (SUSAN) before ICA-AROMA, {np.hypot(before, ours):.3g} mm together. "
            "Leave the option out for strategies that start from it."
        )


def _without_signal(placed: PlacedSeeds, min_coverage: float, space: str) -> str:
    """What to look for when a seed set has no sphere with a signal; empty when it has one."""
    label = placed.seeds.label
    if placed.weights.empty.all():
        return (
            f"{label}: no sphere has a voxel in image and mask, and all outputs are n/a. Are the "
            f"coordinates millimetres in the space {space}, and is the mask of this image?"
        )
    if placed.missing(min_coverage).all():
        return (
            f"{label}: no sphere has a signal, and all outputs are n/a. Is {placed.bold} constant "
            "or empty there?"
        )
    return ""


def _reduced(placed: PlacedSeeds) -> str:
    """What to know of spheres that lost voxels of the mask; empty when none did."""
    if not placed.reduced:
        return ""
    return (
        f"{placed.seeds.label}: {placed.reduced} of {count(len(placed.seeds), 'sphere')} "
        f"{plural(placed.reduced, 'holds', 'hold')} voxels that are constant or, in some volume, "
        f"not finite in {placed.bold.name}; these are left out "
        "and count as missing in the coverage."
    )


def _coverage_note(placed: PlacedSeeds, min_coverage: float) -> str:
    weights = placed.weights
    low = placed.missing(min_coverage) & ~weights.empty
    text = f"{placed.seeds.label}: {count(len(placed.seeds), 'sphere')}"
    if not weights.seed_used.all():
        text += f", {int((~weights.seed_used).sum())} with their seed outside the mask"
    if weights.partial.any():
        text += f", {int(weights.partial.sum())} partly outside it"
    if weights.empty.any():
        text += f", {int(weights.empty.sum())} without a voxel in it (n/a)"
    if low.any():
        text += f", {int(low.sum())} with a coverage below {min_coverage:g} (n/a)"
    return text
