"""Runs x settings to jobs.

A `Job` is everything that one worker needs to know about one BOLD image. It is frozen and can be
pickled; where its outputs go is decided here, so that two jobs that would write the same file are
found before the first image is read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.confounds import Strategy, load_strategy
from bids_spheres.engine.seeds import load_published_seeds, load_seed_file
from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_spheres.bids.dataset import Dataset, Run
    from bids_spheres.engine.clean import Standardize
    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Work on one BOLD image.

    Parameters
    ----------
    dataset : Dataset
        Where the image is from.
    run : Run
    seed_sets : tuple of SeedTable
    strategies : tuple of Strategy
    output_dir : Path
        Root of the output dataset.
    detrend : bool
    standardize : str
    """

    dataset: Dataset
    run: Run
    seed_sets: tuple[SeedTable, ...]
    strategies: tuple[Strategy, ...]
    output_dir: Path
    detrend: bool
    standardize: Standardize

    def __str__(self) -> str:
        return str(self.run)

    def spheres(self, seeds: SeedTable, extension: str) -> Path:
        """Path of the spheres of one seed set, as image, table or sidecar."""
        return self._path("dseg", extension, **_seed_entity(seeds), desc="spheres")

    def timeseries(self, seeds: SeedTable, strategy: Strategy, extension: str) -> Path:
        """Path of cleaned time series."""
        entities = {**_seed_entity(seeds), "stat": "mean", "desc": strategy.name}
        return self._path("timeseries", extension, **entities)

    def relmat(self, seeds: SeedTable, strategy: Strategy, measure: str, extension: str) -> Path:
        """Path of a connectivity matrix."""
        entities = {**_seed_entity(seeds), "stat": measure, "desc": strategy.name}
        return self._path("relmat", extension, **entities)

    def confounds(self, strategy: Strategy, suffix: str, extension: str) -> Path:
        """Path of what is the same for every space and seed set: design or outliers."""
        no_image = {"space": None, "cohort": None, "res": None, "den": None}
        return self._path(suffix, extension, **no_image, desc=strategy.name)

    def outputs(self) -> dict[Path, Path]:
        """Every data file of the job, with the input on which its content hangs."""
        bold = self.run.bold
        paths = {self.spheres(seeds, ".nii.gz"): bold for seeds in self.seed_sets}
        for strategy in self.strategies:
            paths |= {self.timeseries(seeds, strategy, ".tsv"): bold for seeds in self.seed_sets}
            # Images of one run in several spaces share the table, and so the design.
            paths[self.confounds(strategy, "design", ".tsv")] = self.run.confounds or bold
        return paths

    def _path(self, suffix: str, extension: str, **entities: str | None) -> Path:
        name = self.run.name
        return self.output_dir / name.folder / str(name.with_(suffix, extension, **entities))


@dataclass(frozen=True)
class JobReport:
    """What a user should know about the outputs of a job, a sentence each.

    Parameters
    ----------
    notes : tuple of str
        How much of the spheres was there.
    warnings : tuple of str
        Why some of the outputs may not be what the user expects.
    """

    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def load_seed_sets(settings: Settings) -> tuple[SeedTable, ...]:
    """Every seed set that the settings name.

    Raises
    ------
    UsageError
        When there is none, or two would have the same label in output names.
    """
    tables = [load_published_seeds(name) for name in settings.atlas]
    tables += [load_seed_file(path) for path in settings.seeds]
    if not tables:
        raise UsageError(
            "No seeds are given.",
            hint="Name a built-in set (--atlas Power2011) or a table of your own (--seeds FILE).",
        )
    for table in tables:
        if "Node" in table.names:
            raise UsageError(
                f"A seed of {table.label} is named Node, as is the first column of matrices.",
                hint="Give it another name.",
            )
    labels = [tuple(_seed_entity(table).items()) for table in tables]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        ((entity, label),) = repeated[0]
        raise UsageError(
            f"Two seed sets have the label {entity}-{label}, so their outputs would collide.",
            hint="Name each set once; the label of a table is made from its file name.",
        )
    if settings.radius is not None:
        tables = [table.with_radius(settings.radius) for table in tables]
    return tuple(tables)


def load_strategies(settings: Settings) -> tuple[Strategy, ...]:
    """Every strategy that the settings name, each once.

    Raises
    ------
    UsageError
        When two have one name, or one starts from images that are not fMRIPrep's own.
    """
    strategies = tuple(load_strategy(name) for name in dict.fromkeys(settings.strategy))
    names = [strategy.name for strategy in strategies]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"Two strategies are named {repeated[0]}, so their outputs would collide.",
            hint="Give your own strategy another name.",
        )
    for strategy in strategies:
        if "preproc" not in strategy.bold_kinds:
            raise UsageError(
                f"The {strategy} starts from {' or '.join(strategy.bold_kinds)} images, which "
                "this version does not look for.",
                hint="It uses fMRIPrep's desc-preproc images only; aroma works on those.",
            )
    return strategies


def make_jobs(settings: Settings, dataset: Dataset, runs: Sequence[Run]) -> list[Job]:
    """One job per run.

    Raises
    ------
    UsageError
        When a seed set can't be used in the space of a run, or two jobs would write one file.
    """
    seed_sets, strategies = load_seed_sets(settings), load_strategies(settings)
    for space in sorted({run.space for run in runs}):
        for seeds in seed_sets:
            check_space(seeds, space)
    jobs = [
        Job(
            dataset=dataset,
            run=run,
            seed_sets=seed_sets,
            strategies=strategies,
            output_dir=settings.output_dir,
            detrend=settings.detrend,
            standardize=settings.standardize,
        )
        for run in runs
    ]
    _check_collisions(jobs)
    return jobs


def space_note(seeds: SeedTable, space: str) -> str | None:
    """What a reader should know about using these seeds in an image's space, if anything."""
    if seeds.space in (None, space):
        return None
    if seeds.space == "Talairach":
        return (
            f"The coordinates of {seeds.label} are most likely Talairach coordinates and are used "
            f"in {space} as they are; expect spheres to be off by up to a centimetre."
        )
    return (
        f"The coordinates of {seeds.label} are in {seeds.space} and are used in {space} as they "
        "are; the two templates differ by a few millimetres in places."
    )


def check_space(seeds: SeedTable, space: str) -> None:
    """Refuse seeds of a standard space in an image of another kind.

    Raises
    ------
    UsageError
        When standard coordinates meet an image that is not in an MNI152 space.
    """
    note = space_note(seeds, space)
    if note is None:
        return
    usable = seeds.space == "Talairach" or str(seeds.space).startswith("MNI152")
    if not usable or not space.startswith("MNI152"):
        raise UsageError(
            f"The seeds of {seeds.label} are in {seeds.space} space, but the images in {space}.",
            hint="Choose images in an MNI152 space with --space, or give seeds in the space of "
            'the images with --seeds and "Space" in the JSON file beside the table.',
        )
    talairach = seeds.space == "Talairach"
    logger.log(logging.WARNING if talairach else logging.INFO, "%s", note)


def _seed_entity(seeds: SeedTable) -> dict[str, str | None]:
    return {"atlas" if seeds.published else "seg": seeds.label}


def _check_collisions(jobs: Sequence[Job]) -> None:
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path, source in job.outputs().items():
            if owners.setdefault(path, source) != source:
                raise UsageError(
                    f"{owners[path]} and {source} would both be written to {path.name}.",
                    hint="Select one of them, e.g. with --space or --run.",
                )
