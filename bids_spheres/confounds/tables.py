"""Read fMRIPrep's confounds table of any version, its JSON file and the tables that go with it.

Column names of old versions, and what those did not write, are from the sources of fMRIPrep 1.0.0
to 1.4.0 (``interfaces/confounds.py``, ``workflows/bold/confounds.py``), the first to write
derivatives and squares, and of nipype (``algorithms/confounds.py``), in CamelCase until 1.2.0.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.strategy import EXPANSIONS
from bids_spheres.errors import DataError
from bids_spheres.files.text import parse_number, read_json_object, read_text
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence, Sized
    from pathlib import Path

    import pandas as pd

    from bids_spheres.engine.arrays import BoolArray, FloatArray

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
"""Realignment parameters: mm, and radians."""

BASES = (*MOTION, "csf", "white_matter", "global_signal")
"""Columns of which fMRIPrep >= 1.4 writes derivatives and squares."""

_TODAYS_NAME = {
    "CSF": "csf",
    "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal",
    "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars",
    "vx-wisestdDVARS": "vx_wise_std_dvars",
    "FramewiseDisplacement": "framewise_displacement",
    **dict(zip(("X", "Y", "Z", "RotX", "RotY", "RotZ"), MOTION, strict=True)),
}
_TODAYS_PREFIX = {
    "tCompCor": "t_comp_cor_",
    "aCompCor": "a_comp_cor_",
    "Cosine": "cosine",
    "NonSteadyStateOutlier": "non_steady_state_outlier",
    "AROMAAggrComp": "aroma_motion_",
}
_NUMBERED = re.compile(rf"^({'|'.join(_TODAYS_PREFIX)})(\d+)$")
_EXPANSION = re.compile(r"_(derivative|power)\d+$")
_COMPUTABLE = {
    base + form: (base, form) for base in BASES for form in EXPANSIONS["full"] if form != ""
}

EXPANDED_MOTION = tuple(name for name, (base, _) in _COMPUTABLE.items() if base in MOTION)
"""Derivatives and squares of realignment parameters."""


_MISSING = ("", "n/a", "N/A", "NA", "na", "NaN", "nan")  # not "null", which may be a trial_type
_LARGEST = 1e100  # largest value in a table: squares of larger ones, or their sum, would overflow


@dataclass(frozen=True, eq=False)
class RunColumns:
    """Columns that a run has, by today's names, or that can be computed of them.

    `computable` are derivatives and squares that this version of fMRIPrep did not write; `renamed`
    whether the file has names of fMRIPrep 1.0 or 1.1; `where` names the table in messages.
    """

    table: pd.DataFrame
    computable: tuple[str, ...]
    renamed: bool
    where: Path | str

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the table, then those that can be computed."""
        return (*self.table.columns, *self.computable)

    def numbers(self, name: str) -> FloatArray:
        """One column, NaN where a value is missing; DataError when a cell is not a number."""
        if name in self.computable:
            return expand(name, numbers(self.table, base_of(name), self.where))
        return numbers(self.table, name, self.where)

    def complete(self, names: Sequence[str]) -> FloatArray:
        """Columns (T, K) without gaps; DataError for values that a design can't take."""
        arrays = [without_gaps(self.numbers(name), name, self.where) for name in names]
        return np.column_stack([np.empty((len(self.table), 0)), *arrays])


def run_columns(table: pd.DataFrame, where: Path | str) -> RunColumns:
    """Columns of a table from any version of fMRIPrep; DataError when a name occurs twice."""
    table = table.rename(columns=lambda name: str(name).strip())
    check_unique(table.columns, where)
    todays = {name: todays_name(name) for name in table.columns}
    # Another column may have today's name already.
    new = {old: name for old, name in todays.items() if old != name and name not in todays}
    table = table.rename(columns=new)
    check_unique(table.columns, where)
    return RunColumns(table, computable(table.columns), bool(new), where)


def todays_name(name: str) -> str:
    """Name of a column in fMRIPrep since 1.2.

    >>> [todays_name(name) for name in ("RotX", "aCompCor05", "AROMAAggrComp11", "csf")]
    ['rot_x', 'a_comp_cor_05', 'aroma_motion_11', 'csf']
    """
    if match := _NUMBERED.match(name):
        return f"{_TODAYS_PREFIX[match[1]]}{int(match[2]):02d}"
    return _TODAYS_NAME.get(name, name)


