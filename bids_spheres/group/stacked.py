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
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bids_spheres.files.atomic import MISSING, gzip_writer, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray

_BLOCK = 32
"""Participants that are held until they are written together."""

_VALUES = "values"
_ID = "participant_id"


class Stack:
    """What takes one participant after the other, and holds `size` of them until it writes."""

    def __init__(self, write: Callable[[list[tuple[str, FloatArray]]], None], size: int) -> None:
        self._write, self._size = write, size
        self._block: list[tuple[str, FloatArray]] = []

    def add(self, participant: str, values: FloatArray) -> None:
        """Write the edges (E,) of one participant."""
        self._block.append((participant, values))
        if len(self._block) == self._size:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._block:
            self._write(self._block)
        self._block = []


EXTENSIONS = {"tsv": ".tsv.gz", "parquet": ".parquet"}
"""Extension of the table in each format."""


@contextmanager
def stacked_table(path: Path, n_edges: int) -> Iterator[Stack]:
    """Open a table, which has its name once the block has ended; the extension says its format."""
    write = _parquet if path.suffix == ".parquet" else _compressed_text
    with replacing(path) as file, write(file, n_edges) as stack:
        yield stack
        stack.flush()


@contextmanager
def _compressed_text(file: BinaryIO, n_edges: int) -> Iterator[Stack]:
    """Rows of text, compressed in a thread, which needs no lock of Python's."""
    with gzip_writer(file) as stream, ThreadPoolExecutor(1, "compressor") as pool:
        header = [_ID, *map(str, range(1, n_edges + 1))]
        last = pool.submit(stream.write, ("\t".join(header) + "\n").encode())
        cells = "\t%.10g" * n_edges

        def write(block: list[tuple[str, FloatArray]]) -> None:
            nonlocal last
            [(participant, values)] = block
            numbers = (cells % tuple(values.tolist())).replace("nan", MISSING)
            last.result()  # one behind the other, and what went wrong is raised
            last = pool.submit(stream.write, f"{participant}{numbers}\n".encode())

        yield Stack(write, 1)
        last.result()


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
        yield Stack(write, _BLOCK)
