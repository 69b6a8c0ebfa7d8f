"""What proves that a worker sees the same folders, and what it is handed."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest

from bids_spheres.execute import proof
from bids_spheres.execute.proof import WorkerProblemError, shared_objects, tokens
from bids_spheres.files.atomic import STALE_SECONDS, discard_stale
from bids_spheres.process import versions


def test_a_worker_gets_what_is_shared(dataset):
    with tokens(*dataset, ["a", 1]) as token:
        assert shared_objects(token) == ["a", 1]
        (inputs, outputs) = dataset
        assert [len(list(folder.iterdir())) for folder in outputs] == [1, 1]
        assert len(list(inputs[0].iterdir())) == 1  # never written to
    assert not [path for folder in outputs for path in folder.iterdir()]


def test_what_a_killed_call_leaves_is_removed_by_the_next(dataset):
    with tokens(*dataset) as token:
        old = time.time() - 2 * STALE_SECONDS
        os.utime(token.path, (old, old))
        assert discard_stale(dataset[1][0]) == 1


def test_no_other_call_takes_the_marks_of_one_that_lasts_for_weeks_for_leftovers(dataset):
    with tokens(*dataset) as token:
        marks = [path for folder in dataset[1] for path in folder.iterdir()]
        assert token.path in map(str, marks)
        for mark in marks:
            assert mark.stat().st_mtime - time.time() == pytest.approx(30 * 24 * 3600, abs=60)
        assert [discard_stale(folder) for folder in dataset[1]] == [0, 0]


def test_an_input_without_a_description_has_none_for_workers_either(dataset, tmp_path):
    (tmp_path / "in" / "dataset_description.json").unlink()
    with tokens(*dataset) as token:
        assert shared_objects(token) == ()
        shared_objects.cache_clear()
        (tmp_path / "in" / "dataset_description.json").write_text("{}")
        with pytest.raises(WorkerProblemError, match="sees another folder"):
            shared_objects(token)


def test_a_worker_that_may_not_write_is_refused(dataset, monkeypatch):
    with tokens(*dataset) as token:
        monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
        with pytest.raises(WorkerProblemError, match="may not write to"):
            shared_objects(token)


def test_what_is_shared_is_not_in_an_item():
    seeds, strategy = list(range(10_000)), {"name": "simple"}
    content = proof.pickled((seeds, "sub-01", strategy), [strategy, seeds])
    assert len(content) < 200
    first, label, second = proof.unpickled(content, ["the strategy", "the seeds"])
    assert (first, label, second) == ("the seeds", "sub-01", "the strategy")


@pytest.mark.parametrize("name", ["in", "out", "work"])
@pytest.mark.parametrize("state", ["gone", "empty", "another"])
def test_a_worker_without_the_folders_is_refused(dataset, tmp_path, name, state):
    """A folder of the same name is no proof: it may be a disk of the node."""
    folder = tmp_path / name
    with tokens(*dataset) as token:
        (mark,) = folder.iterdir()
        content = mark.read_bytes()
        mark.write_text("another") if state == "another" else mark.unlink()
        if state == "gone":
            folder.rmdir()
        with pytest.raises(WorkerProblemError, match=f"it .*sees?.* folder {folder}"):
            shared_objects(token)
        folder.mkdir(exist_ok=True)
        mark.write_bytes(content)
        assert shared_objects(token) == ()  # as a worker whose NFS shows new files later


@pytest.mark.parametrize("name", ["bids-spheres", "numpy", "scipy", "nibabel", "pandas"])
def test_a_worker_of_another_version_is_refused(dataset, monkeypatch, name):
    software = dict(proof.software())
    with tokens(*dataset) as token:
        monkeypatch.setattr(proof, "software", lambda: software | {name: "0.0.1"})
        with pytest.raises(WorkerProblemError, match=f"it has {name} 0.0.1 and this call"):
            shared_objects(token)


def test_a_changed_file_of_the_package_is_another_version(dataset, monkeypatch, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("x = 1\n")
    monkeypatch.setattr(versions, "__file__", str(package / "process" / "versions.py"))
    monkeypatch.setattr(proof, "software", versions.software.__wrapped__)
    with tokens(*dataset) as token:
        (package / "module.py").write_text("x = 2\n")
        with pytest.raises(WorkerProblemError, match="files of digest"):
            shared_objects(token)


def test_no_token_is_left_after_an_error(dataset):
    def broken():
        with tokens(*dataset):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        broken()
    assert not [path for folder in dataset[1] for path in folder.iterdir()]


def test_a_token_that_another_has_changed_is_not_read(dataset, monkeypatch):
    """Whoever may write into the output folder could else have workers run code."""
    with tokens(*dataset, ["a"]) as token:
        content = Path(token.path).read_bytes()
        Path(token.path).write_bytes(content.replace(b"a", b"b"))
        monkeypatch.setattr(pickle, "loads", None)
        with pytest.raises(WorkerProblemError, match="sees another folder"):
            shared_objects(token)


@pytest.mark.parametrize("name", ["a", "b", "x", "y", "z"])
def test_every_one_of_several_folders_has_to_be_seen(tmp_path, name):
    folders = {each: tmp_path / each for each in "abxyz"}
    for folder in folders.values():
        folder.mkdir()
    for each in "ab":
        (folders[each] / "dataset_description.json").write_text(each)
    inputs, outputs = ([folders[each] for each in names] for names in ("ab", "xyz"))
    with tokens(inputs, outputs, [1]) as token:
        assert shared_objects(token) == [1]
        shared_objects.cache_clear()
        (mark,) = folders[name].iterdir()
        mark.write_text("another")
        with pytest.raises(WorkerProblemError, match=f"sees another folder {folders[name]}"):
            shared_objects(token)
    assert not any([*folder.iterdir()] for folder in outputs)
