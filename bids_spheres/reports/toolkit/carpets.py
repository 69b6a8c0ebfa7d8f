"""Series of all spheres as a picture: a row for each sphere, a column for each volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    Axis,
    Chart,
    Frame,
    Label,
    Mark,
    Raster,
    round_ticks,
    shorten,
)
from bids_spheres.reports.toolkit.matrices import png_uri
from bids_spheres.reports.toolkit.order import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.toolkit.order import Order

    FloatArray = NDArray[np.float64]

MOST_ROWS, MOST_COLUMNS = 264, 308
"""Pixels of the picture: what there is room for in half the width of a page."""

_GREYS = 32
_REACH = 2.0
"""Standard deviations from black to white."""

_MISSING_COLOUR = (201, 120, 32)
_LINE = 11.5


def _palette() -> NDArray[np.uint8]:
    greys = np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, axis=1)
    return np.asarray(np.rint(np.vstack([greys, _MISSING_COLOUR])), dtype=np.uint8)


PALETTE = _palette()
"""Greys from black to white, and the colour of what is missing."""


def carpet_codes(series: FloatArray, typical: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Indices into `PALETTE` of series, (T, S): each sphere's from -2 to 2 standard deviations.

    Parameters
    ----------
    series : (T, S) array
    typical : (T,) bool array, optional
        Volumes from which mean and standard deviation are taken; without it all.

    Returns
    -------
    (S', T') uint8 array
        Several neighbours are averaged into one pixel where there are more than a screen shows.
    """
    known = np.isfinite(series)
    counted = known if typical is None else known & typical[:, None]
    counts = np.maximum(counted.sum(axis=0), 1)
    mean = np.where(counted, series, 0.0).sum(axis=0) / counts
    centred = np.where(known, series - mean, 0.0)
    squares = np.where(counted, centred**2, 0.0).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(counts - 1, 1))
    scaled = centred / np.where(deviation > 0, deviation, 1.0)
    scaled[~known] = np.nan
    shown = _binned(_binned(scaled, MOST_COLUMNS).T, MOST_ROWS)
    share = np.clip(np.nan_to_num(shown) / (2 * _REACH) + 0.5, 0, 1)
    codes = np.rint(share * (_GREYS - 1)).astype(np.uint8)
    codes[np.isnan(shown)] = _GREYS
    return codes


def in_one(n: int, most: int) -> int:
    """How many of `n` rows or columns share a pixel, where there is room for `most`."""
    return -(-n // most)


def _binned(values: FloatArray, most: int) -> FloatArray:
    """Means of neighbouring rows, (R', C) of (R, C), not more than `most` rows.

    A single missing value does not make a pixel missing; a pixel without any value is.
    """
    every = in_one(len(values), most)
    if every == 1:
        return values
    starts = np.arange(0, len(values), every)
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known.astype(float), starts)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True)
class Panel:
    """One of several carpets of the same spheres.

    Parameters
    ----------
    picture : Raster
        See `carpet_raster`; or a reference to one that fits.
    time : Frame
        Where it is; its x axis is in volumes.
    title : str
        What stands above it.
    """

    picture: Raster
    time: Frame
    title: str = ""


def carpet(series: FloatArray, order: Order, time: Frame, alt: str) -> Chart:
    """Series as a picture with networks beside it, over a time axis.

    Parameters
    ----------
    series : (T, S) array
        NaN for censored volumes and spheres that are missing.
    order : Order
        Of the rows.
    time : Frame
        Where the picture is; its x axis is in volumes.
    alt : str
    """
    return carpets([Panel(carpet_raster(series, order, time), time)], order, alt)


def carpets(panels: Sequence[Panel], order: Order, alt: str) -> Chart:
    """Carpets of the same spheres side by side, with networks beside the first of them."""
    last = panels[-1].time
    marks, labels = _networks(order, panels[0].time)
    marks += tuple(_dividers(order, panel.time) for panel in panels)
    for panel in panels:
        labels += (*panel.time.x_marks()[1], *_title(panel))
    size = int(last.left + last.width + 16), int(last.top + last.height + 38)
    return Chart(*size, alt, marks, labels, tuple(panel.picture for panel in panels))


def carpet_raster(
    series: FloatArray, order: Order, time: Frame, typical: NDArray[np.bool_] | None = None
) -> Raster:
    """Series, (T, S), as a picture that fills a frame; see `carpet_codes`."""
    uri = png_uri(carpet_codes(series[:, order.indices], typical), PALETTE)
    return Raster(uri, time.left, time.top, time.width, time.height)


def _title(panel: Panel) -> tuple[Label, ...]:
    middle = panel.time.left + panel.time.width / 2
    title = Label(middle, panel.time.top - 6, panel.title, style="name")
    return (title,) if panel.title else ()


def _networks(order: Order, frame: Frame) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
    row = frame.height / max(len(order.indices), 1)
    largest = sorted(order.groups, key=lambda group: group.start - group.stop)
    shown = sorted(largest[: int(frame.height / _LINE)], key=lambda group: group.start)
    middles = [frame.top + row * (group.start + group.stop) / 2 for group in shown]
    places = spread(middles, _LINE, frame.top + 5, frame.top + frame.height - 3)
    labels, leads, edge = [], [], frame.left
    for group, place, middle in zip(shown, places, middles, strict=True):
        labels.append(Label(edge - 14, place + 4, shorten(group.name, 17), "end", "name"))
        leads.append(f"M{edge - 12:.1f},{place:.1f}L{edge - 3:.1f},{middle:.1f}")
    return (Mark("".join(leads), "lead"),), tuple(labels)


def _dividers(order: Order, frame: Frame) -> Mark:
    """Lines between networks."""
    row = frame.height / max(len(order.indices), 1)
    lines = (
        f"M{frame.left:.1f},{frame.top + row * group.start:.1f}h{frame.width:.1f}"
        for group in order.groups[1:]
    )
    return Mark("".join(lines), "divide-light")


def volumes_axis(n: int, label: str = "", most: int = 10) -> Axis:
    """Axis on which the first volume lies between 0 and 1."""
    return Axis(0, n, label, round_ticks(0, n, most))
