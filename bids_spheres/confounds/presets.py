"""Load strategies: those that ship with the package, and a user's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.confounds.strategy_file import strategy_from_json
from bids_spheres.data.published import (
    STRATEGY_FILES,
    data_folder,
    published_strategies,
    unknown_strategy,
)
from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.files.text import parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from bids_spheres.confounds.strategy import Strategy


def load_strategy(name: str | Path) -> Strategy:
    """A strategy that ships with the package, or one from a user's file.

    Parameters
    ----------
    name : str or Path
        Name of a published strategy, or path of a file that ends in .json, .yml or .yaml; see
        `bids_spheres.confounds.strategy_file` for what it can hold.

    Raises
    ------
    UsageError
        When there is no such strategy; the message lists the known ones.
    MissingInputError
        When there is no such file.
    DataError
        When the file can't be used; the message names the file and the key.
    """
    if isinstance(name, str) and name in published_strategies():
        text = (data_folder("strategies") / f"{name}.json").read_text(encoding="utf-8")
        return strategy_from_json(json.loads(text), "")
    path = Path(name)
    if path.suffix.lower() not in STRATEGY_FILES:
        raise unknown_strategy(str(name))
    try:
        text = read_text(path, "strategy file")
    except MissingInputError as error:
        hint = f"The strategies that need no file are: {', '.join(published_strategies())}."
        raise MissingInputError(error.message, error.hint or hint) from error
    if not text.strip():
        raise DataError(f"The strategy file {path} is empty.")
    is_json = path.suffix.lower() == ".json"
    content = parse_json(text, path, unique_keys=True) if is_json else parse_yaml(text, path)
    return strategy_from_json(content, path)
