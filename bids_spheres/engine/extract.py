"""Weights applied to a stream of volumes: one value per volume and sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.seeds import SeedTable
from bids_spheres.engine.spheres import SphereWeights, sphere_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage
    from numpy.typing import NDArray

    from bids_spheres.engine.stream import Volumes

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extraction:
    """What one pass over an image gives.

    Parameters
    ----------
    timeseries : (T, S) array
        Mean over each sphere, in the units of the image; NaN for spheres without a voxel.
    weights : SphereWeights
        Which voxels went into them.
    voxel_mean, voxel_sd : (V,) arrays
        Temporal mean and sample standard deviation (N - 1) of `weights.voxels`.
    t_r : float
        Repetition time that the image's header gives, s; 0 when it gives none.
    """

    timeseries: FloatArray
    weights: SphereWeights
    voxel_mean: FloatArray
    voxel_sd: FloatArray
    t_r: float

    @property
    def tsnr(self) -> FloatArray:
        """Temporal signal-to-noise ratio of each sphere, (S,): mean over its voxels of mean / SD.

        Voxels that do not vary have none and are left out; NaN where none is left.
        """
        varying = self.voxel_sd > 0
        ratio = np.divide(
            self.voxel_mean, self.voxel_sd, out=np.zeros_like(self.voxel_mean), where=varying
        )
        members = self.weights.membership
        count = members @ varying.astype(np.float64)
        total = members @ ratio
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def extract(volumes: Volumes, weights: SphereWeights) -> Extraction:
    """Apply `weights` to every volume, reading the image once.

    Values that are not finite count as 0, as in nilearn's maskers.

    Raises
    ------
    DataError
        When the weights were made for another grid, or the file is damaged.
    """
    if not weights.grid.matches(volumes.grid):
        raise DataError(f"{volumes.name}: the sphere weights belong to another image grid.")
    timeseries = np.empty((volumes.n_volumes, len(weights.asked)))
    moments = _Moments(len(weights.voxels))
    mean, done = weights.mean, 0
    for block in volumes.blocks(weights.voxels):
        block[~np.isfinite(block)] = 0
        timeseries[done : done + len(block)] = (mean @ block.T).T
        moments.add(block)
        done += len(block)
    timeseries[:, weights.empty] = np.nan
    return Extraction(timeseries, weights, *moments.result(), t_r=volumes.t_r)


def extract_spheres(
    image: str | Path | SpatialImage,
    seeds: SeedTable | FloatArray | list[tuple[float, float, float]],
    radius: float | None = None,
    mask: str | Path | SpatialImage | None = None,
) -> Extraction:
    """Time series of spheres around seeds, from an image file.

    Parameters
    ----------
    image : path or nibabel image
        3-D or 4-D. A compressed file is read once, as a stream.
    seeds : SeedTable or (S, 3) array-like, mm
        In the space of the image.
    radius : float, optional
        mm. Default: the table's radii; for an array, the one voxel that holds each seed.
    mask : path or nibabel image, optional
        Only voxels in which it is not zero are used; its nearest voxel counts when it is
        on another grid.

    Returns
    -------
    Extraction

    Raises
    ------
    MissingInputError, DataError, ReadWriteError
        When a file is not there, is not an image, ends early or can't be read.
    """
    coordinates, radii = _points(seeds, radius)
    volumes = open_volumes(image)
    region = load_mask(mask) if mask is not None else (None, None)
    return extract(volumes, sphere_weights(coordinates, radii, volumes.grid, *region))


def _points(
    seeds: SeedTable | FloatArray | list[tuple[float, float, float]], radius: float | None
) -> tuple[FloatArray, FloatArray | float]:
    if isinstance(seeds, SeedTable):
        table = seeds if radius is None else seeds.with_radius(radius)
        return table.coordinates, table.radii
    return np.asarray(seeds, dtype=np.float64).reshape(-1, 3), radius or 0.0


class _Moments:
    """Temporal mean and variance of voxels, block by block.

    Sums are taken of the difference to the first volume, so that a large mean does not
    drown a small variance (Chan, Golub & LeVeque 1983, shifted data).
    """

    def __init__(self, n_voxels: int) -> None:
        self._count = 0
        self._origin = np.zeros(n_voxels)
        self._sum = np.zeros(n_voxels)
        self._sum_of_squares = np.zeros(n_voxels)

    def add(self, block: FloatArray) -> None:
        if not self._count:
            self._origin = block[0].copy()
        block -= self._origin
        self._count += len(block)
        self._sum += block.sum(axis=0)
        self._sum_of_squares += np.einsum("tv,tv->v", block, block)

    def result(self) -> tuple[FloatArray, FloatArray]:
        mean = self._sum / self._count
        scatter = np.maximum(self._sum_of_squares - self._count * mean**2, 0)
        return self._origin + mean, np.sqrt(scatter / max(1, self._count - 1))
