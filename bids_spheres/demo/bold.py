"""From signals, a head and its movements to a 4-D image.

A voxel's intensity is its baseline times one plus percent signal change. The change is the seed's
signal, where there is one, plus noise, plus a sum of artefacts, each of them a field in space times
a course in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.demo.head import smooth_fields
from bids_spheres.demo.motion import framewise_displacement, twenty_four

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.demo.head import Head
    from bids_spheres.demo.motion import Floats

# Standard deviations in percent of the baseline.
SIGNAL, NOISE, DRIFT, PHYSIOLOGY = 1.0, 0.8, 0.5, 0.5
# Percent per mm (the parameters, their differences) and per mm^2 (the squares of both).
MOTION = np.repeat([0.9, 0.9, 0.6, 0.6], 6)
SPIKE = 1.5  # percent per mm of framewise displacement
SPIKE_THRESHOLD = 0.3  # mm
# Longitudinal magnetization before it reaches its steady state, relative to that.
EXCESS = (0.16, 0.06)
# Intensity of one step of the stored integers: one percent of grey matter. That keeps the files
# small, and the noise is large enough to carry what is finer.
STEP = 8


@dataclass(frozen=True, eq=False)
class Artefacts:
    """A sum of fields in space, (V, K), times courses in time, (K, T): percent signal change."""

    fields: Floats
    courses: Floats

    def __add__(self, other: Artefacts) -> Artefacts:
        fields = np.hstack([self.fields, other.fields])
        return Artefacts(fields, np.vstack([self.courses, other.courses]))


def motion_fields(head: Head, rng: np.random.Generator) -> Floats:
    """Draw how voxels respond to the 24 motion parameters, (V, 24), percent per mm or mm^2.

    Smooth over 25 mm, plus what the whole head shares.
    """
    shared = rng.standard_normal(len(MOTION))
    return MOTION * (0.6 * shared + 0.8 * smooth_fields(head, len(MOTION), 25.0, rng))


def motion_artefacts(
    head: Head, weights: Floats, parameters: Floats, rng: np.random.Generator
) -> Artefacts:
    """A linear function of 24 parameters by `motion_fields`, and spikes.

    A spike, its size proportional to framewise displacement, has a field of its own that is smooth
    over 15 mm: neighbours share it, distant voxels don't. `parameters` are (T, 6) in mm and rad.
    """
    displacement = np.nan_to_num(framewise_displacement(parameters))
    spikes = np.flatnonzero(displacement > SPIKE_THRESHOLD)
    courses = np.zeros((len(spikes), len(displacement)))
    courses[np.arange(len(spikes)), spikes] = SPIKE * displacement[spikes]
    fields = smooth_fields(head, len(spikes), 15.0, rng)
    return Artefacts(weights, twenty_four(parameters).T) + Artefacts(fields, courses)


def drift_artefacts(head: Head, volumes: int, rng: np.random.Generator) -> Artefacts:
    """Slow drift of the scanner: a line and half a wave, in different places."""
    time = np.linspace(-1, 1, volumes)
    courses = DRIFT * np.vstack([time, np.cos(np.pi * time)])
    return Artefacts(smooth_fields(head, len(courses), 30.0, rng), courses)


def physiological_artefacts(head: Head, volumes: int, rng: np.random.Generator) -> Artefacts:
    """Noise of heart and breath, strong in CSF and in white matter, and in patches elsewhere."""
    fields = 0.5 * smooth_fields(head, 2, 20.0, rng)
    fields[head.csf[head.voxels], 0] = 3.0
    fields[head.white_matter[head.voxels], 1] = 1.5
    return Artefacts(fields, PHYSIOLOGY * rng.standard_normal((2, volumes)))


def image_of(
    head: Head, signals: Floats, artefacts: Artefacts, non_steady: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Sum of signals, (S, T) of variance 1, noise and artefacts: (I, J, K, T), in units of `STEP`.

    The first `non_steady` volumes, at most 2, are brighter.
    """
    change = artefacts.fields @ artefacts.courses
    change += NOISE * rng.standard_normal(change.shape, dtype=np.float32)
    carries = head.seed_of >= 0
    change[carries] += SIGNAL * signals[head.seed_of[carries]]
    relative = 1 + change / 100
    relative[:, :non_steady] += EXCESS[:non_steady]
    return head.volumes(np.rint(head.baseline[:, None] * relative / STEP).astype(np.int16))
