"""Limits on the memory of this process, read before numpy is loaded.

OpenBLAS reserves some 40 MB of addresses for each of its threads when numpy is loaded, and where
it gets none, it ends the process, hangs, or prints advice of its own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from bids_spheres.errors import TemporaryError, address_space

_MEGABYTE = 10**6
_LEAST_ADDRESSES = 800 * _MEGABYTE  # for one thread of OpenBLAS; tiny runs and pages fail at 670
_LEAST_MEMORY = 300 * _MEGABYTE  # for one process, a tiny dataset and its page; measured: 225
_AMPLE = 4000 * _MEGABYTE  # from this limit on OpenBLAS gets as many threads as it likes

_SPARING = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # glibc else reserves 64 MB for every thread
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # mimalloc else reserves 1 GB for pyarrow, where it fits
}
_M_ARENA_MAX = -8  # of glibc's malloc.h; this process has read its environment already


def group_memory(root: Path = Path("/sys/fs/cgroup"), own: Path | None = None) -> int | None:
    """Bytes that this process and others may have together by cgroups, if limited.

    Linux shows the limits in `root`, and the groups of this process in the file `own`.
    """
    limits, groups = [], ""
    with suppress(OSError):
        groups = (own or Path("/proc/self/cgroup")).read_text()
    for line in groups.splitlines():
        _, controllers, group = line.split(":", 2)
        version_1 = "memory" in controllers.split(",")
        name = "memory.limit_in_bytes" if version_1 else "memory.max"
        folder = root / "memory" if version_1 else root
        path = folder / group.lstrip("/")
        # In a container the path may be that of the host: then only the root is there.
        for place in (each for each in (path, *path.parents) if each.is_relative_to(folder)):
            with suppress(OSError, ValueError):
                limits.append(int((place / name).read_text()))
    # Version 1 writes a number of 19 digits for no limit.
    return min((limit for limit in limits if limit < 2**60), default=None)


def prepare_for_limits() -> None:
    """Bound OpenBLAS's threads where memory is limited, before numpy loads; refuse too little."""
    addresses, group = address_space(), group_memory()
    for limit, least, name in (
        (addresses, _LEAST_ADDRESSES, "the address space of a process is limited (ulimit -v)"),
        (group, _LEAST_MEMORY, "the memory of this job or container is limited (cgroup)"),
    ):
        if limit is not None and limit < least:
            raise TemporaryError(
                f"Too little memory: {name} to {limit // _MEGABYTE} MB, and at least "
                f"{least // _MEGABYTE} MB are needed.",
                hint="Raise the limit, or ask for more memory.",
            )
    if min(addresses or _AMPLE, group or _AMPLE) < _AMPLE:
        os.environ.update(_SPARING)
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def own_memory() -> int:
    """Bytes that this process has taken so far at its peak."""
    # What getrusage tells counts the process from which this one was started as well.
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
