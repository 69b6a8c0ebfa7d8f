"""Seed coordinates: where they come from and what they carry.

A `SeedTable` is a value: names, millimetre coordinates, a radius per seed, and,
where the source says so, networks and the space in which the coordinates live.
Published sets ship with the package as ``<Name>.tsv`` beside ``<Name>.json``; a
user's own table has the same form (or commas), and only x, y and z are required.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.errors import (
    DataError,
    MissingInputError,
    ReadWriteError,
    UsageError,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from numpy.typing import NDArray

DEFAULT_RADIUS = 5.0
"""Radius in mm where neither the caller nor the table gives one (Power et al. 2011)."""

_MISSING = frozenset({"", "n/a", "na", "nan"})


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
        Short alphanumeric label that tells sets apart which differ by their radius only.
    """

    label: str
    names: tuple[str, ...]
    coordinates: NDArray[np.float64]
    radii: NDArray[np.float64]
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
        When it is negative, infinite or not a number.
    """
    value = float(radius)
    if not np.isfinite(value) or value < 0:
        raise UsageError(f"A radius must be a length in mm, not {radius!r}.")
    return value


def published_seed_sets() -> tuple[str, ...]:
    """Names of the seed sets that ship with the package."""
    folder = _published_folder()
    return tuple(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".tsv")))


def load_seeds(source: str | Path, radius: float | None = None) -> SeedTable:
    """Seeds of a published set or of a user's own table.

    Parameters
    ----------
    source : str or path
        Name of a published set (`published_seed_sets`), or path of a TSV or CSV table
        with columns ``x``, ``y``, ``z`` (mm) and optionally ``name``, ``radius`` (mm)
        and ``network``. A JSON file beside it may give ``Space`` and ``DefaultRadius``.
    radius : float, optional
        Radius in mm for every seed, over whatever the table says.

    Returns
    -------
    SeedTable

    Raises
    ------
    UsageError
        For a name that is neither a published set nor a file.
    DataError
        For a table that can't be used; the message names the file, row and column.
    """
    table = _load_published(str(source)) if _is_name(source) else _load_file(Path(source))
    return table if radius is None else table.with_radius(radius)


def load_published_seeds(name: str) -> SeedTable:
    """Seeds of a set that ships with the package.

    Raises
    ------
    UsageError
        When there is no such set; the message lists those there are.
    """
    return _load_published(name)


def load_seed_file(path: str | Path) -> SeedTable:
    """Seeds of a user's own table (see `load_seeds`)."""
    return _load_file(Path(path))


def _published_folder() -> Traversable:
    return resources.files("bids_spheres") / "data" / "seeds"


def _is_name(source: str | Path) -> bool:
    """Whether a text is meant as the name of a set, and not as that of a file."""
    if not isinstance(source, str) or source in published_seed_sets():
        return isinstance(source, str)
    return source.isalnum() and not Path(source).exists()


def _unknown_set(name: str) -> UsageError:
    known = published_seed_sets()
    return UsageError(
        f"There is no built-in seed set named {name!r}.",
        hint=f"{did_you_mean(name, known)}The sets are: {', '.join(known)}. "
        "For a table of your own use --seeds FILE.",
    )


def _load_published(name: str) -> SeedTable:
    if name not in published_seed_sets():
        raise _unknown_set(name)
    folder = _published_folder()
    metadata = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = (folder / f"{name}.tsv").read_text(encoding="utf-8")
    return _parse(text, where=f"seed set {name}", label=name, metadata=metadata, published=True)


def _load_file(path: Path) -> SeedTable:
    if not path.is_file():
        raise MissingInputError(
            f"The seed table {path} is not there.",
            hint=f"Built-in sets are: {', '.join(published_seed_sets())}.",
        )
    label = re.sub(r"[^a-zA-Z0-9]", "", path.name.split(".")[0])
    if not label:
        raise UsageError(
            f"No label can be made from the name of the seed table {path}.",
            hint="Rename it so that it has letters or digits; they go into the output names.",
        )
    text = _read_text(path)
    return _parse(text, where=str(path), label=label, metadata=_read_sidecar(path), published=False)


def _read_text(path: Path) -> str:
    try:
        # utf-8-sig: spreadsheets like to write a byte order mark
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}).",
            hint="Save the table as TSV or CSV with UTF-8 encoding.",
        ) from error
    except OSError as error:
        raise ReadWriteError(f"{path}: {error.strerror or error}.") from error


