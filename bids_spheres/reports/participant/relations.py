"""Matrices of a run: connectivity after each strategy, and correlations of its regressors."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import MEASURES
from bids_spheres.outputs.paths import EFFECTIVE_DOF, PEARSON, PLACEMENT_MEAN, PLACEMENT_SD
from bids_spheres.reports.toolkit.charts import Group
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import (
    Beside,
    colour_limit,
    known_pairs,
    matrix_graphic,
    pairs,
)
from bids_spheres.reports.toolkit.render import (
    Block,
    Column,
    Graphic,
    number_column,
    percent_cell,
    table_of,
    text_column,
)
from bids_spheres.wording import coefficient, count, listing, naming, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.outputs.sidecars import Sidecar
    from bids_spheres.reports.participant.load import Run, SeedSet
    from bids_spheres.reports.toolkit.connectome import Stage
    from bids_spheres.reports.toolkit.render import Table, TableColumn

_KINDS = (
    ("cosine", "cosines"),
    ("trans_", "translations"),
    ("rot_", "rotations"),
    ("a_comp_cor", "aCompCor"),
    ("w_comp_cor", "WM CompCor"),
    ("c_comp_cor", "CSF CompCor"),
    ("t_comp_cor", "tCompCor"),
    ("aroma", "ICA-AROMA"),
    ("csf", "CSF"),
    ("white_matter", "white matter"),
    ("global_signal", "global signal"),
)
"""Prefixes of fMRIPrep's column names, and the names beside a matrix."""

_MOST_PLACED = 10
"""Pairs of each strategy in the table of those that depend on placement."""


def relation_blocks(seeds: SeedSet, styles: Mapping[str, str], stage: Stage) -> Iterator[Block]:
    """Matrices, connectomes and distributions of each measure."""
    if seeds.spheres is None:
        return
    names_of_measures = {measure.stat: measure.title for measure in MEASURES}
    for stat in seeds.files.measures:
        title = names_of_measures.get(stat, stat)
        written = [s for s in styles if (stat, s) in seeds.files.matrix_paths]
        read = {s: seeds.files.matrix(s, stat).values for s in written}
        matrices = {s: matrix for s, matrix in read.items() if known_pairs(matrix).size}
        if not matrices:
            continue
        yield Block(title, tuple(_matrices(seeds, seeds.spheres, title, matrices)), columns=2)
        strongest = (stage.strongest_pairs(matrix, s) for s, matrix in matrices.items())
        yield Block(f"Strongest pairs: {title}", tuple(strongest))
        samples = [Sample(s, pairs(matrix), styles[s], s) for s, matrix in matrices.items()]
        notes = tuple(_effective_volumes(seeds, [*matrices])) if stat == PEARSON else ()
        label, points = "r" if stat == PEARSON else title, seeds.spheres.coordinates
        yield distribution_block(f"Distribution: {title}", label, samples, points, notes)
    if any((PLACEMENT_SD, strategy) in seeds.files.matrix_paths for strategy in styles):
        yield _placement_block(seeds, styles)


def _matrices(
    seeds: SeedSet, spheres: Spheres, title: str, matrices: Mapping[str, FloatArray]
) -> Iterator[Graphic]:
    limit, order = colour_limit(list(matrices.values())), seeds.order
    names, rows = tuple(spheres.names[i] for i in order.indices), f"{seeds.anchor}-names"
    beside = Beside(order.groups, names if len(names) <= 24 else ())
    for strategy, matrix in matrices.items():
        median = float(np.median(known_pairs(matrix)))
        words = f"{title} after {strategy}: median {coefficient(median)}"
        if strongest := _strongest(matrix, spheres.names):
            words += ", strongest {} between {}".format(*strongest)
        if missing := int((~np.isfinite(matrix)).all(axis=0).sum()):
            words += f"; {count(missing, spheres.noun)} without a series (grey)"
        words += f".{_within_and_between(matrix, spheres)}"
        ordered = matrix[np.ix_(order.indices, order.indices)]
        yield matrix_graphic(ordered, limit, beside, words, strategy=strategy, row_names=rows)


def _strongest(matrix: FloatArray, names: Sequence[str]) -> tuple[str, str] | None:
    """The strongest value of a pair, and the names of its ends."""
    edges = strongest_edges(matrix, 1)
    if not len(edges.values):
        return None
    return coefficient(float(edges.values[0])), naming([names[i] for i in edges.pairs[0]])


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
    means = [number(float(values.mean())) for values in (within, between)]
    return " Mean within networks {}, between networks {}.".format(*means)


def _placement_block(seeds: SeedSet, styles: Mapping[str, str]) -> Block:
    """Pairs whose correlation depends most on where exactly their spheres are."""
    rows, medians = [], []
    facts: Sidecar = {}
    for strategy in (s for s in styles if (PLACEMENT_SD, s) in seeds.files.matrix_paths):
        over = seeds.files.matrix(strategy, PLACEMENT_SD)
        mean, facts = seeds.files.matrix(strategy, PLACEMENT_MEAN).values, over.sidecar
        if (known := known_pairs(over.values)).size:
            medians.append(f"{number(float(np.median(known)), 3)} after {strategy}")
        edges = strongest_edges(over.values, _MOST_PLACED)
        for (i, j), sd in zip(edges.pairs, edges.values, strict=True):
            rows.append((strategy, over.names[i], over.names[j], np.tanh(mean[i, j]), sd))
    strategies, first, second, r, sds = zip(*rows, strict=True) if rows else ((),) * 5
    jitter, n = facts.get("PlacementJitter", 0), facts.get("NumberOfPlacements", 0)
    words = (
        f"Every sphere was shifted at random {n} times, by up to {number(jitter)} mm, and "
        "correlations computed anew. SD: standard deviation of Fisher's z over these placements. "
        f"Median over all pairs: {listing(medians) or 'n/a'}. The matrices have every pair."
    )
    table = table_of(
        f"Pairs that depend most on placement, at most {_MOST_PLACED} for each strategy.",
        text_column("Sphere", first),
        text_column("Sphere", second),
        text_column("Strategy", strategies),
        number_column("Mean", r, 3, "r"),
        number_column("SD", sds, 3, "z"),
    )
    return Block("Placement of spheres", notes=(words,), table=(f"{seeds.anchor}-placement", table))


