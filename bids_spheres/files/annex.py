"""Recognize files whose content git-annex, and so DataLad, has not fetched.

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
"""Bytes of a pointer file that are read: its first line is a key or a path."""


def not_fetched(path: Path) -> MissingInputError | None:
    """Error of a file whose content was not fetched; None for any other, there or not.

    Parameters
    ----------
    path : Path
        Of a file that could not be read; looked at again.
    """
    try:
        is_link = path.is_symlink() and not path.exists() and _OBJECTS in str(path.readlink())
    except OSError:
        is_link = False
    if not is_link:
        try:
            with open_regular(path) as file:
                first, *_ = file.read(_LONGEST_LINE).split(b"\n")
        except (OSError, DataError):
            return None
        before, key, _ = first.partition(_OBJECTS.encode())
        # Nothing before it, or the beginning of a path as in ../../.git/annex/objects/.
        if not key or before.strip(b"./git"):
            return None
    return MissingInputError(
        f"The content of {path} is not here: git-annex has its name only.",
        hint=f"Get it with: datalad get {shlex.quote(str(path))}",
    )
