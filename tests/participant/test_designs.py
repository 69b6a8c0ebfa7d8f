"""Denoising from the command line: strategies, their images and tables, censoring, filters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix
from scipy import signal

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.app.planning import plan_jobs
from bids_spheres.confounds.degrees_of_freedom import Exclusion
from bids_spheres.confounds.design import Problem, make_design
from bids_spheres.confounds.strategy import Strategy, TemporalFilter
from bids_spheres.data.published import published_strategies
from bids_spheres.engine import stream
from bids_spheres.engine.despike import despike
from bids_spheres.errors import DataError, MissingInputError, OutputError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import Tables
from bids_spheres.outputs.shared import EXCLUSION_COLUMNS
from bids_spheres.participant.designs import (
    RunDesign,
    StrategyFailures,
    Timing,
    check_runs,
    failing,
    own_tables_of,
    run_designs,
    run_timing,
)
from bids_spheres.participant.job import run_job
from bids_spheres.settings.table import Processing

STEM = "sub-01_task-rest"
SERIES = "seg-mine_stat-mean_desc"


@pytest.fixture
def place(tiny, seeds_file, tmp_path, run_app):
    """Call the app on the tiny dataset and give status, messages and the folder of outputs."""

    def call(*arguments, label="01"):
        out = tmp_path / "out"
        finished = run_app(tiny.root, out, "participant", "--seeds", seeds_file, *arguments)
        return finished, out / f"sub-{label}" / "func"

    return call


def confounds_of(tiny, label="01"):
    return (
        tiny.root / f"sub-{label}" / "func" / f"sub-{label}_task-rest_desc-confounds_timeseries.tsv"
    )


def change_confounds(tiny, **columns):
    """Set columns of the tiny run's table."""
    path = confounds_of(tiny)
    table = pd.read_csv(path, sep="\t")
    for name, values in columns.items():
        table[name] = values
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def series_file(func, strategy, kind=".tsv", stat="stat-mean"):
    (path,) = func.glob(f"*_{stat}_desc-{strategy}_timeseries{kind}")
    return path


def read(path):
    return pd.read_csv(path, sep="\t")


def sidecar(func, strategy):
    return json.loads(series_file(func, strategy, ".json").read_text())


def other_image(tiny, desc, values=None):
    """A second image of the tiny run; the same, or other, values."""
    func = tiny.root / "sub-01" / "func"
    (bold,) = func.glob("*_desc-preproc_bold.nii.gz")
    path = bold.with_name(bold.name.replace("preproc", desc))
    if values is None:
        shutil.copy(bold, path)
    return path


def derivatives(folder, program):
    func = folder / "sub-01" / "func"
    func.mkdir(parents=True)
    content = {"Name": "x", "DatasetType": "derivative", "GeneratedBy": [{"Name": program}]}
    (folder / "dataset_description.json").write_text(json.dumps(content))
    return func


# What there is, and what it comes to


def test_strategies_are_listed_with_their_columns(run_app):
    told = run_app("strategies")
    assert told.status == 0
    blocks = dict(block.split("\n", 1) for block in told.out.strip().split("\n\n"))
    assert set(blocks) == set(published_strategies())
    assert "framewise displacement > 0.5 mm" in blocks["scrubbing"]
    assert "standardized DVARS > 1.5" in blocks["scrubbing"]
    assert "rot_z_derivative1_power2" in blocks["24P"]
    assert "columns:   none" in blocks["none"]
    assert "desc-smoothAROMAnonaggr or desc-nonaggrDenoised" in blocks["icaAROMA"]


def test_own_strategies_are_told_as_well(run_app, tmp_path):
    path = tmp_path / "own.json"
    band = {"high_pass": 0.01, "low_pass": 0.08, "order": 2}
    path.write_text(
        json.dumps({"name": "own", "confounds": ["csf"], "filter": band, "min_seconds": 240})
    )
    told = run_app("strategies", path).out
    assert "butterworth of order 2, 0.01 to 0.08 Hz passes" in told
    assert "at least:  240 s" in told
    assert run_app("strategies", "simpel").status == 2


def test_explain_reads_no_image_and_writes_nothing(place, tiny, tmp_path, monkeypatch):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest", n_volumes=60)

    def opened(path):
        raise AssertionError(path)

    monkeypatch.setattr(stream, "open_gzip", opened)
    told, _ = place("--strategy", "simple", "24P", "--explain")
    assert told.status == 0, told.err
    assert not (tmp_path / "out").exists()
    first, second = told.out.strip().split("\n\n")
    # simple: 24 motion parameters, csf, white matter, one cosine; mean and trend: 29 dimensions
    assert "columns: 27: cosine00 trans_x" in first
    assert "volumes: 40 of 40 kept" in first
    assert "degrees of freedom: 11 = 40 volumes kept - 29 rank removed" in first
    assert "degrees of freedom: 13 = 40 volumes kept - 27 rank" in first
    assert "degrees of freedom: 31 = 60 volumes kept - 29 rank" in second
    assert "_desc-preproc_bold.nii.gz" in first


def test_all_that_is_wrong_is_told_at_once_and_before_anything_is_written(place, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    path = tmp_path / "own.json"
    path.write_text(
        json.dumps({"name": "own", "confounds": ["trans_xx"], "global_signal": "basic"})
    )
    fast = tmp_path / "fast.json"
    fast.write_text(json.dumps({"name": "fast", "filter": {"low_pass": 0.4}}))
    table = read(confounds_of(tiny, "02")).drop(columns=["global_signal"])
    table.to_csv(confounds_of(tiny, "02"), sep="\t", index=False, na_rep="n/a")
    told, _ = place("--strategy", path, fast, "compcor", "aroma", "icaAROMA")
    assert told.status == 65
    for phrase in (
        "no column trans_xx",
        "trans_x",  # the nearest name
        "no column global_signal",
        "In 1 run: sub-02_task-rest",
        "asks for compcor",
        (
            "starts from a desc-smoothAROMAnonaggr or desc-nonaggrDenoised image, which is "
            "missing. In 2 runs: sub-01 task-rest space-MNI152NLin2009cAsym and sub-02 task-rest"
        ),
        "--derivatives aroma=PATH",
        "Nyquist frequency, 0.25 Hz",
    ):
        assert phrase in told.err, phrase
    assert not (tmp_path / "out").exists()


# Which image


def test_problems_of_a_run_and_of_a_strategy_in_it(tiny, seeds_file, tmp_path):
    for task in ("rest", "nback"):
        tiny.add_run(f"sub-01_task-{task}")
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    words = [*map(str, call), "--strategy", "none", "gsrOnly"]
    _, jobs, _ = plan_jobs(settings_of(main_parser().parse_args(words)))
    names = {job.run.name.get("task"): str(job) for job in jobs}
    whole = Problem("its table is broken", ("sub-01_task-rest",))
    own = Problem("a filter", (names["nback"],), "gsrOnly")
    of_rest = {(names["rest"], "none"), (names["rest"], "gsrOnly")}
    assert failing(jobs, [whole]) == of_rest
    assert failing(jobs, [own]) == {(names["nback"], "gsrOnly")}
    assert failing(jobs, [own, whole]) == {*of_rest, (names["nback"], "gsrOnly")}
    assert failing(jobs, []) == set()


def test_a_strategy_starts_from_its_own_image(place, tiny):
    bold = tiny.add_run()
    other = other_image(tiny, "smoothAROMAnonaggr")
    told, func = place("--strategy", "icaAROMA", "gsrOnly")
    assert told.status == 0, told.err
    for strategy, source in (("icaAROMA", other), ("gsrOnly", bold)):
        first = sidecar(func, strategy)["Sources"][0]
        assert first == f"bids:preprocessed:sub-01/func/{source.name}"
    (spheres,) = func.glob("*_desc-spheres_dseg.json")
    # Spheres are those of the first image alone.
    assert json.loads(spheres.read_text())["Sources"][0].endswith(f"/{other.name}")
    assert sidecar(func, "icaAROMA")["NuisanceParameters"] == ["cosine00", "csf", "white_matter"]


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "together"), [(None, 6), (8, 10)])
def test_an_image_that_was_smoothed_before(place, tiny, ours, together):
    """By fMRIPrep, 6 mm; widths of Gaussians add up as their squares do."""
    tiny.add_run(n_volumes=80)
    other = other_image(tiny, "smoothAROMAnonaggr")
    options = ["--smoothing-fwhm", ours] if ours else []
    told, func = place("--strategy", "icaAROMA", "gsrOnly", *options)
    assert told.status == 0, told.err
    facts = sidecar(func, "icaAROMA")
    assert facts["SmoothingFWHM"] == together
    assert "6 mm by FSL SUSAN" in facts["SmoothingBefore"]
    assert sidecar(func, "gsrOnly")["SmoothingFWHM"] == (ours or 0)
    assert sidecar(func, "gsrOnly")["SmoothingBefore"] is None
    warned = [line for line in told.err.splitlines() if "once more" in line]
    assert len(warned) == bool(ours)
    assert all(other.name in line and "10 mm together" in line for line in warned)


