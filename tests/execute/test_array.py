"""Arrays of jobs: what a task leaves alone, and the script in docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_spheres.inputs.dataset import Dataset, index_files
from bids_spheres.reports.participant.load import load_participant
from tests.processes import results

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "slurm_array.sh"
LABELS = ("01", "02", "03", "04", "05")


@pytest.fixture
def five(tiny):
    for label in LABELS:
        tiny.add_run(f"sub-{label}_task-rest")
        (tiny.root / f"sub-{label}.html").touch()
    names = "".join(f"sub-{label}\n" for label in LABELS)
    (tiny.root / "participants.tsv").write_text(f"participant_id\n{names}")
    return tiny.root


@pytest.fixture
def listed(monkeypatch):
    """Folders that are looked through."""
    seen, scandir = [], os.scandir

    def noted(path="."):
        seen.extend([] if isinstance(path, int) else [os.fspath(path)])  # shutil has descriptors
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    return seen


def test_a_task_looks_through_its_participant_alone(five, listed):
    files, rejected = index_files(Dataset(five, "x"), ["02"])
    assert {path.parent for path, _ in files} == {five / "sub-02" / "func"}
    assert len(files) == 4
    assert rejected == []
    inside = {path for path in listed if path.startswith(str(five))}
    assert inside
    assert all(path.startswith(str(five / "sub-02")) for path in inside)


def test_the_output_folder_is_not_looked_through_either(
    run_app, five, seeds_file, tmp_path, listed
):
    call = (five, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert run_app(*call).status == 0
    listed.clear()
    assert run_app(*call, "--participant-label", "03", "--overwrite").status == 0
    assert listed
    assert not {str(five), str(tmp_path / "out"), str(tmp_path / "out" / "logs" / "calls")} & {
        *listed
    }


@pytest.mark.parametrize("wanted", [(), ("01", "02", "04", "05")])
def test_files_of_some_participants_are_those_of_each(five, wanted):
    def found(labels):
        files, _ = index_files(Dataset(five, "x"), labels)
        return [path for path, _ in files]

    each = [path for label in wanted or LABELS for path in found([label])]
    assert found(wanted) == each
    assert len(each) == 4 * len(wanted or LABELS)


@pytest.mark.slow
def test_a_page_quotes_the_last_call_about_its_participant(run_app, five, seeds_file, tmp_path):
    out = tmp_path / "out"
    call = (five, out, "participant", "--seeds", seeds_file, "--strategy")
    for options in (("simple",), ("24P", "--participant-label", "02"), ("none",)):
        assert run_app(*call, *options).status == 0
        label = "02"
        assert load_participant(out, label).settings["strategy"] == [options[0]]
    assert run_app(*call, "27P", "--participant-label", "02").status == 0
    assert load_participant(out, "02").settings["strategy"] == ["27P"]
    assert load_participant(out, "01").settings["strategy"] == ["none"]
    assert len(list((out / "logs").glob("*_settings.json"))) == 2
    records = (out / "logs" / "calls" / "sub-02").iterdir()
    told = [json.loads(path.read_text())["strategy"] for path in sorted(records)]
    assert told == [["24P"], ["27P"]]


SBATCH = """#!/bin/bash
# An array's tasks one after the other, and then what depends on them.
set -u
while [ "${1#-}" != "$1" ]; do
  case $1 in
    --array=*) tasks=${1#--array=1-}; tasks=${tasks%\\%*};;
    --output=*) mkdir -p "$(dirname "${1#--output=}")";;
  esac
  shift
done
if [ -n "${tasks:-}" ]; then
  for task in $(seq "$tasks"); do
    SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$@" >>"FOLDER/log" 2>&1
  done
  echo 7
else
  SLURM_JOB_ID=8 bash "$@" >>"FOLDER/log" 2>&1
  echo 8
fi
"""


@pytest.fixture
def submit(tmp_path):
    """Call the script of the documentation, with a stand-in for Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = f'#!/bin/sh\nexec "{sys.executable}" -m bids_spheres "$@"\n'
    texts = {"sbatch": SBATCH.replace("FOLDER", str(folder)), "bids-spheres": program}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    def call(*words, **settings):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        environment |= {"PATH": f"{folder}:{os.environ['PATH']}", **settings}
        done = subprocess.run(
            [str(SCRIPT), *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        log = folder / "log"
        return done, log.read_text() if log.exists() else ""

    return call


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize(("per_task", "tasks"), [("1", 5), ("2", 3)])
def test_the_script_gives_the_bytes_of_one_call(
    submit, run_app, five, seeds_file, tmp_path, per_task, tasks
):
    options = ("--seeds", seeds_file, "--strategy", "simple", "24P")
    for level in ("participant", "group"):
        done = run_app(five, tmp_path / "local", level, *(options * (level == "participant")))
        assert done.status == 0, done.err
    out = tmp_path / "array"
    done, log = submit(five / "participants.tsv", five, out, *options, PER_TASK=per_task)
    assert done.returncode == 0, done.stderr + log
    assert f"array 7 of {tasks} tasks; group: job 8" in done.stdout
    assert results(out) == results(tmp_path / "local")
    assert (out / "group.html").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_script_tells_how_it_is_called(submit, five, tmp_path):
    done, _ = submit()
    assert done.returncode == 2
    assert done.stderr.startswith("Every participant of a list by an array of Slurm jobs")
    assert "SBATCH --" not in done.stderr
    (tmp_path / "none.txt").write_text("\n")
    done, _ = submit(tmp_path / "none.txt", five, tmp_path / "out")
    assert (done.returncode, done.stderr) == (2, f"{tmp_path / 'none.txt'} holds no label\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_no_group_of_tasks_that_failed(submit, five, seeds_file, tmp_path):
    (
        five
        / "sub-02"
        / "func"
        / "sub-02_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    ).write_bytes(b"no image")
    out = tmp_path / "array"
    _, log = submit(five / "participants.tsv", five, out, "--seeds", seeds_file)
    assert "1 of 1 run failed" in log
    assert "does not run, because these are not done: sub-02\n" in log
    assert f"go on without them: bids-spheres {five} {out} group" in log
    assert len(list(out.rglob("sub-*_timeseries.tsv"))) == 4
    assert not (out / "group").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize("per_task", ["1", "3"])
def test_a_label_without_input_does_not_stop_the_group(
    submit, five, seeds_file, tmp_path, per_task
):
    (tmp_path / "list.txt").write_text("01\nsub-02\n77\n03\n")
    out = tmp_path / "array"
    options = ("--seeds", seeds_file, "--report-level", "none")
    _, log = submit(tmp_path / "list.txt", five, out, *options, PER_TASK=per_task)
    assert "No fMRIPrep output of sub-77\n" in log
    assert "Left out, without fMRIPrep output: sub-77\n" in log
    assert {path.name for path in out.glob("sub-*")} == {"sub-01", "sub-02", "sub-03"}
    assert (out / "group.html").is_file()
