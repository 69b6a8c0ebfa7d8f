"""Spheres of a masker, all together and one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nibabel.spatialimages import SpatialImage
    from numpy.typing import NDArray

    from bids_spheres.engine import Grid, SphereWeights


@dataclass(frozen=True, eq=False)
class MaskerFacts:
    """Spheres and parameters of a masker.

    Raises
    ------
    DataError
        When the numbers of names, coordinates, radii and weights differ, or the background is
        not one volume.
    """

    title: str
    parameters: Mapping[str, str]
    names: tuple[str, ...]
    coordinates: NDArray[np.float64]  # (S, 3), mm
    radii: NDArray[np.float64]  # (S,), mm; 0: the one voxel that holds the seed
    background: SpatialImage | None = None  # What figures show behind the spheres
    weights: SphereWeights | None = None  # Which voxels the spheres hold
    displayed: tuple[int, ...] = ()  # Which spheres get a figure of their own, counted from 0
    warnings: tuple[str, ...] = ()
    mask_voxels: int | None = None  # Voxels of the mask on the grid of `weights`

    def __post_init__(self) -> None:
        n = len(self.names)
        rows = n if self.weights is None else len(self.weights.asked)
        if np.shape(self.coordinates) != (n, 3) or np.shape(self.radii) != (n,) or rows != n:
            raise DataError(f"A report of {n} spheres needs a seed and a radius for each.")
        if self.background is not None and len(self.background.shape) != 3:
            raise DataError(
                f"The background is one volume, not an image of shape {self.background.shape}."
            )

    @cached_property
    def spheres(self) -> tuple[Sphere, ...]:
        """The spheres one by one."""
        weights = self.weights
        if weights is not None:
            grid: Grid | None = weights.grid
            voxel = weights.grid.voxel_volume
            counts = zip(weights.used, weights.asked, weights.overlaps, strict=True)
            total = self.mask_voxels
            voxels = [
                Voxels(int(used), int(expected), int(shared), int(used) / total if total else None)
                for used, expected, shared in counts
            ]
            volumes: list[float | None] = [sphere.used * voxel for sphere in voxels]
        else:
            grid = None if self.background is None else image_grid(self.background)
            volumes = [4 / 3 * np.pi * float(r) ** 3 if r else None for r in self.radii]
        inside = None if grid is None else grid.contains(grid.voxel_of(self.coordinates))
        return tuple(
            Sphere(
                index=s,
                name=str(name),
                seed=tuple(float(mm) for mm in self.coordinates[s]),
                radius=float(self.radii[s]),
                volume=volumes[s],
                voxels=None if weights is None else voxels[s],
                inside=None if inside is None else bool(inside[s]),
                shown=s in self.displayed,
            )
            for s, name in enumerate(self.names)
        )


@dataclass(frozen=True)
class Voxels:
    """Voxels of one sphere."""

    # Those that count, those whose centre is in the sphere whether or not image and mask hold
    # them, and those used that are in another sphere as well.
    used: int
    expected: int
    overlapping: int
    share: float | None = None  # Of all voxels of the mask

    @property
    def state(self) -> str:
        """``"empty"``, ``"partial"``, or nothing for a complete sphere."""
        if self.used == 0:
            return "empty"
        return "partial" if self.used < self.expected else ""


@dataclass(frozen=True)
class Sphere:
    """One sphere."""

    index: int  # From 0
    name: str
    seed: tuple[float, ...]  # mm
    radius: float  # mm
    volume: float | None = None  # mm3; Of the voxels used; without an image, of the ideal sphere
    voxels: Voxels | None = None
    inside: bool | None = None  # Whether the seed lies in the image
    shown: bool = False  # Whether it has a figure of its own

    @property
    def anchor(self) -> str:
        """Identifier of its figure."""
        return f"sphere-{self.index}"

    @property
    def heading(self) -> str:
        """Number and name."""
        return f"{self.index}: {self.name}"
