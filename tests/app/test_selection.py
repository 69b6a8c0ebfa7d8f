"""Which runs, which options, from where: the command line, files, and what it tells beforehand."""

from __future__ import annotations

import json

import pytest

from bids_spheres.app.parser import main_parser, settings_of


def stems(output):
    return sorted(path.name.split("_space-")[0] for path in output.rglob("*_timeseries.tsv"))


@pytest.fixture
def four(tiny):
    """Two participants with two runs each, one with a direction."""
    for label in ("01", "02"):
        tiny.add_run(f"sub-{label}_task-rest_run-1")
        tiny.add_run(f"sub-{label}_task-rest_dir-AP_run-2")
    return tiny


@pytest.fixture
def app(run_app, four, seeds_file, tmp_path):
    def call(*arguments):
        out = tmp_path / "out"
        base = (four.root, out, "participant", "--seeds", seeds_file, "--strategy", "none")
        return run_app(*base, *arguments), out

    return call


# Selection


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "left"),
    [
        ({"bold": {"direction": "AP"}}, ["sub-01_task-rest_dir-AP_run-2"] * 1),
        ({"bold": {"direction": None}}, ["sub-01_task-rest_run-1"]),
        ({"run": [1]}, ["sub-01_task-rest_run-1"]),
        ({"bold": {"run": "02", "suffix": "bold"}}, ["sub-01_task-rest_dir-AP_run-2"]),
        ({"t1w": {"session": "x"}}, ["sub-01_task-rest_dir-AP_run-2", "sub-01_task-rest_run-1"]),
    ],
)
def test_filter_files(app, tmp_path, content, left):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(content))
    done, out = app("--bids-filter-file", path, "--participant-label", "01")
    assert done.status == 0, done.err
    assert stems(out) == left


@pytest.mark.parametrize(
    ("text", "status", "phrase"),
    [
        ('{"bold": {"dirction": "AP"}}', 65, "Did you mean direction"),
        ('{"bold": ["AP"]}', 65, '"bold" must hold entities'),
        ('{"run": {"a": 1}}', 65, "run must be a label"),
        ("{", 65, "not valid JSON"),
        ('{"bold": {"direction": "LR"}}', 18, "Available: dir-(none) and dir-AP"),
    ],
)
def test_filter_files_that_do_not_work(app, tmp_path, text, status, phrase):
    path = tmp_path / "filter.json"
    path.write_text(text)
    done, _ = app("--bids_filter_file", path)
    assert done.status == status
    assert phrase in done.err


@pytest.mark.parametrize("text", ["sub-02\n", "participant_id\tage\nsub-02\t3\n", "02\n\n"])
def test_labels_from_a_file(app, tmp_path, text):
    path = tmp_path / "who.tsv"
    path.write_text(text)
    done, out = app("--participant_label", f"@{path}", "--run", "1")
    assert done.status == 0, done.err
    assert stems(out) == ["sub-02_task-rest_run-1"]


def test_a_label_file_that_is_not_there(app, tmp_path):
    done, _ = app("--participant-label", f"@{tmp_path / 'nobody.txt'}")
    assert done.status == 2
    assert f"There is no list of labels {tmp_path / 'nobody.txt'}" in done.err


@pytest.mark.slow
def test_an_index_is_kept_for_the_next_call(app, tmp_path, four):
    kept = tmp_path / "index"
    first, out = app("--bids-database-dir", kept, "--participant-label", "01")
    assert first.status == 0, first.err
    assert (kept / "preprocessed").is_dir()
    # The index is of all participants; and what came later is not in it.
    four.add_run("sub-02_task-rest_run-3")
    second, out = app("--bids-database-dir", kept, "--participant-label", "02")
    assert second.status == 0, second.err
    assert [stem for stem in stems(out) if "sub-02" in stem] == [
        "sub-02_task-rest_dir-AP_run-2",
        "sub-02_task-rest_run-1",
    ]


def test_several_radii_are_told_apart(app):
    done, out = app("--radius", "4", "6.5", "--run", "1", "--participant-label", "01")
    assert done.status == 0, done.err
    names = {p.name.split("_seg-")[1].split("_desc")[0] for p in out.rglob("*_timeseries.tsv")}
    assert names == {"mine_scale-4mm_stat-mean", "mine_scale-6p5mm_stat-mean"}


# What is told beforehand


