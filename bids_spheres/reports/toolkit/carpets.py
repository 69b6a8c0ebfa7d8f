"""Carpet plots: the series of all spheres, a row per sphere and a column per volume."""

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
    names_beside,
    round_ticks,
)
from bids_spheres.reports.toolkit.figures import png_uri
from bids_spheres.reports.toolkit.summaries import block_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.toolkit.order import Order

    FloatArray = NDArray[np.float64]

MOST_ROWS, MOST_COLUMNS = 264, 308
"""Pixels of the picture: room in half the width of a page."""

_GREYS = 32
_REACH = 2.0
"""Standard deviations from black to white."""

_MISSING_COLOUR = (201, 120, 32)

PALETTE = np.rint(
    [*np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, axis=1), _MISSING_COLOUR]
).astype(np.uint8)
"""Greys from black to white, and the colour of missing values."""


def carpet_codes(series: FloatArray, typical: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Indices into `PALETTE`, (S', T'): series, (T, S), from -2 to 2 standard deviations.

    Mean and standard deviation are those of the `typical` volumes, (T,). Neighbours are averaged
    into one pixel where there are more than a screen shows.
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
    shown = block_means(scaled.T, MOST_ROWS, MOST_COLUMNS)
    share = np.clip(np.nan_to_num(shown) / (2 * _REACH) + 0.5, 0, 1)
    codes = np.rint(share * (_GREYS - 1)).astype(np.uint8)
    codes[np.isnan(shown)] = _GREYS
    return codes


@dataclass(frozen=True)
class Panel:
    """One of several carpets of the same spheres."""

    picture: Raster  # From `carpet_raster`, or a reference to such a picture in the page
    time: Frame  # Its place; the x axis is in volumes, the y axis in spheres
    title: str = ""  # Text above it


def carpets(panels: Sequence[Panel], order: Order, alt: str) -> Chart:
    """Carpets of the same spheres, in an order, side by side; networks beside the first."""
    last = panels[-1].time
    marks, labels = names_beside(order.groups, panels[0].time, letters=17)
    for panel in panels:
        time = panel.time
        row = time.height / max(len(order.indices), 1)
        dividers = (
            f"M{time.left:.1f},{time.top + row * group.start:.1f}h{time.width:.1f}"
            for group in order.groups[1:]
        )
        marks += (Mark("".join(dividers), "divide-light"),)
        labels += time.x_marks()[1]
        if panel.title:
            middle = time.left + time.width / 2
            labels += (Label(middle, time.top - 6, panel.title, style="name"),)
    size = int(last.left + last.width + 16), int(last.top + last.height + 38)
    return Chart(*size, alt, marks, labels, tuple(panel.picture for panel in panels))


def carpet_raster(
    series: FloatArray, order: Order, time: Frame, typical: NDArray[np.bool_] | None = None
) -> Raster:
    """Carpet of series, (T, S), that fills a frame; see `carpet_codes`.

    NaN stands for censored volumes and missing spheres.
    """
    uri = png_uri(carpet_codes(series[:, order.indices], typical), PALETTE)
    return Raster(uri, time.left, time.top, time.width, time.height)


def volumes_axis(n: int, label: str = "", most: int = 10) -> Axis:
    """Axis of `n` volumes, the first from 0 to 1."""
    return Axis(0, n, label, round_ticks(0, n, most))
