"""Pipes, sockets, devices and folders where files are expected: one message, at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from bids_spheres.errors import EXIT_STATUSES, DataError
from bids_spheres.files.regular import (
    MAX_BYTES,
    check_regular,
    not_fetched,
    open_regular,
    read_limited,
)
from tests.conftest import SEEDS

FUNC = "sub-01/func/sub-01_task-rest"
IMAGE = f"{FUNC}_space-MNI152NLin2009cAsym_desc"


@pytest.fixture(autouse=True)
def _not_for_ever():
    """Whatever waits is interrupted, which fails the test."""

    def stop(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def listener(path):
    # The path of a socket has at most 107 letters.
    before = os.getcwd()  # noqa: PTH109
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name[:90])
            os.replace(path.name[:90], path.name)  # noqa: PTH105
    finally:
        os.chdir(before)


ODD = {"a named pipe": pipe, "a folder": folder, "a device": device, "a socket": listener}

INPUTS = {
    "BOLD": f"{IMAGE}-preproc_bold.nii.gz",
    "mask": f"{IMAGE}-brain_mask.nii.gz",
    "sidecar": f"{IMAGE}-preproc_bold.json",
    "table": f"{FUNC}_desc-confounds_timeseries.tsv",
    "metadata": f"{FUNC}_desc-confounds_timeseries.json",
    "description": "dataset_description.json",
    "seeds": "../mine.tsv",
    "seed metadata": "../mine.json",
    "strategy": "../strategy.json",
    "YAML strategy": "../strategy.yaml",
    "filter": "../filter.json",
    "config": "../config.json",
    "YAML config": "../config.yaml",
    "labels": "../labels.txt",
    "outliers": "../outliers.tsv",
    "own mask": "../mask.nii.gz",
}
OPTIONS = {
    "strategy": ("--strategy", "{}"),
    "YAML strategy": ("--strategy", "{}"),
    "filter": ("--bids-filter-file", "{}"),
    "config": ("--config", "{}"),
    "YAML config": ("--config", "{}"),
    "labels": ("--participant-label", "@{}"),
    "outliers": ("--outliers", "{}"),
    "own mask": ("--mask", "{}"),
}

MISSING = {
    "description": (16, "no dataset_description.json"),
    "BOLD": (16, "no preprocessed BOLD image"),
    "mask": (1, "No brain mask belongs to"),
    "table": (1, "No confounds table belongs to"),
    "outliers": (66, "has no outlier table"),
}


def place(path, make):
    path.unlink(missing_ok=True)
    make(path)


def assert_one_message(done, path, kind):
    assert done.status in {1, 2, 16, 65}
    assert done.status in EXIT_STATUSES
    assert "unexpected" not in done.err
    assert kind in done.err
    assert path.name in done.err


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_no_file(tiny, seeds_file, run_app, tmp_path, name, kind):
    tiny.add_run()
    path = (tiny.root / INPUTS[name]).resolve()
    place(path, ODD[kind])
    options = [word.format(path) for word in OPTIONS.get(name, ())]
    call = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, *options)
    done = run_app(*call, "--report-level", "none")
    # A folder of a name is no file of the dataset; what follows is that the file is missing.
    if kind == "a folder" and name in MISSING:
        status, words = MISSING[name]
        assert done.status == status
        assert words in done.err
    else:
        assert_one_message(done, path, kind)


@pytest.fixture(scope="module")
def study(make_dataset, tmp_path_factory, call_once):
    """Three participants, and the output of the participant level."""
    folder = tmp_path_factory.mktemp("odd") / "study"
    folder.mkdir()
    dataset = make_dataset(folder / "fmriprep")
    for label in ("01", "02", "03"):
        dataset.add_run(f"sub-{label}_task-rest")
    rows = "".join(f"sub-0{i}\t{20 + i**2}\n" for i in (1, 2, 3))
    (folder / "people.tsv").write_text("participant_id\tage\n" + rows)
    (folder / "mine.tsv").write_text(SEEDS)
    call_once(dataset.root, folder / "out", "participant", "--seeds", folder / "mine.tsv")
    return folder


@pytest.fixture
def written(study, run_as_typed, tmp_path):
    """A copy of the output, and a call about it that begins with its input."""
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    root, out, seeds = tmp_path / "fmriprep", tmp_path / "out", tmp_path / "mine.tsv"

    def call(level, *more):
        options = ("--report-level", "none") if level == "participant" else ()
        return run_as_typed(root, out, level, "--seeds", seeds, *options, *more)

    return out, call


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
@pytest.mark.parametrize("name", ["people.tsv", "people.json"])
def test_a_table_of_participants_that_is_no_file(written, tmp_path, kind, name):
    _, call = written
    place(tmp_path / name, ODD[kind])
    done = call("group", "--participants-table", tmp_path / "people.tsv", "--model", "age")
    assert_one_message(done, tmp_path / name, kind)


OWN = ["*_timeseries.tsv", "*_relmat.tsv", "*_relmat.json", "*_dseg.tsv", "*_timeseries.json"]


@pytest.mark.parametrize("pattern", OWN)
@pytest.mark.parametrize("level", ["participant", "group"])
def test_an_output_that_became_a_pipe_is_not_waited_for(written, pattern, level):
    out, call = written
    path = min((out / "sub-02").rglob(pattern))
    place(path, pipe)
    done = call(level)
    assert done.status in {0, 1, 65}
    assert "unexpected" not in done.err
    if level == "participant":
        assert path.is_file()  # made again
        assert done.status == 0


def test_records_of_a_call_that_are_pipes(written):
    out, call = written
    for path in [out / "descriptions.tsv", *out.rglob("logs/**/*.json")]:
        place(path, pipe)
    done = call("participant")
    assert "unexpected" not in done.err


@pytest.mark.parametrize("text", [b'{"a": "%s"}', b"name\tx\ty\tz\n%s"], ids=["JSON", "table"])
def test_text_beyond_the_limit_is_not_read(tiny, seeds_file, run_app, tmp_path, text):
    tiny.add_run()
    name = "metadata" if text.startswith(b"{") else "seeds"
    path = (tiny.root / INPUTS[name]).resolve()
    path.write_bytes(text % (b"x" * MAX_BYTES))
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert done.status in {1, 65}
    assert "more than 64 MB" in done.err


def test_what_grows_while_it_is_read_ends_at_the_limit():
    """Files of /proc have no size and more content."""
    with pytest.raises(DataError, match="1 kB"):
        read_limited(Path("/proc/self/smaps"), "file", 1024)


def test_a_pipe_that_takes_the_place_of_a_file_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({}))
    real_open = os.open

    def replaced(name, flags):
        path.unlink()
        os.mkfifo(path)
        return real_open(name, flags)

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(DataError, match="a named pipe; a JSON file is needed"):
        open_regular(path, "JSON file")


@pytest.mark.parametrize(
    ("limit", "words"), [(1024, "1 kB"), (3 * 2**10 - 1, "2 kB"), (2**20, "1 MB"), (2**21, "2 MB")]
)
def test_content_as_large_as_the_limit_is_read(tmp_path, limit, words):
    path = tmp_path / "a"
    path.write_bytes(b"x" * limit)
    assert len(read_limited(path, "list", limit)) == limit
    path.write_bytes(b"x" * (limit + 1))
    with pytest.raises(DataError, match=f"a has more than {words}, the most .* of a list"):
        read_limited(path, "list", limit)


TO_A_FILE = "Write its content to a file first."


@pytest.mark.parametrize(
    ("make", "called", "message", "hint"),
    [
        (folder, "image", "is a folder; an image is needed.", ""),
        (
            pipe,
            "table",
            "is a named pipe; a table is needed.",
            "Write its content to a file first.",
        ),
        (device, "file", "is a device; a file is needed.", "Write its content to a file first."),
    ],
)
def test_what_is_no_file_is_called_by_its_kind(tmp_path, make, called, message, hint):
    make(tmp_path / "x")
    with pytest.raises(DataError) as caught:
        check_regular(tmp_path / "x", called)
    assert (caught.value.message, caught.value.hint) == (f"{tmp_path / 'x'} {message}", hint)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"/annex/objects/MD5E-s1--0\n", True),
        (b"../../.git/annex/objects/a/b/MD5E-s1--0", True),
        (b"see /annex/objects/MD5E-s1--0\n", False),
        (b"a\tb\n/annex/objects/MD5E-s1--0\n", False),
        (b"/annex/objects/\n", False),
        (b"/annex/object/key\n", False),
        (b" " * 4096 + b"/annex/objects/key\n", False),
    ],
)
def test_pointers_of_git_annex(tmp_path, content, expected):
    path = tmp_path / "a file.tsv"
    path.write_bytes(content)
    error = not_fetched(path)
    assert (error is not None) is expected
    if error:
        assert error.message.startswith(f"The content of {path} is not here")
        assert error.hint == f"Get it with: datalad get '{path}'"


def test_links_into_git_annex_are_broken_until_their_content_is_fetched(tmp_path):
    link = tmp_path / "a.tsv"
    link.symlink_to(".git/annex/objects/key")
    assert not_fetched(link) is not None
    (tmp_path / ".git" / "annex" / "objects").mkdir(parents=True)
    (tmp_path / ".git" / "annex" / "objects" / "key").write_text("x")
    assert not_fetched(link) is None
    other = tmp_path / "b.tsv"
    other.symlink_to("nowhere")
    assert not_fetched(other) is None
    assert not_fetched(tmp_path) is None
