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
from bids_spheres.wording import collect, count, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import Participant
    from bids_spheres.outputs.find import OutputFile

    Entities = tuple[tuple[str, str], ...]

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
    """Name of the group of a matrix: one task or all, space, seed set, strategy and measure."""
    averaged = REPEATED - {"ses"} if by_session else REPEATED
    gone = {"sub", *averaged, *(["task"] if within_task else [])}
    kept = tuple(entity for entity in file.name.entities if entity[0] not in gone)
    if pool_spaces and file.space.startswith("MNI"):
        kept = without_space(kept, POOLED)
    return Name(kept, "relmat", ".tsv")


def without_space(entities: Entities, space: str | None = None) -> Entities:
    """Entities without the space and resolution of images, or with another space."""
    named = ((key, space if key == "space" else label) for key, label in entities)
    return tuple((key, label) for key, label in named if label and key not in ("res", "den"))


def all_matrices(output_dir: Path) -> list[OutputFile]:
    """Matrices of the participant level by name, without copies; MissingInputError without any."""
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
    """Matrices by group; of pooled spaces a run counts once, in the first of `MNI_PREFERENCE`."""
    groups = grouped(files, lambda file: group_of(file, **options.grouping))
    if options.pool_spaces:
        return {name: in_preferred_space(own) for name, own in groups.items()}
    return groups


def in_preferred_space(files: Sequence[OutputFile]) -> list[OutputFile]:
    """Matrices or maps of one group, of which each run counts once; see `MNI_PREFERENCE`."""
    order = {space: place for place, space in enumerate(MNI_PREFERENCE)}
    by_preference = sorted(files, key=lambda file: order.get(file.space, len(order)))
    # The last entry of a key stays.
    chosen = {file.name.source: file for file in reversed(by_preference)}
    return [file for file in files if chosen[file.name.source] is file]


def discard_earlier(output_dir: Path, group: Name, written: Iterable[Path] = ()) -> None:
    """Remove what an earlier call wrote of a group, which may be about others, and this one not."""
    kept = set(written)
    for file in group_files(output_dir):
        own = group_of_contrast(file.name)
        if own.entities == group.entities and file.path not in kept:
            remove(file.path)


def remove_outdated(
    output_dir: Path, updated: Iterable[Name], everything: Sequence[OutputFile]
) -> list[str]:
    """Remove results not updated by this call that no matrix can give; titles of those left."""
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
    """Participants of the input, of participants.tsv, of exclusions and of outputs."""

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
        columns: dict[str, tuple[str, ...]] = {}
        try:
            if (path := output_dir / EXCLUSIONS.name).is_file():
                columns = read_columns(path, ("participant_id", "source", "strategy", "reason"))
        except BidsSpheresError as error:
            # Matrices of excluded runs say why as well.
            logger.warning("Reasons of exclusions are not all known: %s", error)
        self._exclusions: dict[str, list[tuple[str | None, str, str]]] = defaultdict(list)
        for participant, source, strategy, reason in zip(*columns.values(), strict=True):
            task = re.search(r"task-([^_.]+)[^/]*$", source)
            self._exclusions[participant].append((task and task[1], strategy, reason))
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
        keys = ("task", "ses") if group.get("space") == POOLED else ("task", "ses", "space")
        wanted = {pair for pair in group.entities if pair[0] in keys}
        present = {run.file.source for run in (*person.runs, *person.excluded)}

        def run_of(crash: Crash) -> str:
            pairs = crash.entities.items()
            return "_".join(f"{key}-{value}" for key, value in pairs if key not in _OF_IMAGE)

        return [
            crash.path.name
            for crash in self._crashes.get(person.label, ())
            if wanted <= crash.entities.items() and run_of(crash) not in present
        ]

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


def describe_failed(failed: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """Sentences about participants, by titles of groups, who are in them without failed runs."""
    items = ((*item, group) for group, own in failed.items() for item in own.items())
    groups = collect(((label, tuple(names)), group) for label, names, group in items)
    for (label, names), titles in groups.items():
        runs, where = count(len(names), "run"), listing(titles, 3)
        yield f"{label} is in {where} without {runs} that failed, see logs/{listing(names)}"


def describe_absent(absent: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Sentences about reasons why participants lack in groups, the same of several groups once."""
    people = collect(
        ((group, why), label) for group, own in absent.items() for label, why in own.items()
    )
    groups = collect(((why, tuple(labels)), group) for (group, why), labels in people.items())
    for (reason, labels), titles in groups.items():
        where = "any group" if len(titles) == len(absent) else listing(titles, 3)
        who = count(len(labels), "participant")
        yield f"{who} without a result in {where} ({reason}): {listing(labels, len(labels))}"
