"""Read files of our dataset as arrays, tables and sidecars: one reader for each kind."""

from __future__ import annotations

import csv
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.engine.spheres import ball_radius
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular
from bids_spheres.outputs.paths import REGIONS
from bids_spheres.outputs.sidecars import ANEW, read_sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.outputs.sidecars import Sidecar

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

_NA: dict[str, Any] = {"na_values": [MISSING], "keep_default_na": False}
"""``n/a`` and nothing else is missing in a table."""


class _WithSidecar:
    """Content of a table, whose sidecar is read when it is asked for."""

    path: Path

    @cached_property
    def sidecar(self) -> Sidecar:
        """Content of the sidecar; empty without one."""
        return read_sidecar(self.path, optional=True)


# Tables


def read_table(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Read a TSV file; `types` of columns whose words may look like numbers.

    MissingInputError when there is no file, ReadWriteError when it can't be read, DataError when
    it is no table. The other readers raise the same.
    """
    return _parsed(path, dtype=dict(types) if types else None)


@contextmanager
def _opened(path: Path, hint: str | None = None) -> Iterator[BufferedReader]:
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError as error:
        raise MissingInputError(f"There is no table {path}.", hint) from error
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ReadWriteError(f"{path} can't be read: {why}.") from error


def _parsed(path: Path, **rules: Any) -> pd.DataFrame:
    with _opened(path) as file:
        try:
            table: pd.DataFrame = pd.read_csv(file, sep="\t", **_NA, **rules)
        except ValueError as error:  # also of pandas, and of text that is not UTF-8
            raise DataError(f"{path} is no table: {' '.join(str(error).split())}") from error
    return table


def _floats(path: Path, table: pd.DataFrame) -> FloatArray:
    """Values of a table of numbers; columns without any number are NaN throughout."""
    try:
        return np.asarray(table.to_numpy(dtype=np.float64, na_value=np.nan))
    except ValueError as error:
        raise DataError(f"{path} has a cell that is not a number: {error}.", hint=ANEW) from error


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Cells of some columns of a table as text, in a fifth of the time that pandas takes.

    DataError when the table lacks one of them, has no rows, or was cut off.
    """
    try:
        text = _content(path).decode("utf-8-sig")
        header, *rows = csv.reader(text.splitlines(), delimiter="\t")
        cells = dict(zip(header, zip(*rows, strict=True), strict=True))
        return {name: cells[name] for name in columns}
    except (ValueError, KeyError, csv.Error) as error:  # also of text that is not UTF-8
        raise DataError(
            f"{path} is not a table written by bids_spheres: {type(error).__name__} {error}.",
            hint=ANEW,
        ) from error


def _content(path: Path) -> bytes:
    """Bytes of a table; one that does not end with a line end was cut off, maybe in a number."""
    with _opened(path, ANEW) as file:
        content = file.read()
    if not content.endswith(b"\n"):
        what = "was cut off: its last line has no end" if content else "is empty"
        raise DataError(f"{path} {what}.", hint=ANEW)
    return content


# Spheres


@dataclass(frozen=True, eq=False)
class Spheres(_WithSidecar):
    """The S spheres, or regions, of a seed set in one space of a run: columns of their table.

    Parameters
    ----------
    path : Path
        Of the table.
    names, networks : tuple of str
        ``n/a`` as the network of a sphere without one.
    coordinates : (S, 3) array
        Seeds, or centres of mass of regions, mm.
    radii : (S,) array
        mm; NaN or 0 for the single voxel that holds the seed; for regions, radii of balls with
        their volumes.
    voxels_asked, voxels_used, overlap : (S,) int arrays
        Voxels in the sphere, those used, and those used that are also in another sphere.
    coverage : (S,) array
        Share of the voxels that is used and has a signal.
    tsnr : (S,) array
        Temporal signal-to-noise ratio before cleaning.
    used, seed_in_mask : (S,) bool arrays
        Which have a series, and which use the voxel that holds the seed.
    """

    path: Path
    names: tuple[str, ...]
    networks: tuple[str, ...]
    coordinates: FloatArray
    radii: FloatArray
    voxels_asked: NDArray[np.intp]
    voxels_used: NDArray[np.intp]
    overlap: NDArray[np.intp]
    coverage: FloatArray
    tsnr: FloatArray
    used: BoolArray
    seed_in_mask: BoolArray

    def __repr__(self) -> str:
        return f"<Spheres: {len(self.names)}, {int(self.used.sum())} with a series>"

    @property
    def noun(self) -> str:
        """What to call one of them: sphere or region."""
        return "region" if _is_of_regions(self.path) else "sphere"

    @property
    def image(self) -> Path:
        """Path of the image whose voxels have the numbers of the spheres."""
        return self.path.with_suffix(".nii.gz")

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a row for every sphere, by its name."""
        columns = ("voxels_asked", "voxels_used", "coverage", "used", "overlap", "tsnr")
        return pd.DataFrame(
            {
                **dict(zip("xyz", self.coordinates.T, strict=True)),
                "radius": self.radii,
                "network": self.networks,
                **{column: getattr(self, column) for column in columns},
            },
            index=pd.Index(self.names, name="name"),
        )


_WORDS = ("name", "network")
_SPHERE_NUMBERS = (
    *("x", "y", "z", "radius", "voxels_asked", "voxels_used", "overlap", "coverage", "tsnr"),
    *("used", "seed_in_mask"),
)


def _is_of_regions(path: Path) -> bool:
    return f"_desc-{REGIONS}_" in path.name


def read_spheres(path: Path) -> Spheres:
    """Read a table of spheres or regions; DataError when a column is missing or wrong."""
    regions = _is_of_regions(path)
    other = {"radius": "volume", "seed_in_mask": "used"} if regions else {}
    columns = {name: other.get(name, name) for name in _SPHERE_NUMBERS}
    cells = read_columns(path, (*_WORDS, *dict.fromkeys(columns.values())))
    try:
        numbers = {
            name: np.array([float("nan" if cell == MISSING else cell) for cell in cells[column]])
            for name, column in columns.items()
        }
    except ValueError as error:
        raise DataError(
            f"{path} is not a table of spheres by bids_spheres: {error}.", hint=ANEW
        ) from error
    coordinates = np.stack([numbers[axis] for axis in "xyz"], axis=1)
    if not np.isfinite(coordinates).all():
        raise DataError(f"{path} is no table of spheres: a coordinate is missing.", ANEW)
    counts = ("voxels_asked", "voxels_used", "overlap")
    if regions:
        numbers["radius"] = ball_radius(numbers["radius"])
    return Spheres(
        path=path,
        names=cells["name"],
        networks=cells["network"],
        coordinates=coordinates,
        radii=numbers["radius"],
        **{name: np.nan_to_num(numbers[name]).astype(np.intp) for name in counts},
        coverage=numbers["coverage"],
        tsnr=numbers["tsnr"],
        used=numbers["used"] == 1,
        seed_in_mask=numbers["seed_in_mask"] == 1,
    )


# Series


@dataclass(frozen=True, eq=False)
class Series(_WithSidecar):
    """Series of a seed set, cleaned by a strategy or before cleaning.

    Parameters
    ----------
    path : Path
        Of the table.
    names : tuple of str
        Of the S spheres.
    values : (T, S) array
        A row for every volume; NaN for censored volumes and missing spheres.
    kept : (T,) bool array
        Volumes that are not censored.
    """

    path: Path
    names: tuple[str, ...]
    values: FloatArray
    kept: BoolArray

    def __repr__(self) -> str:
        kept = f"{int(self.kept.sum())} of {len(self.kept)} volumes"
        return f"<Series of {len(self.names)} spheres: {kept}>"

    @property
    def t_r(self) -> float:
        """Repetition time, s."""
        return float(self.sidecar.get("RepetitionTime", 1))

    @property
    def exclusion(self) -> str | None:
        """Why the strategy excludes the run; None when it does not."""
        return self.sidecar.get("Excluded")

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a row for every kept volume, by its number, and a column per sphere."""
        volumes = pd.Index(np.flatnonzero(self.kept), name="volume")
        return pd.DataFrame(self.values[self.kept], volumes, list(self.names))


def read_series(path: Path, outliers: Path | None = None) -> Series:
    """Read cleaned series, with kept volumes at their places in the run by the table of outliers.

    DataError when there is neither a row for each volume nor one for each kept volume.
    """
    table = _parsed(path)
    values, names = _floats(path, table), tuple(map(str, table.columns))
    kept = np.ones(len(values), dtype=bool) if outliers is None else read_kept(outliers)
    if len(values) == len(kept):
        return Series(path, names, values, kept)
    if len(values) != int(kept.sum()):
        raise DataError(
            f"{path} has {len(values)} rows, and {outliers} keeps {kept.sum()} of {len(kept)}.",
            hint="One of them is of another call; write both anew.",
        )
    full = np.full((len(kept), values.shape[1]), np.nan)
    full[kept] = values
    return Series(path, names, full, kept)


def read_uncleaned(path: Path) -> Series:
    """Read series of all volumes before cleaning; the sidecar names their columns."""
    values = _floats(path, _parsed(path, header=None, compression="gzip"))
    numbers = map(str, range(1, values.shape[1] + 1))
    names = read_sidecar(path, optional=True).get("Columns", numbers)
    return Series(path, tuple(names), values, np.ones(len(values), dtype=bool))


def read_kept(path: Path) -> BoolArray:
    """Volumes that are not censored, (T,) bool, by a table of outliers."""
    return np.asarray(read_table(path)["censored"].to_numpy() == 0)


# Matrices


@dataclass(frozen=True, eq=False)
class Matrix(_WithSidecar):
    """Relations of all pairs of spheres.

    Parameters
    ----------
    path : Path
        Of the table.
    names : tuple of str
        Of the S spheres.
    values : (S, S) array
        NaN where a sphere is missing.
    """

    path: Path
    names: tuple[str, ...]
    values: FloatArray

    def __repr__(self) -> str:
        return f"<Matrix of {len(self.names)} spheres: {self.title}>"

    @property
    def title(self) -> str:
        """Name of the measure in the sidecar."""
        return self.sidecar.get("RelationshipMeasure", "relation")

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a row and a column for every sphere."""
        return pd.DataFrame(self.values, list(self.names), list(self.names))


def read_matrix(path: Path) -> Matrix:
    """Read a whole matrix; DataError when it is no table of numbers or not square."""
    table = _parsed(path)
    values = _floats(path, table.iloc[:, 1:])
    if values.shape[0] != values.shape[1]:
        shape = f"{values.shape[0]} rows, {values.shape[1]} columns"
        raise DataError(f"{path} is not square: {shape}.", hint=ANEW)
    return Matrix(path, tuple(map(str, table.columns[1:])), values)


def read_upper_triangle(path: Path, names: tuple[str, ...], *, diagonal: bool) -> FloatArray:
    """Upper triangle of a symmetric matrix of S named nodes, row by row.

    Returns S (S - 1) / 2 entries, or S (S + 1) / 2 with the diagonal; NaN for missing ones. The
    lower triangle is the same and not parsed: 264 nodes take 4 ms, and the whole table 13 ms, most
    of them for its 264 columns. DataError when the file has other nodes, is not square, was cut
    off, or has a cell that is not a number.
    """
    header, *lines = _content(path)[:-1].split(b"\n")
    # Only the header is parsed as CSV, which quotes names with quotes in them.
    (columns,) = csv.reader([header.decode(errors="replace")], delimiter="\t")
    other = DataError(f"{path} has other nodes than the table of its spheres.", hint=ANEW)
    if tuple(columns) != ("Node", *names):
        raise other
    if {len(names)} != {len(lines), *(line.count(b"\t") for line in lines)}:
        raise DataError(f"{path} is not square, with a row and a column per sphere.", hint=ANEW)
    # A row has its name, the cells before the diagonal, maybe the diagonal, and the rest.
    first = 1 if diagonal else 2
    rows = [line.split(b"\t", number) for number, line in enumerate(lines, start=first)]
    if [row[0] for row in rows] != header.split(b"\t")[1:]:
        raise other
    text = b"\t".join(row[-1] for number, row in enumerate(rows, start=first) if len(row) > number)
    size = len(names) * (len(names) + (1 if diagonal else -1)) // 2
    if not size:
        return np.zeros(0)
    cells = BytesIO(text)
    try:
        table = pd.read_csv(cells, header=None, lineterminator="\t", dtype=np.float64, **_NA)
    except ValueError as error:
        raise DataError(f"{path} has a cell that is not a number: {error}.", hint=ANEW) from error
    values = np.asarray(table[0])
    if len(values) != size:  # an empty cell is an empty line, which counts as none
        raise DataError(f"{path} has an empty cell.", hint=ANEW)
    if np.isinf(values).any():
        raise DataError(f"{path} holds a number that is not finite.", hint=ANEW)
    return values
