"""A small oblique scan, and means over its voxels by numpy."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter

SHAPE = (10, 11, 9)
N_VOLUMES = 7
AFFINE = np.array([[-2.5, 0, 0, 12], [0, 3, 0.4, -15], [0, -0.4, 3, -10], [0, 0, 0, 1]])
SEEDS = [(0.3, 1.2, 2.1), (-6.2, 7.1, 4.4), (4.1, 1.2, 2.1)]


@pytest.fixture
def data():
    return np.random.default_rng(4).normal(1000, 50, (*SHAPE, N_VOLUMES))


def image(data):
    return nib.Nifti1Image(data, AFFINE)


def in_ball(seed, radius, shape=SHAPE, affine=AFFINE):
    """Voxels within a radius, or the nearest one where it is 0; no centre is at the rim."""
    centres = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    distance = np.linalg.norm(centres - seed, axis=-1)
    assert not (np.abs(distance - radius) < 1e-6).any()
    return distance < radius if radius else distance == distance.min()


def means(data, balls):
    return np.column_stack([data[ball].mean(axis=0) for ball in balls])


def usable_means(data, balls, fwhm):
    """Means over voxels that are finite and vary, of volumes in which others are 0, by scipy."""
    usable = np.isfinite(data).all(axis=3) & (np.ptp(np.nan_to_num(data), axis=3) > 0)
    clean = np.where(usable[..., None], data, 0)
    if fwhm:
        sigma = fwhm / np.sqrt(8 * np.log(2)) / np.sqrt((AFFINE[:3, :3] ** 2).sum(axis=0))
        clean = np.stack([gaussian_filter(v, sigma) for v in np.moveaxis(clean, 3, 0)], axis=3)
    return np.column_stack([clean[ball & usable].mean(axis=0) for ball in balls]), usable
