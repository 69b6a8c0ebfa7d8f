"""Geometry of pictures against nibabel's affines and searches over all voxels."""

from __future__ import annotations

from itertools import pairwise

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from bids_spheres.engine import Grid
from bids_spheres.errors import DataError
from bids_spheres.reports.toolkit import geometry
from bids_spheres.reports.toolkit.geometry import VIEWS, Box, backdrop, three_panels

SHAPE = (17, 21, 13)


def oblique(angles, zooms=(2.0, 3.0, 2.5), flip=1):
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag([flip * zooms[0], *zooms[1:]])
    affine[:3, 3] = [-12, -30, 5]
    return affine


def sheared():
    affine = oblique((5, 0, 0))
    affine[0, 1] += 0.8
    return affine


AFFINES = {
    "straight": oblique((0, 0, 0)),
    "left-handed": oblique((0, 0, 0), flip=-1),
    "tilted": oblique((20, 0, 0)),
    "oblique": oblique((31, -17, 54), flip=-1),
    "axes swapped": oblique((90, 0, 90)),
    "sheared": sheared(),
}


@pytest.fixture(params=AFFINES.values(), ids=AFFINES.keys())
def grid(request):
    return Grid(SHAPE, request.param)


def points_inside(grid, n=40):
    voxels = np.random.default_rng(1).uniform(-0.4, np.array(SHAPE) - 0.6, (n, 3))
    return apply_affine(grid.affine, voxels)


def test_mesh_finds_the_voxel_that_holds_each_point(grid):
    axes = [np.linspace(low - 5, high + 5, 19) for low, high in zip(*limits(grid), strict=True)]
    found = geometry.mesh_positions(grid, np.ix_(*axes))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    voxels = np.rint(apply_affine(np.linalg.inv(grid.affine), points)).astype(int)
    inside = ((voxels >= 0) & (voxels < SHAPE)).all(axis=-1)
    assert (found[~inside] == -1).all()
    expected = np.ravel_multi_index(voxels[inside].T, SHAPE, order="F")
    np.testing.assert_array_equal(found[inside], expected)
    assert inside.any()
    assert not inside.all()


def limits(grid):
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in SHAPE])).reshape(3, -1).T
    corners = apply_affine(grid.affine, corners)
    return corners.min(axis=0), corners.max(axis=0)


def test_image_box_holds_all_voxels(grid):
    box = geometry.image_box(grid)
    np.testing.assert_allclose([box.lower, box.upper], limits(grid))


@pytest.mark.parametrize("view", range(3), ids=[view.name for view in VIEWS])
def test_the_pixel_of_a_seed_shows_the_voxel_of_the_seed(grid, view):
    panel = three_panels(geometry.image_box(grid), 2000, left=7, top=11)[view]
    for seed in points_inside(grid):
        across, down = np.floor(panel.pixel(seed)).astype(int) - [panel.left, panel.top]
        mesh = panel.mesh(seed[panel.view.through])
        shown = geometry.mesh_positions(grid, mesh)[down, across]
        assert shown in positions_within_a_pixel(grid, seed, panel)


def positions_within_a_pixel(grid, seed, panel):
    """Voxels at the seed and at most half a pixel from it in the plane of the panel."""
    found = set()
    for right in (-0.5, 0, 0.5):
        for up in (-0.5, 0, 0.5):
            point = seed.copy()
            point[panel.view.across] += right / panel.scale
            point[panel.view.up] += up / panel.scale
            found.add(int(grid.flat(grid.voxel_of(point))))
    return found


@pytest.mark.parametrize("view", range(3), ids=[view.name for view in VIEWS])
def test_a_seed_at_a_voxels_centre_is_shown_in_that_voxel(grid, view):
    panel = three_panels(geometry.image_box(grid), 900)[view]
    for voxel in ([3, 4, 5], [0, 0, 0], [16, 20, 12], [8, 2, 11]):
        seed = apply_affine(grid.affine, voxel)
        across, down = np.floor(panel.pixel(seed)).astype(int) - [panel.left, panel.top]
        mesh = panel.mesh(seed[panel.view.through])
        expected = np.ravel_multi_index(voxel, SHAPE, order="F")
        assert geometry.mesh_positions(grid, mesh)[down, across] == expected


def test_pixels_lie_where_the_mesh_says(grid):
    for panel in three_panels(geometry.image_box(grid), 400, left=3, top=5):
        x, y, z = np.broadcast_arrays(*panel.mesh(1.5))
        assert x.shape == (panel.height, panel.width)
        rows, columns = panel.region
        down, across = np.mgrid[rows, columns] + 0.5
        # A panel is a whole number of pixels high, a box is not.
        tolerance = {"rtol": 0, "atol": 0.51}
        np.testing.assert_allclose(
            panel.pixel(np.stack([x, y, z], axis=-1)),
            np.stack([across, down], axis=-1),
            **tolerance,
        )


