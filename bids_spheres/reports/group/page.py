"""All sections of the group's report put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.outputs.links import read_description
from bids_spheres.reports.group.contrasts import contrast_sections
from bids_spheres.reports.group.coverage import seeds_sections
from bids_spheres.reports.group.group_warnings import cautions
from bids_spheres.reports.group.mean_connectivity import condition_sections
from bids_spheres.reports.group.methods_text import group_methods
from bids_spheres.reports.group.model import model_sections
from bids_spheres.reports.group.network_means import network_names
from bids_spheres.reports.group.participants import (
    participants_section,
    quality_of_runs,
    verdicts,
)
from bids_spheres.reports.group.provenance import origin
from bids_spheres.reports.group.strategies import comparison_sections, reading, strategies_table
from bids_spheres.reports.participant.provenance import generators, sentence_of_software
from bids_spheres.reports.toolkit.limits import LIMITS_IN_WORDS
from bids_spheres.reports.toolkit.render import page
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bids_spheres.reports.group.load import Level, Result
    from bids_spheres.reports.toolkit.html import HTMLReport

MOST_BYTES = 8e6
"""Size of all matrices of a page together, which a browser opens without a pause."""

MOST_CHOICES = 40
"""Pictures of one kind among which readers can choose."""

_BYTES_OF_PAIR = 2.7
"""In base64, of a picture or of values."""


def group_page(level: Level) -> HTMLReport:
    """The report of the group level."""
    shown = affordable(level.results)
    seeds = seeds_sections(level.images[:MOST_CHOICES])
    n_all = sum(result.has_matrices for result in level.results)
    shown_note = ""
    if len(shown) < n_all:
        shown_note = (
            f"To keep this page small, {len(shown):,} of {n_all:,} groups are shown here; all of "
            "them are in the tables of the folder group, and in the table of strategies above."
        )
    # Rows of matrices, by the identifiers that matrices name.
    names: dict[str, tuple[str, ...]] = {}
    for condition in level.conditions:
        if results := [result for result in condition.results if result.anchor in shown]:
            names[f"{condition.image.anchor}-names"] = condition.image.ordered_names
            names[f"{condition.image.anchor}-networks"] = network_names(results)
    runs = quality_of_runs(level)
    participants, links = participants_section(level, runs)
    people = count(level.runs["participant_id"].nunique(), "participant")
    return page(
        "group.html.j2",
        f"Group of {people}",
        summary=tuple(summary(level)),
        verdicts=tuple(verdicts(runs)),
        limits=LIMITS_IN_WORDS,
        warnings=tuple(cautions(level)),
        reading=reading(level),
        comparisons=tuple(comparison_sections(level, shown))[:MOST_CHOICES],
        strategies=strategies_table(level),
        participants=participants,
        links=links,
        seeds=tuple(seeds.values()),
        conditions=tuple(condition_sections(level, shown, seeds))[:MOST_CHOICES],
        shown_note=shown_note,
        contrasts=tuple(contrast_sections(level, shown, seeds))[:MOST_CHOICES],
        models=tuple(model_sections(level, shown))[:MOST_CHOICES],
        names=names,
        methods=group_methods(level),
        **origin(level.output_dir),
    )


def affordable(results: Iterable[Result]) -> frozenset[str]:
    """Anchors of the groups whose matrices are shown; at least the first group with a result."""
    chosen: list[str] = []
    left = MOST_BYTES
    for result in results:
        if not result.has_matrices:
            continue
        n, terms = len(result.image.names), result.model_about.get("Terms")
        permuted = sum("Permutations" in about for about in result.contrast_sidecars.values())
        # A picture and two values, of each term as many; of a contrast up to two and eight.
        pictures = 3 * (1 + (len(terms) if isinstance(terms, list) else 0)) + 10 * permuted
        left -= n * (n - 1) / 2 * pictures * _BYTES_OF_PAIR
        if left < 0 and chosen:
            break
        chosen.append(result.anchor)
    return frozenset(chosen)


def summary(level: Level) -> Iterator[str]:
    """Sentences at the top of the page."""
    runs, excluded = level.runs, level.excluded["source"].nunique()
    people = count(runs["participant_id"].nunique(), "participant").capitalize()
    by_strategy = f"{excluded:,} of them excluded by a strategy" if excluded else "none excluded"
    yield f"{people}, {count(runs['source'].nunique(), 'run')}, {by_strategy}."
    sets = [f"{image.seeds}: {count(len(image.names), 'seed')}" for image in level.images]
    named = (
        ("task", None, runs["task"].dropna()),
        ("space", None, [image.space for image in level.images]),
        ("seed set", None, sets),
        ("strategy", "strategies", [*level.run_strategies, *(r.strategy for r in level.results)]),
        ("measure", None, [condition.results[0].measure for condition in level.conditions]),
    )
    parts = [
        f"{count(len(unique), thing, things)} ({listing(unique, most=8)})"
        for thing, things, labels in named
        if (unique := list(dict.fromkeys(labels)))
    ]
    yield f"{'; '.join(parts)}."
    each = runs.drop_duplicates("source")["mean_fd"].to_numpy(np.float64)
    known = each[np.isfinite(each)]
    if known.size == 1:
        yield f"Mean framewise displacement of the run: {number(float(known[0]))} mm."
    elif known.size:
        low, middle, high = (number(float(fd)) for fd in np.percentile(known, (0, 50, 100)))
        yield (f"Mean framewise displacement of runs: median {middle} mm, from {low} to {high} mm.")
    yield from sentence_of_software(generators(read_description(level.output_dir)))
