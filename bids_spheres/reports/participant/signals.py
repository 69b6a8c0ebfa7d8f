"""Series of a run before and after cleaning, as carpets and spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.participant.motion import LEFT, RIGHT
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

    from bids_spheres.outputs.read import Series
    from bids_spheres.reports.participant.load import SeedSet
    from bids_spheres.reports.toolkit.order import Order
    from bids_spheres.reports.toolkit.summaries import Spectrum

_CARPET, _LEAST, _SPECTRUM = MOST_ROWS, 48, 200  # pixels high
_TITLE, _BETWEEN = 20, 22  # pixels above a carpet, and from one to the next

BANDS = ((0.0, 0.01), (0.01, 0.1), (0.1, np.inf))
"""Frequencies whose share of the power is told, Hz: drift, the range of resting-state networks
(Biswal 1995, doi:10.1002/mrm.1910340409), and what is above."""


@dataclass(frozen=True, eq=False)
class Signals:
    """Series of one seed set that can be shown.

    Parameters
    ----------
    one : SeedSet
    cleaned : mapping of str to Series
        By strategy, without what is excluded.
    """

    one: SeedSet
    cleaned: dict[str, Series]

    @property
    def order(self) -> Order:
        """Of the rows of carpets."""
        assert self.one.order is not None  # noqa: S101 - a run with series has a table of spheres
        return self.one.order

    @property
    def before(self) -> Series | None:
        """Before cleaning, where that fits what is shown after it."""
        before = self.one.uncleaned
        shapes = {series.values.shape for series in self.cleaned.values()}
        return before if before is not None and {before.values.shape} == shapes else None

    @property
    def stored(self) -> str:
        """Identifier of the picture before cleaning, which the page holds once."""
        return f"{self.one.anchor}-before"


def signals_of(one: SeedSet, strategies: Sequence[str]) -> Signals | None:
    """What can be shown of a seed set; None where that is nothing."""
    there = {s: one.series[s] for s in strategies if s in one.series}
    usable = {s: series for s, series in there.items() if series.exclusion is None}
    return Signals(one, usable) if usable else None


def picture_before(signals: Signals) -> tuple[str, Raster] | None:
    """The carpet before cleaning and its identifier; each strategy's chart refers to it."""
    if signals.before is None:
        return None
    kept = np.any([series.kept for series in signals.cleaned.values()], axis=0)
    frame, _ = _frames(signals.before)
    return signals.stored, carpet_raster(signals.before.values, signals.order, frame, kept)


def signal_blocks(signals: Signals, strategies: Sequence[str]) -> Iterator[Block]:
    """Carpets and spectra of the strategies that left series."""
    graphics = [_carpet(signals, s, series) for s, series in signals.cleaned.items()]
    title = "Series" if signals.before is None else "Series before and after cleaning"
    yield Block(title, tuple(graphics), (_carpet_note(signals),))
    spectra = {s: _spectrum(series) for s, series in signals.cleaned.items()}
    known = {s: spectrum for s, spectrum in spectra.items() if spectrum is not None}
    if known:
        before = None if signals.before is None else _spectrum(signals.before)
        yield Block("Power spectra", (_spectra(known, before, strategies),))


def _spectrum(series: Series) -> Spectrum | None:
    return mean_spectrum(series.values, series.kept, series.t_r)


def _carpet_note(signals: Signals) -> str:
    rows = "by network" if signals.order.groups else "in the table's order"
    series = next(iter(signals.cleaned.values())).values
    spheres, volumes = per_pixel(series.shape[1], MOST_ROWS), per_pixel(len(series), MOST_COLUMNS)
    before = (
        " The series before cleaning are not among the results, which an earlier version made."
        if signals.before is None
        else ""
    )
    return (
        f"A row for {_every(spheres, 'sphere')} ({rows}), a column for "
        f"{_every(volumes, 'volume')}; black to white is 2 standard deviations below to above the "
        f"sphere's mean, and orange is missing.{before}"
    )


def _every(n: int, thing: str) -> str:
    return f"each {thing}" if n == 1 else f"the mean of {n} {thing}s"


def _frames(series: Series) -> tuple[Frame, Frame]:
    """Of the carpets before and after cleaning."""
    n_volumes, n_spheres = series.values.shape
    width = (WIDTH - LEFT - RIGHT - _BETWEEN) / 2
    x = volumes_axis(n_volumes, f"Volume (one every {number(series.t_r)} s)", most=6)
    before = Frame(LEFT, _TITLE, width, _height(n_spheres), x, Axis(0, n_spheres))
    return before, replace(before, left=LEFT + width + _BETWEEN)


