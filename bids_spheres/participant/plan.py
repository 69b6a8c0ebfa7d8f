"""Runs x settings to jobs.

A `Job` is all that a worker needs to know about one run in one space. Where its outputs go is
decided here: two jobs that would write one file are found before the first image is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.confounds.strategy_file import load_strategy, override
from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.seeds import (
    SeedTable,
    load_published_seeds,
    load_seed_file,
    scale_label,
    typed_seeds,
)
from bids_spheres.engine.stream import read_mask
from bids_spheres.errors import DataError, OutputError, UsageError
from bids_spheres.files.names import as_written
from bids_spheres.inputs.matching import find_outliers
from bids_spheres.outputs.paths import (
    EFFECTIVE_DOF,
    PLACEMENT_MEAN,
    PLACEMENT_SD,
    UNCLEANED,
    OutputPaths,
    seed_entities,
)
from bids_spheres.participant.seeds_in_space import place_in_run, place_in_template
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.spaces.templates import template_mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.inputs.runs import Run
    from bids_spheres.settings.table import Processing
    from bids_spheres.spaces.placement import SeedsInSpace


PLACEMENTS = (PLACEMENT_MEAN, PLACEMENT_SD)  # labels of matrices over placements of spheres
_LONGEST_NAME = 255  # bytes, as many as letters; of almost every file system


@dataclass(frozen=True)
class Work:
    """What is asked of every run; `links` are input datasets' names in ``DatasetLinks``."""

    seed_sets: tuple[SeedTable, ...]
    strategies: tuple[Strategy, ...]
    processing: Processing
    output_dir: Path
    links: tuple[tuple[str, Path], ...]
    work_dir: Path | None = None
    threads: int = 2


@dataclass(frozen=True)
class JobImage:
    """One BOLD image of a run and the strategies that start from it."""

    bold: Path
    strategies: tuple[Strategy, ...]

    @classmethod
    def all_of(cls, run: Run, strategies: Sequence[Strategy]) -> tuple[JobImage, ...]:
        """Images of a run; a strategy that starts from none of them is left out."""
        chosen = {strategy: run.image(strategy.bold_kinds) for strategy in strategies}
        images = dict.fromkeys(bold for bold in chosen.values() if bold)
        return tuple(
            cls(bold, tuple(strategy for strategy, own in chosen.items() if own == bold))
            for bold in images
        )


@dataclass(frozen=True)
class Job:
    """Work on one run in one space.

    `placements` are the seed sets in the space of the run, empty while that is the participant's
    own and the transforms were not read. Without a `mask` the whole image is used. `current` are
    the tables that are up to date: of spheres, designs, and series with all that is made of them.
    """

    run: Run
    images: tuple[JobImage, ...]
    placements: tuple[SeedsInSpace, ...]
    mask: Path | None
    work: Work
    outliers: Path | None = None
    current: frozenset[Path] = frozenset()

    def __str__(self) -> str:
        return str(self.run)

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """Strategies that have an image in this run."""
        return tuple(strategy for image in self.images for strategy in image.strategies)

    @property
    def without_image(self) -> tuple[Strategy, ...]:
        """Strategies without an image in this run."""
        return tuple(s for s in self.work.strategies if s not in self.strategies)

    def placed(self) -> Job:
        """The same with the seed sets in the space of the run, for which transforms may be read."""
        if self.placements:
            return self
        roots, warp = [root for _, root in self.work.links], self.work.processing.warp_seeds
        placements = place_in_run(self.work.seed_sets, self.run, roots, warp=warp)
        return replace(self, placements=placements)

    @cached_property
    def paths(self) -> OutputPaths:
        """Where the outputs go."""
        return OutputPaths(self.work.output_dir, self.run.name, self.work.processing.aggregation)

    def tables(self, seeds: SeedTable, strategy: str) -> list[Path]:
        """Tables of series after a strategy, which come first, and of all that is made of them."""
        rules = self.work.processing
        stats = [measure(name).stat for name in rules.connectivity]
        stats += [EFFECTIVE_DOF] if rules.effective_dof else []
        # Regions have places of their own.
        stats += PLACEMENTS if rules.placements and seeds.regions is None else ()
        tables = [self.paths.series(seeds, strategy)]
        tables += [self.paths.matrix(seeds, strategy, stat) for stat in stats]
        return [*tables, self.paths.controls(seeds, strategy)] if rules.controls else tables

    def outputs(self) -> dict[Path, Path]:
        """Output paths and the input each is made from, but for maps, which need a series."""
        paths: dict[Path, Path] = {}
        for seeds in self.work.seed_sets if self.images else ():
            first = self.images[0].bold
            paths[self.paths.spheres(seeds, ".nii.gz")] = first
            paths[self.paths.spheres(seeds)] = paths[self.paths.uncleaned(seeds)] = first
        for image in self.images:
            for strategy in (strategy.name for strategy in image.strategies):
                for seeds in self.work.seed_sets:
                    paths |= dict.fromkeys(self.tables(seeds, strategy), image.bold)
                # Images of one run in several spaces share the table, and so the design.
                table = self.run.tables.confounds or Path(*as_written(self.run.name.source))
                paths[self.paths.design(strategy)] = paths[self.paths.outliers(strategy)] = table
        return paths


