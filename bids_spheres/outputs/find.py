"""Find what an output dataset holds, by names of files, and open it when it is asked for."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import starmap
from typing import TYPE_CHECKING, TypeVar

from bids_spheres.engine.seeds import scale_label
from bids_spheres.errors import DataError, MissingInputError, NothingSelectedError, did_you_mean
from bids_spheres.files.names import Name, as_written, entity_value, named_files, natural
from bids_spheres.outputs import paths
from bids_spheres.outputs.links import Links
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
from bids_spheres.outputs.sidecars import read_own_json, read_sidecar
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.sidecars import Sidecar

logger = logging.getLogger(__name__)


File = TypeVar("File", "OutputFile", "GroupFiles")
T = TypeVar("T")
K = TypeVar("K")

_OF_IMAGE = ("space", "cohort", "atlas", "seg", "scale", "res", "den")
_OF_RESULT = ("label", "stat", "desc")
_OF_SEEDS = (paths.DSEG, paths.TIMESERIES, paths.RELMAT, paths.CONTROLS)
_OF_RUN = (paths.DESIGN, paths.OUTLIERS)


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of an output dataset with its parsed name."""

    path: Path
    name: Name

    @property
    def participant(self) -> str:
        """Participant with the key, ``sub-01``."""
        return f"sub-{self.name.get('sub')}"

    def label(self, key: str) -> str:
        """Label of an entity or ""; the sidecar has the radius of a set that was used with one."""
        label = paths.label_of(self.name, key)
        if key == "scale" and not label:
            path = self.spheres if self.name.suffix == paths.CONTROLS else self.path
            radius = read_sidecar(path, optional=True).get("Radius")
            return scale_label(radius) if isinstance(radius, int | float) else ""
        return label

    @property
    def source(self) -> str:
        """Entities of the run, as in names of its files."""
        ours = {"atlas", "seg", "scale", "stat"}
        return "_".join(as_written(entity for entity in self.name.source if entity[0] not in ours))

    @property
    def spheres(self) -> Path:
        """Table of the spheres, or regions, of a matrix, series or map."""
        table = self.name.with_(paths.DSEG, ".tsv", label=None, stat=None, desc=paths.SPHERES)
        spheres = self.path.with_name(str(table))
        regions = self.path.with_name(str(table.with_(paths.DSEG, ".tsv", desc=paths.REGIONS)))
        return regions if regions.exists() and not spheres.exists() else spheres

    @property
    def space(self) -> str:
        """Space of the image; ``"func"`` for the grid of acquisition."""
        return paths.label_of(self.name, "space")


def parsed_files(files: Iterable[Path]) -> Iterator[OutputFile]:
    """Files with names of BIDS, as ours are; others are left out."""
    return starmap(OutputFile, named_files(files))


def _participant_files(
    output_dir: Path, *endings: str, participant: str = "*"
) -> Iterator[OutputFile]:
    """Files of the participant level whose names have one of some endings, in no order."""
    folders = (f"sub-{participant}/func", f"sub-{participant}/ses-*/func")
    patterns = (f"{folder}/*{end}" for folder in folders for end in endings)
    return parsed_files(path for pattern in patterns for path in output_dir.glob(pattern))


def matrix_files(output_dir: Path) -> list[OutputFile]:
    """All matrices of the participant level, in no order."""
    # Names share most entities: equal ones are one object in memory.
    known: dict[tuple[str, str], tuple[str, str]] = {}
    files = []
    for file in _participant_files(output_dir, f"_{paths.RELMAT}.tsv"):
        entities = tuple(known.setdefault(entity, entity) for entity in file.name.entities)
        files.append(OutputFile(file.path, replace(file.name, entities=entities)))
    return files


def seed_map_files(output_dir: Path) -> list[OutputFile]:
    """All maps of seeds of the participant level, in the order of their paths."""
    files = _participant_files(output_dir, f"_{paths.BOLDMAP}.nii.gz")
    return sorted(files, key=lambda file: file.path)


