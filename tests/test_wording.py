"""Numbers in sentences."""

from __future__ import annotations

import pytest

from bids_spheres.wording import count, listing, number, percent, sentence


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
