"""Time series to relations between spheres.

A `Measure` has a function from (T, S) time series to an (S, S) matrix, which is exactly symmetric;
a series that is missing (any value not finite) or constant but for rounding errors has NaN in its
row and column, and leaves those of the others as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from bids_spheres.data import published
from bids_spheres.errors import DataError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray


_CONSTANT = 1e-12  # spread of a column over its size below which it is rounding errors
_UNSHRUNK = 1e-12  # share of shrinkage, per series, that is a rounding error of none
_SAME = 1e-13  # distance of a correlation from 1 or -1 by rounding errors of a sum over volumes


def _between_defined(
    function: Callable[[FloatArray], FloatArray],
) -> Callable[[FloatArray], FloatArray]:
    """Make a measure of series that vary one of all: others have NaN in its matrix."""

    @wraps(function)
    def measured(timeseries: FloatArray) -> FloatArray:
        defined = defined_series(timeseries)
        if not defined.any():
            return _embedded(np.empty((0, 0)), defined)
        return _embedded(function(_columns(timeseries, defined)), defined)

    return measured


@_between_defined
def pearson_correlation(timeseries: FloatArray) -> FloatArray:
    """Correlation of every column with every other.

    Parameters
    ----------
    timeseries : (T, S) array

    Returns
    -------
    (S, S) array
        Symmetric, 1 on the diagonal; NaN in rows and columns of series that are missing
        or constant, for which a correlation is not defined.

    Raises
    ------
    DataError
        When the array has not two dimensions.

    Examples
    --------
    >>> pearson_correlation(np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 5.0], [3.0, 1.0, 5.0]]))
    array([[ 1., -1., nan],
           [-1.,  1., nan],
           [nan, nan, nan]])
    """
    centred = timeseries - timeseries.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=0)
    # A product of a matrix with itself is exactly symmetric: BLAS computes one half of it.
    correlation = np.clip(unit.T @ unit, -1, 1)
    np.fill_diagonal(correlation, 1)
    return correlation


def fisher_z(timeseries: FloatArray) -> FloatArray:
    """Pearson correlations by `fisher_transform`, not divided by an error; NaN on the diagonal."""
    return fisher_transform(pearson_correlation(timeseries))


def fisher_transform(correlation: FloatArray) -> FloatArray:
    """Correlations, of any shape, as z = arctanh(r), whose variance doesn't depend on r.

    After Fisher 1915 (doi:10.1093/biomet/10.4.507). A correlation of 1 or -1 but for rounding
    errors (1e-13) - a series with itself, or two spheres of the same voxels - is missing (NaN),
    where nilearn and xcp_d leave the user an infinite value that no mean, file or model can take.

    >>> fisher_transform(np.array([0.0, 0.5, 1.0])).round(4)
    array([0.    , 0.5493,    nan])
    """
    known = np.abs(correlation) < 1 - _SAME
    return np.arctanh(np.where(known, correlation, np.nan))


@_between_defined
def spearman_correlation(timeseries: FloatArray) -> FloatArray:
    """Pearson correlation of ranks, ties sharing the mean of theirs, as `scipy.stats.spearmanr`."""
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import, seldom needed

    return pearson_correlation(rankdata(timeseries, axis=0))


@_between_defined
def covariance(timeseries: FloatArray) -> FloatArray:
    """Sample covariance, of products over T - 1, as `numpy.cov`; not shrunk, as nilearn's is."""
    centred = timeseries - timeseries.mean(axis=0)
    return centred.T @ centred / (len(timeseries) - 1)


def ledoit_wolf(timeseries: FloatArray) -> tuple[FloatArray, float]:
    """Covariance, shrunk towards equal variances without covariance; and by what share, 0 to 1.

    (1 - a) C + a m I, with the covariance C over T, the mean m of its diagonal, and the share a of
    the least expected squared error: Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4. The
    numbers are those of `sklearn.covariance.ledoit_wolf`. Missing and constant series are NaN and
    don't count in the share, which is NaN when no series is defined.
    """
    defined = defined_series(timeseries)
    if not defined.any():
        return _embedded(np.empty((0, 0)), defined), np.nan
    shrunk, shrinkage = _ledoit_wolf(_columns(timeseries, defined))
    return _embedded(shrunk, defined), shrinkage


