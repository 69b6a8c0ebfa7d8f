"""Edges of all participants of a group, on disk while they are tested."""

from __future__ import annotations

import tempfile
import weakref
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


class EdgeValues:
    """Rows of E edges, one participant after the other, in a temporary file without a name.

    Statistics read parts of its columns from a memory map, so that memory does not grow with the
    group, and a process that is killed leaves no file behind.

    Attributes
    ----------
    participants : list of str
        Labels of the rows.
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
