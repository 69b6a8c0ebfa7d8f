"""Group the files of datasets into runs, and select runs.

Images of one run in one space share all entities but ``desc``; `matching` finds the mask, the
tables and the JSON files that belong to them.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import InvalidDatasetError, NothingSelectedError
from bids_spheres.files.names import entity_value, is_mni, parse_name, same_template
from bids_spheres.files.text import read_json_object
from bids_spheres.inputs.dataset import MAIN, MOST_LABELS, PROGRAMS, index_files
from bids_spheres.inputs.matching import KEEP_ONE, FilesOfImages
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.inputs.dataset import Files, Inputs

    Key = frozenset[tuple[str, str]]
    Skipped = list[tuple[Path, str]]

logger = logging.getLogger(__name__)

MNI_PREFERENCE = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
"""MNI spaces in order of preference, when the user names none: fMRIPrep's first.

Others come after them, in alphabetical order.
"""

_NOT_MAGNITUDE = ("phase", "real", "imag")
"""Labels of ``part`` whose images hold no BOLD signal by themselves."""

ANY = "*"
"""Label that matches any value, in fMRIPrep's filter files."""

_ACQUIRED = ("func", "boldref")
"""How users name the space of images on the grid of acquisition, which have none in their names."""

_IMAGES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Tables:
    """Tables of one run.

    Parameters
    ----------
    confounds, metadata : Path or None
        fMRIPrep's table, and the JSON file beside it.
    aroma : Path or None
        fMRIPost-AROMA's ``desc-aroma_timeseries.tsv``.
    tedana : tuple of two Path, or None
        ``desc-ICA_mixing.tsv`` and ``desc-tedana_metrics.tsv``.
    own : tuple of (str, Path)
        ``*_timeseries.tsv`` of the user's own, and the names of their datasets.
    events : Path or None
        ``events.tsv``, where a strategy needs it; see `find_events`.
    """

    confounds: Path | None = None
    metadata: Path | None = None
    aroma: Path | None = None
    tedana: tuple[Path, Path] | None = None
    own: tuple[tuple[str, Path], ...] = ()
    events: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the tables of fMRIPrep and other programs."""
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
        Images, and their JSON files.
    problem : str
        Which two files compete for a place in the run; empty when none do.
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
        images = dict(self.images)
        return next((images[kind] for kind in kinds if kind in images), None)

    def metadata(self, image: Path) -> dict[str, Any]:
        """Content of the JSON file of an image; empty without one."""
        return read_json_object(self.sidecar(image), optional=True)

    def sidecar(self, image: Path) -> Path:
        """Path of the JSON file of an image, whether it exists or not."""
        return dict(self.sidecars).get(image) or image.with_name(
            image.name.partition(".")[0] + ".json"
        )


@dataclass(frozen=True)
class Selection:
    """Labels of the runs to select; without filters all, in every participant's MNI space.

    Parameters
    ----------
    labels : tuple of Filter
        One for an entity at most.
    others : tuple of Filter
        Of any entity, ``part`` and ``space`` among them: they replace what is chosen otherwise.
    """

    labels: tuple[Filter, ...] = ()
    others: tuple[Filter, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Labels wanted of one entity, and the option that names them, for messages.

    "" stands for a name without the entity and "*" for any label.
    """

    option: str
    key: str
    labels: tuple[str, ...]

    def apply(self, files: Files, skipped: Skipped) -> Files:
        """Files that pass; the others go to `skipped`. An error when none does."""
        if not self.labels:
            return files
        available = sorted({self._label(name) for _, name in files}, key=natural)
        unmet = [x for x in self.labels if x and not any(map(self._matcher([x]), available))]
        left = [item for item in files if self._matcher(self.labels)(self._label(item[1]))]
        choice = _choice(self.key, available)
        if not left:
            shown = " ".join(self.labels)
            raise NothingSelectedError(f"{self.option} {shown} leaves no run.", hint=choice)
        for label in unmet:
            logger.warning("%s %s: no run has it. %s", self.option, label, choice)
        passed = {path for path, _ in left}
        reason = f"{self.option} {' '.join(self.labels)}"
        _warn_of_lost(files, left, reason)
        skipped += [(path, reason) for path, _ in files if path not in passed]
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
class SelectedRuns:
    """Runs that are selected, in the order of their names; and images not used, with the reason."""

    runs: tuple[Run, ...]
    skipped: tuple[tuple[Path, str], ...]


