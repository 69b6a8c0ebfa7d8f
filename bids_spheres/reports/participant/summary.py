"""What a reader must know first: a few sentences, verdicts, warnings, and the table of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_spheres.confounds.degrees_of_freedom import FEW_DEGREES_OF_FREEDOM
from bids_spheres.files.atomic import MISSING
from bids_spheres.reports.toolkit import limits
from bids_spheres.reports.toolkit.render import Cell, Column, number_column, table_of, text_column
from bids_spheres.wording import after_names, collect, count, listing, naming, number, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bids_spheres.outputs.sidecars import Sidecar
    from bids_spheres.reports.participant.load import Participant, Run, SeedSet
    from bids_spheres.reports.toolkit.render import Table

    _Number = Literal["NumberOfVolumesKept", "DegreesOfFreedom"]

# Coverage below which a sphere that has a series is warned of: a quarter of it is missing
_LOW_COVERAGE = 0.75
_THRESHOLDS = ("fd_threshold", "std_dvars_threshold", "rmsd_threshold")  # of head motion


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
    censoring = {
        strategy
        for seeds in (seeds for run in single for seeds in run.sets)
        for strategy, facts in seeds.facts.items()
        if facts.get("CensoredVolumes", {}).get("external")
        or any(facts.get("CensoringThresholds", {}).get(key) is not None for key in _THRESHOLDS)
    }
    if keeping := [strategy for strategy in strategies if strategy not in censoring]:
        yield (
            f"{listing(keeping, most=16)} {'censors' if len(keeping) == 1 else 'censor'} nothing: "
            "volumes with much motion stay in."
        )


def verdicts(participant: Participant) -> Iterator[limits.Verdict]:
    """A line for every run: volumes kept, motion, degrees of freedom after the worst strategy."""
    for run in participant.runs:
        every = [(s, facts) for _, s, facts in by_space_and_strategy(run)]
        used = [(s, facts) for s, facts in every if not facts.get("Excluded")]
        judged = []
        if excluded := list(dict.fromkeys(s for s, facts in every if facts.get("Excluded"))):
            judged.append(limits.Judgement(f"excluded for {listing(excluded, most=16)}", "bad"))
        judged += _judge_least(used, "NumberOfVolumesKept", _kept)
        if motion := [fd for _, facts in every if np.isfinite(fd := _mean_fd(facts))]:
            judged.append(limits.judge_motion(max(motion)))
        judged += _judge_least(used, "DegreesOfFreedom", _left)
        yield limits.Verdict.of(run.anchor, run.title, judged)


def _judge_least(
    used: Sequence[tuple[str, Sidecar]], key: _Number, judge: Callable[[Sidecar], limits.Judgement]
) -> Iterator[limits.Judgement]:
    """The least value of a key, with its strategy unless all have the same; nothing without any."""
    each = [(value, s, facts) for s, facts in used if (value := facts.get(key)) is not None]
    if not each:
        return
    least, strategy, facts = min(each, key=lambda item: item[0])
    judgement = judge(facts)
    after = f" after {strategy}" if least != max(value for value, *_ in each) else ""
    words, colon, word = judgement.text.partition(":")
    yield limits.Judgement(words + after + colon + word, judgement.tone)


def _kept(facts: Sidecar) -> limits.Judgement:
    return limits.judge_censoring(facts["NumberOfVolumesKept"], facts["NumberOfVolumes"])


def _left(facts: Sidecar) -> limits.Judgement:
    return limits.judge_degrees_of_freedom(facts["DegreesOfFreedom"])


def _mean_fd(facts: Sidecar) -> float:
    value = facts.get("MeanFramewiseDisplacement")
    return float("nan") if value is None else value


def runs_table(participant: Participant) -> Table:
    """A row for every run, space and strategy."""
    rows = [(run, *row) for run in participant.runs for row in by_space_and_strategy(run)]
    every = [facts for *_, facts in rows]
    degrees = [facts.get("DegreesOfFreedom") for facts in every]
    left = number_column("Degrees of freedom", degrees, 1, "left")
    kept = number_column("Kept", [f.get("NumberOfVolumesKept") for f in every], 0, "volumes")
    motion = number_column("Mean FD", map(_mean_fd, every), 2, "mm")
    recomputed = [facts.get("MeanFramewiseDisplacementRecomputed") for facts in every]
    anew = number_column("Mean FD recomputed", recomputed, 2, "mm")
    lost = [facts.get("DimensionsLostToFilter") for facts in every]
    censored = [facts.get("DimensionsLostToCensoring") for facts in every]
    for i, facts in enumerate(every):
        if facts.get("Excluded"):
            left[1][i] = replace(left[1][i], text=f"{left[1][i].text} (excluded)", tone="bad")
        elif degrees[i] is not None:
            left[1][i] = replace(left[1][i], tone=_left(facts).tone)
            kept[1][i] = replace(kept[1][i], tone=_kept(facts).tone)
    motion = limits.toned(motion, (limits.judge_motion(_mean_fd(facts)) for facts in every))
    spaces = text_column("Space", [space for _, space, *_ in rows])
    runs = [Cell(run.title, href=f"#{run.anchor}") for run, *_ in rows]
    return table_of(
        "Runs, and what each strategy leaves of them.",
        (Column("Run", numeric=False), runs),
        *[spaces] * (len({cell.text for cell in spaces[1]}) > 1),
        text_column("Strategy", [strategy for *_, strategy, _ in rows]),
        left,
        kept,
        number_column("Volumes", [facts.get("NumberOfVolumes") for facts in every]),
        motion,
        *[anew] * any(cell.text != MISSING for cell in anew[1]),
        number_column("Rank removed", [facts.get("RankRemoved") for facts in every]),
        number_column("Lost to filter", lost, 1, "d.o.f."),
        number_column("Lost to censoring", censored, 1, "d.o.f."),
    )


def cautions(participant: Participant) -> list[str]:
    """Exclusions, few degrees of freedom and low coverage; each once."""
    single = [run for run in participant.runs if not run.files.together]
    about: list[tuple[str, str]] = []
    few: dict[str, float] = {}
    for run in single:
        excluded: list[tuple[str, str]] = []
        for _, strategy, facts in by_space_and_strategy(run):
            left = facts.get("DegreesOfFreedom", np.inf)
            if reason := facts.get("Excluded"):
                excluded.append((reason, strategy))
            elif left < FEW_DEGREES_OF_FREEDOM:
                few[run.title] = min(left, few.get(run.title, np.inf))
        about += [
            (f"excluded for {listing(strategies, most=16)}. {reason}.", run.title)
            for reason, strategies in collect(excluded).items()
        ]
    if few:
        left = min(few.values())
        text = f"few degrees of freedom, down to {number(left, 0)}: correlations say nothing."
        if left > 2:
            # Of Fisher's z, with variance 1 / (n - 3) and n one more than the degrees of freedom.
            limit = number(float(np.tanh(1.959964 / np.sqrt(left - 2))))
            text = (
                f"few degrees of freedom. With {number(left, 0)}, one pair in 20 of unrelated "
                f"series correlates beyond \N{PLUS-MINUS SIGN}{limit} by chance, and more pairs "
                "where series are autocorrelated."
            )
        about += [(text, title) for title in few]
    about += [(text, run.title) for run in single for s in run.sets for text in _coverage(s)]
    return list(after_names(about))


def by_space_and_strategy(run: Run) -> Iterator[tuple[str, str, Sidecar]]:
    """Space, strategy and sidecar; once for all seed sets of a space."""
    known: dict[tuple[str, str], Sidecar] = {}
    for seeds in run.sets:
        for strategy in run.strategies:
            if strategy in seeds.facts:
                known.setdefault((seeds.files.space, strategy), seeds.facts[strategy])
    yield from ((*key, facts) for key, facts in known.items())


def _coverage(seeds: SeedSet) -> Iterator[str]:
    if seeds.spheres is None:
        return
    names, used, coverage = seeds.spheres.names, seeds.spheres.used, seeds.spheres.coverage
    order = np.argsort(coverage, kind="stable")
    missing = [names[s] for s in np.flatnonzero(~used)]
    partial = [s for s in order if used[s] and coverage[s] < _LOW_COVERAGE]
    of_all = f"of {len(names)} of {seeds.title}"
    if missing:
        yield (
            f"{count(len(missing), seeds.noun)} {of_all} without a series, because too few of "
            f"their voxels have a signal: {naming(missing)}."
        )
    if partial:
        limit, least = percent(_LOW_COVERAGE), percent(float(coverage[partial[0]]))
        yield (
            f"{count(len(partial), seeds.noun)} {of_all} with a series of less than {limit} of "
            f"their voxels, down to {least}: {naming([names[s] for s in partial])}."
        )
