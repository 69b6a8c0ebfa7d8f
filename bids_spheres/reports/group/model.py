"""The model of participants' variables: its participants, and the pairs related to each term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.mean_connectivity import (
    SIGNIFICANT,
    above_and_below,
    beside,
    names_id,
)
from bids_spheres.reports.participant.run_warnings import joined
from bids_spheres.reports.toolkit.matrices import Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import (
    Block,
    Cell,
    Column,
    Section,
    Table,
    matrix_graphic,
    number_cell,
)
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level, Result

    FloatArray = NDArray[np.float64]

INTERCEPT = "Intercept"
"""Name of the constant term in formulas."""

_MOST_TERMS = 4
"""Terms with matrices."""

_STRONGEST = 15
"""Pairs of each term and strategy in the table."""


@dataclass(frozen=True, eq=False)
class Term:
    """A term of the model after one strategy.

    Parameters
    ----------
    result : Result
    name : str
    table : DataFrame
        A row per pair.
    """

    result: Result
    name: str
    table: pd.DataFrame

    def square(self, column: str) -> FloatArray:
        """A column as a matrix, seeds in the order in which they are shown."""
        edges = self.table[column].to_numpy(np.float64)
        return self.result.ordered(self.result.square(edges))

    @property
    def q(self) -> FloatArray:
        """Corrected p of all pairs."""
        return self.table["q"].to_numpy(np.float64)


def model_sections(level: Level, shown: Collection[str]) -> Iterator[Section]:
    """Every condition with a model of which a group is shown."""
    for condition in level.conditions:
        results = [r for r in condition.results if r.has_model and r.anchor in shown]
        if not results:
            continue
        terms = [
            Term(result, str(name), own)
            for result in results
            if result.model is not None
            for name, own in result.model.groupby("term", sort=False)
        ]
        participants = []
        for result in results:
            about = result.model_about
            text = count(int(about.get("NumberOfParticipantsInModel") or 0), "participant")
            left_out = about.get("LeftOut")
            if isinstance(left_out, dict) and left_out:
                labels = [f"{label} ({reason})" for label, reason in left_out.items()]
                text += f"; left out: {listing(labels, 10)}"
            participants.append((f"{text}.", result.strategy))
        # The constant term is seldom what a model is for.
        selected = [term for term in terms if term.name != INTERCEPT] or terms
        rows = tuple(map(_count_pairs, terms))
        strongest = tuple(row for term in selected for row in _strongest_pairs(term))
        caption = f"The {_STRONGEST} pairs with the least p of each term after each strategy."
        yield Section(
            f"model-{condition.anchor}",
            condition.title,
            condition.short,
            tuple(result.strategy for result in results),
            (f"Model: {results[0].model_about.get('Model')}", *joined(participants, 16)),
            blocks=tuple(_blocks(terms, [term.name for term in selected])),
            tables=(
                Table("Terms, and the number of pairs related to each.", _TERM_COLUMNS, rows),
                Table(caption, _STRONGEST_COLUMNS, strongest),
            ),
        )


# Tables

_TERM_COLUMNS = (
    Column("Term", numeric=False),
    Column("Strategy", numeric=False),
    Column("Tested", unit="pairs"),
    Column("q < .05", unit="pairs"),
    Column("Positive", unit="of these"),
    Column("Negative", unit="of these"),
    Column("p < .05", unit="% of pairs"),
    Column("Least q"),
)


def _count_pairs(term: Term) -> tuple[Cell, ...]:
    """Row of the table of terms."""
    table, q = term.table, term.q
    known, significant = np.isfinite(q), q < SIGNIFICANT
    sign = np.sign(table["coefficient"].to_numpy(np.float64))
    p = table["p"].to_numpy(np.float64)
    share = 100 * float((p[known] < SIGNIFICANT).mean()) if known.any() else np.nan
    least = float(np.min(q[known])) if known.any() else np.nan
    counts = known, significant, significant & (sign == 1), significant & (sign == -1)
    return (
        Cell(term.name),
        Cell(term.result.strategy),
        *(Cell(str(int(flags.sum()))) for flags in counts),
        number_cell(share, 1),
        _p(least),
    )


_STRONGEST_COLUMNS = (
    Column("Pair", numeric=False),
    Column("Networks", numeric=False),
    Column("Term", numeric=False),
    Column("Strategy", numeric=False),
    Column("Coefficient"),
    Column("Std. error"),
    Column("t"),
    Column("p"),
    Column("q"),
    Column("Participants"),
)


def _strongest_pairs(term: Term) -> Iterator[tuple[Cell, ...]]:
    networks = dict(zip(term.result.image.names, term.result.image.networks, strict=True))
    table = term.table
    # By p and not by t: pairs that few participants have need a larger t.
    order = np.argsort(np.nan_to_num(table["p"].to_numpy(np.float64), nan=2.0), kind="stable")
    for row in table.iloc[order[:_STRONGEST]].to_dict("records"):
        if not np.isfinite(row["t"]):
            continue
        ends = str(row["node_1"]), str(row["node_2"])
        yield (
            Cell(" \N{EN DASH} ".join(ends)),
            Cell(" \N{EN DASH} ".join(dict.fromkeys(networks.get(end, "n/a") for end in ends))),
            Cell(term.name),
            Cell(term.result.strategy),
            number_cell(row["coefficient"], 4),
            number_cell(row["standard_error"], 4),
            number_cell(row["t"], 2),
            _p(row["p"]),
            _p(row["q"]),
            Cell(str(int(row["n"]))),
        )


def _p(value: float) -> Cell:
    if not np.isfinite(value):
        return Cell("n/a", "")
    text = f"{value:.2g}" if value >= 0.001 else f"{value:.1e}"
    return Cell(text, float(f"{value:.6g}"))


# Matrices


def _blocks(terms: Sequence[Term], selected: Sequence[str]) -> Iterator[Block]:
    """Matrices of t of the terms with these names."""
    note = f"Above the diagonal are all pairs, below it those with q < {SIGNIFICANT:g}."
    for name in list(dict.fromkeys(selected))[:_MOST_TERMS]:
        own, graphics = [term for term in terms if term.name == name], []
        squares = [term.square("t") for term in own]
        limit = colour_limit(squares)
        for term, square in zip(own, squares, strict=True):
            q, image, strategy = term.square("q"), term.result.image, term.result.strategy
            significant = count(int((term.q < SIGNIFICANT).sum()), "pair")
            words = f"t of {term.name} after {strategy}: {significant} with q < .05"
            t = term.table["t"].to_numpy(np.float64)
            if np.isfinite(t).any():
                best = int(np.nanargmin(term.table["p"].to_numpy(np.float64)))
                row = term.table.iloc[best]
                pair = f"{row['node_1']} \N{EN DASH} {row['node_2']}"
                words += f"; least p: {pair}, t = {number(float(t[best]))}"
            words += "."
            layers = (
                Layer("q", q, 3, probability=True),
                Layer("coefficient", term.square("coefficient"), 3),
            )
            coloured = above_and_below(square, q)
            picture = matrix_picture(
                square, limit, beside(image), words, shown=coloured, layers=layers
            )
            graphics.append(matrix_graphic(picture, words, strategy, names_id(image)))
        yield Block(f"t of {name}", tuple(graphics), (note,), columns=2)
