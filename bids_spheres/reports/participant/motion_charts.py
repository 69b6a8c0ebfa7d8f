"""Head motion along a run, and the volumes that strategies censor."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular
from bids_spheres.outputs.sidecars import read_sidecar, sidecar_path
from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Frame,
    Key,
    Label,
    Mark,
    Plot,
    axis,
    chart_of,
    shorten,
)
from bids_spheres.reports.toolkit.matrices import volumes_axis
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.outputs.links import Links
    from bids_spheres.reports.participant.load import Run
    from bids_spheres.reports.toolkit.charts import Chart

LEFT, RIGHT = 130, 16
"""Pixels beside charts along time, the same for all of a run, so that volumes line up."""

_HEIGHT, _GAP, _STRIPE = 84, 14, 14

_NO_COURSES = (
    "The confounds table that the sidecars name does not exist, or has no measure of motion; only "
    "censored volumes are shown."
)


@dataclass(frozen=True)
class Measure:
    """A measure of motion: its names, and the columns that have it."""

    name: str
    label: str
    unit: str
    threshold: str
    columns: tuple[str, ...] = ()  # Today, and in fMRIPrep < 1.2
    strategies: tuple[str, ...] = ()  # Those that recompute it; none where the table has it


_FD, _DVARS, _RMSD = "Framewise displacement", "Standardized DVARS", "Root mean square displacement"
MEASURES = (
    Measure(
        *(_FD, "FD (mm)", " mm", "fd_threshold"),
        ("framewise_displacement", "FramewiseDisplacement"),
    ),
    Measure(_DVARS, "std. DVARS", "", "std_dvars_threshold", ("std_dvars", "stdDVARS")),
    Measure(_RMSD, "RMSD (mm)", " mm", "rmsd_threshold", ("rmsd",)),
)


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion in a run, and the volumes that strategies censor for it."""

    n_volumes: int
    courses: Mapping[Measure, FloatArray]  # (T,); NaN where a value is missing
    censored: Mapping[str, BoolArray]  # (T,); By strategy
    thresholds: Mapping[str, Mapping[str, object]]  # ``CensoringThresholds`` of each strategy

    def levels(self, measure: Measure) -> dict[float, str]:
        """Thresholds of a measure, and the strategy of each that has only one."""
        owners: dict[float, list[str]] = {}
        anew = {s for each in self.courses for s in each.strategies}
        by_table = measure.threshold != "fd_threshold" or not anew
        for strategy, thresholds in self.thresholds.items():
            # A threshold stands in the chart of the measure that it is compared with.
            if not by_table and (strategy in anew) != (strategy in measure.strategies):
                continue
            value = thresholds.get(measure.threshold)
            if isinstance(value, int | float):
                owners.setdefault(float(value), []).append(strategy)
        return {value: names[0] if len(names) == 1 else "" for value, names in owners.items()}


def motion_block(run: Run, links: Links) -> Block | None:
    """Charts of motion; None for several runs together."""
    if not run.files.outliers:
        return None
    motion = _read_motion(run, links)
    words, legend = [], []
    for measure, course in motion.courses.items():
        text = f"{measure.name} is not known."
        if np.isfinite(course).any():
            mean, highest = number(float(np.nanmean(course))), number(float(np.nanmax(course)))
            text = (
                f"{measure.name}: mean {mean}{measure.unit}, "
                f"highest {highest}{measure.unit} at volume {np.nanargmax(course)}."
            )
        words.append(text)
    caption = words.copy()
    if free := [s for s, flags in motion.censored.items() if not flags.any()]:
        caption.append(f"No volume is censored by {listing(free)}.")
    caption.append("Volumes are counted from 0.")
    for strategy, flags in motion.censored.items():
        n_censored = count(int(flags.sum()), "volume")
        words.append(f"{strategy} leaves out {n_censored} of {len(flags)}.")
        if flags.any():
            swatch = f"swatch {run.styles[strategy]}"
            legend.append(Key(swatch, f"censored by {strategy}", strategy))
    if any(map(motion.levels, MEASURES)):
        legend.append(Key("threshold", "threshold"))
    chart = _chart(motion, run.styles, " ".join(words))
    graphic = Graphic(chart, " ".join(caption), legend=tuple(legend))
    return Block("Motion and censoring", (graphic,), () if motion.courses else (_NO_COURSES,))


