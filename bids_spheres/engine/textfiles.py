"""Text files that a user gives, tables and JSON: read, or refused with what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bids_spheres.engine.annex import not_fetched
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Pairs = list[tuple[str, Any]]

_KINDS = {
    b"PK\x03\x04": ("an Excel, OpenDocument or zip file", "as text with tabs (TSV)"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "as text with tabs (TSV)"),
    b"\xff\xfe": ("UTF-16", "with UTF-8 encoding"),
    b"\xfe\xff": ("UTF-16", "with UTF-8 encoding"),
    b"\x1f\x8b": ("compressed by gzip", "uncompressed"),
}
"""First bytes of files that are often given for text, what they are, and how to save them."""


def read_text(path: Path, called: str = "file") -> str:
    r"""Text of a file, with ``\n`` at the end of every line and without a byte order mark.

    Parameters
    ----------
    path : Path
    called : str
        What the file is, for the message that it is not there.

    Raises
    ------
    MissingInputError
        When there is no such file, or git-annex has not fetched its content.
    DataError
        When it is a folder, or not UTF-8.
    ReadWriteError
        When the operating system can't read it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise not_fetched(path) or MissingInputError(f"There is no {called} {path}.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder; a {called} is needed.") from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    # Tables of a pointer file have a header that nobody asked for, so that no error would follow.
    if b"/annex/objects/" in content[:4096] and (pointer := not_fetched(path)):
        raise pointer
    return _decoded(content, path).replace("\r\n", "\n").replace("\r", "\n")


def read_json_object(
    path: Path, pairs_hook: Callable[[Pairs], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """What a file with a JSON object holds.

    Parameters
    ----------
    path : Path
    pairs_hook : callable, optional
        Makes a dict of the keys and values of each object in it.

    Raises
    ------
    MissingInputError, ReadWriteError
        As `read_text`.
    DataError
        As `read_text`; also when it is no JSON, or holds something else than an object.
    """
    content = parse_json(read_text(path, "JSON file"), path, pairs_hook)
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not a {type(content).__name__}.")
    return content


def parse_json(
    text: str, path: Path, pairs_hook: Callable[[Pairs], dict[str, Any]] | None = None
) -> Any:
    """Value of a JSON text that was read from a file.

    Raises
    ------
    DataError
        When it is no JSON, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs_hook)
    except RecursionError as error:
        raise DataError(f"{path} is not valid JSON: it is nested too deeply.") from error
    except DataError:
        raise
    except ValueError as error:
        why = str(error).partition(";")[0] if text.strip() else "it is empty"
        raise DataError(
            f"{path} is not valid JSON: {why}.",
            hint="Put it right, or copy or compute it again.",
        ) from error


def _decoded(content: bytes, path: Path) -> str:
    for start, (kind, how) in _KINDS.items():
        if content.startswith(start):
            raise DataError(f"{path} can't be read as text: it is {kind}.", hint=f"Save it {how}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} can't be read as text: byte {error.start} is not UTF-8.",
            hint="Save it with UTF-8 encoding.",
        ) from error