def test_dry_run_tells_and_writes_nothing(app, four):
    (mask,) = four.root.glob("sub-02/func/*run-1*_desc-brain_mask.nii.gz")
    mask.unlink()
    (four.root / "sub-01" / "func" / "sub-01_task-rest_run-1_run-2_bold.nii.gz").touch()
    done, out = app("--dry-run", "--task-label", "rest", "--run", "1")
    assert done.status == 0, done.err
    assert not out.exists()
    table = done.out.split("\n\n")[0].splitlines()
    assert table[0].split() == ["run", "images", "mask", "confounds", "files", "state"]
    assert table[1].endswith("not finished yet")
    assert "sub-01 task-rest run-1 space-MNI152NLin2009cAsym  preproc  yes" in table[1]
    assert table[2].split()[5] == "MISSING"
    assert "sub-01_task-rest_run-1_space-MNI152NLin2009cAsym_seg-mine_stat-mean" in done.out
    unused = done.out.split("Not used:")[1]
    assert "_dir-AP_run-2_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz: --run 1" in unused
    assert "has an entity twice" in unused


def test_dry_run_tells_what_is_up_to_date(app):
    app("--participant-label", "01")
    done, _ = app("--dry-run")
    table = done.out.split("\n\n")[0].splitlines()[1:]
    assert [line.endswith("up to date") for line in table] == [True, True, False, False]


# Options from files


def test_options_from_a_file(app, tmp_path):
    path = tmp_path / "options.yml"
    path.write_text(
        "participant-label: [sub-01]\nrun: 1\nfull_length: true\ndetrend: false\n"
        "fd_threshold: 0.4\nhigh_pass: none\n"
    )
    done, out = app("--config", path)
    assert done.status == 0, done.err
    assert stems(out) == ["sub-01_task-rest_run-1"]
    (sidecar,) = (p.with_suffix(".json") for p in out.rglob("*_timeseries.tsv"))
    facts = json.loads(sidecar.read_text())
    assert (facts["Detrend"], facts["FullLength"]) == (False, True)
    assert facts["CensoringThresholds"]["fd_threshold"] == 0.4


def test_the_command_line_counts_more_than_a_file(app, tmp_path):
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"run": ["1", "2"], "strategy": ["24P"], "_remark": "x"}))
    done, out = app("--config", path, "--run", "2", "--participant-label", "01")
    assert done.status == 0, done.err
    assert stems(out) == ["sub-01_task-rest_dir-AP_run-2"]
    assert list(out.rglob("*_desc-none_timeseries.tsv"))


@pytest.mark.parametrize(
    ("text", "status", "phrase"),
    [
        ('{"strtegy": "24P"}', 2, "Did you mean strategy"),
        ("[1]", 65, "must hold options by their names"),
        ("{", 65, "is not valid JSON"),
        ('{"radius": [[1]]}', 2, "radius can't be"),
        ('{"full_length": "yes"}', 2, "must be true or false"),
        ('{"nprocs": 0}', 2, "0 is not a whole number from 1"),
    ],
)
def test_files_of_options_that_do_not_work(app, tmp_path, text, status, phrase):
    path = tmp_path / "options.json"
    path.write_text(text)
    done, _ = app("--config", path)
    assert done.status == status
    assert phrase in done.err


def test_settings_that_were_written_repeat_the_work(app, run_app, four, tmp_path):
    options = ("--fd-threshold", "0.4", "--std-dvars-threshold", "none", "--low-pass", "0.1")
    more = ("--connectivity", "partial", "--mask", "none", "--min-coverage", "0.2", "--no-detrend")
    done, out = app(*options, *more, "--participant-label", "01", "--standardize", "none")
    assert done.status == 0, done.err
    (record,) = (out / "logs").rglob("*_settings.json")
    again = tmp_path / "again"
    repeated = run_app(four.root, again, "participant", "--config", record)
    assert repeated.status == 0, repeated.err
    files = [path.relative_to(out) for path in out.rglob("sub-*_*") if path.is_file()]
    assert files
    for path in files:
        assert (again / path).read_bytes() == (out / path).read_bytes()
    (second,) = (again / "logs").rglob("*_settings.json")
    first_settings, second_settings = (json.loads(p.read_text()) for p in (record, second))
    first_settings.pop("output_dir")
    second_settings.pop("output_dir")
    assert second_settings == first_settings


def test_every_option_can_be_recorded(tmp_path):
    """Each option is one of the record's, or is about the call and not the work."""
    words = [str(tmp_path), str(tmp_path / "out"), "participant"]
    parser = main_parser()
    options = {action.dest for action in parser._actions}
    recorded = set(settings_of(parser.parse_args(words)).to_json())
    changed = {name for name in options if name not in recorded}
    about_the_call = {
        "help",
        "help_all",
        "version",
        "config",
        "debug",
        "verbose",
        "quiet",
        "explain",
    }
    of_strategies = {"fd_threshold", "std_dvars_threshold", "censor_before", "censor_after"}
    of_strategies |= {"min_segment", "filter", "filter_order", "high_pass", "low_pass"}
    of_strategies |= {"min_volumes", "min_seconds"}
    assert changed - about_the_call - of_strategies <= {"dry_run"}
