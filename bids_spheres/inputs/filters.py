"""Read the filter file that BIDS Apps share.

Its form is fMRIPrep's: pybids' entity names and labels to keep, for a kind of file, as in
``{"bold": {"task": "rest", "session": ["01", "02"], "acquisition": null}}``; null keeps what has
no such entity, ``"*"`` what has it, with any label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Read entities and the labels to keep; "" is a name without the entity, "*" any label.

    DataError when the file is no JSON object, or names an unknown entity.
    """
    if path is None:
        return ()
    if not is_there(path):
        raise MissingInputError(f"The filter file {path} is missing.")
    content = read_json_object(path)
    nested = any(kind in content for kind in _KINDS)
    wanted = content.get("bold", {}) if nested else content
    if not isinstance(wanted, dict):
        raise DataError(f'{path}: "bold" must hold entities and their labels.')
    filters = []
    for name, value in wanted.items():
        if name in _NO_FILTER:
            continue
        key = _KEYS.get(name, name)
        if key not in ENTITY_ORDER:
            names = [*_KEYS, *(key for key in ENTITY_ORDER if key not in _KEYS.values())]
            raise DataError(
                f"{path}: there is no entity {name!r}.", hint=did_you_mean(name, names) or None
            )
        labels = value if isinstance(value, list) else [value]
        if not labels or any(isinstance(label, dict | list | bool | float) for label in labels):
            raise DataError(f"{path}: {name} must be a label, a list of labels, or null.")
        # Labels are often given as they stand in names: "ses-01".
        texts = ("" if label is None else str(label).removeprefix(f"{key}-") for label in labels)
        filters.append((key, tuple(texts)))
    return tuple(filters)
