"""A design and its strategy to the arguments of `bids_spheres.engine.clean.clean`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.confounds.components import COSINE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.confounds.design import Design
    from bids_spheres.confounds.strategy import Strategy

    FloatArray = NDArray[np.float64]


def removed_regressors(design: Design, strategy: Strategy, t_r: float) -> FloatArray | None:
    """Regressors, with the cosines of a cosine filter unless fMRIPrep's are among them.

    Parameters
    ----------
    design : Design
    strategy : Strategy
    t_r : float
        Repetition time, s.

    Returns
    -------
    (T, K) array or None
        At all volumes of the run; None without any.
    """
    # scipy is slow to import, and not needed to look a strategy up.
    from bids_spheres.engine.filters import cosine_basis  # noqa: PLC0415

    chosen = strategy.filter
    parts = [design.values] if design.columns else []
    # By name: head motion often looks like a cosine, and then `clean` would take it for one.
    if chosen and chosen.type == "cosine" and not any(map(COSINE.match, design.columns)):
        parts.append(cosine_basis(len(design.kept), t_r, chosen.high_pass or 0.0))
    return np.hstack(parts) if parts else None


def temporal_steps(design: Design, strategy: Strategy, t_r: float) -> dict[str, Any]:
    """Arguments of `clean` for the censoring and the filter of a strategy."""
    kept, chosen = design.kept, strategy.filter
    steps: dict[str, Any] = {
        "sample_mask": None if kept.all() else kept,
        "interpolate": "censored",
        # A spline beyond the kept volumes leaves all bounds; the run ends where they do.
        "extrapolate": False,
        # A drift of the scanner goes on while volumes are censored.
        "trend": "time",
        "t_r": t_r,
    }
    if chosen and chosen.type == "butterworth":  # cosines are regressors
        band = {"high_pass": chosen.high_pass, "low_pass": chosen.low_pass}
        steps |= {"filter": chosen.type, "order": chosen.order, **band}
    return steps