def test_fmripost_aromas_image_is_not_smoothed(place, tiny):
    tiny.add_run(n_volumes=80)
    other_image(tiny, "nonaggrDenoised")
    told, func = place("--strategy", "icaAROMA", "--smoothing-fwhm", "8")
    assert told.status == 0, told.err
    assert sidecar(func, "icaAROMA")["SmoothingFWHM"] == 8
    assert "once more" not in told.err


def test_aggressive_regression_is_called_so(place, tiny, tmp_path):
    """On fMRIPrep's own columns; in --explain, the sidecars, the methods text and messages."""
    tiny.add_run(n_volumes=80)
    change_confounds(tiny, aroma_motion_03=np.random.default_rng(0).standard_normal(80))
    explained, _ = place("--strategy", "aroma", "--explain")
    assert "note: Aggressive regression" in explained.out
    told, func = place("--strategy", "aroma")
    assert told.status == 0, told.err
    assert "Aggressive regression" in told.err
    facts = sidecar(func, "aroma")
    assert "aggressive regression" in facts["Description"]
    assert "Aggressive regression" in facts["StrategyNotes"][0]
    assert "aggressive regression" in (tmp_path / "out" / "logs" / "CITATION.md").read_text()


def test_images_of_fmripost_aroma(place, tiny, tmp_path):
    bold = tiny.add_run()
    func = derivatives(tmp_path / "post", "fMRIPost-AROMA")
    image = func / bold.name.replace("preproc", "nonaggrDenoised")
    shutil.copy(bold, image)
    told, out = place("--strategy", "icaAROMA", "--derivatives", f"aroma={tmp_path / 'post'}")
    assert told.status == 0, told.err
    assert sidecar(out, "icaAROMA")["Sources"][0] == f"bids:aroma:sub-01/func/{image.name}"
    links = json.loads((out.parents[1] / "dataset_description.json").read_text())["DatasetLinks"]
    assert links["aroma"] == "../post"
    same, _ = place("--strategy", "icaAROMA", "-d", tmp_path / "post")
    assert same.status == 0


def test_components_of_fmripost_aroma_are_regressed_out(place, tiny, tmp_path):
    tiny.add_run()
    func = derivatives(tmp_path / "post", "fMRIPost-AROMA")
    rng = np.random.default_rng(3)
    names = ["aroma_motion_01", "aroma_motion_04", "aroma_orth_motion_01", "aroma_orth_motion_04"]
    table = pd.DataFrame(rng.standard_normal((40, 4)), columns=names)
    table.to_csv(func / f"{STEM}_desc-aroma_timeseries.tsv", sep="\t", index=False)
    told, out = place("--strategy", "aroma", "-d", f"aroma={tmp_path / 'post'}")
    assert told.status == 0, told.err
    used = sidecar(out, "aroma")["NuisanceParameters"]
    assert used[1:] == ["csf", "white_matter", "aroma_orth_motion_01", "aroma_orth_motion_04"]
    left = read(series_file(out, "aroma"))[["left", "right", "front"]].to_numpy()
    removed = read(next(out.glob("*_desc-aroma_design.tsv"))).to_numpy()
    removed -= removed.mean(axis=0)
    assert np.abs(left.T @ removed / np.linalg.norm(removed, axis=0)).max() < 1e-8


def test_a_strategy_may_name_columns_of_another_program(tiny, seeds_file, tmp_path):
    tiny.add_run()
    func = derivatives(tmp_path / "post", "fMRIPost-AROMA")
    values = np.random.default_rng(3).standard_normal((40, 2))
    table = pd.DataFrame(values, columns=["aroma_motion_01", "aroma_motion_04"])
    table.to_csv(func / f"{STEM}_desc-aroma_timeseries.tsv", sep="\t", index=False)
    named = strategy_file(tmp_path, name="named", confounds=["aroma_motion_04"])
    words = ("--strategy", named, "-d", f"aroma={tmp_path / 'post'}")
    job = a_job(tiny, seeds_file, tmp_path, *words)
    assert check_runs([job]) == []
    (design,) = run_designs(job, job.images[0], StrategyFailures())
    assert design.design.columns == ("aroma_motion_04",)
    np.testing.assert_allclose(design.design.values[:, 0], values[:, 1], atol=1e-9)


def test_a_table_of_another_program_that_does_not_fit_concerns_who_asks_for_it(
    place, tiny, tmp_path
):
    tiny.add_run()
    func = derivatives(tmp_path / "post", "fMRIPost-AROMA")
    table = pd.DataFrame(
        np.random.default_rng(3).standard_normal((35, 1)), columns=["aroma_motion_01"]
    )
    table.to_csv(func / f"{STEM}_desc-aroma_timeseries.tsv", sep="\t", index=False)
    told, out = place("--strategy", "aroma", "gsrOnly", "-d", f"aroma={tmp_path / 'post'}")
    assert told.status == 1
    assert len(read(series_file(out, "gsrOnly"))) == 40
    assert not list(out.glob("*_desc-aroma_timeseries.tsv"))


def test_components_that_tedana_rejected(place, tiny, tmp_path):
    bold = tiny.add_run()
    func = derivatives(tmp_path / "me", "tedana")
    shutil.copy(bold, func / bold.name.replace("preproc", "optcom"))
    rng = np.random.default_rng(3)
    mixing = pd.DataFrame(rng.standard_normal((40, 3)), columns=["ICA_00", "ICA_01", "ICA_02"])
    mixing.to_csv(func / f"{STEM}_desc-ICA_mixing.tsv", sep="\t", index=False)
    kinds = pd.DataFrame(
        {"Component": mixing.columns, "classification": ["accepted", "rejected", "rejected"]}
    )
    kinds.to_csv(func / f"{STEM}_desc-tedana_metrics.tsv", sep="\t", index=False)
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "me", "tedana": "aggressive"}))
    told, out = place("--strategy", path, "-d", f"tedana={tmp_path / 'me'}")
    assert told.status == 0, told.err
    assert sidecar(out, "me")["NuisanceParameters"] == ["rejected_ICA_01", "rejected_ICA_02"]
    assert "_desc-optcom_bold" in sidecar(out, "me")["Sources"][0]


@pytest.fixture
def own(tmp_path):
    """Write a table of the user's own, in a dataset without description; return its values."""

    def write(dataset="physio", desc="retroicor", n_rows=40, names=("rvt", "hr")):
        func = tmp_path / dataset / "sub-01" / "func"
        func.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(dataset)).standard_normal((n_rows, len(names)))
        table = pd.DataFrame(values, columns=list(names))
        table.to_csv(func / f"{STEM}_desc-{desc}_timeseries.tsv", sep="\t", index=False)
        return table

    return write


def strategy_file(folder, **content):
    path = folder / f"{content['name']}.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["rvt", "physio.rvt", "^rv", r"^physio\.r"])
def test_columns_of_a_table_of_the_users_own(place, tiny, tmp_path, own, entry):
    tiny.add_run()
    table = own()
    mine = strategy_file(tmp_path, name="mine", motion="basic", confounds=[entry])
    finished, out = place("--strategy", mine, "none", "-d", f"physio={tmp_path / 'physio'}")
    assert finished.status == 0, finished.err
    design = read(next(out.glob("*_desc-mine_design.tsv")))
    np.testing.assert_allclose(design["physio.rvt"], table["rvt"], rtol=1e-6)
    facts = sidecar(out, "mine")
    assert facts["NuisanceParameters"][6:] == ["physio.rvt"]
    assert facts["RankRemoved"] == 7 + 1 + 1  # with mean and trend
    assert facts["DegreesOfFreedom"] == 40 - 9
    uri = f"bids:physio:sub-01/func/{STEM}_desc-retroicor_timeseries.tsv"
    assert uri in facts["Sources"]
    assert uri not in sidecar(out, "none")["Sources"]
    left = read(series_file(out, "mine"))[["left", "right", "front"]].to_numpy()
    assert np.abs(left.T @ (table["rvt"] - table["rvt"].mean())).max() < 1e-8
    again, _ = place("--strategy", mine, "none", "-d", f"physio={tmp_path / 'physio'}")
    assert "0 of 1 run to do" in again.err
    own("physio", names=("hr", "rvt"))
    changed, _ = place("--strategy", mine, "none", "-d", f"physio={tmp_path / 'physio'}")
    assert "1 of 1 run to do" in changed.err


@pytest.mark.slow
def test_a_column_of_two_tables_must_be_named_with_its_dataset(place, tiny, tmp_path, own):
    tiny.add_run()
    own("physio", names=("rvt", "csf"))
    own("other", "anything")
    folders = [f"{name}={tmp_path / name}" for name in ("physio", "other")]
    mine = strategy_file(tmp_path, name="mine", confounds=["rvt", "csf"])
    refused, _ = place("--strategy", mine, "24P", "-d", *folders)
    assert refused.status == 1
    assert "rvt in several tables (write physio.rvt or write other.rvt)" in refused.err
    assert (
        "csf in several tables (write physio.csf or rename the column of your own)" in refused.err
    )
    exact = strategy_file(tmp_path, name="exact", confounds=["other.rvt"], wm_csf="basic")
    finished, out = place("--strategy", exact, "-d", *folders)
    assert finished.status == 0, finished.err
    assert sidecar(out, "exact")["NuisanceParameters"] == ["csf", "white_matter", "other.rvt"]