def labels_with_folders(parent: Path, key: str) -> list[str]:
    """Labels of participants, ``"sub"``, or of a participant's sessions, that have a folder."""
    folders = (path.name for path in parent.glob(f"{key}-*") if path.is_dir())
    return sorted((name.partition("-")[2] for name in folders), key=natural)


def pages_of_participants(output_dir: Path) -> list[Path]:
    """Pages of participants and sessions, in the order of their names."""
    return sorted(output_dir.glob("sub-*.html"))


def selected(files: Sequence[File], select: Iterable[tuple[str, Sequence[str]]]) -> list[File]:
    """Files with some labels of entities; NothingSelectedError when none has one of them."""
    chosen = list(files)
    for key, labels in select:
        wanted = {_plain(key, label) for label in labels}
        own = [(_label(file, key, wanted), file) for file in chosen]
        chosen = [file for label, file in own if label in wanted]
        present = {label for label, _ in own}
        names = sorted((label or "(none)" for label in present), key=natural)
        choice = f"Available: {listing(as_written((key, name) for name in names), 20)}."
        # Regions, without a radius, are welcome beside spheres of one, but need not exist.
        named = [label or "(none)" for label in labels if label or key != "scale"] or ["(none)"]
        if not chosen:
            raise NothingSelectedError(f"No matrix has {key}-{', '.join(named)}.", hint=choice)
        for label in sorted(wanted - present - {""}, key=natural):
            logger.warning("No matrix has %s-%s. %s", key, label, choice)
    return chosen


def is_selected(file: OutputFile, select: Iterable[tuple[str, Sequence[str]]]) -> bool:
    """Whether a map has the labels selected for matrices, other than the measure's."""
    wanted = ((key, {_plain(key, label) for label in labels}) for key, labels in select)
    return all(_label(file, key, labels) in labels for key, labels in wanted if key != "stat")


def _label(file: OutputFile | GroupFiles, key: str, wanted: AbstractSet[str]) -> str:
    """Comparable label of a file, by its name alone where what is wanted has no label."""
    if any(wanted) and isinstance(file, OutputFile):
        return _plain(key, file.label(key))
    return _plain(key, paths.label_of(file.name, key))


def _plain(key: str, label: str) -> str:
    """Comparable label: run-01 as 1, sub-01 as 01, and one name for the grid of acquisition."""
    if key == "space" and label == "boldref":
        return "func"
    return entity_value(key, label.removeprefix(f"{key}-"))


