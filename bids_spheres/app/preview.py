"""Preview of a call (--dry-run, --explain): runs, outputs and designs, without reading an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.degrees_of_freedom import parts, rounded
from bids_spheres.participant.designs import (
    StrategyFailures,
    missing_image,
    run_designs,
    run_timing,
)
from bids_spheres.settings import OFF
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.plan import Job


def explain_jobs(jobs: Sequence[Job]) -> Iterator[str]:
    """Describe per run and strategy the columns, volumes kept, rank and degrees of freedom."""
    for job in jobs:
        yield f"{job}"
        if job.run.problem:
            yield f"  FAILED: {job.run.problem}"
            yield ""
            continue
        failures = StrategyFailures()
        failures.errors |= {strategy: missing_image(strategy) for strategy in job.without_image}
        for image in job.images:
            with failures.of(*image.strategies):
                for run_design in run_designs(
                    job, image, run_timing(job.run, image.bold), failures
                ):
                    yield from _describe_design(run_design)
                    yield f"    image: {image.bold}"
        for strategy, error in failures.errors.items():
            yield f"  {strategy.name}"
            yield f"    FAILED: {error.message}"
        yield ""


def dry_run(
    jobs: Sequence[Job], states: Sequence[str], rejected: Sequence[tuple[Path, str]]
) -> Iterator[str]:
    """Describe runs with their files, what would be written, and images that are not used.

    `states` say of each job whether it is up to date, `rejected` why images are not used.
    """
    header: tuple[str, ...] = ("run", "images", "mask", "confounds", "files", "state")
    outputs = [job.outputs() for job in jobs]
    rows = [header]
    for job, state, paths in zip(jobs, states, outputs, strict=True):
        kinds = {path: kind for kind, path in job.run.images}
        images = ", ".join(kinds[image.bold] for image in job.images)
        if lacking := len(job.without_image):
            images += f" ({count(lacking, 'strategy', 'strategies')} without an image)"
        has_mask = job.work.processing.mask == OFF or job.mask is not None
        needs_table = any(strategy.needs_table for strategy in job.strategies)
        has_table = job.run.tables.confounds is not None or not needs_table
        presence = [("MISSING", "yes")[has] for has in (has_mask, has_table)]
        rows.append((str(job), images, *presence, str(len(paths)), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    for job, paths in zip(jobs, outputs, strict=True):
        yield from ("", str(job), *(f"  {path}" for path in paths))
    if problems := dict.fromkeys(job.run.problem for job in jobs if job.run.problem):
        yield from ("", "Runs that would fail:", *(f"  {problem}" for problem in problems))
    if rejected:
        yield from ("", "Not used:")
        yield from (f"  {path}: {reason}" for path, reason in rejected)


def _describe_design(run_design: RunDesign) -> Iterator[str]:
    left, design = run_design.degrees_of_freedom, run_design.design
    why = ", ".join(f"{name} {flags.sum()}" for name, flags in design.reasons.items() if any(flags))
    if overlap := int((np.sum([*design.reasons.values()], axis=0) > 1).sum()):
        why += f"; {overlap} of these for more than one reason"
    yield f"  {run_design.strategy.name}"
    yield f"    columns: {' '.join([f'{len(design.columns)}:', *design.columns])}"
    yield f"    volumes: {left.kept} of {left.volumes} kept" + (
        f" (left out: {why})" if why else ""
    )
    yield f"    degrees of freedom: {rounded(left.residual)} = {parts(left)}"
    for note in design.notes:
        yield f"    note: {note}"
    if run_design.exclusion:
        yield f"    EXCLUDED: {run_design.exclusion.reason}"