@pytest.mark.slow
def test_a_column_of_two_tables_of_a_dataset_must_be_named_with_their_label(
    place, tiny, tmp_path, own
):
    tiny.add_run()
    first, second = own(desc="a", names=("rvt", "hr")), own(desc="b", names=("co2", "rvt"))
    folder = f"physio={tmp_path / 'physio'}"
    mine = [strategy_file(tmp_path, name=name, confounds=[name]) for name in ("hr", "co2")]
    finished, out = place("--strategy", *mine, "-d", folder)
    assert finished.status == 0, finished.err
    assert sidecar(out, "hr")["NuisanceParameters"] == ["physio.hr"]
    assert sidecar(out, "co2")["NuisanceParameters"] == ["physio.co2"]
    assert [uri for uri in sidecar(out, "hr")["Sources"] if "desc-b_" in uri] == []
    for number, entry in enumerate(("rvt", "physio.rvt")):
        both = strategy_file(tmp_path, name=f"both{number}", confounds=[entry])
        refused, _ = place("--strategy", both, "-d", folder)
        assert refused.status == 65  # nothing is left to do
        ways = "(write physio:a.rvt or write physio:b.rvt)"
        assert f"{entry} in several tables {ways}" in refused.err
    exact = strategy_file(tmp_path, name="exact", confounds=["physio:b.rvt", "^physio:a.r"])
    finished, out = place("--strategy", exact, "-d", folder)
    assert finished.status == 0, finished.err
    design = read(next(out.glob("*_desc-exact_design.tsv")))
    np.testing.assert_allclose(design["physio:a.rvt"], first["rvt"], rtol=1e-6)
    np.testing.assert_allclose(design["physio:b.rvt"], second["rvt"], rtol=1e-6)
    uris = [f"bids:physio:sub-01/func/{STEM}_desc-{desc}_timeseries.tsv" for desc in "ab"]
    assert sidecar(out, "exact")["Sources"][-2:] == uris


def test_a_table_of_the_users_own_concerns_those_who_name_its_columns(place, tiny, tmp_path, own):
    tiny.add_run()
    own(n_rows=39)
    mine = strategy_file(tmp_path, name="mine", confounds=["rvt"])
    plain = strategy_file(tmp_path, name="plain", confounds=["csf"])
    finished, out = place("--strategy", mine, plain, "-d", f"physio={tmp_path / 'physio'}")
    assert finished.status == 1
    assert "has 39 (physio.rvt, physio.hr, ...)" in finished.err
    assert sidecar(out, "plain")["NuisanceParameters"] == ["csf"]
    assert not list(out.glob("*_desc-mine_*"))


def test_a_table_that_is_called_confounds_is_one_of_the_users_own(place, tiny, tmp_path, own):
    tiny.add_run()
    own(desc="confounds")
    mine = strategy_file(tmp_path, name="mine", confounds=["rvt", "csf"])
    finished, out = place("--strategy", mine, "-d", f"physio={tmp_path / 'physio'}")
    assert finished.status == 0, finished.err
    assert sidecar(out, "mine")["NuisanceParameters"] == ["physio.rvt", "csf"]


@pytest.fixture
def events(tiny, tmp_path):
    """A raw dataset that fMRIPrep's output names, and the table of events in it."""
    raw = tmp_path / "raw"
    table = pd.DataFrame({"onset": [4, 31.5, 60], "duration": 3.0, "trial_type": ["a", "b", "a"]})

    def write(name="sub-01/func/sub-01_task-rest_events.tsv"):
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", index=False)
        return path

    description = tiny.root / "dataset_description.json"
    content = json.loads(description.read_text()) | {"DatasetLinks": {"raw": "../raw"}}
    description.write_text(json.dumps(content))
    return write, table


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sub-01/func/sub-01_task-rest_events.tsv", "task-rest_events.tsv"]
)
def test_responses_to_events_of_the_raw_dataset(place, tiny, tmp_path, events, name):
    bold = tiny.add_run()
    write, table = events
    write(name)
    sidecar_of_bold = next(bold.parent.glob("*_desc-preproc_bold.json"))
    sidecar_of_bold.write_text(json.dumps({"RepetitionTime": 2.0, "StartTime": 0.975}))
    mine = strategy_file(tmp_path, name="mine", task={"model": "hrf"}, confounds=["csf"])
    fir = strategy_file(tmp_path, name="fir", task={"model": "fir", "window": 6})
    finished, func = place("--strategy", mine, fir, "24P")
    assert finished.status == 0, finished.err
    expected = make_first_level_design_matrix(0.975 + 2 * np.arange(40), table, drift_model=None)
    design = read(next(func.glob("*_desc-mine_design.tsv")))
    assert list(design) == ["csf", "task.a", "task.b"]
    np.testing.assert_allclose(design["task.a"], expected["a"], atol=1e-6)
    facts = sidecar(func, "fir")
    assert facts["NuisanceParameters"] == [f"task.{x}_delay_{n}" for x in "ab" for n in range(3)]
    assert facts["RankRemoved"] == 6 + 2
    assert f"bids:raw:{name}" in facts["Sources"]
    assert not any("events" in uri for uri in sidecar(func, "24P")["Sources"])
    description = json.loads((func.parents[1] / "dataset_description.json").read_text())
    assert description["DatasetLinks"]["raw"] == "../raw"
    assert "0 of 1 run to do" in place("--strategy", mine, fir, "24P")[0].err
    sidecar_of_bold.write_text(json.dumps({"RepetitionTime": 2.0, "StartTime": 1.0}))
    assert "1 of 1 run to do" in place("--strategy", mine)[0].err


def test_a_run_without_events_fails_for_a_strategy_that_needs_them(place, tiny, tmp_path, events):
    tiny.add_run()
    write, _ = events
    write("sub-01/func/sub-01_task-rest_run-2_events.tsv")
    mine = strategy_file(tmp_path, name="mine", task={"model": "hrf"})
    finished, func = place("--strategy", mine, "none")
    assert finished.status == 1
    assert "No events.tsv belongs to the run." in finished.err
    assert series_file(func, "none").exists()
    other = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "raw", other)
    events_file = next(other.rglob("*_events.tsv"))
    events_file.rename(events_file.with_name("sub-01_task-rest_events.tsv"))
    finished, func = place("--strategy", mine, "-d", f"stimuli={other}")
    assert finished.status == 0, finished.err
    uri = "bids:stimuli:sub-01/func/sub-01_task-rest_events.tsv"
    assert uri in sidecar(func, "mine")["Sources"]


def test_names_and_columns_of_the_first_fmriprep(place, tiny):
    bold = tiny.add_run()
    func = bold.parent
    source = func / STEM
    bold.rename(f"{source}_bold_space-MNI152NLin2009cAsym_preproc.nii.gz")
    bold.with_name(bold.name.replace(".nii.gz", ".json")).unlink()
    mask = func / f"{STEM}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz"
    mask.rename(f"{source}_bold_space-MNI152NLin2009cAsym_brainmask.nii.gz")
    new = read(confounds_of(tiny))
    old = {"trans_x": "X", "trans_y": "Y", "trans_z": "Z", "rot_x": "RotX", "rot_y": "RotY"}
    old |= {"rot_z": "RotZ", "csf": "CSF", "white_matter": "WhiteMatter", "cosine00": "Cosine00"}
    table = new[list(old)].rename(columns=old)
    table.to_csv(f"{source}_bold_confounds.tsv", sep="\t", index=False, na_rep="n/a")
    confounds_of(tiny).unlink()
    told, out = place("--strategy", "24P")
    assert told.status == 0, told.err
    assert "were computed as later versions do" in told.err
    design = read(next(out.glob("*_desc-24P_design.tsv")))
    for name in ("trans_x", "rot_z_power2", "rot_y_derivative1"):
        np.testing.assert_allclose(design[name][1:], new[name][1:], rtol=1e-6, atol=1e-9)


# Which volumes


def anatomy(tiny, radius=60):
    """A brain mask of about the volume of a sphere, of voxels of 8 cubic millimetres."""
    grid = np.indices((70, 70, 70)) - 34.5
    ball = (grid**2).sum(axis=0) <= (radius / 2) ** 2
    folder = tiny.root / "sub-01" / "anat"
    folder.mkdir(exist_ok=True)
    image = nib.Nifti1Image(ball.astype(np.uint8), np.diag([2, 2, 2, 1]))
    image.to_filename(folder / "sub-01_desc-brain_mask.nii.gz")
    image.to_filename(folder / "sub-01_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz")
    return np.cbrt(3 * 8 * ball.sum() / (4 * np.pi))


