"""Files of datasets to runs: which belong together, and which are wanted.

Files belong together by their entities: images of one run in one space share all but ``desc``,
a mask has those of its image, a table those of the run.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_spheres.bids.dataset import MAIN, index_files, listed, read_json
from bids_spheres.errors import InvalidDatasetError, NothingSelectedError
from bids_spheres.textfiles import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.bids.dataset import Files, Inputs
    from bids_spheres.bids.names import Name

    Key = frozenset[tuple[str, str]]
    Rejected = list[tuple[Path, str]]

logger = logging.getLogger(__name__)

MNI_PREFERENCE = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
"""Which MNI space to take when there are several and the user names none: fMRIPrep's first."""

_ACQUIRED = ("func", "boldref")
"""How users name the space of images on the grid of acquisition, which have none in their names."""

_IMAGES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Tables:
    """Tables of one run.

    Parameters
    ----------
    confounds : Path or None
        fMRIPrep's.
    aroma : Path or None
        fMRIPost-AROMA's ``desc-aroma_timeseries.tsv``.
    tedana : tuple of two Path, or None
        ``desc-ICA_mixing.tsv`` and ``desc-tedana_metrics.tsv``.
    """

    confounds: Path | None = None
    aroma: Path | None = None
    tedana: tuple[Path, Path] | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those there are."""
        return tuple(p for p in (self.confounds, self.aroma, *(self.tedana or ())) if p)


@dataclass(frozen=True)
class Run:
    """One run in one space, and the files that belong to it.

    Parameters
    ----------
    name : Name
        Of its images, without ``desc``.
    images : tuple of (str, Path)
        ``desc`` and path of every BOLD image.
    mask : Path or None
        None when fMRIPrep wrote none.
    tables : Tables
    """

    name: Name
    images: tuple[tuple[str, Path], ...]
    mask: Path | None
    tables: Tables

    def __str__(self) -> str:
        return " ".join(f"{key}-{label}" for key, label in self.name.entities)

    @property
    def space(self) -> str:
        """Label of the images' space; "func" for the grid on which they were acquired."""
        return self.name.get("space") or "func"

    def image(self, kinds: Iterable[str]) -> Path | None:
        """The image whose ``desc`` comes first in `kinds`."""
        there = dict(self.images)
        return next((there[kind] for kind in kinds if kind in there), None)

    def metadata(self, image: Path) -> dict[str, Any]:
        """What the JSON file beside an image holds; empty without one."""
        sidecar = image.with_name(image.name.split(".")[0] + ".json")
        return read_json(sidecar) if is_there(sidecar) else {}


@dataclass(frozen=True)
class Selection:
    """Which runs are wanted; an empty tuple wants all.

    Labels are without the key: ``participants=("01", "02")``. Without `spaces` the MNI space
    in the dataset is taken. `others` holds labels of further entities by their keys, "" for a
    name without the entity.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    acquisitions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    echoes: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def filters(self) -> list[_Filter]:
        """Filters in the order in which they apply; the space comes last but one."""
        return [
            _Filter("--session-label", "ses", self.sessions),
            _Filter("--task-label", "task", self.tasks),
            _Filter("--acquisition", "acq", self.acquisitions),
            _Filter("--run", "run", self.runs),
            _Filter("--echo", "echo", self.echoes),
            *(_Filter("--bids-filter-file", key, labels) for key, labels in self.others),
        ]


@dataclass(frozen=True)
class _Filter:
    """Labels of one entity that are wanted."""

    option: str
    key: str
    labels: tuple[str, ...]

    def apply(self, files: Files, rejected: Rejected) -> Files:
        """Files that pass; the others go to `rejected`.

        Raises
        ------
        NothingSelectedError
            When none does; the message says what there was.
        """
        if not self.labels:
            return files
        there = sorted({name.get(self.key) or "" for _, name in files}, key=natural)
        unmet = [x for x in self.labels if x and not any(map(self._matcher([x]), there))]
        left = [item for item in files if self._matcher(self.labels)(item[1].get(self.key) or "")]
        choice = f"There is {listed(f'{self.key}-', (label or '(none)' for label in there))}."
        if not left:
            shown = " ".join(self.labels)
            raise NothingSelectedError(f"{self.option} {shown} leaves no run.", hint=choice)
        for label in unmet:
            logger.warning("%s %s: no run has it. %s", self.option, label, choice)
        passed = {path for path, _ in left}
        reason = f"{self.option} {' '.join(self.labels)}"
        rejected += [(path, reason) for path, _ in files if path not in passed]
        return left

    def _matcher(self, labels: Sequence[str]) -> Callable[[str], bool]:
        """Whether a label is wanted; run-1 is also run-01, and "func" a name without a space."""
        if self.key == "space":
            wanted = {"" if label in _ACQUIRED else label for label in labels}.union(labels)
            return lambda label: label in wanted
        if self.key not in ("run", "echo"):
            return lambda label: label in labels
        numbers = {_without_padding(label) for label in labels}
        return lambda label: _without_padding(label) in numbers


def _without_padding(label: str) -> str:
    """Label without zeros before it, of which one is left of zero itself; "" is no label."""
    return label.lstrip("0") or label[:1]


@dataclass(frozen=True)
class Found:
    """What was found in the datasets.

    Parameters
    ----------
    runs : tuple of Run
        In the order of their names.
    rejected : tuple of (Path, str)
        Images that are not used, and why.
    """

    runs: tuple[Run, ...]
    rejected: tuple[tuple[Path, str], ...]


def find_runs(
    inputs: Inputs, selection: Selection, kinds: Iterable[str], database: Path | None = None
) -> Found:
    """Runs with a BOLD image of one of `kinds`.

    Parameters
    ----------
    inputs : Inputs
    selection : Selection
    kinds : iterable of str
        ``desc`` of the images that count.
    database : Path, optional
        Where pybids keeps its index.

    Raises
    ------
    InvalidDatasetError
        When there is no such BOLD image at all.
    NothingSelectedError
        When the selection leaves none; the message says what there was, and which of the
        filters left nothing.
    """
    files = _Files.index(inputs, selection.participants, database)
    wanted = tuple(dict.fromkeys(kinds))
    bolds = [item for item in files.bolds if item[1].get("desc") in wanted]
    if not bolds:
        raise InvalidDatasetError(
            f"{inputs.main.root} holds no preprocessed BOLD image "
            f"({', '.join(f'*_desc-{kind}_bold.nii.gz' for kind in wanted)}).",
            hint="Is this fMRIPrep's output folder, and did fMRIPrep finish?",
        )
    rejected = [
        *files.rejected,
        *(
            (path, "no strategy starts from it")
            for path, name in files.bolds
            if name.get("desc") not in wanted
        ),
    ]
    images: dict[Key, list[tuple[Path, Name]]] = defaultdict(list)
    for item in _select(bolds, selection, rejected):
        images[_image_key(item[1])].append(item)
    runs = sorted(map(files.run, images.values()), key=lambda run: natural(str(run)))
    return Found(tuple(runs), tuple(rejected))


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which run-2 comes before run-10."""
    return [
        (int(part or 0), "") if part.isdecimal() else (0, part)
        for part in re.split(r"([0-9]+)", text)
    ]


