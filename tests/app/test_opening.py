"""The executor that settings ask for, however they were made."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.app import opening, participant_level
from bids_spheres.app.opening import (
    MEGABYTE,
    job_memory,
    largest_job,
    open_executor,
    slurm_settings,
)
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.participant.controls import MOST_HELD
from bids_spheres.settings.table import Execution, Processing, Settings


@pytest.mark.parametrize("executor", [None, "local"])
def test_runs_are_done_on_this_machine_unless_dask_is_asked_for(tmp_path, executor):
    settings = Settings(tmp_path, tmp_path / "out", execution=Execution(executor=executor))
    with open_executor(settings, ["a task"]) as opened:
        assert isinstance(opened, LocalExecutor)


def test_a_missing_file_of_a_scheduler_has_a_hint(tmp_path, monkeypatch):
    clusters = pytest.importorskip("bids_spheres.execute.clusters")
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "_CONNECT", 0)
    place = tmp_path / "scheduler.json"
    execution = Execution(executor="dask", dask_scheduler_file=place)
    settings = Settings(tmp_path, tmp_path / "out", execution=execution)
    with pytest.raises(MissingInputError) as caught, open_executor(settings, ["a task"]):
        pass
    assert caught.value.message == f"--dask-scheduler-file: {place} is missing."
    assert "dask scheduler --scheduler-file PATH writes it" in str(caught.value.hint)


def test_slurm_settings():
    words = ["queue=short", "time=04:00:00", "mem=4GB", "cores=2", "jobs=10", "job-name=x=y"]
    assert slurm_settings(words) == {
        "queue": "short",
        "walltime": "04:00:00",
        "memory": "4GB",
        "cores": 2,
        "jobs": 10,
        "job_name": "x=y",
    }


def test_lists_of_slurm_grow_word_by_word():
    words = ["job_extra_directives=--qos=low", "job_extra_directives=--gres=tmp:1"]
    assert slurm_settings(words) == {"job_extra_directives": ["--qos=low", "--gres=tmp:1"]}


@pytest.mark.parametrize("word", ["cores=0", "jobs=many", "processes=-1", "cores="])
def test_numbers_of_slurm_that_make_no_sense(word):
    with pytest.raises(UsageError, match="must be a number from 1"):
        slurm_settings([word])


def test_pages_are_written_again_by_absolute_paths_for_workers(tmp_path, monkeypatch):
    """Workers of Dask may have another working directory."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    folders = []

    def write_reports(_executor, output_dir, *_, **__):
        folders.append(output_dir)
        return []

    pages = participant_level.write_pages
    monkeypatch.setattr(pages, "participants_to_report", lambda *_: ["01"])
    monkeypatch.setattr(pages, "write_reports", write_reports)
    monkeypatch.setattr(participant_level, "open_executor", lambda *_: nullcontext())
    execution = Execution(executor="dask")
    settings = Settings(bids_dir=Path("in"), output_dir=Path("out"), execution=execution)
    assert participant_level.rewrite_reports(settings) == []
    assert folders == [tmp_path / "out"]


def test_the_last_word_of_slurm_counts_and_numbers_are_numbers():
    words = ["queue=a", "job-cpu=3", "partition=b", "name=x", "processes=2", "cores=08"]
    expected = {"queue": "b", "job_cpu": 3, "job_name": "x", "processes": 2, "cores": 8}
    assert slurm_settings(words) == expected
    lists = ("job_directives_skip", "job_script_prologue", "worker_extra_args")
    assert slurm_settings([f"{name}=a=1" for name in lists]) == {name: ["a=1"] for name in lists}


