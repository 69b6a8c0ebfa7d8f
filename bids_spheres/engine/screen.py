"""Voxels that turn out to be none while an image is read, and their values once more.

Design
------
Whether a voxel is finite and varies is known after the last volume, when those before have gone
into sums. A constant voxel can be taken out of sums of changes from the first volume, where it
has no part. One that was finite for a while, or that leaves a sphere of a smoothed image, is taken
out by computing the sphere again. So values are kept on the way in an uncompressed temporary
file, if reading the image again would mean to inflate it again, and if there can be such voxels:
not in unsmoothed images of whole numbers, nor in smoothed ones in which all voxels of spheres
vary within the first block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.disk import DiskArray
from bids_spheres.engine.stream import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine.stream import Volumes

    IntArray = NDArray[np.intp]
    Flags = NDArray[np.bool_]

_BLOCK = 8
"""Volumes read from the temporary file at a time."""


class ScreenedVolumes:
    """Some voxels of an image over time, with values that are not finite replaced by 0.

    Parameters
    ----------
    volumes : Volumes
    voxels : (U,) int array
        Flat Fortran-order positions, ascending.
    own : (V,) int array
        Numbers of those of `voxels` that lie in spheres; smoothing needs others as well.
    usable_only : bool
        Find voxels that are not finite in any volume, or constant over all.
    folder : Path, optional
        Where values are kept.

    Attributes
    ----------
    zero : float
        Stored value whose real value is 0.
    missing : (U,) bool array
        Voxels that were not finite in any volume so far.
    first : (U,) array
        Stored values of the first volume.
    """

    def __init__(
        self,
        volumes: Volumes,
        voxels: IntArray,
        own: IntArray,
        *,
        usable_only: bool,
        folder: Path | None,
    ) -> None:
        self.volumes, self.voxels, self.own = volumes, voxels, own
        self.zero = -volumes.inter / volumes.slope
        self.missing: Flags = np.zeros(len(voxels), dtype=bool)
        self.usable_only, self._folder = usable_only, folder
        self.first: NDArray[Any] = np.empty(0)
        self._unchanged: IntArray = np.empty(0, dtype=np.intp)
        self._kept: DiskArray | None = None

    def close(self) -> None:
        """Remove the temporary file."""
        if self._kept is not None:
            self._kept.close()

    @property
    def constant(self) -> Flags:
        """Voxels that never changed, (U,), what is not finite being 0; one volume has none.

        Of voxels that are 0 throughout those in spheres alone, as others make no difference.
        """
        flags = np.zeros(len(self.voxels), dtype=bool)
        flags[self._unchanged] = self.volumes.n_volumes > 1
        return flags

    @property
    def unusable(self) -> Flags:
        """Voxels that are no voxels, (U,); none unless they were looked for."""
        return (self.missing | self.constant) & self.usable_only

    @property
    def flickering(self) -> Flags:
        """Unusable voxels that have a part in changes from the first volume, (U,)."""
        return self.missing & ~self.constant & self.usable_only

    def may_flicker(self) -> bool:
        """Whether the image can hold values that are not finite."""
        return self.volumes.stored_dtype.kind == "f"

    def may_leave(self) -> bool:
        """Whether voxels of spheres may turn out unusable, as far as the blocks yet read tell."""
        return self.may_flicker() or bool(self.constant[self.own].any())

    def blocks(self, threads: int, keep: Callable[[], bool]) -> Iterator[NDArray[Any]]:
        """Stored values, (B, U) each.

        Parameters
        ----------
        threads : int
            1 reads when asked; 2 reads ahead.
        keep : callable
            Asked after the first block: whether `again` may be called in the end.
        """
        row = 0
        blocks = self.volumes.stored_blocks(self.voxels)
        for block in read_ahead(blocks) if threads > 1 else blocks:
            self.screen(block, row, keep)
            row += len(block)
            yield block

    def screen(self, block: NDArray[Any], row: int, keep: Callable[[], bool]) -> None:
        """Look at a block that begins at volume `row`, and replace what is not finite; `blocks`."""
        self._replace(block)
        if not row:
            self.first = block[0].copy()
        if not self.usable_only:
            return
        self._watch(block, row)
        if self._kept is None and not row and self.volumes.again is None and keep():
            shape = self.volumes.n_volumes, len(self.voxels)
            self._kept = DiskArray(self._folder, shape, block.dtype)
        if self._kept is not None:
            self._kept.write(row, 0, block)

    def again(self) -> Iterator[NDArray[Any]]:
        """The blocks once more, in which voxels that are none are 0."""
        unusable = self.unusable
        for block in self._second_reading():
            # 0 in an image of scaled whole numbers need not be one of them.
            values = block if block.dtype.kind == "f" else block.astype(np.float64)
            values[:, unusable] = self.zero
            yield values

    def _second_reading(self) -> Iterator[NDArray[Any]]:
        if self._kept is None:
            assert self.volumes.again is not None, "values were not kept"  # noqa: S101
            yield from self.volumes.again.stored_blocks(self.voxels)
            return
        for start in range(0, self.volumes.n_volumes, _BLOCK):
            yield self._kept.rows(start, min(start + _BLOCK, self.volumes.n_volumes))

    def _replace(self, block: NDArray[Any]) -> None:
        if block.dtype.kind != "f":
            return
        missing = ~np.isfinite(block)
        if missing.any():
            block[missing] = self.zero
            self.missing |= missing.any(axis=0)

    def _watch(self, block: NDArray[Any], row: int) -> None:
        """Keep count of the voxels that have not changed so far."""
        if not row:
            matters = self.first != self.zero
            matters[self.own] = True
            self._unchanged = np.flatnonzero(matters & (block == self.first).all(axis=0))
        elif self._unchanged.size:
            same = block[:, self._unchanged] == self.first[self._unchanged]
            self._unchanged = self._unchanged[same.all(axis=0)]
