"""What runs have to say to the user, each thing once however many runs say it."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from bids_spheres.files.atomic import cell, table_text, write_text
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from bids_spheres.participant.outcomes import Outcome

logger = logging.getLogger(__name__)

COLUMNS = ("run", "level", "message")
"""Of the table of messages."""

_VARYING = re.compile(r"\S*/\S*|\S*sub-\S*|\d+(\.\d+)?")
"""What differs between messages of one kind: names of files and of runs, numbers."""

Entries = list[tuple[str, str]]
"""Runs and what each says."""


class RunMessages:
    """Warnings and errors of runs, those of one kind together.

    Parameters
    ----------
    path : Path
        Of the table that lists all of them, when several are of one kind.
    known : collection of (str, str)
        Runs and strategies whose failure the user was told before.
    """

    def __init__(self, path: Path, known: Collection[tuple[str, str]]) -> None:
        self._path, self._known = path, set(known)
        self._kinds: dict[tuple[int, str], Entries] = defaultdict(list)

    def add(self, outcome: Outcome, strategies: Collection[str]) -> None:
        """Keep what a run says.

        Parameters
        ----------
        outcome : Outcome
        strategies : collection of str
            All that were to be applied to the run.
        """
        run = outcome.job
        for warning in outcome.report.warnings:
            self._add(logging.WARNING, run, warning)
        for failed in outcome.report.failed:
            if (run, failed.name) not in self._known:
                self._add(logging.ERROR, run, f"{failed.name}: {failed.error}")
        all_known = {(run, name) for name in strategies} <= self._known
        if outcome.error and not outcome.report.failed and not all_known:
            self._add(logging.ERROR, run, outcome.error)

    def _add(self, level: int, run: str, text: str) -> None:
        self._kinds[level, _VARYING.sub("", text)].append((run, text))

    def log(self, level: int) -> None:
        """Log one line for each kind of message of a level."""
        for (kind_level, _), entries in self._kinds.items():
            if kind_level == level:
                logger.log(level, "%s: %s", self._runs(entries), entries[0][1])

    def write(self) -> None:
        """Write the table of all messages, if several are of one kind.

        Raises
        ------
        OutputError
            When it can't be written.
        """
        if all(len(entries) == 1 for entries in self._kinds.values()):
            return
        rows = [
            (cell(run), logging.getLevelName(level).lower(), cell(text))
            for (level, _), entries in self._kinds.items()
            for run, text in entries
        ]
        write_text(self._path, table_text(COLUMNS, rows))

    def _runs(self, entries: Entries) -> str:
        first, others = entries[0][0], len(entries) - 1
        return f"{first} and {count(others, 'more run')} in {self._path}" if others else first
