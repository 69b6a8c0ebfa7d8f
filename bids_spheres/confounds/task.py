"""Responses to events as regressors: a haemodynamic response model, or a finite impulse response.

Both are convolutions of the events, sampled 50 times as often as the volumes and held from onset to
end, with kernels, as in `nilearn.glm.first_level.make_first_level_design_matrix`. Cole et al. 2019,
doi:10.1016/j.neuroimage.2018.12.054, compare models for connectivity during tasks.
"""

from __future__ import annotations

from math import gamma
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_spheres.confounds.tables import numbers, read_confounds
from bids_spheres.errors import DataError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.confounds.strategy import Task
    from bids_spheres.engine.arrays import FloatArray

_OVERSAMPLING = 50  # samples from one volume to the next; nilearn's default
_BEFORE = 24.0  # time before the first volume from which on events count, s; nilearn's default
_LENGTH = 32.0  # duration of a haemodynamic response, s

_HRF = {
    # Shape and scale of peak and undershoot, and the height of the latter.
    "glover": (6.0, 0.9, 12.0, 0.9, 0.48),
    "spm": (6.0, 1.0, 16.0, 1.0, 0.167),
}
"""Differences of two gamma densities: Glover 1999, doi:10.1006/nimg.1998.0419, and SPM."""


class Events(NamedTuple):
    """Events of one condition: onsets and durations in s, and how much each counts."""

    onsets: FloatArray
    durations: FloatArray
    values: FloatArray


class RunEvents(NamedTuple):
    """Events of a run by condition, the time of its first volume in s, and notes."""

    conditions: dict[str, Events]
    start_time: float
    notes: tuple[str, ...] = ()


def read_events(path: Path, start_time: float) -> RunEvents:
    """Read an ``events.tsv``; DataError without usable onsets and durations, or without an event.

    Without ``trial_type`` all events are of one condition, ``event``; one of type ``n/a`` is left
    out. ``modulation`` says how much each counts, as in nilearn. `start_time`, s, of the first
    volume on the clock of the events is fMRIPrep's ``StartTime``: slices are moved in time.
    """
    table = read_confounds(path, words=("trial_type",))
    for name in ("onset", "duration"):
        if name not in table.columns:
            raise DataError(f"{path} has no column {name}.", hint="BIDS asks for it in events.")
    notes: tuple[str, ...] = ()
    types = np.full(len(table), "event", dtype=object)
    if "trial_type" in table.columns:
        known = table["trial_type"].notna()
        if not known.all():
            n_left_out = count(int((~known).sum()), "event")
            notes = (f"{n_left_out} of {path.name} without trial_type left out.",)
        table = table[known]
        types = np.array([kind.strip() for kind in table["trial_type"]], dtype=object)
    if table.empty:
        raise DataError(f"{path} has no events.")
    columns = {
        name: numbers(table, name, path) if name in table.columns else np.ones(len(table))
        for name in ("onset", "duration", "modulation")
    }
    for name, column in columns.items():
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise DataError(f"{path}: the {name} of event {row + 1} ({types[row]}) is n/a.")
    if (columns["duration"] < 0).any():
        raise DataError(f"{path}: an event has a negative duration.")
    conditions = {
        kind: Events(*(column[types == kind] for column in columns.values()))
        for kind in sorted(set(types))
    }
    return RunEvents(conditions, start_time, notes)


def task_regressors(
    events: RunEvents, task: Task, t_r: float, n_volumes: int
) -> dict[str, FloatArray]:
    """Responses of every condition at the volumes of a run, (T,) each; `t_r` in s.

    Names are ``task.<condition>`` with ``_derivative``, ``_dispersion`` or ``_delay_<n>``.
    """
    times = events.start_time + t_r * np.arange(n_volumes, dtype=np.float64)
    regressors: dict[str, FloatArray] = {}
    for condition, own in events.conditions.items():
        fine_times, course = _sampled(own, times)
        if task.model == "fir":
            # Means of the events over one volume's time, seen 0 or more volumes later
            columns, n = [], _OVERSAMPLING
            for delay in range(max(1, int(np.ceil(round(task.window / t_r, 6))))):
                kernel = np.repeat([0.0, 1 / n], [delay * n, n])
                response = np.convolve(course, kernel)[n - 1 : len(course)]
                columns.append(np.interp(times, fine_times[: 1 - n], response))
            suffixes = [f"_delay_{delay}" for delay in range(len(columns))]
        else:
            columns = [
                np.interp(times, fine_times, np.convolve(course, kernel)[: len(course)])
                for kernel in kernels(task.hrf, t_r)
            ]
            for at in range(1, len(columns)):  # each without what those before it explain
                before = np.column_stack(columns[:at])
                explained = before @ np.linalg.lstsq(before, columns[at], rcond=None)[0]
                columns[at] = columns[at] - explained
            suffixes = ["", "_derivative", "_dispersion"][: len(columns)]
        named = zip(suffixes, columns, strict=True)
        regressors |= {f"task.{condition}{suffix}": column for suffix, column in named}
    return regressors


def kernels(name: str, t_r: float) -> list[FloatArray]:
    """A haemodynamic response and its derivatives, by 0.1 s and 0.01; 50 samples a volume."""
    model, *derivatives = name.split(" + ")
    peak, scale, undershoot, undershoot_scale, ratio = _HRF[model]
    step = t_r / _OVERSAMPLING
    grid = np.linspace(0, _LENGTH, round(_LENGTH / step))

    def response(
        onset: float = 0.0, scale: float = scale, after: float = undershoot_scale
    ) -> FloatArray:
        times = np.maximum(grid - onset - step, 0)
        values = _gamma_density(times, peak / scale, scale)
        values -= ratio * _gamma_density(times, undershoot / after, after)
        return values / values.sum()

    columns = [response()]
    if "derivative" in derivatives:
        columns.append((response() - response(onset=0.1)) / 0.1)
    if "dispersion" in derivatives:
        # As in nilearn the undershoot has the scale 1 here, in Glover's model as well.
        wider = response(scale=scale + 0.01, after=1.0)
        columns.append((response(after=1.0) - wider) / 0.01)
    return columns


def _gamma_density(times: FloatArray, shape: float, scale: float) -> FloatArray:
    scaled = times / scale
    return np.asarray(scaled ** (shape - 1) * np.exp(-scaled) / (gamma(shape) * scale))


def _sampled(events: Events, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Times at which events are sampled, and what counts of them at each."""
    n_volumes, first, last = len(times), times[0], times[-1]
    end = last * (1 + 1 / (n_volumes - 1))
    n_samples = (n_volumes - 1) / (last - first) * (end - first + _BEFORE) * _OVERSAMPLING + 1
    fine_times = np.linspace(first - _BEFORE, end, round(n_samples))
    # Of an event that began earlier, the rest counts.
    counted = events.onsets + events.durations >= first - _BEFORE
    onsets, durations, values = (column[counted] for column in events)
    starts, ends = (
        np.minimum(np.searchsorted(fine_times, edges), len(fine_times) - 1)
        for edges in (onsets, onsets + durations)
    )
    # An event without duration lasts for one sample.
    ends += (ends == starts) & (ends < len(fine_times) - 1)
    changes = np.zeros(len(fine_times))
    np.add.at(changes, starts, values)
    np.add.at(changes, ends, -values)
    return fine_times, np.cumsum(changes)
