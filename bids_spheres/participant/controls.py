"""Controls: what is related that should not be, and what depends on where exactly spheres are.

Negative controls are series between which a strategy should leave no relation. Surrogates keep the
spectrum of every region and no relation between regions; spheres in fluid have no signal of
neurons; spheres at mirrored seeds show what is not specific to the place of the seeds.

For random placements every sphere is shifted N times, and all of one placement together. The image
is read once: voxels of all placements are kept on disk while it is read for the spheres themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from bids_spheres.engine.connectivity import Moments, fisher_z, pearson_correlation
from bids_spheres.engine.extract import Extraction, extract
from bids_spheres.engine.regions import row_weights
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.spheres import Grid, nearest_values, stack_weights
from bids_spheres.outputs import write
from bids_spheres.outputs.paths import PLACEMENT_MEAN, PLACEMENT_SD, OutputPaths
from bids_spheres.outputs.sidecars import ControlsSidecar
from bids_spheres.participant.series import (
    PLACEMENT_SEED,
    clean_columns,
    clean_series,
    effective_dof,
    regressed_out,
)
from bids_spheres.spaces.fmriprep import is_native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bids_spheres.engine.aggregate import VoxelSeries
    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.engine.seedmaps import SpooledVolumes
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.sphere_sets import SphereSet, UsableVoxels
    from bids_spheres.settings.table import Processing


SURROGATES = 150  # surrogates of a seed set with fewer nodes: 11,175 pairs tell 5 % from 5.5 %
CRITICAL_Z = 1.959964  # value of a normal distribution with two-sided p = .05

_FLUID_SPHERES, _FEWEST_VOXELS = 20, 4
_FLUID = 0.9  # least probability of fluid of a voxel: less would hold grey matter


# Spheres


def control_sets(spheres: SphereSet, usable: UsableVoxels, start: int) -> Iterator[SphereSet]:
    """Spheres at mirrored seeds and in fluid, if any, with columns from `start` on."""
    seeds, grid = spheres.seeds, spheres.weights.grid
    if seeds.regions is None and not is_native(spheres.sidecar["SpatialReference"]):
        mirrored = replace(seeds, label="mirrored", coordinates=seeds.coordinates * [-1, 1, 1])
        weights = row_weights(mirrored, grid, usable.inside, usable.grid)
        weights = usable.of_tissue(weights, mirrored)
        columns = slice(start, start + len(seeds))
        yield replace(spheres, seeds=mirrored, weights=weights, columns=columns)
        start += len(seeds)
    if "CSF" not in usable.tissues:
        return
    fluid = usable.tissues["CSF"] >= _FLUID
    # What seeds share with fluid would correlate with it.
    fluid[tuple(grid.unflat(spheres.weights.voxels).T)] = False
    if usable.inside is not None and usable.grid is not None:
        voxels = np.argwhere(fluid)
        fluid[tuple(voxels.T)] = nearest_values(voxels, grid, usable.inside, usable.grid)
    radius = float(np.median(seeds.radii))
    centres = fluid_centres(fluid, grid, radius)
    if len(centres):
        names = tuple(f"fluid{i}" for i in range(len(centres)))
        table = SeedTable("fluid", names, centres, np.full(len(centres), radius))
        weights = row_weights(table, grid, fluid, grid)
        # Coverage is of the fluid that there is.
        weights = replace(weights, asked=np.maximum(weights.used, 1))
        columns = slice(start, start + len(table))
        yield replace(spheres, seeds=table, weights=weights, columns=columns)


def fluid_centres(fluid: BoolArray, grid: Grid, radius: float) -> FloatArray:
    """Centres, (N, 3) mm, of disjoint spheres that hold the most voxels of fluid, (X, Y, Z)."""
    points = grid.to_mm(np.argwhere(fluid))
    if not len(points):
        return np.empty((0, 3))
    tree = cKDTree(points)
    held = np.asarray(tree.query_ball_point(points, radius + 1e-6, return_length=True))
    chosen: list[FloatArray] = []
    while len(chosen) < _FLUID_SPHERES and held.max() >= _FEWEST_VOXELS:
        chosen.append(points[held.argmax()])
        held[np.linalg.norm(points - chosen[-1], axis=1) <= 2 * radius] = 0
    return np.array(chosen).reshape(-1, 3)


# Relations


def write_controls(
    paths: OutputPaths,
    spheres: SphereSet,
    run_design: RunDesign,
    extraction: Extraction,
    cleaned: FloatArray,
) -> None:
    """Write how many control series correlate; `cleaned`, (T', S), are series of the seeds."""
    controls = {
        control.seeds.label: clean_columns(extraction, control.columns, run_design)
        for control in spheres.controls
    }
    strategy = run_design.strategy.name
    path = paths.controls(spheres.seeds, strategy)
    about = ControlsSidecar(
        Sources=[paths.uri(paths.series(spheres.seeds, strategy)), *spheres.sidecar["Sources"]],
        GeneratedBy=spheres.sidecar["GeneratedBy"],
        SpatialReference=spheres.sidecar["SpatialReference"],
        Seeds=spheres.sidecar["Seeds"],
        Strategy=strategy,
        DegreesOfFreedom=run_design.degrees_of_freedom.residual,
        SurrogateSeed=crc32(path.name.encode()),
    )
    table = controls_table(cleaned, controls, run_design, about["SurrogateSeed"])
    write.write_controls(path, table, about)


def controls_table(
    seeds: FloatArray, controls: Mapping[str, FloatArray], run_design: RunDesign, seed: int
) -> pd.DataFrame:
    """Share of pairs that correlate, of cleaned series (T', S): of seeds and of each control."""
    n_seeds = seeds.shape[1]
    of_seeds = np.triu(np.ones((n_seeds, n_seeds), dtype=bool), 1)
    rows = {"seeds": _row(seeds, of_seeds, run_design)}
    surrogates = surrogate_series(seeds, run_design, seed)
    every = np.triu(np.ones((surrogates.shape[1],) * 2, dtype=bool), 1)
    rows["surrogate"] = _row(surrogates, every, run_design)
    fluid = controls.get("fluid", np.empty((len(seeds), 0)))
    between = np.zeros((n_seeds + fluid.shape[1],) * 2, dtype=bool)
    between[:n_seeds, n_seeds:] = True
    of_fluid = _row(np.hstack([seeds, fluid]), between, run_design)
    rows["fluid"] = {**of_fluid, "spheres": _known(fluid)}
    mirrored = controls.get("mirrored", np.full_like(seeds, np.nan))
    rows["mirrored"] = _row(mirrored, of_seeds, run_design)
    both = np.stack([pearson_correlation(values)[of_seeds] for values in (seeds, mirrored)])
    both = both[:, np.isfinite(both).all(axis=0)]
    if both.shape[1] > 2:
        rows["mirrored"]["similarity"] = float(pearson_correlation(both.T)[0, 1])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("control").reset_index()


def surrogate_series(cleaned: FloatArray, run_design: RunDesign, seed: int) -> FloatArray:
    """Series with random phases and the spectra of cleaned ones, (T', S): (T', M >= `SURROGATES`).

    What new phases put back where regressors were is taken out again.
    """
    known = cleaned[:, np.isfinite(cleaned).all(axis=0)]
    if not known.size:
        return np.empty((len(cleaned), 0))
    known = np.tile(known, -(-SURROGATES // known.shape[1]))
    values = phase_randomized(known, np.random.default_rng(seed))
    removed = np.column_stack([np.ones(len(values)), regressed_out(run_design)])
    return np.asarray(values - removed @ np.linalg.lstsq(removed, values, rcond=None)[0])


def phase_randomized(series: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Series, (T, S), with the same power at every frequency, and phases drawn anew for each.

    Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S; other phases for each series leave no
    relation between them (Prichard & Theiler 1994, doi:10.1103/PhysRevLett.73.951).
    """
    spectrum = np.fft.rfft(series, axis=0)
    turns = np.exp(2j * np.pi * rng.random(spectrum.shape))
    turns[0] = 1  # the mean
    if len(series) % 2 == 0:
        turns[-1] = 1  # the Nyquist frequency has no phase
    return np.fft.irfft(spectrum * turns, n=len(series), axis=0)


def _row(series: FloatArray, pairs: BoolArray, run_design: RunDesign) -> dict[str, float]:
    """Spheres and pairs with a correlation, and the shares of pairs with p < .05."""
    row = {"spheres": _known(series), "pairs": 0, "significant": np.nan}
    row |= {"significant_nominal": np.nan, "similarity": np.nan}
    if not pairs.any() or run_design.exclusion is not None:
        return row
    r, effective = pearson_correlation(series)[pairs], effective_dof(series, run_design)[pairs]
    nominal = np.full(len(r), run_design.degrees_of_freedom.residual + 1)
    known = np.isfinite(r) & np.isfinite(effective)
    z = np.abs(np.arctanh(np.clip(r[known], -1 + 1e-12, 1 - 1e-12)))
    row["pairs"] = int(known.sum())
    if known.any():
        for column, n in (("significant", effective), ("significant_nominal", nominal)):
            scale = np.sqrt(np.maximum(n[known] - 3, 0))
            row[column] = float(np.mean(z * scale > CRITICAL_Z))
    return row


def _known(series: FloatArray) -> int:
    return int(np.isfinite(series).all(axis=0).sum()) if series.size else 0


# Series extracted at a time, or of their voxels where these count; and those that are held.
_BLOCK_BYTES, MOST_HELD = 2**26, 2**27


def shifts(distance: float, n_placements: int, n_seeds: int) -> FloatArray:
    """Random shifts, uniform in a ball of radius `distance` (mm): (N, S, 3)."""
    rng = np.random.default_rng(PLACEMENT_SEED)
    directions = rng.standard_normal((n_placements, n_seeds, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    # The volume of a ball grows with the cube of its radius.
    return distance * np.cbrt(rng.random((n_placements, n_seeds, 1))) * directions


class PlacedSeries:
    """Series of the spheres of each placement, (T, S), and of their voxels where these count.

    Computed once where memory may hold all of them, else anew for each strategy. NaN for spheres
    without enough voxels with a signal.
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

    A pair has the placements in which both spheres have a series; NaN for too few.
    """
    moments = Moments(placed.n_seeds**2)
    for timeseries, voxels in placed:
        moments.add(fisher_z(clean_series(timeseries, design, voxels)).ravel())
    shape = placed.n_seeds, placed.n_seeds
    return {
        PLACEMENT_MEAN: moments.known_mean.reshape(shape),
        PLACEMENT_SD: moments.sd.reshape(shape),
    }
