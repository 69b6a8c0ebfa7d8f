"""Log warnings of other libraries once, with the name of the file."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger("bids_spheres")


class Collector(logging.Handler):
    """Keeps messages of warnings and errors, each once.

    Parameters
    ----------
    messages : dict
        Used as an ordered set.
    """

    def __init__(self, messages: dict[str, None]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._messages[record.getMessage()] = None


@contextmanager
def collected(*names: str) -> Iterator[dict[str, None]]:
    """Collect warnings and messages of loggers instead of showing them.

    Parameters
    ----------
    *names : str
        Of the loggers.
    """
    messages: dict[str, None] = {}
    loggers = [logging.getLogger(name) for name in names]
    before = [(log, log.handlers[:], log.propagate) for log in loggers]
    for log in loggers:
        log.handlers[:], log.propagate = [Collector(messages)], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield messages
    finally:
        for log, handlers, propagate in before:
            log.handlers[:], log.propagate = handlers, propagate
        messages |= dict.fromkeys(str(warning.message) for warning in caught)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Log warnings of libraries about a file, such as nibabel's about its header, with its name."""
    with collected("nibabel.global") as messages:
        yield
    for message in messages:
        logger.warning("%s: %s.", path, message.rstrip("."))
