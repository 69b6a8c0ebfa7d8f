"""Write files whole or not at all.

Everything is written under a temporary name in the folder of the target and then renamed, so that a
file under its final name is complete, whatever happens to the process or the machine. Temporary
names are unique among all processes of all machines that write to the folder.
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
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import numpy as np

from bids_spheres.errors import BidsSpheresError, DataError, OutputError
from bids_spheres.files.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from nibabel.filebasedimages import SerializableImage
    from numpy.typing import NDArray

MISSING = "n/a"
"""How BIDS writes a missing value in a table."""

STALE_SECONDS = 3600.0
"""Age, in s, from which a temporary file counts as left by a killed process.

The largest file takes seconds to write. Both times are by the clock of the file system.
"""

_TEMPORARY = ".tmp-bids_spheres-"
_OURS = {
    False: re.compile(re.escape(_TEMPORARY) + r"[0-9a-f]{32}(\..*)?"),
    True: re.compile(re.escape(_TEMPORARY) + r"[a-z0-9_]{8}"),  # as `tempfile` names folders
}
"""Names of temporary files (False) and folders (True)."""
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_GZIP_LEVEL = 3  # a higher one takes thrice the time for 3 % of the size


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for bytes that replaces `path` when the block ends without an error.

    A link at `path` is replaced, its target left alone. The new file has the usual permissions and
    a name that nobody can guess; it is never opened through a link or when it exists. OutputError
    when it can't be written; `path` is then as it was.
    """
    # Without the rest of the name, which may be as long as the file system allows.
    temporary = path.with_name(_TEMPORARY + uuid4().hex + "".join(path.suffixes[-2:]))
    try:
        # One call less for the server of a network file system than mkdir, which always asks it.
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        # A signal may arrive as soon as the file exists, so it is created in the block that removes
        # it.
        descriptor = os.open(temporary, _NEW_FILE, 0o666)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - pathlib opens no descriptors
            yield file
            # A rename may reach the disk before the data. If the machine then goes down, the file
            # lacks its end and may look like a shorter table; with delayed writing (Lustre, XFS,
            # ext4) even half a minute later. An exceeded quota may also show only here. It costs
            # some 4 ms per file on a solid-state disk. The folder is not flushed: a lost rename
            # leaves the old file or none, but never half a file.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        # A file that was there under the temporary name is not ours.
        if not (isinstance(error, FileExistsError) and error.filename == str(temporary)):
            with suppress(OSError):  # the folder went away or became read-only, which `error` says
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BidsSpheresError):
            raise _not_written(path, error) from error
        raise


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written: {error.strerror or error}.",
        hint="Is there room on the disk, and may you write there?",
    )


def discard_stale(folder: Path, age: float = STALE_SECONDS) -> int:
    """Remove temporary files that our killed processes left in a folder; return their number.

    Subfolders are not searched, and the folder need not exist. Files changed less than `age`
    seconds ago may still be in use and are kept, as are files of others.
    """
    try:
        with os.scandir(folder) as entries:
            ours = [e for e in entries if _OURS[e.is_dir(follow_symlinks=False)].fullmatch(e.name)]
        if not ours:
            return 0
        # Files are dated by the clock of the file system, which may be on a server.
        with tempfile.TemporaryFile(dir=folder) as file:
            before = os.fstat(file.fileno()).st_mtime - age
    except OSError:
        return 0
    removed = 0
    for entry in ours:
        with suppress(OSError):  # another process was quicker, or it is not ours to remove
            discard = shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.unlink
            if entry.stat(follow_symlinks=False).st_mtime < before:
                discard(entry)
                removed += 1
    return removed


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have this process, its libraries and child processes put temporary files into a folder.

    The system's own place for them may have 64 MB, be read-only or be shared by all users of the
    machine. The folder is created; OutputError when it can't be written to.
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
    if folder is not None:
        os.environ["TMPDIR"] = folder
    tempfile.tempdir = None  # it would remember the earlier one


def look_again(folder: Path) -> None:
    """Make NFS look again for missing files, which it may remember as missing for half a minute.

    Opening a folder makes it ask the server, and forget such names when the folder has changed.
    """
    with suppress(OSError):  # not allowed to list it
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


def check_folders(root: Path, folders: Iterable[Path]) -> None:
    """Refuse folders below `root` that are files, broken links, or links to a place outside it.

    The root itself may be a link: the user wants it there. A link below it that leads elsewhere
    was perhaps never meant for writing, so it is neither followed nor replaced. Folders need not
    exist; OutputError for those refused.
    """
    below = {
        place
        for folder in folders
        for place in (folder, *folder.parents)
        if place != root and place.is_relative_to(root)
    }
    for place in sorted(below):
        target = Path(os.path.realpath(place))
        is_folder = target.is_dir()
        if place.is_symlink():
            if not (is_folder and target.is_relative_to(os.path.realpath(root))):
                raise OutputError(
                    f"{place} is a link to {target}, which is no folder of {root}.",
                    hint="Nothing is written through it. Remove the link, or put a folder there.",
                )
        elif place.exists() and not is_folder:
            raise OutputError(
                f"{place} is a file where a folder is needed.",
                hint="Move it away, or choose another output folder.",
            )


