"""Select images by the entities in their names, and by the space that is used without --space.

The filter file that BIDS Apps share has fMRIPrep's form: pybids' entity names and labels to keep,
for a kind of file, as in ``{"bold": {"task": "rest", "session": ["01", "02"], "acquisition":
null}}``; null keeps what has no such entity, ``"*"`` what has it, with any label.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, MissingInputError, NothingSelectedError, did_you_mean
from bids_spheres.files.names import (
    ENTITY_ORDER,
    as_written,
    entity_value,
    is_mni,
    natural,
    same_template,
)
from bids_spheres.files.text import is_there, read_json_object
from bids_spheres.inputs.dataset import MOST_LABELS
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.inputs.dataset import Files

    Skipped = list[tuple[Path, str]]

logger = logging.getLogger(__name__)

MNI_PREFERENCE = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
"""MNI spaces when the user names none: fMRIPrep's first, others later in alphabetical order."""

_NOT_MAGNITUDE = ("phase", "real", "imag")  # labels of ``part`` without a BOLD signal of their own

ANY = "*"  # label that matches any value, in fMRIPrep's filter files

_ACQUIRED = ("func", "boldref")
"""How users name the space of images on the grid of acquisition, which have none in their names."""

_KEYS = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "resolution": "res",
    "density": "den",
}
"""Names that pybids gives to entities, where they are not the key itself."""

_KINDS = ("bold", "sbref", "t1w", "t2w", "flair", "roi", "fmap", "flash")
"""Kinds of files that a filter file can filter; ours is the first."""

_NO_FILTER = ("suffix", "datatype", "extension", "scope", "desc")  # what this app decides itself


