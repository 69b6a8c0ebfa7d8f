"""How well measurements of the same participants agree: of edges, networks, and as fingerprints."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bids_spheres.group.edges import NODE_COLUMNS, PAIR_COLUMNS
from bids_spheres.group.inference import (
    discriminability,
    identification_rate,
    intraclass_correlation,
)
from bids_spheres.outputs.sidecars import described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.group.edges import NetworkMeans
    from bids_spheres.group.testing import Rows

_ICC = {
    "n": "Participants who have it in all conditions",
    "icc21": "ICC(2,1): agreement of single measurements, conditions being a sample (Shrout & "
    "Fleiss 1979, doi:10.1037/0033-2909.86.2.420)",
    "icc21_low": "Lower limit of its 95 % confidence interval",
    "icc21_high": "Upper limit of its 95 % confidence interval",
    "icc31": "ICC(3,1): consistency of single measurements in these conditions",
    "icc31_low": "Lower limit of its 95 % confidence interval",
    "icc31_high": "Upper limit of its 95 % confidence interval",
}

EDGE_COLUMNS = described(
    {
        "edge": "Number of the edge in the table of edges",
        **NODE_COLUMNS,
        **_ICC,
    }
)
"""Columns of the table of edges."""

NETWORK_COLUMNS = {**PAIR_COLUMNS, **_ICC}
"""Columns of the table of networks, which is about the mean over their edges."""

_BLOCK = 2**21
"""Numbers of participants, conditions and edges that are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Intraclass correlations, a row per edge and per pair of networks, and fingerprints.

    Discriminability of all measurements (Bridgeford et al. 2021), and the rate of identification,
    mean over all pairs of conditions and both directions (Finn et al. 2015).
    """

    edges: pd.DataFrame
    networks: Mapping[str, FloatArray]
    discriminability: float
    identification_rate: float


def compare_conditions(rows: Rows, networks: NetworkMeans) -> Reliability | None:
    """Agreement of the conditions of participants; None unless two people have two of them."""
    table = pd.DataFrame(rows.conditions).reset_index()
    if not len(table):
        return None
    # Row of every participant in every condition.
    places = table.pivot_table(index=0, columns=1, values="index").reindex(rows.values.participants)
    complete = places.dropna().to_numpy(dtype=np.intp)
    if complete.shape[1] < 2 or len(complete) < 2:
        return None
    array = rows.repeated.array
    width = max(1, _BLOCK // complete.size)
    parts = [
        pd.DataFrame(_intraclass(array[:, start : start + width][complete]))
        for start in range(0, array.shape[1], width)
    ]
    means = np.array([networks.means(values) for values in array])
    rates = [
        rate
        for first, second in combinations(complete.T, 2)
        for rate in identification_rate(array[first], array[second])
    ]
    return Reliability(
        edges=pd.concat(parts, ignore_index=True),
        networks=_intraclass(means[complete]) if networks.names else {},
        discriminability=discriminability(np.asarray(array), pd.factorize(table[0], sort=True)[0]),
        identification_rate=float(np.mean(rates)) if rates else nan,
    )


def _intraclass(values: FloatArray) -> dict[str, FloatArray]:
    """Both correlations of participants and conditions (P, S, E)."""
    columns: dict[str, FloatArray] = {}
    kinds: tuple[tuple[Literal["2,1", "3,1"], str], ...] = (("2,1", "icc21"), ("3,1", "icc31"))
    for kind, name in kinds:
        own = intraclass_correlation(values, kind)
        limits = {f"{name}_low": own.ci_low, f"{name}_high": own.ci_high}
        columns |= {"n": own.n, name: own.icc, **limits}
    return columns
