"""Sign flips and permutations of rows, within exchangeability blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine.arrays import FloatArray, IntArray

Scheme = Literal["permute", "flip"]


@dataclass(frozen=True, eq=False)
class Exchangeability:
    """Which rows may change places.

    Parameters
    ----------
    blocks : (N,) array of int, optional
        Rows with the same number are a block (a site, a family); None: all rows are exchangeable.
    whole : bool
        Blocks keep their rows together: they change places as a whole, with blocks of the same size
        (row by row in their order), and change signs as a whole. Otherwise rows change places
        within their block, and each changes its sign alone (Winkler et al. 2015,
        doi:10.1016/j.neuroimage.2015.05.092).
    """

    blocks: IntArray | None = None
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Arrangements:
    """Orders or signs of N rows; the first changes nothing.

    Parameters
    ----------
    scheme : {"permute", "flip"}
    orders : (n, N) array of int32, or None
        Row that takes the place of each row; for permutations.
    signs : (n, N) array of int8, or None
        For flips.
    exhaustive : bool
        Whether these are all that differ.
    """

    scheme: Scheme
    orders: NDArray[np.int32] | None
    signs: NDArray[np.int8] | None
    exhaustive: bool

    def __len__(self) -> int:
        """Arrangements, the one that changes nothing among them."""
        return len(self._arrays)

    def apply(self, rows: FloatArray, start: int, stop: int) -> FloatArray:
        """Arrange rows (N, k) in the ways `start` to `stop`, (stop - start, N, k)."""
        if self.signs is not None:
            return self.signs[start:stop, :, np.newaxis] * rows
        return rows[self._arrays[start:stop]]

    @property
    def _arrays(self) -> NDArray[np.int32] | NDArray[np.int8]:
        arrays = self.orders if self.signs is None else self.signs
        if arrays is None:
            raise ValueError("arrangements need orders or signs")
        return arrays


def arrange(
    design: FloatArray,
    scheme: Scheme,
    n_permutations: int,
    *,
    exchangeability: Exchangeability | None = None,
    seed: int = 0,
) -> Arrangements:
    """Draw arrangements, or list all of them when there are no more than asked for.

    Parameters
    ----------
    design : (N, k) array
        Rows that are equal are not told apart: exchanging them is no other permutation.
    scheme : {"permute", "flip"}
    n_permutations : int
        Arrangements to draw, beside the one that changes nothing.
    exchangeability : Exchangeability, optional
    seed : int
        Of the random numbers; the same arrangements on all machines.

    Returns
    -------
    Arrangements
        n_permutations + 1 of them, or all that differ when these are at most `n_permutations`.

    Raises
    ------
    ValueError
        When nothing can change places: every row is in a block of its own, or all are equal.
    """
    exchangeability = exchangeability or Exchangeability()
    n = len(design)
    labels = exchangeability.blocks
    if labels is None:
        labels = np.arange(n) if exchangeability.whole else np.zeros(n, dtype=np.intp)
    rng = np.random.default_rng(seed)
    if scheme == "flip":
        unit_of_row = np.arange(n)
        if exchangeability.whole:
            unit_of_row = np.unique(labels, return_inverse=True)[1].reshape(-1)
        n_units = int(unit_of_row.max()) + 1
        exhaustive = n_units < 63 and 2**n_units <= n_permutations
        if exhaustive:
            signs = np.array(list(product((1, -1), repeat=n_units)), dtype=np.int8)
        else:
            signs = rng.integers(0, 2, (n_permutations + 1, n_units), dtype=np.int8) * 2 - 1
            signs[0] = 1
        return Arrangements("flip", None, signs[:, unit_of_row], exhaustive)
    blocks = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    _, alike = np.unique(design, axis=0, return_inverse=True)
    if exchangeability.whole:
        sizes = sorted({len(block) for block in blocks})
        pools = [np.array([block for block in blocks if len(block) == size]) for size in sizes]
    else:
        pools = [block[:, np.newaxis] for block in blocks]
    return _permutations(pools, alike.reshape(-1), n_permutations, rng)


def _permutations(
    pools: Sequence[IntArray], alike: IntArray, n_permutations: int, rng: np.random.Generator
) -> Arrangements:
    """Orders in which the units (units, rows) of each pool change places among themselves."""
    # Units whose rows of the design are equal have the same number.
    kinds = [np.unique(alike[pool], axis=0, return_inverse=True)[1].reshape(-1) for pool in pools]
    counts = [
        math.factorial(len(kind)) // math.prod(map(math.factorial, np.bincount(kind).tolist()))
        for kind in kinds
    ]
    n_all = math.prod(counts)
    if n_all == 1:
        raise ValueError(
            "no permutation changes the design: all rows that may change places are equal"
        )
    exhaustive = n_all <= n_permutations
    same = np.arange(len(alike), dtype=np.int32)
    orders = np.tile(same, (n_all if exhaustive else n_permutations + 1, 1))
    if exhaustive:
        choices = product(*(_distinct_orders(kind) for kind in kinds))
        for row, chosen in zip(orders, choices, strict=True):
            for pool, order in zip(pools, chosen, strict=True):
                row[pool] = pool[order]
    else:
        for row in orders[1:]:
            for pool in pools:
                row[pool] = pool[rng.permutation(len(pool))]
    return Arrangements("permute", orders, None, exhaustive)


def _distinct_orders(kinds: IntArray) -> Iterator[IntArray]:
    """Orders of units that differ in their kinds, sorted; the one that changes nothing first."""
    yield np.arange(len(kinds))
    by_kind = np.argsort(kinds, kind="stable")
    sequence = np.sort(kinds)
    while True:
        if not np.array_equal(sequence, kinds):
            order = np.empty(len(kinds), dtype=np.intp)
            order[np.argsort(sequence, kind="stable")] = by_kind
            yield order
        rises = np.flatnonzero(sequence[:-1] < sequence[1:])
        if not len(rises):
            return
        last = rises[-1]
        next_larger = np.flatnonzero(sequence > sequence[last])[-1]
        sequence[[last, next_larger]] = sequence[[next_larger, last]]
        sequence[last + 1 :] = sequence[last + 1 :][::-1].copy()
