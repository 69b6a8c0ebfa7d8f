"""The page of `NiftiSpheresMasker.generate_report`: where the spheres lie and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.masker_facts import MaskerFacts
from bids_spheres.reports.toolkit.render import Cell, Column, Figure, Stepper, Table, page
from bids_spheres.reports.toolkit.sphere_figures import Scene, SlicePainter, overview
from bids_spheres.wording import count, listing, number, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bids_spheres.engine import SphereWeights
    from bids_spheres.reports.toolkit.html import HTMLReport
    from bids_spheres.reports.toolkit.masker_facts import Sphere, Voxels

__all__ = ["MaskerFacts", "displayed_spheres", "masker_report"]

_MISSING = "n/a"


def displayed_spheres(
    requested: str | int | list[int] | NDArray[np.integer[Any]], n: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which of `n` spheres get a figure of their own.

    Parameters
    ----------
    requested : "all", int, list or array of int
        An int: that many of the first. Others: those, counted from 0, in that order.
    n : int

    Returns
    -------
    indices : tuple of int
    warnings : tuple of str
        What was asked for and is not there.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> displayed_spheres("all", 3)
    ((0, 1, 2), ())
    >>> displayed_spheres([2, 0, 7], 3)[0]
    (2, 0)
    """
    if isinstance(requested, str) and requested == "all":
        return tuple(range(n)), ()
    if isinstance(requested, int | np.integer):
        return _first_spheres(int(requested), n)
    if not _is_list_of_int(requested):
        raise TypeError(
            "'displayed_spheres' should be either 'all' or a positive 'int', "
            f"or a list/array of ints, not {_kind(requested)}."
        )
    # Once each: a second figure of a sphere would say nothing new.
    wanted = list(dict.fromkeys(int(i) for i in requested))
    absent = [i for i in wanted if not 0 <= i < n]
    return tuple(i for i in wanted if 0 <= i < n), _absent_warning(absent, n)


def masker_report(facts: MaskerFacts) -> HTMLReport:
    """The page about a masker's spheres.

    Time and size grow with the spheres displayed: some 20 ms and 10 to 30 kB each.
    """
    scene = _scene(facts)
    return page(
        "masker.html.j2",
        facts.title,
        summary=tuple(_summary(facts)),
        warnings=facts.warnings,
        overview=_overview_figure(facts, scene),
        legend=_legend(facts),
        stepper=Stepper("Sphere", _sphere_figures(facts, scene)),
        table=_table(facts),
        notes=tuple(_notes(facts)),
        parameters=tuple(facts.parameters.items()),
    )


# What was asked for


