"""Files of one image and of one group, read and checked to go together."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from bids_spheres.engine.connectivity import Moments
from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.group import facts
from bids_spheres.group.edges import Edges, Scale, mean_of_known
from bids_spheres.group.files import POOLED
from bids_spheres.group.stream import Group, GroupRun, by_participant, spaces_of
from bids_spheres.outputs.paths import label_of, title
from bids_spheres.outputs.read import read_spheres
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.spaces.fmriprep import is_native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.files.names import Name
    from bids_spheres.group.files import Unusable
    from bids_spheres.group.head_motion import HeadMotion
    from bids_spheres.group.quality import Row
    from bids_spheres.group.stream import Participant
    from bids_spheres.outputs.find import OutputFile
    from bids_spheres.outputs.read import Spheres

logger = logging.getLogger(__name__)

COVERAGE_COLUMNS = {
    "name": "Seed",
    "network": "Network of the seed, where its source gives one",
    **dict.fromkeys("xyz", "Centre of the sphere or region, mean over runs"),
    "radius": "Radius of the sphere; 0 for the one voxel that holds the seed; of a region that of "
    "a ball of its volume",
    "participants": "Participants who have the sphere or region in any of their runs",
    "share": "Their share of all participants with outputs",
    "coverage": "Mean over participants of the share of its voxels that has a signal, which is "
    "averaged over the runs of each",
}


class Image:
    """Spheres of the runs of one task, space and seed set, one run after the other.

    By the path of its table each run that was taken in has cells of the table of runs in `quality`,
    and in `geometry` how its spheres were drawn.
    """

    def __init__(self) -> None:
        self.quality: dict[Path, Row] = {}
        self.geometry: dict[Path, facts.Settings] = {}
        self._first: Spheres | None = None
        self._known: dict[str, str] = {}
        self._mixed = False
        # Settings are by far the largest part of what is kept of a run: one copy for all.
        self._alike: dict[facts.Settings, facts.Settings] = {}
        self._identities: list[tuple[str, facts.Settings]] = []
        self._distances = self._points = Moments(0)
        self._used: dict[str, BoolArray] = {}
        self._coverage: dict[str, Moments] = {}

    def add(self, file: OutputFile) -> None:
        """Take in the spheres of a run; of those unlike the first only whose they are."""
        path, participant = file.spheres, file.participant
        content = read_sidecar(path, parse_float=facts.as_integer)
        facts.check_version(content)
        spheres = read_spheres(path)
        self.quality[path] = {
            "coverage": mean_of_known(spheres.coverage),
            "spheres_missing": int((~spheres.used).sum()),
            "tsnr": mean_of_known(spheres.tsnr[spheres.used]),
        }
        geometry = facts.pick(content, facts.GEOMETRY)
        self.geometry[path] = self._alike.setdefault(geometry, geometry)
        # A participant's own space has its own places, and so has a template to which seeds were
        # moved from another. Coordinates agree to 0.1 micrometre.
        places = [] if is_native(file.space) else np.round(spheres.coordinates, 4).tolist()
        moved = f" in {file.space}" if content.get("SeedTransforms") else ""
        identity = (
            ("names of spheres", json.dumps(spheres.names)),
            ("networks", json.dumps(spheres.networks)),
            (f"coordinates{moved}", json.dumps(places)),
            ("radius", json.dumps(np.nan_to_num(spheres.radii).tolist())),
        )
        self._identities.append((participant, self._alike.setdefault(identity, identity)))
        self._mixed |= any(self._known.setdefault(key, value) != value for key, value in identity)
        if self._mixed:
            return
        points = spheres.coordinates
        if self._first is None:
            self._first = spheres
            self._distances, self._points = Moments(len(pdist(points))), Moments(points.size)
        self._distances.add(pdist(points))
        self._points.add(points.ravel())
        self._used[participant] = self._used.get(participant, False) | spheres.used
        own = self._coverage.setdefault(participant, Moments(len(points)))
        own.add(np.nan_to_num(spheres.coverage))

    @cached_property
    def spheres(self) -> Spheres:
        """Those of the first run; DataError when others have different ones, or there is none."""
        facts.check_agreement(self._identities)
        if self._first is None:
            raise DataError("there is no table of spheres.")
        return self._first

    @property
    def distances(self) -> FloatArray:
        """Mean distances between S spheres, mm, (S, S)."""
        return np.asarray(squareform(self._distances.mean))

    def coverage(self) -> pd.DataFrame:
        """A row per sphere; see `COVERAGE_COLUMNS`."""
        participants = np.sum(list(self._used.values()), axis=0)
        return pd.DataFrame(
            {
                "name": self.spheres.names,
                "network": self.spheres.networks,
                **dict(zip("xyz", self._points.mean.reshape(-1, 3).T, strict=True)),
                "radius": np.nan_to_num(self.spheres.radii),
                "participants": participants,
                "share": participants / len(self._used),
                "coverage": np.mean([own.mean for own in self._coverage.values()], axis=0),
            }
        )


def gather_image(name: Name, files: Iterable[OutputFile], unusable: Unusable) -> Image:
    """Read the tables of spheres of all matrices; those that can't be used go to `unusable`."""
    image = Image()
    for path, file in {file.spheres: file for file in files}.items():
        if not path.is_file() and facts.of_several_runs(file.path):
            continue  # it has no spheres of its own, and its runs are averaged instead
        try:
            image.add(file)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
    return image


