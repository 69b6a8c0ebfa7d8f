"""Charts as SVG values: axes, lines, bands and names, in pixels.

The template ``charts.html.j2`` draws them. Colours come from the page's style sheet, by the class
names in `Mark.style`, so that one chart suits light and dark screens and paper.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.data.published import published_strategies
from bids_spheres.engine.seeds import NO_NETWORK, is_network

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import FloatArray, IntArray

# Pixels of a chart that fills the column of a page, and of one of two side by side
WIDTH, HALF = 780, 384
# Line styles in the style sheet, ``series-0`` and so on: 8 colours in two patterns each
N_STYLES = 16
# Strategies that are often compared, whose lines differ most
_FIRST = ("simple", "scrubbing", "24P", "36P")
NAME_HEIGHT = 11.5  # Pixels from one name beside a picture to the next


@dataclass(frozen=True)
class Mark:
    """A path to draw."""

    path: str  # SVG path, pixels
    style: str  # Classes of the style sheet
    of: str = ""  # Strategy it belongs to, which readers can hide; empty: always shown
    title: str = ""  # Text shown under the pointer


@dataclass(frozen=True)
class Raster:
    """An image in a chart."""

    src: str  # Data URI, or ``#`` and the identifier of another image in the page
    left: float  # Pixels
    top: float
    width: float
    height: float
    smooth: bool = False  # Average pixels where the image is shown smaller than it is


@dataclass(frozen=True)
class Label:
    """Text in a chart, centred unless `anchor` is ``"start"`` or ``"end"``."""

    across: float
    down: float
    text: str
    anchor: str = "middle"
    style: str = "tick"
    turned: bool = False


@dataclass(frozen=True)
class Chart:
    """A vector graphic."""

    width: int  # Pixels
    height: int
    alt: str  # What the data show, for screen readers
    marks: tuple[Mark, ...] = ()  # In drawing order
    labels: tuple[Label, ...] = ()
    rasters: tuple[Raster, ...] = ()  # Drawn below all marks


@dataclass(frozen=True)
class Key:
    """A legend entry: the style of a mark and its meaning."""

    style: str
    text: str
    of: str = ""


@dataclass(frozen=True)
class Axis:
    """Values along one side of a frame."""

    low: float  # Values at its ends
    high: float
    label: str = ""
    ticks: tuple[float, ...] = ()

    def share(self, values: ArrayLike) -> FloatArray:
        """Values as shares of the axis, 0 at the low end."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)