def _read_motion(run: Run, links: Links) -> Motion:
    strategies = [s for s in run.strategies if s in run.files.outliers]
    censored = {s: ~run.files.kept(s) for s in strategies}
    n_volumes = max(len(flags) for flags in censored.values())
    facts = read_sidecar(sidecar_path(run.files.outliers[strategies[0]]), optional=True)
    path, columns = links.first(facts, ".tsv"), {}
    # The input may have changed since; the rest of the report stands without it.
    with suppress(OSError, ValueError):
        columns = (
            {} if path is None else _read_columns(path, {c for m in MEASURES for c in m.columns})
        )
    thresholds = {
        s: seeds.facts[s].get("CensoringThresholds") or {}
        for s in strategies
        for seeds in run.sets
        if s in seeds.facts
    }
    limited = {key for limits in thresholds.values() for key in limits if limits[key] is not None}
    courses = _recomputed(run, strategies)
    for measure in MEASURES:
        for course in (columns[c] for c in measure.columns if c in columns):
            if len(course) == n_volumes and (measure.name != _RMSD or measure.threshold in limited):
                courses[measure] = course
    return Motion(n_volumes, courses, censored, thresholds)


def _read_columns(path: Path, wanted: Collection[str]) -> dict[str, FloatArray]:
    """Some columns of a table, whose names may have blanks around them."""
    with open_regular(path) as file:
        table = pd.read_csv(
            file, sep="\t", usecols=lambda name: name.strip() in wanted, na_values=[MISSING]
        )
    return {name.strip(): table[name].to_numpy(dtype=np.float64) for name in map(str, table)}


def _recomputed(run: Run, strategies: Sequence[str]) -> dict[Measure, FloatArray]:
    """Displacement as strategies measure it anew; that of several is one where it is the same."""
    columns: dict[bytes, tuple[FloatArray, list[str]]] = {}
    for strategy in strategies:
        for values in _read_columns(run.files.outliers[strategy], ("fd_recomputed",)).values():
            columns.setdefault(values.tobytes(), (values, []))[1].append(strategy)
    courses = {}
    for values, owners in columns.values():
        name = f"{_FD} as {listing(owners)} recomputes it"
        owned = Measure(name, "FD anew (mm)", " mm", "fd_threshold", strategies=tuple(owners))
        courses[owned] = values
    return courses


def _chart(motion: Motion, styles: Mapping[str, str], alt: str) -> Chart:
    """Courses with thresholds and censored volumes, and a row of censored volumes by strategy."""
    width, n = WIDTH - LEFT - RIGHT, motion.n_volumes
    starts = {s: np.flatnonzero(flags) for s, flags in motion.censored.items()}
    plots, top = [], 8
    for measure, course in motion.courses.items():
        levels = motion.levels(measure)
        y = axis(np.append(course, [*levels]), measure.label, zero=True, room=0.06, most=4)
        frame = Frame(LEFT, top, width, _HEIGHT, volumes_axis(n), y)
        marks = [
            Mark(frame.columns(first, first + 1), f"censored {styles[strategy]}", strategy)
            for strategy, first in starts.items()
        ]
        marks.append(Mark(frame.line(np.arange(n) + 0.5, course), "course"))
        marks += [
            Mark(frame.level(value), "threshold", owner, f"Threshold {number(value)}")
            for value, owner in levels.items()
        ]
        plots.append(Plot(frame, tuple(marks), x_words=False))
        top += _HEIGHT + _GAP
    rows = axis([0, len(starts)], "", most=1)
    volumes = volumes_axis(n, "Volume")
    stripes = Frame(LEFT, top, width, _STRIPE * len(starts), volumes, rows)
    chart = chart_of(plots, WIDTH, int(top + stripes.height + 40), alt)
    marks, labels = [*chart.marks], [*chart.labels]
    for row, (strategy, first) in enumerate(starts.items()):
        lane = Frame(LEFT, top + row * _STRIPE + 1, width, _STRIPE - 2, volumes, rows)
        marks.append(Mark(lane.columns([0], [n]), "lane", strategy))
        path = lane.columns(first, first + 1)
        marks.append(Mark(path, f"stripe {styles[strategy]}", strategy))
        labels.append(Label(LEFT - 6, lane.top + 10, shorten(strategy, 17), "end", "name"))
    labels += stripes.x_marks()[1]
    return replace(chart, marks=tuple(marks), labels=tuple(labels))
