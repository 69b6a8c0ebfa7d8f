"""Files written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres.errors import DataError, MissingInputError, OutputError
from bids_spheres.files import atomic as files
from bids_spheres.files.atomic import (
    cell,
    check_folders,
    discard_stale,
    remove,
    replacing,
    table_rows,
    table_text,
    temporary_files_in,
    write_compressed_numbers,
    write_if_changed,
    write_image,
    write_json,
    write_numbers,
    write_table,
    write_text,
)
from bids_spheres.files.text import read_own_text


def test_what_breaks_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def broken():
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        broken()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_ended_at_any_moment(tmp_path):
    """By what a signal's handler raises, after each step of the interpreter in turn."""
    target = tmp_path / "table.tsv"
    ours, steps = files.replacing.__wrapped__.__code__, 0

    def ended_after(steps):
        def trace(frame, event, _):
            nonlocal left
            frame.f_trace_opcodes = frame.f_code is ours
            if event == "opcode":
                left -= 1
                if left < 0:
                    raise SystemExit(143)
            return trace if frame.f_code is ours else None

        left, before = steps, sys.gettrace()
        sys.settrace(trace)
        try:
            files.write_text(target, "new\n")
        except SystemExit:
            return True
        finally:
            sys.settrace(before)
        return False

    target.write_text("old\n")
    while ended_after(steps):
        assert [path.name for path in tmp_path.iterdir()] == ["table.tsv"], steps
        assert target.read_text() in ("old\n", "new\n")
        steps += 1
    assert steps > 50
    assert target.read_text() == "new\n"


def test_a_place_that_cant_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x\.json can't be written") as error:
        write_json(tmp_path / "file" / "x.json", {})
    assert error.value.exit_status == 73


def test_our_own_errors_keep_their_words(tmp_path):
    with pytest.raises(MissingInputError, match=r"^No mask\.$"), replacing(tmp_path / "x.tsv"):
        raise MissingInputError("No mask.")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "sub-01_bold.nii.gz"
    with replacing(path) as first, replacing(path) as second:
        names = [entry.name for entry in tmp_path.iterdir()]
        assert len(names) == 2
        assert all(name.startswith(".") and name.endswith(".nii.gz") for name in names)
        first.write(b"one")
        second.write(b"two")
    # The blocks end from the inside out.
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    img = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.json", "{}")
        write_image(tmp_path / "a.nii.gz", img)
        write_table(tmp_path / "a.tsv", pd.DataFrame({"a": [1]}))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("x" * 248 + ".nii.gz")
    write_text(path, "long")
    assert path.read_text() == "long"


