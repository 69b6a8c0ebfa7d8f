"""How many independent volumes a correlation of cleaned time series is worth.

After cleaning of white noise
-----------------------------
Cleaning is linear, x -> M x. With l the eigenvalues of M M', 1 / var(r) of two independent white
series after it is 1 / sum_i l_i^2 q_i^2, where (Magnus 1986, Annales d'Economie et de Statistique
4, 95-109; derived in docs/reference/mathematics.md)

    q_i = integral from 0 to infinity of (1 + 2 l_i t)^-1 prod_j (1 + 2 l_j t)^-1/2 dt.

For a projection, which regression and censoring are, that is its rank. The ratio of traces tr(M
M')^2 / tr((M M')^2) (Satterthwaite 1946, doi:10.2307/3002019) takes the mean of a ratio for the
ratio of means: it is up to a quarter off after band-pass filters.

Of autocorrelated series
------------------------
Of two series that are independent of one another and have the covariances X and Y over time, with P
taking away what was regressed out, the mean at least,

    N = 1 + tr(PX) tr(PY) / tr(PXPY)

is the number of independent values whose correlation varies as much (Dutilleul 1993,
doi:10.2307/2532625, after Clifford et al. 1989, doi:10.2307/2532039). For stationary series, long
and without regressors, that is Bartlett's K / (1 + 2 sum_k (1 - k/K) r_x(k) r_y(k)) (1935,
doi:10.2307/2342284; Pyper & Peterman 1998, doi:10.1139/f98-104); for first-order autoregressive
ones with parameters a and b, K (1 - a b) / (1 + a b).

Why it is neither Bartlett's sum with a taper nor xDF (Afyouni et al. 2019,
doi:10.1016/j.neuroimage.2019.05.011), docs/development/decisions.md says. Where autocorrelations
and cross-correlation have one shape, N holds for the Fisher transform of any r.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, linalg

from bids_spheres.engine.connectivity import defined_series, remains
from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

_NEGLIGIBLE = 1e-10  # eigenvalue, relative to the largest, that is a rounding error of 0

# Nodes of the quadrature, see `variance_of_correlation`: half the step changes it by less than
# 1e-12, and beyond the ends the integrand of a single eigenvalue, the slowest, is below 1e-17.
_STEP, _FIRST, _LAST = 0.2, -4.0, 85.0

_DEPENDENT = 1e-10  # singular value, relative to the largest, of combinations of other regressors
_UNSEEN = 1e-8  # share of a pattern of covariance below which regression has left nothing of it


def degrees_of_freedom_left(operator: FloatArray) -> float:
    """1 / var(r) of two independent white series after cleaning; 0 when nothing is left.

    `operator` is M, (K, T): what cleaning makes of T impulses, K volumes kept of T. The mean is
    removed here, as a correlation does, so that K - 1 is the most. Of 100 values, the mean and a
    regressor take two:

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
    doi:10.2977/prims/1195192451). Eigenvalues are those of the covariance over time, in any unit.

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


