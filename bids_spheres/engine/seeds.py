"""Seed coordinates: where they come from and what they carry.

A `SeedTable` is a value: names, millimetre coordinates, a radius per seed, and,
where the source says so, networks and the space in which the coordinates live.
Published sets ship with the package as ``<Name>.tsv`` beside ``<Name>.json``; a
user's own table has the same form (or commas or semicolons), and only x, y and z are required.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.data.published import (
    data_folder,
    hint_for_seeds,
    published_seed_sets,
    unknown_seed_set,
)
from bids_spheres.errors import DataError, MissingInputError, UsageError, did_you_mean
from bids_spheres.files.text import is_there, read_json_object, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray

logger = logging.getLogger(__name__)

DEFAULT_RADIUS = 5.0
"""Radius in mm where neither the caller nor the table gives one (Power et al. 2011)."""

_LARGEST_RADIUS = 1000.0
"""mm. Larger than a head, so that a larger one is in other units or a slip of the finger."""

_FURTHEST = 10_000.0
"""mm. Coordinates that are further from the origin are none of a head in any space."""

_MISSING = frozenset({"", "n/a", "na", "nan"})

_COLUMNS = ("name", "x", "y", "z", "radius", "network")
"""Columns that are used."""

_KEYS = ("Space", "DefaultRadius")
"""Keys that are used of the JSON file beside a table."""

_NOTES = frozenset(
    {
        *("Name", "Description", "Authors", "License", "ReferencesAndLinks", "DOI", "Species"),
        *("DerivedFrom", "LevelType", "SpaceDescription", "Columns"),
    }
)
"""Keys that say where a table comes from, of BIDS atlas descriptions and of our published sets."""


@dataclass(frozen=True, eq=False)
class SeedTable:
    """Named seed coordinates.

    Parameters
    ----------
    label : str
        Short alphanumeric label of the set, e.g. ``"Power2011"``.
    names : tuple of str
        One unique name per seed.
    coordinates : (S, 3) array, mm
    radii : (S,) array, mm
        0 stands for the one voxel that holds the seed.
    networks : tuple of str, optional
        One per seed, ``"n/a"`` where a seed has none.
    space : str, optional
        BIDS name of the space of `coordinates`; None when the source does not say.
    published : bool
        True for the sets that ship with the package.
    metadata : mapping
        What the JSON file beside the table holds.
    scale : str, optional
        Short alphanumeric label that distinguishes sets which differ in radius only.
    """

    label: str
    names: tuple[str, ...]
    coordinates: FloatArray
    radii: FloatArray
    networks: tuple[str, ...] | None = None
    space: str | None = None
    published: bool = False
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scale: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        # A mapping proxy can't be pickled, and tables travel to worker processes.
        return {**self.__dict__, "metadata": dict(self.metadata)}

    def with_radius(self, radius: float) -> SeedTable:
        """The same seeds, all with one `radius` (mm)."""
        return replace(self, radii=np.full(len(self), check_radius(radius)))


def check_radius(radius: float) -> float:
    """`radius` as a float, if it is a length.

    Raises
    ------
    UsageError
        When it is negative, not a number, or longer than a metre.
    """
    value = float(radius)
    if not 0 <= value <= _LARGEST_RADIUS:
        raise UsageError(f"A radius must be a length in mm, not {radius!r}.")
    return value


def load_seeds(source: str | Path, radius: float | None = None) -> SeedTable:
    """Seeds of a published set or of a user's own table.

    Parameters
    ----------
    source : str or path
        Name of a published set (`published_seed_sets`), or path of a TSV or CSV table
        with columns ``x``, ``y``, ``z`` (mm) and optionally ``name``, ``radius`` (mm)
        and ``network``. A JSON file beside it may give ``Space`` and ``DefaultRadius``.
        Other columns and keys are not used, which is logged.
    radius : float, optional
        Radius in mm for every seed, over whatever the table says.

    Returns
    -------
    SeedTable

    Raises
    ------
    UsageError
        For a name that is neither a published set nor a file, or a file without letters and
        digits in its name.
    MissingInputError
        When there is no such file, or git-annex has not fetched its content.
    DataError
        For a table that can't be used; the message names the file, row and column.
    ReadWriteError
        When the operating system can't read it.
    """
    # A name is a published set's, or at least like one and no file's.
    is_name = isinstance(source, str) and (
        source in published_seed_sets() or (source.isalnum() and not Path(source).exists())
    )
    table = load_published_seeds(str(source)) if is_name else load_seed_file(source)
    return table if radius is None else table.with_radius(radius)


def load_published_seeds(name: str) -> SeedTable:
    """Seeds of a set that ships with the package.

    Raises
    ------
    UsageError
        When there is no such set; the message lists those that exist.
    """
    if name not in published_seed_sets():
        raise unknown_seed_set(name)
    folder = data_folder("seeds")
    metadata = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = (folder / f"{name}.tsv").read_text(encoding="utf-8")
    return _parse(text, where=f"seed set {name}", label=name, metadata=metadata, published=True)


def load_seed_file(path: str | Path) -> SeedTable:
    """Seeds of a user's own table (see `load_seeds`)."""
    path = Path(path)
    try:
        text = read_text(path, "seed table")
    except MissingInputError as error:
        raise MissingInputError(error.message, error.hint or hint_for_seeds(path)) from error
    label = seed_file_label(path)
    if not label:
        raise UsageError(
            f"No label can be made from the name of the seed table {path}.",
            hint="Rename it so that it has letters (a-z) or digits; they go into the output names.",
        )
    sidecar = path.with_suffix(".json")
    metadata = read_json_object(sidecar) if is_there(sidecar) and sidecar != path else {}
    table = _parse(text, where=str(path), label=label, metadata=metadata, published=False)
    columns = _header(text, str(path))
    _log_unused(path, "column", columns, {*_COLUMNS, "index"}, _COLUMNS)
    # BIDS describes columns under their names.
    _log_unused(sidecar, "key", metadata, {*_KEYS, *_NOTES, *columns}, _KEYS)
    return table


