"""Contrasts of rows that are not independent and alike: repeated, clustered, of known variance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.sparse import csr_array

from bids_spheres.group.inference.linear_model import (
    ModelSpace,
    column_blocks,
    concatenate,
    fit,
    gram,
    invert,
    t_estimates,
)

if TYPE_CHECKING:
    from bids_spheres.group.inference.linear_model import (
        BoolArray,
        Contrast,
        Estimates,
        FloatArray,
        IntArray,
        Tail,
    )

_SINGULAR = 1e-10
"""Share of a direction within a cluster that rounding leaves."""

_MAX_STEPS = 100

_CONVERGED = 1e-12
"""Step, as a share of tau^2, after which it is known."""


def paired_contrast(
    z: FloatArray, participants: IntArray, conditions: IntArray, weights: FloatArray
) -> FloatArray:
    """Weighted sum of the conditions of each participant.

    A test of its mean is a paired test, with sign flips within participants.

    Parameters
    ----------
    z : (N, E) array
        A row per participant and condition.
    participants, conditions : (N,) arrays of int
        Of each row, from 0; rows of the same participant and condition are averaged.
    weights : (C,) array
        Of each condition, with the sum 0 for a comparison.

    Returns
    -------
    (P, E) array
        A row per participant; NaN where a condition with a weight is missing.
    """
    n_participants = int(participants.max()) + 1
    total = np.zeros((n_participants, z.shape[1]))
    for condition in np.flatnonzero(weights):
        rows = np.flatnonzero(conditions == condition)
        collect = csr_array(
            (np.ones(len(rows)), (participants[rows], np.arange(len(rows)))),
            shape=(n_participants, len(rows)),
        )
        values = np.asarray(z[rows], dtype=np.float64)
        present = np.isfinite(values)
        counts = collect @ present.astype(float)
        sums = collect @ np.where(present, values, 0)
        total += weights[condition] * sums / np.where(counts > 0, counts, np.nan)
    return total


def robust_estimate(
    z: FloatArray,
    design: FloatArray,
    contrast: Contrast,
    clusters: IntArray,
    *,
    tail: Tail = "two",
    confidence: float = 0.95,
) -> Estimates:
    """Estimate a contrast by least squares with standard errors that are robust to clusters.

    CR2, the bias-reduced estimate of Bell & McCaffrey 2002, under a working model of independent
    rows, with Satterthwaite's degrees of freedom: Pustejovsky & Tipton 2018,
    doi:10.1080/07350015.2016.1247004, as R's clubSandwich.

    Parameters
    ----------
    z, design : (N, E) array, (N, k) array
        As for `estimate`.
    contrast : Contrast
        With one row of weights.
    tail, confidence : {"two", "positive", "negative"}, float
        As for `estimate`.
    clusters : (N,) array of int
        Rows of the same cluster (participant, site) have the same number.

    Returns
    -------
    Estimates
        `d` and `partial_r` are those of `estimate`, with the robust t in `partial_r`.

    Raises
    ------
    ValueError
        As `estimate`; for an F test; for fewer than two clusters.
    """
    if contrast.is_f:
        raise ValueError("a robust test of several weights at once is not available")
    if len(np.unique(clusters)) < 2:
        raise ValueError("a robust standard error needs two clusters or more")
    space = ModelSpace.of(design, contrast)

    @lru_cache(maxsize=4)  # most columns, in all blocks, have all rows
    def adjusted_rows(present: bytes) -> tuple[FloatArray, float]:
        return _adjusted_rows(space, np.frombuffer(present, dtype=bool), clusters)

    def estimated(y: FloatArray) -> Estimates:
        fitted = fit(space, y)
        error, degrees = np.full((2, y.shape[1]), np.nan)
        known = np.flatnonzero(~np.isnan(fitted.degrees_of_freedom))
        patterns, which = np.unique(fitted.present[:, known], axis=1, return_inverse=True)
        for number, present in enumerate(patterns.T):
            columns = known[which.reshape(-1) == number]
            adjusted, degrees[columns] = adjusted_rows(present.tobytes())
            error[columns] = np.linalg.norm(adjusted.T @ fitted.residuals[:, columns], axis=0)
        return t_estimates(fitted, error, degrees, tail, confidence)

    return concatenate([estimated(block) for block in column_blocks(z)])


def _adjusted_rows(
    space: ModelSpace, present: BoolArray, clusters: IntArray
) -> tuple[FloatArray, float]:
    """Rows (N, G) whose products with residuals have the error as their length, and its df."""
    basis = np.where(present[:, np.newaxis], space.basis, 0)
    [inverse] = invert(gram(basis, present[:, np.newaxis].astype(float)))
    hat = basis @ inverse @ basis.T
    rows = basis @ inverse @ space.weights[0]
    labels = np.unique(clusters[present])
    adjusted = np.zeros((len(basis), len(labels)))
    for number, label in enumerate(labels):
        own = np.flatnonzero(present & (clusters == label))
        values, vectors = np.linalg.eigh(np.eye(len(own)) - hat[np.ix_(own, own)])
        # A cluster with a term of its own leaves directions without any residual.
        roots = np.where(values > _SINGULAR, values, np.inf) ** -0.5
        adjusted[own, number] = vectors @ (roots * (vectors.T @ rows[own]))
    left = adjusted - hat @ adjusted
    products = left.T @ left
    return adjusted, float(np.trace(products) ** 2 / np.sum(products**2))


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
    z, design : (N, E) array, (N, k) array
        As for `estimate`.
    contrast : Contrast
        With one row of weights.
    tail, confidence : {"two", "positive", "negative"}, float
        As for `estimate`.
    variances : (N,) or (N, E) array
        Of each value within its participant: of Fisher's z `fisher_z_variance`. A value without
        one, NaN, counts as missing.

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
