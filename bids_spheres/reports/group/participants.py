"""Participants and their runs: motion, degrees of freedom, coverage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.find import pages_of_participants
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.distributions import Sample, Words, bins, histogram
from bids_spheres.reports.toolkit.render import Block, Cell, Column, Graphic, Table, number_cell
from bids_spheres.wording import listing, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level

    FloatArray = NDArray[np.float64]

MOST_ROWS = 2000
"""Rows of the table; a browser takes seconds to lay out more."""

_MOST_STRATEGIES = 4
"""With more strategies, columns have the worst of all."""

_LEFT = "D.o.f. left"


@dataclass(frozen=True, eq=False)
class ParticipantsView:
    """The section of participants.

    Parameters
    ----------
    block : Block
        Distributions.
    table : Table
    note : str
        Number of runs in the table, where not all are shown.
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
    runs = _quality_of_runs(level)
    pages = pages_of_participants(level.output_dir)
    shown, note = runs, ""
    if len(runs) > MOST_ROWS:
        order = runs.sort_values(["excluded", "mean_fd"], ascending=False, kind="stable")
        shown = order[:MOST_ROWS]
        note = (
            f"Of {len(runs):,} runs these are the {len(shown):,} that are excluded or move most; "
            "all of them are in group/runs.tsv."
        )
    missing = runs[~runs["participant_id"].isin(set(shown["participant_id"]))]
    labels = dict.fromkeys(missing["participant_id"])
    links = [Cell(label, href=href) for label in labels if (href := _href(label, "", pages))]
    absent = _absent_participants(level)
    return ParticipantsView(
        _distributions(level, runs), _runs_table(level, shown, pages), note, tuple(links), absent
    )


