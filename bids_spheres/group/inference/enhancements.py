"""Statistics of units that belong together: edges that share nodes, voxels that share faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

    _Label = Callable[[IntArray], IntArray]  # numbers of units to numbers of their components

_LARGEST = 1000.0
"""Larger t are clipped to this where no threshold is given: rounding may leave no variance."""

_MOST_STEPS = 1000
"""Thresholds up to the largest t, which few degrees of freedom make large."""

_ROUNDING = 1e-9
"""Steps by which t may miss a threshold that it equals but for rounding."""


@dataclass(frozen=True, eq=False)
class MaxT:
    """Each edge or voxel by itself: statistics (1, U) are t, of one side with its sign."""

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
        return _extents(t, self.threshold, _label_edges(self.ends), two_sided=two_sided)


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
        Between thresholds, the first of which is one step above 0. Steps are as large as it takes
        for 1,000 to reach the largest ``|t|`` of a map; t beyond 1,000 count as 1,000.
    """

    ends: IntArray
    extent_power: float = 0.4
    height_power: float = 3.0
    step: float = 0.1
    unitwise: bool = False

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.where(np.isnan(t), np.nan, 0)
        for sign, step, chosen, reached in _levels(t, self.step, two_sided=two_sided):
            first = self.ends[chosen, 0]
            labels = _labels_at_levels(self.ends[chosen], reached)
            n_levels, n_nodes = labels.shape
            # Edges that join a component at a level, and then all that it has.
            place = reached * n_nodes + labels[reached, first]
            extents = np.bincount(place, minlength=labels.size).reshape(labels.shape).astype(float)
            for level in range(n_levels - 2, 0, -1):
                extents[level] += np.bincount(labels[level], extents[level + 1], n_nodes)
            heights = step * np.arange(n_levels)[:, np.newaxis]
            shares = extents**self.extent_power * heights**self.height_power * step
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
    def _label(self) -> _Label:
        return _label_voxels(self.mask)

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        return _extents(t, self.threshold, self._label, two_sided=two_sided)


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
        Between thresholds, with the bounds of `Tfnbs`; None: a hundredth of the largest ``|t|``,
        or for one tail t, of the map, as in nilearn (which does not multiply by it).
    """

    mask: BoolArray
    extent_power: float = 0.5
    height_power: float = 2.0
    step: float | None = 0.1
    unitwise: bool = False

    @cached_property
    def _label(self) -> _Label:
        return _label_voxels(self.mask)

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """See `Enhancement`."""
        statistics = np.where(np.isnan(t), np.nan, 0)
        for sign, step, chosen, reached in _levels(t, self.step, two_sided=two_sided):
            for level in range(1, reached.max() + 1):
                units = chosen[reached >= level]
                labels = self._label(units)
                sizes = np.bincount(labels).astype(float)
                shares = sizes**self.extent_power * ((level * step) ** self.height_power * step)
                statistics[units] += sign * shares[labels]
        return statistics[np.newaxis]


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
    """
    found = _connected(t, threshold, _label_edges(ends), two_sided=two_sided)
    return [
        Component(sign, edges, np.unique(ends[edges]), len(edges), intensity)
        for sign, edges, intensity in found
    ]


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
    threshold, two_sided : float, bool
        As for `components`.
    """
    found = _connected(t, threshold, _label_voxels(mask), two_sided=two_sided)
    return [
        Cluster(sign, voxels, len(voxels), mass, int(voxels[np.argmax(sign * t[voxels])]))
        for sign, voxels, mass in found
    ]


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


def _levels(
    t: FloatArray, step: float | None, *, two_sided: bool
) -> Iterator[tuple[int, float, IntArray, IntArray]]:
    """Of both signs the step between thresholds, units that reach any, and how many each does."""
    largest = np.fmax.reduce(np.abs(t) if two_sided else t, initial=np.finfo(float).eps)
    largest = min(float(largest), _LARGEST)
    step = largest / 100 if step is None else max(step, largest / _MOST_STEPS)
    for sign in (1, -1) if two_sided else (1,):
        levels = np.minimum(sign * t, _LARGEST) / step + _ROUNDING
        chosen = np.flatnonzero(levels >= 1)
        if len(chosen):
            yield sign, step, chosen, levels[chosen].astype(np.intp)


def _beyond(
    t: FloatArray, threshold: float, label: _Label, *, two_sided: bool
) -> Iterator[tuple[int, IntArray, IntArray, FloatArray]]:
    """Of both signs units beyond a threshold, by how much, and the numbers of their components."""
    for sign in (1, -1) if two_sided else (1,):
        chosen = np.flatnonzero(sign * t > threshold)
        if len(chosen):
            yield sign, chosen, label(chosen), sign * t[chosen] - threshold


def _extents(t: FloatArray, threshold: float, label: _Label, *, two_sided: bool) -> FloatArray:
    """Extent and sum of ``|t|`` - threshold, (2, U), of the component of each unit; 0 in none."""
    statistics = np.zeros((2, len(t)))
    statistics[:, np.isnan(t)] = np.nan
    for sign, chosen, labels, excess in _beyond(t, threshold, label, two_sided=two_sided):
        of_components = np.stack([np.bincount(labels), np.bincount(labels, excess)])
        statistics[:, chosen] = sign * of_components[:, labels]
    return statistics


def _connected(
    t: FloatArray, threshold: float, label: _Label, *, two_sided: bool
) -> list[tuple[int, IntArray, float]]:
    """Sign, units, and sum of ``|t|`` - threshold of components, the largest first."""
    found = [
        (sign, chosen[labels == number], float(np.sum(excess[labels == number])))
        for sign, chosen, labels, excess in _beyond(t, threshold, label, two_sided=two_sided)
        for number in np.unique(labels)
    ]
    return sorted(found, key=lambda component: (-len(component[1]), -component[2]))


def _label_voxels(mask: BoolArray) -> _Label:
    """Function that numbers the clusters of voxels, from 1, in the smallest box around a mask."""
    box = mask[ndimage.find_objects(mask.astype(np.uint8))[0]]
    places_of_all = np.flatnonzero(box)

    def label(voxels: IntArray) -> IntArray:
        places = places_of_all[voxels]
        above = np.zeros(box.shape, dtype=bool)
        above.reshape(-1)[places] = True
        return np.asarray(ndimage.label(above)[0].reshape(-1)[places], dtype=np.intp)

    return label


def _label_edges(ends: IntArray) -> _Label:
    """Function that numbers the components of edges, from 0; `ends` (E, 2) are their nodes."""

    def label(edges: IntArray) -> IntArray:
        i, j = ends[edges].T
        n_nodes = ends[edges].max(initial=0) + 1
        graph = coo_array((np.ones(len(edges)), (i, j)), shape=(n_nodes, n_nodes))
        labels = connected_components(graph, directed=False)[1]
        # Nodes that no edge joins are components without an edge.
        return np.unique(labels[i], return_inverse=True)[1].reshape(-1)

    return label


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
