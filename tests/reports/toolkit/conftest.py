"""Pages to look at: a small image with spheres that are full, partial, empty and overlapping."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.engine import Grid, sphere_weights
from bids_spheres.masker.report import MaskerFacts

SHAPE = (14, 16, 12)
AFFINE = np.array([[3.0, 0, 0, -20], [0, 3, 0, -22], [0, 0, 3, -16], [0, 0, 0, 1]])
NAMES = ("front", "<script>alert('x')</script>", 'a "b" & <i>c</i>', "outside", "one voxel")
SEEDS = np.array([[0.0, 4, 2], [3, 5, 2], [-17, -19, -13], [400, 0, 0], [6.2, -8.9, 4.4]])
RADII = np.array([6.0, 6, 7, 5, 0])
VOID = frozenset({"img", "meta", "br", "link", "input", "hr"})


@dataclass
class Element:
    tag: str
    attrs: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()

    def all(self, tag, **attrs):
        """Elements below this one, in the order of the page."""
        found = []
        for child in self.children:
            if tag in ("*", child.tag) and attrs.items() <= child.attrs.items():
                found.append(child)
            found += child.all(tag, **attrs)
        return found


class _Builder(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open = [Element("document", {})]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        closed = self.open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}>"

    def handle_data(self, data):
        for element in self.open:
            element.parts.append(data)


@pytest.fixture(scope="session")
def parse():
    """From a page to its elements; tags that are not closed are an error."""

    def parsed(html):
        builder = _Builder()
        builder.feed(str(html))
        builder.close()
        (document,) = builder.open
        return document

    return parsed


@pytest.fixture(scope="session")
def mask() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:-2, 2:-1, 1:-1] = True
    return mask


@pytest.fixture(scope="session")
def background() -> nib.Nifti1Image:
    data = np.random.default_rng(3).uniform(200, 1000, SHAPE).astype(np.float32)
    data[0] = 0
    return nib.Nifti1Image(data, AFFINE)


@pytest.fixture(scope="session")
def facts(mask, background) -> MaskerFacts:
    return MaskerFacts(
        title="Spheres <of> a test",
        parameters={"radius": "6.0", "mask_img": "'<mask>.nii'"},
        names=NAMES,
        coordinates=SEEDS,
        radii=RADII,
        background=background,
        weights=sphere_weights(SEEDS, RADII, Grid(SHAPE, AFFINE), mask),
        displayed=(1, 0, 3, 4),
        warnings=("look <here>",),
        mask_voxels=int(mask.sum()),
    )