def find_runs(
    inputs: Inputs,
    selection: Selection,
    kinds: Iterable[str],
    database: Path | None = None,
    *,
    usable: Callable[[str], bool] = bool,
) -> SelectedRuns:
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
        Whether seeds can be used in an MNI space.

    Raises
    ------
    InvalidDatasetError
        When no BOLD image is of these kinds, or two files compete for a place in every run.
    NothingSelectedError
        When the selection leaves none; the message names the filter that left nothing, and the
        labels that exist.
    """
    participants = next((each.labels for each in selection.labels if each.key == "sub"), ())
    files = _Files.index(inputs, participants, database)
    wanted = tuple(dict.fromkeys(kinds))
    bolds = [item for item in files.bolds if item[1].get("desc") in wanted]
    if not bolds:
        raise InvalidDatasetError(
            f"{inputs.main.root} holds no preprocessed BOLD image "
            f"({', '.join(f'*_desc-{kind}_bold.nii.gz' for kind in wanted)}).",
            hint="Is this fMRIPrep's output folder, and did fMRIPrep finish?",
        )
    unwanted = (path for path, name in files.bolds if name.get("desc") not in wanted)
    skipped = [*files.skipped, *((path, "no strategy starts from it") for path in unwanted)]
    images: dict[Key, list[tuple[Path, Name]]] = defaultdict(list)
    entities = {each.key for each in selection.others}
    labels = {each.key: each for each in selection.labels if each.key != "sub"}
    # Both are of images of the same run, so that they apply to the runs that are left.
    space, resolution = labels.pop("space", None), labels.pop("res", None)
    if "part" not in entities:
        bolds = _magnitude(bolds, skipped)
    for label_filter in (*labels.values(), *selection.others):
        bolds = label_filter.apply(bolds, skipped)
    if space:
        bolds = space.apply(bolds, skipped)
    elif "space" not in entities:
        bolds = _in_preferred_space(bolds, usable, skipped)
    _warn_of_different_spaces(bolds)
    if resolution:
        bolds = resolution.apply(bolds, skipped)
    for item in bolds:
        images[frozenset(item[1].without_desc.values.items())].append(item)
    runs = sorted(map(files.run, images.values()), key=lambda run: natural(str(run)))
    if all(run.problem for run in runs):
        raise InvalidDatasetError(
            f"No run can be used. {listing(list(dict.fromkeys(run.problem for run in runs)), 3)}",
            hint=KEEP_ONE,
        )
    return SelectedRuns(tuple(runs), tuple(skipped))


def find_events(run: Name, root: Path) -> Path | None:
    """The ``events.tsv`` of a run in a dataset, by BIDS's principle of inheritance.

    Of those whose entities the run has, the one with the most; files of a folder above count for
    all below it.

    Raises
    ------
    InvalidDatasetError
        When two are as good.
    """
    run_entities = run.values.items()
    folders = [root, *(root / folder for folder in reversed(run.folder.parents)), root / run.folder]
    best: dict[int, list[Path]] = defaultdict(list)
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.glob("*_events.tsv")):
            with suppress(ValueError):  # not the name of a BIDS file
                entities = parse_name(path.name).values.items()
                if entities <= run_entities:
                    best[len(entities)].append(path)
    chosen = best[max(best)] if best else []
    if len(chosen) > 1:
        raise InvalidDatasetError(
            f"{chosen[0]} and {chosen[1]} are both the events of one run.", hint=KEEP_ONE
        )
    return next(iter(chosen), None)


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
    metadata: dict[Path, FilesOfImages] = field(default_factory=dict)
    own_tables: dict[tuple[str, str], FilesOfImages] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=list)

    @classmethod
    def index(cls, inputs: Inputs, participants: Sequence[str], database: Path | None) -> _Files:
        """Index fMRIPrep's output and the datasets used with it."""
        index = cls()
        for number, (link, dataset) in enumerate(inputs.all.items()):
            # Only fMRIPrep's output must have every participant.
            wanted = participants if link == MAIN else ()
            files, skipped = index_files(dataset, wanted, database and database / link)
            index.skipped.extend(skipped)
            for path, name in files:
                if not participants or name.get("sub") in participants:
                    index.add(number, path, name)
                    if link not in PROGRAMS and name.suffix == "timeseries":
                        index.add_own(link, path, name)
        return index

    def add_own(self, link: str, path: Path, name: Name) -> None:
        """Add a table of the user's own, of whatever ``desc``."""
        if name.extension == ".tsv":
            desc = name.get("desc") or ""
            tables = FilesOfImages(f"desc-{desc} table in {link}")
            self.own_tables.setdefault((link, desc), tables).add(0, path, name.without_desc)

    def add(self, dataset: int, path: Path, name: Name) -> None:
        """Add a file of a dataset; `matching` prefers those of a lower number."""
        what, is_image = (name.suffix, name.get("desc")), name.extension in _IMAGES
        if name.suffix == "bold" and is_image:
            self.bolds.append((path, name))
        elif name.suffix == "bold" and name.extension == ".json":
            self.sidecars.add(dataset, path, name)
        elif what == ("mask", "brain") and is_image and path.parent.name == "func":
            self.masks.add(dataset, path, name.without_desc)
        elif name.extension == ".tsv" and (table := _TABLES.get(what)):
            self.tables[table].add(dataset, path, name.without_desc)
        elif name.extension == ".json" and _TABLES.get(what) == _CONFOUNDS:
            beside = FilesOfImages("JSON file of a confounds table")
            self.metadata.setdefault(path.parent, beside).add(dataset, path, name.without_desc)

    def run(self, images: Files) -> Run:
        """Join images of one run in one space with the files that belong to them."""
        first, problems = images[0][1], []
        kinds: dict[str, Path] = {}
        for path, name in sorted(images):
            other = kinds.setdefault(name.get("desc") or "", path)
            if other != path:
                problems.append(f"{other} and {path} are both the same image of one run.")

        def own(files: FilesOfImages, image: Name) -> Path | None:
            try:
                return files.of(image)
            except InvalidDatasetError as error:
                problems.append(error.message)
                return None

        tables = {table: own(files, first) for table, files in self.tables.items()}
        confounds, mixing, metrics = tables[_CONFOUNDS], tables[_MIXING], tables[_METRICS]
        metadata = None
        if confounds:
            beside, described = confounds.with_suffix(".json"), self.metadata.get(confounds.parent)
            if beside.is_dir():
                metadata = beside  # not in the index, and an error to read
            elif described:
                metadata = own(described, parse_name(confounds.name).without_desc)
        own_tables = [(link, own(files, first)) for (link, _), files in self.own_tables.items()]
        sidecars = ((path, own(self.sidecars, image)) for path, image in images)
        return Run(
            name=first.with_(first.suffix, first.extension),
            images=tuple((image.get("desc") or "", path) for path, image in images),
            mask=own(self.masks, first),
            tables=Tables(
                confounds=confounds,
                metadata=metadata,
                aroma=tables[_AROMA],
                tedana=(mixing, metrics) if mixing and metrics else None,
                # A table that stands in for one of fMRIPrep or AROMA is no other table as well.
                own=tuple((x, p) for x, p in own_tables if p and p not in tables.values()),
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


def _magnitude(bolds: Files, skipped: Skipped) -> Files:
    """Without images of the phase, and of other parts of a complex signal."""
    parts = [item for item in bolds if item[1].get("part") in _NOT_MAGNITUDE]
    left = [item for item in bolds if item[1].get("part") not in _NOT_MAGNITUDE]
    if not left:
        raise NothingSelectedError(
            f"No image of magnitude, only {parts[0][0].name} and its kind.",
            hint='To use it, ask for it with --bids-filter-file: {"bold": {"part": "phase"}}.',
        )
    reason = 'not of magnitude, and no --bids-filter-file asks for its "part"'
    _warn_of_lost(bolds, left, reason)
    skipped += [(path, reason) for path, _ in parts]
    return left


def _warn_of_lost(before: Files, left: Files, why: str) -> None:
    """Warn of participants without any image left."""
    remaining = {name.get("sub") for _, name in left}
    if lost := {name.get("sub") or "" for _, name in before if name.get("sub") not in remaining}:
        logger.warning("Left out: %s: %s", _participants(lost), why)


def _spaces(bolds: Files) -> dict[str, set[str]]:
    """Spaces of the images of each participant."""
    spaces: dict[str, set[str]] = defaultdict(set)
    for _, name in bolds:
        spaces[name.get("sub") or ""].add(name.space or "")
    return spaces


def _in_preferred_space(bolds: Files, usable: Callable[[str], bool], skipped: Skipped) -> Files:
    """Images in the first MNI space that their participant has, whatever others have."""

    def preferred(own: Collection[str], usable: Callable[[str], bool]) -> str | None:
        mni = sorted(space for space in own if space.startswith("MNI"))
        return next((x for x in (*MNI_PREFERENCE, *mni) if x in own and usable(x)), None)

    def run_name(name: Name) -> str:
        return "_".join(f"{key}-{label}" for key, label in name.source)

    spaces = _spaces(bolds)
    chosen = {label: preferred(own, usable) for label, own in spaces.items()}
    if not any(chosen.values()):
        # The error of placing the seeds says best why they can't be used.
        chosen = {label: preferred(own, bool) for label, own in spaces.items()}
    choice = _choice("space", sorted(set().union(*spaces.values())))
    if not any(chosen.values()):
        raise NothingSelectedError(
            "No BOLD image is in an MNI space, and no --space is given.", hint=choice
        )
    left: Files = []
    others: Files = []
    for item in bolds:
        is_chosen = item[1].space and item[1].space == chosen[item[1].get("sub") or ""]
        (left if is_chosen else others).append(item)
    reason = f"in no MNI space in which the seeds can be used, and no --space is given. {choice}"
    _warn_of_lost(bolds, left, reason)
    # Runs with an image in an MNI space, but not in the one that is taken for their participant.
    in_mni = {
        run_name(name)
        for _, name in others
        if is_mni(name.space or "") and chosen[name.get("sub") or ""] is not None
    }
    if lost := in_mni - {run_name(name) for _, name in left}:
        logger.warning(
            "%s: no image in the space that is taken for the participant; left out. --space "
            "chooses others.",
            listing(sorted(lost, key=natural), MOST_LABELS),
        )
    skipped += [(path, "in another space than the one that is taken") for path, _ in others]
    return left


def _choice(key: str, labels: Iterable[str]) -> str:
    names = [f"{key}-{label or '(none)'}" for label in labels]
    return f"Available: {listing(names, MOST_LABELS)}."


def _participants(labels: Iterable[str]) -> str:
    return listing([f"sub-{label}" for label in sorted(labels, key=natural)], MOST_LABELS)


def _warn_of_different_spaces(bolds: Files) -> None:
    """Warn when participants are in different spaces, and list who is in which."""
    members: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for label, own in _spaces(bolds).items():
        members[tuple(sorted(space or "func" for space in own))].append(label)
    if len(members) > 1:
        groups = (
            f"{' and '.join(own)}: {_participants(labels)}"
            for own, labels in sorted(members.items())
        )
        logger.warning(
            "Participants are in different spaces, which --space chooses. %s", "; ".join(groups)
        )
