"""Refuse words that stand for nothing before the libraries are loaded that use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.data.published import (
    STRATEGY_FILES,
    hint_for_seeds,
    measure_name,
    published_seed_sets,
    published_strategies,
    unknown_seed_set,
    unknown_strategy,
)
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.files.text import is_there
from bids_spheres.settings import MASKS

if TYPE_CHECKING:
    from bids_spheres.settings import Settings


def check_words(settings: Settings) -> None:
    """Check that seeds are given, names known, and the user's files and folders present.

    Not for calls that only read results: these may name seed sets and strategies of the user's own
    by the names of files, and need no input.
    """
    for name in settings.processing.connectivity:
        measure_name(name)
    strategies = published_strategies()
    for name in settings.atlas:
        if name not in published_seed_sets():
            raise unknown_seed_set(name)
    for name in settings.strategy:
        if name not in strategies and Path(name).suffix.lower() not in STRATEGY_FILES:
            raise unknown_strategy(name)
    for folder in (settings.bids_dir, *(path for _, path in settings.derivatives)):
        if not folder.exists():
            raise MissingInputError(f"The folder {folder} does not exist.")
    _check_files(settings)
    if not (settings.atlas or settings.seeds or settings.parcellation or settings.roi):
        raise UsageError(
            "No seeds are given.",
            hint="Name a built-in set (--atlas Power2011), a table of your own (--seeds FILE), or "
            "regions (--parcellation FILE, --roi FILE).",
        )


def _check_files(settings: Settings) -> None:
    strategies = published_strategies()
    no_file = f"The strategies that need no file are: {', '.join(strategies)}."
    mask, filters = settings.processing.mask, settings.labels.bids_filter_file
    tables = [path for path in settings.seeds if isinstance(path, Path)]
    files = [("The seed table", path, hint_for_seeds(path)) for path in tables]
    files += [("--roi: the image", path, "") for path in settings.roi]
    own = (Path(name) for name in settings.strategy if name not in strategies)
    files += [("The strategy file", path, no_file) for path in own]
    if mask not in MASKS:
        hint = "Give run, template, none, or the path of a mask image."
        files.append(("--mask: the image", Path(mask), hint))
    if settings.outliers:
        files.append(("The outlier table or folder of such tables", settings.outliers, ""))
    if filters:
        files.append(("The filter file", filters, ""))
    for called, path, hint in files:
        if not is_there(path):
            raise MissingInputError(f"{called} {path} is missing.", hint=hint)
