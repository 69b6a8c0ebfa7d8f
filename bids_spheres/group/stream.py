"""Runs of a group to one vector of edges per participant, one after the other.

Matrices of runs that were concatenated are no runs: they would say the same once more.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.outputs.paths import title
from bids_spheres.outputs.read import read_upper_triangle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.files.names import Name
    from bids_spheres.group.edges import Edges
    from bids_spheres.group.facts import RunFacts
    from bids_spheres.group.scale import Scale
    from bids_spheres.outputs.find import OutputFile

    FloatArray = NDArray[np.float64]


_READERS = 2
_AHEAD = 4
"""Participants that are read, or wait to be used, at the same time."""


FEW_DOF = 25
"""Degrees of freedom below which a participant adds more noise to a group than power.

The standard error of Fisher's z is more than 0.2 then.
"""


@dataclass(frozen=True, slots=True)
class GroupRun:
    """A matrix and what its sidecar says."""

    file: OutputFile
    facts: RunFacts


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant and the runs of one group.

    Parameters
    ----------
    label : str
        With its key, ``sub-01``.
    runs : tuple of GroupRun
        Those with a result.
    excluded : tuple of GroupRun
        Those of which too little was left.
    mean_fd : float
        Mean framewise displacement, mm, see `HeadMotion`; NaN when it is not known.
    """

    label: str
    runs: tuple[GroupRun, ...]
    excluded: tuple[GroupRun, ...]
    mean_fd: float

    @property
    def degrees_of_freedom(self) -> float:
        """Of all runs with a result together."""
        return sum(run.facts.degrees_of_freedom for run in self.runs)

    @property
    def exclusion(self) -> str | None:
        """Why there is no result, when every run is excluded."""
        if self.runs:
            return None
        reasons = dict.fromkeys(str(run.facts.excluded) for run in self.excluded)
        return f"every run is excluded: {'; '.join(reasons)}"


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one task, space, seed set, strategy and measure.

    Parameters
    ----------
    name : Name
    participants : tuple of Participant
        In the order of their labels.
    edges : Edges
    scale : Scale
    distances : (E,) array
        Between the nodes of every edge, mm.
    absent : mapping of str to str
        Participants who are expected and have no run in it, and why.
    failed : mapping of str to list of str
        Participants who have a run in it, and files about others of theirs that failed.
    """

    name: Name
    participants: tuple[Participant, ...]
    edges: Edges
    scale: Scale
    distances: FloatArray
    absent: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For messages."""
        return title(self.name)

    @property
    def runs(self) -> list[GroupRun]:
        """All runs, excluded ones as well."""
        return [run for one in self.participants for run in (*one.runs, *one.excluded)]

    @property
    def spaces(self) -> dict[str, int]:
        """Spaces of images, and how many participants have a result in each."""
        own = [{run.file.space for run in one.runs} for one in self.with_result]
        names = sorted(set().union(*own))
        return {space: sum(space in spaces for spaces in own) for space in names}

    @property
    def with_result(self) -> list[Participant]:
        """Participants of whom there is at least one run with a result."""
        return [one for one in self.participants if one.runs]


@dataclass(frozen=True)
class Unread:
    """Why there is nothing of a participant."""

    problem: str


def by_participant(
    runs: Iterable[GroupRun], mean_fd: Callable[[str], float]
) -> tuple[Participant, ...]:
    """Runs by participant, in the order in which participants come first."""
    found: dict[str, list[GroupRun]] = {}
    for run in runs:
        found.setdefault(run.file.participant, []).append(run)
    return tuple(
        Participant(
            label,
            tuple(run for run in own if run.facts.excluded is None),
            tuple(run for run in own if run.facts.excluded is not None),
            mean_fd(label),
        )
        for label, own in found.items()
    )


def stream(group: Group) -> Iterator[tuple[Participant, FloatArray | Unread]]:
    """Edges of every participant with a result, on the scale on which they are averaged.

    A participant of whom one run can't be read is left out as a whole: what is known of the
    participant, such as head motion, is about all runs. Threads read ahead, by no more than
    `_AHEAD` participants: half of the work waits for the disk or is done by pandas without
    Python's lock.

    Yields
    ------
    participant : Participant
    values : (E,) array, or Unread
        NaN for edges that no run has.
    """

    def read(participant: Participant) -> FloatArray | Unread:
        try:
            return average_edges(participant.runs, group.edges, group.scale)
        except BidsSpheresError as error:
            return Unread(str(error))

    waiting = iter(group.with_result)
    with ThreadPoolExecutor(_READERS, "reader") as pool:
        ahead = deque((one, pool.submit(read, one)) for one in islice(waiting, _AHEAD))
        try:
            while ahead:
                participant, values = ahead.popleft()
                yield participant, values.result()
                ahead.extend((one, pool.submit(read, one)) for one in islice(waiting, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def average_edges(runs: Sequence[GroupRun], edges: Edges, scale: Scale) -> FloatArray:
    """Mean over runs, each counting by one over the variance of Fisher's z, (E,).

    These weights make the mean of the least variance. An edge that a run lacks is the mean of the
    others.

    Raises
    ------
    BidsSpheresError
        When a matrix can't be used.
    """
    sums, weights = np.zeros(len(edges)), np.zeros(len(edges))
    for run in runs:
        values = read_upper_triangle(run.file.path, edges.names, diagonal=edges.diagonal)
        if not scale.possible(values):
            raise DataError(
                f"{run.file.path} holds a correlation beyond 1.",
                hint="Run the participant level anew for this run.",
            )
        values = scale.forth(values)
        there = np.isfinite(values)
        sums += run.facts.weight * np.where(there, values, 0)
        weights += run.facts.weight * there
    return sums / np.where(weights > 0, weights, np.nan)
