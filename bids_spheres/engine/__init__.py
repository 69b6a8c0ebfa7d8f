"""Sphere geometry, streaming extraction, cleaning: numpy, scipy and nibabel alone.

Knows nothing of BIDS, and can be used without the rest of the package:

>>> from bids_spheres.engine import extract_spheres, load_seeds
>>> seeds = load_seeds("Raichle2011")
>>> extraction = extract_spheres("bold.nii.gz", seeds, radius=5)  # doctest: +SKIP
>>> extraction.timeseries.shape  # doctest: +SKIP
(200, 36)
"""

from bids_spheres.data.published import published_seed_sets
from bids_spheres.engine.clean import clean
from bids_spheres.engine.connectivity import pearson_correlation
from bids_spheres.engine.extract import Extraction, extract, extract_spheres
from bids_spheres.engine.seeds import SeedTable, load_seeds
from bids_spheres.engine.spheres import Grid, SphereWeights, sphere_weights, stack_weights
from bids_spheres.engine.stream import Volumes, load_mask, open_volumes

__all__ = [
    "Extraction",
    "Grid",
    "SeedTable",
    "SphereWeights",
    "Volumes",
    "clean",
    "extract",
    "extract_spheres",
    "load_mask",
    "load_seeds",
    "open_volumes",
    "pearson_correlation",
    "published_seed_sets",
    "sphere_weights",
    "stack_weights",
]
