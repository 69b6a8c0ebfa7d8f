"""Head motion whose artefact is known, from images through both levels.

Spheres have nothing in common but what motion gives them: in every volume in which the head jerks,
a field is added that neighbours share. So edges are related to motion, the more the closer their
spheres are, unless these volumes are left out; and for the same jerks without the field, they are
not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import signal, stats

from bids_spheres.app.main import main
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import read_tsv, upper
from tests.simulation import (
    BASES,
    FD,
    Spheres,
    bold,
    draw_spheres,
    expanded,
    framewise_displacement,
    jerked,
    smooth_artefact,
    write_dataset,
    write_run,
    write_strategy,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

pytestmark = pytest.mark.slow

N_PARTICIPANTS, N_VOLUMES, N_SPHERES = 60, 120, 40
N_EDGES = N_SPHERES * (N_SPHERES - 1) // 2
MOST_JERKS = 14
JERK = 1.0  # mm
STRENGTH = 2.0  # of the artefact, in standard deviations of the signal
CHANCE = stats.norm.ppf(0.75) / np.sqrt(N_PARTICIPANTS - 1)  # median |r| of unrelated variables


@dataclass(frozen=True, eq=False)
class Simulated:
    """What was simulated, and the folder of what came out."""

    out: Path
    spheres: Spheres
    motion: FloatArray
    series: dict[str, list[FloatArray]]
    shares: FloatArray

    @property
    def table(self) -> pd.DataFrame:
        table = read_tsv(self.out / "group" / "strategies.tsv")
        return table.set_index(["task", "strategy"])

    def mean(self, task, strategy):
        (path,) = (self.out / "group").glob(f"task-{task}_*_desc-{strategy}_mean.tsv")
        return upper(read_tsv(path).drop(columns="Node").to_numpy())

    def edges(self, task, strategy):
        (path,) = (self.out / "group").glob(f"task-{task}_*_desc-{strategy}_edges.tsv")
        return read_tsv(path)


def confounds(rng, n_jerks):
    """A head that wanders by micrometres, and jerks."""
    base = pd.DataFrame(1e-3 * rng.standard_normal((N_VOLUMES, len(BASES))), columns=BASES)
    base[["rot_x", "rot_y", "rot_z"]] /= 50
    at = rng.choice(np.arange(4, N_VOLUMES - 4, 4), n_jerks, replace=False)
    return expanded(jerked(base, at, JERK, rng))


def means(spheres, image):
    """(T, S) mean of an image in every sphere."""
    return np.stack([image[voxels].mean(axis=0) for voxels in spheres.voxels], axis=1)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Participants who jerk up to fourteen times, in two tasks: with the artefact, and without."""
    rng = np.random.default_rng(20170308)
    folder = tmp_path_factory.mktemp("motion")
    spheres = draw_spheres(N_SPHERES, 6.0, rng)
    root = write_dataset(folder / "fmriprep")
    series = {"moved": [], "clean": []}
    motion, shares = [], []
    for i in range(N_PARTICIPANTS):
        table = confounds(rng, round(MOST_JERKS * i / (N_PARTICIPANTS - 1)))
        moved = table[FD].fillna(0).to_numpy() > JERK / 2
        artefact = smooth_artefact(STRENGTH * moved, rng)
        for task, image in (("moved", artefact), ("clean", np.zeros_like(artefact))):
            signals = rng.standard_normal((N_VOLUMES, N_SPHERES))
            write_run(root, f"{i:02d}", bold(spheres, signals, rng) + image, table, task)
            series[task].append(signals + means(spheres, image))
        motion.append(framewise_displacement(table).mean())
        shares.append(moved.mean())
    own = write_strategy(folder, "scrub", censor={"fd_threshold": JERK / 2})
    seeds, out = spheres.write(folder / "seeds.tsv"), folder / "out"
    words = ("--quiet", root, out, "participant", "--seeds", seeds, "--report-level", "none")
    call = [*words, "--nprocs", "2", "--strategy", "none", own]
    assert main([str(word) for word in call]) == 0
    assert run_group(out, GroupOptions()) == []
    return Simulated(out, spheres, np.array(motion), series, np.array(shares))


