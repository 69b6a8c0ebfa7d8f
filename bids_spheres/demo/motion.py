"""How a simulated participant moves, and the measures of it that fMRIPrep reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HEAD_RADIUS = 50.0  # Power et al. (2012), mm
FSL_RADIUS = 80.0  # FSL's rmsdiff, mm
AXES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@dataclass(frozen=True)
class Restlessness:
    """How much somebody moves, mm."""

    drift: float  # sinking of the head in a run
    tremor: float  # standard deviation from volume to volume
    jumps: int  # number of abrupt movements
    jump: float  # standard deviation of one along each axis


def realignment(restlessness: Restlessness, volumes: int, rng: np.random.Generator) -> Floats:
    """Draw parameters of drift, tremor and jumps, (T, 6) in mm and rad, to six decimals."""
    time = np.linspace(0, 1, volumes)[:, None]
    slope, sway, phase = rng.uniform(-1, 1, (3, 6))
    wander = slope * time + 0.3 * sway * np.sin(2 * np.pi * (time + phase))
    millimetres = restlessness.drift * wander
    millimetres += restlessness.tremor * rng.standard_normal((volumes, 6))
    jumps = np.zeros_like(millimetres)
    for onset in np.sort(rng.choice(np.arange(6, volumes - 4), restlessness.jumps, replace=False)):
        step = rng.normal(0, restlessness.jump, 6)
        jumps[onset:] += step
        # People move part of the way back a moment later.
        jumps[onset + rng.integers(1, 4) :] -= 0.7 * step
    millimetres += jumps
    millimetres -= millimetres[volumes // 2]  # realigned to a volume in the middle
    millimetres[:, 3:] /= HEAD_RADIUS
    return np.asarray(millimetres.round(6))


def backward_difference(columns: Floats) -> Floats:
    """The change since the volume before, along the first axis; NaN where there is none."""
    return np.diff(columns, axis=0, prepend=np.full_like(columns[:1], np.nan))


def twenty_four(parameters: Floats) -> Floats:
    """The 24 motion parameters, (T, 24): six, their differences, and the squares of both.

    In mm and mm^2, rotations as the arc at 50 mm; 0 where there is no volume before.
    """
    arcs = parameters * ([1.0] * 3 + [HEAD_RADIUS] * 3)
    twelve = np.hstack([arcs, np.nan_to_num(backward_difference(arcs))])
    return np.hstack([twelve, twelve**2])


def framewise_displacement(parameters: Floats) -> Floats:
    """Power's framewise displacement, (T,) in mm, of parameters, (T, 6); NaN in the first volume.

    The sum of their absolute backward differences, rotations as the arc at 50 mm (Power et al.
    2012, https://doi.org/10.1016/j.neuroimage.2011.10.018).

    >>> framewise_displacement(np.array([[0.0] * 6, [0.1, 0, 0, 0, -0.002, 0]])).round(3)
    array([nan, 0.2])
    """
    change = np.abs(backward_difference(parameters))
    return np.asarray(change[:, :3].sum(axis=1) + HEAD_RADIUS * change[:, 3:].sum(axis=1))


def relative_rms(parameters: Floats) -> Floats:
    """Root mean square displacement of a sphere of 80 mm since the volume before, (T,) in mm.

    Jenkinson's formula (FMRIB technical report TR99MJ1), as FSL's ``rmsdiff`` has it.
    """
    rotation = Rotation.from_euler("xyz", parameters[:, 3:]).as_matrix()
    turn = rotation[1:] @ rotation[:-1].transpose(0, 2, 1)
    shift = parameters[1:, :3] - np.einsum("tij,tj->ti", turn, parameters[:-1, :3])
    square = FSL_RADIUS**2 / 5 * ((turn - np.eye(3)) ** 2).sum(axis=(1, 2)) + (shift**2).sum(axis=1)
    return np.concatenate([[np.nan], np.sqrt(square)])
