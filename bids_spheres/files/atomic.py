"""Files written whole or not at all.

Everything is written to a temporary name in the folder of the target and then renamed, so
that a file under its final name is always complete, whatever happens to the process or to the
machine. Temporary names are unique among all processes and threads of all machines that write to
the folder.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from stat import S_ISDIR, S_ISLNK
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import numpy as np

from bids_spheres.errors import BidsSpheresError, DataError, OutputError
from bids_spheres.files import text as text_files
from bids_spheres.files.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from nibabel.filebasedimages import SerializableImage
    from numpy.typing import NDArray

MISSING = "n/a"
"""How BIDS writes a missing value in a table."""

STALE_SECONDS = 3600.0
"""Age at which a temporary file is taken for the leftover of a process that was killed, s.

The largest file takes seconds to write. Both times are by the clock of the file system.
"""

_TEMPORARY = ".tmp-bids_spheres-"
_OURS = re.compile(re.escape(_TEMPORARY) + r"[0-9a-f]{32}(\..*)?")
_OUR_FOLDERS = re.compile(re.escape(_TEMPORARY) + r"[a-z0-9_]{8}")
"""What `tempfile` makes of the same beginning."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `path` that takes its place when the block ends without an error.

    A link in the place of `path` is replaced, and what it leads to is left alone. The new file has
    the permissions of any other, and a name that nobody can have put there: it is never opened
    through a link, nor when it exists already.

    Yields
    ------
    file object
        For bytes.

    Raises
    ------
    OutputError
        When it can't be written; `path` is then as it was.
    """
    # Without the rest of the name, which may be as long as the file system allows.
    temporary = path.with_name(_TEMPORARY + uuid4().hex + "".join(path.suffixes[-2:]))
    try:
        # One call less for the server of a network file system than mkdir, which always asks it.
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, _NEW_FILE, 0o666)
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - pathlib opens no descriptors
            yield file
            # A rename may reach the disk before the data do. If the machine then goes down, what is
            # left under the final name is a file without its end, which may look like a shorter
            # table; with delayed writing (Lustre, XFS, ext4 for new names) that can be half a
            # minute later. An exceeded quota may also show only here. The price is about 4 ms per
            # file on a solid-state disk, a tenth of a second for a run with 30 files. NFS pays it
            # anyway when a file is closed. The folder is not flushed: a rename that is lost leaves
            # the old file, or none, but no half.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the folder went away or became read-only, which `error` says
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BidsSpheresError):
            raise _not_written(path, error) from error
        raise


_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written: {error.strerror or error}.",
        hint="Is there room on the disk, and may you write there?",
    )


def discard_stale(folder: Path, age: float = STALE_SECONDS) -> int:
    """Remove temporary files that processes of ours left in a folder when they were killed.

    Call this before writing to a folder: for the folder of a run when its job starts, for the root
    of a large dataset once and not for every run. Folders in it are not searched. A file younger
    than `age` may still be written by another process; such files, names that are not ours, and
    files that can't be removed are left alone.

    Parameters
    ----------
    folder : Path
        Need not exist.
    age : float
        Time since the last change from which on a file is removed, s.

    Returns
    -------
    int
        Number of files removed.
    """
    try:
        with os.scandir(folder) as entries:
            ours = [
                entry
                for entry in entries
                if (_OUR_FOLDERS if entry.is_dir(follow_symlinks=False) else _OURS).fullmatch(
                    entry.name
                )
            ]
        if not ours:
            return 0
        # Files are dated by the clock of the file system, which may be a server's.
        with tempfile.TemporaryFile(dir=folder) as file:
            before = os.fstat(file.fileno()).st_mtime - age
    except OSError:
        return 0
    removed = 0
    for entry in ours:
        with suppress(OSError):  # another process was quicker, or it is not ours to remove
            if entry.stat(follow_symlinks=False).st_mtime < before:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry)
                else:
                    os.unlink(entry)  # noqa: PTH108 - an entry of scandir
                removed += 1
    return removed


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Make temporary files in a folder while the block runs.

    That holds for all libraries of this process and for processes that it starts. The system's
    place for such files can be of 64 MB, read-only, or shared by all who work on a machine.

    Parameters
    ----------
    folder : Path
        Created if missing.

    Raises
    ------
    OutputError
        When it can't be written to.
    """
    before = os.environ.get("TMPDIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"Temporary files can't be written to {folder}: {error.strerror or error}.",
            hint="Is there room on the disk, and may you write there? --work-dir names another "
            "folder.",
        ) from error
    try:
        _set_temporary_dir(str(folder.absolute()))
        yield
    finally:
        _set_temporary_dir(before)


