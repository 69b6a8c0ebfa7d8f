"""Runs of a group to one vector of edges per participant, one after the other, and to a table.

The table, for machine learning, is compressed TSV with a column per edge, or Parquet, in which the
edges of a participant are one list of fixed length, of which `numpy.stack` makes the matrix of
features. A column per edge would be the more obvious form there too, but 35,000 columns take 18 s
and 11 GB to read back for a thousand participants, and the list 3 s and 1 GB; a writer would also
have to keep notes on every column of every block.
"""

from __future__ import annotations

import tempfile
import weakref
from collections import Counter, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, islice
from operator import attrgetter
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bids_spheres.errors import BidsSpheresError, DataError, OutputError
from bids_spheres.files.atomic import MISSING, gzip_writer, replacing
from bids_spheres.group.options import CONDITION_KEYS
from bids_spheres.outputs.paths import EFFECTIVE_DOF, RELMAT, title
from bids_spheres.outputs.read import read_upper_triangle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.files.names import Name
    from bids_spheres.group.edges import Edges, Scale
    from bids_spheres.group.facts import RunFacts
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.outputs.find import OutputFile

    AddRow = Callable[[str, FloatArray], None]

EXTENSIONS = {"tsv": ".tsv.gz", "parquet": ".parquet"}
"""Extension of the stacked table in each format."""

FEW_DOF = 25
"""Degrees of freedom below which a participant adds more noise to a group than power.

The standard error of Fisher's z is more than 0.2 then.
"""

_READERS, _AHEAD = 2, 4
"""Participants that are read, or wait to be used, at the same time."""

_BLOCK = 32
"""Participants whose rows of Parquet are written together."""

_ID = "participant_id"


class EdgeValues:
    """Rows of E edges, one participant after the other, in a temporary file without a name.

    Statistics read parts of its columns from a memory map, so that memory does not grow with the
    group, and a process that is killed leaves no file behind. `participants` are the labels of the
    rows.
    """

    def __init__(self, n_edges: int) -> None:
        self.participants: list[str] = []
        self._n_edges = n_edges
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the next line
        weakref.finalize(self, self._file.close)

    def add(self, participant: str, values: FloatArray) -> None:
        """Append the edges (E,) of one participant; OutputError when they can't be written."""
        try:
            # Written, and not put into a map: a full disk is an error then, and not a signal.
            self._file.write(np.asarray(values, dtype=np.float64).tobytes())
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"Temporary files can't be written to {tempfile.gettempdir()}: {error.strerror}.",
                hint="--work-dir names another folder; it takes 8 bytes per participant and edge.",
            ) from error
        self.participants.append(participant)

    @property
    def array(self) -> FloatArray:
        """All rows, (N, E): a memory map that can't be written to."""
        shape = len(self.participants), self._n_edges
        if not all(shape):
            return np.empty(shape)
        return np.memmap(self._file, np.float64, "r", shape=shape)

    def rows_of(self, participants: Sequence[str]) -> EdgeValues:
        """Rows of some participants in their order, in a file of their own where they differ."""
        if list(participants) == self.participants:
            return self
        own, array = EdgeValues(self._n_edges), self.array
        numbers = {label: row for row, label in enumerate(self.participants)}
        for label in participants:
            own.add(label, array[numbers[label]])
        return own


@dataclass(frozen=True, slots=True)
class GroupRun:
    """A matrix and what its sidecar says."""

    file: OutputFile
    facts: RunFacts

    def sibling(self, suffix: str, stat: str | None) -> Path:
        """Table of the same run, spheres and strategy."""
        name = self.file.name.with_(suffix, ".tsv", stat=stat, desc=self.file.name.get("desc"))
        return self.file.path.with_name(str(name))


