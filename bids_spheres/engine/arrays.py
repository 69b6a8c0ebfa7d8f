"""Types of arrays and of arguments, and results of functions of arrays kept for the next call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from hashlib import blake2b
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]

RealArray: TypeAlias = NDArray[Any]  # of whichever real type an image stores or a user has

DType: TypeAlias = np.dtype[Any]

CleanArguments: TypeAlias = Mapping[str, Any]
"""Arguments of `bids_spheres.engine.clean.clean` by name."""

P = ParamSpec("P")
R = TypeVar("R")


def memoized(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the last `maxsize` results of a function, shared and so not to be changed."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        kept: OrderedDict[bytes, R] = OrderedDict()

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            key = _digest([*args, *sorted(kwargs.items())])
            result = kept[key] if key in kept else function(*args, **kwargs)
            kept[key] = result
            kept.move_to_end(key)
            while len(kept) > maxsize:
                kept.popitem(last=False)
            return result

        return call

    return decorate


def _digest(value: object) -> bytes:
    """Fingerprint of a value; equal values have equal ones."""
    if isinstance(value, np.ndarray):
        state = blake2b(f"{value.dtype}{value.shape}".encode(), digest_size=16)
        # A view, not a copy: masks are as large as images.
        contiguous = np.ascontiguousarray(value)
        state.update(memoryview(contiguous.reshape(-1).view(np.uint8)))  # type: ignore[arg-type]
        return state.digest()
    if is_dataclass(value) and not isinstance(value, type):
        return _digest([getattr(value, field.name) for field in fields(value)])
    if isinstance(value, list | tuple):
        return blake2b(b"".join(map(_digest, value)), digest_size=16).digest()
    return blake2b(f"{type(value).__name__} {value!r}".encode(), digest_size=16).digest()
