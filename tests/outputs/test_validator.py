"""Outputs against the BIDS validator, offline: by the released schema and by a stricter one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bids_spheres.app.main import main
from bids_spheres.outputs.sidecars import BIDSIGNORE
from tests.conftest import MNI, TinyDataset
from tests.strict_schema import not_ignored, write_strict_schema

pytestmark = pytest.mark.slow

MEASURES = ("pearson", "fisher-z", "partial", "covariance", "precision", "ledoit-wolf", "spearman")


@dataclass(frozen=True)
class Validator:
    """The validator's program, and where its schema is, if not in the program."""

    program: Path
    schema: str | None = None

    def issues(self, dataset, severity):
        """Codes, keys and files of what the validator says."""
        schema = [] if self.schema is None else ["--schema", self.schema]
        call = [self.program, dataset, "--format", "json", *schema]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        issues = json.loads(done.stdout)["issues"]["issues"]
        return [
            (issue["code"], issue.get("subCode"), issue.get("location"))
            for issue in issues
            if issue["severity"] == severity
        ]

    def errors(self, dataset):
        return self.issues(dataset, "error")


@pytest.fixture(scope="module")
def validator():
    found = shutil.which("bids-validator-deno", path=sysconfig.get_path("scripts"))
    assert found, "the extra 'test' installs bids-validator-deno"
    return Validator(Path(found))


@pytest.fixture(scope="module")
def strict(validator, tmp_path_factory):
    """The validator with rules for what the released schema does not know."""
    folder = tmp_path_factory.mktemp("schema")
    return Validator(validator.program, write_strict_schema(folder / "schema.json"))


def unhidden(dataset, folder):
    """A copy of a dataset in which time series and matrices are not ignored."""
    copy = folder / "unhidden"
    shutil.copytree(dataset, copy)
    (copy / ".bidsignore").write_text(not_ignored())
    return copy


# Datasets


@dataclass(frozen=True)
class Image:
    """A run, the entities that tell its image apart, and what its JSON file says besides."""

    stem: str
    space: str
    facts: dict[str, object] = field(default_factory=dict)
    n_volumes: int = 60


IMAGES = (
    Image("sub-01_ses-A_task-rest_acq-x_ce-y_rec-z_dir-AP_run-1", MNI),
    Image("sub-01_ses-A_task-rest_run-02_echo-1", MNI, {"EchoTime": 0.013}),
    Image("sub-01_ses-B_task-rest_run-1_part-mag", MNI),
    Image("sub-02_task-rest", MNI, n_volumes=32),
    Image("sub-03_task-rest", "MNIPediatricAsym_cohort-2"),
    Image("sub-04_task-rest", "T1w"),
    Image("sub-05_task-rest", "func"),
)
"""Entities that images of fMRIPrep may have; sub-02 is too short for most strategies."""

SPACES = (MNI, "MNIPediatricAsym+2", "T1w", "func")


def add(dataset, image):
    """Write a run under the names that fMRIPrep would give."""
    bold = dataset.add_run(image.stem, image.space, image.n_volumes)
    sidecar = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **image.facts}))
    for path in bold.parent.glob(f"{image.stem}_*"):
        name = path.name.replace("_space-func", "")
        if "_desc-confounds" in name:
            name = name.replace("_echo-1", "").replace("_part-mag", "")
        path.rename(path.with_name(name))


def write_seeds(folder, label, space):
    path = folder / f"{label}.tsv"
    path.write_text(
        "name\tx\ty\tz\tradius\tnetwork\nleft\t-10\t0\t0\t4\tmotor\nNA\t10\t0\t0\t5\tmotor\n"
        "a b\t0\t10\t4\t5\tn/a\nfar\t90\t0\t0\t5\tn/a\n"
    )
    path.with_suffix(".json").write_text(json.dumps({"Space": space}))
    return path


def write_strategy(folder):
    own = {
        "name": "own",
        "confounds": ["^trans_", "csf"],
        "filter": {"high_pass": 0.01, "low_pass": 0.1, "order": 2},
        "censor": {"fd_threshold": 0.04, "before": 1, "min_segment": 2},
    }
    (folder / "own.json").write_text(json.dumps(own))
    return folder / "own.json"