@dataclass(frozen=True)
class _Files:
    """Files of all datasets, by what they are."""

    bolds: Files = field(default_factory=list)
    masks: dict[Key, Path] = field(default_factory=dict)
    masks_of_space: dict[Key, Path] = field(default_factory=dict)
    tables: dict[str, dict[Key, Path]] = field(default_factory=lambda: defaultdict(dict))
    rejected: Rejected = field(default_factory=list)

    @classmethod
    def index(cls, inputs: Inputs, participants: Sequence[str], database: Path | None) -> _Files:
        """Index fMRIPrep's output and whatever goes with it."""
        found = cls()
        for link, dataset in inputs.all.items():
            wanted = participants if link == MAIN else ()
            files, rejected = index_files(dataset, wanted, database and database / link)
            found.rejected.extend(rejected)
            for path, name in files:
                if not participants or name.get("sub") in participants:
                    found._add(path, name)
        return found

    def _add(self, path: Path, name: Name) -> None:
        what = name.suffix, name.get("desc")
        if name.suffix == "bold" and name.extension in _IMAGES:
            self.bolds.append((path, name))
        elif what == ("mask", "brain") and name.extension in _IMAGES and _is_func(path):
            self.masks[_image_key(name)] = path
            self.masks_of_space.setdefault(_space_key(name), path)
        elif name.extension == ".tsv" and (table := _TABLES.get(what)):
            self.tables[table][_run_key(name)] = path

    def run(self, images: Files) -> Run:
        """Images of one run in one space with what belongs to them."""
        name = images[0][1]
        key = _run_key(name)
        tables = {table: self.tables[table].get(key) for table in set(_TABLES.values())}
        mixing, metrics = tables["mixing"], tables["metrics"]
        mask = self.masks.get(_image_key(name)) or self.masks_of_space.get(_space_key(name))
        return Run(
            name=name.with_(name.suffix, name.extension),
            images=tuple((image.get("desc") or "", path) for path, image in images),
            mask=mask,
            tables=Tables(
                confounds=tables["confounds"],
                aroma=tables["aroma"],
                tedana=(mixing, metrics) if mixing and metrics else None,
            ),
        )


_TABLES: Mapping[tuple[str, str | None], str] = {
    ("timeseries", "confounds"): "confounds",
    ("regressors", "confounds"): "confounds",
    ("timeseries", "aroma"): "aroma",
    ("mixing", "ICA"): "mixing",
    ("metrics", "tedana"): "metrics",
}
"""Suffix and ``desc`` of the tables of a run."""


def _select(bolds: Files, selection: Selection, rejected: Rejected) -> Files:
    """Apply the filters one after the other; the first that leaves nothing is named."""
    left = bolds
    for one in selection.filters():
        left = one.apply(left, rejected)
    spaces = _Filter("--space", "space", selection.spaces or _default_space(left))
    left = spaces.apply(left, rejected)
    return _Filter("--res", "res", selection.resolutions).apply(left, rejected)


def _default_space(bolds: Files) -> tuple[str, ...]:
    there = {name.get("space") or "(none)" for _, name in bolds}
    mni = sorted(space for space in there if space.startswith("MNI"))
    for space in (*MNI_PREFERENCE, *mni):
        if space in there:
            if len(mni) > 1:
                logger.info("Of the spaces %s, %s is taken.", ", ".join(mni), space)
            return (space,)
    raise NothingSelectedError(
        "No BOLD image is in an MNI space, and no --space is given.",
        hint=f"There is {listed('space-', sorted(there))}.",
    )


def _is_func(path: Path) -> bool:
    return path.parent.name == "func"


def _image_key(name: Name) -> Key:
    return frozenset(entity for entity in name.entities if entity[0] != "desc")


def _run_key(name: Name) -> Key:
    """Entities of the run; echoes and parts of one run share their tables."""
    return frozenset(entity for entity in name.source if entity[0] not in ("echo", "part"))


def _space_key(name: Name) -> Key:
    """Entities of the run and its space: a mask of another resolution is better than none."""
    return _run_key(name) | {("space", name.get("space") or "")}