def _height(n_spheres: int) -> float:
    """Of few spheres no more than what looks like rows."""
    return float(min(_CARPET, max(_LEAST, 16 * n_spheres)))


def _carpet(signals: Signals, strategy: str, series: Series) -> Graphic:
    words, order = _carpet_words(signals, strategy, series), signals.order
    before, after = _frames(series)
    after = before if signals.before is None else after
    shown = Panel(
        carpet_raster(series.values, order, after), after, f"after {shorten(strategy, 30)}"
    )
    if signals.before is None:
        return Graphic(carpets([shown], order, words), words, strategy, strategy)
    stored = Raster(f"#{signals.stored}", before.left, before.top, before.width, before.height)
    earlier = Panel(stored, before, "before cleaning")
    return Graphic(carpets([earlier, shown], order, words), words, strategy, strategy)


def _carpet_words(signals: Signals, strategy: str, series: Series) -> str:
    n_volumes, n_spheres = series.values.shape
    missing = int((~np.isfinite(series.values[series.kept])).all(axis=0).sum())
    return (
        f"{count(n_spheres - missing, 'sphere')} in {count(int(series.kept.sum()), 'volume')} "
        f"of {n_volumes:,}, after {strategy}.{_shared_words(signals, series)}"
    )


def _shared_words(signals: Signals, series: Series) -> str:
    """How alike the series are, after and before; of the same volumes."""
    after = _shared_variance(series)
    if after is None or series.values.shape[1] < 2:
        return ""
    earlier = None if signals.before is None else replace(signals.before, kept=series.kept)
    before = None if earlier is None else _shared_variance(earlier)
    compared = "" if before is None else f", {percent(before)} before cleaning"
    return f" Their mean explains {percent(after)} of their variance{compared}."


def _shared_variance(series: Series) -> float | None:
    """Share of the variance of all series, each scaled to 1, that their mean explains."""
    values = series.values[series.kept]
    values = values[:, np.isfinite(values).all(axis=0)] if len(values) else values
    if len(values) < 3 or not values.size:
        return None
    values = values - values.mean(axis=0)
    norms = np.sqrt((values**2).sum(axis=0))
    values = values[:, norms > 0] / norms[norms > 0]
    mean = values.mean(axis=1)
    length = float(np.sqrt(mean @ mean))
    return (
        float(((mean / length) @ values @ (values.T @ (mean / length))) / values.shape[1])
        if length
        else 0.0
    )


def _spectra(
    spectra: dict[str, Spectrum], before: Spectrum | None, strategies: Sequence[str]
) -> Graphic:
    highest = max(float(s.frequencies[-1]) for s in spectra.values())
    x = axis([0, highest], "Frequency (Hz)", zero=True, most=10)
    y = axis(
        np.concatenate([s.density for s in spectra.values()]),
        "Power (1/Hz)",
        zero=True,
        room=0.05,
        most=5,
    )
    frame = Frame(LEFT, 8, WIDTH - LEFT - RIGHT, _SPECTRUM, x, y)
    styles = {s: series_style(i) for i, s in enumerate(strategies)}
    marks = tuple(
        Mark(frame.line(one.frequencies, one.density), f"line {styles[s]}", s)
        for s, one in spectra.items()
    )
    told = spectra if before is None else {"Before cleaning": before, **spectra}
    words = " ".join(_spectrum_words(s, one) for s, one in told.items())
    chart = chart_of([Plot(frame, marks)], WIDTH, _SPECTRUM + 56, words)
    caption = (
        f"{words} Mean over spheres, each series of variance 1, from the volumes that are kept "
        "(Lomb-Scargle periodogram). The lines are after cleaning."
    )
    legend = tuple(Key(f"line {styles[s]}", s, s) for s in spectra)
    return Graphic(chart, caption, legend=legend)


def _spectrum_words(strategy: str, spectrum: Spectrum) -> str:
    total = spectrum.density.sum()
    below, middle, above = (
        float(spectrum.density[(spectrum.frequencies >= low) & (spectrum.frequencies < high)].sum())
        / total
        for low, high in BANDS
    )
    return (
        f"{strategy}: {_rounded(below)} of the power below 0.01 Hz, {_rounded(middle)} from 0.01 "
        f"to 0.1 Hz, {_rounded(above)} above."
    )


def _rounded(share: float) -> str:
    return f"{number(100 * share, 0)}{NO_BREAK}%"
