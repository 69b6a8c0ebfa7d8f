"""Pairs of nodes as a vector, as a matrix, and as means within and between networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.engine.seeds import is_network
from bids_spheres.group.statistics import Moments, confidence_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]
    BoolArray = NDArray[np.bool_]
    from bids_spheres.group.statistics import Scale


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of S nodes: the upper triangle of a matrix, row by row.

    Parameters
    ----------
    names : tuple of str
        Of the nodes, S.
    networks : tuple of str
        Of the nodes, S; ``"n/a"`` for those without one.
    diagonal : bool
        Whether the pair of a node with itself is one, as it is of covariances.

    Examples
    --------
    >>> edges = Edges(("a", "b", "c"), ("n/a",) * 3, diagonal=False)
    >>> edges.of(np.arange(9.0).reshape(3, 3))
    array([1., 2., 5.])
    >>> edges.matrix(np.array([1.0, 2.0, 5.0]), diagonal=0)
    array([[0., 1., 2.],
           [1., 0., 5.],
           [2., 5., 0.]])
    """

    names: tuple[str, ...]
    networks: tuple[str, ...]
    diagonal: bool

    def __len__(self) -> int:
        return len(self.indices[0])

    @cached_property
    def indices(self) -> tuple[IntArray, IntArray]:
        """Row and column of every edge, (E,) each."""
        rows, columns = np.triu_indices(len(self.names), 0 if self.diagonal else 1)
        return rows, columns

    @property
    def ends(self) -> IntArray:
        """Nodes of every edge, (E, 2)."""
        return np.column_stack(self.indices)

    @cached_property
    def between_nodes(self) -> BoolArray:
        """Whether an edge joins two nodes, and not a node with itself, (E,)."""
        rows, columns = self.indices
        return np.not_equal(rows, columns)

    def of(self, matrix: FloatArray) -> FloatArray:
        """Edges (E,) of a symmetric matrix (S, S)."""
        return np.asarray(matrix)[self.indices]

    def matrix(self, values: FloatArray, diagonal: float | FloatArray = np.nan) -> FloatArray:
        """Symmetric matrix (S, S) of edges (E,), with a diagonal where edges have none."""
        rows, columns = self.indices
        matrix = np.empty((len(self.names),) * 2)
        if not self.diagonal:
            np.fill_diagonal(matrix, diagonal)
        matrix[rows, columns] = values
        matrix[columns, rows] = values
        return matrix

    def table(self) -> pd.DataFrame:
        """One row per edge: its number, its nodes and their networks."""
        rows, columns = self.indices
        names, networks = np.array(self.names, object), np.array(self.networks, object)
        return pd.DataFrame(
            {
                "edge": np.arange(1, len(self) + 1),
                "node_1": names[rows],
                "node_2": names[columns],
                "network_1": networks[rows],
                "network_2": networks[columns],
            }
        )


def known_network(networks: tuple[str, ...]) -> BoolArray:
    """Which nodes have a network, (S,); those called Uncertain and the like have none."""
    return np.array([is_network(network) for network in networks], dtype=bool)


NETWORK_COLUMNS = {
    "network_1": {"Description": "Network of one node of the edges"},
    "network_2": {"Description": "Network of the other; the same for edges within a network"},
    "edges": {"Description": "Edges between the two networks, or within the one"},
    "n": {"Description": "Participants with any of these edges"},
    "mean": {
        "Description": "Mean over participants of the mean over the edges that a participant has; "
        "of correlations by Fisher z, and transformed back"
    },
    "sd": {"Description": "Standard deviation over participants; of correlations that of Fisher z"},
    "ci_low": {"Description": "Lower limit of the 95 % confidence interval of the mean"},
    "ci_high": {"Description": "Upper limit of the 95 % confidence interval of the mean"},
}
"""Columns of the table of networks."""


class NetworkMeans:
    """Means over the edges within and between networks, of participants one after the other.

    Parameters
    ----------
    edges : Edges

    Attributes
    ----------
    names : list of str
        Of the networks.
    pair_of_edge : (E,) array of int
        Row of `pairs` of each edge; -1 for edges that count for none.
    """

    def __init__(self, edges: Edges) -> None:
        known = filter(is_network, edges.networks)
        self.names = list(dict.fromkeys(known))
        pairs = np.triu_indices(len(self.names))
        self._pairs = list(zip(*pairs, strict=True))
        self._edges, self._block = self._assigned(edges)
        self.pair_of_edge = np.full(len(edges), -1)
        self.pair_of_edge[self._edges] = self._block
        self.moments = Moments(len(self._pairs))

    def _assigned(self, edges: Edges) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Edges that count, and which pair of networks each of them belongs to."""
        has = known_network(edges.networks)
        rows, columns = edges.indices
        used = np.flatnonzero(has[rows] & has[columns] & edges.between_nodes)
        number = {name: place for place, name in enumerate(self.names)}
        of_node = np.array([number.get(network, -1) for network in edges.networks], dtype=np.intp)
        ends = np.sort([of_node[rows[used]], of_node[columns[used]]], axis=0)
        table = np.zeros((len(self.names),) * 2, dtype=np.intp)
        table[np.triu_indices(len(self.names))] = np.arange(len(self._pairs))
        return used, table[ends[0], ends[1]]

    def means(self, values: FloatArray) -> FloatArray:
        """Mean over the edges (E,) of each pair that are known, (P,)."""
        chosen = values[self._edges]
        known = np.isfinite(chosen)
        size = len(self._pairs)
        sums = np.bincount(self._block, np.where(known, chosen, 0), size)
        counts = np.bincount(self._block, known, size)
        return np.asarray(sums / np.where(counts > 0, counts, np.nan))

    def add(self, values: FloatArray) -> None:
        """Take the edges (E,) of one participant in."""
        self.moments.add(self.means(values))

    def pairs(self) -> pd.DataFrame:
        """Networks of every pair, and how many edges join them."""
        return pd.DataFrame(
            {
                "network_1": [self.names[i] for i, _ in self._pairs],
                "network_2": [self.names[j] for _, j in self._pairs],
                "edges": np.bincount(self._block, minlength=len(self._pairs)),
            }
        )

    def table(self, scale: Scale) -> pd.DataFrame:
        """One row per pair of networks that edges join; see `NETWORK_COLUMNS`."""
        low, high = confidence_limits(self.moments)
        rows = self.pairs().assign(
            n=self.moments.n.astype(int),
            mean=scale.back(self.moments.known_mean),
            sd=self.moments.sd,
            ci_low=scale.back(low),
            ci_high=scale.back(high),
        )
        return rows[rows["edges"] > 0]
