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

    def summary(self) -> Iterator[str]:
        """Sentences at the top of the page."""
        n = len(self.names)
        if not n:
            yield "No spheres to show."
            return
        yield describe_spheres(self.radii)
        yield from self.coverage_in_words()
        if len(self.displayed) < n:
            yield f"Slices are shown for {count(len(self.displayed), 'sphere')} of {n:,}."

    def coverage_in_words(self) -> Iterator[str]:
        """How many spheres have all of their voxels; nothing without an image."""
        if (weights := self.weights) is None:
            return
        partial, empty = int(weights.partial.sum()), int(weights.empty.sum())
        names = [self.names[s] for s in np.flatnonzero(weights.empty)]
        which = f" ({listing(names)})" if names else ""
        if not partial and not empty:
            yield "Every sphere has all of its voxels."
        else:
            yield (
                f"Of these, {len(self.names) - partial - empty:,} have all of their voxels, "
                f"{partial:,} some, and {empty:,} none{which}: "
                "the others lie outside the image or its mask."
            )
        overlapping = int((weights.overlaps > 0).sum())
        yield (
            f"Together they use {count(len(weights.voxels), 'voxel')}. "
            f"Spheres that share voxels with another: {overlapping or 'none'}."
        )

    def notes(self) -> Iterator[str]:
        """What the columns of the table mean."""
        yield "Numbers count from 0, as in displayed_spheres."
        if (self.radii == 0).any():
            yield "A radius of 0 stands for the one voxel that holds the seed."
        if self.weights is None:
            yield "Without an image voxels are not known; volumes are those of ideal spheres."
        else:
            yield (
                "Expected: voxels whose centre lies in the sphere. Used: those of them in the "
                "image and its mask. Overlap: those used that another sphere uses as well. "
                "Volume: of the voxels used."
            )

    def overview_figure(self, scene: Scene) -> Figure | None:
        """All spheres from three sides."""
        if not self.names:
            return None
        low, high = self.coordinates.min(axis=0), self.coordinates.max(axis=0)
        ranges = zip("xyz", map(number, low), map(number, high), strict=True)
        spans = [f"{axis} from {first} to {last}" for axis, first, last in ranges]
        left, right = (int((side * self.coordinates[:, 0] > 0).sum()) for side in (-1, 1))
        alt = (
            f"{sentence(count(len(self.names), 'sphere'))[:-1]} from the side, the front and "
            f"above: {left:,} left and {right:,} right of x = 0. Seeds span {', '.join(spans)} mm."
        )
        caption = "All spheres to scale; left is on the left."
        if self.background is not None:
            caption = caption.replace(";", " over the brightest voxels along the line of sight;")
        alt = " ".join([alt, *self.coverage_in_words()])
        if self.weights is not None and (self.weights.coverage < 1).any():
            caption += " Solid blue: all voxels used; dashed amber: some; dotted red: none."
        caption += scene.too_far(self.names)
        return Figure("overview", picture(overview(scene), alt), caption, "All spheres")

    def sphere_figure(self, s: int, painter: SlicePainter) -> Figure:
        """Slices through a seed; the caption says where and how large its sphere is."""
        name, volume, weights = self.names[s], self.volume(s), self.weights
        x, y, z = (number(float(mm)) for mm in self.coordinates[s])
        mm3 = "" if volume is None else f", {number(volume, 0 if volume >= 100 else 2)} mm³"
        size = "the voxel of the seed"
        if self.radii[s]:
            size = f"radius {number(float(self.radii[s]))} mm"
        remarks = [] if self.seeds_inside[s] else ["The seed lies outside the image."]
        if weights is None:
            size += mm3
        else:
            used, expected = int(weights.used[s]), int(weights.asked[s])
            share = percent(used / expected)
            size += f"; {used:,} of {count(expected, 'voxel')} used ({share}){mm3}"
            size += f", {percent(used / self.mask_voxels)} of the mask" if self.mask_voxels else ""
            if used == 0:
                remarks.append("No voxel can be used: all lie outside the image or its mask.")
            if shared := int(weights.overlaps[s]):
                verb = "is" if shared == 1 else "are"
                remarks.append(f"{count(shared, 'voxel')} {verb} in another sphere as well.")
        caption = " ".join([f"{name}: x = {x}, y = {y}, z = {z} mm, {size}.", *remarks])
        alt = f"Sagittal, coronal and axial slice through the seed of {caption}"
        drawing = picture(painter.paint(s), alt, density=1)
        return Figure(f"sphere-{s}", drawing, caption, f"{s}: {name}")

    def table(self) -> Table:
        """A row for each sphere."""
        n, weights = len(self.names), self.weights
        names = [
            Cell(name, href=f"#sphere-{s}" if s in self.displayed else None)
            for s, name in enumerate(self.names)
        ]
        lengths = zip(("x", "y", "z", "Radius"), (*self.coordinates.T, self.radii), strict=True)
        used = asked = overlaps = coverage = np.full(n, np.nan)
        if weights is not None:
            used, asked, overlaps = weights.used, weights.asked, weights.overlaps
            coverage = weights.coverage
        return table_of(
            "Seeds, radii and voxels.",
            number_column("No.", range(n)),
            (Column("Name", numeric=False), names),
            *(number_column(label, values, 2, "mm") for label, values in lengths),
            number_column("Used", used, unit="voxels"),
            number_column("Expected", asked, unit="voxels"),
            (Column("Coverage", unit="%"), list(map(_coverage_cell, coverage))),
            number_column("Overlap", overlaps, unit="voxels"),
            number_column("Volume", map(self.volume, range(n)), 1, "mm³"),
            head=1,
        )


def displayed_spheres(
    requested: str | int | Sequence[int] | IntArray, n: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which of `n` spheres get a figure of their own, and warnings of those that can't.

    An int stands for that many of the first; a list or array for those, counted from 0, in that
    order. TypeError for anything else.

    >>> displayed_spheres([2, 0, 7], 3)[0]
    (2, 0)
    """
    if isinstance(requested, str) and requested == "all":
        return tuple(range(n)), ()
    notes: tuple[str, ...] = ()
    if isinstance(requested, int | np.integer):
        if requested > n:
            notes = (f"displayed_spheres={requested} was set to {n}, the number of spheres.",)
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
    """The page about a masker's spheres; 20 ms and 10 to 30 kB for each that is displayed."""
    image = None
    if facts.background is not None:
        image = backdrop(np.asanyarray(facts.background.dataobj), image_grid(facts.background))
    scene = Scene(facts.coordinates, facts.radii, image, facts.weights)
    painter = SlicePainter(scene) if facts.displayed else None
    figures = (facts.sphere_figure(s, painter) for s in facts.displayed if painter)
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
        summary=tuple(facts.summary()),
        warnings=facts.warnings,
        overview=facts.overview_figure(scene),
        legend="; ".join(legend) + ".",
        slices=tuple(figures),
        table=facts.table(),
        notes=tuple(facts.notes()),
        parameters=tuple(facts.parameters.items()),
    )


def _coverage_cell(share: float) -> Cell:
    if share == 0:
        return percent_cell(share, " (empty)", "bad")
    return percent_cell(share, " (partial)", "warn") if share < 1 else percent_cell(share)