def seed_file_label(path: Path) -> str:
    """Label of a table of the user's: letters and digits of its name, up to its first dot.

    Examples
    --------
    >>> seed_file_label(Path("my seeds/régions-v2.tsv"))
    'regionsv2'
    """
    # As UTF-8 in every locale, so that outputs have the same names everywhere.
    name = os.fsencode(path.name).decode(errors="replace")
    plain = unicodedata.normalize("NFKD", name.split(".")[0])
    return re.sub(r"[^a-zA-Z0-9]", "", plain)


def _log_unused(
    path: Path, what: str, names: Iterable[str], known: set[str], used: Sequence[str]
) -> None:
    """Log columns or keys that are not used: one may be another's name misspelt."""
    for name in names:
        if name and name not in known:
            guess = did_you_mean(name, used)
            logger.info("%s", f"{path}: the {what} {name} is not used. {guess}".rstrip())


def _parse(
    text: str, *, where: str, label: str, metadata: dict[str, Any], published: bool
) -> SeedTable:
    rows = _rows(text, where)
    space = metadata.get("Space")
    if space is not None and (not isinstance(space, str) or not space.strip()):
        raise DataError(f"{where}: `Space` in the JSON file must be a name, not {space!r}.")
    networks = None
    if "network" in rows[0]:
        networks = tuple(" ".join(row["network"].split()) or NO_NETWORK for row in rows)
        _check_characters(networks, "network", where)
    return SeedTable(
        label=label,
        names=_names(rows, where),
        coordinates=_coordinates(rows, where),
        radii=_radii(rows, metadata, where),
        networks=networks,
        space=space,
        published=published,
        metadata=MappingProxyType(metadata),
    )


def _rows(text: str, where: str) -> list[dict[str, str]]:
    columns = _header(text, where)
    if missing := sorted({"x", "y", "z"} - set(columns)):
        raise DataError(
            f"{where}: no column {', '.join(missing)} (found: {', '.join(columns) or 'nothing'}).",
            hint="A seed table is TSV or CSV with a header; x, y and z in mm, "
            "optionally name, radius and network.",
        )
    if repeated := [name for name, count in Counter(columns).items() if count > 1]:
        raise DataError(f"{where}: there is more than one column {repeated[0]}.")
    _, *cells = _cells(text, where)
    if not cells:
        raise DataError(f"{where}: the table has no rows.")
    for number, row in enumerate(cells, start=1):
        if len(row) != len(columns):
            unclosed = any("\n" in cell for cell in row)
            raise DataError(
                f"{where}: row {number} has {len(row)} cells, the header {len(columns)}.",
                hint="A quotation mark at the start of a cell is not closed." if unclosed else None,
            )
    return [dict(zip(columns, row, strict=True)) for row in cells]


def _header(text: str, where: str) -> list[str]:
    """Names of the columns in small letters; empty for a table without a line."""
    header, *_ = [*_cells(text, where), []]
    return [name.lower() for name in header]


