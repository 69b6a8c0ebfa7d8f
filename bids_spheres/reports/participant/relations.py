"""Relations between spheres as matrices, lines in a brain, and their spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.outputs.paths import EFFECTIVE_DOF, PEARSON
from bids_spheres.reports.toolkit.charts import Key, series_style
from bids_spheres.reports.toolkit.connectome import MOST_EDGES, connectome, strongest_edges
from bids_spheres.reports.toolkit.distributions import (
    Along,
    Sample,
    Words,
    bins,
    histogram,
    spread_words,
)
from bids_spheres.reports.toolkit.matrices import Beside, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Graphic, matrix_graphic
from bids_spheres.reports.toolkit.summaries import pairs
from bids_spheres.wording import coefficient, count, naming, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.outputs.read import Spheres
    from bids_spheres.reports.participant.load import SeedSet
    from bids_spheres.reports.toolkit.connectome import Edges, Glass
    from bids_spheres.reports.toolkit.order import Order
    from bids_spheres.reports.toolkit.spheres import Scene

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stage:
    """Where connectomes of a seed set are drawn.

    Parameters
    ----------
    scene : Scene
    glass : Glass
    src : str
        Reference to its picture in the page.
    """

    scene: Scene
    glass: Glass
    src: str


@dataclass(frozen=True, eq=False)
class Relations:
    """Matrices of one measure.

    Parameters
    ----------
    stat : str
        The label of the measure in file names.
    title : str
        What the sidecars call it.
    matrices : mapping of str to (S, S) array
        By strategy, those in which a pair has a value.
    numbers : mapping of str to int
        Which of all strategies each one is, for its colour.
    """

    stat: str
    title: str
    matrices: Mapping[str, FloatArray]
    numbers: Mapping[str, int]

    @property
    def symbol(self) -> str:
        """Short name for axes."""
        return "r" if self.stat == PEARSON else self.title

    def style(self, strategy: str) -> str:
        """Style of the lines of a strategy."""
        return series_style(self.numbers[strategy])


def relation_blocks(one: SeedSet, strategies: Sequence[str], stage: Stage) -> Iterator[Block]:
    """Matrices, connectomes and distributions, one measure after the other."""
    spheres, order = one.spheres, one.order
    assert spheres is not None and order is not None  # noqa: S101, PT018 - a stage needs them
    for stat in one.files.measures:
        found = _read(one, stat, strategies)
        if not found.matrices:
            continue
        yield Block(found.title, tuple(_matrices(one, found, order, spheres)), columns=2)
        yield Block(f"Strongest pairs: {found.title}", tuple(_connectomes(found, stage)))
        yield Block(
            f"Distribution: {found.title}",
            (_histogram(found), _along_distance(found, spheres)),
            tuple(_effective(one, found)) if stat == PEARSON else (),
            columns=2,
        )


def _read(one: SeedSet, stat: str, strategies: Sequence[str]) -> Relations:
    matrices, title = {}, stat
    for strategy in strategies:
        if (stat, strategy) not in one.files.matrix_paths:
            continue
        matrix = one.files.matrix(strategy, stat).values
        if np.isfinite(pairs(matrix)).any():
            matrices[strategy] = matrix
    if stat == PEARSON:
        title = "Pearson correlation"
    numbers = {strategy: i for i, strategy in enumerate(strategies)}
    return Relations(stat, title, matrices, numbers)


# Matrices


def _matrices(one: SeedSet, found: Relations, order: Order, spheres: Spheres) -> Iterator[Graphic]:
    limit = colour_limit(list(found.matrices.values()))
    names = tuple(spheres.names[i] for i in order.indices)
    beside = Beside(order.groups, names if len(names) <= 24 else ())
    for strategy, matrix in found.matrices.items():
        ordered = matrix[np.ix_(order.indices, order.indices)]
        words = _matrix_words(found, strategy, matrix, spheres)
        picture = matrix_picture(ordered, limit, beside, words)
        yield matrix_graphic(picture, words, strategy, f"{one.anchor}-names")


def _matrix_words(found: Relations, strategy: str, matrix: FloatArray, spheres: Spheres) -> str:
    edges = strongest_edges(matrix, 1)
    values = pairs(matrix)
    known = values[np.isfinite(values)]
    missing = int((~np.isfinite(matrix)).all(axis=0).sum())
    gone = f"; {count(missing, 'sphere')} without a series (grey)" if missing else ""
    strongest = ""
    if len(edges.values):
        names = naming([spheres.names[i] for i in edges.pairs[0]])
        strongest = f", strongest {coefficient(float(edges.values[0]))} between {names}"
    return (
        f"{found.title} after {strategy}: median {coefficient(float(np.median(known)))}"
        f"{strongest}{gone}.{_within_words(matrix, spheres)}"
    )


def _within_words(matrix: FloatArray, spheres: Spheres) -> str:
    """Means within and between networks, where there are networks."""
    networks = np.array(spheres.networks)
    same = networks[:, None] == networks[None]
    with_network = networks != "n/a"
    known = np.isfinite(matrix) & with_network[:, None] & with_network[None]
    upper = np.triu(np.ones_like(same), 1)
    within, between = matrix[known & same & upper], matrix[known & ~same & upper]
    if not within.size or not between.size:
        return ""
    return (
        f" Mean within networks {number(float(within.mean()))}, "
        f"between networks {number(float(between.mean()))}."
    )


# Connectomes


def _connectomes(found: Relations, stage: Stage) -> Iterator[Graphic]:
    for strategy, matrix in found.matrices.items():
        edges = strongest_edges(matrix)
        words = _edges_words(strategy, edges, len(pairs(matrix)))
        chart = connectome(stage.scene, stage.glass, stage.src, edges, words)
        yield Graphic(chart, words, strategy, strategy)


def _edges_words(strategy: str, edges: Edges, n_pairs: int) -> str:
    n, positive = len(edges.values), int((edges.values > 0).sum())
    if n < MOST_EDGES:
        which = f"All pairs that have a value after {strategy}, {n} of {n_pairs}"
    else:
        weakest = coefficient(float(np.abs(edges.values).min()))
        which = f"The {n} strongest of {n_pairs:,} pairs after {strategy}, all beyond ±{weakest}"
    return f"{which}: {positive} positive (red, solid), {n - positive} negative (blue, dashed)."


# How values spread


def _samples(found: Relations) -> list[Sample]:
    return [Sample(s, pairs(matrix), found.style(s), s) for s, matrix in found.matrices.items()]


def _histogram(found: Relations) -> Graphic:
    samples = _samples(found)
    words = " ".join(map(spread_words, samples))
    chart = histogram(samples, bins(samples), Words(found.symbol, "Pairs (%)", words))
    return Graphic(chart, words, "All pairs", legend=_legend(found))


def _along_distance(found: Relations, spheres: Spheres) -> Graphic:
    apart = np.linalg.norm(spheres.coordinates[:, None] - spheres.coordinates[None], axis=-1)
    along = Along.of(_samples(found), pairs(apart))
    caption = f"{along.drawn} {along.words}"
    return Graphic(along.chart(found.symbol), caption, "Along distance", legend=_legend(found))


def _legend(found: Relations) -> tuple[Key, ...]:
    return tuple(Key(f"line {found.style(s)}", s, s) for s in found.matrices)


def _effective(one: SeedSet, found: Relations) -> Iterator[str]:
    """What autocorrelation leaves of the volumes, where that was asked for."""
    for strategy in found.matrices:
        if (EFFECTIVE_DOF, strategy) not in one.files.matrix_paths:
            continue
        values = pairs(one.files.matrix(strategy, EFFECTIVE_DOF).values)
        known = values[np.isfinite(values)]
        if known.size:
            low, middle, high = np.percentile(known, (5, 50, 95))
            yield (
                f"{strategy}: a pair is worth {number(float(middle), 0)} independent volumes "
                f"(median; 90 % of pairs from {number(float(low), 0)} to "
                f"{number(float(high), 0)}), given the autocorrelation of both series."
            )
