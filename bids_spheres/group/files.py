"""Matrices that the participant level wrote, the groups they form, and who is in none and why.

Runs that differ in session, run number or phase encoding direction alone are repetitions of one
measurement, and are averaged; every other entity tells groups apart.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

from bids_spheres.errors import BidsSpheresError, MissingInputError
from bids_spheres.files.atomic import remove
from bids_spheres.files.names import Name, natural
from bids_spheres.group.facts import OtherVersionError
from bids_spheres.inputs.selection import MNI_PREFERENCE
from bids_spheres.outputs.find import group_files, grouped, labels_with_folders, matrix_files
from bids_spheres.outputs.logs import Crash, find_crashes
from bids_spheres.outputs.paths import group_of_contrast, image_name, title
from bids_spheres.outputs.read import read_columns
from bids_spheres.outputs.shared import EXCLUSIONS
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.group.options import GroupOptions
    from bids_spheres.outputs.find import OutputFile

    Entities = tuple[tuple[str, str], ...]
    from collections.abc import Collection, Iterator

    from bids_spheres.group.stream import Participant

logger = logging.getLogger(__name__)

REPEATED = frozenset({"ses", "run", "dir"})
"""Entities that tell runs of one participant apart that are averaged."""

POOLED = "MNI"
"""Label of the space of a group that pools images in several MNI spaces."""

IN_OTHER_SPACE = "images in space"
"""How the reason begins for those who are in the group of another space."""

_OF_IMAGE = ("space", "cohort", "res", "den")
"""Entities that tell images of one run apart."""


def group_of(
    file: OutputFile, *, by_session: bool, pool_spaces: bool = False, within_task: bool = False
) -> Name:
    """Name of the group of a matrix: one task, space, seed set, strategy and measure.

    Where tasks are compared within participants, a group has all of them.
    """
    gone = {"sub"} | (REPEATED - {"ses"} if by_session else REPEATED)
    gone |= {"task"} if within_task else set()
    kept = tuple(entity for entity in file.name.entities if entity[0] not in gone)
    if pool_spaces and file.space.startswith("MNI"):
        kept = without_space(kept, POOLED)
    return Name(kept, "relmat", ".tsv")


def without_space(entities: Entities, space: str | None = None) -> Entities:
    """Entities without the space and resolution of images, or with another space."""
    named = ((key, space if key == "space" else label) for key, label in entities)
    return tuple((key, label) for key, label in named if label and key not in ("res", "den"))


def all_matrices(output_dir: Path) -> list[OutputFile]:
    """Matrices of the participant level, in the order of their names.

    One that lies in another place than its name says is a copy, and would count twice.
    MissingInputError without any.
    """
    kept = []
    for file in matrix_files(output_dir):
        if file.path.parent == output_dir / file.name.folder:
            kept.append(file)
        else:
            logger.warning("%s is not used: by its name it belongs elsewhere.", file.path)
    if not kept:
        raise MissingInputError(
            f"{output_dir} holds no matrix of the participant level (*_relmat.tsv).",
            hint="Run the participant level with this output folder first.",
        )
    return sorted(kept, key=lambda file: natural(file.path.name))


def make_groups(
    files: Iterable[OutputFile], options: GroupOptions
) -> Mapping[Name, Sequence[OutputFile]]:
    """Matrices by the groups that the user wants.

    Where spaces are pooled, a run with images in several of them counts once: in the space that
    comes first in `MNI_PREFERENCE`, or else by its name.
    """
    groups = grouped(files, lambda file: group_of(file, **options.grouping))
    if not options.pool_spaces:
        return groups
    order = {space: place for place, space in enumerate(MNI_PREFERENCE)}
    pooled = {}
    for name, own in groups.items():
        by_preference = sorted(own, key=lambda file: order.get(file.space, len(order)))
        # The last entry of a key stays.
        chosen = {file.name.source: file for file in reversed(by_preference)}
        pooled[name] = [file for file in own if chosen[file.name.source] is file]
    return pooled


def discard_earlier(output_dir: Path, group: Name, written: Iterable[Path] = ()) -> None:
    """Remove what an earlier call wrote of a group and this one did not.

    It would describe participants on whom it does not rest.
    """
    kept = set(written)
    for file in group_files(output_dir):
        own = group_of_contrast(file.name)
        if own.entities == group.entities and file.path not in kept:
            remove(file.path)


def remove_outdated(
    output_dir: Path, updated: Iterable[Name], everything: Sequence[OutputFile]
) -> list[str]:
    """Remove results of matrices that are gone; titles of those left from earlier calls.

    `updated` are the groups and images of this call, `everything` all matrices.
    """
    forms = product(everything, *((False, True),) * 3)
    groups = {
        group_of(file, by_session=by_session, pool_spaces=pooled, within_task=within_task)
        for file, by_session, pooled, within_task in forms
    }
    possible = {title(name) for group in groups for name in (group, image_name(group))}
    own = {name.entities for name in updated}
    left: dict[str, None] = {}
    for file in group_files(output_dir):
        group = group_of_contrast(file.name)
        if group.entities in own:
            continue
        if title(group) in possible:
            left[title(group)] = None
        else:
            remove(file.path)
    return list(left)


class Unusable:
    """Outputs that can't be used, noted while they are read: `problems` has a message for each."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._reasons: dict[tuple[str, str], str] = {}
        self._versions: dict[str, dict[str, None]] = defaultdict(dict)

    def add(self, file: OutputFile, where: Name, error: BidsSpheresError) -> None:
        """Note that a run is left out of a group, or of all groups of an image."""
        if isinstance(error, OtherVersionError):
            self._versions[str(error)][file.participant] = None
            reason = f"made by bids_spheres {error.version}"
        else:
            self.problems.append(f"{file.source} is left out of {title(where)}: {error}")
            reason = "outputs can't be used"
        self._reasons[title(where), file.participant] = reason

    def reason(self, group: Name, participant: str) -> str | None:
        """Why a participant is not in a group; None where no output was left out."""
        own, of_image = title(group), title(image_name(group))
        return self._reasons.get((own, participant)) or self._reasons.get((of_image, participant))

    @property
    def other_versions(self) -> Iterator[str]:
        """A message for every other version that wrote outputs."""
        for message, participants in self._versions.items():
            what, _, hint = message.partition("\n")
            people = f"{count(len(participants), 'participant')} ({listing(list(participants))})"
            yield f"outputs of {people} are left out: {what}\n{hint}"


