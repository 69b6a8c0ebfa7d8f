"""Slices through a whole image in three directions, with the spheres that they cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.figures import Sheet, pen_strokes
from bids_spheres.reports.toolkit.geometry import VIEWS, Panel, mesh_positions, section_radius
from bids_spheres.reports.toolkit.sphere_figures import DASHES, EMPTY, FULL, PANEL, PAPER, WIDTH
from bids_spheres.wording import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.reports.toolkit.geometry import View
    from bids_spheres.reports.toolkit.sphere_figures import Scene

    FloatArray = NDArray[np.float64]
    ByteArray = NDArray[np.uint8]

COLUMNS = 6
"""Slices side by side."""

_HEAD = 18  # pixels above a panel for its depth
_BETWEEN = 6
_TALLEST = 170


@dataclass(frozen=True, eq=False)
class Drawn:
    """The written image of the spheres' numbers."""

    grid: Grid
    labels: NDArray[np.integer]  # (V,); In Fortran order; 0 is no sphere, 1 the first


def mosaic(scene: Scene, drawn: Drawn | None, rows: int = 1) -> ByteArray:
    """Slices in three directions, each at depths where spheres are, (H, W, 3) pixels.

    Parameters
    ----------
    scene : Scene
    drawn : Drawn, optional
        Without it, spheres are outlines only.
    rows : int
        Rows of slices in each direction.
    """
    panels = slice_panels(scene, rows)
    height = max(panel.top + panel.height for panel, _ in panels) + 2
    sheet = Sheet(WIDTH, height)
    pixels = np.full((height, WIDTH, 3), PAPER, dtype=np.uint8)
    colours = scene.colours()
    rgb = {colour: np.array([*bytes.fromhex(colour[1:])], np.float32) for colour in DASHES}
    tints = np.array([np.zeros(3, np.float32), *(rgb[colour] for colour in colours.tolist())])
    for panel, depth in panels:
        region, columns = panel.region
        words = f"{'xyz'[panel.view.through]} = {number(depth, 0)}"
        sheet.text((columns.start + columns.stop) / 2, region.start - 9, words, fontsize=7)
        sheet.text(columns.start + 5, region.start + 8, panel.view.left, fontsize=6)
        sheet.text(columns.stop - 5, region.start + 8, panel.view.right, fontsize=6)
        mesh = panel.mesh(depth)
        cut = np.maximum(scene.slice(mesh), PANEL)
        if drawn is not None:
            positions = mesh_positions(drawn.grid, mesh)
            labels = np.where(positions >= 0, drawn.labels[positions], 0)
            cut[labels > 0] = 0.45 * cut[labels > 0] + 0.55 * tints[labels[labels > 0]]
        pixels[panel.region] = cut
    for colour, dashes in DASHES.items():
        rings = [
            panel.circle(scene.centres[s], radius)
            for s in np.flatnonzero(scene.seen & (colours == colour))
            for panel, depth in panels
            if (
                radius := section_radius(
                    float(scene.radii[s]), float(scene.centres[s, panel.view.through]) - depth
                )
            )
        ]
        thin = 0.7 if colour == FULL else 1.1
        sheet.line(pen_strokes(rings), color=colour, linestyle=dashes, linewidth=thin)
    return sheet.pixels(pixels)


def depths(scene: Scene, view: View, n: int) -> FloatArray:
    """Depths of `n` slices, mm: even between the 4th and 96th percentile of spheres with voxels."""
    held = scene.seen & (scene.colours() != EMPTY)
    shown = scene.centres[held if held.any() else scene.seen]
    low, high = np.percentile(shown[:, view.through], (4, 96))
    return np.linspace(low, high, n)


def slice_panels(scene: Scene, rows: int) -> list[tuple[Panel, float]]:
    """Panel and depth, mm, of every slice; all at one scale, so that lengths compare."""
    widest = max(float(scene.box.size[view.across]) for view in VIEWS)
    tallest = max(float(scene.box.size[view.up]) for view in VIEWS)
    room = (WIDTH - (COLUMNS - 1) * _BETWEEN) / COLUMNS
    scale = min((room - 1) / widest, _TALLEST / tallest)
    top, panels = _HEAD, []
    for view in VIEWS:
        spare = (room - float(scene.box.size[view.across]) * scale) / 2
        for i, depth in enumerate(depths(scene, view, COLUMNS * rows)):
            left = int(i % COLUMNS * (room + _BETWEEN) + spare)
            panels.append((Panel(view, scene.box, left, top, scale), float(depth)))
            if i % COLUMNS == COLUMNS - 1:
                top += panels[-1][0].height + _HEAD + _BETWEEN
    return panels
