"""Degrees of freedom that linear cleaning leaves of white noise.

Cleaning is linear, x -> M x. Two independent white series that went through it have a correlation
r of mean 0, and var(r) says how much a correlation of cleaned series can be trusted; 1 / var(r) is
the number of independent values whose correlation varies as much, the mean known. With l the
eigenvalues of M M' and e standard normal, the direction of a cleaned series has the mean squares
l_i q_i, where

    q_i = E[e_i^2 / sum_j l_j e_j^2]
        = integral from 0 to infinity of (1 + 2 l_i t)^-1 prod_j (1 + 2 l_j t)^-1/2 dt,

and, as its components are uncorrelated, r has the variance sum_i l_i^2 q_i^2 (for moments of ratios
of quadratic forms see Magnus 1986, Annales d'Economie et de Statistique 4, 95-109). A projection,
which regression and censoring are, has eigenvalues of 0 and 1, and 1 / var(r) is its rank.

The ratio of traces tr(M M')^2 / tr((M M')^2) (Satterthwaite 1946, doi:10.2307/3002019) takes the
mean of the ratio for the ratio of means: it is up to a quarter off after band-pass filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray


_NEGLIGIBLE = 1e-10
"""Eigenvalue, relative to the largest, that is a rounding error of those that are 0."""

_STEP, _FIRST, _LAST = 0.2, -4.0, 85.0
"""Nodes of the quadrature, see `variance_of_correlation`.

Half the step changes the result by less than 1e-12, and beyond these ends the integrand of one
single eigenvalue, the slowest to vanish, is below 1e-17.
"""


def degrees_of_freedom_left(operator: FloatArray) -> float:
    """1 / var(r) of two independent white series after cleaning; 0 when nothing is left.

    `operator` is M, (K, T): what cleaning makes of T impulses, K volumes kept of T. The mean is
    removed here, as a correlation does, so that K - 1 is the most.

    Of 100 values, the mean and a regressor take two:

    >>> regressor = np.linspace(-1, 1, 100)[:, None]
    >>> projection = np.eye(100) - regressor @ regressor.T / np.sum(regressor**2)
    >>> round(degrees_of_freedom_left(projection), 9)
    98.0
    """
    if not operator.size:
        return 0.0
    centred = operator - operator.mean(axis=0)
    largest = np.abs(centred).max()
    if not largest > 0:
        return 0.0
    centred /= largest  # splines across long gaps have values whose squares would overflow
    eigenvalues: FloatArray = linalg.eigvalsh(centred @ centred.T).astype(np.float64)
    return 1 / variance_of_correlation(eigenvalues)


def variance_of_correlation(eigenvalues: FloatArray) -> float:
    """Variance of the correlation of two independent Gaussian series of one covariance.

    The integrals of this module by the trapezoidal rule over t = exp(u - exp(-u)), under which the
    integrand vanishes twice exponentially at 0 (Takahasi & Mori 1974,
    doi:10.2977/prims/1195192451). The eigenvalues, in any unit, are those of the covariance over
    time; those that are 0 but for rounding play no part.

    >>> round(variance_of_correlation(np.ones(50)), 12)
    0.02
    """
    positive = eigenvalues[eigenvalues > _NEGLIGIBLE * eigenvalues.max()]
    shares = positive / positive.sum()
    u = np.arange(_FIRST, _LAST, _STEP)
    t = np.exp(u - np.exp(-u))
    factors = 1 + 2 * np.outer(t, shares)
    heights = np.exp(-np.log(factors).sum(axis=1) / 2) * t * (1 + np.exp(-u)) * _STEP
    q = heights @ (1 / factors)
    return float(np.sum((shares * q) ** 2))
