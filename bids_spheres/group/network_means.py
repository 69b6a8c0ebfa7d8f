"""Mean connectivity within and between the networks of seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.engine.seeds import is_network
from bids_spheres.group.edges import known_network
from bids_spheres.group.moments import Moments
from bids_spheres.group.statistics import confidence_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.group.edges import Edges
    from bids_spheres.group.scale import Scale

    FloatArray = NDArray[np.float64]

COLUMNS = {
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
        """One row per pair of networks that edges join; see `COLUMNS`."""
        low, high = confidence_limits(self.moments)
        rows = self.pairs().assign(
            n=self.moments.n.astype(int),
            mean=scale.back(self.moments.known_mean),
            sd=self.moments.sd,
            ci_low=scale.back(low),
            ci_high=scale.back(high),
        )
        return rows[rows["edges"] > 0]