def test_circles_are_to_scale_and_round():
    box = Box(np.array([-90.0, -120, -60]), np.array([90.0, 80, 85]))
    seed, radius = np.array([-38.0, -22, 56]), 8.0
    for panel in three_panels(box, 780):
        rim = panel.circle(seed, radius)
        distance = np.linalg.norm(rim - panel.pixel(seed), axis=1) / panel.scale
        np.testing.assert_allclose(distance, radius)
        np.testing.assert_allclose(rim[0], rim[-1], atol=1e-9)
        # The rightmost point of the circle is the sphere's rightmost point.
        right = seed.copy()
        right[panel.view.across] += radius
        np.testing.assert_allclose(rim[0], panel.pixel(right))


def test_right_is_right_and_up_is_up():
    box = Box(np.array([-90.0, -120, -60]), np.array([90.0, 80, 85]))
    sagittal, coronal, axial = three_panels(box, 780)
    origin, more = np.zeros(3), np.array([10.0, 20.0, 30.0])
    moved = {p.view.name: p.pixel(more) - p.pixel(origin) for p in (sagittal, coronal, axial)}
    scale = axial.scale
    np.testing.assert_allclose(moved["sagittal"], [20 * scale, -30 * scale])
    np.testing.assert_allclose(moved["coronal"], [10 * scale, -30 * scale])
    np.testing.assert_allclose(moved["axial"], [10 * scale, -20 * scale])
    assert [(v.left, v.right) for v in VIEWS] == [("P", "A"), ("L", "R"), ("L", "R")]


@pytest.mark.parametrize(
    "size", [(180, 210, 150), (30, 30, 400), (30, 400, 30), (300, 20, 20), (20, 20, 20)]
)
def test_panels_share_a_scale_and_fit(size):
    panels = three_panels(
        Box(np.zeros(3), np.array(size, float)), 780, top=20, left=40, right=8, between=40
    )
    assert len({panel.scale for panel in panels}) == 1
    assert panels[0].left >= 40
    assert panels[-1].left + panels[-1].width <= 772
    for first, second in pairwise(panels):
        assert second.left == first.left + first.width + 40
    assert geometry.bottom_of(panels) <= 20 + 481


def test_a_section_has_the_radius_that_pythagoras_gives():
    for radius, distance in ((5, 0), (5, 3), (5, -3), (8, 7.9)):
        assert geometry.section_radius(radius, distance) ** 2 + distance**2 == pytest.approx(
            radius**2
        )
    assert geometry.section_radius(5, 5.1) is None


def test_a_projection_shows_the_brightest_voxel_behind_a_pixel():
    data = np.random.default_rng(0).uniform(0, 100, SHAPE)
    affine = np.diag([2.0, 2, 2, 1])
    shown = backdrop(data, Grid(SHAPE, affine))
    grey = shown.grey[:-1].reshape(SHAPE, order="F")
    box = geometry.image_box(shown.grid)
    for panel in three_panels(box, 600):
        projected = shown.projection(panel)
        across, up = panel.points
        brightest = grey.max(axis=panel.view.through)
        columns = np.clip(np.rint(across / 2).astype(int), 0, brightest.shape[0] - 1)
        rows = np.clip(np.rint(up / 2).astype(int), 0, brightest.shape[1] - 1)
        same = projected == brightest[np.ix_(columns, rows)].T[::-1]
        assert same.mean() > 0.98  # pixels on a border between voxels may show either


def test_a_projection_of_an_oblique_image_keeps_its_place(grid):
    data = np.zeros(SHAPE)
    data[5, 6, 7] = 1
    panels = three_panels(geometry.image_box(grid), 900)
    centre = apply_affine(grid.affine, [5, 6, 7])
    for panel in panels:
        rows, columns = np.nonzero(backdrop(data, grid).projection(panel))
        middle = np.array([columns.mean() + panel.left, rows.mean() + panel.top]) + 0.5
        assert np.abs(middle - panel.pixel(centre)).max() / panel.scale < 2  # mm: within the voxel


def test_outside_the_image_is_black():
    shown = backdrop(np.ones(SHAPE), Grid(SHAPE, np.eye(4)))
    assert shown.at([np.array([-3.0, 99.0]), 2.0, 2.0]).tolist() == [0, 0]


