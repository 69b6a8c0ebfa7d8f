"""Hand matrices and series on to NumPy, MATLAB, NetworkX and Gephi, BrainNet Viewer and NBS.

A file holds one run, or, stacked, all runs of a task, space, seed set, strategy and measure. Values
of missing regions are NaN where the format has it. Graphs have no edges to such regions, BrainNet
Viewer does not draw them, and NBS gets the regions that all runs have.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.files.atomic import remove, replacing, write_text
from bids_spheres.files.names import as_written
from bids_spheres.outputs.paths import RELMAT, TIMESERIES
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.outputs.find import OutputFile
    from bids_spheres.outputs.read import Spheres
    from bids_spheres.outputs.results import Results

    FloatArray = NDArray[np.float64]

logger = logging.getLogger(__name__)

_FORMATS = {"--timeseries": ("npz", "mat", "csv"), "--stacked": ("npz", "mat", "csv", "nbs")}
"""Formats that an option goes with."""

_OF_RUN = ("sub", "ses", "run", "dir")
"""Entities whose runs are stacked."""

_LARGEST_MAT = 2**32
"""Size of a variable from which MATLAB's format 5 can't hold it, bytes."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Matrices (N, S, S), or a series (T, S) of each of N runs, of the same S regions."""

    path: Path
    runs: list[str]
    regions: Spheres
    stacked: bool
    values: FloatArray | list[FloatArray]
    volumes: list[NDArray[np.intp]] | None = None
    """Numbers of the volumes of series; None for matrices."""

    @property
    def nodes(self) -> zip[tuple[str, str, Any]]:
        """Name, network and coordinates of each region."""
        regions = self.regions
        return zip(regions.names, regions.networks, regions.coordinates.tolist(), strict=True)


def export(
    results: Results, folder: Path, form: str, *, timeseries: bool = False, stacked: bool = False
) -> int:
    """Write matrices, or series, in a format; return the number of files, or folders for NBS.

    UsageError when the format has no series or no stacks.
    """
    for flag, wanted in {"--timeseries": timeseries, "--stacked": stacked}.items():
        if wanted and form not in _FORMATS[flag]:
            raise UsageError(
                f"--format {form} does not go with {flag}.",
                hint=f"Formats that do are {listing(_FORMATS[flag], 10)}.",
            )
    suffix, number = TIMESERIES if timeseries else RELMAT, 0
    batches = _batches(results, folder, suffix, stacked=stacked, together=stacked or form == "nbs")
    for number, batch in enumerate(batches, start=1):  # noqa: B007 - their number
        _WRITERS[form](batch)
    if not number:
        raise MissingInputError(f"There are no {'series' if timeseries else 'matrices'} to export.")
    return number


def _batches(
    results: Results, folder: Path, suffix: str, *, stacked: bool, together: bool
) -> Iterator[_Batch]:
    groups: dict[str, list[OutputFile]] = defaultdict(list)
    for file in results.leaves(suffix):
        shared = as_written(e for e in file.name.entities if e[0] not in _OF_RUN)
        groups["_".join([*shared, suffix]) if together else file.path.stem].append(file)
    for stem, files in groups.items():
        owners = [results.owners[file.path] for file in files]
        regions = next((own for owner in owners if (own := owner.spheres)), None)
        if regions is None:
            logger.warning("%s is left out: its table of regions is gone.", stem)
            continue
        entities = ([e for e in file.name.entities if e[0] in _OF_RUN] for file in files)
        runs = ["_".join(as_written(own)) for own in entities]
        if suffix == RELMAT:
            values = results.matrices_of(files).values
            yield _Batch(folder / stem, runs, regions, stacked, values)
            continue
        labels = (str(file.name.get("desc")) for file in files)
        series = [owner.series(label) for owner, label in zip(owners, labels, strict=True)]
        if other := next((each.path for each in series if each.names != regions.names), None):
            why = f"{other} has other regions than {regions.path}."
            raise DataError(why, hint="Export without --stacked, or select fewer runs.")
        kept = [each.values[each.kept] for each in series]
        volumes = [np.flatnonzero(each.kept) for each in series]
        yield _Batch(folder / stem, runs, regions, stacked, kept, volumes)


def _arrays(batch: _Batch, words: Callable[[Sequence[str]], Any]) -> dict[str, Any]:
    """Arrays by name; `words` makes arrays of texts."""
    arrays = {
        "runs": words(batch.runs),
        "names": words(batch.regions.names),
        "networks": words(batch.regions.networks),
        "coordinates": batch.regions.coordinates,
    }
    if not batch.stacked:
        arrays["timeseries" if batch.volumes else "matrix"] = batch.values[0]
    return arrays


def _write_npz(batch: _Batch) -> None:
    arrays = _arrays(batch, np.array)
    if batch.stacked and batch.volumes:
        arrays |= zip(batch.runs, batch.values, strict=True)  # of different lengths
    elif batch.stacked:
        arrays["matrices"] = batch.values
    with replacing(batch.path.with_suffix(".npz")) as file:
        np.savez_compressed(file, **arrays)


def _write_mat(batch: _Batch) -> None:
    arrays = _arrays(batch, _cells)
    if batch.stacked and batch.volumes:
        arrays["timeseries"] = _cells([*batch.values])
    elif batch.stacked:
        arrays["matrices"] = np.moveaxis(np.asarray(batch.values), 0, -1)  # runs last
    _save_mat(batch.path.with_suffix(".mat"), arrays)


