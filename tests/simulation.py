"""Simulated BOLD of which everything is known, with real confounds tables.

The mean of a sphere is signal + nuisance + artefact. Signals are white in time and have a known
correlation. Nuisance is a linear combination of the 36 regressors of a real table. An artefact
comes in single volumes, is smooth in space, and is no function of the regressors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist, squareform

from bids_spheres import demo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

T_R = 2.0
SPACE = "MNI152NLin2009cAsym"
SHAPE, VOXEL = (20, 24, 20), 6.0
AFFINE = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
AFFINE[:3, 3] = -VOXEL * np.array(SHAPE) / 2
INSIDE = (slice(1, -1),) * 3
BASELINE = 1000.0
VOXEL_NOISE = 5.0  # signals have variance 1
SMOOTHNESS = 36.0  # mm, at which artefacts correlate 1 / e
N_NETWORKS = 8
RING = np.array([0.5, 0.15, 0.0, 0.0, -0.15])  # within a network, neighbours, ..., opposite

TRANSLATIONS = ["trans_x", "trans_y", "trans_z"]
ROTATIONS = ["rot_x", "rot_y", "rot_z"]
BASES = [*TRANSLATIONS, *ROTATIONS, "csf", "white_matter", "global_signal"]
FD = "framewise_displacement"
HEAD_RADIUS = 50.0  # mm, Power et al. 2012
THIRTY_SIX = {"motion": "full", "wm_csf": "full", "global_signal": "full"}


# Confounds tables


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values=["n/a"])


def expanded(base: pd.DataFrame) -> pd.DataFrame:
    """36 columns as fMRIPrep names and defines them, and framewise displacement."""
    base = base[BASES]
    change = base.diff()
    forms = {
        "": base,
        "_derivative1": change,
        "_power2": base**2,
        "_derivative1_power2": change**2,
    }
    table = pd.concat([form.add_suffix(suffix) for suffix, form in forms.items()], axis=1)
    table[FD] = framewise_displacement(base)
    return table


def framewise_displacement(motion: pd.DataFrame) -> pd.Series:
    """That of the simulated dataset, which its own tests compare with the formula; mm."""
    parameters = motion[[*TRANSLATIONS, *ROTATIONS]].to_numpy()
    return pd.Series(demo.motion.framewise_displacement(parameters), index=motion.index)


def wandered(table: pd.DataFrame, start: int, n_volumes: int) -> pd.DataFrame:
    """A stretch of a real course that is walked forth and back, as long as is needed.

    No step is larger than those of the real one.
    """
    course = table[BASES].to_numpy()
    longer = np.pad(course, ((0, start + n_volumes), (0, 0)), mode="reflect")
    return pd.DataFrame(longer[start : start + n_volumes], columns=BASES)


def jerked(base: pd.DataFrame, at: Sequence[int], size: float, rng: Any) -> pd.DataFrame:
    """Abrupt movements of `size` mm along random axes, each back after two volumes."""
    moved = base.copy()
    for volume in at:
        axis = rng.choice([*TRANSLATIONS, *ROTATIONS])
        step = size if axis in TRANSLATIONS else size / HEAD_RADIUS
        moved.loc[volume : volume + 1, axis] += rng.choice([-1, 1]) * step
    return moved


def regressors(table: pd.DataFrame) -> FloatArray:
    """(T, 36) standardized; the first volume has no derivative, and takes that of the second."""
    columns = table[list(expanded(table).columns.drop(FD))].bfill(limit=1).to_numpy()
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


# Spheres and their signals


@dataclass(frozen=True, eq=False)
class Spheres:
    """Spheres that share no voxel, and the network of each."""

    points: FloatArray
    radius: float
    networks: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def voxels(self) -> list[tuple[NDArray[np.intp], ...]]:
        """Indices of each sphere's voxels, those whose centre is within the radius."""
        centres = nib.affines.apply_affine(AFFINE, np.moveaxis(np.indices(SHAPE), 0, -1))
        distance = np.linalg.norm(centres[..., None, :] - self.points, axis=-1)
        return [np.nonzero(distance[..., s] <= self.radius + 1e-6) for s in range(len(self))]

    @cached_property
    def distances(self) -> FloatArray:
        """Of every pair, mm, in the order of `pairs`."""
        return pdist(self.points)

    @cached_property
    def correlation(self) -> FloatArray:
        """(S, S) in the population; it depends on how far two networks are apart on a ring."""
        apart = np.abs(self.networks[:, None] - self.networks)
        matrix = RING[np.minimum(apart, N_NETWORKS - apart)]
        np.fill_diagonal(matrix, 1)
        return matrix

    def signals(self, n_volumes: int, rng: Any) -> FloatArray:
        """(T, S) Gaussian, white in time, of variance 1."""
        mixing = np.linalg.cholesky(self.correlation)
        return rng.standard_normal((n_volumes, len(self))) @ mixing.T

    def nuisance(self, table: pd.DataFrame, size: float, rng: Any) -> FloatArray:
        """(T, S) combinations of the regressors, of standard deviation `size`.

        Weights are random, and alike in neighbours, as those of motion are.
        """
        alike = np.exp(-((squareform(self.distances) / SMOOTHNESS) ** 2))
        weights = np.linalg.cholesky(alike) @ rng.standard_normal((len(self), 36))
        mixed = regressors(table) @ weights.T
        return size * mixed / mixed.std(axis=0)

    def write(self, path: Path) -> Path:
        rows = [f"s{i}\t{x:g}\t{y:g}\t{z:g}" for i, (x, y, z) in enumerate(self.points)]
        lines = [f"{row}\t{self.radius:g}" for row in rows]
        path.write_text("\n".join(["name\tx\ty\tz\tradius", *lines]) + "\n")
        return path