def test_displacement_is_measured_with_a_filter_and_the_head_of_the_participant(place, tiny):
    tiny.add_run()
    radius = anatomy(tiny)
    options = ("--motion-filter", "lowpass:10", "--head-radius", "auto", "--fd-threshold", "0.05")
    page = ("--report-level", "participant")
    finished, func = place("--strategy", "gsrOnly", *options, *page)
    assert finished.status == 0, finished.err
    table = read(confounds_of(tiny))
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    b, a = signal.butter(2, 10 / 60, fs=0.5)
    left = signal.filtfilt(b, a, table[names], axis=0, padtype="constant", padlen=39)
    change = np.abs(np.diff(left, axis=0))
    expected = change[:, :3].sum(axis=1) + radius * change[:, 3:].sum(axis=1)
    censored = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))
    np.testing.assert_allclose(censored["fd_recomputed"][1:], expected, rtol=1e-6)
    np.testing.assert_allclose(censored["fd"][1:], table["framewise_displacement"][1:], rtol=1e-6)
    assert censored["censored"].tolist() == [0, *(expected > 0.05).astype(int)]
    facts = sidecar(func, "gsrOnly")
    assert facts["MeanFramewiseDisplacementRecomputed"] == pytest.approx(expected.mean())
    assert facts["MeanFramewiseDisplacement"] == pytest.approx(
        table["framewise_displacement"].mean()
    )
    assert facts["HeadRadius"] == pytest.approx(radius)
    assert facts["HeadRadius"] == pytest.approx(60, rel=0.01)
    assert facts["MotionStopBand"] == pytest.approx([10 / 60, 0.25])
    assert facts["HeadMotion"] == {
        "filter": "lowpass:10",
        "head_radius": "auto",
        "filter_regressors": False,
    }
    page = next(func.parents[1].glob("sub-01.html")).read_text()
    assert "Framewise displacement as gsrOnly recomputes it" in page
    assert "Mean FD recomputed" in page
    again, _ = place("--strategy", "gsrOnly", *options)
    assert "0 of 1 run to do" in again.err
    radius = anatomy(tiny, 50)
    again, func = place("--strategy", "gsrOnly", *options)
    assert "1 of 1 run to do" in again.err
    assert sidecar(func, "gsrOnly")["HeadRadius"] == pytest.approx(radius)


def test_a_head_radius_without_a_brain_mask_fails_where_it_is_asked_for(place, tiny):
    tiny.add_run()
    finished, _ = place("--strategy", "gsrOnly", "--head-radius", "auto")
    assert finished.status != 0
    assert "no brain mask of the anatomy belongs to" in finished.err


def test_our_own_table_with_measures_of_motion_is_a_table_of_outliers(place, tiny, tmp_path):
    tiny.add_run()
    _, func = place("--strategy", "gsrOnly", "--head-radius", "60", "--fd-threshold", "0.03")
    first = next(func.glob("*_desc-gsrOnly_outliers.tsv"))
    copy = tmp_path / "censored.tsv"
    shutil.copy(first, copy)
    finished, _ = place("--strategy", "24P", "--outliers", copy)
    assert finished.status == 0, finished.err
    external = read(next(func.glob("*_desc-24P_outliers.tsv")))["external"]
    np.testing.assert_array_equal(external, read(first)["censored"])
    assert 0 < external.sum() < 40


def test_dummy_scans_by_number(place, tiny):
    tiny.add_run()
    told, func = place("--strategy", "gsrOnly", "--dummy-scans", "3")
    assert told.status == 0, told.err
    censored = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))
    assert censored["censored"].tolist() == [1] * 3 + [0] * 37
    assert censored["dummy"].tolist() == [1] * 3 + [0] * 37
    assert len(read(series_file(func, "gsrOnly"))) == 37
    assert sidecar(func, "gsrOnly")["DummyScans"] == 3


def test_dummy_scans_that_fmriprep_found(place, tiny):
    tiny.add_run()
    flag = np.zeros(40)
    flag[0] = 1
    change_confounds(
        tiny,
        non_steady_state_outlier00=flag,
        non_steady_state_outlier01=flag[[1, 0, *range(2, 40)]],
    )
    told, func = place("--strategy", "gsrOnly", "--dummy-scans", "auto")
    assert told.status == 0, told.err
    assert sidecar(func, "gsrOnly")["NumberOfVolumesKept"] == 38
    assert sidecar(func, "gsrOnly")["CensoredVolumes"]["dummy"] == 2


@pytest.mark.parametrize("kind", ["file", "folder", "of the run"])
def test_outliers_of_the_users_own(place, tiny, tmp_path, kind):
    tiny.add_run()
    flags = np.zeros(40, int)
    flags[[4, 20]] = 1
    name = f"{STEM}_desc-own_outliers.tsv" if kind == "of the run" else "sub-01_outliers.tsv"
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    pd.DataFrame({"censored": flags}).to_csv(folder / name, sep="\t", index=False)
    given = folder / name if kind == "file" else tmp_path / "mine"
    told, func = place("--strategy", "gsrOnly", "--outliers", given)
    assert told.status == 0, told.err
    censored = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))
    assert censored["external"].tolist() == flags.tolist()
    assert len(read(series_file(func, "gsrOnly"))) == 38
    design = json.loads(next(func.glob("*_desc-gsrOnly_design.json")).read_text())
    for facts in (sidecar(func, "gsrOnly"), design):
        assert facts["Sources"][-1] == (folder / name).as_uri()
        assert any(uri.endswith("_desc-confounds_timeseries.tsv") for uri in facts["Sources"])


@pytest.mark.parametrize(
    ("make", "status", "phrase"),
    [
        (lambda folder: folder.rmdir(), 66, "The outlier table or folder"),
        (lambda folder: (folder / "x_outliers.tsv").write_text("0\n"), 66, "no outlier table for"),
        (
            lambda folder: [
                (folder / f"{STEM}_desc-{i}_outliers.tsv").write_text("0\n") for i in "ab"
            ],
            2,
            "both outlier tables of sub-01_task-rest",
        ),
    ],
    ids=["nowhere", "of another run", "two"],
)
def test_outlier_tables_that_do_not_fit(place, tiny, tmp_path, make, status, phrase):
    tiny.add_run()
    folder = tmp_path / "mine"
    folder.mkdir()
    make(folder)
    told, _ = place("--outliers", folder)
    assert told.status == status
    assert phrase in told.err


def test_one_outlier_table_is_not_for_several_runs(place, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    table = tmp_path / "x.tsv"
    table.write_text("0\n" * 40)
    told, _ = place("--outliers", table)
    assert told.status == 2
    assert "is given for 2 runs" in told.err


def test_full_length_keeps_a_row_for_every_volume(place, tiny):
    tiny.add_run()
    moved = np.zeros(40)
    moved[[7, 8, 30]] = 2.0
    change_confounds(tiny, framewise_displacement=moved)
    arguments = ("--strategy", "gsrOnly", "--fd-threshold", "0.5")
    _, func = place(*arguments)
    short = read(series_file(func, "gsrOnly"))
    assert sidecar(func, "gsrOnly")["CensoringThresholds"]["fd_threshold"] == 0.5
    told, func = place(*arguments, "--full-length")
    assert told.status == 0, told.err
    full = read(series_file(func, "gsrOnly"))
    assert len(full) == 40
    assert full.loc[[7, 8, 30]].isna().all().all()
    pd.testing.assert_frame_equal(full.drop(index=[7, 8, 30]).reset_index(drop=True), short)
    assert sidecar(func, "gsrOnly")["FullLength"] is True


def test_a_threshold_that_is_off_censors_nothing(place, tiny):
    tiny.add_run()
    change_confounds(tiny, framewise_displacement=np.full(40, 9.0), std_dvars=np.full(40, 9.0))
    off = ("--fd-threshold", "none", "--std-dvars-threshold", "none", "--min-segment", "0")
    told, func = place("--strategy", "scrubbing", *off)
    assert told.status == 0, told.err
    assert sidecar(func, "scrubbing")["NumberOfVolumesCensored"] == 0


def test_neighbours_and_short_stretches(place, tiny):
    tiny.add_run()
    moved = np.zeros(40)
    moved[[10, 16]] = 2.0
    change_confounds(tiny, framewise_displacement=moved)
    rules = ("--fd-threshold", "1", "--censor-before", "1", "--censor-after", "2")
    _, func = place("--strategy", "gsrOnly", *rules, "--min-segment", "4")
    censored = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))["censored"]
    # 9 to 12, and 15 to 18; 13 and 14 between them are a stretch of two
    assert np.flatnonzero(censored).tolist() == list(range(9, 19))


# Filters


def test_filters_by_options(place, tiny):
    tiny.add_run(n_volumes=120)
    band = ("--high-pass", "0.02", "--low-pass", "0.1", "--filter-order", "2")
    told, func = place("--strategy", "gsrOnly", *band)
    assert told.status == 0, told.err
    facts = sidecar(func, "gsrOnly")
    assert facts["SoftwareFilters"] == {
        "Temporal": {"high_pass": 0.02, "low_pass": 0.1, "type": "butterworth", "order": 2}
    }
    # Of 60 frequencies k / 240 Hz, those of 5 to 24 pass: 1 to 4 are lost with two dimensions
    # each, and 25 to 59 too, and 60, the Nyquist frequency, with one; edges are not sharp
    assert facts["DimensionsLostToFilter"] == pytest.approx(2 * 4 + 2 * 35 + 1, rel=0.06)
    power = np.abs(np.fft.rfft(read(series_file(func, "gsrOnly"))["left"])) ** 2
    assert power[5:25].sum() > 0.9 * power.sum()


