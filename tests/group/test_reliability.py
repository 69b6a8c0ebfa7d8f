"""Agreement of conditions, of rows as participants come, against formulas of mean squares."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from bids_spheres.group.edges import Edges, NetworkMeans
from bids_spheres.group.reliability import compare_conditions
from bids_spheres.group.testing import Rows
from tests.group.test_repeated import icc

NETWORKS = ("x", "x", "y", "n/a")
CONDITIONS = ("a", "b", "c")


def rows_of(values, order):
    """Rows of participants and conditions in an order, of an array (P, S, E)."""
    n_edges = values.shape[2]
    rows = Rows(n_edges)
    for person, condition in order:
        label = f"sub-{person}"
        if label not in rows.values.participants:
            rows.values.add(label, values[person].mean(axis=0))
        rows.repeated.add(f"{label} {condition}", values[person, condition])
        rows.conditions.append((label, CONDITIONS[condition]))
    return rows


def means_of_networks():
    return NetworkMeans(Edges(tuple("abcd"), NETWORKS, diagonal=False))


def test_participants_with_all_conditions_in_any_order(rng, monkeypatch):
    # Less than one edge at a time fits: it is one all the same.
    monkeypatch.setattr("bids_spheres.group.reliability._BLOCK", 3)
    person, noise = rng.standard_normal((5, 1, 6)), rng.standard_normal((5, 3, 6))
    values = 1.5 * person + noise
    order = [(p, c) for p in range(5) for c in range(3) if (p, c) != (3, 1)]
    rng.shuffle(order)
    found = compare_conditions(rows_of(values, order), means_of_networks())
    complete = values[[0, 1, 2, 4]]
    expected = np.array([icc(complete[:, :, edge]) for edge in range(6)])
    np.testing.assert_allclose(found.edges[["icc21", "icc31"]], expected, rtol=1e-9)
    assert found.edges["n"].tolist() == [4] * 6
    assert (found.edges["icc21_low"] < found.edges["icc21"]).all()
    assert (found.edges["icc31_high"] > found.edges["icc31"]).all()
    # Edges in rows of the triangle: ab of x with x; ac and bc of x with y.
    of_pairs = np.stack([complete[..., 0], complete[..., [1, 3]].mean(axis=-1)], axis=-1)
    networks = pd.DataFrame(found.networks)[["icc21", "icc31"]].to_numpy()
    np.testing.assert_allclose(networks[0], icc(of_pairs[:, :, 0]), rtol=1e-9)
    np.testing.assert_allclose(networks[1], icc(of_pairs[:, :, 1]), rtol=1e-9)
    assert np.isnan(networks[2]).all()  # no edge joins y with y
    rates = []
    for first, second in combinations(range(3), 2):
        r = np.corrcoef(complete[:, first], complete[:, second])[:4, 4:]
        rates += [np.mean(r.argmax(axis=axis) == np.arange(4)) for axis in (0, 1)]
    assert found.identification_rate == pytest.approx(np.mean(rates))
    # Of all measurements, those of the fourth participant as well.
    stacked = np.array([values[p, c] for p, c in order])
    people, distances = np.array([p for p, _ in order]), cdist(stacked, stacked)
    shares = [
        np.mean(distances[i, people != p] > distances[i, j])
        for i, p in enumerate(people)
        for j in np.flatnonzero(people == p)
        if i != j
    ]
    assert found.discriminability == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("people", "conditions", "known"), [(2, 2, True), (1, 2, False), (2, 1, False)]
)
def test_two_participants_with_two_conditions_are_enough(rng, people, conditions, known):
    values = rng.standard_normal((2, 3, 6))
    order = [(p, c) for p in range(people) for c in range(conditions)]
    order += [(1, 2)] * (people == 1)  # of another who lacks the others
    found = compare_conditions(rows_of(values, order), means_of_networks())
    assert (found is not None) is known
    if found:
        expected = [icc(values[:, :2, edge])[0] for edge in range(6)]
        np.testing.assert_allclose(found.edges["icc21"], expected, rtol=1e-9)
