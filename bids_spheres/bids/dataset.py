"""A dataset on disk to the runs in it. The only module that imports pybids.

fMRIPrep's folder is found from what the caller names, indexed once by pybids without
metadata and without the folders no run is in, and the files of one run are put together by
their entities: a mask has those of its image, a confounds table those of the run.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.bids.names import Name, parse_name
from bids_spheres.errors import (
    DataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

logger = logging.getLogger(__name__)

MNI_PREFERENCE = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
"""Which MNI space to take when there are several and the user names none: fMRIPrep's first."""


@dataclass(frozen=True)
class Dataset:
    """A folder of fMRIPrep derivatives.

    Parameters
    ----------
    root : Path
    name : str
        As its dataset_description.json has it.
    """

    root: Path
    name: str


@dataclass(frozen=True)
class Run:
    """One preprocessed BOLD image and the files that belong to it.

    Parameters
    ----------
    bold : Path
    name : Name
        Its parsed file name.
    mask, confounds : Path or None
        None when fMRIPrep wrote none.
    """

    bold: Path
    name: Name
    mask: Path | None
    confounds: Path | None

    def __str__(self) -> str:
        return " ".join(f"{key}-{label}" for key, label in self.name.entities if key != "desc")

    @property
    def space(self) -> str:
        """Label of the image's space; "func" for the grid on which it was acquired."""
        return self.name.get("space") or "func"

    def metadata(self) -> dict[str, Any]:
        """What the JSON file beside the image holds; empty without one."""
        sidecar = self.bold.with_name(self.bold.name.split(".")[0] + ".json")
        return _read_json(sidecar) if sidecar.is_file() else {}


@dataclass(frozen=True)
class Selection:
    """Which runs are wanted; an empty tuple wants all.

    Labels are without the key: ``participants=("01", "02")``. Without `spaces` the MNI space
    in the dataset is taken.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()


def find_dataset(bids_dir: Path, derivatives: Path | None = None) -> Dataset:
    """Folder of fMRIPrep derivatives that the caller means.

    Parameters
    ----------
    bids_dir : Path
        fMRIPrep's output folder, or a raw dataset with ``derivatives/fmriprep*`` in it.
    derivatives : Path, optional
        fMRIPrep's output folder, when it is neither.

    Raises
    ------
    MissingInputError
        When a folder is not there.
    InvalidDatasetError
        When it is not a BIDS dataset, or has no fMRIPrep derivatives.
    """
    description = _describe(bids_dir)
    if derivatives is not None:
        return _dataset(derivatives, _describe(derivatives))
    if _is_derivative(description):
        return _dataset(bids_dir, description)
    nested = sorted((bids_dir / "derivatives").glob("fmriprep*/dataset_description.json"))
    if not nested:
        raise InvalidDatasetError(
            f"{bids_dir} is a raw dataset without fMRIPrep derivatives in derivatives/fmriprep*.",
            hint="Give fMRIPrep's output folder as bids_dir, or name it with --derivatives PATH.",
        )
    if len(nested) > 1:
        found = ", ".join(path.parent.name for path in nested)
        raise InvalidDatasetError(
            f"{bids_dir} has several fMRIPrep derivatives: {found}.",
            hint="Say which with --derivatives PATH.",
        )
    return _dataset(nested[0].parent, _describe(nested[0].parent))


def find_runs(dataset: Dataset, selection: Selection) -> list[Run]:
    """Preprocessed BOLD runs of a dataset, in the order of their names.

    Raises
    ------
    InvalidDatasetError
        When the dataset has no preprocessed BOLD image at all.
    NothingSelectedError
        When the selection leaves none; the message says what there was, and which of the
        filters left nothing.
    """
    participants = _participants(dataset.root, selection.participants)
    bolds, masks, confounds = _index(dataset.root, participants)
    if not bolds:
        raise InvalidDatasetError(
            f"{dataset.root} holds no preprocessed BOLD image (*_desc-preproc_bold.nii.gz).",
            hint="Is this fMRIPrep's output folder, and did fMRIPrep finish?",
        )
    chosen = _select(bolds, selection)
    mask_of = {_image_key(name): path for path, name in masks}
    confounds_of = {_run_key(name): path for path, name in confounds}
    logger.debug("%d images, %d masks, %d confounds tables", *map(len, (bolds, masks, confounds)))
    return [
        Run(path, name, mask_of.get(_image_key(name)), confounds_of.get(_run_key(name)))
        for path, name in sorted(chosen, key=lambda item: _natural(str(item[1])))
    ]


def _describe(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise MissingInputError(f"The folder {folder} is not there.")
    if not folder.is_dir():
        raise InvalidDatasetError(f"{folder} is a file; a dataset is a folder.")
    description = folder / "dataset_description.json"
    if not description.is_file():
        raise InvalidDatasetError(
            f"{folder} is not a BIDS dataset: it has no dataset_description.json.",
            hint="Give the folder that holds fMRIPrep's sub-* folders.",
        )
    return _read_json(description)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not a {type(content).__name__}.")
    return content


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
    logger.info("Preprocessed data: %s (%s)", root, name)
    return Dataset(root.resolve(), name)


def _participants(root: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Labels to index: those wanted, all of which must be there."""
    there = sorted(path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir())
    if not wanted:
        return tuple(there)
    if missing := [label for label in wanted if label not in there]:
        raise NothingSelectedError(
            f"--participant-label: {root} has no {_listed('sub-', missing)}.",
            hint=f"It has {_listed('sub-', there) or 'no participant at all'}.",
        )
    return tuple(wanted)


