"""Participants and their runs: motion, degrees of freedom, coverage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_spheres.files.names import natural
from bids_spheres.outputs.find import pages_of_participants
from bids_spheres.reports.toolkit import limits, render
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.distributions import Sample, bins, histogram
from bids_spheres.reports.toolkit.limits import Judgement, Verdict
from bids_spheres.wording import collect, count, listing, number, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bids_spheres.reports.group.load import Level

MOST_ROWS = 2000
"""Rows of the table; a browser takes seconds to lay out more."""

_MOST_VERDICTS = 6
_TONES = ("bad", "warn")
_MOST_STRATEGIES = 4
"""With more strategies, columns have the worst of all."""


def participants_section(
    level: Level, runs: pd.DataFrame
) -> tuple[render.Section, list[render.Cell]]:
    """Distributions, the table of runs and of absent participants; links to pages not in it."""
    pages = pages_of_participants(level.output_dir)
    shown, notes = runs, []
    if len(runs) > MOST_ROWS:
        order = runs.sort_values(["rank", "mean_fd"], ascending=[True, False], kind="stable")
        shown = order[:MOST_ROWS]
        notes.append(
            f"Of {len(runs):,} runs these are the {len(shown):,} to look at first or that move "
            "most; all of them are in group/runs.tsv."
        )
    others = runs.loc[~runs["participant_id"].isin(shown["participant_id"]), "participant_id"]
    links = (render.Cell(label, href=_href(label, "", pages)) for label in dict.fromkeys(others))
    tables = [_runs_table(level, shown, pages), *_absent_table(level)]
    blocks = (_distributions(level, runs),)
    section = render.Section(
        *("participants", "Participants", ""), blocks=blocks, tables=tuple(tables), notes=(*notes,)
    )
    return section, [link for link in links if link.href]


def _absent_table(level: Level) -> Iterator[render.Table]:
    """Participants without a result in some group; nothing without such."""
    groups = collect(
        ((str(label), str(reason)), result.entities)
        for result in level.results
        for label, reason in result.absent[["participant_id", "reason"]].itertuples(index=False)
    )
    people = sorted(groups, key=lambda person: natural(person[0]))
    rest, shown = len(people) - MOST_ROWS, people[:MOST_ROWS]
    more = f" {rest:,} more are in the tables of participants." if rest > 0 else ""
    titles = [groups[person] for person in shown]
    places = ["all groups" if len(own) == len(level.results) else listing(own, 2) for own in titles]
    if people:
        yield render.table_of(
            f"Participants without a result.{more}",
            render.text_column("Participant", [label for label, _ in shown]),
            render.text_column("Why", [reason for _, reason in shown]),
            render.text_column("In", places),
            file="group/*_participants.tsv",
        )


def quality_of_runs(level: Level) -> pd.DataFrame:
    """A row per run: the worst over seed sets and spaces, with columns per strategy and a verdict.

    Runs to look at come first: those with a verdict in red, then in amber.
    """
    by_run = level.runs.groupby("source", sort=False)
    runs = by_run[["participant_id", "session_id", "mean_fd", "n_volumes"]].first()
    for what, worst in (
        *(("coverage", "min"), ("tsnr", "min"), ("spheres_missing", "max")),
        *(("degrees_of_freedom", "min"), ("n_censored", "max")),
    ):
        runs[what] = by_run[what].agg(worst)
        if what in ("degrees_of_freedom", "n_censored"):
            for strategy, own in level.runs.groupby("strategy"):
                runs[f"{what} {strategy}"] = own.groupby("source")[what].agg(worst)
    names = zip(runs["participant_id"], map(str, runs.index), strict=True)
    runs["run"] = [name.removeprefix(f"{label}_").replace("_", " ") for label, name in names]
    excluded = level.excluded.drop_duplicates(["source", "strategy"]).groupby("source")
    for name, column, mark in (("excluded_by", "strategy", ", "), ("why", "reason", "; ")):
        texts = {str(run): mark.join(dict.fromkeys(map(str, own))) for run, own in excluded[column]}
        runs[name] = [texts.get(str(run), "") for run in runs.index]
    usable = level.runs[level.runs["excluded"] != 1].groupby("source")
    runs["kept"] = usable["n_kept"].min()
    runs["left"] = usable["degrees_of_freedom"].min()
    every, words = [], []
    for run in runs.to_dict("records"):
        judged = {"head motion": limits.judge_motion(run["mean_fd"])}
        if by := run["excluded_by"]:
            judged = {"excluded": Judgement(f"excluded by {by}", "bad")} | judged
        if np.isfinite(run["left"]):
            judged["censoring"] = limits.judge_censoring(run["kept"], run["n_volumes"])
            judged["d.o.f."] = limits.judge_degrees_of_freedom(run["left"])
        flagged = {word: judgement for word, judgement in judged.items() if judgement.tone}
        words.append(", ".join(flagged))
        name = f"{run['participant_id']}, {run['run']}"
        every.append(Verdict.of("participants", name, list(flagged.values())))
    runs["look_at"] = words
    runs["verdict"] = pd.Series(every, index=runs.index, dtype=object)
    runs["rank"] = [(*_TONES, "").index(verdict.tone) for verdict in every]
    return runs.reset_index().sort_values("rank", kind="stable")


def verdicts(runs: pd.DataFrame) -> Iterator[Verdict]:
    """How many participants to look at, and their worst runs."""
    flagged = runs[runs["rank"] < len(_TONES)]
    people, n = runs["participant_id"].nunique(), flagged["participant_id"].nunique()
    look = f"{n:,} to look at" if n else "none to look at"
    tone = flagged["verdict"].iloc[0].tone if n else ""
    yield Verdict("participants", count(people, "participant"), look, tone)
    yield from flagged["verdict"][:_MOST_VERDICTS]
    if (rest := len(flagged) - _MOST_VERDICTS) > 0:
        yield Verdict("participants", count(rest, "more run"), "see the table of runs", "warn")


def _toned(column: render.TableColumn, judgements: Iterable[Judgement]) -> render.TableColumn:
    """A column in the colours of judgements."""
    head, cells = column
    return head, [replace(cell, tone=j.tone) for cell, j in zip(cells, judgements, strict=True)]


def _runs_table(level: Level, runs: pd.DataFrame, pages: frozenset[str]) -> render.Table:
    people = zip(runs["participant_id"], runs["session_id"].fillna(""), strict=True)
    looks = zip(runs["look_at"], runs["rank"], runs["verdict"], strict=True)
    strategies = [(f" {strategy}", strategy) for strategy in level.run_strategies]
    if len(strategies) > _MOST_STRATEGIES:
        strategies = [("", "worst")]
    caption = "Runs and their quality, those to look at first."
    if len(level.runs[["space", "seeds", "scale"]].drop_duplicates()) > 1:
        caption += (
            f" Coverage and tSNR are the lowest, missing {level.things} the most, of all sets and "
            "spaces."
        )
    dof_left, censored, n, fd = [], [], runs["n_volumes"], runs["mean_fd"]
    for end, unit in strategies:
        lost, left = runs[f"n_censored{end}"], runs[f"degrees_of_freedom{end}"]
        judged = map(limits.judge_degrees_of_freedom, left)
        dof_left.append(_toned(render.number_column("D.o.f. left", left, 0, unit), judged))
        judged = map(limits.judge_censoring, n - lost, n)
        censored.append(_toned(render.number_column("Censored", lost, 0, unit), judged))
    return render.table_of(
        caption,
        (
            render.Column("Participant", numeric=False),
            [render.Cell(label, href=_href(label, session, pages)) for label, session in people],
        ),
        render.text_column("Run", runs["run"]),
        # Here also a phone shows them without scrolling.
        *dof_left,
        (
            render.Column("Look at", numeric=False),
            [
                render.Cell(words, f"{rank} {words}" if words else "", tone=verdict.tone)
                for words, rank, verdict in looks
            ],
        ),
        _toned(render.number_column("Mean FD", fd, 2, "mm"), map(limits.judge_motion, fd)),
        render.number_column("Volumes", n),
        *censored,
        render.number_column("Coverage", 100 * runs["coverage"], 1, "%"),
        render.number_column("Missing", runs["spheres_missing"], 0, level.things),
        render.number_column("tSNR", runs["tsnr"]),
        *((render.text_column("Why excluded", runs["why"]),) if len(level.excluded) else ()),
        file="group/runs.tsv",
    )


def _href(label: str, session: str, pages: frozenset[str]) -> str | None:
    """The page of the session, or else of the participant."""
    names = [f"{label}_{session}.html"] if session else []
    page = next((name for name in (*names, f"{label}.html") if name in pages), None)
    return None if page is None else quote(page, safe="")


def _distributions(level: Level, runs: pd.DataFrame) -> render.Block:
    """Histograms of the quality of runs; a note for what is the same in all."""
    by_strategy = [(s, f"degrees_of_freedom {s}", level.styles[s]) for s in level.run_strategies]
    notes, graphics = [], []
    for title, label, factor, digits, name in (
        ("Head motion", "Mean FD (mm)", 1, 2, "mean_fd"),
        ("Degrees of freedom left", "Degrees of freedom", 1, 0, ""),
        ("Coverage", f"Mean coverage of {level.things} (%)", 100, 1, "coverage"),
        ("Temporal signal-to-noise", "tSNR", 1, 0, "tsnr"),
    ):
        columns = [("", name, series_style(0))] if name else by_strategy
        samples = [
            Sample(who, factor * runs[column].to_numpy(np.float64), style)
            for who, column, style in columns
        ]
        known = [sample for sample in samples if sample.known.size]
        if not known:
            continue
        if np.ptp(np.concatenate([sample.known for sample in known])) == 0:
            value = number(float(known[0].known[0]), digits)
            notes.append(f"{label}: {value}{' in all runs' if len(runs) > 1 else ''}.")
            continue
        described = []
        for sample in known:
            low, middle, high = np.percentile(sample.known, (0, 50, 100))
            value, first, last = (number(float(v), digits) for v in (middle, low, high))
            text = f"median {value}" + (f", from {first} to {last}" if first != last else "")
            described.append(f"{sample.name}: {text}." if sample.name else sentence(text))
        words = " ".join(described)
        legend = tuple(sample.key for sample in known) if len(samples) > 1 else ()
        alt = f"{label}: {words}"
        chart = histogram(known, bins(known), label=label, share="Runs (%)", alt=alt)
        graphics.append(render.Graphic(chart, words, title, legend=legend))
    heading = "Distributions over runs" if len(runs) > 1 else "Quality of the run"
    return render.Block(heading, tuple(graphics), tuple(notes), columns=2)
