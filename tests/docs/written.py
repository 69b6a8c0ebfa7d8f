"""What calls of both levels really write: files by kind, their columns and their keys."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TABLES = (".tsv", ".tsv.gz", ".parquet")
"""Endings of tables; the last only where pyarrow is installed."""


def kind_of(path: Path) -> str:
    """Kind of a file: the suffix of its name, or the name of one that there is once.

    Examples: ``timeseries``, ``relmat of runs`` for matrices of several runs, ``group mean``.
    """
    stem = path.name.partition(".")[0]
    suffix = stem.rpartition("_")[2]
    if path.parent.name == "group":
        return f"group contrast {suffix}" if "_contrast-" in stem else f"group {suffix}"
    if stem.startswith("atlas-"):
        return f"atlas {suffix}"
    if "_" not in stem or path.parent.name != "func":
        return stem
    if suffix == "relmat" and "Concatenation" in path.with_suffix(".json").read_text():
        return "relmat of runs"
    return f"raw {suffix}" if "_desc-raw_" in stem else suffix


def columns_of(path: Path) -> list[str]:
    """Names in the first line of a table, or in the sidecar of a compressed one without them."""
    if path.suffix == ".parquet":
        return import_module("pyarrow.parquet").read_schema(path).names
    beside = path.with_name(f"{path.name.partition('.')[0]}.json")
    if path.suffix == ".gz" and "Columns" in (facts := json.loads(beside.read_text())):
        return facts["Columns"]
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as lines:
        return next(csv.reader(lines, delimiter="\t"))


def tables(root: Path) -> dict[str, set[str]]:
    """Columns of every kind of table below a folder, without the rows that some are made of."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (path for ending in TABLES for path in root.rglob(f"*{ending}")):
        if "logs" in path.relative_to(root).parts:
            continue
        found[kind_of(path)].update(columns_of(path))
    return dict(found)


def sidecars(root: Path) -> dict[str, set[str]]:
    """Keys of every kind of JSON file below a folder, without those that are columns beside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in root.rglob("*.json"):
        if "logs" in path.relative_to(root).parts:
            continue
        keys = set(json.loads(path.read_text(encoding="utf-8")))
        for beside in map(path.with_suffix, TABLES):
            keys -= set(columns_of(beside)) if beside.is_file() else set()
        found[kind_of(path)] |= keys
    return dict(found)
