"""Spheres, designs, series and matrices to files, each with its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_spheres.engine.spheres import ball_volume, label_volume
from bids_spheres.files.atomic import (
    MISSING,
    write_compressed_numbers,
    write_image,
    write_json,
    write_numbers,
    write_table,
)
from bids_spheres.files.library_warnings import naming
from bids_spheres.outputs.sidecars import (
    CONTROL_COLUMNS,
    DISPLACEMENTS,
    EXTRA_COLUMNS,
    REGION_COLUMNS,
    SPHERE_COLUMNS,
    RegionsSidecar,
    SpheresSidecar,
    UncleanedSidecar,
    column_descriptions,
    sampling,
    sidecar_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.regions import RegionImage
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.outputs.paths import OutputPaths

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

_ORIENTATION = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
)
"""Fields of a NIfTI header that say where voxels are, beside ``pixdim``."""


def write_spheres(
    paths: OutputPaths,
    seeds: SeedTable,
    bold: Path,
    weights: SphereWeights,
    *,
    measured: Mapping[str, NDArray[Any] | None],
    sidecar: Mapping[str, object],
) -> None:
    """Write the spheres of S seeds as image and table.

    Parameters
    ----------
    paths : OutputPaths
    seeds : SeedTable
    bold : Path
        The image, whose orientation that of the spheres has.
    weights : SphereWeights
        Their voxels.
    measured : mapping of str to (S,) array
        Columns ``coverage``, ``used`` and ``tsnr``, and those of `EXTRA_COLUMNS` that are known.
    sidecar : mapping
        What is known of image and seeds.
    """
    write_image(paths.spheres(seeds, ".nii.gz"), _label_image(seeds, bold, weights))
    table = pd.DataFrame(
        {
            "index": np.arange(1, len(seeds) + 1),
            "name": seeds.names,
            **dict(zip("xyz", seeds.coordinates.T, strict=True)),
            **(
                {"radius": seeds.radii}
                if seeds.regions is None
                else {"volume": ball_volume(seeds.radii).round(1)}
            ),
            "network": seeds.networks or [MISSING] * len(seeds),
            "voxels_asked": weights.asked,
            "voxels_used": weights.used,
            "coverage": measured["coverage"],
            "used": np.asarray(measured["used"]).astype(int),
            **({"seed_in_mask": weights.seed_used.astype(int)} if seeds.regions is None else {}),
            "overlap": weights.overlaps,
            "tsnr": measured["tsnr"],
            **{name: measured[name] for name in EXTRA_COLUMNS if name in measured},
        }
    )
    write_table(paths.spheres(seeds), table)
    low = int((table["used"] == 0).sum())
    extra = {name: about for name, about in EXTRA_COLUMNS.items() if name in measured}
    if seeds.regions is not None:
        regions = RegionsSidecar(
            Description="Regions; a voxel in several has the index of that of the largest weight, "
            "or of the nearest centre",
            Resolution="Grid of the BOLD image",
            Parcellation=[path.name for path in seeds.regions.paths],
            RegionSignals=_signals_of(seeds.regions),
            RegionsWithoutVoxels=int(weights.empty.sum()),
            RegionsPartlyOutsideMask=int(weights.partial.sum()),
            RegionsOfTooLittleCoverage=low,
        )
        write_json(paths.spheres(seeds, ".json"), {**sidecar, **regions, **REGION_COLUMNS, **extra})
        return
    about = SpheresSidecar(
        Description="Spheres around seeds; a voxel in several spheres has the index of the "
        "sphere whose seed is nearest",
        Resolution="Grid of the BOLD image",
        SpheresWithoutVoxels=int(weights.empty.sum()),
        SpheresPartlyOutsideMask=int(weights.partial.sum()),
        SpheresOfTooLittleCoverage=low,
        SeedsOutsideMask=int((~weights.seed_used).sum()),
    )
    write_json(paths.spheres(seeds, ".json"), {**sidecar, **about, **SPHERE_COLUMNS, **extra})


def _signals_of(regions: RegionImage) -> str:
    if regions.kind != "maps":
        return "Mean of the voxels"
    joint = "Least squares: signals by which maps, times them, are nearest to the voxels"
    return joint if regions.weighting == "least-squares" else "Mean weighted by the map"


def _label_image(seeds: SeedTable, bold: Path, weights: SphereWeights) -> nib.Nifti1Image:
    """Labels of the spheres, oriented as the BOLD image is, also for programs that read qforms."""
    smallest = next(i for i in (np.uint8, np.int16, np.int32) if len(seeds) <= np.iinfo(i).max)
    labels = label_volume(weights, seeds.coordinates).astype(smallest)
    img = nib.Nifti1Image(labels, weights.grid.affine)
    with naming(bold):
        header: Any = nib.load(bold).header
    for field in _ORIENTATION:
        img.header[field] = header[field]
    img.header["pixdim"][:4] = header["pixdim"][:4]
    img.header.set_xyzt_units("mm", "sec")
    img.header.set_intent("label", name=seeds.label[:15])
    what = "Spheres around seeds" if seeds.regions is None else "Regions"
    img.header["descrip"] = f"{what}, by bids_spheres"
    return img


def write_uncleaned(
    paths: OutputPaths,
    seeds: SeedTable,
    values: FloatArray,
    t_r: float,
    sidecar: Mapping[str, object],
) -> None:
    """Write series before cleaning, (T, S); `sidecar` says what is known of image and seeds."""
    write_compressed_numbers(paths.uncleaned(seeds), values)
    about = UncleanedSidecar(
        Description="Signals of the spheres before cleaning, in the units of the image",
        Columns=list(seeds.names),
        SoftwareFilters=MISSING,
        NuisanceParameters=[],
        Detrend=False,
        Standardize=False,
        NumberOfVolumes=len(values),
        DegreesOfFreedom=len(values),
    )
    columns = column_descriptions(seeds.names, seeds.networks)
    content = {**columns, **sidecar, **about, **sampling(t_r)}
    write_json(paths.uncleaned(seeds, ".json"), content)


def write_design(
    paths: OutputPaths,
    strategy: str,
    columns: Mapping[str, FloatArray],
    *,
    kept: BoolArray,
    reasons: Mapping[str, BoolArray],
    displacements: Mapping[str, FloatArray],
    sidecar: Mapping[str, object],
) -> None:
    """Write regressors and censored volumes.

    Parameters
    ----------
    paths : OutputPaths
    strategy : str
    columns : mapping of str to (T,) array
        Regressors; without any, the mean stands for itself, as a table needs a column.
    kept : (T,) bool array
        Volumes that are not censored.
    reasons : mapping of str to (T,) bool array
        Volumes that each criterion censors.
    displacements : mapping of str to (T,) array, mm
        Columns of `DISPLACEMENTS` for the table of censored volumes.
    sidecar : mapping
    """
    columns = columns or {"intercept": np.ones(len(kept))}
    write_numbers(paths.design(strategy), tuple(columns), np.stack([*columns.values()], axis=1))
    write_json(paths.design(strategy, ".json"), sidecar)
    why = {name: flags.astype(int) for name, flags in reasons.items() if flags.any()}
    columns = {"censored": (~kept).astype(int), **why, **displacements}
    write_table(paths.outliers(strategy), pd.DataFrame(columns))
    levels = {"0": "kept", "1": "left out"}
    about = {"censored": {"Description": "Censored volumes", "Levels": levels}}
    about |= {name: DISPLACEMENTS[name] for name in displacements}
    write_json(paths.outliers(strategy, ".json"), {**sidecar, **about})


def write_series(
    paths: OutputPaths,
    seeds: SeedTable,
    strategy: str,
    values: FloatArray,
    sidecar: Mapping[str, object],
) -> None:
    """Write cleaned series, a row for every volume or for every kept one and S columns."""
    path = paths.series(seeds, strategy)
    write_numbers(path, seeds.names, values)
    # A seed may have the name of a key; then the key counts, not the network of the seed.
    columns = column_descriptions(seeds.names, seeds.networks)
    write_json(sidecar_path(path), {**columns, **sidecar})


def write_matrix(
    path: Path, names: tuple[str, ...], values: FloatArray, sidecar: Mapping[str, object]
) -> None:
    """Write a matrix over pairs of S spheres, (S, S)."""
    write_numbers(path, names, values, ("Node", names))
    write_json(sidecar_path(path), sidecar)


def write_controls(path: Path, table: pd.DataFrame, sidecar: Mapping[str, object]) -> None:
    """Write relations of negative controls; see `CONTROL_COLUMNS`."""
    write_table(path, table)
    write_json(sidecar_path(path), {**sidecar, **CONTROL_COLUMNS})
