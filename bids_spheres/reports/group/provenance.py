"""Origin of the group's results: the call, its settings, versions, and the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.links import read_description
from bids_spheres.outputs.logs import last_settings
from bids_spheres.outputs.paths import GROUP_FOLDER, title
from bids_spheres.reports.participant.provenance import (
    generators,
    settings_in_words,
    versions_of_this_page,
)
from bids_spheres.reports.toolkit.render import Cell, Column, Table

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.reports.group.load import Level

KINDS = {
    "runs": "quality of every run",
    "strategies": "strategies, with what motion still explains",
    "coverage": "which seeds the group has, and where they are",
    "mean": "mean over participants",
    "sd": "standard deviation over participants",
    "n": "participants of each pair",
    "t": "Student's t of the mean",
    "p": "two-sided p of t, not corrected",
    "q": "p corrected for all pairs",
    "edges": "index of pairs: nodes, networks, distance, QC-FC",
    "networks": "means within and between networks",
    "model": "coefficients and tests of the model",
    "stacked": "pairs of every participant, for machine learning",
    "participants": "who is in the results, and who is not and why",
}
"""Descriptions of the tables by their suffixes; a JSON file beside each has more."""

_OF_GROUP = frozenset(
    (
        *("bids_dir", "output_dir", "analysis_level", "participant_label", "session_label"),
        *("task_label", "acquisition", "run", "echo", "space", "res", "atlas", "seeds", "radius"),
        *("strategy", "connectivity", "model", "participants_table", "by_session", "pool_spaces"),
        *("qcfc_covariates", "min_participants"),
    )
)
"""Settings that the group level uses; records have those of both levels."""

_MOST_FILES = 600


def last_call(level: Level) -> tuple[Path | None, dict[str, Any]]:
    """Record of the last call of the group level; nothing without one."""
    return last_settings(level.output_dir, lambda call: call.get("analysis_level") == "group")


def settings_of_group(settings: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values of the settings of the group level that have a value."""
    return settings_in_words({key: value for key, value in settings.items() if key in _OF_GROUP})


def versions(level: Level) -> tuple[tuple[str, str], ...]:
    """Software of the results and of this page."""
    described = read_description(level.output_dir)
    return (*(("Results", text) for text in generators(described)), *versions_of_this_page())


def files_table(level: Level) -> Table:
    """Links to all tables of the group."""
    folder = level.output_dir / GROUP_FOLDER
    tables = [path for path in folder.iterdir() if path.suffix in (".tsv", ".gz", ".parquet")]
    tables.sort(key=lambda path: (path.name.count("_") > 0, natural(path.name)))
    rows = []
    for path in tables[:_MOST_FILES]:
        try:
            name = parse_name(path.name)
        except ValueError:  # a table of all groups
            kind, group = path.name.partition(".")[0], "all groups"
        else:
            kind, group = name.suffix or path.name.partition(".")[0], title(name)
        ending = path.name.removeprefix(f"{group}_")
        href = f"{GROUP_FOLDER}/{quote(path.name, safe='')}"
        what = KINDS.get(kind, "not by this version")
        rows.append((Cell(what), Cell(group), Cell(ending, href=href)))
    rest = len(tables) - _MOST_FILES
    more = f" {rest:,} more are in the folder group." if rest > 0 else ""
    columns = tuple(Column(head, numeric=False) for head in ("What", "Of", "File"))
    caption = f"Tables of the group; each has a JSON file beside it that tells more.{more}"
    return Table(caption, columns, tuple(rows))
