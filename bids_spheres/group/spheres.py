"""Tables of spheres of all runs: which seeds the group has, and where they are."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from bids_spheres.errors import DataError
from bids_spheres.group.facts import GEOMETRY, as_integer, check_version, pick
from bids_spheres.outputs.read import read_spheres
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.spaces.fmriprep import is_native

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.group.facts import Settings
    from bids_spheres.outputs.read import Spheres

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

COVERAGE_COLUMNS = {
    "name": {"Description": "Seed"},
    "network": {"Description": "Network of the seed, where its source gives one"},
    "x": {"Description": "Centre of the sphere, mean over runs", "Units": "mm"},
    "y": {"Description": "Centre of the sphere, mean over runs", "Units": "mm"},
    "z": {"Description": "Centre of the sphere, mean over runs", "Units": "mm"},
    "radius": {
        "Description": "Radius of the sphere; 0 for the one voxel that holds the seed",
        "Units": "mm",
    },
    "participants": {"Description": "Participants who have the sphere in any of their runs"},
    "share": {"Description": "Their share of all participants with outputs"},
    "coverage": {
        "Description": "Mean over participants of the share of the sphere's voxels that has a "
        "signal, which is averaged over the runs of each"
    },
}
"""Columns of the table of coverage."""

_PLACES = 4
"""Decimals of a millimetre in which coordinates must agree."""


@dataclass(frozen=True, eq=False)
class RunSpheres:
    """The spheres of one run, and how they were drawn.

    Parameters
    ----------
    participant : str
    space : str
        Of the image; ``"func"`` for the grid of acquisition.
    table : Spheres
    settings : Settings
        What the sidecar of the table says of how they were drawn.
    moved : bool
        Whether seeds were mapped into the space of the image.
    """

    participant: str
    space: str
    table: Spheres
    settings: Settings
    moved: bool

    @property
    def quality(self) -> RunQuality:
        """What is told of the run in the table of all runs."""
        return RunQuality(
            coverage=_mean(self.table.coverage),
            missing=int((~self.table.used).sum()),
            tsnr=_mean(self.table.tsnr[self.table.used]),
            geometry=self.settings,
        )

    @property
    def identity(self) -> Settings:
        """What must be the same in all runs of a group.

        A participant's own space has its own places, and so has a template to which seeds were
        mapped from another.
        """
        places = [] if is_native(self.space) else np.round(self.table.coordinates, _PLACES).tolist()
        where = f"coordinates in {self.space}" if self.moved else "coordinates"
        return (
            ("names of spheres", json.dumps(self.table.names)),
            ("networks", json.dumps(self.table.networks)),
            (where, json.dumps(places)),
            ("radius", json.dumps(np.nan_to_num(self.table.radii).tolist())),
        )


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


@dataclass(frozen=True, eq=False)
class GroupSeeds:
    """S seeds of a group.

    Parameters
    ----------
    names, networks : tuple of str
    distances : (S, S) array
        Between seeds, mm; in the participants' own spaces the mean over runs.
    radii : (S,) array
        mm; NaN or 0 for the one voxel that holds the seed.
    """

    names: tuple[str, ...]
    networks: tuple[str, ...]
    distances: FloatArray
    radii: FloatArray


class SphereTables:
    """Tables of spheres of the runs of one seed set, one after the other."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._first: Spheres | None = None
        self._distances: FloatArray = np.zeros(0)
        self._points: FloatArray = np.zeros(0)
        self._coverage: dict[str, _Coverage] = {}
        self._mixed = False
        self._made: dict[Settings, list[str]] = defaultdict(list)

    def add(self, spheres: RunSpheres) -> None:
        """Take the table of one run in.

        Once there are other spheres than the first, who has which is all that is noted.
        """
        identity = spheres.identity
        self._made[identity].append(spheres.participant)
        agree = all(self._known.setdefault(key, value) == value for key, value in identity)
        self._mixed = self._mixed or not agree
        if self._mixed:
            return
        points = spheres.table.coordinates
        if self._first is None:
            self._first = spheres.table
            self._distances, self._points = np.zeros_like(pdist(points)), np.zeros_like(points)
        self._distances += pdist(points)
        self._points += points
        known = self._coverage.setdefault(spheres.participant, _Coverage())
        known.add(spheres)

    def makers(self) -> Iterator[tuple[str, Settings]]:
        """Participant of every run, and what its spheres are."""
        for identity, participants in self._made.items():
            for participant in participants:
                yield participant, identity

    @property
    def seeds(self) -> GroupSeeds:
        """The seeds of all runs that were taken in.

        Raises
        ------
        DataError
            When there were none.
        """
        first = self._first
        if first is None:
            raise DataError("there is no table of spheres.")
        distances = squareform(self._distances / self._runs)
        return GroupSeeds(first.names, first.networks, distances, first.radii)

    @property
    def _runs(self) -> int:
        return sum(len(participants) for participants in self._made.values())

    def coverage(self) -> pd.DataFrame:
        """One row per seed; see `COVERAGE_COLUMNS`."""
        seeds, all_participants = self.seeds, self._coverage.values()
        there = np.sum([known.used for known in all_participants], axis=0)
        means = [known.mean for known in all_participants]
        x, y, z = self._points.T / self._runs
        return pd.DataFrame(
            {
                "name": seeds.names,
                "network": seeds.networks,
                "x": x,
                "y": y,
                "z": z,
                "radius": np.nan_to_num(seeds.radii),
                "participants": there,
                "share": there / len(means),
                "coverage": np.mean(means, axis=0),
            }
        )


class _Coverage:
    """Coverage of one participant, over runs."""

    def __init__(self) -> None:
        self.used: BoolArray = np.zeros((), dtype=bool)
        self._sum: FloatArray = np.zeros(())
        self._runs = 0

    def add(self, spheres: RunSpheres) -> None:
        self.used = self.used | spheres.table.used
        self._sum = self._sum + np.nan_to_num(spheres.table.coverage)
        self._runs += 1

    @property
    def mean(self) -> FloatArray:
        return self._sum / self._runs


def spheres_of_run(path: Path, participant: str, space: str) -> RunSpheres:
    """Read the table of the spheres of one run, and its sidecar.

    Parameters
    ----------
    path : Path
        The TSV file.
    participant, space : str
        Labels; ``"func"`` for the grid of acquisition.

    Raises
    ------
    MissingInputError, ReadWriteError
        When one of the two is not there or can't be read.
    DataError
        When one can't be used; `OtherVersionError` when another version wrote it.
    """
    content = read_sidecar(path.with_suffix(".json"), parse_float=as_integer)
    check_version(content)
    return RunSpheres(
        participant=participant,
        space=space,
        table=read_spheres(path),
        settings=pick(content, GEOMETRY),
        moved=bool(content.get("SeedTransforms")),
    )


def _mean(values: Sequence[float] | FloatArray) -> float:
    """Mean of what is known; NaN of nothing."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
