"""Spheres of a run on the grid of an image: the voxels that they may use, and their signal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from bids_spheres.confounds.strategy import SMOOTHED_BEFORE
from bids_spheres.engine.extract import Extraction, extract
from bids_spheres.engine.regions import image_on_grid, row_weights
from bids_spheres.engine.seedmaps import SpooledVolumes
from bids_spheres.engine.spheres import nearest_only, nearest_values, stack_weights
from bids_spheres.engine.stream import Mask, Volumes, open_volumes, read_mask
from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.files.names import same_template
from bids_spheres.inputs.matching import lesion_masks, tissue_images
from bids_spheres.outputs.sidecars import ImageSidecar, bids_uri, generated_by
from bids_spheres.participant.controls import PlacedSeries, control_sets, shifts
from bids_spheres.settings.table import Processing, sidecar_of
from bids_spheres.settings.values import OFF
from bids_spheres.wording import count, listing, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid, SphereWeights
    from bids_spheres.inputs.runs import Run
    from bids_spheres.participant.plan import Job, Work
    from bids_spheres.spaces.placement import SeedsInSpace

COLUMNS = {"GM": "grey_matter", "WM": "white_matter", "CSF": "csf"}  # with the shares of tissues
_LARGEST = 1e100  # value of an image: larger ones, or the sums of their squares, can't be held
_NOT_LINEAR = (
    "Spikes were squeezed by the rule of AFNI's 3dDespike, which is not linear: degrees of freedom "
    "do not count it."
)


@dataclass(frozen=True, eq=False)
class SphereSet:
    """A seed set of S spheres on the grid of an image.

    `columns` are its columns of an extraction of several sets, `min_coverage` the smallest share of
    a sphere's voxels that must have a signal, and `extra` further columns of its table, (S,).
    `controls` are extracted with it; `shifted` are its spheres at each random placement. Once the
    image was read, `reduced` counts spheres with voxels that are constant, or not finite in a
    volume, `cancelled` names maps whose weights have no positive sum and so no mean, and `placed`
    has the series of the placements.
    """

    seeds: SeedTable
    weights: SphereWeights
    columns: slice
    min_coverage: float
    sidecar: ImageSidecar
    extra: Mapping[str, FloatArray] = field(default_factory=dict)
    reduced: int = 0
    cancelled: tuple[str, ...] = ()
    controls: tuple[SphereSet, ...] = ()
    shifted: tuple[SphereWeights, ...] = ()
    placed: PlacedSeries | None = None

    def with_signal_of(self, extraction: Extraction) -> SphereSet:
        """The same with what the moments of an extraction say of the voxels."""
        moments, all_weights = extraction.moments, extraction.weights
        assert moments is not None  # noqa: S101 - they were asked for
        signal = {
            "coverage": moments.coverage(all_weights)[self.columns],
            "tsnr": moments.tsnr(all_weights)[self.columns],
        }
        sidecar = self.sidecar.copy()
        if extraction.spikes is not None:
            spikes = signal["despiked"] = extraction.spikes[self.columns]
            known = spikes[np.isfinite(spikes)]
            sidecar["DespikedShare"] = float(known.mean()) if known.size else None
            sidecar["DespikeNote"] = _NOT_LINEAR
        reduced = int(extraction.reduced[self.columns].sum())
        silent = np.isnan(extraction.timeseries[:, self.columns]).all(axis=0)
        own = zip(self.seeds.names, silent & ~self.weights.empty, signal["coverage"], strict=True)
        return replace(
            self,
            extra={**self.extra, **signal},
            reduced=reduced,
            cancelled=tuple(name for name, no_mean, share in own if no_mean and share > 0),
            sidecar=sidecar,
        )

    @property
    def missing(self) -> BoolArray:
        """Spheres without a usable voxel, with too little coverage, or without a mean, (S,)."""
        cancelled = np.isin(self.seeds.names, self.cancelled)
        return np.asarray(self.weights.empty | self.too_little(self.coverage) | cancelled)

    @property
    def coverage(self) -> FloatArray:
        """Share of the voxels of each sphere that have a signal, as far as known, (S,)."""
        return np.asarray(self.extra.get("coverage", self.weights.coverage))

    def too_little(self, coverage: FloatArray) -> BoolArray:
        """Whether so much coverage is not enough."""
        return np.asarray((coverage == 0) | (coverage < self.min_coverage))

    @property
    def noun(self) -> str:
        """What the user calls its members."""
        return "sphere" if self.seeds.regions is None else "region"


def coverage_note(spheres: SphereSet) -> str:
    """How many spheres there are, and how many lack a part or all of their voxels."""
    weights, sidecar = spheres.weights, spheres.sidecar
    limited = sidecar.get("Mask") != OFF or sidecar.get("Tissue") or sidecar.get("ExcludeMask")
    limit = "mask" if limited else "image"
    nearest = " or in a nearer sphere" * (sidecar.get("Overlap") == "nearest")
    low = spheres.too_little(spheres.coverage)
    faults = {
        f"with their seed outside the {limit}{nearest}": ~weights.seed_used,
        f"partly outside the {limit}": weights.partial,
        f"without a voxel in the {limit} (n/a)": weights.empty,
        f"with a coverage below {spheres.min_coverage:g} (n/a)": low & ~weights.empty,
    }
    parts = [f"{spheres.seeds.label}: {count(len(spheres.seeds), spheres.noun)}"]
    parts += [f"{flags.sum()} {fault}" for fault, flags in faults.items() if flags.any()]
    if (despiked := spheres.sidecar.get("DespikedShare")) is not None:
        parts.append(f"{despiked:.2%} of their voxels' values despiked")
    return ", ".join(parts)


def sphere_warnings(spheres: SphereSet, bold: Path) -> Iterator[str]:
    """What to look for when spheres of an image have no signal or lost voxels."""
    label, number, noun = spheres.seeds.label, spheres.reduced, spheres.noun
    if cancelled := spheres.cancelled:
        yield (
            f"{label}: the weights of {listing(cancelled)} sum to 0 or less over the voxels used "
            f"of {bold.name}, so that there is no weighted mean, and outputs are n/a. For maps of "
            "both signs use --parcellation-weights least-squares."
        )
    if spheres.weights.empty.all():
        yield (
            f"{label}: no {noun} has a voxel in image and mask, and all outputs are n/a. Are the "
            f"coordinates millimetres in the space {spheres.sidecar['SpatialReference']}, and is "
            "the mask of this image?"
        )
    elif spheres.missing.all() and not cancelled:
        reason = (
            f"no {noun} has a signal, and all outputs are n/a. Is {bold} constant or empty there?"
        )
        if (largest := np.nanmax(spheres.coverage)) > 0:
            reason = (
                f"the largest coverage of a {noun} is {largest:.2g}, below the "
                f"{spheres.min_coverage:g} of --min-coverage, and all outputs are n/a."
            )
        yield f"{label}: {reason}"
    if number:
        yield (
            f"{label}: {number} of {count(len(spheres.seeds), noun)} "
            f"{plural(number, 'holds', 'hold')} voxels that are constant or, in some volume, not "
            f"finite in {bold.name}; these are left out and count as missing in the coverage."
        )


class ImageSpheres(NamedTuple):
    """An image that is open, its mask, the voxels that may be used, and the spheres on its grid."""

    volumes: Volumes
    mask: Mask | None
    usable: UsableVoxels
    sphere_sets: list[SphereSet]


def open_spheres(job: Job, bold: Path, placements: Sequence[SeedsInSpace]) -> ImageSpheres:
    """Open an image of a run and draw the spheres of seed sets on its grid."""
    rules, start = job.work.processing, 0
    volumes = open_volumes(bold)
    if job.mask is None and rules.mask != OFF:
        raise MissingInputError(
            f"No brain mask belongs to {bold}.",
            hint="fMRIPrep writes it beside the image as *_desc-brain_mask.nii.gz; --mask "
            "template, none or PATH does without.",
        )
    mask = read_mask(job.mask) if job.mask else None
    usable = usable_voxels(job.run, bold, volumes.grid, mask, rules)
    sphere_sets: list[SphereSet] = []
    for placement in placements:
        seeds = placement.table
        weights = _weights(seeds, volumes.grid, usable, rules.overlap)
        columns = slice(start, start + len(seeds))
        sidecar = image_sidecar(job.run, bold, job.mask, placement, job.work)
        extra = usable.shares(weights)
        if placement.moved:
            extra["moved"] = np.array(placement.moved)
        sphere_sets.append(SphereSet(seeds, weights, columns, rules.min_coverage, sidecar, extra))
        start += len(seeds)
    overlap = "allow" if rules.overlap == "error" else rules.overlap
    for i, spheres in enumerate(sphere_sets):
        controls = tuple(control_sets(spheres, usable, start)) if rules.controls else ()
        start += sum(len(control.seeds) for control in controls)
        seeds, shifted = spheres.seeds, []
        if rules.placements and seeds.regions is None:  # regions have places of their own
            for shift in shifts(*rules.placements, len(seeds)):
                moved = replace(seeds, coordinates=seeds.coordinates + shift)
                shifted.append(_weights(moved, volumes.grid, usable, overlap))
        sphere_sets[i] = replace(spheres, controls=controls, shifted=tuple(shifted))
    return ImageSpheres(volumes, mask, usable, sphere_sets)


def image_sidecar(
    run: Run, bold: Path, mask: Path | None, placement: SeedsInSpace, work: Work
) -> ImageSidecar:
    """Which seeds on which image of a run."""
    seeds, before = placement.table, smoothed_before(run, bold)
    about = ImageSidecar(
        Sources=[bids_uri(path, work.links) for path in (bold, mask) if path],
        GeneratedBy=generated_by(),
        SpatialReference=run.space,
        Seeds=seeds.label,
    )
    if placement.note:
        about["SeedSpace"] = seeds.metadata.get("Space")
        about["SpaceNote"] = placement.note
        about["SeedTransforms"] = [bids_uri(path, work.links) for path in placement.transforms]
    if seeds.regions is None:
        same = (seeds.radii == seeds.radii[0]).all()
        about["Radius"] = float(seeds.radii[0]) if same else seeds.radii.tolist()
        about["RadiusUnits"] = "mm"
    recorded = sidecar_of(work.processing, "spheres")
    ours = work.processing.smoothing_fwhm or 0
    # Variances of Gaussians add up.
    recorded["SmoothingFWHM"] = float(np.hypot(ours, before)) if before else ours
    smoothed = f"{before:g} mm by FSL SUSAN, in fMRIPrep's workflow of ICA-AROMA"
    content = {**about, **recorded, "SmoothingBefore": smoothed if before else None}
    return cast("ImageSidecar", content)


def smoothed_before(run: Run, bold: Path) -> float:
    """Width by which an image was smoothed when it was made, mm; 0 when it wasn't."""
    kinds = {path: kind for kind, path in run.images}
    return SMOOTHED_BEFORE.get(kinds.get(bold, ""), 0.0)


