"""Slices: colours of voxels where spheres are known to be."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.engine import Grid, sphere_weights
from bids_spheres.engine.spheres import label_volume
from bids_spheres.reports.toolkit.geometry import VIEWS, backdrop
from bids_spheres.reports.toolkit.slices import (
    COLUMNS,
    Drawn,
    VoxelMap,
    depths,
    map_slices,
    mosaic,
    slice_panels,
)
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, PARTIAL, Scene

AFFINE = np.array([[3.0, 0, 0, -45], [0, 3, 0, -54], [0, 0, 3, -36], [0, 0, 0, 1]])
SHAPE = (31, 37, 26)
GRID = Grid(SHAPE, AFFINE)


@pytest.fixture
def scene():
    seeds = np.random.default_rng(0).uniform([-30, -40, -25], [30, 40, 30], (30, 3))
    colours = np.array([FULL] * 20 + [PARTIAL] * 10)
    return Scene(seeds, np.full(30, 9.0), backdrop(np.ones(SHAPE), GRID), given_colours=colours)


@pytest.fixture
def drawn(scene):
    weights = sphere_weights(scene.centres, scene.radii, GRID)
    return Drawn(GRID, label_volume(weights, scene.centres).ravel(order="F"))


def test_slices_lie_where_spheres_are(scene):
    for view in VIEWS:
        cuts = depths(scene, view, 6)
        along = scene.centres[:, view.through]
        assert along.min() <= cuts.min() < cuts.max() <= along.max()
        np.testing.assert_allclose(np.diff(cuts), np.diff(cuts)[0])


def test_spheres_without_a_voxel_do_not_move_the_slices(scene):
    far = np.vstack([scene.centres, [[0, 0, 33.0]] * 3])
    colours = np.append(scene.given_colours, [EMPTY] * 3)
    with_empty = Scene(far, np.full(33, 9.0), scene.backdrop, given_colours=colours)
    for view in VIEWS:
        np.testing.assert_array_equal(depths(with_empty, view, 4), depths(scene, view, 4))


def test_voxels_have_the_colour_of_their_sphere(scene, drawn):
    pixels = mosaic(scene, drawn).astype(int)
    seen = 0
    for small, depth, _ in slice_panels(scene):
        panel = small.enlarged(2)
        mesh = np.meshgrid(*panel.points, indexing="xy")
        points = np.empty((*mesh[0].shape, 3))
        points[..., panel.view.across], points[..., panel.view.up] = mesh
        points[..., panel.view.through] = depth
        voxel = np.rint((points - AFFINE[:3, 3]) / 3).astype(int)
        ok = np.all((voxel >= 0) & (voxel < SHAPE), axis=-1)
        labels = np.zeros(ok.shape, dtype=int)
        volume = drawn.labels.reshape(SHAPE, order="F")
        labels[ok] = volume[tuple(voxel[ok].T)]
        shown = pixels[panel.region][::-1]
        blue, amber = shown[(labels > 0) & (labels <= 20)], shown[labels > 20]
        grey = shown[labels == 0]
        # Outlines and letters cover a few pixels.
        assert np.mean(blue[:, 2] > blue[:, 0]) > 0.8 if len(blue) else True
        assert np.mean(amber[:, 0] > amber[:, 2]) > 0.8 if len(amber) else True
        assert np.mean(grey[:, 0] == grey[:, 2]) > 0.7
        seen += len(blue) + len(amber)
    assert seen > 1000


def test_every_direction_has_its_slices(scene):
    panels = slice_panels(scene)
    assert len(panels) == 3 * COLUMNS
    for panel, *_ in panels:
        rows, columns = panel.region
        assert 0 <= columns.start < columns.stop <= 780
        assert rows.start > 0


@pytest.mark.parametrize("n", [1, 2, 6])
def test_slices_of_few_spheres_go_through_their_seeds(scene, n):
    few = Scene(scene.centres[:n], scene.radii[:n], scene.backdrop)
    panels = slice_panels(few)
    assert [sphere for *_, sphere in panels] == [*range(n)] * 3
    for panel, depth, sphere in panels:
        assert depth == scene.centres[sphere, panel.view.through]
        assert panel.region[1].stop <= 780
    assert mosaic(few, None, ["a $b$"] * n).shape[1] == 2 * 780


def test_maps_are_blue_and_red_where_they_are_strong(scene):
    x = GRID.affine[0, 0] * np.arange(SHAPE[0]) + GRID.affine[0, 3]
    values = np.broadcast_to(np.sign(x)[:, None, None], SHAPE).ravel(order="F")
    few = Scene(scene.centres[:2], scene.radii[:2], scene.backdrop)
    strong, weak = (
        map_slices(few, [VoxelMap(GRID, values * z)] * 2, ["a", "b"]).astype(int)
        for z in (0.8, 0.1)
    )
    for small, *_ in [panel for panel in slice_panels(few) if panel[0].view.name == "axial"]:
        panel = small.enlarged(2)
        across = panel.points[0]
        shown = strong[panel.region][panel.height // 4 : -panel.height // 4]
        left, right = (
            shown[:, (across < -10) & (across > -30)],
            shown[:, (across > 10) & (across < 30)],
        )
        assert np.mean(left[..., 2] > left[..., 0]) > 0.8
        assert np.mean(right[..., 0] > right[..., 2]) > 0.8
        assert np.mean(np.ptp(weak[panel.region], axis=-1) == 0) > 0.9


def test_without_background_and_image_outlines_are_left(scene):
    bare = Scene(scene.centres, scene.radii, given_colours=scene.given_colours)
    pixels = mosaic(bare, None).astype(int)
    assert ((pixels[..., 2] - pixels[..., 0]) > 60).sum() > 100
