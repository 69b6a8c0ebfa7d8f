"""Mean connectivity of the group: matrices, lines in a brain, networks, spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.networks import network_blocks, network_table
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.connectome import connectome, strongest_edges
from bids_spheres.reports.toolkit.distributions import (
    STEP,
    Along,
    Sample,
    Words,
    bins,
    histogram,
    spread_words,
)
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Graphic, matrix_graphic
from bids_spheres.reports.toolkit.summaries import pairs
from bids_spheres.wording import count, number, percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.coverage import SeedsView
    from bids_spheres.reports.group.load import Condition, Image, Level, Result
    from bids_spheres.reports.toolkit.render import Table

    FloatArray = NDArray[np.float64]

SIGNIFICANT = 0.05
"""q below which a pair counts as related."""

MOST_NAMES = 24
"""Rows of a matrix that have their names beside it."""


@dataclass(frozen=True, eq=False)
class ConditionView:
    """What the page shows of one task, space, seed set and measure.

    Parameters
    ----------
    anchor, title, short : str
    strategies : tuple of str
    remarks : tuple of str
    blocks : tuple of Block
    table : Table or None
        Of networks.
    """

    anchor: str
    title: str
    short: str
    strategies: tuple[str, ...]
    remarks: tuple[str, ...]
    blocks: tuple[Block, ...]
    table: Table | None

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.short


def condition_views(
    level: Level, shown: Collection[str], views: Mapping[str, SeedsView]
) -> Iterator[ConditionView]:
    """Every condition of which a group is shown.

    Parameters
    ----------
    level : Level
    shown : collection of str
        Anchors of the groups whose matrices may be shown.
    views : mapping of str to SeedsView
        Of images, by their anchors.
    """
    for one in level.conditions:
        results = [result for result in one.results if result.anchor in shown]
        empty = [result for result in one.results if not result.has_matrices]
        if results or (empty and len(empty) == len(one.results)):
            yield _view(level, one, results, views.get(one.image.anchor))


def _view(
    level: Level, one: Condition, results: Sequence[Result], seeds: SeedsView | None
) -> ConditionView:
    return ConditionView(
        one.anchor,
        one.title,
        one.short,
        tuple(result.strategy for result in results),
        tuple(_remarks(one, results)),
        tuple(_blocks(level, one, results, seeds)) if results else (),
        network_table(results),
    )


def _remarks(one: Condition, results: Sequence[Result]) -> Iterator[str]:
    for result in one.results:
        for reason in result.against_zero:
            yield f"{result.strategy}: tests against 0 (q) do not hold: {reason}."
        if not result.has_matrices:
            yield f"{result.strategy}: no participant has a result."
        elif result not in results:
            yield f"{result.strategy}: not shown, to keep this page small; see the tables of group."


def _blocks(
    level: Level, one: Condition, results: Sequence[Result], seeds: SeedsView | None
) -> Iterator[Block]:
    yield Block("Mean", tuple(_matrices(one, results)), (_how_to_read(results),), columns=2)
    if seeds is not None:
        yield Block("Strongest pairs", tuple(_connectomes(results, seeds)))
    yield from network_blocks(level, one, results)
    yield from _distribution(level, one, results)


def _how_to_read(results: Sequence[Result]) -> str:
    tested = any(result.q is not None for result in results)
    below = f", below it those with q < {SIGNIFICANT:g}" if tested else ""
    return f"Above the diagonal are all pairs{below}; grey is missing."


# Matrices


def names_id(image: Image) -> str:
    """Identifier of the page's list of names of an image's seeds."""
    return f"{image.anchor}-names"


def beside(image: Image) -> Beside:
    """What stands beside matrices of all seeds."""
    names = image.ordered_names
    return Beside(image.order.groups, names if len(names) <= MOST_NAMES else ())


def above_and_below(values: FloatArray, q: FloatArray | None) -> FloatArray:
    """All pairs above the diagonal, and below it those that are significant; others are 0."""
    if q is None:
        return values
    shown = values.copy()
    lower = np.tril(np.ones(values.shape, dtype=bool), -1)
    shown[lower & np.isfinite(values) & ~(q < SIGNIFICANT)] = 0.0
    return shown


def _matrices(one: Condition, results: Sequence[Result]) -> Iterator[Graphic]:
    limit = colour_limit([result.mean for result in results])
    for result in results:
        mean = result.ordered(result.mean)
        q = None if result.q is None else result.ordered(result.q)
        words = _matrix_words(one, result)
        picture = matrix_picture(
            mean,
            limit,
            beside(result.image),
            words,
            shown=above_and_below(mean, q),
            layers=tuple(_layers(result, q)),
        )
        yield matrix_graphic(picture, words, result.strategy, names_id(result.image))


def _layers(result: Result, q: FloatArray | None) -> Iterator[Layer]:
    if q is not None:
        yield Layer("q", q, 3, probability=True)
    numbers = pairs(result.numbers)
    if numbers.size and np.ptp(numbers) > 0:
        yield Layer("N", result.ordered(result.numbers), 0)


def _matrix_words(one: Condition, result: Result) -> str:
    edges, values = strongest_edges(result.mean, 1), pairs(result.mean)
    known = values[np.isfinite(values)]
    if not len(edges.values):
        return f"Mean of {one.measure} after {result.strategy}: no pair has a value."
    a, b = (result.image.names[i] for i in edges.pairs[0])
    return (
        f"Mean {one.symbol} of {count(result.n, 'participant')} after {result.strategy}: median "
        f"{number(float(np.median(known)))}, strongest {number(float(edges.values[0]))} between "
        f"{a} and {b}.{_tested_words(result)}{_number_words(result)}"
    )


def _tested_words(result: Result) -> str:
    if result.q is None:
        return ""
    q = pairs(result.q)
    known = np.isfinite(q)
    share = float((q[known] < SIGNIFICANT).mean()) if known.any() else 0.0
    return f" {percent(share)} of pairs have q < {SIGNIFICANT:g}."


def _number_words(result: Result) -> str:
    numbers = pairs(result.numbers)
    low, high = int(numbers.min()), int(numbers.max())
    return "" if low == high else f" Pairs rest on {low:,} to {high:,} participants."


# Connectomes


def _connectomes(results: Sequence[Result], seeds: SeedsView) -> Iterator[Graphic]:
    for result in results:
        edges = strongest_edges(result.mean)
        positive = int((edges.values > 0).sum())
        weakest = number(float(np.abs(edges.values).min())) if len(edges.values) else "n/a"
        words = (
            f"The {len(edges.values)} strongest pairs after {result.strategy} (beyond {weakest} in "
            f"absolute value): {positive} positive (red, solid), "
            f"{len(edges.values) - positive} negative (blue, dashed)."
            f"{_of_them(result, edges.pairs)}"
        )
        stage = seeds.stage
        chart = connectome(stage.scene, stage.glass, stage.src, edges, words)
        yield Graphic(chart, words, result.strategy, result.strategy)


def _of_them(result: Result, chosen: NDArray[np.intp]) -> str:
    if result.q is None or not len(chosen):
        return ""
    n = int((result.q[tuple(chosen.T)] < SIGNIFICANT).sum())
    return f" {f'{n:,}' if n else 'None'} of them have q < {SIGNIFICANT:g}."


# How means spread


def _distribution(level: Level, one: Condition, results: Sequence[Result]) -> Iterator[Block]:
    samples = [
        Sample(r.strategy, pairs(r.mean), series_style(level.number_of(r.strategy)), r.strategy)
        for r in results
    ]
    if not any(sample.known.size for sample in samples):
        return
    words = " ".join(map(spread_words, samples))
    legend = tuple(sample.key for sample in samples)
    label = f"Mean {one.symbol}"
    chart = histogram(samples, bins(samples), Words(label, "Pairs (%)", words))
    apart = np.linalg.norm(one.image.points[:, None] - one.image.points[None], axis=-1)
    along = Along.of(samples, pairs(apart))
    caption = f"Median and quartiles of pairs in steps of {STEP:g} mm. {along.words}"
    graphics = [Graphic(chart, words, "All pairs", legend=legend)]
    if along.known:
        graphics.append(Graphic(along.chart(label), caption, "Along distance", legend=legend))
    yield Block("Distribution", tuple(graphics), columns=2)
