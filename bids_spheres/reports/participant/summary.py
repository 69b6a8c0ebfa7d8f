"""The participant in a few sentences and one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.files.atomic import MISSING
from bids_spheres.reports.participant.run_warnings import by_space_and_strategy
from bids_spheres.reports.toolkit.limits import (
    Judgement,
    Verdict,
    judge_censoring,
    judge_degrees_of_freedom,
    judge_motion,
)
from bids_spheres.reports.toolkit.render import Cell, Column, number_column, table_of, text_column
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.files.text import JsonObject
    from bids_spheres.reports.participant.load import Participant, Run
    from bids_spheres.reports.toolkit.render import Table, TableColumn


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
        by_table = (facts.get("CensoredVolumes") or {}).get("external")
        if by_table or any(thresholds.get(key) is not None for key in limits):
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
    rows = [(run, *row) for run in participant.runs for row in by_space_and_strategy(run)]

    def numbers(label: str, key: str, digits: int = 0, unit: str = "") -> TableColumn:
        return number_column(label, [facts.get(key) for *_, facts in rows], digits, unit)

    left = numbers("Degrees of freedom", "DegreesOfFreedom", 1, "left")
    kept = numbers("Kept", "NumberOfVolumesKept", 0, "volumes")
    motion = numbers("Mean FD", "MeanFramewiseDisplacement", 2, "mm")
    anew = numbers("Mean FD recomputed", "MeanFramewiseDisplacementRecomputed", 2, "mm")
    for i, (*_, facts) in enumerate(rows):
        motion[1][i] = replace(motion[1][i], tone=judge_motion(_mean_fd(facts)).tone)
        if facts.get("Excluded"):
            left[1][i] = replace(left[1][i], text=f"{left[1][i].text} (excluded)", tone="bad")
        elif isinstance(facts.get("DegreesOfFreedom"), _REAL):
            left[1][i] = replace(left[1][i], tone=_left(facts).tone)
            kept[1][i] = replace(kept[1][i], tone=_kept(facts).tone)
    spaces = text_column("Space", [space for _, space, *_ in rows])
    runs = [Cell(run.title, href=f"#{run.anchor}") for run, *_ in rows]
    return table_of(
        "Runs, and what each strategy leaves of them.",
        (Column("Run", numeric=False), runs),
        *[spaces] * (len({cell.text for cell in spaces[1]}) > 1),
        text_column("Strategy", [strategy for *_, strategy, _ in rows]),
        left,
        kept,
        numbers("Volumes", "NumberOfVolumes"),
        motion,
        *[anew] * any(cell.text != MISSING for cell in anew[1]),
        numbers("Rank removed", "RankRemoved"),
        numbers("Lost to filter", "DimensionsLostToFilter", 1, "d.o.f."),
        numbers("Lost to censoring", "DimensionsLostToCensoring", 1, "d.o.f."),
    )
