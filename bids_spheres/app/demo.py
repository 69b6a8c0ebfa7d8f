"""The demonstration: a simulated dataset through both levels."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_spheres.app.group_level import run_group_level
from bids_spheres.app.participant_level import run_participants
from bids_spheres.demo import (
    SPACE,
    check_demo_dir,
    write_demo_dataset,
    write_own_seeds,
    write_truth,
)
from bids_spheres.errors import SOME_FAILED
from bids_spheres.outputs.shared import check_place
from bids_spheres.settings.table import GROUP, Execution, Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

logger = logging.getLogger(__name__)


def run_demo(options: Namespace) -> int:
    """Write dataset and results into a folder, say where, and return the exit status."""
    out: Path = options.output_dir
    source, seeds = out / "fmriprep", out / "seeds" / "networks.tsv"
    check_place(source)
    check_demo_dir(source)
    logger.info("Writing a simulated dataset of three participants into %s", source)
    write_truth(write_demo_dataset(source), out / "truth")
    write_own_seeds(seeds, SPACE)
    settings = Settings(
        bids_dir=source,
        output_dir=out / "bids-spheres",
        atlas=("Power2011",),
        seeds=(seeds,),
        strategy=("simple", "scrubbing"),
        execution=Execution(nprocs=options.nprocs),
    )
    failures = run_participants(settings, debug=options.debug)
    problems = run_group_level(replace(settings, analysis_level=GROUP))
    results = settings.output_dir
    print(
        f"Time series and correlations: {results / 'sub-01' / 'func'}\n"
        f"What the files are:           {results / 'README.md'}\n"
        f"The truth that was simulated: {out / 'truth'}\n"
        f"A report of each participant: {results / 'sub-01.html'}\n"
        f"The report of the group:      {results / 'group.html'}"
    )
    return SOME_FAILED if failures or problems else 0