def test_data_are_on_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(descriptor):
        done.append(("on disk", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def logged_replace(self, target):
        done.append(("named", self.stat().st_ino))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    path = tmp_path / "x.txt"
    write_text(path, "text")
    inode = path.stat().st_ino
    assert done == [("on disk", inode), ("named", inode)]


def test_the_same_image_gives_the_same_bytes(tmp_path):
    img = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, img)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from bids_spheres.files.atomic import replacing

with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftovers_of_a_killed_process(tmp_path):
    for name in ("sub-01_bold.nii.gz", ".bidsignore"):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False)
        assert done.returncode == -signal.SIGKILL
    ours = sorted(tmp_path.iterdir())
    assert len(ours) == 2
    assert all(path.name.startswith(".") for path in ours)

    assert discard_stale(tmp_path) == 0  # they may still be in the making
    assert sorted(tmp_path.iterdir()) == ours
    recently = time.time() - files.STALE_SECONDS + 60
    os.utime(ours[0], (recently, recently))
    assert discard_stale(tmp_path) == 0
    long_ago = time.time() - files.STALE_SECONDS - 60
    os.utime(ours[0], (long_ago, long_ago))
    assert discard_stale(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [ours[1]]
    assert discard_stale(tmp_path, age=-60) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_leftover_of_ours_stays(tmp_path):
    digits = "0123456789abcdef" * 2
    names = (
        *("sub-01_bold.nii.gz", ".bidsignore", ".tmp-x", f".tmp-{digits}.tsv"),
        *(f".tmp-bids_spheres-{digits}0.tsv", f".tmp-bids_spheres-{digits[1:]}.tsv"),
        *(f"a.tmp-bids_spheres-{digits}.tsv", f"sub-01/.tmp-bids_spheres-{digits}.tsv"),
    )
    (tmp_path / "sub-01").mkdir()
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    folder = tmp_path / f".tmp-bids_spheres-{digits}"
    folder.mkdir()
    os.utime(folder, (0, 0))
    assert discard_stale(tmp_path) == 0
    assert all((tmp_path / name).is_file() for name in names)
    assert folder.is_dir()
    assert discard_stale(tmp_path / "sub-01") == 1


KILLED_DRAWING = """
import os, signal, sys
from pathlib import Path
from bids_spheres.files.atomic import temporary_files_in
from bids_spheres.reports.toolkit import figures

figures.import_module = lambda name: os.kill(os.getpid(), signal.SIGKILL)
with temporary_files_in(Path(sys.argv[1])):
    figures.quiet_matplotlib()
"""


def test_folders_of_killed_processes(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    call = [sys.executable, "-c", KILLED_DRAWING, tmp_path]
    assert subprocess.run(call, check=False, env=env).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    (left / "fontlist.json").touch()
    assert discard_stale(tmp_path) == 0
    os.utime(left, (0, 0))
    assert discard_stale(tmp_path) == 1
    assert not left.exists()
    others = [tmp_path / name for name in (".tmp-bids_spheres-short", "tmp-bids_spheres-abcdefgh")]
    for other in others:
        other.mkdir()
        os.utime(other, (0, 0))
    assert discard_stale(tmp_path) == 0


PLACE = """
import tempfile
with tempfile.NamedTemporaryFile() as file:
    print(file.name)
"""


def test_temporary_files_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "a"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path / "a")
    with temporary_files_in(Path("new/b")):
        assert tempfile.gettempdir() == str(tmp_path / "new" / "b")
        call = [sys.executable, "-c", PLACE]
        child = subprocess.run(call, capture_output=True, text=True, check=True, cwd="/")
        assert Path(child.stdout.strip()).parent == tmp_path / "new" / "b"
    assert tempfile.gettempdir() == str(tmp_path / "a")
    assert list((tmp_path / "new" / "b").iterdir()) == []


def test_temporary_files_that_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    before = os.environ.get("TMPDIR")
    with (
        pytest.raises(OutputError, match=r"Temporary files can't be written to .*file/w: Not a"),
        temporary_files_in(tmp_path / "file" / "w"),
    ):
        pytest.fail("the block runs")
    assert os.environ.get("TMPDIR") == before


def test_leftovers_in_a_folder_that_is_not_there(tmp_path):
    assert discard_stale(tmp_path / "none") == 0


def test_a_file_that_is_right_is_not_written_again(tmp_path):
    path = tmp_path / "new" / "README.md"
    assert write_if_changed(path, "Größe\n")
    before = path.stat()
    assert not write_if_changed(path, "Größe\n")
    assert path.stat() == before
    assert write_if_changed(path, "size\n")
    assert path.read_text() == "size\n"
    path.write_text("size\nand more\n")
    assert write_if_changed(path, "size\n")
    assert path.read_text() == "size\n"


def test_reading_text(tmp_path):
    path = tmp_path / "x.tsv"
    assert read_own_text(path) == ""
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n")  # as Excel writes it
    assert read_own_text(path) == "a\tb\n"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"x\.tsv can't be read as text: byte 3 is not UTF-8"):
        read_own_text(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"x\.tsv can't be read as text: it is UTF-16"):
        read_own_text(path)
    with pytest.raises(DataError, match="is a folder; a file is needed"):
        read_own_text(tmp_path)


def test_removing(tmp_path):
    path = tmp_path / "x.tsv"
    path.touch()
    remove(path)
    remove(path)
    assert not path.exists()
    with pytest.raises(OutputError, match="can't be removed"):
        remove(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        ("", "n/a"),
        (" \n", "n/a"),
        (12, "12"),
        (np.int64(-3), "-3"),
        (240.0, "240"),
        (1 / 3, "0.3333333333"),
        (float("nan"), "n/a"),
        (np.float64("inf"), "n/a"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ('"quoted"', '"quoted"'),
        ("sub-\udcff", "sub-?"),
    ],
)
def test_cells(value, text):
    assert cell(value) == text


