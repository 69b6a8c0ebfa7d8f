"""Types of arrays and of arguments, for hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]

RealArray: TypeAlias = NDArray[Any]
"""Of whichever real type an image stores or a user has."""

DType: TypeAlias = np.dtype[Any]

CleanArguments: TypeAlias = Mapping[str, Any]
"""Arguments of `bids_spheres.engine.clean.clean` by name."""