def _cells(text: str, where: str) -> list[list[str]]:
    """Cells of every row but those that are all blank, as spreadsheets leave at the end."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = next((mark for mark in "\t;" if mark in first), ",")
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            stripped = [cell.strip() for cell in cells]
            rows += [stripped] if any(stripped) else []
    except csv.Error as error:
        raise DataError(f"{where}: row {len(rows)} can't be read: {error}.") from error
    return rows


def _coordinates(rows: Sequence[dict[str, str]], where: str) -> FloatArray:
    coordinates = np.column_stack([_numbers(rows, axis, where) for axis in "xyz"])
    if (missing := np.isnan(coordinates)).any():
        raise DataError(f"{where}: a coordinate is missing in row {_first_row(missing)}.")
    if (far := np.abs(coordinates) > _FURTHEST).any():
        raise DataError(
            f"{where}: {coordinates[far][0]:g} in row {_first_row(far)} is no coordinate in mm.",
            hint="Coordinates are millimetres in the space of the images.",
        )
    return coordinates


def _first_row(flags: BoolArray) -> int:
    """Number of the first row with a flag, counted from 1."""
    return int(np.nonzero(flags)[0][0]) + 1


def _numbers(rows: Sequence[dict[str, str]], column: str, where: str) -> FloatArray:
    values = np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        if row[column].lower() in _MISSING:
            continue
        try:
            values[i] = _number(row[column])
        except ValueError:
            raise DataError(
                f"{where}: {row[column]!r} in row {i + 1}, column {column!r}, is not a number.",
                hint="Write decimals with a point." if "," in row[column] else None,
            ) from None
    return values


def _number(cell: str) -> float:
    if "_" in cell:
        raise ValueError(cell)  # 1_0 is ten to Python, and a slip to anyone else
    # Articles have a minus sign where keyboards have a hyphen.
    return float(cell.replace("\N{MINUS SIGN}", "-"))


def _names(rows: Sequence[dict[str, str]], where: str) -> tuple[str, ...]:
    width = len(str(len(rows)))
    # NA is a name, of the nucleus accumbens; only n/a is missing.
    given = [row.get("name", "") for row in rows]
    names = tuple(
        f"seed_{i:0{width}d}" if name in ("", "n/a") else name
        for i, name in enumerate(given, start=1)
    )
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{where}: the name {repeated[0]!r} stands in more than one row.",
            hint="Names become column headers, so each must be unique.",
        )
    _check_characters(names, "name", where)
    return names


def _check_characters(texts: Iterable[str], column: str, where: str) -> None:
    """Refuse what would break a table, or a terminal: tabs, newlines and their like."""
    for text in texts:
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
            raise DataError(
                f"{where}: the {column} {text[:60]!r} holds control characters.",
                hint="Take tabs and newlines out of it.",
            )


def _radii(rows: Sequence[dict[str, str]], metadata: dict[str, Any], where: str) -> FloatArray:
    default = metadata.get("DefaultRadius", DEFAULT_RADIUS)
    number = isinstance(default, int | float) and not isinstance(default, bool)
    if not number or not 0 <= default <= _LARGEST_RADIUS:
        raise DataError(f"{where}: `DefaultRadius` must be a length in mm, not {default!r}.")
    if "radius" not in rows[0]:
        return np.full(len(rows), float(default))
    radii = _numbers(rows, "radius", where)
    radii[np.isnan(radii)] = default
    if (bad := (radii < 0) | (radii > _LARGEST_RADIUS)).any():
        row = _first_row(bad)
        raise DataError(
            f"{where}: the radius in row {row} is not a length in mm: {radii[row - 1]:g}."
        )
    return radii


def scale_label(radius: float) -> str:
    """Label of the entity ``scale`` of spheres of a radius in mm.

    Examples
    --------
    >>> scale_label(6.5)
    '6p5mm'
    """
    return f"{radius:g}mm".replace(".", "p")


NO_NETWORK = "n/a"
"""How tables write that a seed has no network."""

_NO_NETWORKS = frozenset({NO_NETWORK, "uncertain", "none", "unassigned", "unlabelled", "na", ""})


def is_network(name: str) -> bool:
    """Whether a label is that of a network, and not what published tables write without one.

    Examples
    --------
    >>> [name for name in ("Visual", "Uncertain", "n/a") if is_network(name)]
    ['Visual']
    """
    return name.lower() not in _NO_NETWORKS
