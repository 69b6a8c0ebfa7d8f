"""Warnings at the top: what a reader must know before trusting the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.degrees_of_freedom import FEW_DEGREES_OF_FREEDOM
from bids_spheres.wording import count, listing, naming, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bids_spheres.files.text import JsonObject
    from bids_spheres.reports.participant.load import Participant, Run, SeedSet

_LOW_COVERAGE = 0.75
"""Coverage below which a sphere that has a series is warned of: a quarter of it is missing."""


def cautions(participant: Participant) -> list[str]:
    """Exclusions, few degrees of freedom and low coverage; each once."""
    single = [run for run in participant.runs if not run.files.together]
    about: list[tuple[str, str]] = []
    few: dict[str, float] = {}
    for run in single:
        reasons: dict[str, dict[str, None]] = {}
        for _, strategy, facts in by_space_and_strategy(run):
            left = facts.get("DegreesOfFreedom")
            if facts.get("Excluded"):
                reasons.setdefault(str(facts["Excluded"]), {})[strategy] = None
            elif isinstance(left, int | float) and left < FEW_DEGREES_OF_FREEDOM:
                few[run.title] = min(left, few.get(run.title, np.inf))
        for reason, strategies in reasons.items():
            text = f"excluded for {listing(list(strategies), most=16)}. {reason}."
            about.append((text, run.title))
    if few:
        about += [(_chance(min(few.values())), title) for title in few]
    about += [(text, run.title) for run in single for s in run.sets for text in _coverage(s)]
    return list(joined(about))


def _chance(left: float) -> str:
    """What few degrees of freedom mean for correlations.

    The correlation that chance reaches is that of Fisher's z, whose variance is 1 / (n - 3), with
    n one more than the degrees of freedom.
    """
    if left <= 2:
        return f"few degrees of freedom, down to {number(left, 0)}: correlations say nothing."
    limit = number(float(np.tanh(1.959964 / np.sqrt(left - 2))))
    return (
        f"few degrees of freedom. With {number(left, 0)}, one pair in 20 of unrelated series "
        f"correlates beyond \N{PLUS-MINUS SIGN}{limit} by chance, and more pairs where series are "
        "autocorrelated."
    )


def joined(about: Iterable[tuple[str, str]], most: int = 5) -> Iterator[str]:
    """Each text once, after the names of all that it is about; pairs of text and name."""
    names: dict[str, dict[str, None]] = {}
    for text, name in about:
        names.setdefault(text, {})[name] = None
    for text, own in names.items():
        yield f"{listing(list(own), most)}: {text}"


def by_space_and_strategy(run: Run) -> Iterator[tuple[str, str, JsonObject]]:
    """Space, strategy and sidecar; once for all seed sets of a space."""
    known = set()
    for seeds in run.sets:
        for strategy in run.strategies:
            key = (seeds.files.space, strategy)
            if strategy in seeds.facts and key not in known:
                known.add(key)
                yield *key, seeds.facts[strategy]


def _coverage(seeds: SeedSet) -> Iterator[str]:
    if seeds.spheres is None:
        return
    names, used, coverage = seeds.spheres.names, seeds.spheres.used, seeds.spheres.coverage
    missing, partial = np.flatnonzero(~used), np.flatnonzero(used & (coverage < _LOW_COVERAGE))
    if len(missing):
        yield (
            f"{count(len(missing), seeds.spheres.noun)} of {len(names)} of {seeds.title} without a "
            "series, because too few of their voxels have a signal: "
            f"{naming([names[s] for s in missing])}."
        )
    if len(partial):
        worst = partial[np.argsort(coverage[partial], kind="stable")]
        yield (
            f"{count(len(partial), seeds.spheres.noun)} of {len(names)} of {seeds.title} with a "
            f"series of less than {percent(_LOW_COVERAGE)} of their voxels, down to "
            f"{percent(float(coverage[worst[0]]))}: {naming([names[s] for s in worst])}."
        )
