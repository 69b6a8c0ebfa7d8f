"""Statistics of voxels that are connected by their faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.intp]


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
        Sum of |t|, as nilearn and FSL have it.
    peak : int
        Voxel with the largest |t|.
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
        |t| that voxels of clusters exceed.
    """

    mask: BoolArray
    threshold: float
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


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
        Between thresholds; None: a hundredth of the largest |t| of the map, as in nilearn and FSL.
    """

    mask: BoolArray
    extent_power: float = 0.5
    height_power: float = 2.0
    step: float | None = 0.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


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
        That |t| must exceed.
    two_sided : bool
        Also of negative voxels, apart.

    Returns
    -------
    list of Cluster
    """
    raise NotImplementedError
