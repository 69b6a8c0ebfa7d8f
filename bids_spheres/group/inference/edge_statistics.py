"""Statistics of edges that are connected, or of the same pair of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]


_LARGEST = 1000.0
"""t that the largest t count as where there is no threshold."""

_ROUNDING = 1e-9
"""Steps by which t may miss a threshold that it equals but for rounding."""


@dataclass(frozen=True, eq=False)
class MaxT:
    """Each edge by itself: statistics (1, E) are t, of one side with its sign."""

    unitwise: bool = True

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:  # noqa: ARG002 - signed
        """See `Enhancement`."""
        return t[np.newaxis]


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
        Sum of ``|t|`` - threshold.
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
        ``|t|`` that edges of components exceed.
    """

    ends: IntArray
    threshold: float = 3.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.zeros((2, len(t)))
        statistics[:, np.isnan(t)] = np.nan
        for sign in (1, -1) if two_sided else (1,):
            chosen = np.flatnonzero(sign * t > self.threshold)
            if len(chosen):
                labels = _edge_components(self.ends[chosen])
                extents = np.bincount(labels)
                intensities = np.bincount(labels, sign * t[chosen] - self.threshold)
                statistics[:, chosen] = sign * np.stack([extents, intensities])[:, labels]
        return statistics


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
        Between thresholds, the first of which is one step above 0; t beyond 1,000 count as 1,000.
    """

    ends: IntArray
    extent_power: float = 0.4
    height_power: float = 3.0
    step: float = 0.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.where(np.isnan(t), np.nan, 0)
        for sign in (1, -1) if two_sided else (1,):
            levels = np.minimum(sign * t, _LARGEST) / self.step + _ROUNDING
            chosen = np.flatnonzero(levels >= 1)
            if not len(chosen):
                continue
            reached, first = levels[chosen].astype(np.intp), self.ends[chosen, 0]
            labels = _labels_at_levels(self.ends[chosen], reached)
            n_levels, n_nodes = labels.shape
            # Edges that join a component at a level, and then all that it has.
            place = reached * n_nodes + labels[reached, first]
            extents = np.bincount(place, minlength=labels.size).reshape(labels.shape).astype(float)
            for level in range(n_levels - 2, 0, -1):
                extents[level] += np.bincount(labels[level], extents[level + 1], n_nodes)
            heights = self.step * np.arange(n_levels)[:, np.newaxis]
            shares = extents**self.extent_power * heights**self.height_power * self.step
            of_node = np.cumsum(np.take_along_axis(shares, labels, axis=1), axis=0)
            statistics[chosen] = sign * of_node[reached, first]
        return statistics[np.newaxis]


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

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:  # noqa: ARG002 - signed
        """See `Enhancement`."""
        tested = (self.pairs >= 0) & ~np.isnan(t)
        size = self.pairs.max() + 1
        counts = np.bincount(self.pairs[tested], minlength=size)
        sums = np.bincount(self.pairs[tested], t[tested], size)
        return (sums / np.where(counts > 0, counts, np.nan))[np.newaxis]


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
        That ``|t|`` must exceed.
    two_sided : bool
        Also of negative edges, apart.

    Returns
    -------
    list of Component
    """
    found = []
    for sign in (1, -1) if two_sided else (1,):
        chosen = np.flatnonzero(sign * t > threshold)
        labels = _edge_components(ends[chosen])
        for label in np.unique(labels):
            edges = chosen[labels == label]
            intensity = float(np.sum(sign * t[edges] - threshold))
            found.append(Component(sign, edges, np.unique(ends[edges]), len(edges), intensity))
    return sorted(found, key=lambda component: (-component.extent, -component.intensity))


def root_f_threshold(threshold: float, q: int, degrees_of_freedom: float) -> float:
    """Root of F with the two-sided p that a threshold has as t.

    Parameters
    ----------
    threshold : float
        t.
    q, degrees_of_freedom : int, float
        Of F.

    Examples
    --------
    >>> round(root_f_threshold(3.1, 1, 96), 6), round(root_f_threshold(3.1, 3, 96), 2)
    (3.1, 2.26)
    """
    p = 2 * stats.t.sf(threshold, degrees_of_freedom)
    return float(np.sqrt(stats.f.isf(p, q, degrees_of_freedom)))


def _edge_components(ends: IntArray) -> IntArray:
    """Number of the component of each edge, from 0; nodes are those that edges (E, 2) join."""
    n_nodes = ends.max(initial=0) + 1
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n_nodes, n_nodes))
    labels = connected_components(graph, directed=False)[1]
    # Nodes that no edge joins are components without an edge.
    return np.unique(labels[ends[:, 0]], return_inverse=True)[1].reshape(-1)


def _labels_at_levels(ends: IntArray, levels: IntArray) -> IntArray:
    """Component (levels, nodes) of each node when only edges of at least that level are there.

    It is named by one of its nodes, and by the same for as long as it grows. The tree that spans
    the graph by its strongest edges has the same components as the graph at every level.
    """
    n_nodes, top = ends.max() + 1, levels.max()
    costs = (top + 1 - levels).astype(float)
    graph = coo_array((costs, (ends[:, 0], ends[:, 1])), shape=(n_nodes, n_nodes))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    reached = top + 1 - tree.data.astype(np.intp)
    order = np.argsort(-reached)
    merges = iter(zip(reached[order], tree.row[order], tree.col[order], strict=True))
    labels = np.empty((top + 1, n_nodes), dtype=np.intp)
    current = np.arange(n_nodes)
    below = top
    for level, i, j in merges:
        labels[level + 1 : below + 1] = current
        below = level
        current[current == current[j]] = current[i]
    labels[: below + 1] = current
    return labels