@pytest.mark.parametrize("task", ["moved", "clean"])
def test_edges_and_their_link_to_motion_are_those_of_the_series(simulated, task):
    """What both levels make of images, from the series that were put into them."""
    z = [
        np.arctanh(upper(np.corrcoef(signal.detrend(one, axis=0).T)))
        for one in simulated.series[task]
    ]
    found = simulated.edges(task, "none")
    expected = [stats.pearsonr(simulated.motion, edge) for edge in np.transpose(z)]
    np.testing.assert_allclose(found["qc_fc"], [one.statistic for one in expected], atol=2e-3)
    np.testing.assert_allclose(found["distance"], simulated.spheres.distances, rtol=1e-6)
    row = simulated.table.loc[task, "none"]
    share = np.mean([one.pvalue < 0.05 for one in expected])
    assert row["qc_fc_significant"] == pytest.approx(share, abs=3 / N_EDGES)
    assert row["mean_fd"] == pytest.approx(simulated.motion.mean(), rel=1e-6)


def test_what_motion_adds_is_what_was_put_in(simulated):
    """Series of variance 1 with an artefact of covariance C in a share f of the volumes.

    They correlate f C_ij / sqrt((1 + f C_ii) (1 + f C_jj)), here with the C of other fields. What
    correlations of T volumes of variances v scatter by is sum(v^2)^(1/2) / sum(v).
    """
    fields = smooth_artefact(np.full(3000, STRENGTH), np.random.default_rng(1))
    of_spheres = means(simulated.spheres, fields)
    covariance = of_spheres.T @ of_spheres / len(of_spheres)
    added = simulated.shares[:, None, None] * covariance
    size = np.sqrt(1 + np.diagonal(added, axis1=1, axis2=2))
    correlation = added / (size[:, :, None] * size[:, None, :])
    truth = np.array([np.arctanh(upper(one)) for one in correlation])
    mean = np.arctanh(simulated.mean("moved", "none"))
    f, variance = simulated.shares, 1 + np.diagonal(covariance).mean()
    scatter = np.sqrt(((1 - f) + f * variance**2) / N_VOLUMES) / ((1 - f) + f * variance)
    spread = np.sqrt(np.mean(scatter**2))
    error = spread / np.sqrt(N_PARTICIPANTS)
    assert np.std(mean - truth.mean(axis=0)) == pytest.approx(error, rel=0.15)
    assert (mean - truth.mean(axis=0)).mean() == pytest.approx(0, abs=error / 2)
    # Of what edges vary by over participants, the truth is a part, and that goes with motion.
    signal_part = truth.std(axis=0) / np.hypot(truth.std(axis=0), spread)
    along = [stats.pearsonr(simulated.motion, edge).statistic for edge in truth.T]
    found = simulated.edges("moved", "none")["qc_fc"]
    for near in (simulated.spheres.distances < 40, simulated.spheres.distances < 60):
        expected = (signal_part * along)[near].mean()
        assert found[near].mean() == pytest.approx(expected, rel=0.1)


def test_a_strategy_that_removes_the_artefact_shows_less_of_it(simulated):
    none, scrubbed = (simulated.table.loc["moved", name] for name in ("none", "scrub"))
    assert none["qc_fc_median"] > 1.2 * CHANCE
    assert none["qc_fc_significant"] > 0.15
    assert none["qc_fc_distance_spearman"] < -0.4
    assert scrubbed["qc_fc_median"] == pytest.approx(CHANCE, rel=0.15)
    assert abs(scrubbed["qc_fc_distance_spearman"]) < 3 / np.sqrt(N_EDGES)
    lost = simulated.shares.mean()
    assert scrubbed["censored"] == pytest.approx(lost)
    assert scrubbed["degrees_of_freedom_lost"] == pytest.approx(2 + lost * N_VOLUMES)
    assert (none["censored"], none["degrees_of_freedom_lost"]) == (0, 2)


@pytest.mark.parametrize(("task", "strategy"), [("clean", "none"), ("moved", "scrub")])
def test_without_an_artefact_motion_explains_what_chance_does(simulated, task, strategy):
    """Edges of unrelated spheres are uncorrelated, so that their number is binomial."""
    row = simulated.table.loc[task, strategy]
    assert row["qc_fc_edges"] == N_EDGES
    positive = round(row["qc_fc_significant"] * N_EDGES)
    assert stats.binomtest(positive, N_EDGES, 0.05).pvalue > 0.01
