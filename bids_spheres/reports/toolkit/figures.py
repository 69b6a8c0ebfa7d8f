"""Pixels and ink to pictures of a page, without pyplot and without a trace in the user's home.

Matplotlib draws lines and letters; images lie under them as finished pixels, because that is ten
times faster than its own resampling and shows voxels as they are.
"""

from __future__ import annotations

import atexit
import base64
import io
import logging
import os
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from numpy.typing import ArrayLike, NDArray

    from bids_spheres.engine.arrays import FloatArray

_DPI = 100
DENSITY = 2  # Pixels of an image, across and down, in one of a page: screens show up to so many
# Environment variable that names matplotlib's folder of settings and caches
_CONFIG = "MPLCONFIGDIR"
_LOOK = {
    "agg.path.chunksize": 0,
    "font.family": ["DejaVu Sans"],
    **dict.fromkeys(("font.style", "font.variant", "font.weight"), "normal"),
    **dict.fromkeys(("figure.autolayout", "figure.constrained_layout.use", "text.usetex"), False),
    "path.effects": [],
    "path.sketch": None,
}
"""Settings that a user may have changed for other figures, and that must not change these."""


def quiet_matplotlib(name: str = "matplotlib") -> ModuleType:
    """Import matplotlib or one of its modules, with its caches in a temporary folder.

    Else it writes a list of fonts to the user's home. Where ``MPLCONFIGDIR`` names a writable
    folder, nothing is changed; a read-only one, such as that of a container, is still read.
    """
    if "matplotlib" not in sys.modules:
        chosen = os.environ.get(_CONFIG)
        if chosen is None or (Path(chosen).is_dir() and not os.access(chosen, os.W_OK)):
            _import_with_temporary_caches(chosen)
    return import_module(name)


def _import_with_temporary_caches(chosen: str | None) -> None:
    """Import matplotlib with a copy of the chosen folder, removed when it is loaded.

    Matplotlib takes no folder that it can't write to, not even to read a list of fonts from it.
    """
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    # By this name a later call finds the folder and removes it, should we be killed just here.
    with TemporaryDirectory(prefix=".tmp-bids_spheres-", ignore_cleanup_errors=True) as folder:
        # Should something draw with TeX later, it makes the folder again.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        if chosen is not None:
            shutil.copytree(chosen, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
        os.environ[_CONFIG] = folder
        # After 5 s it warns of a wait for fonts that is over in the next moment.
        fonts.setLevel(logging.ERROR)
        try:
            # This import decides for good where the caches are, and fills them.
            import_module("matplotlib.font_manager")
        finally:
            fonts.setLevel(level)
            # A process started later would look for a folder that is gone by then.
            os.environ.pop(_CONFIG)
            os.environ |= {} if chosen is None else {_CONFIG: chosen}


_GREYS = np.repeat(np.arange(64)[:, None] * 255 / 63, 3, axis=1)
_COLOURS = np.meshgrid(*(np.linspace(0, 255, n) for n in (6, 6, 5)), indexing="ij")
PALETTE = np.rint([*_GREYS, *np.stack(_COLOURS, axis=-1).reshape(-1, 3)]).astype(np.uint8)
"""Red, green and blue of 64 greys and 6 x 6 x 5 colours, (244, 3): a third of the size of all."""


@dataclass(frozen=True)
class Picture:
    """An image that a page holds in itself."""

    src: str  # Data URI
    width: int  # Pixels
    height: int
    alt: str  # What the image says, for those who can't see it


def picture(pixels: NDArray[np.uint8], alt: str, density: int = DENSITY) -> Picture:
    """An image from (H, W, 3) pixels, `density` of which, across and down, are one of the page."""
    height, width = (n // density for n in pixels.shape[:2])
    return Picture(png_uri(palette_indices(pixels)), width, height, alt)


def png_uri(indices: NDArray[np.uint8], palette: NDArray[np.uint8] = PALETTE) -> str:
    """Data URI of a PNG image of (H, W) indices into a palette, (N, 3)."""
    # Not needed before the first figure, and the start of the program must be quick.
    from PIL import Image  # noqa: PLC0415

    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def palette_indices(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The nearest grey, or a near colour, of `PALETTE` for each of (H, W, 3) pixels."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    indices = np.asarray(red >> 2, dtype=np.uint8)
    coloured = (red != green) | (green != blue)
    r, g, b = (channel[coloured].astype(np.uint16) for channel in (red, green, blue))
    steps = (r + 25) // 51, (g + 25) // 51, (b + 31) // 64
    indices[coloured] = 64 + 30 * steps[0] + 5 * steps[1] + steps[2]
    return indices


class Sheet:
    """Lines and letters over pixels that may change, in units of `density` pixels."""

    def __init__(self, width: int, height: int, density: int = 1) -> None:
        self.width, self.height, self.density = width, height, density
        self._matplotlib = quiet_matplotlib()
        with self._matplotlib.rc_context(_LOOK):
            figure = quiet_matplotlib("matplotlib.figure").Figure(
                figsize=(width / _DPI, height / _DPI), dpi=_DPI * density, layout="none"
            )
            figure.patch.set_visible(False)
            agg = quiet_matplotlib("matplotlib.backends.backend_agg")
            self._canvas = agg.FigureCanvasAgg(figure)
            self._axes: Axes = self._canvas.figure.add_axes((0, 0, 1, 1))
            self._axes.set(xlim=(0, width), ylim=(height, 0))
            self._axes.set_axis_off()

    def line(self, points: ArrayLike = (), **style: Any) -> Line2D:
        """Draw a line through points ((N, 2); NaN lifts the pen)."""
        across, down = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        # Snapping to whole pixels would move a line by up to half a pixel.
        look = {"linestyle": "solid", "linewidth": 1, "marker": "", "snap": False, **style}
        with self._matplotlib.rc_context(_LOOK):
            (drawn,) = self._axes.plot(across, down, **look)
        return drawn

    def text(self, across: float, down: float, words: str = "", **style: Any) -> Text:
        """Write words around a place, unless `style` says otherwise."""
        look = {"fontsize": 8, "color": "#e6e6e6", "ha": "center", "va": "center", **style}
        with self._matplotlib.rc_context(_LOOK):
            # Names may hold dollar signs; they are no formulas.
            return self._axes.text(across, down, words, parse_math=False, **look)

    def background(self, grey: int) -> NDArray[np.uint8]:
        """Pixels of one grey, (H, W, 3)."""
        size = self.height * self.density, self.width * self.density, 3
        return np.full(size, grey, dtype=np.uint8)

    def pixels(self, base: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What has been drawn, over `base` (H, W, 3), as pixels of the same shape."""
        renderer = self._canvas.get_renderer()
        buffer: NDArray[np.uint8] = np.asarray(renderer.buffer_rgba())
        buffer[..., :3] = base
        buffer[..., 3] = 255
        self._canvas.figure.draw(renderer)
        return buffer[..., :3].copy()


def move(line: Line2D, points: ArrayLike) -> None:
    """Draw `line` through other points ((N, 2), pixels) from now on."""
    line.set_data(*np.asarray(points, dtype=np.float64).reshape(-1, 2).T)


def pen_strokes(strokes: list[FloatArray]) -> FloatArray:
    """Several lines ((N, 2) each) as one, with the pen lifted in between."""
    lift = np.full((1, 2), np.nan)
    return np.concatenate([part for stroke in strokes for part in (stroke, lift)] or [lift])
