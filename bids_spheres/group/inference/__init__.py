"""Inference for edges and voxels: arrays in, arrays out.

Rows are participants (or their sessions), columns are edges or voxels, NaN is missing. Nothing here
knows files, tables or names, and numpy and scipy are all that is imported.

Design
------
`linear_model` estimates contrasts of a linear model for each column, also with errors that are
clustered, or known. `permutations` draws sign flips and permutations within exchangeability blocks,
and `freedman_lane` runs them through all contrasts. What it corrects with is an `Enhancement`: a
function from one map of statistics to one or more maps of the same or of fewer units, whose largest
value makes the null distribution. `enhancements` has those for edges (`MaxT`, `Nbs`, `Tfnbs`,
`Cnbs`) and for voxels (`MaxT`, `Tfce`, `ClusterExtent`). `reliability` and `combat` stand on their
own.

Examples
--------
>>> import numpy as np
>>> from bids_spheres.group import inference
>>> rng = np.random.default_rng(0)
>>> age, z = rng.standard_normal(30), rng.standard_normal((30, 3))
>>> z[:, 0] += 2 * age
>>> design = np.column_stack([np.ones(30), age])
>>> contrast = inference.Contrast("age", np.array([[0.0, 1.0]]))
>>> bool(inference.estimate(z, design, contrast).p[0] < 0.001)
True
>>> [test] = inference.permutation_test(
...     z, design, [contrast], {"maxt": inference.MaxT()}, n_permutations=499
... )
>>> float(test.corrections["maxt"].p_fwe[0, 0]), test.smallest_p
(0.002, 0.002)
"""

from bids_spheres.group.inference.combat import Combat, fit_combat
from bids_spheres.group.inference.enhancements import (
    Cluster,
    ClusterExtent,
    Cnbs,
    Component,
    MaxT,
    Nbs,
    Tfce,
    Tfnbs,
    clusters,
    components,
    root_f_threshold,
)
from bids_spheres.group.inference.freedman_lane import (
    Correction,
    Enhancement,
    PermutationTest,
    permutation_test,
)
from bids_spheres.group.inference.linear_model import (
    Contrast,
    Estimates,
    RandomEffects,
    Tail,
    estimate,
    estimates,
    paired_contrast,
    random_effects,
    robust_estimate,
)
from bids_spheres.group.inference.permutations import Arrangements, Exchangeability, arrange
from bids_spheres.group.inference.reliability import (
    Reliability,
    discriminability,
    identification_rate,
    intraclass_correlation,
)

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
    "estimates",
    "fit_combat",
    "identification_rate",
    "intraclass_correlation",
    "paired_contrast",
    "permutation_test",
    "random_effects",
    "robust_estimate",
    "root_f_threshold",
]
