"""What a worker elsewhere must prove before it gets work: the same files, the same software.

The call writes a token with a random name into the output and the work folder and removes both at
its end. The input is never written to; there a worker reads the dataset's description. A folder of
the right name is no proof: on a node it may be a disk of its own. The token in the output folder
also holds what all items share, so that it travels once and not with each item.
"""

from __future__ import annotations

import os
import pickle
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import bids_spheres
from bids_spheres.execute.versions import versions
from bids_spheres.files.atomic import remove, write_if_changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMPARED = ("bids-spheres", "nibabel", "numpy", "pandas", "scipy")
"""Other versions of these may give other numbers."""

_LONGEST = 30 * 24 * 3600.0
"""How long a call may last, s."""


class WorkerProblemError(Exception):
    """Why this process can't do the work of a call."""


@dataclass(frozen=True)
class Folders:
    """Folders that all machines must see under the same names.

    Parameters
    ----------
    inputs : tuple of Path
        Root folders of datasets.
    output : Path
    work : Path or None
    """

    inputs: tuple[Path, ...]
    output: Path
    work: Path | None = None


@dataclass(frozen=True)
class Token:
    """A file in the output folder and the SHA-256 of its content.

    Without the digest, whoever may write there could have workers run code.
    """

    path: str
    digest: str


@contextmanager
def tokens(folders: Folders, shared: Sequence[Any] = ()) -> Iterator[Token]:
    """Write what workers have to find, while a block lasts.

    Raises
    ------
    OutputError
        When a token can't be written or removed.
    """
    # By a name of this form the next call removes what a killed one left.
    name = f".tmp-bids_spheres-{uuid4().hex}"
    marks = [root / "dataset_description.json" for root in folders.inputs]
    written = [folders.output / name]
    try:
        if folders.work:
            written.append(folders.work / name)
            write_if_changed(written[-1], name)
            marks.append(written[-1])
        files = [(str(path), _digest(path)) for path in marks]
        # The shared objects are read last: other versions could not unpickle them.
        content = pickle.dumps((_software(), files, pickle.dumps(shared)))
        write_if_changed(written[0], content)
        for path in written:
            # Other calls take old ones for leftovers, and this one may last for days.
            os.utime(path, (time.time() + _LONGEST,) * 2)
        yield Token(str(written[0]), sha256(content).hexdigest())
    finally:
        for path in written:
            remove(path)


@lru_cache(maxsize=4)  # a worker may serve a few calls at a time; what raises is not kept
def shared_objects(token: Token) -> Sequence[Any]:
    """What the items of a call share. Runs in a worker, and proves that it is fit for work.

    Raises
    ------
    WorkerProblemError
        When this process sees other files, or has other software, than the call.
    """
    _check_file(token.path, token.digest)
    if not os.access(Path(token.path).parent, os.W_OK):
        raise WorkerProblemError(f"it may not write to {Path(token.path).parent}")
    software, marks, shared = pickle.loads(Path(token.path).read_bytes())  # noqa: S301 - digested
    for name, version in _software().items():
        if software.get(name) != version:
            raise WorkerProblemError(f"it has {name} {version} and this call {software.get(name)}")
    for path, digest in marks:
        _check_file(path, digest)
    return pickle.loads(shared)  # noqa: S301 - as above


def prove(token: Token) -> None:
    """Check that this process can do the work of a call, as `shared_objects` does."""
    shared_objects(token)


def _check_file(path: str, digest: str | None) -> None:
    found, folder = _digest(Path(path)), Path(path).parent
    if not folder.is_dir() or (found is None and digest):
        raise WorkerProblemError(f"it does not see the folder {folder} of this call")
    if found != digest:
        raise WorkerProblemError(f"it sees another folder {folder} than this call")


def _digest(path: Path) -> str | None:
    with suppress(OSError):
        return sha256(path.read_bytes()).hexdigest()
    return None


@cache
def _software() -> dict[str, str]:
    """Versions, and a digest of the files of this package: a working copy has one version."""
    root, digest = Path(bids_spheres.__file__).parent, sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".pyc", ".pyo"):
            digest.update(f"{path.relative_to(root)}\0{_digest(path)}\0".encode())
    compared = {name: version for name, version in versions().items() if name in _COMPARED}
    return compared | {"bids-spheres with files of digest": digest.hexdigest()[:12]}


def pickled(value: Any, shared: Sequence[Any]) -> bytes:
    """Pickle a value without the objects that are shared, which it refers to by their numbers."""
    file, numbers = BytesIO(), {id(part): number for number, part in enumerate(shared)}
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = lambda part: numbers.get(id(part))  # type: ignore[method-assign]
    pickler.dump(value)
    return file.getvalue()


def unpickled(content: bytes, shared: Sequence[Any]) -> Any:
    """Read what `pickled` has made."""
    unpickler = pickle.Unpickler(BytesIO(content))  # noqa: S301 - of the call, as Dask's own are
    unpickler.persistent_load = shared.__getitem__  # type: ignore[method-assign]
    return unpickler.load()
