"""Time series to relations between spheres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CONSTANT = 1e-12
"""A column whose spread is below this share of its size only carries rounding errors."""


def pearson_correlation(timeseries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of every column with every other.

    Parameters
    ----------
    timeseries : (T, S) array

    Returns
    -------
    (S, S) array
        Symmetric, 1 on the diagonal; NaN in rows and columns of series that are missing
        or constant, for which a correlation is not defined.

    Examples
    --------
    >>> pearson_correlation(np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 5.0], [3.0, 1.0, 5.0]]))
    array([[ 1., -1., nan],
           [-1.,  1., nan],
           [nan, nan, nan]])
    """
    centred = timeseries - timeseries.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    defined = norm > _CONSTANT * np.linalg.norm(timeseries, axis=0)
    matrix = np.full((timeseries.shape[1],) * 2, np.nan)
    unit = centred[:, defined] / norm[defined]
    correlation = np.clip(unit.T @ unit, -1, 1)
    np.fill_diagonal(correlation, 1)
    matrix[np.ix_(defined, defined)] = correlation
    return matrix
