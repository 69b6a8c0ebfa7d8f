"""Read text, JSON and YAML, or say why a file can't be read and what to do."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.regular import MAX_BYTES, not_fetched, open_regular, read_limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

JsonObject = dict[str, Any]
"""Content of a JSON object."""

_FORMATS = {
    b"PK\x03\x04": ("an Excel, OpenDocument or zip file", "as text with tabs (TSV)"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "as text with tabs (TSV)"),
    b"\xff\xfe": ("UTF-16", "with UTF-8 encoding"),
    b"\xfe\xff": ("UTF-16", "with UTF-8 encoding"),
    b"\x1f\x8b": ("compressed by gzip", "uncompressed"),
}
"""First bytes of files that are often given as text: the format, and how to save them instead."""

_MISSING = frozenset({"", "n/a", "na", "nan"})

_HOW_TO_SHARE = (
    "Another user has written it. To share a folder, give it to a group (chgrp, chmod g+rwxs) "
    "and let all call with umask 002."
)


def is_there(path: Path) -> bool:
    """Whether a file or a link exists, even a link to content that git-annex has not fetched."""
    return path.is_symlink() or path.exists()


def read_text(
    path: Path, called: str = "file", *, first_line: bool = False, hint: str | None = None
) -> str:
    r"""Text of a file, or its first line, with ``\n`` line ends and no byte order mark.

    MissingInputError when there is no such file or git-annex has not fetched it; DataError when it
    is no regular file, not UTF-8, or larger than `MAX_BYTES`; ReadWriteError when the operating
    system can't read it. Messages call it `called`; `hint` is for a file that is missing.
    """
    try:
        if first_line:
            with open_regular(path, called) as file:
                return _decode(path, file.readline(MAX_BYTES))
        return _decode(path, read_limited(path, called))
    except FileNotFoundError as error:
        missing = MissingInputError(f"There is no {called} {path}.", hint)
        raise not_fetched(path) or missing from error
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error


def read_own_text(path: Path) -> str:
    """Text of any size that bids_spheres has written; empty when there is no file.

    Errors are those of `read_text`.
    """
    try:
        with open_regular(path) as file:
            return _decode(path, file.read())
    except FileNotFoundError as error:
        if pointer := not_fetched(path):
            raise pointer from error
        return ""
    except OSError as error:
        hint = _HOW_TO_SHARE if isinstance(error, PermissionError) else None
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.", hint) from error


def _decode(path: Path, content: bytes) -> str:
    # A pointer file reads as a table with an odd header, so that no error would follow.
    if b"/annex/objects/" in content[:4096] and (pointer := not_fetched(path)):
        raise pointer
    for start, (kind, how) in _FORMATS.items():
        if content.startswith(start):
            raise DataError(f"{path} can't be read as text: it is {kind}.", hint=f"Save it {how}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} can't be read as text: byte {error.start} is not UTF-8.",
            hint="Save it with UTF-8 encoding.",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_number(cell: str) -> float | None:
    """Number in a cell of a table: NaN for a missing one, None for what is no number."""
    try:
        return float("nan" if cell.strip().lower() in _MISSING else cell)
    except ValueError:
        return None


def read_json_object(path: Path, *, optional: bool = False) -> JsonObject:
    """Object in a JSON file; where the file is `optional`, a missing one is empty.

    Errors are those of `read_text` and `json_object`.
    """
    if optional and not is_there(path):
        return {}
    return json_object(read_text(path, "JSON file"), path)


def json_object(
    text: str, path: Path, *, parse_float: Callable[[str], float] | None = None
) -> JsonObject:
    """Parse a text from a file that must hold a JSON object; DataError otherwise."""
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
    """Parse the text of a JSON file; DataError when it is invalid or nested too deeply.

    With `unique_keys` an object that has a key twice is refused; otherwise the last one counts.
    `parse_float` converts numbers with a point or an exponent.
    """

    def unique(pairs: list[tuple[str, object]]) -> JsonObject:
        _check_keys([key for key, _ in pairs], path)
        return dict(pairs)

    try:
        pairs_hook = unique if unique_keys else None
        return json.loads(text, object_pairs_hook=pairs_hook, parse_float=parse_float)
    except RecursionError as error:
        raise DataError(f"{path} is not valid JSON: it is nested too deeply.") from error
    except DataError:
        raise
    except ValueError as error:  # also of a number with thousands of digits
        why = str(error).partition(";")[0] if text.strip() else "it is empty"
        raise DataError(
            f"{path} is not valid JSON: {why}.",
            hint="Put it right, or copy or compute it again.",
        ) from error


def parse_yaml(text: str, path: Path) -> Any:
    """Parse the text of a YAML file; DataError when it is invalid or PyYAML is not installed.

    Aliases (``*name``) are refused, as a page of them can stand for more values than memory holds
    and nobody needs them to write a handful of options. So are tags (``!!name``).
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
        # PyYAML needs several lines, and calls "unexpected" what is a mistake of the user's.
        problem = str(getattr(error, "problem", None) or error).replace("unexpected ", "")
        mark = getattr(error, "problem_mark", None)
        where = f", in line {mark.line + 1}" if mark else ""
        raise DataError(f"{path} is not YAML: {' '.join(problem.split())}{where}.") from error


def _check_yaml(yaml: ModuleType, text: str, path: Path) -> None:
    """Refuse YAML that PyYAML would read differently from what the user means."""
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise DataError(f"{path}: aliases (*) can't be used.", hint="Write the value again.")
        # PyYAML raises errors of any kind for a value that is not what its tag says.
        if tag := getattr(event, "tag", None):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            raise DataError(f"{path}: the tag {shown} can't be used.", hint="Leave it out.")
    for keys in _yaml_keys(yaml.compose(text, yaml.SafeLoader)):
        _check_keys(keys, path)


def _yaml_keys(node: object) -> Iterator[list[str]]:
    """Keys of every mapping, also repeated ones, of which PyYAML would take the last."""
    kind, content = getattr(node, "id", ""), getattr(node, "value", ())
    if kind == "mapping":
        yield [key.value for key, _ in content if isinstance(key.value, str)]
        content = [value for _, value in content]
    for value in content if kind in ("mapping", "sequence") else ():
        yield from _yaml_keys(value)


def _check_keys(keys: Iterable[str], path: Path) -> None:
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise DataError(f"{path}: key {twice[0]} occurs twice.")
