"""What no extraction can beat: reading the bytes and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from case import RADIUS
from measure import Meter

from bids_spheres.engine import load_mask, load_seeds, open_volumes, sphere_weights
from bids_spheres.engine.stream import open_gzip

if TYPE_CHECKING:
    from numpy.typing import NDArray


def inflate(*, images: list[str]) -> dict[str, float]:
    """Inflate gzip files with the library that the engine uses, a volume at a time."""
    buffers = [bytearray(_stored(image)[:1].nbytes) for image in images]
    with Meter() as meter:
        for image, buffer in zip(images, buffers, strict=True):
            _inflate(Path(image), buffer)
    return meter.numbers()


def _inflate(image: Path, buffer: bytearray) -> None:
    with open_gzip(image) as stream:
        while stream.readinto(buffer):  # type: ignore[attr-defined]
            pass


def gather(*, image: str, seeds: str, mask: str | None) -> dict[str, float]:
    """Gather the voxels of spheres from a memory-mapped image, a volume at a time."""
    voxels = np.sort(_sphere_voxels(image, seeds, mask))
    with Meter() as meter:
        volumes = _stored(image)
        found = np.empty(len(voxels), volumes.dtype)
        for volume in volumes:
            np.take(volume, voxels, out=found)
    return meter.numbers()


def _stored(image: str) -> NDArray[Any]:
    """The (T, V) values of a file, of which nothing is read yet; a compressed one's are void."""
    proxy: Any = nib.load(image).dataobj
    shape = (proxy.shape[3], int(np.prod(proxy.shape[:3])))
    if image.endswith(".gz"):
        return np.broadcast_to(np.zeros((), proxy.dtype), shape)
    return np.memmap(image, proxy.dtype, mode="r", offset=proxy.offset, shape=shape)


def _sphere_voxels(image: str, seeds: str, mask: str | None) -> NDArray[np.intp]:
    region = load_mask(mask) if mask else (None, None)
    points = load_seeds(seeds).coordinates
    return sphere_weights(points, RADIUS, open_volumes(image).grid, *region).voxels
