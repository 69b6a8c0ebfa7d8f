"""Means and variances of arrays that come one after the other, entry by entry.

Updated by Welford 1962 (doi:10.1080/00401706.1962.10490022), which loses no digits where the mean
is large against the spread, as sums of squares do. An entry that is NaN counts as not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


class Moments:
    """Number, mean and spread of every entry of arrays of one shape.

    Parameters
    ----------
    size : int
        Entries of an array, E.

    Attributes
    ----------
    n, mean : (E,) arrays
        Arrays in which the entry was known, and their mean; 0 of none.

    Examples
    --------
    >>> moments = Moments(2)
    >>> for values in ([1.0, np.nan], [2.0, 5.0], [3.0, np.nan]):
    ...     moments.add(np.array(values))
    >>> moments.n, moments.mean, moments.sd
    (array([3., 1.]), array([2., 5.]), array([ 1., nan]))
    """

    def __init__(self, size: int) -> None:
        self.n: FloatArray = np.zeros(size)
        self.mean: FloatArray = np.zeros(size)
        self._squares: FloatArray = np.zeros(size)

    def add(self, values: FloatArray) -> None:
        """Take one array (E,) in."""
        there = np.isfinite(values)
        before = np.where(there, values - self.mean, 0)
        self.n += there
        self.mean += before / np.maximum(self.n, 1)
        self._squares += before * np.where(there, values - self.mean, 0)

    @property
    def known_mean(self) -> FloatArray:
        """Mean, NaN where nothing is known, (E,)."""
        return np.where(self.n > 0, self.mean, np.nan)

    @property
    def sd(self) -> FloatArray:
        """Standard deviation with n - 1, NaN for fewer than two, (E,)."""
        variance = self._squares / np.where(self.n > 1, self.n - 1, np.nan)
        return np.sqrt(variance)


class Comoments:
    """Correlation of every entry of arrays with a number that comes with each array.

    Parameters
    ----------
    size : int
        Entries of an array, E.

    Attributes
    ----------
    n : (E,) array
        Arrays in which the entry was known.
    """

    def __init__(self, size: int) -> None:
        self.n: FloatArray = np.zeros(size)
        self._mean_x: FloatArray = np.zeros(size)
        self._mean_y: FloatArray = np.zeros(size)
        self._xx: FloatArray = np.zeros(size)
        self._yy: FloatArray = np.zeros(size)
        self._xy: FloatArray = np.zeros(size)

    def add(self, number: float, values: FloatArray) -> None:
        """Take one array (E,) and its number in; nothing when the number is not known."""
        if not np.isfinite(number):
            return
        there = np.isfinite(values)
        self.n += there
        share = 1 / np.maximum(self.n, 1)
        x = np.where(there, number - self._mean_x, 0)
        y = np.where(there, values - self._mean_y, 0)
        self._mean_x += x * share
        self._mean_y += y * share
        # Deviations from the means with and without this entry differ by the factor 1 - 1 / n.
        rest = 1 - share
        self._xx += x * x * rest
        self._yy += y * y * rest
        self._xy += x * y * rest

    @property
    def correlation(self) -> FloatArray:
        """Pearson's, (E,); NaN for fewer than three pairs, and for a constant."""
        unknown = (self.n < 3) | self._constant(self._xx, self._mean_x)
        unknown |= self._constant(self._yy, self._mean_y)
        scale = np.where(unknown, np.nan, np.sqrt(self._xx * self._yy))
        return np.clip(self._xy / scale, -1, 1)

    def _constant(self, squares: FloatArray, mean: FloatArray) -> NDArray[np.bool_]:
        return squares <= self.n * (_ROUNDING * mean) ** 2


_ROUNDING = 1e-12
"""Spread relative to the mean that only carries rounding errors."""
