"""What is true in the simulated dataset."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.demo.networks import (
    CENTRES,
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
