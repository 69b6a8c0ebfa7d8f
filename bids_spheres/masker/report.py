"""The page of `NiftiSpheresMasker.generate_report`: where the spheres lie and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.errors import DataError
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.render import (
    Cell,
    Column,
    Figure,
    number_column,
    page,
    percent_cell,
    table_of,
)
from bids_spheres.reports.toolkit.sphere_figures import (
    Scene,
    SlicePainter,
    describe_spheres,
    overview,
)
from bids_spheres.wording import count, listing, number, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nibabel.spatialimages import SpatialImage

    from bids_spheres.engine import SphereWeights
    from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray
    from bids_spheres.reports.toolkit.render import HTMLReport, Table


@dataclass(frozen=True, eq=False)
class MaskerFacts:
    """Spheres and parameters of a masker; DataError when their numbers differ."""

    title: str
    parameters: Mapping[str, str]
    names: tuple[str, ...]
    coordinates: FloatArray  # (S, 3), mm
    radii: FloatArray  # (S,), mm; 0: the one voxel that holds the seed
    background: SpatialImage | None = None  # What figures show behind the spheres
    weights: SphereWeights | None = None  # Which voxels the spheres hold
    displayed: tuple[int, ...] = ()  # Which spheres get a figure of their own, counted from 0
    warnings: tuple[str, ...] = ()
    mask_voxels: int | None = None  # Voxels of the mask on the grid of `weights`

    def __post_init__(self) -> None:
        n = len(self.names)
        rows = n if self.weights is None else len(self.weights.asked)
        if self.coordinates.shape != (n, 3) or self.radii.shape != (n,) or rows != n:
            raise DataError(f"A report of {n} spheres needs a seed and a radius for each.")

    @property
    def seeds_inside(self) -> BoolArray:
        """Which seeds lie in the image; all of them without one, (S,)."""
        if self.weights is None:
            return np.ones(len(self.names), dtype=bool)
        grid = self.weights.grid
        return grid.contains(grid.voxel_of(self.coordinates))

    def volume(self, s: int) -> float | None:
        """Volume of the voxels used, mm3; without an image, of the ideal sphere."""
        if self.weights is not None:
            return float(self.weights.used[s]) * self.weights.grid.voxel_volume
        return 4 / 3 * np.pi * float(self.radii[s]) ** 3 if self.radii[s] else None


def displayed_spheres(
    requested: str | int | Sequence[int] | IntArray, n: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which of `n` spheres get a figure of their own, and warnings of those that can't.

    An int stands for that many of the first; a list or array for those, counted from 0, in that
    order. TypeError for anything else.

    >>> displayed_spheres("all", 3)
    ((0, 1, 2), ())
    >>> displayed_spheres([2, 0, 7], 3)[0]
    (2, 0)
    """
    if isinstance(requested, str) and requested == "all":
        return tuple(range(n)), ()
    notes: tuple[str, ...] = ()
    if isinstance(requested, int | np.integer):
        if requested > n:
            total = count(n, "sphere")
            notes = (f"displayed_spheres={requested} was set to {n}: there are {total}.",)
        elif requested < 0:
            notes = (f"displayed_spheres={requested} is negative: no sphere is displayed.",)
        return tuple(range(min(int(requested), n))), notes
    if (
        not isinstance(requested, list | np.ndarray)
        or (isinstance(requested, np.ndarray) and requested.ndim != 1)
        or not all(isinstance(i, int | np.integer) for i in requested)
    ):
        given = f"{requested!r} ({type(requested).__name__})"
        if isinstance(requested, np.ndarray):
            given = f"an array of {requested.ndim} dimensions of {requested.dtype}"
        raise TypeError(
            "'displayed_spheres' should be either 'all' or a positive 'int', "
            f"or a list/array of ints, not {given}."
        )
    # Once each: a second figure of a sphere would say nothing new.
    wanted = list(dict.fromkeys(int(i) for i in requested))
    if absent := [i for i in wanted if not 0 <= i < n]:
        numbers = f"Spheres are numbered 0 to {n - 1}." if n else "There are no spheres."
        named = listing([str(i) for i in absent], most=10)
        notes = (f"Report cannot display the following: {named}. {numbers}",)
    return tuple(i for i in wanted if 0 <= i < n), notes


def masker_report(facts: MaskerFacts) -> HTMLReport:
    """The page about a masker's spheres.

    Time and size grow with the spheres displayed: some 20 ms and 10 to 30 kB each.
    """
    image = None
    if facts.background is not None:
        image = backdrop(np.asanyarray(facts.background.dataobj), image_grid(facts.background))
    scene = Scene(facts.coordinates, facts.radii, image, facts.weights)
    painter = SlicePainter(scene) if facts.displayed else None
    figures = (_sphere_figure(facts, s, painter) for s in facts.displayed if painter)
    with_radius = bool((facts.radii > 0).any())
    legend = (
        "Left of a picture is left of the head. Thin lines point to the seed",
        *["the yellow ring is the sphere to scale"] * with_radius,
        *["blue voxels are those it uses"] * (facts.weights is not None),
        *["dashed rings are spheres that overlap it"] * with_radius,
    )
    return page(
        "masker.html.j2",
        facts.title,
        summary=tuple(_summary(facts)),
        warnings=facts.warnings,
        overview=_overview_figure(facts, scene),
        legend="; ".join(legend) + ".",
        slices=tuple(figures),
        table=_table(facts),
        notes=tuple(_notes(facts)),
        parameters=tuple(facts.parameters.items()),
    )


