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

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class Seeds:
    """Names, MNI coordinates, (S, 3) in mm, and networks of seeds, (S,) positions in `CENTRES`."""

    names: tuple[str, ...]
    points: NDArray[np.float64]
    network: NDArray[np.intp]

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each seed's network."""
        networks = tuple(CENTRES)
        return tuple(networks[index] for index in self.network)


def read_seeds() -> Seeds:
    """Read the package's Power2011 table and give each seed its network."""
    table = files("bids_spheres") / "data" / "seeds" / "Power2011.tsv"
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    points = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    return Seeds(tuple(row["name"] for row in rows), points, nearest_network(points))


def nearest_network(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """The network, (S,), whose centre or its mirror image is nearest to each point, (S, 3)."""
    counts = [len(centres) for centres in CENTRES.values()]
    owner: NDArray[np.intp] = np.repeat(np.arange(len(CENTRES)), counts)
    return np.asarray(owner[centre_distance(points).argmin(axis=1)])


def centre_distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of points, (S, 3), from every centre or its mirror image in x = 0, (S, C) in mm.

    Centres are in the order of `CENTRES`, network by network.
    """
    centres = np.array([centre for centres in CENTRES.values() for centre in centres], float)
    folded = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    return np.asarray(np.linalg.norm(folded[:, None] - centres, axis=-1))


def network_correlation() -> NDArray[np.float64]:
    """The population correlation of the networks' signals, (N, N)."""
    weights = np.array(list(LOADINGS.values()))
    correlation: NDArray[np.float64] = weights @ weights.T
    np.fill_diagonal(correlation, 1.0)
    return correlation


def seed_correlation(network: NDArray[np.intp]) -> NDArray[np.float64]:
    """The population correlation of the signals of seeds of the given networks, (S, S).

    A seed's signal is ``sqrt(a) * network + sqrt(1 - a) * own`` with ``a = 0.6``, so two seeds
    correlate at ``a`` times their networks' correlation.

    Examples
    --------
    >>> import numpy as np
    >>> float(seed_correlation(np.array([0, 0]))[0, 1])
    0.6
    """
    correlation = SHARED * network_correlation()[np.ix_(network, network)]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def seed_signals(
    network: NDArray[np.intp], volumes: int, t_r: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the seeds' signals, (S, T): Gaussian, 0.01 to 0.1 Hz, with population variance 1."""
    mixing = np.linalg.cholesky(network_correlation())
    shared = mixing @ band_noise(len(mixing), volumes, t_r, rng)
    own = band_noise(len(network), volumes, t_r, rng)
    return np.asarray(np.sqrt(SHARED) * shared[network] + np.sqrt(1 - SHARED) * own)


def band_noise(
    count: int, volumes: int, t_r: float, rng: np.random.Generator
) -> NDArray[np.float64]:
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
