"""Matrices of pairs as pictures: one pixel per pair, values for the pointer, names beside.

The picture is a PNG with a palette from blue below zero over white to red above. The values under
it go into the page as 16-bit integers, so that a script can show the value of each pair without
an element per pair.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    HALF,
    WIDTH,
    Axis,
    Chart,
    Frame,
    Label,
    Mark,
    Raster,
    names_beside,
    round_ticks,
    tick_text,
)
from bids_spheres.reports.toolkit.figures import png_uri
from bids_spheres.reports.toolkit.order import Group
from bids_spheres.reports.toolkit.summaries import block_means, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MISSING = 255
"""Palette index of missing values."""

_ANCHORS = np.array(
    [
        (8, 48, 107),
        (33, 113, 181),
        (107, 174, 214),
        (198, 219, 239),
        (247, 247, 247),
        (253, 208, 190),
        (251, 136, 97),
        (215, 48, 39),
        (103, 0, 13),
    ],
    dtype=np.float64,
)
_MISSING_COLOUR = (138, 143, 150)
_LARGE, _SMALL = 100, 12
"""Rows above which a matrix has the whole column, and up to which its values are written in it."""

_MANY = 400
"""Rows from which on values are rounded to the decimals shown, where these fit into a byte."""

_PLACES = np.linspace(0, len(_ANCHORS) - 1, 255)
_CHANNELS = [np.interp(_PLACES, range(len(_ANCHORS)), channel) for channel in _ANCHORS.T]
DIVERGING = np.rint([*np.stack(_CHANNELS, axis=1), _MISSING_COLOUR]).astype(np.uint8)
"""Red, green and blue of 255 colours from blue over white to red, and of missing, (256, 3)."""


@dataclass(frozen=True)
class MatrixPicture:
    """A matrix in a page."""

    chart: Chart  # Picture and names
    values: str  # Upper triangle with the diagonal, row by row, as little-endian integers in base64
    step: float  # Value of the integer 1
    n: int  # Rows
    more: str = ""  # Further values of each pair, as JSON; see `Layer`
    n_bytes: int = 2  # Bytes per integer: 1 or 2. The lowest integer stands for a missing value


@dataclass(frozen=True, eq=False)
class Layer:
    """A further value of every pair, shown with the first."""

    label: str
    values: FloatArray  # (S, S); Symmetric
    digits: int = 2  # Decimals shown
    # Show values that round to 0 as less than the last decimal, e.g. "< 0.001".
    probability: bool = False

    @property
    def packed(self) -> dict[str, str | float | int]:
        """Input of the page's script."""
        text, step, n_bytes = packed(self.values, self.digits)
        about = {"digits": self.digits, "probability": self.probability}
        return {"label": self.label, "values": text, "step": step, "bytes": n_bytes, **about}


@dataclass(frozen=True)
class Beside:
    """Names to the left of a matrix and below it."""

    groups: tuple[Group, ...] = ()  # Blocks of rows
    names: tuple[str, ...] = ()  # Names of rows, instead of those of blocks, where each has room


def colour_limit(matrices: Sequence[FloatArray], at_least: float = 0.1) -> float:
    """Value of the strongest colour for several matrices: their 99th percentile, rounded up.

    Diagonals are left out.

    >>> colour_limit([np.array([[1.0, -0.43], [-0.43, 1.0]])])
    0.5
    """
    joined = np.concatenate([np.empty(0), *(np.abs(pairs(matrix)) for matrix in matrices)])
    finite = joined[np.isfinite(joined)]
    high = max(float(np.percentile(finite, 99)), at_least) if finite.size else 1.0
    power = 10.0 ** np.floor(np.log10(high))
    return float(f"{np.ceil(high / power - 1e-9) * power:.6g}")


def palette_codes(values: FloatArray, limit: float) -> NDArray[np.uint8]:
    """Indices into `DIVERGING`; values beyond `limit` have the strongest colour."""
    share = np.clip(np.nan_to_num(values / limit), -1, 1)
    codes = np.rint(127 + 127 * share).astype(np.uint8)
    codes[~np.isfinite(values)] = MISSING
    return codes


