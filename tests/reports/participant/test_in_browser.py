"""The participant's page in a real browser: keys, pointer, paper, dark screens, and no network."""

from __future__ import annotations

import base64
import csv
import re

import numpy as np
import pandas as pd
import pytest

from tests.reports.toolkit.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]

LONG = "w" * 150
WEIRD = "<img src=x onerror=document.title='broken'>"


def make(tiny, tmp_path, run_app, n_seeds, *options):
    """Results of two runs with many seeds; the folder of the results."""
    for run in (1, 2):
        tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=70)
    rng = np.random.default_rng(1)
    path = tmp_path / "many.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
        table.writerow(["name", "x", "y", "z", "network"])
        for i, place in enumerate(rng.uniform(-14, 14, (n_seeds, 3)).round(1)):
            name = {1: WEIRD, 2: LONG}.get(i, f"s{i}")
            table.writerow([name, *place, LONG if i % 5 == 4 else f"net{i % 5}"])
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "-q", "--seeds", path, *options).status == 0
    return out


@pytest.fixture
def results(tiny, tmp_path, run_app):
    return make(tiny, tmp_path, run_app, 20, "--strategy", "simple", "24P", "--radius", "4")


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as one:
        yield one


@pytest.fixture
def page(browser, results):
    browser.open(results / "sub-01.html")
    return browser


def test_nothing_is_asked_for_and_nothing_complains(page, results):
    assert page.requests() == [(results / "sub-01.html").as_uri()]
    assert page.complaints() == []
    assert page.ask("document.title") == "sub-01"


def test_strategies_are_chosen_by_keys(page):
    figures = "#run-1 figure[data-of]"
    assert set(page.shown(figures)) == {"simple", "24P"}
    page.focus("#run-1 [data-pick='24P']")
    page.press("Enter")
    assert set(page.shown(figures)) == {"24P"}
    assert set(page.shown("#run-1 path.line[data-of]")) == {"24P"}
    assert set(page.shown("#run-1 .legend [data-of]")) == {"24P"}
    pressed = "Array.from(document.querySelectorAll('#run-1 [data-pick]'), b => b.ariaPressed)"
    assert page.ask(pressed) == ["false", "false", "true"]
    page.focus("#run-1 [data-pick='']")
    page.press(" ")
    assert set(page.shown(figures)) == {"simple", "24P"}


def test_runs_are_turned_by_keys_and_links(page):
    assert page.shown("#runs .step") == ["run-1"]
    page.focus("#runs [data-step='1']")
    page.press("Enter")
    assert page.shown("#runs .step") == ["run-2"]
    page.ask("document.querySelector(\"#runs-table a[href='#run-1']\").focus()")
    page.press("Enter")
    assert page.shown("#runs .step") == ["run-1"]
    assert page.ask("document.activeElement.id") == "run-1"


def test_the_table_is_sorted_by_keys(page):
    script = (
        "(() => { const t = document.getElementById('run-1-set-1-table');"
        "const c = Array.from(t.tHead.rows[0].cells).findIndex(h => h.innerText.startsWith('x'));"
        "return Array.from(t.tBodies[0].rows, r => Number(r.cells[c].innerText)); })()"
    )
    before = page.ask(script)
    page.ask(
        "Array.from(document.querySelectorAll('#run-1-set-1-table thead button'))"
        ".find(b => b.innerText.startsWith('x')).focus()"
    )
    page.press("Enter")
    assert page.ask(script) == sorted(before)
    page.press(" ")
    assert page.ask(script) == sorted(before, reverse=True)


def matrix_of(results):
    """Correlations in the order of the page's rows, and their names."""
    (path,) = (results / "sub-01" / "func").glob("*run-1*pearson*desc-simple_relmat.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a", quoting=csv.QUOTE_NONE).set_index("Node")
    names = sorted(table.columns, key=lambda name: list(table.columns).index(name) % 5)
    return table.loc[names, names]


def told(browser):
    return browser.ask("document.querySelector('#run-1 .matrix .pair').textContent")


@pytest.mark.parametrize(("i", "j"), [(0, 0), (3, 17), (19, 4), (19, 19)])
def test_the_pointer_tells_the_pair_under_it(page, results, i, j):
    table = matrix_of(results)
    page.ask("document.querySelector('#run-1 .matrix').scrollIntoView({block: 'center'})")
    box = page.ask(
        "(() => { const b = document.querySelector('#run-1 .matrix image').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })()"
    )
    left, top, width, height = box
    page.point(left + width * (j + 0.5) / 20, top + height * (i + 0.5) / 20)
    value = f"{table.iloc[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
    assert told(page) == f"{table.index[i]} \N{EN DASH} {table.columns[j]}: {value}"


def test_arrow_keys_move_from_pair_to_pair(page, results):
    table = matrix_of(results)
    page.focus("#run-1 .matrix")
    page.press("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp")
    value = f"{table.iloc[1, 1]:.2f}".replace("-", "\N{MINUS SIGN}")
    assert told(page) == f"{table.index[1]} \N{EN DASH} {table.columns[1]}: {value}"
    page.press("ArrowUp", "ArrowUp", "ArrowUp")
    assert told(page).startswith(f"{table.index[0]} ")


