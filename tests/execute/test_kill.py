"""Processes that are killed: what they leave, what becomes of the others, and of the next call."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres.execute import local
from tests.processes import children, final_files, finish, is_alive, results, wait_for

N_RUNS, N_VOLUMES, N_SEEDS = 6, 40, 160
STRATEGIES = ("simple", "24P", "none")

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture
def command(tiny, tmp_path):
    """A call on a few runs, as words; `output` may be another folder."""
    for number in range(1, N_RUNS + 1):
        tiny.add_run(f"sub-0{number}_task-rest", n_volumes=N_VOLUMES)
    rng = np.random.default_rng(0)
    rows = [f"{x:.1f}\t{y:.1f}\t{z:.1f}" for x, y, z in rng.uniform(-15, 15, (N_SEEDS, 3))]
    seeds = tmp_path / "many.tsv"
    seeds.write_text("\n".join(["x\ty\tz", *rows]) + "\n")

    def words(*options, output=tmp_path / "out"):
        call = [sys.executable, "-m", "bids_spheres", tiny.root, output, "participant"]
        call += ["--report-level", "none", "--seeds", seeds, "--strategy", *STRATEGIES, *options]
        return [str(word) for word in call]

    return words


def check_whole(output):
    """Every file under a final name can be read, and tables have all their rows and columns."""
    for path in final_files(output):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.name.endswith(".nii.gz"):
            assert np.asarray(nib.load(path).dataobj).shape == (12, 12, 10)
        elif path.suffix == ".tsv":
            text = path.read_text()
            table = pd.read_csv(path, sep="\t", na_values="n/a") if text.strip() else None
            rows = text.count("\n")
            assert text.endswith("\n"), path
            if path.name.endswith("_relmat.tsv"):
                assert table.shape == (N_SEEDS, N_SEEDS + 1), path
            elif path.name.endswith("_timeseries.tsv"):
                assert table.shape == (N_VOLUMES, N_SEEDS), path
            elif path.name.endswith("_dseg.tsv"):
                assert len(table) == N_SEEDS, path
            elif path.name.endswith(("_design.tsv", "_outliers.tsv")):
                assert rows == N_VOLUMES + 1, path


def latest(output):
    """When the last file of a run was written, ns."""
    return max((path.stat().st_mtime_ns for path in output.rglob("sub-*_*.tsv")), default=0)


ROUNDS = ((2, "7"), (1, "5"), (2, "5"), (1, "7"), (2, "7"), (2, "5"))
"""Processes and radius of calls that are killed: each has other things to do and to do again."""


@pytest.mark.slow
def test_killed_at_any_moment(command, tmp_path):
    """Main process and workers, then a call that is left in peace."""
    rng = random.Random(1)  # noqa: S311 - no secret
    out, orphans = tmp_path / "out", set()
    for nprocs, radius in ROUNDS:
        call = command("--nprocs", nprocs, "--radius", radius, "-q")
        before = latest(out)
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for(lambda seen=before: latest(out) > seen)
        time.sleep(rng.uniform(0, 0.4))
        workers = children(process.pid)
        orphans.update(workers)
        assert process.poll() is None
        os.kill(rng.choice([process.pid, *workers]), signal.SIGKILL)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.wait()
        check_whole(out)
    assert wait_for(lambda: not any(map(is_alive, orphans)), local.GRACE + 5)
    done = finish(command("--nprocs", 2, "--radius", "5"))
    assert done.returncode == 0, done.stderr
    check_whole(out)
    assert f"0 of {N_RUNS} runs to do" in finish(command("--radius", "5", "--dry-run")).stdout
    anew = tmp_path / "anew"
    assert finish(command("--nprocs", 2, "--radius", "5", output=anew)).returncode == 0
    assert results(out) == results(anew)


@pytest.mark.slow
def test_the_call_goes_on_when_a_worker_is_killed(command, tmp_path):
    assert finish(command(output=tmp_path / "anew")).returncode == 0
    process = subprocess.Popen(command("--nprocs", 2), stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: len(children(process.pid)) == 2)
    assert wait_for(lambda: list((tmp_path / "out").rglob("sub-*_dseg.tsv")))
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert f"{N_RUNS} of {N_RUNS} runs written" in told
    assert results(tmp_path / "out") == results(tmp_path / "anew")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
@pytest.mark.parametrize("nprocs", [1, 2])
def test_told_to_end(command, tmp_path, nprocs, number):
    """At the end of a cluster's time, and from the keyboard."""
    process = subprocess.Popen(
        command("--nprocs", nprocs), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert wait_for(lambda: list((tmp_path / "out").rglob("sub-*_dseg.tsv")))
    workers = children(process.pid)
    assert len(workers) == (nprocs if nprocs > 1 else 0)
    # Slurm tells all processes of a job, and so does a terminal.
    for pid in [process.pid, *workers]:
        os.kill(pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (128 + number, -signal.SIGINT)
    assert "hat was finished is written" in told
    assert "Traceback" not in told
    assert not any(map(is_alive, workers))
    assert not list((tmp_path / "out").rglob(".tmp-*"))
    check_whole(tmp_path / "out")
    done = finish(command())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_several_calls_at_once_do_the_same(command, tmp_path):
    calls = [
        subprocess.Popen(command("--nprocs", n, "-q"), stderr=subprocess.PIPE) for n in (1, 2, 2)
    ]
    told = [call.communicate(timeout=300)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0, 0], told
    check_whole(tmp_path / "out")
    assert f"0 of {N_RUNS} runs to do" in finish(command("--dry-run")).stdout
    assert finish(command(output=tmp_path / "anew")).returncode == 0
    assert results(tmp_path / "out") == results(tmp_path / "anew")


def boot_with(monkeypatch, code):
    """Let workers run some code before they begin to serve."""
    start, mark, rest = local._BOOT.partition("serve(")
    monkeypatch.setattr(local, "_BOOT", start + code + "\n" + mark + rest)


KILLED_ONCE = """
import os, pathlib, signal
import bids_spheres.participant.job as e
real = e.attempt
def attempt(task):
    seen = pathlib.Path({folder!r}, str(task.job.run.name.get("sub")))
    if seen.name in {who!r} and not seen.with_suffix("." + str({times} - 1)).exists():
        times = len(list(seen.parent.glob(seen.name + ".*")))
        seen.with_suffix("." + str(times)).touch()
        os.kill(os.getpid(), signal.{signal})
    return real(task)
e.attempt = attempt
"""


@pytest.fixture
def parallel(run_app, tiny, seeds_file, tmp_path):
    """A call on three runs with two workers."""
    for number in (1, 2, 3):
        tiny.add_run(f"sub-0{number}_task-rest")

    def call(*options):
        out = tmp_path / "out"
        words = (tiny.root, out, "participant", "--seeds", seeds_file, "--nprocs", 2, *options)
        return run_app(*words)

    return call


def doomed(tmp_path, who, times, name="SIGKILL"):
    folder = tmp_path / "seen"
    folder.mkdir(exist_ok=True)
    return KILLED_ONCE.format(folder=str(folder), who=who, times=times, signal=name)


@pytest.mark.slow
def test_a_run_whose_worker_was_killed_is_tried_again(parallel, monkeypatch, tmp_path):
    boot_with(monkeypatch, doomed(tmp_path, ["01", "02", "03"], 1))
    done = parallel()
    assert done.status == 0, done.err
    assert len(list((tmp_path / "seen").iterdir())) == 3
    assert "3 of 3 runs written" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "phrase"),
    [("SIGKILL", "was killed, most likely out of memory"), ("SIGSEGV", "ended by SIGSEGV")],
)
def test_a_run_of_which_two_workers_die_fails(parallel, monkeypatch, tmp_path, name, phrase):
    with monkeypatch.context() as patch:
        boot_with(patch, doomed(tmp_path, ["02"], 2, name))
        done = parallel()
    assert done.status == 1
    assert "1 of 3 runs failed:\n  sub-02" in done.err
    assert f"A worker process {'' if name == 'SIGKILL' else 'was '}{phrase}" in done.err
    assert len(list((tmp_path / "seen").iterdir())) == 2
    series = (tmp_path / "out").rglob("*_timeseries.tsv")
    assert sorted(path.name[:6] for path in series) == ["sub-01", "sub-03"]
    (crash,) = (tmp_path / "out" / "logs").glob("crash-*.txt")
    assert phrase in crash.read_text()
    assert parallel().status == 0
    assert not crash.exists()


