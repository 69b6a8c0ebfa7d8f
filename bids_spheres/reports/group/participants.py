"""Participants and their runs: motion, degrees of freedom, coverage."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.find import pages_of_participants
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.distributions import Sample, Words, bins, histogram
from bids_spheres.reports.toolkit.render import (
    Block,
    Cell,
    Column,
    Graphic,
    Section,
    Table,
    number_column,
    table_of,
    text_column,
)
from bids_spheres.wording import listing, number

if TYPE_CHECKING:
    import pandas as pd

    from bids_spheres.reports.group.load import Level

MOST_ROWS = 2000
"""Rows of the table; a browser takes seconds to lay out more."""

_MOST_STRATEGIES = 4
"""With more strategies, columns have the worst of all."""


def participants_section(level: Level) -> tuple[Section, list[Cell]]:
    """Distributions, the table of runs and of absent participants; links to pages not in it."""
    runs = _quality_of_runs(level)
    pages = pages_of_participants(level.output_dir)
    shown, notes = runs, []
    if len(runs) > MOST_ROWS:
        order = runs.sort_values(["excluded", "mean_fd"], ascending=False, kind="stable")
        shown = order[:MOST_ROWS]
        notes.append(
            f"Of {len(runs):,} runs these are the {len(shown):,} that are excluded or move most; "
            "all of them are in group/runs.tsv."
        )
    in_table = set(shown["participant_id"])
    others = dict.fromkeys(label for label in runs["participant_id"] if label not in in_table)
    links = (Cell(label, href=_href(label, "", pages)) for label in others)
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in level.results:
        people = result.absent
        for label, reason in zip(people["participant_id"], people["reason"], strict=True):
            groups[str(label), str(reason)].append(result.entities)
    gone = sorted(groups, key=lambda person: natural(person[0]))
    rest = len(gone) - MOST_ROWS
    more = f" {rest:,} more are in the tables of participants." if rest > 0 else ""
    titles = [groups[person] for person in gone[:MOST_ROWS]]
    places = ["all groups" if len(own) == len(level.results) else listing(own, 2) for own in titles]
    absent = table_of(
        f"Participants without a result.{more}",
        text_column("Participant", [label for label, _ in gone[:MOST_ROWS]]),
        text_column("Why", [reason for _, reason in gone[:MOST_ROWS]]),
        text_column("In", places),
    )
    section = Section(
        "participants",
        "Participants",
        "",
        blocks=(_distributions(level, runs),),
        tables=(_runs_table(level, shown, pages), *((absent,) if gone else ())),
        notes=tuple(notes),
    )
    return section, [link for link in links if link.href]


def _quality_of_runs(level: Level) -> pd.DataFrame:
    """A row per run: the worst over seed sets and spaces, with columns per strategy."""
    by_run = level.runs.groupby("source", sort=False)
    runs = by_run[["participant_id", "session_id", "mean_fd", "n_volumes"]].first()
    for what, worst in (
        *(("coverage", "min"), ("tsnr", "min"), ("spheres_missing", "max"), ("excluded", "max")),
        *(("degrees_of_freedom", "min"), ("n_censored", "max")),
    ):
        runs[what] = by_run[what].agg(worst)
        if what in ("degrees_of_freedom", "n_censored"):
            for strategy, own in level.runs.groupby("strategy"):
                runs[f"{what} {strategy}"] = own.groupby("source")[what].agg(worst)
    excluded = level.excluded.drop_duplicates(["source", "strategy"]).groupby("source")
    for name, column, mark in (("excluded_by", "strategy", ", "), ("why", "reason", "; ")):
        texts = {str(run): mark.join(dict.fromkeys(map(str, own))) for run, own in excluded[column]}
        runs[name] = [texts.get(str(run), "") for run in runs.index]
    return runs.reset_index()


def _runs_table(level: Level, runs: pd.DataFrame, pages: frozenset[str]) -> Table:
    people = list(zip(runs["participant_id"], runs["session_id"].fillna(""), strict=True))
    names = zip(runs["participant_id"], runs["source"], strict=True)
    strategies = [(f" {strategy}", strategy) for strategy in level.run_strategies]
    if len(strategies) > _MOST_STRATEGIES:
        strategies = [("", "worst")]
    by_whom, why = [], []
    if len(level.excluded):
        tones = [Cell(text, tone="bad" if text else "") for text in runs["excluded_by"]]
        by_whom = [(Column("Excluded", numeric=False, unit="by"), tones)]
        why = [text_column("Why excluded", runs["why"])]
    caption = "Runs and their quality."
    if len(level.runs[["space", "seeds", "scale"]].drop_duplicates()) > 1:
        caption += (
            " Coverage and tSNR are the lowest, missing spheres the most, of all seed sets and "
            "spaces."
        )
    return table_of(
        caption,
        (
            Column("Participant", numeric=False),
            [Cell(label, href=_href(label, session, pages)) for label, session in people],
        ),
        text_column("Run", [name.removeprefix(f"{p}_").replace("_", " ") for p, name in names]),
        *by_whom,
        number_column("Mean FD", runs["mean_fd"], 2, "mm"),
        number_column("Volumes", runs["n_volumes"]),
        *(
            number_column(label, runs[f"{what}{end}"], 0, unit)
            for end, unit in strategies
            for what, label in (("n_censored", "Censored"), ("degrees_of_freedom", "D.o.f. left"))
        ),
        number_column("Coverage", 100 * runs["coverage"], 1, "%"),
        number_column("Missing", runs["spheres_missing"], 0, "spheres"),
        number_column("tSNR", runs["tsnr"]),
        *why,
    )


def _href(label: str, session: str, pages: frozenset[str]) -> str | None:
    """The page of the session, or else of the participant."""
    names = [f"{label}_{session}.html"] if session else []
    page = next((name for name in (*names, f"{label}.html") if name in pages), None)
    return None if page is None else quote(page, safe="")


def _distributions(level: Level, runs: pd.DataFrame) -> Block:
    """Histograms of the quality of runs; a note for what is the same in all."""
    quantities = (
        ("Head motion", "Mean FD (mm)", 1, 2, "mean_fd"),
        ("Degrees of freedom left", "Degrees of freedom", 1, 0, ""),
        ("Coverage", "Mean coverage of spheres (%)", 100, 1, "coverage"),
        ("Temporal signal-to-noise", "tSNR", 1, 0, "tsnr"),
    )
    by_strategy = [(s, f"degrees_of_freedom {s}", level.style(s)) for s in level.run_strategies]
    notes, graphics = [], []
    for heading, label, factor, digits, name in quantities:
        columns = [("All runs", name, series_style(0))] if name else by_strategy
        samples = [
            Sample(who, factor * runs[column].to_numpy(np.float64), style)
            for who, column, style in columns
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
