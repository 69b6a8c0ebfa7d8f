"""The table of runs that have no result because too little is left of them.

All jobs of a dataset keep one table, ``exclusions.tsv`` at its root, with one row per run and
strategy. A job speaks for its own run alone: it replaces the rows of that run and keeps the others,
so that a run that is not excluded any more leaves the table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError
from bids_spheres.files.atomic import cell
from bids_spheres.files.names import natural
from bids_spheres.outputs.shared_tables import SharedTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.files.text import JsonObject


@dataclass(frozen=True)
class ExclusionRow:
    """One strategy for which one run is excluded; `DESCRIPTIONS` says what each field is.

    None is written as ``n/a``: a session where the dataset has none, or a limit that is not set.
    """

    participant_id: str
    session_id: str | None
    source: str
    strategy: str
    reason: str
    n_volumes: int | None
    n_kept: int | None
    rank: int | None
    lost_to_filter: float | None
    lost_to_censoring: float | None
    degrees_of_freedom: float | None
    seconds: float | None
    min_degrees_of_freedom: int | None = None
    min_volumes: int | None = None
    min_seconds: float | None = None


COLUMNS = tuple(field.name for field in fields(ExclusionRow))
"""Columns of the table, in their order."""

DESCRIPTIONS: JsonObject = {
    "participant_id": {"Description": "Participant of the run"},
    "session_id": {"Description": "Session of the run; n/a without sessions"},
    "source": {"Description": "BOLD file of the run, relative to the dataset that it is from"},
    "strategy": {"Description": "Strategy of cleaning for which the run is excluded"},
    "reason": {"Description": "What there is too little of"},
    "n_volumes": {"Description": "Volumes of the run"},
    "n_kept": {"Description": "Volumes that are not censored"},
    "rank": {
        "Description": "Dimensions that the regressors take, with the mean and, where it is "
        "removed, the trend"
    },
    "lost_to_filter": {"Description": "Degrees of freedom that the temporal filter takes"},
    "lost_to_censoring": {
        "Description": "Degrees of freedom that censoring takes beyond the volumes themselves, "
        "because a filter sees interpolated volumes in their place"
    },
    "degrees_of_freedom": {
        "Description": "1 / variance of the correlation of two independent white series after "
        "cleaning: n_kept - rank - lost_to_filter - lost_to_censoring"
    },
    "seconds": {"Description": "Duration of the kept volumes", "Units": "s"},
    "min_degrees_of_freedom": {"Description": "Degrees of freedom that a run must have"},
    "min_volumes": {"Description": "Kept volumes that a run must have; n/a: any number"},
    "min_seconds": {
        "Description": "Duration of kept volumes that a run must have; n/a: any",
        "Units": "s",
    },
}
"""What the JSON file beside the table says."""


_KEYS = ("source", "strategy")

EXCLUSIONS = SharedTable(
    "exclusions.tsv",
    COLUMNS,
    keys=_KEYS,
    order=lambda row: [natural(row[COLUMNS.index(key)]) for key in _KEYS],
    about=DESCRIPTIONS,
)
"""The table, made from one part for each run and strategy."""


def record_exclusions(
    output_dir: Path, source: str, strategies: Sequence[str], rows: Sequence[ExclusionRow]
) -> None:
    """Say in the table of exclusions for which strategies a run is excluded.

    Any number of processes may do so at the same time. Nothing is written when the table says so
    already; a table without rows is removed.

    Parameters
    ----------
    output_dir : Path
    source : str
        BOLD file of the run, relative to the root of its dataset.
    strategies : sequence of str
        Those that were tried on it: rows of others are kept.
    rows : sequence of ExclusionRow
        One for every strategy among them that excludes the run.

    Raises
    ------
    DataError, OutputError, ReadWriteError
        When the table is not ours or was changed, or can't be written or read.
    """
    if strange := [row for row in rows if row.source != source or row.strategy not in strategies]:
        raise UsageError(
            f"{strange[0].source} with {strange[0].strategy} is not among the exclusions of "
            f"{source} with {', '.join(strategies)}."
        )
    new = {row.strategy: tuple(cell(getattr(row, name)) for name in COLUMNS) for row in rows}
    EXCLUSIONS.change(
        output_dir, {(cell(source), cell(name)): new.get(name) for name in strategies}
    )
