"""How much memory a job is expected to take at its peak."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.participant.plan import Job
    from bids_spheres.participant.up_to_date import Task

MEGABYTE = 10**6

_BASE = 200 * MEGABYTE
"""Python and the libraries once they are at work; measured: 160."""

_BLOCKS = 110 * MEGABYTE
"""Blocks of 20 MiB of some volumes: two read ahead, one at work, and copies of it."""

_SEED_MAPS = 150 * MEGABYTE
"""What cleaning a block of voxels over all time takes."""

_PLACEMENTS = 500 * MEGABYTE
"""Series of random placements, those that are held and those extracted at a time."""

_DOUBLE = 8

_THREADS = 8
"""Headers read at the same time: each mostly waits for the file system."""


def largest_job(tasks: Sequence[Task]) -> int:
    """Bytes that the largest of some tasks is expected to need, that of a process included."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return max(threads.map(lambda task: job_memory(task.job), tasks), default=_BASE)


def job_memory(job: Job) -> int:
    """Bytes that a job is expected to need, on the safe side, by the headers of its images.

    A run of 97 x 115 x 97 x 490 voxels took at its peak, with 264 seeds, 165 MB; smoothed 264 MB;
    with the median over each sphere 260 MB; with maps of 36 seeds 243 MB. It is taken for 350,
    350, 520 and 500.
    """
    rules, tables, sizes = job.work.processing, job.work.seed_sets, [0]
    seeds, most = sum(len(table) for table in tables), max(len(table) for table in tables)
    for shape in {_Shape.of(image.bold) for image in job.images}:
        floats = 6 * shape.voxels + 12 * shape.volumes * seeds + 8 * most**2
        if rules.aggregation != "mean" or rules.despike:
            inside = sum(shape.voxels_within(radius) for table in tables for radius in table.radii)
            floats += 2 * shape.volumes * inside
        floats += 3 * most**2 * bool(rules.placements)
        further = _SEED_MAPS * bool(rules.seed_maps) + _PLACEMENTS * bool(rules.placements)
        sizes.append(_BLOCKS + _DOUBLE * floats + further)
    return _BASE + max(sizes)


@dataclass(frozen=True)
class _Shape:
    """Voxels of a volume, volumes, and the volume of a voxel, mm3."""

    voxels: int = 1_200_000
    volumes: int = 500
    size: float = 8.0

    @classmethod
    def of(cls, bold: Path) -> _Shape:
        """Shape of an image by its header; that of a large one when it can't be read."""
        try:
            header: Any = nib.load(bold).header
            *grid, volumes = (*header.get_data_shape(), 1, 1, 1, 1)[:4]
            size = math.prod(header.get_zooms()[:3])
        except Exception:  # noqa: BLE001 - the job that reads it says what is wrong
            return cls()
        return cls(math.prod(grid), volumes, size or cls.size)

    def voxels_within(self, radius: float) -> int:
        """Voxels of a sphere, radius in mm."""
        return min(self.voxels, math.ceil(4 / 3 * math.pi * radius**3 / self.size) + 1)
