"""Changes by many processes at once: none is lost, and nobody waits for the dead."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from bids_spheres.bids import locks
from bids_spheres.bids.locks import exclusive, update_text
from bids_spheres.errors import DataError, OutputError, TemporaryError

PROCESSES, TIMES = 20, 25

COMMON = """
import errno, fcntl, os, sys, time
from pathlib import Path
from bids_spheres.bids import locks

if sys.argv[2] == "existence":
    def flock(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")
    fcntl.flock = flock
path = Path(sys.argv[1])
"""

ADD = """
go = path.with_name("go")
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
for _ in range(int(sys.argv[3])):
    with locks.exclusive(path):
        number = int(path.read_text())
        time.sleep(0.0005)
        path.write_text(str(number + 1))
"""

HOLD = """
with locks.exclusive(path):
    print("held", flush=True)
    time.sleep(600)
"""


def start(code, *arguments):
    command = [sys.executable, "-c", COMMON + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def listen(process):
    """Wait until a process says something."""
    said = process.stdout.readline()
    assert said, process.communicate()[1]


def free(path, timeout=0.05):
    """Whether the lock of a file can be had."""
    try:
        with exclusive(path, timeout):
            return True
    except TemporaryError:
        return False


@contextmanager
def holder(path, kind):
    """Another process that has the lock for the length of the block, unless it is killed there."""
    process = start(HOLD, path, kind)
    try:
        listen(process)
        yield process
    finally:
        process.kill()
        process.communicate()


def without_flock(number):
    def flock(_descriptor, _operation):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("kind", ["flock", "existence"])
def test_no_change_is_lost(tmp_path, kind):
    path = tmp_path / "number.txt"
    path.write_text("0")
    crowd = [start(ADD, path, kind, TIMES) for _ in range(PROCESSES)]
    for process in crowd:
        listen(process)
    (tmp_path / "go").touch()
    for process in crowd:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    assert int(path.read_text()) == PROCESSES * TIMES


def test_threads_keep_each_other_out(tmp_path):
    path = tmp_path / "number.txt"
    path.write_text("0")

    def add():
        for _ in range(TIMES):
            with exclusive(path):
                number = int(path.read_text())
                time.sleep(0.0005)
                path.write_text(str(number + 1))

    crowd = [threading.Thread(target=add) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert int(path.read_text()) == 4 * TIMES


def test_a_killed_holder_does_not_block_others(tmp_path):
    path = tmp_path / "table.tsv"
    with holder(path, "flock") as process:
        assert not free(path)
        process.kill()
        process.wait()
        assert free(path, timeout=5)


def test_a_killed_holder_of_a_lock_by_existence(tmp_path, monkeypatch):
    path = tmp_path / "table.tsv"
    monkeypatch.setattr(fcntl, "flock", without_flock(errno.ENOSYS))
    with holder(path, "existence") as process:
        process.kill()
        process.wait()
        assert not free(path, timeout=0.5)  # it might be a slow one
        monkeypatch.setattr(locks, "ABANDONED", 0.2)
        with exclusive(path, timeout=5):
            assert f"process {os.getpid()} on" in (tmp_path / "logs/.table.tsv.held").read_text()
    # Nothing is left of either, so that the next one does not wait.
    assert [p.name for p in (tmp_path / "logs").iterdir()] == [".table.tsv.lock"]


def test_who_waits_too_long_is_told_for_whom(tmp_path):
    path = tmp_path / "table.tsv"
    for kind, name in (("flock", ".table.tsv.lock"), ("existence", ".table.tsv.held")):
        with (
            holder(path, kind) as process,
            pytest.MonkeyPatch.context() as patch,
        ):
            if kind == "existence":
                patch.setattr(fcntl, "flock", without_flock(errno.ENOLCK))
            with pytest.raises(TemporaryError) as error, exclusive(path, timeout=0.1):
                pass
        assert error.value.exit_status == 75
        assert f"{path} is being changed by process {process.pid} on " in error.value.message
        assert "for 0.1 s now" in error.value.message
        assert str(tmp_path / "logs" / name) in error.value.hint


def test_files_have_locks_of_their_own(tmp_path):
    with exclusive(tmp_path / "a.tsv"):
        assert free(tmp_path / "b.tsv")
        assert not free(tmp_path / "a.tsv")
    assert free(tmp_path / "a.tsv")
    names = {path.name for path in (tmp_path / "logs").iterdir()}
    assert names == {".a.tsv.lock", ".b.tsv.lock"}


def test_an_error_in_the_block_frees_the_lock(tmp_path):
    path = tmp_path / "a.tsv"
    with pytest.raises(OSError, match="of the block"), exclusive(path):
        raise OSError("of the block")
    assert free(path)


def test_a_child_forked_in_the_block_does_not_keep_the_lock(tmp_path):
    path = tmp_path / "a.tsv"
    with exclusive(path):
        descriptors = [
            int(name)
            for name in os.listdir("/proc/self/fd")  # noqa: PTH208 - not files
            if os.path.realpath(f"/proc/self/fd/{name}").endswith(".a.tsv.lock")
        ]
        # As a forked child has it: another number for the same open file.
        kept = os.dup(descriptors[0])
    try:
        assert free(path)
    finally:
        os.close(kept)


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP], ids=errno.errorcode.get
)
def test_a_file_system_without_flock(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", without_flock(number))
    path = tmp_path / "a.tsv"
    held = tmp_path / "logs" / ".a.tsv.held"
    with exclusive(path):
        assert held.exists()
        assert not free(path)
    assert not held.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.ESTALE])
def test_busy_is_not_broken(tmp_path, monkeypatch, number):
    answers = iter([without_flock(number)] * 3)
    real = fcntl.flock

    def flock(descriptor, operation):
        next(answers, real)(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(tmp_path / "a.tsv", timeout=5):
        assert next(answers, None) is None


def test_a_disk_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_flock(errno.EIO))
    with (
        pytest.raises(OutputError, match=r"can't be locked: .*Input/output error"),
        exclusive(tmp_path / "a.tsv"),
    ):
        pass


def test_no_place_for_a_lock(tmp_path):
    (tmp_path / "logs").write_text("not a folder")
    with pytest.raises(OutputError, match=r"a\.tsv can't be locked"), exclusive(tmp_path / "a.tsv"):
        pass


def test_who_was_taken_for_dead_does_not_free_the_lock_of_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_flock(errno.ENOSYS))
    monkeypatch.setattr(locks, "ABANDONED", 0.05)
    path, held = tmp_path / "a.tsv", tmp_path / "logs" / ".a.tsv.held"
    slow, next_one = exclusive(path), exclusive(path, timeout=5)
    slow.__enter__()
    first = held.read_text()
    next_one.__enter__()
    second = held.read_text()
    slow.__exit__(None, None, None)
    assert held.read_text() == second != first
    next_one.__exit__(None, None, None)
    assert not held.exists()


def test_a_lock_that_changed_hands_goes_back(tmp_path):
    lock = tmp_path / ".a.tsv.held"
    lock.write_text("the next one")
    locks._take_away(lock, "the dead one")
    assert lock.read_text() == "the next one"
    assert list(tmp_path.iterdir()) == [lock]
    locks._take_away(lock, "the next one")
    locks._take_away(lock, "the next one")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_lock(monkeypatch):
    @contextmanager
    def refuse(path):
        raise AssertionError(f"a lock was asked for: {path}")
        yield

    return lambda: monkeypatch.setattr(locks, "exclusive", refuse)


def test_changing_a_text(tmp_path, no_lock):
    path = tmp_path / "a.tsv"
    about = {"a": {"Description": "A letter"}}
    assert update_text(path, lambda text: text + "a\n", about) == ""
    assert update_text(path, lambda text: text + "b\n", about) == "a\n"
    assert path.read_text() == "a\nb\n"
    assert json.loads(path.with_suffix(".json").read_text()) == about
    before = [file.stat() for file in (path, path.with_suffix(".json"))]
    no_lock()
    assert update_text(path, lambda text: text, about) is None
    assert [file.stat() for file in (path, path.with_suffix(".json"))] == before


def test_the_json_file_comes_and_goes_with_the_text(tmp_path, no_lock):
    path = tmp_path / "a.tsv"
    update_text(path, lambda _: "a\n", {"a": {}})
    path.with_suffix(".json").unlink()
    assert update_text(path, lambda text: text, {"a": {}}) == "a\n"
    assert json.loads(path.with_suffix(".json").read_text()) == {"a": {}}
    assert update_text(path, lambda _: "", {"a": {}}) == "a\n"
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]
    no_lock()
    assert update_text(path, lambda text: text, {"a": {}}) is None
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]


def test_what_was_written_in_between_is_seen(tmp_path):
    path = tmp_path / "a.tsv"
    seen = []

    def change(text):
        seen.append(text)
        if len(seen) == 1:
            path.write_text("theirs\n")
        return text + "ours\n"

    assert update_text(path, change) == "theirs\n"
    assert path.read_text() == "theirs\nours\n"


def test_a_change_that_cant_be_made_leaves_the_file(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("foreign")

    def change(text):
        raise DataError(f"not {text}")

    with pytest.raises(DataError, match="not foreign"):
        update_text(path, change)
    assert path.read_text() == "foreign"
    assert free(path)
