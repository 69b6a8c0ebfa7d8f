"""What users give a masker, opened and checked: images, and what its numbers depend on.

An image is a path, a pattern with wildcards, a nibabel image, or a list of them: a list of 3-D
images is one series, a list of 4-D images several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from nibabel.spatialimages import SpatialImage

from bids_spheres.engine.aggregate import aggregate_cleaned
from bids_spheres.engine.clean import clean
from bids_spheres.engine.extract import extract
from bids_spheres.engine.seeds import check_radius
from bids_spheres.engine.spheres import SphereWeights, sphere_weights
from bids_spheres.engine.stream import Volumes, open_volumes, stack_volumes
from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.arrays import BoolArray, CleanArguments, DType, FloatArray
    from bids_spheres.engine.clean import SampleMask
    from bids_spheres.engine.regressors import Confounds
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.engine.spheres import Grid

T = TypeVar("T")

Image = str | Path | SpatialImage
Images = Image | Sequence[Image]


@dataclass(frozen=True)
class Series:
    """One series of volumes, opened; `images` are as the user gave them, wildcards resolved."""

    images: tuple[Image, ...]
    volumes: Volumes

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What changes when a file changes, so that a cache never serves an old result."""
        parts: list[object] = []
        for image in self.images:
            if isinstance(image, SpatialImage):
                parts.append(image)
            else:
                status = Path(image).stat()
                parts += [str(Path(image).resolve()), status.st_size, status.st_mtime_ns]
        return tuple(parts)

    def volume(self, number: int) -> FloatArray:
        """One volume as an (X, Y, Z) array."""
        volumes = chain.from_iterable(self.volumes.blocks())
        for volume in islice(volumes, number, None):
            return volume.reshape(self.volumes.grid.shape, order="F")
        raise IndexError(f"{self.volumes.name} has no volume {number + 1}.")


def open_series(images: Images) -> Series | list[Series]:
    """Open an image as a series of volumes, or a list of 4-D images as several."""
    if not isinstance(images, Sequence) or isinstance(images, str):
        return _open(images)
    if not images:
        raise DataError("An empty list holds no image.")
    opened = [_open(image) for image in images]
    if all(series.volumes.is_3d for series in opened):
        return _joined(opened)
    if any(series.volumes.is_3d for series in opened):
        raise DataError("A list of images must hold 3-D or 4-D images, not both.")
    return opened


def _open(image: object) -> Series:
    if isinstance(image, str) and has_magic(image) and not Path(image).exists():
        matches = sorted(glob(image))  # noqa: PTH207 - a pattern may start at the root
        if not matches:
            raise MissingInputError(f"No files matching the entered niimg expression: '{image}'")
        opened = [_open(match) for match in matches]
        return opened[0] if len(opened) == 1 else _joined(opened)
    if not isinstance(image, str | Path | SpatialImage):
        raise TypeError(
            "Data given cannot be loaded because it is not compatible with nibabel format: "
            f"{type(image).__name__}; neither arrays nor sparse matrices are images."
        )
    return Series((image,), open_volumes(image))


def _joined(opened: list[Series]) -> Series:
    images = tuple(image for series in opened for image in series.images)
    return Series(images, stack_volumes([series.volumes for series in opened]))


CLEAN_PREFIX = "clean__"  # of a masker's keyword arguments that are meant for `bids_spheres.clean`

