"""An output dataset that git-annex or DataLad has saved, and calls that go on with it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess

import pytest

pytestmark = pytest.mark.slow

HAS_ANNEX = shutil.which("git-annex") is not None


def git(root, *words):
    names = ("AUTHOR", "COMMITTER")
    who = {f"GIT_{name}_NAME": "x" for name in names} | {f"GIT_{name}_EMAIL": "x" for name in names}
    done = subprocess.run(
        [shutil.which("git"), *words],
        cwd=root,
        env=os.environ | who,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_with_git_annex(root):
    git(root, "init", "-q", ".")
    git(root, "annex", "init", "-q", "here")
    git(root, "annex", "add", "-q", "--force-large", ".")
    git(root, "commit", "-qm", "save")


def save_by_hand(root):
    """The same layout: every file a link to a read-only object in a read-only folder."""
    objects = root / ".git" / "annex" / "objects"
    for path in [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]:
        key = f"MD5E-s{path.stat().st_size}--{hashlib.md5(path.read_bytes()).hexdigest()}"  # noqa: S324
        home = objects / key / key
        if not home.exists():
            home.parent.mkdir(parents=True)
            path.rename(home)
            home.chmod(0o444)
            home.parent.chmod(0o555)
        else:
            path.unlink()
        path.symlink_to(os.path.relpath(home, path.parent))


def objects(root):
    """Content, permissions and times of every object."""
    found = {}
    for path in (root / ".git" / "annex" / "objects").rglob("*"):
        if path.is_file():
            status = path.stat()
            found[path] = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


SAVERS = [
    pytest.param(
        save_with_git_annex,
        marks=pytest.mark.skipif(not HAS_ANNEX, reason="git-annex is not installed"),
        id="git-annex",
    ),
    pytest.param(save_by_hand, id="by hand"),
]


@pytest.fixture(params=SAVERS)
def saved(request, run_as_typed, tiny, seeds_file, tmp_path):
    """An output with excluded and other runs, saved; and a call that goes on with it."""
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-02_task-rest", n_volumes=12)  # too few for a strategy
    out = tmp_path / "out"

    def call(*options, level="participant"):
        words = ("--seeds", seeds_file) if level == "participant" else ()
        return run_as_typed(tiny.root, out, level, *words, *options)

    assert call("--strategy", "simple", "36P").status == 0
    assert call(level="group").status == 0
    request.param(out)
    links = [path for path in out.rglob("*") if path.is_symlink() and ".git" not in path.parts]
    assert {out / "descriptions.tsv", out / "exclusions.tsv", out / "README.md"} <= set(links)
    yield out, call
    # What is read-only could not be tidied away by those who are not root.
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)


def table(path):
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_it_is_up_to_date(saved):
    out, call = saved
    before = objects(out)
    links = {path: path.readlink() for path in out.rglob("*") if path.is_symlink()}
    done = call("--strategy", "simple", "36P")
    assert done.status == 0, done.err
    assert "0 of 2 runs to do" in done.err
    assert objects(out) == before
    assert {path: path.readlink() for path in links} == links


@pytest.mark.slow
def test_it_is_continued(saved):
    out, call = saved
    before = objects(out)
    assert call("--strategy", "24P").status == 0
    done = call("--strategy", "simple", "36P", "--overwrite")
    assert done.status == 0, done.err
    assert call(level="group").status == 0
    assert objects(out) == before
    labels = {row[0] for row in table(out / "descriptions.tsv")[1:]}
    assert labels == {"desc-spheres", "desc-raw", "desc-simple", "desc-36P", "desc-24P"}
    excluded = {(row[0], row[3]) for row in table(out / "exclusions.tsv")[1:]}
    assert {("sub-02", "36P"), ("sub-02", "24P")} <= excluded
    series = next(out.rglob("sub-01*_desc-24P_timeseries.tsv"))
    assert not series.is_symlink()


def test_contents_that_were_dropped(saved):
    """Tables that can't be read are not begun anew; the message says how to get them."""
    out, call = saved
    before = objects(out)
    for name in ("descriptions.tsv", "exclusions.tsv", "dataset_description.json"):
        target = out / (out / name).readlink()
        aside = target.with_suffix(".aside")
        target.parent.chmod(0o755)
        target.rename(aside)
        done = call("--strategy", "24P")
        assert done.status == 66, done.err
        assert f"datalad get {out / name}" in done.err
        assert (out / name).is_symlink()
        aside.rename(target)
        target.parent.chmod(0o555)
    assert objects(out) == before
    assert call("--strategy", "24P").status == 0


def test_results_that_were_dropped_are_made_again(saved):
    out, call = saved
    gone = [out / "sub-01.html", next(out.rglob("sub-01*_desc-simple_timeseries.tsv"))]
    for path in gone:
        target = path.parent / path.readlink()
        target.parent.chmod(0o755)
        target.unlink()
    done = call("--strategy", "simple", "36P")
    assert done.status == 0, done.err
    assert all(path.is_file() for path in gone)
