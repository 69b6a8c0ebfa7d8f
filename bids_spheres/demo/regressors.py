"""The confounds table, computed from the image and the realignment parameters as fMRIPrep does.

Names, formulas and order of the columns follow
https://fmriprep.org/en/24.1.1/outputs.html#confounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.demo import motion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bids_spheres.demo.head import Head
    from bids_spheres.demo.motion import Floats

CUTOFF = 128.0  # s, of the cosines
COMPONENTS = 5
MOST_VARIABLE = 0.02  # share of the brain's voxels that tCompCor looks at
OUTLIER_FD, OUTLIER_DVARS = 0.5, 1.5  # fMRIPrep's --fd-spike-threshold and --dvars-spike-threshold

Columns = dict[str, "Floats"]
Metadata = dict[str, dict[str, object]]


def confounds_of(
    image: Floats, parameters: Floats, head: Head, t_r: float, non_steady: int
) -> tuple[Columns, Metadata]:
    """Columns of an image, (I, J, K, T), and of realignment parameters, (T, 6) in mm and rad.

    With the sidecar of those that are not self-explaining. The first `non_steady` volumes are not
    in the steady state. Missing values are NaN.
    """
    brain = image[head.brain]
    regions = {"CSF": image[head.csf], "WM": image[head.white_matter]}
    regions["combined"] = np.vstack([regions["CSF"], regions["WM"]])
    cosines = cosine_basis(image.shape[-1], t_r, non_steady)
    variance = _filtered(brain, cosines, non_steady).var(axis=1)
    most = np.argsort(-variance, kind="stable")[: int(MOST_VARIABLE * len(brain))]
    variable = brain[np.sort(most)]
    means = {"global_signal": brain, "csf": regions["CSF"], "white_matter": regions["WM"]}
    means = {name: _mean(voxels) for name, voxels in means.items()}
    extra = {"csf_wm": _mean(regions["combined"]), "tcompcor": _mean(variable)}
    components, metadata = _components(regions | {"": variable}, cosines, non_steady)
    change, standardized = dvars(brain)
    quality = {
        "std_dvars": standardized,
        "dvars": change,
        "framewise_displacement": motion.framewise_displacement(parameters),
        "rmsd": motion.relative_rms(parameters),
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
        | _four_forms(dict(zip(motion.AXES, parameters.T, strict=True)))
        | _numbered("motion_outlier", np.eye(len(bad))[bad])
    )
    averages: Metadata = {name: {"Method": "Mean"} for name in means | extra}
    return columns, averages | metadata


def cosine_basis(volumes: int, t_r: float, non_steady: int = 0) -> Floats:
    """Cosines slower than 128 s but the constant: (T, C), orthonormal, 0 in non-steady volumes."""
    length = volumes - non_steady
    order = np.arange(1, int(2 * length * t_r / CUTOFF) + 1)
    time = (np.arange(length)[:, None] + 0.5) / length
    basis = np.zeros((volumes, len(order)))
    basis[non_steady:] = np.sqrt(2 / length) * np.cos(np.pi * time * order)
    return basis


def dvars(voxels: Floats) -> tuple[Floats, Floats]:
    """Change of an image, (V, T), from volume to volume, as nipype's ``ComputeDVARS`` has it.

    Root mean square difference, (T,), to the volume before, after scaling to a median of 1000; NaN
    in the first. Then the same in units of what first-order autoregressive noise of the same robust
    standard deviation would give (Nichols 2017, https://arxiv.org/abs/1704.01469).
    """
    scaled = voxels * (1000 / np.median(voxels))
    change = np.sqrt((motion.backward_difference(scaled.T) ** 2).mean(axis=1))
    quartiles = np.percentile(scaled, [25, 75], axis=1, method="lower")
    centred = scaled - scaled.mean(axis=1, keepdims=True)
    autocorrelation = (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / (centred**2).sum(axis=1)
    expected = np.sqrt(2 * (1 - autocorrelation)) * (quartiles[1] - quartiles[0]) / 1.349
    return change, change / expected.mean()


def _mean(voxels: Floats) -> Floats:
    # Rounded before anything is derived from it, so that the columns of the file agree.
    return np.asarray(voxels.mean(axis=0)).round(6)


def _four_forms(columns: Mapping[str, Floats]) -> Columns:
    """Columns with their differences and the squares of both, as fMRIPrep orders them."""
    forms: Columns = {}
    for name, column in columns.items():
        derivative = motion.backward_difference(column)
        forms |= {
            name: column,
            f"{name}_derivative1": derivative,
            f"{name}_derivative1_power2": derivative**2,
            f"{name}_power2": column**2,
        }
    return forms


def _numbered(name: str, rows: Floats) -> Columns:
    return {f"{name}{index:02d}": row for index, row in enumerate(rows)}


def _filtered(voxels: Floats, cosines: Floats, skipped: int) -> Floats:
    steady, slow = voxels[:, skipped:], cosines[skipped:]
    centred = steady - steady.mean(axis=1, keepdims=True)
    return np.asarray(centred - (centred @ slow) @ slow.T)


def _components(
    regions: Mapping[str, Floats], cosines: Floats, skipped: int
) -> tuple[Columns, Metadata]:
    columns: Columns = {}
    metadata: Metadata = {}
    for letter, mask in (("t", ""), ("c", "CSF"), ("w", "WM"), ("a", "combined")):
        voxels = _filtered(regions[mask], cosines, skipped)
        voxels /= voxels.std(axis=1, keepdims=True)
        # The covariance in time is small; its eigenvectors are the wanted left singular vectors.
        squares, courses = np.linalg.eigh(voxels.T @ voxels)
        leading = courses[:, ::-1][:, :COMPONENTS].T
        # The sign of an eigenvector is arbitrary and differs between libraries.
        signs = np.sign(leading[np.arange(COMPONENTS), np.abs(leading).argmax(axis=1)])
        padded = np.pad((leading * signs[:, None]).round(6), ((0, 0), (skipped, 0)))
        named = _numbered(f"{letter}_comp_cor_", padded)
        values = np.sqrt(np.maximum(squares[::-1], 0))
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
