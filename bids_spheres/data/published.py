"""Names of the seed sets and strategies that ship with the package, known before any is loaded."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

STRATEGY_FILES = (".json", ".yml", ".yaml")
"""Endings of files that hold a user's own strategy."""


MEASURES = {
    "pearson": "pearsoncorrelation",
    "fisher-z": "fisherz",
    "partial": "partialcorrelation",
    "covariance": "covariance",
    "precision": "precision",
    "ledoit-wolf": "ledoitwolfcorrelation",
    "spearman": "spearmancorrelation",
}
"""Names of the measures of connectivity, and their labels in file names."""


def measure_name(name: str) -> str:
    """Name of a measure of connectivity from its name or label, whatever its case and signs.

    Raises
    ------
    UsageError
        When no measure has this name.
    """

    def key(text: str) -> str:
        return "".join(filter(str.isalnum, text)).lower()

    for known, label in MEASURES.items():
        if key(name) in (key(known), label):
            return known
    guess = did_you_mean(name.lower(), [*MEASURES, *MEASURES.values()])
    raise UsageError(
        f"{name} is no measure of connectivity.",
        hint=f"{guess}The measures are: {', '.join(MEASURES)}.",
    )


def data_folder(kind: str) -> Traversable:
    """Folder of the package's ``seeds`` or ``strategies``."""
    return resources.files("bids_spheres") / "data" / kind


def published_seed_sets() -> tuple[str, ...]:
    """Names of the seed sets that ship with the package."""
    return _stems("seeds", ".tsv")


def published_strategies() -> tuple[str, ...]:
    """Names of the strategies that ship with the package."""
    return _stems("strategies", ".json")


def _stems(kind: str, ending: str) -> tuple[str, ...]:
    names = (file.name for file in data_folder(kind).iterdir())
    return tuple(sorted(name.removesuffix(ending) for name in names if name.endswith(ending)))


def unknown_seed_set(name: str) -> UsageError:
    """Error for an unknown seed set."""
    known = published_seed_sets()
    return UsageError(
        f"There is no built-in seed set named {name!r}.",
        hint=f"{did_you_mean(name, known)}The sets are: {', '.join(known)}. "
        "For a table of your own use --seeds FILE.",
    )


def hint_for_seeds(path: Path) -> str:
    """Hint for a seed table that is not there."""
    known = published_seed_sets()
    if path.name in known:
        return f"{path.name} is a built-in set: --atlas {path.name}."
    return f"{did_you_mean(path.name, known)}Built-in sets, for --atlas, are: {', '.join(known)}."


def unknown_strategy(name: str) -> UsageError:
    """Error for an unknown strategy."""
    known = published_strategies()
    return UsageError(
        f"There is no denoising strategy named {name!r}.",
        hint=f"{did_you_mean(name, known)}The strategies are: {', '.join(known)}; "
        f"a file of your own ends in {', '.join(STRATEGY_FILES)}.",
    )
