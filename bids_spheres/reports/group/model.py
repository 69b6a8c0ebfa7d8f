"""The model of participants' variables: who is in it, and which pairs go with which term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.group.connectivity import (
    SIGNIFICANT,
    above_and_below,
    beside,
    names_id,
)
from bids_spheres.reports.toolkit.matrices import Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Cell, Column, Graphic, Table, matrix_graphic
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Condition, Level, Result

    FloatArray = NDArray[np.float64]

INTERCEPT = "Intercept"
"""How formulas call the constant term, which is seldom what one asks for."""

_MOST_TERMS = 4
"""Terms of which matrices are shown."""

_STRONGEST = 15
"""Pairs of each term and strategy in the table."""


@dataclass(frozen=True, eq=False)
class ModelView:
    """What the page shows of the models of one condition.

    Parameters
    ----------
    anchor, title, short : str
    strategies : tuple of str
    sentences : tuple of str
    terms, strongest : Table
    blocks : tuple of Block
    """

    anchor: str
    title: str
    short: str
    strategies: tuple[str, ...]
    sentences: tuple[str, ...]
    terms: Table
    blocks: tuple[Block, ...]
    strongest: Table

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.short


@dataclass(frozen=True, eq=False)
class Term:
    """One term after one strategy.

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
        """A column as a matrix of the seeds in the order in which they are shown."""
        edges = self.table[column].to_numpy(np.float64)
        return self.result.ordered(self.result.square(edges))

    @property
    def q(self) -> FloatArray:
        """Of all pairs."""
        return self.table["q"].to_numpy(np.float64)


def model_views(level: Level, shown: Collection[str]) -> Iterator[ModelView]:
    """Every condition with a model of which a group is shown."""
    for one in level.conditions:
        results = [r for r in one.results if r.has_model and r.anchor in shown]
        if results:
            yield _view(one, results)


def _view(one: Condition, results: Sequence[Result]) -> ModelView:
    terms = [term for result in results for term in _terms(result)]
    return ModelView(
        f"model-{one.anchor}",
        one.title,
        one.short,
        tuple(result.strategy for result in results),
        tuple(_sentences(results)),
        Table(
            "Terms, and how many pairs go with each.", _TERM_COLUMNS, tuple(map(_term_row, terms))
        ),
        tuple(_blocks(terms)),
        _strongest(terms),
    )


def _terms(result: Result) -> Iterator[Term]:
    table = result.model
    if table is None:
        return
    for name, own in table.groupby("term", sort=False):
        yield Term(result, str(name), own)


def _sentences(results: Sequence[Result]) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for result in results:
        about = result.model_about
        n = int(about.get("NumberOfParticipantsInModel") or 0)
        left_out = about.get("LeftOut")
        gone = left_out if isinstance(left_out, dict) else {}
        who = [f"{label} ({reason})" for label, reason in gone.items()]
        more = f"; left out: {listing(who, 10)}" if who else ""
        told.setdefault(f"{count(n, 'participant')}{more}", []).append(result.strategy)
    yield f"Model: {results[0].model_about.get('Model')}"
    for text, strategies in told.items():
        yield f"{listing(strategies, 16)}: {text}."


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


def _term_row(term: Term) -> tuple[Cell, ...]:
    table, q = term.table, term.q
    known, found = np.isfinite(q), q < SIGNIFICANT
    sign = np.sign(table["coefficient"].to_numpy(np.float64))
    p = table["p"].to_numpy(np.float64)
    share = 100 * float((p[known] < SIGNIFICANT).mean()) if known.any() else np.nan
    least = float(np.min(q[known])) if known.any() else np.nan
    return (
        Cell(term.name),
        Cell(term.result.strategy),
        *(Cell(str(int(n))) for n in (known.sum(), found.sum())),
        *(Cell(str(int((found & (sign == s)).sum()))) for s in (1, -1)),
        _number(share, 1),
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


def _strongest(terms: Sequence[Term]) -> Table:
    rows = [row for term in _asked_for(terms) for row in _strongest_rows(term)]
    caption = f"The {_STRONGEST} pairs with the least p of each term after each strategy."
    return Table(caption, _STRONGEST_COLUMNS, tuple(rows))


def _asked_for(terms: Sequence[Term]) -> list[Term]:
    """Without the constant term, unless it is all there is."""
    return [term for term in terms if term.name != INTERCEPT] or list(terms)


def _strongest_rows(term: Term) -> Iterator[tuple[Cell, ...]]:
    networks = dict(zip(term.result.image.names, term.result.image.networks, strict=True))
    table = term.table
    # By p and not by t: pairs that few participants have need a larger t.
    order = np.argsort(np.nan_to_num(table["p"].to_numpy(np.float64), nan=2.0), kind="stable")
    for row in table.iloc[order[:_STRONGEST]].to_dict("records"):
        if not np.isfinite(row["t"]):
            continue
        first, second = str(row["node_1"]), str(row["node_2"])
        own = dict.fromkeys(networks.get(name, "n/a") for name in (first, second))
        yield (
            Cell(f"{first} \N{EN DASH} {second}"),
            Cell(" \N{EN DASH} ".join(own)),
            Cell(term.name),
            Cell(term.result.strategy),
            _number(row["coefficient"], 4),
            _number(row["standard_error"], 4),
            _number(row["t"], 2),
            _p(row["p"]),
            _p(row["q"]),
            Cell(str(int(row["n"]))),
        )


def _number(value: float, digits: int) -> Cell:
    if not np.isfinite(value):
        return Cell("n/a", "")
    return Cell(number(float(value), digits), float(f"{value:.6g}"))


def _p(value: float) -> Cell:
    if not np.isfinite(value):
        return Cell("n/a", "")
    text = f"{value:.2g}" if value >= 0.001 else f"{value:.1e}"
    return Cell(text, float(f"{value:.6g}"))


# Matrices


def _blocks(terms: Sequence[Term]) -> Iterator[Block]:
    names = list(dict.fromkeys(term.name for term in _asked_for(terms)))
    for name in names[:_MOST_TERMS]:
        own = [term for term in terms if term.name == name]
        yield Block(
            f"t of {name}",
            tuple(_matrices(own)),
            (f"Above the diagonal are all pairs, below it those with q < {SIGNIFICANT:g}.",),
            columns=2,
        )


def _matrices(terms: Sequence[Term]) -> Iterator[Graphic]:
    squares = [term.square("t") for term in terms]
    limit = colour_limit(squares)
    for term, t in zip(terms, squares, strict=True):
        q, image = term.square("q"), term.result.image
        words = _words(term)
        layers = (
            Layer("q", q, 3, probability=True),
            Layer("coefficient", term.square("coefficient"), 3),
        )
        picture = matrix_picture(
            t, limit, beside(image), words, shown=above_and_below(t, q), layers=layers
        )
        yield matrix_graphic(picture, words, term.result.strategy, names_id(image))


def _words(term: Term) -> str:
    found = int((term.q < SIGNIFICANT).sum())
    t = term.table["t"].to_numpy(np.float64)
    text = f"t of {term.name} after {term.result.strategy}: {count(found, 'pair')} with q < .05"
    if not np.isfinite(t).any():
        return f"{text}."
    best = int(np.nanargmin(term.table["p"].to_numpy(np.float64)))
    row = term.table.iloc[best]
    pair = f"{row['node_1']} \N{EN DASH} {row['node_2']}"
    return f"{text}; least p: {pair}, t = {number(float(t[best]))}."
