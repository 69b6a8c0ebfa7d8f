"""Parameters of a masker to a checked recipe of what its numbers depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bids_spheres.engine.aggregate import aggregate_cleaned
from bids_spheres.engine.clean import clean
from bids_spheres.engine.extract import extract
from bids_spheres.engine.seeds import check_radius, seeds_from
from bids_spheres.engine.spheres import SphereWeights, sphere_weights
from bids_spheres.errors import DataError, UsageError
from bids_spheres.wording import count as counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.arrays import BoolArray, CleanArguments, DType, FloatArray
    from bids_spheres.engine.clean import SampleMask
    from bids_spheres.engine.regressors import Confounds
    from bids_spheres.engine.spheres import Grid
    from bids_spheres.engine.stream import Volumes


T = TypeVar("T")

CLEAN_PREFIX = "clean__"
"""Prefix of a masker's keyword arguments that are meant for `bids_spheres.clean`."""

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

    def weights(self, grid: Grid) -> SphereWeights:
        """Weights on a grid, checked for empty and overlapping spheres."""
        weights = sphere_weights(self.coordinates, self.radii, grid, self.mask, self.mask_grid)
        if self.empty == "raise" and weights.empty.any():
            raise DataError(f"These spheres are empty: {np.flatnonzero(weights.empty)}")
        if not self.allow_overlap and weights.overlaps.any():
            raise DataError("Overlap detected between spheres")
        return weights

    def unchecked(self) -> Recipe:
        """The same for looking at spheres, whatever they are like."""
        return replace(self, allow_overlap=True, empty="nan")

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
    """Seeds in any form that a masker takes as (S, 3), mm; an error names the first bad one."""
    if (table := seeds_from(seeds)) is not None:
        return table.coordinates
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


def radii_of(radius: float | Sequence[float] | None, seeds: Any) -> FloatArray:
    """One radius per seed, (S,), mm; 0 for the voxel that holds the seed."""
    table = seeds_from(seeds)
    count = len(seeds if table is None else table)
    if radius is None:
        return np.zeros(count) if table is None else table.radii
    if np.ndim(radius) == 0:
        return np.full(count, check_radius(float(radius)))  # type: ignore[arg-type]
    radii = [check_radius(length) for length in radius]  # type: ignore[union-attr]
    if len(radii) != count:
        given = counted(len(radii), "radius", "radii")
        raise UsageError(f"{given} for {counted(count, 'seed')}: one for each is needed.")
    return np.asarray(radii, dtype=np.float64)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, if it is allowed; else UsageError."""
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def check_dtype(dtype: DTypeLike | None) -> None:
    """Refuse a data type that can't hold signals."""
    if dtype is not None and dtype != "auto" and np.dtype(dtype) == bool:
        raise TypeError("'dtype' cannot be bool")


def output_dtype(requested: DTypeLike | None, source: DType) -> DType | None:
    """Requested data type; None for the default."""
    if requested is None:
        return None
    if isinstance(requested, str) and requested == "auto":
        return np.dtype(np.int32 if source.kind == "i" else np.float32)
    return np.dtype(requested)


def natural_dtype(source: DType) -> DType:
    """float64 for what needs it, else float32 (nilearn's rule)."""
    return np.dtype(np.float64 if source.itemsize == 8 else np.float32)
