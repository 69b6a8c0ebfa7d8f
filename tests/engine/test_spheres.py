"""Sphere geometry against searches over the whole lattice, published counts, scipy and nilearn."""

from __future__ import annotations

import itertools
import tracemalloc
import warnings
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nilearn.image import resample_img
from nilearn.maskers import NiftiSpheresMasker
from scipy.spatial.transform import Rotation

from bids_spheres.engine.spheres import (
    Grid,
    assemble,
    label_volume,
    nearest_only,
    sphere_weights,
    stack_weights,
)
from bids_spheres.errors import DataError, UsageError

deterministic = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    phases=[Phase.generate],  # with a search this slow, shrinking takes minutes
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

UNIT = np.eye(4)


def affine_of(zooms, angles=(0, 0, 0), origin=(0, 0, 0)):
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(zooms)
    affine[:3, 3] = origin
    return affine


def quietly(call, *args, **kwargs):
    """Call nilearn without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)


def used_voxels(weights):
    """Indices of the voxels in each sphere, as sets."""
    members = weights.membership.toarray()
    ijk = weights.grid.unflat(weights.voxels)
    return [{tuple(map(int, row)) for row in ijk[member]} for member in members]


# A slow search to compare with


@dataclass(frozen=True)
class Found:
    """One sphere by the definition, on a lattice without end."""

    ball: set
    own: tuple


def search(point, radius, grid):
    """Look at every voxel of a box that is certainly too large; None when rounding decides."""
    linear = grid.affine[:3, :3]
    where = np.linalg.solve(linear, point - grid.affine[:3, 3])
    reach = int(radius / np.linalg.svd(linear, compute_uv=False).min()) + 2
    axes = [range(int(np.floor(x)) - reach, int(np.floor(x)) + reach + 2) for x in where]
    ijk = np.array(list(itertools.product(*axes)))
    distance = np.linalg.norm(apply_affine(grid.affine, ijk) - point, axis=1)
    off = np.abs(ijk - where).max(axis=1)
    if (np.abs(distance - radius) < 1e-6).any() or (np.abs(off - 0.5) < 1e-6).any():
        return None
    (own,) = ijk[off < 0.5]
    inside = ijk[(distance < radius) | (off < 0.5)]
    return Found({tuple(map(int, row)) for row in inside}, tuple(map(int, own)))


@dataclass(frozen=True)
class Case:
    grid: Grid
    points: np.ndarray
    radii: np.ndarray
    mask: np.ndarray | None


@st.composite
def grids(draw, largest=8):
    shape = draw(st.tuples(*[st.integers(2, largest)] * 3))
    zooms = draw(st.tuples(*[st.floats(0.9, 4.0)] * 3))
    signs = draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    angles = draw(st.tuples(*[st.floats(-60, 60)] * 3))
    origin = draw(st.tuples(*[st.floats(-20, 20)] * 3))
    shear = np.eye(3)
    shear[0, 1] = draw(st.sampled_from([0, 0, 0.2]))
    affine = affine_of(np.multiply(zooms, signs), angles, origin)
    affine[:3, :3] = affine[:3, :3] @ shear
    return Grid(shape, affine)


@st.composite
def cases(draw):
    grid = draw(grids())
    count = draw(st.integers(1, 4))
    # From well outside of the image through its edge to its middle.
    share = st.floats(-0.6, 1.6)
    voxels = np.array(
        draw(st.lists(st.tuples(share, share, share), min_size=count, max_size=count))
    )
    points = apply_affine(grid.affine, voxels * grid.shape)
    radii = draw(st.lists(st.sampled_from([0, 1.7, 3, 4.3, 5.1]), min_size=count, max_size=count))
    number = draw(st.none() | st.integers(0, 99))
    mask = None if number is None else np.random.default_rng(number).random(grid.shape) < 0.6
    return Case(grid, points, np.array(radii, dtype=float), mask)


@deterministic
@given(cases())
def test_spheres_are_those_of_a_search_over_the_lattice(case):
    found = [search(*pair, case.grid) for pair in zip(case.points, case.radii, strict=True)]
    assume(all(found))
    allowed = np.ones(case.grid.shape, bool) if case.mask is None else case.mask
    there = {tuple(map(int, row)) for row in np.argwhere(allowed)}
    expected = [sphere.ball & there for sphere in found]
    sizes = np.array([len(sphere) for sphere in expected])
    asked = np.array([len(sphere.ball) for sphere in found])
    others = [set().union(*expected[:i], *expected[i + 1 :]) for i in range(len(expected))]

    weights = sphere_weights(case.points, case.radii, case.grid, case.mask)

    assert used_voxels(weights) == expected
    np.testing.assert_array_equal(weights.asked, asked)
    np.testing.assert_array_equal(weights.used, sizes)
    np.testing.assert_array_equal(weights.seed_used, [sphere.own in there for sphere in found])
    np.testing.assert_allclose(weights.coverage, sizes / asked)
    np.testing.assert_array_equal(weights.empty, sizes == 0)
    np.testing.assert_array_equal(weights.partial, (sizes > 0) & (sizes < asked))
    shared = [len(one & other) for one, other in zip(expected, others, strict=True)]
    np.testing.assert_array_equal(weights.overlaps, shared)


# Voxels exactly at the rim

# Lattice points with x^2 + y^2 + z^2 <= n, https://oeis.org/A117609
POINTS_IN_BALL = [1, 7, 19, 27, 33, 57, 81, 81, 93, 123, 147, 171, 179, 203, 251, 251, 257]


@pytest.mark.parametrize("spacing", [1, 2, 2.4, 3.3, 0.7, 1 / 3])
@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -25, 40)])
def test_the_rim_belongs_to_the_sphere(spacing, angles):
    affine = affine_of([spacing, -spacing, spacing], angles, (-37.1, 12.3, 4.7))
    seed = apply_affine(affine, [8, 9, 7])
    radii = spacing * np.sqrt(np.arange(len(POINTS_IN_BALL)))
    weights = sphere_weights(np.tile(seed, (len(radii), 1)), radii, Grid((17, 18, 16), affine))
    np.testing.assert_array_equal(weights.asked, POINTS_IN_BALL)
    np.testing.assert_array_equal(weights.used, POINTS_IN_BALL)


@pytest.mark.parametrize("spacing", [1, 2, 2.4, 3.3, 0.7, 0.1, 1 / 3])
@pytest.mark.parametrize("shift", [(1, 0, 0), (1, 1, 0), (1, 1, 1)])
def test_the_rim_belongs_to_spheres_around_seeds_between_voxels(spacing, shift):
    """In halves of voxels, so that distances are whole numbers; from one voxel to the next."""
    affine = affine_of([spacing] * 3)
    halves = 2 * np.moveaxis(np.indices((17, 17, 17)), 0, -1) - (np.array(shift) + 16)
    squares = (halves**2).sum(axis=-1)
    reached = np.unique(squares[squares <= 50])
    seeds = np.tile((np.array(shift) / 2 + 8) * spacing, (len(reached), 1))
    weights = sphere_weights(seeds, spacing * np.sqrt(reached) / 2, Grid((17, 17, 17), affine))
    np.testing.assert_array_equal(weights.asked, [(squares <= n).sum() for n in reached])


@pytest.mark.parametrize(
    ("position", "in_image"),
    [(-0.6, False), (-0.4, True), (0, True), (3.4, True), (3.6, False), (90, False)],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_seed_without_radius_is_the_voxel_that_holds_it(position, in_image, axis):
    seed = np.array([2.0, 2.0, 2.0])
    seed[axis] = position
    weights = sphere_weights([seed], 0, Grid((4, 4, 4), UNIT))
    assert used_voxels(weights) == [{tuple(np.round(seed).astype(int))} if in_image else set()]
    assert weights.asked.tolist() == [1]
    assert weights.seed_used.tolist() == weights.used.tolist() == [in_image]


def test_a_seed_outside_can_reach_into_the_image():
    weights = sphere_weights([[-1, 2, 2]], 1, Grid((4, 4, 4), UNIT))
    assert used_voxels(weights) == [{(0, 2, 2)}]
    assert weights.asked.tolist() == [7]
    assert (weights.partial[0], weights.empty[0], weights.seed_used[0]) == (True, False, False)


def test_no_seeds_are_no_spheres():
    weights = sphere_weights(np.empty((0, 3)), 5, Grid((4, 4, 4), UNIT))
    assert weights.membership.shape == (0, 0)
    for values in (weights.used, weights.asked, weights.coverage, weights.overlaps):
        assert values.shape == (0,)


def test_weights_are_those_of_a_sum():
    grid = Grid((9, 8, 7), affine_of([2, 3, 2.5], (5, 10, 15)))
    points = apply_affine(grid.affine, [[4, 4, 3], [0, 0, 0], [5, 4, 3], [40, 0, 0]])
    weights = sphere_weights(points, [5, 4, 0, 3], grid)
    volume = np.random.default_rng(0).normal(1000, 50, grid.shape)
    sums = weights.sums @ volume.ravel(order="F")[weights.voxels]
    for total, voxels in zip(sums[:3], used_voxels(weights)[:3], strict=True):
        assert total == pytest.approx(np.sum([volume[voxel] for voxel in voxels]), rel=1e-12)
    np.testing.assert_array_equal(weights.sums.sum(axis=1), weights.used)
    assert weights.used[3] == 0


def test_spheres_follow_the_arrays_as_they_are_now():
    grid, points, mask = Grid((5, 5, 5), UNIT), np.array([[2.0, 2, 2]]), np.ones((5, 5, 5), bool)
    assert sphere_weights(points, 1, grid, mask).used.tolist() == [7]
    mask[1, 2, 2] = False
    assert sphere_weights(points, 1, grid, mask).used.tolist() == [6]
    points[0, 0] = 0
    assert sphere_weights(points, 1, grid, mask).used.tolist() == [5]
    assert sphere_weights(points, 0, grid, mask).used.tolist() == [1]
    assert sphere_weights(points, 1, Grid((5, 5, 5), affine_of([2] * 3)), mask).used.tolist() == [1]


# Masks


def test_mask_on_another_grid_counts_by_its_nearest_voxel():
    rng = np.random.default_rng(5)
    grid = Grid((9, 8, 10), affine_of([3, -2.8, 3.2], (12, -8, 30), (4, 20, -7)))
    mask_grid = Grid((11, 13, 12), affine_of([-2.1, 2.3, 1.9], (-5, 14, 3), (24, -2, 1)))
    mask = rng.random(mask_grid.shape) < 0.7
    to_mask = np.linalg.inv(mask_grid.affine) @ grid.affine
    voxels, set_in_mask = np.argwhere(np.ones(grid.shape)), np.argwhere(mask)
    where = apply_affine(to_mask, voxels)
    near = (np.abs(where[:, None] - set_in_mask).max(axis=-1) < 0.5).any(axis=1)
    # Beyond the centres of the outermost voxels there is no mask, as nilearn has it.
    near &= ((where > 0) & (where < np.subtract(mask_grid.shape, 1))).all(axis=1)
    inside = {tuple(map(int, voxel)) for voxel in voxels[near]}

    points = apply_affine(grid.affine, rng.uniform(-1, 10, (12, 3)))
    weights = sphere_weights(points, 6, grid, mask, mask_grid)
    found = [search(point, 6, grid) for point in points]
    assert used_voxels(weights) == [sphere.ball & inside for sphere in found]
    assert weights.seed_used.tolist() == [sphere.own in inside for sphere in found]
    assert 0 < weights.used.sum() < sphere_weights(points, 6, grid).used.sum()


def nilearns_mask(mask, mask_affine, grid):
    img = nib.Nifti1Image(mask.astype(np.uint8), mask_affine)
    resampled = quietly(
        resample_img,
        img,
        target_affine=grid.affine,
        target_shape=grid.shape,
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    )
    return np.asarray(resampled.dataobj) != 0


def everywhere(grid, mask, mask_grid):
    """Which voxels of the image are used when spheres lie on all of them."""
    weights = sphere_weights(
        apply_affine(grid.affine, np.argwhere(np.ones(grid.shape))), 0, grid, mask, mask_grid
    )
    used = np.zeros(grid.shape, bool)
    used[tuple(grid.unflat(weights.voxels).T)] = True
    return used


MASK_SHAPE = (12, 13, 14)
OTHER_GRIDS = {
    "same": (Grid(MASK_SHAPE, UNIT), UNIT),
    "inside, whole voxels": (Grid((7, 6, 8), affine_of([1] * 3, origin=[3] * 3)), UNIT),
    "larger, whole voxels": (Grid((18, 19, 20), affine_of([1] * 3, origin=[-3] * 3)), UNIT),
    "finer": (Grid((23, 23, 23), affine_of([1] * 3, origin=[1] * 3)), affine_of([3, 3, 3])),
    "coarser": (Grid((6, 6, 6), affine_of([3.3] * 3)), affine_of([1.5] * 3)),
    "flipped": (Grid(MASK_SHAPE, affine_of([-1, 1, 1], origin=[11, 0, 0])), UNIT),
    "oblique": (
        Grid((10, 11, 9), affine_of([2.1, 1.9, 2.3], (10, 20, 30), (4, -3, 2))),
        affine_of([2, 2, 2], (5, 0, 0)),
    ),
    "both oblique": (
        Grid((10, 11, 9), affine_of([2.5, -2.5, 2.5], (-20, 7, 12), (3, 24, 2))),
        affine_of([2, 2.2, 2], (25, -4, 9)),
    ),
    # Where centres lie midway between voxels of the mask, and beyond its outermost centres
    "half a voxel off": (Grid((14, 14, 14), affine_of([1] * 3, origin=[-0.5] * 3)), UNIT),
    "half a voxel off and flipped": (
        Grid((14, 14, 14), affine_of([-1, 1, 1], origin=[11.5, 0, 0])),
        UNIT,
    ),
    "half as large": (Grid((26, 27, 28), affine_of([1] * 3, origin=[-1] * 3)), affine_of([2] * 3)),
    "half of 3.3 mm off": (
        Grid((14, 14, 14), affine_of([3.3] * 3, origin=[-36.85, 1.65, 8.25])),
        affine_of([3.3] * 3, origin=[-35.2, 3.3, 6.6]),
    ),
}


@pytest.mark.parametrize("kind", OTHER_GRIDS)
def test_mask_is_that_of_nilearns_resampling(kind):
    grid, mask_affine = OTHER_GRIDS[kind]
    mask_grid = Grid(MASK_SHAPE, mask_affine)
    mask = np.random.default_rng(len(kind)).random(MASK_SHAPE) < 0.5
    theirs = nilearns_mask(mask, mask_affine, grid)
    assert theirs.sum() > 10
    np.testing.assert_array_equal(everywhere(grid, mask, mask_grid), theirs)


# Several sets, and spheres as a picture


def test_stacked_sets_are_one_set_in_the_order_given():
    grid = Grid((10, 10, 10), UNIT)
    first, second = [[3.2, 3.1, 3.3], [40.3, 0.2, 0.1]], [[4.2, 3.1, 3.3], [8.9, 9.2, 9.1]]
    parts = [sphere_weights(first, 2, grid), sphere_weights(second, [0, 3], grid)]
    pairs = zip([*first, *second], [2, 2, 0, 3], strict=True)
    found = [search(np.array(point), radius, grid) for point, radius in pairs]
    there = set(np.ndindex(grid.shape))

    stacked = stack_weights(parts)

    assert used_voxels(stacked) == [sphere.ball & there for sphere in found]
    stacked_ijk = sorted(set().union(*(sphere.ball & there for sphere in found)))
    assert stacked.asked.tolist() == [len(sphere.ball) for sphere in found]
    assert stacked.seed_used.tolist() == [True, False, True, True]
    assert stacked.overlaps.tolist() == [1, 0, 1, 0]
    # Each voxel once, first axis fastest; those of a sphere last axis fastest
    by_first_axis = sorted(stacked_ijk, key=lambda ijk: ijk[::-1])
    np.testing.assert_array_equal(grid.unflat(stacked.voxels), by_first_axis)
    start, stop = stacked.membership.indptr[2:4]
    own = grid.unflat(stacked.voxels[stacked.membership.indices[start:stop]])
    np.testing.assert_array_equal(own, sorted(found[2].ball & there))


def test_a_label_is_that_of_the_nearest_seed_and_of_the_first_when_two_are():
    grid = Grid((12, 11, 10), UNIT)
    points = np.array([[3, 3, 3], [7, 3, 3], [5, 7, 3], [3, 3, 3], [20, 0, 0]])
    radii = [3, 3, 4, 4, 5]
    expected = np.zeros(grid.shape, int)
    for voxel in np.ndindex(grid.shape):
        squares = ((points - voxel) ** 2).sum(axis=1)  # whole numbers, so ties are ties
        reached = np.where(squares <= np.square(radii), squares, 999)
        expected[voxel] = reached.argmin() + 1 if reached.min() < 999 else 0
    labels = label_volume(sphere_weights(points, radii, grid), points)
    np.testing.assert_array_equal(labels, expected)
    assert labels[5, 3, 3] == 1  # equally far from the first and the second
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("spacing", [0.7, 2.4, 3.3])
def test_rounding_does_not_break_ties_between_labels(spacing):
    affine = affine_of([spacing] * 3, origin=[-7.3 * spacing] * 3)
    grid = Grid((20, 9, 9), affine)
    for middle in range(4, 14):
        points = apply_affine(affine, [[middle + 3, 4, 4], [middle - 3, 4, 4]])
        labels = label_volume(sphere_weights(points, 4 * spacing, grid), points)
        assert set(np.unique(labels[middle])) == {0, 1}


# Spheres without overlap


@deterministic
@given(cases())
def test_without_overlap_a_voxel_is_the_nearest_seeds(case):
    allowed = np.ones(case.grid.shape, bool) if case.mask is None else case.mask
    there = {tuple(map(int, row)) for row in np.argwhere(allowed)}
    found = [search(*pair, case.grid) for pair in zip(case.points, case.radii, strict=True)]
    assume(all(found))
    won = [set() for _ in found]
    for voxel in set().union(*(sphere.ball for sphere in found)):
        candidates = [i for i, sphere in enumerate(found) if voxel in sphere.ball]
        centre = apply_affine(case.grid.affine, voxel)
        distance = [np.linalg.norm(centre - case.points[i]) for i in candidates]
        assume(np.ptp(np.sort(distance)[:2]) > 1e-5 or len(distance) == 1)
        won[candidates[int(np.argmin(distance))]].add(voxel)
    weights = sphere_weights(case.points, case.radii, case.grid, case.mask)

    apart = nearest_only(weights, case.points, case.radii)

    assert used_voxels(apart) == [own & there for own in won]
    inside = set(np.ndindex(case.grid.shape))
    for i, own in enumerate(won):
        if found[i].ball & inside:
            assert apart.asked[i] == max(1, len(own))
    assert not apart.overlaps.any()


def test_without_overlap_the_first_of_equally_near_seeds_takes_the_voxel():
    grid = Grid((9, 5, 5), UNIT)
    points = [[2, 2, 2], [6, 2, 2], [6, 2, 2]]
    apart = nearest_only(sphere_weights(points, 3, grid), points, 3)
    first, second, third = used_voxels(apart)
    assert (4, 2, 2) in first
    assert (5, 2, 2) in second
    assert apart.seed_used.tolist() == [True, True, False]
    assert third == set()
    assert (apart.empty.tolist(), apart.coverage[2]) == ([False, False, True], 0)


def test_without_overlap_a_sphere_that_is_used_whole_is_covered_whole():
    """What it shares with another lies outside of the mask, and is the other's there as well."""
    grid = Grid((12, 7, 7), UNIT)
    mask = np.ones(grid.shape, bool)
    mask[6] = False  # the plane in which the first comes near to the second
    points = [[4, 3, 3], [7, 3, 3]]
    apart = nearest_only(sphere_weights(points, 2, grid, mask), points, 2)
    centres = np.argwhere(np.ones(grid.shape, bool))
    near, far = (np.linalg.norm(centres - point, axis=1) for point in points)
    first = (near <= 2) & (near < far)
    second = (far <= 2) & (far < near)
    assert not (first & (centres[:, 0] == 6)).any()
    assert apart.asked.tolist() == [first.sum(), second.sum()]
    assert apart.coverage[0] == 1
    assert apart.coverage[1] == (second & (centres[:, 0] != 6)).sum() / second.sum()


