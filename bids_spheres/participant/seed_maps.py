"""Seed-to-voxel maps of a job: one image per seed and strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from bids_spheres.engine.seedmaps import SpooledVolumes, mask_voxels, seed_maps, spooled
from bids_spheres.errors import UsageError, did_you_mean
from bids_spheres.files.atomic import write_image, write_json
from bids_spheres.files.names import plain_label
from bids_spheres.outputs.sidecars import CleaningSidecar, SeedMapSidecar, sidecar_path
from bids_spheres.participant.series import clean_arguments, rows_in_use
from bids_spheres.settings.table import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.engine.stream import Mask, Volumes
    from bids_spheres.outputs.paths import OutputPaths
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.sphere_sets import SphereSet
    from bids_spheres.settings import Processing


def recording_voxels(
    volumes: Volumes,
    mask: Mask | None,
    folder: Path,
    rules: Processing,
    shifted: Sequence[SphereWeights],
) -> AbstractContextManager[SpooledVolumes]:
    """The image, which keeps voxels in a temporary file while it is read, smoothed if so wanted.

    For maps those of the mask, all without one; else those of spheres that are `shifted` at
    random, which are among them.
    """
    if not rules.seed_maps:
        voxels = np.unique(np.concatenate([weights.voxels for weights in shifted]))
    elif mask is None:
        voxels = np.arange(int(np.prod(volumes.grid.shape)))
    else:
        voxels = mask_voxels(volumes.grid, mask.inside, mask.grid)
    return spooled(volumes, voxels, folder, rules.smoothing_fwhm)


def write_seed_maps(
    paths: OutputPaths,
    volumes: SpooledVolumes,
    extraction: Extraction,
    sphere_sets: Sequence[tuple[SphereSet, FloatArray]],
    *,
    run_design: RunDesign,
    sidecar: CleaningSidecar,
) -> None:
    """Write a map of every seed that has a series; none when the run is excluded.

    `volumes`, as `recording_voxels` gave them, were read to their end; each sphere set of the
    `extraction` has its cleaned series, (T', S).
    """
    if run_design.exclusion is not None:
        return
    names = run_design.processing.seed_maps
    seeds = [
        (spheres, number, label, series[:, number])
        for spheres, series in sphere_sets
        for number, label in chosen_seeds(spheres.seeds, names).items()
    ]
    if not seeds:
        return
    columns = [spheres.columns.start + number for spheres, number, *_ in seeds]
    timeseries, rows = extraction.timeseries[:, columns], rows_in_use(run_design)
    maps = seed_maps(
        *(volumes, timeseries, clean_arguments(run_design)),
        cleaned=np.column_stack([own for *_, own in seeds]) if extraction.voxels else None,
        rows=None if rows.all() else rows,
    )
    has_series = ~np.isnan(timeseries).any(axis=0)
    for (spheres, number, label, _), known, values in zip(seeds, has_series, maps, strict=True):
        if not known:
            continue
        path = paths.seed_map(spheres.seeds, label, run_design.strategy.name)
        img = nib.Nifti1Image(values, volumes.grid.affine)
        img.header.set_xyzt_units("mm", "sec")
        write_image(path, img)
        about = SeedMapSidecar(
            Sources=[*spheres.sidecar["Sources"], *sidecar["Sources"]],
            Seed=spheres.seeds.names[number],
            SeedCoordinates=spheres.seeds.coordinates[number].tolist(),
            RelationshipMeasure="Fisher z of the Pearson correlation of the seed's series with "
            "that of every voxel",
            Resolution="Grid of the BOLD image",
        )
        write_json(sidecar_path(path), {**spheres.sidecar, **sidecar, **about})


def chosen_seeds(seeds: SeedTable, names: Sequence[str]) -> dict[int, str]:
    """Labels of the seeds that are named, or of all, by their places in the table."""
    labels = enumerate(seed_labels(seeds))
    return {i: label for i, label in labels if ALL in names or seeds.names[i] in names}


def check_chosen(names: Sequence[str], sets: Sequence[SeedTable]) -> None:
    """Refuse (UsageError) names that no seed has."""
    known = [name for seeds in sets for name in seeds.names]
    for name in set(names) - {ALL, *known}:
        raise UsageError(
            f"--seed-maps: no seed is named {name}.",
            hint=f"{did_you_mean(name, known)}Names are in the tables of seeds or regions.",
        )


def seed_labels(seeds: SeedTable) -> tuple[str, ...]:
    """Names of seeds as labels of an entity: letters and digits alone, each once.

    Examples
    --------
    >>> from bids_spheres.engine.seeds import SeedTable
    >>> names = ("left M1", "left-M1", "PCC")
    >>> seed_labels(SeedTable("x", names, np.zeros((3, 3)), np.zeros(3)))
    ('leftM1x1', 'leftM1x2', 'PCC')
    """
    plain = [plain_label(name) for name in seeds.names]
    alone = [bool(label) and plain.count(label) == 1 for label in plain]
    return tuple(
        label if single else f"{label}x{number}"
        for number, (label, single) in enumerate(zip(plain, alone, strict=True), start=1)
    )
