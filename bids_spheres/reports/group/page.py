"""All sections of the group's report put together."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from bids_spheres.files.atomic import temporary_files_in, write_text
from bids_spheres.files.names import parse_name
from bids_spheres.outputs import paths
from bids_spheres.outputs.find import group_tables
from bids_spheres.outputs.logs import last_settings
from bids_spheres.outputs.sidecars import texts
from bids_spheres.reports.group import data_quality, multiverse, seed_maps, strategies, tested_pairs
from bids_spheres.reports.group.group_warnings import cautions
from bids_spheres.reports.group.load import load_level
from bids_spheres.reports.group.mean_connectivity import condition_sections, network_names
from bids_spheres.reports.group.methods_text import group_methods
from bids_spheres.reports.participant import provenance
from bids_spheres.reports.toolkit.limits import LIMITS_IN_WORDS
from bids_spheres.reports.toolkit.render import Cell, Column, Table, page
from bids_spheres.settings.table import GROUP
from bids_spheres.wording import collect, count, listing, more_in, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from bids_spheres.reports.group.load import Level, Result
    from bids_spheres.reports.toolkit.render import HTMLReport

PAGE = "group.html"  # Name of the page in the output dataset
MOST_BYTES = 8e6  # Size of all matrices of a page together, which a browser opens without a pause
MOST_CHOICES = 40  # Pictures of one kind among which readers can choose
_BYTES_OF_PAIR = 2.7  # in base64, of a picture or of values
_MOST_FILES = 600

KINDS = {
    "runs": "quality of every run",
    "strategies": "strategies, with the effect of motion that is left",
    "coverage": "seeds or regions that the group has, and where they are",
    "mean": "mean over participants",
    "sd": "standard deviation over participants",
    "n": "participants of each pair",
    "t": "Student's t of the mean",
    "p": "p of t, not corrected",
    "q": "p corrected for all pairs",
    "edges": "index of pairs: nodes, networks, distance, QC-FC",
    "networks": "means within and between networks",
    "model": "coefficients and tests of the model",
    "contrast-_edges": "effects and tests of a contrast",
    "contrast-_nbs": "components of pairs of a contrast",
    "contrast-_cnbs": "pairs of networks of a contrast",
    "contrast-_clusters": "clusters of seed maps of a contrast",
    "harmonization": "effects of sites that ComBat removed",
    "reliability": "reliability of each pair over sessions or runs",
    "networkreliability": "reliability of means of networks",
    "stability": "agreement of parts of every run with the whole",
    "minutes": "minutes of data that pairs of networks need",
    "stacked": "pairs of every participant, for machine learning",
    "participants": "participants with a result, and why others have none",
    "specifications": "effects under every choice of analysis",
    "robustness": "how effects depend on choices of analysis, and which are robust",
}
"""Descriptions of the tables by their suffixes; a JSON file beside each has more."""


def write_group_report(
    output_dir: Path, temporary_dir: Path | None = None, options: Collection[str] = ()
) -> Path:
    """Write the page into the root of the results; temporary files go there or elsewhere.

    Of the settings of the last call it shows those of some `options`, or all. MissingInputError
    without results of the group level, DataError or ReadWriteError when they can't be read,
    OutputError when the page can't be written.
    """
    level = load_level(output_dir)
    with temporary_files_in(temporary_dir or output_dir):
        html = group_page(level, options).html
    path = output_dir / PAGE
    write_text(path, html)
    return path


def group_page(level: Level, options: Collection[str] = ()) -> HTMLReport:
    """The report of the group level, with the values of some options in the last call, or all."""
    shown = affordable(level.results)
    seeds = tuple(data_quality.seeds_sections(level.images[:MOST_CHOICES]))
    stages = {section.anchor: section.stage for section in seeds}
    n_all = sum(result.has_matrices for result in level.results)
    shown_note = ""
    if len(shown) < n_all:
        shown_note = (
            f"To keep this page small, {len(shown):,} of {n_all:,} groups are shown here; all of "
            "them are in the tables of the folder group, and in the table of strategies above."
        )
    # Rows of matrices, by the identifiers that matrices name.
    names: dict[str, tuple[str, ...]] = {}
    for condition in level.conditions:
        if results := [result for result in condition.results if result.anchor in shown]:
            image = condition.image
            names[f"{image.anchor}-names"] = image.order.arranged(image.names)
            names[f"{image.anchor}-networks"] = network_names(results)
    runs = data_quality.quality_of_runs(level)
    runs_table, links = data_quality.runs_table(level, runs)
    effects = multiverse.effects(level)
    software = provenance.software(level.output_dir)
    record = last_settings(level.output_dir, lambda call: call.get("analysis_level") == GROUP)
    return page(
        "group.html.j2",
        f"Group of {count(level.runs['participant_id'].nunique(), 'participant')}",
        summary=(*summary(level), *provenance.made_with(software)),
        verdicts=tuple(data_quality.verdicts(runs)),
        limits=LIMITS_IN_WORDS,
        warnings=tuple(cautions(level)),
        reading=strategies.reading(level),
        comparisons=tuple(strategies.comparison_sections(level, shown))[:MOST_CHOICES],
        strategies=strategies.strategies_table(level),
        distributions=data_quality.distributions(level, runs),
        participants=(runs_table, *data_quality.absent_table(level)),
        links=links,
        seeds=seeds,
        conditions=tuple(condition_sections(level, shown, stages))[:MOST_CHOICES],
        shown_note=shown_note,
        contrasts=tuple(tested_pairs.contrast_sections(level, shown, stages))[:MOST_CHOICES],
        maps=tuple(seed_maps.map_sections(level)),
        robustness=multiverse.robustness_section(effects) if effects else None,
        curves=tuple(multiverse.curve_sections(level, effects, MOST_CHOICES)),
        models=tuple(tested_pairs.model_sections(level, shown))[:MOST_CHOICES],
        names=names,
        methods=group_methods(level),
        files=files_table(level.output_dir),
        **provenance.origin(level.output_dir, *record, software, options),
    )


def affordable(results: Iterable[Result]) -> frozenset[str]:
    """Anchors of the groups whose matrices are shown; at least the first group with a result."""
    chosen: list[str] = []
    left = MOST_BYTES
    for result in results:
        if not result.has_matrices:
            continue
        n, terms = len(result.image.names), texts(result.model_about.get("Terms"))
        permuted = sum("Permutations" in about for about in result.contrast_sidecars.values())
        # A picture and two values, of each term as many; of a contrast up to two and eight.
        pictures = 3 * (1 + len(terms)) + 10 * permuted
        left -= n * (n - 1) / 2 * pictures * _BYTES_OF_PAIR
        if left < 0 and chosen:
            break
        chosen.append(result.anchor)
    return frozenset(chosen)


def summary(level: Level) -> Iterator[str]:
    """Sentences at the top of the page."""
    runs, excluded = level.runs, level.excluded["source"].nunique()
    people = count(runs["participant_id"].nunique(), "participant").capitalize()
    by_strategy = f"{excluded:,} of them excluded by a strategy" if excluded else "none excluded"
    yield f"{people}, {count(runs['source'].nunique(), 'run')}, {by_strategy}."
    sets = collect((i.noun, f"{i.seeds}: {count(len(i.names), i.noun)}") for i in level.images)
    named = (
        ("task", None, runs["task"].dropna()),
        ("space", None, [image.space for image in level.images]),
        ("seed set", None, sets.get("seed", [])),
        ("set of regions", "sets of regions", sets.get("region", [])),
        ("strategy", "strategies", [*level.run_strategies, *(r.strategy for r in level.results)]),
        ("measure", None, [condition.results[0].measure for condition in level.conditions]),
    )
    parts = [
        f"{count(len(unique), thing, things)} ({listing(unique, most=8)})"
        for thing, things, labels in named
        if (unique := list(dict.fromkeys(labels)))
    ]
    yield f"{'; '.join(parts)}."
    each = runs.drop_duplicates("source")["mean_fd"].to_numpy(np.float64)
    known = each[np.isfinite(each)]
    if known.size == 1:
        yield f"Mean framewise displacement of the run: {number(float(known[0]))} mm."
    elif known.size:
        low, middle, high = (number(float(fd)) for fd in np.percentile(known, (0, 50, 100)))
        yield f"Mean framewise displacement of runs: median {middle} mm, from {low} to {high} mm."


def files_table(output_dir: Path) -> Table:
    """Links to all tables of the group."""
    tables, rows = group_tables(output_dir), []
    for path in tables[:_MOST_FILES]:
        try:
            name = parse_name(path.name)
        except ValueError:  # a table of all groups, or not ours
            kind, group = path.name.partition(".")[0], "all groups"
        else:
            own = name.get(paths.CONTRAST)
            kind = paths.of_contrast("", name.suffix) if own else name.suffix
            group = paths.title(paths.group_of_contrast(name))
        content = Cell(KINDS.get(kind, "not by this version"))
        href = f"{paths.GROUP_FOLDER}/{quote(path.name, safe='')}"
        rows.append((content, Cell(group), Cell(path.name.removeprefix(f"{group}_"), href=href)))
    more = more_in(len(tables) - _MOST_FILES, "the folder group")
    caption = f"Tables of the group; the JSON file beside each describes it. {more}".rstrip()
    heads = tuple(Column(label, numeric=False) for label in ("Content", "Of", "File"))
    return Table(caption, heads, tuple(rows), file="the folder group")
