"""A seed table as a user would bring it: some of the simulated seeds, with names and networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.demo.files import write_tsv
from bids_spheres.demo.networks import CENTRES, centre_distance, read_seeds
from bids_spheres.files.atomic import cell, write_json

if TYPE_CHECKING:
    from pathlib import Path

PER_NETWORK = 4
"""Seeds of each network in the table."""


def write_own_seeds(path: Path, space: str) -> None:
    """Write the seeds that lie nearest to the centres of the networks, as a table with a sidecar.

    Parameters
    ----------
    path : Path
        Of the table; its folder is made when it is not there.
    space : str
        Template of the simulated images, in which the coordinates are.
    """
    seeds = read_seeds()
    distance = centre_distance(seeds.points).min(axis=1)
    rows: list[tuple[str, ...]] = []
    for number, network in enumerate(CENTRES):
        members = np.flatnonzero(seeds.network == number)
        nearest = members[np.argsort(distance[members], kind="stable")[:PER_NETWORK]]
        for place, seed in enumerate(nearest, start=1):
            rows.append((f"{network}_{place}", *map(cell, seeds.points[seed]), network))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tsv(path, ("name", "x", "y", "z", "network"), rows)
    write_json(path.with_suffix(".json"), {"Space": space})
