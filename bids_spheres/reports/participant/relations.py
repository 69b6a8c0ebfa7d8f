"""Connectivity of a run: matrices, the strongest pairs in a glass brain, and distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import MEASURES
from bids_spheres.outputs.paths import EFFECTIVE_DOF, PEARSON
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import Beside, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Graphic, matrix_graphic
from bids_spheres.reports.toolkit.summaries import pairs
from bids_spheres.wording import coefficient, count, naming, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from bids_spheres.outputs.read import Spheres
    from bids_spheres.reports.participant.load import SeedSet
    from bids_spheres.reports.toolkit.charts import Order
    from bids_spheres.reports.toolkit.connectome import Stage

    FloatArray = NDArray[np.float64]


NAMES_OF_MEASURES = {measure.stat: measure.title for measure in MEASURES}
"""Names of measures in words, by their labels in names of files."""


def relation_blocks(seeds: SeedSet, styles: Mapping[str, str], stage: Stage) -> Iterator[Block]:
    """Matrices, connectomes and distributions of each measure."""
    spheres, order = seeds.spheres, seeds.order
    assert spheres is not None and order is not None  # noqa: S101, PT018 - a stage needs them
    for stat in seeds.files.measures:
        is_pearson = stat == PEARSON
        title = NAMES_OF_MEASURES.get(stat, stat)
        written = [s for s in styles if (stat, s) in seeds.files.matrix_paths]
        read = {s: seeds.files.matrix(s, stat).values for s in written}
        matrices = {s: matrix for s, matrix in read.items() if np.isfinite(pairs(matrix)).any()}
        if not matrices:
            continue
        graphics = _matrices(seeds, title, matrices, order, spheres)
        yield Block(title, tuple(graphics), columns=2)
        strongest = (stage.strongest_pairs(matrix, s) for s, matrix in matrices.items())
        yield Block(f"Strongest pairs: {title}", tuple(strongest))
        samples = [
            Sample(strategy, pairs(matrix), styles[strategy], strategy)
            for strategy, matrix in matrices.items()
        ]
        notes = tuple(_effective_volumes(seeds, matrices)) if is_pearson else ()
        label = "r" if is_pearson else title
        yield distribution_block(
            f"Distribution: {title}", label, samples, spheres.coordinates, notes
        )


def _matrices(
    seeds: SeedSet,
    title: str,
    matrices: Mapping[str, FloatArray],
    order: Order,
    spheres: Spheres,
) -> Iterator[Graphic]:
    limit = colour_limit(list(matrices.values()))
    names = tuple(spheres.names[i] for i in order.indices)
    beside = Beside(order.groups, names if len(names) <= 24 else ())
    for strategy, matrix in matrices.items():
        edges, values = strongest_edges(matrix, 1), pairs(matrix)
        median = float(np.median(values[np.isfinite(values)]))
        words = f"{title} after {strategy}: median {coefficient(median)}"
        if len(edges.values):
            ends = naming([spheres.names[i] for i in edges.pairs[0]])
            words += f", strongest {coefficient(float(edges.values[0]))} between {ends}"
        if missing := int((~np.isfinite(matrix)).all(axis=0).sum()):
            words += f"; {count(missing, spheres.noun)} without a series (grey)"
        words += f".{_within_and_between(matrix, spheres)}"
        ordered = matrix[np.ix_(order.indices, order.indices)]
        picture = matrix_picture(ordered, limit, beside, words)
        yield matrix_graphic(picture, words, strategy, f"{seeds.anchor}-names")


def _within_and_between(matrix: FloatArray, spheres: Spheres) -> str:
    """Means within and between networks; nothing without networks."""
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


def _effective_volumes(seeds: SeedSet, strategies: Mapping[str, FloatArray]) -> Iterator[str]:
    """How many independent volumes a pair is worth, where effective degrees were written."""
    for strategy in strategies:
        if (EFFECTIVE_DOF, strategy) not in seeds.files.matrix_paths:
            continue
        values = pairs(seeds.files.matrix(strategy, EFFECTIVE_DOF).values)
        known = values[np.isfinite(values)]
        if known.size:
            low, middle, high = np.percentile(known, (5, 50, 95))
            yield (
                f"{strategy}: a pair is worth {number(float(middle), 0)} independent volumes "
                f"(median; 90 % of pairs from {number(float(low), 0)} to "
                f"{number(float(high), 0)}), given the autocorrelation of both series."
            )