def test_greys_rise_with_values_and_ignore_nan():
    data = np.linspace(0, 1000, np.prod(SHAPE)).reshape(SHAPE, order="F")
    data[0, 0, 0], data[1, 0, 0] = np.nan, np.inf
    grey = backdrop(data, Grid(SHAPE, np.eye(4))).grey
    assert (np.diff(grey[2:-1].astype(int)) >= 0).all()
    assert grey[0] == grey[1] == 0
    assert grey.max() >= 248


@pytest.mark.parametrize("data", [np.zeros(SHAPE), np.full(SHAPE, 7), np.ones(SHAPE, bool)])
def test_images_of_one_value_can_be_shown(data):
    grid = Grid(SHAPE, np.eye(4))
    seeds = np.array([[3.0, 3, 3]])
    box = geometry.field_of_view(backdrop(data, grid), seeds, np.array([2.0]))
    assert (box.size >= SHAPE).all()


def test_masks_are_white():
    data = np.zeros(SHAPE, np.uint8)
    data[3:6, 3:6, 3:6] = 1
    grey = backdrop(data, Grid(SHAPE, np.eye(4))).grey
    assert set(grey.tolist()) == {0, 248}
    assert (grey > 0).sum() == 27


def test_four_dimensions_are_refused():
    with pytest.raises(DataError, match="one volume"):
        backdrop(np.zeros((2, 2, 2, 2)), Grid((2, 2, 2), np.eye(4)))


def test_one_far_seed_does_not_shrink_the_brain():
    shown = backdrop(np.ones(SHAPE), Grid(SHAPE, np.eye(4)))
    seeds = np.array([[3.0, 3, 3], [-4, 5, 5], [5000, 0, 0]])
    box = geometry.field_of_view(shown, seeds, np.array([2.0, 5, 5]), margin=4)
    assert box.lower[0] == pytest.approx(-4 - 5 - 4)
    assert box.upper[0] < 30
    assert box.touches(seeds, np.array([2.0, 5, 5])).tolist() == [True, True, False]


def test_without_an_image_all_spheres_are_in_view():
    seeds = np.array([[3.0, 3, 3], [5000, 0, 0]])
    box = geometry.field_of_view(None, seeds, np.array([2.0, 5]))
    assert box.lower[0] <= 1
    assert box.upper[0] >= 5005


def test_the_head_is_found(background):
    grid = Grid(background.shape, np.asarray(background.affine))
    head = backdrop(np.asanyarray(background.dataobj), grid).head
    whole = geometry.image_box(grid)
    # The first slice is dark.
    np.testing.assert_allclose(head.lower, whole.lower + np.array([3, 0, 0]))
    np.testing.assert_allclose(head.upper, whole.upper)


def test_canonical_images_look_the_same():
    data = np.random.default_rng(0).uniform(0, 100, SHAPE)
    img = nib.Nifti1Image(data, AFFINES["axes swapped"])
    other = nib.as_closest_canonical(img)
    assert other.shape != img.shape
    depth = apply_affine(img.affine, [8, 10, 6])[0] + 0.2
    pictures = []
    for shown in (img, other):
        grid = Grid(shown.shape, np.asarray(shown.affine))
        panel = three_panels(geometry.image_box(grid), 500)[0]
        pictures.append(backdrop(shown.get_fdata(), grid).at(panel.mesh(depth)))
    assert pictures[0].any()
    np.testing.assert_array_equal(*pictures)


def test_a_sphere_that_touches_a_box_at_a_point_counts():
    box = Box(np.zeros(3), np.array([10.0, 20, 30]))
    centres = np.array([[13.0, 24, 30], [13, 24, 30], [-2, 5, 5], [5, 5, 5], [5, 5, 33]])
    assert box.touches(centres, np.array([5, 4.9, 2, 0, 2.9])).tolist() == [
        *(True, False, True, True, False)
    ]


