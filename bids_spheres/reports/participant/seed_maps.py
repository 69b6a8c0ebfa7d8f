"""Maps of seeds as slices through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.outputs.sidecars import read_sidecar, sidecar_path
from bids_spheres.reports.participant.backgrounds import read_image
from bids_spheres.reports.toolkit.charts import WIDTH, Chart, Raster
from bids_spheres.reports.toolkit.figures import DENSITY, picture
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.reports.toolkit.sphere_figures import (
    COLUMNS,
    LEAST_SHOWN,
    STRONGEST,
    Scene,
    VoxelMap,
    map_slices,
)
from bids_spheres.wording import naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_spheres.reports.participant.load import SeedSet


def seed_map_block(seeds: SeedSet, strategies: Sequence[str], scene: Scene) -> Block | None:
    """The maps of the first seeds that have one, over the background of a scene."""
    spheres, graphics = seeds.spheres, []
    for strategy in strategies:
        paths = seeds.files.seed_maps(strategy)
        maps: dict[int, VoxelMap] = {}
        for path in paths if spheres is not None else ():
            name = read_sidecar(sidecar_path(path), optional=True).get("Seed")
            if spheres is None or name not in spheres.names or len(maps) == COLUMNS:
                continue
            if (image := read_image(path)) is not None:
                values = np.nan_to_num(image[0].astype(np.float64)).ravel(order="F")
                maps[spheres.names.index(name)] = VoxelMap(image[1], values)
        if spheres is None or not maps:
            continue
        chosen = sorted(maps)
        names = [spheres.names[s] for s in chosen]
        own = Scene(scene.centres[chosen], scene.radii[chosen], scene.backdrop)
        pixels = map_slices(own, [maps[s] for s in chosen], names)
        words = (
            f"Fisher z of every voxel's correlation with {naming(names, COLUMNS)} after {strategy}."
        )
        drawn = picture(pixels, words, small=True, density=DENSITY)
        raster = Raster(drawn.src, 0, 0, WIDTH, drawn.height, smooth=True)
        caption = (
            f"{words} Blue to red: -{STRONGEST} to {STRONGEST}, transparent within {LEAST_SHOWN}; "
            f"white: the {spheres.noun}. Maps written: {len(paths):,}; they end in _boldmap.nii.gz."
        )
        chart = Chart(WIDTH, drawn.height, words, rasters=(raster,))
        graphics.append(Graphic(chart, caption, strategy, strategy))
    return Block("Maps of seeds", tuple(graphics)) if graphics else None
