"""Correlations between the regressors of each strategy."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import Group
from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.matrices import Beside, matrix_picture
from bids_spheres.reports.toolkit.render import Block, matrix_graphic
from bids_spheres.wording import coefficient, count, naming

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.reports.participant.load import Run

    FloatArray = NDArray[np.float64]

_KINDS = (
    ("cosine", "cosines"),
    ("trans_", "translations"),
    ("rot_", "rotations"),
    ("a_comp_cor", "aCompCor"),
    ("w_comp_cor", "WM CompCor"),
    ("c_comp_cor", "CSF CompCor"),
    ("t_comp_cor", "tCompCor"),
    ("aroma", "ICA-AROMA"),
    ("csf", "CSF"),
    ("white_matter", "white matter"),
    ("global_signal", "global signal"),
)
"""Prefixes of fMRIPrep's column names, and the names beside a matrix."""


def regressor_block(run: Run) -> tuple[Block | None, dict[str, tuple[str, ...]]]:
    """Correlations of regressors over the kept volumes, and the names of the rows.

    Returns
    -------
    Block or None
        None when no strategy has two regressors.
    names : mapping of str to tuple of str
        Rows of each matrix by the identifier of their list in the page.
    """
    graphics, names = [], {}
    for i, strategy in enumerate(run.strategies):
        columns, values = _read_kept_regressors(run, strategy)
        if len(columns) < 2:
            continue
        key = f"{run.anchor}-design-{i}"
        names[key] = columns
        matrix = correlations(values)
        words = f"{count(len(columns), 'regressor')} of {strategy} over the kept volumes."
        edges = strongest_edges(matrix, 1)
        if len(edges.values):
            ends = naming([columns[i] for i in edges.pairs[0]])
            value = coefficient(float(edges.values[0]))
            words += f" The strongest correlation, {value}, is between {ends}."
        if flat := int(np.isnan(np.diag(matrix)).sum()):
            words += f" {count(flat, 'regressor')} without variation (grey)."
        beside = Beside((), columns)
        if len(columns) > 12:
            kinds = (next((k for start, k in _KINDS if c.startswith(start)), c) for c in columns)
            groups: list[Group] = []
            for kind, members in groupby(kinds):
                start = groups[-1].stop if groups else 0
                groups.append(Group(kind, start, start + len(list(members))))
            beside = Beside(tuple(groups))
        picture = matrix_picture(matrix, 1.0, beside, words)
        graphics.append(matrix_graphic(picture, words, strategy, key))
    if not graphics:
        return None, {}
    return Block("Correlation of regressors", tuple(graphics), columns=2), names


def _read_kept_regressors(run: Run, strategy: str) -> tuple[tuple[str, ...], FloatArray]:
    """Names of R regressors, and their values in the kept volumes, (T, R)."""
    if strategy not in run.files.designs:
        return (), np.empty((0, 0))
    table = run.files.design(strategy)
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    known = strategy in run.files.outliers
    kept = run.files.kept(strategy) if known else np.ones(len(values), dtype=bool)
    return tuple(map(str, table.columns)), values[kept] if len(kept) == len(values) else values


def correlations(values: FloatArray) -> FloatArray:
    """Pearson's r of columns, (R, R); NaN for columns without variation."""
    if len(values) < 3:
        return np.full((values.shape[1],) * 2, np.nan)
    centred = values - values.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    # Rounding leaves something of a constant column.
    flat = norms <= 1e-12 * np.sqrt((values**2).sum(axis=0))
    scaled = centred / np.where(flat, np.nan, norms)
    return np.asarray(scaled.T @ scaled)
