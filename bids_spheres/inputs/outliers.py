"""Match the user's own outlier tables to runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.files.text import is_there

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.inputs.runs import Run


def outliers_of(given: Path | None, runs: Sequence[Run]) -> list[Path | None]:
    """Find the outlier table of every run.

    Parameters
    ----------
    given : Path or None
        A table, for a call with one run; or a folder of ``*_outliers.tsv``, at any depth. A table
        belongs to the runs that have all the entities in its name but ``desc``.
    runs : sequence of Run

    Raises
    ------
    MissingInputError
        When there is no such file or folder, or it has no table for a run.
    UsageError
        When one table is given for several runs, or several tables belong to one.
    """
    if given is None:
        return [None] * len(runs)
    if given.is_dir():
        return _in_folder(given, [run.name for run in runs])
    if not is_there(given):
        raise MissingInputError(f"The outlier table or folder of such tables {given} is missing.")
    if len({run.name.source for run in runs}) > 1:
        raise UsageError(
            f"One outlier table, {given}, is given for {len(runs)} runs.",
            hint="Give a folder with one *_outliers.tsv for every run, named as the runs are.",
        )
    return [given] * len(runs)


def _in_folder(folder: Path, runs: Sequence[Name]) -> list[Path | None]:
    tables = {}
    for path in sorted(folder.rglob("*_outliers.tsv")):
        with suppress(ValueError):  # not the name of a BIDS file
            tables[path] = parse_name(path.name).without_desc.values.items()
    chosen: list[Path | None] = []
    for name in runs:
        entities = name.values.items()
        own = [path for path, of_table in tables.items() if of_table and of_table <= entities]
        run = "_".join(f"{key}-{label}" for key, label in name.source)
        if not own:
            raise MissingInputError(
                f"{folder} has no outlier table for {run}.", hint=f"It would be {run}_outliers.tsv."
            )
        if len(own) > 1:
            raise UsageError(
                f"{own[0]} and {own[1]} are both outlier tables of {run}.",
                hint="Keep one table for every run in the folder.",
            )
        chosen += own
    return chosen
