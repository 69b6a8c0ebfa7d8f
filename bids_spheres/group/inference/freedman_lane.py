"""One set of arrangements for all contrasts and corrections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bids_spheres.group.inference.linear_model import ModelSpace, column_blocks, fit
from bids_spheres.group.inference.permutations import arrange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray
    from bids_spheres.group.inference.linear_model import Contrast, Tail
    from bids_spheres.group.inference.permutations import Arrangements, Exchangeability, Scheme

    _Ways = Callable[[FloatArray], FloatArray]

_TIES = 1e-9
"""Difference of equal statistics, relative above 1: rounding separates ties."""

_COLUMNS = 2**23
"""Bytes of columns of which products are made at a time."""

_PRODUCTS = 2**25
"""Bytes of products that are made at a time; on busy processors many small ones take longer."""


class Enhancement(Protocol):
    """Statistics of units (edges, components, pairs of networks, voxels) from a map of t."""

    @property
    def unitwise(self) -> bool:
        """Whether p without correction, from the null distribution of each unit, is of use."""

    def __call__(self, t: FloatArray, *, two_sided: bool) -> FloatArray:
        """Statistics (m, U), of m kinds, of U units.

        Parameters
        ----------
        t : (E,) array
            NaN for columns that are not tested. For an F test the root of F; for the tail
            "negative" -t.
        two_sided : bool
            Also negative t count, and give negative statistics; otherwise they count as 0, or less.
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
    tested: BoolArray


def permutation_test(
    z: FloatArray,
    design: FloatArray,
    contrasts: Sequence[Contrast],
    enhancements: Mapping[str, Enhancement] | Callable[[Contrast], Mapping[str, Enhancement]],
    *,
    tail: Tail = "two",
    n_permutations: int = 5000,
    seed: int = 0,
    exchangeability: Exchangeability | None = None,
    variance_groups: IntArray | None = None,
    transform: Callable[[FloatArray], FloatArray] | None = None,
    progress: Callable[[int], None] | None = None,
    max_bytes: int = 2**26,
) -> list[PermutationTest]:
    """Test contrasts, each in turn, by permutations of what its nuisance terms leave.

    Residuals of the terms that a contrast does not test change places or signs, and the full model
    is fitted to them: Freedman & Lane 1983 (doi:10.2307/1391660), as Winkler et al. 2014
    (doi:10.1016/j.neuroimage.2014.01.060) generalize it. A contrast whose nuisance terms span the
    constant is tested by permutations; any other is about a mean, and tested by sign flips, as are
    rows of different variance, which are not exchangeable.

    Parameters
    ----------
    z, design, tail : (N, E) array, (N, k) array, {"two", "positive", "negative"}
        As for `estimate`; columns with NaN stay out, F has no tails.
    contrasts : sequence of Contrast
        One test for each, in their order.
    enhancements : mapping of str to Enhancement, or callable
        By names; or a function that gives those of a contrast, as thresholds of F are its own.
    n_permutations : int
        At most; all arrangements are used where they are fewer.
    seed : int
    exchangeability : Exchangeability, optional
    variance_groups : (N,) array of int, optional
        See `estimate`; residuals then change signs only. Without, permutations are not valid for
        means of groups whose variances and sizes differ.
    transform : callable, optional
        Gets the rearranged data (N, T) and gives what is tested. Harmonization of sites in it makes
        tests valid when rows change places within sites.
    progress : callable, optional
        Called with the number of arrangements that are done.
    max_bytes : int
        Memory to use beside z and results, about.

    Raises
    ------
    ValueError
        As `estimate` and `arrange`, and when no column can be tested.
    """
    models = [_PermutedModel.of(design, contrast, variance_groups) for contrast in contrasts]
    space = ModelSpace.of(design, contrasts[0])
    fits = (fit(space, block) for block in column_blocks(z))
    tested = np.concatenate([f.degrees_of_freedom == len(z) - design.shape[1] for f in fits])
    if not tested.any():
        raise ValueError("no column has all values, and residuals that vary")

    @cache
    def arrangements(scheme: Scheme) -> Arrangements:
        return arrange(design, scheme, n_permutations, exchangeability=exchangeability, seed=seed)

    tests = []
    for model in models:
        arranged = arrangements(model.scheme)
        if transform:
            maps = _transformed_maps(z, tested, model, arranged, transform)
        else:
            maps = _maps(z, tested, model, arranged, max_bytes)
        own = enhancements(model.contrast) if callable(enhancements) else enhancements
        is_f = model.contrast.is_f
        two_sided, sign = tail == "two" and not is_f, -1 if tail == "negative" and not is_f else 1
        observed = np.empty(0)
        counts: dict[str, _NullCount] = {}
        for statistic in maps:
            t = np.sqrt(statistic) if is_f else sign * statistic
            if not len(observed):
                observed, enhanced = statistic.copy(), t
                counts = {
                    name: _NullCount(way, t, two_sided=two_sided) for name, way in own.items()
                }
            for count in counts.values():
                count.add(t)
            if progress:
                progress(1)
        tests.append(
            PermutationTest(
                contrast=model.contrast,
                statistic=observed,
                threshold_statistic=enhanced,
                corrections={name: count.correction(sign) for name, count in counts.items()},
                scheme=model.scheme,
                n_permutations=len(arranged) - (not arranged.exhaustive),
                exhaustive=arranged.exhaustive,
                smallest_p=_smallest_p(model, arranged, tail),
                tested=tested,
            )
        )
    return tests


