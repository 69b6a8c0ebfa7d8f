"""Names of the regions of an image, from the table that belongs to it.

A table of BIDS (``index``, ``name``), whose entities are among the image's, FSL's XML, a colour
table of FreeSurfer, or any other table of the image's own name.
"""

from __future__ import annotations

import csv
import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError
from bids_spheres.files.text import read_text
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ENDINGS = (".tsv", ".csv", ".txt", ".lut", ".ctab", ".xml")


@dataclass(frozen=True)
class Labels:
    """Names of regions and, if the table has them, their networks; and what to know of them."""

    names: tuple[str, ...]
    networks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def region_labels(path: Path, numbers: Sequence[int], *, maps: bool) -> Labels:
    """Names of regions of an image by their numbers.

    Those are labels in the image, or numbers of its maps from 0, which tables may count from 1.
    DataError when the table can't be read, or has another number of maps.
    """
    width = len(str(max(numbers, default=0)))
    plain = {n: f"region_{n + maps:0{width}d}" for n in numbers}
    table = next(_tables(path), None)
    if table is None:
        note = "No table of names beside it; regions are called by their numbers."
        return Labels(tuple(plain.values()), notes=(note,))
    rows = _read_table(table, maps=maps)
    if maps:
        if len(rows) != len(numbers):
            raise DataError(
                f"{table} names {count(len(rows), 'region')}, and {path.name} has "
                f"{count(len(numbers), 'map')}."
            )
        rows = dict(enumerate(row for _, row in sorted(rows.items())))
    without = [n for n in numbers if n not in rows]
    notes = [f"{table.name} does not name {count(len(without), 'region')}."] if without else []
    absent = sorted(set(rows) - set(numbers) - {0})
    if absent:
        have = plural(len(absent), "has", "have")
        notes.append(f"{count(len(absent), 'region')} of {table.name} {have} no voxel: left out.")
    found = [rows.get(n, ("", "")) for n in numbers]
    names = tuple(name or plain[n] for n, (name, _) in zip(numbers, found, strict=True))
    networks = tuple(network for _, network in found) if any(n for _, n in found) else ()
    return Labels(names, networks, tuple(notes))


def _tables(path: Path) -> Iterator[Path]:
    """Tables that may belong to an image, the nearest first."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    yield from (file for end in _ENDINGS if (file := path.with_name(stem + end)).is_file())
    own = set(stem.split("_"))
    for folder in (path.parent, *path.absolute().parents[1:3]):
        for file in sorted(folder.glob("*.tsv")):
            parts = set(file.name.split(".")[0].split("_"))
            # By BIDS, a table is of all images that have its entities.
            if parts <= own and parts & own - {"dseg", "probseg"}:
                yield file
    family = re.split(r"-(?:max)?prob", stem)[0]
    for folder in (path.parent, path.absolute().parent.parent):
        for file in sorted(folder.glob("*.xml")):
            if f"/{family}-" in read_text(file, "table of regions"):
                yield file


def _read_table(path: Path, *, maps: bool) -> dict[int, tuple[str, str]]:
    """Name and network of every number of a table."""
    text = read_text(path, "table of regions")
    if path.suffix == ".xml":
        found = re.findall(r'<label\s[^>]*?index="(\d+)"[^>]*>([^<]*)</label>', text)
        # Of probabilistic atlases FSL counts from 0, and the image of the likeliest from 1.
        shift = int(not maps and "probabilistic" in text.lower())
        return {int(n) + shift: (html.unescape(name).strip(), "") for n, name in found}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    coloured = [re.fullmatch(r"\s*(\d+)\s+(\S.*?)((?:\s+\d+){3,4})?\s*", line) for line in lines]
    if lines and all(coloured) and not any("," in line for line in lines):
        return {int(m[1]): (m[2].strip(), "") for m in coloured if m}
    delimiter = next((mark for mark in "\t,;" if lines and mark in lines[0]), "\t")
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    columns = {name.strip().lower(): i for i, name in enumerate(header)}

    def column(*names: str) -> int | None:
        return next((columns[name] for name in names if name in columns), None)

    index, name = column("index", "label", "value", "id"), column("name", "region", "label", "roi")
    if index is None or name is None or index == name:
        raise DataError(
            f"{path} has no columns index and name (found: {', '.join(header)}).",
            hint="A table of regions has a row for each: its index in the image, and its name.",
        )
    network = column("network", "network_label", "network_name", "networks")
    try:
        return {
            int(float(row[index])): (
                row[name].strip(),
                row[network].strip() if network is not None else "",
            )
            for row in rows
        }
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{path}: an index is not a whole number, or a row is too short."
        ) from error
