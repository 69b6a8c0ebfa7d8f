"""Against simulated white series, numerical integration of the formula, and known ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from bids_spheres.engine.degrees_of_freedom import (
    degrees_of_freedom_left,
    variance_of_correlation,
)


def by_integration(eigenvalues):
    """sum l^2 q^2, each q by adaptive quadrature over t = exp(u)."""
    shares = eigenvalues / eigenvalues.sum()

    def integrand(u, share):
        t = np.exp(u)
        return t / (1 + 2 * share * t) * np.exp(-np.log1p(2 * shares * t).sum() / 2)

    q = [
        quad(integrand, -40, 90, (share,), points=[0], limit=500, epsabs=1e-13)[0]
        for share in shares
    ]
    return np.sum((shares * q) ** 2)


SPECTRA = {
    "one": np.ones(1),
    "two": np.array([1.0, 1e-3]),
    "a few": np.array([3.0, 2.0, 2.0, 0.1]),
    "band": 1 / (1 + np.linspace(0, 3, 80) ** 10),
    "heavy": np.r_[1e6, np.ones(50)],
    "wide": np.geomspace(1e-6, 1, 60),
}


@pytest.mark.parametrize("eigenvalues", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("unit", [1e-9, 1, 1e12])
def test_the_integral(eigenvalues, unit):
    expected = by_integration(eigenvalues)
    assert variance_of_correlation(unit * eigenvalues) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 200, 1500])
def test_equal_eigenvalues_are_that_many_values(n):
    values = np.r_[np.zeros(5), np.full(n, 0.3), -1e-17]
    assert 1 / variance_of_correlation(values) == pytest.approx(n, rel=1e-10)


@pytest.mark.parametrize("n_regressors", [0, 1, 12])
def test_a_projection_has_its_rank(n_regressors):
    rng = np.random.default_rng(0)
    regressors = rng.standard_normal((60, n_regressors))
    basis = np.linalg.qr(regressors - regressors.mean(axis=0))[0]
    operator = np.eye(60) - basis @ basis.T
    assert degrees_of_freedom_left(operator) == pytest.approx(59 - n_regressors, rel=1e-9)


def test_the_mean_of_the_kept_volumes_goes_too():
    assert degrees_of_freedom_left(np.eye(60)[:30]) == pytest.approx(29, rel=1e-9)


def test_nothing_left():
    assert degrees_of_freedom_left(np.zeros((20, 30))) == 0
    assert degrees_of_freedom_left(np.ones((20, 30))) == 0
    assert degrees_of_freedom_left(np.empty((0, 30))) == 0


def test_values_whose_squares_overflow():
    operator = np.diag(np.r_[1e200, 1e200, np.ones(20)])
    assert degrees_of_freedom_left(operator) == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("spectrum", ["a few", "band", "heavy", "wide"])
def test_the_scatter_of_simulated_series(spectrum):
    """Independent pairs, so that the standard error of the mean of r^2 is known from them."""
    eigenvalues = SPECTRA[spectrum]
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 20_000, len(eigenvalues))) * np.sqrt(eigenvalues)
    squares = np.sum(x * y, axis=1) ** 2 / np.sum(x**2, axis=1) / np.sum(y**2, axis=1)
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - variance_of_correlation(eigenvalues)) < 4 * error
