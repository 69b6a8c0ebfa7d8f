"""Voxels of a sphere to one time series, where that is not their mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_spheres.engine.clean import clean
from bids_spheres.engine.despike import despike
from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bids_spheres.engine.arrays import (
        BoolArray,
        CleanArguments,
        FloatArray,
        IntArray,
        RealArray,
    )


Aggregation = Literal["mean", "median", "eigenvariate"]


def check_aggregation(aggregation: str) -> Aggregation:
    """Return `aggregation` if it is known; else raise UsageError."""
    if aggregation not in ("mean", "median", "eigenvariate"):
        raise UsageError(
            f"aggregation must be 'mean', 'median' or 'eigenvariate', not {aggregation!r}."
        )
    return aggregation  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class VoxelSeries:
    """Voxels of spheres over time, one sphere after the other.

    `values`, (T, N), are as stored; real ones are slope x value + inter, of `scaling`. Columns of
    each sphere go from `starts` up to `stops`, (S,); those that count are `usable`, (N,).
    """

    values: RealArray
    scaling: tuple[float, float]
    starts: IntArray
    stops: IntArray
    usable: BoolArray

    def of(self, spheres: IntArray | slice) -> VoxelSeries:
        """Series of the voxels of some spheres, in the order given."""
        return replace(self, starts=self.starts[spheres], stops=self.stops[spheres])

    def of_sphere(self, sphere: int) -> FloatArray:
        """Real values of the usable voxels of a sphere, (T, n)."""
        own = slice(self.starts[sphere], self.stops[sphere])
        slope, inter = self.scaling
        return slope * self.values[:, own][:, self.usable[own]].astype(np.float64) + inter

    def despiked(self) -> tuple[VoxelSeries, FloatArray]:
        """The same without spikes, in real units, and the share of each sphere's that changed."""
        values = np.empty(self.values.shape, dtype=np.float64)
        shares = np.full(len(self.starts), np.nan)
        for sphere, (start, stop) in enumerate(zip(self.starts, self.stops, strict=True)):
            usable = start + np.flatnonzero(self.usable[start:stop])
            if usable.size:
                values[:, usable], spikes = despike(self.of_sphere(sphere))
                shares[sphere] = spikes.mean()
        return replace(self, values=values, scaling=(1.0, 0.0)), shares

    def aggregated(self, aggregation: Aggregation) -> FloatArray:
        """One series per sphere, (T, S); NaN for spheres without a usable voxel."""
        function = _FUNCTIONS[check_aggregation(aggregation)]
        series = np.full((len(self.values), len(self.starts)), np.nan)
        for sphere in range(len(self.starts)):
            voxels = self.of_sphere(sphere)
            if voxels.size:
                series[:, sphere] = function(voxels)
        return series


def aggregate_cleaned(
    voxels: VoxelSeries, aggregation: Aggregation, cleaning: CleanArguments
) -> FloatArray:
    """One series per sphere, (T', S), of voxels that were cleaned first, by arguments of `clean`.

    A median or an eigenvariate does not commute with regression: motion whose mean over a sphere is
    0 can be most of the variance of its voxels. So do SPM's (``spm_regions``). Not voxels are
    standardized, which have the weight of their variance, but the result; per cent signal change is
    that of the mean over kept volumes of its run before cleaning. Every sphere has a usable voxel.
    """
    function = _FUNCTIONS[check_aggregation(aggregation)]
    steps, how = {**cleaning, "standardize": False}, cleaning.get("standardize", "zscore_sample")
    spheres = range(len(voxels.starts))
    columns = [function(clean(voxels.of_sphere(sphere), **steps)) for sphere in spheres]
    all_runs, mask = cleaning.get("runs"), cleaning.get("sample_mask")
    rows = np.arange(len(voxels.values), dtype=np.float64)[:, np.newaxis]
    rows = clean(rows, all_runs, detrend=False, standardize=False, sample_mask=mask)
    kept = rows[:, 0].astype(int)
    series = np.column_stack([np.empty((len(kept), 0)), *columns])
    runs = np.zeros(len(kept)) if all_runs is None else np.asarray(all_runs)[kept]
    if how == "psc":
        before = voxels.aggregated(aggregation)[kept]
        for own in (runs == run for run in np.unique(runs)):
            series[own] += (before[own] - series[own]).mean(axis=0)
    return clean(series, detrend=False, standardize=how, runs=runs)


def eigenvariate(voxel_series: FloatArray) -> FloatArray:
    """First eigenvariate of (T, n) voxels, (T,), as in a volume of interest of SPM.

    The first left singular vector of the series about their means, scaled to their root mean square
    (u sqrt(s / n) with the first eigenvalue s of the voxels' scatter), with the sign by which most
    weights are positive (``spm_regions``); plus the mean of all voxels, by which per cents count.
    """
    centred = voxel_series - voxel_series.mean(axis=0)
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    sign = 1.0 if right[0].sum() >= 0 else -1.0
    scale = size[0] / np.sqrt(voxel_series.shape[1])
    return sign * scale * left[:, 0] + voxel_series.mean()


_FUNCTIONS: dict[str, Callable[[FloatArray], RealArray]] = {
    "mean": lambda voxels: np.mean(voxels, axis=1),
    "median": lambda voxels: np.median(voxels, axis=1),
    "eigenvariate": eigenvariate,
}
