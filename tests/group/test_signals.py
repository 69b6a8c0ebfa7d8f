"""A call of the group level that is ended by a signal, and what earlier ones left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bids_spheres.files.atomic import STALE_SECONDS
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import correlations
from tests.processes import finish, wait_for

TEMPORARY = ".tmp-bids_spheres-"


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """A call of the group level about enough participants to be at work for a while."""
    from .conftest import new_outputs  # noqa: PLC0415

    rng = np.random.default_rng(7)
    outputs = new_outputs(tmp_path_factory.mktemp("many") / "out")
    outputs.points = rng.uniform(-60, 60, (150, 3))
    outputs.networks = ["n/a"] * 150
    matrix = correlations(rng, 150)
    for i in range(60):
        outputs.add(f"{i:03d}", matrix)
    words = ["-P", "-m", "bids_spheres", "gone", str(outputs.root), "group", "-q"]
    return outputs.root, [sys.executable, *words]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 143, "Ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_it_with_one_line_and_leaves_nothing(call, number, status, said, delay):
    root, words = call
    for path in (root / "group").glob("*"):
        path.unlink()
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: list((root / "group").glob("*coverage.tsv")), 120)
    time.sleep(delay)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    # Where it hits code that C runs, Python ends itself by the signal; a shell calls both the same.
    assert process.returncode in (status, -signal.SIGINT), err
    (line,) = err.splitlines()
    assert said in line
    assert not list(root.rglob(f"{TEMPORARY}*"))


@pytest.mark.slow
def test_a_call_after_that_does_all(call):
    root, words = call
    assert finish(words).returncode == 0
    assert len(list((root / "group").glob("*_mean.tsv"))) == 1
    assert (root / "group.html").exists()


def test_what_killed_calls_left_is_removed_in_its_folder_and_at_the_root(outputs, rng):
    for label in ("01", "02"):
        outputs.add(label, correlations(rng, 5))
    old, new = [], []
    for folder in (outputs.root, outputs.root / "group", outputs.root / "logs"):
        folder.mkdir(exist_ok=True)
        old += [folder / f"{TEMPORARY}{'a' * 32}.tsv", folder / f"{TEMPORARY}abcd1234"]
        new += [folder / f"{TEMPORARY}{'b' * 32}.tsv"]
        old[-1].mkdir()
        for path in (old[-2], new[-1]):
            path.write_text("half")
    before = time.time() - 2 * STALE_SECONDS
    for path in old:
        os.utime(path, (before, before))
    assert run_group(outputs.root, GroupOptions()) == []
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)  # another call may be at work
