"""Components that tedana rejected, as regressors.

tedana (DuPre et al. 2021, doi:10.21105/joss.03669) writes time courses of all components in
``desc-ICA_mixing.tsv`` and their classification in ``desc-tedana_metrics.tsv``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.tables import numbers, read_confounds
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray


def read_tedana(mixing: Path, metrics: Path) -> pd.DataFrame:
    """Read tedana's two tables; see `tedana_regressors`."""
    return tedana_regressors(read_confounds(mixing), read_confounds(metrics), mixing)


def tedana_regressors(mixing: pd.DataFrame, metrics: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Name components by their classification.

    Parameters
    ----------
    mixing : DataFrame
        A row per volume, a column per component; `where` is its file.
    metrics : DataFrame
        A row per component, with columns ``Component`` and ``classification``.

    Returns
    -------
    DataFrame
        Columns ``rejected_ICA_XX`` and ``accepted_ICA_XX`` as nilearn names them, and
        ``rejected_orth_ICA_XX``: the rejected ones without what the accepted ones explain of them.
        A table for the argument `extra` of `make_design`.

    Raises
    ------
    DataError
        When they don't belong together.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    for column in ("Component", "classification"):
        if column not in metrics.columns:
            raise DataError(f"The metrics table that goes with {where} has no column {column}.")
    components = map(_without_padding, metrics["Component"].astype(str))
    kinds = dict(zip(components, metrics["classification"].astype(str), strict=True))
    series: dict[str, dict[str, NDArray[np.float64]]] = {
        kind: {
            name: numbers(mixing, name, where)
            for name in mixing.columns
            if kinds.get(_without_padding(name)) == kind
        }
        for kind in ("rejected", "accepted")
    }
    if not any(series.values()):
        raise DataError(
            f"{where} has no component that the metrics table calls accepted or rejected.",
            hint="The tables must come from one run of tedana (desc-ICA_mixing.tsv and "
            "desc-tedana_metrics.tsv).",
        )
    basis = np.column_stack([np.ones(len(mixing)), *series["accepted"].values()])
    series["rejected_orth"] = {
        name: values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
        for name, values in series["rejected"].items()
    }
    return pd.DataFrame(
        {f"{kind}_{name}": values for kind, of in series.items() for name, values in of.items()}
    )


def _without_padding(name: str) -> str:
    """Name of a component without leading zeros, in which tedana's two tables can differ."""
    return re.sub(r"_0*(\d+)$", r"_\1", name)
