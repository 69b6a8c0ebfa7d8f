"""Open an output dataset: an overview of its runs, and their series, matrices and regions."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from bids_spheres.data.published import MEASURES, measure_name
from bids_spheres.engine.seeds import scale_label
from bids_spheres.errors import BidsSpheresError, MissingInputError, UsageError, did_you_mean
from bids_spheres.files.atomic import replacing
from bids_spheres.files.names import ENTITY_ORDER, natural
from bids_spheres.outputs import find, paths
from bids_spheres.outputs.links import Links, read_links
from bids_spheres.outputs.read import (
    Matrix,
    Series,
    Spheres,
    read_matrix,
    read_spheres,
    read_upper_triangle,
)
from bids_spheres.outputs.sidecars import ANEW, read_sidecar
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.sidecars import Sidecar

    Label = str | float | None
    Labels = Label | Sequence[Label]

WORDS = {
    "participant": "sub",
    "session": "ses",
    "acquisition": "acq",
    "radius": "scale",
    "strategy": "desc",
    "measure": "stat",
}
"""Words for entities; other entities are selected by their keys, such as ``task`` and ``run``."""

_NAMES = {key: word for word, key in WORDS.items()} | {"scale": "radius"}
_FIRST = ("sub", "ses", "task", "run")
_LAST = ("space", paths.SEEDS, "scale", "desc", "stat")
_FACTS = (
    *("degrees_of_freedom", "mean_fd", "coverage", "missing", "excluded"),
    *("matrix", "timeseries", "regions"),
)
_KINDS = {paths.RELMAT: "matrices", paths.TIMESERIES: "series", paths.DSEG: "tables of regions"}
_MEMORY = 2**30
"""Size from which stacked matrices are on disk, bytes."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """Matrices of N runs over the same S regions.

    Parameters
    ----------
    values : (N, S, S) array
        NaN where a region is missing.
    names : tuple of str
        Of the regions.
    runs : DataFrame
        Row of each matrix in `Results.runs`, N.
    regions : Spheres
        Of the first run: coordinates and networks.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    runs: pd.DataFrame
    regions: Spheres

    def __repr__(self) -> str:
        return f"<{count(len(self.values), 'matrix', 'matrices')} of {len(self.names)} regions>"

    def edges(self) -> NDArray[np.float64]:
        """Pairs above the diagonal, row by row, (N, S (S - 1) / 2): features for a classifier."""
        rows, columns = np.triu_indices(len(self.names), k=1)
        return np.asarray(self.values[:, rows, columns])


