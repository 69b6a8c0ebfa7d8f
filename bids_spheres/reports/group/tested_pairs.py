"""Pairs that are related to a term of the model, or that a contrast tests by permutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.outputs.paths import of_contrast
from bids_spheres.reports.toolkit import render
from bids_spheres.reports.toolkit.connectome import Edges
from bids_spheres.reports.toolkit.matrices import SIGNIFICANT, Layer, colour_limit
from bids_spheres.wording import after_names, count, listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import BoolArray
    from bids_spheres.outputs.find import GroupFiles
    from bids_spheres.reports.group.load import FloatArray, Level, Result
    from bids_spheres.reports.toolkit.connectome import Stage

CORRECTIONS = {
    "q": ("q", "q, by the false discovery rate"),
    "p_maxt": ("max-T p", "family-wise p, by the largest statistic of all pairs (max-T)"),
    "p_tfnbs": ("TFNBS p", "family-wise p, by the threshold-free network-based statistic"),
}
"""Columns of corrected p of every pair with their short and long names; that to show last."""

WHAT_A_COMPONENT_IS = (
    "A component is a set of connected pairs beyond a threshold. Its p belongs to the "
    "whole: how often chance gives so large a component anywhere. No single pair of it is "
    "tested, and none can be named as significant; with another threshold it has other pairs."
)

_INTERCEPT = "Intercept"  # the constant term in formulas
_MOST_TERMS = 4  # with matrices
_STRONGEST = 15  # pairs of each term and strategy in the table
_MOST_NODES = 12
_DASH = " \N{EN DASH} "


@dataclass(frozen=True, eq=False)
class Tested:
    """A contrast or a term after one strategy: its sidecar, and its table with a row per pair."""

    result: Result
    name: str
    about: Mapping[str, object]
    table: pd.DataFrame

    @property
    def symbol(self) -> str:
        """Symbol of the statistic."""
        return "F" if "f" in self.table else "t"

    @property
    def statistic(self) -> FloatArray:
        """T of each pair, or the F of an F test."""
        return self.values(self.symbol.lower())

    def values(self, column: str) -> FloatArray:
        """A column of the table."""
        return self.table[column].to_numpy(np.float64)

    @property
    def corrections(self) -> list[str]:
        """Columns of corrected p that the table has; that to show is last."""
        return [column for column in CORRECTIONS if column in self.table]

    def significant(self, column: str) -> int:
        """Number of pairs with a p in this column below the usual limit."""
        return int((self.values(column) < SIGNIFICANT).sum())

    def edges(self, rows: BoolArray) -> Edges:
        """Pairs in some rows of the table, with their statistic."""
        seeds = pd.Index(self.result.image.names)
        ends = [seeds.get_indexer(pd.Index(self.table.loc[rows, f"node_{i}"])) for i in (1, 2)]
        return Edges(np.stack(ends, axis=1), self.statistic[rows])


def _blocks(
    tests: Sequence[Tested], most: int | None = None, stage: Stage | None = None
) -> Iterator[render.Block]:
    """Matrices and components of each contrast or term, or of the first ones."""
    for name in list(dict.fromkeys(test.name for test in tests))[:most]:
        own = [test for test in tests if test.name == name]
        column, symbol = own[0].corrections[-1], own[0].symbol
        short, long = CORRECTIONS[column]
        chosen = f"with {short} < {SIGNIFICANT:g}"
        graphics = _matrices(own, column, chosen)
        note = f"Above the diagonal are all pairs, below it those {chosen}: {long}."
        yield render.Block(f"{symbol} of {name}", tuple(graphics), (note,), columns=2)
        if "p_nbs_extent" not in own[0].table:
            continue
        chosen = f"components with p < {SIGNIFICANT:g} by extent"
        graphics = _matrices(own, "p_nbs_extent", f"in {chosen}")
        notes = (WHAT_A_COMPONENT_IS, f"Below the diagonal are the pairs of {chosen}.")
        yield render.Block(f"Components of {name}", tuple(graphics), notes, columns=2)
        brains = []
        for test in own:
            pairs, strategy = test.values("p_nbs_extent") < SIGNIFICANT, test.result.strategy
            if stage is not None and pairs.any():
                words = f"{count(int(pairs.sum()), 'pair')} in {chosen} after {strategy}."
                chart = stage.connectome(test.edges(pairs), words)
                brains.append(render.Graphic(chart, words, strategy, strategy))
        if brains:
            yield render.Block(f"Components of {name} in the brain", tuple(brains))


def _matrices(tests: Sequence[Tested], shown: str, label: str) -> Iterator[render.Graphic]:
    """Matrix of the statistic of each test; pairs below the diagonal by the p of one column."""
    limit = colour_limit([test.result.square(test.statistic) for test in tests])
    p_label = CORRECTIONS.get(shown, ("p of the component",))[0]
    for test in tests:
        square, table, p = test.result.square, test.table, test.values("p")
        significant = count(test.significant(shown), "pair")
        words = f"{test.symbol} of {test.name} after {test.result.strategy}: {significant} {label}"
        if np.isfinite(p).any():
            row = table.iloc[int(np.nanargmin(p))]
            value = f"{test.symbol} = {number(float(row[test.symbol.lower()]))}"
            words += f"; least p: {row['node_1']}{_DASH}{row['node_2']}, {value}"
        layers = [
            Layer(CORRECTIONS[other][0], square(test.values(other)), 3, probability=True)
            for other in test.corrections
            if other != shown
        ]
        effects = [effect for effect in ("effect", "coefficient") if effect in table]
        layers += [Layer(effect, square(test.values(effect)), 3) for effect in effects]
        tested = Layer(p_label, square(test.values(shown)), 3, probability=True)
        about = {"limit": limit, "tested": tested, "layers": layers}
        yield test.result.seed_matrix(square(test.statistic), f"{words}.", **about)


def model_sections(level: Level, shown: Collection[str]) -> Iterator[render.Section]:
    """Every condition with a model of which a group is shown."""
    for condition in level.conditions:
        results = [r for r in condition.results if "model" in r.suffixes and r.anchor in shown]
        if not results:
            continue
        terms = [
            Tested(result, str(name), result.model_about, own)
            for result in results
            for name, own in result.table("model").groupby("term", sort=False)
        ]
        participants = []
        for result in results:
            n = result.model_about.get("NumberOfParticipantsInModel")
            text = count(n if isinstance(n, int) else 0, "participant")
            if result.left_out:
                text += f"; left out: {listing(result.left_out, 10)}"
            participants.append((f"{text}.", result.strategy))
        # The constant term is seldom what a model is for.
        selected = [term for term in terms if term.name != _INTERCEPT] or terms
        yield condition.section(
            "model-",
            [result.strategy for result in results],
            (f"Model: {results[0].model_about.get('Model')}", *after_names(participants, 16)),
            blocks=_blocks(selected, _MOST_TERMS),
            tables=(_terms_table(terms), _strongest_table(selected)),
        )


def _terms_table(terms: Sequence[Tested]) -> render.Table:
    known = [term.values("q")[np.isfinite(term.values("q"))] for term in terms]
    signs = [np.sign(term.values("coefficient"))[term.values("q") < SIGNIFICANT] for term in terms]
    shares = [
        100 * term.significant("p") / len(q) if len(q) else np.nan
        for term, q in zip(terms, known, strict=True)
    ]
    return render.table_of(
        "Terms, and the number of pairs related to each.",
        render.text_column("Term", [term.name for term in terms]),
        render.text_column("Strategy", [term.result.strategy for term in terms]),
        render.number_column("Tested", map(len, known), 0, "pairs"),
        render.number_column("q < .05", map(len, signs), 0, "pairs"),
        render.number_column("Positive", [int((own == 1).sum()) for own in signs], 0, "of these"),
        render.number_column("Negative", [int((own == -1).sum()) for own in signs], 0, "of these"),
        render.number_column("p < .05", shares, 1, "% of pairs"),
        render.probability_column("Least q", [float(q.min()) if len(q) else np.nan for q in known]),
    )


def _strongest_table(terms: Sequence[Tested]) -> render.Table:
    tables = []
    for term in terms:
        image = term.result.image
        networks = dict(zip(image.names, image.networks, strict=True))
        # By p and not by t: pairs that few participants have need a larger t.
        best = term.table[np.isfinite(term.values("t"))].sort_values("p", kind="stable")
        best = best[:_STRONGEST].assign(term=term.name, strategy=term.result.strategy)
        ends = list(zip(best["node_1"], best["node_2"], strict=True))
        between = [dict.fromkeys(networks.get(end, "n/a") for end in pair) for pair in ends]
        best["pair"] = [_DASH.join(pair) for pair in ends]
        best["networks"] = [_DASH.join(names) for names in between]
        tables.append(best)
    rows = pd.concat(tables)
    return render.table_of(
        f"The {_STRONGEST} pairs with the least p of each term after each strategy.",
        render.text_column("Pair", rows["pair"]),
        render.text_column("Networks", rows["networks"]),
        render.text_column("Term", rows["term"]),
        render.text_column("Strategy", rows["strategy"]),
        render.number_column("Coefficient", rows["coefficient"], 4),
        render.number_column("Std. error", rows["standard_error"], 4),
        render.number_column("t", rows["t"], 2),
        render.probability_column("p", rows["p"]),
        render.probability_column("q", rows["q"]),
        render.number_column("Participants", rows["n"]),
        file="group/*_model.tsv",
    )


def contrast_sections(
    level: Level, shown: Collection[str], stages: Mapping[str, Stage | None]
) -> Iterator[render.Section]:
    """Every condition with contrasts, other than q of the mean, of which a group is shown."""
    for condition in level.conditions:
        tests = [
            Tested(result, name, about, result.table(of_contrast(name, "edges")))
            for result in condition.results
            if result.anchor in shown
            for name, about in result.contrast_sidecars.items()
            # Without permutations, t and q of the mean are in the section of connectivity.
            if name != "mean" or "Permutations" in about
        ]
        if tests:
            tested = [np.isfinite(test.statistic).sum() for test in tests]
            counts = [
                render.number_column(
                    f"{short} < .05",
                    [test.significant(c) if c in test.table else np.nan for test in tests],
                    unit="pairs",
                )
                for c, (short, _) in CORRECTIONS.items()
                if any(c in test.table for test in tests)
            ]
            table = render.table_of(
                "Contrasts, and the number of pairs with a corrected p < .05.",
                render.text_column("Contrast", [test.name for test in tests]),
                render.text_column("Strategy", [test.result.strategy for test in tests]),
                render.text_column("Tail", [test.about.get("Tail", "n/a") for test in tests]),
                render.number_column("Tested", tested, unit="pairs"),
                *counts,
            )
            yield condition.section(
                "contrasts-",
                [test.result.strategy for test in tests],
                dict.fromkeys(contrast_in_words(test.name, test.about) for test in tests),
                blocks=_blocks(tests, stage=stages.get(condition.image.anchor)),
                tables=(table, *_network_tables(tests)),
            )


def contrast_in_words(name: str, about: Mapping[str, object]) -> str:
    """What was tested, and by which permutations."""
    weights: Any = about.get("Weights") or []
    sums = []
    for row in weights:
        words = ""
        for term, weight in ((term, weight) for term, weight in row.items() if weight):
            factor = "" if abs(weight) == 1 else f"{abs(weight):g} \N{MULTIPLICATION SIGN} "
            sign = "\N{MINUS SIGN}" if weight < 0 else "+"
            words += f" {sign} {factor}{term}"
        sums.append(words.removeprefix(" + ").strip())
    own = listing(sums, 4)
    if (model := about.get("Model")) != "1":
        own += f" of the model {model}"
    elif condition := about.get("Within"):
        own += f" within participants, by {condition}"
    else:
        own = "the mean over participants"
    words = f"Contrast {name}: {own}"
    if (n := about.get("Permutations")) is None:
        return f"{words}."
    every = "all " if about.get("AllPermutations") else ""
    least = about.get("SmallestP")
    smallest = f"; the smallest possible p is {least:.2g}" if isinstance(least, float) else ""
    return f"{words}, tested by {every}{n:,} {about.get('Exchangeability')}{smallest}."


def _network_tables(tests: Sequence[Tested]) -> Iterator[render.Table]:
    """Components, and pairs of networks, where they were tested."""
    if (components := _rows(tests, "nbs")) is not None:
        nodes = [listing(str(own).split(";"), _MOST_NODES) for own in components["nodes"]]
        yield render.table_of(
            "Components of pairs beyond a threshold of t, or of the root of F"
            f"{': none' if components.empty else ', the largest first'}.",
            render.text_column("Contrast", components["contrast"]),
            render.text_column("Strategy", components["strategy"]),
            render.number_column("Threshold", components["threshold"], 2),
            render.number_column("No.", components["component"]),
            render.number_column("Sign", components["sign"]),
            render.number_column("Pairs", components["edges"]),
            render.number_column("Intensity", components["intensity"], 2),
            render.probability_column("p", components["p_extent"], "extent"),
            render.probability_column("p", components["p_intensity"], "intensity"),
            render.number_column("Nodes", components["n_nodes"]),
            render.text_column("Which", nodes),
            file="group/*_nbs.tsv",
        )
    if (networks := _rows(tests, "cnbs")) is not None and len(networks):
        networks = networks.sort_values("p_fwe", kind="stable")
        yield render.table_of(
            "Pairs of networks by the constrained network-based statistic, the least p first.",
            render.text_column("Contrast", networks["contrast"]),
            render.text_column("Strategy", networks["strategy"]),
            render.text_column("Network", networks["network_1"]),
            render.text_column("Other network", networks["network_2"]),
            render.number_column("Pairs", networks["edges"]),
            render.number_column("Mean statistic", networks["mean_statistic"], 2),
            render.probability_column("p", networks["p"], "not corrected"),
            render.probability_column("p", networks["p_fwe"], "family-wise"),
            file="group/*_cnbs.tsv",
        )


def _rows(tests: Sequence[Tested], what: str) -> pd.DataFrame | None:
    """Tables of components or of pairs of networks of all tests; None where none was written."""
    tables = [
        add_contrast(test.result.table(name), test.result, test.name, what)
        for test in tests
        if (name := of_contrast(test.name, what)) in test.result.suffixes
    ]
    return pd.concat(tables) if tables else None


def add_contrast(table: pd.DataFrame, files: GroupFiles, contrast: str, what: str) -> pd.DataFrame:
    """Add contrast, strategy and threshold to the rows of a table of a contrast."""
    threshold = files.sidecar(of_contrast(contrast, what)).get("Threshold")
    return table.assign(contrast=contrast, strategy=files.strategy, threshold=threshold)
