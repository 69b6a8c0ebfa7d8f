"""Numbers in sentences."""

from __future__ import annotations

import pytest

from bids_spheres.wording import (
    after_names,
    coefficient,
    collect,
    count,
    listing,
    naming,
    number,
    percent,
    plural,
    sentence,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (-38.333, "-38.33"),
        (0.0, "0"),
        (-0.0, "0"),
        (-0.004, "-0.004"),
        (0.00012, "0.0001"),
        (-1e-15, "0"),
        (100.0, "100"),
        (2.5, "2.5"),
    ],
)
def test_numbers_have_no_idle_digits(value, text):
    assert number(value) == text


def test_whole_numbers_keep_their_zeros():
    assert number(1200, 0) == "1200"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0"),
        (1, "100"),
        (0.99999, "99.9"),
        (1 / 6, "16.7"),
        (0.5, "50"),
        (0.00021, "0.021"),
        (0.29, "29"),
    ],
)
def test_only_all_is_a_hundred_per_cent(share, text):
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


def test_one_is_singular():
    assert [count(n, "sphere") for n in (0, 1, 2)] == ["no spheres", "1 sphere", "2 spheres"]


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("ab", "a and b"),
        ("abc", "a, b and c"),
        ("abcd", "a, b, c and 1 more"),
    ],
)
def test_lists_end(items, text):
    assert listing(list(items), most=3) == text


def test_sentences_begin_and_end():
    assert sentence("two spheres") == "Two spheres."


@pytest.mark.parametrize(
    ("r", "text"),
    [
        (0.5, "0.5"),
        (-0.126, "-0.13"),
        (0.994, "0.99"),
        (0.996, "0.996"),
        (-0.9981, "-0.998"),
        (0.99999, "0.9999"),
        (-0.99999, "-0.9999"),
        (-0.0004, "-0.0004"),
        (1.0, "1"),
        (-1.0, "-1"),
        (-1.25, "-1.25"),
    ],
)
def test_only_a_perfect_correlation_is_written_as_one(r, text):
    assert coefficient(r) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0099, "0.99"), (0.01, "1"), (0.999, "99.9"), (1.002, "100")]
)
def test_shares_near_the_limits(share, text):
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


def test_texts_about_everything_need_no_names():
    pairs = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "x"), ("c", "z"), ("c", "y")]
    assert [*after_names(pairs, 5, ["y", "x"])] == ["A", "x: b", "z and y: c"]
    assert [*after_names(pairs[:3], 1)] == ["x and 1 more: a", "x: b"]


def test_long_names_are_cut_and_the_rest_are_counted():
    assert naming(["a" * 40, "b" * 39 + " c"]) == f"{'a' * 40} and {'b' * 39}…"
    assert naming(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listing(list("abcdef")) == "a, b, c, d, e and 1 more"
    assert naming(list("abcdef")) == "a, b, c, d, e and 1 more"


def test_names_are_grouped_by_what_is_said_of_them():
    pairs = [("b", "2"), ("a", "1"), ("b", "1"), ("b", "2")]
    assert [*collect(pairs).items()] == [("b", ["2", "1"]), ("a", ["1"])]
    assert [plural(n, "radius", "radii") for n in (0, 1, 2)] == ["radii", "radius", "radii"]
