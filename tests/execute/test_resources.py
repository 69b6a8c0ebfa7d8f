"""Threads and memory of jobs: what is asked for is kept to, and changes no number."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bids_spheres.app.config_file import with_config
from bids_spheres.app.opening import MEGABYTE, _Shape, job_memory, largest_job
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.app.planning import plan_jobs, tasks_of
from bids_spheres.engine.extract import extract
from bids_spheres.engine.spheres import sphere_weights
from bids_spheres.engine.stream import open_volumes
from tests.processes import results

SEEDS = np.array([[-10.0, 0, 0], [10, 0, 0], [0, 10, 4]])


@pytest.mark.parametrize("fwhm", [None, 6.0])
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_one_thread_gives_the_same_numbers(tiny, monkeypatch, fwhm, aggregation):
    volumes = open_volumes(tiny.add_run())
    weights = sphere_weights(SEEDS, 8.0, volumes.grid)
    two = extract(volumes, weights, fwhm, aggregation=aggregation, threads=2).timeseries
    # Nothing that starts a thread; a function of the package has the name of its module.
    monkeypatch.setattr(sys.modules[extract.__module__], "ThreadPoolExecutor", None)
    monkeypatch.setattr("bids_spheres.engine.screen.read_ahead", None)
    one = extract(volumes, weights, fwhm, aggregation=aggregation, threads=1).timeseries
    assert one.tobytes() == two.tobytes()


def test_threads_change_no_byte(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    for number in (1, 2, 5):
        out = tmp_path / f"out{number}"
        call = (tiny.root, out, "participant", "--seeds", seeds_file, "--omp-nthreads", number)
        assert run_app(*call, "--smoothing-fwhm", 6).status == 0
    assert results(tmp_path / "out1") == results(tmp_path / "out2") == results(tmp_path / "out5")


@pytest.fixture
def planned(tiny, seeds_file, tmp_path):
    """Tasks of a call with some options."""

    def tasks(*options):
        words = [tiny.root, tmp_path / "planned", "participant", "--seeds", seeds_file, *options]
        settings = settings_of(main_parser().parse_args([str(word) for word in words]))
        return tasks_of(settings, plan_jobs(settings)[1])

    return tasks


PEAK = """
import pickle, sys
from bids_spheres.participant.job import attempt
from bids_spheres.app.memory_limits import own_memory
outcome = attempt(pickle.loads(sys.stdin.buffer.read()))
assert outcome.error is None, outcome.error
print(own_memory())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--smoothing-fwhm", 6),
        ("--aggregation", "eigenvariate", "--radius", 30),
        ("--seed-maps",),
        ("--effective-dof", "--connectivity", "partial", "ledoit-wolf"),
        ("--controls", "--aggregation", "median"),
        ("--placement-jitter", "5:1000"),
        ("--placement-jitter", "5", "--aggregation", "median", "--smoothing-fwhm", "6"),
    ],
    ids=lambda options: " ".join(map(str, options)) or "plain",
)
def test_a_job_takes_no_more_than_is_expected(tiny, planned, options):
    """And not less than a fifth of it, or nothing would ever fit."""
    tiny.add_run(n_volumes=2000)
    (task,) = planned(*options)
    done = subprocess.run(
        [sys.executable, "-c", PEAK], input=pickle.dumps(task), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    peak, expected = int(done.stdout), job_memory(task.job)
    assert expected / 5 < peak < expected


def test_the_memory_expected_grows_with_what_is_asked(tiny, planned):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-02_task-rest", n_volumes=4000)
    short, long = planned()
    assert job_memory(short.job) < job_memory(long.job) == largest_job([short, long])
    (maps, _) = planned("--seed-maps")
    assert job_memory(maps.job) - job_memory(short.job) == 150 * MEGABYTE
    (median, _) = planned("--aggregation", "median", "--radius", 20)
    # 4/3 pi 20^3 / 64 mm3 are 524 voxels in each of 4 spheres, twice, of 8 bytes, over 40 volumes
    more = job_memory(median.job) - job_memory(short.job)
    assert more == 2 * 8 * 40 * 4 * 525
    broken = replace(short.job.images[0], bold=tiny.root / "none.nii.gz")
    unknown = replace(short.job, images=(broken,))
    assert job_memory(unknown) > 200 * MEGABYTE + 8 * 6 * _Shape.voxels


@pytest.fixture
def three(run_app, tiny, seeds_file, tmp_path):
    for number in (1, 2, 3):
        tiny.add_run(f"sub-0{number}_task-rest")

    def call(*options):
        words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
        return run_app(*words, "--report-level", "none", *options)

    return call


def test_fewer_runs_are_at_work_where_memory_is_short(three):
    done = three("--nprocs", 3, "--mem", "1GB")
    assert done.status == 0, done.err
    assert "--mem: 2 runs at a time, each of which may need 31" in done.err or (
        "--mem: 1 run at a time" in done.err
    )


def test_a_run_that_does_not_fit_is_warned_of_and_tried(three):
    done = three("--nprocs", 3, "--mem", "200")
    assert done.status == 0, done.err
    assert "--mem: the largest run is expected to need 31" in done.err
    assert "Runs are done one at a time." in done.err
    assert "3 of 3 runs written" in done.err


@pytest.mark.parametrize(
    ("text", "megabytes"), [("8000", 8000), ("8GB", 8000), ("8g", 8000), ("1.5T", 1_500_000)]
)
def test_amounts_of_memory(text, megabytes):
    assert main_parser().parse_args(["a", "b", "participant", "--mem", text]).mem == megabytes


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ("--mem lots", "lots is no amount of memory"),
        ("--mem 0", "0 is no amount of memory"),
        ("--mem nan", "nan is no amount of memory"),
        ("--omp-nthreads 0", "is not a whole number from 1"),
        ("--executor ray", "invalid choice: 'ray'"),
        ("--executor local --dask-scheduler tcp://x:1", "--executor local does not go with"),
        ("--dask-scheduler tcp://x:1 --dask-slurm queue=x", "both say where the workers are"),
        ("--dask-scheduler-file f --mem 4GB", "--mem limits a call on one machine"),
        ("--dask-slurm /etc/fstab", "/etc/fstab is no setting as KEY=VALUE"),
        ("--dask-slurm queue=x --mem 4GB", "as in --dask-slurm memory=4GB"),
    ],
)
def test_options_that_contradict(run_app, tiny, tmp_path, options, phrase):
    tiny.add_run()
    done = run_app(
        *(tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011"), *options.split()
    )
    assert done.status == 2
    assert phrase in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("library", ["distributed", "dask_jobqueue"])
def test_without_dask(run_app, tiny, seeds_file, monkeypatch, tmp_path, library):
    tiny.add_run()
    monkeypatch.setitem(sys.modules, library, None)
    option = ("--executor", "dask") if library == "distributed" else ("--dask-slurm", "queue=x")
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, *option)
    assert done.status == 2
    assert f"needs {library.replace('_', '-')}" in done.err
    assert 'pip install "bids-spheres[dask]"' in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--executor", "dask", "--nprocs", "3", "--omp-nthreads", "1", "--mem", "4GB"),
        ("--dask-scheduler", "tcp://x:1"),
        ("--dask-scheduler-file", "{tmp}/f.json"),
        ("--dask-slurm", "queue=x", "job_extra_directives=--qos=low"),
    ],
    ids=lambda options: options[0],
)
def test_a_record_repeats_where_jobs_were_done(tmp_path, options):
    parser, base = main_parser(), [str(tmp_path), str(tmp_path / "out"), "participant"]
    asked = settings_of(parser.parse_args([*base, *(o.format(tmp=tmp_path) for o in options)]))
    assert asked.execution.executor == "dask"
    record = tmp_path / "record.json"
    record.write_text(json.dumps(asked.to_json()))
    again = settings_of(parser.parse_args(with_config(parser, [*base, "--config", str(record)])))
    assert again.execution == asked.execution
