"""Contrasts of linear models for many columns, each with the rows that it has.

Rows may have the same variance, that of their group, errors that are correlated within clusters, or
a known variance of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

_SINGULAR = 1e-10
"""Least eigenvalue, of 1, at which a column has lost a coefficient or a cluster a direction."""

_ROUNDING = 1e-12
"""Residuals, as a share of a column's length, that rounding leaves."""

_MAX_STEPS, _CONVERGED = 100, 1e-12
"""Newton's steps to tau^2, and the step, as a share of it, after which it is known."""

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
    variance_groups: IntArray | None = None,
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
    [own] = estimates(
        z, design, [contrast], tail=tail, confidence=confidence, variance_groups=variance_groups
    )
    return own


def estimates(
    z: FloatArray,
    design: FloatArray,
    contrasts: Sequence[Contrast],
    *,
    tail: Tail = "two",
    confidence: float = 0.95,
    variance_groups: IntArray | None = None,
) -> list[Estimates]:
    """Estimate several contrasts as `estimate` does, from one fit of each column."""
    spaces = [ModelSpace.of(design, contrast) for contrast in contrasts]
    labels = np.unique(0 if variance_groups is None else variance_groups)

    def estimated(fitted: Fit, space: ModelSpace) -> Estimates:
        q = len(space.weights)
        if len(labels) > 1:
            covariance, degrees, scale = _with_variance_groups(
                space, fitted, (labels[:, np.newaxis] == variance_groups).astype(float)
            )
        else:
            covariance = fitted.variance[:, np.newaxis, np.newaxis] * fitted.covariance
            degrees, scale = fitted.degrees_of_freedom, np.ones(len(fitted.n))
        if q == 1:
            return t_estimates(fitted, np.sqrt(covariance[:, 0, 0]), degrees, tail, confidence)
        effects = fitted.effects
        solved = np.linalg.solve(covariance, effects[..., np.newaxis])[..., 0]
        f = np.sum(effects * solved, axis=1) / (q * scale)
        no_effect = ("effect", "standard_error", "ci_low", "ci_high", "d")
        return Estimates(
            **dict.fromkeys(no_effect, np.full(len(f), np.nan)),
            partial_r=np.sqrt(q * f / (q * f + degrees)),
            statistic=f,
            p=np.asarray(stats.f.sf(f, q, degrees)),
            n=fitted.n,
            degrees_of_freedom=degrees,
        )

    parts: list[list[Estimates]] = [[] for _ in spaces]
    for block in column_blocks(z) if spaces else ():
        fitted = fit(spaces[0], block)
        for own, space in zip(parts, spaces, strict=True):
            own.append(estimated(replace(fitted, weights=space.weights), space))
    return [concatenate(own) for own in parts]


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
        own = np.flatnonzero(clusters == label)
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


@dataclass(frozen=True, eq=False)
class ModelSpace:
    """A design in an orthonormal `basis` (N, k), and `weights` (q, k) of a contrast of it."""

    basis: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, design: FloatArray, contrast: Contrast) -> ModelSpace:
        """Change to the basis; ValueError when design and contrast don't fit."""
        n, k = design.shape
        if contrast.weights.ndim != 2 or contrast.weights.shape[1] != k:
            raise ValueError(f"contrast {contrast.name!r} needs weights of shape (q, {k})")
        norms = np.linalg.norm(design, axis=0)
        if n <= k or not norms.all() or np.linalg.matrix_rank(design / norms) < k:
            raise ValueError(f"a design of {n} rows and {k} columns has not full rank")
        if np.linalg.matrix_rank(contrast.weights) < len(contrast.weights):
            raise ValueError(f"weights of contrast {contrast.name!r} are not independent")
        basis, triangle = np.linalg.qr(design)
        return cls(basis, np.linalg.solve(triangle.T, contrast.weights.T).T)


@dataclass(frozen=True, eq=False)
class Fit:
    """Least squares of M columns.

    `coefficients` (M, k) of the basis, and the `inverse` (M, k, k) of the normal equations: one
    matrix where all rows are `present` (N, M). `residuals` (N, M) are 0 where a value is missing;
    `n`, `degrees_of_freedom` and residual `variance` (M,); the latter two are NaN where nothing is
    left. `weights` (q, k) are those of a contrast.
    """

    weights: FloatArray
    coefficients: FloatArray
    inverse: FloatArray
    residuals: FloatArray
    present: BoolArray
    n: FloatArray
    degrees_of_freedom: FloatArray
    variance: FloatArray

    @property
    def effects(self) -> FloatArray:
        """Effects of the contrast, (M, q)."""
        effects = self.coefficients @ self.weights.T
        effects[np.isnan(self.degrees_of_freedom)] = np.nan
        return effects

    @property
    def covariance(self) -> FloatArray:
        """Their covariance for residuals of variance 1, (M, q, q)."""
        return self.weights @ self.inverse @ self.weights.T


