"""Which outputs are up to date, so that a call does only what is missing or stale.

Files of one run that depend on the same inputs and settings form a `Group`: the spheres of a seed
set, the design of a strategy, the series of a seed set after a strategy, and each kind of matrix or
map made of these. When a job has written everything, its groups are put on record under
``logs/done``, in one file for every run and space and one for the designs, which all spaces share.
A group is up to date when its record has what would be put there now, and its files exist.

Before files are made again, their groups are taken off the record. So a process can be killed at
any moment, and what it had not finished is made again. Of two calls that work on the same run in
the same millisecond one may lose its record; then its work is done again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any, TypedDict

from bids_spheres import __version__
from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.files.atomic import check_folders, remove, write_json
from bids_spheres.files.names import Name
from bids_spheres.files.regular import open_regular
from bids_spheres.files.text import read_json_object
from bids_spheres.inputs.matching import anatomical_mask, tissue_images
from bids_spheres.outputs.logs import done_folder
from bids_spheres.outputs.sidecars import bids_uri
from bids_spheres.participant.plan import PLACEMENTS, Job
from bids_spheres.participant.series import chosen_seeds
from bids_spheres.participant.sphere_sets import lesions_of
from bids_spheres.settings.table import MASKS, Processing, settings_that_affect
from bids_spheres.spaces.fmriprep import transform_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.settings.option import Output

NEW = "not finished yet"
OTHER_VERSION = "made by another version"
OTHER_SETTINGS = "made with other settings"
OTHER_INPUTS = "made of inputs that have changed"
FILES_GONE = "with outputs that are gone or changed"
ASKED_FOR = "made again because that was asked for"

_EXCLUSIONS = "exclusions.tsv"
_THREADS = 8  # look-ups at the same time: each mostly waits for the file system


class Stamp(TypedDict):
    """Version of this package and digests of all on which the content of files depends.

    `Inputs` are names, sizes and times of last change of input files; `Contents` is what is in
    them, if wanted: then sizes and times don't count.
    """

    Version: str
    Settings: str
    Inputs: str
    Contents: str | None


class Entry(Stamp):
    """What a record says of a group: its stamp, and sizes of files from the output folder."""

    Files: dict[str, int | None]


@dataclass(frozen=True, eq=False)
class Group:
    """Files of one run that depend on the same inputs and settings.

    `key` is their name in the `record`, and `unit` the table of all that is made again together,
    as in `Job.current`: for matrices and maps their series. With `sparse` some of the `files` need
    not exist, as seeds without a series have no map. A `strategy` may exclude the run.
    """

    key: str
    record: Path
    unit: Path
    files: tuple[Path, ...]
    stamp: Stamp
    strategy: str | None = None
    sparse: bool = False

    def staleness(self, entry: object, root: Path) -> str | None:
        """Why it has to be made, from its entry in the record; None when it is up to date."""
        if not isinstance(entry, dict):
            return NEW
        stamp, inputs = dict(self.stamp), "Contents" if self.stamp["Contents"] else "Inputs"
        reasons = {"Version": OTHER_VERSION, "Settings": OTHER_SETTINGS, inputs: OTHER_INPUTS}
        for key, reason in reasons.items():
            if entry.get(key) != stamp[key]:
                return reason
        sizes = entry.get("Files")
        complete = isinstance(sizes, dict) and all(
            _size(root / name) is not None if size is None else _size(root / name) == size
            for name, size in sizes.items()
        )
        return None if complete else FILES_GONE

    def entry(self, root: Path, excluded: Iterable[str]) -> Entry:
        """What the record says when all files are written."""
        sizes = {path.relative_to(root).as_posix(): _size(path) for path in self.files}
        files: dict[str, int | None] = {n: size for n, size in sizes.items() if size is not None}
        if self.strategy in set(excluded):
            files[_EXCLUSIONS] = None  # of all runs, so of any size
        return {**self.stamp, "Files": files}


@dataclass(frozen=True)
class Task:
    """A job with what is `current`, the groups to be made, and the `reason` to do it, if any."""

    job: Job
    groups: tuple[Group, ...] = ()
    reason: str | None = None

    def __str__(self) -> str:
        return str(self.job)

    @property
    def folders(self) -> set[Path]:
        """Folders in which the job or its record writes."""
        root, name = self.job.work.output_dir, self.job.run.name
        return {root / name.folder, _record_folder(root, name)}

    def begin(self) -> None:
        """Remove pending outputs from the record, and files that may not be rewritten."""
        check_folders(self.job.work.output_dir, self.folders)
        for record, groups in self._by_record().items():
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
        """Put on record what is written now; return the names of the files from the output folder.

        The table of exclusions is a file of the groups of `excluded` strategies. Units in
        `unwritten`, of a strategy that failed, are left to the next call.
        """
        root, names = self.job.work.output_dir, set[str]()
        for record, groups in self._by_record().items():
            written = {
                key: group.entry(root, excluded)
                for key, group in groups.items()
                if group.unit not in unwritten
            }
            if written:
                write_json(record, dict(sorted((_read(record) | written).items())))
            names.update(name for entry in written.values() for name in entry["Files"])
        return tuple(sorted(names))

    def _by_record(self) -> dict[Path, dict[str, Group]]:
        records: dict[Path, dict[str, Group]] = defaultdict(dict)
        for group in self.groups:
            records[group.record][group.key] = group
        return records


def find_tasks(
    jobs: Sequence[Job], *, overwrite: bool = False, hash_inputs: bool = False, nprocs: int = 1
) -> list[Task]:
    """Find which outputs of every job of a call are missing or out of date; a task for every job.

    With `overwrite` all are. With `hash_inputs` the contents of input files are compared, in
    `nprocs` threads, instead of sizes and times. Input files are looked at now, before any is
    read: the next call notices one that changes while its run is at work.
    """
    groups_of_jobs = _Groups(hash_inputs=hash_inputs)

    def task(job: Job) -> Task:
        groups = list(groups_of_jobs.of(job))
        root, records = job.work.output_dir, cache(_read)
        reasons: dict[Group, str | None] = dict.fromkeys(groups, ASKED_FOR)
        if not overwrite:
            reasons = {g: g.staleness(records(g.record).get(g.key), root) for g in groups}
        stale = {group.unit for group, reason in reasons.items() if reason}
        current = frozenset(group.unit for group in groups if group.unit not in stale)
        # When one file of a unit is missing, all of them are written.
        todo = tuple(group for group in groups if group.unit in stale)
        incomplete = NEW if job.without_image else None
        reason = next((reason for reason in reasons.values() if reason), incomplete)
        return Task(replace(job, current=current), todo, reason)

    with ThreadPoolExecutor(nprocs if hash_inputs else _THREADS) as threads:
        return list(threads.map(task, jobs))


def last_finished(output_dir: Path, participant: str) -> int:
    """When the last run of a participant, by its label, was finished: ns since 1970, or 0."""
    records = (done_folder(output_dir) / f"sub-{participant}").rglob("*.json")
    return max((state[1] for state in map(_state, records) if state), default=0)


class _Groups:
    """Groups of the files of jobs; settings and input files are looked up once for all jobs."""

    def __init__(self, *, hash_inputs: bool) -> None:
        self._transforms = cache(transform_files)
        self._tissues, self._lesions = cache(tissue_images), cache(lesions_of)
        self._of_seeds, self._of_strategy = cache(_digest_of_seeds), cache(_digest_of_strategy)
        self._of_rules, self._state = cache(_digest_of_rules), cache(_state)
        self._timing, self._hash = cache(_timing), cache(_hash) if hash_inputs else None

    def of(self, job: Job) -> Iterator[Group]:
        """Everything that a job can be asked to make, spheres first."""
        paths, name = job.paths, job.run.name
        folder = _record_folder(job.work.output_dir, name)
        record = folder / str(Name(name.entities, "outputs", ".json"))
        # The same for every space and resolution of a run.
        record_of_designs = folder / str(Name(name.source, "designs", ".json"))
        # In the space of the run, where that is known before its transforms are read.
        seed_sets = [placement.table for placement in job.placements] or list(job.work.seed_sets)
        for seeds in seed_sets if job.images else ():
            files = [paths.spheres(seeds, end) for end in (".tsv", ".json", ".nii.gz")]
            files += [paths.uncleaned(seeds, end) for end in (".tsv.gz", ".json")]
            inputs = self._images(job, job.images[0].bold, seeds)
            stamp = self._stamp(job, "spheres", [self._of_seeds(seeds)], inputs)
            yield Group(files[0].stem, record, files[0], tuple(files), stamp)
        for strategy, bold in [(each, own.bold) for own in job.images for each in own.strategies]:
            makers, ends = (paths.design, paths.outliers), (".tsv", ".json")
            files = [make(strategy.name, end) for make in makers for end in ends]
            digest = self._of_strategy(strategy)
            timing = self._timing(job.run.sidecar(bold))
            stamp = self._stamp(job, "design", [digest], _tables(job, strategy), timing)
            yield Group(files[0].stem, record_of_designs, files[0], tuple(files), stamp)
            for seeds in seed_sets:
                yield from self._of_series(job, record, bold, strategy, seeds)

    def _of_series(
        self, job: Job, record: Path, bold: Path, strategy: Strategy, seeds: SeedTable
    ) -> Iterator[Group]:
        """Groups of the series, and of each thing that is made of them."""
        settings = [self._of_seeds(seeds), self._of_strategy(strategy)]
        inputs = [*self._images(job, bold, seeds), *_tables(job, strategy)]
        rules, name = job.work.processing, strategy.name
        stamp = self._stamp(job, "series", settings, inputs)
        jittered = self._stamp(job, "series", [*settings, rules.placement_jitter or ""], inputs)
        shifted = {job.paths.matrix(seeds, name, stat) for stat in PLACEMENTS}
        series, *others = job.tables(seeds, name)
        for table in (series, *others):
            both, own = (table, table.with_suffix(".json")), jittered if table in shifted else stamp
            yield Group(table.stem, record, series, both, own, name)
        if rules.seed_maps:
            labels = chosen_seeds(seeds, rules.seed_maps).values()
            ends = (".nii.gz", ".json")
            files = tuple(job.paths.seed_map(seeds, x, name, end) for end in ends for x in labels)
            stamp = self._stamp(job, "series", [*settings, *sorted(rules.seed_maps)], inputs)
            yield Group(f"{series.stem}_boldmaps", record, series, files, stamp, name, sparse=True)

    def _images(self, job: Job, bold: Path, seeds: SeedTable) -> list[Path]:
        """The image with its JSON file, its mask, and the transforms of seeds."""
        own = [placement.transforms for placement in job.placements if placement.table is seeds]
        if not job.placements:
            # Which of them the run will use is known only when it does.
            own = [self._transforms(root, job.run.participant) for _, root in job.work.links]
        masks = [job.mask] if job.mask else []
        masks += [path for path, _ in self._tissues(bold.parent, job.run.space).values()]
        masks += self._lesions(job.run, job.work.processing.exclude_mask)
        return [bold, job.run.sidecar(bold), *masks, *(path for paths in own for path in paths)]

    def _stamp(
        self,
        job: Job,
        output: Output,
        settings: list[str],
        inputs: Iterable[Path],
        timing: str | None = None,
    ) -> Stamp:
        """Stamp of files that depend on settings, by their digests, and on input files."""
        # Names stay when a dataset is moved, or mounted elsewhere in a container.
        uris = {path: bids_uri(path, job.work.links) for path in inputs}
        names = {u if u.startswith("bids:") else path.name: path for path, u in uris.items()}
        hash_of = self._hash
        return Stamp(
            Version=__version__,
            Settings=_digest([*settings, self._of_rules(job.work.processing, output)]),
            Inputs=_digest([timing, {name: self._state(path) for name, path in names.items()}]),
            Contents=_digest([timing, {n: hash_of(path) for n, path in names.items()}])
            if hash_of
            else None,
        )


def _tables(job: Job, strategy: Strategy) -> list[Path]:
    """Tables and masks that a design may be made of."""
    tables = job.run.tables
    own = [path for _, path in tables.own] if strategy.confounds else []
    others = [tables.metadata, job.outliers]
    if strategy.needs_brain_mask:
        others.append(anatomical_mask(job.images[0].bold))
    if strategy.task:
        others.append(tables.events)
    return [*tables.paths, *own, *(path for path in others if path)]


def _timing(sidecar: Path) -> str | None:
    """Times of volumes in the JSON file of an image, which images in all spaces have in common."""
    try:
        content = read_json_object(sidecar, optional=True)
    except BidsSpheresError:
        return None  # the run will fail
    return json.dumps([content.get(key) for key in ("RepetitionTime", "StartTime")])


def _record_folder(output_dir: Path, run: Name) -> Path:
    return done_folder(output_dir) / run.folder.parent


def _digest_of_seeds(seeds: SeedTable) -> str:
    return _digest(
        {
            "names": seeds.names,
            "coordinates": seeds.coordinates.tolist(),
            "radii": seeds.radii.tolist(),
            "networks": seeds.networks,
            "space": seeds.space,
            # Where coordinates are used as they are, sidecars still name it.
            "declared_space": seeds.metadata.get("Space"),
            **({} if seeds.regions is None else {"regions": seeds.regions.state}),
        }
    )


def _digest_of_strategy(strategy: Strategy) -> str:
    # A better description does not make numbers stale.
    words = ("description", "source")
    return _digest({key: value for key, value in asdict(strategy).items() if key not in words})


def _digest_of_rules(rules: Processing, output: Output) -> str:
    values = {name: getattr(rules, name) for name in settings_that_affect(output)}
    # A mask of the user's own is one of the inputs; where it lies does not matter.
    named = rules.mask in MASKS
    return _digest(values | ({"mask": rules.mask if named else "path"} if "mask" in values else {}))


def _digest(content: object) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of last change, ns; None for a missing file."""
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
    """Entries of a record; none when it is missing or broken."""
    try:
        with open_regular(record) as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