# Processes


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Number of processes where each run takes 100 MB and the main process 150 MB."""
    monkeypatch.setattr(opening, "own_memory", lambda: 150 * MEGABYTE)
    monkeypatch.setattr(opening, "largest_job", lambda _: 100 * MEGABYTE)

    def call(tasks, cgroup=None, **execution):
        limit = cgroup and cgroup * MEGABYTE
        monkeypatch.setattr(opening, "group_memory", lambda: limit)
        settings = Settings(tmp_path, tmp_path / "out", execution=Execution(**execution))
        with open_executor(settings, ["a task"] * tasks) as opened:
            return opened.processes

    return call


@pytest.mark.parametrize(
    ("tasks", "options", "expected"),
    [
        (20, {}, 1),
        (20, {"nprocs": 7}, 7),
        (3, {"nprocs": 7}, 3),
        (0, {"nprocs": 7}, 7),
        (20, {"nprocs": 10, "mem": 1000}, 8),
        (20, {"nprocs": 10, "mem": 950}, 8),
        (20, {"nprocs": 10, "mem": 949}, 7),
        (5, {"nprocs": 10, "mem": 1000}, 5),
        (0, {"nprocs": 10, "mem": 300}, 10),
        (20, {"nprocs": 10, "cgroup": 400}, 2),
        (20, {"nprocs": 10, "cgroup": 400, "mem": 900}, 2),
        (20, {"nprocs": 10, "cgroup": 900, "mem": 450}, 3),
        (20, {"nprocs": 10, "cgroup": 160}, 1),
    ],
)
def test_as_many_processes_as_there_is_memory_for(processes, tasks, options, expected):
    assert processes(tasks, **options) == expected


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"nprocs": 1, "cgroup": 160}, []),
        ({"nprocs": 1, "mem": 250}, []),
        (
            {"nprocs": 1, "mem": 249},
            [
                (
                    "--mem: the largest run is expected to need 100 MB beside 150 MB for the main "
                    "process, of 249 MB in all. Runs are done one at a time."
                )
            ],
        ),
        ({"nprocs": 4, "mem": 450}, ["--mem: 3 runs at a time, each of which may need 100 MB"]),
        ({"nprocs": 3, "mem": 450}, []),
        (
            {"nprocs": 2, "cgroup": 160, "mem": 900},
            [
                (
                    "cgroup: the largest run is expected to need 100 MB beside 150 MB for the main "
                    "process, of 160 MB in all. Runs are done one at a time."
                ),
                "cgroup: 1 run at a time, each of which may need 100 MB",
            ],
        ),
        ({"nprocs": 2, "cgroup": 160}, ["cgroup: 1 run at a time, each of which may need 100 MB"]),
    ],
)
def test_what_memory_limits_is_told(processes, caplog, options, lines):
    with caplog.at_level("INFO", "bids_spheres"):
        processes(4, **options)
    assert caplog.messages == lines


def test_memory_of_one_run_at_a_time_is_not_looked_up(tmp_path, monkeypatch):
    """The headers of all images would be read for it."""
    monkeypatch.setattr(opening, "largest_job", None)
    monkeypatch.setattr(opening, "group_memory", lambda: 10**9)
    with open_executor(Settings(tmp_path, tmp_path / "out"), ["a", "b"]) as opened:
        assert opened.processes == 1
    monkeypatch.setattr(opening, "group_memory", lambda: None)
    settings = Settings(tmp_path, tmp_path / "out", execution=Execution(nprocs=2))
    with open_executor(settings, ["a", "b"]) as opened:
        assert opened.processes == 2


def test_what_is_asked_of_slurm_and_of_a_cluster_here(tmp_path, monkeypatch):
    clusters = pytest.importorskip("bids_spheres.execute.clusters")
    pytest.importorskip("distributed")
    asked = []

    def opened(*words, **options):
        asked.append((words, options))
        return nullcontext(("client", "source"))

    for name in ("slurm_cluster", "local_cluster", "scheduler_at"):
        monkeypatch.setattr(clusters, name, opened)
    monkeypatch.setattr(opening, "largest_job", lambda _: 100 * MEGABYTE)
    monkeypatch.setattr(opening, "own_memory", lambda: 150 * MEGABYTE)
    monkeypatch.setattr(opening, "group_memory", lambda: None)
    work = SimpleNamespace(strategies=("s",))
    places = (["in T1w"], ["in MNI"])
    jobs = [SimpleNamespace(work=work, placements=places[i]) for i in (0, 1, 0, 1)]
    tasks = [SimpleNamespace(job=job) for job in jobs]

    def call(**options):
        execution = Execution(executor="dask", **options)
        work_dir = tmp_path / "work" if "nprocs" in options else None
        settings = Settings(tmp_path, tmp_path / "out", execution=execution, work_dir=work_dir)
        with open_executor(settings, tasks, [tmp_path / "in"]) as executor:
            return executor

    slurm = call(dask_slurm=("queue=x",), nprocs=3, omp_nthreads=2)
    assert slurm.inputs == [tmp_path / "in"]
    assert slurm.outputs == [tmp_path / "out", tmp_path / "work"]
    assert (slurm.client, slurm.source) == ("client", "source")
    assert slurm.shared == [work, "s", *places]
    call(dask_slurm=("queue=x",), nprocs=30)
    (words, first), (_, second) = asked
    assert words == ({"queue": "x"},)
    logs = tmp_path / "out" / "logs" / "slurm"
    numbers = {"items": 4, "memory": 100 * MEGABYTE, "logs": logs}
    assert first == {**numbers, "workers": 3, "cores": 2}
    assert second == {**numbers, "workers": 4, "cores": 1}
    assert call(mem=400).outputs == [tmp_path / "out"]
    call(nprocs=2)
    call(dask_scheduler="tcp://x:1")
    assert asked[2:] == [((1, 400 * MEGABYTE), {}), ((2, None), {}), (("tcp://x:1",), {})]


# Memory


@pytest.fixture
def job(tmp_path):
    """A job on one image of 97 x 115 x 97 voxels of 2 mm, of which there is the header alone."""
    header = nib.Nifti1Header()
    header.set_data_shape((97, 115, 97, 490))
    header["pixdim"][1:5] = 2, 2, 2, 0.72
    header["vox_offset"], header["magic"] = 352, b"n+1"
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4))

    def make(*numbers, bold=tmp_path / "a.nii", **rules):
        tables = [SeedTable("a", (*"x" * n,), np.zeros((n, 3)), np.full(n, 5.0)) for n in numbers]
        work = SimpleNamespace(processing=Processing(**rules), seed_sets=tables)
        return SimpleNamespace(work=work, images=(SimpleNamespace(bold=bold),))

    return make


IMAGE = 8 * 6 * 97 * 115 * 97


@pytest.mark.parametrize(
    ("numbers", "rules", "further"),
    [
        ((264,), {}, 12 * 490 * 264 + 264**2 * 8),
        ((160, 36), {}, 12 * 490 * 196 + 160**2 * 8),
        ((36,), {"controls": True}, 12 * 490 * (72 + 20) + 170**2 * 8),
        # 4/3 pi 5^3 mm3 are 65.4 voxels of 8 mm3
        ((264,), {"aggregation": "median"}, 12 * 490 * 264 + 264**2 * 8 + 2 * 490 * 264 * 67),
        ((10,), {"despike": True}, 12 * 490 * 10 + 10**2 * 8 + 2 * 490 * 10 * 67),
        (
            (200, 10),
            {"despike": True, "controls": True},
            12 * 490 * 460 + 220**2 * 8 + 4 * 490 * 210 * 67,
        ),
    ],
)
def test_memory_of_a_run_by_the_header_of_its_image(job, numbers, rules, further):
    assert job_memory(job(*numbers, **rules)) == 310 * MEGABYTE + IMAGE + 8 * further


def test_memory_of_maps_and_of_placements(job):
    plain = job_memory(job(100, 20))
    assert job_memory(job(100, 20, seed_maps=("all",))) - plain == 150 * MEGABYTE
    drawn = 8 * 490 * 7 * 120 + 8 * 3 * 100**2
    assert job_memory(job(100, 20, placement_jitter="2:7")) - plain == 250 * MEGABYTE + drawn
    most = job_memory(job(100, 20, placement_jitter="2:1000000")) - plain
    assert most == 250 * MEGABYTE + 2 * MOST_HELD + 8 * 3 * 100**2


def test_an_image_that_can_not_be_read_is_taken_for_a_large_one(job, tmp_path):
    lacking = job(10, bold=tmp_path / "none.nii", despike=True)
    inside = 2 * 500 * 10 * 67
    expected = 8 * (6 * 1_200_000 + 12 * 500 * 10 + 8 * 10**2 + inside)
    assert job_memory(lacking) == 310 * MEGABYTE + expected
    assert largest_job([]) == 200 * MEGABYTE
    (small, large) = (SimpleNamespace(job=job(n)) for n in (1, 300))
    assert largest_job([small, large, small]) == job_memory(large.job)


def test_images_of_one_volume_and_spheres_as_large_as_the_image(tmp_path, job):
    nib.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([3, 3, 3, 1])).to_filename(
        tmp_path / "b.nii"
    )
    floats = 6 * 24 + 12 * 5 + 8 * 5**2 + 2 * 5 * (math.ceil(4 / 3 * math.pi * 125 / 27) + 1)
    few = job(5, bold=tmp_path / "b.nii", despike=True)
    assert job_memory(few) == 310 * MEGABYTE + 8 * floats
    few.work.seed_sets[0].radii[:] = 99
    assert job_memory(few) == 310 * MEGABYTE + 8 * (6 * 24 + 12 * 5 + 8 * 25 + 2 * 5 * 24)


def test_memory_is_that_of_the_largest_of_several_images_and_of_unequal_spheres(tmp_path, job):
    shapes = {"small": ((2, 3, 4, 7), (1, 2, 3)), "long": ((3, 3, 3, 50), (2, 2, 2))}
    images = []
    for name, (shape, zooms) in shapes.items():
        img = nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([*zooms, 1]))
        img.to_filename(tmp_path / f"{name}.nii")
        images.append(SimpleNamespace(bold=tmp_path / f"{name}.nii"))
    radii = [np.array([1.0, 1.5]), np.array([0.5, 1.2, 0.9])]

    def floats(name):
        shape, zooms = shapes[name]
        voxels, volumes, size = math.prod(shape[:3]), shape[3], math.prod(zooms)
        balls = (4 / 3 * math.pi * r**3 / size for own in radii for r in own)
        inside = sum(min(voxels, math.ceil(ball) + 1) for ball in balls)
        return 6 * voxels + 12 * volumes * 5 + 8 * 3**2 + 2 * volumes * inside

    assert floats("small") < floats("long")
    both = job(2, 3, despike=True)
    for table, own in zip(both.work.seed_sets, radii, strict=True):
        table.radii[:] = own
    for chosen, name in (
        (images, "long"),
        (images[::-1], "long"),
        (images[:1], "small"),
        (images[1:], "long"),
    ):
        both.images = chosen
        assert job_memory(both) == 310 * MEGABYTE + 8 * floats(name)
