"""Parcellations by path, by dataset and by name, to tables of regions in a known space."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.data.published import ROI_LABEL, parcellation_label
from bids_spheres.engine.regions import load_masks, load_parcellation
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.files.text import is_there, read_json_object
from bids_spheres.spaces.templates import template_atlas
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_spheres.engine.regions import MapWeighting
    from bids_spheres.engine.seeds import SeedTable

logger = logging.getLogger(__name__)

_TEMPLATE = "MNI152NLin2009cAsym"  # of atlases named without one: fMRIPrep's standard

_IMAGE = re.compile(r"\.(nii|nii\.gz|mgz|mgh|hdr|img)$")


def load_regions(
    parcellations: Sequence[str],
    masks: Sequence[Path],
    *,
    space: str | None = None,
    weighting: MapWeighting = "least-squares",
) -> tuple[SeedTable, ...]:
    """Regions of images, of BIDS-Atlas datasets and of TemplateFlow's atlases, by path or name.

    Names are as ``Schaefer2018:100Parcels7Networks``; all masks are one set. `space` is that of
    images that do not say it, and the template of named atlases.
    """
    loaded: list[tuple[Path | str, tuple[SeedTable, list[str]]]] = []
    for word in parcellations:
        path = _image(word, space)
        known = _space_of(path, space or (None if is_there(Path(word)) else _TEMPLATE))
        label = parcellation_label(str(path))
        if not label:
            raise UsageError(f"No label can be made from the name of {path}.", hint="Rename it.")
        loaded.append((path, load_parcellation(path, label, known, weighting)))
    if masks:
        spaces = sorted({_space_of(path, space) for path in masks})
        if len(spaces) > 1:
            raise UsageError(
                f"--roi: masks in several spaces: {listing(spaces)}.", hint="Resample them to one."
            )
        loaded.append(("--roi", load_masks(masks, ROI_LABEL, spaces[0])))
    for where, note in ((where, note) for where, (_, notes) in loaded for note in notes):
        logger.warning("%s: %s", where, note)
    return tuple(table for _, (table, _) in loaded)


def _image(word: str, space: str | None) -> Path:
    """Image of a parcellation, whatever it is called by."""
    path = Path(word)
    if path.is_dir():
        return _image_of_dataset(path, space)
    if is_there(path):
        return path
    atlas, _, desc = word.partition(":")
    if _IMAGE.search(word) or not (atlas.isalnum() and (not desc or desc.isalnum())):
        raise MissingInputError(
            f"--parcellation: {word} does not exist.",
            hint="Give an image, a BIDS-Atlas dataset, or the name of an atlas of TemplateFlow, as "
            "Schaefer2018:100Parcels7Networks.",
        )
    return template_atlas(space or _TEMPLATE, atlas, desc)


def _image_of_dataset(folder: Path, space: str | None) -> Path:
    """The one parcellation of a BIDS-Atlas dataset; the finest where there are several grids."""
    images = sorted(
        path
        for kind in ("dseg", "probseg")
        for path in folder.rglob(f"*_{kind}.nii*")
        if _IMAGE.search(path.name)
    )
    spaces = sorted({_named_space(path) or "" for path in images})
    wanted = space or (_TEMPLATE if _TEMPLATE in spaces else spaces[0] if len(spaces) == 1 else "")
    own = [path for path in images if _named_space(path) == wanted]
    own = own or [path for path in images if not _named_space(path)]
    names = {re.sub(r"_res-[a-zA-Z0-9]+", "", path.name): path for path in reversed(own)}
    if len(names) != 1:
        found = listing(sorted(names) or [path.name for path in images] or ["none"])
        raise UsageError(
            f"--parcellation: {folder} has no single parcellation in {wanted or 'one space'}: "
            f"{found}.",
            hint="Give the path of an image, or --parcellation-space.",
        )
    return next(iter(names.values()))


def _named_space(path: Path) -> str | None:
    """Space that the name of an image says."""
    labels = dict(re.findall(r"(?:^|_)(space|tpl|cohort)-([a-zA-Z0-9+]+)", path.name))
    space = labels.get("space") or labels.get("tpl")
    return f"{space}+{labels['cohort']}" if space and "cohort" in labels else space


def _space_of(path: Path, default: str | None) -> str:
    """Space of an image by its name, its JSON file, or as the user says."""
    sidecar = path.with_name(re.sub(_IMAGE, "", path.name) + ".json")
    said = read_json_object(sidecar).get("Space") if is_there(sidecar) else None
    space = _named_space(path) or said or default
    if not isinstance(space, str) or not space:
        raise UsageError(
            f"The space of {path} is not known.",
            hint='Say it with --parcellation-space, "Space" in a JSON file of the same name, or '
            "space- in the name of the image.",
        )
    return space
