"""The page of `NiftiSpheresMasker.generate_report`: where the spheres lie and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.reports.toolkit.figures import DENSITY, picture
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.masker_facts import MaskerFacts
from bids_spheres.reports.toolkit.render import Cell, Column, Figure, Table, page
from bids_spheres.reports.toolkit.sphere_figures import (
    Scene,
    SlicePainter,
    describe_spheres,
    overview,
)
from bids_spheres.wording import count, listing, number, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.engine import SphereWeights
    from bids_spheres.engine.arrays import IntArray
    from bids_spheres.reports.toolkit.html import HTMLReport
    from bids_spheres.reports.toolkit.masker_facts import Sphere

__all__ = ["MaskerFacts", "displayed_spheres", "masker_report"]

_MISSING = "n/a"


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
    if isinstance(requested, int | np.integer):
        shown = tuple(range(min(int(requested), n)))
        if requested > n:
            total = count(n, "sphere")
            return shown, (f"displayed_spheres={requested} was set to {n}: there are {total}.",)
        if requested < 0:
            return shown, (f"displayed_spheres={requested} is negative: no sphere is displayed.",)
        return shown, ()
    is_array = isinstance(requested, np.ndarray) and requested.ndim == 1
    if not (is_array or isinstance(requested, list)) or not all(
        isinstance(i, int | np.integer) for i in requested
    ):
        shown_value = f"{requested!r} ({type(requested).__name__})"
        if isinstance(requested, np.ndarray):
            shown_value = f"an array of {requested.ndim} dimensions of {requested.dtype}"
        raise TypeError(
            "'displayed_spheres' should be either 'all' or a positive 'int', "
            f"or a list/array of ints, not {shown_value}."
        )
    # Once each: a second figure of a sphere would say nothing new.
    wanted = list(dict.fromkeys(int(i) for i in requested))
    absent = [i for i in wanted if not 0 <= i < n]
    notes: tuple[str, ...] = ()
    if absent:
        numbers = f"Spheres are numbered 0 to {n - 1}." if n else "There are no spheres."
        named = listing([str(i) for i in absent], most=10)
        notes = (f"Report cannot display the following: {named}. {numbers}",)
    return tuple(i for i in wanted if 0 <= i < n), notes


def masker_report(facts: MaskerFacts) -> HTMLReport:
    """The page about a masker's spheres.

    Time and size grow with the spheres displayed: some 20 ms and 10 to 30 kB each.
    """
    background = facts.background
    image = None
    if background is not None:
        image = backdrop(np.asanyarray(background.dataobj), image_grid(background))
    centres, radii = (np.asarray(v, dtype=np.float64) for v in (facts.coordinates, facts.radii))
    scene = Scene(centres, radii, image, facts.weights)
    painter = SlicePainter(scene) if facts.displayed else None
    figures = (_sphere_figure(facts.spheres[s], painter) for s in facts.displayed if painter)
    rows = tuple(_row(sphere) for sphere in facts.spheres)
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
        table=Table("Seeds, radii and voxels.", _COLUMNS, rows, head=1),
        notes=tuple(_notes(facts)),
        parameters=tuple(facts.parameters.items()),
    )


def _summary(facts: MaskerFacts) -> Iterator[str]:
    n, weights = len(facts.names), facts.weights
    if not n:
        yield "No spheres to show."
        return
    yield describe_spheres(np.asarray(facts.radii, dtype=np.float64))
    if weights is not None:
        yield from _coverage_in_words(facts, weights)
    if len(facts.displayed) < n:
        yield f"Slices are shown for {count(len(facts.displayed), 'sphere')} of {n:,}."


def _coverage_in_words(facts: MaskerFacts, weights: SphereWeights) -> Iterator[str]:
    partial, empty = int(weights.partial.sum()), int(weights.empty.sum())
    names = [str(facts.names[s]) for s in np.flatnonzero(weights.empty)]
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
        " over the brightest voxels along the line of sight" if facts.background is not None else ""
    )
    caption = f"All spheres to scale{behind}; left is on the left."
    if facts.weights is not None:
        alt = " ".join([alt, *_coverage_in_words(facts, facts.weights)])
        if (facts.weights.coverage < 1).any():
            caption += " Solid blue: all voxels used; dashed amber: some; dotted red: none."
    if far := [facts.names[s] for s in np.flatnonzero(~scene.seen)]:
        caption += f" Too far away to be shown: {listing(far)}."
    return Figure(
        "overview",
        picture(overview(scene), alt, small=True, density=DENSITY),
        caption,
        "All spheres",
    )


def _sphere_figure(sphere: Sphere, painter: SlicePainter) -> Figure:
    """Slices through a seed; the caption says where and how large its sphere is."""
    x, y, z = (number(mm) for mm in sphere.seed)
    volume, voxels = sphere.volume, sphere.voxels
    mm3 = "" if volume is None else f", {number(volume, 0 if volume >= 100 else 2)} mm³"
    size = f"radius {number(sphere.radius)} mm" if sphere.radius else "the voxel of the seed"
    remarks = ["The seed lies outside the image."] if sphere.inside is False else []
    if voxels is None:
        size += mm3
    else:
        used, expected = voxels.used, voxels.expected
        size += f"; {used:,} of {count(expected, 'voxel')} used ({percent(used / expected)}){mm3}"
        size += "" if voxels.share is None else f", {percent(voxels.share)} of the mask"
        if voxels.state == "empty":
            remarks.append("No voxel can be used: all lie outside the image or its mask.")
        if shared := voxels.overlapping:
            verb = "is" if shared == 1 else "are"
            remarks.append(f"{count(shared, 'voxel')} {verb} in another sphere as well.")
    caption = " ".join([f"{sphere.name}: x = {x}, y = {y}, z = {z} mm, {size}.", *remarks])
    alt = f"Sagittal, coronal and axial slice through the seed of {caption}"
    drawing = picture(painter.paint(sphere.index), alt, small=True)
    return Figure(sphere.anchor, drawing, caption, sphere.heading)


_COLUMNS = (
    Column("No."),
    Column("Name", numeric=False),
    Column("x", unit="mm"),
    Column("y", unit="mm"),
    Column("z", unit="mm"),
    Column("Radius", unit="mm"),
    Column("Used", unit="voxels"),
    Column("Expected", unit="voxels"),
    Column("Coverage", unit="%"),
    Column("Overlap", unit="voxels"),
    Column("Volume", unit="mm³"),
)


def _row(sphere: Sphere) -> tuple[Cell, ...]:
    missing = Cell(_MISSING, "")
    voxels, in_voxels = sphere.voxels, (missing,) * 4
    if voxels is not None:
        share = voxels.used / voxels.expected
        words = f"{percent(share)[:-2]}{f' ({voxels.state})' if voxels.state else ''}"
        tone = {"empty": "bad", "partial": "warn", "": ""}[voxels.state]
        in_voxels = (
            Cell(str(voxels.used)),
            Cell(str(voxels.expected)),
            Cell(words, 100 * share, tone=tone),
            Cell(str(voxels.overlapping)),
        )
    return (
        Cell(str(sphere.index)),
        Cell(sphere.name, href=f"#{sphere.anchor}" if sphere.shown else None),
        *(Cell(number(mm), mm) for mm in (*sphere.seed, sphere.radius)),
        *in_voxels,
        missing if sphere.volume is None else Cell(number(sphere.volume, 1), sphere.volume),
    )
