"""Matrices of a run: connectivity after each strategy, and correlations of its regressors."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.connectivity import MEASURES
from bids_spheres.files.atomic import MISSING
from bids_spheres.outputs.paths import EFFECTIVE_DOF, PEARSON, PLACEMENT_MEAN, PLACEMENT_SD
from bids_spheres.reports.toolkit import matrices, render
from bids_spheres.reports.toolkit.charts import Group
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import known_pairs, pairs
from bids_spheres.reports.toolkit.render import Block
from bids_spheres.wording import coefficient, count, listing, naming, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.outputs.sidecars import Sidecar
    from bids_spheres.reports.participant.load import Run, SeedSet
    from bids_spheres.reports.toolkit.connectome import Stage

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

_MOST_PLACED = 10  # Pairs of each strategy in the table of those that depend on placement


def relation_blocks(seeds: SeedSet, styles: Mapping[str, str], stage: Stage) -> Iterator[Block]:
    """Matrices, connectomes and distributions of each measure."""
    if seeds.spheres is None:
        return
    names_of_measures = {measure.stat: measure.title for measure in MEASURES}
    for stat in seeds.files.measures:
        title = names_of_measures.get(stat, stat)
        written = [s for s in styles if (stat, s) in seeds.files.matrix_paths]
        read = {s: seeds.files.matrix(s, stat).values for s in written}
        known = {s: matrix for s, matrix in read.items() if known_pairs(matrix).size}
        if not known:
            continue
        yield Block(title, tuple(_matrices(seeds, seeds.spheres, title, known)), columns=2)
        strongest = (stage.strongest_pairs(matrix, s) for s, matrix in known.items())
        yield Block(f"Strongest pairs: {title}", tuple(strongest))
        samples = [Sample(s, pairs(matrix), styles[s], s) for s, matrix in known.items()]
        notes = []
        for strategy in known if stat == PEARSON else ():
            # How many independent volumes a pair is worth, where this was written.
            if (EFFECTIVE_DOF, strategy) not in seeds.files.matrix_paths:
                continue
            own = known_pairs(seeds.files.matrix(strategy, EFFECTIVE_DOF).values)
            if own.size:
                low, middle, high = (number(float(q), 0) for q in np.percentile(own, (5, 50, 95)))
                notes.append(
                    f"{strategy}: a pair is worth {middle} independent volumes (median; 90 % of "
                    f"pairs from {low} to {high}), given the autocorrelation of both series."
                )
        label, points = "r" if stat == PEARSON else title, seeds.spheres.coordinates
        yield distribution_block(f"Distribution: {title}", label, samples, points, notes)
    if any((PLACEMENT_SD, strategy) in seeds.files.matrix_paths for strategy in styles):
        yield _placement_block(seeds, styles)


def _matrices(
    seeds: SeedSet, spheres: Spheres, title: str, known: Mapping[str, FloatArray]
) -> Iterator[render.Graphic]:
    limit, rows = matrices.colour_limit([*known.values()]), f"{seeds.anchor}-names"
    networks = np.array(spheres.networks)
    first, second = (networks[ends] for ends in np.triu_indices(len(networks), 1))
    joined = (first != MISSING) & (second != MISSING)
    kinds = joined & (first == second), joined & (first != second)
    for strategy, matrix in known.items():
        median = float(np.median(known_pairs(matrix)))
        words = f"{title} after {strategy}: median {coefficient(median)}"
        if strongest := _strongest(matrix, spheres.names):
            words += ", strongest {} between {}".format(*strongest)
        if missing := int((~np.isfinite(matrix)).all(axis=0).sum()):
            words += f"; {count(missing, spheres.noun)} without a series (grey)"
        words += "."
        values = pairs(matrix)
        parts = [values[kind & np.isfinite(values)] for kind in kinds]
        if all(part.size for part in parts):
            within, between = (number(float(part.mean())) for part in parts)
            words += f" Mean within networks {within}, between networks {between}."
        about: dict[str, Any] = {"limit": limit, "strategy": strategy, "row_names": rows}
        yield matrices.seed_matrix(matrix, seeds.order, spheres.names, words, **about)


def _strongest(matrix: FloatArray, names: Sequence[str]) -> tuple[str, str] | None:
    """The strongest value of a pair, and the names of its ends."""
    edges = strongest_edges(matrix, 1)
    if not len(edges.values):
        return None
    return coefficient(float(edges.values[0])), naming([names[i] for i in edges.pairs[0]])


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
    table = render.table_of(
        f"Pairs that depend most on placement, at most {_MOST_PLACED} for each strategy.",
        render.text_column("Sphere", first),
        render.text_column("Sphere", second),
        render.text_column("Strategy", strategies),
        render.number_column("Mean", r, 3, "r"),
        render.number_column("SD", sds, 3, "z"),
    )
    return Block("Placement of spheres", notes=(words,), table=(f"{seeds.anchor}-placement", table))


def controls_table(run: Run) -> render.Table | None:
    """Pairs that correlate and should not, a row for every seed set and strategy."""
    sets = [(seeds, s) for seeds in run.sets for s in run.strategies]
    known = [(seeds, s) for seeds, s in sets if s in seeds.files.controls_paths]
    tables = [seeds.files.controls(s) for seeds, s in known]

    def shares(label: str, control: str, column: str = "significant") -> render.TableColumn:
        cells = [render.percent_cell(float(table[column][control])) for table in tables]
        return render.Column(label, unit="% of pairs"), cells

    if not known:
        return None
    similarity = [table["similarity"]["mirrored"] for table in tables]
    return render.table_of(
        "Negative controls: pairs of series that correlate with p < .05.",
        render.text_column("Strategy", [s for _, s in known]),
        render.text_column("Seed set", [seeds.title for seeds, _ in known]),
        shares("Surrogates", "surrogate"),
        shares("Surrogates, as if white", "surrogate", "significant_nominal"),
        shares("Fluid", "fluid"),
        shares("Mirrored seeds", "mirrored"),
        render.number_column("Similarity of mirrored", similarity, 2),
        shares("Seeds", "seeds"),
    )


CONTROLS_IN_WORDS = (
    "By chance 5 % of pairs have p < .05. Surrogates have the spectra of the cleaned series and no "
    "relation: more than 5 % mean that degrees of freedom are too many. More than 5 % of the pairs "
    "of a seed and a sphere in fluid are signals without neurons that the strategy left. "
    "Similarity: correlation of the matrix of mirrored seeds with that of the seeds."
)


def regressor_block(run: Run) -> tuple[Block | None, dict[str, tuple[str, ...]]]:
    """Correlations of regressors over the kept volumes, if any, and the names of their rows."""
    graphics, names = [], {}
    for i, strategy in enumerate(run.strategies):
        if strategy not in run.files.designs:
            continue
        table = run.files.design(strategy)
        columns = tuple(map(str, table.columns))
        if len(columns) < 2:
            continue
        if strategy in run.files.outliers:
            kept = run.files.kept(strategy)
            table = table[kept] if len(kept) == len(table) else table
        matrix = table.corr(min_periods=3).to_numpy(np.float64)
        words = f"{count(len(columns), 'regressor')} of {strategy} over the kept volumes."
        if strongest := _strongest(matrix, columns):
            words += " The strongest correlation, {}, is between {}.".format(*strongest)
        if flat := int(np.isnan(np.diag(matrix)).sum()):
            words += f" {count(flat, 'regressor')} without variation (grey)."
        kinds = [next((k for start, k in _KINDS if c.startswith(start)), c) for c in columns]
        groups: list[Group] = []
        for kind, members in groupby(kinds):
            start = groups[-1].stop if groups else 0
            groups.append(Group(kind, start, start + len([*members])))
        many, key = len(columns) > 12, f"{run.anchor}-design-{i}"
        beside = matrices.Beside(tuple(groups) if many else (), () if many else columns)
        about = 1.0, beside, words
        graphic = matrices.matrix_graphic(matrix, *about, strategy=strategy, row_names=key)
        graphics.append(graphic)
        names[key] = columns
    block = Block("Correlation of regressors", tuple(graphics), columns=2) if graphics else None
    return block, names
