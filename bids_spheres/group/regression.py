"""Least squares of many edges on one design, participants one after the other.

Edges lack different participants, so that every edge has normal equations of its own. They are
summed in an orthonormal basis of the design, in which they are well conditioned for all edges that
lack few: solving them there is as exact as to decompose the design of every edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.group.statistics import t_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.group.statistics import Tested

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

_SINGULAR = 1e-10
"""Least eigenvalue, of 1 for a complete design, at which an edge has lost one of its terms."""

_ROUNDING = 1e-13
"""Share of a sum of squares that is left by rounding alone."""


@dataclass(frozen=True, eq=False)
class Design:
    """Variables that explain edges.

    Parameters
    ----------
    participants : tuple of str
        n of them.
    terms : tuple of str
        Names of the columns.
    values : (n, k) array
        Of rank k.
    """

    participants: tuple[str, ...]
    terms: tuple[str, ...]
    values: FloatArray


@dataclass(frozen=True, eq=False)
class Regression:
    """Ordinary least squares of E edges.

    Parameters
    ----------
    terms : tuple of str
        k of them.
    coefficients, errors : (E, k) arrays
        NaN for edges that lack too many participants.
    tests : tuple of Tested
        Of every term; q is corrected for all edges, and not for the terms.
    n, freedom : (E,) arrays
        Participants, and degrees of freedom n - k.
    participants : int
        Of the design, as far as they were taken in.
    """

    terms: tuple[str, ...]
    coefficients: FloatArray
    errors: FloatArray
    tests: tuple[Tested, ...]
    n: FloatArray
    freedom: FloatArray
    participants: int

    @property
    def unsolved(self) -> int:
        """Edges without coefficients."""
        return int(np.isnan(self.coefficients[:, 0]).sum())


class EdgeRegression:
    """Sums for the regression of E edges.

    Parameters
    ----------
    design : Design
    n_edges : int
    min_participants : int
        Participants without whom an edge is not tested; it takes one more than there are terms.
    """

    def __init__(self, design: Design, n_edges: int, min_participants: int = 1) -> None:
        self._design = design
        self._min_participants = min_participants
        basis, self._triangle = np.linalg.qr(design.values)
        self._rows = dict(zip(design.participants, basis, strict=True))
        k = len(design.terms)
        self._all: FloatArray = np.zeros((k, k))
        self._lacking: FloatArray = np.zeros((n_edges, k, k))
        self._products: FloatArray = np.zeros((n_edges, k))
        self._squares: FloatArray = np.zeros(n_edges)
        self._n: FloatArray = np.zeros(n_edges)
        self._taken = 0

    def add(self, participant: str, values: FloatArray) -> None:
        """Take the edges (E,) of one participant in; nothing for one who is not in the design."""
        row = self._rows.get(participant)
        if row is None:
            return
        there = np.isfinite(values)
        known = np.where(there, values, 0)
        square = np.outer(row, row)
        self._taken += 1
        self._n += there
        self._all += square
        # Few edges lack a participant: to take those out again is quicker than to sum the others.
        self._lacking[~there] += square
        self._products += known[:, np.newaxis] * row
        self._squares += known**2

    def result(self) -> Regression:
        """Coefficients and tests of all terms."""
        whole = self._n == self._taken
        parts = (
            (whole, self._all[np.newaxis]),
            (~whole, self._all - self._lacking[~whole]),
        )
        coefficients, errors = np.full((2, *self._products.shape), np.nan)
        freedom = self._n - len(self._design.terms)
        for edges, normal in parts:
            part = self._solved(edges, normal)
            testable = (freedom[edges] > 0)[:, np.newaxis]
            coefficients[edges], errors[edges] = np.where(testable, part, np.nan)
        return self._tested(coefficients, errors, freedom)

    def _solved(self, edges: BoolArray, normal: FloatArray) -> FloatArray:
        """Coefficients and their standard errors, (2, M, k), of M edges.

        `normal` has their matrices, (M, k, k), or one for all of them, (1, k, k).
        """
        products, squares = self._products[edges], self._squares[edges]
        inverse = _inverse(normal)
        in_basis = np.squeeze(inverse @ products[..., np.newaxis], axis=-1)
        left = squares - np.sum(in_basis * products, axis=1)
        freedom = self._n[edges] - products.shape[1]
        # What is left of a perfect fit is rounding, of which no test can be made.
        usable = (left > _ROUNDING * squares) & (freedom > 0)
        variance = np.where(usable, left, np.nan) / np.where(freedom > 0, freedom, np.nan)
        # From the orthonormal basis back to the columns of the design.
        back = np.linalg.inv(self._triangle)
        factors = np.sum((back @ inverse) * back, axis=-1)
        return np.stack([in_basis @ back.T, np.sqrt(variance[:, np.newaxis] * factors)])

    def _tested(
        self, coefficients: FloatArray, errors: FloatArray, freedom: FloatArray
    ) -> Regression:
        t = coefficients / errors
        testable = (freedom > 0) & (self._n >= self._min_participants)
        return Regression(
            terms=self._design.terms,
            coefficients=coefficients,
            errors=errors,
            tests=tuple(t_test(column, np.where(testable, freedom, np.nan)) for column in t.T),
            n=self._n,
            freedom=freedom,
            participants=self._taken,
        )


def _inverse(matrices: FloatArray) -> FloatArray:
    """Inverses of symmetric matrices (M, k, k); NaN for those that are singular."""
    singular = np.linalg.eigvalsh(matrices)[:, 0] < _SINGULAR
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(matrices.shape[1]), matrices))
    inverse[singular] = np.nan
    return inverse
