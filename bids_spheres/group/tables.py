"""Our own tables back to arrays."""

from __future__ import annotations

import csv
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_ANEW = "Run the participant level anew for this run."

_NEWLINE = ord("\n")


def read_table(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Read a TSV file of ours.

    Parameters
    ----------
    path : Path
    types : mapping of str to type, optional
        Of columns in which a name may look like a number.

    Raises
    ------
    MissingInputError
        When there is no such file.
    ReadWriteError
        When it can't be read.
    DataError
        When it is no table.
    """
    try:
        with open_regular(path) as file:
            return pd.read_csv(
                file,
                sep="\t",
                na_values=[MISSING],
                keep_default_na=False,
                dtype=dict(types) if types else None,
                encoding="utf-8-sig",
            )
    except DataError:
        raise
    except FileNotFoundError as error:
        raise MissingInputError(f"There is no table {path}.") from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    except ValueError as error:  # also of pandas, and of text that is not UTF-8
        raise DataError(f"{path} is no table: {' '.join(str(error).split())}") from error


def read_rows(path: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Some columns of one of our own tables as text; a fifth of the time that pandas takes.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        That the table must have, among others.

    Returns
    -------
    dict of str to tuple of str
        Cells of every column, at least one.

    Raises
    ------
    MissingInputError, ReadWriteError
        When there is no such file, or it can't be read.
    DataError
        When it lacks a column, is empty, or was cut off.
    """
    try:
        text = _content(path).decode()
        header, *rows = csv.reader(text.splitlines(), delimiter="\t")
        cells = dict(zip(header, zip(*rows, strict=True), strict=True))
        return {name: cells[name] for name in columns}
    except (ValueError, KeyError, csv.Error) as error:  # also of text that is not UTF-8
        raise DataError(
            f"{path} is not a table of ours: {type(error).__name__} {error}.", hint=_ANEW
        ) from error


def read_upper_triangle(
    path: Path, names: tuple[str, ...], *, diagonal: bool
) -> NDArray[np.float64]:
    """Upper triangle of a symmetric matrix of nodes, row by row.

    What is below the diagonal says the same again, and is not even parsed: of 264 nodes that takes
    3 ms, and the whole table 13 ms, most of which are for its 264 columns.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Names that its nodes must have, S.
    diagonal : bool
        Whether the diagonal is part of it.

    Returns
    -------
    (E,) array
        S (S - 1) / 2 entries, or S (S + 1) / 2 with the diagonal; NaN for missing ones.

    Raises
    ------
    MissingInputError, ReadWriteError
        When there is no such file, or it can't be read.
    DataError
        When it has other nodes, is not square, was cut off, or holds something that is no number.
    """
    content = _content(path)
    columns = _checked_header(path, content, names)
    ends = _cell_ends(path, content, len(columns))
    starts = ends + 1
    rows = [content[a:b] for a, b in zip(starts[:-1, -1], ends[1:, 0], strict=True)]
    if rows != columns[1:]:
        raise _other_nodes(path)
    # Row i has its name, the i entries before the diagonal, and maybe the diagonal before the rest.
    first = np.arange(len(names)) + (0 if diagonal else 1)
    places = zip(starts[np.arange(1, len(names) + 1), first], ends[1:, -1], strict=True)
    text = b"\t".join(content[a:b] for a, b in places if a <= b)
    size = len(names) * (len(names) + (1 if diagonal else -1)) // 2
    return _numbers(path, text, size) if size else np.zeros(0)


def _content(path: Path) -> bytes:
    """What is in a file that ends with a line's end, as all of ours do.

    Where the end is missing, so may be half of a number before it.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise MissingInputError(f"There is no table {path}.", hint=_ANEW) from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    if not content.endswith(b"\n"):
        what = "was cut off: its last line has no end" if content else "is empty"
        raise DataError(f"{path} {what}.", hint=_ANEW)
    return content


def _cell_ends(path: Path, content: bytes, columns: int) -> NDArray[np.intp]:
    """Where the cells of a square table end, header and first column with it, (S + 1, S + 1)."""
    characters = np.frombuffer(content, np.uint8)
    # One comparison instead of two; of what is below a newline, our text has tabs alone.
    ends = np.flatnonzero(characters <= _NEWLINE)
    if len(ends) == columns**2:
        square = ends.reshape(columns, columns)
        lines = characters[square] == _NEWLINE
        if lines[:, -1].all() and not lines[:, :-1].any():
            return square
    raise DataError(f"{path} is not square, with a row and a column per sphere.", hint=_ANEW)


def _checked_header(path: Path, content: bytes, names: tuple[str, ...]) -> list[bytes]:
    """Cells of the header as they are written."""
    header = content.partition(b"\n")[0]
    # Only a header is parsed as CSV, which puts quotes around quotes.
    (parsed,) = csv.reader([header.decode(errors="replace")], delimiter="\t")
    if tuple(parsed) != ("Node", *names):
        raise _other_nodes(path)
    return header.split(b"\t")


def _other_nodes(path: Path) -> DataError:
    return DataError(f"{path} has other nodes than the table of its spheres.", hint=_ANEW)


def _numbers(path: Path, text: bytes, size: int) -> NDArray[np.float64]:
    """Numbers between tabs."""
    rules: dict[str, Any] = {"na_values": [MISSING], "keep_default_na": False, "dtype": np.float64}
    try:
        column = pd.read_csv(BytesIO(text), header=None, lineterminator="\t", **rules)[0]
    except ValueError as error:
        raise DataError(
            f"{path} holds something that is no number: {error}.", hint=_ANEW
        ) from error
    values = np.asarray(column)
    if len(values) != size:  # an empty cell is an empty line, which counts as none
        raise DataError(f"{path} has an empty cell.", hint=_ANEW)
    if np.isinf(values).any():
        raise DataError(f"{path} holds a number that is not finite.", hint=_ANEW)
    return values
