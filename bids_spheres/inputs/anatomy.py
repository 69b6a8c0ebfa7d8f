"""Images of a participant's anatomy that belong to a run: tissues and lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.files.names import parse_name, same_template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.files.names import Name

TISSUES = {"GM": 1, "WM": 2, "CSF": 3}
"""Labels of tissues in names of ``probseg`` images, and their numbers in fMRIPrep's ``dseg``."""

_ANATOMICAL = ("T1w", "T2w")


def tissue_images(bold: Path, space: str) -> dict[str, tuple[Path, int | None]]:
    """Images of tissues in the space of a BOLD image of fMRIPrep, by the label of the tissue.

    With the number of the tissue in the image: None for images of its probability, which come
    first.
    """
    tissues: dict[str, tuple[Path, int | None]] = {}
    images = list(_images(_anatomical_folders(bold), space))
    for path, name in images:
        label = str(name.get("label"))
        if name.suffix == "probseg" and label in TISSUES:
            tissues.setdefault(label, (path, None))
    for path, name in images:
        if name.suffix == "dseg" and name.get("desc") is None and name.get("atlas") is None:
            for label, number in TISSUES.items():
                tissues.setdefault(label, (path, number))
    return tissues


def anatomical_mask(bold: Path) -> Path | None:
    """Brain mask of an image's participant on the anatomy's own grid, of the same session first."""
    masks = (
        path
        for folder in _anatomical_folders(bold)
        for path in sorted(folder.glob("sub-*_desc-brain_mask.nii*"))
    )
    return next((path for path in masks if "_space-" not in path.name), None)


def lesion_masks(folder: Path, run: Name, space: str) -> list[Path]:
    """Masks of a participant's lesions in the space of a run, at any depth of a folder."""
    return [
        path
        for path, name in _images([folder], space, below=True)
        if name.suffix in ("mask", "roi", "dseg")
        and name.get("sub") == run.get("sub")
        and name.get("ses") in (None, run.get("ses"))
    ]


def _anatomical_folders(bold: Path) -> list[Path]:
    """Folders of a participant's anatomical images, that of the session first."""
    participants = [x for x in bold.parents if x.name.startswith("sub-")]
    participant = participants[-1] if participants else bold.parent
    sessions = sorted(participant.glob("ses-*"))
    folders = dict.fromkeys([bold.parent.parent, participant, *sessions])
    return [folder / "anat" for folder in folders]


def _images(folders: list[Path], space: str, *, below: bool = False) -> Iterator[tuple[Path, Name]]:
    """Images with BIDS names in a space; without one in their names, in the anatomy's."""
    for folder in folders:
        for path in sorted(folder.glob("**/*.nii*" if below else "*.nii*")):
            try:
                name = parse_name(path.name)
            except ValueError:
                continue
            own = name.space
            if same_template(own, space) if own else space in _ANATOMICAL:
                yield path, name
