"""Files of datasets to runs: which belong together, and which are wanted.

Files belong together by their entities: images of one run in one space share all but ``desc``;
`bids.matching` finds the mask, the tables and the JSON files that go with them.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import InvalidDatasetError, NothingSelectedError
from bids_spheres.files.entities import entity_value, is_mni, same_template
from bids_spheres.files.text import is_there, read_json_object
from bids_spheres.inputs.dataset import MAIN, index_files, listed
from bids_spheres.inputs.matching import KEEP_ONE, FilesOfImages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.inputs.dataset import Files, Inputs

    Key = frozenset[tuple[str, str]]
    Rejected = list[tuple[Path, str]]

logger = logging.getLogger(__name__)

MNI_PREFERENCE = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
"""Which MNI space to take when there are several and the user names none: fMRIPrep's first.

Others come after them, in alphabetical order.
"""

_NOT_MAGNITUDE = ("phase", "real", "imag")
"""Labels of ``part`` whose images hold no BOLD signal by themselves."""

ANY = "*"
"""Label that stands for every one, in fMRIPrep's filter files."""

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
    sidecars : tuple of (Path, Path)
        Images, and the JSON files that say something of them.
    problem : str
        Why it can't be said which files belong to the run, as two do; empty when it can.
    """

    name: Name
    images: tuple[tuple[str, Path], ...]
    mask: Path | None
    tables: Tables
    sidecars: tuple[tuple[Path, Path], ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        return " ".join(f"{key}-{label}" for key, label in self.name.entities)

    @property
    def space(self) -> str:
        """Space of the images, with the cohort; "func" for the grid of acquisition."""
        return self.name.space or "func"

    def image(self, kinds: Iterable[str]) -> Path | None:
        """The image whose ``desc`` comes first in `kinds`."""
        there = dict(self.images)
        return next((there[kind] for kind in kinds if kind in there), None)

    def metadata(self, image: Path) -> dict[str, Any]:
        """What the JSON file of an image holds; empty without one."""
        sidecar = self.sidecar(image)
        return read_json_object(sidecar) if is_there(sidecar) else {}

    def sidecar(self, image: Path) -> Path:
        """JSON file of an image; without one, where it would be."""
        return dict(self.sidecars).get(image) or image.with_name(
            image.name.partition(".")[0] + ".json"
        )


@dataclass(frozen=True)
class Selection:
    """Which runs are wanted; an empty tuple wants all.

    Labels are without the key: ``participants=("01", "02")``. Without `spaces` every participant's
    MNI space is taken. `others` holds labels of further entities by their keys, "" for a name
    without the entity and "*" for one with it.
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
        there = sorted({self._label(name) for _, name in files}, key=natural)
        unmet = [x for x in self.labels if x and not any(map(self._matcher([x]), there))]
        left = [item for item in files if self._matcher(self.labels)(self._label(item[1]))]
        choice = f"There is {listed(f'{self.key}-', (label or '(none)' for label in there))}."
        if not left:
            shown = " ".join(self.labels)
            raise NothingSelectedError(f"{self.option} {shown} leaves no run.", hint=choice)
        for label in unmet:
            logger.warning("%s %s: no run has it. %s", self.option, label, choice)
        passed = {path for path, _ in left}
        reason = f"{self.option} {' '.join(self.labels)}"
        _name_lost(files, left, reason)
        rejected += [(path, reason) for path, _ in files if path not in passed]
        return left

    def _label(self, name: Name) -> str:
        return (name.space if self.key == "space" else name.get(self.key)) or ""

    def _matcher(self, labels: Sequence[str]) -> Callable[[str], bool]:
        """Whether a label is wanted; run-1 is also run-01, and "func" a name without a space."""
        if ANY in labels:
            return lambda label: bool(label) or "" in labels
        if self.key == "space":
            # Cohorts as fMRIPrep's --output-spaces has them: MNIInfant:cohort-2.
            wanted = ["" if x in _ACQUIRED else x.replace(":cohort-", "+") for x in labels]
            return lambda label: any(same_template(label, x) for x in [*wanted, *labels])
        values = {entity_value(self.key, label) for label in labels}
        return lambda label: entity_value(self.key, label) in values


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
    inputs: Inputs,
    selection: Selection,
    kinds: Iterable[str],
    database: Path | None = None,
    *,
    usable: Callable[[str], bool] = bool,
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
    usable : callable
        Whether seeds can be used in an MNI space, for the choice of one.

    Raises
    ------
    InvalidDatasetError
        When there is no such BOLD image at all, or of no run it can be said which files are its.
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
    for item in _select(bolds, selection, usable, rejected):
        images[frozenset(item[1].without_desc.values.items())].append(item)
    runs = sorted(map(files.run, images.values()), key=lambda run: natural(str(run)))
    if all(run.problem for run in runs):
        raise InvalidDatasetError(
            f"No run can be used. {listed('', dict.fromkeys(run.problem for run in runs), most=3)}",
            hint=KEEP_ONE,
        )
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
    sidecars: FilesOfImages = field(default_factory=lambda: FilesOfImages("JSON file"))
    masks: FilesOfImages = field(
        default_factory=lambda: FilesOfImages("brain mask", spaces_differ=True)
    )
    tables: dict[str, FilesOfImages] = field(
        default_factory=lambda: {table: FilesOfImages(table) for table in set(_TABLES.values())}
    )
    rejected: Rejected = field(default_factory=list)

    @classmethod
    def index(cls, inputs: Inputs, participants: Sequence[str], database: Path | None) -> _Files:
        """Index fMRIPrep's output and whatever goes with it."""
        found = cls()
        for number, (link, dataset) in enumerate(inputs.all.items()):
            wanted = participants if link == MAIN else ()
            files, rejected = index_files(dataset, wanted, database and database / link)
            found.rejected.extend(rejected)
            for path, name in files:
                if not participants or name.get("sub") in participants:
                    found._add(number, path, name)
        return found

    def _add(self, dataset: int, path: Path, name: Name) -> None:
        what = name.suffix, name.get("desc")
        if name.suffix == "bold" and name.extension in _IMAGES:
            self.bolds.append((path, name))
        elif name.suffix == "bold" and name.extension == ".json":
            self.sidecars.add(dataset, path, name)
        elif what == ("mask", "brain") and name.extension in _IMAGES and path.parent.name == "func":
            self.masks.add(dataset, path, name.without_desc)
        elif name.extension == ".tsv" and (table := _TABLES.get(what)):
            self.tables[table].add(dataset, path, name.without_desc)

    def run(self, images: Files) -> Run:
        """Images of one run in one space with what belongs to them."""
        first, problems = images[0][1], list(_duplicates(images))

        def own(files: FilesOfImages, image: Name) -> Path | None:
            try:
                return files.of(image)
            except InvalidDatasetError as error:
                problems.append(error.message)
                return None

        tables = {table: own(files, first) for table, files in self.tables.items()}
        mixing, metrics = tables[_MIXING], tables[_METRICS]
        sidecars = ((path, own(self.sidecars, image)) for path, image in images)
        return Run(
            name=first.with_(first.suffix, first.extension),
            images=tuple((image.get("desc") or "", path) for path, image in images),
            mask=own(self.masks, first),
            tables=Tables(
                confounds=tables[_CONFOUNDS],
                aroma=tables[_AROMA],
                tedana=(mixing, metrics) if mixing and metrics else None,
            ),
            sidecars=tuple((path, sidecar) for path, sidecar in sidecars if sidecar),
            problem=" ".join(problems),
        )


