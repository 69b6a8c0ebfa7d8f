"""Our own tables back to arrays."""

from __future__ import annotations

import csv
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.bids.files import MISSING
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_ANEW = "Run the participant level anew for this run."


def read_table(
    path: Path, types: Mapping[str, type] | None = None, missing: Sequence[str] = (MISSING,)
) -> pd.DataFrame:
    """Read a TSV file.

    Parameters
    ----------
    path : Path
    types : mapping of str to type, optional
        Of columns in which a name may look like a number.
    missing : sequence of str
        What stands for a missing value.

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
        return pd.read_csv(
            path,
            sep="\t",
            na_values=list(missing),
            keep_default_na=False,
            dtype=dict(types) if types else None,
            encoding="utf-8-sig",
        )
    except FileNotFoundError as error:
        raise MissingInputError(f"There is no table {path}.") from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    except ValueError as error:  # also of pandas, and of text that is not UTF-8
        raise DataError(f"{path} is no table: {' '.join(str(error).split())}") from error


def read_upper_triangle(
    path: Path, names: tuple[str, ...], *, diagonal: bool
) -> NDArray[np.float64]:
    """Upper triangle of a symmetric matrix of nodes, row by row.

    What is below the diagonal says the same again, and is not even parsed: of 264 nodes that takes
    4 ms, and the whole table 13 ms, most of which are for its 264 columns.

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
        When it has other nodes, is not square, or holds something that is no number.
    """
    header, *lines = _lines(path)
    _check_names(path, header, lines, names)
    if any(line.count(b"\t") != len(names) for line in lines):
        raise DataError(f"{path} is not square.", hint=_ANEW)
    # Of row i, the name and the i entries before the diagonal, then maybe the diagonal.
    start = 1 if diagonal else 2
    cells = [line.split(b"\t", i + start)[i + start :] for i, line in enumerate(lines)]
    text = b"\t".join(cell for row in cells for cell in row).replace(b"\t", b"\n")
    size = len(names) * (len(names) + 3 - 2 * start) // 2
    return _numbers(path, text, size) if size else np.zeros(0)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().rstrip(b"\n").split(b"\n")
    except FileNotFoundError as error:
        raise MissingInputError(f"There is no matrix {path}.", hint=_ANEW) from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error


def _check_names(path: Path, header: bytes, lines: list[bytes], names: tuple[str, ...]) -> None:
    columns = header.split(b"\t")[1:]
    rows = [line.partition(b"\t")[0] for line in lines]
    # Only a header is parsed as CSV, which puts quotes around quotes.
    (parsed,) = csv.reader([header.decode(errors="replace")], delimiter="\t")
    if rows != columns or tuple(parsed) != ("Node", *names):
        raise DataError(f"{path} has other nodes than the table of its spheres.", hint=_ANEW)


def _numbers(path: Path, text: bytes, size: int) -> NDArray[np.float64]:
    """Numbers, one a line."""
    rules: dict[str, Any] = {"na_values": [MISSING], "keep_default_na": False, "dtype": np.float64}
    try:
        values = np.asarray(pd.read_csv(BytesIO(text), header=None, **rules)[0])
    except ValueError as error:
        raise DataError(
            f"{path} holds something that is no number: {error}.", hint=_ANEW
        ) from error
    if len(values) != size:  # an empty cell is an empty line, which counts as none
        raise DataError(f"{path} has an empty cell.", hint=_ANEW)
    return values
