"""What is true in the simulation: which seeds belong together, and how much.

The networks are the simulation's own, not those that Power and colleagues published with their
coordinates: a seed belongs to the network with the nearest of a few hand-placed centres.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.files.atomic import cell, table_text, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.demo.motion import Floats

# Centres in MNI millimetres; the mirror image in x = 0 is meant too.
CENTRES = {
    "Visual": ((10, -88, 2), (30, -80, 8)),
    "Motor": ((8, -25, 65), (42, -20, 50)),
    "Auditory": ((55, -20, 10),),
    "Attention": ((25, -62, 52), (28, -5, 58), (48, -60, -6)),
    "Salience": ((36, 18, 2), (5, 14, 44)),
    "Control": ((42, 35, 26), (45, -50, 46)),
    "Default": ((5, -55, 28), (5, 50, 12), (46, -66, 32), (58, -12, -20)),
    "Deep": ((12, -12, 6), (22, -65, -30)),
}
# Each network follows two unseen processes with these weights, and otherwise itself: the product of
# two rows is their correlation, and the matrix is positive definite while no row is as long as 1.
LOADINGS = {
    "Visual": (0.60, 0.10),
    "Motor": (0.70, 0.10),
    "Auditory": (0.60, 0.25),
    "Attention": (0.55, -0.45),
    "Salience": (0.25, -0.55),
    "Control": (-0.20, -0.70),
    "Default": (-0.70, -0.10),
    "Deep": (0.00, 0.30),
}
SHARED = 0.6
BAND = (0.01, 0.1)

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
class Seeds:
    """Names, MNI coordinates, (S, 3) in mm, and networks of seeds, (S,) positions in `CENTRES`."""

    names: tuple[str, ...]
    points: Floats
    network: NDArray[np.intp]

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each seed's network."""
        return tuple(list(CENTRES)[index] for index in self.network)


def read_seeds() -> Seeds:
    """Read the package's Power2011 table and give each seed its network."""
    table = files("bids_spheres") / "data" / "seeds" / "Power2011.tsv"
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    points = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    return Seeds(tuple(row["name"] for row in rows), points, nearest_network(points))


def nearest_network(points: Floats) -> NDArray[np.intp]:
    """The network, (S,), whose centre or its mirror image is nearest to each point, (S, 3)."""
    counts = [len(centres) for centres in CENTRES.values()]
    owner: NDArray[np.intp] = np.repeat(np.arange(len(CENTRES)), counts)
    return np.asarray(owner[centre_distance(points).argmin(axis=1)])


def centre_distance(points: Floats) -> Floats:
    """Distance of points, (S, 3), from the C `CENTRES` or their mirror images, (S, C) in mm."""
    centres = np.array([centre for centres in CENTRES.values() for centre in centres], float)
    folded = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    return np.asarray(np.linalg.norm(folded[:, None] - centres, axis=-1))


def network_correlation() -> Floats:
    """The population correlation of the networks' signals, (N, N)."""
    weights = np.array(list(LOADINGS.values()))
    correlation: Floats = weights @ weights.T
    np.fill_diagonal(correlation, 1.0)
    return correlation


def seed_correlation(network: NDArray[np.intp]) -> Floats:
    """The population correlation of the signals of seeds of the given networks, (S, S).

    A seed's signal is ``sqrt(a) * network + sqrt(1 - a) * own`` with ``a = 0.6``, so two seeds
    correlate at ``a`` times their networks' correlation.

    >>> float(seed_correlation(np.array([0, 0]))[0, 1])
    0.6
    """
    correlation = SHARED * network_correlation()[np.ix_(network, network)]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def seed_signals(
    network: NDArray[np.intp], volumes: int, t_r: float, rng: np.random.Generator
) -> Floats:
    """Draw the seeds' signals, (S, T): Gaussian, 0.01 to 0.1 Hz, with population variance 1."""
    mixing = np.linalg.cholesky(network_correlation())
    shared = mixing @ band_noise(len(mixing), volumes, t_r, rng)
    own = band_noise(len(network), volumes, t_r, rng)
    return np.asarray(np.sqrt(SHARED) * shared[network] + np.sqrt(1 - SHARED) * own)


def band_noise(count: int, volumes: int, t_r: float, rng: np.random.Generator) -> Floats:
    """Draw independent Gaussian noise, (count, T): 0.01 to 0.1 Hz, population variance 1."""
    # Twice as long as needed, then cut: noise made from a spectrum is periodic, a scan is not.
    length = 2 * volumes
    frequency = np.fft.rfftfreq(length, t_r)
    kept = (frequency >= BAND[0]) & (frequency <= BAND[1])
    spectrum = np.zeros((count, len(frequency)), complex)
    drawn = rng.standard_normal((2, count, np.count_nonzero(kept)))
    spectrum[:, kept] = drawn[0] + 1j * drawn[1]
    scale = length / (2 * np.sqrt(np.count_nonzero(kept)))
    return np.asarray(np.fft.irfft(spectrum, length, axis=1)[:, :volumes] * scale)


@dataclass(frozen=True, eq=False)
class DemoTruth:
    """What is true in the simulated dataset."""

    seed_names: tuple[str, ...]  # of the S seeds, as in the package's Power2011 table
    networks: tuple[str, ...]  # simulated, of each seed
    correlation: Floats  # (S, S), of their signals in the population
    mean_fd: Mapping[str, float]  # mm, by the start of a run's files: sub-02_task-rest_run-1


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
