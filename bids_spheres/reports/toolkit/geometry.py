"""Millimetres, voxels and pixels of pictures of slices.

Pictures are in world axes (x to the right, y to the front, z up), not in voxel axes: a sphere is
then a circle whatever the image's affine, and a pixel shows the voxel that holds its centre.
Nothing is interpolated, so one sees the voxels that are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

    ByteArray = NDArray[np.uint8]
    Mesh = Sequence[ArrayLike]

_BRIGHT = 25  # Of 255: fainter voxels don't count as head when the picture's borders are chosen
_TALLEST = 480  # Pixels of a panel's height at most: two figures fit on a sheet of paper
_LATTICE = 128  # Points of a projection's lattice along the longest side: finer than a screen shows


@dataclass(frozen=True)
class View:
    """One of the three directions from which a brain is shown."""

    name: str
    across: int  # World axes (0 to 2) that run to the right, upwards, and into the picture
    up: int
    through: int
    left: str  # Letters of the sides
    right: str


VIEWS = (
    View("sagittal", 1, 2, 0, "P", "A"),
    View("coronal", 0, 2, 1, "L", "R"),
    View("axial", 0, 1, 2, "L", "R"),
)


@dataclass(frozen=True, eq=False)
class Box:
    """A part of space with sides along the world axes."""

    lower: FloatArray  # (3,), mm
    upper: FloatArray

    @property
    def size(self) -> FloatArray:
        """Lengths of the sides, (3,), mm."""
        return self.upper - self.lower

    def touches(self, centres: FloatArray, radii: FloatArray) -> BoolArray:
        """Which spheres ((S, 3) mm, (S,) mm) have a point in the box."""
        nearest = np.clip(centres, self.lower, self.upper)
        return np.asarray(np.linalg.norm(centres - nearest, axis=1) <= radii)


def image_box(grid: Grid) -> Box:
    """The box around all voxels of an image, their edges included."""
    ends = [(-0.5, n - 0.5) for n in grid.shape]
    corners = grid.to_mm(list(product(*ends)))
    return Box(corners.min(axis=0), corners.max(axis=0))


def mesh_positions(grid: Grid, mesh: Mesh) -> IntArray:
    """Voxels at the points of an open mesh (x, y, z in mm), as `Grid.flat` counts; -1 outside.

    >>> from bids_spheres.engine import Grid
    >>> grid = Grid((4, 3, 2), np.diag([2.0, 2, 2, 1]))
    >>> mesh_positions(grid, [np.array([0.0, 2.9, 7.1]), np.array([[0.0], [2]]), 0.0])
    array([[ 0,  1, -1],
           [ 4,  5, -1]])
    """
    position, inside, stride = np.asarray(0), np.asarray(True), 1
    for row, n in zip(np.linalg.inv(grid.affine)[:3], grid.shape, strict=True):
        # Leaving out zeros keeps sums one-dimensional for images that are not oblique.
        terms = (factor * np.asarray(axis) for factor, axis in zip(row[:3], mesh, strict=True))
        known = [term for factor, term in zip(row, terms, strict=False) if factor]
        index = np.rint(sum(known, np.asarray(row[3]))).astype(np.intp)
        position = position + stride * index
        inside = inside & (index >= 0) & (index < n)
        stride *= n
    return np.broadcast_to(np.where(inside, position, -1), np.broadcast(*mesh).shape)


@dataclass(frozen=True, eq=False)
class Backdrop:
    """Grey values of a 3-D image."""

    grid: Grid
    # (V + 1,); Fortran order; one black voxel more at the end stands for all that is outside,
    # which is where position -1 points.
    grey: ByteArray

    def at(self, mesh: Mesh) -> ByteArray:
        """Grey values at the points of an open mesh (mm), black outside."""
        return self.grey[mesh_positions(self.grid, mesh)]

    @property
    def voxel_size(self) -> float:
        """Shortest side of a voxel, mm."""
        return float(np.linalg.norm(self.grid.affine[:3, :3], axis=0).min())

    @cached_property
    def _lattice(self) -> tuple[FloatArray, float, ByteArray]:
        """Cubes along the world axes: the first one's lower corner, their side, (X, Y, Z) greys."""
        box = image_box(self.grid)
        step = max(self.voxel_size, float(box.size.max()) / _LATTICE)
        counts = np.ceil(box.size / step).astype(int)
        axes = (low + (np.arange(n) + 0.5) * step for low, n in zip(box.lower, counts, strict=True))
        return box.lower, step, self.at(np.ix_(*axes))

    @property
    def head(self) -> Box:
        """The box around what is not dark; the whole image where all is."""
        origin, step, grey = self._lattice
        bright = grey > _BRIGHT
        if not bright.any():
            return image_box(self.grid)
        hit = [np.flatnonzero(bright.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        first, last = np.array([(axis[0], axis[-1] + 1) for axis in hit]).T
        return Box(origin + first * step, origin + last * step)

    def projection(self, panel: Panel) -> ByteArray:
        """The brightest value behind every pixel of `panel`, (height, width), top row first."""
        origin, step, grey = self._lattice
        # A black rim stands for all that is outside.
        brightest = np.pad(grey.max(axis=panel.view.through), 1)
        cubes = []
        for points, axis in zip(panel.points, (panel.view.across, panel.view.up), strict=True):
            cube = np.floor((points - origin[axis]) / step).astype(int)
            cubes.append(np.clip(cube, -1, grey.shape[axis]) + 1)
        return brightest[np.ix_(*cubes)].T[::-1]


def backdrop(data: NDArray[np.number], grid: Grid) -> Backdrop:
    """Grey values of a volume, (X, Y, Z), in which what is not finite counts as 0."""
    if data.ndim != 3:
        raise DataError(f"A background is one volume, not an array of {data.ndim} dimensions.")
    values = np.nan_to_num(data.astype(np.float32), posinf=0, neginf=0).ravel(order="F")
    # The few brightest voxels must not darken all others.
    low, high = np.percentile(values, (1, 99.7))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    grey = np.zeros(len(values) + 1, dtype=np.uint8)
    # 32 greys: a picture of noise is a third smaller than in 256, and looks the same.
    grey[:-1] = (np.clip(scaled, 0, 1) * 255).astype(np.uint8) & np.uint8(0xF8)
    return Backdrop(grid, grey)


def field_of_view(
    picture: Backdrop | None, centres: FloatArray, radii: FloatArray, margin: float = 4.0
) -> Box:
    """Part of space that figures show: the head and spheres that touch it; all without an image."""
    # One seed with a typing error must not shrink the brain to a dot.
    reach = radii[:, None]
    lower, upper = centres - reach, centres + reach
    if picture is None:
        margin += 6
    else:
        touching = image_box(picture.grid).touches(centres, radii)
        lower = np.vstack([lower[touching], picture.head.lower])
        upper = np.vstack([upper[touching], picture.head.upper])
    return Box(lower.min(axis=0) - margin, upper.max(axis=0) + margin)


@dataclass(frozen=True, eq=False)
class Panel:
    """A rectangle of a figure that shows a part of space from one side, to scale."""

    view: View
    box: Box
    left: int  # Pixels of the upper left corner from that of the figure
    top: int
    scale: float  # Pixels per mm
    times: int = 1  # How much a smaller panel was enlarged: width and height are multiples of it

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.times * round(float(self.box.size[self.view.across]) * self.scale / self.times)

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.times * round(float(self.box.size[self.view.up]) * self.scale / self.times)

    @property
    def right(self) -> int:
        """Pixels from the left of the figure to the panel's right side."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """Pixels from the top of the figure to the panel's lower side."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Pixels from the left of the figure to the middle of the panel."""
        return (self.left + self.right) / 2

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the figure's pixels."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def enlarged(self, times: int) -> Panel:
        """The same in a figure with more pixels."""
        left, top, scale = self.left * times, self.top * times, self.scale * times
        return Panel(self.view, self.box, left, top, scale, times)

    @cached_property
    def points(self) -> tuple[FloatArray, FloatArray]:
        """World coordinates (mm) of the columns' centres and, from the bottom, of the rows'."""
        low = self.box.lower[[self.view.across, self.view.up]]
        across = low[0] + (np.arange(self.width) + 0.5) / self.scale
        up = low[1] + (np.arange(self.height) + 0.5) / self.scale
        return across, up

    def mesh(self, depth: float, every: int = 1) -> Mesh:
        """Open mesh (x, y, z) in mm of every so many pixels, top row first, at `depth` mm."""
        across, up = self.points
        mesh: list[ArrayLike] = [depth, depth, depth]
        mesh[self.view.across] = across[None, ::every]
        mesh[self.view.up] = up[::-1][::every, None]
        return mesh

    def pixel(self, points: ArrayLike) -> FloatArray:
        """Where points ((..., 3), mm) are in the figure, (..., 2) pixels from its upper left."""
        offset = np.asarray(points, dtype=np.float64) - self.box.lower
        across = self.left + offset[..., self.view.across] * self.scale
        down = self.bottom - offset[..., self.view.up] * self.scale
        return np.stack([across, down], axis=-1)

    def shows(self, point: ArrayLike) -> bool:
        """Whether a point ((3,), mm) is in front of or behind the panel's rectangle."""
        axes = [self.view.across, self.view.up]
        at = np.asarray(point, dtype=np.float64)[axes]
        return bool(((at >= self.box.lower[axes]) & (at <= self.box.upper[axes])).all())

    def circle(self, centre: ArrayLike, radius: float) -> FloatArray:
        """Outline of a circle (mm) parallel to the picture, (N, 2) pixels, closed."""
        angle = np.linspace(0, 2 * np.pi, 49)
        rim = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
        return self.pixel(centre) + radius * self.scale * rim


def three_panels(
    box: Box, width: int, top: int = 0, *, left: int = 0, right: int = 0, between: int = 6
) -> tuple[Panel, ...]:
    """The three views of a box side by side at one scale, `width` pixels or less wide.

    `top`, `left` and `right` pixels stay free around them, and `between` from one to the next.
    """
    across = sum(float(box.size[view.across]) for view in VIEWS)
    up = max(float(box.size[view.up]) for view in VIEWS)
    room = width - left - right - 2 * between
    scale = min((room - 1.5) / across, _TALLEST / up)  # panels may round up by half a pixel
    start, panels = left + int(room - across * scale) // 2, []
    for view in VIEWS:
        panels.append(Panel(view, box, start, top, scale))
        start = panels[-1].right + between
    return tuple(panels)


def bottom_of(panels: Iterable[Panel]) -> int:
    """Lowest pixel of panels."""
    return max(panel.bottom for panel in panels)


def section_radius(radius: float, distance: float) -> float | None:
    """Radius of the circle in which a plane at `distance` cuts a sphere; None if it doesn't.

    >>> section_radius(5, 3), section_radius(5, -6)
    (4.0, None)
    """
    square = radius**2 - distance**2
    return float(np.sqrt(square)) if square >= 0 else None
