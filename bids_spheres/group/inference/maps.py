"""Statistics of voxels that are connected by their faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.intp]

_ROUNDING = 1e-9
"""Steps by which t may miss a threshold that it equals but for rounding."""


@dataclass(frozen=True, eq=False)
class _Grid:
    """The smallest box around V voxels, and where they are in it."""

    shape: tuple[int, ...]
    places: IntArray

    @classmethod
    def around(cls, mask: BoolArray) -> _Grid:
        box = mask[ndimage.find_objects(mask.astype(np.uint8))[0]]
        return cls(box.shape, np.flatnonzero(box))

    def clusters(self, t: FloatArray, threshold: float) -> tuple[IntArray, IntArray]:
        """Voxels above a threshold, and the number of the cluster of each, from 1."""
        chosen = np.flatnonzero(t > threshold)
        places = self.places[chosen]
        above = np.zeros(self.shape, dtype=bool)
        above.reshape(-1)[places] = True
        labels = ndimage.label(above)[0].reshape(-1)[places]
        return chosen, labels.astype(np.intp)


@dataclass(frozen=True, eq=False)
class Cluster:
    """Voxels above a threshold that are connected by faces.

    Parameters
    ----------
    sign : {1, -1}
    voxels : array of int
        Numbers of its voxels, in rising order.
    size : int
    mass : float
        Sum of ``|t|`` - threshold, as in nilearn.
    peak : int
        Voxel with the largest ``|t|``.
    """

    sign: int
    voxels: IntArray
    size: int
    mass: float
    peak: int


@dataclass(frozen=True, eq=False)
class ClusterExtent:
    """Clusters of voxels: statistics (2, V), size and mass of the cluster of a voxel.

    Parameters
    ----------
    mask : (X, Y, Z) array of bool
        With V voxels, in the order of numpy's boolean indices.
    threshold : float
        ``|t|`` that voxels of clusters exceed.
    """

    mask: BoolArray
    threshold: float
    unitwise: bool = False

    @cached_property
    def _grid(self) -> _Grid:
        return _Grid.around(self.mask)

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.zeros((2, len(t)))
        statistics[:, np.isnan(t)] = np.nan
        for sign in (1, -1) if two_sided else (1,):
            chosen, labels = self._grid.clusters(sign * t, self.threshold)
            if len(chosen):
                sizes, masses = (
                    np.bincount(labels),
                    np.bincount(labels, sign * t[chosen] - self.threshold),
                )
                statistics[:, chosen] = sign * np.stack([sizes, masses])[:, labels]
        return statistics


@dataclass(frozen=True, eq=False)
class Tfce:
    """Threshold-free cluster enhancement: statistics (1, V).

    The sum over thresholds h of size^E h^H step: Smith & Nichols 2009,
    doi:10.1016/j.neuroimage.2008.03.061, who propose E 0.5 and H 2.

    Parameters
    ----------
    mask : (X, Y, Z) array of bool
        With V voxels, in the order of numpy's boolean indices.
    extent_power, height_power : float
        E and H.
    step : float or None
        Between thresholds; None: a hundredth of the largest ``|t|`` of the map, as in nilearn.
    """

    mask: BoolArray
    extent_power: float = 0.5
    height_power: float = 2.0
    step: float | None = 0.1
    unitwise: bool = False

    @cached_property
    def _grid(self) -> _Grid:
        return _Grid.around(self.mask)

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.where(np.isnan(t), np.nan, 0)
        for sign in (1, -1) if two_sided else (1,):
            largest = np.fmax.reduce(sign * t, initial=0)
            step = self.step or np.nanmax(np.abs(t)) / 100
            for height in np.arange(1, int(largest / step + _ROUNDING) + 1) * step:
                chosen, labels = self._grid.clusters(sign * t, height - _ROUNDING * step)
                sizes = np.bincount(labels).astype(float)
                shares = sizes**self.extent_power * (height**self.height_power * step)
                statistics[chosen] += sign * shares[labels]
        return statistics[np.newaxis]


def clusters(
    t: FloatArray, mask: BoolArray, threshold: float, *, two_sided: bool = True
) -> list[Cluster]:
    """Clusters of voxels above a threshold, the largest first.

    Parameters
    ----------
    t : (V,) array
        NaN for voxels that are not tested; see `PermutationTest.threshold_statistic`.
    mask : (X, Y, Z) array of bool
        With V voxels.
    threshold : float
        That ``|t|`` must exceed.
    two_sided : bool
        Also of negative voxels, apart.

    Returns
    -------
    list of Cluster
    """
    grid, found = _Grid.around(mask), []
    for sign in (1, -1) if two_sided else (1,):
        chosen, labels = grid.clusters(sign * t, threshold)
        for label in np.unique(labels):
            voxels = chosen[labels == label]
            excess = sign * t[voxels] - threshold
            peak = int(voxels[np.argmax(excess)])
            found.append(Cluster(sign, voxels, len(voxels), float(excess.sum()), peak))
    return sorted(found, key=lambda cluster: (-cluster.size, -cluster.mass))
