"""Series of a run through the steps of a strategy, relations, maps, files and their sidecars."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np

from bids_spheres import __version__
from bids_spheres.confounds.design import removed_regressors, temporal_steps
from bids_spheres.engine.aggregate import VoxelSeries, aggregate_cleaned
from bids_spheres.engine.clean import clean
from bids_spheres.engine.connectivity import Measure, measure
from bids_spheres.engine.degrees_of_freedom import effective_degrees_of_freedom
from bids_spheres.engine.seedmaps import SpooledVolumes, mask_voxels, seed_maps, spooled
from bids_spheres.errors import UsageError, did_you_mean
from bids_spheres.files.atomic import write_image, write_json
from bids_spheres.files.names import plain_label
from bids_spheres.outputs import write
from bids_spheres.outputs.paths import EFFECTIVE_DOF, PLACEMENT_MEAN, PLACEMENT_SD, OutputPaths
from bids_spheres.outputs.sidecars import (
    GENERATOR,
    CleaningSidecar,
    DesignSidecar,
    MatrixSidecar,
    SeedMapSidecar,
    SeriesSidecar,
    sampling,
    sidecar_path,
)
from bids_spheres.settings.table import ALL, Processing, sidecar_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.engine.extract import Extraction
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.engine.stream import Mask, Volumes
    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.sphere_sets import SphereSet


def clean_series(
    timeseries: FloatArray, run_design: RunDesign, voxels: VoxelSeries | None = None
) -> FloatArray:
    """Cleaned series of the volumes in use, (T', S), of series (T, S) or of `voxels` of spheres.

    NaN for spheres without a signal, and for all when the run is excluded.
    """
    rows = rows_in_use(run_design)
    cleaned = np.full((int(rows.sum()), timeseries.shape[1]), np.nan)
    complete = ~np.isnan(timeseries).any(axis=0)
    # Without degrees of freedom the residuals are rounding errors, scaled up to look like data.
    if not complete.any() or run_design.exclusion is not None:
        return cleaned
    arguments = clean_arguments(run_design)
    if voxels is None:
        cleaned[:, complete] = clean(timeseries[:, complete], **arguments)[rows]
    else:
        used, rule = voxels.of(np.flatnonzero(complete)), run_design.processing.aggregation
        cleaned[:, complete] = aggregate_cleaned(used, rule, arguments)[rows]
    return cleaned


def clean_columns(extraction: Extraction, columns: slice, run_design: RunDesign) -> FloatArray:
    """Cleaned series, (T', S), of the spheres with these columns of an extraction.

    Without the others, so that numbers are the same to the last bit whichever there are.
    """
    voxels = extraction.voxels.of(columns) if extraction.voxels else None
    return clean_series(np.ascontiguousarray(extraction.timeseries[:, columns]), run_design, voxels)


def rows_in_use(run_design: RunDesign) -> BoolArray:
    """Which of the kept volumes are drawn after cleaning, (T',)."""
    return np.asarray(run_design.used[run_design.design.kept])


def clean_arguments(run_design: RunDesign) -> dict[str, Any]:
    """Arguments of `bids_spheres.engine.clean.clean` for a strategy in its run."""
    rules, t_r = run_design.processing, run_design.timing.t_r
    return {
        "detrend": rules.detrend,
        "standardize": rules.standardize,
        "confounds": removed_regressors(run_design.design, run_design.strategy, t_r),
        **temporal_steps(run_design.design, run_design.strategy, t_r),
    }


def effective_dof(cleaned: FloatArray, run_design: RunDesign) -> FloatArray:
    """Effective degrees of freedom of the correlations of cleaned series, (S, S).

    At most one more than those of white series: of N independent values var(r) is 1 / (N - 1).
    """
    n_spheres = cleaned.shape[1]
    if run_design.exclusion is not None:
        return np.full((n_spheres, n_spheres), np.nan)
    left = run_design.degrees_of_freedom
    return effective_degrees_of_freedom(
        cleaned,
        kept=run_design.used,
        regressors=regressed_out(run_design),
        degrees_lost=int(run_design.used.sum()) - left.residual,
    )


def regressed_out(run_design: RunDesign) -> FloatArray:
    """What was regressed out at the volumes in use, filtered as series were, (T', Q)."""
    kept, arguments = run_design.design.kept, clean_arguments(run_design)
    regressors = [np.empty((int(kept.sum()), 0))]
    if arguments["detrend"]:
        regressors.append(np.linspace(-1, 1, len(kept))[kept, np.newaxis])
    if (removed := arguments.pop("confounds")) is not None:
        # Detrended, so that a filter does not see the jump from the end to the beginning.
        regressors.append(clean(removed, **arguments | {"detrend": True, "standardize": False}))
    return np.hstack(regressors)[rows_in_use(run_design)]


def write_relations(
    place: tuple[OutputPaths, SeedTable, str],
    measures: Sequence[str],
    series: FloatArray,
    sidecar: Mapping[str, object],
    nodes: Sequence[str],
) -> None:
    """Write the matrix of each measure of cleaned series, (T', S); `n/a` without a volume.

    `place` are the seeds and the strategy among the paths, and `nodes` URIs of tables of spheres.
    """
    paths, seeds, strategy = place
    for chosen in map(measure, measures):
        about = {**sidecar, **matrix_sidecar(chosen, nodes)}
        if chosen.shrinkage and len(series):
            about["Shrinkage"] = chosen.shrinkage(series)
        path = paths.matrix(seeds, strategy, chosen.stat)
        write.write_matrix(path, seeds.names, chosen.function(series), about)


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
        FullLength=rules.full_length,
        **sampling(run_design.timing.t_r),
    )
    facts = {**common, **own}
    write.write_series(paths, seeds, strategy, values, facts)
    common["Sources"] = [paths.uri(paths.series(seeds, strategy))]
    nodes = [paths.uri(paths.spheres(seeds))]
    related = cleaned[:0] if run_design.exclusion else cleaned
    write_relations((paths, seeds, strategy), rules.connectivity, related, common, nodes)
    for stat, values in beside.items():
        # Over placements of the spheres, from the image and not from the series
        sources = common["Sources"] if stat == EFFECTIVE_DOF else own["Sources"]
        about = sidecar_beside(stat, nodes, rules)
        path = paths.matrix(seeds, strategy, stat)
        write.write_matrix(path, seeds.names, values, {**common, **about, "Sources": sources})


def recording_voxels(
    volumes: Volumes,
    mask: Mask | None,
    folder: Path,
    rules: Processing,
    shifted: Sequence[SphereWeights],
) -> AbstractContextManager[SpooledVolumes]:
    """The image, which keeps voxels in a temporary file while it is read, smoothed if so wanted.

    For maps those of the mask, all without one; else those of spheres that are `shifted`.
    """
    if not rules.seed_maps:
        voxels = np.unique(np.concatenate([weights.voxels for weights in shifted]))
    elif mask is None:
        voxels = np.arange(int(np.prod(volumes.grid.shape)))
    else:
        voxels = mask_voxels(volumes.grid, mask.inside, mask.grid)
    return spooled(volumes, voxels, folder, rules.smoothing_fwhm)


def write_seed_maps(
    paths: OutputPaths,
    volumes: SpooledVolumes,
    extraction: Extraction,
    sphere_sets: Sequence[tuple[SphereSet, FloatArray]],
    *,
    run_design: RunDesign,
    sidecar: CleaningSidecar,
) -> None:
    """Write a map of every seed that has a series; none when the run is excluded.

    `volumes` were read to their end; each sphere set has its cleaned series, (T', S).
    """
    if run_design.exclusion is not None:
        return
    names = run_design.processing.seed_maps
    seeds = [
        (spheres, number, label, series[:, number])
        for spheres, series in sphere_sets
        for number, label in chosen_seeds(spheres.seeds, names).items()
    ]
    if not seeds:
        return
    columns = [spheres.columns.start + number for spheres, number, *_ in seeds]
    timeseries, rows = extraction.timeseries[:, columns], rows_in_use(run_design)
    maps = seed_maps(
        *(volumes, timeseries, clean_arguments(run_design)),
        cleaned=np.column_stack([own for *_, own in seeds]) if extraction.voxels else None,
        rows=None if rows.all() else rows,
    )
    for (spheres, number, label, _), before, values in zip(seeds, timeseries.T, maps, strict=True):
        if np.isnan(before).any():
            continue  # no series, no map
        path = paths.seed_map(spheres.seeds, label, run_design.strategy.name)
        img = nib.Nifti1Image(values, volumes.grid.affine)
        img.header.set_xyzt_units("mm", "sec")
        write_image(path, img)
        about = SeedMapSidecar(
            Sources=[*spheres.sidecar["Sources"], *sidecar["Sources"]],
            Seed=spheres.seeds.names[number],
            SeedCoordinates=spheres.seeds.coordinates[number].tolist(),
            RelationshipMeasure="Fisher z of the Pearson correlation of the seed's series with "
            "that of every voxel",
            Resolution="Grid of the BOLD image",
        )
        write_json(sidecar_path(path), {**spheres.sidecar, **sidecar, **about})


def chosen_seeds(seeds: SeedTable, names: Sequence[str]) -> dict[int, str]:
    """Labels of the seeds that are named, or of all, by their places in the table."""
    labels = enumerate(seed_labels(seeds))
    return {i: label for i, label in labels if ALL in names or seeds.names[i] in names}


def check_chosen(names: Sequence[str], sets: Sequence[SeedTable]) -> None:
    """Refuse (UsageError) names that no seed has."""
    known = [name for seeds in sets for name in seeds.names]
    for name in set(names) - {ALL, *known}:
        raise UsageError(
            f"--seed-maps: no seed is named {name}.",
            hint=f"{did_you_mean(name, known)}Names are in the tables of seeds or regions.",
        )


def seed_labels(seeds: SeedTable) -> tuple[str, ...]:
    """Names of seeds as labels of an entity: letters and digits alone, each once.

    Examples
    --------
    >>> from bids_spheres.engine.seeds import SeedTable
    >>> names = ("left M1", "left-M1", "PCC")
    >>> seed_labels(SeedTable("x", names, np.zeros((3, 3)), np.zeros(3)))
    ('leftM1x1', 'leftM1x2', 'PCC')
    """
    plain = [plain_label(name) for name in seeds.names]
    alone = [bool(label) and plain.count(label) == 1 for label in plain]
    return tuple(
        label if single else f"{label}x{number}"
        for number, (label, single) in enumerate(zip(plain, alone, strict=True), start=1)
    )


def design_sidecar(run_design: RunDesign, sources: Sequence[str]) -> DesignSidecar:
    """Sidecar of regressors and censored volumes; `sources` are URIs of the tables."""
    return DesignSidecar(
        Sources=list(sources),
        Strategy=run_design.strategy.name,
        Description=run_design.strategy.description,
        NuisanceParameters=list(run_design.design.columns),
        StrategyNotes=list(run_design.design.notes),
    )


def cleaning_sidecar(run_design: RunDesign, sources: Sequence[str]) -> CleaningSidecar:
    """What was done to series, and what is left of them; `sources` are URIs of the tables."""
    left, design = run_design.degrees_of_freedom, run_design.design
    strategy, motion = run_design.strategy, design.motion
    known = np.empty(0) if motion is None else motion.displacement
    known = known[np.isfinite(known)]
    about = CleaningSidecar(
        **design_sidecar(run_design, sources),
        SoftwareFilters={"Temporal": asdict(strategy.filter)} if strategy.filter else "n/a",
        NumberOfVolumes=left.volumes,
        NumberOfVolumesKept=left.kept,
        NumberOfVolumesCensored=left.volumes - left.kept,
        NumberOfVolumesUsed=int(run_design.used.sum()),
        CensoredVolumes={name: int(flags.sum()) for name, flags in run_design.reasons.items()},
        CensoringThresholds=asdict(strategy.censor),
        HeadMotion=asdict(strategy.head_motion) if strategy.head_motion else None,
        HeadRadius=motion.head_radius if motion else None,
        MotionStopBand=list(motion.stop_band) if motion and motion.stop_band else None,
        MeanFramewiseDisplacementRecomputed=float(known.mean()) if known.size else None,
        RankRemoved=left.rank,
        DimensionsLostToFilter=left.filtered,
        DimensionsLostToCensoring=left.censored,
        DimensionsLostToDrawing=left.undrawn,
        DegreesOfFreedom=left.residual,
        MeanFramewiseDisplacement=design.mean_framewise_displacement,
        VolumesWithFramewiseDisplacement=design.n_framewise_displacement,
        Excluded=run_design.exclusion.reason if run_design.exclusion else None,
    )
    rules = run_design.processing
    content = {**about, **sidecar_of(rules, "design"), **sidecar_of(rules, "series")}
    return cast("CleaningSidecar", content)


def matrix_sidecar(chosen: Measure, nodes: Sequence[str]) -> MatrixSidecar:
    """Sidecar of a matrix over pairs of spheres, whose tables have the URIs `nodes`."""
    return MatrixSidecar(
        RelationshipMeasure=chosen.title,
        Weighted=True,
        Directed=False,
        ValidDiagonal=chosen.valid_diagonal,
        StorageFormat="Full",
        NodeFiles=list(nodes),
        Software=f"{GENERATOR} {__version__}",
    )


PLACEMENT_SEED = 0  # of random shifts of spheres, the same in all runs with as many seeds
_OVER_PLACEMENTS = "{} of Fisher's z of Pearson's r over random placements of the spheres"
_NO_MEASURE = {
    EFFECTIVE_DOF: "Effective number of volumes of the correlation of two spheres, given the "
    "autocorrelation of both (Dutilleul 1993, doi:10.2307/2532625); the variance of Fisher's z is "
    "1 / (this - 3)",
    PLACEMENT_MEAN: _OVER_PLACEMENTS.format("Mean"),
    PLACEMENT_SD: _OVER_PLACEMENTS.format("Standard deviation"),
}


def sidecar_beside(stat: str, nodes: Sequence[str], rules: Processing) -> MatrixSidecar:
    """Sidecar of a matrix that says how good correlations are."""
    about = matrix_sidecar(measure("pearson"), nodes)
    about["RelationshipMeasure"] = _NO_MEASURE[stat]
    if stat in (PLACEMENT_MEAN, PLACEMENT_SD) and rules.placements:
        about["PlacementJitter"], about["NumberOfPlacements"] = rules.placements
        about["PlacementSeed"] = PLACEMENT_SEED
    return about
