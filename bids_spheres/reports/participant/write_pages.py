"""Write the pages of participants at the end of a call, or alone."""

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
from bids_spheres.wording import listing

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
    """Write the pages of participants whose results have changed, or who have no page.

    Parameters
    ----------
    executor : Executor
        Runs the pages.
    settings : Settings
    labels : iterable of str
        Participants of a call, without ``sub-``.
    changed : collection of str
        Participants with a run that was done or failed.
    debug : bool
        Log the traceback of an error.

    Returns
    -------
    list of Written
        Participants whose page could not be written.
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
    """Write the pages again, from existing results and without the input dataset.

    Parameters
    ----------
    executor : Executor
        Runs the pages.
    settings : Settings
    debug : bool
        Log the traceback of an error.

    Returns
    -------
    list of Written
        Participants whose page could not be written.

    Raises
    ------
    MissingInputError
        When there are no results.
    NothingSelectedError
        When a selected participant has no results.
    OutputError
        When temporary files can't be written.
    """
    available = participants_with_outputs(settings.output_dir)
    if not available:
        raise MissingInputError(
            f"{settings.output_dir} holds no results to report.",
            hint="Call without --reports-only first; it makes the pages as well.",
        )
    selected = settings.labels.participant_label
    if missing := [label for label in selected if label not in available]:
        raise NothingSelectedError(
            f"{settings.output_dir} has no results of {', '.join(missing)}.",
            hint=f"It has those of {listing(available, most=10)}.",
        )
    with temporary_files_in(settings.temporary_dir):
        return _write(executor, settings, list(selected) or available, debug=debug)


def _write(
    executor: Executor, settings: Settings, labels: list[str], *, debug: bool
) -> list[Written]:
    out, level = settings.output_dir, settings.report_level
    wanted = [Pages(out, label, level) for label in labels] if level != "none" else []
    failed: list[Written] = []
    paths: list[Path] = []
    with closing(executor.run(attempt_report, wanted)) as ends:
        for pages, result in ends:
            if not isinstance(result, Written):  # the worker died
                result = Written(pages.label, problem=str(result))  # noqa: PLW2901
            paths += result.paths
            if result.problem is not None:
                failed.append(result)
                text = result.trace if debug and result.trace else result.problem
                logger.error("No report of sub-%s: %s", result.label, text)
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        logger.info("Reports: %s%s", min(paths), more)
    return failed
