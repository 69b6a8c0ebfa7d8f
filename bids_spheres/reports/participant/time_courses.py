"""A run along time: head motion, censored volumes, and series before and after cleaning."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.reports.toolkit import charts, matrices
from bids_spheres.reports.toolkit.matrices import volumes_axis
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import collect, count, listing, number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.outputs.links import Links
    from bids_spheres.outputs.read import Series
    from bids_spheres.reports.participant.load import Run, SeedSet

# Pixels beside charts along time, the same for all of a run, so that volumes line up
LEFT, RIGHT = 130, 16
_HEIGHT, _GAP, _STRIPE = 84, 14, 14
_NO_COURSES = (
    "The confounds table that the sidecars name does not exist, or has no measure of motion; only "
    "censored volumes are shown."
)
_CARPET, _LEAST, _SPECTRUM = matrices.MOST_ROWS, 48, 200  # pixels high
_TITLE, _BETWEEN = 20, 22  # pixels above a carpet, and from one to the next
BEFORE = "Before cleaning"  # Name of the series before cleaning
MOST_FREQUENCIES = 160  # Points of a spectrum that a chart can show
BORDERS = (0.01, 0.1)
"""Between bands whose share of the power is given, Hz: drift, the range of resting-state networks
(Biswal 1995, doi:10.1002/mrm.1910340409), and higher frequencies."""


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

    @classmethod
    def of(cls, run: Run, links: Links) -> Motion:
        """Read motion of the confounds table, and as strategies measure it anew."""
        strategies = [s for s in run.strategies if s in run.files.outliers]
        censored = {s: ~run.files.kept(s) for s in strategies}
        n_volumes = len(censored[strategies[0]])
        facts = read_sidecar(run.files.outliers[strategies[0]], optional=True)
        columns: dict[str, FloatArray] = {}
        # The input may have changed since; the rest of the report stands without it.
        with suppress(OSError, ValueError):
            if path := links.first(facts, ".tsv"):
                columns = _read_columns(path, [c for m in MEASURES for c in m.columns])
        thresholds = {
            s: seeds.facts[s].get("CensoringThresholds", {})
            for s in strategies
            for seeds in run.sets
            if s in seeds.facts
        }
        limited = {key for own in thresholds.values() for key in own if own[key] is not None}
        anew = collect(
            (values.tobytes(), strategy)
            for strategy in strategies
            for values in _read_columns(run.files.outliers[strategy], ["fd_recomputed"]).values()
        )
        courses: dict[Measure, FloatArray] = {}
        for values, owners in anew.items():
            name = f"{_FD} as {listing(owners)} recomputes it"
            owned = Measure(name, "FD anew (mm)", " mm", "fd_threshold", strategies=tuple(owners))
            courses[owned] = np.frombuffer(values)
        for measure in MEASURES:
            is_shown = measure.name != _RMSD or measure.threshold in limited
            for course in (columns[c] for c in measure.columns if is_shown and c in columns):
                if len(course) == n_volumes:
                    courses[measure] = course
        return cls(n_volumes, courses, censored, thresholds)

    def levels(self, measure: Measure) -> dict[float, str]:
        """Thresholds of a measure, and the strategy of each that has only one."""
        anew = {s for each in self.courses for s in each.strategies}
        by_table = [
            s for s in self.thresholds if measure.threshold != "fd_threshold" or s not in anew
        ]
        # A threshold stands in the chart of the measure that it is compared with.
        owners = collect(
            (float(value), strategy)
            for strategy in measure.strategies or by_table
            if isinstance(value := self.thresholds[strategy].get(measure.threshold), int | float)
        )
        return {value: names[0] if len(names) == 1 else "" for value, names in owners.items()}

    def chart(self, styles: Mapping[str, str], alt: str) -> charts.Chart:
        """Courses with thresholds, and censored volumes of each strategy."""
        width, n = charts.WIDTH - LEFT - RIGHT, self.n_volumes
        starts = {s: np.flatnonzero(flags) for s, flags in self.censored.items()}
        plots, top = [], 8
        for measure, course in self.courses.items():
            levels = self.levels(measure)
            values = np.append(course, [*levels])
            y = charts.axis(values, measure.label, zero=True, room=0.06, most=4)
            frame = charts.Frame(LEFT, top, width, _HEIGHT, volumes_axis(n), y)
            marks = [
                charts.Mark(frame.columns(first, first + 1), f"censored {styles[s]}", s)
                for s, first in starts.items()
            ]
            marks.append(charts.Mark(frame.line(np.arange(n) + 0.5, course), "course"))
            marks += [
                charts.Mark(frame.level(value), "threshold", owner, f"Threshold {number(value)}")
                for value, owner in levels.items()
            ]
            plots.append(charts.Plot(frame, tuple(marks), x_words=False))
            top += _HEIGHT + _GAP
        rows = charts.axis([0, len(starts)], "", most=1)
        volumes = volumes_axis(n, "Volume")
        stripes = charts.Frame(LEFT, top, width, _STRIPE * len(starts), volumes, rows)
        chart = charts.chart_of(plots, charts.WIDTH, int(top + stripes.height + 40), alt)
        marks, labels = [*chart.marks], [*chart.labels]
        for row, (strategy, first) in enumerate(starts.items()):
            lane = charts.Frame(LEFT, top + row * _STRIPE + 1, width, _STRIPE - 2, volumes, rows)
            marks.append(charts.Mark(lane.columns([0], [n]), "lane", strategy))
            path, name = lane.columns(first, first + 1), charts.shorten(strategy, 17)
            marks.append(charts.Mark(path, f"stripe {styles[strategy]}", strategy))
            labels.append(charts.Label(LEFT - 6, lane.top + 10, name, "end", "name"))
        labels += stripes.x_marks()[1]
        return replace(chart, marks=tuple(marks), labels=tuple(labels))


def motion_block(run: Run, links: Links) -> Block | None:
    """Charts of motion; None for several runs together."""
    if not run.files.outliers:
        return None
    motion = Motion.of(run, links)
    words, legend = [], []
    for measure, course in motion.courses.items():
        if np.isfinite(course).any():
            known = np.nanmean(course), np.nanmax(course)
            mean, highest = (f"{number(float(value))}{measure.unit}" for value in known)
            at = f"at volume {np.nanargmax(course)}"
            words.append(f"{measure.name}: mean {mean}, highest {highest} {at}.")
        else:
            words.append(f"{measure.name} is not known.")
    caption = words.copy()
    if free := [s for s, flags in motion.censored.items() if not flags.any()]:
        caption.append(f"No volume is censored by {listing(free)}.")
    caption.append("Volumes are counted from 0.")
    for s, flags in motion.censored.items():
        words.append(f"{s} leaves out {count(int(flags.sum()), 'volume')} of {len(flags)}.")
        if flags.any():
            legend.append(charts.Key(f"swatch {run.styles[s]}", f"censored by {s}", s))
    if any(map(motion.levels, MEASURES)):
        legend.append(charts.Key("threshold", "threshold"))
    chart = motion.chart(run.styles, " ".join(words))
    graphic = Graphic(chart, " ".join(caption), legend=tuple(legend))
    return Block("Motion and censoring", (graphic,), () if motion.courses else (_NO_COURSES,))


def _read_columns(path: Path, wanted: Sequence[str]) -> dict[str, FloatArray]:
    """Some columns of a table, whose names may have blanks around them."""
    with open_regular(path) as file:
        table = pd.read_csv(
            file, sep="\t", usecols=lambda name: name.strip() in wanted, na_values=[MISSING]
        )
    return {name.strip(): table[name].to_numpy(dtype=np.float64) for name in map(str, table)}


def signal_view(
    seeds: SeedSet, styles: Mapping[str, str]
) -> tuple[list[Block], tuple[str, charts.Raster] | None]:
    """Carpets and spectra after strategies, and name and picture of the carpet before them."""
    known = {s: seeds.series[s] for s in styles if s in seeds.series}
    cleaned = {s: series for s, series in known.items() if series.exclusion is None}
    if not cleaned or seeds.spheres is None:
        return [], None
    shapes = {series.values.shape for series in cleaned.values()}
    before, picture = seeds.uncleaned, None
    if before is not None and {before.values.shape} == shapes:
        kept = np.any([series.kept for series in cleaned.values()], axis=0)
        carpet = matrices.carpet_raster(before.values, seeds.order, _frames(before)[0], kept)
        picture = f"{seeds.anchor}-before", carpet
        title, note = "Series before and after cleaning", ""
        series = {BEFORE: before, **cleaned}
    else:
        before, series, title = None, cleaned, "Series"
        note = " The results do not include the series before cleaning."
    n_volumes, n_spheres = next(iter(shapes))
    rows = "by network" if seeds.order.groups else "in the order of the table"
    note = (
        f"A row for {_each(seeds.noun, n_spheres, matrices.MOST_ROWS)} ({rows}), a column for "
        f"{_each('volume', n_volumes, matrices.MOST_COLUMNS)}; black to white is 2 standard "
        f"deviations below to above the {seeds.noun}'s mean, and orange is missing.{note}"
    )
    graphics = tuple(_carpet(seeds, s, own, before) for s, own in cleaned.items())
    blocks = [Block(title, graphics, (note,))]
    powers = {name: mean_spectrum(own.values, own.kept, own.t_r) for name, own in series.items()}
    spectra = {name: spectrum for name, spectrum in powers.items() if spectrum is not None}
    if spectra.keys() - {BEFORE}:
        graphic = _spectra(spectra, seeds.noun, styles)
        blocks.append(Block("Power spectra before and after cleaning", (graphic,)))
    return blocks, picture


def _each(thing: str, n: int, most: int) -> str:
    together = matrices.per_pixel(n, most)
    return f"each {thing}" if together == 1 else f"the mean of {together} {thing}s"


def _frames(series: Series) -> tuple[charts.Frame, charts.Frame]:
    """Places of the carpets before and after cleaning."""
    n_volumes, n_spheres = series.values.shape
    width = (charts.WIDTH - LEFT - RIGHT - _BETWEEN) / 2
    # Rows of few spheres would be too high to look like rows.
    height = float(min(_CARPET, max(_LEAST, 16 * n_spheres)))
    x = volumes_axis(n_volumes, f"Volume (one every {number(series.t_r)} s)", most=6)
    before = charts.Frame(LEFT, _TITLE, width, height, x, charts.Axis(0, n_spheres))
    return before, replace(before, left=LEFT + width + _BETWEEN)


def _carpet(seeds: SeedSet, strategy: str, series: Series, before: Series | None) -> Graphic:
    """Series after a strategy, beside the stored picture of those before."""
    n_volumes, n_spheres = series.values.shape
    missing = int((~np.isfinite(series.values[series.kept])).all(axis=0).sum())
    words = (
        f"{n_spheres - missing:,} series in {count(int(series.kept.sum()), 'volume')} "
        f"of {n_volumes:,}, after {strategy}."
    )
    frame, right = _frames(series)
    panels, compared = [], ""
    if before is not None:
        place = frame.left, frame.top, frame.width, frame.height
        raster = charts.Raster(f"#{seeds.anchor}-before", *place)
        panels, frame = [matrices.Panel(raster, frame, "before cleaning")], right
        earlier = shared_variance(before.values[series.kept])
        compared = "" if earlier is None else f", {percent(earlier)} before cleaning"
    shared = shared_variance(series.values[series.kept])
    if shared is not None and n_spheres > 1:
        words += f" Their mean explains {percent(shared)} of their variance{compared}."
    raster = matrices.carpet_raster(series.values, seeds.order, frame)
    panels.append(matrices.Panel(raster, frame, f"after {charts.shorten(strategy, 30)}"))
    return Graphic(matrices.carpets(panels, seeds.order, words), words, strategy, strategy)


def shared_variance(values: FloatArray) -> float | None:
    """Share of the variance of series, (T, S), each scaled to 1, that their mean explains."""
    values = values[:, np.isfinite(values).all(axis=0)] if len(values) else values
    if len(values) < 3 or not values.size:
        return None
    values = values - values.mean(axis=0)
    norms = np.linalg.norm(values, axis=0)
    values = values[:, norms > 0] / norms[norms > 0]
    mean = values.mean(axis=1)
    length = float(np.linalg.norm(mean))
    loadings = mean @ values / (length or 1.0)
    return float(loadings @ loadings / max(values.shape[1], 1))


def _spectra(spectra: Mapping[str, Spectrum], noun: str, styles: Mapping[str, str]) -> Graphic:
    highest = max(float(s.frequencies[-1]) for s in spectra.values())
    x = charts.axis([0, highest], "Frequency (Hz)", zero=True, most=10)
    densities = np.concatenate([s.density for s in spectra.values()])
    y = charts.axis(densities, "Power (1/Hz)", zero=True, room=0.05, most=5)
    frame = charts.Frame(LEFT, 8, charts.WIDTH - LEFT - RIGHT, _SPECTRUM, x, y)
    marks, legend, sentences = [], [], []
    for name, spectrum in spectra.items():
        of = "" if name == BEFORE else name
        look = f"line {styles[name]}" if of else "before"
        marks.append(charts.Mark(frame.line(spectrum.frequencies, spectrum.density), look, of))
        legend.append(charts.Key(look, name, of))
        power = spectrum.density / spectrum.density.sum()
        which = np.digitize(spectrum.frequencies, BORDERS)
        below, middle, above = (percent(power[which == i].sum()) for i in range(3))
        sentences.append(
            f"{name}: {below} of the power below 0.01 Hz, {middle} from 0.01 to 0.1 Hz, "
            f"{above} above."
        )
    words = " ".join(sentences)
    caption = (
        f"{words} Mean over {noun}s, each series of variance 1, from the volumes that are kept "
        "(Lomb-Scargle periodogram)."
    )
    chart = charts.chart_of([charts.Plot(frame, tuple(marks))], charts.WIDTH, _SPECTRUM + 56, words)
    return Graphic(chart, caption, legend=tuple(legend))


def periodogram(times: FloatArray, series: FloatArray, frequencies: FloatArray) -> FloatArray:
    """Lomb-Scargle periodogram, (F, S), of series, (T, S), without mean, at irregular times, s.

    At every frequency, Hz and above 0, a sine and a cosine are fitted, shifted in time so that they
    are orthogonal (Scargle 1982, equation 10, doi:10.1086/160554). `scipy.signal.lombscargle` gives
    the same for one series at a time.
    """
    angles = 2 * np.pi * frequencies[:, None] * times
    shift = np.arctan2(np.sin(2 * angles).sum(axis=1), np.cos(2 * angles).sum(axis=1)) / 2
    shifted = angles - shift[:, None]
    power = np.zeros((len(frequencies), series.shape[1]))
    for wave in (np.cos(shifted), np.sin(shifted)):
        weight = (wave**2).sum(axis=1)[:, None]
        # At the Nyquist frequency one of the two waves is zero at all times.
        fits = weight > 1e-9 * len(times)
        power += np.where(fits, (wave @ series) ** 2 / np.where(fits, weight, 1.0), 0.0) / 2
    return power


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean power of several series."""

    frequencies: FloatArray  # (F,), Hz
    density: FloatArray  # (F,); Per Hz; its integral is 1


def mean_spectrum(series: FloatArray, kept: BoolArray, t_r: float) -> Spectrum | None:
    """Mean power over series, (T, S), of variance 1; NaN for missing ones and all but `kept`, (T,).

    None when there are fewer than 8 volumes or no series.
    """
    values, n = series[kept], len(series)
    if len(values) < 8:
        return None
    deviation = values.std(axis=0)
    varies = deviation > 0  # not where a value is missing
    if not varies.any():
        return None
    values = values[:, varies] - values[:, varies].mean(axis=0)
    values /= deviation[varies]
    frequencies = np.arange(1, n // 2 + 1, dtype=np.float64) / (n * t_r)
    times = np.flatnonzero(kept).astype(np.float64) * t_r
    power = periodogram(times, values, frequencies).mean(axis=1)
    every = matrices.per_pixel(len(frequencies), MOST_FREQUENCIES)
    if every > 1:
        n_full = len(frequencies) // every * every
        both = np.stack([frequencies[:n_full], power[:n_full]])
        frequencies, power = both.reshape(2, -1, every).mean(axis=2)
    return Spectrum(frequencies, power / (power.sum() * (frequencies[1] - frequencies[0])))
