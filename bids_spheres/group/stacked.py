"""A table of participants and edges for machine learning, written row by row.

It is compressed TSV with a column per edge, or Parquet, in which the edges of a participant are one
list of fixed length, of which `numpy.stack` makes the matrix of features. A column per edge would
be the more obvious form there too, but 35,000 columns take 18 s and 11 GB to read back for a
thousand participants, and the list 3 s and 1 GB; a writer would also have to keep notes on every
column of every block.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from bids_spheres.files.atomic import MISSING, gzip_writer, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

_BLOCK = 32
"""Participants that are held until they are written together."""

_VALUES = "values"
_ID = "participant_id"


class Stack(Protocol):
    """What takes one participant after the other."""

    def add(self, participant: str, values: FloatArray) -> None:
        """Write the edges (E,) of one participant."""


EXTENSIONS = {"tsv": ".tsv.gz", "parquet": ".parquet"}
"""Extension of the table in each format."""


@contextmanager
def stacked_table(path: Path, n_edges: int) -> Iterator[Stack]:
    """Open a table, which has its name once the block has ended; the extension says its format."""
    write = _parquet if path.suffix == ".parquet" else _compressed_text
    with replacing(path) as file, write(file, n_edges) as stack:
        yield stack


@contextmanager
def _compressed_text(file: BinaryIO, n_edges: int) -> Iterator[Stack]:
    with gzip_writer(file) as stream, ThreadPoolExecutor(1, "compressor") as pool:
        header = [_ID, *map(str, range(1, n_edges + 1))]
        stream.write(("\t".join(header) + "\n").encode())
        rows = _TextRows(stream, n_edges, pool)
        yield rows
        rows.flush()


class _TextRows:
    """Rows are compressed in a thread, which needs no lock of Python's, one behind the other."""

    def __init__(self, stream: IO[bytes], n_edges: int, pool: Executor) -> None:
        self._stream, self._pool = stream, pool
        self._format = "\t%.10g" * n_edges
        self._last: Future[int] | None = None

    def add(self, participant: str, values: FloatArray) -> None:
        numbers = (self._format % tuple(values.tolist())).replace("nan", MISSING)
        self.flush()
        self._last = self._pool.submit(self._stream.write, f"{participant}{numbers}\n".encode())

    def flush(self) -> None:
        """Wait until all is written, and raise what went wrong."""
        if self._last:
            self._last.result()


@contextmanager
def _parquet(file: BinaryIO, n_edges: int) -> Iterator[Stack]:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    edges = arrow.list_(arrow.field("element", arrow.float64()), n_edges)
    schema = arrow.schema([(_ID, arrow.string()), (_VALUES, edges)])

    def write(block: list[tuple[str, FloatArray]]) -> None:
        labels, values = zip(*block, strict=True)
        flat = arrow.array(np.concatenate(values))
        columns = [
            arrow.array(labels, type=arrow.string()),
            arrow.FixedSizeListArray.from_arrays(flat, type=edges),
        ]
        writer.write_batch(arrow.record_batch(columns, schema=schema))

    # A dictionary of values that hardly repeat, and their extremes, are of no use to anyone.
    plain = {"use_dictionary": False, "write_statistics": False}
    with parquet.ParquetWriter(file, schema, compression="zstd", **plain) as writer:
        rows = _Blocks(write)
        yield rows
        rows.flush()


class _Blocks:
    """Rows that are written together, `_BLOCK` at a time."""

    def __init__(self, write: Callable[[list[tuple[str, FloatArray]]], None]) -> None:
        self._write = write
        self._block: list[tuple[str, FloatArray]] = []

    def add(self, participant: str, values: FloatArray) -> None:
        self._block.append((participant, values))
        if len(self._block) == _BLOCK:
            self.flush()

    def flush(self) -> None:
        if self._block:
            self._write(self._block)
        self._block = []
