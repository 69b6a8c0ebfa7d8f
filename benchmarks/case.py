"""The call that both maskers get, word for word."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

RADIUS = 5.0
T_R = 2.0


def masker_arguments(seeds: str, mask: str | None, fwhm: float | None) -> dict[str, Any]:
    """Arguments of a masker.

    Parameters
    ----------
    seeds : str
        Path of a table with a line of names.
    mask : str, optional
        Path of an image.
    fwhm : float, optional
        mm.
    """
    with Path(seeds).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return {
        "seeds": [tuple(map(float, row)) for row in rows],
        "radius": RADIUS,
        "mask_img": mask,
        "allow_overlap": True,
        "smoothing_fwhm": fwhm,
        "detrend": True,
        "standardize": "zscore_sample",
        "t_r": T_R,
    }
