"""The group's page in a real browser: keys, pointer, sorting, paper, dark screens, no network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.reports.group.conftest import STRATEGIES, S
from tests.reports.group.test_page import ORDER, expected_edges, square
from tests.reports.toolkit.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]


@pytest.fixture
def page(made, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(made[2])
        yield browser


def test_nothing_is_asked_for_and_nothing_complains(page, made):
    page.ask("window.scrollTo(0, document.body.scrollHeight)")
    assert page.requests() == [made[2].as_uri()]
    assert page.complaints() == []
    assert page.ask("document.title") == "Group of 25 participants"


@pytest.mark.parametrize("section", ["strategies", "connectivity", "model"])
def test_strategies_are_chosen_by_keys(page, section):
    marks = f"#{section} [data-of]:not(button)"
    assert set(page.shown(marks)) == set(STRATEGIES)
    page.focus(f"#{section} [data-pick='24P']")
    page.press("Enter")
    assert set(page.shown(marks)) == {"24P"}
    page.focus(f"#{section} [data-pick='']")
    page.press(" ")
    assert set(page.shown(marks)) == set(STRATEGIES)


def column(page, table, head):
    script = (
        f"(() => {{ const t = document.getElementById({json.dumps(table)});"
        "const c = Array.from(t.tHead.rows[0].cells)"
        f".findIndex(h => h.innerText.startsWith({json.dumps(head)}));"
        "return Array.from(t.tBodies[0].rows, r => r.cells[c].innerText); })()"
    )
    return page.ask(script)


@pytest.mark.parametrize(
    ("table", "head"),
    [
        ("participants-table", "Mean FD"),
        ("participants-table", "Coverage"),
        ("participants-table", "D.o.f. left"),
        ("strategies-table", "QC-FC"),
        ("image-1-table", "Share"),
        ("condition-1-networks", "Mean"),
        ("model-condition-1-strongest", "p"),
    ],
)
def test_tables_are_sorted_by_keys(page, table, head):
    before = column(page, table, head)
    button = (
        f"Array.from(document.querySelectorAll('#{table} thead button'))"
        f".find(b => b.innerText.startsWith({json.dumps(head)})).focus()"
    )
    page.ask(button)
    page.press("Enter")
    known = sorted(float(text) for text in before if text != "n/a")
    missing = ["n/a"] * (len(before) - len(known))
    assert numbers(column(page, table, head)) == known + missing
    page.press("Enter")
    assert numbers(column(page, table, head)) == known[::-1] + missing


def numbers(texts):
    return [text if text == "n/a" else float(text) for text in texts]


def told(page):
    return page.ask("document.querySelector('#condition-1 .matrix .pair').textContent")


def expected_words(made, i, j):
    outputs, matrices, _ = made
    z = expected_edges(matrices, "24P")
    mean = square(np.tanh(np.nanmean(z, axis=0)), 1.0)
    n = square(np.sum(np.isfinite(z), axis=0))
    names = [outputs.names[k] for k in ORDER]
    value = f"{mean[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
    number = "n/a" if i == j else f"{n[i, j]:.0f}"
    return f"{names[i]} \N{EN DASH} {names[j]}: {value}, q ", f", N {number}"


@pytest.mark.parametrize(("i", "j"), [(0, 1), (3, 9), (11, 2), (5, 5)])
def test_the_pointer_tells_pair_value_q_and_number(page, made, i, j):
    page.ask("document.querySelector('#condition-1 .matrix').scrollIntoView({block: 'center'})")
    left, top, width, height = page.ask(
        "(() => { const b = document.querySelector('#condition-1 .matrix image')"
        ".getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    page.point(left + width * (j + 0.5) / S, top + height * (i + 0.5) / S)
    start, end = expected_words(made, i, j)
    assert told(page).startswith(start)
    assert told(page).endswith(end)


def test_arrow_keys_tell_the_same(page, made):
    page.focus("#condition-1 .matrix")
    page.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight")
    start, end = expected_words(made, 2, 2)
    assert told(page).startswith(start)
    assert told(page).endswith(end)


def test_small_q_is_told_to_be_small(page):
    page.focus("#condition-1 .matrix")
    seen = set()
    for key in ("ArrowRight",) * (S - 1):
        page.press(key)
        seen.add(told(page).partition("q ")[2].partition(",")[0])
    assert "below 0.001" in seen
    assert "0.000" not in seen


def test_sections_are_reached_by_keys(page):
    page.focus("nav a[href='#model']")
    page.press("Enter")
    assert page.ask("document.activeElement.id") == "model"


def test_paper_shows_all(page):
    page.focus("#connectivity [data-pick='24P']")
    page.press("Enter")
    page.media("print")
    assert set(page.shown("#connectivity figure[data-of]")) == set(STRATEGIES)
    assert page.shown("[data-pick]") == []
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_is_never_wider_than_the_window(made, tmp_path, width):
    with Browser(tmp_path / "profile") as browser:
        browser.open(made[2], width=width)
        assert browser.ask("document.documentElement.scrollWidth") <= width


def test_a_phone_shows_degrees_of_freedom_without_scrolling(made, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(made[2], width=420)
        heads = "Array.from(document.querySelectorAll('#participants-table thead th'))"
        own = f"{heads}.filter(h => h.innerText.includes('D.o.f.'))"
        rights = browser.ask(f"{own}.map(h => h.getBoundingClientRect().right)")
        assert len(rights) == len(STRATEGIES)
        assert max(rights) <= 420


def test_dots_and_whiskers_stand_out_on_dark_screens(page):
    page.media("", "dark")
    paper = page.ask("getComputedStyle(document.body).backgroundColor")
    fill = page.ask("getComputedStyle(document.querySelector('.dot')).fill")
    stroke = page.ask("getComputedStyle(document.querySelector('.whisker')).stroke")
    for colour in (fill, stroke):
        light, dark = (sum(map(int, c[4:-1].split(","))) for c in (colour, paper))
        assert light - dark > 250
