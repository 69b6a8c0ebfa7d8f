"""What a reader must know before trusting the rest: the warnings at the top."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.group.quality import smoothing_differences
from bids_spheres.group.stream import FEW_DOF
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Condition, Image, Level, Result

FEW_PARTICIPANTS = 20
"""Below this, QC-FC is mostly chance: that of unrelated values is 0.16 in the median."""

_MOST_LABELS = 8


def cautions(level: Level) -> list[str]:
    """Sentences, each once."""
    found = [
        *level.problems,
        *_failed(level),
        *_left_out(level),
        *_excluded_runs(level),
        *(text for image in level.images for text in _lacking(image)),
        *_joined((text, one.title) for one in level.conditions for text in _few(one)),
        *_joined((text, one.title) for one in level.conditions for text in _different(one)),
        *_joined((text, one.strategy) for one in level.results for text in _motion(one)),
        *_joined((text, one.strategy) for one in level.results for text in _freedom(one)),
        *_joined((text, one.strategy) for one in level.results for text in _against_zero(one)),
        *(f"{text}." for text in smoothing_differences(_records(level))),
        *_joined((text, one.image.title) for one in level.results for text in _pooled(one)),
        *_joined((text, one.strategy) for one in level.results for text in _settings(one)),
        *_joined((text, one.strategy) for one in level.results for text in _model(one)),
    ]
    return list(dict.fromkeys(found))


def _failed(level: Level) -> Iterator[str]:
    """Runs that failed at the participant level."""
    crashes = list((level.output_dir / "logs").glob("crash-sub-*.txt"))
    if crashes:
        labels = dict.fromkeys(path.name.split("_")[0][len("crash-") :] for path in sorted(crashes))
        yield (
            f"{count(len(crashes), 'run')} failed at the participant level, of "
            f"{listing(list(labels), _MOST_LABELS)}; files in logs say why."
        )


def _left_out(level: Level) -> Iterator[str]:
    """Participants without a result, by strategy and reason."""
    who: dict[tuple[str, tuple[str, ...]], dict[str, None]] = defaultdict(dict)
    for result in level.results:
        people = result.participants[result.participants["used"] != 1]
        for reason, own in people.groupby("reason", dropna=False):
            labels = tuple(map(str, own["participant_id"]))
            who[str(reason), labels][f"{result.strategy}"] = None
    for (reason, labels), strategies in who.items():
        yield (
            f"{count(len(labels), 'participant')} without a result after "
            f"{listing(list(strategies), _MOST_LABELS)} ({reason}): "
            f"{listing(list(labels), _MOST_LABELS)}."
        )


def _excluded_runs(level: Level) -> Iterator[str]:
    gone = level.runs[level.runs["excluded"] == 1]
    for strategy, own in gone.groupby("strategy", sort=False):
        sources = list(dict.fromkeys(own["source"]))
        n_all = level.runs.loc[level.runs["strategy"] == strategy, "source"].nunique()
        reasons = list(dict.fromkeys(own["reason"].dropna()))
        yield (
            f"{len(sources):,} of {count(n_all, 'run')} excluded by {strategy}: "
            f"{listing(sources, _MOST_LABELS)}. {listing(reasons, 2)}."
        )


def _lacking(image: Image) -> Iterator[str]:
    shares = image.seeds["share"].to_numpy(np.float64)
    names = np.array(image.names, dtype=object)
    nobody, some = shares == 0, (shares > 0) & (shares < 1)
    if nobody.any():
        yield (
            f"{image.title}: no participant has {count(int(nobody.sum()), 'seed')} of "
            f"{len(names)}: {listing(list(names[nobody]))}."
        )
    if some.any():
        worst = names[some][np.argsort(shares[some], kind="stable")]
        yield (
            f"{image.title}: some participants lack some of {int(some.sum())} of "
            f"{count(len(names), 'seed')}, so that pairs rest on different people; most lack "
            f"{listing(list(worst))}."
        )


def _few(one: Condition) -> Iterator[str]:
    numbers = [result.n for result in one.results if result.has_matrices]
    least = min(numbers, default=0)
    if least == 1:
        yield "a single participant has neither spread nor tests"
    elif numbers and least < FEW_PARTICIPANTS:
        yield (
            f"{count(least, 'participant')}, too few to compare strategies by what motion explains "
            f"(QC-FC): with fewer than {FEW_PARTICIPANTS} it is mostly chance"
        )


def _motion(result: Result) -> Iterator[str]:
    used = result.participants[result.participants["used"] == 1]
    if unknown := list(used.loc[used["mean_fd"].isna(), "participant_id"]):
        yield (
            f"the motion of {count(len(unknown), 'participant')} is not known, so that QC-FC "
            f"leaves them out: {listing(unknown, _MOST_LABELS)}"
        )


def _different(one: Condition) -> Iterator[str]:
    """Strategies that rest on different people are not compared fairly."""
    used = {
        result.strategy: frozenset(
            result.participants.loc[result.participants["used"] == 1, "participant_id"]
        )
        for result in one.results
    }
    if len(set(used.values())) > 1:
        numbers = [f"{len(people)} after {strategy}" for strategy, people in used.items()]
        yield (
            f"strategies rest on different participants ({listing(numbers, 16)}), which alone can "
            "make one look better than another"
        )


def _records(level: Level) -> list[dict[str, Any]]:
    return [dict(row) for _, row in level.strategies.iterrows()]


def _freedom(result: Result) -> Iterator[str]:
    """Participants of whom cleaning leaves so little that they lower the power of the group."""
    used = result.participants[result.participants["used"] == 1]
    few = used[used["degrees_of_freedom"] < FEW_DOF]
    if len(few):
        left = zip(few["participant_id"], few["degrees_of_freedom"], strict=True)
        told = [f"{label} with {number(float(freedom), 1)}" for label, freedom in left]
        yield (
            f"{count(len(few), 'participant')} with fewer than {FEW_DOF} degrees of freedom, whose "
            "pairs are mostly noise and lower the power of all tests: "
            f"{listing(told, _MOST_LABELS)}; --min-dof at the participant level leaves them out"
        )


def _against_zero(result: Result) -> Iterator[str]:
    for reason in result.against_zero:
        yield f"tests of means against 0 (t, p and q) do not hold: {reason}"
    if untested := result.about.get("EdgesWithoutTest"):
        least = result.about.get("MinimumParticipants")
        yield (
            f"{count(int(untested), 'pair')} not tested: fewer than {least} participants have "
            "them, or they do not vary"
        )


def _pooled(result: Result) -> Iterator[str]:
    if result.pooled:
        told = [f"{n:,} in {space}" for space, n in result.pooled.items()]
        yield (
            f"participants in different spaces are pooled ({listing(told, 16)}); the same "
            "coordinates are up to some mm apart in brains of different templates"
        )


def _settings(result: Result) -> Iterator[str]:
    found = result.about.get("Differences")
    for difference in found if isinstance(found, list) else []:
        yield f"runs differ in {difference}"


def _model(result: Result) -> Iterator[str]:
    about = result.model_about
    left_out = about.get("LeftOut")
    if isinstance(left_out, dict) and left_out:
        told = [f"{label} ({reason})" for label, reason in left_out.items()]
        yield (
            f"{count(len(told), 'participant')} not in the model {str(about.get('Model'))!r}: "
            f"{listing(told, _MOST_LABELS)}"
        )
    notes = about.get("Notes")
    yield from map(str, notes if isinstance(notes, list) else [])
    if unsolved := about.get("EdgesWithoutCoefficients"):
        yield (
            f"the model has no coefficients for {count(int(unsolved), 'pair')} that too few "
            "participants have"
        )


def _joined(about: Iterator[tuple[str, str]]) -> Iterator[str]:
    """What is the same of several strategies or conditions is said once."""
    found: dict[str, dict[str, None]] = {}
    for text, what in about:
        found.setdefault(text, {})[what] = None
    for text, own in found.items():
        yield f"{listing(list(own), 3)}: {text}."
