"""Read fMRIPrep's confounds table, its JSON file and tables that go with it, of any version."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.versions import base_of, computable, expand, renamings, todays_name
from bids_spheres.errors import DataError
from bids_spheres.files.text import read_json_object, read_text
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

_MISSING = frozenset({"", "n/a", "nan", "na"})

_LARGEST = 1e100
"""Largest value in a table: squares of larger ones, or their sum, would overflow."""


def read_confounds(path: Path) -> pd.DataFrame:
    """Read fMRIPrep's confounds table, missing values as NaN.

    Names stay as in the file; `make_design` knows those of every version. Tables of other programs
    are read in the same way.

    Raises
    ------
    MissingInputError
        When the file is missing, or git-annex has not fetched its content.
    DataError
        When it is not a table: no header, a name twice, rows of different length.
    ReadWriteError
        When the operating system can't read it.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    text = read_text(path, "table")
    # pandas would fill short rows, and rename a column that occurs twice.
    _check_shape(text.split("\n"), path)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep="\t",
            na_values=["n/a"],
            index_col=False,
            low_memory=False,  # in pieces a word among numbers would bring a warning of pandas'
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} can't be read as a TSV table: {error}.") from error
    return table.rename(columns=str.strip)


def read_header(path: Path) -> pd.DataFrame:
    """Read the header of a confounds table, as a table without rows; raises as `read_confounds`."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    first, *_ = read_text(path, "table", first_line=True).split("\n")
    _check_shape([first], path)
    names = [name.strip() for name in first.split("\t")]
    # In one piece: with a piece for every column pandas takes ten times as long.
    return pd.DataFrame(np.empty((0, len(names))), columns=names)


def read_metadata(path: Path) -> dict[str, object]:
    """Read the JSON file of a confounds table, which says from which mask each component comes.

    `path` is its own or the table's. Empty without such a file, as fMRIPrep < 1.4 wrote none;
    raises as `read_confounds`.
    """
    return read_json_object(path.with_suffix(".json"), optional=True)


def read_outliers(path: Path, n_volumes: int) -> NDArray[np.bool_]:
    """Read which volumes were censored elsewhere.

    Parameters
    ----------
    path : Path
        A table with a row per volume and cells of 0 and 1 (= censored), with or without names.
        A volume is censored when any of its cells says so, as in the one-hot matrix that
        FSL's ``fsl_motion_outliers`` writes; with a column ``censored`` that column decides alone.
    n_volumes : int
        T.

    Returns
    -------
    (T,) bool array

    Raises
    ------
    DataError
        When it has another number of rows, or a cell is neither 0 nor 1.
    MissingInputError, ReadWriteError
        As for `read_confounds`.
    """
    lines = read_text(path, "outlier table").split("\n")
    rows = [line.split() for line in lines if line.strip()]
    names = [] if not rows or all(map(_is_number, rows[0])) else rows.pop(0)
    if len(rows) != n_volumes:
        raise DataError(
            f"{path} has {count(len(rows), 'row')}, but the BOLD image has "
            f"{count(n_volumes, 'volume')}.",
            hint="An outlier table needs one row per volume; 1 stands for censored.",
        )
    n_cells = len(names or rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != n_cells:
            raise DataError(f"{path}: row {number} has {len(row)} cells, others have {n_cells}.")
        if "censored" in names:  # others may be measures of motion
            row[:] = [row[names.index("censored")]]
        for cell in row:
            if _number(cell) not in (0, 1):
                raise DataError(f"{path}: {cell!r} in row {number} is neither 0 nor 1.")
    flags = np.array([[_number(cell) == 1 for cell in row] for row in rows])
    censored: NDArray[np.bool_] = np.any(flags, axis=1)
    return censored


def merge_tables(table: pd.DataFrame, extra: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put other tables of the same run beside fMRIPrep's.

    Parameters
    ----------
    table : DataFrame
    extra : sequence of DataFrame
        Such as fMRIPost-AROMA's; its noise components stand in for those of `table`, because two
        decompositions of one run must not be mixed.

    Raises
    ------
    DataError
        When numbers of rows differ or two tables have a column of the same name.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    for other in extra:
        if len(other) != len(table):
            raise DataError(
                f"The confounds table has {len(table)} rows, but one that goes with it has "
                f"{len(other)} ({', '.join(map(str, other.columns[:3]))}, ...)."
            )
    if any(_is_aroma(name) for other in extra for name in other.columns):
        table = table.loc[:, [not _is_aroma(name) for name in table.columns]]
    if not extra:
        return table
    # By position: rows are volumes, whatever the tables' indices.
    merged = pd.concat([part.reset_index(drop=True) for part in (table, *extra)], axis=1)
    check_unique(list(merged.columns), "The tables of one run together")
    return merged


@dataclass(frozen=True, eq=False)
class RunColumns:
    """Columns that a run has or that can be computed.

    Parameters
    ----------
    table : DataFrame
        With today's names.
    computable : tuple of str
        Derivatives and squares that this version of fMRIPrep did not write.
    renamed : bool
        Whether the file has names of fMRIPrep 1.0 or 1.1.
    where : Path or str
        Name of the table in messages.
    """

    table: pd.DataFrame
    computable: tuple[str, ...]
    renamed: bool
    where: Path | str

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the table, then those that can be computed."""
        return (*self.table.columns, *self.computable)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """One column, NaN where a value is missing; DataError when a cell is not a number."""
        if name in self.computable:
            return expand(name, numbers(self.table, base_of(name), self.where))
        return numbers(self.table, name, self.where)


