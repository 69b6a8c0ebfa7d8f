"""What is wrong with strategies and the tables of all runs, found before the first is used."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_spheres.confounds.columns import run_columns
from bids_spheres.confounds.design import check_values, select_columns
from bids_spheres.confounds.wording import similar_columns, some
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from bids_spheres.confounds.columns import RunColumns
    from bids_spheres.confounds.components import Missing, Selection
    from bids_spheres.confounds.strategy import Strategy

    RunTable = tuple[pd.DataFrame, Mapping[str, Any] | None]

_WHERE = "The confounds table"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in however many runs.

    Parameters
    ----------
    message : str
    runs : tuple of str
        Labels; empty for what is wrong without any run.
    strategy : str
        Name of the strategy; "" for what is wrong with any.
    hint : str or None
        What to do about it.
    """

    message: str
    runs: tuple[str, ...] = ()
    strategy: str = ""
    hint: str | None = None

    def __str__(self) -> str:
        count = len(self.runs)
        where = f" In {count} run{'s' * (count > 1)}: {some(self.runs)}." if count else ""
        return f"{self.message}{where}" + (f"\n  hint: {self.hint}" if self.hint else "")


def check_strategies(
    tables: Mapping[str, RunTable], strategies: Sequence[Strategy], *, values: bool = True
) -> list[Problem]:
    """Look up what every strategy needs in every run.

    Parameters
    ----------
    tables : mapping of run label to (table, metadata)
        As for `make_design`; tables that go together merged by `merge_tables`.
    strategies : sequence of Strategy
    values : bool
        Also look at the values of the columns; False when tables have no rows.

    Returns
    -------
    list of Problem
        Everything that is wrong; empty when nothing is. The same problem in several runs is one.
    """
    problems = list(_same_names(strategies))
    runs: dict[str, RunColumns] = {}
    unreadable = _Errors()
    for label, (table, _) in tables.items():
        with unreadable.of(label):
            runs[label] = run_columns(table, _WHERE)
    problems += unreadable.problems()
    for strategy in strategies:
        chosen = {
            label: select_columns(columns, strategy, tables[label][1])
            for label, columns in runs.items()
        }
        problems += _missing(strategy, chosen, runs)
        problems += _unmatched(strategy, chosen)
        problems += _bad_values(strategy, chosen, runs) if values else ()
    # Strategies share columns, and so what is wrong with them.
    return list(dict.fromkeys(problems))


class _Errors:
    """Errors of single runs, the same in several runs put together."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str | None], list[str]] = defaultdict(list)

    @contextmanager
    def of(self, label: str) -> Iterator[None]:
        """Keep an error of one run, and go on after the block."""
        try:
            yield
        except DataError as error:
            self._labels[error.message, error.hint].append(label)

    def problems(self) -> list[Problem]:
        """What was kept."""
        return [
            Problem(message, tuple(labels), hint=hint)
            for (message, hint), labels in self._labels.items()
        ]


def _same_names(strategies: Sequence[Strategy]) -> Iterator[Problem]:
    for name, count in Counter(strategy.name for strategy in strategies).items():
        if count > 1:
            yield Problem(
                f"{count} strategies have the name {name}, so their outputs would collide.",
                strategy=name,
                hint="Give each strategy its own name.",
            )


def _missing(
    strategy: Strategy, chosen: Mapping[str, Selection], runs: Mapping[str, RunColumns]
) -> Iterator[Problem]:
    lacking: dict[Missing, list[str]] = defaultdict(list)
    for label, selection in chosen.items():
        for item in selection.missing:
            lacking[item].append(label)
    for item, labels in lacking.items():
        names = runs[labels[0]].names
        yield Problem(
            f"The {strategy} asks for {item.key}, but the confounds table has {item.what}.",
            tuple(labels),
            strategy.name,
            similar_columns([item.column], names) if item.column else None,
        )


def _unmatched(strategy: Strategy, chosen: Mapping[str, Selection]) -> Iterator[Problem]:
    counts = Counter(entry for selection in chosen.values() for entry in selection.unmatched)
    for entry, count in counts.items():
        if count == len(chosen):
            yield Problem(
                f"The {strategy} asks for confounds, but the pattern {entry!r} matches no column "
                "in any run.",
                tuple(chosen),
                strategy.name,
            )


def _bad_values(
    strategy: Strategy, chosen: Mapping[str, Selection], runs: Mapping[str, RunColumns]
) -> list[Problem]:
    errors = _Errors()
    for label, selection in chosen.items():
        if not selection.missing:
            with errors.of(label):
                check_values(runs[label], selection, strategy)
    return errors.problems()
