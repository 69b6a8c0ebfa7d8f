"""How much correlations depend on where exactly spheres are placed.

Every sphere is shifted at random, N times, and all of one placement together. The voxels that any
placement has are kept on disk while the image is read for the spheres themselves, so that it is
read once; extraction, coverage and cleaning are then those of the spheres, some placements at a
time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import Moments, fisher_z
from bids_spheres.engine.extract import extract
from bids_spheres.engine.spheres import stack_weights
from bids_spheres.outputs.paths import PLACEMENT_MEAN, PLACEMENT_SD
from bids_spheres.participant.series import clean_series
from bids_spheres.participant.sidecars import PLACEMENT_SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.engine.aggregate import VoxelSeries
    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.seedmaps import SpooledVolumes
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.sphere_sets import SphereSet
    from bids_spheres.settings import Processing

_BLOCK_BYTES, MOST_HELD = 2**26, 2**27
"""Series extracted at a time, or of their voxels where these count; and those that are held."""


def shifts(distance: float, n_placements: int, n_seeds: int) -> FloatArray:
    """Random shifts, uniform in a ball of radius `distance` (mm): (N, S, 3)."""
    rng = np.random.default_rng(PLACEMENT_SEED)
    directions = rng.standard_normal((n_placements, n_seeds, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    # The volume of a ball grows with the cube of its radius.
    return distance * np.cbrt(rng.random((n_placements, n_seeds, 1))) * directions


def shifted_seeds(seeds: SeedTable, distance: float, n_placements: int) -> Iterator[SeedTable]:
    """All seeds of each placement; none of regions, which have places of their own."""
    if seeds.regions is None:
        for shift in shifts(distance, n_placements, len(seeds)):
            yield replace(seeds, coordinates=seeds.coordinates + shift)


class PlacedSeries:
    """Series of the spheres of each placement, (T, S), and of their voxels where these count.

    `volumes` were read to their end. Computed once where memory may hold all of them, else anew
    for each strategy. NaN for spheres without enough voxels with a signal.
    """

    def __init__(self, volumes: SpooledVolumes, spheres: SphereSet, rules: Processing) -> None:
        self.n_seeds = len(spheres.seeds)
        self._volumes, self._spheres, self._rules = volumes, spheres, rules
        by_voxel = rules.aggregation != "mean" or rules.despike
        widths = [w.membership.nnz if by_voxel else self.n_seeds for w in spheres.shifted]
        self._bytes = 8 * volumes.n_volumes * sum(widths)
        self._step = max(1, len(widths) * _BLOCK_BYTES // max(1, self._bytes))
        self._held: list[tuple[FloatArray, VoxelSeries | None]] = []

    def __iter__(self) -> Iterator[tuple[FloatArray, VoxelSeries | None]]:
        if self._bytes > MOST_HELD:
            return self._extracted()
        self._held = self._held or list(self._extracted())
        return iter(self._held)

    def _extracted(self) -> Iterator[tuple[FloatArray, VoxelSeries | None]]:
        """Some placements at a time, from the voxels that were kept."""
        rules, placements = self._rules, self._spheres.shifted
        for start in range(0, len(placements), self._step):
            block = placements[start : start + self._step]
            extraction = extract(
                self._volumes.kept_volumes(),
                stack_weights(list(block)),
                aggregation=rules.aggregation,
                despike=rules.despike,
                moments=True,
            )
            assert extraction.moments is not None  # noqa: S101 - they were asked for
            covered = extraction.moments.coverage(extraction.weights)
            extraction.timeseries[:, self._spheres.too_little(covered)] = np.nan
            for first in range(0, len(block) * self.n_seeds, self.n_seeds):
                own = slice(first, first + self.n_seeds)
                voxels = extraction.voxels.of(own) if extraction.voxels else None
                yield np.ascontiguousarray(extraction.timeseries[:, own]), voxels


def placement_spread(placed: PlacedSeries, design: RunDesign) -> dict[str, FloatArray]:
    """Mean and standard deviation (N - 1) of Fisher's z over placements, (S, S), by ``stat``.

    A pair has only the placements in which both spheres have a series; NaN for a mean of none and
    a deviation of fewer than two.
    """
    moments = Moments(placed.n_seeds**2)
    for timeseries, voxels in placed:
        moments.add(fisher_z(clean_series(timeseries, design, voxels)).ravel())
    shape = placed.n_seeds, placed.n_seeds
    return {
        PLACEMENT_MEAN: moments.known_mean.reshape(shape),
        PLACEMENT_SD: moments.sd.reshape(shape),
    }
