"""The sentence about connectivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.methods.wording import cite, code, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHRUNK = f"a covariance shrunk after Ledoit and Wolf {cite('ledoit2004')}"

_MEASURES = {
    "pearsoncorrelation": "Pearson's correlation coefficient",
    "fisherz": "Fisher's z, the inverse hyperbolic tangent of Pearson's correlation coefficient "
    f"{cite('fisher1915')}",
    "spearmancorrelation": f"Spearman's rank correlation coefficient {cite('spearman1904')}",
    "covariance": "the sample covariance",
    "ledoitwolfcorrelation": f"the correlation coefficient from {_SHRUNK}",
    "partialcorrelation": "the partial correlation given all other spheres of the set "
    f"{cite('marrelec2006')}, from {_SHRUNK}",
    "precision": f"the precision, which is the inverse of {_SHRUNK}",
}
"""By the labels of their ``stat`` entities."""


def connectivity(measures: Sequence[str]) -> Iterator[str]:
    """Which measures were computed; one that is not known here is told by its label."""
    if measures:
        named = listing([_MEASURES.get(label) or code(label) for label in measures])
        yield f"Connectivity of all pairs of spheres of a set was measured in each run by {named}."
