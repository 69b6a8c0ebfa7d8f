"""Lists of seeds as people write and publish them, to columns under the names used here.

What is understood - no header or one of two lines, a title, axes called R, A and S or ``MNI X``,
three numbers in one cell - is written down in the notes. What is not, and may change numbers, is an
error: the size of spheres, their space, several coordinates, a side of the brain that contradicts.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, did_you_mean
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FRAME = (
    r"((?:mni(?:152)?|tal(?:airach)?|mm|coords?|coordinates?|cent(?:er|re|roid)|peak"
    r"|pos(?:ition)?|seed|roi)*)"
)
_AXIS = re.compile(f"{_FRAME}([xyz]){_FRAME}")
_OTHER_UNITS = re.compile(r"[xyz](?:in)?(?:c?m|vox(?:els?)?|ind(?:ex)?)|vox(?:els?)?[xyz]|[ijk]")
_SIZE = re.compile(r"(?:roi|sphere|seed)?(?:r|rad|radius|d|diam|diameter)(?:in)?(?:mm)?")
_DIAMETER = re.compile("(?:roi|sphere|seed)?d")
_CHANGES_SIZE = re.compile(
    r"radius|diam|^sphere|^(?:roi|seed|region)?(?:size|extent)(?:in)?(?:mm|vox(?:els?)?)?$|^units?$"
)
_CHANGES_PLACE = re.compile(
    r"(?:mni|coord(?:inate)?s?|ref(?:erence)?|roi|seed|atlas|template|stereotaxic)"
    r"(?:spaces?|sys(?:tem)?|frame)|spaces?name|template(?:space|name)"
)
_NAMES_A_SPACE = re.compile(
    r"\W*(?:mni(?![a-z])|icbm|talairach|tal\W*$|t[12]w\b|native|scanner)", re.IGNORECASE
)
_MINUS = "\N{MINUS SIGN}\N{EN DASH}-"
_NUMBER = rf"[+{_MINUS}]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TRIPLET = re.compile(rf"[\s(\[]*({_NUMBER})[\s,;]+({_NUMBER})[\s,;]+({_NUMBER})[\s)\]]*")

_NAMES = (
    *("name", "roiname", "regionname", "labelname", "roilabel", "anatomicallabel", "region"),
    *("roi", "label", "node", "seed", "area", "brainregion", "structure", "anatomy", "location"),
)
"""What a column of names may be called; of several the first counts."""

_NETWORKS = ("network", "networkname", "netname", "net", "system")
_SIDES = ("hemisphere", "hemi", "side", "lr")
_REMARKS = frozenset({"comment", "comments", "note", "notes", "description", "reference", "doi"})
_INDICES = frozenset({"", "index", "number", "no", "nr", "id", "n", "idx", "roinumber", "roiid"})
_BRAINNET = ("x", "y", "z", "colour of node", "size of node", "name")
"""Columns of a node file of BrainNet Viewer, which has no header."""


@dataclass(frozen=True)
class SeedColumns:
    """Columns ``x``, ``y``, ``z`` and, where there are such, ``name``, ``radius`` and ``network``.

    `notes` say what was understood otherwise than written, and what is not used; `space` is what
    columns say; `described` are the names of all columns, in small letters; `in_mm` whether the
    header says so, and `halved` whether ``radius`` holds diameters.
    """

    cells: Mapping[str, list[str]]
    notes: tuple[str, ...] = ()
    space: str | None = None
    described: tuple[str, ...] = ()
    in_mm: bool = False
    halved: bool = False


def read_columns(text: str, where: str) -> SeedColumns:
    """Columns of the text of a seed table, called `where` in messages.

    Cells are apart by tabs, semicolons, commas or blanks, or as a line ``sep=`` says; lines that
    begin with ``#``, ``%`` or ``//`` are comments. DataError when rows differ in length, a column
    is missing or there twice, or one may change numbers and is not understood.
    """
    notes: list[str] = []
    header, rows = _header_and_rows(text, where, notes)
    if not rows and _axes(header):
        raise DataError(f"{where}: the table has no rows.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            unclosed = any("\n" in cell for cell in row)
            raise DataError(
                f"{where}: row {number} has {len(row)} cells, the header {len(header)}.",
                hint="A quotation mark at the start of a cell is not closed." if unclosed else None,
            )
    table = [(name, [row[i] for row in rows]) for i, name in enumerate(header)]
    return _understood(table, where, notes)


def _header_and_rows(text: str, where: str, notes: list[str]) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the cells of every row that is not blank."""
    rows, comment = _cells(text, where)
    while len(rows) > 1 and sum(map(bool, rows[0])) == 1 and len(rows[1]) >= 3:
        notes.append(f"The line {rows[0][0] or ''.join(rows[0])!r} is taken for a title.")
        rows = rows[1:]
    if not rows or not _is_data(rows[0]):
        header, rows = (rows[0], rows[1:]) if rows else ([], [])
        if rows and not _is_data(rows[0]) and _axes(rows[0]) and not _axes(header):
            # Two lines: "MNI coordinates" above "x", "y" and "z"
            header, rows = [low or up for up, low in zip(header, rows[0], strict=False)], rows[1:]
    elif comment and len(comment) == len(rows[0]) and _axes(comment):
        header = comment
    else:
        header, rows = _without_header(rows, where)
        known = listing([name for name in header if name in {"x", "y", "z", "name"}])
        notes.append(f"The table has no header; its columns are taken for {known}.")
    return header, rows


