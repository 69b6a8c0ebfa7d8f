"""Jobs on Dask: the bytes of the local run, whatever happens to workers."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from tests.processes import children, is_alive, results, wait_for

pytest.importorskip("distributed")

from bids_spheres.app.opening import shared_by
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.app.participant_level import keep_crash
from bids_spheres.app.planning import plan_jobs
from bids_spheres.errors import TemporaryError, UsageError
from bids_spheres.execute import Lost, clusters, dask
from bids_spheres.execute.dask import DaskExecutor, WorkerSource
from bids_spheres.participant import job
from bids_spheres.participant.job import Outcome
from bids_spheres.participant.up_to_date import find_tasks

N_RUNS = 4
DEEDS = """
import os, pathlib, pickle, signal, time

def double(number):
    return 2 * number

def work_size(task):
    return len(pickle.dumps(task.job.work))

def wait(seconds):
    time.sleep(seconds)
    return seconds

def die_at_first(path):
    if not pathlib.Path(path).exists():
        pathlib.Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path

def die_of(item):
    if item == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return item
"""


@pytest.fixture(scope="module")
def deeds(tmp_path_factory):
    """Functions that workers can import."""
    folder = tmp_path_factory.mktemp("deeds")
    (folder / "deeds.py").write_text(DEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("deeds")


@pytest.fixture(scope="module")
def two_workers(deeds, tmp_path_factory):
    assert deeds.double(1) == 2  # and so it can be found by workers, which get our path
    with clusters.local_cluster(2, None) as (client, source):
        yield DaskExecutor(client, source, (), [tmp_path_factory.mktemp("shared")])


@pytest.mark.slow
def test_every_item_is_done_once(two_workers, deeds):
    ends = list(two_workers.run(deeds.double, range(20)))
    assert sorted(ends) == [(number, 2 * number) for number in range(20)]
    assert list(two_workers.run(deeds.double, [])) == []


@pytest.mark.slow
def test_an_item_whose_worker_is_lost_is_tried_again(two_workers, deeds, tmp_path):
    items = [str(tmp_path / name) for name in "abc"]
    ends = dict(two_workers.run(deeds.die_at_first, items))
    assert ends == {item: item for item in items}


@pytest.mark.slow
def test_an_item_of_which_two_workers_are_lost_is_given_up(two_workers, deeds):
    ends = dict(two_workers.run(deeds.die_of, ["poison", *"abcd"]))
    lost = ends.pop("poison")
    assert isinstance(lost, Lost)
    assert lost.message.startswith("2 Dask workers were lost with this run")
    assert "too little memory" in lost.hint
    assert ends == {item: item for item in "abcd"}


@pytest.mark.slow
def test_what_is_handed_out_leaves_nothing(two_workers, deeds):
    assert list(two_workers.run(deeds.double, [1])) == [(1, 2)]
    assert not list(two_workers.outputs[0].iterdir())


@pytest.mark.slow
def test_workers_that_see_other_folders_are_not_used(two_workers, deeds, dataset, tmp_path):
    """For as long as a fit one may come; then the reason is told."""
    source = WorkerSource("A scheduler", timeout=2.0)
    executor = DaskExecutor(two_workers.client, source, *dataset)
    (tmp_path / "in" / "dataset_description.json").unlink()
    (tmp_path / "in").rmdir()
    with pytest.raises(TemporaryError, match=f"does not see the folder {tmp_path / 'in'}"):
        list(executor.run(deeds.double, [1]))


@pytest.fixture
def runs(tiny):
    for number in range(1, N_RUNS + 1):
        tiny.add_run(f"sub-0{number}_task-rest", n_volumes=40 + number)
    return tiny.root


@pytest.fixture
def call(runs, seeds_file, tmp_path):
    """Words of a call; `output` is the name of its folder."""

    def words(output, *options):
        told = (runs, tmp_path / output, "participant", "--seeds", seeds_file)
        return [str(word) for word in (*told, "--strategy", "simple", "24P", *options)]

    return words


@pytest.fixture
def expected(run_app, call, tmp_path):
    """What the local executor writes."""
    done = run_app(*call("local"))
    assert done.status == 0, done.err
    return results(tmp_path / "local")


def program(words):
    return [sys.executable, "-m", "bids_spheres", *words]


@pytest.mark.slow
def test_a_cluster_on_this_machine(run_app, call, expected, tmp_path):
    pages = ("--report-level", "participant")
    done = run_app(*call("out", "--executor", "dask", "--nprocs", 2, *pages))
    assert done.status == 0, done.err
    assert f"{N_RUNS} of {N_RUNS} runs written" in done.err
    assert results(tmp_path / "out") == expected
    assert len(list((tmp_path / "out").glob("*.html"))) == N_RUNS
    again = run_app(*call("out", "--executor", "dask", "--nprocs", 2))
    assert f"0 of {N_RUNS} runs to do" in again.err


def workers_of(process):
    """Processes of Dask workers that a call has started."""

    def is_worker(pid):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()

    return [pid for pid in children(process) if is_worker(pid)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_killed_workers_cost_no_result(call, expected, tmp_path):
    words = call("out", "--executor", "dask", "--nprocs", 2)
    process = subprocess.Popen(program(words), stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: list((tmp_path / "out").rglob("sub-*_dseg.tsv")), 60)
    for pid in workers_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "is tried again" in told
    assert f"{N_RUNS} of {N_RUNS} runs written" in told
    assert results(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_told_to_end(call, tmp_path, number):
    words = call("out", "--executor", "dask", "--nprocs", 2)
    process = subprocess.Popen(program(words), stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: list((tmp_path / "out").rglob("sub-*_dseg.tsv")), 60)
    workers = children(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "hat was finished is written" in told
    assert "Traceback" not in told
    assert wait_for(lambda: not any(map(is_alive, workers)), 10)


@contextmanager
def dask_process(program, *options, **environment):
    code = [sys.executable, "-m", f"distributed.cli.{program}", *map(str, options)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    paths = os.environ | environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(code, env=paths, **silent) as process:
        try:
            yield process
        finally:
            process.terminate()


@dataclass(frozen=True)
class Scheduler:
    process: subprocess.Popen[bytes]
    file: Path


@pytest.fixture
def scheduler(tmp_path):
    """One of the user's own, without workers."""
    path = tmp_path / "scheduler.json"
    options = ("--port", 0, "--no-dashboard", "--scheduler-file", path)
    with dask_process("dask_scheduler", *options) as process:
        assert wait_for(lambda: path.exists() and path.stat().st_size > 0, 60)
        yield Scheduler(process, path)