_SEED_ERROR = "Seeds must be a list of triplets of coordinates in native space.\n"


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that the numbers of one series depend on, apart from the images themselves."""

    coordinates: FloatArray
    radii: FloatArray
    mask: BoolArray | None
    mask_grid: Grid | None
    allow_overlap: bool
    empty: str
    fwhm: float | None
    aggregation: Aggregation
    cleaning: CleanArguments

    def weights(self, grid: Grid, *, checked: bool = True) -> SphereWeights:
        """Weights on a grid, unless `checked` whatever spheres are empty or overlap."""
        weights = sphere_weights(self.coordinates, self.radii, grid, self.mask, self.mask_grid)
        if checked and self.empty == "raise" and weights.empty.any():
            raise DataError(f"These spheres are empty: {np.flatnonzero(weights.empty)}")
        if checked and not self.allow_overlap and weights.overlaps.any():
            raise DataError("Overlap detected between spheres")
        return weights

    def signals(
        self, volumes: Volumes, confounds: Confounds | None, sample_mask: SampleMask | None
    ) -> FloatArray:
        """Cleaned signals in double precision, (T, S); NaN for spheres without a voxel."""
        weights = self.weights(volumes.grid)
        extraction = extract(
            volumes, weights, self.fwhm, aggregation=self.aggregation, usable_only=False
        )
        filled = ~weights.empty
        steps = {"confounds": confounds, "sample_mask": sample_mask, **self.cleaning}
        if extraction.voxels is None:
            cleaned = clean(extraction.timeseries[:, filled], **steps)
        else:
            voxels = extraction.voxels.of(np.flatnonzero(filled))
            cleaned = aggregate_cleaned(voxels, self.aggregation, steps)
        signals = np.full((len(cleaned), len(filled)), np.nan)
        signals[:, filled] = cleaned
        return signals


def without_prefix(kwargs: Mapping[str, T]) -> dict[str, T]:
    """Arguments meant for `clean`, by their own names; TypeError for one without the prefix."""
    if unknown := [name for name in kwargs if not name.startswith(CLEAN_PREFIX)]:
        raise TypeError(f"NiftiSpheresMasker has no parameter {unknown[0]!r}.")
    return {name.removeprefix(CLEAN_PREFIX): value for name, value in kwargs.items()}


def coordinates_of(seeds: Any) -> FloatArray:
    """A list of triplets as an (S, 3) array, mm; an error names the first that is none."""
    if not hasattr(seeds, "__iter__"):
        raise UsageError(f"{_SEED_ERROR}Given seed list is of type: {type(seeds)}")
    triplets = []
    for i, seed in enumerate(seeds):
        if not hasattr(seed, "__len__"):
            raise UsageError(
                f"{_SEED_ERROR}Seed #{i} is not a valid triplet of coordinates. "
                f"It is of type {type(seed)}."
            )
        if len(seed) != 3:
            raise UsageError(f"{_SEED_ERROR}Seed #{i} is of length {len(seed)} instead of 3.")
        triplets.append([float(value) for value in seed])
    coordinates = np.asarray(triplets, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(coordinates).all():
        raise UsageError(f"{_SEED_ERROR}A coordinate is not a finite number.")
    return coordinates


def radii_of(
    radius: float | Sequence[float] | None, n_seeds: int, table: SeedTable | None
) -> FloatArray:
    """One radius per seed, (S,), mm; 0 for the voxel that holds the seed."""
    if radius is None:
        return np.zeros(n_seeds) if table is None else table.radii
    if np.ndim(radius) == 0:
        return np.full(n_seeds, check_radius(float(radius)))  # type: ignore[arg-type]
    radii = [check_radius(length) for length in radius]  # type: ignore[union-attr]
    if len(radii) != n_seeds:
        given = count(len(radii), "radius", "radii")
        raise UsageError(f"{given} for {count(n_seeds, 'seed')}: one for each is needed.")
    return np.asarray(radii, dtype=np.float64)


def output_dtype(requested: DTypeLike | None, source: DType, default: DType | None = None) -> DType:
    """Data type of results, not bool; by default float64 if needed, else float32, as nilearn."""
    if requested is None:
        return default or np.dtype(np.float64 if source.itemsize == 8 else np.float32)
    if isinstance(requested, str) and requested == "auto":
        return np.dtype(np.int32 if source.kind == "i" else np.float32)
    if np.dtype(requested) == bool:
        raise TypeError("'dtype' cannot be bool")
    return np.dtype(requested)
