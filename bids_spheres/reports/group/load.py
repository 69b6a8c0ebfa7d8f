"""What the group level wrote, read into memory; matrices only when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.names import parse_name
from bids_spheres.group.edges import Edges
from bids_spheres.group.scale import Scale
from bids_spheres.outputs.find import find_groups, read_group_table
from bids_spheres.outputs.paths import GROUP_FOLDER, GROUP_SUMMARY, image_name, title
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.reports.toolkit.order import Order, network_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.outputs.find import GroupFiles

    FloatArray = NDArray[np.float64]

_PEARSON = "pearsoncorrelation"
_ANEW = "Run the group level anew."


@dataclass(frozen=True, eq=False)
class Image:
    """One task, space and seed set.

    Parameters
    ----------
    anchor : str
        Identifier in the page.
    files : GroupFiles
    seeds : DataFrame
        Table of coverage, S rows.
    """

    anchor: str
    files: GroupFiles
    seeds: pd.DataFrame

    @property
    def title(self) -> str:
        """Task, seed set and space."""
        return self.files.image_title

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the S seeds."""
        return tuple(self.seeds["name"])

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Of the S seeds; ``"n/a"`` for those without one."""
        return tuple(self.seeds["network"])

    @cached_property
    def points(self) -> FloatArray:
        """Centres of the spheres, (S, 3), mm."""
        return self.seeds[["x", "y", "z"]].to_numpy(np.float64)

    @cached_property
    def radii(self) -> FloatArray:
        """Of the spheres, (S,), mm."""
        return self.seeds["radius"].to_numpy(np.float64)

    @cached_property
    def order(self) -> Order:
        """Seeds by network."""
        return network_order(self.networks)

    @property
    def ordered_names(self) -> tuple[str, ...]:
        """Names in the order in which matrices are shown."""
        return tuple(self.names[i] for i in self.order.indices)


@dataclass(frozen=True, eq=False)
class Result:
    """One group: a task, space, seed set, strategy and measure.

    Parameters
    ----------
    anchor : str
    files : GroupFiles
    image : Image
    about : mapping
        What sidecars say.
    participants : DataFrame
    """

    anchor: str
    files: GroupFiles
    image: Image
    about: Mapping[str, Any]
    participants: pd.DataFrame

    @property
    def strategy(self) -> str:
        """Label of the strategy."""
        return self.files.strategy

    @property
    def title(self) -> str:
        """Task, seeds and space, measure, strategy."""
        return f"{self.image.title}, {self.measure}, {self.strategy}"

    @property
    def measure(self) -> str:
        """What sidecars call the measure."""
        return str(self.about.get("RelationshipMeasure") or self.files.stat)

    @property
    def scale(self) -> Scale:
        """How the measure is averaged and tested."""
        return Scale(self.files.stat)

    @property
    def against_zero(self) -> tuple[str, ...]:
        """Why tests of means against 0 do not hold; empty where nothing is known."""
        return tuple(map(str, _listed(self.about.get("TestsAgainstZeroDoNotHold"))))

    @property
    def covariates(self) -> tuple[str, ...]:
        """What QC-FC is adjusted for."""
        return tuple(map(str, _listed(self.about.get("QCFCCovariates"))))

    @property
    def pooled(self) -> Mapping[str, int]:
        """Several spaces that are pooled, and participants in each; empty without pooling."""
        spaces = self.about.get("PooledSpaces")
        return spaces if isinstance(spaces, dict) and len(spaces) > 1 else {}

    @property
    def n(self) -> int:
        """Participants on whom it rests."""
        return int((self.participants["used"] == 1).sum())

    @property
    def has_matrices(self) -> bool:
        """Whether there is a mean: not when every run was excluded."""
        return "mean" in self.files.whats

    @cached_property
    def mean(self) -> FloatArray:
        """Means, (S, S)."""
        return self._matrix("mean")

    @cached_property
    def q(self) -> FloatArray | None:
        """Corrected p of the means, (S, S); None where they are not tested."""
        return self._matrix("q") if "q" in self.files.whats else None

    @cached_property
    def numbers(self) -> FloatArray:
        """Participants of each pair, (S, S)."""
        return self._matrix("n")

    @cached_property
    def edges(self) -> pd.DataFrame:
        """Table of pairs, with their distance and correlation with motion."""
        return self.files.table("edges")

    @cached_property
    def networks(self) -> pd.DataFrame | None:
        """Means within and between networks; None without networks."""
        return self.files.table("networks") if "networks" in self.files.whats else None

    @cached_property
    def model(self) -> pd.DataFrame | None:
        """Coefficients, a row per pair and term; None without a model."""
        return self.files.table("model") if self.has_model else None

    @property
    def has_model(self) -> bool:
        """Whether a model was estimated."""
        return "model" in self.files.whats

    @cached_property
    def model_about(self) -> Mapping[str, Any]:
        """What the sidecar of the model says; empty without one."""
        return self.files.sidecar("model")

    def square(self, edges: FloatArray) -> FloatArray:
        """Matrix (S, S) of values of pairs, in the order of the table of edges."""
        names, networks = self.image.names, self.image.networks
        diagonal = len(edges) == len(names) * (len(names) + 1) // 2
        return Edges(names, networks, diagonal).matrix(edges)

    def ordered(self, matrix: FloatArray) -> FloatArray:
        """A matrix with its seeds by network."""
        indices = self.image.order.indices
        return np.asarray(matrix[np.ix_(indices, indices)])

    def _matrix(self, what: str) -> FloatArray:
        names = self.image.names
        upper = self.files.matrix(what, names)
        return Edges(names, self.image.networks, diagonal=True).matrix(upper)


@dataclass(frozen=True, eq=False)
class Condition:
    """All strategies of one task, space, seed set and measure.

    Parameters
    ----------
    anchor : str
    results : tuple of Result
        Of different strategies.
    short : str
        What tells it apart from the others.
    """

    anchor: str
    results: tuple[Result, ...]
    short: str = ""

    @property
    def image(self) -> Image:
        """What it is about."""
        return self.results[0].image

    @property
    def measure(self) -> str:
        """What sidecars call the measure."""
        return self.results[0].measure

    @property
    def symbol(self) -> str:
        """Short name of the measure for axes."""
        return "r" if self.results[0].files.stat == _PEARSON else self.measure

    @property
    def title(self) -> str:
        """Task, seeds and space, measure."""
        return f"{self.image.title}: {self.measure}"

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.short

    @property
    def parts(self) -> tuple[str, ...]:
        """Runs, seeds, space and measure; see `PARTS`."""
        files = self.results[0].files
        return files.measured, files.seeds, files.space, self.measure


PARTS = ("Runs", "Seeds", "Space", "Measure")
"""What tells conditions apart."""


def parts_apart(parts: Sequence[tuple[str, ...]]) -> tuple[list[int], list[tuple[str, ...]]]:
    """Which parts are not the same in all, and these of each.

    >>> parts_apart([("rest", "Power", "r"), ("task", "Power", "r")])
    ([0], [('rest',), ('task',)])
    """
    places = [i for i, own in enumerate(zip(*parts, strict=True)) if len(set(own)) > 1]
    return places, [tuple(one[i] for i in places) for one in parts]


@dataclass(frozen=True, eq=False)
class Level:
    """All that the group level wrote.

    Parameters
    ----------
    output_dir : Path
    images : tuple of Image
    conditions : tuple of Condition
        Pearson's correlation first.
    runs, strategies : DataFrame
        A row per run and strategy, and per group.
    problems : tuple of str
        What the last call could not do.
    """

    output_dir: Path
    images: tuple[Image, ...]
    conditions: tuple[Condition, ...]
    runs: pd.DataFrame
    strategies: pd.DataFrame
    problems: tuple[str, ...]

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """Of all conditions."""
        return tuple(result for one in self.conditions for result in one.results)

    @cached_property
    def strategy_labels(self) -> tuple[str, ...]:
        """Of all strategies, in the order of the table of runs."""
        own = [result.strategy for result in self.results]
        return tuple(dict.fromkeys([*self.run_strategies, *own]))

    @cached_property
    def run_strategies(self) -> tuple[str, ...]:
        """Of the table of runs."""
        return tuple(dict.fromkeys(self.runs["strategy"]))

    @cached_property
    def any_excluded(self) -> bool:
        """Whether a strategy excludes a run."""
        return bool((self.runs["excluded"] == 1).any())

    def number_of(self, strategy: str) -> int:
        """Which of all strategies one is, for its colour."""
        return self.strategy_labels.index(strategy)

    @cached_property
    def apart(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Names of what tells conditions apart, and that of each of them."""
        places, own = parts_apart([one.parts for one in self.conditions])
        return [PARTS[i] for i in places], own

    def row_of(self, result: Result) -> pd.Series | None:
        """Row of the table of strategies; None for matrices that are no connectivity."""
        rows = self.strategies[self.strategies["group"] == result.files.entities]
        return rows.iloc[0] if len(rows) else None


