"""Seed coordinates brought into the space of an image.

`place_seeds` finds the way and goes it: out of Talairach coordinates (`talairach`), between
templates by TemplateFlow's transforms (`templates`), and between templates, anatomical image and
BOLD grid by fMRIPrep's (`fmriprep`). `itk` takes points through the files of either.
"""

from bids_spheres.spaces.fmriprep import find_transforms, transform_files
from bids_spheres.spaces.itk import chain_points, map_points
from bids_spheres.spaces.placement import RunTransforms, SeedsInSpace, place_seeds, route
from bids_spheres.spaces.talairach import talairach_to_mni
from bids_spheres.spaces.templates import template_home, template_mask, template_transform

__all__ = [
    "RunTransforms",
    "SeedsInSpace",
    "chain_points",
    "find_transforms",
    "map_points",
    "place_seeds",
    "route",
    "talairach_to_mni",
    "template_home",
    "template_mask",
    "template_transform",
    "transform_files",
]
