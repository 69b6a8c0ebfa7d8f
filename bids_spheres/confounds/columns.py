"""Columns of a run under today's names, whichever version of fMRIPrep wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.confounds.tables import check_unique, numbers
from bids_spheres.confounds.versions import base_of, computable, expand, renamings

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RunColumns:
    """Columns that a run has or that can be computed.

    Parameters
    ----------
    table : DataFrame
        With today's names.
    computable : tuple of str
        Derivatives and squares that this version of fMRIPrep did not write.
    renamed : bool
        Whether the file has names of fMRIPrep 1.0 or 1.1.
    where : Path or str
        Name of the table in messages.
    """

    table: pd.DataFrame
    computable: tuple[str, ...]
    renamed: bool
    where: Path | str

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the table, then those that can be computed."""
        return (*self.table.columns, *self.computable)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """One column, NaN where a value is missing.

        Raises
        ------
        DataError
            When a cell is not a number.
        """
        if name in self.computable:
            return expand(name, numbers(self.table, base_of(name), self.where))
        return numbers(self.table, name, self.where)


def run_columns(table: pd.DataFrame, where: Path | str) -> RunColumns:
    """Columns of a table from any version of fMRIPrep.

    Raises
    ------
    DataError
        When a name occurs twice.
    """
    table = table.rename(columns=lambda name: str(name).strip())
    check_unique(table.columns, where)
    new = renamings(table.columns)
    table = table.rename(columns=new)
    check_unique(table.columns, where)
    return RunColumns(table, computable(table.columns), bool(new), where)
