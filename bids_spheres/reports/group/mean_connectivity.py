"""Mean connectivity: matrices of seeds and of networks, strongest pairs, distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.reports.toolkit import charts, matrices, render
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.matrices import SIGNIFICANT, Layer, pairs
from bids_spheres.wording import count, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bids_spheres.reports.group.load import Condition, FloatArray, Level, Result
    from bids_spheres.reports.toolkit.connectome import Stage

_LEFT, _TOP, _BETWEEN, _LINE, _DOT = 150, 8, 8, 9, 3.2  # pixels


def condition_sections(
    level: Level, shown: Collection[str], stages: Mapping[str, Stage | None]
) -> Iterator[render.Section]:
    """Every condition with a group among the anchors `shown`, over the brains of images."""
    for condition in level.conditions:
        results = [result for result in condition.results if result.anchor in shown]
        if not results and any(result.has_matrices for result in condition.results):
            continue
        remarks = []
        for result in condition.results:
            own = [f"tests against 0 (q) do not hold: {reason}." for reason in result.against_zero]
            if not result.has_matrices:
                own.append("no participant has a result.")
            elif result not in results:
                own.append("not shown, to keep this page small; see the tables of group.")
            remarks += [f"{result.strategy}: {remark}" for remark in own]
        stage = stages.get(condition.image.anchor)
        blocks = _blocks(level, condition, results, stage) if results else ()
        networks = [table for result in results if (table := result.networks) is not None]
        tables = []
        if networks:
            rows = pd.concat(networks)
            means = render.table_of(
                "Means within and between networks.",
                render.text_column("Strategy", rows["strategy"]),
                render.text_column("Network", rows["network_1"]),
                render.text_column("Other network", rows["network_2"]),
                render.number_column("Pairs", rows["edges"]),
                render.number_column("Participants", rows["n"]),
                render.number_column("Mean", rows["mean"], 3),
                render.number_column("From", rows["ci_low"], 3, "95 % interval"),
                render.number_column("To", rows["ci_high"], 3, "95 % interval"),
                file="group/*_networks.tsv",
            )
            tables.append(means)
        names = [result.strategy for result in results]
        yield condition.section("", names, remarks, blocks=blocks, tables=tables)


def _blocks(
    level: Level, condition: Condition, results: Sequence[Result], stage: Stage | None
) -> Iterator[render.Block]:
    tested = any(result.q is not None for result in results)
    note = "Grey is missing."
    if tested:
        note = f"Above the diagonal are all pairs, below it those with q < {SIGNIFICANT:g}. {note}"
    yield render.Block("Mean", tuple(_matrices(condition, results)), (note,), columns=2)
    if stage is not None:
        graphics = []
        for result in results:
            chosen, note = strongest_edges(result.mean).pairs, ""
            if result.q is not None and len(chosen):
                n = int((result.q[tuple(chosen.T)] < SIGNIFICANT).sum())
                note = f" {n or 'None'} of them {'has' if n <= 1 else 'have'} q < {SIGNIFICANT:g}."
            graphics.append(stage.strongest_pairs(result.mean, result.strategy, note))
        yield render.Block("Strongest pairs", tuple(graphics))
    yield from _network_blocks(level, condition, results)
    samples = [
        Sample(r.strategy, pairs(r.mean), level.styles[r.strategy], r.strategy) for r in results
    ]
    if any(sample.known.size for sample in samples):
        label, points = f"Mean {condition.symbol}", condition.image.points
        yield distribution_block("Distribution", label, samples, points, ())


def _matrices(condition: Condition, results: Sequence[Result]) -> Iterator[render.Graphic]:
    limit = matrices.colour_limit([result.mean for result in results])
    for result in results:
        edges, values = strongest_edges(result.mean, 1), pairs(result.mean)
        counts = result.square(result.matrix("n", result.image.names))
        numbers, n = pairs(counts), len(result.used)
        words = f"Mean of {result.measure} after {result.strategy}: no pair has a value."
        if len(edges.values):
            a, b = (result.image.names[i] for i in edges.pairs[0])
            words = (
                f"Mean {condition.symbol} of {count(n, 'participant')} after {result.strategy}: "
                f"median {number(float(np.nanmedian(values)))}, strongest "
                f"{number(float(edges.values[0]))} between {a} and {b}."
            )
            if result.q is not None:
                q = pairs(result.q)[np.isfinite(pairs(result.q))]
                share = float((q < SIGNIFICANT).mean()) if len(q) else 0.0
                words += f" {percent(share)} of pairs have q < {SIGNIFICANT:g}."
            known = numbers[numbers > 0]
            if missing := len(numbers) - len(known):
                verb = plural(missing, "is", "are")
                words += f" {count(missing, 'pair')} {verb} missing in every participant."
            if (low := int(known.min())) < (high := int(known.max())):
                others = "Others" if missing else "Pairs"
                words += f" {others} rest on {low:,} to {high:,} participants."
        varying = [Layer("N", counts, 0)] if numbers.size and np.ptp(numbers) > 0 else []
        tested = None if result.q is None else Layer("q", result.q, 3, probability=True)
        about = {"limit": limit, "tested": tested, "layers": varying}
        yield result.seed_matrix(result.mean, words, **about)


def network_names(results: Sequence[Result]) -> tuple[str, ...]:
    """Networks, in the order in which matrices show them."""
    tables = [own for result in results if (own := result.networks) is not None]
    known = {name for table in tables for end in (1, 2) for name in table[f"network_{end}"]}
    groups = results[0].image.order.groups if results else ()
    return tuple(group.name for group in groups if group.name in known)


def _network_blocks(
    level: Level, condition: Condition, results: Sequence[Result]
) -> Iterator[render.Block]:
    """Matrices of networks, and means within each; nothing without networks."""
    if not (names := network_names(results)):
        return
    n = len(names)
    squares: dict[Result, dict[str, FloatArray]] = {}
    for result in results:
        if (table := result.networks) is not None:
            ends = [pd.Index(names).get_indexer(pd.Index(table[f"network_{i}"])) for i in (1, 2)]
            own = {c: np.full((n, n), np.nan) for c in ("mean", "ci_low", "ci_high", "n")}
            for column, matrix in own.items():
                matrix[tuple(ends)] = matrix[tuple(ends[::-1])] = table[column]
            squares[result] = own
    # Tiled, so that the diagonal counts as well.
    limit = matrices.colour_limit([np.tile(own["mean"], (2, 2)) for own in squares.values()])
    graphics = []
    for result, own in squares.items():
        mean = own["mean"]
        words = f"Mean {condition.symbol} within and between networks after {result.strategy}"
        within, between = np.diag(mean), mean[~np.eye(len(mean), dtype=bool)]
        if np.isfinite(within).any():
            words += f": within {number(float(np.nanmean(within)))} on average"
            if np.isfinite(between).any():
                words += f", between networks {number(float(np.nanmean(between)))}"
            best = int(np.nanargmax(within))
            words += f"; most within {names[best]} ({number(float(within[best]))})"
        layers = [
            Layer("95 % interval from", own["ci_low"], 2),
            Layer("to", own["ci_high"], 2),
            Layer("N", own["n"], 0),
        ]
        about = {"strategy": result.strategy, "row_names": f"{result.image.anchor}-networks"}
        shown: Any = {"layers": layers, **about}
        beside = matrices.Beside((), names)
        graphics.append(matrices.matrix_graphic(mean, limit, beside, f"{words}.", **shown))
    yield render.Block("Networks", tuple(graphics), columns=2)
    limits = {
        result.strategy: np.stack([np.diag(own[c]) for c in ("mean", "ci_low", "ci_high")], 1)
        for result, own in squares.items()
    }
    if np.isfinite([*limits.values()]).any():
        yield render.Block("Within networks", (_within(level, condition, limits, names),))


def _within(
    level: Level, condition: Condition, rows: Mapping[str, FloatArray], names: Sequence[str]
) -> render.Graphic:
    """Means within networks and their intervals, strategies side by side; (networks, 3) each."""
    band = _BETWEEN + _LINE * len(rows)
    label = f"Mean {condition.symbol} within the network"
    x = charts.axis(np.concatenate(list(rows.values())), label, zero=True, room=0.04, most=7)
    width = charts.WIDTH - _LEFT - 10
    frame = charts.Frame(_LEFT, _TOP, width, band * len(names), x, charts.Axis(0, 1))
    grid, ticks = frame.x_marks()
    marks, labels, sentences = [*grid], [*ticks], []
    for place, name in enumerate(names):
        top, text = _TOP + place * band, charts.shorten(name, 22)
        labels.append(charts.Label(_LEFT - 8, top + band / 2 + 4, text, "end", "name"))
        marks.append(charts.Mark(f"M{_LEFT},{top:.1f}h{frame.width:.1f}", "grid"))
        for line, (strategy, values) in enumerate(rows.items()):
            down, style = top + _BETWEEN / 2 + _LINE * (line + 0.5), level.styles[strategy]
            mean, low, high = frame.across(values[place])
            if np.isfinite([low, high]).all():
                path = f"M{low:.1f},{down:.1f}H{high:.1f}"
                marks.append(charts.Mark(path, f"whisker {style}", strategy))
            if np.isfinite(mean):
                dot = charts.circles(np.array([[mean, down]]), _DOT)
                marks.append(charts.Mark(dot, f"dot {style}", strategy))
    for strategy, means in ((strategy, values[:, 0]) for strategy, values in rows.items()):
        if np.isfinite(means).any():
            ends = int(np.nanargmin(means)), int(np.nanargmax(means))
            least, most = (f"{number(means[i])} within {names[i]}" for i in ends)
            sentences.append(f"{strategy}: from {least} to {most}.")
    words = " ".join(sentences)
    height = int(_TOP + frame.height + 40)
    chart = charts.Chart(charts.WIDTH, height, words, tuple(marks), tuple(labels))
    lines = np.isfinite([values[:, 1] for values in rows.values()]).any()
    intervals = ", lines their 95 % confidence intervals" if lines else ""
    legend = tuple(charts.Key(f"swatch {level.styles[name]}", name, name) for name in rows)
    caption = f"Dots are means over participants{intervals}. {words}"
    return render.Graphic(chart, caption, legend=legend)