def _effective_volumes(seeds: SeedSet, strategies: Sequence[str]) -> Iterator[str]:
    """How many independent volumes a pair is worth, where effective degrees were written."""
    for strategy in strategies:
        if (EFFECTIVE_DOF, strategy) not in seeds.files.matrix_paths:
            continue
        known = known_pairs(seeds.files.matrix(strategy, EFFECTIVE_DOF).values)
        if known.size:
            low, middle, high = (number(float(q), 0) for q in np.percentile(known, (5, 50, 95)))
            yield (
                f"{strategy}: a pair is worth {middle} independent volumes (median; 90 % of pairs "
                f"from {low} to {high}), given the autocorrelation of both series."
            )


def controls_table(run: Run) -> Table | None:
    """Pairs that correlate and should not, a row for every seed set and strategy."""
    sets = [(seeds, s) for seeds in run.sets for s in run.strategies]
    known = [(seeds, s) for seeds, s in sets if s in seeds.files.controls_paths]
    tables = [seeds.files.controls(s) for seeds, s in known]

    def shares(label: str, control: str, column: str = "significant") -> TableColumn:
        values = [float(table[column][control]) for table in tables]
        return Column(label, unit="% of pairs"), [percent_cell(value) for value in values]

    if not known:
        return None
    similarity = [table["similarity"]["mirrored"] for table in tables]
    return table_of(
        "Negative controls: pairs of series that correlate with p < .05.",
        text_column("Strategy", [s for _, s in known]),
        text_column("Seed set", [seeds.title for seeds, _ in known]),
        shares("Surrogates", "surrogate"),
        shares("Surrogates, as if white", "surrogate", "significant_nominal"),
        shares("Fluid", "fluid"),
        shares("Mirrored seeds", "mirrored"),
        number_column("Similarity of mirrored", similarity, 2),
        shares("Seeds", "seeds"),
    )


CONTROLS_IN_WORDS = (
    "By chance 5 % of pairs have p < .05. Surrogates have the spectra of the cleaned series and no "
    "relation: more than 5 % mean that degrees of freedom are too many. More than 5 % of the pairs "
    "of a seed and a sphere in fluid are signals without neurons that the strategy left. "
    "Similarity: correlation of the matrix of mirrored seeds with that of the seeds."
)


def regressor_block(run: Run) -> tuple[Block | None, dict[str, tuple[str, ...]]]:
    """Correlations of regressors over the kept volumes, None where no strategy has two of them.

    Also the names of the rows of each matrix by the identifier of their list in the page.
    """
    graphics, names = [], {}
    for i, strategy in enumerate(run.strategies):
        if strategy not in run.files.designs:
            continue
        table = run.files.design(strategy)
        columns = tuple(map(str, table.columns))
        if len(columns) < 2:
            continue
        values = table.to_numpy(dtype=np.float64, na_value=np.nan)
        if strategy in run.files.outliers:
            kept = run.files.kept(strategy)
            values = values[kept] if len(kept) == len(values) else values
        matrix = correlations(values)
        words = f"{count(len(columns), 'regressor')} of {strategy} over the kept volumes."
        if strongest := _strongest(matrix, columns):
            words += " The strongest correlation, {}, is between {}.".format(*strongest)
        if flat := int(np.isnan(np.diag(matrix)).sum()):
            words += f" {count(flat, 'regressor')} without variation (grey)."
        beside = Beside(_kinds(columns)) if len(columns) > 12 else Beside((), columns)
        key = f"{run.anchor}-design-{i}"
        drawn = matrix_graphic(matrix, 1.0, beside, words, strategy=strategy, row_names=key)
        graphics.append(drawn)
        names[key] = columns
    block = Block("Correlation of regressors", tuple(graphics), columns=2) if graphics else None
    return block, names


def _kinds(columns: Sequence[str]) -> tuple[Group, ...]:
    """Neighbours of one kind of regressors."""
    kinds = (next((k for start, k in _KINDS if c.startswith(start)), c) for c in columns)
    groups: list[Group] = []
    for kind, members in groupby(kinds):
        start = groups[-1].stop if groups else 0
        groups.append(Group(kind, start, start + len(list(members))))
    return tuple(groups)


def correlations(values: FloatArray) -> FloatArray:
    """Pearson's r of columns, (R, R); NaN for columns without variation."""
    if len(values) < 3:
        return np.full((values.shape[1],) * 2, np.nan)
    centred = values - values.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    # Rounding leaves something of a constant column.
    flat = norms <= 1e-12 * np.linalg.norm(values, axis=0)
    scaled = centred / np.where(flat, np.nan, norms)
    return np.asarray(scaled.T @ scaled)
