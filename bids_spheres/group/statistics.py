"""Tests of many edges at once."""

from __future__ import annotations

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


def false_discovery_rate(p: FloatArray) -> FloatArray:
    """Least false discovery rate at which a test is still positive.

    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; over all p that are known.
    """
    known = np.isfinite(p)
    q = np.full(np.shape(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q
