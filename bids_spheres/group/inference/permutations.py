"""Sign flips and permutations of rows, within exchangeability blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

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

    blocks: NDArray[np.intp] | None = None
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Arrangements:
    """Orders or signs of N rows; the first changes nothing.

    Parameters
    ----------
    scheme : {"permute", "flip"}
    orders : (n, N) array of int, or None
        Row that takes the place of each row; for permutations.
    signs : (n, N) array of int8, or None
        For flips.
    exhaustive : bool
        Whether these are all that differ.
    """

    scheme: Scheme
    orders: NDArray[np.intp] | None
    signs: NDArray[np.int8] | None
    exhaustive: bool

    def __len__(self) -> int:
        """Arrangements, the one that changes nothing among them."""
        raise NotImplementedError

    def apply(self, rows: FloatArray, start: int, stop: int) -> FloatArray:
        """Arrange rows (N, k) in the ways `start` to `stop`, (stop - start, N, k)."""
        raise NotImplementedError


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
    raise NotImplementedError
