"""The group in a few sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.outputs.links import read_description
from bids_spheres.reports.participant.provenance import generators, sentence_of_software
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Level


def summary(level: Level) -> Iterator[str]:
    """Sentences at the top of the page."""
    runs, excluded = level.runs, level.runs[level.runs["excluded"] == 1]["source"].nunique()
    people = count(runs["participant_id"].nunique(), "participant").capitalize()
    by_strategy = f"{excluded:,} of them excluded by a strategy" if excluded else "none excluded"
    yield f"{people}, {count(runs['source'].nunique(), 'run')}, {by_strategy}."
    sets = (f"{image.files.seeds}: {count(len(image.names), 'seed')}" for image in level.images)
    named = (
        ("task", None, runs["task"].dropna()),
        ("space", None, (image.files.space for image in level.images)),
        ("seed set", None, sets),
        ("strategy", "strategies", level.strategy_labels),
        ("measure", None, (condition.measure for condition in level.conditions)),
    )
    parts = []
    for thing, things, labels in named:
        if unique := list(dict.fromkeys(labels)):
            parts.append(f"{count(len(unique), thing, things)} ({listing(unique, most=8)})")
    yield f"{'; '.join(parts)}."
    each = runs.drop_duplicates("source")["mean_fd"].to_numpy(np.float64)
    known = each[np.isfinite(each)]
    if known.size:
        yield (
            "Mean framewise displacement of runs: median "
            f"{number(float(np.median(known)))} mm, from {number(float(known.min()))} to "
            f"{number(float(known.max()))} mm."
        )
    description = read_description(level.output_dir)
    yield from sentence_of_software(generators(description))
