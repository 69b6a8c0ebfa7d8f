"""How well repeated measurements agree, for each edge and for participants as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Intraclass correlation of E columns, NaN where it can't be estimated.

    Parameters
    ----------
    icc, ci_low, ci_high : (E,) arrays
    n : (E,) array
        Participants with all sessions.
    """

    icc: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    n: FloatArray


def intraclass_correlation(
    z: FloatArray, kind: Literal["2,1", "3,1"] = "2,1", *, confidence: float = 0.95
) -> Reliability:
    """Intraclass correlation of single measurements.

    Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420: ICC(2,1) asks for agreement of sessions
    that are a sample, ICC(3,1) for consistency of just these sessions. Intervals are theirs.

    Parameters
    ----------
    z : (P, S, E) array
        Participants, sessions, edges; a participant who lacks an edge in a session is left out of
        that edge.
    kind : {"2,1", "3,1"}
    confidence : float

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        For fewer than two sessions.
    """
    raise NotImplementedError


def discriminability(z: FloatArray, participants: IntArray) -> float:
    """Share of comparisons in which a participant's own measurement is the nearer.

    For each pair of measurements of a participant, the share of measurements of others that are
    farther from the first than the second is, ties counting half; then the mean (Bridgeford et al.
    2021, doi:10.1371/journal.pcbi.1009279). Distances are Euclidean.

    Parameters
    ----------
    z : (M, E) array
        A row per measurement. Edges that a measurement lacks are left out.
    participants : (M,) array of int
        Of each row.

    Returns
    -------
    float
        1 is best, 0.5 chance; NaN without a pair, or without others.
    """
    raise NotImplementedError


def identification_rate(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Share of participants whose measurement correlates most with their own other one.

    Finn et al. 2015, doi:10.1038/nn.4135.

    Parameters
    ----------
    first, second : (P, E) arrays
        The same participants in two sessions; edges that are missing anywhere are left out.

    Returns
    -------
    from_first, from_second : float
        With the first session looked up in the second, and the other way round. Ties don't identify.
    """
    raise NotImplementedError
