"""Warnings at the top: what a reader must know before trusting the rest."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.group.quality import smoothing_differences
from bids_spheres.group.stream import FEW_DOF
from bids_spheres.outputs.logs import find_crashes
from bids_spheres.reports.participant.run_warnings import joined
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Condition, Image, Level, Result

FEW_PARTICIPANTS = 20
"""Below this, QC-FC is mostly chance: that of unrelated values is 0.16 in the median."""

_MOST_LABELS = 8


def cautions(level: Level) -> list[str]:
    """Sentences, each once."""
    conditions = ((t, condition.title) for condition in level.conditions for t in _few(condition))
    used = ((t, result.strategy) for result in level.results for t in _participants(result))
    pooled = []
    for result in level.results:
        if result.pooled:
            numbers = [f"{n:,} in {space}" for space, n in result.pooled.items()]
            text = (
                f"participants in different spaces are pooled ({listing(numbers, 16)}); the same "
                "coordinates are up to some mm apart in brains of different templates"
            )
            pooled.append((text, result.image.title))
    computed = ((t, result.strategy) for result in level.results for t in _computations(result))
    records: list[dict[str, Any]] = [dict(row) for _, row in level.strategies.iterrows()]
    texts = [
        *level.problems,
        *_without_result(level),
        *(text for image in level.images for text in _missing_seeds(image)),
        *(f"{text}." for text in joined(conditions, 3)),
        *(f"{text}." for text in joined(used, 3)),
        *(f"{text}." for text in smoothing_differences(records)),
        *(f"{text}." for text in joined(pooled, 3)),
        *(f"{text}." for text in joined(computed, 3)),
    ]
    return list(dict.fromkeys(texts))


def _without_result(level: Level) -> Iterator[str]:
    """Runs that failed, participants without a result, and excluded runs."""
    if crashes := find_crashes(level.output_dir):
        labels = dict.fromkeys(f"sub-{crash.entities['sub']}" for crash in crashes)
        yield (
            f"{count(len(crashes), 'run')} failed at the participant level, of "
            f"{listing(list(labels), _MOST_LABELS)}; files in logs say why."
        )
    strategies_of: dict[tuple[str, tuple[str, ...]], dict[str, None]] = defaultdict(dict)
    for result in level.results:
        people = result.participants[result.participants["used"] != 1]
        for reason, own in people.groupby("reason", dropna=False):
            members = tuple(map(str, own["participant_id"]))
            strategies_of[str(reason), members][result.strategy] = None
    for (reason, members), strategies in strategies_of.items():
        yield (
            f"{count(len(members), 'participant')} without a result after "
            f"{listing(list(strategies), _MOST_LABELS)} ({reason}): "
            f"{listing(members, _MOST_LABELS)}."
        )
    excluded = level.runs[level.runs["excluded"] == 1]
    for strategy, own in excluded.groupby("strategy", sort=False):
        sources = list(dict.fromkeys(own["source"]))
        n_all = level.runs.loc[level.runs["strategy"] == strategy, "source"].nunique()
        yield (
            f"{len(sources):,} of {count(n_all, 'run')} excluded by {strategy}: "
            f"{listing(sources, _MOST_LABELS)}. "
            f"{listing(list(dict.fromkeys(own['reason'].dropna())), 2)}."
        )


def _missing_seeds(image: Image) -> Iterator[str]:
    shares = image.seeds["share"].to_numpy(np.float64)
    names = np.array(image.names, dtype=object)
    nobody, some = shares == 0, (shares > 0) & (shares < 1)
    if n := int(nobody.sum()):
        yield (
            f"{image.title}: {n:,} of {count(len(names), 'seed')} {'is' if n == 1 else 'are'} "
            f"missing in every participant: {listing(list(names[nobody]))}."
        )
    if n := int(some.sum()):
        worst = names[some][np.argsort(shares[some], kind="stable")]
        yield (
            f"{image.title}: {n:,} of {count(len(names), 'seed')} {'is' if n == 1 else 'are'} "
            "missing in some participants, so that pairs rest on different participants; most "
            f"often {listing(list(worst))}."
        )


def _few(condition: Condition) -> Iterator[str]:
    """Few participants, and strategies that rest on different ones."""
    numbers = [result.n for result in condition.results if result.has_matrices]
    least = min(numbers, default=0)
    if least == 1:
        yield "a single participant has neither spread nor tests"
    elif numbers and least < FEW_PARTICIPANTS:
        yield (
            f"{count(least, 'participant')}, too few to compare strategies by what motion explains "
            f"(QC-FC): with fewer than {FEW_PARTICIPANTS} it is mostly chance"
        )
    used = {
        result.strategy: frozenset(
            result.participants.loc[result.participants["used"] == 1, "participant_id"]
        )
        for result in condition.results
    }
    if len(set(used.values())) > 1:
        groups = [f"{len(people)} after {strategy}" for strategy, people in used.items()]
        yield (
            f"strategies rest on different participants ({listing(groups, 16)}), which alone can "
            "make one look better than another"
        )


def _participants(result: Result) -> Iterator[str]:
    """Participants whose motion is unknown, or who have few degrees of freedom."""
    used = result.participants[result.participants["used"] == 1]
    if unknown := list(used.loc[used["mean_fd"].isna(), "participant_id"]):
        yield (
            f"the motion of {count(len(unknown), 'participant')} is not known, so that QC-FC "
            f"leaves them out: {listing(unknown, _MOST_LABELS)}"
        )
    few = used[used["degrees_of_freedom"] < FEW_DOF]
    if len(few):
        pairs = zip(few["participant_id"], few["degrees_of_freedom"], strict=True)
        labels = [f"{label} with {number(float(left), 1)}" for label, left in pairs]
        yield (
            f"{count(len(few), 'participant')} with fewer than {FEW_DOF} degrees of freedom, whose "
            "pairs are mostly noise and lower the power of all tests: "
            f"{listing(labels, _MOST_LABELS)}; --min-dof at the participant level leaves them out"
        )


def _computations(result: Result) -> Iterator[str]:
    """Tests that do not hold, settings that differ, and what the model leaves out."""
    for reason in result.against_zero:
        yield f"tests of means against 0 (t, p and q) do not hold: {reason}"
    if untested := result.about.get("EdgesWithoutTest"):
        least = result.about.get("MinimumParticipants")
        yield (
            f"{count(int(untested), 'pair')} not tested: fewer than {least} participants have "
            "them, or they do not vary"
        )
    differences, about = result.about.get("Differences"), result.model_about
    for difference in differences if isinstance(differences, list) else []:
        yield f"runs differ in {difference}"
    left_out, notes = about.get("LeftOut"), about.get("Notes")
    if isinstance(left_out, dict) and left_out:
        labels = [f"{label} ({reason})" for label, reason in left_out.items()]
        yield (
            f"{count(len(labels), 'participant')} not in the model {str(about.get('Model'))!r}: "
            f"{listing(labels, _MOST_LABELS)}"
        )
    yield from map(str, notes if isinstance(notes, list) else [])
    if unsolved := about.get("EdgesWithoutCoefficients"):
        yield (
            f"the model has no coefficients for {count(int(unsolved), 'pair')} that too few "
            "participants have"
        )
