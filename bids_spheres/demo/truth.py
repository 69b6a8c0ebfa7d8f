"""What a result should be compared with, kept apart from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.files.atomic import cell, table_text, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

README = """\
# What is true in the simulated dataset

No person was scanned: the images and confounds were computed from a fixed random seed.

- `networks.tsv`: the simulated network that each seed of Power2011 was given. These are the
  simulation's networks, not those that were published with the coordinates: each seed belongs to
  the nearest of a few hand-placed centres, left and right alike.
- `correlation.tsv`: the correlation of the seeds' signals in the population, 0.6 times that of
  their networks. It belongs to signals between 0.01 and 0.1 Hz without noise, in spheres of 5 mm or
  less. A finite run scatters around it, and noise pulls every estimate towards zero.

On top of the signals the images hold an artefact that is a fixed linear function of 24 motion
parameters, a spike that neighbours share at each abrupt movement, physiological noise that is
strongest in cerebrospinal fluid and white matter, and slow drift.

Mean framewise displacement (Power's, mm):

| run | mm |
|---|---|
"""


@dataclass(frozen=True, eq=False)
class DemoTruth:
    """What is true in the simulated dataset.

    Names of the S seeds as in the package's Power2011 table, the simulated network of each, and
    the population correlation of their signals, (S, S). `mean_fd` has the mean framewise
    displacement of each run, mm, by the start of its file names, as ``sub-02_task-rest_run-1``.
    """

    seed_names: tuple[str, ...]
    networks: tuple[str, ...]
    correlation: NDArray[np.float64]
    mean_fd: Mapping[str, float]


def write_truth(truth: DemoTruth, folder: Path) -> None:
    """Write ``networks.tsv``, ``correlation.tsv`` and a ``README.md`` into a new or old folder.

    Not inside the dataset: pybids would index it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(zip(truth.seed_names, truth.networks, strict=True))
    write_text(folder / "networks.tsv", table_text(("name", "network"), pairs))
    rows = [
        (name, *map(cell, row))
        for name, row in zip(truth.seed_names, truth.correlation.tolist(), strict=True)
    ]
    write_text(folder / "correlation.tsv", table_text(("Node", *truth.seed_names), rows))
    table = "".join(f"| {run} | {fd:.3f} |\n" for run, fd in truth.mean_fd.items())
    write_text(folder / "README.md", README + table)
