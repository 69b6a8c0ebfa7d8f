"""The report of a participant from the written results: ``sub-01.html``.

Design
------
`load` holds all results of a participant, as `bids_spheres.outputs` finds and reads them. Each
section of the page has a module that turns these into charts, tables and sentences: `summary`,
`run_warnings`, `sphere_section`, `motion_charts`, `signals`, `relations`, `seed_maps`,
`regressor_correlations`, `methods_text`, `provenance`; `page` joins them, and `write_pages` writes
the pages of all participants. BOLD images are never opened, so that a report can be written again,
years later, from the results alone; input files that still exist add backgrounds and motion.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bids_spheres.errors import describe_error
from bids_spheres.files.atomic import write_text
from bids_spheres.outputs.find import participants_with_outputs, sessions_with_outputs

if TYPE_CHECKING:
    from pathlib import Path

ReportLevel = Literal["participant", "session", "none"]
"""What each page is about; ``"none"``: no pages."""

__all__ = [
    "Pages",
    "ReportLevel",
    "Written",
    "attempt_report",
    "pages_of",
    "participants_with_outputs",
    "report_missing",
    "write_report",
]


@dataclass(frozen=True)
class Written:
    """Pages of one participant, or why they could not be written."""

    label: str  # Of the participant, without ``sub-``
    paths: tuple[Path, ...] = ()
    problem: str | None = None
    trace: str = ""  # Traceback of the problem


@dataclass(frozen=True)
class Pages:
    """Pages of one participant that are to be written."""

    output_dir: Path  # Root of the results; the pages go there
    label: str  # Of the participant, without ``sub-``
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

    Results that can't be read are a DataError or a ReadWriteError, a page that can't be written an
    OutputError.
    """
    # Figures take long to import, and a repeated call seldom writes a page.
    from bids_spheres.reports.participant.load import load_participant  # noqa: PLC0415
    from bids_spheres.reports.participant.page import participant_page  # noqa: PLC0415

    paths = []
    for session in _pages(output_dir, label, level):
        participant = load_participant(output_dir, label, session)
        if participant.runs or participant.failures:
            paths.append(_path(output_dir, label, session))
            write_text(paths[-1], participant_page(participant).html)
    return tuple(paths)


def report_missing(output_dir: Path, label: str, level: ReportLevel) -> bool:
    """Whether a page of a participant is missing."""
    pages = _pages(output_dir, label, level)
    return any(not _path(output_dir, label, session).is_file() for session in pages)


def pages_of(output_dir: Path, label: str) -> list[Path]:
    """Existing pages of a participant and of the sessions.

    Their names are tried, as the folder can hold the pages of ten thousand other participants.
    """
    sessions = [None, *sessions_with_outputs(output_dir, label)]
    paths = (_path(output_dir, label, session) for session in sessions)
    return [path for path in paths if path.is_file()]


def _pages(output_dir: Path, label: str, level: ReportLevel) -> list[str | None]:
    """Sessions that have a page each; None stands for the participant."""
    if level == "none":
        return []
    sessions = sessions_with_outputs(output_dir, label) if level == "session" else []
    return [*sessions] or [None]


def _path(output_dir: Path, label: str, session: str | None) -> Path:
    return output_dir / f"sub-{label}{f'_ses-{session}' if session else ''}.html"