@pytest.mark.slow
def test_a_worker_out_of_memory_tells(parallel, monkeypatch):
    """More than there is of the address space; the other runs take next to nothing."""
    code = """
import bids_spheres.participant.job as p
real = p.run_job
def run_job(job):
    return bytearray(1 << 62) if job.run.name.get("sub") == "02" else real(job)
p.run_job = run_job
"""
    boot_with(monkeypatch, code)
    done = parallel()
    assert done.status == 1
    assert "sub-02 task-rest space-MNI152NLin2009cAsym: Out of memory." in done.err
    assert "2 of 3 runs written" in done.err


@pytest.mark.slow
def test_stopping_at_the_first_error_stops_workers(parallel, monkeypatch, tmp_path):
    before = set(children(os.getpid()))
    code = """
import time, bids_spheres.participant.job as p
real = p.run_job
def run_job(job):
    if job.run.name.get("sub") == "01":
        raise ValueError("no")
    time.sleep(60)
p.run_job = run_job
"""
    boot_with(monkeypatch, code)
    done = parallel("--stop-on-first-error")
    assert done.status == 1
    assert "unexpected ValueError: no" in done.err
    assert "2 of 3 runs were not tried after that" in done.err
    assert set(children(os.getpid())) <= before
    assert not list((tmp_path / "out").rglob("*_timeseries.tsv"))


@pytest.mark.slow
def test_a_worker_that_does_not_end_is_killed(parallel, monkeypatch):
    before = set(children(os.getpid()))
    """As one that waits for a disk for ever."""
    code = """
import signal, time, bids_spheres.participant.job as p
def run_job(job):
    if job.run.name.get("sub") == "01":
        raise ValueError("no")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
p.run_job = run_job
"""
    boot_with(monkeypatch, code)
    monkeypatch.setattr(local, "GRACE", 0.3)
    assert parallel("--stop-on-first-error").status == 1
    assert set(children(os.getpid())) <= before


@pytest.mark.slow
def test_workers_need_no_main_guard(tiny, seeds_file, tmp_path):
    """A script that calls the app at its top level is not run again in workers."""
    for number in (1, 2):
        tiny.add_run(f"sub-0{number}_task-rest")
    words = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--nprocs", 2]
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom bids_spheres.app.main import main\nprint('begun')\n"
        f"sys.exit(main({[str(word) for word in words]!r}))\n"
    )
    done = finish([sys.executable, script])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begun\n"
