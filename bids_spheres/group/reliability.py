"""How well measurements of the same participants agree, and how much data that takes.

Of conditions: edges, networks, and fingerprints. Of parts of runs, with one another and with the
whole: Gordon et al. 2017, doi:10.1016/j.neuron.2017.07.011, compare matrices of the first minutes
of a participant with others; Noble et al. 2017, doi:10.1093/cercor/bhx230, follow the intraclass
correlation over minutes.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bids_spheres.engine.connectivity import fisher_z
from bids_spheres.errors import BidsSpheresError
from bids_spheres.files.atomic import MISSING
from bids_spheres.group.edges import NODE_COLUMNS, PAIR_COLUMNS, mean_along, mean_of_known
from bids_spheres.group.facts import as_json
from bids_spheres.group.inference import (
    discriminability,
    identification_rate,
    intraclass_correlation,
)
from bids_spheres.group.quality import RUN_COLUMNS, RUN_ENTITIES, run_entities
from bids_spheres.outputs.paths import TIMESERIES
from bids_spheres.outputs.read import read_series
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bids_spheres.engine.arrays import FloatArray, IntArray
    from bids_spheres.group.edges import Edges, NetworkMeans
    from bids_spheres.group.quality import Row
    from bids_spheres.group.stream import Group, GroupRun
    from bids_spheres.group.testing import Rows

logger = logging.getLogger(__name__)

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

EDGE_COLUMNS = {"edge": "Number of the edge in the table of edges", **NODE_COLUMNS, **_ICC}

NETWORK_COLUMNS = PAIR_COLUMNS | _ICC
"""Columns of the table of networks, which is about the mean over their edges."""

_BLOCK = 2**21
"""Numbers of participants, conditions and edges that are in memory at a time."""

STEP = 2.0
"""Minutes of data by which parts of a run grow."""

TARGET = 0.8
"""Correlation, or intraclass correlation, to reach."""

_FEWEST = 3
"""Edges that a correlation over edges needs."""

_READERS = 2

STABILITY_COLUMNS = {
    **{name: RUN_COLUMNS[name] for name in RUN_ENTITIES},
    "minutes_kept": "Kept volumes x repetition time",
    "split_half": "Correlation over edges of the matrices (Fisher z of Pearson correlations) of "
    "the first and the second half of the kept volumes",
    "minutes": "Length of a part: the first kept volumes",
    "r": "Correlation over edges of the matrix of this part with that of all kept volumes, which "
    "it is part of",
}
"""Columns of the table of runs and parts."""

MINUTES_COLUMNS = {
    "network_1": f"{PAIR_COLUMNS['network_1']}; n/a: all edges",
    "network_2": PAIR_COLUMNS["network_2"],
    "edges": PAIR_COLUMNS["edges"],
    "participants": "Participants whose series could be read",
    "minutes_for_r": "Kept minutes of a run at which the correlation of its first part with the "
    "whole, mean over participants, reaches Target, interpolated; n/a where it does not",
    "minutes_for_icc": "The same for ICC(2,1) over sessions of the mean over the edges; n/a also "
    "without sessions",
    "longest": "Longest part, which half of the participants have",
    "r": "Correlation of that part with the whole",
    "icc": "ICC(2,1) of that part",
}
"""Columns of the table of pairs of networks of a group."""


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
    places = table.pivot_table(index=0, columns=1, values="index")
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
    kinds: tuple[Literal["2,1", "3,1"], ...] = ("2,1", "3,1")
    for kind in kinds:
        own, name = intraclass_correlation(values, kind), f"icc{kind.replace(',', '')}"
        columns |= {"n": own.n, name: own.icc}
        columns |= {f"{name}_low": own.ci_low, f"{name}_high": own.ci_high}
    return columns


@dataclass(frozen=True, eq=False)
class RunStability:
    """Parts of one run: M lengths, and K sets of edges, of which the first has them all.

    `r` (M, K) are correlations over edges with the whole, `means` (M, K) of Fisher z over edges.
    """

    minutes_kept: float
    split_half: float
    r: FloatArray
    means: FloatArray


@dataclass(frozen=True, eq=False)
class Stability:
    """Rows of `STABILITY_COLUMNS`, the table of `MINUTES_COLUMNS`, and cells of strategies."""

    rows: list[Row]
    table: pd.DataFrame
    cells: Row


def group_stability(group: Group, networks: NetworkMeans) -> Stability | None:
    """Stability of the runs of a group from their cleaned series; None where none can be read."""
    runs = [run for person in group.with_result for run in person.runs]

    def measured(run: GroupRun) -> RunStability | None:
        stat = str(as_json(run.facts.settings)["Aggregation"])
        try:
            series = read_series(run.sibling(TIMESERIES, stat))
        except BidsSpheresError as error:
            logger.debug("%s", error)
            return None
        kept = series.values[np.isfinite(series.values).any(axis=1)]
        return run_stability(kept, series.t_r, group.edges, networks)

    with ThreadPoolExecutor(_READERS, "reader") as pool:
        found = [(run, own) for run, own in zip(runs, pool.map(measured, runs), strict=True) if own]
    if len(found) < len(runs):
        lacking = count(len(runs) - len(found), "run")
        logger.warning("%s: no stability of %s without series.", group.title, lacking)
    if not found:
        return None
    rows: list[Row] = [
        {
            **run_entities(run),
            "minutes_kept": own.minutes_kept,
            "split_half": own.split_half,
            "minutes": STEP * (part + 1) if len(own.r) else np.nan,
            "r": own.r[part, 0] if len(own.r) else np.nan,
        }
        for run, own in found
        for part in range(max(len(own.r), 1))
    ]
    table = _minutes_table(found, networks, len(group.edges))
    cells: Row = {"split_half": mean_of_known(own.split_half for _, own in found)}
    cells |= {name: float(table[name].iloc[0]) for name in ("minutes_for_r", "minutes_for_icc")}
    return Stability(rows, table, cells)


def run_stability(
    series: FloatArray, t_r: float, edges: Edges, networks: NetworkMeans
) -> RunStability:
    """Compare parts of cleaned series (T, S), which are `t_r` s apart, with one another."""
    minutes = len(series) * t_r / 60
    lengths = [round(part * 60 / t_r) for part in np.arange(STEP, minutes, STEP)]
    middle = len(series) // 2
    spans = (series, series[:middle], series[middle:], *(series[:n] for n in lengths))
    whole, first, second, *parts = (edges.of(fisher_z(span)) for span in spans)
    everything, n_pairs = np.zeros(len(edges), dtype=np.intp), len(networks.means(whole))
    r, means = np.full((2, len(parts), 1 + n_pairs), np.nan)
    for row, part in enumerate(parts):
        r[row, :1] = correlate_edges(part, whole, everything, 1)
        r[row, 1:] = correlate_edges(part, whole, networks.pair_of_edge, n_pairs)
        means[row] = [mean_along(part, 0), *networks.means(part)]
    [split_half] = correlate_edges(first, second, everything, 1)
    return RunStability(minutes, float(split_half), r, means)


def correlate_edges(
    first: FloatArray, second: FloatArray, members: IntArray, size: int
) -> FloatArray:
    """Correlation over the edges (E,) of each set, (size,), whose numbers `members` (E,) has.

    -1 is of none; NaN for fewer than three edges that both have.
    """
    known = np.isfinite(first) & np.isfinite(second) & (members >= 0)
    own = members[known]
    n = np.bincount(own, minlength=size)
    counts = np.where(n >= _FEWEST, n, np.nan)
    x, y = (
        values[known] - (np.bincount(own, values[known], size) / counts)[own]
        for values in (first, second)
    )
    xy, xx, yy = (np.bincount(own, product, size) for product in (x * y, x * x, y * y))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(xy / np.sqrt(xx * yy))


def minutes_needed(minutes: FloatArray, curve: FloatArray) -> float:
    """When a curve over minutes (M,) first reaches the target, interpolated; NaN if it doesn't.

    >>> minutes_needed(np.array([2.0, 4, 6]), np.array([0.5, 0.7, 0.9]))
    5.0
    """
    above = np.flatnonzero(curve >= TARGET)
    if not len(above):
        return nan
    around = slice(max(above[0] - 1, 0), above[0] + 1)
    known = np.isfinite(curve[around])  # that before may be missing
    return float(np.interp(TARGET, curve[around][known], minutes[around][known]))


def _minutes_table(
    found: Sequence[tuple[GroupRun, RunStability]], networks: NetworkMeans, n_edges: int
) -> pd.DataFrame:
    """A row for all edges and for each pair of networks; see `MINUTES_COLUMNS`."""
    r, z = _by_session(found, "r"), _by_session(found, "means")
    n_people, n_sessions, n_parts, size = r.shape
    of_people = mean_along(r, 1)
    enough = np.isfinite(of_people).sum(axis=0) * 2 >= n_people
    curves = {
        "r": np.where(enough, mean_along(of_people, 0), np.nan),
        "icc": np.full_like(z[0, 0], np.nan),
    }
    for part in range(n_parts if n_sessions > 1 else 0):
        icc = intraclass_correlation(z[:, :, part])
        curves["icc"][part] = np.where((icc.n > 1) & enough[part], icc.icc, np.nan)
    minutes: FloatArray = STEP * np.arange(1, n_parts + 1, dtype=np.float64)
    rows: list[Row] = []
    for own in range(size):
        row: Row = {"participants": n_people}
        for name, curve in curves.items():
            row[f"minutes_for_{name}"] = minutes_needed(minutes, curve[:, own])
        for last in np.flatnonzero(enough[:, own])[-1:]:
            row |= {"longest": minutes[last], **{x: c[last, own] for x, c in curves.items()}}
        rows.append(row)
    values = pd.DataFrame(rows, columns=list(MINUTES_COLUMNS)[3:])
    table = values.iloc[:1].assign(network_1=MISSING, network_2=MISSING, edges=n_edges)
    if networks.names:
        of_pairs = {str(name): column.to_numpy()[1:] for name, column in values.items()}
        table = pd.concat([table, networks.pairs(**of_pairs)], ignore_index=True)
    return table[list(MINUTES_COLUMNS)]


def _by_session(found: Sequence[tuple[GroupRun, RunStability]], name: str) -> FloatArray:
    """Means over runs, (participants, sessions, M, K), of an attribute of their stability."""
    n_parts = max(len(own.r) for _, own in found)
    cells: dict[tuple[str, str], list[FloatArray]] = {}
    for run, own in found:
        lacking = ((0, n_parts - len(own.r)), (0, 0))
        padded = np.pad(getattr(own, name), lacking, constant_values=np.nan)
        cells.setdefault((run.file.participant, run.file.name.get("ses") or ""), []).append(padded)
    people, sessions = (sorted(set(labels)) for labels in zip(*cells, strict=True))
    nothing = [np.full_like(padded, np.nan)]
    return np.array(
        [[mean_along(np.array(cells.get((x, y), nothing)), 0) for y in sessions] for x in people]
    )
