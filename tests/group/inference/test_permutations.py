"""Which arrangements there are, by counting them another way."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bids_spheres.group.inference import Arrangements, Exchangeability, arrange

AGES = np.column_stack([np.ones(6), [3.0, 1, 4, 1.5, 9, 2]])


def rows(array):
    return {tuple(row) for row in array.tolist()}


def test_all_flips_when_they_are_few():
    found = arrange(np.ones((3, 1)), "flip", 8)
    assert found.exhaustive
    assert len(found) == 8
    assert len(rows(found.signs)) == 8
    assert found.signs[0].tolist() == [1, 1, 1]


def test_flips_are_drawn_when_all_are_too_many():
    found = arrange(np.ones((4, 1)), "flip", 15, seed=3)
    assert not found.exhaustive
    assert len(found) == 16
    assert found.signs[0].tolist() == [1, 1, 1, 1]
    assert rows(found.signs) <= {
        (a, b, c, d) for a in (1, -1) for b in (1, -1) for c in (1, -1) for d in (1, -1)
    }


def test_all_permutations_when_they_are_few():
    found = arrange(AGES, "permute", 720)
    assert found.exhaustive
    assert rows(found.orders) == set(permutations(range(6)))
    assert found.orders[0].tolist() == list(range(6))


def test_equal_rows_are_not_told_apart():
    group = np.array([0.0, 1, 1, 0, 1, 0, 0])
    design = np.column_stack([np.ones(7), group])
    found = arrange(design, "permute", 35)
    assert found.exhaustive
    assert len(found) == 35  # 7 over 3
    assert found.orders[0].tolist() == list(range(7))
    assert rows(group[found.orders]) == {tuple(group[list(p)]) for p in permutations(range(7))}
    assert all(sorted(order) == list(range(7)) for order in found.orders.tolist())


def test_one_of_a_thousand_can_be_anywhere():
    design = np.column_stack([np.ones(1200), np.arange(1200) == 7])
    found = arrange(design, "permute", 5000)
    assert found.exhaustive
    assert found.orders[0].tolist() == list(range(1200))
    assert sorted(np.argmax(design[found.orders, 1], axis=1)) == list(range(1200))


def test_rows_stay_in_their_blocks():
    blocks = np.array([5, 5, 5, 2, 2, 2])
    found = arrange(AGES, "permute", 36, exchangeability=Exchangeability(blocks))
    assert len(found) == 36
    assert (blocks[found.orders] == blocks).all()
    drawn = arrange(AGES, "permute", 35, exchangeability=Exchangeability(blocks))
    assert len(drawn) == 36
    assert not drawn.exhaustive
    assert (blocks[drawn.orders] == blocks).all()


def test_whole_blocks_change_places_with_blocks_of_their_size():
    blocks = np.array([0, 1, 0, 1, 2, 2, 3])
    design = np.column_stack([np.ones(7), np.arange(7)])
    found = arrange(design, "permute", 6, exchangeability=Exchangeability(blocks, whole=True))
    pairs = [(0, 2), (1, 3), (4, 5)]
    expected = set()
    for order in permutations(pairs):
        row = [6] * 7
        for pair, source in zip(pairs, order, strict=True):
            row[pair[0]], row[pair[1]] = source
        expected.add(tuple(row))
    assert rows(found.orders) == expected


def test_whole_blocks_change_their_sign_together():
    blocks = np.array([0, 1, 0, 1, 2])
    found = arrange(np.ones((5, 1)), "flip", 8, exchangeability=Exchangeability(blocks, whole=True))
    assert len(rows(found.signs)) == 8
    assert (found.signs[:, 0] == found.signs[:, 2]).all()
    assert (found.signs[:, 1] == found.signs[:, 3]).all()


@pytest.mark.parametrize("scheme", ["permute", "flip"])
def test_draws_depend_on_the_seed_alone(scheme):
    arrays = [
        arrange(np.arange(40.0).reshape(20, 2), scheme, 50, seed=seed).apply(np.eye(20), 0, 51)
        for seed in (1, 1, 2)
    ]
    assert (arrays[0] == arrays[1]).all()
    assert (arrays[0] != arrays[2]).any()


def test_draws_are_uniform():
    orders = arrange(AGES, "permute", 600, seed=1).orders[1:]
    signs = arrange(np.ones((12, 1)), "flip", 1000, seed=1).signs[1:]
    counts = np.array([np.bincount(column, minlength=6) for column in orders.T])
    assert abs(counts - 100).max() < 4 * np.sqrt(600 * 5 / 36)
    assert abs(signs.sum(axis=0)).max() < 4 * np.sqrt(1000)


def test_rows_are_arranged():
    found = arrange(AGES, "permute", 720)
    np.testing.assert_array_equal(found.apply(AGES, 5, 7)[1], AGES[found.orders[6]])
    flips = arrange(np.ones((6, 1)), "flip", 64)
    np.testing.assert_array_equal(flips.apply(AGES, 9, 10)[0].T, AGES.T * flips.signs[9])


@pytest.mark.parametrize("blocks", [np.arange(6), np.array([0, 0, 1, 1, 2, 2])])
def test_nothing_to_permute(blocks):
    design = np.column_stack([np.ones(6), blocks])
    with pytest.raises(ValueError, match="no permutation changes the design"):
        arrange(design, "permute", 10, exchangeability=Exchangeability(blocks))


def test_without_blocks_every_row_is_a_whole_block():
    whole = Exchangeability(whole=True)
    assert rows(arrange(AGES, "permute", 720, exchangeability=whole).orders) == set(
        permutations(range(6))
    )
    assert len(rows(arrange(AGES, "flip", 64, exchangeability=whole).signs)) == 64


def test_rows_of_a_block_change_their_signs_by_themselves():
    blocks = np.array([4, 4, 4, 1])
    found = arrange(np.ones((4, 1)), "flip", 16, exchangeability=Exchangeability(blocks))
    assert (len(rows(found.signs)), found.exhaustive) == (16, True)
    drawn = arrange(np.ones((4, 1)), "flip", 3, exchangeability=Exchangeability(blocks, whole=True))
    assert (len(drawn), drawn.exhaustive) == (4, False)
    assert (drawn.signs[:, 0] == drawn.signs[:, 2]).all()


def test_whole_blocks_with_equal_rows_are_not_told_apart():
    """Pairs in the order of their rows: two kinds of three, and single rows among themselves."""
    blocks = np.array([0, 0, 1, 1, 2, 2, 3, 4])
    design = np.column_stack([np.ones(8), [1, 2, 1, 2, 1, 3, 5, 6]])
    found = arrange(design, "permute", 6, exchangeability=Exchangeability(blocks, whole=True))
    assert (len(found), found.exhaustive) == (3 * 2, True)
    expected = {
        (*np.concatenate(pairs), *ends)
        for pairs in ([(1, 2), (1, 2), (1, 3)], [(1, 2), (1, 3), (1, 2)], [(1, 3), (1, 2), (1, 2)])
        for ends in ((5, 6), (6, 5))
    }
    assert rows(design[found.orders, 1]) == expected


def test_arrangements_of_nothing():
    with pytest.raises(ValueError, match="orders or signs"):
        len(Arrangements("permute", None, None, exhaustive=True))


def test_rows_of_blocks_of_different_sizes_stay_in_them():
    blocks = np.array([7, 3, 3, 7, 3, 3])
    found = arrange(AGES, "permute", 48, exchangeability=Exchangeability(blocks))
    own = {order for order in permutations(range(6)) if (blocks[list(order)] == blocks).all()}
    assert (len(found), found.exhaustive, rows(found.orders)) == (2 * 24, True, own)
    drawn = arrange(AGES, "permute", 47, exchangeability=Exchangeability(blocks))
    assert (len(drawn), drawn.exhaustive) == (48, False)
    assert rows(drawn.orders) <= own
    assert len(rows(drawn.orders)) > 20
