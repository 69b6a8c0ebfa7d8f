"""Folders on disk to datasets, and a dataset to its files. The only module that imports pybids.

fMRIPrep's folder is found from what the caller names, and looked through once, without the folders
no run is in. pybids, which takes some twenty times as long for the same files, is only asked where
the caller keeps its index from call to call.
Derivatives of other programs are recognised by the caller's word for them, or by what their
dataset_description.json says.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import (
    BidsSpheresError,
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    UsageError,
)
from bids_spheres.files.names import Name, parse_name
from bids_spheres.files.text import is_there, read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Files = list[tuple[Path, Name]]

logger = logging.getLogger(__name__)

MAIN = "preprocessed"
"""Name under which ``DatasetLinks`` has fMRIPrep's output."""

_PROGRAMS = {"fmriprep": MAIN, "fmripost-aroma": "aroma", "tedana": "tedana"}
"""Names in ``GeneratedBy``, in small letters, and what we call what they write."""

_SUFFIXES = (
    *("bold", "preproc", "mask", "brainmask"),
    *("timeseries", "regressors", "confounds", "mixing", "metrics"),
)
"""Of files that a run is made of, in any version of the programs that write them."""


@dataclass(frozen=True)
class Dataset:
    """A folder of derivatives.

    Parameters
    ----------
    root : Path
    name : str
        As its dataset_description.json has it.
    program, version : str or None
        What made it, if that is known.
    """

    root: Path
    name: str
    program: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Inputs:
    """Datasets that one call works on.

    Parameters
    ----------
    main : Dataset
        fMRIPrep's.
    others : dict of str to Dataset
        What goes with it: ``"aroma"``, ``"tedana"``, or by names of the user's.
    """

    main: Dataset
    others: dict[str, Dataset] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Dataset]:
        """Every dataset under the name by which ``DatasetLinks`` has it."""
        return {MAIN: self.main, **self.others}


def find_inputs(bids_dir: Path, derivatives: Sequence[tuple[str, Path]] = ()) -> Inputs:
    """Datasets that the caller means.

    Parameters
    ----------
    bids_dir : Path
        fMRIPrep's output folder, or a raw dataset with ``derivatives/fmriprep*`` in it.
    derivatives : sequence of (str, Path)
        Further folders and what they are: ``"fmriprep"``, ``"aroma"``, ``"tedana"`` or any other
        word; without a word their dataset_description.json tells, which tedana's ``--prefix``
        calls otherwise.

    Raises
    ------
    MissingInputError
        When a folder is not there.
    InvalidDatasetError
        When it is not a BIDS dataset, or there are no fMRIPrep derivatives.
    UsageError
        When two folders are the same thing.
    """
    is_main = _is_derivative(_describe(bids_dir))
    named = dict(_named(derivatives, otherwise="" if is_main else MAIN))
    main = named.pop(MAIN, None)
    if main is None:
        root = bids_dir if is_main else _nested(bids_dir)
        main = _dataset(root, _describe(root))
    for name, dataset in ({MAIN: main} | named).items():
        logger.info("Taken as %s: %s (%s)", _SHOWN.get(name, name), dataset.root, dataset.name)
    return Inputs(main, named)


_SHOWN = {
    MAIN: "fMRIPrep's output",
    "aroma": "fMRIPost-AROMA's output",
    "tedana": "tedana's output",
}


