"""Time series to cleaned time series.

Order of the steps (Lindquist et al. 2019, doi:10.1002/hbm.24528: filtering and regression
must be orthogonal, so confounds go through every step that signals go through):
interpolate censored volumes when a Butterworth filter follows - detrend - filter - censor -
regress - standardize. A cosine filter becomes regressors instead, and censoring then comes
first. The numbers are those of `nilearn.signal.clean`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import linalg

from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

Standardize = Literal["zscore_sample", "zscore", "psc"] | bool | None
FilterType = Literal["butterworth", "cosine", False]

_EPS = float(np.finfo(np.float64).eps)
_RANK_TOLERANCE = 100 * _EPS
"""Relative to a standardized confound, on the diagonal of R of a pivoted QR (nilearn)."""

_COSINE_IS_THERE = 0.9
"""Correlation above which a confound counts as a cosine regressor of ours (nilearn)."""

_BUTTERWORTH = frozenset({"order", "padtype", "padlen"})


@dataclass(frozen=True)
class _Plan:
    """What to do to every run, checked."""

    detrend: bool
    standardize: Literal["zscore_sample", "zscore", "psc"] | None
    standardize_confounds: bool
    filter: FilterType
    low_pass: float | None
    high_pass: float | None
    t_r: float | None
    extrapolate: bool
    butterworth: Mapping[str, Any] = field(default_factory=dict)


def clean(
    signals: ArrayLike,
    *,
    runs: ArrayLike | None = None,
    detrend: bool = True,
    standardize: Standardize = "zscore_sample",
    sample_mask: ArrayLike | Sequence[ArrayLike] | None = None,
    confounds: ArrayLike | Sequence[ArrayLike] | None = None,
    standardize_confounds: bool = True,
    filter: FilterType = "butterworth",  # noqa: A002 - the name users know
    low_pass: float | None = None,
    high_pass: float | None = None,
    t_r: float | None = 2.5,
    ensure_finite: bool = False,
    extrapolate: bool = True,
    **butterworth: Any,
) -> FloatArray:
    """Detrend, filter, regress out confounds, standardize.

    Parameters
    ----------
    signals : (T, S) array-like
        One signal per column. Not modified.
    runs : (T,) array-like, optional
        Run of each volume; runs are cleaned apart and stacked in ascending order.
    detrend : bool
        Remove mean and linear trend, of confounds as well.
    standardize : {"zscore_sample", "zscore", "psc"} or bool or None
        Unit variance with N - 1 or N, or per cent signal change. True: "zscore_sample".
    sample_mask : array-like of bool (T,) or int, optional
        Volumes to keep; a list of those, one per run, when `runs` is given.
    confounds : (T, K) or (T,) array-like, or a list of them, optional
        Regressors to remove.
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
        Replace values that are not finite by 0.
    extrapolate : bool
        Also interpolate censored volumes before the first and after the last kept one;
        otherwise these ends are left out of a Butterworth filter.
    **butterworth
        ``order`` (5), ``padtype`` ("odd"), ``padlen`` of the filter, each also with the
        prefix ``butterworth__``.

    Returns
    -------
    (T', S) array
        T' volumes kept. float32 for float32 signals, else float64.

    Raises
    ------
    UsageError
        For arguments that contradict one another or an unknown name.
    DataError
        When lengths differ, or no volume is left.
    """
    data = np.asarray(signals)
    if data.ndim != 2:
        raise DataError(f"Signals must have the shape (volumes, signals), not {data.shape}.")
    plan = _Plan(
        detrend=detrend,
        standardize=_standardization(standardize),
        standardize_confounds=standardize_confounds,
        filter=_filter_type(filter, low_pass, high_pass, t_r),
        low_pass=low_pass,
        high_pass=high_pass,
        t_r=t_r,
        extrapolate=extrapolate,
        butterworth=_butterworth_options(butterworth),
    )
    values = data.astype(np.float64)
    if ensure_finite:
        values[~np.isfinite(values)] = 0
    regressors = _regressors(confounds, len(values))
    cleaned = np.vstack(
        [
            _clean_run(values[rows], None if regressors is None else regressors[rows], kept, plan)
            for rows, kept in _split(runs, sample_mask, len(values))
        ]
    )
    return cleaned.astype(np.float32) if data.dtype == np.float32 else cleaned


def _clean_run(
    signals: FloatArray, confounds: FloatArray | None, kept: NDArray[np.intp] | None, plan: _Plan
) -> FloatArray:
    """One run through all steps. Signals and confounds travel as one array."""
    n_signals = signals.shape[1]
    if plan.filter == "cosine":
        confounds = _with_cosines(confounds, len(signals), plan)
    both = signals if confounds is None else np.hstack([signals, confounds])
    if kept is not None and plan.filter == "butterworth":
        both, kept = _interpolate(both, kept, plan)
    elif kept is not None:
        both = both[kept]
    mean_signal = both[:, :n_signals].mean(axis=0)
    if plan.detrend:
        both = _detrend(both)
    if plan.filter == "butterworth":
        both = _butterworth(both, plan)
        both = both if kept is None else both[kept]
    residual = both[:, :n_signals]
    if confounds is not None:
        residual = _regress(residual, both[:, n_signals:], standardize=plan.standardize_confounds)
    return _standardize(residual, plan.standardize, mean_signal)


def _standardization(value: Standardize) -> Literal["zscore_sample", "zscore", "psc"] | None:
    if value is None or value is False:
        return None
    if value is True:
        return "zscore_sample"
    if value not in ("zscore_sample", "zscore", "psc"):
        raise UsageError(
            f"standardize must be 'zscore_sample', 'zscore', 'psc', True or False, not {value!r}."
        )
    return value


def _filter_type(
    kind: FilterType, low_pass: float | None, high_pass: float | None, t_r: float | None
) -> FilterType:
    """The filter that acts, or False."""
    if kind not in ("butterworth", "cosine", False):
        raise UsageError(f"Filter method {kind} not implemented.")
    if kind is False:
        if low_pass is not None or high_pass is not None:
            warnings.warn("Cut-off frequencies without a filter do nothing.", stacklevel=3)
        return False
    if kind == "butterworth" and low_pass is None and high_pass is None:
        return False
    if t_r is None or (kind == "cosine" and high_pass is None):
        raise UsageError(
            f"A {kind} filter needs the repetition time (t_r) and a cut-off frequency; "
            f"given are t_r={t_r}, high_pass={high_pass}, low_pass={low_pass}."
        )
    if None not in (low_pass, high_pass) and kind == "butterworth" and high_pass >= low_pass:  # type: ignore[operator]
        raise UsageError(
            f"High pass cutoff frequency ({high_pass}) is greater than or equal to "
            f"low pass filter frequency ({low_pass})."
        )
    return kind


def _butterworth_options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {name.removeprefix("butterworth__"): value for name, value in given.items()}
    if unknown := sorted(set(options) - _BUTTERWORTH):
        raise UsageError(f"clean() has no option {unknown[0]!r}.")
    return options


def _regressors(
    confounds: ArrayLike | Sequence[ArrayLike] | None, n_volumes: int
) -> FloatArray | None:
    if confounds is None:
        return None
    parts = confounds if isinstance(confounds, list | tuple) else [confounds]
    columns = [_regressor_array(part, n_volumes) for part in parts]  # type: ignore[arg-type]
    return np.hstack(columns) if columns else None


def _regressor_array(part: ArrayLike, n_volumes: int) -> FloatArray:
    array = np.asarray(part, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2:
        raise DataError(f"confound array has an incorrect number of dimensions: {array.ndim}")
    if len(array) != n_volumes:
        raise DataError(
            "Confound signal has an incorrect length. "
            f"Signal length: {n_volumes}; confound length: {len(array)}."
        )
    return array


def _split(
    runs: ArrayLike | None, sample_mask: ArrayLike | Sequence[ArrayLike] | None, n_volumes: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.intp] | None]]:
    """Per run: its rows, and the kept volumes counted within it."""
    labels = np.zeros(n_volumes) if runs is None else np.asarray(runs)
    if len(labels) != n_volumes:
        raise DataError(
            f"The length of the run vector ({len(labels)}) "
            f"does not match the length of the signals ({n_volumes})"
        )
    rows = [labels == label for label in np.unique(labels)]
    masks = _masks_per_run(sample_mask, len(rows))
    return [
        (row, None if mask is None else _kept(mask, int(row.sum())))
        for row, mask in zip(rows, masks, strict=True)
    ]


def _masks_per_run(
    sample_mask: ArrayLike | Sequence[ArrayLike] | None, n_runs: int
) -> list[ArrayLike | None]:
    if sample_mask is None:
        return [None] * n_runs
    listed = isinstance(sample_mask, list | tuple) and np.ndim(sample_mask[0]) == 1
    masks: list[ArrayLike | None] = list(sample_mask) if listed else [sample_mask]  # type: ignore[arg-type, list-item]
    if len(masks) != n_runs:
        raise DataError(
            f"Number of sample_mask ({len(masks)}) not matching number of runs ({n_runs})."
        )
    return masks


def _kept(mask: ArrayLike, n_volumes: int) -> NDArray[np.intp]:
    """A boolean or index mask as ascending or given indices."""
    array = np.asarray(mask)
    if array.dtype == bool:
        array = np.flatnonzero(array)
    if array.size == 0:
        raise DataError("The sample mask leaves no volume.")
    if array.min() < 0:
        raise DataError("sample_mask should not contain negative values.")
    if len(array) > n_volumes or array.max() >= n_volumes:
        raise IndexError(
            f"sample_mask names volume {array.max()}, but the run has {n_volumes} volumes."
        )
    return array.astype(np.intp)


def _interpolate(
    values: FloatArray, kept: NDArray[np.intp], plan: _Plan
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Censored volumes by cubic spline through the kept ones; the ends left out, if asked."""
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 - slow to import, seldom needed

    volumes = np.arange(len(values))
    spline = CubicSpline(kept, values[kept], extrapolate=True)
    filled = values.copy()
    censored = np.setdiff1d(volumes, kept)
    filled[censored] = spline(censored)
    if plan.extrapolate:
        return filled, kept
    return filled[kept[0] : kept[-1] + 1], kept - kept[0]


def _detrend(values: FloatArray) -> FloatArray:
    """Without mean and linear trend; a single volume stays as it is."""
    n_volumes = len(values)
    if n_volumes == 1:
        warnings.warn("One volume has no trend to remove.", stacklevel=4)
        return values
    trend = np.arange(n_volumes, dtype=np.float64)
    trend -= trend.mean()
    trend /= np.linalg.norm(trend)
    centred = values - values.mean(axis=0)
    return centred - np.outer(trend, trend @ centred)


def _butterworth(values: FloatArray, plan: _Plan) -> FloatArray:
    """Forward and backward Butterworth filter along time, order 5 unless said otherwise."""
    from scipy import signal  # noqa: PLC0415 - slow to import, seldom needed

    nyquist = 0.5 / float(plan.t_r or np.nan)
    cutoffs = [
        _below_nyquist(frequency, nyquist, name)
        for frequency, name in ((plan.high_pass, "high"), (plan.low_pass, "low"))
        if frequency is not None
    ]
    if len(cutoffs) == 2 and cutoffs[0] == cutoffs[1]:
        warnings.warn("The pass band is empty; signals are not filtered.", stacklevel=4)
        return values
    options = dict(plan.butterworth)
    order = options.pop("order", 5)
    edge: Literal["high", "low"] = "low" if plan.high_pass is None else "high"
    kind: Literal["band", "high", "low"] = "band" if len(cutoffs) == 2 else edge
    sections = signal.butter(order, cutoffs, btype=kind, output="sos", fs=2 * nyquist)
    return np.asarray(signal.sosfiltfilt(sections, values, axis=0, **options))


def _below_nyquist(frequency: float, nyquist: float, name: str) -> float:
    """A cut-off that a digital filter can have (nilearn's margins)."""
    margin = float(np.finfo(np.float32).eps)
    if frequency >= nyquist:
        warnings.warn(
            f"The {name} pass frequency {frequency:g} Hz is not below the Nyquist frequency "
            f"{nyquist:g} Hz; it has been lowered to just below it.",
            stacklevel=5,
        )
        return nyquist - 10 * margin * nyquist
    return margin * nyquist if frequency < 0 else frequency


def _with_cosines(confounds: FloatArray | None, n_volumes: int, plan: _Plan) -> FloatArray | None:
    """Confounds with discrete cosine regressors of periods longer than 1 / high_pass.

    As in SPM and fMRIPrep (Friston et al. 1995): a DCT-II basis of floor(2 T t_r f) terms.
    """
    order = int(np.floor(2 * n_volumes * float(plan.high_pass or 0) * float(plan.t_r or 0)))
    order = min(n_volumes - 1, order)
    if plan.low_pass is not None:
        warnings.warn("low_pass is not implemented for filter='cosine'", stacklevel=4)
    if order < 1:
        warnings.warn("The run is too short for a cosine of this frequency.", stacklevel=4)
        return confounds
    phase = np.pi / n_volumes * (np.arange(n_volumes) + 0.5)
    cosines = np.sqrt(2 / n_volumes) * np.cos(np.outer(phase, np.arange(1, order + 1)))
    if confounds is None:
        return cosines
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(cosines.T, confounds.T)[:order, order:]
    if (correlation > _COSINE_IS_THERE).any():
        warnings.warn("The confounds hold cosines already; these are used.", stacklevel=4)
        return confounds
    return np.hstack([confounds, cosines])


def _regress(signals: FloatArray, confounds: FloatArray, *, standardize: bool) -> FloatArray:
    """Residuals of the signals after projection on the confounds (Friston et al. 1994)."""
    if standardize:
        scaled = _standardize(confounds, "zscore_sample", confounds.mean(axis=0))
    else:
        largest = np.abs(confounds).max(axis=0)
        scaled = confounds / np.where(largest == 0, 1, largest)
    basis, triangle, _ = linalg.qr(scaled, mode="economic", pivoting=True)
    basis = basis[:, np.abs(np.diag(triangle)) > _RANK_TOLERANCE]
    return signals - basis @ (basis.T @ signals)


def _standardize(
    values: FloatArray,
    how: Literal["zscore_sample", "zscore", "psc"] | None,
    mean_before: FloatArray,
) -> FloatArray:
    if how is None:
        return values
    if len(values) == 1:
        warnings.warn("One volume can't be standardized; it is left as it is.", stacklevel=4)
        return values
    if how == "psc":
        return _percent_signal_change(values, mean_before)
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0, ddof=1 if how == "zscore_sample" else 0)
    # A constant column stays 0 instead of becoming NaN.
    return centred / np.where(spread < _EPS, 1, spread)


def _percent_signal_change(values: FloatArray, mean_before: FloatArray) -> FloatArray:
    """100 (x - mean) / |mean|; by the mean before cleaning, where cleaning took it away."""
    mean = values.mean(axis=0)
    if np.abs(mean).mean() / np.abs(mean_before).mean() < 0.1:
        values = values + mean_before
        mean = values.mean(axis=0)
    undefined = np.abs(mean) < _EPS
    if undefined.any():
        warnings.warn("Per cent change of a signal of mean 0 is set to 0.", stacklevel=5)
    return np.where(undefined, 0, 100 * (values - mean) / np.where(undefined, 1, np.abs(mean)))
