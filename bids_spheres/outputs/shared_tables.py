"""Tables to which processes on any number of machines add rows without a lock.

A lock on a shared file system is slow, and may hold on one machine only. Here every row is a small
file of its own, a *part*, in ``logs/<table>/``, which only the process that knows the row writes,
whole and under its final name. The table is made from the parts by whoever changed one of them.

The name of a part is a digest of the row's keys and one of its cells. So a listing of the folder is
the state of the whole table, and only new parts are read. A withdrawn row leaves an empty part.
Rows without a part come from earlier versions or from a person, and are kept.

Why the table has every row in the end
    A writer W (1) changes its own parts, (2) lists the folder, (3) makes the table agree with that
    listing and, if that changed it, (4) lists again, and goes back to 3 when the listings differ. A
    listing shows all parts that existed before it began and are not removed meanwhile, and a rename
    is seen whole or not at all.

    Let W be the last process that changes the table, and P one that changed a part in step 1. If
    P did so before W's last listing, the listing shows it, and by 4 the table has it. If later,
    P listed after W's last change and read a table without its part; by 3 P then changed the table,
    and W was not the last. So the table has the parts of all processes that finished.

    A killed process may leave a part that is in no table, or a table made from an older listing.
    The next process that goes through 2 to 4 mends both: every call does so once (`complete`), and
    so does every run that changes or confirms a row.
"""

from __future__ import annotations

import os
import re
from bisect import insort
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import ReadWriteError
from bids_spheres.files import atomic
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.logs import LOGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Cells = tuple[str, ...]
"""Text of a row, a cell for each column."""

_PART = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16}|none)\.tsv")
_NO_ROW = "none"


@dataclass(frozen=True)
class SharedTable:
    """A file at the root of a dataset, made of rows that many processes write.

    `keys` are the columns that identify a row; `order` is the key by which rows are sorted;
    `about` is the content of the JSON file beside the table. `read` gets path, text and columns;
    `write` gets the earlier text, columns and rows, and returns "" to remove the file.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    order: Callable[[Cells], Any]
    about: Mapping[str, object] | None = None
    read: Callable[[Path, str, Sequence[str]], list[Cells]] = atomic.table_rows
    write: Callable[[str, Sequence[str], Sequence[Cells]], str] = lambda _before, columns, rows: (
        atomic.table_text(columns, rows) if rows else ""
    )

    def parts_folder(self, root: Path) -> Path:
        """Folder of the parts in a dataset."""
        return root / LOGS / self.name.partition(".")[0]

    def rows(self, root: Path) -> dict[Cells, Cells]:
        """Rows of a dataset's table by their keys; DataError when it is another table."""
        path = root / self.name
        rows = self.read(path, read_own_text(path), self.columns)
        return {self._key(row): row for row in rows}

    def change(self, root: Path, rows: Mapping[Cells, Cells | None]) -> dict[Cells, Cells]:
        """Set rows by their keys, or remove them where None; return the earlier ones.

        Any number of processes may do so at the same time; nothing is written when nothing changes.
        DataError when the file is another table, OutputError when something can't be written.
        """
        known, folder = self.rows(root), self.parts_folder(root)
        names, concerned = _listing(folder), any(rows.values())
        for key, row in rows.items():
            wanted = _part_name(key, row)
            mine = {name for name in names if _about(name) == _about(wanted)}
            # In this order, so that a process that ends in between does not leave two.
            for old in mine - {wanted}:
                atomic.remove(folder / old)
            if wanted not in mine and (row or mine or key in known):
                atomic.write_text(
                    folder / wanted, atomic.table_text(self.columns, [row] if row else [])
                )
            concerned |= bool(mine) or key in known
        if concerned:
            self._write(root)
        return {key: known[key] for key in rows if key in known}

    def complete(self, root: Path) -> None:
        """Bring the table up to date with all parts, as `change` does."""
        folder = self.parts_folder(root)
        if folder.is_dir():
            atomic.discard_stale(folder)
            self._write(root)

    def _write(self, root: Path) -> None:
        path, folder = root / self.name, self.parts_folder(root)
        about = path.with_suffix(".json")
        names, listed = _listing(folder), None
        while names != listed:
            listed, before = names, read_own_text(path)
            text = self._merged(path, before, listed)
            if text:
                changed = text != before
                if changed:
                    atomic.write_text(path, text)
                if self.about:
                    changed |= atomic.write_if_changed(about, atomic.json_text(self.about))
            else:
                # Looked at now, since another process may have written them meanwhile.
                ours = (path, about) if self.about else (path,)
                present = [file for file in ours if os.path.lexists(file)]
                changed = bool(present)
                for file in present:
                    atomic.remove(file)
            names = _listing(folder) if changed else listed

    def _merged(self, path: Path, text: str, listed: Iterable[str]) -> str:
        """Text of the table with the rows of the listed parts in place of earlier ones."""
        rows = {_part_name(self._key(row), row): row for row in self.read(path, text, self.columns)}
        # Calls that contradict each other at the same time leave two parts with the same keys.
        parts = {_about(name): name for name in sorted(listed)}
        kept = [row for name, row in rows.items() if parts.get(_about(name), name) == name]
        for name in sorted(set(parts.values()) - set(rows)):
            part = self.parts_folder(path.parent) / name
            # Empty when the row was withdrawn, or the part removed since it was listed.
            content = "" if part.stem.endswith(_NO_ROW) else read_own_text(part)
            for row in atomic.table_rows(part, content, self.columns):
                # The others are in order; sorting ten thousand takes longer than all the rest.
                insort(kept, row, key=self.order)
        return self.write(text, self.columns, kept)

    def _key(self, row: Cells) -> Cells:
        return tuple(row[self.columns.index(name)] for name in self.keys)


def _about(part_name: str) -> str:
    return part_name.partition("-")[0]


def _part_name(key: Cells, row: Cells | None) -> str:
    return f"{_digest(key)}-{_digest(row) if row else _NO_ROW}.tsv"


def _listing(folder: Path) -> set[str]:
    """Names of the parts in a folder, which is opened so that NFS asks the server."""
    try:
        return {name for path in folder.iterdir() if _PART.fullmatch(name := path.name)}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ReadWriteError(f"{folder} can't be read: {error.strerror or error}.") from error


def _digest(cells: Cells) -> str:
    return sha256("\t".join(cells).encode()).hexdigest()[:16]
