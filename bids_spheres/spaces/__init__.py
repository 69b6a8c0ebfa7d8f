"""Seed coordinates brought into the space of an image.

`place_seeds` chooses the transforms and applies them: from Talairach coordinates,
between templates with TemplateFlow's files (`templates`), and between templates, anatomical image
and BOLD grid with fMRIPrep's (`fmriprep`). `itk` takes points through both kinds of files.
"""

from bids_spheres.spaces.fmriprep import find_transforms, transform_files
from bids_spheres.spaces.itk import MovedPoints, move_points
from bids_spheres.spaces.placement import (
    RunTransforms,
    SeedsInSpace,
    place_seeds,
    route,
    talairach_to_mni,
)
from bids_spheres.spaces.templates import template_home, template_mask, template_transform

__all__ = [
    "MovedPoints",
    "RunTransforms",
    "SeedsInSpace",
    "find_transforms",
    "move_points",
    "place_seeds",
    "route",
    "talairach_to_mni",
    "template_home",
    "template_mask",
    "template_transform",
    "transform_files",
]
