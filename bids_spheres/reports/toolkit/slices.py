"""Slices through a whole image in three directions, with the spheres that they cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.figures import Sheet, pen_strokes
from bids_spheres.reports.toolkit.geometry import VIEWS, Panel, mesh_positions, section_radius
from bids_spheres.reports.toolkit.spheres import DASHES, EMPTY, FULL, PANEL, PAPER, PARTIAL, WIDTH
from bids_spheres.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.reports.toolkit.geometry import View
    from bids_spheres.reports.toolkit.spheres import Scene

    FloatArray = NDArray[np.float64]
    ByteArray = NDArray[np.uint8]

COLUMNS = 6
"""Slices side by side."""

_HEAD = 18  # pixels above a panel for its depth
_BETWEEN = 6
_TALLEST = 170
_STATES = (FULL, PARTIAL, EMPTY)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Spheres as they were written: an image of their numbers.

    Parameters
    ----------
    grid : Grid
    labels : (V,) int array
        In Fortran order; 0 is no sphere, 1 the first.
    """

    grid: Grid
    labels: NDArray[np.integer]


def mosaic(scene: Scene, drawn: Drawn | None, rows: int = 1) -> ByteArray:
    """Slices in three directions, each at depths where spheres are, (H, W, 3) pixels.

    Parameters
    ----------
    scene : Scene
    drawn : Drawn, optional
        Without it only outlines show the spheres.
    rows : int
        Of slices in each direction.
    """
    panels = list(_panels(scene, rows))
    height = max(panel.top + panel.height for panel, _ in panels) + 2
    sheet = Sheet(WIDTH, height)
    for panel, depth in panels:
        _letter(sheet, panel, depth)
    _outlines(sheet, scene, panels)
    pixels = np.full((height, WIDTH, 3), PAPER, dtype=np.uint8)
    tints = _tints(scene)
    for panel, depth in panels:
        pixels[panel.region] = _slice(scene, drawn, panel, depth, tints)
    return sheet.pixels(pixels)


def depths(scene: Scene, view: View, n: int) -> FloatArray:
    """Where to cut, mm: evenly from the 4th to the 96th of 100 spheres that hold something."""
    held = scene.seen & (scene.colours() != EMPTY)
    shown = scene.centres[held if held.any() else scene.seen]
    low, high = np.percentile(shown[:, view.through], (4, 96))
    return np.linspace(low, high, n)


def _panels(scene: Scene, rows: int) -> list[tuple[Panel, float]]:
    """Every slice's panel and depth, mm; all at one scale, so that lengths compare."""
    widest = max(float(scene.box.size[view.across]) for view in VIEWS)
    tallest = max(float(scene.box.size[view.up]) for view in VIEWS)
    room = (WIDTH - (COLUMNS - 1) * _BETWEEN) / COLUMNS
    scale = min((room - 1) / widest, _TALLEST / tallest)
    top, panels = _HEAD, []
    for view in VIEWS:
        cuts = depths(scene, view, COLUMNS * rows)
        for first in range(0, len(cuts), COLUMNS):
            panels += _row(scene, view, cuts[first : first + COLUMNS], top, scale)
            top += panels[-1][0].height + _HEAD + _BETWEEN
    return panels


def _row(
    scene: Scene, view: View, cuts: FloatArray, top: int, scale: float
) -> list[tuple[Panel, float]]:
    room = (WIDTH - (COLUMNS - 1) * _BETWEEN) / COLUMNS
    spare = (room - float(scene.box.size[view.across]) * scale) / 2
    return [
        (Panel(view, scene.box, int(i * (room + _BETWEEN) + spare), top, scale), float(depth))
        for i, depth in enumerate(cuts)
    ]


def _letter(sheet: Sheet, panel: Panel, depth: float) -> None:
    rows, columns = panel.region
    words = f"{'xyz'[panel.view.through]} = {number(depth, 0)}"
    sheet.text((columns.start + columns.stop) / 2, rows.start - 9, words, fontsize=7)
    for letter, across in (
        (panel.view.left, columns.start + 5),
        (panel.view.right, columns.stop - 5),
    ):
        sheet.text(across, rows.start + 8, letter, fontsize=6)


def _outlines(sheet: Sheet, scene: Scene, panels: Sequence[tuple[Panel, float]]) -> None:
    """Circles in which the slices cut spheres."""
    colours, seen = scene.colours(), scene.seen
    for colour, dashes in DASHES.items():
        rings = [
            panel.circle(scene.centres[s], cut)
            for s in np.flatnonzero(seen & (colours == colour))
            for panel, depth in panels
            if (cut := _cut(scene, s, panel, depth))
        ]
        thin = 0.7 if colour == FULL else 1.1
        sheet.line(pen_strokes(rings), color=colour, linestyle=dashes, linewidth=thin)


def _cut(scene: Scene, sphere: np.intp, panel: Panel, depth: float) -> float | None:
    apart = float(scene.centres[sphere, panel.view.through]) - depth
    return section_radius(float(scene.radii[sphere]), apart)


def _tints(scene: Scene) -> NDArray[np.float32]:
    """Colour of each label, (S + 1, 3); that of 0 is not used."""
    numbers = [_STATES.index(colour) for colour in scene.colours().tolist()]
    rgb = np.array([_rgb(colour) for colour in _STATES], dtype=np.float32)
    return np.vstack([np.zeros((1, 3), np.float32), rgb[numbers]])


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _slice(
    scene: Scene, drawn: Drawn | None, panel: Panel, depth: float, tints: NDArray[np.float32]
) -> ByteArray:
    mesh = panel.mesh(depth)
    if scene.backdrop is None:
        grey = np.full((panel.height, panel.width), PANEL, dtype=np.uint8)
    else:
        grey = np.maximum(scene.backdrop.at(mesh), PANEL)
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    if drawn is not None:
        positions = mesh_positions(drawn.grid, mesh)
        labels = np.where(positions >= 0, drawn.labels[positions], 0)
        inside = labels > 0
        pixels[inside] = 0.45 * pixels[inside] + 0.55 * tints[labels[inside]]
    return pixels
