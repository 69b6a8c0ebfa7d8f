"""Write the pages of participants at the end of a call, or alone."""

from __future__ import annotations

import logging
import traceback
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bids_spheres.errors import MissingInputError, NothingSelectedError, describe_error
from bids_spheres.files.atomic import write_text
from bids_spheres.outputs.find import labels_with_folders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from bids_spheres.execute import Executor

logger = logging.getLogger(__name__)
# What each page is about; ``"none"``: no pages
ReportLevel = Literal["participant", "session", "none"]


@dataclass(frozen=True)
class Written:
    """Pages of one participant, or why they could not be written."""

    label: str  # Without ``sub-``
    paths: tuple[Path, ...] = ()
    problem: str | None = None
    trace: str = ""  # Traceback of the problem


@dataclass(frozen=True)
class Pages:
    """Pages of one participant to be written into the results' root."""

    output_dir: Path
    label: str  # Without ``sub-``
    level: ReportLevel = "participant"

    def __str__(self) -> str:
        return f"sub-{self.label}"


def attempt_report(pages: Pages) -> Written:
    """Write the pages of a participant; a problem is returned, not raised."""
    try:
        return Written(pages.label, write_report(pages.output_dir, pages.label, pages.level))
    except Exception as error:  # noqa: BLE001 - results are written, and others have reports too
        problem, _ = describe_error(error)
        return Written(pages.label, problem=problem, trace=traceback.format_exc())


def write_report(
    output_dir: Path, label: str, level: ReportLevel = "participant"
) -> tuple[Path, ...]:
    """Write the page of one participant, or those of the sessions; none without results.

    A DataError or ReadWriteError says what can't be read, an OutputError what can't be written.
    """
    # Figures take long to import, and a repeated call seldom writes a page.
    from bids_spheres.reports.participant.load import load_participant  # noqa: PLC0415
    from bids_spheres.reports.participant.page import participant_page  # noqa: PLC0415

    written = []
    for session, path in _pages(output_dir, label, level):
        participant = load_participant(output_dir, label, session)
        if participant.runs or participant.failures:
            write_text(path, participant_page(participant).html)
            written.append(path)
    return tuple(written)


def pages_of(output_dir: Path, label: str) -> list[Path]:
    """Existing pages of a participant and of the sessions."""
    levels: tuple[ReportLevel, ...] = ("participant", "session")
    # Names are tried, as the folder can hold the pages of ten thousand other participants.
    tried = dict.fromkeys(path for each in levels for _, path in _pages(output_dir, label, each))
    return [path for path in tried if path.is_file()]


def _pages(output_dir: Path, label: str, level: ReportLevel) -> list[tuple[str | None, Path]]:
    """Session of each page, None for the whole participant, and its path."""
    if level == "none":
        return []
    person = output_dir / f"sub-{label}"
    sessions = labels_with_folders(person, "ses") if level == "session" else []
    whole = [(None, output_dir / f"sub-{label}.html")]
    return [(ses, output_dir / f"sub-{label}_ses-{ses}.html") for ses in sessions] or [*whole]


def outdated_participants(
    output_dir: Path, level: ReportLevel, labels: Iterable[str], changed: Collection[str]
) -> list[str]:
    """Participants of whom a run was done or has failed (`changed`), or whose page is missing."""
    pages = {label: _pages(output_dir, label, level) for label in labels}
    return [
        label
        for label, own in pages.items()
        if label in changed or not all(path.is_file() for _, path in own)
    ]


def participants_to_report(output_dir: Path, labels: Sequence[str]) -> list[str]:
    """Participants with results, or those of them who are named; the input need not exist."""
    known = labels_with_folders(output_dir, "sub")
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
    """Write the pages of participants, and return those that failed; `debug` logs tracebacks."""
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
