"""A simulated dataset, and outputs of both levels in which everything is that can be written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bids_spheres.app.main import main
from tests.group.conftest import correlations, new_outputs

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def demo_dataset(simulated_dataset) -> Path:
    """The input of ``bids-spheres demo``."""
    return simulated_dataset[0]


@pytest.fixture(scope="session")
def everything(demo_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of calls with all that adds files, columns or keys.

    Among them: an excluded run, censored volumes of every kind, a filter, seeds in another space,
    several runs together, maps, and the group with a model.
    """
    folder = tmp_path_factory.mktemp("everything")
    out = folder / "spheres"
    (folder / "mine.tsv").write_text(
        "name\tx\ty\tz\tnetwork\nleft\t-36\t-22\t52\tmotor\nright\t36\t-22\t52\tmotor\n"
        "pcc\t0\t-52\t26\tdefault\nmpfc\t0\t52\t4\tdefault\nfar\t190\t0\t0\tn/a\n"
    )
    (folder / "mine.json").write_text('{"Space": "Talairach"}')
    censor = {"fd_threshold": 0.3, "std_dvars_threshold": 1.2, "after": 1, "min_segment": 3}
    censor |= {"rmsd_threshold": 0.2}
    own = {"name": "own", "description": "Mine.", "confounds": ["csf"], "min_volumes": 70}
    own |= {"head_motion": {"filter": "lowpass:12", "head_radius": 60}}
    band = {"high_pass": 0.01, "low_pass": 0.1, "order": 2}
    (folder / "own.json").write_text(json.dumps({**own, "censor": censor, "filter": band}))
    outliers = folder / "outliers"
    outliers.mkdir()
    for path in demo_dataset.rglob("*_desc-confounds_timeseries.tsv"):
        stem = path.name.removesuffix("_desc-confounds_timeseries.tsv")
        rows = len(path.read_text().splitlines()) - 1
        flags = ["1" if row == rows - 1 else "0" for row in range(rows)]
        (outliers / f"{stem}_outliers.tsv").write_text("\n".join(["bad", *flags]) + "\n")
    words = [demo_dataset, out, "participant", "--quiet", "--report-level", "none"]
    equal = ["--equal-seconds", 120, "--equal-seconds-seed", 1]
    _call(*words, "--seeds", folder / "mine.tsv", "--strategy", "simple", folder / "own.json",
          *equal, "--dummy-scans", 3, "--outliers", outliers, "--seed-maps", "--effective-dof",
          "--despike", "--placement-jitter", "3:2", "--controls",
          "--connectivity", "pearson", "ledoit-wolf", "--concatenate", "participant")  # fmt: skip
    _call(*words, "--atlas", "Raichle2011", "--radius", 4, 6, "--strategy", "none",
          *equal, "--head-radius", 60)  # fmt: skip
    group = [demo_dataset, out, "group", "--quiet", "--report-level", "none"]
    people = "".join(f"{path.name}\ta\n" for path in demo_dataset.glob("sub-*"))
    (folder / "participants.tsv").write_text(f"participant_id\tsite\n{people}")
    _call(*group, "--model", "mean_fd", "--strategy", "simple", "none", "--seed-maps", "--controls",
          "--contrast", "fd=mean_fd", "F:both=Intercept,mean_fd", "--variance-groups", "site",
          "--participants-table", folder / "participants.tsv", "--permutations", 5,
          "--inference", "maxt", "nbs", "tfnbs", "cnbs", "cluster", "tfce",
          "--tfce-step", "auto", "--stability",
          "--multiverse", "--multiverse-edges", "left,right")  # fmt: skip
    _of_larger_groups(folder / "people", out / "people" / "group")
    return out


def _of_larger_groups(root: Path, kept: Path) -> None:
    """Keep what takes more people, sessions and sites than the simulated dataset has."""
    people, rng = new_outputs(root), np.random.default_rng(1)
    labels = [f"{i:02d}" for i in range(8)]
    for label in labels:
        for session in ("a", "b"):
            facts = {"SeedSpace": "Talairach", "DummyScans": 1, "Despike": True}
            facts |= {"HeadMotion": {}, "EqualSeconds": 120, "EqualSecondsSeed": 1}
            people.add(label, correlations(rng, 5), source=f"ses-{session}_task-rest", **facts)
    people.participants(participant_id=labels, site=list("aabbaabb"), age=rng.uniform(20, 60, 8))
    kept.mkdir(parents=True)
    words = [root / "none", root, "group", "--quiet", "--report-level", "none"]
    permuted = ("--inference", "nbs", "cnbs", "--permutations", 3)
    for options in (
        ("--within", "session", "--contrast", "change=a-b", *permuted),
        ("--weights", "precision"),
        ("--model", "age", "--contrast", "old=age", "--clusters", "site"),
        (
            "--model",
            "age",
            "--contrast",
            "age=age",
            "--harmonize",
            "site",
            "--harmonize-within",
            *permuted,
        ),
    ):
        _call(*words, *options)
        for what in ("contrast-*", "reliability.*", "networkreliability.*", "harmonization.*"):
            for path in (root / "group").glob(f"*_{what}"):
                (kept / path.name).write_bytes(path.read_bytes())


def _call(*words: object) -> None:
    assert main([str(word) for word in words]) == 0
