"""Matrices that the participant level wrote, and names for what is made of them.

Only names are looked at. Runs that differ in session, run number or phase encoding direction alone
are repetitions of one measurement, and are averaged; every other entity tells groups apart.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError
from bids_spheres.files.atomic import remove
from bids_spheres.files.names import Name, natural
from bids_spheres.inputs.selection import MNI_PREFERENCE
from bids_spheres.outputs.find import group_files, grouped, matrix_files
from bids_spheres.outputs.paths import group_of_contrast, image_name, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.group.options import GroupOptions
    from bids_spheres.outputs.find import OutputFile

    Entities = tuple[tuple[str, str], ...]

logger = logging.getLogger(__name__)

REPEATED = frozenset({"ses", "run", "dir"})
"""Entities that tell runs of one participant apart that are averaged."""

POOLED = "MNI"
"""Label of the space of a group that pools images in several MNI spaces."""


def group_of(
    file: OutputFile, *, by_session: bool, pool_spaces: bool = False, within_task: bool = False
) -> Name:
    """Name of the group of a matrix: one task, space, seed set, strategy and measure.

    Where tasks are compared within participants, a group has all of them.
    """
    gone = {"sub"} | (REPEATED - {"ses"} if by_session else REPEATED)
    gone |= {"task"} if within_task else set()
    kept = tuple(entity for entity in file.name.entities if entity[0] not in gone)
    if pool_spaces and file.space.startswith("MNI"):
        kept = without_space(kept, POOLED)
    return Name(kept, "relmat", ".tsv")


def without_space(entities: Entities, space: str | None = None) -> Entities:
    """Entities without the space and resolution of images, or with another space."""
    named = ((key, space if key == "space" else label) for key, label in entities)
    return tuple((key, label) for key, label in named if label and key not in ("res", "den"))


def all_matrices(output_dir: Path) -> list[OutputFile]:
    """Matrices of the participant level, in the order of their names.

    One that lies in another place than its name says is a copy, and would count twice.
    MissingInputError without any.
    """
    kept = []
    for file in matrix_files(output_dir):
        if file.path.parent == output_dir / file.name.folder:
            kept.append(file)
        else:
            logger.warning("%s is not used: by its name it belongs elsewhere.", file.path)
    if not kept:
        raise MissingInputError(
            f"{output_dir} holds no matrix of the participant level (*_relmat.tsv).",
            hint="Run the participant level with this output folder first.",
        )
    return sorted(kept, key=lambda file: natural(file.path.name))


def make_groups(
    files: Iterable[OutputFile], options: GroupOptions
) -> Mapping[Name, Sequence[OutputFile]]:
    """Matrices by the groups that the user wants.

    Where spaces are pooled, a run with images in several of them counts once: in the space that
    comes first in `MNI_PREFERENCE`, or else by its name.
    """
    groups = grouped(files, lambda file: group_of(file, **options.grouping))
    if not options.pool_spaces:
        return groups
    order = {space: place for place, space in enumerate(MNI_PREFERENCE)}
    pooled = {}
    for name, own in groups.items():
        by_preference = sorted(own, key=lambda file: order.get(file.space, len(order)))
        # The last entry of a key stays.
        chosen = {file.name.source: file for file in reversed(by_preference)}
        pooled[name] = [file for file in own if chosen[file.name.source] is file]
    return pooled


def discard_earlier(output_dir: Path, group: Name, written: Iterable[Path] = ()) -> None:
    """Remove what an earlier call wrote of a group and this one did not.

    It would describe participants on whom it does not rest.
    """
    kept = set(written)
    for file in group_files(output_dir):
        own = group_of_contrast(file.name)
        if own.entities == group.entities and file.path not in kept:
            remove(file.path)


def earlier_results(output_dir: Path, names: Iterable[Name]) -> dict[str, list[Path]]:
    """Results of earlier calls, by titles, but for those of some groups and images."""
    own = {name.entities for name in names}
    earlier: dict[str, list[Path]] = defaultdict(list)
    for file in group_files(output_dir):
        group = group_of_contrast(file.name)
        if group.entities not in own:
            earlier[title(group)].append(file.path)
    return earlier


def possible_groups(files: Iterable[OutputFile]) -> set[str]:
    """Titles of all groups, and of their images, that matrices can form."""
    groups = {
        group_of(file, by_session=by_session, pool_spaces=pooled, within_task=within_task)
        for file in files
        for by_session, pooled, within_task in product((False, True), repeat=3)
    }
    return {title(name) for group in groups for name in (group, image_name(group))}
