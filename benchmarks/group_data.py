"""Outputs of the participant level for many participants, from those of one that was really run.

The demo's first participant goes through the participant level; what that wrote is written again
under other names. Matrices are new for everyone, of the same networks with noise, and lack a few
nodes in one of ten; tables of spheres have other coverages, sidecars another head motion. Where
series are asked for, those of everyone are noise of ten minutes, and all have the negative controls
of the one; else series are links, as designs and images are: their names are listed, and they are
not read.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

STRATEGIES = ("simple", "36P", "scrubbing")
MEASURES = ("pearson", "spearman", "partial", "ledoit-wolf")
_MODEL = "sub-01"
_LABEL = "sub-{:05d}"
_SPREAD = 0.2
"""Standard deviation of Fisher's z over participants."""
_CHUNK = 50
_SERIES = "_timeseries.tsv"
_MINUTES = 10


@dataclass(frozen=True)
class _Source:
    """What one participant's outputs hold."""

    folder: Path
    files: tuple[str, ...]
    spheres: pd.DataFrame
    z: dict[str, Any]
    new_series: bool


def outputs(
    *, folder: str, participants: int, strategies: int, measures: int = 1, series: bool = False
) -> str:
    """Folder of outputs of the participant level, made unless it is there.

    Parameters
    ----------
    folder : str
        Where there is room: 0.95 MB per participant, strategy and measure; with series as much
        again for each strategy.
    participants, strategies, measures : int
    series : bool
        With series of their own, and negative controls.
    """
    name = f"group-{participants}-{strategies}-{measures}"
    root = Path(folder) / (f"{name}-series" if series else name)
    if not root.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            options = ("--strategy", *STRATEGIES[:strategies])
            options += ("--connectivity", *MEASURES[:measures])
            made = _processed(Path(own), (*options, "--controls") if series else options)
            labels = [_LABEL.format(i) for i in range(1, participants + 1)]
            for label in labels:
                (made / label / "func").mkdir(parents=True)
            source = _source(made / _MODEL / "func", new_series=series)
            chunks = [labels[i : i + _CHUNK] for i in range(0, len(labels), _CHUNK)]
            Parallel(-1)(delayed(_add)(source, made, chunk) for chunk in chunks)
            _write_participants(made / "participants.tsv", labels)
            _remove_model(made)
            made.rename(root)
    return str(root)


def _processed(folder: Path, options: tuple[str, ...]) -> Path:
    """Outputs of the demo's participants."""
    from bids_spheres.app.main import main as call  # noqa: PLC0415 - also loads pybids
    from bids_spheres.demo import write_demo_dataset  # noqa: PLC0415

    dataset, out = folder / "fmriprep", folder / "out"
    write_demo_dataset(dataset)
    words = (dataset, out, "participant", "--participant-label", "01", "--atlas", "Power2011")
    if call([*map(str, words), "--report-level", "none", "--quiet", *options]):
        raise SystemExit("The simulated dataset could not be processed.")
    return out


def _source(folder: Path, *, new_series: bool) -> _Source:
    names = sorted(path.name for path in folder.iterdir())
    tables = {name: _read(folder / name) for name in names if name.endswith("_relmat.tsv")}
    matrices = {name: table.drop(columns="Node").to_numpy() for name, table in tables.items()}
    z = {name: np.arctanh(np.clip(np.nan_to_num(m), -0.99, 0.99)) for name, m in matrices.items()}
    (spheres,) = (name for name in names if name.endswith("_dseg.tsv"))
    return _Source(folder, tuple(names), _read(folder / spheres), z, new_series)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)


def _add(source: _Source, root: Path, labels: list[str]) -> None:
    for label in labels:
        rng = np.random.default_rng(int(label.removeprefix("sub-")))
        lacking = rng.choice(264, 3) if rng.random() < 0.1 else []
        motion = rng.gamma(3, 0.05)
        for name in source.files:
            target = root / label / "func" / name.replace(_MODEL, label)
            if name in source.z:
                _write_matrix(target, source, source.z[name], lacking, rng)
            elif name.endswith("_dseg.tsv"):
                _write_spheres(target, source.spheres, lacking, rng)
            elif source.new_series and name.endswith(_SERIES):
                _write_series(target, source, rng)
            elif name.endswith(".json"):
                _write_sidecar(source.folder / name, target, label, motion)
            else:
                os.link(source.folder / name, target)


def _write_matrix(path: Path, source: _Source, z: Any, lacking: Any, rng: Any) -> None:
    from bids_spheres.files.atomic import write_numbers  # noqa: PLC0415

    noise = np.triu(_SPREAD * rng.standard_normal(z.shape), 1)
    values = np.tanh(z + noise + noise.T)
    np.fill_diagonal(values, 1)
    values[lacking] = np.nan
    values[:, lacking] = np.nan
    names = source.spheres["name"].tolist()
    write_numbers(path, names, values, ("Node", names))


def _write_series(path: Path, source: _Source, rng: Any) -> None:
    from bids_spheres.files.atomic import write_numbers  # noqa: PLC0415

    sidecar = json.loads(
        (source.folder / path.name.replace(path.name.split("_")[0], _MODEL))
        .with_suffix(".json")
        .read_text(encoding="utf-8")
    )
    n_volumes = round(_MINUTES * 60 / sidecar["RepetitionTime"])
    names = source.spheres["name"].tolist()
    write_numbers(path, names, rng.standard_normal((n_volumes, len(names))))


def _write_spheres(path: Path, spheres: pd.DataFrame, lacking: Any, rng: Any) -> None:
    from bids_spheres.files.atomic import write_table  # noqa: PLC0415

    coverage = np.round(rng.uniform(0.5, 1, len(spheres)), 10)
    coverage[lacking] = 0.25
    tsnr = 50 + 10 * rng.standard_normal(len(spheres))
    used = (coverage >= 0.5).astype(int)
    write_table(path, spheres.assign(coverage=coverage, used=used, tsnr=tsnr))


def _write_sidecar(source: Path, path: Path, label: str, motion: float) -> None:
    content = json.loads(source.read_text(encoding="utf-8").replace(_MODEL, label))
    if "MeanFramewiseDisplacement" in content:
        content["MeanFramewiseDisplacement"] = motion
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_participants(path: Path, labels: list[str]) -> None:
    rng = np.random.default_rng(0)
    ages = rng.integers(18, 80, len(labels))
    sexes = rng.choice(["F", "M"], len(labels))
    table = pd.DataFrame({"participant_id": labels, "age": ages, "sex": sexes})
    table.to_csv(path, sep="\t", index=False)


def _remove_model(root: Path) -> None:
    for path in (root / _MODEL / "func").iterdir():
        path.unlink()
    (root / _MODEL / "func").rmdir()
    (root / _MODEL).rmdir()
