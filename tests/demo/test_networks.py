"""What is true in the simulated dataset."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.demo.networks import (
    BAND,
    CENTRES,
    band_noise,
    centre_distance,
    nearest_network,
    network_correlation,
    read_seeds,
    seed_correlation,
    seed_signals,
)


def test_truth_is_a_correlation_matrix_that_follows_from_the_labels(truth):
    seeds = read_seeds()
    assert truth.seed_names == seeds.names
    assert len(set(truth.networks)) == len(CENTRES)
    assert truth.correlation.shape == (264, 264)
    np.testing.assert_array_equal(truth.correlation, truth.correlation.T)
    assert np.linalg.eigvalsh(truth.correlation).min() > 0
    label = np.array(truth.networks)
    same = (label[:, None] == label) & ~np.eye(264, dtype=bool)
    np.testing.assert_allclose(truth.correlation[same], 0.6)
    assert np.abs(truth.correlation[label[:, None] != label]).max() < 0.45
    with pytest.raises(ValueError, match="read-only"):
        truth.correlation[0, 1] = 0


def test_networks_are_left_right_symmetric_and_none_is_small():
    points = read_seeds().points
    network = nearest_network(points)
    np.testing.assert_array_equal(network, nearest_network(points * [-1, 1, 1]))
    assert np.bincount(network, minlength=len(CENTRES)).min() >= 10


def test_network_correlation_is_positive_definite():
    assert np.linalg.eigvalsh(network_correlation()).min() > 0.1


def test_long_signals_have_the_stated_correlation_and_band():
    network = np.repeat(np.arange(len(CENTRES)), 2)
    signals = seed_signals(network, 20_000, 2.0, np.random.default_rng(1))
    covariance = signals @ signals.T / signals.shape[1]
    np.testing.assert_allclose(covariance, seed_correlation(network), atol=0.06)
    power = (np.abs(np.fft.rfft(signals * np.hanning(signals.shape[1]))) ** 2).sum(axis=0)
    frequency = np.fft.rfftfreq(signals.shape[1], 2.0)
    inside = (frequency > 0.0095) & (frequency < 0.105)
    assert power[inside].sum() / power.sum() > 0.999


def test_distances_are_those_from_the_centre_on_the_same_side():
    points = np.array([[-30.0, -81, 9], [58, -12, -21], [0, 0, 0]])
    distance = centre_distance(points)
    centres = [centre for own in CENTRES.values() for centre in own]
    for row, point in zip(distance, points, strict=True):
        for found, centre in zip(row, centres, strict=True):
            sides = [np.subtract(point, np.multiply(centre, [side, 1, 1])) for side in (1, -1)]
            assert found == pytest.approx(min(np.linalg.norm(side) for side in sides))
    assert [list(CENTRES)[n] for n in nearest_network(points)] == ["Visual", "Default", "Deep"]


def test_networks_follow_shared_processes(truth):
    """The product of two networks' loadings, times 0.6."""
    known = dict(zip(truth.networks, range(len(truth.networks)), strict=True))
    for first, second, loadings in (
        ("Control", "Default", -0.20 * -0.70 + -0.70 * -0.10),
        ("Visual", "Attention", 0.60 * 0.55 + 0.10 * -0.45),
        ("Salience", "Default", 0.25 * -0.70 + -0.55 * -0.10),
    ):
        expected = pytest.approx(0.6 * loadings)
        assert truth.correlation[known[first], known[second]] == expected


def test_noise_of_a_band_has_unit_variance_and_no_period(rng):
    noise = band_noise(300, 100, 2.0, rng)
    assert noise.shape == (300, 100)
    assert noise.var() == pytest.approx(1, abs=0.05)
    assert np.abs(np.corrcoef(noise) - np.eye(300)).mean() < 0.25
    assert BAND == (0.01, 0.1)
    # The last volume is no neighbour of the first.
    assert abs((noise[:, 0] * noise[:, -1]).mean()) < 0.2 < (noise[:, 0] * noise[:, 1]).mean()
