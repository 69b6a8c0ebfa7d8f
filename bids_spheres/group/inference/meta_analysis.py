"""Means and regressions of effects whose own variances are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.group.inference.linear_model import (
    ModelSpace,
    column_blocks,
    concatenate,
    fit,
    t_estimates,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.group.inference.linear_model import Contrast, Estimates, Tail

    FloatArray = NDArray[np.float64]

_MAX_STEPS = 100

_CONVERGED = 1e-12
"""Step, as a share of tau^2, after which it is known."""


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """A contrast of E columns, and how much participants differ beyond their own errors.

    Parameters
    ----------
    estimates : Estimates
        With Knapp & Hartung's standard errors; `d` is the effect in units of tau, NaN
        where that is 0.
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
        Of each value within its participant: of Fisher's z `fisher_z_variance`. A value without
        one, NaN, counts as missing.
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
    if contrast.is_f:
        raise ValueError("random effects of several weights at once are not available")
    if (variances <= 0).any():
        raise ValueError("variances must be positive")
    space = ModelSpace.of(design, contrast)
    within = np.broadcast_to(variances.T, z.shape[::-1]).T
    parts = [
        _random_effects(space, y, v, tail, confidence)
        for y, v in zip(column_blocks(z), column_blocks(within), strict=True)
    ]
    estimates = concatenate([part.estimates for part in parts])
    names = ("tau2", "q", "q_p", "i2")
    return RandomEffects(
        estimates, *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )


def _random_effects(
    space: ModelSpace, y: FloatArray, variances: FloatArray, tail: Tail, confidence: float
) -> RandomEffects:
    y = np.where(np.isfinite(variances), y, np.nan)
    variances = np.where(np.isfinite(variances), variances, 1)
    fitted = fit(space, y, 1 / variances)
    degrees = fitted.degrees_of_freedom
    q = square = np.sum(fitted.residuals**2 / variances, axis=0)
    tau2 = np.zeros(len(q))
    # The sum of squares falls in tau^2 and is convex, so that Newton's steps rise to the root.
    for _ in range(_MAX_STEPS):
        slope = np.sum((fitted.residuals / (variances + tau2)) ** 2, axis=0)
        step = np.where(square > degrees, (square - degrees) / slope, 0)
        tau2 = tau2 + step
        fitted = fit(space, y, 1 / (variances + tau2))
        square = np.sum(fitted.residuals**2 / (variances + tau2), axis=0)
        if (step <= _CONVERGED * tau2).all():
            break
    error = np.sqrt(fitted.covariance[:, 0, 0] * square / degrees)
    estimates = t_estimates(fitted, error, degrees, tail, confidence)
    tau = np.sqrt(np.where(tau2 > 0, tau2, np.nan))
    return RandomEffects(
        estimates=replace(estimates, d=estimates.effect / tau),
        tau2=np.where(np.isnan(degrees), np.nan, tau2),
        q=np.where(np.isnan(degrees), np.nan, q),
        q_p=np.asarray(stats.chi2.sf(q, degrees)),
        i2=np.maximum(0, 1 - degrees / q),
    )
