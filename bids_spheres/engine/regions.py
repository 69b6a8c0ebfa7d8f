"""Regions of images: label images, maps of probabilities and masks, as rows of weights.

Weights of labels and masks are 1, on the grid of the BOLD image by the nearest voxel. Maps are
interpolated linearly, and their signals are those of which the maps, times them, are nearest to the
voxels (least squares), or means with the maps as weights. The numbers are those of nilearn's
``NiftiLabelsMasker`` and ``NiftiMapsMasker`` with ``resampling_target="data"``.

Their names come from a table of BIDS (``index``, ``name``), whose entities are among the image's,
FSL's XML, a colour table of FreeSurfer, or any other table of the image's own name.
"""

from __future__ import annotations

import csv
import html
import re
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from nibabel.affines import apply_affine

from bids_spheres.engine.arrays import BoolArray, FloatArray, IntArray, memoized
from bids_spheres.engine.seed_columns import numbered
from bids_spheres.engine.seeds import NO_NETWORK, SeedTable
from bids_spheres.engine.spheres import (
    CORE,
    Grid,
    SphereWeights,
    assemble,
    ball_radius,
    nearest_values,
    sphere_weights,
)
from bids_spheres.engine.stream import open_volumes, read_mask
from bids_spheres.errors import DataError, UsageError
from bids_spheres.files.text import read_text
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import RealArray
    from bids_spheres.engine.stream import Volumes

RegionKind = Literal["labels", "maps", "masks"]
MapWeighting = Literal["least-squares", "mean"]

_MOST_LABELS = 100_000

_ENDINGS = (".tsv", ".csv", ".txt", ".lut", ".ctab", ".xml")  # of files with names of regions


@dataclass(frozen=True)
class RegionImage:
    """Where the voxels of regions are: one image, or a mask of each region.

    `values` are labels of the regions in the image, or numbers of the maps from 0; `weighting` is
    how maps become signals.
    """

    paths: tuple[Path, ...]
    kind: RegionKind
    values: tuple[int, ...] = ()
    weighting: MapWeighting = "least-squares"

    @property
    def state(self) -> tuple[object, ...]:
        """What changes when a file changes."""
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        return tuple(files)


@dataclass(frozen=True)
class Labels:
    """Names of regions and, if the table has them, their networks; and what to know of them."""

    names: tuple[str, ...]
    networks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_parcellation(
    path: Path, label: str, space: str, weighting: MapWeighting = "least-squares"
) -> tuple[SeedTable, list[str]]:
    """Regions of a label image, or of a 4-D image of maps; and what to know of their names.

    In the order of labels. `coordinates` are centres of mass, `radii` those of balls of the
    regions' volumes. `label` is that of the set in names of outputs.
    """
    volumes = open_volumes(path)
    if volumes.n_volumes > 1:
        places = [_place(values, volumes.grid) for values in _maps(volumes)]
        numbers: Sequence[int] = range(len(places))
        image = RegionImage((path,), "maps", tuple(numbers), weighting)
    else:
        labels = _label_array(volumes)
        numbers = np.unique(labels[labels != 0]).tolist()
        if not numbers or len(numbers) > _MOST_LABELS:
            raise DataError(f"{path}: {len(numbers)} labels are no parcellation.")
        inside = np.flatnonzero(labels.reshape(-1, order="F"))
        own = np.searchsorted(numbers, labels.reshape(-1, order="F")[inside])
        ijk, counts = volumes.grid.unflat(inside), np.bincount(own)
        centre = np.column_stack([np.bincount(own, ijk[:, axis]) / counts for axis in range(3)])
        places = list(zip(volumes.grid.to_mm(centre), counts, strict=True))
        image = RegionImage((path,), "labels", tuple(numbers))
    named = region_labels(path, numbers, maps=image.kind == "maps")
    return _table(image, places, named, label, space, volumes.grid)


