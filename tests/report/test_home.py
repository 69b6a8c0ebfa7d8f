"""Making a report leaves nothing behind, least of all in the user's home."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
import numpy as np
from bids_spheres.report.masker import MaskerFacts, masker_report
assert "matplotlib" not in sys.modules, "importing the module is cheap"
seeds, radii = np.zeros((1, 3)), np.ones(1)
report = masker_report(MaskerFacts("t", {}, ("a",), seeds, radii, displayed=(0,)))
assert str(report).count("<img") == 2
assert "matplotlib.pyplot" not in sys.modules
print(os.environ.get("MPLCONFIGDIR"))
"""


@pytest.fixture
def places(tmp_path):
    """A home and a folder for temporary files, both empty."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(places, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL", "COV_"))}
    env = {**kept, "HOME": str(places / "home"), "TMPDIR": str(places / "tmp"), **more}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=env,
        cwd=places,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
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
