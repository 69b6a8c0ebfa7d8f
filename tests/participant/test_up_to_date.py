"""A call again: what is up to date is left alone, and what is not becomes as if made anew."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.app.planning import plan_jobs
from bids_spheres.engine.stream import open_gzip
from bids_spheres.errors import OutputError
from bids_spheres.files import atomic as files
from bids_spheres.participant import up_to_date as freshness

RUNS = ("sub-01_task-rest", "sub-02_task-rest")
SERIES = "_space-MNI152NLin2009cAsym_seg-mine_stat-mean_desc-simple_timeseries.tsv"


def results(output):
    """Files of runs, and the table of exclusions, by their names."""
    found = [p for p in output.rglob("*") if p.is_file() and p.is_relative_to(output)]
    inside = [path.relative_to(output) for path in found]
    return {
        str(name): (output / name).read_bytes()
        for name in sorted(inside)
        if ("func" in name.parts[:-1] and name.parts[0] != "logs") or name.stem == "exclusions"
    }


def writings(output):
    """When the files of runs were written, and as which file: each writing makes a new one."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in output.rglob("sub-*/**/func/*")
        if "logs" not in path.relative_to(output).parts
    }


@pytest.fixture
def dataset(tiny):
    """Two participants with one short run each."""
    for stem in RUNS:
        tiny.add_run(stem)
    return tiny


@pytest.fixture
def call_app(run_app, tiny, seeds_file, tmp_path):
    """Call the app on the tiny dataset; own seeds and output unless other ones are given."""

    def call(*options, output=tmp_path / "out", seeds=(), report="none", status=0):
        done = run_app(
            *(tiny.root, output, "participant", "--report-level", report),
            *("--seeds", *(seeds or [seeds_file]), *options),
        )
        assert done.status == status, done.err
        return done

    return call


@pytest.fixture
def app(call_app, dataset):
    """The same, on two participants."""
    assert dataset.root.is_dir()
    return call_app


@pytest.fixture
def read_images(monkeypatch):
    """Names of the compressed images that were opened, as they are."""
    opened = []

    def spy(path, *args):
        opened.append(Path(path).name)
        return open_gzip(path, *args)

    monkeypatch.setattr("bids_spheres.engine.stream.open_gzip", spy)
    return opened


def bolds(opened):
    return [name for name in opened if "bold" in name]


def test_nothing_is_done_twice(app, read_images, tmp_path):
    app()
    before = writings(tmp_path / "out")
    assert len(before) == 26
    read_images.clear()
    done = app()
    assert "0 of 2 runs to do, 2 up to date" in done.err
    assert writings(tmp_path / "out") == before
    assert read_images == []


def test_records_know_every_file(app, tmp_path):
    """Whoever adds an output has to add it to its group too."""
    app("--seed-maps", "--effective-dof", "--connectivity", "pearson", "partial")
    out = tmp_path / "out"
    written = {str(path.relative_to(out)) for path in writings(out)}
    entries = [json.loads(path.read_text()).values() for path in (out / "logs/done").rglob("*.*")]
    recorded = [name for record in entries for entry in record for name in entry["Files"]]
    assert sorted(recorded) == sorted(written)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "sub-02_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        "sub-02_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.json",
        "sub-02_task-rest_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        "sub-02_task-rest_desc-confounds_timeseries.tsv",
        "sub-02_task-rest_desc-confounds_timeseries.json",
    ],
)
def test_a_changed_input_makes_its_run_stale(app, dataset, tmp_path, name):
    sidecar = dataset.root / "sub-02/func/sub-02_task-rest_desc-confounds_timeseries.json"
    sidecar.write_text("{}")
    app()
    before = writings(tmp_path / "out")
    os.utime(dataset.root / "sub-02" / "func" / name, ns=(1, 1))
    assert "1 made of inputs that have changed), 1 up to date" in app().err
    after = writings(tmp_path / "out")
    changed = {path.name for path in before if after[path] != before[path]}
    assert "sub-02" + SERIES[7:] not in changed
    assert RUNS[1] + SERIES in changed
    assert not [name for name in changed if name.startswith("sub-01")]


def test_a_new_sidecar_is_a_changed_input(app, dataset):
    app()
    table = dataset.root / "sub-02/func/sub-02_task-rest_desc-confounds_timeseries.tsv"
    table.with_suffix(".json").write_text("{}")
    assert "1 made of inputs that have changed), 1 up to date" in app().err
    assert "0 of 2 runs to do" in app().err


def test_an_outlier_table_is_an_input(app, tmp_path):
    tables = tmp_path / "outliers"
    tables.mkdir()
    for stem in RUNS:
        flags = ["outlier", *(["0"] * 39), "1"]
        (tables / f"{stem}_outliers.tsv").write_text("\n".join(flags) + "\n")
    app("--outliers", tables)
    assert "0 of 2 runs to do" in app("--outliers", tables).err
    os.utime(tables / f"{RUNS[0]}_outliers.tsv", ns=(1, 1))
    assert "1 made of inputs that have changed" in app("--outliers", tables).err
    assert "2 made of inputs that have changed" in app().err


def test_tables_of_other_programs_are_inputs(app, tmp_path):
    aroma = tmp_path / "aroma"
    (aroma / "sub-01" / "func").mkdir(parents=True)
    (aroma / "dataset_description.json").write_text(
        json.dumps({"Name": "a", "GeneratedBy": [{"Name": "fMRIPost-AROMA"}]})
    )
    table = aroma / "sub-01" / "func" / "sub-01_task-rest_desc-aroma_timeseries.tsv"
    table.write_text("\n".join(["aroma_orth_motion_00", *map(str, range(40))]) + "\n")
    call = ["--derivatives", aroma]
    app(*call)
    assert "0 of 2 runs to do" in app(*call).err
    os.utime(table, ns=(1, 1))
    assert "1 made of inputs that have changed" in app(*call).err


def test_a_dataset_may_be_moved(app, run_app, dataset, seeds_file, tmp_path):
    app()
    moved = tmp_path / "elsewhere"
    shutil.copytree(dataset.root, moved)
    done = run_app(moved, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert "0 of 2 runs to do" in done.err


def test_contents_of_inputs_instead_of_times(app, dataset):
    app("--hash-inputs")
    os.utime(dataset.root / "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv", ns=(1, 1))
    assert "0 of 2 runs to do" in app("--hash-inputs").err
    assert "1 made of inputs that have changed" in app().err
    assert "0 of 2 runs to do" in app().err
    # That call did not look at contents, so that there is nothing to compare with.
    assert "1 of 2 runs to do" in app("--hash-inputs").err


def test_contents_that_change_alone_are_found(app, dataset, tmp_path):
    table = dataset.root / "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv"
    os.utime(table, ns=(1, 1))
    app("--hash-inputs")
    before = results(tmp_path / "out")
    lines = table.read_text().splitlines()
    lines[20], lines[30] = lines[30], lines[20]
    table.write_text("\n".join(lines) + "\n")
    os.utime(table, ns=(1, 1))
    assert "0 of 2 runs to do" in app().err
    assert "1 made of inputs that have changed" in app("--hash-inputs").err
    app("--hash-inputs", output=tmp_path / "anew")
    assert results(tmp_path / "out") == results(tmp_path / "anew") != before


OTHER_SETTINGS = [
    ["--radius", "7"],
    ["--mask", "none"],
    ["--min-coverage", "0.9", "--mask", "none"],
    ["--overlap", "nearest", "--radius", "9"],
    ["--aggregation", "median"],
    ["--smoothing-fwhm", "5"],
    ["--no-detrend"],
    ["--standardize", "psc"],
    ["--dummy-scans", "3"],
    ["--min-dof", "30"],
    ["--full-length", "--fd-threshold", "0.03"],
    ["--high-pass", "0.01", "--low-pass", "0.1", "--filter", "butterworth"],
    ["--connectivity", "partial", "fisher-z"],
    ["--effective-dof"],
    ["--controls"],
    ["--seed-maps"],
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OTHER_SETTINGS, ids=" ".join)
def test_other_settings_give_what_they_would_anew(app, tmp_path, options):
    """Over an output of the default settings as in a new folder, and back again."""
    out, anew = tmp_path / "out", tmp_path / "anew"
    app()
    first = results(out)
    told = app(*options).err
    app(*options, output=anew)
    expected = results(anew)
    assert {name: results(out).get(name) for name in expected} == expected
    assert "2 of 2 runs to do" in told
    assert "0 of 2 runs to do" in app(*options).err
    app()
    assert {name: results(out).get(name) for name in first} == first
    assert "0 of 2 runs to do" in app().err


def test_a_strategy_of_the_users_own_counts_by_its_value(app, tmp_path):
    own, other = tmp_path / "own.json", tmp_path / "other.json"
    own.write_text('{"name": "own", "description": "Mine.", "motion": "basic"}')
    app("--strategy", own)
    shutil.copy(own, other)
    assert "0 of 2 runs to do" in app("--strategy", other).err
    own.write_text('{"motion": "basic", "name": "own", "description": "In better words."}')
    assert "0 of 2 runs to do" in app("--strategy", own).err
    own.write_text('{"name": "own", "description": "Mine.", "motion": "full"}')
    assert "2 made with other settings" in app("--strategy", own).err


def test_seeds_count_by_their_values(app, seeds_file):
    app()
    text = seeds_file.read_text()
    seeds_file.write_text(text.replace("\t-10\t", "\t-10.0\t"))
    assert "0 of 2 runs to do" in app().err
    seeds_file.write_text(text.replace("\t-10\t", "\t-11\t"))
    assert "2 made with other settings" in app().err
    seeds_file.with_suffix(".json").write_text('{"DefaultRadius": 6}')
    assert "2 made with other settings" in app().err


def test_the_space_that_a_table_declares_counts(app, seeds_file):
    declared = seeds_file.with_suffix(".json")
    declared.write_text('{"Space": "MNI152NLin2009cAsym"}')
    app()
    declared.write_text('{"Space": "MNI152NLin6Asym"}')
    assert "2 made with other settings" in app().err
    assert "0 of 2 runs to do" in app().err


def test_a_second_strategy_leaves_the_first_alone(app, read_images, tmp_path):
    out = tmp_path / "out"
    app("--strategy", "simple")
    before = writings(out)
    read_images.clear()
    app("--strategy", "simple", "24P")
    after = writings(out)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2 * 8
    assert len(bolds(read_images)) == 2
    app("--strategy", "simple", "24P", output=tmp_path / "anew")
    assert results(out) == results(tmp_path / "anew")


@pytest.mark.slow
def test_a_second_seed_set_leaves_the_first_alone(app, seeds_file, read_images, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other.tsv"
    rows = ["x\ty\tz\tradius", "4\t4\t4\t6", "-4\t-8\t0\t4", "0\t0\t0\t5", "8\t-8\t4\t5"]
    other.write_text("\n".join(rows) + "\n")
    app("--effective-dof")
    before = writings(out)
    read_images.clear()
    call = ["--strategy", "24P", "simple", "--effective-dof"]
    app(*call, seeds=[other, seeds_file])
    assert before.items() <= writings(out).items()
    # Both sets need it for the second strategy, one of them for the first, and it is read once.
    assert len(bolds(read_images)) == 2
    app(*call, seeds=[other, seeds_file], output=tmp_path / "anew")
    assert results(out) == results(tmp_path / "anew")


@pytest.mark.slow
def test_maps_of_one_of_two_seed_sets(app, seeds_file, tmp_path):
    other = tmp_path / "other.tsv"
    other.write_text("x\ty\tz\n4\t4\t4\n-4\t-8\t0\n")
    app("--seed-maps", "--smoothing-fwhm", "6")
    app("--seed-maps", "--smoothing-fwhm", "6", seeds=[other, seeds_file])
    sets = {"out": [other, seeds_file], "one": [other], "two": [seeds_file]}
    for name in ("one", "two"):
        app("--seed-maps", "--smoothing-fwhm", "6", seeds=sets[name], output=tmp_path / name)
    expected = results(tmp_path / "one") | results(tmp_path / "two")
    assert results(tmp_path / "out") == expected
    assert "0 of 2 runs to do" in app("--seed-maps", "--smoothing-fwhm", "6").err


def test_maps_of_a_run_that_is_excluded_now_go(app, tmp_path):
    app("--seed-maps")
    assert list(tmp_path.rglob("*_boldmap.nii.gz"))
    app("--seed-maps", "--min-dof", "30")
    app("--seed-maps", "--min-dof", "30", output=tmp_path / "anew")
    assert results(tmp_path / "out") == results(tmp_path / "anew")
    assert not list(tmp_path.rglob("*_boldmap.nii.gz"))


def test_measures_by_turns(app):
    for name in ("pearson", "partial"):
        app("--connectivity", name)
    for names in (["pearson"], ["partial"], ["pearson", "partial"]):
        assert "0 of 2 runs to do" in app("--connectivity", *names).err


@pytest.mark.slow
def test_whatever_is_deleted_is_made_again(app, tmp_path):
    out = tmp_path / "out"
    app("--effective-dof")
    expected = results(out)
    for name in [name for name in expected if name.startswith("sub-01")]:
        (out / name).unlink()
        told = app("--effective-dof").err
        assert "1 of 2 runs to do (1 with outputs that are gone or changed)" in told
        assert results(out) == expected
    assert len(expected) == 30


def test_a_file_cut_short_is_made_again(app, tmp_path):
    app()
    expected = results(tmp_path / "out")
    path = tmp_path / "out" / "sub-01" / "func" / (RUNS[0] + SERIES)
    path.write_bytes(path.read_bytes()[:-1])
    app()
    assert results(tmp_path / "out") == expected


def test_only_the_design_is_made_when_only_that_is_gone(app, read_images, tmp_path):
    app()
    (tmp_path / "out/sub-01/func/sub-01_task-rest_desc-simple_design.tsv").unlink()
    before = writings(tmp_path / "out")
    read_images.clear()
    app()
    after = writings(tmp_path / "out")
    changed = {path.name for path in before if after[path] != before[path]}
    assert changed == {
        f"sub-01_task-rest_desc-simple_{name}"
        for name in ("design.json", "outliers.tsv", "outliers.json")
    }
    assert bolds(read_images) in (
        [],
        [RUNS[0] + "_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"],
    )


def test_overwrite_makes_everything_again(app, tmp_path):
    app()
    before, expected = writings(tmp_path / "out"), results(tmp_path / "out")
    done = app("--overwrite")
    after = writings(tmp_path / "out")
    assert "2 made again because that was asked for" in done.err
    assert not before.items() & after.items()
    assert results(tmp_path / "out") == expected
    assert "0 of 2 runs to do" in app().err


def test_another_version_makes_everything_again(app, monkeypatch):
    app()
    monkeypatch.setattr(freshness, "__version__", "99")
    assert "2 made by another version" in app().err
    assert "0 of 2 runs to do" in app().err


@pytest.mark.slow
def test_a_page_older_than_its_runs_is_made_again(app, tmp_path):
    """As when the call that did the runs was killed before it wrote the pages."""
    out = tmp_path / "out"
    app(report="participant")
    before = writings(out)
    pages = [out / "sub-01.html", out / "sub-02.html"]
    told = [page.stat().st_ino for page in pages]
    app(report="participant")
    assert [page.stat().st_ino for page in pages] == told
    os.utime(pages[1], ns=(1, 1))
    assert "0 of 2 runs to do" in app(report="participant").err
    assert pages[0].stat().st_ino == told[0]
    assert pages[1].stat().st_mtime_ns > 1
    assert writings(out) == before


def test_a_dry_run_tells_what_is_to_do(app, tmp_path):
    assert "2 of 2 runs to do (2 not finished yet), 0 up to date" in app("--dry-run").out
    assert not (tmp_path / "out").exists()
    app()
    assert "0 of 2 runs to do, 2 up to date" in app("--dry-run").out


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\xff", '{"%s": 3}', '{"%s": {"Files": 3}}']
)
def test_a_broken_record_is_none(app, tmp_path, text):
    app()
    expected = results(tmp_path / "out")
    for record in (tmp_path / "out" / "logs" / "done").rglob("*_outputs.json"):
        key = next(iter(json.loads(record.read_text())))
        record.write_bytes((text % key if "%s" in text else text).encode("latin-1"))
    assert "2 of 2 runs to do" in app().err
    assert results(tmp_path / "out") == expected
    assert "0 of 2 runs to do" in app().err


def test_a_failed_run_is_tried_again(app, dataset, tmp_path):
    (bold,) = (dataset.root / "sub-01").rglob("*_bold.nii.gz")
    whole = bold.read_bytes()
    bold.write_bytes(whole[:40_000])
    app(status=1)
    done = app(status=1)
    assert "1 of 2 runs to do (1 not finished yet), 1 up to date" in done.err
    crash = tmp_path / "out/logs/crash-sub-01_task-rest_space-MNI152NLin2009cAsym.txt"
    told = crash.read_text()
    for phrase in ("the file ends early", "Traceback", "numpy ", "bids-spheres ", '"strategy"'):
        assert phrase in told
    assert os.environ["PATH"] not in told
    assert f"{bold.name}: the file ends early" in done.err.partition("1 of 1 run failed:")[0]
    bold.write_bytes(whole)
    app()
    assert not crash.exists()
    app(output=tmp_path / "anew")
    assert results(tmp_path / "out") == results(tmp_path / "anew")


def test_a_crash_file_goes_when_the_run_was_done_by_another(app, tmp_path):
    app()
    crash = tmp_path / "out/logs/crash-sub-01_task-rest_space-MNI152NLin2009cAsym.txt"
    of_others = crash.with_name("crash-sub-09_task-rest.txt")
    for path in (crash, of_others):
        path.write_text("x")
    app()
    assert not crash.exists()
    assert of_others.exists()


def test_an_excluded_run_is_done(app, tmp_path):
    options = ["--strategy", "36P", "24P", "--min-dof", "10"]
    app(*options)
    excluded = (tmp_path / "out" / "exclusions.tsv").read_text()
    assert excluded.count("36P") == 2
    assert "0 of 2 runs to do" in app(*options).err
    (tmp_path / "out" / "exclusions.tsv").unlink()
    assert "2 of 2 runs to do" in app(*options).err
    assert (tmp_path / "out" / "exclusions.tsv").read_text() == excluded
    # A call that is about others leaves it in the table, one that lets it in takes it out.
    app("--strategy", "24P")
    assert (tmp_path / "out" / "exclusions.tsv").read_text() == excluded
    app("--strategy", "36P", "--min-dof", "1")
    assert not (tmp_path / "out" / "exclusions.tsv").exists()


def test_stopping_at_the_first_error(app, dataset, tmp_path):
    for bold in dataset.root.rglob("sub-*_bold.nii.gz"):
        bold.write_bytes(gzip.compress(b"no image"))
    done = app("--stop-on-first-error", status=1)
    assert "1 of 2 runs failed" in done.err
    assert "1 of 2 runs were not tried" in done.err
    assert [path.name[:12] for path in (tmp_path / "out/logs").glob("crash-*")] == ["crash-sub-01"]
    assert "2 of 2 runs failed" in app(status=1).err


@pytest.mark.slow
def test_spaces_of_a_run_share_its_design(call_app, tiny, tmp_path):
    """What another space has written with other settings is not taken for one's own."""
    other = "MNI152NLin6Asym"
    for space in ("MNI152NLin2009cAsym", other):
        tiny.add_run(space=space)
    both = ["--space", "MNI152NLin2009cAsym", other]
    out = tmp_path / "out"
    for nprocs in (1, 2):
        call_app(*both, "--nprocs", nprocs, "--overwrite")
        assert "0 of 2 runs to do" in call_app(*both).err
    expected = results(out)
    assert "1 made with other settings" in call_app("--space", other, "--dummy-scans", 5).err
    assert "2 of 2 runs to do" in call_app(*both).err
    assert results(out) == expected


@pytest.mark.slow
def test_transforms_of_a_participant_are_inputs(real_scan, run_app, tmp_path):
    root = tmp_path / "fmriprep"
    shutil.copytree(real_scan, root)
    call = [root, tmp_path / "native", "participant", "--atlas", "Raichle2011", "--space", "T1w"]
    call += ["--strategy", "none"]
    first = run_app(*call)
    assert first.status == 0, first.err
    assert "0 of 2 runs to do" in run_app(*call).err
    for path in root.rglob("*_xfm.h5"):
        os.utime(path, ns=(1, 1))
    assert "2 made of inputs that have changed" in run_app(*call).err


class Stopped(BaseException):
    """As if the process were killed: nothing may catch it."""


def stop_after(monkeypatch, count):
    """Die at the renaming of the file after `count` files of runs and records."""
    replace = Path.replace
    left = [count]

    def dying(self, target):
        if "sub-" in str(target):
            if not left[0]:
                raise Stopped
            left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    return left


def forget_sizes(output):
    """Let records take files of any size: that these tell most of what died is luck."""
    for record in (output / "logs" / "done").rglob("*.json"):
        entries = json.loads(record.read_text())
        for entry in entries.values():
            entry["Files"] = dict.fromkeys(entry["Files"])
        record.write_text(json.dumps(entries))


@pytest.mark.slow
def test_death_at_any_file_leaves_nothing_wrong(call_app, tiny, monkeypatch, tmp_path):
    """Made with one setting, begun anew with another, and back to the first."""
    tiny.add_run()
    one = ["--min-dof", "1", "--radius", "5"]
    out, two = tmp_path / "out", [*one[:2], "--radius", "9", "--dummy-scans", "4"]
    call_app(*one, output=tmp_path / "one")
    call_app(*two, output=tmp_path / "two")
    expected = [results(tmp_path / "one"), results(tmp_path / "two")]
    call_app(*one)
    count = 0
    while True:
        with monkeypatch.context() as patch:
            left = stop_after(patch, count)
            try:
                call_app(*two)
            except Stopped:
                pass
            else:
                break
            assert left == [0]
        forget_sizes(out)
        call_app(*one)
        assert results(out) == expected[0], count
        count += 1
    assert count == 16  # 13 files, two records and the methods text
    assert results(out) == expected[1]


def test_leftovers_of_killed_processes_go(app, tmp_path):
    app()
    out = tmp_path / "out"
    folders = [out, out / "logs", out / "sub-01/func", out / "logs/done/sub-01"]
    for folder in folders:
        for name, age in (("0" * 32 + ".tsv", 0), ("1" * 32 + ".nii.gz", 2)):
            path = folder / (".tmp-bids_spheres-" + name)
            path.write_text("x")
            os.utime(path, (time.time() - 3600 * age,) * 2)
    assert "0 of 2 runs to do" in app().err
    left = list(out.rglob(".tmp-*"))
    assert sorted(path.parent for path in left) == sorted(folders)
    assert all(path.suffix == ".tsv" for path in left)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 5, 16])
def test_a_full_disk_stops_the_call(app, monkeypatch, tmp_path, count):
    app(output=tmp_path / "anew")
    left = [count]
    fsync = os.fsync

    def full(descriptor):
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if "/sub-" in name or "crash" in name:
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        done = app(status=1)
    assert "No space left on device" in done.err
    assert "1 of 2 runs failed" in done.err
    assert ("1 of 2 runs were not tried" in done.err) == (count < 15)
    written = results(tmp_path / "out")
    whole = results(tmp_path / "anew")
    assert written.items() <= whole.items()
    assert len(written) == min(count, 13) + max(0, count - 15)
    assert not list((tmp_path / "out").rglob(".tmp-*"))
    app()
    assert results(tmp_path / "out") == whole


def test_what_vanishes_and_what_cant_be_written_concern_one_run(
    call_app, tiny, monkeypatch, tmp_path
):
    for number in (1, 2, 3):
        tiny.add_run(f"sub-0{number}_task-rest")
    find_tasks = freshness.find_tasks

    def vanishing(jobs, **options):
        tasks = find_tasks(jobs, **options)
        jobs[0].images[0].bold.unlink()
        return tasks

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub-02").write_text("a file in the way")
    monkeypatch.setattr("bids_spheres.app.planning.find_tasks", vanishing)
    done = call_app(status=1)
    failed = done.err.partition("2 of 3 runs failed:")[2]
    assert "sub-01 task-rest" in failed
    assert "sub-02 task-rest" in failed
    assert "not tried" not in failed
    written = [name.partition("/")[0] for name in results(tmp_path / "out")]
    assert written == ["sub-03"] * 13


def test_an_output_that_cant_be_written_at_all_is_one_message(app, monkeypatch):
    def refused(path, _text):
        raise OutputError(f"{path} can't be written: Read-only file system.")

    monkeypatch.setattr("bids_spheres.files.atomic.write_text", refused)
    done = app(status=73)
    assert done.err.count("Read-only file system") == 1


# What depends on what, without doing it: a record of files that are not there counts


def jobs_of(dataset, seeds_file, tmp_path, *options):
    words = [dataset.root, tmp_path / "out", "participant", "--seeds", seeds_file, *options]
    parsed = main_parser().parse_args([str(word) for word in words])
    return plan_jobs(settings_of(parsed))[1]


def stale(jobs, **options):
    """Beginnings of the names of the groups that would be made again, and why."""
    tasks = freshness.find_tasks(jobs, **options)
    kinds = {
        key.rpartition("_")[2] for task in tasks for group in task.groups for key in [group.key]
    }
    return kinds, {task.reason for task in tasks}


def record(jobs, **options):
    for task in freshness.find_tasks(jobs, **options):
        task.begin()
        task.finish(())


SPHERES, DESIGN, CLEANED = {"dseg"}, {"design"}, {"timeseries", "relmat"}
EVERYTHING = SPHERES | CLEANED
ALONE = [
    (("--min-coverage", "0.6"), EVERYTHING),
    (("--overlap", "nearest"), EVERYTHING),
    (("--mask", "none"), EVERYTHING),
    (("--despike",), EVERYTHING),
    (("--smoothing-fwhm", "5"), EVERYTHING),
    (("--warp-seeds",), EVERYTHING),
    (("--radius", "7"), EVERYTHING),
    (("--no-detrend",), CLEANED),
    (("--standardize", "psc"), CLEANED),
    (("--min-dof", "11"), CLEANED),
    (("--full-length",), CLEANED),
    (("--dummy-scans", "3"), DESIGN | CLEANED),
    (("--equal-seconds", "20"), DESIGN | CLEANED),
    (("--fd-threshold", "0.5"), DESIGN | CLEANED),
    (("--high-pass", "0.01"), DESIGN | CLEANED),
    (("--min-volumes", "3"), DESIGN | CLEANED),
]


@pytest.mark.parametrize(("options", "kinds"), ALONE, ids=lambda value: " ".join(sorted(value)))
def test_each_option_alone_makes_stale_what_depends_on_it(
    tiny, seeds_file, tmp_path, options, kinds
):
    tiny.add_run()
    plain, changed = (jobs_of(tiny, seeds_file, tmp_path, *words) for words in ((), options))
    assert stale(plain) == (EVERYTHING | DESIGN, {freshness.NEW})
    record(plain)
    assert stale(plain) == (set(), {None})
    assert stale(changed) == (kinds, {freshness.OTHER_SETTINGS})


def test_each_input_alone_makes_stale_what_is_made_of_it(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    raw = tmp_path / "raw" / "sub-01" / "func"
    raw.mkdir(parents=True)
    events = raw / "sub-01_task-rest_events.tsv"
    events.write_text("onset\tduration\n4\t3\n30\t3\n")
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "task": {"model": "hrf"}, "motion": "basic"}')
    words = ("--strategy", own, "-d", f"raw={tmp_path / 'raw'}")
    jobs = jobs_of(tiny, seeds_file, tmp_path, *words)
    table = next(bold.parent.glob("*_timeseries.tsv"))
    mask = next(bold.parent.glob("*_mask.nii.gz"))
    sidecar = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    for path, kinds in (
        (bold, SPHERES | CLEANED),
        (mask, SPHERES | CLEANED),
        (table, DESIGN | CLEANED),
        (events, DESIGN | CLEANED),
        # The series before cleaning have its repetition time.
        (sidecar, SPHERES | CLEANED),
    ):
        record(jobs)
        assert stale(jobs) == (set(), {None})
        os.utime(path, ns=(1, path.stat().st_size))
        assert stale(jobs) == (kinds, {freshness.OTHER_INPUTS}), path
    # Designs have it too, and the time of the first volume, on the clock of the events.
    for text in ('{"RepetitionTime": 2.5}', '{"RepetitionTime": 2.5, "StartTime": 1}'):
        record(jobs)
        sidecar.write_text(text)
        assert stale(jobs) == (EVERYTHING | DESIGN, {freshness.OTHER_INPUTS})
    record(jobs)
    plain = jobs_of(tiny, seeds_file, tmp_path, "--strategy", "24P")
    record(plain)
    os.utime(events, ns=(2, 2))
    assert stale(plain) == (set(), {None})
    os.utime(sidecar, ns=(2, 2))
    assert stale(plain) == (SPHERES | CLEANED, {freshness.OTHER_INPUTS})


def test_a_design_of_several_spaces_is_as_new_for_each(tiny, seeds_file, tmp_path):
    """Their JSON files were written at different times, and say the same of the times."""
    spaces = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
    for number, space in enumerate(spaces):
        bold = tiny.add_run(space=space)
        os.utime(bold.with_name(bold.name.replace(".nii.gz", ".json")), ns=(1, number))
    (raw := tmp_path / "raw" / "sub-01" / "func").mkdir(parents=True)
    (raw / "sub-01_task-rest_events.tsv").write_text("onset\tduration\n4\t3\n30\t3\n")
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "task": {"model": "hrf"}}')
    words = ("--strategy", own, "-d", f"raw={tmp_path / 'raw'}", "--space", *spaces)
    jobs = jobs_of(tiny, seeds_file, tmp_path, *words)
    record(jobs)
    assert stale(jobs) == (set(), {None})


# One group by hand

STAMP = {"Version": "1", "Settings": "s", "Inputs": "i", "Contents": None}


def group(root, **changes):
    files = (root / "sub-1" / "a.tsv", root / "sub-1" / "a.json")
    fields = {"key": "a", "record": root / "r.json", "unit": files[0], "files": files}
    return freshness.Group(**fields | {"stamp": STAMP, "strategy": "x"} | changes)


@pytest.fixture
def written(tmp_path):
    (tmp_path / "sub-1").mkdir()
    (tmp_path / "sub-1" / "a.tsv").write_text("abc")
    return tmp_path


FILES = {"sub-1/a.tsv": 3}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "not finished yet"),
        ([], "not finished yet"),
        ({}, "made by another version"),
        ({"Version": "2", "Settings": "t", "Inputs": "j"}, "made by another version"),
        (STAMP | {"Settings": "t", "Inputs": "j"}, "made with other settings"),
        (STAMP | {"Inputs": "j", "Files": FILES}, "made of inputs that have changed"),
        (STAMP, "with outputs that are gone or changed"),
        (STAMP | {"Files": [3]}, "with outputs that are gone or changed"),
        (STAMP | {"Files": {"sub-1/a.tsv": 4}}, "with outputs that are gone or changed"),
        (STAMP | {"Files": FILES | {"b": None}}, "with outputs that are gone or changed"),
        (STAMP | {"Files": FILES | {"b": 0}}, "with outputs that are gone or changed"),
        (STAMP | {"Files": FILES}, None),
        (STAMP | {"Files": {"sub-1/a.tsv": None}}, None),
        (STAMP | {"Files": {}, "Contents": "c"}, None),
    ],
)
def test_why_a_group_has_to_be_made(written, entry, reason):
    assert group(written).staleness(entry, written) == reason


def test_contents_count_in_place_of_times_where_they_are_known(written):
    hashed = group(written, stamp=STAMP | {"Contents": "c"})
    assert hashed.staleness(STAMP | {"Contents": "c", "Inputs": "j", "Files": {}}, written) is None
    changed = "made of inputs that have changed"
    assert hashed.staleness(STAMP | {"Contents": "d", "Files": {}}, written) == changed
    assert hashed.staleness(STAMP | {"Files": {}}, written) == changed


def test_what_a_record_says_of_a_group(written):
    assert group(written).entry(written, ()) == STAMP | {"Files": FILES}
    excluded = group(written).entry(written, iter(["y", "x"]))
    assert excluded == STAMP | {"Files": FILES | {"exclusions.tsv": None}}
    assert group(written).entry(written, ["y"])["Files"] == FILES


def test_the_record_while_a_task_is_at_work_and_afterwards(tiny, seeds_file, tmp_path):
    tiny.add_run()
    root = tmp_path / "out"
    (job,) = jobs_of(tiny, seeds_file, tmp_path)
    first, second = root / "logs" / "a.json", root / "logs" / "b.json"
    first.parent.mkdir(parents=True)
    for name in ("one", "two", "map"):
        (root / name).write_text(name)
    alike = {"root": root, "record": first}
    groups = (
        group(**alike, key="k1", unit=root / "one", files=(root / "one", root / "none")),
        group(**alike, key="k2", unit=root / "two", files=(root / "two",)),
        group(root, key="k3", record=second, unit=root / "map", files=(root / "map",), sparse=True),
    )
    task = freshness.Task(job, groups, "why")
    first.write_text(json.dumps({"k2": 1, "other": 2}))
    second.write_text(json.dumps({"k3": 1}))
    task.begin()
    assert json.loads(first.read_text()) == {"other": 2}
    assert not second.exists()
    assert [(root / name).exists() for name in ("one", "two", "map")] == [True, True, False]
    (root / "map").write_text("map")
    assert task.finish(["x"], {root / "two"}) == ("exclusions.tsv", "map", "one")
    content = json.loads(first.read_text())
    assert list(content) == ["k1", "other"]
    assert content["k1"]["Files"] == {"one": 3, "exclusions.tsv": None}
    assert json.loads(second.read_text())["k3"]["Files"] == {"map": 3, "exclusions.tsv": None}
    assert str(task) == str(job)
    assert task.folders == {root / "sub-01" / "func", root / "logs" / "done" / "sub-01"}
    before = second.stat().st_ino
    replaced = freshness.Task(job, groups[:1])
    assert replaced.finish((), {root / "one"}) == ()
    assert second.stat().st_ino == before


def test_when_the_last_run_was_finished(tmp_path):
    assert freshness.last_finished(tmp_path, "1") == 0
    done = tmp_path / "logs" / "done"
    for name, seconds in (("sub-1/a.json", 5), ("sub-1/ses-1/b.json", 9), ("sub-2/c.json", 99)):
        (done / name).parent.mkdir(parents=True, exist_ok=True)
        (done / name).touch()
        os.utime(done / name, ns=(1, seconds * 10**9))
    assert freshness.last_finished(tmp_path, "1") == 9 * 10**9


def test_a_run_without_an_image_is_never_finished(tiny, seeds_file, tmp_path):
    tiny.add_run()
    jobs = jobs_of(tiny, seeds_file, tmp_path, "--strategy", "24P", "icaAROMA")
    record(jobs)
    (task,) = freshness.find_tasks(jobs)
    assert (task.groups, task.reason) == ((), freshness.NEW)
    (task,) = freshness.find_tasks(jobs, overwrite=True)
    assert task.reason == "made again because that was asked for"
    assert task.job.current == frozenset()
    assert len(task.groups) == 4
    (task,) = freshness.find_tasks(jobs)
    (job,) = jobs
    (seeds,) = job.work.seed_sets
    units = (job.paths.spheres(seeds), job.paths.design("24P"), job.paths.series(seeds, "24P"))
    assert task.job.current == set(units)


def test_only_what_jitter_and_maps_depend_on_is_made_again(tiny, seeds_file, tmp_path):
    tiny.add_run()
    plain = jobs_of(tiny, seeds_file, tmp_path)
    record(plain)
    for options in (("--placement-jitter", "2:3"), ("--seed-maps", "left"), ("--effective-dof",)):
        more = jobs_of(tiny, seeds_file, tmp_path, *options)
        assert stale(more) == (
            {*CLEANED, *(["boldmaps"] * (options[0] == "--seed-maps"))},
            {freshness.NEW},
        )
        record(more)
    for options in (("--placement-jitter", "2:4"), ("--seed-maps", "left", "right")):
        assert stale(jobs_of(tiny, seeds_file, tmp_path, *options))[1] == {freshness.OTHER_SETTINGS}


def stale_keys(jobs):
    tasks = freshness.find_tasks(jobs)
    return {group.key for task in tasks for group in task.groups}


def test_an_image_or_a_transform_concerns_what_is_made_of_it(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    other = bold.with_name(bold.name.replace("preproc", "smoothAROMAnonaggr"))
    shutil.copy(bold, other)
    second = tmp_path / "second.tsv"
    second.write_text("x\ty\tz\n4\t4\t4\n-4\t-8\t0\n")
    options = ("--seeds", second, "--strategy", "none", "icaAROMA")
    (job,) = jobs_of(tiny, seeds_file, tmp_path, *options)
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in files:
        path.touch()
    placements = tuple(
        replace(place, transforms=(path,))
        for place, path in zip(job.placements, files, strict=True)
    )
    jobs = [replace(job, placements=placements)]
    record(jobs)
    assert stale_keys(jobs) == set()
    everything = {group.key for group in freshness.find_tasks(jobs, overwrite=True)[0].groups}
    for path, concerned in (
        (bold, lambda key: "dseg" in key or ("desc-none" in key and "design" not in key)),
        (other, lambda key: "desc-icaAROMA" in key and "design" not in key),
        (files[0], lambda key: "_seg-mine_" in key),
        (files[1], lambda key: "_seg-second_" in key),
    ):
        os.utime(path, ns=(1, 1))
        assert stale_keys(jobs) == {key for key in everything if concerned(key)}, path.name
        record(jobs)


@pytest.mark.parametrize(
    ("old", "new"), [("left", "links"), ("\tA\n", "\tC\n"), ("\t4\tB", "\t4.5\tB")]
)
def test_each_column_of_a_table_of_seeds_counts(tiny, tmp_path, old, new):
    tiny.add_run()
    path = tmp_path / "own.tsv"
    text = "name\tx\ty\tz\tradius\tnetwork\nleft\t-10\t0\t0\t5\tA\nright\t10\t0\t0\t4\tB\n"
    path.write_text(text)
    record(jobs_of(tiny, path, tmp_path))
    assert stale(jobs_of(tiny, path, tmp_path)) == (set(), {None})
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    expected = (EVERYTHING, {freshness.OTHER_SETTINGS})
    assert stale(jobs_of(tiny, path, tmp_path)) == expected


def test_where_a_mask_of_ones_own_lies_does_not_count(tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    paths = [tmp_path / name / "mask.nii.gz" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        shutil.copy2(next(bold.parent.glob("*brain_mask.nii.gz")), path)
    first, moved = (jobs_of(tiny, seeds_file, tmp_path, "--mask", path) for path in paths)
    record(first)
    assert stale(moved) == (set(), {None})
    os.utime(paths[1], ns=(1, 1))
    assert stale(moved) == (EVERYTHING, {freshness.OTHER_INPUTS})
    assert stale(first) == (set(), {None})


def test_tissues_and_lesions_concern_the_participant_and_the_space_that_they_are_of(
    tiny, seeds_file, tmp_path
):
    spaces = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
    (tmp_path / "lesions").mkdir()
    files = {}
    for label in ("01", "02"):
        for space in spaces:
            tiny.add_run(f"sub-{label}_task-rest", space=space)
            anat = tiny.root / f"sub-{label}" / "anat"
            anat.mkdir(exist_ok=True)
            stem = f"sub-{label}_space-{space}_label"
            paths = [
                anat / f"{stem}-WM_probseg.nii.gz",
                tmp_path / "lesions" / f"{stem}-x_mask.nii",
            ]
            files |= dict.fromkeys(paths, (f"sub-{label}", f"space-{space}_"))
    for path in files:
        path.touch()
    options = ("--space", *spaces, "--exclude-mask", tmp_path / "lesions")
    jobs = jobs_of(tiny, seeds_file, tmp_path, *options)
    record(jobs)
    assert stale_keys(jobs) == set()
    tasks = freshness.find_tasks(jobs, overwrite=True)
    everything = {group.key for task in tasks for group in task.groups if "_seg-" in group.key}
    assert len(everything) == 4 * 3
    for path, words in files.items():
        os.utime(path, ns=(1, 1))
        expected = {key for key in everything if all(word in key for word in words)}
        assert stale_keys(jobs) == expected, path.name
        record(jobs)


def test_times_of_volumes_count_where_contents_are_compared(tiny, seeds_file, tmp_path):
    bold, by_content = tiny.add_run(), {"hash_inputs": True}
    jobs = jobs_of(tiny, seeds_file, tmp_path)
    path = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    changed = (EVERYTHING | DESIGN, {freshness.OTHER_INPUTS})
    record(jobs, **by_content)
    for text in ('{"RepetitionTime": 2.5}', '{"RepetitionTime": 2.5, "StartTime": 1}', None):
        assert stale(jobs, **by_content) == (set(), {None})
        path.write_text(text) if text else path.unlink()
        assert stale(jobs, **by_content) == changed, text
        record(jobs, **by_content)


def test_a_table_of_the_users_own_concerns_strategies_that_name_columns(tiny, seeds_file, tmp_path):
    tiny.add_run()
    func = tmp_path / "physio" / "sub-01" / "func"
    func.mkdir(parents=True)
    table = func / "sub-01_task-rest_desc-belt_timeseries.tsv"
    table.write_text("rvt\n" + "".join(f"{i}\n" for i in range(40)))
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "confounds": ["rvt"]}')
    words = ("--strategy", own, "24P", "-d", f"physio={tmp_path / 'physio'}")
    jobs = jobs_of(tiny, seeds_file, tmp_path, *words)
    record(jobs)
    os.utime(table, ns=(1, 1))
    keys = stale_keys(jobs)
    assert len(keys) == 3
    assert all("desc-own_" in key for key in keys)


def test_the_mask_of_the_brain_concerns_designs_with_its_radius(tiny, seeds_file, tmp_path):
    tiny.add_run()
    anat = tiny.root / "sub-01" / "anat"
    anat.mkdir(exist_ok=True)
    mask = anat / "sub-01_desc-brain_mask.nii.gz"
    mask.touch()
    auto = jobs_of(tiny, seeds_file, tmp_path, "--head-radius", "auto")
    plain = jobs_of(tiny, seeds_file, tmp_path, "--head-radius", "50")
    for jobs, kinds in ((auto, DESIGN | CLEANED), (plain, set())):
        record(jobs)
        os.utime(mask, ns=(1, mask.stat().st_mtime_ns + 10**9))
        assert stale(jobs)[0] == kinds


def test_transforms_of_the_participant_in_any_dataset_concern_series_in_the_own_space(
    tiny, seeds_file, tmp_path
):
    tiny.add_run(space="T1w")
    seeds_file.with_suffix(".json").write_text('{"Space": "MNI152NLin6Asym"}')
    files = {}
    for root in (tiny.root, tmp_path / "other"):
        for label in ("01", "02"):
            name = f"sub-{label}_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.txt"
            path = root / f"sub-{label}" / "anat" / name
            path.parent.mkdir(parents=True)
            path.touch()
            files[path] = label == "01"
    words = ("--space", "T1w", "-d", f"other={tmp_path / 'other'}")
    jobs = jobs_of(tiny, seeds_file, tmp_path, *words)
    record(jobs)
    for path, concerned in files.items():
        os.utime(path, ns=(1, 1))
        expected = (EVERYTHING, {freshness.OTHER_INPUTS}) if concerned else (set(), {None})
        assert stale(jobs) == expected, path
        record(jobs)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"x": 3}'])
def test_a_record_that_is_broken_knows_of_nothing(tiny, seeds_file, tmp_path, text):
    tiny.add_run()
    jobs = jobs_of(tiny, seeds_file, tmp_path)
    record(jobs)
    (path,) = (tmp_path / "out" / "logs" / "done").rglob("*_outputs.json")
    path.write_text(text)
    assert stale(jobs) == (EVERYTHING, {freshness.NEW})
    record(jobs)
    assert stale(jobs) == (set(), {None})


def test_places_of_seeds_in_the_space_of_the_run_count(tiny, seeds_file, tmp_path):
    tiny.add_run()
    (job,) = jobs_of(tiny, seeds_file, tmp_path)
    (place,) = job.placements
    transform = tmp_path / "a.h5"
    transform.touch()

    def moved(mm):
        table = replace(place.table, coordinates=place.table.coordinates + mm)
        return [replace(job, placements=(replace(place, table=table, transforms=(transform,)),))]

    record(moved(1))
    assert stale(moved(1)) == (set(), {None})
    assert stale(moved(1.5)) == (EVERYTHING, {freshness.OTHER_SETTINGS})
    os.utime(transform, ns=(1, 1))
    assert stale(moved(1)) == (EVERYTHING, {freshness.OTHER_INPUTS})