def test_without_overlap_a_sphere_outside_of_the_image_asks_for_all_of_its_voxels():
    grid = Grid((9, 7, 8), UNIT)
    points, radii = [[4, 3, 3], [300, 3, 3], [4, -90, 3]], [2, 2, 1]
    apart = nearest_only(sphere_weights(points, radii, grid), points, radii)
    # Whole numbers not further than 2 from the origin are 33, not further than 1 are 7.
    assert apart.asked.tolist() == [33, 33, 7]
    assert apart.used.tolist() == [33, 0, 0]


# Grids


@given(st.tuples(*[st.integers(1, 6)] * 3))
@deterministic
def test_flat_positions_are_those_of_a_volume_in_fortran_order(shape):
    grid = Grid(shape, UNIT)
    volume = np.arange(np.prod(shape)).reshape(shape)
    ijk = np.argwhere(np.ones(shape))
    flat = grid.flat(ijk)
    np.testing.assert_array_equal(volume.ravel(order="F")[flat], volume[tuple(ijk.T)])
    np.testing.assert_array_equal(grid.unflat(flat), ijk)


@pytest.mark.parametrize(
    "linear",
    [
        np.zeros((3, 3)),
        np.diag([2, 2, 0]),
        [[1, 2, 0], [2, 4, 0], [0, 0, 1]],
        np.diag([2, np.nan, 2]),
        np.diag([2, np.inf, 2]),
    ],
    ids=["zeros", "flat", "dependent", "nan", "inf"],
)
def test_an_affine_that_cannot_be_inverted_is_an_error(linear):
    affine = np.eye(4)
    affine[:3, :3] = linear
    with pytest.raises(DataError, match="can't be inverted"):
        Grid((4, 4, 4), affine)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Grid((4, 5, 6), UNIT), True),
        (Grid((4, 5, 6), UNIT + 1e-6), True),  # what float32 headers leave
        (Grid((4, 5, 7), UNIT), False),
        (Grid((4, 5, 6), affine_of([1, 1, 1], origin=[0.01, 0, 0])), False),
        (Grid((4, 5, 6), affine_of([-1, 1, 1])), False),
    ],
)
def test_grids_match_when_their_voxels_do(other, same):
    assert Grid((4, 5, 6), UNIT).matches(other) is same


