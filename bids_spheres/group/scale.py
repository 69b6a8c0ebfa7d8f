"""On which scale a measure is averaged and tested.

The variance of a correlation depends on its size, so that correlations are averaged as Fisher's
z = arctanh(r) and brought back by tanh (Silver & Dunlap 1987, doi:10.1037/0021-9010.72.1.146).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.connectivity import fisher_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

CORRELATIONS = frozenset(
    {"pearsoncorrelation", "partialcorrelation", "ledoitwolfcorrelation", "spearmancorrelation"}
)
"""Labels of ``stat`` of measures between -1 and 1."""

FISHER_Z = "fisherz"
PRECISION = "precision"

_BEYOND = 1e-6
"""How far rounding may take a correlation beyond 1."""

NO_CONNECTIVITY = frozenset({"effectivedof"})
"""Labels of ``stat`` of matrices that say something about pairs, but not how related they are."""


@dataclass(frozen=True)
class Scale:
    """How values of a measure are averaged.

    Parameters
    ----------
    stat : str
        Label of the entity ``stat``.
    """

    stat: str

    @property
    def transformed(self) -> bool:
        """Whether Fisher's transform is taken."""
        return self.stat in CORRELATIONS

    @property
    def tested(self) -> bool:
        """Whether 0 is what unrelated series have on average, so that a mean is tested."""
        return self.transformed or self.stat == FISHER_Z

    @property
    def connectivity(self) -> bool:
        """Whether it says how related two series are."""
        return self.stat not in NO_CONNECTIVITY

    @property
    def sign(self) -> int:
        """-1 where the measure is the more negative the more alike two series are.

        An entry of the precision matrix is a partial correlation times a negative number.
        """
        return -1 if self.stat == PRECISION else 1

    def possible(self, values: FloatArray) -> bool:
        """Whether the measure can have these values, NaN apart."""
        return not self.transformed or not bool((np.abs(values) > 1 + _BEYOND).any())

    @property
    def name(self) -> str:
        """For people."""
        return "Fisher z" if self.tested else "as the measure"

    def forth(self, values: FloatArray) -> FloatArray:
        """From the measure to what is averaged."""
        return fisher_transform(values) if self.transformed else values

    def back(self, values: FloatArray) -> FloatArray:
        """From averages to the measure."""
        return np.tanh(values) if self.transformed else values