def index_files(
    dataset: Dataset, wanted: Sequence[str] = (), database: Path | None = None
) -> tuple[Files, list[tuple[Path, str]]]:
    """Files of a dataset that a run can be made of, by pybids.

    Parameters
    ----------
    dataset : Dataset
    wanted : sequence of str
        Labels of participants, all of which must be there; all without them.
    database : Path, optional
        Folder in which pybids keeps its index, of all participants, from call to call.

    Returns
    -------
    files : list of (Path, Name)
    rejected : list of (Path, str)
        Files whose names can't be understood, and why.

    Raises
    ------
    NothingSelectedError
        When a participant is not there.
    InvalidDatasetError
        When pybids can't index it.
    DataError
        When the folder of the index can't be used.
    """
    root = dataset.root
    if missing := [label for label in wanted if not (root / f"sub-{label}").is_dir()]:
        everyone = _participants(root)
        raise NothingSelectedError(
            f"--participant-label: {root} has no {listed('sub-', missing)}.",
            hint=f"It has {listed('sub-', everyone) or 'no participant at all'}.",
        )
    if database:
        return _parsed(_indexed(root, database))
    # To look at the root of a large dataset takes longer than all the rest of an array task.
    folders = [root / f"sub-{label}" for label in dict.fromkeys(wanted)] or [root]
    return _parsed(path for folder in folders for path in _walk(folder))


def _participants(root: Path) -> list[str]:
    """Labels of all, without ``sub-``."""
    return sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder that a run can be made of, by their names."""
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not _IGNORED_FOLDER.fullmatch(name) and not _leads_back(parent, name)
        )
        wanted = (name for name in names if _OF_A_RUN.search(name) and name[0] != ".")
        yield from (Path(parent, name) for name in sorted(wanted))


def _leads_back(parent: str, name: str) -> bool:
    """Whether a folder is a link to one that it is in."""
    path = os.path.join(parent, name)  # noqa: PTH118 - a tenth of the time, for every folder
    return os.path.islink(path) and Path(parent).resolve().is_relative_to(Path(path).resolve())  # noqa: PTH114


def _refuse(error: OSError) -> None:
    raise InvalidDatasetError(
        f"{error.filename} can't be looked through: {error.strerror}.",
        hint="May every folder of the dataset be read?",
    )


def _indexed(folder: Path, database: Path) -> list[Path]:
    """Files of a dataset that a run can be made of, by pybids' index, kept in a folder."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer  # noqa: PLC0415 - slow to import

    undecodable = _Undecodable()
    indexer = BIDSLayoutIndexer(
        validate=False, index_metadata=False, ignore=[*_IGNORED, undecodable]
    )
    try:
        with warnings.catch_warnings():
            # fMRIPrep before 20.2 wrote no GeneratedBy.
            warnings.filterwarnings("ignore", "The PipelineDescription field", UserWarning)
            layout = BIDSLayout(
                folder,
                validate=False,
                is_derivative=True,
                indexer=indexer,
                database_path=database,
            )
    except Exception as error:
        raise _not_indexed(folder, database, error) from error
    found = layout.get(return_type="filename", invalid_filters="allow", suffix=list(_SUFFIXES))
    return [*map(Path, found), *(folder / path for path in undecodable.paths)]