@pytest.fixture
def scheduler_file(scheduler):
    return scheduler.file


def worker(scheduler_file, folder, *more, **environment):
    """A worker of this path of modules, with more threads than it has jobs at a time."""
    options = ("--scheduler-file", scheduler_file, "--nthreads", 3, "--nworkers", 1, *more)
    words = (*options, "--local-directory", folder, "--no-dashboard")
    return dask_process("dask_worker", *words, **environment)


@contextmanager
def found(scheduler_file, folder):
    """Executor of workers of a scheduler."""
    with clusters.scheduler_at(scheduler_file) as (client, source):
        yield DaskExecutor(client, source, (), [folder])


@pytest.mark.slow
@pytest.mark.parametrize("by", ["file", "address"])
def test_a_scheduler_of_the_users_own(run_app, call, expected, scheduler_file, tmp_path, by):
    address = json.loads(scheduler_file.read_text())["address"]
    option = {
        "file": ("--dask-scheduler-file", scheduler_file),
        "address": ("--dask-scheduler", address),
    }
    with worker(scheduler_file, tmp_path / "w1"), worker(scheduler_file, tmp_path / "w2"):
        done = run_app(*call("out", *option[by], "--omp-nthreads", 1))
        assert done.status == 0, done.err
    assert results(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_scheduler_that_goes_away(deeds, scheduler, tmp_path):
    with worker(scheduler.file, tmp_path / "w1"), found(scheduler.file, tmp_path) as executor:
        ends = executor.run(deeds.wait, [0, 60])
        assert next(ends) == (0, 0)
        threading.Timer(0.5, scheduler.process.terminate).start()
        with pytest.raises(TemporaryError) as caught:
            next(ends)
    assert "the next call does what is missing" in str(caught.value)


def here(client, number):
    return len(client.scheduler_info()["workers"]) == number


BLIND = """
from bids_spheres.execute import proof
proof._digest = lambda path: None
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blind", "paused", "stopped"])
def test_one_bad_worker_beside_a_good_one(deeds, scheduler, tmp_path, caplog, kind):
    """It gets nothing, and the other one does everything, at once."""
    (tmp_path / "blind.py").write_text(BLIND)
    more = ("--preload", tmp_path / "blind.py") if kind == "blind" else ("--no-nanny",)
    pause = {"DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "0.001"} if kind == "paused" else {}
    files = [scheduler.file, tmp_path / "w1"]
    with (
        worker(*files, *more, "--memory-limit", "8GB", **pause) as bad,
        worker(scheduler.file, tmp_path / "w2"),
        found(scheduler.file, tmp_path) as executor,
    ):
        assert wait_for(lambda: here(executor.client, 2), 60)
        if kind == "paused":
            status = lambda: [one["status"] for one in scheduler_workers(executor.client)]  # noqa: E731
            assert wait_for(lambda: "paused" in status(), 30)
        if kind == "stopped":
            os.kill(bad.pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            ends = sorted(executor.run(deeds.double, range(10)))
        finally:
            os.kill(bad.pid, signal.SIGCONT)
        assert ends == [(number, 2 * number) for number in range(10)]
        assert time.monotonic() - started < dask._SILENCE
    assert ("does not see the folder" in caplog.text) == (kind == "blind")


def scheduler_workers(client):
    return client.scheduler_info()["workers"].values()


@pytest.mark.slow
def test_a_worker_that_stops_loses_its_item_to_another(deeds, scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "_SILENCE", 3.0)
    monkeypatch.setattr(dask, "_GIVE_UP", 3.0)
    files = [scheduler.file, tmp_path / "w1"]
    with (
        worker(*files, "--no-nanny") as one,
        worker(scheduler.file, tmp_path / "w2"),
        found(scheduler.file, tmp_path) as executor,
    ):
        assert wait_for(lambda: here(executor.client, 2), 60)
        timer = threading.Timer(2.0, os.kill, (one.pid, signal.SIGSTOP))
        timer.start()
        try:
            ends = sorted(executor.run(deeds.wait, [4.0, 4.1]))
        finally:
            os.kill(one.pid, signal.SIGCONT)
        assert ends == [(4.0, 4.0), (4.1, 4.1)]


@pytest.mark.slow
def test_a_late_worker_is_welcome(deeds, scheduler, tmp_path):
    with found(scheduler.file, tmp_path) as executor:
        ends = executor.run(deeds.double, [1])
        done = []
        thread = threading.Thread(target=lambda: done.extend(ends))
        thread.start()
        time.sleep(3)
        with worker(scheduler.file, tmp_path / "w1"):
            thread.join(60)
        assert done == [(1, 2)]


def test_what_all_jobs_share_travels_once(two_workers, deeds, call, tmp_path, monkeypatch):
    """Seeds, strategies and settings are in the token: 264 seeds add nothing to a job."""
    words = call("out", "--atlas", "Power2011")
    settings = settings_of(main_parser().parse_args(words))
    tasks = find_tasks(plan_jobs(settings)[1])
    whole = len(pickle.dumps(tasks[0].job.work))
    assert whole > 15_000
    client, sizes = two_workers.client, []
    submit = client.submit

    def counted(function, *words, **options):
        sizes.append(len(pickle.dumps((function, words, options))))
        return submit(function, *words, **options)

    monkeypatch.setattr(client, "submit", counted)
    executor = DaskExecutor(client, two_workers.source, (), [tmp_path], shared_by(tasks))
    ends = [end for _, end in executor.run(deeds.work_size, tasks)]
    assert ends == [whole] * len(tasks)
    assert max(sizes) < 3000


def processor_time(pids):
    """User and system time of processes, s."""
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.slow
def test_a_job_costs_ten_milliseconds_at_most(two_workers, deeds):
    """Of client, scheduler and workers together, where the machine is not busy with others."""
    number, costs = 200, [1.0]
    while min(costs) >= 0.010 and len(costs) < 8:
        list(two_workers.run(deeds.double, range(4)))
        pids = [os.getpid(), *workers_of(os.getpid())]
        before = processor_time(pids)
        assert len(list(two_workers.run(deeds.double, range(number)))) == number
        costs.append((processor_time(pids) - before) / number)
    assert min(costs) < 0.010


def test_a_run_is_not_written_before_its_files_are_seen_here(call, monkeypatch, tmp_path):
    tasks = find_tasks(plan_jobs(settings_of(main_parser().parse_args(call("out"))))[1])
    end = Outcome(str(tasks[0]), written=("sub-01/func/a.tsv", "logs/done/b.json"))
    monkeypatch.setattr(job, "_VISIBLE", 0.2)
    (tmp_path / "out" / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "out" / "sub-01" / "func" / "a.tsv").touch()
    failed = Outcome.of(tasks[0], end)
    assert "says that it wrote b.json, which is missing here" in failed.error
    (tmp_path / "out" / "logs" / "done").mkdir(parents=True)
    (tmp_path / "out" / "logs" / "done" / "b.json").touch()
    assert Outcome.of(tasks[0], end) is end


def test_a_crash_file_names_the_versions_of_the_worker(call, tmp_path):
    settings = settings_of(main_parser().parse_args(call("out")))
    keep_crash(Outcome("sub-01", error="no", versions={"numpy": "0.0.1"}), settings)
    (crash,) = (tmp_path / "out" / "logs").glob("crash-*.txt")
    assert "\nnumpy 0.0.1\n" in crash.read_text()


def test_a_scheduler_without_workers(run_app, call, scheduler_file, monkeypatch):
    monkeypatch.setattr(WorkerSource.__init__, "__defaults__", (0.5, lambda: False))
    done = run_app(*call("out", "--dask-scheduler-file", scheduler_file))
    assert done.status == 75
    assert "has had no worker for" in done.err


@pytest.mark.parametrize(
    ("status", "phrase", "options"),
    [
        (75, "No Dask scheduler answers", ("--dask-scheduler", "tcp://127.0.0.1:1")),
        (2, "nonsense is no address", ("--dask-scheduler", "nonsense")),
        (2, "foo://x:1 is no address", ("--dask-scheduler", "foo://x:1")),
        (66, "none.json", ("--dask-scheduler-file", "{tmp}/none.json")),
        (65, "is not valid JSON", ("--dask-scheduler-file", "{tmp}/mine.tsv")),
        (65, "holds no address", ("--dask-scheduler-file", "{tmp}/empty.json")),
    ],
)
def test_addresses_where_nobody_is(run_app, call, monkeypatch, tmp_path, status, phrase, options):
    monkeypatch.setattr(clusters, "_CONNECT", 1.0)
    (tmp_path / "empty.json").write_text("{}")
    started = time.monotonic()
    done = run_app(*call("out", *(word.format(tmp=tmp_path) for word in options)))
    assert done.status == status, done.err
    assert phrase in done.err
    assert done.err.count("error:") == 1
    assert time.monotonic() - started < 20
    assert not (tmp_path / "out").exists()


SBATCH = """#!/bin/sh
# Slurm as far as dask-jobqueue knows it: jobs are processes.
if [ "$1" = --test-only ]; then
  if grep -q "SBATCH -p nope"; then echo "sbatch: error: invalid partition" >&2; exit 1; fi
  exit 0
fi
cp "$1" "{folder}/job-$$.sh"
setsid sh "{folder}/job-$$.sh" >"{folder}/job-$$.out" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >>"{folder}/cancelled"
kill -TERM "-$1"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Folder of a stand-in for Slurm's commands."""
    pytest.importorskip("dask_jobqueue")
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL), ("squeue", "#!/bin/sh\n")):
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "1s")
    return folder


