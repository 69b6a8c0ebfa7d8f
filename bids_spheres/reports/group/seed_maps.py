"""Maps of seeds that the group level tested: slices through peaks, and tables of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.outputs.find import grouped
from bids_spheres.reports.group.data_quality import find_group_background
from bids_spheres.reports.group.tested_pairs import add_contrast, contrast_in_words
from bids_spheres.reports.participant.sphere_section import read_image
from bids_spheres.reports.toolkit import render, sphere_figures
from bids_spheres.reports.toolkit.matrices import SIGNIFICANT
from bids_spheres.reports.toolkit.sphere_figures import COLUMNS, Scene, VoxelMap
from bids_spheres.wording import count, listing, number, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.reports.group.load import ContrastMap, Level
    from bids_spheres.reports.participant.sphere_section import Background

MOST_MAPS = 12  # Pictures in a page, which take some 300 kB each

CORRECTIONS = {
    "q": "q < {} by the false discovery rate",
    "pmaxt": "family-wise p < {} by the largest statistic of all voxels (max-T)",
    "psize": "family-wise p < {} of the size of their cluster, which says nothing of single voxels",
    "ptfce": "family-wise p < {} by threshold-free cluster enhancement",
}
"""Images of corrected p and what voxels below a limit have; the last that there is, is shown."""

_MOST_CLUSTERS = 15  # Clusters of each map in the table, the largest first
_MOST_NAMES = 20
_RING = 5.0  # mm around a peak
_LEAST = np.finfo(np.float64).tiny  # 0 is transparent


def map_sections(level: Level) -> Iterator[render.Section]:
    """A section for each seed, as far as pictures go; the last one names maps without."""
    shown, rest = level.maps[:MOST_MAPS], level.maps[MOST_MAPS:]
    behind = {own.space: own for own in shown}
    backgrounds = {space: find_group_background(own) for space, own in behind.items()}
    by_seed = grouped(shown, lambda own: f"Seed {own.name.get('label')}: {own.image_title}")
    for i, (title, maps) in enumerate(by_seed.items(), start=1):
        blocks = []
        for contrast, own in grouped(maps, lambda each: each.contrast).items():
            drawn = (_slices(each, backgrounds[each.space]) for each in own)
            graphics = tuple(graphic for graphic in drawn if graphic is not None)
            blocks.append(render.Block(f"Map of {contrast}", graphics))
        notes = []
        if rest and i == len(by_seed):
            files = [own.image_path(own.statistic).name for own in rest]
            notes.append(
                f"To keep this page small, {count(len(rest), 'other map')} "
                f"{plural(len(rest), 'is', 'are')} not shown here: {listing(files, _MOST_NAMES)}."
            )
        yield render.Section(
            f"maps-{i}",
            title,
            title,
            tuple(dict.fromkeys(own.strategy for own in maps)),
            tuple(dict.fromkeys(contrast_in_words(own.contrast, own.about) for own in maps)),
            blocks=tuple(blocks),
            tables=_cluster_tables(maps),
            notes=tuple(notes),
        )


def _slices(own: ContrastMap, background: Background) -> render.Graphic | None:
    """Slices through the peaks of a map; None where an image can't be read."""
    corrected = [name for name in CORRECTIONS if name in own.stats][-1]
    image, p = (read_image(own.image_path(stat)) for stat in (own.statistic, corrected))
    if image is None or p is None:
        return None
    values, grid = np.nan_to_num(image[0].astype(np.float64)), image[1]
    below, rule = p[0] < SIGNIFICANT, CORRECTIONS[corrected].format(f"{SIGNIFICANT:g}")
    shown = f"No voxel has {rule}; all are coloured."
    if below.any():
        values[~below] = 0
        shown = f"Coloured: {count(int(below.sum()), 'voxel')} with {rule}."
    symbol = "F" if own.statistic == "f" else "t"
    words = f"{symbol} of {own.contrast} after {own.strategy}. {shown}"
    coloured = VoxelMap(grid, values.ravel(order="F"))
    names, peaks = coloured.extremes()
    if own.clusters is not None:
        places = own.clusters[[*"xyz"]].to_numpy(np.float64)
        if len(chosen := np.flatnonzero(coloured.at([*places.T]))[:COLUMNS]):
            names, peaks = own.clusters["nearest_seed"].iloc[chosen].tolist(), places[chosen]
    scene = Scene(peaks, np.full(len(peaks), _RING), background.picture)
    maps, strongest = len(peaks) * [coloured], float(np.abs(values).max()) or 1.0
    pixels = sphere_figures.map_slices(scene, maps, names, limits=(_LEAST, strongest))
    end = number(strongest)
    span = "White to red: F from 0" if symbol == "F" else f"Blue to red: t from -{end}"
    caption = (
        f"{words} Slices through peaks{background.over}, those of clusters named by the nearest "
        f"seed. {span} to {end}; white rings: peaks."
    )
    return sphere_figures.map_graphic(pixels, words, caption, own.strategy)


def _cluster_tables(maps: Sequence[ContrastMap]) -> tuple[render.Table, ...]:
    """Clusters of all contrasts and strategies of a seed; nothing where none were looked for."""
    tables = [
        add_contrast(own.clusters[:_MOST_CLUSTERS], own, own.contrast, "clusters")
        for own in maps
        if own.clusters is not None
    ]
    if not tables:
        return ()
    rows = pd.concat(tables)
    table = render.table_of(
        "Clusters of voxels beyond a threshold of t, or of the root of F"
        f"{': none' if rows.empty else f', the {_MOST_CLUSTERS} largest of each map'}.",
        render.text_column("Contrast", rows["contrast"]),
        render.text_column("Strategy", rows["strategy"]),
        render.number_column("Threshold", rows["threshold"], 2),
        render.number_column("No.", rows["cluster"]),
        render.number_column("Size", rows["size"], 0, "voxels"),
        render.number_column("Mass", rows["mass"], 1),
        render.probability_column("p", rows["p_size"], "size"),
        render.probability_column("p", rows["p_mass"], "mass"),
        render.number_column("Peak", rows["peak"], 2),
        *(render.number_column(axis, rows[axis], 1, "mm") for axis in "xyz"),
        render.text_column("Nearest", rows["nearest_seed"]),
        render.number_column("Distance", rows["distance"], 1, "mm"),
        file="group/*_clusters.tsv",
    )
    return (table,)