def run_columns(table: pd.DataFrame, where: Path | str) -> RunColumns:
    """Columns of a table from any version of fMRIPrep; DataError when a name occurs twice."""
    table = table.rename(columns=lambda name: str(name).strip())
    check_unique(table.columns, where)
    new = renamings(table.columns)
    table = table.rename(columns=new)
    check_unique(table.columns, where)
    return RunColumns(table, computable(table.columns), bool(new), where)


def own_table(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """A table of the user's own, its columns under the name of their dataset: ``physio.rvt``."""
    return table.rename(columns=lambda name: f"{dataset}.{name}")


def check_unique(names: Iterable[str], where: object) -> None:
    """Refuse a column name that stands for two columns."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: column {twice[0]} occurs twice.")


def numbers(table: pd.DataFrame, name: str, where: object) -> NDArray[np.float64]:
    """One column, NaN where a value is missing; DataError when a cell is not a number."""
    column = table[name]
    if column.dtype.kind not in "iufb":
        import pandas as pd  # noqa: PLC0415 - slow to import, loaded by the table's reader

        is_text = column.notna() & pd.to_numeric(column, errors="coerce").isna()
        row = int(np.argmax(is_text))
        text = column.iloc[row]
        raise DataError(
            f"{where}: {text!r} in column {name}, row {row + 1}, is not a number.",
            hint="Decimals are written with a point." if "," in str(text) else None,
        )
    return column.to_numpy(dtype=np.float64, copy=True)


def without_gaps(values: NDArray[np.float64], name: str, where: object) -> NDArray[np.float64]:
    """One column with the first row's gap, of a derivative, filled as nilearn does by the second.

    DataError when another value is missing or too large to compute with; rows are counted from 1
    after the header.
    """
    if len(values) > 1 and np.isnan(values[0]):
        values = np.concatenate([values[1:2], values[1:]])
    if values.size and np.isnan(values).all():
        raise DataError(f"{where}: column {name} is n/a throughout.")
    usable = np.abs(values) < _LARGEST
    if not usable.all():
        row = int(np.argmin(usable))
        missing = np.isnan(values[row])
        raise DataError(
            f"{where}: the value in column {name}, row {row + 1}, is "
            + ("missing." if missing else f"too large: {values[row]:g}."),
            hint="Only the first row of a derivative may be n/a." if missing else None,
        )
    return values


def _check_shape(lines: list[str], path: Path) -> None:
    if not any(line.strip() for line in lines):
        raise DataError(
            f"{path} can't be read as a TSV table: it is empty.", hint="Copy or compute it again."
        )
    names = [name.strip() for name in lines[0].split("\t")]
    if len(names) == 1 and (mark := next((mark for mark in ",;" if mark in names[0]), None)):
        raise DataError(
            f"{path} has no tabs: {mark!r} stands between its columns.",
            hint="Save it as a TSV table, with tabs.",
        )
    if all(map(_is_number, names)):
        raise DataError(
            f"{path} has no header: its first row holds numbers.",
            hint="A confounds table of fMRIPrep names its columns in the first row.",
        )
    check_unique(names, path)
    for number, line in enumerate(lines[1:], 1):
        if line and (n_cells := line.count("\t") + 1) != len(names):
            raise DataError(f"{path}: row {number} has {n_cells} cells for {len(names)} columns.")


def _is_number(cell: str) -> bool:
    return _number(cell) is not None or cell.strip().lower() in _MISSING


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _is_aroma(name: str) -> bool:
    return todays_name(name).startswith("aroma_")