def read_runs(name: Name, files: Iterable[OutputFile], unusable: Unusable) -> Iterator[GroupRun]:
    """Runs of matrices or maps of one group; those that can't be used are added to `unusable`."""
    alike: dict[facts.Settings, facts.Settings] = {}  # one copy for all runs
    for file in files:
        try:
            own = facts.read_facts(file.path)
        except BidsSpheresError as error:
            unusable.add(file, name, error)
            continue
        if own is not None:
            settings, noted = (alike.setdefault(each, each) for each in (own.settings, own.noted))
            yield GroupRun(file, replace(own, settings=settings, noted=noted))


def check_settings(name: Name, runs: Iterable[GroupRun]) -> None:
    """Refuse (DataError) a group of runs that were made with different settings."""
    # Whether a seed set had to be used, or mapped, in another space than its own differs by space.
    apart = ("SeedSpace",) if label_of(name, "space") == POOLED else ()
    facts.check_agreement(
        (run.file.participant, tuple(s for s in run.facts.settings if s[0] not in apart))
        for run in runs
    )


def describe_settings(
    name: Name, of_run: facts.RunFacts, people: Iterable[Participant]
) -> dict[str, Any]:
    """What sidecars of a group say of its settings, and of the spaces that are pooled."""
    about = of_run.described
    if label_of(name, "space") == POOLED:
        about.pop("SeedSpace", None)
        about["PooledSpaces"] = spaces_of(people)
    return about


def gather_group(
    name: Name, files: Sequence[OutputFile], image: Image, motion: HeadMotion, unusable: Unusable
) -> Group:
    """Read sidecars of the runs of a group; DataError when settings differ, or none can be used."""
    runs = list(read_runs(name, (f for f in files if f.spheres in image.quality), unusable))
    if not runs:
        raise DataError("no run can be used.")
    check_settings(name, runs)
    facts.check_geometry(
        (run.file.participant, run.facts.geometry, image.geometry[run.file.spheres]) for run in runs
    )
    for difference in facts.differences((run.file.participant, run.facts.noted) for run in runs):
        logger.warning("%s: %s.", title(name), difference)
    diagonal = bool(facts.as_json(runs[0].facts.settings)["ValidDiagonal"])
    edges = Edges(image.spheres.names, image.spheres.networks, diagonal)
    people = by_participant(runs, lambda label: motion.of(label, name))
    return Group(name, people, edges, Scale(name.get("stat") or ""), edges.of(image.distances))