def _cells(text: str, where: str) -> tuple[list[list[str]], list[str]]:
    """Cells of all rows that are not blank, and those of the last comment before them."""
    lines = text.split("\n")
    separator = re.fullmatch(r'"?sep=(.)"?\s*', lines[0])
    comment = ""
    body: list[str] = []
    for line in lines[1:] if separator else lines:
        if line.strip().startswith(("#", "%", "//")):
            comment = comment if body else line.strip().lstrip("#%/ ")
        elif body or line.strip():
            body.append(line.strip(" "))
    filled = [line for line in [comment, *body] if line.strip()]
    often = [m for m in "\t;," if 2 * sum(m in line for line in filled) > len(filled)]
    delimiter = separator[1] if separator else (often or [" "])[0]
    rows: list[list[str]] = []
    blanks = delimiter == " "
    try:
        for part in (io.StringIO("\n".join(body), newline=""), [comment]):
            for row in csv.reader(part, delimiter=delimiter, skipinitialspace=blanks):
                cells = [cell.strip() for cell in row]
                rows += [cells] if any(cells) else []
    except csv.Error as error:
        raise DataError(f"{where}: row {len(rows)} can't be read: {error}.") from error
    own = rows.pop() if comment else []
    if blanks and len({len(row) for row in rows}) > 1:
        rows = [_joined(row, 0 if _is_data(rows[0]) else len(rows[0])) for row in rows]
    while rows and len(rows[0]) > 3 and not any(row[-1] for row in rows):
        rows = [row[:-1] for row in rows]  # every line ends with what is between cells
    return rows, own


def _joined(row: list[str], width: int) -> list[str]:
    """Cells between blanks, where names may hold blanks: the last name of `width` cells, or all."""
    if width:
        return [*row[: width - 1], " ".join(row[width - 1 :])] if len(row) > width else row
    words = groupby(row, key=_is_number)
    return [cell for number, own in words for cell in (own if number else [" ".join(own)])]


def _is_number(cell: str) -> bool:
    return re.fullmatch(_NUMBER, cell) is not None


def _has_words(column: Sequence[str]) -> bool:
    return not all(cell == "" or _is_number(cell) for cell in column)


def _is_data(row: Sequence[str]) -> bool:
    """Whether a row holds a seed, and not the names of columns."""
    return sum(map(_is_number, row)) >= 3


def _without_header(rows: list[list[str]], where: str) -> tuple[list[str], list[list[str]]]:
    """Names of columns by what they hold."""
    width = max(map(len, rows))
    if where.endswith(".node") and width == len(_BRAINNET):
        return list(_BRAINNET), rows
    rows = [row + [""] * (width - len(row)) if len(row) >= 3 else row for row in rows]
    columns = list(zip(*(row for row in rows if len(row) == width), strict=True))
    numbers = [i for i, column in enumerate(columns) if all(map(_is_number, column))]
    index = None
    if len(numbers) == 4 and len(rows) > 1:
        counted = [str(i) for i in range(len(rows) + 1)]
        if list(columns[numbers[0]]) in (counted[:-1], counted[1:]):
            index, numbers = numbers[0], numbers[1:]
    if len(numbers) != 3:
        raise DataError(
            f"{where}: the table has no header, and {len(numbers)} columns of numbers.",
            hint="Write what the columns are into the first line: x, y, z, name, radius.",
        )
    texts = [i for i, column in enumerate(columns) if _has_words(column)]
    header = ["index" if i == index else f"{i + 1}" for i in range(width)]
    for i, name in zip([*numbers, *texts[:1]], ["x", "y", "z", "name"], strict=False):
        header[i] = name
    return header, rows


