"""Results of the group level as its page shows them; matrices are read when needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.names import Name, parse_name
from bids_spheres.group.edges import Edges
from bids_spheres.outputs import paths
from bids_spheres.outputs.find import (
    GroupFiles,
    find_groups,
    group_files,
    grouped,
    read_group_table,
)
from bids_spheres.outputs.sidecars import read_own_json, texts
from bids_spheres.reports.toolkit.charts import Order, network_order, strategy_styles
from bids_spheres.reports.toolkit.matrices import seed_matrix
from bids_spheres.reports.toolkit.render import Section
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.toolkit.render import Block, Graphic, Table

    FloatArray = NDArray[np.float64]

_OF_COVERAGE = ("name", "network", "x", "y", "z", "radius", "participants", "share", "coverage")
_OF_PARTICIPANTS = (
    *("participant_id", "runs", "runs_excluded", "mean_fd", "degrees_of_freedom", "used", "reason"),
)

SYMBOLS = {
    paths.PEARSON: "r",
    "fisherz": "Fisher's z",
    "partialcorrelation": "partial correlation",
    "covariance": "covariance",
    "precision": "precision",
    "ledoitwolfcorrelation": "shrunk correlation",
    "spearmancorrelation": "rank correlation",
}
"""Short names of measures, by the labels of their ``stat`` entities."""


@dataclass(frozen=True, eq=False)
class Image(GroupFiles):
    """One task, space and set of S seeds or regions, with its identifier in the page."""

    anchor: str
    coverage: pd.DataFrame
    noun: str  # "seed", or "region" of a parcellation

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the S seeds."""
        return tuple(self.coverage["name"])

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Networks of the S seeds; ``"n/a"`` for those without one."""
        return tuple(self.coverage["network"])

    @cached_property
    def points(self) -> FloatArray:
        """Centres of the spheres, (S, 3), mm."""
        return self.coverage[["x", "y", "z"]].to_numpy(np.float64)

    @cached_property
    def order(self) -> Order:
        """Seeds by network, as matrices show them."""
        return network_order(self.networks)

    @property
    def parts(self) -> dict[str, str]:
        """What distinguishes images, by its name in tables."""
        return {"Runs": self.measured, "Set": self.seeds, "Space": self.space}

    @property
    def n_participants(self) -> int:
        """Number of participants in the table of seeds; 0 if no seed has a value."""
        counts = self.coverage["participants"] / self.coverage["share"]
        return int(np.nan_to_num(counts.max()).round())


@dataclass(frozen=True, eq=False)
class Result(GroupFiles):
    """One group: a task, space, seed set, strategy and measure."""

    anchor: str
    image: Image
    participants: pd.DataFrame
    about: Mapping[str, object]  # Its sidecar
    row: pd.Series | None  # Of the table of strategies; None if it is no connectivity

    @property
    def measure(self) -> str:
        """The measure in words."""
        return str(self.about.get("RelationshipMeasure") or self.stat)

    @property
    def against_zero(self) -> list[str]:
        """Why tests of means against 0 do not hold; empty where nothing is known."""
        return texts(self.about.get("TestsAgainstZeroDoNotHold"))

    @property
    def pooled(self) -> Mapping[str, int]:
        """Spaces and participants in each, where several are pooled; else empty."""
        spaces = self.about.get("PooledSpaces")
        return spaces if isinstance(spaces, dict) and len(spaces) > 1 else {}

    @property
    def used(self) -> pd.DataFrame:
        """Rows of the participants with a result."""
        return self.participants[self.participants["used"] == 1]

    @property
    def absent(self) -> pd.DataFrame:
        """Rows of the participants without a result."""
        return self.participants[self.participants["used"] != 1]

    @property
    def has_matrices(self) -> bool:
        """Whether there is a mean: not when every run was excluded."""
        return "mean" in self.suffixes

    @cached_property
    def mean(self) -> FloatArray:
        """Means, (S, S)."""
        return self.square(self.matrix("mean", self.image.names))

    @cached_property
    def q(self) -> FloatArray | None:
        """Corrected p of the means, (S, S); None where they are not tested."""
        return self.square(self.matrix("q", self.image.names)) if "q" in self.suffixes else None

    @cached_property
    def networks(self) -> pd.DataFrame | None:
        """Means within and between networks, with the strategy; None where there are none."""
        table = self.table("networks") if "networks" in self.suffixes else None
        return None if table is None or table.empty else table.assign(strategy=self.strategy)

    @cached_property
    def model_about(self) -> Mapping[str, object]:
        """Sidecar of the model; empty without a model."""
        return self.sidecar("model")

    @cached_property
    def contrast_sidecars(self) -> dict[str, Mapping[str, object]]:
        """What is recorded of contrasts, by their names."""
        return {name: self.sidecar(paths.of_contrast(name, "edges")) for name in self.contrasts}

    @property
    def left_out(self) -> list[str]:
        """Participants who are not in the model, and why."""
        labels: Any = self.model_about.get("LeftOut") or {}
        return [f"{label} ({reason})" for label, reason in labels.items()]

    def seed_matrix(self, values: FloatArray, caption: str, **about: Any) -> Graphic:
        """Matrix of seeds, (S, S), with further arguments of `matrices.seed_matrix`."""
        image, rows = self.image, f"{self.image.anchor}-names"
        about |= {"strategy": self.strategy, "row_names": rows}
        return seed_matrix(values, image.order, image.names, caption, **about)

    def square(self, values: FloatArray) -> FloatArray:
        """Matrix (S, S) of values of pairs, row by row, with the diagonal or without."""
        n, networks = len(self.image.names), self.image.networks
        return Edges(self.image.names, networks, len(values) > n * (n - 1) / 2).matrix(values)


@dataclass(frozen=True, eq=False)
class Condition:
    """All strategies of one task, space, seed set and measure."""

    anchor: str
    results: tuple[Result, ...]
    parts: Mapping[str, str]  # What distinguishes it from other conditions

    @property
    def image(self) -> Image:
        """Task, space and seeds."""
        return self.results[0].image

    @property
    def symbol(self) -> str:
        """Short name of the measure for axes and captions."""
        return SYMBOLS.get(self.results[0].stat, self.results[0].measure)

    @property
    def title(self) -> str:
        """Task, seeds and space, measure."""
        return f"{self.image.image_title}: {self.results[0].measure}"

    def section(
        self,
        prefix: str,
        strategies: Iterable[str],
        sentences: Iterable[str] = (),
        *,
        blocks: Iterable[Block],
        tables: Iterable[Table] = (),
    ) -> Section:
        """A section about this condition; `prefix` is that of its identifier."""
        return Section(
            f"{prefix}{self.anchor}",
            self.title,
            ", ".join(self.parts.values()) or self.results[0].measure,
            tuple(dict.fromkeys(strategies)),
            tuple(sentences),
            blocks=tuple(blocks),
            tables=tuple(tables),
        )


@dataclass(frozen=True, eq=False)
class ContrastMap(GroupFiles):
    """Images of a contrast of the maps of one seed, by their labels of ``stat``."""

    contrast: str
    stats: frozenset[str]

    @property
    def statistic(self) -> str:
        """Label of the image of the statistic."""
        return "f" if "f" in self.stats else "t"

    @cached_property
    def about(self) -> Mapping[str, object]:
        """Sidecar of the image of the statistic."""
        return self.sidecar(paths.map_of_contrast(self.contrast, self.statistic))

    @cached_property
    def clusters(self) -> pd.DataFrame | None:
        """Clusters, the largest first; None where none were looked for."""
        what = paths.of_contrast(self.contrast, "clusters")
        return self.table(what, ("size", "nearest_seed")) if self.path(what).is_file() else None

    def image_path(self, stat: str) -> Path:
        """Path of an image."""
        return self.path(paths.map_of_contrast(self.contrast, stat), ".nii.gz")


@dataclass(frozen=True, eq=False)
class Level:
    """All that the group level wrote."""

    output_dir: Path
    images: tuple[Image, ...]
    conditions: tuple[Condition, ...]
    families: tuple[GroupFiles, ...]  # Specifications of the same nodes
    runs: pd.DataFrame  # A row per run and strategy
    strategies: pd.DataFrame  # A row per group
    problems: list[str]  # Of the last call

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """Results of all conditions."""
        return tuple(result for condition in self.conditions for result in condition.results)

    @cached_property
    def maps(self) -> tuple[ContrastMap, ...]:
        """Contrasts of maps of seeds, in the order of their names."""
        images = [
            file
            for file in group_files(self.output_dir)
            if file.name.suffix == paths.STATMAP and file.name.extension == ".nii.gz"
        ]
        contrasts = grouped(images, lambda file: Name(file.name.entities[:-1], "", ""))
        maps = []
        for name, own in contrasts.items():
            group, contrast = paths.group_of_contrast(name), str(name.get(paths.CONTRAST))
            stats = frozenset(str(file.name.entities[-1][1]) for file in own)
            if {"q"} < stats:
                maps.append(ContrastMap(self.output_dir, group, frozenset(), contrast, stats))
        return tuple(maps)

    @cached_property
    def run_strategies(self) -> tuple[str, ...]:
        """Strategies in the table of runs."""
        return tuple(dict.fromkeys(self.runs["strategy"]))

    @cached_property
    def excluded(self) -> pd.DataFrame:
        """Rows of runs that a strategy excludes."""
        return self.runs[self.runs["excluded"] == 1]

    @property
    def covariates(self) -> list[str]:
        """Variables for which QC-FC is adjusted."""
        named = (texts(result.about.get("QCFCCovariates")) for result in self.results)
        return list(dict.fromkeys(name for names in named for name in names))

    @property
    def things(self) -> str:
        """What pairs are of: seeds, regions, or both."""
        return listing(list(dict.fromkeys(f"{image.noun}s" for image in self.images)))

    @cached_property
    def styles(self) -> dict[str, str]:
        """Line styles of all strategies, the same in all charts."""
        return strategy_styles([*self.run_strategies, *(r.strategy for r in self.results)])


def parts_apart(parts: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Each without the parts that are the same in all.

    >>> parts_apart([{"Runs": "rest", "Set": "Power"}, {"Runs": "task", "Set": "Power"}])
    [{'Runs': 'rest'}, {'Runs': 'task'}]
    """
    apart = [name for name in (parts[0] if parts else ()) if len({own[name] for own in parts}) > 1]
    return [{name: own[name] for name in apart} for own in parts]


