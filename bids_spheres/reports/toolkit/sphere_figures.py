"""Figures of spheres in the brain: all from three sides, in many slices, and one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.seeds import is_network
from bids_spheres.engine.spheres import ball_volume
from bids_spheres.reports.toolkit.charts import WIDTH, Chart, Raster, shorten
from bids_spheres.reports.toolkit.figures import DENSITY, Sheet, move, pen_strokes, picture
from bids_spheres.reports.toolkit.geometry import (
    VIEWS,
    Panel,
    bottom_of,
    field_of_view,
    mesh_positions,
    section_radius,
    three_panels,
)
from bids_spheres.reports.toolkit.matrices import DIVERGING, palette_codes
from bids_spheres.reports.toolkit.render import Graphic
from bids_spheres.wording import count, naming, number, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.text import Text
    from numpy.typing import NDArray

    from bids_spheres.engine import Grid, SphereWeights
    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray
    from bids_spheres.reports.toolkit.geometry import Backdrop, Box, Mesh, View

    ByteArray = NDArray[np.uint8]

FULL, PARTIAL, EMPTY = "#59c8ff", "#ffb000", "#ff7a6b"
"""Colours of spheres with all, some and none of their voxels; dashes tell them apart as well."""

# How matplotlib draws the outlines of such spheres
DASHES = {FULL: "solid", PARTIAL: (0, (4, 2)), EMPTY: (0, (1, 1.5))}
PAPER, PANEL = 0, 22  # Greys of a figure around its panels, and of a panel where nothing is
MANY = 100  # Spheres above which outlines would hide each other

NETWORK_COLOURS = (
    *("#59c8ff", "#ff7fd0", "#7be07b", "#ffe14d", "#c08bff", "#ff9d4d", "#3ddbc4", "#f2f2f2"),
    *("#b8c94a", "#7f9dff", "#e06c75", "#a8764f", "#8fd3a5", "#d6a6ff", "#ffc9a3", "#6fa8b8"),
)
"""Fills of spheres by their networks, on dark grey."""

# Slices side by side. Up to so many spheres, each has a column of slices through its seed
COLUMNS = 6
# Absolute values below which a map is transparent, and from which on it has its full colour
LEAST_SHOWN, STRONGEST = 0.2, 0.8
_OTHER_NETWORK = "#9aa3ad"
_RING, _OTHER_RING, _HAIR, _INK = "#ffd23f", "#f2f2f2", "#b4b4b4", "#e6e6e6"
_TINT = np.array([0, 190, 255], dtype=np.float32)
_HEADING = 10  # pixels from a panel up to the middle of its heading
_FINE = 1.6  # pixels per voxel
_SMALLEST = 1.0  # mm: how a sphere of radius 0 is drawn
_PER_ROW = 5  # names of networks
_HEAD, _BETWEEN = 18, 6  # pixels above a slice for its depth, and between slices
_TALLEST = 200  # pixels of a slice


@dataclass(frozen=True, eq=False)
class Scene:
    """Spheres and the image behind them, as all figures of a page show them."""

    centres: FloatArray  # (S, 3), mm
    radii: FloatArray  # (S,), mm
    backdrop: Backdrop | None = None
    weights: SphereWeights | None = None
    # (S,); `FULL`, `PARTIAL` or `EMPTY` for each sphere, instead of what weights say.
    given_colours: NDArray[np.str_] | None = None

    @cached_property
    def box(self) -> Box:
        """Part of space that the figures show."""
        return field_of_view(self.backdrop, self.centres, self.radii)

    @property
    def seen(self) -> BoolArray:
        """Spheres that are in the figures, (S,)."""
        return self.box.touches(self.centres, self.radii)

    def too_far(self, names: Sequence[str]) -> str:
        """A sentence that names spheres that are not in the figures; empty without any."""
        far = naming([names[s] for s in np.flatnonzero(~self.seen).tolist()])
        return f" Too far away to be shown: {far}." if far else ""

    def colours(self) -> NDArray[np.str_]:
        """Colour of each sphere, (S,)."""
        if self.given_colours is not None:
            return self.given_colours
        if self.weights is None:
            return np.full(len(self.centres), FULL)
        return np.select([self.weights.empty, self.weights.partial], [EMPTY, PARTIAL], FULL)

    def overlapping(self, sphere: int) -> IntArray:
        """Other spheres that overlap a sphere."""
        apart = np.linalg.norm(self.centres - self.centres[sphere], axis=1)
        near = apart < self.radii + self.radii[sphere]
        near[sphere] = False
        return np.flatnonzero(near)

    def outline(self, sphere: int | np.intp, panel: Panel, depth: float) -> list[FloatArray]:
        """Circle (pixels) in which the slice at a depth cuts a sphere; none where it doesn't."""
        apart = float(self.centres[sphere, panel.view.through]) - depth
        radius = section_radius(float(self.radii[sphere]), apart)
        return [panel.circle(self.centres[sphere], radius)] if radius else []

    def projection(
        self, panels: Sequence[Panel], height: int, darker: int, density: int = 1
    ) -> ByteArray:
        """The brightest voxels behind each pixel of panels, `darker` times, (H, W, 3)."""
        pixels = np.full((height * density, WIDTH * density, 3), PAPER, dtype=np.uint8)
        for panel in (panel.enlarged(density) for panel in panels):
            pixels[panel.region] = PANEL
            if self.backdrop is not None:
                grey = self.backdrop.projection(panel) // darker
                pixels[panel.region] = np.maximum(grey, PANEL)[..., None]
        return pixels

    def slice(self, mesh: Mesh) -> ByteArray:
        """Grey values at the points of a mesh (mm), (h, w, 3)."""
        if self.backdrop is None:
            return np.full((*np.broadcast(*mesh).shape, 3), PANEL, dtype=np.uint8)
        return np.repeat(self.backdrop.at(mesh)[..., None], 3, axis=-1)

    def slice_with_sphere(self, mesh: Mesh, sphere: int) -> ByteArray:
        """Grey values at the points of a mesh (mm), a sphere's voxels tinted, (h, w, 3)."""
        pixels = self.slice(mesh)
        if self.weights is not None:
            start, stop = self.weights.membership.indptr[sphere : sphere + 2]
            used = self.weights.voxels[self.weights.membership.indices[start:stop]]
            inside = np.isin(mesh_positions(self.weights.grid, mesh), used, kind="table")
            pixels[inside] = 0.5 * pixels[inside] + 0.5 * _TINT
        return pixels


