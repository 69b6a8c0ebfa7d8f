"""Figures of spheres: which voxels are coloured, where lines end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_spheres.reports.toolkit import sphere_figures as spheres
from bids_spheres.reports.toolkit.geometry import Margins, backdrop, mesh_positions, three_panels
from bids_spheres.reports.toolkit.sphere_figures import Scene, SlicePainter


@pytest.fixture(scope="module")
def scene(facts):
    data = np.asanyarray(facts.background.dataobj)
    return Scene(facts.coordinates, facts.radii, backdrop(data, facts.weights.grid), facts.weights)


def test_coloured_voxels_are_those_used(scene, facts):
    panel = three_panels(scene.box, 780, Margins())[2]
    mesh = panel.mesh(2.0)
    drawn = scene.slice_with_sphere(mesh, 0)
    coloured = (drawn[..., 0] != drawn[..., 2]).ravel()
    positions = mesh_positions(facts.weights.grid, mesh).ravel()
    used = facts.weights.voxels[facts.weights.membership.toarray()[0]]
    np.testing.assert_array_equal(coloured, np.isin(positions, used))
    assert coloured.any()


def test_a_painter_forgets_the_sphere_before(scene):
    fresh = SlicePainter(scene).paint(1)
    painter = SlicePainter(scene)
    for other in (0, 3, 4):
        painter.paint(other)
    np.testing.assert_array_equal(painter.paint(1), fresh)


def test_a_far_sphere_is_not_drawn_where_it_is_not(scene):
    painter = SlicePainter(scene)
    coloured = np.ptp(painter.paint(3).astype(int), axis=-1) > 0
    # x = 400 mm is in the sagittal slice through the seed, and beyond the borders of the others.
    sagittal, coronal, axial = (coloured[panel.region].any() for panel in painter._panels)
    assert (sagittal, coronal, axial) == (True, False, False)
    assert not painter.slices(3)[painter._panels[0].region].any()


def test_spheres_that_overlap_are_found(scene):
    assert [scene.overlapping(s).tolist() for s in range(5)] == [[1], [0], [], [], []]


def test_colours_tell_full_from_partial_from_empty(scene, facts):
    share = facts.weights.coverage
    expected = np.where(
        share == 1, spheres.FULL, np.where(share > 0, spheres.PARTIAL, spheres.EMPTY)
    )
    assert scene.colours().tolist() == expected.tolist()
    assert set(replace(scene, weights=None).colours()) == {spheres.FULL}


def test_lines_leave_the_sphere_free(scene):
    seed, radius = np.array([2.0, 4, 2]), 6.0
    for panel in three_panels(scene.box, 780, Margins()):
        lines = spheres.hairs(panel, seed, radius)
        assert len(lines) == 4
        for line in lines:
            apart = np.linalg.norm(line - panel.pixel(seed), axis=1) / panel.scale
            assert apart.min() > radius


def test_ticks_are_round_and_in_view(scene):
    for panel in three_panels(scene.box, 780, Margins()):
        for axis in (panel.view.across, panel.view.up):
            values = spheres.ticks(panel, axis)[:, axis]
            assert 2 <= len(values) <= 7
            assert values.min() >= scene.box.lower[axis]
            assert values.max() <= scene.box.upper[axis]
            assert (values % 1 == 0).all()


def test_fine_voxels_are_sampled_every_other_pixel(scene):
    assert spheres.pixels_per_sample(scene, 3.0) == 1
    assert spheres.pixels_per_sample(scene, 0.4) == 2
    drawn = SlicePainter(scene)
    drawn._panels = tuple(replace(panel, scale=panel.scale / 12) for panel in drawn._panels)
    assert drawn.slices(0).shape == (len(drawn._blank), 780, 3)


def test_the_overview_shows_every_state(scene):
    drawn = spheres.overview(scene).reshape(-1, 3)
    for colour in (spheres.FULL, spheres.PARTIAL):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(drawn.astype(int) - rgb).max(axis=1) < 12).any()