def packed(values: FloatArray, digits: int = 2) -> tuple[str, float, int]:
    """Upper triangle of a symmetric matrix, (S, S), of values shown with so many decimals.

    Base64 of little-endian integers, the lowest of which is a missing value; the value of the
    integer 1; bytes per integer.
    """
    upper = values[np.triu_indices(len(values))]
    known = np.isfinite(upper)
    highest = float(np.abs(upper[known]).max(initial=0.0))
    kind: np.dtype[np.signedinteger] = np.dtype("<i2")
    step = highest / np.iinfo(kind).max or 1.0
    if len(values) >= _MANY and highest <= 10.0**-digits * np.iinfo("i1").max:
        kind, step = np.dtype("i1"), 10.0**-digits
    whole = np.full(len(upper), np.iinfo(kind).min, dtype=kind)
    whole[known] = np.rint(upper[known] / step)
    return base64.b64encode(whole.tobytes()).decode("ascii"), step, kind.itemsize


def matrix_picture(
    values: FloatArray,
    limit: float,
    beside: Beside,
    alt: str,
    *,
    shown: FloatArray | None = None,
    layers: Sequence[Layer] = (),
) -> MatrixPicture:
    """A symmetric matrix, (S, S), with names beside it and a colour scale below.

    The strongest colour is that of `limit`; `shown`, (S, S), is coloured instead of the values,
    and need not be symmetric.
    """
    text, step, n_bytes = packed(values)
    chart = _matrix_chart(values if shown is None else shown, limit, beside, alt)
    more = json.dumps([layer.packed for layer in layers]) if layers else ""
    return MatrixPicture(chart, text, step, len(values), more, n_bytes)


def _matrix_chart(values: FloatArray, limit: float, beside: Beside, alt: str) -> Chart:
    n, top = len(values), 6
    groups = tuple(Group(name, i, i + 1) for i, name in enumerate(beside.names)) or beside.groups
    left, below = (128, 122) if groups else (40, 16)
    width = WIDTH if n > _LARGE else HALF
    side = width - left - 8
    floor, scale = top + side, top + side + below + 12
    codes = palette_codes(block_means(values, 2 * side, 2 * side), limit)
    colours = png_uri(np.arange(255, dtype=np.uint8)[None], DIVERGING)
    rasters = (
        Raster(png_uri(codes, DIVERGING), left, top, side, side, smooth=len(codes) > side),
        Raster(colours, left, scale, side, 8),
    )
    frame = Frame(left, top, side, side, Axis(0, n), Axis(0, n))
    marks: list[Mark] = []
    labels: list[Label] = []
    if groups:
        for is_below in (False, True):
            beside_marks, names = names_beside(groups, frame, letters=16, below=is_below)
            marks += beside_marks
            labels += names
    else:
        rows = [1, *(int(tick) for tick in round_ticks(2, n, 6))] if n > 2 else range(1, n + 1)
        for row in rows:
            middle = side * (row - 0.5) / n
            labels.append(Label(left - 6, top + middle + 4, str(row), "end"))
            labels.append(Label(left + middle, floor + 14, str(row)))
    if edges := [side * group.start / n for group in beside.groups[1:]]:
        path = "".join(
            f"M{left:.1f},{top + edge:.1f}h{side}M{left + edge:.1f},{top:.1f}v{side}"
            for edge in edges
        )
        marks.append(Mark(path, "divide"))
    if n <= _SMALL:
        labels += _numbers(values, limit, frame)
    labels += (
        Label(left, scale + 21, tick_text(-limit), "start"),
        Label(left + side / 2, scale + 21, "0"),
        Label(left + side, scale + 21, tick_text(limit), "end"),
    )
    return Chart(width, scale + 28, alt, tuple(marks), tuple(labels), rasters)


def _numbers(values: FloatArray, limit: float, frame: Frame) -> Iterator[Label]:
    """Values in the cells of a matrix, bright on strong colours."""
    step = frame.width / len(values)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.3g}" if abs(value) >= 0.995 else f"{value:.2f}".replace("0.", ".")
            if value and abs(value) < 0.005:
                text = f"{value:.1g}".replace("0.", ".")
            style = "cell-bright" if abs(value) > 0.62 * limit else "cell"
            across, down = frame.left + step * (j + 0.5), frame.top + step * (i + 0.5) + 3
            yield Label(across, down, text.replace("-", "\N{MINUS SIGN}"), style=style)