_CONFOUNDS, _AROMA = "confounds table", "table of AROMA's components"
_MIXING, _METRICS = "tedana mixing matrix", "tedana table of metrics"
_TABLES: Mapping[tuple[str, str | None], str] = {
    ("timeseries", "confounds"): _CONFOUNDS,
    ("regressors", "confounds"): _CONFOUNDS,
    ("timeseries", "aroma"): _AROMA,
    ("mixing", "ICA"): _MIXING,
    ("metrics", "tedana"): _METRICS,
}
"""Suffix and ``desc`` of the tables of a run."""


def _duplicates(images: Files) -> Iterable[str]:
    """What there is to say of images that are the same by their names."""
    kinds: dict[str, Path] = {}
    for path, name in sorted(images):
        other = kinds.setdefault(name.get("desc") or "", path)
        if other != path:
            yield f"{other} and {path} are both the same image of one run."


def _select(
    bolds: Files, selection: Selection, usable: Callable[[str], bool], rejected: Rejected
) -> Files:
    """Apply the filters one after the other; the first that leaves nothing is named."""
    asked = {key for key, _ in selection.others}
    left = bolds if "part" in asked else _magnitude(bolds, rejected)
    for one in selection.filters():
        left = one.apply(left, rejected)
    if selection.spaces:
        left = _Filter("--space", "space", selection.spaces).apply(left, rejected)
    elif "space" not in asked:
        left = _in_preferred_space(left, usable, rejected)
    _tell_spaces(left)
    return _Filter("--res", "res", selection.resolutions).apply(left, rejected)


