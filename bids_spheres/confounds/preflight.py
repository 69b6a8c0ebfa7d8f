"""What is wrong with strategies and the tables of all runs, found before the first is used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_spheres.confounds.columns import run_columns
from bids_spheres.confounds.design import check_values, select_columns
from bids_spheres.confounds.wording import similar_columns, some
from bids_spheres.errors import DataError
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from bids_spheres.confounds.columns import RunColumns
    from bids_spheres.confounds.components import Missing
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
        runs = self.runs
        where = f" In {count(len(runs), 'run')}: {some(runs)}." if runs else ""
        return f"{self.message}{where}" + (f"\n  hint: {self.hint}" if self.hint else "")


def check_strategies(
    tables: Mapping[str, RunTable] | Iterable[tuple[str, RunTable]],
    strategies: Sequence[Strategy],
    *,
    values: bool = True,
) -> list[Problem]:
    """Look up what every strategy needs in every run.

    Runs are looked at one after the other, and nothing is kept of those that are in order: what
    fMRIPrep tells of its components alone would fill gigabytes for ten thousand participants.

    Parameters
    ----------
    tables : mapping of run label to (table, metadata), or iterable of such pairs
        As for `make_design`; tables that go together merged by `merge_tables`.
    strategies : sequence of Strategy
    values : bool
        Also look at the values of the columns; False when tables have no rows.

    Returns
    -------
    list of Problem
        Everything that is wrong; empty when nothing is. The same problem in several runs is one.
    """
    unreadable, findings = _Errors(), [_Findings(strategy) for strategy in strategies]
    for label, (table, metadata) in tables.items() if isinstance(tables, Mapping) else tables:
        columns = None
        with unreadable.of(label):
            columns = run_columns(table, _WHERE)
        for found in findings if columns else ():
            found.look_at(label, columns, metadata, values=values)
    problems = [*_same_names(strategies), *unreadable.problems()]
    problems += [problem for found in findings for problem in found.problems()]
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
    for name, number in Counter(strategy.name for strategy in strategies).items():
        if number > 1:
            yield Problem(
                f"{number} strategies have the name {name}, so their outputs would collide.",
                strategy=name,
                hint="Give each strategy its own name.",
            )


@dataclass(frozen=True, eq=False)
class _Findings:
    """What runs lack for one strategy."""

    strategy: Strategy
    lacking: dict[Missing, list[str]] = field(default_factory=dict)
    hints: dict[Missing, str | None] = field(default_factory=dict)
    errors: _Errors = field(default_factory=_Errors)

    def look_at(
        self, label: str, columns: RunColumns, metadata: Mapping[str, Any] | None, *, values: bool
    ) -> None:
        """Add what one run lacks."""
        selection = select_columns(columns, self.strategy, metadata)
        for item in selection.missing:
            if item not in self.lacking:
                self.lacking[item] = []
                self.hints[item] = similar_columns(item.columns, columns.names)
            self.lacking[item].append(label)
        if values and not selection.missing:
            with self.errors.of(label):
                check_values(columns, selection, self.strategy)

    def problems(self) -> Iterator[Problem]:
        """What was found in all runs."""
        strategy = self.strategy
        for item, own in self.lacking.items():
            asked = f"asks for {item.key}, but the confounds table has {item.what}."
            message = f"The {strategy} {asked}"
            yield Problem(message, tuple(own), strategy.name, self.hints[item])
        yield from self.errors.problems()
