"""Seed sets on the grid of an image, and their cleaned series and matrices to files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import measure
from bids_spheres.outputs import write
from bids_spheres.outputs.paths import EFFECTIVE_DOF
from bids_spheres.outputs.sidecars import SeriesSidecar, sampling
from bids_spheres.participant.sidecars import matrix_sidecar, sidecar_beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.outputs.paths import OutputPaths
    from bids_spheres.outputs.sidecars import CleaningSidecar, ImageSidecar
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.placements import PlacedSeries

    FloatArray = NDArray[np.float64]


_NOT_LINEAR = (
    "Spikes were squeezed by the rule of AFNI's 3dDespike, which is not linear: degrees of freedom "
    "do not count it."
)


@dataclass(frozen=True, eq=False)
class SphereSet:
    """A seed set of S spheres on the grid of an image.

    Parameters
    ----------
    seeds : SeedTable
    weights : SphereWeights
    columns : slice
        Its part of the columns of an extraction of several sets.
    min_coverage : float
        Smallest share of a sphere's voxels that must have a signal.
    sidecar : ImageSidecar
    coverage, tsnr, spikes : (S,) arrays, optional
        Share of each sphere's voxels that has a signal, their temporal signal-to-noise ratio, and
        the share of their values that despiking changed, once the image was read.
    reduced : int
        Spheres with voxels in image and mask that are constant, or not finite in a volume.
    extra : mapping of str to (S,) array
        Further columns of the table of spheres: shares of tissues, and how far seeds were moved.
    placements : tuple of SphereWeights
        All spheres, shifted at random, as often as wanted.
    placed : PlacedSeries, optional
        Their series, once the image was read.
    """

    seeds: SeedTable
    weights: SphereWeights
    columns: slice
    min_coverage: float
    sidecar: ImageSidecar
    coverage: FloatArray | None = None
    tsnr: FloatArray | None = None
    spikes: FloatArray | None = None
    reduced: int = 0
    extra: Mapping[str, FloatArray] = field(default_factory=dict)
    placements: tuple[SphereWeights, ...] = ()
    placed: PlacedSeries | None = None

    def with_signal_of(self, extraction: Extraction) -> SphereSet:
        """The same with what the moments of an extraction say of the voxels."""
        moments, all_weights = extraction.moments, extraction.weights
        assert moments is not None  # noqa: S101 - they were asked for
        coverage = moments.coverage(all_weights)[self.columns]
        tsnr = moments.tsnr(all_weights)[self.columns]
        reduced = int(extraction.reduced[self.columns].sum())
        signal = replace(self, coverage=coverage, tsnr=tsnr, reduced=reduced)
        if extraction.spikes is None:
            return signal
        spikes = extraction.spikes[self.columns]
        known = spikes[np.isfinite(spikes)]
        sidecar = self.sidecar.copy()
        sidecar["DespikedShare"] = float(known.mean()) if known.size else None
        sidecar["DespikeNote"] = _NOT_LINEAR
        return replace(signal, spikes=spikes, sidecar=sidecar)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Spheres without a usable voxel, or with too little coverage, (S,)."""
        coverage = self.weights.coverage if self.coverage is None else self.coverage
        return np.asarray(self.weights.empty | self.too_little(coverage))

    def too_little(self, coverage: FloatArray) -> NDArray[np.bool_]:
        """Whether so much coverage is not enough."""
        return np.asarray((coverage == 0) | (coverage < self.min_coverage))


def write_spheres(paths: OutputPaths, spheres: SphereSet, bold: Path) -> None:
    """Write the spheres of an image that was read, as image and table."""
    measured = {"coverage": spheres.coverage, "tsnr": spheres.tsnr, **spheres.extra}
    if spheres.spikes is not None:
        measured["despiked"] = spheres.spikes
    write.write_spheres(
        *(paths, spheres.seeds, bold, spheres.weights),
        measured={**measured, "used": ~spheres.missing},
        sidecar=spheres.sidecar,
    )


def write_series(
    paths: OutputPaths,
    spheres: SphereSet,
    run_design: RunDesign,
    cleaned: FloatArray,
    *,
    sidecar: CleaningSidecar,
    beside: Mapping[str, FloatArray],
) -> None:
    """Write cleaned series, (T', S) with NaN for spheres without a signal, and their relations.

    All relations are `n/a` when the run is excluded. `beside` are matrices, (S, S), that say how
    good correlations are, by the label of ``stat``.
    """
    seeds, rules, kept = spheres.seeds, run_design.processing, run_design.used
    strategy = run_design.strategy.name
    values = cleaned
    if rules.full_length:
        values = np.full((len(kept), len(seeds)), np.nan)
        values[kept] = cleaned
    common = {**spheres.sidecar, **sidecar}
    own = SeriesSidecar(
        Sources=[*spheres.sidecar["Sources"], *sidecar["Sources"]],
        **sampling(run_design.timing.t_r),
        FullLength=rules.full_length,
    )
    write.write_series(paths, seeds, strategy, values, {**common, **own})
    common["Sources"] = [paths.uri(paths.series(seeds, strategy))]
    nodes = paths.uri(paths.spheres(seeds))
    for chosen in map(measure, rules.connectivity):
        relations = np.full((len(seeds), len(seeds)), np.nan)
        about = matrix_sidecar(chosen, nodes)
        if run_design.exclusion is None:
            relations = chosen.function(cleaned)
            if chosen.shrinkage:
                about["Shrinkage"] = chosen.shrinkage(cleaned)
        path = paths.matrix(seeds, strategy, chosen.stat)
        write.write_matrix(path, seeds.names, relations, {**common, **about})
    for stat, values in beside.items():
        # Over placements of the spheres, from the image and not from the series
        sources = common["Sources"] if stat == EFFECTIVE_DOF else own["Sources"]
        facts = {**common, **sidecar_beside(stat, nodes, rules), "Sources": sources}
        write.write_matrix(paths.matrix(seeds, strategy, stat), seeds.names, values, facts)
