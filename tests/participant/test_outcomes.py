"""What becomes of a task that was done, failed, or was done by a worker that is lost."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_spheres.errors import DataError, OutputError
from bids_spheres.execute import Lost
from bids_spheres.participant import job, outcomes
from bids_spheres.participant.outcomes import FailedStrategy, JobReport, Outcome, attempt


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
    monkeypatch.setattr(outcomes, "_VISIBLE", 0.0)
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
