"""Arrays that are too large for memory, in temporary files."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import ReadWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.engine.arrays import DType, RealArray


class DiskArray:
    """A 2-D array in a temporary file without a name, used by one thread at a time.

    Not a memory map: a disk that is full or fails would kill the process instead of raising. The
    data type has the byte order of the machine.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, int], dtype: DType) -> None:
        self._shape, self._dtype = shape, dtype
        self.folder = folder or Path(tempfile.gettempdir())
        with self._access():
            self._file = TemporaryFile(dir=self.folder)  # noqa: SIM115 - open until `close`

    def write(self, row: int, column: int, block: RealArray) -> None:
        """Put a block where its first value belongs to (row, column)."""
        whole = block.shape[1] == self._shape[1]
        values = np.ascontiguousarray(block, dtype=self._dtype)
        with self._access():
            for number, piece in enumerate([values] if whole else values):
                self._seek(row + number, column)
                self._file.write(piece.data)

    def columns(self, part: slice) -> RealArray:
        """Some columns of all rows."""
        block = np.empty((self._shape[0], part.stop - part.start), dtype=self._dtype)
        for number, row in enumerate(block):
            self._fill(row, number, part.start)
        return block

    def row(self, number: int) -> RealArray:
        """One row."""
        values = np.empty(self._shape[1], dtype=self._dtype)
        self._fill(values, number, 0)
        return values

    def close(self) -> None:
        """Give the room back."""
        with self._access():  # what is left in the buffer may find no room
            self._file.close()

    def _fill(self, values: RealArray, row: int, column: int) -> None:
        with self._access():
            self._seek(row, column)
            count = self._file.readinto(values.data)
        if count < values.nbytes:
            raise ReadWriteError(f"A temporary file in {self.folder} holds less than is needed.")

    def _seek(self, row: int, column: int) -> None:
        self._file.seek((row * self._shape[1] + column) * self._dtype.itemsize)

    @contextmanager
    def _access(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            room = self._shape[0] * self._shape[1] * self._dtype.itemsize / 1e6
            raise ReadWriteError(
                f"A temporary file in {self.folder}: {error.strerror or error}.",
                hint=f"Voxels over time need {room:.0f} MB there; choose another folder.",
            ) from error
