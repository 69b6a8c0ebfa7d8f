"""Little memory: the call works, or says in one message that there is too little."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_spheres.app import memory_limits
from bids_spheres.app.memory_limits import group_memory, own_memory, prepare_for_limits
from bids_spheres.errors import TemporaryError, address_space, is_out_of_memory

MEBIBYTE = 2**20


@pytest.fixture
def limited(tiny, seeds_file, tmp_path):
    """A call on two runs in processes that may have so many MiB of addresses each."""
    for number in (1, 2):
        tiny.add_run(f"sub-0{number}_task-rest")

    def call(mebibytes, *options):
        words = [sys.executable, "-m", "bids_spheres", tiny.root, tmp_path / "out", "participant"]
        words += ["--seeds", seeds_file, *options]
        limit = f'ulimit -v {mebibytes * 1024}; exec "$@"'
        return subprocess.run(
            ["/bin/sh", "-c", limit, "sh", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return call


def check(done, output, pages=2):
    """Everything is written, or one message says why not."""
    assert done.returncode in (0, 1, 75), done.stderr
    assert "fault of this program" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "OpenBLAS" not in done.stderr
    if done.returncode == 0:
        assert len(list(output.glob("sub-*.html"))) == pages
        assert len(list(output.rglob("*_relmat.tsv"))) == 2
    if done.returncode == 75:
        assert done.stderr.count("error:") == 1
        assert "memory" in done.stderr


@pytest.mark.parametrize("mebibytes", [64, 256, 704])
def test_too_little_is_told_before_anything_is_loaded(limited, tmp_path, mebibytes):
    done = limited(mebibytes)
    assert done.returncode == 75, done.stderr
    assert f"to {mebibytes * MEBIBYTE // 10**6} MB, and at least 800 MB are needed" in done.stderr
    check(done, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("mebibytes", "nprocs"), [(768, 1), (768, 2), (1024, 2), (1408, 1)])
def test_enough_is_enough(limited, tmp_path, mebibytes, nprocs):
    done = limited(mebibytes, "--nprocs", nprocs)
    assert done.returncode == 0, done.stderr
    check(done, tmp_path / "out")


@pytest.mark.long
@pytest.mark.parametrize("mebibytes", range(64, 2049, 64))
@pytest.mark.parametrize("nprocs", [1, 2])
def test_every_limit(limited, tmp_path, mebibytes, nprocs):
    check(limited(mebibytes, "--nprocs", nprocs), tmp_path / "out")


def test_a_call_for_help_needs_little(limited):
    assert limited(256, "--help").returncode == 0


@pytest.mark.parametrize(
    ("line", "name", "text", "limit"),
    [
        ("0::/job/step", "job/step/memory.max", "536870912\n", 536870912),
        ("0::/job/step", "job/memory.max", "536870912\n", 536870912),  # of the group around it
        ("0::/job/step", "job/step/memory.max", "max\n", None),
        ("0::/of/the/host", "memory.max", "536870912\n", 536870912),  # in a container
        ("5:cpu,memory:/job", "memory/job/memory.limit_in_bytes", "536870912\n", 536870912),
        ("5:memory:/job", "memory/job/memory.limit_in_bytes", f"{2**63 - 4096}\n", None),
        ("0::/", "nothing", "", None),
    ],
)
def test_limits_of_groups_of_processes(tmp_path, line, name, text, limit):
    """As the kernel's documentation of cgroups has them (admin-guide/cgroup-v1, cgroup-v2)."""
    own = tmp_path / "cgroup"
    own.write_text(line + "\n")
    path = tmp_path / "fs" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert group_memory(tmp_path / "fs", own) == limit


def test_a_group_with_less_than_a_process_takes(monkeypatch):
    monkeypatch.setattr("bids_spheres.app.memory_limits.group_memory", lambda: 256_000_000)
    with pytest.raises(TemporaryError, match=r"limited .cgroup. to 256 MB, and at least 300 MB"):
        prepare_for_limits()


