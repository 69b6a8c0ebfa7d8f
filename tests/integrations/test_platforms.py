"""Ready files for other platforms name options and outputs that exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bids_spheres.app.parser import main_parser
from bids_spheres.integrations import boutiques

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NIPOPPY = EXAMPLES / "nipoppy"

PLACES = {
    "NIPOPPY_DPATH_DERIVATIVES": "derivatives",
    "NIPOPPY_DPATH_PIPELINE_OUTPUT": "out",
    "NIPOPPY_DPATH_PIPELINE_WORK": "work",
    "NIPOPPY_PARTICIPANT_ID": "01",
    "NIPOPPY_SESSION_ID": "A",
    "NIPOPPY_BIDS_PARTICIPANT_ID": "sub-01",
    "NIPOPPY_BIDS_SESSION_ID": "ses-A",
}


def filled(name):
    """A file of Nipoppy's with its places and labels put in."""
    text = (NIPOPPY / name).read_text()
    for key, value in PLACES.items():
        text = text.replace(f"[[{key}]]", value)
    return json.loads(text)


def test_options_of_babs():
    config = yaml.safe_load((EXAMPLES / "babs.yaml").read_text())
    options = config["bids_app_args"]
    flag = options.pop("$SUBJECT_SELECTION_FLAG")
    words = [word for pair in options.items() for word in " ".join(pair).split()]
    parsed = main_parser().parse_args(["in", "out", "participant", *words, flag, "sub-01"])
    assert parsed.participant_label == ["01"]
    assert str(parsed.work_dir) == "$BABS_TMPDIR"


def test_the_pipeline_of_nipoppy_does_what_its_tracker_looks_for(run_app, tiny, tmp_path):
    pytest.importorskip("boutiques")
    descriptor = tmp_path / "descriptor.json"
    descriptor.write_text(boutiques.text())
    for name in ("sub-01_ses-A_task-rest", "sub-01_ses-B_task-rest", "sub-02_ses-A_task-rest"):
        tiny.add_run(name)
    invocation = filled("invocation.json")
    assert invocation["InputDataset"].startswith("derivatives/fmriprep/")
    invocation |= {"InputDataset": str(tiny.root), "work_dir": str(tmp_path / "work")}
    invocation |= dict.fromkeys(("OutputLocation", "OutputLocation_mount"), str(tmp_path / "out"))
    (tmp_path / "invocation.json").write_text(json.dumps(invocation))
    code = "import sys, boutiques; sys.argv[0] = 'bosh'; sys.exit(boutiques.bosh())"
    words = ("exec", "simulate", "-i", tmp_path / "invocation.json", descriptor)
    line = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    words = line.splitlines()[-1].partition(" bids-spheres ")[2].split()
    done = run_app(*words)
    assert done.status == 0, done.err
    tracker = filled("tracker.json")
    for pattern in tracker["PATHS"]:
        assert len(list((tmp_path / "out").glob(pattern))) == 1, pattern
    assert {path.name for path in (tmp_path / "out").glob("sub-*/ses-*")} == {"ses-A"}


def test_files_that_nipoppy_is_told_of():
    config = json.loads((NIPOPPY / "config.json").read_text())
    (step,) = config["STEPS"]
    names = {value for key, value in step.items() if key.endswith("_FILE")}
    assert names - {"descriptor.json"} == {p.name for p in NIPOPPY.iterdir()} - {"config.json"}
    assert config["VERSION"] == boutiques.descriptor()["tool-version"]
