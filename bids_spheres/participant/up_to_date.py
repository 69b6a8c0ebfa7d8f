"""Which outputs are up to date, so that a call does only what is missing or stale.

Files of one run that hang on the same things form a `Group`: the spheres of a seed set, the design
of a strategy, the series of a seed set after a strategy, and each kind of matrix or map made of
these. When everything that a job had to write is written, and not before, its groups are put on
record under ``logs/done``, in one file for every run and space and one for the designs, which all
spaces of a run share. The record of a group tells the version of this package, digests of the
settings and of the input files on which the group hangs, and the sizes of its files. It is up to
date when its record says what would be put there now and its files are there.

Before files are made again, their groups are taken off the record. So a process can be killed at
any moment, and what it had not finished is made again, whichever settings come next. Of two calls
that work on the same run in the same millisecond one may lose its record; then its work is done
again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

from bids_spheres import __version__
from bids_spheres.engine.connectivity import measure
from bids_spheres.errors import DataError
from bids_spheres.files.atomic import check_folders, remove, write_json
from bids_spheres.files.names import Name
from bids_spheres.files.regular import open_regular
from bids_spheres.inputs.runs import anatomical_mask
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.sidecars import input_uri
from bids_spheres.participant.seed_maps import seed_labels
from bids_spheres.settings import MASKS, settings_that_affect
from bids_spheres.spaces import transform_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.confounds import Strategy
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.participant.plan import Job, JobImage
    from bids_spheres.settings import Processing
    from bids_spheres.settings.option import Output

NEW = "not finished yet"
OTHER_VERSION = "made by another version"
OTHER_SETTINGS = "made with other settings"
OTHER_INPUTS = "made of inputs that have changed"
FILES_GONE = "with outputs that are gone or changed"
ASKED_FOR = "made again because that was asked for"

_EXCLUSIONS = "exclusions.tsv"
_THREADS = 8
"""Look-ups at the same time: each mostly waits for the file system."""


@dataclass(frozen=True)
class Stamp:
    """On what the content of a group hangs.

    Parameters
    ----------
    version : str
        Of this package.
    settings : str
        Digest of the settings that change what is in the files, as values.
    inputs : str
        Digest of the names, sizes and times of last change of the input files.
    contents : str or None
        Digest of what is in them, where that was asked for; then sizes and times don't count.
    """

    version: str
    settings: str
    inputs: str
    contents: str | None = None

    def difference(self, entry: Mapping[str, Any]) -> str | None:
        """What is different in a record; None when nothing is."""
        if entry.get("Version") != self.version:
            return OTHER_VERSION
        if entry.get("Settings") != self.settings:
            return OTHER_SETTINGS
        key, now = ("Contents", self.contents) if self.contents else ("Inputs", self.inputs)
        return None if entry.get(key) == now else OTHER_INPUTS

    def to_json(self) -> dict[str, Any]:
        """As it stands in a record."""
        return {
            "Version": self.version,
            "Settings": self.settings,
            "Inputs": self.inputs,
            "Contents": self.contents,
        }


@dataclass(frozen=True)
class Group:
    """Files of one run that hang on the same things.

    Parameters
    ----------
    key : str
        Name in the record.
    record : Path
        File of the record.
    unit : Path
        What a job makes or leaves as a whole, by its table: see `Job.current`. Matrices and maps
        belong to the unit of their series.
    files : tuple of Path
        All that there can be.
    stamp : Stamp
    strategy : str or None
        Strategy that may exclude the run, so that the group is ``n/a``.
    sparse : bool
        Whether some of the files need not be: seeds without a series have no map.
    """

    key: str
    record: Path
    unit: Path
    files: tuple[Path, ...]
    stamp: Stamp
    strategy: str | None = None
    sparse: bool = False

    def staleness(self, entry: Any, root: Path) -> str | None:
        """Why it has to be made, from its entry in the record; None when it is up to date."""
        if not isinstance(entry, dict):
            return NEW
        sizes = entry.get("Files")
        there = isinstance(sizes, dict) and all(
            _size(root / name) is not None if size is None else _size(root / name) == size
            for name, size in sizes.items()
        )
        return self.stamp.difference(entry) or (None if there else FILES_GONE)

    def entry(self, root: Path, excluded: Iterable[str]) -> dict[str, Any]:
        """What the record says when all files are written."""
        sizes = {path.relative_to(root).as_posix(): _size(path) for path in self.files}
        files: dict[str, int | None] = {n: size for n, size in sizes.items() if size is not None}
        if self.strategy in set(excluded):
            files[_EXCLUSIONS] = None  # of all runs, so of any size
        return {**self.stamp.to_json(), "Files": files}


@dataclass(frozen=True)
class Task:
    """A job, and which of its outputs are missing or out of date.

    Parameters
    ----------
    job : Job
        With what is `current`.
    groups : tuple of Group
        To be made; empty when all is up to date.
    reason : str or None
        Why the first of them has to be. A run that has no image for a strategy has a reason
        without any: it is not finished.
    """

    job: Job
    groups: tuple[Group, ...] = ()
    reason: str | None = None

    def __str__(self) -> str:
        return str(self.job)

    @property
    def folders(self) -> set[Path]:
        """Folders in which the job or its record writes."""
        return {self.job.work.output_dir / self.job.run.name.folder, _record_folder(self.job)}

    def begin(self) -> None:
        """Take what will be made off the record, and remove what may not be written again.

        Raises
        ------
        OutputError
            When the record can't be changed, a file not be removed, or a folder leads elsewhere.
        """
        check_folders(self.job.work.output_dir, self.folders)
        for record, groups in self._by_record():
            known = _read(record)
            left = {key: entry for key, entry in known.items() if key not in groups}
            if left and left != known:
                write_json(record, left)
            elif not left:
                remove(record)
        for group in self.groups:
            for path in group.files if group.sparse else ():
                remove(path)

    def finish(self, excluded: Iterable[str], unwritten: Collection[Path] = ()) -> tuple[str, ...]:
        """Put on record what was made; to be called when all of it is written.

        Parameters
        ----------
        excluded : iterable of str
            Names of the strategies that exclude the run. The table that says so counts as one of
            the files of their groups.
        unwritten : collection of Path
            Units that were not made, because a strategy failed; the next call tries them again.

        Returns
        -------
        tuple of str
            Names of the files, from the output folder.

        Raises
        ------
        OutputError
            When the record can't be written.
        """
        root, names = self.job.work.output_dir, set[str]()
        for record, groups in self._by_record():
            made = {
                key: group.entry(root, excluded)
                for key, group in groups.items()
                if group.unit not in unwritten
            }
            if made:
                write_json(record, dict(sorted((_read(record) | made).items())))
            names.update(name for entry in made.values() for name in entry["Files"])
        return tuple(sorted(names))

    def _by_record(self) -> Iterable[tuple[Path, dict[str, Group]]]:
        records: dict[Path, dict[str, Group]] = defaultdict(dict)
        for group in self.groups:
            records[group.record][group.key] = group
        return records.items()


def find_tasks(
    jobs: Sequence[Job],
    *,
    overwrite: bool = False,
    hash_inputs: bool = False,
    nprocs: int = 1,
) -> list[Task]:
    """Find which outputs of every job are missing or out of date.

    Input files are looked at now, before any is read: one that changes while its run is at work
    is noticed by the next call.

    Parameters
    ----------
    jobs : sequence of Job
        Of one call.
    overwrite : bool
        Take everything as out of date.
    hash_inputs : bool
        Compare what is in input files, which takes as long as reading them, instead of sizes and
        times of last change. What was made without this counts as stale.
    nprocs : int
        Threads that read contents.

    Returns
    -------
    list of Task
        One for every job.
    """
    stamps = _Stamps(hash_inputs=hash_inputs)
    with ThreadPoolExecutor(nprocs if hash_inputs else _THREADS) as threads:
        return list(threads.map(lambda job: _task(job, stamps, overwrite=overwrite), jobs))


def last_finished(output_dir: Path, participant: str) -> int:
    """When the last run of a participant was finished, ns since 1970; 0 when none is.

    Parameters
    ----------
    output_dir : Path
    participant : str
        Label, without ``sub-``.
    """
    records = (output_dir / "logs" / "done" / f"sub-{participant}").rglob("*.json")
    return max((state[1] for state in map(_state, records) if state), default=0)


def _task(job: Job, stamps: _Stamps, *, overwrite: bool) -> Task:
    groups, root, records = list(_groups(job, stamps)), job.work.output_dir, cache(_read)
    reasons = {
        group: ASKED_FOR
        if overwrite
        else group.staleness(records(group.record).get(group.key), root)
        for group in groups
    }
    stale = {group.unit: reason for group, reason in reversed(reasons.items()) if reason}
    current = frozenset(group.unit for group in groups if group.unit not in stale)
    # Of a unit of which one file is missing all are written.
    todo = tuple(group for group in groups if group.unit in stale)
    incomplete = NEW if job.without_image else None
    reason = next((reason for reason in reasons.values() if reason), incomplete)
    return Task(replace(job, current=current), todo, reason)


def _groups(job: Job, stamps: _Stamps) -> Iterator[Group]:
    """Everything that a job can be asked to make, spheres first."""
    tables = _seed_tables(job)
    for seeds in tables if job.images else ():
        yield _spheres_group(job, seeds, stamps.spheres(job, seeds))
    for image in job.images:
        for strategy in image.strategies:
            yield _design_group(job, strategy, stamps.design(job, strategy))
            for seeds in tables:
                stamp = stamps.series(job, image, strategy, seeds)
                yield from _series_groups(job, seeds, strategy, stamp)


def _spheres_group(job: Job, seeds: SeedTable, stamp: Stamp) -> Group:
    paths = job.paths
    table, *others = (paths.spheres(seeds, end) for end in (".tsv", ".json", ".nii.gz"))
    series = (paths.uncleaned(seeds, extension) for extension in (".tsv.gz", ".json"))
    return Group(table.stem, _record(job), table, (table, *others, *series), stamp)


def _design_group(job: Job, strategy: Strategy, stamp: Stamp) -> Group:
    table, *others = (
        path_of(strategy.name, extension)
        for path_of in (job.paths.design, job.paths.outliers)
        for extension in (".tsv", ".json")
    )
    # The same for every space and resolution of a run.
    record = _record_folder(job) / str(Name(job.run.name.source, "designs", ".json"))
    return Group(table.stem, record, table, (table, *others), stamp)


def _series_groups(job: Job, seeds: SeedTable, strategy: Strategy, stamp: Stamp) -> Iterator[Group]:
    """Of the series, and of each thing that is made of them."""
    rules, paths = job.work.processing, job.paths
    series = paths.series(seeds, strategy.name)
    stats = [measure(name).stat for name in rules.connectivity]
    stats += [EFFECTIVE_DOF] * rules.effective_dof
    for table in (series, *(paths.matrix(seeds, strategy.name, stat) for stat in stats)):
        both = (table, table.with_suffix(".json"))
        yield Group(table.stem, _record(job), series, both, stamp, strategy.name)
    if rules.seed_maps:
        files = tuple(
            paths.seed_map(seeds, label, strategy.name, extension)
            for extension in (".nii.gz", ".json")
            for label in seed_labels(seeds)
        )
        key = f"{series.stem}_boldmaps"
        yield Group(key, _record(job), series, files, stamp, strategy.name, sparse=True)


def _record(job: Job) -> Path:
    return _record_folder(job) / str(Name(job.run.name.entities, "outputs", ".json"))


def _record_folder(job: Job) -> Path:
    return job.work.output_dir / "logs" / "done" / job.run.name.folder.parent


def _seed_tables(job: Job) -> Sequence[SeedTable]:
    """Seed sets, in the space of the run where that is known before its transforms are read."""
    return [placement.table for placement in job.placements] or job.work.seed_sets


class _Stamps:
    """Stamps of groups; what several groups share is looked up once.

    Parameters
    ----------
    hash_inputs : bool
        Compare the content of input files as well.
    """

    def __init__(self, *, hash_inputs: bool) -> None:
        self._name = cache(_input_name)
        self._state = cache(_state)
        self._hash = cache(_hash) if hash_inputs else None
        self._transforms = cache(transform_files)
        self._of_seeds = cache(lambda seeds: _digest(_seeds_values(seeds)))
        self._of_strategy = cache(lambda strategy: _digest(_strategy_values(strategy)))
        self._of_rules = cache(lambda rules, kind: _digest(_rule_values(rules, kind)))

    def spheres(self, job: Job, seeds: SeedTable) -> Stamp:
        """Of spheres: which voxels of which image."""
        settings = [self._of_seeds(seeds), self._of_rules(job.work.processing, "spheres")]
        return self._stamp(job, settings, self._images(job, job.images[0], seeds))

    def design(self, job: Job, strategy: Strategy) -> Stamp:
        """Of a design, for all spaces of a run: no image."""
        settings = [self._of_strategy(strategy), self._of_rules(job.work.processing, "design")]
        return self._stamp(job, settings, _tables(job, strategy))

    def series(self, job: Job, image: JobImage, strategy: Strategy, seeds: SeedTable) -> Stamp:
        """Of series and of what is made of them."""
        rules = self._of_rules(job.work.processing, "series")
        settings = [self._of_seeds(seeds), self._of_strategy(strategy), rules]
        inputs = [
            *self._images(job, image, seeds),
            job.run.sidecar(image.bold),
            *_tables(job, strategy),
        ]
        return self._stamp(job, settings, inputs)

    def _images(self, job: Job, image: JobImage, seeds: SeedTable) -> list[Path]:
        own = [placement.transforms for placement in job.placements if placement.table is seeds]
        if not job.placements:
            # Which of them the run will use is known only when it does.
            participant = job.run.name.get("sub") or ""
            own = [self._transforms(root, participant) for _, root in job.work.links]
        masks = [job.mask] if job.mask else []
        return [image.bold, *masks, *(path for paths in own for path in paths)]

    def _stamp(self, job: Job, settings: list[str], inputs: Sequence[Path]) -> Stamp:
        names = {self._name(path, job.work.links): path for path in inputs}
        return Stamp(
            __version__,
            _digest(settings),
            _digest({name: self._state(path) for name, path in names.items()}),
            _digest({name: self._hash(path) for name, path in names.items()})
            if self._hash
            else None,
        )


def _tables(job: Job, strategy: Strategy) -> list[Path]:
    tables = job.run.tables
    own = [path for _, path in tables.own] if strategy.confounds else []
    others = [tables.metadata, job.outliers]
    if strategy.head_motion and strategy.head_motion.head_radius == "auto" and job.images:
        others.append(anatomical_mask(job.images[0].bold))
    return [*tables.paths, *own, *(path for path in others if path)]


def _input_name(path: Path, links: tuple[tuple[str, Path], ...]) -> str:
    """Name of an input that stays when its dataset is moved, or seen from within a container."""
    uri = input_uri(path, links)
    return uri if uri.startswith("bids:") else path.name


def _seeds_values(seeds: SeedTable) -> dict[str, Any]:
    return {
        "names": seeds.names,
        "coordinates": seeds.coordinates.tolist(),
        "radii": seeds.radii.tolist(),
        "networks": seeds.networks,
        "space": seeds.space,
        # Where coordinates are used as they are, sidecars still name it.
        "declared_space": seeds.metadata.get("Space"),
    }


def _strategy_values(strategy: Strategy) -> dict[str, Any]:
    """What a strategy does; a better description does not make its numbers stale."""
    values = asdict(strategy)
    return {key: value for key, value in values.items() if key not in ("description", "source")}


def _rule_values(rules: Processing, kind: Output) -> dict[str, Any]:
    values = {name: getattr(rules, name) for name in settings_that_affect(kind)}
    # A mask of the user's own is one of the inputs; where it lies does not matter.
    named = rules.mask in MASKS
    return values | ({"mask": rules.mask if named else "path"} if "mask" in values else {})


def _digest(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of last change, ns; None for a file that is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _hash(path: Path) -> str | None:
    try:
        with open_regular(path) as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, DataError):
        return None


def _size(path: Path) -> int | None:
    state = _state(path)
    return None if state is None else state[0]


def _read(record: Path) -> dict[str, Any]:
    """Entries of a record; none when it is not there or broken."""
    try:
        with open_regular(record) as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
