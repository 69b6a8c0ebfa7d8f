"""Seed tables: names, coordinates in mm, radii and, if the source has them, networks and a space.

Published sets ship with the package as ``<Name>.tsv`` beside ``<Name>.json``; a user's own list may
have any form that `bids_spheres.engine.seed_columns` understands.
"""

from __future__ import annotations

import json
import logging
import os
import unicodedata
from dataclasses import dataclass, field, replace
from functools import partial
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
from bids_spheres.engine.seed_columns import SeedColumns, numbered, read_columns
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, UsageError, did_you_mean
from bids_spheres.files.names import plain_label
from bids_spheres.files.text import is_there, parse_number, read_json_object, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.engine.regions import RegionImage

logger = logging.getLogger(__name__)

DEFAULT_RADIUS = 5.0  # mm, where neither the caller nor the table gives one (Power et al. 2011)

_LARGEST_RADIUS = 1000.0  # mm; larger than a head, so in other units or a slip of the finger
_FURTHEST = 10_000.0  # mm; coordinates further from the origin are none of a head in any space

_LARGEST_IN_METRES, _LARGEST_IN_CENTIMETRES = 0.15, 12.0
"""Coordinates of a head in other units; of a list in mm, some seed lies further out."""

TYPED_LABEL = "typed"  # label of the set of seeds that were typed

_AS_TYPED = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "_": "?"})

_KEYS = ("Space", "DefaultRadius", "Units")  # keys that are used of the JSON file beside a table

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
    regions : RegionImage, optional
        Where rows are regions of an image, and not spheres: `coordinates` are then centres of mass
        and `radii` those of balls of the same volumes.
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
    regions: RegionImage | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        # A mapping proxy can't be pickled, and tables travel to worker processes.
        return {**self.__dict__, "metadata": dict(self.metadata)}

    def with_radius(self, radius: float) -> SeedTable:
        """The same seeds, all with one `radius` (mm)."""
        return replace(self, radii=np.full(len(self), check_radius(radius)))


def check_radius(radius: float) -> float:
    """`radius` as a float, if it is a length of at most a metre; else UsageError."""
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
        and ``network``, under these or other usual names, or without a header. A JSON file beside
        it may give ``Space`` and ``DefaultRadius``. What is understood otherwise than it is
        written, and what is not used, is logged.
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
    """Seeds of a set that ships with the package; UsageError when there is no such set."""
    if name not in published_seed_sets():
        raise unknown_seed_set(name)
    folder = data_folder("seeds")
    metadata = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = (folder / f"{name}.tsv").read_text(encoding="utf-8")
    where = f"seed set {name}"
    return replace(_table(read_columns(text, where), where, name, metadata), published=True)


def load_seed_file(path: str | Path) -> SeedTable:
    """Seeds of a user's own table (see `load_seeds`)."""
    path = Path(path)
    text = read_text(path, "seed table", hint=hint_for_seeds(path))
    if not (label := seed_file_label(path)):
        raise UsageError(
            f"No label can be made from the name of the seed table {path}.",
            hint="Rename it so that it has letters (a-z) or digits; they go into the output names.",
        )
    sidecar = path.with_suffix(".json")
    metadata = read_json_object(sidecar) if is_there(sidecar) and sidecar != path else {}
    columns = read_columns(text, str(path))
    report = partial(logger.warning, "%s: %s", path)
    table = _table(columns, str(path), label, metadata, report)
    # BIDS describes columns under their names.
    known = {*_KEYS, *_NOTES}
    for key in [k for k in metadata if k not in known and k.lower() not in columns.described]:
        guess = did_you_mean(key, _KEYS)
        logger.info("%s", f"{sidecar}: the key {key} is not used. {guess}".rstrip())
    return table


def typed_seeds(words: Sequence[str]) -> SeedTable:
    """Seeds typed as ``x,y,z`` or ``NAME=x,y,z``, in mm.

    >>> typed_seeds(["PCC=0,-52,18", "-38,-22,56"]).names
    ('PCC', 'seed_2')
    """
    named = [word.rpartition("=") for word in words]
    rows = [point.split(",") for _, _, point in named]
    cells = {axis: [row[i].strip() for row in rows] for i, axis in enumerate("xyz")}
    cells["name"] = [name.strip() for name, _, _ in named]
    return _table(SeedColumns(cells), "--seeds", TYPED_LABEL, {})


def seeds_from(source: object) -> SeedTable | None:
    """Seeds of a set's name, a path or a data frame, as `load_seeds`; None for anything else."""
    if isinstance(source, SeedTable):
        return source
    if isinstance(source, str | os.PathLike):
        return load_seeds(source if isinstance(source, str) else Path(source))
    if not hasattr(source, "to_csv"):
        return None
    text: str = source.to_csv(sep="\t", index=False)
    return _table(read_columns(text, "seeds"), "seeds", "seeds", {}, warn)


def seed_file_label(path: Path) -> str:
    """Label of a table of the user's: letters and digits of its name, up to its first dot.

    >>> seed_file_label(Path("my seeds/régions-v2.tsv"))
    'regionsv2'
    """
    # As UTF-8 in every locale, so that outputs have the same names everywhere.
    name = os.fsencode(path.name).decode(errors="replace")
    plain = unicodedata.normalize("NFKD", name.split(".")[0])
    return plain_label(plain)


