"""An output dataset of the participant level, written file by file with values that are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from bids_spheres import __version__
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPACE = "MNI152NLin2009cAsym"
PEARSON = "pearsoncorrelation"
GROUP = f"task-rest_space-{SPACE}_atlas-Tiny"
POINTS = np.array([[-40, 0, 0], [40, 0, 0], [0, 60, 10], [0, -60, 10], [-30, 20, 40]], float)
NETWORKS = ("default", "default", "visual", "visual", "n/a")

SETTINGS: dict[str, Any] = {
    "GeneratedBy": [{"Name": "bids_spheres", "Version": __version__}],
    "Seeds": "Tiny",
    "Radius": 5.0,
    "Mask": "run",
    "MinimumCoverage": 0.5,
    "Overlap": "allow",
    "Aggregation": "mean",
    "SmoothingFWHM": 0,
    "Strategy": "simple",
    "Description": "A test.",
    "NuisanceParameters": ["cosine00", "trans_x"],
    "SoftwareFilters": "n/a",
    "Detrend": True,
    "Standardize": "zscore_sample",
    "NumberOfVolumes": 120,
    "NumberOfVolumesKept": 110,
    "CensoringThresholds": {"fd_threshold": None},
    "DummyScans": None,
    "DegreesOfFreedom": 90,
    "MinimumDegreesOfFreedom": 1,
    "MeanFramewiseDisplacement": 0.1,
    "VolumesWithFramewiseDisplacement": 119,
    "Excluded": None,
    "RelationshipMeasure": "Pearson correlation",
    "ValidDiagonal": False,
}


@dataclass
class Outputs:
    """Outputs that tests can add runs to and break."""

    root: Path
    points: np.ndarray = field(default_factory=POINTS.copy)
    networks: Sequence[str] = NETWORKS
    space: str = SPACE

    @property
    def names(self) -> list[str]:
        return [f"s{i}" for i in range(len(self.points))]

    def add(
        self,
        participant: str,
        matrix: np.ndarray,
        *,
        source: str = "task-rest",
        strategy: str = "simple",
        stat: str = PEARSON,
        seeds: str = "atlas-Tiny",
        coverage: Sequence[float] | None = None,
        tsnr: float = 50.0,
        **facts: Any,
    ) -> Path:
        """Write the matrix of one run, its spheres, and both sidecars; return the matrix' path."""
        folder = self.root / f"sub-{participant}" / "func"
        if source.startswith("ses-"):
            folder = folder.parent / source.split("_", maxsplit=1)[0] / "func"
        folder.mkdir(parents=True, exist_ok=True)
        space = f"_space-{self.space}" if self.space else ""
        stem = f"sub-{participant}_{source}{space}_{seeds}"
        table = pd.DataFrame(matrix, columns=self.names)
        table.insert(0, "Node", self.names)
        path = folder / f"{stem}_stat-{stat}_desc-{strategy}_relmat.tsv"
        write_tsv(path, table)
        content = {**SETTINGS, "Strategy": strategy, **facts}
        path.with_suffix(".json").write_text(json.dumps(content))
        shares = np.ones(len(self.names)) if coverage is None else np.asarray(coverage)
        self._write_spheres(folder / f"{stem}_desc-spheres_dseg.tsv", shares, tsnr, content)
        return path

    def _write_spheres(self, path, coverage, tsnr, content):
        columns = {
            "index": range(1, len(self.names) + 1),
            "name": self.names,
            **dict(zip("xyz", self.points.T, strict=True)),
            "radius": 5,
            "network": self.networks,
            "voxels_asked": 81,
            "voxels_used": np.round(81 * coverage).astype(int),
            "coverage": coverage,
            "used": (coverage >= 0.5).astype(int),
            "seed_in_mask": (coverage > 0).astype(int),
            "overlap": 0,
            "tsnr": np.where(coverage > 0, tsnr, np.nan),
        }
        write_tsv(path, pd.DataFrame(columns))
        path.with_suffix(".json").write_text(json.dumps(content))

    def participants(self, **columns: Sequence[Any]) -> Path:
        path = self.root / "participants.tsv"
        write_tsv(path, pd.DataFrame(columns))
        return path

    def result(self, what: str, *, strategy: str = "simple", stat: str = PEARSON) -> pd.DataFrame:
        """A table of the group."""
        return read_tsv(self.path(f"stat-{stat}_desc-{strategy}_{what}.tsv"))

    def matrix(self, what: str, **labels: str) -> np.ndarray:
        table = self.result(what, **labels)
        assert list(table.columns) == ["Node", *self.names]
        assert table["Node"].tolist() == self.names
        return table.drop(columns="Node").to_numpy(float)

    def path(self, ending: str) -> Path:
        """A file of the group of the usual task, space and seeds."""
        return self.root / "group" / f"{GROUP}_{ending}"

    def about(self, what: str) -> dict[str, Any]:
        return json.loads(self.path(f"stat-{PEARSON}_desc-simple_{what}.json").read_text())


def write_tsv(path, table):
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.10g")


def read_tsv(path):
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)


def correlations(rng, n_nodes, n_volumes=100, shared=0.5):
    """A correlation matrix of series that have something in common, as it is written."""
    series = rng.standard_normal((n_volumes, n_nodes))
    series += shared * rng.standard_normal((n_volumes, 1))
    return np.round(np.corrcoef(series.T), 9)


def without(matrix, *nodes):
    """A matrix that lacks some of its nodes."""
    lacking = matrix.copy()
    lacking[list(nodes)] = np.nan
    lacking[:, list(nodes)] = np.nan
    return lacking


def upper(matrix):
    return np.asarray(matrix)[np.triu_indices(len(matrix), 1)]


def new_outputs(root):
    """An output dataset without runs."""
    about = {
        "Name": "x",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bids_spheres", "Version": "0.2.0"}],
    }
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps(about))
    return Outputs(root)


@pytest.fixture
def outputs(tmp_path):
    return new_outputs(tmp_path / "out")


@pytest.fixture
def rng():
    return np.random.default_rng(20180501)


S = len(POINTS)
E = S * (S - 1) // 2
LABELS = [f"{i:02d}" for i in range(1, 10)]


def group(outputs, **options):
    return run_group(outputs.root, GroupOptions(**options))


@pytest.fixture
def filled(outputs, rng):
    """Nine participants, of whom some lack a node, and their edges as Fisher z (9, E)."""
    matrices = [correlations(rng, S) for _ in LABELS]
    for i, node in ((2, 0), (5, 0), (5, 3)):
        matrices[i] = without(matrices[i], node)
    for label, matrix in zip(LABELS, matrices, strict=True):
        outputs.add(label, matrix, MeanFramewiseDisplacement=0.01 * int(label) ** 2)
    return outputs, np.arctanh([upper(matrix) for matrix in matrices])
