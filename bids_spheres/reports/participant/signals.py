"""Series of a run before and after cleaning, as carpets and spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.participant.motion_charts import LEFT, RIGHT
from bids_spheres.reports.toolkit.carpets import (
    MOST_COLUMNS,
    MOST_ROWS,
    Panel,
    carpet_raster,
    carpets,
    volumes_axis,
)
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
    series_style,
    shorten,
)
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.reports.toolkit.summaries import mean_spectrum, per_pixel
from bids_spheres.wording import NO_BREAK, count, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.outputs.read import Series
    from bids_spheres.reports.participant.load import SeedSet
    from bids_spheres.reports.toolkit.order import Order
    from bids_spheres.reports.toolkit.summaries import Spectrum

    FloatArray = NDArray[np.float64]

_CARPET, _LEAST, _SPECTRUM = MOST_ROWS, 48, 200  # pixels high
_TITLE, _BETWEEN = 20, 22  # pixels above a carpet, and from one to the next

BANDS = ((0.0, 0.01), (0.01, 0.1), (0.1, np.inf))
"""Bands whose share of the power is given, Hz: drift, the range of resting-state networks
(Biswal 1995, doi:10.1002/mrm.1910340409), and higher frequencies."""


@dataclass(frozen=True, eq=False)
class Signals:
    """Series of one seed set that can be shown."""

    seeds: SeedSet
    cleaned: dict[str, Series]  # By strategy, without excluded ones

    @property
    def order(self) -> Order:
        """Order of the rows of carpets."""
        assert self.seeds.order is not None  # noqa: S101 - a run with series has a table of spheres
        return self.seeds.order

    @property
    def before(self) -> Series | None:
        """Series before cleaning, where their shape is that after cleaning."""
        before = self.seeds.uncleaned
        shapes = {series.values.shape for series in self.cleaned.values()}
        return before if before is not None and {before.values.shape} == shapes else None

    @property
    def stored(self) -> str:
        """Identifier of the picture before cleaning, which the page holds once."""
        return f"{self.seeds.anchor}-before"


def signals_of(seeds: SeedSet, strategies: Sequence[str]) -> Signals | None:
    """Series of a seed set that are not excluded; None without any."""
    cleaned = {
        s: seeds.series[s]
        for s in strategies
        if s in seeds.series and seeds.series[s].exclusion is None
    }
    return Signals(seeds, cleaned) if cleaned else None


def picture_before(signals: Signals) -> tuple[str, Raster] | None:
    """Identifier and carpet before cleaning, which the charts of all strategies refer to."""
    if signals.before is None:
        return None
    kept = np.any([series.kept for series in signals.cleaned.values()], axis=0)
    frame, _ = _frames(signals.before)
    return signals.stored, carpet_raster(signals.before.values, signals.order, frame, kept)


def signal_blocks(signals: Signals, strategies: Sequence[str]) -> Iterator[Block]:
    """Carpets and spectra of the strategies that have series."""
    before = signals.before
    series = next(iter(signals.cleaned.values())).values
    spheres = per_pixel(series.shape[1], MOST_ROWS)
    volumes = per_pixel(len(series), MOST_COLUMNS)
    rows = "by network" if signals.order.groups else "in the order of the table"
    note = (
        f"A row for {_each(spheres, 'sphere')} ({rows}), a column for "
        f"{_each(volumes, 'volume')}; black to white is 2 standard deviations below to above the "
        "sphere's mean, and orange is missing."
    )
    if before is None:
        note += " The results do not include the series before cleaning."
    graphics = tuple(_carpet(signals, s, series) for s, series in signals.cleaned.items())
    title = "Series" if before is None else "Series before and after cleaning"
    yield Block(title, graphics, (note,))
    spectra = {
        s: spectrum
        for s, series in signals.cleaned.items()
        if (spectrum := mean_spectrum(series.values, series.kept, series.t_r)) is not None
    }
    if spectra:
        earlier = None
        if before is not None:
            earlier = mean_spectrum(before.values, before.kept, before.t_r)
        yield Block("Power spectra", (_spectra(spectra, earlier, strategies),))


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


def _carpet(signals: Signals, strategy: str, series: Series) -> Graphic:
    n_volumes, n_spheres = series.values.shape
    missing = int((~np.isfinite(series.values[series.kept])).all(axis=0).sum())
    words = (
        f"{count(n_spheres - missing, 'sphere')} in {count(int(series.kept.sum()), 'volume')} "
        f"of {n_volumes:,}, after {strategy}."
    )
    left, right = _frames(series)
    panels = []
    earlier = None
    if signals.before is not None:
        stored = Raster(f"#{signals.stored}", left.left, left.top, left.width, left.height)
        panels = [Panel(stored, left, "before cleaning")]
        earlier = shared_variance(signals.before.values[series.kept])
    shared = shared_variance(series.values[series.kept])
    if shared is not None and n_spheres > 1:
        compared = "" if earlier is None else f", {percent(earlier)} before cleaning"
        words += f" Their mean explains {percent(shared)} of their variance{compared}."
    frame = right if panels else left
    raster = carpet_raster(series.values, signals.order, frame)
    panels.append(Panel(raster, frame, f"after {shorten(strategy, 30)}"))
    return Graphic(carpets(panels, signals.order, words), words, strategy, strategy)


def shared_variance(values: FloatArray) -> float | None:
    """Share of the variance of series, (T, S), each scaled to 1, that their mean explains."""
    values = values[:, np.isfinite(values).all(axis=0)] if len(values) else values
    if len(values) < 3 or not values.size:
        return None
    values = values - values.mean(axis=0)
    norms = np.sqrt((values**2).sum(axis=0))
    values = values[:, norms > 0] / norms[norms > 0]
    mean = values.mean(axis=1)
    length = float(np.sqrt(mean @ mean))
    if not length:
        return 0.0
    loadings = (mean / length) @ values
    return float(loadings @ loadings / values.shape[1])


def _spectra(
    spectra: dict[str, Spectrum], before: Spectrum | None, strategies: Sequence[str]
) -> Graphic:
    highest = max(float(s.frequencies[-1]) for s in spectra.values())
    x = axis([0, highest], "Frequency (Hz)", zero=True, most=10)
    densities = np.concatenate([s.density for s in spectra.values()])
    y = axis(densities, "Power (1/Hz)", zero=True, room=0.05, most=5)
    frame = Frame(LEFT, 8, WIDTH - LEFT - RIGHT, _SPECTRUM, x, y)
    styles = {s: f"line {series_style(i)}" for i, s in enumerate(strategies)}
    marks = tuple(
        Mark(frame.line(spectrum.frequencies, spectrum.density), styles[s], s)
        for s, spectrum in spectra.items()
    )
    described = spectra if before is None else {"Before cleaning": before, **spectra}
    sentences = []
    for name, spectrum in described.items():
        frequencies, power = spectrum.frequencies, spectrum.density / spectrum.density.sum()
        below, middle, above = (
            number(100 * float(power[(frequencies >= low) & (frequencies < high)].sum()), 0)
            for low, high in BANDS
        )
        sentences.append(
            f"{name}: {below}{NO_BREAK}% of the power below 0.01 Hz, {middle}{NO_BREAK}% from 0.01 "
            f"to 0.1 Hz, {above}{NO_BREAK}% above."
        )
    words = " ".join(sentences)
    caption = (
        f"{words} Mean over spheres, each series of variance 1, from the volumes that are kept "
        "(Lomb-Scargle periodogram). The lines are after cleaning."
    )
    legend = tuple(Key(styles[s], s, s) for s in spectra)
    chart = chart_of([Plot(frame, marks)], WIDTH, _SPECTRUM + 56, words)
    return Graphic(chart, caption, legend=legend)
