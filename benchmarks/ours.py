"""Our masker, measured."""

from __future__ import annotations

import cProfile
import pstats
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from case import masker_arguments
from measure import Meter

from bids_spheres import NiftiSpheresMasker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_GEOMETRY = {("engine", "spheres.py"), ("engine", "smoothing.py")}
"""Modules that build what depends on seeds and grid alone."""


def extract(*, image: str, out: str, again: bool = True, **case: Any) -> dict[str, Any]:
    """Extract and clean, twice if asked; each time with a masker of its own.

    Parameters
    ----------
    image : str
    out : str
        Where the series are kept for comparison.
    again : bool
    **case
        As `masker_arguments` takes it.
    """
    call = _call(image, case)
    with Meter() as first:
        series = call()
    np.save(out, series)
    with Meter() as second:
        if again:
            call()
    return {
        "first": first.numbers(),
        "second": second.numbers(),
        "output_bytes": series.nbytes,
    }


def geometry(*, image: str, **case: Any) -> tuple[float, float]:
    """Seconds that the first and the second of two runs spend on geometry."""
    call = _call(image, case)
    return _seconds_of_geometry(call), _seconds_of_geometry(call)


def _call(image: str, case: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    arguments = masker_arguments(**case)
    warnings.simplefilter("ignore")
    return lambda: NiftiSpheresMasker(**arguments).fit_transform(image)


def _seconds_of_geometry(call: Callable[[], object]) -> float:
    """Time from entering the modules of geometry to leaving them."""
    profile = cProfile.Profile()
    profile.runcall(call)
    functions: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    inside = {key for key in functions if Path(key[0]).parts[-2:] in _GEOMETRY}
    return sum(
        cumulative
        for key in inside
        for caller, (_, _, _, cumulative) in functions[key][4].items()
        if caller not in inside
    )