def computable(names: Iterable[str]) -> tuple[str, ...]:
    """Derivatives and squares that the version lacks and that can be computed.

    None when the table holds any, as fMRIPrep writes all or none and a missing one is an error;
    none either without realignment parameters: the table is no longer as fMRIPrep wrote it.
    """
    names = {name for name in names if "." not in name}  # not of the user's own tables
    if not names.issuperset(MOTION) or any(_EXPANSION.search(name) for name in names):
        return ()
    return tuple(name for name, (base, _) in _COMPUTABLE.items() if base in names)


def base_of(name: str) -> str:
    """Column from which a computable one is made: of ``rot_x_derivative1_power2``, ``rot_x``."""
    return _COMPUTABLE[name][0]


def expand(name: str, base: FloatArray) -> FloatArray:
    """Compute a derivative or square of the (T,) column `base_of` it as fMRIPrep defines it.

    A derivative is the backward difference, NaN at the first volume; squares are of the column or
    of its derivative (Satterthwaite et al. 2013, doi:10.1016/j.neuroimage.2012.08.052).

    >>> expand("rot_x_derivative1_power2", np.array([1.0, 3.0, 0.0])).tolist()
    [nan, 4.0, 9.0]
    """
    form = _COMPUTABLE[name][1]
    values = np.diff(base, prepend=np.nan) if "_derivative1" in form else base
    return values**2 if form.endswith("_power2") else values


def read_confounds(path: Path, words: Container[str] = ()) -> pd.DataFrame:
    """Read a table, n/a as NaN; DataError for one without a header, or that is irregular.

    Columns of `words` stay as they are written, also where they look like numbers.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    text = read_text(path, "table")
    # pandas would fill short rows, and rename a column that occurs twice.
    lines = text.split("\n")
    _check_shape(lines, path)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep="\t",
            dtype={name: str for name in lines[0].split("\t") if name.strip() in words},
            na_values=_MISSING,
            keep_default_na=False,
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
    """Read the JSON file of a table, `path` its own or the table's; empty without such a file."""
    return read_json_object(path.with_suffix(".json"), optional=True)