def _save_mat(path: Path, arrays: dict[str, Any]) -> None:
    from scipy.io import savemat  # noqa: PLC0415 - takes a while

    if max(array.nbytes for array in arrays.values()) >= _LARGEST_MAT:
        raise UsageError(
            "A stack of 4 GB or more does not fit into a MATLAB file.",
            hint="Select fewer runs, leave out --stacked, or use --format npz.",
        )
    with replacing(path) as file:
        savemat(file, arrays, do_compression=True)  # type: ignore[arg-type]  # open files, too


def _cells(items: Sequence[Any]) -> NDArray[np.object_]:
    """A column of cells."""
    cells = np.empty((len(items), 1), dtype=object)
    cells[:, 0] = [*items]
    return cells


def _write_csv(batch: _Batch) -> None:
    names = list(batch.regions.names)
    if batch.stacked and not batch.volumes:
        first, second = np.triu_indices(len(names), k=1)
        pairs = [f"{names[a]}--{names[b]}" for a, b in zip(first, second, strict=True)]
        edges = np.asarray(batch.values)[:, first, second]
        table = pd.DataFrame(edges, batch.runs, pairs).rename_axis("run")
    else:
        rows = batch.volumes or [np.array(names)] * len(batch.runs)
        each = zip(batch.values, rows, strict=True)
        frames = [pd.DataFrame(values, index, names) for values, index in each]
        if batch.stacked:
            table = pd.concat(frames, keys=batch.runs, names=["run", "volume"])
        else:
            table = frames[0].rename_axis("volume" if batch.volumes else "region")
    with replacing(batch.path.with_suffix(".csv")) as file:
        table.to_csv(file, mode="wb", na_rep="NaN", float_format="%.10g", lineterminator="\n")


def _write_graphml(batch: _Batch) -> None:
    """Write a complete undirected graph: regions with coordinates, and the pairs with a value."""
    kinds = {
        "node": {"label": "string", "network": "string", **dict.fromkeys("xyz", "double")},
        "edge": {"weight": "double"},
    }
    root = ET.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
    for domain, keys in kinds.items():
        for name, kind in keys.items():
            about = {"id": name, "for": domain, "attr.name": name, "attr.type": kind}
            ET.SubElement(root, "key", about)
    graph = ET.SubElement(root, "graph", id=batch.path.name, edgedefault="undirected")
    for name, network, point in batch.nodes:
        node = ET.SubElement(graph, "node", id=name)
        facts = {"label": name, "network": network, **dict(zip("xyz", point, strict=True))}
        for key, value in facts.items():
            ET.SubElement(node, "data", key=key).text = str(value)
    matrix, names = batch.values[0], batch.regions.names
    for a, b in np.argwhere(np.triu(np.isfinite(matrix), k=1)):
        edge = ET.SubElement(graph, "edge", source=names[a], target=names[b])
        ET.SubElement(edge, "data", key="weight").text = repr(float(matrix[a, b]))
    with replacing(batch.path.with_suffix(".graphml")) as file:
        ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _write_brainnet(batch: _Batch) -> None:
    """Write regions, coloured by network and without size when they are missing, and edges."""
    networks = list(dict.fromkeys(batch.regions.networks))
    lines = []
    for (name, network, point), used in zip(batch.nodes, batch.regions.used, strict=True):
        place = "\t".join(f"{mm:g}" for mm in point)
        colour = networks.index(network) + 1
        lines.append(f"{place}\t{colour}\t{int(used)}\t{'_'.join(name.split()) or '-'}\n")
    write_text(batch.path.with_suffix(".node"), "".join(lines))
    edges = np.nan_to_num(batch.values[0])
    np.fill_diagonal(edges, 0)
    _write_numbers(batch.path.with_suffix(".edge"), edges)


def _write_nbs(batch: _Batch) -> None:
    """Write a folder with a matrix of each run, or all in one file, coordinates and labels."""
    matrices = np.array(batch.values)
    for matrix in matrices:
        np.fill_diagonal(matrix, 0)
    kept = ~(np.isnan(matrices).sum(axis=1) >= matrices.shape[1] - 1).any(axis=0)
    names = np.array(batch.regions.names)
    if not kept.all():
        left_out = listing(names[~kept].tolist())
        logger.warning("NBS gets the regions that all runs have, without %s.", left_out)
    if len({run.partition("_")[0] for run in batch.runs}) < len(batch.runs):
        logger.warning("NBS takes each matrix for a participant: select one run of each.")
    matrices = np.nan_to_num(matrices[:, kept][:, :, kept])
    _write_numbers(batch.path / "COG.txt", batch.regions.coordinates[kept])
    for file, lines in {"nodeLabels.txt": names[kept], "runs.txt": batch.runs}.items():
        write_text(batch.path / file, "".join(f"{line}\n" for line in lines))
    if batch.stacked:
        _save_mat(batch.path / "matrices.mat", {"Mat": np.moveaxis(matrices, 0, -1)})
        return
    # NBS reads whatever lies in the folder.
    for old in (batch.path / "matrices").glob("sub-*.txt"):
        remove(old)
    for run, matrix in zip(batch.runs, matrices, strict=True):
        _write_numbers(batch.path / "matrices" / f"{run}.txt", matrix)


def _write_numbers(path: Path, values: FloatArray) -> None:
    with replacing(path) as file:
        np.savetxt(file, values, fmt="%.10g", delimiter="\t")


_WRITERS: dict[str, Callable[[_Batch], None]] = {
    "npz": _write_npz,
    "mat": _write_mat,
    "csv": _write_csv,
    "graphml": _write_graphml,
    "brainnet": _write_brainnet,
    "nbs": _write_nbs,
}
