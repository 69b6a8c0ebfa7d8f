"""Which files of the group level belong together: names alone, nothing is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.files.names import Name, parse_name
from bids_spheres.group.files import FOLDER, image_name, label_of, title
from bids_spheres.group.options import SEEDS
from bids_spheres.inputs.runs import natural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OF_IMAGE = "coverage"
_OF_GROUP = "participants"
_SHOWN_APART = frozenset({"space", "atlas", "seg", "scale"})
"""Entities that a title tells in words of its own."""


@dataclass(frozen=True)
class Files:
    """Files of one group, or of one space and seed set.

    Parameters
    ----------
    folder : Path
    name : Name
        The entities they share.
    whats : frozenset of str
        Suffixes of the tables that are there.
    """

    folder: Path
    name: Name
    whats: frozenset[str]

    def path(self, what: str, extension: str = ".tsv") -> Path:
        """Path of a table or its sidecar."""
        return self.folder / str(Name(self.name.entities, what, extension))

    @property
    def entities(self) -> str:
        """Entities as the table of strategies writes them."""
        return title(self.name)

    @property
    def stat(self) -> str:
        """Label of the measure."""
        return self.name.get("stat") or ""

    @property
    def strategy(self) -> str:
        """Label of the strategy."""
        return self.name.get("desc") or ""

    @property
    def measured(self) -> str:
        """Entities of the runs, for people."""
        entities = image_name(self.name).entities
        rest = [f"{key}-{label}" for key, label in entities if key not in _SHOWN_APART]
        return " ".join(rest) or "all runs"

    @property
    def image_title(self) -> str:
        """What was measured, with which seeds and in which space, for people."""
        return f"{self.measured}, {self.seeds} in {self.space}"

    @property
    def space(self) -> str:
        """Space of the images."""
        return label_of(self.name, "space")

    @property
    def seeds(self) -> str:
        """Label of the seed set, with its radius where it was used with several."""
        label, scale = label_of(self.name, SEEDS), self.name.get("scale")
        return f"{label} {scale}" if scale else label


def find_files(output_dir: Path) -> tuple[list[Files], list[Files]]:
    """Images, which have a table of coverage, and groups, which have one of participants.

    Parameters
    ----------
    output_dir : Path

    Returns
    -------
    images, groups : list of Files
        In the order of their names.
    """
    whats: dict[tuple[tuple[str, str], ...], set[str]] = defaultdict(set)
    for name in _tables(output_dir / FOLDER):
        whats[name.entities].add(name.suffix)
    found = [
        Files(output_dir / FOLDER, Name(entities, "", ""), frozenset(there))
        for entities, there in whats.items()
    ]
    found.sort(key=lambda files: natural(files.entities))
    return (
        [files for files in found if _OF_IMAGE in files.whats],
        [files for files in found if _OF_GROUP in files.whats],
    )


def _tables(folder: Path) -> Iterator[Name]:
    for path in folder.glob("*.tsv"):
        try:
            yield parse_name(path.name)
        except ValueError:
            continue  # tables of all groups, and what is not ours


def pages_of_participants(output_dir: Path) -> frozenset[str]:
    """Names of the pages of participants and sessions that are there."""
    return frozenset(path.name for path in output_dir.glob("sub-*.html"))
