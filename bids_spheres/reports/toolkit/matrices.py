"""Matrices over pairs to pictures: one pixel per pair, values for the pointer, names beside.

The picture is a PNG with a palette of its own, blue below zero, pale at zero, red above. The
values under it go into the page as 16-bit integers, so that a script can tell each pair without
a request and without an element per pair.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    HALF,
    Chart,
    Label,
    Mark,
    Raster,
    round_ticks,
    shorten,
    tick_text,
)
from bids_spheres.reports.toolkit.figures import encode_png
from bids_spheres.reports.toolkit.order import Group, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MISSING = 255
"""Index of the palette for values that are missing."""

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
_MANY = 400
"""Rows from which on values have the decimals that are told, where one byte holds these."""
_LINE = 11.5
"""Pixels from one name beside a matrix to the next."""


def _diverging() -> NDArray[np.uint8]:
    places = np.linspace(0, len(_ANCHORS) - 1, 255)
    channels = [np.interp(places, range(len(_ANCHORS)), channel) for channel in _ANCHORS.T]
    colours = np.stack(channels, axis=1)
    return np.asarray(np.rint(np.vstack([colours, _MISSING_COLOUR])), dtype=np.uint8)


DIVERGING = _diverging()
"""Red, green and blue of 255 colours from blue over white to red, and one for missing, (256, 3)."""


@dataclass(frozen=True)
class MatrixPicture:
    """A matrix in a page.

    Parameters
    ----------
    chart : Chart
        Picture and names.
    values : str
        Upper triangle with the diagonal, row by row, as little-endian integers in base64.
    step : float
        What 1 stands for in `values`.
    n : int
        Rows.
    more : str
        What else is told of each pair, as JSON; see `Layer`.
    n_bytes : int
        Of each integer: 1 or 2. The lowest one stands for a missing value.
    """

    chart: Chart
    values: str
    step: float
    n: int
    more: str = ""
    n_bytes: int = 2


@dataclass(frozen=True, eq=False)
class Layer:
    """Another value of every pair, which is told with the first.

    Parameters
    ----------
    label : str
        What it is.
    values : (S, S) array
        Symmetric.
    digits : int
        Decimals that are told.
    probability : bool
        Values that would be told as 0 are told to be below the last decimal.
    """

    label: str
    values: FloatArray
    digits: int = 2
    probability: bool = False

    @property
    def packed(self) -> dict[str, str | float | int]:
        """For the page's script."""
        text, step, n_bytes = packed(self.values, self.digits)
        about = {"digits": self.digits, "probability": self.probability}
        return {"label": self.label, "values": text, "step": step, "bytes": n_bytes, **about}


@dataclass(frozen=True)
class Beside:
    """What stands to the left of a matrix.

    Parameters
    ----------
    groups : tuple of Group
        Blocks of rows with a name.
    names : tuple of str
        Of single rows; used where there are no groups and room for each.
    """

    groups: tuple[Group, ...] = ()
    names: tuple[str, ...] = ()


def colour_limit(matrices: Sequence[FloatArray], at_least: float = 0.1) -> float:
    """Value of the strongest colour for several matrices: 99 of 100 pairs are below.

    Parameters
    ----------
    matrices : sequence of (S, S) arrays
        The diagonal is left out.
    at_least : float

    Examples
    --------
    >>> colour_limit([np.array([[1.0, -0.43], [-0.43, 1.0]])])
    0.5
    """
    pairs = [np.abs(matrix[np.triu_indices(len(matrix), 1)]) for matrix in matrices]
    joined = np.concatenate(pairs) if pairs else np.empty(0)
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


