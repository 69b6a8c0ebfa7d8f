"""The pages of the demonstration in a real browser: on paper, on a wide screen and on a phone."""

from __future__ import annotations

import base64
import re

import pytest

from bids_spheres.app.main import main
from tests.reports.toolkit.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]

SHEETS = {"sub-01.html": 6, "sub-03.html": 6, "group.html": 8}
A4, LETTER = (8.27, 11.69), (8.5, 11.0)

# Every view is shown at once; what scrolls by itself may be wider than the window.
CUT = """
(() => {
  document.querySelectorAll(".step").forEach(step => step.classList.add("current"));
  const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1
    && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const drawn = e => e.getClientRects().length > 0;
  const name = e => [e.tagName, e.id, e.className, e.textContent].join(" ").slice(0, 60);
  const texts = Array.from(document.querySelectorAll("svg.chart text")).filter(
    t => drawn(t) && !inside(t.getBoundingClientRect(), t.ownerSVGElement.getBoundingClientRect()));
  const all = Array.from(document.querySelectorAll("body *")).filter(drawn);
  const wide = all.filter(e => !e.closest(".scroller, .chart-box, pre, .store")
    && (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1));
  const hidden = all.filter(e => ["hidden", "clip"].includes(getComputedStyle(e).overflowX)
    && e.tagName !== "svg" && e.scrollWidth > e.clientWidth + 1);
  return [...texts, ...wide, ...hidden].map(name);
})()
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Results of three participants with one run each."""
    folder = tmp_path_factory.mktemp("demo")
    assert main(["demo", str(folder)]) == 0
    return folder / "bids-spheres"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as shared:
        yield shared


@pytest.mark.parametrize("paper", [A4, LETTER], ids=["A4", "letter"])
@pytest.mark.parametrize("page", SHEETS)
def test_pages_are_printed_on_few_sheets(demo, browser, page, paper):
    browser.open(demo / page)
    size = {"paperWidth": paper[0], "paperHeight": paper[1], "preferCSSPageSize": True}
    printed = base64.b64decode(browser.send("Page.printToPDF", **size)["data"])
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= SHEETS[page]


@pytest.mark.parametrize("width", [1400, 420])
@pytest.mark.parametrize("page", SHEETS)
def test_nothing_is_cut_or_wider_than_the_window(demo, browser, page, width):
    browser.open(demo / page, width=width)
    assert browser.ask(CUT) == []
    assert browser.ask("document.documentElement.scrollWidth") <= width
