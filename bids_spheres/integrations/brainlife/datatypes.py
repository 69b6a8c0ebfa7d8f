"""Results in the data types of brainlife.io.

- generic/timeseries: ``timeseries.tsv.gz``, a column with a header for each sphere, and
  ``timeseries.json``, a list with an object for each column.
- neuro/conmat: ``csv/*.csv``, matrices without a header; ``index.json``, a list with an object for
  each of these; ``label.json``, a list with an object for each row and column.
- report/html: ``html/index.html``.

A missing value is ``n/a`` in the table, as in ours and as pandas reads it, and ``nan`` in
matrices, which are read as plain numbers there.
"""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import measure
from bids_spheres.errors import DataError
from bids_spheres.files.atomic import MISSING, remove, write_if_changed
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.read import read_matrix, read_spheres

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.outputs.read import Spheres
    from bids_spheres.participant.concatenation import RunGroup
    from bids_spheres.participant.plan import Job

_UNITS = {"pearsoncorrelation": "r", "spearmancorrelation": "r", "fisherz": "z"}
"""Units of measures, by label of ``stat``."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix (S, S) over pairs of spheres of a run or several.

    `name` is that of the file without its ending, `stat` the label of the measure, and `title` its
    name for people.
    """

    run: str
    name: str
    stat: str
    title: str
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Results:
    """Jobs of runs that have results, their tables of series, and what they have in common.

    `spheres` are those of the first run, `used` those with a series in every run, (S,).
    """

    jobs: tuple[Job, ...]
    series: tuple[Path, ...]
    spheres: Spheres
    used: NDArray[np.bool_]
    matrices: tuple[Matrix, ...]


def read_results(jobs: Sequence[Job], groups: Sequence[RunGroup]) -> Results | None:
    """Results of jobs and of groups of them without failed ones; None when all failed.

    All have one seed set and one strategy.
    """
    rules, (seeds,) = jobs[0].work.processing, jobs[0].work.seed_sets
    (strategy,) = (strategy.name for strategy in jobs[0].work.strategies)
    done = {path: job for job in jobs if (path := job.paths.series(seeds, strategy)).is_file()}
    if not done:
        return None
    tables = [read_spheres(job.paths.spheres(seeds)) for job in done.values()]
    used = np.all([table.used for table in tables], axis=0)
    stats = {measure(name).stat: name for name in rules.connectivity}
    stats |= {EFFECTIVE_DOF: "effective-dof"} if rules.effective_dof else {}
    sources: list[Job | RunGroup] = [*done.values(), *groups]
    matrices = []
    for source, (stat, name) in product(sources, stats.items()):
        path, run = source.paths.matrix(seeds, strategy, stat), str(source)
        if path.is_file():
            short = "correlation" if name == "pearson" else name
            # The entities of the run as they stand in file names; a single run needs none.
            pairs = [pair for pair in run.split() if not pair.startswith("space-")]
            stem = short if [*jobs] == [source] else "_".join([*pairs, short])
            matrix = read_matrix(path)
            matrices.append(Matrix(run, stem, stat, matrix.title, matrix.values))
    return Results(tuple(done.values()), tuple(done), tables[0], used, tuple(matrices))


def write_timeseries(results: Results, folder: Path) -> None:
    """Write the series as generic/timeseries, runs one after the other."""
    texts = [read_own_text(path) for path in results.series]
    headers = {text.partition("\n")[0] for text in texts}
    if len(headers) > 1:
        raise DataError(f"{results.series[0]} and other runs have different columns.")
    rows = "".join(text.partition("\n")[2] for text in texts)
    # Without a time in the header, the same rows give the same bytes.
    content = gzip.compress(f"{headers.pop()}\n{rows}".encode(), mtime=0)
    write_if_changed(folder / "timeseries.tsv.gz", content)
    columns = [
        {"column_name": node["name"], "label_index": node["label"], "in_parc": int(used)} | node
        for node, used in zip(_nodes(results), results.used, strict=True)
    ]
    write_if_changed(folder / "timeseries.json", _json(columns))


def _nodes(results: Results) -> list[dict[str, object]]:
    """Description of every sphere, which is the same in every run."""
    table = results.spheres.to_frame().reset_index()
    nodes = table[["name", "x", "y", "z", "radius", "network"]].to_dict("records")
    return [
        {"label": str(number), "voxel_value": number}
        | {str(key): value for key, value in node.items() if (key, value) != ("network", MISSING)}
        for number, node in enumerate(nodes, start=1)
    ]


def write_conmat(results: Results, folder: Path) -> None:
    """Write the matrices as neuro/conmat, and remove those of earlier calls."""
    wanted = {folder / "csv" / f"{matrix.name}.csv": matrix for matrix in results.matrices}
    for old in set((folder / "csv").glob("*.csv")) - set(wanted):
        remove(old)
    for path, matrix in wanted.items():
        text = io.StringIO()
        np.savetxt(text, matrix.values, fmt="%.10g", delimiter=",")
        write_if_changed(path, text.getvalue())
    index = [
        {
            "filename": f"{matrix.name}.csv",
            "unit": _UNITS.get(matrix.stat, ""),
            "name": matrix.name,
            "desc": f"{matrix.title} of {matrix.run}",
        }
        for matrix in results.matrices
    ]
    write_if_changed(folder / "index.json", _json(index))
    write_if_changed(folder / "label.json", _json(_nodes(results)))


def write_report(pages: Sequence[Path], folder: Path) -> None:
    """Write pages as report/html: a single one as its index, several with a list of links."""
    html = folder / "html"
    texts = {page.name: read_own_text(page) for page in pages}
    if len(texts) == 1:
        texts = {"index.html": texts.popitem()[1]}
    elif texts:
        items = "".join(f'<li><a href="{escape(n)}">{escape(n)}</a></li>' for n in texts)
        texts["index.html"] = (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Reports</title>'
            f"</head><body><h1>Reports</h1><ul>{items}</ul></body></html>\n"
        )
    for old in set(html.glob("*.html")) - {html / name for name in texts}:
        remove(old)
    for name, text in texts.items():
        write_if_changed(html / name, text)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