# Limits


@pytest.mark.parametrize("radius", [200, 1e9, np.inf])
def test_a_radius_beyond_reason_is_an_error(radius):
    with pytest.raises(UsageError, match="too large"):
        sphere_weights([[2, 2, 2]], radius, Grid((5, 5, 5), UNIT))


@pytest.mark.parametrize("radius", [-5.0, -1.0, np.nan])
def test_a_radius_that_is_no_length_is_an_error(radius):
    with pytest.raises(UsageError, match="length"):
        sphere_weights([[2, 2, 2]], radius, Grid((5, 5, 5), UNIT))


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_a_coordinate_that_is_no_number_is_an_error(x):
    with pytest.raises(UsageError, match="coordinate"):
        sphere_weights([[x, 2, 2]], 1, Grid((5, 5, 5), UNIT))


@pytest.mark.parametrize(
    ("seeds", "limit"),
    [
        (20, 100),  # no resampled mask, no distances
        (2000, 100),  # candidates of a part of the seeds at a time
    ],
)
def test_memory_is_a_table_of_voxels_and_what_lies_in_spheres(seeds, limit):
    grid = Grid((193, 229, 193), affine_of([1, 1, 1], origin=[-96, -132, -78]))
    mask_grid = Grid((97, 115, 97), affine_of([2, 2, 2], origin=[-96.3, -132.2, -78.4]))
    mask = np.ones(mask_grid.shape, bool)
    points = np.random.default_rng(0).uniform([-60, -90, -40], [60, 60, 70], (seeds, 3))
    tracemalloc.start()
    try:
        weights = sphere_weights(points, 5, grid, mask, mask_grid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(weights.used, 4 / 3 * np.pi * 5**3, rtol=0.06)
    table = 5 * np.prod(grid.shape)  # a flag and a number for every voxel of the image
    assert peak < 1.1 * table + limit * weights.used.sum()


# nilearn


def nilearns_voxels(points, radius, grid, mask):
    """Voxels of each of nilearn's spheres: their signals in images of one lit voxel each."""
    voxels = int(np.prod(grid.shape))
    lit = nib.Nifti1Image(np.eye(voxels).reshape(*grid.shape, voxels), grid.affine)
    mask_img = None if mask is None else nib.Nifti1Image(mask.astype(np.uint8), grid.affine)
    masker = NiftiSpheresMasker(
        [tuple(point) for point in points],
        radius=radius,
        mask_img=mask_img,
        allow_overlap=True,
        standardize=None,
        reports=False,
    )
    signals = quietly(masker.fit_transform, lit)
    flat = [np.flatnonzero(column) for column in signals.T]
    np.testing.assert_allclose(signals.max(axis=0), [1 / len(one) for one in flat])
    return [{tuple(map(int, np.unravel_index(one, grid.shape))) for one in row} for row in flat]


def voxel_by_truncation(point, grid, allowed):
    """The first voxel whose world coordinates are the seed's when both are cut to whole mm."""
    for voxel in np.argwhere(allowed):
        if (apply_affine(grid.affine, voxel).astype(int) == point.astype(int)).all():
            return tuple(map(int, voxel))
    return None


NILEARN_GRIDS = {
    "3 mm": affine_of([3, 3, 3], origin=[-14, -15, -13]),
    "oblique": affine_of([-2.5, 3, 3.5], (8, -12, 20), (16, -14, -12)),
    "1.3 mm": affine_of([1.3, 1.3, -1.3], origin=[-5.9, -6.9, 5.3]),
}


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("radius", [None, 1.8, 3, 5, 8])
@pytest.mark.parametrize("kind", NILEARN_GRIDS)
def test_voxels_are_nilearns_but_for_the_one_by_truncation(kind, radius, masked):
    grid = Grid((8, 9, 7), NILEARN_GRIDS[kind])
    rng = np.random.default_rng(7)
    mask = rng.random(grid.shape) < 0.8 if masked else None
    points = apply_affine(grid.affine, rng.uniform(-0.4, 6.4, (40, 3)))
    points[:6] = np.round(points[:6])
    weights = sphere_weights(points, radius or 0, grid, mask)
    points, ours = points[~weights.empty], np.array(used_voxels(weights))[~weights.empty]
    theirs = nilearns_voxels(points, radius, grid, mask)
    allowed = np.ones(grid.shape, bool) if mask is None else mask
    for point, one, other in zip(points, ours, theirs, strict=True):
        extra = other - one
        assert one <= other
        assert extra <= {voxel_by_truncation(point, grid, allowed)}
        for voxel in extra:
            # Nothing within the radius is left out, and nothing as far as the text says is in.
            assert np.linalg.norm(apply_affine(grid.affine, voxel) - point) > (radius or 0)
            assert (radius or 0) < 2 * np.sqrt(3)


@pytest.mark.parametrize(
    ("seed", "radius", "voxel", "affine"),
    [
        (5.1, 1, 5.9, affine_of([-0.8] * 3, origin=[8.3] * 3)),
        # All coordinates between -1 and 1 are cut to 0, so that both can be nearly 2 mm apart.
        (0.9, 3, -0.9, affine_of([0.9] * 3, origin=[-0.9] * 3)),
    ],
    ids=["up to 1.73 mm", "up to 3.46 mm about the origin"],
)
def test_nilearn_adds_a_voxel_outside_of_the_sphere_where_we_do_not(seed, radius, voxel, affine):
    grid = Grid((9, 9, 9), affine)
    (ours,) = used_voxels(sphere_weights([[seed] * 3], radius, grid))
    (theirs,) = nilearns_voxels(np.full((1, 3), seed), radius, grid, None)
    (extra,) = theirs - ours
    np.testing.assert_allclose(apply_affine(grid.affine, extra), voxel)
    assert ours < theirs


def test_weights_of_different_grids_do_not_stack():
    near = sphere_weights([[2, 2, 2]], 1, Grid((5, 5, 5), UNIT))
    far = sphere_weights([[2, 2, 2]], 1, Grid((6, 5, 5), UNIT))
    with pytest.raises(DataError, match="different image grids"):
        stack_weights([near, far])


@pytest.mark.parametrize("shape", [(3, 2), (6,), (1, 2, 3)])
def test_coordinates_that_are_no_triplets(shape):
    with pytest.raises(UsageError, match=r"\(S, 3\)"):
        sphere_weights(np.zeros(shape), 1, Grid((5, 5, 5), UNIT))


def test_voxels_of_maps_count_by_their_share_of_the_largest_weight():
    """From a hundredth of it on, whatever the unit of a map."""
    grid = Grid((3, 3, 3), np.eye(4))
    owner, position = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 2, 5, 7])
    flat = assemble(grid, owner, position, np.array([3, 3]), np.array([True, True]))
    values = np.array([50, 0.4, 0.5, 0.02, 0.0001, 0.0003])
    maps = replace(flat, values=values, whole=np.array([60, 0.0204]))
    assert maps.used.tolist() == [2, 2]
    assert maps.overlaps.tolist() == [1, 1]
    np.testing.assert_allclose(maps.coverage, [50.9 / 60, 1])
    alive = (maps.voxels != 0).astype(float)
    np.testing.assert_allclose(maps.coverage_of(alive), [0.9 / 60, 1])
    assert replace(maps, whole=np.array([25.45, 0.0204])).coverage.tolist() == [1, 1]
    assert flat.used.tolist() == [3, 3]
    np.testing.assert_allclose(flat.coverage_of(alive), [2 / 3, 1])
    assert (maps.empty.tolist(), maps.partial.tolist()) == ([False] * 2, [True] * 2)
    some = flat.restricted(np.array([False, True]), flat.voxels != 5)
    assert (some.used.tolist(), some.asked.tolist()) == ([0, 2], [3, 3])
    assert some.voxels.tolist() == [2, 7]


