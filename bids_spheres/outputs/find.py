"""What an output dataset holds: files by their parsed names, opened when they are asked for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.files.names import Name, natural, parse_name
from bids_spheres.outputs.links import Links, read_links
from bids_spheres.outputs.paths import (
    BOLDMAP,
    CONTRAST,
    CONTROLS,
    DESIGN,
    DSEG,
    GROUP_FOLDER,
    GROUP_SUFFIXES,
    NO_MEASURE,
    OUTLIERS,
    PEARSON,
    REGIONS,
    RELMAT,
    SEEDS,
    SPHERES,
    TIMESERIES,
    UNCLEANED,
    group_of_contrast,
    group_path,
    image_name,
    label_of,
    of_contrast,
    title,
)
from bids_spheres.outputs.read import (
    Matrix,
    Series,
    Spheres,
    read_kept,
    read_matrix,
    read_series,
    read_spheres,
    read_table,
    read_uncleaned,
    read_upper_triangle,
)
from bids_spheres.outputs.sidecars import read_sidecar, sidecar_path
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.files.text import JsonObject

_OF_IMAGE = ("space", "cohort", "atlas", "seg", "scale", "res", "den")
_OF_RESULT = ("label", "stat", "desc")
_SUFFIXES = frozenset({DSEG, TIMESERIES, RELMAT, CONTROLS, DESIGN, OUTLIERS})
_FOLDERS = ("func", "ses-*/func")
"""Where in the folder of a participant outputs are."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of an output dataset.

    Parameters
    ----------
    path : Path
    name : Name
        What its name says.
    """

    path: Path
    name: Name

    @property
    def participant(self) -> str:
        """With its key, ``sub-01``."""
        return f"sub-{self.name.get('sub')}"

    @property
    def source(self) -> str:
        """The entities that tell the run apart from others."""
        ours = {"atlas", "seg", "scale", "stat"}
        return "_".join(f"{k}-{label}" for k, label in self.name.source if k not in ours)

    @property
    def spheres(self) -> Path:
        """The table of the spheres, or regions, that a matrix or series is about."""
        spheres, regions = (
            self.path.with_name(str(self.name.with_(DSEG, ".tsv", stat=None, desc=desc)))
            for desc in (SPHERES, REGIONS)
        )
        return regions if regions.exists() and not spheres.exists() else spheres

    @property
    def spheres_of_map(self) -> Path:
        """The table of the spheres of which a map has one."""
        name = self.name.with_(DSEG, ".tsv", label=None, stat=None, desc=SPHERES)
        return self.path.with_name(str(name))

    @property
    def space(self) -> str:
        """Space of the image; ``"func"`` for the grid of acquisition."""
        return label_of(self.name, "space")


def parsed_files(paths: Iterable[Path]) -> Iterator[OutputFile]:
    """Files whose names are of BIDS, as ours are; others are left out."""
    for path in paths:
        try:
            yield OutputFile(path, parse_name(path.name))
        except ValueError:
            continue


def matrix_files(output_dir: Path) -> list[OutputFile]:
    """Every matrix of the participant level, in no order.

    Most entities are in all names: the equal ones are one in memory.
    """
    folders = (f"sub-*/{folder}/*_{RELMAT}.tsv" for folder in _FOLDERS)
    known: dict[tuple[str, str], tuple[str, str]] = {}
    return [
        OutputFile(
            file.path,
            Name(
                tuple(known.setdefault(entity, entity) for entity in file.name.entities),
                file.name.suffix,
                file.name.extension,
            ),
        )
        for file in parsed_files(path for pattern in folders for path in output_dir.glob(pattern))
    ]


def seed_map_files(output_dir: Path) -> list[OutputFile]:
    """Every map of a seed of the participant level, in the order of their names."""
    folders = (f"sub-*/{folder}/*_{BOLDMAP}.nii.gz" for folder in _FOLDERS)
    paths = sorted(path for pattern in folders for path in output_dir.glob(pattern))
    return list(parsed_files(paths))


def participants_with_outputs(output_dir: Path) -> list[str]:
    """Labels, without ``sub-``, of the participants that have a folder in the results."""
    folders = (path.name for path in output_dir.glob("sub-*") if path.is_dir())
    return sorted((name.removeprefix("sub-") for name in folders), key=natural)


def sessions_with_outputs(output_dir: Path, participant: str) -> list[str]:
    """Labels, without ``ses-``, of a participant's sessions."""
    folders = (path.name for path in (output_dir / f"sub-{participant}").glob("ses-*"))
    return sorted((name.removeprefix("ses-") for name in folders), key=natural)


