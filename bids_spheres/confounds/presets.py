"""Strategies from files: those that ship with the package, and a user's own."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.confounds.forms import strategy_from_json
from bids_spheres.errors import DataError, MissingInputError, UsageError, did_you_mean
from bids_spheres.textfiles import parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from bids_spheres.confounds.strategy import Strategy

EXTENSIONS = (".json", ".yml", ".yaml")
"""Of files that hold a user's own strategy."""


def published_strategies() -> tuple[str, ...]:
    """Names of the strategies that ship with the package."""
    files = (f.name for f in _strategy_folder().iterdir())
    return tuple(sorted(name[:-5] for name in files if name.endswith(".json")))


def load_strategy(name: str | Path) -> Strategy:
    """A strategy that ships with the package, or one from a user's file.

    Parameters
    ----------
    name : str or Path
        Name of a published strategy, or path of a file that ends in .json, .yml or .yaml; see
        `bids_spheres.confounds.forms` for what it can hold.

    Raises
    ------
    UsageError
        When there is no such strategy; the message lists those there are.
    MissingInputError
        When there is no such file.
    DataError
        When the file can't be used; the message names the file and the key.
    """
    if isinstance(name, str) and name in published_strategies():
        text = (_strategy_folder() / f"{name}.json").read_text(encoding="utf-8")
        return strategy_from_json(json.loads(text), "")
    if Path(name).suffix.lower() in EXTENSIONS:
        return _load_file(Path(name))
    raise _unknown_strategy(str(name))


def _strategy_folder() -> Traversable:
    return resources.files("bids_spheres") / "data" / "strategies"


def _unknown_strategy(name: str) -> UsageError:
    known = published_strategies()
    return UsageError(
        f"There is no denoising strategy named {name!r}.",
        hint=f"{did_you_mean(name, known)}The strategies are: {', '.join(known)}; "
        f"a file of your own ends in {', '.join(EXTENSIONS)}.",
    )


def _load_file(path: Path) -> Strategy:
    try:
        text = read_text(path, "strategy file")
    except MissingInputError as error:
        hint = f"The strategies that need no file are: {', '.join(published_strategies())}."
        raise MissingInputError(error.message, error.hint or hint) from error
    if not text.strip():
        raise DataError(f"The strategy file {path} is empty.")
    if path.suffix.lower() == ".json":
        return strategy_from_json(parse_json(text, path, unique_keys=True), path)
    return strategy_from_json(parse_yaml(text, path), path)