def test_cosine_filter_and_none(place, tiny, tmp_path):
    tiny.add_run(n_volumes=120)
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "own", "filter": {"high_pass": 0.02}}))
    told, func = place("--strategy", path, "--filter", "cosine")
    assert told.status == 0, told.err
    assert sidecar(func, "own")["SoftwareFilters"]["Temporal"]["type"] == "cosine"
    assert sidecar(func, "own")["DimensionsLostToFilter"] == int(2 * 240 * 0.02)
    told, func = place("--strategy", path, "--filter", "none")
    assert sidecar(func, "own")["SoftwareFilters"] == "n/a"


def test_filtering_twice_is_warned_of(place, tiny):
    tiny.add_run(n_volumes=120)
    told, _ = place("--strategy", "simple", "--high-pass", "0.01")
    assert told.status == 0
    assert "cosine" in told.err
    assert "twice" in told.err or "double" in told.err


@pytest.mark.parametrize(
    ("options", "status", "phrase"),
    [
        (("--low-pass", "0.3"), 65, "Nyquist frequency, 0.25 Hz"),
        (("--high-pass", "0.005"), 65, "no half period in a run of 80 s"),
        (("--high-pass", "0.1", "--low-pass", "0.05"), 2, "high_pass below low_pass"),
        (("--filter", "cosine"), 2, "high_pass"),
        (("--high-pass", "0.02", "--filter-order", "20"), 65, "needs more than"),
    ],
)
def test_filters_that_a_run_cannot_carry(place, tiny, tmp_path, options, status, phrase):
    tiny.add_run()
    told, _ = place("--strategy", "gsrOnly", *options)
    assert told.status == status
    assert phrase in told.err
    assert not (tmp_path / "out").exists()


# What is left


@pytest.mark.slow
def test_excluded_runs_are_listed_and_the_others_go_on(place, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest", n_volumes=80)
    told, func = place("--strategy", "gsrOnly", "none", "--min-seconds", "100")
    assert told.status == 0, told.err
    rows = read(tmp_path / "out" / "exclusions.tsv")
    assert rows["participant_id"].tolist() == ["sub-01", "sub-01"]
    assert rows["strategy"].tolist() == ["gsrOnly", "none"]
    assert rows["reason"].tolist() == ["80 s are left, fewer than 100"] * 2
    # mean, trend, a cosine and the global signal; mean and trend
    assert rows["degrees_of_freedom"].tolist() == [36, 38]
    assert rows["seconds"].tolist() == [80, 80]
    assert sidecar(func, "gsrOnly")["Excluded"] == "80 s are left, fewer than 100"
    assert read(series_file(func, "gsrOnly")).isna().all().all()
    assert not read(series_file(tmp_path / "out" / "sub-02" / "func", "none")).isna().all().all()
    # A run that is not excluded any more leaves the table.
    place("--strategy", "gsrOnly", "none")
    assert not (tmp_path / "out" / "exclusions.tsv").exists()


def test_a_floor_of_degrees_of_freedom(place, tiny, tmp_path):
    """40 volumes, 24 motion parameters and a cosine, mean and trend."""
    tiny.add_run()
    place("--strategy", "24P", "--min-dof", "13")
    assert not (tmp_path / "out" / "exclusions.tsv").exists()
    place("--strategy", "24P", "--min-dof", "14")
    assert read(tmp_path / "out" / "exclusions.tsv")["min_degrees_of_freedom"].tolist() == [14]


@pytest.mark.parametrize(
    ("n_volumes", "excluded", "few"), [(36, 1, 0), (37, 0, 1), (51, 0, 1), (52, 0, 0)]
)
def test_ten_are_needed_and_below_25_there_is_a_warning(place, tiny, n_volumes, excluded, few):
    tiny.add_run(n_volumes=n_volumes)
    told, func = place("--strategy", "24P")
    assert told.status == 0, told.err
    facts = sidecar(func, "24P")
    assert facts["DegreesOfFreedom"] == n_volumes - 27
    assert facts["MinimumDegreesOfFreedom"] == 10
    assert bool(facts["Excluded"]) == excluded
    assert told.err.count("fewer than 10 (") == excluded
    assert told.err.count("degrees of freedom of this run, fewer than 25 (") == few


def test_parts_of_degrees_of_freedom_add_up(place, tiny, tmp_path):
    """In sidecars and in the table of exclusions, with a filter across censored volumes."""
    tiny.add_run(n_volumes=120)
    moved = np.full(120, 0.1)
    moved[30:50] = 2
    change_confounds(tiny, framewise_displacement=moved)
    band = ("--high-pass", "0.01", "--low-pass", "0.1", "--fd-threshold", "0.5")
    told, func = place("--strategy", "gsrOnly", "24P", *band)
    assert told.status == 0, told.err
    rows = read(tmp_path / "out" / "exclusions.tsv").set_index("strategy")
    # A spline across 20 volumes leaves all bounds, and is most of what a filter sees.
    assert rows.index.tolist() == ["gsrOnly"]
    for strategy in ("24P", "gsrOnly"):
        facts = sidecar(func, strategy)
        lost = facts["DimensionsLostToFilter"] + facts["DimensionsLostToCensoring"]
        left = facts["NumberOfVolumesKept"] - facts["RankRemoved"] - lost
        assert facts["DegreesOfFreedom"] == pytest.approx(left)
        assert 0 < left < 100 * 0.09 * 2 * 2
    row = rows.loc["gsrOnly"]
    parts = row["n_kept"] - row["rank"] - row["lost_to_filter"] - row["lost_to_censoring"]
    assert row["degrees_of_freedom"] == pytest.approx(parts, abs=1e-6)
    assert row["degrees_of_freedom"] == pytest.approx(facts["DegreesOfFreedom"])


def test_effective_degrees_of_freedom(place, tiny):
    tiny.add_run(n_volumes=400)
    told, func = place("--strategy", "24P", "--effective-dof")
    assert told.status == 0, told.err
    (path,) = func.glob("*_stat-effectivedof_desc-24P_relmat.tsv")
    matrix = read(path).set_index("Node")
    pair = matrix.loc["left", "right"]
    assert pair == matrix.loc["right", "left"]
    # The images are white noise, so every volume that is left counts: 400 - 26 + mean
    left = sidecar(func, "24P")["DegreesOfFreedom"]
    assert left == 400 - 27
    assert 0.9 * left < pair <= left + 1
    assert matrix["far"].isna().all()
    assert "Dutilleul" in path.with_suffix(".json").read_text()


def test_every_measure_has_its_own_matrix(place, tiny):
    tiny.add_run(n_volumes=100)
    names = ("pearson", "fisher-z", "partial", "covariance", "precision", "ledoit-wolf", "spearman")
    told, func = place("--strategy", "gsrOnly", "--connectivity", *names)
    assert told.status == 0, told.err
    found = {path.name.split("_stat-")[1].split("_")[0]: path for path in func.glob("*_relmat.tsv")}
    assert set(found) == {
        *("pearsoncorrelation", "fisherz", "partialcorrelation", "covariance", "precision"),
        *("ledoitwolfcorrelation", "spearmancorrelation"),
    }
    series = read(series_file(func, "gsrOnly"))[["left", "right", "front"]]
    r = series.corr().to_numpy()
    z = read(found["fisherz"]).set_index("Node").loc["left", "right"]
    assert z == pytest.approx(np.arctanh(r[0, 1]), abs=1e-8)
    rank = read(found["spearmancorrelation"]).set_index("Node").loc["left", "front"]
    assert rank == pytest.approx(series.corr("spearman").loc["left", "front"], abs=1e-8)
    told, _ = place("--connectivity", "pearsn")
    assert told.status == 2
    assert "pearson" in told.err


# What to write in a paper


def test_the_methods_text_says_what_was_done(place, tiny, tmp_path):
    tiny.add_run(n_volumes=120)
    rules = ("--fd-threshold", "0.35", "--high-pass", "0.013", "--low-pass", "0.09")
    told, _ = place("--strategy", "36P", *rules)
    assert told.status == 0, told.err
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    for phrase in ("fMRIPrep", "24.1.1", "0.35", "0.013", "0.09", "@ciric2017", "mine"):
        assert phrase in text, phrase
    bib = (tmp_path / "out" / "logs" / "CITATION.bib").read_text()
    assert "10.1016/j.neuroimage.2017.03.020" in bib


def test_spikes_of_the_voxels_of_regions_are_squeezed(run_app, tiny, tmp_path):
    bold = tiny.add_run()
    image = nib.load(bold)
    data = image.get_fdata()
    data[::2, :, :, 20] += 300
    nib.Nifti1Image(data.astype(np.float32), image.affine, image.header).to_filename(bold)
    labels = np.zeros(image.shape[:3], np.int16)
    labels[2:6, 2:6, 2:5], labels[6:10, 2:6, 2:5] = 1, 2
    atlas = tmp_path / "space-MNI152NLin2009cAsym_atlas-Two_dseg.nii.gz"
    nib.Nifti1Image(labels, image.affine).to_filename(atlas)
    output = tmp_path / "out"
    call = (tiny.root, output, "participant", "--parcellation", atlas, "--strategy", "none")
    finished = run_app(*call, "--despike", "--report-level", "none")
    assert finished.status == 0, finished.err
    func = output / "sub-01" / "func"
    raw = pd.read_csv(next(func.glob("*_desc-raw_timeseries.tsv.gz")), sep="\t", header=None)
    regions = read(next(func.glob("*_desc-regions_dseg.tsv")))
    data = nib.load(bold).get_fdata()
    for number in (1, 2):
        squeezed, spikes = despike(data[labels == number].T)
        assert spikes[20].mean() > 0.3
        np.testing.assert_allclose(raw[number - 1], squeezed.mean(axis=1), rtol=1e-6)
        assert regions["despiked"][number - 1] == pytest.approx(spikes.mean())


@pytest.mark.parametrize("combine", ["any", "all"])
def test_thresholds_that_are_exceeded_together_or_alone(place, tiny, combine):
    tiny.add_run()
    moved, jumped = np.full(40, 0.1), np.full(40, 1.0)
    moved[[5, 12, 30]], jumped[[12, 21]] = 0.6, 2.0
    moved[0] = jumped[0] = np.nan
    change_confounds(tiny, framewise_displacement=moved, std_dvars=jumped)
    options = ("--fd-threshold", 0.5, "--std-dvars-threshold", 1.5, "--censor-combine", combine)
    finished, func = place("--strategy", "gsrOnly", *options)
    assert finished.status == 0, finished.err
    censored = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))["censored"]
    expected = {"any": [5, 12, 21, 30], "all": [12]}[combine]
    assert np.flatnonzero(censored).tolist() == expected
    assert len(read(series_file(func, "gsrOnly"))) == 40 - len(expected)


