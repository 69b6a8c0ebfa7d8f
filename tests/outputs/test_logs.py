"""Records of calls, and files about runs that failed."""

from __future__ import annotations

import json

import pytest

from bids_spheres.errors import OutputError
from bids_spheres.outputs.logs import (
    Crash,
    calls_folder,
    crash_file,
    find_crashes,
    last_settings,
    write_record,
)


def test_a_call_about_one_participant_is_in_a_folder_of_its_own(tmp_path):
    several = write_record(tmp_path, {"a": 1}, ["01", "02"])
    everyone = write_record(tmp_path, {"a": 2})
    one = write_record(tmp_path, {"a": 3}, ["02"])
    assert several.parent == everyone.parent == tmp_path / "logs"
    assert one.parent == calls_folder(tmp_path, "02") == tmp_path / "logs" / "calls" / "sub-02"
    assert json.loads(one.read_text()) == {"a": 3}
    assert several.name < everyone.name < one.name


def test_a_folder_of_records_that_leads_elsewhere_is_not_written_to(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    own = calls_folder(tmp_path / "out", "02")
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        write_record(tmp_path / "out", {"a": 1}, ["02"])
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_the_newest_record_that_is_wanted(tmp_path):
    folder, own = tmp_path / "logs", calls_folder(tmp_path, "01")
    own.mkdir(parents=True)
    records = [(folder, 1, "x"), (own, 2, "x"), (folder, 3, "y"), (own, 4, "y"), (folder, 5, "z")]
    records.append((own, 0, "z"))
    for place, number, level in records:
        path = place / f"2026010{number}T000000000000Z_settings.json"
        path.write_text(json.dumps({"level": level, "number": number}))

    def newest(level, participant=None):
        path, content = last_settings(
            tmp_path, lambda settings: settings.get("level") == level, participant
        )
        assert path is None or f"2026010{content['number']}T" in path.name
        return content.get("number")

    assert (newest("x"), newest("y"), newest("z")) == (1, 3, 5)
    assert (newest("x", "01"), newest("y", "01"), newest("z", "01")) == (2, 4, 5)
    assert (newest("y", "02"), newest("w")) == (3, None)


@pytest.mark.parametrize(
    ("participant", "session", "names"),
    [
        (None, None, ["sub-01_ses-a_task-x", "sub-01_task-x_space-T1w", "sub-011_ses-a_task-x"]),
        ("01", None, ["sub-01_ses-a_task-x", "sub-01_task-x_space-T1w"]),
        ("01", "a", ["sub-01_ses-a_task-x"]),
        (None, "a", ["sub-01_ses-a_task-x", "sub-011_ses-a_task-x"]),
        ("1", None, []),
    ],
)
def test_files_about_runs_that_failed(tmp_path, participant, session, names):
    (tmp_path / "logs").mkdir()
    for job in ("sub-01 ses-a task-x", "sub-01 task-x space-T1w", "sub-011 ses-a task-x"):
        path = crash_file(tmp_path, job)
        assert path.name == f"crash-{job.replace(' ', '_')}.txt"
        path.touch()
    (tmp_path / "logs" / "crash-notes.txt").touch()
    found = find_crashes(tmp_path, participant, session)
    assert sorted(crash.path.stem.removeprefix("crash-") for crash in found) == sorted(names)
    assert [crash.path for crash in found] == sorted(crash.path for crash in found)


def test_what_a_file_about_a_failure_says(tmp_path):
    path = tmp_path / "crash-sub-01_ses-a_task-x_run-2.txt"
    path.write_text("sub-01 task-x, 2026-01-01, noon\n\nThe file\n  ends early.\n\nTraceback\n")
    crash = Crash(path)
    assert crash.message == "sub-01 task-x, 2026-01-01 has failed: The file ends early."
    assert crash.entities == {"sub": "01", "ses": "a", "task": "x", "run": "2"}
    path.write_text("sub-01 task-x, noon\n")
    assert crash.message == f"sub-01 task-x has failed: see {path.name}"
