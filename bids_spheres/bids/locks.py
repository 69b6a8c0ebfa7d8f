"""Files that several processes change at the same time, also from different machines.

Replacing a file is safe by itself; reading it, changing it and writing it back needs a lock, or
what another process wrote in between is lost. The lock of a file is held on a hidden file under
``logs`` beside it, which stays: to remove it would let two processes hold locks on two files of
the same name. BIDS tools ignore names that begin with a dot.

Two kinds of locks, and how each of them ends when its holder dies:

``flock``
    The operating system's. It ends with the process, whatever kills it. Linux passes it on to
    the server for NFS (since 2.6.12) and SMB (since 5.5), Lustre does when mounted with
    ``flock``. Unlike ``lockf`` it also keeps threads of one process apart.
The existence of a second file
    Where a file system says that it has no ``flock`` (Lustre mounted without it, NFS without a
    lock daemon). Only one process can create the file, its holder removes it. One that has not
    changed hands for `ABANDONED` seconds is taken from its holder.

A file system that keeps ``flock`` to one machine without saying so (Lustre's ``localflock``, NFS
with ``local_lock``, some FUSE ones) can't be told from one that does not. There a change made on
one machine can undo one made on another at the same moment; files are whole all the same.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from bids_spheres.bids.files import json_text, read_text, remove, write_text
from bids_spheres.errors import OutputError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    Release = Callable[[], None]

TIMEOUT = 120.0
"""How long to wait for a lock, s. A change takes a hundredth of that even over a slow network."""

ABANDONED = 30.0
"""How long a lock by existence may be seen with the same holder before it is taken away, s."""

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.ESTALE}
"""Held by another (SMB says EACCES), or the file has just been replaced on the server (NFS)."""

_LONGEST_PAUSE = 0.1


@contextmanager
def exclusive(path: Path, timeout: float = TIMEOUT) -> Iterator[None]:
    """Keep others that ask for the same from reading, changing and writing a file.

    In the block, what is read from the folder of `path` is as the last holder left it. To be held
    for well under `ABANDONED` seconds, and not asked for again in the block.

    Parameters
    ----------
    path : Path
        File at the root of a dataset; need not exist. It may be replaced, and is not opened.
    timeout : float
        How long to wait for others, s.

    Raises
    ------
    TemporaryError
        When another process holds the lock all that time.
    OutputError
        When no lock can be made there.
    """
    release = _acquire(path, timeout)
    try:
        look_again(path.parent)
        yield
    finally:
        release()


def update_text(
    path: Path, change: Callable[[str], str], about: Mapping[str, Any] | None = None
) -> str | None:
    """Change a text file, together with all others who do so; nothing is written if it is the same.

    Parameters
    ----------
    path : Path
    change : callable
        From the present text to the one wanted. Empty stands for a file that is not there. Called
        once to see whether there is anything to do, and once more under the lock.
    about : mapping, optional
        Content of the JSON file of the same name, which is there when `path` is.

    Returns
    -------
    str or None
        The text before; None when nothing was to be done.

    Raises
    ------
    TemporaryError
        When another process is at it for longer than `TIMEOUT`.
    OutputError, ReadWriteError, DataError
        When a file can't be written or read, or is not UTF-8.
    """
    if not _pending(path, read_text(path), change, about):
        return None
    with exclusive(path):
        before = read_text(path)
        for file, text in _pending(path, before, change, about).items():
            if text:
                write_text(file, text)
            else:
                remove(file)
    return before


def look_again(folder: Path) -> None:
    """Let NFS forget which files were not there: it may remember that for half a minute.

    To open a folder makes it ask the server, and drop such names when the folder has changed.
    """
    with suppress(OSError):  # not allowed to list it
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


def _pending(
    path: Path, before: str, change: Callable[[str], str], about: Mapping[str, Any] | None
) -> dict[Path, str]:
    """Texts that are not on disk yet, by file; empty for one that has to go."""
    text = change(before)
    pending = {path: text} if text != before else {}
    if about is not None:
        sidecar, wanted = path.with_suffix(".json"), json_text(about) if text else ""
        pending |= {sidecar: wanted} if read_text(sidecar) != wanted else {}
    return pending


def _acquire(path: Path, timeout: float) -> Release:
    lock = path.parent / "logs" / f".{path.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            release = _take(_flock, lock, timeout)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            # Its own name, since a file made for flock stays.
            lock = lock.with_suffix(".held")
            release = _take(_Existence().attempt, lock, timeout)
    except OSError as error:
        raise OutputError(
            f"{path} can't be locked: {lock}: {error.strerror or error}.",
            hint="Is there room on the disk, and may you write there?",
        ) from error
    if release is None:
        raise _still_held(path, lock, timeout)
    return release


def _still_held(path: Path, lock: Path, timeout: float) -> TemporaryError:
    return TemporaryError(
        f"{path} is being changed by {_read(lock) or 'another process'}, for {timeout:g} s now.",
        hint=f"Call again later. If there is no such process any more, remove {lock}.",
    )


def _take(attempt: Callable[[Path], Release | None], lock: Path, timeout: float) -> Release | None:
    """Try again and again; None when it takes too long."""
    deadline, pause = time.monotonic() + timeout, 0.001
    while (release := attempt(lock)) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        # At random, so that those who wait do not all come back at once.
        time.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 - no secret
        pause = min(2 * pause, _LONGEST_PAUSE)
    return release


def _flock(lock: Path) -> Release | None:
    """Lock an open file; None when another has it."""
    # Opened for writing, without which NFS gives no exclusive lock.
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _BUSY:
            return None
        raise
    with suppress(OSError):  # who holds it is only for messages
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _signature().encode())
    return partial(_unlock, descriptor)


def _unlock(descriptor: int) -> None:
    try:
        # Closing is not enough: a process forked in the meantime may have the file open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


class _Existence:
    """Attempts at a lock that is held as long as a file exists.

    Whether its holder has gone is told by watching: clocks of machines differ, and the number of
    a process says nothing in another container.
    """

    def __init__(self) -> None:
        self._holder: str | None = None
        self._since = 0.0

    def attempt(self, lock: Path) -> Release | None:
        """Create the file; None when another has."""
        signature = _signature()
        try:
            descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._watch(lock)
            return None
        try:
            os.write(descriptor, signature.encode())
        except OSError:
            lock.unlink()
            raise
        finally:
            os.close(descriptor)
        return partial(_give_back, lock, signature)

    def _watch(self, lock: Path) -> None:
        """Take the lock away from a holder that has been the same for too long."""
        holder, now = _read(lock), time.monotonic()
        if holder is None or holder != self._holder:
            self._holder, self._since = holder, now
        elif now - self._since > ABANDONED:
            _take_away(lock, holder)


def _take_away(lock: Path, holder: str) -> None:
    """Remove the file of a holder, unless it has changed hands in this moment."""
    aside = lock.with_name(f"{lock.name}-{uuid4().hex}")
    with suppress(FileNotFoundError):
        lock.rename(aside)
        if _read(aside) != holder:
            # Another waiter was quicker, and the lock is a new one: its holder gets it back.
            with suppress(FileExistsError):
                os.link(aside, lock)
        aside.unlink()


def _give_back(lock: Path, signature: str) -> None:
    """Remove our file; it is another's when we were taken for dead."""
    if _read(lock) == signature:
        lock.unlink(missing_ok=True)


def _read(lock: Path) -> str | None:
    """Who holds a lock, as far as it can be told; opened anew, so that NFS asks the server."""
    try:
        return lock.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _signature() -> str:
    """Who and when, for messages; no two are equal."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now} ({uuid4().hex[:12]})"
