"""What a reader must know before trusting the rest: the warnings at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds import FEW_DEGREES_OF_FREEDOM
from bids_spheres.wording import count, listing, naming, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.participant.load import Participant, Run, SeedSet


_LOW = 0.75
"""Coverage below which a sphere that has a series is warned of: a quarter of it is missing."""


def cautions(participant: Participant) -> list[str]:
    """Sentences, each once: exclusions, few degrees of freedom, low coverage, seeds' spaces."""
    single = [run for run in participant.runs if not run.files.together]
    about = [(run.title, text) for run in single for text in _exclusions(run)]
    about += [(run.title, text) for run in single for text in _few_degrees(run)]
    about += [(run.title, text) for run in single for one in run.sets for text in _coverage(one)]
    spaces = [text for run in single for one in run.sets for text in _spaces(one)]
    return [*_joined(about), *dict.fromkeys(spaces)]


def _joined(about: list[tuple[str, str]]) -> Iterator[str]:
    """What is the same of several runs is said once."""
    runs: dict[str, dict[str, None]] = {}
    for run, text in about:
        runs.setdefault(text, {})[run] = None
    for text, titles in runs.items():
        yield f"{listing(list(titles))}: {text}"


def _by_strategy(run: Run) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Space, strategy and sidecar; once for all seed sets of a space."""
    seen = set()
    for one in run.sets:
        for strategy in run.strategies:
            if strategy in one.facts and (one.files.space, strategy) not in seen:
                seen.add((one.files.space, strategy))
                yield one.files.space, strategy, one.facts[strategy]


def _exclusions(run: Run) -> Iterator[str]:
    """One sentence for all strategies that exclude the run for the same reason."""
    reasons: dict[str, dict[str, None]] = {}
    for _, strategy, facts in _by_strategy(run):
        if facts.get("Excluded"):
            reasons.setdefault(str(facts["Excluded"]), {})[strategy] = None
    for reason, strategies in reasons.items():
        yield f"excluded for {listing(list(strategies), most=16)}. {reason}."


def _few_degrees(run: Run) -> Iterator[str]:
    """One sentence for all strategies that leave few."""
    few: dict[str, float] = {}
    for _, strategy, facts in _by_strategy(run):
        left = facts.get("DegreesOfFreedom")
        if not isinstance(left, int | float) or facts.get("Excluded"):
            continue
        if left < FEW_DEGREES_OF_FREEDOM:
            few[strategy] = float(left)
    if few:
        told = listing([f"{number(left, 0)} after {s}" for s, left in few.items()], most=16)
        yield f"few degrees of freedom: {told}.{_consequence(list(few.values()))}"


def _consequence(left: list[float]) -> str:
    """By Fisher's z, whose variance is 1 / (n - 3) with n one more than what is left."""
    limits = [np.tanh(1.959964 / np.sqrt(one - 2)) for one in left if one > 2]
    if len(limits) < len(left):
        return " Correlations tell nothing then."
    told = listing([f"\N{PLUS-MINUS SIGN}{number(float(limit))}" for limit in limits], most=16)
    return (
        f" Of unrelated spheres, one pair in 20 then correlates beyond {told} by chance, and more "
        "pairs where series are autocorrelated."
    )


def _coverage(one: SeedSet) -> Iterator[str]:
    if one.spheres is None:
        return
    names, used, coverage = one.spheres.names, one.spheres.used, one.spheres.coverage
    gone, partial = np.flatnonzero(~used), np.flatnonzero(used & (coverage < _LOW))
    if len(gone):
        yield (
            f"{count(len(gone), 'sphere')} of {len(names)} of {one.title} without a "
            "series, because too few of their voxels have a signal: "
            f"{naming([names[s] for s in gone])}."
        )
    if len(partial):
        worst = partial[np.argsort(coverage[partial], kind="stable")]
        yield (
            f"{count(len(partial), 'sphere')} of {len(names)} of {one.title} with a series of "
            f"less than {percent(_LOW)} of their voxels, down to "
            f"{percent(float(coverage[worst[0]]))}: {naming([names[s] for s in worst])}."
        )


def _spaces(one: SeedSet) -> Iterator[str]:
    facts = one.spheres.sidecar if one.spheres is not None else {}
    if facts.get("SpaceNote"):
        yield str(facts["SpaceNote"])