def _plain(name: str) -> str:
    """A name in lower case, letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _axes(header: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Columns of every axis, by what else their names say: ``{"mni": {"x": [2], ...}}``."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, name in enumerate(header):
        if match := _AXIS.fullmatch(_plain(name)):
            groups[match[1] + match[3]][match[2]].append(i)
    plain = [_plain(name) for name in header]
    if not groups and {"r", "a", "s"} <= set(plain):
        groups["ras"] = {axis: [plain.index(name)] for axis, name in zip("xyz", "ras", strict=True)}
    return groups


def _coordinate_columns(
    table: Sequence[tuple[str, list[str]]], where: str
) -> tuple[list[int], str]:
    """Columns of x, y and z, or the one that holds all three; and what their names say."""
    header = [name for name, _ in table]
    groups = _axes(header)
    if not groups:
        triplets = [i for i, (_, cells) in enumerate(table) if all(map(_TRIPLET.fullmatch, cells))]
        of_mni = [i for i in triplets if "mni" in _plain(header[i])] or triplets
        if len(of_mni) == 1 and table[of_mni[0]][1]:
            return of_mni, _plain(header[of_mni[0]])
    whole = {key: axes for key, axes in groups.items() if len(axes) == 3}
    if not whole and groups:
        joined: dict[str, list[int]] = defaultdict(list)
        for axis, found in (item for axes in groups.values() for item in axes.items()):
            joined[axis] += found
        groups = {"": joined}
        whole = groups if len(joined) == 3 else {}
    if not whole:
        present = next(iter(groups.values()), {})
        missing = [axis for axis in "xyz" if axis not in present]
        hint = "A seed table is TSV or CSV with a header; x, y and z in mm, "
        hint += "optionally name, radius and network."
        if others := [name for name in header if _OTHER_UNITS.fullmatch(_plain(name))]:
            hint = f"Coordinates must be millimetres, and not {listing(others)}."
        raise DataError(
            f"{where}: no column {', '.join(missing)} (found: {', '.join(header) or 'nothing'}).",
            hint=hint,
        )
    mni = [key for key in whole if "tal" not in key] or list(whole)
    chosen = "" if "" in whole else mni[0]
    if chosen and len(mni) > 1:
        several = [header[whole[key]["x"][0]] for key in mni]
        raise DataError(
            f"{where}: several columns of coordinates: {listing(several)}.",
            hint="Keep those that are meant, or call them x, y and z.",
        )
    if repeated := [axis for axis, found in whole[chosen].items() if len(found) > 1]:
        raise DataError(f"{where}: there is more than one column {repeated[0]}.")
    return [whole[chosen][axis][0] for axis in "xyz"], chosen


def _understood(table: list[tuple[str, list[str]]], where: str, notes: list[str]) -> SeedColumns:
    axes, frame = _coordinate_columns(table, where)
    used = dict(zip("xyz", axes, strict=False))
    left = [(i, name, _plain(name)) for i, (name, _) in enumerate(table) if i not in axes]
    plains = {plain for _, _, plain in left}
    # Beside A and S, R is an axis and no radius.
    axes_of_ras = plains & {"r"} if plains >= {"r", "a", "s"} else set()
    sizes = [each for each in left if _SIZE.fullmatch(each[2]) and each[2] not in axes_of_ras]
    if len(sizes) > 1:
        raise DataError(f"{where}: there is more than one column radius.")
    used |= {"radius": sizes[0][0]} if sizes else {}
    if (name := _name_column(table, left)) is not None:
        used["name"] = name
    networks = [i for i, _, plain in left if plain in _NETWORKS]
    used |= {"network": networks[0]} if networks else {}
    cells = {key: table[i][1] for key, i in used.items()}
    if len(axes) == 1:
        triplets = [_TRIPLET.fullmatch(cell) for cell in cells["x"]]
        cells |= {axis: [m[k] for m in triplets if m] for k, axis in enumerate("xyz", start=1)}
    unused = [each for each in left if each[0] not in used.values()]
    space = "Talairach" if "tal" in frame else None
    for i, given, plain in unused:
        if plain in {"space", "template"}:
            spaces = sorted(set(filter(None, table[i][1])))
            if len(spaces) > 1:
                raise DataError(
                    f"{where}: seeds in several spaces: {listing(spaces)}.",
                    hint="Write a table for each.",
                )
            space = spaces[0] if spaces else space
        elif plain in _SIDES:
            _check_sides(table[i][1], cells["x"], given, where)
        elif plain not in _INDICES:
            notes.append(_not_used(given, table[i][1], where))
    notes += _understood_otherwise(table, used, frame)
    halved = any(_DIAMETER.match(plain) for _, _, plain in sizes)
    described = tuple(name.lower() for name, _ in table)
    return SeedColumns(cells, tuple(notes), space, described, "mm" in frame, halved)


def _understood_otherwise(
    table: Sequence[tuple[str, list[str]]], used: Mapping[str, int], frame: str
) -> Iterator[str]:
    """Notes on columns that are called otherwise, and on the space that their names say."""
    if "tal" in frame:
        yield "The coordinates are taken for Talairach's."
    whole = {"x": "x, y and z"} if "y" not in used else {}
    renamed = {whole.get(new, new): table[i][0] for new, i in used.items()}
    if others := [f"{new} from {old}" for new, old in renamed.items() if old.lower() != new]:
        yield f"Columns: {', '.join(others)}."


def _not_used(column: str, cells: Sequence[str], where: str) -> str:
    """Note on a column that is not used; an error where that would change numbers."""
    plain = _plain(column)
    # A reference is a paper or a space.
    is_space = plain == "reference" and any(map(_NAMES_A_SPACE.match, cells))
    if is_space or _CHANGES_PLACE.fullmatch(plain):
        raise DataError(
            f"{where}: the column {column} may say in which space seeds are; not understood.",
            hint="Call it space, or take it out.",
        )
    if _CHANGES_SIZE.search(plain):
        raise DataError(
            f"{where}: the column {column} may say how large spheres are, and is not understood.",
            hint="Call it radius (mm) or diameter (mm), or take it out.",
        )
    guess = did_you_mean(column.lower(), ("name", "x", "y", "z", "radius", "network"))
    return f"The column {column} is not used. {guess}".rstrip()


def _name_column(
    table: Sequence[tuple[str, list[str]]], left: Sequence[tuple[int, str, str]]
) -> int | None:
    """The column of names: called so, or the only one of words."""
    words = [i for i, _, _ in left if _has_words(table[i][1])]
    called = sorted((_NAMES.index(plain), i) for i, _, plain in left if plain in _NAMES)
    known = {*_NETWORKS, *_SIDES, *_REMARKS, "space", "template"}
    others = [
        i
        for i, _, plain in left
        if i in words
        and plain not in known
        and not _CHANGES_SIZE.search(plain)
        and not _CHANGES_PLACE.fullmatch(plain)
    ]
    # Numbers are names where nothing else is; a column called name always is one.
    sure = [i for rank, i in called if i in words or rank == 0]
    only = others if len(others) == 1 else []
    return next(iter([*sure, *only, *(i for _, i in called)]), None)


def _check_sides(cells: Sequence[str], xs: Sequence[str], column: str, where: str) -> None:
    """Refuse coordinates without a sign, and those with left and right swapped."""
    for side, other, sign in (("left", "right", "positive"), ("right", "left", "negative")):
        own = [x for cell, x in zip(cells, xs, strict=True) if cell.lower().startswith(side[0])]
        # Seeds on the midline are neither for nor against it.
        beside = [x for x in own if x.strip(f"{_MINUS}+0.")]
        wrong = all((x[0] in _MINUS) == (side == "right") for x in beside)
        if beside and wrong and all(map(_is_number, own)):
            raise DataError(
                f"{where}: the column {column} says {side} where x is {sign}, which is {other}.",
                hint="Left is negative: change the sign of x there, or take the column out.",
            )


def numbered(names: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Names with a number each where they are repeated."""
    often = Counter(names)
    if repeated := [name for name, count in often.items() if count > 1]:
        notes.append(f"Repeated names have a number now: {listing(repeated)}.")
    taken, counts, new = set(names), Counter[str](), list(names)
    for i, name in enumerate(names):
        while often[name] > 1 and new[i] in taken:
            counts[name] += 1
            new[i] = f"{name}_{counts[name]}"
    return tuple(new)