def load_level(output_dir: Path) -> Level:
    """Read what the group level wrote, matrices apart; MissingInputError without results."""
    folder = output_dir / paths.GROUP_FOLDER
    summary = read_own_json(folder / paths.GROUP_SUMMARY)
    found = find_groups(output_dir)
    images = [files for files in found if "coverage" in files.suffixes]
    groups = [files for files in found if "participants" in files.suffixes]
    if isinstance(names := summary.get("Groups"), list):
        # Without what only earlier calls, with another selection, were about.
        groups = [files for files in groups if files.entities in names]
        own = {_image_of(parse_name(f"{name}_relmat.tsv")) for name in names}
        images = [files for files in images if files.entities in own]
    if not images or not (folder / "runs.tsv").is_file():
        raise MissingInputError(
            f"{output_dir} holds no results of the group level.",
            hint="Run the group level first; it writes the page as well.",
        )
    strategies = read_group_table(folder / "strategies.tsv", ("group", "strategy"))
    by_name = {}
    radii = {_image_of(files.name): "Radius" in files.sidecar("participants") for files in groups}
    for i, files in enumerate(images, start=1):
        coverage = files.table("coverage", _OF_COVERAGE).fillna({"network": MISSING})
        noun = "seed" if radii.get(files.entities, True) else "region"  # which has no radius
        image = Image(files.root, files.name, files.suffixes, f"image-{i}", coverage, noun)
        by_name[image.entities] = image
    return Level(
        output_dir=output_dir,
        images=tuple(by_name.values()),
        conditions=tuple(_conditions(groups, by_name, strategies)),
        families=tuple(files for files in found if "specifications" in files.suffixes),
        runs=read_group_table(folder / "runs.tsv", ("participant_id", "source", "strategy")),
        strategies=strategies,
        problems=texts(summary.get("Problems")),
    )


