"""One set of arrangements for all contrasts and corrections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.group.inference.linear_model import Contrast, Tail
    from bids_spheres.group.inference.permutations import Exchangeability, Scheme

    FloatArray = NDArray[np.float64]


class Enhancement(Protocol):
    """Statistics of units (edges, components, pairs of networks, voxels) from a map of t.

    Attributes
    ----------
    unitwise : bool
        Whether p of a unit without correction, from the null distribution of that unit, is of use.
    """

    unitwise: bool

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """Statistics (m, U), of m kinds, of U units.

        Parameters
        ----------
        t : (E,) array
            NaN for columns that are not tested. For an F test the root of F; for the tail
            "negative" -t.
        two_sided : bool
            Also negative t count, and give negative statistics; otherwise they count as 0.
        """


@dataclass(frozen=True, eq=False)
class Correction:
    """A contrast corrected in one way, for m kinds of statistics and U units.

    Parameters
    ----------
    statistic : (m, U) array
        Observed; negative for effects below 0.
    p_fwe : (m, U) array
        From the largest statistic of each arrangement, of both signs when both are tested; NaN for
        columns that were not tested, 1 for units whose statistic is 0.
    p : (m, U) array or None
        Without correction, from the null distribution of each unit; None where that is of no use.
    maxima : (n, m) array
        Null distribution of the largest statistic; the first row is what was observed.
    """

    statistic: FloatArray
    p_fwe: FloatArray
    p: FloatArray | None
    maxima: FloatArray


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """What the arrangements say about a contrast.

    Parameters
    ----------
    contrast : Contrast
    statistic : (E,) array
        t, or F; with variance groups v, or G. NaN for columns that stay out.
    threshold_statistic : (E,) array
        What enhancements get: t, -t for the tail "negative", the root of F.
    corrections : mapping of str to Correction
        By the names of the enhancements.
    scheme : {"permute", "flip"}
    n_permutations : int
        Arrangements that were used, the one that changes nothing not counted among random ones and
        counted among all.
    exhaustive : bool
        Whether these are all: p is a share of them, instead of (1 + count) / (1 + n).
    smallest_p : float
        That can be reached.
    tested : (E,) array of bool
        Columns without missing values, which vary; the others stay out.
    """

    contrast: Contrast
    statistic: FloatArray
    threshold_statistic: FloatArray
    corrections: Mapping[str, Correction]
    scheme: Scheme
    n_permutations: int
    exhaustive: bool
    smallest_p: float
    tested: NDArray[np.bool_]


def permutation_test(
    z: FloatArray,
    design: FloatArray,
    contrasts: Sequence[Contrast],
    enhancements: Mapping[str, Enhancement],
    *,
    tail: Tail = "two",
    n_permutations: int = 5000,
    seed: int = 0,
    exchangeability: Exchangeability | None = None,
    variance_groups: NDArray[np.intp] | None = None,
    transform: Callable[[FloatArray], FloatArray] | None = None,
    progress: Callable[[int], None] | None = None,
    max_bytes: int = 2**27,
) -> list[PermutationTest]:
    """Test contrasts by permutations of what their nuisance terms leave.

    Residuals of the terms that a contrast does not test change places or signs, and the full model
    is fitted to them: Freedman & Lane 1983 (doi:10.2307/1391660), as Winkler et al. 2014
    (doi:10.1016/j.neuroimage.2014.01.060) generalize it. A contrast whose nuisance terms span the
    constant is tested by permutations; any other is about a mean, and tested by sign flips.

    Parameters
    ----------
    z : (N, E) array
        Also a memory map; NaN is missing, and its columns stay out.
    design : (N, k) array
        Of full rank, without NaN.
    contrasts : sequence of Contrast
    enhancements : mapping of str to Enhancement
    tail : {"two", "positive", "negative"}
        Of t; F has no tails.
    n_permutations : int
        At most; all arrangements are used where they are fewer.
    seed : int
    exchangeability : Exchangeability, optional
    variance_groups : (N,) array of int, optional
        See `estimate`. Permutations with such statistics hold for large groups (Chung & Romano
        2013, doi:10.1214/13-AOS1090); without, they don't when variances and sizes of groups differ.
    transform : callable, optional
        Gets the rearranged data (N, T) and gives what is tested, for example harmonized data; it
        takes a fit of all columns for each arrangement.
    progress : callable, optional
        Called with the number of arrangements that are done.
    max_bytes : int
        Memory to use beside z and results, about.

    Returns
    -------
    list of PermutationTest
        In the order of the contrasts.

    Raises
    ------
    ValueError
        As `estimate` and `arrange`, and when no column can be tested.
    """
    raise NotImplementedError
