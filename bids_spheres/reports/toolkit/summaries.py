"""Many series or pairs summarized: spectra, histograms, medians along distance, block means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import BoolArray, FloatArray

MOST_FREQUENCIES = 160
"""Points of a spectrum that a chart can show."""


def periodogram(times: FloatArray, series: FloatArray, frequencies: FloatArray) -> FloatArray:
    """Lomb-Scargle periodogram, (F, S), of series, (T, S), without mean, at irregular times, s.

    At every frequency, Hz and above 0, a sine and a cosine are fitted, shifted in time so that they
    are orthogonal (Scargle 1982, equation 10, doi:10.1086/160554). `scipy.signal.lombscargle` gives
    the same for one series at a time.
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
    """Mean power of several series."""

    frequencies: FloatArray  # (F,), Hz
    density: FloatArray  # (F,); Per Hz; its integral is 1


def mean_spectrum(series: FloatArray, kept: BoolArray, t_r: float) -> Spectrum | None:
    """Mean over spheres of the power of their series, (T, S), each of variance 1.

    NaN stands for missing spheres, and for volumes that are not `kept`, (T,). None when there are
    fewer than 8 volumes or no series.
    """
    values, n = series[kept], len(series)
    if len(values) < 8:
        return None
    deviation = values.std(axis=0)
    varies = deviation > 0  # not where a value is missing
    if not varies.any():
        return None
    values = values[:, varies] - values[:, varies].mean(axis=0)
    values /= deviation[varies]
    frequencies = np.arange(1, n // 2 + 1, dtype=np.float64) / (n * t_r)
    times = np.flatnonzero(kept).astype(np.float64) * t_r
    power = periodogram(times, values, frequencies).mean(axis=1)
    every = per_pixel(len(frequencies), MOST_FREQUENCIES)
    if every > 1:
        n_full = len(frequencies) // every * every
        both = np.stack([frequencies[:n_full], power[:n_full]])
        frequencies, power = both.reshape(2, -1, every).mean(axis=2)
    return Spectrum(frequencies, power / (power.sum() * (frequencies[1] - frequencies[0])))


def per_pixel(n: int, most: int) -> int:
    """How many of `n` rows or columns share a pixel where there is room for `most`."""
    return -(-n // most)


def block_means(values: FloatArray, most_rows: int, most_columns: int) -> FloatArray:
    """Means of blocks of neighbours, such that a picture has at most that many pixels.

    A block is NaN when all its values are missing.
    """
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0), known.astype(np.float64)
    for axis, most in enumerate((most_rows, most_columns)):
        n = values.shape[axis]
        starts = np.arange(0, n, per_pixel(n, most) or 1)
        if 0 < len(starts) < n:
            sums, counts = (np.add.reduceat(part, starts, axis=axis) for part in (sums, counts))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def pairs(matrix: FloatArray) -> FloatArray:
    """Values above the diagonal, row by row."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def shares(values: FloatArray, edges: ArrayLike) -> FloatArray:
    """Share of the finite values in each of B bins, (B,); the outer bins include all beyond."""
    borders = np.asarray(edges, dtype=np.float64)
    finite = np.clip(values[np.isfinite(values)], borders[0], borders[-1])
    counts, _ = np.histogram(finite, borders)
    return counts / max(len(finite), 1)


@dataclass(frozen=True, eq=False)
class Trend:
    """Quartiles of values along another quantity."""

    middles: FloatArray  # (B,)
    lower: FloatArray  # (B,); NaN for bins with fewer than `FEWEST` values
    median: FloatArray
    upper: FloatArray
    # Spearman's rank correlation of the two quantities; NaN where it is not defined.
    correlation: float


FEWEST = 10
"""Fewest values of a bin for which quartiles are given."""


def trend_along(along: FloatArray, values: FloatArray, width: float) -> Trend:
    """Quartiles of `values` in bins of `width` along `along`, and the correlation of the two."""
    good = np.isfinite(along) & np.isfinite(values)
    along, values = along[good], values[good]
    n_bins = int(along.max() // width) + 1 if along.size else 0
    which = (along // width).astype(int)
    quartiles = np.full((3, n_bins), np.nan)
    for i in range(n_bins):
        inside = values[which == i]
        if len(inside) >= FEWEST:
            quartiles[:, i] = np.percentile(inside, (25, 50, 75))
    middles = (np.arange(n_bins, dtype=np.float64) + 0.5) * width
    lower, median, upper = quartiles
    return Trend(middles, lower, median, upper, spearman(along, values))


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Rank correlation; NaN for fewer than three pairs or without variation."""
    # `scipy.stats` has it as well, but takes longer to import than a page to write.
    ranks = pd.DataFrame({"x": x, "y": y}).rank()
    return float(ranks.corr(min_periods=3).to_numpy()[0, 1])