class ExpectedParticipants:
    """Participants of the input, of participants.tsv, of the exclusions and of the outputs.

    `files` are all matrices, selected or not.
    """

    def __init__(
        self, output_dir: Path, files: Iterable[OutputFile], options: GroupOptions
    ) -> None:
        self._matrices: dict[str, dict[Name, OutputFile]] = defaultdict(dict)
        grouping = options.grouping | {"pool_spaces": False}
        for file in files:
            own = group_of(file, **grouping)
            self._matrices[file.participant].setdefault(own, file)
        self._folders = {f"sub-{label}" for label in labels_with_folders(output_dir, "sub")}
        self._listed = dict(options.expected)
        self._exclusions = _read_exclusions(output_dir / EXCLUSIONS.name)
        self._crashes: dict[str, list[Crash]] = defaultdict(list)
        for crash in find_crashes(output_dir):
            self._crashes[f"sub-{crash.entities['sub']}"].append(crash)
        known = {*self._folders, *self._listed, *self._exclusions, *self._crashes}
        wanted = dict(options.select).get("sub", ())
        labels = {f"sub-{label.removeprefix('sub-')}" for label in wanted}
        self._labels = sorted(known & labels if labels else known, key=natural)

    def absent_from(
        self, group: Name, present: Collection[str], unusable: Unusable
    ) -> dict[str, str]:
        """Participants who are expected and have no run in a group, and why."""
        return {
            label: unusable.reason(group, label) or self._reason(group, label)
            for label in self._labels
            if label not in present
        }

    def failed_runs(self, group: Name, person: Participant) -> list[str]:
        """Files about runs of a participant that failed, and are missing from those in a group."""
        wanted = {pair for pair in group.entities if pair[0] in ("task", "ses", "space")}
        present = {run.file.source for run in (*person.runs, *person.excluded)}
        failed = []
        for crash in self._crashes.get(person.label, ()):
            pairs = crash.entities.items()
            run = "_".join(f"{key}-{value}" for key, value in pairs if key not in _OF_IMAGE)
            if wanted <= set(pairs) and run not in present:
                failed.append(crash.path.name)
        return failed

    def _reason(self, group: Name, label: str) -> str:
        """Why a participant without an unusable output is not in a group."""
        own = self._matrices.get(label, {})
        alike = without_space(group.entities)
        if spaces := {f.space for name, f in own.items() if without_space(name.entities) == alike}:
            return f"{IN_OTHER_SPACE} {' and '.join(sorted(spaces))}"
        task = group.get("task")
        for of_task, strategy, reason in self._exclusions.get(label, ()):
            if task in (None, of_task) and strategy == group.get("desc"):
                return f"excluded: {reason}"
        for crash in self._crashes.get(label, ()):
            if task in (None, crash.entities.get("task")):
                return f"failed at the participant level, see logs/{crash.path.name}"
        if own:
            return "outputs of other tasks, sessions, strategies or measures alone"
        if label in self._folders:
            return "no matrix among the outputs"
        return self._listed.get(label, "no outputs")


def _read_exclusions(path: Path) -> Mapping[str, list[tuple[str | None, str, str]]]:
    """Task, strategy and reason of every exclusion, by participants."""
    exclusions: dict[str, list[tuple[str | None, str, str]]] = defaultdict(list)
    if not path.is_file():
        return exclusions
    try:
        columns = read_columns(path, ("participant_id", "source", "strategy", "reason"))
    except BidsSpheresError as error:
        # Matrices of excluded runs say why as well.
        logger.warning("Reasons of exclusions are not all known: %s", error)
        return exclusions
    for participant, source, strategy, reason in zip(*columns.values(), strict=True):
        task = re.search(r"task-([^_.]+)[^/]*$", source)
        exclusions[participant].append((task and task[1], strategy, reason))
    return exclusions


def describe_failed(failed: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """Sentences about participants who are in groups without runs that failed.

    `failed` has names of files about these runs by participant, by the titles of groups.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for group, own in failed.items():
        for label, names in own.items():
            groups[label, tuple(names)].append(group)
    for (label, names), titles in groups.items():
        runs, where = count(len(names), "run"), listing(titles, 3)
        yield f"{label} is in {where} without {runs} that failed, see logs/{listing(names)}"


def describe_absent(absent: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Sentences about participants without a result, the same of several groups once.

    `absent` has reasons by participants, by the titles of groups.
    """
    groups: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for group, reasons in absent.items():
        for reason in dict.fromkeys(reasons.values()):
            own = tuple(label for label, why in reasons.items() if why == reason)
            groups[own, reason].append(group)
    for (labels, reason), titles in groups.items():
        where = "any group" if len(titles) == len(absent) else listing(titles, 3)
        people = count(len(labels), "participant")
        yield f"{people} without a result in {where} ({reason}): {listing(labels, len(labels))}"