def test_a_group_of_512_megabytes_gets_one_thread(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setattr("bids_spheres.app.memory_limits.group_memory", lambda: 512 * MEBIBYTE)
    monkeypatch.setattr("ctypes.CDLL", lambda _: None)
    prepare_for_limits()
    assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["MALLOC_ARENA_MAX"] == "1"


def test_a_group_limits_how_many_runs_are_at_work(run_app, tiny, seeds_file, tmp_path, monkeypatch):
    for number in (1, 2, 3):
        tiny.add_run(f"sub-0{number}_task-rest")
    limit = 512 * MEBIBYTE
    monkeypatch.setattr("bids_spheres.app.opening.group_memory", lambda: limit)
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--nprocs", 3)
    done = run_app(*words, "--report-level", "none")
    assert done.status == 0, done.err
    assert "cgroup: 1 run at a time" in done.err


@pytest.mark.parametrize(
    ("error", "limit", "expected"),
    [
        (MemoryError(), None, True),
        (OSError(12, "Cannot allocate memory"), None, True),
        (OSError(28, "No space left on device"), 10**9, False),
        (ImportError("failed to map segment"), 10**9, True),
        (ImportError("failed to map segment"), None, False),
        (RuntimeError("can't start new thread"), 10**9, True),
        (ValueError("no"), 10**9, False),
    ],
)
def test_what_tells_of_too_little_memory(monkeypatch, error, limit, expected):
    monkeypatch.setattr("bids_spheres.errors.address_space", lambda: limit)
    assert is_out_of_memory(error) is expected


def test_no_limit_is_none():
    """Of this process, as the shell that started it has it."""
    shell = subprocess.run(
        ["/bin/sh", "-c", "ulimit -v"], capture_output=True, text=True, check=True
    )
    limit = None if shell.stdout.strip() == "unlimited" else int(shell.stdout) * 1024
    assert address_space() == limit


def test_the_smallest_of_nested_limits_counts(tmp_path):
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    own.write_text("0::/job/step\n7:cpu:/x\n3:memory:/job\n")
    for place in ("job/step", "memory/job"):
        (root / place).mkdir(parents=True)
    limits = {"job/step/memory.max": 9000, "job/memory.max": 5000, "memory.max": 7000}
    for place, limit in limits.items():
        (root / place).write_text(f"{limit}\n")
    assert group_memory(root, own) == 5000
    (root / "memory" / "job" / "memory.limit_in_bytes").write_text("4000\n")
    (root / "memory" / "job" / "memory.max").write_text("3000\n")
    assert group_memory(root, own) == 4000
    (tmp_path / "memory.max").write_text("1\n")  # beside the root
    assert group_memory(root, own) == 4000
    assert group_memory(root, tmp_path / "none") is None


@pytest.mark.parametrize(("number", "limit"), [(2**60 - 1, 2**60 - 1), (2**60, None)])
def test_numbers_of_nineteen_digits_are_no_limit(tmp_path, number, limit):
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "memory.max").write_text(str(number))
    assert group_memory(tmp_path, tmp_path / "cgroup") == limit


@pytest.fixture
def prepare(monkeypatch):
    """Prepare for limits in bytes; return what was told to glibc."""
    for name in memory_limits._SPARING:
        monkeypatch.setenv(name, "7")

    def call(addresses, group):
        told = []
        libc = SimpleNamespace(mallopt=lambda *words: told.append(words))
        monkeypatch.setattr("ctypes.CDLL", lambda name: None if name else libc)
        monkeypatch.setattr(memory_limits, "address_space", lambda: addresses)
        monkeypatch.setattr(memory_limits, "group_memory", lambda: group)
        prepare_for_limits()
        return told

    return call


@pytest.mark.parametrize(
    ("addresses", "group", "sparing"),
    [
        (None, None, False),
        (800_000_000, None, True),
        (None, 300_000_000, True),
        (3_999_999_999, 9 * 10**9, True),
        (4_000_000_000, 4_000_000_000, False),
        (9 * 10**9, 3_999_999_999, True),
    ],
)
def test_where_memory_is_scarce_libraries_get_one_thread(prepare, addresses, group, sparing):
    told = prepare(addresses, group)
    assert told == ([(-8, 1)] if sparing else [])  # M_ARENA_MAX of malloc.h
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
    assert [os.environ[name] for name in names] == ["1" if sparing else "7"] * 4
    assert os.environ["ARROW_DEFAULT_MEMORY_POOL"] == ("system" if sparing else "7")


@pytest.mark.parametrize(
    ("addresses", "group", "phrase"),
    [
        (799_999_999, None, r"\(ulimit -v\) to 799 MB, and at least 800 MB are needed\.$"),
        (None, 299_999_999, r"\(cgroup\) to 299 MB, and at least 300 MB are needed\.$"),
    ],
)
def test_a_byte_too_little(prepare, addresses, group, phrase):
    with pytest.raises(TemporaryError) as caught:
        prepare(addresses, group)
    assert re.search(phrase, caught.value.message)
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB there")
def test_own_memory_is_that_of_the_system(monkeypatch):
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    assert own_memory() == pytest.approx(1024 * int(status[0]), rel=0.01)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(memory_limits, "Path", lambda _: SimpleNamespace(read_text=missing))
    assert own_memory() == pytest.approx(1024 * kilobytes, rel=0.01)


def missing(**_):
    raise FileNotFoundError
