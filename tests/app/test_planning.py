"""What a dry run says of a dataset with many problems, and of options without effect."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.app import planning
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.errors import DataError


@pytest.fixture
def preview(run_app, tiny, seeds_file, tmp_path, monkeypatch):
    """Dry run; temporary files go into a folder of the test."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    def call(*options):
        words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--dry-run")
        done = run_app(*words, *options)
        assert done.status == 0, done.err
        assert not (tmp_path / "out").exists()
        return [line for line in done.err.splitlines() if not line.startswith("INFO")]

    return call


def broken(tiny, number):
    """Runs whose JSON file beside the confounds table ends early."""
    paths = []
    for i in range(1, number + 1):
        bold = tiny.add_run(f"sub-{i:02}_task-rest")
        paths.append(bold.with_name(f"sub-{i:02}_task-rest_desc-confounds_timeseries.json"))
        paths[-1].write_text("{")
    return paths


def test_many_broken_files_of_one_kind_are_one_line_and_a_list(preview, tiny, tmp_path):
    paths = broken(tiny, 5)
    warning, hint, rest = preview()
    (listed,) = (tmp_path / "tmp").glob("bids-spheres-problems-*.txt")
    assert warning.startswith(f"WARNING {paths[0]} is not valid JSON")
    assert hint == "  hint: Put it right, or copy or compute it again."
    assert rest == f"  4 more of this kind are listed with it in {listed}"
    lines = [line for line in listed.read_text().splitlines() if "hint:" not in line]
    assert [line.split()[0] for line in lines] == [str(path) for path in paths]


def test_one_broken_file_is_one_line(preview, tiny, tmp_path):
    (path,) = broken(tiny, 1)
    warning, _ = preview()
    assert warning.startswith(f"WARNING {path} is not valid JSON")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        (("--equal-seconds-seed", 3), "--equal-seconds-seed (without --equal-seconds)"),
        (
            ("--parcellation-space", "MNI152Lin"),
            "--parcellation-space (without --parcellation or --roi)",
        ),
        (
            ("--parcellation-weights", "mean"),
            "--parcellation-weights (without --parcellation)",
        ),
        (("--tail", "positive"), "--tail"),
    ],
)
def test_options_without_effect_are_named(preview, tiny, options, ignored):
    tiny.add_run()
    assert preview(*options) == [f"WARNING Of no effect at the participant level: {ignored}"]


def test_an_option_with_the_one_it_needs_has_an_effect(preview, tiny):
    tiny.add_run()
    assert preview("--equal-seconds", 20, "--equal-seconds-seed", 3) == []


@pytest.mark.parametrize(("number", "lines"), [(3, 6), (4, 3)])
def test_up_to_three_broken_files_are_told_one_by_one(preview, tiny, tmp_path, number, lines):
    broken(tiny, number)
    assert len(preview()) == lines
    assert len(list((tmp_path / "tmp").iterdir())) == (number > 3)


def test_without_room_for_a_list_all_are_told(preview, tiny, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    paths = broken(tiny, 5)
    monkeypatch.setattr(planning, "mkstemp", full)
    assert [line.split()[1] for line in preview() if line[:4] == "WARN"] == [str(p) for p in paths]


def task(reason):
    return SimpleNamespace(reason=reason)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], "0 of no runs to do, 0 up to date"),
        ([None], "0 of 1 run to do, 1 up to date"),
        (["new"], "1 of 1 run to do (1 new), 0 up to date"),
        (
            ["old", None, "new", "new", None, "new"],
            "4 of 6 runs to do (3 new, 1 old), 2 up to date",
        ),
    ],
)
def test_how_many_runs_are_to_be_done_and_why(reasons, expected):
    assert planning.freshness([task(reason) for reason in reasons]) == expected


