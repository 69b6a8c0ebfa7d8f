"""Write spheres, designs, series and matrices, each with its sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_spheres.engine.spheres import ball_volume, label_volume
from bids_spheres.files import atomic
from bids_spheres.files.library_warnings import naming
from bids_spheres.outputs import sidecars

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.outputs.paths import OutputPaths

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

_ORIENTATION = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z"),
)
"""Fields of a NIfTI header that place voxels, beside ``pixdim``."""

_LABELS = {
    "Spheres": "Spheres around seeds; a voxel in several spheres has the index of the sphere whose "
    "seed is nearest",
    "Regions": "Regions; a voxel in several has the index of that of the largest weight, or of the "
    "nearest centre",
}
"""What the numbers of voxels in an image stand for."""

_SIGNALS = {
    "labels": "Mean of the voxels",
    "mean": "Mean weighted by the map",
    "least-squares": "Least squares: signals by which maps, times them, are nearest to the voxels",
}
"""How the voxels of a region give its signal."""


def write_spheres(
    paths: OutputPaths,
    seeds: SeedTable,
    bold: Path,
    weights: SphereWeights,
    *,
    measured: Mapping[str, NDArray[Any] | None],
    sidecar: Mapping[str, object],
) -> None:
    """Write the spheres, or regions, of S seeds as image and table.

    The image is oriented as `bold` is. `measured` are columns (S,): ``coverage``, ``used``,
    ``tsnr`` and those of `EXTRA_COLUMNS` that are known; `sidecar` describes image and seeds.
    """
    atomic.write_image(paths.spheres(seeds, ".nii.gz"), _label_image(seeds, bold, weights))
    size: dict[str, NDArray[Any]] = {"radius": seeds.radii}
    in_mask: dict[str, NDArray[Any]] = {"seed_in_mask": weights.seed_used.astype(int)}
    own: dict[str, object] = {"SeedsOutsideMask": int((~weights.seed_used).sum())}
    noun, columns = "Spheres", sidecars.SPHERE_COLUMNS
    if regions := seeds.regions:
        size, in_mask = {"volume": ball_volume(seeds.radii).round(1)}, {}
        kind = regions.weighting if regions.kind == "maps" else "labels"
        files = [path.name for path in regions.paths]
        own = {"Parcellation": files, "RegionSignals": _SIGNALS[kind]}
        noun, columns = "Regions", sidecars.REGION_COLUMNS
    extra = {name: text for name, text in sidecars.EXTRA_COLUMNS.items() if name in measured}
    used = np.asarray(measured["used"]).astype(int)
    table = {
        "index": np.arange(1, len(seeds) + 1),
        "name": seeds.names,
        **dict(zip("xyz", seeds.coordinates.T, strict=True)),
        **size,
        "network": seeds.networks or [atomic.MISSING] * len(seeds),
        "voxels_asked": weights.asked,
        "voxels_used": weights.used,
        "coverage": measured["coverage"],
        "used": used,
        **in_mask,
        "overlap": weights.overlaps,
        "tsnr": measured["tsnr"],
        **{name: measured[name] for name in extra},
    }
    atomic.write_table(paths.spheres(seeds), pd.DataFrame(table))
    about = {
        "Description": _LABELS[noun],
        "Resolution": "Grid of the BOLD image",
        f"{noun}WithoutVoxels": int(weights.empty.sum()),
        f"{noun}PartlyOutsideMask": int(weights.partial.sum()),
        f"{noun}OfTooLittleCoverage": int((used == 0).sum()),
    }
    content = {**sidecar, **about, **own, **columns, **extra}
    atomic.write_json(paths.spheres(seeds, ".json"), content)


def _label_image(seeds: SeedTable, bold: Path, weights: SphereWeights) -> nib.Nifti1Image:
    """Labels of the spheres, oriented as the BOLD image, also for programs that read qforms."""
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
    """Write series before cleaning, (T, S); `sidecar` describes image and seeds."""
    atomic.write_compressed_numbers(paths.uncleaned(seeds), values)
    about = {
        "Description": "Signals of the spheres before cleaning, in the units of the image",
        "Columns": list(seeds.names),
        "SoftwareFilters": atomic.MISSING,
        "NuisanceParameters": [],
        "Detrend": False,
        "Standardize": False,
        "NumberOfVolumes": len(values),
        "DegreesOfFreedom": len(values),
    }
    columns = sidecars.column_descriptions(seeds.names, seeds.networks)
    content = {**columns, **sidecar, **about, **sidecars.sampling(t_r)}
    atomic.write_json(paths.uncleaned(seeds, ".json"), content)


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
    """Write the regressors of T volumes and the censored volumes.

    `reasons` has the volumes that each criterion censors, and `displacements`, in mm, columns of
    `DISPLACEMENTS` for the table of censored volumes.
    """
    # A table needs a column: without regressors, the mean that is removed anyway.
    columns = columns or {"intercept": np.ones(len(kept))}
    atomic.write_numbers(
        paths.design(strategy), tuple(columns), np.stack([*columns.values()], axis=1)
    )
    atomic.write_json(paths.design(strategy, ".json"), sidecar)
    why = {name: flags.astype(int) for name, flags in reasons.items() if flags.any()}
    columns = {"censored": (~kept).astype(int), **why, **displacements}
    atomic.write_table(paths.outliers(strategy), pd.DataFrame(columns))
    levels = {"0": "kept", "1": "left out"}
    about = {"censored": {"Description": "Censored volumes", "Levels": levels}}
    about |= {name: sidecars.DISPLACEMENTS[name] for name in displacements}
    atomic.write_json(paths.outliers(strategy, ".json"), {**sidecar, **about})


def write_series(
    paths: OutputPaths,
    seeds: SeedTable,
    strategy: str,
    values: FloatArray,
    sidecar: Mapping[str, object],
) -> None:
    """Write cleaned series of S spheres, a row for every volume or for every kept one."""
    path = paths.series(seeds, strategy)
    atomic.write_numbers(path, seeds.names, values)
    # A seed may have the name of a key, which then counts instead of the seed's network.
    columns = sidecars.column_descriptions(seeds.names, seeds.networks)
    atomic.write_json(sidecars.sidecar_path(path), {**columns, **sidecar})


def write_matrix(
    path: Path, names: tuple[str, ...], values: FloatArray, sidecar: Mapping[str, object]
) -> None:
    """Write a matrix over pairs of S spheres, (S, S)."""
    atomic.write_numbers(path, names, values, ("Node", names))
    atomic.write_json(sidecars.sidecar_path(path), sidecar)


def write_controls(path: Path, table: pd.DataFrame, sidecar: Mapping[str, object]) -> None:
    """Write relations of negative controls; see `CONTROL_COLUMNS`."""
    atomic.write_table(path, table)
    atomic.write_json(sidecars.sidecar_path(path), {**sidecar, **sidecars.CONTROL_COLUMNS})
