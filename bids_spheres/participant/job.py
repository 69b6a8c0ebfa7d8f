"""One job: extract once, clean per strategy, relate, write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
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
from bids_spheres.participant.seed_maps import tapped, temporary_folder, write_seed_maps
from bids_spheres.participant.seeds_in_space import place_in_run
from bids_spheres.participant.sidecars import smoothed_before
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.confounds import Strategy
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.engine.stream import Mask, Volumes
    from bids_spheres.participant.designs import RunDesign, Timing
    from bids_spheres.participant.plan import Job, JobImage

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
        job = _with_placements(job)
        notes = {placement.note: None for placement in job.placements if placement.note}
    failures = StrategyFailures()
    for strategy in job.without_image:
        with failures.of(strategy):
            raise missing_image(strategy)
    todo = [_with_designs(job, part, failures) for part in _to_do(job)]
    if failures.of_all(job):
        raise failures.as_error()
    warnings: list[str] = []
    unwritten: set[Path] = set()
    for part in todo:
        written = _write_image(job, part, failures)
        if written is None:
            unwritten |= {job.spheres(seeds, ".tsv") for seeds in part.spheres}
            continue
        placed, mask_notes = written
        least = job.work.processing.min_coverage
        warnings += _smoothing_warnings(job, part.image.bold)
        warnings += _strategy_warnings(part.designs)
        notes |= dict.fromkeys(mask_notes)
        notes |= dict.fromkeys(_coverage_note(seeds, least) for seeds in placed)
        warnings += [text for seeds in placed if (text := _nothing_there(seeds, least, job))]
        warnings += [text for seeds in placed if (text := _reduced(seeds))]
    if failures.of_all(job):
        raise failures.as_error()
    for strategy in failures.errors:
        unwritten.add(job.confounds(strategy, "design", ".tsv"))
        unwritten |= {job.timeseries(seeds, strategy, ".tsv") for seeds in job.work.seed_sets}
    excluded = [made.strategy.name for part in todo for made in part.designs if made.exclusion]
    return JobReport(
        tuple(notes), tuple(warnings), tuple(excluded), failures.report(), frozenset(unwritten)
    )


@dataclass(frozen=True)
class _ToDo:
    """What is not up to date of one image.

    Parameters
    ----------
    image : JobImage
        With the strategies whose design or series has to be made.
    seed_sets : tuple of SeedTable
        Those whose spheres or series have to be.
    spheres : tuple of SeedTable
        Those whose spheres have to be.
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
    """What is to be made of every image of which anything is."""
    tables = [placement.table for placement in job.placements]
    for number, image in enumerate(job.images):
        spheres = [t for t in tables if not number and job.spheres(t, ".tsv") not in job.current]
        pairs = [(t, s) for s in image.strategies for t in tables if _is_stale(job, t, s)]
        strategies = tuple(
            strategy
            for strategy in image.strategies
            if job.confounds(strategy, "design", ".tsv") not in job.current
            or any(strategy is stale for _, stale in pairs)
        )
        stale_sets = [*spheres, *(seeds for seeds, _ in pairs)]
        seed_sets = tuple(seeds for seeds in tables if seeds in stale_sets)
        if strategies or seed_sets:
            yield _ToDo(replace(image, strategies=strategies), seed_sets, tuple(spheres))


def _with_designs(job: Job, todo: _ToDo, failures: StrategyFailures) -> _ToDo:
    with failures.of(*todo.image.strategies):
        timing = run_timing(job, todo.image.bold)
        designs = run_designs(job, todo.image, timing, failures)
        return replace(todo, timing=timing, designs=tuple(designs))
    return todo


def _is_stale(job: Job, seeds: SeedTable, strategy: Strategy) -> bool:
    """Whether series, and what is made of them, are missing or out of date."""
    return job.timeseries(seeds, strategy, ".tsv") not in job.current


def _with_placements(job: Job) -> Job:
    """The job with seeds in the space of its run, which is the participant's own."""
    work = job.work
    roots, warp = [root for _, root in work.links], work.processing.warp_seeds
    return replace(job, placements=place_in_run(work.seed_sets, job.run, roots, warp=warp))


