"""Runs of one task to one matrix.

Runs of one session, or of one participant, that share all their other entities make a `RunGroup`.
Their cleaned series are read from what their jobs have written, standardized run by run, and
related as if they were one run; the matrices go under the entities that the runs share. Series are
read from files because the call that wrote them may have been an earlier one, and because then
only those of one group are in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.connectivity import concatenate, defined_series, measure
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError, UsageError
from bids_spheres.outputs.links import sources
from bids_spheres.outputs.read import read_series
from bids_spheres.outputs.sidecars import read_sidecar, sidecar_path
from bids_spheres.outputs.write import write_matrix
from bids_spheres.participant.sidecars import matrix_facts
from bids_spheres.settings import sidecar_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.confounds import Strategy
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.files.names import Name
    from bids_spheres.outputs.paths import OutputPaths
    from bids_spheres.participant.plan import Job
    from bids_spheres.settings import Level

    FloatArray = NDArray[np.float64]

_DROPPED: dict[str, tuple[str, ...]] = {"session": ("run",), "participant": ("ses", "run")}
"""Entities by which the runs of a group differ."""

_SUMMED = (
    *("NumberOfVolumes", "NumberOfVolumesKept", "NumberOfVolumesCensored"),
    *("RankRemoved", "DimensionsLostToFilter", "DimensionsLostToCensoring"),
)
"""Numbers in the sidecar of each run that add up."""

_NEEDED = {*_SUMMED, "DegreesOfFreedom", "VolumesWithFramewiseDisplacement"}

_SHARED = (
    *("SpatialReference", "Seeds", "SeedSpace", "SpaceNote", "SeedTransforms", "Radius"),
    *("RadiusUnits", "SmoothingBefore", "Strategy", "Description", "StrategyNotes"),
    *("NuisanceParameters", "SoftwareFilters", "CensoringThresholds", "HeadMotion"),
    *(*sidecar_keys("refuse"), *sidecar_keys("note")),
)
"""What a sidecar says of all runs when they agree on it; else each run's own says it."""

_HOW = (
    "Kept volumes of all runs, one run after the other, each standardized first (mean 0, variance "
    "1 with N - 1)"
)


@dataclass(frozen=True)
class RunGroup:
    """Runs whose series are put one after the other.

    Parameters
    ----------
    name : Name
        The entities that they share.
    jobs : tuple of Job
        One for every run, in the order of their names.
    """

    name: Name
    jobs: tuple[Job, ...]

    def __str__(self) -> str:
        return " ".join(f"{key}-{label}" for key, label in self.name.entities)

    @property
    def paths(self) -> OutputPaths:
        """Where the matrices go."""
        return replace(self.jobs[0].paths, name=self.name)


def group_runs(jobs: Sequence[Job], level: Level | None) -> list[RunGroup]:
    """Which runs belong together.

    A single run is a group too where a matrix of the group has another name than the run's own:
    whoever looks for one matrix per participant finds it for those of one run as well.

    Parameters
    ----------
    jobs : sequence of Job
    level : {"session", "participant"} or None
        Whose runs; a dataset without sessions has those of its participants. None for no groups.

    Raises
    ------
    UsageError
        When the matrices of a group would be written over those of one of its runs.
    """
    if level is None:
        return []
    dropped = dict.fromkeys(_DROPPED[level])
    members: dict[Name, list[Job]] = defaultdict(list)
    for job in jobs:
        members[job.run.name.with_("relmat", ".tsv", **dropped)].append(job)
    groups = [RunGroup(name, tuple(runs)) for name, runs in members.items()]
    return [group for group in groups if not _is_its_run(group, level)]


def _is_its_run(group: RunGroup, level: Level) -> bool:
    """Whether a group is one run of the same name; an error when it is one of several."""
    same = [job for job in group.jobs if job.run.name.with_("relmat", ".tsv") == group.name]
    if same and len(group.jobs) > 1:
        keys = " or ".join(f"{key}-" for key in _DROPPED[level])
        raise UsageError(
            f"--concatenate {level}: the name of {same[0].images[0].bold} has no {keys}, so that "
            f"its own matrices would have the names of those of {len(group.jobs)} runs together.",
            hint="Give it a run label, or select the other runs, e.g. with --run.",
        )
    return bool(same)


