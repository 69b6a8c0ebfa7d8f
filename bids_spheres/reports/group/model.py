"""The model of participants' variables: its participants, and the pairs related to each term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.contrasts import DASH, Tested, statistic_blocks
from bids_spheres.reports.group.mean_connectivity import SIGNIFICANT
from bids_spheres.reports.participant.run_warnings import joined
from bids_spheres.reports.toolkit.render import (
    Section,
    number_column,
    probability_column,
    table_of,
    text_column,
)
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from bids_spheres.reports.group.load import Level
    from bids_spheres.reports.toolkit.render import Table

INTERCEPT = "Intercept"
"""Name of the constant term in formulas."""

_MOST_TERMS = 4
"""Terms with matrices."""

_STRONGEST = 15
"""Pairs of each term and strategy in the table."""


def model_sections(level: Level, shown: Collection[str]) -> Iterator[Section]:
    """Every condition with a model of which a group is shown."""
    for condition in level.conditions:
        results = [r for r in condition.results if "model" in r.whats and r.anchor in shown]
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
        selected = [term for term in terms if term.name != INTERCEPT] or terms
        names = list(dict.fromkeys(term.name for term in selected))
        yield Section(
            f"model-{condition.anchor}",
            condition.title,
            condition.short,
            tuple(result.strategy for result in results),
            (f"Model: {results[0].model_about.get('Model')}", *joined(participants, 16)),
            blocks=tuple(
                block
                for name in names[:_MOST_TERMS]
                for block in statistic_blocks([term for term in selected if term.name == name])
            ),
            tables=(_terms_table(terms), _strongest_table(selected)),
        )


# Tables


def _terms_table(terms: Sequence[Tested]) -> Table:
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


def _strongest_table(terms: Sequence[Tested]) -> Table:
    rows = []
    for term in terms:
        networks = dict(zip(term.result.image.names, term.result.image.networks, strict=True))
        # By p and not by t: pairs that few participants have need a larger t.
        best = term.table[np.isfinite(term.values("t"))].sort_values("p", kind="stable")
        for row in best[:_STRONGEST].to_dict("records"):
            ends = str(row["node_1"]), str(row["node_2"])
            between = dict.fromkeys(networks.get(end, "n/a") for end in ends)
            rows.append((row, DASH.join(ends), DASH.join(between), term))
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