def pages_of_participants(output_dir: Path) -> frozenset[str]:
    """Names of the pages of participants and sessions."""
    return frozenset(path.name for path in output_dir.glob("sub-*.html"))


@dataclass(frozen=True, eq=False)
class SeedSetResults:
    """Results of one seed set in one space of a run, or of several runs put together.

    Files are read anew whenever they are asked for, so that a loop over all runs keeps none. What
    is not there is a MissingInputError, what can't be read a DataError or ReadWriteError.

    Parameters
    ----------
    root : Path
        Of the dataset.
    name : Name
        Entities that all files share.
    spheres_path, uncleaned_path : Path or None
        Table of spheres, and series before cleaning; None for several runs put together.
    series_paths, controls_paths : mapping of str to Path
        Table of each strategy; of controls, where they were written.
    matrix_paths : mapping of (str, str) to Path
        By measure and strategy.
    outliers : mapping of str to Path
        Tables of the volumes that each strategy censors.
    """

    root: Path
    name: Name
    spheres_path: Path | None = None
    uncleaned_path: Path | None = None
    series_paths: Mapping[str, Path] = field(default_factory=dict)
    matrix_paths: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    outliers: Mapping[str, Path] = field(default_factory=dict)
    controls_paths: Mapping[str, Path] = field(default_factory=dict)

    def __repr__(self) -> str:
        made = f"{listing(list(self.measures)) or 'no matrix'} after {listing(self.strategies)}"
        return f"<{self.label} in {self.space}: {made}>"

    @property
    def space(self) -> str:
        """Space of the images; ``"func"`` for the grid of acquisition."""
        return label_of(self.name, "space")

    @property
    def label(self) -> str:
        """Label of the seed set, with its radius where it was used with several."""
        label, scale = label_of(self.name, SEEDS) or "n/a", self.name.get("scale")
        return f"{label}, {scale}" if scale else label

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies of series and matrices, in alphabetical order."""
        labels = {*self.series_paths, *(strategy for _, strategy in self.matrix_paths)}
        return tuple(sorted(labels, key=natural))

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of relation as names of files have them, Pearson's correlation first."""
        return _pearson_first({stat for stat, _ in self.matrix_paths} - NO_MEASURE)

    @property
    def spheres(self) -> Spheres | None:
        """The spheres; of several runs put together those of the first, None where it is gone."""
        if self.spheres_path is not None:
            return read_spheres(self.spheres_path)
        links = Links(self.root, {})
        for strategy in self.strategies:
            nodes = self.sidecar(strategy).get("NodeFiles")
            for uri in nodes if isinstance(nodes, list) else []:
                if path := links.path(str(uri)):
                    return read_spheres(path)
        return None

    def series(self, strategy: str) -> Series:
        """Series after the cleaning of a strategy, a row for every volume."""
        path = _chosen(self.series_paths, strategy, "series of the strategy")
        return read_series(path, self.outliers.get(strategy))

    @property
    def uncleaned(self) -> Series | None:
        """Series before cleaning; None where there are none."""
        return None if self.uncleaned_path is None else read_uncleaned(self.uncleaned_path)

    def seed_maps(self, strategy: str) -> list[Path]:
        """Maps of seeds after a strategy, in the order of their names; empty without any."""
        if self.spheres_path is None:
            return []
        paths = self.spheres_path.parent.glob(f"*_desc-{strategy}_{BOLDMAP}.nii.gz")
        own = [f.path for f in parsed_files(paths) if _without(f.name, _OF_RESULT) == self.name]
        return sorted(own, key=lambda path: natural(path.name))

    def controls(self, strategy: str) -> pd.DataFrame:
        """Relations of negative controls after the cleaning of a strategy, a row for each."""
        path = _chosen(self.controls_paths, strategy, "controls of the strategy")
        return read_table(path).set_index("control")

    def matrix(self, strategy: str, measure: str = PEARSON) -> Matrix:
        """Relations of every two spheres after the cleaning of a strategy."""
        own = {label: path for (stat, label), path in self.matrix_paths.items() if stat == measure}
        return read_matrix(_chosen(own, strategy, f"{measure} after the strategy"))

    def sidecar(self, strategy: str) -> JsonObject:
        """What the sidecar of the series of a strategy says, or else of its first matrix."""
        matrices = (path for (_, label), path in self.matrix_paths.items() if label == strategy)
        path = self.series_paths.get(strategy) or next(matrices, None)
        return {} if path is None else read_sidecar(sidecar_path(path), optional=True)


