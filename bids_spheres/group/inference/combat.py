"""Harmonization of sites by empirical Bayes estimates of their shifts and scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]


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
            NaN stays NaN.
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
        raise NotImplementedError


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

    Returns
    -------
    Combat

    Raises
    ------
    ValueError
        For fewer than two sites, a site with one participant, or covariates that sites determine.
    """
    raise NotImplementedError