def effective_degrees_of_freedom(
    timeseries: FloatArray,
    *,
    kept: ArrayLike | None = None,
    regressors: ArrayLike | None = None,
    degrees_lost: float = 0,
    max_lag: int | None = None,
) -> FloatArray:
    """Number of independent volumes that each correlation is worth, N of this module: (S, S).

    `timeseries`, (K, S), are cleaned. `kept`, (T,) bool, says which volumes of the run those are,
    by default all; between concatenated runs, let `max_lag` volumes count as not kept.
    `regressors`, (K, Q), are what was regressed out, filtered if the series were, with an indicator
    of each of several runs; the mean is always added. `degrees_lost` is what cleaning took, mean
    and filter included: N is at most K + 1 less that, and a filter shows as autocorrelation
    besides. `max_lag`, volumes, is by default the square root of K (Chatfield 2016, "The Analysis
    of Time Series", as used by Afyouni et al. 2019).

    The covariance of a series over time is taken to be the stationary one, with autocovariances up
    to `max_lag`, that after regression is nearest to the products of its values, by least squares
    over all pairs of kept volumes. N is 1 to K, as in xDF also where autocorrelations of opposite
    sign would make it larger; NaN for missing and constant series; on the diagonal, that of a
    series with another of its kind. UsageError for a negative `max_lag` or `degrees_lost`,
    DataError for series without volumes or arguments of another length.

    Limits, from simulations: N is low by a share of about 2 r^2 / sqrt(K) for pairs of correlation
    r, because their sampling errors agree; and it is high after a Butterworth high-pass filter,
    which amplifies both ends of a run and so makes it less than stationary: by a tenth to a half
    for bands from 0.01 Hz in runs of 6 to 13 minutes.

    Sums of two neighbours have an autocorrelation of 0.5 at one lag, and so two thirds of the
    degrees of freedom:

    >>> noise = np.random.default_rng(0).standard_normal((3001, 100))
    >>> effective = effective_degrees_of_freedom(noise[1:] + noise[:-1])
    >>> round(float(np.median(effective)), -2)
    2000.0
    """
    n_volumes, defined = len(timeseries), defined_series(timeseries)
    for name, value in (("max_lag", max_lag), ("degrees_lost", degrees_lost)):
        if value is not None and value < 0:
            raise UsageError(f"{name} must not be negative: {value}.")
    if not n_volumes:
        raise DataError("The series have no volumes.")
    used = np.ones(n_volumes, dtype=bool) if kept is None else np.asarray(kept)
    if used.dtype != bool or used.ndim != 1 or used.sum() != n_volumes:
        raise DataError(
            f"kept must say of each volume of the run whether it is one of these {n_volumes}: "
            f"it has the shape {used.shape}, the type {used.dtype} and the sum {used.sum()}."
        )
    patterns = _Patterns.of(used, isqrt(n_volumes) if max_lag is None else max_lag)
    removed = np.empty((n_volumes, 0)) if regressors is None else np.asarray(regressors, np.float64)
    removed = removed[:, None] if removed.ndim == 1 else removed
    if len(removed) != n_volumes or not np.isfinite(removed).all():
        raise DataError(
            f"Regressors must have {n_volumes} finite values, those at the kept volumes; "
            f"these have the shape {removed.shape} and {np.sum(~np.isfinite(removed))} missing."
        )
    centred = (removed - removed.mean(axis=0))[:, defined_series(removed)]
    columns = np.hstack([np.ones((n_volumes, 1)), centred])
    vectors, sizes, _ = linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
    basis = vectors[:, sizes > _DEPENDENT * sizes[0]]
    values = np.where(defined, np.asarray(timeseries, dtype=np.float64), 0)
    residuals = values - basis @ (basis.T @ values)
    defined &= remains(residuals, values)
    remaining = patterns.left_by(basis)
    autocovariance = patterns.products(residuals[:, defined])
    shares = remaining @ (autocovariance / np.sum(residuals[:, defined] ** 2, axis=0))
    bound = n_volumes + 1 - max(1, degrees_lost, basis.shape[1])
    matrix = np.full((len(defined),) * 2, np.nan)
    # Noise can make the inverse negative: the bound holds there as well.
    effective = 1 + 1 / np.maximum(shares.T @ shares, np.finfo(np.float64).tiny)
    matrix[np.ix_(defined, defined)] = np.minimum(effective, max(bound, 1))
    return matrix


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Stationary covariances: per lag a matrix E, equal where kept volumes are that far apart.

    Each is symmetric, 0 elsewhere, and of norm 1; they are orthogonal to one another. `used`, (T,),
    are the volumes kept; `lags`, (L,), are 0 and the others at which there are pairs of them;
    `norms`, (L,), are those of the matrices with ones instead, the square root of their number.
    """

    used: BoolArray
    lags: IntArray
    norms: FloatArray

    @classmethod
    def of(cls, used: BoolArray, max_lag: int) -> _Patterns:
        """Patterns of the lags up to `max_lag` that pairs of kept volumes have."""
        n_volumes = len(used)
        lags = np.arange(min(max_lag, n_volumes - 1) + 1)
        pairs = np.array([np.count_nonzero(used[lag:] & used[: n_volumes - lag]) for lag in lags])
        ones = np.where(lags > 0, 2, 1) * pairs
        return cls(used, lags[ones > 0], np.sqrt(ones[ones > 0]))

    def products(self, values: FloatArray) -> FloatArray:
        """Sums over pairs of volumes, x' E x for every lag and column x: (L, S) of (K, S)."""
        n_volumes = len(self.used)
        # Long enough that no value meets one from the other end of the run.
        length = fft.next_fast_len(n_volumes + int(self.lags[-1]), real=True)
        spectrum = fft.rfft(self._in_run(values), length, axis=0)
        sums = fft.irfft(np.abs(spectrum) ** 2, length, axis=0)[self.lags]
        return sums * np.where(self.lags > 0, 2, 1)[:, None] / self.norms[:, None]

    def left_by(self, basis: FloatArray) -> FloatArray:
        """What regression leaves of the patterns, as (M, L) independent ones of norm 1, M up to L.

        tr(PXPY), with P = 1 - basis basis' of (K, Q) orthonormal regressors, is the product of the
        coefficients of PXP and PYP on them, summed, which are the result times `products`.
        """
        whole = self._in_run(basis)
        gram = np.eye(len(self.lags))  # tr(P E_j P E_k) for every two lags
        last, n_volumes = int(self.lags[-1]), len(self.used)
        for regressor in whole.T:
            # E regressor for every lag, (L, T)
            windows = sliding_window_view(np.pad(regressor, last), n_volumes)
            both = windows[last - self.lags] + windows[last + self.lags]
            both[0] /= 2
            shifted = self.used * both / self.norms[:, None]
            within = shifted @ whole
            gram += within @ within.T - 2 * shifted @ shifted.T
        shares, directions = linalg.eigh(gram)
        visible = shares > _UNSEEN
        return (directions[:, visible] / np.sqrt(shares[visible])).T

    def _in_run(self, values: FloatArray) -> FloatArray:
        """(K, S) to (T, S), 0 for volumes that were not kept."""
        whole = np.zeros((len(self.used), values.shape[1]))
        whole[self.used] = values
        return whole