@pytest.mark.slow
def test_workers_that_slurm_starts(run_app, call, expected, slurm, tmp_path):
    done = run_app(*call("out", "--dask-slurm", "queue=short", "walltime=00:10:00", "jobs=2"))
    assert done.status == 0, done.err
    assert "2 jobs for Slurm" in done.err
    assert results(tmp_path / "out") == expected
    scripts = [path.read_text() for path in slurm.glob("job-*.sh")]
    assert len(scripts) == 2
    for line in ("#SBATCH -p short", "#SBATCH -t 00:10:00", "#SBATCH --cpus-per-task=1"):
        assert all(line in script for script in scripts)
    assert all("#SBATCH --mem=1G" in script for script in scripts)
    assert len((slurm / "cancelled").read_text().split()) == 2


def test_jobs_of_several_workers(slurm, tmp_path, caplog):
    """Four items for jobs of two workers are two jobs, each of twice the memory and cores."""
    settings = {"processes": 2, "jobs": 3, "walltime": "00:10:00"}
    gigabyte = 10**9
    with (
        caplog.at_level("INFO", "bids_spheres"),
        clusters.slurm_cluster(
            settings, items=4, workers=9, cores=1, memory=2 * gigabyte, logs=tmp_path / "logs"
        ),
    ):
        wait_for(lambda: len(list(slurm.glob("job-*.sh"))) == 2)
        time.sleep(1)  # for a third
        scripts = [path.read_text() for path in slurm.glob("job-*.sh")]
    assert "2 jobs for Slurm" in caplog.text
    assert len(scripts) == 2
    for script in scripts:
        assert "#SBATCH --cpus-per-task=2\n" in script
        (words,) = [line for line in script.splitlines() if "dask_worker" in line]
        assert "--nworkers 2" in words
        assert f"--memory-limit {1.5 * 2 * gigabyte / 2**30:.2f}GiB" in words


