"""Talairach coordinates to MNI152 by the affine transforms of Lancaster et al. (2007).

They were fitted, over one hundred brains, between coordinates that landmarks give in the frame of
Talairach and Tournoux and those that SPM2 or FSL's FLIRT gives with the ICBM-152 template.
The residual was 1 to 2 mm on average, where the two frames differ by 5 to 13 mm.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from nibabel.affines import apply_affine

from bids_spheres.engine.spheres import as_points
from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

Fit = Literal["fsl", "spm", "pooled"]
"""Which brains a transform was fitted to."""


def _matrix(*rows: tuple[float, float, float, float]) -> FloatArray:
    matrix = np.array([*rows, (0, 0, 0, 1)], dtype=np.float64)
    matrix.flags.writeable = False
    return matrix


MNI_TO_TALAIRACH: Mapping[Fit, FloatArray] = MappingProxyType(
    {
        "fsl": _matrix(
            (0.9464, 0.0034, -0.0026, -1.0680),
            (-0.0083, 0.9479, -0.0580, -1.0239),
            (0.0053, 0.0617, 0.9010, 3.1883),
        ),
        "spm": _matrix(
            (0.9254, 0.0024, -0.0118, -1.0207),
            (-0.0048, 0.9316, -0.0871, -1.7667),
            (0.0152, 0.0883, 0.8924, 4.0926),
        ),
        "pooled": _matrix(
            (0.9357, 0.0029, -0.0072, -1.0423),
            (-0.0065, 0.9396, -0.0726, -1.3940),
            (0.0103, 0.0752, 0.8967, 3.6475),
        ),
    }
)
"""The (4, 4) matrices of Lancaster et al. (2007), doi:10.1002/hbm.20345: the transforms that they
name icbm2tal, of brains fitted with FSL, with SPM2, and of both."""


def talairach_to_mni(points: ArrayLike, fit: Fit = "fsl") -> FloatArray:
    """Talairach coordinates as MNI152 coordinates.

    Parameters
    ----------
    points : (S, 3) array-like, mm
    fit : {"fsl", "spm", "pooled"}
        Whose brains the transform was fitted to. The default is FSL's, because its standard space
        has a name, MNI152NLin6Asym, from which a transform to MNI152NLin2009cAsym is published.
        "pooled" is what the authors give for other software. Over the seeds of Raichle et al.
        (2011) it differs by less than 2 mm from FSL's, SPM2's by less than 4 mm.

    Returns
    -------
    (S, 3) array, mm

    Raises
    ------
    UsageError
        For an unknown fit.

    References
    ----------
    Lancaster et al. (2007), Human Brain Mapping 28:1194-1205, doi:10.1002/hbm.20345. Points go
    through the inverse of the matrix that it prints.

    Examples
    --------
    >>> talairach_to_mni([(-44, 31, 27)], fit="pooled").round(1).tolist()
    [[-45.8, 36.0, 23.6]]
    """
    if fit not in MNI_TO_TALAIRACH:
        known = ", ".join(MNI_TO_TALAIRACH)
        raise UsageError(f"There is no Talairach transform named {fit!r}; there are: {known}.")
    moved: FloatArray = apply_affine(np.linalg.inv(MNI_TO_TALAIRACH[fit]), as_points(points))
    return moved
