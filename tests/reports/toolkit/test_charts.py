"""Axes and paths against arithmetic."""

from __future__ import annotations

import re
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.data.published import published_strategies
from bids_spheres.reports.toolkit.charts import (
    Axis,
    Frame,
    Group,
    Label,
    Mark,
    Plot,
    axis,
    chart_of,
    circles,
    names_beside,
    network_order,
    polyline,
    round_ticks,
    series_style,
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
    single = axis([0.43, 0.43], "v")
    assert (single.low, single.high) == (0.43, pytest.approx(0.86))
    assert axis([0, 0], "v").high == 1
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
    assert FRAME.band([0, np.nan, 25, 50], [-1, -1, -1, -1], [0, 0, np.nan, 1]) == path
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


@pytest.mark.parametrize(
    ("values", "options", "low", "high", "ticks"),
    [
        ([0, 264], {}, 0, 264, (0, 50, 100, 150, 200, 250)),
        ([2, 4], {}, 2, 4, (2, 2.5, 3, 3.5, 4)),
        ([2, 4], {"room": 0.5}, 1, 5, (1, 2, 3, 4, 5)),
        ([4, -2], {"room": 0.5, "zero": True}, -5, 7, (-4, -2, 0, 2, 4, 6)),
        ([2, 4], {"zero": True}, 0, 4, (0, 1, 2, 3, 4)),
        ([3, 3], {}, 3, 6, (3, 4, 5, 6)),
        ([np.nan], {"most": 3}, 0, 1, (0, 0.5, 1)),
        ([-1e-9, 0], {}, -1e-9, 0, (-1e-9, -8e-10, -6e-10, -4e-10, -2e-10, 0)),
    ],
)
def test_ends_and_ticks_of_axes(values, options, low, high, ticks):
    made = axis(values, "v", **options)
    assert made == Axis(low, high, "v", ticks)
    assert "-0.0" not in map(str, made.ticks)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 3, (0, 5, 10)),
        (5, 55, 5, (10, 20, 30, 40, 50)),
        (0, 10, 2, (0, 10)),
        (0.1, 9.9, 2, (5,)),
        (0, 7, 3, (0, 5)),
        (0.3, 0.9, 6, (0.4, 0.6, 0.8)),
        (-0.3, 0.3, 7, (-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3)),
    ],
)
def test_ticks_at_the_ends_of_an_interval_count(low, high, most, expected):
    assert round_ticks(low, high, most) == expected


def test_places_of_the_words_of_a_frame():
    """Tick labels below and to the left of the frame, titles in the middle of its sides."""
    chart = chart_of([Plot(FRAME)], 220, 160, "what it says")
    assert (chart.width, chart.height, chart.alt) == (220, 160, "what it says")
    assert chart.labels == (
        Label(10, 134, "0"),
        Label(110, 134, "25"),
        Label(210, 134, "50"),
        Label(110, 152, "t", style="axis"),
        Label(4, 124, "\N{MINUS SIGN}1", "end"),
        Label(4, 74, "0", "end"),
        Label(14, 70, "v", style="axis", turned=True),
    )
    assert [mark.path for mark in chart.marks] == [
        "M10.0,20.0V120.0M110.0,20.0V120.0M210.0,20.0V120.0",
        "M10.0,120.0H210.0M10.0,70.0H210.0",
    ]


@pytest.mark.parametrize(
    ("places", "low", "high", "expected"),
    [
        ([0, 0, 0], 5, 100, [5, 15, 25]),
        ([95, 99], 0, 100, [90, 100]),
        ([80, 85, 99], 0, 100, [80, 90, 100]),
        ([10, 12, 60], 0, 100, [10, 20, 60]),
    ],
)
def test_names_move_by_as_little_as_they_must(places, low, high, expected):
    assert spread(places, 10, low, high) == expected


def test_brackets_names_and_leads_of_groups():
    frame = Frame(100, 10, 80, 200, Axis(0, 20), Axis(0, 20))
    groups = (Group("a name that is long", 0, 15), Group("b", 15, 20))
    (leads, brackets), labels = names_beside(groups, frame, 9)
    assert (leads.style, brackets.style) == ("lead", "bracket")
    assert brackets.path == (
        "M99,11.2L95,11.2L95,158.8L99,158.8M99,161.2L95,161.2L95,208.8L99,208.8"
    )
    assert leads.path == "M87,85L95,85M87,185L95,185"
    assert labels == (
        Label(85, 89, "a name t\N{HORIZONTAL ELLIPSIS}", "end", "name"),
        Label(85, 189, "b", "end", "name"),
    )
    (leads, brackets), labels = names_beside(groups, frame, 30, below=True)
    assert brackets.path == (
        "M101.2,211L101.2,215L158.8,215L158.8,211M161.2,211L161.2,215L178.8,215L178.8,211"
    )
    assert leads.path == "M130,223L130,215M170,223L170,215"
    assert labels == (
        Label(134, 225, "a name that is long", "end", "name", turned=True),
        Label(174, 225, "b", "end", "name", turned=True),
    )


def test_where_there_is_no_room_the_largest_groups_have_names():
    """24 pixels hold two names, 11.5 from one another, 5 from the top and 3 from the bottom."""
    frame = Frame(100, 10, 80, 24, Axis(0, 12), Axis(0, 12))
    groups = tuple(map(Group, "abcd", (0, 1, 5, 7), (1, 5, 7, 12)))
    _, labels = names_beside(groups, frame, 9)
    assert [(label.text, label.down) for label in labels] == [("b", 20.0), ("d", 33.0)]
    crowded = tuple(map(Group, "ab", (0, 1), (1, 2)))
    _, labels = names_beside(crowded, frame, 9)
    assert [(label.text, label.down) for label in labels] == [("a", 19.0), ("b", 30.5)]


def test_styles_of_strategies():
    published = ["simple", "scrubbing", "24P", "36P"]
    published += sorted(set(published_strategies()) - set(published))
    expected = {name: f"series-{i}" for i, name in enumerate(published)}
    assert strategy_styles(published) == expected
    # Others have the place of a hash, or the next one that is free.
    place = zlib.crc32(b"mine") % 16
    assert strategy_styles(["mine"]) == {"mine": f"series-{place}"}
    assert strategy_styles(["mine", published[place]]) == {
        published[place]: f"series-{place}",
        "mine": f"series-{(place + 1) % 16}",
    }
    assert strategy_styles(["mine", *published])["mine"] == f"series-{place}"
    assert series_style(17) == "series-1"


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("motor", 5, "motor"),
        ("motors", 5, "moto\N{HORIZONTAL ELLIPSIS}"),
        ("de fault", 4, "de\N{HORIZONTAL ELLIPSIS}"),
        ("ab", 1, "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_a_word_is_cut_at_its_last_letter_that_fits(text, most, expected):
    assert shorten(text, most) == expected


def test_networks_of_one_kind():
    assert network_order(["a", "a"]).groups == (Group("a", 0, 2),)
    assert network_order([]).groups == ()
    order = network_order(["n/a", "b", "Uncertain", "a", "b"])
    assert order.indices.tolist() == [1, 4, 3, 0, 2]
    assert order.groups == (
        Group("b", 0, 2),
        Group("a", 2, 3),
        Group("n/a", 3, 4),
        Group("Uncertain", 4, 5),
    )