def _set_temporary_dir(folder: str | None) -> None:
    os.environ.pop("TMPDIR", None)
    os.environ |= {} if folder is None else {"TMPDIR": folder}
    tempfile.tempdir = None  # it is looked for once and then remembered


def look_again(folder: Path) -> None:
    """Make NFS look again for missing files, whose absence it may remember for half a minute.

    Opening a folder makes it ask the server, and forget such names when the folder has changed.
    """
    with suppress(OSError):  # not allowed to list it
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


def check_folders(root: Path, folders: Iterable[Path]) -> None:
    """Refuse folders of a dataset that are files, or links to a place outside it or to nowhere.

    The dataset's own folder may be a link: that is where the user wants it. A link below it that
    leads elsewhere is one that nobody may have meant for writing, so it is neither followed nor
    replaced.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    folders : iterable of Path
        Below it; they need not exist.

    Raises
    ------
    OutputError
        Where one leads elsewhere, or is a file.
    """
    below = {
        place
        for folder in folders
        for place in (folder, *folder.parents)
        if place != root and place.is_relative_to(root)
    }
    for place in sorted(below):
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if S_ISLNK(mode):
            _check_link(root, place)
        elif not S_ISDIR(mode):
            raise OutputError(
                f"{place} is a file where a folder is needed.",
                hint="Move it away, or choose another output folder.",
            )


def _check_link(root: Path, link: Path) -> None:
    target = Path(os.path.realpath(link))
    if not (target.is_dir() and target.is_relative_to(os.path.realpath(root))):
        raise OutputError(
            f"{link} is a link to {target}, which is no folder of {root}.",
            hint="Nothing is written through it. Remove the link, or put a folder there.",
        )


def remove(path: Path) -> None:
    """Remove a file, if there is one.

    Raises
    ------
    OutputError
        When it can't be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} can't be removed: {error.strerror or error}.") from error


def read_text(path: Path) -> str:
    """Text of a file that bids_spheres has written; empty when there is no file.

    Raises
    ------
    MissingInputError, DataError, ReadWriteError
        As `bids_spheres.files.text.read_text`.
    """
    return text_files.read_text(path, optional=True, ours=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; what is no text, as bytes in names of files can be, becomes ``?``."""
    with replacing(path) as file:
        file.write(text.encode(errors="replace"))


def write_if_changed(path: Path, content: str | bytes) -> bool:
    """Write bytes or UTF-8 text unless the file holds the same; return whether it was written.

    Of thousands of processes that all write the same, one does.
    """
    wanted = content.encode(errors="replace") if isinstance(content, str) else content
    try:
        with open_regular(path) as file:
            same = file.read() == wanted
    except (OSError, DataError):
        same = False  # what can't be read is tried to be replaced, which has its own error
    if not same:
        with replacing(path) as file:
            file.write(wanted)
    return not same


def json_text(content: Mapping[str, object]) -> str:
    """Text of a JSON object; NaN, which JSON does not have, becomes null."""
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON object; NaN, which JSON does not have, becomes null."""
    write_text(path, json_text(content))


def cell(value: object) -> str:
    r"""Text of a value in a TSV file, on one line: BIDS has no quotes around tabs and newlines.

    Examples
    --------
    >>> cell(1 / 3), cell(None), cell("too few volumes:\n\t3")
    ('0.3333333333', 'n/a', 'too few volumes: 3')
    """
    if isinstance(value, float):
        return f"{value:.10g}" if np.isfinite(value) else MISSING
    text = " ".join(str(value).split()) if value is not None else ""
    # Names of files may hold bytes that are no text.
    return text.encode(errors="replace").decode() or MISSING


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Text of a TSV file from the cells of its rows."""
    return "".join("\t".join(row) + "\n" for row in (columns, *rows))


