"""Shut down cleanly on SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType


def ended_by_sigterm() -> AbstractContextManager[None]:
    """Let SIGTERM, which clusters send when time is up, end the block like an error.

    So workers are stopped and temporary files removed. The exit status is 143, as a shell's for the
    signal. Outside the main thread, where signals can't be handled, nothing changes.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        # Sent to the process group and to its leader, a second one must not stop the cleaning up.
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    return _handled(end, signal.SIGTERM)


def ended_at_once() -> AbstractContextManager[None]:
    """Let SIGTERM and SIGINT end the process with one line, while libraries are imported.

    Python drops what a handler raises during a callback of its import locks, and some libraries
    turn it into another error.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        how = "Ended by SIGTERM" if number == signal.SIGTERM else "interrupted"
        if sys.stderr is not None:
            os.write(2, f"bids-spheres: {how}. Nothing was begun.\n".encode())
        os._exit(128 + number)

    # Shells make processes in the background ignore interrupts.
    both = (signal.SIGTERM, signal.SIGINT)
    return _handled(end, *(n for n in both if signal.getsignal(n) != signal.SIG_IGN))


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *signals: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier or signal.SIG_DFL)
