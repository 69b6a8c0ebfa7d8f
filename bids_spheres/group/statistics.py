"""Scales on which measures are averaged, confidence limits, and corrections of p.

The variance of a correlation depends on its size, so that correlations are averaged as Fisher's
z = arctanh(r) and brought back by tanh (Silver & Dunlap 1987, doi:10.1037/0021-9010.72.1.146).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import polygamma

from bids_spheres.engine.connectivity import fisher_transform
from bids_spheres.outputs.paths import FISHER_Z, NO_MEASURE

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.connectivity import Moments

CORRELATIONS = frozenset(
    {"pearsoncorrelation", "partialcorrelation", "ledoitwolfcorrelation", "spearmancorrelation"}
)
"""Labels of ``stat`` of measures between -1 and 1."""

CONFIDENCE = 0.95
"""Level of confidence intervals."""


@dataclass(frozen=True)
class Scale:
    """How values of a measure, named by its label of ``stat``, are averaged."""

    stat: str

    @property
    def transformed(self) -> bool:
        """Whether Fisher's transform is taken."""
        return self.stat in CORRELATIONS

    @property
    def tested(self) -> bool:
        """Whether 0 is what unrelated series have on average, so that a mean is tested."""
        return self.transformed or self.stat == FISHER_Z

    @property
    def connectivity(self) -> bool:
        """Whether it says how related two series are."""
        return self.stat not in NO_MEASURE

    @property
    def sign(self) -> int:
        """-1 for precision, a partial correlation times a negative number."""
        return -1 if self.stat == "precision" else 1

    @property
    def name(self) -> str:
        """For people."""
        return "Fisher z" if self.tested else "as the measure"

    def possible(self, values: FloatArray) -> bool:
        """Whether the measure can have these values, but for rounding and NaN."""
        return not self.transformed or not bool((np.abs(values) > 1 + 1e-6).any())

    def forth(self, values: FloatArray) -> FloatArray:
        """From the measure to what is averaged."""
        return fisher_transform(values) if self.transformed else values

    def back(self, values: FloatArray) -> FloatArray:
        """From averages to the measure."""
        return np.tanh(values) if self.transformed else values


def mean_of_known(values: FloatArray) -> float:
    """Mean without missing values; NaN if all are missing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def standard_error(moments: Moments) -> FloatArray:
    """Standard error of means, NaN for fewer than two participants."""
    return moments.sd / np.sqrt(np.maximum(moments.n, 1))


def confidence_limits(moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Limits between which means lie with `CONFIDENCE`, by Student's t with n - 1."""
    quantile = stats.t.isf((1 - CONFIDENCE) / 2, np.where(moments.n > 1, moments.n - 1, np.nan))
    reach = quantile * standard_error(moments)
    return moments.known_mean - reach, moments.known_mean + reach


def fisher_z_variance(degrees_of_freedom: float) -> float:
    """Variance of Fisher's z of two independent series with v = 1 / var(r) > 1.

    (1 + r) / 2 of independent normal series has the beta distribution with both parameters
    (v - 1) / 2, and z is half of its logit, so that var(z) = trigamma((v - 1) / 2) / 2 exactly.
    For many degrees of freedom that is the well-known 1 / (n - 3), with n = v + 1 volumes.

    >>> round(fisher_z_variance(3.0), 4), round(fisher_z_variance(100.0), 6)
    (0.8225, 0.010204)
    """
    return float(polygamma(1, (degrees_of_freedom - 1) / 2) / 2)


def false_discovery_rate(p: FloatArray) -> FloatArray:
    """Least false discovery rate at which a test is still positive, over all p that are known.

    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    known = np.isfinite(p)
    q = np.full(np.shape(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q
