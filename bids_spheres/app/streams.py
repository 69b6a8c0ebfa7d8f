"""What the process prints: its standard streams, and the lines of its log."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from bids_spheres.errors import ReadWriteError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("bids_spheres")

_COLOURS = {"WARNING": 33, "ERROR": 31}  # of the first word on a terminal: yellow and red


def open_missing_streams() -> None:
    """Open the null device for closed streams: else the next file would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


class StandardOutput(io.TextIOBase):
    """Standard output whose errors say what could not be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        with self._naming_errors():
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Write what is left."""
        with self._naming_errors():
            self._stream.flush()

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            discard_output()
            raise ReadWriteError(f"Standard output can't be written: {error.strerror}.") from error


def discard_output() -> None:
    """Let what is left for standard output go nowhere when Python flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


class _Lines(logging.Formatter):
    """Lines that begin with their level, without characters that would move the cursor."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level, text = record.levelname, printable(super().format(record))
        code = _COLOURS.get(level) if self._colour else None
        return f"\x1b[{code}m{level}\x1b[0m {text}" if code else f"{level} {text}"


def configure_logging(verbosity: int) -> None:
    """Log lines to standard error, warnings of libraries too; in colour on a terminal.

    Verbosity -1 shows warnings and errors alone, and 1 details. See https://no-color.org.
    """
    handler = logging.StreamHandler(sys.stderr)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    handler.setFormatter(_Lines(colour=sys.stderr.isatty() and not plain))
    logged: set[str] = set()

    def is_logged(record: logging.LogRecord) -> bool:
        """A warning is logged the first time only."""
        is_new = record.levelno != logging.WARNING or record.getMessage() not in logged
        logged.add(record.getMessage())
        return is_new

    handler.addFilter(is_logged)
    logger.handlers[:] = [handler]
    warnings.showwarning = lambda message, *_, **__: logger.warning("%s", message)
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logger.setLevel(levels[max(-1, min(verbosity, 1)) + 1])
