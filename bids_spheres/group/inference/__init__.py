"""Inference for edges and voxels: arrays in, arrays out.

Rows are participants (or their sessions), columns are edges or voxels, NaN is missing. Nothing here
knows files, tables or names, and numpy and scipy are all that is imported.

Design
------
`linear_model` estimates contrasts of a linear model for each column, `robust` does so with errors
that are clustered, `random_effects` with errors that are known. `permutations` draws sign flips and
permutations within exchangeability blocks, and `permutation_test` runs them through all contrasts.
What it corrects with is an `Enhancement`: a function from one map of statistics to one or more maps
of the same or of fewer units, whose largest value makes the null distribution. `networks` has those
for edges (`MaxT`, `Nbs`, `Tfnbs`, `Cnbs`), `maps` those for voxels (`Tfce`, `ClusterExtent`).
`reliability` and `combat` stand on their own.
"""

from bids_spheres.group.inference.combat import Combat, fit_combat
from bids_spheres.group.inference.linear_model import Contrast, Estimates, Tail, estimate
from bids_spheres.group.inference.maps import Cluster, ClusterExtent, Tfce, clusters
from bids_spheres.group.inference.networks import (
    Cnbs,
    Component,
    MaxT,
    Nbs,
    Tfnbs,
    components,
)
from bids_spheres.group.inference.permutation_test import (
    Correction,
    Enhancement,
    PermutationTest,
    permutation_test,
)
from bids_spheres.group.inference.permutations import Arrangements, Exchangeability, arrange
from bids_spheres.group.inference.random_effects import RandomEffects, random_effects
from bids_spheres.group.inference.reliability import (
    Reliability,
    discriminability,
    identification_rate,
    intraclass_correlation,
)
from bids_spheres.group.inference.repeated import paired_contrast, robust_estimate

__all__ = [
    "Arrangements",
    "Cluster",
    "ClusterExtent",
    "Cnbs",
    "Combat",
    "Component",
    "Contrast",
    "Correction",
    "Enhancement",
    "Estimates",
    "Exchangeability",
    "MaxT",
    "Nbs",
    "PermutationTest",
    "RandomEffects",
    "Reliability",
    "Tail",
    "Tfce",
    "Tfnbs",
    "arrange",
    "clusters",
    "components",
    "discriminability",
    "estimate",
    "fit_combat",
    "identification_rate",
    "intraclass_correlation",
    "paired_contrast",
    "permutation_test",
    "random_effects",
    "robust_estimate",
]
