"""Images behind the spheres: the run's reference image, that of a template, or the mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.files.names import parse_name
from bids_spheres.files.regular import check_regular
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.spaces.templates import template_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.outputs.links import Links
    from bids_spheres.reports.toolkit.geometry import Backdrop


@dataclass(frozen=True, eq=False)
class Background:
    """Grey values of a brain, and a description of the image."""

    picture: Backdrop
    words: str


def find_background(facts: Mapping[str, object], links: Links) -> Background | None:
    """The first image that exists and can be read, by the sidecar of the spheres.

    The BOLD image itself is never opened, and nothing is downloaded.
    """
    for path, words in _candidates(facts, links):
        if (image := read_image(path)) is not None:
            data, grid = image
            return Background(backdrop(data[..., 0] if data.ndim == 4 else data, grid), words)
    return None


def read_image(path: Path) -> tuple[NDArray[np.number], Grid] | None:
    """Values and grid of an image; None without it, as a page without it is better than none."""
    try:
        check_regular(path)
        img: Any = nib.load(path)
        return np.asarray(img.dataobj), image_grid(img)
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError):
        return None


def _candidates(facts: Mapping[str, object], links: Links) -> Iterator[tuple[Path, str]]:
    bold, space = links.first(facts, "_bold.nii.gz"), str(facts.get("SpatialReference"))
    if bold is not None:
        boldref = replace(parse_name(bold.name).without_desc, suffix="boldref", extension=".nii.gz")
        reference = bold.with_name(str(boldref))
        if reference.is_file():
            yield reference, "the run's BOLD reference image"
    name, _, cohort = space.partition("+")
    stem = f"tpl-{name}_cohort-{cohort}" if cohort else f"tpl-{name}"
    folder = template_home() / f"tpl-{name}" / (f"cohort-{cohort}" if cohort else "")
    for resolution in ("02", "2", "01", "1"):
        template = folder / f"{stem}_res-{resolution}_T1w.nii.gz"
        # TemplateFlow marks files that it has not downloaded by empty ones.
        if template.is_file() and template.stat().st_size:
            yield template, f"the T1-weighted template {space}"
    if (mask := links.first(facts, "_mask.nii.gz")) is not None:
        yield mask, "the brain mask"