def _image_of(name: Name) -> str:
    return paths.title(paths.image_name(name))


def _conditions(
    groups: Sequence[GroupFiles], images: Mapping[str, Image], strategies: pd.DataFrame
) -> Iterator[Condition]:
    """Groups by image and measure, Pearson's correlation first."""
    rows = {str(row["group"]): row for _, row in strategies.iterrows()}
    results = []
    for i, files in enumerate(groups, start=1):
        image = images.get(_image_of(files.name))
        if image is None:
            raise DataError(
                f"The table of coverage of {files.entities} is missing.",
                hint="Run the group level anew.",
            )
        people, about = files.table("participants", _OF_PARTICIPANTS), files.sidecar("participants")
        own = f"group-{i}", image, people, about, rows.get(files.entities)
        results.append(Result(files.root, files.name, files.suffixes, *own))
    conditions = grouped(results, lambda result: (result.image.anchor, result.stat))
    # Sorting keeps the order of equals.
    ordered = sorted(conditions.values(), key=lambda own: own[0].stat != paths.PEARSON)
    parts = parts_apart([{**own[0].image.parts, "Measure": own[0].measure} for own in ordered])
    for i, (members, part) in enumerate(zip(ordered, parts, strict=True), start=1):
        yield Condition(f"condition-{i}", tuple(members), part)
