"""What is left of head motion in connectivity: benchmarks of cleaning strategies.

Ciric et al. 2017 (doi:10.1016/j.neuroimage.2017.03.020) and Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073) compare strategies by the correlation, over participants, of
the strength of every edge with mean framewise displacement (QC-FC): how large it is, in how many
edges it is significant, and whether it falls with the distance of the two nodes, as motion
artefacts do. How much of the networks is left to be seen, and what the strategy costs in degrees of
freedom, are the other side.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.group.edges import known_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

SIGNIFICANT = 0.05
"""p below which an edge counts as related to motion, not corrected for the number of edges."""


@dataclass(frozen=True)
class Benchmark:
    """How much of motion a strategy left in connectivity; NaN for what is not known.

    Parameters
    ----------
    edges : int
        Edges whose correlation with motion is known.
    median : float
        Median of the absolute correlations.
    share : float
        Share of edges with p < `SIGNIFICANT`; that is also what chance alone gives.
    spearman, pearson : float
        Correlation over edges of their correlation with motion and the distance of their nodes.
    """

    edges: int
    median: float
    share: float
    spearman: float
    pearson: float


UNKNOWN = Benchmark(0, nan, nan, nan, nan)
"""Of a group without participants whose motion is known."""


def benchmark(qc_fc: FloatArray, p: FloatArray, distance: FloatArray) -> Benchmark:
    """Summarize correlations of edges with motion.

    Parameters
    ----------
    qc_fc : (E,) array
        Correlations over participants.
    p : (E,) array
        Of each of them.
    distance : (E,) array
        Of the nodes of each edge, mm.
    """
    known = np.isfinite(qc_fc)
    r = qc_fc[known]
    if not r.size:
        return UNKNOWN
    return Benchmark(
        edges=int(r.size),
        median=float(np.median(np.abs(r))),
        share=float(np.mean(p[known] < SIGNIFICANT)),
        spearman=_pearson(stats.rankdata(r), stats.rankdata(distance[known])),
        pearson=_pearson(r, distance[known]),
    )


def modularity(matrix: FloatArray, networks: tuple[str, ...]) -> float:
    """How much more of the positive weight lies within networks than expected by chance.

    Q = 1 / (2 m) sum_ij (A_ij - k_i k_j / (2 m)) [i, j in one network], with the positive weights
    A, the strengths k of the nodes and their sum 2 m (Newman 2004,
    doi:10.1103/PhysRevE.70.056131). Negative and missing weights count as 0. Nodes without a
    network are left out. Between -0.5 and 1.

    Parameters
    ----------
    matrix : (S, S) array
        Symmetric; its diagonal does not count.
    networks : tuple of str
        Network of every node, ``"n/a"`` for none.

    Returns
    -------
    float
        NaN without networks or positive weights.
    """
    has = known_network(networks)
    weights = np.nan_to_num(np.clip(matrix[np.ix_(has, has)], 0, None))
    np.fill_diagonal(weights, 0)
    total = weights.sum()
    if not total > 0:
        return nan
    _, numbers = np.unique(np.array(networks)[has], return_inverse=True)
    members = np.eye(numbers.max() + 1)[numbers]
    within = np.sum(weights * (members @ members.T)) / total
    expected = np.sum((weights.sum(axis=0) @ members / total) ** 2)
    return float(within - expected)


def _pearson(first: FloatArray, second: FloatArray) -> float:
    """NaN for fewer than three pairs, and for a constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return nan
    return float(np.corrcoef(first, second)[0, 1])