def read_outliers(path: Path, n_volumes: int) -> BoolArray:
    """Read which volumes were censored elsewhere, (T,) bool; the table has a row per volume.

    A volume is censored when any of its cells is 1 and not 0, as in the one-hot matrix that FSL's
    ``fsl_motion_outliers`` writes; a column ``censored`` decides alone.
    """
    lines = read_text(path, "outlier table").split("\n")
    rows = [line.split() for line in lines if line.strip()]
    names = [] if not rows or None not in map(parse_number, rows[0]) else rows.pop(0)
    check_rows(
        rows, path, n_volumes, "An outlier table needs one row per volume; 1 stands for censored."
    )
    n_cells = len(names or rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != n_cells:
            raise DataError(f"{path}: row {number} has {len(row)} cells, others have {n_cells}.")
        if "censored" in names:  # others may be measures of motion
            row[:] = [row[names.index("censored")]]
        for cell in row:
            if parse_number(cell) not in (0, 1):
                raise DataError(f"{path}: {cell!r} in row {number} is neither 0 nor 1.")
    return np.array([any(parse_number(cell) == 1 for cell in row) for row in rows])


def read_tedana(mixing: Path, metrics: Path) -> pd.DataFrame:
    """Read tedana's ``desc-ICA_mixing.tsv`` and ``desc-tedana_metrics.tsv``."""
    return tedana_regressors(read_confounds(mixing), read_confounds(metrics), mixing)


def tedana_regressors(mixing: pd.DataFrame, metrics: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Name tedana's components (DuPre et al. 2021, doi:10.21105/joss.03669) by classification.

    Columns ``rejected_ICA_XX`` and ``accepted_ICA_XX`` as nilearn names them, and
    ``rejected_orth_ICA_XX``: the rejected ones without what the accepted ones explain of them.
    DataError when the tables, with a column and a row per component, don't belong together.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    for column in ("Component", "classification"):
        if column not in metrics.columns:
            raise DataError(f"The metrics table that goes with {where} has no column {column}.")
    components = map(_without_padding, metrics["Component"].astype(str))
    kinds = dict(zip(components, metrics["classification"].astype(str), strict=True))
    series: dict[str, dict[str, FloatArray]] = {"rejected": {}, "accepted": {}}
    for name in mixing.columns:
        if (kind := kinds.get(_without_padding(name))) in series:
            series[kind][name] = numbers(mixing, name, where)
    if not any(series.values()):
        raise DataError(
            f"{where} has no component that the metrics table calls accepted or rejected.",
            hint="The tables must come from one run of tedana (desc-ICA_mixing.tsv and "
            "desc-tedana_metrics.tsv).",
        )
    basis = np.column_stack([np.ones(len(mixing)), *series["accepted"].values()])
    series["rejected_orth"] = {
        name: values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
        for name, values in series["rejected"].items()
    }
    return pd.DataFrame(
        {f"{kind}_{name}": values for kind, of in series.items() for name, values in of.items()}
    )


def _without_padding(name: str) -> str:
    """Name of a component without leading zeros, in which tedana's two tables can differ."""
    return re.sub(r"_0*(\d+)$", r"_\1", name)


def merge_tables(table: pd.DataFrame, extra: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put other tables of the same run, such as fMRIPost-AROMA's, beside fMRIPrep's.

    Their noise components stand in for those of `table`, as two decompositions must not be mixed.
    DataError when numbers of rows differ or a name occurs twice.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    if not extra:
        return table
    for other in extra:
        if len(other) != len(table):
            raise DataError(
                f"The confounds table has {len(table)} rows, but one that goes with it has "
                f"{len(other)} ({', '.join(map(str, other.columns[:3]))}, ...)."
            )
    if any(_is_aroma(name) for other in extra for name in other.columns):
        table = table.loc[:, [not _is_aroma(name) for name in table.columns]]
    # By position: rows are volumes, whatever the tables' indices.
    merged = pd.concat([part.reset_index(drop=True) for part in (table, *extra)], axis=1)
    check_unique(list(merged.columns), "The tables of one run together")
    return merged


def own_columns(tables: Sequence[tuple[str, str, pd.DataFrame]]) -> list[pd.DataFrame]:
    """Tables of the user's own, dataset, ``desc`` and table, with columns ``<dataset>.<column>``.

    A column that several tables of a dataset have is ``<dataset>:<desc>.<column>``.
    """
    often = Counter((dataset, column) for dataset, _, table in tables for column in table.columns)

    def renamed(dataset: str, desc: str, table: pd.DataFrame) -> pd.DataFrame:
        several = {column for column in table.columns if often[dataset, column] > 1}
        return table.rename(
            columns=lambda c: f"{dataset}:{desc}.{c}" if c in several else f"{dataset}.{c}"
        )

    return [renamed(*each) for each in tables]


def check_rows(
    table: Sized,
    called: object,
    n_volumes: int,
    hint: str | None = "Table and image must come from the same run of fMRIPrep.",
) -> None:
    """Refuse a table that has not a row for every volume."""
    if len(table) != n_volumes:
        raise DataError(
            f"{called} has {count(len(table), 'row')}, but the BOLD image has "
            f"{count(n_volumes, 'volume')}.",
            hint=hint,
        )


def check_unique(names: Iterable[str], where: object) -> None:
    """Refuse a column name that stands for two columns."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{where}: column {twice[0]} occurs twice.")


def numbers(table: pd.DataFrame, name: str, where: object) -> FloatArray:
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


def without_gaps(values: FloatArray, name: str, where: object) -> FloatArray:
    """Fill a first gap, of a derivative, by the next; DataError for another, or large values."""
    if len(values) > 1 and np.isnan(values[0]):
        values = np.concatenate([values[1:2], values[1:]])
    if values.size and np.isnan(values).all():
        raise DataError(f"{where}: column {name} is n/a throughout.")
    if not (usable := np.abs(values) < _LARGEST).all():
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
    if None not in map(parse_number, names):
        raise DataError(
            f"{path} has no header: its first row holds numbers.",
            hint="A confounds table of fMRIPrep names its columns in the first row.",
        )
    check_unique(names, path)
    for number, line in enumerate(lines[1:], 1):
        if line and (n_cells := line.count("\t") + 1) != len(names):
            raise DataError(f"{path}: row {number} has {n_cells} cells for {len(names)} columns.")


def _is_aroma(name: str) -> bool:
    return todays_name(name).startswith("aroma_")
