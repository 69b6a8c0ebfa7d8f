"""The participant in a few sentences and one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.participant.run_warnings import by_space_and_strategy
from bids_spheres.reports.toolkit.limits import (
    Judgement,
    Verdict,
    judge_censoring,
    judge_degrees_of_freedom,
    judge_motion,
)
from bids_spheres.reports.toolkit.render import Cell, Column, Table, number_cell
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.files.text import JsonObject
    from bids_spheres.reports.participant.load import Participant, Run

_COLUMNS = (
    Column("Strategy", numeric=False),
    Column("Degrees of freedom", unit="left"),
    Column("Kept", unit="volumes"),
    Column("Volumes"),
    Column("Mean FD", unit="mm"),
    Column("Rank removed"),
    Column("Lost to filter", unit="d.o.f."),
    Column("Lost to censoring", unit="d.o.f."),
)


_ANEW = "MeanFramewiseDisplacementRecomputed"


def summary(participant: Participant) -> Iterator[str]:
    """Sentences at the top."""
    if not participant.runs:
        yield f"No results of {participant.title} were written."
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


def verdicts(participant: Participant) -> Iterator[Verdict]:
    """A line for every run: volumes kept, motion, degrees of freedom after the worst strategy."""
    for run in participant.runs:
        every = [(s, facts) for _, s, facts in by_space_and_strategy(run)]
        used = [(s, facts) for s, facts in every if not facts.get("Excluded")]
        judged = []
        if excluded := list(dict.fromkeys(s for s, facts in every if facts.get("Excluded"))):
            judged.append(Judgement(f"excluded for {listing(excluded, most=16)}", "bad"))
        for key, judge in (("NumberOfVolumesKept", _kept), ("DegreesOfFreedom", _left)):
            known = [
                (facts[key], s, facts) for s, facts in used if isinstance(facts.get(key), _REAL)
            ]
            if known:
                least, strategy, facts = min(known, key=lambda item: item[0])
                judgement = judge(facts)
                differ = least != max(value for value, *_ in known)
                after = f" after {strategy}" if differ else ""
                words, colon, word = judgement.text.partition(":")
                judged.append(Judgement(words + after + colon + word, judgement.tone))
        if motion := [fd for _, facts in every if np.isfinite(fd := _mean_fd(facts))]:
            judged.insert(len(judged) - 1, judge_motion(max(motion)))
        yield Verdict.of(run.anchor, run.title, judged)


_REAL = (int, float)


def _kept(facts: JsonObject) -> Judgement:
    return judge_censoring(facts["NumberOfVolumesKept"], facts["NumberOfVolumes"])


def _left(facts: JsonObject) -> Judgement:
    return judge_degrees_of_freedom(facts["DegreesOfFreedom"])


def _mean_fd(facts: JsonObject) -> float:
    value = facts.get("MeanFramewiseDisplacement")
    return float(value) if isinstance(value, _REAL) else float("nan")


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
            kept = number_cell(facts.get("NumberOfVolumesKept"), 0)
            if facts.get("Excluded"):
                left = replace(left, text=f"{left.text} (excluded)", tone="bad")
            elif isinstance(facts.get("DegreesOfFreedom"), _REAL):
                left = replace(left, tone=_left(facts).tone)
                kept = replace(kept, tone=_kept(facts).tone)
            mean_fd = number_cell(facts.get("MeanFramewiseDisplacement"), 2)
            rows.append(
                (
                    Cell(run.title, href=f"#{run.anchor}"),
                    *((Cell(space),) if len(spaces) > 1 else ()),
                    Cell(strategy),
                    left,
                    kept,
                    number_cell(facts.get("NumberOfVolumes"), 0),
                    replace(mean_fd, tone=judge_motion(_mean_fd(facts)).tone),
                    *(number_cell(facts.get(key), 2) for key in anew),
                    number_cell(facts.get("RankRemoved"), 0),
                    *lost,
                )
            )
    where = (Column("Space", numeric=False),) if len(spaces) > 1 else ()
    names = [column.label for column in _COLUMNS]
    after = names.index("Mean FD") + 1
    own = (Column("Mean FD recomputed", unit="mm"),) if anew else ()
    columns = (Column("Run", numeric=False), *where, *_COLUMNS[:after], *own, *_COLUMNS[after:])
    return Table("Runs, and what each strategy leaves of them.", columns, tuple(rows))
