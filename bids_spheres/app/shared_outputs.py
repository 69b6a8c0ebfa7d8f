"""What the runs of a call share in the output: descriptions, methods, the record of the call."""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from bids_spheres.engine.connectivity import measure
from bids_spheres.files.atomic import write_if_changed
from bids_spheres.outputs.logs import CITATION_FILE, LOGS, methods_file, write_record
from bids_spheres.outputs.paths import UNCLEANED
from bids_spheres.outputs.shared import write_shared_files
from bids_spheres.participant.seeds_in_space import transformed_labels
from bids_spheres.reports.methods import (
    MethodsFacts,
    bibliography,
    citation_file,
    methods_paragraph,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from bids_spheres.inputs.dataset import Inputs
    from bids_spheres.participant.plan import Job, Work
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


def write_what_runs_share(settings: Settings, inputs: Inputs, jobs: Sequence[Job]) -> Path:
    """Write what the whole output dataset shares, and the record of this call; return its path."""
    work, out = jobs[0].work, settings.output_dir
    labels = {
        "spheres": "Spheres around seeds on the grid of an image",
        UNCLEANED: "Signals of spheres before cleaning",
    }
    labels |= {strategy.name: strategy.description for strategy in work.strategies}
    for replaced in write_shared_files(out, inputs.all, work.seed_sets, labels):
        logger.warning("%s", replaced)
    record = write_record(out, settings.to_json(), settings.labels.participant_label)
    spaces: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        spaces[job.run.name.get("sub") or ""].add(job.run.space)
    facts = _methods_facts(settings, inputs, work, set().union(*spaces.values()))
    write_if_changed(out / CITATION_FILE, citation_file(facts))
    write_if_changed(out / LOGS / "CITATION.bib", bibliography(methods_paragraph(facts)))
    text = cache(lambda own: citation_file(_methods_facts(settings, inputs, work, own)))
    for label, own in spaces.items():
        write_if_changed(out / methods_file(label), text(frozenset(own)))
    return record


def _methods_facts(
    settings: Settings, inputs: Inputs, work: Work, spaces: Collection[str]
) -> MethodsFacts:
    rules, names = settings.processing, tuple(sorted(spaces))
    return MethodsFacts(
        **vars(rules),
        pipeline=inputs.main.program,
        pipeline_version=inputs.main.version,
        spaces=names,
        seed_sets=work.seed_sets,
        transformed=transformed_labels(work.seed_sets, names, warp=rules.warp_seeds),
        strategies=work.strategies,
        external_outliers=settings.outliers is not None,
        measures=tuple(measure(name).stat for name in rules.connectivity),
    )
