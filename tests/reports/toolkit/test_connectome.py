"""The strongest pairs, and where their lines begin and end."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bids_spheres.engine import Grid
from bids_spheres.reports.toolkit.connectome import Stage, strongest_edges
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.sphere_figures import PANEL, Scene

AFFINE = np.array([[4.0, 0, 0, -40], [0, 4, 0, -50], [0, 0, 4, -30], [0, 0, 0, 1]])


@pytest.fixture
def scene():
    seeds = np.random.default_rng(0).uniform([-35, -45, -25], [35, 45, 40], (12, 3))
    data = np.zeros((20, 24, 18))
    data[4:-4, 4:-4, 4:-4] = 1000
    return Scene(seeds, np.full(12, 5.0), backdrop(data, Grid((20, 24, 18), AFFINE)))


def test_the_strongest_pairs_by_brute_force():
    matrix = np.random.default_rng(1).uniform(-1, 1, (15, 15))
    matrix = (matrix + matrix.T) / 2
    matrix[3] = matrix[:, 3] = np.nan
    edges = strongest_edges(matrix, 10)
    all_pairs = [(i, j) for i in range(15) for j in range(i) if 3 not in (i, j)]
    best = sorted(all_pairs, key=lambda pair: -abs(matrix[pair]))[:10]
    assert {tuple(sorted(pair)) for pair in edges.pairs.tolist()} == {
        tuple(sorted(pair)) for pair in best
    }
    assert np.all(np.diff(np.abs(edges.values)) <= 0)
    for (i, j), value in zip(edges.pairs, edges.values, strict=True):
        assert matrix[i, j] == value


def test_there_may_be_no_pair():
    assert len(strongest_edges(np.full((4, 4), np.nan)).values) == 0
    assert len(strongest_edges(np.eye(4)).values) == 0


def test_lines_go_from_seed_to_seed_in_all_three_views(scene):
    matrix = np.zeros((12, 12))
    matrix[2, 7] = matrix[7, 2] = 0.8
    matrix[1, 4] = matrix[4, 1] = -0.6
    stage = Stage.of(scene, "glass")
    chart = stage.connectome(strongest_edges(matrix), "alt")
    for style, (a, b) in (("edge-positive", (2, 7)), ("edge-negative", (1, 4))):
        paths = [mark.path for mark in chart.marks if style in mark.style]
        assert len(paths) == 3
        for panel, path in zip(stage.panels, paths, strict=True):
            drawn = np.array(re.findall(r"[\d.]+", path), dtype=float).reshape(2, 2)
            expected = panel.pixel(scene.centres[[a, b]])
            np.testing.assert_allclose(drawn, expected, atol=0.051)
    assert chart.rasters[0].src == "#glass"


def test_the_glass_shows_the_brain(scene):
    panels = Stage.of(scene, "glass").panels
    pixels = scene.projection(panels, 400, 3, 2)
    assert pixels.shape[1:] == (2 * 780, 3)
    inside = [pixels[panel.enlarged(2).region] for panel in panels]
    assert all(part.max() > 2 * PANEL for part in inside)
    empty = Scene(scene.centres, scene.radii)
    assert empty.projection(panels, 400, 3).max() == PANEL