def png_uri(codes: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Data URI of an image of indices, (H, W), into a palette, (N, 3)."""
    return "data:image/png;base64," + base64.b64encode(encode_png(codes, palette)).decode("ascii")


def packed(values: FloatArray, digits: int = 2) -> tuple[str, float, int]:
    """Upper triangle of a symmetric matrix as text, and what its integers are.

    Parameters
    ----------
    values : (S, S) array
    digits : int
        Decimals that are told.

    Returns
    -------
    text : str
        Base64 of little-endian integers; the lowest is missing.
    step : float
        What 1 stands for.
    n_bytes : int
        Of each.
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
    """A symmetric matrix, (S, S), with names beside it and a scale of colours below.

    Parameters
    ----------
    values : (S, S) array
        What is told of each pair.
    limit : float
        Value of the strongest colour.
    beside : Beside
    alt : str
    shown : (S, S) array, optional
        What is coloured instead of `values`; need not be symmetric.
    layers : sequence of Layer
        What else is told.
    """
    text, step, n_bytes = packed(values)
    chart = _chart(values if shown is None else shown, limit, beside, alt)
    more = json.dumps([layer.packed for layer in layers]) if layers else ""
    return MatrixPicture(chart, text, step, len(values), more, n_bytes)


@dataclass(frozen=True)
class Square:
    """Where a matrix is in its chart, pixels."""

    left: float
    top: float
    side: float


_WITH_NAMES, _WITH_NUMBERS = Square(118, 6, HALF - 118 - 8), Square(40, 6, HALF - 40 - 8)


def _chart(values: FloatArray, limit: float, beside: Beside, alt: str) -> Chart:
    groups = beside.groups or _rows_as_groups(beside.names)
    at = _WITH_NAMES if groups else _WITH_NUMBERS
    floor = at.top + at.side
    codes = palette_codes(_averaged(values, int(2 * at.side)), limit)
    image = Raster(
        *(png_uri(codes, DIVERGING), at.left, at.top, at.side, at.side),
        smooth=len(codes) > at.side,
    )
    scale = Raster(_scale_uri(), at.left, floor + 16, at.side, 8)
    marks, labels = _names(groups, at, len(values)) if groups else ((), _counts(at, len(values)))
    lines = _dividers(beside.groups, at, len(values))
    ends = _scale_words(limit, at)
    return Chart(HALF, int(floor) + 44, alt, (*marks, *lines), (*labels, *ends), (image, scale))


def _averaged(values: FloatArray, most: int) -> FloatArray:
    """Means of square blocks of a matrix with more than `most` rows, of known values alone.

    All blocks have one size but the last ones, which may be narrower than a pixel says.
    """
    every = -(-len(values) // most)
    if every == 1:
        return values
    starts, known = np.arange(0, len(values), every), np.isfinite(values)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(part, starts, axis=0), starts, axis=1)
        for part in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _scale_words(limit: float, at: Square) -> tuple[Label, ...]:
    down = at.top + at.side + 37
    return (
        Label(at.left, down, tick_text(-limit), "start"),
        Label(at.left + at.side / 2, down, "0"),
        Label(at.left + at.side, down, tick_text(limit), "end"),
    )


def _scale_uri() -> str:
    return png_uri(np.arange(255, dtype=np.uint8)[None], DIVERGING)


def _names(
    groups: Sequence[Group], at: Square, n: int
) -> tuple[tuple[Mark, ...], tuple[Label, ...]]:
    """Names to the left, and lines that lead to what they name."""
    pixel = at.side / n
    shown = _largest(groups, int(at.side / _LINE))
    middles = [at.top + pixel * (group.start + group.stop) / 2 for group in shown]
    places = spread(middles, _LINE, at.top + 5, at.top + at.side - 3)
    labels, leads = [], []
    for group, place, middle in zip(shown, places, middles, strict=True):
        labels.append(Label(at.left - 14, place + 4, shorten(group.name, 14), "end", "name"))
        leads.append(f"M{at.left - 12},{place:.1f}L{at.left - 3},{middle:.1f}")
    return (Mark("".join(leads), "lead"),), tuple(labels)


def _counts(at: Square, n: int) -> tuple[Label, ...]:
    """Numbers of rows, from 1, where they have no names."""
    rows = [1, *(int(tick) for tick in round_ticks(2, n, 6))] if n > 2 else range(1, n + 1)
    middles = ((row, at.top + at.side * (row - 0.5) / n) for row in rows)
    return tuple(Label(at.left - 6, middle + 4, str(row), "end") for row, middle in middles)


def _dividers(groups: Sequence[Group], at: Square, n: int) -> tuple[Mark, ...]:
    """Lines between groups, across and down."""
    edges = [at.side * group.start / n for group in groups[1:]]
    path = "".join(
        f"M{at.left:.1f},{at.top + edge:.1f}h{at.side}M{at.left + edge:.1f},{at.top:.1f}v{at.side}"
        for edge in edges
    )
    return (Mark(path, "divide"),) if path else ()


def _rows_as_groups(names: tuple[str, ...]) -> tuple[Group, ...]:
    return tuple(Group(name, i, i + 1) for i, name in enumerate(names))


def _largest(groups: Sequence[Group], most: int) -> list[Group]:
    """The groups that get their names, when there is room for `most`."""
    by_size = sorted(groups, key=lambda group: group.start - group.stop)
    return sorted(by_size[:most], key=lambda group: group.start)
