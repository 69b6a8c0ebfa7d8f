"""Matrices of pairs and carpets of series as pictures: one pixel per value, names beside.

The values of a matrix go into the page as integers, so that a script can show that of each pair
without an element per pair.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bids_spheres.reports.toolkit import charts
from bids_spheres.reports.toolkit.figures import png_uri
from bids_spheres.reports.toolkit.render import Graphic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine.arrays import BoolArray, FloatArray

MISSING = 255  # Palette index of missing values

_ANCHORS = np.array(
    [
        *[(8, 48, 107), (33, 113, 181), (107, 174, 214), (198, 219, 239), (247, 247, 247)],
        *[(253, 208, 190), (251, 136, 97), (215, 48, 39), (103, 0, 13)],
    ]
)
# Rows above which a matrix has the whole column, and up to which its values are written in it
_LARGE, _SMALL = 100, 12
_LONGEST_NAME = 20  # Letters beside a matrix
_MOST_NAMES = 24  # Seeds up to which each has its name beside a matrix
SIGNIFICANT = 0.05  # Corrected p below which a pair counts as related
# Rows from which on values are rounded to the decimals shown, where these fit into a byte
_MANY = 400
_PLACES = np.linspace(0, len(_ANCHORS) - 1, 255)
_CHANNELS = [np.interp(_PLACES, range(len(_ANCHORS)), channel) for channel in _ANCHORS.T]
# Red, green and blue of 255 colours from blue over white to red, and of missing, (256, 3)
DIVERGING = np.rint([*np.stack(_CHANNELS, axis=1), (138, 143, 150)]).astype(np.uint8)


class Packed(NamedTuple):
    """Upper triangle of a matrix with the diagonal, row by row, as the page's script reads it."""

    values: str  # Little-endian integers in base64; the lowest stands for a missing value
    step: float  # Value of the integer 1
    bytes: int  # Of an integer: 1 or 2


@dataclass(frozen=True)
class PairValues:
    """Values of a matrix that a pointer or the keyboard shows."""

    packed: Packed
    n: int  # Rows
    more: str = ""  # Further values of each pair, as JSON; see `Layer`


@dataclass(frozen=True, eq=False)
class Layer:
    """A further value of every pair, shown with the first."""

    label: str
    values: FloatArray  # (S, S); Symmetric
    digits: int = 2  # Decimals shown
    # Show values that round to 0 as less than the last decimal, e.g. "< 0.001".
    probability: bool = False


@dataclass(frozen=True)
class Beside:
    """Names to the left of a matrix and below it."""

    groups: tuple[charts.Group, ...] = ()  # Blocks of rows
    names: tuple[str, ...] = ()  # Names of rows, instead of those of blocks, where each has room


def pairs(matrix: FloatArray) -> FloatArray:
    """Values above the diagonal, row by row."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def known_pairs(matrix: FloatArray) -> FloatArray:
    """Values above the diagonal that are not missing."""
    values = pairs(matrix)
    return values[np.isfinite(values)]


def per_pixel(n: int, most: int) -> int:
    """How many of `n` rows or columns share a pixel where there is room for `most`."""
    return -(-n // most)


def block_means(values: FloatArray, most_rows: int, most_columns: int) -> FloatArray:
    """Means of blocks of neighbours for at most so many pixels; NaN where all are missing."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0), known.astype(np.float64)
    for axis, most in enumerate((most_rows, most_columns)):
        n = values.shape[axis]
        starts = np.arange(0, n, per_pixel(n, most) or 1)
        if 0 < len(starts) < n:
            sums, counts = (np.add.reduceat(part, starts, axis=axis) for part in (sums, counts))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def colour_limit(matrices: Sequence[FloatArray], at_least: float = 0.1) -> float:
    """Value of the strongest colour: the 99th percentile of all pairs, rounded up.

    >>> colour_limit([np.array([[1.0, -0.43], [-0.43, 1.0]])])
    0.5
    """
    known = np.abs(np.concatenate([np.empty(0), *map(known_pairs, matrices)]))
    high = max(float(np.percentile(known, 99)), at_least) if known.size else 1.0
    power = 10.0 ** np.floor(np.log10(high))
    return float(f"{np.ceil(high / power - 1e-9) * power:.6g}")


def palette_codes(values: FloatArray, limit: float) -> NDArray[np.uint8]:
    """Indices into `DIVERGING`; values beyond `limit` have the strongest colour."""
    share = np.clip(np.nan_to_num(values / limit), -1, 1)
    codes = np.rint(127 + 127 * share).astype(np.uint8)
    codes[~np.isfinite(values)] = MISSING
    return codes