Written = tuple[list[PlacedSeeds], list[str]]
"""Spheres of the seed sets on the grid of an image, and notes about its mask."""


def _write_image(job: Job, todo: _ToDo, failures: StrategyFailures) -> Written | None:
    """Everything that is made of one image; None when it can't be read."""
    if not todo.designs and not todo.spheres:
        return [], []
    with failures.of(*todo.image.strategies):
        written = _run_image(job, todo, failures) if todo.seed_sets else ([], [])
        for made in todo.designs:
            is_current = job.confounds(made.strategy, "design", ".tsv") in job.current
            if not is_current and made.strategy not in failures.errors:
                write_design(job, made)
        _record_exclusions(job, todo)
        return written
    return None


def _run_image(job: Job, todo: _ToDo, failures: StrategyFailures) -> Written:
    """Everything that is made of the voxels of one image."""
    timing = todo.timing or run_timing(job, todo.image.bold)
    bold = todo.image.bold
    volumes, mask = open_volumes(bold), _load_mask(job, bold)
    region = (None, None) if mask is None else (mask.inside, mask.grid)
    placed = _place(job, todo, volumes, region)
    with tapped(job, volumes, region) as source:
        extraction = _extract(job, source, placed)
        placed = [part.seen(extraction) for part in placed]
        for part in placed:
            low = part.missing(job.work.processing.min_coverage)
            extraction.timeseries[:, part.columns][:, low] = np.nan
            if part.seeds in todo.spheres:
                write_spheres(job, part)
                write_uncleaned(job, part, extraction.timeseries[:, part.columns], timing)
        for made in todo.designs:
            stale = [part for part in placed if _is_stale(job, part.seeds, made.strategy)]
            if stale:
                own, parts = _columns_of(extraction, stale)
                with failures.of(made.strategy):
                    cleaned = _write_strategy(job, own, parts, made)
                    write_seed_maps(job, source, own, (parts, cleaned), made)
    return placed, [] if mask is None else list(mask.notes(volumes.grid))


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


def _extract(job: Job, volumes: Volumes, placed: Sequence[PlacedSeeds]) -> Extraction:
    """Series of all seed sets, in one pass over the image."""
    rules = job.work.processing
    weights = stack_weights([part.weights for part in placed])
    with np.errstate(over="ignore", invalid="ignore"):
        extraction = extract(
            *(volumes, weights, rules.smoothing_fwhm),
            aggregation=rules.aggregation,
            moments=True,
            threads=job.work.threads,
            folder=temporary_folder(job),
        )
    if (np.abs(extraction.timeseries) >= _LARGEST).any():
        raise DataError(
            f"{volumes.name} has values above {_LARGEST:g}, which are no signal.",
            hint="Its header is damaged, or something went wrong before; compute it again.",
        )
    return extraction


def _write_strategy(
    job: Job, extraction: Extraction, placed: Sequence[PlacedSeeds], made: RunDesign
) -> FloatArray:
    """Write what a strategy makes of some seed sets; their cleaned series, (T', S)."""
    written = []
    for part in placed:
        # Set by set, so that its numbers are the same to the last bit whichever others there are.
        cleaned = _cleaned(extraction, part, made)
        pairs = effective_dof(cleaned, made) if made.processing.effective_dof else None
        write_series(job, CleanedSeries(part, made, cleaned, pairs))
        written.append(cleaned)
    return np.hstack(written)


def _cleaned(extraction: Extraction, part: PlacedSeeds, made: RunDesign) -> FloatArray:
    """Cleaned series of one seed set, (T', S): means are cleaned, else voxels are."""
    series = np.ascontiguousarray(extraction.timeseries[:, part.columns])
    if extraction.voxels is None:
        return clean_series(series, made)
    cleaned = np.full((made.design.n_kept, series.shape[1]), np.nan)
    there = ~np.isnan(series).any(axis=0)
    if there.any() and made.exclusion is None:
        voxels = extraction.voxels.of(part.columns.start + np.flatnonzero(there))
        aggregation, arguments = made.processing.aggregation, clean_arguments(made)
        cleaned[:, there] = aggregate_cleaned(voxels, aggregation, arguments)
    return cleaned


