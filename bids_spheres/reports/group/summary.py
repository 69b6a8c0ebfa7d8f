"""The group in a few sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.outputs.links import read_description
from bids_spheres.reports.participant.provenance import generators
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bids_spheres.reports.group.load import Level

_MOST = 8


def summary(level: Level) -> Iterator[str]:
    """Sentences at the top of the page."""
    runs = level.runs
    yield f"{_people(level)}, {count(runs['source'].nunique(), 'run')}{_excluded(level)}."
    sets = dict.fromkeys(
        f"{image.files.seeds}: {count(len(image.names), 'seed')}" for image in level.images
    )
    spaces = dict.fromkeys(image.files.space for image in level.images)
    measures = dict.fromkeys(one.measure for one in level.conditions)
    parts = [
        *_named("task", _tasks(level)),
        *_named("space", spaces),
        *_named("seed set", sets),
        *_named("strategy", level.strategy_labels, "strategies"),
        *_named("measure", measures),
    ]
    yield f"{'; '.join(parts)}."
    yield from _motion(level)
    made = dict.fromkeys(generators(read_description(level.output_dir)))
    if made:
        yield f"By {listing(list(made))}."


def _people(level: Level) -> str:
    return count(level.runs["participant_id"].nunique(), "participant").capitalize()


def _excluded(level: Level) -> str:
    gone = level.runs[level.runs["excluded"] == 1]
    if gone.empty:
        return ", none of them excluded"
    return f", {gone['source'].nunique():,} of them excluded by a strategy"


def _tasks(level: Level) -> list[str]:
    return list(dict.fromkeys(level.runs["task"].dropna()))


def _named(thing: str, names: Iterable[str], things: str | None = None) -> Iterator[str]:
    known = list(names)
    if known:
        yield f"{count(len(known), thing, things)} ({listing(known, most=_MOST)})"


def _motion(level: Level) -> Iterator[str]:
    each = level.runs.drop_duplicates("source")["mean_fd"].to_numpy(np.float64)
    known = each[np.isfinite(each)]
    if known.size:
        yield (
            "Mean framewise displacement of runs: median "
            f"{number(float(np.median(known)))} mm, from {number(float(known.min()))} to "
            f"{number(float(known.max()))} mm."
        )
