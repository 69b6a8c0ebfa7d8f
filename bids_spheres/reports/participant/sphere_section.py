"""Seeds of a run in the brain: where they lie, how many of their voxels have a signal, maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_spheres.engine.seeds import is_network
from bids_spheres.engine.stream import image_grid
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.names import parse_name
from bids_spheres.files.regular import check_regular
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.reports.toolkit import render, sphere_figures
from bids_spheres.reports.toolkit.connectome import Stage
from bids_spheres.reports.toolkit.figures import picture
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.reports.toolkit.render import Block, Figure, Section, number_column
from bids_spheres.reports.toolkit.sphere_figures import COLUMNS, Scene, VoxelMap
from bids_spheres.spaces.templates import template_home
from bids_spheres.wording import naming, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.engine import Grid
    from bids_spheres.outputs.links import Links
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.outputs.sidecars import Sidecar
    from bids_spheres.reports.participant.load import Run, SeedSet
    from bids_spheres.reports.toolkit.geometry import Backdrop

_COLUMNS_IN_WORDS = (
    "Expected: voxels {expected}. Used: those of them in the image and its "
    "mask. Coverage: share of the expected voxels that is used and has a signal. Shared: used "
    "voxels that another {noun} of the set uses as well."
)
_SLICES = "Slices in three directions."
_TSNR_IN_WORDS = (
    "tSNR: temporal signal-to-noise ratio, the mean over voxels of mean / standard deviation in "
    "time, before cleaning, of all volumes, including those that strategies censor."
)


@dataclass(frozen=True, eq=False)
class Background:
    """Grey values of a brain, if an image has them, and a description of the image."""

    picture: Backdrop | None = None
    words: str = ""

    @property
    def over(self) -> str:
        """What spheres are drawn over, behind their name in a caption."""
        return f" over {self.words}" if self.words else ""


def find_background(facts: Sidecar, links: Links) -> Background:
    """First image that can be read, by the sidecar of the spheres; never the BOLD image itself."""
    bold, space = links.first(facts, "_bold.nii.gz"), facts.get("SpatialReference", "")
    candidates = []
    if bold is not None:
        boldref = replace(parse_name(bold.name).without_desc, suffix="boldref", extension=".nii.gz")
        candidates.append((bold.with_name(str(boldref)), "the run's BOLD reference image"))
    name, _, cohort = space.partition("+")
    stem = f"tpl-{name}_cohort-{cohort}" if cohort else f"tpl-{name}"
    folder = template_home() / f"tpl-{name}" / (f"cohort-{cohort}" if cohort else "")
    candidates += [
        (folder / f"{stem}_res-{resolution}_T1w.nii.gz", f"the T1-weighted template {space}")
        for resolution in ("02", "2", "01", "1")
    ]
    if (mask := links.first(facts, "_mask.nii.gz")) is not None:
        candidates.append((mask, "the brain mask"))
    for path, words in candidates:
        # TemplateFlow marks files that it has not downloaded by empty ones.
        if path.is_file() and path.stat().st_size and (image := read_image(path)) is not None:
            data, grid = image
            return Background(backdrop(data[..., 0] if data.ndim == 4 else data, grid), words)
    return Background()


def read_image(path: Path) -> tuple[NDArray[np.number], Grid] | None:
    """Values and grid of an image; None without it, as a page without it is better than none."""
    try:
        check_regular(path)
        img: Any = nib.load(path)
        return np.asarray(img.dataobj), image_grid(img)
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError):
        return None


def seeds_section(run: Run, seeds: SeedSet, spheres: Spheres, links: Links) -> Section:
    """Figures, sentences and the table of one seed set, and the stage of its connectomes."""
    background = find_background(spheres.sidecar, links)
    inks = sphere_figures.EMPTY, sphere_figures.PARTIAL, sphere_figures.FULL
    colours = _by_coverage(spheres, *inks)
    places = spheres.coordinates, spheres.radii
    scene = Scene(*places, background.picture, given_colours=colours)
    sentences = tuple(_sentences(spheres))
    title, noun = f"{run.title}: {seeds.title}", spheres.noun
    of_region = "of the region on the grid of the image"
    expected = of_region if noun == "region" else "whose centre lies in the sphere"
    notes = [_COLUMNS_IN_WORDS.format(noun=noun, expected=expected)]
    if np.isfinite(spheres.tsnr).any():
        notes.append(_TSNR_IN_WORDS)
    file = seeds.files.spheres_path
    return Section(
        seeds.anchor,
        title,
        title,
        sentences=sentences,
        figures=tuple(_figures(seeds.anchor, scene, spheres, background.over, " ".join(sentences))),
        tables=(_table(spheres, "" if file is None else file.name),),
        notes=tuple(notes),
        stage=Stage.of(scene, f"{seeds.anchor}-glass"),
    )


def _by_coverage(spheres: Spheres, none: str, some: str, whole: str) -> NDArray[np.str_]:
    """One of three words for each sphere: without a series, with some or all of its voxels."""
    return np.select([~spheres.used, ~np.isclose(spheres.coverage, 1)], [none, some], whole)


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
            picture(sphere_figures.mosaic(scene, drawn, spheres.names), f"{_SLICES} {words}"),
            f"Voxels of the {noun}s{behind}. Blue: the whole {noun} has a signal; amber: part of "
            "it; red, dotted: too little of it, so that it has no series. Left is on the left; "
            "coordinates in mm.",
        )
    note = scene.too_far(spheres.names)
    networks = spheres.networks if len(spheres.names) > sphere_figures.MANY else ()
    coloured = any(map(is_network, networks))
    colours = "Colours are networks; outlines are as above." if coloured else "Colours as above."
    yield Figure(
        f"{anchor}-glass-brain",
        picture(sphere_figures.overview(scene, networks), f"All {noun}s from three sides. {words}"),
        f"All {noun}s{'' if coloured else ' to scale'}{behind}, transparent. {colours}{note}",
    )


def _sentences(spheres: Spheres) -> Iterator[str]:
    n, used, noun = len(spheres.names), spheres.used, spheres.noun
    yield sphere_figures.describe_spheres(spheres.radii, regions=noun == "region")
    whole = int((np.isclose(spheres.coverage, 1) & used).sum())
    if not used.all():
        names = naming([spheres.names[s] for s in np.flatnonzero(~used)])
        least = spheres.sidecar.get("MinimumCoverage", 0)
        limit = f" (less than {percent(least)} of their voxels)" if 0 < least <= 1 else ""
        yield (
            f"{whole:,} have all of their voxels, {int(used.sum()) - whole:,} some, and "
            f"{int((~used).sum()):,} too few to have a series{limit}: {names}."
        )
    else:
        some = f"{whole:,} have all of their voxels, the other {n - whole:,} some."
        yield "Each of them has all of its voxels." if whole == n else some
    if noun == "sphere" and (outside := int((~spheres.seed_in_mask).sum())):
        nearer = " or belongs to a nearer seed" * (spheres.sidecar.get("Overlap") == "nearest")
        yield f"In {outside:,} the voxel of the seed lies outside the mask{nearer}."
    if shared := int((spheres.overlap > 0).sum()):
        yield f"{noun.capitalize()}s that share voxels with another: {shared:,}."
    known = spheres.tsnr[np.isfinite(spheres.tsnr)]
    if known.size:
        low, middle, high = (number(float(q), 0) for q in np.percentile(known, (5, 50, 95)))
        ninety = f"90 % of {noun}s from {low} to {high}"
        yield f"Median temporal signal-to-noise ratio: {middle} ({ninety})."
    if share := spheres.sidecar.get("DespikedShare"):
        yield f"Despiking changed {share:.2%} of the values of its voxels."
    notes = spheres.sidecar.get("SpaceNote"), spheres.sidecar.get("DespikeNote")
    yield from filter(None, notes)


def _table(spheres: Spheres, file: str) -> render.Table:
    tones = _by_coverage(spheres, "bad", "warn", "").tolist()
    cells = zip(spheres.coverage.tolist(), spheres.used, tones, strict=True)
    coverage = [render.percent_cell(c, "" if u else " (no series)", t) for c, u, t in cells]
    numbers = range(1, len(spheres.names) + 1)
    columns = [number_column("No.", numbers), render.text_column("Name", spheres.names)]
    if any(network != MISSING for network in spheres.networks):
        columns.append(render.text_column("Network", spheres.networks))
    for axis, places in zip("xyz", spheres.coordinates.T, strict=True):
        columns.append(number_column(axis, places, 1, "mm"))
    if (spheres.radii != spheres.radii[0]).any():
        columns.append(number_column("Radius", spheres.radii, 1, "mm"))
    columns += [
        (render.Column("Coverage", unit="%"), coverage),
        number_column("Used", spheres.voxels_used, unit="voxels"),
        number_column("Expected", spheres.voxels_asked, unit="voxels"),
        number_column("Shared", spheres.overlap, unit="voxels"),
        number_column("tSNR", spheres.tsnr, 1),
    ]
    title = f"{spheres.noun.capitalize()}s, coverage and signal."
    return render.table_of(title, *columns, head=1, file=file)


def seed_map_blocks(seeds: SeedSet, strategies: Sequence[str], scene: Scene) -> Iterator[Block]:
    """The maps of the first seeds that have one, over the background of a scene."""
    known, graphics = () if seeds.spheres is None else seeds.spheres.names, []
    strongest, least = sphere_figures.STRONGEST, sphere_figures.LEAST_SHOWN
    for strategy in strategies:
        paths = seeds.files.seed_maps(strategy)
        maps: dict[int, VoxelMap] = {}
        for path in paths:
            name = read_sidecar(path, optional=True).get("Seed")
            if name in known and len(maps) < COLUMNS and (image := read_image(path)):
                values = np.nan_to_num(image[0].astype(np.float64)).ravel(order="F")
                maps[known.index(name)] = VoxelMap(image[1], values)
        chosen = sorted(maps)
        names = [known[s] for s in chosen]
        seed = naming(names, COLUMNS)
        words = f"Fisher z of every voxel's correlation with {seed} after {strategy}."
        caption = (
            f"{words} Blue to red: -{strongest} to {strongest}, transparent within {least}; white: "
            f"the {seeds.noun}. Maps written: {len(paths):,}; they end in _boldmap.nii.gz."
        )
        if chosen:
            own = Scene(scene.centres[chosen], scene.radii[chosen], scene.backdrop)
            pixels = sphere_figures.map_slices(own, [maps[s] for s in chosen], names)
            graphics.append(sphere_figures.map_graphic(pixels, words, caption, strategy))
    if graphics:
        yield Block("Maps of seeds", tuple(graphics))
