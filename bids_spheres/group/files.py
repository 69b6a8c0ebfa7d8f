"""Matrices that the participant level wrote, and names for what is made of them.

Only names are looked at. Runs that differ in session, run number or phase encoding direction alone
are repetitions of one measurement, and are averaged; every other entity tells groups apart.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError, NothingSelectedError
from bids_spheres.files.atomic import remove
from bids_spheres.files.entities import entity_value
from bids_spheres.files.names import Name, parse_name
from bids_spheres.group.options import SEEDS
from bids_spheres.inputs.runs import MNI_PREFERENCE, natural
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.group.options import GroupOptions

    Entities = tuple[tuple[str, str], ...]

logger = logging.getLogger(__name__)

REPEATED = frozenset({"ses", "run", "dir"})
"""Entities that tell runs of one participant apart that are averaged."""

FOLDER = "group"
"""Where in the output dataset results of the group level are."""

POOLED = "MNI"
"""Label of the space of a group that pools images in several MNI spaces."""

SUMMARY = "summary.json"
"""Which groups the last call was about, and what it could not do."""

_WHATS = frozenset(
    {
        *("mean", "sd", "n", "t", "p", "q"),
        *("networks", "model", "edges", "stacked", "participants", "coverage"),
    }
)
_PATTERNS = ("sub-*/func/*_relmat.tsv", "sub-*/ses-*/func/*_relmat.tsv")


@dataclass(frozen=True, slots=True)
class MatrixFile:
    """A matrix of one run.

    Parameters
    ----------
    path : Path
    name : Name
        What its name says.
    """

    path: Path
    name: Name

    @property
    def participant(self) -> str:
        """With its key, ``sub-01``."""
        return f"sub-{self.name.get('sub')}"

    @property
    def source(self) -> str:
        """The entities that tell the run apart from others."""
        ours = {"atlas", "seg", "scale", "stat"}
        return "_".join(f"{k}-{label}" for k, label in self.name.source if k not in ours)

    @property
    def spheres(self) -> Path:
        """The table of the spheres that it is about."""
        name = self.name.with_("dseg", ".tsv", stat=None, desc="spheres")
        return self.path.with_name(str(name))

    @property
    def space(self) -> str:
        """Space of the image; ``"func"`` for the grid of acquisition."""
        return label_of(self.name, "space")

    def group(self, *, by_session: bool, pool_spaces: bool = False) -> Name:
        """Name of the group to which it belongs: one task, space, seed set, strategy, measure."""
        gone = {"sub"} | (REPEATED - {"ses"} if by_session else REPEATED)
        kept = tuple(entity for entity in self.name.entities if entity[0] not in gone)
        if pool_spaces and self.space.startswith("MNI"):
            kept = without_space(kept, POOLED)
        return Name(kept, "relmat", ".tsv")


def without_space(entities: Entities, space: str | None = None) -> Entities:
    """Entities without the space and resolution of images, or with another space."""
    named = ((key, space if key == "space" else label) for key, label in entities)
    return tuple((key, label) for key, label in named if label and key not in ("res", "den"))


def image_name(group: Name) -> Name:
    """What is the same for all strategies and measures of a group."""
    kept = (entity for entity in group.entities if entity[0] not in ("stat", "desc"))
    return Name(tuple(kept), group.suffix, group.extension)


def label_of(name: Name, key: str) -> str:
    """Label of an entity; ``"func"`` for images without a space, "" for others without it.

    Examples
    --------
    >>> name = parse_name("sub-01_task-rest_seg-mine_relmat.tsv")
    >>> label_of(name, "space"), label_of(name, "seeds"), label_of(name, "run")
    ('func', 'mine', '')
    """
    if key == SEEDS:
        return name.get("atlas") or name.get("seg") or ""
    return name.get(key) or ("func" if key == "space" else "")


def title(name: Name) -> str:
    """Entities of a group, for messages."""
    return "_".join(f"{key}-{label}" for key, label in name.entities)


def result_path(output_dir: Path, group: Name, what: str, extension: str = ".tsv") -> Path:
    """Path of a result of a group: the entities it is about, and what it is as suffix."""
    return output_dir / FOLDER / str(Name(group.entities, what, extension))


def find_matrices(output_dir: Path, options: GroupOptions) -> list[MatrixFile]:
    """Matrices of the participant level that the user wants, in the order of their names.

    Raises
    ------
    MissingInputError, NothingSelectedError
        As `all_matrices` and `selected`.
    """
    return selected(all_matrices(output_dir), options.select)


def all_matrices(output_dir: Path) -> list[MatrixFile]:
    """Matrices of the participant level, in the order of their names.

    One that lies in another place than its name says is a copy, and would count twice.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.

    Raises
    ------
    MissingInputError
        When there is none.
    """
    paths = (path for pattern in _PATTERNS for path in output_dir.glob(pattern))
    files = _with_one_copy(file for path in paths if (file := _parsed(path)))
    strays = [file for file in files if file.path.parent != output_dir / file.name.folder]
    for file in strays:
        logger.warning("%s is not used: by its name it belongs elsewhere.", file.path)
    gone = {file.path for file in strays}
    kept = [file for file in files if file.path not in gone]
    if not kept:
        raise MissingInputError(
            f"{output_dir} holds no matrix of the participant level (*_relmat.tsv).",
            hint="Run the participant level with this output folder first.",
        )
    return sorted(kept, key=lambda file: natural(file.path.name))


def _with_one_copy(files: Iterable[MatrixFile]) -> list[MatrixFile]:
    """The same files, of whose entities the equal ones are one in memory: most are in all names."""
    known: dict[tuple[str, str], tuple[str, str]] = {}
    return [
        replace(
            file,
            name=replace(
                file.name,
                entities=tuple(known.setdefault(one, one) for one in file.name.entities),
            ),
        )
        for file in files
    ]


def selected(
    files: list[MatrixFile], select: Iterable[tuple[str, Sequence[str]]]
) -> list[MatrixFile]:
    """Matrices with the labels that are wanted, by entity.

    Raises
    ------
    NothingSelectedError
        When there is none; the message says what there was.
    """
    for key, labels in select:
        files = _selected(files, key, labels)
    return files


def grouped(
    files: Iterable[MatrixFile], key: Callable[[MatrixFile], Name]
) -> Mapping[Name, Sequence[MatrixFile]]:
    """Files by a name that several of them share, in the order in which it comes first."""
    groups: dict[Name, list[MatrixFile]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return groups


def make_groups(
    files: Iterable[MatrixFile], options: GroupOptions
) -> Mapping[Name, Sequence[MatrixFile]]:
    """Matrices by the groups that the user wants.

    Where spaces are pooled, a run of which there are images in several of them counts once, in
    the space that stands first in `MNI_PREFERENCE`, or else by its name.
    """
    groups = grouped(
        files,
        lambda file: file.group(by_session=options.by_session, pool_spaces=options.pool_spaces),
    )
    if not options.pool_spaces:
        return groups
    return {name: _one_image_per_run(own) for name, own in groups.items()}


def _one_image_per_run(files: Sequence[MatrixFile]) -> list[MatrixFile]:
    preferred = {space: place for place, space in enumerate(MNI_PREFERENCE)}
    images = sorted(files, key=lambda file: preferred.get(file.space, len(preferred)))
    chosen: dict[Entities, MatrixFile] = {}
    for file in images:
        chosen.setdefault(file.name.source, file)
    return [file for file in files if chosen[file.name.source] is file]


def discard_earlier(output_dir: Path, group: Name, written: Iterable[Path] = ()) -> None:
    """Remove what an earlier call made of a group and this one did not.

    A model that is not asked for any more, or all of a group that is refused now, would
    otherwise go on telling of participants that it is not made of.

    Raises
    ------
    OutputError
        When a file can't be removed.
    """
    kept = set(written)
    for path in (output_dir / FOLDER).glob("*"):
        file = _parsed(path)
        ours = file and file.name.entities == group.entities and file.name.suffix in _WHATS
        if ours and path not in kept:
            remove(path)


def earlier_results(output_dir: Path, made: Iterable[Name]) -> dict[str, list[Path]]:
    """Results that are there of other groups and images than those made, by their names.

    Parameters
    ----------
    output_dir : Path
    made : iterable of Name
        Groups and images.
    """
    own = {name.entities for name in made}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((output_dir / FOLDER).glob("*")):
        file = _parsed(path)
        if file and file.name.suffix in _WHATS and file.name.entities not in own:
            found[title(file.name)].append(path)
    return found


def possible_groups(files: Iterable[MatrixFile]) -> set[str]:
    """Titles of all groups, and of their images, that can be made of matrices."""
    ways = list(product((False, True), repeat=2))
    groups = {file.group(by_session=s, pool_spaces=p) for file in files for s, p in ways}
    return {title(name) for group in groups for name in (group, image_name(group))}


def _parsed(path: Path) -> MatrixFile | None:
    """None for a file whose name is not of BIDS, and so not by us."""
    try:
        return MatrixFile(path, parse_name(path.name))
    except ValueError:
        return None


def _selected(files: list[MatrixFile], key: str, labels: Sequence[str]) -> list[MatrixFile]:
    wanted = {_plain(key, label) for label in labels}
    there = {_plain(key, label_of(file.name, key)): file for file in files}
    left = [file for file in files if _plain(key, label_of(file.name, key)) in wanted]
    names = sorted((label or "(none)" for label in there), key=natural)
    choice = f"There is {listing([f'{key}-{label}' for label in names], 20)}."
    if not left:
        raise NothingSelectedError(f"No matrix has {key}-{', '.join(labels)}.", hint=choice)
    for label in sorted(wanted - set(there), key=natural):
        logger.warning("No matrix has %s-%s. %s", key, label, choice)
    return left


def _plain(key: str, label: str) -> str:
    """run-1 is also run-01, a participant may be given with the key; both spaces are one."""
    if key == "space" and label == "boldref":
        return "func"
    return entity_value(key, label.removeprefix(f"{key}-"))
