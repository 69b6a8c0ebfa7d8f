"""Find the files that belong to an image, a run or its participant's anatomy, by their names.

A file belongs to an image when it has all entities of the image's run; else when it has all but
``part``; all but ``echo``; all but both. Of what describes the image itself (``space``, ``res``,
``den``, ``desc``) the name of the file may say less, but nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bids_spheres.errors import InvalidDatasetError, MissingInputError, UsageError
from bids_spheres.files.names import IMAGE_ENTITIES, as_written, named_files, same_template
from bids_spheres.files.text import is_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name

    Entities = Mapping[str, str]
    RunEntities = frozenset[tuple[str, str]]

KEEP_ONE = "Keep the one that belongs to the image, and move the other elsewhere."
"""What to do when two files belong to one image."""

TISSUES = {"GM": 1, "WM": 2, "CSF": 3}  # labels of ``probseg`` images, numbers in ``dseg``

_ANATOMICAL = ("T1w", "T2w")

_EVENTS = "*_events.tsv"

_SHARED_BY = ((), ("part",), ("echo",), ("echo", "part"))
"""Entities that a file may leave out since it is of several images of a run, in this order."""


class FilesOfImages:
    """Files of one kind, such as confounds tables, looked up by the image they belong to.

    `what` is the kind in the singular, for messages. With `spaces_differ` a file without ``space``
    is on the grid of acquisition, and so of no other image.
    """

    def __init__(self, what: str, *, spaces_differ: bool = False) -> None:
        self._what = what
        self._spaces_differ = spaces_differ
        self._files: dict[tuple[int, RunEntities], list[tuple[Entities, Path]]] = defaultdict(list)
        self._datasets: set[int] = set()

    def add(self, dataset: int, path: Path, name: Name) -> None:
        """Add a file of a dataset; those of a lower number are preferred."""
        run, image = _split(name)
        self._files[dataset, run].append((image, path))
        self._datasets.add(dataset)

    def of(self, image: Name) -> Path | None:
        """The file that belongs to an image, if any; an error when two do equally well."""
        run, labels = _split(image)
        keys = dict.fromkeys(
            frozenset(entity for entity in run if entity[0] not in dropped)
            for dropped in _SHARED_BY
        )
        for dataset in sorted(self._datasets):
            for key in keys:
                if best := self._best(self._files.get((dataset, key), ()), labels):
                    return _only(sorted(best), f"the {self._what}")
        return None

    def _best(self, files: Iterable[tuple[Entities, Path]], image: Entities) -> list[Path]:
        """Files whose names agree most with that of an image, without a conflict."""
        agreement: dict[tuple[int, int], list[Path]] = defaultdict(list)
        for labels, path in files:
            space = labels.get("space")
            other_space = space != image.get("space")
            if other_space and (space is not None or self._spaces_differ):
                continue
            if all(image.get(key, label) == label for key, label in labels.items()):
                # Then the name with the fewest labels that the image lacks.
                common = len(labels.keys() & image.keys())
                agreement[common, -len(labels)].append(path)
        return agreement[max(agreement)] if agreement else []


def _only(files: Sequence[Path], what: str) -> Path:
    if len(files) > 1:
        raise InvalidDatasetError(
            f"{files[0]} and {files[1]} are both {what} of one run.", hint=KEEP_ONE
        )
    return files[0]


def _split(name: Name) -> tuple[RunEntities, Entities]:
    """Entities of a run, and those of an image, with their values normalized."""
    values = name.values
    run = frozenset(entity for entity in values.items() if entity[0] not in IMAGE_ENTITIES)
    return run, {key: label for key, label in values.items() if key in IMAGE_ENTITIES}


def find_events(run: Name, root: Path) -> Path | None:
    """The ``events.tsv`` of a run in a dataset, by BIDS's principle of inheritance.

    Of those whose entities the run has, the one with the most; files of a folder above count for
    all below it. InvalidDatasetError when two are as good.
    """
    folders = [root, *(root / folder for folder in reversed(run.folder.parents)), root / run.folder]
    files = (path for folder in dict.fromkeys(folders) for path in sorted(folder.glob(_EVENTS)))
    best: dict[int, list[Path]] = defaultdict(list)
    for path, name in named_files(files):
        if name.values.items() <= run.values.items():
            best[len(name.values)].append(path)
    return _only(best[max(best)], "the events") if best else None


def find_outliers(given: Path | None, runs: Sequence[Name]) -> list[Path | None]:
    """Find the outlier table of every run.

    `given` is a table, for a call with one run; or a folder of ``*_outliers.tsv``, at any depth, in
    which a table belongs to the runs that have all the entities in its name but ``desc``.
    """
    if given is None:
        return [None] * len(runs)
    if given.is_dir():
        files = named_files(sorted(given.rglob("*_outliers.tsv")))
        tables = {path: frozenset(name.without_desc.values.items()) for path, name in files}
        return [_outliers_in_folder(given, tables, name) for name in runs]
    if not is_there(given):
        raise MissingInputError(f"The outlier table or folder of such tables {given} is missing.")
    if len({name.source for name in runs}) > 1:
        raise UsageError(
            f"One outlier table, {given}, is given for {len(runs)} runs.",
            hint="Give a folder with one *_outliers.tsv for every run, named as the runs are.",
        )
    return [given] * len(runs)


def _outliers_in_folder(folder: Path, tables: Mapping[Path, RunEntities], name: Name) -> Path:
    own = [path for path, labels in tables.items() if labels and labels <= name.values.items()]
    run = "_".join(as_written(name.source))
    if not own:
        raise MissingInputError(
            f"{folder} has no outlier table for {run}.", hint=f"It would be {run}_outliers.tsv."
        )
    if len(own) > 1:
        raise UsageError(
            f"{own[0]} and {own[1]} are both outlier tables of {run}.",
            hint="Keep one table for every run in the folder.",
        )
    return own[0]


def tissue_images(func: Path, space: str) -> dict[str, tuple[Path, int | None]]:
    """Images of tissues in a space, by label, and the number in it; None for probabilities.

    `func` is the folder of a participant's functional images.
    """
    tissues: dict[str, tuple[Path, int | None]] = {}
    images = list(_images(_anatomical_folders(func), space))
    for path, name in images:
        label = str(name.get("label"))
        if name.suffix == "probseg" and label in TISSUES:
            tissues.setdefault(label, (path, None))
    for path, name in images:
        if name.suffix == "dseg" and name.get("desc") is None and name.get("atlas") is None:
            for label, number in TISSUES.items():
                tissues.setdefault(label, (path, number))
    return tissues


def anatomical_mask(bold: Path) -> Path | None:
    """Brain mask of an image's participant on the anatomy's own grid, of the same session first."""
    masks = (
        path
        for folder in _anatomical_folders(bold.parent)
        for path in sorted(folder.glob("sub-*_desc-brain_mask.nii*"))
    )
    return next((path for path in masks if "_space-" not in path.name), None)


def lesion_masks(folder: Path, run: Name, space: str) -> list[Path]:
    """Masks of a participant's lesions in the space of a run, at any depth of a folder."""
    return [
        path
        for path, name in _images([folder], space, below=True)
        if name.suffix in ("mask", "roi", "dseg")
        and name.get("sub") == run.get("sub")
        and name.get("ses") in (None, run.get("ses"))
    ]


def _anatomical_folders(func: Path) -> list[Path]:
    """Folders of a participant's anatomical images, that of the session first."""
    participants = [x for x in (func, *func.parents) if x.name.startswith("sub-")]
    participant = participants[0] if participants else func
    sessions = sorted(participant.glob("ses-*"))
    folders = dict.fromkeys([func.parent, participant, *sessions])
    return [folder / "anat" for folder in folders]


def _images(folders: list[Path], space: str, *, below: bool = False) -> Iterator[tuple[Path, Name]]:
    """Images with BIDS names in a space; without one in their names, in the anatomy's."""
    for folder in folders:
        for path, name in named_files(sorted(folder.glob("**/*.nii*" if below else "*.nii*"))):
            own = name.space
            if same_template(own, space) if own else space in _ANATOMICAL:
                yield path, name