def _pearson_first(measures: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(measures, key=lambda stat: (stat != PEARSON, stat)))


def _chosen(paths: Mapping[str, Path], label: str, what: str) -> Path:
    if label not in paths:
        choice = listing(sorted(paths, key=natural)) or "nothing"
        raise MissingInputError(f"There is no {what} {label}.", hint=f"Available: {choice}.")
    return paths[label]


@dataclass(frozen=True, eq=False)
class RunResults:
    """Results of one run, or of several runs put together.

    What is not there is a MissingInputError, what can't be read a DataError or ReadWriteError.

    Parameters
    ----------
    name : Name
        Entities of the run.
    designs, outliers : mapping of str to Path
        Tables of each strategy.
    seed_sets : tuple of SeedSetResults
        One for each seed set and space.
    """

    name: Name
    designs: Mapping[str, Path] = field(default_factory=dict)
    outliers: Mapping[str, Path] = field(default_factory=dict)
    seed_sets: tuple[SeedSetResults, ...] = ()

    def __repr__(self) -> str:
        sets = ", ".join(f"{own.label} in {own.space}" for own in self.seed_sets)
        return f"<sub-{self.name.get('sub')} {self.title}: {sets or 'no seed set'}>"

    @property
    def together(self) -> bool:
        """Whether it stands for several runs, of which there are matrices alone."""
        return not self.designs

    @property
    def title(self) -> str:
        """The entities, without the participant."""
        words = [f"{key}-{label}" for key, label in self.name.entities if key != "sub"]
        return " ".join(words) or "run"

    @property
    def strategies(self) -> tuple[str, ...]:
        """All that left something, in alphabetical order."""
        labels = {*self.designs, *(s for own in self.seed_sets for s in own.strategies)}
        return tuple(sorted(labels, key=natural))

    def design(self, strategy: str) -> pd.DataFrame:
        """Regressors of a strategy, a row for every volume."""
        return read_table(_chosen(self.designs, strategy, "design of the strategy"))

    def kept(self, strategy: str) -> NDArray[np.bool_]:
        """Which of the T volumes a strategy does not censor, (T,) bool."""
        return read_kept(_chosen(self.outliers, strategy, "table of outliers of the strategy"))


def find_runs(
    output_dir: Path, participant: str = "*", session: str | None = None
) -> list[RunResults]:
    """What was written for every run of a participant, or of one of the sessions.

    Only names are looked at.

    Parameters
    ----------
    output_dir : Path
    participant, session : str
        Labels, without their keys; ``"*"`` for all participants.

    Returns
    -------
    list of RunResults
        In the order of their names; those of several runs together come last.
    """
    folders = [f"sub-{participant}/{folder}/*.{end}" for folder in _FOLDERS for end in _ENDINGS]
    paths = sorted(path for pattern in folders for path in output_dir.glob(pattern))
    ours = [
        file
        for file in parsed_files(paths)
        if file.name.suffix in _SUFFIXES
        and file.name.get("desc")
        and session in (None, file.name.get("ses"))
    ]
    runs = grouped(ours, lambda file: _without(file.name, (*_OF_IMAGE, *_OF_RESULT)))
    results = [_run(output_dir, name, files) for name, files in runs.items()]
    return sorted(results, key=lambda run: (run.together, natural(str(run.name))))


_ENDINGS = ("tsv", "tsv.gz")


