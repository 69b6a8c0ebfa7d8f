"""nilearn's face of the engine."""

from bids_spheres.masker.estimator import NiftiSpheresMasker

__all__ = ["NiftiSpheresMasker"]
