"""The filter file that BIDS Apps share.

Its form is fMRIPrep's: pybids' entity names and labels to keep, for a kind of file, as in
``{"bold": {"task": "rest", "session": ["01", "02"], "acquisition": null}}``; null keeps what has
no such entity, ``"*"`` what has it, with any label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, MissingInputError, did_you_mean
from bids_spheres.files.names import ENTITY_ORDER
from bids_spheres.files.text import is_there, read_json_object

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "resolution": "res",
    "density": "den",
}
"""Names that pybids gives to entities, where they are not the key itself."""

_KINDS = ("bold", "sbref", "t1w", "t2w", "flair", "roi", "fmap", "flash")
"""Kinds of files that such a file can filter; ours is the first."""

_NO_FILTER = ("suffix", "datatype", "extension", "scope", "desc")
"""What this app decides itself."""


def read_filters(path: Path | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys of entities and the labels to keep.

    Parameters
    ----------
    path : Path or None

    Returns
    -------
    tuple of (str, tuple of str)
        A label of "" stands for names without the entity, "*" for any label.

    Raises
    ------
    MissingInputError
        When the file is not there.
    DataError
        When it is no JSON object, or names an entity that there is not.
    """
    if path is None:
        return ()
    if not is_there(path):
        raise MissingInputError(f"There is no filter file {path}.")
    content = read_json_object(path)
    nested = any(kind in content for kind in _KINDS)
    wanted = content.get("bold", {}) if nested else content
    if not isinstance(wanted, dict):
        raise DataError(f'{path}: "bold" must hold entities and their labels.')
    return tuple(
        (_key(name, path), _labels(value, name, path))
        for name, value in wanted.items()
        if name not in _NO_FILTER
    )


def _key(name: str, path: Path) -> str:
    key = _KEYS.get(name, name)
    if key not in ENTITY_ORDER:
        names = [*_KEYS, *(k for k in ENTITY_ORDER if k not in _KEYS.values())]
        raise DataError(
            f"{path}: there is no entity {name!r}.", hint=did_you_mean(name, names) or None
        )
    return key


def _labels(value: Any, name: str, path: Path) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(one, dict | list | bool | float) for one in values):
        raise DataError(f"{path}: {name} must be a label, a list of labels, or null.")
    prefix = f"{_KEYS.get(name, name)}-"
    return tuple("" if one is None else str(one).removeprefix(prefix) for one in values)
