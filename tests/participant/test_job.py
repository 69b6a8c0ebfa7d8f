"""The main job on a real scan, against nilearn and against the tables' own arithmetic."""

from __future__ import annotations

import errno
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy
from nilearn.maskers import NiftiSpheresMasker
from nilearn.signal import clean as nilearn_clean

from bids_spheres.app.main import main
from bids_spheres.engine.stream import open_gzip
from bids_spheres.errors import DataError, OutputError
from bids_spheres.execute import Lost
from bids_spheres.participant import job
from bids_spheres.participant.job import FailedStrategy, JobReport, Outcome, attempt

STEM = "sub-03_task-functionallocalizer_run-{run}"
IMAGE = STEM + "_space-MNI152NLin2009cAsym"
OUTSIDE, EMPTY = 21, 10


@pytest.fixture(scope="module")
def output(real_scan, tmp_path_factory):
    """Output of the main job with two strategies on the real scan."""
    folder = tmp_path_factory.mktemp("real") / "out"
    call = [real_scan, folder, "participant", "--atlas", "Power2011", "--strategy", "simple", "24P"]
    call += ["--report-level", "none"]
    assert main([str(word) for word in call]) == 0
    return folder


@pytest.fixture(scope="module")
def func(output):
    return output / "sub-03" / "func"


def table(func, name, run=1, stem=IMAGE):
    return pd.read_csv(func / (stem.format(run=run) + name), sep="\t")


def sidecar(func, name, run=1, stem=IMAGE):
    return json.loads((func / (stem.format(run=run) + name)).read_text())


