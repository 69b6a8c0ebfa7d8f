"""How the regressors of each strategy correlate with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.connectome import strongest_edges
from bids_spheres.reports.toolkit.matrices import Beside, matrix_picture
from bids_spheres.reports.toolkit.order import Group
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import coefficient, count, naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
"""Beginnings of fMRIPrep's column names, and what they are called beside a matrix."""


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
    for number_, strategy in enumerate(run.strategies):
        columns, values = _read(run, strategy)
        if len(columns) > 1:
            key = f"{run.anchor}-design-{number_}"
            names[key] = columns
            graphics.append(_graphic(strategy, columns, values, key))
    if not graphics:
        return None, {}
    return Block("Correlation of regressors", tuple(graphics), columns=2), names


def _read(run: Run, strategy: str) -> tuple[tuple[str, ...], FloatArray]:
    if strategy not in run.files.designs:
        return (), np.empty((0, 0))
    table = run.files.design(strategy)
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    known = strategy in run.files.outliers
    kept = run.files.kept(strategy) if known else np.ones(len(values), dtype=bool)
    return tuple(map(str, table.columns)), values[kept] if len(kept) == len(values) else values


def _graphic(strategy: str, columns: tuple[str, ...], values: FloatArray, key: str) -> Graphic:
    matrix = _correlations(values)
    beside = Beside(_kinds(columns)) if len(columns) > 12 else Beside((), columns)
    words = _words(strategy, columns, matrix)
    picture = matrix_picture(matrix, 1.0, beside, words)
    return Graphic(picture.chart, words, strategy, strategy, matrix=picture, words=key)


def _correlations(values: FloatArray) -> FloatArray:
    """Pearson's r of columns, (R, R); NaN for columns without variation."""
    if len(values) < 3:
        return np.full((values.shape[1],) * 2, np.nan)
    centred = values - values.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    flat = norms <= 1e-12 * np.sqrt((values**2).sum(axis=0))
    scaled = centred / np.where(flat, np.nan, norms)
    return np.asarray(scaled.T @ scaled)


def _kinds(columns: Sequence[str]) -> tuple[Group, ...]:
    """Neighbouring columns of one kind."""
    groups: list[Group] = []
    for i, column in enumerate(columns):
        kind = next((name for start, name in _KINDS if column.startswith(start)), column)
        if groups and groups[-1].name == kind:
            groups[-1] = Group(kind, groups[-1].start, i + 1)
        else:
            groups.append(Group(kind, i, i + 1))
    return tuple(groups)


def _words(strategy: str, columns: Sequence[str], matrix: FloatArray) -> str:
    told = [f"{count(len(columns), 'regressor')} of {strategy} over the kept volumes."]
    told += _strongest(columns, matrix)
    return " ".join(told)


def _strongest(columns: Sequence[str], matrix: FloatArray) -> Iterator[str]:
    edges = strongest_edges(matrix, 1)
    if len(edges.values):
        names = naming([columns[i] for i in edges.pairs[0]])
        value = coefficient(float(edges.values[0]))
        yield f"The strongest correlation, {value}, is between {names}."
    flat = int(np.isnan(np.diag(matrix)).sum())
    if flat:
        yield f"{count(flat, 'regressor')} without variation (grey)."
