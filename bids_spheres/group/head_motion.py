"""Mean framewise displacement of participants: how much they moved, whatever was done about it.

Neither censoring nor the exclusion of runs changes it, so that it is the same number for all
strategies, and QC-FC can't improve by leaving out those volumes that moved.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from math import isnan, nan
from typing import TYPE_CHECKING

from bids_spheres.errors import BidsSpheresError
from bids_spheres.group.facts import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bids_spheres.files.names import Name
    from bids_spheres.group.facts import RunFacts
    from bids_spheres.outputs.find import OutputFile

_NOT_OF_THE_SCAN = frozenset({"atlas", "seg", "scale", "stat", "echo", "part"})
"""Entities of which all labels share one measurement of head motion."""


class HeadMotion:
    """Mean framewise displacement over all volumes of all runs of a task, before censoring.

    Parameters
    ----------
    files : iterable of OutputFile
        Matrices of all selected runs, after any strategy; of each run sidecars are read until one
        knows its motion.
    by_session, within_task : bool
        Whether sessions are groups by themselves, and have a mean of their own; whether all tasks
        are one group.
    """

    def __init__(
        self, files: Iterable[OutputFile], *, by_session: bool, within_task: bool = False
    ) -> None:
        self._by_session, self._within_task = by_session, within_task
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        by_run: dict[tuple[tuple[str, str], ...], list[OutputFile]] = defaultdict(list)
        for file in files:
            entities = (e for e in file.name.source if e[0] not in _NOT_OF_THE_SCAN)
            by_run[tuple(entities)].append(file)
        for own in by_run.values():
            facts = None
            for facts in filter(None, map(_readable_facts, own)):
                if not isnan(facts.mean_fd):
                    break
            if facts is not None:
                key = self._key(own[0].participant, own[0].name)
                total, volumes = self._sums.get(key, (0.0, 0))
                self._sums[key] = total + facts.n_fd * facts.mean_fd, volumes + facts.n_fd

    def of(self, participant: str, group: Name) -> float:
        """Mean of a participant in the task of a group, mm; NaN where a run's is not known."""
        total, volumes = self._sums.get(self._key(participant, group), (nan, 0))
        return total / volumes if volumes else nan

    def _key(self, participant: str, name: Name) -> tuple[str, ...]:
        session = name.get("ses") if self._by_session else None
        task = None if self._within_task else name.get("task")
        return participant, task or "", session or ""


def _readable_facts(file: OutputFile) -> RunFacts | None:
    """Facts of a run; None for several runs together, and where its own use reports the error."""
    with suppress(BidsSpheresError):
        return read_facts(file.path)
    return None
