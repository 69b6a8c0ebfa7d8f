"""Files of one image and of one group, read and found to go together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.group.agreement import check_agreement, check_geometry, differences
from bids_spheres.group.edges import Edges
from bids_spheres.group.facts import GEOMETRY, as_json, of_several_runs, read_facts
from bids_spheres.group.files import POOLED
from bids_spheres.group.scale import Scale
from bids_spheres.group.spheres import SphereTables, spheres_of_run
from bids_spheres.group.stream import Group, GroupRun, by_participant
from bids_spheres.outputs.paths import label_of, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from bids_spheres.files.names import Name
    from bids_spheres.group.absent import Unusable
    from bids_spheres.group.facts import Settings
    from bids_spheres.group.head_motion import HeadMotion
    from bids_spheres.group.spheres import GroupSeeds, RunQuality
    from bids_spheres.outputs.find import OutputFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Image:
    """Runs of one task, space and seed set.

    Parameters
    ----------
    name : Name
    seeds : GroupSeeds
    coverage : DataFrame
        One row per seed.
    quality : mapping of Path to RunQuality
        Of the runs whose table of spheres could be read, by the path of that table.
    """

    name: Name
    seeds: GroupSeeds
    coverage: pd.DataFrame
    quality: Mapping[Path, RunQuality]


def gather_image(name: Name, files: Iterable[OutputFile], unusable: Unusable) -> Image:
    """Read the tables of spheres of all runs.

    Parameters
    ----------
    name : Name
    files : iterable of OutputFile
        Matrices of all strategies and measures.
    unusable : Unusable
        Takes the runs whose table can't be used.

    Raises
    ------
    DataError
        When runs have different spheres, or no table can be used.
    """
    tables, quality = SphereTables(), {}
    alike: dict[Settings, Settings] = {}
    for path, file in {file.spheres: file for file in files}.items():
        if not path.is_file() and of_several_runs(file.path):
            continue  # it has no spheres of its own, and its runs are averaged instead
        try:
            spheres = spheres_of_run(path, file.participant, file.space)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
            continue
        tables.add(spheres)
        seen = spheres.quality
        quality[path] = replace(seen, geometry=alike.setdefault(seen.geometry, seen.geometry))
    check_agreement(tables.makers())
    return Image(name, tables.seeds, tables.coverage(), quality)


def gather_group(
    name: Name,
    files: Sequence[OutputFile],
    image: Image,
    motion: HeadMotion,
    unusable: Unusable,
) -> Group:
    """Read the sidecars of all runs of a group.

    Parameters
    ----------
    name : Name
    files : sequence of OutputFile
    image : Image
        What they are about.
    motion : HeadMotion
    unusable : Unusable
        Takes the runs whose sidecar can't be used.

    Raises
    ------
    DataError
        When runs were made with different settings, or none can be used.
    """
    where = title(name)
    runs = _runs(name, [file for file in files if file.spheres in image.quality], unusable)
    # Whether a seed set had to be used, or mapped, in another space than its own differs by space.
    apart = ("SeedSpace",) if label_of(name, "space") == POOLED else ()
    check_agreement(
        (run.file.participant, tuple(pair for pair in run.facts.settings if pair[0] not in apart))
        for run in runs
    )
    check_geometry(_geometry(runs, image))
    for difference in differences((run.file.participant, run.facts.noted) for run in runs):
        logger.warning("%s: %s.", where, difference)
    diagonal = bool(as_json(runs[0].facts.settings)["ValidDiagonal"])
    edges = Edges(image.seeds.names, image.seeds.networks, diagonal)
    distances = edges.of(image.seeds.distances)
    scale = Scale(name.get("stat") or "")
    people = by_participant(runs, lambda label: motion.of(label, name))
    return Group(name, people, edges, scale, distances)


def _runs(name: Name, files: Iterable[OutputFile], unusable: Unusable) -> list[GroupRun]:
    """Runs whose sidecars can be used."""
    runs: list[GroupRun] = []
    # One copy for all runs: settings are by far the largest part of what is kept of a run.
    alike: dict[Settings, Settings] = {}
    for file in files:
        try:
            facts = read_facts(file.path)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
            continue
        if facts is None:
            continue
        settings, noted = (alike.setdefault(own, own) for own in (facts.settings, facts.noted))
        runs.append(GroupRun(file, replace(facts, settings=settings, noted=noted)))
    if not runs:
        raise DataError("no run can be used.")
    return runs


def _geometry(runs: Iterable[GroupRun], image: Image) -> Iterator[tuple[str, Settings, Settings]]:
    """Participant, and how the spheres of the matrix and those of the table were drawn."""
    for run in runs:
        of_matrix = tuple(pair for pair in run.facts.settings if pair[0] in GEOMETRY)
        yield run.file.participant, of_matrix, image.quality[run.file.spheres].geometry
