"""Statistics of edges that are connected, or of the same pair of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MaxT:
    """Each edge by itself: statistics (1, E) are t."""

    unitwise: bool = True

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Component:
    """Edges above a threshold that are connected by their nodes.

    Parameters
    ----------
    sign : {1, -1}
    edges, nodes : arrays of int
        Numbers of its edges, and of the nodes that they join, in rising order.
    extent : int
        Its edges.
    intensity : float
        Sum of |t| - threshold.
    """

    sign: int
    edges: IntArray
    nodes: IntArray
    extent: int
    intensity: float


@dataclass(frozen=True, eq=False)
class Nbs:
    """Network-based statistic: statistics (2, E), extent and intensity of an edge's component.

    Zalesky, Fornito & Bullmore 2010, doi:10.1016/j.neuroimage.2010.06.041. Components of positive
    and of negative edges are apart, and the larger of both makes the null distribution. All edges
    of a component have its numbers; edges below the threshold have 0.

    Parameters
    ----------
    ends : (E, 2) array of int
        Nodes that each edge joins.
    threshold : float
        |t| that edges of components exceed.
    """

    ends: IntArray
    threshold: float = 3.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Tfnbs:
    """Threshold-free network-based statistic: statistics (1, E).

    The sum over thresholds h of extent^E h^H step, in which extent is the number of edges of the
    component that an edge belongs to at h: Vinokur, Zalesky, Raffelt, Smith & Connelly 2015,
    and Baggio et al. 2018, doi:10.1002/hbm.24007, who propose E 0.4 and H 3.0.

    Parameters
    ----------
    ends : (E, 2) array of int
        Nodes that each edge joins.
    extent_power, height_power : float
        E and H.
    step : float
        Between thresholds, the first of which is one step above 0.
    """

    ends: IntArray
    extent_power: float = 0.4
    height_power: float = 3.0
    step: float = 0.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Cnbs:
    """Constrained network-based statistic: statistics (1, P), mean t of each pair of networks.

    Noble & Scheinost 2020, doi:10.1007/978-3-030-59728-3_45. Edges without a test don't count; a
    pair without tested edges is NaN.

    Parameters
    ----------
    pairs : (E,) array of int
        Pair of networks of each edge, from 0; -1 for edges of none.
    """

    pairs: IntArray
    unitwise: bool = True

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        raise NotImplementedError


def components(
    t: FloatArray, ends: IntArray, threshold: float, *, two_sided: bool = True
) -> list[Component]:
    """Components of edges above a threshold, the largest first.

    Parameters
    ----------
    t : (E,) array
        NaN for edges that are not tested; see `PermutationTest.threshold_statistic`.
    ends : (E, 2) array of int
        Nodes that each edge joins.
    threshold : float
        That |t| must exceed.
    two_sided : bool
        Also of negative edges, apart.

    Returns
    -------
    list of Component
    """
    raise NotImplementedError
