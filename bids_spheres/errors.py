"""One family of exceptions.

Each class has the exit status that the BIDS execution specification (and ``sysexits.h``, on which
it builds) gives to its kind of failure, and is a subclass of the built-in that fits, too. A message
says *what* is wrong and *where*; the hint says *what to do*.
"""

from __future__ import annotations

import errno
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SOME_FAILED = 1
FAULT = 70  # a fault of the program: EX_SOFTWARE of sysexits.h
READ_WRITE_FAILED = 74
INTERRUPTED = 130
TERMINATED = 143

EXIT_STATUSES = {
    SOME_FAILED: "some runs failed, the others are written",
    2: "usage",
    16: "not the BIDS dataset needed",
    17: "unknown analysis level",
    18: "the filters leave no run",
    65: "unusable data",
    66: "input missing",
    FAULT: "a fault of the program",
    73: "output can't be created",
    READ_WRITE_FAILED: "read or write error",
    75: "try again",
    INTERRUPTED: "interrupted, what was finished is written",
    TERMINATED: "ended by SIGTERM, what was finished is written",
}
"""Every status with which the command can end, but 0, and what it means."""

MORE_MEMORY = "Call again with a smaller --nprocs, or on a machine with more memory."  # a hint


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Beginning of a hint that names the nearest of the known names; empty when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}? " if close else ""


def printable(text: str) -> str:
    r"""Text that can go to a terminal, whatever names of files and columns it holds.

    Control characters, which may move the cursor, and bytes of file names that are no text are
    shown by their numbers; newlines stay.

    Examples
    --------
    >>> printable("sub-\x1b[2J")
    'sub-\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def address_space() -> int | None:
    """Bytes of addresses that each process may have (``ulimit -v``); None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that memory was too short."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        # Libraries that can't be mapped, and threads that can't be started.
        if address_space() is not None and (
            isinstance(error, ImportError | SystemError) or "start new thread" in str(error)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


class BidsSpheresError(Exception):
    """Anything that a user can put right.

    Parameters
    ----------
    message : str
        What is wrong, and in which file, column or option.
    hint : str, optional
        What to do about it.
    """

    exit_status = 1

    def __init_subclass__(cls, exit_status: int | None = None) -> None:
        cls.exit_status = exit_status or cls.exit_status

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message}\n  hint: {self.hint}" if self.hint else self.message
        return printable(text)


class UsageError(BidsSpheresError, ValueError, exit_status=2):
    """The command line or the arguments of a call make no sense."""


class InvalidDatasetError(BidsSpheresError, ValueError, exit_status=16):
    """The input is not the BIDS dataset that the job needs."""


class UnknownLevelError(BidsSpheresError, ValueError, exit_status=17):
    """The analysis level is unknown."""


class NothingSelectedError(BidsSpheresError, LookupError, exit_status=18):
    """The dataset is fine, but the filters leave no run."""


class DataError(BidsSpheresError, ValueError, exit_status=65):
    """A file was read, and what it holds can't be used."""


class MissingInputError(BidsSpheresError, FileNotFoundError, ValueError, exit_status=66):
    """A file that the job needs is missing; also a ValueError, as nilearn raises."""


class OutputError(BidsSpheresError, OSError, exit_status=73):
    """An output can't be created."""


class ReadWriteError(BidsSpheresError, OSError, exit_status=74):
    """The operating system failed to read or write a file."""


class TemporaryError(BidsSpheresError, RuntimeError, exit_status=75):
    """The same call may succeed later."""


def describe_error(error: BaseException) -> tuple[str, int]:
    """Message and exit status of any error."""
    if isinstance(error, BidsSpheresError):
        return str(error), error.exit_status
    if is_out_of_memory(error):
        return f"Out of memory.\n  hint: {MORE_MEMORY}", TemporaryError.exit_status
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return printable(f"{where}{error.strerror or error}."), READ_WRITE_FAILED
    fault = printable(f"unexpected {type(error).__name__}: {error}")
    hint = "That is a fault of this program or of a library; please report what --debug shows."
    return f"{fault}\n  hint: {hint}", FAULT
