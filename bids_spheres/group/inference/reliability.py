"""How well repeated measurements agree, for each edge and for participants as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from bids_spheres.group.inference.linear_model import column_blocks

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray, IntArray

_TIES = 1e-12
"""Relative difference of equal distances and correlations, which rounding separates."""


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

    Raises
    ------
    ValueError
        For fewer than two sessions.
    """
    if z.shape[1] < 2:
        raise ValueError("reliability needs two sessions or more")
    blocks = column_blocks(z.reshape(z.shape[0] * z.shape[1], -1))
    parts = [
        _correlation(block.reshape(*z.shape[:2], -1), kind, (1 - confidence) / 2)
        for block in blocks
    ]
    return Reliability(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@np.errstate(invalid="ignore")  # edges that are the same everywhere
def _correlation(
    z: FloatArray, kind: Literal["2,1", "3,1"], alpha: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """ICC, its limits, and participants, from mean squares of participants, sessions and rest."""
    k = z.shape[1]
    complete = np.asarray(np.isfinite(z).all(axis=1))
    participants = complete.sum(axis=0).astype(float)
    n = np.where(participants > 1, participants, np.nan)
    known = np.where(complete[:, np.newaxis], z, 0)
    of_session = known.sum(axis=0) / n
    grand = of_session.mean(axis=0)
    of_participant = np.where(complete, known.mean(axis=1) - grand, 0)
    left = np.where(complete[:, np.newaxis], known - of_participant[:, np.newaxis] - of_session, 0)
    degrees = (n - 1) * (k - 1)
    own = k * np.sum(of_participant**2, axis=0) / (n - 1)
    sessions = n * np.sum((of_session - grand) ** 2, axis=0) / (k - 1)
    rest = np.sum(left**2, axis=(0, 1)) / degrees
    if kind == "3,1":
        factors = 1, 1 / stats.f.isf(alpha, n - 1, degrees), stats.f.isf(alpha, degrees, n - 1)
        icc, low, high = ((f * own - rest) / (f * own + (k - 1) * rest) for f in factors)
        return icc, low, high, participants
    icc = (own - rest) / (own + (k - 1) * rest + k * (sessions - rest) / n)
    between, within = k * icc * sessions, (n * (1 + (k - 1) * icc) - k * icc) * rest
    degrees = degrees * (between + within) ** 2 / ((n - 1) * between**2 + within**2)
    upper, lower = stats.f.isf(alpha, n - 1, degrees), stats.f.isf(alpha, degrees, n - 1)
    others = k * sessions + (k * n - k - n) * rest
    low = n * (own - upper * rest) / (upper * others + n * own)
    high = n * (lower * own - rest) / (others + n * lower * own)
    return icc, low, high, participants


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
    products = np.zeros((len(z), len(z)))
    for block in column_blocks(z):
        values = block[:, np.isfinite(block).all(axis=0)]
        values = values - values.mean(axis=0)
        products += values @ values.T
    squares = np.diag(products)
    distances = squares[:, np.newaxis] + squares - 2 * products
    tie = _TIES * squares.max()
    own = participants[:, np.newaxis] == participants
    shares = []
    for i, row in enumerate(distances):
        others = row[~own[i]]
        own[i, i] = False
        if len(others):
            differences = others - row[own[i], np.newaxis]
            farther = (differences > tie) + 0.5 * (np.abs(differences) <= tie)
            shares.extend(farther.mean(axis=1))
    return float(np.mean(shares)) if shares else float("nan")


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
        With the first session looked up in the second, and the other way round; ties don't
        identify.
    """
    known = np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)
    r = _standardized(first[:, known]) @ _standardized(second[:, known]).T
    own = np.diag(r).copy()
    np.fill_diagonal(r, -np.inf)
    from_first, from_second = (own > r.max(axis=axis) + _TIES for axis in (1, 0))
    return float(from_first.mean()), float(from_second.mean())


def _standardized(rows: FloatArray) -> FloatArray:
    """Rows with mean 0 and length 1."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)