@dataclass(frozen=True, eq=False)
class SeedSetResults:
    """Results of a seed set in one space of a run, or of several concatenated runs.

    Files are read each time they are asked for, so that a loop over all runs keeps none in memory.
    A missing file is a MissingInputError, an unreadable one a DataError or ReadWriteError.

    Parameters
    ----------
    root : Path
        Of the dataset.
    name : Name
        Entities that all files share.
    spheres_path, uncleaned_path : Path or None
        Table of spheres, and series before cleaning; None for concatenated runs.
    series_paths, controls_paths : mapping of str to Path
        By strategy; controls where they were written.
    matrix_paths : mapping of (str, str) to Path
        By measure and strategy.
    outliers : mapping of str to Path
        Tables of censored volumes by strategy.
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
        matrices = listing(list(self.measures)) or "no matrix"
        return f"<{self.label} in {self.space}: {matrices} after {listing(self.strategies)}>"

    @property
    def space(self) -> str:
        """Space of the images; ``"func"`` for the grid of acquisition."""
        return paths.label_of(self.name, "space")

    @property
    def label(self) -> str:
        """Label of the seed set, with the radius where it was used with several radii."""
        label, scale = paths.label_of(self.name, paths.SEEDS) or "n/a", self.name.get("scale")
        return f"{label}, {scale}" if scale else label

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies of series and matrices, in alphabetical order."""
        labels = {*self.series_paths, *(strategy for _, strategy in self.matrix_paths)}
        return tuple(sorted(labels, key=natural))

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of connectivity by their labels in names, Pearson's correlation first."""
        return pearson_first({stat for stat, _ in self.matrix_paths} - paths.NO_MEASURE)

    @property
    def spheres(self) -> Spheres | None:
        """The spheres; for concatenated runs those of the first, None when it is gone."""
        if self.spheres_path is not None:
            return read_spheres(self.spheres_path)
        uris = (uri for s in self.strategies for uri in self.sidecar(s).get("NodeFiles") or ())
        tables = map(Links(self.root, {}).path, uris)
        return next((read_spheres(table) for table in tables if table), None)

    def series(self, strategy: str) -> Series:
        """Series cleaned by a strategy, a row for every volume."""
        path = _choose(self.series_paths, strategy, "series of the strategy")
        return read_series(path, self.outliers.get(strategy))

    @property
    def uncleaned(self) -> Series | None:
        """Series before cleaning; None when they were not written."""
        return None if self.uncleaned_path is None else read_uncleaned(self.uncleaned_path)

    def seed_maps(self, strategy: str) -> list[Path]:
        """Paths of the maps of seeds after a strategy, in the order of their names."""
        if self.spheres_path is None:
            return []
        maps = self.spheres_path.parent.glob(f"*_desc-{strategy}_{paths.BOLDMAP}.nii.gz")
        own = [f.path for f in parsed_files(maps) if _without(f.name, _OF_RESULT) == self.name]
        return sorted(own, key=lambda path: natural(path.name))

    def controls(self, strategy: str) -> pd.DataFrame:
        """Relations of negative controls after a strategy, a row for each."""
        path = _choose(self.controls_paths, strategy, "controls of the strategy")
        return read_table(path).set_index("control")

    def matrix(self, strategy: str, measure: str = paths.PEARSON) -> Matrix:
        """Relations of all pairs of spheres after a strategy."""
        own = {label: path for (stat, label), path in self.matrix_paths.items() if stat == measure}
        return read_matrix(_choose(own, strategy, f"{measure} after the strategy"))

    def sidecar(self, strategy: str) -> Sidecar:
        """Content of the sidecar of a strategy's series, or else of its first matrix."""
        matrices = (path for (_, label), path in self.matrix_paths.items() if label == strategy)
        path = self.series_paths.get(strategy) or next(matrices, None)
        return {} if path is None else read_sidecar(path, optional=True)


def pearson_first(measures: Iterable[str]) -> tuple[str, ...]:
    """Labels of measures, Pearson's correlation first."""
    return tuple(sorted(measures, key=lambda stat: (stat != paths.PEARSON, stat)))


def _choose(files: Mapping[str, Path], label: str, what: str) -> Path:
    if label not in files:
        choice = listing(sorted(files, key=natural)) or "nothing"
        raise MissingInputError(f"There is no {what} {label}.", hint=f"Available: {choice}.")
    return files[label]


