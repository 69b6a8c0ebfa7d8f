"""Making a report leaves nothing behind, least of all in the user's home."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys
import numpy as np
from bids_spheres.masker.report import MaskerFacts, masker_report
assert "matplotlib" not in sys.modules, "importing the module is cheap"
seeds, radii = np.zeros((1, 3)), np.ones(1)
report = masker_report(MaskerFacts("t", {}, ("a",), seeds, radii, displayed=(0,)))
assert str(report).count("<img") == 2
assert "matplotlib.pyplot" not in sys.modules
print(os.environ.get("MPLCONFIGDIR"))
"""

READ_ONLY = """
import os
allowed, chosen = os.access, os.environ["MPLCONFIGDIR"]
os.access = lambda path, mode: allowed(path, mode) and (str(path), mode) != (chosen, os.W_OK)
"""


@pytest.fixture
def places(tmp_path):
    """A home and a folder for temporary files, both empty."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(places, script=SCRIPT, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL", "COV_"))}
    env = {**kept, "HOME": str(places / "home"), "TMPDIR": str(places / "tmp"), **more}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=places,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_home_stays_empty(places):
    assert run(places) == "None"
    assert list((places / "home").iterdir()) == []
    assert list((places / "tmp").iterdir()) == []


def test_a_folder_that_the_user_chose_is_used(places):
    chosen = places / "mine"
    assert run(places, MPLCONFIGDIR=str(chosen)) == str(chosen)
    assert list((places / "home").iterdir()) == []
    assert list(chosen.iterdir())


def test_a_chosen_folder_that_can_not_be_written_is_read(places):
    """As in a container: the list of fonts there is used, and nobody is bothered."""
    chosen = places / "mine"
    run(places, MPLCONFIGDIR=str(chosen))
    (fonts,) = chosen.glob("fontlist-*.json")
    content = json.loads(fonts.read_text())
    content["ttflist"] = [f for f in content["ttflist"] if f["name"] == "DejaVu Sans"]
    fonts.write_text(json.dumps(content))
    told = """
from matplotlib.font_manager import fontManager
print(*{font.name for font in fontManager.ttflist}, sep=", ")
"""
    script = READ_ONLY + SCRIPT + told
    assert run(places, script, MPLCONFIGDIR=str(chosen)) == f"{chosen}\nDejaVu Sans"
    assert list((places / "tmp").iterdir()) == []
    assert list(chosen.iterdir()) == [fonts]
