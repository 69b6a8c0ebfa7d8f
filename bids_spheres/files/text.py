"""Read text, JSON and YAML, or say why a file can't be read and what to do."""

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
    from types import ModuleType

JsonObject = dict[str, Any]
"""Content of a JSON object."""

_KINDS = {
    b"PK\x03\x04": ("an Excel, OpenDocument or zip file", "as text with tabs (TSV)"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "as text with tabs (TSV)"),
    b"\xff\xfe": ("UTF-16", "with UTF-8 encoding"),
    b"\xfe\xff": ("UTF-16", "with UTF-8 encoding"),
    b"\x1f\x8b": ("compressed by gzip", "uncompressed"),
}
"""First bytes of files that are often given for text, what they are, and how to save them."""

_HOW_TO_SHARE = (
    "Another user has written it. To share a folder, give it to a group (chgrp, chmod g+rwxs) "
    "and let all call with umask 002."
)


def is_there(path: Path) -> bool:
    """Whether a file or a link exists, even a link to content that git-annex has not fetched."""
    return path.is_symlink() or path.exists()


def read_text(
    path: Path,
    called: str = "file",
    *,
    first_line: bool = False,
    optional: bool = False,
    ours: bool = False,
) -> str:
    r"""Text of a file, with ``\n`` at the end of every line and without a byte order mark.

    Parameters
    ----------
    path : Path
    called : str
        What the file is, for messages.
    first_line : bool
        Read no more than the first line.
    optional : bool
        Return an empty text when there is no such file.
    ours : bool
        Read a file of any size, as bids_spheres has written it.

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
        if first_line or ours:
            with open_regular(path, called) as file:
                content = file.readline(MAX_BYTES) if first_line else file.read()
        else:
            content = read_limited(path, called)
    except FileNotFoundError as error:
        if pointer := not_fetched(path):
            raise pointer from error
        if optional:
            return ""
        raise MissingInputError(f"There is no {called} {path}.") from error
    except OSError as error:
        hint = _HOW_TO_SHARE if ours and isinstance(error, PermissionError) else None
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.", hint) from error
    # A pointer file reads as a table with an odd header, so that no error would follow.
    if b"/annex/objects/" in content[:4096] and (pointer := not_fetched(path)):
        raise pointer
    for start, (kind, how) in _KINDS.items():
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


def read_json_object(path: Path, *, optional: bool = False, ours: bool = False) -> JsonObject:
    """Read a file with a JSON object.

    Parameters
    ----------
    path : Path
    optional : bool
        Return an empty dictionary when there is no such file.
    ours : bool
        Read a file of any size, as bids_spheres has written it.

    Raises
    ------
    MissingInputError, ReadWriteError
        As `read_text`.
    DataError
        As `read_text`; also when it is no JSON, or holds something else than an object.
    """
    try:
        text = read_text(path, "JSON file", ours=ours)
    except MissingInputError:
        if optional and not is_there(path):
            return {}
        raise
    return json_object(text, path)


def json_object(
    text: str, path: Path, *, parse_float: Callable[[str], float] | None = None
) -> JsonObject:
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
    """Parse the text of a JSON file.

    Parameters
    ----------
    text : str
    path : Path
        For messages.
    unique_keys : bool
        Refuse an object that has a key twice; otherwise the last one counts.
    parse_float : callable, optional
        Makes numbers of what has a point or an exponent.

    Raises
    ------
    DataError
        When it is no JSON, nested too deeply, or has a number of thousands of digits.
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
    except ValueError as error:
        why = str(error).partition(";")[0] if text.strip() else "it is empty"
        raise DataError(
            f"{path} is not valid JSON: {why}.",
            hint="Put it right, or copy or compute it again.",
        ) from error


def parse_yaml(text: str, path: Path) -> Any:
    """Parse the text of a YAML file.

    Aliases (``*name``), which nobody needs to write down a handful of options, are refused:
    a page of them can stand for more values than memory holds. So are tags (``!!name``).

    Raises
    ------
    DataError
        When it is no YAML, has an alias, a tag or a key twice, or PyYAML is not installed.
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
    """Refuse YAML that PyYAML would read as something else than the user means."""
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
    """Keys of every mapping; of two that are the same, PyYAML would take the last."""
    kind, content = getattr(node, "id", ""), getattr(node, "value", ())
    if kind == "mapping":
        yield [key.value for key, _ in content if isinstance(key.value, str)]
        content = [value for _, value in content]
    for value in content if kind in ("mapping", "sequence") else ():
        yield from _yaml_keys(value)


def _check_keys(keys: Iterable[str], path: Path) -> None:
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise DataError(f"{path}: key {twice[0]} occurs twice.")
