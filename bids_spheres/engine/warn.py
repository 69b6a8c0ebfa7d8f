"""Warnings that point at the line of the user's, however deep in the engine they arise."""

from __future__ import annotations

import inspect
import warnings

_ENGINE = __name__.rpartition(".")[0]


def warn(message: str) -> None:
    """A `UserWarning` at the first caller outside of the engine."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_ENGINE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
