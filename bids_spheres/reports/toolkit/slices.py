"""Slices through a whole image in three directions, with the spheres that they cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import shorten
from bids_spheres.reports.toolkit.figures import DENSITY, Sheet, pen_strokes
from bids_spheres.reports.toolkit.geometry import VIEWS, Panel, mesh_positions, section_radius
from bids_spheres.reports.toolkit.matrices import DIVERGING, palette_codes
from bids_spheres.reports.toolkit.sphere_figures import DASHES, EMPTY, FULL, PANEL, PAPER, WIDTH
from bids_spheres.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.reports.toolkit.geometry import Mesh, View
    from bids_spheres.reports.toolkit.sphere_figures import Scene

    FloatArray = NDArray[np.float64]
    ByteArray = NDArray[np.uint8]

COLUMNS = 6
"""Slices side by side. Up to so many spheres, each has a column of slices through its seed."""

_HEAD = 18  # pixels above a panel for its depth
_BETWEEN = 6
_TALLEST = 200


@dataclass(frozen=True, eq=False)
class Drawn:
    """The written image of the spheres' numbers."""

    grid: Grid
    labels: NDArray[np.integer]  # (V,); In Fortran order; 0 is no sphere, 1 the first


@dataclass(frozen=True, eq=False)
class VoxelMap:
    """A value of every voxel."""

    grid: Grid
    values: FloatArray  # (V,), in Fortran order


LEAST_SHOWN, STRONGEST = 0.2, 0.8
"""Absolute values below which a map is transparent, and from which on it has its full colour."""


def mosaic(scene: Scene, drawn: Drawn | None, names: Sequence[str] = ()) -> ByteArray:
    """Slices in three directions where spheres are, `DENSITY` times their size, (H, W, 3) pixels.

    Without the written image spheres are outlines only. Slices through a seed have its name.
    """
    colours = scene.colours()
    rgb = {colour: [*bytes.fromhex(colour[1:])] for colour in DASHES}
    tints = np.array([[0, 0, 0], *(rgb[colour] for colour in colours.tolist())], np.float32)

    def spheres(mesh: Mesh, _: int | None) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        assert drawn is not None  # noqa: S101 - else nothing is tinted
        positions = mesh_positions(drawn.grid, mesh)
        labels = np.where(positions >= 0, drawn.labels[positions], 0)
        return labels > 0, tints[labels[labels > 0]]

    panels = slice_panels(scene)
    sheet, pixels = _paint(scene, panels, names, None if drawn is None else spheres)
    for colour, dashes in DASHES.items():
        rings = [
            panel.circle(scene.centres[s], radius)
            for s in np.flatnonzero(scene.seen & (colours == colour))
            for panel, depth, _ in panels
            if (
                radius := section_radius(
                    float(scene.radii[s]), float(scene.centres[s, panel.view.through]) - depth
                )
            )
        ]
        thin = 0.7 if colour == FULL else 1.1
        sheet.line(pen_strokes(rings), color=colour, linestyle=dashes, linewidth=thin)
    return sheet.pixels(pixels)


def map_slices(scene: Scene, maps: Sequence[VoxelMap], names: Sequence[str]) -> ByteArray:
    """Slices of a map of each of a few spheres, through its seed; see `mosaic`."""

    def values(mesh: Mesh, sphere: int | None) -> tuple[NDArray[np.bool_], ByteArray]:
        assert sphere is not None  # noqa: S101 - there are few spheres
        own = maps[sphere]
        positions = mesh_positions(own.grid, mesh)
        shown = np.where(positions >= 0, own.values[positions], 0)
        mask = np.abs(shown) >= LEAST_SHOWN
        return mask, DIVERGING[palette_codes(shown[mask], STRONGEST)]

    panels = slice_panels(scene)
    sheet, pixels = _paint(scene, panels, names, values)
    own = [
        panel.circle(scene.centres[s], scene.radii[s]) for panel, _, s in panels if s is not None
    ]
    sheet.line(pen_strokes(own), color="#ffffff", linewidth=0.8)
    return sheet.pixels(pixels)


def _paint(
    scene: Scene,
    panels: Sequence[tuple[Panel, float, int | None]],
    names: Sequence[str],
    tint: Callable[[Mesh, int | None], tuple[NDArray[np.bool_], NDArray[np.number]]] | None,
) -> tuple[Sheet, ByteArray]:
    """Slices with their depths in words, and with tints of some points of their meshes."""
    sheet = Sheet(WIDTH, max(panel.top + panel.height for panel, *_ in panels) + 2, DENSITY)
    pixels = sheet.background(PAPER)
    for panel, depth, sphere in panels:
        region, columns = panel.region
        words = f"{'xyz'[panel.view.through]} = {number(depth, 0)}"
        if sphere is not None and names:
            words = f"{shorten(names[sphere], 14)}, {words}"
        sheet.text((columns.start + columns.stop) / 2, region.start - 9, words, fontsize=7)
        sheet.text(columns.start + 5, region.start + 8, panel.view.left, fontsize=6)
        sheet.text(columns.stop - 5, region.start + 8, panel.view.right, fontsize=6)
        fine = panel.enlarged(DENSITY)
        mesh = fine.mesh(depth)
        cut = np.maximum(scene.slice(mesh), PANEL)
        if tint is not None:
            mask, colours = tint(mesh, sphere)
            cut[mask] = 0.45 * cut[mask] + 0.55 * colours
        pixels[fine.region] = cut
    return sheet, pixels


def depths(scene: Scene, view: View, n: int) -> FloatArray:
    """Depths of `n` slices, mm: even between the 4th and 96th percentile of spheres with voxels."""
    held = scene.seen & (scene.colours() != EMPTY)
    shown = scene.centres[held if held.any() else scene.seen]
    low, high = np.percentile(shown[:, view.through], (4, 96))
    return np.linspace(low, high, n)


def slice_panels(scene: Scene) -> list[tuple[Panel, float, int | None]]:
    """Panel and depth, mm, of every slice, and the sphere whose seed it cuts if there are few.

    All are at one scale, so that lengths compare.
    """
    seen = np.flatnonzero(scene.seen).tolist()
    spheres = [*seen] if len(seen) <= COLUMNS else [None] * COLUMNS
    # Three columns at least: a single slice as wide as the page would be coarse.
    room = (WIDTH + _BETWEEN) / max(len(spheres), 3) - _BETWEEN
    widest = max(float(scene.box.size[view.across]) for view in VIEWS)
    tallest = max(float(scene.box.size[view.up]) for view in VIEWS)
    scale = min((room - 1) / widest, _TALLEST / tallest)
    top, panels = _HEAD, []
    for view in VIEWS:
        spare = (room - float(scene.box.size[view.across]) * scale) / 2
        even = depths(scene, view, COLUMNS)
        for i, sphere in enumerate(spheres):
            depth = even[i] if sphere is None else scene.centres[sphere, view.through]
            panel = Panel(view, scene.box, int(i * (room + _BETWEEN) + spare), top, scale)
            panels.append((panel, float(depth), sphere))
        top += panels[-1][0].height + _HEAD + _BETWEEN
    return panels