def _read_sidecar(path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".json")
    if sidecar == path or not sidecar.is_file():
        return {}
    try:
        metadata = json.loads(_read_text(sidecar))
    except json.JSONDecodeError as error:
        raise DataError(f"{sidecar} is not valid JSON: {error}.") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{sidecar} must hold a JSON object, not a {type(metadata).__name__}.")
    return metadata


def _parse(
    text: str, *, where: str, label: str, metadata: dict[str, Any], published: bool
) -> SeedTable:
    rows = _rows(text, where)
    coordinates = np.column_stack([_numbers(rows, axis, where) for axis in "xyz"])
    if not np.isfinite(coordinates).all():
        raise DataError(f"{where}: a coordinate is missing in row {_first_bad(coordinates)}.")
    return SeedTable(
        label=label,
        names=_names(rows, where),
        coordinates=coordinates,
        radii=_radii(rows, metadata, where),
        networks=_networks(rows),
        space=_space(metadata, where),
        published=published,
        metadata=MappingProxyType(metadata),
    )


def _space(metadata: dict[str, Any], where: str) -> str | None:
    space = metadata.get("Space")
    if space is not None and not isinstance(space, str):
        raise DataError(f"{where}: `Space` in the JSON file must be a name, not {space!r}.")
    return space


def _rows(text: str, where: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    header = next(csv.reader(lines[:1], delimiter=delimiter), [])
    columns = [name.strip().lower() for name in header]
    if missing := sorted({"x", "y", "z"} - set(columns)):
        raise DataError(
            f"{where}: no column {', '.join(missing)} (found: {', '.join(columns) or 'nothing'}).",
            hint="A seed table is TSV or CSV with a header; x, y and z in mm, "
            "optionally name, radius and network.",
        )
    if repeated := [name for name, count in Counter(columns).items() if count > 1]:
        raise DataError(f"{where}: there is more than one column {repeated[0]}.")
    rows = [
        dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        for cells in _cells(lines[1:], delimiter, len(columns), where)
    ]
    if not rows:
        raise DataError(f"{where}: the table has no rows.")
    return rows


def _cells(lines: list[str], delimiter: str, width: int, where: str) -> Iterator[list[str]]:
    """Cells of every row, all of one width."""
    number = 0
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
            if len(cells) != width:
                raise DataError(
                    f"{where}: row {number} has {len(cells)} cells, the header {width}."
                )
            yield cells
    except csv.Error as error:
        raise DataError(f"{where}: row {number + 1} can't be read: {error}.") from error


def _numbers(rows: Sequence[dict[str, str]], column: str, where: str) -> NDArray[np.float64]:
    values = np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        if row[column].lower() in _MISSING:
            continue
        try:
            values[i] = float(row[column])
        except ValueError:
            raise DataError(
                f"{where}: {row[column]!r} in row {i + 1}, column {column!r}, is not a number."
            ) from None
    return values


def _first_bad(values: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0]) + 1


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
    if bad := [name for name in names if not name.isprintable()]:
        raise DataError(f"{where}: the name {bad[0]!r} holds control characters.")
    return names


def _radii(
    rows: Sequence[dict[str, str]], metadata: dict[str, Any], where: str
) -> NDArray[np.float64]:
    default = metadata.get("DefaultRadius", DEFAULT_RADIUS)
    number = isinstance(default, int | float) and not isinstance(default, bool)
    if not number or not 0 <= default < float("inf"):
        raise DataError(f"{where}: `DefaultRadius` must be a length in mm, not {default!r}.")
    if "radius" not in rows[0]:
        return np.full(len(rows), float(default))
    radii = _numbers(rows, "radius", where)
    radii[np.isnan(radii)] = default
    if not np.isfinite(radii).all() or (radii < 0).any():
        row = int(np.flatnonzero(~np.isfinite(radii) | (radii < 0))[0])
        raise DataError(f"{where}: the radius in row {row + 1} is not a length: {radii[row]:g}.")
    return radii


def _networks(rows: Sequence[dict[str, str]]) -> tuple[str, ...] | None:
    if "network" not in rows[0]:
        return None
    return tuple(" ".join(row["network"].split()) or "n/a" for row in rows)
