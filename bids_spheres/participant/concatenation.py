"""Runs of one task to one matrix.

Runs of one session, or of one participant, that share all their other entities make a `RunGroup`.
Their cleaned series are read from files, since an earlier call may have written them, standardized
run by run, and related as if they were one run; the matrices go under the entities that they share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, cast

import numpy as np

from bids_spheres.engine.connectivity import concatenate, defined_series, measure
from bids_spheres.errors import BidsSpheresError, DataError, UsageError
from bids_spheres.files.names import Name, as_written
from bids_spheres.outputs.links import sources
from bids_spheres.outputs.read import read_series
from bids_spheres.outputs.sidecars import (
    ConcatenationSidecar,
    DesignSidecar,
    ImageSidecar,
    SummedSidecar,
    read_sidecar,
)
from bids_spheres.participant.series import write_relations
from bids_spheres.settings.table import Level, sidecar_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.outputs.paths import OutputPaths
    from bids_spheres.outputs.sidecars import Sidecar
    from bids_spheres.participant.plan import Job

# Entities by which the runs of a group differ.
_DROPPED: dict[str, tuple[str, ...]] = {"session": ("run",), "participant": ("ses", "run")}
_NEEDED = {*SummedSidecar.__annotations__, "DegreesOfFreedom", "VolumesWithFramewiseDisplacement"}

# What a sidecar says of all runs when they agree on it; else each run's own says it.
_SHARED = (
    *ImageSidecar.__annotations__,
    *DesignSidecar.__annotations__,
    *("SoftwareFilters", "CensoringThresholds", "HeadMotion"),
    *(*sidecar_keys(mixing="refuse"), *sidecar_keys(mixing="note")),
)
_HOW = (
    "Kept volumes of all runs, one run after the other, each standardized first (mean 0, variance "
    "1 with N - 1)"
)


@dataclass(frozen=True)
class RunGroup:
    """Runs, in the order of their names, whose series are put together under a shared `name`."""

    name: Name
    jobs: tuple[Job, ...]

    def __str__(self) -> str:
        return " ".join(as_written(self.name.entities))

    @property
    def paths(self) -> OutputPaths:
        """Where the matrices go."""
        return replace(self.jobs[0].paths, name=self.name)


def group_runs(jobs: Sequence[Job], level: Level | None) -> list[RunGroup]:
    """Which runs belong together: those of sessions or of participants, or none without a level.

    A single run is a group too where its matrix gets another name: whoever looks for one matrix
    per participant finds it. A `UsageError` when a group would overwrite one of its runs.
    """
    if level is None:
        return []
    dropped = dict.fromkeys(_DROPPED[level])
    members: dict[Name, list[Job]] = defaultdict(list)
    for job in jobs:
        members[job.run.name.with_("relmat", ".tsv", **dropped)].append(job)
    groups = []
    for name, runs in members.items():
        same_name = [job for job in runs if job.run.name.with_("relmat", ".tsv") == name]
        if same_name and len(runs) > 1:
            keys = " or ".join(f"{key}-" for key in _DROPPED[level])
            raise UsageError(
                f"--concatenate {level}: the name of {same_name[0].images[0].bold} has no {keys}, "
                f"so that its own matrices would have the names of those of {len(runs)} runs "
                "together.",
                hint="Give it a run label, or select the other runs, e.g. with --run.",
            )
        if not same_name:
            groups.append(RunGroup(name, tuple(runs)))
    return groups


def concatenate_runs(
    groups: Sequence[RunGroup], unfinished: Collection[tuple[str, str]]
) -> Iterator[str]:
    """Write the matrices of groups of runs; yield what a user should know.

    `unfinished` are jobs and strategies, by name, of which earlier files don't count.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    for group in groups:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1):
            warnings = dict.fromkeys(_write_group(group, unfinished))
        yield from (f"{group}: {warning}" for warning in warnings)


def _write_group(group: RunGroup, unfinished: Collection[tuple[str, str]]) -> Iterator[str]:
    work = group.jobs[0].work
    every = {(str(job), strategy.name) for job in group.jobs for strategy in work.strategies}
    if every <= set(unfinished):
        yield "none of its runs is done, and no matrix of them is written."
        return
    for strategy, seeds in product((each.name for each in work.strategies), work.seed_sets):
        series = _GroupSeries(group, seeds, strategy, {j for j, s in unfinished if s == strategy})
        yield from (f"made without {job}: {why}" for job, why in series.missing)
        yield from series.left_behind()
        if series.described:
            series.write()
        else:
            yield f"no run is left for {strategy}, and no matrix of all is written."


@dataclass(frozen=True, eq=False)
class RunSeries:
    """Cleaned series of a run, (T', S), its sidecar, and URIs of its and its spheres' tables."""

    uri: str
    nodes: str
    values: FloatArray
    sidecar: Sidecar

    @property
    def exclusion(self) -> str | None:
        """Why the run has no result, if so."""
        if reason := self.sidecar.get("Excluded"):
            return reason
        return None if np.isfinite(self.values).any() else "no sphere has a series"


