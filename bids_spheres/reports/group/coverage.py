"""Seeds that participants lack, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.files.atomic import MISSING
from bids_spheres.outputs.links import Links
from bids_spheres.reports.group.budget import MOST_CHOICES
from bids_spheres.reports.group.load import parts_apart
from bids_spheres.reports.participant.backgrounds import find_background
from bids_spheres.reports.toolkit.connectome import Stage
from bids_spheres.reports.toolkit.figures import DENSITY, picture
from bids_spheres.reports.toolkit.render import (
    Cell,
    Column,
    Figure,
    Section,
    Table,
    number_cell,
    percent_cell,
)
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, PARTIAL, Scene, overview
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.wording import count, listing, percent, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.group.load import Image, Level

HALF = 0.5
"""Share of participants below which a seed is drawn as missing."""

_MOST_ROWS = 400


def seeds_sections(level: Level) -> dict[str, Section]:
    """Seeds of the first images, by the images' anchors."""
    images = level.images[:MOST_CHOICES]
    parts = [(image.files.measured, image.files.seeds, image.files.space) for image in images]
    _, short = parts_apart(parts)
    return {
        image.anchor: _section(level, image, ", ".join(own) or image.title)
        for image, own in zip(images, short, strict=True)
    }


def _section(level: Level, image: Image, short: str) -> Section:
    behind = find_background({"SpatialReference": image.files.space}, Links(level.output_dir, {}))
    share = image.seeds["share"].to_numpy(np.float64)
    colours = np.select([share < HALF, share < 1], [EMPTY, PARTIAL], FULL)
    backdrop = None if behind is None else behind.picture
    scene = Scene(image.points, image.radii, backdrop, given_colours=colours)
    sentences = tuple(_sentences(image))
    alt = " ".join(["All spheres from three sides.", *sentences])
    where = "" if behind is None else f" over {behind.words}"
    caption = (
        f"All spheres to scale{where}, transparent. Blue: all participants have the seed; amber, "
        "dashed: some lack it; red, dotted: fewer than half have it."
    )
    if far := [image.names[s] for s in np.flatnonzero(~scene.seen)]:
        caption += f" Too far away to be shown: {listing(far)}."
    if is_native(image.files.space):
        caption += (
            " Every participant has coordinates of their own in this space; their means are shown, "
            "which are approximate."
        )
    figure = Figure(
        f"{image.anchor}-seeds",
        picture(overview(scene, image.networks), alt, small=True, density=DENSITY),
        caption,
    )
    return Section(
        image.anchor,
        image.title,
        short,
        sentences=sentences,
        figures=(figure,),
        tables=(_table(image),),
        stage=Stage.of(scene, f"{image.anchor}-glass"),
    )


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
    columns = (
        Column("Seed", numeric=False),
        *((Column("Network", numeric=False),) if has_networks else ()),
        *(Column(axis, unit="mm") for axis in "xyz"),
        Column("Participants"),
        Column("Share", unit="%"),
        Column("Coverage", unit="%"),
    )
    rows = []
    for s in map(int, order):
        seed = image.seeds.iloc[s]
        share = float(seed["share"])
        rows.append(
            (
                Cell(image.names[s]),
                *((Cell(image.networks[s]),) if has_networks else ()),
                *(number_cell(mm, 1) for mm in image.points[s]),
                Cell(str(int(seed["participants"]))),
                percent_cell(share, tone="bad" if share < HALF else ("warn" if share < 1 else "")),
                percent_cell(float(seed["coverage"])),
            )
        )
    return Table(
        f"Seeds; those that most participants lack come first.{more}", columns, tuple(rows)
    )
