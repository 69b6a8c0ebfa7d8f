"""Means within and between networks, with their confidence intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Axis,
    Frame,
    Key,
    Label,
    Mark,
    axis,
    chart_of,
    circles,
    series_style,
    shorten,
)
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import Block, Cell, Column, Graphic, Table, matrix_graphic
from bids_spheres.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Condition, Image, Level, Result

    FloatArray = NDArray[np.float64]

_LEFT, _TOP, _BETWEEN, _LINE, _DOT = 150, 8, 8, 9, 3.2  # pixels


def networks_id(image: Image) -> str:
    """Identifier of the page's list of networks of an image's seeds."""
    return f"{image.anchor}-networks"


def network_names(results: Sequence[Result]) -> tuple[str, ...]:
    """Networks, in the order in which matrices show them."""
    known = {
        name
        for result in results
        if result.networks is not None
        for column in ("network_1", "network_2")
        for name in result.networks[column]
    }
    if not results:
        return ()
    return tuple(g.name for g in results[0].image.order.groups if g.name in known)


def network_blocks(level: Level, one: Condition, results: Sequence[Result]) -> Iterator[Block]:
    """Matrices of networks, and means within each; nothing without networks."""
    own = [result for result in results if result.networks is not None and len(result.networks)]
    names = network_names(own)
    if not names:
        return
    yield Block("Networks", tuple(_matrices(one, own, names)), columns=2)
    chart = _within(level, one, own, names)
    if chart is not None:
        yield Block("Within networks", (chart,))


# Matrices


def network_matrix(table: pd.DataFrame, names: Sequence[str], column: str) -> FloatArray:
    """One column of the table of networks as a symmetric matrix; NaN where there are no pairs."""
    place = {name: i for i, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    for first, second, value in zip(
        table["network_1"], table["network_2"], table[column], strict=True
    ):
        i, j = place[first], place[second]
        matrix[i, j] = matrix[j, i] = value
    return matrix


def _matrices(one: Condition, results: Sequence[Result], names: Sequence[str]) -> Iterator[Graphic]:
    tables = [result.networks for result in results]
    means = [network_matrix(table, names, "mean") for table in tables if table is not None]
    limit = _limit(means)
    for result, mean in zip(results, means, strict=True):
        table = result.networks
        assert table is not None  # noqa: S101 - those without are left out
        words = _words(one, result, mean, names)
        layers = (
            Layer("95 % interval from", network_matrix(table, names, "ci_low")),
            Layer("to", network_matrix(table, names, "ci_high")),
            Layer("N", network_matrix(table, names, "n"), 0),
        )
        picture = matrix_picture(mean, limit, Beside((), tuple(names)), words, layers=layers)
        yield matrix_graphic(picture, words, result.strategy, networks_id(result.image))


def _limit(means: Sequence[FloatArray]) -> float:
    """Value of the strongest colour; of networks the diagonal counts as well."""
    return colour_limit([np.block([[mean, mean], [mean, mean]]) for mean in means])


def _words(one: Condition, result: Result, mean: FloatArray, names: Sequence[str]) -> str:
    within = np.diag(mean)
    known = np.flatnonzero(np.isfinite(within))
    text = f"Mean {one.symbol} within and between networks after {result.strategy}"
    if not known.size:
        return f"{text}."
    best = known[np.argmax(within[known])]
    off = mean[~np.eye(len(mean), dtype=bool)]
    between = (
        f", between networks {number(float(np.nanmean(off)))}" if np.isfinite(off).any() else ""
    )
    return (
        f"{text}: within {number(float(within[known].mean()))} on average{between}; most within "
        f"{names[best]} ({number(float(within[best]))})."
    )


# Within networks, strategies side by side


def _within(
    level: Level, one: Condition, results: Sequence[Result], names: Sequence[str]
) -> Graphic | None:
    rows = {result.strategy: _own_rows(result, names) for result in results}
    every = np.concatenate(list(rows.values()))
    if not np.isfinite(every).any():
        return None
    band = _BETWEEN + _LINE * len(results)
    x = axis(every, f"Mean {one.symbol} within the network", zero=True, room=0.04, most=7)
    frame = Frame(_LEFT, _TOP, WIDTH - _LEFT - 10, band * len(names), x, Axis(0, 1))
    grid, ticks = frame.x_marks()
    marks, labels = [*grid], [*ticks]
    for place, name in enumerate(names):
        top = _TOP + place * band
        labels.append(Label(_LEFT - 8, top + band / 2 + 4, shorten(name, 22), "end", "name"))
        marks.append(Mark(f"M{_LEFT},{top:.1f}h{frame.width:.1f}", "grid"))
        for line, result in enumerate(results):
            down = top + _BETWEEN / 2 + _LINE * (line + 0.5)
            style = series_style(level.number_of(result.strategy))
            marks += _whisker(frame, rows[result.strategy][place], down, style, result.strategy)
    words = " ".join(_within_words(strategy, own, names) for strategy, own in rows.items())
    chart = replace(
        chart_of((), WIDTH, int(_TOP + frame.height + 40), words),
        marks=tuple(marks),
        labels=tuple(labels),
    )
    caption = f"Dots are means over participants, lines their 95 % confidence intervals. {words}"
    return Graphic(chart, caption, legend=tuple(_keys(level, results)))


def _own_rows(result: Result, names: Sequence[str]) -> FloatArray:
    """Mean and limits within each network, (networks, 3)."""
    table = result.networks
    assert table is not None  # noqa: S101 - those without are left out
    columns = ("mean", "ci_low", "ci_high")
    return np.stack([np.diag(network_matrix(table, names, c)) for c in columns], axis=1)


def _whisker(
    frame: Frame, values: FloatArray, down: float, style: str, strategy: str
) -> Iterator[Mark]:
    mean, low, high = frame.across(values)
    if np.isfinite([low, high]).all():
        yield Mark(f"M{low:.1f},{down:.1f}H{high:.1f}", f"whisker {style}", strategy)
    if np.isfinite(mean):
        yield Mark(circles(np.array([[mean, down]]), _DOT), f"dot {style}", strategy)


def _within_words(strategy: str, rows: FloatArray, names: Sequence[str]) -> str:
    order = [i for i in np.argsort(-rows[:, 0]) if np.isfinite(rows[i, 0])]
    if not order:
        return ""
    most, least = order[0], order[-1]
    return (
        f"{strategy}: from {number(rows[least, 0])} within {names[least]} to "
        f"{number(rows[most, 0])} within {names[most]}."
    )


def _keys(level: Level, results: Sequence[Result]) -> Iterator[Key]:
    for result in results:
        style = series_style(level.number_of(result.strategy))
        yield Key(f"swatch {style}", result.strategy, result.strategy)


# The table


_TABLE = (
    Column("Strategy", numeric=False),
    Column("Network", numeric=False),
    Column("Other network", numeric=False),
    Column("Pairs"),
    Column("Participants"),
    Column("Mean"),
    Column("From", unit="95 % interval"),
    Column("To", unit="95 % interval"),
)


def network_table(results: Sequence[Result]) -> Table | None:
    """All pairs of networks after all strategies; None without networks."""
    rows = [row for result in results for row in _rows(result)]
    if not rows:
        return None
    return Table("Means within and between networks.", _TABLE, tuple(rows), head=1)


def _rows(result: Result) -> Iterator[tuple[Cell, ...]]:
    if result.networks is None:
        return
    for row in result.networks.to_dict("records"):
        yield (
            Cell(result.strategy),
            Cell(str(row["network_1"])),
            Cell(str(row["network_2"])),
            Cell(str(int(row["edges"]))),
            Cell(str(int(row["n"]))),
            *(_number(float(row[name])) for name in ("mean", "ci_low", "ci_high")),
        )


def _number(value: float) -> Cell:
    return Cell(number(value, 3), float(f"{value:.6g}")) if np.isfinite(value) else Cell("n/a", "")