def condition_of(run: GroupRun, within: str) -> str:
    """Label of the session, task or run."""
    return run.file.name.get(CONDITION_KEYS[within]) or MISSING


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant, as ``sub-01``, the runs of one group, and the mean displacement, mm."""

    label: str
    runs: tuple[GroupRun, ...]
    excluded: tuple[GroupRun, ...]
    mean_fd: float

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of all runs with a result together."""
        return sum(run.facts.degrees_of_freedom for run in self.runs)

    def conditions(self, within: str) -> list[str]:
        """Labels of the sessions, tasks or runs with a result, sorted."""
        return sorted({condition_of(run, within) for run in self.runs})

    @property
    def exclusion(self) -> str | None:
        """Why there is no result, when every run is excluded."""
        if self.runs:
            return None
        reasons = dict.fromkeys(str(run.facts.excluded) for run in self.excluded)
        return f"every run is excluded: {'; '.join(reasons)}"


def spaces_of(people: Iterable[Participant]) -> dict[str, int]:
    """Spaces of images, and how many participants have a result in each."""
    own = ({run.file.space for run in person.runs} for person in people)
    return dict(sorted(Counter(chain.from_iterable(own)).items()))


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one task, space, seed set, strategy and measure.

    Distances are those of the nodes of every edge, mm, (E,). `absent` are participants who are
    expected and have no run in it, and why; `failed` those who have a run in it, and files about
    others of theirs that failed.
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
        return [run for person in self.participants for run in (*person.runs, *person.excluded)]

    @property
    def with_result(self) -> list[Participant]:
        """Participants of whom there is at least one run with a result."""
        return [person for person in self.participants if person.runs]


@dataclass(frozen=True, eq=False)
class ParticipantEdges:
    """Edges (E,) of a participant: means over runs, also of conditions, with variances."""

    mean: FloatArray
    variance: FloatArray | None
    conditions: Mapping[str, FloatArray]


def by_participant(
    runs: Iterable[GroupRun], mean_fd: Callable[[str], float]
) -> tuple[Participant, ...]:
    """Runs by participant, in the order in which participants come first."""
    by_label: dict[str, tuple[list[GroupRun], ...]] = defaultdict(lambda: ([], []))
    for run in runs:
        by_label[run.file.participant][run.facts.excluded is not None].append(run)
    return tuple(
        Participant(label, tuple(kept), tuple(excluded), mean_fd(label))
        for label, (kept, excluded) in by_label.items()
    )


