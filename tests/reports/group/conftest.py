"""A group with what can be told of it: strategies, networks, motion, gaps, exclusions, a model."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from bids_spheres.reports.group import write_group_report
from tests.group.conftest import Outputs, correlations, new_outputs, without
from tests.reports.toolkit.conftest import parse  # noqa: F401 - a fixture

N, S = 24, 12
LABELS = [f"{i:02d}" for i in range(1, N + 1)]
WEIRD = "<img src=x onerror=document.title='broken'>"
AGE = "<b>age</b>"
MODEL = f"`{AGE}` + sex"
REASON = "3 volumes are left <script>alert(1)</script>"
NETWORKS = ["visual", "default", "<i>odd</i>", "visual", "default", "n/a"] * 2
STRATEGIES = ("24P", "simple")


class Named(Outputs):
    """Outputs of which a seed has an odd name."""

    @property
    def names(self):
        return [f"s{i}" if i != 1 else WEIRD for i in range(len(self.points))]


@pytest.fixture
def outputs(tmp_path):
    return new_outputs(tmp_path / "out")


def page_of(outputs, **options):
    """Do the group level and read its page; also what could not be done."""
    problems = run_group(outputs.root, GroupOptions(**options))
    return write_group_report(outputs.root), problems


def fill(outputs, rng):
    """Matrices of all participants by strategy, (N, S, S), as they are written."""
    written = {strategy: [] for strategy in STRATEGIES}
    for i, label in enumerate(LABELS):
        fd = 0.02 * (i + 1)
        for strategy in STRATEGIES:
            matrix = correlations(rng, S, shared=0.15 + (fd if strategy == "24P" else 0))
            if i % 5 == 0:
                matrix = without(matrix, 3)
            written[strategy].append(matrix)
            outputs.add(
                label,
                matrix,
                strategy=strategy,
                coverage=[1.0, 0.9, 1, 0.2 if i % 5 == 0 else 0.7, *[1] * (S - 4)],
                tsnr=30 + i,
                MeanFramewiseDisplacement=fd,
                DegreesOfFreedom=90 if strategy == "24P" else 60,
                NumberOfVolumesKept=120 if strategy == "24P" else 100 - i,
            )
    gone = {"Excluded": REASON, "DegreesOfFreedom": -2}
    for source, label in (("task-rest_run-2", "02"), ("task-rest", "99")):
        nothing = np.full((S, S), np.nan)
        outputs.add(label, nothing, source=source, **gone)
    return {strategy: np.array(own) for strategy, own in written.items()}


def add_participants(outputs, rng):
    ages = np.where(np.arange(N) == 6, np.nan, rng.integers(20, 70, N).astype(float))
    sexes = [str(sex) for sex in rng.choice(list("FM"), N)]
    columns = {"participant_id": [f"sub-{x}" for x in LABELS], AGE: ages, "sex": sexes}
    outputs.participants(**columns)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The outputs, their matrices, and the page."""
    rng = np.random.default_rng(20170715)
    root = new_outputs(tmp_path_factory.mktemp("group") / "out").root
    outputs = Named(root, rng.uniform(-60, 60, (S, 3)).round(1), NETWORKS)
    matrices = fill(outputs, rng)
    add_participants(outputs, rng)
    (root / "sub-03.html").write_text("page")
    path, problems = page_of(outputs, model=MODEL)
    assert problems == []
    return outputs, matrices, path


def read(path):
    """A table, read by other means than the package's."""
    with path.open(encoding="utf-8", newline="") as file:
        return pd.DataFrame(csv.DictReader(file, delimiter="\t"))
