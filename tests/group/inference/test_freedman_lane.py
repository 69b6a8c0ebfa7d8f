"""Permutation tests against nilearn, other formulas and every arrangement by hand."""

from __future__ import annotations

import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from scipy import stats

from bids_spheres.group.inference import (
    ClusterExtent,
    Contrast,
    Exchangeability,
    MaxT,
    Nbs,
    Tfce,
    Tfnbs,
    arrange,
    estimate,
    permutation_test,
)
from bids_spheres.group.inference.linear_model import column_blocks

MAXT = {"maxt": MaxT()}


def study(n=30, edges=25, seed=0):
    """Edges, and a design of constant, age, sex; the first edges depend on age."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.standard_normal(n), np.arange(n) % 2])
    z = rng.standard_normal((n, edges)) + 2
    z[:, :3] += 0.9 * design[:, [1]]
    return z, design


AGE = Contrast("age", np.array([[0, 1.0, 0]]))
MEAN = Contrast("mean", np.array([[1.0]]))


def freedman_lane(z, design, weights, arranged):
    """|t| or F of every arrangement by fitting the rearranged data with statsmodels."""
    others = np.linalg.svd(weights)[2][len(weights) :]
    nuisance = design @ others.T
    fitted = nuisance @ np.linalg.pinv(nuisance) @ z
    found = []
    for matrix in arranged:
        new = fitted + matrix @ (z - fitted)
        tests = [sm.OLS(y, design).fit() for y in new.T]
        if len(weights) == 1:
            found.append([float(np.squeeze(t.t_test(weights).tvalue)) for t in tests])
        else:
            found.append([float(t.f_test(weights).fvalue) for t in tests])
    return np.array(found)


def matrices(arrangements, n):
    return [m.T for m in arrangements.apply(np.eye(n), 0, len(arrangements))]


@pytest.mark.parametrize(
    "weights", [[[0, 1.0, 0]], [[1.0, 0, 0]], [[0, 1.0, 0], [0, 0, 1.0]], [[0, 0.5, -1]]]
)
def test_statistics_of_all_arrangements_are_those_of_rearranged_data(weights):
    z, design = study(n=12, edges=4)
    weights = np.array(weights)
    [test] = permutation_test(z, design, [Contrast("c", weights)], MAXT, n_permutations=40, seed=5)
    arranged = arrange(design, test.scheme, 40, seed=5)
    assert test.scheme == ("flip" if weights[0, 0] else "permute")
    expected = freedman_lane(z, design, weights, matrices(arranged, 12))
    size = np.abs(expected) if len(weights) == 1 else np.sqrt(expected)
    np.testing.assert_allclose(test.statistic, expected[0])
    found = test.corrections["maxt"]
    np.testing.assert_allclose(found.maxima[:, 0], size.max(axis=1))
    np.testing.assert_allclose(found.p[0], (size >= size[0] - 1e-9).mean(axis=0))
    share = (size.max(axis=1)[:, np.newaxis] >= size[0] - 1e-9).mean(axis=0)
    np.testing.assert_allclose(found.p_fwe[0], share)


def test_maxt_is_that_of_nilearn_within_monte_carlo_error():
    z, design = study(n=40, edges=30)
    theirs = permuted_ols(
        design[:, [1]],
        z,
        design[:, [2]],
        n_perm=2000,
        random_state=1,
        output_type="dict",
        verbose=0,
    )
    [test] = permutation_test(z, design, [AGE], MAXT, n_permutations=2000)
    np.testing.assert_allclose(test.statistic, theirs["t"][0])
    p_theirs, p_ours = 10 ** -theirs["logp_max_t"][0], test.corrections["maxt"].p_fwe[0]
    assert abs(p_ours - p_theirs).max() < 4 * np.sqrt(2 * 0.25 / 2000)
    assert (p_ours < 0.05).sum() >= 2


def test_one_sample_is_all_sign_flips():
    z = np.array([[0.5, 0.1], [0.3, -0.2], [0.7, 0.4]])
    [test] = permutation_test(z, np.ones((3, 1)), [MEAN], MAXT)
    assert (test.scheme, test.exhaustive, test.n_permutations) == ("flip", True, 8)
    assert test.smallest_p == 2 / 8
    flips = [
        np.abs(stats.ttest_1samp(z * np.array([s]).T, 0).statistic)
        for s in product((1, -1), repeat=3)
    ]
    share = np.mean([flip >= flips[0] - 1e-9 for flip in flips], axis=0)
    np.testing.assert_allclose(test.corrections["maxt"].p[0], share)
    assert test.corrections["maxt"].p[0, 0] == 2 / 8


def test_smallest_p_of_one_tail_and_of_two_groups():
    z = np.arange(16.0).reshape(8, 2) ** 1.5
    [test] = permutation_test(z[:3], np.ones((3, 1)), [MEAN], MAXT, tail="positive")
    assert test.smallest_p == 1 / 8 == test.corrections["maxt"].p_fwe[0].min()
    cells = np.repeat(np.eye(2), 4, axis=0)
    difference = Contrast("b - a", np.array([[-1.0, 1]]))
    for tail, smallest in (("two", 2 / 70), ("positive", 1 / 70), ("negative", 1 / 70)):
        turned = -z if tail == "negative" else z
        [test] = permutation_test(turned, cells, [difference], MAXT, tail=tail)
        assert (test.exhaustive, test.n_permutations) == (True, 70)
        assert test.smallest_p == pytest.approx(smallest)
        assert test.corrections["maxt"].p_fwe[0].min() == pytest.approx(smallest)
    [test] = permutation_test(z, cells, [difference], MAXT, n_permutations=69)
    assert (test.exhaustive, test.n_permutations, test.smallest_p) == (False, 69, 1 / 70)


@pytest.mark.parametrize("tail", ["two", "positive", "negative"])
def test_smallest_p_of_an_f_test_has_no_tail(tail):
    """Of both means together: the other sign of a whole group gives the same F."""
    z = np.array([[0.5], [0.3], [0.7], [-0.4], [-0.2], [-0.5], [-0.9]])
    cells = np.repeat(np.eye(2), [3, 4], axis=0)
    [test] = permutation_test(z, cells, [Contrast("both", np.eye(2))], MAXT, tail=tail)
    assert (test.scheme, test.exhaustive, test.n_permutations) == ("flip", True, 2**7)
    assert test.smallest_p == 4 / 2**7 == test.corrections["maxt"].p_fwe[0, 0]
    f = estimate(z, cells, Contrast("both", np.eye(2))).statistic
    np.testing.assert_allclose(test.statistic, f)
    np.testing.assert_allclose(test.threshold_statistic, np.sqrt(f))
    np.testing.assert_allclose(test.corrections["maxt"].statistic, [np.sqrt(f)])


def test_smallest_p_counts_arrangements_that_keep_the_tested_factor():
    """Of two crossed factors: to exchange them keeps the model, and gives other statistics."""
    table = np.array([[1, a, b] for a in (-1.0, 1) for b in (-1.0, 1)])
    cells = np.repeat(np.arange(4), 2)
    z = np.random.default_rng(11).standard_normal((8, 1))
    nuisance = table[cells][:, [0, 2]]
    residuals = z - nuisance @ np.linalg.pinv(nuisance) @ z
    designs = table[np.array(sorted(set(permutations(cells.tolist()))))]
    inverses = np.linalg.pinv(designs)
    left = residuals - designs @ (inverses @ residuals)
    t = np.squeeze(inverses @ residuals)[:, 1] / np.sqrt(np.sum(left**2, axis=(1, 2)))
    first = Contrast("a", np.array([[0.0, 1, 0]]))
    for tail, size in (("two", np.abs(t)), ("positive", t)):
        [test] = permutation_test(z, table[cells], [first], MAXT, tail=tail)
        assert (test.exhaustive, test.n_permutations) == (True, len(t))
        assert test.smallest_p == pytest.approx(np.mean(np.abs(size - size[0]) < 1e-9))


def test_ties_count_in_spite_of_rounding():
    rng = np.random.default_rng(4)
    z = np.round(rng.standard_normal((8, 1)), 1) / 3 + 0.1
    z[4:] = z[:4] * (1 + 1e-15)
    cells = np.repeat(np.eye(2), 4, axis=0)
    [test] = permutation_test(z, cells, [Contrast("d", np.array([[-1.0, 1]]))], MAXT)
    assert test.corrections["maxt"].p[0, 0] == 1  # no difference, and none is smaller


def test_tails_are_those_of_the_signs():
    z, design = study()
    z[:, 0] -= 1.5 * design[:, 1]
    up, down, two = (
        permutation_test(z, design, [AGE], MAXT, n_permutations=300, tail=tail)[0]
        for tail in ("positive", "negative", "two")
    )
    assert up.statistic[0] < -2
    np.testing.assert_array_equal(up.statistic, down.statistic)
    np.testing.assert_array_equal(down.threshold_statistic, -down.statistic)
    np.testing.assert_array_equal(down.corrections["maxt"].statistic[0], down.statistic)
    assert up.corrections["maxt"].p_fwe[0, 0] == 1
    assert down.corrections["maxt"].p_fwe[0, 0] < two.corrections["maxt"].p_fwe[0, 0] + 0.05 < 0.2
    # p of both tails are 1 together, and once more for what was observed
    np.testing.assert_allclose(up.corrections["maxt"].p + down.corrections["maxt"].p, 1 + 1 / 301)


def test_contrasts_share_arrangements():
    z, design = study()
    together = permutation_test(
        z, design, [AGE, Contrast("2 age", 2 * AGE.weights)], MAXT, n_permutations=50
    )
    np.testing.assert_allclose(*(test.corrections["maxt"].maxima for test in together))


def test_incomplete_and_constant_columns_stay_out():
    z, design = study()
    z[3, 4] = np.nan
    z[:, 7] = 1.5
    [test] = permutation_test(z, design, [AGE], MAXT, n_permutations=99)
    assert np.flatnonzero(~test.tested).tolist() == [4, 7]
    found = test.corrections["maxt"]
    for values in (test.statistic, found.statistic[0], found.p_fwe[0], found.p[0]):
        assert np.flatnonzero(np.isnan(values)).tolist() == [4, 7]
    kept = np.delete(z, [4, 7], axis=1)
    [alone] = permutation_test(kept, design, [AGE], MAXT, n_permutations=99)
    np.testing.assert_allclose(found.maxima, alone.corrections["maxt"].maxima)
    with pytest.raises(ValueError, match="no column has all values"):
        permutation_test(z[:, [4, 7]], design, [AGE], MAXT)


@pytest.mark.parametrize("max_bytes", [1, 10_000])
def test_memory_maps_in_parts_change_nothing(tmp_path, max_bytes, monkeypatch):
    z, design = study(edges=700)
    z[2, 650] = np.nan
    np.save(tmp_path / "z.npy", z)
    mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
    [whole] = permutation_test(z, design, [AGE], MAXT, n_permutations=20)
    monkeypatch.setattr("bids_spheres.group.inference.freedman_lane._PRODUCTS", max_bytes)
    [parts] = permutation_test(mapped, design, [AGE], MAXT, n_permutations=20, max_bytes=max_bytes)
    np.testing.assert_allclose(parts.statistic, whole.statistic)
    np.testing.assert_allclose(parts.corrections["maxt"].maxima, whole.corrections["maxt"].maxima)


@pytest.mark.parametrize("name", ["maxt", "nbs", "tfnbs", "cluster", "tfce"])
def test_memory_does_not_grow_with_participants_of_a_memory_map(tmp_path, monkeypatch, name):
    """Parts of 16 KB at a time, and a row per arrangement; parts of usual size hold all of it."""
    monkeypatch.setattr("bids_spheres.group.inference.freedman_lane._COLUMNS", 2**14)
    monkeypatch.setattr(column_blocks, "__defaults__", (2**14,))
    ends, mask = np.column_stack(np.triu_indices(50, 1)), np.ones((7, 7, 25), dtype=bool)
    enhancement = {
        "maxt": MaxT(),
        "nbs": Nbs(ends, 2.0),
        "tfnbs": Tfnbs(ends),
        "cluster": ClusterExtent(mask, 2.0),
        "tfce": Tfce(mask),
    }[name]
    peaks = []
    for n in (50, 50, 200):  # the first loads what it needs
        z, design = study(n=n, edges=len(ends))
        np.save(tmp_path / f"{n}.npy", z)
        mapped = np.load(tmp_path / f"{n}.npy", mmap_mode="r")
        tracemalloc.start()
        permutation_test(mapped, design, [AGE], {name: enhancement}, n_permutations=4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = 150 * len(ends) * 8
    assert peaks[2] - peaks[1] < more / 8
    assert peaks[2] < more


def test_variance_groups_give_the_statistics_of_estimate():
    z, _ = study(n=24, edges=6)
    group = np.arange(24) % 3
    design = np.column_stack([np.eye(3)[group], np.random.default_rng(9).standard_normal(24)])
    contrasts = [
        Contrast("1 - 0", np.array([[-1.0, 1, 0, 0]])),
        Contrast("any", np.array([[-1.0, 1, 0, 0], [-1, 0, 1, 0]])),
    ]
    tests = permutation_test(z, design, contrasts, MAXT, n_permutations=30, variance_groups=group)
    arranged = arrange(design, "flip", 30)
    for test in tests:
        nuisance = design @ np.linalg.svd(test.contrast.weights)[2][len(test.contrast.weights) :].T
        fitted = nuisance @ np.linalg.pinv(nuisance) @ z
        expected = np.array(
            [
                estimate(
                    fitted + m @ (z - fitted), design, test.contrast, variance_groups=group
                ).statistic
                for m in matrices(arranged, 24)
            ]
        )
        np.testing.assert_allclose(test.statistic, expected[0])
        size = np.sqrt(expected) if test.contrast.is_f else np.abs(expected)
        np.testing.assert_allclose(test.corrections["maxt"].maxima[:, 0], size.max(axis=1))


def test_a_single_variance_group_changes_nothing():
    z, design = study()
    groups = np.full(30, 7)
    plain, same = (
        permutation_test(z, design, [AGE], MAXT, n_permutations=30, variance_groups=groups)[0]
        for groups in (None, groups)
    )
    assert same.scheme == "permute"
    np.testing.assert_array_equal(plain.corrections["maxt"].maxima, same.corrections["maxt"].maxima)


@pytest.mark.parametrize("weights", [[[0, 1.0, 0]], [[1.0, 0, 0]]])
def test_a_transform_gets_rearranged_data(weights):
    z, design = study(n=14, edges=5)
    z[0, 2] = np.nan
    contrast = Contrast("c", np.array(weights))
    options = {"n_permutations": 25, "seed": 2}
    [plain] = permutation_test(z, design, [contrast], MAXT, **options)
    [same] = permutation_test(z, design, [contrast], MAXT, transform=lambda y: 3 * y, **options)
    np.testing.assert_allclose(same.statistic, plain.statistic)
    np.testing.assert_allclose(same.corrections["maxt"].maxima, plain.corrections["maxt"].maxima)
    [other] = permutation_test(z, design, [contrast], MAXT, transform=np.exp, **options)
    np.testing.assert_allclose(
        other.statistic,
        estimate(np.exp(z), design, contrast).statistic * np.where(np.isnan(z[0]), np.nan, 1),
    )


def test_progress_counts_all_arrangements():
    z, design = study()
    done = []
    permutation_test(z, design, [AGE, AGE], MAXT, n_permutations=20, progress=done.append)
    assert sum(done) == 42


def test_whole_blocks_keep_families_together():
    rng = np.random.default_rng(6)
    families = np.repeat(np.arange(10), 2)
    age = np.repeat(rng.standard_normal(10), 2)
    design = np.column_stack([np.ones(20), age])
    z = rng.standard_normal((20, 3))
    exchangeability = Exchangeability(families, whole=True)
    contrast = Contrast("age", np.array([[0, 1.0]]))
    [test] = permutation_test(
        z, design, [contrast], MAXT, n_permutations=400, exchangeability=exchangeability
    )
    # Means of families, permuted freely, have the same covariance with age.
    orders = arrange(design, "permute", 400, exchangeability=exchangeability).orders[:, ::2] // 2
    means = z.reshape(10, 2, 3).mean(axis=1)
    covariance = np.array([age[::2][order] @ (means - means.mean(axis=0)) for order in orders])
    r = np.abs(covariance) / np.linalg.norm(z - z.mean(axis=0), axis=0)
    expected = r.max(axis=1)
    order = np.argsort(test.corrections["maxt"].maxima[:, 0])
    np.testing.assert_array_equal(order, np.argsort(expected))


def test_five_thousand_permutations_are_drawn_unless_another_number_is_given():
    z, design = study(n=9, edges=1)
    [test] = permutation_test(z, design, [AGE], MAXT)
    assert (test.n_permutations, test.exhaustive, test.smallest_p) == (5000, False, 1 / 5001)
    assert test.corrections["maxt"].maxima.shape == (5001, 1)
    assert test.corrections["maxt"].maxima[0, 0] == pytest.approx(abs(test.statistic[0]))


@pytest.mark.parametrize("base", [np.eye(4), np.eye(4) + np.tri(4), np.vander([1.0, 2, 4, 7])])
def test_a_difference_of_some_of_several_groups_is_permuted(base):
    """Whatever codes the groups: together, the other terms span the constant."""
    group = np.repeat(np.arange(4), [2, 4, 3, 5])
    z = np.random.default_rng(13).standard_normal((14, 3))
    weights = np.array([[0.0, -1, 1, 0]]) @ base
    contrast = Contrast("2 - 1", weights)
    [test] = permutation_test(z, base[group], [contrast], MAXT, n_permutations=9)
    assert test.scheme == "permute"
    [mean] = permutation_test(z, base[group], [Contrast("0", base[:1])], MAXT, n_permutations=9)
    assert mean.scheme == "flip"


@pytest.mark.parametrize("groups", [None, np.array([0, 1, 0, 1, 0, 1])])
def test_an_arrangement_without_residuals_is_larger_than_all_others(groups):
    """Rearranged as groups are, the data have no spread within them: t is finite all the same."""
    cells = np.repeat(np.eye(2), 3, axis=0)
    z = np.array([[1.0, 0.1], [0, 0.4], [1, 0.2], [0, 0.9], [1, 0.3], [0, 0.5]])
    [test] = permutation_test(
        z, cells, [Contrast("d", np.array([[-1.0, 1]]))], MAXT, variance_groups=groups
    )
    found = test.corrections["maxt"]
    assert np.isfinite(found.maxima).all()
    if groups is None:  # 3! 3! x 2 of 6! orders are without spread
        assert (found.maxima[:, 0] > 1e6).sum() == 2
        observed = abs(stats.ttest_ind(z[3:, 0], z[:3, 0]).statistic)
        assert abs(test.statistic[0]) == pytest.approx(observed)
        assert found.p[0, 0] == 1  # the smallest that two of three and one of three can give


def test_enhancements_of_each_contrast_can_be_its_own():
    z, design = study()
    both = Contrast("both", np.array([[0, 1.0, 0], [0, 0, 1.0]]))
    asked = []

    def of_contrast(contrast):
        asked.append(contrast.name)
        return MAXT if contrast.is_f else {}

    tests = permutation_test(z, design, [AGE, both], of_contrast, n_permutations=5)
    assert asked == ["age", "both"]
    assert [[*test.corrections] for test in tests] == [[], ["maxt"]]
    assert [test.contrast.name for test in tests] == asked
