"""The ``product.json`` of a task: what the platform shows of it, in a few kilobytes.

Under ``brainlife`` it has messages (``type`` error, danger, warning, info or success, and ``msg``)
and figures for plotly (``data`` and ``layout``); ``tags`` are added to those of the outputs; other
keys are kept in the platform's database.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from contextlib import contextmanager, redirect_stderr
from logging.handlers import BufferingHandler
from typing import TYPE_CHECKING, TextIO

import numpy as np

from bids_spheres.errors import printable
from bids_spheres.files.atomic import MISSING, write_if_changed
from bids_spheres.wording import more_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.integrations.brainlife.datatypes import Results

    Item = dict[str, object]

_MOST_MESSAGES = 20
_MOST_CHARACTERS = 600  # of a message
_FEWEST_NETWORKS, _MOST_NETWORKS = 2, 30
_BINS = 40

_ERROR = re.compile(r"^bids-spheres[\w -]*: error: (.*(?:\n[ -].*)*)", re.MULTILINE)
"""Errors that the command line prints when it ends early; others are logged."""


def write_product(path: Path, messages: Sequence[Item], results: Results | None) -> None:
    """Write a product.json with messages and, where there are results, figures."""
    ordered = sorted(messages, key=lambda each: each["type"] != "error")
    shown, more = ordered[:_MOST_MESSAGES], len(ordered) - _MOST_MESSAGES
    if more > 0:
        shown.append(message("warning", more_in(more, "the log")))
    product: dict[str, object] = {"brainlife": shown}
    if results is not None:
        first = results.jobs[0]
        (seeds,), (strategy,) = first.work.seed_sets, first.work.strategies
        product["brainlife"] = shown + _figures(results)
        product["tags"] = [f"seeds-{seeds.label}", f"strategy-{strategy.name}"]
        product["spheres"] = {"total": len(results.used), "used": int(results.used.sum())}
        product["runs"] = [str(job) for job in results.jobs]
    write_if_changed(path, json.dumps(product, ensure_ascii=False, separators=(",", ":")) + "\n")


def message(kind: str, text: str) -> Item:
    """A message; `kind` is a type that the platform knows."""
    full = "\n".join(line.strip() for line in printable(text).splitlines())
    shown = full if len(full) <= _MOST_CHARACTERS else f"{full[:_MOST_CHARACTERS]}..."
    return {"type": kind, "msg": shown}


@contextmanager
def collected_messages() -> Iterator[list[Item]]:
    """Collect warnings and errors that the command line logs and prints, each once."""
    kept, printed, root = BufferingHandler(sys.maxsize), _Tee(sys.stderr), logging.getLogger()
    kept.setLevel(logging.WARNING)
    collected: list[Item] = []
    root.addHandler(kept)
    try:
        with redirect_stderr(printed):
            yield collected
    finally:
        root.removeHandler(kept)
        logged = (
            ("error" if record.levelno >= logging.ERROR else "warning", record.getMessage())
            for record in kept.buffer
        )
        collected += [message(*each) for each in dict.fromkeys(logged)]
        collected += [message("error", text) for text in _ERROR.findall(printed.getvalue())]


class _Tee(io.StringIO):
    """Copies what is written to a stream."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        """Write to both."""
        self._stream.write(text)
        return super().write(text)


def _figures(results: Results) -> list[Item]:
    """Distribution of values and means of networks in the first matrix of the first run."""
    matrix = next(iter(results.matrices), None)
    if matrix is None or not np.isfinite(matrix.values).any():
        return []
    edges = matrix.values[np.triu_indices_from(matrix.values, k=1)]
    counts, limits = np.histogram(edges[np.isfinite(edges)], bins=_BINS)
    middles = [float(f"{x:.4g}") for x in (limits[:-1] + limits[1:]) / 2]
    bars = {"type": "bar", "x": middles, "y": counts.tolist()}
    title = matrix.title
    shown = [
        _figure("Distribution", f"{title} of all pairs, {matrix.run}", bars, title, "sphere pairs")
    ]
    network = np.array(results.spheres.networks)
    names = sorted({*results.spheres.networks} - {MISSING, ""})
    if _FEWEST_NETWORKS <= len(names) <= _MOST_NETWORKS:
        known = np.isfinite(matrix.values) & ~np.eye(len(network), dtype=bool)
        members = np.equal.outer(names, network).astype(float)
        with np.errstate(invalid="ignore"):  # 0 / 0 where two networks have no value
            means = members @ np.where(known, matrix.values, 0) @ members.T
            means = np.round(means / (members @ known @ members.T), 3) + 0.0
        cells = [[None if np.isnan(mean) else mean for mean in row] for row in means.tolist()]
        limit = float(np.nan_to_num(np.fmax.reduce(np.abs(means), axis=None), nan=1.0))
        heat: Item = {"type": "heatmap", "x": names, "y": names, "z": cells}
        # In plotly.js, unlike in Python, this goes from blue to red.
        heat |= {"colorscale": "RdBu", "zmin": -limit, "zmax": limit}
        shown.append(_figure("Networks", f"Mean {title}, {matrix.run}", heat, "", ""))
    return shown


def _figure(name: str, text: str, data: Item, x: str, y: str) -> Item:
    layout = {"xaxis": {"title": x}, "yaxis": {"title": y, "automargin": True}}
    return {"type": "plotly", "name": name, "desc": text, "data": [data], "layout": layout}
