"""A small simulated dataset in fMRIPrep's layout whose connectivity is known.

``networks`` says what is true, ``head`` where it is, ``motion`` how the participant moves, ``bold``
turns these into an image, ``regressors`` reads the confounds off that image as fMRIPrep would, and
``dataset`` puts everything on the disk. Every number comes from one fixed seed.
"""

from __future__ import annotations

from bids_spheres.demo.dataset import SPACE, check_demo_dir, write_demo_dataset, write_own_seeds
from bids_spheres.demo.networks import DemoTruth, write_truth

__all__ = [
    "SPACE",
    "DemoTruth",
    "check_demo_dir",
    "write_demo_dataset",
    "write_own_seeds",
    "write_truth",
]