def describe_spheres(radii: FloatArray, *, regions: bool = False) -> str:
    """Number and size of spheres or regions, in a sentence."""
    low, high = float(radii.min()), float(radii.max())
    if regions:
        sizes = [number(cm3, 1) for cm3 in ball_volume(np.array([low, high])) / 1000]
        drawn = "drawn as balls of their volumes around their centres"
        size = " to ".join(dict.fromkeys(sizes))
        return sentence(f"{count(len(radii), 'region')} of {size} cm³, {drawn}")
    words = f"with radii from {number(low)} to {number(high)} mm"
    if high == 0:
        words = "of one voxel each, the one that holds the seed"
    elif low == high:
        words = f"with a radius of {number(low)} mm"
    return sentence(f"{count(len(radii), 'sphere')} {words}")


def overview(scene: Scene, networks: Sequence[str] = ()) -> ByteArray:
    """All spheres from three sides over the brightest voxels behind them, (H, W, 3) pixels.

    Many spheres are small discs, in colours of their networks where these are given.
    """
    many = len(scene.radii) > MANY
    named = list(dict.fromkeys(filter(is_network, networks))) if many else []
    fill = dict(zip(named, NETWORK_COLOURS, strict=False))
    legend_rows = -(-len(fill) // _PER_ROW)
    panels = three_panels(scene.box, WIDTH, top=24, left=40, right=8, between=40)
    sheet = Sheet(WIDTH, bottom_of(panels) + 36 + 16 * legend_rows, DENSITY)
    status = scene.colours()
    inks = np.array([fill.get(name, _OTHER_NETWORK) for name in networks]) if fill else status
    drawn_radii = np.where(scene.radii > 0, scene.radii, _SMALLEST)
    for panel in panels:
        _draw_rulers(sheet, panel)
        for colour in dict.fromkeys(inks.tolist()) if many else ():
            chosen = scene.seen & (inks == colour) & (status != EMPTY)
            size = np.clip(panel.scale * float(np.median(drawn_radii)), 4, 8)
            dots = {"linestyle": "none", "marker": "o", "markersize": 0.72 * size}
            look = {"markeredgecolor": "#000000", "markeredgewidth": 0.5, "alpha": 0.85}
            sheet.line(panel.pixel(scene.centres[chosen]), color=colour, **dots, **look)
        for colour, dashes in DASHES.items():
            rings = [
                panel.circle(scene.centres[s], drawn_radii[s])
                for s in np.flatnonzero(scene.seen & (status == colour))
                if not (many and colour == FULL)
            ]
            sheet.line(pen_strokes(rings), color=colour, linestyle=dashes, linewidth=1)
    for i, (name, colour) in enumerate(fill.items()):
        across = 48 + (i % _PER_ROW) * (WIDTH - 48) / _PER_ROW
        down = sheet.height - 16 * legend_rows + 16 * (i // _PER_ROW) + 6
        sheet.line([(across, down)], color=colour, marker="o", markersize=5)
        sheet.text(across + 9, down, shorten(name, 22), ha="left", fontsize=7)
    # Half as bright, so that spheres stand out.
    return sheet.pixels(scene.projection(panels, sheet.height, 2, DENSITY))


def _draw_rulers(sheet: Sheet, panel: Panel) -> None:
    """Ticks in mm below and left, letters of the sides above."""
    for tick in ticks(panel, panel.view.across):
        across, label = panel.pixel(tick)[0], f"{tick[panel.view.across]:g}"
        sheet.line([(across, panel.bottom), (across, panel.bottom + 4)], color=_INK)
        sheet.text(across, panel.bottom + 7, label, va="top", fontsize=7)
    for tick in ticks(panel, panel.view.up):
        down, label = panel.pixel(tick)[1], f"{tick[panel.view.up]:g}"
        sheet.line([(panel.left - 4, down), (panel.left, down)], color=_INK)
        sheet.text(panel.left - 6, down, label, ha="right", fontsize=7)
    sheet.text(panel.middle, panel.bottom + 26, f"{'xyz'[panel.view.across]} (mm)", fontsize=7)
    _letter_sides(sheet, panel)
    _heading(sheet, panel, panel.view.name.capitalize())


def ticks(panel: Panel, axis: int) -> FloatArray:
    """Points ((N, 3), mm) at round numbers along one side of a panel."""
    length = float(panel.box.size[axis])
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if length / s <= 6), length)
    first = np.ceil(panel.box.lower[axis] / step)
    last = np.floor(panel.box.upper[axis] / step)
    points = np.tile(panel.box.lower, (int(last - first) + 1, 1))
    points[:, axis] = np.arange(first, last + 1) * step + 0.0  # no minus zero
    return points


