"""All sections of the report put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.reports.participant import methods_text, provenance
from bids_spheres.reports.participant.cautions import cautions
from bids_spheres.reports.participant.motion import motion_block
from bids_spheres.reports.participant.regressors import regressor_block
from bids_spheres.reports.participant.relations import relation_blocks
from bids_spheres.reports.participant.seeds import seeds_view
from bids_spheres.reports.participant.signals import picture_before, signal_blocks, signals_of
from bids_spheres.reports.participant.summary import runs_table, summary
from bids_spheres.reports.toolkit.render import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.outputs.links import Links
    from bids_spheres.reports.participant.load import Participant, Run, SeedSet
    from bids_spheres.reports.participant.seeds import SeedsView
    from bids_spheres.reports.toolkit.charts import Raster
    from bids_spheres.reports.toolkit.html import HTMLReport
    from bids_spheres.reports.toolkit.render import Block


@dataclass(frozen=True, eq=False)
class SetView:
    """What the page shows of one seed set in one run.

    Parameters
    ----------
    title : str
    remarks : tuple of str
    blocks : tuple of Block
    before : tuple of str and Raster, or None
        A picture to which several of the blocks refer, and its identifier.
    """

    title: str
    remarks: tuple[str, ...]
    blocks: tuple[Block, ...]
    before: tuple[str, Raster] | None = None


@dataclass(frozen=True, eq=False)
class RunView:
    """What the page shows of one run.

    Parameters
    ----------
    anchor, title : str
    strategies : tuple of str
    before, after : Block or None
        Of the run as a whole, before and after those of its seed sets.
    sets : tuple of SetView
    """

    anchor: str
    title: str
    strategies: tuple[str, ...]
    before: Block | None
    sets: tuple[SetView, ...]
    after: Block | None

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.title


def participant_page(participant: Participant) -> HTMLReport:
    """The report of one participant or session."""
    names: dict[str, tuple[str, ...]] = {}
    seeds, glasses, runs = [], [], []
    for run in participant.runs:
        views = {one.anchor: _seeds(run, one, participant.links) for one in run.sets}
        drawn = [view for view in views.values() if view is not None]
        glasses += drawn
        seeds += [] if run.files.together else drawn
        runs.append(_run_view(run, views, participant.links, names))
    methods = methods_text.read_methods(participant.output_dir, participant.label)
    return page(
        "participant.html.j2",
        participant.title,
        summary=(*summary(participant), provenance.made_by(participant)),
        runs_table=runs_table(participant),
        warnings=(*participant.failures, *cautions(participant)),
        seeds=tuple(seeds),
        glasses=tuple(glasses),
        runs=tuple(runs),
        names=names,
        methods=methods,
        command=provenance.command(participant),
        settings=provenance.settings(participant),
        versions=provenance.versions(participant),
        datasets=provenance.datasets(participant),
        inputs=provenance.inputs(participant),
    )


def _seeds(run: Run, one: SeedSet, links: Links) -> SeedsView | None:
    return None if one.spheres is None else seeds_view(run, one, one.spheres, links)


def _run_view(
    run: Run,
    views: dict[str, SeedsView | None],
    links: Links,
    names: dict[str, tuple[str, ...]],
) -> RunView:
    after, regressors = regressor_block(run)
    names |= regressors
    for one in run.sets:
        if one.spheres is not None and one.order is not None:
            names[f"{one.anchor}-names"] = tuple(one.spheres.names[i] for i in one.order.indices)
    sets = tuple(_set_view(run, one, views[one.anchor]) for one in run.sets)
    return RunView(run.anchor, run.title, run.strategies, motion_block(run, links), sets, after)


def _set_view(run: Run, one: SeedSet, view: SeedsView | None) -> SetView:
    signals = signals_of(one, run.strategies)
    blocks = [] if signals is None else list(signal_blocks(signals, run.strategies))
    before = None if signals is None else picture_before(signals)
    relations = [] if view is None else list(relation_blocks(one, run.strategies, view.stage))
    remarks = list(_remarks(run, one, bool(blocks or relations)))
    if blocks and not relations and one.files.matrix_paths:
        remarks.append("No two spheres have a series, so that there is nothing to relate.")
    return SetView(one.title, tuple(remarks), (*blocks, *relations), before)


def _remarks(run: Run, one: SeedSet, shown: bool) -> Iterator[str]:
    for strategy in run.strategies:
        reason = one.facts.get(strategy, {}).get("Excluded")
        if reason and not run.files.together:
            yield f"{strategy}: excluded, and so not shown. {reason}."
    if not shown:
        yield "There is nothing to show: no series and no relations were written."
