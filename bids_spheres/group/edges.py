"""Pairs of nodes as a vector, as a matrix and in means of networks, and scales of their values.

The variance of a correlation depends on its size, so that correlations are averaged as Fisher's
z = arctanh(r) and brought back by tanh (Silver & Dunlap 1987, doi:10.1037/0021-9010.72.1.146).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import polygamma

from bids_spheres.engine.connectivity import Moments, fisher_transform
from bids_spheres.engine.seeds import is_network
from bids_spheres.outputs.paths import FISHER_Z, NO_MEASURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray


CORRELATIONS = frozenset(
    {"pearsoncorrelation", "partialcorrelation", "ledoitwolfcorrelation", "spearmancorrelation"}
)
"""Labels of ``stat`` of measures between -1 and 1."""

CONFIDENCE = 0.95
"""Level of confidence intervals."""


@dataclass(frozen=True)
class Scale:
    """How values of a measure, named by its label of ``stat``, are averaged."""

    stat: str

    @property
    def transformed(self) -> bool:
        """Whether Fisher's transform is taken."""
        return self.stat in CORRELATIONS

    @property
    def tested(self) -> bool:
        """Whether 0 is what unrelated series have on average, so that a mean is tested."""
        return self.transformed or self.stat == FISHER_Z

    @property
    def connectivity(self) -> bool:
        """Whether it says how related two series are."""
        return self.stat not in NO_MEASURE

    @property
    def sign(self) -> int:
        """-1 for precision, a partial correlation times a negative number."""
        return -1 if self.stat == "precision" else 1

    @property
    def name(self) -> str:
        """For people."""
        return "Fisher z" if self.tested else "as the measure"

    def possible(self, values: FloatArray) -> bool:
        """Whether the measure can have these values, but for rounding and NaN."""
        return not self.transformed or not bool((np.abs(values) > 1 + 1e-6).any())

    def forth(self, values: FloatArray) -> FloatArray:
        """From the measure to what is averaged."""
        return fisher_transform(values) if self.transformed else values

    def back(self, values: FloatArray) -> FloatArray:
        """From averages to the measure."""
        return np.tanh(values) if self.transformed else values


def mean_of_known(values: Iterable[float]) -> float:
    """Mean without missing values; NaN if all are missing."""
    return float(mean_along(np.array(list(values), dtype=float), 0))


def mean_along(values: FloatArray, axis: int) -> FloatArray:
    """Mean along an axis without missing values; NaN where all are missing."""
    known = np.isfinite(values)
    n = known.sum(axis=axis)
    return np.asarray(np.where(known, values, 0).sum(axis=axis) / np.where(n > 0, n, np.nan))