def test_three_panels_by_arithmetic():
    """180, 60 and 100 mm: 60 + 180 + 180 across, 60 + 100 + 100 ... by the room that is left."""
    box = Box(np.array([-90.0, -20, 10]), np.array([90.0, 40, 110]))
    panels = three_panels(box, 780, top=20, left=40, right=8, between=40)
    scale = (780 - 48 - 80 - 1.5) / 420
    assert panels[0].scale == pytest.approx(scale)
    widths = [round(60 * scale), round(180 * scale), round(180 * scale)]
    assert [(p.width, p.height) for p in panels] == list(
        zip(widths, [round(100 * scale), round(100 * scale), round(60 * scale)], strict=True)
    )
    assert [p.left for p in panels] == [40, 40 + widths[0] + 40, 40 + sum(widths[:2]) + 80]
    assert [p.top for p in panels] == [20] * 3
    assert geometry.bottom_of(panels) == 20 + round(100 * scale)
    # By default nothing is free around them, and 6 pixels between.
    plain = three_panels(box, 780)
    assert plain[0].scale == pytest.approx((780 - 12 - 1.5) / 420)
    assert (plain[0].left, plain[0].top) == (0, 0)
    assert plain[1].left == plain[0].width + 6
    # Tall boxes: no panel is higher than 480 pixels, and they stand in the middle.
    tall = three_panels(Box(np.zeros(3), np.array([30.0, 30, 400])), 780)
    assert tall[0].scale == pytest.approx(1.2)
    assert tall[0].left == int(768 - 90 * 1.2) // 2
    big = panels[1].enlarged(2)
    assert (big.left, big.top, big.width, big.height) == (
        *(2 * panels[1].left, 40, 2 * panels[1].width, 2 * panels[1].height),
    )
    assert (panels[1].right, panels[1].bottom) == (
        panels[1].left + widths[1],
        20 + panels[1].height,
    )
    assert panels[1].middle == panels[1].left + widths[1] / 2


def test_points_in_front_of_a_panel_and_every_other_pixel():
    box = Box(np.array([-90.0, -20, 10]), np.array([90.0, 40, 110]))
    sagittal, coronal, axial = three_panels(box, 780)
    assert [p.shows([500, 40, 10]) for p in (sagittal, coronal, axial)] == [True, False, False]
    assert [p.shows([0, 40.1, 60]) for p in (sagittal, coronal, axial)] == [False, True, False]
    full, half = coronal.mesh(3.0), coronal.mesh(3.0, 2)
    assert full[1] == half[1] == 3.0
    np.testing.assert_array_equal(half[0], full[0][:, ::2])
    np.testing.assert_array_equal(half[2], full[2][::2])
    assert full[2][0, 0] > full[2][-1, 0]
    np.testing.assert_allclose(full[0][0, :2], -90 + np.array([0.5, 1.5]) / coronal.scale)


def test_the_view_has_a_margin():
    seeds = np.array([[3.0, -4, 5], [10, 20, 30]])
    radii = np.array([2.0, 6])
    box = geometry.field_of_view(None, seeds, radii)
    np.testing.assert_allclose([box.lower, box.upper], [[-9, -16, -7], [26, 36, 46]])
    assert geometry.field_of_view(None, seeds, radii, margin=1).lower[0] == -6
    shown = backdrop(np.ones(SHAPE), Grid(SHAPE, np.eye(4)))
    seeds[0, 1] = -2
    box = geometry.field_of_view(shown, seeds[:1], radii[:1])
    np.testing.assert_allclose(box.lower, [-4.5, -8, -4.5])
    np.testing.assert_allclose(box.upper, np.array(SHAPE) - 0.5 + 4)


def test_spheres_beside_the_head_and_in_the_image_are_in_view():
    data = np.zeros((20, 20, 20))
    data[5:10, 5:10, 5:10] = 1000
    shown = backdrop(data, Grid(data.shape, np.eye(4)))
    seeds = np.array([[18.0, 7, 7], [7, 7, -9], [7, 7, -2.5]])
    box = geometry.field_of_view(shown, seeds, np.array([1.0, 2, 2]), margin=0)
    np.testing.assert_allclose([box.lower, box.upper], [[4.5, 4.5, -4.5], [19, 9.5, 9.5]])


def test_greys_of_values():
    """From the 1st to the 99.7th percentile, in steps of 8."""
    data = np.arange(1001.0).reshape(7, 11, 13)
    grey = backdrop(data, Grid((7, 11, 13), np.eye(4))).grey
    scaled = np.clip((data.ravel(order="F") - 10) / 987, 0, 1) * 255
    np.testing.assert_array_equal(grey[:-1], scaled.astype(int) // 8 * 8)
    assert grey[-1] == 0


def test_dark_voxels_are_no_head():
    data = np.full((10, 12, 14), 0.0)
    data[2:5, 3:9, 4:13] = 1000
    data[7, 7, 7] = 110  # of 255: 24, and so dark
    grid = Grid(data.shape, np.diag([2.0, 3, 2, 1]))
    shown = backdrop(data, grid)
    head = shown.head
    np.testing.assert_allclose(head.lower, [3, 7.5, 7], atol=2)
    np.testing.assert_allclose(head.upper, [9, 25.5, 25], atol=2)
    assert shown.voxel_size == 2
    assert geometry.section_radius(5, 5) == 0
