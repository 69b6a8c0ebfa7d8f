"""Tasks as brainlife.io makes them: staged data sets beside the task's folder, and config.json."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_spheres.integrations.brainlife.command import main

SAMPLE = Path(main.__code__.co_filename).with_name("config.json.sample")
STAGED = "5fe1c0a1d89d0108f05d5ed0"
FILES = {"bold": "bold.nii.gz", "regressors": "regressors.tsv", "mask": "mask.nii.gz"}
MNI = "MNI152NLin2009cAsym"


@dataclass
class TaskFolder:
    """A task's folder, and how to change its config.json."""

    root: Path
    config: dict = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "5fe1c0a1d89d0108f05d5ee1"

    def stage(self, source: Path, key: str, number: int = 0) -> str:
        """Copy a file under the name that it has on the platform; its path from the task."""
        subdir = f"{key}{number}"
        target = self.root / STAGED / subdir / FILES[key]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        beside = source.with_name(source.name.split(".")[0] + ".json")
        if beside.is_file() and key != "mask":
            shutil.copy(beside, target.with_name(target.name.split(".")[0] + ".json"))
        return f"../{STAGED}/{subdir}/{FILES[key]}"

    def stage_run(self, bold: Path) -> None:
        """One run of fMRIPrep's output as three inputs."""
        stem = bold.name.removesuffix("_desc-preproc_bold.nii.gz")
        run = stem.partition("_space-")[0]
        self.config["bold"] = self.stage(bold, "bold")
        self.config["mask"] = self.stage(bold.with_name(f"{stem}_desc-brain_mask.nii.gz"), "mask")
        table = bold.with_name(f"{run}_desc-confounds_timeseries.tsv")
        self.config["regressors"] = self.stage(table, "regressors")

    def stage_runs(self, bolds: list[Path], *, order: tuple[int, ...]) -> None:
        """Several runs as inputs that take several data sets; tables in another order."""
        inputs = {key: self.input_of(key) for key in FILES}
        several: dict[str, list] = {key: [] for key in FILES}
        known: list[dict] = []
        single = TaskFolder(self.root)
        for number, bold in enumerate(bolds):
            single.stage_run(bold)
            for key, name in FILES.items():
                subdir = self.root / STAGED / f"{key}{number + 1}"
                shutil.copytree(self.root / STAGED / f"{key}0", subdir)
                several[key].append(f"../{STAGED}/{subdir.name}/{name}")
                meta = {"subject": "03", "task": "rest", "run": f"0{number + 1}"}
                known.append(inputs[key] | {"meta": meta})
        several["regressors"] = [several["regressors"][i] for i in order]
        tables = [each for each in known if each["id"] == "regressors"]
        others = [each for each in known if each["id"] != "regressors"]
        self.config |= several
        self.config["_inputs"] = [*others, *(tables[i] for i in order)]

    def input_of(self, key: str) -> dict:
        """What the platform says of an input."""
        return next(each for each in self.config["_inputs"] if key in each["keys"])

    def write(self, **changes: object) -> None:
        """Write config.json, with changes to what it was."""
        self.config |= changes
        self.folder.mkdir(exist_ok=True)
        text = json.dumps(self.config, indent=4)
        (self.folder / "config.json").write_text(text, encoding="utf-8")

    def json(self, name: str) -> object:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def messages(self, kind: str) -> list[str]:
        """Messages of a type that the platform would show."""
        return [item["msg"] for item in self.json("product.json")["brainlife"] if _is(item, kind)]

    def outputs(self) -> dict[Path, tuple[int, bytes]]:
        """Everything that the platform keeps, with its time."""
        names = ("timeseries", "conmat", "report", "fmriprep")
        paths = [path for name in names for path in (self.folder / name).rglob("*")]
        files = [path for path in [*paths, self.folder / "product.json"] if path.is_file()]
        return {path: (path.lstat().st_mtime_ns, path.read_bytes()) for path in files}


def _is(item: dict, kind: str) -> bool:
    return item["type"] == kind


@pytest.fixture
def task(tmp_path) -> TaskFolder:
    """A task with the sample's config.json, and no data yet."""
    root = tmp_path / "workflow"
    root.mkdir()
    return TaskFolder(root, json.loads(SAMPLE.read_text(encoding="utf-8")))


@pytest.fixture
def tiny_task(task, tiny, seeds_file) -> TaskFolder:
    """A task of one small run with seeds of the user's own."""
    task.stage_run(tiny.add_run())
    shutil.copy(seeds_file, task.root / "mine.tsv")
    del task.config["atlas"]
    task.write(seeds="../mine.tsv", radius=6, strategy="24P")
    return task


@pytest.fixture
def run_task(monkeypatch, capsys):
    """Do a task in this process; its status and what it wrote to standard error."""

    def call(task: TaskFolder) -> tuple[int, str]:
        monkeypatch.chdir(task.folder)
        status = main([])
        return status, capsys.readouterr().err

    return call


def series(task) -> pd.DataFrame:
    return pd.read_csv(task.folder / "timeseries" / "timeseries.tsv.gz", sep="\t")


def matrix(task, name: str = "correlation") -> np.ndarray:
    """As apps of the platform read it."""
    return np.loadtxt(task.folder / "conmat" / "csv" / f"{name}.csv", delimiter=",")


def real_run(real_scan, run: int) -> Path:
    stem = f"sub-03_task-functionallocalizer_run-{run}_space-{MNI}_desc-preproc_bold.nii.gz"
    return real_scan / "sub-03" / "func" / stem
