"""All sections of the group's report put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.group import provenance
from bids_spheres.reports.group.budget import MOST_CHOICES, affordable
from bids_spheres.reports.group.coverage import seeds_sections
from bids_spheres.reports.group.group_summary import summary
from bids_spheres.reports.group.group_warnings import cautions
from bids_spheres.reports.group.mean_connectivity import condition_sections, names_id
from bids_spheres.reports.group.methods_text import group_methods
from bids_spheres.reports.group.model import model_sections
from bids_spheres.reports.group.network_means import network_names, networks_id
from bids_spheres.reports.group.participants import participants_view
from bids_spheres.reports.group.strategies import (
    HOW_TO_READ,
    caveats,
    comparison_sections,
    strategies_table,
)
from bids_spheres.reports.participant.provenance import command
from bids_spheres.reports.toolkit.render import page
from bids_spheres.wording import count

if TYPE_CHECKING:
    from bids_spheres.reports.group.load import Level
    from bids_spheres.reports.toolkit.html import HTMLReport


def group_page(level: Level) -> HTMLReport:
    """The report of the group level."""
    shown = affordable(level.results)
    seeds = seeds_sections(level)
    path, settings = provenance.last_call(level)
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
        results = [result for result in condition.results if result.anchor in shown]
        if results:
            names[names_id(condition.image)] = condition.image.ordered_names
            names[networks_id(condition.image)] = network_names(results)
    return page(
        "group.html.j2",
        title(level),
        summary=tuple(summary(level)),
        warnings=tuple(cautions(level)),
        reading=(HOW_TO_READ, caveats(level)),
        comparisons=tuple(comparison_sections(level, shown))[:MOST_CHOICES],
        strategies=strategies_table(level),
        participants=participants_view(level),
        seeds=tuple(seeds.values()),
        conditions=tuple(condition_sections(level, shown, seeds))[:MOST_CHOICES],
        shown_note=shown_note,
        models=tuple(model_sections(level, shown))[:MOST_CHOICES],
        names=names,
        methods=group_methods(level),
        command=command(path, settings, level.output_dir),
        settings=provenance.settings_of_group(settings),
        versions=provenance.versions(level),
        files=provenance.files_table(level),
    )


def title(level: Level) -> str:
    """Title of the page."""
    return f"Group of {count(level.runs['participant_id'].nunique(), 'participant')}"
