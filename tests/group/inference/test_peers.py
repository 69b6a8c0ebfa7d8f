"""Null distributions and p against bctpy and tfnbs, with the permutations that these draw.

They are no part of what tests install: ``pip install ".[peers]"`` brings them.
"""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.inference import (
    Arrangements,
    Contrast,
    MaxT,
    Nbs,
    Tfnbs,
    permutation_test,
)

NODES, FIRST, SECOND, N = 14, 14, 14, 60
# tfnbs takes Welch's t, which is Student's where both groups are of one size.
ENDS = np.array(np.triu_indices(NODES, 1)).T
GROUPS = np.repeat([0.0, 1.0], [FIRST, SECOND])
DESIGN = np.column_stack([np.ones(FIRST + SECOND), GROUPS])
SECOND_IS_LARGER = Contrast("second - first", np.array([[0, 1.0]]))
SEED = 7


@pytest.fixture(scope="module")
def z():
    """Edges (28, 91); those of a star of six are larger in the second group."""
    values = np.random.default_rng(3).standard_normal((FIRST + SECOND, len(ENDS)))
    values[FIRST:, (ENDS[:, 0] == 2) & (ENDS[:, 1] <= 8)] += 1.0
    return values


def as_matrices(rows):
    matrices = np.zeros((len(rows), NODES, NODES))
    matrices[:, ENDS[:, 0], ENDS[:, 1]] = matrices[:, ENDS[:, 1], ENDS[:, 0]] = rows
    return matrices


def correct(monkeypatch, orders, z, enhancement):
    orders = np.array([np.arange(len(z)), *map(np.argsort, orders)], np.int32)
    arranged = Arrangements("permute", orders, None, exhaustive=False)
    module = "bids_spheres.group.inference.freedman_lane"
    monkeypatch.setattr(f"{module}.arrange", lambda *_, **__: arranged)
    tests = permutation_test(z, DESIGN, [SECOND_IS_LARGER], {"it": enhancement}, tail="positive")
    return tests[0].corrections["it"]


@pytest.mark.filterwarnings("ignore")
def test_components_have_the_null_distribution_and_p_of_bctpy(monkeypatch, z):
    bct = pytest.importorskip("bct")
    groups = [np.moveaxis(as_matrices(part), 0, -1) for part in (z[FIRST:], z[:FIRST])]
    p, labels, null = bct.nbs_bct(*groups, thresh=2.0, k=N, tail="right", seed=SEED)
    # It puts the larger group first, and draws one permutation after the other.
    drawn = np.random.RandomState(SEED)
    rows = np.roll(np.arange(FIRST + SECOND), -FIRST)
    orders = [np.roll(rows[drawn.permutation(len(rows))], FIRST) for _ in range(N)]
    found = correct(monkeypatch, orders, z, Nbs(ENDS, 2.0))
    np.testing.assert_array_equal(found.maxima[1:, 0], null)
    component = labels[tuple(ENDS.T)].astype(int)
    assert len(p) >= 2
    for number, own in enumerate(p, start=1):
        np.testing.assert_allclose(found.p_fwe[0, component == number], (1 + N * own) / (1 + N))
    np.testing.assert_array_equal(found.statistic[0] > 0, component > 0)


class WithThresholds:
    """TFNBS with 40 thresholds up to the largest t, which tfnbs has in place of a step."""

    unitwise = False

    def __call__(self, t, *, two_sided):
        return Tfnbs(ENDS, step=np.nanmax(t) / 40)(t, two_sided=two_sided)


def score_of(method):
    """Score of differences of two groups, of positive t, as its null distributions take it."""
    tfnbs = pytest.importorskip("tfnbs.pairwise_stats")

    def score(first, second, test_type):
        t = tfnbs.compute_t_stat(first, second, test_type=test_type)["g2>g1"]
        if method == "maxt":
            enhanced = t
        elif method == "nbs":
            enhanced = tfnbs.get_nbs_score(t, threshold=2.0)
        else:
            enhanced = tfnbs.get_tfnbs_score(t, 0.4, 3.0, 40, start_thres=0.0)
        return {"g2>g1": enhanced, "g1>g2": enhanced}

    return tfnbs, score


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("method", "enhancement"),
    [("maxt", MaxT()), ("nbs", Nbs(ENDS, 2.0)), ("tfnbs", WithThresholds())],
)
def test_null_distributions_and_p_are_those_of_tfnbs(monkeypatch, z, method, enhancement):
    tfnbs, score = score_of(method)
    groups = as_matrices(z[:FIRST]), as_matrices(z[FIRST:])
    options = {"n_permutations": N, "test_type": "two-sample", "random_state": SEED}
    nulls = tfnbs.compute_null_dist(*groups, score, use_mp=False, **options)
    observed = score(*groups, "two-sample")
    p = tfnbs._compute_p_values_from_null(observed, nulls)["g2>g1"][tuple(ENDS.T)]
    seeds = np.random.RandomState(SEED).randint(0, 2**32 - 1, size=N, dtype=np.int64)
    orders = [np.random.RandomState(seed).permutation(len(z)) for seed in seeds]
    found = correct(monkeypatch, orders, z, enhancement)
    np.testing.assert_allclose(found.maxima[1:, 0], nulls["g2>g1"], rtol=1e-6)
    mine, theirs = found.statistic[0], observed["g2>g1"][tuple(ENDS.T)]
    np.testing.assert_allclose(np.maximum(mine, 0), theirs, rtol=1e-6, atol=1e-9)
    # Theirs is the share of permutations with a larger maximum, without the observed one.
    is_large = mine > 0
    larger = (found.maxima[1:, [0]] > mine + 1e-6).mean(axis=0)
    np.testing.assert_allclose(larger[is_large], p[is_large], atol=1e-9)
    assert (found.p_fwe[0, is_large] >= (1 + N * p[is_large]) / (1 + N) - 1e-9).all()
    assert (larger < 0.05).any()
