"""Where the group's results come from: the call, its settings, versions, and the files."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.links import read_description
from bids_spheres.outputs.paths import GROUP_FOLDER, title
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.reports.participant.provenance import generators, of_this_page, told
from bids_spheres.reports.toolkit.render import Cell, Column, Table
from bids_spheres.settings import GROUP, RESULTS, Settings, declared_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.files.names import Name
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
"""What the tables are, by their suffixes; each has a JSON file beside it that tells more."""

_OF_GROUP = frozenset(
    declared.name
    for declared in declared_options(Settings)
    if GROUP in declared.option.levels and declared.option.section in RESULTS
)
"""Settings of a call that the group level looks at; records have those of both levels."""

_MOST_FILES = 600


def last_call(level: Level) -> tuple[Path | None, dict[str, Any]]:
    """Record of the last call of the group level; nothing where there is none."""
    for path in sorted((level.output_dir / "logs").glob("*_settings.json"), reverse=True):
        settings = read_sidecar(path, optional=True)
        if settings.get("analysis_level") == "group":
            return path, settings
    return None, {}


def command(path: Path | None, settings: dict[str, Any]) -> str | None:
    """A call that does the same again; None without a record of the settings."""
    if path is None:
        return None
    words = [str(settings.get(key)) for key in ("bids_dir", "output_dir", "analysis_level")]
    return shlex.join(["bids-spheres", *words, "--config", str(path.resolve())])


def settings_told(settings: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values of the settings that concern the group level and say something."""
    return told({key: value for key, value in settings.items() if key in _OF_GROUP})


def versions(level: Level) -> tuple[tuple[str, str], ...]:
    """Software of the results and of this page."""
    described = read_description(level.output_dir)
    return (*(("Results", text) for text in generators(described)), *of_this_page())


def files_table(level: Level) -> Table:
    """Links to all tables of the group."""
    rows = [_row(path) for path in _paths(level.output_dir / GROUP_FOLDER)]
    rest = len(rows) - _MOST_FILES
    more = f" {rest:,} more are in the folder group." if rest > 0 else ""
    columns = (
        Column("What", numeric=False),
        Column("Of", numeric=False),
        Column("File", numeric=False),
    )
    caption = f"Tables of the group; each has a JSON file beside it that tells more.{more}"
    return Table(caption, columns, tuple(rows[:_MOST_FILES]))


def _paths(folder: Path) -> Iterator[Path]:
    tables = (path for path in folder.iterdir() if path.suffix in (".tsv", ".gz", ".parquet"))
    yield from sorted(tables, key=lambda path: (path.name.count("_") > 0, natural(path.name)))


def _row(path: Path) -> tuple[Cell, ...]:
    name = _parsed(path)
    suffix, of = ("", "all groups") if name is None else (name.suffix, title(name))
    kind = KINDS.get(suffix or path.name.partition(".")[0], "not by this version")
    return (
        Cell(kind),
        Cell(of),
        Cell(_ending(path, of), href=f"{GROUP_FOLDER}/{quote(path.name, safe='')}"),
    )


def _ending(path: Path, of: str) -> str:
    """Name of a file without what the column before it says."""
    return path.name.removeprefix(f"{of}_")


def _parsed(path: Path) -> Name | None:
    try:
        return parse_name(path.name)
    except ValueError:
        return None