def axis(
    values: ArrayLike, label: str, *, zero: bool = False, room: float = 0.0, most: int = 6
) -> Axis:
    """An axis for finite values, from 0 on with `zero`, with at most `most` ticks.

    `room` is the share of the span left free above, and below unless the axis starts at 0.

    >>> axis([0.1, 0.93], "r", zero=True).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low = min(low, 0.0) if zero else low
    # A single value has room of its own size, as an axis up to 1.4 is none for correlations.
    high = high if high > low else low + (abs(low) or 1.0)
    free = room * (high - low)
    low, high = low - (0.0 if zero and low == 0 else free), high + free
    return Axis(low, high, label, round_ticks(low, high, most))


def round_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten in an interval.

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
    # 3 * 0.2 is 0.6000000000000001; adding 0.0 turns -0.0 into 0.0.
    return tuple(float(f"{n * step:.12g}") + 0.0 for n in np.arange(first, last + 1))


@dataclass(frozen=True)
class Frame:
    """A rectangle of a chart with an axis along each side."""

    left: float  # Pixels
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
        """Path through points, with gaps where a value is missing."""
        return polyline(self.across(x), self.down(np.asarray(y, dtype=np.float64)))

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike) -> str:
        """Path around the area between two lines, where both are known."""
        edges = np.array([x, low, high], dtype=np.float64)
        edges = edges[:, np.isfinite(edges).all(axis=0)]
        forth = polyline(self.across(edges[0]), self.down(edges[1]))
        back = polyline(self.across(edges[0][::-1]), self.down(edges[2][::-1]))
        return f"{forth}L{back[1:]}Z" if forth else ""

    def columns(self, starts: ArrayLike, stops: ArrayLike) -> str:
        """Path around columns as high as the frame."""
        pairs = zip(self.across(starts), self.across(stops), strict=True)
        top, floor = f"{self.top:.1f}", f"{self.top + self.height:.1f}"
        return "".join(f"M{a:.1f},{top}H{b:.1f}V{floor}H{a:.1f}Z" for a, b in pairs)

    def level(self, value: float) -> str:
        """Path of a horizontal line at a value of the y axis."""
        down = float(self.down(value))
        return f"M{self.left:.1f},{down:.1f}H{self.left + self.width:.1f}"

    def x_marks(self, *, words: bool = True) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
        """Vertical grid lines, and the tick labels and title below."""
        floor = self.top + self.height
        ticks = [*zip(self.across(self.x.ticks), self.x.ticks, strict=True)]
        grid = "".join(f"M{at:.1f},{self.top:.1f}V{floor:.1f}" for at, _ in ticks)
        labels = [Label(at, floor + 14, tick_text(value)) for at, value in ticks]
        title = Label(self.left + self.width / 2, floor + 32, self.x.label, style="axis")
        return (Mark(grid, "grid"),), (*labels, title) if words else ()

    def y_marks(self) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
        """Horizontal grid lines, and the tick labels and title on the left."""
        ticks = zip(self.down(self.y.ticks), self.y.ticks, strict=True)
        labels = [Label(self.left - 6, at + 4, tick_text(value), "end") for at, value in ticks]
        grid = "".join(map(self.level, self.y.ticks))
        title = Label(14, self.top + self.height / 2, self.y.label, style="axis", turned=True)
        return (Mark(grid, "grid"),), (*labels, title)


@dataclass(frozen=True)
class Plot:
    """A frame and the marks in it."""

    frame: Frame
    marks: tuple[Mark, ...] = ()
    x_words: bool = True  # Write tick labels; off where the frame below has the same axis


def chart_of(plots: Sequence[Plot], width: int, height: int, alt: str) -> Chart:
    """Chart of one or several plots."""
    marks, labels = [], []
    for plot in plots:
        x_grid, x_labels = plot.frame.x_marks(words=plot.x_words)
        y_grid, y_labels = plot.frame.y_marks()
        marks += [*x_grid, *y_grid, *plot.marks]
        labels += [label for label in (*x_labels, *y_labels) if label.text]
    return Chart(width, height, alt, tuple(marks), tuple(labels))


@dataclass(frozen=True)
class Group:
    """Neighbours in an order that belong together: from `start`, up to and without `stop`."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Order:
    """A new order of spheres."""

    indices: IntArray  # (S,); Which sphere is at each place
    groups: tuple[Group, ...] = ()  # Networks; empty when no sphere has one

    def arranged(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of spheres in this order."""
        return tuple(names[i] for i in self.indices)


def network_order(networks: Sequence[str]) -> Order:
    """Networks in the order of their first sphere; spheres without one come last.

    >>> order = network_order(["b", "n/a", "a", "b"])
    >>> order.indices.tolist(), [group.name for group in order.groups]
    ([0, 3, 2, 1], ['b', 'a', 'n/a'])
    """
    names = list(dict.fromkeys(networks))
    if len(names) < 2 and names[:1] in ([], [NO_NETWORK]):
        return Order(np.arange(len(networks)))
    names.sort(key=lambda name: not is_network(name))  # sorting keeps the order of equals
    members = [np.flatnonzero([network == name for network in networks]) for name in names]
    edges = np.cumsum([0, *map(len, members)]).tolist()
    groups = tuple(map(Group, names, edges[:-1], edges[1:]))
    return Order(np.concatenate(members), groups)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising places moved as little as needed to be `gap` apart from `low` to `high`.

    >>> spread([1, 2, 50], 10, 0, 60)
    [1.0, 11.0, 50.0]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(float(place), moved[-1] + gap) if moved else max(float(place), low))
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], high)
        high = moved[i] - gap
    return moved


def names_beside(
    groups: Sequence[Group], frame: Frame, letters: int, *, below: bool = False
) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
    """Brackets to the left of a picture's rows, or below its columns, with names of `letters`.

    Where there is no room for all names, the largest groups have theirs.
    """
    start, length, edge = frame.top, frame.height, frame.left
    if below:
        start, length, edge = frame.left, frame.width, frame.top + frame.height
    row = length / max(frame.y.high, 1)

    def path(points: Sequence[tuple[float, float]]) -> str:
        away, along = np.array(points).T
        return polyline(along, edge + away) if below else polyline(edge - away, along)

    ends = [(start + row * g.start + 1.2, start + row * g.stop - 1.2) for g in groups]
    brackets = [path([(1, first), (5, first), (5, last), (1, last)]) for first, last in ends]
    largest = sorted(groups, key=lambda group: group.start - group.stop)
    named = sorted(largest[: int(length / NAME_HEIGHT)], key=lambda group: group.start)
    middles = [start + row * (group.start + group.stop) / 2 for group in named]
    places = spread(middles, NAME_HEIGHT, start + 5, start + length - 3)
    labels, leads = [], []
    for group, place, middle in zip(named, places, middles, strict=True):
        at = (place + 4, edge + 15) if below else (edge - 15, place + 4)
        labels.append(Label(*at, shorten(group.name, letters), "end", "name", turned=below))
        leads.append(path([(13, place), (5, middle)]))
    return (Mark("".join(leads), "lead"), Mark("".join(brackets), "bracket")), tuple(labels)


def polyline(across: FloatArray, down: FloatArray) -> str:
    """Path through points, pixels.

    >>> polyline(np.array([0, 1, 2, 3]), np.array([5, np.nan, 6, 7.25]))
    'M0,5M2,6L3,7.25'
    """
    words, pen = [], "M"
    for a, d in zip(across.tolist(), down.tolist(), strict=True):
        known = np.isfinite(a) and np.isfinite(d)
        if known:
            words.append(f"{pen}{a:.5g},{d:.5g}" if abs(a) < 1000 else f"{pen}{a:.1f},{d:.1f}")
        pen = "L" if known else "M"
    return "".join(words)


def circles(centres: FloatArray, r: float) -> str:
    """Path of circles around centres, (N, 2), pixels."""
    half = f"a{r:.1f},{r:.1f} 0 1,0 "
    around = f"{half}{2 * r:.1f},0{half}{-2 * r:.1f},0"
    return "".join(f"M{x - r:.1f},{y:.1f}{around}" for x, y in centres.tolist())


def tick_text(value: float) -> str:
    r"""Label of a tick, with a minus sign instead of a hyphen.

    >>> tick_text(-0.2), tick_text(150.0)
    ('\u22120.2', '150')
    """
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def series_style(number: int) -> str:
    """Line style with this number."""
    return f"series-{number % N_STYLES}"


def strategy_styles(strategies: Iterable[str]) -> dict[str, str]:
    """Line style of each strategy, the same on every page.

    A published strategy has its place among all of them, another that of a hash of its name; of
    two with the same place, the later in the alphabet takes the next free one.
    """
    published = [*dict.fromkeys([*_FIRST, *published_strategies()])]
    styles: dict[str, str] = {}
    for name in sorted(set(strategies), key=lambda name: (name not in published, name)):
        place = published.index(name) if name in published else zlib.crc32(name.encode())
        tried = [series_style(place + i) for i in range(N_STYLES)]
        styles[name] = next((style for style in tried if style not in styles.values()), tried[0])
    return styles


def shorten(text: str, most: int) -> str:
    """`text`, cut to `most` letters with an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
