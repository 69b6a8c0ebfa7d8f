"""Write the pages of participants at the end of a call, or alone."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError, NothingSelectedError
from bids_spheres.reports.participant import (
    Pages,
    Written,
    attempt_report,
    participants_with_outputs,
    report_missing,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from bids_spheres.execute.executor import Executor
    from bids_spheres.reports.participant import ReportLevel

logger = logging.getLogger(__name__)


def outdated_participants(
    output_dir: Path, level: ReportLevel, labels: Iterable[str], changed: Collection[str]
) -> list[str]:
    """Participants whose pages have to be written: something has changed, or a page is missing.

    Labels are without ``sub-``; of those in `changed` a run was done or has failed.
    """
    return [
        label
        for label in dict.fromkeys(labels)
        if label in changed or report_missing(output_dir, label, level)
    ]


def participants_to_report(output_dir: Path, labels: Sequence[str]) -> list[str]:
    """Participants with results, or those of them who are named; the input need not exist."""
    known = participants_with_outputs(output_dir)
    if not known:
        raise MissingInputError(
            f"{output_dir} holds no results to report.",
            hint="Call without --reports-only first; it makes the pages as well.",
        )
    if missing := [label for label in labels if label not in known]:
        raise NothingSelectedError(
            f"{output_dir} has no results of {', '.join(missing)}.",
            hint=f"It has those of {', '.join(known[:10])}{' ...' if len(known) > 10 else ''}.",
        )
    return list(labels) or known


def write_reports(
    executor: Executor,
    output_dir: Path,
    level: ReportLevel,
    labels: Sequence[str],
    *,
    debug: bool = False,
) -> list[Written]:
    """Write the pages of participants, and return those that could not be written.

    With `debug`, the log says where an error comes from.
    """
    wanted = [Pages(output_dir, label, level) for label in labels] if level != "none" else []
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
