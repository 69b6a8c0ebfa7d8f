"""The participant in a few sentences and one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bids_spheres.reports.participant.run_warnings import by_space_and_strategy
from bids_spheres.reports.toolkit.render import Cell, Column, Table, number_cell
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.participant.load import Participant, Run

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


_ANEW = "MeanFramewiseDisplacementRecomputed"


def summary(participant: Participant) -> Iterator[str]:
    """Sentences at the top."""
    if not participant.runs:
        yield f"There are no results of {participant.title}."
        return
    single = [run for run in participant.runs if not run.files.together]
    sets = [seeds.files for run in participant.runs for seeds in run.sets]
    labels = list(dict.fromkeys(files.label for files in sets))
    spaces = list(dict.fromkeys(files.space for files in sets))
    strategies = list(dict.fromkeys(s for run in participant.runs for s in run.strategies))
    yield (
        f"{count(len(single), 'run')} in {listing(spaces)}; "
        f"{count(len(labels), 'seed set')} ({listing(labels, most=8)}); "
        f"{count(len(strategies), 'strategy', 'strategies')} ({listing(strategies, most=8)})."
    )
    if keeping := [s for s in strategies if not any(_censors_motion(run, s) for run in single)]:
        yield (
            f"{listing(keeping, most=16)} {'censors' if len(keeping) == 1 else 'censor'} nothing: "
            "volumes with much motion stay in."
        )


def _censors_motion(run: Run, strategy: str) -> bool:
    """Whether a volume can be censored for motion, by a threshold or a table of outliers."""
    for seeds in run.sets:
        facts = seeds.facts.get(strategy, {})
        thresholds = facts.get("CensoringThresholds") or {}
        limits = ("fd_threshold", "std_dvars_threshold", "rmsd_threshold")
        if any(thresholds.get(key) is not None for key in limits) or (
            facts.get("CensoredVolumes") or {}
        ).get("external"):
            return True
    return False


def runs_table(participant: Participant) -> Table:
    """A row for every run, space and strategy."""
    spaces = {seeds.files.space for run in participant.runs for seeds in run.sets}
    all_facts = [f for run in participant.runs for _, _, f in by_space_and_strategy(run)]
    anew = [_ANEW] * any(facts.get(_ANEW) is not None for facts in all_facts)
    rows = []
    for run in participant.runs:
        for space, strategy, facts in by_space_and_strategy(run):
            dims = ("DimensionsLostToFilter", "DimensionsLostToCensoring", "DegreesOfFreedom")
            *lost, left = (
                number_cell(value, int(isinstance(value, float) and not value.is_integer()))
                for value in map(facts.get, dims)
            )
            if facts.get("Excluded"):
                left = replace(left, text=f"{left.text} (excluded)", tone="bad")
            rows.append(
                (
                    Cell(run.title, href=f"#{run.anchor}"),
                    *((Cell(space),) if len(spaces) > 1 else ()),
                    Cell(strategy),
                    number_cell(facts.get("NumberOfVolumes"), 0),
                    number_cell(facts.get("NumberOfVolumesKept"), 0),
                    number_cell(facts.get("MeanFramewiseDisplacement"), 2),
                    *(number_cell(facts.get(key), 2) for key in anew),
                    number_cell(facts.get("RankRemoved"), 0),
                    *lost,
                    left,
                )
            )
    where = (Column("Space", numeric=False),) if len(spaces) > 1 else ()
    recomputed = (Column("Mean FD recomputed", unit="mm"),) if anew else ()
    columns = (Column("Run", numeric=False), *where, *_COLUMNS[:4], *recomputed, *_COLUMNS[4:])
    return Table("Runs, and what each strategy leaves of them.", columns, tuple(rows), head=0)
