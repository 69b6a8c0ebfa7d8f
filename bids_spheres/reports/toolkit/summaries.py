"""What reports tell of many series or pairs at once: spectra, shares, medians along distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

MOST_FREQUENCIES = 160
"""Points of a spectrum: a chart shows no more."""


def periodogram(times: FloatArray, series: FloatArray, frequencies: FloatArray) -> FloatArray:
    r"""Power of series at times that need not be regular, by Lomb and Scargle.

    At every frequency a sine and a cosine are fitted, shifted in time so that they are orthogonal;
    with regular times and at multiples of 1 / duration this is the classic periodogram.

    Parameters
    ----------
    times : (T,) array, s
    series : (T, S) array
        Without their means, and without missing values.
    frequencies : (F,) array, Hz
        Above 0.

    Returns
    -------
    (F, S) array
        As of `scipy.signal.lombscargle`.

    References
    ----------
    Scargle JD (1982). Studies in astronomical time series analysis II. The Astrophysical Journal
    263, 835-853, equation 10. doi:10.1086/160554
    """
    angles = 2 * np.pi * frequencies[:, None] * times
    shift = np.arctan2(np.sin(2 * angles).sum(axis=1), np.cos(2 * angles).sum(axis=1)) / 2
    shifted = angles - shift[:, None]
    power = np.zeros((len(frequencies), series.shape[1]))
    for wave in (np.cos(shifted), np.sin(shifted)):
        weight = (wave**2).sum(axis=1)[:, None]
        # At the Nyquist frequency one of the two waves is zero at all times.
        fits = weight > 1e-9 * len(times)
        power += np.where(fits, (wave @ series) ** 2 / np.where(fits, weight, 1.0), 0.0) / 2
    return power


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean power of several series.

    Parameters
    ----------
    frequencies : (F,) array, Hz
    density : (F,) array
        Per Hz; its integral is 1.
    """

    frequencies: FloatArray
    density: FloatArray


def mean_spectrum(series: FloatArray, kept: NDArray[np.bool_], t_r: float) -> Spectrum | None:
    """Mean over spheres of the power of their series, each of variance 1.

    Parameters
    ----------
    series : (T, S) array
        NaN for spheres that are missing, and for volumes that are not `kept`.
    kept : (T,) bool array
    t_r : float
        s.

    Returns
    -------
    Spectrum or None
        None when there are fewer than 8 volumes or no series.
    """
    values = series[kept]
    values = values[:, np.isfinite(values).all(axis=0)] if len(values) else values
    n = len(series)
    if len(values) < 8 or not values.size:
        return None
    values = values - values.mean(axis=0)
    deviation = values.std(axis=0)
    values = values[:, deviation > 0] / deviation[deviation > 0]
    if not values.size:
        return None
    frequencies = np.arange(1, n // 2 + 1, dtype=np.float64) / (n * t_r)
    times = np.flatnonzero(kept).astype(np.float64) * t_r
    power = periodogram(times, values, frequencies).mean(axis=1)
    frequencies, power = _thinned(frequencies, power)
    return Spectrum(frequencies, power / (power.sum() * (frequencies[1] - frequencies[0])))


def _thinned(frequencies: FloatArray, power: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means of neighbours, when there are more than a chart shows."""
    every = -(-len(frequencies) // MOST_FREQUENCIES)
    n = len(frequencies) // every * every
    both = np.stack([frequencies[:n], power[:n]]).reshape(2, -1, every).mean(axis=2)
    return both[0], both[1]


def pairs(matrix: FloatArray) -> FloatArray:
    """Values above the diagonal, row by row."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


@dataclass(frozen=True, eq=False)
class Shares:
    """How values spread: share of them per bin.

    Parameters
    ----------
    edges : (B + 1,) array
    shares : (B,) array
        Adding up to 1, unless there are no values.
    """

    edges: FloatArray
    shares: FloatArray


def shares(values: FloatArray, edges: ArrayLike) -> Shares:
    """Share of the finite values in each bin; those beyond the ends count to the outer bins."""
    borders = np.asarray(edges, dtype=np.float64)
    finite = np.clip(values[np.isfinite(values)], borders[0], borders[-1])
    counts, _ = np.histogram(finite, borders)
    return Shares(borders, counts / max(len(finite), 1))


@dataclass(frozen=True, eq=False)
class Trend:
    """Quartiles of values along another quantity.

    Parameters
    ----------
    middles : (B,) array
    lower, median, upper : (B,) arrays
        NaN for bins with fewer than `FEWEST` values.
    correlation : float
        Spearman's rank correlation of the two quantities; NaN where it is not defined.
    """

    middles: FloatArray
    lower: FloatArray
    median: FloatArray
    upper: FloatArray
    correlation: float


FEWEST = 10
"""Values of a bin whose quartiles are told."""


def trend(along: FloatArray, values: FloatArray, width: float) -> Trend:
    """Quartiles of `values` in bins of `width` of `along`, and how the two correlate."""
    good = np.isfinite(along) & np.isfinite(values)
    along, values = along[good], values[good]
    n_bins = int(along.max() // width) + 1 if along.size else 0
    which = (along // width).astype(int)
    quartiles = np.full((3, n_bins), np.nan)
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(n_bins + 1))
    for i in range(n_bins):
        inside = values[order[edges[i] : edges[i + 1]]]
        if len(inside) >= FEWEST:
            quartiles[:, i] = np.percentile(inside, (25, 50, 75))
    middles = (np.arange(n_bins, dtype=np.float64) + 0.5) * width
    lower, median, upper = quartiles
    return Trend(middles, lower, median, upper, spearman(along, values))


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Rank correlation; NaN for fewer than three pairs or without variation."""
    if len(x) < 3:
        return float("nan")
    ranks = np.array([mean_ranks(x), mean_ranks(y)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norm = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float(ranks[0] @ ranks[1]) / norm if norm else float("nan")


def mean_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of theirs.

    As `scipy.stats.rankdata`, which takes longer to import than a page to make.

    >>> mean_ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which])
