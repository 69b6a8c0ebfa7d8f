"""Measure head motion anew from realignment parameters: filtered, or with another head radius.

Breathing moves the field, and so the image, in the phase-encoding direction: parameters show it
where heads lie still, above all at short repetition times (Fair et al. 2020,
doi:10.1016/j.neuroimage.2019.116400; Gratton et al. 2020, doi:10.1016/j.neuroimage.2020.116866).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.columns import FRAMEWISE_DISPLACEMENT
from bids_spheres.confounds.tables import EXPANDED_MOTION, MOTION, base_of, expand
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from bids_spheres.confounds.strategy import HeadMotion, Strategy
    from bids_spheres.confounds.tables import RunColumns
    from bids_spheres.engine.arrays import FloatArray

    Band = tuple[float, float]

SIGNAL_BAND = (0.01, 0.1)
"""Hz, of spontaneous BOLD signals, where a strategy has no filter of its own (Cordes et al. 2001;
Biswal et al. 1995, doi:10.1002/mrm.1910340409)."""

_LOW_PASS_ORDER = 2  # applied forward and backward; xcp_d's. Gratton et al. took 1


@dataclass(frozen=True, eq=False)
class MeasuredMotion:
    """Displacement (T,), NaN at first, and head radius, mm; what a filter took away, Hz."""

    displacement: FloatArray
    head_radius: float
    stop_band: Band | None


def framewise_displacement(parameters: FloatArray, head_radius: float) -> FloatArray:
    """Framewise displacement of Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018.

    (T,) in mm, NaN at the first volume, from (T, 6) translations in mm and rotations in radians on
    a sphere of `head_radius` mm.

    >>> framewise_displacement(np.array([[0, 0, 0, 0, 0, 0], [1, 0, -1, 0, 0.02, 0]]), 50.0)
    array([nan,  3.])
    """
    change: FloatArray = np.abs(np.diff(parameters, axis=0, prepend=np.nan))
    return change[:, :3].sum(axis=1) + head_radius * change[:, 3:].sum(axis=1)


def folded(band: Band, t_r: float) -> Band:
    """Frequencies at which those of a band are seen in samples `t_r` s apart, Hz.

    >>> [round(edge, 2) for edge in folded((0.31, 0.43), 2.0)]
    [0.07, 0.19]
    """
    nyquist = 0.5 / t_r
    edges = [abs(edge - round(edge * t_r) / t_r) for edge in band]
    # Frequencies turn back at zero and at the Nyquist frequency.
    turns = range(int(np.ceil(band[0] / nyquist)), int(np.floor(band[1] / nyquist)) + 1)
    edges += [nyquist if turn % 2 else 0.0 for turn in turns]
    return min(edges), max(edges)


def filter_motion(parameters: FloatArray, rules: HeadMotion, t_r: float) -> FloatArray:
    """Low-pass or notch filter of (T, 6) parameters, their ends held, both ways, as xcp_d's."""
    from scipy.signal import butter, filtfilt, iirnotch  # noqa: PLC0415 - slow to import

    band = folded_stop_band(rules, t_r)
    if rules.stop_band[1] == np.inf:
        b, a = butter(_LOW_PASS_ORDER, band[0], fs=1 / t_r)
    else:
        centre, width = sum(band) / 2, band[1] - band[0]
        b, a = iirnotch(centre, centre / width, fs=1 / t_r)
    pad = len(parameters) - 1
    return np.asarray(filtfilt(b, a, parameters, axis=0, padtype="constant", padlen=pad))


def folded_stop_band(rules: HeadMotion, t_r: float) -> Band:
    """Stop band of a motion filter as it is in a run, Hz."""
    low, high = rules.stop_band
    return (low, 0.5 / t_r) if high == np.inf else folded((low, high), t_r)


def filter_notes(strategy: Strategy, rules: HeadMotion, t_r: float) -> list[str]:
    """What to know of a motion filter at a repetition time.

    DataError for a low-pass filter that lets all pass, and for a stop band that folds onto half or
    more of the signal's band: motion at these frequencies would no longer be seen.
    """
    nyquist, (low, high) = 0.5 / t_r, rules.stop_band
    limit = f"the Nyquist frequency, {nyquist:g} Hz for a repetition time of {t_r:g} s"
    if high == np.inf:
        if low >= nyquist:
            raise DataError(f"The motion filter {rules.filter} ({low:g} Hz) is not below {limit}.")
        return []
    if high <= nyquist:
        return []
    first, last = folded((low, high), t_r)
    what = (
        f"The stop band of the motion filter {rules.filter}, {low:g} to {high:g} Hz, is above "
        f"{limit}, and folds to {first:.3g} to {last:.3g} Hz"
    )
    chosen = strategy.filter
    bottom = chosen.high_pass if chosen and chosen.high_pass is not None else SIGNAL_BAND[0]
    top = chosen.low_pass if chosen and chosen.low_pass is not None else SIGNAL_BAND[1]
    top = max(top, bottom)
    if min(last, top) - max(first, bottom) >= (top - bottom) / 2:
        raise DataError(
            f"{what}, which covers the band of the signal ({bottom:g} to {top:g} Hz).",
            hint="Use a low-pass filter (gratton2020 or lowpass:BPM), or none.",
        )
    return [f"{what}."]


def measure_again(
    columns: RunColumns, strategy: Strategy, t_r: float | None, brain_radius: float | None
) -> tuple[RunColumns, MeasuredMotion, list[str]]:
    """Columns of a run with the motion that a strategy's `head_motion` asks for, motion and notes.

    Realignment parameters are filtered where it says so, and stand among the columns for fMRIPrep's
    when `filter_regressors` is set. `t_r` is in s, `brain_radius`, for "auto", in mm.
    """
    rules = strategy.head_motion
    assert rules is not None  # noqa: S101 - the caller has looked
    radius = brain_radius if rules.head_radius == "auto" else rules.head_radius
    if radius is None:
        raise DataError("The head radius is auto, and the participant's brain mask is missing.")
    parameters, band, notes = columns.complete(MOTION), None, []
    if rules.filter:
        if t_r is None:
            raise DataError("A motion filter needs the repetition time.")
        notes = filter_notes(strategy, rules, t_r)
        band = folded_stop_band(rules, t_r)
        parameters = filter_motion(parameters, rules, t_r)
    displacement = framewise_displacement(parameters, radius)
    changed = {FRAMEWISE_DISPLACEMENT: displacement}
    if rules.filter and rules.filter_regressors:
        own = dict(zip(MOTION, parameters.T, strict=True))
        expanded = [name for name in EXPANDED_MOTION if name in columns.table.columns]
        changed |= own | {name: expand(name, own[base_of(name)]) for name in expanded}
        notes.append("Realignment parameters among the regressors are filtered as well.")
    table = columns.table.assign(**changed)
    return replace(columns, table=table), MeasuredMotion(displacement, radius, band), notes
