"""All sections of the group's report put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.group import provenance
from bids_spheres.reports.group.budget import MOST_CHOICES, affordable
from bids_spheres.reports.group.cautions import cautions
from bids_spheres.reports.group.connectivity import condition_views, names_id
from bids_spheres.reports.group.coverage import seeds_views
from bids_spheres.reports.group.methods_text import group_methods
from bids_spheres.reports.group.model import model_views
from bids_spheres.reports.group.networks import network_names, networks_id
from bids_spheres.reports.group.participants import participants_view
from bids_spheres.reports.group.strategies import (
    HOW_TO_READ,
    caveats,
    compared,
    strategies_table,
)
from bids_spheres.reports.group.summary import summary
from bids_spheres.reports.toolkit.render import page
from bids_spheres.wording import count

if TYPE_CHECKING:
    from bids_spheres.reports.group.load import Level
    from bids_spheres.reports.toolkit.html import HTMLReport


def group_page(level: Level) -> HTMLReport:
    """The report of the group level."""
    shown = affordable(level.results)
    seeds = seeds_views(level)
    path, settings = provenance.last_call(level)
    return page(
        "group.html.j2",
        title(level),
        summary=tuple(summary(level)),
        warnings=tuple(cautions(level)),
        reading=(HOW_TO_READ, caveats(level)),
        comparisons=tuple(compared(level, shown))[:MOST_CHOICES],
        strategies=strategies_table(level),
        participants=participants_view(level),
        seeds=tuple(seeds.values()),
        conditions=tuple(condition_views(level, shown, seeds))[:MOST_CHOICES],
        shown_note=_shown_note(level, len(shown)),
        models=tuple(model_views(level, shown))[:MOST_CHOICES],
        names=_names(level, shown),
        methods=group_methods(level),
        command=provenance.command(path, settings),
        settings=provenance.settings_told(settings),
        versions=provenance.versions(level),
        files=provenance.files_table(level),
    )


def title(level: Level) -> str:
    """What the page is about."""
    return f"Group of {count(level.runs['participant_id'].nunique(), 'participant')}"


def _shown_note(level: Level, n_shown: int) -> str:
    n_all = sum(result.has_matrices for result in level.results)
    if n_shown == n_all:
        return ""
    return (
        f"To keep this page small, {n_shown:,} of {n_all:,} groups are shown here; all of them are "
        "in the tables of the folder group, and in the table of strategies above."
    )


def _names(level: Level, shown: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Rows of matrices, by the identifiers that matrices name."""
    names: dict[str, tuple[str, ...]] = {}
    for one in level.conditions:
        results = [result for result in one.results if result.anchor in shown]
        if results:
            names[names_id(one.image)] = one.image.ordered_names
            names[networks_id(one.image)] = network_names(results)
    return names
