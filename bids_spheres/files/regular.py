"""Open files: only regular ones, and say when git-annex has not fetched their content.

Opening a named pipe waits until somebody writes to it, and reading a device may never end; either
may stand where a file is expected. So every file is opened by `open_regular`.

In a clone of a DataLad dataset files are links into ``.git/annex/objects``, broken until the
content is fetched, or small text files that begin with ``/annex/objects/`` and a key
(https://git-annex.branchable.com/internals/pointer_file/). Where there are no links, such a text
file may hold the target of a link.
"""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, MissingInputError

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

MAX_BYTES = 64 * 2**20
"""Largest text of others that is read; a table of 1,000 volumes and 1,000 columns has 20 MB."""

_ANNEX = "/annex/objects/"

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, called: str = "file") -> BufferedReader:
    """Open a regular file, or the target of a link, for reading bytes.

    DataError for a folder, named pipe, device or socket, whose message says what was expected
    (`called`); OSError for a file that is missing or can't be read.
    """
    # Checked before, since opening a device may set it in motion, and after, since the file may
    # have been replaced meanwhile; without blocking, since a pipe would wait for a writer.
    _check_kind(path, path.stat(), called)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _check_kind(path, os.fstat(descriptor), called)
    except DataError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path, called: str = "file") -> None:
    """Raise what `open_regular` raises, for a file that a library opens by its name."""
    open_regular(path, called).close()


def read_limited(path: Path, called: str = "file", limit: int = MAX_BYTES) -> bytes:
    """Content of a regular file of others; DataError when it has more than `limit` bytes."""
    with open_regular(path, called) as file:
        content = b"" if os.fstat(file.fileno()).st_size > limit else file.read(limit + 1)
        if len(content) > limit or os.fstat(file.fileno()).st_size > limit:
            size = f"{limit // 2**20} MB" if limit >= 2**20 else f"{limit // 2**10} kB"
            raise DataError(
                f"{path} has more than {size}, the most that is read of a {called}.",
                hint="Is it the right file?",
            )
    return content


def not_fetched(path: Path) -> MissingInputError | None:
    """Error for a file that could not be read because git-annex has not fetched it, else None."""
    try:
        is_link = path.is_symlink() and not path.exists() and _ANNEX in str(path.readlink())
    except OSError:
        is_link = False
    if not is_link:
        try:
            with open_regular(path) as file:
                first_line = file.read(4096).partition(b"\n")[0]
        except (OSError, DataError):
            return None
        before, _, key = first_line.partition(_ANNEX.encode())
        # Nothing before it, or the beginning of a path as in ../../.git/annex/objects/.
        if not key or before.strip(b"./git"):
            return None
    return MissingInputError(
        f"The content of {path} is not here: git-annex has its name only.",
        hint=f"Get it with: datalad get {shlex.quote(str(path))}",
    )


def _check_kind(path: Path, status: os.stat_result, called: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        article = "an" if called[0] in "aeiou" else "a"
        raise DataError(
            f"{path} is {kind}; {article} {called} is needed.",
            hint="" if kind == "a folder" else "Write its content to a file first.",
        )
