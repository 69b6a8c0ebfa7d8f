"""Gzip streams by the fastest library there is.

Measured on runs of 97x115x97x200 (``benchmarks/gzip_libraries.py``): float32 0.62 s by zlib-ng,
0.74 s by isal, 2.1 s by zlib; int16 0.30, 0.34 and 1.1 s. So zlib-ng, and the standard library
where it is not installed.
"""

from __future__ import annotations

import gzip
import zlib
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

try:
    _GZIP: Any = import_module("zlib_ng.gzip_ng")
    _ERROR: Any = import_module("zlib_ng.zlib_ng").error
except ImportError:
    _GZIP, _ERROR = gzip, zlib.error

BROKEN_GZIP: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error, _ERROR)
"""What reading a damaged file may raise; EOFError when it ends early."""


def open_gzip(path: Path) -> IO[bytes]:
    """`path` as a stream of inflated bytes."""
    stream: IO[bytes] = _GZIP.open(path)
    return stream
