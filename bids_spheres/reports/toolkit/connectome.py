"""The strongest pairs as lines in a glass brain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import WIDTH, Chart, Label, Mark, Raster
from bids_spheres.reports.toolkit.figures import DENSITY, picture
from bids_spheres.reports.toolkit.geometry import bottom_of, three_panels
from bids_spheres.reports.toolkit.render import Graphic
from bids_spheres.wording import coefficient

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray, IntArray
    from bids_spheres.reports.toolkit.figures import Picture
    from bids_spheres.reports.toolkit.geometry import Panel
    from bids_spheres.reports.toolkit.sphere_figures import Scene

MOST_EDGES = 120  # Lines that are drawn; more would hide each other


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of spheres and their values."""

    pairs: IntArray  # (N, 2); Spheres, from 0; the strongest pair first
    values: FloatArray  # (N,)


def strongest_edges(matrix: FloatArray, most: int = MOST_EDGES) -> Edges:
    """Pairs with the largest absolute values of a symmetric matrix, zeros and missing left out.

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
class Stage:
    """A transparent brain from three sides, whose picture all charts over it share."""

    scene: Scene
    panels: tuple[Panel, ...]
    picture: Picture
    name: str  # Identifier of the picture in the page

    @classmethod
    def of(cls, scene: Scene, name: str) -> Stage:
        """Draw the brightest voxels of a scene behind each pixel."""
        panels = three_panels(scene.box, WIDTH, top=20)
        pixels = scene.projection(panels, bottom_of(panels), 3, DENSITY)
        return cls(scene, panels, picture(pixels, name), name)

    def connectome(self, edges: Edges, alt: str) -> Chart:
        """Lines between spheres over the brain."""
        scene = self.scene
        marks: list[Mark] = []
        labels: list[Label] = []
        ends = np.zeros(len(scene.centres), dtype=bool)
        ends[edges.pairs] = True
        for panel in self.panels:
            places = panel.pixel(scene.centres)
            for sign, style in ((-1, "edge-negative"), (1, "edge-positive")):
                chosen = edges.pairs[np.sign(edges.values) == sign]
                lines = places[chosen].reshape(-1, 4).tolist()
                path = "".join(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}" for a, b, c, d in lines)
                marks.append(Mark(path, f"edge {style}"))
            for chosen, style in ((scene.seen & ~ends, "node"), (ends, "node node-end")):
                # Lines of length 0, whose round ends are dots: a fifth of the text of circles.
                dots = "".join(f"M{x:.1f},{y:.1f}h0" for x, y in places[chosen].tolist())
                marks.append(Mark(dots, style))
            view = panel.view
            labels += (
                Label(panel.left + 2, 14, view.left, "start", "on-dark"),
                Label(panel.middle, 14, view.name.capitalize(), style="on-dark"),
                Label(panel.right - 2, 14, view.right, "end", "on-dark"),
            )
        height = self.picture.height
        image = Raster(f"#{self.name}", 0, 0, WIDTH, height)
        return Chart(WIDTH, height, alt, tuple(marks), tuple(labels), (image,))

    def strongest_pairs(self, matrix: FloatArray, strategy: str, note: str = "") -> Graphic:
        """Chart of the strongest pairs after a strategy; `note` ends the caption."""
        edges, n_pairs = strongest_edges(matrix), len(matrix) * (len(matrix) - 1) // 2
        n, positive = len(edges.values), int((edges.values > 0).sum())
        if n < MOST_EDGES:
            which = f"All pairs that have a value after {strategy}, {n} of {n_pairs}"
        else:
            weakest = coefficient(float(np.abs(edges.values).min()))
            which = f"The {n} strongest of {n_pairs:,} pairs after {strategy}"
            which += f", all beyond \N{PLUS-MINUS SIGN}{weakest}"
        signs = f"{positive} positive (red, solid), {n - positive} negative (blue, dashed)."
        words = f"{which}: {signs}{note}"
        return Graphic(self.connectome(edges, words), words, strategy, strategy)
