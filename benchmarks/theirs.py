"""nilearn's masker, measured."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from case import masker_arguments
from measure import Meter
from nilearn.maskers import NiftiSpheresMasker


def extract(*, image: str, ours: str, **case: Any) -> dict[str, float]:
    """Extract and clean.

    Parameters
    ----------
    image : str
    ours : str
        Series to compare with; the result holds the largest absolute difference.
    **case
        As `masker_arguments` takes it.
    """
    arguments = masker_arguments(**case)
    warnings.simplefilter("ignore")
    with Meter() as meter:
        series = NiftiSpheresMasker(**arguments).fit_transform(image)
    return {**meter.numbers(), "difference": float(np.abs(series - np.load(ours)).max())}