def test_volumes_are_censored_by_root_mean_square_displacement(place, tiny):
    tiny.add_run()
    moved = np.full(40, 0.05)
    moved[[0, 7, 8, 33]] = np.nan, 0.3, 0.21, 0.2  # the last is at the limit, not above
    change_confounds(tiny, rmsd=moved)
    finished, func = place("--strategy", "gsrOnly", "--rmsd-threshold", 0.2)
    assert finished.status == 0, finished.err
    table = read(next(func.glob("*_desc-gsrOnly_outliers.tsv")))
    assert np.flatnonzero(table["censored"]).tolist() == [7, 8]
    assert np.flatnonzero(table["rmsd"]).tolist() == [7, 8]


def test_without_known_responses_the_correlation_is_that_of_the_truth(place, tiny, events):
    """Two places that share little, and large responses to the same events."""
    bold = tiny.add_run(n_volumes=120)
    write, table = events
    table["onset"] = [10, 80.5, 150]
    table["duration"] = 12.0
    write()
    image = nib.load(bold)
    rng = np.random.default_rng(5)
    shared, *own_parts = rng.standard_normal((3, 120))
    truth = np.array([0.3 * shared + part for part in own_parts])
    frames = make_first_level_design_matrix(2.0 * np.arange(120), table, drift_model=None)
    responses = 9 * frames["a"].to_numpy() + 6 * frames["b"].to_numpy()
    data = np.zeros((*image.shape[:3], 120))
    data[:6], data[6:] = 1000 + truth[0] + responses, 1000 + truth[1] + responses
    nib.Nifti1Image(data.astype(np.float32), image.affine, image.header).to_filename(bold)
    mine = strategy_file(tiny.root.parent, name="mine", task={"model": "hrf"})
    finished, func = place("--strategy", mine, "none")
    assert finished.status == 0, finished.err
    columns = np.column_stack([np.ones(120), np.arange(120), frames["a"], frames["b"]])
    left = truth.T - columns @ np.linalg.lstsq(columns, truth.T, rcond=None)[0]
    expected = np.corrcoef(left.T)[0, 1]
    assert expected == pytest.approx(np.corrcoef(truth)[0, 1], abs=0.1)
    found = {
        name: read(series_file(func, name))[["left", "right"]].corr() for name in ("mine", "none")
    }
    assert found["mine"].iloc[0, 1] == pytest.approx(expected, abs=1e-3)
    assert found["none"].iloc[0, 1] > expected + 0.4


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_spikes_are_squeezed_voxel_by_voxel_before_all_else(place, tiny, aggregation):
    bold = tiny.add_run()
    image = nib.load(bold)
    data = image.get_fdata()
    data[:, :, :, 20] += np.where(np.arange(data.shape[0]) % 2, 300, 0)[:, None, None]
    nib.Nifti1Image(data.astype(np.float32), image.affine, image.header).to_filename(bold)
    words = ("--strategy", "none", "--aggregation", aggregation)
    finished, func = place(*words, "--despike", "--report-level", "participant")
    assert finished.status == 0, finished.err
    labels = nib.load(next(func.glob("*_dseg.nii.gz"))).get_fdata()
    spheres = read(next(func.glob("*_dseg.tsv")))
    number = spheres.set_index("name").loc["left", "index"]
    assert spheres.set_index("name").loc["left", "overlap"] == 0
    voxels = nib.load(bold).get_fdata()[labels == number].T
    squeezed, spikes = despike(voxels)
    assert spikes[20].mean() > 0.3
    together = getattr(np, aggregation)(squeezed, axis=1)
    path = next(func.glob("*_desc-raw_timeseries.tsv.gz"))
    names = json.loads(path.with_name(path.name.replace(".tsv.gz", ".json")).read_text())
    uncleaned = pd.read_csv(path, sep="\t", header=None, names=names["Columns"])["left"]
    np.testing.assert_allclose(uncleaned, together, rtol=1e-6)
    assert spheres.set_index("name").loc["left", "despiked"] == pytest.approx(spikes.mean())
    facts = sidecar(func, "none") if aggregation == "mean" else names
    assert facts["Despike"] is True
    assert facts["DespikedShare"] == pytest.approx(spheres["despiked"].mean())
    assert "degrees of freedom do not count it" in facts["DespikeNote"]
    page = next(func.parents[1].glob("sub-01.html")).read_text()
    assert f"Despiking changed {facts['DespikedShare']:.2%} of the values" in page
    plain, _ = place(*words)
    assert "1 of 1 run to do" in plain.err


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("strategy", ["24P", "band"])
def test_the_same_amount_of_data_of_every_run(place, tiny, tmp_path, seed, strategy):
    tiny.add_run(n_volumes=80)
    tiny.add_run("sub-02_task-rest", n_volumes=30)
    if strategy == "band":
        band = {"low_pass": 0.15, "order": 1}
        strategy = strategy_file(tmp_path, name="band", filter=band, motion="basic")
    options = ("--strategy", strategy, "--fd-threshold", "0.03")
    _, func = place(*options)
    name = "24P" if strategy == "24P" else "band"
    kept = read(next(func.glob(f"*_desc-{name}_outliers.tsv")))["censored"].to_numpy() == 0
    whole, facts = read(series_file(func, name)).to_numpy(), sidecar(func, name)
    assert 35 < kept.sum() < 80
    words = ("--equal-seconds", "69.5", *(("--equal-seconds-seed", "7") if seed else ()))
    finished, func = place(*options, *words, "--seed-maps", "--effective-dof")
    assert finished.status == 0, finished.err
    outliers = read(next(func.glob(f"*_desc-{name}_outliers.tsv")))
    used = outliers["censored"].to_numpy() == 0
    assert used.sum() == 35  # 70 s, the least that is not less
    assert not (used & ~kept).any()
    first = np.zeros(80, bool)
    first[np.flatnonzero(kept)[:35]] = True
    assert (used == first).all() == (seed is None)
    np.testing.assert_array_equal(outliers["undrawn"] == 1, kept & ~used)
    drawn = read(series_file(func, name)).to_numpy()
    np.testing.assert_allclose(drawn, whole[used[kept]], atol=1e-9)
    matrix = read(next(func.glob(f"*_stat-pearsoncorrelation_desc-{name}_relmat.tsv")))
    known = np.isfinite(drawn).all(axis=0)
    expected = np.corrcoef(drawn[:, known].T)
    own = matrix.drop(columns="Node").to_numpy()[np.ix_(known, known)]
    off = ~np.eye(len(own), dtype=bool)
    np.testing.assert_allclose(own[off], expected[off], atol=1e-6)
    after = sidecar(func, name)
    assert after["NumberOfVolumesKept"] == kept.sum()
    assert after["NumberOfVolumesUsed"] == 35
    assert after["CensoredVolumes"]["undrawn"] == kept.sum() - 35
    assert after["EqualSeconds"] == 69.5
    # Nothing is fitted to them alone, so they keep nearly all that is theirs.
    assert min(33, facts["DegreesOfFreedom"]) * 0.5 < after["DegreesOfFreedom"] < 35
    parts = ("RankRemoved", "DimensionsLostToFilter", "DimensionsLostToCensoring")
    lost = sum(after[key] for key in (*parts, "DimensionsLostToDrawing"))
    assert after["DegreesOfFreedom"] == pytest.approx(kept.sum() - lost)
    seed_map = nib.load(next(func.glob("*_boldmap.nii.gz"))).get_fdata()
    assert np.isfinite(seed_map).any()
    short = json.loads(
        next(func.parents[1].glob(f"sub-02/func/*_desc-{name}_timeseries.json")).read_text()
    )
    assert "fewer than 69.5" in short["Excluded"]


