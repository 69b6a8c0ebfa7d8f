"""Open files only if they are regular ones.

Opening a named pipe waits until somebody writes to it, and reading a device may never end; either
can be in the place of a file. Every file that is read is opened by `open_regular`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

MAX_BYTES = 64 * 2**20
"""Largest text of others that is read; a table of 1,000 volumes and 1,000 columns has 20 MB."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, called: str = "file") -> BufferedReader:
    """Open a regular file, or the target of a link, for reading bytes.

    Parameters
    ----------
    path : Path
    called : str
        What the file is, for messages.

    Raises
    ------
    DataError
        When it is a folder, a named pipe, a device or a socket.
    OSError
        When it is not there or can't be read.
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
    """Content of a regular file of others.

    Parameters
    ----------
    path : Path
    called : str
        What the file is, for messages.
    limit : int
        Most bytes that it may have.

    Raises
    ------
    DataError
        When it is larger, or no regular file.
    OSError
        When it is not there or can't be read.
    """
    with open_regular(path, called) as file:
        content = b"" if os.fstat(file.fileno()).st_size > limit else file.read(limit + 1)
        if len(content) > limit or os.fstat(file.fileno()).st_size > limit:
            size = f"{limit // 2**20} MB" if limit >= 2**20 else f"{limit // 2**10} kB"
            raise DataError(
                f"{path} has more than {size}, the most that is read of a {called}.",
                hint="Is it the right file?",
            )
    return content


def _check_kind(path: Path, status: os.stat_result, called: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        article = "an" if called[0] in "aeiou" else "a"
        raise DataError(
            f"{path} is {kind}; {article} {called} is needed.",
            hint="" if kind == "a folder" else "Write its content to a file first.",
        )
