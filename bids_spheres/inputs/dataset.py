"""Find datasets and the files of runs in them. The only module that imports pybids.

The folder tree is walked once, without the folders that hold no run; pybids is used where its index
is kept from call to call (``--bids-database-dir``). Derivatives of other programs are recognised by
the name that the caller gives them, or by their dataset_description.json.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import (
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    UsageError,
)
from bids_spheres.files.names import Name, parse_name
from bids_spheres.files.text import is_there, read_json_object
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Files = list[tuple[Path, Name]]

logger = logging.getLogger(__name__)

MOST_LABELS = 20  # labels in a message, not more than a screen can take
MAIN = "preprocessed"  # name under which ``DatasetLinks`` has fMRIPrep's output

_SHOWN = {MAIN: "fMRIPrep", "aroma": "fMRIPost-AROMA", "tedana": "tedana"}
"""Names of datasets, and of the programs that make them as ``GeneratedBy`` has them."""

_PROGRAMS = {program.lower(): name for name, program in _SHOWN.items()}

PROGRAMS = frozenset(_SHOWN)  # datasets whose tables are known; of other names are the user's own

_SUFFIXES = (
    *("bold", "preproc", "mask", "brainmask"),
    *("timeseries", "regressors", "confounds", "mixing", "metrics"),
)
"""Suffixes of the files of runs, in all versions of the programs that write them."""

_DESCRIBED = "bold|preproc|timeseries|regressors"  # suffixes of those whose JSON files are read

_IGNORED_FOLDER = re.compile(r"\..*|figures|logs?|anat|fmap|dwi|perf|sourcedata|code")
_OF_A_RUN = re.compile(rf"_({'|'.join(_SUFFIXES)})\.(nii|nii\.gz|tsv)$|_({_DESCRIBED})\.json$")
_IGNORED = (
    re.compile(rf"/({_IGNORED_FOLDER.pattern})(/|$)"),
    # pybids takes half a millisecond for every file, wanted or not.
    re.compile(rf"/(?![^/]*({_OF_A_RUN.pattern}))[^/]*\.[^/]*$"),
)
"""Patterns of paths, from the root on, in which no file of a run lies, for pybids."""


@dataclass(frozen=True)
class Dataset:
    """A folder of derivatives, its name in dataset_description.json, and what made it, if known."""

    root: Path
    name: str
    program: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Inputs:
    """fMRIPrep's output, and the others: ``"aroma"``, ``"tedana"``, or by the user's names."""

    main: Dataset
    others: dict[str, Dataset] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Dataset]:
        """Every dataset under the name by which ``DatasetLinks`` has it."""
        return {MAIN: self.main, **self.others}


def find_inputs(bids_dir: Path, derivatives: Sequence[tuple[str, Path]] = ()) -> Inputs:
    """Find the input datasets of a call.

    `bids_dir` is fMRIPrep's output folder, or a raw dataset with ``derivatives/fmriprep*`` in it;
    `derivatives` are names of further folders, ``"fmriprep"``, ``"aroma"``, ``"tedana"`` or any
    other word, or "" for that in their dataset_description.json.
    """
    description = _describe(bids_dir)
    # fMRIPrep before 20.2 wrote PipelineDescription and no DatasetType.
    old = "derivative" if {"GeneratedBy", "PipelineDescription"} & set(description) else None
    is_main = description.get("DatasetType", old) == "derivative"
    named: dict[str, Dataset] = {}
    for word, root in derivatives:
        dataset = _dataset(root, _describe(root, needed=not word))
        program = (dataset.program or "").lower()
        name = _PROGRAMS.get(word.lower(), word) or _PROGRAMS.get(program, "" if is_main else MAIN)
        if not name:
            raise InvalidDatasetError(
                f"{root} does not say that fMRIPrep, fMRIPost-AROMA or tedana made it.",
                hint=f"Say what it is, as in --derivatives aroma={root}.",
            )
        if name in named:
            raise UsageError(
                f"--derivatives: {named[name].root} and {root} are both {_shown(name)}.",
                hint="Give only the right folder, or name both: --derivatives NAME=PATH.",
            )
        named[name] = dataset
    main = named.pop(MAIN, None)
    if main is None:
        root = bids_dir if is_main else _nested(bids_dir)
        main = _dataset(root, _describe(root))
    for name, dataset in ({MAIN: main} | named).items():
        logger.info("Taken as %s: %s (%s)", _shown(name), dataset.root, dataset.name)
    return Inputs(main, named)


def _shown(name: str) -> str:
    return f"{_SHOWN[name]}'s output" if name in _SHOWN else name


def index_files(
    dataset: Dataset, wanted: Sequence[str] = (), database: Path | None = None
) -> tuple[Files, list[tuple[Path, str]]]:
    """Files of runs in a dataset; and files whose names can't be parsed, with the reason.

    Participants that are `wanted` must exist; none stands for all. pybids keeps its index, of all
    participants, in the folder `database` from call to call.
    """
    root = dataset.root
    if missing := [label for label in wanted if not (root / f"sub-{label}").is_dir()]:
        everyone = sorted(path.name for path in root.glob("sub-*") if path.is_dir())
        raise NothingSelectedError(
            f"--participant-label: {root} has no "
            f"{listing([f'sub-{label}' for label in missing], MOST_LABELS)}.",
            hint=f"It has {listing(everyone, MOST_LABELS) or 'no participant at all'}.",
        )
    # Listing the root of a large dataset takes longer than all the rest of an array task.
    folders = [root / f"sub-{label}" for label in dict.fromkeys(wanted)] or [root]
    found = _indexed(root, database) if database else chain.from_iterable(map(_walk, folders))
    parsed, skipped = [], []
    for path in found:
        try:
            parsed.append((path, parse_name(path.name)))
        except ValueError as error:
            logger.warning("%s Left out.", error)
            skipped.append((path, str(error)))
    return parsed, skipped


def _walk(folder: Path) -> Iterator[Path]:
    """Files of runs below a folder, by their names."""

    def refuse(error: OSError) -> None:
        raise InvalidDatasetError(
            f"{error.filename} can't be searched: {error.strerror}.",
            hint="May every folder of the dataset be read?",
        )

    def leads_back(parent: str, name: str) -> bool:
        path = os.path.join(parent, name)  # noqa: PTH118 - a tenth of the time, for every folder
        return os.path.islink(path) and Path(parent).resolve().is_relative_to(Path(path).resolve())  # noqa: PTH114

    # Links are followed, as shared outputs are often folders of links.
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not _IGNORED_FOLDER.fullmatch(name) and not leads_back(parent, name)
        )
        wanted = (name for name in names if _OF_A_RUN.search(name) and name[0] != ".")
        yield from (Path(parent, name) for name in sorted(wanted))


def _indexed(folder: Path, database: Path) -> list[Path]:
    """Files of runs in a dataset, from an index of pybids that is kept in a folder."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer  # noqa: PLC0415 - slow to import

    undecodable = _Undecodable()
    indexer = BIDSLayoutIndexer(
        validate=False, index_metadata=False, ignore=[*_IGNORED, undecodable]
    )
    try:
        with warnings.catch_warnings():
            # fMRIPrep before 20.2 wrote no GeneratedBy.
            warnings.filterwarnings("ignore", "The PipelineDescription field", UserWarning)
            options = {"validate": False, "is_derivative": True, "database_path": database}
            layout = BIDSLayout(folder, indexer=indexer, **options)
    except Exception as error:
        # Whatever SQLite or pybids raise for a dataset, or for an index of another version.
        raise DataError(
            f"The index of pybids of {folder} in {database} can't be made or used: {error}.",
            hint="Delete the folder, or name another with --bids-database-dir; without the option "
            "none is needed.",
        ) from error
    files = layout.get(return_type="filename", invalid_filters="allow", suffix=list(_SUFFIXES))
    others = (folder / path for path in undecodable.paths)
    below = (_walk(path) if path.is_dir() else (path,) for path in others)
    return [*map(Path, files), *chain.from_iterable(below)]


