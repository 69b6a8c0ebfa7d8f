"""Time and memory of work done in fresh processes, and tables of them.

Design
------
What a process has at its peak depends on everything it did before, so every measurement has a
process of its own: `run_fresh` starts this file, which calls one function of a module beside it
and prints what that returns as JSON. The scripts that start processes load the standard library
alone: a child begins its life with the peak of its parent in `ru_maxrss`.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import TracebackType

MB = 1e6
_TIMES = ("wall", "cpu")
_STATUS = Path("/proc/self/status")
_PACKAGES = ("numpy", "scipy", "nibabel", "nilearn", "zlib-ng", "isal", "bids-spheres")


class Meter:
    """Wall time, processor time and peak memory of a block of code in this process.

    Attributes
    ----------
    wall, cpu : float
        s; `cpu` counts user and system time of all threads.
    peak, growth : int
        Bytes: the most that was resident, and how much more that is than at the beginning.
    """

    wall = cpu = 0.0
    peak = growth = 0

    def __enter__(self) -> Self:
        gc.collect()
        _forget_peak()
        self._resident = _peak()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu
        self.peak = _peak()
        self.growth = self.peak - self._resident

    def numbers(self) -> dict[str, float]:
        """What was measured, as JSON takes it."""
        return {"wall": self.wall, "cpu": self.cpu, "peak": self.peak, "growth": self.growth}


def _forget_peak() -> None:
    """Make the kernel count the peak from what is resident now; imports may have had more."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """Largest resident size of this process, bytes."""
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def run_fresh(task: str, **arguments: Any) -> Any:
    """Call a function in a process of its own.

    Parameters
    ----------
    task : str
        ``"module:function"``, of a module in this folder.
    **arguments
        Its arguments, as JSON takes them.

    Returns
    -------
    object
        What it returned, by way of JSON.

    Raises
    ------
    SystemExit
        When it failed, with what it said.
    """
    command = [sys.executable, __file__, task, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{task} {arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def summary(measurements: Sequence[dict[str, float]]) -> dict[str, float]:
    """The least time and the most of everything else over repetitions.

    What a shared machine adds to a time is never negative; memory has no such excuse.
    """
    return {
        key: (min if key in _TIMES else max)(one[key] for one in measurements)
        for key in measurements[0]
    }


def add_data_options(parser: argparse.ArgumentParser, volumes: int | None = 200) -> None:
    """Options about test data that the scripts have in common."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="where test data are kept between calls (default: a temporary folder)",
    )
    if volumes:
        parser.add_argument(
            "--volumes", type=int, default=volumes, help=f"per image (default: {volumes})"
        )


@contextmanager
def data_folder(cache: Path | None) -> Iterator[str]:
    """The folder the user named, or one that is deleted in the end."""
    if cache is None:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    else:
        cache.mkdir(parents=True, exist_ok=True)
        yield str(cache)


def say(text: str) -> None:
    """Tell how far we are, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """What the numbers depend on, in one line."""
    load = os.getloadavg()[0]
    parts = [
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f}",
        f"Python {platform.python_version()}",
        *(f"{name} {found}" for name in _PACKAGES if (found := _version(name))),
    ]
    return ", ".join(parts)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", maxsplit=1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns: the first to the left, the others to the right.

    Examples
    --------
    >>> print(table(("case", "s"), [("a", "10.0"), ("long", "9.0")]))
    case     s
    a     10.0
    long   9.0
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(_line(cells, widths) for cells in (header, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if i else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _main(task: str, arguments: str) -> None:
    module, function = task.split(":")
    result = getattr(import_module(module), function)(**json.loads(arguments))
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
