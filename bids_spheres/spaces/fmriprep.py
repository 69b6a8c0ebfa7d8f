"""fMRIPrep's transforms between a subject's own spaces and the templates.

What it writes, by version:

- ``anat/..._from-T1w_to-<template>_mode-image_xfm.h5`` and the reverse, for every template in
  ``--output-spaces``; in the subject's folder, or in that of the session of the only T1w image;
- ``func/..._from-scanner_to-T1w_mode-image_xfm.txt`` for every run (20.2 to 23.1), which is called
  ``..._from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt`` since 23.2. ``scanner`` meant the BOLD
  reference there: one transform, without head motion.

Where the anatomical reference is a T2w image, that stands in the place of T1w.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.errors import InvalidDatasetError
from bids_spheres.files.names import entity_value, same_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ANATOMICAL = ("T1w", "T2w")  # spaces of a subject's anatomical reference

NATIVE = ("func", "boldref")
"""Names of the grid on which a run was acquired, whose images have no ``space`` in their names."""

_NATIVE_IN_FILES = ("boldref", "scanner")
_EXTENSIONS = frozenset({".h5", ".txt", ".mat"})
_KINDS = frozenset({None, "coreg"})
_OTHER_SESSION = 2  # distance of a transform from a run


def is_native(space: str) -> bool:
    """Whether a space is that of one subject, and not of a template."""
    return space in ANATOMICAL or space in NATIVE


@dataclass(frozen=True)
class _Transform:
    """A transform file, described by its name."""

    path: Path
    entities: Mapping[str, str]

    @classmethod
    def parse(cls, path: Path) -> _Transform:
        pairs = (part.partition("-") for part in path.name.split(".")[0].split("_"))
        return cls(path, {key: entity_value(key, label) for key, dash, label in pairs if dash})

    @property
    def resamples(self) -> bool:
        """Whether it resamples images, and so moves points, to another space."""
        labels = self.entities
        image = labels.get("mode") == "image" and labels.get("desc") in _KINDS
        return image and self.path.suffix in _EXTENSIONS

    def takes_images(self, source: str, target: str) -> bool:
        """Whether it takes images from `source` to `target`."""
        labels = self.entities
        return same_template(labels.get("from"), source) and same_template(labels.get("to"), target)

    def distance(self, run: Mapping[str, str]) -> int | None:
        """Distance from a run, from 0; None when it does not belong to the run.

        A transform of anatomical images may be of the run's session (0) or above sessions (1).
        That of another session is the run's only where the subject has no other (2).
        """
        own = {k: v for k, v in self.entities.items() if k not in {"from", "to", "mode", "desc"}}
        if self.path.parent.name == "func":
            return len(run) - len(own) if own.items() <= run.items() else None
        if own.get("sub") != run.get("sub"):
            return None
        if "ses" not in own:
            return 1
        return _OTHER_SESSION if other_session(self.path, run) else 0


def other_session(path: Path, run: Mapping[str, str]) -> str | None:
    """Label of a transform's session when it differs from the run's; else None."""
    session = _Transform.parse(path).entities.get("ses")
    return session if session != run.get("ses") else None


def transform_files(root: str | Path, participant: str) -> tuple[Path, ...]:
    """Transform files of a participant, of all sessions, in ``anat`` and ``func``."""
    folder = Path(root) / f"sub-{participant.removeprefix('sub-')}"
    files = (
        path
        for level in ("", "ses-*/")
        for kind in ("anat", "func")
        for path in folder.glob(f"{level}{kind}/*_mode-image_*xfm.*")
    )
    return tuple(sorted(path for path in files if path.suffix in _EXTENSIONS))


def find_transforms(
    files: Iterable[Path], run: Mapping[str, str], source: str, target: str
) -> tuple[Path, ...]:
    """Files that take points from one space to another, at least one of them the subject's.

    `files` are those to search; `run` has the entities of the BOLD file. Spaces are templates as
    fMRIPrep names them in these files (``MNIPediatricAsym+2``), ``T1w``, ``T2w``, or one of
    `NATIVE`. In the order in which points pass (`spaces.itk.move_points`); empty when no
    transforms lead there. InvalidDatasetError when several files do the same for this run.
    """
    if not (is_native(source) or is_native(target)):
        return ()
    labels = {key: entity_value(key, label) for key, label in run.items()}
    available = [t for t in map(_Transform.parse, files) if t.resamples]
    own = [t for t in available if t.distance(labels) != _OTHER_SESSION]
    return _way(own, labels, source, target) or _way(available, labels, source, target)


def _way(
    available: Sequence[_Transform], run: Mapping[str, str], source: str, target: str
) -> tuple[Path, ...]:
    """Files between two spaces, directly or by way of the anatomical image."""
    for stops in ((source, target), *((source, anatomy, target) for anatomy in ANATOMICAL)):
        files = [_pick(available, run, *ends) for ends in pairwise(stops)]
        if all(files):
            return tuple(filter(None, files))
    return ()


def _pick(
    available: Sequence[_Transform], run: Mapping[str, str], source: str, target: str
) -> Path | None:
    """The file nearest to the run that takes points from one space to the other, if any."""
    # Files are named for the images that they resample, and points go the other way.
    for start, end in product(_names_in_files(target), _names_in_files(source)):
        distances = [
            (distance, transform.path)
            for transform in available
            if transform.takes_images(start, end)
            and (distance := transform.distance(run)) is not None
        ]
        nearest = sorted(path for distance, path in distances if distance == min(distances)[0])
        if len(nearest) > 1:
            raise InvalidDatasetError(
                f"{nearest[0]} and {nearest[1].name} do the same for one run.",
                hint="Keep the one that belongs to the images.",
            )
        if nearest:
            return nearest[0]
    return None


def _names_in_files(space: str) -> tuple[str, ...]:
    return _NATIVE_IN_FILES if space in NATIVE else (space,)
