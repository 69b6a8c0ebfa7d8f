"""The ``product.json`` of a task: what the platform shows of it, in a few kilobytes.

Under ``brainlife`` it takes messages (``type`` error, danger, warning, info or success, and
``msg``) and figures for plotly (``data`` and ``layout``); ``tags`` are added to those of the
outputs; the rest is kept for whoever asks the database.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.files.atomic import MISSING, write_if_changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.integrations.brainlife.datatypes import Matrix, Results
    from bids_spheres.outputs.read import Spheres

    Item = dict[str, Any]

_MOST_MESSAGES = 20
_LONGEST = 600
"""Characters of a message."""
_FEWEST_NETWORKS, _MOST_NETWORKS = 2, 30
_BINS = 40

_LINE = re.compile(
    r"(?P<level>WARNING|ERROR) (?P<said>.*)|bids-spheres[\w -]*: error: (?P<error>.*)"
)
_OTHER = re.compile(r"(INFO|DEBUG) ")
"""Beginning of a line of another level."""


def write_product(path: Path, messages: Sequence[Item], results: Results | None) -> None:
    """Write a product.json.

    Parameters
    ----------
    path : Path
    messages : sequence of dict
        With ``type`` and ``msg``.
    results : Results, optional
    """
    product: dict[str, Any] = {"brainlife": _few(messages)}
    if results is not None:
        first = results.jobs[0]
        (seeds,), (strategy,) = first.work.seed_sets, first.work.strategies
        product["brainlife"] += _figures(results)
        product["tags"] = [f"seeds-{seeds.label}", f"strategy-{strategy.name}"]
        product["spheres"] = {"total": len(results.used), "used": int(results.used.sum())}
        product["runs"] = [str(job) for job in results.jobs]
    write_if_changed(path, json.dumps(product, ensure_ascii=False, separators=(",", ":")) + "\n")


def message(kind: str, text: str) -> Item:
    """A message of a type that the platform knows."""
    return {"type": kind, "msg": text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."}


def messages_of(log: str) -> list[Item]:
    """Warnings and errors among lines that the command has logged, with the lines that go on."""
    entries: list[tuple[str, list[str]]] = []
    going_on = False
    for line in log.splitlines():
        if match := _LINE.fullmatch(line):
            kind = "warning" if match["level"] == "WARNING" else "error"
            entries.append((kind, [match["said"] or match["error"] or ""]))
        elif going_on and not _OTHER.match(line):
            entries[-1][1].append(line.strip())
        going_on = bool(match) or (going_on and not _OTHER.match(line))
    return [message(kind, "\n".join(lines)) for kind, lines in entries]


def _few(messages: Sequence[Item]) -> list[Item]:
    """The first messages, errors before the others."""
    ordered = sorted(messages, key=lambda each: each["type"] != "error")
    more = len(ordered) - _MOST_MESSAGES
    rest = [message("warning", f"{more} more are in the log.")] if more > 0 else []
    return [*ordered[:_MOST_MESSAGES], *rest]


def _figures(results: Results) -> list[Item]:
    """Of the first matrix of the first run: how its values are spread, and networks by networks."""
    if not results.matrices or not np.isfinite(results.matrices[0].values).any():
        return []
    matrix = results.matrices[0]
    return [_spread(matrix), *_networks(matrix, results.spheres)]


def _spread(matrix: Matrix) -> Item:
    edges = matrix.values[np.triu_indices_from(matrix.values, k=1)]
    counts, limits = np.histogram(edges[np.isfinite(edges)], bins=_BINS)
    middles = (limits[:-1] + limits[1:]) / 2
    bars = {"type": "bar", "x": [float(f"{x:.4g}") for x in middles], "y": counts.tolist()}
    layout = _layout(matrix.title, "pairs of spheres")
    return _figure("Distribution", f"{matrix.title} of all pairs, {matrix.run}", bars, layout)


def _networks(matrix: Matrix, spheres: Spheres) -> Iterator[Item]:
    """Mean within and between networks, if there are any."""
    network = np.array(spheres.networks)
    names = sorted(set(spheres.networks) - {MISSING, ""})
    if not _FEWEST_NETWORKS <= len(names) <= _MOST_NETWORKS:
        return
    values = matrix.values.copy()
    np.fill_diagonal(values, np.nan)
    means = [[_mean(values[np.ix_(network == a, network == b)]) for b in names] for a in names]
    largest = max((abs(value) for row in means for value in row if value is not None), default=1)
    heat: Item = {"type": "heatmap", "x": names, "y": names, "z": means}
    # In plotly.js, other than in Python, this goes from blue to red.
    heat |= {"colorscale": "RdBu", "zmin": -largest, "zmax": largest}
    yield _figure("Networks", f"Mean {matrix.title}, {matrix.run}", heat, _layout("", ""))


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    finite = values[np.isfinite(values)]
    return round(float(finite.mean()), 3) + 0.0 if finite.size else None


def _layout(x: str, y: str) -> Item:
    return {"xaxis": {"title": x}, "yaxis": {"title": y, "automargin": True}}


def _figure(name: str, text: str, data: Item, layout: Item) -> Item:
    return {"type": "plotly", "name": name, "desc": text, "data": [data], "layout": layout}
