"""Join confounds - arrays, tables, files, or lists of these - into one array."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import DataError
from bids_spheres.files.text import parse_number, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import FloatArray

    Confounds = ArrayLike | str | Path | Sequence[ArrayLike | str | Path]

_DELIMITERS = ("\t", ",", ";")


def regressors(confounds: Confounds | None, n_volumes: int) -> FloatArray | None:
    """All confounds side by side, (T, K), missing values NaN; None without any.

    Each is (T, K) or (T,), or a file (`read_table`). TypeError for another type; DataError when a
    part has another length or is no table of real numbers.
    """
    if confounds is None:
        return None
    if not (isinstance(confounds, list | tuple) or _is_part(confounds)):
        kind = type(confounds).__name__
        raise TypeError(f"'confounds' must be of type array, table, path or list. Got: '{kind}'")
    columns = []
    for part in confounds if isinstance(confounds, list | tuple) else (confounds,):
        if not _is_part(part):
            raise TypeError(f"confound has an unhandled type: {type(part)}")
        given = read_table(part) if isinstance(part, str | Path) else np.asarray(part)
        if given.dtype.kind == "c":
            raise DataError("Confounds must be real numbers, not complex ones.")
        try:
            array = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"Confounds must be numbers: {error}.") from error
        array = array[:, np.newaxis] if array.ndim == 1 else array
        if array.ndim != 2:
            raise DataError(f"confound array has an incorrect number of dimensions: {array.ndim}")
        if len(array) != n_volumes:
            raise DataError(
                "Confound signal has an incorrect length. "
                f"Signal length: {n_volumes}; confound length: {len(array)}."
            )
        columns.append(array)
    return np.hstack(columns) if columns else None


def _is_part(value: object) -> bool:
    return isinstance(value, str | Path) or hasattr(value, "__array__")


def read_table(path: str | Path) -> FloatArray:
    """Columns of a text file, (T, K), without its header; NaN for ``n/a`` and empty fields.

    Apart by tab, comma, semicolon or blanks, whichever the first line has, which is a header when a
    field of it is neither a number nor missing.
    """
    lines = [line for line in read_text(Path(path), "confounds file").splitlines() if line.strip()]
    delimiter = next((mark for mark in _DELIMITERS if lines and mark in lines[0]), None)
    if delimiter is None:
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=delimiter))
    if rows and None in map(parse_number, rows[0]):
        rows = rows[1:]
    if not rows or len({len(row) for row in rows}) != 1:
        raise DataError(f"{path} is no table: it is empty, or its lines differ in length.")
    if wrong := [field for row in rows for field in row if parse_number(field) is None]:
        raise DataError(f"{path}: {wrong[0]!r} is not a number.")
    return np.array([[parse_number(field) for field in row] for row in rows], dtype=np.float64)
