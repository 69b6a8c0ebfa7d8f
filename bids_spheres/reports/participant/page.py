"""All sections of the report put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.outputs.links import all_sources
from bids_spheres.reports.participant import provenance, relations
from bids_spheres.reports.participant.sphere_section import seed_map_blocks, seeds_section
from bids_spheres.reports.participant.summary import cautions, runs_table, summary, verdicts
from bids_spheres.reports.participant.time_courses import motion_block, signal_view
from bids_spheres.reports.toolkit.limits import LIMITS_IN_WORDS
from bids_spheres.reports.toolkit.render import page

if TYPE_CHECKING:
    from bids_spheres.reports.participant.load import Participant, Run, SeedSet
    from bids_spheres.reports.toolkit.render import Block, HTMLReport, Section


def participant_page(participant: Participant) -> HTMLReport:
    """The report of one participant or session."""
    names: dict[str, tuple[str, ...]] = {}
    drawn, runs = [], []
    for run in participant.runs:
        views = []
        for seeds in run.sets:
            section = None
            if seeds.spheres is not None:
                section = seeds_section(run, seeds, seeds.spheres, participant.links)
                drawn.append((run, section))
                names[f"{seeds.anchor}-names"] = seeds.order.arranged(seeds.spheres.names)
            views.append(_set_view(run, seeds, section))
        after, names_of_regressors = relations.regressor_block(run)
        names |= names_of_regressors
        view: dict[str, object] = {"anchor": run.anchor, "title": run.title, "sets": views}
        view |= {"strategies": run.strategies, "before": motion_block(run, participant.links)}
        runs.append({**view, "controls": relations.controls_table(run), "after": after})
    sets = [seeds for run in participant.runs for seeds in run.sets]
    facts = [seeds.spheres.sidecar for seeds in sets if seeds.spheres is not None]
    facts += [sidecar for seeds in sets for sidecar in seeds.facts.values()]
    output_dir, roots = participant.output_dir, participant.links.roots
    software = provenance.software(output_dir, roots)
    record = participant.settings_path, participant.settings
    return page(
        "participant.html.j2",
        participant.title,
        summary=(*summary(participant), *provenance.made_with(software)),
        verdicts=tuple(verdicts(participant)),
        limits=LIMITS_IN_WORDS,
        runs_table=runs_table(participant),
        warnings=(*participant.failures, *cautions(participant)),
        seeds=tuple(section for run, section in drawn if not run.files.together),
        stages=tuple(section.stage for _, section in drawn),
        runs=runs,
        names=names,
        controls_note=relations.CONTROLS_IN_WORDS,
        methods=provenance.read_methods(output_dir, participant.label),
        datasets=tuple((name, str(root)) for name, root in roots.items()),
        inputs=all_sources(facts),
        **provenance.origin(output_dir, *record, software),
    )


def _set_view(run: Run, seeds: SeedSet, section: Section | None) -> dict[str, object]:
    """Results of a seed set: words, and blocks with the picture that they refer to by its name."""
    blocks, before = signal_view(seeds, run.styles)
    pairs: list[Block] = []
    if section is not None and section.stage is not None:
        pairs += relations.relation_blocks(seeds, run.styles, section.stage)
        pairs += seed_map_blocks(seeds, run.strategies, section.stage.scene)
    remarks = [
        f"{strategy}: excluded, and so not shown. {reason}."
        for strategy in run.strategies
        if (reason := seeds.facts.get(strategy, {}).get("Excluded")) and not run.files.together
    ]
    if not blocks and not pairs:
        remarks.append("Neither series nor matrices were written.")
    elif not pairs and seeds.files.matrix_paths:
        remarks.append(f"Fewer than two {seeds.noun}s have a series: no pairs.")
    shown = {"remarks": remarks, "blocks": (*blocks, *pairs), "before": before}
    return {"title": seeds.title, **shown}