def load_masks(paths: Sequence[Path], label: str, space: str) -> tuple[SeedTable, list[str]]:
    """Regions of binary masks, named as their files; as `load_parcellation`."""
    masks, places = [read_mask(path) for path in paths], []
    for mask in masks:
        centre, n = _place(mask.inside.astype(np.float64), mask.grid)
        # Volumes in voxels of the first mask
        places.append((centre, n * mask.grid.voxel_volume / masks[0].grid.voxel_volume))
    image = RegionImage(tuple(paths), "masks", tuple(range(len(paths))))
    stems = tuple(path.name.split(".")[0] for path in paths)
    notes = [next(mask.notes(mask.grid)) for mask in masks if mask.is_probability]
    table, more = _table(image, places, Labels(stems), label, space, masks[0].grid)
    return table, [*notes, *more]


def row_weights(
    table: SeedTable, grid: Grid, mask: BoolArray | None = None, mask_grid: Grid | None = None
) -> SphereWeights:
    """Weights of spheres around seeds, or of regions, on an image grid; `mask_grid` if not that."""
    if table.regions is None:
        return sphere_weights(table.coordinates, table.radii, grid, mask, mask_grid)
    return _region_weights(table.regions, table.regions.state, grid, mask, mask_grid)


@memoized(maxsize=2)
def _region_weights(
    image: RegionImage,
    state: tuple[object, ...],
    grid: Grid,
    mask: BoolArray | None,
    mask_grid: Grid | None,
) -> SphereWeights:
    """`state` tells files of one name apart."""
    del state
    owner, ijk, value = map(np.concatenate, zip(*_rows(image, grid), strict=True))
    n_regions, is_map = len(image.values), image.kind == "maps"
    size = np.abs(value)
    whole: FloatArray = np.bincount(owner, size, minlength=n_regions).astype(np.float64)
    largest = np.zeros(n_regions)
    np.maximum.at(largest, owner, size)
    counted = size >= CORE * largest[owner] if is_map else np.ones(len(owner), dtype=bool)
    asked = np.bincount(owner[counted], minlength=n_regions)
    inside = grid.contains(ijk)
    owner, value, position = owner[inside], value[inside], grid.flat(ijk[inside])
    if mask is not None:
        nearest = nearest_values(grid.unflat(position), grid, mask, mask_grid or grid)
        owner, value, position = owner[nearest], value[nearest], position[nearest]
    everywhere = np.ones(n_regions, dtype=bool)
    weights = assemble(grid, owner, position, np.maximum(asked, 1), everywhere)
    if not is_map:
        return replace(weights, compact=False)
    joint = (slice(0, n_regions),) if image.weighting == "least-squares" else ()
    ordered = value[np.argsort(owner, kind="stable")]
    whole = np.where(whole > 0, whole, 1.0)
    return replace(
        weights, values=ordered, whole=whole, largest=largest, joint=joint, compact=False
    )


def _rows(image: RegionImage, grid: Grid) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Regions (N,), voxels (N, 3) of the image's grid, in the image or not, and weights (N,)."""
    if image.kind == "masks":
        for number, path in enumerate(image.paths):
            mask = read_mask(path)
            for ijk, _ in _nearest(mask.inside, mask.grid, grid):
                yield np.full(len(ijk), number), ijk, np.ones(len(ijk))
        return
    volumes = open_volumes(image.paths[0])
    if image.kind == "maps":
        for number, values in enumerate(_maps(volumes)):
            ijk, interpolated = _interpolated(values, volumes.grid, grid)
            yield np.full(len(ijk), number), ijk, interpolated
        return
    for ijk, labels in _nearest(_label_array(volumes), volumes.grid, grid):
        yield np.searchsorted(image.values, labels), ijk, np.ones(len(ijk))


def _box(source: Grid, grid: Grid) -> tuple[IntArray, IntArray]:
    """Corners of the box of voxels of a grid that an image covers, also beyond the grid's shape."""
    if source.matches(grid):
        return np.zeros(3, dtype=np.intp), np.array(grid.shape) - 1
    corners = list(product(*((-0.5, n - 0.5) for n in source.shape)))
    where = apply_affine(np.linalg.inv(grid.affine) @ source.affine, corners)
    return np.floor(where.min(axis=0)).astype(np.intp), np.ceil(where.max(axis=0)).astype(np.intp)


