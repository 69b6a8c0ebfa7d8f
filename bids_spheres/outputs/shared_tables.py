"""Tables to which many processes add rows, also from different machines, without a lock.

A lock on a shared file system is slow, may hold on one machine only, and is a file that a saved
dataset makes read-only. Here every row is a small file of its own, a *part*, under
``logs/<table>/``: the process that knows the row writes it whole and under its final name, and
nobody else does. The table is made from the parts by whoever changed one of them.

The name of a part is made of what the row is about and of what it says, so that a listing of the
folder is the state of the whole table, and only parts that the table does not have yet are read. A
row that is withdrawn leaves a part without one. Rows of the table that have no part at all are
those of earlier versions, or a person's, and are kept.

Why the table has every row in the end
    A writer W (1) changes its own parts, (2) lists the folder, (3) makes the table say what the
    parts of that listing say; if it did not already, (4) lists again, and goes back to 3 when the
    listings differ. A listing shows all parts that were there before it began and are not removed
    meanwhile, and a rename is seen whole or not at all.

    Let W be the last process that changes the table, and P one that changed a part in step 1. If
    that was before the last listing of W, the listing shows it, and by 4 it is what the table says.
    If it was later, then P took its own listing after W's last change, which showed a table without
    P's part; by 3 P changes the table then, and W was not the last. So the table has the parts of
    all processes that came to their end.

    One that was killed may have left a part that is in no table, or have put back a table that it
    made from an older listing. Both are mended by the next process that goes through 2 to 4, which
    every call does once (`complete`), and every run that changes or confirms a row.
"""

from __future__ import annotations

import os
import re
from bisect import insort
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import ReadWriteError
from bids_spheres.files.atomic import (
    discard_stale,
    json_text,
    remove,
    table_rows,
    table_text,
    write_if_changed,
    write_text,
)
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.logs import LOGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Cells = tuple[str, ...]
"""Text of a row, one for each column."""

_PART = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16}|none)\.tsv")
_NO_ROW = "none"


@dataclass(frozen=True)
class SharedTable:
    """A file at the root of a dataset that is made of rows of many processes.

    Parameters
    ----------
    name : str
        Of the file.
    columns : tuple of str
    keys : tuple of str
        Columns that say what a row is about: there is one row for each.
    order : callable
        Key by which a row finds its place among those that are there.
    about : mapping, optional
        Content of the JSON file of the same name, which is there when the table is.
    read : callable
        From path, text and columns to rows.
    write : callable
        From the text before, columns and rows to text; empty for a file that is to go.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    order: Callable[[Cells], Any]
    about: Mapping[str, object] | None = None
    read: Callable[[Path, str, Sequence[str]], list[Cells]] = table_rows
    write: Callable[[str, Sequence[str], Sequence[Cells]], str] = lambda _before, columns, rows: (
        table_text(columns, rows) if rows else ""
    )

    def parts_folder(self, root: Path) -> Path:
        """Folder of the parts in a dataset."""
        return root / LOGS / self.name.partition(".")[0]

    def rows(self, root: Path) -> dict[Cells, Cells]:
        """Rows that the table of a dataset has, by what they are about.

        Raises
        ------
        DataError, ReadWriteError, MissingInputError
            When it is not the table that was written there, can't be read, or git-annex has not
            fetched it.
        """
        path = root / self.name
        found = self.read(path, read_own_text(path), self.columns)
        return {self._key(row): row for row in found}

    def change(self, root: Path, rows: Mapping[Cells, Cells | None]) -> dict[Cells, Cells]:
        """Say what rows there are about some things; any number of processes may do so at once.

        Nothing is written where all is said already.

        Parameters
        ----------
        root : Path
            Of the dataset.
        rows : mapping
            By what they are about; None where there is no row, or none any more.

        Returns
        -------
        dict
            Rows that the table had about these things before.

        Raises
        ------
        DataError, ReadWriteError, MissingInputError
            As `rows`.
        OutputError
            When a file can't be written or removed.
        """
        known, folder = self.rows(root), self.parts_folder(root)
        names = _listing(folder)
        known_here = any(rows.values())
        for key, row in rows.items():
            wanted = _part_name(key, row)
            mine = {name for name in names if _about(name) == _about(wanted)}
            # In this order, so that a process that ends in between leaves no two.
            for old in mine - {wanted}:
                remove(folder / old)
            if wanted not in mine and (row or mine or key in known):
                write_text(folder / wanted, table_text(self.columns, [row] if row else []))
            known_here |= bool(mine) or key in known
        if known_here:
            self._write(root)
        return {key: known[key] for key in rows if key in known}

    def complete(self, root: Path) -> None:
        """Make the table say what all parts say, as `change` does after a change.

        Raises
        ------
        DataError, ReadWriteError, MissingInputError, OutputError
            As `change`.
        """
        folder = self.parts_folder(root)
        if folder.is_dir():
            discard_stale(folder)
            self._write(root)

    def _write(self, root: Path) -> None:
        path, folder = root / self.name, self.parts_folder(root)
        names, listed = _listing(folder), None
        while names != listed:
            listed, before = names, read_own_text(path)
            text = self._merged(path, before, listed)
            about = path.with_suffix(".json") if self.about else None
            if text:
                changed = text != before
                if changed:
                    write_text(path, text)
                if about and self.about and write_if_changed(about, json_text(self.about)):
                    changed = True
            else:
                # Looked at now: another may have written them since the table was read.
                present = [file for file in (path, about) if file and os.path.lexists(file)]
                changed = bool(present)
                for file in present:
                    remove(file)
            names = _listing(folder) if changed else listed

    def _merged(self, path: Path, text: str, listed: Iterable[str]) -> str:
        """Text of the table with what the parts say instead of what it said about the same."""
        rows = {_part_name(self._key(row), row): row for row in self.read(path, text, self.columns)}
        # Two parts about one thing are left by calls that contradict each other at the same time.
        parts = {_about(name): name for name in sorted(listed)}
        kept = [row for name, row in rows.items() if parts.get(_about(name), name) == name]
        for name in sorted(set(parts.values()) - set(rows)):
            part = self.parts_folder(path.parent) / name
            # Without a row when it was withdrawn, or removed since it was listed.
            content = "" if part.stem.endswith(_NO_ROW) else read_own_text(part)
            for row in table_rows(part, content, self.columns):
                # The others are in order. To sort ten thousand takes longer than all the rest.
                insort(kept, row, key=self.order)
        return self.write(text, self.columns, kept)

    def _key(self, row: Cells) -> Cells:
        return tuple(row[self.columns.index(name)] for name in self.keys)


def _about(part_name: str) -> str:
    return part_name.partition("-")[0]


def _part_name(key: Cells, row: Cells | None) -> str:
    return f"{_digest(key)}-{_digest(row) if row else _NO_ROW}.tsv"


def _listing(folder: Path) -> set[str]:
    """Names of the parts in a folder; it is opened, so that NFS asks the server."""
    try:
        return {name for path in folder.iterdir() if _PART.fullmatch(name := path.name)}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ReadWriteError(f"{folder} can't be read: {error.strerror or error}.") from error


def _digest(cells: Cells) -> str:
    return sha256("\t".join(cells).encode()).hexdigest()[:16]