def remove(path: Path) -> None:
    """Remove a file if it exists; OutputError when it can't be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} can't be removed: {error.strerror or error}.") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; bytes that are no text, as in some file names, become ``?``."""
    with replacing(path) as file:
        file.write(text.encode(errors="replace"))


def write_if_changed(path: Path, content: str | bytes) -> bool:
    """Write bytes or UTF-8 text unless the file holds the same; return whether it was written.

    So of thousands of processes with the same content only one writes.
    """
    wanted = content.encode(errors="replace") if isinstance(content, str) else content
    # A file that can't be read is replaced, which has an error of its own.
    with suppress(OSError, DataError), open_regular(path) as file:
        if file.read() == wanted:
            return False
    with replacing(path) as file:
        file.write(wanted)
    return True


def json_text(content: Mapping[str, object]) -> str:
    """Text of a JSON object; NaN, which JSON lacks, becomes null."""
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON object; NaN, which JSON lacks, becomes null."""
    write_text(path, json_text(content))


def cell(value: object) -> str:
    r"""Text of a value in a TSV file, on one line, as BIDS does not quote tabs and newlines.

    >>> cell(1 / 3), cell(None), cell("too few volumes:\n\t3")
    ('0.3333333333', 'n/a', 'too few volumes: 3')
    """
    if isinstance(value, float):
        return f"{value:.10g}" if np.isfinite(value) else MISSING
    text = " ".join(str(value).split()) if value is not None else ""
    # File names may hold bytes that are no text.
    return text.encode(errors="replace").decode() or MISSING


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Text of a TSV file from the cells of its rows."""
    return "".join("\t".join(row) + "\n" for row in (columns, *rows))


def table_rows(path: Path, text: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Cells of the rows in the text of a TSV file; none of an empty text.

    DataError when its columns differ from `columns`, or a row has more or fewer cells.
    """
    rows = [tuple(line.split("\t")) for line in text.rstrip("\n").split("\n")] if text else []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns) or (number == 1 and row != tuple(columns)):
            raise DataError(
                f"{path} is not the table that is kept there: line {number} is "
                f"{' '.join(row)[:60]!r}, and the columns are {', '.join(columns)}.",
                hint="Put right what was changed in it, or move it away: a new one is begun then.",
            )
    return rows[1:]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a data frame as TSV with a header and without its index; missing is ``n/a``.

    It has ten significant digits, more than single precision input carries.
    """
    columns = []
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if column.dtype.kind == "f":
            # All at once, in half of the time that pandas takes.
            text = "%.10g\n" * len(column) % tuple(column.tolist())
            columns.append(text.replace("nan", MISSING).splitlines())
        else:
            columns.append(column.astype(object).where(column.notna(), MISSING).tolist())
    lines = io.StringIO()
    writer = csv.writer(lines, delimiter="\t", lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*columns, strict=True))
    write_text(path, lines.getvalue())


def write_numbers(
    path: Path,
    names: Sequence[str],
    values: NDArray[np.float64],
    labels: tuple[str, Sequence[str]] | None = None,
) -> None:
    """Write an (R, S) array as TSV with a header, as `write_table` would in more time.

    `labels` are the name and the R cells of a first column of words.
    """
    with replacing(path) as file:
        word, cells = labels or ("", [])
        heads = [_quoted(cell) + "\t" for cell in cells] or [""] * len(values)
        header = "\t".join(map(_quoted, [word, *names] if labels else names)) + "\n"
        file.write(header.encode())
        for head, text in zip(heads, _lines(values, "%.10g"), strict=True):
            file.write((head + text).encode())


def _lines(values: NDArray[np.float64], number: str) -> Iterator[str]:
    """Rows of a table of numbers."""
    row_format = "\t".join([number] * values.shape[1]) + "\n"
    return ((row_format % tuple(row.tolist())).replace("nan", MISSING) for row in values)


def _quoted(word: str) -> str:
    """A cell as the csv module and pandas write and read it."""
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow([word])
    return line.getvalue()[:-1]


def write_compressed_numbers(path: Path, values: NDArray[np.float64]) -> None:
    """Write an (R, S) array as ``.tsv.gz``, whose header BIDS puts into the sidecar.

    It has eight significant digits, more than single precision carries; the same array gives the
    same bytes.
    """
    with replacing(path) as file, gzip_writer(file) as stream:
        stream.write("".join(_lines(values, "%.8g")).encode())


def gzip_writer(file: IO[bytes]) -> Any:
    """Open a stream that gzips into `file`, without name and time in the header."""
    options: dict[str, Any] = {"filename": "", "mode": "wb", "fileobj": file, "mtime": 0}
    try:
        fast = import_module("zlib_ng.gzip_ng")
    except ImportError:
        return gzip.GzipFile(compresslevel=_GZIP_LEVEL, **options)
    return fast.GzipNGFile(compresslevel=_GZIP_LEVEL, **options)


def write_image(path: Path, img: SerializableImage) -> None:
    """Write an image as .nii.gz; the same image gives the same bytes."""
    with replacing(path) as file, gzip_writer(file) as stream:
        stream.write(img.to_bytes())


def _plain(value: object) -> object:
    """Value as JSON knows it, without numpy types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
