"""The strongest relations between spheres as lines in a brain of glass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import Chart, Label, Mark, Raster
from bids_spheres.reports.toolkit.geometry import Margins, figure_height, three_panels
from bids_spheres.reports.toolkit.spheres import PANEL, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.toolkit.geometry import Panel
    from bids_spheres.reports.toolkit.spheres import Scene

    FloatArray = NDArray[np.float64]
    ByteArray = NDArray[np.uint8]

MOST_EDGES = 120
"""Lines that are drawn: more make a ball of wool."""

_MARGINS = Margins(top=20)


@dataclass(frozen=True, eq=False)
class Edges:
    """The strongest relations.

    Parameters
    ----------
    pairs : (N, 2) int array
        Spheres, from 0; the strongest pair first.
    values : (N,) array
    """

    pairs: NDArray[np.intp]
    values: FloatArray


def strongest_edges(matrix: FloatArray, most: int = MOST_EDGES) -> Edges:
    """Pairs with the largest absolute values of a symmetric matrix, zeros and missing left out.

    Examples
    --------
    >>> edges = strongest_edges(np.array([[1, 0.2, -0.6], [0.2, 1, np.nan], [-0.6, np.nan, 1]]))
    >>> edges.pairs.tolist(), edges.values.tolist()
    ([[0, 2], [0, 1]], [-0.6, 0.2])
    """
    first, second = np.triu_indices(len(matrix), 1)
    values = matrix[first, second]
    strength = np.nan_to_num(np.abs(values))
    # Stable, so that equal values come in the same order everywhere.
    best = np.argsort(-strength, kind="stable")[:most]
    best = best[strength[best] > 0]
    return Edges(np.stack([first[best], second[best]], axis=1), values[best])


@dataclass(frozen=True, eq=False)
class Glass:
    """A brain seen from three sides, in pixels of a chart.

    Parameters
    ----------
    panels : tuple of Panel
    height : int
        Pixels.
    """

    panels: tuple[Panel, ...]
    height: int

    def pixels(self, scene: Scene) -> ByteArray:
        """The brightest voxels behind each pixel, (H, W, 3); only what is in panels."""
        pixels = np.zeros((self.height, WIDTH, 3), dtype=np.uint8)
        for panel in self.panels:
            pixels[panel.region] = PANEL
            if scene.backdrop is not None:
                grey = scene.backdrop.lattice.projection(panel) // 3
                pixels[panel.region] = np.maximum(grey, PANEL)[..., None]
        return pixels


def glass(scene: Scene) -> Glass:
    """The three views of a scene that fill the width of a page."""
    panels = three_panels(scene.box, WIDTH, _MARGINS)
    return Glass(panels, figure_height(panels, _MARGINS))


def connectome(scene: Scene, behind: Glass, src: str, edges: Edges, alt: str) -> Chart:
    """Lines between spheres over a brain of glass.

    Parameters
    ----------
    scene : Scene
    behind : Glass
    src : str
        The picture of it, or a reference to one in the page.
    edges : Edges
    alt : str
    """
    marks = [mark for panel in behind.panels for mark in _panel_marks(scene, panel, edges)]
    labels = tuple(label for panel in behind.panels for label in _panel_labels(panel))
    image = Raster(src, 0, 0, WIDTH, behind.height)
    return Chart(WIDTH, behind.height, alt, tuple(marks), labels, (image,))


def _panel_marks(scene: Scene, panel: Panel, edges: Edges) -> list[Mark]:
    places = panel.pixel(scene.centres)
    marks = []
    for sign, style in ((-1, "edge-negative"), (1, "edge-positive")):
        chosen = edges.pairs[np.sign(edges.values) == sign]
        lines = places[chosen].reshape(-1, 4).tolist()
        path = "".join(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}" for a, b, c, d in lines)
        marks.append(Mark(path, f"edge {style}"))
    ends = np.zeros(len(places), dtype=bool)
    ends[edges.pairs] = True
    marks.append(Mark(_points(places[scene.seen & ~ends]), "node"))
    marks.append(Mark(_points(places[ends]), "node node-end"))
    return marks


def _points(places: FloatArray) -> str:
    """Path of lines without length, whose round ends are the points: a fifth of circles' text."""
    return "".join(f"M{x:.1f},{y:.1f}h0" for x, y in places.tolist())


def _panel_labels(panel: Panel) -> Sequence[Label]:
    _, columns = panel.region
    return (
        Label(columns.start + 2, 14, panel.view.left, "start", "on-dark"),
        Label(
            (columns.start + columns.stop) / 2, 14, panel.view.name.capitalize(), style="on-dark"
        ),
        Label(columns.stop - 2, 14, panel.view.right, "end", "on-dark"),
    )