@dataclass(frozen=True, eq=False)
class _PermutedModel:
    """A contrast and what it takes to find its statistic for any arrangement of the residuals.

    The first q columns of the orthonormal `basis` (N, k) are what is tested, the others the
    nuisance terms; `members` (N, g) is 1 for the variance group of a row.
    """

    contrast: Contrast
    basis: FloatArray
    scheme: Scheme
    members: FloatArray

    @classmethod
    def of(cls, design: FloatArray, contrast: Contrast, groups: IntArray | None) -> _PermutedModel:
        space = ModelSpace.of(design, contrast)
        n, q = len(design), len(contrast.weights)
        # A single column is divided by its length, because qr may turn its sign.
        tested = space.basis @ space.weights.T
        tested = np.linalg.qr(tested)[0] if q > 1 else tested / np.linalg.norm(tested)
        nuisance = space.basis @ np.linalg.svd(space.weights)[2][q:].T
        constant = np.ones(n) / np.sqrt(n)
        spans_constant = np.sum((nuisance.T @ constant) ** 2) > 1 - _TIES
        labels = np.zeros(n, dtype=np.intp) if groups is None else groups
        members = (labels[:, np.newaxis] == np.unique(labels)).astype(float)
        # Rows of different variance can't change places, but are as likely with the other sign.
        permuted = members.shape[1] == 1 and spans_constant
        basis = np.hstack([tested, nuisance])
        return cls(contrast, basis, "permute" if permuted else "flip", members)

    @property
    def q(self) -> int:
        return len(self.contrast.weights)

    def residuals(self, y: FloatArray) -> FloatArray:
        """What the nuisance terms leave of columns (N, M)."""
        nuisance = self.basis[:, self.q :]
        return y - nuisance @ (nuisance.T @ y)

    def statistics(self, residuals: FloatArray, ways: _Ways) -> FloatArray:
        """T or F, (B, M), of residuals (N, M) arranged in B ways.

        Arranging residuals and fitting the model is the same as arranging the rows of the model.
        """
        if self.members.shape[1] > 1:
            return self._with_variance_groups(residuals, ways)
        n, k = self.basis.shape
        products = _product(ways(self.basis), residuals)
        left = np.sum(residuals**2, axis=0)
        rest = left - np.einsum("bkm,bkm->bm", products, products)
        np.maximum(rest, np.finfo(float).eps * left, out=rest)
        rest /= n - k
        if self.q == 1:
            return products[:, 0] / np.sqrt(rest, out=rest)
        tested = products[:, : self.q]
        return np.einsum("bkm,bkm->bm", tested, tested) / (self.q * rest)

    def _with_variance_groups(self, residuals: FloatArray, ways: _Ways) -> FloatArray:
        """V or G; see `estimate`."""
        (n, k), q, g = self.basis.shape, self.q, self.members.shape[1]
        of_group = self.members[:, :, np.newaxis] * self.basis[:, np.newaxis]
        grams = np.einsum("ngk,nl->gkl", of_group, self.basis)
        products = _product(ways(of_group.reshape(n, -1)), residuals)
        products = products.reshape(len(products), g, k, -1)
        effects = products.sum(axis=1)
        # Signs of flips don't change squares.
        squares = self.members.T @ residuals**2 - 2 * np.einsum("bgkm,bkm->bgm", products, effects)
        squares += np.einsum("gkl,bkm,blm->bgm", grams, effects, effects)
        np.maximum(squares, np.finfo(float).eps * np.sum(residuals**2, axis=0), out=squares)
        left = self.members.T @ (1 - np.sum(self.basis**2, axis=1))
        precision = left[:, np.newaxis] / squares
        normal = np.einsum("gkl,bgm->klbm", grams, precision)
        for last in range(k - 1, q - 1, -1):  # eliminate nuisance terms
            row = normal[last, :last] / normal[last, last]
            normal = normal[:last, :last] - normal[:last, last, np.newaxis] * row
        if q == 1:
            return effects[:, 0] * np.sqrt(normal[0, 0])
        weights = precision * self.members.sum(axis=0)[:, np.newaxis]
        shares = weights / weights.sum(axis=1, keepdims=True)
        spread = np.sum((1 - shares) ** 2 / left[:, np.newaxis], axis=1)
        scale = 1 + 2 * (q - 1) / (q * (q + 2)) * spread
        tested = effects[:, :q]
        return np.einsum("bkm,klbm,blm->bm", tested, normal, tested) / (q * scale)