def confidence_limits(moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Limits between which means lie with `CONFIDENCE`, by Student's t with n - 1."""
    quantile = stats.t.isf((1 - CONFIDENCE) / 2, np.where(moments.n > 1, moments.n - 1, np.nan))
    reach = quantile * (moments.sd / np.sqrt(np.maximum(moments.n, 1)))
    return moments.known_mean - reach, moments.known_mean + reach


def fisher_z_variance(degrees_of_freedom: float) -> float:
    """Variance of Fisher's z of two independent series with v = 1 / var(r) > 1.

    (1 + r) / 2 of independent normal series has the beta distribution with both parameters
    (v - 1) / 2, and z is half of its logit, so that var(z) = trigamma((v - 1) / 2) / 2 exactly.
    For many degrees of freedom that is the well-known 1 / (n - 3), with n = v + 1 volumes.

    >>> round(fisher_z_variance(3.0), 4), round(fisher_z_variance(100.0), 6)
    (0.8225, 0.010204)
    """
    return float(polygamma(1, (degrees_of_freedom - 1) / 2) / 2)


def false_discovery_rate(p: FloatArray) -> FloatArray:
    """Return q of known p (Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x)."""
    known = np.isfinite(p)
    q = np.full(np.shape(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


NODE_COLUMNS = {"node_1": "One node of the edge", "node_2": "The other"}
"""Columns of every table about edges."""

PAIR_COLUMNS = {
    "network_1": "Network of one node of the edges",
    "network_2": "Network of the other; the same for edges within a network",
    "edges": "Edges between the two networks, or within the one",
}
"""Columns of every table about pairs of networks."""

NETWORK_COLUMNS = {
    **PAIR_COLUMNS,
    "n": "Participants with any of these edges",
    "mean": "Mean over participants of the mean over the edges that a participant has; of "
    "correlations by Fisher z, and transformed back",
    "sd": "Standard deviation over participants; of correlations that of Fisher z",
    "ci_low": "Lower limit of the 95 % confidence interval of the mean",
    "ci_high": "Upper limit of the 95 % confidence interval of the mean",
}


def edge_ends(text: str, names: Sequence[str]) -> tuple[int, int] | None:
    """Places of the two nodes that ``A,B`` stands for; None unless both are there.

    Names may have commas of their own.

    >>> edge_ends("b, left, a", ("a", "b, left"))
    (1, 0)
    """
    for comma in (place for place, letter in enumerate(text) if letter == ","):
        pair = text[:comma].strip(), text[comma + 1 :].strip()
        if pair[0] != pair[1] and set(pair) <= set(names):
            return names.index(pair[0]), names.index(pair[1])
    return None


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of S nodes: the upper triangle of a matrix, row by row.

    `networks` are ``"n/a"`` for nodes without one; with a `diagonal` a node and itself are a pair
    too, as they are of covariances.

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
        return np.triu_indices(len(self.names), 0 if self.diagonal else 1)

    @property
    def ends(self) -> IntArray:
        """Nodes of every edge, (E, 2)."""
        return np.column_stack(self.indices)

    @cached_property
    def between_nodes(self) -> BoolArray:
        """Whether an edge joins two nodes, and not a node with itself, (E,)."""
        return np.not_equal(*self.indices)

    def of(self, matrix: FloatArray) -> FloatArray:
        """Edges (E,) of a symmetric matrix (S, S)."""
        return np.asarray(matrix)[self.indices]

    def matrix(self, values: FloatArray, diagonal: float | FloatArray = np.nan) -> FloatArray:
        """Symmetric matrix (S, S) of edges (E,), with a diagonal where edges have none."""
        rows, columns = self.indices
        matrix = np.zeros((len(self.names),) * 2)
        np.fill_diagonal(matrix, diagonal)
        matrix[rows, columns] = matrix[columns, rows] = values
        return matrix

    def table(self) -> pd.DataFrame:
        """One row per edge: its number, its nodes and their networks."""
        columns: dict[str, object] = {"edge": np.arange(1, len(self) + 1)}
        for what, labels in (("node", self.names), ("network", self.networks)):
            first, second = np.array(labels, object)[self.ends.T]
            columns |= {f"{what}_1": first, f"{what}_2": second}
        return pd.DataFrame(columns)


class NetworkMeans:
    """Means over the edges of each of P pairs of networks, of participants one after the other.

    `names` are those of the networks, `pair_of_edge` is the row of `pairs` of every edge, (E,);
    -1 for edges that count for none.
    """

    def __init__(self, edges: Edges) -> None:
        self.names = list(dict.fromkeys(filter(is_network, edges.networks)))
        size = len(self.names)
        self._first, self._second = np.triu_indices(size)
        self.moments = Moments(len(self._first))
        number = {name: place for place, name in enumerate(self.names)}
        of_node = np.array([number.get(network, -1) for network in edges.networks], dtype=np.intp)
        ends = np.sort(of_node[edges.ends], axis=1)
        pairs = np.zeros((size + 1, size + 1), dtype=np.intp)
        pairs[self._first, self._second] = np.arange(len(self._first))
        counts = (ends[:, 0] >= 0) & edges.between_nodes
        self.pair_of_edge = np.where(counts, pairs[ends[:, 0], ends[:, 1]], -1)
        self._edges = np.flatnonzero(counts)
        self._pair = self.pair_of_edge[counts]

    def means(self, values: FloatArray) -> FloatArray:
        """Mean over the edges (E,) of each pair that are known, (P,)."""
        chosen = values[self._edges]
        known, size = np.isfinite(chosen), len(self._first)
        sums = np.bincount(self._pair, np.where(known, chosen, 0), size)
        counts = np.bincount(self._pair, known, size)
        return np.asarray(sums / np.where(counts > 0, counts, np.nan))

    def add(self, values: FloatArray) -> None:
        """Take the edges (E,) of one participant in."""
        self.moments.add(self.means(values))

    def pairs(self, **columns: object) -> pd.DataFrame:
        """Pairs of networks that edges join, and how many, with columns of P values."""
        names = np.array(self.names, object)
        table = pd.DataFrame(
            {
                "network_1": names[self._first],
                "network_2": names[self._second],
                "edges": np.bincount(self._pair, minlength=len(self._first)),
                **columns,
            }
        )
        return table[table["edges"] > 0]

    def table(self, scale: Scale) -> pd.DataFrame:
        """One row per pair of networks; see `NETWORK_COLUMNS`."""
        low, high = confidence_limits(self.moments)
        return self.pairs(
            n=self.moments.n.astype(int),
            mean=scale.back(self.moments.known_mean),
            sd=self.moments.sd,
            ci_low=scale.back(low),
            ci_high=scale.back(high),
        )


def modularity(matrix: FloatArray, networks: tuple[str, ...]) -> float:
    """How much more of the positive weight lies within networks than expected by chance.

    Q = 1 / (2 m) sum_ij (A_ij - k_i k_j / (2 m)) [i, j in one network], with the positive weights
    A of a symmetric (S, S) matrix, the strengths k of the nodes and their sum 2 m (Newman 2004,
    doi:10.1103/PhysRevE.70.056131): between -0.5 and 1. Negative and missing weights and the
    diagonal count as 0, nodes without a network are left out; NaN without networks or weights.
    """
    has = np.array(list(map(is_network, networks)), dtype=bool)
    weights = np.nan_to_num(np.clip(matrix[np.ix_(has, has)], 0, None))
    np.fill_diagonal(weights, 0)
    total = weights.sum()
    if not total > 0:
        return float("nan")
    _, numbers = np.unique(np.array(networks)[has], return_inverse=True)
    members = np.eye(numbers.max() + 1)[numbers]
    within = np.sum(weights * (members @ members.T)) / total
    expected = np.sum((weights.sum(axis=0) @ members / total) ** 2)
    return float(within - expected)
