"""Components and TFNBS against MRtrix3's connectomestats, with the same permutations.

It enhances Z, of the same p as t, leaves the step out of the sum over thresholds, tests one side,
and its permutations say where rows go instead of where they come from.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from scipy import stats

from bids_spheres.group.inference import (
    Arrangements,
    Contrast,
    Nbs,
    Tfnbs,
    estimate,
    permutation_test,
)

PROGRAM = shutil.which("connectomestats")
N, NODES, THRESHOLD = 20, 12, 2.0
ENDS = np.array(np.triu_indices(NODES, 1)).T
AGE = Contrast("age", np.array([[0, 1.0]]))

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="MRtrix3 is not installed")


class OfZ:
    """An enhancement of Z in place of t."""

    unitwise = False

    def __init__(self, enhancement):
        self.enhancement = enhancement

    def __call__(self, t, *, two_sided):
        z = np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), N - 2))
        return self.enhancement(z, two_sided=two_sided)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Edges that follow age in a star of five, as matrices in files, and 99 permutations."""
    folder = tmp_path_factory.mktemp("mrtrix")
    rng = np.random.default_rng(0)
    age, z = rng.standard_normal(N), rng.standard_normal((N, len(ENDS)))
    z[:, (ENDS[:, 0] == 0) & (ENDS[:, 1] <= 5)] += 0.8 * age[:, np.newaxis]
    for i, row in enumerate(z):
        matrix = np.zeros((NODES, NODES))
        matrix[tuple(ENDS.T)] = row
        np.savetxt(folder / f"{i}.csv", matrix + matrix.T)
    (folder / "input.txt").write_text("".join(f"{i}.csv\n" for i in range(N)))
    design = np.column_stack([np.ones(N), age])
    np.savetxt(folder / "design.txt", design)
    np.savetxt(folder / "contrast.txt", AGE.weights)
    orders = np.array([np.arange(N), *(rng.permutation(N) for _ in range(99))])
    np.savetxt(folder / "permutations.txt", np.argsort(orders, axis=1).T, fmt="%d")
    return folder, z, design, orders.astype(np.int32)


@pytest.mark.parametrize(
    ("algorithm", "words", "enhancement", "step"),
    [
        ("nbs", ("-threshold", str(THRESHOLD)), Nbs(ENDS, THRESHOLD), 1.0),
        ("tfnbs", (), Tfnbs(ENDS), 0.1),
    ],
)
def test_statistics_and_null_distributions_are_mrtrixs(
    study, monkeypatch, algorithm, words, enhancement, step
):
    folder, z, design, orders = study
    files = ("input.txt", algorithm, "design.txt", "contrast.txt", f"{algorithm}-")
    options = ("-permutations", "permutations.txt", "-quiet", "-force", "-nthreads", "1")
    subprocess.run([PROGRAM, *files, *words, *options], cwd=folder, check=True, timeout=120)

    def edges(what):
        return np.loadtxt(folder / f"{algorithm}-{what}.csv", delimiter=",")[tuple(ENDS.T)]

    arranged = Arrangements("permute", orders, None, exhaustive=False)
    module = "bids_spheres.group.inference.freedman_lane"
    monkeypatch.setattr(f"{module}.arrange", lambda *_, **__: arranged)
    enhancements = {"it": OfZ(enhancement)}
    [test] = permutation_test(z, design, [AGE], enhancements, tail="positive")
    np.testing.assert_allclose(edges("tvalue"), estimate(z, design, AGE).statistic)
    found = test.corrections["it"]
    np.testing.assert_allclose(edges("enhanced"), found.statistic[0] / step, atol=1e-9)
    null = np.loadtxt(folder / f"{algorithm}-null_dist.txt")
    np.testing.assert_allclose(null, found.maxima[:, 0] / step, rtol=1e-7)
    # Theirs is the share of arrangements with a larger maximum, ours of those with as large a one.
    enhanced = found.statistic[0] > 0
    larger = (found.maxima[:, [0]] > found.statistic[0] + 1e-9).mean(axis=0)[enhanced]
    np.testing.assert_allclose(1 - edges("fwe_1mpvalue")[enhanced], larger, atol=1e-9)
    assert (larger <= found.p_fwe[0, enhanced]).all()
    assert (larger < 0.05).any()
