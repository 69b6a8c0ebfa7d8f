"""Origin of the group's results: the call, its settings, versions, and the files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from bids_spheres.files.names import natural, parse_name
from bids_spheres.outputs.links import read_description
from bids_spheres.outputs.logs import last_settings
from bids_spheres.outputs.paths import (
    CONTRAST,
    GROUP_FOLDER,
    group_of_contrast,
    of_contrast,
    title,
)
from bids_spheres.reports.participant.provenance import (
    command,
    generators,
    settings_in_words,
    versions_of_this_page,
)
from bids_spheres.reports.toolkit.render import Cell, Column, Table, table_of, text_column
from bids_spheres.settings import GROUP, Settings, declared_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KINDS = {
    "runs": "quality of every run",
    "strategies": "strategies, with the effect of motion that is left",
    "coverage": "seeds that the group has, and where they are",
    "mean": "mean over participants",
    "sd": "standard deviation over participants",
    "n": "participants of each pair",
    "t": "Student's t of the mean",
    "p": "p of t, not corrected",
    "q": "p corrected for all pairs",
    "edges": "index of pairs: nodes, networks, distance, QC-FC",
    "networks": "means within and between networks",
    "model": "coefficients and tests of the model",
    "contrast-_edges": "effects and tests of a contrast",
    "contrast-_nbs": "components of pairs of a contrast",
    "contrast-_cnbs": "pairs of networks of a contrast",
    "harmonization": "effects of sites that ComBat removed",
    "reliability": "reliability of each pair over sessions or runs",
    "networkreliability": "reliability of means of networks",
    "stacked": "pairs of every participant, for machine learning",
    "participants": "participants with a result, and why others have none",
}
"""Descriptions of the tables by their suffixes; a JSON file beside each has more."""

_MOST_FILES = 600


def origin(output_dir: Path) -> Mapping[str, object]:
    """Command, settings, versions and files, by the names of the template's variables."""
    path, settings = last_settings(output_dir, lambda call: call.get("analysis_level") == GROUP)
    # Records have the options of both levels.
    used = {each.name for each in declared_options(Settings) if GROUP in each.option.levels}
    software = generators(read_description(output_dir))
    return {
        "command": command(path, settings, output_dir),
        "settings": settings_in_words({k: v for k, v in settings.items() if k in used}),
        "versions": (*(("Results", text) for text in software), *versions_of_this_page()),
        "files": files_table(output_dir / GROUP_FOLDER),
    }


def files_table(folder: Path) -> Table:
    """Links to all tables of the group."""
    tables = [path for path in folder.iterdir() if path.suffix in (".tsv", ".gz", ".parquet")]
    tables.sort(key=lambda path: (path.name.count("_") > 0, natural(path.name)))
    kinds, groups, links = [], [], []
    for path in tables[:_MOST_FILES]:
        try:
            name = parse_name(path.name)
        except ValueError:  # a table of all groups, or not ours
            kind, group = path.name.partition(".")[0], "all groups"
        else:
            own = name.get(CONTRAST)
            kind = of_contrast("", name.suffix) if own else name.suffix
            group = title(group_of_contrast(name))
        kinds.append(KINDS.get(kind, "not by this version"))
        groups.append(group)
        ending = path.name.removeprefix(f"{group}_")
        links.append(Cell(ending, href=f"{GROUP_FOLDER}/{quote(path.name, safe='')}"))
    rest = len(tables) - _MOST_FILES
    more = f" {rest:,} more are in the folder group." if rest > 0 else ""
    return table_of(
        f"Tables of the group; the JSON file beside each describes it.{more}",
        text_column("Content", kinds),
        text_column("Of", groups),
        (Column("File", numeric=False), links),
        file="the folder group",
    )
