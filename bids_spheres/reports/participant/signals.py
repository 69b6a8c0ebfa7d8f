"""Series of a run before and after cleaning, as carpets and spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.participant.motion_charts import LEFT, RIGHT
from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Axis,
    Frame,
    Key,
    Mark,
    Plot,
    Raster,
    axis,
    chart_of,
    shorten,
)
from bids_spheres.reports.toolkit.matrices import (
    MOST_COLUMNS,
    MOST_ROWS,
    Panel,
    carpet_raster,
    carpets,
    per_pixel,
    volumes_axis,
)
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import NO_BREAK, count, number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.outputs.read import Series
    from bids_spheres.reports.participant.load import SeedSet

_CARPET, _LEAST, _SPECTRUM = MOST_ROWS, 48, 200  # pixels high
_TITLE, _BETWEEN = 20, 22  # pixels above a carpet, and from one to the next

BEFORE = "Before cleaning"
"""Name of the series before cleaning."""

MOST_FREQUENCIES = 160
"""Points of a spectrum that a chart can show."""

BORDERS = (0.01, 0.1)
"""Between bands whose share of the power is given, Hz: drift, the range of resting-state networks
(Biswal 1995, doi:10.1002/mrm.1910340409), and higher frequencies."""


def signal_view(
    seeds: SeedSet, styles: Mapping[str, str]
) -> tuple[list[Block], tuple[str, Raster] | None]:
    """Carpets and spectra of the strategies that are not excluded.

    Also identifier and carpet before cleaning, which the carpets of all strategies refer to.
    """
    known = {s: seeds.series[s] for s in styles if s in seeds.series}
    cleaned = {s: series for s, series in known.items() if series.exclusion is None}
    if not cleaned or seeds.spheres is None:
        return [], None
    shapes = {series.values.shape for series in cleaned.values()}
    before, picture = seeds.uncleaned, None
    if before is not None and {before.values.shape} == shapes:
        kept = np.any([series.kept for series in cleaned.values()], axis=0)
        carpet = carpet_raster(before.values, seeds.order, _frames(before)[0], kept)
        picture = f"{seeds.anchor}-before", carpet
        title, note = "Series before and after cleaning", ""
        series = {BEFORE: before, **cleaned}
    else:
        before, series, title = None, cleaned, "Series"
        note = " The results do not include the series before cleaning."
    n_volumes, n_spheres = next(iter(shapes))
    rows = "by network" if seeds.order.groups else "in the order of the table"
    note = (
        f"A row for {_each(per_pixel(n_spheres, MOST_ROWS), seeds.noun)} ({rows}), a column for "
        f"{_each(per_pixel(n_volumes, MOST_COLUMNS), 'volume')}; black to white is 2 standard "
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


def _each(n: int, thing: str) -> str:
    return f"each {thing}" if n == 1 else f"the mean of {n} {thing}s"


def _frames(series: Series) -> tuple[Frame, Frame]:
    """Places of the carpets before and after cleaning."""
    n_volumes, n_spheres = series.values.shape
    width = (WIDTH - LEFT - RIGHT - _BETWEEN) / 2
    # Rows of few spheres would be too high to look like rows.
    height = float(min(_CARPET, max(_LEAST, 16 * n_spheres)))
    x = volumes_axis(n_volumes, f"Volume (one every {number(series.t_r)} s)", most=6)
    before = Frame(LEFT, _TITLE, width, height, x, Axis(0, n_spheres))
    return before, replace(before, left=LEFT + width + _BETWEEN)


def _carpet(seeds: SeedSet, strategy: str, series: Series, before: Series | None) -> Graphic:
    """Series after a strategy, beside the stored picture of those before."""
    n_volumes, n_spheres = series.values.shape
    missing = int((~np.isfinite(series.values[series.kept])).all(axis=0).sum())
    words = (
        f"{n_spheres - missing:,} series in {count(int(series.kept.sum()), 'volume')} "
        f"of {n_volumes:,}, after {strategy}."
    )
    left, right = _frames(series)
    panels, compared, frame = [], "", left
    if before is not None:
        raster = Raster(f"#{seeds.anchor}-before", left.left, left.top, left.width, left.height)
        panels, frame = [Panel(raster, left, "before cleaning")], right
        earlier = shared_variance(before.values[series.kept])
        compared = "" if earlier is None else f", {percent(earlier)} before cleaning"
    shared = shared_variance(series.values[series.kept])
    if shared is not None and n_spheres > 1:
        words += f" Their mean explains {percent(shared)} of their variance{compared}."
    raster = carpet_raster(series.values, seeds.order, frame)
    panels.append(Panel(raster, frame, f"after {shorten(strategy, 30)}"))
    return Graphic(carpets(panels, seeds.order, words), words, strategy, strategy)


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
    x = axis([0, highest], "Frequency (Hz)", zero=True, most=10)
    densities = np.concatenate([s.density for s in spectra.values()])
    y = axis(densities, "Power (1/Hz)", zero=True, room=0.05, most=5)
    frame = Frame(LEFT, 8, WIDTH - LEFT - RIGHT, _SPECTRUM, x, y)
    marks, legend, sentences = [], [], []
    for name, spectrum in spectra.items():
        of = "" if name == BEFORE else name
        look = f"line {styles[name]}" if of else "before"
        marks.append(Mark(frame.line(spectrum.frequencies, spectrum.density), look, of))
        legend.append(Key(look, name, of))
        power = 100 * spectrum.density / spectrum.density.sum()
        which = np.digitize(spectrum.frequencies, BORDERS)
        below, middle, above = (f"{power[which == i].sum():.0f}{NO_BREAK}%" for i in range(3))
        sentences.append(
            f"{name}: {below} of the power below 0.01 Hz, {middle} from 0.01 to 0.1 Hz, "
            f"{above} above."
        )
    words = " ".join(sentences)
    caption = (
        f"{words} Mean over {noun}s, each series of variance 1, from the volumes that are kept "
        "(Lomb-Scargle periodogram)."
    )
    chart = chart_of([Plot(frame, tuple(marks))], WIDTH, _SPECTRUM + 56, words)
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
    """Mean over spheres of the power of their series, (T, S), each of variance 1.

    NaN stands for missing spheres, and for volumes that are not `kept`, (T,). None when there are
    fewer than 8 volumes or no series.
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
    every = per_pixel(len(frequencies), MOST_FREQUENCIES)
    if every > 1:
        n_full = len(frequencies) // every * every
        both = np.stack([frequencies[:n_full], power[:n_full]])
        frequencies, power = both.reshape(2, -1, every).mean(axis=2)
    return Spectrum(frequencies, power / (power.sum() * (frequencies[1] - frequencies[0])))
