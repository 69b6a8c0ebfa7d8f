"""Cleaned series of a run as carpets and spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.participant_report.motion import LEFT, RIGHT
from bids_spheres.report.carpets import carpet, volumes_axis
from bids_spheres.report.charts import (
    WIDTH,
    Axis,
    Frame,
    Key,
    Mark,
    Plot,
    axis,
    chart_of,
    series_style,
)
from bids_spheres.report.render import Block, Graphic
from bids_spheres.report.summaries import mean_spectrum
from bids_spheres.report.words import NO_BREAK, count, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.participant_report.load import SeedSet
    from bids_spheres.participant_report.tables import Series
    from bids_spheres.report.summaries import Spectrum

_CARPET, _SPECTRUM = 170, 200  # pixels high

BANDS = ((0.0, 0.01), (0.01, 0.1), (0.1, np.inf))
"""Frequencies whose share of the power is told, Hz: drift, the range of resting-state networks
(Biswal 1995, doi:10.1002/mrm.1910340409), and what is above."""


def signal_blocks(one: SeedSet, strategies: Sequence[str]) -> Iterator[Block]:
    """Carpets and spectra of the strategies that left series."""
    there = {s: one.series[s] for s in strategies if s in one.series}
    usable = {s: series for s, series in there.items() if series.exclusion is None}
    carpets = [_carpet(one, s, series) for s, series in usable.items()]
    if carpets:
        yield Block("Cleaned series", tuple(carpets), (_carpet_note(one, "none" in usable),))
    spectra = {s: mean_spectrum(x.values, x.kept, x.t_r) for s, x in usable.items()}
    known = {s: spectrum for s, spectrum in spectra.items() if spectrum is not None}
    if known:
        yield Block("Power spectra", (_spectra(known, strategies),))


def _carpet_note(one: SeedSet, has_raw: bool) -> str:
    rows = "by network" if one.order is not None and one.order.groups else "in the table's order"
    before = "" if has_raw else " The strategy none, if asked for, shows them before cleaning."
    return (
        f"A row for each sphere ({rows}), a column for each volume; black to white is 2 standard "
        f"deviations below to above the sphere's mean, and orange is missing.{before}"
    )


def _carpet(one: SeedSet, strategy: str, series: Series) -> Graphic:
    n_volumes, n_spheres = series.values.shape
    x = volumes_axis(n_volumes, f"Volume (one every {number(series.t_r)} s)")
    frame = Frame(LEFT, 4, WIDTH - LEFT - RIGHT, _CARPET, x, Axis(0, n_spheres))
    words = _carpet_words(strategy, series)
    assert one.order is not None  # noqa: S101 - a run with series has a table of spheres
    return Graphic(carpet(series.values, one.order, frame, words), words, strategy, strategy)


def _carpet_words(strategy: str, series: Series) -> str:
    n_volumes, n_spheres = series.values.shape
    missing = int((~np.isfinite(series.values[series.kept])).all(axis=0).sum())
    shared = _shared_variance(series)
    told = "" if shared is None else f" Their mean explains {percent(shared)} of their variance."
    return (
        f"{count(n_spheres - missing, 'sphere')} in {count(int(series.kept.sum()), 'volume')} "
        f"of {n_volumes}, after {strategy}.{told}"
    )


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


def _spectra(spectra: dict[str, Spectrum], strategies: Sequence[str]) -> Graphic:
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
    words = " ".join(_spectrum_words(s, one) for s, one in spectra.items())
    chart = chart_of([Plot(frame, marks)], WIDTH, _SPECTRUM + 56, words)
    caption = (
        f"{words} Mean over spheres, each series of variance 1, from the volumes that are kept "
        "(Lomb-Scargle periodogram)."
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
