"""Mean connectivity of the group: matrices, strongest pairs in a glass brain, distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.network_means import network_blocks, network_table
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Graphic, Section, matrix_graphic
from bids_spheres.reports.toolkit.summaries import pairs
from bids_spheres.wording import count, number, percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Condition, Image, Level, Result
    from bids_spheres.reports.toolkit.connectome import Stage

    FloatArray = NDArray[np.float64]

SIGNIFICANT = 0.05
"""q below which a pair counts as connected."""

MOST_NAMES = 24
"""Rows of a matrix up to which each has its name beside it."""


def condition_sections(
    level: Level, shown: Collection[str], seeds: Mapping[str, Section]
) -> Iterator[Section]:
    """Every condition with a group that is shown.

    Parameters
    ----------
    level : Level
    shown : collection of str
        Anchors of the groups whose matrices may be shown.
    seeds : mapping of str to Section
        Seeds of images, by the images' anchors.
    """
    for condition in level.conditions:
        results = [result for result in condition.results if result.anchor in shown]
        has_matrices = any(result.has_matrices for result in condition.results)
        if not results and (has_matrices or not condition.results):
            continue
        own = seeds.get(condition.image.anchor)
        stage = None if own is None else own.stage
        table = network_table(results)
        remarks = []
        for result in condition.results:
            name = result.strategy
            remarks += [
                f"{name}: tests against 0 (q) do not hold: {reason}."
                for reason in result.against_zero
            ]
            if not result.has_matrices:
                remarks.append(f"{name}: no participant has a result.")
            elif result not in results:
                remarks.append(
                    f"{name}: not shown, to keep this page small; see the tables of group."
                )
        yield Section(
            condition.anchor,
            condition.title,
            condition.short,
            tuple(result.strategy for result in results),
            tuple(remarks),
            blocks=tuple(_blocks(level, condition, results, stage)) if results else (),
            tables=() if table is None else (table,),
        )


def _blocks(
    level: Level, condition: Condition, results: Sequence[Result], stage: Stage | None
) -> Iterator[Block]:
    tested = any(result.q is not None for result in results)
    below = f", below it those with q < {SIGNIFICANT:g}" if tested else ""
    how_to_read = f"Above the diagonal are all pairs{below}; grey is missing."
    yield Block("Mean", tuple(_matrices(condition, results)), (how_to_read,), columns=2)
    if stage is not None:
        graphics = []
        for result in results:
            chosen, note = strongest_edges(result.mean).pairs, ""
            if result.q is not None and len(chosen):
                n = int((result.q[tuple(chosen.T)] < SIGNIFICANT).sum())
                note = f" {f'{n:,}' if n else 'None'} of them have q < {SIGNIFICANT:g}."
            graphics.append(stage.strongest_pairs(result.mean, result.strategy, note))
        yield Block("Strongest pairs", tuple(graphics))
    yield from network_blocks(level, condition, results)
    samples = [
        Sample(r.strategy, pairs(r.mean), series_style(level.number_of(r.strategy)), r.strategy)
        for r in results
    ]
    if any(sample.known.size for sample in samples):
        label, points = f"Mean {condition.symbol}", condition.image.points
        yield distribution_block("Distribution", label, samples, points, ())


# Matrices


def names_id(image: Image) -> str:
    """Identifier of the page's list of names of an image's seeds."""
    return f"{image.anchor}-names"


def beside(image: Image) -> Beside:
    """Names beside matrices of all seeds."""
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


def _matrices(condition: Condition, results: Sequence[Result]) -> Iterator[Graphic]:
    limit = colour_limit([result.mean for result in results])
    for result in results:
        mean = result.ordered(result.mean)
        q = None if result.q is None else result.ordered(result.q)
        layers = [] if q is None else [Layer("q", q, 3, probability=True)]
        numbers = pairs(result.numbers)
        if numbers.size and np.ptp(numbers) > 0:
            layers.append(Layer("N", result.ordered(result.numbers), 0))
        words = _describe_mean(condition, result)
        coloured = above_and_below(mean, q)
        names = beside(result.image)
        picture = matrix_picture(mean, limit, names, words, shown=coloured, layers=layers)
        yield matrix_graphic(picture, words, result.strategy, names_id(result.image))


def _describe_mean(condition: Condition, result: Result) -> str:
    edges, values = strongest_edges(result.mean, 1), pairs(result.mean)
    if not len(edges.values):
        return f"Mean of {condition.measure} after {result.strategy}: no pair has a value."
    a, b = (result.image.names[i] for i in edges.pairs[0])
    words = (
        f"Mean {condition.symbol} of {count(result.n, 'participant')} after {result.strategy}: "
        f"median {number(float(np.median(values[np.isfinite(values)])))}, strongest "
        f"{number(float(edges.values[0]))} between {a} and {b}."
    )
    if result.q is not None:
        q = pairs(result.q)
        known = np.isfinite(q)
        share = float((q[known] < SIGNIFICANT).mean()) if known.any() else 0.0
        words += f" {percent(share)} of pairs have q < {SIGNIFICANT:g}."
    numbers = pairs(result.numbers)
    low, high = int(numbers.min()), int(numbers.max())
    return words if low == high else f"{words} Pairs rest on {low:,} to {high:,} participants."
