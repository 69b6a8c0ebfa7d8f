"""The order by network, and names moved apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.reports.toolkit.order import network_order, spread


@given(st.lists(st.sampled_from(["visual", "motor", "n/a", "Uncertain", "salience"]), max_size=60))
def test_networks_stand_together_and_every_sphere_once(networks):
    order = network_order(networks)
    assert sorted(order.indices.tolist()) == list(range(len(networks)))
    for group in order.groups:
        inside = order.indices[group.start : group.stop]
        assert {networks[i] for i in inside} == {group.name}
        assert np.all(np.diff(inside) > 0)
    if order.groups:
        assert [g.stop for g in order.groups[:-1]] == [g.start for g in order.groups[1:]]
        assert len({g.name for g in order.groups}) == len(order.groups)
        known = [g.name for g in order.groups if g.name not in ("n/a", "Uncertain")]
        assert [g.name for g in order.groups][: len(known)] == known


def test_spheres_without_networks_stay_as_they_are():
    order = network_order(["n/a"] * 4)
    assert order.indices.tolist() == [0, 1, 2, 3]
    assert order.groups == ()


@given(st.lists(st.floats(0, 200), min_size=1, max_size=15))
def test_names_do_not_touch_and_stay_in_order(places):
    moved = spread(sorted(places), 10, 0, 200)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(moved))
    assert moved[-1] <= 200


def test_names_with_room_stay_where_they_are():
    assert spread([20, 60, 100], 10, 0, 200) == [20, 60, 100]
