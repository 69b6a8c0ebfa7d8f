"""Check strategies against the tables of all runs before the first run is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bids_spheres.confounds.columns import similar_columns
from bids_spheres.confounds.design import censoring_reasons, column_values, select_columns
from bids_spheres.confounds.motion import measure_again
from bids_spheres.confounds.strategy import HeadMotion
from bids_spheres.confounds.tables import run_columns
from bids_spheres.errors import DataError
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from bids_spheres.confounds.strategy import Strategy

    RunTable = tuple[pd.DataFrame, Mapping[str, object] | None]

_WHERE = "The confounds table"


@dataclass(frozen=True)
class Problem:
    """A problem in the runs of these labels; without any it concerns none in particular.

    `strategy` is "" for a problem with any strategy; `of_file` when a file of the run can't be
    used, and the strategy itself is fine.
    """

    message: str
    runs: tuple[str, ...] = ()
    strategy: str = ""
    hint: str | None = None
    of_file: bool = False

    def __str__(self) -> str:
        runs = self.runs
        where = f" In {count(len(runs), 'run')}: {listing(runs, 3)}." if runs else ""
        return f"{self.message}{where}" + (f"\n  hint: {self.hint}" if self.hint else "")


def check_strategies(
    tables: Iterable[tuple[str, RunTable]],
    strategies: Sequence[Strategy],
    *,
    values: bool = True,
) -> list[Problem]:
    """Look up the columns of every strategy in every run; the same problem in several runs once.

    `tables` are labels of runs with the table, to which those that go with it are merged, and its
    metadata. Runs are checked one after the other, and nothing is kept of those without a problem:
    the JSON files of fMRIPrep's components alone would fill gigabytes for ten thousand
    participants. `values` of columns are checked where tables have rows.
    """
    names = Counter(strategy.name for strategy in strategies)
    same_names = [
        Problem(
            f"{number} strategies have the name {name}, so their outputs would collide.",
            strategy=name,
            hint="Give each strategy its own name.",
        )
        for name, number in names.items()
        if number > 1
    ]
    # By message, since strategies share columns and so what is wrong with them.
    problems: dict[str, tuple[int, Problem, dict[str, None]]] = {}
    for label, run in tables:
        for position, problem in _problems_of_run(run, strategies, problems, values=values):
            _, _, labels = problems.setdefault(problem.message, (position, problem, {}))
            labels[label] = None
    in_order = sorted(problems.values(), key=lambda entry: entry[0])
    return same_names + [replace(problem, runs=tuple(labels)) for _, problem, labels in in_order]


def _problems_of_run(
    run: RunTable, strategies: Sequence[Strategy], known: Container[str], *, values: bool
) -> Iterator[tuple[int, Problem]]:
    """Problems of one run, each with the position of its strategy; -1 stands for any strategy."""
    table, metadata = run
    try:
        columns = run_columns(table, _WHERE)
    except DataError as error:
        yield -1, Problem(error.message, hint=error.hint)
        return
    for position, strategy in enumerate(strategies):
        chosen = select_columns(columns, strategy, metadata)
        for item in chosen.missing:
            text = f"The {strategy} asks for {item.key}, but the confounds table has {item.what}."
            # To compare a name with a thousand others, for every run, would take minutes.
            hint = None if text in known else similar_columns(item.columns, columns.names)
            yield position, Problem(text, strategy=strategy.name, hint=hint)
        try:
            if values and len(table) and not chosen.missing:
                measured = columns
                if strategy.head_motion:
                    unfiltered = replace(strategy, head_motion=HeadMotion())
                    measured, _, _ = measure_again(columns, unfiltered, None, None)
                column_values(measured, tuple(chosen.columns))
                censoring_reasons(measured, strategy.censor)
        except DataError as error:
            yield position, Problem(error.message, hint=error.hint, of_file=True)