@_between_defined
def ledoit_wolf_correlation(timeseries: FloatArray) -> FloatArray:
    """Correlation from the Ledoit-Wolf covariance: Pearson's times 1 - shrinkage.

    Of series standardized first, because the shrinkage target is one variance for all, and a
    correlation must not depend on units. As nilearn's ``ConnectivityMeasure(kind="correlation")``.
    """
    correlation = (1 - _shrinkage_standardized(timeseries)) * pearson_correlation(timeseries)
    np.fill_diagonal(correlation, 1)
    return correlation


@_between_defined
def precision(timeseries: FloatArray) -> FloatArray:
    """Inverse of the Ledoit-Wolf covariance; all NaN where it has rank 1, e.g. of two volumes.

    Of the shrunk covariance, because the sample's can't be inverted with as many series as volumes,
    and is inverted badly with nearly as many (Varoquaux et al. 2010, arXiv:1008.5071; Smith et al.
    2011, doi:10.1016/j.neuroimage.2010.08.063). The numbers are those of nilearn's
    ``ConnectivityMeasure(kind="precision", standardize=False)``. The shrinkage target is one
    variance for all: standardize series unless their variances mean something.
    """
    (shrunk, shrinkage), (n_volumes, n_series) = _ledoit_wolf(timeseries), timeseries.shape
    # The share is 0 only where every volume is one pattern or its opposite, as two volumes are:
    # a covariance of rank 1, which rounding errors must not make invertible.
    if n_series > 1 and (n_volumes == 2 or shrinkage < n_series * _UNSHRUNK):
        return np.full_like(shrunk, np.nan)
    factor = linalg.cholesky(shrunk, lower=True)
    inverse = linalg.solve_triangular(factor, np.eye(n_series), lower=True)
    # The product of a matrix with itself: exactly symmetric.
    return inverse.T @ inverse


@_between_defined
def partial_correlation(timeseries: FloatArray) -> FloatArray:
    """Correlation of every two series, given all others; all NaN where `precision` is.

    -p_ij / sqrt(p_ii p_jj) of the `precision` p, with the same care about scale; nilearn's
    ``ConnectivityMeasure(kind="partial correlation", standardize=False)``.
    """
    inverse = precision(timeseries)
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    np.fill_diagonal(partial, 1 if np.isfinite(scale).all() else np.nan)
    return partial


@dataclass(frozen=True)
class Measure:
    """One way to relate time series; its facts are those that BIDS asks of a ``relmat``.

    `name` is what a user types, `title` the ``RelationshipMeasure``. The diagonal is valid where it
    carries data, as variances do. `shrinkage` is the share by which the covariance was shrunk.
    """

    name: str
    title: str
    function: Callable[[FloatArray], FloatArray]
    valid_diagonal: bool = False
    shrinkage: Callable[[FloatArray], float] | None = None

    @property
    def stat(self) -> str:
        """Label of that entity."""
        return published.MEASURES[self.name]


def _shrinkage(timeseries: FloatArray) -> float:
    return ledoit_wolf(timeseries)[1]


def _shrinkage_standardized(timeseries: FloatArray) -> float:
    return ledoit_wolf(_standardized(timeseries))[1]


MEASURES = (
    Measure("pearson", "Pearson correlation", pearson_correlation),
    Measure("fisher-z", "Fisher z-transformed Pearson correlation", fisher_z),
    Measure(
        "partial",
        "Partial correlation, of the Ledoit-Wolf shrunk covariance",
        partial_correlation,
        shrinkage=_shrinkage,
    ),
    Measure("covariance", "Sample covariance", covariance, valid_diagonal=True),
    Measure(
        "precision",
        "Precision, inverse of the Ledoit-Wolf shrunk covariance",
        precision,
        valid_diagonal=True,
        shrinkage=_shrinkage,
    ),
    Measure(
        "ledoit-wolf",
        "Correlation, of the Ledoit-Wolf shrunk covariance",
        ledoit_wolf_correlation,
        shrinkage=_shrinkage_standardized,
    ),
    Measure("spearman", "Spearman rank correlation", spearman_correlation),
)
"""All measures, in the order in which lists show them."""


def measure(name: str) -> Measure:
    """Look up a measure by its name or label; case, blanks and signs don't count.

    >>> [measure(name).stat for name in ("Fisher Z", "ledoit_wolf", "partial correlation")]
    ['fisherz', 'ledoitwolfcorrelation', 'partialcorrelation']
    """
    return {known.name: known for known in MEASURES}[published.measure_name(name)]


