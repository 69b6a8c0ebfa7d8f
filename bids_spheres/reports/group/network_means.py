"""Means within and between networks, with their confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

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
    shorten,
)
from bids_spheres.reports.toolkit.matrices import Beside, Layer, colour_limit, matrix_picture
from bids_spheres.reports.toolkit.render import (
    Block,
    Graphic,
    Table,
    matrix_graphic,
    number_column,
    table_of,
    text_column,
)
from bids_spheres.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Condition, Level, Result

    FloatArray = NDArray[np.float64]

_LEFT, _TOP, _BETWEEN, _LINE, _DOT = 150, 8, 8, 9, 3.2  # pixels


def network_names(results: Sequence[Result]) -> tuple[str, ...]:
    """Networks, in the order in which matrices show them."""
    tables = [result.networks for result in results if result.networks is not None]
    known = {name for table in tables for name in table[["network_1", "network_2"]].to_numpy().flat}
    groups = results[0].image.order.groups if results else ()
    return tuple(group.name for group in groups if group.name in known)


def network_blocks(
    level: Level, condition: Condition, results: Sequence[Result]
) -> Iterator[Block]:
    """Matrices of networks, and means within each; nothing without networks."""
    tables = {
        result: table for result in results if (table := result.networks) is not None and len(table)
    }
    names = network_names(list(tables))
    if not names:
        return
    means = {result: network_matrix(table, names, "mean") for result, table in tables.items()}
    # Tiled, so that the diagonal counts as well.
    limit = colour_limit([np.tile(mean, (2, 2)) for mean in means.values()])
    graphics = []
    for result, mean in means.items():
        words = f"Mean {condition.symbol} within and between networks after {result.strategy}"
        within, between = np.diag(mean), mean[~np.eye(len(mean), dtype=bool)]
        if np.isfinite(within).any():
            words += f": within {number(float(np.nanmean(within)))} on average"
            if np.isfinite(between).any():
                words += f", between networks {number(float(np.nanmean(between)))}"
            best = int(np.nanargmax(within))
            words += f"; most within {names[best]} ({number(float(within[best]))})"
        layers = [
            Layer(label, network_matrix(tables[result], names, column), digits)
            for label, column, digits in (
                ("95 % interval from", "ci_low", 2),
                ("to", "ci_high", 2),
                ("N", "n", 0),
            )
        ]
        picture = matrix_picture(mean, limit, Beside((), names), f"{words}.", layers=layers)
        rows = f"{result.image.anchor}-networks"
        graphics.append(matrix_graphic(picture, f"{words}.", result.strategy, rows))
    yield Block("Networks", tuple(graphics), columns=2)
    columns = ("mean", "ci_low", "ci_high")
    limits = {
        result.strategy: np.stack([np.diag(network_matrix(table, names, c)) for c in columns], 1)
        for result, table in tables.items()
    }
    if any(np.isfinite(values).any() for values in limits.values()):
        yield Block("Within networks", (_within(level, condition, limits, names),))


def network_matrix(table: pd.DataFrame, names: Sequence[str], column: str) -> FloatArray:
    """One column of the table of networks as a symmetric matrix; NaN where there are no pairs."""
    rows, columns = (pd.Index(names).get_indexer(pd.Index(table[f"network_{i}"])) for i in (1, 2))
    matrix = np.full((len(names),) * 2, np.nan)
    matrix[rows, columns] = matrix[columns, rows] = table[column]
    return matrix


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
    for place, name in enumerate(names):
        top = _TOP + place * band
        labels.append(Label(_LEFT - 8, top + band / 2 + 4, shorten(name, 22), "end", "name"))
        marks.append(Mark(f"M{_LEFT},{top:.1f}h{frame.width:.1f}", "grid"))
        for line, (strategy, values) in enumerate(rows.items()):
            down, style = top + _BETWEEN / 2 + _LINE * (line + 0.5), level.styles[strategy]
            mean, low, high = frame.across(values[place])
            if np.isfinite([low, high]).all():
                path = f"M{low:.1f},{down:.1f}H{high:.1f}"
                marks.append(Mark(path, f"whisker {style}", strategy))
            if np.isfinite(mean):
                dot = circles(np.array([[mean, down]]), _DOT)
                marks.append(Mark(dot, f"dot {style}", strategy))
    sentences = []
    for strategy, (means, *_) in ((strategy, own.T) for strategy, own in rows.items()):
        if np.isfinite(means).any():
            least, most = int(np.nanargmin(means)), int(np.nanargmax(means))
            sentences.append(
                f"{strategy}: from {number(means[least])} within {names[least]} to "
                f"{number(means[most])} within {names[most]}."
            )
    words = " ".join(sentences)
    height = int(_TOP + frame.height + 40)
    chart = Chart(WIDTH, height, words, tuple(marks), tuple(labels))
    lines = any(np.isfinite(own[:, 1]).any() for own in rows.values())
    intervals = ", lines their 95 % confidence intervals" if lines else ""
    caption = f"Dots are means over participants{intervals}. {words}"
    legend = tuple(Key(f"swatch {level.styles[strategy]}", strategy, strategy) for strategy in rows)
    return Graphic(chart, caption, legend=legend)


def network_table(results: Sequence[Result]) -> Iterator[Table]:
    """All pairs of networks after all strategies; nothing without networks."""
    tables = [
        result.networks.assign(strategy=result.strategy)
        for result in results
        if result.networks is not None and len(result.networks)
    ]
    if tables:
        rows = pd.concat(tables)
        yield table_of(
            "Means within and between networks.",
            text_column("Strategy", rows["strategy"]),
            text_column("Network", rows["network_1"]),
            text_column("Other network", rows["network_2"]),
            number_column("Pairs", rows["edges"]),
            number_column("Participants", rows["n"]),
            number_column("Mean", rows["mean"], 3),
            number_column("From", rows["ci_low"], 3, "95 % interval"),
            number_column("To", rows["ci_high"], 3, "95 % interval"),
            file="group/*_networks.tsv",
        )