def test_an_interrupt_stays_one():
    """Importing dask-jobqueue changes what an interrupt does."""
    pytest.importorskip("dask_jobqueue")
    code = (
        "import signal; from bids_spheres.execute.clusters import library;"
        "library('dask_jobqueue');"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    # pytest's own handler is the default one as well
    subprocess.run([sys.executable, "-c", code], check=True)


def test_slurm_that_refuses(run_app, call, slurm, tmp_path):
    done = run_app(*call("out", "--dask-slurm", "queue=nope"))
    assert done.status == 2
    assert "Slurm refuses these jobs: invalid partition." in done.err
    assert not list(slurm.glob("job-*"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("slurm")
def test_too_little_memory_for_a_worker_is_told(run_app, call):
    done = run_app(*call("out", "--dask-slurm", "queue=nope", "memory=100MB"))
    assert "a worker has 0.1 GB, and the largest run" in done.err


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("word", "phrase"),
    [("quue=x", "'quue'"), ("memory=lots", "lots"), ("interface=none0", "none0")],
)
def test_what_dask_jobqueue_refuses(run_app, call, tmp_path, word, phrase):
    done = run_app(*call("out", "--dask-slurm", word))
    assert done.status == 2, done.err
    assert "--dask-slurm" in done.err
    assert phrase in done.err
    assert done.err.count("error:") == 1
    assert not list((tmp_path / "out").rglob("sub-*"))


def test_no_slurm_here(run_app, call, monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run_app(*call("out", "--dask-slurm", "queue=short"))
    assert done.status == 2
    assert "there is no command sbatch here" in done.err


@pytest.mark.slow
def test_a_scheduler_that_stops_answering(deeds, scheduler, tmp_path, monkeypatch):
    """Every question has a time limit, also that of who comes next."""
    monkeypatch.setattr(dask, "_ANSWER", 3.0)
    with worker(scheduler.file, tmp_path / "w1"), found(scheduler.file, tmp_path) as executor:
        ends = executor.run(deeds.wait, [0, 60])
        assert next(ends) == (0, 0)
        os.kill(scheduler.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(TemporaryError, match="does not answer any more: TimeoutError"):
                next(ends)
            with (
                pytest.raises(TemporaryError, match="No Dask scheduler answers"),
                found(scheduler.file, tmp_path),
            ):
                pass
            assert time.monotonic() - started < 30
        finally:
            os.kill(scheduler.process.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_bad_worker_beside_one_that_restarts(deeds, scheduler, tmp_path):
    """The item of the one that died waits for its successor, and does not end the call."""
    (tmp_path / "blind.py").write_text(BLIND)
    with (
        worker(scheduler.file, tmp_path / "w1", "--preload", tmp_path / "blind.py"),
        worker(scheduler.file, tmp_path / "w2"),
        found(scheduler.file, tmp_path) as executor,
    ):
        assert wait_for(lambda: here(executor.client, 2), 60)
        items = [str(tmp_path / name) for name in "abc"]
        assert dict(executor.run(deeds.die_at_first, items)) == {item: item for item in items}


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    """Dask's settings for TLS, as the documentation has them, in this process and in others."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not here")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "1"]
    words += ["-subj", "/CN=dask", "-keyout", key, "-out", cert]
    subprocess.run(words, check=True, capture_output=True)
    comm = {"require-encryption": True, "tls": {"ca-file": cert}}
    comm["tls"] |= {who: {"cert": cert, "key": key} for who in ("scheduler", "worker", "client")}
    (tmp_path / "dask").mkdir()
    settings = tmp_path / "dask" / "tls.yaml"
    settings.write_text(json.dumps({"distributed": {"comm": comm}}))
    monkeypatch.setenv("DASK_CONFIG", str(settings.parent))
    here = {f"distributed.comm.tls.{who}": content for who, content in comm["tls"].items()}
    with import_module("dask").config.set({"distributed.comm.require-encryption": True} | here):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("certificates")
def test_encrypted_connections(deeds, tmp_path):
    path = tmp_path / "scheduler.json"
    options = ("--protocol", "tls", "--port", 0, "--no-dashboard", "--scheduler-file", path)
    with dask_process("dask_scheduler", *options):
        assert wait_for(lambda: path.exists() and path.stat().st_size > 0, 60)
        address = json.loads(path.read_text())["address"]
        assert address.startswith("tls://")
        with worker(path, tmp_path / "w1"), found(path, tmp_path) as executor:
            assert sorted(executor.run(deeds.double, range(3))) == [(0, 0), (1, 2), (2, 4)]
        with (
            import_module("dask").config.set({"distributed.comm.tls.ca-file": None}),
            pytest.raises(UsageError, match="check your TLS configuration"),
            clusters.scheduler_at(address),
        ):
            pass
