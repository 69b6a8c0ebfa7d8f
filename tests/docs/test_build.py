"""The pages, built as Read the Docs builds them: without a warning, and without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, ("sphinx", "myst_parser", "furo"))),
        reason='pages need pip install ".[docs]"',
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder of the pages; an address that answers nothing stands for every other machine."""
    out = tmp_path_factory.mktemp("pages")
    call = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", DOCS, out / "html"]
    call += ["-d", out / "doctrees"]
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}
    environment = {"PYTHONPATH": str(DOCS.parent), "PATH": "/usr/bin:/bin", **nowhere}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / "html"


class _Loaded(HTMLParser):
    """Addresses that a browser loads without being asked to, and the text of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text = ""
        self.formulas = 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.formulas += tag == "math"
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.addresses.append(values.get("href") or "")

    def handle_data(self, data):
        self.text += data


def test_no_page_loads_anything_from_another_machine(built):
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        addresses = _Loaded(page).addresses
        assert addresses
        assert not [one for one in addresses if re.match(r"(\w+:)?//", one)], page


def test_generated_parts_are_on_the_pages(built):
    command_line = _Loaded(built / "reference" / "command-line.html").text
    assert "--min-coverage SHARE" in command_line
    assert "generated:" not in command_line
    outputs = _Loaded(built / "reference" / "outputs.html").text
    assert "qc_fc_distance_spearman" in outputs
    strategies = _Loaded(built / "reference" / "seeds-and-strategies.html").text
    assert {"icaAROMA", "Seitzman2018"} <= set(strategies.split())


def test_formulas_are_mathml(built):
    page = built / "reference" / "mathematics.html"
    assert _Loaded(page).formulas > 40
    assert "$" not in re.sub(r"<(pre|code).*?</\1>", "", page.read_text(), flags=re.DOTALL)


def test_public_names_are_documented(built):
    import bids_spheres  # noqa: PLC0415
    from bids_spheres import engine, errors  # noqa: PLC0415

    page = (built / "reference" / "api.html").read_text(encoding="utf-8")
    names = [f"bids_spheres.{name}" for name in bids_spheres.__all__ if name[0] != "_"]
    same = {"clean", "load_seeds"}  # those of the package
    names += [f"bids_spheres.engine.{name}" for name in engine.__all__ if name not in same]
    names += [f"bids_spheres.errors.{name}" for name in vars(errors) if name.endswith("Error")]
    assert len(names) > 20
    for name in names:
        assert f'id="{name}"' in page, name