# How much of a run is used


def run_design(kept, t_r=2.0, strategy=None, **rules):
    """A strategy with two regressors on a run of which some volumes are kept."""
    rng = np.random.default_rng(len(kept))
    values = rng.standard_normal((len(kept), 2)).cumsum(axis=0)
    table = pd.DataFrame({"csf": values[:, 0], "white_matter": values[:, 1]})
    strategy = strategy or Strategy("two", "", confounds=("csf", "white_matter"))
    outliers = ~np.asarray(kept)
    design = make_design(
        table, strategy, Path("x_timeseries.tsv"), len(kept), t_r=t_r, outliers=outliers
    )
    return RunDesign(strategy, design, Timing(len(kept), t_r), Processing(**rules))


@pytest.mark.parametrize(
    ("seconds", "t_r", "number"),
    [
        (60, 2.0, 30),
        (59, 2.0, 30),  # 29 volumes would be less
        (61, 2.0, 31),
        (70, 0.7, 100),  # 100.00000000000001 by the computer
        (180, 2.0, 90),
        (0, 2.0, 100),
        (None, 2.0, 100),
    ],
)
def test_the_first_kept_volumes_of_enough_seconds_are_used(seconds, t_r, number):
    kept = np.ones(110, bool)
    kept[[0, 3, 4, 50, *range(104, 110)]] = False
    design = run_design(kept, t_r, equal_seconds=seconds)
    places = np.flatnonzero(kept)
    assert np.flatnonzero(design.used).tolist() == places[:number].tolist()
    assert design.exclusion is None
    undrawn = design.reasons.get("undrawn", np.zeros(110, bool))
    np.testing.assert_array_equal(undrawn, kept & ~design.used)
    assert ("undrawn" in design.reasons) is bool(seconds)
    left = design.degrees_of_freedom
    # The mean, the trend and two regressors are fitted to all that is kept.
    assert (left.volumes, left.kept, left.rank) == (110, 100, 4)
    assert left.residual + left.undrawn == pytest.approx(96)
    assert (left.undrawn > 0) is (number < 100)


def test_volumes_drawn_at_random_are_kept_ones_and_the_same_in_each_call():
    kept = np.arange(120) % 5 > 0
    one, two, other = (
        run_design(kept, equal_seconds=60, equal_seconds_seed=seed).used for seed in (7, 7, 8)
    )
    assert one.sum() == other.sum() == 30
    assert not (one & ~kept).any()
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert one[60:].any()


@pytest.mark.parametrize(
    ("seconds", "own", "row", "reason"),
    [
        (192, None, 192, None),
        (194, None, 194, "192 s are left, fewer than 194"),
        (100, 200, 200, "192 s are left, fewer than 200"),
        (None, 192, 192, None),
        (None, None, None, None),
    ],
)
def test_a_run_without_the_seconds_of_all_is_excluded(seconds, own, row, reason):
    strategy = Strategy("two", "", confounds=("csf",), min_seconds=own)
    design = run_design(np.arange(120) % 5 > 0, strategy=strategy, equal_seconds=seconds)
    assert (design.exclusion and design.exclusion.reason) == reason
    found = Exclusion("why", design.degrees_of_freedom)
    entry = design.exclusion_row(parse_name("sub-01_ses-b_task-x_bold.nii.gz"), "file", found)
    assert set(entry) == set(EXCLUSION_COLUMNS)
    assert entry | {"participant_id": "sub-01", "session_id": "ses-b", "source": "file"} == entry
    assert entry | {"strategy": "two", "reason": "why", "rank": 3} == entry
    assert entry | {"n_volumes": 120, "n_kept": 96, "seconds": 192} == entry
    assert entry["min_degrees_of_freedom"] == 10
    assert entry["min_seconds"] == (pytest.approx(row) if row else None)
    assert entry["degrees_of_freedom"] == design.degrees_of_freedom.residual


def test_of_too_few_volumes_for_a_filter_none_is_drawn():
    """A band of order 5 is extended by 33 volumes."""
    band = Strategy("band", "", filter=TemporalFilter(0.01, 0.1))
    for number, few in ((33, True), (34, False)):
        design = run_design(np.arange(100) < number, strategy=band, equal_seconds=20, min_dof=1)
        assert design.used.sum() == 10
        assert bool(design.degrees_of_freedom.problem) is few
        assert ("needs more than 33 volumes" in str(design.exclusion)) is few
        assert (design.degrees_of_freedom.residual == 0) is few


@pytest.mark.parametrize(
    "kept", [np.arange(100) % 10 > 0, np.arange(100) >= 40], ids=["gaps", "beginning"]
)
def test_degrees_of_freedom_of_drawn_volumes_are_those_of_white_series(kept):
    design = run_design(kept, equal_seconds=50)
    assert design.used.sum() == 25
    rng = np.random.default_rng(1)
    regressors = np.column_stack([design.design.values, np.ones(100), np.arange(100)])[kept]
    basis = np.linalg.qr(regressors)[0]
    series = rng.standard_normal((int(kept.sum()), 20_000))
    cleaned = (series - basis @ (basis.T @ series))[:25]
    first, second = np.split(cleaned - cleaned.mean(axis=0), 2, axis=1)
    products = np.sum(first * second, axis=0)
    r = products / np.sqrt(np.sum(first**2, axis=0) * np.sum(second**2, axis=0))
    assert design.degrees_of_freedom.residual == pytest.approx(1 / np.mean(r**2), rel=0.06)


# Timing, and failures of strategies


def a_job(tiny, seeds_file, tmp_path, *options):
    words = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, *options]
    return plan_jobs(settings_of(main_parser().parse_args([str(word) for word in words])))[1][0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1.5, 1.5),
        (2, 2.0),
        (0.001, 0.001),
        (100, 100.0),
        (0.0009, None),
        (100.1, None),
        (2000, None),
        (0, None),
        (True, None),
        ("2", None),
        ([2], None),
        (-1, None),
    ],
)
def test_a_repetition_time_is_a_number_of_seconds(tiny, seeds_file, tmp_path, given, expected):
    bold = tiny.add_run(n_volumes=31)
    path = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    path.write_text(json.dumps({"RepetitionTime": given}))
    job = a_job(tiny, seeds_file, tmp_path)
    if expected:
        assert run_timing(job.run, bold) == Timing(31, expected)
    else:
        with pytest.raises(DataError) as caught:
            run_timing(job.run, bold)
        end = f"has no repetition time in seconds: in its JSON file it is {given!r}."
        assert caught.value.message == f"{bold} {end}"