def _heading(sheet: Sheet, panel: Panel, words: str = "") -> Text:
    return sheet.text(panel.middle, panel.top - _HEADING, words)


def _letter_sides(sheet: Sheet, panel: Panel) -> None:
    sheet.text(panel.left + 6, panel.top - _HEADING, panel.view.left, weight="bold")
    sheet.text(panel.right - 6, panel.top - _HEADING, panel.view.right, weight="bold")


@dataclass(frozen=True, eq=False)
class VoxelMap:
    """A value of every voxel, such as the number of its sphere, from 1; 0 is none."""

    grid: Grid
    values: NDArray[np.number]  # (V,), in Fortran order

    def at(self, mesh: Mesh) -> NDArray[np.number]:
        """Values at the points of a mesh (mm), 0 outside."""
        positions = mesh_positions(self.grid, mesh)
        return np.where(positions >= 0, self.values[positions], 0)

    def extremes(self) -> tuple[list[str], FloatArray]:
        """Names and places, (P, 3) mm, of the highest and the lowest value that is not 0."""
        found = {int(self.values.argmax()): "highest", int(self.values.argmin()): "lowest"}
        kept = {voxel: name for voxel, name in found.items() if self.values[voxel]} or found
        ijk = np.transpose(np.unravel_index([*kept], self.grid.shape, order="F"))
        return [*kept.values()], self.grid.to_mm(ijk)


