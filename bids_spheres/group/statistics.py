"""Tests of many edges at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import polygamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.group.moments import Moments

    FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of confidence intervals."""

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Tested:
    """Test statistics of E edges; NaN for those that can't be tested.

    Parameters
    ----------
    t, p, q : (E,) arrays
        Student's t, its two-sided p, and p corrected for all edges, see `false_discovery_rate`.
    """

    t: FloatArray
    p: FloatArray
    q: FloatArray


def t_test(t: FloatArray, freedom: FloatArray | float) -> Tested:
    """Two-sided p, and q, of t values; none where degrees of freedom are NaN."""
    p = np.asarray(2 * stats.t.sf(np.abs(t), freedom))
    return Tested(np.where(np.isnan(p), np.nan, t), p, false_discovery_rate(p))


def one_sample(moments: Moments, min_participants: int = 2) -> Tested:
    """Test of means against 0, mean / (sd / sqrt(n)) with n - 1 degrees of freedom.

    NaN for fewer than `min_participants`, or two, and for values that are all the same.
    """
    error = standard_error(moments)
    varies = error > _ROUNDING * np.abs(moments.mean)
    t = moments.mean / np.where(varies, error, np.nan)
    testable = moments.n >= max(min_participants, 2)
    return t_test(t, np.where(testable, moments.n - 1, np.nan))


def standard_error(moments: Moments) -> FloatArray:
    """Standard error of means, NaN for fewer than two participants."""
    return moments.sd / np.sqrt(np.maximum(moments.n, 1))


def confidence_limits(moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Limits between which means lie with `CONFIDENCE`, by Student's t with n - 1."""
    quantile = stats.t.isf((1 - CONFIDENCE) / 2, np.where(moments.n > 1, moments.n - 1, np.nan))
    reach = quantile * standard_error(moments)
    return moments.known_mean - reach, moments.known_mean + reach


def fisher_z_variance(degrees_of_freedom: float) -> float:
    """Variance of Fisher's z of the correlation of two independent series.

    (1 + r) / 2 of independent normal series has the beta distribution with both parameters
    (v - 1) / 2, and z is half of its logit, so that var(z) = trigamma((v - 1) / 2) / 2 exactly.
    For many degrees of freedom that is the well-known 1 / (n - 3), with n = v + 1 volumes.

    Parameters
    ----------
    degrees_of_freedom : float
        v = 1 / var(r), larger than 1.

    Examples
    --------
    >>> round(fisher_z_variance(3.0), 4), round(fisher_z_variance(100.0), 6)
    (0.8225, 0.010204)
    """
    return float(polygamma(1, (degrees_of_freedom - 1) / 2) / 2)


def correlation_p(r: FloatArray, n: FloatArray) -> FloatArray:
    """Two-sided p of correlations of n pairs, by r sqrt((n - 2) / (1 - r^2)) as Student's t."""
    freedom = np.where(n > 2, n - 2, np.nan)
    with np.errstate(divide="ignore"):  # a perfect correlation has the p 0
        t = np.abs(r) * np.sqrt(freedom / (1 - r**2))
    return np.asarray(2 * stats.t.sf(t, freedom))


def false_discovery_rate(p: FloatArray) -> FloatArray:
    """Least false discovery rate at which a test is still positive.

    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; over all p that are known.
    """
    known = np.isfinite(p)
    q = np.full(np.shape(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q
