"""Pixels and ink to pictures of a page, without pyplot and without a trace in the user's home.

Design
------
Matplotlib draws lines and letters; images are put under them as ready-made pixels, because
that is ten times faster than its own resampling and shows voxels as they are. One `Sheet` is
drawn as often as one likes, with its lines moved in between.
"""

from __future__ import annotations

import atexit
import base64
import logging
import os
import shutil
import struct
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from numpy.typing import ArrayLike, NDArray

_DPI = 100

_CONFIG = "MPLCONFIGDIR"
"""Environment variable that names matplotlib's folder of settings and caches."""

_LOOK = {
    "agg.path.chunksize": 0,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "font.family": ["DejaVu Sans"],
    "font.style": "normal",
    "font.variant": "normal",
    "font.weight": "normal",
    "path.effects": [],
    "path.sketch": None,
    "text.usetex": False,
}
"""Settings that a user may have changed for other figures, and that ours must not follow."""


def quiet_matplotlib(name: str = "matplotlib") -> ModuleType:
    """Import matplotlib or one of its modules, with its caches in a temporary folder.

    Matplotlib writes a list of fonts to the user's home when it is first imported. Where
    ``MPLCONFIGDIR`` says another place, or matplotlib is loaded already, nothing is changed. A
    place that can't be written to, as that of a container, is read all the same.
    """
    if "matplotlib" not in sys.modules:
        chosen = os.environ.get(_CONFIG)
        if chosen is None or (Path(chosen).is_dir() and not os.access(chosen, os.W_OK)):
            _import_with_copy_of(chosen)
    return import_module(name)