def concatenate_runs(
    groups: Sequence[RunGroup], unfinished: Collection[tuple[str, str]]
) -> Iterator[str]:
    """Write the matrices of groups of runs, one group after the other.

    To be called when the jobs of the runs are done, whatever call did them.

    Parameters
    ----------
    groups : sequence of RunGroup
    unfinished : collection of (str, str)
        Jobs and strategies, by their names, that failed or were not tried: what an earlier call
        wrote for them does not count.

    Yields
    ------
    str
        What a user should know: which runs are missing.

    Raises
    ------
    OutputError
        When a matrix can't be written.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - loads with numpy

    for group in groups:
        # Sums come out the same to the last bit only for the same number of BLAS threads.
        with threadpool_limits(1):
            warnings = dict.fromkeys(_write_group(group, unfinished))
        yield from (f"{group}: {warning}" for warning in warnings)


@dataclass(frozen=True, eq=False)
class RunSeries:
    """Cleaned series of one run, as its job wrote them.

    Parameters
    ----------
    job : Job
    uri : str
        BIDS URI of their table.
    values : (T', S) array
        Kept volumes; NaN for spheres that are missing.
    facts : mapping
        Their sidecar.
    """

    job: Job
    uri: str
    values: FloatArray
    facts: Mapping[str, Any]

    @property
    def exclusion(self) -> str | None:
        """Why the run tells nothing, if so."""
        if self.facts.get("Excluded"):
            return str(self.facts["Excluded"])
        return None if np.isfinite(self.values).any() else "no sphere has a series"


def series_of_run(job: Job, seeds: SeedTable, strategy: Strategy) -> RunSeries:
    """Read the series of a run, and what their sidecar says.

    Rows of a table of full length that stand for censored volumes are left out.

    Parameters
    ----------
    job : Job
    seeds : SeedTable
    strategy : Strategy

    Raises
    ------
    MissingInputError, ReadWriteError
        When they are not there, or can't be read.
    DataError
        When they are no numbers, or those of other seeds.
    """
    path = job.paths.series(seeds, strategy.name)
    series, facts = read_series(path), read_sidecar(sidecar_path(path))
    if series.names != seeds.names or not facts.keys() >= _NEEDED:
        raise DataError(f"{path} and its sidecar are not those of {seeds.label} and of this call.")
    values = series.values[np.isfinite(series.values).any(axis=1)]
    return RunSeries(job, job.paths.uri(path), values, facts)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Series of the runs of a group, and the runs of which there are none, and why."""

    seeds: SeedTable
    strategy: Strategy
    used: list[RunSeries]
    excluded: list[RunSeries]
    missing: list[tuple[Job, str]]

    @property
    def read(self) -> list[RunSeries]:
        """Runs that tell what was done: those that are used, or else all there are."""
        return self.used or self.excluded

    def uri(self, job: Job) -> str:
        """BIDS URI of the series of a run."""
        return job.paths.uri(job.paths.series(self.seeds, self.strategy.name))

    def together(self) -> FloatArray:
        """Standardized series, one run after the other; of no volumes when all are excluded."""
        if not self.used:
            return np.empty((0, len(self.seeds)))
        return concatenate([run.values for run in self.used])


def _write_group(group: RunGroup, unfinished: Collection[tuple[str, str]]) -> Iterator[str]:
    work = group.jobs[0].work
    strategies = [strategy.name for strategy in work.strategies]
    if {(str(job), name) for job in group.jobs for name in strategies} <= set(unfinished):
        yield "none of its runs is done, and no matrix of them is written."
        return
    for strategy in work.strategies:
        for seeds in work.seed_sets:
            parts = _parts(group, seeds, strategy, unfinished)
            yield from (f"made without {job}: {why}" for job, why in parts.missing)
            yield from _left_behind(group, parts)
            if parts.read:
                _write_matrices(group, parts)
            else:
                yield f"no run is left for {strategy.name}, and no matrix of all is written."


def _parts(
    group: RunGroup, seeds: SeedTable, strategy: Strategy, unfinished: Collection[tuple[str, str]]
) -> _Parts:
    parts = _Parts(seeds, strategy, used=[], excluded=[], missing=[])
    for job in group.jobs:
        try:
            run = _read_if_done(job, seeds, strategy, unfinished)
        except BidsSpheresError as error:
            parts.missing.append((job, error.message))
        else:
            (parts.excluded if run.exclusion else parts.used).append(run)
    return parts


def _read_if_done(
    job: Job, seeds: SeedTable, strategy: Strategy, unfinished: Collection[tuple[str, str]]
) -> RunSeries:
    if (str(job), strategy.name) in unfinished:
        raise MissingInputError("It failed, or was not tried.")
    return series_of_run(job, seeds, strategy)


def _left_behind(group: RunGroup, parts: _Parts) -> Iterator[str]:
    """Runs of an earlier matrix in this place that the call at hand does not know of."""
    stat = measure(group.jobs[0].work.processing.connectivity[0]).stat
    path = group.paths.matrix(parts.seeds, parts.strategy.name, stat, ".json")
    try:
        before = sources(read_sidecar(path, optional=True))
    except BidsSpheresError:
        return  # what was there can't be read, and is written anew
    known = {parts.uri(job) for job in group.jobs}
    if unknown := [uri for uri in before if uri not in known]:
        yield f"an earlier call had {', '.join(unknown)} in it, which this one does not select."


def _write_matrices(group: RunGroup, parts: _Parts) -> None:
    together, common = parts.together(), _facts(parts)
    job = group.jobs[0]
    for name in job.work.processing.connectivity:
        chosen = measure(name)
        facts = {**matrix_facts(job, parts.seeds, chosen), **common}
        if chosen.shrinkage and parts.used:
            facts["Shrinkage"] = chosen.shrinkage(together)
        path = group.paths.matrix(parts.seeds, parts.strategy.name, chosen.stat)
        write_matrix(path, parts.seeds.names, chosen.function(together), facts)


def _facts(parts: _Parts) -> dict[str, Any]:
    """What the sidecar of a matrix of several runs says of them."""
    read, used = parts.read, parts.used
    first = read[0].facts
    agreed = [key for key in _SHARED if key in first]
    agreed = [key for key in agreed if all(run.facts.get(key) == first[key] for run in read)]
    nodes = [run.job.paths.uri(run.job.paths.spheres(parts.seeds)) for run in read]
    return {
        "Sources": [run.uri for run in used],
        **{key: first[key] for key in agreed},
        "Concatenation": _HOW,
        "NumberOfRuns": len(used),
        "ExcludedRuns": {run.uri: run.exclusion for run in parts.excluded},
        "MissingRuns": {parts.uri(job): why for job, why in parts.missing},
        "NodesMissingInSomeRuns": _missing_in_some(used, parts.seeds.names),
        **{key: sum(run.facts[key] for run in used) for key in _SUMMED},
        "CensoredVolumes": _summed_counts([run.facts.get("CensoredVolumes") for run in used]),
        "DegreesOfFreedom": degrees_of_freedom(used),
        "MeanFramewiseDisplacement": _mean_displacement(used, "MeanFramewiseDisplacement"),
        "MeanFramewiseDisplacementRecomputed": _mean_displacement(
            used, "MeanFramewiseDisplacementRecomputed"
        ),
        "NodeFiles": nodes,
    }


def _missing_in_some(used: Sequence[RunSeries], names: Sequence[str]) -> list[str]:
    """Spheres that are n/a because of some of the runs, and not of all."""
    if not used:
        return []
    defined = np.array([defined_series(run.values) for run in used]).sum(axis=0)
    return [name for name, runs in zip(names, defined, strict=True) if 0 < runs < len(used)]


def _summed_counts(counts: Sequence[Mapping[str, int] | None]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one or {})
    return dict(total)


def degrees_of_freedom(used: Sequence[RunSeries]) -> float:
    """1 / var(r) of independent white series in all runs together.

    Their correlation is the mean of those of the runs, weighted by w = T' - 1 because each run has
    variance 1. With v degrees of freedom in a run, its variance is 1 / v, and that of the mean is
    sum(w^2 / v) / sum(w)^2. That is the sum over runs where w is in proportion to v, and else
    less.

    Parameters
    ----------
    used : sequence of RunSeries

    Returns
    -------
    float
        0 without a run.
    """
    if not used:
        return 0
    weights = np.array([len(run.values) - 1 for run in used])
    left = np.array([run.facts["DegreesOfFreedom"] for run in used])
    return float(weights.sum() ** 2 / np.sum(weights**2 / left))


def _mean_displacement(used: Sequence[RunSeries], key: str) -> float | None:
    """Mean over all volumes of the runs, censored ones too, mm; None when one has none."""
    means = [run.facts.get(key) for run in used]
    if not used or None in means:
        return None
    volumes = [run.facts["VolumesWithFramewiseDisplacement"] for run in used]
    return float(np.average(np.array(means, dtype=np.float64), weights=volumes))