def _absent_participants(level: Level) -> Table:
    """A row for each participant without a result and reason, with the groups concerned."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in level.results:
        people = result.participants[result.participants["used"] != 1]
        for label, reason in zip(people["participant_id"], people["reason"], strict=True):
            groups[str(label), str(reason)].append(result.files.entities)
    n_all = len(level.results)
    rows = tuple(
        (
            Cell(label),
            Cell(reason),
            Cell("all groups" if len(titles) == n_all else listing(titles, 2)),
        )
        for (label, reason), titles in sorted(groups.items(), key=lambda item: natural(item[0][0]))
    )
    columns = tuple(Column(head, numeric=False) for head in ("Participant", "Why", "In"))
    caption = "Participants without a result."
    if len(rows) > MOST_ROWS:
        caption += f" {len(rows) - MOST_ROWS:,} more are in the tables of participants."
    return Table(caption, columns, rows[:MOST_ROWS])


def _quality_of_runs(level: Level) -> pd.DataFrame:
    """A row per run: the worst over seed sets and spaces, with columns per strategy."""
    by_run = level.runs.groupby("source", sort=False)
    runs = by_run[["participant_id", "session_id", "mean_fd", "n_volumes"]].first()
    runs["coverage"], runs["tsnr"] = by_run["coverage"].min(), by_run["tsnr"].min()
    runs["spheres_missing"] = by_run["spheres_missing"].max()
    runs["excluded"] = by_run["excluded"].max()
    for what, worst in (("degrees_of_freedom", "min"), ("n_censored", "max")):
        for strategy, own in level.runs.groupby("strategy"):
            runs[f"{what} {strategy}"] = own.groupby("source")[what].agg(worst)
        runs[what] = by_run[what].agg(worst)
    excluded = level.runs[level.runs["excluded"] == 1].drop_duplicates(["source", "strategy"])
    by_excluded = excluded.groupby("source")
    texts = {
        "excluded_by": {str(source): ", ".join(own) for source, own in by_excluded["strategy"]},
        "reason": {
            str(source): "; ".join(dict.fromkeys(map(str, own)))
            for source, own in by_excluded["reason"]
        },
    }
    columns = {name: pd.Series(own, dtype=object) for name, own in texts.items()}
    return runs.join(pd.DataFrame(columns)).reset_index()


def _runs_table(level: Level, runs: pd.DataFrame, pages: frozenset[str]) -> Table:
    by_strategy = [
        (f"{what} {strategy}", Column(label, unit=strategy))
        for strategy in level.run_strategies
        for what, label in (("n_censored", "Censored"), ("degrees_of_freedom", _LEFT))
    ]
    if len(level.run_strategies) > _MOST_STRATEGIES:
        most = "n_censored", Column("Censored", unit="most")
        by_strategy = [most, ("degrees_of_freedom", Column(_LEFT, unit="least"))]
    excluded = level.any_excluded
    columns = (
        Column("Participant", numeric=False),
        Column("Run", numeric=False),
        *((Column("Excluded", numeric=False, unit="by"),) if excluded else ()),
        Column("Mean FD", unit="mm"),
        Column("Volumes"),
        *(column for _, column in by_strategy),
        Column("Coverage", unit="%"),
        Column("Missing", unit="spheres"),
        Column("tSNR"),
        *((Column("Why excluded", numeric=False),) if excluded else ()),
    )
    rows = []
    for run in runs.to_dict("records"):
        label = str(run["participant_id"])
        texts = (run[name] for name in ("session_id", "excluded_by", "reason"))
        session, excluded_by, reason = (text if isinstance(text, str) else "" for text in texts)
        source = str(run["source"]).removeprefix(f"{label}_").replace("_", " ")
        rows.append(
            (
                Cell(label, href=_href(label, session, pages)),
                Cell(source),
                *((Cell(excluded_by, tone="bad" if excluded_by else ""),) if excluded else ()),
                number_cell(run["mean_fd"], 2),
                *(number_cell(run[name], 0) for name in ("n_volumes", *dict(by_strategy))),
                number_cell(100 * run["coverage"], 1),
                number_cell(run["spheres_missing"], 0),
                number_cell(run["tsnr"], 0),
                *((Cell(reason),) if excluded else ()),
            )
        )
    caption = "Runs and their quality."
    if len(level.runs[["space", "seeds", "scale"]].drop_duplicates()) > 1:
        caption += (
            " Coverage and tSNR are the lowest, missing spheres the most, of all seed sets and "
            "spaces."
        )
    return Table(caption, columns, tuple(rows))


def _href(label: str, session: str, pages: frozenset[str]) -> str | None:
    """The page of the session, or else of the participant."""
    names = [f"{label}_{session}.html"] if session else []
    page = next((name for name in (*names, f"{label}.html") if name in pages), None)
    return None if page is None else quote(page, safe="")


def _distributions(level: Level, runs: pd.DataFrame) -> Block:
    """Histograms of the quality of runs; a note for what is the same in all."""
    left = {
        strategy: runs[f"degrees_of_freedom {strategy}"].to_numpy(np.float64)
        for strategy in level.run_strategies
    }
    quantities: list[tuple[str, str, int, dict[str, FloatArray]]] = [
        ("Head motion", "Mean FD (mm)", 2, {"": runs["mean_fd"].to_numpy(np.float64)}),
        ("Degrees of freedom left", "Degrees of freedom", 0, left),
        (
            "Coverage",
            "Mean coverage of spheres (%)",
            1,
            {"": 100 * runs["coverage"].to_numpy(np.float64)},
        ),
        ("Temporal signal-to-noise", "tSNR", 0, {"": runs["tsnr"].to_numpy(np.float64)}),
    ]
    notes, graphics = [], []
    for heading, label, digits, values in quantities:
        samples = [
            Sample(name or "All runs", own, series_style(level.number_of(name) if name else 0))
            for name, own in values.items()
        ]
        known = [sample for sample in samples if sample.known.size]
        if not known:
            continue
        if np.ptp(np.concatenate([sample.known for sample in known])) == 0:
            value = number(float(known[0].known[0]), digits)
            notes.append(f"{label}: {value} in all runs.")
            continue
        described = []
        for sample in known:
            low, middle, high = np.percentile(sample.known, (0, 50, 100))
            ends = f"from {number(float(low), digits)} to {number(float(high), digits)}"
            described.append(f"{sample.name}: median {number(float(middle), digits)}, {ends}.")
        words = " ".join(described)
        texts = Words(label, "Runs (%)", f"{label}: {words}")
        legend = tuple(sample.key for sample in known) if len(samples) > 1 else ()
        chart = histogram(known, bins(known), texts)
        graphics.append(Graphic(chart, words, heading, legend=legend))
    return Block("Distributions over runs", tuple(graphics), tuple(notes), columns=2)
