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


def pairs_of(n, values):
    matrix = np.zeros((n, n))
    first, second = np.triu_indices(n, 1)
    matrix[first[: len(values)], second[: len(values)]] = values
    return matrix + matrix.T


def test_words_of_the_strongest_pairs(scene):
    stage = Stage.of(scene, "glass")
    graphic = stage.strongest_pairs(pairs_of(12, [0.5, -0.25, 0.75]), "mine", " And so on.")
    assert graphic.caption == (
        "All pairs that have a value after mine, 3 of 66: 2 positive (red, solid), 1 negative "
        "(blue, dashed). And so on."
    )
    assert (graphic.chart.alt, graphic.heading, graphic.of) == (graphic.caption, "mine", "mine")


def test_as_many_lines_as_do_not_hide_each_other():
    seeds = np.random.default_rng(0).uniform(-40, 40, (47, 3))
    stage = Stage.of(Scene(seeds, np.full(47, 5.0)), "glass")
    values = [*np.linspace(0.91, 0.31, 120).tolist(), 0.2]
    values = np.array(values) * np.where(np.arange(121) % 3, 1, -1)
    graphic = stage.strongest_pairs(pairs_of(47, values), "mine")
    assert graphic.caption.startswith(
        "The 120 strongest of 1,081 pairs after mine, all beyond \N{PLUS-MINUS SIGN}0.31: "
    )
    assert graphic.caption.endswith(": 80 positive (red, solid), 40 negative (blue, dashed).")
    exactly = stage.strongest_pairs(pairs_of(47, values[:119]), "mine").caption
    assert exactly.startswith("All pairs that have a value after mine, 119 of 1081:")


def test_spheres_out_of_sight_have_a_dot_where_a_line_ends_alone(scene):
    centres = np.vstack([scene.centres[:10], [[5000, 0, 0], [0, 5000, 0]]])
    far = Scene(centres, scene.radii, scene.backdrop)
    matrix = np.zeros((12, 12))
    matrix[3, 11] = matrix[11, 3] = 0.5
    chart = Stage.of(far, "glass").connectome(strongest_edges(matrix), "alt")
    counts = [
        [m.path.count("M") for m in chart.marks if m.style == s] for s in ("node", "node node-end")
    ]
    assert counts == [[9] * 3, [2] * 3]


def test_dots_of_spheres_and_letters_of_sides(scene):
    stage = Stage.of(scene, "glass")
    chart = stage.connectome(strongest_edges(pairs_of(12, [0.5])), "alt")
    for panel, style in ((p, s) for p in range(3) for s in ("node", "node node-end")):
        own = [mark for mark in chart.marks if mark.style == style][panel]
        places = stage.panels[panel].pixel(scene.centres)
        chosen = [0, 1] if "end" in style else list(range(2, 12))
        drawn = np.array(re.findall(r"M([\d.]+),([\d.]+)h0", own.path), float)
        np.testing.assert_allclose(drawn, places[chosen], atol=0.051)
    sides = [
        (label.text, label.across - panel.left, label.anchor)
        for panel, label in zip(stage.panels, chart.labels[::3], strict=True)
    ]
    assert sides == [("P", 2, "start"), ("L", 2, "start"), ("L", 2, "start")]
    ends = [
        (label.text, panel.right - label.across, label.anchor)
        for panel, label in zip(stage.panels, chart.labels[2::3], strict=True)
    ]
    assert ends == [("A", 2, "end"), ("R", 2, "end"), ("R", 2, "end")]
    assert [label.text for label in chart.labels[1::3]] == ["Sagittal", "Coronal", "Axial"]
    assert {label.style for label in chart.labels} == {"on-dark"}
    assert (chart.width, chart.height) == (780, stage.picture.height)
