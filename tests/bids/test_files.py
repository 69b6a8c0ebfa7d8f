"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres.bids import files
from bids_spheres.bids.files import (
    cell,
    discard_stale,
    read_text,
    remove,
    replacing,
    table_rows,
    table_text,
    temporary_files_in,
    write_if_changed,
    write_image,
    write_json,
    write_table,
    write_text,
)
from bids_spheres.errors import DataError, MissingInputError, OutputError


def test_what_breaks_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def broken():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        broken()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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
        assert first != second
        for temporary in (first, second):
            assert temporary.parent == tmp_path
            assert temporary.name.startswith(".")
            assert temporary.name.endswith(".nii.gz")
        first.write_text("one")
        second.write_text("two")
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
from bids_spheres.bids.files import replacing

with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
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
    long_ago = time.time() - 2 * files.STALE_SECONDS
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
from bids_spheres.bids.files import temporary_files_in
from bids_spheres.report import figures

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


def test_reading_text(tmp_path):
    path = tmp_path / "x.tsv"
    assert read_text(path) == ""
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n")  # as Excel writes it
    assert read_text(path) == "a\tb\n"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"x\.tsv is not UTF-8"):
        read_text(path)
    with pytest.raises(DataError, match="is a folder; a file is needed"):
        read_text(tmp_path)


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
