"""fMRIPrep's confounds table and a strategy to a design matrix and a sample mask.

A strategy is data: a JSON file that names columns. An entry that starts with ``^`` is a
regular expression and takes every column it matches, maybe none (a short run has no
cosines); any other entry is the name of a column that must be there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from numpy.typing import NDArray

_NON_STEADY_STATE = re.compile(r"^non_steady_state_outlier\d+$")
_FRAMEWISE_DISPLACEMENT = "framewise_displacement"


@dataclass(frozen=True)
class Strategy:
    """A named way to remove confounds.

    Parameters
    ----------
    name : str
        Goes into output names as ``desc-<name>``.
    description : str
        One sentence for people.
    confounds : tuple of str
        Column names, or regular expressions that start with ``^``.
    """

    name: str
    description: str
    confounds: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Design:
    """What a strategy makes of one run's confounds table.

    Parameters
    ----------
    columns : tuple of str
        The regressors, K of them.
    values : (T, K) array
        Without missing values.
    kept : (T,) bool array
        Volumes that are not censored.
    framewise_displacement : (T,) array, mm
        NaN where fMRIPrep gives none.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    kept: NDArray[np.bool_]
    framewise_displacement: NDArray[np.float64]

    @property
    def mean_framewise_displacement(self) -> float:
        """Mean over the volumes that have one, mm; NaN when none has."""
        known = self.framewise_displacement[np.isfinite(self.framewise_displacement)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def n_kept(self) -> int:
        """Number of volumes kept."""
        return int(self.kept.sum())

    def degrees_of_freedom(self, *, detrend: bool) -> int:
        """Dimensions that are left: kept volumes - `rank`."""
        return self.n_kept - self.rank(detrend=detrend)

    def rank(self, *, detrend: bool) -> int:
        """Dimensions that leave the kept volumes: regressors, mean and, if asked, trend."""
        return _rank(self.values, self.kept, detrend=detrend)


def published_strategies() -> tuple[str, ...]:
    """Names of the strategies that ship with the package."""
    files = (f.name for f in _strategy_folder().iterdir())
    return tuple(sorted(name[:-5] for name in files if name.endswith(".json")))


def load_strategy(name: str) -> Strategy:
    """A strategy that ships with the package.

    Raises
    ------
    UsageError
        When there is no such strategy; the message lists those there are.
    """
    known = published_strategies()
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"There is no denoising strategy named {name!r}.",
            hint=f"{hint}The strategies are: {', '.join(known)}.",
        )
    content = json.loads((_strategy_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return Strategy(name, content["description"], tuple(content["confounds"]))


def read_confounds(path: Path) -> pd.DataFrame:
    """Read fMRIPrep's confounds table, missing values as NaN.

    Raises
    ------
    DataError
        When it is not a table, or a column holds something that is not a number.
    """
    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as a TSV table: {error}.") from error
    return table.rename(columns=str.strip)


def make_design(table: pd.DataFrame, strategy: Strategy, path: Path, n_volumes: int) -> Design:
    """Regressors and kept volumes of one run.

    Parameters
    ----------
    table : DataFrame
        From `read_confounds`.
    strategy : Strategy
    path : Path
        Of the table, for messages.
    n_volumes : int
        Of the BOLD image.

    Raises
    ------
    DataError
        When the numbers of rows and volumes differ, a column is missing, or a value is
        missing anywhere but in the first row.
    """
    if len(table) != n_volumes:
        raise DataError(
            f"{path} has {len(table)} rows, but the BOLD image has {n_volumes} volumes.",
            hint="Table and image must come from the same run of fMRIPrep.",
        )
    columns = _matching_columns(list(table.columns), strategy, path)
    flagged = [name for name in table.columns if _NON_STEADY_STATE.match(name)]
    return Design(
        columns=columns,
        values=_filled(table, columns, path),
        kept=(_numeric(table, flagged, path) == 0).all(axis=1),
        framewise_displacement=_displacement(table, path),
    )


def _strategy_folder() -> Traversable:
    return resources.files("bids_spheres") / "data" / "strategies"


def _matching_columns(there: list[str], strategy: Strategy, path: Path) -> tuple[str, ...]:
    chosen: dict[str, None] = {}
    missing = []
    for entry in strategy.confounds:
        pattern = re.compile(entry if entry.startswith("^") else f"^{re.escape(entry)}$")
        found = [name for name in there if pattern.search(name)]
        if not found and not entry.startswith("^"):
            missing.append(entry)
        chosen.update(dict.fromkeys(found))
    if missing:
        near = {close for name in missing for close in get_close_matches(name, there, n=1)}
        raise DataError(
            f"{path} has no column {', '.join(missing)}, which the strategy {strategy.name} needs.",
            hint=f"Similar columns there: {', '.join(sorted(near))}." if near else None,
        )
    return tuple(chosen)


def _numeric(table: pd.DataFrame, columns: list[str], path: Path) -> NDArray[np.float64]:
    for name in columns:
        if table[name].dtype.kind not in "iufb":
            text = table[name][table[name].map(lambda cell: isinstance(cell, str))]
            raise DataError(
                f"{path}: {text.iloc[0]!r} in column {name}, row {text.index[0] + 1}, "
                "is not a number."
            )
    return table[columns].to_numpy(dtype=np.float64, copy=True)


def _filled(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> NDArray[np.float64]:
    """Values with the first row's gaps filled by the second row's (as nilearn does)."""
    values = _numeric(table, list(columns), path)
    if len(values) > 1:
        gaps = np.isnan(values[0])
        values[0, gaps] = values[1, gaps]
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        row, column = bad[0]
        raise DataError(
            f"{path}: the value in column {columns[column]}, row {row + 1}, is missing.",
            hint="Only the first row of a derivative may be n/a.",
        )
    return values


def _displacement(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    if _FRAMEWISE_DISPLACEMENT not in table.columns:
        return np.full(len(table), np.nan)
    return _numeric(table, [_FRAMEWISE_DISPLACEMENT], path)[:, 0]


def _rank(values: NDArray[np.float64], kept: NDArray[np.bool_], *, detrend: bool) -> int:
    basis = [np.ones(len(kept))] + ([np.linspace(-1, 1, len(kept))] if detrend else [])
    design = np.column_stack([*basis, values])[kept]
    # Columns differ by orders of magnitude (radians, squares); rank must not depend on units.
    # Centring all but the constant keeps a large mean from hiding a small variation.
    design[:, 1:] -= design[:, 1:].mean(axis=0)
    norms = np.linalg.norm(design, axis=0)
    return int(np.linalg.matrix_rank(design / np.where(norms == 0, 1, norms)))
