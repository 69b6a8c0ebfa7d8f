"""What the sidecars of a run's outputs say."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np

from bids_spheres import __version__
from bids_spheres.confounds.strategy import SMOOTHED_BEFORE
from bids_spheres.engine.connectivity import Measure, measure
from bids_spheres.outputs.paths import EFFECTIVE_DOF, PLACEMENT_MEAN, PLACEMENT_SD
from bids_spheres.outputs.sidecars import (
    GENERATOR,
    CleaningSidecar,
    DesignSidecar,
    ImageSidecar,
    MatrixSidecar,
    bids_uri,
    generated_by,
)
from bids_spheres.settings.table import Processing, sidecar_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.inputs.runs import Run
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.plan import Work
    from bids_spheres.spaces.placement import SeedsInSpace


def image_sidecar(
    run: Run, bold: Path, mask: Path | None, placement: SeedsInSpace, work: Work
) -> ImageSidecar:
    """Which seeds on which image of a run."""
    seeds, before = placement.table, smoothed_before(run, bold)
    about = ImageSidecar(
        Sources=[bids_uri(path, work.links) for path in (bold, mask) if path],
        GeneratedBy=generated_by(),
        SpatialReference=run.space,
        Seeds=seeds.label,
    )
    if placement.note:
        about["SeedSpace"] = seeds.metadata.get("Space")
        about["SpaceNote"] = placement.note
        about["SeedTransforms"] = [bids_uri(path, work.links) for path in placement.transforms]
    if seeds.regions is None:
        same = (seeds.radii == seeds.radii[0]).all()
        about["Radius"] = float(seeds.radii[0]) if same else seeds.radii.tolist()
        about["RadiusUnits"] = "mm"
    recorded = sidecar_of(work.processing, "spheres")
    ours = work.processing.smoothing_fwhm or 0
    # Variances of Gaussians add up.
    recorded["SmoothingFWHM"] = float(np.hypot(ours, before)) if before else ours
    smoothed = f"{before:g} mm by FSL SUSAN, in fMRIPrep's workflow of ICA-AROMA"
    content = {**about, **recorded, "SmoothingBefore": smoothed if before else None}
    return cast("ImageSidecar", content)


def smoothed_before(run: Run, bold: Path) -> float:
    """Width by which an image was smoothed when it was made, mm; 0 when it wasn't."""
    kinds = {path: kind for kind, path in run.images}
    return SMOOTHED_BEFORE.get(kinds.get(bold, ""), 0.0)


def design_sidecar(run_design: RunDesign, sources: Sequence[str]) -> DesignSidecar:
    """Sidecar of regressors and censored volumes; `sources` are URIs of the tables."""
    return DesignSidecar(
        Sources=list(sources),
        Strategy=run_design.strategy.name,
        Description=run_design.strategy.description,
        NuisanceParameters=list(run_design.design.columns),
        StrategyNotes=list(run_design.design.notes),
    )


def cleaning_sidecar(run_design: RunDesign, sources: Sequence[str]) -> CleaningSidecar:
    """What was done to series, and what is left of them; `sources` are URIs of the tables."""
    left, design = run_design.degrees_of_freedom, run_design.design
    strategy, motion = run_design.strategy, design.motion
    known = np.empty(0) if motion is None else motion.displacement
    known = known[np.isfinite(known)]
    about = CleaningSidecar(
        **design_sidecar(run_design, sources),
        SoftwareFilters={"Temporal": asdict(strategy.filter)} if strategy.filter else "n/a",
        NumberOfVolumes=left.volumes,
        NumberOfVolumesKept=left.kept,
        NumberOfVolumesCensored=left.volumes - left.kept,
        NumberOfVolumesUsed=int(run_design.used.sum()),
        CensoredVolumes={name: int(flags.sum()) for name, flags in run_design.reasons.items()},
        CensoringThresholds=asdict(strategy.censor),
        HeadMotion=asdict(strategy.head_motion) if strategy.head_motion else None,
        HeadRadius=motion.head_radius if motion else None,
        MotionStopBand=list(motion.stop_band) if motion and motion.stop_band else None,
        MeanFramewiseDisplacementRecomputed=float(known.mean()) if known.size else None,
        RankRemoved=left.rank,
        DimensionsLostToFilter=left.filtered,
        DimensionsLostToCensoring=left.censored,
        DimensionsLostToDrawing=left.undrawn,
        DegreesOfFreedom=left.residual,
        MeanFramewiseDisplacement=design.mean_framewise_displacement,
        VolumesWithFramewiseDisplacement=design.n_framewise_displacement,
        Excluded=run_design.exclusion.reason if run_design.exclusion else None,
    )
    rules = run_design.processing
    content = {**about, **sidecar_of(rules, "design"), **sidecar_of(rules, "series")}
    return cast("CleaningSidecar", content)


def matrix_sidecar(chosen: Measure, nodes: Sequence[str]) -> MatrixSidecar:
    """Sidecar of a matrix over pairs of spheres, whose tables have the URIs `nodes`."""
    return MatrixSidecar(
        RelationshipMeasure=chosen.title,
        Weighted=True,
        Directed=False,
        ValidDiagonal=chosen.valid_diagonal,
        StorageFormat="Full",
        NodeFiles=list(nodes),
        Software=f"{GENERATOR} {__version__}",
    )


PLACEMENT_SEED = 0  # of random shifts of spheres, the same in all runs with as many seeds
_OVER_PLACEMENTS = "{} of Fisher's z of Pearson's r over random placements of the spheres"
_NO_MEASURE = {
    EFFECTIVE_DOF: "Effective number of volumes of the correlation of two spheres, given the "
    "autocorrelation of both (Dutilleul 1993, doi:10.2307/2532625); the variance of Fisher's z is "
    "1 / (this - 3)",
    PLACEMENT_MEAN: _OVER_PLACEMENTS.format("Mean"),
    PLACEMENT_SD: _OVER_PLACEMENTS.format("Standard deviation"),
}


def sidecar_beside(stat: str, nodes: Sequence[str], rules: Processing) -> MatrixSidecar:
    """Sidecar of a matrix that says how good correlations are."""
    about = matrix_sidecar(measure("pearson"), nodes)
    about["RelationshipMeasure"] = _NO_MEASURE[stat]
    if stat in (PLACEMENT_MEAN, PLACEMENT_SD) and rules.placements:
        about["PlacementJitter"], about["NumberOfPlacements"] = rules.placements
        about["PlacementSeed"] = PLACEMENT_SEED
    return about
