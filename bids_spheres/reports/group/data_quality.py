"""Participants and their runs: motion and degrees of freedom; and the seeds that they lack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_spheres.engine import Grid
from bids_spheres.engine.seeds import is_network
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.names import natural
from bids_spheres.outputs.find import find_runs, labels_with_folders, pages_of_participants
from bids_spheres.outputs.links import read_links
from bids_spheres.reports.group.load import parts_apart
from bids_spheres.reports.participant.sphere_section import Background, find_background
from bids_spheres.reports.toolkit import limits, render
from bids_spheres.reports.toolkit.charts import series_style
from bids_spheres.reports.toolkit.connectome import Stage
from bids_spheres.reports.toolkit.distributions import Sample, bins, histogram
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.limits import Judgement, Verdict, toned
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, MANY, PARTIAL, Scene, overview
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.wording import collect, count, listing, more_in, number, percent, plural, sentence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from bids_spheres.outputs.find import GroupFiles
    from bids_spheres.reports.group.load import FloatArray, Image, Level

MOST_ROWS = 2000  # Rows of the table; a browser takes seconds to lay out more
_WORST_OF_STRATEGY = {"degrees_of_freedom": "min", "n_censored": "max"}
_WORST = {"coverage": "min", "tsnr": "min", "spheres_missing": "max", **_WORST_OF_STRATEGY}
_MOST_VERDICTS = 6
_TONES = ("bad", "warn", "")
_MOST_STRATEGIES = 4  # With more strategies, columns have the worst of all
HALF = 0.5  # Share of participants below which a seed is drawn as missing
_MOST_SEEDS = 400
# Middle and half the size of the brain in MNI templates, mm
_MNI_CENTRE, _MNI_RADII = (0, -17, 5), (71, 90, 76)


def absent_table(level: Level) -> Iterator[render.Table]:
    """Participants without a result in some group; nothing without such."""
    groups = collect(
        ((str(label), str(reason)), result.entities)
        for result in level.results
        for label, reason in result.absent[["participant_id", "reason"]].itertuples(index=False)
    )
    people = sorted(groups, key=lambda person: natural(person[0]))
    more = more_in(len(people) - MOST_ROWS, "the tables of participants")
    rows = [
        (*who, "all groups" if len(own) == len(level.results) else listing(own, 2))
        for who, own in ((person, groups[person]) for person in people[:MOST_ROWS])
    ]
    if rows:
        columns = map(render.text_column, ("Participant", "Why", "In"), zip(*rows, strict=True))
        caption = f"Participants without a result. {more}".rstrip()
        yield render.table_of(caption, *columns, file="group/*_participants.tsv")


def quality_of_runs(level: Level) -> pd.DataFrame:
    """A row per run: the worst over seed sets and spaces, with columns per strategy and a verdict.

    Runs to look at come first: those with a verdict in red, then in amber.
    """
    by_run = level.runs.groupby("source", sort=False)
    runs = by_run[["participant_id", "session_id", "mean_fd", "n_volumes"]].first()
    runs = runs.join(by_run.agg(_WORST))
    for strategy, own in level.runs.groupby("strategy"):
        worst = own.groupby("source").agg(_WORST_OF_STRATEGY)
        runs = runs.join(worst.add_suffix(f" {strategy}"))
    names = zip(runs["participant_id"], map(str, runs.index), strict=True)
    runs["run"] = [name.removeprefix(f"{label}_").replace("_", " ") for label, name in names]
    excluded = level.excluded.drop_duplicates(["source", "strategy"]).groupby("source")
    for name, column, mark in (("excluded_by", "strategy", ", "), ("why", "reason", "; ")):
        texts = {run: mark.join(dict.fromkeys(map(str, own))) for run, own in excluded[column]}
        runs[name] = [texts.get(run, "") for run in runs.index]
    usable = level.runs[level.runs["excluded"] != 1].groupby("source")
    runs[["kept", "left"]] = usable[["n_kept", "degrees_of_freedom"]].min()
    looks, judged_runs = [], []
    for run in runs.to_dict("records"):
        judged = {"head motion": limits.judge_motion(run["mean_fd"])}
        if by := run["excluded_by"]:
            judged = {"excluded": Judgement(f"excluded by {by}", "bad")} | judged
        if np.isfinite(run["left"]):
            judged["censoring"] = limits.judge_censoring(run["kept"], run["n_volumes"])
            judged["d.o.f."] = limits.judge_degrees_of_freedom(run["left"])
        flagged = {word: judgement for word, judgement in judged.items() if judgement.tone}
        name = f"{run['participant_id']}, {run['run']}"
        verdict = Verdict.of("participants", name, list(flagged.values()))
        words, rank = ", ".join(flagged), _TONES.index(verdict.tone)
        looks.append(render.Cell(words, f"{rank} {words}" if words else "", tone=verdict.tone))
        judged_runs.append(verdict)
    runs["look_at"] = pd.Series(looks, index=runs.index, dtype=object)
    runs["verdict"] = pd.Series(judged_runs, index=runs.index, dtype=object)
    runs["rank"] = [_TONES.index(verdict.tone) for verdict in judged_runs]
    return runs.reset_index().sort_values("rank", kind="stable")


def verdicts(runs: pd.DataFrame) -> Iterator[Verdict]:
    """How many participants to look at, and their worst runs."""
    flagged = runs[runs["rank"] < _TONES.index("")]
    people, n = runs["participant_id"].nunique(), flagged["participant_id"].nunique()
    look = f"{n:,} to look at" if n else "none to look at"
    tone = flagged["verdict"].iloc[0].tone if n else ""
    yield Verdict("participants", count(people, "participant"), look, tone)
    yield from flagged["verdict"][:_MOST_VERDICTS]
    if (rest := len(flagged) - _MOST_VERDICTS) > 0:
        yield Verdict("participants", count(rest, "more run"), "see the table of runs", "warn")


def runs_table(level: Level, runs: pd.DataFrame) -> tuple[render.Table, list[render.Cell]]:
    """Quality of runs, and links to the pages of participants of whom none is in the table."""
    pages = {page.name for page in pages_of_participants(level.output_dir)}
    caption, every = "Runs and their quality, those to look at first.", runs
    if len(runs) > MOST_ROWS:
        order = runs.sort_values(["rank", "mean_fd"], ascending=[True, False], kind="stable")
        runs = order[:MOST_ROWS]
        caption += (
            f" Of {len(every):,} runs these are the {MOST_ROWS:,} to look at first or that move "
            "most; all of them are in group/runs.tsv."
        )
    if len(level.runs[["space", "seeds", "scale"]].drop_duplicates()) > 1:
        caption += (
            f" Coverage and tSNR are the lowest, missing {level.things} the most, of all sets and "
            "spaces."
        )
    strategies = [(f" {strategy}", strategy) for strategy in level.run_strategies]
    if len(strategies) > _MOST_STRATEGIES:
        strategies = [("", "worst")]
    dof_left, censored, n, fd = [], [], runs["n_volumes"], runs["mean_fd"]
    for end, unit in strategies:
        lost, left = runs[f"n_censored{end}"], runs[f"degrees_of_freedom{end}"]
        judged = map(limits.judge_degrees_of_freedom, left)
        dof_left.append(toned(render.number_column("D.o.f. left", left, 0, unit), judged))
        judged = map(limits.judge_censoring, n - lost, n)
        censored.append(toned(render.number_column("Censored", lost, 0, unit), judged))
    people = zip(runs["participant_id"], runs["session_id"].fillna(""), strict=True)
    table = render.table_of(
        caption,
        (render.Column("Participant", numeric=False), [_link(*who, pages) for who in people]),
        render.text_column("Run", runs["run"]),
        # Here also a phone shows them without scrolling.
        *dof_left,
        (render.Column("Look at", numeric=False), list(runs["look_at"])),
        toned(render.number_column("Mean FD", fd, 2, "mm"), map(limits.judge_motion, fd)),
        render.number_column("Volumes", n),
        *censored,
        render.number_column("Coverage", 100 * runs["coverage"], 1, "%"),
        render.number_column("Missing", runs["spheres_missing"], 0, level.things),
        render.number_column("tSNR", runs["tsnr"]),
        *((render.text_column("Why excluded", runs["why"]),) if len(level.excluded) else ()),
        file="group/runs.tsv",
    )
    others = every["participant_id"][~every["participant_id"].isin(runs["participant_id"])]
    links = [_link(label, "", pages) for label in others.unique()]
    return table, [link for link in links if link.href]


def _link(label: str, session: str, pages: Collection[str]) -> render.Cell:
    """A participant, with a link to the page of the session, or else of the participant."""
    names = [f"{label}_{session}.html"] if session else []
    page = next((name for name in (*names, f"{label}.html") if name in pages), None)
    return render.Cell(label, href=None if page is None else quote(page, safe=""))


def distributions(level: Level, runs: pd.DataFrame) -> render.Block:
    """Histograms of the quality of runs; a note for what is the same in all."""
    by_strategy = [(f"degrees_of_freedom {s}", s, level.styles[s]) for s in level.run_strategies]
    notes, graphics, alone = [], [], ("", series_style(0))
    for title, label, factor, digits, columns in (
        ("Head motion", "Mean FD (mm)", 1, 2, [("mean_fd", *alone)]),
        ("Degrees of freedom left", "Degrees of freedom", 1, 0, by_strategy),
        ("Coverage", f"Mean coverage of {level.things} (%)", 100, 1, [("coverage", *alone)]),
        ("Temporal signal-to-noise", "tSNR", 1, 0, [("tsnr", *alone)]),
    ):
        samples = [Sample(s, factor * runs[c].to_numpy(float), style) for c, s, style in columns]
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


def seeds_sections(images: Sequence[Image]) -> Iterator[render.Section]:
    """Figure, sentences and table of the seeds of each image."""
    for image, parts in zip(images, parts_apart([i.parts for i in images]), strict=True):
        behind = find_group_background(image)
        share = image.coverage["share"].to_numpy(np.float64)
        colours = np.select([share < HALF, share < 1], [EMPTY, PARTIAL], FULL)
        radii = image.coverage["radius"].to_numpy(np.float64)
        scene = Scene(image.points, radii, behind.picture, given_colours=colours)
        sentences, legend = _describe(image, share)
        caption = f"All {image.noun}s{behind.over}{legend}{scene.too_far(image.names)}"
        if is_native(image.space):
            caption += (
                " Every participant has coordinates of their own in this space; the figure and the "
                "table show their means, which are approximate."
            )
        seeds = image.coverage.sort_values(["share", "coverage"], kind="stable")[:_MOST_SEEDS]
        rest = len(image.coverage) - len(seeds)
        more = f" The other {rest:,} are in the table of coverage." if rest > 0 else ""
        tones = np.select([seeds["share"] < HALF, seeds["share"] < 1], ["bad", "warn"], "").tolist()
        networks = render.text_column("Network", seeds["network"])
        table = render.table_of(
            f"{image.noun.capitalize()}s; those that most participants lack come first.{more}",
            render.text_column(image.noun.capitalize(), seeds["name"]),
            *((networks,) if (image.coverage["network"] != MISSING).any() else ()),
            *(render.number_column(axis, seeds[axis], 1, "mm") for axis in "xyz"),
            render.number_column("Participants", seeds["participants"]),
            render.percent_column("Share", seeds["share"], tones),
            render.percent_column("Coverage", seeds["coverage"]),
            file=f"group/{image.path('coverage').name}",
        )
        alt = " ".join([f"All {image.noun}s from three sides.", *sentences])
        shown = picture(overview(scene, image.networks), alt)
        yield render.Section(
            image.anchor,
            image.image_title,
            ", ".join(parts.values()) or image.image_title,
            sentences=sentences,
            figures=(render.Figure(f"{image.anchor}-seeds", shown, caption),),
            tables=(table,),
            stage=Stage.of(scene, f"{image.anchor}-glass"),
        )


def _describe(image: Image, share: FloatArray) -> tuple[tuple[str, ...], str]:
    """Sentences about the seeds that participants have, and what colours mean."""
    n, whole, half = len(share), int((share == 1).sum()), int((share < HALF).sum())
    noun = image.noun
    worst = listing([image.names[s] for s in np.argsort(share, kind="stable") if share[s] < 1])
    who, few, some = "All participants have", "fewer than half have", "some lack"
    if image.n_participants == 2:
        who, few, some = "Both participants have", "none has", "some lack" if half else "one lacks"
    lack = f"{some} {n - whole:,}" + (f", and {few} {half:,}" if half else "")
    if not share[share < 1].any():
        lack = f"{n - whole:,} {plural(n - whole, 'is', 'are')} missing in every participant"
    legend = f"all participants have the {noun}; amber, dashed: some lack it; red, dotted: {few} it"
    if image.n_participants == 1:
        who, lack = "The participant has", "missing"
        legend = f"the participant has the {noun}; red, dotted: the {noun} is missing"
    shape = "to scale" if noun == "seed" else "as balls of their volume"
    legend = f", {shape} and transparent. Blue: {legend}."
    if n > MANY and any(map(is_network, image.networks)):
        legend = (
            ", in colours of their networks. Outlined in amber, dashed: some participants lack the "
            f"{noun}; in red, dotted: {few} it."
        )
    sentence = f"{who} {whole:,} of {count(n, noun)}; {lack}: {worst}."
    if whole == n:
        sentence = f"{who} each of {count(n, noun)}."
    mean = float(image.coverage["coverage"].mean())
    signal = f"Mean coverage of a {noun}: {percent(mean)} of its voxels have a signal."
    return (sentence, *((signal,) if np.isfinite(mean) else ())), legend


def find_group_background(image: GroupFiles) -> Background:
    """The template, else the brain of the first participant, else one of the same size."""
    if is_native(image.space):
        return Background()
    links = read_links(image.root)
    template = find_background({"SpatialReference": image.space}, links)
    if template.words:
        return template
    first = next(iter(labels_with_folders(image.root, "sub")), "")
    spheres = (own.spheres for run in find_runs(image.root, first) for own in run.seed_sets)
    sidecars = (table.sidecar for table in spheres if table)
    sidecar = next((s for s in sidecars if s.get("SpatialReference") == image.space), None)
    if sidecar and (background := find_background(sidecar, links)).words:
        return replace(background, words=f"the brain of sub-{first}")
    if not image.space.startswith("MNI"):
        return Background()
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -76, -113, -77
    grid = Grid((39, 49, 43), affine)
    places = grid.to_mm(np.indices(grid.shape).reshape(3, -1).T)
    distance = np.linalg.norm((places - _MNI_CENTRE) / _MNI_RADII, axis=1).reshape(grid.shape)
    brain = backdrop(np.clip(1.2 - distance**6, 0, 1), grid)
    return Background(brain, "an ellipsoid of the size of a brain")
