"""One job: extract once, clean per strategy, relate, write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.bids.exclusions import ExclusionRow, record_exclusions
from bids_spheres.cleaning import clean_series, effective_dof, white_noise_freedom
from bids_spheres.designs import run_designs, run_timing
from bids_spheres.engine.extract import extract
from bids_spheres.engine.spheres import nearest_only, sphere_weights, stack_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.placing import place_in_run
from bids_spheres.plan import JobReport
from bids_spheres.results import (
    CleanedSeries,
    PlacedSeeds,
    write_design,
    write_series,
    write_spheres,
)
from bids_spheres.voxel_maps import tapped, write_seed_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.designs import RunDesign
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.engine.stream import Volumes
    from bids_spheres.plan import Job, JobImage


def run_job(job: Job) -> JobReport:
    """Do one job; every image is read once, whatever the number of seed sets and strategies.

    Parameters
    ----------
    job : Job

    Returns
    -------
    JobReport

    Raises
    ------
    BidsSpheresError
        When an input can't be used or an output not be written.
    """
    notes: dict[str, None] = {}
    if not job.placements:
        job = _with_placements(job)
        notes = {placement.note: None for placement in job.placements if placement.note}
    warnings: list[str] = []
    for number, image in enumerate(job.images):
        made = run_designs(job, image, run_timing(job, image.bold))
        warnings += _strategy_warnings(made)
        placed = _run_image(job, image, made, with_spheres=number == 0)
        least = job.work.processing.min_coverage
        notes |= dict.fromkeys(_coverage_note(part, least) for part in placed)
    return JobReport(notes=tuple(notes), warnings=tuple(warnings))


def _with_placements(job: Job) -> Job:
    """The job with seeds in the space of its run, which is the participant's own."""
    work = job.work
    roots, warp = [root for _, root in work.links], work.processing.warp_seeds
    return replace(job, placements=place_in_run(work.seed_sets, job.run, roots, warp=warp))


def _run_image(
    job: Job, image: JobImage, designs: Sequence[RunDesign], *, with_spheres: bool
) -> list[PlacedSeeds]:
    """Everything that is made of one image."""
    volumes, mask = open_volumes(image.bold), _load_mask(job, image.bold)
    placed = _place(job, image.bold, volumes, mask)
    with tapped(job, volumes, mask) as source:
        extraction = _extract(job, source, placed)
        placed = [part.seen(extraction) for part in placed]
        for part in placed:
            low = part.missing(job.work.processing.min_coverage)
            extraction.timeseries[:, part.columns][:, low] = np.nan
            if with_spheres:
                write_spheres(job, part)
        _record_exclusions(job, image, designs)
        for made in designs:
            _write_strategy(job, extraction, placed, made)
            write_seed_maps(job, source, extraction, placed, made)
    return placed


def _extract(job: Job, volumes: Volumes, placed: Sequence[PlacedSeeds]) -> Extraction:
    """Series of all seed sets, in one pass over the image."""
    rules = job.work.processing
    weights = stack_weights([part.weights for part in placed])
    return extract(
        volumes, weights, rules.smoothing_fwhm, aggregation=rules.aggregation, moments=True
    )


def _write_strategy(
    job: Job, extraction: Extraction, placed: Sequence[PlacedSeeds], made: RunDesign
) -> None:
    write_design(job, made)
    cleaned = clean_series(extraction.timeseries, made)
    effective = effective_dof(cleaned, made) if made.processing.effective_dof else None
    noise = white_noise_freedom(made)
    for part in placed:
        own = part.columns
        pairs = None if effective is None else effective[own, own]
        write_series(job, CleanedSeries(part, made, cleaned[:, own], noise, pairs))


def _place(
    job: Job, bold: Path, volumes: Volumes, mask: tuple[NDArray[np.bool_] | None, Grid | None]
) -> list[PlacedSeeds]:
    """Spheres of every seed set on the image's grid, within the mask."""
    placed, start = [], 0
    for seeds in (placement.table for placement in job.placements):
        weights = sphere_weights(seeds.coordinates, seeds.radii, volumes.grid, *mask)
        weights = _without_overlap(job, seeds, weights)
        placed.append(PlacedSeeds(bold, seeds, weights, slice(start, start + len(seeds))))
        start += len(seeds)
    return placed


def _load_mask(job: Job, bold: Path) -> tuple[NDArray[np.bool_] | None, Grid | None]:
    if job.mask is not None:
        return load_mask(job.mask)
    if job.work.processing.mask == "none":
        return None, None
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
        return nearest_only(weights, seeds.coordinates)
    shared = np.flatnonzero(weights.overlaps)
    names = ", ".join(seeds.names[i] for i in shared[:5]) + ", ..." * (len(shared) > 5)
    raise DataError(
        f"{len(shared)} spheres of {seeds.label} share voxels with others: {names}",
        hint="Choose a smaller --radius, or --overlap nearest or allow.",
    )


def _record_exclusions(job: Job, image: JobImage, designs: Sequence[RunDesign]) -> None:
    source = _relative(job, image.bold)
    rows = [_exclusion_row(job, source, made) for made in designs if made.exclusion]
    names = [made.strategy.name for made in designs]
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
                f"{made.exclusion.reason}. Choose a strategy with fewer regressors for so short "
                "a run, or leave the run out; exclusions.tsv lists it."
            )


def _coverage_note(placed: PlacedSeeds, min_coverage: float) -> str:
    weights = placed.weights
    low = placed.missing(min_coverage) & ~weights.empty
    text = f"{placed.seeds.label}: {len(placed.seeds)} spheres"
    if not weights.seed_used.all():
        text += f", {int((~weights.seed_used).sum())} with their seed outside the mask"
    if weights.partial.any():
        text += f", {int(weights.partial.sum())} partly outside it"
    if weights.empty.any():
        text += f", {int(weights.empty.sum())} without a voxel in it (n/a)"
    if low.any():
        text += f", {int(low.sum())} with a coverage below {min_coverage:g} (n/a)"
    return text
