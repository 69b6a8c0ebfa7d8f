"""Where the spheres of a seed set lie in a run, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_spheres.engine.stream import image_grid
from bids_spheres.files.regular import check_regular
from bids_spheres.reports.participant.backgrounds import find_background
from bids_spheres.reports.participant.relations import Stage
from bids_spheres.reports.toolkit.connectome import glass
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.render import Cell, Column, Figure, Table
from bids_spheres.reports.toolkit.slices import Drawn, mosaic
from bids_spheres.reports.toolkit.spheres import EMPTY, FULL, PARTIAL, Scene, overview
from bids_spheres.wording import count, naming, number, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.outputs.links import Links
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.reports.participant.backgrounds import Background
    from bids_spheres.reports.participant.load import Run, SeedSet
    from bids_spheres.reports.toolkit.figures import Picture

_MISSING = "n/a"


@dataclass(frozen=True, eq=False)
class SeedsView:
    """What the page shows of one seed set in one run.

    Parameters
    ----------
    anchor : str
    heading : str
    sentences : tuple of str
    figures : tuple of Figure
    table : Table
    notes : tuple of str
        Below the table.
    stage : Stage
        For figures of the same spheres further down.
    glass : Picture
        What `stage` refers to.
    """

    anchor: str
    heading: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    table: Table
    notes: tuple[str, ...]
    stage: Stage
    glass: Picture

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.heading


def seeds_view(run: Run, one: SeedSet, spheres: Spheres, links: Links) -> SeedsView:
    """Figures, sentences and the table of one seed set."""
    background = find_background(spheres.sidecar, links)
    drawn = _drawn(spheres)
    scene = Scene(
        spheres.coordinates,
        spheres.radii,
        None if background is None else background.picture,
        given_colours=_colours(spheres),
    )
    behind, name = glass(scene), f"{one.anchor}-glass"
    return SeedsView(
        one.anchor,
        f"{run.title}: {one.title}",
        tuple(_sentences(spheres)),
        tuple(_figures(one.anchor, scene, drawn, spheres, background)),
        _table(spheres),
        tuple(_notes(spheres)),
        Stage(scene, behind, f"#{name}"),
        picture(behind.pixels(scene), name, small=True),
    )


def _drawn(spheres: Spheres) -> Drawn | None:
    """The image of the spheres' numbers, when it is there."""
    try:
        check_regular(spheres.image)
        img: Any = nib.load(spheres.image)
        labels = np.asarray(img.dataobj).ravel(order="F")
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError):
        return None  # outlines still show where the spheres are
    return Drawn(image_grid(img), np.where(labels <= len(spheres.names), labels, 0).astype(np.intp))


def _colours(spheres: Spheres) -> Any:
    complete = np.isclose(spheres.coverage, 1)
    return np.select([~spheres.used, ~complete], [EMPTY, PARTIAL], FULL)


def _figures(
    anchor: str,
    scene: Scene,
    drawn: Drawn | None,
    spheres: Spheres,
    background: Background | None,
) -> Iterator[Figure]:
    behind = "" if background is None else f" over {background.words}"
    far = [spheres.names[s] for s in np.flatnonzero(~scene.seen)]
    note = f" Too far away to be shown: {naming(far)}." if far else ""
    words = " ".join(_sentences(spheres))
    if scene.seen.any():
        yield Figure(
            f"{anchor}-slices",
            picture(mosaic(scene, drawn), f"Slices in three directions. {words}", small=True),
            f"Voxels of the spheres{behind}. Blue: the whole sphere has a signal; amber: part of "
            f"it; red, dotted: too little of it, so that it has no series. Left is left; mm.",
        )
    yield Figure(
        f"{anchor}-glass-brain",
        picture(overview(scene), f"All spheres from three sides. {words}", small=True),
        f"All spheres to scale{behind}, seen through. Colours as above.{note}",
    )


def _sentences(spheres: Spheres) -> Iterator[str]:
    n, used = len(spheres.names), spheres.used
    whole = int((np.isclose(spheres.coverage, 1) & used).sum())
    yield sentence(f"{count(n, 'sphere')} {_radii(spheres)}")
    if not used.all():
        names = naming([spheres.names[s] for s in np.flatnonzero(~used)])
        yield (
            f"{whole:,} have all of their voxels, {int(used.sum()) - whole:,} some, and "
            f"{int((~used).sum()):,} too few to have a series{_floor(spheres)}: {names}."
        )
    elif whole == n:
        yield "Each of them has all of its voxels."
    else:
        yield f"{whole:,} have all of their voxels, the other {n - whole:,} some."
    outside = int((~spheres.seed_in_mask).sum())
    if outside:
        yield f"In {outside:,} the seed itself lies outside the mask."
    if shared := int((spheres.overlap > 0).sum()):
        yield f"Spheres that share voxels with another: {shared:,}."
    yield from _tsnr(spheres)


