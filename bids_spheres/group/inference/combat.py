"""Harmonization of sites by empirical Bayes estimates of their shifts and scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.group.inference.linear_model import Contrast, ModelSpace, column_blocks, fit

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import FloatArray, IntArray

_CONVERGED = 1e-4
"""Largest relative change of a site's estimates after which they are not changed any more."""


@dataclass(frozen=True, eq=False)
class Combat:
    """Estimates of ComBat, which can be applied to other participants of the same sites.

    Parameters
    ----------
    mean, standard_deviation : (E,) arrays
        Weighted mean of sites, and pooled standard deviation of residuals with divisor N.
    coefficients : (c, E) array
        Of the covariates.
    shift, scale : (S, E) arrays
        Of each site, in standard deviations; the scale is a variance ratio (gamma* and delta*^2).
    """

    mean: FloatArray
    standard_deviation: FloatArray
    coefficients: FloatArray
    shift: FloatArray
    scale: FloatArray

    def apply(self, z: FloatArray, sites: IntArray, covariates: FloatArray) -> FloatArray:
        """Harmonize rows.

        Parameters
        ----------
        z : (N, E) array
            NaN stays NaN, and edges without estimates become NaN.
        sites : (N,) array of int
            Numbers of sites, as they were fitted.
        covariates : (N, c) array

        Returns
        -------
        (N, E) array

        Raises
        ------
        ValueError
            For a site without estimates, or another number of edges or covariates.
        """
        n_sites, n_edges = self.shift.shape
        if not np.isin(sites, np.arange(n_sites)).all():
            raise ValueError(f"only the sites 0 to {n_sites - 1} have estimates")
        if z.shape[1] != n_edges or covariates.shape[1] != len(self.coefficients):
            raise ValueError(
                f"estimates are for {n_edges} edges and {len(self.coefficients)} covariates"
            )
        expected = self.mean + covariates @ self.coefficients
        shifted = (z - expected) - self.standard_deviation * self.shift[sites]
        return shifted / np.sqrt(self.scale[sites]) + expected


def fit_combat(z: FloatArray, sites: IntArray, covariates: FloatArray) -> Combat:
    """Estimate ComBat's parameters.

    Johnson, Li & Rabinovic 2007 (doi:10.1093/biostatistics/kxj037), for connectivity Yu et al. 2018
    (doi:10.1002/hbm.24241). Numbers are those of neuroHarmonize, its stopping rule included.

    Parameters
    ----------
    z : (N, E) array
        Of E > 1 edges. Missing values don't count.
    sites : (N,) array of int
        From 0; each with at least two participants.
    covariates : (N, c) array
        Whose effects are kept; without a constant.

    Raises
    ------
    ValueError
        For fewer than two sites or edges, a site with one participant, or covariates that sites
        determine.
    """
    labels, counts = np.unique(sites, return_counts=True)
    if len(labels) < 2 or not np.array_equal(labels, np.arange(len(labels))):
        raise ValueError("harmonization needs two sites or more, with numbers from 0")
    if counts.min() < 2:
        raise ValueError(f"site {np.argmin(counts)} has one participant; it takes two")
    if z.shape[1] < 2:
        raise ValueError("harmonization needs two edges or more, whose sites are alike")
    member = (sites == labels[:, np.newaxis]).astype(float)
    design = np.hstack([member.T, covariates])
    space = ModelSpace.of(design, Contrast("all", np.eye(design.shape[1])))
    parts = [_location_and_scale(space, block, member, covariates) for block in column_blocks(z)]
    mean, deviation, coefficients, shift, squares, n = (
        np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
    )
    estimates = [_shrunk(*site) for site in zip(shift, squares, n, strict=True)]
    shifts, scales = (np.stack(of_sites) for of_sites in zip(*estimates, strict=True))
    return Combat(mean, deviation, coefficients, shifts, scales)


def _location_and_scale(
    space: ModelSpace, z: FloatArray, member: FloatArray, covariates: FloatArray
) -> tuple[FloatArray, ...]:
    """Mean, deviation and coefficients, and of sites (S, N) shifts, variances and participants."""
    fitted = fit(space, z)
    n = member @ fitted.present
    of_sites, coefficients = fitted.effects.T[: len(member)], fitted.effects.T[len(member) :]
    total = np.where(fitted.n > 0, fitted.n, np.nan)
    mean = np.sum(n * of_sites, axis=0) / total
    deviation = np.sqrt(np.sum(fitted.residuals**2, axis=0) / total)
    standardized = (z - mean - covariates @ coefficients) / deviation
    known = np.where(np.isfinite(standardized), standardized, 0)
    # A participant alone at a site says nothing about its scale.
    usable = (n > 1).all(axis=0) & ~np.isnan(fitted.degrees_of_freedom)
    enough = np.where(usable, n, np.nan)
    shift = (member @ known) / enough
    rest = np.where(fitted.present, known - member.T @ np.nan_to_num(shift), 0)
    return mean, deviation, coefficients, shift, member @ rest**2 / (enough - 1), enough


def _shrunk(
    shift: FloatArray, variance: FloatArray, n: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Shifts and variances (E,) of a site, drawn to their distribution over its edges."""
    mean_shift, spread = np.nanmean(shift), np.nanvar(shift, ddof=1)
    mean, square = np.nanmean(variance), np.nanvar(variance, ddof=1)
    shape, rate = (2 * square + mean**2) / square, (mean * square + mean**3) / square
    old_shift, old_variance = shift, variance
    while True:
        new_shift = (spread * n * shift + old_variance * mean_shift) / (spread * n + old_variance)
        squares = (n - 1) * variance + n * (shift - new_shift) ** 2
        new_variance = (0.5 * squares + rate) / (n / 2 + shape - 1)
        # neuroHarmonize divides by shifts with their sign: negative shifts never keep it going.
        with np.errstate(divide="ignore"):
            change = np.maximum(
                np.abs(new_shift - old_shift) / old_shift,
                np.abs(new_variance - old_variance) / old_variance,
            )
        old_shift, old_variance = new_shift, new_variance
        if np.nanmax(change) <= _CONVERGED:
            return new_shift, new_variance
