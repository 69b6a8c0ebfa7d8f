"""Signals, and comparison of what `clean` and nilearn make of them."""

from __future__ import annotations

import warnings

import numpy as np

from bids_spheres.engine import clean

PLAIN = {"detrend": False, "standardize": None}
"""Options that leave signals alone."""


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(n_volumes, n_columns, seed=0):
    """Signals with a mean, a trend and noise."""
    random = rng(seed)
    trend = np.outer(np.arange(n_volumes), random.normal(size=n_columns))
    return 100 + 0.1 * trend + random.normal(size=(n_volumes, n_columns))


def quietly(function, *args, **kwargs):
    """Without the warnings meant for users; of ours, only those are pardoned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning if function is clean else Warning)
        return function(*args, **kwargs)


def assert_same(ours, theirs, tolerance=1e-6):
    """Equal, column by column, relative to the largest value of the column."""
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    np.testing.assert_array_equal(error_of(ours, theirs) <= tolerance, True)


def error_of(ours, theirs):
    """Largest difference of each column, relative to its largest value."""
    ours, theirs = ours.astype("f8"), theirs.astype("f8")
    finite = np.isfinite(ours) & np.isfinite(theirs)
    difference = np.abs(np.subtract(ours, theirs, where=finite, out=np.zeros(ours.shape)))
    scale = np.abs(np.where(finite, theirs, 0)).max(axis=0, initial=1e-300)
    return difference.max(axis=0, initial=0) / scale


SERIES = noise(50, 2)
