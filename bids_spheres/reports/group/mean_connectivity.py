"""Mean connectivity of the group: matrices, strongest pairs in a glass brain, distributions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.network_means import network_blocks, network_table
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Graphic, Section, matrix_graphic
from bids_spheres.reports.toolkit.summaries import pairs
from bids_spheres.wording import count, number, percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Condition, Level, Result
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
        if not results and any(result.has_matrices for result in condition.results):
            continue
        own = seeds.get(condition.image.anchor)
        stage = None if own is None else own.stage
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
            tables=tuple(network_table(results)),
        )


def _blocks(
    level: Level, condition: Condition, results: Sequence[Result], stage: Stage | None
) -> Iterator[Block]:
    tested = any(result.q is not None for result in results)
    note = "Grey is missing."
    if tested:
        note = f"Above the diagonal are all pairs, below it those with q < {SIGNIFICANT:g}. {note}"
    yield Block("Mean", tuple(_matrices(condition, results)), (note,), columns=2)
    if stage is not None:
        graphics = []
        for result in results:
            chosen, note = strongest_edges(result.mean).pairs, ""
            if result.q is not None and len(chosen):
                n = int((result.q[tuple(chosen.T)] < SIGNIFICANT).sum())
                note = f" {n or 'None'} of them {'has' if n <= 1 else 'have'} q < {SIGNIFICANT:g}."
            graphics.append(stage.strongest_pairs(result.mean, result.strategy, note))
        yield Block("Strongest pairs", tuple(graphics))
    yield from network_blocks(level, condition, results)
    samples = [
        Sample(r.strategy, pairs(r.mean), level.styles[r.strategy], r.strategy) for r in results
    ]
    if any(sample.known.size for sample in samples):
        label, points = f"Mean {condition.symbol}", condition.image.points
        yield distribution_block("Distribution", label, samples, points, ())


# Matrices


def above_and_below(values: FloatArray, q: FloatArray | None) -> FloatArray:
    """All pairs above the diagonal, and below it those that are significant; others are 0."""
    if q is None:
        return values
    shown = values.copy()
    lower = np.tril(np.ones(values.shape, dtype=bool), -1)
    shown[lower & np.isfinite(values) & ~(q < SIGNIFICANT)] = 0.0
    return shown


def seed_matrix(
    result: Result,
    values: FloatArray,
    q: FloatArray | None,
    words: str,
    *,
    limit: float,
    layers: Iterable[Layer] = (),
    p_label: str = "q",
) -> Graphic:
    """Matrix of all seeds, in the order of networks, with q or another p beside each value.

    Parameters
    ----------
    result : Result
    values, q : (S, S) arrays
        In the order of tables; `q` decides what is shown below the diagonal.
    words : str
        Caption.
    limit : float
        Value of the strongest colour.
    layers : iterable of Layer
        Further values of each pair, in the order of tables.
    """
    image, ordered = result.image, result.ordered(values)
    tested = () if q is None else (Layer(p_label, q, 3, probability=True),)
    own = [replace(layer, values=result.ordered(layer.values)) for layer in (*tested, *layers)]
    few = len(image.names) <= MOST_NAMES
    shown = above_and_below(ordered, own[0].values if tested else None)
    beside = Beside(image.order.groups, image.ordered_names if few else ())
    picture = matrix_picture(ordered, limit, beside, words, shown=shown, layers=own)
    return matrix_graphic(picture, words, result.strategy, f"{image.anchor}-names")


def _matrices(condition: Condition, results: Sequence[Result]) -> Iterator[Graphic]:
    limit = colour_limit([result.mean for result in results])
    for result in results:
        edges, values = strongest_edges(result.mean, 1), pairs(result.mean)
        numbers, n = pairs(result.numbers), len(result.used)
        words = f"Mean of {result.measure} after {result.strategy}: no pair has a value."
        if len(edges.values):
            a, b = (result.image.names[i] for i in edges.pairs[0])
            words = (
                f"Mean {condition.symbol} of {count(n, 'participant')} after {result.strategy}: "
                f"median {number(float(np.nanmedian(values)))}, strongest "
                f"{number(float(edges.values[0]))} between {a} and {b}."
            )
            if result.q is not None:
                q = pairs(result.q)[np.isfinite(pairs(result.q))]
                share = float((q < SIGNIFICANT).mean()) if len(q) else 0.0
                words += f" {percent(share)} of pairs have q < {SIGNIFICANT:g}."
            known = numbers[numbers > 0]
            low, high = int(known.min()), int(known.max())
            if missing := len(numbers) - len(known):
                verb = "is" if missing == 1 else "are"
                words += f" {count(missing, 'pair')} {verb} missing in every participant."
            if low < high:
                words += (
                    f" {'Others' if missing else 'Pairs'} rest on {low:,} to {high:,} participants."
                )
        varying = [Layer("N", result.numbers, 0)] if numbers.size and np.ptp(numbers) > 0 else []
        yield seed_matrix(result, result.mean, result.q, words, limit=limit, layers=varying)
