"""Seeds that participants lack, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.files.atomic import MISSING
from bids_spheres.outputs.links import Links
from bids_spheres.reports.group.load import parts_apart
from bids_spheres.reports.participant.backgrounds import find_background
from bids_spheres.reports.toolkit.connectome import Stage
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.render import (
    Column,
    Figure,
    Section,
    Table,
    number_column,
    percent_cell,
    table_of,
    text_column,
)
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, PARTIAL, Scene, overview
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.wording import count, listing, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_spheres.reports.group.load import Image

HALF = 0.5
"""Share of participants below which a seed is drawn as missing."""

_MOST_ROWS = 400


def seeds_sections(images: Sequence[Image]) -> dict[str, Section]:
    """Figure, sentences and table of the seeds of each image, by the image's anchor."""
    _, short = parts_apart([(image.measured, image.seeds, image.space) for image in images])
    sections = {}
    for image, own in zip(images, short, strict=True):
        behind = find_background({"SpatialReference": image.space}, Links(image.root, {}))
        share = image.coverage["share"].to_numpy(np.float64)
        colours = np.select([share < HALF, share < 1], [EMPTY, PARTIAL], FULL)
        backdrop = None if behind is None else behind.picture
        radii = image.coverage["radius"].to_numpy(np.float64)
        scene = Scene(image.points, radii, backdrop, given_colours=colours)
        n, whole = len(share), int((share == 1).sum())
        sentence = f"All participants have each of {count(n, 'seed')}."
        if whole < n:
            worst = [image.names[s] for s in np.argsort(share, kind="stable") if share[s] < 1]
            sentence = (
                f"All participants have {whole:,} of {count(n, 'seed')}; some lack {n - whole:,}, "
                f"and fewer than half have {int((share < HALF).sum()):,}: {listing(worst)}."
            )
        sentences = [sentence]
        if np.isfinite(mean := float(image.coverage["coverage"].mean())):
            sentences.append(
                f"Mean coverage of a sphere: {percent(mean)} of its voxels have a signal."
            )
        where = "" if behind is None else f" over {behind.words}"
        caption = (
            f"All spheres to scale{where}, transparent. Blue: all participants have the seed; "
            "amber, dashed: some lack it; red, dotted: fewer than half have it."
        )
        if far := [image.names[s] for s in np.flatnonzero(~scene.seen)]:
            caption += f" Too far away to be shown: {listing(far)}."
        if is_native(image.space):
            caption += (
                " Every participant has coordinates of their own in this space; the figure and the "
                "table show their means, which are approximate."
            )
        alt = " ".join(["All spheres from three sides.", *sentences])
        figure = Figure(f"{image.anchor}-seeds", picture(overview(scene), alt, small=True), caption)
        sections[image.anchor] = Section(
            image.anchor,
            image.image_title,
            ", ".join(own) or image.image_title,
            sentences=tuple(sentences),
            figures=(figure,),
            tables=(_table(image),),
            stage=Stage.of(scene, f"{image.anchor}-glass"),
        )
    return sections


def _table(image: Image) -> Table:
    """Seeds, those that most participants lack first."""
    seeds = image.coverage.sort_values(["share", "coverage"], kind="stable")[:_MOST_ROWS]
    rest = len(image.coverage) - len(seeds)
    more = f" The other {rest:,} are in the table of coverage." if rest else ""
    shares = [
        percent_cell(share, tone="bad" if share < HALF else "warn" if share < 1 else "")
        for share in seeds["share"]
    ]
    networks = text_column("Network", seeds["network"])
    return table_of(
        f"Seeds; those that most participants lack come first.{more}",
        text_column("Seed", seeds["name"]),
        *((networks,) if (image.coverage["network"] != MISSING).any() else ()),
        *(number_column(axis, seeds[axis], 1, "mm") for axis in "xyz"),
        number_column("Participants", seeds["participants"]),
        (Column("Share", unit="%"), shares),
        (Column("Coverage", unit="%"), [percent_cell(share) for share in seeds["coverage"]]),
    )
