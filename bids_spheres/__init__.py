"""From fMRIPrep's output to time series and connectivity of spheres around seeds.

Public names are loaded when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bids_spheres.engine.clean import clean
    from bids_spheres.engine.seeds import load_seeds
    from bids_spheres.engine.variance import high_variance_confounds
    from bids_spheres.masker.estimator import NiftiSpheresMasker
    from bids_spheres.outputs.results import open_results, pybids_config

__version__ = "0.2.0"

__all__ = [
    "NiftiSpheresMasker",
    "__version__",
    "clean",
    "high_variance_confounds",
    "load_seeds",
    "open_results",
    "pybids_config",
]

_HOME = {
    "NiftiSpheresMasker": "bids_spheres.masker.estimator",
    "clean": "bids_spheres.engine.clean",
    "high_variance_confounds": "bids_spheres.engine.variance",
    "load_seeds": "bids_spheres.engine.seeds",
    "open_results": "bids_spheres.outputs.results",
    "pybids_config": "bids_spheres.outputs.results",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