def draw_spheres(number: int, radius: float, rng: Any) -> Spheres:
    """Spheres at random places of a lattice so wide that no two overlap."""
    step = int(2 * radius // VOXEL) + 1
    places = np.stack(
        np.meshgrid(*(np.arange(2, n - 2, step) for n in SHAPE), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    chosen = places[rng.choice(len(places), number, replace=False)]
    points = nib.affines.apply_affine(AFFINE, chosen)
    return Spheres(points, radius, np.arange(number) % N_NETWORKS)


def pairs(matrix: FloatArray) -> FloatArray:
    """Upper triangle, row by row."""
    return matrix[np.triu_indices(len(matrix), 1)]


# Images


def bold(spheres: Spheres, series: FloatArray, rng: Any) -> NDArray[np.float32]:
    """Image in which the mean of each sphere is the baseline plus its series.

    Single voxels are far noisier; their noise cancels over the sphere, and over nothing else.
    """
    data = np.zeros((*SHAPE, len(series)), np.float32)
    data[INSIDE] = BASELINE
    for voxels, course in zip(spheres.voxels, series.T, strict=True):
        noise = VOXEL_NOISE * rng.standard_normal((len(voxels[0]), len(course)))
        data[voxels] = BASELINE + course + noise - noise.mean(axis=0)
    return data


def smooth_artefact(strength: FloatArray, rng: Any) -> NDArray[np.float32]:
    """Image of a field per volume that neighbours share, of the standard deviation given.

    White noise smoothed with a Gaussian correlates exp(-(distance / (2 sigma))^2).
    """
    artefact = np.zeros((*SHAPE, len(strength)), np.float32)
    for volume in np.flatnonzero(strength):
        field = gaussian_filter(rng.standard_normal(SHAPE), SMOOTHNESS / 2 / VOXEL)
        artefact[..., volume] = strength[volume] * field / field.std()
    return artefact


# Files


def write_dataset(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps(demo.dataset.DESCRIPTION))
    return root


def write_run(
    root: Path, label: str, data: NDArray[np.float32], table: pd.DataFrame, task: str = "rest"
) -> None:
    """Write image, mask and confounds of one run of a participant."""
    func = root / f"sub-{label}" / "func"
    func.mkdir(parents=True, exist_ok=True)
    stem = func / f"sub-{label}_task-{task}"
    img = demo.dataset.image_in_mni(data, AFFINE, T_R)
    img.to_filename(f"{stem}_space-{SPACE}_desc-preproc_bold.nii.gz")
    sidecar = stem.with_name(f"{stem.name}_space-{SPACE}_desc-preproc_bold.json")
    sidecar.write_text(json.dumps({"RepetitionTime": T_R, "TaskName": task}))
    mask = np.zeros(SHAPE, np.uint8)
    mask[INSIDE] = 1
    nib.Nifti1Image(mask, AFFINE).to_filename(f"{stem}_space-{SPACE}_desc-brain_mask.nii.gz")
    table.to_csv(f"{stem}_desc-confounds_timeseries.tsv", sep="\t", na_rep="n/a", index=False)


def write_strategy(folder: Path, name: str, **content: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "description": "A test.", **content}))
    return path


@dataclass(frozen=True)
class Output:
    """What the command line wrote."""

    root: Path

    def path(self, label: str, name: str) -> Path:
        """The one file of a participant whose name ends so."""
        (path,) = (self.root / f"sub-{label}" / "func").glob(f"*_{name}")
        return path

    def series(self, label: str, strategy: str) -> FloatArray:
        return read_table(self.path(label, f"stat-mean_desc-{strategy}_timeseries.tsv")).to_numpy()

    def facts(self, label: str, strategy: str) -> dict[str, Any]:
        path = self.path(label, f"stat-mean_desc-{strategy}_timeseries.json")
        return json.loads(path.read_text())

    def design(self, label: str, strategy: str) -> pd.DataFrame:
        return read_table(self.path(label, f"desc-{strategy}_design.tsv"))

    def censored(self, label: str, strategy: str) -> pd.Series:
        return read_table(self.path(label, f"desc-{strategy}_outliers.tsv"))["censored"]

    def edges(self, label: str, strategy: str) -> FloatArray:
        """Correlation of every pair of spheres."""
        name = f"stat-pearsoncorrelation_desc-{strategy}_relmat.tsv"
        return pairs(read_table(self.path(label, name)).drop(columns="Node").to_numpy())
