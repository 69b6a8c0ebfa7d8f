"""A profile of the command's own work, without its imports."""

from __future__ import annotations

import cProfile
import pkgutil
import pstats
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import bids_spheres
from bids_spheres.app.main import main

_LATE = ("bids.layout", "joblib", "threadpoolctl", "pandas.io.formats.csvs")
"""What functions import when they are called."""


def profile(*, arguments: list[str], top: int) -> dict[str, list[tuple[str, str, str, str]]]:
    """Run the command in this process and tell where its main thread was.

    Returns
    -------
    dict of str to list
        ``"own"``: the functions that took most time themselves; ``"ours"``: the functions of
        this package that took most time with all they call. Each row holds a name, the number
        of calls, own and whole time, s.
    """
    _import_all()
    measured = cProfile.Profile()
    measured.runcall(main, arguments)
    functions: dict[Any, Any] = pstats.Stats(measured).stats  # type: ignore[attr-defined]
    package = str(Path(bids_spheres.__file__).parent)
    ours = {key: value for key, value in functions.items() if key[0].startswith(package)}
    return {
        "own": [_row(*item) for item in _largest(functions, 2)[:top]],
        "ours": [_row(*item) for item in _largest(ours, 3)[:top]],
    }


def _largest(functions: dict[Any, Any], column: int) -> list[tuple[Any, Any]]:
    return sorted(functions.items(), key=lambda item: item[1][column], reverse=True)


def _row(
    function: tuple[str, int, str], numbers: tuple[int, int, float, float, Any]
) -> tuple[str, str, str, str]:
    file, line, name = function
    _, calls, own, whole, _ = numbers
    place = "" if file == "~" else f"{Path(file).name}:{line} "
    return f"{place}{name}", str(calls), f"{own:.3f}", f"{whole:.3f}"


def _import_all() -> None:
    """Import the package's modules and what they need, so that none of that counts."""
    modules = pkgutil.walk_packages(bids_spheres.__path__, "bids_spheres.")
    for name in (*_LATE, *(module.name for module in modules)):
        if not name.endswith("__main__"):
            with suppress(ImportError):
                import_module(name)
