"""Which seeds the group lacks, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.files.atomic import MISSING
from bids_spheres.outputs.links import Links
from bids_spheres.reports.group.budget import MOST_CHOICES
from bids_spheres.reports.group.load import parts_apart
from bids_spheres.reports.participant.backgrounds import find_background
from bids_spheres.reports.participant.relations import Stage
from bids_spheres.reports.toolkit.connectome import glass
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.render import Cell, Column, Figure, Table
from bids_spheres.reports.toolkit.spheres import EMPTY, FULL, PARTIAL, Scene, overview
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.wording import count, listing, number, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Image, Level
    from bids_spheres.reports.toolkit.figures import Picture

HALF = 0.5
"""Share of participants below which a seed is drawn as lacking."""

_MOST_ROWS = 400


@dataclass(frozen=True, eq=False)
class SeedsView:
    """What the page shows of the seeds of one task and space.

    Parameters
    ----------
    anchor, heading, short : str
    sentences : tuple of str
    figure : Figure
    table : Table
    stage : Stage
        For figures of the same spheres further down.
    glass : Picture
        What `stage` refers to.
    """

    anchor: str
    heading: str
    short: str
    sentences: tuple[str, ...]
    figure: Figure
    table: Table
    stage: Stage
    glass: Picture

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.short


def seeds_views(level: Level) -> dict[str, SeedsView]:
    """The first of all images, by their anchors."""
    shown = level.images[:MOST_CHOICES]
    _, apart = parts_apart([_parts(image) for image in shown])
    return {
        image.anchor: _view(level, image, ", ".join(own) or image.title)
        for image, own in zip(shown, apart, strict=True)
    }


def _parts(image: Image) -> tuple[str, ...]:
    return image.files.measured, image.files.seeds, image.files.space


def _view(level: Level, image: Image, short: str) -> SeedsView:
    behind = find_background({"SpatialReference": image.files.space}, Links(level.output_dir, {}))
    scene = Scene(
        image.points,
        image.radii,
        None if behind is None else behind.picture,
        given_colours=_colours(image),
    )
    name, through = f"{image.anchor}-glass", glass(scene)
    words = " ".join(_sentences(image))
    where = "" if behind is None else f" over {behind.words}"
    figure = Figure(
        f"{image.anchor}-seeds",
        picture(overview(scene), f"All spheres from three sides. {words}", small=True),
        f"All spheres to scale{where}, seen through. Blue: all participants have the seed; amber, "
        f"dashed: some lack it; red, dotted: fewer than half have it.{_places(image, scene)}",
    )
    return SeedsView(
        image.anchor,
        image.title,
        short,
        tuple(_sentences(image)),
        figure,
        _table(image),
        Stage(scene, through, f"#{name}"),
        picture(through.pixels(scene), name, small=True),
    )


def _colours(image: Image) -> Any:
    share = image.seeds["share"].to_numpy(np.float64)
    return np.select([share < HALF, share < 1], [EMPTY, PARTIAL], FULL)


def _places(image: Image, scene: Scene) -> str:
    far = [image.names[s] for s in np.flatnonzero(~scene.seen)]
    note = f" Too far away to be shown: {listing(far)}." if far else ""
    if is_native(image.files.space):
        note += (
            " Every participant has places of their own in this space; means of them are shown, "
            "which are about right."
        )
    return note


def _sentences(image: Image) -> Iterator[str]:
    seeds, share = image.seeds, image.seeds["share"].to_numpy(np.float64)
    n, whole = len(seeds), int((share == 1).sum())
    if whole == n:
        yield sentence(f"All participants have each of {count(n, 'seed')}")
    else:
        worst = [image.names[s] for s in np.argsort(share, kind="stable") if share[s] < 1]
        yield (
            f"All participants have {whole:,} of {count(n, 'seed')}; some lack {n - whole:,}, "
            f"and fewer than half have {int((share < HALF).sum()):,}: {listing(worst)}."
        )
    mean = float(seeds["coverage"].mean())
    if np.isfinite(mean):
        yield f"Mean coverage of a sphere: {percent(mean)} of its voxels have a signal."


def _table(image: Image) -> Table:
    """Seeds, those that most participants lack first."""
    order = image.seeds.sort_values(["share", "coverage"], kind="stable").index[:_MOST_ROWS]
    rest = len(image.seeds) - len(order)
    more = f" The other {rest:,} are in the table of coverage." if rest else ""
    has_networks = any(network != MISSING for network in image.networks)
    network = (Column("Network", numeric=False),) if has_networks else ()
    columns = (
        Column("Seed", numeric=False),
        *network,
        *(Column(axis, unit="mm") for axis in "xyz"),
        Column("Participants"),
        Column("Share", unit="%"),
        Column("Coverage", unit="%"),
    )
    rows = tuple(_row(image, int(s), has_networks=has_networks) for s in order)
    return Table(f"Seeds; those that most participants lack come first.{more}", columns, rows)


def _row(image: Image, s: int, *, has_networks: bool) -> tuple[Cell, ...]:
    seed = image.seeds.iloc[s]
    share = float(seed["share"])
    tone = "bad" if share < HALF else ("warn" if share < 1 else "")
    return (
        Cell(image.names[s]),
        *((Cell(image.networks[s]),) if has_networks else ()),
        *(Cell(number(float(mm), 1), round(float(mm), 4)) for mm in image.points[s]),
        Cell(str(int(seed["participants"]))),
        Cell(percent(share)[:-2], round(100 * share, 4), tone=tone),
        _percent(float(seed["coverage"])),
    )


def _percent(share: float) -> Cell:
    if not np.isfinite(share):
        return Cell(MISSING, "")
    return Cell(percent(share)[:-2], round(100 * share, 4))