class _Undecodable:
    """A pattern of paths with bytes that are no text, which pybids can't index; keeps them."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def search(self, path: str) -> bool:
        """Whether it is such a path."""
        if _is_text(path):
            return False
        self.paths.append(path.lstrip("/"))
        return True


def _is_text(path: object) -> bool:
    """Whether every byte of a path is text in the encoding that Python takes for file names."""
    return not any("\ud800" <= char <= "\udfff" for char in str(path))


def _nested(bids_dir: Path) -> Path:
    """The folder of fMRIPrep's output in a raw dataset."""
    folders = sorted((bids_dir / "derivatives").glob("fmriprep*"))
    nested = [folder for folder in folders if is_there(folder / "dataset_description.json")]
    if not nested:
        raise InvalidDatasetError(
            f"{bids_dir} is a raw dataset without fMRIPrep derivatives in derivatives/fmriprep*.",
            hint="Give fMRIPrep's output folder as bids_dir, or name it with --derivatives PATH.",
        )
    if len(nested) > 1:
        names = ", ".join(folder.name for folder in nested)
        raise InvalidDatasetError(
            f"{bids_dir} has several fMRIPrep derivatives: {names}.",
            hint="Say which with --derivatives fmriprep=PATH.",
        )
    return nested[0]


def _describe(folder: Path, *, needed: bool = True) -> dict[str, Any]:
    """Content of dataset_description.json; empty without one, unless it is needed."""
    if not folder.exists():
        raise MissingInputError(f"The folder {folder} is not there.")
    if not folder.is_dir():
        raise InvalidDatasetError(f"{folder} is a file; a dataset is a folder.")
    if not _is_text(folder.resolve()):
        raise InvalidDatasetError(
            f"The path {folder.resolve()} has bytes that are no text, so no JSON can name it.",
            hint="Rename the folder; if it looks well elsewhere, set PYTHONUTF8=1.",
        )
    description = folder / "dataset_description.json"
    if not (needed or is_there(description)):
        return {}
    if description.is_dir() or not is_there(description):
        raise InvalidDatasetError(
            f"{folder} is not a BIDS dataset: it has no dataset_description.json.",
            hint="Give the folder that holds fMRIPrep's sub-* folders. Derivatives without it "
            "need a word for what they are: --derivatives tedana=PATH.",
        )
    return read_json_object(description)


def _dataset(root: Path, description: dict[str, Any]) -> Dataset:
    made_by = description.get("GeneratedBy", [])
    if not isinstance(made_by, list) or not all(isinstance(entry, dict) for entry in made_by):
        raise InvalidDatasetError(
            f"{root / 'dataset_description.json'}: GeneratedBy is no list of objects.",
            hint='Write it as in "GeneratedBy": [{"Name": "fMRIPrep"}].',
        )
    # Some old datasets have a list of PipelineDescriptions.
    described = made_by or description.get("PipelineDescription") or []
    pipelines = described if isinstance(described, list) else [described]
    entries = [entry for entry in pipelines if isinstance(entry, dict) and entry.get("Name")]
    # The first program known to us, else the first.
    known = [entry for entry in entries if str(entry["Name"]).lower() in _PROGRAMS]
    maker = next(iter(known or entries), {})
    program, version = (str(maker[key]) if maker.get(key) else None for key in ("Name", "Version"))
    return Dataset(root.resolve(), str(description.get("Name") or root.name), program, version)
