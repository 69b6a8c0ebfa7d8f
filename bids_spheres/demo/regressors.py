"""The confounds table, computed from the image and the realignment parameters as fMRIPrep does.

Names, formulas and order of the columns follow
https://fmriprep.org/en/24.1.1/outputs.html#confounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.demo.motion import (
    AXES,
    backward_difference,
    framewise_displacement,
    relative_rms,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bids_spheres.demo.head import Head

CUTOFF = 128.0  # s, of the cosines
COMPONENTS = 5
MOST_VARIABLE = 0.02  # share of the brain's voxels that tCompCor looks at
OUTLIER_FD, OUTLIER_DVARS = 0.5, 1.5  # fMRIPrep's --fd-spike-threshold and --dvars-spike-threshold

Columns = dict[str, "NDArray[np.float64]"]
Metadata = dict[str, dict[str, object]]


def confounds_of(
    image: NDArray[np.float64],
    parameters: NDArray[np.float64],
    head: Head,
    t_r: float,
    non_steady: int,
) -> tuple[Columns, Metadata]:
    """Compute every column, and what the sidecar says of those that are not self-explaining.

    Of an image, (I, J, K, T), and realignment parameters, (T, 6) in mm and rad. The first
    `non_steady` volumes are not in the steady state. Missing values are NaN.
    """
    brain = image[head.brain]
    regions = {"CSF": image[head.csf], "WM": image[head.white_matter]}
    regions["combined"] = np.vstack([regions["CSF"], regions["WM"]])
    cosines = cosine_basis(image.shape[-1], t_r, non_steady)
    variance = _filtered(brain, cosines, non_steady).var(axis=1)
    most = np.argsort(-variance, kind="stable")[: int(MOST_VARIABLE * len(brain))]
    variable = brain[np.sort(most)]
    means = {
        "global_signal": _mean(brain),
        "csf": _mean(regions["CSF"]),
        "white_matter": _mean(regions["WM"]),
    }
    extra = {"csf_wm": _mean(regions["combined"]), "tcompcor": _mean(variable)}
    components, metadata = _all_components(regions | {"": variable}, cosines, non_steady)
    change, standardized = dvars(brain)
    quality = {
        "std_dvars": standardized,
        "dvars": change,
        "framewise_displacement": framewise_displacement(parameters),
        "rmsd": relative_rms(parameters),
    }
    # A missing value compares as False, so the first volume is never an outlier.
    bad = (quality["framewise_displacement"] > OUTLIER_FD) | (standardized > OUTLIER_DVARS)
    columns = (
        _four_forms(means)
        | extra
        | quality
        | components
        | _numbered("cosine", cosines.T)
        | _numbered("non_steady_state_outlier", np.eye(len(parameters))[:non_steady])
        | _four_forms(dict(zip(AXES, parameters.T, strict=True)))
        | _numbered("motion_outlier", np.eye(len(bad))[bad])
    )
    averages: Metadata = {name: {"Method": "Mean"} for name in means | extra}
    return columns, averages | metadata


def cosine_basis(volumes: int, t_r: float, non_steady: int = 0) -> NDArray[np.float64]:
    """The discrete cosines slower than 128 s, without the constant: (T, C), orthonormal.

    They leave out the first `non_steady` volumes, and are 0 there.
    """
    length = volumes - non_steady
    order = np.arange(1, int(2 * length * t_r / CUTOFF) + 1)
    time = (np.arange(length)[:, None] + 0.5) / length
    basis = np.zeros((volumes, len(order)))
    basis[non_steady:] = np.sqrt(2 / length) * np.cos(np.pi * time * order)
    return basis


def dvars(voxels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much the image changes from volume to volume, as nipype's ``ComputeDVARS`` has it.

    Parameters
    ----------
    voxels : (V, T) array
        Intensities in the brain; scaled to a median of 1000 first.

    Returns
    -------
    change : (T,) array
        Root mean square difference to the volume before; NaN in the first.
    standardized : (T,) array
        The same in units of what first-order autoregressive noise of the same robust standard
        deviation would give (Nichols 2017, https://arxiv.org/abs/1704.01469).
    """
    scaled = voxels * (1000 / np.median(voxels))
    change = np.sqrt((backward_difference(scaled.T) ** 2).mean(axis=1))
    quartiles = np.percentile(scaled, [25, 75], axis=1, method="lower")
    centred = scaled - scaled.mean(axis=1, keepdims=True)
    autocorrelation = (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / (centred**2).sum(axis=1)
    expected = np.sqrt(2 * (1 - autocorrelation)) * (quartiles[1] - quartiles[0]) / 1.349
    return change, change / expected.mean()


def _mean(voxels: NDArray[np.float64]) -> NDArray[np.float64]:
    # Rounded before anything is derived from it, so that the columns of the file agree.
    return np.asarray(voxels.mean(axis=0)).round(6)


def _four_forms(columns: Mapping[str, NDArray[np.float64]]) -> Columns:
    """Columns with their differences and the squares of both, as fMRIPrep orders them."""
    forms: Columns = {}
    for name, column in columns.items():
        derivative = backward_difference(column)
        forms |= {
            name: column,
            f"{name}_derivative1": derivative,
            f"{name}_derivative1_power2": derivative**2,
            f"{name}_power2": column**2,
        }
    return forms


def _numbered(name: str, rows: NDArray[np.float64]) -> Columns:
    return {f"{name}{index:02d}": row for index, row in enumerate(rows)}


def _filtered(
    voxels: NDArray[np.float64], cosines: NDArray[np.float64], skipped: int
) -> NDArray[np.float64]:
    steady, slow = voxels[:, skipped:], cosines[skipped:]
    centred = steady - steady.mean(axis=1, keepdims=True)
    return np.asarray(centred - (centred @ slow) @ slow.T)


def _all_components(
    regions: Mapping[str, NDArray[np.float64]], cosines: NDArray[np.float64], skipped: int
) -> tuple[Columns, Metadata]:
    columns: Columns = {}
    metadata: Metadata = {}
    for letter, mask in (("t", ""), ("c", "CSF"), ("w", "WM"), ("a", "combined")):
        courses, values = _components(_filtered(regions[mask], cosines, skipped))
        named = _numbered(f"{letter}_comp_cor_", np.pad(courses, ((0, 0), (skipped, 0))))
        columns |= named
        method = {"Method": "tCompCor"} if letter == "t" else {"Mask": mask, "Method": "aCompCor"}
        share = values**2 / (values**2).sum()
        for index, name in enumerate(named):
            metadata[name] = method | {
                "CumulativeVarianceExplained": round(float(share[: index + 1].sum()), 8),
                "Retained": True,
                "SingularValue": round(float(values[index]), 6),
                "VarianceExplained": round(float(share[index]), 8),
            }
    return columns, metadata


def _components(
    voxels: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    standardized = voxels / voxels.std(axis=1, keepdims=True)
    # The covariance in time is small; its eigenvectors are the wanted left singular vectors.
    squares, courses = np.linalg.eigh(standardized.T @ standardized)
    leading = courses[:, ::-1][:, :COMPONENTS].T
    # The sign of an eigenvector is arbitrary and differs between libraries.
    signs = np.sign(leading[np.arange(COMPONENTS), np.abs(leading).argmax(axis=1)])
    return (leading * signs[:, None]).round(6), np.sqrt(np.maximum(squares[::-1], 0))