@pytest.fixture(scope="module")
def raw(real_scan, func):
    """Sphere means of run 1 by nilearn, for the spheres that have a voxel, in double precision."""
    spheres = table(func, "_atlas-Power2011_desc-spheres_dseg.tsv")
    there = spheres[spheres["voxels_used"] > 0]
    source = real_scan / "sub-03" / "func"
    stem = str(source / IMAGE.format(run=1))
    bold = nib.load(stem + "_desc-preproc_bold.nii.gz")
    bold = nib.Nifti1Image(bold.get_fdata(), bold.affine)
    masker = NiftiSpheresMasker(
        there[["x", "y", "z"]].to_numpy().tolist(),
        radius=5,
        mask_img=stem + "_desc-brain_mask.nii.gz",
        allow_overlap=True,
        standardize=None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.DataFrame(masker.fit_transform(bold), columns=there["name"].tolist())


def test_every_file_of_the_design_is_there(func):
    files = {path.name for path in func.iterdir()}
    expected = set()
    for run in (1, 2):
        spheres = IMAGE.format(run=run) + "_atlas-Power2011_desc-spheres_dseg"
        expected |= {spheres + extension for extension in (".nii.gz", ".tsv", ".json")}
        before = IMAGE.format(run=run) + "_atlas-Power2011_stat-mean_desc-raw_timeseries"
        expected |= {before + extension for extension in (".tsv.gz", ".json")}
        for strategy in ("simple", "24P"):
            seeds = IMAGE.format(run=run) + "_atlas-Power2011"
            for name in (
                f"{seeds}_stat-mean_desc-{strategy}_timeseries",
                f"{seeds}_stat-pearsoncorrelation_desc-{strategy}_relmat",
                f"{STEM.format(run=run)}_desc-{strategy}_design",
                f"{STEM.format(run=run)}_desc-{strategy}_outliers",
            ):
                expected |= {name + ".tsv", name + ".json"}
    assert files == expected


def test_dataset_level_files(output, real_scan):
    names = {path.name for path in output.iterdir()}
    assert {"README.md", ".bidsignore", "descriptions.tsv", "logs"} < names
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    link = urlsplit(description["DatasetLinks"]["preprocessed"])
    assert (output / unquote(link.path)).resolve() == real_scan
    (settings,) = (output / "logs").glob("*_settings.json")
    assert json.loads(settings.read_text())["strategy"] == ["simple", "24P"]


@pytest.mark.parametrize("run", [1, 2])
def test_coverage_is_reported(func, run):
    spheres = table(func, "_atlas-Power2011_desc-spheres_dseg.tsv", run)
    assert len(spheres) == 264
    assert (spheres["seed_in_mask"] == 0).sum() == OUTSIDE
    assert (spheres["voxels_used"] == 0).sum() == EMPTY
    np.testing.assert_allclose(
        spheres["coverage"], spheres["voxels_used"] / spheres["voxels_asked"], rtol=1e-9
    )
    facts = sidecar(func, "_atlas-Power2011_desc-spheres_dseg.json", run)
    assert (facts["SeedsOutsideMask"], facts["SpheresWithoutVoxels"]) == (OUTSIDE, EMPTY)
    series = table(func, "_atlas-Power2011_stat-mean_desc-simple_timeseries.tsv", run)
    empty = spheres.loc[spheres["voxels_used"] == 0, "name"]
    assert series[empty].isna().all(axis=None)


def test_the_image_shows_the_spheres(func):
    spheres = table(func, "_atlas-Power2011_desc-spheres_dseg.tsv")
    img = nib.load(func / (IMAGE.format(run=1) + "_atlas-Power2011_desc-spheres_dseg.nii.gz"))
    labels = np.asarray(img.dataobj)
    voxels = np.bincount(labels.ravel(), minlength=265)[1:]
    alone = spheres["overlap"] == 0
    np.testing.assert_array_equal(voxels[alone], spheres["voxels_used"][alone])
    centres = spheres.loc[spheres["seed_in_mask"] == 1, ["x", "y", "z"]].to_numpy()
    ijk = np.rint(nib.affines.apply_affine(np.linalg.inv(img.affine), centres)).astype(int)
    assert (labels[tuple(ijk.T)] > 0).all()


@pytest.mark.parametrize("strategy", ["simple", "24P"])
def test_cleaned_series_are_those_of_nilearn(func, raw, real_scan, strategy):
    series = table(func, f"_atlas-Power2011_stat-mean_desc-{strategy}_timeseries.tsv")
    image = real_scan / "sub-03" / "func" / (IMAGE.format(run=1) + "_desc-preproc_bold.nii.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        confounds, kept = load_confounds_strategy(str(image), denoise_strategy="simple")
        if strategy == "24P":
            confounds = confounds.filter(regex="^(trans|rot)_|^cosine")
        expected = nilearn_clean(
            raw.to_numpy(),
            detrend=True,
            standardize="zscore_sample",
            confounds=confounds,
            sample_mask=kept,
        )
    spheres = table(func, "_atlas-Power2011_desc-spheres_dseg.tsv").set_index("name")
    there = spheres.loc[raw.columns, "used"] == 1
    assert there.sum() > 220
    ours = series[raw.columns].to_numpy()
    np.testing.assert_allclose(ours[:, there], expected[:, there], rtol=1e-6, atol=1e-6)
    assert np.isnan(ours[:, ~there]).all()


def test_matrices_are_correlations_of_the_series(func):
    series = table(func, "_atlas-Power2011_stat-mean_desc-24P_timeseries.tsv")
    matrix = table(func, "_atlas-Power2011_stat-pearsoncorrelation_desc-24P_relmat.tsv")
    assert matrix.columns[0] == "Node"
    assert matrix["Node"].tolist() == list(matrix.columns[1:]) == list(series.columns)
    np.testing.assert_allclose(
        matrix.drop(columns="Node").to_numpy(), series.corr().to_numpy(), rtol=1e-6, atol=1e-7
    )


def test_known_physiology_survives(real_scan, tmp_path):
    """Left and right motor cortex correlate 0.74 in run 1, as the data's description says."""
    seeds = tmp_path / "motor.csv"
    seeds.write_text("x,y,z\n-38,-22,56\n38,-22,56\n")
    call = [real_scan, tmp_path / "out", "participant", "--seeds", seeds, "--radius", 8]
    assert main([str(word) for word in [*call, "--strategy", "none", "--run", 1]]) == 0
    (path,) = tmp_path.rglob("*_relmat.tsv")
    matrix = pd.read_csv(path, sep="\t")
    assert matrix["seed_2"][0] == pytest.approx(0.74, abs=0.01)


def test_sidecars_say_what_was_done(func, real_scan):
    facts = sidecar(func, "_atlas-Power2011_stat-mean_desc-simple_timeseries.json")
    design = table(func, "_desc-simple_design.tsv", stem=STEM)
    assert facts["NuisanceParameters"] == list(design.columns)
    assert facts["RepetitionTime"] == 2.2
    assert facts["SamplingFrequency"] == pytest.approx(1 / 2.2)
    assert facts["NumberOfVolumes"] == len(design) == 52
    trend = np.column_stack([np.ones(52), np.arange(52), design.to_numpy()])
    rank = np.linalg.matrix_rank(trend / np.linalg.norm(trend, axis=0))
    assert facts["DegreesOfFreedom"] == 52 - rank
    for uri in facts["Sources"]:
        assert (real_scan / uri.removeprefix("bids:preprocessed:")).is_file()
    relation = sidecar(func, "_atlas-Power2011_stat-pearsoncorrelation_desc-simple_relmat.json")
    (nodes,) = relation["NodeFiles"]
    assert (func.parents[1] / nodes.removeprefix("bids::")).is_file()
    assert (relation["Weighted"], relation["Directed"]) == (True, False)


def test_a_run_without_degrees_of_freedom_is_missing_data(func):
    facts = sidecar(func, "_atlas-Power2011_stat-mean_desc-simple_timeseries.json", run=2)
    assert facts["DegreesOfFreedom"] == 0
    series = table(func, "_atlas-Power2011_stat-mean_desc-simple_timeseries.tsv", run=2)
    assert series.isna().all(axis=None)
    assert len(series) == 30


@pytest.mark.slow
def test_images_are_read_once_whatever_is_asked(real_scan, tmp_path, monkeypatch):
    opened = []

    def spy(path):
        opened.append(path.name)
        return open_gzip(path)

    monkeypatch.setattr("bids_spheres.engine.stream.open_gzip", spy)
    call = [real_scan, tmp_path / "out", "participant", "--atlas", "Power2011", "Dosenbach2010"]
    assert main([str(word) for word in [*call, "--strategy", "24P", "none"]]) == 0
    assert sorted(opened) == sorted(
        IMAGE.format(run=run) + f"_desc-{kind}.nii.gz"
        for run in (1, 2)
        for kind in ("preproc_bold", "brain_mask")
    )


@dataclass
class FakeTask:
    """A task whose beginning may fail."""

    error: Exception | None = None
    root: Path = Path("out")
    finished: list = field(default_factory=list)

    def __str__(self):
        return "sub-01 task-x"

    @property
    def job(self):
        return SimpleNamespace(work=SimpleNamespace(output_dir=self.root))

    def begin(self):
        if self.error:
            raise self.error

    def finish(self, excluded, unwritten):
        self.finished.append((excluded, unwritten))
        return ("a.tsv",)


def caused(number):
    error = OutputError("It can't be written.")
    error.__cause__ = OSError(number, "why")
    return error


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "full"), True),
        (OSError(errno.EROFS, "read only"), True),
        (OSError(errno.EACCES, "not allowed"), False),
        (caused(errno.ENOSPC), True),
        (caused(errno.ENOENT), False),
        (DataError("Damaged.", hint="Get another."), False),
    ],
)
def test_errors_that_all_runs_would_meet_are_fatal(error, fatal):
    task = FakeTask(error)
    end = attempt(task)
    assert (end.job, end.fatal) == ("sub-01 task-x", fatal)
    assert end.error
    assert type(error).__name__ in end.trace
    assert "numpy" in end.versions
    assert (end.written, end.failed_strategies, task.finished) == ((), (), [])


