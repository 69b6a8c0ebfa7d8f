"""Spikes of voxels, squeezed as AFNI's 3dDespike does.

The rule is that of its help text, https://afni.nimh.nih.gov/pub/dist/doc/program_help/3dDespike.html
(Cox 1996, doi:10.1006/cbmr.1996.0014): a smooth curve is fitted by least absolute deviations; the
spread of the residuals is sigma = sqrt(pi / 2) x their median absolute deviation; a residual of
s sigma with s above c1 becomes c1 + (c2 - c1) tanh((s - c1) / (c2 - c1)), on either side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray

LEAST_VOLUMES = 15  # 3dDespike's

_CUTS = (2.5, 4.0)  # c1 and c2: defaults of 3dDespike

_VOLUMES_PER_ORDER, _HIGHEST_ORDER = 30, 50
"""Sines and cosines of the curve: one pair for so many volumes (-corder NT/30), at most so many."""

_REWEIGHTED, _EXCHANGES = 15, 100


def despike(voxels: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Squeeze the spikes of (T, N) voxels; return the values, and which were changed."""
    if len(voxels) < LEAST_VOLUMES:
        raise DataError(f"Despiking needs {LEAST_VOLUMES} volumes or more, not {len(voxels)}.")
    spread = np.ptp(voxels, axis=0)
    if not (varies := spread > 0).all():  # a constant voxel leaves rounding errors alone to judge
        values, spikes = voxels.copy(), np.zeros(voxels.shape, dtype=bool)
        values[:, varies], spikes[:, varies] = despike(voxels[:, varies])
        return values, spikes
    n_volumes = len(voxels)
    order = min(round(n_volumes / _VOLUMES_PER_ORDER), _HIGHEST_ORDER)
    phases = 2 * np.pi * np.outer(np.arange(n_volumes) / n_volumes, np.arange(1, order + 1))
    parabola = np.vander(np.linspace(-1, 1, n_volumes), 3, increasing=True)
    curve = least_absolute_fit(np.hstack([parabola, np.sin(phases), np.cos(phases)]), voxels)
    residuals = voxels - curve
    sigma = np.sqrt(np.pi / 2) * np.median(np.abs(residuals), axis=0)
    # A voxel that is constant most of the time has no spread by which to judge it.
    scale = np.where(sigma > 1e-9 * spread, sigma, np.inf)
    deviation = residuals / scale
    low, high = _CUTS
    spikes = np.abs(deviation) > low
    excess = np.abs(deviation[spikes]) - low
    squeezed = low + (high - low) * np.tanh(excess / (high - low))
    values = voxels.copy()
    sizes = np.broadcast_to(scale, voxels.shape)[spikes]
    values[spikes] = curve[spikes] + np.sign(deviation[spikes]) * squeezed * sizes
    return values, spikes


def least_absolute_fit(basis: FloatArray, series: FloatArray) -> FloatArray:
    """Fit by least absolute deviations (T, p) columns to (T, N) series; return the fit, (T, N).

    The best curve goes through p of the points. Reweighted least squares come near to it; from
    there on points are exchanged one by one (Barrodale & Roberts 1973, doi:10.1137/0710069).
    """
    n_columns = basis.shape[1]
    # Orthonormal columns keep the equations well conditioned.
    basis = np.linalg.qr(basis)[0]
    products = (basis[:, :, np.newaxis] * basis[:, np.newaxis, :]).reshape(len(basis), -1)
    fit = basis @ (basis.T @ series)
    floor = np.maximum(np.abs(series - fit).mean(axis=0), np.finfo(float).tiny) * 1e-6
    for _ in range(_REWEIGHTED):
        weights = 1 / np.maximum(np.abs(series - fit), floor)
        equations = (weights.T @ products).reshape(-1, n_columns, n_columns)
        right = (basis.T @ (weights * series)).T[..., np.newaxis]
        fit = basis @ np.linalg.solve(equations, right)[..., 0].T
    points = np.argpartition(np.abs(series - fit), n_columns, axis=0)[:n_columns].T
    left = np.flatnonzero(np.abs(np.linalg.det(basis[points])) > 0)
    points = points[left]
    for _ in range(_EXCHANGES):
        coefficients = np.linalg.solve(
            basis[points], np.take_along_axis(series.T[left], points, axis=1)[..., np.newaxis]
        )[..., 0]
        fit[:, left] = basis @ coefficients.T
        improved, better = _exchanged(basis, (series[:, left] - fit[:, left]).T, points)
        left, points = left[better], improved[better]
        if not left.size:
            break
    return fit


def _exchanged(
    basis: FloatArray, residuals: FloatArray, points: IntArray
) -> tuple[IntArray, BoolArray]:
    """Exchange one of the (N, p) points of each curve; also tell which curves become better."""
    rows = np.arange(len(points))
    np.put_along_axis(residuals, points, 0, axis=1)
    inverse = np.linalg.inv(basis[points])
    # Slopes of the sum of deviations when a curve leaves one of its points.
    slopes = np.einsum("np,npq->nq", np.sign(residuals) @ basis, inverse)
    out = np.abs(slopes).argmax(axis=1)
    steepest = slopes[rows, out]
    direction = np.sign(steepest)[:, np.newaxis] * inverse[rows, :, out]
    change = direction @ basis.T
    np.put_along_axis(change, points, 0, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(residuals * change > 0, residuals / change, np.inf)
    order = np.argsort(steps, axis=1)
    # The slope grows at each point that is met; where it turns positive, the sum is least.
    met = np.take_along_axis(2 * np.abs(change), order, axis=1)
    slope = 1 - np.abs(steepest)[:, np.newaxis] + np.cumsum(met, axis=1)
    enters = order[rows, (slope >= 0).argmax(axis=1)]
    better = (np.abs(steepest) > 1 + 1e-9) & np.isfinite(steps[rows, enters])
    points = points.copy()
    points[rows[better], out[better]] = enters[better]
    return points, better