def _nearest(values: RealArray, source: Grid, grid: Grid) -> Iterator[tuple[IntArray, RealArray]]:
    """Voxels of a grid, (N, 3), whose nearest value is not 0, and that value, slice by slice."""
    (x, y, z), (to_x, to_y, to_z) = (ends.tolist() for ends in _box(source, grid))
    plane = np.indices((to_x + 1 - x, to_y + 1 - y, 1)).reshape(3, -1).T
    for k in range(z, to_z + 1):
        ijk = plane + np.array([x, y, k])
        nearest = nearest_values(ijk, grid, values, source)
        yield ijk[nearest != 0], nearest[nearest != 0]


def _interpolated(values: FloatArray, source: Grid, grid: Grid) -> tuple[IntArray, FloatArray]:
    """Voxels of a grid, (N, 3), and the values of another image there that count, (N,)."""
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - slow to import, seldom needed

    first, last = _box(source, grid)
    if not source.matches(grid):
        inverse = np.linalg.inv(source.affine) @ grid.affine
        shape = tuple((last + 1 - first).tolist())
        offset = apply_affine(inverse, first)
        values = affine_transform(values, inverse[:3, :3], offset, shape, order=1)
    counting = np.nonzero(values)
    return np.column_stack(counting) + first, values[counting]


def image_on_grid(path: Path, grid: Grid, label: int | None = None) -> FloatArray:
    """Probabilities of a 3-D image, or of its `label`, on a grid, linearly, (X, Y, Z)."""
    volumes = open_volumes(path)
    (values, *_) = _maps(volumes)
    values = values if label is None else (np.rint(values) == label).astype(np.float64)
    on_grid = np.zeros(grid.shape)
    ijk, interpolated = _interpolated(values, volumes.grid, grid)
    inside = grid.contains(ijk)
    on_grid[tuple(ijk[inside].T)] = interpolated[inside].clip(0, 1)
    return on_grid


def _maps(volumes: Volumes) -> Iterator[FloatArray]:
    """Maps of a 4-D image, (X, Y, Z) each; what is not finite is 0."""
    for block in volumes.blocks():
        for values in np.nan_to_num(block, posinf=0, neginf=0):
            yield values.reshape(volumes.grid.shape, order="F")


def _label_array(volumes: Volumes) -> IntArray:
    """Labels of a 3-D image, (X, Y, Z)."""
    (block,) = volumes.blocks()
    values = np.nan_to_num(block[0]).reshape(volumes.grid.shape, order="F")
    labels = np.rint(values)
    if (np.abs(values - labels) > 1e-4).any() or labels.min() < 0:
        raise DataError(
            f"{volumes.name}: labels are whole numbers above 0, and some values are not.",
            hint="Give a single map or mask with --roi, several as a 4-D image.",
        )
    return labels.astype(np.intp)


def _place(values: FloatArray, grid: Grid) -> tuple[FloatArray, float]:
    """Centre of mass of a map, mm, and its volume: the sum over the largest value, in voxels."""
    weights = np.clip(values, 0, None)
    total = weights.sum()
    if not total > 0:
        return np.zeros(3), 0.0
    ijk = np.argwhere(weights > 0)
    centre = np.average(ijk, axis=0, weights=weights[weights > 0])
    return grid.to_mm(centre), total / weights.max()


def _table(  # noqa: PLR0917 - private
    image: RegionImage,
    places: Sequence[tuple[FloatArray, float]],
    named: Labels,
    label: str,
    space: str,
    grid: Grid,
) -> tuple[SeedTable, list[str]]:
    notes = list(named.notes)
    volumes = grid.voxel_volume * np.array([n for _, n in places])
    if empty := [name for name, volume in zip(named.names, volumes, strict=True) if not volume]:
        raise UsageError(f"{image.paths[0]}: regions without a voxel: {', '.join(empty[:5])}.")
    table = SeedTable(
        label=label,
        names=numbered(named.names, notes),
        coordinates=np.array([centre for centre, _ in places]).round(4),
        radii=ball_radius(volumes).round(4),
        networks=tuple(network or NO_NETWORK for network in named.networks) or None,
        space=space,
        metadata={"Space": space},
        regions=image,
    )
    return table, notes