def _magnitude(bolds: Files, rejected: Rejected) -> Files:
    """Without images of the phase, and of other parts of a complex signal."""
    parts = [item for item in bolds if item[1].get("part") in _NOT_MAGNITUDE]
    left = [item for item in bolds if item[1].get("part") not in _NOT_MAGNITUDE]
    if not left:
        raise NothingSelectedError(
            f"There is no image of magnitude, only {parts[0][0].name} and its kind.",
            hint='To use it, ask for it with --bids-filter-file: {"bold": {"part": "phase"}}.',
        )
    reason = 'not of magnitude, and no --bids-filter-file asks for its "part"'
    _name_lost(bolds, left, reason)
    rejected += [(path, reason) for path, _ in parts]
    return left


def _name_lost(before: Files, left: Files, why: str) -> None:
    """Warn of participants of whom nothing is left."""
    lost = {name.get("sub") or "" for _, name in before} - {
        name.get("sub") or "" for _, name in left
    }
    if lost:
        logger.warning("Left out: %s: %s", listed("sub-", sorted(lost, key=natural)), why)


def _in_preferred_space(bolds: Files, usable: Callable[[str], bool], rejected: Rejected) -> Files:
    """Images in the first MNI space that their participant has, whatever others have."""
    spaces: dict[str, set[str]] = defaultdict(set)
    for _, name in bolds:
        spaces[name.get("sub") or ""].add(name.space or "")
    chosen = {label: _preferred(there, usable) for label, there in spaces.items()}
    if not any(chosen.values()):
        # Whoever places the seeds says best why they can't be used.
        chosen = {label: _preferred(there, bool) for label, there in spaces.items()}
    everywhere = sorted({space or "(none)" for there in spaces.values() for space in there})
    choice = f"There is {listed('space-', everywhere)}."
    if not any(chosen.values()):
        raise NothingSelectedError(
            "No BOLD image is in an MNI space, and no --space is given.",
            hint=choice,
        )
    left = [item for item in bolds if _is_in(item[1], chosen)]
    _name_lost(
        *(bolds, left),
        f"in no MNI space in which the seeds can be used, and no --space is given. {choice}",
    )
    kept = {_run_name(name) for _, name in left}
    others = [item for item in bolds if not _is_in(item[1], chosen)]
    if lost := {_run_name(name) for _, name in others if _could_be_in(name, chosen)} - kept:
        logger.warning(
            "%s: no image in the space that is taken for the participant; left out. --space "
            "chooses others.",
            listed("", sorted(lost, key=natural)),
        )
    rejected += [(path, "in another space than the one that is taken") for path, _ in others]
    return left


def _is_in(name: Name, chosen: Mapping[str, str | None]) -> bool:
    return bool(name.space) and name.space == chosen[name.get("sub") or ""]


def _could_be_in(name: Name, chosen: Mapping[str, str | None]) -> bool:
    """Whether an image is in an MNI space, but not in the one that its participant has."""
    return is_mni(name.space or "") and chosen[name.get("sub") or ""] is not None


def _run_name(name: Name) -> str:
    return "_".join(f"{key}-{label}" for key, label in name.source)


def _preferred(spaces: Collection[str], usable: Callable[[str], bool]) -> str | None:
    mni = sorted(space for space in spaces if space.startswith("MNI"))
    return next((x for x in (*MNI_PREFERENCE, *mni) if x in spaces and usable(x)), None)


def _tell_spaces(bolds: Files) -> None:
    """Warn when participants are in different spaces, and say who is in which."""
    spaces: dict[str, set[str]] = defaultdict(set)
    for _, name in bolds:
        spaces[name.get("sub") or ""].add(name.space or "func")
    members: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for label, there in spaces.items():
        members[tuple(sorted(there))].append(label)
    if len(members) > 1:
        groups = (
            f"{' and '.join(there)}: {listed('sub-', sorted(labels, key=natural))}"
            for there, labels in sorted(members.items())
        )
        logger.warning(
            "Participants are in different spaces, which --space chooses. %s", "; ".join(groups)
        )