def _product(rows: FloatArray, residuals: FloatArray) -> FloatArray:
    """Products of rows (B, N, k) with residuals (N, M), (B, k, M)."""
    b, n, k = rows.shape
    return (rows.transpose(0, 2, 1).reshape(-1, n) @ residuals).reshape(b, k, -1)


def _maps(
    z: FloatArray, tested: BoolArray, model: _PermutedModel, arranged: Arrangements, max_bytes: int
) -> Iterator[FloatArray]:
    """Statistics (E,) of one arrangement after the other."""
    size = max(1, min(256, max_bytes // (8 * len(tested))))
    rows = size * model.basis.shape[1] * model.members.shape[1]
    for start in range(0, len(arranged), size):
        stop, done = min(start + size, len(arranged)), 0
        ways = partial(arranged.apply, start=start, stop=stop)
        maps = np.full((stop - start, len(tested)), np.nan)
        for block in column_blocks(z, min(_PRODUCTS // rows * len(z), _COLUMNS)):
            columns = done + np.flatnonzero(tested[done : done + block.shape[1]])
            chosen = block if len(columns) == block.shape[1] else block[:, columns - done]
            maps[:, columns] = model.statistics(model.residuals(chosen), ways)
            done += block.shape[1]
        yield from maps


def _transformed_maps(
    z: FloatArray,
    tested: BoolArray,
    model: _PermutedModel,
    arranged: Arrangements,
    transform: Callable[[FloatArray], FloatArray],
) -> Iterator[FloatArray]:
    """Statistics of data that are transformed after they were rearranged."""
    y = np.asarray(z[:, tested], dtype=np.float64)
    residuals = model.residuals(y)
    for i in range(len(arranged)):
        # `apply` of the identity has 1 where a residual goes: its columns are the places.
        [places] = arranged.apply(np.eye(len(y)), i, i + 1)
        new = model.residuals(transform(y - residuals + places.T @ residuals))
        statistic = np.full(len(tested), np.nan)
        [statistic[tested]] = model.statistics(new, lambda rows: rows[np.newaxis])
        yield statistic


def _smallest_p(model: _PermutedModel, arranged: Arrangements, tail: Tail) -> float:
    """Smallest p that these arrangements can reach, whatever the data."""
    if not arranged.exhaustive:
        return 1 / len(arranged)
    same = 0
    for i in range(len(arranged)):
        overlap = model.basis.T @ arranged.apply(model.basis, i, i + 1)[0]
        tested = overlap[: model.q, : model.q]
        keeps = np.sum(overlap**2) > len(overlap) - _TIES
        keeps &= np.sum(tested**2) > model.q - _TIES
        turns = not model.contrast.is_f and tail != "two" and tested[0, 0] < 0
        same += keeps and not turns
    return same / len(arranged)


class _NullCount:
    """Null distributions of an enhancement, arrangement by arrangement, the observed first."""

    def __init__(self, enhancement: Enhancement, t: FloatArray, *, two_sided: bool) -> None:
        self._enhancement, self._two_sided = enhancement, two_sided
        self._observed = enhancement(t, two_sided=two_sided).copy()
        size = self._size(self._observed)
        self._reached = size - _TIES * np.maximum(np.abs(size), 1)
        self._counts = np.zeros(size.shape, dtype=np.int64) if enhancement.unitwise else None
        self._maxima: list[FloatArray] = []

    def _size(self, statistic: FloatArray) -> FloatArray:
        return np.abs(statistic) if self._two_sided else statistic

    def add(self, t: FloatArray) -> None:
        """Take the map of an arrangement in."""
        size = self._size(self._enhancement(t, two_sided=self._two_sided))
        self._maxima.append(np.fmax.reduce(size, axis=1))
        if self._counts is not None:
            self._counts += size >= self._reached

    def correction(self, sign: int) -> Correction:
        """P of all units; `sign` is -1 when the map was turned."""
        n, missing, maxima = len(self._maxima), np.isnan(self._observed), np.array(self._maxima)
        p_fwe = np.empty(self._observed.shape)
        for kind, own in enumerate(np.sort(maxima, axis=0).T):
            p_fwe[kind] = n - np.searchsorted(own, self._reached[kind])
        p_fwe = np.where(missing, np.nan, p_fwe / n)
        p = None if self._counts is None else np.where(missing, np.nan, self._counts / n)
        return Correction(sign * self._observed, p_fwe, p, maxima)
