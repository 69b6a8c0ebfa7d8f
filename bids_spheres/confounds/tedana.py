"""Components that tedana rejected, as regressors.

tedana (DuPre et al. 2021, doi:10.21105/joss.03669) writes time courses of all components in
``desc-ICA_mixing.tsv`` and what it made of them in ``desc-tedana_metrics.tsv``.
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

_CLASSES = ("rejected", "accepted")


def read_tedana(mixing: Path, metrics: Path) -> pd.DataFrame:
    """Read tedana's two tables; see `tedana_regressors`.

    Raises
    ------
    DataError
        When one can't be read, or they don't belong together.
    """
    return tedana_regressors(read_confounds(mixing), read_confounds(metrics), mixing)


def tedana_regressors(mixing: pd.DataFrame, metrics: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Name components by what tedana made of them.

    Parameters
    ----------
    mixing : DataFrame
        A row per volume, a column per component.
    metrics : DataFrame
        A row per component, with columns ``Component`` and ``classification``.
    where : Path
        For messages.

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

    kinds = _classification(metrics, where)
    columns: dict[str, NDArray[np.float64]] = {}
    for kind in _CLASSES:
        for name in mixing.columns:
            if kinds.get(_plain(name)) == kind:
                columns[f"{kind}_{name}"] = numbers(mixing, name, where)
    if not columns:
        raise DataError(
            f"{where} has no component that the metrics table calls accepted or rejected.",
            hint="The tables must come from one run of tedana (desc-ICA_mixing.tsv and "
            "desc-tedana_metrics.tsv).",
        )
    return pd.DataFrame(columns | _orthogonal(columns))


def _classification(metrics: pd.DataFrame, where: Path) -> dict[str, str]:
    for name in ("Component", "classification"):
        if name not in metrics.columns:
            raise DataError(f"The metrics table that goes with {where} has no column {name}.")
    names = map(_plain, metrics["Component"].astype(str))
    return dict(zip(names, metrics["classification"].astype(str), strict=True))


def _plain(name: str) -> str:
    """Without padding, in which tedana's two tables can differ."""
    return re.sub(r"_0*(\d+)$", r"_\1", name)


def _orthogonal(columns: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """What accepted components and a constant don't explain of each rejected one."""
    accepted = [values for name, values in columns.items() if name.startswith("accepted_")]
    rejected = {name: values for name, values in columns.items() if name.startswith("rejected_")}
    return {
        name.replace("rejected_", "rejected_orth_", 1): _residual(values, accepted)
        for name, values in rejected.items()
    }


def _residual(
    values: NDArray[np.float64], explained_by: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    basis = np.column_stack([np.ones(len(values)), *explained_by])
    residual: NDArray[np.float64] = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    return residual
