"""Voxels without a signal, found while an image is read.

Whether a voxel is finite and varies is known after the last volume, when those before have gone
into sums. One that is constant, or never finite, shows it from the start, so that sums can be
prepared for it in the one pass. One that is bad in some volumes alone does not: what it has a part
in is computed again from a second reading (`ScreenedVolumes.again`). Such voxels are rare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.stream import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.engine.arrays import BoolArray, IntArray, RealArray
    from bids_spheres.engine.stream import Volumes


class ScreenedVolumes:
    """Some voxels of an image over time, with values that are not finite replaced by 0.

    Of the (U,) `voxels`, ascending, `own` are numbers of those in spheres. `usable_only` looks for
    voxels that are not finite in any volume, or constant over all. `zero` is the stored value of a
    real 0, `missing` (U,) says which were not finite so far, `first` (U,) is the first volume.
    """

    def __init__(
        self, volumes: Volumes, voxels: IntArray, own: IntArray, *, usable_only: bool
    ) -> None:
        self.volumes, self.voxels, self.own = volumes, voxels, own
        self.zero = -volumes.inter / volumes.slope
        self.missing: BoolArray = np.zeros(len(voxels), dtype=bool)
        self.usable_only = usable_only
        self.first: RealArray = np.empty(0)
        self.read_twice = False
        self._unchanged: IntArray = np.empty(0, dtype=np.intp)

    @property
    def constant(self) -> BoolArray:
        """Voxels unchanged so far, (U,), in spheres or not 0 throughout; none of one volume."""
        flags = np.zeros(len(self.voxels), dtype=bool)
        flags[self._unchanged] = self.volumes.n_volumes > 1
        return flags

    @property
    def unusable(self) -> BoolArray:
        """Voxels without a signal as far as was read, (U,); none unless they were looked for."""
        return (self.missing | self.constant) & self.usable_only

    @property
    def origin(self) -> RealArray:
        """First volume as stored, (U,), in which voxels without a signal are 0."""
        return np.where(self.unusable, self.zero, self.first)

    @property
    def flickering(self) -> BoolArray:
        """Voxels that were finite in some volumes and not in others, (U,)."""
        return self.missing & ~self.constant & self.usable_only

    def blocks(self, threads: int) -> Iterator[RealArray]:
        """Stored values, (B, U) each; 1 thread reads when asked, 2 read ahead."""
        row = 0
        blocks = self.volumes.stored_blocks(self.voxels)
        for block in read_ahead(blocks) if threads > 1 else blocks:
            self.screen(block, row)
            row += len(block)
            yield block

    def screen(self, block: RealArray, row: int) -> None:
        """Look at a block that begins at volume `row`, and put 0 for what is not finite."""
        if block.dtype.kind == "f":
            missing = ~np.isfinite(block)
            if missing.any():
                block[missing] = self.zero
                self.missing |= missing.any(axis=0)
        if not row:
            self.first = block[0].copy()
        if not self.usable_only:
            return
        if not row:
            matters = self.first != self.zero
            matters[self.own] = True
            self._unchanged = np.flatnonzero(matters & (block == self.first).all(axis=0))
        elif self._unchanged.size:
            same = block[:, self._unchanged] == self.first[self._unchanged]
            self._unchanged = self._unchanged[same.all(axis=0)]

    def again(self, numbers: IntArray | slice = slice(None)) -> Iterator[RealArray]:
        """Some of the voxels in a second reading; stored values of those without a signal are 0."""
        self.read_twice = True
        unusable = self.unusable[numbers]
        for block in self.volumes.again.stored_blocks(self.voxels[numbers]):
            block[:, unusable] = 0
            yield block
