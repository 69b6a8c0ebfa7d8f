"""Strategies from files: those that ship with the package, and a user's own."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.confounds.forms import strategy_from_json
from bids_spheres.errors import DataError, MissingInputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingInputError(
            f"There is no strategy file {path}.",
            hint=f"The strategies that need no file are: {', '.join(published_strategies())}.",
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The strategy file {path} can't be read: {error}.") from error
    if not text.strip():
        raise DataError(f"The strategy file {path} is empty.")
    content = _from_json(text, path) if path.suffix.lower() == ".json" else _from_yaml(text, path)
    return strategy_from_json(content, path)


def _from_json(text: str, path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_keys([key for key, _ in pairs], path)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise DataError(f"The strategy file {path} is not JSON: {error}.") from error


def _from_yaml(text: str, path: Path) -> Any:
    try:
        yaml = import_module("yaml")  # not a dependency of those who write JSON
    except ImportError as error:
        raise DataError(
            f"{path} can't be read: YAML needs the package PyYAML, which is not installed.",
            hint="pip install pyyaml, or write the strategy as JSON.",
        ) from error
    try:
        for keys in _yaml_keys(yaml.compose(text, yaml.SafeLoader)):
            _check_keys(keys, path)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The strategy file {path} is not YAML: {error}.") from error


def _yaml_keys(node: Any) -> Iterator[list[str]]:
    """Keys of every mapping, in which PyYAML lets the last of two win."""
    if getattr(node, "id", "") == "mapping":
        yield [key.value for key, _ in node.value if isinstance(key.value, str)]
        for _, value in node.value:
            yield from _yaml_keys(value)


def _check_keys(keys: list[str], path: Path) -> None:
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise DataError(f"{path}: key {twice[0]} is there twice.")