@dataclass(frozen=True, eq=False)
class Results:
    """An output dataset of bids_spheres, or a part of it.

    Names of files are known at once, and a file is read when it is asked for. Iterate over it to
    get each run with its seed sets.

    `select` and the methods that read take labels by the words that are columns of `runs`:
    ``participant``, ``session``, ``task``, ``run``, ``space``, ``seeds``, ``radius``,
    ``strategy``, ``measure``, and every other entity by its key in names of files, such as ``dir``.
    A label may have its key (``"sub-01"``), an index may be a number, several labels are a list,
    and None stands for names without the entity. Measures may have their names on the command line
    (``"pearson"``).

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    """

    root: Path
    files: tuple[find.OutputFile, ...]

    @cached_property
    def _runs(self) -> list[find.RunResults]:
        runs = find.runs_of(self.root, self.files)
        sets = ((run, tuple(own for own in run.seed_sets if own.strategies)) for run in runs)
        return [replace(run, seed_sets=own) for run, own in sets if own]

    @property
    def _sets(self) -> list[find.SeedSetResults]:
        return [own for run in self._runs for own in run.seed_sets]

    def __iter__(self) -> Iterator[find.RunResults]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Results: {'; '.join(self._summary)}>"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(text)}</li>" for text in self._summary)
        return f"<p>Results in <code>{escape(str(self.root))}</code></p><ul>{items}</ul>"

    @property
    def _summary(self) -> tuple[str, ...]:
        people = count(len(self.participants), "participant")
        words = ("seeds", "strategies", "measures")
        labels = (f"{word} {listing(getattr(self, word)) or 'none'}" for word in words)
        return (f"{count(len(self), 'run')} of {people}", *labels)

    @cached_property
    def _rows(self) -> list[dict[str, object]]:
        return [row for own in self._sets for row in _rows_of(own)]

    @property
    def participants(self) -> tuple[str, ...]:
        """Labels of participants, without ``sub-``."""
        return tuple(sorted({str(run.name.get("sub")) for run in self}, key=natural))

    @property
    def seeds(self) -> tuple[str, ...]:
        """Seed sets of all runs, with the radius where a set was used with several."""
        return tuple(dict.fromkeys(own.label for own in self._sets))

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies of all runs, in alphabetical order."""
        return tuple(sorted({s for run in self for s in run.strategies}, key=natural))

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of connectivity by their labels in names, Pearson's correlation first."""
        return find.pearson_first({stat for own in self._sets for stat in own.measures})

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Data frame with a row for each run, seed set, strategy and measure.

        Columns are the words that select, ``degrees_of_freedom``, ``mean_fd`` (mm), ``coverage``
        (mean over the regions), ``missing`` (regions without a series), ``excluded`` (why the
        strategy excludes the run), and paths: ``matrix``, ``timeseries`` and ``regions``. Sidecars
        and tables of regions are read for it, 1 ms for each.
        """
        return _table([row for row in self._rows if row["stat"] not in paths.NO_MEASURE])

    def select(self, **labels: Labels) -> Results:
        """Part of the results with some labels.

        Sidecars tell the radius of a set that was used with one; they are read for ``radius``.

        Raises
        ------
        NothingSelectedError
            When no result has one of the labels; its hint lists those that exist.
        UsageError
            When a measure is unknown.
        """
        files = self.files
        for key, wanted in pairs_of(labels):
            concerned = [file for file in files if _has(file, key)]
            chosen = set(find.selected(concerned, [(key, wanted)]))
            files = tuple(file for file in files if file in chosen or not _has(file, key))
        return replace(self, files=files)

    def timeseries(self, **labels: Labels) -> Series:
        """Cleaned series of one run, seed set and strategy; UsageError when several match."""
        file = self._single(paths.TIMESERIES, labels)
        return self.owners[file.path].series(str(file.name.get("desc")))

    def matrix(self, **labels: Labels) -> Matrix:
        """Matrix of one run, seed set, strategy and measure; UsageError when several match."""
        return read_matrix(self._single(paths.RELMAT, labels).path)

    def regions(self, **labels: Labels) -> Spheres:
        """Spheres or regions of one run and seed set; UsageError when several match."""
        return read_spheres(self._single(paths.DSEG, labels).path)

    def sidecar(self, **labels: Labels) -> Sidecar:
        """Sidecar of the series of one run, seed set and strategy, or of a matrix of a measure."""
        suffix = paths.RELMAT if {"measure", "stat"} & labels.keys() else paths.TIMESERIES
        return read_sidecar(self._single(suffix, labels).path)

    def matrices(self, *, file: str | Path | None = None, **labels: Labels) -> Matrices:
        """Matrices of all runs that match, one above the other.

        Parameters
        ----------
        file : str or Path, optional
            New ``.npy`` file for the values, which are memory-mapped. Without it they are in
            memory, from 1 GiB on in a temporary file.
        **labels
            Words that select.

        Raises
        ------
        UsageError
            When seed sets, spaces, strategies or measures differ.
        DataError
            When runs have different regions.
        """
        files = self.select(**labels).leaves(paths.RELMAT, labels)
        if not files or _differing(files, _LAST):
            raise _not_single(files, "matrices", _LAST)
        return self.matrices_of(files, file)

    def matrices_of(
        self, files: Sequence[find.OutputFile], file: str | Path | None = None
    ) -> Matrices:
        """Matrices of some files, one above the other; see `matrices`."""
        regions = next((own for f in files if (own := self.owners[f.path].spheres)), None)
        if regions is None:
            raise MissingInputError(f"The table of regions of {files[0].path} is gone.", hint=ANEW)
        size = len(regions.names)
        with nullcontext(None) if file is None else replacing(Path(file)) as new:
            values = _empty((len(files), size, size), new)
            upper = np.triu_indices(size)
            for matrix, each in zip(values, files, strict=True):
                edges = read_upper_triangle(each.path, regions.names, diagonal=True)
                matrix[upper] = matrix.T[upper] = edges
        rows = {row["matrix"]: row for row in self._rows}
        return Matrices(values, regions.names, _table([rows[each.path] for each in files]), regions)

    @cached_property
    def owners(self) -> dict[Path, find.SeedSetResults]:
        """Results of the seed set that each series and matrix belongs to."""
        return {
            path: own
            for own in self._sets
            for path in (*own.series_paths.values(), *own.matrix_paths.values())
        }

    @cached_property
    def groups(self) -> tuple[find.GroupFiles, ...]:
        """Results of the group level: those of groups, and those that groups share."""
        return tuple(find.find_groups(self.root))

    def group(self, **labels: Labels) -> find.GroupFiles:
        """Results of one group; UsageError when several match, MissingInputError without any."""
        groups = [group for group in self.groups if "participants" in group.suffixes]
        if not groups:
            raise MissingInputError(
                f"{self.root} holds no results of the group level.",
                hint="Run the group level with this output folder.",
            )
        matching = find.selected(groups, list(pairs_of(labels)))
        if len(matching) > 1:
            raise _not_single(matching, "groups")
        return matching[0]

    @cached_property
    def links(self) -> Links:
        """Input datasets, for the URIs in sidecars."""
        return read_links(self.root)

    def leaves(
        self, suffix: str, labels: Mapping[str, object] | None = None
    ) -> list[find.OutputFile]:
        """Files of a kind: cleaned series, or matrices; what is no measure only when named."""
        named = {"measure", "stat"} & (labels or {}).keys()
        hidden = {paths.UNCLEANED} if named else {paths.UNCLEANED, *paths.NO_MEASURE}
        return [
            file
            for file in self.files
            if file.name.suffix == suffix
            and not {file.name.get("desc"), file.name.get("stat")} & hidden
        ]

    def _single(self, suffix: str, labels: dict[str, Labels]) -> find.OutputFile:
        files = self.select(**labels).leaves(suffix, labels)
        if len(files) != 1:
            raise _not_single(files, _KINDS[suffix])
        return files[0]


def open_results(folder: str | Path) -> Results:
    """Open an output dataset of bids_spheres, to read series, matrices, regions and sidecars.

    Parameters
    ----------
    folder : str or Path
        Root of the output dataset.

    Returns
    -------
    Results
        Only names of files are looked at; a file is read when it is asked for.

    Raises
    ------
    MissingInputError
        When the folder is missing or holds no results of the participant level.

    Examples
    --------
    >>> from bids_spheres import open_results
    >>> results = open_results("bids-spheres")  # doctest: +SKIP
    >>> rest = results.select(task="rest", strategy="simple")  # doctest: +SKIP
    >>> rest.runs[["participant", "degrees_of_freedom", "mean_fd"]]  # doctest: +SKIP
    >>> rest.matrix(participant="01", measure="pearson").to_frame()  # doctest: +SKIP
    """
    results = Results(Path(folder), tuple(find.run_files(Path(folder))))
    if not len(results):
        raise MissingInputError(
            f"{folder} holds no results of the participant level.",
            hint="Name the output folder of a call of bids-spheres.",
        )
    return results


def pybids_config() -> JsonObject:
    """Configuration by which pybids tells files of bids_spheres apart.

    Returns
    -------
    dict
        Entities ``stat``, ``seg`` and ``scale``, beside ``atlas``, ``label`` and ``desc``, for
        ``BIDSLayout(folder, validate=False, config=["bids", "derivatives", pybids_config()])``.
    """
    # pybids warns of an entity that two configurations have.
    keys = ("seg", "scale", "stat")
    entities = [{"name": key, "pattern": rf"[_/\\]+{key}-([a-zA-Z0-9+]+)"} for key in keys]
    return {"name": "bids_spheres", "entities": entities}


def pairs_of(labels: Mapping[str, Labels]) -> Iterator[tuple[str, list[str]]]:
    """Entities and their labels for words that select."""
    for word, wanted in labels.items():
        key = paths.SEEDS if word in ("atlas", "seg") else WORDS.get(word, word)
        if key not in (*ENTITY_ORDER, paths.SEEDS):
            known = [*WORDS, "task", "run", "space", paths.SEEDS]
            hint = f"{did_you_mean(word, known)}Words are {', '.join(known)}, and other entities."
            raise UsageError(f"{word} selects nothing.", hint=hint)
        single = isinstance(wanted, str | int | float | np.generic | None)
        values = cast("Sequence[Label]", [wanted] if single else wanted)
        texts = [_label_text(key, value) for value in values]
        yield key, [_stat_label(text) for text in texts] if key == "stat" else texts


def _stat_label(measure: str) -> str:
    """Label in names of a measure, or of a matrix that is none."""
    if measure in {"", *paths.NO_MEASURE}:
        return measure
    try:
        return MEASURES[measure_name(measure)]
    except UsageError as error:
        near = did_you_mean(measure, sorted(paths.NO_MEASURE))
        hint = f"{near or error.hint} Other matrices are {listing(sorted(paths.NO_MEASURE))}."
        raise UsageError(error.message, hint=hint) from error


def _label_text(key: str, value: Label) -> str:
    """A label as text; none for None, and for the NaN that data frames have in its place."""
    if pd.isna(value):
        return ""
    if key == "scale" and not isinstance(value, str):
        return scale_label(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _has(file: find.OutputFile, key: str) -> bool:
    """Whether labels of an entity select among files of this kind."""
    suffix = file.name.suffix
    if key == "stat":
        return suffix == paths.RELMAT
    if suffix in (paths.DESIGN, paths.OUTLIERS):
        return key not in (*_LAST[:3], "cohort", "res", "den")
    return key != "desc" or (suffix != paths.DSEG and file.name.get("desc") != paths.UNCLEANED)


def _rows_of(own: find.SeedSetResults) -> Iterator[dict[str, object]]:
    """Rows of `Results.runs`, under keys of entities: one for each strategy and measure."""
    spheres = own.spheres
    row = {
        **{key: label for key, label in own.name.entities if key not in ("atlas", "seg")},
        "space": own.space,
        paths.SEEDS: paths.label_of(own.name, paths.SEEDS),
        "coverage": float(np.mean(spheres.coverage)) if spheres else None,
        "missing": int((~spheres.used).sum()) if spheres else None,
        "regions": spheres.path if spheres else None,
    }
    for strategy in own.strategies:
        sidecar = own.sidecar(strategy)
        row |= {
            "desc": strategy,
            "degrees_of_freedom": sidecar.get("DegreesOfFreedom"),
            "mean_fd": sidecar.get("MeanFramewiseDisplacement"),
            "excluded": sidecar.get("Excluded"),
            "timeseries": own.series_paths.get(strategy),
        }
        matrices = {stat: p for (stat, desc), p in own.matrix_paths.items() if desc == strategy}
        for stat, path in matrices.items():
            yield {**row, "stat": stat, "matrix": path}
        if not matrices:
            yield {**row, "stat": None, "matrix": None}


def _table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    keys = dict.fromkeys(key for row in rows for key in row)
    others = [key for key in keys if key not in (*_FIRST, *_LAST, *_FACTS)]
    order = [key for key in (*_FIRST, *others, *_LAST, *_FACTS) if key in keys]
    return pd.DataFrame(rows, columns=order).rename(columns=_NAMES)


def _differing(
    files: Iterable[find.OutputFile | find.GroupFiles], keys: Iterable[str]
) -> dict[str, list[str]]:
    """Labels of entities that differ between files."""
    labels = {key: dict.fromkeys(paths.label_of(file.name, key) for file in files) for key in keys}
    return {key: list(own) for key, own in labels.items() if len(own) > 1}


def _not_single(
    files: Sequence[find.OutputFile | find.GroupFiles],
    what: str,
    keys: Sequence[str] = (*ENTITY_ORDER, paths.SEEDS),
) -> BidsSpheresError:
    """Error that says in which entities several files differ, or that there are none."""
    if not files:
        return MissingInputError(f"There are no {what} with these labels.")
    differing = _differing(files, [key for key in keys if key not in ("atlas", "seg")])
    texts = [
        f"{_NAMES.get(key, key)} ({listing([label or 'None' for label in labels])})"
        for key, labels in differing.items()
    ]
    # Labels of a file: those of different files need not occur together.
    last = {_NAMES.get(key, key): paths.label_of(files[-1].name, key) for key in differing}
    chosen = ", ".join(f"{word}={label or None!r}" for word, label in last.items())
    return UsageError(
        f"{len(files)} {what} match, which differ in {listing(texts)}.",
        hint=f"Select one of each, as in {'group' if what == 'groups' else 'select'}({chosen}).",
    )


def _empty(shape: tuple[int, ...], file: IO[bytes] | None) -> NDArray[np.float64]:
    """An array in memory, in a new .npy file, or, when it is large, in a temporary file."""
    if file is not None:
        about = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
        return np.memmap(file, dtype="<f8", mode="r+", offset=file.tell(), shape=shape)
    if 8 * np.prod(shape, dtype=float) < _MEMORY:
        return np.empty(shape)
    with TemporaryFile() as temporary:
        return np.memmap(temporary, dtype=np.float64, mode="w+", shape=shape)
