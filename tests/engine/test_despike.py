"""The rule of 3dDespike, with the curve from an exact linear program."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from bids_spheres.engine.aggregate import VoxelSeries, eigenvariate
from bids_spheres.engine.despike import despike, least_absolute_fit
from bids_spheres.errors import DataError


def curve_of(series):
    """AFNI's curve by least absolute deviations: a b t + c t^2 + sines and cosines up to T / 30."""
    n = len(series)
    t = np.arange(n) / n
    columns = [np.ones(n), t, t**2]
    for k in range(1, round(n / 30) + 1):
        columns += [np.sin(2 * np.pi * k * t), np.cos(2 * np.pi * k * t)]
    basis = np.column_stack(columns)
    p, eye = basis.shape[1], np.eye(n)
    # Minimize sum(above + below) with basis x + above - below = series.
    found = linprog(
        np.concatenate([np.zeros(p), np.ones(2 * n)]),
        A_eq=np.hstack([basis, eye, -eye]),
        b_eq=series,
        bounds=[(None, None)] * p + [(0, None)] * (2 * n),
        method="highs",
    )
    return basis @ found.x[:p], found.fun


@pytest.fixture
def voxels():
    """Drifting noise with a few spikes, (120, 6)."""
    rng = np.random.default_rng(7)
    t = np.linspace(0, 1, 120)[:, np.newaxis]
    values = 1000 + 30 * t - 40 * t**2 + 8 * np.sin(2 * np.pi * 2 * t)
    values = values + 5 * rng.standard_normal((120, 6))
    values[20, 0] += 100
    values[50, 1] -= 60
    values[[70, 71], 2] += [40, -80]
    return values


def test_the_curve_has_the_least_absolute_deviations(voxels):
    n = 120
    t = np.arange(n) / n
    basis = np.column_stack(
        [np.ones(n), t, t**2]
        + [f(2 * np.pi * k * t) for k in range(1, 5) for f in (np.sin, np.cos)]
    )
    fit = least_absolute_fit(basis, voxels)
    for at, series in enumerate(voxels.T):
        _, least = curve_of(series)
        assert np.abs(series - fit[:, at]).sum() == pytest.approx(least, rel=1e-9)


def test_no_curve_of_many_becomes_better_when_it_leaves_one_of_its_points():
    """The condition of optimality, Koenker 2005, Quantile Regression, theorem 2.1."""
    series = np.random.default_rng(3).standard_normal((30, 1000))
    t = np.arange(30) / 30
    basis = np.column_stack([np.ones(30), t, t**2, np.sin(2 * np.pi * t), np.cos(2 * np.pi * t)])
    residuals = series - least_absolute_fit(basis, series)
    for rest in residuals.T:
        order = np.argsort(np.abs(rest))
        own, others = order[:5], order[5:]
        assert np.abs(rest[own]).max() < 1e-9 < np.abs(rest[others]).min()
        slopes = np.linalg.solve(basis[own].T, basis[others].T @ np.sign(rest[others]))
        assert np.abs(slopes).max() <= 1 + 1e-8


def test_spikes_are_squeezed_by_afnis_rule(voxels):
    values, spikes = despike(voxels)
    for at, series in enumerate(voxels.T):
        curve, _ = curve_of(series)
        sigma = np.sqrt(np.pi / 2) * np.median(np.abs(series - curve))
        expected = series.copy()
        for volume, s in enumerate((series - curve) / sigma):
            if abs(s) > 2.5:
                size = 2.5 + 1.5 * np.tanh((abs(s) - 2.5) / 1.5)
                expected[volume] = curve[volume] + np.sign(s) * size * sigma
        np.testing.assert_allclose(values[:, at], expected, atol=1e-6 * sigma)
    assert spikes[20, 0]
    assert spikes[50, 1]
    assert spikes[70:72, 2].all()
    assert spikes.mean() < 0.1
    np.testing.assert_array_equal(values[~spikes], voxels[~spikes])