def mosaic(scene: Scene, drawn: VoxelMap | None, names: Sequence[str] = ()) -> ByteArray:
    """Slices in three directions where spheres are, with names of seeds, (H, W, 3) pixels.

    Without the written image, `drawn`, spheres are outlines only.
    """
    colours = scene.colours()
    rgb = {colour: [*bytes.fromhex(colour[1:])] for colour in DASHES}
    tints = np.array([[0, 0, 0], *(rgb[colour] for colour in colours.tolist())], np.float32)

    def spheres(mesh: Mesh, _: int | None) -> tuple[BoolArray, NDArray[np.float32]]:
        labels = np.zeros(1) if drawn is None else drawn.at(mesh)
        return labels > 0, tints[labels[labels > 0]]

    panels = slice_panels(scene)
    sheet, pixels = _paint(scene, panels, names, None if drawn is None else spheres)
    for colour, dashes in DASHES.items():
        rings = []
        for s in np.flatnonzero(scene.seen & (colours == colour)):
            rings += [ring for panel, depth, _ in panels for ring in scene.outline(s, panel, depth)]
        thin = 0.7 if colour == FULL else 1.1
        sheet.line(pen_strokes(rings), color=colour, linestyle=dashes, linewidth=thin)
    return sheet.pixels(pixels)


def map_slices(
    scene: Scene,
    maps: Sequence[VoxelMap],
    names: Sequence[str],
    limits: tuple[float, float] = (LEAST_SHOWN, STRONGEST),
) -> ByteArray:
    """Slices of a map of each of a few spheres, through its seed; see `mosaic`.

    `limits` are absolute values: the least that is shown, and the one that has its full colour.
    """
    least, strongest = limits

    def values(mesh: Mesh, sphere: int | None) -> tuple[BoolArray, ByteArray]:
        assert sphere is not None  # noqa: S101 - there are few spheres
        shown = maps[sphere].at(mesh)
        mask = np.abs(shown) >= least
        return mask, DIVERGING[palette_codes(shown[mask], strongest)]

    panels = slice_panels(scene)
    sheet, pixels = _paint(scene, panels, names, values)
    rings = [p.circle(scene.centres[s], scene.radii[s]) for p, _, s in panels if s is not None]
    sheet.line(pen_strokes(rings), color="#ffffff", linewidth=0.8)
    return sheet.pixels(pixels)


def map_graphic(pixels: ByteArray, words: str, caption: str, strategy: str) -> Graphic:
    """Pixels of `map_slices` after a strategy as a graphic of a page."""
    drawn = picture(pixels, words)
    raster = Raster(drawn.src, 0, 0, WIDTH, drawn.height, smooth=True)
    chart = Chart(WIDTH, drawn.height, words, rasters=(raster,))
    return Graphic(chart, caption, strategy, strategy)


