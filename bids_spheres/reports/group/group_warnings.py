"""Warnings at the top: what a reader must know before trusting the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.group.quality import smoothing_differences
from bids_spheres.group.stream import FEW_DOF
from bids_spheres.outputs.logs import find_crashes
from bids_spheres.outputs.sidecars import texts
from bids_spheres.wording import after_names, collect, count, listing, number, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Condition, Level, Result

# Below this, QC-FC is mostly chance: that of unrelated values is 0.16 in the median
FEW_PARTICIPANTS = 20
_MOST_LABELS = 8


def cautions(level: Level) -> list[str]:
    """Sentences, each once."""
    strategies = [(text, own.strategy) for own in level.results for text in _of_result(own)]
    conditions = [(text, own.title) for own in level.conditions for text in _of_condition(own)]
    records: list[dict[str, object]] = [dict(row) for _, row in level.strategies.iterrows()]
    sentences = (
        *after_names(conditions, 3, [own.title for own in level.conditions]),
        *after_names(strategies, 3, [own.strategy for own in level.results]),
        *smoothing_differences(records),
    )
    return list(dict.fromkeys([*level.problems, *_of_level(level), *(f"{s}." for s in sentences)]))


def _of_level(level: Level) -> Iterator[str]:
    """Runs that failed, participants without a result, excluded runs, and missing seeds."""
    if crashes := find_crashes(level.output_dir):
        labels = dict.fromkeys(f"sub-{crash.entities['sub']}" for crash in crashes)
        yield (
            f"{count(len(crashes), 'run')} failed at the participant level, of "
            f"{listing(list(labels), _MOST_LABELS)}; files in logs say why."
        )
    absent = collect(
        ((str(reason), tuple(map(str, own["participant_id"]))), result.strategy)
        for result in level.results
        for reason, own in result.absent.groupby("reason", dropna=False)
    )
    for (reason, members), strategies in absent.items():
        yield (
            f"{count(len(members), 'participant')} without a result after "
            f"{listing(strategies, _MOST_LABELS)} ({reason}): {listing(members, _MOST_LABELS)}."
        )
    for strategy, own in level.excluded.groupby("strategy", sort=False):
        sources = list(dict.fromkeys(own["source"]))
        n_all = level.runs.loc[level.runs["strategy"] == strategy, "source"].nunique()
        yield (
            f"{len(sources):,} of {count(n_all, 'run')} excluded by {strategy}: "
            f"{listing(sources, _MOST_LABELS)}. "
            f"{listing(list(dict.fromkeys(own['reason'].dropna())), 2)}."
        )
    for image in level.images:
        seeds = image.coverage.sort_values("share", kind="stable")
        nobody, some = seeds[seeds["share"] == 0], seeds[seeds["share"].between(0, 1, "neither")]
        for own, who in (
            (nobody, f"{'the' if image.n_participants == 1 else 'every'} participant: "),
            (some, "some participants, so that pairs rest on different participants; most often "),
        ):
            if n := len(own):
                of, verb = f"{n:,} of {count(len(seeds), image.noun)}", plural(n, "is", "are")
                names = listing(list(own["name"]))
                yield f"{image.image_title}: {of} {verb} missing in {who}{names}."


def _of_condition(condition: Condition) -> Iterator[str]:
    """Few participants, strategies that rest on different participants, and pooled spaces."""
    numbers = [len(result.used) for result in condition.results if result.has_matrices]
    least = min(numbers, default=0)
    if least == 1:
        yield "with one participant, neither spread nor tests can be estimated"
    elif numbers and least < FEW_PARTICIPANTS:
        yield (
            f"{count(least, 'participant')}, too few to compare strategies by what motion explains "
            f"(QC-FC): with fewer than {FEW_PARTICIPANTS} it is mostly chance"
        )
    used = {r.strategy: frozenset(r.used["participant_id"]) for r in condition.results}
    if len(set(used.values())) > 1:
        groups = [f"{len(people)} after {strategy}" for strategy, people in used.items()]
        yield (
            f"strategies rest on different participants ({listing(groups, 16)}), which alone can "
            "make one look better than another"
        )
    for pooled in filter(None, (result.pooled for result in condition.results)):
        spaces = listing([f"{n:,} in {space}" for space, n in pooled.items()], 16)
        yield (
            f"participants in different spaces are pooled ({spaces}); the same "
            "coordinates are up to some mm apart in brains of different templates"
        )


def _of_result(result: Result) -> Iterator[str]:
    """Participants and tests that count less than others, and settings that differ."""
    used = result.used
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
    if labels := result.left_out:
        yield (
            f"{count(len(labels), 'participant')} not in the model "
            f"{str(result.model_about.get('Model'))!r}: {listing(labels, _MOST_LABELS)}"
        )
    for reason in result.against_zero:
        yield f"tests of means against 0 (t, p and q) do not hold: {reason}"
    if isinstance(untested := result.about.get("EdgesWithoutTest"), int) and untested:
        yield (
            f"{count(untested, 'pair')} not tested: fewer than "
            f"{result.about.get('MinimumParticipants')} participants have them, or they do not vary"
        )
    yield from (f"runs differ in {text}" for text in texts(result.about.get("Differences")))
    yield from (f"in the model, {note}" for note in texts(result.model_about.get("Notes")))
    unsolved = result.model_about.get("EdgesWithoutCoefficients")
    if isinstance(unsolved, int) and unsolved:
        yield (
            f"the model has no coefficients for {count(unsolved, 'pair')} that too few "
            "participants have"
        )
