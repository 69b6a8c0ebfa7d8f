"""What a job computed, to files under their BIDS names, each with its sidecar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.spheres import label_volume
from bids_spheres.files.atomic import (
    write_compressed_numbers,
    write_image,
    write_json,
    write_numbers,
    write_table,
)
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.sidecars import SPHERE_COLUMNS, column_descriptions
from bids_spheres.participant.sidecars import (
    EFFECTIVE_DOF_FACTS,
    cleaning_facts,
    design_facts,
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
    seeds = placed.seeds
    write_image(job.paths.spheres(seeds, ".nii.gz"), _label_image(placed))
    write_table(job.paths.spheres(seeds), _spheres_table(placed, job))
    write_json(job.paths.spheres(seeds, ".json"), _spheres_facts(job, placed))


def write_uncleaned(job: Job, placed: PlacedSeeds, values: FloatArray, timing: Timing) -> None:
    """Write the series of the spheres before cleaning, (T, S)."""
    seeds = placed.seeds
    write_compressed_numbers(job.paths.uncleaned(seeds), values)
    facts = {
        **column_descriptions(seeds.names, seeds.networks),
        **image_facts(job, placed.bold, seeds),
        "Description": "Signals of the spheres before cleaning, in the units of the image",
        "Columns": list(seeds.names),
        "SoftwareFilters": "n/a",
        "NuisanceParameters": [],
        "Detrend": False,
        "Standardize": False,
        "NumberOfVolumes": len(values),
        "DegreesOfFreedom": len(values),
        "SamplingFrequency": 1 / timing.t_r,
        "RepetitionTime": timing.t_r,
    }
    write_json(job.paths.uncleaned(seeds, ".json"), facts)


_ORIENTATION = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
)
"""Fields of a NIfTI header that say where voxels are, beside ``pixdim``."""


def _label_image(placed: PlacedSeeds) -> nib.Nifti1Image:
    """Labels of the spheres, oriented as the BOLD image is, also for programs that read qforms."""
    seeds, grid = placed.seeds, placed.weights.grid
    smallest = next(i for i in (np.uint8, np.int16, np.int32) if len(seeds) <= np.iinfo(i).max)
    labels = label_volume(placed.weights, seeds.coordinates).astype(smallest)
    img = nib.Nifti1Image(labels, grid.affine)
    bold: Any = nib.load(placed.bold).header
    for field in _ORIENTATION:
        img.header[field] = bold[field]
    img.header["pixdim"][:4] = bold["pixdim"][:4]
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_intent("label", name=seeds.label[:15])
    img.header["descrip"] = "Spheres around seeds, by bids_spheres"
    return img


def write_design(job: Job, made: RunDesign) -> None:
    """Write the regressors and the censored volumes."""
    strategy, design = made.strategy, made.design
    facts = design_facts(job, made)
    # The mean is always removed; a table needs a column.
    constant = ("intercept",), np.ones((len(design.kept), 1))
    names, values = (design.columns, design.values) if design.columns else constant
    write_numbers(job.paths.design(strategy.name), names, values)
    write_json(job.paths.design(strategy.name, ".json"), facts)
    why = {name: flags.astype(int) for name, flags in design.reasons.items() if flags.any()}
    censored = pd.DataFrame({"censored": (~design.kept).astype(int), **why})
    write_table(job.paths.outliers(strategy.name), censored)
    levels = {"0": "kept", "1": "left out"}
    about = {"censored": {"Description": "Censored volumes", "Levels": levels}}
    write_json(job.paths.outliers(strategy.name, ".json"), facts | about)


def write_series(job: Job, series: CleanedSeries) -> None:
    """Write time series and their relations."""
    seeds, made = series.placed.seeds, series.made
    image = image_facts(job, series.placed.bold, seeds)
    cleaning = cleaning_facts(job, made)
    common = {**image, **cleaning, "Sources": [*image["Sources"], *cleaning["Sources"]]}
    full = job.work.processing.full_length
    values = series.for_every_volume() if full else series.values
    path = job.paths.series(seeds, made.strategy.name)
    write_numbers(path, seeds.names, values)
    t_r = made.timing.t_r
    sampling = {"SamplingFrequency": 1 / t_r, "RepetitionTime": t_r, "FullLength": full}
    columns = column_descriptions(seeds.names, seeds.networks)
    # A seed may have the name of a key; then what was done is told, not the seed's network.
    write_json(path.with_suffix(".json"), {**columns, **common, **sampling})
    _write_matrices(job, series, {**common, "Sources": [job.paths.uri(path)]})


def _write_matrices(job: Job, series: CleanedSeries, common: dict[str, Any]) -> None:
    seeds = series.placed.seeds
    for name in job.work.processing.connectivity:
        chosen = measure(name)
        facts = {**common, **matrix_facts(job, seeds, chosen)}
        if chosen.shrinkage and series.made.exclusion is None:
            facts["Shrinkage"] = chosen.shrinkage(series.values)
        _write_matrix(job, series, _Matrix(chosen.stat, series.related_by(chosen), facts))
    if series.effective_dof is not None:
        facts = {**common, **matrix_facts(job, seeds, measure("pearson")), **EFFECTIVE_DOF_FACTS}
        _write_matrix(job, series, _Matrix(EFFECTIVE_DOF, series.effective_dof, facts))


@dataclass(frozen=True, eq=False)
class _Matrix:
    """An (S, S) matrix, the label of its ``stat``, and its sidecar."""

    stat: str
    values: FloatArray
    facts: dict[str, Any]


def _write_matrix(job: Job, series: CleanedSeries, matrix: _Matrix) -> None:
    seeds = series.placed.seeds
    path = job.paths.matrix(seeds, series.made.strategy.name, matrix.stat)
    write_matrix(path, matrix.values, seeds, matrix.facts)


def write_matrix(path: Path, values: FloatArray, seeds: SeedTable, facts: dict[str, Any]) -> None:
    """Write a matrix over pairs of spheres, (S, S), as a table, and its sidecar."""
    write_numbers(path, seeds.names, values, ("Node", seeds.names))
    write_json(path.with_suffix(".json"), facts)


def _spheres_table(placed: PlacedSeeds, job: Job) -> pd.DataFrame:
    seeds, weights = placed.seeds, placed.weights
    return pd.DataFrame(
        {
            "index": np.arange(1, len(seeds) + 1),
            "name": seeds.names,
            **dict(zip("xyz", seeds.coordinates.T, strict=True)),
            "radius": seeds.radii,
            "network": seeds.networks or ["n/a"] * len(seeds),
            "voxels_asked": weights.asked,
            "voxels_used": weights.used,
            "coverage": placed.coverage,
            "used": (~placed.missing(job.work.processing.min_coverage)).astype(int),
            "seed_in_mask": weights.seed_used.astype(int),
            "overlap": weights.overlaps,
            "tsnr": placed.tsnr,
        }
    )


def _spheres_facts(job: Job, placed: PlacedSeeds) -> dict[str, Any]:
    weights = placed.weights
    return {
        **image_facts(job, placed.bold, placed.seeds),
        "Description": "Spheres around seeds; a voxel in several spheres has the index of the "
        "sphere whose seed is nearest",
        "Resolution": "Grid of the BOLD image",
        "SpheresWithoutVoxels": int(weights.empty.sum()),
        "SpheresPartlyOutsideMask": int(weights.partial.sum()),
        "SpheresOfTooLittleCoverage": int(placed.missing(job.work.processing.min_coverage).sum()),
        "SeedsOutsideMask": int((~weights.seed_used).sum()),
        **SPHERE_COLUMNS,
    }