def _tsnr(spheres: Spheres) -> Iterator[str]:
    known = spheres.tsnr[np.isfinite(spheres.tsnr)]
    if known.size:
        low, middle, high = np.percentile(known, (5, 50, 95))
        yield (
            f"Median temporal signal-to-noise ratio: {number(float(middle), 0)} (90 % of spheres "
            f"from {number(float(low), 0)} to {number(float(high), 0)})."
        )


def _floor(spheres: Spheres) -> str:
    """What too few is, where the sidecar says so."""
    least = spheres.sidecar.get("MinimumCoverage")
    if not isinstance(least, int | float) or not 0 < least <= 1:
        return ""
    return f" (less than {percent(least)} of their voxels)"


def _radii(spheres: Spheres) -> str:
    low, high = float(spheres.radii.min()), float(spheres.radii.max())
    if high == 0:
        return "of one voxel each, the one that holds the seed"
    if low == high:
        return f"with a radius of {number(low)} mm"
    return f"with radii from {number(low)} to {number(high)} mm"


# Table


def _columns(spheres: Spheres) -> tuple[Column, ...]:
    network = (Column("Network", numeric=False),) if _has_networks(spheres) else ()
    radius = (Column("Radius", unit="mm"),) if _has_radii(spheres) else ()
    return (
        Column("No."),
        Column("Name", numeric=False),
        *network,
        Column("x", unit="mm"),
        Column("y", unit="mm"),
        Column("z", unit="mm"),
        *radius,
        Column("Coverage", unit="%"),
        Column("Used", unit="voxels"),
        Column("Asked", unit="voxels"),
        Column("Shared", unit="voxels"),
        Column("tSNR"),
    )


def _notes(spheres: Spheres) -> Iterator[str]:
    yield (
        "Asked: voxels whose centre lies in the sphere. Used: those of them in the image and its "
        "mask. Coverage: share of those asked that is used and has a signal. Shared: those used "
        "that another sphere of the set uses as well."
    )
    if np.isfinite(spheres.tsnr).any():
        yield (
            "tSNR: temporal signal-to-noise ratio, the mean over voxels of mean / standard "
            "deviation in time, before cleaning, of all volumes: also of those that strategies "
            "leave out."
        )


def _has_networks(spheres: Spheres) -> bool:
    return any(network != _MISSING for network in spheres.networks)


def _has_radii(spheres: Spheres) -> bool:
    return bool((spheres.radii != spheres.radii[0]).any())


def _table(spheres: Spheres) -> Table:
    rows = tuple(_row(spheres, s) for s in range(len(spheres.names)))
    return Table("Spheres, coverage and signal.", _columns(spheres), rows, head=1)


def _row(spheres: Spheres, s: int) -> tuple[Cell, ...]:
    network = (Cell(spheres.networks[s]),) if _has_networks(spheres) else ()
    return (
        Cell(str(s + 1)),
        Cell(spheres.names[s]),
        *network,
        *(_number(mm) for mm in spheres.coordinates[s]),
        *((_number(spheres.radii[s]),) if _has_radii(spheres) else ()),
        _coverage(spheres, s),
        Cell(str(spheres.voxels_used[s])),
        Cell(str(spheres.voxels_asked[s])),
        Cell(str(spheres.overlap[s])),
        _number(spheres.tsnr[s]),
    )


def _number(value: float) -> Cell:
    value = float(value)
    return Cell(number(value, 1), round(value, 4)) if np.isfinite(value) else Cell(_MISSING, "")


def _coverage(spheres: Spheres, s: int) -> Cell:
    share = float(spheres.coverage[s])
    if not np.isfinite(share):
        return Cell(_MISSING, "")
    state = "" if spheres.used[s] else " (no series)"
    tone = "bad" if state else ("" if np.isclose(share, 1) else "warn")
    return Cell(f"{percent(share)[:-2]}{state}", round(100 * share, 4), tone=tone)