def _table(
    columns: SeedColumns,
    where: str,
    label: str,
    metadata: dict[str, Any],
    report: Callable[[str], object] = logger.debug,
) -> SeedTable:
    """Seed table of columns; `report` gets notes on what was understood."""
    cells, notes = columns.cells, list(columns.notes)
    space = metadata.get("Space", columns.space)
    if space is not None and (not isinstance(space, str) or not space.strip()):
        raise DataError(f"{where}: `Space` in the JSON file must be a name, not {space!r}.")
    coordinates = np.column_stack([_numbers(cells[axis], axis, where) for axis in "xyz"])
    _check_coordinates(coordinates, where, columns.in_mm or metadata.get("Units") == "mm")
    networks = None
    if "network" in cells:
        networks = tuple(" ".join(cell.split()) or NO_NETWORK for cell in cells["network"])
        _check_characters(networks, "network", where)
    width, n = len(str(len(coordinates))), len(coordinates)
    # NA is a name, of the nucleus accumbens; only n/a is missing.
    given = [
        f"seed_{i:0{width}d}" if name in ("", "n/a") else name
        for i, name in enumerate(cells.get("name", [""] * n), start=1)
    ]
    _check_characters(given, "name", where)
    default = metadata.get("DefaultRadius", DEFAULT_RADIUS)
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if not is_number or not 0 <= default <= _LARGEST_RADIUS:
        raise DataError(f"{where}: `DefaultRadius` must be a length in mm, not {default!r}.")
    radii = _numbers(cells.get("radius", [""] * n), "radius", where) / (2 if columns.halved else 1)
    radii[np.isnan(radii)] = default
    if (bad := ~((radii >= 0) & (radii <= _LARGEST_RADIUS))).any():
        row = _first_row(bad)
        raise DataError(
            f"{where}: the radius in row {row} is not a length in mm: {radii[row - 1]:g}."
        )
    names = numbered(given, notes)
    for note in notes:
        report(note)
    facts = MappingProxyType(metadata)
    return SeedTable(label, names, coordinates, radii, networks, space, metadata=facts)


def _check_coordinates(coordinates: FloatArray, where: str, in_mm: bool) -> None:
    """Refuse what is missing, and what is in other units than mm."""
    if (missing := np.isnan(coordinates)).any():
        raise DataError(f"{where}: a coordinate is missing in row {_first_row(missing)}.")
    if (far := np.abs(coordinates) > _FURTHEST).any():
        raise DataError(
            f"{where}: {coordinates[far][0]:g} in row {_first_row(far)} is no coordinate in mm.",
            hint="Coordinates are millimetres in the space of the images.",
        )
    largest, broken = np.abs(coordinates).max(initial=0), (coordinates % 1 != 0).any(axis=1)
    metres = 0 < largest < _LARGEST_IN_METRES
    centimetres = len(coordinates) > 1 and broken.all() and largest < _LARGEST_IN_CENTIMETRES
    if (metres or centimetres) and not in_mm:
        raise DataError(
            f"{where}: no coordinate is further than {largest:g} from the origin: these look like "
            f"{'metres' if metres else 'centimetres'}, not mm.",
            hint='Write millimetres. If they are, say so: "Units": "mm" in the JSON file beside '
            "the table, or x (mm) in its header.",
        )


def _first_row(flags: BoolArray) -> int:
    """Number of the first row with a flag, counted from 1."""
    return int(np.nonzero(flags)[0][0]) + 1


def _numbers(cells: Sequence[str], column: str, where: str) -> FloatArray:
    # Articles have other signs where keyboards have a hyphen, and 1_0 is ten to Python.
    values = [parse_number(cell.translate(_AS_TYPED)) for cell in cells]
    if None in values:
        cell, row = cells[values.index(None)], values.index(None) + 1
        raise DataError(
            f"{where}: {cell!r} in row {row}, column {column!r}, is not a number.",
            hint="Write decimals with a point." if "," in cell else None,
        )
    return np.array(values, dtype=np.float64)


def _check_characters(texts: Iterable[str], column: str, where: str) -> None:
    """Refuse what would break a table, or a terminal: tabs, newlines and their like."""
    for text in texts:
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
            raise DataError(
                f"{where}: the {column} {text[:60]!r} holds control characters.",
                hint="Take tabs and newlines out of it.",
            )


def scale_label(radius: float) -> str:
    """Label of the entity ``scale`` of spheres of a radius in mm.

    >>> scale_label(6.5)
    '6p5mm'
    """
    return f"{radius:g}mm".replace(".", "p")


NO_NETWORK = "n/a"  # how tables write that a seed has no network

_NO_NETWORKS = frozenset({NO_NETWORK, "uncertain", "none", "unassigned", "unlabelled", "na", ""})


def is_network(name: str) -> bool:
    """Whether a label is that of a network, and not what published tables write without one.

    >>> [name for name in ("Visual", "Uncertain", "n/a") if is_network(name)]
    ['Visual']
    """
    return name.lower() not in _NO_NETWORKS
