"""Text files that a user gives: read as text, JSON or YAML, or refused with what to do."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.annex import not_fetched
from bids_spheres.files.regular import MAX_BYTES, open_regular, read_limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_KINDS = {
    b"PK\x03\x04": ("an Excel, OpenDocument or zip file", "as text with tabs (TSV)"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "as text with tabs (TSV)"),
    b"\xff\xfe": ("UTF-16", "with UTF-8 encoding"),
    b"\xfe\xff": ("UTF-16", "with UTF-8 encoding"),
    b"\x1f\x8b": ("compressed by gzip", "uncompressed"),
}
"""First bytes of files that are often given for text, what they are, and how to save them."""


def is_there(path: Path) -> bool:
    """Whether there is a file, or a link, be it to a file that git-annex has not fetched."""
    return path.is_symlink() or path.exists()


def read_text(path: Path, called: str = "file", *, first_line: bool = False) -> str:
    r"""Text of a file, with ``\n`` at the end of every line and without a byte order mark.

    Parameters
    ----------
    path : Path
    called : str
        What the file is, for messages.
    first_line : bool
        Read no more than the first line.

    Raises
    ------
    MissingInputError
        When there is no such file, or git-annex has not fetched its content.
    DataError
        When it is no regular file, not UTF-8, or larger than `MAX_BYTES`.
    ReadWriteError
        When the operating system can't read it.
    """
    try:
        if first_line:
            with open_regular(path, called) as file:
                content = file.readline(MAX_BYTES)
        else:
            content = read_limited(path, called)
    except FileNotFoundError as error:
        raise not_fetched(path) or MissingInputError(f"There is no {called} {path}.") from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    # Tables of a pointer file have a header that nobody asked for, so that no error would follow.
    if b"/annex/objects/" in content[:4096] and (pointer := not_fetched(path)):
        raise pointer
    return _decoded(content, path).replace("\r\n", "\n").replace("\r", "\n")


def read_json_object(path: Path) -> dict[str, Any]:
    """What a file with a JSON object holds.

    Raises
    ------
    MissingInputError, ReadWriteError
        As `read_text`.
    DataError
        As `read_text`; also when it is no JSON, or holds something else than an object.
    """
    return json_object(read_text(path, "JSON file"), path)


def json_object(
    text: str, path: Path, *, parse_float: Callable[[str], float] | None = None
) -> dict[str, Any]:
    """The JSON object of a text that was read from a file.

    Raises
    ------
    DataError
        When it is no JSON, or holds something else than an object.
    """
    content = parse_json(text, path, parse_float=parse_float)
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not a {type(content).__name__}.")
    return content


def parse_json(
    text: str,
    path: Path,
    *,
    unique_keys: bool = False,
    parse_float: Callable[[str], float] | None = None,
) -> Any:
    """Value of a JSON text that was read from a file.

    Parameters
    ----------
    text : str
    path : Path
        For messages.
    unique_keys : bool
        Refuse an object with a key twice, of which otherwise the last counts.
    parse_float : callable, optional
        Makes numbers of what has a point or an exponent.

    Raises
    ------
    DataError
        When it is no JSON, nested too deeply, or has a number of thousands of digits.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_keys([key for key, _ in pairs], path)
        return dict(pairs)

    try:
        pairs_hook = unique if unique_keys else None
        return json.loads(text, object_pairs_hook=pairs_hook, parse_float=parse_float)
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


def parse_yaml(text: str, path: Path) -> Any:
    """Value of a YAML text that was read from a file.

    Aliases (``*name``), which nobody needs to write down a handful of options, are refused:
    a page of them can stand for more values than memory holds.

    Raises
    ------
    DataError
        When it is no YAML, has an alias or a key twice, or PyYAML is not installed.
    """
    try:
        yaml = import_module("yaml")  # not a dependency of those who write JSON
    except ImportError as error:
        raise DataError(
            f"{path} can't be read: YAML needs the package PyYAML, which is not installed.",
            hint="pip install pyyaml, or write it as JSON.",
        ) from error
    try:
        _check_yaml(yaml, text, path)
        return yaml.safe_load(text)
    except DataError:
        raise
    except RecursionError as error:
        raise DataError(f"{path} is not YAML: it is nested too deeply.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{path} is not YAML: {_yaml_problem(error)}.") from error


def _yaml_problem(error: Exception) -> str:
    """What PyYAML says in several lines, in one; "unexpected" is said of faults of the program."""
    said = str(getattr(error, "problem", None) or error).replace("unexpected ", "")
    mark = getattr(error, "problem_mark", None)
    return " ".join(said.split()) + (f", in line {mark.line + 1}" if mark else "")


def _check_yaml(yaml: Any, text: str, path: Path) -> None:
    """Refuse what PyYAML would read as something else than the user means."""
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise DataError(f"{path}: aliases (*) can't be used.", hint="Write the value again.")
    for keys in _yaml_keys(yaml.compose(text, yaml.SafeLoader)):
        _check_keys(keys, path)


def _yaml_keys(node: Any) -> Iterator[list[str]]:
    """Keys of every mapping, in which PyYAML lets the last of two win."""
    if getattr(node, "id", "") == "mapping":
        yield [key.value for key, _ in node.value if isinstance(key.value, str)]
        for _, value in node.value:
            yield from _yaml_keys(value)


def _check_keys(keys: Iterable[str], path: Path) -> None:
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise DataError(f"{path}: key {twice[0]} is there twice.")


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