@dataclass(frozen=True, eq=False)
class RunResults:
    """Results of a run, or of several concatenated runs.

    A missing file is a MissingInputError, an unreadable one a DataError or ReadWriteError.

    Parameters
    ----------
    name : Name
        Entities of the run.
    designs, outliers : mapping of str to Path
        Tables by strategy.
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
        """Whether these are several concatenated runs, which have matrices only."""
        return not self.designs

    @property
    def title(self) -> str:
        """Entities without the participant."""
        return " ".join(as_written(e for e in self.name.entities if e[0] != "sub")) or "run"

    @property
    def strategies(self) -> tuple[str, ...]:
        """All strategies with outputs, in alphabetical order."""
        labels = {*self.designs, *(s for own in self.seed_sets for s in own.strategies)}
        return tuple(sorted(labels, key=natural))

    def design(self, strategy: str) -> pd.DataFrame:
        """Regressors of a strategy, a row for every volume."""
        return read_table(_choose(self.designs, strategy, "design of the strategy"))

    def kept(self, strategy: str) -> NDArray[np.bool_]:
        """Volumes that a strategy does not censor, (T,) bool."""
        return read_kept(_choose(self.outliers, strategy, "table of outliers of the strategy"))


def run_files(output_dir: Path, participant: str = "*") -> list[OutputFile]:
    """Tables of all runs, or of those of a participant, in the order of their paths."""
    files = _participant_files(output_dir, ".tsv", ".tsv.gz", participant=participant)
    ours = (f for f in files if f.name.suffix in (*_OF_RUN, *_OF_SEEDS) and f.name.get("desc"))
    # Those of fMRIPrep, as desc-confounds_timeseries, are of no seed set.
    kept = [f for f in ours if f.name.suffix in _OF_RUN or paths.label_of(f.name, paths.SEEDS)]
    return sorted(kept, key=lambda file: file.path)


def find_runs(
    output_dir: Path, participant: str = "*", session: str | None = None
) -> list[RunResults]:
    """Runs with outputs of all participants, of one or of one session, by labels without keys."""
    files = run_files(output_dir, participant)
    return runs_of(output_dir, [f for f in files if session in (None, f.name.get("ses"))])


def runs_of(output_dir: Path, files: Iterable[OutputFile]) -> list[RunResults]:
    """Runs that files belong to, in the order of their names, concatenated ones last."""
    runs = grouped(files, lambda file: _without(file.name, (*_OF_IMAGE, *_OF_RESULT)))
    results = [_run(output_dir, name, members) for name, members in runs.items()]
    return sorted(results, key=lambda run: (run.together, natural(str(run.name))))


def grouped(files: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Files by what several of them share, in the order of the first ones."""
    groups: dict[K, list[T]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return groups


def _without(name: Name, keys: tuple[str, ...]) -> Name:
    return Name(tuple(entity for entity in name.entities if entity[0] not in keys), "", "")


def _run(root: Path, name: Name, files: list[OutputFile]) -> RunResults:
    designs, outliers = (_by_desc(files, suffix) for suffix in _OF_RUN)
    of_sets = (file for file in files if file.name.suffix in _OF_SEEDS)
    sets = []
    for own, members in grouped(of_sets, lambda file: _without(file.name, _OF_RESULT)).items():
        spheres, series, controls = (
            _by_desc(members, suffix) for suffix in (paths.DSEG, paths.TIMESERIES, paths.CONTROLS)
        )
        matrices = {
            (str(file.name.get("stat")), str(file.name.get("desc"))): file.path
            for file in members
            if file.name.suffix == paths.RELMAT
        }
        first = next(iter(spheres.values()), None), series.pop(paths.UNCLEANED, None)
        sets.append(SeedSetResults(root, own, *first, series, matrices, outliers, controls))
    sets.sort(key=lambda own: natural(str(own.name)))
    return RunResults(name, designs, outliers, tuple(sets))


def _by_desc(files: Iterable[OutputFile], suffix: str) -> dict[str, Path]:
    return {str(f.name.get("desc")): f.path for f in files if f.name.suffix == suffix}


@dataclass(frozen=True)
class GroupFiles:
    """Results of the group level for one group, or those that groups of a seed set share.

    A missing file is a MissingInputError, an unreadable one a DataError or ReadWriteError.

    Parameters
    ----------
    root : Path
        Of the dataset.
    name : Name
        Entities that all files share.
    suffixes : frozenset of str
        Suffixes of the tables; for a contrast with its name, as ``"contrast-age_edges"``.
    """

    root: Path
    name: Name
    suffixes: frozenset[str]

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Names of the tested contrasts."""
        entities = {what.partition("_")[0] for what in self.suffixes if "_" in what}
        return tuple(sorted(entity.partition("-")[2] for entity in entities))

    def __repr__(self) -> str:
        return f"<{self.entities}: {', '.join(sorted(self.suffixes, key=natural))}>"

    def path(self, what: str, extension: str = ".tsv") -> Path:
        """Path of a table or its sidecar."""
        return paths.group_path(self.root, self.name, what, extension)

    def table(self, what: str, columns: Iterable[str] = ()) -> pd.DataFrame:
        """Read a table; DataError when it lacks one of some columns."""
        try:
            return read_group_table(self.path(what), columns)
        except MissingInputError as error:
            suffixes = sorted(self.suffixes, key=natural)
            hint = f"{did_you_mean(what, suffixes)}Available: {listing(suffixes, len(suffixes))}."
            raise MissingInputError(error.message, hint=hint) from error

    def matrix(self, what: str, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Upper triangle with diagonal of a matrix of S nodes, (S (S + 1) / 2,)."""
        return read_upper_triangle(self.path(what), names, diagonal=True)

    def sidecar(self, what: str) -> JsonObject:
        """Content of the sidecar of a table; empty without one."""
        return read_own_json(self.path(what, ".json"))

    @property
    def entities(self) -> str:
        """Entities as the table of strategies writes them."""
        return paths.title(self.name)

    @property
    def stat(self) -> str:
        """Label of the measure."""
        return paths.label_of(self.name, "stat")

    @property
    def strategy(self) -> str:
        """Label of the strategy."""
        return paths.label_of(self.name, "desc")

    @property
    def measured(self) -> str:
        """Entities of the runs, for people."""
        entities = paths.image_name(self.name).entities
        return " ".join(as_written(e for e in entities if e[0] not in _SHOWN_APART)) or "all runs"

    @property
    def image_title(self) -> str:
        """What was measured, with which seeds and in which space, for people."""
        return f"{self.measured}, {self.seeds} in {self.space}"

    @property
    def space(self) -> str:
        """Space of the images."""
        return paths.label_of(self.name, "space")

    @property
    def seeds(self) -> str:
        """Label of the seed set, with the radius where it was used with several radii."""
        labels = (paths.label_of(self.name, key) for key in (paths.SEEDS, "scale"))
        return " ".join(labels).strip()


_SHOWN_APART = frozenset({"space", "atlas", "seg", "scale", "label"})
"""Entities that titles put into words of their own."""

_WORDS = dict.fromkeys(
    (
        *("participant_id", "session_id", "task", "run", "source", "space", "seeds", "scale"),
        *("strategy", "reason", "group", "measure", "name", "network", "network_1", "network_2"),
        *("node_1", "node_2", "term", "nearest_seed"),
    ),
    str,
)
"""Columns of group tables that are words, also where they look like numbers."""


def read_group_table(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table of the group level; DataError when it lacks one of some columns."""
    table = read_table(path, _WORDS)
    if lacking := [name for name in columns if name not in table.columns]:
        raise DataError(f"{path} has no column {lacking[0]}.", hint="Run the group level anew.")
    return table


def group_files(output_dir: Path) -> list[OutputFile]:
    """Results of groups and of their images, in the order of their names."""
    files = parsed_files(sorted((output_dir / paths.GROUP_FOLDER).glob("*")))
    return [file for file in files if file.name.suffix in paths.GROUP_SUFFIXES]


def group_tables(output_dir: Path) -> list[Path]:
    """Tables and images of the group level, those of all groups first, by their names."""
    folder = output_dir / paths.GROUP_FOLDER
    tables = [path for path in folder.iterdir() if path.suffix in (".tsv", ".gz", ".parquet")]
    return sorted(tables, key=lambda path: ("_" in path.name, natural(path.name)))


def find_groups(output_dir: Path) -> list[GroupFiles]:
    """Results of the group level, in the order of their names; only names are looked at.

    Those with a table of participants are groups; those with a table of coverage hold what all
    groups of one task, space and seed set share.
    """
    suffixes: dict[tuple[tuple[str, str], ...], set[str]] = defaultdict(set)
    for file in group_files(output_dir):
        if file.name.extension == ".tsv":
            contrast, suffix = file.name.get(paths.CONTRAST), file.name.suffix
            what = paths.of_contrast(contrast, suffix) if contrast else suffix
            suffixes[paths.group_of_contrast(file.name).entities].add(what)
    groups = (
        GroupFiles(output_dir, Name(e, "", ""), frozenset(own)) for e, own in suffixes.items()
    )
    return sorted(groups, key=lambda files: natural(files.entities))