def test_tables_there_and_back(tmp_path):
    path = tmp_path / "x.tsv"
    rows = [("1", '"x'), ("2", "n/a")]
    assert table_text(("a", "b"), rows) == 'a\tb\n1\t"x\n2\tn/a\n'
    assert table_rows(path, 'a\tb\n1\t"x\n2\tn/a\n', ("a", "b")) == rows
    assert table_rows(path, 'a\tb\n1\t"x\n2\tn/a', ("a", "b")) == rows
    assert table_rows(path, "a\tb\n", ("a", "b")) == []
    assert table_rows(path, "a\tb\n1\t\n", ("a", "b")) == [("1", "")]
    assert table_rows(path, "", ("a", "b")) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n1\n", "line 1 is 'a'"),
        ("b\ta\n1\t2\n", "line 1 is 'b a'"),
        ("a\tb\n1\t2\n3\n", "line 3 is '3'"),
        ("a\tb\n\n1\t2\n", "line 2 is ''"),
        ("<<<<<<< HEAD\na\tb\n", "line 1 is '<<<<<<< HEAD'"),
        ("\n", "line 1 is ''"),
    ],
)
def test_tables_that_are_not_the_one(tmp_path, text, line):
    with pytest.raises(DataError) as error:
        table_rows(tmp_path / "x.tsv", text, ("a", "b"))
    assert f"x.tsv is not the table that is kept there: {line}" in error.value.message
    assert "move it away" in error.value.hint


def test_tables_keep_names_gaps_and_ten_digits(tmp_path):
    path = tmp_path / "new" / "table.tsv"
    write_table(path, pd.DataFrame({"a b": [1 / 3, np.nan], "ü": ["x", None]}))
    assert path.read_text(encoding="utf-8") == "a b\tü\n0.3333333333\tx\nn/a\tn/a\n"


def test_json_has_plain_types_only(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": np.float64(1.5), "b": [np.int64(2), np.nan], "c": (True, {"d": np.inf})})
    assert json.loads(path.read_text()) == {"a": 1.5, "b": [2, None], "c": [True, {"d": None}]}


# Links in the way


@pytest.fixture
def victim(tmp_path):
    """A file outside the dataset that must stay as it is."""
    path = tmp_path / "elsewhere" / "precious.txt"
    path.parent.mkdir()
    path.write_text("precious")
    path.chmod(0o444)
    return path


def write_all(folder):
    write_text(folder / "a.txt", "ours")
    write_if_changed(folder / "b.txt", "ours")
    write_table(folder / "c.tsv", pd.DataFrame({"a": [1]}))
    write_numbers(folder / "d.tsv", ["a"], np.ones((1, 1)))
    write_compressed_numbers(folder / "e.tsv.gz", np.ones((1, 1)))
    write_image(folder / "f.nii.gz", nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)))


NAMES = ("a.txt", "b.txt", "c.tsv", "d.tsv", "e.tsv.gz", "f.nii.gz")


@pytest.mark.parametrize("target", ["precious.txt", "none.txt", "."], ids=["file", "none", "dir"])
def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path, victim, target):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(victim.parent / target)
    write_all(folder)
    assert not any((folder / name).is_symlink() for name in NAMES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert [*victim.parent.iterdir()] == [victim]
    assert victim.read_text() == "precious"


def test_a_link_that_comes_while_the_file_is_written(tmp_path, victim):
    path = tmp_path / "a.txt"
    with replacing(path) as file:
        file.write(b"ours")
        path.symlink_to(victim)
    assert not path.is_symlink()
    assert path.read_text() == "ours"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("there", ["file", "link"])
def test_a_temporary_name_that_was_guessed(tmp_path, victim, monkeypatch, there):
    monkeypatch.setattr(files, "uuid4", lambda: SimpleNamespace(hex="0" * 32))
    guessed = tmp_path / f".tmp-bids_spheres-{'0' * 32}.txt"
    if there == "link":
        guessed.symlink_to(victim)
    else:
        guessed.write_text("precious")
    with pytest.raises(OutputError, match=r"a\.txt can't be written: File exists"):
        write_text(tmp_path / "a.txt", "ours")
    assert guessed.read_text() == victim.read_text() == "precious"
    assert not (tmp_path / "a.txt").exists()


def test_another_file_that_exists_is_no_reason_to_keep_ours(tmp_path):
    with pytest.raises(OutputError, match="File exists"), replacing(tmp_path / "a.txt"):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "another")
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_a_link_leads_to_is_not_removed(tmp_path, victim):
    link = tmp_path / "a.txt"
    link.symlink_to(victim)
    remove(link)
    assert not link.is_symlink()
    assert victim.read_text() == "precious"


def test_folders_that_are_links(tmp_path, victim):
    root = tmp_path / "out"
    (root / "real").mkdir(parents=True)
    (root / "inside").symlink_to("real")
    (root / "outside").symlink_to(victim.parent)
    (root / "dangling").symlink_to(root / "none")
    (root / "circle").symlink_to("circle")
    (root / "file").symlink_to(victim)
    check_folders(root, [root, root / "real", root / "new" / "deep", root / "inside" / "deep"])
    for name in ("outside", "dangling", "circle", "file"):
        for folder in (root / name, root / name / "a" / "b"):
            with pytest.raises(OutputError, match=rf"out/{name} is a link to .*no folder of") as e:
                check_folders(root, [root / "real", folder])
            assert e.value.exit_status == 73