def load_seed_sets(
    published: Sequence[str],
    own: Sequence[Path | str],
    radii: Sequence[float],
    regions: Sequence[SeedTable] = (),
) -> tuple[SeedTable, ...]:
    """Sets that ship with the package, by name, tables of the user's own, and regions.

    Spheres once per radius of all of them, mm; without any radius, as they are. A `UsageError`
    when two sets would have the same label in output names.
    """
    tables = [load_published_seeds(name) for name in published]
    tables += [load_seed_file(path) for path in own if isinstance(path, Path)]
    if typed := [word for word in own if isinstance(word, str)]:
        tables.append(typed_seeds(typed))
    for table in (*tables, *regions):
        if "Node" in table.names:
            raise UsageError(
                f"A seed of {table.label} is named Node, as is the first column of matrices.",
                hint="Give it another name.",
            )
    labels = [tuple(seed_entities(table).items()) for table in (*tables, *regions)]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        entity, label = repeated[0][0]
        raise UsageError(
            f"Two seed sets have the label {entity}-{label}, so their outputs would collide.",
            hint="Name each set once; the label of a table is made from its file name.",
        )
    if radii:
        tables = [table.with_radius(radius) for table in tables for radius in radii]
    if len(radii) > 1:  # names of files tell them apart
        scales = cycle(map(scale_label, radii))
        tables = [replace(table, scale=next(scales)) for table in tables]
    return (*tables, *regions)


def load_strategies(names: Sequence[str], changes: Mapping[str, Any]) -> tuple[Strategy, ...]:
    """Strategies by name or file, each once, with changes of options by keys joined by dots."""
    given = [load_strategy(name) for name in dict.fromkeys(names)]
    try:
        strategies = tuple(override(strategy, changes) for strategy in given)
    except DataError as error:  # what was read is fine; what was typed is not
        raise UsageError(error.message, error.hint) from error
    labels = [strategy.name for strategy in strategies]
    hint = "Give your own strategy another name."
    if UNCLEANED in labels:
        problem = f"A strategy is named {UNCLEANED}, as are the series before cleaning."
        raise UsageError(problem, hint)
    if repeated := [label for label in labels if labels.count(label) > 1]:
        problem = f"Two strategies are named {repeated[0]}, so their outputs would collide."
        raise UsageError(problem, hint)
    return strategies


def make_jobs(work: Work, runs: Sequence[Run], outliers: Path | None = None) -> list[Job]:
    """One job per run and space; `outliers` is a table of volumes to censor, or a folder of such.

    A `UsageError` when a seed set can't be used in the space of a run, or two jobs would write one
    file; an `OutputError` when the name of an output is longer than file systems allow.
    """
    rules, spaces = work.processing, sorted({run.space for run in runs})
    placements = {
        space: place_in_template(work.seed_sets, space, warp=rules.warp_seeds) for space in spaces
    }
    masks = {space: _mask(rules.mask, space) for space in spaces}
    tables = find_outliers(outliers, [run.name for run in runs])
    jobs = [
        Job(
            run=run,
            images=JobImage.all_of(run, work.strategies),
            placements=placements[run.space],
            mask=masks[run.space] or (run.mask if rules.mask == "run" else None),
            work=work,
            outliers=table,
        )
        for run, table in zip(runs, tables, strict=True)
    ]
    _check_outputs(jobs)
    return jobs


def _mask(choice: str, space: str) -> Path | None:
    """The mask of all runs in a space; None without one, or when each run has its own."""
    if choice in ("run", "none"):
        return None
    if choice == "template":
        if is_native(space):
            raise UsageError(
                f"--mask template: no template has the space {space}.",
                hint="Use the run's own mask (--mask run), or images in a template's space.",
            )
        return template_mask(space)
    read_mask(Path(choice))  # one that can't be used would fail in every run
    return Path(choice)


def _check_outputs(jobs: Sequence[Job]) -> None:
    """Refuse names that are too long, and two inputs of one output."""
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path, source in job.outputs().items():
            if len(path.name) >= _LONGEST_NAME:  # .json is longer than .tsv
                raise OutputError(
                    f"The name of an output would be longer than {_LONGEST_NAME} bytes: "
                    f"{path.name}.",
                    hint="Choose a shorter name for the seed table or for the strategy.",
                )
            if owners.setdefault(path, source) != source:
                raise UsageError(
                    f"{owners[path]} and {source} would both be written to {path.name}.",
                    hint="Select one of them, e.g. with --space or --run.",
                )
