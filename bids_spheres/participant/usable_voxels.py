"""Voxels of a run that spheres and regions may use: its mask, its tissue, without lesions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.regions import image_on_grid, row_weights
from bids_spheres.engine.spheres import nearest_values
from bids_spheres.engine.stream import read_mask
from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.files.names import same_template
from bids_spheres.inputs.anatomy import lesion_masks, tissue_images
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.engine.stream import Mask
    from bids_spheres.inputs.runs import Run
    from bids_spheres.settings import Processing

COLUMNS = {"GM": "grey_matter", "WM": "white_matter", "CSF": "csf"}
"""Columns of tables of spheres with the shares of tissues."""


@dataclass(frozen=True, eq=False)
class UsableVoxels:
    """Voxels that may be used.

    Parameters
    ----------
    inside : (X, Y, Z) bool array or None
        None for all of the image.
    grid : Grid or None
        That of `inside`.
    tissue : (X, Y, Z) bool array or None
        Voxels of the tissue, on the image's grid, where it is a threshold.
    weight : (X, Y, Z) array or None
        Probability of the tissue on the image's grid, where voxels count by it.
    tissues : mapping of str to (X, Y, Z) array
        Probability of each tissue on the image's grid.
    notes : tuple of str
    """

    inside: BoolArray | None
    grid: Grid | None
    tissue: BoolArray | None = None
    weight: FloatArray | None = None
    tissues: Mapping[str, FloatArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of_tissue(self, weights: SphereWeights, seeds: SeedTable) -> SphereWeights:
        """Weights with the voxels of the tissue as those that count, or weighted by it."""
        if self.tissue is not None:
            # Coverage is of what the participant has of the tissue.
            every = row_weights(seeds, weights.grid, self.tissue, weights.grid)
            total = np.asarray(every.sums.sum(axis=1)).ravel()
            whole = None if weights.whole is None else np.where(total > 0, total, 1.0)
            return replace(weights, asked=np.maximum(every.used, 1), whole=whole)
        if self.weight is None:
            return weights
        if weights.joint:
            raise UsageError(
                "--tissue: voxels of maps can't be weighted twice.",
                hint="Use a threshold, as GM:0.5, or --parcellation-weights mean.",
            )
        at_voxels = self.weight.reshape(-1, order="F")[weights.voxels]
        values = weights.sums.data * at_voxels[weights.membership.indices]
        weighted = replace(weights, values=values, compact=False)
        before, after = (np.asarray(part.sums.sum(axis=1)).ravel() for part in (weights, weighted))
        # Coverage stays what it is: the tissue is no part of it.
        whole = after / np.where(weights.coverage > 0, weights.coverage, 1)
        return replace(weighted, whole=np.where((before > 0) & (after > 0), whole, 1.0))

    def shares(self, weights: SphereWeights) -> dict[str, FloatArray]:
        """Share of each tissue in the voxels used of each sphere, (S,), by column."""
        members = weights.core.astype(np.float64)
        used = np.where(weights.used > 0, weights.used, np.nan)
        return {
            COLUMNS[tissue]: members @ values.reshape(-1, order="F")[weights.voxels] / used
            for tissue, values in self.tissues.items()
        }


def usable_voxels(
    run: Run, bold: Path, grid: Grid, mask: Mask | None, rules: Processing
) -> UsableVoxels:
    """Voxels of a run that may be used.

    Raises
    ------
    MissingInputError
        When the tissue that is asked for has no image in the space of the run.
    DataError
        When no voxel is left.
    BidsSpheresError
        When an image can't be read.
    """
    images = tissue_images(bold, run.space)
    tissues = {name: image_on_grid(path, grid, label) for name, (path, label) in images.items()}
    usable = UsableVoxels(None, None, tissues=tissues)
    if mask is not None:
        usable = replace(usable, inside=mask.inside, grid=mask.grid)
    name, _, least = (rules.tissue or "").partition(":")
    if name and name not in tissues:
        raise MissingInputError(
            f"--tissue: no image of {name} in {run.space} belongs to {bold.name}.",
            hint=f"fMRIPrep writes anat/*_label-{name}_probseg.nii.gz for each of --output-spaces.",
        )
    lesions = _lesions(run, rules.exclude_mask)
    if least == "weight":
        usable = replace(usable, weight=tissues[name])
    if not lesions and (not name or least == "weight"):
        notes = ["No mask of --exclude-mask belongs to this run."] if rules.exclude_mask else []
        return replace(usable, notes=tuple(notes))
    voxels = np.indices(grid.shape).reshape(3, -1).T
    inside = np.ones(grid.shape, dtype=bool)
    if mask is not None:
        inside = nearest_values(voxels, grid, mask.inside, mask.grid).reshape(grid.shape)
    if name and least != "weight":
        tissue = tissues[name] >= float(least or 0.5)
        usable, inside = replace(usable, tissue=tissue), inside & tissue
    notes = []
    for path in lesions:
        lesion = read_mask(path)
        excluded = nearest_values(voxels, grid, lesion.inside, lesion.grid).reshape(grid.shape)
        notes.append(f"{count(int((inside & excluded).sum()), 'voxel')} of {path.name} excluded.")
        inside &= ~excluded
    if not inside.any():
        raise DataError(f"--tissue and --exclude-mask leave no voxel of {bold.name}.")
    return replace(usable, inside=inside, grid=grid, notes=tuple(notes))


def restricting_files(run: Run, bold: Path, rules: Processing) -> list[Path]:
    """Images of tissues and lesions on which the spheres of a run depend."""
    tissues = [path for path, _ in tissue_images(bold, run.space).values()]
    return [*tissues, *_lesions(run, rules.exclude_mask)]


def _lesions(run: Run, given: str | None) -> list[Path]:
    """Masks of lesions of a run: a file of all, or those of a folder that belong to it."""
    if given is None:
        return []
    path = Path(given)
    if not path.exists():
        raise MissingInputError(f"--exclude-mask: {path} is missing.")
    if path.is_dir():
        return lesion_masks(path, run.name, run.space)
    known = [part.removeprefix("space-") for part in path.name.split("_") if "space-" in part]
    if known and not same_template(known[0], run.space):
        raise UsageError(
            f"--exclude-mask: {path.name} is in {known[0]} space, and the images are in "
            f"{run.space}.",
            hint="Give masks in the space of the images.",
        )
    return [path]