def _weights(seeds: SeedTable, grid: Grid, usable: UsableVoxels, overlap: str) -> SphereWeights:
    """Weights of spheres or regions, by the rule for voxels that several spheres share."""
    weights = row_weights(seeds, grid, usable.inside, usable.grid)
    shared = np.flatnonzero(weights.overlaps)
    if overlap == "nearest" and seeds.regions is None and len(shared):
        weights = nearest_only(weights, seeds.coordinates, seeds.radii)
    elif overlap == "error" and seeds.regions is None and len(shared):
        names = ", ".join(seeds.names[i] for i in shared[:5]) + ", ..." * (len(shared) > 5)
        raise DataError(
            f"{len(shared)} spheres of {seeds.label} share voxels with others: {names}",
            hint="Choose a smaller --radius, or --overlap nearest or allow.",
        )
    return usable.of_tissue(weights, seeds)


def extract_spheres(
    volumes: Volumes, sphere_sets: Sequence[SphereSet], rules: Processing, threads: int
) -> tuple[Extraction, list[SphereSet]]:
    """Series of all sets, in one pass over the image, NaN without signal; and sets with theirs."""
    every = [*sphere_sets, *(control for spheres in sphere_sets for control in spheres.controls)]
    weights = stack_weights([spheres.weights for spheres in every])
    with np.errstate(over="ignore", invalid="ignore"):
        extraction = extract(
            *(volumes, weights, rules.smoothing_fwhm),
            aggregation=rules.aggregation,
            despike=rules.despike,
            moments=True,
            threads=threads,
        )
    if (np.abs(extraction.timeseries) >= _LARGEST).any():
        raise DataError(
            f"{volumes.name} has values above {_LARGEST:g}, which are no signal.",
            hint="Its header is damaged, or something went wrong before; compute it again.",
        )
    every = [spheres.with_signal_of(extraction) for spheres in every]
    for i, spheres in enumerate(every):
        if spheres.shifted and isinstance(volumes, SpooledVolumes):
            every[i] = replace(spheres, placed=PlacedSeries(volumes, spheres, rules))
    missing = np.concatenate([spheres.missing for spheres in every])
    extraction.timeseries[:, missing] = np.nan
    return extraction, every[: len(sphere_sets)]