def test_of_folders_that_are_refused_the_first_by_name_is_told(tmp_path):
    folders = [tmp_path / name for name in "mxckbz"]
    for folder in folders:
        folder.touch()
    with pytest.raises(OutputError, match=r"/b is a file where a folder is needed"):
        check_folders(tmp_path, [folder / "x" for folder in folders])


def test_files_in_the_place_of_folders(tmp_path):
    (tmp_path / "logs").write_text("")
    for folder in (tmp_path / "logs", tmp_path / "logs" / "done"):
        with pytest.raises(OutputError, match="logs is a file where a folder is needed") as caught:
            check_folders(tmp_path, [folder])
        assert caught.value.exit_status == 73
    assert (tmp_path / "logs").read_text() == ""


def test_a_dataset_whose_own_folder_is_a_link(tmp_path):
    (tmp_path / "disk" / "out" / "sub-01").mkdir(parents=True)
    (tmp_path / "out").symlink_to("disk/out")
    check_folders(tmp_path / "out", [tmp_path / "out" / "sub-01"])
    (tmp_path / "out" / "sub-02").symlink_to("sub-01")
    check_folders(tmp_path / "out", [tmp_path / "out" / "sub-02" / "func"])


def test_links_to_what_git_annex_has_not_fetched_are_not_taken_for_no_file(tmp_path):
    path = tmp_path / "t.tsv"
    path.symlink_to(".git/annex/objects/Xm/9J/MD5E-s12--0/MD5E-s12--0")
    with pytest.raises(MissingInputError, match="git-annex has its name only"):
        read_own_text(path)
    path.unlink()
    path.write_text("/annex/objects/MD5E-s12--0\n")
    with pytest.raises(MissingInputError, match="git-annex has its name only"):
        read_own_text(path)
    path.unlink()
    path.symlink_to("none")
    assert read_own_text(path) == ""


# Disks and clocks


def test_a_disk_that_is_full_when_the_name_is_given(tmp_path, monkeypatch):
    def full(self, _target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"a\.txt can't be written: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("hours", [-5, 5])
def test_leftovers_are_told_by_the_clock_of_the_file_system(tmp_path, monkeypatch, hours):
    """That of the machine is wrong, and a file is in the making."""
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 3600 * hours)
    with replacing(tmp_path / "new.tsv") as file:
        old = tmp_path / f".tmp-bids_spheres-{'0' * 32}.tsv"
        old.touch()
        now = os.fstat(file.fileno()).st_mtime
        os.utime(old, (now - 2 * files.STALE_SECONDS,) * 2)
        assert discard_stale(tmp_path) == 1
        assert not old.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new.tsv"]


# What is written, by other readers


def test_json_is_indented_and_keeps_letters():
    text = files.json_text({"a": "ü", 1: [np.float32(0.5), np.bool_(True)]})
    assert text == '{\n  "a": "ü",\n  "1": [\n    0.5,\n    true\n  ]\n}\n'


def test_bytes_of_names_that_are_no_text_become_question_marks(tmp_path):
    write_text(tmp_path / "a.txt", "sub-\udcff")
    assert (tmp_path / "a.txt").read_bytes() == b"sub-?"
    assert not write_if_changed(tmp_path / "a.txt", "sub-\udcff")
    assert write_if_changed(tmp_path / "b.bin", b"\xff\x00")
    assert (tmp_path / "b.bin").read_bytes() == b"\xff\x00"
    assert not write_if_changed(tmp_path / "b.bin", b"\xff\x00")


def test_compressed_numbers_have_eight_digits_and_no_header(tmp_path):
    path = tmp_path / "a.tsv.gz"
    write_compressed_numbers(path, np.array([[1 / 3, 2e8 / 3], [np.nan, -4]]))
    assert gzip.decompress(path.read_bytes()) == b"0.33333333\t66666667\nn/a\t-4\n"


def test_without_zlib_ng_the_stream_is_that_of_zlib_without_name_and_time(monkeypatch):
    monkeypatch.setitem(sys.modules, "zlib_ng.gzip_ng", None)
    content, written = b"0 1 2 3 " * 999 + bytes(range(256)), io.BytesIO()
    with files.gzip_writer(written) as stream:
        stream.write(content)
    data = written.getvalue()
    assert data[:8] == b"\x1f\x8b\x08\x00" + bytes(4)  # no name, no time
    assert gzip.decompress(data) == content
    packer = zlib.compressobj(3, zlib.DEFLATED, -zlib.MAX_WBITS)
    assert data[10:-8] == packer.compress(content) + packer.flush()