def grouped(
    files: Iterable[OutputFile], key: Callable[[OutputFile], Name]
) -> dict[Name, list[OutputFile]]:
    """Files by a name that several of them share, in the order in which it comes first."""
    groups: dict[Name, list[OutputFile]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return groups


def _without(name: Name, keys: tuple[str, ...]) -> Name:
    kept = tuple(entity for entity in name.entities if entity[0] not in keys)
    return Name(kept, "", "")


def _run(root: Path, name: Name, files: list[OutputFile]) -> RunResults:
    designs, outliers = (_by_desc(files, suffix) for suffix in (DESIGN, OUTLIERS))
    of_sets = (file for file in files if file.name.suffix not in (DESIGN, OUTLIERS))
    groups = grouped(of_sets, lambda file: _without(file.name, _OF_RESULT))
    sets = [_seed_set(root, own, members, outliers) for own, members in groups.items()]
    sets.sort(key=lambda own: natural(str(own.name)))
    return RunResults(name, designs, outliers, tuple(sets))


def _by_desc(files: Iterable[OutputFile], suffix: str) -> dict[str, Path]:
    return {str(f.name.get("desc")): f.path for f in files if f.name.suffix == suffix}


def _seed_set(
    root: Path, name: Name, files: list[OutputFile], outliers: Mapping[str, Path]
) -> SeedSetResults:
    series = _by_desc(files, TIMESERIES)
    return SeedSetResults(
        root,
        name,
        spheres_path=next(iter(_by_desc(files, DSEG).values()), None),
        uncleaned_path=series.pop(UNCLEANED, None),
        series_paths=series,
        controls_paths=_by_desc(files, CONTROLS),
        matrix_paths={
            (str(file.name.get("stat")), str(file.name.get("desc"))): file.path
            for file in files
            if file.name.suffix == RELMAT
        },
        outliers=outliers,
    )


@dataclass(frozen=True)
class GroupFiles:
    """Results of the group level for one group, or for one task, space and seed set.

    What is not there is a MissingInputError, what can't be read a DataError or ReadWriteError.

    Parameters
    ----------
    root : Path
        Of the dataset.
    name : Name
        The entities that files share.
    whats : frozenset of str
        Suffixes of the tables; of a contrast with its name, as ``"contrast-age_edges"``.
    """

    root: Path
    name: Name
    whats: frozenset[str]

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Names of the contrasts that were tested."""
        entities = {what.partition("_")[0] for what in self.whats if "_" in what}
        return tuple(sorted(entity.partition("-")[2] for entity in entities))

    def path(self, what: str, extension: str = ".tsv") -> Path:
        """Path of a table or its sidecar."""
        return group_path(self.root, self.name, what, extension)

    def table(self, what: str, columns: Iterable[str] = ()) -> pd.DataFrame:
        """A table, which must have some columns."""
        return read_group_table(self.path(what), columns)

    def matrix(self, what: str, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Upper triangle of a matrix of S nodes with its diagonal, (S (S + 1) / 2,)."""
        return read_upper_triangle(self.path(what), names, diagonal=True)

    def sidecar(self, what: str) -> JsonObject:
        """What the sidecar of a table says; empty without one."""
        return read_sidecar(self.path(what, ".json"), optional=True)

    @property
    def entities(self) -> str:
        """Entities as the table of strategies writes them."""
        return title(self.name)

    @property
    def stat(self) -> str:
        """Label of the measure."""
        return label_of(self.name, "stat")

    @property
    def strategy(self) -> str:
        """Label of the strategy."""
        return label_of(self.name, "desc")

    @property
    def measured(self) -> str:
        """Entities of the runs, for people."""
        entities = image_name(self.name).entities
        rest = [f"{key}-{label}" for key, label in entities if key not in _SHOWN_APART]
        return " ".join(rest) or "all runs"

    @property
    def image_title(self) -> str:
        """What was measured, with which seeds and in which space, for people."""
        return f"{self.measured}, {self.seeds} in {self.space}"

    @property
    def space(self) -> str:
        """Space of the images."""
        return label_of(self.name, "space")

    @property
    def seeds(self) -> str:
        """Label of the seed set, with its radius where it was used with several."""
        return f"{label_of(self.name, SEEDS)} {label_of(self.name, 'scale')}".strip()


_SHOWN_APART = frozenset({"space", "atlas", "seg", "scale"})
"""Entities that a title tells in words of its own."""

_WORDS = (
    *("participant_id", "session_id", "task", "run", "source", "space", "seeds", "scale"),
    *("strategy", "reason", "group", "measure", "name", "network", "network_1", "network_2"),
    *("node_1", "node_2", "term"),
)
"""Columns of tables of the group that are words, also where they look like numbers."""


def read_group_table(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A table of the group level, which must have some columns.

    Raises
    ------
    DataError, MissingInputError, ReadWriteError
        When it has not, or can't be read.
    """
    table = read_table(path, dict.fromkeys(_WORDS, str))
    if lacking := [name for name in columns if name not in table.columns]:
        raise DataError(f"{path} has no column {lacking[0]}.", hint="Run the group level anew.")
    return table


def group_files(output_dir: Path) -> list[OutputFile]:
    """Results of groups and of their images, in the order of their names."""
    paths = sorted((output_dir / GROUP_FOLDER).glob("*"))
    return [file for file in parsed_files(paths) if file.name.suffix in GROUP_SUFFIXES]


def find_groups(output_dir: Path) -> list[GroupFiles]:
    """What the group level wrote, by entities; only names are looked at.

    Those with a table of participants are groups, and those with one of coverage are what all
    groups of one task, space and seed set share.

    Returns
    -------
    list of GroupFiles
        In the order of their names.
    """
    whats: dict[tuple[tuple[str, str], ...], set[str]] = defaultdict(set)
    for file in group_files(output_dir):
        if file.name.extension == ".tsv":
            contrast, suffix = file.name.get(CONTRAST), file.name.suffix
            what = of_contrast(contrast, suffix) if contrast else suffix
            whats[group_of_contrast(file.name).entities].add(what)
    groups = [
        GroupFiles(output_dir, Name(entities, "", ""), frozenset(own))
        for entities, own in whats.items()
    ]
    return sorted(groups, key=lambda files: natural(files.entities))


@dataclass(frozen=True, eq=False)
class Results:
    """An output dataset of bids_spheres; names are looked at first, and files when needed.

    Parameters
    ----------
    root : Path
    """

    root: Path

    def __repr__(self) -> str:
        sets = dict.fromkeys(own.label for run in self.runs for own in run.seed_sets)
        people = {run.name.get("sub") for run in self.runs}
        return (
            f"<Results: {count(len(self.runs), 'run')} of {count(len(people), 'participant')}; "
            f"seeds {listing(list(sets))}; strategies {listing(self.strategies)}; "
            f"measures {listing(list(self.measures))}>"
        )

    @property
    def participants(self) -> tuple[str, ...]:
        """Labels, without ``sub-``."""
        return tuple(participants_with_outputs(self.root))

    @cached_property
    def runs(self) -> tuple[RunResults, ...]:
        """Every run in the order of names; those of several runs put together come last."""
        return tuple(find_runs(self.root))

    @property
    def strategies(self) -> tuple[str, ...]:
        """Of all runs, in alphabetical order."""
        return tuple(sorted({s for run in self.runs for s in run.strategies}, key=natural))

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of relation as names of files have them, Pearson's correlation first."""
        sets = (own for run in self.runs for own in run.seed_sets)
        return _pearson_first({stat for own in sets for stat in own.measures})

    @cached_property
    def groups(self) -> tuple[GroupFiles, ...]:
        """Results of the group level: of groups, and of what their images share."""
        return tuple(find_groups(self.root))

    @cached_property
    def links(self) -> Links:
        """Where input datasets are, for the URIs of sidecars."""
        return read_links(self.root)


def open_results(folder: str | Path) -> Results:
    """Open what bids_spheres has written, to read series, matrices, spheres and sidecars.

    Parameters
    ----------
    folder : str or Path
        Root of the output dataset.

    Returns
    -------
    Results
        Its `runs` have `seed_sets`, and these have `series`, `matrix`, `spheres` and `sidecar`;
        nothing but names is read before.

    Raises
    ------
    MissingInputError
        When there is no such folder, or no result of the participant level in it.

    Examples
    --------
    >>> from bids_spheres import open_results
    >>> for run in open_results("bids-spheres").runs:  # doctest: +SKIP
    ...     for seeds in run.seed_sets:
    ...         correlations = seeds.matrix("simple").to_frame()
    """
    results = Results(Path(folder))
    if not results.runs:
        raise MissingInputError(
            f"{folder} holds no results of the participant level.",
            hint="Name the output folder of a call of bids-spheres.",
        )
    return results
