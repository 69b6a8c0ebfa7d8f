"""Time series to cleaned time series.

Order of the steps (Lindquist et al. 2019, doi:10.1002/hbm.24528: filtering and regression
must be orthogonal, so confounds go through every step that signals go through):
interpolate censored volumes when a Butterworth filter follows - detrend - filter - censor -
regress - standardize. A cosine filter becomes regressors instead, and censoring then comes
first. The numbers are those of `nilearn.signal.clean`.

They stop being so where nilearn's are rounding errors blown up: a column of which a step
leaves less than `_ROUNDING` (a constant after detrending, a signal that the confounds explain
fully) counts as zero here, and is never scaled to unit variance or taken for a regressor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from scipy import linalg

from bids_spheres.engine.filters import (
    Filter,
    FilterType,
    Interpolate,
    apply_butterworth,
    fill_censored,
    make_filter,
    with_cosines,
)
from bids_spheres.engine.regressors import regressors
from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray, RealArray
    from bids_spheres.engine.regressors import Confounds

    SampleMask = ArrayLike | Sequence[ArrayLike]

    _How = Literal["zscore_sample", "zscore", "psc"] | None

_Value = TypeVar("_Value")
Standardize = Literal["zscore_sample", "zscore", "psc"] | bool | None
Trend = Literal["kept", "time"]

_EPS = float(np.finfo(np.float64).eps)  # spread or mean below which nilearn does not divide by it

# What is left of a column, relative to what it was, that is rounding error: thousands of times what
# a step gets wrong, and so small that numbers below it have less than four digits of meaning.
_ROUNDING = 1e-12

_MEAN_IS_GONE = 0.1  # ratio of means after and before cleaning below which it was removed (nilearn)


@dataclass(frozen=True)
class _Plan:
    """What to do to every run, checked; signals and confounds are (T, S) and (T, K)."""

    filter: Filter
    detrend: bool
    standardize: _How
    standardize_confounds: bool
    extrapolate: bool
    interpolate: Interpolate
    trend: Trend

    def clean_run(
        self, signals: FloatArray, confounds: FloatArray | None, kept: IntArray | None
    ) -> FloatArray:
        """One run through all steps; signals and confounds go as one array, which is changed."""
        n_signals = signals.shape[1]
        if self.filter.kind == "cosine":
            confounds = with_cosines(confounds, len(signals), self.filter)
        both = signals if confounds is None else np.hstack([signals, confounds])
        # Largest values of kept volumes: a censored one must not decide what is large.
        of_kept = both if kept is None else both[kept]
        scale = np.maximum(of_kept.max(axis=0), -of_kept.min(axis=0))
        del of_kept  # as large as the signals
        times = None
        if kept is not None and self.filter.kind == "butterworth":
            how, beyond = self.interpolate, self.extrapolate
            both, kept = fill_censored(both, kept, extrapolate=beyond, how=how)
        elif kept is not None:
            both, times = both[kept], kept if self.trend == "time" else None
        if len(wrong := np.argwhere(~np.isfinite(both[:, n_signals:]))):
            volume, column = wrong[0]
            raise DataError(
                f"Column {column} of the confounds has no finite value at volume {volume} of those "
                "that enter regression.",
                hint="Derivatives of fMRIPrep are n/a in the first volume: set it to 0, or censor "
                "it.",
            )
        mean_signal = both[:, :n_signals].mean(axis=0)
        if self.detrend:
            both = _detrend(both, times)
        if self.filter.kind == "butterworth":
            both = apply_butterworth(both, self.filter)
            both = both if kept is None else both[kept]
        signals, confounds = both[:, :n_signals], both[:, n_signals:]
        scaled = self.scaled(confounds, scale[n_signals:])
        if scaled.size:
            # Without their projection on the confounds (Friston et al. 1994)
            basis, triangle, _ = linalg.qr(scaled, mode="economic", pivoting=True)
            size = np.abs(np.diag(triangle))
            basis = basis[:, size > _ROUNDING * size[0]]
            signals = signals - basis @ (basis.T @ signals)
        return self.standardized(signals, mean_signal, scale[:n_signals])

    def scaled(self, confounds: FloatArray, scale: FloatArray) -> FloatArray:
        """Scale confounds to comparable size; drop those that are rounding errors only."""
        if self.standardize_confounds and len(confounds) > 1:
            confounds = confounds - confounds.mean(axis=0)
            spread, least = confounds.std(axis=0, ddof=1), _EPS
        else:
            spread, least = np.abs(confounds).max(axis=0), 0.0
        real = spread > np.maximum(least, _ROUNDING * scale)
        return confounds[:, real] / spread[real]

    def standardized(
        self, values: FloatArray, mean_before: FloatArray, scale: FloatArray
    ) -> FloatArray:
        """Signals of unit variance, or per cent signal change."""
        how = self.standardize
        if how == "psc" and values.size:
            with np.errstate(invalid="ignore", divide="ignore"):
                left = np.abs(values.mean(axis=0)).mean() / np.abs(mean_before).mean()
            # Per cent of the mean before cleaning, if cleaning took it away.
            values = values + mean_before if left < _MEAN_IS_GONE else values
        if how is not None and len(values) == 1:
            warn("Standardization of 3D signal has been requested: one volume is left as it is.")
        if how is None or len(values) == 1:
            return values
        mean = values.mean(axis=0)
        if how == "psc":
            undefined = np.abs(mean) < _EPS
            if undefined.any():
                warn("psc standardization strategy is meaningless for signals of mean 0; set to 0.")
            change = 100 * (values - mean) / np.where(undefined, 1, np.abs(mean))
            return np.where(undefined, 0, change)
        centred = values - mean
        spread = centred.std(axis=0, ddof=int(how == "zscore_sample"))
        # Constant but for rounding errors is 0, instead of NaN or noise that looks like data.
        constant = spread < np.maximum(_EPS, _ROUNDING * scale)
        centred /= np.where(constant, 1, spread)
        centred[:, constant] = 0
        return centred


def clean(  # noqa: PLR0917 - nilearn's signature
    signals: ArrayLike,
    runs: ArrayLike | None = None,
    detrend: bool = True,
    standardize: Standardize = "zscore_sample",
    sample_mask: SampleMask | None = None,
    confounds: Confounds | None = None,
    standardize_confounds: bool = True,
    filter: FilterType = "butterworth",  # noqa: A002 - the name users know
    low_pass: float | None = None,
    high_pass: float | None = None,
    t_r: float | None = 2.5,
    ensure_finite: bool = False,
    extrapolate: bool = False,
    *,
    interpolate: Interpolate = "nilearn",
    trend: Trend = "kept",
    **butterworth: object,
) -> RealArray:
    """Detrend, filter, regress out confounds, standardize.

    Arguments, their order and their defaults are those of `nilearn.signal.clean` 0.13 and later;
    `interpolate` and `trend` are additions.

    Parameters
    ----------
    signals : (T, S) array-like
        One signal per column. Not modified.
    runs : (T,) array-like, optional
        Run of each volume; runs are cleaned apart, all options applying to each, and stacked
        in ascending order.
    detrend : bool
        Remove mean and linear trend, of confounds as well. See `trend`.
    standardize : {"zscore_sample", "zscore", "psc"} or bool or None
        Unit variance with N - 1 or N, or per cent signal change. True: "zscore_sample".
    sample_mask : array-like of bool (T,) or int, optional
        Volumes to keep; a list of those, one per run, when `runs` is given.
    confounds : array-like, table, path, or list of these, optional
        Regressors to remove, each part (T, K) or (T,). A path leads to a CSV or TSV file, with
        or without a line of names. Volumes with missing values must be censored.
    standardize_confounds : bool
        Standardize them first; False only divides each by its largest absolute value, so
        that a constant regressor stays one.
    filter : {"butterworth", "cosine", False}
        "butterworth" acts when `low_pass` or `high_pass` is given.
    low_pass, high_pass : float, optional
        Cut-off frequencies in Hz.
    t_r : float, optional
        Repetition time in s; needed to filter.
    ensure_finite : bool
        Replace values of signals that are not finite by 0.
    extrapolate : bool
        Also interpolate censored volumes before the first and after the last kept one;
        otherwise these ends are left out of a Butterworth filter (nilearn's default since 0.13).
    interpolate : {"nilearn", "censored"}
        Which censored volumes a Butterworth filter gets to see as a spline through the kept
        ones. "censored": all, which is what Lindquist et al. ask for. "nilearn": what nilearn
        (0.14) does, which takes a list of kept volumes for a boolean mask when it negates it.
        A censored volume is then replaced or left out only when its mirror image in time is
        kept, else it enters the filter with its artefact; and with ``extrapolate=False`` the
        volumes returned are the wrong ones when volumes at both ends are censored. A warning
        is given when that happens.
    trend : {"kept", "time"}
        Along what a trend is linear when volumes are censored and no Butterworth filter has them
        interpolated. "kept": along the kept volumes, put side by side, as in nilearn; a drift
        of the scanner is then a line with a step at every gap, and its steps stay in the signals.
        "time": along the time at which the kept volumes were acquired.
    **butterworth
        ``order`` (5), ``padtype`` ("odd"), ``padlen`` of the filter, each also with the
        prefix ``butterworth__``.

    Returns
    -------
    (T', S) array
        T' volumes kept. Computed in float64; float32 for signals of float32 or of integers of
        up to four bytes, else float64.

    Raises
    ------
    UsageError
        For arguments that contradict one another.
    DataError
        When lengths differ, confounds have missing values, or no volume is left.
    IndexError
        When `sample_mask` doesn't fit its run.
    TypeError
        For arguments of a wrong type and unknown options.
    """
    data = np.asarray(signals)
    if data.ndim != 2 or not len(data):
        raise DataError(f"Signals must have the shape (volumes, signals), not {data.shape}.")
    if data.dtype.kind not in "biuf":
        raise DataError(f"Signals must be real numbers, not {data.dtype}.")
    if standardize is None or isinstance(standardize, bool | np.bool_):
        how: _How = "zscore_sample" if standardize else None
    else:
        how = _one_of("standardize", standardize, ("zscore_sample", "zscore", "psc"))
    chosen = make_filter(
        filter, low_pass=low_pass, high_pass=high_pass, t_r=t_r, options=butterworth
    )
    plan = _Plan(chosen, detrend, how, standardize_confounds, extrapolate, interpolate, trend)
    for name in ("detrend", "standardize_confounds", "extrapolate"):
        if not isinstance(value := getattr(plan, name), bool | np.bool_):
            raise TypeError(f"'{name}' must be of type bool. Got: '{type(value).__name__}'")
    _one_of("interpolate", interpolate, ("nilearn", "censored"))
    _one_of("trend", trend, ("kept", "time"))
    _one_of("ensure_finite", ensure_finite, (True, False))
    filled = np.where(np.isfinite(data), data, 0) if ensure_finite else data
    values = filled.astype(np.float64)
    removed = regressors(confounds, len(values))
    if removed is not None and not detrend and not standardize_confounds:
        warn(
            "When confounds are provided, one must perform detrend and/or standardize confounds, "
            "unless they have mean 0 or hold a constant."
        )
    cleaned = [
        plan.clean_run(values[rows], None if removed is None else removed[rows], kept)
        for rows, kept in _split_runs(runs, sample_mask, len(values))
    ]
    joined = cleaned[0] if len(cleaned) == 1 else np.vstack(cleaned)
    # As nilearn: single precision for what fits in its bytes, half precision aside.
    single = data.dtype.itemsize <= 4 and data.dtype != np.float16
    return joined.astype(np.float32 if single else np.float64, copy=False)


def _one_of(name: str, value: _Value, allowed: tuple[_Value, ...]) -> _Value:
    if value not in allowed:
        raise UsageError(f"'{name}' must be one of {allowed}. {value!r} was provided.")
    return value


def _split_runs(
    runs: ArrayLike | None, sample_mask: SampleMask | None, n_volumes: int
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
    return [
        (row, _kept(mask, int(row.sum()), f"sample_mask {number} of {len(rows)}"))
        for number, (row, mask) in enumerate(zip(rows, masks, strict=True), start=1)
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


def _detrend(values: FloatArray, times: IntArray | None) -> FloatArray:
    """Remove mean and trend, along `times` or volumes, in place; one volume stays as it is."""
    n_volumes = len(values)
    if n_volumes == 1:
        warn("Detrending of 3D signal has been requested: one volume has no trend to remove.")
        return values
    trend = np.arange(n_volumes) if times is None else times
    trend = trend - trend.mean()
    trend /= np.linalg.norm(trend)
    values -= values.mean(axis=0)
    values -= np.outer(trend, trend @ values)
    return values
