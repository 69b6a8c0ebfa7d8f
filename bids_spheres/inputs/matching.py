"""Find the file that belongs to an image, by the entities in their names.

A file belongs to an image when it has all entities of the image's run; else when it has all but
``part``; all but ``echo``; all but both. Of what describes the image itself (``space``, ``res``,
``den``, ``desc``) the name of the file may say less, but nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bids_spheres.errors import InvalidDatasetError
from bids_spheres.files.names import IMAGE_ENTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bids_spheres.files.names import Name

    Entities = Mapping[str, str]
    RunEntities = frozenset[tuple[str, str]]

KEEP_ONE = "Keep the one that belongs to the image, and move the other elsewhere."
"""What to do when two files belong to one image."""

_SHARED_BY = ((), ("part",), ("echo",), ("echo", "part"))
"""Entities that a file may leave out since it is of several images of a run, in this order."""


class FilesOfImages:
    """Files of one kind, such as confounds tables, looked up by the image they belong to.

    Parameters
    ----------
    what : str
        The kind in the singular, for messages.
    spaces_differ : bool
        Whether a file without ``space`` is on the grid of acquisition, and so of no other image.
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
        """The file that belongs to an image, if any.

        Raises
        ------
        InvalidDatasetError
            When two belong to it equally well.
        """
        run, labels = _split(image)
        keys = dict.fromkeys(
            frozenset(entity for entity in run if entity[0] not in dropped)
            for dropped in _SHARED_BY
        )
        for dataset in sorted(self._datasets):
            for key in keys:
                best = self._best(self._files.get((dataset, key), ()), labels)
                if len(best) > 1:
                    first, second, *_ = sorted(best)
                    raise InvalidDatasetError(
                        f"{first} and {second} are both the {self._what} of one run.",
                        hint=KEEP_ONE,
                    )
                if best:
                    return best[0]
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


def _split(name: Name) -> tuple[RunEntities, Entities]:
    """Entities of a run, and those of an image, with their values normalized."""
    values = name.values
    run = frozenset(entity for entity in values.items() if entity[0] not in IMAGE_ENTITIES)
    return run, {key: label for key, label in values.items() if key in IMAGE_ENTITIES}
