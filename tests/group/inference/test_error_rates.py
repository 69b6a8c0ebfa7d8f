"""How often tests are positive when nothing, and when something, is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_spheres.group.inference import (
    Cnbs,
    Contrast,
    Exchangeability,
    MaxT,
    Nbs,
    Tfnbs,
    fit_combat,
    permutation_test,
)

ALPHA = 0.05
N_NODES = 14
ENDS = np.array(np.triu_indices(N_NODES, 1)).T
NETWORK = np.arange(N_NODES) // 5
PAIRS = 3 * NETWORK[ENDS[:, 0]] + NETWORK[ENDS[:, 1]]
ENHANCEMENTS = {"maxt": MaxT(), "nbs": Nbs(ENDS, 2.0), "tfnbs": Tfnbs(ENDS), "cnbs": Cnbs(PAIRS)}

SIZES = [
    pytest.param(150, 19, id="short"),
    pytest.param(2000, 39, id="long", marks=pytest.mark.long),
]
"""Groups and permutations; alpha is a multiple of 1 / (1 + permutations)."""


def noise(rng, n):
    """Edges that share the activity of their nodes, of people who differ in more than they do."""
    nodes = rng.standard_t(5, (n, N_NODES))
    shared = nodes[:, ENDS[:, 0]] + nodes[:, ENDS[:, 1]]
    return shared + 2 * rng.standard_normal((n, len(ENDS))) + 2 * rng.standard_t(5, (n, 1))


def assert_error_rate(positive, groups, name):
    low, high = stats.binom.interval(0.999, groups, ALPHA)
    assert positive <= high, f"{name}: {positive} of {groups}, at most {high}"
    # Extents of components are whole numbers, which tie.
    assert name == "nbs extent" or positive >= low, f"{name}: {positive} of {groups}, from {low}"


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "permutations"), SIZES)
@pytest.mark.parametrize("weights", [[0.0, 1, 0, 0], [1.0, 0, 0, 0]], ids=["slope", "mean"])
def test_family_wise_errors_with_nuisance_and_missing_edges(weights, groups, permutations):
    rng = np.random.default_rng(11)
    contrast = Contrast("c", np.array([weights]))
    positive = dict.fromkeys(["maxt", "nbs extent", "nbs intensity", "tfnbs", "cnbs"], 0)
    for group in range(groups):
        age, motion = rng.standard_normal((2, 24))
        age += 0.5 * motion
        design = np.column_stack([np.ones(24), age, motion, np.arange(24) % 2])
        z = noise(rng, 24) + 2 * motion[:, np.newaxis]
        if weights[0] == 0:
            z += 1
        z[3, rng.integers(0, len(ENDS), 4)] = np.nan
        [test] = permutation_test(
            z, design, [contrast], ENHANCEMENTS, n_permutations=permutations, seed=group
        )
        for name, correction in test.corrections.items():
            kinds = ("nbs extent", "nbs intensity") if name == "nbs" else (name,)
            for kind, p in zip(kinds, correction.p_fwe, strict=True):
                positive[kind] += np.nanmin(p) <= ALPHA
    for name, count in positive.items():
        assert_error_rate(count, groups, name)


@pytest.mark.parametrize(("groups", "permutations"), SIZES)
def test_unequal_variances_take_variance_groups(groups, permutations):
    rng = np.random.default_rng(5)
    small = np.repeat([1, 0], [15, 45])
    design = np.eye(2)[small]
    difference = Contrast("d", np.array([[-1.0, 1]]))
    positive, without = 0, 0
    for group in range(groups):
        z = noise(rng, 60) * (1 + 2 * small[:, np.newaxis])
        options = {"enhancements": {"maxt": MaxT()}, "n_permutations": permutations, "seed": group}
        [test] = permutation_test(z, design, [difference], variance_groups=small, **options)
        positive += test.corrections["maxt"].p_fwe.min() <= ALPHA
        [test] = permutation_test(z, design, [difference], **options)
        without += test.corrections["maxt"].p_fwe.min() <= ALPHA
    assert_error_rate(positive, groups, "maxt")
    assert without > stats.binom.interval(0.999, groups, ALPHA)[1]


@pytest.mark.parametrize(("groups", "permutations"), SIZES)
def test_families_take_blocks(groups, permutations):
    """Siblings are alike, and a variable of families is tested."""
    rng = np.random.default_rng(8)
    families = np.repeat(np.arange(12), 3)
    slope = Contrast("c", np.array([[0.0, 1]]))
    positive, without = 0, 0
    for group in range(groups):
        design = np.column_stack([np.ones(36), rng.standard_normal(12)[families]])
        z = noise(rng, 36) + 2 * noise(rng, 12)[families]
        options = {"enhancements": {"maxt": MaxT()}, "n_permutations": permutations, "seed": group}
        [test] = permutation_test(
            z, design, [slope], exchangeability=Exchangeability(families, whole=True), **options
        )
        positive += test.corrections["maxt"].p_fwe.min() <= ALPHA
        [test] = permutation_test(z, design, [slope], **options)
        without += test.corrections["maxt"].p_fwe.min() <= ALPHA
    assert_error_rate(positive, groups, "maxt")
    assert without > stats.binom.interval(0.999, groups, ALPHA)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "permutations"), SIZES)
def test_harmonization_is_redone_within_sites(groups, permutations):
    """Sites differ in age and in their scanners; ComBat keeps age, and more than there is of it."""
    rng = np.random.default_rng(3)
    sites = np.arange(40) % 4
    slope = Contrast("age", np.array([[0.0, 1]]))
    positive, without = 0, 0
    for group in range(groups):
        age = rng.standard_normal((40, 1)) + 0.7 * sites[:, np.newaxis]
        z = noise(rng, 40) + 2 * rng.standard_normal((4, len(ENDS)))[sites]

        def harmonized(y, age=age):
            return fit_combat(y, sites, age).apply(y, sites, age)

        options = {"enhancements": {"maxt": MaxT()}, "n_permutations": permutations, "seed": group}
        options["exchangeability"] = Exchangeability(sites)
        design = np.column_stack([np.ones(40), age])
        [test] = permutation_test(z, design, [slope], transform=harmonized, **options)
        positive += test.corrections["maxt"].p_fwe.min() <= ALPHA
        [test] = permutation_test(harmonized(z), design, [slope], **options)
        without += test.corrections["maxt"].p_fwe.min() <= ALPHA
    assert_error_rate(positive, groups, "maxt")
    assert without > stats.binom.interval(0.999, groups, ALPHA)[1]


@pytest.mark.slow
def test_power_is_where_the_effects_are():
    """Components gain from neighbours, single edges from their size."""
    rng = np.random.default_rng(2)
    contrast = Contrast("age", np.array([[0.0, 1]]))
    ring = np.isin(ENDS, range(5)).all(axis=1)
    found = dict.fromkeys(ENHANCEMENTS, 0.0)
    false = dict.fromkeys(ENHANCEMENTS, 0.0)
    for group in range(20):
        age = rng.standard_normal(40)
        z = rng.standard_normal((40, len(ENDS)))
        z[:, ring] += 0.5 * age[:, np.newaxis]
        [test] = permutation_test(
            z,
            np.column_stack([np.ones(40), age]),
            [contrast],
            ENHANCEMENTS,
            n_permutations=59,
            seed=group,
        )
        for name, correction in test.corrections.items():
            positive = correction.p_fwe[-1] <= ALPHA
            true = np.arange(9) == 0 if name == "cnbs" else ring
            found[name] += positive[: len(true)][true].mean() / 20
            false[name] += positive[: len(true)][~true].any() / 20
    assert found["maxt"] > 0.3
    assert found["tfnbs"] > found["maxt"] + 0.15
    assert found["nbs"] > 0.7
    assert found["cnbs"] > 0.95
    assert max(false["maxt"], false["cnbs"]) < 0.2