class Moments:
    """Number, mean and spread of E entries over arrays that come one after the other.

    Updated by Welford 1962 (doi:10.1080/00401706.1962.10490022), which loses no digits where the
    mean is large against the spread. An entry that is NaN is missing; the mean of none is 0.

    >>> moments = Moments(2)
    >>> for values in ([1.0, np.nan], [2.0, 5.0], [3.0, np.nan]):
    ...     moments.add(np.array(values))
    >>> moments.n, moments.mean, moments.sd
    (array([3., 1.]), array([2., 5.]), array([ 1., nan]))
    """

    def __init__(self, size: int) -> None:
        self.n, self.mean, self._squares = np.zeros((3, size))

    def add(self, values: FloatArray) -> None:
        """Take one array (E,) in."""
        known = np.isfinite(values)
        before = np.where(known, values - self.mean, 0)
        self.n += known
        self.mean += before / np.maximum(self.n, 1)
        self._squares += before * np.where(known, values - self.mean, 0)

    @property
    def known_mean(self) -> FloatArray:
        """Mean, NaN where nothing is known, (E,)."""
        return np.where(self.n > 0, self.mean, np.nan)

    @property
    def sd(self) -> FloatArray:
        """Standard deviation with n - 1, NaN for fewer than two, (E,)."""
        return np.sqrt(self._squares / np.where(self.n > 1, self.n - 1, np.nan))


def concatenate(parts: Sequence[FloatArray]) -> FloatArray:
    """Runs of the same series, (T_i, S), each standardized; missing in one is missing in all."""
    if not len(parts):
        raise DataError("No runs to put together.")
    widths = sorted({np.shape(part)[1:] for part in parts})
    if len(widths) > 1:
        numbers = " and ".join(" x ".join(map(str, width)) for width in widths)
        raise DataError(f"Runs must have the same time series, but have {numbers} of them.")
    shortest = min(len(part) for part in parts)
    if shortest < 2:
        raise DataError(f"A run of {count(shortest, 'volume')} can't be put together with others.")
    # Else differences between runs would count as relations.
    together = np.vstack([_standardized(part) for part in parts])
    together[:, np.isnan(together).any(axis=0)] = np.nan
    return together


def defined_series(timeseries: FloatArray) -> BoolArray:
    """Which columns of (T, S) series are finite, and vary by more than rounding errors, (S,)."""
    if np.ndim(timeseries) != 2:
        raise DataError(
            f"Time series must have the shape (volumes, spheres), not {np.shape(timeseries)}."
        )
    if not len(timeseries):
        return np.zeros(np.shape(timeseries)[1], dtype=bool)
    finite = np.isfinite(timeseries).all(axis=0)
    values = np.where(finite, timeseries, 0)
    return remains(values - values.mean(axis=0), values)


def remains(rest: FloatArray, original: FloatArray) -> BoolArray:
    """Whether a step has left more than rounding errors of each column, (S,)."""
    return np.linalg.norm(rest, axis=0) > _CONSTANT * np.linalg.norm(original, axis=0)


def _columns(timeseries: FloatArray, chosen: BoolArray) -> FloatArray:
    return np.asarray(timeseries)[:, chosen].astype(np.float64)


def _embedded(part: FloatArray, defined: BoolArray) -> FloatArray:
    matrix = np.full((len(defined),) * 2, np.nan)
    matrix[np.ix_(defined, defined)] = part
    return matrix


def _standardized(timeseries: FloatArray) -> FloatArray:
    """Mean 0, variance 1 with T - 1; NaN for series that are not defined."""
    defined = defined_series(timeseries)
    result = np.full(np.shape(timeseries), np.nan)
    if defined.any():
        series = _columns(timeseries, defined)
        result[:, defined] = (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)
    return result


def _ledoit_wolf(series: FloatArray) -> tuple[FloatArray, float]:
    n_volumes, n_series = series.shape
    centred = series - series.mean(axis=0)
    sample = centred.T @ centred / n_volumes
    variance = sample.trace() / n_series
    target = variance * np.eye(n_series)
    # Squared Frobenius norms: of the distance between sample and target, and of the error of
    # the sample, which is the mean distance of single volumes' products from it, over T. That
    # mean is |x|^4 - |C|^2, without a matrix per volume.
    distance = np.sum((sample - target) ** 2)
    fourth = np.mean(np.sum(centred**2, axis=1) ** 2)
    error = np.clip((fourth - np.sum(sample**2)) / n_volumes, 0, distance)
    shrinkage = float(error / distance) if error else 0.0
    return (1 - shrinkage) * sample + shrinkage * target, shrinkage
