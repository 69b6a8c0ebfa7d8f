"""Output folders in which something odd is: links to other places, no room, files of others."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import partial

import pytest

from bids_spheres.errors import ReadWriteError
from bids_spheres.outputs.shared import check_output_dir

PAGES = ("--report-level", "participant")


@pytest.fixture
def app(run_app, tiny, seeds_file, tmp_path):
    """A call on two runs, of which one is too short for a strategy."""
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-02_task-rest", n_volumes=12)

    def call(*options, level="participant"):
        words = ("--seeds", seeds_file) if level == "participant" else ()
        return run_app(tiny.root, tmp_path / "out", level, *words, *options)

    return call


def contents(folder):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_no_file_is_written_through_a_link(app, tmp_path):
    """Every file that an earlier call wrote is a link to one outside, which must stay."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    strategies = ("--strategy", "simple", "36P")
    assert app(*strategies, *PAGES).status == 0
    assert app(*PAGES, level="group").status == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    for path in files:
        target = elsewhere / path.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        path.symlink_to(target)
    before = contents(elsewhere)
    assert len(before) == len(files) > 40
    more = (*strategies, "24P", "--overwrite", "--radius", "6")
    assert app(*more, *PAGES).status == 0
    assert app(*PAGES, level="group").status == 0
    assert contents(elsewhere) == before
    results = [*out.rglob("sub-*_timeseries.tsv"), *(out / "group").glob("*.tsv")]
    assert not any(path.is_symlink() for path in results)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sub-01", "sub-01/func", "logs/done/sub-01"])
@pytest.mark.parametrize("state", ["there", "dangling"])
def test_a_folder_of_a_run_that_is_a_link_out_of_the_dataset(app, tmp_path, name, state):
    """That run fails, and nothing is written there; the other is done."""
    folder, elsewhere = tmp_path / "out" / name, tmp_path / "elsewhere"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    if state == "there":
        elsewhere.mkdir()
        (elsewhere / "precious.txt").write_text("precious")
    done = app()
    assert done.status == 1, done.err
    assert (
        f"{folder} is a link to {elsewhere}, which is no folder of {tmp_path / 'out'}" in done.err
    )
    assert "1 of 2 runs written" in done.err
    assert folder.is_symlink()
    left = [path.name for path in elsewhere.rglob("*")]
    assert left == (["precious.txt"] if state == "there" else [])
    folder.unlink()
    assert app().status == 0


@pytest.mark.parametrize("name", ["logs", "logs/done", "logs/exclusions", "logs/descriptions"])
def test_a_folder_of_all_that_is_a_link_out_of_the_dataset(app, tmp_path, name):
    folder, elsewhere = tmp_path / "out" / name, tmp_path / "elsewhere"
    folder.parent.mkdir(parents=True)
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    done = app()
    assert done.status == 73
    assert done.err.count("error: ") == 1
    assert f"{folder} is a link to {elsewhere}" in done.err
    assert list(elsewhere.iterdir()) == []
    assert not list((tmp_path / "out").rglob("*.tsv"))


def test_results_of_the_group_that_are_a_link_out_of_the_dataset(app, tmp_path):
    assert app().status == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "group").symlink_to(tmp_path / "elsewhere")
    done = app(level="group")
    assert done.status == 73
    assert "out/group is a link to" in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_output_folder_that_is_a_link(app, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    assert app().status == 0
    assert app(*PAGES, level="group").status == 0
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "group.html").is_file()


@pytest.mark.slow
def test_a_page_that_there_is_no_room_for(app, tiny, seeds_file, tmp_path):
    """Results are written; the status tells that something is missing; the next call makes it."""
    call = [sys.executable, "-m", "bids_spheres", tiny.root, tmp_path / "out", "participant"]
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (40_000, 40_000))
    done = subprocess.run(
        [*call, "--seeds", seeds_file],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "No report of sub-01" in done.stderr
    assert "2 of 2 runs written" in done.stderr
    assert not [*(tmp_path / "out").rglob(".tmp-*"), *(tmp_path / "out").glob("*.html")]
    again = app(*PAGES)
    assert again.status == 0, again.err
    assert "0 of 2 runs to do" in again.err
    assert (tmp_path / "out" / "sub-01.html").is_file()


def test_an_output_that_another_user_keeps_to_himself(app, tmp_path, monkeypatch):
    """As with a umask of 077: not taken for a dataset of somebody else's."""
    assert app().status == 0
    description, opened = tmp_path / "out" / "dataset_description.json", os.open

    def refused(name, *args, **kwargs):
        if name == description:
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(ReadWriteError, match=r"description\.json can't be read: Perm") as error:
        check_output_dir(tmp_path / "out", [])
    assert "umask 002" in error.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_that_is_read_only(app, tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    done = app()
    assert done.status == 73
    assert done.err.count("Permission denied") == 1