def _paint(
    scene: Scene,
    panels: Sequence[tuple[Panel, float, int | None]],
    names: Sequence[str],
    tint: Callable[[Mesh, int | None], tuple[BoolArray, NDArray[np.number]]] | None,
) -> tuple[Sheet, ByteArray]:
    """Slices with their depths in words, and with tints of some points of their meshes."""
    sheet = Sheet(WIDTH, bottom_of(panel for panel, *_ in panels) + 2, DENSITY)
    pixels = sheet.background(PAPER)
    for panel, depth, sphere in panels:
        words = f"{'xyz'[panel.view.through]} = {number(depth, 0)}"
        if sphere is not None and names:
            words = f"{shorten(names[sphere], 14)}, {words}"
        sheet.text(panel.middle, panel.top - 9, words, fontsize=7)
        sheet.text(panel.left + 5, panel.top + 8, panel.view.left, fontsize=6)
        sheet.text(panel.right - 5, panel.top + 8, panel.view.right, fontsize=6)
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
    """Panels at one scale, depths, mm, and spheres whose seeds slices cut if there are few."""
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


class SlicePainter:
    """Draws spheres one after the other on one sheet."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._panels = three_panels(scene.box, WIDTH, top=22)
        height = bottom_of(self._panels)
        # Letters are the same for all spheres, and take longer to draw than slices.
        letters = Sheet(WIDTH, height)
        for panel in self._panels:
            _letter_sides(letters, panel)
        self._blank = letters.pixels(letters.background(PAPER))
        self._sheet = Sheet(WIDTH, height)
        self._hairs = self._sheet.line(color=_HAIR, linewidth=0.8, alpha=0.7)
        self._others = self._sheet.line(color=_OTHER_RING, linewidth=0.9, linestyle=(0, (3, 2)))
        self._ring = self._sheet.line(color=_RING, linewidth=1.5)
        self._depths = [_heading(self._sheet, panel) for panel in self._panels]

    def paint(self, sphere: int) -> ByteArray:
        """Three slices through the seed of one sphere, (H, W, 3) pixels."""
        scene = self._scene
        seed, radius = scene.centres[sphere], float(scene.radii[sphere])
        shown = [panel for panel in self._panels if panel.shows(seed)]
        rings = [panel.circle(seed, radius) for panel in shown] if radius else []
        move(self._ring, pen_strokes(rings))
        move(self._hairs, pen_strokes([hair for p in shown for hair in hairs(p, seed, radius)]))
        neighbours = [
            ring
            for other in scene.overlapping(sphere)
            for panel in self._panels
            if panel.shows(scene.centres[other])
            for ring in scene.outline(other, panel, float(seed[panel.view.through]))
        ]
        move(self._others, pen_strokes(neighbours))
        for text, panel in zip(self._depths, self._panels, strict=True):
            axis, name = panel.view.through, panel.view.name.capitalize()
            text.set_text(f"{name}, {'xyz'[axis]} = {number(seed[axis], 1)} mm")
        return self._sheet.pixels(self.slices(sphere))

    def slices(self, sphere: int) -> ByteArray:
        """The slices without lines, (H, W, 3) pixels."""
        pixels, scene = self._blank.copy(), self._scene
        every = pixels_per_sample(scene, self._panels[0].scale)
        for panel in self._panels:
            depth = float(scene.centres[sphere][panel.view.through])
            blocks = scene.slice_with_sphere(panel.mesh(depth, every), sphere)
            full = blocks.repeat(every, axis=0).repeat(every, axis=1)
            pixels[panel.region] = full[: panel.height, : panel.width]
        return pixels


def pixels_per_sample(scene: Scene, scale: float) -> int:
    """How many pixels across and down show the same point of a slice."""
    # Voxels hardly larger than a pixel make files four times as large and show no more.
    return 2 if scene.backdrop and scene.backdrop.voxel_size * scale < _FINE else 1


def hairs(panel: Panel, seed: FloatArray, radius: float) -> list[FloatArray]:
    """Lines (pixels) from the panel's borders towards a seed, that leave its sphere free."""
    across, down = panel.pixel(seed)
    gap = max(radius * panel.scale, 4) + 4
    ends = [
        ((panel.left, down), (across - gap, down)),
        ((across + gap, down), (panel.right, down)),
        ((across, panel.top), (across, down - gap)),
        ((across, down + gap), (across, panel.bottom)),
    ]
    return [np.array([start, stop]) for start, stop in ends if sum(stop) > sum(start)]
