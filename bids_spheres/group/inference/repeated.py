"""Rows that are not independent: participants measured several times, sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.group.inference.linear_model import Contrast, Estimates, Tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]


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
    raise NotImplementedError


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
    z : (N, E) array
        NaN is missing.
    design : (N, k) array
        Of full rank, without NaN.
    contrast : Contrast
        With one row of weights.
    clusters : (N,) array of int
        Rows of the same cluster (participant, site) have the same number.
    tail : {"two", "positive", "negative"}
    confidence : float

    Returns
    -------
    Estimates
        `d` and `partial_r` are those of `estimate`, with the robust t in `partial_r`.

    Raises
    ------
    ValueError
        As `estimate`; for an F test; for fewer than two clusters.
    """
    raise NotImplementedError