def read_filters(path: Path | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Entities and labels to keep, "" for none, "*" for any; DataError for an unknown one."""
    if path is None:
        return ()
    if not is_there(path):
        raise MissingInputError(f"The filter file {path} is missing.")
    content = read_json_object(path)
    nested = any(kind in content for kind in _KINDS)
    wanted = content.get("bold", {}) if nested else content
    if not isinstance(wanted, dict):
        raise DataError(f'{path}: "bold" must hold entities and their labels.')
    filters = []
    for name, value in wanted.items():
        if name in _NO_FILTER:
            continue
        key = _KEYS.get(name, name)
        if key not in ENTITY_ORDER:
            names = [*_KEYS, *(key for key in ENTITY_ORDER if key not in _KEYS.values())]
            raise DataError(
                f"{path}: there is no entity {name!r}.", hint=did_you_mean(name, names) or None
            )
        labels = value if isinstance(value, list) else [value]
        if not labels or any(isinstance(label, dict | list | bool | float) for label in labels):
            raise DataError(f"{path}: {name} must be a label, a list of labels, or null.")
        # Labels are often given as they stand in names: "ses-01".
        texts = ("" if label is None else str(label).removeprefix(f"{key}-") for label in labels)
        filters.append((key, tuple(texts)))
    return tuple(filters)


@dataclass(frozen=True)
class Filter:
    """Labels wanted of an entity, "" for none and "*" for any, and the option that names them."""

    option: str
    key: str
    labels: tuple[str, ...]

    def apply(self, files: Files, skipped: Skipped) -> Files:
        """Files that pass; the others go to `skipped`. An error when none does."""
        if not self.labels:
            return files
        available = sorted({self._label(name) for _, name in files}, key=natural)
        unmet = [x for x in self.labels if x and not any(map(self._matcher([x]), available))]
        is_wanted, choice = self._matcher(self.labels), _choice(self.key, available)
        reason = f"{self.option} {' '.join(self.labels)}"
        left = _split(files, lambda name: is_wanted(self._label(name)), reason, skipped)
        if not left:
            raise NothingSelectedError(f"{reason} leaves no run.", hint=choice)
        for label in unmet:
            logger.warning("%s %s: no run has it. %s", self.option, label, choice)
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
class Selection:
    """Labels of the runs to select; without filters all, in every participant's MNI space.

    `labels` has one filter for an entity at most; `others` are of any entity, ``part`` and
    ``space`` among them: they replace what is chosen otherwise.
    """

    labels: tuple[Filter, ...] = ()
    others: tuple[Filter, ...] = ()

    @property
    def participants(self) -> tuple[str, ...]:
        """Labels of participants; empty for all."""
        return next((each.labels for each in self.labels if each.key == "sub"), ())

    def apply(self, bolds: Files, usable: Callable[[str], bool], skipped: Skipped) -> Files:
        """Images that are selected; the others go to `skipped`, with the reason."""
        entities = {each.key for each in self.others}
        labels = {each.key: each for each in self.labels if each.key != "sub"}
        # Both are of images of the same run, so that they apply to the runs that are left.
        space, resolution = labels.pop("space", None), labels.pop("res", None)
        if "part" not in entities:
            bolds = _magnitude(bolds, skipped)
        for label_filter in (*labels.values(), *self.others):
            bolds = label_filter.apply(bolds, skipped)
        if space:
            bolds = space.apply(bolds, skipped)
        elif "space" not in entities:
            bolds = _in_preferred_space(bolds, usable, skipped)
        _warn_of_different_spaces(bolds)
        return resolution.apply(bolds, skipped) if resolution else bolds


def _magnitude(bolds: Files, skipped: Skipped) -> Files:
    """Without images of the phase, and of other parts of a complex signal."""
    reason = 'not of magnitude, and no --bids-filter-file asks for its "part"'
    left = _split(bolds, lambda name: name.get("part") not in _NOT_MAGNITUDE, reason, skipped)
    if not left:
        raise NothingSelectedError(
            f"No image of magnitude, only {bolds[0][0].name} and its kind.",
            hint='To use it, ask for it with --bids-filter-file: {"bold": {"part": "phase"}}.',
        )
    return left


def _in_preferred_space(bolds: Files, usable: Callable[[str], bool], skipped: Skipped) -> Files:
    """Images in the first MNI space that their participant has, whatever others have."""

    def preferred(own: Collection[str], usable: Callable[[str], bool]) -> str | None:
        mni = sorted(space for space in own if space.startswith("MNI"))
        return next((x for x in (*MNI_PREFERENCE, *mni) if x in own and usable(x)), None)

    spaces = _spaces(bolds)
    choice = _choice("space", sorted(set().union(*spaces.values())))
    # Of none that is usable, the error of placing the seeds says best why.
    for judge in (usable, bool):
        chosen = {label: preferred(own, judge) for label, own in spaces.items()}
        if any(chosen.values()):
            break
    else:
        raise NothingSelectedError(
            "No BOLD image is in an MNI space, and no --space is given.", hint=choice
        )
    reason = "in another space than the one that is taken"
    why = f"in no MNI space in which the seeds can be used, and no --space is given. {choice}"

    def is_chosen(name: Name) -> bool:
        return bool(name.space) and name.space == chosen[name.get("sub") or ""]

    left = _split(bolds, is_chosen, reason, skipped, why)
    # Runs with an image in an MNI space, but not in the one that is taken for their participant.
    in_mni = [
        name for _, name in bolds if is_mni(name.space or "") and chosen[name.get("sub") or ""]
    ]
    kept = {"_".join(as_written(name.source)) for _, name in left}
    if lost := {"_".join(as_written(name.source)) for name in in_mni} - kept:
        logger.warning(
            "%s: no image in the space that is taken for the participant; left out. --space "
            "chooses others.",
            listing(sorted(lost, key=natural), MOST_LABELS),
        )
    return left


def _spaces(bolds: Files) -> dict[str, set[str]]:
    """Spaces of the images of each participant."""
    spaces: dict[str, set[str]] = defaultdict(set)
    for _, name in bolds:
        spaces[name.get("sub") or ""].add(name.space or "")
    return spaces


def _choice(key: str, labels: Iterable[str]) -> str:
    names = [f"{key}-{label or '(none)'}" for label in labels]
    return f"Available: {listing(names, MOST_LABELS)}."


def _participants(labels: Iterable[str]) -> str:
    return listing([f"sub-{label}" for label in sorted(labels, key=natural)], MOST_LABELS)


def _split(
    files: Files, wanted: Callable[[Name], bool], reason: str, skipped: Skipped, why: str = ""
) -> Files:
    """Files that are wanted; others are `skipped`, and participants without any warned of."""
    left = [item for item in files if wanted(item[1])]
    skipped += [(path, reason) for path, name in files if not wanted(name)]
    if left and (lost := _spaces(files).keys() - _spaces(left).keys()):
        logger.warning("Left out: %s: %s", _participants(lost), why or reason)
    return left


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
