"""Tables that are made of one small file for each row, by many processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bids_spheres.errors import DataError, ReadWriteError
from bids_spheres.files import atomic
from bids_spheres.outputs import shared_tables
from bids_spheres.outputs.shared_tables import SharedTable

TABLE = SharedTable("t.tsv", ("key", "value"), keys=("key",), order=lambda row: row)


def say(root, key, value):
    return TABLE.change(root, {(key,): None if value is None else (key, value)})


def lines(root):
    return (root / "t.tsv").read_text().splitlines()


def parts(root):
    return sorted(path.name for path in (root / "logs" / "t").iterdir())


def test_a_row_and_its_part(tmp_path):
    assert say(tmp_path, "a", "1") == {}
    assert lines(tmp_path) == ["key\tvalue", "a\t1"]
    (part,) = (tmp_path / "logs" / "t").iterdir()
    assert part.read_text() == "key\tvalue\na\t1\n"
    assert say(tmp_path, "a", "2") == {("a",): ("a", "1")}
    assert lines(tmp_path) == ["key\tvalue", "a\t2"]
    assert len(parts(tmp_path)) == 1


def test_what_is_withdrawn_does_not_come_back_with_an_old_table(tmp_path):
    """As when a process that is killed puts back a table that it made before."""
    say(tmp_path, "a", "1")
    say(tmp_path, "b", "1")
    old = (tmp_path / "t.tsv").read_text()
    say(tmp_path, "a", None)
    assert lines(tmp_path) == ["key\tvalue", "b\t1"]
    (tmp_path / "t.tsv").write_text(old)
    TABLE.complete(tmp_path)
    assert lines(tmp_path) == ["key\tvalue", "b\t1"]
    say(tmp_path, "b", None)
    assert not (tmp_path / "t.tsv").exists()


def test_a_table_that_is_lost_is_made_of_its_parts(tmp_path):
    for key in "bca":
        say(tmp_path, key, "1")
    (tmp_path / "t.tsv").unlink()
    TABLE.complete(tmp_path)
    assert lines(tmp_path) == ["key\tvalue", "a\t1", "b\t1", "c\t1"]


def test_rows_of_an_earlier_version_stay(tmp_path):
    (tmp_path / "t.tsv").write_text("key\tvalue\na\told\nc\told\n")
    say(tmp_path, "b", "new")
    assert lines(tmp_path)[1:] == ["a\told", "b\tnew", "c\told"]
    say(tmp_path, "c", "new")
    say(tmp_path, "a", None)
    assert lines(tmp_path)[1:] == ["b\tnew", "c\tnew"]


def test_a_part_that_was_damaged(tmp_path):
    say(tmp_path, "a", "1")
    (tmp_path / "t.tsv").unlink()
    (part,) = (tmp_path / "logs" / "t").iterdir()
    part.write_text("a")
    with pytest.raises(DataError, match=rf"{part.name} is not the table that is kept there"):
        TABLE.complete(tmp_path)


def test_no_folder_of_parts(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "t").touch()
    with pytest.raises(ReadWriteError, match="logs/t can't be read: Not a directory"):
        say(tmp_path, "a", "1")


def test_other_files_among_the_parts_are_left_alone(tmp_path):
    say(tmp_path, "a", "1")
    other = tmp_path / "logs" / "t" / "notes.tsv"
    other.write_text("mine")
    say(tmp_path, "b", "1")
    assert other.read_text() == "mine"
    assert lines(tmp_path)[1:] == ["a\t1", "b\t1"]


@pytest.fixture
def before_table_is_written(monkeypatch):
    """Do something in the moment before the first time that a table is put in its place."""

    def arrange(action):
        pending, write = [action], atomic.write_text

        def disturbed(path, text):
            if path.name == "t.tsv" and pending:
                pending.pop()()
            write(path, text)

        monkeypatch.setattr(atomic, "write_text", disturbed)

    return arrange


def test_another_comes_between_listing_and_writing(tmp_path, before_table_is_written):
    before_table_is_written(lambda: say(tmp_path, "b", "2"))
    say(tmp_path, "a", "1")
    assert lines(tmp_path)[1:] == ["a\t1", "b\t2"]


def test_another_withdraws_between_listing_and_writing(tmp_path, before_table_is_written):
    say(tmp_path, "b", "2")
    before_table_is_written(lambda: say(tmp_path, "b", None))
    say(tmp_path, "a", "1")
    assert lines(tmp_path)[1:] == ["a\t1"]


def test_the_last_row_goes_while_another_comes(tmp_path, monkeypatch):
    """The table is removed by one, and made by the other just before."""
    say(tmp_path, "a", "1")
    pending, remove = [True], atomic.remove

    def disturbed(path):
        if path.name == "t.tsv" and pending:
            pending.pop()
            say(tmp_path, "b", "2")
        remove(path)

    monkeypatch.setattr(atomic, "remove", disturbed)
    say(tmp_path, "a", None)
    assert lines(tmp_path)[1:] == ["b\t2"]


@pytest.mark.parametrize("table", [TABLE, replace(TABLE, about={"value": {"Description": "x"}})])
def test_another_begins_the_table_that_one_finds_empty(tmp_path, monkeypatch, table):
    say(tmp_path, "a", "1")
    say(tmp_path, "a", None)
    pending, read = [True], shared_tables.read_own_text

    def disturbed(path):
        text = read(path)
        if path.name == "t.tsv" and pending:
            pending.pop()
            table.change(tmp_path, {("b",): ("b", "2")})
        return text

    monkeypatch.setattr(shared_tables, "read_own_text", disturbed)
    table.complete(tmp_path)
    assert lines(tmp_path)[1:] == ["b\t2"]
    assert (tmp_path / "t.json").exists() == (table.about is not None)


def test_one_dies_after_it_put_back_an_old_table(tmp_path, before_table_is_written, monkeypatch):
    """The row of another, which had come to its end, is in the table after the next call."""
    before_table_is_written(lambda: say(tmp_path, "b", "2"))
    listing, seen = shared_tables._listing, []

    def killed(folder):
        seen.append(folder)
        if len(seen) == 5:  # two of the first, then those of the other, then its second look
            raise KeyboardInterrupt
        return listing(folder)

    monkeypatch.setattr(shared_tables, "_listing", killed)
    with pytest.raises(KeyboardInterrupt):
        say(tmp_path, "a", "1")
    monkeypatch.setattr(shared_tables, "_listing", listing)
    assert lines(tmp_path)[1:] in (["a\t1"], ["a\t1", "b\t2"])
    TABLE.complete(tmp_path)
    assert lines(tmp_path)[1:] == ["a\t1", "b\t2"]


MANY = """
import json, os, random, signal, sys, time
from pathlib import Path
from bids_spheres.inputs.dataset import Dataset
from bids_spheres.outputs.shared import (
    EXCLUSION_COLUMNS,
    EXCLUSIONS,
    record_exclusions,
    write_shared_files,
)

