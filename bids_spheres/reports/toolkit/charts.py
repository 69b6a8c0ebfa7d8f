"""Numbers to charts: axes, lines, bands and images as SVG values that the page's style colours.

Design
------
A chart is drawn by the template ``charts.html.j2`` from what is computed here: paths in pixels,
and words. Colours come from the page's style sheet, by the names of `Mark.style`, so that one
chart suits light and dark screens and paper. Nothing here knows HTML or matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

WIDTH = 780
"""Pixels of a chart that fills the column of a page."""

HALF = 384
"""Pixels of one of two charts side by side."""

N_STYLES = 8
"""Kinds of lines that the style sheet tells apart, ``series-0`` and so on."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels along it, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """Something drawn: a path.

    Parameters
    ----------
    path : str
        As in SVG, pixels.
    style : str
        Names of classes of the style sheet.
    of : str
        What it belongs to, if readers can choose among such; empty for all.
    title : str
        What a pointer over it tells.
    """

    path: str
    style: str
    of: str = ""
    title: str = ""


@dataclass(frozen=True)
class Raster:
    """An image in a chart.

    Parameters
    ----------
    src : str
        Data URI, or ``#`` and the identifier of an image elsewhere in the page.
    left, top, width, height : float
        Pixels.
    smooth : bool
        Average pixels of the image where it is shown smaller than it is.
    """

    src: str
    left: float
    top: float
    width: float
    height: float
    smooth: bool = False


@dataclass(frozen=True)
class Label:
    """Words in a chart, from their middle unless `anchor` is ``"start"`` or ``"end"``."""

    across: float
    down: float
    text: str
    anchor: str = "middle"
    style: str = "tick"
    turned: bool = False


@dataclass(frozen=True)
class Chart:
    """A picture in vectors.

    Parameters
    ----------
    width, height : int
        Pixels.
    alt : str
        What the data say, for those who can't see it.
    marks : tuple of Mark
        In the order in which they are drawn.
    labels : tuple of Label
    rasters : tuple of Raster
        Beneath all marks.
    """

    width: int
    height: int
    alt: str
    marks: tuple[Mark, ...] = ()
    labels: tuple[Label, ...] = ()
    rasters: tuple[Raster, ...] = ()


@dataclass(frozen=True)
class Key:
    """An entry of a legend: the style of a mark and what it stands for."""

    style: str
    text: str
    of: str = ""


@dataclass(frozen=True)
class Axis:
    """Values along one side of a frame.

    Parameters
    ----------
    low, high : float
        Values at its ends.
    label : str
    ticks : tuple of float
    """

    low: float
    high: float
    label: str = ""
    ticks: tuple[float, ...] = ()

    def share(self, values: ArrayLike) -> FloatArray:
        """Where values are: 0 at the low end, 1 at the high one."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)


def axis(
    values: ArrayLike, label: str, *, zero: bool = False, room: float = 0.0, most: int = 6
) -> Axis:
    """An axis for finite values, with round ticks.

    Parameters
    ----------
    values : array
    label : str
    zero : bool
        Begin at 0.
    room : float
        Share of the span to leave free above, and below unless that is 0.
    most : int
        Ticks at most.

    Examples
    --------
    >>> axis([0.1, 0.93], "r", zero=True).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8)
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = min(low, 0.0) if zero else low
    if high <= low:
        high = low + 1.0
    free = room * (high - low)
    low, high = low - (0.0 if zero and low == 0 else free), high + free
    return Axis(low, high, label, round_ticks(low, high, most))


def round_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten in an interval, not more than `most`.

    Examples
    --------
    >>> round_ticks(0, 264), round_ticks(-0.3, 0.3, 4)
    ((0.0, 50.0, 100.0, 150.0, 200.0, 250.0), (-0.2, 0.0, 0.2))
    """
    power = 10.0 ** np.floor(np.log10((high - low) / most))
    steps = (factor * power for factor in (1, 2, 5, 10, 20))
    slack = 1e-9 * (high - low)
    for step in steps:
        first, last = np.ceil((low - slack) / step), np.floor((high + slack) / step)
        if last - first + 1 <= most:
            break
    # Rounding takes off what is left of the binary fraction of a step such as 0.2.
    return tuple(float(f"{n * step:.12g}") + 0.0 for n in np.arange(first, last + 1))


