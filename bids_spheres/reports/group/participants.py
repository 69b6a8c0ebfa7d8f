"""Participants and their runs: how they moved, what is left of them, how well they are covered."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.find import pages_of_participants
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.distributions import Sample, Words, bins, histogram
from bids_spheres.reports.toolkit.render import Block, Cell, Column, Graphic, Table
from bids_spheres.wording import listing, number

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level

    FloatArray = NDArray[np.float64]

MOST_ROWS = 2000
"""Rows of the table: more take a browser seconds to lay out."""

_MOST_STRATEGIES = 4
"""With more of them, columns tell the worst of all."""


@dataclass(frozen=True, eq=False)
class ParticipantsView:
    """The section of participants.

    Parameters
    ----------
    block : Block
        Distributions.
    table : Table
    note : str
        How many rows there are, and what is not shown.
    links : tuple of Cell
        Pages of participants who are not in the table.
    absent : Table
        Participants without a result, and why.
    """

    block: Block
    table: Table
    note: str
    links: tuple[Cell, ...]
    absent: Table


def participants_view(level: Level) -> ParticipantsView:
    """Distributions and the table of runs."""
    runs = _runs(level)
    pages = pages_of_participants(level.output_dir)
    shown = _shown(runs)
    rows = tuple(_row(level, run, pages) for run in shown.to_dict("records"))
    caption = f"Runs and their quality. {_worst(level)}".strip()
    missing = runs[~runs["participant_id"].isin(set(shown["participant_id"]))]
    labels = dict.fromkeys(missing["participant_id"])
    links = [Cell(label, href=href) for label in labels if (href := _href(label, "", pages))]
    return ParticipantsView(
        _block(level, runs),
        Table(caption, _columns(level), rows),
        _note(runs, shown),
        tuple(links),
        _absent(level),
    )


def _absent(level: Level) -> Table:
    """A row for each participant and reason, with the groups that it is about."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in level.results:
        people = result.participants[result.participants["used"] != 1]
        for label, reason in zip(people["participant_id"], people["reason"], strict=True):
            groups[str(label), str(reason)].append(result.files.entities)
    rows = tuple(
        (Cell(label), Cell(reason), Cell(_in_groups(titles, len(level.results))))
        for (label, reason), titles in sorted(groups.items(), key=lambda item: natural(item[0][0]))
    )
    heads = (Column(head, numeric=False) for head in ("Participant", "Why", "In"))
    caption = "Participants without a result."
    if len(rows) > MOST_ROWS:
        caption += f" {len(rows) - MOST_ROWS:,} more are in the tables of participants."
    return Table(caption, tuple(heads), rows[:MOST_ROWS])


def _in_groups(titles: Sequence[str], n_all: int) -> str:
    return "all groups" if len(titles) == n_all else listing(titles, 2)


def _runs(level: Level) -> pd.DataFrame:
    """A row per run: what is worst over seed sets and spaces, and columns per strategy."""
    by_run = level.runs.groupby("source", sort=False)
    runs = by_run[["participant_id", "session_id", "mean_fd", "n_volumes"]].first()
    runs["coverage"], runs["tsnr"] = by_run["coverage"].min(), by_run["tsnr"].min()
    runs["spheres_missing"] = by_run["spheres_missing"].max()
    runs["excluded"] = by_run["excluded"].max()
    for what, worst in (("degrees_of_freedom", "min"), ("n_censored", "max")):
        for strategy, own in level.runs.groupby("strategy"):
            runs[f"{what} {strategy}"] = own.groupby("source")[what].agg(worst)
        runs[what] = by_run[what].agg(worst)
    return runs.join(_exclusions(level)).reset_index()


def _exclusions(level: Level) -> pd.DataFrame:
    """Which strategies exclude a run, and why, by run."""
    gone = level.runs[level.runs["excluded"] == 1].drop_duplicates(["source", "strategy"])
    by_run = gone.groupby("source")
    reasons = {
        str(source): "; ".join(dict.fromkeys(map(str, own))) for source, own in by_run["reason"]
    }
    strategies = {str(source): ", ".join(own) for source, own in by_run["strategy"]}
    columns = {"excluded_by": strategies, "reason": reasons}
    return pd.DataFrame({name: pd.Series(own, dtype=object) for name, own in columns.items()})


def _shown(runs: pd.DataFrame) -> pd.DataFrame:
    if len(runs) <= MOST_ROWS:
        return runs
    return runs.sort_values(["excluded", "mean_fd"], ascending=False, kind="stable")[:MOST_ROWS]


def _note(runs: pd.DataFrame, shown: pd.DataFrame) -> str:
    if len(shown) == len(runs):
        return ""
    return (
        f"Of {len(runs):,} runs these are the {len(shown):,} that are excluded or move most; all "
        "of them are in group/runs.tsv."
    )


def _worst(level: Level) -> str:
    if len(level.runs[["space", "seeds", "scale"]].drop_duplicates()) == 1:
        return ""
    return (
        "Coverage and tSNR are the lowest, missing spheres the most, of all seed sets and spaces."
    )


# The table


