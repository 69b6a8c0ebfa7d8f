"""The report of a group from the results of the group level: ``group.html``.

Design
------
`load` reads the small tables of all groups at once, and matrices only when a section needs them.
Each section of the page has a module that turns these into charts, tables and sentences:
`group_warnings`, `strategies`, `participants`, `coverage`, `mean_connectivity`, `network_means`,
`model`, `contrasts`, `methods_text`, `provenance`; `page` joins them, and limits how many groups
have matrices.
Outputs of single participants are not opened but for one brain behind the spheres, so that a page
of a thousand participants takes as long as one of ten, and can be written again from the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.files.atomic import temporary_files_in, write_text
from bids_spheres.reports.group.load import load_level
from bids_spheres.reports.group.page import group_page

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "group.html"
"""Name of the page in the output dataset."""

__all__ = ["PAGE", "group_page", "load_level", "write_group_report"]


def write_group_report(output_dir: Path, temporary_dir: Path | None = None) -> Path:
    """Write the page of the group level.

    Parameters
    ----------
    output_dir : Path
        Root of the results; the page goes there.
    temporary_dir : Path, optional
        Where temporary files go; `output_dir` without it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    MissingInputError
        When there are no results of the group level.
    DataError, ReadWriteError
        When results can't be read.
    OutputError
        When the page or temporary files can't be written.
    """
    level = load_level(output_dir)
    with temporary_files_in(temporary_dir or output_dir):
        html = group_page(level).html
    path = output_dir / PAGE
    write_text(path, html)
    return path