root, n_processes, n_tasks, seed = Path(sys.argv[1]), *map(int, sys.argv[2:])
rng = random.Random(seed)

def task(process, number):
    name = f"{process}x{number}"
    links = {f"d{name}": Dataset(Path(f"/data/{name}"), "fMRIPrep")}
    write_shared_files(root, links, [], {name: f"Strategy {name}"})
    source, both = f"sub-{name}_bold.nii.gz", ["simple", "24P"]
    known = dict.fromkeys(EXCLUSION_COLUMNS, 1) | {"participant_id": name, "source": source}
    rows = [{**known, "strategy": each} for each in both]
    # Excluded for both, then for the first alone.
    record_exclusions(root, source, both, rows)
    record_exclusions(root, source, both, rows[:1])

def work(process, done):
    for number in range(n_tasks):
        task(process, number)
        os.write(done, f"{process}x{number}\\n".encode())
    os._exit(0)

read, write = os.pipe()
pids = []
for process in range(n_processes):
    pid = os.fork()
    if pid == 0:
        os.close(read)
        work(process, write)
    pids.append(pid)
os.close(write)
doomed = rng.sample(pids, 3 * n_processes // 4)
confirmed = ""
os.set_blocking(read, False)
for pid in doomed:
    time.sleep(rng.uniform(0, 0.4 * n_tasks / n_processes))
    os.kill(pid, signal.SIGKILL)
for pid in pids:
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        time.sleep(0.005)
        try:
            confirmed += os.read(read, 1 << 16).decode()
        except BlockingIOError:
            pass
while data := os.read(read, 1 << 16).decode():
    confirmed += data

def state():
    table = (root / "exclusions.tsv").read_text().splitlines()[1:]
    described = (root / "descriptions.tsv").read_text().splitlines()[1:]
    links = json.loads((root / "dataset_description.json").read_text())["DatasetLinks"]
    return {"exclusions": [line.split("\\t")[2:4] for line in table],
            "descriptions": described, "links": links}

if confirmed:
    task(0, 0)  # of the next call
after_kills = state() if confirmed else None
for process in range(n_processes):
    for number in range(n_tasks):
        task(process, number)
print(json.dumps({"confirmed": confirmed.split(), "after_kills": after_kills, "end": state()}))
"""


def check_round(root, n_processes, n_tasks, seed):
    call = [sys.executable, "-c", MANY, root, *map(str, (n_processes, n_tasks, seed))]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stderr)
    found = json.loads(done.stdout)
    names = {f"{process}x{number}" for process in range(n_processes) for number in range(n_tasks)}
    confirmed = set(found["confirmed"])
    assert len(confirmed) < len(names), seed
    for wanted, state in ((confirmed, found["after_kills"]), (names, found["end"])):
        if not wanted:
            continue
        rows = [tuple(row) for row in state["exclusions"]]
        assert len(set(rows)) == len(rows), seed
        assert {(f"sub-{name}_bold.nii.gz", "simple") for name in wanted} <= set(rows), seed
        assert not {(f"sub-{name}_bold.nii.gz", "24P") for name in wanted} & set(rows), seed
        described = {f"desc-{name}\tStrategy {name}" for name in wanted}
        assert described <= set(state["descriptions"]), seed
        assert {f"d{name}": f"file:///data/{name}" for name in wanted}.items() <= set(
            state["links"].items()
        ), seed
    assert len(found["end"]["exclusions"]) == len(names)
    assert len(found["end"]["descriptions"]) == len(found["end"]["links"]) == len(names)


@pytest.mark.slow
def test_killed_processes_lose_nothing_of_others(tmp_path):
    check_round(tmp_path, 8, 6, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_twenty_processes_of_forty_tasks(tmp_path, seed):
    check_round(tmp_path, 20, 40, seed)


def test_what_killed_processes_have_left_among_parts_is_removed(tmp_path):
    say(tmp_path, "a", "1")
    old, new = (tmp_path / "logs" / "t" / f".tmp-bids_spheres-{name * 32}" for name in "ab")
    for path in (old, new):
        path.touch()
    past = time.time() - 2 * atomic.STALE_SECONDS
    os.utime(old, (past, past))
    TABLE.complete(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
