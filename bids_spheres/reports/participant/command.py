"""Reports at the end of a call, or alone."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError, NothingSelectedError
from bids_spheres.files.atomic import temporary_files_in
from bids_spheres.reports.participant import (
    Pages,
    Written,
    attempt_report,
    participants_with_outputs,
    report_missing,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from bids_spheres.execute.executor import Executor
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


def report(
    executor: Executor,
    settings: Settings,
    labels: Iterable[str | None],
    changed: Collection[str | None],
    *,
    debug: bool = False,
) -> list[Written]:
    """Write the pages of participants of whom something has changed, or that have none.

    Parameters
    ----------
    executor : Executor
        Has the pages made.
    settings : Settings
    labels : iterable of str
        Participants of a call, without ``sub-``.
    changed : collection of str
        Those among them of whom a run was done or has failed.
    debug : bool
        Log where an error comes from.

    Returns
    -------
    list of Written
        Participants whose page could not be made.
    """
    out, level = settings.output_dir, settings.report_level
    wanted = [
        label
        for label in dict.fromkeys(labels)
        if label is not None
        if label in changed or report_missing(out, label, level)
    ]
    return _write(executor, settings, wanted, debug=debug)


def reports_only(executor: Executor, settings: Settings, *, debug: bool = False) -> list[Written]:
    """Write the pages again, from results that are there; the input need not be.

    Parameters
    ----------
    executor : Executor
        Has the pages made.
    settings : Settings
        Of which the output folder, participants, and what is said of reports count.
    debug : bool
        Log where an error comes from.

    Returns
    -------
    list of Written
        Participants whose page could not be made.

    Raises
    ------
    MissingInputError
        When there are no results.
    NothingSelectedError
        When there are none of the participants asked for.
    OutputError
        When temporary files can't be written.
    """
    chosen = _chosen(settings)
    with temporary_files_in(settings.temporary_dir):
        return _write(executor, settings, chosen, debug=debug)


def _chosen(settings: Settings) -> list[str]:
    there = participants_with_outputs(settings.output_dir)
    if not there:
        raise MissingInputError(
            f"{settings.output_dir} holds no results to report.",
            hint="Call without --reports-only first; it makes the pages as well.",
        )
    asked = settings.labels.participant_label
    if missing := [label for label in asked if label not in there]:
        raise NothingSelectedError(
            f"{settings.output_dir} has no results of {', '.join(missing)}.",
            hint=f"It has those of {', '.join(there[:10])}{' ...' if len(there) > 10 else ''}.",
        )
    return list(asked) or there


def _write(
    executor: Executor, settings: Settings, labels: list[str], *, debug: bool
) -> list[Written]:
    out, level = settings.output_dir, settings.report_level
    wanted = [Pages(out, label, level) for label in labels] if level != "none" else []
    failed: list[Written] = []
    paths: list[Path] = []
    with closing(executor.run(attempt_report, wanted)) as ends:
        for pages, made in ends:
            end = made if isinstance(made, Written) else Written(pages.label, problem=str(made))
            paths += end.paths
            if end.problem is not None:
                failed.append(end)
                told = end.trace if debug and end.trace else end.problem
                logger.error("No report of sub-%s: %s", end.label, told)
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        logger.info("Reports: %s%s", min(paths), more)
    return failed