def test_what_explain_says_of_a_design(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    path = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    table["framewise_displacement"] = np.r_[np.nan, np.full(7, 2.0), np.full(32, 0.1)]
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--explain")
    done = run_app(
        *(*words, "--fd-threshold", "0.5", "--strategy", "gsrOnly", "none", "icaAROMA"),
        *("--min-dof", 32),
    )
    assert done.status == 0, done.err
    parts = "{} volumes kept - {} rank removed - 0 lost to filtering"
    assert done.out.splitlines() == [
        "sub-01 task-rest space-MNI152NLin2009cAsym",
        "  gsrOnly",
        "    columns: 2: cosine00 global_signal",
        "    volumes: 33 of 40 kept (left out: framewise_displacement 7)",
        f"    degrees of freedom: 29 = {parts.format(33, 4)}",
        f"    EXCLUDED: 29 degrees of freedom, fewer than 32 ({parts.format(33, 4)})",
        f"    image: {bold}",
        "  none",
        "    columns: 0:",
        "    volumes: 33 of 40 kept (left out: framewise_displacement 7)",
        f"    degrees of freedom: 31 = {parts.format(33, 2)}",
        f"    EXCLUDED: 31 degrees of freedom, fewer than 32 ({parts.format(33, 2)})",
        f"    image: {bold}",
        "  icaAROMA",
        (
            "    FAILED: The strategy icaAROMA starts from a desc-smoothAROMAnonaggr or "
            "desc-nonaggrDenoised image, which is missing."
        ),
        "",
    ]
    assert not (tmp_path / "out").exists()


def test_what_a_dry_run_says_of_each_run(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    second = tiny.add_run("sub-02_task-rest")
    second.with_name("sub-02_task-rest_desc-confounds_timeseries.tsv").unlink()
    second.with_name(second.name.replace("preproc_bold", "brain_mask")).unlink()
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--dry-run")

    def rows(*options):
        done = run_app(*words, *options)
        assert done.status == 0, done.err
        table = done.out.split("\n\n")[0].splitlines()
        return [re.split(" {2,}", line) for line in table]

    header, first, last = rows("--strategy", "24P", "none", "icaAROMA")
    assert header == ["run", "images", "mask", "confounds", "files", "state"]
    images = "preproc (1 strategy without an image)"
    name = "task-rest space-MNI152NLin2009cAsym"
    assert first[:4] == [f"sub-01 {name}", images, "yes", "yes"]
    assert last[:4] == [f"sub-02 {name}", images, "MISSING", "MISSING"]
    assert int(first[4]) > 4
    assert first[5:] == last[5:] == ["not finished yet"]
    _, _, last = rows("--strategy", "none", "--mask", "none")
    assert last[1:4] == ["preproc", "yes", "yes"]


def test_what_the_work_on_runs_takes_from_the_settings(tiny, seeds_file, tmp_path):
    tiny.add_run()
    base = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    words = [str(word) for word in base]
    for options, threads, work_dir in (
        ((), 2, None),
        (("--omp-nthreads", "1"), 1, None),
        (("--omp-nthreads", "5", "--work-dir", str(tmp_path / "w")), 5, tmp_path / "w"),
    ):
        settings = settings_of(main_parser().parse_args([*words, *options]))
        _, (job,), _ = planning.plan_jobs(settings)
        assert (job.work.threads, job.work.work_dir) == (threads, work_dir)
        assert job.work.links == (("preprocessed", tiny.root),)


@pytest.mark.parametrize("folder", ["a", "z"])
def test_events_are_those_of_the_first_dataset_that_has_some(tiny, seeds_file, tmp_path, folder):
    """Of datasets that are named before the raw one, whose link is there where it is used."""
    for run in "12":
        tiny.add_run(f"sub-01_task-rest_run-{run}")
    raw, named = tiny.root / "sourcedata" / "raw", tmp_path / folder
    for root, runs in ((raw, "12"), (named, "2")):
        func = root / "sub-01" / "func"
        func.mkdir(parents=True)
        for run in runs:
            (func / f"sub-01_task-rest_run-{run}_events.tsv").write_text("onset\tduration\n1\t1\n")
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "task": {"model": "hrf"}}')
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--strategy", own)

    def plan(*options):
        parsed = main_parser().parse_args([str(word) for word in (*words, *options)])
        inputs, jobs, _ = planning.plan_jobs(settings_of(parsed))
        roots = [job.run.tables.events.parents[2] for job in jobs]
        links = tuple((name, dataset.root) for name, dataset in inputs.all.items())
        assert {job.work.links for job in jobs} == {links}
        return list(inputs.others), roots

    assert plan("-d", f"stimuli={named}") == (["stimuli", "raw"], [raw, named])
    assert plan("-d", f"stimuli={named}", "--run", "2") == (["stimuli"], [named])
    assert plan() == (["raw"], [raw, raw])


def test_a_dry_run_lists_the_images_of_a_run(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    for kind in ("smoothAROMAnonaggr", "optcom"):
        shutil.copy(bold, bold.with_name(bold.name.replace("preproc", kind)))
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--dry-run")
    done = run_app(*words, "--strategy", "none", "icaAROMA", "24P")
    assert done.status == 0, done.err
    _, row = done.out.split("\n\n")[0].splitlines()
    assert re.split(" {2,}", row)[1] == "preproc, smoothAROMAnonaggr"
    assert "optcom_bold.nii.gz: no strategy starts from it" in done.out


def test_of_several_raw_datasets_that_of_the_first_run_is_linked(tiny, seeds_file, tmp_path):
    linked, inner = tmp_path / "raw", tiny.root / "sourcedata" / "raw"
    for run, root in (("1", linked), ("2", inner)):
        tiny.add_run(f"sub-01_task-rest_run-{run}")
        func = root / "sub-01" / "func"
        func.mkdir(parents=True)
        events = func / f"sub-01_task-rest_run-{run}_events.tsv"
        events.write_text("onset\tduration\n1\t1\n")
    description = tiny.root / "dataset_description.json"
    content = json.loads(description.read_text()) | {"DatasetLinks": {"raw": "../raw"}}
    description.write_text(json.dumps(content))
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "task": {"model": "hrf"}}')
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--strategy", own)
    parsed = main_parser().parse_args([str(word) for word in words])
    inputs, jobs, _ = planning.plan_jobs(settings_of(parsed))
    assert [job.run.tables.events.parents[2] for job in jobs] == [linked, inner]
    assert {name: dataset.root for name, dataset in inputs.others.items()} == {"raw": linked}


def test_runs_with_two_files_for_one_place_are_told(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run("sub-02_task-rest")
    old = tiny.add_run(space="MNIInfant_cohort-2")
    new = tiny.add_run(space="MNIInfant+2")
    problem = f"{new} and {old} are both the same image of one run."
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    words = (*words, "--space", "MNIInfant+2", "MNI152NLin2009cAsym", "--strategy", "none")
    shown = run_app(*words, "--explain")
    assert shown.status == 0, shown.err
    assert f"sub-01 task-rest space-MNIInfant+2\n  FAILED: {problem}" in shown.out
    assert "sub-02 task-rest space-MNI152NLin2009cAsym\n  none\n" in shown.out
    shown = run_app(*words, "--dry-run")
    assert f"\nRuns that would fail:\n  {problem}" in shown.out


@pytest.mark.parametrize("preview", ["--explain", "--dry-run"])
def test_a_preview_of_a_strict_call_has_its_status(run_app, tiny, seeds_file, tmp_path, preview):
    bold = tiny.add_run()
    path = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a").assign(csf=np.nan)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, preview)
    words = (*words, "--strategy", "24P", "simple")
    phrase = "column csf is n/a throughout"
    plain, strict = run_app(*words), run_app(*words, "--strict")
    assert (plain.status, strict.status) == (0, 65)
    # A dry run reads the first lines of tables alone.
    assert (phrase in plain.err, phrase in strict.err) == (preview == "--explain", True)


def test_a_dataset_that_is_named_raw_keeps_its_name(tiny, seeds_file, tmp_path):
    tiny.add_run()
    named = tmp_path / "mine"
    named.mkdir()
    func = tiny.root / "sourcedata" / "raw" / "sub-01" / "func"
    func.mkdir(parents=True)
    (func / "sub-01_task-rest_events.tsv").write_text("onset\tduration\n1\t1\n")
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "task": {"model": "hrf"}}')
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--strategy", own)
    parsed = main_parser().parse_args([str(word) for word in (*words, "-d", f"raw={named}")])
    inputs, (job,), _ = planning.plan_jobs(settings_of(parsed))
    assert inputs.others["raw"].root == named
    assert job.run.tables.events.parent == func


def test_strategies_without_an_image_need_no_table_in_a_dry_run(
    run_app, tiny, seeds_file, tmp_path
):
    bold = tiny.add_run()
    bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv").unlink()
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--dry-run")
    done = run_app(*words, "--strategy", "none", "icaAROMA")
    _, row = done.out.split("\n\n")[0].splitlines()
    assert re.split(" {2,}", row)[2:4] == ["yes", "yes"]


def test_images_and_spaces_are_those_of_all_strategies_and_seed_sets(
    tiny, seeds_file, tmp_path, monkeypatch
):
    tiny.add_run()
    own = tmp_path / "own.tsv"
    own.write_text("x\ty\tz\n1\t2\t3\n")
    own.with_suffix(".json").write_text('{"Space": "T1w"}')
    asked = []

    def found(_inputs, _selection, kinds, _database, *, usable):
        asked.append((kinds, [usable(space) for space in ("T1w", "MNI152NLin2009cAsym")]))
        raise DataError("enough")

    monkeypatch.setattr(planning, "find_runs", found)
    words = (tiny.root, tmp_path / "out", "participant", "--strategy", "none", "icaAROMA")
    for seeds in ([seeds_file], [own, seeds_file], [seeds_file, own]):
        parsed = main_parser().parse_args([str(word) for word in (*words, "--seeds", *seeds)])
        with pytest.raises(DataError, match="enough"):
            planning.plan_jobs(settings_of(parsed))
    assert {tuple(kinds) for kinds, _ in asked} == {
        ("preproc", "smoothAROMAnonaggr", "nonaggrDenoised")
    }
    assert [usable for _, usable in asked] == [[False, True], [False, False], [False, False]]
