"""The simulated dataset, read by other means than the package's."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.demo.head import draw_head
from bids_spheres.demo.networks import read_seeds

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.demo import DemoTruth

VOLUMES = {
    "sub-01_task-rest": 120,
    "sub-02_task-rest_run-1": 120,
    "sub-02_task-rest_run-2": 120,
    "sub-03_task-rest": 100,
}
STILL, MOVING = "sub-01_task-rest", "sub-03_task-rest"
SPACE = "space-MNI152NLin2009cAsym"
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FORMS = ("_derivative1", "_power2", "_derivative1_power2")
every_run = pytest.mark.parametrize("stem", VOLUMES)


@pytest.fixture(scope="session")
def root(simulated_dataset) -> Path:
    return simulated_dataset[0]


@pytest.fixture(scope="session")
def truth(simulated_dataset) -> DemoTruth:
    return simulated_dataset[1]


@pytest.fixture(scope="session")
def func(root, truth):
    """Return the path of a run's file, given the rest of its name."""
    assert set(truth.mean_fd) == set(VOLUMES)
    return lambda stem, ending: root / stem[:6] / "func" / f"{stem}_{ending}"


@pytest.fixture(scope="session")
def table(func):
    """Return a run's confounds as text, by column."""

    def read(stem):
        with func(stem, "desc-confounds_timeseries.tsv").open(newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return {name: [row[name] for row in rows] for name in rows[0]}

    return read


@pytest.fixture(scope="session")
def numbers(table):
    """Return a run's confounds as numbers, by column, with NaN for n/a."""

    def read(stem):
        return {
            name: np.array([np.nan if cell == "n/a" else float(cell) for cell in column])
            for name, column in table(stem).items()
        }

    return read


@pytest.fixture(scope="session")
def bold(func):
    return lambda stem: nib.load(func(stem, f"{SPACE}_desc-preproc_bold.nii.gz"))


@pytest.fixture(scope="session")
def mask(func):
    return lambda stem: nib.load(func(stem, f"{SPACE}_desc-brain_mask.nii.gz"))


def seeds_inside(mask_img):
    points = read_seeds().points
    inverse = np.linalg.inv(mask_img.affine)
    voxel = np.rint(nib.affines.apply_affine(inverse, points)).astype(int)
    return np.asanyarray(mask_img.dataobj)[tuple(voxel.T)] > 0


SEEDS = np.array([[-40.0, -20, 50], [-31, -20, 50], [10, -88, 2], [0, 0, 100]])


@pytest.fixture(scope="session")
def head():
    """A head with two seeds whose spheres overlap, one apart, and one outside of it."""
    return draw_head(SEEDS)


@pytest.fixture
def rng():
    return np.random.default_rng(11)
