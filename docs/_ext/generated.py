"""Parts of pages that are made from the package when pages are built, and so can't be outdated.

A comment ``<!-- generated: NAME -->`` in a page stands for what the function of that name in
`PARTS` gives, Markdown as MyST reads it.
"""

from __future__ import annotations

import argparse
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import house

from bids_spheres import errors
from bids_spheres.app import parser as options
from bids_spheres.app.listings import describe_strategies
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_strategies
from bids_spheres.engine.seeds import load_seeds, published_seed_sets
from bids_spheres.group import (
    edges,
    gather,
    harmonization,
    maps,
    multiverse,
    quality,
    reliability,
    results,
)
from bids_spheres.outputs.sidecars import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sphinx.application import Sphinx

_MARKER = re.compile(r"^<!-- generated: (?P<name>[a-z_]+) -->$", re.MULTILINE)


def options_page(parser: argparse.ArgumentParser) -> str:
    """All arguments of a parser, a section for each of its groups."""
    parts = [f":::{{program}} {parser.prog}\n:::\n"]
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no public way to them
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]  # noqa: SLF001
        if actions:
            title = (group.title or "").capitalize()
            parts += [f"\n### {title}\n", *map(_option, actions)]
    return "\n".join(parts)


def _option(action: argparse.Action) -> str:
    names = [name for name in action.option_strings if "_" not in name] or [action.dest]
    value = _value(action)
    signature = ", ".join(f"{name} {value}".strip() for name in names)
    return f":::{{option}} {signature}\n{_text(action.help or '')}\n:::\n"


def _value(action: argparse.Action) -> str:
    """What is to be typed after a flag."""
    if action.nargs == 0 or not action.option_strings:
        return ""
    choices = "|".join(map(str, action.choices)) if action.choices else ""
    name = action.metavar or choices or action.dest.upper()
    return f"{name} ..." if action.nargs in ("+", "*") else str(name)


def _text(told: str) -> str:
    """Words of a help text as Markdown: flags and file names as code, the rest as it is."""
    words = [
        f"`{word}`" if word.startswith(("--", "*")) else re.sub(r"([\\`*_{}\[\]<>])", r"\\\1", word)
        for word in told.split()
    ]
    return " ".join(words)


def exit_statuses() -> str:
    """Table of exit statuses, with the exceptions that stand for them."""
    kinds = {
        kind.exit_status: f"`bids_spheres.errors.{kind.__name__}`"
        for kind in errors.BidsSpheresError.__subclasses__()
    }
    told = {0: "all done", **errors.EXIT_STATUSES}
    rows = [(str(status), meaning, kinds.get(status, "")) for status, meaning in told.items()]
    return _table(("status", "meaning", "exception"), rows)


def strategies() -> str:
    """Every strategy that ships with the package, as the command tells it."""
    return "\n".join(
        f"### {name}\n\n{load_strategy(name).description}\n\n"
        + "".join(f"- **{term}**: {_text(told)}\n" for term, told in _told(name))
        for name in published_strategies()
    )


def _told(name: str) -> Iterator[tuple[str, str]]:
    """What `bids-spheres strategies` tells after the description."""
    for line in describe_strategies([name]):
        term, colon, told = line.strip().partition(": ")
        if colon and term.isalpha():
            yield term, told.strip()


def seed_sets() -> str:
    """Table of the seed sets that ship with the package."""
    rows = []
    for name in published_seed_sets():
        seeds = load_seeds(name)
        radii = " and ".join(f"{radius:g}" for radius in sorted(set(seeds.radii)))
        networks = len(set(seeds.networks or ()) - {"n/a"})
        doi = seeds.metadata["DOI"]
        source = f"[{seeds.metadata['Authors'][0].split()[-1]} et al.](https://doi.org/{doi})"
        if len(seeds.metadata["Authors"]) == 1:
            source = source.replace(" et al.", "")
        cells = (f"`{name}`", len(seeds), radii, networks or "none", seeds.space, source)
        rows.append(tuple(map(str, cells)))
    header = ("`--atlas`", "seeds", "radius, mm", "networks", "space", "source")
    return _table(header, rows)


def cluster_scripts() -> str:
    """The scripts for Slurm, as they are in the folder of examples."""
    scripts = sorted((Path(__file__).parents[1] / "examples").glob("slurm_*.sh"))
    return "\n".join(f"```sh\n{path.read_text(encoding='utf-8')}```\n" for path in scripts)


def output_readme() -> str:
    """The README.md of every output folder, from its first section on, one level deeper."""
    path = resources.files("bids_spheres") / "data" / "output_readme.md"
    _, _, text = path.read_text(encoding="utf-8").partition("\n## ")
    return f"## {text}"


_GROUP_TABLES = {
    "participants": results.PARTICIPANT_COLUMNS,
    "edges": results.EDGE_COLUMNS,
    "networks": edges.NETWORK_COLUMNS,
    "model": results.MODEL_COLUMNS,
    "contrast-<name>_edges": results.CONTRAST_COLUMNS,
    "contrast-<name>_nbs": results.COMPONENT_COLUMNS,
    "contrast-<name>_cnbs": results.NETWORK_TEST_COLUMNS,
    "contrast-<name>_clusters": maps.CLUSTER_COLUMNS,
    "reliability": reliability.EDGE_COLUMNS,
    "networkreliability": reliability.NETWORK_COLUMNS,
    "harmonization": harmonization.COLUMNS,
    "minutes": reliability.MINUTES_COLUMNS,
    "coverage": gather.COVERAGE_COLUMNS,
    "specifications": multiverse.SPECIFICATION_COLUMNS,
    "robustness": multiverse.EFFECT_COLUMNS,
    "runs": quality.RUN_COLUMNS,
    "strategies": quality.STRATEGY_COLUMNS,
    "stability": reliability.STABILITY_COLUMNS,
}


def group_columns() -> str:
    """Tables of the columns of all tables of the group level that are no matrices."""
    return "\n".join(
        f"### {_file(what)}\n\n{_columns(described(columns))}"
        for what, columns in _GROUP_TABLES.items()
    )


def _file(what: str) -> str:
    return f"`{what}.tsv`" if what in ("runs", "strategies", "stability") else f"`*_{what}.tsv`"


def _columns(about: Mapping[str, Mapping[str, str]]) -> str:
    rows = [
        (f"`{name}`", entry["Description"] + (f", {entry['Units']}" if "Units" in entry else ""))
        for name, entry in about.items()
    ]
    return _table(("column", "meaning"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "options_of_the_app": lambda: options_page(options.main_parser()),
    "options_of_demo": lambda: options_page(options.command_parser("demo")),
    "options_of_strategies": lambda: options_page(options.command_parser("strategies")),
    "options_of_seeds": lambda: options_page(options.command_parser("seeds")),
    "options_of_export": lambda: options_page(options.command_parser("export")),
    "options_of_why": lambda: options_page(options.command_parser("why")),
    "exit_statuses": exit_statuses,
    "strategies": strategies,
    "seed_sets": seed_sets,
    "cluster_scripts": cluster_scripts,
    "output_readme": output_readme,
    "group_columns": group_columns,
    "house": house.picture,
}


def filled(text: str) -> str:
    """A page with its generated parts.

    Raises
    ------
    KeyError
        For a part that does not exist.
    """
    return _MARKER.sub(lambda found: PARTS[found["name"]](), text)


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    del app, name
    source[0] = filled(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Fill pages when they are read."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