@pytest.mark.parametrize(("offset", "scale"), [(3e4, -1e-3), (0, 1e-12), (-1e9, 1e6)])
def test_scale_and_offset_play_no_part(voxels, offset, scale):
    values, spikes = despike(voxels)
    moved, others = despike(offset + scale * voxels)
    np.testing.assert_array_equal(spikes, others)
    np.testing.assert_allclose(moved, offset + scale * values, rtol=0, atol=1e-3 * abs(scale))


@pytest.mark.parametrize("value", [7.0, 0.1, 1e4 / 3, 123.4, 9999.1])
@pytest.mark.parametrize("n_volumes", [60, 200])
def test_a_constant_voxel_stays(voxels, value, n_volumes):
    constant = np.full((n_volumes, 3), value)
    constant[5, 1] *= 1.3  # no spread to judge it by
    constant[:, 2] = np.resize(voxels[:, 0], n_volumes)
    values, spikes = despike(constant)
    np.testing.assert_array_equal(values[:, :2], constant[:, :2])
    assert not spikes[:, :2].any()
    alone, others = despike(constant[:, 2:])
    np.testing.assert_array_equal(spikes[:, 2:], others)
    np.testing.assert_allclose(values[:, 2:], alone)
    assert not despike(constant[:, :1])[1].any()


def test_a_short_run_is_refused(voxels):
    with pytest.raises(DataError, match="needs 15 volumes or more, not 14"):
        despike(voxels[:14])
    assert despike(voxels[:15])[0].shape == (15, 6)


@pytest.mark.parametrize(
    ("n_volumes", "order"), [(15, 0), (44, 1), (46, 2), (110, 4), (1480, 49), (1600, 50)]
)
def test_a_curve_has_a_sine_and_a_cosine_per_30_volumes_and_at_most_50(
    monkeypatch, n_volumes, order
):
    columns = []

    def fit(basis, series):
        columns.append(basis.shape[1])
        return np.zeros(series.shape)

    monkeypatch.setattr("bids_spheres.engine.despike.least_absolute_fit", fit)
    despike(np.random.default_rng(0).normal(size=(n_volumes, 2)))
    assert columns == [3 + 2 * order]


def test_spheres_lose_the_spikes_of_their_usable_voxels_in_real_units(voxels):
    """Stored as whole numbers, 0.5 and 100 apart from real ones; one sphere has no voxel left."""
    stored = np.rint((voxels - 100) / 0.5).astype(np.int16)
    starts, stops = np.array([0, 3, 4]), np.array([3, 4, 6])
    usable = np.array([True, False, True, False, True, True])
    series = VoxelSeries(stored, (0.5, 100.0), starts, stops, usable)
    despiked, shares = series.despiked()
    assert despiked.scaling == (1, 0)
    for sphere, columns in enumerate(([0, 2], [], [4, 5])):
        real = 0.5 * stored[:, columns] + 100
        np.testing.assert_allclose(series.of_sphere(sphere), real)
        if columns:
            values, spikes = despike(real)
            np.testing.assert_allclose(despiked.of_sphere(sphere), values)
            assert shares[sphere] == pytest.approx(spikes.mean())
            assert (sphere == 2) or shares[sphere] > 0
    assert np.isnan(shares[1])
    medians = series.aggregated("median")
    np.testing.assert_allclose(medians[:, 2], np.median(0.5 * stored[:, [4, 5]] + 100, axis=1))
    assert np.isnan(medians[:, 1]).all()
    swapped = series.of(np.array([2, 0])).aggregated("mean")
    np.testing.assert_allclose(swapped, series.aggregated("mean")[:, [2, 0]])


def test_an_eigenvariate_goes_with_most_of_its_voxels():
    """Three of five rise, and so does it, whatever the sign that the decomposition has."""
    course = np.sin(np.arange(40.0))
    for signs in ([1, 1, 1, -1, -1], [-1, 1, -1, 1, -1]):
        series = 10 + course[:, None] * signs
        found = eigenvariate(series)
        sign = np.sign(sum(signs))
        expected = sign * np.sqrt(5) * (course - course.mean()) / np.sqrt(5) + series.mean()
        np.testing.assert_allclose(found, expected)
