"""Files about runs that failed."""

from __future__ import annotations

import json
import re

from bids_spheres.app.participant_level import keep_crash
from bids_spheres.participant.job import Outcome
from bids_spheres.process.versions import versions
from bids_spheres.settings.table import Settings


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