def _listed(prefix: str, labels: Iterable[str], most: int = 20) -> str:
    """Labels for a message, not more than a screen can take."""
    all_labels = [prefix + label for label in labels]
    shown = ", ".join(all_labels[:most])
    return shown + (f" and {len(all_labels) - most} more" if len(all_labels) > most else "")


_Files = list[tuple[Path, Name]]


def _index(root: Path, participants: Sequence[str]) -> tuple[_Files, _Files, _Files]:
    """BOLD images, brain masks and confounds tables, by pybids."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer  # noqa: PLC0415 - slow to import

    indexer = BIDSLayoutIndexer(
        validate=False, index_metadata=False, ignore=_ignored(root, participants)
    )
    layout = BIDSLayout(root, validate=False, is_derivative=True, indexer=indexer)

    def files(**entities: Any) -> _Files:
        found = layout.get(return_type="filename", invalid_filters="allow", **entities)
        return _parsed(Path(path) for path in found)

    images = {"extension": [".nii.gz", ".nii"]}
    return (
        files(suffix="bold", desc="preproc", **images),
        files(suffix="mask", desc="brain", datatype="func", **images),
        files(suffix=["timeseries", "regressors"], desc="confounds", extension=".tsv"),
    )


def _ignored(root: Path, participants: Sequence[str]) -> list[re.Pattern[str]]:
    """Patterns of paths, from the root on, in which no file of a run lies."""
    patterns = [r"/\.", r"/(figures|log|logs|anat|fmap|dwi|perf|sourcedata|code)(/|$)"]
    everyone = [path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir()]
    if set(participants) < set(everyone):
        labels = "|".join(map(re.escape, participants))
        patterns.append(rf"^/sub-(?!({labels})(/|$))")
    return [re.compile(pattern) for pattern in patterns]


def _parsed(paths: Iterable[Path]) -> _Files:
    parsed = []
    for path in paths:
        try:
            parsed.append((path, parse_name(path.name)))
        except ValueError as error:
            logger.warning("%s Left out.", error)
    return parsed


def _select(bolds: _Files, selection: Selection) -> _Files:
    """Apply the filters one after the other; the first that leaves nothing is named."""
    spaces = selection.spaces or _default_space(bolds)
    filters: list[tuple[str, str, tuple[str, ...]]] = [
        ("--session-label", "ses", selection.sessions),
        ("--task-label", "task", selection.tasks),
        ("--run", "run", selection.runs),
        ("--space", "space", spaces),
    ]
    left = bolds
    for option, key, labels in filters:
        if not labels:
            continue
        there = sorted({name.get(key) or "(none)" for _, name in left})
        left = [item for item in left if _matcher(key, labels)(item[1].get(key))]
        if not left:
            raise NothingSelectedError(
                f"{option} {' '.join(labels)} leaves no run.",
                hint=f"There is {_listed(f'{key}-', there)}.",
            )
    return left


def _matcher(key: str, labels: Sequence[str]) -> Callable[[str | None], bool]:
    """Whether a label is wanted; run-1 is also run-01."""
    if key != "run":
        return lambda label: label in labels
    numbers = {label.lstrip("0") for label in labels}
    return lambda label: label is not None and label.lstrip("0") in numbers


def _default_space(bolds: _Files) -> tuple[str, ...]:
    there = {name.get("space") or "(none)" for _, name in bolds}
    mni = sorted(space for space in there if space.startswith("MNI"))
    for space in (*MNI_PREFERENCE, *mni):
        if space in there:
            if len(mni) > 1:
                logger.info("Of the spaces %s, %s is taken.", ", ".join(mni), space)
            return (space,)
    raise NothingSelectedError(
        "No BOLD image is in an MNI space, and no --space is given.",
        hint=f"There is {_listed('space-', sorted(there))}.",
    )


def _image_key(name: Name) -> frozenset[tuple[str, str]]:
    return frozenset(entity for entity in name.entities if entity[0] != "desc")


def _run_key(name: Name) -> frozenset[tuple[str, str]]:
    """Entities of the run; echoes and parts of one run share their confounds."""
    return frozenset(entity for entity in name.source if entity[0] not in ("echo", "part"))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which run-2 comes before run-10."""
    return [
        (int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)
    ]
