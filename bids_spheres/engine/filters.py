"""Temporal filters: Butterworth along time, with a spline in place of censored volumes; cosines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bids_spheres.engine.warn import warn
from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bids_spheres.engine.arrays import FloatArray, IntArray


FilterType = Literal["butterworth", "cosine", False]
Interpolate = Literal["nilearn", "censored"]

_PREFIX = "butterworth__"
_OPTIONS = frozenset({"order", "padtype", "padlen"})

# How close to 0 and to Nyquist a frequency may come, relative to Nyquist (nilearn). In single
# precision on purpose, as a filter so close to Nyquist depends on the last digit.
_MARGIN = np.finfo(np.float32).eps

_COSINE_IS_THERE = 0.9  # correlation from which a confound counts as one of our cosines (nilearn)


@dataclass(frozen=True)
class Filter:
    """A temporal filter that acts, its parameters checked; `t_r` in s, NaN where not needed."""

    kind: FilterType
    low_pass: float | None
    high_pass: float | None
    t_r: float
    options: Mapping[str, Any] = field(default_factory=dict)


def make_filter(
    kind: FilterType,
    *,
    low_pass: float | None,
    high_pass: float | None,
    t_r: float | None,
    options: Mapping[str, object],
) -> Filter:
    """Check the arguments of a filter."""
    _check_numbers(low_pass=low_pass, high_pass=high_pass, t_r=t_r)
    known = _butterworth_options(options)
    if kind is not False and kind not in ("butterworth", "cosine"):
        raise UsageError(f"Filter method {kind} not implemented.")
    cutoffs = [frequency for frequency in (high_pass, low_pass) if frequency is not None]
    if kind is False and cutoffs:
        warn("Cut-off frequencies are given, but no filter: will not perform filtering.")
    if kind is False or (kind == "butterworth" and not cutoffs):
        return Filter(False, None, None, np.nan)
    if kind == "cosine" and (t_r is None or high_pass is None):
        raise UsageError(
            "Repetition time (t_r) and low cutoff frequency (high_pass) must be specified "
            f"for cosine filtering. Got: t_r={t_r}, high_pass={high_pass}."
        )
    if kind == "cosine" and high_pass is not None and high_pass < 0:
        raise UsageError(f"A cosine filter has no frequencies below 0: {high_pass=}.")
    if t_r is None:
        raise UsageError("Repetition time (t_r) must be specified for butterworth filtering.")
    if kind == "butterworth" and len(cutoffs) == 2 and cutoffs[0] >= cutoffs[1]:
        raise UsageError(
            f"High pass cutoff frequency ({high_pass}) is greater than or equal to "
            f"low pass filter frequency ({low_pass}). No frequency would pass."
        )
    if not 0 < t_r < np.inf:
        raise UsageError(f"Repetition time (t_r) must be a positive number of seconds, not {t_r}.")
    return Filter(kind, low_pass, high_pass, t_r, known)


def _check_numbers(**values: object) -> None:
    numbers = (int, float, np.integer, np.floating)
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, numbers)):
            kind = type(value).__name__
            raise TypeError(f"'{name}' must be of type float or None. Got: '{kind}'")


def _butterworth_options(given: Mapping[str, object]) -> dict[str, Any]:
    """Strip the prefix from options; refuse one that is given twice."""
    options = {name.removeprefix(_PREFIX): value for name, value in given.items()}
    if unknown := sorted(set(options) - _OPTIONS):
        raise TypeError(f"clean() got an unexpected keyword argument {unknown[0]!r}")
    if len(options) < len(given):
        raise TypeError("clean() got an option both with and without its prefix 'butterworth__'")
    return options


def apply_butterworth(values: FloatArray, chosen: Filter) -> FloatArray:
    """Filter (T, S) values along time, forward and backward, so that phases stay."""
    from scipy import signal  # noqa: PLC0415 - slow to import, seldom needed

    # Not a float(): a t_r in single precision keeps its precision, see _MARGIN.
    nyquist = 1.0 / chosen.t_r * 0.5
    cutoffs = [
        _within_band(frequency, nyquist, name)
        for frequency, name in ((chosen.high_pass, "high"), (chosen.low_pass, "low"))
        if frequency is not None
    ]
    if len(cutoffs) == 2 and cutoffs[0] == cutoffs[1]:
        warn(
            "Signals are returned unfiltered because band-pass critical frequencies are equal. "
            "Check t_r, low_pass and high_pass."
        )
        return values
    edge: Literal["high", "low"] = "low" if chosen.high_pass is None else "high"
    kind: Literal["band", "high", "low"] = "band" if len(cutoffs) == 2 else edge
    frequencies = cutoffs if len(cutoffs) == 2 else cutoffs[0]
    options = dict(chosen.options)
    order = options.pop("order", 5)
    try:
        sections = signal.butter(order, frequencies, kind, output="sos", fs=1.0 / chosen.t_r)
    except ValueError as error:
        raise UsageError(f"These options make no Butterworth filter: {error}") from error
    try:
        return np.asarray(signal.sosfiltfilt(sections, values, axis=0, **options))
    except ValueError as error:
        raise DataError(
            f"A Butterworth filter can't be applied to {len(values)} volumes: {error}",
            hint="Short runs need a smaller butterworth__padlen, or filter='cosine'.",
        ) from error


def fill_censored(
    values: FloatArray, kept: IntArray, *, extrapolate: bool, how: Interpolate
) -> tuple[FloatArray, IntArray]:
    """Replace censored volumes of (T, S) values by a cubic spline through the `kept` ones.

    `extrapolate` also replaces volumes before the first and after the last kept one; otherwise
    these ends are cut off. `how` is `interpolate` of `clean`. Returns the values, and where the
    kept volumes are in them.
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


