"""What the page's script does, in a real browser where there is one."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from bids_spheres.masker.report import masker_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=2000",
)

STORY = """
const told = {};
const column = (n) => Array.from(table.tBodies[0].rows, (row) => row.cells[n].textContent);
const press = (selector) => document.querySelector(selector).click();
const shown = () => Array.from(document.querySelectorAll(".step"))
  .filter((step) => getComputedStyle(step).display !== "none").map((step) => step.id);
const table = document.querySelector("table");
const header = table.tHead.rows[0].cells[8];
told.first = shown();
press("[data-step='1']"); told.next = shown();
press("[data-step='-1']"); press("[data-step='-1']"); told.last = shown();
told.where = document.querySelector(".where").textContent;
press("a[href='#sphere-3']"); told.linked = shown(); told.focus = document.activeElement.id;
header.querySelector("button").click(); told.rising = column(8); told.up = header.ariaSort;
header.querySelector("button").click(); told.falling = column(8); told.down = header.ariaSort;
table.tHead.rows[0].cells[0].querySelector("button").click(); told.numbers = column(0);
told.left = header.getAttribute("aria-sort");
document.title = "told " + JSON.stringify(told);
"""


def tell(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    dumped = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    return json.loads(html.unescape(re.search(r"<title>told (.*?)</title>", dumped)[1]))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("framed", [False, True], ids=["page", "notebook"])
def test_buttons_links_and_sorting(facts, tmp_path, framed):
    page = str(masker_report(facts)).replace("</body>", f"<script>{STORY}</script></body>")
    if framed:
        listen = "setTimeout(() => { document.title = frames[0].document.title; }, 1000)"
        page = f'<iframe srcdoc="{html.escape(page)}"></iframe><script>{listen}</script>'
        page = f"<title></title>{page}"
    told = tell(page, tmp_path)
    assert told["first"] == ["sphere-1"]
    assert told["next"] == ["sphere-0"]
    assert told["last"] == ["sphere-4"]
    assert told["where"] == "4 of 4"
    assert told["linked"] == ["sphere-3"]
    assert told["focus"] == "sphere-3"
    rising = [float(text.split()[0]) for text in told["rising"]]
    assert rising == sorted(rising)
    assert [float(text.split()[0]) for text in told["falling"]] == rising[::-1]
    assert (told["up"], told["down"], told["left"]) == ("ascending", "descending", None)
    assert told["numbers"] == [str(n) for n in range(5)]