def load_level(output_dir: Path) -> Level:
    """Read what the group level wrote, matrices apart.

    Parameters
    ----------
    output_dir : Path

    Raises
    ------
    MissingInputError
        When there are no results of the group level.
    DataError, ReadWriteError
        When one can't be read.
    """
    folder = output_dir / GROUP_FOLDER
    summary = read_sidecar(folder / GROUP_SUMMARY, optional=True)
    found = find_groups(output_dir)
    images = [files for files in found if "coverage" in files.whats]
    groups = [files for files in found if "participants" in files.whats]
    if isinstance(names := summary.get("Groups"), list):
        # Without what only earlier calls, with another selection, were about.
        groups = [files for files in groups if files.entities in names]
        own = {title(image_name(parse_name(f"{name}_relmat.tsv"))) for name in names}
        images = [files for files in images if files.entities in own]
    if not images or not (folder / "runs.tsv").is_file():
        raise MissingInputError(
            f"{output_dir} holds no results of the group level.",
            hint="Run the group level first; it makes the page as well.",
        )
    by_name = {
        files.entities: Image(f"image-{i}", files, _seeds(files))
        for i, files in enumerate(images, start=1)
    }
    return Level(
        output_dir=output_dir,
        images=tuple(by_name.values()),
        conditions=tuple(_conditions(groups, by_name)),
        runs=read_group_table(folder / "runs.tsv", ("participant_id", "source", "strategy")),
        strategies=read_group_table(folder / "strategies.tsv", ("group", "strategy")),
        problems=tuple(map(str, _listed(summary.get("Problems")))),
    )


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _seeds(files: GroupFiles) -> pd.DataFrame:
    columns = ("name", "network", "x", "y", "z", "radius", "participants", "share", "coverage")
    table = files.table("coverage", columns)
    return table.assign(network=table["network"].fillna(MISSING))


def _conditions(groups: Sequence[GroupFiles], images: Mapping[str, Image]) -> list[Condition]:
    results: dict[tuple[str, str], list[Result]] = {}
    for i, files in enumerate(groups, start=1):
        image = images.get(title(image_name(files.name)))
        if image is None:
            raise DataError(f"There is no table of coverage for {files.entities}.", hint=_ANEW)
        about = files.sidecar("participants")
        columns = ("participant_id", "runs", "runs_excluded", "mean_fd", "degrees_of_freedom")
        people = files.table("participants", (*columns, "used", "reason"))
        result = Result(f"group-{i}", files, image, about, people)
        results.setdefault((image.anchor, files.stat), []).append(result)
    # Pearson first; sorting keeps the order of equals.
    ordered = sorted(results.values(), key=lambda own: own[0].files.stat != _PEARSON)
    conditions = [Condition(f"condition-{i}", tuple(own)) for i, own in enumerate(ordered, 1)]
    _, apart = parts_apart([one.parts for one in conditions])
    return [
        replace(one, short=", ".join(own) or one.title)
        for one, own in zip(conditions, apart, strict=True)
    ]
