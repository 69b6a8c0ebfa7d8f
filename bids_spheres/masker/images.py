"""What users of a masker call an image, to `Volumes`.

A path, a pattern with wildcards, a nibabel image, or a list of them: a list of 3-D images is
one series, a list of 4-D images several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from nibabel.spatialimages import SpatialImage

from bids_spheres.engine.stream import Volumes, open_volumes, stack_volumes
from bids_spheres.errors import DataError, MissingInputError

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray

Image = str | Path | SpatialImage
Images = Image | Sequence[Image]


@dataclass(frozen=True)
class Series:
    """One series of volumes, opened; `images` are as the user gave them, wildcards resolved."""

    images: tuple[Image, ...]
    volumes: Volumes
    is_3d: bool

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
        shape = self.volumes.grid.shape
        done = 0
        for block in self.volumes.blocks():
            if number < done + len(block):
                return block[number - done].reshape(shape, order="F")
            done += len(block)
        raise IndexError(f"{self.volumes.name} has {done} volumes, not {number + 1}.")


def open_series(images: Images) -> Series | list[Series]:
    """Open an image as a series of volumes, or a list of 4-D images as several."""
    if not isinstance(images, Sequence) or isinstance(images, str):
        return _open(images)
    if not images:
        raise DataError("An empty list holds no image.")
    opened = [_open(image) for image in images]
    if all(series.is_3d for series in opened):
        return _joined(opened)
    if any(series.is_3d for series in opened):
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
    volumes = open_volumes(image)
    return Series((image,), volumes, is_3d=volumes.is_3d)


def _joined(opened: list[Series]) -> Series:
    images = tuple(image for series in opened for image in series.images)
    volumes = stack_volumes([series.volumes for series in opened])
    return Series(images, volumes, is_3d=False)