@dataclass(frozen=True)
class Frame:
    """A rectangle of a chart in which values are drawn to scale.

    Parameters
    ----------
    left, top, width, height : float
        Pixels.
    x, y : Axis
    """

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    def across(self, values: ArrayLike) -> FloatArray:
        """Pixels from the left of values on the x axis."""
        return self.left + self.width * self.x.share(values)

    def down(self, values: ArrayLike) -> FloatArray:
        """Pixels from the top of values on the y axis."""
        return self.top + self.height * (1 - self.y.share(values))

    def line(self, x: ArrayLike, y: ArrayLike) -> str:
        """Path through points; values that are not finite interrupt it."""
        return polyline(self.across(x), self.down(np.asarray(y, dtype=np.float64)))

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike) -> str:
        """Path around what lies between two lines, finite values alone."""
        edges = np.array([x, low, high], dtype=np.float64)
        edges = edges[:, np.isfinite(edges).all(axis=0)]
        there = polyline(self.across(edges[0]), self.down(edges[1]))
        back = polyline(self.across(edges[0][::-1]), self.down(edges[2][::-1]))
        return f"{there}L{back[1:]}Z" if there else ""

    def columns(self, starts: ArrayLike, stops: ArrayLike) -> str:
        """Path around columns as high as the frame, from values to values on the x axis."""
        pairs = zip(self.across(starts), self.across(stops), strict=True)
        return "".join(
            f"M{a:.1f},{self.top:.1f}H{b:.1f}V{self.top + self.height:.1f}H{a:.1f}Z"
            for a, b in pairs
        )

    def level(self, value: float) -> str:
        """Path of a line across the frame at a value of the y axis."""
        down = float(self.down(value))
        return f"M{self.left:.1f},{down:.1f}H{self.left + self.width:.1f}"

    def x_marks(self, *, words: bool = True) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
        """Grid lines upwards, and the words below."""
        floor = self.top + self.height
        places = self.across(self.x.ticks)
        grid = "".join(f"M{at:.1f},{self.top:.1f}V{floor:.1f}" for at in places)
        labels = [
            Label(at, floor + 14, tick_text(v)) for at, v in zip(places, self.x.ticks, strict=True)
        ]
        title = Label(self.left + self.width / 2, floor + 32, self.x.label, style="axis")
        return (Mark(grid, "grid"),), (*labels, title) if words else ()

    def y_marks(self) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
        """Grid lines across, and the words to the left."""
        places = self.down(self.y.ticks)
        grid = "".join(f"M{self.left:.1f},{at:.1f}H{self.left + self.width:.1f}" for at in places)
        labels = [
            Label(self.left - 6, at + 4, tick_text(v), "end")
            for at, v in zip(places, self.y.ticks, strict=True)
        ]
        title = Label(14, self.top + self.height / 2, self.y.label, style="axis", turned=True)
        return (Mark(grid, "grid"),), (*labels, title)


@dataclass(frozen=True)
class Plot:
    """A frame with what is drawn in it, on the way to a chart.

    Parameters
    ----------
    frame : Frame
    marks : tuple of Mark
    x_words : bool
        Write ticks and label below; not needed where another frame below has the same axis.
    """

    frame: Frame
    marks: tuple[Mark, ...] = field(default=())
    x_words: bool = True

    def pieces(self) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
        """Grid, marks and border; and words."""
        f = self.frame
        x_grid, x_labels = f.x_marks(words=self.x_words)
        y_grid, y_labels = f.y_marks()
        return (*x_grid, *y_grid, *self.marks), (*x_labels, *y_labels)


def chart_of(plots: Sequence[Plot], width: int, height: int, alt: str) -> Chart:
    """One or several plots as a chart."""
    pieces = [plot.pieces() for plot in plots]
    return Chart(
        width,
        height,
        alt,
        marks=tuple(mark for marks, _ in pieces for mark in marks),
        labels=tuple(label for _, labels in pieces for label in labels if label.text),
    )


def polyline(across: FloatArray, down: FloatArray) -> str:
    """Path through points in pixels, with five digits.

    Examples
    --------
    >>> polyline(np.array([0, 1, 2, 3]), np.array([5, np.nan, 6, 7.25]))
    'M0,5M2,6L3,7.25'
    """
    words, pen = [], "M"
    for a, d in zip(across.tolist(), down.tolist(), strict=True):
        if np.isfinite(a) and np.isfinite(d):
            words.append(f"{pen}{a:.5g},{d:.5g}" if abs(a) < 1000 else f"{pen}{a:.1f},{d:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def circles(centres: FloatArray, radii: ArrayLike) -> str:
    """Path of circles, (N, 2) and (N,) pixels."""
    sizes = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(centres))
    words = []
    for (x, y), r in zip(centres.tolist(), sizes.tolist(), strict=True):
        half = f"a{r:.1f},{r:.1f} 0 1,0 "
        words.append(f"M{x - r:.1f},{y:.1f}{half}{2 * r:.1f},0{half}{-2 * r:.1f},0")
    return "".join(words)


def tick_text(value: float) -> str:
    r"""A tick's number, with a minus sign.

    >>> tick_text(-0.2), tick_text(150.0)
    ('\u22120.2', '150')
    """
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def series_style(number: int) -> str:
    """Style of the lines of one of several strategies."""
    return f"series-{number % N_STYLES}"


def shorten(text: str, most: int) -> str:
    """`text`, or its beginning and an ellipsis where it is longer than `most`.

    >>> shorten("Default mode", 8)
    'Default…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