def test_no_seed_has_no_neighbour_either():
    grid = Grid((3, 3, 3), np.eye(4))
    nothing = sphere_weights(np.empty((0, 3)), np.empty(0), grid)
    assert nearest_only(nothing, np.empty((0, 3)), np.empty(0)).used.tolist() == []


def test_of_some_voxels_a_sphere_is_used_in_part_and_asked_for_as_a_whole():
    """One is cut by the image, so that it has fewer voxels than it asks for before."""
    weights = sphere_weights([[0, 2, 1], [3, 1, 1]], 1, Grid((5, 4, 3), UNIT))
    plane = weights.grid.unflat(weights.voxels)[:, 1] == 2
    some = weights.restricted(np.array([True, False]), plane)
    assert used_voxels(some) == [{(0, 2, 0), (0, 2, 1), (0, 2, 2), (1, 2, 1)}, set()]
    assert some.asked.tolist() == [7, 7]
    assert some.seed_used.tolist() == [True, True]
    np.testing.assert_allclose(some.coverage, [4 / 7, 0])


def test_without_overlap_a_sphere_beside_the_image_asks_for_all_however_far_it_is():
    grid = Grid((9, 7, 8), UNIT)
    for x in range(-14, -2):
        points = [[4, 3, 3], [x, 3, 3]]
        apart = nearest_only(sphere_weights(points, 2, grid), points, 2)
        assert (apart.asked.tolist(), apart.used.tolist()) == ([33, 33], [33, 0])


