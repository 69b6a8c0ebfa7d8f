"""Which volumes to keep, and what stands in for the others while a filter runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    SampleMask = ArrayLike | Sequence[ArrayLike]

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray


Interpolate = Literal["nilearn", "censored"]


def split_runs(
    runs: ArrayLike | None,
    sample_mask: SampleMask | None,
    n_volumes: int,
) -> list[tuple[BoolArray, IntArray | None]]:
    """Per run, in ascending order: its rows, and the volumes kept, counted within it."""
    labels = np.zeros(n_volumes) if runs is None else np.asarray(runs)
    if labels.shape != (n_volumes,):
        raise DataError(
            f"The length of the run vector ({labels.size}) "
            f"does not match the length of the signals ({n_volumes})"
        )
    rows = [labels == label for label in np.unique(labels)]
    if sample_mask is None:
        return [(row, None) for row in rows]
    masks: Sequence[object] = [sample_mask]
    # A list of numbers is one mask.
    if isinstance(sample_mask, list | tuple):
        masks = sample_mask if any(map(np.ndim, sample_mask)) else masks
    elif not hasattr(sample_mask, "__array__"):
        kind = type(sample_mask).__name__
        raise TypeError(f"'sample_mask' must be of type list, tuple or array. Got: '{kind}'")
    if len(masks) != len(rows):
        raise DataError(
            f"Number of sample_mask ({len(masks)}) not matching number of runs ({len(rows)})."
        )
    names = [f"sample_mask {i} of {len(rows)}" for i in range(1, len(rows) + 1)]
    return [
        (row, _kept(mask, int(row.sum()), name))
        for row, mask, name in zip(rows, masks, names, strict=True)
    ]


def _kept(mask: object, n_volumes: int, name: str) -> IntArray:
    """A boolean or index mask as indices, in the order given."""
    array = np.asarray(mask)
    if array.ndim != 1:
        raise DataError(f"{name} must have one dimension, not {array.ndim}.")
    if len(array) > n_volumes or (array.dtype == bool and len(array) < n_volumes):
        raise IndexError(
            f"{name} has {'more' if len(array) > n_volumes else 'fewer'} timepoints "
            f"than the current run: {len(array)}, where the run has {n_volumes}."
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be of type bool or int, not {array.dtype}.")
    kept = np.flatnonzero(array) if array.dtype == bool else array.astype(np.intp)
    if array.dtype != bool and (kept != array).any():
        raise DataError(f"{name} must hold whole numbers.")
    if kept.size == 0:
        raise DataError(
            "The size of the sample mask is 0. "
            "All volumes were marked as motion outliers; nothing is left to clean."
        )
    if kept.min() < 0:
        raise DataError(f"{name}: sample_mask should not contain negative values.")
    if (invalid := kept[kept >= n_volumes]).size:
        raise IndexError(
            f"{name} contains invalid index {invalid}. The signal contains {n_volumes} time points."
        )
    return kept


def fill_censored(
    values: FloatArray, kept: IntArray, *, extrapolate: bool, how: Interpolate
) -> tuple[FloatArray, IntArray]:
    """Replace censored volumes of (T, S) values by a cubic spline through the `kept` ones.

    `extrapolate` also replaces volumes before the first and after the last kept one; otherwise
    these ends are cut off. "nilearn" replaces or cuts off a censored volume only when its mirror
    image in time (T - 1 for 0, T - 2 for 1, ...) is kept; see `clean`. Returns the values, and
    where the kept volumes are in them.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 - slow to import, seldom needed

    censored = np.setdiff1d(np.arange(len(values)), kept)
    replaced = censored
    if how == "nilearn":
        replaced = censored[np.isin(len(values) - 1 - censored, kept)]
    if count := len(censored) - len(replaced):
        warn(
            f"{count} censored volumes enter the filter as they are, and may shift the volumes "
            "kept, as in nilearn, because their mirror images in time are censored too; "
            "interpolate='censored' prevents that."
        )
    if len(kept) < 2 or (np.diff(kept) <= 0).any():
        raise DataError("Interpolation needs a sample_mask of two volumes or more, ascending.")
    if not np.isfinite(values[kept]).all():
        raise DataError(
            "Volumes between NaN or infinite values can't be interpolated.",
            hint="ensure_finite=True makes such values of the signals 0; fill those of confounds.",
        )
    filled = values.copy()
    filled[replaced] = CubicSpline(kept, values[kept], extrapolate=extrapolate)(replaced)
    if extrapolate:
        return filled, kept
    beyond = replaced[(replaced < kept[0]) | (replaced > kept[-1])]
    # With "nilearn", fewer volumes may have been cut off at the start than this shifts by.
    return np.delete(filled, beyond, axis=0), kept - kept[0]
