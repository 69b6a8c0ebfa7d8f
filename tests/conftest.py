"""Fixtures that all tests share: where data are, a small dataset, the command line."""

from __future__ import annotations

import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from bids_spheres.app.main import main
from bids_spheres.demo import DemoTruth, write_demo_dataset

PROJECT = Path(__file__).resolve().parents[1]
AFFINE = np.array([[4.0, 0, 0, -22], [0, 4, 0, -22], [0, 0, 4, -18], [0, 0, 0, 1]])
SHAPE = (12, 12, 10)
MNI = "MNI152NLin2009cAsym"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the shared test data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("BIDS_SPHERES_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set BIDS_SPHERES_TEST_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def real_scan(test_data: Path) -> Path:
    """The real scan in fMRIPrep's layout."""
    return test_data / "fmriprep-mini"


@dataclass(frozen=True)
class TinyDataset:
    """A small fMRIPrep-like dataset that tests can add runs to and break."""

    root: Path

    def add_run(
        self, stem: str = "sub-01_task-rest", space: str = MNI, n_volumes: int = 40
    ) -> Path:
        """Write image, mask and confounds of one run; return the path of the image."""
        func = self.root / stem.split("_", maxsplit=1)[0] / "func"
        if "_ses-" in stem:
            func = self.root / stem.split("_", maxsplit=1)[0] / stem.split("_")[1] / "func"
        func.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(stem) + n_volumes)
        data = (1000 + 20 * rng.standard_normal((*SHAPE, n_volumes))).astype(np.float32)
        img = nib.Nifti1Image(data, AFFINE)
        img.header.set_zooms((4, 4, 4, 2))
        img.header.set_xyzt_units("mm", "sec")
        bold = func / f"{stem}_space-{space}_desc-preproc_bold.nii.gz"
        img.to_filename(bold)
        mask = np.zeros(SHAPE, np.uint8)
        mask[1:-1, 1:-1, 1:-1] = 1
        nib.Nifti1Image(mask, AFFINE).to_filename(
            func / f"{stem}_space-{space}_desc-brain_mask.nii.gz"
        )
        bold.with_name(f"{stem}_space-{space}_desc-preproc_bold.json").write_text(
            json.dumps({"RepetitionTime": 2.0, "TaskName": "rest"})
        )
        write_confounds(func / f"{stem}_desc-confounds_timeseries.tsv", n_volumes)
        return bold


def write_confounds(path: Path, n_volumes: int) -> None:
    """Write a table with fMRIPrep's columns for the basic strategies."""
    rng = np.random.default_rng(n_volumes)
    columns: dict[str, np.ndarray] = {}
    bases = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    for base in [*bases, "csf", "white_matter", "global_signal"]:
        value = rng.standard_normal(n_volumes).cumsum() / 50
        change = np.diff(value, prepend=np.nan)
        forms = {"": value, "_derivative1": change, "_power2": value**2}
        forms["_derivative1_power2"] = change**2
        columns |= {base + form: series for form, series in forms.items()}
    columns["framewise_displacement"] = np.abs(np.diff(columns["trans_x"], prepend=np.nan))
    columns["rmsd"] = columns["framewise_displacement"] / 2
    columns["std_dvars"] = np.abs(np.diff(columns["csf"], prepend=np.nan)) + 1
    columns["cosine00"] = np.cos(np.pi * (np.arange(n_volumes) + 0.5) / n_volumes)
    rows = zip(*columns.values(), strict=True)
    lines = ["\t".join("n/a" if np.isnan(x) else f"{x:.8g}" for x in row) for row in rows]
    path.write_text("\n".join(["\t".join(columns), *lines]) + "\n")


@pytest.fixture(scope="session")
def make_dataset():
    """Make a dataset of fMRIPrep with no run yet."""

    def make(root: Path) -> TinyDataset:
        root.mkdir()
        content = {
            "Name": "fMRIPrep",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1"}],
        }
        (root / "dataset_description.json").write_text(json.dumps(content))
        return TinyDataset(root)

    return make


@pytest.fixture(scope="session")
def simulated_dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoTruth]:
    """The input of ``bids-spheres demo``, for reading alone, and what is true in it."""
    root = tmp_path_factory.mktemp("simulated") / "fmriprep"
    return root, write_demo_dataset(root)


@pytest.fixture
def tiny(tmp_path: Path, make_dataset) -> TinyDataset:
    """A dataset with no run yet."""
    return make_dataset(tmp_path / "fmriprep")


SEEDS = "name\tx\ty\tz\nleft\t-10\t0\t0\nright\t10\t0\t0\nfront\t0\t10\t4\nfar\t90\t0\t0\n"


@pytest.fixture
def seeds_file(tmp_path: Path) -> Path:
    """Three seeds inside the tiny dataset's mask and one far outside."""
    path = tmp_path / "mine.tsv"
    path.write_text(SEEDS)
    return path


@pytest.fixture(scope="session")
def call_once():
    """Call the participant level without pages, for outputs that tests share or copy."""

    def call(*arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        assert main([*words, "--quiet", "--report-level", "none"]) == 0

    return call


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """What tests write need not survive a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _as_much_is_logged_as_at_first():
    """How much earlier calls in this process said does not hold for this test."""
    logging.getLogger("bids_spheres").setLevel(logging.NOTSET)


def pytest_configure() -> None:
    # A shell lets what it puts into the background ignore interrupts; children inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let ``-m "not slow"`` leave out long tests as well: it takes the place of "not long".

    Files with slow tests come first, so that no process is left alone with one at the end.
    """
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


# How fast examples are drawn and checked depends on what else the machine does.
settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded")


@dataclass(frozen=True)
class Finished:
    """How a call of the command line ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def run_as_typed(capsys: pytest.CaptureFixture[str]):
    """Call the command line in this process."""

    def call(*arguments: object) -> Finished:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return call


@pytest.fixture
def run_app(run_as_typed):
    """Call the command line in this process, without pages where none are asked for.

    To draw them takes longer than all the rest of a small dataset.
    """

    def call(*arguments: object) -> Finished:
        words = [str(argument) for argument in arguments]
        if not {"participant", "group"}.isdisjoint(words) and "--report-level" not in words:
            words += ["--report-level", "none"]
        return run_as_typed(*words)

    return call