def test_without_overlap_a_seed_is_used_where_its_own_voxel_is():
    """Of two in one voxel the nearer to its centre has it; the other keeps what is near to it."""
    grid = Grid((9, 7, 8), UNIT)
    points = [[4.3, 3, 3], [3.9, 3, 3], [20, 3, 3], [0.2, 3, 3]]
    apart = nearest_only(sphere_weights(points, 2, grid), points, 2)
    first, second, *_ = used_voxels(apart)
    assert ((4, 3, 3) in first, (4, 3, 3) in second) == (False, True)
    assert len(first) > 5
    assert apart.seed_used.tolist() == [False, True, False, True]


def test_a_seed_between_voxels_is_held_by_the_one_of_nilearn():
    """Halves go to the even number, as numpy rounds."""
    grid = Grid((6, 5, 4), np.diag([2.0, 2, 2, 1]))
    points = 2 * np.array([[0.5, 1.5, 2.5], [1.5, 2.5, 0.5], [4.5, 3.5, 1.5]])
    ours = used_voxels(sphere_weights(points, 0, grid))
    assert ours == [{(0, 2, 2)}, {(2, 2, 0)}, {(4, 4, 2)}]
    theirs = nilearns_voxels(points, None, grid, None)
    assert all(one <= other for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("radii", [[3, -1], [np.nan, 3], [0, -0.1]])
def test_one_radius_of_several_that_is_no_length(radii):
    with pytest.raises(UsageError, match="length"):
        sphere_weights([[2, 2, 2], [1, 1, 1]], radii, Grid((5, 5, 5), UNIT))


def test_voxels_may_be_as_small_as_a_thousandth_of_a_millimetre():
    grid = Grid((5, 5, 5), affine_of([1e-3] * 3))
    assert grid.voxel_volume == pytest.approx(1e-9)
    assert sphere_weights([[2e-3] * 3], 1e-3, grid).used.tolist() == [7]


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_volume_of_a_voxel(signs):
    grid = Grid((3, 3, 3), affine_of(np.multiply(signs, (2, 3, 0.5)), (10, 20, 30)))
    assert grid.voxel_volume == pytest.approx(3)


@pytest.mark.parametrize(("apart", "owner"), [(1e-5, 2), (1e-8, 1)])
def test_the_nearer_seed_has_a_voxel_unless_by_less_than_a_nanometre(apart, owner):
    grid = Grid((5, 5, 5), UNIT)
    points = [[3 + apart, 2, 2], [1, 2, 2]]
    weights = sphere_weights(points, 1.5, grid)
    assert label_volume(weights, points)[2, 2, 2] == owner
    assert (2, 2, 2) in used_voxels(nearest_only(weights, points, 1.5))[owner - 1]


def test_what_counts_of_maps_leaves_their_weights_as_they_are():
    """Voxels of a row come with the last axis fastest, which is not the order of columns."""
    grid = Grid((4, 3, 2), UNIT)
    points = [[1, 1, 0], [2, 1, 1]]
    flat = sphere_weights(points, 1, grid)
    values = np.linspace(-2, 3, flat.membership.nnz)
    values[1] = -0.001
    maps = replace(flat, values=values.copy(), whole=np.array([20.0, 20]))
    volume = np.arange(24.0) ** 2
    expected, position = [], 0
    for own in used_voxels(flat):
        voxels = grid.flat(np.array(sorted(own)))
        expected.append(values[position : position + len(own)] @ volume[voxels])
        position += len(own)
    kept = used_voxels(replace(flat, membership=maps.core))
    first, second = used_voxels(flat)
    assert kept == [first - {sorted(first)[1]}, second]
    np.testing.assert_allclose(maps.sums @ volume[maps.voxels], expected)
    largest = [np.abs(part).max() for part in np.split(values, np.cumsum(flat.used)[:-1])]
    label_volume(maps, np.array(points, float))
    np.testing.assert_allclose(maps.magnitudes.max(axis=1).toarray().ravel(), largest)
    np.testing.assert_allclose(maps.sums @ volume[maps.voxels], expected)


@pytest.mark.parametrize("radius", [5.3, 7, 8.7])
def test_a_sphere_of_a_seed_in_the_corner_of_a_voxel_on_exchanged_axes(radius):
    """It reaches further to one side than the radius and half an edge of a voxel."""
    grid = Grid((13, 12, 14), np.array([[0, -2, 0, 0], [2.0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]))
    seed = grid.to_mm([[6, 6, 6]])[0] - 0.99
    centres = grid.to_mm(np.argwhere(np.ones(grid.shape)))
    (used,) = sphere_weights([seed], radius, grid).used
    assert used == (np.linalg.norm(centres - seed, axis=1) <= radius).sum()