def test_the_header_is_asked_where_there_is_no_json_file(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    bold.with_name(bold.name.replace(".nii.gz", ".json")).unlink()
    job = a_job(tiny, seeds_file, tmp_path)
    assert run_timing(job.run, bold) == Timing(40, 2.0)
    img = nib.load(bold)
    img.header.set_zooms((4, 4, 4, 0))
    nib.Nifti1Image(img.get_fdata(dtype=np.float32), None, img.header).to_filename(bold)
    with pytest.raises(DataError, match="no repetition time in seconds: in its header it is"):
        run_timing(job.run, bold)


A, B = Strategy("a", ""), Strategy("b", "")
AROMA = Strategy("c", "", bold=("smoothAROMAnonaggr", "nonaggrDenoised"))


def test_what_a_strategy_lacks_concerns_it_alone():
    failures = StrategyFailures()
    with failures.of(A):
        raise DataError("odd", "hint")
    failures.raise_if_all([A, B])
    assert failures.as_error().message == "odd"
    with pytest.raises(DataError, match="odd"):
        failures.raise_if_all([A])
    with pytest.raises(DataError, match="alone"), failures.of():
        raise DataError("alone")
    with pytest.raises(OutputError, match="full"), failures.of(B):
        raise OutputError("full")
    assert list(failures.errors) == [A]
    with failures.of(B):
        raise MissingInputError("odd", "hint")
    assert failures.as_error().message == "odd"  # the same of both
    with failures.of(B):
        raise DataError("odd", "another hint")
    both = failures.as_error().message
    assert both == "a: odd\n  hint: hint\nb: odd\n  hint: another hint"
    with failures.of(B):
        raise MissingInputError("gone")
    with pytest.raises(DataError) as caught:
        failures.raise_if_all([B, A])
    assert caught.value.message == "a: odd\n  hint: hint\nb: gone"
    first, second = failures.report()
    assert (first.name, first.error) == ("a", "odd\n  hint: hint")
    assert "Traceback" in second.trace
    assert "MissingInputError" in second.trace


def test_a_strategy_without_its_image_fails_before():
    failures = StrategyFailures([AROMA, Strategy("d", "", bold=("optcom",))])
    first, second = failures.errors.values()
    expected = "starts from a desc-smoothAROMAnonaggr or desc-nonaggrDenoised image, which is"
    assert expected in first.message
    assert "aroma=PATH" in first.hint
    assert "starts from a desc-optcom image" in second.message
    assert second.hint == "Name the folder that holds it with --derivatives NAME=PATH."


def test_which_jobs_and_strategies_problems_keep_from_being_done():
    work = SimpleNamespace(strategies=(A, B))

    class Job(SimpleNamespace):
        def __str__(self):
            return self.label

    runs = [SimpleNamespace(name=parse_name(f"sub-{i}_space-T1w_bold.nii")) for i in "12"]
    jobs = [
        Job(label=f"sub-{i} space-T1w", run=run, work=work)
        for i, run in zip("12", runs, strict=True)
    ]
    one, two = "sub-1 space-T1w", "sub-2 space-T1w"
    assert failing(jobs, [Problem("x", (one,), "a", None)]) == {(one, "a")}
    assert failing(jobs, [Problem("x", ("sub-2",), "b", None)]) == {(two, "b")}
    every = {(two, "a"), (two, "b")}
    assert failing(jobs, [Problem("x", ("sub-2",), "", None)]) == every
    assert failing(jobs, [Problem("x", ("sub-3",), "a", None)]) == set()


def test_tables_of_the_users_own_are_those_with_columns_of_the_design(tmp_path):
    tables = {
        "sub-1_desc-one_timeseries.tsv": "a\tboth\n",
        "sub-1_desc-two_timeseries.tsv": "b\tboth\n",
        "sub-1_desc-three_timeseries.tsv": "a\n",
    }
    paths = [tmp_path / name for name in tables]
    for path, text in zip(paths, tables.values(), strict=True):
        path.write_text(text + "1\t" * text.count("\t") + "1\n")
    one, two, three = paths
    own = Tables(own=(("x", one), ("x", two), ("y", three)))
    assert own_tables_of(own, ["trans_x", "x.a"]) == [one]
    assert own_tables_of(own, ["y.a", "x:two.both"]) == [two, three]
    assert own_tables_of(own, ["a", "xy.a", "z.a"]) == []
    assert own_tables_of(own, ["x.c"]) == []


def test_each_of_two_images_has_the_timing_of_its_own_json_file(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    other = other_image(tiny, "smoothAROMAnonaggr")
    path = other.with_name(other.name.replace(".nii.gz", ".json"))
    path.write_text(json.dumps({"RepetitionTime": 1.25}))
    job = a_job(tiny, seeds_file, tmp_path, "--strategy", "none", "icaAROMA")
    assert run_timing(job.run, bold) == Timing(40, 2.0)
    assert run_timing(job.run, other) == Timing(40, 1.25)
    failures = StrategyFailures()
    by_image = {
        design.strategy.name: design.timing.t_r
        for image in job.images
        for design in run_designs(job, image, failures)
    }
    assert by_image == {"none": 2.0, "icaAROMA": 1.25}


def test_filters_are_looked_up_for_the_image_that_a_strategy_starts_from(
    tiny, seeds_file, tmp_path
):
    tiny.add_run()
    other = other_image(tiny, "smoothAROMAnonaggr")
    sidecar_of_other = other.with_name(other.name.replace(".nii.gz", ".json"))
    sidecar_of_other.write_text('{"RepetitionTime": 1}')
    band = {"low_pass": 0.3}  # the Nyquist frequencies are 0.25 and 0.5 Hz
    paths = [strategy_file(tmp_path, name=name, filter=band) for name in "ab"]
    paths.append(strategy_file(tmp_path, name="c", filter=band, ica_aroma="full"))
    job = a_job(tiny, seeds_file, tmp_path, "--strategy", *paths)
    assert [len(image.strategies) for image in job.images] == [2, 1]
    problems = check_runs([job])
    assert [problem.strategy for problem in problems] == ["a", "b"]
    assert all("0.25 Hz" in problem.message for problem in problems)


def test_rows_of_a_table_are_those_of_each_image(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    img = nib.load(bold)
    shorter = img.get_fdata()[..., :39]
    other = bold.with_name(bold.name.replace("preproc", "smoothAROMAnonaggr"))
    nib.Nifti1Image(shorter, img.affine, img.header).to_filename(other)
    job = a_job(tiny, seeds_file, tmp_path, "--strategy", "24P", "icaAROMA")
    problems = check_runs([job])
    assert problems
    assert all(problem.of_file for problem in problems)
    assert check_runs([job], values=False) == []


@pytest.mark.parametrize("n_rows", [30, 50])
def test_of_a_table_of_ones_own_with_other_rows_only_that_is_told(
    tiny, seeds_file, tmp_path, own, n_rows
):
    tiny.add_run()
    own(n_rows=n_rows)
    (path,) = (tmp_path / "physio").rglob("*.tsv")
    names, _, *rows = path.read_text().splitlines()
    path.write_text("\n".join([names, "n/a\tn/a", *rows]) + "\n")
    strategies = [strategy_file(tmp_path, name=name, confounds=["rvt"]) for name in "ab"]
    words = ("--strategy", *strategies, "24P", "-d", f"physio={tmp_path / 'physio'}")
    job = a_job(tiny, seeds_file, tmp_path, *words)
    problems = check_runs([job])
    assert [problem.strategy for problem in problems] == ["a", "b"]
    assert all(f"has {n_rows} (" in problem.message for problem in problems)


@pytest.mark.parametrize("option", ["--equal-seconds", "--min-seconds"])
def test_a_run_that_is_too_short_needs_no_filter(tiny, seeds_file, tmp_path, option):
    tiny.add_run()  # 80 s
    band = ("--strategy", "gsrOnly", "--low-pass", "0.3")  # above the Nyquist frequency
    job = a_job(tiny, seeds_file, tmp_path, *band, option, "81")
    failures = StrategyFailures()
    (design,) = run_designs(job, job.images[0], failures)
    assert not failures.errors
    assert design.exclusion.reason.startswith("80 s are left, fewer than 81")
    job = a_job(tiny, seeds_file, tmp_path, *band, option, "80")
    assert run_designs(job, job.images[0], failures) == []
    assert "Nyquist" in str(failures.as_error())


def test_what_a_failed_strategy_leaves_unwritten_of_two_sets(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    change_confounds(tiny, csf=np.nan)
    second = tmp_path / "second.tsv"
    second.write_text("name\tx\ty\tz\nlow\t0\t-10\t-6\nback\t4\t-12\t2\n")
    options = ("--seeds", second, "--strategy", "simple", "gsrOnly")
    job = a_job(tiny, seeds_file, tmp_path, *options)
    assert len(job.work.seed_sets) == 2
    report = run_job(job)
    series = {job.paths.series(seeds, "simple") for seeds in job.work.seed_sets}
    assert report.unwritten == {job.paths.design("simple"), *series}
    assert [failed.name for failed in report.failed] == ["simple"]
    whole = bold.read_bytes()
    other_image(tiny, "smoothAROMAnonaggr")
    bold.write_bytes(whole[: len(whole) // 2])
    options = ("--seeds", second, "--strategy", "gsrOnly", "icaAROMA", "none")
    job = a_job(tiny, seeds_file, tmp_path, *options)
    change_confounds(tiny, csf=np.arange(40.0))
    report = run_job(job)
    expected = {job.paths.spheres(seeds) for seeds in job.work.seed_sets}
    for name in ("gsrOnly", "none"):
        expected |= {job.paths.series(seeds, name) for seeds in job.work.seed_sets}
        expected.add(job.paths.design(name))
    assert report.unwritten == expected
    assert sorted(failed.name for failed in report.failed) == ["gsrOnly", "none"]


def test_events_that_one_of_two_runs_lacks_concern_who_asks_for_them(tiny, seeds_file, tmp_path):
    for run in "12":
        tiny.add_run(f"{STEM}_run-{run}")
    func = tmp_path / "raw" / "sub-01" / "func"
    func.mkdir(parents=True)
    (func / f"{STEM}_run-2_events.tsv").write_text("onset\tduration\n4\t3\n30\t3\n")
    mine = strategy_file(tmp_path, name="mine", task={"model": "hrf"})
    words = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    words += ["--strategy", "none", mine, "-d", f"raw={tmp_path / 'raw'}"]
    jobs = plan_jobs(settings_of(main_parser().parse_args([str(word) for word in words])))[1]
    (problem,) = check_runs(jobs)
    assert (problem.runs, problem.strategy) == ((str(jobs[0]),), "mine")
    assert problem.message == "No events.tsv belongs to the run."
    assert failing(jobs, [problem]) == {(str(jobs[0]), "mine")}
    with pytest.raises(DataError, match="1 problem with strategies, and nothing is done"):
        check_runs(jobs, strict=True)
