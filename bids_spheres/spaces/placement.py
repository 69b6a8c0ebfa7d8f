"""Seeds brought into the space of an image.

On the way from the space of the seeds to that of the image there are up to four steps: Talairach to
MNI152NLin6Asym, one template to another, template to anatomical image, anatomical image to the
grid of the run. A subject's own transforms are used where the image or the seeds are in the
subject's space, and only there: between templates all subjects go the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.spaces.fmriprep import NATIVE, find_transforms, is_native, other_session
from bids_spheres.spaces.itk import move_points
from bids_spheres.spaces.talairach import talairach_to_mni
from bids_spheres.spaces.templates import template_transform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bids_spheres.engine.seeds import SeedTable

TALAIRACH = "Talairach"
FSL_MNI = "MNI152NLin6Asym"
"""Template of FSL, to which the Talairach transform leads."""

LINKED_TEMPLATES = (FSL_MNI, "MNI152NLin2009cAsym")
"""Templates with a transform of TemplateFlow each way."""


@dataclass(frozen=True)
class RunTransforms:
    """Where to look for a subject's own transforms.

    Parameters
    ----------
    files : tuple of paths
        E.g. what `transform_files` found.
    entities : mapping
        Entities of the BOLD file of the run, ``{"sub": "01", "ses": "1", "task": "rest"}``.
    """

    files: tuple[Path, ...] = ()
    entities: Mapping[str, str] = field(default_factory=dict)

    def find(self, source: str, target: str) -> tuple[Path, ...]:
        """Files that take points from one space to another (`find_transforms`)."""
        return find_transforms(self.files, self.entities, source, target)


@dataclass(frozen=True)
class SeedsInSpace:
    """Seeds in the space of an image, and how they came there.

    Parameters
    ----------
    table : SeedTable
        With the coordinates and the name of that space; all else as before, radii included.
    note : str
        What was done, a sentence for a log or a report; empty when nothing had to be.
    transforms : tuple of paths
        Files used, in the order in which points passed.
    """

    table: SeedTable
    note: str = ""
    transforms: tuple[Path, ...] = ()


def place_seeds(
    table: SeedTable, target_space: str, transforms: RunTransforms | None = None
) -> SeedsInSpace:
    """Seeds in the space of an image.

    Parameters
    ----------
    table : SeedTable
        A table that does not name its space is taken to be in that of the image.
    target_space : str
        As in the image's name: a template, ``T1w`` or ``T2w``; ``func`` for an image without
        ``space``, on the grid of its run.
    transforms : RunTransforms, optional
        Needed where seeds or image are in the subject's own space.

    Returns
    -------
    SeedsInSpace
        Radii stay as they are: millimetres of the image.

    Raises
    ------
    MissingInputError
        When no transform leads there: fMRIPrep did not write one, or TemplateFlow's is not in the
        template home and can't be had.
    InvalidDatasetError
        When several transforms do the same for the run.
    DataError
        When a transform can't be read.
    UsageError
        When the space is Talairach's: no image is in it.
    """
    if table.space is None or table.space == target_space:
        return SeedsInSpace(table)
    space, coordinates, ways = table.space, table.coordinates, []
    if space == TALAIRACH:
        space, coordinates = FSL_MNI, talairach_to_mni(coordinates)
        ways.append(f"the transform of Lancaster et al. (2007) to {FSL_MNI}")
    paths = route(space, target_space, transforms)
    ways += [_described(path, transforms) for path in paths]
    moved = move_points(coordinates, paths)
    note = (
        f"The coordinates of {table.label}, in {table.space}, were brought to {target_space} by "
        f"{' and then '.join(ways)}.{_outside_note(table, moved.outside)}"
    )
    placed = replace(table, coordinates=moved.coordinates, space=target_space)
    return SeedsInSpace(placed, note, paths)


def _outside_note(table: SeedTable, outside: NDArray[np.bool_]) -> str:
    names = [name for name, is_outside in zip(table.names, outside, strict=True) if is_outside]
    if not names:
        return ""
    return f" Outside the displacement field, and so not displaced by it: {', '.join(names)}."


def _described(path: Path, transforms: RunTransforms | None) -> str:
    """Name of a transform, and that it is of another session than the run."""
    if transforms is None or (session := other_session(path, transforms.entities)) is None:
        return path.name
    own = transforms.entities.get("ses")
    return f"{path.name} (of ses-{session}{f', as ses-{own} has none' if own else ''})"


def route(source: str, target: str, transforms: RunTransforms | None = None) -> tuple[Path, ...]:
    """Transform files through which points pass from one space to another.

    Parameters
    ----------
    source, target : str
        As for `place_seeds`, but not Talairach's.
    transforms : RunTransforms, optional
        Needed where one of the spaces is the subject's own.

    Returns
    -------
    tuple of paths
        In the order in which points pass; empty within one space.

    Raises
    ------
    MissingInputError, InvalidDatasetError, UsageError
        As for `place_seeds`.
    """
    if TALAIRACH in {source, target}:
        raise UsageError(f"No transform file leads from {source} to {target}.")
    if source == target or {source, target} <= set(NATIVE):
        return ()
    if not (is_native(source) or is_native(target)):
        return (template_transform(source, target),)
    transforms = transforms or RunTransforms()
    return transforms.find(source, target) or _by_another_template(source, target, transforms)


def _by_another_template(source: str, target: str, transforms: RunTransforms) -> tuple[Path, ...]:
    """Files between a template that fMRIPrep was not asked for and a subject's space."""
    for middle in LINKED_TEMPLATES:
        if source in LINKED_TEMPLATES and (own := transforms.find(middle, target)):
            return (template_transform(source, middle), *own)
        if target in LINKED_TEMPLATES and (own := transforms.find(source, middle)):
            return (*own, template_transform(middle, target))
    raise MissingInputError(
        f"Among the {len(transforms.files)} transform files for the run there is none by which "
        f"points go from {source} to {target}.",
        hint=f"It would have from-{target}_to-{source}_mode-image_xfm in its name, or two would "
        "lead by way of T1w. fMRIPrep writes one for each template in --output-spaces and, since "
        "20.2, one for each run. Or choose images in the space of a template.",
    )
