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

    from bids_spheres.participant.job import Outcome

logger = logging.getLogger(__name__)

COLUMNS = ("run", "level", "message")  # columns of the table of messages
# What differs between messages of one kind: names of files and of runs, numbers.
_VARYING = re.compile(r"\S*/\S*|\S*sub-\S*|\d+(\.\d+)?")


def kind_of(message: str) -> str:
    """What messages about different files and runs have in common."""
    return _VARYING.sub("", message)


class RunMessages:
    """Warnings and errors of runs, those of one kind together, and all in a table at `path`.

    `known` are runs and strategies whose failure was logged before.
    """

    def __init__(self, path: Path, known: Collection[tuple[str, str]]) -> None:
        self._path, self._known = path, set(known)
        # Runs and what each says, by the level and the kind of message.
        self._kinds: dict[tuple[int, str], list[tuple[str, str]]] = defaultdict(list)

    def add(self, outcome: Outcome, strategies: Collection[str]) -> None:
        """Keep what a run says, to which these strategies were to be applied."""
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
        self._kinds[level, kind_of(text)].append((run, text))

    def log(self) -> None:
        """Log a line for each kind, warnings first; the table is written if one has several."""
        if any(len(entries) > 1 for entries in self._kinds.values()):
            rows = [
                (cell(run), logging.getLevelName(level).lower(), cell(text))
                for (level, _), entries in self._kinds.items()
                for run, text in entries
            ]
            write_text(self._path, table_text(COLUMNS, rows))
        for (level, _), entries in sorted(self._kinds.items(), key=lambda item: item[0][0]):
            (run, text), others = entries[0], len(entries) - 1
            more = f" and {count(others, 'more run')} in {self._path}" if others else ""
            logger.log(level, "%s%s: %s", run, more, text)