def fit(space: ModelSpace, y: FloatArray, weights: FloatArray | None = None) -> Fit:
    """Fit columns (N, M) to a design, by weights (N, M) when they are given.

    Coefficients are NaN where rows don't determine them, or leave nothing but rounding.
    """
    basis = space.basis
    k = basis.shape[1]
    present = np.isfinite(y)
    known = np.where(present, y, 0)
    if weights is None and present.all():
        inverse = np.eye(k)[np.newaxis]
        products = (basis.T @ known).T
    else:
        used = present if weights is None else np.where(present, weights, 0)
        inverse = invert(gram(basis, used.astype(float)))
        products = (basis.T @ (used * known)).T
    coefficients = (inverse @ products[..., np.newaxis])[..., 0]
    residuals = np.where(present, known - basis @ coefficients.T, 0)
    n = present.sum(axis=0).astype(float)
    degrees = np.where(n > k, n - k, np.nan)
    varies = np.linalg.norm(residuals, axis=0) > _ROUNDING * np.linalg.norm(known, axis=0)
    degrees[~varies] = np.nan
    variance = np.sum(residuals**2, axis=0) / degrees
    return Fit(space.weights, coefficients, inverse, residuals, present, n, degrees, variance)


def gram(basis: FloatArray, weights: FloatArray) -> FloatArray:
    """Normal equations (M, k, k) of a basis (N, k) with weights (N, M)."""
    n, k = basis.shape
    outer = basis[:, :, np.newaxis] * basis[:, np.newaxis]
    return (weights.T @ outer.reshape(n, -1)).reshape(-1, k, k)


def invert(matrices: FloatArray) -> FloatArray:
    """Inverses of symmetric matrices (M, k, k); NaN for those that are singular."""
    eigenvalues = np.linalg.eigvalsh(matrices)
    singular = ~(eigenvalues[:, 0] > _SINGULAR * eigenvalues[:, -1])
    inverse = np.linalg.inv(np.where(singular[:, None, None], np.eye(matrices.shape[1]), matrices))
    inverse[singular] = np.nan
    return inverse


@np.errstate(divide="ignore", invalid="ignore")  # groups without rows, or without spread
def _with_variance_groups(
    space: ModelSpace, fitted: Fit, members: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Covariance of effects, degrees of freedom and the scale of G, by groups' members (g, N)."""
    leverage = np.einsum("nk,mkl,nl->nm", space.basis, fitted.inverse, space.basis)
    left = members @ np.where(fitted.present, 1 - leverage, 0)
    precision = left / (members @ fitted.residuals**2)
    weights = np.where(fitted.present, members.T @ precision, 0)
    shares = precision * (members @ fitted.present) / weights.sum(axis=0)
    spread = np.sum((1 - shares) ** 2 / left, axis=0)
    q = len(space.weights)
    covariance = space.weights @ invert(gram(space.basis, weights)) @ space.weights.T
    scale = 1 + 2 * (q - 1) / (q * (q + 2)) * spread
    return covariance, q * (q + 2) / (3 * spread), scale


def t_estimates(
    fitted: Fit, error: FloatArray, degrees: FloatArray, tail: Tail, confidence: float
) -> Estimates:
    """Estimates from effects, their standard errors and degrees of freedom (M,)."""
    effect = fitted.effects[:, 0]
    t = effect / error
    if tail == "two":
        p = 2 * stats.t.sf(np.abs(t), degrees)
    else:
        p = stats.t.sf(-t if tail == "negative" else t, degrees)
    reach = stats.t.isf((1 - confidence) / 2, degrees) * error
    return Estimates(
        effect=effect,
        standard_error=error,
        ci_low=effect - reach,
        ci_high=effect + reach,
        d=effect / np.sqrt(fitted.variance),
        partial_r=t / np.sqrt(t**2 + degrees),
        statistic=t,
        p=np.asarray(p),
        n=fitted.n,
        degrees_of_freedom=degrees,
    )


def concatenate(parts: Sequence[Estimates]) -> Estimates:
    """Estimates of all columns from those of parts of them."""
    names = Estimates.__dataclass_fields__
    return Estimates(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def column_blocks(z: FloatArray, max_bytes: int = 2**22) -> Iterator[FloatArray]:
    """Columns of an array, also of a memory map, in parts of a number of bytes."""
    width = max(1, max_bytes // (8 * len(z)))
    for start in range(0, max(z.shape[1], 1), width):
        yield np.asarray(z[:, start : start + width], dtype=np.float64)
