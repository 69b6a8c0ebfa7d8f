"""Head motion along a run, and the volumes that strategies leave out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular
from bids_spheres.outputs.sidecars import read_sidecar, sidecar_path
from bids_spheres.reports.toolkit.carpets import volumes_axis
from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Frame,
    Key,
    Label,
    Mark,
    Plot,
    axis,
    chart_of,
    series_style,
    shorten,
)
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import count, listing, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.outputs.links import Links
    from bids_spheres.reports.participant.load import Run
    from bids_spheres.reports.toolkit.charts import Chart

    FloatArray = NDArray[np.float64]

LEFT, RIGHT = 130, 16
"""Pixels beside a chart along time, the same for all of a run, so that volumes line up."""

_HEIGHT, _GAP, _STRIPE = 84, 14, 14

_NO_COURSES = (
    "The confounds table that the sidecars name is not there, or has no measure of motion, so that "
    "only censored volumes are shown."
)


@dataclass(frozen=True)
class Measure:
    """A measure of motion: its column today and in fMRIPrep < 1.2, and what it is called."""

    columns: tuple[str, str]
    label: str
    name: str
    unit: str
    threshold: str


MEASURES = (
    Measure(
        ("framewise_displacement", "FramewiseDisplacement"),
        "FD (mm)",
        "Framewise displacement",
        " mm",
        "fd_threshold",
    ),
    Measure(
        ("std_dvars", "stdDVARS"),
        "std. DVARS",
        "Standardized DVARS",
        "",
        "std_dvars_threshold",
    ),
)


@dataclass(frozen=True, eq=False)
class Motion:
    """What is known of motion in a run.

    Parameters
    ----------
    n_volumes : int
    courses : mapping of Measure to (T,) array
        Those that the confounds table has; NaN where it does not say.
    censored : mapping of str to (T,) bool array
        By strategy.
    thresholds : mapping of str to mapping
        ``CensoringThresholds`` of each strategy.
    """

    n_volumes: int
    courses: Mapping[Measure, FloatArray]
    censored: Mapping[str, NDArray[np.bool_]]
    thresholds: Mapping[str, Mapping[str, Any]]


def motion_block(run: Run, links: Links) -> Block | None:
    """Charts of motion; None for what was made of several runs."""
    if not run.files.outliers:
        return None
    motion = _read(run, links)
    graphic = Graphic(
        _chart(motion, run.strategies), _caption(motion), legend=_legend(motion, run.strategies)
    )
    return Block("Motion and censoring", (graphic,), () if motion.courses else (_NO_COURSES,))


def _read(run: Run, links: Links) -> Motion:
    strategies = [s for s in run.strategies if s in run.files.outliers]
    censored = {s: ~run.files.kept(s) for s in strategies}
    n_volumes = max(len(flags) for flags in censored.values())
    facts = read_sidecar(sidecar_path(next(iter(run.files.outliers.values()))), optional=True)
    table = links.first(facts, ".tsv")
    courses = {} if table is None else _courses(table)
    thresholds = {
        s: one.facts[s].get("CensoringThresholds") or {}
        for s in strategies
        for one in run.sets
        if s in one.facts
    }
    fitting = {m: courses[m] for m in MEASURES if m in courses and len(courses[m]) == n_volumes}
    return Motion(n_volumes, fitting, censored, thresholds)


def _courses(path: Path) -> dict[Measure, FloatArray]:
    wanted = {column: measure for measure in MEASURES for column in measure.columns}
    try:
        with open_regular(path) as file:
            table = pd.read_csv(
                file, sep="\t", usecols=lambda name: name.strip() in wanted, na_values=[MISSING]
            )
        return {
            wanted[name.strip()]: table[name].to_numpy(dtype=np.float64) for name in table.columns
        }
    except (OSError, ValueError):
        return {}  # the input may have changed since; the rest of the report stands


# In pixels


def _chart(motion: Motion, strategies: Sequence[str]) -> Chart:
    shown = [measure for measure in MEASURES if measure in motion.courses]
    rows = [s for s in strategies if s in motion.censored]
    width = WIDTH - LEFT - RIGHT
    plots, top = [], 8
    for measure in shown:
        y = axis(_with_thresholds(motion, measure), measure.label, zero=True, room=0.06, most=4)
        frame = Frame(LEFT, top, width, _HEIGHT, volumes_axis(motion.n_volumes), y)
        plots.append(Plot(frame, tuple(_course_marks(motion, measure, frame, rows)), x_words=False))
        top += _HEIGHT + _GAP
    stripes = Frame(
        LEFT,
        top,
        width,
        _STRIPE * len(rows),
        volumes_axis(motion.n_volumes, "Volume"),
        axis([0, len(rows)], "", most=1),
    )
    marks, labels = _stripes(motion, stripes, rows)
    _, words = stripes.x_marks()
    chart = chart_of(plots, WIDTH, int(top + stripes.height + 40), _alt(motion))
    return replace(chart, marks=chart.marks + marks, labels=chart.labels + labels + words)


def _with_thresholds(motion: Motion, measure: Measure) -> FloatArray:
    course = motion.courses[measure]
    return np.append(course, [value for value, _ in _levels(motion, measure)])


def _levels(motion: Motion, measure: Measure) -> Iterator[tuple[float, str]]:
    """Thresholds of a measure, and whose they are."""
    owners: dict[float, list[str]] = {}
    for strategy, thresholds in motion.thresholds.items():
        value = thresholds.get(measure.threshold)
        if isinstance(value, int | float):
            owners.setdefault(float(value), []).append(strategy)
    for value, names in owners.items():
        yield value, names[0] if len(names) == 1 else ""


def _course_marks(
    motion: Motion, measure: Measure, frame: Frame, strategies: Sequence[str]
) -> Iterator[Mark]:
    for number_, strategy in enumerate(strategies):
        starts = np.flatnonzero(motion.censored[strategy])
        path = frame.columns(starts, starts + 1)
        yield Mark(path, f"censored {series_style(number_)}", strategy)
    course = motion.courses[measure]
    yield Mark(frame.line(np.arange(len(course)) + 0.5, course), "course")
    for value, owner in _levels(motion, measure):
        yield Mark(frame.level(value), "threshold", owner, f"Threshold {number(value)}")


def _stripes(
    motion: Motion, frame: Frame, strategies: Sequence[str]
) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
    """One row for each strategy: which volumes it leaves out."""
    marks, labels = [], []
    for row, strategy in enumerate(strategies):
        top = frame.top + row * _STRIPE
        lane = Frame(frame.left, top + 1, frame.width, _STRIPE - 2, frame.x, frame.y)
        starts = np.flatnonzero(motion.censored[strategy])
        marks.append(Mark(lane.columns([0], [motion.n_volumes]), "lane", strategy))
        marks.append(
            Mark(lane.columns(starts, starts + 1), f"stripe {series_style(row)}", strategy)
        )
        labels.append(Label(frame.left - 6, top + 11, shorten(strategy, 17), "end", "name"))
    return tuple(marks), tuple(labels)


def _legend(motion: Motion, strategies: Sequence[str]) -> tuple[Key, ...]:
    shown = [s for s in strategies if s in motion.censored]
    keys = [
        Key(f"swatch {series_style(i)}", f"censored by {s}", s)
        for i, s in enumerate(shown)
        if motion.censored[s].any()
    ]
    if any(True for measure in MEASURES for _ in _levels(motion, measure)):
        keys.append(Key("threshold", "threshold"))
    return tuple(keys)


# In words


def _alt(motion: Motion) -> str:
    words = [_course_words(measure, course) for measure, course in motion.courses.items()]
    words += [
        f"{strategy} leaves out {count(int(flags.sum()), 'volume')} of {len(flags)}."
        for strategy, flags in motion.censored.items()
    ]
    return " ".join(words)


def _course_words(measure: Measure, course: FloatArray) -> str:
    known = course[np.isfinite(course)]
    if not known.size:
        return f"{measure.name} is not known."
    peak = int(np.nanargmax(course))
    return (
        f"{measure.name}: mean {number(float(known.mean()))}{measure.unit}, "
        f"highest {number(float(known.max()))}{measure.unit} at volume {peak}."
    )


def _caption(motion: Motion) -> str:
    free = [s for s, flags in motion.censored.items() if not flags.any()]
    words = [_course_words(measure, course) for measure, course in motion.courses.items()]
    if free:
        words.append(f"No volume is censored by {listing(free)}.")
    words.append("Volumes are counted from 0.")
    return " ".join(words)
