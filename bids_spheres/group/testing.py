"""Contrasts of a group: estimates, their tests, and corrections for the number of edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.group.inference import estimate
from bids_spheres.group.statistics import CONFIDENCE, false_discovery_rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from bids_spheres.group.inference import Contrast, Estimates, Tail
    from bids_spheres.group.model import Design
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.values import EdgeValues

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tested:
    """A contrast of E edges; NaN for those that can't be tested.

    Parameters
    ----------
    contrast : Contrast
    tail : {"two", "positive", "negative"}
    estimates : Estimates
    q : (E,) array
        p corrected for all edges, see `false_discovery_rate`.
    """

    contrast: Contrast
    tail: Tail
    estimates: Estimates
    q: FloatArray


def tested_contrasts(
    values: EdgeValues, design: Design, contrasts: Iterable[Contrast], options: GroupOptions
) -> Iterator[Tested]:
    """Estimate and test contrasts; edges of fewer than the minimum of participants get no test.

    ValueError when the design, or a contrast, can't be estimated in these participants.
    """
    rows = values.rows_of(design.participants).array
    for contrast in contrasts:
        estimates = estimate(
            rows, design.values, contrast, tail=options.tail, confidence=CONFIDENCE
        )
        enough = estimates.n >= options.min_participants
        known = {
            name: np.where(enough, getattr(estimates, name), np.nan) for name in ("statistic", "p")
        }
        q = false_discovery_rate(known["p"])
        yield Tested(contrast, options.tail, replace(estimates, **known), q)
