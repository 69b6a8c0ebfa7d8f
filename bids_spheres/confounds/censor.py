"""Which volumes to leave out, and why: arrays only."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]


def neighbours(flags: BoolArray, before: int, after: int) -> BoolArray:
    """Volumes up to `before` before or `after` after a flagged one, that one not included.

    Examples
    --------
    >>> neighbours(np.array([0, 0, 0, 1, 0, 0, 0], bool), 1, 2).astype(int).tolist()
    [0, 0, 1, 0, 1, 1, 0]
    """
    near = np.zeros_like(flags)
    for at in np.flatnonzero(flags):
        near[max(0, at - before) : at + after + 1] = True
    return near & ~flags


def short_segments(flags: BoolArray, min_segment: int, start: int = 0) -> BoolArray:
    """Volumes in stretches without a flag that are shorter than `min_segment`.

    The edges of the run bound a stretch as flags do (Power et al. 2012,
    doi:10.1016/j.neuroimage.2011.10.018; Power et al. 2014,
    doi:10.1016/j.neuroimage.2013.08.048). A run without any flag is one stretch that nothing cut
    short, and stays whole however short it is, as in nilearn.

    Parameters
    ----------
    flags : (T,) bool array
    min_segment : int
        Volumes; 0 and 1 are off.
    start : int
        Where the run begins; volumes before it belong to no stretch.

    Examples
    --------
    >>> flags = np.array([0, 0, 1, 0, 0, 0, 1, 0], bool)
    >>> short_segments(flags, 3).astype(int).tolist()
    [1, 1, 0, 0, 0, 0, 0, 1]
    >>> short_segments(flags, 4, start=1).astype(int).tolist()
    [0, 1, 0, 1, 1, 1, 0, 1]
    """
    short = np.zeros_like(flags)
    inside = flags[start:]
    if not inside.any():
        return short
    bounds = np.flatnonzero(np.concatenate([[True], inside, [True]]))
    for left, right in pairwise(bounds):
        if right - left - 1 < min_segment:
            short[start + left : start + right - 1] = True
    return short


def leading(flags: BoolArray) -> int:
    """Number of flagged volumes before the first that is not.

    Examples
    --------
    >>> leading(np.array([1, 1, 0, 1], bool))
    2
    """
    return int(np.cumprod(flags).sum())
