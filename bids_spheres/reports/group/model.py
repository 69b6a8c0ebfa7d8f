"""The model of participants' variables: its participants, and the pairs related to each term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.mean_connectivity import SIGNIFICANT, seed_matrix
from bids_spheres.reports.participant.run_warnings import joined
from bids_spheres.reports.toolkit.matrices import Layer, colour_limit
from bids_spheres.reports.toolkit.render import (
    Block,
    Section,
    number_column,
    probability_column,
    table_of,
    text_column,
)
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level, Result
    from bids_spheres.reports.toolkit.render import Table

    FloatArray = NDArray[np.float64]

INTERCEPT = "Intercept"
"""Name of the constant term in formulas."""

_MOST_TERMS = 4
"""Terms with matrices."""

_STRONGEST = 15
"""Pairs of each term and strategy in the table."""

_DASH = " \N{EN DASH} "


@dataclass(frozen=True, eq=False)
class Term:
    """A term of the model after one strategy; its table has a row per pair."""

    result: Result
    name: str
    table: pd.DataFrame

    def values(self, column: str) -> FloatArray:
        """A column of the table."""
        return self.table[column].to_numpy(np.float64)

    def square(self, column: str) -> FloatArray:
        """A column as a matrix."""
        return self.result.square(self.values(column))


def model_sections(level: Level, shown: Collection[str]) -> Iterator[Section]:
    """Every condition with a model of which a group is shown."""
    for condition in level.conditions:
        results = [r for r in condition.results if "model" in r.whats and r.anchor in shown]
        if not results:
            continue
        terms = [
            Term(result, str(name), own)
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
        selected = [term for term in terms if term.name != INTERCEPT] or terms
        yield Section(
            f"model-{condition.anchor}",
            condition.title,
            condition.short,
            tuple(result.strategy for result in results),
            (f"Model: {results[0].model_about.get('Model')}", *joined(participants, 16)),
            blocks=tuple(_blocks(selected)),
            tables=(_terms_table(terms), _strongest_table(selected)),
        )


# Tables


def _terms_table(terms: Sequence[Term]) -> Table:
    known = [term.values("q")[np.isfinite(term.values("q"))] for term in terms]
    signs = [np.sign(term.values("coefficient"))[term.values("q") < SIGNIFICANT] for term in terms]
    shares = [
        100 * float((term.values("p") < SIGNIFICANT).sum() / len(q)) if len(q) else np.nan
        for term, q in zip(terms, known, strict=True)
    ]
    return table_of(
        "Terms, and the number of pairs related to each.",
        text_column("Term", [term.name for term in terms]),
        text_column("Strategy", [term.result.strategy for term in terms]),
        number_column("Tested", map(len, known), 0, "pairs"),
        number_column("q < .05", map(len, signs), 0, "pairs"),
        number_column("Positive", [int((own == 1).sum()) for own in signs], 0, "of these"),
        number_column("Negative", [int((own == -1).sum()) for own in signs], 0, "of these"),
        number_column("p < .05", shares, 1, "% of pairs"),
        probability_column("Least q", [float(q.min()) if len(q) else np.nan for q in known]),
    )


def _strongest_table(terms: Sequence[Term]) -> Table:
    rows = []
    for term in terms:
        networks = dict(zip(term.result.image.names, term.result.image.networks, strict=True))
        # By p and not by t: pairs that few participants have need a larger t.
        best = term.table[np.isfinite(term.values("t"))].sort_values("p", kind="stable")
        for row in best[:_STRONGEST].to_dict("records"):
            ends = str(row["node_1"]), str(row["node_2"])
            between = dict.fromkeys(networks.get(end, "n/a") for end in ends)
            rows.append((row, _DASH.join(ends), _DASH.join(between), term))
    records = [row for row, *_ in rows]
    return table_of(
        f"The {_STRONGEST} pairs with the least p of each term after each strategy.",
        text_column("Pair", [pair for _, pair, _, _ in rows]),
        text_column("Networks", [networks for _, _, networks, _ in rows]),
        text_column("Term", [term.name for *_, term in rows]),
        text_column("Strategy", [term.result.strategy for *_, term in rows]),
        number_column("Coefficient", [row["coefficient"] for row in records], 4),
        number_column("Std. error", [row["standard_error"] for row in records], 4),
        number_column("t", [row["t"] for row in records], 2),
        probability_column("p", [row["p"] for row in records]),
        probability_column("q", [row["q"] for row in records]),
        number_column("Participants", [row["n"] for row in records]),
        file="group/*_model.tsv",
    )


# Matrices


def _blocks(terms: Sequence[Term]) -> Iterator[Block]:
    """Matrices of t, a block for each term."""
    note = f"Above the diagonal are all pairs, below it those with q < {SIGNIFICANT:g}."
    for name in list(dict.fromkeys(term.name for term in terms))[:_MOST_TERMS]:
        own, graphics = [term for term in terms if term.name == name], []
        limit = colour_limit([term.square("t") for term in own])
        for term in own:
            significant = count(int((term.values("q") < SIGNIFICANT).sum()), "pair")
            words = f"t of {term.name} after {term.result.strategy}: {significant} with q < .05"
            if np.isfinite(term.values("t")).any():
                row = term.table.iloc[int(np.nanargmin(term.values("p")))]
                pair = f"{row['node_1']}{_DASH}{row['node_2']}"
                words += f"; least p: {pair}, t = {number(float(row['t']))}"
            layers = [Layer("coefficient", term.square("coefficient"), 3)]
            q, t = term.square("q"), term.square("t")
            graphics.append(seed_matrix(term.result, t, q, f"{words}.", limit=limit, layers=layers))
        yield Block(f"t of {name}", tuple(graphics), (note,), columns=2)
