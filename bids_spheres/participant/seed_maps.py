"""Seed-to-voxel maps of a job: one image per seed and strategy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_spheres.engine.seedmaps import SpooledVolumes, mask_voxels, seed_maps, spooled
from bids_spheres.files.atomic import write_image, write_json
from bids_spheres.participant.cleaned import clean_arguments
from bids_spheres.participant.sidecars import cleaning_facts, image_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid
    from bids_spheres.engine.stream import Volumes
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.plan import Job
    from bids_spheres.participant.results import PlacedSeeds

    FloatArray = NDArray[np.float64]


def recording_voxels(
    volumes: Volumes,
    mask: tuple[NDArray[np.bool_] | None, Grid | None],
    folder: Path,
    smoothing_fwhm: float | None,
) -> AbstractContextManager[Volumes]:
    """The image, which keeps the voxels of the mask in a temporary file while it is read.

    Parameters
    ----------
    volumes : Volumes
    mask : (X, Y, Z) array and Grid, or None for both
        Without a mask all voxels are kept.
    folder : Path
        For the temporary file.
    smoothing_fwhm : float, optional
        mm; of the Gaussian that voxels are smoothed by.
    """
    region, grid = mask
    everything = np.arange(int(np.prod(volumes.grid.shape)))
    voxels = everything if region is None else mask_voxels(volumes.grid, region, grid)
    return spooled(volumes, voxels, folder, smoothing_fwhm)


def write_seed_maps(
    job: Job,
    volumes: Volumes,
    extraction: Extraction,
    placed: tuple[Sequence[PlacedSeeds], FloatArray],
    run_design: RunDesign,
) -> None:
    """Write a map of every seed that has a series; none when the run is excluded.

    Parameters
    ----------
    job : Job
    volumes : Volumes
        As `recording_voxels` gave it, read to its end.
    extraction : Extraction
        Of all seed sets.
    placed : sequence of PlacedSeeds and (T', S) array
        The seed sets, and the cleaned series of them all.
    run_design : RunDesign
    """
    parts, cleaned = placed
    if run_design.exclusion is not None or not isinstance(volumes, SpooledVolumes):
        return
    own = None if extraction.voxels is None else cleaned
    maps = seed_maps(volumes, extraction.timeseries, clean_arguments(run_design), cleaned=own)
    for (part, number, label), values in zip(_all_seeds(parts), maps, strict=True):
        if np.isnan(extraction.timeseries[:, part.columns.start + number]).any():
            continue  # no series, no map
        path = job.paths.seed_map(part.seeds, label, run_design.strategy.name)
        img = nib.Nifti1Image(values, volumes.grid.affine)
        img.header.set_xyzt_units("mm", "sec")
        write_image(path, img)
        write_json(
            job.paths.seed_map(part.seeds, label, run_design.strategy.name, ".json"),
            _facts(job, part, number, run_design),
        )


def _all_seeds(placed: Sequence[PlacedSeeds]) -> Iterator[tuple[PlacedSeeds, int, str]]:
    for part in placed:
        for number, label in enumerate(seed_labels(part.seeds)):
            yield part, number, label


def seed_labels(seeds: SeedTable) -> tuple[str, ...]:
    """Names of seeds as labels of an entity: letters and digits alone, each once.

    Examples
    --------
    >>> from bids_spheres.engine.seeds import SeedTable
    >>> names = ("left M1", "left-M1", "PCC")
    >>> seed_labels(SeedTable("x", names, np.zeros((3, 3)), np.zeros(3)))
    ('leftM1x1', 'leftM1x2', 'PCC')
    """
    plain = [re.sub(r"[^a-zA-Z0-9]", "", name) for name in seeds.names]
    alone = [bool(label) and plain.count(label) == 1 for label in plain]
    return tuple(
        label if single else f"{label}x{number}"
        for number, (label, single) in enumerate(zip(plain, alone, strict=True), start=1)
    )


def _facts(job: Job, part: PlacedSeeds, number: int, run_design: RunDesign) -> dict[str, Any]:
    image, cleaning = image_facts(job, part.bold, part.seeds), cleaning_facts(job, run_design)
    return {
        **image,
        **cleaning,
        "Sources": [*image["Sources"], *cleaning["Sources"]],
        "Seed": part.seeds.names[number],
        "SeedCoordinates": part.seeds.coordinates[number].tolist(),
        "RelationshipMeasure": "Fisher z of the Pearson correlation of the sphere's series with "
        "that of every voxel",
        "Resolution": "Grid of the BOLD image",
    }
