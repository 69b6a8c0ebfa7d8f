"""What a job computed, to files under their BIDS names, each with its sidecar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import measure
from bids_spheres.outputs import write
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.sidecars import sampling
from bids_spheres.outputs.write import write_matrix
from bids_spheres.participant.sidecars import (
    cleaning_facts,
    design_facts,
    effective_dof_facts,
    image_facts,
    matrix_facts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.connectivity import Measure
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.participant.designs import RunDesign, Timing
    from bids_spheres.participant.plan import Job

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacedSeeds:
    """One seed set on the grid of one image.

    Parameters
    ----------
    bold : Path
        The image.
    seeds : SeedTable
    weights : SphereWeights
    columns : slice
        Its part of the columns of an extraction of several sets.
    coverage, tsnr : (S,) arrays, optional
        Share of each sphere's voxels that has a signal, and their temporal signal-to-noise ratio;
        there once the image was read.
    reduced : int
        How many spheres have voxels in image and mask that are no voxels, as they are not finite
        in a volume or constant.
    """

    bold: Path
    seeds: SeedTable
    weights: SphereWeights
    columns: slice
    coverage: FloatArray | None = None
    tsnr: FloatArray | None = None
    reduced: int = 0

    def seen(self, extraction: Extraction) -> PlacedSeeds:
        """The same with what an extraction with moments tells of the voxels."""
        moments, all_weights = extraction.moments, extraction.weights
        assert moments is not None  # noqa: S101 - they were asked for
        coverage = moments.coverage(all_weights)[self.columns]
        tsnr = moments.tsnr(all_weights)[self.columns]
        reduced = int(extraction.reduced[self.columns].sum())
        return replace(self, coverage=coverage, tsnr=tsnr, reduced=reduced)

    def missing(self, min_coverage: float) -> NDArray[np.bool_]:
        """Spheres without a usable voxel, or with too little coverage, (S,)."""
        coverage = self.weights.coverage if self.coverage is None else self.coverage
        return np.asarray(self.weights.empty | (coverage == 0) | (coverage < min_coverage))


@dataclass(frozen=True, eq=False)
class CleanedSeries:
    """Time series of one seed set after one strategy.

    Parameters
    ----------
    placed : PlacedSeeds
    made : RunDesign
        What the strategy came to in this run.
    values : (T', S) array
        Kept volumes only; NaN for spheres without a voxel.
    effective_dof : (S, S) array, optional
        Effective degrees of freedom of each correlation, if asked for.
    """

    placed: PlacedSeeds
    made: RunDesign
    values: FloatArray
    effective_dof: FloatArray | None = None

    def related_by(self, chosen: Measure) -> FloatArray:
        """Relations of every two series, (S, S); NaN when the run is excluded."""
        if self.made.exclusion is not None:
            return np.full((self.values.shape[1],) * 2, np.nan)
        return chosen.function(self.values)

    def for_every_volume(self) -> FloatArray:
        """`values` with a row of NaN for every censored volume, (T, S)."""
        kept = self.made.design.kept
        full = np.full((len(kept), self.values.shape[1]), np.nan)
        full[kept] = self.values
        return full


def write_spheres(job: Job, placed: PlacedSeeds) -> None:
    """Write the spheres as image and table."""
    used = ~placed.missing(job.work.processing.min_coverage)
    measured = {"coverage": placed.coverage, "used": used, "tsnr": placed.tsnr}
    facts = image_facts(job, placed.bold, placed.seeds)
    write.write_spheres(
        job.paths, placed.seeds, placed.bold, placed.weights, measured=measured, sidecar=facts
    )


def write_uncleaned(job: Job, placed: PlacedSeeds, values: FloatArray, timing: Timing) -> None:
    """Write the series of the spheres before cleaning, (T, S)."""
    facts = image_facts(job, placed.bold, placed.seeds)
    write.write_uncleaned(job.paths, placed.seeds, values, timing.t_r, facts)


def write_design(job: Job, made: RunDesign) -> None:
    """Write the regressors and the censored volumes."""
    design = made.design
    columns = dict(zip(design.columns, design.values.T, strict=True))
    facts = design_facts(job, made)
    displacements = {}
    if design.motion:
        displacements = {
            "fd": design.framewise_displacement,
            "fd_recomputed": design.motion.displacement,
        }
    write.write_design(
        job.paths,
        made.strategy.name,
        columns,
        kept=design.kept,
        reasons=design.reasons,
        displacements=displacements,
        sidecar=facts,
    )


def write_series(job: Job, series: CleanedSeries) -> None:
    """Write time series and their relations."""
    seeds, made, paths = series.placed.seeds, series.made, job.paths
    strategy, rules = made.strategy.name, job.work.processing
    image, cleaning = image_facts(job, series.placed.bold, seeds), cleaning_facts(job, made)
    common = {**image, **cleaning}
    own = {
        "Sources": [*image["Sources"], *cleaning["Sources"]],
        **sampling(made.timing.t_r),
        "FullLength": rules.full_length,
    }
    values = series.for_every_volume() if rules.full_length else series.values
    write.write_series(paths, seeds, strategy, values, {**common, **own})
    common["Sources"] = [paths.uri(paths.series(seeds, strategy))]
    for chosen in map(measure, rules.connectivity):
        facts = {**common, **matrix_facts(job, seeds, chosen)}
        if chosen.shrinkage and made.exclusion is None:
            facts["Shrinkage"] = chosen.shrinkage(series.values)
        path = paths.matrix(seeds, strategy, chosen.stat)
        write_matrix(path, seeds.names, series.related_by(chosen), facts)
    if series.effective_dof is not None:
        path = paths.matrix(seeds, strategy, EFFECTIVE_DOF)
        facts = {**common, **effective_dof_facts(job, seeds)}
        write_matrix(path, seeds.names, series.effective_dof, facts)
