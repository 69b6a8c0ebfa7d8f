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
