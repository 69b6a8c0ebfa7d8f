"""Proof of a worker elsewhere, before it gets work, that it has the same files and software.

The call writes a token with a random name into each output folder and removes it in the end. Inputs
are never written to; there a worker reads the dataset's description. The name of a folder is no
proof, since on a node it may be another disk. The token in the output folder also holds what all
items share, so that this travels once and not with each item.
"""

from __future__ import annotations

import os
import pickle
import time
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from bids_spheres.files.atomic import remove, write_if_changed
from bids_spheres.process.versions import software

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST = 30 * 24 * 3600.0
"""Longest duration of a call, s."""


class WorkerProblemError(Exception):
    """Says why this process can't do the work of a call."""


class Token(NamedTuple):
    """A file in the output folder and the SHA-256 of its content.

    Without the digest, anyone who may write there could have workers run code.
    """

    path: str
    digest: str


@contextmanager
def tokens(
    inputs: Sequence[Path], outputs: Sequence[Path], shared: Sequence[object] = ()
) -> Iterator[Token]:
    """Write, for the duration of a block, the tokens that workers must find in `outputs`.

    `inputs` are folders of datasets that are read; `shared` see `shared_objects`. OutputError when
    a token can't be written or removed.
    """
    # By a name of this form the next call removes what a killed call left.
    name = f".tmp-bids_spheres-{uuid4().hex}"
    first, *others = written = [folder / name for folder in outputs]
    try:
        for path in others:
            write_if_changed(path, name)
        marks = [*(root / "dataset_description.json" for root in inputs), *others]
        # The shared objects are read last: other versions could not unpickle them.
        digests = [(path, _digest(path)) for path in marks]
        content = pickle.dumps((software(), digests, pickle.dumps(shared)))
        write_if_changed(first, content)
        for path in written:
            # Other calls take old files for leftovers, and this one may last for days.
            os.utime(path, (time.time() + _LONGEST,) * 2)
        yield Token(str(first), sha256(content).hexdigest())
    finally:
        for path in written:
            remove(path)


@lru_cache(maxsize=4)  # a worker may serve a few calls at a time; what raises is not kept
def shared_objects(token: Token) -> Sequence[Any]:
    """Objects that the items of a call share; runs in a worker, and proves that it can be used.

    WorkerProblemError when this process sees other files or has other software than the call.
    """
    path = Path(token.path)
    _check_file(path, token.digest)
    if not os.access(path.parent, os.W_OK):
        raise WorkerProblemError(f"it may not write to {path.parent}")
    theirs, digests, shared = pickle.loads(path.read_bytes())  # noqa: S301 - digested
    for name, version in software().items():
        if theirs.get(name) != version:
            raise WorkerProblemError(f"it has {name} {version} and this call {theirs.get(name)}")
    for mark, digest in digests:
        _check_file(mark, digest)
    return pickle.loads(shared)  # noqa: S301 - as above


def _check_file(path: Path, expected: str | None) -> None:
    digest, folder = _digest(path), path.parent
    if not folder.is_dir() or (digest is None and expected):
        raise WorkerProblemError(f"it does not see the folder {folder} of this call")
    if digest != expected:
        raise WorkerProblemError(f"it sees another folder {folder} than this call")


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def pickled(value: object, shared: Sequence[object]) -> bytes:
    """Pickle a value with numbers in the place of shared objects."""
    file, numbers = BytesIO(), {id(part): number for number, part in enumerate(shared)}
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = lambda part: numbers.get(id(part))  # type: ignore[method-assign]
    pickler.dump(value)
    return file.getvalue()


def unpickled(content: bytes, shared: Sequence[object]) -> Any:
    """Read a value that `pickled` wrote."""
    unpickler = pickle.Unpickler(BytesIO(content))  # noqa: S301 - of the call, as Dask's own are
    unpickler.persistent_load = shared.__getitem__  # type: ignore[method-assign]
    return unpickler.load()