def _summary(facts: MaskerFacts) -> Iterator[str]:
    n, weights = len(facts.names), facts.weights
    if not n:
        yield "No spheres to show."
        return
    yield describe_spheres(facts.radii)
    if weights is not None:
        yield from _coverage_in_words(facts, weights)
    if len(facts.displayed) < n:
        yield f"Slices are shown for {count(len(facts.displayed), 'sphere')} of {n:,}."


def _coverage_in_words(facts: MaskerFacts, weights: SphereWeights) -> Iterator[str]:
    partial, empty = int(weights.partial.sum()), int(weights.empty.sum())
    names = [facts.names[s] for s in np.flatnonzero(weights.empty)]
    which = f" ({listing(names)})" if names else ""
    if not partial and not empty:
        yield "Every sphere has all of its voxels."
    else:
        yield (
            f"Of these, {len(facts.names) - partial - empty:,} have all of their voxels, "
            f"{partial:,} some, and {empty:,} none{which}: "
            "the others lie outside the image or its mask."
        )
    overlapping = int((weights.overlaps > 0).sum())
    yield (
        f"Together they use {count(len(weights.voxels), 'voxel')}. "
        f"Spheres that share voxels with another: {overlapping or 'none'}."
    )


def _notes(facts: MaskerFacts) -> Iterator[str]:
    yield "Numbers count from 0, as in displayed_spheres."
    if (facts.radii == 0).any():
        yield "A radius of 0 stands for the one voxel that holds the seed."
    if facts.weights is None:
        yield "Without an image voxels are not known; volumes are those of ideal spheres."
    else:
        yield (
            "Expected: voxels whose centre lies in the sphere. Used: those of them in the image "
            "and its mask. Overlap: those used that another sphere uses as well. Volume: of the "
            "voxels used."
        )


def _overview_figure(facts: MaskerFacts, scene: Scene) -> Figure | None:
    if not facts.names:
        return None
    low, high = facts.coordinates.min(axis=0), facts.coordinates.max(axis=0)
    spans = [
        f"{axis} from {number(a)} to {number(b)}"
        for axis, a, b in zip("xyz", low, high, strict=True)
    ]
    left, right = (int((side * facts.coordinates[:, 0] > 0).sum()) for side in (-1, 1))
    alt = (
        f"{sentence(count(len(facts.names), 'sphere'))[:-1]} from the side, the front and "
        f"above: {left:,} left and {right:,} right of x = 0. Seeds span {', '.join(spans)} mm."
    )
    behind = (
        "" if facts.background is None else " over the brightest voxels along the line of sight"
    )
    caption = f"All spheres to scale{behind}; left is on the left."
    if facts.weights is not None:
        alt = " ".join([alt, *_coverage_in_words(facts, facts.weights)])
        if (facts.weights.coverage < 1).any():
            caption += " Solid blue: all voxels used; dashed amber: some; dotted red: none."
    caption += scene.too_far(facts.names)
    return Figure("overview", picture(overview(scene), alt), caption, "All spheres")


def _sphere_figure(facts: MaskerFacts, s: int, painter: SlicePainter) -> Figure:
    """Slices through a seed; the caption says where and how large its sphere is."""
    name, volume, weights = facts.names[s], facts.volume(s), facts.weights
    x, y, z = (number(float(mm)) for mm in facts.coordinates[s])
    mm3 = "" if volume is None else f", {number(volume, 0 if volume >= 100 else 2)} mm³"
    size = "the voxel of the seed"
    if facts.radii[s]:
        size = f"radius {number(float(facts.radii[s]))} mm"
    remarks = [] if facts.seeds_inside[s] else ["The seed lies outside the image."]
    if weights is None:
        size += mm3
    else:
        used, expected = int(weights.used[s]), int(weights.asked[s])
        size += f"; {used:,} of {count(expected, 'voxel')} used ({percent(used / expected)}){mm3}"
        size += f", {percent(used / facts.mask_voxels)} of the mask" if facts.mask_voxels else ""
        if used == 0:
            remarks.append("No voxel can be used: all lie outside the image or its mask.")
        if shared := int(weights.overlaps[s]):
            verb = "is" if shared == 1 else "are"
            remarks.append(f"{count(shared, 'voxel')} {verb} in another sphere as well.")
    caption = " ".join([f"{name}: x = {x}, y = {y}, z = {z} mm, {size}.", *remarks])
    alt = f"Sagittal, coronal and axial slice through the seed of {caption}"
    drawing = picture(painter.paint(s), alt, density=1)
    return Figure(f"sphere-{s}", drawing, caption, f"{s}: {name}")


def _table(facts: MaskerFacts) -> Table:
    n, weights = len(facts.names), facts.weights
    names = [
        Cell(name, href=f"#sphere-{s}" if s in facts.displayed else None)
        for s, name in enumerate(facts.names)
    ]
    lengths = zip(("x", "y", "z", "Radius"), (*facts.coordinates.T, facts.radii), strict=True)
    unknown = np.full(n, np.nan)
    coverage = unknown if weights is None else weights.coverage
    return table_of(
        "Seeds, radii and voxels.",
        number_column("No.", range(n)),
        (Column("Name", numeric=False), names),
        *(number_column(label, values, 2, "mm") for label, values in lengths),
        number_column("Used", unknown if weights is None else weights.used, unit="voxels"),
        number_column("Expected", unknown if weights is None else weights.asked, unit="voxels"),
        (Column("Coverage", unit="%"), list(map(_coverage_cell, coverage))),
        number_column("Overlap", unknown if weights is None else weights.overlaps, unit="voxels"),
        number_column("Volume", map(facts.volume, range(n)), 1, "mm³"),
        head=1,
    )


def _coverage_cell(share: float) -> Cell:
    if share == 0:
        return percent_cell(share, " (empty)", "bad")
    return percent_cell(share, " (partial)", "warn") if share < 1 else percent_cell(share)