class _Undecodable:
    """A pattern of paths with bytes that are no text, which pybids can't index; keeps them."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def search(self, path: str) -> bool:
        """Whether it is such a path."""
        found = not _is_text(path)
        self.paths += [path.lstrip("/")] if found else []
        return found


def _is_text(path: object) -> bool:
    """Whether every byte of a path is text in the encoding that Python takes for file names."""
    return not any("\ud800" <= char <= "\udfff" for char in str(path))


def _not_indexed(root: Path, database: Path, error: Exception) -> BidsSpheresError:
    """The error of whatever SQLite or pybids make of a dataset, or of a foreign or old index."""
    return DataError(
        f"The index of pybids of {root} in {database} can't be made or used: {error}.",
        hint="Delete the folder, or name another with --bids-database-dir; without the option "
        "none is needed.",
    )


def listed(prefix: str, labels: Iterable[str], most: int = 20) -> str:
    """Labels for a message, not more than a screen can take."""
    all_labels = [prefix + label for label in labels]
    shown = ", ".join(all_labels[:most])
    return shown + (f" and {len(all_labels) - most} more" if len(all_labels) > most else "")


def _named(
    derivatives: Sequence[tuple[str, Path]], otherwise: str
) -> Iterable[tuple[str, Dataset]]:
    """Derivatives by what they are, each once; `otherwise` is what one is that does not say."""
    seen: dict[str, Path] = {}
    for word, root in derivatives:
        dataset = _dataset(root, _describe(root, needed=not word))
        program = (dataset.program or "").lower()
        name = _PROGRAMS.get(word.lower(), word) or _PROGRAMS.get(program, otherwise)
        if not name:
            raise InvalidDatasetError(
                f"{root} does not say that fMRIPrep, fMRIPost-AROMA or tedana made it.",
                hint=f"Say what it is, as in --derivatives aroma={root}.",
            )
        if name in seen:
            raise UsageError(
                f"--derivatives: {seen[name]} and {root} are both {_SHOWN.get(name, name)}.",
                hint="Give one of them, or say what they are: --derivatives NAME=PATH.",
            )
        seen[name] = root
        yield name, dataset


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
        found = ", ".join(folder.name for folder in nested)
        raise InvalidDatasetError(
            f"{bids_dir} has several fMRIPrep derivatives: {found}.",
            hint="Say which with --derivatives fmriprep=PATH.",
        )
    return nested[0]


def _describe(folder: Path, *, needed: bool = True) -> dict[str, Any]:
    """Content of dataset_description.json; empty where there is none and none is needed."""
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


def _is_derivative(description: dict[str, Any]) -> bool:
    """Whether a dataset_description.json is that of derivatives.

    fMRIPrep before 20.2 wrote PipelineDescription and no DatasetType.
    """
    return description.get("DatasetType") == "derivative" or bool(
        {"GeneratedBy", "PipelineDescription"} & set(description)
        and "DatasetType" not in description
    )


def _dataset(root: Path, description: dict[str, Any]) -> Dataset:
    name = str(description.get("Name") or root.name)
    made_by = description.get("GeneratedBy", [])
    if not isinstance(made_by, list) or not all(isinstance(entry, dict) for entry in made_by):
        raise InvalidDatasetError(
            f"{root / 'dataset_description.json'}: GeneratedBy is no list of objects.",
            hint='Write it as in "GeneratedBy": [{"Name": "fMRIPrep"}].',
        )
    program, version = _maker(description)
    return Dataset(root.resolve(), name, program, version)


def _maker(description: dict[str, Any]) -> tuple[str | None, str | None]:
    """Program and version that made a dataset: the first one known to us, else the first."""
    made_by = description.get("GeneratedBy") or description.get("PipelineDescription") or []
    entries = [e for e in (made_by if isinstance(made_by, list) else [made_by]) if _has_name(e)]
    known = [entry for entry in entries if str(entry["Name"]).lower() in _PROGRAMS]
    for entry in known or entries:
        return str(entry["Name"]), str(entry["Version"]) if entry.get("Version") else None
    return None, None


def _has_name(entry: Any) -> bool:
    return isinstance(entry, dict) and bool(entry.get("Name"))


_IGNORED_FOLDER = re.compile(r"\..*|figures|logs?|anat|fmap|dwi|perf|sourcedata|code")
_OF_A_RUN = re.compile(rf"_({'|'.join(_SUFFIXES)})\.(nii|nii\.gz|tsv)$|_(bold|preproc)\.json$")
_IGNORED = (
    re.compile(rf"/({_IGNORED_FOLDER.pattern})(/|$)"),
    # pybids takes half a millisecond for every file, wanted or not.
    re.compile(rf"/(?![^/]*({_OF_A_RUN.pattern}))[^/]*\.[^/]*$"),
)
"""Patterns of paths, from the root on, in which no file of a run lies, for pybids."""


def _parsed(paths: Iterable[Path]) -> tuple[Files, list[tuple[Path, str]]]:
    parsed, rejected = [], []
    for path in paths:
        try:
            parsed.append((path, parse_name(path.name)))
        except ValueError as error:
            logger.warning("%s Left out.", error)
            rejected.append((path, str(error)))
    return parsed, rejected