def _import_with_copy_of(chosen: str | None) -> None:
    """Import matplotlib with a folder of its own, which is gone afterwards.

    Matplotlib takes no folder that it can't write to, not even to read a list of fonts from it.
    """
    # By this name a later call finds the folder and removes it, should we be killed just here.
    with TemporaryDirectory(prefix=".tmp-bids_spheres-", ignore_cleanup_errors=True) as folder:
        # Should something draw with TeX later, it makes the folder again.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        if chosen is not None:
            shutil.copytree(chosen, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
        os.environ[_CONFIG] = folder
        try:
            # Importing these settles for good where the caches are and fills them.
            with _no_word_of_fonts():
                import_module("matplotlib.font_manager")
        finally:
            # A process started later would look for a folder that is gone by then.
            os.environ.pop(_CONFIG)
            os.environ |= {} if chosen is None else {_CONFIG: chosen}


@contextmanager
def _no_word_of_fonts() -> Iterator[None]:
    """Keep matplotlib from telling, after 5 s, of a wait that is over in the next moment."""
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        yield
    finally:
        fonts.setLevel(level)


def _palette() -> NDArray[np.uint8]:
    greys = np.repeat(np.arange(64)[:, None], 3, axis=1) * 255 / 63
    steps = np.linspace(0, 255, 6), np.linspace(0, 255, 6), np.linspace(0, 255, 5)
    colours = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(np.rint(np.concatenate([greys, colours])), dtype=np.uint8)


PALETTE = _palette()
"""Red, green and blue of 64 greys and 6 x 6 x 5 colours, (244, 3).

Enough for ink over a scan; a third of the file of all colours, and a page may hold a thousand.
"""


@dataclass(frozen=True)
class Picture:
    """An image that a page holds in itself.

    Parameters
    ----------
    src : str
        Data URI.
    width, height : int
        Pixels.
    alt : str
        What the image says, for those who can't see it.
    """

    src: str
    width: int
    height: int
    alt: str


def picture(pixels: NDArray[np.uint8], alt: str, *, small: bool = False) -> Picture:
    """An image from (H, W, 3) pixels, red, green and blue.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
    alt : str
        What the image says, for those who can't see it.
    small : bool
        Only the colours of `PALETTE`: right for greys with some ink over them.
    """
    png = encode_png(palette_indices(pixels) if small else pixels)
    data = base64.b64encode(png).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", pixels.shape[1], pixels.shape[0], alt)


def encode_png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] = PALETTE) -> bytes:
    """PNG file (PNG specification, third edition, W3C 2025).

    Every row is stored as its difference from the row above (filter 2), because voxels are
    several pixels high; that makes files smaller than matplotlib's in a third of its time.

    Parameters
    ----------
    pixels : (H, W, 3) or (H, W) uint8 array
        Red, green and blue; or indices into `palette`.
    palette : (N, 3) uint8 array
        Red, green and blue of up to 256 colours.
    """
    height, width = pixels.shape[:2]
    indexed = pixels.ndim == 2
    header = struct.pack(">IIBBBBB", width, height, 8, 3 if indexed else 2, 0, 0, 0)
    chunks = [
        _png_chunk(b"IHDR", header),
        _png_chunk(b"PLTE", palette.tobytes()) if indexed else b"",
        _png_chunk(b"IDAT", zlib.compress(_filtered_rows(pixels), 6)),
        _png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _filtered_rows(pixels: NDArray[np.uint8]) -> bytes:
    flat = pixels.reshape(len(pixels), -1)
    rows = np.full((len(flat), 1 + flat.shape[1]), 2, dtype=np.uint8)
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    return rows.tobytes()


def palette_indices(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The nearest grey, or a near colour, of `PALETTE` for each of (H, W, 3) pixels."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    indices = np.asarray(red >> 2, dtype=np.uint8)
    coloured = (red != green) | (green != blue)
    r, g, b = (channel[coloured].astype(np.uint16) for channel in (red, green, blue))
    steps = (r + 25) // 51, (g + 25) // 51, (b + 31) // 64
    indices[coloured] = 64 + 30 * steps[0] + 5 * steps[1] + steps[2]
    return indices


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class Sheet:
    """Lines and letters in pixel coordinates, over pixels that may change.

    Parameters
    ----------
    width, height : int
        Pixels; the origin is the upper left corner.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._matplotlib = quiet_matplotlib()
        with self._matplotlib.rc_context(_LOOK):
            self._canvas = _canvas(width, height)
            self._axes: Axes = self._canvas.figure.add_axes((0, 0, 1, 1))
            self._axes.set(xlim=(0, width), ylim=(height, 0))
            self._axes.set_axis_off()

    def line(self, points: ArrayLike = (), **style: Any) -> Line2D:
        """Draw a line through points ((N, 2), pixels; NaN lifts the pen)."""
        across, down = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        # Snapping to whole pixels would move a line by up to half a pixel.
        look = {"linestyle": "solid", "linewidth": 1, "marker": "", "snap": False, **style}
        with self._matplotlib.rc_context(_LOOK):
            (drawn,) = self._axes.plot(across, down, **look)
        return drawn

    def text(self, across: float, down: float, words: str = "", **style: Any) -> Text:
        """Write `words`, with their middle at a place unless `style` says otherwise."""
        look = {"fontsize": 8, "color": "#e6e6e6", "ha": "center", "va": "center", **style}
        with self._matplotlib.rc_context(_LOOK):
            # Names may hold dollar signs; they are no formulas.
            return self._axes.text(across, down, words, parse_math=False, **look)

    def pixels(self, base: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What has been drawn, over `base` ((H, W, 3)), as pixels of the same shape."""
        renderer = self._canvas.get_renderer()
        buffer: NDArray[np.uint8] = np.asarray(renderer.buffer_rgba())
        buffer[..., :3] = base
        buffer[..., 3] = 255
        self._canvas.figure.draw(renderer)
        return buffer[..., :3].copy()


def move(line: Line2D, points: ArrayLike) -> None:
    """Draw `line` through other points ((N, 2), pixels) from now on."""
    line.set_data(*np.asarray(points, dtype=np.float64).reshape(-1, 2).T)


def pen_strokes(strokes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Several lines ((N, 2) each) as one, with the pen lifted in between."""
    lift = np.full((1, 2), np.nan)
    return np.concatenate([part for stroke in strokes for part in (stroke, lift)] or [lift])


def _canvas(width: int, height: int) -> Any:
    figure = quiet_matplotlib("matplotlib.figure").Figure(
        figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="none"
    )
    figure.patch.set_visible(False)
    return quiet_matplotlib("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
