"""The participant in a few sentences and one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.reports.toolkit.render import Cell, Column, Table
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bids_spheres.reports.participant.load import Participant, Run, SeedSet

_THRESHOLDS = ("fd_threshold", "std_dvars_threshold")

_COLUMNS = (
    Column("Strategy", numeric=False),
    Column("Volumes"),
    Column("Kept"),
    Column("Mean FD", unit="mm"),
    Column("Rank removed"),
    Column("Lost to filter", unit="d.o.f."),
    Column("Lost to censoring", unit="d.o.f."),
    Column("Degrees of freedom", unit="left"),
)


def summary(participant: Participant) -> Iterator[str]:
    """Sentences at the top."""
    single = [run for run in participant.runs if not run.files.together]
    sets = dict.fromkeys(one.files.label for run in participant.runs for one in run.sets)
    spaces = dict.fromkeys(one.files.space for run in participant.runs for one in run.sets)
    strategies = dict.fromkeys(s for run in participant.runs for s in run.strategies)
    if not participant.runs:
        yield f"No results of {participant.title} are there."
        return
    parts = (
        f"{count(len(single), 'run')} in {listing(list(spaces))}",
        _named("seed set", list(sets)),
        _named("strategy", list(strategies), "strategies"),
    )
    yield f"{'; '.join(parts)}."
    if keeping := [s for s in strategies if all(_keeps_all(run, s) for run in single)]:
        yield (
            f"{listing(keeping, most=16)} {'censors' if len(keeping) == 1 else 'censor'} nothing: "
            "volumes with much motion stay in."
        )


def _keeps_all(run: Run, strategy: str) -> bool:
    """Whether no volume can leave for motion, by a threshold or a table of outliers."""
    facts = [one.facts[strategy] for one in run.sets if strategy in one.facts]
    thresholds = [part.get("CensoringThresholds") or {} for part in facts]
    external = [(part.get("CensoredVolumes") or {}).get("external") for part in facts]
    limits = [rules.get(key) for rules in thresholds for key in _THRESHOLDS]
    return all(limit is None for limit in limits) and not any(external)


def _named(thing: str, names: list[str], things: str | None = None) -> str:
    return f"{count(len(names), thing, things)} ({listing(names, most=8)})"


def runs_table(participant: Participant) -> Table:
    """A row for every run, space and strategy."""
    rows = []
    with_space = len({one.files.space for run in participant.runs for one in run.sets}) > 1
    where = (Column("Space", numeric=False),) if with_space else ()
    columns = (Column("Run", numeric=False), *where, *_COLUMNS)
    for run in participant.runs:
        seen = set()
        for one in run.sets:
            for strategy in run.strategies:
                key = (one.files.space, strategy)
                if strategy in one.facts and key not in seen:
                    seen.add(key)
                    rows.append(_row(run, one, strategy, with_space=with_space))
    return Table("Runs, and what each strategy leaves of them.", columns, tuple(rows), head=0)


def _row(run: Run, one: SeedSet, strategy: str, *, with_space: bool) -> tuple[Cell, ...]:
    facts = one.facts[strategy]
    n_volumes = facts.get("NumberOfVolumes")
    return (
        Cell(run.title, href=f"#{run.anchor}"),
        *((Cell(one.files.space),) if with_space else ()),
        Cell(strategy),
        _number(n_volumes, 0),
        _number(facts.get("NumberOfVolumesKept"), 0),
        _number(facts.get("MeanFramewiseDisplacement"), 2),
        _number(facts.get("RankRemoved"), 0),
        _share(facts.get("DimensionsLostToFilter")),
        _share(facts.get("DimensionsLostToCensoring")),
        _degrees(facts),
    )


def _degrees(facts: Mapping[str, Any]) -> Cell:
    cell = _share(facts.get("DegreesOfFreedom"))
    return (
        replace(cell, text=f"{cell.text} (excluded)", tone="bad") if facts.get("Excluded") else cell
    )


def _share(value: Any) -> Cell:
    """Degrees of freedom, whole ones without a decimal."""
    return _number(value, int(isinstance(value, float) and not value.is_integer()))


def _number(value: Any, digits: int) -> Cell:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return Cell("n/a", "")
    return Cell(number(value, digits), value)