def stream(
    group: Group, options: GroupOptions
) -> Iterator[tuple[Participant, ParticipantEdges | BidsSpheresError]]:
    """Edges of every participant with a result on the scale of averages, or why there are none.

    A participant of whom one run can't be read is left out as a whole: what is known of the
    participant, such as head motion, is about all runs. Threads read ahead, by no more than
    `_AHEAD` participants: half of the work waits for the disk or is done by pandas without
    Python's lock.
    """

    def read(participant: Participant) -> ParticipantEdges | BidsSpheresError:
        try:
            return average_edges(participant.runs, group.edges, group.scale, options)
        except BidsSpheresError as error:
            return error

    waiting = iter(group.with_result)
    with ThreadPoolExecutor(_READERS, "reader") as pool:
        ahead = deque((person, pool.submit(read, person)) for person in islice(waiting, _AHEAD))
        try:
            while ahead:
                participant, values = ahead.popleft()
                yield participant, values.result()
                ahead.extend((person, pool.submit(read, person)) for person in islice(waiting, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def average_edges(
    runs: Sequence[GroupRun], edges: Edges, scale: Scale, options: GroupOptions
) -> ParticipantEdges:
    """Means over runs, each counting by one over the variance of Fisher's z.

    These weights make the mean of the least variance. An edge that a run lacks is the mean of the
    others. BidsSpheresError when a matrix can't be used.
    """

    def read(run: GroupRun) -> FloatArray:
        values = read_upper_triangle(run.file.path, edges.names, diagonal=edges.diagonal)
        if not scale.possible(values):
            raise DataError(
                f"{run.file.path} holds a correlation beyond 1.",
                hint="Run the participant level again for this run.",
            )
        return scale.forth(values)

    def variance_of(run: GroupRun) -> FloatArray | float:
        """Of Fisher's z; from effective degrees of freedom, if they were written."""
        path = run.sibling(RELMAT, EFFECTIVE_DOF)
        if not path.is_file():
            return run.facts.variance
        dof = read_upper_triangle(path, edges.names, diagonal=edges.diagonal)
        # Of series with so many independent volumes, as Fisher has it.
        return 1 / np.where(dof > 3, dof - 3, np.nan)

    return average_runs(runs, read, options, variance_of)


def average_runs(
    runs: Sequence[GroupRun],
    read: Callable[[GroupRun], FloatArray],
    options: GroupOptions,
    variance_of: Callable[[GroupRun], FloatArray | float] = attrgetter("facts.variance"),
) -> ParticipantEdges:
    """Means over runs of what is read of each, with what ``--weights`` and ``--within`` need."""
    values = [(run, read(run)) for run in runs]
    mean, total = _weighted_mean(values)
    variance, conditions = None, {}
    if options.weights:
        squares = [
            np.where(np.isfinite(own), run.facts.weight**2 * variance_of(run), 0)
            for run, own in values
        ]
        variance = np.sum(squares, axis=0) / total**2
    if within := options.within:
        for label in dict.fromkeys(condition_of(run, within) for run in runs):
            chosen = [pair for pair in values if condition_of(pair[0], within) == label]
            conditions[label] = _weighted_mean(chosen)[0]
    return ParticipantEdges(mean, variance, conditions)


def _weighted_mean(values: Sequence[tuple[GroupRun, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Mean of the values of runs and sum of their weights; NaN where no run has a value."""
    weights = [run.facts.weight * np.isfinite(own) for run, own in values]
    total = np.sum(weights, axis=0)
    total[total == 0] = np.nan
    weighted = [w * np.nan_to_num(own) for w, (_, own) in zip(weights, values, strict=True)]
    return np.sum(weighted, axis=0) / total, total


@contextmanager
def stacked_table(path: Path, n_edges: int) -> Iterator[AddRow]:
    """Open a table by its extension, to write the edges (E,) of one participant each time."""
    open_table = _parquet if path.suffix == ".parquet" else _compressed_text
    with replacing(path) as file, open_table(file, n_edges) as add:
        yield add


@contextmanager
def _compressed_text(file: BinaryIO, n_edges: int) -> Iterator[AddRow]:
    """Rows of text, compressed in a thread, which needs no lock of Python's."""
    with gzip_writer(file) as stream, ThreadPoolExecutor(1, "compressor") as pool:
        header = "\t".join([_ID, *map(str, range(1, n_edges + 1))])
        last = pool.submit(stream.write, f"{header}\n".encode())
        cells = "\t%.10g" * n_edges

        def add(participant: str, values: FloatArray) -> None:
            nonlocal last
            numbers = (cells % tuple(values.tolist())).replace("nan", MISSING)
            last.result()  # one behind the other, and what went wrong is raised
            last = pool.submit(stream.write, f"{participant}{numbers}\n".encode())

        yield add
        last.result()


@contextmanager
def _parquet(file: BinaryIO, n_edges: int) -> Iterator[AddRow]:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    edges = arrow.list_(arrow.field("element", arrow.float64()), n_edges)
    schema = arrow.schema([(_ID, arrow.string()), ("values", edges)])
    block: dict[str, FloatArray] = {}

    def write() -> None:
        flat = arrow.array(np.concatenate([np.empty(0), *block.values()]))
        labels = arrow.array(block, type=arrow.string())
        columns = [labels, arrow.FixedSizeListArray.from_arrays(flat, type=edges)]
        writer.write_batch(arrow.record_batch(columns, schema=schema))
        block.clear()

    def add(participant: str, values: FloatArray) -> None:
        block[participant] = values
        if len(block) == _BLOCK:
            write()

    # A dictionary of values that hardly repeat, and their extremes, are of no use to anyone.
    plain = {"use_dictionary": False, "write_statistics": False}
    with parquet.ParquetWriter(file, schema, compression="zstd", **plain) as writer:
        yield add
        if block:
            write()