def region_labels(path: Path, numbers: Sequence[int], *, maps: bool) -> Labels:
    """Names of regions by labels, or of maps from 0; DataError for a table that does not fit."""
    width = len(str(max(numbers, default=0) + maps))
    plain = {n: f"region_{n + maps:0{width}d}" for n in numbers}
    table = next(_tables(path), None)
    if table is None:
        note = "No table of names beside it; regions are called by their numbers."
        return Labels(tuple(plain.values()), notes=(note,))
    rows = _read_table(table)
    if maps:
        if len(rows) != len(numbers):
            raise DataError(
                f"{table} names {count(len(rows), 'region')}, and {path.name} has "
                f"{count(len(numbers), 'map')}."
            )
        rows = dict(enumerate(row for _, row in sorted(rows.items())))
    without = [n for n in numbers if n not in rows]
    notes = [f"{table.name} does not name {count(len(without), 'region')}."] if without else []
    if absent := set(rows) - set(numbers) - {0}:
        have = plural(len(absent), "has", "have")
        notes.append(f"{count(len(absent), 'region')} of {table.name} {have} no voxel: left out.")
    names, networks = zip(*(rows.get(n, ("", "")) for n in numbers), strict=True)
    named = tuple(name or plain[n] for n, name in zip(numbers, names, strict=True))
    return Labels(named, networks if any(networks) else (), tuple(notes))


def _tables(path: Path) -> Iterator[Path]:
    """Tables that may belong to an image, the nearest first."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    yield from (file for end in _ENDINGS if (file := path.with_name(stem + end)).is_file())
    own = set(stem.split("_"))
    for folder in (path.parent, *path.absolute().parents[1:3]):
        for file in sorted(folder.glob("*.tsv")):
            parts = set(file.name.split(".")[0].split("_"))
            # By BIDS, a table is of all images that have its entities.
            if parts <= own and parts & own - {"dseg", "probseg"}:
                yield file
    family = re.split(r"-(?:max)?prob", stem)[0]
    for folder in (path.parent, path.absolute().parent.parent):
        for file in sorted(folder.glob("*.xml")):
            if f"/{family}-" in read_text(file, "table of regions"):
                yield file


def _read_table(path: Path) -> dict[int, tuple[str, str]]:
    """Name and network of every number of a table."""
    text = read_text(path, "table of regions")
    if path.suffix == ".xml":
        found = re.findall(r'<label\s[^>]*?index="(\d+)"[^>]*>([^<]*)</label>', text)
        # Of probabilistic atlases FSL counts from 0, and the image of the likeliest from 1;
        # of maps only the order of the rows counts. FSL's files have both spellings.
        shift = bool(re.search("probab[ai]listic", text, re.IGNORECASE))
        return {int(n) + shift: (html.unescape(name).strip(), "") for n, name in found}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    plain = re.compile(r"\s*(\d+)\s+([^\s,].*?)((?:\s+\d+){3,4})?\s*")
    coloured = [plain.fullmatch(line) for line in lines]
    if lines and all(coloured):
        return {int(m[1]): (m[2].strip(), "") for m in coloured if m}
    delimiter = next((mark for mark in "\t,;" if lines and mark in lines[0]), "\t")
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    columns = {name.strip().lower(): i for i, name in enumerate(header)}

    def column(*names: str) -> int | None:
        return next((columns[name] for name in names if name in columns), None)

    index, name = column("index", "label", "value", "id"), column("name", "region", "label", "roi")
    if index is None or name is None or index == name:
        raise DataError(
            f"{path} has no columns index and name (found: {', '.join(header)}).",
            hint="A table of regions has a row for each: its index in the image, and its name.",
        )
    network = column("network", "network_label", "network_name", "networks")
    try:
        networks = ["" if network is None else row[network].strip() for row in rows]
        names = zip((row[name].strip() for row in rows), networks, strict=True)
        return {int(float(row[index])): named for row, named in zip(rows, names, strict=True)}
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{path}: an index is not a whole number, or a row is too short."
        ) from error