def packed(values: FloatArray, digits: int = 2) -> Packed:
    """Values of a symmetric matrix, (S, S), that are shown with so many decimals, for the page."""
    upper = values[np.triu_indices(len(values))]
    known = np.isfinite(upper)
    highest = float(np.abs(upper[known]).max(initial=0.0))
    kind: np.dtype[np.signedinteger] = np.dtype("<i2")
    step = highest / np.iinfo(kind).max or 1.0
    if len(values) >= _MANY and highest <= 10.0**-digits * np.iinfo("i1").max:
        kind, step = np.dtype("i1"), 10.0**-digits
    whole = np.full(len(upper), np.iinfo(kind).min, dtype=kind)
    whole[known] = np.rint(upper[known] / step)
    return Packed(base64.b64encode(whole.tobytes()).decode("ascii"), step, kind.itemsize)


def matrix_graphic(
    values: FloatArray,
    limit: float,
    beside: Beside,
    caption: str,
    *,
    strategy: str,
    row_names: str,
    blank: BoolArray | None = None,
    layers: Sequence[Layer] = (),
) -> Graphic:
    """A symmetric matrix, (S, S), after a strategy, with names beside it and a scale below.

    `limit` has the strongest colour; cells that are `blank`, (S, S), are white and have no number.
    `row_names` identifies the list of names of rows in the page.
    """
    chart = _matrix_chart(values, limit, beside, caption, blank)
    more = [
        {
            "label": layer.label,
            **packed(layer.values, layer.digits)._asdict(),
            "digits": layer.digits,
            "probability": layer.probability,
        }
        for layer in layers
    ]
    pair_values = PairValues(packed(values), len(values), json.dumps(more) if more else "")
    return Graphic(chart, caption, strategy, strategy, matrix=pair_values, words=row_names)


def seed_matrix(
    values: FloatArray,
    order: charts.Order,
    names: Sequence[str],
    caption: str,
    *,
    tested: Layer | None = None,
    layers: Sequence[Layer] = (),
    **about: Any,
) -> Graphic:
    """`matrix_graphic` of seeds by network, with names beside it where they are few.

    `values` and `layers` are (S, S) in the order of tables, as `names`. All pairs are above the
    diagonal, and where they are `tested`, only those with a p below the limit below it. `about` are
    further arguments of `matrix_graphic`.
    """
    by_network = np.ix_(order.indices, order.indices)
    first = () if tested is None else (tested,)
    own = [replace(layer, values=layer.values[by_network]) for layer in (*first, *layers)]
    ordered = values[by_network]
    blank = None
    if tested is not None:
        lower = np.tri(len(ordered), k=-1, dtype=bool)
        blank = lower & np.isfinite(ordered) & ~(own[0].values < SIGNIFICANT)
    beside = Beside(order.groups, order.arranged(names) if len(names) <= _MOST_NAMES else ())
    return matrix_graphic(ordered, beside=beside, caption=caption, blank=blank, layers=own, **about)


def _matrix_chart(
    values: FloatArray, limit: float, beside: Beside, alt: str, blank: BoolArray | None
) -> charts.Chart:
    n, top = len(values), 6
    each = tuple(charts.Group(name, i, i + 1) for i, name in enumerate(beside.names))
    groups = each or beside.groups
    letters = min(max((len(group.name) for group in groups), default=0), _LONGEST_NAME)
    room = round(7.2 * letters)
    left, below = (max(40, 20 + room), 14 + room) if groups else (40, 16)
    width = charts.WIDTH if n > _LARGE else charts.HALF
    side = width - left - 8
    floor, scale = top + side, top + side + below + 12
    coloured = values if blank is None else np.where(blank, 0.0, values)
    codes = palette_codes(block_means(coloured, 2 * side, 2 * side), limit)
    colours = png_uri(np.arange(255, dtype=np.uint8)[None], DIVERGING)
    rasters = (
        charts.Raster(png_uri(codes, DIVERGING), left, top, side, side, smooth=len(codes) > side),
        charts.Raster(colours, left, scale, side, 8),
    )
    frame = charts.Frame(left, top, side, side, charts.Axis(0, n), charts.Axis(0, n))
    marks: list[charts.Mark] = []
    labels: list[charts.Label] = []
    for is_below in (False, True) if groups else ():
        brackets, names = charts.names_beside(groups, frame, letters, below=is_below)
        marks += brackets
        labels += names
    if not groups:
        rows = [1, *map(int, charts.round_ticks(2, n, 6))] if n > 2 else range(1, n + 1)
        for row in rows:
            middle = side * (row - 0.5) / n
            labels.append(charts.Label(left - 6, top + middle + 4, str(row), "end"))
            labels.append(charts.Label(left + middle, floor + 14, str(row)))
    edges = (side * group.start / n for group in beside.groups[1:])
    lines = (f"M{left:.1f},{top + at:.1f}h{side}M{left + at:.1f},{top:.1f}v{side}" for at in edges)
    marks.append(charts.Mark("".join(lines), "divide"))
    if n <= _SMALL:
        numbered = values if blank is None else np.where(blank, np.nan, values)
        labels += _numbers(numbered, limit, frame)
    labels += (
        charts.Label(left, scale + 21, charts.tick_text(-limit), "start"),
        charts.Label(left + side / 2, scale + 21, "0"),
        charts.Label(left + side, scale + 21, charts.tick_text(limit), "end"),
    )
    return charts.Chart(width, scale + 28, alt, tuple(marks), tuple(labels), rasters)