@dataclass(frozen=True, eq=False)
class UsableVoxels:
    """Voxels that may be used: those `inside` on their own `grid`, or all without one.

    On the image's grid are the voxels of the `tissue` above a threshold, or its probability as
    `weight` of voxels, and the probabilities of all `tissues`.
    """

    inside: BoolArray | None
    grid: Grid | None
    tissue: BoolArray | None = None
    weight: FloatArray | None = None
    tissues: Mapping[str, FloatArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of_tissue(self, weights: SphereWeights, seeds: SeedTable) -> SphereWeights:
        """Weights with the voxels of the tissue as those that count, or weighted by it."""
        if self.tissue is not None:
            # Coverage is of what the participant has of the tissue.
            every = row_weights(seeds, weights.grid, self.tissue, weights.grid)
            total = np.asarray(every.magnitudes.sum(axis=1)).ravel()
            whole = None if weights.whole is None else np.where(total > 0, total, 1.0)
            return replace(weights, asked=np.maximum(every.used, 1), whole=whole)
        if self.weight is None:
            return weights
        if weights.joint:
            raise UsageError(
                "--tissue: voxels of maps can't be weighted twice.",
                hint="Use a threshold, as GM:0.5, or --parcellation-weights mean.",
            )
        at_voxels = self.weight.reshape(-1, order="F")[weights.voxels]
        values = weights.sums.data * at_voxels[weights.membership.indices]
        weighted = replace(weights, values=values, compact=False)
        before, after = (np.asarray(part.sums.sum(axis=1)).ravel() for part in (weights, weighted))
        # Coverage stays what it is: the tissue is no part of it.
        whole = after / np.where(weights.coverage > 0, weights.coverage, 1)
        return replace(weighted, whole=np.where((before > 0) & (after > 0), whole, 1.0))

    def shares(self, weights: SphereWeights) -> dict[str, FloatArray]:
        """Share of each tissue in the voxels used of each sphere, (S,), by column."""
        members = weights.core.astype(np.float64)
        used = np.where(weights.used > 0, weights.used, np.nan)
        return {
            COLUMNS[tissue]: members @ values.reshape(-1, order="F")[weights.voxels] / used
            for tissue, values in self.tissues.items()
        }


def usable_voxels(
    run: Run, bold: Path, grid: Grid, mask: Mask | None, rules: Processing
) -> UsableVoxels:
    """Voxels of a run that may be used; a `MissingInputError` without an image of the tissue."""
    images = tissue_images(bold.parent, run.space)
    tissues = {name: image_on_grid(path, grid, label) for name, (path, label) in images.items()}
    name, _, least = (rules.tissue or "").partition(":")
    if name and name not in tissues:
        raise MissingInputError(
            f"--tissue: no image of {name} in {run.space} belongs to {bold.name}.",
            hint=f"fMRIPrep writes anat/*_label-{name}_probseg.nii.gz for each of --output-spaces.",
        )
    weight, tissue = (tissues[name], None) if least == "weight" else (None, tissues.get(name))
    usable = UsableVoxels(None, None, weight=weight, tissues=tissues)
    if mask is not None:
        usable = replace(usable, inside=mask.inside, grid=mask.grid)
    lesions = lesions_of(run, rules.exclude_mask)
    if not lesions and tissue is None:
        notes = ["No mask of --exclude-mask belongs to this run."] if rules.exclude_mask else []
        return replace(usable, notes=tuple(notes))
    voxels = np.indices(grid.shape).reshape(3, -1).T
    inside = np.ones(grid.shape, dtype=bool)
    if mask is not None:
        inside = nearest_values(voxels, grid, mask.inside, mask.grid).reshape(grid.shape)
    if tissue is not None:
        enough = tissue >= float(least or 0.5)
        usable, inside = replace(usable, tissue=enough), inside & enough
    notes = []
    for path in lesions:
        lesion = read_mask(path)
        excluded = nearest_values(voxels, grid, lesion.inside, lesion.grid).reshape(grid.shape)
        notes.append(f"{count(int((inside & excluded).sum()), 'voxel')} of {path.name} excluded.")
        inside &= ~excluded
    if not inside.any():
        raise DataError(f"--tissue and --exclude-mask leave no voxel of {bold.name}.")
    return replace(usable, inside=inside, grid=grid, notes=tuple(notes))


def lesions_of(run: Run, given: str | None) -> list[Path]:
    """Masks of lesions of a run: a file of all, or those of a folder that belong to it."""
    if given is None:
        return []
    path = Path(given)
    if not path.exists():
        raise MissingInputError(f"--exclude-mask: {path} is missing.")
    if path.is_dir():
        return lesion_masks(path, run.name, run.space)
    known = [part.removeprefix("space-") for part in path.name.split("_") if "space-" in part]
    if known and not same_template(known[0], run.space):
        raise UsageError(
            f"--exclude-mask: {path.name} is in {known[0]} space, and the images are in "
            f"{run.space}.",
            hint="Give masks in the space of the images.",
        )
    return [path]
