"""Seed sets into the space of a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import UsageError
from bids_spheres.files.names import is_mni, same_template
from bids_spheres.spaces.fmriprep import NATIVE, is_native, transform_files
from bids_spheres.spaces.placement import (
    FSL_MNI,
    LINKED_TEMPLATES,
    TALAIRACH,
    RunTransforms,
    SeedsInSpace,
    place_seeds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.inputs.runs import Run

logger = logging.getLogger(__name__)

_ADULTS = "MNI152"  # beginning of the names of templates made of the same 152 adults

# What notes say of two templates.
_SAME_HEADS = "the two templates differ by a few millimetres in places"
OTHER_HEADS = (
    "one of the two templates is of other heads than the 152 adults of the MNI152 templates, and "
    "places may differ by a centimetre and more"
)


def place_in_template(
    seed_sets: Sequence[SeedTable], space: str, *, warp: bool
) -> tuple[SeedsInSpace, ...]:
    """Seed sets in the space of a template; empty for a native space, which every run has its own.

    With `warp` coordinates are mapped between templates, and not used as they are. A `UsageError`
    when there is no way from seeds to image.
    """
    for seeds in seed_sets:
        _check(seeds, space, warp=warp)
    if is_native(space):
        return ()
    placements = []
    for seeds in seed_sets:
        placed = _place(seeds, space, RunTransforms(), warp=warp)
        moved = np.linalg.norm(placed.table.coordinates - seeds.coordinates, axis=1)
        placements.append(replace(placed, moved=tuple(moved.tolist()) if moved.any() else ()))
    # Sets that differ by their radius only say the same.
    for note in dict.fromkeys(placement.note for placement in placements if placement.note):
        logger.log(logging.WARNING if OTHER_HEADS in note else logging.INFO, "%s", note)
    return tuple(placements)


def can_use(seed_sets: Sequence[SeedTable], space: str, *, warp: bool) -> bool:
    """Whether all seed sets can be used in a space."""
    try:
        for seeds in seed_sets:
            _check(seeds, space, warp=warp)
    except UsageError:
        return False
    return True


def place_in_run(
    seed_sets: Sequence[SeedTable], run: Run, roots: Sequence[Path], *, warp: bool
) -> tuple[SeedsInSpace, ...]:
    """Seed sets in the participant's own space of a run, by transforms in datasets."""
    files = [path for root in roots for path in transform_files(root, run.participant)]
    transforms = RunTransforms(tuple(files), run.name.values)
    return tuple(_place(seeds, run.space, transforms, warp=warp) for seeds in seed_sets)


def transformed_labels(
    seed_sets: Sequence[SeedTable], spaces: Sequence[str], *, warp: bool
) -> tuple[str, ...]:
    """Labels of the seed sets whose coordinates are transformed for one of the images' spaces."""
    moved = (
        seeds.label
        for seeds in seed_sets
        for space in spaces
        if seeds.regions is None
        and not _stay(seeds, space)
        and (warp or seeds.space == TALAIRACH or is_native(space))
    )
    return tuple(dict.fromkeys(moved))


def _stay(seeds: SeedTable, space: str) -> bool:
    """Whether the seeds are in a space already, as far as known."""
    if seeds.space is None or {seeds.space, space} <= set(NATIVE):
        return True
    return same_template(seeds.space, space)


def _place(seeds: SeedTable, space: str, transforms: RunTransforms, *, warp: bool) -> SeedsInSpace:
    if _stay(seeds, space):
        return SeedsInSpace(seeds)
    if seeds.space == TALAIRACH:
        converted = place_seeds(seeds, FSL_MNI)
        return _after(converted, _place(converted.table, space, transforms, warp=warp))
    if not is_native(space):
        warp = warp and seeds.regions is None
        return place_seeds(seeds, space) if warp else _as_they_are(seeds, space)
    direct = warp or not is_mni(str(seeds.space)) or transforms.find(str(seeds.space), space)
    ways = [] if direct else [each for each in LINKED_TEMPLATES if transforms.find(each, space)]
    if ways:
        # By way of the template that fMRIPrep was asked for, as it was not that of the seeds.
        near = _as_they_are(seeds, ways[0])
        return _after(near, place_seeds(near.table, space, transforms))
    return place_seeds(seeds, space, transforms)


def _as_they_are(seeds: SeedTable, space: str) -> SeedsInSpace:
    adults = str(seeds.space).startswith(_ADULTS) and space.startswith(_ADULTS)
    difference = _SAME_HEADS if adults else OTHER_HEADS
    is_spheres = seeds.regions is None
    difference += " (--warp-seeds maps them)" if is_spheres and _linked(seeds, space) else ""
    note = (
        f"The {'coordinates' if is_spheres else 'regions'} of {seeds.label} are in {seeds.space} "
        f"and are used in {space} as they are; {difference}."
    )
    return SeedsInSpace(replace(seeds, space=space), note)


def _after(first: SeedsInSpace, second: SeedsInSpace) -> SeedsInSpace:
    """Two steps as one; the first takes no transform file."""
    notes = " ".join(note for note in (first.note, second.note) if note)
    return SeedsInSpace(second.table, notes, second.transforms)


def _linked(seeds: SeedTable, space: str) -> bool:
    """Whether TemplateFlow has a transform for the seeds, after Talairach's to FSL's template."""
    return seeds.space in (TALAIRACH, *LINKED_TEMPLATES) and space in LINKED_TEMPLATES


def _check(seeds: SeedTable, space: str, *, warp: bool) -> None:
    """Refuse spaces between which nothing leads."""
    if seeds.space is None and is_native(space):
        raise UsageError(
            f"The seeds of {seeds.label} don't say in which space they are, but the images are in "
            f"{space}, the participant's own.",
            hint='Write "Space" into the JSON file beside the table: a template, or '
            f'"{space}" for coordinates of this very participant.',
        )
    if seeds.regions is not None and not _stay(seeds, space):
        if is_mni(space) and is_mni(str(seeds.space)):
            return
        raise UsageError(
            f"The regions of {seeds.label} are in {seeds.space} space, but the images in {space}.",
            hint="Regions are used in the space of their image, or in another MNI template: choose "
            "images with --space, or resample the parcellation.",
        )
    # fMRIPrep may have written a transform for any template.
    if _stay(seeds, space) or _linked(seeds, space) or is_native(space):
        return
    both_mni = is_mni(space) and (seeds.space == TALAIRACH or is_mni(str(seeds.space)))
    if both_mni and not warp:
        return
    unmapped = ", and TemplateFlow has no transform for --warp-seeds" if both_mni else ""
    raise UsageError(
        f"The seeds of {seeds.label} are in {seeds.space} space, but the images in {space}"
        f"{unmapped}.",
        hint=f"Choose images in {', '.join(LINKED_TEMPLATES)} or the participant's own space with "
        '--space, or give seeds in the space of the images with --seeds and "Space" in the JSON '
        "file beside the table.",
    )