def test_a_run_of_which_some_strategies_failed(monkeypatch):
    failed = (FailedStrategy("a", "no column", "trace 1"), FailedStrategy("b", "no image", "2"))
    report = JobReport(("note",), ("warning",), ("c",), failed, frozenset({Path("x")}))
    monkeypatch.setattr(job, "run_job", lambda _: report)
    task = FakeTask()
    end = attempt(task)
    assert end.error == "a: no column\nb: no image"
    assert end.trace == "trace 1\n2"
    assert (end.failed_strategies, end.fatal, end.written) == (("a", "b"), False, ("a.tsv",))
    assert task.finished == [(("c",), frozenset({Path("x")}))]
    assert "numpy" in end.versions
    assert (end.report.notes, end.report.warnings) == (("note",), ("warning",))


def test_a_run_that_went_well(monkeypatch):
    monkeypatch.setattr(job, "run_job", lambda _: JobReport())
    end = attempt(FakeTask())
    assert (end.error, end.trace, end.versions, end.written) == (None, "", {}, ("a.tsv",))


def test_files_that_a_worker_wrote_must_be_seen_here(monkeypatch, tmp_path):
    monkeypatch.setattr(job, "_VISIBLE", 0.0)
    task = FakeTask(root=tmp_path)
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "a.tsv").touch()
    seen = Outcome("sub-01", written=("sub-01/a.tsv",))
    assert Outcome.of(task, seen) is seen
    for missing in ("sub-01/b.tsv", "sub-02/b.tsv"):
        end = Outcome.of(task, Outcome("sub-01", written=("sub-01/a.tsv", missing)))
        assert "says that it wrote b.tsv, which is missing here" in end.error
        assert end.job == "sub-01 task-x"
    nothing = Outcome("sub-01", error="no")
    assert Outcome.of(task, nothing) is nothing
    lost = Outcome.of(task, Lost("It died.", hint="Try again."))
    assert "It died." in lost.error
    assert lost.job == "sub-01 task-x"
