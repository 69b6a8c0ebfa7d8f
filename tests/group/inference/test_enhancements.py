"""Statistics of connected edges against graphs by hand and against definitions, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_spheres.group.inference import (
    ClusterExtent,
    Cnbs,
    Contrast,
    MaxT,
    Nbs,
    Tfce,
    Tfnbs,
    components,
    estimate,
    permutation_test,
    root_f_threshold,
)


def ends_of(n_nodes):
    return np.array(np.triu_indices(n_nodes, 1)).T


def by_definition(t, ends, threshold, *, strictly):
    """Edges of the component of each edge above a threshold, grown node by node; 0 for others."""
    above = t > threshold if strictly else t >= threshold - 1e-9
    sizes = np.zeros(len(t))
    for edge in np.flatnonzero(above):
        inside, before = above & (np.arange(len(t)) == edge), 0
        while inside.sum() > before:
            before = inside.sum()
            inside = above & np.isin(ends, ends[inside]).any(axis=1)
        sizes[edge] = before
    return sizes


def test_components_of_a_small_graph():
    ends = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [2, 5], [0, 2]])
    t = np.array([4.0, 3.5, -5.0, np.nan, 3.1, 1.0])
    found = components(t, ends, 3.1)
    assert [c.sign for c in found] == [1, -1]
    assert [c.edges.tolist() for c in found] == [[0, 1], [2]]
    assert [c.nodes.tolist() for c in found] == [[0, 1, 2], [3, 4]]
    assert [c.extent for c in found] == [2, 1]
    assert [c.intensity for c in found] == pytest.approx([1.3, 1.9])
    assert [c.sign for c in components(t, ends, 3.1, two_sided=False)] == [1]
    assert components(t, ends, 6.0) == []


def test_nbs_gives_edges_the_size_of_their_component():
    ends = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [2, 5], [0, 2]])
    t = np.array([4.0, 3.5, -5.0, np.nan, 3.1, 1.0])
    extent, intensity = Nbs(ends)(t, two_sided=True)
    np.testing.assert_array_equal(extent, [2, 2, -1, np.nan, 0, 0])
    np.testing.assert_allclose(intensity, [1.3, 1.3, -1.9, np.nan, 0, 0])
    np.testing.assert_array_equal(Nbs(ends)(t, two_sided=False)[0], [2, 2, 0, np.nan, 0, 0])
    assert not Nbs(ends, 9.0)(t, two_sided=True)[:, :3].any()


@pytest.mark.parametrize("seed", range(3))
def test_nbs_is_that_of_grown_components(seed):
    ends = ends_of(25)
    t = np.random.default_rng(seed).standard_normal(len(ends))
    extent, _ = Nbs(ends, 1.5)(t, two_sided=True)
    expected = by_definition(t, ends, 1.5, strictly=True)
    expected -= by_definition(-t, ends, 1.5, strictly=True)
    np.testing.assert_array_equal(extent, expected)


@pytest.mark.parametrize(("powers", "step"), [((0.4, 3.0), 0.1), ((1.0, 0.5), 0.25)])
def test_tfnbs_is_the_sum_over_thresholds(powers, step):
    ends = ends_of(15)
    t = np.random.default_rng(1).standard_normal(len(ends)) * 1.5
    t[:3] = 2.0, 1.0, -1.5  # exactly at thresholds
    t[7] = np.nan
    expected = np.zeros(len(t))
    for sign in (1, -1):
        values = np.nan_to_num(sign * t)
        for height in step * np.arange(1, int(values.max() / step + 1e-9) + 1):
            sizes = by_definition(values, ends, height, strictly=False)
            expected += sign * (sizes > 0) * sizes ** powers[0] * height ** powers[1] * step
    expected[7] = np.nan
    found = Tfnbs(ends, *powers, step)(t, two_sided=True)
    np.testing.assert_allclose(found[0], expected)
    one_side = Tfnbs(ends, *powers, step)(t, two_sided=False)
    np.testing.assert_allclose(one_side[0], np.maximum(expected, 0))


def test_tfnbs_is_that_of_its_package():
    """get_tfnbs_score of tfnbs 1.1.0 with 40 thresholds from 0 to the largest t, which is 4."""
    t = np.round(4 * np.sin(1.7 * np.arange(15)), 2)
    t[4] = 4.0
    expected = np.zeros(15)
    expected[[1, 4, 5]] = 93.601648, 100.001648, 43.275336
    expected[[8, 9, 12]] = 60.036665, 2.948648, 68.748648
    np.testing.assert_allclose(Tfnbs(ends_of(6))(t, two_sided=False)[0], expected, atol=1e-6)


def test_components_are_those_of_the_brain_connectivity_toolbox():
    """nbs_bct of bctpy 0.6.1 with a threshold of 2.2, tails right and left."""
    z = np.sin(np.outer(np.arange(1, 31), np.arange(1, 191)) ** 1.3)
    z[:15, :12] += 0.9
    cells = np.repeat(np.eye(2), 15, axis=0)
    t = estimate(z, cells, Contrast("1 - 2", np.array([[1.0, -1]]))).statistic
    found = [(c.sign, c.extent, c.nodes.tolist()) for c in components(t, ends_of(20), 2.2)]
    larger = (1, 15, [*range(14), 18, 19])
    assert found[:2] == [larger, (-1, 2, [2, 4, 16])]
    assert sorted(found[2:]) == [(-1, 1, [3, 12]), (-1, 1, [7, 13])]


def test_tfnbs_of_nothing_and_of_infinity():
    ends = ends_of(4)
    assert not Tfnbs(ends)(np.full(6, 0.05), two_sided=True).any()
    perfect = Tfnbs(ends)(np.array([1e12, 1, 0, 0, 0, 0]), two_sided=True)
    assert np.isfinite(perfect).all()


@pytest.mark.parametrize("two_sided", [False, True])
def test_a_huge_t_takes_a_bounded_number_of_thresholds(two_sided):
    """A single edge has the sum over thresholds of h^H step; t beyond 1,000 count as 1,000."""
    ends = np.array([[0, 1], [2, 3], [4, 5]])
    t = np.array([400.0, -5.0, 0.5])
    heights = 0.4 * np.arange(1, 1001)
    expected = [np.sum(heights[: int(n)] ** 3 * 0.4) for n in (1000, 12, 1)]
    expected = np.array(expected) * [1, -1 if two_sided else 0, 1]
    np.testing.assert_allclose(Tfnbs(ends)(t, two_sided=two_sided)[0], expected)
    beyond, at = (Tfnbs(ends)(np.array([n, 5, 0.5]), two_sided=two_sided) for n in (1e9, 1e3))
    np.testing.assert_array_equal(beyond, at)


def test_cnbs_is_the_mean_of_each_pair_of_networks():
    t = np.array([1.0, 2.0, -4.0, np.nan, 5.0, np.nan])
    found = Cnbs(np.array([0, 0, 1, 1, -1, 2]))(t, two_sided=True)
    np.testing.assert_array_equal(found, [[1.5, -4.0, np.nan]])


def planted(n=60, n_nodes=20, effect=0.9, seed=0):
    """A star of 6 edges that follow age upwards and a triangle that follows it downwards."""
    rng = np.random.default_rng(seed)
    ends = ends_of(n_nodes)
    age = rng.standard_normal(n)
    z = rng.standard_normal((n, len(ends)))
    star = np.flatnonzero((ends[:, 0] == 0) & (ends[:, 1] <= 6))
    triangle = np.flatnonzero((ends[:, 0] >= 15) & (ends[:, 1] <= 17))
    z[:, star] += effect * age[:, np.newaxis]
    z[:, triangle] -= effect * age[:, np.newaxis]
    return z, np.column_stack([np.ones(n), age, rng.standard_normal(n)]), ends, star, triangle


def test_known_components_are_found():
    z, design, ends, star, triangle = planted()
    networks = np.where(np.isin(np.arange(len(ends)), star), 1, 0)
    enhancements = {"nbs": Nbs(ends), "tfnbs": Tfnbs(ends), "cnbs": Cnbs(networks)}
    [test] = permutation_test(
        z, design, [Contrast("age", np.array([[0, 1.0, 0]]))], enhancements, n_permutations=400
    )
    true = np.sort(np.concatenate([star, triangle]))
    nbs, tfnbs, cnbs = (test.corrections[name] for name in enhancements)
    for p in (*nbs.p_fwe, tfnbs.p_fwe[0]):
        significant = np.flatnonzero(p < 0.05)
        assert set(true) <= set(significant.tolist())
        assert len(significant) <= len(true) + 3
    assert (nbs.statistic[0, star] >= 6).all()
    assert (nbs.statistic[0, triangle] == -3).all()
    assert cnbs.p_fwe[0, 1] < 0.01
    assert cnbs.p[0, 1] < 0.01 < cnbs.p[0, 0]
    found = components(test.threshold_statistic, ends, 3.1)
    assert [c.sign for c in found if c.extent > 1] == [1, -1]
    assert found[0].nodes.tolist()[:7] == list(range(7))
    assert (nbs.p_fwe[0, np.abs(nbs.statistic[0]) == 0] == 1).all()


def test_the_null_is_from_the_larger_of_both_signs():
    z, design, ends, _, _ = planted(effect=0)
    contrast = Contrast("age", np.array([[0, 1.0, 0]]))
    options = {"enhancements": {"nbs": Nbs(ends, 2.0)}, "n_permutations": 60}
    tails = [
        permutation_test(z, design, [contrast], tail=tail, **options)[0].corrections["nbs"]
        for tail in ("two", "positive", "negative")
    ]
    two, up, down = (correction.maxima for correction in tails)
    np.testing.assert_allclose(two, np.maximum(up, down))
    assert (up != down).any()
    # Of extent and of intensity, each by itself.
    sizes = np.abs(tails[0].statistic)
    np.testing.assert_allclose(two[0], sizes.max(axis=1))
    share = (two[:, np.newaxis] >= sizes.T - 1e-9).mean(axis=0)
    np.testing.assert_allclose(tails[0].p_fwe, share.T)


def test_threshold_of_f_has_the_p_of_t():
    z, design, ends, _, _ = planted()
    contrast = Contrast("age", np.array([[0, 1.0, 0], [0, 0, 1.0]]))
    [test] = permutation_test(z, design, [contrast], {"nbs": Nbs(ends)}, n_permutations=1)
    threshold = root_f_threshold(3.1, 2, 57)
    p = stats.f.sf(test.statistic, 2, 57)
    above = test.threshold_statistic > threshold
    assert 0 < above.sum() < len(above)
    assert (above == (p < 2 * stats.t.sf(3.1, 57))).all()


def test_p_without_correction_is_that_of_units_which_are_the_same_in_all_arrangements():
    z, design, ends, *_ = planted(n=12, n_nodes=5)
    mask = np.ones((5, 2, 1), dtype=bool)
    enhancements = {
        "maxt": MaxT(),
        "cnbs": Cnbs(np.arange(10) % 3),
        "nbs": Nbs(ends),
        "tfnbs": Tfnbs(ends),
        "cluster": ClusterExtent(mask, 2.0),
        "tfce": Tfce(mask),
    }
    contrast = Contrast("age", np.array([[0, 1.0, 0]]))
    [test] = permutation_test(z, design, [contrast], enhancements, n_permutations=9)
    shapes = {name: own.p is not None for name, own in test.corrections.items()}
    assert shapes == {name: name in ("maxt", "cnbs") for name in enhancements}
    sizes = {name: own.p_fwe.shape for name, own in test.corrections.items()}
    assert sizes == {
        "maxt": (1, 10),
        "cnbs": (1, 3),
        "nbs": (2, 10),
        "tfnbs": (1, 10),
        "cluster": (2, 10),
        "tfce": (1, 10),
    }


def test_components_are_sorted_by_extent_and_then_by_intensity():
    ends = np.array([[0, 1], [2, 3], [4, 5], [5, 6], [7, 8]])
    t = np.array([3.0, -5.0, 2.5, 2.5, 4.0])
    found = components(t, ends, 2.0)
    assert [c.edges.tolist() for c in found] == [[2, 3], [1], [4], [0]]
    assert [c.intensity for c in found] == pytest.approx([1, 3, 2, 1])
    assert [c.edges.tolist() for c in components(t, ends, 2.0, two_sided=False)] == [
        [2, 3],
        [4],
        [0],
    ]
    # An edge at the threshold does not exceed it.
    assert [c.edges.tolist() for c in components(t, ends, 2.5)] == [[1], [4], [0]]


def test_pairs_of_networks_without_edges_at_the_end():
    pairs = np.array([-1, 2, 0, 2])
    found = Cnbs(pairs)(np.array([9.0, -2.0, 3.0, -5.0]), two_sided=False)
    np.testing.assert_array_equal(found, [[3, np.nan, -3.5]])
    untested = Cnbs(pairs)(np.array([9.0, np.nan, 3.0, np.nan]), two_sided=False)
    np.testing.assert_array_equal(untested, [[3, np.nan, np.nan]])
