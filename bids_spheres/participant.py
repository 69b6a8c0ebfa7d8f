"""One job: extract once, clean per strategy, relate, write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds import exclusion, filter_problem, make_design, read_confounds
from bids_spheres.engine.clean import clean
from bids_spheres.engine.extract import extract
from bids_spheres.engine.spheres import sphere_weights, stack_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.plan import JobReport
from bids_spheres.results import (
    CleanedSeries,
    PlacedSeeds,
    write_design,
    write_series,
    write_spheres,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bids_spheres.confounds import Design, Strategy
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.stream import Volumes
    from bids_spheres.plan import Job


def run_job(job: Job) -> JobReport:
    """Do one job; the image is read once, whatever the number of seed sets and strategies.

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
    volumes = open_volumes(job.run.bold)
    t_r = _repetition_time(job, volumes)
    designs = _designs(job, volumes, t_r)
    placed = _place(job, volumes)
    weights = stack_weights([part.weights for part in placed])
    extraction = extract(volumes, weights, moments=True)
    assert extraction.moments is not None  # noqa: S101 - they were asked for
    tsnr = extraction.moments.tsnr(weights)
    for part in placed:
        write_spheres(job, part, tsnr[part.columns])
    for strategy, design in designs:
        write_design(job, strategy, design)
        cleaned = _clean(job, extraction, strategy, design, t_r)
        for part in placed:
            values = cleaned[:, part.columns]
            write_series(job, CleanedSeries(part, strategy, design, values, t_r))
    return JobReport(
        notes=tuple(_coverage_note(part) for part in placed),
        warnings=tuple(_strategy_warnings(job, designs, t_r)),
    )


def _repetition_time(job: Job, volumes: Volumes) -> float:
    """From the sidecar, else from the header; s."""
    t_r = job.run.metadata().get("RepetitionTime") or volumes.t_r
    if isinstance(t_r, bool) or not isinstance(t_r, int | float) or not 0 < t_r < np.inf:
        raise DataError(
            f"{job.run.bold} has no repetition time, neither in its JSON file nor in its header.",
            hint='Give "RepetitionTime" in seconds in the JSON file beside the image.',
        )
    return float(t_r)


def _designs(job: Job, volumes: Volumes, t_r: float) -> list[tuple[Strategy, Design]]:
    """What every strategy comes to in this run; found out before the image is read."""
    path = job.run.confounds
    if path is None:
        raise MissingInputError(
            f"No confounds table belongs to {job.run.bold}.",
            hint="fMRIPrep writes it beside the image as *_desc-confounds_timeseries.tsv.",
        )
    for strategy in job.strategies:
        chosen = strategy.filter
        if chosen and (problem := filter_problem(chosen, t_r, volumes.n_volumes)):
            raise DataError(f"{strategy} can't be used on {job.run.bold}: {problem}.")
    table = read_confounds(path)
    designs = [
        (strategy, make_design(table, strategy, path, volumes.n_volumes))
        for strategy in job.strategies
    ]
    if empty := [strategy.name for strategy, design in designs if not design.kept.any()]:
        raise DataError(f"{path}: every volume is an outlier for {empty[0]}; none is left.")
    return designs


def _place(job: Job, volumes: Volumes) -> list[PlacedSeeds]:
    """Spheres of every seed set on the image's grid, within its mask."""
    if job.run.mask is None:
        raise MissingInputError(
            f"No brain mask belongs to {job.run.bold}.",
            hint="fMRIPrep writes it beside the image as *_desc-brain_mask.nii.gz.",
        )
    mask, mask_grid = load_mask(job.run.mask)
    placed, start = [], 0
    for seeds in job.seed_sets:
        weights = sphere_weights(seeds.coordinates, seeds.radii, volumes.grid, mask, mask_grid)
        placed.append(PlacedSeeds(seeds, weights, slice(start, start + len(seeds))))
        start += len(seeds)
    return placed


def _clean(
    job: Job, extraction: Extraction, strategy: Strategy, design: Design, t_r: float
) -> NDArray[np.float64]:
    """Cleaned series of the kept volumes, (T', S); NaN where there is no signal to clean."""
    series, there = extraction.timeseries, ~extraction.weights.empty
    cleaned = np.full((design.n_kept, series.shape[1]), np.nan)
    # Without degrees of freedom the residuals are rounding errors, scaled up to look like data.
    if there.any() and exclusion(design, strategy, t_r, job.detrend) is None:
        cleaned[:, there] = clean(
            series[:, there],
            detrend=job.detrend,
            standardize=job.standardize,
            sample_mask=None if design.kept.all() else design.kept,
            confounds=design.values if design.columns else None,
            interpolate="censored",
            t_r=t_r,
            **_filter_options(strategy),
        )
    return cleaned


def _filter_options(strategy: Strategy) -> dict[str, Any]:
    """Arguments of `clean` for the strategy's filter."""
    chosen = strategy.filter
    if chosen is None:
        return {}
    order = {"order": chosen.order} if chosen.type == "butterworth" else {}
    return {
        "filter": chosen.type,
        "high_pass": chosen.high_pass,
        "low_pass": chosen.low_pass,
        **order,
    }


def _strategy_warnings(
    job: Job, designs: list[tuple[Strategy, Design]], t_r: float
) -> Iterator[str]:
    """What a user should know about the strategies in this run."""
    for strategy, design in designs:
        yield from (f"{strategy.name}: {note}" for note in design.notes)
        if excluded := exclusion(design, strategy, t_r, job.detrend):
            yield (
                f"{strategy.name} leaves too little of this run, and its outputs are n/a: "
                f"{excluded.reason}. Choose a strategy with fewer regressors for so short a run."
            )


def _coverage_note(placed: PlacedSeeds) -> str:
    weights = placed.weights
    text = f"{placed.seeds.label}: {len(placed.seeds)} spheres"
    if not weights.seed_used.all():
        text += f", {int((~weights.seed_used).sum())} with their seed outside the mask"
    if weights.partial.any():
        text += f", {int(weights.partial.sum())} partly outside it"
    if weights.empty.any():
        text += f", {int(weights.empty.sum())} without a voxel in it (n/a)"
    return text
