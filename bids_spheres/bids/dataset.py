"""Folders on disk to datasets, and a dataset to its files. The only module that imports pybids.

fMRIPrep's folder is found from what the caller names, indexed once by pybids without metadata
and without the folders no run is in. Derivatives of other programs that go with it are
recognised by what their dataset_description.json says.
"""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bids_spheres.bids.names import Name, parse_name
from bids_spheres.errors import (
    BidsSpheresError,
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    UsageError,
)
from bids_spheres.textfiles import is_there, read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


_FEW = 20
"""Participants that are looked at one by one: an index of one takes a tenth of a second."""

_MANY = 1000
"""Participants in one index: pybids holds 13 KB for every file while it makes one."""


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
        word; without a word their dataset_description.json tells.

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
    if database is None and 0 < len(wanted) <= _FEW:
        # To look at the root of a large dataset takes longer than all the rest of an array task.
        folders = [root / f"sub-{label}" for label in dict.fromkeys(wanted)]
        return _parsed(path for folder in folders for path in _indexed(folder, _IGNORED))
    if database:
        return _parsed(_indexed(root, _IGNORED, database))
    labels = list(wanted) or _participants(root)
    parts = [labels[start : start + _MANY] for start in range(0, len(labels), _MANY)] or [[]]
    found = (path for part in parts for path in _indexed(root, [*_IGNORED, _OthersThan(part)]))
    return _parsed(dict.fromkeys(found))


def _participants(root: Path) -> list[str]:
    """Labels of all, without ``sub-``."""
    return sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())


class _Pattern(Protocol):
    """What pybids wants of a pattern: whether a path, from the root on, has it."""

    def search(self, path: str, /) -> Any: ...


class _OthersThan:
    """A pattern of the folders and pages of all participants but some.

    A regular expression of a thousand labels would be tried on every file.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._kept = {f"sub-{label}" for label in labels}

    def search(self, path: str) -> bool:
        """Whether it is such a path."""
        first = path.split("/", 2)[1]
        return first.startswith("sub-") and first not in self._kept


def _indexed(folder: Path, ignored: Sequence[_Pattern], database: Path | None = None) -> list[Path]:
    """Files of a dataset, or of a participant's folder in one, that a run can be made of."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer  # noqa: PLC0415 - slow to import

    undecodable = _Undecodable()
    indexer = BIDSLayoutIndexer(
        validate=False, index_metadata=False, ignore=[*ignored, undecodable]
    )
    kept = {} if database is None else {"database_path": database}
    try:
        with warnings.catch_warnings():
            # fMRIPrep before 20.2 wrote no GeneratedBy.
            warnings.filterwarnings("ignore", "The PipelineDescription field", UserWarning)
            layout = BIDSLayout(folder, validate=False, is_derivative=True, indexer=indexer, **kept)
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


def _not_indexed(root: Path, database: Path | None, error: Exception) -> BidsSpheresError:
    """The error of whatever SQLite or pybids make of a dataset, or of a foreign or old index."""
    if database is None:
        return InvalidDatasetError(
            f"{root} can't be indexed by pybids: {type(error).__name__}: {error}.",
            hint="Is dataset_description.json as BIDS wants it, and may every folder be read?",
        )
    return DataError(
        f"The index of pybids in {database} can't be used: {error}.",
        hint="Delete the folder, or name another with --bids-database-dir.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises
    ------
    MissingInputError
        When the file is not there, or git-annex has not fetched its content.
    DataError
        When it is no JSON object.
    ReadWriteError
        When the operating system can't read it.
    """
    return read_json_object(path)


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
        dataset = _dataset(root, _describe(root))
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


def _describe(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise MissingInputError(f"The folder {folder} is not there.")
    if not folder.is_dir():
        raise InvalidDatasetError(f"{folder} is a file; a dataset is a folder.")
    if not _is_text(folder.resolve()):
        raise InvalidDatasetError(
            f"The path {folder.resolve()} has bytes that are no text, and pybids can't index it.",
            hint="Rename the folder; if it looks well elsewhere, set PYTHONUTF8=1.",
        )
    description = folder / "dataset_description.json"
    if description.is_dir() or not is_there(description):
        raise InvalidDatasetError(
            f"{folder} is not a BIDS dataset: it has no dataset_description.json.",
            hint="Give the folder that holds fMRIPrep's sub-* folders.",
        )
    return read_json(description)


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


_IGNORED = (
    re.compile(r"/\."),
    re.compile(r"/(figures|log|logs|anat|fmap|dwi|perf|sourcedata|code)(/|$)"),
    # pybids takes half a millisecond for every file, wanted or not.
    re.compile(rf"_(?!({'|'.join(_SUFFIXES)})\.(nii|nii\.gz|tsv)$)[^_/.]*\.[^/]*$"),
)
"""Patterns of paths, from the root on, in which no file of a run lies."""


def _parsed(paths: Iterable[Path]) -> tuple[Files, list[tuple[Path, str]]]:
    parsed, rejected = [], []
    for path in paths:
        try:
            parsed.append((path, parse_name(path.name)))
        except ValueError as error:
            logger.warning("%s Left out.", error)
            rejected.append((path, str(error)))
    return parsed, rejected
