"""Settings to the results of the group, and a page about them."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING

from bids_spheres.app.group_options import describe_groups, group_options
from bids_spheres.files.atomic import temporary_files_in
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.logs import write_record
from bids_spheres.outputs.paths import GROUP_FOLDER

if TYPE_CHECKING:
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


def run_group_level(settings: Settings) -> list[str]:
    """Run the group level; return what failed, and why.

    Only outputs of the participant level are read, and the table of participants that a model
    needs. An error when nothing can be done at all.
    """
    out = settings.output_dir
    problems: list[str] = []
    if settings.execution.executor == "dask":
        logger.warning("--executor dask does nothing at the group level, which is one process.")
    if not settings.reports_only:
        # A folder that is not an output is refused, and not created.
        with temporary_files_in(settings.temporary_dir) if out.is_dir() else nullcontext():
            problems = run_group(out, group_options(settings))
        write_record(out, settings.to_json())
        logger.info("Results of the group: %s", out / GROUP_FOLDER)
    for problem in problems:
        logger.error("%s", problem)
    if settings.report_level != "none":
        from bids_spheres.reports.group import write_group_report  # noqa: PLC0415 - loads Jinja

        logger.info("Report: %s", write_group_report(out, settings.temporary_dir))
    return problems


def dry_run_group(settings: Settings) -> None:
    """Print the groups and their numbers of participants; nothing is written."""
    for line in describe_groups(settings):
        print(line)  # noqa: T201 - what was asked for