def _within_band(frequency: float, nyquist: float, name: str) -> float:
    """A cut-off that a digital filter can have."""
    if frequency >= nyquist:
        lowered = nyquist - nyquist * 10 * _MARGIN
        warn(
            f"The frequency specified for the {name} pass filter is too high, {frequency:g} Hz; "
            f"it has been lowered to {lowered:g} Hz, the Nyquist frequency."
        )
        return lowered  # type: ignore[return-value]
    if frequency < 0:
        warn(
            f"The frequency specified for the {name} pass filter is too low, {frequency:g} Hz; "
            "it has been raised to almost 0."
        )
        return nyquist * _MARGIN  # type: ignore[return-value]
    return frequency


def with_cosines(confounds: FloatArray | None, n_volumes: int, chosen: Filter) -> FloatArray | None:
    """Confounds with cosine regressors that model all frequencies below `high_pass`.

    As in SPM and fMRIPrep (Friston et al. 1995, doi:10.1006/nimg.1995.1007): a DCT-II basis of
    floor(2 T t_r high_pass) terms, without the constant, unless a confound is such a cosine.
    """
    if chosen.low_pass is not None:
        warn("low_pass is not implemented for filter='cosine'")
    cosines = cosine_basis(n_volumes, chosen.t_r, chosen.high_pass or 0.0)
    if not cosines.size:
        warn("Cosine filter was not created: the run is too short for one of this frequency.")
        return confounds
    if confounds is None:
        return cosines
    n_cosines = cosines.shape[1]
    # Constant confounds correlate with nothing.
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(cosines.T, confounds.T)[:n_cosines, n_cosines:]
    if (correlation > _COSINE_IS_THERE).any():
        warn("Cosines exist in user supplied confounds. These are used, and no others.")
        return confounds
    return np.hstack([confounds, cosines])


def cosine_basis(n_volumes: int, t_r: float, high_pass: float) -> FloatArray:
    """Regressors that model all frequencies below `high_pass` (Hz), as `with_cosines` adds them.

    (T, K), orthonormal; K = 0 when the run is shorter than half a period.
    """
    last = n_volumes - 1
    # Rounded as nilearn does, because floor() below makes a regressor of a rounding error.
    t_r = last * float(t_r) / max(1, last)
    if high_pass * t_r >= 0.5:
        warn("High-pass filter will span all accessible frequencies: nothing will be left.")
    order = min(last, int(np.floor(2 * n_volumes * high_pass * t_r)))
    phase = np.pi / n_volumes * (np.arange(n_volumes) + 0.5)
    return np.sqrt(2 / n_volumes) * np.cos(np.outer(phase, np.arange(1, order + 1)))
