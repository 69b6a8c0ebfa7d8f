"""What the sidecars of a job's outputs say."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres import __version__
from bids_spheres.confounds import SMOOTHED_BEFORE
from bids_spheres.outputs.sidecars import GENERATOR, input_uri

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.confounds import Strategy
    from bids_spheres.engine.connectivity import Measure
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.plan import Job


def image_facts(job: Job, bold: Path, seeds: SeedTable) -> dict[str, Any]:
    """Which seeds on which image."""
    rules = job.work.processing
    return {
        "Sources": [input_of(job, path) for path in (bold, job.mask) if path],
        "GeneratedBy": [{"Name": GENERATOR, "Version": __version__}],
        "SpatialReference": job.run.space,
        "Seeds": seeds.label,
        **_placement_facts(job, seeds),
        "Radius": _one_or_list(seeds.radii),
        "RadiusUnits": "mm",
        "Mask": rules.mask,
        "MinimumCoverage": rules.min_coverage,
        "Overlap": rules.overlap,
        "Aggregation": rules.aggregation,
        **_smoothing_facts(job, bold),
    }


def _smoothing_facts(job: Job, bold: Path) -> dict[str, Any]:
    """Smoothing by us, and by what made the image."""
    ours, before = job.work.processing.smoothing_fwhm or 0, smoothed_before(job, bold)
    if not before:
        return {"SmoothingFWHM": ours, "SmoothingBefore": None}
    return {
        # Variances of Gaussians add up.
        "SmoothingFWHM": float(np.hypot(ours, before)),
        "SmoothingBefore": f"{before:g} mm by FSL SUSAN, in fMRIPrep's workflow of ICA-AROMA",
    }


def smoothed_before(job: Job, bold: Path) -> float:
    """Width by which an image was smoothed when it was made, mm; 0 when it wasn't."""
    kinds = {path: kind for kind, path in job.run.images}
    return SMOOTHED_BEFORE.get(kinds.get(bold, ""), 0.0)


def _placement_facts(job: Job, seeds: SeedTable) -> dict[str, Any]:
    """How the seeds came into the space of the image, where that is not their own."""
    (placement,) = (one for one in job.placements if one.table is seeds)
    if not placement.note:
        return {}
    return {
        "SeedSpace": seeds.metadata.get("Space"),
        "SpaceNote": placement.note,
        "SeedTransforms": [input_of(job, path) for path in placement.transforms],
    }


def design_facts(job: Job, made: RunDesign) -> dict[str, Any]:
    """Of regressors and censored volumes."""
    return {
        "Sources": [input_of(job, path) for path in (*job.run.tables.paths, job.outliers) if path],
        "Strategy": made.strategy.name,
        "Description": made.strategy.description,
        "NuisanceParameters": list(made.design.columns),
        "StrategyNotes": list(made.design.notes),
    }


def cleaning_facts(job: Job, made: RunDesign) -> dict[str, Any]:
    """What was done to the series, and what is left of them."""
    left, rules, design = made.freedom, job.work.processing, made.design
    excluded = made.exclusion
    return {
        **design_facts(job, made),
        "SoftwareFilters": _filter_facts(made.strategy),
        "Detrend": rules.detrend,
        "Standardize": rules.standardize,
        "NumberOfVolumes": left.volumes,
        "NumberOfVolumesKept": left.kept,
        "NumberOfVolumesCensored": left.volumes - left.kept,
        "CensoredVolumes": {name: int(flags.sum()) for name, flags in design.reasons.items()},
        "CensoringThresholds": asdict(made.strategy.censor),
        "DummyScans": rules.dummy_scans,
        "RankRemoved": left.rank,
        "DimensionsLostToFilter": left.filtered,
        "DimensionsLostToCensoring": left.censored,
        "DegreesOfFreedom": left.residual,
        "MinimumDegreesOfFreedom": rules.min_dof,
        "MeanFramewiseDisplacement": design.mean_framewise_displacement,
        "VolumesWithFramewiseDisplacement": design.n_framewise_displacement,
        "Excluded": excluded.reason if excluded else None,
    }


def matrix_facts(job: Job, seeds: SeedTable, measure: Measure) -> dict[str, Any]:
    """Of a matrix over pairs of spheres."""
    return {
        "RelationshipMeasure": measure.title,
        "Weighted": measure.weighted,
        "Directed": measure.directed,
        "ValidDiagonal": measure.valid_diagonal,
        "StorageFormat": "Full",
        "NodeFiles": [job.paths.uri(job.paths.spheres(seeds))],
    }


EFFECTIVE_DOF_FACTS: dict[str, Any] = {
    "RelationshipMeasure": "Effective number of volumes of the correlation of two spheres, given "
    "the autocorrelation of both (Dutilleul 1993, doi:10.2307/2532625); the variance of Fisher's "
    "z is 1 / (this - 3)",
    "ValidDiagonal": False,
}


def input_of(job: Job, path: Path | None) -> str:
    """URI of an input file."""
    return input_uri(path, job.work.links) if path else "n/a"


def _filter_facts(strategy: Strategy) -> dict[str, Any] | str:
    return "n/a" if strategy.filter is None else {"Temporal": asdict(strategy.filter)}


def _one_or_list(values: NDArray[np.float64]) -> float | list[float]:
    return float(values[0]) if (values == values[0]).all() else values.tolist()