def _numbers(values: FloatArray, limit: float, frame: charts.Frame) -> Iterator[charts.Label]:
    """Values in the cells of a matrix, bright on strong colours."""
    step = frame.width / len(values)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.3g}" if abs(value) >= 0.995 else f"{value:.2f}".replace("0.", ".")
            if value and abs(value) < 0.005:
                text = f"{value:.1g}".replace("0.", ".")
            style = "cell-bright" if abs(value) > 0.62 * limit else "cell"
            across, down = frame.left + step * (j + 0.5), frame.top + step * (i + 0.5) + 3
            yield charts.Label(across, down, text.replace("-", "\N{MINUS SIGN}"), style=style)


MOST_ROWS, MOST_COLUMNS = 264, 308  # Pixels of the picture: room in half the width of a page
_N_GREYS = 32
_REACH = 2.0  # Standard deviations from black to white
_SHADES = np.repeat(np.linspace(0, 255, _N_GREYS)[:, None], 3, axis=1)
# Greys from black to white, and the colour of missing values
GREYS = np.rint([*_SHADES, (201, 120, 32)]).astype(np.uint8)


def carpet_codes(series: FloatArray, typical: BoolArray | None = None) -> NDArray[np.uint8]:
    """Indices into `GREYS`, (S', T'): series, (T, S), from -2 to 2 standard deviations.

    Mean and standard deviation are those of the `typical` volumes, (T,). Neighbours are averaged
    into one pixel where there are more than a screen shows.
    """
    known = np.isfinite(series)
    counted = known if typical is None else known & typical[:, None]
    counts = np.maximum(counted.sum(axis=0), 1)
    centred = series - np.where(counted, series, 0.0).sum(axis=0) / counts
    squares = np.where(counted, centred**2, 0.0).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(counts - 1, 1))
    scaled = np.where(known, centred / np.where(deviation > 0, deviation, 1.0), np.nan)
    shown = block_means(scaled.T, MOST_ROWS, MOST_COLUMNS)
    share = np.clip(np.nan_to_num(shown) / (2 * _REACH) + 0.5, 0, 1)
    codes = np.rint(share * (_N_GREYS - 1)).astype(np.uint8)
    codes[np.isnan(shown)] = _N_GREYS
    return codes


@dataclass(frozen=True)
class Panel:
    """One of several carpets of the same spheres."""

    picture: charts.Raster  # Of `carpet_raster`, or a reference to such a picture in the page
    time: charts.Frame  # Its place; the x axis is in volumes, the y axis in spheres
    title: str = ""  # Text above it


def carpets(panels: Sequence[Panel], order: charts.Order, alt: str) -> charts.Chart:
    """Carpets of the same spheres, in an order, side by side; networks beside the first."""
    last = panels[-1].time
    marks, labels = charts.names_beside(order.groups, panels[0].time, letters=17)
    for panel in panels:
        time = panel.time
        row = time.height / max(len(order.indices), 1)
        edges = (time.top + row * group.start for group in order.groups[1:])
        dividers = (f"M{time.left:.1f},{edge:.1f}h{time.width:.1f}" for edge in edges)
        title = charts.Label(time.left + time.width / 2, time.top - 6, panel.title, style="name")
        marks += (charts.Mark("".join(dividers), "divide-light"),)
        labels += (*time.x_marks()[1], title) if panel.title else time.x_marks()[1]
    size = int(last.left + last.width + 16), int(last.top + last.height + 38)
    return charts.Chart(*size, alt, marks, labels, tuple(panel.picture for panel in panels))


def carpet_raster(
    series: FloatArray, order: charts.Order, time: charts.Frame, typical: BoolArray | None = None
) -> charts.Raster:
    """Carpet of series, (T, S), NaN where missing or censored, that fills a frame."""
    uri = png_uri(carpet_codes(series[:, order.indices], typical), GREYS)
    return charts.Raster(uri, time.left, time.top, time.width, time.height)


def volumes_axis(n: int, label: str = "", most: int = 10) -> charts.Axis:
    """Axis of `n` volumes, the first from 0 to 1."""
    return charts.Axis(0, n, label, charts.round_ticks(0, n, most))
