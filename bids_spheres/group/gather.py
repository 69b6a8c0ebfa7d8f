"""Files of one image and of one group, read and checked to go together."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.group.edges import Edges
from bids_spheres.group.facts import (
    GEOMETRY,
    as_integer,
    as_json,
    check_agreement,
    check_geometry,
    check_version,
    differences,
    of_several_runs,
    pick,
    read_facts,
)
from bids_spheres.group.files import POOLED
from bids_spheres.group.statistics import Moments, Scale
from bids_spheres.group.stream import Group, GroupRun, by_participant
from bids_spheres.outputs.paths import label_of, title
from bids_spheres.outputs.read import read_spheres
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.spaces.fmriprep import is_native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.group.facts import Settings
    from bids_spheres.outputs.read import Spheres

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    from collections.abc import Iterable, Mapping, Sequence

    from bids_spheres.files.names import Name
    from bids_spheres.group.absent import Unusable
    from bids_spheres.group.head_motion import HeadMotion
    from bids_spheres.outputs.find import OutputFile

COVERAGE_COLUMNS = {
    "name": {"Description": "Seed"},
    "network": {"Description": "Network of the seed, where its source gives one"},
    "x": {"Description": "Centre of the sphere or region, mean over runs", "Units": "mm"},
    "y": {"Description": "Centre of the sphere or region, mean over runs", "Units": "mm"},
    "z": {"Description": "Centre of the sphere or region, mean over runs", "Units": "mm"},
    "radius": {
        "Description": "Radius of the sphere; 0 for the one voxel that holds the seed; of a region "
        "that of a ball of its volume",
        "Units": "mm",
    },
    "participants": {
        "Description": "Participants who have the sphere or region in any of their runs"
    },
    "share": {"Description": "Their share of all participants with outputs"},
    "coverage": {
        "Description": "Mean over participants of the share of its voxels that has a "
        "signal, which is averaged over the runs of each"
    },
}
"""Columns of the table of coverage."""

_PLACES = 4
"""Decimals of a millimetre in which coordinates must agree."""


@dataclass(frozen=True, slots=True)
class RunQuality:
    """Spheres of one run in three numbers, and how they were drawn.

    Parameters
    ----------
    coverage : float
        Mean over all spheres.
    missing : int
        Spheres without a time series.
    tsnr : float
        Mean temporal signal-to-noise ratio over the spheres with one.
    geometry : Settings
        What the sidecar of the table says.
    """

    coverage: float
    missing: int
    tsnr: float
    geometry: Settings


class SphereTables:
    """Tables of spheres of the runs of one seed set, one after the other.

    Attributes
    ----------
    quality : dict of Path to RunQuality
        Of the runs that were taken in, by the path of their table.
    """

    def __init__(self) -> None:
        self.quality: dict[Path, RunQuality] = {}
        self._first: Spheres | None = None
        self._known: dict[str, str] = {}
        self._mixed = False
        self._participants: dict[Settings, list[str]] = defaultdict(list)
        self._geometries: dict[Settings, Settings] = {}
        self._distances = self._points = Moments(0)
        self._used: dict[str, BoolArray] = {}
        self._coverage: dict[str, Moments] = {}

    def add(self, path: Path, participant: str, space: str) -> None:
        """Read the table of one run and its sidecar, and take them in.

        Once there are other spheres than the first, who has which is all that is noted.

        Parameters
        ----------
        path : Path
            The TSV file.
        participant, space : str
            Labels; ``"func"`` for the grid of acquisition.

        Raises
        ------
        MissingInputError, ReadWriteError
            When one of the two files is missing or can't be read.
        DataError
            When one can't be used; `OtherVersionError` when another version wrote it.
        """
        content = read_sidecar(path.with_suffix(".json"), parse_float=as_integer)
        check_version(content)
        spheres = read_spheres(path)
        # Settings are by far the largest part of what is kept of a run: one copy for all.
        geometry = pick(content, GEOMETRY)
        self.quality[path] = RunQuality(
            coverage=_mean(spheres.coverage),
            missing=int((~spheres.used).sum()),
            tsnr=_mean(spheres.tsnr[spheres.used]),
            geometry=self._geometries.setdefault(geometry, geometry),
        )
        identity = _identity(spheres, space, moved=bool(content.get("SeedTransforms")))
        self._participants[identity].append(participant)
        self._mixed |= any(self._known.setdefault(key, value) != value for key, value in identity)
        if self._mixed:
            return
        points, size = spheres.coordinates, len(spheres.names)
        if self._first is None:
            self._first = spheres
            self._distances, self._points = Moments(len(pdist(points))), Moments(points.size)
        self._distances.add(pdist(points))
        self._points.add(points.ravel())
        self._used[participant] = self._used.get(participant, False) | spheres.used
        own = self._coverage.setdefault(participant, Moments(size))
        own.add(np.nan_to_num(spheres.coverage))

    def identities(self) -> Iterator[tuple[str, Settings]]:
        """Participant of every run, and what must be the same in all runs."""
        for identity, participants in self._participants.items():
            for participant in participants:
                yield participant, identity

    @property
    def first(self) -> Spheres:
        """Spheres of the first run, with the names and networks of all; DataError without any."""
        if self._first is None:
            raise DataError("there is no table of spheres.")
        return self._first

    @property
    def distances(self) -> FloatArray:
        """Distances of the S seeds, mm, (S, S); in the participants' own spaces their means."""
        return np.asarray(squareform(self._distances.mean))

    def coverage(self) -> pd.DataFrame:
        """One row per seed; see `COVERAGE_COLUMNS`."""
        participants = np.sum(list(self._used.values()), axis=0)
        points = self._points.mean.reshape(-1, 3)
        return pd.DataFrame(
            {
                "name": self.first.names,
                "network": self.first.networks,
                **dict(zip("xyz", points.T, strict=True)),
                "radius": np.nan_to_num(self.first.radii),
                "participants": participants,
                "share": participants / len(self._used),
                "coverage": np.mean([own.mean for own in self._coverage.values()], axis=0),
            }
        )


def _identity(spheres: Spheres, space: str, *, moved: bool) -> Settings:
    """What must be the same in all runs of a group.

    A participant's own space has its own places, and so has a template to which seeds were moved
    from another.
    """
    places = [] if is_native(space) else np.round(spheres.coordinates, _PLACES).tolist()
    return (
        ("names of spheres", json.dumps(spheres.names)),
        ("networks", json.dumps(spheres.networks)),
        (f"coordinates in {space}" if moved else "coordinates", json.dumps(places)),
        ("radius", json.dumps(np.nan_to_num(spheres.radii).tolist())),
    )


def _mean(values: FloatArray) -> float:
    """Mean without missing values; NaN if all are missing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


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
