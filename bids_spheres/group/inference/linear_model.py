"""Contrasts of linear models for many columns, each with the rows that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

Tail = Literal["two", "positive", "negative"]


@dataclass(frozen=True, eq=False)
class Contrast:
    """Linear combinations of coefficients that are tested against 0.

    Parameters
    ----------
    name : str
    weights : (q, k) array
        One row makes a t test; more rows, which must be independent, an F test.
    """

    name: str
    weights: FloatArray

    @property
    def is_f(self) -> bool:
        """Whether several combinations are tested together."""
        return len(self.weights) > 1


@dataclass(frozen=True, eq=False)
class Estimates:
    """A contrast of E columns, NaN where it can't be estimated.

    Parameters
    ----------
    effect, standard_error, ci_low, ci_high : (E,) arrays
        Weighted sum of coefficients, its standard error and limits of its two-sided confidence
        interval; NaN for an F test.
    d : (E,) array
        The effect in residual standard deviations: Cohen's d for a mean or a difference of groups,
        d per unit for a number; NaN for an F test.
    partial_r : (E,) array
        Partial correlation t / sqrt(t^2 + degrees of freedom); for an F test the root of partial
        eta^2, q F / (q F + degrees of freedom).
    statistic, p : (E,) arrays
        t or F, and its p. One tail halves the two-sided p of t; F has no tails.
    n, degrees_of_freedom : (E,) arrays
        Rows with a value, and what is left of them after the design.
    """

    effect: FloatArray
    standard_error: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    d: FloatArray
    partial_r: FloatArray
    statistic: FloatArray
    p: FloatArray
    n: FloatArray
    degrees_of_freedom: FloatArray


def estimate(
    z: FloatArray,
    design: FloatArray,
    contrast: Contrast,
    *,
    tail: Tail = "two",
    confidence: float = 0.95,
    variance_groups: NDArray[np.intp] | None = None,
) -> Estimates:
    """Estimate a contrast by ordinary least squares, for each column from the rows that it has.

    Parameters
    ----------
    z : (N, E) array
        Also a memory map, of which a bounded part is held at a time; NaN is missing.
    design : (N, k) array
        Of full rank, without NaN.
    contrast : Contrast
    tail : {"two", "positive", "negative"}
        Of the p of t.
    confidence : float
        Of the intervals.
    variance_groups : (N,) array of int, optional
        Rows with the same number have the same variance. Effects are those of ordinary least
        squares; the statistic is Aspin & Welch's v for one row of weights (Welch's t for two
        groups), and G for more, with their degrees of freedom (Winkler et al. 2014,
        doi:10.1016/j.neuroimage.2014.01.060, table 1 and appendix A).

    Returns
    -------
    Estimates
        NaN for columns whose rows don't determine all coefficients, or leave nothing but rounding.

    Raises
    ------
    ValueError
        When shapes don't fit, the design has not full rank, or the weights are not independent.
    """
    raise NotImplementedError
