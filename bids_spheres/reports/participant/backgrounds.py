"""What figures show behind spheres: the run's reference image, a template's, or the mask."""

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
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.outputs.links import Links
    from bids_spheres.reports.toolkit.geometry import Backdrop


@dataclass(frozen=True, eq=False)
class Background:
    """A picture of a brain, and what it is in words."""

    picture: Backdrop
    words: str


def find_background(facts: dict[str, Any], links: Links) -> Background | None:
    """The first image that is there and can be read.

    The BOLD image itself is never opened, and nothing is downloaded.

    Parameters
    ----------
    facts : mapping
        Sidecar of the spheres.
    links : Links
    """
    for path, words in _candidates(facts, links):
        try:
            return Background(_read(path), words)
        except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError):
            continue  # a picture less is no reason to have no report
    return None


def _candidates(facts: dict[str, Any], links: Links) -> Iterator[tuple[Path, str]]:
    bold, space = links.first(facts, "_bold.nii.gz"), str(facts.get("SpatialReference"))
    if bold is not None:
        name = replace(parse_name(bold.name).without_desc, suffix="boldref", extension=".nii.gz")
        reference = bold.with_name(str(name))
        if reference.is_file():
            yield reference, "the run's BOLD reference image"
    if (template := _template(space)) is not None:
        yield template, f"the T1-weighted template {space}"
    if (mask := links.first(facts, "_mask.nii.gz")) is not None:
        yield mask, "the brain mask"


def _template(space: str) -> Path | None:
    """TemplateFlow's T1-weighted image of a space, if the template home has it already."""
    name, _, cohort = space.partition("+")
    stem = f"tpl-{name}_cohort-{cohort}" if cohort else f"tpl-{name}"
    folder = template_home() / f"tpl-{name}" / (f"cohort-{cohort}" if cohort else "")
    paths = (folder / f"{stem}_res-{res}_T1w.nii.gz" for res in ("02", "2", "01", "1"))
    # An empty file stands for one that could be downloaded.
    return next((path for path in paths if path.is_file() and path.stat().st_size), None)


def _read(path: Path) -> Backdrop:
    check_regular(path)
    img: Any = nib.load(path)
    data = np.asarray(img.dataobj)
    return backdrop(data[..., 0] if data.ndim == 4 else data, image_grid(img))