def table_rows(path: Path, text: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Cells of the rows of a TSV file that has just these columns.

    Parameters
    ----------
    path : Path
        Where the text is from, for messages.
    text : str
        Empty when there is no file yet.
    columns : sequence of str

    Raises
    ------
    DataError
        When it has other columns, or a row has more or fewer cells.
    """
    rows = [tuple(line.split("\t")) for line in text.rstrip("\n").split("\n")] if text else []
    for number, row in enumerate(rows, start=1):
        if row != tuple(columns) if number == 1 else len(row) != len(columns):
            raise DataError(
                f"{path} is not the table that is kept there: line {number} is "
                f"{' '.join(row)[:60]!r}, and the columns are {', '.join(columns)}.",
                hint="Put right what was changed in it, or move it away: a new one is begun then.",
            )
    return rows[1:]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a data frame as TSV with a header, without its index; missing is ``n/a``.

    Ten significant digits: more than single precision input carries.
    """
    text = table.to_csv(
        sep="\t", index=False, na_rep=MISSING, float_format="%.10g", lineterminator="\n"
    )
    write_text(path, text)


def write_numbers(
    path: Path,
    names: Sequence[str],
    values: NDArray[np.float64],
    labels: tuple[str, Sequence[str]] | None = None,
) -> None:
    """Write an array as TSV with a header, as `write_table` would, at a tenth of its time.

    Parameters
    ----------
    path : Path
    names : sequence of S str
        Of the columns.
    values : (R, S) array
    labels : tuple of str and R str, optional
        Name and cells of a first column of words.
    """
    with replacing(path) as file:
        word, cells = labels or ("", [])
        heads = [_quoted(cell) + "\t" for cell in cells] or [""] * len(values)
        header = "\t".join(map(_quoted, [word, *names] if labels else names)) + "\n"
        file.write(header.encode())
        row_format = "\t".join(["%.10g"] * len(names)) + "\n"
        for head, row in zip(heads, values, strict=True):
            text = row_format % tuple(row.tolist())
            text = text.replace("nan", MISSING) if "nan" in text else text
            file.write((head + text).encode())


def _quoted(word: str) -> str:
    """A cell as the csv module, and so pandas, writes and reads it."""
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow([word])
    return line.getvalue()[:-1]


def write_compressed_numbers(path: Path, values: NDArray[np.float64]) -> None:
    """Write an array as a compressed table: BIDS has no header in these, but in their sidecars.

    Eight significant digits, more than single precision carries; the same array gives the same
    bytes.

    Parameters
    ----------
    path : Path
        Its extension is ``.tsv.gz``.
    values : (R, S) array
    """
    row_format = "\t".join(["%.8g"] * values.shape[1]) + "\n"
    text = "".join([row_format % tuple(row) for row in values.tolist()])
    with replacing(path) as file, gzip_writer(file) as stream:
        stream.write(text.replace("nan", MISSING).encode())


_LEVEL = 3
"""Of compression: a higher one takes thrice the time for 3 % of the size."""


def gzip_writer(file: IO[bytes]) -> Any:
    """Open a stream that gzips into `file`, with neither name nor time in the header."""
    options: dict[str, Any] = {"filename": "", "mode": "wb", "fileobj": file, "mtime": 0}
    try:
        fast = import_module("zlib_ng.gzip_ng")
    except ImportError:
        return gzip.GzipFile(compresslevel=_LEVEL, **options)
    return fast.GzipNGFile(compresslevel=_LEVEL, **options)


def write_image(path: Path, img: SerializableImage) -> None:
    """Write an image as .nii.gz; the same image gives the same bytes."""
    with replacing(path) as file, gzip_writer(file) as stream:
        stream.write(img.to_bytes())


def _plain(value: object) -> object:
    """Value without numpy types, as JSON knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
