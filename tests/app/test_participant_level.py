"""What can't be done in a run takes nothing along that can."""

from __future__ import annotations

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.app import participant_level
from bids_spheres.app.participant_level import keep_crash
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import OutputError
from bids_spheres.participant.job import Outcome
from bids_spheres.process.versions import versions
from bids_spheres.settings.table import Processing, Settings

STEM = "sub-01_task-rest"
IMAGE = f"{STEM}_space-MNI152NLin2009cAsym"
SPIKES = {"name": "spikes", "confounds": ["trans_x", r"^motion_outlier\d+$"]}
FAST = {"name": "fast", "filter": {"low_pass": 0.3}}  # Nyquist: 0.25 Hz


@pytest.fixture
def strategy(tmp_path):
    """Write a strategy; return its path."""

    def write(content):
        path = tmp_path / f"{content['name']}.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def call(run_app, tiny, seeds_file, tmp_path):
    """Call the app, and check its exit status."""

    def app(*options, output=tmp_path / "out", status=0):
        done = run_app(
            *(tiny.root, output, "participant", "--report-level", "none"),
            *("--seeds", seeds_file, *options),
        )
        assert done.status == status, done.err
        return done.err

    return app


def table_of(tiny, participant="01"):
    return next(tiny.root.glob(f"sub-{participant}/func/*_desc-confounds_timeseries.tsv"))


def change_table(tiny, participant="01", drop=(), **columns):
    path = table_of(tiny, participant)
    table = pd.read_csv(path, sep="\t", na_values=["n/a"]).drop(columns=list(drop))
    table.assign(**columns).to_csv(path, sep="\t", index=False, na_rep="n/a")


def matrices(output, strategy):
    return sorted(output.rglob(f"sub-*_desc-{strategy}_relmat.tsv"))


def finite(path):
    """Values between the three spheres that lie in the mask."""
    values = pd.read_csv(path, sep="\t", na_values=["n/a"], index_col=0)
    return np.isfinite(values.loc["left":"front", "left":"front"].to_numpy()).all()