def test_tables_of_mixed_columns(tmp_path):
    table = pd.DataFrame(
        {"n": [3, 10], "x": [2.5e-7, 1e12], "w": [True, None], "nan": ["nan", 'a"b']}
    )
    write_table(tmp_path / "a.tsv", table)
    expected = 'n\tx\tw\tnan\n3\t2.5e-07\tTrue\tnan\n10\t1e+12\tn/a\t"a""b"\n'
    assert (tmp_path / "a.tsv").read_text() == expected


def test_numbers_after_a_column_of_words(tmp_path):
    values = np.array([[1 / 3, np.nan], [2e-11, -5]])
    write_numbers(tmp_path / "a.tsv", ["nan", "b"], values, ("Node", ["nan", "x\ty"]))
    expected = 'Node\tnan\tb\nnan\t0.3333333333\tn/a\n"x\ty"\t2e-11\t-5\n'
    assert (tmp_path / "a.tsv").read_text() == expected
    write_numbers(tmp_path / "b.tsv", ["a", "b"], values)
    assert (tmp_path / "b.tsv").read_text() == "a\tb\n0.3333333333\tn/a\n2e-11\t-5\n"
    with pytest.raises(ValueError, match="longer"):
        write_numbers(tmp_path / "c.tsv", ["a", "b"], values, ("Node", ["x"]))


def test_the_rest_of_a_row_that_is_no_row_is_not_shown(tmp_path):
    with pytest.raises(DataError, match=r"line 2 is '1 x{58}', and the columns are a, b\."):
        table_rows(tmp_path / "x.tsv", f"a\tb\n1\t{'x' * 99}\t3\n", ("a", "b"))


# Temporary files


@pytest.mark.parametrize(("minutes", "removed"), [(59, 0), (61, 1)])
def test_leftovers_are_those_of_an_hour_ago(tmp_path, minutes, removed):
    left = tmp_path / f".tmp-bids_spheres-{'0a' * 16}"
    left.touch()
    os.utime(left, (time.time() - 60 * minutes,) * 2)
    assert discard_stale(tmp_path) == removed
    assert left.exists() is not bool(removed)
    assert len(list(tmp_path.iterdir())) == 1 - removed


def test_of_a_leftover_that_is_a_link_only_the_link_is_removed(tmp_path, victim):
    link = tmp_path / f".tmp-bids_spheres-{'0a' * 16}"
    link.symlink_to(victim.parent)
    os.utime(link, (0, 0), follow_symlinks=False)
    folder = tmp_path / ".tmp-bids_spheres-ab_3defg"
    folder.symlink_to(victim.parent)
    os.utime(folder, (0, 0), follow_symlinks=False)
    assert discard_stale(tmp_path) == 1
    assert not link.is_symlink()
    assert folder.is_symlink()
    assert victim.exists()


def test_a_leftover_that_another_user_keeps_does_not_hinder(tmp_path, monkeypatch):
    names = [tmp_path / f".tmp-bids_spheres-{digit * 32}" for digit in "12"]
    for path in names:
        path.touch()
        os.utime(path, (0, 0))
    unlink = os.unlink

    def refuse(entry, **options):
        if os.fspath(entry).endswith("1"):
            raise PermissionError(13, "no")
        unlink(entry, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    assert discard_stale(tmp_path) == 1
    assert names[0].exists()


def test_where_no_place_was_named_none_is_named_afterwards(tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with temporary_files_in(tmp_path / "w"):
        assert os.environ["TMPDIR"] == str(tmp_path / "w")
        assert tempfile.gettempdir() == str(tmp_path / "w")
    assert "TMPDIR" not in os.environ
    assert tempfile.gettempdir() != str(tmp_path / "w")


def test_a_folder_is_looked_at_again_if_it_is_there(tmp_path, monkeypatch):
    opened, real = [], os.open

    def noted(path, flags, *more):
        opened.append((path, bool(flags & os.O_DIRECTORY)))
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", noted)
    files.look_again(tmp_path)
    files.look_again(tmp_path / "none")
    assert opened == [(tmp_path, True), (tmp_path / "none", True)]


def test_where_temporary_files_go_afterwards_when_no_place_was_named(tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = tempfile.gettempdir()
    with temporary_files_in(tmp_path / "a"):
        assert os.environ["TMPDIR"] == str(tmp_path / "a")
    assert "TMPDIR" not in os.environ
    assert tempfile.gettempdir() == before
