"""Files of one image and of one group, read and checked to go together."""

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
from bids_spheres.group.spheres import SphereTables
from bids_spheres.group.stream import Group, GroupRun, by_participant
from bids_spheres.outputs.paths import label_of, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.files.names import Name
    from bids_spheres.group.absent import Unusable
    from bids_spheres.group.facts import Settings
    from bids_spheres.group.head_motion import HeadMotion
    from bids_spheres.group.spheres import RunQuality
    from bids_spheres.outputs.find import OutputFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Image:
    """Runs of one task, space and seed set.

    Parameters
    ----------
    name : Name
    seeds, networks : tuple of str
        Names of the S seeds, and their networks.
    distances : (S, S) array
        Between seeds, mm.
    coverage : DataFrame
        One row per seed.
    quality : mapping of Path to RunQuality
        Of the runs whose table of spheres could be read, by the path of that table.
    """

    name: Name
    seeds: tuple[str, ...]
    networks: tuple[str, ...]
    distances: NDArray[np.float64]
    coverage: pd.DataFrame
    quality: Mapping[Path, RunQuality]


def gather_image(name: Name, files: Iterable[OutputFile], unusable: Unusable) -> Image:
    """Read the tables of spheres of the matrices of all strategies and measures.

    Those that can't be used are added to `unusable`. DataError when runs have different spheres,
    or no table can be used.
    """
    tables = SphereTables()
    for path, file in {file.spheres: file for file in files}.items():
        if not path.is_file() and of_several_runs(file.path):
            continue  # it has no spheres of its own, and its runs are averaged instead
        try:
            tables.add(path, file.participant, file.space)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
    check_agreement(tables.identities())
    first, coverage = tables.first, tables.coverage()
    return Image(name, first.names, first.networks, tables.distances, coverage, tables.quality)


def gather_group(
    name: Name,
    files: Sequence[OutputFile],
    image: Image,
    motion: HeadMotion,
    unusable: Unusable,
) -> Group:
    """Read the sidecars of all runs of a group.

    Those that can't be used are added to `unusable`. DataError when runs were made with different
    settings, or none can be used.
    """
    runs: list[GroupRun] = []
    # Settings are by far the largest part of what is kept of a run: one copy for all.
    alike: dict[Settings, Settings] = {}
    for file in (file for file in files if file.spheres in image.quality):
        try:
            facts = read_facts(file.path)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
            continue
        if facts is not None:
            settings, noted = (alike.setdefault(own, own) for own in (facts.settings, facts.noted))
            runs.append(GroupRun(file, replace(facts, settings=settings, noted=noted)))
    if not runs:
        raise DataError("no run can be used.")
    # Whether a seed set had to be used, or mapped, in another space than its own differs by space.
    apart = ("SeedSpace",) if label_of(name, "space") == POOLED else ()
    compared, drawn = [], []
    for run in runs:
        settings, spheres = run.facts.settings, image.quality[run.file.spheres].geometry
        compared.append((run.file.participant, tuple(s for s in settings if s[0] not in apart)))
        of_matrix = tuple(setting for setting in settings if setting[0] in GEOMETRY)
        drawn.append((run.file.participant, of_matrix, spheres))
    check_agreement(compared)
    check_geometry(drawn)
    for difference in differences((run.file.participant, run.facts.noted) for run in runs):
        logger.warning("%s: %s.", title(name), difference)
    diagonal = bool(as_json(runs[0].facts.settings)["ValidDiagonal"])
    edges = Edges(image.seeds, image.networks, diagonal)
    people = by_participant(runs, lambda label: motion.of(label, name))
    return Group(name, people, edges, Scale(name.get("stat") or ""), edges.of(image.distances))
