"""Bring seeds into the space of an image.

There are up to four steps from the space of the seeds to that of the image: Talairach to
MNI152NLin6Asym, one template to another, template to anatomical image, anatomical image to the grid
of the run. A subject's own transforms are used where the image or the seeds are in the subject's
space, and only there: between templates all subjects go the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from bids_spheres.engine.spheres import as_points
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.spaces.fmriprep import NATIVE, find_transforms, is_native, other_session
from bids_spheres.spaces.itk import move_points
from bids_spheres.spaces.templates import template_transform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.seeds import SeedTable

TALAIRACH = "Talairach"
FSL_MNI = "MNI152NLin6Asym"  # template of FSL, to which the Talairach transform leads

LINKED_TEMPLATES = (FSL_MNI, "MNI152NLin2009cAsym")  # with TemplateFlow's transforms each way

MNI_TO_TALAIRACH = np.array(
    [
        (0.9464, 0.0034, -0.0026, -1.0680),
        (-0.0083, 0.9479, -0.0580, -1.0239),
        (0.0053, 0.0617, 0.9010, 3.1883),
        (0, 0, 0, 1),
    ]
)
"""The matrix that Lancaster et al. (2007), doi:10.1002/hbm.20345, name icbm2tal, for FSL."""


@dataclass(frozen=True)
class RunTransforms:
    """Where to look for a subject's own transforms; entities are those of the run's BOLD file."""

    files: tuple[Path, ...] = ()
    entities: Mapping[str, str] = field(default_factory=dict)

    def find(self, source: str, target: str) -> tuple[Path, ...]:
        """Files that take points from one space to another (`find_transforms`)."""
        return find_transforms(self.files, self.entities, source, target)


@dataclass(frozen=True)
class SeedsInSpace:
    """Seeds in the space of an image, and the transforms applied, in the order of points' way.

    `table` has the coordinates and the name of that space; `note` is a sentence for a log or a
    report; `moved` says by how many mm transforms between templates moved each seed, if they did.
    """

    table: SeedTable
    note: str = ""
    transforms: tuple[Path, ...] = ()
    moved: tuple[float, ...] = ()


def talairach_to_mni(points: ArrayLike) -> FloatArray:
    """Talairach coordinates as MNI152 coordinates, (S, 3), mm, by Lancaster et al. (2007).

    They fitted matrices, over one hundred brains, between landmarks in the frame of Talairach and
    Tournoux and the ICBM-152 template; 1 to 2 mm were left of 5 to 13 mm. This is the inverse of
    the one for brains that FSL registered, whose space has a name and a transform to
    MNI152NLin2009cAsym. Over the seeds of Raichle et al. (2011), that for SPM2 differs from it by
    less than 4 mm, and that for other software by less than 2 mm.

    >>> talairach_to_mni([(-44, 31, 27)]).round(1).tolist()
    [[-45.4, 34.9, 24.3]]
    """
    moved: FloatArray = apply_affine(np.linalg.inv(MNI_TO_TALAIRACH), as_points(points))
    return moved


def place_seeds(
    table: SeedTable, target_space: str, transforms: RunTransforms | None = None
) -> SeedsInSpace:
    """Bring seeds into the space of an image.

    A table that does not name its space is taken to be in that of the image: a template, ``T1w`` or
    ``T2w`` as in its name; ``func`` for an image without ``space``, on the grid of its run.
    `transforms` are needed where seeds or image are in the subject's own space. Radii stay as they
    are. MissingInputError when fMRIPrep wrote no transform that leads there, or TemplateFlow's
    can't be had; UsageError when the space is Talairach's: no image is in it.
    """
    if table.space is None or table.space == target_space:
        return SeedsInSpace(table)
    space, coordinates, ways = table.space, table.coordinates, []
    if space == TALAIRACH:
        space, coordinates = FSL_MNI, talairach_to_mni(coordinates)
        ways.append(f"the transform of Lancaster et al. (2007) to {FSL_MNI}")
    paths = route(space, target_space, transforms)
    entities = transforms.entities if transforms else {}
    for path in paths:
        session, own = other_session(path, entities) if transforms else None, entities.get("ses")
        of_session = f"of ses-{session}" + (f", as ses-{own} has none" if own else "")
        ways.append(f"{path.name} ({of_session})" if session else path.name)
    moved = move_points(coordinates, paths)
    note = (
        f"The coordinates of {table.label}, in {table.space}, were brought to {target_space} by "
        f"{' and then '.join(ways)}."
    )
    if outside := [table.names[s] for s in np.flatnonzero(moved.outside)]:
        names = ", ".join(outside)
        note += f" Outside the displacement field, and so not displaced by it: {names}."
    placed = replace(table, coordinates=moved.coordinates, space=target_space)
    return SeedsInSpace(placed, note, paths)


def route(source: str, target: str, transforms: RunTransforms | None = None) -> tuple[Path, ...]:
    """Transform files through which points pass from one space to another, not Talairach's.

    In the order in which they pass; empty within one space. Errors are those of `place_seeds`.
    """
    if TALAIRACH in {source, target}:
        raise UsageError(f"No transform file leads from {source} to {target}.")
    if source == target or {source, target} <= set(NATIVE):
        return ()
    if not (is_native(source) or is_native(target)):
        return (template_transform(source, target),)
    transforms = transforms or RunTransforms()
    if direct := transforms.find(source, target):
        return direct
    # By way of a template that fMRIPrep was asked for
    for middle in LINKED_TEMPLATES:
        if source in LINKED_TEMPLATES and (own := transforms.find(middle, target)):
            return (template_transform(source, middle), *own)
        if target in LINKED_TEMPLATES and (own := transforms.find(source, middle)):
            return (*own, template_transform(middle, target))
    raise MissingInputError(
        f"None of the {len(transforms.files)} transform files for the run leads from {source} to "
        f"{target}.",
        hint=f"Such a file has from-{target}_to-{source}_mode-image_xfm in its name, or two would "
        "lead by way of T1w. fMRIPrep writes one for each template in --output-spaces and, since "
        "20.2, one for each run. Or choose images in the space of a template.",
    )
