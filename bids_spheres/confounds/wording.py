"""Sentences about what a strategy asks for and a table lacks."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from bids_spheres.confounds.components import Missing
from bids_spheres.confounds.versions import todays_name
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bids_spheres.confounds.strategy import Strategy


def missing_columns(
    missing: Sequence[Missing], names: Sequence[str], strategy: Strategy, path: Path | str
) -> DataError:
    """The error that names everything that one table lacks for one strategy."""
    columns = tuple(dict.fromkeys(name for item in missing for name in item.columns))
    whats = [Missing("", columns).what] if columns else []
    whats += [item.problem for item in missing if item.problem]
    keys = ", ".join(dict.fromkeys(item.key for item in missing))
    return DataError(
        f"{path} has {' and '.join(whats)}, which the {strategy} needs for {keys}.",
        hint=similar_columns(columns, names),
    )


def similar_columns(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    """A hint with the existing name that is nearest to each one asked for, if any is near."""
    near = {close for name in wanted for close in get_close_matches(todays_name(name), names, n=1)}
    return f"Similar columns there: {', '.join(sorted(near))}." if near else None


def some(labels: Sequence[str], at_most: int = 3) -> str:
    """Labels for a sentence, not more of them than fit.

    Examples
    --------
    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(labels[:at_most])
    rest = len(labels) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown
