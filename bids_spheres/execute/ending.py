"""The end by a signal, as an orderly one."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which clusters announce the end of time, end the block like an error.

    Workers are stopped and temporary files removed by that. The exit status is a shell's for the
    signal, 143. Where signals can't be handled, outside the main thread, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    # Whoever sends it to a whole process group and to its leader must not disturb the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
