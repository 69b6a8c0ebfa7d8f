"""Reliability against published numbers and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from bids_spheres.group.inference import (
    discriminability,
    identification_rate,
    intraclass_correlation,
)
from bids_spheres.group.inference.linear_model import column_blocks

RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]]
)
"""Six targets and four judges: Shrout & Fleiss 1979, table 2."""


@pytest.mark.parametrize(
    ("kind", "icc", "limits"),
    # pingouin 0.6.1 rounds limits
    [("2,1", 0.289764, (0.02, 0.76)), ("3,1", 0.714841, (0.34, 0.95))],
)
def test_published_ratings(kind, icc, limits):
    found = intraclass_correlation(RATINGS[..., np.newaxis], kind)
    assert found.icc[0] == pytest.approx(icc, abs=1e-6)
    assert (round(found.ci_low[0], 2), round(found.ci_high[0], 2)) == limits
    assert found.n[0] == 6


@pytest.mark.parametrize("width", [3, 2])
def test_participants_without_a_session_are_left_out_of_that_edge(monkeypatch, width):
    monkeypatch.setattr(column_blocks, "__defaults__", (8 * 24 * width,))
    z = np.repeat(RATINGS[..., np.newaxis], 3, axis=2)
    z[2, 1, 1] = np.nan
    z[1:, 0, 2] = np.nan
    found = intraclass_correlation(z)
    kept = np.delete(RATINGS, 2, axis=0)[..., np.newaxis]
    assert found.icc[1] == pytest.approx(intraclass_correlation(kept).icc[0])
    assert found.n.tolist() == [6, 5, 1]
    assert np.isnan(found.icc[2])


@pytest.mark.parametrize("kind", ["2,1", "3,1"])
def test_intervals_cover(kind):
    rng = np.random.default_rng(0)
    edges, own, session = 2000, 1.0, 0.5 if kind == "2,1" else 0.0
    z = np.sqrt(own) * rng.standard_normal((25, 1, edges)) + rng.standard_normal((25, 3, edges))
    z += np.sqrt(session) * rng.standard_normal((1, 3, edges))
    found = intraclass_correlation(z, kind)
    truth = own / (own + session + 1)
    covered = np.mean((found.ci_low < truth) & (found.ci_high > truth))
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("kind", ["2,1", "3,1"])
def test_perfect_and_empty_agreement(kind):
    z = np.repeat(np.arange(5.0)[:, np.newaxis, np.newaxis], 3, axis=1) * np.array([1, 0])
    found = intraclass_correlation(z, kind)
    assert found.icc[0] == 1
    assert np.isnan(found.icc[1])
    if kind == "3,1":
        assert found.ci_low[0] == found.ci_high[0] == 1


def test_one_session_has_no_reliability():
    with pytest.raises(ValueError, match="two sessions"):
        intraclass_correlation(RATINGS[:, :1, np.newaxis])


def test_discriminability_by_hand():
    z = np.array([[0.0, 0], [0, 2], [0, 5], [0, 3]])
    # Distances of the first to its own 2, to others 5 and 3; of the second 2, to others 3 and 1;
    # of the third to its own 2, to others 5 and 3; of the fourth 2, to others 3 and 1.
    assert discriminability(z, np.array([0, 0, 1, 1])) == pytest.approx((1 + 0.5 + 1 + 0.5) / 4)
    tied = np.array([[0.0], [1.0], [-1.0], [5.0]])
    assert discriminability(tied, np.array([0, 0, 1, 2])) == pytest.approx((0.75 + 1) / 2)
    # Equal but for rounding: the other is as far from the first as the second is.
    rounded = np.array([[0.7, 0], [0.9, 0.1], [0.5, -0.1]])
    assert discriminability(rounded, np.array([0, 0, 1])) == pytest.approx((0.5 + 1) / 2)
    # What a measurement lacks says nothing of the others either.
    lacking = np.column_stack([z, [9, 0, np.nan, 7]])
    assert discriminability(lacking, np.array([0, 0, 1, 1])) == pytest.approx(0.75)


def test_discriminability_leaves_incomplete_edges_out():
    rng = np.random.default_rng(2)
    z, participants = rng.standard_normal((12, 40)), np.repeat(np.arange(4), 3)
    z += np.repeat(rng.standard_normal((4, 40)), 3, axis=0)
    expected = discriminability(z[:, 5:], participants)
    z[3, :5] = np.nan
    assert discriminability(z, participants) == expected
    assert 0.9 < expected <= 1
    assert np.isnan(discriminability(z, np.zeros(12, int)))
    assert np.isnan(discriminability(z, np.arange(12)))


def test_discriminability_of_noise_is_chance():
    z = np.random.default_rng(1).standard_normal((300, 50))
    assert discriminability(z, np.repeat(np.arange(150), 2)) == pytest.approx(0.5, abs=0.05)


def test_identification_rates_of_both_directions():
    rng = np.random.default_rng(4)
    first = rng.standard_normal((4, 200))
    second = 3 + 2 * first + 0.5 * rng.standard_normal((4, 200))
    second[1] = first[0] + 0.2 * rng.standard_normal(200)
    first[2, 7] = second[0, 11] = np.nan
    # The first participant's best match is the second session of the second, who has none.
    r = np.corrcoef(np.delete(first, [7, 11], 1), np.delete(second, [7, 11], 1))[:4, 4:]
    expected = [(r.argmax(axis=axis) == np.arange(4)).mean() for axis in (1, 0)]
    assert identification_rate(first, second) == tuple(expected)
    assert expected[0] != expected[1]
    assert identification_rate(second, first) == tuple(expected[::-1])
    assert identification_rate(first, first) == (1.0, 1.0)


def test_equal_participants_are_not_identified():
    first = np.tile(np.random.default_rng(0).standard_normal(30), (3, 1))
    assert identification_rate(first, first) == (0.0, 0.0)


def test_limits_of_another_confidence_are_narrower():
    """Those of ICC(3,1) by F0 / F, as Shrout & Fleiss have them; F0 is 11.027 in their table 3."""
    found = intraclass_correlation(RATINGS[..., np.newaxis], "3,1", confidence=0.8)
    ratio = 11.24 / 1.02
    low, high = ratio / stats.f.isf(0.1, 5, 15), ratio * stats.f.isf(0.1, 15, 5)
    expected = [(low - 1) / (low + 3), (high - 1) / (high + 3)]
    np.testing.assert_allclose([found.ci_low[0], found.ci_high[0]], expected, atol=2e-3)
    # Agreement is less than consistency, as judges differ.
    two = intraclass_correlation(RATINGS[..., np.newaxis], confidence=0.8)
    assert (two.icc < found.icc).all()
    assert found.ci_low[0] > intraclass_correlation(RATINGS[..., np.newaxis], "3,1").ci_low[0]


def test_two_participants_of_two_sessions():
    z = np.array([[1.0, 2], [4, 4.5]])[..., np.newaxis]
    rows, columns = z.mean(axis=1), z.mean(axis=0)
    between, rest = (
        2 * np.sum((rows - 2.875) ** 2),
        np.sum((z[..., 0] - rows - columns.T + 2.875) ** 2),
    )
    found = intraclass_correlation(z, "3,1")
    assert found.icc[0] == pytest.approx((between - rest) / (between + rest))
    assert found.n[0] == 2


def test_discriminability_counts_comparisons_of_all_measurements():
    """Three measurements of the first participant, one of the second: 3 x 2 pairs."""
    z = np.array([[0.0], [1.0], [4.0], [2.5]])
    # From 0: 1 < 2.5, 4 > 2.5; from 1: 1 < 1.5, 3 > 1.5; from 4: 4 and 3 > 1.5.
    assert discriminability(z, np.array([3, 3, 3, 1])) == pytest.approx(2 / 6)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_discriminability_of_edges_in_parts_is_of_them_all(monkeypatch, width):
    monkeypatch.setattr(column_blocks, "__defaults__", (8 * 6 * width,))
    rng, people = np.random.default_rng(12), np.array([4, 4, 0, 4, 0, 9])
    z = rng.standard_normal((6, 5)) + people[:, np.newaxis] / 9
    before = z.copy(), people.copy()
    distances = cdist(z, z)
    shares = [
        np.mean(distances[i, people != people[i]] > distances[i, j])
        for i in range(6)
        for j in range(6)
        if i != j and people[i] == people[j]
    ]
    assert discriminability(z, people) == pytest.approx(np.mean(shares))
    for array, own in zip((z, people), before, strict=True):
        np.testing.assert_array_equal(array, own)
