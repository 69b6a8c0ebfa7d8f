"""What a job computed, to files under their BIDS names, each with its sidecar."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_spheres.bids.files import write_image, write_json, write_table
from bids_spheres.bids.sidecars import (
    SPHERE_COLUMNS,
    column_descriptions,
    input_uri,
    own_uri,
)
from bids_spheres.confounds import degrees_of_freedom
from bids_spheres.engine.connectivity import pearson_correlation
from bids_spheres.engine.spheres import label_volume
from bids_spheres.plan import space_note

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.confounds import Design, Strategy
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.plan import Job

    FloatArray = NDArray[np.float64]

PEARSON = "pearsoncorrelation"
"""Label of the entity ``stat`` of correlation matrices."""


@dataclass(frozen=True, eq=False)
class PlacedSeeds:
    """One seed set on the grid of one image.

    Parameters
    ----------
    seeds : SeedTable
    weights : SphereWeights
    columns : slice
        Its part of the columns of an extraction of several sets.
    """

    seeds: SeedTable
    weights: SphereWeights
    columns: slice


@dataclass(frozen=True, eq=False)
class CleanedSeries:
    """Time series of one seed set after one strategy.

    Parameters
    ----------
    placed : PlacedSeeds
    strategy : Strategy
    design : Design
        What the strategy came to in this run.
    values : (T', S) array
        Kept volumes only; NaN for spheres without a voxel.
    t_r : float
        Repetition time, s.
    """

    placed: PlacedSeeds
    strategy: Strategy
    design: Design
    values: FloatArray
    t_r: float


def write_spheres(job: Job, placed: PlacedSeeds, tsnr: FloatArray) -> None:
    """Write the spheres as image and table.

    Parameters
    ----------
    job : Job
    placed : PlacedSeeds
    tsnr : (S,) array
        Temporal signal-to-noise ratio of each sphere.
    """
    seeds, grid = placed.seeds, placed.weights.grid
    img = nib.Nifti1Image(label_volume(placed.weights, seeds.coordinates), grid.affine)
    img.header.set_xyzt_units("mm", "sec")
    write_image(job.spheres(seeds, ".nii.gz"), img)
    write_table(job.spheres(seeds, ".tsv"), _spheres_table(placed, tsnr))
    write_json(job.spheres(seeds, ".json"), _spheres_sidecar(job, placed))


def write_design(job: Job, strategy: Strategy, design: Design) -> None:
    """Write the regressors and the censored volumes."""
    sources = {"Sources": [_input(job, job.run.confounds)]}
    regressors = pd.DataFrame(design.values, columns=list(design.columns))
    write_table(job.confounds(strategy, "design", ".tsv"), regressors)
    write_json(
        job.confounds(strategy, "design", ".json"),
        sources | {"Description": strategy.description, "NuisanceParameters": list(design.columns)},
    )
    why = {name: flags.astype(int) for name, flags in design.reasons.items() if flags.any()}
    censored = pd.DataFrame({"censored": (~design.kept).astype(int), **why})
    write_table(job.confounds(strategy, "outliers", ".tsv"), censored)
    levels = {"0": "kept", "1": "left out"}
    write_json(
        job.confounds(strategy, "outliers", ".json"),
        sources | {"censored": {"Description": "Censored volumes", "Levels": levels}},
    )


def write_series(job: Job, series: CleanedSeries) -> None:
    """Write time series and their correlation."""
    seeds = series.placed.seeds
    common = {**_image_facts(job, seeds), **_cleaning_facts(job, series)}
    path = job.timeseries(seeds, series.strategy, ".tsv")
    write_table(path, pd.DataFrame(series.values, columns=list(seeds.names)))
    sampling = {"SamplingFrequency": 1 / series.t_r, "RepetitionTime": series.t_r}
    columns = column_descriptions(seeds.names, seeds.networks)
    # A seed may have the name of a key; then what was done is told, not the seed's network.
    write_json(path.with_suffix(".json"), {**columns, **common, **sampling})
    matrix = job.relmat(seeds, series.strategy, PEARSON, ".tsv")
    write_table(matrix, _matrix_table(pearson_correlation(series.values), seeds))
    write_json(matrix.with_suffix(".json"), {**common, **_matrix_facts(job, seeds, path)})


def _spheres_table(placed: PlacedSeeds, tsnr: FloatArray) -> pd.DataFrame:
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
            "coverage": weights.coverage,
            "seed_in_mask": weights.seed_used.astype(int),
            "overlap": weights.overlaps,
            "tsnr": tsnr,
        }
    )


def _matrix_table(matrix: FloatArray, seeds: SeedTable) -> pd.DataFrame:
    table = pd.DataFrame(matrix, columns=list(seeds.names))
    # A seed may be called Node as well.
    table.insert(0, "Node", list(seeds.names), allow_duplicates=True)
    return table


def _spheres_sidecar(job: Job, placed: PlacedSeeds) -> dict[str, Any]:
    weights = placed.weights
    return {
        **_image_facts(job, placed.seeds),
        "Description": "Spheres around seeds; a voxel in several spheres has the index of the "
        "sphere whose seed is nearest",
        "Resolution": "Grid of the BOLD image",
        "SpheresWithoutVoxels": int(weights.empty.sum()),
        "SpheresPartlyOutsideMask": int(weights.partial.sum()),
        "SeedsOutsideMask": int((~weights.seed_used).sum()),
        **SPHERE_COLUMNS,
    }


def _image_facts(job: Job, seeds: SeedTable) -> dict[str, Any]:
    run, space = job.run, job.run.space
    facts: dict[str, Any] = {
        "Sources": [_input(job, path) for path in (run.bold, run.mask)],
        "SpatialReference": space,
        "Seeds": seeds.label,
        "Radius": _one_or_list(seeds.radii),
        "RadiusUnits": "mm",
    }
    note = space_note(seeds, space)
    return facts | ({"SeedSpace": seeds.space, "SpaceNote": note} if note else {})


def _cleaning_facts(job: Job, series: CleanedSeries) -> dict[str, Any]:
    design = series.design
    left = degrees_of_freedom(design, series.strategy, series.t_r, job.detrend)
    images = _image_facts(job, series.placed.seeds)["Sources"]
    return {
        "Sources": [*images, _input(job, job.run.confounds)],
        "Strategy": series.strategy.name,
        "Description": series.strategy.description,
        "NuisanceParameters": list(design.columns),
        "SoftwareFilters": _filter_facts(series.strategy),
        "Detrend": job.detrend,
        "Standardize": job.standardize,
        "NumberOfVolumes": left.volumes,
        "NumberOfVolumesKept": left.kept,
        "NumberOfVolumesCensored": left.volumes - left.kept,
        "RankRemoved": left.rank,
        "DimensionsLostToFilter": left.filtered,
        "DegreesOfFreedom": left.residual,
        "CensoringThresholds": asdict(series.strategy.censor),
        "MeanFramewiseDisplacement": design.mean_framewise_displacement,
    }


def _filter_facts(strategy: Strategy) -> dict[str, Any] | str:
    return "n/a" if strategy.filter is None else {"Temporal": asdict(strategy.filter)}


def _matrix_facts(job: Job, seeds: SeedTable, series: Path) -> dict[str, Any]:
    return {
        "Sources": [_output(job, series)],
        "RelationshipMeasure": "Pearson correlation",
        "Weighted": True,
        "Directed": False,
        "ValidDiagonal": False,
        "StorageFormat": "Full",
        "NodeFiles": [_output(job, job.spheres(seeds, ".tsv"))],
    }


def _one_or_list(values: FloatArray) -> float | list[float]:
    return float(values[0]) if (values == values[0]).all() else values.tolist()


def _input(job: Job, path: Path | None) -> str:
    return input_uri(path, job.dataset.root) if path else "n/a"


def _output(job: Job, path: Path) -> str:
    return own_uri(path.relative_to(job.output_dir).as_posix())
