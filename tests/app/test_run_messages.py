"""What runs and libraries say: each thing once, with the file it is about."""

from __future__ import annotations

import gzip
import warnings

import pandas as pd
import pytest

from bids_spheres.app.run_messages import RunMessages, kind_of
from bids_spheres.participant import job as participant
from bids_spheres.participant.job import FailedStrategy, JobReport, Outcome


@pytest.fixture
def call(run_app, tiny, seeds_file, tmp_path):
    """Call the app; return its exit status and lines of warnings and errors."""

    def app(*options):
        done = run_app(
            *(tiny.root, tmp_path / "out", "participant", "--report-level", "none"),
            *("--seeds", seeds_file, *options),
        )
        return done.status, [line for line in done.err.splitlines() if line[:5] != "INFO "]

    return app


def damage(bold):
    bold.write_bytes(bold.read_bytes()[:-5000])


def test_one_damaged_file_is_one_line(call, tiny):
    bold = tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    damage(bold)
    status, lines = call()
    assert status == 1
    assert "ERROR 1 of 2 runs failed:" in lines
    assert sum(bold.name in line for line in lines) == 1


def test_a_table_that_cannot_be_read_is_one_line_too(call, tiny):
    bold = tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    table.write_bytes(b"\xff\xfe" + table.read_bytes())
    status, lines = call()
    assert status == 1
    (line,) = [line for line in lines if table.name in line]
    assert line.startswith("ERROR ")


def test_errors_of_a_kind_are_one_line_with_a_count_and_a_list(call, tiny, tmp_path):
    for number in range(1, 5):
        bold = tiny.add_run(f"sub-0{number}_task-rest")
        if number > 1:
            damage(bold)
    status, lines = call("--strategy", "none")
    assert status == 1
    (table,) = (tmp_path / "out" / "logs").glob("*_messages.tsv")
    (line,) = [line for line in lines if "the file ends early" in line]
    assert line.startswith(
        f"ERROR sub-02 task-rest space-MNI152NLin2009cAsym and 2 more runs in {table}"
    )
    rows = pd.read_csv(table, sep="\t")
    assert rows["run"].str[:6].tolist() == ["sub-02", "sub-03", "sub-04"]
    assert set(rows["level"]) == {"error"}
    assert rows["message"].str.contains("the file ends early").all()


def test_what_nibabel_says_of_a_header_names_the_file(call, tiny):
    bold = tiny.add_run()
    content = bytearray(gzip.decompress(bold.read_bytes()))
    content[252:254] = (99).to_bytes(2, "little")  # qform_code, for which there are 0 to 5
    bold.write_bytes(gzip.compress(bytes(content)))
    status, lines = call()
    assert status == 0
    (line,) = [line for line in lines if "qform_code" in line]
    assert str(bold) in line


def test_warnings_of_a_run_are_said_once(call, tiny, monkeypatch):
    tiny.add_run()
    whole = participant.run_job

    def noisy(job):
        for _ in range(3):
            warnings.warn("of numpy", RuntimeWarning, stacklevel=1)
        return whole(job)

    monkeypatch.setattr(participant, "run_job", noisy)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, lines = call()
    assert status == 0
    assert [line for line in lines if "of numpy" in line] == [
        "WARNING sub-01 task-rest space-MNI152NLin2009cAsym: of numpy"
    ]


# Which lines there are


def outcome(job, *, warnings=(), failed=(), error=None):
    strategies = tuple(FailedStrategy(name, why) for name, why in failed)
    return Outcome(job, JobReport(warnings=warnings, failed=strategies), error=error)


def test_kinds_are_told_apart_without_names_of_files_and_runs_and_numbers():
    first = kind_of("/data/a.nii: sub-01_task-rest has 28 rows and 1.5 mm")
    assert first == kind_of("../b/c.tsv: sub-2 has 3 rows and 27 mm")
    assert first != kind_of("../b/c.tsv: sub-2 has 3 columns and 27 mm")


def test_one_line_for_each_kind_warnings_first(caplog, tmp_path):
    path = tmp_path / "messages.tsv"
    messages = RunMessages(path, ())
    messages.add(outcome("sub-01", error="sub-01 is broken"), ["a"])
    messages.add(outcome("sub-02", warnings=("2 spheres left", "odd")), ["a"])
    messages.add(outcome("sub-03", error="sub-03 is broken", warnings=("3 spheres left",)), ["a"])
    with caplog.at_level("INFO", "bids_spheres"):
        messages.log()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"sub-02 and 1 more run in {path}: 2 spheres left"),
        ("WARNING", "sub-02: odd"),
        ("ERROR", f"sub-01 and 1 more run in {path}: sub-01 is broken"),
    ]
    assert path.read_text().splitlines() == [
        "run\tlevel\tmessage",
        "sub-01\terror\tsub-01 is broken",
        "sub-03\terror\tsub-03 is broken",
        "sub-02\twarning\t2 spheres left",
        "sub-03\twarning\t3 spheres left",
        "sub-02\twarning\todd",
    ]


def test_no_table_of_messages_that_are_all_told(caplog, tmp_path):
    messages = RunMessages(tmp_path / "messages.tsv", ())
    messages.add(outcome("sub-01", error="broken"), ["a"])
    messages.add(outcome("sub-02", error="odd"), ["a"])
    messages.log()
    assert caplog.messages == ["sub-01: broken", "sub-02: odd"]
    assert not list(tmp_path.iterdir())


def test_failures_that_were_told_before_are_not_told_again(caplog, tmp_path):
    known = {("sub-01", "a"), ("sub-02", "a"), ("sub-02", "b"), ("sub-03", "a")}
    messages = RunMessages(tmp_path / "messages.tsv", known)
    failed = (("a", "no column x"), ("b", "no filter"))
    messages.add(outcome("sub-01", failed=failed, error="a: ...\nb: ..."), ["a", "b"])
    messages.add(outcome("sub-02", error="nothing can be done"), ["a", "b"])
    messages.add(outcome("sub-03", error="out of memory"), ["a", "b"])
    messages.log()
    assert caplog.messages == ["sub-01: b: no filter", "sub-03: out of memory"]
