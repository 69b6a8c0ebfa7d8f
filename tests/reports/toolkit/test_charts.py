"""Axes and paths against arithmetic."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.data.published import published_strategies
from bids_spheres.reports.toolkit.charts import (
    Axis,
    Frame,
    Mark,
    Plot,
    axis,
    chart_of,
    circles,
    network_order,
    polyline,
    round_ticks,
    shorten,
    spread,
    strategy_styles,
)

FRAME = Frame(10, 20, 200, 100, Axis(0, 50, "t", (0.0, 25.0, 50.0)), Axis(-1, 1, "v", (-1.0, 0.0)))


def points(path):
    """Pairs of numbers of a path of M and L."""
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.e+-]+),([\d.e+-]+)", path)]


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-2, 1e6),
    st.integers(2, 12),
)
def test_ticks_are_round_few_and_inside(low, span, most):
    ticks = round_ticks(low, low + span, most)
    assert len(ticks) <= most
    slack = 1e-6 * span
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    if len(ticks) > 2:
        steps = np.diff(ticks)
        assert np.allclose(steps, steps[0], rtol=1e-5)
        mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-4


def test_an_axis_covers_finite_values_alone():
    made = axis([np.nan, 2, 4, np.inf], "v")
    assert (made.low, made.high) == (2, 4)
    assert axis([], "v").low < axis([], "v").high
    assert axis([3, 3], "v").low < axis([3, 3], "v").high
    roomy = axis([2, 4], "v", zero=True, room=0.5)
    assert (roomy.low, roomy.high) == (0, 6)


def test_a_line_is_to_scale_and_broken_where_nothing_is_known():
    path = FRAME.line([0, 25, 30, 50], [-1, 0, np.nan, 1])
    assert points(path) == [(10, 120), (110, 70), (210, 20)]
    assert re.findall("[ML]", path) == ["M", "L", "M"]


def test_a_band_goes_there_and_back():
    path = FRAME.band([0, 25, 50], [-1, np.nan, -1], [0, 0, 1])
    assert points(path) == [(10, 120), (210, 120), (210, 20), (10, 70)]
    assert path.endswith("Z")
    assert FRAME.band([0], [np.nan], [1]) == ""


def test_columns_and_levels_span_the_frame():
    assert FRAME.columns([25], [30]) == "M110.0,20.0H130.0V120.0H110.0Z"
    assert FRAME.level(0) == "M10.0,70.0H210.0"


def test_circles_have_their_centres_in_the_middle():
    assert circles(np.array([[5.0, 7.0]]), 2) == "M3.0,7.0a2.0,2.0 0 1,0 4.0,0a2.0,2.0 0 1,0 -4.0,0"


def test_large_numbers_keep_a_tenth_of_a_pixel():
    assert polyline(np.array([1234.56]), np.array([10.04])) == "M1234.6,10.0"


def test_a_chart_has_the_words_of_its_frames():
    chart = chart_of([Plot(FRAME, (Mark("M0,0", "line"),))], 220, 160, "what it says")
    assert {label.text for label in chart.labels} == {"0", "25", "50", "t", "\N{MINUS SIGN}1", "v"}
    assert [mark.style for mark in chart.marks] == ["grid", "grid", "line"]
    below = chart_of([Plot(FRAME, x_words=False)], 220, 160, "")
    assert "t" not in {label.text for label in below.labels}


@pytest.mark.parametrize("most", [2, 5, 30])
def test_names_are_shortened_to_what_there_is_room_for(most):
    assert len(shorten("cingulo-opercular", most)) == min(most, 17)


def test_a_strategy_has_one_colour_on_every_page_and_in_every_order():
    published = published_strategies()
    styles = strategy_styles(published)
    assert len(set(styles.values())) == len(published)
    for few in (["simple"], ["24P", "simple"], ["simple", "24P", "mine"]):
        assert strategy_styles(few) == strategy_styles(few[::-1])
        assert strategy_styles(few)["simple"] == styles["simple"]
        assert len(set(strategy_styles(few).values())) == len(few)


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
