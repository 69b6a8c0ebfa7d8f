"""Pairs of nodes as a vector, and back to matrices with the names of the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.engine.seeds import is_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]
    BoolArray = NDArray[np.bool_]


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
