"""Files of which git-annex, and so DataLad, holds the name but not the content.

In a clone of a dataset files are either links into ``.git/annex/objects`` that lead nowhere until
the content is fetched, or small text files that begin with ``/annex/objects/`` and a key; where
there are no links, such a text file may hold what a link would
(https://git-annex.branchable.com/internals/pointer_file/).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.files.regular import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_OBJECTS = "/annex/objects/"

_LONGEST_LINE = 4096
"""Bytes of a pointer file that are looked at: its first line is a key or a path."""


def not_fetched(path: Path) -> MissingInputError | None:
    """Error of a file whose content was not fetched; None for any other, there or not.

    Parameters
    ----------
    path : Path
        Of a file that could not be read; looked at again.
    """
    if not (_is_broken_link(path) or _is_pointer(path)):
        return None
    return MissingInputError(
        f"The content of {path} is not here: git-annex has its name only.",
        hint=f"Get it with: datalad get {shlex.quote(str(path))}",
    )


def _is_broken_link(path: Path) -> bool:
    try:
        return path.is_symlink() and not path.exists() and _OBJECTS in path.readlink().as_posix()
    except OSError:
        return False


def _is_pointer(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            first, *_ = file.read(_LONGEST_LINE).split(b"\n")
    except (OSError, DataError):
        return False
    before, found, _ = first.partition(_OBJECTS.encode())
    # Nothing before it, or the beginning of a path as in ../../.git/annex/objects/.
    return bool(found) and before.strip(b"./git") == b""