def tree(output, participant):
    """Files of a participant, with what is in them."""
    files = (output / f"sub-{participant}").rglob("*")
    return {path.name: path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("how", ["missing", "n/a throughout"])
def test_a_column_that_is_of_no_use_concerns_its_strategy(call, tiny, tmp_path, how):
    tiny.add_run()
    if how == "missing":
        change_table(tiny, drop=["csf"])
    else:
        change_table(tiny, csf=np.nan)
    told = call("--strategy", "24P", "simple", status=1)
    (matrix,) = matrices(tmp_path / "out", "24P")
    assert finite(matrix)
    assert not list((tmp_path / "out").rglob("*_desc-simple_*"))
    assert ("no column csf" if how == "missing" else "column csf is n/a throughout") in told
    assert "1 of 1 run failed" in told
    crash = next((tmp_path / "out" / "logs").glob("crash-*.txt")).read_text()
    assert "simple: " in crash
    assert "DataError" in crash


def test_what_failed_is_tried_again_and_what_is_fine_is_up_to_date(call, tiny, tmp_path):
    tiny.add_run()
    before = table_of(tiny).read_bytes()
    change_table(tiny, csf=np.nan)
    call("--strategy", "24P", "simple", status=1)
    (matrix,) = matrices(tmp_path / "out", "24P")
    done = (tmp_path / "out" / "logs" / "done").rglob("*.json")
    recorded = [key for record in done for key in json.loads(record.read_text())]
    assert any("desc-24P" in key for key in recorded)
    assert not [key for key in recorded if "desc-simple" in key]
    made = matrix.stat()
    told = call("--strategy", "24P", "simple", status=1)
    assert "1 of 1 run to do (1 not finished yet)" in told
    assert (matrix.stat().st_ino, matrix.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert "0 of 1 run to do, 1 up to date" in call("--strategy", "24P")
    table_of(tiny).write_bytes(before)
    call("--strategy", "24P", "simple")
    assert finite(*matrices(tmp_path / "out", "simple"))
    assert "0 of 1 run to do, 1 up to date" in call("--strategy", "24P", "simple")
    assert not list((tmp_path / "out" / "logs").glob("crash-*.txt"))


def test_an_excluded_strategy_is_up_to_date(call, tiny, strategy, tmp_path):
    tiny.add_run()
    long = strategy({"name": "long", "motion": "basic", "min_volumes": 41})
    call("--strategy", "24P", long)
    rows = pd.read_csv(tmp_path / "out" / "exclusions.tsv", sep="\t")
    assert rows["strategy"].tolist() == ["long"]
    assert rows["reason"].tolist() == ["40 of 40 volumes are left, fewer than 41"]
    assert "0 of 1 run to do, 1 up to date" in call("--strategy", "24P", long)


@pytest.mark.parametrize("damaged", ["preproc", "smoothAROMAnonaggr"])
def test_a_damaged_image_concerns_the_strategies_that_start_from_it(call, tiny, tmp_path, damaged):
    bold = tiny.add_run()
    other = bold.with_name(bold.name.replace("preproc", "smoothAROMAnonaggr"))
    other.write_bytes(bold.read_bytes())
    bad = bold if damaged == "preproc" else other
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    call("--strategy", "gsrOnly", "icaAROMA", status=1)
    fine, failed = ("icaAROMA", "gsrOnly") if damaged == "preproc" else ("gsrOnly", "icaAROMA")
    out = tmp_path / "out"
    assert finite(*matrices(out, fine))
    assert not list(out.rglob(f"*_desc-{failed}_*"))
    # The spheres are those on the grid of the first image.
    assert len(list(out.rglob("*_desc-spheres_dseg.tsv"))) == (damaged != "preproc")
    bad.write_bytes(whole)
    call("--strategy", "gsrOnly", "icaAROMA")
    assert finite(*matrices(out, failed))
    assert len(list(out.rglob("*_desc-spheres_dseg.tsv"))) == 1


def test_a_strategy_without_an_image_fails_at_every_call(call, tiny, tmp_path):
    tiny.add_run()
    for _ in range(2):
        told = call("--strategy", "gsrOnly", "icaAROMA", status=1)
        assert "1 of 1 run to do (1 not finished yet)" in told
        assert told.count("starts from a desc-smoothAROMAnonaggr") == 1
        assert finite(*matrices(tmp_path / "out", "gsrOnly"))


def test_a_filter_that_the_repetition_time_cannot_carry(call, tiny, strategy, tmp_path):
    tiny.add_run()
    told = call("--strategy", strategy(FAST), "24P", status=1)
    assert "not below the Nyquist frequency, 0.25 Hz" in told
    assert finite(*matrices(tmp_path / "out", "24P"))
    assert not matrices(tmp_path / "out", "fast")


@pytest.mark.parametrize("least", [{"min_volumes": 35}, {"min_seconds": 70}])
def test_length_is_looked_at_before_the_filter(call, tiny, strategy, tmp_path, least):
    """A Butterworth filter of order 5 pads by 33 volumes; too short a run needs no filter."""
    tiny.add_run(n_volumes=40)
    tiny.add_run("sub-02_task-rest", n_volumes=30)
    band = {"name": "band", "filter": {"high_pass": 0.01, "low_pass": 0.2}}
    call("--strategy", strategy(band | least))
    rows = pd.read_csv(tmp_path / "out" / "exclusions.tsv", sep="\t")
    assert rows["participant_id"].tolist() == ["sub-02"]
    assert [finite(path) for path in matrices(tmp_path / "out", "band")] == [True, False]
    assert "needs more than 33 volumes" in call("--strategy", strategy(band), status=1)


def test_kept_volumes_count_not_all(call, tiny, strategy, tmp_path):
    tiny.add_run(n_volumes=32)
    change_table(tiny, framewise_displacement=np.arange(32) < 10)
    content = {"name": "band", "filter": {"low_pass": 0.1}, "censor": {"fd_threshold": 0.5}}
    call("--strategy", strategy(content | {"min_volumes": 25, "filter": FAST["filter"]}))
    rows = pd.read_csv(tmp_path / "out" / "exclusions.tsv", sep="\t")
    assert rows["reason"].str.startswith("22 of 32 volumes are left, fewer than 25").all()


def test_no_table_is_needed_for_no_regressors(call, tiny, tmp_path):
    tiny.add_run()
    table_of(tiny).unlink()
    told = call("--strategy", "none", "24P", status=1)
    assert "No confounds table belongs to" in told
    assert finite(*matrices(tmp_path / "out", "none"))
    assert not matrices(tmp_path / "out", "24P")
    sidecar = json.loads(matrices(tmp_path / "out", "none")[0].with_suffix(".json").read_text())
    assert sidecar["NuisanceParameters"] == []
    assert sidecar["NumberOfVolumesKept"] == 40
    assert "0 of 1 run to do" in call("--strategy", "none")


def test_strict_stops_before_the_first_image(call, tiny, strategy, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    table_of(tiny, "02").write_text("")
    told = call("--strategy", strategy(FAST), "24P", "--strict", status=65)
    assert "0.25 Hz" in told
    assert "it is empty" in told
    assert not (tmp_path / "out").exists()


def test_strict_looks_at_values(call, tiny, tmp_path):
    tiny.add_run()
    change_table(tiny, csf=np.nan)
    told = call("--strategy", "simple", "24P", "--strict", status=65)
    assert "column csf is n/a throughout" in told
    assert not (tmp_path / "out").exists()
    call("--strategy", "24P", "--strict")


def test_strict_compares_rows_of_a_table_with_volumes_of_the_run(call, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    lines = table_of(tiny, "02").read_text().splitlines(keepends=True)
    table_of(tiny, "02").write_text("".join(lines[:-1]))
    message = call("--strategy", "24P", "--strict", status=65)
    assert "has 39 rows, but the BOLD image has 40 volumes. In 1 run: sub-02_task-rest." in message
    assert not (tmp_path / "out").exists()
    call("--strategy", "24P", status=1)
    assert len(matrices(tmp_path / "out", "24P")) == 1


def test_the_call_stops_when_nothing_could_be_done(call, tiny, strategy, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    told = call("--strategy", strategy(FAST), "icaAROMA", status=65)
    assert "2 problems with strategies, and nothing is done" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fails", ["nothing", "one strategy", "all strategies", "the image"])
def test_alone_and_in_company(call, tiny, strategy, tmp_path, fails):
    """Files of a participant are the same, whoever else is in the call."""
    bold = tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    change_table(tiny, "02", motion_outlier00=(np.arange(40) == 7).astype(float))
    if fails == "the image":
        bold.write_bytes(bold.read_bytes()[:-2000])
    elif fails != "nothing":
        change_table(tiny, drop=["csf", *["trans_x"] * (fails == "all strategies")])
    chosen = ("--strategy", strategy(SPIKES), "simple")
    call(*chosen, output=tmp_path / "both", status=int(fails != "nothing"))
    alone = tmp_path / "alone"
    status = {"nothing": 0, "all strategies": 65}.get(fails, 1)
    told = call(*chosen, "--participant-label", "01", output=alone, status=status)
    assert tree(alone, "01") == tree(tmp_path / "both", "01")
    written = {"nothing": 2, "one strategy": 1}.get(fails, 0)
    assert len(list((alone / "sub-01").rglob("*_relmat.tsv"))) == written
    if written:
        assert r"the pattern '^motion_outlier\\d+$' matches no column" in told.replace("The", "the")
    sidecar = next((tmp_path / "both" / "sub-02").rglob("*desc-spikes_timeseries.json"))
    assert json.loads(sidecar.read_text())["NuisanceParameters"] == ["trans_x", "motion_outlier00"]


def test_several_runs_together_do_without_one_that_failed(call, tiny, tmp_path):
    for number in "12":
        tiny.add_run(f"{STEM}_run-{number}")
    call("--strategy", "24P", "simple", "--concatenate", "participant")
    path = next(tiny.root.rglob("*_run-2_desc-confounds_timeseries.tsv"))
    table = pd.read_csv(path, sep="\t", na_values=["n/a"]).assign(csf=np.nan)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    call("--strategy", "24P", "simple", "--concatenate", "participant", status=1)
    name = "sub-01_task-rest_space-MNI152NLin2009cAsym_seg-mine_stat-pearsoncorrelation_desc-"
    folder = tmp_path / "out" / "sub-01" / "func"
    runs = {
        strategy: json.loads((folder / f"{name}{strategy}_relmat.json").read_text())["NumberOfRuns"]
        for strategy in ("24P", "simple")
    }
    assert runs == {"24P": 2, "simple": 1}


def test_a_crash_file_has_message_trace_versions_and_settings(tmp_path):
    settings = Settings(tmp_path, tmp_path / "out", atlas=("Power2011",))
    trace = "Traceback of a worker\n\n"
    keep_crash(Outcome("sub-01 task-x", error="no\nroom", trace=trace), settings)
    (path,) = (tmp_path / "out" / "logs").iterdir()
    assert path.name.startswith("crash-")
    head, error, told, software, *record = path.read_text().split("\n\n")
    assert re.fullmatch(r"sub-01 task-x, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", head)
    assert (error, told) == ("no\nroom", "Traceback of a worker")
    assert software == "\n".join(f"{name} {version}" for name, version in versions().items())
    assert json.loads("\n\n".join(record)) == settings.to_json()
    assert path.read_text().endswith("}\n")
    lost = Outcome("sub-01 task-x", error="lost", versions={"numpy": "0.1"})
    keep_crash(lost, settings)
    _, error, told, software, *_ = path.read_text().split("\n\n")
    assert (error, software) == ("lost", "numpy 0.1")
    assert told == "No traceback: the process is gone."
    keep_crash(Outcome("sub-02 task-x"), settings)
    assert path.exists()
    keep_crash(Outcome("sub-01 task-x"), settings)
    assert not path.exists()


@pytest.mark.parametrize(
    ("finished", "outdated"), [(4, []), (5, []), (6, ["01"]), (9, ["01"]), (10, ["01", "02"])]
)
def test_a_page_is_outdated_when_any_of_the_participants_is_older_than_a_run(
    tmp_path, monkeypatch, finished, outdated
):
    times = {"01": (9, 5), "02": (9, 9), "03": ()}
    pages = {
        label: [tmp_path / f"{label}-{i}" for i, _ in enumerate(own)]
        for label, own in times.items()
    }
    for label, own in pages.items():
        for path, time in zip(own, times[label], strict=True):
            path.touch()
            os.utime(path, ns=(time, time))
    called = []
    fake = SimpleNamespace(
        pages_of=lambda _, label: pages[label],
        outdated_participants=lambda _, level, labels, changed: called.append(
            (level, list(labels), sorted(changed))
        ),
        write_reports=lambda *_, **__: [],
    )
    monkeypatch.setattr(participant_level, "write_pages", fake)
    monkeypatch.setattr(participant_level, "last_finished", lambda *_: finished)
    tasks = [
        SimpleNamespace(job=SimpleNamespace(run=SimpleNamespace(participant=label)), groups=groups)
        for label, groups in (("01", ()), ("02", ()), ("01", ()), ("03", ()), ("04", ("a",)))
    ]
    pages["04"] = []
    settings = Settings(tmp_path, tmp_path, report_level="session")
    assert participant_level._report(None, settings, tasks, debug=False) == []
    assert called == [("session", ["01", "02", "03", "04"], [*outdated, "04"])]


def test_the_methods_text_of_a_participant_is_about_its_own_space(call, tiny, seeds_file, tmp_path):
    spaces = {"01": "MNI152NLin6Asym", "02": "MNI152NLin2009cAsym", "03": "MNI152Lin"}
    for label, space in spaces.items():
        tiny.add_run(f"sub-{label}_task-rest", space=space)
    seeds_file.with_suffix(".json").write_text(json.dumps({"Space": spaces["01"]}))
    call("--strategy", "none")
    logs = tmp_path / "out" / "logs"
    files = {label: logs / "methods" / f"sub-{label}.md" for label in spaces}
    texts = {label: path.read_text() for label, path in files.items()}
    assert "without conversion" not in texts["01"]
    for label, other in (("02", "03"), ("03", "02")):
        assert f"were used in {spaces[label]} without conversion" in texts[label]
        assert spaces[other] not in texts[label]
    whole = (logs / "CITATION.md").read_text()
    assert spaces["02"] in whole
    assert spaces["03"] in whole


@pytest.mark.parametrize("order", [1, -1])
def test_the_methods_text_of_a_participant_has_all_of_its_spaces(call, tiny, tmp_path, order):
    spaces = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")[::order]
    for space in spaces:
        tiny.add_run(space=space)
    call("--strategy", "none", "--space", *spaces)
    text = (tmp_path / "out" / "logs" / "methods" / "sub-01.md").read_text()
    assert [space for space in spaces if space not in text] == []


def test_facts_of_the_methods_text_are_those_of_the_settings(tmp_path):
    rules = Processing(connectivity=("partial", "pearson"), warp_seeds=True, min_dof=12)
    own = {"processing": rules, "outliers": tmp_path / "x.tsv"}
    seeds = [
        SeedTable(label, ("a",), np.zeros((1, 3)), np.ones(1), space=f"MNI152NLin{label}Asym")
        for label in ("2009c", "6")
    ]
    inputs = SimpleNamespace(main=SimpleNamespace(program="fMRIPrep", version="24.1.1"))
    work = SimpleNamespace(seed_sets=seeds, strategies=("s",))

    def facts(space, **settings):
        call = Settings(tmp_path, tmp_path / "out", **settings)
        return participant_level._methods_facts(call, inputs, work, space)

    spaces = ("MNI152NLin2009cAsym", "MNI305")
    found = facts(set(spaces), **own)
    assert (found.pipeline, found.pipeline_version) == ("fMRIPrep", "24.1.1")
    assert (found.spaces, found.min_dof, found.external_outliers) == (spaces, 12, True)
    assert found.measures == ("partialcorrelation", "pearsoncorrelation")
    assert facts({spaces[0]}, **own).transformed == ("6",)
    plain = facts({spaces[0]})
    assert (plain.transformed, plain.external_outliers) == ((), False)
    assert plain.measures == ("pearsoncorrelation",)


def test_problems_of_files_are_errors_of_their_runs_and_those_of_settings_are_warned_of(call, tiny):
    for label in ("01", "02"):
        tiny.add_run(f"sub-{label}_task-rest")
    change_table(tiny, "01", csf=np.nan)
    change_table(tiny, "02", drop=["csf"])
    told = call("--strategy", "24P", "simple", status=1).splitlines()
    begins = {
        phrase: [line.split()[0] for line in told if phrase in line]
        for phrase in ("column csf is n/a throughout", "no column csf")
    }
    assert list(begins.values()) == [["ERROR"], ["WARNING"]]


def broken_runs(tiny, *labels):
    for label in labels:
        bold = tiny.add_run(f"sub-{label}_task-rest")
        bold.write_bytes(bold.read_bytes()[:20_000])


def crashes(output):
    return sorted(path.name[:12] for path in (output / "logs").glob("crash-*.txt"))


def test_a_disk_that_is_full_does_not_hide_why_a_run_failed(call, tiny, monkeypatch):
    broken_runs(tiny, "01")

    def full(*_):
        raise OutputError("The crash file can't be written.")

    monkeypatch.setattr(participant_level, "keep_crash", full)
    told = call("--strategy", "none", status=1)
    assert "WARNING The crash file can't be written." in told
    assert "the file ends early" in told
    assert "1 of 1 run failed" in told


def test_crash_files_stay_until_their_runs_are_done(call, tiny, tmp_path):
    broken_runs(tiny, "01", "02")
    call("--strategy", "none", status=1)
    assert crashes(tmp_path / "out") == ["crash-sub-01", "crash-sub-02"]
    told = call("--strategy", "none", "--stop-on-first-error", status=1)
    assert "1 of 2 runs were not tried after that" in told
    assert "0 of 2 runs written to" in told
    assert crashes(tmp_path / "out") == ["crash-sub-01", "crash-sub-02"]


@pytest.mark.parametrize("fatal", [False, True])
def test_after_a_fatal_error_nothing_is_concatenated(call, tiny, monkeypatch, fatal):
    for number in "12":
        tiny.add_run(f"{STEM}_run-{number}")
    fail = lambda task: Outcome(str(task), error="no room", fatal=fatal)  # noqa: E731
    monkeypatch.setattr(participant_level, "attempt", fail)
    told = call("--strategy", "none", "--concatenate", "session", status=1)
    assert ("none of its runs is done, and no matrix" in told) is not fatal
    assert ("1 of 2 runs were not tried" in told) is fatal


def test_runs_that_were_not_tried_are_in_no_matrix_of_several_runs(call, tiny, monkeypatch):
    for number in "12":
        tiny.add_run(f"{STEM}_run-{number}")
    fail = lambda task: Outcome(str(task), error="odd")  # noqa: E731
    monkeypatch.setattr(participant_level, "attempt", fail)
    words = ("--strategy", "none", "--concatenate", "session", "--stop-on-first-error")
    told = call(*words, status=1)
    assert "1 of 2 runs were not tried" in told
    assert "none of its runs is done, and no matrix" in told


@pytest.mark.parametrize(("options", "kept"), [((), 0), (("--participant-label", "01"), 3)])
def test_unfinished_files_go_where_no_other_task_of_an_array_writes(
    call, tiny, tmp_path, options, kept
):
    """One task of an array leaves those in folders that all tasks share."""
    for label in ("01", "02"):
        tiny.add_run(f"sub-{label}_task-rest")
    out, work = tmp_path / "out", tmp_path / "work"
    call("--strategy", "none", "--work-dir", work)
    shared = [out, out / "logs", out / "sub-02" / "func"]
    for folder in (*shared, out / "sub-01" / "func", work):
        path = folder / f".tmp-bids_spheres-{32 * '1'}.tsv"
        path.touch()
        os.utime(path, (1, 1))
    call("--strategy", "none", "--work-dir", work, *options)
    left = [path.parent for place in (out, work) for path in place.rglob(".tmp-*")]
    assert sorted(left) == shared[:kept]
