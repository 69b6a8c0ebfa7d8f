"""The report of a participant, made from what was written: ``sub-01.html``.

Design
------
`find` knows names, `tables` and `links` read files, `load` has all of a participant in memory.
Each section of the page has a module that turns this into charts, tables and sentences: `summary`,
`cautions`, `seeds`, `motion`, `signals`, `relations`, `regressors`, `methods_text`, `provenance`.
`page` puts them together. BOLD images are never opened, so that a report can be made again, years
later, from the results alone; input files that are still there add backgrounds and motion.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bids_spheres.bids.files import write_text
from bids_spheres.errors import BidsSpheresError
from bids_spheres.participant_report.find import participants_with_outputs, sessions_with_outputs
from bids_spheres.participant_report.load import load_participant
from bids_spheres.participant_report.page import participant_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ReportLevel = Literal["participant", "session", "none"]
"""Of what there is one page each."""

__all__ = [
    "ReportLevel",
    "Written",
    "load_participant",
    "participant_page",
    "participants_with_outputs",
    "report_missing",
    "write_report",
    "write_reports",
]


@dataclass(frozen=True)
class Written:
    """How the reports of one participant ended.

    Parameters
    ----------
    label : str
        Of the participant, without ``sub-``.
    paths : tuple of Path
        Pages.
    problem : str or None
        Why there is none.
    trace : str
        Where that came from, for debugging.
    """

    label: str
    paths: tuple[Path, ...] = ()
    problem: str | None = None
    trace: str = ""


def write_reports(
    output_dir: Path, labels: Sequence[str], level: ReportLevel = "participant", nprocs: int = 1
) -> Iterator[Written]:
    """Write the reports of participants; one that fails does not stop the others.

    Parameters
    ----------
    output_dir : Path
        Root of the results; the pages go there.
    labels : sequence of str
        Participants, without ``sub-``.
    level : {"participant", "session", "none"}
        One page for each participant, or for each session of those who have sessions.
    nprocs : int
        Processes at work at the same time.

    Yields
    ------
    Written
        For each participant, in their order.
    """
    if level == "none" or not labels:
        return
    workers = min(nprocs, len(labels))
    if workers == 1:
        yield from (_attempt(output_dir, label, level) for label in labels)
        return
    from joblib import Parallel, delayed  # noqa: PLC0415 - only for several processes

    calls = (delayed(_attempt)(output_dir, label, level) for label in labels)
    yield from Parallel(n_jobs=workers, return_as="generator")(calls)


def _attempt(output_dir: Path, label: str, level: ReportLevel) -> Written:
    try:
        return Written(label, write_report(output_dir, label, level))
    except Exception as error:  # noqa: BLE001 - results are written, and others have reports too
        known = isinstance(error, BidsSpheresError)
        problem = str(error) if known else f"Unexpected {type(error).__name__}: {error}"
        return Written(label, problem=problem, trace=traceback.format_exc())


def write_report(
    output_dir: Path, label: str, level: ReportLevel = "participant"
) -> tuple[Path, ...]:
    """Write the page of one participant, or those of the sessions.

    Parameters
    ----------
    output_dir : Path
    label : str
        Without ``sub-``.
    level : {"participant", "session", "none"}

    Returns
    -------
    tuple of Path
        None for a participant of whom nothing is known.

    Raises
    ------
    DataError, ReadWriteError
        When results can't be read.
    OutputError
        When a page can't be written.
    """
    paths = []
    for session in _pages(output_dir, label, level):
        participant = load_participant(output_dir, label, session)
        if participant.runs or participant.failures:
            paths.append(_path(output_dir, label, session))
            write_text(paths[-1], participant_page(participant).html)
    return tuple(paths)


def report_missing(output_dir: Path, label: str, level: ReportLevel) -> bool:
    """Whether a page of a participant's is not there."""
    pages = _pages(output_dir, label, level)
    return any(not _path(output_dir, label, session).is_file() for session in pages)


def _pages(output_dir: Path, label: str, level: ReportLevel) -> list[str | None]:
    """Sessions that have a page each; None stands for the participant's."""
    if level == "none":
        return []
    sessions = sessions_with_outputs(output_dir, label) if level == "session" else []
    return [*sessions] or [None]


def _path(output_dir: Path, label: str, session: str | None) -> Path:
    return output_dir / f"sub-{label}{f'_ses-{session}' if session else ''}.html"