def _first_spheres(asked: int, n: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    shown = tuple(range(min(asked, n)))
    if asked > n:
        return shown, (
            f"displayed_spheres={asked} was set to {n}: there are {count(n, 'sphere')}.",
        )
    if asked < 0:
        return shown, (f"displayed_spheres={asked} is negative, so no sphere is displayed.",)
    return shown, ()


def _is_list_of_int(requested: Any) -> bool:
    if isinstance(requested, np.ndarray):
        return requested.ndim == 1 and np.issubdtype(requested.dtype, np.integer)
    return isinstance(requested, list) and all(isinstance(i, int | np.integer) for i in requested)


def _kind(requested: Any) -> str:
    if isinstance(requested, np.ndarray):
        return f"an array of {requested.ndim} dimensions of {requested.dtype}"
    if isinstance(requested, list):
        return f"a list of {listing(sorted({type(i).__name__ for i in requested}))}"
    return f"{requested!r} ({type(requested).__name__})"


def _absent_warning(absent: list[int], n: int) -> tuple[str, ...]:
    if not absent:
        return ()
    shown = listing([str(i) for i in absent], most=10)
    there = f"Spheres are numbered 0 to {n - 1}." if n else "There are no spheres."
    return (f"Report cannot display the following: {shown}. {there}",)


# In words


def _summary(facts: MaskerFacts) -> Iterator[str]:
    n, weights = len(facts.names), facts.weights
    if not n:
        yield "There are no spheres to show."
        return
    yield sentence(f"{count(n, 'sphere')} {_radii_in_words(facts.radii)}")
    if weights is not None:
        yield from _coverage_in_words(facts, weights)
    if len(facts.displayed) < n:
        yield f"Slices are shown for {count(len(facts.displayed), 'sphere')} of {n:,}."


def _radii_in_words(radii: NDArray[np.float64]) -> str:
    low, high = float(radii.min()), float(radii.max())
    if high == 0:
        return "of one voxel each, the one that holds the seed"
    if low == high:
        return f"with a radius of {number(low)} mm"
    return f"with radii from {number(low)} to {number(high)} mm"


def _coverage_in_words(facts: MaskerFacts, weights: SphereWeights) -> Iterator[str]:
    partial, empty = int(weights.partial.sum()), int(weights.empty.sum())
    if not partial and not empty:
        yield "Every sphere has all of its voxels."
    else:
        yield (
            f"Of these, {len(facts.names) - partial - empty:,} have all of their voxels, "
            f"{partial:,} some, and {empty:,} none{_who(facts, weights.empty)}: "
            "the others lie outside the image or its mask."
        )
    overlapping = int((weights.overlaps > 0).sum())
    yield (
        f"Together they use {count(len(weights.voxels), 'voxel')}. "
        f"Spheres that share voxels with another: {overlapping or 'none'}."
    )


def _who(facts: MaskerFacts, which: NDArray[np.bool_]) -> str:
    names = [str(facts.names[s]) for s in np.flatnonzero(which)]
    return f" ({listing(names)})" if names else ""


def _legend(facts: MaskerFacts) -> str:
    parts = ["Left of a picture is left of the head. Thin lines point to the seed"]
    if (facts.radii > 0).any():
        parts.append("the yellow ring is the sphere to scale")
    if facts.weights is not None:
        parts.append("blue voxels are those it uses")
    if (facts.radii > 0).any():
        parts.append("dashed rings are spheres that overlap it")
    return "; ".join(parts) + "."


def _notes(facts: MaskerFacts) -> Iterator[str]:
    yield "Numbers count from 0, as in displayed_spheres."
    if (facts.radii == 0).any():
        yield "A radius of 0 stands for the one voxel that holds the seed."
    if facts.weights is None:
        yield "Without an image voxels are not known; volumes are those of ideal spheres."
    else:
        yield (
            "Asked: voxels whose centre lies in the sphere. Used: those of them in the image and "
            "its mask. Overlap: those used that another sphere uses as well. Volume: of the "
            "voxels used."
        )


def place(sphere: Sphere) -> str:
    """Where a sphere is: its seed in mm."""
    x, y, z = (number(mm) for mm in sphere.seed)
    return f"x = {x}, y = {y}, z = {z} mm"


def size(sphere: Sphere) -> str:
    """How large a sphere is."""
    words = f"radius {number(sphere.radius)} mm" if sphere.radius else "the voxel of the seed"
    if sphere.voxels is None:
        return words + ("" if sphere.volume is None else f", {_mm3(sphere)}")
    used, asked = sphere.voxels.used, sphere.voxels.asked
    words += f"; {used:,} of {count(asked, 'voxel')} used ({percent(used / asked)}), {_mm3(sphere)}"
    if sphere.voxels.share is not None:
        words += f", {percent(sphere.voxels.share)} of the mask"
    return words


def _mm3(sphere: Sphere) -> str:
    volume = sphere.volume or 0.0
    return f"{volume:,.0f} mm³" if volume >= 100 else f"{number(volume)} mm³"


def remarks(sphere: Sphere) -> Iterator[str]:
    """What to look at in a sphere."""
    if sphere.inside is False:
        yield "The seed lies outside the image."
    if sphere.voxels is not None:
        if sphere.voxels.state == "empty":
            yield "None of its voxels can be used: they lie outside the image or its mask."
        if sphere.voxels.overlapping:
            shared = sphere.voxels.overlapping
            verb = "is" if shared == 1 else "are"
            yield f"{count(shared, 'voxel').capitalize()} {verb} in another sphere as well."


# Figures


def _scene(facts: MaskerFacts) -> Scene:
    shown = None
    if facts.background is not None:
        shown = backdrop(np.asanyarray(facts.background.dataobj), image_grid(facts.background))
    centres = np.asarray(facts.coordinates, dtype=np.float64)
    return Scene(centres, np.asarray(facts.radii, dtype=np.float64), shown, facts.weights)


def _overview_figure(facts: MaskerFacts, scene: Scene) -> Figure | None:
    if not facts.names:
        return None
    drawn = picture(overview(scene), _overview_alt(facts), small=True)
    return Figure("overview", drawn, _overview_caption(facts, scene), "All spheres")


def _overview_alt(facts: MaskerFacts) -> str:
    spans = (
        f"{axis} from {number(low)} to {number(high)}"
        for axis, low, high in zip(
            "xyz", facts.coordinates.min(axis=0), facts.coordinates.max(axis=0), strict=True
        )
    )
    left, right = (int((side * facts.coordinates[:, 0] > 0).sum()) for side in (-1, 1))
    words = (
        f"{sentence(count(len(facts.names), 'sphere'))[:-1]} seen from the side, the front and "
        f"above: {left:,} left and {right:,} right of x = 0. Seeds span {', '.join(spans)} mm."
    )
    known = [] if facts.weights is None else _coverage_in_words(facts, facts.weights)
    return " ".join([words, *known])


def _overview_caption(facts: MaskerFacts, scene: Scene) -> str:
    behind = (
        "" if facts.background is None else " over the brightest voxels along the line of sight"
    )
    words = f"All spheres to scale{behind}; left is left."
    if facts.weights is not None and (facts.weights.coverage < 1).any():
        words += " Solid blue: all voxels used; dashed amber: some; dotted red: none."
    far = [facts.names[s] for s in np.flatnonzero(~scene.seen)]
    return words + (f" Too far away to be shown: {listing(far)}." if far else "")


def _sphere_figures(facts: MaskerFacts, scene: Scene) -> tuple[Figure, ...]:
    if not facts.displayed:
        return ()
    painter = SlicePainter(scene)
    return tuple(_sphere_figure(facts.spheres[s], painter) for s in facts.displayed)


def _sphere_figure(sphere: Sphere, painter: SlicePainter) -> Figure:
    what = f"{sphere.name}: {place(sphere)}, {size(sphere)}."
    caption = " ".join([what, *remarks(sphere)])
    alt = f"Sagittal, coronal and axial slice through the seed of {caption}"
    return Figure(
        sphere.anchor,
        picture(painter.paint(sphere.index), alt, small=True),
        caption,
        sphere.heading,
    )


# Table

_COLUMNS = (
    Column("No."),
    Column("Name", numeric=False),
    Column("x", unit="mm"),
    Column("y", unit="mm"),
    Column("z", unit="mm"),
    Column("Radius", unit="mm"),
    Column("Used", unit="voxels"),
    Column("Asked", unit="voxels"),
    Column("Coverage", unit="%"),
    Column("Overlap", unit="voxels"),
    Column("Volume", unit="mm³"),
)


def _table(facts: MaskerFacts) -> Table:
    rows = tuple(_row(sphere) for sphere in facts.spheres)
    return Table("Seeds, radii and voxels.", _COLUMNS, rows, head=1)


def _row(sphere: Sphere) -> tuple[Cell, ...]:
    return (
        Cell(str(sphere.index)),
        Cell(sphere.name, href=f"#{sphere.anchor}" if sphere.shown else None),
        *(Cell(number(mm), mm) for mm in (*sphere.seed, sphere.radius)),
        *_voxel_cells(sphere.voxels),
        _missing() if sphere.volume is None else Cell(number(sphere.volume, 1), sphere.volume),
    )


def _voxel_cells(voxels: Voxels | None) -> tuple[Cell, ...]:
    if voxels is None:
        return (_missing(),) * 4
    share = voxels.used / voxels.asked
    words = f"{percent(share)[:-2]}{f' ({voxels.state})' if voxels.state else ''}"
    tone = {"empty": "bad", "partial": "warn", "": ""}[voxels.state]
    return (
        Cell(str(voxels.used)),
        Cell(str(voxels.asked)),
        Cell(words, 100 * share, tone=tone),
        Cell(str(voxels.overlapping)),
    )


def _missing() -> Cell:
    return Cell(_MISSING, "")