class _GroupSeries:
    """Series of the runs of a group, as their jobs wrote them, and the runs without any, and why.

    Earlier files of jobs that are `lost`, by their names, don't count. `described` are the runs
    whose sidecars say what was done: those that are used, or else all.
    """

    def __init__(
        self, group: RunGroup, seeds: SeedTable, strategy: str, lost: Collection[str]
    ) -> None:
        self.group, self.seeds, self.strategy = group, seeds, strategy
        self.used: list[RunSeries] = []
        self.excluded: list[RunSeries] = []
        self.missing: list[tuple[Job, str]] = []
        for job in group.jobs:
            if str(job) in lost:
                self.missing.append((job, "It failed, or was not tried."))
                continue
            try:
                run = self._read(job)
            except BidsSpheresError as error:
                self.missing.append((job, error.message))
            else:
                (self.excluded if run.exclusion else self.used).append(run)
        self.described = self.used or self.excluded

    def _read(self, job: Job) -> RunSeries:
        """Series of a run without censored volumes; an error when they are not those of the job."""
        path = job.paths.series(self.seeds, self.strategy)
        series, sidecar = read_series(path), read_sidecar(path)
        if series.names != self.seeds.names or not sidecar.keys() >= _NEEDED:
            text = f"{path} and its sidecar are not those of {self.seeds.label} and of this call."
            raise DataError(text)
        values = series.values[np.isfinite(series.values).any(axis=1)]
        return RunSeries(
            self.uri(job), job.paths.uri(job.paths.spheres(self.seeds)), values, sidecar
        )

    def uri(self, job: Job) -> str:
        """BIDS URI of the series of a run."""
        return job.paths.uri(job.paths.series(self.seeds, self.strategy))

    def left_behind(self) -> Iterator[str]:
        """Runs of an earlier matrix in this place that the call at hand does not know of."""
        stat = measure(self.group.jobs[0].work.processing.connectivity[0]).stat
        path = self.group.paths.matrix(self.seeds, self.strategy, stat)
        try:
            before = sources(read_sidecar(path, optional=True))
        except BidsSpheresError:
            return  # what was there can't be read, and is written anew
        known = {self.uri(job) for job in self.group.jobs}
        if unknown := [uri for uri in before if uri not in known]:
            yield f"an earlier call had {', '.join(unknown)} in it, which this one does not select."

    def write(self) -> None:
        """Relate the standardized series, one run after the other; none of excluded runs alone."""
        values, nodes = [run.values for run in self.used], [run.nodes for run in self.described]
        together = concatenate(values) if values else np.empty((0, len(self.seeds)))
        place = (self.group.paths, self.seeds, self.strategy)
        measures = self.group.jobs[0].work.processing.connectivity
        write_relations(place, measures, together, self.sidecar(), nodes)

    def _mean(self, means: Sequence[float | None]) -> float | None:
        """Mean over all volumes of the runs, censored ones too; None when one has none."""
        if not means or None in means:
            return None
        volumes = [run.sidecar["VolumesWithFramewiseDisplacement"] for run in self.used]
        return float(np.average(np.array(means, dtype=np.float64), weights=volumes))

    def sidecar(self) -> dict[str, object]:
        """What the sidecar of a matrix says of the runs."""
        described, used, names = self.described, self.used, self.seeds.names
        first: Mapping[str, object] = described[0].sidecar
        agreed = {
            key: first[key]
            for key in _SHARED
            if key in first and key not in ("Sources", "GeneratedBy")  # of the run itself
            if all(run.sidecar.get(key) == first[key] for run in described)
        }
        defined = np.sum([defined_series(run.values) for run in used], axis=0)
        incomplete = (defined > 0) & (defined < len(used))
        censored: Counter[str] = Counter()
        for run in used:
            censored.update(run.sidecar.get("CensoredVolumes", {}))
        about = ConcatenationSidecar(
            Sources=[run.uri for run in used],
            Concatenation=_HOW,
            NumberOfRuns=len(used),
            ExcludedRuns={run.uri: run.exclusion for run in self.excluded},
            MissingRuns={self.uri(job): why for job, why in self.missing},
            NodesMissingInSomeRuns=[names[i] for i in np.flatnonzero(incomplete)],
            CensoredVolumes=dict(censored),
            DegreesOfFreedom=degrees_of_freedom(used),
            MeanFramewiseDisplacement=self._mean(
                [run.sidecar.get("MeanFramewiseDisplacement") for run in used]
            ),
            MeanFramewiseDisplacementRecomputed=self._mean(
                [run.sidecar.get("MeanFramewiseDisplacementRecomputed") for run in used]
            ),
            NodeFiles=[run.nodes for run in described],
        )
        numbers = [cast("dict[str, float]", run.sidecar) for run in used]
        sums = {key: sum(own[key] for own in numbers) for key in SummedSidecar.__annotations__}
        return {**agreed, **about, **sums}


def degrees_of_freedom(used: Sequence[RunSeries]) -> float:
    """1 / var(r) of independent white series in all runs together; 0 without a run.

    Their correlation is the mean of those of the runs, weighted by w = T' - 1 because each run has
    variance 1. With v degrees of freedom in a run, its variance is 1 / v, and that of the mean is
    sum(w^2 / v) / sum(w)^2. That is the sum over runs where w is in proportion to v, and else less.
    """
    if not used:
        return 0
    weights = np.array([len(run.values) - 1 for run in used])
    left = np.array([run.sidecar["DegreesOfFreedom"] for run in used])
    return float(weights.sum() ** 2 / np.sum(weights**2 / left))