def test_names_with_markup_are_words(page):
    assert page.ask("document.querySelectorAll('img[src=x]').length") == 0
    cells = "Array.from(document.querySelectorAll('#run-1-set-1-table th'), c => c.textContent)"
    assert WEIRD in page.ask(cells)
    assert page.ask("document.title") == "sub-01"


def test_paper_has_all_runs_and_no_buttons(page):
    page.focus("#run-1 [data-pick='24P']")
    page.press("Enter")
    page.media("print")
    assert page.shown("#runs .step") == ["run-1", "run-2"]
    assert set(page.shown("#run-1 figure[data-of]")) == {"simple", "24P"}
    assert page.shown("[data-pick]") == []
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def contrast(first, second):
    """Of two colours as CSS writes them (WCAG 2.2, relative luminance)."""

    def luminance(colour):
        channels = np.array([float(x) for x in colour[4:-1].split(",")]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722]

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out(page, scheme):
    page.media("", scheme)
    paper = page.ask("getComputedStyle(document.body).backgroundColor")
    look = "getComputedStyle(document.querySelector({!r})).{}"
    for selector, what in (("#run-1 .chart text.tick", "fill"), ("figcaption", "color")):
        assert contrast(page.ask(look.format(selector, what)), paper) >= 4.5
    for selector in (".line.series-0", ".line.series-2", ".course"):
        assert contrast(page.ask(look.format(f"#run-1 {selector}", "stroke")), paper) >= 3


def test_a_phone_shows_degrees_of_freedom_and_says_what_scrolls(browser, results):
    browser.open(results / "sub-01.html", width=420)
    heads = "Array.from(document.querySelectorAll('#runs-table thead th'))"
    right = f"{heads}.find(h => h.innerText.includes('freedom')).getBoundingClientRect().right"
    assert browser.ask(right) <= 420
    hint = "document.querySelector('#runs-table').closest('.scroller').nextElementSibling.innerText"
    assert browser.ask(hint) == "Scroll for more columns."
    browser.open(results / "sub-01.html", width=1400)
    assert browser.ask(hint) == ""


def test_the_menu_stays_in_view_on_wide_screens(browser, results):
    browser.open(results / "sub-01.html", width=1400, height=700)
    browser.ask("window.scrollTo(0, 2000)")
    top, right = browser.ask(
        "(() => { const b = document.querySelector('.menu').getBoundingClientRect();"
        "return [b.top, b.right]; })()"
    )
    assert top == 0
    assert right < browser.ask("document.querySelector('main').getBoundingClientRect().left")
    assert "task-rest run-2" in browser.ask("document.querySelector('.menu').innerText")


def test_a_picture_is_enlarged_and_put_back(page):
    page.focus("#run-1-set-1 .enlargeable button")
    page.press("Enter")
    shown = page.ask("document.querySelector('dialog img').getBoundingClientRect().width")
    assert shown == page.ask("document.querySelector('dialog img').naturalWidth") == 2 * 780
    page.ask("document.querySelector('dialog').click()")
    assert page.ask("document.querySelector('dialog[open]')") is None
    assert page.complaints() == []


@pytest.mark.slow
def test_a_participant_with_a_run_has_six_sheets_of_paper(browser, real_scan, tmp_path, run_app):
    options = ("--atlas", "Power2011", "--strategy", "simple", "24P", "--run", "1")
    assert run_app(real_scan, tmp_path / "out", "participant", *options).status == 0
    browser.open(tmp_path / "out" / "sub-03.html")
    size = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
    paper = base64.b64decode(browser.send("Page.printToPDF", **size)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) <= 6
    browser.media("print")
    table = "document.querySelector('#run-1-set-1-table')"
    rows = f"Array.from({table}.tBodies[0].rows).filter(r => r.getClientRects().length).length"
    assert browser.ask(rows) == 8
    assert "first 8 of 264 rows; all are in sub-03_" in browser.ask(f"{table}.caption.innerText")


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_is_never_wider_than_the_window(browser, results, width):
    browser.open(results / "sub-01.html", width=width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_a_thousand_spheres_come_without_a_jump(browser, tiny, tmp_path, run_app):
    out = make(tiny, tmp_path, run_app, 1000, "--strategy", "24P", "--radius", "2")
    watch = (
        "self.shifts = 0; new PerformanceObserver(list => list.getEntries().forEach(e => {"
        "self.shifts += e.value; })).observe({type: 'layout-shift', buffered: true});"
    )
    browser.send("Page.addScriptToEvaluateOnNewDocument", source=watch)
    browser.open(out / "sub-01.html")
    browser.ask("window.scrollTo(0, document.body.scrollHeight)")
    assert browser.ask("PerformanceObserver.supportedEntryTypes.includes('layout-shift')")
    assert browser.ask("self.shifts") < 0.01
    assert browser.ask("document.querySelectorAll('#run-1-set-1-table tbody tr').length") == 1000
    browser.focus("#run-1 .matrix")
    browser.press("ArrowDown")
    (path,) = (out / "sub-01" / "func").glob("*run-1*pearson*relmat.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a", quoting=csv.QUOTE_NONE)
    value = f"{table['s5'][0]:.2f}".replace("-", "\N{MINUS SIGN}")
    assert told(browser) == f"s0 \N{EN DASH} s5: {value}"
    assert browser.complaints() == []
