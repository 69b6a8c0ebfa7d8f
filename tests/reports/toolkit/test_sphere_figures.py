"""Figures of spheres: which voxels are coloured, where slices and lines are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_spheres.engine import Grid, sphere_weights
from bids_spheres.engine.spheres import label_volume
from bids_spheres.reports.toolkit import sphere_figures as spheres
from bids_spheres.reports.toolkit.geometry import (
    VIEWS,
    backdrop,
    mesh_positions,
    three_panels,
)
from bids_spheres.reports.toolkit.sphere_figures import (
    COLUMNS,
    EMPTY,
    FULL,
    PARTIAL,
    Scene,
    SlicePainter,
    VoxelMap,
    depths,
    map_slices,
    mosaic,
    slice_panels,
)

AFFINE = np.array([[3.0, 0, 0, -45], [0, 3, 0, -54], [0, 0, 3, -36], [0, 0, 0, 1]])
SHAPE = (31, 37, 26)
GRID = Grid(SHAPE, AFFINE)


@pytest.fixture(scope="module")
def scene(facts):
    data = np.asanyarray(facts.background.dataobj)
    return Scene(facts.coordinates, facts.radii, backdrop(data, facts.weights.grid), facts.weights)


def test_coloured_voxels_are_those_used(scene, facts):
    panel = three_panels(scene.box, 780)[2]
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
    for panel in three_panels(scene.box, 780):
        lines = spheres.hairs(panel, seed, radius)
        assert len(lines) == 4
        for line in lines:
            apart = np.linalg.norm(line - panel.pixel(seed), axis=1) / panel.scale
            assert apart.min() > radius


def test_ticks_are_round_and_in_view(scene):
    for panel in three_panels(scene.box, 780):
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


@pytest.fixture
def brain():
    seeds = np.random.default_rng(0).uniform([-30, -40, -25], [30, 40, 30], (30, 3))
    colours = np.array([FULL] * 20 + [PARTIAL] * 10)
    return Scene(seeds, np.full(30, 9.0), backdrop(np.ones(SHAPE), GRID), given_colours=colours)


@pytest.fixture
def drawn(brain):
    weights = sphere_weights(brain.centres, brain.radii, GRID)
    return VoxelMap(GRID, label_volume(weights, brain.centres).ravel(order="F"))


def test_slices_lie_where_spheres_are(brain):
    for view in VIEWS:
        cuts = depths(brain, view, 6)
        along = brain.centres[:, view.through]
        assert along.min() <= cuts.min() < cuts.max() <= along.max()
        np.testing.assert_allclose(np.diff(cuts), np.diff(cuts)[0])


def test_spheres_without_a_voxel_do_not_move_the_slices(brain):
    far = np.vstack([brain.centres, [[0, 0, 33.0]] * 3])
    colours = np.append(brain.given_colours, [EMPTY] * 3)
    with_empty = Scene(far, np.full(33, 9.0), brain.backdrop, given_colours=colours)
    for view in VIEWS:
        np.testing.assert_array_equal(depths(with_empty, view, 4), depths(brain, view, 4))


def test_voxels_have_the_colour_of_their_sphere(brain, drawn):
    pixels = mosaic(brain, drawn).astype(int)
    seen = 0
    for small, depth, _ in slice_panels(brain):
        panel = small.enlarged(2)
        mesh = np.meshgrid(*panel.points, indexing="xy")
        points = np.empty((*mesh[0].shape, 3))
        points[..., panel.view.across], points[..., panel.view.up] = mesh
        points[..., panel.view.through] = depth
        voxel = np.rint((points - AFFINE[:3, 3]) / 3).astype(int)
        ok = np.all((voxel >= 0) & (voxel < SHAPE), axis=-1)
        labels = np.zeros(ok.shape, dtype=int)
        volume = drawn.values.reshape(SHAPE, order="F")
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


def test_every_direction_has_its_slices(brain):
    panels = slice_panels(brain)
    assert len(panels) == 3 * COLUMNS
    for panel, *_ in panels:
        rows, columns = panel.region
        assert 0 <= columns.start < columns.stop <= 780
        assert rows.start > 0


@pytest.mark.parametrize("n", [1, 2, 6])
def test_slices_of_few_spheres_go_through_their_seeds(brain, n):
    few = Scene(brain.centres[:n], brain.radii[:n], brain.backdrop)
    panels = slice_panels(few)
    assert [sphere for *_, sphere in panels] == [*range(n)] * 3
    for panel, depth, sphere in panels:
        assert depth == brain.centres[sphere, panel.view.through]
        assert panel.region[1].stop <= 780
    assert mosaic(few, None, ["a $b$"] * n).shape[1] == 2 * 780


def test_maps_are_blue_and_red_where_they_are_strong(brain):
    x = GRID.affine[0, 0] * np.arange(SHAPE[0]) + GRID.affine[0, 3]
    values = np.broadcast_to(np.sign(x)[:, None, None], SHAPE).ravel(order="F")
    few = Scene(brain.centres[:2], brain.radii[:2], brain.backdrop)
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


def test_without_background_and_image_outlines_are_left(brain):
    bare = Scene(brain.centres, brain.radii, given_colours=brain.given_colours)
    pixels = mosaic(bare, None).astype(int)
    assert ((pixels[..., 2] - pixels[..., 0]) > 60).sum() > 100


@pytest.mark.parametrize(
    ("radii", "regions", "words"),
    [
        ([5.0, 5], False, "2 spheres with a radius of 5 mm."),
        ([0.0], False, "1 sphere of one voxel each, the one that holds the seed."),
        ([7.25, 0, 3], False, "3 spheres with radii from 0 to 7.25 mm."),
        (
            [6.20351, 7.81593],
            True,
            "2 regions of 1 to 2 cm³, drawn as balls of their volumes around their centres.",
        ),
        (
            [6.20351] * 2,
            True,
            "2 regions of 1 cm³, drawn as balls of their volumes around their centres.",
        ),
    ],
)
def test_numbers_and_sizes_of_spheres_in_words(radii, regions, words):
    assert spheres.describe_spheres(np.array(radii), regions=regions) == words


def bare_scene(centres, radii, **more):
    return Scene(np.array(centres, float), np.array(radii, float), **more)


def test_ticks_are_six_steps_at_most():
    """Spheres of 5 mm with a margin of 10 mm around them."""
    scene = bare_scene([[0, 0, 0], [30, 30.5, -70]], [5, 5])
    axial, coronal = three_panels(scene.box, 780)[2], three_panels(scene.box, 780)[1]
    assert spheres.ticks(axial, 0)[:, 0].tolist() == [-10, 0, 10, 20, 30, 40]
    assert spheres.ticks(axial, 1)[:, 1].tolist() == [0, 20, 40]
    assert spheres.ticks(coronal, 2)[:, 2].tolist() == [-80, -60, -40, -20, 0]
    np.testing.assert_array_equal(spheres.ticks(axial, 0)[:, 1:], np.tile([-15, -85], (6, 1)))
    assert "-0.0" not in str(spheres.ticks(axial, 0)[:, 0].tolist())


def test_hairs_by_arithmetic():
    scene = bare_scene([[0, 0, 0], [30, 30, -70]], [5, 5])
    panel = three_panels(scene.box, 780, top=22)[2]
    seed = np.array([10.0, -5, 3])
    across, down = panel.pixel(seed)
    for radius, gap in ((6.0, 6 * panel.scale + 4), (0.5, max(0.5 * panel.scale, 4) + 4)):
        left, right, above, below = spheres.hairs(panel, seed, radius)
        assert left.tolist() == [[panel.left, down], [across - gap, down]]
        assert right.tolist() == [[across + gap, down], [panel.right, down]]
        assert above.tolist() == [[across, panel.top], [across, down - gap]]
        assert below.tolist() == [[across, down + gap], [across, panel.bottom]]
    # A sphere as large as the panel leaves no room for them.
    assert spheres.hairs(panel, seed, 200.0) == []


def test_spheres_that_touch_do_not_overlap():
    scene = bare_scene([[0, 0, 0], [9, 0, 0], [0, 8.99, 0]], [5, 4, 4])
    assert [scene.overlapping(s).tolist() for s in range(3)] == [[2], [], [0]]
    panel = three_panels(scene.box, 780)[2]
    (ring,) = scene.outline(0, panel, 3.0)
    np.testing.assert_allclose(ring, panel.circle(scene.centres[0], 4.0))
    assert scene.outline(0, panel, 5.1) == []
    assert bare_scene([[0, 0, 0]], [0]).outline(0, panel, 0.0) == []


def test_depths_leave_out_four_per_cent_at_either_end():
    centres = np.zeros((101, 3))
    centres[:, 2] = np.arange(101)
    scene = bare_scene(centres, np.ones(101))
    np.testing.assert_allclose(depths(scene, VIEWS[2], 5), np.linspace(4, 96, 5))
    colours = np.array([FULL] * 51 + [EMPTY] * 50)
    scene = bare_scene(centres, np.ones(101), given_colours=colours)
    np.testing.assert_allclose(depths(scene, VIEWS[2], 3), [2, 25, 48])
    # The image and spheres that touch it end at 61 mm, the margin at 65: a sphere at 66 touches it.
    data = np.zeros((3, 3, 60))
    far = Scene(centres, np.ones(101), backdrop(data, Grid(data.shape, np.eye(4))))
    np.testing.assert_allclose(depths(far, VIEWS[2], 2), np.array([0.04, 0.96]) * 66)
    nothing = bare_scene(centres, np.ones(101), given_colours=np.array([EMPTY] * 101))
    np.testing.assert_allclose(depths(nothing, VIEWS[2], 2), [4, 96])


@pytest.mark.parametrize("n", [2, 6, 7])
def test_places_of_slices(n):
    """At most six columns and at least three, 6 pixels apart, below one another at one scale."""
    centres = np.stack([10.0 * np.arange(n), 5.0 * np.arange(n), np.zeros(n)], axis=1)
    scene = bare_scene(centres, np.full(n, 4.0))
    size = scene.box.size
    np.testing.assert_allclose(size, [10 * (n - 1) + 28, 5 * (n - 1) + 28, 28])
    columns = min(max(n, 3), 6)
    room = 786 / columns - 6
    scale = min((room - 1) / size[:2].max(), 200 / size[1:].max())
    panels = slice_panels(scene)
    assert len(panels) == 3 * min(n, 6)
    top = 18
    for row, (view, across, up) in enumerate(zip(VIEWS, (1, 0, 0), (2, 2, 1), strict=True)):
        own = panels[row * min(n, 6) : (row + 1) * min(n, 6)]
        spare = (room - size[across] * scale) / 2
        for i, (panel, _, sphere) in enumerate(own):
            assert (panel.view, panel.top) == (view, top)
            assert panel.scale == pytest.approx(scale)
            assert panel.left == int(i * (room + 6) + spare)
            assert sphere == (i if n <= 6 else None)
        top += round(size[up] * scale) + 18 + 6


def test_many_spheres_are_discs_of_a_few_pixels():
    """A hundred have outlines, more have discs: in three views, of 3 to 6 pixels in the page."""
    places = 12.0 * np.indices((6, 6, 3)).reshape(3, -1).T
    rgb = np.frombuffer(bytes.fromhex(FULL[1:]), np.uint8)
    inked = {}
    for n in (100, 101):
        drawn = spheres.overview(bare_scene(places[:n], np.full(n, 3.0)))
        inked[n] = (np.abs(drawn.astype(int) - rgb).max(axis=-1) < 60).sum() / (3 * n)
    assert 4 < inked[101] < 4 * 64
    assert inked[100] != pytest.approx(inked[101], rel=0.1)


def test_values_of_a_map_and_where_they_are_extreme():
    """Voxels in Fortran order, 2 mm apart; outside the image there is no value."""
    affine = np.diag([2.0, 2, 2, 1])
    values = np.zeros((3, 4, 2))
    values[2, 0, 0], values[0, 1, 0], values[2, 3, 1] = 7, -9, 5
    drawn = VoxelMap(Grid(values.shape, affine), values.ravel(order="F"))
    found = drawn.at(
        [np.array([4.0, 0, 4, 6, -3]), np.array([0.0, 2, 6, 6, 0]), np.array([0.0, 0, 2, 2, 0])]
    )
    assert found.tolist() == [7, -9, 5, 0, 0]
    names, places = drawn.extremes()
    assert names == ["highest", "lowest"]
    assert places.tolist() == [[4, 0, 0], [0, 2, 0]]
    positive = VoxelMap(drawn.grid, np.maximum(drawn.values, 0))
    assert positive.extremes()[0] == ["highest"]
    assert positive.extremes()[1].tolist() == [[4, 0, 0]]
    assert VoxelMap(drawn.grid, 0 * drawn.values).extremes()[1].tolist() == [[0, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 101])
def test_spheres_too_far_away_are_in_no_view(n):
    """Not in the one either, in whose direction they are far."""
    places = 6.0 * np.indices((6, 6, 3)).reshape(3, -1).T[:n]
    data = np.zeros((20, 20, 10))
    behind = backdrop(data, Grid(data.shape, np.diag([2.0, 2, 2, 1])))
    near = Scene(places, np.full(n, 2.0), behind)
    far = Scene(np.vstack([places, [[20, 5000, 9]]]), np.full(n + 1, 2.0), behind)
    np.testing.assert_array_equal(spheres.overview(far), spheres.overview(near))
    assert near.too_far(["a"] * n) == ""
    assert far.too_far([*["a"] * n, "b"]) == " Too far away to be shown: b."


@pytest.mark.parametrize(("radius", "drawn"), [(2.0, 2), (0.0, 1), (6.0, 6)])
def test_rings_have_the_radius_of_their_sphere(radius, drawn):
    """One of no radius is drawn with 1 mm."""
    scene = bare_scene([[0, 0, 0], [40, 40, 40]], [radius, 6])
    panel = three_panels(scene.box, 780, top=24, left=40, right=8, between=40)[2].enlarged(2)
    rgb = np.frombuffer(bytes.fromhex(FULL[1:]), np.uint8).astype(int)
    pixels = spheres.overview(scene).astype(int)[panel.region]
    inked = np.abs(pixels - rgb).max(axis=-1) < 60
    across = np.flatnonzero(inked[:, : panel.width // 2].any(axis=0))
    width = np.ptp(across) / panel.scale
    assert width == pytest.approx(2 * drawn, abs=4 / panel.scale)
