"""Means and regressions of effects whose own variances are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.group.inference.linear_model import Contrast, Estimates, Tail

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """A contrast of E columns, and how much participants differ beyond their own errors.

    Parameters
    ----------
    estimates : Estimates
        With Knapp & Hartung's standard errors; `d` is the effect in units of tau.
    tau2 : (E,) array
        Variance between participants, by Paule & Mandel.
    q, q_p : (E,) arrays
        Cochran's Q about the model with weights 1 / variance, and its p by chi^2.
    i2 : (E,) array
        Share of the variance that is between participants, max(0, (Q - df) / Q).
    """

    estimates: Estimates
    tau2: FloatArray
    q: FloatArray
    q_p: FloatArray
    i2: FloatArray


def random_effects(
    z: FloatArray,
    variances: FloatArray,
    design: FloatArray,
    contrast: Contrast,
    *,
    tail: Tail = "two",
    confidence: float = 0.95,
) -> RandomEffects:
    """Estimate a contrast with weights 1 / (variance + tau^2).

    tau^2 makes the weighted sum of squares equal to its degrees of freedom (Paule & Mandel 1982,
    doi:10.6028/jres.087.022); standard errors are multiplied by the root of the weighted mean
    square, and t has n - k degrees of freedom (Knapp & Hartung 2003, doi:10.1002/sim.1482).
    I^2: Higgins & Thompson 2002, doi:10.1002/sim.1186.

    Parameters
    ----------
    z : (N, E) array
        NaN is missing.
    variances : (N,) or (N, E) array
        Of each value within its participant: of Fisher's z `fisher_z_variance`.
    design : (N, k) array
        Of full rank, without NaN.
    contrast : Contrast
        With one row of weights.
    tail : {"two", "positive", "negative"}
    confidence : float

    Returns
    -------
    RandomEffects

    Raises
    ------
    ValueError
        As `estimate`; for an F test; for variances that are not positive.
    """
    raise NotImplementedError