def _place(
    job: Job, todo: _ToDo, volumes: Volumes, mask: tuple[NDArray[np.bool_] | None, Grid | None]
) -> list[PlacedSeeds]:
    """Spheres of every seed set on the image's grid, within the mask."""
    placed, start = [], 0
    for seeds in todo.seed_sets:
        weights = sphere_weights(seeds.coordinates, seeds.radii, volumes.grid, *mask)
        weights = _without_overlap(job, seeds, weights)
        columns = slice(start, start + len(seeds))
        placed.append(PlacedSeeds(todo.image.bold, seeds, weights, columns))
        start += len(seeds)
    return placed


def _load_mask(job: Job, bold: Path) -> Mask | None:
    if job.mask is not None:
        return read_mask(job.mask)
    if job.work.processing.mask == "none":
        return None
    raise MissingInputError(
        f"No brain mask belongs to {bold}.",
        hint="fMRIPrep writes it beside the image as *_desc-brain_mask.nii.gz; --mask template, "
        "none or PATH does without.",
    )


def _without_overlap(job: Job, seeds: SeedTable, weights: SphereWeights) -> SphereWeights:
    rule = job.work.processing.overlap
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
    source = _relative(job, todo.image.bold)
    rows = [_exclusion_row(job, source, made) for made in todo.designs if made.exclusion]
    names = [strategy.name for strategy in todo.image.strategies]
    record_exclusions(job.work.output_dir, source, names, rows)


def _exclusion_row(job: Job, source: str, made: RunDesign) -> ExclusionRow:
    excluded = made.exclusion
    assert excluded is not None  # noqa: S101 - the caller looked
    left, name = excluded.freedom, job.run.name
    return ExclusionRow(
        participant_id=f"sub-{name.get('sub')}",
        session_id=f"ses-{name.get('ses')}" if name.get("ses") else None,
        source=source,
        strategy=made.strategy.name,
        reason=excluded.reason,
        n_volumes=left.volumes,
        n_kept=left.kept,
        rank=left.rank,
        lost_to_filter=left.filtered,
        lost_to_censoring=left.censored,
        degrees_of_freedom=left.residual,
        seconds=left.seconds,
        min_degrees_of_freedom=made.processing.min_dof,
        min_volumes=made.strategy.min_volumes,
        min_seconds=made.strategy.min_seconds,
    )


def _relative(job: Job, path: Path) -> str:
    """Path from the root of the dataset that it is in."""
    for _, root in job.work.links:
        if path.is_relative_to(root):
            return PurePosixPath(path.relative_to(root)).as_posix()
    return path.name


def _strategy_warnings(designs: Sequence[RunDesign]) -> Iterator[str]:
    """What a user should know about the strategies in this run."""
    for made in designs:
        name = made.strategy.name
        yield from (f"{name}: {note}" for note in made.design.notes)
        if made.exclusion:
            yield (
                f"{name} leaves too little of this run, and its outputs are n/a: "
                f"{made.exclusion.reason}. Choose a strategy with fewer regressors or no "
                "filter for this run, or leave it out; exclusions.tsv lists it."
            )
        elif made.freedom.residual < FEW_DEGREES_OF_FREEDOM:
            yield (
                f"{name} leaves {rounded(made.freedom.residual)} degrees of freedom of this run, "
                f"fewer than {FEW_DEGREES_OF_FREEDOM} ({parts(made.freedom)}): its correlations "
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


def _nothing_there(placed: PlacedSeeds, min_coverage: float, job: Job) -> str:
    """What to look for when a seed set has no sphere with a signal; empty when it has one."""
    label = placed.seeds.label
    if placed.weights.empty.all():
        return (
            f"{label}: no sphere has a voxel in image and mask, and all outputs are n/a. Are the "
            f"coordinates millimetres in the space {job.run.space}, and is the mask of this image?"
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
