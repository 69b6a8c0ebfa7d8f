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


@contextmanager
def collected(*names: str) -> Iterator[dict[str, None]]:
    """Collect warnings, and what the loggers of these names log, instead of showing them."""
    messages: dict[str, None] = {}
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.setdefault(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in names]
    before = [(log, log.handlers[:], log.propagate) for log in loggers]
    for log in loggers:
        log.handlers[:], log.propagate = [handler], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield messages
    finally:
        for log, handlers, propagate in before:
            log.handlers[:], log.propagate = handlers, propagate
        messages |= dict.fromkeys(str(warning.message) for warning in caught)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Log warnings of libraries with the name of the file, such as nibabel's about its header."""
    with collected("nibabel.global") as messages:
        yield
    for message in messages:
        logger.warning("%s: %s.", path, message.rstrip("."))