def _columns(level: Level) -> tuple[Column, ...]:
    return (
        Column("Participant", numeric=False),
        Column("Run", numeric=False),
        *((Column("Excluded", numeric=False, unit="by"),) if level.any_excluded else ()),
        Column("Mean FD", unit="mm"),
        Column("Volumes"),
        *_strategy_columns(level),
        Column("Coverage", unit="%"),
        Column("Missing", unit="spheres"),
        Column("tSNR"),
        *((Column("Why excluded", numeric=False),) if level.any_excluded else ()),
    )


def _strategy_columns(level: Level) -> Iterator[Column]:
    if len(level.run_strategies) > _MOST_STRATEGIES:
        yield Column("Censored", unit="most")
        yield Column("Freedom left", unit="least")
        return
    for strategy in level.run_strategies:
        yield Column("Censored", unit=strategy)
        yield Column("Freedom left", unit=strategy)


def _row(level: Level, run: Mapping[Hashable, Any], pages: frozenset[str]) -> tuple[Cell, ...]:
    label, session = str(run["participant_id"]), run["session_id"]
    source = str(run["source"]).removeprefix(f"{label}_").replace("_", " ")
    gone = level.any_excluded
    return (
        Cell(label, href=_href(label, session if isinstance(session, str) else "", pages)),
        Cell(source),
        *((_word(run["excluded_by"], "bad"),) if gone else ()),
        _number(run["mean_fd"], 2),
        _number(run["n_volumes"], 0),
        *(_number(run[name], 0) for name in _strategy_values(level)),
        _number(run["coverage"], 1, 100),
        _number(run["spheres_missing"], 0),
        _number(run["tsnr"], 0),
        *((_word(run["reason"]),) if gone else ()),
    )


def _word(value: object, tone: str = "") -> Cell:
    """A text; an empty cell for a missing one."""
    return Cell(value, tone=tone) if isinstance(value, str) else Cell("")


def _strategy_values(level: Level) -> Iterator[str]:
    if len(level.run_strategies) > _MOST_STRATEGIES:
        yield from ("n_censored", "degrees_of_freedom")
        return
    for strategy in level.run_strategies:
        yield from (f"n_censored {strategy}", f"degrees_of_freedom {strategy}")


def _href(label: str, session: str, pages: frozenset[str]) -> str | None:
    """The page of the session, or else of the participant."""
    wanted = [f"{label}_{session}.html"] if session else []
    there = next((page for page in (*wanted, f"{label}.html") if page in pages), None)
    return None if there is None else quote(there, safe="")


def _number(value: object, digits: int, factor: float = 1) -> Cell:
    scaled = float(value) * factor if isinstance(value, int | float | np.number) else np.nan
    if not np.isfinite(scaled):
        return Cell("n/a", "")
    text = number(scaled, digits)
    return Cell(text, None if digits == 0 else float(f"{scaled:.6g}"))


# Distributions


@dataclass(frozen=True, eq=False)
class _Quantity:
    """Something that is known of every run."""

    heading: str
    label: str
    digits: int
    samples: Sequence[Sample]

    @property
    def known(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.known.size]

    @property
    def constant(self) -> bool:
        """Whether it is the same in all runs."""
        joined = np.concatenate([sample.known for sample in self.known])
        return bool(np.ptp(joined) == 0)


def _block(level: Level, runs: pd.DataFrame) -> Block:
    known = [quantity for quantity in _quantities(level, runs) if quantity.known]
    notes = tuple(_note_of(quantity) for quantity in known if quantity.constant)
    graphics = tuple(_graphic(quantity) for quantity in known if not quantity.constant)
    return Block("Distributions over runs", graphics, notes, columns=2)


def _quantities(level: Level, runs: pd.DataFrame) -> Iterator[_Quantity]:
    yield _Quantity("Head motion", "Mean FD (mm)", 2, [_sample(runs["mean_fd"])])
    freedom = [
        Sample(
            strategy,
            runs[f"degrees_of_freedom {strategy}"].to_numpy(np.float64),
            series_style(level.number_of(strategy)),
        )
        for strategy in level.run_strategies
    ]
    yield _Quantity("Degrees of freedom left", "Degrees of freedom", 0, freedom)
    coverage = _sample(100 * runs["coverage"])
    yield _Quantity("Coverage", "Mean coverage of spheres (%)", 1, [coverage])
    yield _Quantity("Temporal signal-to-noise", "tSNR", 0, [_sample(runs["tsnr"])])


def _sample(values: pd.Series) -> Sample:
    return Sample("All runs", values.to_numpy(np.float64), series_style(0))


def _note_of(quantity: _Quantity) -> str:
    value = number(float(quantity.known[0].known[0]), quantity.digits)
    return f"{quantity.label}: {value} in all runs."


def _graphic(quantity: _Quantity) -> Graphic:
    known = quantity.known
    words = " ".join(_words(sample, quantity.digits) for sample in known)
    alt = f"{quantity.label}: {words}"
    chart = histogram(known, bins(known), Words(quantity.label, "Runs (%)", alt))
    legend = tuple(sample.key for sample in known) if len(quantity.samples) > 1 else ()
    return Graphic(chart, words, quantity.heading, legend=legend)


def _words(sample: Sample, digits: int) -> str:
    low, middle, high = np.percentile(sample.known, (0, 50, 100))
    told = (number(float(value), digits) for value in (middle, low, high))
    return "{}: median {}, from {} to {}.".format(sample.name, *told)
