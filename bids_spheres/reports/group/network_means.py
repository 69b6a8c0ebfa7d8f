"""Means within and between networks, with their confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Axis,
    Chart,
    Frame,
    Key,
    Label,
    Mark,
    axis,
    circles,
    series_style,
    shorten,
)
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import (
    Block,
    Cell,
    Column,
    Graphic,
    Table,
    matrix_graphic,
    number_cell,
)
from bids_spheres.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


def network_blocks(
    level: Level, condition: Condition, results: Sequence[Result]
) -> Iterator[Block]:
    """Matrices of networks, and means within each; nothing without networks."""
    tables = {
        result.strategy: result.networks
        for result in results
        if result.networks is not None and len(result.networks)
    }
    own = [result for result in results if result.strategy in tables]
    names = network_names(own)
    if not names:
        return
    yield Block("Networks", tuple(_matrices(condition, own, tables, names)), columns=2)
    columns = ("mean", "ci_low", "ci_high")
    rows = {
        strategy: np.stack([np.diag(network_matrix(table, names, c)) for c in columns], axis=1)
        for strategy, table in tables.items()
    }
    if any(np.isfinite(values).any() for values in rows.values()):
        yield Block("Within networks", (_within(level, condition, rows, names),))


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


def _matrices(
    condition: Condition,
    results: Sequence[Result],
    tables: Mapping[str, pd.DataFrame],
    names: Sequence[str],
) -> Iterator[Graphic]:
    means = {strategy: network_matrix(table, names, "mean") for strategy, table in tables.items()}
    # Tiled, so that the diagonal counts as well.
    limit = colour_limit([np.tile(mean, (2, 2)) for mean in means.values()])
    for result in results:
        table, mean = tables[result.strategy], means[result.strategy]
        words = f"Mean {condition.symbol} within and between networks after {result.strategy}"
        within, between = np.diag(mean), mean[~np.eye(len(mean), dtype=bool)]
        if np.isfinite(within).any():
            words += f": within {number(float(np.nanmean(within)))} on average"
            if np.isfinite(between).any():
                words += f", between networks {number(float(np.nanmean(between)))}"
            best = int(np.nanargmax(within))
            words += f"; most within {names[best]} ({number(float(within[best]))})"
        words += "."
        layers = (
            Layer("95 % interval from", network_matrix(table, names, "ci_low")),
            Layer("to", network_matrix(table, names, "ci_high")),
            Layer("N", network_matrix(table, names, "n"), 0),
        )
        picture = matrix_picture(mean, limit, Beside((), tuple(names)), words, layers=layers)
        yield matrix_graphic(picture, words, result.strategy, networks_id(result.image))


def _within(
    level: Level, condition: Condition, rows: Mapping[str, FloatArray], names: Sequence[str]
) -> Graphic:
    """Means within networks and their intervals, strategies side by side; (networks, 3) each."""
    band = _BETWEEN + _LINE * len(rows)
    label = f"Mean {condition.symbol} within the network"
    x = axis(np.concatenate(list(rows.values())), label, zero=True, room=0.04, most=7)
    frame = Frame(_LEFT, _TOP, WIDTH - _LEFT - 10, band * len(names), x, Axis(0, 1))
    grid, ticks = frame.x_marks()
    marks, labels = [*grid], [*ticks]
    styles = {strategy: series_style(level.number_of(strategy)) for strategy in rows}
    for place, name in enumerate(names):
        top = _TOP + place * band
        labels.append(Label(_LEFT - 8, top + band / 2 + 4, shorten(name, 22), "end", "name"))
        marks.append(Mark(f"M{_LEFT},{top:.1f}h{frame.width:.1f}", "grid"))
        for line, (strategy, values) in enumerate(rows.items()):
            down = top + _BETWEEN / 2 + _LINE * (line + 0.5)
            mean, low, high = frame.across(values[place])
            if np.isfinite([low, high]).all():
                path = f"M{low:.1f},{down:.1f}H{high:.1f}"
                marks.append(Mark(path, f"whisker {styles[strategy]}", strategy))
            if np.isfinite(mean):
                dot = circles(np.array([[mean, down]]), _DOT)
                marks.append(Mark(dot, f"dot {styles[strategy]}", strategy))
    words = " ".join(_describe_within(strategy, own, names) for strategy, own in rows.items())
    height = int(_TOP + frame.height + 40)
    chart = Chart(WIDTH, height, words, tuple(marks), tuple(labels))
    caption = f"Dots are means over participants, lines their 95 % confidence intervals. {words}"
    legend = tuple(Key(f"swatch {style}", strategy, strategy) for strategy, style in styles.items())
    return Graphic(chart, caption, legend=legend)


def _describe_within(strategy: str, rows: FloatArray, names: Sequence[str]) -> str:
    order = [i for i in np.argsort(-rows[:, 0]) if np.isfinite(rows[i, 0])]
    if not order:
        return ""
    most, least = order[0], order[-1]
    return (
        f"{strategy}: from {number(rows[least, 0])} within {names[least]} to "
        f"{number(rows[most, 0])} within {names[most]}."
    )


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
    rows = [
        (
            Cell(result.strategy),
            Cell(str(row["network_1"])),
            Cell(str(row["network_2"])),
            Cell(str(int(row["edges"]))),
            Cell(str(int(row["n"]))),
            *(number_cell(row[name], 3) for name in ("mean", "ci_low", "ci_high")),
        )
        for result in results
        if result.networks is not None
        for row in result.networks.to_dict("records")
    ]
    if not rows:
        return None
    return Table("Means within and between networks.", _TABLE, tuple(rows), head=1)
