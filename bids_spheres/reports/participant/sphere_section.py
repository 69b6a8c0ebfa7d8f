"""Spheres of a seed set in a run: where they lie, and how many of their voxels have a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.seeds import is_network
from bids_spheres.files.atomic import MISSING
from bids_spheres.reports.participant.backgrounds import find_background, read_image
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
from bids_spheres.reports.toolkit.sphere_figures import (
    EMPTY,
    FULL,
    MANY,
    PARTIAL,
    Scene,
    VoxelMap,
    describe_spheres,
    mosaic,
    overview,
)
from bids_spheres.wording import naming, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bids_spheres.outputs.links import Links
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.reports.participant.load import Run, SeedSet
    from bids_spheres.reports.toolkit.figures import Picture


_EXPECTED = {
    "sphere": "whose centre lies in the sphere",
    "region": "of the region on the grid of the image",
}
_COLUMNS_IN_WORDS = (
    "Expected: voxels {expected}. Used: those of them in the image and its "
    "mask. Coverage: share of the expected voxels that is used and has a signal. Shared: used "
    "voxels that another {noun} of the set uses as well."
)
_TSNR_IN_WORDS = (
    "tSNR: temporal signal-to-noise ratio, the mean over voxels of mean / standard deviation in "
    "time, before cleaning, of all volumes, including those that strategies censor."
)


def seeds_section(run: Run, seeds: SeedSet, spheres: Spheres, links: Links) -> Section:
    """Figures, sentences and the table of one seed set, and the stage of its connectomes."""
    background = find_background(spheres.sidecar, links)
    complete = np.isclose(spheres.coverage, 1)
    colours = np.select([~spheres.used, ~complete], [EMPTY, PARTIAL], FULL)
    image = None if background is None else background.picture
    scene = Scene(spheres.coordinates, spheres.radii, image, given_colours=colours)
    share, notes = spheres.sidecar.get("DespikedShare"), ("SpaceNote", "DespikeNote")
    stated = [spheres.sidecar[key] for key in notes if spheres.sidecar.get(key)]
    spikes = [f"Despiking changed {share:.2%} of the values of its voxels."] if share else []
    sentences = (*_sentences(spheres), *spikes, *stated)
    behind = "" if background is None else f" over {background.words}"
    title = f"{run.title}: {seeds.title}"
    file, noun = seeds.files.spheres_path, spheres.noun
    has_tsnr = bool(np.isfinite(spheres.tsnr).any())
    return Section(
        seeds.anchor,
        title,
        title,
        sentences=sentences,
        figures=tuple(_figures(seeds.anchor, scene, spheres, behind, " ".join(sentences))),
        tables=(_table(spheres, "" if file is None else file.name),),
        notes=(
            _COLUMNS_IN_WORDS.format(noun=noun, expected=_EXPECTED[noun]),
            *((_TSNR_IN_WORDS,) if has_tsnr else ()),
        ),
        stage=Stage.of(scene, f"{seeds.anchor}-glass"),
    )


def _figures(
    anchor: str, scene: Scene, spheres: Spheres, behind: str, words: str
) -> Iterator[Figure]:
    noun = spheres.noun
    if scene.seen.any():
        drawn = None  # without the image outlines still show where the spheres are
        if (image := read_image(spheres.image)) is not None:
            labels, grid = image
            known = np.where(labels <= len(spheres.names), labels, 0).ravel(order="F")
            drawn = VoxelMap(grid, known.astype(np.intp))
        yield Figure(
            f"{anchor}-slices",
            _sharp(mosaic(scene, drawn, spheres.names), f"Slices in three directions. {words}"),
            f"Voxels of the {noun}s{behind}. Blue: the whole {noun} has a signal; amber: part of "
            "it; red, dotted: too little of it, so that it has no series. Left is on the left; "
            "coordinates in mm.",
        )
    far = [spheres.names[s] for s in np.flatnonzero(~scene.seen)]
    note = f" Too far away to be shown: {naming(far)}." if far else ""
    networks = spheres.networks if len(spheres.names) > MANY else ()
    coloured = any(map(is_network, networks))
    colours = "Colours are networks; outlines are as above." if coloured else "Colours as above."
    yield Figure(
        f"{anchor}-glass-brain",
        _sharp(overview(scene, networks), f"All {noun}s from three sides. {words}"),
        f"All {noun}s{'' if coloured else ' to scale'}{behind}, transparent. {colours}{note}",
    )


def _sharp(pixels: NDArray[np.uint8], alt: str) -> Picture:
    return picture(pixels, alt, small=True, density=DENSITY)


def _sentences(spheres: Spheres) -> Iterator[str]:
    n, used = len(spheres.names), spheres.used
    yield describe_spheres(spheres.radii, regions=spheres.noun == "region")
    whole = int((np.isclose(spheres.coverage, 1) & used).sum())
    if not used.all():
        names = naming([spheres.names[s] for s in np.flatnonzero(~used)])
        least = spheres.sidecar.get("MinimumCoverage")
        limit = ""
        if isinstance(least, int | float) and 0 < least <= 1:
            limit = f" (less than {percent(least)} of their voxels)"
        yield (
            f"{whole:,} have all of their voxels, {int(used.sum()) - whole:,} some, and "
            f"{int((~used).sum()):,} too few to have a series{limit}: {names}."
        )
    elif whole == n:
        yield "Each of them has all of its voxels."
    else:
        yield f"{whole:,} have all of their voxels, the other {n - whole:,} some."
    if outside := int((~spheres.seed_in_mask).sum()):
        yield f"In {outside:,} the seed itself lies outside the mask."
    if shared := int((spheres.overlap > 0).sum()):
        yield f"{spheres.noun.capitalize()}s that share voxels with another: {shared:,}."
    known = spheres.tsnr[np.isfinite(spheres.tsnr)]
    if known.size:
        low, middle, high = np.percentile(known, (5, 50, 95))
        yield (
            f"Median temporal signal-to-noise ratio: {number(float(middle), 0)} (90 % of "
            f"{spheres.noun}s from {number(float(low), 0)} to {number(float(high), 0)})."
        )


def _table(spheres: Spheres, file: str) -> Table:
    has_networks = any(network != MISSING for network in spheres.networks)
    has_radii = bool((spheres.radii != spheres.radii[0]).any())
    columns = (
        Column("No."),
        Column("Name", numeric=False),
        *((Column("Network", numeric=False),) if has_networks else ()),
        *(Column(axis, unit="mm") for axis in "xyz"),
        *((Column("Radius", unit="mm"),) if has_radii else ()),
        Column("Coverage", unit="%"),
        *(Column(label, unit="voxels") for label in ("Used", "Expected", "Shared")),
        Column("tSNR"),
    )
    rows = []
    for s, name in enumerate(spheres.names):
        share = float(spheres.coverage[s])
        note = "" if spheres.used[s] else " (no series)"
        tone = "bad" if note else ("" if np.isclose(share, 1) else "warn")
        rows.append(
            (
                Cell(str(s + 1)),
                Cell(name),
                *((Cell(spheres.networks[s]),) if has_networks else ()),
                *(number_cell(mm, 1) for mm in spheres.coordinates[s]),
                *((number_cell(spheres.radii[s], 1),) if has_radii else ()),
                percent_cell(share, note, tone),
                Cell(str(spheres.voxels_used[s])),
                Cell(str(spheres.voxels_asked[s])),
                Cell(str(spheres.overlap[s])),
                number_cell(spheres.tsnr[s], 1),
            )
        )
    return Table(
        f"{spheres.noun.capitalize()}s, coverage and signal.",
        columns,
        tuple(rows),
        head=1,
        file=file,
    )