def call(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every kind of image, and every option that changes what files there are."""
    folder = tmp_path_factory.mktemp("everything")
    dataset, out = TinyDataset(folder / "fmriprep"), folder / "out"
    dataset.root.mkdir()
    description = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (dataset.root / "dataset_description.json").write_text(
        json.dumps({**description, "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1"}]})
    )
    for image in IMAGES:
        add(dataset, image)
    own = ("--strategy", write_strategy(folder))
    for space in SPACES:
        seeds = write_seeds(folder, f"a{space.replace('+', '')}", space)
        start = (dataset.root, out, "participant", "--seeds", seeds)
        call(*start, "--space", space.split("+")[0], *own, "--concatenate", "participant")
    start = (dataset.root, out, "participant", "--participant-label", "02", "--seeds")
    sets = [write_seeds(folder, label, MNI) for label in "bc"]
    kinds = ("--connectivity", *MEASURES, "--effective-dof", "--full-length")
    call(*start, *sets, "--strategy", "simple", "none", "scrubbing", *own[1:], *kinds)
    call(*start, *sets, "--aggregation", "median", "--radius", "4", "6.5", "--mask", "none")
    mask = next(dataset.root.glob("sub-02/func/*mask.nii.gz")).rename(folder / "mask.nii.gz")
    call(*start, *sets, "--aggregation", "eigenvariate", "--smoothing-fwhm", "5", "--mask", mask)
    kinds = ("--connectivity", "pearson", "covariance", "--strategy", *own[1:], "none")
    seeds = folder / f"a{MNI}.tsv"
    # Of several lengths, which seed their noise: without spread there is no test.
    for label, n_volumes in (("06", 60), ("07", 61), ("08", 62)):
        add(dataset, Image(f"sub-{label}_task-rest", MNI, n_volumes=n_volumes))
    (dataset.root / "participants.tsv").write_text(
        "participant_id\tage\nsub-06\t30\nsub-07\t41\nsub-08\t36\n"
    )
    labels = ("--participant-label", "06", "07", "08")
    call(dataset.root, out, "participant", "--seeds", seeds, *labels, *kinds)
    main([str(word) for word in (dataset.root, out, "group", "--model", "age")])
    return out


@pytest.fixture(scope="module")
def scan(real_scan, tmp_path_factory):
    """A real scan in its own and in MNI space, with published seeds."""
    out = tmp_path_factory.mktemp("scan") / "out"
    sets = ("--atlas", "Power2011", "Raichle2011")
    call(real_scan, out, "participant", *sets, "--strategy", "simple", "24P", "--effective-dof")
    call(real_scan, out, "participant", *sets, "--space", "T1w", "--radius", "6")
    return out


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    call("demo", folder)
    return folder / "bids-spheres"


@pytest.fixture(params=["demo", "scan", "everything"])
def dataset(request):
    return request.getfixturevalue(request.param)


# Tests


@pytest.mark.slow
def test_outputs_are_valid(validator, dataset):
    assert validator.errors(dataset) == []


@pytest.mark.slow
def test_outputs_are_valid_by_stricter_rules(strict, dataset, tmp_path):
    assert strict.errors(unhidden(dataset, tmp_path)) == []


def test_everything_is_in_everything(everything):
    """Or the other tests would pass for want of files."""
    names = [path.name for path in everything.rglob("*.tsv")]
    for part in (
        *("_echo-1_", "_part-mag_", "_ce-y_", "_dir-AP_", "_space-T1w_", "_scale-6p5mm_"),
        *("_space-MNIPediatricAsym+2_", "sub-05_task-rest_seg-afunc_", "_ses-B_"),
        *("_stat-median_", "_stat-eigenvariate_", "_stat-effectivedof_", "_stat-precision_"),
        *("sub-01_task-rest_part-mag_space-", "exclusions.tsv", "runs.tsv", "strategies.tsv"),
        *("_model.tsv", "_mean.tsv", "_q.tsv", "_networks.tsv", "_coverage.tsv", "_edges.tsv"),
    ):
        assert any(part in name for name in names), part
    assert "_cohort-" not in "".join(names)


BREAKS = {
    "a matrix without nodes": ("_relmat.json", "NodeFiles", None, "SIDECAR_KEY_REQUIRED"),
    "a frequency that is text": (
        *("_timeseries.json", "SamplingFrequency", "0.5 Hz"),
        "JSON_SCHEMA_VALIDATION_ERROR",
    ),
    "no regressors told": ("_timeseries.json", "NuisanceParameters", None, "SIDECAR_KEY_REQUIRED"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "key", "value", "code"), BREAKS.values(), ids=BREAKS)
def test_the_stricter_rules_would_notice(strict, everything, tmp_path, ending, key, value, code):
    copy = unhidden(everything, tmp_path)
    path = next(copy.rglob(f"*{ending}"))
    facts = {**json.loads(path.read_text()), key: value}
    path.write_text(json.dumps({k: v for k, v in facts.items() if v is not None}))
    assert {(found, sub) for found, sub, _ in strict.errors(copy)} == {(code, key)}


def test_the_stricter_rules_know_names_and_columns(strict, everything, tmp_path):
    copy = unhidden(everything, tmp_path)
    path = next(copy.rglob("*_desc-own_relmat.tsv"))
    path.write_text(path.read_text().replace("Node\t", "Name\t", 1))
    for kind in (".tsv", ".json"):
        series = next(copy.rglob(f"*_stat-mean_desc-own_timeseries{kind}"))
        series.rename(series.with_name(series.name.replace("_stat-mean", "", 1)))
    codes = {code for code, _, _ in strict.errors(copy)}
    assert "MISSING_REQUIRED_ENTITY" in codes
    assert "TSV_COLUMN_MISSING" in codes


@pytest.mark.parametrize("hidden", ["*_timeseries.*", "*_relmat.*", "*_design.*", "*_outliers.*"])
def test_nothing_is_ignored_without_need(validator, demo, tmp_path, hidden):
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy)
    (copy / ".bidsignore").write_text("\n".join(line for line in BIDSIGNORE if line != hidden))
    errors = validator.errors(copy)
    assert {code for code, _, _ in errors} == {"NOT_INCLUDED"}
    assert all(Path(location).match(hidden) for _, _, location in errors)


def test_the_validator_would_notice(validator, tmp_path):
    (tmp_path / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "sub-01" / "func" / "sub-01_nonsense.tsv").write_text("a\n1\n")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    assert validator.errors(tmp_path)
