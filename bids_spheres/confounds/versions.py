"""Column names of old fMRIPrep versions, and the columns that those versions did not write.

Read from the sources of fMRIPrep 1.0.0, 1.1.8, 1.2.0, 1.3.2 and 1.4.0 (``interfaces/confounds.py``,
``workflows/bold/confounds.py``) and of nipype (``algorithms/confounds.py``), which named the
columns in CamelCase until 1.2.0; 1.4.0 was the first to write derivatives and squares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.strategy import EXPANSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
"""Realignment parameters: mm, and radians."""

BASES = (*MOTION, "csf", "white_matter", "global_signal")
"""Columns of which fMRIPrep >= 1.4 writes derivatives and squares."""

_TODAYS_NAME = {
    "CSF": "csf",
    "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal",
    "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars",
    "vx-wisestdDVARS": "vx_wise_std_dvars",
    "FramewiseDisplacement": "framewise_displacement",
    "X": "trans_x",
    "Y": "trans_y",
    "Z": "trans_z",
    "RotX": "rot_x",
    "RotY": "rot_y",
    "RotZ": "rot_z",
}
_TODAYS_PREFIX = {
    "tCompCor": "t_comp_cor_",
    "aCompCor": "a_comp_cor_",
    "Cosine": "cosine",
    "NonSteadyStateOutlier": "non_steady_state_outlier",
    "AROMAAggrComp": "aroma_motion_",
}
_NUMBERED = re.compile(rf"^({'|'.join(_TODAYS_PREFIX)})(\d+)$")
_EXPANSION = re.compile(r"_(derivative|power)\d+$")
_COMPUTABLE = {
    base + form: (base, form) for base in BASES for form in EXPANSIONS["full"] if form != ""
}


EXPANDED_MOTION = tuple(name for name, (base, _) in _COMPUTABLE.items() if base in MOTION)
"""Derivatives and squares of realignment parameters."""


def todays_name(name: str) -> str:
    """Name of a column in fMRIPrep since 1.2.

    Examples
    --------
    >>> [todays_name(name) for name in ("RotX", "aCompCor05", "AROMAAggrComp11", "csf")]
    ['rot_x', 'a_comp_cor_05', 'aroma_motion_11', 'csf']
    """
    if match := _NUMBERED.match(name):
        return f"{_TODAYS_PREFIX[match[1]]}{int(match[2]):02d}"
    return _TODAYS_NAME.get(name, name)


def renamings(names: Iterable[str]) -> dict[str, str]:
    """Old names to today's, where no other column has today's name already."""
    names = list(names)
    new = {name: todays_name(name) for name in names}
    return {old: name for old, name in new.items() if old != name and name not in names}


def computable(names: Iterable[str]) -> tuple[str, ...]:
    """Derivatives and squares that the version lacks and that can be computed.

    Nothing when the table holds any: fMRIPrep writes all or none, so that a missing one was removed
    from the table, and its absence is an error. Nothing either when realignment parameters, which
    every version writes, are missing: the table is no longer as fMRIPrep wrote it.
    """
    names = {name for name in names if "." not in name}  # not of the user's own tables
    if not names.issuperset(MOTION) or any(_EXPANSION.search(name) for name in names):
        return ()
    return tuple(name for name, (base, _) in _COMPUTABLE.items() if base in names)


def base_of(name: str) -> str:
    """Column from which a computable one is made.

    >>> base_of("rot_x_derivative1_power2")
    'rot_x'
    """
    return _COMPUTABLE[name][0]


def expand(name: str, base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute a derivative or square as fMRIPrep defines it.

    A derivative is the backward difference, undefined (NaN) at the first volume; a square is
    taken of the column or of its derivative (``niworkflows.interfaces.confounds``; Satterthwaite
    et al. 2013, doi:10.1016/j.neuroimage.2012.08.052). `base` is the (T,) column of `base_of`.

    Examples
    --------
    >>> expand("rot_x_derivative1_power2", np.array([1.0, 3.0, 0.0])).tolist()
    [nan, 4.0, 9.0]
    """
    form = _COMPUTABLE[name][1]
    values = np.diff(base, prepend=np.nan) if "_derivative1" in form else base
    return values**2 if form.endswith("_power2") else values
