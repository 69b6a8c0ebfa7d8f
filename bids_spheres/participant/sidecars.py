"""What the sidecars of a job's outputs say."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds import SMOOTHED_BEFORE
from bids_spheres.engine.connectivity import measure
from bids_spheres.outputs.sidecars import (
    CleaningSidecar,
    DesignSidecar,
    ImageSidecar,
    MatrixSidecar,
    MotionSidecar,
    generated_by,
    input_uri,
)
from bids_spheres.settings import sidecar_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.connectivity import Measure
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.plan import Job


def image_facts(job: Job, bold: Path, seeds: SeedTable) -> dict[str, Any]:
    """Which seeds on which image."""
    rules, before = job.work.processing, smoothed_before(job, bold)
    (placement,) = (own for own in job.placements if own.table is seeds)
    recorded = sidecar_of(rules, "spheres")
    ours = rules.smoothing_fwhm or 0
    # Variances of Gaussians add up.
    recorded["SmoothingFWHM"] = float(np.hypot(ours, before)) if before else ours
    about = ImageSidecar(
        Sources=[input_of(job, path) for path in (bold, job.mask) if path],
        GeneratedBy=generated_by(),
        SpatialReference=job.run.space,
        Seeds=seeds.label,
    )
    if placement.note:
        about["SeedSpace"] = seeds.metadata.get("Space")
        about["SpaceNote"] = placement.note
        about["SeedTransforms"] = [input_of(job, path) for path in placement.transforms]
    about["Radius"] = _one_or_list(seeds.radii)
    about["RadiusUnits"] = "mm"
    smoothed = f"{before:g} mm by FSL SUSAN, in fMRIPrep's workflow of ICA-AROMA"
    return {**about, **recorded, "SmoothingBefore": smoothed if before else None}


def smoothed_before(job: Job, bold: Path) -> float:
    """Width by which an image was smoothed when it was made, mm; 0 when it wasn't."""
    kinds = {path: kind for kind, path in job.run.images}
    return SMOOTHED_BEFORE.get(kinds.get(bold, ""), 0.0)


def design_facts(job: Job, made: RunDesign) -> DesignSidecar:
    """Of regressors and censored volumes."""
    tables, columns = job.run.tables, made.design.columns
    own = [path for link, path in tables.own if any(x.startswith(f"{link}.") for x in columns)]
    return DesignSidecar(
        Sources=[input_of(job, path) for path in (*tables.paths, *own, job.outliers) if path],
        Strategy=made.strategy.name,
        Description=made.strategy.description,
        NuisanceParameters=list(made.design.columns),
        StrategyNotes=list(made.design.notes),
    )


def cleaning_facts(job: Job, made: RunDesign) -> dict[str, Any]:
    """What was done to the series, and what is left of them."""
    left, design, band = made.freedom, made.design, made.strategy.filter
    about = CleaningSidecar(
        **design_facts(job, made),
        SoftwareFilters="n/a" if band is None else {"Temporal": asdict(band)},
        NumberOfVolumes=left.volumes,
        NumberOfVolumesKept=left.kept,
        NumberOfVolumesCensored=left.volumes - left.kept,
        CensoredVolumes={name: int(flags.sum()) for name, flags in design.reasons.items()},
        CensoringThresholds=asdict(made.strategy.censor),
        **_motion_facts(made),
        RankRemoved=left.rank,
        DimensionsLostToFilter=left.filtered,
        DimensionsLostToCensoring=left.censored,
        DegreesOfFreedom=left.residual,
        MeanFramewiseDisplacement=design.mean_framewise_displacement,
        VolumesWithFramewiseDisplacement=design.n_framewise_displacement,
        Excluded=made.exclusion.reason if made.exclusion else None,
    )
    rules = job.work.processing
    return {**about, **sidecar_of(rules, "design"), **sidecar_of(rules, "series")}


def _motion_facts(made: RunDesign) -> MotionSidecar:
    """How head motion was measured where it is not fMRIPrep's measure."""
    rules, motion = made.strategy.head_motion, made.design.motion
    known = None if motion is None else motion.displacement[np.isfinite(motion.displacement)]
    return MotionSidecar(
        HeadMotion=asdict(rules) if rules else None,
        HeadRadius=motion.head_radius if motion else None,
        MotionStopBand=list(motion.stop_band) if motion and motion.stop_band else None,
        MeanFramewiseDisplacementRecomputed=(
            None if known is None or not known.size else float(known.mean())
        ),
    )


def matrix_facts(job: Job, seeds: SeedTable, chosen: Measure) -> MatrixSidecar:
    """Of a matrix over pairs of spheres."""
    return MatrixSidecar(
        RelationshipMeasure=chosen.title,
        Weighted=chosen.weighted,
        Directed=chosen.directed,
        ValidDiagonal=chosen.valid_diagonal,
        StorageFormat="Full",
        NodeFiles=[job.paths.uri(job.paths.spheres(seeds))],
    )


EFFECTIVE_DOF_MEASURE = (
    "Effective number of volumes of the correlation of two spheres, given the autocorrelation of "
    "both (Dutilleul 1993, doi:10.2307/2532625); the variance of Fisher's z is 1 / (this - 3)"
)


def effective_dof_facts(job: Job, seeds: SeedTable) -> MatrixSidecar:
    """Of the matrix of effective degrees of freedom."""
    about = matrix_facts(job, seeds, measure("pearson"))
    return {**about, "RelationshipMeasure": EFFECTIVE_DOF_MEASURE, "ValidDiagonal": False}


def input_of(job: Job, path: Path | None) -> str:
    """URI of an input file."""
    return input_uri(path, job.work.links) if path else "n/a"


def _one_or_list(values: NDArray[np.float64]) -> float | list[float]:
    return float(values[0]) if (values == values[0]).all() else values.tolist()
