"""How many groups a page shows with matrices: as many as a browser opens without a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bids_spheres.reports.group.load import Result

MOST_BYTES = 8e6
"""Size of all matrices of a page together."""

MOST_CHOICES = 40
"""Pictures of one kind among which readers can choose."""

_BYTES_OF_PICTURE, _BYTES_OF_VALUES = 2.7, 2.7  # per pair, in base64


def affordable(results: Iterable[Result]) -> frozenset[str]:
    """Anchors of the groups whose matrices are shown; at least the first group with a result."""
    chosen: list[str] = []
    left = MOST_BYTES
    for result in results:
        if not result.has_matrices:
            continue
        n_seeds, terms = len(result.image.names), len(result.model_about.get("Terms") or ())
        pictures, values = 1 + terms, 2 + 2 * terms
        per_pair = pictures * _BYTES_OF_PICTURE + values * _BYTES_OF_VALUES
        left -= n_seeds * (n_seeds - 1) / 2 * per_pair
        if left < 0 and chosen:
            break
        chosen.append(result.anchor)
    return frozenset(chosen)
