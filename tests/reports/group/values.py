"""Groups of the page from values, instead of from files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from bids_spheres.files.names import parse_name
from bids_spheres.reports.group.load import Condition, Image, Result

ROOT = Path("nowhere")
NAME = "task-rest_space-MNI_seg-Mine"
_OF_RUNS = ("participant_id", "source", "strategy", "excluded", "reason")
_OF_STRATEGIES = ("group", "strategy", "smoothing_fwhm", "qc_fc_median", "modularity")


def image_of(networks, noun="seed", **coverage):
    """Seeds s0, s1 ... of these networks."""
    n = len(networks)
    columns = {
        "name": [f"s{i}" for i in range(n)],
        "network": list(networks),
        **{axis: 10.0 * (k + 1) * np.arange(n) for k, axis in enumerate("xyz")},
        "radius": 5.0,
        "participants": 6,
        "share": 1.0,
        "coverage": 1.0,
        **coverage,
    }
    suffixes = frozenset({"coverage"})
    name = parse_name(f"{NAME}_relmat.tsv")
    return Image(ROOT, name, suffixes, "image-1", pd.DataFrame(columns, range(n)), noun)


def people_of(n, **columns):
    """Rows of the table of participants."""
    own = {
        "participant_id": [f"sub-{i}" for i in range(1, n + 1)],
        "mean_fd": 0.1,
        "degrees_of_freedom": 60.0,
        "used": 1,
        "reason": None,
        **columns,
    }
    return pd.DataFrame(own, range(n))


def square(n, upper, diagonal=1.0):
    """Symmetric matrix (n, n) of the values above its diagonal, row by row."""
    matrix = np.diag(np.broadcast_to(np.asarray(diagonal, float), n))
    rows, columns = np.triu_indices(n, 1)
    matrix[rows, columns] = matrix[columns, rows] = upper
    return matrix


def result_of(image, strategy="a", people=6, *, about=(), row=None, suffixes=("mean",), **values):
    """A group; `values` are those of cached properties, tables and counts of pairs."""
    name = parse_name(f"{NAME}_stat-pearsoncorrelation_desc-{strategy}_relmat.tsv")
    people = people_of(people) if isinstance(people, int) else people
    result = Result(
        ROOT, name, frozenset(suffixes), f"group-{strategy}", image, people, dict(about), row
    )
    counts, tables = values.pop("counts", None), values.pop("tables", {})
    sidecars = values.pop("sidecars", {})
    own = {"q": None, "networks": None, "model_about": {}, "contrast_sidecars": {}, **values}
    if counts is not None:
        own["matrix"] = lambda what, _: {"n": np.asarray(counts, dtype=float)}[what]
    own["table"] = lambda what, *_: tables[what]
    own["sidecar"] = lambda what: sidecars.get(what, {})
    vars(result).update(own)
    return result


def condition_of(*results, anchor="condition-1", parts=()):
    return Condition(anchor, results, dict(parts))


def level_of(*conditions, runs=None, strategies=None, **more):
    """A level of these conditions, with a style for each strategy."""
    results = tuple(result for condition in conditions for result in condition.results)
    images = tuple({result.image.anchor: result.image for result in results}.values())
    runs = pd.DataFrame(runs or dict.fromkeys(_OF_RUNS, ()))
    about = {
        "output_dir": ROOT,
        "problems": [],
        "maps": (),
        "families": (),
        "covariates": [],
        "things": "seeds",
        "run_strategies": tuple(dict.fromkeys(runs["strategy"])),
        "strategies": pd.DataFrame(strategies or {}, columns=_OF_STRATEGIES),
        **more,
    }
    styles = {
        name: f"series-{i}" for i, name in enumerate(dict.fromkeys(r.strategy for r in results))
    }
    return SimpleNamespace(
        conditions=conditions,
        results=results,
        images=images,
        runs=runs,
        excluded=runs[runs["excluded"] == 1],
        styles=styles,
        **about,
    )
